"""Group commit: what many threads submit at once becomes durable in one transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from regime_trading.adapters.database.engine import in_turn, not_durable, writing
from regime_trading.core.errors import NotDurable, StoreDown

MAX_JOBS = 256
T = TypeVar("T")


class GroupCommit:
    """One writer's turn at a time. Whoever comes while nobody writes, writes at once; what arrives meanwhile is
    gathered and shares the next COMMIT. There is no timer. What a thread submits within a turn of its own
    (:func:`~regime_trading.adapters.database.engine.one_turn`) becomes durable with that.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Condition()
        self._waiting: list[_Job] = []
        self._writing = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """Result of ``work``, once the transaction that it took part in is durable.

        ``work`` must be idempotent and touch nothing but its connection: where a shared transaction fails, each of its
        jobs is tried again on its own. What one job raises undoes that job only.

        Raises
        ------
        Exception
            Whatever ``work`` raises.
        NotDurable
            The database could not do or keep it. Nothing of this job is stored.
        """
        if in_turn(self._engine):
            with writing(self._engine, shared=True) as connection:
                return work(connection)
        job = _Job(work)
        with self._turn:
            self._waiting.append(job)
        while not job.done:
            batch = self._take(job)
            if batch:
                try:
                    self._commit(batch)
                finally:
                    self._give_back(batch)
        result: T = job.result()
        return result

    def _take(self, job: _Job) -> list[_Job]:
        """The jobs to write where it is this thread's turn; none where its own job was done by another."""
        with self._turn:
            self._turn.wait_for(lambda: job.done or not self._writing)
            if job.done:
                return []
            self._writing = True
            batch, self._waiting = self._waiting[:MAX_JOBS], self._waiting[MAX_JOBS:]
            return batch

    def _give_back(self, batch: list[_Job]) -> None:
        with self._turn:
            self._waiting = [job for job in batch if not job.done] + self._waiting
            self._writing = False
            self._turn.notify_all()

    def _commit(self, batch: list[_Job]) -> None:
        if len(batch) > 1:
            try:
                with writing(self._engine, shared=True) as connection:
                    outcomes = [self._in_savepoint(connection, job) for job in batch]
            except NotDurable:
                pass  # nothing of it is stored: each on its own
            else:
                for job, outcome in zip(batch, outcomes, strict=True):
                    job.settle(*outcome)
                return
        for job in batch:
            self._alone(job)

    def _in_savepoint(self, connection: Connection, job: _Job) -> tuple[Any, Exception | None]:
        """Result of one job, or what it raised. Trouble of the store itself ends the whole transaction: it may have
        rolled back already."""
        try:
            with connection.begin_nested():
                return job.work(connection), None
        except SQLAlchemyError as err:
            found = not_durable(self._engine, err)
            if isinstance(found, StoreDown):
                raise
            return None, found
        except StoreDown:
            raise
        except Exception as err:
            return None, err

    def _alone(self, job: _Job) -> None:
        try:
            with writing(self._engine, shared=True) as connection:
                value = job.work(connection)
        except Exception as err:
            job.settle(None, err)
        else:
            job.settle(value, None)


class _Job:
    """One submission, and what became of it."""

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work, self.done = work, False
        self._value: Any = None
        self._error: Exception | None = None

    def settle(self, value: Any, error: Exception | None) -> None:
        self._value, self._error, self.done = value, error, True

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


_GROUPS: WeakKeyDictionary[Engine, GroupCommit] = WeakKeyDictionary()
_GROUPS_LOCK = threading.Lock()


def group_of(engine: Engine) -> GroupCommit:
    """The one group of an engine."""
    with _GROUPS_LOCK:
        found = _GROUPS.get(engine)
        if found is None:
            found = _GROUPS[engine] = GroupCommit(engine)
        return found
