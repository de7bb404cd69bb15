"""What metrics tell of the store: counts and ages over every firm, none of which names anybody."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, Select, func, select

from regime_trading.adapters.database.approval_tables import APPROVALS
from regime_trading.adapters.database.control_tables import CONTROLS
from regime_trading.adapters.database.engine import reading
from regime_trading.adapters.database.job_tables import JOBS, WORKERS
from regime_trading.adapters.database.message_tables import MESSAGE_HEADS, MESSAGE_READERS
from regime_trading.adapters.database.tables import ACCOUNT_STATE, WAL
from regime_trading.core.approvals import ApprovalStatus
from regime_trading.core.jobs import WAITING
from regime_trading.core.schemas import Mode

ALIVE_NS = 15_000_000_000
_SECOND_NS = 1_000_000_000
Values = Mapping[tuple[str, ...], float]


def store_gauges(engine: Engine, now_ns: int) -> dict[str, Values]:
    """Values by labels, by metric, as of now; a metric without a value is left out.

    Raises
    ------
    StoreDown
        The database cannot be read.
    """
    with reading(engine) as connection:
        wanted = APPROVALS.c.status == ApprovalStatus.REQUESTED.value
        waiting = wanted & (APPROVALS.c.expires_ns > now_ns)
        outside_dry_runs = WAL.c.chain_id.not_like(f"{Mode.DRY_RUN}/%")
        behind = select(func.max(MESSAGE_HEADS.c.seq - MESSAGE_READERS.c.seq)).join_from(
            MESSAGE_READERS, MESSAGE_HEADS, MESSAGE_HEADS.c.firm_id == MESSAGE_READERS.c.firm_id
        )
        numbers: dict[str, Select[tuple[int]]] = {
            "regime_decisions_total": select(func.coalesce(func.max(ACCOUNT_STATE.c.state_no), 0)),
            "regime_unsealed_entries": select(func.count()).select_from(WAL),
            "regime_workers": select(func.count()).where(WORKERS.c.seen_ns > now_ns - ALIVE_NS),
            "regime_requests_waiting": select(func.count()).where(waiting),
            "regime_messages_total": select(func.coalesce(func.sum(MESSAGE_HEADS.c.seq), 0)),
            "regime_notices_behind": behind,
        }
        since: dict[str, Select[tuple[int]]] = {
            "regime_last_entry_seconds": select(func.max(WAL.c.ts_event_ns)).where(outside_dry_runs),
            "regime_oldest_queued_job_seconds": select(func.min(JOBS.c.created_ns)).where(
                JOBS.c.status.in_([one.value for one in WAITING])
            ),
            "regime_oldest_request_seconds": select(func.min(APPROVALS.c.created_ns)).where(waiting),
        }
        jobs = select(JOBS.c.kind, JOBS.c.status, func.count()).group_by(JOBS.c.kind, JOBS.c.status)
        halts = (
            select(CONTROLS.c.level, func.count())
            .where(CONTROLS.c.cleared_ns.is_(None))
            .group_by(CONTROLS.c.level)
        )
        found: dict[str, Values] = {
            "regime_jobs": {
                (str(kind), str(status)): float(n) for kind, status, n in connection.execute(jobs)
            },
            "regime_halts": {(f"K{level}",): float(n) for level, n in connection.execute(halts)},
        }
        for name, query in numbers.items():
            if (number := _number(connection, query)) is not None:
                found[name] = {(): float(number)}
        for name, query in since.items():
            if (at_ns := _number(connection, query)) is not None:
                found[name] = {(): (now_ns - at_ns) / _SECOND_NS}
    return found


def _number(connection: Connection, query: Select[tuple[int]]) -> int | None:
    found = connection.execute(query).scalar()
    return None if found is None else int(found)
