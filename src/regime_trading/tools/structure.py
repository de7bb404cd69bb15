"""Structure of a return series: does it trend, revert, or neither?

A vote is "the interval excludes the null". Robust variance ratios over several lags, the Hurst exponent, the first
autocorrelation and the Dickey-Fuller test of the log price are judged together by one joint test. Everything is
a function of the sample alone, so a rolling path is causal by construction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1, I8
from regime_trading.core.schemas import Structure, StructureLabel
from regime_trading.tools.hurst import (
    MIN_OBS,
    SCORE_LAGS,
    centred,
    effective_obs,
    interval,
    lagged_products,
    score_weights,
    whittle_windows,
)

STRUCTURE_LABELS: tuple[StructureLabel, ...] = tuple(StructureLabel)
TRENDING, MEAN_REVERTING, RANDOM, UNKNOWN = range(4)

STRUCTURE_REASONS: tuple[str, ...] = (
    "",
    "fewer valid returns than min_obs",
    "variance ratios not defined: returns do not vary",
    "not evaluated yet",
)
_OK, _TOO_FEW, _NO_VARIATION, _NOT_YET = range(4)

LAGS = (2, 5)
LEVEL = 0.047
DICKEY_FULLER_SHARE = 0.05
EXPLOITABLE_PHI = 0.1

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_LABEL, _REASON, _LAG, _CODES = range(4)
_CONFIDENCE, _RATIO, _P, _LIFE, _HURST, _LOW, _HIGH, _HURST_P, _AR1_P, _UNIT_ROOT_P, _RATIO_P, _NUMBERS = (
    range(12)
)


@dataclass(frozen=True, slots=True)
class VarianceRatios:
    """Variance ratios of one sample.

    Attributes
    ----------
    lags : tuple of int
    vr : F8[L]
        Bias-corrected overlapping variance ratios; 1 under a random walk.
    z : F8[L]
        Heteroskedasticity-robust statistics, asymptotically N(0, 1).
    adjacent_corr : F8[L-1]
        Null correlation of ``z[i]`` and ``z[i + 1]``, estimated with the same robust moments.
    n_obs : int
    """

    lags: tuple[int, ...]
    vr: F8
    z: F8
    adjacent_corr: F8
    n_obs: int


@dataclass(frozen=True, slots=True)
class Ar1:
    """First-order autoregression of returns; NaN where not identified."""

    phi: float
    t: float
    half_life: float


@dataclass(frozen=True, slots=True)
class DickeyFuller:
    """Regression of the change of the log price on its level; NaN where not identified."""

    b: float
    t: float
    p_value: float


@dataclass(frozen=True, slots=True)
class StructurePath:
    """Structure of every column at every row, from a window that ends at that row (or before).

    Attributes
    ----------
    label : I1[T, N]
        Index into ``STRUCTURE_LABELS``.
    confidence : F8[T, N]
        In [0, 1]; 0 where unknown.
    variance_ratio, p_value : F8[T, N]
        At the most extreme lag, and of the joint test; NaN where unknown.
    half_life : F8[T, N]
        Bars; NaN where not identified.
    n_obs : I8[T, N]
        Valid returns in the window.
    reason : I1[T, N]
        Index into ``STRUCTURE_REASONS``.
    hurst, hurst_low, hurst_high : F8[T, N]
        Whittle estimate and its 95 % interval; NaN where unknown or below ``hurst.MIN_OBS`` returns.
    hurst_p, ar1_p, dickey_fuller_p, variance_ratio_p : F8[T, N]
        Two-sided p-values of the single tests (Dickey-Fuller: one-sided), not corrected for their number; NaN
        where not defined.
    lag : I8[T, N]
        The most extreme lag; 0 where unknown.
    """

    label: I1
    confidence: F8
    variance_ratio: F8
    p_value: F8
    half_life: F8
    n_obs: I8
    reason: I1
    hurst: F8
    hurst_low: F8
    hurst_high: F8
    hurst_p: F8
    ar1_p: F8
    dickey_fuller_p: F8
    variance_ratio_p: F8
    lag: I8

    def at(self, t: int, column: int) -> Structure:
        """Schema of one cell."""
        i = (t, column)
        tests = {
            "joint": self.p_value[i],
            f"variance_ratio_{self.lag[i]}": self.variance_ratio_p[i],
            "hurst": self.hurst_p[i],
            "ar1": self.ar1_p[i],
            "dickey_fuller": self.dickey_fuller_p[i],
        }
        low, high = _known(self.hurst_low[i]), _known(self.hurst_high[i])
        return Structure(
            label=STRUCTURE_LABELS[int(self.label[i])],
            confidence=float(self.confidence[i]),
            variance_ratio=_known(self.variance_ratio[i]),
            p_value=_known(self.p_value[i]),
            half_life_bars=_known(self.half_life[i]),
            n_obs=int(self.n_obs[i]),
            hurst=_known(self.hurst[i]),
            hurst_ci=None if low is None or high is None else (low, high),
            p_values={name: float(p) for name, p in tests.items() if not math.isnan(p)},
            reason=STRUCTURE_REASONS[int(self.reason[i])],
        )


def variance_ratios(returns: F8, lags: tuple[int, ...] = LAGS) -> VarianceRatios:
    """Robust variance ratios.

    VR(q) = sigma²(q) / sigma²(1) with overlapping, bias-corrected variances, and the statistic
    z2(q) = √n (VR(q) − 1) / √theta(q), theta(q) = Σ_k (2 (q − k) / q)² delta_k, of Lo & MacKinlay (1988,
    eqs. 12–14 and 19–20). Two statistics share the increments delta_k, which gives their correlation.

    Parameters
    ----------
    returns : F8[T]
        Log returns. NaN and infinite values are dropped; NaN results where fewer than ``max(lags) + 1``
        remain or they do not vary.
    lags : tuple of int
        Strictly increasing, each ≥ 2.

    Raises
    ------
    BadInput
        Returns that are not one-dimensional, or lags that are not as above.
    """
    x = _sample(returns)
    q = _checked_lags(lags)
    weights, count = _lag_weights(q), q.size
    vr, z, corr = np.full(count, np.nan), np.full(count, np.nan), np.full(count - 1, np.nan)
    deviation = centred(x)
    if deviation.size > q[-1]:
        covariance = _covariances(weights, _increments(deviation, weights.shape[1]))
        _variance_ratios(deviation, q, covariance, vr, z)
        scale = np.sqrt(np.diag(covariance))
        corr = np.diag(covariance, 1)[: count - 1] / (scale[:-1] * scale[1:])[: count - 1]
    return VarianceRatios(lags, vr, z, corr[: count - 1], x.size)


def joint_p_value(z: F8, adjacent_corr: F8) -> float:
    """P-value of max |z| under the joint null.

    The maximum over lags is Chow & Denning's (1993) statistic. Their bound takes the statistics as
    independent; they are strongly correlated, so it rejects too rarely. Here the bound is the one of Hunter
    (1976) and Worsley (1982): P(∪ A_i) ≤ Σ P(A_i) − Σ P(A_i ∩ A_{i+1}), still an upper bound, and within a
    few percent of the exact value for neighbouring lags.

    Parameters
    ----------
    z : F8[L]
    adjacent_corr : F8[L-1]
        As in :class:`VarianceRatios`, or along any other tree over the statistics.

    Returns
    -------
    float
        In [0, 1]; NaN where an input is NaN.
    """
    return float(_joint_p_value(np.asarray(z, dtype=np.float64), np.asarray(adjacent_corr, dtype=np.float64)))


def ar1(returns: F8) -> Ar1:
    """Least squares of r_t on a constant and r_{t-1}, with White's (1980, HC0) t statistic.

    Parameters
    ----------
    returns : F8[T]
        NaN and infinite values are dropped.

    Returns
    -------
    Ar1
        ``half_life`` = ln ½ / ln phi bars, of a shock to *returns*, only for 0 < phi < 1. For deviations of
        the price see :func:`half_life`.
    """
    phi, t = _ar1(_sample(returns))
    return Ar1(phi, t, math.log(0.5) / math.log(phi) if 0.0 < phi < 1.0 else math.nan)


def dickey_fuller(returns: F8) -> DickeyFuller:
    """Dickey-Fuller test of the log price p, the cumulated returns, with a variance robust to clustering.

    Δp_t = a + b p_{t-1} + e_t, t = b / the HC3 standard error of MacKinnon & White (1985). Under a unit root the
    statistic keeps the distribution of Dickey & Fuller (1979) when volatility clusters, where the plain one
    rejects two to three times too often at 0.5 %. One-sided p-value by the response surface of MacKinnon (1994,
    constant).
    Of prices only: on returns the test always rejects and says nothing.

    Parameters
    ----------
    returns : F8[T]
        Log returns. NaN and infinite values are dropped. NaN results below 20 or where they do not vary.
    """
    return DickeyFuller(*_dickey_fuller(_sample(returns)))


def half_life(returns: F8) -> float:
    """Half-life, in bars, of deviations of the log price from its mean.

    In the regression of :func:`dickey_fuller` a deviation shrinks by (1 + b) a bar, so it halves in
    ln ½ / ln(1 + b) bars. Identified only where that test rejects at 5 % and 0 < 1 + b < 1; NaN otherwise.

    Parameters
    ----------
    returns : F8[T]
        Log returns. NaN and infinite values are dropped.
    """
    b, _, p = _dickey_fuller(_sample(returns))
    return float(_half_life(b, p))


def structure_label(
    returns: F8, *, lags: tuple[int, ...] = LAGS, min_obs: int = MIN_OBS, level: float = LEVEL
) -> Structure:
    """Structure of one sample.

    The null is a random walk: returns that cannot be predicted, whatever their volatility does. Under it the
    robust z of the variance ratios, of H = ½ and of the first autocorrelation are, to first order, all weighted
    sums of autocorrelations, √n Σ_k w_k rho_k / √(Σ_k w_k² delta_k), hence jointly normal with correlations
    Σ_k w_k u_k delta_k / √(…) that the sample gives. Each is first taken from Student's t to a normal score, with
    the degrees of freedom that its variance was estimated with (``hurst.effective_obs``). Their maximum is
    judged by :func:`joint_p_value` along the tree of the largest correlations, so a test that repeats another
    costs no size. The Dickey-Fuller test of the log price, which alone has power against slow reversion and is
    not normal, takes its share s = ``DICKEY_FULLER_SHARE`` of the level (weighted Bonferroni):

        p = min(p_linear / (1 − s), p_dickey_fuller / s).

    ``trending`` where p < ``level`` and the most extreme z is positive, ``mean_reverting`` where it is negative or
    the smaller term is the Dickey-Fuller one, ``random`` where p ≥ ``level``, ``unknown`` (confidence 0, with the
    reason) below ``min_obs`` valid returns or where they do not vary.

    Confidence: where the test rejects, 1 − p. For ``random``, 1 − p of the equivalence test (two one-sided
    tests, Schuirmann 1987): the confidence that at *every* lag the variance ratio lies inside what an AR(1)
    with |phi| = 0.1 would give. It grows with the sample, falls with volatility clustering, and is one half
    where the estimate sits on that border.

    ``half_life_bars`` is :func:`half_life`, given for ``mean_reverting`` only.

    Parameters
    ----------
    returns : F8[T]
        Log returns. NaN and infinite values are dropped.
    level : float
        Size of the joint test. The default keeps false calls at or below 5 % from 256 returns on.

    Raises
    ------
    BadInput
        Shapes, lags, ``min_obs`` or ``level`` out of range.
    """
    x = _sample(returns)
    q = _checked_lags(lags)
    _check_test(q, min_obs, level)
    ends = np.array([x.size])
    codes, numbers = _judged(x, np.zeros(1, np.int64), ends, q, min_obs, level)
    return _as_path(codes[:, None], numbers[:, None], ends[:, None]).at(0, 0)


def structure_path(
    returns: F8,
    *,
    window: int = 504,
    every: int = 5,
    lags: tuple[int, ...] = LAGS,
    min_obs: int = 256,
    level: float = LEVEL,
) -> StructurePath:
    """:func:`structure_label` of every column on a rolling window.

    Evaluated at rows t with (t + 1) divisible by ``every``, on the last ``window`` rows up to and including
    t, and held until the next such row. The schedule counts from the first row, so nothing at t depends on
    what follows.

    Parameters
    ----------
    returns : F8[T, N]
        Log returns. NaN and infinite values are dropped from the window.

    Raises
    ------
    BadInput
        Shapes, lags, ``min_obs``, ``level``, ``window`` or ``every`` out of range.
    """
    x = np.asarray(returns, dtype=np.float64)
    if x.ndim != 2:
        raise BadInput(expected="returns of shape [T, N]", found=f"{x.ndim} dimensions", where="returns")
    q = _checked_lags(lags)
    _check_test(q, min_obs, level)
    if window < min_obs or every < 1:
        raise BadInput(
            expected="window ≥ min_obs and every ≥ 1",
            found=f"window={window}, min_obs={min_obs}, every={every}",
            where="structure_path",
        )
    values, starts, stops = _windows(x, window, every)
    codes, numbers = _judged(values, starts.ravel(), stops.ravel(), q, min_obs, level)
    blank_codes, blank_numbers = _blank(x.shape[1])
    blank_codes[:, _REASON] = _NOT_YET
    row = (np.arange(x.shape[0]) + 1) // every
    return _as_path(
        np.concatenate([blank_codes[None], codes.reshape(*starts.shape, _CODES)])[row],
        np.concatenate([blank_numbers[None], numbers.reshape(*starts.shape, _NUMBERS)])[row],
        np.concatenate([np.zeros((1, x.shape[1]), np.int64), stops - starts])[row],
    )


def _sample(returns: F8) -> F8:
    x = np.asarray(returns, dtype=np.float64)
    if x.ndim != 1:
        raise BadInput(expected="returns of shape [T]", found=f"{x.ndim} dimensions", where="returns")
    return np.ascontiguousarray(x[np.isfinite(x)])


def _windows(x: F8, window: int, every: int) -> tuple[F8, I8, I8]:
    """Finite values, column after column, and the slice of them that each evaluation [E, N] sees."""
    finite = np.isfinite(x)
    before = np.vstack([np.zeros((1, x.shape[1]), np.int64), np.cumsum(finite, axis=0)])
    offset = np.cumsum(before[-1]) - before[-1]
    stop = np.arange(every, x.shape[0] + 1, every)
    return x.T[finite.T], before[np.maximum(0, stop - window)] + offset, before[stop] + offset


def _checked_lags(lags: tuple[int, ...]) -> I8:
    q = np.asarray(lags, dtype=np.int64)
    if q.ndim != 1 or q.size == 0 or q[0] < 2 or bool(np.any(np.diff(q) <= 0)):
        raise BadInput(expected="strictly increasing lags, each ≥ 2", found=str(lags), where="lags")
    return q


def _check_test(lags: I8, min_obs: int, level: float) -> None:
    if min_obs <= int(lags[-1]) + 1 or not 0.0 < level < 1.0:
        raise BadInput(
            expected=f"min_obs > {int(lags[-1]) + 1} and 0 < level < 1",
            found=f"min_obs={min_obs}, level={level}",
            where="structure",
        )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _blank(count: int) -> tuple[I8, F8]:
    """Codes and numbers of ``count`` windows with nothing known."""
    codes, numbers = np.zeros((count, _CODES), np.int64), np.full((count, _NUMBERS), np.nan)
    codes[:, _LABEL], numbers[:, _CONFIDENCE] = UNKNOWN, 0.0
    return codes, numbers


def _as_path(codes: I8, numbers: F8, n_obs: I8) -> StructurePath:
    def number(i: int) -> F8:
        return np.ascontiguousarray(numbers[..., i])

    return StructurePath(
        label=codes[..., _LABEL].astype(np.int8),
        confidence=number(_CONFIDENCE),
        variance_ratio=number(_RATIO),
        p_value=number(_P),
        half_life=number(_LIFE),
        n_obs=n_obs,
        reason=codes[..., _REASON].astype(np.int8),
        hurst=number(_HURST),
        hurst_low=number(_LOW),
        hurst_high=number(_HIGH),
        hurst_p=number(_HURST_P),
        ar1_p=number(_AR1_P),
        dickey_fuller_p=number(_UNIT_ROOT_P),
        variance_ratio_p=number(_RATIO_P),
        lag=np.ascontiguousarray(codes[..., _LAG]),
    )


def _judged(values: F8, starts: I8, stops: I8, lags: I8, min_obs: int, level: float) -> tuple[I8, F8]:
    """Codes and numbers of every window."""
    codes, numbers = _blank(starts.size)
    hurst, error = np.full(starts.size, np.nan), np.full(starts.size, np.nan)
    enough = stops - starts >= min_obs
    hurst[enough], error[enough] = whittle_windows(values, starts[enough], stops[enough])
    numbers[:, _HURST] = hurst
    numbers[:, _LOW], numbers[:, _HIGH] = interval(hurst, error)
    z_hurst = (hurst - 0.5) / error
    _judge_all(
        values, starts, stops, z_hurst, lags, _weights(lags), _bounds(lags), min_obs, level, codes, numbers
    )
    return codes, numbers


def _lag_weights(lags: I8) -> F8:
    """Weight of the autocorrelation at lag k = 1 … in VR(q): 2 (1 − k/q), shape [L, max(lags) − 1]."""
    weights: F8 = np.maximum(0.0, 2.0 * (1.0 - np.arange(1, lags[-1]) / lags[:, None]))
    return weights


def _weights(lags: I8) -> F8:
    """Of the variance ratios, then of the Hurst exponent, then of the first autocorrelation."""
    ratios, count = _lag_weights(lags), lags.size
    weights = np.zeros((count + 2, max(ratios.shape[1], SCORE_LAGS)))
    weights[:count, : ratios.shape[1]] = ratios
    weights[count, :SCORE_LAGS] = score_weights()
    weights[count + 1, 0] = 1.0
    return weights


def _bounds(lags: I8) -> F8:
    """VR(q) − 1 of an AR(1) with phi = ∓0.1, shape [2, L]: VR(q) = 1 + 2 Σ_k (1 − k/q) phi^k."""
    bounds = np.empty((2, lags.size))
    for row, phi in enumerate((-EXPLOITABLE_PHI, EXPLOITABLE_PHI)):
        for i, q in enumerate(lags):
            k = np.arange(1, q)
            bounds[row, i] = 2.0 * float(np.sum((1.0 - k / q) * phi**k))
    return bounds


@njit(cache=True)
def _increments(deviation: F8, count: int) -> F8:
    """delta_k = n Σ_t x_t² x_{t−k}² / (Σ x²)², k = 1 … ``count``."""
    products = lagged_products(deviation * deviation, count)
    total: float = np.sum(deviation * deviation)
    delta: F8 = deviation.shape[0] / (total * total) * products[1:]
    return delta


@njit(cache=True)
def _covariances(weights: F8, delta: F8) -> F8:
    """Null covariance of √n Σ_k w_k rho_k over the rows of ``weights``."""
    count = weights.shape[0]
    covariance = np.empty((count, count))
    for i in range(count):
        for j in range(i + 1):
            covariance[i, j] = np.sum(weights[i] * weights[j] * delta)
            covariance[j, i] = covariance[i, j]
    return covariance


@njit(cache=True)
def _variance_ratios(deviation: F8, lags: I8, covariance: F8, vr: F8, z: F8) -> None:
    n = deviation.shape[0]
    level, total = np.empty(n + 1), 0.0
    level[0] = 0.0
    for i in range(n):
        level[i + 1] = level[i] + deviation[i]
        total += deviation[i] * deviation[i]
    for j in range(lags.shape[0]):
        q, s = lags[j], 0.0
        for i in range(q, n + 1):
            s += (level[i] - level[i - q]) ** 2
        vr[j] = s / (q * (n - q + 1) * (1.0 - q / n)) / (total / (n - 1))
        theta = covariance[j, j]
        z[j] = math.sqrt(n) * (vr[j] - 1.0) / math.sqrt(theta) if theta > 0.0 else np.nan


@njit(cache=True)
def _tree(covariance: F8) -> F8:
    """Correlations along the maximum spanning tree (Prim 1957), the one with the smallest bound."""
    count = covariance.shape[0]
    scale = np.sqrt(np.diag(covariance))
    edges, inside = np.empty(count - 1), np.zeros(count, np.bool_)
    inside[0] = True
    for e in range(count - 1):
        best, joins = -1.0, 0
        for i in range(count):
            for j in range(count):
                rho = covariance[i, j] / (scale[i] * scale[j])
                if inside[i] and not inside[j] and abs(rho) > best:
                    best, joins, edges[e] = abs(rho), j, rho
        inside[joins] = True
    return edges


@njit(cache=True)
def _joint_p_value(z: F8, corr: F8) -> float:
    c: float = 0.0
    for j in range(z.shape[0]):
        if math.isnan(z[j]):
            return math.nan
        c = max(c, abs(z[j]))
    tail = math.erfc(c / math.sqrt(2.0))
    p: float = z.shape[0] * tail
    for j in range(corr.shape[0]):
        p -= _both_beyond(c, corr[j], tail)
    return min(1.0, max(tail, p))


@njit(cache=True)
def _both_beyond(c: float, rho: float, tail: float) -> float:
    """P(|X| > c, |Y| > c) of a standard bivariate normal, ``tail`` = P(|X| > c).

    Plackett's identity dP(X > c, Y > c)/drho = exp(−c²/(1 + rho)) / (2 pi √(1 − rho²)), with rho = sin t.
    """
    half = math.asin(min(1.0, max(-1.0, rho))) / 2.0
    s: float = 0.0
    for i in range(_NODES.shape[0]):
        r = math.sin(half * (_NODES[i] + 1.0))
        s += _WEIGHTS[i] * (math.exp(-c * c / (1.0 + r)) - math.exp(-c * c / (1.0 - r)))
    return tail * tail + s * half / math.pi


@njit(cache=True)
def _ar1(x: F8) -> tuple[float, float]:
    deviation = centred(x)
    n = deviation.shape[0] - 1
    if n < 3:
        return math.nan, math.nan
    before, after = deviation[:n] - deviation[:n].mean(), deviation[1:] - deviation[1:].mean()
    sxx, sxy, meat = 0.0, 0.0, 0.0
    for i in range(n):
        sxx += before[i] * before[i]
        sxy += before[i] * after[i]
    if sxx <= 1e-20:
        return math.nan, math.nan
    phi = sxy / sxx
    for i in range(n):
        meat += (before[i] * (after[i] - phi * before[i])) ** 2
    return phi, (phi * sxx / math.sqrt(meat) if meat > 0.0 else math.nan)


@njit(cache=True)
def _dickey_fuller(x: F8) -> tuple[float, float, float]:
    n = x.shape[0]
    if n < 20 or centred(x).shape[0] == 0:
        return math.nan, math.nan, math.nan
    change, price = x / np.abs(x).max(), np.zeros(n)
    for i in range(1, n):
        price[i] = price[i - 1] + change[i - 1]
    price -= price.mean()
    change -= change.mean()
    spp, spx, meat = np.sum(price * price), np.sum(price * change), 0.0
    if spp <= 0.0:
        return math.nan, math.nan, math.nan
    b = spx / spp
    for i in range(n):
        leverage = 1.0 / n + price[i] * price[i] / spp
        if leverage > 1.0 - 1e-9:
            return math.nan, math.nan, math.nan
        meat += (price[i] * (change[i] - b * price[i]) / (1.0 - leverage)) ** 2
    if meat <= 0.0:
        return math.nan, math.nan, math.nan
    t = spx / math.sqrt(meat)
    return b, t, _unit_root_p_value(t)


@njit(cache=True)
def _unit_root_p_value(t: float) -> float:
    """MacKinnon (1994), table 3, constant and no trend: Phi of a polynomial in t."""
    if t > 2.74:
        return 1.0
    if t < -18.83:
        return 0.0
    if t <= -1.61:
        score = 2.1659 + t * (1.4412 + t * 0.038269)
    else:
        score = 1.7339 + t * (0.93202 + t * (-0.12745 - t * 0.010368))
    return 0.5 * math.erfc(-score / math.sqrt(2.0))


@njit(cache=True)
def _half_life(b: float, p: float) -> float:
    return math.log(0.5) / math.log1p(b) if p < 0.05 and -1.0 < b < 0.0 else math.nan


@njit(cache=True)
def _equivalence(vr: F8, covariance: F8, bounds: F8, n: int) -> float:
    """Smallest confidence over the lags that VR − 1 lies inside ``bounds``."""
    least = 1.0
    for j in range(vr.shape[0]):
        error = math.sqrt(covariance[j, j] / n)
        room = min(vr[j] - 1.0 - bounds[0, j], bounds[1, j] - (vr[j] - 1.0))
        least = min(least, 0.5 * math.erfc(-room / error / math.sqrt(2.0)))
    return least


@njit(cache=True)
def _as_normal(t: F8, freedom: float) -> F8:
    """Normal scores of Student's t: t (1 − 1/(4 nu)) / √(1 + t²/(2 nu)) (Abramowitz & Stegun 1964, 26.7.8)."""
    scores: F8 = t * (1.0 - 0.25 / freedom) / np.sqrt(1.0 + t * t / (2.0 * freedom))
    return scores


@njit(cache=True)
def _two_sided(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2.0))


@njit(cache=True)
def _random_walk(z: F8, covariance: F8) -> tuple[float, float]:
    """Joint p-value and the most extreme of the z that are known."""
    known = np.flatnonzero(~np.isnan(z) & (np.diag(covariance) > 0.0))
    scores: F8 = z[known]
    p: float = _joint_p_value(scores, _tree(covariance[known][:, known]))
    return p, scores[int(np.argmax(np.abs(scores)))]


@njit(cache=True)
def _judge(
    x: F8, z_hurst: float, lags: I8, weights: F8, bounds: F8, level: float, codes: I8, numbers: F8
) -> None:
    """Fill the codes and numbers of one sample."""
    count, deviation = lags.shape[0], centred(x)
    codes[_REASON] = _NO_VARIATION
    if deviation.shape[0] == 0:
        return
    covariance = _covariances(weights, _increments(deviation, weights.shape[1]))
    vr, z = np.empty(count), np.full(count + 2, np.nan)
    _variance_ratios(deviation, lags, covariance, vr, z)
    if np.isnan(z[:count]).any():
        return
    z[count + 1] = _ar1(x)[1]
    z = _as_normal(z, effective_obs(deviation))
    z[count] = z_hurst
    linear, extreme = _random_walk(z, covariance)
    b, _, unit_root = _dickey_fuller(x)
    fast, slow = linear / (1.0 - DICKEY_FULLER_SHARE), unit_root / DICKEY_FULLER_SHARE
    p = min(1.0, slow if slow < fast else fast)
    label, confidence = TRENDING, 1.0 - p
    if p >= level:
        label, confidence = RANDOM, _equivalence(vr, covariance, bounds, x.shape[0])
    elif slow < fast or extreme < 0.0:
        label, numbers[_LIFE] = MEAN_REVERTING, _half_life(b, unit_root)
    at = int(np.argmax(np.abs(z[:count])))
    codes[_LABEL], codes[_REASON], codes[_LAG] = label, _OK, lags[at]
    numbers[_CONFIDENCE], numbers[_RATIO], numbers[_P] = confidence, vr[at], p
    numbers[_HURST_P], numbers[_AR1_P] = _two_sided(z_hurst), _two_sided(float(z[count + 1]))
    numbers[_UNIT_ROOT_P], numbers[_RATIO_P] = unit_root, _two_sided(float(z[at]))


@njit(cache=True)
def _judge_all(
    values: F8,
    starts: I8,
    stops: I8,
    z_hurst: F8,
    lags: I8,
    weights: F8,
    bounds: F8,
    min_obs: int,
    level: float,
    codes: I8,
    numbers: F8,
) -> None:
    for e in range(starts.shape[0]):
        if stops[e] - starts[e] < min_obs:
            codes[e, _REASON] = _TOO_FEW
        else:
            x = values[starts[e] : stops[e]]
            _judge(x, z_hurst[e], lags, weights, bounds, level, codes[e], numbers[e])
