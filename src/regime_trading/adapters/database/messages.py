"""Messages of the live channel: published within somebody's transaction, read by whoever remembers a number."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, bindparam, delete, func, select, text, update

from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.message_tables import MESSAGE_HEADS, MESSAGE_READERS, MESSAGES
from regime_trading.core.audit import require_firm
from regime_trading.core.errors import BadInput
from regime_trading.core.messages import Message, Numbered

KEPT = 10_000  #: messages of a firm that are never dropped, however old
MOST = 20_000  #: about as many as a firm ever has: publishing drops the oldest beyond, a thousand at a time
_DROPS = 1_000
_TAKE = text(
    "INSERT INTO message_heads (firm_id, seq) VALUES (:firm, :taken)"
    " ON CONFLICT (firm_id) DO UPDATE SET seq = message_heads.seq + excluded.seq RETURNING seq"
)
_INSERT = MESSAGES.insert()
_AFTER = (
    select(MESSAGES)
    .where(MESSAGES.c.firm_id == bindparam("firm"), MESSAGES.c.seq > bindparam("after"))
    .order_by(MESSAGES.c.seq)
    .limit(bindparam("most"))
)
_HEADS = select(MESSAGE_HEADS.c.firm_id, MESSAGE_HEADS.c.seq).where(
    MESSAGE_HEADS.c.firm_id.in_(bindparam("firms", expanding=True))
)


def publish(connection: Connection, firm_id: str, messages: Sequence[Message]) -> None:
    """Number messages of a firm and store them, within the transaction of what they tell of.

    Writers take turns, so numbers rise in the order of commits, without gaps. Of a firm's messages at least the last
    ``KEPT`` stay, and not many more than ``MOST``.

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
    last: int = connection.execute(_TAKE, {"firm": firm_id, "taken": len(messages)}).scalar_one()
    rows = [
        {
            "firm_id": firm_id,
            "seq": seq,
            "ts_ns": message.ts_ns,
            "type": message.data.type,
            "account": message.account,
            "body": message.data.model_dump_json(),
        }
        for seq, message in enumerate(messages, last - len(messages) + 1)
    ]
    connection.execute(_INSERT, rows)
    if last // _DROPS != (last - len(messages)) // _DROPS:
        oldest = (MESSAGES.c.firm_id == firm_id) & (MESSAGES.c.seq <= last - MOST)
        connection.execute(delete(MESSAGES).where(oldest))


def message_heads(engine: Engine, firms: Sequence[str]) -> dict[str, int]:
    """The last number given out in each of ``firms`` that has one: one query, for whoever follows several."""
    with reading(engine) as connection:
        return {firm: int(seq) for firm, seq in connection.execute(_HEADS, {"firms": list(firms)})}


class SqlMessages:
    """The messages of one firm.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; messages about accounts of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def publish(self, messages: Sequence[Message]) -> None:
        """Store messages that tell of nothing but themselves (progress, logs).

        Raises
        ------
        BadInput
            A message about another firm's account.
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
            last = self._last(connection)
            return (last + 1 if first is None else int(first)), last

    def after(self, seq: int, limit: int = 1_000) -> tuple[Numbered, ...]:
        """Messages after ``seq`` in order, at most ``limit`` of them."""
        at = {"firm": self._firm_id, "after": seq, "most": limit}
        with reading(self._engine) as connection:
            return tuple(Numbered(**row._mapping) for row in connection.execute(_AFTER, at))

    def drop_before(self, ts_ns: int, keep: int = KEPT) -> int:
        """Drop the oldest messages, up to the first that is not older than ``ts_ns``, but for the last ``keep``; how
        many went. What stays has no holes."""
        mine = MESSAGES.c.firm_id == self._firm_id
        with writing(self._engine) as connection:
            young = select(func.min(MESSAGES.c.seq)).where(mine, MESSAGES.c.ts_ns >= ts_ns)
            last = self._last(connection)
            first_young = connection.execute(young).scalar()
            until = last if first_young is None else int(first_young) - 1
            gone = connection.execute(delete(MESSAGES).where(mine, MESSAGES.c.seq <= min(until, last - keep)))
            return int(gone.rowcount)

    # --- lasting readers ------------------------------------------------------------------------------------

    def read_by(self, name: str) -> int:
        """How far a lasting reader (notifications) has come; 0 where it never was here."""
        who = (MESSAGE_READERS.c.firm_id == self._firm_id) & (MESSAGE_READERS.c.name == name)
        with reading(self._engine) as connection:
            return int(connection.execute(select(MESSAGE_READERS.c.seq).where(who)).scalar() or 0)

    def mark_read(self, name: str, seq: int) -> None:
        """Remember that a lasting reader is done with everything up to ``seq``; it never goes back.

        Raises
        ------
        NotDurable
            A database that cannot write.
        """
        who = (MESSAGE_READERS.c.firm_id == self._firm_id) & (MESSAGE_READERS.c.name == name)
        with writing(self._engine) as connection:
            before = connection.execute(select(MESSAGE_READERS.c.seq).where(who)).scalar()
            if before is None:
                row = {"firm_id": self._firm_id, "name": name, "seq": seq}
                connection.execute(MESSAGE_READERS.insert(), row)
            elif seq > before:
                connection.execute(update(MESSAGE_READERS).where(who).values(seq=seq))

    def _last(self, connection: Connection) -> int:
        head = select(MESSAGE_HEADS.c.seq).where(MESSAGE_HEADS.c.firm_id == self._firm_id)
        return int(connection.execute(head).scalar() or 0)
