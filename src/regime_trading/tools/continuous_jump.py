"""Continuous jump model: the state is a vector of probabilities on a grid of the simplex.

Minimises Σ_t Σ_k p_t(k) ½‖x_t − c_k‖² + Σ_t D(p_{t−1}, p_t) over centres and grid points, with
D(p, q) = penalty · (½‖p − q‖₁)² + mode loss(p), mode loss(p) = ln Σ_q exp(−penalty · (½‖p − q‖₁)²) less that of
the first grid point (Aydınhan, Kolm, Mulvey & Shu 2024, "Identifying patterns in financial markets: extending
the statistical jump model for regime identification"). The answer is that of ``jumpmodels`` with ``cont=True``.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from regime_trading.core.numbers import F8, I1, I8
from regime_trading.tools.jump_kernels import same_partition, seed_centers
from regime_trading.tools.jump_model import check_model, check_sample, dynamics, seeding_draws

GRID_SIZE = 0.05
#: Loss of a state without a centre.
_UNREACHABLE = 1e100


@dataclass(frozen=True, slots=True)
class ContinuousFit:
    """One fitted continuous jump model; states run from calm (0) to turbulent (K−1).

    Attributes
    ----------
    centers : float64 [K, D]
        NaN rows for states without weight.
    probability : float64 [T, K]
        In-sample (it uses the whole sample: never a signal).
    labels : int8 [T]
        State of the largest probability.
    objective : float
    transition, expected_duration
        Of ``labels``, as in ``JumpFit``.
    volatility : float64 [K]
        Standard deviation of the returns weighted by ``probability``, with reliability weights.
    counts : int64 [K]
        Bars by label.
    """

    centers: F8
    probability: F8
    labels: I1
    objective: float
    transition: F8
    expected_duration: F8
    volatility: F8
    counts: I8


def simplex_grid(n_states: int, grid_size: float = GRID_SIZE) -> F8:
    """Points of the simplex with coordinates in multiples of ``grid_size``, float64 [G, K], vertex 0 first."""
    steps = int(1 / grid_size)
    points = [p for p in itertools.product(range(steps + 1), repeat=n_states) if sum(p) == steps]
    return np.array(points[::-1], dtype=np.float64) / steps


def move_costs(grid: F8, penalty: float) -> F8:
    """D(p, q) of the module's formula between all grid points, float64 [G, G]."""
    distance = 0.5 * np.abs(grid[:, None, :] - grid[None, :, :]).sum(axis=2)
    cost = penalty * distance**2
    least = cost.min(axis=1)
    mode = -least + np.log(np.exp(least[:, None] - cost).sum(axis=1))
    return np.asarray(cost + (mode - mode[0])[:, None])


def fit_continuous_jump_model(
    x: F8,
    returns: F8,
    *,
    n_states: int = 2,
    penalty: float,
    n_init: int = 10,
    max_iter: int = 1000,
    tol: float = 1e-8,
    grid_size: float = GRID_SIZE,
    seed: int,
) -> ContinuousFit:
    """Coordinate descent from ``n_init`` k-means++ seeds.

    Equal to ``jumpmodels.jump.JumpModel(n_states, penalty, cont=True, random_state=seed).fit(x, returns,
    sort_by="vol")``. Time per iteration grows with the square of the number of grid points: 21 for two states,
    231 for three.

    Parameters
    ----------
    x : float64 [T, D]
        Standardised features, finite.
    returns : float64 [T]
        Returns of the same bars, finite.
    penalty : float
        ≥ 0.

    Raises
    ------
    BadInput
        Shapes, non-finite values or parameters out of range.
    """
    x = np.ascontiguousarray(x, dtype=np.float64)
    returns = np.ascontiguousarray(returns, dtype=np.float64)
    check_sample(x, returns, n_states)
    check_model(n_states, penalty, n_init, seed)
    grid = simplex_grid(n_states, grid_size)
    seeds = seed_centers(x, *seeding_draws(n_states, n_init, seed))
    points, centers = np.zeros(len(x), np.int64), np.full((n_states, x.shape[1]), np.nan)
    objective = _descend(x, seeds, grid, move_costs(grid, penalty), max_iter, tol, points, centers)
    return _sorted(centers, grid[points], objective, returns)


def continuous_online_values(
    x: F8, centers: F8, penalty: float, grid_size: float = GRID_SIZE, start: F8 | None = None
) -> F8:
    """Least cost of a path that ends at each grid point, float64 [T, G]; one row continues in O(1) from the last.

    The online probability is the grid point of the least value, equal to ``predict_proba_online``.

    Parameters
    ----------
    x : float64 [T, D]
        Finite.
    start : float64 [G], optional
        Values after the row before the first; none where the path begins here.
    """
    grid = simplex_grid(len(centers), grid_size)
    out = np.empty((len(x), len(grid)))
    before = np.full(len(grid), np.nan) if start is None else np.asarray(start, dtype=np.float64)
    rows = np.ascontiguousarray(x, dtype=np.float64)
    _forward(rows, np.ascontiguousarray(centers), grid, move_costs(grid, penalty), before, out)
    return out


def _sorted(centers: F8, probability: F8, objective: float, returns: F8) -> ContinuousFit:
    n_states = len(centers)
    weight, square = probability.sum(axis=0), (probability**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = probability.T @ returns / weight
        variance = probability.T @ returns**2 / weight - mean**2
        volatility = np.sqrt(variance / (1.0 - square / weight**2))
    volatility[~np.isfinite(volatility)] = math.nan
    order = np.argsort(volatility, kind="stable")
    probability = probability[:, order]
    labels = np.argmax(probability, axis=1).astype(np.int8)
    transition, duration = dynamics(labels, n_states)
    counts = np.bincount(labels, minlength=n_states)
    return ContinuousFit(
        centers[order], probability, labels, objective, transition, duration, volatility[order], counts
    )


@njit(cache=True)
def _losses(row: F8, centers: F8, grid: F8, out: F8) -> None:
    n_states = centers.shape[0]
    loss = np.empty(n_states)
    for k in range(n_states):
        total = 0.0
        for d in range(row.shape[0]):
            total += (row[d] - centers[k, d]) ** 2
        loss[k] = 0.5 * total if math.isfinite(total) else _UNREACHABLE
    for g in range(grid.shape[0]):
        out[g] = 0.0
        for k in range(n_states):
            out[g] += loss[k] * grid[g, k]


@njit(cache=True)
def _forward(x: F8, centers: F8, grid: F8, costs: F8, start: F8, values: F8) -> None:
    size = grid.shape[0]
    for t in range(x.shape[0]):
        _losses(x[t], centers, grid, values[t])
        before = start if t == 0 else values[t - 1]
        if math.isnan(before[0]):
            continue
        for g in range(size):
            least = math.inf
            for h in range(size):
                least = min(least, before[h] + costs[h, g])
            values[t, g] += least


@njit(cache=True)
def _assign(x: F8, centers: F8, grid: F8, costs: F8, values: F8, points: I8) -> float:
    """Cheapest path of grid points (first on ties) into ``points``; its cost."""
    _forward(x, centers, grid, costs, np.full(grid.shape[0], np.nan), values)
    last = x.shape[0] - 1
    point = int(np.argmin(values[last]))
    cost: float = values[last, point]
    points[last] = point
    for t in range(last - 1, -1, -1):
        best, least = 0, math.inf
        for h in range(grid.shape[0]):
            candidate = values[t, h] + costs[h, point]
            if candidate < least:
                best, least = h, candidate
        point = best
        points[t] = point
    return cost


@njit(cache=True)
def _weighted_means(x: F8, points: I8, grid: F8, centers: F8) -> None:
    weight = np.zeros(centers.shape[0])
    centers[:] = 0.0
    for t in range(x.shape[0]):
        for k in range(centers.shape[0]):
            share = grid[points[t], k]
            weight[k] += share
            for d in range(x.shape[1]):
                centers[k, d] += share * x[t, d]
    for k in range(centers.shape[0]):
        for d in range(x.shape[1]):
            centers[k, d] = centers[k, d] / weight[k] if weight[k] > 0.0 else np.nan


@njit(cache=True)
def _descend(
    x: F8, seeds: F8, grid: F8, costs: F8, max_iter: int, tol: float, best_points: I8, best_centers: F8
) -> float:
    """Coordinate descent from every seed; the first best path wins."""
    n, size = x.shape[0], grid.shape[0]
    values, points, previous = np.empty((n, size)), np.empty(n, np.int64), np.empty(n, np.int64)
    best = math.inf
    for start in range(seeds.shape[0]):
        centers, before = seeds[start], math.inf
        cost = _assign(x, centers, grid, costs, values, points)
        for iteration in range(max_iter):
            if before - cost <= tol or (iteration > 0 and same_partition(points, previous, size)):
                break
            previous[:] = points
            before = cost
            _weighted_means(x, points, grid, centers)
            cost = _assign(x, centers, grid, costs, values, points)
        if cost < best and not (best < math.inf and same_partition(best_points, points, size)):
            best = cost
            best_points[:] = points
            best_centers[:] = centers
    return best
