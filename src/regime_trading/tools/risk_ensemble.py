"""Ensemble of hidden Markov models that differ in the weight of their tails.

One posterior mode per number of degrees of freedom, weighted by its posterior density: the Gaussian model
carries the answer where returns are Gaussian given the state, the Student-t models where tails are fat, so
that an outlier is not mistaken for a regime. The prior (``MarkovPrior``) gives a state that a short sample
has hardly seen, or not seen at all, a place to be found in later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import F8, I1
from regime_trading.tools import hidden_markov_kernels as kernels
from regime_trading.tools.hidden_markov import (
    MarkovFit,
    MarkovParams,
    MarkovPrior,
    filtered_probabilities,
    fit_hidden_markov,
    smoothed_probabilities,
    stationary,
)

DEGREES_OF_FREEDOM = (3.0, 5.0, 10.0, math.inf)
PRIOR = MarkovPrior()
#: A state gives way once another scores this many times as much.
FLIP_RATIO = 4.0
#: Score = probability / share^balance: 0 counts every bar alike, 1 every state alike.
FILTERED_BALANCE, SMOOTHED_BALANCE = 0.5, 1.0
#: Gain in log posterior for which a fit from fresh starts replaces the continued one.
FRESH_GAIN = 2.0
#: Expected departures below which a row of the transition matrix rests on the prior alone.
MIN_DEPARTURES = 0.5
_NEGLIGIBLE = 1e-3
_MAX_ITER = 200
_WARM_TOL = 1e-2
_ONE_STATE_TOL = 5e-2


@dataclass(frozen=True, slots=True)
class EnsembleFit:
    """States run from calm (0) to turbulent (K−1).

    Attributes
    ----------
    members : tuple of MarkovFit
        One per degrees of freedom, in the order of the request.
    weights : float64 [M]
        Posterior weights, sum 1.
    share : float64 [K]
        Prior share of every state: the mean of its share of the sample and its long-run share.
    transition : float64 [K, K]
        Weighted; a row is NaN where fewer than :data:`MIN_DEPARTURES` departures from that state are expected
        in the sample.
    expected_duration : float64 [K]
        Bars, 1 / (1 − transition[k, k]); NaN with its row.
    volatility : float64 [K]
        Weighted standard deviation of the returns.
    evidence : float
        Probability of ``n_states`` states against one, both equally likely before, by the Bayesian information
        criterion (Schwarz 1978): 1 / (1 + exp(−Δ)), Δ = difference of the best log likelihoods − ½ · (K² + K − 2)
        · ln T. Near 0 where one fat- or thin-tailed distribution explains the sample as well.
    """

    members: tuple[MarkovFit, ...]
    weights: F8
    share: F8
    transition: F8
    expected_duration: F8
    volatility: F8
    evidence: float

    def used(self) -> list[tuple[float, MarkovParams]]:
        """Members that are not negligible, with weights that sum to 1."""
        kept = [(float(w), m.params) for w, m in zip(self.weights, self.members, strict=True)]
        kept = [(w, p) for w, p in kept if w >= _NEGLIGIBLE]
        total = sum(w for w, _ in kept)
        return [(w / total, p) for w, p in kept]


def fit_ensemble(
    returns: F8,
    *,
    n_states: int = 2,
    dofs: tuple[float, ...] = DEGREES_OF_FREEDOM,
    prior: MarkovPrior = PRIOR,
    previous: EnsembleFit | None = None,
    fresh: bool = True,
) -> EnsembleFit:
    """Posterior modes of all members on one sample.

    Parameters
    ----------
    returns : float64 [T]
        Finite, not all equal.
    previous : EnsembleFit, optional
        Fit of an earlier sample with the same ``n_states`` and ``dofs``: every member continues from there, so
        that states keep their identity.
    fresh : bool
        Also try fresh starts; they replace the continued fit where they gain :data:`FRESH_GAIN`. Always true
        without ``previous``.

    Raises
    ------
    BadInput
        As :func:`fit_hidden_markov`.
    """
    members = tuple(
        _member(returns, n_states, dof, prior, None if previous is None else previous.members[i], fresh)
        for i, dof in enumerate(dofs)
    )
    objective = np.array([m.objective for m in members])
    weights = np.exp(objective - objective.max())
    evidence = _evidence(returns, dofs, max(m.log_likelihood for m in members), n_states)
    return _summary(returns, members, weights / weights.sum(), evidence)


def ensemble_filter(returns: F8, fit: EnsembleFit) -> F8:
    """Filtered probabilities, float64 [T, K]: Σ weight · :func:`filtered_probabilities` of the members."""
    parts = [w * filtered_probabilities(returns, params) for w, params in fit.used()]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float64)


def smoothed_states(returns: F8, fit: EnsembleFit) -> tuple[I1, F8]:
    """States of finite ``returns`` given the whole sample, argmax p_k / share_k; and probabilities [T, K].

    Dividing by the share of the state makes it as costly to miss a rare state as a frequent one (the decision
    that maximises the mean of the per-state accuracies).
    """
    parts = [w * smoothed_probabilities(returns, params)[0] for w, params in fit.used()]
    probability = np.asarray(np.sum(parts, axis=0), dtype=np.float64)
    state = np.argmax(probability / fit.share**SMOOTHED_BALANCE, axis=1)
    return state.astype(np.int8), probability


def held_states(probability: F8, share: F8, held: int) -> tuple[I1, F8]:
    """States with hysteresis, and the margin before they give way.

    With the score q_k = p_k / √share_k, state k replaces the held state h once q_k > R · q_h, R =
    :data:`FLIP_RATIO`; the margin is 1 − max_{k≠h} q_k / (R · q_h).

    Parameters
    ----------
    probability : float64 [T, K]
        Filtered, finite.
    held : int
        State before the first row, −1 where there is none: the best score is taken at once.

    Returns
    -------
    state : int8 [T]
    margin : float64 [T]
        In [0, 1].
    """
    score = np.ascontiguousarray(probability / share**FILTERED_BALANCE)
    state = np.empty(len(score), dtype=np.int8)
    kernels.hold(score, FLIP_RATIO, held, state)
    rows = np.arange(len(score))
    own = score[rows, state]
    score[rows, state] = 0.0
    return state, np.clip(1.0 - score.max(axis=1) / (FLIP_RATIO * own), 0.0, 1.0)


def _member(
    x: F8, n_states: int, dof: float, prior: MarkovPrior, previous: MarkovFit | None, fresh: bool
) -> MarkovFit:
    if previous is None:
        return fit_hidden_markov(x, prior=prior, n_states=n_states, dof=dof, max_iter=_MAX_ITER)
    continued = fit_hidden_markov(
        x, prior=prior, start=previous.params, n_states=n_states, dof=dof, max_iter=_MAX_ITER, tol=_WARM_TOL
    )
    if not fresh:
        return continued
    anew = fit_hidden_markov(x, prior=prior, n_states=n_states, dof=dof, max_iter=_MAX_ITER)
    return anew if anew.objective > continued.objective + FRESH_GAIN else continued


def _evidence(x: F8, dofs: tuple[float, ...], log_likelihood: float, n_states: int) -> float:
    start = _one_state(x)
    one = max(
        fit_hidden_markov(x, n_states=1, dof=dof, start=start, tol=_ONE_STATE_TOL).log_likelihood
        for dof in dofs
    )
    gain = log_likelihood - one - 0.5 * (n_states**2 + n_states - 2) * math.log(len(x))
    return 1.0 / (1.0 + math.exp(-gain)) if gain > -700.0 else 0.0


def _one_state(x: F8) -> MarkovParams:
    sure = np.ones(1)
    return MarkovParams(sure, sure[:, None], np.array([x.mean()]), np.array([x.std()]))


def _summary(x: F8, members: tuple[MarkovFit, ...], weights: F8, evidence: float) -> EnsembleFit:
    n_states = len(members[0].params.mean)
    share, departures = np.zeros(n_states), np.zeros(n_states)
    transition, volatility = np.zeros((n_states, n_states)), np.zeros(n_states)
    for w, member in zip(weights, members, strict=True):
        if w < _NEGLIGIBLE:
            continue
        smoothed, moves = smoothed_probabilities(x, member.params)
        share += w * 0.5 * (smoothed.mean(axis=0) + stationary(member.params.transition))
        departures += w * (moves.sum(axis=1) - np.diag(moves))
        transition += w * member.params.transition
        volatility += w * member.params.volatility
    total = transition.sum(axis=1)[:, None]
    transition, volatility = transition / total, volatility / total[0]
    transition[departures < MIN_DEPARTURES] = np.nan
    duration = 1.0 / (1.0 - np.diag(transition))
    return EnsembleFit(members, weights, share / share.sum(), transition, duration, volatility, evidence)
