"""Compiled passes of the hidden Markov models: emissions, filter, smoother, one EM iteration.

States are sorted by scale after every iteration. Rows of an emission table are densities up to a factor per
row, whose logarithms are summed in the return value.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from regime_trading.core.numbers import F8, I1

_NEWTON_STEPS = 20
_NEWTON_TOL = 1e-10
#: Squared distance beyond which all states are equally far.
_FAR = 1e300
_UNSEEN = 1e-300


@njit(cache=True)
def log_norm(dof: float) -> float:
    """ln of the factor of a standard Student-t density; of the normal density where ``dof`` is infinite."""
    if math.isinf(dof):
        return -0.5 * math.log(2.0 * math.pi)
    return math.lgamma(0.5 * (dof + 1.0)) - math.lgamma(0.5 * dof) - 0.5 * math.log(dof * math.pi)


@njit(cache=True)
def emission_row(r: float, mean: F8, scale: F8, dof: float, out: F8) -> float:
    """Densities of one return by state, up to exp(returned value), the largest of them 1."""
    n_states = mean.shape[0]
    top: float = -math.inf
    for k in range(n_states):
        square = min(((r - mean[k]) / scale[k]) ** 2, _FAR)
        tail = 0.5 * square if math.isinf(dof) else 0.5 * (dof + 1.0) * math.log1p(square / dof)
        out[k] = -math.log(scale[k]) - tail
        top = max(top, float(out[k]))
    for k in range(n_states):
        out[k] = math.exp(out[k] - top)
    return top


@njit(cache=True)
def emissions(x: F8, mean: F8, scale: F8, dof: float, out: F8) -> float:
    """Densities of all returns by state; Σ_t of the logarithms of the rows' factors."""
    total: float = 0.0
    for t in range(x.shape[0]):
        total += emission_row(x[t], mean, scale, dof, out[t])
    return float(total + x.shape[0] * log_norm(dof))


@njit(cache=True)
def filter_row(previous: F8, transition: F8, density: F8, out: F8) -> float:
    """p_t(k) ∝ Σ_j p_{t−1}(j) P(j, k) · density(k); the sum before it is normalised.

    A return that no reachable state can have tells nothing: the density is left out.
    """
    n_states = density.shape[0]
    total = 0.0
    for k in range(n_states):
        prior = 0.0
        for j in range(n_states):
            prior += previous[j] * transition[j, k]
        out[k] = prior * density[k]
        total += out[k]
    if total > 0.0:
        for k in range(n_states):
            out[k] /= total
        return total
    for k in range(n_states):
        out[k] = 0.0
        for j in range(n_states):
            out[k] += previous[j] * transition[j, k]
    return _UNSEEN


@njit(cache=True)
def filter_pass(initial: F8, transition: F8, density: F8, out: F8) -> float:
    """Filtered probabilities of all rows; the log likelihood up to the rows' factors."""
    log_likelihood = math.log(filter_row(initial, np.eye(initial.shape[0]), density[0], out[0]))
    for t in range(1, density.shape[0]):
        log_likelihood += math.log(filter_row(out[t - 1], transition, density[t], out[t]))
    return log_likelihood


@njit(cache=True)
def smooth_pass(transition: F8, filtered: F8, out: F8, moves: F8) -> None:
    """Probabilities given all rows, and the expected number of moves between states (Kim 1994)."""
    n, n_states = filtered.shape
    ahead = np.empty(n_states)
    moves[:] = 0.0
    out[n - 1] = filtered[n - 1]
    for t in range(n - 2, -1, -1):
        for k in range(n_states):
            prior = 0.0
            for j in range(n_states):
                prior += filtered[t, j] * transition[j, k]
            ahead[k] = out[t + 1, k] / prior if prior > 0.0 else 0.0
        for j in range(n_states):
            total = 0.0
            for k in range(n_states):
                joint = filtered[t, j] * transition[j, k] * ahead[k]
                moves[j, k] += joint
                total += joint
            out[t, j] = total


@njit(cache=True)
def log_prior(
    initial: F8, transition: F8, mean: F8, scale: F8, centre: float, pseudo: F8, prior: F8
) -> float:
    """ln of the prior density up to a constant; ``prior`` is (start, mean, ratio, ratio precision)."""
    n_states = mean.shape[0]
    total = 0.0
    for k in range(n_states):
        if prior[0] > 0.0:
            total += prior[0] * math.log(initial[k])
        if prior[1] > 0.0:
            total -= 0.5 * prior[1] * ((mean[k] - centre) / scale[k]) ** 2 + math.log(scale[k])
        for j in range(n_states):
            if pseudo[k, j] > 0.0:
                total += pseudo[k, j] * math.log(transition[k, j])
    for k in range(n_states - 1):
        total -= 0.5 * prior[3] * (math.log(scale[k + 1] / scale[k]) - prior[2]) ** 2
    return total


@njit(cache=True)
def _update_chain(initial: F8, transition: F8, smoothed: F8, moves: F8, pseudo: F8, prior: F8) -> None:
    n_states = initial.shape[0]
    for j in range(n_states):
        initial[j] = (smoothed[0, j] + prior[0]) / (1.0 + n_states * prior[0])
        total = 0.0
        for k in range(n_states):
            total += moves[j, k] + pseudo[j, k]
        if total > 0.0:
            for k in range(n_states):
                transition[j, k] = (moves[j, k] + pseudo[j, k]) / total


@njit(cache=True)
def _update_means(x: F8, smoothed: F8, mean: F8, scale: F8, dof: float, centre: float, prior: F8) -> F8:
    """New means; per state the weight and the weighted square that the scales are updated with."""
    n_states = mean.shape[0]
    sums = np.zeros((n_states, 4))
    for t in range(x.shape[0]):
        for k in range(n_states):
            share = smoothed[t, k]
            weight = share
            if not math.isinf(dof):
                weight *= (dof + 1.0) / (dof + ((x[t] - mean[k]) / scale[k]) ** 2)
            sums[k, 0] += share
            sums[k, 1] += weight
            sums[k, 2] += weight * x[t]
            sums[k, 3] += weight * x[t] * x[t]
    out = np.empty((n_states, 2))
    for k in range(n_states):
        strength = sums[k, 1] + prior[1]
        m = (sums[k, 2] + prior[1] * centre) / strength if strength > 0.0 else mean[k]
        square = sums[k, 3] - 2.0 * m * sums[k, 2] + m * m * sums[k, 1] + prior[1] * (m - centre) ** 2
        out[k, 0] = sums[k, 0] + (1.0 if prior[1] > 0.0 else 0.0)
        out[k, 1] = max(square, 0.0)
        mean[k] = m
    return out


@njit(cache=True)
def _scale_objective(logs: F8, sums: F8, prior: F8) -> float:
    total: float = 0.0
    for k in range(logs.shape[0]):
        total -= sums[k, 0] * logs[k] + 0.5 * sums[k, 1] * math.exp(-2.0 * logs[k])
    for k in range(logs.shape[0] - 1):
        total -= 0.5 * prior[3] * (logs[k + 1] - logs[k] - prior[2]) ** 2
    return total


@njit(cache=True)
def _newton_move(logs: F8, sums: F8, prior: F8, least: float, move: F8) -> None:
    """Newton step into ``move``; a scale on the floor that would fall stays where it is."""
    n_states = logs.shape[0]
    gradient, curvature = np.empty(n_states), np.zeros((n_states, n_states))
    for k in range(n_states):
        square = sums[k, 1] * math.exp(-2.0 * logs[k])
        gradient[k] = square - sums[k, 0]
        curvature[k, k] = 2.0 * square + 1e-9
    for k in range(n_states - 1):
        pull = prior[3] * (logs[k + 1] - logs[k] - prior[2])
        gradient[k] += pull
        gradient[k + 1] -= pull
        curvature[k, k] += prior[3]
        curvature[k + 1, k + 1] += prior[3]
        curvature[k, k + 1] -= prior[3]
        curvature[k + 1, k] -= prior[3]
    for k in range(n_states):
        if logs[k] <= least and gradient[k] <= 0.0:
            gradient[k] = 0.0
            curvature[k, :] = 0.0
            curvature[:, k] = 0.0
            curvature[k, k] = 1.0
    move[:] = np.linalg.solve(curvature, gradient)


@njit(cache=True)
def _reach(logs: F8, move: F8, least: float) -> float:
    """Largest step of at most 1 that moves no log scale by more than 1 nor below the floor."""
    step = 1.0
    for k in range(logs.shape[0]):
        if abs(move[k]) > 1.0:
            step = min(step, 1.0 / abs(move[k]))
        if move[k] < 0.0 and logs[k] > least:
            step = min(step, (least - logs[k]) / move[k])
    return step


@njit(cache=True)
def _update_scales(scale: F8, sums: F8, prior: F8, floor: float) -> None:
    """Maximise Σ_k −w_k ln s_k − q_k / 2s_k² + ln prior(s) over ln s ≥ ln floor by Newton steps (it is concave)."""
    n_states = scale.shape[0]
    if prior[3] == 0.0:
        for k in range(n_states):
            if sums[k, 0] > 0.0:
                scale[k] = max(math.sqrt(sums[k, 1] / sums[k, 0]), floor)
        return
    least = math.log(floor)
    logs, move = np.maximum(np.log(scale), least), np.empty(n_states)
    value = _scale_objective(logs, sums, prior)
    for _ in range(_NEWTON_STEPS):
        _newton_move(logs, sums, prior, least, move)
        size, step = np.abs(move).max(), _reach(logs, move, least)
        trial = np.maximum(logs + step * move, least)
        while _scale_objective(trial, sums, prior) < value and step * size > _NEWTON_TOL:
            step *= 0.5
            trial = np.maximum(logs + step * move, least)
        logs[:] = trial
        value = _scale_objective(logs, sums, prior)
        if size < _NEWTON_TOL:
            break
    for k in range(n_states):
        scale[k] = math.exp(logs[k])


@njit(cache=True)
def _sort_states(initial: F8, transition: F8, mean: F8, scale: F8) -> None:
    order = np.argsort(scale, kind="mergesort")
    initial[:], mean[:], scale[:] = initial[order].copy(), mean[order].copy(), scale[order].copy()
    moved = transition.copy()
    for j in range(order.shape[0]):
        for k in range(order.shape[0]):
            transition[j, k] = moved[order[j], order[k]]


@njit(cache=True)
def maximise(
    x: F8,
    initial: F8,
    transition: F8,
    mean: F8,
    scale: F8,
    dof: float,
    pseudo: F8,
    prior: F8,
    floor: float,
    tol: float,
    history: F8,
) -> int:
    """EM in place; ``history`` receives the log posterior before every iteration, its length is the limit.

    Stops when an iteration gains less than ``tol``; the number of entries of ``history`` that were written.
    """
    n, n_states = x.shape[0], mean.shape[0]
    density, filtered = np.empty((n, n_states)), np.empty((n, n_states))
    smoothed, moves = np.empty((n, n_states)), np.empty((n_states, n_states))
    centre = x.mean()
    for i in range(history.shape[0]):
        history[i] = emissions(x, mean, scale, dof, density)
        history[i] += filter_pass(initial, transition, density, filtered)
        history[i] += log_prior(initial, transition, mean, scale, centre, pseudo, prior)
        if i == history.shape[0] - 1 or (i > 0 and history[i] - history[i - 1] < tol):
            return i + 1
        smooth_pass(transition, filtered, smoothed, moves)
        _update_chain(initial, transition, smoothed, moves, pseudo, prior)
        sums = _update_means(x, smoothed, mean, scale, dof, centre, prior)
        _update_scales(scale, sums, prior, floor)
        _sort_states(initial, transition, mean, scale)
    return 0


@njit(cache=True)
def hold(score: F8, ratio: float, held: int, out: I1) -> int:
    """Hysteresis: the held state gives way once another one scores more than ``ratio`` times as much."""
    for t in range(score.shape[0]):
        best = 0
        for k in range(1, score.shape[1]):
            if score[t, k] > score[t, best]:
                best = k
        if held < 0 or score[t, best] > ratio * score[t, held]:
            held = best
        out[t] = held
    return held
