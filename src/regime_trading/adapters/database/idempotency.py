"""Answers to requests by their Idempotency-Key: the same request again gets the same answer, for a day.

The row of a key comes with the first change of its request (:mod:`~regime_trading.adapters.database.intents`).
"""

from __future__ import annotations

from sqlalchemy import Delete, Engine, Update, delete, select, update

from regime_trading.adapters.database.approval_tables import IDEMPOTENCY
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.intents import row_of
from regime_trading.core.intents import Intent, Kept

_T = IDEMPOTENCY


class SqlIdempotency:
    """Answers by user and key. They belong to a login, not to a firm: nothing is reached but by its user id.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, intent: Intent) -> Kept | None:
        """What is stored under a key; None where nothing is (any more).

        Raises
        ------
        StoreDown
            The database cannot be read.
        """
        query = select(_T).where(row_of(intent), _T.c.expires_ns > intent.now_ns)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else Kept(row["request_hash"], row["status"], row["response"] or "")

    def keep(self, intent: Intent, status: int, response: str) -> None:
        """Keep the answer to a request that has changed something; the first one stays."""
        self._end(intent, update(_T).values(status=status, response=response))

    def forget(self, intent: Intent) -> None:
        """Give a key back whose request was refused; an answer that is kept stays."""
        self._end(intent, delete(_T))

    def drop_before(self, now_ns: int) -> None:
        """Drop what names nothing any more."""
        with writing(self._engine) as connection:
            connection.execute(delete(_T).where(_T.c.expires_ns <= now_ns))

    def _end(self, intent: Intent, query: Update | Delete) -> None:
        if intent.wrote:
            with writing(self._engine) as connection:
                connection.execute(query.where(row_of(intent), _T.c.status.is_(None)))
