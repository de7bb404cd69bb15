"""Jobs: runs, backtests and verifications that work behind the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, JsonValue

from regime_trading.api.deps import Allowed, Base, BaseDep, require
from regime_trading.api.errors import ApiError
from regime_trading.api.idempotency import KeyHeader, require_key
from regime_trading.api.shapes import InstantText, Shape
from regime_trading.core.access import Answer, Permission, Target, may, reachable
from regime_trading.core.errors import BadInput, NotThere, NotYet
from regime_trading.core.instants import instant_text
from regime_trading.core.jobs import Job, JobKind, JobStatus
from regime_trading.core.numbers import LARGEST_NUMBER
from regime_trading.services.jobs import JobService, report_request
from regime_trading.services.views.artifacts import may_see_run
from regime_trading.services.views.base import Asker
from regime_trading.services.views.sources import FirmSources

Reader = Annotated[Allowed, require(Permission.READ, some=True)]
Starter = Annotated[Allowed, require(Permission.RUN)]
Canceller = Annotated[Allowed, require(Permission.CANCEL_RUN)]
Pseudonym = Callable[[str, str], str]
SourcesOf = Callable[[str], FirmSources]
#: Kinds that are asked for here; the others have routes that ask for more.
GENERAL = frozenset(
    {JobKind.RUN, JobKind.BACKTEST, JobKind.REGIME, JobKind.SCAN, JobKind.REPORT, JobKind.VERIFY}
)


class JobIn(Shape):
    """What shall be done; ``request`` as its kind takes it."""

    kind: JobKind = Field(examples=["backtest"])
    request: dict[str, JsonValue] = Field(default={}, examples=[{"from": "2019-01-01", "to": "2019-12-31"}])


class JobOut(Shape):
    """A job and how far it is."""

    job_id: str
    firm: str
    kind: str
    status: JobStatus
    stage: str
    progress: float | None = Field(description="fraction; null where it cannot be told")
    attempt: int
    run_id: str
    request: dict[str, JsonValue] = Field(description="empty where it is about accounts that one may not see")
    result: JsonValue = Field(description="of a job that is done and whose request is shown; else null")
    error: str
    by: str = Field(description="pseudonym, or service:…")
    created_at: InstantText
    started_at: InstantText | None
    finished_at: InstantText | None


class JobsOut(Shape):
    """A page of jobs."""

    items: tuple[JobOut, ...]
    next_cursor: str | None


class LineOut(Shape):
    """One line of a log."""

    line_no: int
    at: InstantText
    line: str


def jobs_router(jobs: JobService, pseudonym: Pseudonym, sources_of: SourcesOf) -> APIRouter:
    """Routes over the jobs of a firm; ``pseudonym`` names a person in its record, ``sources_of`` is what its views
    read."""
    router = APIRouter(prefix="/firms/{firm}/jobs", tags=["jobs"])

    def shown(job: Job, allowed: Allowed, base: Base) -> JobOut:
        known = base.accounts(job.firm_id) or ()
        own = job.by == pseudonym(job.firm_id, allowed.principal.user_id)
        return job_out(job, whole=own or sees_whole(job, allowed, known))

    @router.post("", status_code=202)
    def start_job(firm: str, body: JobIn, allowed: Starter, base: BaseDep, key: KeyHeader = None) -> JobOut:
        """Queue a job over accounts one may run; the same key again is the same job. Exports, what-ifs and runs of
        somebody's own weights are asked for where they belong."""
        request = _over_own(firm, body, allowed, base.accounts(firm) or ())
        if body.kind is JobKind.REPORT:
            run_id = str(request.get("run_id", ""))
            if not may_see_run(sources_of(firm), Asker(allowed.principal, allowed.now_ns), run_id):
                raise NotThere("run", run_id)
            request = report_request(jobs, firm, run_id)
        by = pseudonym(firm, allowed.principal.user_id)
        return job_out(jobs.enqueue(firm, body.kind, request, by=by, key=require_key(key)))

    @router.get("")
    def list_jobs(
        firm: str,
        allowed: Reader,
        base: BaseDep,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        cursor: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> JobsOut:
        """Jobs, the newest first."""
        page = jobs.listed(firm, status=status, kind=kind, after=cursor, limit=limit)
        items = tuple(shown(one, allowed, base) for one in page.jobs)
        return JobsOut(items=items, next_cursor=page.after or None)

    @router.get("/{job_id}")
    def read_job(firm: str, job_id: str, allowed: Reader, base: BaseDep) -> JobOut:
        """One job."""
        return shown(jobs.get(firm, job_id), allowed, base)

    @router.get("/{job_id}/log")
    def read_log(
        firm: str, job_id: str, allowed: Reader, after: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)] = 0
    ) -> list[LineOut]:
        """Lines of its log after a number."""
        return [
            LineOut(line_no=one.line_no, at=instant_text(one.ts_ns), line=one.line)
            for one in jobs.log(firm, job_id, after)
        ]

    @router.post("/{job_id}/cancel")
    def cancel_job(firm: str, job_id: str, allowed: Canceller) -> JobOut:
        """Cancel a job; an analyst only their own."""
        found = jobs.get(firm, job_id)
        if found.by != pseudonym(firm, allowed.principal.user_id) and not _may_cancel_any(firm, allowed):
            raise ApiError(
                403, "not_own", "somebody else's job: a PM or an administrator cancels it", needs=("role",)
            )
        return job_out(jobs.cancel(firm, job_id))

    return router


def _over_own(firm: str, body: JobIn, allowed: Allowed, known: tuple[str, ...]) -> dict[str, Any]:
    """The request with its accounts named: those asked for, each of which one may run, or all one may."""
    if "proposal" in body.request:
        raise BadInput(
            expected="no weights: they are submitted as a proposal", found="some", where="request.proposal"
        )
    if body.kind not in GENERAL:
        known = ", ".join(sorted(GENERAL))
        raise BadInput(expected=f"one of {known}", found=body.kind.value, where="kind")
    if body.kind in (JobKind.VERIFY, JobKind.REPORT):
        return dict(body.request)
    mine = [one for one in known if _may(allowed, firm, one)]
    asked = body.request.get("accounts") or mine
    named = [str(one) for one in asked] if isinstance(asked, list) else [str(asked)]
    if missing := [one for one in named if one not in mine]:
        raise NotThere("account", missing[0])
    if not named:
        raise NotYet("account", "none")
    return dict(body.request) | {"accounts": list(asked)}


def sees_whole(job: Job, allowed: Allowed, known: tuple[str, ...]) -> bool:
    """Whether somebody may read every account that a job is about: what it was asked and what came out names them."""
    accounts = tuple(json.loads(job.request).get("accounts") or known)
    return len(reachable(allowed.principal, Permission.READ, accounts, allowed.now_ns)) == len(accounts)


def _may(allowed: Allowed, firm: str, account: str) -> bool:
    target = Target(firm, account)
    return may(allowed.principal, Permission.RUN, target, allowed.now_ns) is Answer.ALLOWED


def _may_cancel_any(firm: str, allowed: Allowed) -> bool:
    answer = may(allowed.principal, Permission.KILL_FIRM, Target(firm), allowed.now_ns)
    return answer is Answer.ALLOWED


def job_out(job: Job, whole: bool = True) -> JobOut:
    """A job as it is shown: not ``whole``, without what it was asked and what came out."""

    def at(ts_ns: int | None) -> str | None:
        return None if ts_ns is None else instant_text(ts_ns)

    return JobOut(
        job_id=job.job_id,
        firm=job.firm_id,
        kind=job.kind.value,
        status=job.status,
        stage=job.stage,
        progress=job.progress,
        attempt=job.attempt,
        run_id=job.run_id,
        request=json.loads(job.request) if whole else {},
        result=json.loads(job.result) if job.result and whole else None,
        error=job.error if whole else "",
        by=job.by,
        created_at=instant_text(job.created_ns),
        started_at=at(job.started_ns),
        finished_at=at(job.finished_ns),
    )
