"""Lasting readers of messages: where each has come to is a row, so that a restart loses and repeats next to nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager

from sqlalchemy import Engine, func, insert, select, update

from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.locks import held
from regime_trading.adapters.database.message_tables import MESSAGE_HEADS, MESSAGE_READERS
from regime_trading.adapters.database.messages import SqlMessages
from regime_trading.core.audit import require_firm
from regime_trading.core.messages import Numbered


class SqlMessageReader:
    """One reader of one firm's messages. A new one begins behind the last message: it tells no history.

    Parameters
    ----------
    engine : Engine
    firm_id : str
    name : str
        Of the reader; holds no secret.
    """

    def __init__(self, engine: Engine, *, firm_id: str, name: str) -> None:
        self._engine, self._firm_id, self._name = engine, require_firm(firm_id), name
        self._messages = SqlMessages(engine, firm_id=firm_id)
        self._mine = (MESSAGE_READERS.c.firm_id == firm_id) & (MESSAGE_READERS.c.name == name)

    def next(self, limit: int = 100) -> tuple[tuple[Numbered, ...], int]:
        """Messages it has not read, in order, and how many were dropped before it could read them."""
        at = self._position()
        found = self._messages.after(at, limit)
        first, _ = self._messages.span()
        return found, max(0, first - 1 - at)

    def advance(self, seq: int) -> None:
        """Everything up to ``seq`` is behind it; never goes back.

        Raises
        ------
        NotDurable
            A database that cannot write: it will get the same again.
        """
        with writing(self._engine) as connection:
            connection.execute(
                update(MESSAGE_READERS).where(self._mine, MESSAGE_READERS.c.seq < seq).values(seq=seq)
            )

    def _position(self) -> int:
        with reading(self._engine) as connection:
            at = connection.execute(select(MESSAGE_READERS.c.seq).where(self._mine)).scalar()
        return int(at) if at is not None else self._begin()

    def _begin(self) -> int:
        head = select(func.max(MESSAGE_HEADS.c.seq)).where(MESSAGE_HEADS.c.firm_id == self._firm_id)
        with writing(self._engine) as connection:
            at = connection.execute(select(MESSAGE_READERS.c.seq).where(self._mine)).scalar()
            if at is None:
                at = connection.execute(head).scalar() or 0
                row = {"firm_id": self._firm_id, "name": self._name, "seq": at}
                connection.execute(insert(MESSAGE_READERS), row)
        return int(at)


def only_one(engine: Engine, name: str) -> AbstractContextManager[bool]:
    """The right to be the one process that does ``name``; False where another has it."""
    return held(engine, name)
