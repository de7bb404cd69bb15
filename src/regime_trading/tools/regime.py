"""One label out of structure and risk state, and its hysteresis.

The risk-state models themselves are in ``tools.jump_model``, ``tools.hidden_markov``, ``tools.risk_ensemble``
and ``tools.risk_state``; their public names can be imported from here.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1
from regime_trading.core.schemas import REGIME_LABELS, RegimeLabel
from regime_trading.tools.jump_model import (
    WARM_UP,
    JumpFit,
    fit_jump_model,
    jump_features,
    online_step,
    online_values,
    state_margin,
)
from regime_trading.tools.risk_models import RISK_REASONS, RiskFit
from regime_trading.tools.risk_state import (
    RiskPath,
    causal_risk_state,
    smoothed_risk_state,
)
from regime_trading.tools.structure import RANDOM, STRUCTURE_LABELS, TRENDING

__all__ = [
    "RISK_REASONS",
    "WARM_UP",
    "JumpFit",
    "RiskFit",
    "RiskPath",
    "causal_risk_state",
    "confirm",
    "fit_jump_model",
    "fuse",
    "jump_features",
    "online_step",
    "online_values",
    "smoothed_risk_state",
    "state_margin",
]

_UNCERTAIN = REGIME_LABELS.index(RegimeLabel.UNCERTAIN)
_VOLATILE_TRENDING = REGIME_LABELS.index(RegimeLabel.VOLATILE_TRENDING)
#: structure code (trending, mean_reverting, random) → regime code while calm
_CALM = np.array([REGIME_LABELS.index(label) for label in STRUCTURE_LABELS[: RANDOM + 1]], dtype=np.int8)


def fuse(
    structure_label: I1, structure_confidence: F8, risk_state: I1, risk_margin: F8, n_states: int
) -> tuple[I1, F8]:
    """Structure and risk state in one label.

    ==============  ==============  =================  =========
    structure       below the top   top (turbulent)    unknown
    ==============  ==============  =================  =========
    trending        trending        volatile_trending  uncertain
    mean_reverting  mean_reverting  uncertain          uncertain
    random          random          uncertain          uncertain
    unknown         uncertain       uncertain          uncertain
    ==============  ==============  =================  =========

    Confidence is the smaller of the structure's confidence and the risk margin, and 0 where either input is
    unknown: a code out of range, or a confidence that is NaN or outside [0, 1].

    Parameters
    ----------
    structure_label : I1[...]
        Index into ``tools.structure.STRUCTURE_LABELS``.
    structure_confidence, risk_margin : F8[...]
    risk_state : I1[...]
        0 … n_states−1, −1 unknown.

    Returns
    -------
    label : I1[...]
        Index into ``core.schemas.REGIME_LABELS``.
    confidence : F8[...]

    Raises
    ------
    BadInput
        Shapes that differ or fewer than two states.
    """
    structure, state = np.asarray(structure_label), np.asarray(risk_state)
    sure, margin = np.asarray(structure_confidence, np.float64), np.asarray(risk_margin, np.float64)
    if not structure.shape == state.shape == sure.shape == margin.shape or n_states < 2:
        raise BadInput(
            expected="four arrays of one shape and n_states ≥ 2",
            found=f"{structure.shape}, {sure.shape}, {state.shape}, {margin.shape}, n_states={n_states}",
            where="fuse",
        )
    known = (structure >= TRENDING) & (structure <= RANDOM) & (state >= 0) & (state < n_states)
    known &= (sure >= 0.0) & (sure <= 1.0) & (margin >= 0.0) & (margin <= 1.0)
    turbulent = np.where(structure == TRENDING, _VOLATILE_TRENDING, _UNCERTAIN)
    calm = _CALM[np.where(known, structure, TRENDING).astype(np.int64)]
    label = np.where(known, np.where(state == n_states - 1, turbulent, calm), _UNCERTAIN)
    return label.astype(np.int8), np.where(known, np.minimum(sure, margin), 0.0)


def confirm(labels: I1, bars: int) -> I1:
    """Hysteresis: a new label replaces the old one once it has stood for ``bars`` consecutive bars.

    The first known label is taken at once. A negative code is unknown: it is passed through as it is (never
    hidden behind the last known label) and neither adds to nor breaks a run.

    Parameters
    ----------
    labels : I1[T]
    bars : int
        ≥ 1; 1 changes nothing.

    Raises
    ------
    BadInput
        ``bars`` below 1 or labels that are not one-dimensional.
    """
    codes = np.ascontiguousarray(labels, dtype=np.int8)
    if bars < 1 or codes.ndim != 1:
        raise BadInput(
            expected="labels of shape [T] and bars ≥ 1",
            found=f"{codes.ndim} dimensions, {bars}",
            where="confirm",
        )
    return _confirm(codes, bars)


@njit(cache=True)
def _confirm(labels: I1, bars: int) -> I1:
    out = np.empty(labels.shape[0], np.int8)
    held, candidate, run = -1, -1, 0
    for t in range(labels.shape[0]):
        code = labels[t]
        if code < 0:
            out[t] = code
            continue
        run = run + 1 if code == candidate else 1
        candidate = code
        if held < 0 or run >= bars:
            held = code
        out[t] = held
    return out
