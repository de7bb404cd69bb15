"""How many states, and which jump penalty: chosen from the past alone.

Call it on the returns up to now; nothing after them enters.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I8
from regime_trading.tools.hidden_markov import fit_hidden_markov
from regime_trading.tools.jump_model import fit_jump_model, jump_features, online_values, vector
from regime_trading.tools.risk_ensemble import DEGREES_OF_FREEDOM, PRIOR

STATES = (1, 2, 3)
PENALTIES = (5.0, 10.0, 20.0, 35.0, 50.0, 70.0, 100.0, 150.0)
FOLDS = 4
MIN_OBS = 250
_SMALL = 1e-12


@dataclass(frozen=True, slots=True)
class Choice:
    """What the past says about the size of the model.

    Attributes
    ----------
    n_states : int or None
        Candidate of the least ``criterion``; None with a reason.
    penalty : float or None
        Candidate of the greatest ``scores``; None where no candidate could be scored.
    criterion : tuple of (int, float)
        Bayesian information criterion by number of states, lower is better.
    scores : tuple of (float, float)
        Mean log predictive density by penalty, higher is better; NaN where not scored.
    reason : str
        Why there is no choice; empty where there is one.
    """

    n_states: int | None
    penalty: float | None
    criterion: tuple[tuple[int, float], ...]
    scores: tuple[tuple[float, float], ...]
    reason: str


def choose(
    log_returns: F8,
    *,
    n_states: tuple[int, ...] = STATES,
    penalties: tuple[float, ...] = PENALTIES,
    folds: int = FOLDS,
    seed: int = 0,
) -> Choice:
    """Number of states by the Bayesian information criterion, jump penalty by forward validation.

    States: BIC = −2 ln L + p ln T (Schwarz 1978) with p = K² + K parameters (transitions, means, scales) and L the
    likelihood of the hidden Markov model with the best degrees of freedom, so that fat tails alone do not ask for
    another state.

    Penalty: the second half of the sample is cut in ``folds`` blocks. Before each block the jump model is fitted
    on all that precedes it; every return r_t in the block is scored by the normal log density with mean and
    deviation of the state that was online at t − 1. No score looks ahead; a state with fewer than two bars ends the
    candidate.

    Parameters
    ----------
    log_returns : float64 [T]
        NaN and infinite returns are missing bars. All of it is the past.
    n_states : tuple of int
        Candidates, ≥ 1. The penalty is chosen for max(2, the chosen number).
    penalties : tuple of float
        Candidates, > 0.
    folds : int
        ≥ 1.

    Raises
    ------
    BadInput
        A series that is not one-dimensional, no candidate, or a candidate out of range.
    """
    returns = vector(log_returns, "log_returns")
    if not n_states or not penalties or min(n_states) < 1 or not min(penalties) > 0.0 or folds < 1:
        raise BadInput(
            expected="candidates n_states ≥ 1 and penalties > 0, folds ≥ 1",
            found=f"{n_states}, {penalties}, {folds}",
            where="choose",
        )
    known = returns[np.isfinite(returns)]
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(known.std()) if known.size else 0.0
    if known.size < MIN_OBS or not 0.0 < spread < math.inf:
        reason = (
            f"{known.size} valid returns, {MIN_OBS} needed" if known.size < MIN_OBS else "returns do not vary"
        )
        return Choice(None, None, (), (), reason)
    criterion = tuple((k, information_criterion(known, k)) for k in n_states)
    best = min(criterion, key=lambda pair: pair[1])[0]
    scores = tuple((p, forward_score(returns, max(2, best), p, folds, seed)) for p in penalties)
    scored = [pair for pair in scores if not math.isnan(pair[1])]
    penalty = max(scored, key=lambda pair: pair[1])[0] if scored else None
    return Choice(best, penalty, criterion, scores, "")


def information_criterion(returns: F8, n_states: int) -> float:
    """Bayesian information criterion (formula in :func:`choose`) of finite ``returns`` [T]; lower is better."""
    fits = [fit_hidden_markov(returns, n_states=n_states, dof=dof, prior=PRIOR) for dof in DEGREES_OF_FREEDOM]
    best = max(fit.log_likelihood for fit in fits)
    return -2.0 * best + (n_states**2 + n_states) * math.log(len(returns))


def forward_score(returns: F8, n_states: int, penalty: float, folds: int, seed: int) -> float:
    """Mean log predictive density of the second half of the sample (:func:`choose`); NaN where not scored."""
    features = jump_features(returns)
    bars = np.flatnonzero(np.isfinite(features).all(axis=1))
    edges = np.linspace(bars.size // 2, bars.size, folds + 1).astype(np.int64)
    total, count = 0.0, 0
    for first, last in itertools.pairwise(edges):
        block = _block_score(features, returns, bars, int(first), int(last), n_states, penalty, seed)
        if math.isnan(block):
            return math.nan
        total, count = total + block, count + int(last - first)
    return total / count if count else math.nan


def _block_score(
    features: F8, returns: F8, bars: I8, first: int, last: int, n_states: int, penalty: float, seed: int
) -> float:
    """Σ log predictive density of observations [first, last); the model sees those before ``first``."""
    past, upto = bars[:first], bars[:last]
    if past.size <= n_states:
        return math.nan
    mean, std = features[past].mean(axis=0), features[past].std(axis=0)
    if not bool(np.all((std > _SMALL * np.abs(mean)) & (std < math.inf))):
        return math.nan
    x = (features[upto] - mean) / std
    fit = fit_jump_model(x[:first], returns[past], n_states=n_states, penalty=penalty, n_init=3, seed=seed)
    if int(fit.counts.min()) < 2 or not float(fit.volatility.min()) > 0.0:
        return math.nan
    centre = np.array([float(returns[past][fit.labels == k].mean()) for k in range(n_states)])
    state = np.argmin(online_values(x, fit.centers, penalty), axis=1)[first - 1 : last - 1]
    z = (returns[upto[first:]] - centre[state]) / fit.volatility[state]
    return float(np.sum(-0.5 * z * z - np.log(fit.volatility[state]) - 0.5 * math.log(2.0 * math.pi)))
