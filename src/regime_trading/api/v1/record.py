"""What is done with a firm's record: it is verified, and bundles of it are made for auditors and fetched."""

from __future__ import annotations

import datetime as dt
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse
from pydantic import Field

from regime_trading.api.deps import Allowed, Base, BaseDep, require
from regime_trading.api.errors import ApiError
from regime_trading.api.idempotency import KeyHeader, require_key
from regime_trading.api.shapes import InstantText, Shape
from regime_trading.api.v1.jobs import JobOut, Pseudonym, job_out
from regime_trading.core.access import Permission
from regime_trading.core.errors import BadInput, CheckFailed, NotThere
from regime_trading.core.instants import instant_text
from regime_trading.core.jobs import EXPORT_TTL_NS, Job, JobKind, JobStatus
from regime_trading.core.schemas import ActorType, Ident
from regime_trading.core.settings import AccountName
from regime_trading.services.acts import Who
from regime_trading.services.jobs import JobService
from regime_trading.services.views import audit
from regime_trading.services.views.base import Asker
from regime_trading.services.views.sources import FirmSources

Auditor = Annotated[Allowed, require(Permission.READ_AUDIT)]
Exporter = Annotated[Allowed, require(Permission.EXPORT_AUDIT)]
Id = Annotated[str, Path(max_length=140)]


@dataclass(frozen=True, slots=True)
class RecordDeps:
    """What the routes stand on.

    Parameters
    ----------
    jobs : JobService
    sources_of : callable
        Sources of a firm's views.
    pseudonym : callable
        Of a person in the record of a firm.
    bundle : callable
        Where the whole bundle of a job lies and its SHA-256, by firm and job; None where it is not there.
    fetched : callable
        Records that somebody fetches the bundle of a job, before they do.
    """

    jobs: JobService
    sources_of: Callable[[str], FirmSources]
    pseudonym: Pseudonym
    bundle: Callable[[str, str], tuple[FilePath, str] | None]
    fetched: Callable[[Job, Who], Any]

    def who(self, allowed: Allowed) -> str:
        """Pseudonym of whoever calls."""
        return self.pseudonym(allowed.target.firm_id, allowed.principal.user_id)


class VerificationOut(Shape):
    """The last verification that is done, and the newest job, which may still be at work."""

    last: audit.Verification | None = Field(description="null = none was ever done")
    job: JobOut | None


class ExportIn(Shape):
    """Which part of the record; all of it where nothing is said. Days are UTC dates, both included."""

    account: AccountName | None = None
    run_id: Ident | None = None
    first: dt.date | None = None
    last: dt.date | None = None


class ExportOut(Shape):
    """An export and its bundle, where that is made."""

    job: JobOut
    entries: int | None
    covered: int | None = Field(description="entries that a signed checkpoint covers")
    bytes: int | None
    sha256: str | None = Field(description="of the ZIP file")
    digest: str | None = Field(
        description="of its SHA256SUMS: what the record says, and verify_bundle.py takes"
    )
    expires_at: InstantText | None = Field(description="until when it can be fetched")


class ExportsOut(Shape):
    """A page of exports."""

    items: tuple[ExportOut, ...]
    next_cursor: str | None


def record_router(deps: RecordDeps) -> APIRouter:
    """Routes over the record of a firm as a whole."""
    router = APIRouter(prefix="/firms/{firm}/audit", tags=["audit"])
    _add_verification(router, deps)
    _add_exports(router, deps)
    return router


def _add_verification(router: APIRouter, deps: RecordDeps) -> None:
    @router.get("/verification")
    def read_verification(firm: str, allowed: Auditor) -> VerificationOut:
        """What the last verification of the firm's record found, and how long ago; nothing is verified now."""
        newest = deps.jobs.listed(firm, kind=JobKind.VERIFY, limit=1).jobs
        ended = deps.jobs.listed(firm, kind=JobKind.VERIFY, status=JobStatus.DONE, limit=1).jobs
        asker = Asker(allowed.principal, allowed.now_ns)
        return VerificationOut(
            last=audit.verification(deps.sources_of(firm), asker, ended[0]) if ended else None,
            job=job_out(newest[0]) if newest else None,
        )

    @router.post("/verification", status_code=202)
    def verify_record(firm: str, allowed: Auditor, key: KeyHeader = None) -> JobOut:
        """Queue a verification of integrity and completeness; the same key again is the same job."""
        by = deps.who(allowed)
        return job_out(deps.jobs.enqueue(firm, JobKind.VERIFY, {}, by=by, key=require_key(key)))


def _add_exports(router: APIRouter, deps: RecordDeps) -> None:
    @router.post("/exports", status_code=202)
    def start_export(
        firm: str, body: ExportIn, allowed: Exporter, base: BaseDep, key: KeyHeader = None
    ) -> ExportOut:
        """Queue a bundle of the record for an auditor; it is in the record with its digest as soon as it can be
        fetched. The same key again is the same export."""
        if body.account is not None and body.account not in (base.accounts(firm) or ()):
            raise NotThere("account", body.account)
        request = body.model_dump(mode="json", exclude_none=True)
        by, intent = deps.who(allowed), require_key(key)
        job = deps.jobs.enqueue(firm, JobKind.EXPORT, request, by=by, key=intent)
        return _export_out(job)

    @router.get("/exports")
    def list_exports(
        firm: str, allowed: Exporter, cursor: Annotated[str, Query(max_length=200)] = ""
    ) -> ExportsOut:
        """Exports, the newest first."""
        page = deps.jobs.listed(firm, kind=JobKind.EXPORT, after=cursor)
        return ExportsOut(items=tuple(map(_export_out, page.jobs)), next_cursor=page.after or None)

    @router.get("/exports/{job_id}")
    def read_export(firm: str, job_id: Id, allowed: Exporter, base: BaseDep, request: Request) -> ExportOut:
        """One export."""
        return _export_out(_find(deps, request, base, allowed, job_id))

    @router.get(
        "/exports/{job_id}/download",
        response_class=FileResponse,
        responses={
            200: {"content": {"application/zip": {}}, "description": "The bundle"},
            409: {"description": "It is not done."},
            410: {"description": "Its time is over."},
        },
    )
    def download_export(
        firm: str, job_id: Id, allowed: Exporter, base: BaseDep, request: Request
    ) -> FileResponse:
        """The bundle of an export that is done; whoever fetches it is recorded first. 410 once its time is over."""
        job = _find(deps, request, base, allowed, job_id)
        if job.status is not JobStatus.DONE:
            raise ApiError(409, "not_done", f"the export is {job.status.value}")
        found = None if _is_over(job, allowed.now_ns) else deps.bundle(firm, job.job_id)
        if found is None:
            raise ApiError(410, "expired", "the bundle is no longer kept: export it again")
        place, digest = found
        if digest != _summary(job)["sha256"]:
            raise CheckFailed(f"the bundle of {job.job_id} is no longer what was written")
        deps.fetched(job, (ActorType.USER, deps.who(allowed)))
        return FileResponse(
            place,
            media_type="application/zip",
            filename=f"audit-{firm}-{job.job_id}.zip",
            headers={
                "repr-digest": f"sha-256=:{b64encode(bytes.fromhex(digest)).decode()}:",
                "content-security-policy": "sandbox; default-src 'none'",
            },
        )


def _find(deps: RecordDeps, request: Request, base: Base, allowed: Allowed, job_id: str) -> Job:
    """An export of the firm; whoever asks for another one is told that there is none, and it is recorded."""
    firm = allowed.target.firm_id
    try:
        found = deps.jobs.get(firm, job_id)
        if found.kind is JobKind.EXPORT:
            return found
    except BadInput:
        pass
    raise NotThere("export", job_id)


def _export_out(job: Job) -> ExportOut:
    said = _summary(job)
    names = ("entries", "covered", "bytes", "sha256", "digest")
    over_ns = None if job.finished_ns is None or not said else job.finished_ns + EXPORT_TTL_NS
    return ExportOut(
        job=job_out(job),
        **{name: said.get(name) for name in names},
        expires_at=None if over_ns is None else instant_text(over_ns),
    )


def _summary(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(job.result)["summary"] if job.result else {}
    return found


def _is_over(job: Job, now_ns: int) -> bool:
    return job.finished_ns is None or now_ns - job.finished_ns > EXPORT_TTL_NS
