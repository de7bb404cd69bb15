"""The gate, wired: configuration, and the store where one is kept. Nothing of the pipeline is loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.config_files import Configuration
from regime_trading.bootstrap import artifacts_folder, database_url, has_database, load_valid, spool_folder
from regime_trading.bootstrap.selftest import require_live_rules
from regime_trading.bootstrap.version import code_version
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.config_status import Standing, standing
from regime_trading.core.errors import StoreDown
from regime_trading.core.ports import AuditLog, LastGoodConfigs, Ledger
from regime_trading.core.schemas import Mode
from regime_trading.core.trader_profile import TraderProfile, with_overrides
from regime_trading.services.acts import Acts
from regime_trading.services.configurations import take_over
from regime_trading.services.controls import in_force as in_force_now
from regime_trading.services.controls import took_effect
from regime_trading.services.pm import GateConfig, GateStore
from regime_trading.services.proof import Proof
from regime_trading.services.sealing import BackgroundSealing, Sealing


@contextmanager
def open_gate(
    config: Path | None, artifacts: Path | None, *, stored: bool
) -> Iterator[tuple[GateConfig, GateStore | None]]:
    """Configuration and store, and close them again.

    A firm whose configuration cannot be accepted stops that firm only: its accounts keep the last one that could, and
    may do the less the longer that lasts (``core.config_status``). A store that is down is opened all the same: what
    only reduces can then still be decided, and is kept in the spool.

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
        store, last_good, acts = _store(artifacts_folder(artifacts), stack, configuration)
        now_ns = SystemClock().now_ns()
        try:
            standings = take_over(
                configuration.profiles, configuration.broken, last_good, now_ns=now_ns, acts=acts()
            )
        except StoreDown as down:
            store.alarm(f"the store is down: {down}; accounts of refused configurations are not decided")
            standings = _own_standings(configuration)
        yield _config(configuration, standings), store


def is_stored(artifacts: Path | None) -> bool:
    """Whether an artifacts folder has a database already."""
    return has_database(artifacts_folder(artifacts))


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


def _store(
    artifacts: Path, stack: ExitStack, configuration: Configuration
) -> tuple[GateStore, Callable[[str], LastGoodConfigs], Callable[[], Acts]]:
    from regime_trading.adapters.artifacts import LocalArtifacts
    from regime_trading.adapters.database import (
        Engine,
        SqlAuditLog,
        SqlLastGood,
        SqlLedger,
        SqlOverrides,
        SqlRLLog,
        open_database,
    )
    from regime_trading.adapters.journal import ParquetInputs, ParquetSealer
    from regime_trading.adapters.journal.spool import FirmSpool
    from regime_trading.bootstrap.acts import make_acts
    from regime_trading.bootstrap.halts import make_halts

    @cache
    def engine() -> Engine:
        """Opened with the first use that succeeds: a store that is down does not stop exits."""
        try:
            opened = open_database(database_url(artifacts))
        except OSError as err:
            raise StoreDown(f"{artifacts}: {err.strerror}") from err
        stack.callback(opened.dispose)
        return opened

    @cache
    def ledger(firm: str, mode: Mode) -> Ledger:
        return SqlLedger(engine(), firm_id=firm, env=mode)

    def audit(firm: str) -> AuditLog:
        return SqlAuditLog(engine(), firm_id=firm)

    def in_force(profile: TraderProfile, as_of_ns: int) -> TraderProfile:
        stored = SqlOverrides(engine(), firm_id=profile.firm_id).of(profile.account)
        return with_overrides(profile, stored, as_of_ns) if stored else profile

    files = LocalArtifacts(artifacts)
    alarm = logging.getLogger("regime_trading").critical

    @cache
    def proof() -> Proof:
        from regime_trading.bootstrap.proof import open_proof, to_stderr

        return open_proof(files, configuration.settings.audit.witness, to_stderr)

    def sign(firm: str, sealed: tuple[SealedEntries, ...]) -> None:
        proof().sign(firm, sealed)

    sealing = BackgroundSealing(
        Sealing(
            audit, ParquetSealer(files), on_sealed=sign, rl=lambda firm: SqlRLLog(engine(), firm_id=firm)
        ),
        alarm,
    )
    with suppress(StoreDown):
        engine()  # first, so that it is closed last
    stack.callback(sealing.close)
    folder = spool_folder(artifacts)

    @cache
    def acts() -> Acts:
        return make_acts(engine(), files, code_version())

    halts = make_halts(artifacts, engine, acts, lambda: configuration.profiles, alarm)
    store = GateStore(
        ledger=ledger,
        audit=audit,
        inputs=ParquetInputs(files),
        in_force=in_force,
        spool=lambda firm: FirmSpool(folder, firm_id=firm),
        alarm=alarm,
        sealing=sealing,
        halts=partial(in_force_now, halts),
        under_halt=partial(took_effect, halts),
    )
    return store, lambda firm: SqlLastGood(engine(), firm_id=firm), acts
