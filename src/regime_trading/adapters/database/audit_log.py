"""Write-ahead audit rows: an event is durable here before anything that depends on it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select

from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.tables import WAL
from regime_trading.core.audit import ChainEntry, chain_of, event_of, link, require_firm, verify_chain
from regime_trading.core.canonical import GENESIS
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.schemas import AuditEvent, Receipt

_OF_CHAIN = (WAL.c.chain_id == bindparam("chain")) & (WAL.c.firm_id == bindparam("firm"))
_LAST = (
    select(WAL.c.seq, WAL.c.entry_hash, WAL.c.ts_event_ns)
    .where(_OF_CHAIN)
    .order_by(WAL.c.seq.desc())
    .limit(1)
)
_AFTER = (
    select(WAL.c.body, WAL.c.prev_hash, WAL.c.entry_hash)
    .where(_OF_CHAIN, WAL.c.seq > bindparam("after"))
    .order_by(WAL.c.seq)
)
_BETWEEN = select(WAL.c.seq, WAL.c.body, WAL.c.entry_hash).where(
    _OF_CHAIN, WAL.c.seq.between(bindparam("first"), bindparam("last"))
)
_INSERT = WAL.insert()


class SqlAuditLog:
    """Chains of one firm.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; chains of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def append(self, events: Sequence[AuditEvent]) -> tuple[Receipt, ...]:
        """Make events durable, all or none; one receipt per chain, in the order of their first events.

        Raises
        ------
        BadInput
            An event of another firm.
        NotDurable
            A gap, a time that runs backwards, a body that differs from its columns or from the one already
            at its place, or a database that cannot write. Nothing was appended.
        """
        chains = dict.fromkeys(map(chain_of, events))
        with writing(self._engine) as connection:
            return tuple(
                append_chain(connection, self._firm_id, chain, [e for e in events if chain_of(e) == chain])
                for chain in chains
            )

    def head(self, chain_id: str) -> tuple[int, str]:
        """Last sequence number (0 = none) and its entry hash (``GENESIS`` where there is none)."""
        require_chain_of(self._firm_id, chain_id)
        with reading(self._engine) as connection:
            seq, entry_hash, _ = _head(connection, self._firm_id, chain_id)
        return seq, entry_hash

    def entries(self, chain_id: str, after_seq: int = 0) -> tuple[ChainEntry, ...]:
        """Entries of a chain after ``after_seq``, in order."""
        require_chain_of(self._firm_id, chain_id)
        at = {"chain": chain_id, "firm": self._firm_id, "after": after_seq}
        with reading(self._engine) as connection:
            return tuple(
                ChainEntry(event_of(body), prev_hash, entry_hash)
                for body, prev_hash, entry_hash in connection.execute(_AFTER, at)
            )


def append_chain(
    connection: Connection, firm_id: str, chain_id: str, events: Sequence[AuditEvent]
) -> Receipt:
    """Append consecutive events of one chain inside the caller's transaction.

    Events already there with the same bytes are left as they are.
    """
    require_chain_of(firm_id, chain_id)
    head_seq, head_hash, head_ns = _head(connection, firm_id, chain_id)
    known = [event for event in events if event.seq <= head_seq]
    new = events[len(known) :]
    last = _require_same(connection, firm_id, chain_id, known)
    if not new:
        return last
    entries = link(new, head_hash)
    check = verify_chain(
        entries, chain=chain_id, first_seq=head_seq + 1, prev_hash=head_hash, not_before_ns=head_ns
    )
    if not check.ok:
        raise NotDurable(f"chain {chain_id}, entry {check.first_bad}: {check.reason}")
    connection.execute(_INSERT, [_row(chain_id, entry) for entry in entries])
    return Receipt(chain_id, new[-1].seq, check.head)


def require_chain_of(firm_id: str, chain_id: str) -> None:
    """Refuse a chain of another tenant.

    Raises
    ------
    BadInput
        ``chain_id`` does not belong to ``firm_id``.
    """
    if chain_id.split("/")[-2:-1] != [firm_id]:
        raise BadInput(expected=f"a chain of firm {firm_id}", found=chain_id, where="chain_id")


def _head(connection: Connection, firm_id: str, chain_id: str) -> tuple[int, str, int]:
    """Sequence number, hash and time of the last entry."""
    row = connection.execute(_LAST, {"chain": chain_id, "firm": firm_id}).one_or_none()
    return (0, GENESIS, -(2**63)) if row is None else (row.seq, row.entry_hash, row.ts_event_ns)


def _require_same(
    connection: Connection, firm_id: str, chain_id: str, events: Sequence[AuditEvent]
) -> Receipt:
    """Receipt of the last of ``events``, all of which must be stored with these very bytes."""
    if not events:
        return Receipt(chain_id, 0, GENESIS)
    at = {"chain": chain_id, "firm": firm_id, "first": events[0].seq, "last": events[-1].seq}
    stored = {seq: (body, entry_hash) for seq, body, entry_hash in connection.execute(_BETWEEN, at)}
    for event in events:
        if event.seq not in stored or stored[event.seq][0] != event.body or event_of(event.body) != event:
            raise NotDurable(f"chain {chain_id}, entry {event.seq}: its place is taken by a different entry")
    return Receipt(chain_id, events[-1].seq, stored[events[-1].seq][1])


def _row(chain_id: str, entry: ChainEntry) -> dict[str, Any]:
    event = entry.event
    return {
        "chain_id": chain_id,
        "seq": event.seq,
        "firm_id": event.firm_id,
        "event_type": event.event_type,
        "ts_event_ns": event.ts_event_ns,
        "body": event.body,
        "prev_hash": entry.prev_hash,
        "entry_hash": entry.entry_hash,
    }
