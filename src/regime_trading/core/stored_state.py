"""The state in force of an account as the store has it, with its place in the record."""

from __future__ import annotations

from dataclasses import dataclass

from regime_trading.core.schemas import AccountState, Mode, Order, OrderStatus, PortfolioSnapshot


@dataclass(frozen=True, slots=True)
class StoredState:
    """What the last committed decision of an account left.

    Parameters
    ----------
    env : Mode
    run_id, decision_id : str
    chain_id, seq : str, int
        Last entry of that decision in the record; ``entry_hash`` is its hash.
    state : AccountState
        With its open latches.
    portfolio : PortfolioSnapshot
        What was held when it was decided.
    orders : tuple of (Order, OrderStatus)
        Orders of the decision and how far each has come.
    """

    env: Mode
    run_id: str
    decision_id: str
    chain_id: str
    seq: int
    entry_hash: str
    state: AccountState
    portfolio: PortfolioSnapshot
    orders: tuple[tuple[Order, OrderStatus], ...]
