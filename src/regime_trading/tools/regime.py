"""Risk state by a statistical jump model, its causal path, and the fusion with structure into one label.

The model fits K centres and a state sequence that minimise Σ_t ½‖x_t − c_{s_t}‖² + penalty · (number of jumps)
by coordinate descent (Bemporad, Breschi, Piga & Boyd 2018; Nystrup, Lindström & Madsen 2020). The answer is
that of the package ``jumpmodels`` for the same data and seed; seeding, dynamic program and online recursion
are compiled here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1, I8
from regime_trading.core.schemas import REGIME_LABELS, RegimeLabel, RiskState
from regime_trading.tools.structure import RANDOM, STRUCTURE_LABELS, TRENDING

DOWNSIDE_HALFLIFE = 10.0
SORTINO_HALFLIVES = (20.0, 60.0)
WARM_UP = 60

RISK_REASONS: tuple[str, ...] = (
    "",
    "return missing at this bar",
    "features not defined: warm-up, or no negative return yet",
    "fewer valid observations than min_obs",
    "features do not vary, or overflow, in the fit window",
    "a state has fewer than two observations in the fit window",
)
_OK, _MISSING, _NO_FEATURES, _TOO_FEW, _NO_VARIATION, _ONE_STATE = range(6)

_UNCERTAIN = REGIME_LABELS.index(RegimeLabel.UNCERTAIN)
_VOLATILE_TRENDING = REGIME_LABELS.index(RegimeLabel.VOLATILE_TRENDING)
#: structure code (trending, mean_reverting, random) → regime code while calm
_CALM = np.array([REGIME_LABELS.index(label) for label in STRUCTURE_LABELS[: RANDOM + 1]], dtype=np.int8)


@dataclass(frozen=True, slots=True)
class JumpFit:
    """One fitted jump model; states run from calm (0) to turbulent (K−1).

    Attributes
    ----------
    centers : F8[K, D]
        NaN rows for states without observations.
    labels : I1[T]
        In-sample states (they use the whole sample: never a signal).
    objective : float
        Value of the fitted objective.
    transition : F8[K, K]
        Empirical transition frequencies; a row is NaN where no bar follows that state.
    expected_duration : F8[K]
        Bars, 1 / (1 − transition[k, k]); NaN where the sample never leaves the state.
    volatility : F8[K]
        Standard deviation of the returns in each state; what the states are sorted by.
    counts : I8[K]
        Observations in each state.
    """

    centers: F8
    labels: I1
    objective: float
    transition: F8
    expected_duration: F8
    volatility: F8
    counts: I8


@dataclass(frozen=True, slots=True)
class RiskFit:
    """The model put in force at bar ``bar``; rows enter it as (row − mean) / std."""

    bar: int
    mean: F8
    std: F8
    model: JumpFit


@dataclass(frozen=True, slots=True)
class RiskPath:
    """Causal risk state of one series.

    Attributes
    ----------
    state : I1[T]
        0 calm … K−1 turbulent, −1 unknown.
    margin : F8[T]
        In [0, 1]; NaN where unknown.
    expected_duration : F8[T]
        Bars; NaN where unknown or not identified.
    fitted_at : I8[T]
        Bar of the fit in force, −1 where there is none.
    reason : I1[T]
        Index into ``RISK_REASONS``; 0 where the state is known.
    fits : tuple of RiskFit
    n_states : int
    """

    state: I1
    margin: F8
    expected_duration: F8
    fitted_at: I8
    reason: I1
    fits: tuple[RiskFit, ...]
    n_states: int

    def at(self, t: int, ts_ns: I8) -> RiskState:
        """Schema of bar ``t``; ``ts_ns`` are the bars' times."""
        known, fitted_at = self.state[t] >= 0, int(self.fitted_at[t])
        duration = float(self.expected_duration[t])
        return RiskState(
            state=int(self.state[t]) if known else None,
            n_states=self.n_states,
            margin=float(self.margin[t]) if known else 0.0,
            expected_duration_bars=None if math.isnan(duration) else duration,
            fitted_at_ns=int(ts_ns[fitted_at]) if fitted_at >= 0 else None,
            reason=RISK_REASONS[int(self.reason[t])],
        )


def jump_features(log_returns: F8, *, warm_up: int = WARM_UP) -> F8:
    """Features of Shu, Yu & Mulvey (2024, "Downside risk reduction using regime-switching signals", table 2).

    Exponentially weighted with weights ½^(age / halflife) that sum to one: log downside deviation (halflife
    10), and the Sortino ratio, mean / downside deviation, with halflives 20 and 60. Downside deviation is
    √mean(min(r, 0)²).

    Parameters
    ----------
    log_returns : F8[T]
        A NaN or infinite return is a missing bar: its row is NaN and the averages stay as they were.
    warm_up : int
        Rows are NaN until this many valid returns have been seen, and until one was negative.

    Returns
    -------
    F8[T, 3]
        Row t depends on returns up to and including t only.
    """
    halflives = np.array([DOWNSIDE_HALFLIFE, *SORTINO_HALFLIVES])
    return _features(_vector(log_returns, "log_returns"), 0.5 ** (1.0 / halflives), warm_up)


def fit_jump_model(
    x: F8,
    returns: F8,
    *,
    n_states: int = 2,
    penalty: float,
    n_init: int = 10,
    max_iter: int = 1000,
    tol: float = 1e-8,
    seed: int,
) -> JumpFit:
    """Discrete jump model by coordinate descent from ``n_init`` k-means++ seeds.

    Equal to ``jumpmodels.jump.JumpModel(n_states, penalty, random_state=seed).fit(x, returns, sort_by="vol")``
    (labels; objective and centres to rounding). Seeding is scikit-learn's greedy k-means++ on the same random
    stream, summed in a fixed order.

    Parameters
    ----------
    x : F8[T, D]
        Standardised features, finite.
    returns : F8[T]
        Returns of the same bars, finite; states are sorted by their volatility, states without one last.
    penalty : float
        Cost of one jump, ≥ 0.

    Raises
    ------
    BadInput
        Shapes, non-finite values or parameters out of range.
    """
    x = np.ascontiguousarray(x, dtype=np.float64)
    returns = _vector(returns, "returns")
    _check_sample(x, returns, n_states)
    _check_model(n_states, penalty, n_init, seed)
    trials = 2 + int(math.log(n_states))
    draws = np.random.RandomState(seed).random_sample((n_init, 1 + (n_states - 1) * trials))
    seeds = _seed_centers(x, draws, n_states, trials)
    labels, centers = np.zeros(len(x), np.int8), np.full((n_states, x.shape[1]), np.nan)
    objective = _descend(x, seeds, penalty, max_iter, tol, labels, centers)
    return _sorted_fit(centers, labels, objective, returns)


def online_values(x: F8, centers: F8, penalty: float) -> F8:
    """Forward value function: row t holds, per state, the least cost of a sequence that ends there at t.

    V_t(k) = ½‖x_t − c_k‖² + min(V_{t−1}(k), min_j V_{t−1}(j) + penalty); the online state is its argmin
    (first on a tie), equal to ``predict_online`` of ``jumpmodels``.

    Parameters
    ----------
    x : F8[T, D]
        A row with a NaN is missing: its values are NaN and the recursion stays as it was.
    centers : F8[K, D]
        A NaN centre is unreachable (infinite cost).

    Returns
    -------
    F8[T, K]
    """
    x, centers = np.ascontiguousarray(x, dtype=np.float64), np.ascontiguousarray(centers, dtype=np.float64)
    values = np.empty((len(x), len(centers)))
    _forward(x, centers, float(penalty), values)
    return values


def online_step(values: F8, row: F8, centers: F8, penalty: float) -> F8:
    """One step of :func:`online_values`, O(1) in the length of the past.

    Parameters
    ----------
    values : F8[K]
        Values after the last valid row; all NaN before the first one.
    row : F8[D]
        A row with a NaN leaves the values as they are.

    Returns
    -------
    F8[K]
    """
    out = np.array(values, dtype=np.float64)
    _step(
        out,
        np.ascontiguousarray(row, dtype=np.float64),
        np.ascontiguousarray(centers, dtype=np.float64),
        float(penalty),
    )
    return out


def state_margin(values: F8, penalty: float) -> F8:
    """Share of the penalty that would have to be forgiven for the online state to change.

    min(1, (second best − best) / penalty) of every row of ``values`` [T, K]; NaN where the row is NaN.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    return np.asarray(np.minimum(1.0, (ordered[..., 1] - ordered[..., 0]) / penalty))


def causal_risk_state(
    log_returns: F8,
    *,
    n_states: int = 2,
    penalty: float = 50.0,
    min_obs: int = 500,
    refit_every: int = 126,
    max_window: int | None = None,
    n_init: int = 10,
    seed: int = 0,
) -> RiskPath:
    """Walk-forward jump model: refits on a fixed schedule, online inference in between.

    Observations are bars with defined :func:`jump_features`, counted from the first one. The model is refitted
    at observations ``min_obs``, ``min_obs + refit_every``, … on all observations so far (the last
    ``max_window`` where given), the refit bar included, standardised by that window's mean and standard
    deviation. The online filter is then run over the window and on until the next refit. Nothing at t depends
    on what follows t.

    A bar without features and every bar under a fit that failed (features that do not vary, a state with
    fewer than two observations) is unknown, with the reason; no value in the series raises.

    Parameters
    ----------
    log_returns : F8[T]
        NaN and infinite returns are missing bars.
    penalty : float
        Cost of one jump on standardised features, > 0.

    Raises
    ------
    BadInput
        A series that is not one-dimensional, or parameters out of range.
    """
    returns = _vector(log_returns, "log_returns")
    _check_model(n_states, penalty, n_init, seed)
    _check_schedule(n_states, penalty, min_obs, refit_every, max_window)
    features = jump_features(returns)
    path = _unknown_path(returns, features, n_states)
    bars = np.flatnonzero(np.isfinite(features).all(axis=1))
    fits: list[RiskFit] = []
    for last in range(min_obs - 1, bars.size, refit_every):
        first = 0 if max_window is None else max(0, last + 1 - max_window)
        span = bars[first : min(last + refit_every, bars.size)]
        with np.errstate(over="ignore", invalid="ignore"):
            outcome = _risk_fit(features, returns, span[: last + 1 - first], n_states, penalty, n_init, seed)
        following = bars[last + refit_every] if last + refit_every < bars.size else returns.size
        if isinstance(outcome, int):
            path.reason[span[last - first :]] = outcome
            continue
        fits.append(outcome)
        path.fitted_at[bars[last] : following] = outcome.bar
        _filter(path, outcome, features[span], span, last - first, penalty)
    return RiskPath(
        path.state, path.margin, path.expected_duration, path.fitted_at, path.reason, tuple(fits), n_states
    )


def fuse(
    structure_label: I1, structure_confidence: F8, risk_state: I1, risk_margin: F8, n_states: int
) -> tuple[I1, F8]:
    """Structure and risk state in one label.

    ==============  ==============  =================  =========
    structure       below the top   top (turbulent)    unknown
    ==============  ==============  =================  =========
    trending        trending        volatile_trending  uncertain
    mean_reverting  mean_reverting  uncertain          uncertain
    random          random          uncertain          uncertain
    unknown         uncertain       uncertain          uncertain
    ==============  ==============  =================  =========

    Confidence is the smaller of the structure's confidence and the risk margin, and 0 where either input is
    unknown: a code out of range, or a confidence that is NaN or outside [0, 1].

    Parameters
    ----------
    structure_label : I1[...]
        Index into ``tools.structure.STRUCTURE_LABELS``.
    structure_confidence, risk_margin : F8[...]
    risk_state : I1[...]
        0 … n_states−1, −1 unknown.

    Returns
    -------
    label : I1[...]
        Index into ``core.schemas.REGIME_LABELS``.
    confidence : F8[...]

    Raises
    ------
    BadInput
        Shapes that differ or fewer than two states.
    """
    structure, state = np.asarray(structure_label), np.asarray(risk_state)
    sure, margin = np.asarray(structure_confidence, np.float64), np.asarray(risk_margin, np.float64)
    if not structure.shape == state.shape == sure.shape == margin.shape or n_states < 2:
        raise BadInput(
            expected="four arrays of one shape and n_states ≥ 2",
            found=f"{structure.shape}, {sure.shape}, {state.shape}, {margin.shape}, n_states={n_states}",
            where="fuse",
        )
    known = (structure >= TRENDING) & (structure <= RANDOM) & (state >= 0) & (state < n_states)
    known &= (sure >= 0.0) & (sure <= 1.0) & (margin >= 0.0) & (margin <= 1.0)
    turbulent = np.where(structure == TRENDING, _VOLATILE_TRENDING, _UNCERTAIN)
    calm = _CALM[np.where(known, structure, TRENDING).astype(np.int64)]
    label = np.where(known, np.where(state == n_states - 1, turbulent, calm), _UNCERTAIN)
    return label.astype(np.int8), np.where(known, np.minimum(sure, margin), 0.0)


def confirm(labels: I1, bars: int) -> I1:
    """Hysteresis: a new label replaces the old one once it has stood for ``bars`` consecutive bars.

    The first known label is taken at once. A negative code is unknown: it is passed through as it is (never
    hidden behind the last known label) and neither adds to nor breaks a run.

    Parameters
    ----------
    labels : I1[T]
    bars : int
        ≥ 1; 1 changes nothing.

    Raises
    ------
    BadInput
        ``bars`` below 1 or labels that are not one-dimensional.
    """
    codes = np.ascontiguousarray(labels, dtype=np.int8)
    if bars < 1 or codes.ndim != 1:
        raise BadInput(
            expected="labels of shape [T] and bars ≥ 1",
            found=f"{codes.ndim} dimensions, {bars}",
            where="confirm",
        )
    return _confirm(codes, bars)


def _vector(values: F8, name: str) -> F8:
    x = np.ascontiguousarray(values, dtype=np.float64)
    if np.ndim(values) != 1:
        raise BadInput(expected=f"{name} of shape [T]", found=f"{np.ndim(values)} dimensions", where=name)
    return x


def _check_sample(x: F8, returns: F8, n_states: int) -> None:
    if x.ndim != 2 or len(x) != len(returns) or len(x) < n_states:
        raise BadInput(
            expected="x [T, D] and returns [T] with T ≥ n_states",
            found=f"{x.shape} and {returns.shape}, n_states={n_states}",
            where="fit_jump_model",
        )
    if not (np.isfinite(x).all() and np.isfinite(returns).all()):
        raise BadInput(expected="finite values", found="NaN or infinite values", where="fit_jump_model")


def _check_model(n_states: int, penalty: float, n_init: int, seed: int) -> None:
    if not (1 <= n_states <= 127 and 0.0 <= penalty < math.inf and n_init >= 1 and 0 <= seed < 2**32):
        raise BadInput(
            expected="1 ≤ n_states ≤ 127, finite penalty ≥ 0, n_init ≥ 1, 0 ≤ seed < 2³²",
            found=f"n_states={n_states}, penalty={penalty}, n_init={n_init}, seed={seed}",
            where="jump model",
        )


def _check_schedule(
    n_states: int, penalty: float, min_obs: int, refit_every: int, max_window: int | None
) -> None:
    room = max_window is None or max_window >= min_obs
    if not (n_states >= 2 and penalty > 0.0 and min_obs > n_states and refit_every >= 1 and room):
        raise BadInput(
            expected="n_states ≥ 2, penalty > 0, min_obs > n_states, refit_every ≥ 1, max_window ≥ min_obs",
            found=f"{n_states}, {penalty}, {min_obs}, {refit_every}, {max_window}",
            where="causal_risk_state",
        )


def _sorted_fit(centers: F8, labels: I1, objective: float, returns: F8) -> JumpFit:
    n_states = len(centers)
    counts = np.bincount(labels, minlength=n_states)
    volatility = np.array(
        [float(np.std(returns[labels == k], ddof=1)) if counts[k] > 1 else math.nan for k in range(n_states)]
    )
    order = np.argsort(volatility, kind="stable")
    rank = np.argsort(order).astype(np.int8)
    labels = rank[labels]
    transition, duration = _dynamics(labels, n_states)
    return JumpFit(
        centers[order], labels, float(objective), transition, duration, volatility[order], counts[order]
    )


def _dynamics(labels: I1, n_states: int) -> tuple[F8, F8]:
    moves = np.zeros((n_states, n_states))
    np.add.at(moves, (labels[:-1], labels[1:]), 1.0)
    total, stay = moves.sum(axis=1), np.diag(moves)
    transition, duration = np.full_like(moves, np.nan), np.full(n_states, np.nan)
    np.divide(moves, total[:, None], out=transition, where=total[:, None] > 0)
    np.divide(total, total - stay, out=duration, where=total > stay)
    return transition, duration


def _unknown_path(returns: F8, features: F8, n_states: int) -> RiskPath:
    n = returns.size
    reason = np.full(n, _TOO_FEW, np.int8)
    reason[~np.isfinite(features).all(axis=1)] = _NO_FEATURES
    reason[~np.isfinite(returns)] = _MISSING
    return RiskPath(
        np.full(n, -1, np.int8), np.full(n, np.nan), np.full(n, np.nan), np.full(n, -1), reason, (), n_states
    )


def _risk_fit(
    features: F8, returns: F8, window: I8, n_states: int, penalty: float, n_init: int, seed: int
) -> RiskFit | int:
    """The fit on bars ``window``, or the reason why there is none."""
    x = features[window]
    mean, std = x.mean(axis=0), x.std(axis=0)
    if not bool(np.all((std > 1e-10 * np.abs(mean)) & (std < math.inf))):
        return _NO_VARIATION
    model = fit_jump_model(
        (x - mean) / std, returns[window], n_states=n_states, penalty=penalty, n_init=n_init, seed=seed
    )
    if int(model.counts.min()) < 2:
        return _ONE_STATE
    return RiskFit(int(window[-1]), mean, std, model)


def _filter(path: RiskPath, fit: RiskFit, x: F8, bars: I8, start: int, penalty: float) -> None:
    """Write the online states of ``bars[start:]``, the recursion begun at ``bars[0]``."""
    values = online_values((x - fit.mean) / fit.std, fit.model.centers, penalty)[start:]
    at, state = bars[start:], np.argmin(values, axis=1)
    path.state[at] = state
    path.margin[at] = state_margin(values, penalty)
    path.expected_duration[at] = fit.model.expected_duration[state]
    path.reason[at] = _OK


@njit(cache=True)
def _features(returns: F8, decay: F8, warm_up: int) -> F8:
    n, width = returns.shape[0], decay.shape[0]
    out = np.full((n, width), np.nan)
    weight, mean, square = np.zeros(width), np.zeros(width), np.zeros(width)
    seen = 0
    for t in range(n):
        r = returns[t]
        if not math.isfinite(r):
            continue
        seen += 1
        down = min(r, 0.0)
        usable = seen >= warm_up
        for j in range(width):
            weight[j] = weight[j] * decay[j] + 1.0
            mean[j] = mean[j] * decay[j] + r
            square[j] = square[j] * decay[j] + down * down
            usable = usable and 0.0 < square[j] < math.inf
        if usable:
            out[t, 0] = math.log(math.sqrt(square[0] / weight[0]))
            for j in range(1, width):
                out[t, j] = mean[j] / weight[j] / math.sqrt(square[j] / weight[j])
    return out


@njit(cache=True)
def _distance(x: F8, i: int, y: F8, k: int) -> float:
    s = 0.0
    for d in range(x.shape[1]):
        s += (x[i, d] - y[k, d]) ** 2
    return s


@njit(cache=True)
def _seed_centers(x: F8, draws: F8, n_states: int, trials: int) -> F8:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007), one row of ``draws`` per start."""
    n, width = x.shape
    uniform = np.cumsum(np.full(n, 1.0 / n))
    uniform /= uniform[n - 1]
    seeds = np.empty((draws.shape[0], n_states, width))
    closest, trial, best = np.empty(n), np.empty(n), np.empty(n)
    for start in range(draws.shape[0]):
        u, centers = draws[start], seeds[start]
        centers[0] = x[np.searchsorted(uniform, u[0], side="right")]
        potential = 0.0
        for i in range(n):
            closest[i] = _distance(x, i, centers, 0)
            potential += closest[i]
        for k in range(1, n_states):
            cumulative, least = np.cumsum(closest), math.inf
            for m in range(trials):
                candidate = np.searchsorted(cumulative, u[1 + (k - 1) * trials + m] * potential)
                candidate = min(candidate, n - 1)
                total = 0.0
                for i in range(n):
                    trial[i] = min(closest[i], _distance(x, i, x, candidate))
                    total += trial[i]
                if total < least:
                    least = total
                    best[:] = trial
                    centers[k] = x[candidate]
            closest[:] = best
            potential = least
    return seeds


@njit(cache=True)
def _step(values: F8, row: F8, centers: F8, penalty: float) -> bool:
    """Advance ``values`` by one row; False where the row is missing."""
    n_states, width = centers.shape
    for d in range(width):
        if not math.isfinite(row[d]):
            return False
    least, started = math.inf, False
    for k in range(n_states):
        if not math.isnan(values[k]):
            started = True
            least = min(least, values[k])
    for k in range(n_states):
        loss = 0.0
        for d in range(width):
            loss += (row[d] - centers[k, d]) ** 2
        loss = math.inf if math.isnan(loss) else 0.5 * loss
        values[k] = loss + min(values[k], least + penalty) if started else loss
    return True


@njit(cache=True)
def _forward(x: F8, centers: F8, penalty: float, values: F8) -> None:
    last = np.full(centers.shape[0], np.nan)
    for t in range(x.shape[0]):
        if _step(last, x[t], centers, penalty):
            values[t] = last
        else:
            values[t] = np.nan


@njit(cache=True)
def _assign(x: F8, centers: F8, penalty: float, values: F8, labels: I1) -> float:
    """Cheapest state sequence (first state on ties) into ``labels``; its cost."""
    _forward(x, centers, penalty, values)
    last = x.shape[0] - 1
    state = int(np.argmin(values[last]))
    cost: float = values[last, state]
    labels[last] = state
    for t in range(last - 1, -1, -1):
        best, least = 0, math.inf
        for j in range(centers.shape[0]):
            candidate = values[t, j] if j == state else values[t, j] + penalty
            if candidate < least:
                best, least = j, candidate
        state = best
        labels[t] = state
    return cost


@njit(cache=True)
def _means(x: F8, labels: I1, centers: F8) -> None:
    counts = np.zeros(centers.shape[0])
    centers[:] = 0.0
    for i in range(x.shape[0]):
        counts[labels[i]] += 1.0
        for d in range(x.shape[1]):
            centers[labels[i], d] += x[i, d]
    for k in range(centers.shape[0]):
        for d in range(x.shape[1]):
            centers[k, d] = centers[k, d] / counts[k] if counts[k] > 0.0 else np.nan


@njit(cache=True)
def _same_partition(a: I1, b: I1, n_states: int) -> bool:
    forth, back = np.full(n_states, -1), np.full(n_states, -1)
    for i in range(a.shape[0]):
        if forth[a[i]] < 0 and back[b[i]] < 0:
            forth[a[i]] = b[i]
            back[b[i]] = a[i]
        elif forth[a[i]] != b[i] or back[b[i]] != a[i]:
            return False
    return True


@njit(cache=True)
def _descend(
    x: F8, seeds: F8, penalty: float, max_iter: int, tol: float, best_labels: I1, best_centers: F8
) -> float:
    """Coordinate descent from every seed; the first best sequence wins."""
    n, n_states = x.shape[0], seeds.shape[1]
    values, labels, previous = np.empty((n, n_states)), np.empty(n, np.int8), np.empty(n, np.int8)
    best = math.inf
    for start in range(seeds.shape[0]):
        centers, before = seeds[start], math.inf
        cost = _assign(x, centers, penalty, values, labels)
        for iteration in range(max_iter):
            if before - cost <= tol or (iteration > 0 and _same_partition(labels, previous, n_states)):
                break
            previous[:] = labels
            before = cost
            _means(x, labels, centers)
            cost = _assign(x, centers, penalty, values, labels)
        if cost < best and not (best < math.inf and _same_partition(best_labels, labels, n_states)):
            best = cost
            best_labels[:] = labels
            best_centers[:] = centers
    return best


@njit(cache=True)
def _confirm(labels: I1, bars: int) -> I1:
    out = np.empty(labels.shape[0], np.int8)
    held, candidate, run = -1, -1, 0
    for t in range(labels.shape[0]):
        code = labels[t]
        if code < 0:
            out[t] = code
            continue
        run = run + 1 if code == candidate else 1
        candidate = code
        if held < 0 or run >= bars:
            held = code
        out[t] = held
    return out
