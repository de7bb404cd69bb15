"""Runs, jobs, the files they leave and the messages they send."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from regime_trading.core.firm_files import RunFile, TableHead
from regime_trading.core.jobs import Hold, Job, JobKind, JobStatus, Step
from regime_trading.core.messages import Message, Numbered
from regime_trading.core.notifications import Notice
from regime_trading.core.proposals import BasketProposal, ProposalStatus
from regime_trading.core.schemas import AuditEvent, RunRecord, Wait


class Runs(Protocol):
    """Runs of one firm."""

    def start(self, run: RunRecord) -> RunRecord:
        """Record a run, or return what is recorded of it; other inputs under its id raise ``BadInput``."""
        ...

    def pause(self, run_id: str, waits: Sequence[Wait]) -> None:
        """Record that a started run waits for people."""
        ...

    def finish(self, run_id: str, status: Literal["done", "failed"]) -> None:
        """Record how a started run ended."""
        ...

    def waiting(self) -> tuple[RunRecord, ...]:
        """Runs that wait for people, by ``as_of_ns`` and id."""
        ...

    def get(self, run_id: str) -> RunRecord | None: ...

    def all(self) -> tuple[RunRecord, ...]:
        """All runs, by ``as_of_ns`` and id."""
        ...


class Jobs(Protocol):
    """Jobs of one firm; each step is one transaction with what it tells."""

    def add(self, job: Job, *, max_waiting: int | None, events: Sequence[AuditEvent] = ()) -> Job:
        """Queue a job, or return the one that is there under its id; raises ``TooManyJobs`` beyond ``max_waiting`` of
        whoever asks (None = there may be any number)."""
        ...

    def fire(self, basket: str, after_ns: int | None, slot_ns: int, jobs: Sequence[Job]) -> bool:
        """Move a schedule on from one slot to the next with the jobs of that, once over all processes; whether it was
        this call."""
        ...

    def last_slot(self, basket: str) -> int | None: ...

    def get(self, job_id: str) -> Job | None: ...

    def page(
        self,
        *,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 50,
    ) -> tuple[Job, ...]:
        """Jobs from the newest on, of those before ``(created_ns, job_id)``."""
        ...

    def lines(self, job_id: str, after: int = 0, limit: int = 500) -> tuple[tuple[int, int, str], ...]:
        """Lines of a job's log: number, UTC nanoseconds, text."""
        ...

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
        """One step of a job; None where ``hold`` is no longer who holds it, and nothing happened."""
        ...


class Proposals(Protocol):
    """People's own weights, of one firm; each step is one transaction with what it tells."""

    def add(
        self, proposal: BasketProposal, events: Sequence[AuditEvent] = (), messages: Sequence[Message] = ()
    ) -> BasketProposal:
        """Store a new proposal, or return the one that is there under its id."""
        ...

    def move(
        self,
        before: BasketProposal,
        after: BasketProposal,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
        *,
        job: Job | None = None,
        max_waiting: int | None = None,
    ) -> None:
        """One step of a proposal, with the job it becomes; ``Conflict`` (``version``) where it is no longer as it was
        ``before``."""
        ...

    def get(self, proposal_id: str) -> BasketProposal | None: ...

    def page(
        self,
        *,
        statuses: Collection[ProposalStatus] = (),
        before: tuple[int, str] | None = None,
        limit: int = 50,
    ) -> tuple[BasketProposal, ...]:
        """Proposals from the newest on, of those before ``(created_ns, proposal_id)``."""
        ...


class ProgressSink(Protocol):
    def emit(self, event: Mapping[str, Any]) -> None:
        """One progress event: ``run_id``, ``stage``, ``status`` (started, finished, failed), ``detail``."""
        ...


class ArtifactStore(Protocol):
    """Files under one folder, by relative path. Every write is temp → fsync → rename."""

    @property
    def root(self) -> Path: ...

    def write_bytes(self, relative: str, data: bytes) -> Path: ...

    def read_bytes(self, relative: str) -> bytes: ...

    def exists(self, relative: str) -> bool: ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Relative paths of the files directly in ``folder``, sorted."""
        ...

    def remove(self, relative: str) -> None: ...


class FirmFiles(Protocol):
    """Files of runs that one firm may be shown. Whatever else there is does not exist here: other paths, links, other
    firms, the record."""

    def listed(self, run_id: str) -> tuple[RunFile, ...]:
        """Files of a run by path; none where there is no such run."""
        ...

    def read(self, path: str, limit: int) -> bytes | None:
        """The first ``limit`` bytes of a file; None where there is none that may be shown."""
        ...

    def digest(self, path: str) -> tuple[int, str] | None:
        """Size and SHA-256 of a file; None as in :meth:`read`."""
        ...

    def head(self, path: str, rows: int) -> TableHead | None:
        """Beginning of a CSV or Parquet file; None as in :meth:`read`. Raises ``TooMuch`` as a query of the record,
        ``CheckFailed`` where it is no table."""
        ...


class MessageReader(Protocol):
    """One lasting reader of a firm's messages: what it has not put behind it, it gets again."""

    def next(self, limit: int = 100) -> tuple[tuple[Numbered, ...], int]:
        """Messages it has not read, in order, and how many were dropped before it could."""
        ...

    def advance(self, seq: int) -> None:
        """Everything up to ``seq`` is behind it."""
        ...


class Messages(Protocol):
    """Messages of the live channel of one firm, numbered without gaps in the order of commits."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Store messages that tell of nothing but themselves (progress, logs)."""
        ...

    def span(self) -> tuple[int, int]:
        """Number of the oldest message that is kept and of the last one given out; (1, 0) where there is none."""
        ...

    def after(self, seq: int, limit: int = 1_000) -> tuple[Numbered, ...]:
        """Messages after ``seq`` in order, at most ``limit`` of them."""
        ...


class Tickets(Protocol):
    """Tickets for the live channel, known by their hash only; each counts once."""

    def add(self, ticket_hash: str, user_id: str, session_id: str, expires_ns: int) -> None:
        """Remember a ticket of a session, good until ``expires_ns``."""
        ...

    def take(self, ticket_hash: str, now_ns: int) -> str | None:
        """Use a ticket up and return its session; None where it is unknown, used or no longer good."""


class Channel(Protocol):
    """One way out of the house."""

    @property
    def name(self) -> str:
        """What it is called in what the operator reads; holds no secret."""
        ...

    def send(self, notice: Notice) -> bool:
        """Whether it was taken."""
        ...
