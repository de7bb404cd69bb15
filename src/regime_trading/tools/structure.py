"""Structure of a return series: does it trend, revert, or neither?

A vote is "the interval excludes the null": robust variance ratios over several lags, judged together by one
joint test. Everything is a function of the sample alone, so a rolling path is causal by construction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1, I8
from regime_trading.core.schemas import Structure, StructureLabel

STRUCTURE_LABELS: tuple[StructureLabel, ...] = tuple(StructureLabel)
TRENDING, MEAN_REVERTING, RANDOM, UNKNOWN = range(4)

STRUCTURE_REASONS: tuple[str, ...] = (
    "",
    "fewer valid returns than min_obs",
    "variance ratios not defined: returns do not vary",
    "not evaluated yet",
)
_OK, _TOO_FEW, _NO_VARIATION, _NOT_YET = range(4)

LAGS = (2, 5, 10)
LEVEL = 0.045
EXPLOITABLE_PHI = 0.1

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


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
    """

    label: I1
    confidence: F8
    variance_ratio: F8
    p_value: F8
    half_life: F8
    n_obs: I8
    reason: I1

    def at(self, t: int, column: int) -> Structure:
        """Schema of one cell."""
        i = (t, column)
        return _schema(
            int(self.label[i]),
            float(self.confidence[i]),
            float(self.variance_ratio[i]),
            float(self.p_value[i]),
            float(self.half_life[i]),
            int(self.n_obs[i]),
            int(self.reason[i]),
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
    vr, z, corr = np.empty(q.size), np.empty(q.size), np.empty(q.size - 1)
    _variance_ratios(x, q, vr, z, np.empty(q.size), corr)
    return VarianceRatios(lags, vr, z, corr, x.size)


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
        As in :class:`VarianceRatios`.

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


def half_life(returns: F8) -> float:
    """Half-life, in bars, of deviations of the log price from its mean.

    Δp_t = a + b p_{t-1} + e_t; a deviation shrinks by (1 + b) a bar, so it halves in ln ½ / ln(1 + b) bars.
    Identified only where Dickey & Fuller's (1979) t statistic of b lies below its 5 % critical value
    (MacKinnon 2010, constant, finite sample) and 0 < 1 + b < 1; NaN otherwise.

    Parameters
    ----------
    returns : F8[T]
        Log returns. NaN and infinite values are dropped.
    """
    return float(_half_life(_sample(returns)))


def structure_label(
    returns: F8, *, lags: tuple[int, ...] = LAGS, min_obs: int = 256, level: float = LEVEL
) -> Structure:
    """Structure of one sample.

    ``trending`` where the joint test over the lags rejects a random walk and the most extreme z is positive,
    ``mean_reverting`` where it is negative, ``random`` where the test does not reject, ``unknown``
    (confidence 0, with the reason) below ``min_obs`` valid returns or where they do not vary.

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
        Size of the joint test. The default keeps false calls at or below 5 % in finite samples.

    Raises
    ------
    BadInput
        Shapes, lags, ``min_obs`` or ``level`` out of range.
    """
    q = _checked_lags(lags)
    _check_test(q, min_obs, level)
    return _schema(*_judge(_sample(returns), q, _bounds(q), min_obs, level))


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
    shape = x.shape
    label, reason = np.full(shape, UNKNOWN, np.int8), np.full(shape, _NOT_YET, np.int8)
    confidence, n_obs = np.zeros(shape), np.zeros(shape, np.int64)
    ratio, p_value, life = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    columns = np.ascontiguousarray(x.T)
    _path(
        columns, window, every, q, _bounds(q), min_obs, level,
        label, confidence, ratio, p_value, life, n_obs, reason,
    )  # fmt: skip
    return StructurePath(label, confidence, ratio, p_value, life, n_obs, reason)


def _sample(returns: F8) -> F8:
    x = np.asarray(returns, dtype=np.float64)
    if x.ndim != 1:
        raise BadInput(expected="returns of shape [T]", found=f"{x.ndim} dimensions", where="returns")
    return np.ascontiguousarray(x[np.isfinite(x)])


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


def _schema(
    label: int, confidence: float, ratio: float, p_value: float, life: float, n_obs: int, reason: int
) -> Structure:
    return Structure(
        label=STRUCTURE_LABELS[label],
        confidence=confidence,
        variance_ratio=_known(ratio),
        p_value=_known(p_value),
        half_life_bars=_known(life),
        n_obs=n_obs,
        reason=STRUCTURE_REASONS[reason],
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _bounds(lags: I8) -> F8:
    """VR(q) − 1 of an AR(1) with phi = ∓0.1, shape [2, L]: VR(q) = 1 + 2 Σ_k (1 − k/q) phi^k."""
    bounds = np.empty((2, lags.size))
    for row, phi in enumerate((-EXPLOITABLE_PHI, EXPLOITABLE_PHI)):
        for i, q in enumerate(lags):
            k = np.arange(1, q)
            bounds[row, i] = 2.0 * float(np.sum((1.0 - k / q) * phi**k))
    return bounds


@njit(cache=True)
def _centred(x: F8) -> F8:
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
def _variance_ratios(x: F8, lags: I8, vr: F8, z: F8, theta: F8, corr: F8) -> None:
    n, last = x.shape[0], lags.shape[0] - 1
    vr[:] = np.nan
    z[:] = np.nan
    theta[:] = np.nan
    corr[:] = np.nan
    deviation = _centred(x)
    if n <= lags[last] or deviation.shape[0] == 0:
        return
    square, level = deviation * deviation, np.empty(n + 1)
    level[0], total = 0.0, square.sum()
    for i in range(n):
        level[i + 1] = level[i] + deviation[i]
    delta = np.zeros(lags[last])
    for k in range(1, lags[last]):
        s = 0.0
        for i in range(k, n):
            s += square[i] * square[i - k]
        delta[k] = n * s / (total * total)
    for j in range(last + 1):
        q = lags[j]
        s = 0.0
        for i in range(q, n + 1):
            s += (level[i] - level[i - q]) ** 2
        vr[j] = s / (q * (n - q + 1) * (1.0 - q / n)) / (total / (n - 1))
        theta[j] = _covariance(q, q, delta)
        z[j] = math.sqrt(n) * (vr[j] - 1.0) / math.sqrt(theta[j]) if theta[j] > 0.0 else np.nan
        if j > 0:
            scale = math.sqrt(theta[j - 1] * theta[j])
            corr[j - 1] = _covariance(lags[j - 1], q, delta) / scale if scale > 0.0 else np.nan


@njit(cache=True)
def _covariance(shorter: int, longer: int, delta: F8) -> float:
    """Covariance of √n VR(shorter) and √n VR(longer) under the null."""
    s: float = 0.0
    for k in range(1, shorter):
        s += 4.0 * (1.0 - k / shorter) * (1.0 - k / longer) * delta[k]
    return s


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
    half = math.asin(rho) / 2.0
    s: float = 0.0
    for i in range(_NODES.shape[0]):
        r = math.sin(half * (_NODES[i] + 1.0))
        s += _WEIGHTS[i] * (math.exp(-c * c / (1.0 + r)) - math.exp(-c * c / (1.0 - r)))
    return tail * tail + s * half / math.pi


@njit(cache=True)
def _ar1(x: F8) -> tuple[float, float]:
    deviation = _centred(x)
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
def _half_life(x: F8) -> float:
    n = x.shape[0]
    if n < 20 or _centred(x).shape[0] == 0:
        return math.nan
    change, price = x / np.abs(x).max(), np.empty(n)
    price[0] = 0.0
    for i in range(1, n):
        price[i] = price[i - 1] + change[i - 1]
    mean_price, mean_change = price.mean(), change.mean()
    spp, spx, sxx = 0.0, 0.0, 0.0
    for i in range(n):
        p, c = price[i] - mean_price, change[i] - mean_change
        spp += p * p
        spx += p * c
        sxx += c * c
    if spp <= 0.0:
        return math.nan
    b = spx / spp
    residual = max(0.0, sxx - b * spx)
    critical = -2.86154 - 2.8903 / n - 4.234 / n**2 - 40.04 / n**3
    if not -1.0 < b < 0.0 or b > critical * math.sqrt(residual / (n - 2) / spp):
        return math.nan
    return math.log(0.5) / math.log1p(b)


@njit(cache=True)
def _equivalence(vr: F8, theta: F8, bounds: F8, n: int) -> float:
    """Smallest confidence over the lags that VR − 1 lies inside ``bounds``."""
    least = 1.0
    for j in range(vr.shape[0]):
        error = math.sqrt(theta[j] / n)
        room = min(vr[j] - 1.0 - bounds[0, j], bounds[1, j] - (vr[j] - 1.0))
        least = min(least, 0.5 * math.erfc(-room / error / math.sqrt(2.0)))
    return least


@njit(cache=True)
def _judge(
    x: F8, lags: I8, bounds: F8, min_obs: int, level: float
) -> tuple[int, float, float, float, float, int, int]:
    """Label, confidence, variance ratio, p-value, half-life, observations, reason."""
    n, count = x.shape[0], lags.shape[0]
    if n < min_obs:
        return UNKNOWN, 0.0, math.nan, math.nan, math.nan, n, _TOO_FEW
    vr, z, theta, corr = np.empty(count), np.empty(count), np.empty(count), np.empty(count - 1)
    _variance_ratios(x, lags, vr, z, theta, corr)
    p = _joint_p_value(z, corr)
    if math.isnan(p):
        return UNKNOWN, 0.0, math.nan, math.nan, math.nan, n, _NO_VARIATION
    extreme = 0
    for j in range(1, count):
        if abs(z[j]) > abs(z[extreme]):
            extreme = j
    if p >= level:
        return RANDOM, _equivalence(vr, theta, bounds, n), vr[extreme], p, math.nan, n, _OK
    if z[extreme] > 0.0:
        return TRENDING, 1.0 - p, vr[extreme], p, math.nan, n, _OK
    return MEAN_REVERTING, 1.0 - p, vr[extreme], p, _half_life(x), n, _OK


@njit(cache=True)
def _path(
    columns: F8,
    window: int,
    every: int,
    lags: I8,
    bounds: F8,
    min_obs: int,
    level: float,
    label: I1,
    confidence: F8,
    ratio: F8,
    p_value: F8,
    life: F8,
    n_obs: I8,
    reason: I1,
) -> None:
    n_columns, n_rows = columns.shape
    sample = np.empty(window)
    for j in range(n_columns):
        for t in range(every - 1, n_rows, every):
            n = 0
            for i in range(max(0, t + 1 - window), t + 1):
                if math.isfinite(columns[j, i]):
                    sample[n] = columns[j, i]
                    n += 1
            code, sure, vr, p, hl, used, why = _judge(sample[:n], lags, bounds, min_obs, level)
            end = min(t + every, n_rows)
            label[t:end, j] = code
            confidence[t:end, j] = sure
            ratio[t:end, j] = vr
            p_value[t:end, j] = p
            life[t:end, j] = hl
            n_obs[t:end, j] = used
            reason[t:end, j] = why
