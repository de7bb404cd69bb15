"""From the arrays of a history to the report people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from regime_trading.core.market_intelligence import MarketIntelligence
from regime_trading.core.numbers import F8
from regime_trading.core.rules import RULE_IDS, Release
from regime_trading.core.schemas import ActorType, TapeSummary
from regime_trading.engine.backtest import HistoryInputs, HistoryResult, rule_counts
from regime_trading.engine.desk import heard
from regime_trading.engine.market import MarketPath
from regime_trading.engine.tape_history import Readings, market_tape_cap
from regime_trading.guards.chain import OUTCOMES
from regime_trading.services.liveness import profile_reach
from regime_trading.services.study import Study
from regime_trading.tools.controls import (
    control_buy_and_hold,
    control_moving_average,
    control_volatility_rule,
)
from regime_trading.tools.performance import (
    equity_curve,
    performance,
    sharpe_difference_interval,
    turnover_summary,
)
from regime_trading.tools.report_model import (
    AccountHistory,
    Attempt,
    BacktestReport,
    CashFlow,
    Comparison,
    LatchRecord,
    RegimeHistory,
    RuleHistory,
    SharpeGap,
    SourceNote,
    Substitute,
    Track,
)
from regime_trading.tools.report_text import utilisation

if TYPE_CHECKING:
    from regime_trading.services.backtest_plan import BacktestDeps, Plan

SUBSTITUTE_WORDS = {
    "volume": "declared average daily notional of each instrument (settings.yaml, instruments)",
    "quotes": "declared spread of each instrument (settings.yaml, instruments)",
    "status": "the exchange calendar",
}


def build_report(
    plan: Plan,
    found: Study,
    inputs: HistoryInputs,
    result: HistoryResult,
    readings: Readings,
    deps: BacktestDeps,
) -> BacktestReport:
    """The whole report over all firms; ``for_firm`` cuts it."""
    ts_ns = plan.window.ts_ns[plan.first :]
    returns = [account_returns(result, inputs, a) for a in range(len(plan.profiles))]
    accounts = tuple(_account(plan, inputs, result, returns[a], a, deps) for a in range(len(plan.profiles)))
    has_open = plan.window.open is not None
    costs = inputs.desk.costs
    return BacktestReport(
        title="Dry run over history",
        run_id=plan.run_id,
        first_ns=int(ts_ns[0]),
        last_ns=int(ts_ns[-1]),
        source=source_note(plan, inputs.market),
        tape=tape_summary(readings, plan.universe.symbols, deps.settings.market_intelligence),
        fill_price=f"Orders decided at a bar fill at the {'open' if has_open else 'close'} of the next bar.",
        costs=(
            f"Each fill pays half the spread (declared, {costs.default_spread_bps:g} bp where none is), "
            f"{costs.slippage_bps:g} bp slippage and {costs.fee_bps:g} bp fee."
            f"{_attempt_note(inputs, deps)}"
        ),
        health=plan.health,
        history=_regime_history(plan, found),
        comparisons=_comparisons(plan, found, inputs, returns, deps),
        accounts=accounts,
        operators=deps.settings.backtest.operators,
        code_version=deps.code_version,
    )


def tape_summary(readings: Readings, symbols: Sequence[str], knobs: MarketIntelligence) -> TapeSummary:
    """What the tapes said before the last bar that they reach, and over how many bars."""
    rows = sorted({row for by_row in readings.values() for row in by_row})
    last = rows[-1] if rows else -1
    said = {s: by_row[last].features for s, by_row in readings.items() if last in by_row}
    cap, grade, _ = market_tape_cap(said, symbols, knobs)
    note = (
        f"Tapes reach {len(rows):,} bars; shown is the last of them. Every other bar rests on bars alone."
        if rows
        else "The source has no quotes: spread, order-flow imbalance and microprice are not measured."
    )
    return TapeSummary(evidence=grade, confidence_cap=cap, features=tuple(said.values()), notes=(note,))


def source_note(plan: Plan, market: MarketPath) -> SourceNote:
    """Where the data came from and what stood in for what it cannot say."""
    return SourceNote(
        name=plan.source,
        provides=tuple(sorted(market.provided)),
        calendar=plan.calendar.name,
        substitutes=tuple(Substitute(name, SUBSTITUTE_WORDS[name]) for name in sorted(market.substituted)),
        notes=(*plan.health.notes, *plan.universe.notes),
    )


def account_returns(result: HistoryResult, inputs: HistoryInputs, account: int) -> F8:
    """Return of each bar, deposits taken out; a new attempt starts from its fresh capital. float64 [T]."""
    equity, flow = result.equity[:, account], result.flow[:, account]
    before = np.concatenate(([inputs.desk.initial_capital[account]], equity[:-1]))
    attempt = result.attempt[:, account]
    fresh = np.concatenate(([False], attempt[1:] != attempt[:-1]))
    before = np.where(fresh, inputs.desk.initial_capital[account], before)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, (equity - flow) / before - 1.0, np.nan)


def _attempt_note(inputs: HistoryInputs, deps: BacktestDeps) -> str:
    fee = float(deps.settings.backtest.attempt_fee)
    return (
        f" Each attempt of an evaluation costs {fee:g} on top, paid outside the account."
        if inputs.terms.on.any()
        else ""
    )


def _attempt_fees(result: HistoryResult, a: int, inputs: HistoryInputs, deps: BacktestDeps) -> float:
    """What the attempts of an evaluation cost; it is paid outside the account, so equity does not show it."""
    if not inputs.terms.on[a]:
        return 0.0
    return float(deps.settings.backtest.attempt_fee) * sum(x.account == a for x in result.attempts)


def _account(
    plan: Plan, inputs: HistoryInputs, result: HistoryResult, returns: F8, a: int, deps: BacktestDeps
) -> AccountHistory:
    profile, ts_ns = plan.profiles[a], plan.window.ts_ns[plan.first :]
    equity = result.equity[:, a]
    share = np.divide(result.traded[:, a], equity, out=np.full_like(equity, np.nan), where=equity > 0)
    flows = np.flatnonzero(result.flow[:, a])
    outcomes = np.bincount(result.outcome[:, a], minlength=len(OUTCOMES))
    annual = inputs.desk.annual
    return AccountHistory(
        account=profile.account,
        mode=profile.mode,
        currency=profile.account_currency,
        initial_capital=float(profile.initial_capital),
        ts_ns=ts_ns,
        equity=equity,
        drawdown=result.drawdown[:, a],
        throttle=result.throttle[:, a],
        trading_state=result.trading_state[:, a],
        performance=performance(returns, periods_per_year=annual),
        turnover_pa=turnover_summary(share, periods_per_year=annual).per_year,
        fees=float(np.nansum(result.fees[:, a])) + _attempt_fees(result, a, inputs, deps),
        profile=profile.display_name,
        baskets=tuple(basket.name for basket in profile.baskets),
        outcomes={name: int(n) for name, n in zip(OUTCOMES, outcomes, strict=True) if n},
        rules=_rules(result, a, ts_ns, profile_reach(profile, heard(inputs.market))),
        latches=_latches(result, a, plan),
        flows=tuple(
            CashFlow(
                int(ts_ns[i]), float(result.flow[i, a]), "deposit" if result.flow[i, a] > 0 else "withdrawal"
            )
            for i in flows
        ),
        attempts=_attempts(result, a, plan) if inputs.terms.on[a] else None,
    )


def _rules(
    result: HistoryResult, a: int, ts_ns: np.ndarray, reach: Mapping[str, str]
) -> tuple[RuleHistory, ...]:
    counts = rule_counts(result)
    rules = []
    for r, rule_id in enumerate(RULE_IDS):
        last = int(counts["last_bound"][a, r])
        rules.append(
            RuleHistory(
                rule_id=rule_id,
                evaluated=int(counts["evaluated"][a, r]),
                bound=int(counts["bound"][a, r]),
                unknown=int(counts["unknown"][a, r]),
                not_evaluable=int(counts["not_evaluable"][a, r]),
                off=int(counts["off"][a, r]),
                last_bound_ns=None if last < 0 else int(ts_ns[last]),
                reach=reach[rule_id],
                utilisation=utilisation(rule_id, result.rule_value[:, a, r], result.rule_limit[:, a, r]),
            )
        )
    return tuple(rules)


def _latches(result: HistoryResult, a: int, plan: Plan) -> tuple[LatchRecord, ...]:
    ts_ns = plan.window.ts_ns
    records = []
    for span in result.latches:
        if span.account != a:
            continue
        by = "simulated operator" if span.by_operator else "new trading day"
        if span.released is not None and not span.by_operator and span.kind > Release.NEXT_SESSION:
            by = "end of the attempt"
        records.append(
            LatchRecord(
                rule_id=span.rule_id,
                trading_state=span.state,
                release=span.kind,
                since_ns=int(ts_ns[span.since]),
                released_ns=None if span.released is None else int(ts_ns[span.released]),
                released_by="" if span.released is None else by,
                actor=None
                if span.released is None
                else (ActorType.SIMULATED if span.by_operator else ActorType.SERVICE),
            )
        )
    return tuple(records)


def _attempts(result: HistoryResult, a: int, plan: Plan) -> tuple[Attempt, ...]:
    ts_ns = plan.window.ts_ns
    return tuple(
        Attempt(
            number=x.number,
            start_ns=int(ts_ns[x.first_bar]),
            end_ns=None if x.result == "open" else int(ts_ns[x.last_bar]),
            result="running" if x.result == "open" else x.result,  # type: ignore[arg-type]
            sessions=x.last_bar - x.first_bar + 1,
            pnl=x.pnl,
            rule_id=x.rule_id or None,
        )
        for x in result.attempts
        if x.account == a
    )


def _regime_history(plan: Plan, found: Study) -> RegimeHistory:
    column = found.regimes.symbols.index(found.regimes.market)
    close = (
        plan.window.close[:, plan.window.symbols.index(found.regimes.market)]
        if found.regimes.market in plan.window.symbols
        else equity_curve(np.expm1(found.features.market_returns), start=100.0)
    )
    cut = slice(plan.first, None)
    return RegimeHistory(
        symbol=found.regimes.market,
        ts_ns=plan.window.ts_ns[cut],
        close=close[cut],
        state=found.regimes.risk_state[cut, column],
        label=found.regimes.label[cut, column],
        n_states=found.regimes.n_states,
    )


def _comparisons(
    plan: Plan, found: Study, inputs: HistoryInputs, returns: list[F8], deps: BacktestDeps
) -> tuple[Comparison, ...]:
    """Each account that is no evaluation beside simple rules on its own names, equally weighted.

    The same names, so that a list chosen with hindsight flatters both sides alike; the market proxy held
    throughout stands beside them. From the bar after every basket's first proposal on.
    """
    said, annual = deps.settings.report, inputs.desk.annual
    start = max((int(b.rows[0]) for b in inputs.baskets if len(b.rows)), default=plan.last) - plan.first + 1
    start = max(start, 0)
    if start >= inputs.n_bars - 1:
        return ()
    ts_ns, cost = plan.window.ts_ns[plan.first + start :], float(said.control_cost_bps)
    made = []
    for a, profile in enumerate(plan.profiles):
        if inputs.terms.on[a]:
            continue
        tracks, gaps = [], []
        own = returns[a][start:]
        for name, series, about in _controls(plan, found, inputs, deps, a):
            cut = series[plan.first + start :]
            tracks.append(_track(name, cut, annual, about))
            gap = sharpe_difference_interval(
                own,
                cut,
                seed=said.seed,
                replications=said.bootstrap_samples,
                block_bars=said.bootstrap_block_bars,
                periods_per_year=annual,
            )
            gaps.append(SharpeGap(name, *gap))
        made.append(
            Comparison(
                name=profile.account,
                ts_ns=ts_ns,
                strategy=_track(profile.account, own, annual, "after every guard, costs included"),
                controls=tuple(tracks),
                gaps=tuple(gaps),
                note=(
                    f"Controls hold the account's own names in equal weights (their choice flatters both sides alike) "
                    f"and pay {cost:g} bp per unit traded. A higher Sharpe ratio at a lower volatility is not a higher "
                    "return."
                ),
                account=profile.account,
            )
        )
    return tuple(made)


def _controls(
    plan: Plan, found: Study, inputs: HistoryInputs, deps: BacktestDeps, account: int
) -> list[tuple[str, F8, str]]:
    """Name, net returns over the whole window and rule of each control."""
    said, cost = deps.settings.report, float(deps.settings.report.control_cost_bps)
    held = np.zeros(len(inputs.market.symbols), dtype=np.bool_)
    for basket in inputs.baskets:
        if basket.share[account] > 0:
            held |= (basket.weights != 0).any(axis=0)
    index = own_index(inputs.market.close[:, held]) if held.any() else own_index(inputs.market.close)
    controls = [
        (
            "buy and hold",
            control_buy_and_hold(index, cost_bps=cost),
            "its own names in equal weights, always in",
        ),
        (
            f"{said.average_bars}-bar average",
            control_moving_average(index, said.average_bars, cost_bps=cost),
            f"the same while their index is above its {said.average_bars}-bar average, else out",
        ),
        (
            f"{said.volatility_bars}-bar volatility rule",
            control_volatility_rule(
                index,
                said.volatility_bars,
                target=float(said.volatility_target),
                cost_bps=cost,
                periods_per_year=inputs.desk.annual,
            ),
            f"the same sized to {float(said.volatility_target):.0%} volatility, never above fully in",
        ),
    ]
    market = found.regimes.market
    if market in plan.window.symbols:
        close = plan.window.close[:, plan.window.symbols.index(market)]
        controls.append((market, control_buy_and_hold(close, cost_bps=cost), "the market proxy, always in"))
    return controls


def own_index(close: F8) -> F8:
    """Index of equal weights, rebalanced at every bar without cost, from 100; float64 [T].

    The mean runs over the names that have a return at the bar; the index stands still where none has.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = close[1:] / close[:-1] - 1.0
    known = np.isfinite(moves)
    mean = np.where(known, moves, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return 100.0 * np.concatenate(([1.0], np.cumprod(1.0 + mean)))


def _track(name: str, returns: F8, annual: float, about: str) -> Track:
    return Track(
        name=name,
        value=equity_curve(returns),
        performance=performance(returns, periods_per_year=annual),
        about=about,
    )
