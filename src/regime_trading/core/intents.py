"""A request that changes something, named by its ``Idempotency-Key``: whatever it writes first, it writes with its key.

The one thing that does not travel as an argument: every transaction of a request would have to hand it on, and the
first that forgot would be carried out twice.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

TTL_NS = 24 * 3_600_000_000_000  #: how long a key names its request


@dataclass(slots=True)
class Intent:
    """One request under a key.

    Parameters
    ----------
    user_id, key : str
        Keys of one login are nobody else's.
    request_hash : str
        SHA-256 of what was asked for.
    now_ns : int
        When it was, UTC nanoseconds.
    wrote : bool
        Its key is stored, together with what it changed.
    """

    user_id: str
    key: str
    request_hash: str
    now_ns: int
    wrote: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What is stored under a key: of which request, and its answer (status and text); no status = none yet."""

    request_hash: str
    status: int | None = None
    response: str = ""


#: The request that this task, or a thread that it waits for, is about.
INTENT: ContextVar[Intent | None] = ContextVar("INTENT", default=None)
