"""Reading write-ahead rows of a firm that are not sealed yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Engine, and_, bindparam, func, not_, select

from regime_trading.adapters.database.engine import reading
from regime_trading.adapters.database.tables import WAL
from regime_trading.core.audit import require_firm
from regime_trading.core.recorded import WRITE_AHEAD, Recorded, Selection

Spans = Sequence[tuple[int, int]]


class SqlRecorded:
    """Write-ahead rows of one firm.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def chains(self) -> tuple[str, ...]:
        """Chains that have rows here, sorted."""
        with reading(self._engine) as connection:
            return tuple(name for name in _chains(connection) if name.split("/")[-2] == self._firm_id)

    def entries(self, chain_id: str, wanted: Selection, sealed: Spans) -> Iterator[Recorded]:
        """Rows of a chain that fit and lie outside the ``sealed`` spans of sequence numbers, in sequence."""
        w = WAL.c
        conditions = [w.firm_id == self._firm_id, w.chain_id == chain_id]
        conditions += [w.ts_event_ns.between(wanted.from_ns, wanted.to_ns)]
        conditions += [not_(and_(w.seq >= first, w.seq <= last)) for first, last in _merged(sealed)]
        if wanted.kinds:
            conditions.append(w.event_type.in_(wanted.kinds))
        query = (
            select(w.seq, w.ts_event_ns, w.event_type, w.body, w.prev_hash, w.entry_hash)
            .where(*conditions)
            .order_by(w.seq)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        mentions = wanted.mentions.encode()
        for seq, ts_ns, kind, body, before, own in rows:
            if mentions in body and (not wanted.run_id or _of_run(body, wanted.run_id)):
                yield Recorded(chain_id, seq, ts_ns, kind, "", body, before, own, WRITE_AHEAD)

    def hashes(self, chain_id: str) -> list[tuple[int, str]]:
        """Sequence number and entry hash of the rows of a chain, in sequence."""
        query = (
            select(WAL.c.seq, WAL.c.entry_hash)
            .where(WAL.c.firm_id == self._firm_id, WAL.c.chain_id == chain_id)
            .order_by(WAL.c.seq)
        )
        with reading(self._engine) as connection:
            return [(seq, own) for seq, own in connection.execute(query)]


def recorded_firms(engine: Engine) -> tuple[str, ...]:
    """Firms that have write-ahead rows, sorted."""
    with reading(engine) as connection:
        return tuple(sorted({name.split("/")[-2] for name in _chains(connection)}))


def _chains(connection: Connection) -> Iterator[str]:
    """Every chain, from one to the next along the primary key: the rows themselves are not read."""
    query = select(func.min(WAL.c.chain_id)).where(WAL.c.chain_id > bindparam("last"))
    last = ""
    while (found := connection.execute(query, {"last": last}).scalar_one()) is not None:
        yield (last := found)


def _of_run(body: bytes, run_id: str) -> bool:
    return f'"run_id":"{run_id}"'.encode() in body


def _merged(spans: Spans) -> list[tuple[int, int]]:
    """Spans with those that meet joined."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined
