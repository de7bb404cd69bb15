"""How assets hang together: clusters, correlation and its breaks, lead and lag. Correlation is called correlation;
who drives whom is asked in :mod:`regime_trading.tools.coupling`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import stdtr, stdtrit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.tools.risk import ewma_volatility

CLUSTER_CORRELATION = 0.5
WARM_UP = 20  #: returns before an EWMA volatility is used
Labels = tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson correlation with a heteroskedasticity- and autocorrelation-robust interval."""

    value: float
    low: float
    high: float
    n_obs: int


@dataclass(frozen=True, slots=True)
class LeadLag:
    """Cross-correlation of two return series at lags other than 0: a correlation, never a cause.

    Attributes
    ----------
    lags : tuple of int
        −K … −1, 1 … K; at a positive lag the first series is earlier.
    correlations : float64 [2K]
    p_value : float
        Joint over all lags.
    best_lag : int
        Of the largest statistic in absolute value.
    leader : {'first', 'second', 'none'}
        ``none`` where the joint test does not reject.
    """

    lags: tuple[int, ...]
    correlations: F8
    p_value: float
    best_lag: int
    leader: Literal["first", "second", "none"]


@dataclass(frozen=True, slots=True)
class CorrelationBreak:
    """Mean correlation of the last bars against its own past; ``p_value`` is two-sided, NaN where unknown."""

    recent: float
    past: float
    t: float
    p_value: float
    reason: str = ""


def clusters(correlation: F8, threshold: float = CLUSTER_CORRELATION) -> tuple[tuple[int, ...], ...]:
    """Groups of assets whose mean correlation between groups stays below ``threshold``.

    Average linkage on the correlation itself: the two groups with the highest mean correlation between their
    members are joined while it is at least ``threshold``; the first pair wins a tie.

    Parameters
    ----------
    correlation : float64 [N, N]
        Symmetric, NaN rows and columns for assets that are not known.
    threshold : float
        In [−1, 1].

    Returns
    -------
    tuple of tuple of int
        Columns of each group, ascending; groups by size (largest first), then by first column. Unknown assets
        are in none.

    Raises
    ------
    BadInput
        A matrix that is not square, or a threshold out of range.
    """
    if correlation.ndim != 2 or correlation.shape[0] != correlation.shape[1] or not -1 <= threshold <= 1:
        raise BadInput(
            expected="a square correlation matrix and a threshold in [−1, 1]",
            found=f"shape {correlation.shape}, threshold {threshold}",
            where="clusters",
        )
    groups = [[int(i)] for i in np.flatnonzero(~np.isnan(np.diag(correlation)))]
    while len(groups) > 1:
        best, pair = -np.inf, (0, 0)
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                between = float(correlation[np.ix_(groups[a], groups[b])].mean())
                if between > best:
                    best, pair = between, (a, b)
        if best < threshold:
            break
        groups[pair[0]] = sorted(groups[pair[0]] + groups.pop(pair[1]))
    return tuple(tuple(g) for g in sorted(groups, key=lambda g: (-len(g), g[0])))


def named_clusters(
    correlation: F8, symbols: Sequence[str], threshold: float = CLUSTER_CORRELATION
) -> tuple[tuple[str, ...], ...]:
    """:func:`clusters` of named assets, the same for every order of the assets.

    The matrix is brought into the order of the symbols first, so that sums are taken and ties are broken in that
    order.

    Parameters
    ----------
    correlation : float64 [N, N]
    symbols : sequence of str [N]
        Unique.
    threshold : float

    Returns
    -------
    tuple of tuple of str
        Members ascending; groups by size (largest first), then by first symbol.

    Raises
    ------
    BadInput
        Symbols that repeat or do not match the matrix; see also :func:`clusters`.
    """
    if correlation.ndim != 2 or len(symbols) != len(correlation) or len(set(symbols)) != len(symbols):
        raise BadInput(
            expected="one unique symbol for each row of the matrix",
            found=f"{len(symbols)} symbols ({len(set(symbols))} unique), shape {correlation.shape}",
            where="named_clusters",
        )
    order = sorted(range(len(symbols)), key=lambda i: symbols[i])
    found = clusters(correlation[np.ix_(order, order)], threshold)
    return tuple(tuple(symbols[order[i]] for i in group) for group in found)


def stable_labels(groups: Sequence[tuple[str, ...]], previous: Labels = ()) -> Labels:
    """Numbers for clusters that stay with them from one clustering to the next.

    Groups inherit the labels of ``previous`` so that the number of assets that keep their label is the largest
    possible; a group that shares no member with its match, or has none, gets the next number never used before.

    Parameters
    ----------
    groups : sequence of tuple of str
        Disjoint, as :func:`named_clusters` returns them.
    previous : tuple of (int, tuple of str)
        A result of this function.

    Returns
    -------
    tuple of (int, tuple of str)
        In the order of ``groups``.
    """
    overlap = np.array([[len(set(g) & set(old)) for _, old in previous] for g in groups], dtype=np.float64)
    matched: dict[int, int] = {}
    if overlap.size:
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        matched = {int(r): previous[c][0] for r, c in zip(rows, columns, strict=True) if overlap[r, c] > 0}
    unused = max((label for label, _ in previous), default=-1) + 1
    fresh = {i: unused + k for k, i in enumerate(i for i in range(len(groups)) if i not in matched)}
    return tuple(((matched | fresh)[i], g) for i, g in enumerate(groups))


def mean_correlation(correlation: F8, members: tuple[int, ...] | None = None) -> float | None:
    """Mean over the known pairs of ``members`` (all by default); None where there is no pair."""
    chosen = correlation if members is None else correlation[np.ix_(list(members), list(members))]
    pairs = chosen[np.triu_indices(len(chosen), k=1)]
    known = pairs[np.isfinite(pairs)]
    return float(known.mean()) if len(known) else None


def robust_correlation(x: F8, y: F8, level: float = 0.05) -> Correlation:
    """Correlation with an interval that holds under volatility clustering and autocorrelation.

    The influence of a row is psi = z_x z_y − rho (z_x² + z_y²)/2. The variance of rho is lrv/n, where lrv is the
    larger of its :func:`long_run_variance` and of var(psi)(1 + phi)/(1 − phi), phi the product of the first-order
    autocorrelations (Bartlett's formula for two AR(1)), which is less noisy where both persist. The interval is
    atanh(rho) ± t · √(lrv/n)/(1 − rho²) on Fisher's scale, with Student's t of the effective sample size
    n · var(psi)/lrv, less 2.

    Parameters
    ----------
    x, y : float64 [T]
        Rows with a NaN in either are left out.
    level : float
        1 − coverage.

    Returns
    -------
    Correlation
        NaN where fewer than 10 rows are complete or a series does not vary.
    """
    rows = ~(np.isnan(x) | np.isnan(y))
    x, y, n = x[rows], y[rows], int(rows.sum())
    if n < 10 or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return Correlation(math.nan, math.nan, math.nan, n)
    zx, zy = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    rho = float(np.clip((zx * zy).mean(), -1.0, 1.0))
    if 1.0 - abs(rho) < 1e-12:
        return Correlation(rho, rho, rho, n)
    influence = zx * zy - rho * (zx * zx + zy * zy) / 2.0
    phi = min(max(_first_order(x) * _first_order(y), 0.0), 0.94)
    spread = max(long_run_variance(influence), float(influence.var()) * (1.0 + phi) / (1.0 - phi))
    worth = n * min(1.0, float(influence.var()) / spread)
    half = -float(stdtrit(max(worth - 2.0, 1.0), level / 2.0)) * math.sqrt(spread / n) / (1.0 - rho * rho)
    return Correlation(rho, math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half), n)


def long_run_variance(x: F8) -> float:
    """Long-run variance Σ_k gamma_k of a series, prewhitened by an AR(1) (Andrews & Monahan 1992,
    *Econometrica* 60:953): Bartlett weights on the residuals, the bandwidth of Andrews (1991) for an AR(1) and at
    most T/4, divided by (1 − phi)².

    Parameters
    ----------
    x : float64 [T]
        Without NaN, T ≥ 3.

    Returns
    -------
    float
        ≥ 0; 0 for a constant.
    """
    phi = _first_order(x)
    whitened = x[1:] - x.mean() - phi * (x[:-1] - x.mean())
    e, n = whitened - whitened.mean(), len(whitened)
    rest = _first_order(e)
    band = 1.1447 * (4.0 * rest**2 / ((1.0 - rest) ** 2 * (1.0 + rest) ** 2) * n) ** (1.0 / 3.0)
    lags = min(int(band), n // 4)
    ahead = [2.0 * (1.0 - k / (lags + 1.0)) * float(e[k:] @ e[:-k]) / n for k in range(1, lags + 1)]
    return max(math.fsum([float(e @ e) / n, *ahead]), 0.0) / (1.0 - phi) ** 2


def _first_order(x: F8) -> float:
    deviation = x - x.mean()
    total = float(deviation @ deviation)
    return min(max(float(deviation[1:] @ deviation[:-1]) / total, -0.97), 0.97) if total > 0.0 else 0.0


def lead_lag(
    x: F8,
    y: F8,
    rng: np.random.Generator,
    *,
    max_lag: int = 5,
    draws: int = 499,
    block: int = 1,
    level: float = 0.05,
) -> LeadLag:
    """Does one return series come before the other? Joint over all lags, of the right size under GARCH.

    At each lag the products p_t = x_t y_{t+lag} are summed over blocks to S_b and t = Σ S_b / √Σ S_b². Under no
    lagged correlation the products are martingale differences: their signs are exchangeable, whatever their
    variance does. The largest |t| is compared with its distribution under random signs, one for each block and
    the same at every lag (wild bootstrap; Shao 2010, *JASA* 105:218, for ``block`` > 1).

    Parameters
    ----------
    x, y : float64 [T]
        Rows with a NaN in either are left out, which closes the gap.
    rng : numpy Generator
    max_lag, draws, block : int
        ``block`` > 1 where the series are themselves autocorrelated.
    level : float

    Returns
    -------
    LeadLag

    Raises
    ------
    BadInput
        Fewer than 20 · max_lag complete rows, or a series that does not vary.
    """
    rows = ~(np.isnan(x) | np.isnan(y))
    x, y, n = x[rows], y[rows], int(rows.sum())
    if n < 20 * max_lag or max_lag < 1 or block < 1 or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        raise BadInput(
            expected=f"{20 * max_lag} complete rows that vary, max_lag ≥ 1 and block ≥ 1",
            found=f"{n} rows, max_lag {max_lag}, block {block}",
            where="lead_lag",
        )
    zx, zy = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    lags = tuple(k for k in range(-max_lag, max_lag + 1) if k)
    time = np.arange(max_lag, n - max_lag)
    products = np.stack([zx[time] * zy[time + k] for k in lags], axis=1)
    sums = np.add.reduceat(products, np.arange(0, len(time), block), axis=0)
    scale = np.sqrt((sums**2).sum(axis=0))
    statistic = np.abs(sums.sum(axis=0)) / scale
    signs = rng.integers(0, 2, (draws, len(sums))) * 2.0 - 1.0
    drawn = np.abs(np.einsum("db,bl->dl", signs, sums) / scale).max(axis=1)
    p = (1 + int((drawn >= statistic.max() * (1.0 - 1e-12)).sum())) / (1 + draws)
    best = lags[int(np.argmax(statistic))]
    leader: Literal["first", "second", "none"] = "none" if p > level else "first" if best > 0 else "second"
    return LeadLag(lags, products.mean(axis=0), p, best, leader)


def correlation_break(
    returns: F8, *, recent: int = 42, halflife: float = 20.0, min_blocks: int = 6
) -> CorrelationBreak:
    """Mean correlation of the last ``recent`` bars against its own past distribution.

    Each return is divided by its EWMA volatility of the bar before, so that a turbulent stretch does not weigh
    more than a calm one, and limited to ±3. With z of the N assets that have one, the mean product of two different
    assets on a bar is ((Σz)² − Σz²)/(N(N − 1)). Its means over B + 1 blocks of ``recent`` bars, counted back from
    the last bar, are compared: t = (last − mean of the B before)/(their sd · √(1 + 1/B)), Student with B − 1 degrees
    of freedom. The yardstick is how much correlation moved before from block to block, not sampling noise alone.

    Parameters
    ----------
    returns : float64 [T, N]
        NaN = no return; a bar with fewer than two assets does not count.
    recent : int
        Bars of a block, at least 5.
    halflife : float
    min_blocks : int
        Past blocks, at least 3, below which nothing is judged.

    Returns
    -------
    CorrelationBreak

    Raises
    ------
    BadInput
        ``recent`` below 5 or ``min_blocks`` below 3.
    """
    if recent < 5 or min_blocks < 3:
        raise BadInput(
            expected="recent ≥ 5 and min_blocks ≥ 3",
            found=f"{recent} and {min_blocks}",
            where="correlation_break",
        )
    mean = _mean_products(returns, halflife)
    blocks = len(mean) // recent
    if blocks <= min_blocks:
        reason = f"{len(mean)} bars, {recent * (min_blocks + 1)} needed"
        return CorrelationBreak(math.nan, math.nan, math.nan, math.nan, reason)
    by_block = mean[len(mean) - blocks * recent :].reshape(blocks, recent).mean(axis=1)
    past = by_block[:-1]
    scale = float(past.std(ddof=1)) * math.sqrt(1.0 + 1.0 / len(past))
    now, before = float(by_block[-1]), float(past.mean())
    if not scale > 0.0:
        return CorrelationBreak(now, before, math.nan, math.nan, "mean correlation never moved")
    t = (now - before) / scale
    return CorrelationBreak(now, before, t, 2.0 * float(stdtr(len(past) - 1, -abs(t))))


def _mean_products(returns: F8, halflife: float) -> F8:
    sigma = ewma_volatility(returns, halflife, min_obs=WARM_UP)
    z = np.clip(returns[1:] / sigma[:-1], -3.0, 3.0)
    count = (~np.isnan(z)).sum(axis=1)
    z, count = z[count >= 2], count[count >= 2]
    return np.asarray((np.nansum(z, axis=1) ** 2 - np.nansum(z * z, axis=1)) / (count * (count - 1)))
