"""Guard liveness, wired: the configuration as it is now, and the newest finished backtest of the artifacts folder."""

from __future__ import annotations

from pathlib import Path

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.market_data import open_source
from regime_trading.bootstrap import artifacts_folder, load_valid
from regime_trading.bootstrap.selftest import require_live_rules
from regime_trading.engine.universe import choose_accounts
from regime_trading.services.liveness import RULES, Liveness, liveness, read_record, source_heard

SOURCE = "bundled"


def guard_liveness(
    config: Path | None, artifacts: Path | None, account: str | None, run_id: str | None
) -> Liveness:
    """Every rule of every account, or of one: the counts of a run, and whether it can bind at all.

    Without ``run_id`` the counts are those of the backtest that was finished last; without one there are none, and
    reach is that on the bundled prices. Session overrides, which end within a day, are left out.

    Raises
    ------
    BadInput
        No such account or run.
    SilentRules
        A rule that no longer fires at all.
    """
    require_live_rules()
    configuration = load_valid(config)
    settings = configuration.settings
    profiles = choose_accounts(configuration.profiles, None if account is None else (account,))
    store = LocalArtifacts(artifacts_folder(artifacts))
    found = run_id or newest_backtest(store.root)
    if found is None:
        calendars = {name: item.calendar for name, item in settings.sources.items()}
        heard = source_heard(open_source(SOURCE, calendars=calendars), SOURCE, profiles, settings)
        return liveness(profiles, SOURCE, heard, None)
    record = read_record(store, found, settings, sorted({profile.firm_id for profile in profiles}))
    return liveness(profiles, record.source, record.heard, record)


def newest_backtest(artifacts: Path) -> str | None:
    """Id of the backtest that was finished last; an identical one that was only verified again counts as of its first
    time."""
    done = [path for path in artifacts.glob(f"runs/*/{RULES}") if path.with_name("summary.json").exists()]
    return (
        max(done, key=lambda path: (path.stat().st_mtime_ns, path.parent.name)).parent.name if done else None
    )
