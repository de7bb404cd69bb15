"""The long dry run: prices, research, the history loop, the sealed record and the report."""

from __future__ import annotations

import bisect
import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from regime_trading.core.audit import Dataset, chain_id
from regime_trading.core.bars import SECOND_NS
from regime_trading.core.canonical import GENESIS, chain_hashes, content_hash
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.errors import BadInput, CheckFailed
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
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import (
    AuditEvent,
    DataHealth,
    MicrostructureFeatures,
    Mode,
    PriceWindow,
    ProposalRows,
)
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile, effective_bytes, require_baskets
from regime_trading.core.trading_day import trading_day_ids
from regime_trading.engine.attempts import attempt_terms
from regime_trading.engine.backtest import BasketPath, HistoryInputs, HistoryResult, rule_counts, run_history
from regime_trading.engine.desk import annual_bars, heard, make_desk, market_path
from regime_trading.engine.inputs import InputBuffer
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
from regime_trading.services.backtest_report import build_report
from regime_trading.services.liveness import RULES, history_record, record_bytes
from regime_trading.services.study import Progress, Study, StudyCache, basket_path, study
from regime_trading.tools.report import charts, firms, for_firm, render_html, render_markdown
from regime_trading.tools.report_model import BacktestReport

BLOCK_BARS = 2048


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
class BacktestOutcome:
    """Answer of a backtest: ``summary`` is what ``--json`` prints; ``reused`` = a sealed run was verified."""

    run_id: str
    path: str
    summary: dict[str, Any]
    reused: bool


def run_backtest(
    request: BacktestRequest, deps: BacktestDeps, progress: Progress | None = None
) -> BacktestOutcome:
    """Dry run of every chosen account over history.

    An identical request verifies the sealed run and re-uses it.

    Raises
    ------
    BadInput
        A request, a source or a configuration that cannot be accepted.
    CheckFailed
        The sealed run is no longer what was sealed.
    """
    plan = make_plan(request, deps)
    path = f"runs/{plan.run_id}"
    if deps.store.exists(f"{path}/summary.json"):
        _verify(plan, deps)
        _verify_inputs(plan, deps)
        _sign(plan, deps, {})
        return BacktestOutcome(
            plan.run_id, path, json.loads(deps.store.read_bytes(f"{path}/summary.json")), True
        )
    found = study(
        plan.window, plan.universe, deps.settings, StudyCache(deps.store, deps.code_version), progress
    )
    readings = plan_readings(plan, deps)
    inputs = history_inputs(plan, found, request, readings, deps, progress)
    kept = InputBuffer(inputs.desk.annual, inputs.identities, _configs(plan), deps.inputs.put)
    sealed: dict[str, list[str]] = {}
    result = run_history(
        inputs, _sealing(inputs, kept, deps, sealed), block_bars=BLOCK_BARS, progress=progress, keep=kept.add
    )
    for account in range(len(plan.profiles)):
        for block in result.rl.blocks(account):
            if len(block.columns["seq"]):
                deps.sealer.seal_rl(block)
    report = build_report(plan, found, inputs, result, readings, deps)
    _write_report(report, path, deps.store)
    record = history_record(
        plan.run_id,
        plan.source,
        plan.window.ts_ns[plan.first :],
        heard(inputs.market),
        [(profile.account, profile.config_hash) for profile in plan.profiles],
        result,
    )
    deps.store.write_bytes(f"{path}/{RULES}", record_bytes(record))
    summary = _summary(plan, inputs, result, report, path)
    _sign(plan, deps, sealed)
    deps.store.write_bytes(f"{path}/summary.json", json.dumps(summary, indent=2).encode())
    return BacktestOutcome(plan.run_id, path, summary, False)


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


def _configs(plan: Plan) -> dict[str, bytes]:
    return {profile.config_hash: effective_bytes(profile) for profile in plan.profiles}


def _sealing(
    inputs: HistoryInputs, kept: InputBuffer, deps: BacktestDeps, sealed: dict[str, list[str]]
) -> Callable[[int, list[AuditEvent]], None]:
    """Seal entries, after what their decisions were made of; ``sealed`` collects, by chain, the hashes of all."""
    heads = [GENESIS] * len(inputs.identities)
    chains = [chain_id(who.env, who.run_id, who.firm_id, who.account_id) for who in inputs.identities]

    def sink(account: int, events: list[AuditEvent]) -> None:
        kept.flush()
        if events:
            deps.sealer.seal_audit(chains[account], heads[account], events)
            hashes = chain_hashes(heads[account], [event.body for event in events])
            sealed.setdefault(chains[account], []).extend(hashes)
            heads[account] = hashes[-1]

    return sink


def _sign(plan: Plan, deps: BacktestDeps, sealed: dict[str, list[str]]) -> None:
    """One checkpoint per firm, where anything is new."""
    if deps.notary is None:
        return
    for firm in sorted({profile.firm_id for profile in plan.profiles}):
        own = [
            SealedEntries(chain, 1, hashes)
            for chain, hashes in sealed.items()
            if chain.split("/")[-2] == firm
        ]
        deps.notary.sign(firm, own)


def _verify(plan: Plan, deps: BacktestDeps) -> None:
    for profile in plan.profiles:
        who = (plan.run_id, profile.firm_id, profile.account_id)
        for dataset in get_args(Dataset):
            if (
                dataset == "transition"
                and plan.first == plan.last
                and deps.sealer.sealed(*who, dataset) is None
            ):
                continue  # a single decision leaves its transition open
            check = deps.sealer.verify_sealed(*who, dataset)
            if not check.ok:
                raise CheckFailed(
                    f"sealed run {plan.run_id} of {profile.account}, {dataset}: entry {check.first_bad}: "
                    f"{check.reason}; remove the run's files to make it anew"
                )


def _verify_inputs(plan: Plan, deps: BacktestDeps) -> None:
    """Every decided bar has its inputs, once per firm, in files that are what was stored."""
    expected = set(plan.window.ts_ns[plan.first : plan.last + 1].tolist())
    for profile in plan.profiles:
        deps.inputs.config(profile.firm_id, profile.config_hash)
    for firm_id in sorted({profile.firm_id for profile in plan.profiles}):
        parts = deps.inputs.parts(firm_id, plan.run_id)
        found = {
            ts for part in parts for ts in np.asarray(deps.inputs.read(part).columns["ts_event"]).tolist()
        }
        if found != expected:
            raise CheckFailed(
                f"inputs of run {plan.run_id} of {firm_id}: expected {len(expected)} bars, found "
                f"{len(found & expected)} of them; remove the run's files to make it anew"
            )


def _write_report(report: BacktestReport, path: str, store: ArtifactStore) -> None:
    for folder, shown in [
        (path, report),
        *((f"{path}/firms/{firm}", for_firm(report, firm)) for firm in firms(report)),
    ]:
        for name, svg in charts(shown).items():
            store.write_bytes(f"{folder}/charts/{name}.svg", svg.encode())
        store.write_bytes(f"{folder}/report.md", render_markdown(shown, "charts").encode())
        store.write_bytes(f"{folder}/report.html", render_html(shown).encode())


def _summary(
    plan: Plan, inputs: HistoryInputs, result: HistoryResult, report: BacktestReport, path: str
) -> dict[str, Any]:
    """The ``--json`` answer (``contracts.md`` 14)."""
    counts = rule_counts(result)
    ts_ns = plan.window.ts_ns

    def day(bar: int) -> str | None:
        return None if bar < 0 else _iso(int(ts_ns[plan.first + bar]))

    accounts = []
    for a, (profile, shown) in enumerate(zip(plan.profiles, report.accounts, strict=True)):
        stats = shown.performance
        rules = {
            rule_id: {
                "evaluated": int(counts["evaluated"][a, r]),
                "bound": int(counts["bound"][a, r]),
                "unknown": int(counts["unknown"][a, r]),
                "last_bound": day(int(counts["last_bound"][a, r])),
            }
            for r, rule_id in enumerate(RULE_IDS)
        }
        accounts.append(
            {
                "account": profile.account,
                "decisions": inputs.n_bars,
                "events": result.heads[a],
                "final_equity": float(result.equity[-1, a]),
                "return": None if stats is None else _number(stats.annual_return),
                "max_drawdown": None if stats is None else _number(-stats.max_drawdown),
                "volatility": None if stats is None else _number(stats.annual_volatility),
                "turnover": _number(shown.turnover_pa),
                "attempts": [
                    {"number": x.number, "result": x.result, "rule_id": x.rule_id, "pnl": x.pnl}
                    for x in shown.attempts or ()
                ],
                "latches": len(shown.latches),
                "rules": rules,
            }
        )
    return {
        "run_id": plan.run_id,
        "path": path,
        "first": _iso(int(ts_ns[plan.first])),
        "last": _iso(int(ts_ns[plan.last])),
        "bars": inputs.n_bars,
        "notes": list(plan.universe.notes),
        "accounts": accounts,
    }


def _iso(ts_ns: int) -> str:
    return dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, dt.UTC).isoformat()


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
