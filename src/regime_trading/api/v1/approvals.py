"""Requests that other people must agree to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from regime_trading.api.deps import Allowed, BaseDep, require, visible_accounts
from regime_trading.api.shapes import ApprovalOut, DoneOut, Shape, approval_out
from regime_trading.core.access import Permission
from regime_trading.core.approvals import ApprovalStatus
from regime_trading.services.approvals import approve, find, reject
from regime_trading.services.desk import Desk

Reader = Annotated[Allowed, require(Permission.READ, some=True)]


class ReasonIn(Shape):
    """Why; a rejection needs ten characters."""

    reason: str = Field(default="", max_length=500)


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
    def read_approval(request_id: str, allowed: Reader) -> ApprovalOut:
        """One request."""
        return approval_out(find(desk, allowed.principal, allowed.target.firm_id, request_id))

    @router.post("/{request_id}/approve")
    def approve_request(request_id: str, body: ReasonIn, allowed: Reader) -> DecidedOut:
        """Agree; the last one needed has it carried out. What has changed since it was asked for voids it."""
        after, outcome = approve(desk, allowed.principal, allowed.target.firm_id, request_id, body.reason)
        done = None
        if outcome is not None:
            done = DoneOut(outcome="executed", said=outcome.said, data=dict(outcome.data))
        return DecidedOut(approval=approval_out(after), done=done)

    @router.post("/{request_id}/reject")
    def reject_request(request_id: str, body: ReasonIn, allowed: Reader) -> ApprovalOut:
        """Refuse, with a reason."""
        return approval_out(reject(desk, allowed.principal, allowed.target.firm_id, request_id, body.reason))

    return router
