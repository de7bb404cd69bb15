"""What turns weights into volatility, and the budget factors that follow from it.

The only inexact sums of the guards are here: compiled loops in fixed (symbol) order, no BLAS, no fast-math.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from regime_trading.core.numbers import B1, F8, NANO
from regime_trading.guards.constraint import holds
from regime_trading.guards.snapshot import Market, Params, View, known_or_zero


@dataclass(frozen=True, slots=True)
class Risk:
    """What turns weights into volatility.

    Parameters
    ----------
    sigma : float64 [A, N]
        Annualised.
    rho : float64 [N, N]
        Contiguous; a pair whose correlation is not a number in [−1, 1] counts as correlation 1, and earns no
        hedge credit.
    blind : bool [A, N]
        Assets whose correlations count as 1 whatever they are.
    """

    sigma: F8
    rho: F8
    blind: B1


def known_sigma(market: Market) -> B1:
    """Assets whose volatility is known: finite, > 0, with at least one return behind it; bool [N]."""
    return np.isfinite(market.sigma) & (market.sigma > 0) & (market.n_obs > 0)


def known_price_sigma(market: Market) -> F8:
    """Daily volatility of each price alone, float64 [N]: in account currency where only that is known, else NaN."""
    alone = market.sigma_of_price()
    known = np.isfinite(alone) & (alone > 0) & (market.n_obs > 0)
    return np.where(known, alone, np.where(known_sigma(market), market.sigma, np.nan))


def effective_sigma(view: View, k: Params, health: Params, annual: float) -> tuple[F8, B1]:
    """Daily σ for book factors, and the assets whose correlations count as 1; float64 and bool [A, N].

    Known σ as it is; unknown, or too thin a history for DS-12 (``health``): the worst of class prior,
    ``median_multiple`` × the median of the known ones, the last good value (``contracts.md`` 11) and σ itself
    (that of the price where only its currency's is missing). An ill-conditioned matrix leaves σ and makes every
    correlation 1.
    """
    sigma, known = view.market.sigma, known_sigma(view.market)
    thin, ill = thin_history(view, health)
    thin = ~known | (thin & health["enabled"][:, None])
    blind = thin | (ill & health["enabled"])[:, None]
    if not holds(thin):
        return np.repeat(sigma[None, :], view.n_accounts, axis=0), blind
    median = float(np.median(sigma[known])) if holds(known) else 0.0
    prior = np.maximum(k["class_prior"] / np.sqrt(annual), k["median_multiple"] * median)
    own = np.where(known, sigma, known_or_zero(known_price_sigma(view.market)))
    fallback = np.maximum(np.maximum(prior[:, None], known_or_zero(view.states.last_sigma)), own)
    return np.where(thin, fallback, own), blind


def thin_history(view: View, k: Params) -> tuple[B1, B1]:
    """DS-12 in parts: assets with too few returns [A, N], accounts for which the matrix is ill conditioned [A]."""
    thin = view.market.n_obs[None, :] < k["min_obs"][:, None]
    return thin, ~(view.market.condition <= k["max_condition"])


def grid_down(factor: F8) -> F8:
    return np.where(factor >= 1.0, 1.0, np.floor(factor * NANO) / NANO)


def largest_factor(quadratic: F8, linear: F8, constant: F8, limit: F8) -> F8:
    """Largest factor in [0, 1], on the grid, with ``k²A + 2kB + C ≤ limit²``; 0 where ``C`` leaves no room."""
    room = np.maximum(np.square(limit) - constant, 0.0)
    root = linear + np.sqrt(np.square(linear) + quadratic * np.where(np.isinf(room), 0.0, room))
    over = np.sqrt(quadratic + 2.0 * linear + constant) > limit
    largest = np.divide(room, root, out=np.zeros_like(room), where=over & (root > 0))
    return np.where(over, grid_down(np.minimum(largest * (1.0 - 1e-8), 1.0)), 1.0)


LANES = 64
"""Accounts that the compiled loops take at once: every account has its own sums, in the same order whoever else is
in the batch, so that a processor may work on several accounts in one instruction and change no bit."""


@numba.njit(cache=True)
def _into_lanes(rows: F8, first: int, lanes: F8) -> None:  # pragma: no cover
    for b in range(min(lanes.shape[1], rows.shape[0] - first)):
        for i in range(rows.shape[1]):
            lanes[i, b] = rows[first + b, i]


@numba.njit(cache=True)
def variance_terms(
    free: F8, fixed: F8, scale: F8, sigma: F8, rho: F8, blind: B1
) -> tuple[F8, F8, F8]:  # pragma: no cover
    """``A, B, C`` of ``σ̃²(k) = k²A + 2kB + C`` in fixed (symbol) order, each float64 [A].

    free, fixed : plain weights [A, N] · scale : factors [A, N] · sigma : annualised [A, N] · rho [N, N] ·
    blind [A, N] : correlation 1 and no hedge credit, as for a pair whose correlation is unknown. Crosses of free
    with fixed earn no hedge credit; crosses of fixed with fixed are what they are.
    """
    n_accounts, n = free.shape
    lanes = min(LANES, n_accounts)
    out = np.zeros((3, n_accounts))
    x, z, kept, dark = np.zeros((n, lanes)), np.zeros((n, lanes)), np.zeros((n, lanes)), np.zeros((n, lanes))
    for first in range(0, n_accounts, lanes):
        width = min(lanes, n_accounts - first)
        _into_lanes(scale, first, kept)
        some_fixed, some_dark = False, False
        live = np.zeros(n, dtype=np.bool_)
        for b in range(width):
            r = first + b
            for i in range(n):
                x[i, b], z[i, b] = free[r, i] * sigma[r, i], fixed[r, i] * sigma[r, i]
                dark[i, b] = 1.0 if blind[r, i] else 0.0
                live[i] = live[i] or x[i, b] != 0.0 or z[i, b] != 0.0
                some_fixed = some_fixed or z[i, b] != 0.0
                some_dark = some_dark or blind[r, i]
        a, b_, c = np.zeros(lanes), np.zeros(lanes), np.zeros(lanes)
        for i in range(n):
            if not live[i]:
                continue
            for b in range(width):
                a[b] += x[i, b] * x[i, b]
            if some_fixed:
                for b in range(width):
                    b_[b] += max(x[i, b] * z[i, b], 0.0)
                    c[b] += z[i, b] * z[i, b]
            for j in range(i):
                if not live[j]:
                    continue
                known = abs(rho[i, j]) <= 1.000001
                r_ij = rho[i, j] if known else 0.0
                if known and not some_dark:
                    for b in range(width):
                        term = 2.0 * (x[i, b] * x[j, b] * r_ij)
                        a[b] += max(term, 0.0) + min(term, 0.0) * kept[i, b] * kept[j, b]
                else:
                    for b in range(width):
                        term = x[i, b] * x[j, b]
                        seen = 1.0 if known and dark[i, b] + dark[j, b] == 0.0 else 0.0
                        term = 2.0 * (term * r_ij if seen != 0.0 else abs(term))
                        a[b] += max(term, 0.0) + min(term, 0.0) * kept[i, b] * kept[j, b]
                if some_fixed:
                    for b in range(width):
                        seen = 1.0 if known and dark[i, b] + dark[j, b] == 0.0 else 0.0
                        one, other, both = x[i, b] * z[j, b], z[i, b] * x[j, b], z[i, b] * z[j, b]
                        b_[b] += max(one * r_ij if seen != 0.0 else abs(one), 0.0)
                        b_[b] += max(other * r_ij if seen != 0.0 else abs(other), 0.0)
                        c[b] += 2.0 * (both * r_ij if seen != 0.0 else abs(both))
        for b in range(width):
            out[0, first + b], out[1, first + b], out[2, first + b] = max(a[b], 0.0), b_[b], max(c[b], 0.0)
    return out[0], out[1], out[2]


@numba.njit(cache=True)
def marginal_variance(weights: F8, sigma: F8, rho: F8, blind: B1) -> F8:  # pragma: no cover
    """``w_i (Σ w)_i`` of plain weights, float64 [A, N]: positive where more of the asset adds to the variance."""
    n_accounts, n = weights.shape
    lanes = min(LANES, n_accounts)
    out = np.zeros((n_accounts, n))
    x, dark, total = np.zeros((n, lanes)), np.zeros((n, lanes)), np.zeros(lanes)
    for first in range(0, n_accounts, lanes):
        width = min(lanes, n_accounts - first)
        live = np.zeros(n, dtype=np.bool_)
        for b in range(width):
            for i in range(n):
                x[i, b] = weights[first + b, i] * sigma[first + b, i]
                dark[i, b] = 1.0 if blind[first + b, i] else 0.0
                live[i] = live[i] or x[i, b] != 0.0
        for i in range(n):
            if not live[i]:
                continue
            for b in range(width):
                total[b] = x[i, b] * x[i, b]
            for j in range(n):
                if j == i or not live[j]:
                    continue
                known = abs(rho[i, j]) <= 1.000001
                r_ij = rho[i, j] if known else 0.0
                for b in range(width):
                    both = x[i, b] * x[j, b]
                    seen = 1.0 if known and dark[i, b] + dark[j, b] == 0.0 else 0.0
                    total[b] += both * r_ij if seen != 0.0 else abs(both)
            for b in range(width):
                out[first + b, i] = total[b]
    return out


def book_volatility(weights: F8, risk: Risk) -> F8:
    """Annualised volatility of nanoweights as they are, float64 [A]."""
    whole = np.ones_like(weights)
    return np.sqrt(
        variance_terms(weights / NANO, np.zeros_like(weights), whole, risk.sigma, risk.rho, risk.blind)[0]
    )
