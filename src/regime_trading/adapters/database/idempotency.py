"""Answers to requests by their Idempotency-Key: the same request again gets the same answer, for a day."""

from __future__ import annotations

from sqlalchemy import Engine, delete, insert, select, update

from regime_trading.adapters.database.approval_tables import IDEMPOTENCY
from regime_trading.adapters.database.engine import writing
from regime_trading.adapters.database.previews import require_key
from regime_trading.core.errors import Conflict

TTL_NS = 24 * 3_600_000_000_000


class SqlIdempotency:
    """Answers by user and key. They belong to a login, not to a firm: nothing is reached but by its user id.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, user_id: str, key: str, request_hash: str, now_ns: int) -> tuple[int, str] | None:
        """Take a key for a request: None for the first, its answer (status, response) for the same one again.

        Raises
        ------
        BadInput
            A key that is not 1 to 200 printable characters.
        Conflict
            ``key``: it was used for another request. ``pending``: the first request is not answered yet, or was
            interrupted; whether it was carried out must be looked up.
        NotDurable
            A database that cannot write.
        """
        require_key(key)
        with writing(self._engine) as connection:
            connection.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.expires_ns <= now_ns))
            mine = (IDEMPOTENCY.c.user_id == user_id) & (IDEMPOTENCY.c.key == key)
            row = connection.execute(select(IDEMPOTENCY).where(mine)).mappings().one_or_none()
            if row is None:
                new = {"user_id": user_id, "key": key, "request_hash": request_hash}
                connection.execute(insert(IDEMPOTENCY), new | {"expires_ns": now_ns + TTL_NS})
                return None
        if row["request_hash"] != request_hash:
            raise Conflict("key", "this Idempotency-Key was used for another request")
        if row["status"] is None:
            raise Conflict("pending", "the request with this Idempotency-Key is not answered yet")
        return int(row["status"]), str(row["response"])

    def finish(self, user_id: str, key: str, status: int, response: str) -> None:
        """Keep the answer to a request; the first one stays."""
        mine = (IDEMPOTENCY.c.user_id == user_id) & (IDEMPOTENCY.c.key == key)
        query = update(IDEMPOTENCY).where(mine, IDEMPOTENCY.c.status.is_(None))
        with writing(self._engine) as connection:
            connection.execute(query.values(status=status, response=response))

    def forget(self, user_id: str, key: str) -> None:
        """Give a key back whose request changed nothing; an answer that is kept stays."""
        mine = (IDEMPOTENCY.c.user_id == user_id) & (IDEMPOTENCY.c.key == key)
        with writing(self._engine) as connection:
            connection.execute(delete(IDEMPOTENCY).where(mine, IDEMPOTENCY.c.status.is_(None)))
