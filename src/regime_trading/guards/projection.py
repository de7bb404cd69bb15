"""From the meet of all rules to target weights (``risk.md`` 2.3, 2.4): the largest book the lattice allows
along the proposal's own direction, with hedge credit only for hedges that survive and no refund for clamps.

``w_i = throttle · k · a_i · p_i`` with ``a_i`` from the proposal alone and
``σ̃² = Σ [p_i p_j Σ_ij]⁺ − Σ [p_i p_j Σ_ij]⁻ a_i a_j`` (positive terms in full, negative ones as far as both legs
remain). A frozen asset enters budgets with what it is, earns no hedge credit, and keeps what it asked for beyond
that reserved, so that nobody else spends it. As any ``a`` falls, σ̃ does not fall and ``k`` does not rise, so
adding or tightening a rule never loosens an outcome. One exception, by ruling (2.4): where the frozen part alone
is over a budget, the rest of the book may only shrink, but is not forced out; it may be the hedge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, NANO
from regime_trading.core.rules import TradingState
from regime_trading.guards.constraint import Constraint, holds
from regime_trading.guards.snapshot import View
from regime_trading.guards.variance import Risk, grid_down, largest_factor, variance_terms

BUDGETS: tuple[str, ...] = ("gross", "group", "net", "vol")
GROSS, GROUP, NET, VOL = range(4)


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
    binding : bool [A, 4]
        Which of ``BUDGETS`` reduced the book.
    binding_assets : bool [A, N, 4]
        The assets it reduced.
    """

    target: F8
    frozen: B1
    lo: F8
    hi: F8
    scale: F8
    k: F8
    throttle: F8
    sigma_tilde: F8
    binding: B1
    binding_assets: B1


@dataclass(frozen=True, slots=True)
class _Demand:
    """A proposal split into what can be traded and what cannot, nanoweights [A, N].

    free: the tradable part · fixed: what frozen assets are · asked: free, and for frozen assets what they
    asked for beyond what they are.
    """

    free: F8
    fixed: F8
    asked: F8
    frozen: B1


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
    demand = _demand(view, meet, proposed, held)
    members = view.market.members
    fixed_variance = _fixed_variance(demand, risk)
    exhausted = _exhausted(meet, demand, members, fixed_variance)
    lo, hi = _box(view, meet, exhausted)

    binding = np.empty((*proposed.shape, len(BUDGETS)), dtype=np.bool_)
    everything = np.ones((proposed.shape[1], 1))
    gross = None if meet.gross is None else meet.gross[:, None]
    factors = _size_factor(demand, gross, everything), _size_factor(demand, meet.group, members)
    cut = factors[0] if meet.scale is None else np.minimum(factors[0], meet.scale)
    cut = np.minimum(cut, factors[1])
    size, scale = _survivors(demand.free, lo, hi, cut)

    throttle = view.everyone(1.0) if meet.throttle is None else meet.throttle
    relative = np.where((held & (demand.free != 0)).any(axis=1)[:, None] & ~held, throttle[:, None], 1.0)
    k_net = _net_factor(meet, demand, np.trunc(relative * size))
    k_vol, sigma_tilde = _vol_factor(meet, demand, relative * scale, risk, fixed_variance)
    k = np.minimum(k_net, k_vol)
    book = np.where(held, k[:, None], (throttle * k)[:, None])
    weight = np.copysign(np.trunc(book * size), demand.free) + 0.0

    moving = demand.free != 0
    for budget, factor in ((GROSS, factors[0]), (GROUP, factors[1]), (NET, k_net), (VOL, k_vol)):
        reduced = factor < 1.0 if factor.ndim == 2 else (factor < 1.0)[:, None]
        binding[..., budget] = (reduced | exhausted[:, budget, None]) & moving
    return Projection(
        target=np.where(demand.frozen, view.books.current, weight),
        frozen=demand.frozen,
        lo=lo,
        hi=hi,
        scale=scale,
        k=k,
        throttle=throttle,
        sigma_tilde=sigma_tilde,
        binding=np.logical_or.reduce(binding, axis=1),
        binding_assets=binding,
    )


def _demand(view: View, meet: Constraint, proposed: F8, held: B1) -> _Demand:
    """An asset that cannot be weighed is frozen too, unless it is to leave the book altogether."""
    frozen = np.zeros(proposed.shape, dtype=np.bool_) if meet.no_trade is None else meet.no_trade
    lost = np.isnan(view.books.current)
    if holds(lost):
        leaving = (proposed == 0) & ~held
        if meet.mode is not None:
            leaving |= (meet.mode >= TradingState.FLATTEN)[:, None]
        if meet.scale is not None:
            leaving |= meet.scale == 0
        frozen = frozen | (lost & ~leaving)
    if not holds(frozen):
        return _Demand(proposed, np.zeros_like(proposed), proposed, frozen)
    free, fixed = np.where(frozen, 0.0, proposed), np.where(frozen, view.held, 0.0)
    same_side = np.where(proposed * fixed > 0, np.abs(fixed), 0.0)
    beyond = np.copysign(np.maximum(np.abs(proposed) - same_side, 0.0), proposed)
    return _Demand(free, fixed, np.where(frozen, beyond, proposed), frozen)


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
    mode = np.zeros(view.n_accounts, dtype=np.int8) if meet.mode is None else meet.mode
    cautious = np.logical_or.reduce(exhausted, axis=1) | np.logical_or.reduce(
        np.isnan(view.books.current), axis=1
    )
    mode = np.maximum(mode, cautious.astype(np.int8))
    if holds(mode):
        lo, hi = mode_box(mode, left_after_exits(view))
    else:
        lo, hi = np.full(view.held.shape, -np.inf), np.full(view.held.shape, np.inf)
    return (
        lo if meet.lo is None else np.maximum(lo, meet.lo),
        hi if meet.hi is None else np.minimum(hi, meet.hi),
    )


def _exhausted(meet: Constraint, demand: _Demand, members: F8, fixed_variance: F8) -> B1:
    """Budgets that the frozen part alone overspends while there is something free, bool [A, 4]."""
    over = np.zeros((len(demand.free), len(BUDGETS)), dtype=np.bool_)
    if not holds(demand.frozen):
        return over
    spent = np.abs(demand.fixed)
    if meet.gross is not None:
        over[:, GROSS] = spent.sum(axis=1) > meet.gross
    if meet.group is not None:
        wanted = np.abs(demand.free) @ members
        over[:, GROUP] = ((spent @ members > meet.group) & (wanted > 0)).any(axis=1)
    if meet.net is not None:
        over[:, NET] = np.abs(demand.fixed.sum(axis=1)) > meet.net
    if meet.vol is not None:
        over[:, VOL] = fixed_variance > np.square(meet.vol)
    over &= (demand.free != 0).any(axis=1)[:, None]
    return over


def _size_factor(demand: _Demand, limit: F8 | None, members: F8) -> F8:
    """Factor per asset that brings ``Σ|asked|`` of each set within ``limit − Σ|fixed|``; [A, N].

    A set whose frozen part alone is over the limit is not scaled. Sums of nanoweights are exact, so a matrix
    product cannot depend on its order.
    """
    if limit is None:
        return np.ones(demand.free.shape)
    frozen_size = np.abs(demand.fixed)
    spent = frozen_size @ members
    wanted = np.abs(demand.free) @ members
    if holds(demand.frozen):
        reserved = np.maximum(
            np.abs(demand.asked) - np.where(demand.asked * demand.fixed < 0, frozen_size, 0.0), 0
        )
        wanted += np.where(demand.frozen, reserved, 0.0) @ members
    room = limit - spent
    factor = np.divide(room, wanted, out=np.ones_like(wanted), where=(wanted > room) & (room >= 0))
    per_set = grid_down(factor)
    if per_set.shape[1] == 1:
        return np.repeat(per_set, len(members), axis=1)
    per_asset: F8 = np.take(per_set, members.argmax(axis=1), axis=1)
    return per_asset


def _survivors(free: F8, lo: F8, hi: F8, cut: F8) -> tuple[F8, F8]:
    """What box and factors leave of each free asset: its size in whole nanoweights, and as a factor."""
    asked = np.abs(free)
    boxed = np.abs(np.minimum(np.maximum(free, lo), hi))
    size = np.minimum(boxed, np.where(cut < 1.0, np.trunc(cut * asked), asked))
    scale = np.minimum(np.divide(boxed, asked, out=np.ones_like(asked), where=asked > 0), cut)
    return size, scale


def _net_factor(meet: Constraint, demand: _Demand, kept: F8) -> F8:
    """``k`` of the net budget: each side in full, the other side as far as it survives (``kept``)."""
    k = np.ones(len(kept))
    if meet.net is None:
        return k
    fixed = demand.fixed.sum(axis=1)
    grid_loss = float(kept.shape[1])  # truncation may cost each hedge one nanoweight
    for sign in (1.0, -1.0):
        side = np.maximum(sign * demand.asked, 0.0).sum(axis=1)
        hedges = np.where(sign * demand.free < 0, kept, 0.0).sum(axis=1)
        side, room = side - hedges, meet.net - np.maximum(sign * fixed, 0.0)
        within = np.maximum(room - grid_loss, 0.0)
        factor = np.divide(within, side, out=np.ones_like(side), where=(side > room) & (room >= 0))
        k = np.minimum(k, grid_down(factor))
    return k


def _fixed_variance(demand: _Demand, risk: Risk) -> F8:
    if not holds(demand.frozen):
        return np.zeros(len(demand.free))
    nothing = np.zeros_like(demand.fixed)
    return variance_terms(nothing, demand.fixed / NANO, nothing, risk.sigma, risk.rho, risk.blind)[2]


def _vol_factor(
    meet: Constraint, demand: _Demand, credit: F8, risk: Risk, fixed_variance: F8
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
