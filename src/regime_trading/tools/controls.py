"""The simplest rules, as controls beside a strategy: what would holding, an average or a brake have done?

Each decides on one asset at each close, by what was known there, and goes through the same lag and costs as
everything else. Returns are simple and net; cash earns nothing.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.tools.features import log_returns, require_prices
from regime_trading.tools.performance import PERIODS_PER_YEAR, simple_returns

_BPS = 1e-4


def control_buy_and_hold(close: F8, *, cost_bps: float = 10.0) -> F8:
    """Net returns of buying at the first close that can be had and never selling.

    Parameters, returns and errors as :func:`control_moving_average`.
    """
    return rule_returns(close, np.where(np.isnan(close), np.nan, 1.0), cost_bps=cost_bps)


def control_moving_average(close: F8, window: int = 200, *, cost_bps: float = 10.0) -> F8:
    """Net returns of holding the asset while it is above its own average (Faber 2007, *J. Wealth Management*).

    All in when the close is above the mean of the last ``window`` known closes, itself included; all out
    otherwise and until the window is full.

    Parameters
    ----------
    close : float64 [T]
        Prices; NaN = no bar.
    window : int
        Known closes in the average, at least 2.
    cost_bps : float
        Cost per unit traded: going from all out to all in costs it once.

    Returns
    -------
    float64 [T]
        As :func:`rule_returns`.

    Raises
    ------
    BadInput
        A price that is not positive and finite, a window below 2, a negative cost.
    """
    _require_window(window)
    known = close[~np.isnan(close)]
    position = np.zeros(known.size)
    if known.size >= window:
        position[window - 1 :] = known[window - 1 :] > _rolling_mean(known, window)
    return rule_returns(close, _scatter(position, close), cost_bps=cost_bps)


def control_volatility_rule(
    close: F8,
    window: int = 20,
    *,
    target: float = 0.15,
    cost_bps: float = 10.0,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> F8:
    """Net returns of holding as much of the asset as a volatility target allows, never more than all in.

    Position ``min(1, target / σ)``, σ the annualised standard deviation (divisor ``window``) of the last
    ``window`` log returns; out until the window is full and where the price did not move in it (no risk that
    can be seen is not no risk).

    Parameters
    ----------
    close : float64 [T]
        Prices; NaN = no bar.
    window : int
        Known returns in the estimate, at least 2.
    target : float
        Annualised volatility, positive.
    cost_bps : float
        Cost per unit traded.
    periods_per_year : float
        Bars in a year.

    Returns
    -------
    float64 [T]
        As :func:`rule_returns`.

    Raises
    ------
    BadInput
        As :func:`control_moving_average`, or a target that is not positive.
    """
    _require_window(window)
    if not 0 < target < np.inf:
        raise BadInput(expected="a volatility > 0", found=repr(target), where="target")
    known = close[~np.isnan(close)]
    position = np.zeros(known.size)
    returns = log_returns(known[:, None])[1:, 0]
    if returns.size >= window:
        volatility = _rolling_deviation(returns, window) * math.sqrt(periods_per_year)
        position[window:] = np.where(volatility > 0, target / np.maximum(volatility, target), 0.0)
    return rule_returns(close, _scatter(position, close), cost_bps=cost_bps)


def rule_returns(close: F8, position: F8, *, cost_bps: float) -> F8:
    """Net returns of holding a share of wealth in one asset, decided at each close.

    One bar of lag, as everywhere in this product on closing prices: what is decided at the close of t is
    filled at the next known close, pays ``cost_bps`` there on what is traded, and earns from the bar after.
    The share drifts with the price within a bar and is brought back at its close.

    Parameters
    ----------
    close : float64 [T]
        Prices; NaN = no bar. Nothing is decided or filled there.
    position : float64 [T]
        Decision at each close, share of wealth in [0, 1]; read only where there is a close.
    cost_bps : float
        Cost per unit traded, ≥ 0.

    Returns
    -------
    float64 [T]
        Simple returns. NaN where the bar is missing and at the first known bar; the bar after a gap earns the
        whole gap.

    Raises
    ------
    BadInput
        A price that is not positive and finite, a position outside [0, 1], or a negative cost.
    """
    require_prices(close[:, None])
    known = np.flatnonzero(~np.isnan(close))
    decided = position[known]
    outside = ~((decided >= 0) & (decided <= 1))
    if not 0 <= cost_bps < np.inf or outside.any():
        raise BadInput(
            expected="positions in [0, 1] and a cost ≥ 0",
            found=f"cost {cost_bps!r}, positions {decided[outside][:1].tolist()}",
            where="rule_returns",
        )
    filled = np.append(0.0, decided)[:-1]  # share after the fill at each bar
    held = np.append(0.0, filled)[:-1]  # share at the start of each bar
    asset = simple_returns(close)[known]
    gross = 1.0 + held * asset
    traded = np.abs(filled - held * (1.0 + asset) / gross)
    out = np.full(close.shape, np.nan)
    out[known] = gross * (1.0 - traded * cost_bps * _BPS) - 1.0
    return out


def _require_window(window: int) -> None:
    if window < 2:
        raise BadInput(expected="at least 2 bars", found=str(window), where="window")


def _scatter(values: F8, close: F8) -> F8:
    out = np.full(close.shape, np.nan)
    out[~np.isnan(close)] = values
    return out


@njit(cache=True)
def _rolling_mean(values: F8, window: int) -> F8:
    out = np.empty(values.size - window + 1)
    for t in range(out.size):
        total = 0.0
        for j in range(t, t + window):
            total += values[j]
        out[t] = total / window
    return out


@njit(cache=True)
def _rolling_deviation(values: F8, window: int) -> F8:
    means = _rolling_mean(values, window)
    out = np.empty(means.size)
    for t in range(out.size):
        total = 0.0
        for j in range(t, t + window):
            total += (values[j] - means[t]) ** 2
        out[t] = math.sqrt(total / window)
    return out
