"""Guard 4, volatility targeting. Only ever scales down."""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1, F8
from regime_trading.core.rules import RegimeBudget
from regime_trading.core.schemas import REGIME_LABELS, RegimeLabel
from regime_trading.guards.constraint import Constraint, block, holds
from regime_trading.guards.snapshot import Params, View
from regime_trading.guards.variance import known_sigma
from regime_trading.guards.verdict import Verdict, verdict

_UNCERTAIN = REGIME_LABELS.index(RegimeLabel.UNCERTAIN)
assert all(label in RegimeBudget.model_fields for label in REGIME_LABELS)


def sigma_target(view: View, k: Params) -> Verdict:
    """VT-01: ``k · σ̃(p, a) ≤ sigma_target``, annualised; the budget is spent in the projection (``risk.md`` 2.4)."""
    limit = k["sigma_target"]
    return verdict(
        view,
        Constraint(vol=limit),
        bound=np.zeros(view.n_accounts, dtype=np.bool_),
        off=np.isinf(limit),
        limit=limit,
    )


def regime_budget(view: View, k: Params) -> Verdict:
    """VT-04: ``book factor ≤ multiplier(label)``; below ``min_confidence`` the label counts as uncertain.

    A regime can never raise a limit: multipliers are ≤ 1, and doubt never loosens what the label says. A
    confidence that is not in [0, 1] is no confidence.
    """
    label, confidence = view.market.label, view.market.confidence
    known = 0 <= label < len(REGIME_LABELS)
    named: F8 = k[REGIME_LABELS[label if known else _UNCERTAIN]]
    unsure: B1 = ~((confidence >= k["min_confidence"]) & (confidence <= 1.0)) | (not known)
    throttle: F8 = np.where(unsure, np.minimum(named, k[REGIME_LABELS[_UNCERTAIN]]), named)
    throttled = throttle < 1.0
    return verdict(
        view,
        Constraint(throttle=throttle if holds(throttled) else None),
        bound=throttled,
        value=view.everyone(confidence),
        limit=k["min_confidence"],
        codes={"REGIME_THROTTLE": throttled, "REGIME_UNSURE": unsure},
    )


def unknown_volatility(view: View, k: Params) -> Verdict:
    """VT-06: σ_i known and > 0, else BLOCK(i). Zero variance is missing, not riskless.

    In book factors such an asset counts with :func:`~regime_trading.guards.variance.effective_sigma` and ρ = 1.
    """
    unknown = view.per_asset(~known_sigma(view.market))
    return verdict(
        view,
        block(unknown, view.held),
        bound=unknown,
        unknown=unknown,
        value=unknown.sum(axis=1).astype(np.float64),
        limit=view.everyone(0.0),
        codes={"VOLATILITY_UNKNOWN": unknown},
    )
