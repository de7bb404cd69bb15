"""RL rows of decisions that are made one by one, from the COMMIT of the decision until they are sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, func, or_, select, update

from regime_trading.adapters.database.audit_log import chunks
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.tables import RL_ROWS, SEALED_HEADS, WAL
from regime_trading.core.audit import Backlog, event_of, require_firm, trail_of
from regime_trading.core.rl_rows import RLDecision, RLUnsealed, RLWaiting
from regime_trading.core.schemas import AuditEvent, EventType, Mode

_ROW = (
    RL_ROWS.c.row_no, RL_ROWS.c.account, RL_ROWS.c.run_id, RL_ROWS.c.env, RL_ROWS.c.seq, RL_ROWS.c.ts_event_ns,
    RL_ROWS.c.body,
)  # fmt: skip
_NEWEST = (
    select(func.max(RL_ROWS.c.row_no))
    .where(
        RL_ROWS.c.firm_id == bindparam("firm"),
        RL_ROWS.c.trail.in_(bindparam("trails", expanding=True)),
    )
    .group_by(RL_ROWS.c.trail)
)
_ENDS = select(RL_ROWS.c.trail, RL_ROWS.c.open_end).where(RL_ROWS.c.row_no.in_(_NEWEST))
_WAITING = (
    select(*_ROW)
    .where(RL_ROWS.c.firm_id == bindparam("firm"), RL_ROWS.c.sealed.is_(False))
    .order_by(RL_ROWS.c.row_no)
)
_DRY = RL_ROWS.c.env == Mode.DRY_RUN.value
#: The entry of the decision is sealed, or it is the gate's dry run, whose entries stay in the store.
_MAY_GO = or_(RL_ROWS.c.seq <= SEALED_HEADS.c.seq, _DRY & (RL_ROWS.c.trail != RL_ROWS.c.chain_id))
_SEALABLE = _WAITING.outerjoin(SEALED_HEADS, SEALED_HEADS.c.chain_id == RL_ROWS.c.chain_id).where(_MAY_GO)
_BACKLOG = (
    select(RL_ROWS.c.trail, func.count(), func.min(RL_ROWS.c.ts_event_ns))
    .outerjoin(SEALED_HEADS, SEALED_HEADS.c.chain_id == RL_ROWS.c.chain_id)
    .where(RL_ROWS.c.firm_id == bindparam("firm"), RL_ROWS.c.sealed.is_(False), _MAY_GO)
    .group_by(RL_ROWS.c.trail)
    .order_by(RL_ROWS.c.trail)
)
_RUN = (RL_ROWS.c.account, RL_ROWS.c.run_id, RL_ROWS.c.env)
_UNSEALED = (
    select(*_RUN, func.count(), func.min(RL_ROWS.c.ts_event_ns), func.max(RL_ROWS.c.ts_event_ns))
    .where(RL_ROWS.c.firm_id == bindparam("firm"), RL_ROWS.c.sealed.is_(False))
    .group_by(*_RUN)
    .order_by(*_RUN)
)
_DRY_RUNS = (
    select(RL_ROWS.c.run_id)
    .where(RL_ROWS.c.firm_id == bindparam("firm"), _DRY, RL_ROWS.c.trail == RL_ROWS.c.chain_id)
    .distinct()
    .order_by(RL_ROWS.c.run_id)
)
_DECISIONS = (
    select(WAL.c.body)
    .where(WAL.c.firm_id == bindparam("firm"), WAL.c.event_type == EventType.DECISION.value)
    .order_by(WAL.c.chain_id, WAL.c.seq)
)


class SqlRLLog:
    """RL rows of one firm that are not sealed yet.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def waiting(self) -> tuple[tuple[RLWaiting, ...], tuple[AuditEvent, ...]]:
        """All rows that are not sealed, and all decisions whose entries lie in the store, as of one instant."""
        with reading(self._engine) as connection:
            rows = self._rows(connection.execute(_WAITING, {"firm": self._firm_id}))
            bodies = connection.execute(_DECISIONS, {"firm": self._firm_id}).scalars()
            return rows, tuple(event_of(body) for body in bodies)

    def unsealed(self) -> tuple[RLUnsealed, ...]:
        """Of every run with rows that are not sealed, how many there are; by account and run."""
        with reading(self._engine) as connection:
            return tuple(RLUnsealed(*row) for row in connection.execute(_UNSEALED, {"firm": self._firm_id}))

    def sealable(self, limit: int) -> tuple[RLWaiting, ...]:
        """The oldest rows that are not sealed though the entries of their decisions are, or never will be: those of the
        gate's dry runs."""
        with reading(self._engine) as connection:
            return self._rows(connection.execute(_SEALABLE.limit(limit), {"firm": self._firm_id}))

    def backlog(self) -> tuple[Backlog, ...]:
        """How many rows are sealable, by trail."""
        with reading(self._engine) as connection:
            rows = connection.execute(_BACKLOG, {"firm": self._firm_id})
            return tuple(Backlog(*row) for row in rows)

    def dry_runs(self) -> tuple[str, ...]:
        """Paced runs, whose entries are sealed as well: a row of each stays in the store."""
        with reading(self._engine) as connection:
            return tuple(connection.execute(_DRY_RUNS, {"firm": self._firm_id}).scalars())

    def drop_sealed(self, rows: Sequence[RLWaiting]) -> None:
        """Forget rows, which the caller has sealed; the last of each trail stays, so that the next decision can close
        it.

        Raises
        ------
        NotDurable
            A database that cannot write; nothing was dropped.
        """
        own = RL_ROWS.c.firm_id == self._firm_id
        with writing(self._engine) as connection:
            for some in chunks([row.row_no for row in rows]):
                connection.execute(update(RL_ROWS).where(own, RL_ROWS.c.row_no.in_(some)).values(sealed=True))
            for some in chunks({trail_of(r.env, r.run_id, r.firm_id, r.account_id) for r in rows}):
                these = own & RL_ROWS.c.trail.in_(some)
                kept = select(func.max(RL_ROWS.c.row_no)).where(these).group_by(RL_ROWS.c.trail)
                gone = these & RL_ROWS.c.sealed.is_(True) & RL_ROWS.c.row_no.not_in(kept)
                connection.execute(delete(RL_ROWS).where(gone))

    def _rows(self, found: Any) -> tuple[RLWaiting, ...]:
        return tuple(
            RLWaiting(row_no, *account.split("/"), run_id, env, seq, ts_ns, body)
            for row_no, account, run_id, env, seq, ts_ns, body in found
        )


def open_ends(connection: Connection, firm_id: str, trails: Sequence[str]) -> dict[str, bytes]:
    """By trail what its last decision left open."""
    found: dict[str, bytes] = {}
    for some in chunks(trails):
        asked = {"firm": firm_id, "trails": some}
        found |= {trail: end.encode() for trail, end in connection.execute(_ENDS, asked)}
    return found


def insert_rl(connection: Connection, rows: Sequence[tuple[Mapping[str, Any], RLDecision]]) -> None:
    """Write the rows of new decisions inside the caller's transaction; each with whose it is."""
    values = [
        {
            **whose,
            "seq": rl.seq,
            "ts_event_ns": rl.ts_event_ns,
            "sealed": False,
            "open_end": rl.open_end.decode(),
            "body": rl.body,
        }
        for whose, rl in rows
    ]
    if values:
        connection.execute(RL_ROWS.insert(), values)
