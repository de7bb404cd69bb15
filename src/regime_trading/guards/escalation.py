"""How a loss becomes a constraint: soft, warn and act, and a latch that only clean marks fire."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from regime_trading.core.numbers import B1, F8, I1
from regime_trading.core.rules import TradingState
from regime_trading.guards.constraint import Constraint, holds
from regime_trading.guards.floors import Circuit
from regime_trading.guards.snapshot import Params, View
from regime_trading.guards.verdict import LatchRequest, Verdict, verdict

SOFT_THROTTLE = 0.5


def levels(loss: F8, limit: F8, k: Params) -> tuple[B1, B1, B1]:
    """Which of soft, warn and act the loss has reached, bool [A] each."""
    return loss >= k["soft"] * limit, loss >= k["warn"] * limit, loss >= k["act"] * limit


def escalate(
    unknown: B1, soft: B1, warn: B1, latch: LatchRequest, estimated: B1
) -> tuple[Constraint, LatchRequest]:
    """soft → THROTTLE, warn or unknown → REDUCE_ONLY, what fires the latch → its state, on clean marks only."""
    fire = latch.fire & ~estimated
    reduce_only = warn | latch.fire | unknown
    state = np.maximum(np.where(fire, latch.state, np.int8(0)), reduce_only.astype(np.int8))
    constraint = Constraint(
        mode=state if holds(reduce_only) else None,
        throttle=np.where(soft, SOFT_THROTTLE, 1.0) if holds(soft) else None,
    )
    return constraint, replace(latch, fire=fire)


def pick(where: B1, yes: I1 | np.int8, no: I1 | np.int8) -> I1:
    """``yes`` where marked, else ``no``, int8 [A]."""
    return np.asarray(np.where(where, yes, no), dtype=np.int8)


def max_loss(view: View, k: Params, circuit: Circuit, name: str) -> Verdict:
    """``E > reference − act · M``: FLATTEN and latch ``release``; at the floor itself LOCKED and ``on_external``.

    E, reference or limit unknown: REDUCE_ONLY. ``name`` begins the reason codes.
    """
    limit, loss = circuit.limit, circuit.loss(view.books.equity)
    off = np.isinf(limit)
    unknown = ~np.isfinite(loss - limit) & ~off
    act, external = loss >= k["act"] * limit, loss >= limit
    latch = LatchRequest(
        fire=act,
        state=pick(external, np.int8(TradingState.LOCKED), np.int8(TradingState.FLATTEN)),
        kind=pick(external, k["on_external"], k["release"]),
    )
    constraint, fired = escalate(unknown, np.zeros_like(act), act, latch, view.books.equity_estimated)
    return verdict(
        view,
        constraint,
        bound=act,
        unknown=unknown,
        off=off,
        value=loss,
        limit=limit,
        codes={f"{name}_ACT": act, f"{name}_FLOOR": external, "EQUITY_UNKNOWN": unknown},
        latch=fired,
    )
