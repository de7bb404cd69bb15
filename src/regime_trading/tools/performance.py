"""What a series of returns achieved, and how sure one can be that it beat another.

Returns are simple (``P_t / P_{t-1} − 1``), net of costs, one per bar. NaN = no return at that bar: statistics
leave it out and never count it as zero; equity is carried over it. A statistic that is not defined (too few
returns, no variance) is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8

PERIODS_PER_YEAR = 252.0
_MIN_PAIRS = 60


# --- statistics -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Performance:
    """Statistics of one return series. Fractions; NaN = not defined.

    ``max_drawdown`` is the deepest fall from a peak, ≤ 0. ``sharpe`` has no risk-free rate taken off.
    """

    n_obs: int
    total_return: float
    annual_return: float
    annual_volatility: float
    sharpe: float
    max_drawdown: float


def performance(returns: F8, *, periods_per_year: float = PERIODS_PER_YEAR) -> Performance:
    """All statistics of one return series.

    Parameters
    ----------
    returns : float64 [T]
        Simple returns; NaN = none.
    periods_per_year : float
        Bars in a year.

    Raises
    ------
    BadInput
        A return below −1, or an infinite one.
    """
    return Performance(
        n_obs=int(_valid(returns).size),
        total_return=total_return(returns),
        annual_return=annual_return(returns, periods_per_year=periods_per_year),
        annual_volatility=annual_volatility(returns, periods_per_year=periods_per_year),
        sharpe=sharpe_ratio(returns, periods_per_year=periods_per_year),
        max_drawdown=max_drawdown(equity_curve(returns)),
    )


def simple_returns(equity: F8) -> F8:
    """Simple returns of an equity or price series: ``E_t / E_{t-1} − 1``.

    Parameters
    ----------
    equity : float64 [T]
        NaN = not known. The next known value spans the gap.

    Returns
    -------
    float64 [T]
        The first known value has none (NaN), a missing one has none.

    Raises
    ------
    BadInput
        A value that is not finite, or one that follows a value ≤ 0 (nothing is left to earn a return on).
    """
    known = np.flatnonzero(~np.isnan(equity))
    levels = equity[known]
    bad = np.isinf(levels) | (np.append(1.0, levels[:-1]) <= 0)
    if bad.any():
        raise BadInput(
            expected="finite equity after a positive one",
            found=repr(float(levels[bad][0])),
            where=f"equity: row {int(known[bad][0])}",
        )
    out = np.full(equity.shape, np.nan)
    out[known[1:]] = levels[1:] / levels[:-1] - 1.0
    return out


def equity_curve(returns: F8, *, start: float = 1.0) -> F8:
    """Equity after each bar, from ``start`` before the first; carried over NaN.

    Parameters
    ----------
    returns : float64 [T]
        Simple returns; NaN = none.
    start : float
        Equity before the first bar.

    Returns
    -------
    float64 [T]
    """
    _valid(returns)
    return np.asarray(start * np.cumprod(np.where(np.isnan(returns), 1.0, 1.0 + returns)), dtype=np.float64)


def total_return(returns: F8) -> float:
    """``Π (1 + r) − 1`` over all bars; NaN without any return."""
    valid = _valid(returns)
    return float(np.prod(1.0 + valid) - 1.0) if valid.size else math.nan


def annual_return(returns: F8, *, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Geometric: ``(Π (1 + r))^(periods_per_year / n) − 1``."""
    valid = _valid(returns)
    if not valid.size:
        return math.nan
    return float(np.prod(1.0 + valid) ** (periods_per_year / valid.size) - 1.0)


def annual_volatility(returns: F8, *, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """Sample standard deviation (divisor n − 1) times ``√periods_per_year``; NaN below 2 returns."""
    valid = _valid(returns)
    return float(valid.std(ddof=1) * math.sqrt(periods_per_year)) if valid.size > 1 else math.nan


def sharpe_ratio(returns: F8, *, periods_per_year: float = PERIODS_PER_YEAR) -> float:
    """``mean / sd · √periods_per_year`` (Sharpe 1994), no risk-free rate; NaN without variance."""
    valid = _valid(returns)
    if valid.size < 2 or valid.max() == valid.min():
        return math.nan
    return float(valid.mean() / valid.std(ddof=1) * math.sqrt(periods_per_year))


def drawdown(equity: F8) -> F8:
    """Distance below the highest equity so far, ``E_t / max_{s≤t} E_s − 1``.

    Parameters
    ----------
    equity : float64 [T]
        NaN = not known.

    Returns
    -------
    float64 [T]
        ≤ 0; NaN where equity is, and while the peak is not positive.
    """
    peak = np.maximum.accumulate(np.where(np.isnan(equity), -np.inf, equity))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(peak > 0, equity / peak - 1.0, np.nan)


def max_drawdown(equity: F8, *, start: float | None = 1.0) -> float:
    """The deepest :func:`drawdown`, ≤ 0.

    Parameters
    ----------
    equity : float64 [T]
        NaN = not known.
    start : float or None
        Equity before the first bar, so that a loss on the first day counts; None where ``equity`` begins with
        it.

    Returns
    -------
    float
        NaN where nothing is known.
    """
    path = equity if start is None else np.append(start, equity)
    if np.isnan(equity).all():
        return math.nan
    return float(np.nanmin(drawdown(path)))


@dataclass(frozen=True, slots=True)
class Turnover:
    """How much was traded: one-way, as a fraction of equity. ``trading_share`` = share of bars with a trade."""

    total: float
    per_year: float
    largest: float
    trading_share: float


def turnover_summary(traded: F8, *, periods_per_year: float = PERIODS_PER_YEAR) -> Turnover:
    """Summary of traded value per bar.

    Parameters
    ----------
    traded : float64 [T]
        ``Σ |Δw|`` of each bar, ≥ 0. NaN = the bar is not known and left out.
    periods_per_year : float
        Bars in a year.

    Raises
    ------
    BadInput
        A negative or infinite value.
    """
    valid = traded[~np.isnan(traded)]
    if (valid < 0).any() or np.isinf(valid).any():
        raise BadInput(expected="traded value ≥ 0", found=repr(float(valid.min())), where="turnover")
    if not valid.size:
        return Turnover(math.nan, math.nan, math.nan, math.nan)
    return Turnover(
        total=float(valid.sum()),
        per_year=float(valid.mean() * periods_per_year),
        largest=float(valid.max()),
        trading_share=float((valid > 0).mean()),
    )


def _valid(returns: F8) -> F8:
    """The known returns."""
    valid = returns[~np.isnan(returns)]
    if (valid < -1.0).any() or np.isinf(valid).any():
        bad = int(np.flatnonzero((returns < -1.0) | np.isinf(returns))[0])
        raise BadInput(
            expected="finite returns ≥ −1, or NaN",
            found=repr(float(returns[bad])),
            where=f"returns: row {bad}",
        )
    return valid


# --- comparison -------------------------------------------------------------------------------------------


def sharpe_difference_interval(
    a: F8,
    b: F8,
    *,
    seed: int,
    replications: int = 1000,
    level: float = 0.95,
    block_bars: int | None = None,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> tuple[float, float, float]:
    """Annual Sharpe ratio of ``a`` minus that of ``b``, with a bootstrap interval.

    Stationary bootstrap of the pairs (Politis and Romano 1994, *JASA* 89:1303; ``arch``), percentile
    interval. Unless given, the mean block length is the one of Politis and White (2004, corrected 2009) for
    the influence function of the difference, so that it follows the dependence of what is estimated (squares
    included) and not that of either series alone.

    Parameters
    ----------
    a, b : float64 [T]
        Simple returns of the same bars. A bar where either is NaN is left out.
    seed : int
        Seed of the resampling; the same arguments give the same interval.
    replications : int
        Resamples.
    level : float
        Coverage, in (0, 1).
    block_bars : int, optional
        Mean block length.
    periods_per_year : float
        Bars in a year.

    Returns
    -------
    difference, low, high : float
        All NaN where either ratio is not defined; the bounds NaN below 60 pairs.

    Raises
    ------
    BadInput
        Series of different lengths, a return below −1 or infinite, a level outside (0, 1),
        fewer than one replication or bar in a block.
    """
    counts = replications >= 1 and (block_bars is None or block_bars >= 1)
    if a.shape != b.shape or not 0 < level < 1 or not counts:
        raise BadInput(
            expected="two series of one length, a level in (0, 1), at least 1 replication and bar in a block",
            found=f"{a.shape}, {b.shape}, {level}, {replications} and {block_bars}",
            where="sharpe_difference_interval",
        )
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = _valid(a[both]), _valid(b[both])
    year = math.sqrt(periods_per_year)
    difference = sharpe_ratio(a, periods_per_year=1) - sharpe_ratio(b, periods_per_year=1)
    if math.isnan(difference) or a.size < _MIN_PAIRS:
        return difference * year, math.nan, math.nan
    if (a == b).all():
        return 0.0, 0.0, 0.0
    from arch.bootstrap import StationaryBootstrap  # here: it is slow to load

    blocks = StationaryBootstrap(
        _block_length(a, b) if block_bars is None else block_bars, a, b, seed=np.random.default_rng(seed)
    )
    low, high = blocks.conf_int(_sharpe_gap, reps=replications, method="percentile", size=level)[
        :, 0
    ].tolist()
    return difference * year, low * year, high * year


def _block_length(a: F8, b: F8) -> int:
    from arch.bootstrap import optimal_block_length

    length = float(optimal_block_length(_sharpe_influence(a) - _sharpe_influence(b))["stationary"].iloc[0])
    return max(1, math.ceil(length)) if math.isfinite(length) else 1


def _sharpe_gap(a: F8, b: F8) -> F8:
    return np.asarray([a.mean() / a.std(ddof=1) - b.mean() / b.std(ddof=1)], dtype=np.float64)


def _sharpe_influence(returns: F8) -> F8:
    """Influence of each return on its series' Sharpe ratio (Lo 2002; Ledoit and Wolf 2008)."""
    standard = (returns - returns.mean()) / returns.std()
    return np.asarray(standard - 0.5 * returns.mean() / returns.std() * (standard**2 - 1.0), dtype=np.float64)
