"""Tails of a book over past scenarios: how many can be used, and expected shortfall beyond the normal one.

Compiled loops in fixed (scenario, symbol) order, as in ``guards.variance``.
"""

from __future__ import annotations

import numba
import numpy as np
from scipy.special import ndtri

from regime_trading.core.numbers import B1, F8, I8, exp_of


@numba.njit(cache=True)
def complete_scenarios(used: B1, scenarios: F8) -> I8:  # pragma: no cover
    """Scenarios with a return of every used asset, int64 [A]; ``used`` bool [A, N], ``scenarios`` float64 [S, N]."""
    n_accounts, n = used.shape
    out = np.zeros(n_accounts, dtype=np.int64)
    for r in range(n_accounts):
        for s in range(len(scenarios)):
            complete = True
            for i in range(n):
                if used[r, i] and not np.isfinite(scenarios[s, i]):
                    complete = False
                    break
            out[r] += complete
    return out


def cornish_fisher(losses: F8, confidence: F8) -> F8:
    """Expected shortfall by the Cornish-Fisher expansion of the normal quantile, ≥ 0; float64 [A].

    ``−μ + σ φ(z)/α · (1 + z S/6 + (z² − 1) K/24 + (1 − 2z²) S²/36)`` with ``α = 1 − confidence``, ``z`` the α-quantile
    of the normal distribution, S and K skewness and excess kurtosis of the profits: the mean of the expanded quantile
    over the tail. Source: Maillard (2012). ``losses`` float64 [A, S]; 0 without scenarios.
    """
    alpha = 1.0 - confidence
    z = ndtri(alpha)
    density = exp_of(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    mean, sigma, skew, excess = _moments(losses)
    bend = 1.0 + z * skew / 6.0 + (z * z - 1.0) * excess / 24.0 + (1.0 - 2.0 * z * z) * skew * skew / 36.0
    shortfall: F8 = np.maximum(sigma * density / alpha * bend - mean, 0.0)
    return shortfall


@numba.njit(cache=True)
def _moments(losses: F8) -> tuple[F8, F8, F8, F8]:  # pragma: no cover
    """Mean, standard deviation, skewness and excess kurtosis (divisor: how many are known) of the profits, float64 [A]
    each; what is NaN is left out."""
    n_accounts = losses.shape[0]
    out = np.zeros((4, n_accounts))
    for r in range(n_accounts):
        total, n = 0.0, 0
        for s in range(losses.shape[1]):
            if losses[r, s] == losses[r, s]:
                total -= losses[r, s]
                n += 1
        mean = total / n if n > 0 else 0.0
        second = third = fourth = 0.0
        for s in range(losses.shape[1]):
            if losses[r, s] == losses[r, s]:
                x = -losses[r, s] - mean
                second += x * x
                third += x * x * x
                fourth += x * x * x * x
        out[0, r] = mean
        if second > 0.0:
            variance = second / n
            out[1, r] = np.sqrt(variance)
            out[2, r] = third / n / (variance * out[1, r])
            out[3, r] = fourth / n / (variance * variance) - 3.0
    return out[0], out[1], out[2], out[3]
