"""The verbs of jobs: ask for one, cancel it, look at it. A worker does the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from regime_trading.core.errors import BadInput, NotThere
from regime_trading.core.jobs import RESUMER, Job, JobKind, JobStatus, cancelled, checked_request, job_id_of
from regime_trading.core.ports import Clock
from regime_trading.core.ports import Jobs as JobRows
from regime_trading.core.schemas import RunRecord

MAX_PAGE = 200
MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs from the newest on; ``after`` asks for the next page, empty where there is none."""

    jobs: tuple[Job, ...]
    after: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a job's log; ``ts_ns`` are UTC nanoseconds."""

    line_no: int
    ts_ns: int
    line: str


@dataclass(frozen=True, slots=True)
class JobService:
    """The verbs over the jobs of every firm; whoever calls has asked whether the person may.

    Parameters
    ----------
    rows : callable
        Jobs of a firm, by its id.
    clock : Clock
    entropy : callable
        Random bytes, by their number.
    max_waiting : int
        Jobs that one person may have waiting in a firm.
    """

    rows: Callable[[str], JobRows]
    clock: Clock
    entropy: Callable[[int], bytes]
    max_waiting: int = 20

    def enqueue(
        self, firm_id: str, kind: JobKind, request: Mapping[str, Any], *, by: str, key: str | None = None
    ) -> Job:
        """Queue a job; under the same ``key`` of the same person it is one job, however often it is asked for.

        Raises
        ------
        BadInput
            A request that does not fit its kind, another firm's account, or a key that was used for something else.
        TooManyJobs
            The person has as many waiting as one may.
        NotDurable
            A database that cannot write. Nothing was queued.
        """
        job = self.prepared(firm_id, kind, request, by=by, key=key)
        return self.rows(firm_id).add(job, max_waiting=self.max_waiting)

    def prepared(
        self, firm_id: str, kind: JobKind, request: Mapping[str, Any], *, by: str, key: str | None = None
    ) -> Job:
        """The job of a request, for whoever queues it together with something else; raises ``BadInput`` as
        :meth:`enqueue`."""
        if key is not None and not (0 < len(key) <= MAX_KEY):
            raise BadInput(
                expected=f"1 to {MAX_KEY} characters", found=str(len(key)), where="idempotency key"
            )
        return Job(
            job_id=job_id_of(firm_id, by, self.entropy(16).hex() if key is None else key),
            firm_id=firm_id,
            kind=kind,
            request=checked_request(kind, request, firm_id),
            by=by,
            created_ns=self.clock.now_ns(),
        )

    def resume(self, firm_id: str, run: RunRecord) -> Job:
        """Queue the rest of a run that people have answered; however often that is seen, it is one job.

        Raises
        ------
        NotDurable
            A database that cannot write. Nothing was queued.
        """
        request = {"run_id": run.run_id, "accounts": [wait.account for wait in run.waits]}
        job = Job(
            job_id=job_id_of(firm_id, RESUMER, run.run_id),
            firm_id=firm_id,
            kind=JobKind.RUN,
            request=checked_request(JobKind.RUN, request, firm_id),
            by=RESUMER,
            created_ns=self.clock.now_ns(),
            run_id=run.run_id,
        )
        return self.rows(firm_id).add(job, max_waiting=None)

    def cancel(self, firm_id: str, job_id: str) -> Job:
        """Cancel a job; one that has ended stays as it is.

        Raises
        ------
        BadInput
            No such job in this firm.
        NotDurable
            A database that cannot write.
        """
        now_ns = self.clock.now_ns()
        found = self.rows(firm_id).change(job_id, lambda job: cancelled(job, now_ns), now_ns)
        assert found is not None, "only a hold is refused with None"
        return found

    def get(self, firm_id: str, job_id: str) -> Job:
        """A job of a firm; ``BadInput`` where there is none."""
        found = self.rows(firm_id).get(job_id)
        if found is None:
            raise NotThere("job", job_id, expected=f"a job of firm {firm_id}")
        return found

    def listed(
        self,
        firm_id: str,
        *,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        after: str = "",
        limit: int = 50,
    ) -> Page:
        """A page of a firm's jobs, the newest first; raises ``BadInput`` for a cursor that was never given out."""
        if not 1 <= limit <= MAX_PAGE:
            raise BadInput(expected=f"1 to {MAX_PAGE}", found=str(limit), where="limit")
        found = self.rows(firm_id).page(
            status=status, kind=kind, before=_place(after) if after else None, limit=limit + 1
        )
        more, shown = len(found) > limit, found[:limit]
        return Page(shown, f"{shown[-1].created_ns}.{shown[-1].job_id}" if more else "")

    def log(self, firm_id: str, job_id: str, after: int = 0, limit: int = 500) -> tuple[Line, ...]:
        """Lines of a job's log after a number; ``BadInput`` where there is no such job."""
        self.get(firm_id, job_id)
        return tuple(Line(*row) for row in self.rows(firm_id).lines(job_id, after, limit))


def report_request(jobs: JobService, firm_id: str, run_id: str) -> dict[str, Any]:
    """What a report of a run takes: of a backtest that was asked for as a job also what that was asked, for it is made
    again."""
    after, request = "", {"run_id": run_id}
    while run_id.startswith("bt-"):
        page = jobs.listed(firm_id, kind=JobKind.BACKTEST, status=JobStatus.DONE, after=after, limit=MAX_PAGE)
        found = next((job for job in page.jobs if _made(job) == run_id), None)
        if found is not None:
            return request | {"backtest": json.loads(found.request)}
        if not page.after:
            raise BadInput(
                expected="a backtest that was asked for as a job", found=run_id[:140], where="request.run_id"
            )
        after = page.after
    return request


def _made(job: Job) -> str:
    """The run that a finished job has made."""
    return str(json.loads(job.result or "{}").get("run_id", ""))


def _place(cursor: str) -> tuple[int, str]:
    created, _, job_id = cursor.partition(".")
    if not (created.isascii() and created.isdecimal() and len(created) < 20 and job_id):
        raise BadInput(expected="a cursor of an earlier page", found=repr(cursor[:60]), where="after")
    return int(created), job_id
