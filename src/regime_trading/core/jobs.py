"""Jobs: work that takes longer than a request, as rows that survive every process (decision 0021).

A job is queued, claimed by one worker for the length of a lease that the worker renews, and ends as done, failed or
cancelled. Every step is one function here, from a job to the next; what does not fit the job's state is refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from regime_trading.core.actors import masked_text
from regime_trading.core.canonical import canonical_json, sha256_hex
from regime_trading.core.errors import BadInput
from regime_trading.core.events import refusal
from regime_trading.core.messages import Message, RunStatusData
from regime_trading.core.numbers import LARGEST_NUMBER
from regime_trading.core.proposals import OwnWeights
from regime_trading.core.schemas import Ident, Symbol
from regime_trading.core.settings import AccountName, SourceName

MAX_ATTEMPTS = 3  #: times that a job whose worker or process died is tried
MAX_REQUEST_BYTES = 65_536
MAX_LINES = 2_000  #: lines of its log that are kept of a job
BY_SERVICE = "service:"  #: begins the name of who asked where it was no person
RESUMER = f"{BY_SERVICE}approvals"  #: asks for the rest of a run that people have answered
MOST_SURVEYED = 200  #: symbols whose regimes one job reads
MOST_REPLAYED = 2_500  #: days that one job replays
EXPORT_TTL_NS = 24 * 3_600 * 1_000_000_000  #: how long a bundle can be fetched


class JobKind(StrEnum):
    """What a job does."""

    RUN = "run"
    BACKTEST = "backtest"
    REGIME = "regime"
    SCAN = "scan"
    REPORT = "report"
    WHATIF = "whatif"
    VERIFY = "verify"
    EXPORT = "export"


class JobStatus(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"  #: somebody asked; its worker has not ended it yet
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


WAITING = frozenset({JobStatus.QUEUED})
HELD = frozenset({JobStatus.RUNNING, JobStatus.CANCELLING})
ENDED = frozenset({JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED})


class TooManyJobs(BadInput):
    """Somebody has as many jobs waiting as one may have."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a firm.

    Parameters
    ----------
    job_id, firm_id : str
    kind : JobKind
    request : str
        Canonical JSON of what was asked (``REQUESTS``).
    by : str
        Who asked: a pseudonym, or ``service:…``.
    created_ns, started_ns, finished_ns : int
        UTC nanoseconds; ``started_ns`` of the first attempt.
    attempt : int
        How often it was claimed; 0 while it was not.
    stage : str
    progress : float, optional
        A fraction, None where it cannot be told.
    run_id : str
        Of the run it makes, as soon as that is known; an attempt after a crash continues it.
    result : str
        Canonical JSON ``{run_id, path, summary}`` once done, else empty. Of a run also ``status``: ``done``, or
        ``waiting`` where it waits for people, and holds no worker meanwhile.
    error : str
        One sentence where it failed.
    worker : str
        Who holds it; empty where nobody does.
    lease_ns : int, optional
        Until when, UTC nanoseconds.
    """

    job_id: str
    firm_id: str
    kind: JobKind
    request: str
    by: str
    created_ns: int
    status: JobStatus = JobStatus.QUEUED
    attempt: int = 0
    started_ns: int | None = None
    finished_ns: int | None = None
    stage: str = ""
    progress: float | None = None
    run_id: str = ""
    result: str = ""
    error: str = ""
    worker: str = ""
    lease_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """One attempt of one worker at a job; whoever no longer has it may write nothing."""

    worker: str
    attempt: int

    @classmethod
    def of(cls, job: Job) -> Hold | None:
        """Who holds a job; None where nobody does."""
        return cls(job.worker, job.attempt) if job.status in HELD else None


Step = Callable[[Job], Job]


# --- what can be asked ----------------------------------------------------------------------------------------


class JobRequest(BaseModel):
    """Base of what is asked; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Universe(JobRequest):
    """``source`` is the name of a configured source, never a path; ``accounts`` empty = all of the firm."""

    source: SourceName = "bundled"
    basket: Ident | None = None
    symbols: Annotated[tuple[Symbol, ...], Field(max_length=500)] = ()
    accounts: Annotated[tuple[AccountName, ...], Field(max_length=1_000)] = ()

    @field_validator("source")
    @classmethod
    def _no_file(cls, name: str) -> str:
        if name == "files":
            raise ValueError("expected the name of a source, found the settings of files")
        return name

    @model_validator(mode="after")
    def _one_of(self) -> _Universe:
        if self.basket is not None and self.symbols:
            raise ValueError("expected a basket or symbols, found both")
        return self


class JobProposal(OwnWeights):
    """Somebody's own weights as a run takes them: ``proposal_id`` names what was submitted, ``hash`` its weights."""

    proposal_id: Ident
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _whole(self) -> JobProposal:
        if self.hash != self.content_hash:
            raise ValueError(f"expected the hash of its weights, {self.content_hash}, found {self.hash}")
        return self


class RunJob(_Universe):
    """One pipeline run (``regime run``). ``as_of`` is a date or a time; None = the last complete bar.

    With ``run_id`` it goes on with a run that was begun (``regime run --resume``), over no other accounts than these.
    """

    as_of: Annotated[str, Field(max_length=40)] | None = None
    effort: Literal["fast", "thorough"] = "fast"
    run_id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] | None = None
    proposal: JobProposal | None = None

    @model_validator(mode="after")
    def _weights_alone(self) -> RunJob:
        if self.proposal is not None and (self.basket is not None or self.symbols):
            raise ValueError("expected one of a basket, symbols and a proposal, found several")
        return self


class BacktestJob(_Universe):
    """A dry run over history (``regime backtest``); days are UTC dates, both included."""

    first: dt.date | None = None
    last: dt.date | None = None


class RegimeJob(_Universe):
    """Regimes of symbols at one bar: the research part of a run. With neither a basket nor symbols it is over the
    baskets of ``accounts``; nothing is decided for them."""

    symbols: Annotated[tuple[Symbol, ...], Field(max_length=MOST_SURVEYED)] = ()
    as_of: Annotated[str, Field(max_length=40)] | None = None


class ScanJob(RegimeJob):
    """The same symbols ranked by regime and evidence."""


class ReportJob(JobRequest):
    """The report of a run or a backtest, rendered again. A backtest is made again in memory from what it was asked
    for, ``backtest``; what comes out must have the id ``run_id``."""

    run_id: Ident
    backtest: BacktestJob | None = None


class WhatIfJob(JobRequest):
    """Decision days replayed under what is in force and under a stored version: the last ``days`` up to ``last``, or
    those from ``first`` on; days are UTC dates, both included."""

    version: Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
    source: SourceName = "bundled"
    accounts: Annotated[tuple[AccountName, ...], Field(max_length=1_000)] = ()
    days: Annotated[int, Field(ge=1, le=MOST_REPLAYED)] | None = None
    first: dt.date | None = None
    last: dt.date | None = None

    @model_validator(mode="after")
    def _one_beginning(self) -> WhatIfJob:
        if self.days is not None and self.first is not None:
            raise ValueError("expected days or a first day, found both")
        return self


class VerifyJob(JobRequest):
    """Verification of the firm's sealed record (``regime audit verify``)."""


class ExportJob(JobRequest):
    """A bundle of the firm's record for an auditor (``regime audit export``): all of it, or one account's, one run's,
    or that of some UTC days, both included."""

    account: AccountName | None = None
    run_id: Ident | None = None
    first: dt.date | None = None
    last: dt.date | None = None


#: Every kind, with the form of its request.
REQUESTS: Mapping[JobKind, type[JobRequest]] = MappingProxyType(
    {
        JobKind.RUN: RunJob,
        JobKind.BACKTEST: BacktestJob,
        JobKind.REGIME: RegimeJob,
        JobKind.SCAN: ScanJob,
        JobKind.REPORT: ReportJob,
        JobKind.WHATIF: WhatIfJob,
        JobKind.VERIFY: VerifyJob,
        JobKind.EXPORT: ExportJob,
    }
)


def checked_request(kind: JobKind, plain: Mapping[str, Any], firm_id: str) -> str:
    """Canonical JSON of a request that fits its kind and is about one firm.

    Raises
    ------
    BadInput
        A request that does not fit, or another firm's account.
    """
    try:
        asked = REQUESTS[kind].model_validate(dict(plain))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = ".".join(("request", *map(str, detail["loc"])))
        raise BadInput(expected=detail["msg"], found=repr(detail["input"])[:120], where=where) from error
    for account in (*getattr(asked, "accounts", ()), getattr(asked, "account", None)):
        if account is not None and account.split("/")[0] != firm_id:
            raise BadInput(expected=f"accounts of firm {firm_id}", found=account, where="request.accounts")
    text = canonical_json(asked.model_dump(mode="json"))
    if len(text) > MAX_REQUEST_BYTES:
        raise BadInput(expected=f"at most {MAX_REQUEST_BYTES} bytes", found=str(len(text)), where="request")
    return text.decode()


def request_of(job: Job) -> JobRequest:
    """What a job was asked to do; ``BadInput`` where it no longer fits."""
    try:
        return REQUESTS[job.kind].model_validate_json(job.request)
    except ValidationError as error:
        raise refusal(error, f"request of {job.job_id}") from error


def job_id_of(firm_id: str, by: str, key: str) -> str:
    """Id of the job that somebody asks for under an idempotency key: the same key is the same job."""
    return f"job-{sha256_hex(canonical_json([firm_id, by, key]))[:20]}"


# --- from one state to the next -------------------------------------------------------------------------------


def claimed(job: Job, worker: str, now_ns: int, lease_ns: int) -> Job:
    """Taken from the queue by a worker, until ``now_ns + lease_ns``."""
    _require(job, WAITING)
    return replace(
        job,
        status=JobStatus.RUNNING,
        attempt=job.attempt + 1,
        started_ns=now_ns if job.started_ns is None else job.started_ns,
        worker=worker,
        lease_ns=now_ns + lease_ns,
        stage="",
        progress=None,
    )


def moved(job: Job, stage: str, progress: float | None, run_id: str = "") -> Job:
    """Further on in its work."""
    _require(job, HELD)
    share = None if progress is None else min(1.0, max(0.0, progress))
    return replace(job, stage=stage[:80], progress=share, run_id=run_id or job.run_id)


def cancelled(job: Job, now_ns: int) -> Job:
    """Somebody asked to cancel: over at once where nobody holds it, else its worker is told. What ended stays so."""
    if job.status in ENDED or job.status is JobStatus.CANCELLING:
        return job
    if job.status is JobStatus.QUEUED:
        return _ended(job, JobStatus.CANCELLED, now_ns)
    return replace(job, status=JobStatus.CANCELLING)


def done(job: Job, result: Mapping[str, Any], now_ns: int) -> Job:
    """It worked; also where somebody asked to cancel too late."""
    _require(job, HELD)
    text = orjson.dumps(result, option=orjson.OPT_SORT_KEYS).decode()
    return replace(_ended(job, JobStatus.DONE, now_ns), result=text, progress=1.0)


def failed(job: Job, why: str, now_ns: int) -> Job:
    """It did not work; ``why`` is cut and masked."""
    _require(job, HELD)
    return replace(_ended(job, JobStatus.FAILED, now_ns), error=masked_text(why)[0])


def stopped(job: Job, now_ns: int) -> Job:
    """Its worker has ended it, as somebody had asked."""
    _require(job, frozenset({JobStatus.CANCELLING}))
    return _ended(job, JobStatus.CANCELLED, now_ns)


def lost(job: Job, why: str, now_ns: int) -> Job:
    """Whoever worked on it is gone: it waits again, unless it was to be cancelled or was tried often enough."""
    _require(job, HELD)
    if job.status is JobStatus.CANCELLING:
        return _ended(job, JobStatus.CANCELLED, now_ns)
    if job.attempt >= MAX_ATTEMPTS:
        return failed(job, f"{why}, {job.attempt} times; it is not tried again", now_ns)
    return replace(job, status=JobStatus.QUEUED, worker="", lease_ns=None)


def released(job: Job, now_ns: int) -> Job:
    """Given back by a worker that is being stopped: the attempt does not count."""
    again = lost(replace(job, attempt=job.attempt - 1), "", now_ns)
    return replace(again, attempt=max(0, again.attempt))


def _ended(job: Job, status: JobStatus, now_ns: int) -> Job:
    return replace(job, status=status, finished_ns=now_ns, worker="", lease_ns=None)


def _require(job: Job, among: frozenset[JobStatus]) -> None:
    if job.status not in among:
        raise BadInput(
            expected=f"a job that is {' or '.join(sorted(among))}", found=job.status.value, where=job.job_id
        )


def waits(job: Job) -> bool:
    """Whether a job is done because its run waits for people."""
    return (
        job.kind is JobKind.RUN and bool(job.result) and orjson.loads(job.result).get("status") == "waiting"
    )


def status_message(job: Job, now_ns: int) -> Message:
    """What the live channel tells of a job."""
    return Message(
        now_ns,
        RunStatusData(
            job_id=job.job_id,
            kind=job.kind.value,
            status=job.status.value,
            stage=job.stage,
            progress=job.progress,
            run_id=job.run_id,
            detail="waits for people" if waits(job) else job.error,
        ),
    )
