"""Commands on configurations over time: replay a change, make and list session overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.config_files import Configuration
from regime_trading.adapters.database import SqlOverrides, open_database
from regime_trading.adapters.journal import ParquetInputs, ParquetSealer
from regime_trading.adapters.market_data import open_source
from regime_trading.bootstrap import (
    artifacts_folder,
    changes_between,
    database_url,
    load,
    load_from,
)
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.app import ignore_solver
from regime_trading.bootstrap.version import code_version
from regime_trading.core.overrides import SessionOverride, ends_ns, live_overrides, session_boundary
from regime_trading.core.ports import MarketData
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.engine.histories import Progress
from regime_trading.engine.universe import choose_accounts
from regime_trading.services.backtest_plan import BacktestDeps
from regime_trading.services.config_changes import WhatIf, changes_answer, what_if
from regime_trading.services.configurations import OverrideAsk, make_override
from regime_trading.services.market import tape_days
from regime_trading.services.runs import parse_time, time_text


def replay_change(
    new: Path, request: WhatIf, artifacts: Path | None, config: Path | None, progress: Progress | None
) -> dict[str, Any]:
    """What the configuration ``new`` would have changed over the days of ``request``; the answer of
    ``regime config whatif``. Reads the artifacts folder (research that is there already), writes nothing.

    Raises
    ------
    BadInput
        A configuration or a request that cannot be accepted.
    """
    ignore_solver()
    before, after = load(config), load_from(new, config)
    store = LocalArtifacts(artifacts_folder(artifacts))
    replayed = what_if(request, _replay_deps(before, store), _replay_deps(after, store), progress)
    shown = {item["account"] for item in replayed["accounts"]}
    changes = [c for c in changes_between(before, after) if c.account in shown or not c.account]
    return changes_answer(changes) | {"replay": replayed}


def replay_profiles(
    configuration: Configuration,
    old: Sequence[TraderProfile],
    new: Sequence[TraderProfile],
    request: WhatIf,
    artifacts: Path | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """What other profiles would have decided over the days of ``request``, under the settings of ``configuration``;
    as :func:`replay_change`, without the list of changes."""
    ignore_solver()
    store = LocalArtifacts(artifacts_folder(artifacts))
    sides = (replace(configuration, profiles=tuple(profiles)) for profiles in (old, new))
    return what_if(request, *(_replay_deps(side, store) for side in sides), progress)


def _replay_deps(configuration: Configuration, store: LocalArtifacts) -> BacktestDeps:
    settings, calendar = configuration.settings, cache(ExchangeCalendar)
    calendars = {name: item.calendar for name, item in settings.sources.items()}

    @cache
    def source(name: str) -> MarketData:
        return open_source(name, calendars=calendars)

    return BacktestDeps(
        settings=settings,
        profiles=configuration.profiles,
        source=source,
        calendar=calendar,
        day_edges=tape_days(settings, calendar),
        sealer=ParquetSealer(store),
        inputs=ParquetInputs(store),
        store=store,
        code_version=code_version(),
    )


# --- session overrides --------------------------------------------------------------------------------------


def override_value(
    account: str, ask: OverrideAsk, as_of: str | None, artifacts: Path | None, config: Path | None
) -> dict[str, Any]:
    """Make a session override from now on, or from ``as_of`` on where history is decided.

    Raises
    ------
    InvalidConfig
        It does not tighten; both layers are named.
    BadInput
        No such account, or a request that cannot be accepted.
    """
    (profile,) = choose_accounts(load(config).profiles, (account,))
    folder = LocalArtifacts(artifacts_folder(artifacts))
    engine = open_database(database_url(folder.root))
    try:
        store, acts = SqlOverrides(engine, firm_id=profile.firm_id), make_acts(engine, folder, code_version())
        return _told(make_override(profile, ask, store, now_ns=_instant(as_of), acts=acts), profile)
    finally:
        engine.dispose()


def list_overrides(
    account: str | None, as_of: str | None, artifacts: Path | None, config: Path | None
) -> list[dict[str, Any]]:
    """Session overrides in force now, or at ``as_of``, account by account, oldest first."""
    profiles = choose_accounts(load(config).profiles, None if account is None else (account,))
    engine = open_database(database_url(artifacts_folder(artifacts)))
    try:
        told, now_ns = [], _instant(as_of)
        for profile in profiles:
            stored = SqlOverrides(engine, firm_id=profile.firm_id).of(profile.account)
            live = live_overrides(stored, now_ns, session_boundary(profile.trading_day))
            told += [_told(override, profile) for override in live]
        return told
    finally:
        engine.dispose()


def _instant(as_of: str | None) -> int:
    return SystemClock().now_ns() if as_of is None else parse_time(as_of, "--as-of")


def _told(override: SessionOverride, profile: TraderProfile) -> dict[str, Any]:
    return {
        "override_id": override.override_id,
        "account": override.account,
        "path": override.path,
        "value": override.value,
        "reason": override.reason,
        "created_by": override.created_by,
        "created_at": time_text(override.created_at_ns),
        "expires_at": time_text(override.expires_at_ns),
        "ends_at": time_text(ends_ns(override, session_boundary(profile.trading_day))),
        "exact": override.exact,
    }
