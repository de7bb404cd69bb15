"""A dry run made definite: what was asked, its accounts, universe and bars, and what the history loop needs of them."""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from regime_trading.core.bars import SECOND_NS
from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I8
from regime_trading.core.ports import (
    ArtifactStore,
    Calendar,
    InputStore,
    MarketData,
    Notary,
    RecordSealer,
    TapeSource,
)
from regime_trading.core.schemas import (
    DataHealth,
    MicrostructureFeatures,
    Mode,
    PriceWindow,
    ProposalRows,
)
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile, require_baskets
from regime_trading.core.trading_day import trading_day_ids
from regime_trading.engine.attempts import attempt_terms
from regime_trading.engine.backtest import BasketPath, HistoryInputs
from regime_trading.engine.desk import annual_bars, make_desk, market_path
from regime_trading.engine.record import Identity
from regime_trading.engine.rl_context import context_of
from regime_trading.engine.tape_history import Readings, tape_caps, tape_path, tape_readings, tapes_hash
from regime_trading.engine.tape_reading import TapeReading
from regime_trading.engine.universe import (
    USER,
    Universe,
    choose_accounts,
    choose_universe,
    source_key,
)
from regime_trading.services.study import Progress, Study, StudyCache, basket_path


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """What was asked. Days are UTC dates, both included."""

    source: str = "bundled"
    basket: str | None = None
    symbols: tuple[str, ...] | None = None
    proposals: ProposalRows | None = None
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    accounts: tuple[str, ...] | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class BacktestDeps:
    """What the service reaches the world through."""

    settings: Settings
    profiles: tuple[TraderProfile, ...]
    source: Callable[[str], MarketData]
    calendar: Callable[[str], Calendar]
    day_edges: Callable[[str | None, int, int], I8]
    sealer: RecordSealer
    inputs: InputStore
    store: ArtifactStore
    code_version: str
    notary: Notary | None = None  #: None leaves the record unsigned


@dataclass(frozen=True, slots=True)
class Plan:
    """A request made definite."""

    run_id: str
    profiles: tuple[TraderProfile, ...]
    universe: Universe
    window: PriceWindow
    health: DataHealth
    source: str
    calendar: Calendar
    bar_ns: int
    first: int
    last: int
    data: MarketData


def make_plan(request: BacktestRequest, deps: BacktestDeps) -> Plan:
    """The accounts, the universe and the bars of a request.

    Raises
    ------
    BadInput
        A request, a source or a configuration that cannot be accepted.
    """
    data = deps.source(request.source)
    profiles = choose_accounts(deps.profiles, request.accounts)
    for profile in profiles:
        if profile.mode is not Mode.DRY_RUN:
            raise BadInput(expected="accounts in dry_run", found=profile.mode.value, where=profile.account)
    own = None if request.proposals is None else request.proposals.symbols
    if own is None and request.symbols is None:
        require_baskets(profiles)
    universe = choose_universe(
        deps.settings,
        profiles,
        request.source,
        data.symbols,
        basket=request.basket,
        symbols=own if own is not None else request.symbols,
    )
    until = None if request.last_day is None else end_of(request.last_day)
    window = data.window(until=until, symbols=universe.columns)
    if not len(window.ts_ns):
        raise BadInput(
            expected="at least one bar",
            found="none",
            where=f"source {request.source} until {request.last_day}",
        )
    start = 0 if request.first_day is None else end_of(request.first_day - dt.timedelta(days=1)) + 1
    first = int(np.searchsorted(window.ts_ns, start))
    if first >= len(window.ts_ns):
        raise BadInput(
            expected="a first day with bars after it", found=str(request.first_day), where="--from"
        )
    health = data.health(until=until, symbols=universe.columns)
    run_id = request.run_id or _run_id(
        request, deps, profiles, universe, window, first, _tape_hash(data, universe)
    )
    return Plan(
        run_id,
        profiles,
        universe,
        window,
        health,
        request.source,
        deps.calendar(data.calendar),
        health.bar_s * 1_000_000_000,
        first,
        len(window.ts_ns) - 1,
        data,
    )


def _tape_hash(data: MarketData, universe: Universe) -> str:
    return tapes_hash({s: tape for s in universe.symbols if (tape := data.tape(s)) is not None})


def end_of(day: dt.date) -> int:
    """Last nanosecond of a UTC day."""
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC)
    return int(midnight.timestamp()) * 1_000_000_000 - 1


def _run_id(
    request: BacktestRequest,
    deps: BacktestDeps,
    profiles: Sequence[TraderProfile],
    universe: Universe,
    window: PriceWindow,
    first: int,
    tapes: str,
) -> str:
    inputs = {
        "source": source_key(deps.settings, request.source),
        "window": window.content_hash(),
        "tapes": tapes,
        "first": first,
        "baskets": [choice.name for choice in universe.baskets],
        "symbols": list(universe.symbols),
        "proposals": None if request.proposals is None else request.proposals.sha256,
        "settings": deps.settings.content_hash(),
        "profiles": [[profile.account, profile.config_hash] for profile in profiles],
        "code": deps.code_version,
    }
    return f"bt-{content_hash(inputs)[:16]}"


def history_inputs(
    plan: Plan,
    found: Study,
    request: BacktestRequest,
    readings: Readings,
    deps: BacktestDeps,
    progress: Progress | None,
) -> HistoryInputs:
    """What the history loop needs of a plan."""
    settings, symbols, window = deps.settings, plan.universe.symbols, plan.window
    market = market_path(
        window,
        symbols,
        found.features,
        found.regimes,
        found.correlations,
        settings=settings,
        source=source_key(settings, plan.source),
        provides=plan.data.provides,
        calendar=plan.calendar,
        bar_ns=plan.bar_ns,
        confidence_cap=tape_caps(readings, symbols, len(window.ts_ns), settings.market_intelligence),
        tape=tape_path(readings, symbols, len(window.ts_ns)) if readings else None,
    )
    cache = StudyCache(deps.store, deps.code_version)
    baskets = (
        tuple(
            basket_path(window, found, c, plan.universe, settings, cache, progress)
            for c in plan.universe.baskets
        )
        if request.proposals is None
        else (_user_basket(request.proposals, plan),)
    )
    return HistoryInputs(
        desk=make_desk(
            plan.profiles,
            symbols,
            settings,
            annual_bars(plan.calendar.name, plan.bar_ns),
            settings.backtest.operators,
        ),
        market=market,
        baskets=baskets,
        day_ids=_day_ids(plan),
        flows=_flows(plan, settings),
        terms=attempt_terms([profile.lifecycle for profile in plan.profiles]),
        identities=tuple(
            Identity(p.firm_id, p.account_id, plan.run_id, p.mode.value, p.config_hash, deps.code_version)
            for p in plan.profiles
        ),
        first=plan.first,
        last=plan.last,
        context=context_of(
            market,
            found.features,
            found.regimes,
            tape={symbol: _said(rows) for symbol, rows in readings.items()},
            own_tiers=_own_tiers(settings, plan.bar_ns),
        ),
    )


def _said(rows: Mapping[int, TapeReading]) -> dict[int, MicrostructureFeatures]:
    return {row: reading.features for row, reading in rows.items()}


def _own_tiers(settings: Settings, bar_ns: int) -> tuple[str, ...]:
    """Tiers whose bar is as long as the source's: the market's own regime, at every bar of a history."""
    lengths = settings.market_intelligence.tiers.seconds()
    return tuple(name for name, seconds in lengths.items() if seconds * SECOND_NS == bar_ns)


def _tapes(plan: Plan) -> dict[str, TapeSource]:
    found = ((symbol, plan.data.tape(symbol)) for symbol in plan.universe.symbols)
    return {symbol: tape for symbol, tape in found if tape is not None}


def plan_readings(plan: Plan, deps: BacktestDeps) -> dict[str, dict[int, TapeReading]]:
    """What the tape of each symbol says before each decided bar; empty without tapes."""
    rows, knobs = range(plan.first, plan.last + 1), deps.settings.market_intelligence
    return {
        symbol: tape_readings(tape, plan.window.ts_ns, rows, plan.bar_ns, knobs, deps.day_edges)
        for symbol, tape in _tapes(plan).items()
    }


def _user_basket(rows: ProposalRows, plan: Plan) -> BasketPath:
    """Each proposal stands from the first bar at or after its time; the latest of one bar wins."""
    at = np.searchsorted(plan.window.ts_ns, rows.ts_ns, side="left")
    inside = at < len(plan.window.ts_ns)
    bars, last = np.unique(at[inside][::-1], return_index=True)
    weights = rows.weights[inside][::-1][last]
    wide = np.zeros((len(bars), len(plan.universe.symbols)))
    wide[:, [plan.universe.symbols.index(s) for s in rows.symbols]] = weights
    made_ns = np.ascontiguousarray(rows.ts_ns[inside][::-1][last])
    return BasketPath(USER, bars.astype(np.int64), wide, np.ones(len(plan.profiles)), made_ns)


def _day_ids(plan: Plan) -> I8:
    columns: dict[tuple[str, str], I8] = {}
    for profile in plan.profiles:
        day = profile.trading_day
        key = (day.reset_at, day.zone)
        if key not in columns:
            columns[key] = trading_day_ids(plan.window.ts_ns, dt.time.fromisoformat(day.reset_at), day.zone)
    return np.column_stack([columns[p.trading_day.reset_at, p.trading_day.zone] for p in plan.profiles])


def _flows(plan: Plan, settings: Settings) -> F8:
    """Flows at the first bar on or after their day; those before the first decided bar are left out."""
    accounts = [profile.account for profile in plan.profiles]
    days = [dt.datetime.fromtimestamp(int(ts) // 1_000_000_000, dt.UTC).date() for ts in plan.window.ts_ns]
    flows = np.zeros((len(days), len(accounts)))
    for flow in settings.backtest.flows:
        if flow.account not in accounts:
            continue
        for day in flow.days(days[0], days[-1]):
            bar = bisect.bisect_left(days, day)
            if plan.first < bar < len(days):
                flows[bar, accounts.index(flow.account)] += float(flow.amount)
    return flows
