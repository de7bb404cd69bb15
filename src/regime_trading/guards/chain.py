"""The registry, the order of the six guards, and ``decide()`` (``risk.md`` 2.2).

All rules always run, none sees another's output; the order 1 → 6 is for attribution and display and cannot
change the result. A rule that raises is replaced by REDUCE_ONLY with reason ``RULE_ERROR``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.rules import RULE_IDS, RULES, TradingState
from regime_trading.guards import blackout, concentration, data_sanity, drawdown, liquidity, vol_target
from regime_trading.guards.attribution import OUTCOMES, limiting_rules, outcome_of, refused_bits, tables
from regime_trading.guards.constraint import UNCONSTRAINED, Constraint, block, holds, meet_all, only_where
from regime_trading.guards.projection import Projection, project
from regime_trading.guards.snapshot import LATCHING_RULES, NO_LATCH, Params, States, View, known_or_zero
from regime_trading.guards.steps import StepPlan, plan
from regime_trading.guards.variance import Risk, book_volatility, effective_sigma
from regime_trading.guards.verdict import NOT_EVALUABLE, OFF, UNKNOWN, Verdict

__all__ = ["OUTCOMES", "REGISTRY", "Decisions", "Knobs", "apply_latches", "decide", "evaluate", "sanitise"]
RuleFunction = Callable[[View, Params], Verdict]
Knobs = Mapping[str, Params]

REGISTRY: dict[str, RuleFunction] = {
    "DS-01": data_sanity.stale_price,
    "DS-02": data_sanity.missing_price,
    "DS-03": data_sanity.price_jump,
    "DS-04": data_sanity.book,
    "DS-05": data_sanity.bar_integrity,
    "DS-11": data_sanity.proposal_sanity,
    "DS-12": data_sanity.covariance_health,
    "DS-14": data_sanity.equity_freshness,
    "UT-01": blackout.allow,
    "UT-02": blackout.deny,
    "UT-04": blackout.session_hours,
    "UT-06": blackout.news,
    "UT-14": blackout.freeze,
    "LD-01": drawdown.daily_loss,
    "LD-02": drawdown.drawdown,
    "LD-03": drawdown.static_loss,
    "LD-13": drawdown.firm_daily_loss,
    "VT-01": vol_target.sigma_target,
    "VT-04": vol_target.regime_budget,
    "VT-06": vol_target.unknown_volatility,
    "CC-01": concentration.single_name,
    "CC-02": concentration.gross,
    "CC-03": concentration.net,
    "CC-04": concentration.group,
    "CC-08": concentration.max_positions,
    "XL-03": liquidity.participation,
    "XL-04": liquidity.liquidation,
    "XL-05": liquidity.cost_gate,
    "XL-06": liquidity.turnover,
    "XL-07": liquidity.small_orders,
}
assert tuple(REGISTRY) == RULE_IDS

_AT = {rule_id: i for i, rule_id in enumerate(RULE_IDS)}
_INPUTS = {spec.rule_id: spec.inputs for spec in RULES}


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
    projection, steps : Projection, StepPlan
    rule_outcome, rule_value, rule_limit, rule_reasons : [A, R]
    rule_codes : tuple of tuple of str
        Reason codes by rule; bit ``b`` of ``rule_reasons`` is ``rule_codes[r][b]``.
    limiting : int64 [A, N]
        Bit ``r`` set = rule ``r`` keeps the asset from its proposed weight (or cuts its step).
    latched, unlatched : int64 [A]
        Bits over ``LATCHING_RULES``: fired now, expired now.
    refused : bool [A]
        The whole proposal was refused.
    """

    outcome: I1
    mode_before: I1
    mode: I1
    proposed: F8
    current: F8
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
    refused: B1


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
        _one(rule_id, function, arrived if arrived and rule_id == "DS-11" else view, knobs[rule_id])
        for rule_id, function in REGISTRY.items()
    ]


def _one(rule_id: str, function: RuleFunction, view: View, params: Params) -> Verdict:
    market = view.market
    for name in _INPUTS[rule_id]:
        if name not in market.provided and name not in market.substituted:
            return _blank(view, NOT_EVALUABLE, UNCONSTRAINED, f"NO_{name.upper()}")
    try:
        said = function(view, params)
    except Exception:
        everyone = np.full(view.n_accounts, TradingState.REDUCE_ONLY, dtype=np.int8)
        said = _blank(view, UNKNOWN, Constraint(mode=everyone), "RULE_ERROR")
    enabled = params["enabled"]
    return said if np.count_nonzero(enabled) == len(enabled) else _switch_off(said, enabled)


def _blank(view: View, outcome: int, constraint: Constraint, code: str) -> Verdict:
    nan = view.everyone(np.nan)
    return Verdict(
        constraint=constraint,
        outcome=np.full(view.n_accounts, outcome, dtype=np.int8),
        value=nan,
        limit=nan,
        reasons=np.ones(view.n_accounts, dtype=np.int64),
        codes=(code,),
    )


def _switch_off(said: Verdict, enabled: B1) -> Verdict:
    latch = said.latch
    return replace(
        said,
        constraint=only_where(said.constraint, enabled),
        outcome=np.where(enabled, said.outcome, np.int8(OFF)),
        reasons=np.where(enabled, said.reasons, 0),
        latch=None if latch is None else replace(latch, fire=latch.fire & enabled),
    )


def apply_latches(view: View, verdicts: list[Verdict]) -> tuple[States, I8]:
    """``s' = latch(s, C)``: fired latches join the persisted ones, each component at its stricter value.

    Returns the new states and the bits (over ``LATCHING_RULES``) of latches that are new or got stricter.
    """
    states = view.states
    added = np.zeros(view.n_accounts, dtype=np.int64)
    requests = [(column, verdicts[_AT[rule_id]].latch) for column, rule_id in enumerate(LATCHING_RULES)]
    fired = [(column, request) for column, request in requests if request is not None and holds(request.fire)]
    if not fired:
        return states, added
    kind, state = states.latch_kind.copy(), states.latch_state.copy()
    since_ns, since_session = states.latch_since_ns.copy(), states.latch_since_session.copy()
    for column, request in fired:
        held = kind[:, column] > NO_LATCH
        stricter = request.fire & (
            ~held | (request.kind > kind[:, column]) | (request.state > state[:, column])
        )
        old_state = np.where(held, state[:, column], np.int8(0))
        kind[:, column] = np.where(request.fire, np.maximum(kind[:, column], request.kind), kind[:, column])
        state[:, column] = np.where(request.fire, np.maximum(old_state, request.state), state[:, column])
        since_ns[:, column] = np.where(stricter, view.market.ts_ns, since_ns[:, column])
        since_session[:, column] = np.where(stricter, view.market.session, since_session[:, column])
        added |= stricter.astype(np.int64) << column
    latched = replace(
        states,
        latch_kind=kind,
        latch_state=state,
        latch_since_ns=since_ns,
        latch_since_session=since_session,
    )
    return latched, added


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
    proposed, held, refused = sanitise(view, knobs)
    seen = replace(view, books=replace(view.books, proposed=proposed))
    verdicts = evaluate(seen, knobs, view)
    states, added = apply_latches(view, verdicts)

    floor = Constraint(mode=states.latched_state())
    total = meet_all([floor, _keep_unnamed(view), *(said.constraint for said in verdicts)])

    sigma, blind = effective_sigma(view, knobs["VT-06"], knobs["DS-12"], annual)
    risk = Risk(sigma * np.sqrt(annual), np.ascontiguousarray(view.market.correlation), blind)
    projection = project(view, total, proposed, held, risk)
    gross_now = np.abs(view.held).sum(axis=1)
    steps = plan(view, total, projection, knobs["XL-07"], gross_now, risk)

    mode = np.zeros(view.n_accounts, dtype=np.int8) if total.mode is None else total.mode
    limiting = limiting_rules(seen, verdicts, states, projection, steps, held)
    limiting |= refused_bits(view, refused)
    outcome, value, limit, reasons = tables(verdicts, projection, steps)
    decisions = Decisions(
        outcome=outcome_of(mode, refused, proposed, projection.target, view.held),
        mode_before=view.states.latched_state(),
        mode=mode,
        proposed=proposed,
        current=view.books.current,
        projection=projection,
        steps=steps,
        gross=gross_now,
        sigma_book=book_volatility(view.held, risk),
        rule_outcome=outcome,
        rule_value=value,
        rule_limit=limit,
        rule_reasons=reasons,
        rule_codes=tuple(said.codes for said in verdicts),
        limiting=limiting,
        latched=added,
        refused=refused,
    )
    return decisions, states


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


assert len(RULES) <= 63
