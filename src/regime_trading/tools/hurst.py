"""Hurst exponent of returns, with an interval that stays honest under volatility clustering.

Returns with Hurst exponent H are fractional Gaussian noise: the price persists for H > ½, reverts for H < ½, and
is a random walk for H = ½. The estimate is Whittle's; the variance of its score is taken from the sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from numpy.polynomial import chebyshev, polynomial
from scipy.special import binom, gamma, zeta

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I8

MIN_OBS = 128
SCORE_LAGS = 32

HURST_REASONS: tuple[str, ...] = ("", f"fewer valid returns than {MIN_OBS}", "returns do not vary")

_NODES = 28
_LOWEST, _HIGHEST = 0.01, 0.99
_MIDDLE, _HALF = 0.5 * math.log(_LOWEST * _HIGHEST), 0.5 * math.log(_HIGHEST / _LOWEST)
_TERMS = 27
_CHUNK = 256
_Z95 = 1.959963984540054
_ONE_ROW: I8 = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Hurst:
    """Whittle estimate of one sample; every number is NaN where there is a ``reason``.

    Attributes
    ----------
    hurst : float
        In [0.01, 0.99].
    std_error : float
        Robust to volatility clustering.
    low, high : float
        95 % interval, hurst ∓ 1.96 std_error, cut to [0, 1].
    p_value : float
        Two-sided, of H = ½, from the same standard error: below 5 % exactly where the interval excludes ½.
    n_obs : int
        Valid returns.
    reason : str
    """

    hurst: float
    std_error: float
    low: float
    high: float
    p_value: float
    n_obs: int
    reason: str


class _Table(NamedTuple):
    """What the estimate needs of fractional Gaussian noise at the Fourier frequencies of one sample size.

    slope : F8[m, K-1]
        Chebyshev coefficients over ln H of d(1 / g_j) / d ln H.
    log_information : F8[K]
        Those of ln Σ_j (d ln g_j / dH)².
    """

    slope: F8
    log_information: F8


def fgn_spectrum(frequency: F8, hurst: F8) -> F8:
    """Exact spectral density of fractional Gaussian noise of variance 1.

    f(λ; H) = sin(pi H) Γ(2H + 1) / pi · (1 − cos λ) · Σ_j |λ + 2 pi j|^(−2H − 1) over all integers j
    (Sinai 1976; Beran 1994, eq. 2.17). The term j = 0 is kept as it is; the others are an even power series,
    2 Σ_i C(2H + 2i, 2i) ζ(2H + 1 + 2i) λ^(2i) (2 pi)^(−2H − 1 − 2i), whose terms fall by 4 or more each, so
    that 27 of them are exact to rounding.

    Parameters
    ----------
    frequency : F8[m]
        Radians per bar, in (0, pi].
    hurst : F8[K]
        In (0, 1).

    Returns
    -------
    F8[K, m]
        Its integral over (−pi, pi] is 1.

    Raises
    ------
    BadInput
        A frequency or an exponent out of range, or not one-dimensional.
    """
    lam, h = np.asarray(frequency, np.float64), np.asarray(hurst, np.float64)
    in_range = bool(np.all((lam > 0) & (lam <= math.pi)) and np.all((h > 0) & (h < 1)))
    if lam.ndim != 1 or h.ndim != 1 or not in_range:
        raise BadInput(
            expected="frequency [m] in (0, pi] and hurst [K] in (0, 1)",
            found=f"shapes {lam.shape}, {h.shape}",
            where="fgn_spectrum",
        )
    even, power = 2.0 * np.arange(_TERMS)[:, None], 2.0 * h + 1.0
    series = 2.0 * binom(power + even - 1.0, even) * zeta(power + even) * (2.0 * math.pi) ** (-power - even)
    total = lam ** -power[:, None] + polynomial.polyval(lam**2, series)
    scale = np.sin(math.pi * h) * gamma(power) / math.pi
    density: F8 = scale[:, None] * 2.0 * np.sin(lam / 2.0) ** 2 * total
    return density


def score_weights(lags: int = SCORE_LAGS) -> F8:
    """Weight of the autocorrelation at lag k = 1 … ``lags`` in the score of H at ½.

    The spectrum is flat there, so the weights are those of the autocovariance itself: dgamma_k/dH =
    (k + 1) ln(k + 1) − 2 k ln k + (k − 1) ln(k − 1), about 1 / k.

    Returns
    -------
    F8[lags]
    """
    k = np.arange(lags + 2, dtype=np.float64)
    k_log_k = k * np.log(np.maximum(k, 1.0))
    weights: F8 = np.diff(k_log_k, 2)
    return weights


def whittle(returns: F8) -> Hurst:
    """Whittle estimate of the Hurst exponent of returns, for exact fractional Gaussian noise.

    Ĥ minimises S(H) = Σ_j I(λ_j) / g(λ_j; H), where I is the periodogram at the Fourier frequencies
    0 < λ_j < pi and g the exact spectral density scaled to geometric mean 1 over them (Whittle 1953; Fox &
    Taqqu 1986): mean and variance drop out.

    Var(Ĥ) = v / J, J = Σ_j (d ln g_j / dH)². v = 1 for Gaussian noise. Otherwise the score is, to first
    order, √n Σ_k b_k rho_k with b of :func:`score_weights`, and for uncorrelated shocks whose volatility
    clusters n Var(rho_k) = delta_k = n Σ_t x_t² x_{t−k}² / (Σ x²)² (Lo & MacKinlay 1988), so that
    v = Σ_k b_k² (delta_k − 2 rho_k²) / Σ_k b_k². The 2 rho_k² is the share of delta_k that a Gaussian series
    has from its own autocorrelation; lags beyond ``SCORE_LAGS`` (1 % of the weight) count with 1. The variance
    is itself estimated, from nu = :func:`effective_obs` degrees of freedom: a factor 1 + 1.96² / (2 nu) widens
    the normal interval to Student's.

    Parameters
    ----------
    returns : F8[T]
        Not prices. NaN and infinite values are dropped. NaN results, and the reason, where fewer than
        ``MIN_OBS`` remain or they do not vary.

    Raises
    ------
    BadInput
        Returns that are not one-dimensional.
    """
    x = _sample(returns)
    estimate, error = whittle_windows(x, _ONE_ROW, np.array([x.size]))
    h, se = float(estimate[0]), float(error[0])
    reason = HURST_REASONS[(2 if x.size >= MIN_OBS else 1) if math.isnan(h) else 0]
    low, high = interval(estimate, error)
    return Hurst(h, se, float(low[0]), float(high[0]), p_value(h, se), x.size, reason)


def interval(hurst: F8, std_error: F8) -> tuple[F8, F8]:
    """95 % interval hurst ∓ 1.96 std_error, cut to [0, 1], element by element; NaN where an input is."""
    half = _Z95 * std_error
    return np.maximum(hurst - half, 0.0), np.minimum(hurst + half, 1.0)


def p_value(hurst: float, std_error: float) -> float:
    """Two-sided p-value of H = ½, erfc(|hurst − ½| / std_error / √2); NaN where an input is."""
    return math.erfc(abs(hurst - 0.5) / std_error / math.sqrt(2.0))


def whittle_windows(values: F8, starts: I8, stops: I8) -> tuple[F8, F8]:
    """:func:`whittle` of many windows ``values[start:stop]`` at once.

    Windows of one length share a table and go through the Fourier transform together; each result depends on
    its own window alone, to the bit.

    Parameters
    ----------
    values : F8[S]
        Finite.
    starts, stops : I8[E]
        0 ≤ start ≤ stop ≤ S.

    Returns
    -------
    hurst, std_error : F8[E]
        NaN where a window is shorter than ``MIN_OBS`` or does not vary.

    Raises
    ------
    BadInput
        Windows outside of ``values``.
    """
    length = stops - starts
    if starts.size and (starts.min() < 0 or stops.max() > values.size or length.min() < 0):
        raise BadInput(
            expected=f"0 ≤ start ≤ stop ≤ {values.size}",
            found=f"starts from {starts.min()}, stops to {stops.max()}",
            where="whittle_windows",
        )
    hurst, error = np.full(starts.size, np.nan), np.full(starts.size, np.nan)
    for n in np.unique(length[length >= MIN_OBS]):
        table, rows = _table(int(n)), np.flatnonzero(length == n)
        for i in range(0, rows.size, _CHUNK):
            some = rows[i : i + _CHUNK]
            block = np.empty((some.size, int(n)))
            _centre_rows(values, starts[some], block)
            hurst[some], error[some] = _estimate(block, np.fft.rfft(block), *table)
    return hurst, error


def generalised_hurst(returns: F8, q: float = 2.0, max_lag: int = 19) -> float:
    """Generalised Hurst exponent, a fast check of :func:`whittle`.

    E|X(t + k) − X(t)|^q ~ k^(q H(q)) for X the cumulated, centred returns: H(q) is the least-squares slope of
    the log of the mean over log k, k = 1 … ``max_lag``, divided by q (Di Matteo, Aste & Dacorogna 2003). It
    has no interval and a larger error than Whittle's estimate.

    Parameters
    ----------
    returns : F8[T]
        NaN and infinite values are dropped. NaN results where fewer than ``MIN_OBS`` or ``4 max_lag`` remain or
        they do not vary.
    q : float
        Above 0.
    max_lag : int
        At least 2.

    Raises
    ------
    BadInput
        Shape, ``q`` or ``max_lag`` out of range.
    """
    if not q > 0.0 or max_lag < 2:
        raise BadInput(
            expected="q > 0 and max_lag ≥ 2", found=f"q={q}, max_lag={max_lag}", where="generalised_hurst"
        )
    x = centred(_sample(returns))
    if x.size < max(MIN_OBS, 4 * max_lag):
        return math.nan
    path, lags = np.concatenate([[0.0], np.cumsum(x)]), np.arange(1, max_lag + 1)
    moments = np.array([np.mean(np.abs(path[k:] - path[:-k]) ** q) for k in lags])
    if not np.all(moments > 0.0):
        return math.nan
    return float(np.polynomial.polynomial.polyfit(np.log(lags), np.log(moments), 1)[1] / q)


def _sample(returns: F8) -> F8:
    x = np.asarray(returns, dtype=np.float64)
    if x.ndim != 1:
        raise BadInput(expected="returns of shape [T]", found=f"{x.ndim} dimensions", where="returns")
    return np.ascontiguousarray(x[np.isfinite(x)])


@lru_cache(maxsize=16)
def _table(n: int) -> _Table:
    """Chebyshev series in ln H over [0.01, 0.99], where 28 nodes give the slope to about 1e-8 of its size.

    In H itself the branch points of 1 / g near H = 0 (one a frequency) would spoil the convergence; in ln H they
    lie pi away from the real axis.
    """
    x = chebyshev.chebpts1(_NODES)
    hurst: F8 = np.exp(_MIDDLE + _HALF * x)
    frequency = 2.0 * math.pi / n * np.arange(1, (n - 1) // 2 + 1, dtype=np.float64)
    log_g = np.log(fgn_spectrum(frequency, hurst))
    log_g -= log_g.mean(axis=1, keepdims=True)
    to_coefficients = np.linalg.inv(chebyshev.chebvander(x, _NODES - 1))
    to_slope = chebyshev.chebder(to_coefficients) / _HALF
    score = chebyshev.chebvander(x, _NODES - 2) @ to_slope @ log_g
    information = np.sum(score**2, axis=1) / hurst**2
    return _Table(np.ascontiguousarray((to_slope @ np.exp(-log_g)).T), to_coefficients @ np.log(information))


@njit(cache=True)
def centred(x: F8) -> F8:
    """Deviations from the mean in units of the largest; empty where they are only rounding noise."""
    if x.shape[0] == 0:
        return np.empty(0)
    mean = x.mean()
    deviation = x - mean
    largest = np.abs(deviation).max()
    if not 1e-10 * abs(mean) < largest < math.inf:
        return np.empty(0)
    units: F8 = deviation / largest
    return units


@njit(cache=True)
def lagged_products(x: F8, lags: int) -> F8:
    """Σ_t x_t x_{t−k} for k = 0 … ``lags``; the sum over lags is the inner loop, so that it vectorises."""
    n, s = x.shape[0], np.zeros(lags + 1)
    for i in range(n):
        for k in range(min(lags + 1, n - i)):
            s[k] += x[i] * x[i + k]
    return s


@njit(cache=True)
def _centre_rows(values: F8, starts: I8, block: F8) -> None:
    n = block.shape[1]
    for i in range(starts.shape[0]):
        row = centred(values[starts[i] : starts[i] + n])
        block[i] = row if row.shape[0] == n else np.full(n, np.nan)


@njit(cache=True)
def _clenshaw(x: float, c: F8) -> float:
    b, after = 0.0, 0.0
    for k in range(c.shape[0] - 1, 0, -1):
        b, after = c[k] + 2.0 * x * b - after, b
    value: float = c[0] + x * b - after
    return value


_B2 = score_weights() ** 2
_ALL_B2 = float(np.sum(score_weights(100_000) ** 2))


@njit(cache=True)
def _estimate(
    block: F8, transform: npt.NDArray[np.complex128], slope: F8, log_information: F8
) -> tuple[F8, F8]:
    rows, count = block.shape[0], slope.shape[0]
    hurst, error = np.full(rows, np.nan), np.full(rows, np.nan)
    for r in range(rows):
        if math.isnan(block[r, 0]):
            continue
        c = np.zeros(slope.shape[1])
        for j in range(count):
            power = transform[r, j + 1].real ** 2 + transform[r, j + 1].imag ** 2
            for k in range(c.shape[0]):
                c[k] += power * slope[j, k]
        low, high = -1.0, 1.0
        for _ in range(40):
            x = 0.5 * (low + high)
            if _clenshaw(x, c) > 0.0:
                high = x
            else:
                low = x
        hurst[r] = math.exp(_MIDDLE + _HALF * x)
        error[r] = math.sqrt(_inflation(block[r]) / math.exp(_clenshaw(x, log_information)))
    return hurst, error


@njit(cache=True)
def effective_obs(x: F8) -> float:
    """Degrees of freedom of a variance estimated as Σ s_t², s_t = x_t x_{t−1}: (Σ s²)² / Σ s⁴ (Satterthwaite).

    n / 9 for Gaussian returns, fewer where tails are fat or volatility clusters.
    """
    second, fourth = 0.0, 0.0
    for i in range(1, x.shape[0]):
        square = (x[i] * x[i - 1]) ** 2
        second += square
        fourth += square * square
    return second * second / fourth if fourth > 0.0 else 1.0


@njit(cache=True)
def _inflation(x: F8) -> float:
    """v of :func:`whittle`; every lag counts with at least 0."""
    n, products, squares = x.shape[0], lagged_products(x, SCORE_LAGS), lagged_products(x * x, SCORE_LAGS)
    total, v = products[0], _ALL_B2
    for k in range(1, SCORE_LAGS + 1):
        delta = n * squares[k] / (total * total)
        rho = products[k] / total
        v += _B2[k - 1] * (max(delta - 2.0 * rho * rho, 0.0) - 1.0)
    return v / _ALL_B2 * (1.0 + _Z95**2 / (2.0 * effective_obs(x)))
