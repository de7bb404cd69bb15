"""Statistical jump model: features, fit and online recursion.

The model fits K centres and a state sequence that minimise Σ_t ½‖x_t − c_{s_t}‖² + penalty · (number of jumps)
by coordinate descent (Bemporad, Breschi, Piga & Boyd 2018; Nystrup, Lindström & Madsen 2020). The answer is
that of the package ``jumpmodels`` for the same data and seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1, I8
from regime_trading.tools.jump_kernels import descend, ewm_features, forward, seed_centers, step

DOWNSIDE_HALFLIFE = 10.0
SORTINO_HALFLIVES = (20.0, 60.0)
WARM_UP = 60


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
    return ewm_features(vector(log_returns, "log_returns"), 0.5 ** (1.0 / halflives), warm_up)


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
    returns = vector(returns, "returns")
    check_sample(x, returns, n_states)
    check_model(n_states, penalty, n_init, seed)
    seeds = seed_centers(x, *seeding_draws(n_states, n_init, seed))
    labels, centers = np.zeros(len(x), np.int8), np.full((n_states, x.shape[1]), np.nan)
    objective = descend(x, seeds, penalty, max_iter, tol, labels, centers)
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
    forward(x, centers, float(penalty), values)
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
    step(
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


def seeding_draws(n_states: int, n_init: int, seed: int) -> tuple[F8, int, int]:
    """Uniform draws of greedy k-means++ [n_init, 1 + (K − 1) trials], K, and trials, as scikit-learn takes them."""
    trials = 2 + int(math.log(n_states))
    draws = np.random.RandomState(seed).random_sample((n_init, 1 + (n_states - 1) * trials))
    return draws, n_states, trials


def vector(values: F8, name: str) -> F8:
    """``values`` as float64 [T]; BadInput for another number of dimensions."""
    x = np.ascontiguousarray(values, dtype=np.float64)
    if np.ndim(values) != 1:
        raise BadInput(expected=f"{name} of shape [T]", found=f"{np.ndim(values)} dimensions", where=name)
    return x


def check_sample(x: F8, returns: F8, n_states: int) -> None:
    """BadInput unless ``x`` [T, D] and ``returns`` [T] are finite and T ≥ n_states."""
    if x.ndim != 2 or len(x) != len(returns) or len(x) < n_states:
        raise BadInput(
            expected="x [T, D] and returns [T] with T ≥ n_states",
            found=f"{x.shape} and {returns.shape}, n_states={n_states}",
            where="fit_jump_model",
        )
    if not (np.isfinite(x).all() and np.isfinite(returns).all()):
        raise BadInput(expected="finite values", found="NaN or infinite values", where="fit_jump_model")


def check_model(n_states: int, penalty: float, n_init: int, seed: int) -> None:
    """BadInput for a parameter out of range."""
    if not (1 <= n_states <= 127 and 0.0 <= penalty < math.inf and n_init >= 1 and 0 <= seed < 2**32):
        raise BadInput(
            expected="1 ≤ n_states ≤ 127, finite penalty ≥ 0, n_init ≥ 1, 0 ≤ seed < 2³²",
            found=f"n_states={n_states}, penalty={penalty}, n_init={n_init}, seed={seed}",
            where="jump model",
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
    transition, duration = dynamics(labels, n_states)
    return JumpFit(
        centers[order], labels, float(objective), transition, duration, volatility[order], counts[order]
    )


def dynamics(labels: I1, n_states: int) -> tuple[F8, F8]:
    """Transition frequencies [K, K] and bars per departure [K]; NaN where none was seen."""
    moves = np.zeros((n_states, n_states))
    np.add.at(moves, (labels[:-1], labels[1:]), 1.0)
    total, stay = moves.sum(axis=1), np.diag(moves)
    transition, duration = np.full_like(moves, np.nan), np.full(n_states, np.nan)
    np.divide(moves, total[:, None], out=transition, where=total[:, None] > 0)
    np.divide(total, total - stay, out=duration, where=total > stay)
    return transition, duration
