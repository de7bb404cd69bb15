"""From target weights to a step plan: lots, minimum notional, dead band, pace, turnover, caps on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8, NANO
from regime_trading.core.rules import Authority, TradingState
from regime_trading.guards.constraint import Constraint, holds
from regime_trading.guards.projection import Projection, left_after_exits
from regime_trading.guards.snapshot import Params, View, known_or_zero
from regime_trading.guards.variance import Risk
from regime_trading.guards.waiting import Scale, all_or_none, weights_of, within_budgets


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Signed quantities; exits leave before entries.

    Parameters
    ----------
    target_qty, step_qty : float64 [A, N]
        Where the account should end up, and what it does about it now (whole lots, NaN never).
    exit_qty, entry_qty : float64 [A, N]
        The closing and the opening leg of each step (a step through zero has both).
    skipped, paced, turned : bool [A, N]
        XL-07 skipped a leg; XL-03 cut it; XL-06 cut it.
    waiting : bool [A, N, 4]
        Entries that wait, in part or in whole, for exits that are still to come: without them the book would
        pass the budget (order of ``BUDGETS``).
    """

    target_qty: F8
    step_qty: F8
    exit_qty: F8
    entry_qty: F8
    skipped: B1
    paced: B1
    turned: B1
    waiting: B1


def plan(
    view: View, meet: Constraint, projection: Projection, small: Params, gross_now: F8, risk: Risk
) -> StepPlan:
    """Steps toward the target that every execution rule allows.

    Parameters
    ----------
    small : Params
        XL-07 parameters.
    gross_now : float64 [A]
        Gross exposure of the current book, nanoweights.
    risk : Risk
        Entries must not take the book past its volatility budget on the way.
    """
    equity = view.books.equity[:, None]
    scale = Scale(
        known_or_zero(view.market.unit_value())[None, :],
        np.where(equity > 0, equity, np.nan),
        view.market.lot[None, :],
    )
    target_qty = _target_quantity(view, projection, scale)
    exit_qty, entry_qty = _legs(view, target_qty - view.books.qty)
    skip_exit, skip_entry = _too_small(view, meet, projection, exit_qty, entry_qty, small, gross_now, scale)
    exit_qty, entry_qty = np.where(skip_exit, 0.0, exit_qty), np.where(skip_entry, 0.0, entry_qty)
    exit_qty, entry_qty, paced = _pace(meet, exit_qty, entry_qty, scale)
    entering = weights_of(entry_qty, scale)
    entry_qty, turned = _turnover(meet, entry_qty, entering, scale)
    if holds(turned):
        entering = weights_of(entry_qty, scale)
    entry_qty, waiting = within_budgets(view, meet, exit_qty, entry_qty, entering, risk, scale)
    crumbs = _below_minimum(entry_qty, small, scale)
    if holds(crumbs) or holds(waiting):
        entry_qty, more = all_or_none(view, meet, exit_qty, np.where(crumbs, 0.0, entry_qty), risk, scale)
        waiting |= more
    exit_qty, entry_qty = _authority(meet, exit_qty, entry_qty)
    skipped = skip_exit | skip_entry | crumbs
    return StepPlan(target_qty, exit_qty + entry_qty, exit_qty, entry_qty, skipped, paced, turned, waiting)


def _target_quantity(view: View, projection: Projection, scale: Scale) -> F8:
    """Whole lots toward zero; the present quantity where the target is the present weight or unknown."""
    target, qty = projection.target, view.books.qty
    lots = scale.lots(scale.units(target))
    keep = projection.frozen | (target == view.books.current) | ~np.isfinite(lots)
    moved = np.where(keep, qty, lots)
    working = np.abs(view.books.working_exit_qty)
    if holds(working):
        settled = np.copysign(np.maximum(np.abs(qty) - working, 0.0), qty)
        moved = np.where((target == left_after_exits(view)) & ~projection.frozen, settled, moved)
    return np.where((target == 0) & ~projection.frozen, 0.0, moved) + 0.0


def _legs(view: View, step: F8) -> tuple[F8, F8]:
    """Split each step into its closing leg (toward zero) and its opening leg.

    What working exits will close is not closed twice, and nothing opens in an asset while they work.
    """
    qty, working = view.books.qty, np.abs(view.books.working_exit_qty)
    step = known_or_zero(step)
    closing = np.where(step * qty < 0, np.minimum(np.abs(step), np.abs(qty)), 0.0)
    opening = np.copysign(np.abs(step) - closing, step)
    if holds(working):
        closing = np.maximum(closing - np.minimum(working, np.abs(qty)), 0.0)
        opening = np.where(working > 0, 0.0, opening)
    return np.copysign(closing, step) + 0.0, opening + 0.0


def _below_minimum(entry_qty: F8, small: Params, scale: Scale) -> B1:
    """Entries below the minimum notional, or of unknown notional."""
    least = np.where(small["enabled"], small["min_notional"], 0.0)[:, None]
    below: B1 = (entry_qty != 0) & ((np.abs(entry_qty) * scale.value < least) | (scale.value == 0))
    return below


def _too_small(
    view: View,
    meet: Constraint,
    projection: Projection,
    exit_qty: F8,
    entry_qty: F8,
    small: Params,
    gross_now: F8,
    scale: Scale,
) -> tuple[B1, B1]:
    """XL-07: entries below the minimum notional or the dead band; elective reductions inside the dead band.

    If holding back reductions while entries go on would leave the book larger than it is and larger than its
    gross budget, the reductions go ahead. Returns which exits and which entries are skipped.
    """
    band = np.where(small["enabled"], small["dead_band"] / NANO, 0.0)[:, None] * known_or_zero(scale.equity)
    one_sided = (exit_qty == 0) | (entry_qty == 0)
    inside_band = one_sided & (np.abs(exit_qty + entry_qty) * scale.value < band)
    skip_entry = (entry_qty != 0) & (inside_band | _below_minimum(entry_qty, small, scale))
    demanded = (view.held > projection.hi) | (view.held < projection.lo)
    if meet.mode is not None:
        demanded |= (meet.mode != TradingState.NORMAL)[:, None]
    skip_exit = inside_band & (exit_qty != 0) & (projection.target != 0) & ~demanded
    if meet.gross is None or not holds(skip_exit):
        return skip_exit, skip_entry
    entering = weights_of(np.where(skip_entry, 0.0, entry_qty), scale)
    after = np.where(skip_exit | (exit_qty == 0), view.held + entering, known_or_zero(projection.target))
    gross_after = np.abs(after).sum(axis=1)
    too_big = (gross_after > meet.gross) & (gross_after > gross_now)
    return skip_exit & ~too_big[:, None], skip_entry


def _pace(meet: Constraint, exit_qty: F8, entry_qty: F8, scale: Scale) -> tuple[F8, F8, B1]:
    """XL-03 as whole lots; a flatten is never held back by ADV; nothing opens before its closing leg is through."""
    exits, entries = _cap(exit_qty, meet.pace_exit, scale), _cap(entry_qty, meet.pace_entry, scale)
    if meet.mode is not None:
        exits = np.where((meet.mode >= TradingState.FLATTEN)[:, None], exit_qty, exits)
    entries = np.where(exits != exit_qty, 0.0, entries)
    return exits, entries, (exits != exit_qty) | (entries != entry_qty)


def _cap(step: F8, pace: F8 | None, scale: Scale) -> F8:
    if pace is None:
        return step
    most = np.where(np.isinf(pace), np.inf, known_or_zero(scale.lots(scale.units(pace))))
    return np.copysign(np.minimum(np.abs(step), most), step) + 0.0


def _turnover(meet: Constraint, entry_qty: F8, entering: F8, scale: Scale) -> tuple[F8, B1]:
    """XL-06: entries share the turnover budget in proportion, rounded down to lots."""
    if meet.turnover is None:
        return entry_qty, np.zeros(entry_qty.shape, dtype=np.bool_)
    total = np.abs(entering).sum(axis=1)
    factor = np.divide(meet.turnover, total, out=np.ones_like(total), where=total > meet.turnover)
    limited = (factor < 1.0)[:, None] & (entry_qty != 0)
    return np.where(limited, scale.lots(entry_qty * factor[:, None]), entry_qty) + 0.0, limited


def _authority(meet: Constraint, exit_qty: F8, entry_qty: F8) -> tuple[F8, F8]:
    if meet.authority is None:
        return exit_qty, entry_qty
    no_entry = (meet.authority >= Authority.RISK_REDUCING)[:, None]
    no_exit = (meet.authority >= Authority.CANCEL_ONLY)[:, None]
    return np.where(no_exit, 0.0, exit_qty), np.where(no_entry, 0.0, entry_qty)
