"""Recovery of guard 1: what was bad stays blocked until several observations in a row were clean (``risk.md`` 1.0).

One observation is one cycle in which the venue session of the asset is not closed: a closed session shows nothing
new, so it counts neither way.
"""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.guards.constraint import Constraint, block
from regime_trading.guards.facts import CLOSED
from regime_trading.guards.snapshot import Market, View


def fresh(age: F8, limit: F8) -> B1:
    """Known, not from the future, and not older than the limit."""
    is_fresh: B1 = (age >= 0) & (age <= limit)
    return is_fresh


def closed_session(market: Market) -> B1:
    """Assets whose venue says that its session is closed, bool [N]; nothing where nobody says anything."""
    if "status" not in market.provided | market.substituted:
        return np.zeros(len(market.symbols), dtype=np.bool_)
    closed: B1 = market.signals.status == CLOSED
    return closed


def recovering(view: View, rule_id: str, dirty: B1) -> tuple[B1, Constraint]:
    """Assets that are clean again but not for long enough, bool [A, N], and their BLOCK(i): never NO_TRADE."""
    waiting = view.states.recovering(rule_id) & ~dirty
    return waiting, block(waiting, view.held)


def observed(left: I1, dirty: B1, seen: B1, clean_observations: I8) -> I1:
    """Clean observations that are still missing after this one, int8 [A, N].

    ``clean_observations`` where ``dirty`` [A, N]; one less, not below 0, where clean and ``seen`` [N]; else as it
    was. An asset that was never dirty is free.
    """
    counted = np.maximum(left - seen[None, :].astype(np.int8), 0)
    missing: I1 = np.where(dirty, clean_observations[:, None], counted).astype(np.int8)
    return missing
