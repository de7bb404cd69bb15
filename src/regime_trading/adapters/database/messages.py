"""Messages of the live channel: published within somebody's transaction, read by whoever remembers a number."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.message_tables import MESSAGE_HEADS, MESSAGES
from regime_trading.core.audit import require_firm
from regime_trading.core.errors import BadInput
from regime_trading.core.messages import Message, Numbered


def publish(connection: Connection, firm_id: str, messages: Sequence[Message]) -> None:
    """Number messages of a firm and store them, within the transaction of what they tell of.

    Writers take turns, so numbers rise in the order of commits, without gaps.

    Raises
    ------
    BadInput
        A message about another firm's account.
    """
    if not messages:
        return
    for message in messages:
        if message.account and message.account.split("/")[0] != firm_id:
            raise BadInput(expected=f"an account of firm {firm_id}", found=message.account, where="message")
    mine = MESSAGE_HEADS.c.firm_id == firm_id
    last = connection.execute(select(MESSAGE_HEADS.c.seq).where(mine)).scalar()
    after = (last or 0) + len(messages)
    if last is None:
        connection.execute(insert(MESSAGE_HEADS), {"firm_id": firm_id, "seq": after})
    else:
        connection.execute(update(MESSAGE_HEADS).where(mine).values(seq=after))
    rows = [
        {
            "firm_id": firm_id,
            "seq": (last or 0) + n,
            "ts_ns": message.ts_ns,
            "type": message.data.type,
            "account": message.account,
            "body": message.data.model_dump_json(),
        }
        for n, message in enumerate(messages, 1)
    ]
    connection.execute(insert(MESSAGES), rows)


class SqlMessages:
    """The messages of one firm.

    Parameters
    ----------
    engine : Engine
    firm_id : str
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def publish(self, messages: Sequence[Message]) -> None:
        """Store messages that tell of nothing but themselves (progress, logs).

        Raises
        ------
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        with writing(self._engine) as connection:
            publish(connection, self._firm_id, messages)

    def span(self) -> tuple[int, int]:
        """Number of the oldest message that is kept and of the last one given out; (1, 0) where there is none."""
        with reading(self._engine) as connection:
            mine = MESSAGES.c.firm_id == self._firm_id
            first = connection.execute(select(func.min(MESSAGES.c.seq)).where(mine)).scalar()
            head = select(MESSAGE_HEADS.c.seq).where(MESSAGE_HEADS.c.firm_id == self._firm_id)
            last = connection.execute(head).scalar() or 0
            return (last + 1 if first is None else int(first)), int(last)

    def after(self, seq: int, limit: int = 1_000) -> tuple[Numbered, ...]:
        """Messages after ``seq`` in order, at most ``limit`` of them."""
        query = (
            select(MESSAGES)
            .where(MESSAGES.c.firm_id == self._firm_id, MESSAGES.c.seq > seq)
            .order_by(MESSAGES.c.seq)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return tuple(Numbered(**row._mapping) for row in connection.execute(query))

    def drop_before(self, ts_ns: int, keep: int = 10_000) -> int:
        """Drop messages older than ``ts_ns`` but for the last ``keep``; how many went."""
        with writing(self._engine) as connection:
            head = select(MESSAGE_HEADS.c.seq).where(MESSAGE_HEADS.c.firm_id == self._firm_id)
            last = connection.execute(head).scalar() or 0
            old = (MESSAGES.c.firm_id == self._firm_id) & (MESSAGES.c.ts_ns < ts_ns)
            gone = connection.execute(delete(MESSAGES).where(old, MESSAGES.c.seq <= last - keep))
            return int(gone.rowcount)
