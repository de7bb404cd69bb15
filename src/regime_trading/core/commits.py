"""What one decision makes durable, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regime_trading.core.schemas import AccountState, AuditEvent, Order, PortfolioSnapshot


@dataclass(frozen=True, slots=True)
class DecisionCommit:
    """One account's decision: the state after it, its book, its orders and the entries that explain it.

    Parameters
    ----------
    state : AccountState
    portfolio : PortfolioSnapshot
    orders : sequence of Order
        What goes into the outbox.
    events : sequence of AuditEvent
        Consecutive entries of the account's chain, a DECISION (or DEGRADED) among them.
    run_id, decision_id : str
    newest_ns : int, optional
        Time of the state that the decision was made from: nothing is committed after a later one.
    rl : bytes
        RL rows of the decision (``core.rl_rows``), to be sealed later; empty = none, or sealed by the caller.
    """

    state: AccountState
    portfolio: PortfolioSnapshot
    orders: Sequence[Order]
    events: Sequence[AuditEvent]
    run_id: str
    decision_id: str
    newest_ns: int | None = None
    rl: bytes = b""
