"""Bid-ask spread from bars alone: EDGE, Roll, Corwin-Schultz, Abdi-Ranaldo, and when none of them says anything.

All are fractions of the price. Where the spread is small against the volatility of a bar every one of these
estimators is noise; :func:`bar_spreads` then says "not identified" and gives no number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from bidask import edge as _edge  # type: ignore[import-untyped]

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.core.schemas import BarSpreads

BLOCKS = 20
MIN_BARS = 30
CRITICAL_T = 2.5
FLOOR_VOLATILITY = 0.25


def edge_spread(open: F8, high: F8, low: F8, close: F8) -> float:
    """EDGE: generalised-method-of-moments weighting of open, high, low and close covariances.

    The signed root is kept: negative where the estimate of the squared spread is. Ardia, Guidotti & Kroencke
    (2024, J. Financial Economics 161:103916), by the authors' package ``bidask``.

    Parameters
    ----------
    open, high, low, close : F8[n]
        Prices, oldest first. A bar with a missing, non-finite or non-positive price, or with prices outside
        [low, high], is missing as a whole. NaN results from fewer than 3 bars, flat bars or no variation.

    Raises
    ------
    BadInput
        Unequal lengths.
    """
    o, h, lo, c = _bars(open, high, low, close)
    return _edge_of((o, h, lo, c))


def roll_spread(close: F8) -> float:
    """Roll's (1984, J. Finance 39:1127) 2 √(−cov(Δp_t, Δp_{t−1})), p = log price.

    Parameters
    ----------
    close : F8[n]
        As in :func:`edge_spread`. NaN below 3 bars, where prices do not vary, and where the covariance is
        above zero: the estimator is then undefined, not zero.
    """
    square = _roll_square(_price(close))
    return float(np.sqrt(square)) if square >= 0.0 else float("nan")


def corwin_schultz(high: F8, low: F8, close: F8) -> float:
    """Corwin & Schultz (2012, J. Finance 67:719): mean over pairs of days of 2 (e^α − 1) / (1 + e^α).

    α = (√(2β) − √β) / (3 − 2√2) − √(γ / (3 − 2√2)), β = Σ over both days of ln(H/L)², γ = ln(H₂/L₂)² of the
    two-day range. Where the second day's range lies wholly above or below the first close, its high and low
    are moved by that overnight gap. A negative estimate of a pair counts as 0, as the authors do.

    Parameters
    ----------
    high, low, close : F8[n]
        As in :func:`edge_spread`; pairs with a missing bar are left out. NaN below 3 bars or where no bar has
        a range.

    Raises
    ------
    BadInput
        Unequal lengths.
    """
    _, h, lo, c = _bars(close, high, low, close)
    if _complete(c) < 3 or not np.nanmax(h - lo) > 0.0:
        return float("nan")
    gap = np.maximum(0.0, lo[1:] - c[:-1]) - np.maximum(0.0, c[:-1] - h[1:])
    high_2, low_2 = h[1:] - gap, lo[1:] - gap
    beta = (h[1:] - lo[1:]) ** 2 + (h[:-1] - lo[:-1]) ** 2
    gamma = (np.maximum(high_2, h[:-1]) - np.minimum(low_2, lo[:-1])) ** 2
    k = 3.0 - 2.0 * np.sqrt(2.0)
    alpha = (np.sqrt(2.0 * beta) - np.sqrt(beta)) / k - np.sqrt(gamma / k)
    spread = np.maximum(0.0, 2.0 * np.tanh(alpha / 2.0))  # 2 (e^α − 1) / (1 + e^α)
    return _mean(np.where(np.isnan(alpha), np.nan, spread))


def abdi_ranaldo(high: F8, low: F8, close: F8) -> float:
    """Abdi & Ranaldo (2017, Rev. Financial Studies 30:4437): √max(0, 4 E[(c_t − η_t)(c_t − η_{t+1})]).

    η is the middle of the logs of high and low.

    Parameters
    ----------
    high, low, close : F8[n]
        As in :func:`edge_spread`; pairs with a missing bar are left out. NaN below 3 bars or where no bar has
        a range.

    Raises
    ------
    BadInput
        Unequal lengths.
    """
    _, h, lo, c = _bars(close, high, low, close)
    if _complete(c) < 3 or not np.nanmax(h - lo) > 0.0:
        return float("nan")
    middle = (h + lo) / 2.0
    return float(np.sqrt(max(0.0, 4.0 * _mean((c[:-1] - middle[:-1]) * (c[:-1] - middle[1:])))))


def bar_spreads(
    open: F8 | None,
    high: F8 | None,
    low: F8 | None,
    close: F8,
    *,
    min_bars: int = MIN_BARS,
    critical_t: float = CRITICAL_T,
    floor_volatility: float = FLOOR_VOLATILITY,
) -> BarSpreads:
    """Every estimator in basis points, if the bars identify a spread at all.

    Identified where the squared spread S² of EDGE (of Roll, on closing prices alone) has

    1. S² > ``critical_t`` · standard error, by the delete-one-block jackknife over 20 blocks of consecutive
       bars: the estimate is not sampling noise. Without a spread this holds in about 1 case of 100.
    2. S ≥ ``floor_volatility`` · standard deviation of log returns: below a quarter of it, a serial
       correlation of −1/64 would look the same whatever the number of bars. At 2 % a day that is 0.5 %.

    Else every number is None and ``reason`` says why. Only the bars passed in are used.

    Parameters
    ----------
    open, high, low : F8[n] or None
        None: closing prices alone; then only Roll's estimator can be given.
    close : F8[n]
        As in :func:`edge_spread`.

    Raises
    ------
    BadInput
        Unequal lengths, or some but not all of open, high and low.
    """
    logs: tuple[F8, ...]
    square: Callable[[tuple[F8, ...]], float]
    if open is not None and high is not None and low is not None:
        logs, square, name = _bars(open, high, low, close), _edge_square, "EDGE"
    elif open is None and high is None and low is None:
        logs, square, name = (_price(close),), _roll_of, "Roll"
    else:
        raise BadInput(expected="open, high and low together", found="some of them", where="bar_spreads")
    n = _complete(logs[-1])
    reason = _not_identified(logs, square, name, n, (min_bars, critical_t, floor_volatility))
    if reason:
        return BarSpreads(n_bars=n, reason=reason)
    if len(logs) == 1:
        return BarSpreads(roll_bps=_bps(roll_spread(close)), identified=True, n_bars=n)
    _, h, lo, c = (np.exp(x) for x in logs)  # the same whole bars for every estimator
    return BarSpreads(
        edge_bps=_bps(_edge_of(logs)),
        roll_bps=_bps(roll_spread(c)),
        corwin_schultz_bps=_bps(corwin_schultz(h, lo, c)),
        abdi_ranaldo_bps=_bps(abdi_ranaldo(h, lo, c)),
        identified=True,
        n_bars=n,
    )


def _not_identified(
    logs: tuple[F8, ...],
    square: Callable[[tuple[F8, ...]], float],
    name: str,
    n: int,
    limits: tuple[int, float, float],
) -> str:
    """Why the bars identify no spread; empty where they do."""
    min_bars, critical_t, floor_volatility = limits
    if n < max(3, min_bars):
        return f"not identified: {n} complete bars, at least {max(3, min_bars)} needed"
    estimate = square(logs)
    if np.isnan(estimate):
        return "not identified: prices do not vary"
    if estimate <= 0.0:
        return f"not identified: {name} finds no spread in {n} bars"
    error, spread = jackknife_error(logs, square), float(np.sqrt(estimate))
    if not estimate > critical_t * error:
        noise = f"{np.sqrt(critical_t * error):.2%}" if np.isfinite(error) else "any spread"
        return f"not identified: {name} {spread:.2%} is within sampling noise ({noise}) of {n} bars"
    floor = floor_volatility * float(np.nanstd(np.diff(logs[-1])))
    if spread < floor:
        return f"not identified: {name} {spread:.2%} is small against the volatility of a bar (floor {floor:.2%})"
    return ""


def jackknife_error(
    logs: tuple[F8, ...], statistic: Callable[[tuple[F8, ...]], float], blocks: int = BLOCKS
) -> float:
    """Standard error of a statistic of bars: √((B − 1)/B · Σ_b (θ_b − mean θ)²), θ_b without block b.

    Blocks are runs of consecutive bars; one that is left out is set to NaN, so that bars on either side of it
    do not become neighbours (Künsch 1989, Annals of Statistics 17:1217). NaN where a θ_b is.
    """
    block = np.arange(len(logs[0])) * blocks // max(1, len(logs[0]))
    values = np.array(
        [statistic(tuple(np.where(block == b, np.nan, x) for x in logs)) for b in range(blocks)]
    )
    return float(np.sqrt((blocks - 1) / blocks * np.sum((values - values.mean()) ** 2)))


def _price(close: F8) -> F8:
    c = np.asarray(close, np.float64)
    return np.log(np.where(np.isfinite(c) & (c > 0.0), c, np.nan))


def _bars(open: F8, high: F8, low: F8, close: F8) -> tuple[F8, F8, F8, F8]:
    """Log prices, NaN in all four where a bar is not whole."""
    if len({len(x) for x in (open, high, low, close)}) != 1:
        raise BadInput(
            expected="equal lengths",
            found=", ".join(str(len(x)) for x in (open, high, low, close)),
            where="open, high, low, close",
        )
    o, h, lo, c = (_price(x) for x in (open, high, low, close))
    whole = (lo <= np.minimum(o, c)) & (np.maximum(o, c) <= h)
    return tuple(np.where(whole, x, np.nan) for x in (o, h, lo, c))  # type: ignore[return-value]


def _complete(x: F8) -> int:
    return int(np.isfinite(x).sum())


def _mean(x: F8) -> float:
    known = x[np.isfinite(x)]
    return float(known.mean()) if known.size else float("nan")


def _bps(spread: float) -> float | None:
    return spread * 1e4 if np.isfinite(spread) and spread >= 0.0 else None


def _edge_of(logs: tuple[F8, ...]) -> float:
    return float(_edge(*(np.exp(x) for x in logs), sign=True)) if _complete(logs[-1]) >= 3 else float("nan")


def _edge_square(logs: tuple[F8, ...]) -> float:
    root = _edge_of(logs)
    return float(np.copysign(root * root, root))


def _roll_of(logs: tuple[F8, ...]) -> float:
    return _roll_square(logs[0])


def _roll_square(p: F8) -> float:
    """−4 cov of neighbouring changes; NaN below 3 bars or without variation."""
    change = np.diff(p)
    later, earlier = change[1:], change[:-1]
    ok = np.isfinite(later) & np.isfinite(earlier)
    if ok.sum() < 1 or not np.nanmax(np.abs(change)) > 0.0:
        return float("nan")
    y, x = later[ok], earlier[ok]
    return float(-4.0 * np.mean((y - y.mean()) * (x - x.mean())))
