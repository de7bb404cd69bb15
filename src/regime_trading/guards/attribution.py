"""Why a decision came out as it did: outcome, rule table, and the rules that hold each asset back (``risk.md`` I17)."""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.rules import RULE_IDS, TradingState
from regime_trading.core.schemas import Outcome
from regime_trading.guards.constraint import Constraint, holds
from regime_trading.guards.projection import BUDGETS, Projection, left_after_exits
from regime_trading.guards.snapshot import LATCHING_RULES, NO_LATCH, States, View, known_or_zero, missing_mark
from regime_trading.guards.steps import StepPlan
from regime_trading.guards.verdict import BOUND, PASS, Verdict, any_asset

BUDGET_RULE: dict[str, str] = {"gross": "CC-02", "group": "CC-04", "net": "CC-03", "vol": "VT-01"}
OUTCOMES: tuple[str, ...] = tuple(outcome.value for outcome in Outcome)
_AT = {rule_id: i for i, rule_id in enumerate(RULE_IDS)}
_BIT = {rule_id: np.int64(1) << np.int64(i) for i, rule_id in enumerate(RULE_IDS)}


def _at(name: str) -> np.int8:
    return np.int8(OUTCOMES.index(name))


_APPROVE, _BLOCK, _RESIZE, _HOLD = _at("approve"), _at("block"), _at("resize"), _at("hold")
_BY_MODE = np.array([_APPROVE, _at("reduce_only"), _at("flatten"), _at("lock")], dtype=np.int8)


def tables(verdicts: list[Verdict], projection: Projection, steps: StepPlan) -> tuple[I1, F8, F8, I8]:
    """Outcome, value, limit and reasons of every rule, [A, R]; what the projection and the steps did included."""
    outcome = np.array([said.outcome for said in verdicts]).T.copy()
    value = np.array([said.value for said in verdicts]).T.copy()
    limit = np.array([said.limit for said in verdicts]).T.copy()
    reasons = np.array([said.reasons for said in verdicts]).T.copy()
    value[:, _AT["VT-01"]] = projection.sigma_tilde
    acted = [(BUDGET_RULE[name], projection.binding[:, i]) for i, name in enumerate(BUDGETS)]
    acted += [(rule_id, any_asset(cut)) for rule_id, cut in _cuts(steps)]
    for rule_id, did in acted:
        if holds(did):
            at = outcome[:, _AT[rule_id]]
            at[did & (at == PASS)] = BOUND
    reasons[:, _AT["XL-07"]] |= any_asset(steps.skipped)  # its one code
    return outcome, value, limit, reasons


def _cuts(steps: StepPlan) -> tuple[tuple[str, B1], ...]:
    waiting = tuple((BUDGET_RULE[name], steps.waiting[..., i]) for i, name in enumerate(BUDGETS))
    return (("XL-07", steps.skipped), ("XL-03", steps.paced), ("XL-06", steps.turned), *waiting)


def limiting_rules(
    view: View, verdicts: list[Verdict], states: States, projection: Projection, steps: StepPlan, held: B1
) -> I8:
    """Bits of every rule whose own constraint keeps an asset from its proposed weight (invariant I17)."""
    proposed = view.books.proposed
    bits = np.zeros(proposed.shape, dtype=np.int64)
    moving = (proposed != 0) | (view.held != 0)
    left = left_after_exits(view)
    for rule_id, said in zip(RULE_IDS, verdicts, strict=True):
        moved = _moves(said.constraint, proposed, view.held, left, held)
        if moved is not None:
            bits |= np.where(moved & moving, _BIT[rule_id], 0)
    latched = states.latch_kind > NO_LATCH
    if holds(latched):
        for column, rule_id in enumerate(LATCHING_RULES):
            bits |= np.where(latched[:, column, None] & moving, _BIT[rule_id], 0)
    for column, name in enumerate(BUDGETS):
        bits |= np.where(projection.binding_assets[..., column], _BIT[BUDGET_RULE[name]], 0)
    for rule_id, cut in _cuts(steps):
        bits |= np.where(cut, _BIT[rule_id], 0)
    if holds(np.isnan(view.books.current)):
        bits |= _unweighed_bits(view, projection)
    return bits


def _unweighed_bits(view: View, projection: Projection) -> I8:
    """A position without a weight holds itself, and the growth of all others, back: its price or the equity."""
    lost = np.isnan(view.books.current)
    no_price = lost & missing_mark(view.market)
    moved = projection.target != view.books.proposed
    by_price: I8 = np.where(any_asset(no_price)[:, None] & moved, _BIT["DS-02"], 0)
    by_equity: I8 = np.where(any_asset(lost & ~no_price)[:, None] & moved, _BIT["DS-14"], 0)
    return by_price | by_equity


def refused_bits(view: View, refused: B1) -> I8:
    asked = view.books.proposed != view.books.current
    return np.where(refused[:, None] & asked, _BIT["DS-11"], 0)


def _moves(c: Constraint, proposed: F8, current: F8, left: F8, held: B1) -> B1 | None:
    """Assets that the constraint alone would move away from the proposal, bool [A, N]; None = none."""
    found: list[B1] = []
    if c.lo is not None and c.hi is not None:
        found.append((proposed < c.lo) | (proposed > c.hi))
    if c.mode is not None:
        shrinking = (np.abs(proposed) <= np.abs(left)) & (proposed * left >= 0)
        found.append((c.mode >= TradingState.FLATTEN)[:, None] & (proposed != 0))
        found.append((c.mode == TradingState.REDUCE_ONLY)[:, None] & ~shrinking)
    if c.no_trade is not None:
        found.append(c.no_trade & (proposed != current))
    if c.scale is not None:
        found.append((c.scale < 1.0) & (proposed != 0))
    if c.throttle is not None:
        found.append((c.throttle < 1.0)[:, None] & (proposed != 0) & ~held)
    return np.logical_or.reduce(found) if found else None


def outcome_of(mode: I1, refused: B1, proposed: F8, target: F8, current: F8) -> I1:
    """approve: the proposal as it is · block: no change although one was asked · resize: anything between."""
    known = known_or_zero(target)
    same = np.logical_and.reduce(known == proposed, axis=1)
    stuck = np.logical_and.reduce(known == current, axis=1)
    outcome = np.where(same, _APPROVE, np.where(stuck, _BLOCK, _RESIZE))
    outcome[refused] = _HOLD
    return np.where(mode > TradingState.NORMAL, _BY_MODE[mode], outcome)
