"""RL rows of a decision that is made durable at once, as they wait beside the write-ahead entries to be sealed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RLDecision:
    """What one decision leaves: its state, its action, the transition that led to it, and the one that ends its episode
    where it is the last.

    Parameters
    ----------
    seq : int
        Of its DECISION entry.
    ts_event_ns : int
        Time of the decision, UTC nanoseconds.
    open_end : bytes
        What the next decision of its trail needs to close this one.
    body : bytes
        The rows (``engine.rl_body``).
    """

    seq: int
    ts_event_ns: int
    open_end: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class RLWaiting:
    """Rows of one decision that are not sealed yet; ``row_no`` is their place in the store."""

    row_no: int
    firm_id: str
    account_id: str
    run_id: str
    env: str
    seq: int
    ts_event_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class RLUnsealed:
    """How many decisions of one run left rows that are not sealed yet, and when the first and the last were made."""

    account: str
    run_id: str
    env: str
    rows: int
    first_ns: int
    last_ns: int
