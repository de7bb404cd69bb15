"""Volatility and correlation as the guards need them: causal, and honest about what is not known."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I8


def one_thread() -> AbstractContextManager[Any]:
    """A block in which BLAS runs on one thread.

    A threaded matrix product splits its sums by the number of cores, so its last bits depend on the machine
    (seen from 100 assets on). On windows of this size one thread is also the fastest.
    """
    limit: AbstractContextManager[Any] = _blas().limit(limits=1, user_api="blas")
    return limit


@cache
def _blas() -> Any:
    import sklearn.covariance  # noqa: F401  its BLAS must be loaded before the controller looks for it
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def observations(returns: F8) -> I8:
    """Running count of valid returns of each symbol.

    Parameters
    ----------
    returns : float64 [T, N]
        NaN = no return.

    Returns
    -------
    int64 [T, N]
    """
    return np.cumsum(~np.isnan(returns), axis=0, dtype=np.int64)


def ewma_volatility(returns: F8, halflife: float, *, min_obs: int) -> F8:
    """Daily standard deviation by exponentially weighted moving average, zero mean.

    ``σ²_t = Σ λ^k r²_{t−k} / Σ λ^k`` over the valid returns up to t, with ``λ = 2^(−1/halflife)``: the
    recursion of RiskMetrics (1996, 5.2) with the weights of a young series normalised to one. ``r_t`` itself
    is inside: the value is known at the close of t and serves decisions from t on.

    Parameters
    ----------
    returns : float64 [T, N]
        Per bar. NaN leaves the state as it is; the last value is repeated.
    halflife : float
        In bars, positive.
    min_obs : int
        Valid returns below which there is no value.

    Returns
    -------
    float64 [T, N]
        Per bar, not annualised. NaN before ``min_obs`` returns and where the variance is zero: a price that
        never moved is missing, not riskless (``risk.md`` VT-06).

    Raises
    ------
    BadInput
        A halflife that is not positive, ``min_obs`` below 1, or an infinite return.
    """
    if not halflife > 0 or min_obs < 1:
        raise BadInput(
            expected="halflife > 0 and min_obs ≥ 1",
            found=f"{halflife} and {min_obs}",
            where="ewma_volatility",
        )
    if np.isinf(returns).any():
        raise BadInput(expected="finite returns or NaN", found="an infinite return", where="ewma_volatility")
    return _ewma_volatility(
        np.ascontiguousarray(returns, dtype=np.float64), 2.0 ** (-1.0 / halflife), min_obs
    )


def daily_sigma(returns: F8, *, fast: float = 5.0, slow: float = 40.0, min_obs: int = 20) -> F8:
    """The larger of a fast and a slow :func:`ewma_volatility`: quick to rise, slow to fall (VT-01).

    Parameters
    ----------
    returns : float64 [T, N]
        Per bar; NaN = no return.
    fast, slow : float
        Halflives in bars.
    min_obs : int
        Valid returns below which there is no value.

    Returns
    -------
    float64 [T, N]
        Per bar. NaN where either is.
    """
    return np.maximum(
        ewma_volatility(returns, fast, min_obs=min_obs), ewma_volatility(returns, slow, min_obs=min_obs)
    )


def complete_cases(returns: F8, *, min_obs: int, min_rows: int) -> tuple[B1, B1]:
    """Symbols and rows that together form a window without holes.

    Symbols with fewer than ``min_obs`` valid returns, or whose returns never change, are left out. While the
    rest share fewer than ``min_rows`` complete rows, the symbol with the fewest valid returns goes (the last
    of several).

    Parameters
    ----------
    returns : float64 [W, N]
        NaN = no return.
    min_obs, min_rows : int
        See above.

    Returns
    -------
    columns : bool [N]
    rows : bool [W]
        Both all False where no symbol qualifies.
    """
    valid = ~np.isnan(returns)
    counts = valid.sum(axis=0)
    columns = (counts >= max(min_obs, min_rows, 2)) & _moves(returns)
    while columns.any():
        rows = np.asarray(valid[:, columns].all(axis=1), dtype=np.bool_)
        if rows.sum() >= max(min_rows, 2):
            still = columns & ~_moves(returns[rows])
            if not still.any():
                return columns, rows
            columns = columns & ~still
            continue
        kept = np.flatnonzero(columns)
        columns[kept[len(kept) - 1 - int(np.argmin(counts[kept][::-1]))]] = False
    return columns, np.zeros(len(returns), dtype=np.bool_)


def _moves(returns: F8) -> B1:
    """Symbols whose valid returns are not all the same."""
    with_gaps = np.isnan(returns)
    high = np.where(with_gaps, -np.inf, returns).max(axis=0, initial=-np.inf)
    low = np.where(with_gaps, np.inf, returns).min(axis=0, initial=np.inf)
    return np.asarray(high > low, dtype=np.bool_)


def shrunk_correlation(returns: F8, *, min_obs: int = 60) -> F8:
    """Correlation of a window, shrunk toward zero correlation.

    Complete rows are standardised, then shrunk toward the identity with the intensity of Ledoit and Wolf
    (2004), *J. Multivariate Analysis* 88:365, as computed by scikit-learn; the unit diagonal is restored.

    Parameters
    ----------
    returns : float64 [W, N]
        One window; NaN = no return.
    min_obs : int
        Valid returns a symbol needs, and complete rows the known symbols need in common
        (:func:`complete_cases`).

    Returns
    -------
    float64 [N, N]
        Exactly symmetric, in [−1, 1], diagonal exactly 1. Rows and columns of symbols that are not known are
        NaN, their diagonal too: whoever reads it must assume the worst (ρ = 1).

    Raises
    ------
    BadInput
        ``min_obs`` below 2 or an infinite return.
    """
    if min_obs < 2 or np.isinf(returns).any():
        raise BadInput(
            expected="min_obs ≥ 2 and finite returns or NaN",
            found=f"min_obs {min_obs}, {int(np.isinf(returns).sum())} infinite returns",
            where="shrunk_correlation",
        )
    out = np.full((returns.shape[1], returns.shape[1]), np.nan)
    columns, rows = complete_cases(returns, min_obs=min_obs, min_rows=min_obs)
    if columns.any():
        out[np.ix_(columns, columns)] = _ledoit_wolf_correlation(returns[np.ix_(rows, columns)])
    return out


def _ledoit_wolf_correlation(window: F8) -> F8:
    from sklearn.covariance import ledoit_wolf  # here: it costs seconds that most commands need not pay

    centred = window - window.mean(axis=0)
    standard = centred / np.sqrt((centred * centred).mean(axis=0))
    with one_thread():
        shrunk = np.asarray(ledoit_wolf(standard, assume_centered=True)[0], dtype=np.float64)
    symmetric = np.clip((shrunk + shrunk.T) / 2.0, -1.0, 1.0)
    np.fill_diagonal(symmetric, 1.0)
    return symmetric


def condition_number(matrix: F8) -> float:
    """Largest over smallest eigenvalue of the known part of a symmetric matrix.

    Parameters
    ----------
    matrix : float64 [N, N]
        Rows whose diagonal is NaN are not known and left out.

    Returns
    -------
    float
        ≥ 1; infinite where the smallest eigenvalue is not positive, NaN where nothing is known.

    Raises
    ------
    BadInput
        A known row with a NaN in a known column.
    """
    known = ~np.isnan(np.diagonal(matrix))
    if not known.any():
        return math.nan
    part = matrix[np.ix_(known, known)]
    if np.isnan(part).any():
        raise BadInput(
            expected="whole rows that are known or not", found="NaN in a known row", where="condition_number"
        )
    with one_thread():
        values = np.linalg.eigvalsh(part)
    return math.inf if values[0] <= 0 else float(values[-1] / values[0])


@njit(cache=True)
def _ewma_volatility(returns: F8, decay: float, min_obs: int) -> F8:
    rows, columns = returns.shape
    out = np.full((rows, columns), np.nan)
    for i in range(columns):
        total, weight, seen = 0.0, 0.0, 0
        for t in range(rows):
            r = returns[t, i]
            if not math.isnan(r):
                total = decay * total + r * r
                weight = decay * weight + 1.0
                seen += 1
            if seen >= min_obs and total > 0.0:
                out[t, i] = math.sqrt(total / weight)
    return out
