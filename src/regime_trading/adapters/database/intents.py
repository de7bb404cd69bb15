"""Keys of requests in the store: the row of a key is there if and only if its request has changed something."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from regime_trading.adapters.database.approval_tables import IDEMPOTENCY
from regime_trading.core.errors import Conflict
from regime_trading.core.intents import INTENT, TTL_NS, Intent

_T = IDEMPOTENCY


def stamp(connection: Connection) -> Intent | None:
    """Store the key of the request that this thread is about, within the caller's transaction, where it has one that is
    not stored yet.

    Raises
    ------
    Conflict
        ``pending``: another request under this key has changed something.
    """
    intent = INTENT.get()
    if intent is None or intent.wrote:
        return None
    connection.execute(delete(_T).where(row_of(intent), _T.c.expires_ns <= intent.now_ns))
    if connection.execute(select(_T.c.key).where(row_of(intent))).first() is not None:
        raise Conflict("pending", "another request with this Idempotency-Key is at work, or was")
    new = {"user_id": intent.user_id, "key": intent.key, "request_hash": intent.request_hash}
    connection.execute(insert(_T), new | {"expires_ns": intent.now_ns + TTL_NS})
    return intent


def row_of(intent: Intent) -> ColumnElement[bool]:
    """The row of a key."""
    return (_T.c.user_id == intent.user_id) & (_T.c.key == intent.key)
