"""Jobs as rows: asked for once, held by one worker at a time, each step one transaction with what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, delete, func, insert, select, tuple_, update

from regime_trading.adapters.database.audit_log import append_chain
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.job_tables import JOB_LINES, JOBS, SCHEDULES_FIRED, WORKERS
from regime_trading.adapters.database.messages import publish
from regime_trading.core.audit import PLATFORM, chain_of, require_firm, require_ident
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.jobs import (
    HELD,
    MAX_LINES,
    WAITING,
    Hold,
    Job,
    JobKind,
    JobStatus,
    Step,
    TooManyJobs,
    claimed,
    lost,
    status_message,
)
from regime_trading.core.messages import Message
from regime_trading.core.schemas import AuditEvent

_NEWEST = (JOBS.c.created_ns.desc(), JOBS.c.job_id.desc())


class SqlJobs:
    """Jobs of one firm.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def add(self, job: Job, *, max_waiting: int | None, events: Sequence[AuditEvent] = ()) -> Job:
        """Queue a job, or return the one that is there under its id.

        Parameters
        ----------
        job : Job
        max_waiting : int, optional
            How many jobs whoever asks may have waiting in this firm; None = as many as there are.
        events : sequence of AuditEvent
            Consecutive entries of one chain that tell of it.

        Raises
        ------
        BadInput
            Another firm's job, or one of this id that asks for something else.
        TooManyJobs
            Whoever asks has ``max_waiting`` waiting.
        NotDurable
            A database that cannot write. Nothing was queued.
        """
        self._require_own(job)
        with writing(self._engine) as connection:
            return insert_job(connection, job, max_waiting, events)

    def fire(self, basket: str, after_ns: int | None, slot_ns: int, jobs: Sequence[Job]) -> bool:
        """Move a basket's schedule on, with the jobs of that, in one transaction.

        Parameters
        ----------
        basket : str
        after_ns : int, optional
            The slot it is thought to stand at; None before the first.
        slot_ns : int
            The slot it moves to, later than that.
        jobs : sequence of Job
            Those of the slot, the one that runs it last; some may have ended already (a slot that was missed).

        Returns
        -------
        bool
            False where it stands somewhere else, by whichever process. Nothing happened then.

        Raises
        ------
        BadInput, NotDurable
            As :meth:`add`.
        """
        require_ident(basket, "basket")
        for job in jobs:
            self._require_own(job)
        row = {"firm_id": self._firm_id, "basket": basket, "slot_ns": slot_ns}
        with writing(self._engine) as connection:
            if self._last_slot(connection, basket) != after_ns:
                return False
            connection.execute(insert(SCHEDULES_FIRED), row | {"job_id": jobs[-1].job_id if jobs else ""})
            for job in jobs:
                insert_job(connection, job, None, ())
            return True

    def last_slot(self, basket: str) -> int | None:
        """Latest slot of a basket that was fired, UTC nanoseconds; None where there is none."""
        with reading(self._engine) as connection:
            return self._last_slot(connection, basket)

    def _last_slot(self, connection: Connection, basket: str) -> int | None:
        query = select(func.max(SCHEDULES_FIRED.c.slot_ns)).where(
            SCHEDULES_FIRED.c.firm_id == self._firm_id, SCHEDULES_FIRED.c.basket == basket
        )
        found = connection.execute(query).scalar()
        return None if found is None else int(found)

    def get(self, job_id: str) -> Job | None:
        """The job of that id; None where there is none in this firm."""
        with reading(self._engine) as connection:
            return _job(connection, self._firm_id, job_id)

    def page(
        self,
        *,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 50,
    ) -> tuple[Job, ...]:
        """Jobs from the newest on, at most ``limit``, of those before ``(created_ns, job_id)``."""
        query = self._rows().order_by(*_NEWEST).limit(limit)
        if status is not None:
            query = query.where(JOBS.c.status == status.value)
        if kind is not None:
            query = query.where(JOBS.c.kind == kind.value)
        if before is not None:
            query = query.where(tuple_(JOBS.c.created_ns, JOBS.c.job_id) < tuple_(*before))
        with reading(self._engine) as connection:
            return tuple(_read(row) for row in connection.execute(query).mappings())

    def lines(self, job_id: str, after: int = 0, limit: int = 500) -> tuple[tuple[int, int, str], ...]:
        """Lines of a job's log after number ``after``: number, UTC nanoseconds, text."""
        query = (
            select(JOB_LINES.c.line_no, JOB_LINES.c.ts_ns, JOB_LINES.c.line)
            .where(JOB_LINES.c.firm_id == self._firm_id, JOB_LINES.c.job_id == job_id)
            .where(JOB_LINES.c.line_no > after)
            .order_by(JOB_LINES.c.line_no)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return tuple((int(n), int(ts), str(line)) for n, ts, line in connection.execute(query))

    def change(
        self,
        job_id: str,
        step: Step,
        now_ns: int,
        *,
        hold: Hold | None = None,
        lines: Sequence[str] = (),
        messages: Sequence[Message] = (),
        events: Sequence[AuditEvent] = (),
    ) -> Job | None:
        """One step of a job, with what it tells, in one transaction.

        Parameters
        ----------
        job_id : str
        step : callable
            Takes the job as it is stored, returns it as it shall be.
        now_ns : int
            UTC nanoseconds.
        hold : Hold, optional
            Whose step it is: nothing happens where that worker no longer holds that attempt.
        lines : sequence of str
            For its log.
        messages : sequence of Message
            Beside the message of its status, which is made here where anything of it changed.
        events : sequence of AuditEvent
            Consecutive entries of one chain.

        Returns
        -------
        Job or None
            As it is stored now; None where it is somebody else's, or nobody's.

        Raises
        ------
        BadInput
            No such job, or what ``step`` raises.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        with writing(self._engine) as connection:
            job = _job(connection, self._firm_id, job_id)
            if job is None:
                raise BadInput(expected=f"a job of firm {self._firm_id}", found=job_id, where="job_id")
            if hold is not None and hold != Hold.of(job):
                return None
            new = step(job)
            _store(connection, job, new, now_ns, messages)
            if lines:
                _add_lines(connection, job, lines, now_ns)
            if events:
                append_chain(connection, self._firm_id, chain_of(events[0]), events)
            return new

    def drop_before(self, ts_ns: int) -> int:
        """Drop jobs that ended before ``ts_ns`` with their logs; how many went. What they made stays."""
        old = (JOBS.c.firm_id == self._firm_id) & (JOBS.c.finished_ns < ts_ns)
        with writing(self._engine) as connection:
            ids = select(JOBS.c.job_id).where(old)
            connection.execute(
                delete(JOB_LINES).where(JOB_LINES.c.firm_id == self._firm_id, JOB_LINES.c.job_id.in_(ids))
            )
            return int(connection.execute(delete(JOBS).where(old)).rowcount)

    def _rows(self) -> Select[Any]:
        return select(JOBS).where(JOBS.c.firm_id == self._firm_id)

    def _require_own(self, job: Job) -> None:
        require_ident(job.job_id, "job_id")
        if job.firm_id != self._firm_id:
            raise BadInput(expected=f"a job of firm {self._firm_id}", found=job.firm_id, where="job")


def insert_job(
    connection: Connection, job: Job, max_waiting: int | None, events: Sequence[AuditEvent] = ()
) -> Job:
    """Queue a job of its own firm within somebody's transaction, or return the one that is there under its id; raises
    as :meth:`SqlJobs.add`."""
    found = _job(connection, job.firm_id, job.job_id)
    if found is not None:
        if (found.kind, found.request) != (job.kind, job.request):
            raise BadInput(
                expected="the request that this key was used for",
                found="another",
                where="idempotency key",
            )
        return found
    if max_waiting is not None:
        _require_room(connection, job, max_waiting)
    connection.execute(insert(JOBS), _row(job))
    publish(connection, job.firm_id, [status_message(job, job.created_ns)])
    if events:
        append_chain(connection, job.firm_id, chain_of(events[0]), events)
    return job


def _require_room(connection: Connection, job: Job, most: int) -> None:
    waiting = select(func.count()).where(
        JOBS.c.firm_id == job.firm_id, JOBS.c.by == job.by, JOBS.c.status.in_(WAITING)
    )
    if (n := connection.execute(waiting).scalar_one()) >= most:
        raise TooManyJobs(expected=f"fewer than {most} jobs waiting", found=str(n), where="jobs")


class SqlQueue:
    """The queue over every firm, as workers see it: they get one job at a time, and its firm with it.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, worker: str, now_ns: int, *, lease_ns: int, max_of_firm: int) -> Job | None:
        """Take the next job: of the firms that have fewer than ``max_of_firm`` at work, the one with the fewest, then
        the one that was served longest ago, then its oldest job. None where nothing can be taken.

        Before that every job whose lease has ended is given back to the queue, or ended.

        Raises
        ------
        NotDurable
            A database that cannot write. Nothing was taken.
        """
        if not self._has_work(now_ns):
            return None
        with writing(self._engine) as connection:
            for row in connection.execute(_expired(now_ns)).mappings().all():
                job = _read(row)
                new = lost(job, "its worker stopped answering", now_ns)
                _store(connection, job, new, now_ns, ())
            row_ = connection.execute(_next(max_of_firm)).mappings().first()
            if row_ is None:
                return None
            job = _read(row_)
            new = claimed(job, worker, now_ns, lease_ns)
            _store(connection, job, new, now_ns, ())
            return new

    def beat(self, worker: str, now_ns: int) -> None:
        """A worker is alive; raises ``NotDurable`` where that cannot be stored."""
        key = (WORKERS.c.firm_id == PLATFORM) & (WORKERS.c.worker == worker)
        with writing(self._engine) as connection:
            if not connection.execute(update(WORKERS).where(key).values(seen_ns=now_ns)).rowcount:
                row = {"firm_id": PLATFORM, "worker": worker, "seen_ns": now_ns}
                connection.execute(insert(WORKERS), row)

    def leave(self, worker: str) -> None:
        """A worker has stopped on purpose."""
        with writing(self._engine) as connection:
            connection.execute(
                delete(WORKERS).where(WORKERS.c.firm_id == PLATFORM, WORKERS.c.worker == worker)
            )

    def last_seen(self) -> int | None:
        """When any worker was last alive, UTC nanoseconds; None where there was none."""
        with reading(self._engine) as connection:
            found = connection.execute(select(func.max(WORKERS.c.seen_ns))).scalar()
            return None if found is None else int(found)

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each status, over all firms."""
        query = select(JOBS.c.status, func.count()).group_by(JOBS.c.status)
        with reading(self._engine) as connection:
            return {str(status): int(n) for status, n in connection.execute(query)}

    def _has_work(self, now_ns: int) -> bool:
        """A look that makes no writer wait."""
        waiting = select(JOBS.c.job_id).where(JOBS.c.status.in_(WAITING)).limit(1)
        with reading(self._engine) as connection:
            return any(connection.execute(query).first() for query in (waiting, _expired(now_ns).limit(1)))


def _expired(now_ns: int) -> Select[Any]:
    return select(JOBS).where(JOBS.c.status.in_(HELD), JOBS.c.lease_ns < now_ns)


def _next(max_of_firm: int) -> Select[Any]:
    at_work = (
        select(JOBS.c.firm_id, func.count().label("n"))
        .where(JOBS.c.status.in_(HELD))
        .group_by(JOBS.c.firm_id)
        .subquery()
    )
    served = (
        select(JOBS.c.firm_id, func.max(JOBS.c.started_ns).label("last")).group_by(JOBS.c.firm_id).subquery()
    )
    busy = func.coalesce(at_work.c.n, 0)
    return (
        select(JOBS)
        .outerjoin(at_work, at_work.c.firm_id == JOBS.c.firm_id)
        .outerjoin(served, served.c.firm_id == JOBS.c.firm_id)
        .where(JOBS.c.status.in_(WAITING), busy < max_of_firm)
        .order_by(busy, func.coalesce(served.c.last, 0), JOBS.c.created_ns, JOBS.c.job_id)
        .limit(1)
    )


def _store(connection: Connection, old: Job, new: Job, now_ns: int, messages: Sequence[Message]) -> None:
    """Write what changed, if nobody else did meanwhile, and tell of it."""
    if new != old:
        same = (JOBS.c.firm_id == old.firm_id) & (JOBS.c.job_id == old.job_id)
        same &= (JOBS.c.status == old.status.value) & (JOBS.c.attempt == old.attempt)
        values = {name: value for name, value in _row(new).items() if name not in ("firm_id", "job_id")}
        if connection.execute(update(JOBS).where(same).values(values)).rowcount != 1:
            raise NotDurable(f"job {old.job_id}: somebody else has changed it meanwhile")
    told = status_message(new, now_ns)
    if told.data != status_message(old, now_ns).data:
        messages = (told, *messages)
    publish(connection, new.firm_id, messages)


def _add_lines(connection: Connection, job: Job, lines: Sequence[str], now_ns: int) -> None:
    mine = (JOB_LINES.c.firm_id == job.firm_id) & (JOB_LINES.c.job_id == job.job_id)
    last = connection.execute(select(func.max(JOB_LINES.c.line_no)).where(mine)).scalar() or 0
    rows = [
        {"firm_id": job.firm_id, "job_id": job.job_id, "line_no": n, "ts_ns": now_ns, "line": line}
        for n, line in enumerate(lines[: max(0, MAX_LINES - last)], last + 1)
    ]
    if rows:
        connection.execute(insert(JOB_LINES), rows)


def _job(connection: Connection, firm_id: str, job_id: str) -> Job | None:
    query = select(JOBS).where(JOBS.c.firm_id == firm_id, JOBS.c.job_id == job_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _read(row)


def _row(job: Job) -> dict[str, Any]:
    return asdict(job) | {"kind": job.kind.value, "status": job.status.value}


def _read(row: RowMapping) -> Job:
    return Job(**{**row, "kind": JobKind(row["kind"]), "status": JobStatus(row["status"])})
