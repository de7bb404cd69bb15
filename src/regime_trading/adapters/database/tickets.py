"""Tickets for the live channel: stored by their hash, used once. They belong to a login, not to a firm."""

from __future__ import annotations

from sqlalchemy import Engine, delete, select, update

from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.message_tables import WS_TICKETS


class SqlTickets:
    """Tickets of every login of a store.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, ticket_hash: str, user_id: str, session_id: str, expires_ns: int) -> None:
        """Remember a ticket of a session, good until ``expires_ns`` (UTC nanoseconds).

        Raises
        ------
        NotDurable
            It is there already, or a database that cannot write.
        """
        row = {
            "ticket_hash": ticket_hash,
            "user_id": user_id,
            "session_id": session_id,
            "expires_ns": expires_ns,
        }
        with writing(self._engine) as connection:
            connection.execute(WS_TICKETS.insert(), row)

    def take(self, ticket_hash: str, now_ns: int) -> str | None:
        """Use a ticket up and return its session; None where it is unknown, used, or no longer good at ``now_ns``.

        Raises
        ------
        NotDurable
            A database that cannot write: a use that is not kept does not count.
        """
        good = WS_TICKETS.c.expires_ns > now_ns
        mine = (WS_TICKETS.c.ticket_hash == ticket_hash) & WS_TICKETS.c.used_ns.is_(None) & good
        with reading(self._engine) as connection:  # what cannot count takes no writer's turn
            session: str | None = connection.execute(select(WS_TICKETS.c.session_id).where(mine)).scalar()
        if session is None:
            return None
        with writing(self._engine) as connection:
            used = connection.execute(update(WS_TICKETS).where(mine).values(used_ns=now_ns)).rowcount
        return session if used == 1 else None

    def drop_before(self, ts_ns: int) -> int:
        """Forget tickets that ended before ``ts_ns``; how many went.

        Raises
        ------
        NotDurable
            A database that cannot write.
        """
        with writing(self._engine) as connection:
            return int(connection.execute(delete(WS_TICKETS).where(WS_TICKETS.c.expires_ns < ts_ns)).rowcount)
