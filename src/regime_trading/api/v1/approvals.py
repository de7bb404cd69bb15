"""Requests that other people must agree to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from regime_trading.api.deps import Allowed, BaseDep, require, visible_accounts
from regime_trading.api.etags import IfMatch, require_match
from regime_trading.api.idempotency import OnceDep
from regime_trading.api.shapes import (
    ApprovalNowOut,
    ApprovalOut,
    DoneOut,
    Shape,
    approval_now_out,
    approval_out,
)
from regime_trading.core.access import Permission
from regime_trading.core.approvals import COMMENT_LENGTH, Approval, ApprovalStatus
from regime_trading.core.errors import BadInput
from regime_trading.services.approvals import approve, comment, find, now_of, reject, why_not
from regime_trading.services.desk import Desk

Reader = Annotated[Allowed, require(Permission.READ, some=True)]


class ReasonIn(Shape):
    """Why; a rejection needs ten characters."""

    reason: str = Field(default="", max_length=500)


class AgreeIn(ReasonIn):
    """Agreement."""

    phrase: str = Field(description="what must be typed: `phrase` of the request", max_length=200)


class CommentIn(Shape):
    """What to say: printable text of one line, without e-mail addresses or secrets. It stays in the record."""

    text: str = Field(min_length=1, max_length=COMMENT_LENGTH)


class DecidedOut(Shape):
    """The request after an answer, and what was done where that was the last one needed."""

    approval: ApprovalOut
    done: DoneOut | None


def approvals_router(desk: Desk) -> APIRouter:
    """Routes over a desk."""
    router = APIRouter(prefix="/firms/{firm}/approvals", tags=["approvals"])

    @router.get("")
    def list_approvals(
        allowed: Reader,
        base: BaseDep,
        status: Annotated[list[ApprovalStatus], Query(description="all where none is named")] = [],  # noqa: B006
        limit: Annotated[int, Query(ge=1, le=200)] = 100,
    ) -> list[ApprovalOut]:
        """Requests about accounts one may see and about the firm, the oldest first."""
        accounts = {*visible_accounts(allowed, base), ""}
        found = desk.approvals(allowed.target.firm_id).listed(
            status or tuple(ApprovalStatus), accounts, limit
        )
        return [approval_out(one) for one in found]

    @router.get("/{request_id}")
    def read_approval(request_id: str, allowed: Reader, response: Response) -> ApprovalNowOut:
        """One request, and what it would do now, where it can still be answered; the ETag names the step it is at, and
        an answer to it must name that too."""
        found = find(desk, allowed.principal, allowed.target.firm_id, request_id)
        response.headers["etag"] = approval_tag(found)
        now = now_of(desk, found) if found.status is ApprovalStatus.REQUESTED else None
        return approval_now_out(found, now, why_not(desk, allowed.principal, found))

    @router.post("/{request_id}/approve")
    def approve_request(
        request_id: str, body: AgreeIn, allowed: Reader, match: IfMatch, _once: OnceDep, response: Response
    ) -> DecidedOut:
        """Agree, having typed the phrase of the request; the last one needed has it carried out. What has changed since
        it was asked for voids it."""
        firm, look = allowed.target.firm_id, _seen(match, body.phrase)
        after, outcome = approve(desk, allowed.principal, firm, request_id, body.reason, look)
        response.headers["etag"], done = approval_tag(after), None
        if outcome is not None:
            done = DoneOut(outcome="executed", said=outcome.said, data=dict(outcome.data))
        return DecidedOut(approval=approval_out(after), done=done)

    @router.post("/{request_id}/reject")
    def reject_request(
        request_id: str, body: ReasonIn, allowed: Reader, match: IfMatch, _once: OnceDep, response: Response
    ) -> ApprovalOut:
        """Refuse, with a reason."""
        firm = allowed.target.firm_id
        after = reject(desk, allowed.principal, firm, request_id, body.reason, _seen(match))
        response.headers["etag"] = approval_tag(after)
        return approval_out(after)

    @router.post("/{request_id}/comments", status_code=201)
    def comment_on_request(
        request_id: str, body: CommentIn, allowed: Reader, _once: OnceDep, response: Response
    ) -> ApprovalOut:
        """Say something about a request that is open, beside any answer. Its ETag stays the same: whoever is about to
        answer it still can. Takes the permission `config.draft` over its account."""
        after = comment(desk, allowed.principal, allowed.target.firm_id, request_id, body.text)
        response.headers["etag"] = approval_tag(after)
        return approval_out(after)

    return router


def approval_tag(approval: Approval) -> str:
    """Names the step that a request is at."""
    return f'"{approval.version}"'


def _seen(match: str, phrase: str | None = None) -> Callable[[Approval], None]:
    """Refuses a request that is no longer at the step the caller has seen, or whose phrase was not typed."""

    def look(asked: Approval) -> None:
        require_match(match, approval_tag(asked))
        if phrase is not None and phrase != asked.request.phrase:
            expected = f"the phrase {asked.request.phrase}"
            raise BadInput(expected=expected, found="another one", where="phrase")

    return look
