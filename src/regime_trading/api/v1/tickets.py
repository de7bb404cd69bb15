"""Tickets for the live channel, for clients that cannot send a cookie with it."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from pydantic import Field

from regime_trading.api.deps import BaseDep, PrincipalDep, is_person, limited
from regime_trading.api.errors import refusal
from regime_trading.api.shapes import InstantText, Shape
from regime_trading.core.access import Answer
from regime_trading.core.instants import instant_text
from regime_trading.core.ports import Tickets
from regime_trading.services.stream_tickets import GOOD_FOR_NS, issue


class TicketOut(Shape):
    """A ticket: ``/ws?ticket=…`` opens the live channel of this session once."""

    ticket: str = Field(description="shown once; only its hash is kept", examples=["9f" * 32])
    expires_at: InstantText


def tickets_router(tickets: Tickets, entropy: Callable[[int], bytes]) -> APIRouter:
    """One route; ``entropy`` gives so many bytes that nobody can guess."""
    router = APIRouter(tags=["live"], dependencies=[limited])

    @router.post("/ws-ticket", status_code=201)
    def make_ticket(principal: PrincipalDep, base: BaseDep) -> TicketOut:
        """A ticket for one's own session, good for thirty seconds; no API token gets one."""
        if not (is_person(principal) and principal.session_id):
            raise refusal(Answer.NOT_BY_TOKEN)
        now_ns = base.clock.now_ns()
        made = issue(tickets, principal.user_id, principal.session_id, now_ns=now_ns, entropy=entropy)
        return TicketOut(ticket=made, expires_at=instant_text(now_ns + GOOD_FOR_NS))

    return router
