"""Convergent cross mapping: does the past of one series know another (Sugihara et al. 2012)?

If ``cause`` drives ``effect``, the delay vectors of ``effect`` carry the states of ``cause``: its values can be
read off the nearest neighbours on that shadow manifold, better the more of the manifold is seen. Skill alone
proves nothing: persistence, a common shock and plain linear correlation all give some. Evidence is called
causal only if, of the same sample,

1. skill grows with the library (convergence),
2. it exceeds that of surrogate causes with the same spectrum (the series are not independent),
3. it exceeds that of surrogate *pairs* with the same spectra and the same cross-spectrum (the dependence is
   more than linear correlation), and
4. it peaks where the cause is earlier than the effect.

What it cannot see: linear causation (called correlation), a nonlinear driver that both share, and a weak return
coupling behind a strong one, whose skill peaks late. A periodic or synchronised pair gives no causal call worth
having. Each pair has a false causal rate of its own, up to the level: among many pairs a few calls are noise.

Everything is a function of the sample and of the generator passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtri

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I8


@dataclass(frozen=True, slots=True)
class CrossMapParams:
    """How a pair is cross mapped.

    Attributes
    ----------
    dimensions : tuple of int
        Embedding dimensions to choose from; at least 2 (one value cannot carry a second variable).
    delay : int
        Bars between the coordinates of a delay vector.
    fractions : tuple of float
        Library sizes as fractions of the sample, ascending; the whole sample is always the last.
    n_libraries : int
        Random libraries at each size.
    n_surrogates : int
        Surrogates of each of the two tests; the smallest p-value is 1 / (n_surrogates + 1).
    max_lag : int
        Cross-map lags −max_lag … max_lag, in bars.
    level : float
        Level of the verdict on a pair. Each direction is tested at half of it.
    trend : float
        Least Kendall correlation of mean skill with library size.
    min_obs : int
        Rows below which nothing is judged.
    """

    dimensions: tuple[int, ...] = (2, 3, 4, 5)
    delay: int = 1
    fractions: tuple[float, ...] = (0.1, 0.2, 0.4, 0.7)
    n_libraries: int = 20
    n_surrogates: int = 99
    max_lag: int = 5
    level: float = 0.05
    trend: float = 0.6
    min_obs: int = 120

    def __post_init__(self) -> None:
        ok = (
            min(self.dimensions, default=0) >= 2
            and min(self.delay, self.n_libraries, self.n_surrogates, self.max_lag) >= 1
            and len(self.fractions) >= 2
            and all(0 < a < b < 1 for a, b in zip(self.fractions, self.fractions[1:], strict=False))
            and 0 < self.level < 1
            and self.min_obs >= 60
        )
        if not ok:
            raise BadInput(
                expected="dimensions ≥ 2, positive counts, ascending fractions in (0, 1), 0 < level < 1, min_obs ≥ 60",
                found=repr(self),
                where="CrossMapParams",
            )


@dataclass(frozen=True, slots=True)
class CrossMap:
    """Evidence that ``cause`` drives ``effect``, read from the shadow manifold of ``effect``.

    Attributes
    ----------
    skill_min, skill_max : float
        Correlation of cross-mapped and true cause at the smallest (mean) and at the largest library, at the best
        lag ≤ 0.
    trend : float
        Kendall correlation of mean skill with library size.
    convergence_p, independence_p, linear_p : float
        Of tests 1 to 3 of the module; ``linear_p`` is NaN where independence was not rejected.
    best_lag : int
        Bars from the effect to the cause it knows best, over all lags; negative = the cause is earlier.
    dimension, exclusion : int
        Embedding dimension and Theiler window, in bars.
    dependent, coupled, causal : bool
        Tests 1 and 2 hold; test 3 too; and the best lag is negative.
    """

    skill_min: float
    skill_max: float
    trend: float
    convergence_p: float
    independence_p: float
    linear_p: float
    best_lag: int
    dimension: int
    exclusion: int
    dependent: bool
    coupled: bool
    causal: bool


def normal_scores(x: F8) -> F8:
    """Gaussian scores Φ⁻¹((rank − ½)/n) of a series without NaN, ties at their mean rank.

    What follows is then the same for every increasing transformation of ``x``, and no outlier rules a distance.

    Parameters
    ----------
    x : float64 [T]

    Returns
    -------
    float64 [T]
    """
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count + 1) / 2.0
    return np.asarray(ndtri((rank[place] + 0.5) / len(x)), dtype=np.float64)


def embed(x: F8, dimension: int, delay: int) -> F8:
    """Delay vectors (x_t, x_{t−delay}, …, x_{t−(dimension−1)·delay}) of every t that has one.

    Parameters
    ----------
    x : float64 [T]
    dimension, delay : int

    Returns
    -------
    float64 [T − (dimension − 1)·delay, dimension]

    Raises
    ------
    BadInput
        A dimension or delay below 1, or a series too short for one vector.
    """
    span = (dimension - 1) * delay + 1
    if dimension < 1 or delay < 1 or len(x) < span:
        raise BadInput(
            expected="dimension ≥ 1, delay ≥ 1 and a series that holds one delay vector",
            found=f"dimension {dimension}, delay {delay}, {len(x)} values",
            where="embed",
        )
    return np.ascontiguousarray(sliding_window_view(x, span)[:, ::-1][:, ::delay])


def simplex(points: F8, targets: F8, library: I8, exclusion: int) -> F8:
    """Simplex projection: each target as the weighted mean of those at the nearest neighbours of its point.

    The E + 1 nearest neighbours of point q among ``library``, none closer in time than ``exclusion`` (Theiler
    window: |s − q| > exclusion), weigh exp(−d_i/d_1), at least 1e-6, d_1 the smallest distance; where d_1 = 0
    only the points at distance 0 weigh 1 (Sugihara & May 1990; the rule of ``rEDM``). The earlier point wins a
    tie.

    Parameters
    ----------
    points : float64 [M, E]
        Delay vectors, in order of time.
    targets : float64 [M]
    library : int64 [L]
        Rows that may be neighbours, ascending.
    exclusion : int

    Returns
    -------
    float64 [M]
        NaN where fewer than E + 1 neighbours are allowed.
    """
    index, weight = _neighbours(points, library, exclusion, -1)
    return np.asarray(_project(index, weight, targets), dtype=np.float64)


def skill(predicted: F8, truth: F8) -> float:
    """Correlation of the rows where a prediction exists; NaN with fewer than 3 or without variation."""
    return float(_pearson(predicted, truth))


def exclusion_window(x: F8, dimension: int, delay: int) -> int:
    """Theiler window: the first lag at which the autocorrelation is below 1/e, at least the span of a delay
    vector, at most a tenth of the sample."""
    n = len(x)
    deviation = x - x.mean()
    total = float(deviation @ deviation)
    lag = 1
    while lag < n // 10 and float(deviation[lag:] @ deviation[:-lag]) * math.e > total:
        lag += 1
    return max(min(lag, n // 10), (dimension - 1) * delay)


def embedding_dimension(x: F8, dimensions: tuple[int, ...], delay: int = 1) -> int:
    """The dimension whose simplex projection best forecasts the next value from past analogues.

    Every t of the second half is forecast one step ahead from the t' < t outside the Theiler window, whose next
    value was known at t; the skill is the correlation with what followed.

    Parameters
    ----------
    x : float64 [T]
        Without NaN.
    dimensions : tuple of int
    delay : int

    Returns
    -------
    int
        The first of ``dimensions`` with the highest skill.
    """
    first = (max(dimensions) - 1) * delay
    truth = x[first + 1 :]
    rows = np.arange(len(truth), dtype=np.int64)
    best, chosen = -math.inf, dimensions[0]
    for dimension in dimensions:
        points = embed(x, dimension, delay)[first - (dimension - 1) * delay : -1]
        index, weight = _neighbours(points, rows, exclusion_window(x, dimension, delay), len(rows) // 2)
        found = _pearson(_project(index, weight, truth), truth)
        if found > best:
            best, chosen = found, dimension
    return chosen


def matched_ends(pair: F8) -> F8:
    """Rows from the start, within the first tenth, that meets the last row best: a Fourier transform reads the
    sample as a loop, and a jump where it closes would make every surrogate rougher than the data.

    Minimises Σ_k (x_k,s − x_k,T−1)² / mean(Δx_k²).

    Parameters
    ----------
    pair : float64 [T, K]

    Returns
    -------
    float64 [T', K]
    """
    starts = pair[: max(len(pair) // 10, 1)]
    gap = (starts - pair[-1]) ** 2 / (np.diff(pair, axis=0) ** 2).mean(axis=0)
    return pair[int(np.argmin(gap.sum(axis=1))) :]


def phase_surrogates(pair: F8, count: int, rng: np.random.Generator, *, together: bool) -> F8:
    """Surrogates with the spectrum and the values of each column, and random Fourier phases.

    With one phase per frequency for all columns (``together``) the cross-spectrum stays as well: every linear
    auto- and cross-correlation of the pair (Prichard & Theiler 1994, *Phys. Rev. Lett.* 73:951). With phases of
    their own the columns are independent (Ebisuzaki 1997, *J. Climate* 10:2147).

    Parameters
    ----------
    pair : float64 [T, K]
        Without NaN.
    count : int
    rng : numpy Generator
    together : bool

    Returns
    -------
    float64 [count, T, K]
        Each column holds the values of the data in a new order.
    """
    n, columns = pair.shape
    spectrum = np.fft.rfft(pair - pair.mean(axis=0), axis=0)
    phase = rng.uniform(0.0, 2.0 * math.pi, (count, len(spectrum), 1 if together else columns))
    if n % 2 == 0:  # the highest frequency is real: a sign
        phase[:, -1] = np.where(phase[:, -1] < math.pi, 0.0, math.pi)
    mixed = np.fft.irfft(spectrum * np.exp(1j * phase), n=n, axis=1)
    rank = np.argsort(np.argsort(mixed, axis=1, kind="stable"), axis=1, kind="stable")
    return np.ascontiguousarray(np.take_along_axis(np.sort(pair, axis=0)[None], rank, axis=1))


def cross_map(effect: F8, cause: F8, params: CrossMapParams, rng: np.random.Generator) -> CrossMap:
    """Evidence that ``cause`` drives ``effect`` (tests and verdict: see the module and :class:`CrossMap`).

    Both series are taken as normal scores. The statistic of the surrogate tests is the largest skill over the
    lags ≤ 0 at the largest library, of the data and of each surrogate alike; p = (1 + #{surrogate ≥ data}) /
    (1 + n). The convergence p-value is (1 + #{random smallest library ≥ whole sample}) / (1 + n_libraries).

    Parameters
    ----------
    effect, cause : float64 [T]
        Aligned rows, without NaN, not constant, T ≥ ``params.min_obs``.
    params : CrossMapParams
    rng : numpy Generator
        The same state gives the same result.

    Returns
    -------
    CrossMap

    Raises
    ------
    BadInput
        Series of different length, too short, constant, or not finite.
    """
    _check(effect, cause, params)
    pair = matched_ends(np.column_stack([normal_scores(effect), normal_scores(cause)]))
    dimension = embedding_dimension(pair[:, 0], params.dimensions, params.delay)
    exclusion = exclusion_window(pair[:, 0], dimension, params.delay)
    rows = np.arange(max((dimension - 1) * params.delay, params.max_lag), len(pair) - params.max_lag)
    shape = _Shape(dimension, params.delay, params.max_lag, exclusion, rows)
    index, weight = shape.neighbours(pair[:, 0])
    by_lag = _skill_by_lag(index, weight, pair[:, 1], rows, params.max_lag)
    if np.isnan(by_lag).any():
        raise BadInput(expected="series that vary", found="a cross map without variation", where="cross_map")
    at = int(np.argmax(by_lag[: params.max_lag + 1]))
    top = float(by_lag[at])
    low, trend, convergence_p = _convergence(shape, pair, at - params.max_lag, top, params, rng)
    causes = phase_surrogates(pair[:, 1:], params.n_surrogates, rng, together=False)[:, :, 0]
    independence_p = _rank_p(top, [shape.top(index, weight, x) for x in causes])
    half = params.level / 2.0
    dependent = convergence_p <= params.level and trend >= params.trend and independence_p <= half
    linear_p = math.nan
    if dependent:
        pairs = phase_surrogates(pair, params.n_surrogates, rng, together=True)
        linear_p = _rank_p(top, [shape.top(*shape.neighbours(p[:, 0]), p[:, 1]) for p in pairs])
    coupled = linear_p <= half
    best_lag = int(np.argmax(by_lag)) - params.max_lag
    return CrossMap(
        skill_min=low,
        skill_max=top,
        trend=trend,
        convergence_p=convergence_p,
        independence_p=independence_p,
        linear_p=linear_p,
        best_lag=best_lag,
        dimension=dimension,
        exclusion=exclusion,
        dependent=dependent,
        coupled=coupled,
        causal=coupled and best_lag < 0,
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """What data and surrogates have in common: embedding, Theiler window and the rows that every lag has."""

    dimension: int
    delay: int
    max_lag: int
    exclusion: int
    rows: I8

    def points(self, x: F8) -> F8:
        return embed(x, self.dimension, self.delay)[self.rows - (self.dimension - 1) * self.delay]

    def neighbours(self, x: F8) -> tuple[I8, F8]:
        everyone = np.arange(len(self.rows), dtype=np.int64)
        index, weight = _neighbours(self.points(np.ascontiguousarray(x)), everyone, self.exclusion, -1)
        return index, weight

    def top(self, index: I8, weight: F8, cause: F8) -> float:
        by_lag = _skill_by_lag(index, weight, np.ascontiguousarray(cause), self.rows, self.max_lag)
        return float(by_lag[: self.max_lag + 1].max())


def _check(effect: F8, cause: F8, params: CrossMapParams) -> None:
    shapes = effect.ndim == cause.ndim == 1 and len(effect) == len(cause) >= params.min_obs
    if not shapes or not all(np.isfinite(x).all() and np.ptp(x) > 0 for x in (effect, cause)):
        raise BadInput(
            expected=f"two aligned series of at least {params.min_obs} finite values that vary",
            found=f"shapes {effect.shape} and {cause.shape}",
            where="cross_map",
        )


def _rank_p(value: float, others: list[float]) -> float:
    return (1 + sum(not other < value for other in others)) / (1 + len(others))


def _convergence(
    shape: _Shape, pair: F8, lag: int, top: float, params: CrossMapParams, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Mean skill at the smallest library, Kendall trend of mean skill, p-value of growth."""
    points, truth = shape.points(pair[:, 0]), np.ascontiguousarray(pair[shape.rows + lag, 1])
    m, least = len(truth), 3 * (shape.dimension + 1)
    found = np.empty((len(params.fractions), params.n_libraries))
    for i, fraction in enumerate(params.fractions):
        for j in range(params.n_libraries):
            library = np.sort(rng.permutation(m)[: max(int(fraction * m), least)])
            index, weight = _neighbours(points, library, shape.exclusion, -1)
            found[i, j] = _pearson(_project(index, weight, truth), truth)
    mean = np.append(found.mean(axis=1), top)
    upper = np.triu_indices(len(mean), k=1)
    trend = float(np.sign(mean[upper[1]] - mean[upper[0]]).mean())
    return float(mean[0]), trend, _rank_p(top, found[0].tolist())


@njit(cache=True)
def _neighbours(points: F8, library: I8, exclusion: int, past_from: int) -> tuple[I8, F8]:
    """Rows and weights of the neighbours of each point; −1 where there are too few.

    With ``past_from`` ≥ 0 only points from there on are asked, and only earlier rows may answer.
    """
    m, dimension = points.shape
    k = dimension + 1
    index, weight = np.full((m, k), -1, dtype=np.int64), np.zeros((m, k))
    near, who = np.empty(k), np.empty(k, dtype=np.int64)
    for q in range(max(past_from, 0), m):
        filled = 0
        for s in library:
            if past_from >= 0 and s >= q:
                break
            if abs(s - q) <= exclusion:
                continue
            d = 0.0
            for e in range(dimension):
                step = points[q, e] - points[s, e]
                d += step * step
            if filled == k and d >= near[k - 1]:
                continue
            i = filled if filled < k else k - 1
            filled = i + 1
            while i > 0 and near[i - 1] > d:
                near[i], who[i] = near[i - 1], who[i - 1]
                i -= 1
            near[i], who[i] = d, s
        if filled < k:
            continue
        closest = math.sqrt(near[0])
        for i in range(k):
            index[q, i] = who[i]
            if closest > 0.0:
                weight[q, i] = max(math.exp(-math.sqrt(near[i]) / closest), 1e-6)
            else:
                weight[q, i] = 1.0 if near[i] == 0.0 else 1e-6
    return index, weight


@njit(cache=True)
def _project(index: I8, weight: F8, targets: F8) -> F8:
    out = np.full(index.shape[0], np.nan)
    for q in range(index.shape[0]):
        if index[q, 0] >= 0:
            total, weights = 0.0, 0.0
            for i in range(index.shape[1]):
                total += weight[q, i] * targets[index[q, i]]
                weights += weight[q, i]
            out[q] = total / weights
    return out


@njit(cache=True)
def _pearson(predicted: F8, truth: F8) -> float:
    n, mp, mt = 0, 0.0, 0.0
    for i in range(truth.shape[0]):
        if not math.isnan(predicted[i]):
            n += 1
            mp += predicted[i]
            mt += truth[i]
    if n < 3:
        return math.nan
    mp, mt = mp / n, mt / n
    spp, stt, spt = 0.0, 0.0, 0.0
    for i in range(truth.shape[0]):
        if not math.isnan(predicted[i]):
            p, t = predicted[i] - mp, truth[i] - mt
            spp += p * p
            stt += t * t
            spt += p * t
    scale = math.sqrt(spp * stt)
    return spt / scale if scale > 0.0 else math.nan


@njit(cache=True)
def _skill_by_lag(index: I8, weight: F8, cause: F8, rows: I8, max_lag: int) -> F8:
    """Skill at the lags −max_lag … max_lag."""
    out = np.empty(2 * max_lag + 1)
    for lag in range(-max_lag, max_lag + 1):
        truth = cause[rows + lag]
        out[lag + max_lag] = _pearson(_project(index, weight, truth), truth)
    return out
