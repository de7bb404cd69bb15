"""The gate, wired: configuration, and the store where one is kept. Nothing of the pipeline is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.config_files import Configuration
from regime_trading.bootstrap import DATABASE, artifacts_folder, load_valid, state_file
from regime_trading.bootstrap.selftest import require_live_rules
from regime_trading.bootstrap.version import code_version
from regime_trading.core.config_status import Standing, standing
from regime_trading.core.ports import LastGoodConfigs, Ledger
from regime_trading.core.schemas import Mode
from regime_trading.core.trader_profile import TraderProfile, with_overrides
from regime_trading.services.acts import Acts
from regime_trading.services.configurations import take_over
from regime_trading.services.pm import GateConfig, GateStore


@contextmanager
def open_gate(
    config: Path | None, artifacts: Path | None, *, stored: bool
) -> Iterator[tuple[GateConfig, GateStore | None]]:
    """Configuration and store, and close them again.

    A firm whose configuration cannot be accepted stops that firm only: its accounts keep the last one that could, and
    may do the less the longer that lasts (``core.config_status``).

    Parameters
    ----------
    config, artifacts : Path, optional
        Folders; the environment and then the defaults where None.
    stored : bool
        False: nothing is read or written beside the configuration. True: the database is made where there is none.

    Raises
    ------
    SilentRules
        A rule that no longer fires.
    InvalidConfig, BadInput
        What is wrong with the configuration.
    """
    require_live_rules()
    configuration = load_valid(config)
    with ExitStack() as stack:
        if not stored:
            yield _config(configuration, _own_standings(configuration)), None
            return
        store, last_good, acts = _store(artifacts_folder(artifacts), stack)
        now_ns = SystemClock().now_ns()
        standings = take_over(
            configuration.profiles, configuration.broken, last_good, now_ns=now_ns, acts=acts
        )
        yield _config(configuration, standings), store


def is_stored(artifacts: Path | None) -> bool:
    """Whether an artifacts folder has a database already."""
    return (artifacts_folder(artifacts) / "state" / DATABASE).exists()


def _config(configuration: Configuration, standings: dict[str, Standing]) -> GateConfig:
    return GateConfig(configuration.settings, standings, code_version())


def _own_standings(configuration: Configuration) -> dict[str, Standing]:
    """How accounts stand where nobody remembers an earlier configuration."""
    now_ns = SystemClock().now_ns()
    found = {
        p.account: standing(p.account, p, None, (), now_ns=now_ns, starting=True)
        for p in configuration.profiles
    }
    for firm in configuration.broken:
        for account in firm.accounts:
            found[account] = standing(account, None, None, firm.findings, now_ns=now_ns, starting=True)
    return found


def _store(artifacts: Path, stack: ExitStack) -> tuple[GateStore, Callable[[str], LastGoodConfigs], Acts]:
    from regime_trading.adapters.artifacts import LocalArtifacts
    from regime_trading.adapters.database import (
        SqlAuditLog,
        SqlLastGood,
        SqlLedger,
        SqlOverrides,
        open_database,
        sqlite_url,
    )
    from regime_trading.bootstrap.acts import make_acts

    engine = open_database(sqlite_url(state_file(artifacts, DATABASE)))
    stack.callback(engine.dispose)

    @cache
    def ledger(firm: str, mode: Mode) -> Ledger:
        return SqlLedger(engine, firm_id=firm, env=mode)

    def in_force(profile: TraderProfile, as_of_ns: int) -> TraderProfile:
        stored = SqlOverrides(engine, firm_id=profile.firm_id).of(profile.account)
        return with_overrides(profile, stored, as_of_ns) if stored else profile

    store = GateStore(ledger, lambda firm: SqlAuditLog(engine, firm_id=firm), in_force)
    acts = make_acts(engine, LocalArtifacts(artifacts), code_version())
    return store, lambda firm: SqlLastGood(engine, firm_id=firm), acts
