"""Versions of the configuration: read, compared, replayed, drafted, applied, rolled back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, JsonValue

from regime_trading.api.deps import Allowed, Base, BaseDep, require, require_also
from regime_trading.api.etags import IfMatch, Match, require_match
from regime_trading.api.idempotency import KeyHeader, OnceDep, require_key
from regime_trading.api.limits import alone
from regime_trading.api.shapes import DoneOut, Shape
from regime_trading.api.v1.config_shapes import (
    CurrentOut,
    DiffOut,
    DocumentOut,
    Eyes,
    FindingOut,
    VersionOut,
    VersionsOut,
    current_out,
    diff_out,
    eyes_of,
    finding_out,
    version_out,
)
from regime_trading.api.v1.jobs import JobOut, Pseudonym, job_out
from regime_trading.core.access import Permission, Principal, reachable
from regime_trading.core.config_schema import document_schema
from regime_trading.core.config_versions import ConfigVersion, document_hash
from regime_trading.core.errors import BadInput, NotThere
from regime_trading.core.jobs import MOST_REPLAYED, JobKind
from regime_trading.core.numbers import LARGEST_NUMBER
from regime_trading.services.commands import Asker
from regime_trading.services.config_apply import Current
from regime_trading.services.config_changes import DEFAULT_DAYS, WhatIf
from regime_trading.services.config_proposals import propose, what_if_md
from regime_trading.services.config_versions import ConfigService, Replay, VersionDiff
from regime_trading.services.desk import Desk
from regime_trading.services.jobs import JobService

ServiceOf = Callable[[Principal, str], ConfigService]
Reader = Annotated[Allowed, require(Permission.READ_CONFIG, some=True)]
Drafter = Annotated[Allowed, require(Permission.DRAFT_CONFIG, some=True)]
Tightener = Annotated[Allowed, require(Permission.TIGHTEN, some=True)]
Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER)]
MOST_DAYS = 120  #: of a replay within a request; more is a job
MOST_TEXT = 500_000  #: characters of a document
Text = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MOST_TEXT,
        description="YAML of the firm's section",
        examples=['id: north-pier\nname: North Pier\nrisk: {gross: "0.9"}\naccounts: []\n'],
    ),
]
Reason = Annotated[str, Field(max_length=400, description="stays in the record", examples=["a calmer week"])]


class DocumentIn(Shape):
    """A document that somebody has in an editor."""

    document: Text


class DraftIn(Shape):
    """A document to be kept, and the version it was written on."""

    document: Text
    base_version: int = Field(ge=0, le=LARGEST_NUMBER, description="in force when it was read", examples=[6])
    reason: Reason = ""


class ProposeIn(Shape):
    """Why a draft shall be in force; what must be typed where it loosens, and how many days are replayed for those who
    must agree."""

    reason: Reason = ""
    phrase: str = Field(
        default="",
        max_length=200,
        description="where it loosens: the full name of the one account it changes, else the firm",
        examples=["north-pier/core"],
    )
    days: int = Field(default=20, ge=0, le=MOST_DAYS, description="to replay where it loosens; 0 = none")


class RollbackIn(Shape):
    """Which version shall be in force again."""

    to: int = Field(ge=1, le=LARGEST_NUMBER, examples=[5])
    reason: Reason = ""


class WhatIfIn(Shape):
    """A document, and the decision days to replay under it: the last ``days``, or those from ``first_day`` on."""

    document: Text
    source: str = Field(default="bundled", pattern=r"^[a-z0-9_-]{1,40}$")
    accounts: tuple[str, ...] = Field(
        default=(), max_length=50, description="all that one may draft for where empty"
    )
    days: int | None = Field(default=None, ge=1, le=MOST_DAYS, description=f"{DEFAULT_DAYS} where not said")
    first_day: dt.date | None = None
    last_day: dt.date | None = None


class WhatIfJobIn(Shape):
    """The decision days to replay under a stored version: the last ``days``, or those from ``first_day`` on."""

    source: str = Field(default="bundled", pattern=r"^[a-z0-9_-]{1,40}$")
    accounts: tuple[str, ...] = Field(
        default=(), max_length=50, description="all that one may draft for where empty"
    )
    days: int | None = Field(
        default=None, ge=1, le=MOST_REPLAYED, description=f"{DEFAULT_DAYS} where not said"
    )
    first_day: dt.date | None = None
    last_day: dt.date | None = None


class ValidationOut(Shape):
    """What the loader says of a document."""

    ok: bool
    findings: tuple[FindingOut, ...]


class WhatIfOut(Shape):
    """What would have been decided otherwise, by account."""

    first: str
    last: str
    days: int
    accounts: tuple[dict[str, JsonValue], ...]


def configs_router(
    service_of: ServiceOf, replay: Replay, jobs: JobService, pseudonym: Pseudonym, desk: Desk
) -> APIRouter:
    """Routes over the versions of a firm.

    Parameters
    ----------
    service_of : callable
        The service as somebody, for a firm: whoever calls is the author of what is made.
    replay : Replay
        Replays days under two sets of profiles; one at a time.
    jobs : JobService
        Of longer replays.
    pseudonym : callable
        Of a person in the record of a firm.
    desk : Desk
        Where people are asked to agree.
    """
    router = APIRouter(prefix="/firms/{firm}/configs", tags=["configs"])
    _add_reading(router, service_of)
    turn = BoundedSemaphore(1)
    _add_trying(router, service_of, replay, turn)
    _add_replaying(router, service_of, jobs, pseudonym)
    _add_making(router, service_of)
    _add_proposing(router, service_of, replay, turn, desk)
    return router


def _add_reading(router: APIRouter, service_of: ServiceOf) -> None:
    @router.get("")
    def list_versions(
        firm: str,
        allowed: Reader,
        base: BaseDep,
        before: Annotated[
            int | None, Query(ge=1, le=LARGEST_NUMBER, description="next_before of the last")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> VersionsOut:
        """Versions, the newest first."""
        found = service_of(allowed.principal, firm).history(firm, before, limit + 1)
        eyes, more = eyes_of(allowed, base), len(found) > limit
        items = tuple(version_out(one, eyes) for one in found[:limit])
        return VersionsOut(items=items, next_before=items[-1].version if more else None)

    @router.get("/current")
    def read_current_config(firm: str, allowed: Reader, base: BaseDep, response: Response) -> CurrentOut:
        """The version in force; what was written into the file by hand has become one of its own. The ETag names it,
        and a change of what is in force must name it too."""
        found = service_of(allowed.principal, firm).current(firm)
        response.headers["etag"] = current_tag(found)
        return current_out(found, eyes_of(allowed, base))

    @router.get("/schema")
    def read_document_schema(allowed: Reader) -> dict[str, JsonValue]:
        """JSON Schema of a document, for an editor; the loader alone decides what is valid."""
        return document_schema()

    @router.get("/diff")
    def diff_versions(
        firm: str,
        allowed: Reader,
        base: BaseDep,
        old: Annotated[int, Query(alias="from", ge=1, le=LARGEST_NUMBER)],
        new: Annotated[int, Query(alias="to", ge=1, le=LARGEST_NUMBER)],
    ) -> DiffOut:
        """What lies between two versions, key by key, under settings and presets as they are now."""
        service = service_of(allowed.principal, firm)
        for number in (old, new):
            _find(service, firm, number)
        return diff_out(service.diff(firm, old, new), eyes_of(allowed, base))

    @router.get("/{version}")
    def read_version(firm: str, version: Number, allowed: Reader, base: BaseDep) -> DocumentOut:
        """One version with its document."""
        found, eyes = _find(service_of(allowed.principal, firm), firm, version), eyes_of(allowed, base)
        return DocumentOut(version=version_out(found, eyes), document=eyes.text(found.document))


def _add_trying(router: APIRouter, service_of: ServiceOf, replay: Replay, turn: BoundedSemaphore) -> None:
    @router.post("/validate")
    def validate_document(firm: str, body: DocumentIn, allowed: Drafter) -> ValidationOut:
        """What the loader would say of a document; nothing is kept."""
        findings = service_of(allowed.principal, firm).validate(firm, body.document)
        return ValidationOut(ok=not findings, findings=tuple(map(finding_out, findings)))

    @router.post("/compare")
    def compare_document(
        firm: str, body: DocumentIn, allowed: Drafter, base: BaseDep, request: Request
    ) -> DiffOut:
        """What a document would change of what is in force, what loosens first; nothing is kept."""
        diff = service_of(allowed.principal, firm).compare(firm, body.document)
        _require_touched(request, base, allowed, diff)
        return diff_out(diff, eyes_of(allowed, base))

    @router.post("/whatif")
    def replay_document(
        firm: str, body: WhatIfIn, allowed: Drafter, base: BaseDep, request: Request
    ) -> WhatIfOut:
        """The last decision days, or those from ``first_day`` on, under what is in force and under a document: takes
        seconds to minutes. More of them are a job over a version that is kept."""
        _require_short(body)
        service, eyes = service_of(allowed.principal, firm), eyes_of(allowed, base)
        _require_touched(request, base, allowed, service.compare(firm, body.document))
        asked = WhatIf(body.source, _own(body.accounts, eyes), body.days, body.first_day, body.last_day)
        with alone(turn, "replay"):
            answer = service.what_if(firm, body.document, asked, replay)
        accounts = tuple(_without_amounts(one, eyes) for one in answer["accounts"])
        return WhatIfOut(first=answer["first"], last=answer["last"], days=answer["days"], accounts=accounts)


def _add_replaying(router: APIRouter, service_of: ServiceOf, jobs: JobService, pseudonym: Pseudonym) -> None:
    @router.post("/{version}/whatif", status_code=202)
    def start_replay(
        firm: str,
        version: Number,
        body: WhatIfJobIn,
        allowed: Drafter,
        base: BaseDep,
        request: Request,
        key: KeyHeader = None,
    ) -> JobOut:
        """Queue a replay of as many as 2,500 decision days under a version that is kept (a draft); the same key again
        is the same job. What it finds is a file of its run."""
        service, eyes = service_of(allowed.principal, firm), eyes_of(allowed, base)
        found = _find(service, firm, version)
        _require_touched(request, base, allowed, service.compare(firm, found.document))
        asked = {
            "version": version,
            "source": body.source,
            "accounts": list(_own(body.accounts, eyes)),
            "days": body.days,
            "first": None if body.first_day is None else body.first_day.isoformat(),
            "last": None if body.last_day is None else body.last_day.isoformat(),
        }
        by = pseudonym(firm, allowed.principal.user_id)
        return job_out(jobs.enqueue(firm, JobKind.WHATIF, asked, by=by, key=require_key(key)))


def _add_making(router: APIRouter, service_of: ServiceOf) -> None:
    @router.post("/drafts", status_code=201)
    def draft_version(
        firm: str,
        body: DraftIn,
        allowed: Drafter,
        base: BaseDep,
        request: Request,
        _once: OnceDep,
        match: Match = None,
    ) -> VersionOut:
        """Keep a document as a draft; 409 where another version than ``base_version`` is in force by now."""
        service = service_of(allowed.principal, firm)
        require_match(match, current_tag(service.current(firm)))
        _require_touched(request, base, allowed, service.compare(firm, body.document))
        made = service.draft(firm, body.document, body.base_version, body.reason)
        return version_out(made, eyes_of(allowed, base))

    @router.post("/rollback", status_code=201)
    def roll_back(
        firm: str,
        body: RollbackIn,
        allowed: Drafter,
        base: BaseDep,
        request: Request,
        _once: OnceDep,
        match: Match = None,
    ) -> VersionOut:
        """A draft with the document of an earlier version; it is applied like any other."""
        service = service_of(allowed.principal, firm)
        require_match(match, current_tag(service.current(firm)))
        document = _find(service, firm, body.to).document
        _require_touched(request, base, allowed, service.compare(firm, document))
        return version_out(service.rollback(firm, body.to, body.reason), eyes_of(allowed, base))

    @router.post("/{version}/apply")
    def apply_version(
        firm: str,
        version: Number,
        allowed: Tightener,
        base: BaseDep,
        request: Request,
        match: IfMatch,
        _once: OnceDep,
    ) -> VersionOut:
        """Put a draft into force. What tightens goes at once; what loosens accounts in dry runs takes a PM who has just
        proved who they are; whatever else loosens is refused (``needs_agreement``): propose it."""
        service = service_of(allowed.principal, firm)
        require_match(match, current_tag(service.current(firm)))
        for permission, account in _asked_for(_find(service, firm, version)):
            require_also(request, base, allowed, permission, account)
        return version_out(service.apply(firm, version), eyes_of(allowed, base))


def _add_proposing(
    router: APIRouter, service_of: ServiceOf, replay: Replay, turn: BoundedSemaphore, desk: Desk
) -> None:
    @router.post("/{version}/propose")
    def propose_version(
        firm: str,
        version: Number,
        body: ProposeIn,
        allowed: Drafter,
        base: BaseDep,
        match: IfMatch,
        _once: OnceDep,
        key: KeyHeader = None,
    ) -> DoneOut:
        """Ask for a draft to be in force. What tightens goes at once (``executed``). What loosens takes a reason, the
        typed phrase and a fresh proof of identity, and becomes a request with its diff and a replay of the last days
        (``requested``); in accounts that run dry, a PM who could agree to it is not asked for a second."""
        service = service_of(allowed.principal, firm)
        require_match(match, current_tag(service.current(firm)))
        found = _find(service, firm, version)

        def note() -> str:
            accounts = tuple(one.account for one in found.accounts if one.changes)
            if not body.days or not accounts:
                return ""
            with alone(turn, "replay"):
                asked = WhatIf(accounts=accounts, days=body.days)
                return what_if_md(service.what_if(firm, found.document, asked, replay))

        asker, named = Asker(allowed.principal, firm), require_key(key) if key else ""
        done = propose(desk, service, asker, found, body.phrase, body.reason, note, named)
        return DoneOut(outcome=done.outcome, said=done.said, data=done.data, request_id=done.request_id)


def current_tag(current: Current) -> str:
    """Names what is in force and what the file says."""
    return f'"{current.number}-{document_hash(current.reading.document)[:32]}"'


def _find(service: ConfigService, firm: str, version: int) -> ConfigVersion:
    try:
        return service.get(firm, version)
    except BadInput as error:
        raise NotThere("version", str(version)) from error


def _require_touched(request: Request, base: Base, allowed: Allowed, diff: VersionDiff) -> None:
    """Whoever drafts must be allowed to over every account that changes; over the firm where none does.

    A document that the loader refuses changes nothing.
    """
    touched: list[str | None] = [one.account for one in diff.accounts if one.changes]
    for account in touched or ([] if diff.findings else [None]):
        require_also(request, base, allowed, allowed.permission, account)


def _asked_for(version: ConfigVersion) -> Iterator[tuple[Permission, str | None]]:
    """What applying takes. Loosening alone takes whoever could agree to it were it somebody else's (contract 12)."""
    touched = [one for one in version.accounts if one.changes]
    if not touched:
        yield Permission.TIGHTEN, None
    for one in touched:
        yield (Permission.REQUEST_LOOSENING if one.loosens else Permission.TIGHTEN), one.account
        if one.loosens and not one.needs_agreement:
            yield Permission.APPROVE_LOOSENING, one.account


def _own(named: tuple[str, ...], eyes: Eyes) -> tuple[str, ...]:
    """Accounts to replay: those asked for, all of which one may draft for, or all that one may."""
    allowed = eyes.allowed
    mine = tuple(reachable(allowed.principal, allowed.permission, eyes.known, allowed.now_ns))
    if missing := [name for name in named if name not in mine]:
        raise NotThere("account", missing[0])
    return named or mine


def _require_short(body: WhatIfIn) -> None:
    """Refuse a stretch that would keep a request waiting; a first day alone has no end that is known here."""
    if body.first_day is None:
        return
    last = body.last_day
    if last is None or (last - body.first_day).days > 2 * MOST_DAYS:
        raise BadInput(
            expected=f"a last day at most {2 * MOST_DAYS} days later (POST …/{{version}}/whatif replays more)",
            found="none" if last is None else str((last - body.first_day).days),
            where="last_day",
        )


def _without_amounts(found: dict[str, Any], eyes: Eyes) -> dict[str, Any]:
    """Rows of single decisions hold quantities."""
    return found if eyes.amounts(found["account"]) else found | {"rows": []}
