"""Why a decision came out as it did: outcome, rule table, and the rules that hold each asset back (``risk.md`` I17)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.rules import LATCHING_RULES, RULE_BY_ID, RULE_IDS, Authority, TradingState
from regime_trading.core.schemas import Outcome
from regime_trading.guards.constraint import Constraint, holds
from regime_trading.guards.projection import Projection, left_after_exits
from regime_trading.guards.snapshot import NO_LATCH, States, View, known_or_zero, missing_mark
from regime_trading.guards.steps import StepPlan
from regime_trading.guards.verdict import BOUND, PASS, Verdict, any_asset

OUTCOMES: tuple[str, ...] = tuple(outcome.value for outcome in Outcome)
WORD = 62
WORDS = -(-len(RULE_IDS) // WORD)
_AT = {rule_id: i for i, rule_id in enumerate(RULE_IDS)}


class Limiting:
    """Rules that hold each asset back, int64 [A, N, W]: rule ``r`` is bit ``r % WORD`` of word ``r // WORD``."""

    def __init__(self, n_accounts: int, n_assets: int) -> None:
        self._words: I8 = np.zeros((WORDS, n_accounts, n_assets), dtype=np.int64)

    @property
    def words(self) -> I8:
        return np.moveaxis(self._words, 0, 2)

    def add(self, rule_id: str, assets: B1) -> None:
        """The rule holds the marked assets back, bool [A, N]."""
        word, bit = divmod(_AT[rule_id], WORD)
        np.bitwise_or(self._words[word], np.int64(1 << bit), out=self._words[word], where=assets)


def rule_names(words: I8) -> tuple[str, ...]:
    """Rule ids of the words of one asset, or of words joined over assets."""
    return _rule_names(tuple(int(word) for word in words))


@lru_cache(maxsize=8192)
def _rule_names(words: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(rule_id for rule_id, r in _AT.items() if words[r // WORD] >> (r % WORD) & 1)


def names_any(words: I8, rule_row: int) -> B1:
    """Whether the rule of that row is among the words, bool over the leading axes."""
    named: B1 = (words[..., rule_row // WORD] >> (rule_row % WORD) & 1).astype(np.bool_)
    return named


HARD_WORDS: I8 = np.zeros(WORDS, dtype=np.int64)
for _rule_id, _row in _AT.items():
    if RULE_BY_ID[_rule_id].hard:
        HARD_WORDS[_row // WORD] |= np.int64(1) << np.int64(_row % WORD)


def only_soft(words: I8) -> B1:
    """Assets that nothing but soft rules holds back, bool [A, N]."""
    hard = np.zeros(words.shape[:2], dtype=np.bool_)
    for word in range(WORDS):
        hard |= words[..., word] & HARD_WORDS[word] != 0
    return ~hard


def _at(name: str) -> np.int8:
    return np.int8(OUTCOMES.index(name))


_APPROVE, _BLOCK, _RESIZE, _HOLD = _at("approve"), _at("block"), _at("resize"), _at("hold")
_BY_MODE = np.array([_APPROVE, _at("reduce_only"), _at("flatten"), _at("lock")], dtype=np.int8)


def tables(
    verdicts: list[Verdict], meet: Constraint, projection: Projection, steps: StepPlan
) -> tuple[I1, F8, F8, I8]:
    """Outcome, value, limit and reasons of every rule, [A, R]; what the projection and the steps did included."""
    outcome = np.array([said.outcome for said in verdicts]).T.copy()
    value = np.array([said.value for said in verdicts]).T.copy()
    limit = np.array([said.limit for said in verdicts]).T.copy()
    reasons = np.array([said.reasons for said in verdicts]).T.copy()
    value[:, _AT["VT-01"]] = projection.sigma_tilde
    reduced = projection.binding
    acted = [(rule_id, reduced[:, i]) for i, rule_id in enumerate(projection.budgets)]
    acted += [(rule_id, any_asset(cut)) for rule_id, cut in cuts(verdicts, meet, projection, steps)]
    for rule_id, did in acted:
        if holds(did):
            at = outcome[:, _AT[rule_id]]
            at[did & (at == PASS)] = BOUND
    reasons[:, _AT["XL-07"]] |= any_asset(steps.skipped)  # its one code
    return outcome, value, limit, reasons


def cuts(
    verdicts: list[Verdict], meet: Constraint, projection: Projection, steps: StepPlan
) -> list[tuple[str, B1]]:
    """What was held back on the way to the target, by the rule that did it."""
    found: list[tuple[str, B1]] = [("XL-07", steps.skipped)]
    for cut, names in ((steps.paced, ("pace_entry", "pace_exit")), (steps.turned, ("turnover",))):
        if not holds(cut):
            continue
        for rule_id, said in zip(RULE_IDS, verdicts, strict=True):
            strictest = [_strictest(said.constraint, meet, name, cut) for name in names]
            if any(part is not None for part in strictest):
                found.append(
                    (rule_id, np.logical_or.reduce([part for part in strictest if part is not None]))
                )
    found += [(rule_id, steps.waiting[..., i]) for i, rule_id in enumerate(projection.budgets)]
    for rule_id, said in zip(RULE_IDS, verdicts, strict=True):
        if said.constraint.authority is not None and holds(steps.barred):
            bars: B1 = said.constraint.authority >= Authority.RISK_REDUCING
            found.append((rule_id, steps.barred & bars[:, None]))
        if said.constraint.cancel is not None and holds(steps.cancel):
            found.append((rule_id, steps.cancel & said.constraint.cancel))
    return found


def _strictest(c: Constraint, meet: Constraint, name: str, cut: B1) -> B1 | None:
    """Where the rule's own value of a component is the one in force, among the assets that were cut."""
    own, force = getattr(c, name), getattr(meet, name)
    if own is None:
        return None
    if own.ndim == 1:
        own, force = own[:, None], force[:, None]
    strictest: B1 = cut & (own <= force) & np.isfinite(own)
    return strictest


def limiting_targets(
    view: View, verdicts: list[Verdict], states: States, projection: Projection, held: B1
) -> Limiting:
    """Every rule whose own constraint keeps an asset from its proposed weight (invariant I17)."""
    proposed = view.books.proposed
    found = Limiting(view.n_accounts, view.n_assets)
    moving = (proposed != 0) | (view.held != 0)
    left = left_after_exits(view)
    for rule_id, said in zip(RULE_IDS, verdicts, strict=True):
        moved = _moves(said.constraint, proposed, view.held, left, held)
        if moved is not None:
            found.add(rule_id, moved & moving)
    latched = (states.latch_kind > NO_LATCH) & (states.latch_state > TradingState.NORMAL)
    if holds(latched):
        for column, rule_id in enumerate(LATCHING_RULES):
            if holds(latched[:, column]):
                found.add(rule_id, latched[:, column, None] & moving)
    for column, rule_id in enumerate(projection.budgets):
        found.add(rule_id, projection.binding_assets[..., column])
    if holds(np.isnan(view.books.current)):
        _add_unweighed(view, projection, found)
    return found


def add_steps(
    found: Limiting, verdicts: list[Verdict], meet: Constraint, projection: Projection, steps: StepPlan
) -> None:
    """Every rule that cuts a step on the way to the target."""
    for rule_id, cut in cuts(verdicts, meet, projection, steps):
        if holds(cut):
            found.add(rule_id, cut)


def _add_unweighed(view: View, projection: Projection, found: Limiting) -> None:
    """A position without a weight holds itself, and the growth of all others, back: its price or the equity."""
    lost = np.isnan(view.books.current)
    no_price = lost & missing_mark(view.market)
    moved = projection.target != view.books.proposed
    found.add("DS-02", any_asset(no_price)[:, None] & moved)
    found.add("DS-14", any_asset(lost & ~no_price)[:, None] & moved)


def add_refused(found: Limiting, view: View, refused: B1) -> None:
    """A refused proposal holds every asset back that was asked to move."""
    found.add("DS-11", refused[:, None] & (view.books.proposed != view.books.current))


def _moves(c: Constraint, proposed: F8, current: F8, left: F8, held: B1) -> B1 | None:
    """Assets that the constraint alone would move away from the proposal, bool [A, N]; None = none."""
    found: list[B1] = []
    if c.lo is not None:
        found.append(proposed < c.lo)
    if c.hi is not None:
        found.append(proposed > c.hi)
    if c.mode is not None:
        shrinking = (np.abs(proposed) <= np.abs(left)) & (proposed * left >= 0)
        found.append((c.mode >= TradingState.FLATTEN)[:, None] & (proposed != 0))
        found.append((c.mode == TradingState.REDUCE_ONLY)[:, None] & ~shrinking)
    for frozen in (c.no_trade, c.embargo):
        if frozen is not None:
            found.append(frozen & (proposed != current))
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
