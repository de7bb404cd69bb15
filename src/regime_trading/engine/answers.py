"""From one decision to the answer that other programs read: cancels, what is owed, costs, the constraint behind it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from regime_trading.core.bars import SECOND_NS
from regime_trading.core.canonical import canonical_bytes_trusted, sha256_hex
from regime_trading.core.numbers import F8, NANO, nano_text
from regime_trading.core.requests import PMRequest
from regime_trading.core.rules import (
    LATCHING_RULES,
    NANO_RULES,
    RULE_BY_ID,
    RULE_IDS,
    TIMER_RULES,
    Authority,
    Release,
    TradingState,
)
from regime_trading.core.schemas import (
    RULE_OUTCOMES,
    AccountState,
    AssetConstraint,
    BudgetUse,
    Cancel,
    ConstraintSnapshot,
    FloorDistance,
    NextEvent,
    Owed,
    PMDecision,
    ReleaseTerms,
    RuleEvaluated,
    RuleOutcome,
    ThrottleParts,
)
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.core.trading_day import EPOCH, reset_instant_s
from regime_trading.engine.carry import decision_of
from regime_trading.engine.cycle import Cycle
from regime_trading.engine.record import DecisionHashes, Identity
from regime_trading.guards.attribution import rule_names
from regime_trading.guards.budgets import mean_worst, scenario_losses, tilted, used
from regime_trading.guards.chain import Knobs, evaluate
from regime_trading.guards.constraint import Constraint, holds
from regime_trading.guards.facts import FOREVER_NS, NEVER_NS
from regime_trading.guards.floors import Floor, floors
from regime_trading.guards.snapshot import NO_LATCH, View, known_or_zero, known_spread
from regime_trading.guards.variance import Risk, book_volatility, effective_sigma

_NEWS = "UT-06"


@dataclass(frozen=True, slots=True)
class Measures:
    """What the answers of one cycle share, [A] each: σ of the proposals as they are, floors and throttles by rule, and
    of every budget its rule, what the targets use and its limit."""

    knobs: Knobs
    sigma_plain: F8
    floors: Mapping[str, Floor]
    throttles: Mapping[str, F8]
    budgets: tuple[tuple[str, F8, F8], ...]


def measures(cycle: Cycle, knobs: Knobs) -> Measures:
    """Measure one cycle; ``knobs`` are the parameters of all its rows."""
    d, view = cycle.decisions, cycle.view
    sigma, blind = effective_sigma(view, knobs["VT-06"], knobs["DS-12"], view.market.annual)
    risk = Risk(sigma * np.sqrt(view.market.annual), np.ascontiguousarray(view.market.correlation), blind)
    return Measures(
        knobs=knobs,
        sigma_plain=book_volatility(known_or_zero(d.proposed), risk),
        floors=floors(view, knobs),
        throttles=_throttles(cycle, knobs),
        budgets=tuple(_measured(d.meet, view, known_or_zero(d.projection.target), risk)),
    )


def answered(
    cycle: Cycle,
    row: int,
    who: Identity,
    hashes: DecisionHashes,
    request: PMRequest,
    profile: TraderProfile,
    state: AccountState,
    measured: Measures,
    fee_bps: float,
) -> PMDecision:
    """One account's decision with everything that a request is answered with.

    Parameters
    ----------
    cycle, row : Cycle, int
    who, hashes : Identity, DecisionHashes
    request, profile, state
        What was asked, the configuration in force, and the state after the decision.
    measured : Measures
        Of the whole cycle.
    fee_bps : float
        Fee of a fill, basis points of notional.
    """
    turnover, cost_bps = _turnover_and_cost(cycle, row, fee_bps)
    base = decision_of(cycle, row, who, hashes, request.proposal.proposal_id)
    return base.model_copy(
        update={
            "cancels": _cancels(cycle, row, request),
            "owed": _owed(cycle, row),
            "release": _release(cycle, row, profile),
            "turnover": turnover,
            "expected_cost_bps": cost_bps,
            "constraint": constraint_snapshot(cycle, row, profile, measured),
            "state": state,
        }
    )


def plain(value: float, scale: float = 1.0) -> Decimal | None:
    """A measured number as the shortest decimal of its double; None where it is not known or has no end."""
    return Decimal(repr(float(value) / scale + 0.0)) if np.isfinite(value) else None


def _weight(nano: float) -> Decimal | None:
    return Decimal(nano_text(nano)) if np.isfinite(nano) else None


# --- the decision's own parts -------------------------------------------------------------------------------


def _cancels(cycle: Cycle, row: int, request: PMRequest) -> tuple[Cancel, ...]:
    """Entries that must go first: each by its id, or all of a symbol where none is told."""
    symbols = cycle.view.market.symbols
    gone = [symbols[i] for i in np.flatnonzero(cycle.decisions.steps.cancel[row])]
    entries = [o for o in request.portfolio.working_orders or () if o.intent == "entry" and o.symbol in gone]
    named = {order.symbol for order in entries}
    found = [Cancel(client_order_id=order.client_order_id, symbol=order.symbol) for order in entries]
    found += [Cancel(symbol=symbol) for symbol in gone if symbol not in named]
    return tuple(sorted(found, key=lambda cancel: (cancel.symbol, cancel.client_order_id or "")))


def _owed(cycle: Cycle, row: int) -> tuple[Owed, ...]:
    symbols, owed = cycle.view.market.symbols, cycle.decisions.steps.owed_qty[row]
    return tuple(Owed(symbol=symbols[i], qty=Decimal(repr(float(owed[i])))) for i in np.flatnonzero(owed))


def _release(cycle: Cycle, row: int, profile: TraderProfile) -> ReleaseTerms | None:
    """What holds the account after this decision; None where nothing does."""
    after = cycle.latched_states
    held = np.flatnonzero(after.latch_kind[row] > NO_LATCH)
    if not len(held):
        return None
    ends = [end for column in held if (end := _latch_end(cycle, row, int(column), profile)) is not None]
    return ReleaseTerms(
        kind=Release(int(after.latch_kind[row].max())),
        until_ns=max(ends, default=None),
        latches=tuple(LATCHING_RULES[column] for column in held),
    )


def _latch_end(cycle: Cycle, row: int, column: int, profile: TraderProfile) -> int | None:
    """When a latch ends by time alone; None where a person must release it."""
    after = cycle.latched_states
    kind, until = int(after.latch_kind[row, column]), int(after.latch_until_ns[row, column])
    if kind == Release.TIMED and until != NEVER_NS:
        return until
    return next_reset_ns(profile, int(after.day_id[row])) if kind == Release.NEXT_SESSION else None


def next_reset_ns(profile: TraderProfile, day_id: int) -> int:
    """End of a trading day, UTC nanoseconds."""
    reset = dt.time.fromisoformat(profile.trading_day.reset_at)
    ends = EPOCH + dt.timedelta(days=day_id + (1 if reset == dt.time(0) else 0))
    return reset_instant_s(ends, reset, profile.trading_day.zone) * SECOND_NS


def _turnover_and_cost(cycle: Cycle, row: int, fee_bps: float) -> tuple[Decimal | None, Decimal | None]:
    """Notional of the steps as a share of equity; half spreads and fees on it in basis points of equity."""
    market, step = cycle.view.market, np.abs(cycle.decisions.steps.step_qty[row])
    moving, equity = step != 0, float(cycle.view.books.equity[row])
    share = (step * np.where(moving, market.unit_value(), 0.0)) / (equity if equity > 0 else np.nan)
    half = np.where(moving, known_spread(market) / 2.0, 0.0)
    turnover, cost = 0.0, 0.0
    for part, paid in zip(share.tolist(), half.tolist(), strict=True):  # a fixed order of summation
        turnover += part
        cost += part * (paid + fee_bps)
    return plain(round(turnover, 9)), plain(round(cost, 6))


# --- the constraint -----------------------------------------------------------------------------------------


def constraint_snapshot(
    cycle: Cycle, row: int, profile: TraderProfile, measured: Measures
) -> ConstraintSnapshot:
    """The meet of all rules for one account, with what each of its budgets, floors and rules says."""
    d = cycle.decisions
    said = ConstraintSnapshot(
        constraint_id="",
        trading_state=TradingState(int(d.mode[row])),
        release=_release(cycle, row, profile),
        authority=Authority(int(d.authority[row])),
        assets=_assets(cycle, row),
        budgets=_budgets(cycle, row, measured),
        throttle=_throttle(cycle, row, measured),
        k=Decimal(repr(float(d.projection.k[row]))),
        sigma_tilde=plain(d.projection.sigma_tilde[row]),
        sigma_plain=plain(measured.sigma_plain[row]),
        distance=_distances(cycle, row, measured),
        next_events=tuple(sorted(_next_events(cycle, row, profile, measured.knobs), key=_by_time)),
        rules_evaluated=_rules(cycle, row),
    )
    text = canonical_bytes_trusted(said.model_dump(mode="json", exclude={"constraint_id"}))
    return said.model_copy(update={"constraint_id": sha256_hex(text)})


def _by_time(event: NextEvent) -> tuple[int, str, str]:
    return event.at_ns, event.rule, event.effect


def _assets(cycle: Cycle, row: int) -> tuple[AssetConstraint, ...]:
    d, symbols = cycle.decisions, cycle.view.market.symbols
    p, meet = d.projection, d.meet
    entry, leave = (_row_of(pace, row, p.lo.shape) for pace in (meet.pace_entry, meet.pace_exit))
    return tuple(
        AssetConstraint(
            symbol=symbol,
            lo=_weight(p.lo[row, i]),
            hi=_weight(p.hi[row, i]),
            a=Decimal(repr(float(p.scale[row, i]))),
            tradability="no_trade" if p.frozen[row, i] else "ok",
            pace_entry=_weight(entry[i]),
            pace_exit=_weight(leave[i]),
            binding_rules=rule_names(d.limiting[row, i]),
        )
        for i, symbol in enumerate(symbols)
    )


def _row_of(values: F8 | None, row: int, shape: tuple[int, ...]) -> F8:
    """One account's values; +inf where the component is not constrained."""
    return np.full(shape[1], np.inf) if values is None else np.broadcast_to(values, shape)[row]


def _budgets(cycle: Cycle, row: int, measured: Measures) -> dict[str, BudgetUse]:
    """Of each rule with a budget the one that the targets use the largest share of."""
    projection = cycle.decisions.projection
    reduced = dict(zip(projection.budgets, projection.binding[row].tolist(), strict=True))
    worst: dict[str, tuple[float, float, float]] = {}
    for rule_id, used_up, limits in measured.budgets:
        spent, limit = float(used_up[row]), float(limits[row])
        share = spent / limit if limit > 0 else np.inf if spent > 0 else 0.0
        if np.isfinite(limit) and (rule_id not in worst or share > worst[rule_id][0]):
            worst[rule_id] = (share, spent, limit)
    return {
        rule_id: BudgetUse(limit=plain(limit), used=plain(spent), binding=bool(reduced.get(rule_id, False)))
        for rule_id, (_, spent, limit) in sorted(worst.items())
    }


def _measured(meet: Constraint, view: View, target: F8, risk: Risk) -> Iterator[tuple[str, F8, F8]]:
    """Rule, what the targets use, and the limit [A], fractions of equity (annualised volatility for VT-01)."""
    for cap in meet.caps:
        spent = used(cap, target)
        for column in range(cap.limit.shape[1]):
            yield cap.rule_id, spent[:, column] / NANO, cap.limit[:, column] / NANO
    for tilt in meet.tilts:
        yield tilt.rule_id, np.abs(tilted(tilt, target)) / NANO, tilt.limit / NANO
    for tail in meet.tails:
        nothing, past = np.zeros_like(target), np.ascontiguousarray(view.market.signals.scenarios)
        losses = scenario_losses(nothing, target / NANO, nothing, past)[1]
        yield tail.rule_id, np.maximum(mean_worst(losses, tail.confidence), 0.0), tail.limit
    if meet.vol is not None:
        yield "VT-01", book_volatility(target, risk), meet.vol


def _throttles(cycle: Cycle, knobs: Knobs) -> dict[str, F8]:
    """What each rule with a throttle asks for, float64 [A]."""
    if not holds(cycle.decisions.projection.throttle < 1.0):
        return {}
    sane = replace(cycle.view, books=replace(cycle.view.books, proposed=cycle.decisions.proposed))
    return {
        rule_id: said.constraint.throttle
        for rule_id, said in zip(RULE_IDS, evaluate(sane, knobs, cycle.view), strict=True)
        if said.constraint.throttle is not None
    }


def _throttle(cycle: Cycle, row: int, measured: Measures) -> ThrottleParts:
    """The throttle, and what each rule asked for."""
    asked = {rule_id: float(throttle[row]) for rule_id, throttle in measured.throttles.items()}
    return ThrottleParts(
        value=Decimal(repr(float(cycle.decisions.projection.throttle[row]))),
        parts={rule_id: Decimal(repr(factor)) for rule_id, factor in asked.items() if factor < 1.0},
    )


def _distances(cycle: Cycle, row: int, measured: Measures) -> dict[str, FloorDistance]:
    """How far the equity is above each floor at which a rule acts."""
    equity, found = float(cycle.view.books.equity[row]), {}
    for rule_id, floor in measured.floors.items():
        act = float(floor.act[row])
        if act != -np.inf:
            money = equity - act
            share = money / equity if equity > 0 else np.nan
            found[rule_id] = FloorDistance(money=plain(round(money, 6)), share=plain(round(share, 9)))
    return found


def _next_events(cycle: Cycle, row: int, profile: TraderProfile, knobs: Knobs) -> Iterator[NextEvent]:
    """Ends of latches and of holds, and the next window around a scheduled event."""
    after, market = cycle.latched_states, cycle.view.market
    for column in np.flatnonzero(after.latch_kind[row] > NO_LATCH):
        end = _latch_end(cycle, row, int(column), profile)
        if end is not None:
            yield NextEvent(rule=LATCHING_RULES[column], at_ns=end, effect="latch ends")
    for k, i in np.argwhere(after.timer_ns[row] > market.ts_ns):
        until = int(after.timer_ns[row, k, i])
        if until != FOREVER_NS:
            yield NextEvent(rule=TIMER_RULES[k], at_ns=until, effect=f"{market.symbols[i]} is no longer held")
    if knobs[_NEWS]["enabled"][row]:
        ahead = market.to_event_s - float(knobs[_NEWS]["before_s"][row])
        coming = np.where(np.isfinite(ahead) & (ahead > 0), ahead, np.inf)
        if len(coming) and np.isfinite(nearest := float(coming.min())):
            yield NextEvent(
                rule=_NEWS, at_ns=market.ts_ns + int(nearest * SECOND_NS), effect="event window begins"
            )


def _rules(cycle: Cycle, row: int) -> tuple[RuleEvaluated, ...]:
    d, view = cycle.decisions, cycle.view
    out = []
    for r, rule_id in enumerate(RULE_IDS):
        outcome = RULE_OUTCOMES[d.rule_outcome[row, r]]
        scale = NANO if rule_id in NANO_RULES else 1.0
        missing: tuple[str, ...] = ()
        if outcome == RuleOutcome.NOT_EVALUABLE:
            spec = RULE_BY_ID[rule_id]
            unsaid = [name for name in spec.inputs if not view.says(name)]
            missing = (*unsaid, *(name for name in spec.measured if not view.says(name, itself=True)))
        elif outcome == RuleOutcome.UNKNOWN:
            bits = int(d.rule_reasons[row, r])
            missing = tuple(code for b, code in enumerate(d.rule_codes[r]) if bits >> b & 1)
        out.append(
            RuleEvaluated(
                id=rule_id,
                outcome=outcome,
                value=plain(d.rule_value[row, r], scale),
                limit=plain(d.rule_limit[row, r], scale),
                missing_inputs=missing,
            )
        )
    return tuple(out)
