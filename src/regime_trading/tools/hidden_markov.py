"""Hidden Markov model of returns: Gaussian or Student-t emissions, maximum likelihood or with a prior.

The return of a bar in state k has density scale_k⁻¹ f((r − mean_k) / scale_k), f standard normal or Student-t
with ``dof`` degrees of freedom; the state is a Markov chain (Hamilton 1989; Baum et al. 1970 for EM; Peel &
McLachlan 2000 for the weights (dof + 1) / (dof + z²) of a Student-t). Every iteration of EM raises the log
posterior. The filter is a recursion with O(1) steps.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.tools import hidden_markov_kernels as kernels

#: A state's scale is at least this share of the mean absolute deviation of the sample.
SCALE_FLOOR = 0.05
SHORT_ITERATIONS = 15
FINALISTS = 2
_LOCAL_BARS = 21
_SPLITS = (0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, slots=True)
class MarkovPrior:
    """What is believed before the sample is seen; it carries a short sample and fades in a long one.

    Parameters
    ----------
    leave : float
        Mean probability of leaving a state in one bar.
    departures : float
        Weight of that belief: departures seen, from every state, in ``departures / leave`` bars.
    mean_bars : float
        Weight, in bars, of the belief that all states share the sample's mean.
    log_ratio, log_ratio_sd : float
        ln(scale_{k+1} / scale_k) is normal with this mean and standard deviation.
    start : float
        Pseudo-count of every state at the first bar.
    """

    leave: float = 0.008
    departures: float = 1.0
    mean_bars: float = 100.0
    log_ratio: float = 0.6
    log_ratio_sd: float = 0.5
    start: float = 1.0


@dataclass(frozen=True, slots=True)
class MarkovParams:
    """Parameters, states sorted by scale, smallest first.

    Attributes
    ----------
    initial : float64 [K]
    transition : float64 [K, K]
        Row to column in one bar.
    mean, scale : float64 [K]
        In the unit of the returns; the standard deviation is scale · √(dof / (dof − 2)).
    dof : float
        > 2; infinite for Gaussian emissions.
    """

    initial: F8
    transition: F8
    mean: F8
    scale: F8
    dof: float = math.inf

    @property
    def volatility(self) -> F8:
        """Standard deviation of the returns in each state, float64 [K]."""
        tail = 1.0 if math.isinf(self.dof) else math.sqrt(self.dof / (self.dof - 2.0))
        return np.asarray(self.scale * tail, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class MarkovFit:
    """A fitted model.

    Attributes
    ----------
    params : MarkovParams
    log_likelihood : float
        Of the returns.
    objective : float
        Log likelihood + log prior of the standardised returns; comparable between ``dof`` of one sample.
    history : float64 [I]
        Objective before every iteration; it never falls.
    """

    params: MarkovParams
    log_likelihood: float
    objective: float
    history: F8


def fit_hidden_markov(
    returns: F8,
    *,
    n_states: int = 2,
    dof: float = math.inf,
    prior: MarkovPrior | None = None,
    start: MarkovParams | None = None,
    max_iter: int = 300,
    tol: float = 1e-3,
) -> MarkovFit:
    """Maximum likelihood (``prior`` None) or posterior mode by EM, the best of at least ten starts.

    The starts split the bars by their local volatility at fixed quantiles, or spread the scales around the
    sample's; each runs :data:`SHORT_ITERATIONS` iterations and the best :data:`FINALISTS` run on. With ``start``
    that is the only one. Returns are standardised inside, so the answer is equivariant to their unit.

    Parameters
    ----------
    returns : float64 [T]
        Finite, not all equal, T > n_states.
    dof : float
        Degrees of freedom, > 2; infinite for Gaussian emissions.
    start : MarkovParams, optional
        Where EM begins; its ``dof`` is ignored.
    tol : float
        EM stops when an iteration gains less than this in log posterior.

    Raises
    ------
    BadInput
        Values that are not finite or do not vary, a shape, or a parameter out of range.
    """
    x = np.ascontiguousarray(returns, dtype=np.float64)
    _check(x, n_states, dof, max_iter)
    centre, unit = float(x.mean()), float(x.std())
    z = (x - centre) / unit
    believed = _prior_arrays(prior, n_states)
    floor = SCALE_FLOOR * float(np.abs(z).mean())
    if start is None:
        short = [_run(z, s, dof, believed, floor, tol, SHORT_ITERATIONS) for s in _starts(z, n_states, dof)]
        best = sorted(range(len(short)), key=lambda i: -short[i][1][-1])[:FINALISTS]
        begin = [short[i][0] for i in best]
    else:
        begin = [_rescaled(start, -centre / unit, 1.0 / unit)]
    runs = [_run(z, s, dof, believed, floor, tol, max_iter) for s in begin]
    found, history = max(runs, key=lambda run: float(run[1][-1]))
    params = _rescaled(found, centre, unit)
    return MarkovFit(params, log_likelihood(x, params), float(history[-1]), history)


def log_likelihood(returns: F8, params: MarkovParams) -> float:
    """ln density of finite ``returns`` [T]."""
    density = np.empty((len(returns), len(params.mean)))
    factors = kernels.emissions(returns, params.mean, params.scale, params.dof, density)
    filtered = np.empty_like(density)
    return float(factors + kernels.filter_pass(params.initial, params.transition, density, filtered))


def filtered_probabilities(returns: F8, params: MarkovParams) -> F8:
    """P(state at t | returns up to t), float64 [T, K], by the recursion of :func:`filter_step`.

    A return that is not finite is a missing bar: its row is NaN and the recursion stays as it was.
    """
    x = np.ascontiguousarray(returns, dtype=np.float64)
    known = np.isfinite(x)
    out = np.full((len(x), len(params.mean)), np.nan)
    if known.any():
        out[known] = _filtered(x[known], params)
    return out


def filter_step(previous: F8, value: float, params: MarkovParams) -> F8:
    """One step of :func:`filtered_probabilities`, O(1) in the length of the past.

    Parameters
    ----------
    previous : float64 [K]
        Probabilities after the last valid return; all NaN before the first one.
    value : float
        A return that is not finite leaves the probabilities as they are.

    Returns
    -------
    float64 [K]
    """
    out = np.array(previous, dtype=np.float64)
    if not math.isfinite(value):
        return out
    density = np.empty_like(out)
    kernels.emission_row(value, params.mean, params.scale, params.dof, density)
    if np.isnan(out).any():
        kernels.filter_pass(params.initial, params.transition, density[None, :], out[None, :])
    else:
        kernels.filter_row(out.copy(), params.transition, density, out)
    return out


def smoothed_probabilities(returns: F8, params: MarkovParams) -> tuple[F8, F8]:
    """P(state at t | all returns) [T, K] of finite ``returns``, and the expected moves between states [K, K]."""
    filtered = _filtered(np.ascontiguousarray(returns, dtype=np.float64), params)
    smoothed, moves = np.empty_like(filtered), np.empty_like(params.transition)
    kernels.smooth_pass(params.transition, filtered, smoothed, moves)
    return smoothed, moves


def stationary(transition: F8) -> F8:
    """Long-run share of every state, float64 [K]: the probabilities that one step leaves as they are."""
    n_states = len(transition)
    system = np.eye(n_states) - transition.T + 1.0
    return np.asarray(np.linalg.solve(system, np.ones(n_states)), dtype=np.float64)


def _filtered(x: F8, params: MarkovParams) -> F8:
    density = np.empty((len(x), len(params.mean)))
    kernels.emissions(x, params.mean, params.scale, params.dof, density)
    out = np.empty_like(density)
    kernels.filter_pass(params.initial, params.transition, density, out)
    return out


def _check(x: F8, n_states: int, dof: float, max_iter: int) -> None:
    if x.ndim != 1 or len(x) <= n_states or not 1 <= n_states <= 127 or not dof > 2.0 or max_iter < 1:
        raise BadInput(
            expected="returns of shape [T], T > n_states, 1 ≤ n_states ≤ 127, dof > 2, max_iter ≥ 1",
            found=f"{x.shape}, n_states={n_states}, dof={dof}, max_iter={max_iter}",
            where="fit_hidden_markov",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(x.std()) if np.isfinite(x).all() else math.nan
    if not 0.0 < spread < math.inf:
        raise BadInput(expected="finite returns that vary", found=f"std {spread}", where="fit_hidden_markov")


def _prior_arrays(prior: MarkovPrior | None, n_states: int) -> tuple[F8, F8]:
    """Pseudo-counts of the transitions [K, K], and (start, mean, ratio, ratio precision)."""
    if prior is None:
        return np.zeros((n_states, n_states)), np.zeros(4)
    pseudo = np.full((n_states, n_states), prior.departures / max(1, n_states - 1))
    np.fill_diagonal(pseudo, prior.departures / prior.leave - prior.departures)
    precision = prior.log_ratio_sd**-2
    return pseudo, np.array([prior.start, prior.mean_bars, prior.log_ratio, precision])


def _run(
    x: F8, start: MarkovParams, dof: float, believed: tuple[F8, F8], floor: float, tol: float, limit: int
) -> tuple[MarkovParams, F8]:
    initial, transition = np.array(start.initial), np.array(start.transition)
    mean, scale = np.array(start.mean), np.maximum(start.scale, floor)
    history = np.empty(limit + 1)
    pseudo, weights = believed
    written = kernels.maximise(x, initial, transition, mean, scale, dof, pseudo, weights, floor, tol, history)
    return MarkovParams(initial, transition, mean, scale, dof), history[:written].copy()


def _rescaled(params: MarkovParams, shift: float, factor: float) -> MarkovParams:
    """Parameters of ``shift + factor · returns``."""
    mean, scale = shift + factor * params.mean, factor * params.scale
    return MarkovParams(params.initial, params.transition, mean, scale, params.dof)


def _starts(x: F8, n_states: int, dof: float) -> list[MarkovParams]:
    """Scales from splits of the bars by local volatility, then spread around the sample's; leaving is rare."""
    tail = 1.0 if math.isinf(dof) else math.sqrt((dof - 2.0) / dof)
    square = np.convolve(x * x, np.full(_LOCAL_BARS, 1.0 / _LOCAL_BARS), mode="same")[: len(x)]
    order = np.argsort(square, kind="stable")
    scales = []
    for split in _SPLITS:
        edges = (
            (1.0 - (1.0 - split) ** np.arange(n_states))
            if n_states > 2
            else np.array([0.0, split])[:n_states]
        )
        cuts = [*(int(e * len(x)) for e in edges), len(x)]
        parts = [x[order[a:b]] for a, b in itertools.pairwise(cuts)]
        scales.append([float(np.sqrt(np.mean(p * p))) if len(p) else 1.0 for p in parts])
    ladder = 1.8 ** np.arange(n_states)
    scales += [list(ladder / ladder[k]) for k in range(n_states)]
    stay = np.full((n_states, n_states), 0.01 / max(1, n_states - 1))
    np.fill_diagonal(stay, 0.99 if n_states > 1 else 1.0)
    even = np.full(n_states, 1.0 / n_states)
    apart = 1.0 + 1e-3 * np.arange(n_states)
    return [
        MarkovParams(even, stay, np.zeros(n_states), np.maximum(np.sort(s) * tail, 1e-3) * apart, dof)
        for s in scales
    ]
