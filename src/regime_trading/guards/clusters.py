"""Guard 5, correlation: what moves together counts together.

Two assets are the same bet where their correlation times the sides they are on is high: long A and short B at −0.9
are one bet. A correlation that is not known counts as 1 on the same side, whatever the sides are.
"""

from __future__ import annotations

import numba
import numpy as np

from regime_trading.core.numbers import B1, F8, I8, NANO
from regime_trading.guards.budgets import pair_worst, tilted, used
from regime_trading.guards.concentration import counted, unlimited
from regime_trading.guards.constraint import Constraint, PairCap, Tilt, block, cap, holds, meet
from regime_trading.guards.snapshot import Params, View
from regime_trading.guards.variance import grid_down, known_sigma, marginal_variance
from regime_trading.guards.verdict import Verdict, verdict, worst
from regime_trading.guards.vol_target import timed_latch

DAY_NS = 86_400_000_000_000


def _rho(view: View) -> F8:
    return np.ascontiguousarray(view.market.correlation, dtype=np.float64)


def cluster(view: View, k: Params) -> Verdict:
    """CC-05: ``Σ_{i∈cluster}|w_i| ≤ max_cluster``, else SCALE_A(cluster).

    Clusters are the single linkage of ``ρ_ij · side_i · side_j > rho_in``; two positions that are held on these sides
    stay linked until it is no more than ``rho_out``. An asset that turns counts with the side it has and the side it
    is to have. Fewer than ``min_obs`` returns: ρ unknown. Source: ``risk.md`` 1.5.
    """
    limit = k["max_cluster"]
    early = unlimited(view, limit)
    if early is not None:
        return early
    market = view.market
    unsure = (market.n_obs < k["min_obs"][:, None]) | ~known_sigma(market)
    skipped = market.instruments.cash_like | np.isinf(limit)[:, None]
    label = cluster_labels(
        view.books.proposed, view.held, skipped, unsure, _rho(view), k["rho_in"], k["rho_out"]
    )
    whole = cap("CC-05", np.repeat(limit[:, None], view.n_assets, axis=1), label=label)
    size = used(whole, view.size)
    over = size > limit[:, None]
    return verdict(
        view,
        Constraint(caps=(whole,)),
        bound=over,
        off=np.isinf(limit),
        value=np.where(np.isinf(limit), np.nan, worst(size)),
        limit=limit,
        codes={"CLUSTER": over},
    )


@numba.njit(cache=True)
def cluster_labels(
    proposed: F8, held: F8, skipped: B1, unsure: B1, rho: F8, rho_in: F8, rho_out: F8
) -> I8:  # pragma: no cover
    """The cluster of each asset, named by its first member in symbol order; int64 [A, N], −1 = in none.

    proposed, held : nanoweights [A, N] · skipped : in no cluster [A, N] · unsure : correlations count as 1 [A, N] ·
    rho [N, N] · rho_in, rho_out [A].
    """
    n_accounts, n = proposed.shape
    out = np.full((n_accounts, n), -1, dtype=np.int64)
    least = min(np.min(rho_in), np.min(rho_out)) if n_accounts else 0.0
    close = np.zeros((n, n), dtype=np.bool_)
    for i in range(n):
        for j in range(i):
            close[i, j] = not abs(rho[i, j]) <= min(least, 1.000001)
    for r in range(n_accounts):
        root = np.arange(n)
        for i in range(n):
            if skipped[r, i] or (proposed[r, i] == 0.0 and held[r, i] == 0.0):
                continue
            out[r, i] = i
            for j in range(i):
                if out[r, j] < 0 or not (close[i, j] or unsure[r, i] or unsure[r, j]):
                    continue
                known = abs(rho[i, j]) <= 1.000001 and not unsure[r, i] and not unsure[r, j]
                linked = False
                for x in (proposed[r, i], held[r, i]):
                    for y in (proposed[r, j], held[r, j]):
                        if x == 0.0 or y == 0.0:
                            continue
                        alike = (x > 0.0) == (y > 0.0)
                        both = x * held[r, i] > 0.0 and y * held[r, j] > 0.0
                        together = (rho[i, j] if alike else -rho[i, j]) if known else 1.0
                        linked = linked or together > (rho_out[r] if both else rho_in[r])
                if linked:
                    a, b = i, j
                    while root[a] != a:
                        a = root[a]
                    while root[b] != b:
                        b = root[b]
                    root[max(a, b)] = min(a, b)
        for i in range(n):
            if out[r, i] >= 0:
                a = i
                while root[a] != a:
                    a = root[a]
                out[r, i] = a
    return out


def pair(view: View, k: Params) -> Verdict:
    """CC-06: ``|w_i| + |w_j| ≤ max_pair`` where ``ρ_ij · side_i · side_j > rho``; spent in the projection."""
    limit = k["max_pair"]
    early = unlimited(view, limit)
    if early is not None:
        return early
    pairs = PairCap("CC-06", k["rho"], limit, view.market.instruments.cash_like)
    blind = view.per_asset(~known_sigma(view.market))
    size = pair_worst(pairs, np.where(counted(view) > 0, view.books.proposed, 0.0), _rho(view), blind)
    over = size > limit
    return verdict(
        view,
        Constraint(pairs=(pairs,)),
        bound=over,
        off=np.isinf(limit),
        value=np.where(np.isinf(limit), np.nan, size),
        limit=limit,
        codes={"PAIR": over},
    )


def beta(view: View, k: Params) -> Verdict:
    """CC-07: ``|Σ β_i w_i| ≤ max_beta``; hedges earn credit only as far as they survive.

    β_i unknown: BLOCK(i), and what is left of it counts on either side, with the largest β known, at least 1.
    """
    limit = k["max_beta"]
    early = unlimited(view, limit)
    if early is not None:
        return early
    loads = view.market.signals.beta
    known = np.isfinite(loads)
    off, unknown = np.isinf(limit), view.per_asset(~known) & ((view.books.proposed != 0) | (view.held != 0))
    unknown &= ~off[:, None]
    load = np.where(known, loads, 0.0)[None, :]
    tilts: tuple[Tilt, ...] = (Tilt("CC-07", load, limit * NANO),)
    if not known.all():
        top = max(float(np.abs(loads[known]).max(initial=0.0)), 1.0)
        side = np.where(view.books.proposed != 0, np.sign(view.books.proposed), np.sign(view.held))
        doubt = np.where(known, 0.0, top * side)
        tilts = (Tilt("CC-07", load + doubt, limit * NANO), Tilt("CC-07", load - doubt, limit * NANO))
    total = np.maximum.reduce([np.abs(tilted(tilt, view.books.proposed)) for tilt in tilts]) / NANO
    over = total > limit
    return verdict(
        view,
        meet(Constraint(tilts=tilts), block(unknown, view.held)),
        bound=over,
        unknown=unknown,
        off=off,
        value=np.where(off, np.nan, total),
        limit=limit,
        codes={"BETA": over, "BETA_UNKNOWN": unknown},
    )


def risk_contribution(view: View, k: Params) -> Verdict:
    """CC-10: ``RC_i = w_i (Σw)_i / wᵀΣw ≤ max_share`` of the proposal, else SCALE_A(i) by ``max_share / RC_i``.

    One pass, from the proposal alone: after it the shares are new ones. What lowers the risk of the book (RC < 0) is
    left alone. σ_i unknown: BLOCK(i), and the shares are those of the rest. Source: Maillard, Roncalli and Teïletche
    (2010) for the share.
    """
    limit = k["max_share"]
    early = unlimited(view, limit)
    if early is not None:
        return early
    known = known_sigma(view.market)
    off = np.isinf(limit)
    counts = known & ~view.market.instruments.cash_like
    weights = np.where(counts, view.books.proposed, 0.0) / NANO
    sigma = np.repeat(np.where(known, view.market.sigma, 0.0)[None, :], view.n_accounts, axis=0)
    part = marginal_variance(weights, sigma, _rho(view), np.zeros(weights.shape, dtype=np.bool_))
    total = tilted(Tilt("CC-10", np.ones((1, view.n_assets)), limit), part)[:, None]
    share = np.divide(part, total, out=np.zeros_like(part), where=total > 0)
    over = share > limit[:, None]
    scale = np.divide(limit[:, None], share, out=np.ones_like(share), where=over)
    unknown = view.per_asset(~known & ~view.market.instruments.cash_like) & (view.size > 0) & ~off[:, None]
    return verdict(
        view,
        meet(Constraint(scale=grid_down(scale) if holds(over) else None), block(unknown, view.held)),
        bound=over,
        unknown=unknown,
        off=off,
        value=np.where(off, np.nan, worst(share)),
        limit=limit,
        codes={"RISK_CONTRIBUTION": over, "VOLATILITY_UNKNOWN": unknown},
    )


def correlation_break(view: View, k: Params) -> Verdict:
    """CC-11: ``shift of mean |ρ| ≤ sigmas``, else THROTTLE(throttle) for ``hold_days``.

    The break is remembered by a TIMED latch in state NORMAL; a shift that is not known throttles for as long as it is
    unknown. Source: ``risk.md`` 1.5, after the earlier regime tool named there.
    """
    shift, limit = view.market.signals.correlation_shift_sigmas, k["sigmas"]
    known = np.full(view.n_accounts, bool(np.isfinite(shift)))
    broken = known & (shift > limit)
    struck = broken | view.states.latched("CC-11")
    slow = struck | ~known
    until: I8 = view.market.ts_ns + k["hold_days"] * DAY_NS
    return verdict(
        view,
        Constraint(throttle=np.where(slow, k["throttle"], 1.0) if holds(slow) else None),
        bound=struck,
        unknown=~known,
        value=np.where(known, shift, np.nan),
        limit=limit,
        codes={"CORRELATION_BREAK": struck, "CORRELATION_SHIFT_UNKNOWN": ~known},
        latch=timed_latch(broken, until),
    )
