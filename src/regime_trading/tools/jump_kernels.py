"""Compiled recursions of the jump models: features, seeding, dynamic program, coordinate descent."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from regime_trading.core.numbers import F8, I1, I8


@njit(cache=True)
def ewm_features(returns: F8, decay: F8, warm_up: int) -> F8:
    """Rows of ``tools.jump_model.jump_features``; ``decay`` by column."""
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
def squared_distance(x: F8, i: int, y: F8, k: int) -> float:
    """‖x_i − y_k‖²."""
    s = 0.0
    for d in range(x.shape[1]):
        s += (x[i, d] - y[k, d]) ** 2
    return s


@njit(cache=True)
def seed_centers(x: F8, draws: F8, n_states: int, trials: int) -> F8:
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
            closest[i] = squared_distance(x, i, centers, 0)
            potential += closest[i]
        for k in range(1, n_states):
            cumulative, least = np.cumsum(closest), math.inf
            for m in range(trials):
                candidate = np.searchsorted(cumulative, u[1 + (k - 1) * trials + m] * potential)
                candidate = min(candidate, n - 1)
                total = 0.0
                for i in range(n):
                    trial[i] = min(closest[i], squared_distance(x, i, x, candidate))
                    total += trial[i]
                if total < least:
                    least = total
                    best[:] = trial
                    centers[k] = x[candidate]
            closest[:] = best
            potential = least
    return seeds


@njit(cache=True)
def step(values: F8, row: F8, centers: F8, penalty: float) -> bool:
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
def forward(x: F8, centers: F8, penalty: float, values: F8) -> None:
    """Rows of ``tools.jump_model.online_values``."""
    last = np.full(centers.shape[0], np.nan)
    for t in range(x.shape[0]):
        if step(last, x[t], centers, penalty):
            values[t] = last
        else:
            values[t] = np.nan


@njit(cache=True)
def assign(x: F8, centers: F8, penalty: float, values: F8, labels: I1) -> float:
    """Cheapest state sequence (first state on ties) into ``labels``; its cost."""
    forward(x, centers, penalty, values)
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
def cluster_means(x: F8, labels: I1, centers: F8) -> None:
    """Mean of the rows of each label into ``centers``; NaN without rows."""
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
def same_partition(a: I1 | I8, b: I1 | I8, n_states: int) -> bool:
    """Whether two labellings differ by names only."""
    forth, back = np.full(n_states, -1), np.full(n_states, -1)
    for i in range(a.shape[0]):
        if forth[a[i]] < 0 and back[b[i]] < 0:
            forth[a[i]] = b[i]
            back[b[i]] = a[i]
        elif forth[a[i]] != b[i] or back[b[i]] != a[i]:
            return False
    return True


@njit(cache=True)
def descend(
    x: F8, seeds: F8, penalty: float, max_iter: int, tol: float, best_labels: I1, best_centers: F8
) -> float:
    """Coordinate descent from every seed; the first best sequence wins."""
    n, n_states = x.shape[0], seeds.shape[1]
    values, labels, previous = np.empty((n, n_states)), np.empty(n, np.int8), np.empty(n, np.int8)
    best = math.inf
    for start in range(seeds.shape[0]):
        centers, before = seeds[start], math.inf
        cost = assign(x, centers, penalty, values, labels)
        for iteration in range(max_iter):
            if before - cost <= tol or (iteration > 0 and same_partition(labels, previous, n_states)):
                break
            previous[:] = labels
            before = cost
            cluster_means(x, labels, centers)
            cost = assign(x, centers, penalty, values, labels)
        if cost < best and not (best < math.inf and same_partition(best_labels, labels, n_states)):
            best = cost
            best_labels[:] = labels
            best_centers[:] = centers
    return best
