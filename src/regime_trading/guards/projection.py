"""From the meet of all rules to target weights (``risk.md`` 2.3, 2.4): the largest book the lattice allows
along the proposal's own direction, with hedge credit only for hedges that survive and no refund for clamps.

``|w_i| = min(box_i, throttle · k · f_i · |p_i|)`` with the factors ``f_i`` from the proposal alone,
``a_i = min(box_i / |p_i|, f_i)`` and
``σ̃² = Σ [p_i p_j Σ_ij]⁺ − Σ [p_i p_j Σ_ij]⁻ a_i a_j`` (positive terms in full, negative ones as far as both legs
remain). A frozen asset enters budgets with what it is, earns no hedge credit, and keeps what it asked for beyond
that reserved, so that nobody else spends it. A throttle acts on the raw proposal and never on what a box left of it:
a book that may only shrink would else be halved at every look. As any ``a`` falls, σ̃ does not fall and ``k`` does
not rise, so adding or tightening a rule never loosens an outcome. One exception, by ruling (2.4): where the frozen
part alone is over a budget, the rest of the book may only shrink, but is not forced out; it may be the hedge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, NANO
from regime_trading.core.rules import TradingState
from regime_trading.guards.budgets import (
    Demand,
    budget_rules,
    cap_exhausted,
    cap_factor,
    mean_worst,
    pair_factor,
    scenario_losses,
    tilt_factor,
    tilted,
)
from regime_trading.guards.constraint import Constraint, Rise, holds, trading_state
from regime_trading.guards.snapshot import View
from regime_trading.guards.variance import Risk, grid_down, largest_factor, variance_terms


@dataclass(frozen=True, slots=True)
class Projection:
    """Targets of all accounts.

    Parameters
    ----------
    target : float64 [A, N]
        Nanoweights; the current weight where the asset cannot be traded or cannot be weighed.
    frozen : bool [A, N]
        Where that is so.
    lo, hi, scale : float64 [A, N]
        The box and the asset factors that were applied.
    k, throttle : float64 [A]
        Budget factor (1e-9 grid, rounded down) and throttle.
    sigma_tilde : float64 [A]
        Annualised σ̃ of the proposal with everything frozen counted.
    budgets : tuple of str
        Rules whose budgets were spent, B of them.
    binding_assets : bool [A, N, B]
        The assets that each of them reduced.
    """

    target: F8
    frozen: B1
    lo: F8
    hi: F8
    scale: F8
    k: F8
    throttle: F8
    sigma_tilde: F8
    budgets: tuple[str, ...]
    binding_assets: B1

    @property
    def binding(self) -> B1:
        """Which budgets reduced the book, bool [A, B]."""
        reduced: B1 = np.logical_or.reduce(self.binding_assets, axis=1)
        return reduced


def project(view: View, meet: Constraint, proposed: F8, held: B1, risk: Risk) -> Projection:
    """Largest allowed target along ``proposed``.

    Parameters
    ----------
    proposed : float64 [A, N]
        Sanitised proposal, nanoweights, finite.
    held : bool [A, N]
        Targets that stand for "keep what is there": no throttle applies to them (it would compound).
    risk : Risk
    """
    demand = split(view, meet, proposed, held)
    sizes = _size_budgets(meet, demand, risk)
    fixed_variance = _fixed_variance(demand, risk)
    books = _book_exhausted(meet, demand, fixed_variance, view)
    moving = demand.free != 0
    some = np.logical_or.reduce(moving, axis=1)
    lo, hi = _box(view, meet, np.logical_or.reduce([*(over for _, over in sizes), *books], axis=0) & some)

    cut = np.ones_like(proposed) if meet.scale is None else meet.scale
    for factor, _ in sizes:
        cut = np.minimum(cut, factor)
    boxed, sized, scale = _survivors(demand.free, lo, hi, cut)
    size = np.minimum(boxed, sized)

    throttle = view.everyone(1.0) if meet.throttle is None else meet.throttle
    kept_too = (held & moving).any(axis=1)[:, None]
    relative = np.where(kept_too & ~held, throttle[:, None], 1.0)
    ks = [tilt_factor(tilt, demand, np.trunc(relative * size)) for tilt in meet.tilts]
    ks += [_tail_factor(view, demand, relative * scale, tail.confidence, tail.limit) for tail in meet.tails]
    k_vol, sigma_tilde = _vol_factor(meet, demand, relative * scale, risk, fixed_variance)
    ks += [k_vol] if meet.vol is not None else []
    k = np.minimum.reduce([view.everyone(1.0), *ks])
    held_back = []
    for rise in meet.rises:
        lower = risen(rise, k)
        held_back.append((lower < k)[:, None] & moving)
        k = lower
    book = np.where(held, k[:, None], (throttle * k)[:, None])
    weight = np.copysign(np.minimum(boxed, np.trunc(book * sized)), demand.free) + 0.0

    binding = [((factor < 1.0) | over[:, None]) & moving for factor, over in sizes]
    binding += [((factor < 1.0) | over)[:, None] & moving for factor, over in zip(ks, books, strict=True)]
    binding += held_back
    names = budget_rules(meet)
    return Projection(
        target=np.where(demand.frozen, view.books.current, weight),
        frozen=demand.frozen,
        lo=lo,
        hi=hi,
        scale=scale,
        k=k,
        throttle=throttle,
        sigma_tilde=sigma_tilde,
        budgets=names,
        binding_assets=np.stack(binding, axis=2) if names else np.zeros((*proposed.shape, 0), dtype=np.bool_),
    )


def risen(rise: Rise, k: F8) -> F8:
    """``k`` as far as it may rise above what it was: monotone in ``k``, never above it."""
    small = (k > rise.last) & (k < rise.last + rise.least) & (k < 1.0)
    lower = np.minimum(np.where(small, rise.last, k), rise.last + rise.most)
    return np.where(lower < k, grid_down(lower), k)


def split(view: View, meet: Constraint, proposed: F8, held: B1) -> Demand:
    """What of a proposal is free to move. An asset that cannot be weighed is frozen too, unless it is to leave the
    book altogether."""
    frozen = np.zeros(proposed.shape, dtype=np.bool_) if meet.no_trade is None else meet.no_trade
    must_leave = (trading_state(meet, view.n_accounts) >= TradingState.FLATTEN)[:, None]
    if meet.embargo is not None:
        frozen = frozen | (meet.embargo & ~must_leave)
    lost = np.isnan(view.books.current)
    if holds(lost):
        leaving = ((proposed == 0) & ~held) | must_leave
        if meet.scale is not None:
            leaving |= meet.scale == 0
        frozen = frozen | (lost & ~leaving)
    nothing = np.zeros_like(proposed)
    if not holds(frozen):
        return Demand(proposed, nothing, proposed, nothing, frozen)
    free, fixed = np.where(frozen, 0.0, proposed), np.where(frozen, view.held, 0.0)
    same_side = np.where(proposed * fixed > 0, np.abs(fixed), 0.0)
    beyond = np.copysign(np.maximum(np.abs(proposed) - same_side, 0.0), proposed)
    asked = np.where(frozen, beyond, proposed)
    turned = np.where(asked * fixed < 0, np.abs(fixed), 0.0)
    reserved = np.where(frozen, np.maximum(np.abs(asked) - turned, 0.0), 0.0)
    return Demand(free, fixed, asked, reserved, frozen)


def mode_box(mode: I1, left: F8) -> tuple[F8, F8]:
    """Boxes of the trading states: REDUCE_ONLY hull(0, left), FLATTEN and LOCKED {0}; ``left`` = net of exits."""
    reduce_only = (mode == TradingState.REDUCE_ONLY)[:, None]
    flat = (mode >= TradingState.FLATTEN)[:, None]
    lo = np.where(flat, 0.0, np.where(reduce_only, np.minimum(left, 0.0), -np.inf))
    hi = np.where(flat, 0.0, np.where(reduce_only, np.maximum(left, 0.0), np.inf))
    return lo, hi


def left_after_exits(view: View) -> F8:
    """Present weights less what working exits will close, rounded toward zero; float64 [A, N]."""
    exits, qty = np.abs(view.books.working_exit_qty), np.abs(view.books.qty)
    if not holds(exits):
        return view.held
    stays = np.divide(qty - np.minimum(exits, qty), qty, out=np.zeros_like(qty), where=qty > 0)
    left: F8 = np.trunc(view.held * stays)
    return left


def _box(view: View, meet: Constraint, exhausted: B1) -> tuple[F8, F8]:
    """Boxes of all rules; REDUCE_ONLY too where a budget is exhausted or a position cannot be weighed."""
    mode = trading_state(meet, view.n_accounts)
    cautious = exhausted | np.logical_or.reduce(np.isnan(view.books.current), axis=1)
    mode = np.maximum(mode, cautious.astype(np.int8))
    if holds(mode):
        lo, hi = mode_box(mode, left_after_exits(view))
    else:
        lo, hi = np.full(view.held.shape, -np.inf), np.full(view.held.shape, np.inf)
    return (
        lo if meet.lo is None else np.maximum(lo, meet.lo),
        hi if meet.hi is None else np.minimum(hi, meet.hi),
    )


def _size_budgets(meet: Constraint, demand: Demand, risk: Risk) -> list[tuple[F8, B1]]:
    """Factor [A, N] of every cap and pair cap, and where the frozen part alone overspends it [A]."""
    nowhere = np.zeros(len(demand.free), dtype=np.bool_)
    some_frozen = holds(demand.frozen)
    found = [
        (cap_factor(cap, demand), cap_exhausted(cap, demand) if some_frozen else nowhere) for cap in meet.caps
    ]
    return found + [pair_factor(cap, demand, risk.rho, risk.blind) for cap in meet.pairs]


def _book_exhausted(meet: Constraint, demand: Demand, fixed_variance: F8, view: View) -> list[B1]:
    """Where the frozen part alone overspends each tilt, tail and the volatility budget, bool [A] each."""
    nowhere = np.zeros(len(demand.free), dtype=np.bool_)
    budgets = len(meet.tilts) + len(meet.tails) + (meet.vol is not None)
    if not holds(demand.frozen):
        return [nowhere] * budgets
    over = [np.abs(tilted(tilt, demand.fixed)) > tilt.limit for tilt in meet.tilts]
    for tail in meet.tails:
        stuck = _losses(view, demand, np.zeros_like(demand.free))[1]
        over.append(mean_worst(stuck, tail.confidence) > tail.limit)
    if meet.vol is not None:
        over.append(fixed_variance > np.square(meet.vol))
    return over


def _survivors(free: F8, lo: F8, hi: F8, cut: F8) -> tuple[F8, F8, F8]:
    """What the boxes and what the factors leave of each free asset, in whole nanoweights; and both as a factor."""
    asked = np.abs(free)
    boxed = np.abs(np.minimum(np.maximum(free, lo), hi))
    sized = np.where(cut < 1.0, np.trunc(cut * asked), asked)
    scale = np.minimum(np.divide(boxed, asked, out=np.ones_like(asked), where=asked > 0), cut)
    return boxed, sized, scale


def _losses(view: View, demand: Demand, credit: F8) -> tuple[F8, F8]:
    scenarios = np.ascontiguousarray(view.market.signals.scenarios)
    return scenario_losses(demand.asked / NANO, demand.fixed / NANO, credit, scenarios)


def _tail_factor(view: View, demand: Demand, credit: F8, confidence: F8, limit: F8) -> F8:
    """``k`` of an expected-shortfall budget: ``k · ES(free) + ES(fixed) ≤ limit`` (shortfall is subadditive)."""
    moving, stuck = _losses(view, demand, np.where(demand.frozen, 0.0, credit))
    spent, wanted = mean_worst(stuck, confidence), mean_worst(moving, confidence)
    room = limit - np.maximum(spent, 0.0)
    factor = np.divide(room, wanted, out=np.ones_like(wanted), where=(wanted > room) & (room >= 0))
    return grid_down(np.where(factor < 1.0, factor * (1.0 - 1e-9), factor))


def _fixed_variance(demand: Demand, risk: Risk) -> F8:
    if not holds(demand.frozen):
        return np.zeros(len(demand.free))
    nothing = np.zeros_like(demand.fixed)
    return variance_terms(nothing, demand.fixed / NANO, nothing, risk.sigma, risk.rho, risk.blind)[2]


def _vol_factor(
    meet: Constraint, demand: Demand, credit: F8, risk: Risk, fixed_variance: F8
) -> tuple[F8, F8]:
    """``k`` of the volatility budget, and σ̃ itself."""
    surviving = np.where(demand.frozen, 0.0, credit)
    a, b, c = variance_terms(
        demand.asked / NANO, demand.fixed / NANO, surviving, risk.sigma, risk.rho, risk.blind
    )
    sigma_tilde = np.sqrt(a + 2.0 * b + c)
    if meet.vol is None:
        return np.ones(len(a)), sigma_tilde
    k = largest_factor(a, b, c, meet.vol)
    return np.where(fixed_variance > np.square(meet.vol), 1.0, k), sigma_tilde
