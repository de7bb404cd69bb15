"""The risk-state models behind one interface: fit on a window, filter online, decide.

A model turns returns into rows, fits a window of them, and filters: the memory after row t holds all that the
past says, and one row moves it on in O(1). A decision reads state, margin and probability off the memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1
from regime_trading.tools.continuous_jump import (
    ContinuousFit,
    continuous_online_values,
    fit_continuous_jump_model,
    simplex_grid,
)
from regime_trading.tools.hidden_markov import filter_step, filtered_probabilities
from regime_trading.tools.jump_model import (
    JumpFit,
    check_model,
    fit_jump_model,
    jump_features,
    online_step,
    online_values,
    state_margin,
)
from regime_trading.tools.risk_ensemble import (
    DEGREES_OF_FREEDOM,
    EnsembleFit,
    fit_ensemble,
    held_states,
)

RISK_REASONS: tuple[str, ...] = (
    "",
    "return missing at this bar",
    "features not defined: warm-up, or no negative return yet",
    "fewer valid observations than min_obs",
    "features do not vary, or overflow, in the fit window",
    "a state has fewer than two observations in the fit window",
)
OK, MISSING, NO_FEATURES, TOO_FEW, NO_VARIATION, ONE_STATE = range(6)
MODELS = ("jump", "continuous_jump", "hmm", "ensemble")


@dataclass(frozen=True, slots=True)
class RiskFit:
    """The model put in force at bar ``bar``; rows enter it as (row − mean) / std.

    ``model.transition`` [K, K] and ``model.expected_duration`` [K] describe its dynamics whatever its kind.
    """

    bar: int
    mean: F8
    std: F8
    model: JumpFit | ContinuousFit | EnsembleFit

    def standardised(self, rows: F8) -> F8:
        """Rows in the unit of the fit."""
        return np.asarray((rows - self.mean) / self.std, dtype=np.float64)


class RiskModel(Protocol):
    """What the walk-forward path needs to know of a model."""

    def rows(self, returns: F8) -> F8:
        """Observations [T, D], row t from returns up to t; a row that is not finite is unknown."""

    def fit(
        self, rows: F8, returns: F8, bar: int, *, previous: RiskFit | None = None, fresh: bool = True
    ) -> RiskFit | int:
        """The fit on finite ``rows`` and their returns, or the index of the reason why there is none."""

    def filter(self, fit: RiskFit, rows: F8) -> F8:
        """Memory after each of the finite ``rows``, [T, …]."""

    def step(self, fit: RiskFit, memory: F8 | None, row: F8) -> F8:
        """Memory after one more finite row [D], O(1); ``memory`` None before the first."""

    def decide(self, fit: RiskFit, memory: F8, held: int) -> tuple[I1, F8, F8]:
        """State, margin and probability of the state, [T] each; ``held`` is the state before, −1 for none."""


@dataclass(frozen=True, slots=True)
class JumpRisk:
    """Discrete jump model on :func:`jump_features`; the state is the cheapest one, without hysteresis.

    The probability is exp(−V_t(k)) normalised over k: the costs are the negative log likelihood of a hidden
    Markov model with unit variances and e^−penalty between the probabilities of staying and moving (Nystrup,
    Lindström & Madsen 2020), with the likeliest path in the place of the sum over paths. Features overlap in
    time, so it is nearer to 0 or 1 than a forecaster would be.
    """

    n_states: int
    penalty: float
    n_init: int
    seed: int

    def rows(self, returns: F8) -> F8:
        return jump_features(returns)

    def fit(
        self, rows: F8, returns: F8, bar: int, *, previous: RiskFit | None = None, fresh: bool = True
    ) -> RiskFit | int:
        unit = scaled(rows)
        if unit is None:
            return NO_VARIATION
        x, mean, std = unit
        options = {"n_states": self.n_states, "n_init": self.n_init, "seed": self.seed}
        model = fit_jump_model(x, returns, penalty=self.penalty, **options)
        return ONE_STATE if int(model.counts.min()) < 2 else RiskFit(bar, mean, std, model)

    def filter(self, fit: RiskFit, rows: F8) -> F8:
        return online_values(fit.standardised(rows), _centers(fit), self.penalty)

    def step(self, fit: RiskFit, memory: F8 | None, row: F8) -> F8:
        before = np.full(self.n_states, np.nan) if memory is None else memory
        return online_step(before, fit.standardised(row), _centers(fit), self.penalty)

    def decide(self, fit: RiskFit, memory: F8, held: int) -> tuple[I1, F8, F8]:
        state = np.argmin(memory, axis=1)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            odds = np.exp(memory.min(axis=1)[:, None] - memory)
        return state.astype(np.int8), state_margin(memory, self.penalty), 1.0 / odds.sum(axis=1)


@dataclass(frozen=True, slots=True)
class ContinuousJumpRisk:
    """Continuous jump model on :func:`jump_features`; probability is that of the cheapest grid point.

    The margin is the lead of the state's probability over the next one.
    """

    n_states: int
    penalty: float
    n_init: int
    seed: int

    def rows(self, returns: F8) -> F8:
        return jump_features(returns)

    def fit(
        self, rows: F8, returns: F8, bar: int, *, previous: RiskFit | None = None, fresh: bool = True
    ) -> RiskFit | int:
        unit = scaled(rows)
        if unit is None:
            return NO_VARIATION
        x, mean, std = unit
        options = {"n_states": self.n_states, "n_init": self.n_init, "seed": self.seed}
        model = fit_continuous_jump_model(x, returns, penalty=self.penalty, **options)
        return ONE_STATE if int(model.counts.min()) < 2 else RiskFit(bar, mean, std, model)

    def filter(self, fit: RiskFit, rows: F8) -> F8:
        return continuous_online_values(fit.standardised(rows), _centers(fit), self.penalty)

    def step(self, fit: RiskFit, memory: F8 | None, row: F8) -> F8:
        one = fit.standardised(row)[None, :]
        return np.asarray(continuous_online_values(one, _centers(fit), self.penalty, start=memory)[0])

    def decide(self, fit: RiskFit, memory: F8, held: int) -> tuple[I1, F8, F8]:
        point = simplex_grid(self.n_states)[np.argmin(memory, axis=1)]
        ordered = np.sort(point, axis=1)
        state = np.argmax(point, axis=1).astype(np.int8)
        return state, ordered[:, -1] - ordered[:, -2], ordered[:, -1]


@dataclass(frozen=True, slots=True)
class MarkovRisk:
    """Hidden Markov models on the returns themselves, ``dofs`` many; state and margin by :func:`held_states`.

    The margin is multiplied by the evidence for more than one state: in a sample of one regime the model
    still names a state, and does not trust it.
    """

    n_states: int
    dofs: tuple[float, ...]

    def rows(self, returns: F8) -> F8:
        return returns[:, None]

    def fit(
        self, rows: F8, returns: F8, bar: int, *, previous: RiskFit | None = None, fresh: bool = True
    ) -> RiskFit | int:
        if scaled(rows) is None:
            return NO_VARIATION
        before = previous.model if previous is not None else None
        model = fit_ensemble(
            returns,
            n_states=self.n_states,
            dofs=self.dofs,
            previous=before if isinstance(before, EnsembleFit) else None,
            fresh=fresh,
        )
        return RiskFit(bar, np.zeros(1), np.ones(1), model)

    def filter(self, fit: RiskFit, rows: F8) -> F8:
        members = [filtered_probabilities(rows[:, 0], params) for _, params in _ensemble(fit).used()]
        return np.stack(members, axis=1)

    def step(self, fit: RiskFit, memory: F8 | None, row: F8) -> F8:
        used = _ensemble(fit).used()
        before = np.full((len(used), self.n_states), np.nan) if memory is None else memory
        return np.array(
            [filter_step(p, float(row[0]), params) for p, (_, params) in zip(before, used, strict=True)]
        )

    def decide(self, fit: RiskFit, memory: F8, held: int) -> tuple[I1, F8, F8]:
        model = _ensemble(fit)
        probability = np.zeros((len(memory), self.n_states))
        for i, (weight, _) in enumerate(model.used()):
            probability += weight * memory[:, i]
        state, margin = held_states(probability, model.share, held)
        own = np.minimum(probability[np.arange(len(state)), state], 1.0)
        return state, margin * model.evidence, own


def risk_model(name: str, n_states: int, penalty: float, n_init: int, seed: int) -> RiskModel:
    """The model of that name in :data:`MODELS`.

    Raises
    ------
    BadInput
        Another name, or a parameter out of range.
    """
    check_model(n_states, penalty, n_init, seed)
    if name == "jump":
        return JumpRisk(n_states, penalty, n_init, seed)
    if name == "continuous_jump":
        return ContinuousJumpRisk(n_states, penalty, n_init, seed)
    if name not in MODELS:
        raise BadInput(expected=f"one of {', '.join(MODELS)}", found=name, where="model")
    return MarkovRisk(n_states, DEGREES_OF_FREEDOM if name == "ensemble" else (math.inf,))


def scaled(rows: F8) -> tuple[F8, F8, F8] | None:
    """Standardised rows, their mean and standard deviation; None where a column does not vary or overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = rows.mean(axis=0), rows.std(axis=0)
    if not bool(np.all((std > 1e-10 * np.abs(mean)) & (std < math.inf))):
        return None
    return (rows - mean) / std, mean, std


def _centers(fit: RiskFit) -> F8:
    if isinstance(fit.model, EnsembleFit):
        raise BadInput(expected="a jump model", found="an ensemble", where="risk model")
    return fit.model.centers


def _ensemble(fit: RiskFit) -> EnsembleFit:
    if not isinstance(fit.model, EnsembleFit):
        raise BadInput(expected="an ensemble", found="a jump model", where="risk model")
    return fit.model
