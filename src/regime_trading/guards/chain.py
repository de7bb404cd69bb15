"""The registry, the order of the six guards, and ``decide()`` (``risk.md`` 2.2).

All rules always run, none sees another's output; the order 1 → 6 is for attribution and display and cannot
change the result. A rule that raises is replaced by REDUCE_ONLY with reason ``RULE_ERROR``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.rules import (
    LATCHING_RULES,
    RULE_BY_ID,
    RULE_IDS,
    TIMER_RULES,
    Authority,
    RuleSpec,
    TradingState,
)
from regime_trading.guards import (
    blackout,
    calendar,
    circuits,
    clusters,
    concentration,
    data_sanity,
    data_state,
    drawdown,
    external,
    flat_by,
    liquidity,
    stress,
    traffic,
    vol_target,
)
from regime_trading.guards.attribution import (
    OUTCOMES,
    add_refused,
    add_steps,
    limiting_targets,
    only_soft,
    outcome_of,
    tables,
)
from regime_trading.guards.constraint import (
    UNCONSTRAINED,
    Constraint,
    block,
    holds,
    meet_all,
    only_where,
    trading_state,
)
from regime_trading.guards.facts import NEVER_NS
from regime_trading.guards.projection import Projection, project
from regime_trading.guards.snapshot import NO_LATCH, Params, States, View, known_or_zero
from regime_trading.guards.steps import StepPlan, plan
from regime_trading.guards.variance import Risk, book_volatility, effective_sigma
from regime_trading.guards.verdict import NOT_EVALUABLE, OFF, UNKNOWN, Verdict

__all__ = [
    "OUTCOMES",
    "REGISTRY",
    "Decisions",
    "Knobs",
    "apply_latches",
    "decide",
    "evaluate",
    "evaluate_one",
    "sanitise",
]
RuleFunction = Callable[[View, Params], Verdict]
Knobs = Mapping[str, Params]

REGISTRY: dict[str, RuleFunction] = {
    "DS-01": data_sanity.stale_price,
    "DS-02": data_sanity.missing_price,
    "DS-03": data_sanity.price_jump,
    "DS-04": data_sanity.book,
    "DS-05": data_sanity.bar_integrity,
    "DS-06": data_state.divergence,
    "DS-07": data_state.clock,
    "DS-08": data_state.reconciliation,
    "DS-09": data_state.fx_rate,
    "DS-10": data_state.corporate_action,
    "DS-11": data_sanity.proposal_sanity,
    "DS-12": data_sanity.covariance_health,
    "DS-13": data_state.instrument_metadata,
    "DS-14": data_sanity.equity_freshness,
    "DS-15": data_state.market_status,
    "UT-01": blackout.allow,
    "UT-02": blackout.deny,
    "UT-03": blackout.permissions,
    "UT-04": calendar.session_hours,
    "UT-05": calendar.session_buffers,
    "UT-06": calendar.news,
    "UT-07": calendar.earnings,
    "UT-08": flat_by.flat_by,
    "UT-09": calendar.expiry,
    "UT-10": blackout.short_sale,
    "UT-11": blackout.cooldown,
    "UT-12": blackout.direction,
    "UT-13": calendar.lifecycle,
    "UT-14": calendar.freeze,
    "LD-01": drawdown.daily_loss,
    "LD-02": drawdown.drawdown,
    "LD-03": drawdown.static_loss,
    "LD-04": circuits.eod_loss,
    "LD-05": circuits.intraday_loss,
    "LD-06": circuits.period_loss,
    "LD-07": circuits.position_loss,
    "LD-08": circuits.loss_streak,
    "LD-09": circuits.loss_velocity,
    "LD-10": circuits.give_back,
    "LD-11": circuits.consistency,
    "LD-12": stress.stress,
    "LD-13": drawdown.firm_daily_loss,
    "LD-14": external.external_breach,
    "LD-15": external.manual_kill,
    "LD-16": external.min_equity,
    "VT-01": vol_target.sigma_target,
    "VT-02": vol_target.asset_volatility,
    "VT-03": vol_target.volatility_shock,
    "VT-04": vol_target.regime_budget,
    "VT-05": vol_target.tail_risk,
    "VT-06": vol_target.unknown_volatility,
    "CC-01": concentration.single_name,
    "CC-02": concentration.gross,
    "CC-03": concentration.net,
    "CC-04": concentration.group,
    "CC-05": clusters.cluster,
    "CC-06": clusters.pair,
    "CC-07": clusters.beta,
    "CC-08": concentration.max_positions,
    "CC-09": concentration.max_contracts,
    "CC-10": clusters.risk_contribution,
    "CC-11": clusters.correlation_break,
    "CC-12": concentration.firm_issuer,
    "CC-13": concentration.leverage,
    "XL-01": liquidity.order_size,
    "XL-02": liquidity.collar,
    "XL-03": liquidity.participation,
    "XL-04": liquidity.liquidation,
    "XL-05": liquidity.cost_gate,
    "XL-06": liquidity.turnover,
    "XL-07": liquidity.small_orders,
    "XL-08": traffic.order_rate,
    "XL-09": traffic.repeated_execution,
    "XL-10": traffic.duplicates,
    "XL-11": traffic.working_orders,
    "XL-12": traffic.self_match,
    "XL-13": traffic.fill_quality,
    "XL-14": traffic.rejects,
    "XL-15": liquidity.buying_power,
    "XL-16": traffic.dead_man,
    "XL-17": traffic.order_ttl,
    "XL-18": liquidity.impact,
}
assert tuple(REGISTRY) == RULE_IDS

_AT = {rule_id: i for i, rule_id in enumerate(RULE_IDS)}


@dataclass(frozen=True, slots=True)
class Decisions:
    """What ``decide`` answers for all accounts; rule axes follow ``RULE_IDS``.

    Parameters
    ----------
    outcome : int8 [A]
        Index into ``OUTCOMES``.
    mode_before, mode : int8 [A]
        ``TradingState``.
    proposed, current : float64 [A, N]
        Nanoweights; ``proposed`` after sanitising (a refused proposal reads as the present book).
    meet : Constraint
        The strictest of everything that was said.
    projection, steps : Projection, StepPlan
    rule_outcome, rule_value, rule_limit, rule_reasons : [A, R]
    rule_codes : tuple of tuple of str
        Reason codes by rule; bit ``b`` of ``rule_reasons`` is ``rule_codes[r][b]``.
    authority, release : int8 [A]
        ``Authority``; the strictest ``Release`` of all latches that are held (``NO_LATCH`` = none).
    limiting : int64 [A, N, W]
        Rules that keep the asset from its proposed weight or cut its step (``attribution.rule_names``).
    latched, holding : int64 [A]
        Bits over ``LATCHING_RULES``: fired now; latches that hold the account below NORMAL after this decision.
    refused : bool [A]
        The whole proposal was refused.
    orders_left, exit_ladder : float64 [A]
        What XL-08 leaves for this cycle, and how many times wider XL-02 lets the collar of an exit get.
    """

    outcome: I1
    mode_before: I1
    mode: I1
    authority: I1
    release: I1
    proposed: F8
    current: F8
    meet: Constraint
    projection: Projection
    steps: StepPlan
    gross: F8
    sigma_book: F8
    rule_outcome: I1
    rule_value: F8
    rule_limit: F8
    rule_reasons: I8
    rule_codes: tuple[tuple[str, ...], ...]
    limiting: I8
    latched: I8
    holding: I8
    refused: B1
    orders_left: F8
    exit_ladder: F8


def evaluate(view: View, knobs: Knobs, arrived: View | None = None) -> list[Verdict]:
    """Every rule's verdict, in registry order; never raises.

    Parameters
    ----------
    view : View
        With the sanitised proposal.
    arrived : View, optional
        With the proposal as it arrived: what DS-11 looks at.
    """
    return [
        evaluate_one(rule_id, arrived if arrived and rule_id == "DS-11" else view, knobs[rule_id])
        for rule_id in RULE_IDS
    ]


def evaluate_one(rule_id: str, view: View, params: Params) -> Verdict:
    """One rule's verdict; never raises."""
    spec, enabled = RULE_BY_ID[rule_id], params["enabled"]
    on = int(np.count_nonzero(enabled))
    if not on:
        return _blank(view, OFF, UNCONSTRAINED)
    said = _said(rule_id, spec, view, params)
    return said if on == len(enabled) else _switch_off(said, enabled)


def _said(rule_id: str, spec: RuleSpec, view: View, params: Params) -> Verdict:
    for names, itself in ((spec.inputs, False), (spec.measured, True)):
        for name in names:
            if not view.says(name, itself=itself):
                return _blank(view, NOT_EVALUABLE, UNCONSTRAINED, f"NO_{name.upper()}")
    try:
        return REGISTRY[rule_id](view, params)
    except Exception:
        everyone = np.full(view.n_accounts, TradingState.REDUCE_ONLY, dtype=np.int8)
        return _blank(view, UNKNOWN, Constraint(mode=everyone), "RULE_ERROR")


def _blank(view: View, outcome: int, constraint: Constraint, *codes: str) -> Verdict:
    return Verdict(
        constraint=constraint,
        outcome=np.full(view.n_accounts, outcome, dtype=np.int8),
        value=view.blank,
        limit=view.blank,
        reasons=np.full(view.n_accounts, len(codes), dtype=np.int64),
        codes=codes,
    )


def _switch_off(said: Verdict, enabled: B1) -> Verdict:
    latch, timer = said.latch, said.timer
    return replace(
        said,
        constraint=only_where(said.constraint, enabled),
        outcome=np.where(enabled, said.outcome, np.int8(OFF)),
        value=np.where(enabled, said.value, np.nan),
        limit=np.where(enabled, said.limit, np.nan),
        reasons=np.where(enabled, said.reasons, 0),
        latch=None if latch is None else replace(latch, fire=latch.fire & enabled),
        timer=None if timer is None else replace(timer, fire=timer.fire & enabled[:, None]),
    )


def apply_latches(view: View, verdicts: list[Verdict]) -> tuple[States, I8]:
    """``s' = latch(s, C)``: fired latches and timers join the persisted ones, each component at its stricter value.

    Returns the new states and the bits (over ``LATCHING_RULES``) of latches that are new or got stricter.
    """
    states = _apply_timers(view.states, verdicts)
    added = np.zeros(view.n_accounts, dtype=np.int64)
    requests = [(column, verdicts[_AT[rule_id]].latch) for column, rule_id in enumerate(LATCHING_RULES)]
    fired = [(column, request) for column, request in requests if request is not None and holds(request.fire)]
    if not fired:
        return states, added
    kind, state, until = states.latch_kind.copy(), states.latch_state.copy(), states.latch_until_ns.copy()
    since_ns, since_session = states.latch_since_ns.copy(), states.latch_since_session.copy()
    trips = states.latch_trips.copy()
    for column, request in fired:
        held = kind[:, column] > NO_LATCH
        trips[:, column] += request.fire & ~held
        wanted = request.kind
        if request.third_trip is not None:
            often = (trips[:, column] >= 3) & (request.third_trip > NO_LATCH)
            wanted = np.where(often, np.maximum(wanted, request.third_trip), wanted).astype(np.int8)
        stricter = request.fire & (~held | (wanted > kind[:, column]) | (request.state > state[:, column]))
        old_state = np.where(held, state[:, column], np.int8(0))
        old_until = np.where(held, until[:, column], NEVER_NS)
        ends = np.full(view.n_accounts, NEVER_NS) if request.until_ns is None else request.until_ns
        kind[:, column] = np.where(request.fire, np.maximum(kind[:, column], wanted), kind[:, column])
        state[:, column] = np.where(request.fire, np.maximum(old_state, request.state), state[:, column])
        until[:, column] = np.where(request.fire, np.maximum(old_until, ends), until[:, column])
        since_ns[:, column] = np.where(stricter, view.market.ts_ns, since_ns[:, column])
        since_session[:, column] = np.where(stricter, view.market.session, since_session[:, column])
        added |= stricter.astype(np.int64) << column
    latched = replace(
        states,
        latch_kind=kind,
        latch_state=state,
        latch_since_ns=since_ns,
        latch_since_session=since_session,
        latch_until_ns=until,
        latch_trips=trips,
    )
    return latched, added


def _apply_timers(states: States, verdicts: list[Verdict]) -> States:
    timers = [(row, verdicts[_AT[rule_id]].timer) for row, rule_id in enumerate(TIMER_RULES)]
    started = [(row, timer) for row, timer in timers if timer is not None and holds(timer.fire)]
    if not started:
        return states
    until = states.timer_ns.copy()
    for row, timer in started:
        until[:, row] = np.where(timer.fire, np.maximum(until[:, row], timer.until_ns), until[:, row])
    return replace(states, timer_ns=until)


def sanitise(view: View, knobs: Knobs) -> tuple[F8, B1, B1]:
    """The proposal every rule may look at: refused proposals and unnamed assets read as the present book.

    Returns proposed [A, N] (finite), held [A, N] (stands for "keep"), refused [A].
    """
    defects = data_sanity.proposal_defects(view, knobs["DS-11"])
    always = defects["PROPOSAL_MISSING"] | defects["PROPOSAL_NOT_FINITE"]
    refused = always | (np.logical_or.reduce(list(defects.values())) & knobs["DS-11"]["enabled"])
    held = refused[:, None] | ~view.books.mentioned
    return np.where(held, view.held, known_or_zero(view.books.proposed)), held, refused


def decide(view: View, knobs: Knobs, *, annual: float) -> tuple[Decisions, States]:
    """One decision for every account (``risk.md`` 2.2 steps 1 to 6).

    Parameters
    ----------
    view : View
        Market, books and persisted states, already advanced to this instant.
    knobs : mapping
        Parameters of every rule as arrays over accounts (``stack_params``).
    annual : float
        Bars a year, for annualised volatility.

    Returns
    -------
    Decisions, States
        The states carry new latches; persist them before any order leaves.
    """
    view = _weighable(view)
    if view.market.annual != annual:
        view = replace(view, market=replace(view.market, annual=annual))
    proposed, held, refused = sanitise(view, knobs)
    seen = replace(view, books=replace(view.books, proposed=proposed))
    verdicts = evaluate(seen, knobs, view)
    states, added = apply_latches(view, verdicts)

    latched, imposed = states.latched_state(), view.books.imposed_state
    floor = Constraint(mode=latched if imposed is None else np.maximum(latched, imposed))
    total = meet_all([floor, _keep_unnamed(view), *(said.constraint for said in verdicts)])

    sigma, blind = effective_sigma(view, knobs["VT-06"], knobs["DS-12"], annual)
    risk = Risk(sigma * np.sqrt(annual), np.ascontiguousarray(view.market.correlation), blind)
    projection = project(view, total, proposed, held, risk)
    limiting = limiting_targets(seen, verdicts, states, projection, held)
    steps = plan(seen, total, projection, knobs["XL-07"], only_soft(limiting.words), risk)
    add_refused(limiting, view, refused)
    add_steps(limiting, verdicts, total, projection, steps)

    normal = np.zeros(view.n_accounts, dtype=np.int8)
    mode = trading_state(total, view.n_accounts)
    outcome, value, limit, reasons = tables(verdicts, total, projection, steps)
    decisions = Decisions(
        outcome=outcome_of(mode, refused, proposed, projection.target, view.held),
        mode_before=view.states.latched_state(),
        mode=mode,
        authority=_authority(mode, normal if total.authority is None else total.authority),
        release=states.latch_kind.max(axis=1, initial=NO_LATCH),
        proposed=proposed,
        current=view.books.current,
        meet=total,
        projection=projection,
        steps=steps,
        gross=np.abs(view.held).sum(axis=1),
        sigma_book=book_volatility(view.held, risk),
        rule_outcome=outcome,
        rule_value=value,
        rule_limit=limit,
        rule_reasons=reasons,
        rule_codes=tuple(said.codes for said in verdicts),
        limiting=limiting.words,
        latched=added,
        holding=_holding(states),
        refused=refused,
        orders_left=traffic.orders_left(seen, knobs["XL-08"]),
        exit_ladder=np.asarray(knobs["XL-02"]["exit_ladder_max"], dtype=np.float64),
    )
    session = np.full(view.n_accounts, view.market.session, dtype=np.int64)
    kill = np.maximum(states.kill_level, np.int8(0))  # not knowing it lasts for one decision
    return decisions, replace(states, k_last=projection.k, k_session=session, kill_level=kill)


def _holding(states: States) -> I8:
    held = (states.latch_kind > NO_LATCH) & (states.latch_state > TradingState.NORMAL)
    bits: I8 = (held.astype(np.int64) << np.arange(held.shape[1], dtype=np.int64)).sum(axis=1)
    return bits


def _authority(mode: I1, said: I1) -> I1:
    """What may be sent: outside NORMAL nothing that adds risk."""
    return np.maximum(said, np.where(mode > TradingState.NORMAL, np.int8(Authority.RISK_REDUCING), said))


def _weighable(view: View) -> View:
    """An equity that is not a finite number is unknown; without one above zero, positions have no weight."""
    books = view.books
    usable = np.isfinite(books.equity) & (books.equity > 0)
    known = np.isfinite(books.current) & (usable[:, None] | (books.qty == 0))
    if np.count_nonzero(usable) == len(usable) and np.count_nonzero(known) == known.size:
        return view
    equity = np.where(np.isfinite(books.equity), books.equity, np.nan)
    flat = np.where(books.qty == 0, 0.0, np.nan)
    return replace(view, books=replace(books, equity=equity, current=np.where(known, books.current, flat)))


def _keep_unnamed(view: View) -> Constraint:
    """An asset an incomplete proposal does not name may only shrink (``MISSING_TARGET``)."""
    return block(~view.books.mentioned, view.held)
