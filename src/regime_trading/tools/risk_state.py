"""Risk state of one series: the causal path, refitted as time goes by, and the states of a whole sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1, I8
from regime_trading.core.schemas import RiskState
from regime_trading.tools.jump_model import check_model, vector
from regime_trading.tools.risk_ensemble import EnsembleFit, fit_ensemble, smoothed_states
from regime_trading.tools.risk_models import (
    MISSING,
    NO_FEATURES,
    NO_VARIATION,
    OK,
    RISK_REASONS,
    TOO_FEW,
    RiskFit,
    RiskModel,
    risk_model,
    scaled,
)

#: Known bars over which changes of state are counted.
FLIP_WINDOW = 252
#: Observations a hidden Markov model is fitted on at most where ``max_window`` is None: ten years of days.
MARKOV_WINDOW = 2520
#: Fresh starts are tried at refit 0, 1, 2, 4, 8 and at every multiple of this.
FRESH_EVERY = 16


def _none() -> F8:
    return np.empty(0)


def _no_index() -> I8:
    return np.empty(0, dtype=np.int64)


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
    probability : F8[T]
        Filtered probability of ``state``; NaN where unknown. Empty where it was not kept.
    flips : F8[T]
        Changes of state per bar over the last :data:`FLIP_WINDOW` known bars; NaN where unknown and at the
        first known bar. Empty where it was not kept.
    fit_index : I8[T]
        Row of ``transition`` that is in force, −1 where there is none. Empty where it was not kept.
    transition : F8[F, K, K]
        By fit, from row to column in one bar; a row is NaN where the sample does not show it.
    model : str
    """

    state: I1
    margin: F8
    expected_duration: F8
    fitted_at: I8
    reason: I1
    fits: tuple[RiskFit, ...]
    n_states: int
    probability: F8 = field(default_factory=_none)
    flips: F8 = field(default_factory=_none)
    fit_index: I8 = field(default_factory=_no_index)
    transition: F8 = field(default_factory=_none)
    model: str = ""

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
            probability=_known(self.probability, t),
            transition=self._transition_at(t) if known else None,
            flips_per_bar=_known(self.flips, t),
            model=self.model,
            reason=RISK_REASONS[int(self.reason[t])],
        )

    def transitions(self) -> F8:
        """Transition matrix of the fit in force at every bar, float64 [T, K, K]; NaN where there is none."""
        unknown = np.full((1, self.n_states, self.n_states), np.nan)
        by_fit: F8 = np.concatenate([self.transition.reshape(-1, self.n_states, self.n_states), unknown])
        return by_fit[self.fit_index]

    def _transition_at(self, t: int) -> tuple[tuple[float | None, ...], ...] | None:
        if not self.fit_index.size or self.fit_index[t] < 0:
            return None
        rows = self.transition[int(self.fit_index[t])].tolist()
        return tuple(tuple(None if math.isnan(p) else p for p in row) for row in rows)


@dataclass(frozen=True, slots=True)
class SmoothedRisk:
    """States of a whole sample, each with all of the sample in view: never a signal.

    Attributes
    ----------
    state : I1[T]
        0 calm … K−1 turbulent, −1 where the return is missing or there is no fit.
    probability : F8[T, K]
        NaN there.
    fit : EnsembleFit or None
    reason : str
        Why there is no fit; empty where there is one.
    """

    state: I1
    probability: F8
    fit: EnsembleFit | None
    reason: str


def causal_risk_state(
    log_returns: F8,
    *,
    model: str = "ensemble",
    n_states: int = 2,
    penalty: float = 50.0,
    min_obs: int = 250,
    refit_every: int = 126,
    max_window: int | None = None,
    n_init: int = 10,
    seed: int = 0,
) -> RiskPath:
    """Walk-forward risk state: refits on a fixed schedule, online inference in between.

    Observations are bars with defined rows of the model: features of the jump models, the returns themselves
    for the hidden Markov models. The model is refitted at observations ``min_obs``, ``min_obs + refit_every``,
    … on all observations so far (the last ``max_window``), the refit bar included, and its filter is run over
    the window and on until the next refit. Nothing at t depends on what follows t.

    States are sorted by volatility. A hidden Markov model is continued from the fit before it, so a state keeps
    its identity across refits (fresh starts are tried ever more rarely and must be clearly better), and the state
    that is held at a refit is held on until the evidence against it suffices.

    A bar without a row and every bar under a fit that failed (rows that do not vary, a state of a jump model
    with fewer than two observations) is unknown, with the reason; no value in the series raises.

    Parameters
    ----------
    log_returns : F8[T]
        NaN and infinite returns are missing bars.
    model : str
        "jump" and "continuous_jump" (features, ``penalty``, ``n_init`` starts from ``seed``), "hmm" (Gaussian
        emissions) or "ensemble" (``tools.risk_ensemble``); the last two ignore those three parameters.
    penalty : float
        Cost of one jump on standardised features, > 0.
    max_window : int, optional
        None is all observations, and for the hidden Markov models the last :data:`MARKOV_WINDOW`.

    Raises
    ------
    BadInput
        A series that is not one-dimensional, or parameters out of range.
    """
    returns = vector(log_returns, "log_returns")
    engine = risk_model(model, n_states, penalty, n_init, seed)
    _check_schedule(n_states, penalty, min_obs, refit_every, max_window)
    if max_window is None and model in ("hmm", "ensemble"):
        max_window = max(MARKOV_WINDOW, min_obs)
    return _walk(returns, engine, model, n_states, min_obs, refit_every, max_window)


def smoothed_risk_state(log_returns: F8, n_states: int = 2) -> SmoothedRisk:
    """States of the whole sample by the ensemble, fitted on all of it and smoothed over all of it.

    Parameters
    ----------
    log_returns : F8[T]
        NaN and infinite returns are missing bars.

    Raises
    ------
    BadInput
        A series that is not one-dimensional, or ``n_states`` out of range.
    """
    returns = vector(log_returns, "log_returns")
    check_model(n_states, 1.0, 1, 0)
    bars = np.flatnonzero(np.isfinite(returns))
    state, probability = np.full(returns.size, -1, np.int8), np.full((returns.size, n_states), np.nan)
    if bars.size <= n_states:
        return SmoothedRisk(state, probability, None, RISK_REASONS[TOO_FEW])
    known = returns[bars]
    if scaled(known[:, None]) is None:
        return SmoothedRisk(state, probability, None, RISK_REASONS[NO_VARIATION])
    fit = fit_ensemble(known, n_states=n_states)
    state[bars], probability[bars] = smoothed_states(known, fit)
    return SmoothedRisk(state, probability, fit, "")


def flip_density(state: I1, window: int = FLIP_WINDOW) -> F8:
    """Changes of state per bar over the last ``window`` known bars, F8[T].

    (number of known bars among the last ``window`` whose state differs from that of the known bar before)
    / (number of those that have a known bar before). NaN where ``state`` is negative and at the first known bar.
    """
    known = np.flatnonzero(state >= 0)
    out = np.full(len(state), np.nan)
    changes = np.cumsum(np.diff(state[known]) != 0).astype(np.float64)
    count = np.minimum(np.arange(1, len(changes) + 1), window)
    before = np.concatenate([np.zeros(min(window, len(changes))), changes[:-window]])
    out[known[1:]] = (changes - before) / count
    return out


def _known(values: F8, t: int) -> float | None:
    return float(values[t]) if values.size and not math.isnan(values[t]) else None


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


def _walk(
    returns: F8,
    engine: RiskModel,
    name: str,
    n_states: int,
    min_obs: int,
    refit_every: int,
    max_window: int | None,
) -> RiskPath:
    rows = engine.rows(returns)
    path = _unknown_path(returns, rows, n_states)
    bars = np.flatnonzero(np.isfinite(rows).all(axis=1))
    fits: list[RiskFit] = []
    held = -1
    for number, last in enumerate(range(min_obs - 1, bars.size, refit_every)):
        first = 0 if max_window is None else max(0, last + 1 - max_window)
        span = bars[first : min(last + refit_every, bars.size)]
        window = span[: last + 1 - first]
        fresh = number & (number - 1) == 0 or number % FRESH_EVERY == 0
        previous = fits[-1] if fits else None
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            outcome = engine.fit(
                rows[window], returns[window], int(window[-1]), previous=previous, fresh=fresh
            )
        live = slice(last - first, None)
        if isinstance(outcome, int):
            path.reason[span[live]] = outcome
            continue
        following = bars[last + refit_every] if last + refit_every < bars.size else returns.size
        path.fitted_at[bars[last] : following] = outcome.bar
        path.fit_index[bars[last] : following] = len(fits)
        fits.append(outcome)
        held = _write(path, engine, outcome, engine.filter(outcome, rows[span])[live], span[live], held)
    transition = np.array([fit.model.transition for fit in fits]).reshape(-1, n_states, n_states)
    return RiskPath(
        path.state,
        path.margin,
        path.expected_duration,
        path.fitted_at,
        path.reason,
        tuple(fits),
        n_states,
        path.probability,
        flip_density(path.state),
        path.fit_index,
        transition,
        name,
    )


def _unknown_path(returns: F8, rows: F8, n_states: int) -> RiskPath:
    n = returns.size
    reason = np.full(n, TOO_FEW, np.int8)
    reason[~np.isfinite(rows).all(axis=1)] = NO_FEATURES
    reason[~np.isfinite(returns)] = MISSING
    blank = [np.full(n, np.nan) for _ in range(3)]
    index = [np.full(n, -1), np.full(n, -1)]
    return RiskPath(
        np.full(n, -1, np.int8),
        blank[0],
        blank[1],
        index[0],
        reason,
        (),
        n_states,
        probability=blank[2],
        fit_index=index[1],
    )


def _write(path: RiskPath, engine: RiskModel, fit: RiskFit, memory: F8, at: I8, held: int) -> int:
    """Write the decisions at bars ``at``; the state held after the last of them."""
    state, margin, probability = engine.decide(fit, memory, held)
    path.state[at] = state
    path.margin[at] = margin
    path.probability[at] = probability
    path.expected_duration[at] = fit.model.expected_duration[state]
    path.reason[at] = OK
    return int(state[-1])
