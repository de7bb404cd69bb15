"""Price features. Each looks back over the symbol's own bars, and a missing bar is not one of them.

One rule holds for all three: a symbol's known closes are taken as if the missing bars were not there, the
feature is computed on those, and a row without a close has no value (NaN). So a hole in the data neither
poisons the rows after it nor turns into a return of zero, and a symbol that trades on fewer sessions than
its neighbours keeps its own clock. The loops run forward over plain doubles: nothing at t reads a row > t.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8


def require_prices(close: F8) -> F8:
    """``close`` itself, contiguous.

    Raises
    ------
    BadInput
        A price that is not positive and finite (NaN is no bar), or an array that is not [T, N].
    """
    prices = np.ascontiguousarray(close, dtype=np.float64)
    if prices.ndim != 2:
        raise BadInput(expected="prices [T, N]", found=f"shape {prices.shape}", where="close")
    bad = ~np.isnan(prices) & ~((prices > 0) & np.isfinite(prices))
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise BadInput(
            expected="a positive finite price, or NaN for no bar",
            found=repr(float(prices[row, column])),
            where=f"close: row {row}, column {column}",
        )
    return prices


def log_returns(close: F8) -> F8:
    """Logarithmic return of each bar over the last known close before it.

    The first known bar has none (NaN), a missing bar has none (NaN), and the first bar after a gap spans the
    whole gap: the move happened, and leaving it out would lose both the money and the risk. Returns of a
    symbol therefore always add up to ln(last / first), gaps or not.

    Parameters
    ----------
    close : float64 [T, N]
        Prices; NaN = no bar.

    Returns
    -------
    float64 [T, N]

    Raises
    ------
    BadInput
        As :func:`require_prices`.
    """
    return _log_returns(require_prices(close))


def momentum(close: F8, lookback: int) -> F8:
    """Log return over the symbol's last ``lookback`` bars: ``ln(P_t / P_{t-lookback})``.

    Source: time-series momentum, Moskowitz, Ooi and Pedersen (2012), *J. Financial Economics* 104:228.

    Parameters
    ----------
    close : float64 [T, N]
        Prices; NaN = no bar.
    lookback : int
        Known bars to look back over, at least 1.

    Returns
    -------
    float64 [T, N]
        NaN where the bar is missing or fewer than ``lookback`` known bars lie before it.

    Raises
    ------
    BadInput
        As :func:`require_prices`, or a lookback below 1.
    """
    _require_lookback(lookback, least=1)
    return _momentum(require_prices(close), lookback)


def z_score(close: F8, lookback: int) -> F8:
    """Distance of the log price from its own mean over the last ``lookback`` bars, this one included.

    ``z = (ln P_t − mean) / sd`` with the population standard deviation (divisor ``lookback``).

    Parameters
    ----------
    close : float64 [T, N]
        Prices; NaN = no bar.
    lookback : int
        Known bars in the window, at least 2.

    Returns
    -------
    float64 [T, N]
        In standard deviations. NaN where the bar is missing, the window is not full, or the price did not
        move in it (no scale is not a distance of zero).

    Raises
    ------
    BadInput
        As :func:`require_prices`, or a lookback below 2.
    """
    _require_lookback(lookback, least=2)
    return _z_score(require_prices(close), lookback)


def _require_lookback(lookback: int, *, least: int) -> None:
    if lookback < least:
        raise BadInput(expected=f"at least {least} bars", found=str(lookback), where="lookback")


@njit(cache=True)
def _log_returns(close: F8) -> F8:
    rows, columns = close.shape
    out = np.full((rows, columns), np.nan)
    for i in range(columns):
        last = np.nan
        for t in range(rows):
            if math.isnan(close[t, i]):
                continue
            level = math.log(close[t, i])
            out[t, i] = level - last
            last = level
    return out


@njit(cache=True)
def _momentum(close: F8, lookback: int) -> F8:
    rows, columns = close.shape
    out = np.full((rows, columns), np.nan)
    known = np.empty(rows)
    for i in range(columns):
        seen = 0
        for t in range(rows):
            if math.isnan(close[t, i]):
                continue
            known[seen] = math.log(close[t, i])
            if seen >= lookback:
                out[t, i] = known[seen] - known[seen - lookback]
            seen += 1
    return out


@njit(cache=True)
def _z_score(close: F8, lookback: int) -> F8:
    rows, columns = close.shape
    out = np.full((rows, columns), np.nan)
    known = np.empty(rows)
    for i in range(columns):
        seen = 0
        for t in range(rows):
            if math.isnan(close[t, i]):
                continue
            level = math.log(close[t, i])
            known[seen] = level
            seen += 1
            if seen < lookback:
                continue
            # Distances from the last level: a price that stands still gives exact zeros.
            mean = 0.0
            for j in range(seen - lookback, seen):
                mean += known[j] - level
            mean /= lookback
            variance = 0.0
            for j in range(seen - lookback, seen):
                variance += (known[j] - level - mean) ** 2
            variance /= lookback
            if variance > 0.0:
                out[t, i] = -mean / math.sqrt(variance)
    return out
