"""The regime of series that stand alone: each column of a price table, at every bar and at the last. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1, I8
from regime_trading.core.schemas import REGIME_LABELS, PriceWindow, Regime, RegimeLabel, RiskState
from regime_trading.engine.histories import Progress, tell
from regime_trading.tools.evidence import own_evidence
from regime_trading.tools.features import log_returns
from regime_trading.tools.regime import (
    RISK_REASONS,
    RiskPath,
    causal_risk_state,
    fuse,
    smoothed_risk_state,
)
from regime_trading.tools.risk_choice import choose
from regime_trading.tools.structure import StructurePath, structure_path

CHOICE_BARS = 504  #: two years of days


@dataclass(frozen=True, slots=True)
class DetectionParams:
    """Knobs of a detection. Counts of bars.

    Parameters
    ----------
    model, n_states, penalty, seed
        Risk state (``tools.risk_state.causal_risk_state``).
    min_obs, refit_every : int
        Returns before the first fit, and between two fits; every fit sees all returns before it.
    auto : bool
        Number of states (2 or 3) and penalty are chosen for each series from its first :data:`CHOICE_BARS` returns
        (``tools.risk_choice.choose``) and then stand; no state is given before.
    structure_window, structure_min_obs, structure_lags
        Structure at a bar is that of the last ``structure_window`` returns, found again at every bar.
    """

    model: str = "ensemble"
    n_states: int = 2
    penalty: float = 50.0
    min_obs: int = 200
    refit_every: int = 63
    structure_window: int = 2520
    structure_min_obs: int = 128
    structure_lags: tuple[int, ...] = (2, 5)
    seed: int = 1
    auto: bool = False


@dataclass(frozen=True, slots=True)
class Detection:
    """One symbol: its regime at the last bar, and the path that led there.

    ``state`` int8 [T] (−1 unknown), ``probability`` float64 [T] of that state, ``label`` int8 [T] in the order of
    ``REGIME_LABELS``. With ``smoothed`` the states have seen the whole sample: never a signal.
    """

    regime: Regime
    ts_ns: I8
    state: I1
    probability: F8
    label: I1
    smoothed: bool
    reasons: dict[str, int]


def detect(
    window: PriceWindow,
    params: DetectionParams,
    *,
    smoothed: bool = False,
    rows: bool = True,
    progress: Progress | None = None,
) -> tuple[Detection, ...]:
    """Regime of every column by itself: no column sees another, and without ``smoothed`` no bar a later one.

    Parameters
    ----------
    window : PriceWindow
    params : DetectionParams
    smoothed : bool
        Risk states of the whole sample, smoothed over it.
    rows : bool
        False: only the last bar's label is asked for, and only its structure is computed; the answer is the same.

    Raises
    ------
    BadInput
        A parameter out of range, or no prices.
    """
    if not len(window.ts_ns):
        raise BadInput(expected="at least one price", found="none", where="prices")
    found = []
    for column, symbol in enumerate(window.symbols):
        there = np.isfinite(window.close[:, column])
        close = np.ascontiguousarray(window.close[there, column])[:, None]
        found.append(_detect(symbol, window.ts_ns[there], close, params, smoothed, rows))
        tell(progress, "detect", column + 1, len(window.symbols))
    return tuple(found)


def _detect(
    symbol: str, ts_ns: I8, close: F8, params: DetectionParams, smoothed: bool, rows: bool
) -> Detection:
    returns = np.ascontiguousarray(log_returns(close)[:, 0])
    params = _chosen(returns, params)
    structure = _structure(returns, params, rows)
    path = causal_risk_state(
        returns,
        model=params.model,
        n_states=params.n_states,
        penalty=params.penalty,
        min_obs=params.min_obs,
        refit_every=params.refit_every,
        seed=params.seed,
    )
    state, margin, probability, risk = (
        path.state,
        path.margin,
        path.probability,
        path.at(len(ts_ns) - 1, ts_ns),
    )
    if smoothed:
        state, margin, probability, risk = _smoothed(returns, path, ts_ns, params.n_states)
    label, confidence = fuse(
        structure.label[:, 0], structure.confidence[:, 0], state, margin, params.n_states
    )
    last = len(ts_ns) - 1
    made = structure.at(last, 0)
    return Detection(
        regime=Regime(
            symbol=symbol,
            as_of_ns=int(ts_ns[-1]),
            label=RegimeLabel(REGIME_LABELS[int(label[last])]),
            confidence=float(confidence[last]),
            structure=made,
            risk=risk,
            evidence=own_evidence(made, risk, "bars"),
        ),
        ts_ns=ts_ns,
        state=state,
        probability=probability,
        label=label,
        smoothed=smoothed,
        reasons=_reasons(path, state, smoothed, risk),
    )


def _chosen(returns: F8, params: DetectionParams) -> DetectionParams:
    """The knobs with the model's size chosen from the first returns alone, where that is asked for."""
    if not params.auto:
        return params
    first = returns[np.isfinite(returns)][:CHOICE_BARS]
    params = replace(params, min_obs=max(params.min_obs, CHOICE_BARS))
    if len(first) < CHOICE_BARS:
        return params
    found = choose(first, n_states=(2, 3), seed=params.seed)
    return replace(
        params, n_states=found.n_states or params.n_states, penalty=found.penalty or params.penalty
    )


def _structure(returns: F8, params: DetectionParams, rows: bool) -> StructurePath:
    """Structure at every bar; with ``rows`` off at the last one alone, unknown before it."""
    window = min(params.structure_window, max(len(returns), params.structure_min_obs))
    return structure_path(
        returns[:, None],
        window=window,
        every=1 if rows else max(len(returns), 1),
        lags=params.structure_lags,
        min_obs=params.structure_min_obs,
    )


def _smoothed(returns: F8, path: RiskPath, ts_ns: I8, n_states: int) -> tuple[I1, F8, F8, RiskState]:
    """States with hindsight: state, margin, probability of the state, and the last one's schema."""
    found = smoothed_risk_state(returns, n_states)
    known = found.state >= 0
    probability, margin = np.full(len(returns), np.nan), np.full(len(returns), np.nan)
    chosen = np.take_along_axis(
        found.probability, np.maximum(found.state, 0)[:, None].astype(np.int64), axis=1
    )[:, 0]
    others = np.where(np.arange(n_states) == found.state[:, None], -np.inf, found.probability).max(axis=1)
    probability[known] = chosen[known]
    margin[known] = np.clip(chosen - others, 0.0, 1.0)[known]
    last, fit = len(returns) - 1, found.fit
    duration = math.nan if fit is None or not known[last] else float(fit.expected_duration[found.state[last]])
    risk = RiskState(
        state=int(found.state[last]) if known[last] else None,
        n_states=n_states,
        margin=float(margin[last]) if known[last] else 0.0,
        expected_duration_bars=None if math.isnan(duration) else duration,
        fitted_at_ns=None if fit is None else int(ts_ns[last]),
        probability=float(probability[last]) if known[last] else None,
        transition=None
        if fit is None
        else tuple(tuple(None if math.isnan(p) else p for p in row) for row in fit.transition.tolist()),
        model="ensemble, smoothed",
        reason=found.reason or ("" if known[last] else RISK_REASONS[1]),
    )
    return found.state, margin, probability, risk


def _reasons(path: RiskPath, state: I1, smoothed: bool, risk: RiskState) -> dict[str, int]:
    """Why bars have no state, by reason, and how many."""
    unknown = state < 0
    if smoothed:
        return {risk.reason or RISK_REASONS[1]: int(unknown.sum())} if unknown.any() else {}
    codes, counts = np.unique(path.reason[unknown], return_counts=True)
    return {RISK_REASONS[int(code)]: int(n) for code, n in zip(codes, counts, strict=True)}
