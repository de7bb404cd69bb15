"""From target weights to a step plan: cancels, exits, entries; lots, bands, pace, turnover, caps on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8, NANO
from regime_trading.core.rules import Authority, TradingState
from regime_trading.guards.budgets import used
from regime_trading.guards.constraint import Constraint, holds, trading_state
from regime_trading.guards.projection import Projection, left_after_exits
from regime_trading.guards.snapshot import Params, View, known_or_zero
from regime_trading.guards.variance import Risk
from regime_trading.guards.verdict import any_asset
from regime_trading.guards.waiting import Scale, all_or_none, weights_of, within_budgets

PASSIVE_BAND = 1.1


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Signed quantities; cancels leave first, then exits, then entries.

    Parameters
    ----------
    target_qty, step_qty : float64 [A, N]
        Where the account should end up, and what it does about it now (whole lots, NaN never).
    exit_qty, entry_qty : float64 [A, N]
        The closing and the opening leg of each step (a step through zero has both).
    owed_qty : float64 [A, N]
        Closing legs that nobody may send now: the authority forbids it, or the asset cannot be traded.
    cancel : bool [A, N]
        Entries that work at the broker and must go.
    skipped, passive, paced, turned, barred : bool [A, N]
        XL-07 skipped a leg; a soft cap was passed by the market, and not by enough to trim; a pace cut a leg; the
        turnover budget cut it; nobody may send it now.
    waiting : bool [A, N, B]
        Entries that wait, in part or in whole, for exits that are still to come: without them the book would
        pass the budget.
    """

    target_qty: F8
    step_qty: F8
    exit_qty: F8
    entry_qty: F8
    owed_qty: F8
    cancel: B1
    skipped: B1
    passive: B1
    paced: B1
    turned: B1
    barred: B1
    waiting: B1


def plan(
    view: View, meet: Constraint, projection: Projection, small: Params, soft: B1, risk: Risk
) -> StepPlan:
    """Steps toward the target that every execution rule allows.

    Parameters
    ----------
    small : Params
        XL-07 parameters.
    soft : bool [A, N]
        Nothing but soft rules keeps the asset from its proposed weight.
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
    entry_qty, cancel = _beside_working(view, meet, entry_qty)
    entry_qty = known_or_zero(scale.lots(entry_qty)) + 0.0  # a partial fill may have left an odd lot
    band = _passive(view, projection, soft, meet)
    skip_exit, skip_entry = _too_small(view, meet, projection, exit_qty, entry_qty, small, band, scale)
    passive = band & skip_exit
    exit_qty, entry_qty = np.where(skip_exit, 0.0, exit_qty), np.where(skip_entry, 0.0, entry_qty)
    exit_qty, entry_qty, paced = _pace(meet, exit_qty, entry_qty, scale)
    entering = weights_of(entry_qty, scale)
    entry_qty, turned = _turnover(meet, entry_qty, entering, scale)
    if holds(turned):
        entering = weights_of(entry_qty, scale)
    entry_qty, waiting = within_budgets(view, meet, exit_qty, entry_qty, entering, risk, scale)
    crumbs = _below_minimum(view, entry_qty, small, scale)
    if holds(crumbs) or holds(waiting):
        entry_qty, more = all_or_none(view, meet, exit_qty, np.where(crumbs, 0.0, entry_qty), risk, scale)
        waiting |= more
    owed = _owed(view, meet, projection, exit_qty)
    wanted = (exit_qty != 0, entry_qty != 0)
    exit_qty, entry_qty = _authority(meet, exit_qty, entry_qty)
    return StepPlan(
        target_qty=target_qty,
        step_qty=exit_qty + entry_qty,
        exit_qty=exit_qty,
        entry_qty=entry_qty,
        owed_qty=owed,
        cancel=cancel,
        skipped=(skip_exit & ~passive) | skip_entry | crumbs,
        passive=passive,
        paced=paced,
        turned=turned,
        barred=(wanted[0] & (exit_qty == 0)) | (wanted[1] & (entry_qty == 0)),
        waiting=waiting,
    )


def _beside_working(view: View, meet: Constraint, entry_qty: F8) -> tuple[F8, B1]:
    """Entries that already work count as sent; those that are no longer wanted are cancelled first.

    Where one is cancelled nothing new opens until it is gone: it may still fill.
    """
    working = view.books.broker.working_entry_qty
    cancel = np.zeros(entry_qty.shape, dtype=np.bool_)
    if not holds(working):
        return entry_qty, cancel
    wanted = (np.sign(working) * np.sign(entry_qty) > 0) & (np.abs(working) <= np.abs(entry_qty))
    cancel = (working != 0) & ~wanted
    if meet.cancel is not None:
        cancel |= meet.cancel & (working != 0)
    cancel |= (trading_state(meet, view.n_accounts) >= TradingState.REDUCE_ONLY)[:, None] & (working != 0)
    if meet.authority is not None:
        cancel |= (meet.authority >= Authority.RISK_REDUCING)[:, None] & (working != 0)
    return np.where(cancel, 0.0, entry_qty - np.where(wanted, working, 0.0)) + 0.0, cancel


def _passive(view: View, projection: Projection, soft: B1, meet: Constraint) -> B1:
    """Positions that only the market took past a soft cap, by less than the passive band (``risk.md`` P5)."""
    held, asked, target = view.held, view.books.proposed, known_or_zero(projection.target)
    inside = (np.abs(held) > np.abs(target)) & (np.abs(held) <= PASSIVE_BAND * np.abs(target))
    inside &= (held * target > 0) & (np.abs(asked) >= np.abs(held)) & soft
    normal: B1 = (trading_state(meet, view.n_accounts) == TradingState.NORMAL)[:, None]
    return inside & normal


def _owed(view: View, meet: Constraint, projection: Projection, exit_qty: F8) -> F8:
    """What a flatten still owes: closing legs of assets that cannot be traded, or that may not be sent."""
    owed = np.zeros(exit_qty.shape)
    if meet.authority is not None:
        owed = np.where((meet.authority >= Authority.CANCEL_ONLY)[:, None], exit_qty, owed)
    stuck = (trading_state(meet, view.n_accounts) >= TradingState.FLATTEN)[:, None] & projection.frozen
    return np.where(stuck, -view.books.qty, owed) + 0.0


def _target_quantity(view: View, projection: Projection, scale: Scale) -> F8:
    """Whole lots toward zero; the present quantity where the target is the present weight or unknown.

    Where a unit has no known value, a position that is to shrink shrinks in proportion: an exit needs no price.
    """
    target, qty = projection.target, view.books.qty
    lots = scale.lots(scale.units(target))
    current = view.books.current
    shrinking = (np.abs(target) < np.abs(current)) & (target * current > 0) & ~np.isfinite(lots)
    if holds(shrinking):
        share = np.divide(target, current, out=np.zeros_like(qty), where=shrinking)
        lots = np.where(shrinking, scale.lots(qty * share), lots)
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


def _below_minimum(view: View, entry_qty: F8, small: Params, scale: Scale) -> B1:
    """Entries below the minimum notional of the rule or of the venue, or of unknown notional."""
    venue = known_or_zero(view.market.instruments.min_notional)[None, :]
    least = np.where(small["enabled"][:, None], np.maximum(small["min_notional"][:, None], venue), 0.0)
    below: B1 = (entry_qty != 0) & ((np.abs(entry_qty) * scale.value < least) | (scale.value == 0))
    return below


def _too_small(
    view: View,
    meet: Constraint,
    projection: Projection,
    exit_qty: F8,
    entry_qty: F8,
    small: Params,
    passive: B1,
    scale: Scale,
) -> tuple[B1, B1]:
    """XL-07: entries below the minimum notional or the dead band; elective reductions inside the dead band, and those
    inside the passive band.

    If holding back reductions while entries go on would leave the book larger than it is and larger than one of
    its caps, the reductions go ahead. Returns which exits and which entries are skipped.
    """
    band = np.where(small["enabled"], small["dead_band"] / NANO, 0.0)[:, None] * known_or_zero(scale.equity)
    one_sided = (exit_qty == 0) | (entry_qty == 0)
    inside_band = one_sided & (np.abs(exit_qty + entry_qty) * scale.value < band) & (scale.value > 0)
    skip_entry = (entry_qty != 0) & (inside_band | _below_minimum(view, entry_qty, small, scale))
    demanded = (view.held > projection.hi) | (view.held < projection.lo)
    demanded |= (trading_state(meet, view.n_accounts) != TradingState.NORMAL)[:, None]
    elective = inside_band & (projection.target != 0) & ~demanded
    skip_exit = (exit_qty != 0) & (elective | (passive & one_sided))
    if not meet.caps or not holds(skip_exit):
        return skip_exit, skip_entry
    entering = weights_of(np.where(skip_entry, 0.0, entry_qty), scale)
    after = np.where(skip_exit | (exit_qty == 0), view.held + entering, known_or_zero(projection.target))
    too_big = np.zeros(view.n_accounts, dtype=np.bool_)
    for cap in meet.caps:
        now = used(cap, after)
        too_big |= any_asset((now > cap.limit) & (now > used(cap, view.held)))
    return skip_exit & ~too_big[:, None], skip_entry


def _pace(meet: Constraint, exit_qty: F8, entry_qty: F8, scale: Scale) -> tuple[F8, F8, B1]:
    """XL-03 as whole lots; a flatten is never held back by ADV; nothing opens before its closing leg is through."""
    exits = _cap(exit_qty, meet.pace_exit, scale, unknown=np.inf)
    entries = _cap(entry_qty, meet.pace_entry, scale, unknown=0.0)
    flat = (trading_state(meet, len(exit_qty)) >= TradingState.FLATTEN)[:, None]
    exits = np.where(flat, exit_qty, exits)
    entries = np.where(exits != exit_qty, 0.0, entries)
    return exits, entries, (exits != exit_qty) | (entries != entry_qty)


def _cap(step: F8, pace: F8 | None, scale: Scale, *, unknown: float) -> F8:
    """Steps of at most ``pace``; of at most ``unknown`` where it cannot be told in units."""
    if pace is None:
        return step
    units = scale.lots(scale.units(pace))
    most = np.where(np.isinf(pace), np.inf, np.where(np.isfinite(units), units, unknown))
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
