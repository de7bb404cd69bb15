"""Write-ahead audit rows: an event is durable here before anything that depends on it leaves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, delete, func, or_, select, tuple_

from regime_trading.adapters.database.engine import one_turn, reading, writing
from regime_trading.adapters.database.group import group_of
from regime_trading.adapters.database.locks import held
from regime_trading.adapters.database.messages import publish
from regime_trading.adapters.database.tables import SEALED_HEADS, WAL
from regime_trading.core.announcements import messages_of
from regime_trading.core.audit import (
    Backlog,
    ChainEntry,
    SealedHead,
    chain_of,
    continuation_fault,
    event_of,
    link,
    require_firm,
)
from regime_trading.core.canonical import GENESIS
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.schemas import AuditEvent, EventType, Mode, Receipt

CHUNK = 1_000  #: chains asked about in one statement

_OF_CHAIN = (WAL.c.chain_id == bindparam("chain")) & (WAL.c.firm_id == bindparam("firm"))
_ENTRY = (WAL.c.body, WAL.c.prev_hash, WAL.c.entry_hash)
_LAST = (
    select(WAL.c.seq, WAL.c.entry_hash, WAL.c.ts_event_ns)
    .where(_OF_CHAIN)
    .order_by(WAL.c.seq.desc())
    .limit(1)
)
_LATEST = (
    select(WAL.c.chain_id, func.max(WAL.c.seq))
    .where(WAL.c.chain_id.in_(bindparam("chains", expanding=True)))
    .group_by(WAL.c.chain_id)
)
_LASTS = select(WAL.c.chain_id, WAL.c.seq, WAL.c.entry_hash, WAL.c.ts_event_ns).where(
    tuple_(WAL.c.chain_id, WAL.c.seq).in_(_LATEST), WAL.c.firm_id == bindparam("firm")
)
_AFTER = select(*_ENTRY).where(_OF_CHAIN, WAL.c.seq > bindparam("after")).order_by(WAL.c.seq)
_LAST_OF = (
    select(WAL.c.seq, *_ENTRY)
    .where(_OF_CHAIN, WAL.c.event_type == bindparam("kind"))
    .order_by(WAL.c.seq.desc())
    .limit(1)
)
_BETWEEN = select(WAL.c.seq, WAL.c.body, WAL.c.entry_hash).where(
    _OF_CHAIN, WAL.c.seq.between(bindparam("first"), bindparam("last"))
)
_SEALED = select(SEALED_HEADS.c.seq, SEALED_HEADS.c.entry_hash, SEALED_HEADS.c.dropped_seq).where(
    SEALED_HEADS.c.chain_id == bindparam("chain"), SEALED_HEADS.c.firm_id == bindparam("firm")
)
_BACKLOG = (
    select(WAL.c.chain_id, func.count(), func.min(WAL.c.ts_event_ns))
    .outerjoin(SEALED_HEADS, SEALED_HEADS.c.chain_id == WAL.c.chain_id)
    .where(WAL.c.firm_id == bindparam("firm"), WAL.c.seq > func.coalesce(SEALED_HEADS.c.seq, 0))
    .group_by(WAL.c.chain_id)
    .order_by(WAL.c.chain_id)
)
_INSERT = WAL.insert()
_NO_HEAD = (0, GENESIS, -(2**63))


class SqlAuditLog:
    """Chains of one firm.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; chains of any other firm are refused.
    announce_dry_runs : bool
        Tell the live channel of dry runs as well: of paced ones, which people watch.
    """

    def __init__(self, engine: Engine, *, firm_id: str, announce_dry_runs: bool = False) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)
        self._dry_runs = announce_dry_runs

    def append(self, events: Sequence[AuditEvent]) -> tuple[Receipt, ...]:
        """Make events durable, all or none; one receipt per chain, in the order of their first events.

        Threads that append at the same time share a COMMIT; none returns before it.

        Raises
        ------
        BadInput
            An event of another firm.
        NotDurable
            A gap, a time that runs backwards, a body that differs from its columns or from the one already
            at its place, or a database that cannot write. Nothing was appended.
        """
        chains: dict[str, list[AuditEvent]] = {}
        for event in events:
            chains.setdefault(chain_of(event), []).append(event)
        found = group_of(self._engine).run(
            lambda connection: append_chains(
                connection, self._firm_id, chains, announce_dry_runs=self._dry_runs
            )
        )
        return tuple(found.values())

    def head(self, chain_id: str) -> tuple[int, str]:
        """Last sequence number (0 = none) and its entry hash (``GENESIS`` where there is none)."""
        require_chain_of(self._firm_id, chain_id)
        with reading(self._engine) as connection:
            return _heads(connection, self._firm_id, [chain_id]).get(chain_id, _NO_HEAD)[:2]

    def entries(self, chain_id: str, after_seq: int = 0, limit: int | None = None) -> tuple[ChainEntry, ...]:
        """Entries of a chain after ``after_seq``, in order, at most ``limit``.

        Raises
        ------
        BadInput
            Entries that are asked for have gone into the sealed record (:meth:`sealed`): they are never left out
            silently.
        """
        require_chain_of(self._firm_id, chain_id)
        at = {"chain": chain_id, "firm": self._firm_id, "after": after_seq}
        with reading(self._engine) as connection:
            gone = _sealed(connection, self._firm_id, chain_id).dropped_seq
            if after_seq < gone:
                raise BadInput(
                    expected=f"entries after {gone}: the earlier ones are in the sealed record",
                    found=f"entries after {after_seq}",
                    where=f"write-ahead rows of {chain_id}",
                )
            rows = connection.execute(_AFTER.limit(limit), at)
            return tuple(_entry(*row) for row in rows)

    def last(self, chain_id: str, event_type: EventType) -> ChainEntry | None:
        """Last entry of a kind; None where there is none. Of decisions it is never sealed away."""
        require_chain_of(self._firm_id, chain_id)
        at = {"chain": chain_id, "firm": self._firm_id, "kind": event_type.value}
        with reading(self._engine) as connection:
            row = connection.execute(_LAST_OF, at).one_or_none()
            return None if row is None else _entry(*row[1:])

    def turn(self) -> AbstractContextManager[None]:
        """The store to this thread alone: what it reads and writes within the block is one transaction."""
        return one_turn(self._engine)

    # --- sealing --------------------------------------------------------------------------------------------

    def sealed(self, chain_id: str) -> SealedHead:
        """How far a chain is sealed, and how far its rows have gone."""
        require_chain_of(self._firm_id, chain_id)
        with reading(self._engine) as connection:
            return _sealed(connection, self._firm_id, chain_id)

    def backlog(self, run_ids: Collection[str] = ()) -> tuple[Backlog, ...]:
        """Chains with entries that are not sealed yet, by name: of dry runs only those of ``run_ids``, since others are
        sealed by whoever runs them, and those of the gate are not."""
        chain = WAL.c.chain_id
        own = [chain.startswith(f"{Mode.DRY_RUN}/{run_id}/", autoescape=True) for run_id in run_ids]
        meant = or_(chain.not_like(f"{Mode.DRY_RUN}/%"), *own)
        with reading(self._engine) as connection:
            rows = connection.execute(_BACKLOG.where(meant), {"firm": self._firm_id})
            return tuple(Backlog(*row) for row in rows)

    def drop_sealed(self, chain_id: str, seq: int, entry_hash: str) -> int:
        """Forget rows up to ``seq``, which the caller has read back from the sealed record; returns how many went.

        The last decision and what follows it stay, so that the chain goes on from here, and a decision that is sent
        again is recognised.

        Raises
        ------
        NotDurable
            ``seq`` is not stored with ``entry_hash``, or a database that cannot write; nothing was dropped.
        """
        require_chain_of(self._firm_id, chain_id)
        at = {"chain": chain_id, "firm": self._firm_id}

        def work(connection: Connection) -> int:
            found = list(connection.execute(_BETWEEN, at | {"first": seq, "last": seq}))
            if [row.entry_hash for row in found] != [entry_hash]:
                raise NotDurable(f"chain {chain_id}, entry {seq}: not stored with the hash that was sealed")
            kept = _tail_start(connection, at, seq)
            gone = connection.execute(
                delete(WAL).where(
                    WAL.c.chain_id == chain_id, WAL.c.firm_id == self._firm_id, WAL.c.seq < kept
                )
            ).rowcount
            _write_sealed(connection, self._firm_id, chain_id, SealedHead(seq, entry_hash, kept - 1))
            return gone

        with writing(self._engine) as connection:
            return work(connection)

    def sealing(self) -> AbstractContextManager[bool]:
        """Exclusive right to seal this firm's chains, across processes; False where somebody else has it."""
        return held(self._engine, f"seal:{self._firm_id}")


def append_chains(
    connection: Connection,
    firm_id: str,
    events_of: Mapping[str, Sequence[AuditEvent]],
    *,
    announce_dry_runs: bool = False,
) -> dict[str, Receipt]:
    """Append consecutive events of several chains inside the caller's transaction; a receipt by chain.

    Events already there with the same bytes are left as they are. What is new is told on the live channel
    (:func:`~regime_trading.core.announcements.messages_of`); of dry runs only where the caller says so.
    """
    for chain in events_of:
        require_chain_of(firm_id, chain)
    heads = _heads(connection, firm_id, list(events_of))
    rows: list[dict[str, Any]] = []
    told: list[AuditEvent] = []
    receipts: dict[str, Receipt] = {}
    for chain, events in events_of.items():
        seq, head, ts_ns = heads.get(chain, _NO_HEAD)
        new = [event for event in events if event.seq > seq]
        known = events[: len(events) - len(new)]
        receipts[chain] = _require_same(connection, firm_id, chain, known)
        if not new:
            continue
        fault = continuation_fault(new, chain, seq, ts_ns)
        if fault or list(events[len(known) :]) != new:
            raise NotDurable(f"chain {chain}, {fault or 'entries out of order'}")
        entries = link(new, head)
        rows.extend(_row(chain, entry) for entry in entries)
        receipts[chain] = Receipt(chain, new[-1].seq, entries[-1].entry_hash)
        if announce_dry_runs or new[0].env != Mode.DRY_RUN:
            told.extend(new)
    if rows:
        connection.execute(_INSERT, rows)
    publish(connection, firm_id, messages_of(told))
    return receipts


def append_chain(
    connection: Connection, firm_id: str, chain_id: str, events: Sequence[AuditEvent]
) -> Receipt:
    """As :func:`append_chains`, of one chain."""
    return append_chains(connection, firm_id, {chain_id: events})[chain_id]


def require_chain_of(firm_id: str, chain_id: str) -> None:
    """Refuse a chain of another tenant.

    Raises
    ------
    BadInput
        ``chain_id`` does not belong to ``firm_id``.
    """
    if chain_id.split("/")[-2:-1] != [firm_id]:
        raise BadInput(expected=f"a chain of firm {firm_id}", found=chain_id, where="chain_id")


def chunks(items: Iterable[Any], size: int = CHUNK) -> Iterator[list[Any]]:
    """``items`` in lists of at most ``size``."""
    left = iter(items)
    while taken := list(islice(left, size)):
        yield taken


def firms_with_entries(engine: Engine) -> tuple[str, ...]:
    """Every firm that has write-ahead rows, for the operator of the store."""
    with reading(engine) as connection:
        found = connection.execute(select(WAL.c.firm_id).distinct().order_by(WAL.c.firm_id))
        return tuple(found.scalars())


def _heads(connection: Connection, firm_id: str, chains: Sequence[str]) -> dict[str, tuple[int, str, int]]:
    """Sequence number, hash and time of the last entry of each chain that has one."""
    if len(chains) == 1:
        row = connection.execute(_LAST, {"chain": chains[0], "firm": firm_id}).one_or_none()
        return {} if row is None else {chains[0]: (row[0], row[1], row[2])}
    found: dict[str, tuple[int, str, int]] = {}
    for some in chunks(chains):
        for chain, seq, entry_hash, ts_ns in connection.execute(_LASTS, {"chains": some, "firm": firm_id}):
            found[chain] = (seq, entry_hash, ts_ns)
    return found


def _require_same(
    connection: Connection, firm_id: str, chain_id: str, events: Sequence[AuditEvent]
) -> Receipt:
    """Receipt of the last of ``events``, all of which must be stored with these very bytes."""
    if not events:
        return Receipt(chain_id, 0, GENESIS)
    gone = _sealed(connection, firm_id, chain_id).dropped_seq
    if events[0].seq <= gone:
        raise NotDurable(f"chain {chain_id}, entry {events[0].seq}: entries up to {gone} are sealed already")
    at = {"chain": chain_id, "firm": firm_id, "first": events[0].seq, "last": events[-1].seq}
    rows = connection.execute(_BETWEEN, at)
    stored = {seq: (body, entry_hash) for seq, body, entry_hash in rows}
    for event in events:
        if event.seq not in stored or stored[event.seq][0] != event.body or event_of(event.body) != event:
            raise NotDurable(f"chain {chain_id}, entry {event.seq}: its place is taken by a different entry")
    return Receipt(chain_id, events[-1].seq, stored[events[-1].seq][1])


def _sealed(connection: Connection, firm_id: str, chain_id: str) -> SealedHead:
    row: Row[Any] | None = connection.execute(_SEALED, {"chain": chain_id, "firm": firm_id}).one_or_none()
    return SealedHead(0, GENESIS, 0) if row is None else SealedHead(*row)


def _tail_start(connection: Connection, at: dict[str, Any], seq: int) -> int:
    """First row that stays: the last decision, at most ``seq``, which itself stays in a chain without decisions."""
    row = connection.execute(_LAST_OF, at | {"kind": EventType.DECISION.value}).one_or_none()
    return seq if row is None else min(seq, int(row[0]))


def _write_sealed(connection: Connection, firm_id: str, chain_id: str, head: SealedHead) -> None:
    """Replace what is said of a chain; it never goes back."""
    before = _sealed(connection, firm_id, chain_id)
    if head.seq < before.seq or head.dropped_seq < before.dropped_seq:
        raise NotDurable(f"chain {chain_id} is sealed up to {before.seq} already, asked for {head.seq}")
    key = (SEALED_HEADS.c.chain_id == chain_id) & (SEALED_HEADS.c.firm_id == firm_id)
    connection.execute(delete(SEALED_HEADS).where(key))
    values = {"seq": head.seq, "entry_hash": head.entry_hash, "dropped_seq": head.dropped_seq}
    connection.execute(SEALED_HEADS.insert(), {"chain_id": chain_id, "firm_id": firm_id} | values)


def _entry(body: bytes, prev_hash: str, entry_hash: str) -> ChainEntry:
    return ChainEntry(event_of(body), prev_hash, entry_hash)


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
