"""People of a firm: who they are, their roles, their tokens. For the firm's administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from regime_trading.api.deps import Allowed, require
from regime_trading.api.etags import IfMatch, etag_of, require_match
from regime_trading.api.idempotency import OnceDep, once
from regime_trading.api.shapes import InstantText, Shape
from regime_trading.api.v1.me import TokenOut, token_out
from regime_trading.core.access import Grant, Permission, Role
from regime_trading.core.errors import NotThere
from regime_trading.core.instants import instant_text
from regime_trading.core.users import Member
from regime_trading.services.people import By
from regime_trading.services.tokens import TokenService
from regime_trading.services.users import MemberService

Reader = Annotated[Allowed, require(Permission.READ_USERS)]
Manager = Annotated[Allowed, require(Permission.MANAGE_USERS)]


class GrantIn(Shape):
    """A role over some accounts (full names), or over all of the firm (null)."""

    role: Role
    accounts: frozenset[str] | None = Field(default=None, description="null = all, those to come too")
    redact: bool = Field(default=False, description="leave amounts of money out of what is shown")


class UserIn(GrantIn):
    """A person to be invited, with a first role."""

    login: str = Field(min_length=1, max_length=254)
    name: str = Field(min_length=1, max_length=200)


class GrantOut(Shape):
    """A role of a member."""

    role: Role
    accounts: tuple[str, ...] | None
    redact: bool


class MemberOut(Shape):
    """A member of the firm."""

    user_id: str
    login: str
    name: str
    roles: tuple[GrantOut, ...]
    second_factor: bool
    invited: bool = Field(description="no password was set yet")
    disabled_at: InstantText | None


class InvitedOut(Shape):
    """A new member, and the link with which they set their password; shown this once."""

    user_id: str
    link: str


class LinkOut(Shape):
    """A one-time link; shown this once."""

    link: str


class ResetIn(Shape):
    """What a reset takes away beside the password."""

    drop_factors: bool = False


class EndedOut(Shape):
    """How many sessions ended."""

    ended: int


def users_router(members: MemberService, tokens: TokenService, link_of: Callable[[str], str]) -> APIRouter:
    """Routes over the members of a firm; ``link_of`` makes an address of a secret."""
    router = APIRouter(prefix="/firms/{firm}", tags=["users"])

    @router.get("/users")
    def list_users(firm: str, allowed: Reader) -> list[MemberOut]:
        """Members of the firm."""
        return [_member(one) for one in members.members(firm)]

    @router.get("/users/{user_id}")
    def read_user(firm: str, user_id: str, allowed: Reader, response: Response) -> MemberOut:
        """One member; the ETag names them as they are, and a change of them must name it too."""
        found = _member(members.member(firm, user_id))
        response.headers["etag"] = member_tag(found)
        return found

    @router.post("/users", status_code=201)
    def create_user(
        firm: str, body: UserIn, allowed: Manager, _once: Annotated[None, once("link")]
    ) -> InvitedOut:
        """Invite somebody who has no login yet."""
        made = members.create(
            By.of(allowed.principal), body.login, body.name, _grant(firm, body), allowed.now_ns
        )
        return InvitedOut(user_id=made.user.user_id, link=link_of(made.link))

    @router.put("/users/{user_id}/roles", status_code=204)
    def grant_role(
        firm: str, user_id: str, body: GrantIn, allowed: Manager, match: IfMatch, _once: OnceDep
    ) -> Response:
        """Give a role, or change what it covers; at once, in every session."""
        members.grant(
            By.of(allowed.principal), user_id, _grant(firm, body), allowed.now_ns, look=_seen(match)
        )
        return Response(status_code=204)

    @router.delete("/users/{user_id}/roles/{role}", status_code=204)
    def revoke_role(
        firm: str, user_id: str, role: Role, allowed: Manager, match: IfMatch, _once: OnceDep
    ) -> Response:
        """Take a role away; at once, in every session. The last administrator stays."""
        by = By.of(allowed.principal)
        members.revoke(by, firm, user_id, allowed.now_ns, roles=(role,), look=_seen(match))
        return Response(status_code=204)

    @router.post("/users/{user_id}/disable", status_code=204)
    def disable_user(firm: str, user_id: str, allowed: Manager, match: IfMatch, _once: OnceDep) -> Response:
        """Keep somebody out; their sessions end."""
        members.disable(By.of(allowed.principal), firm, user_id, allowed.now_ns, _seen(match))
        return Response(status_code=204)

    @router.post("/users/{user_id}/enable", status_code=204)
    def enable_user(firm: str, user_id: str, allowed: Manager, match: IfMatch, _once: OnceDep) -> Response:
        """Let somebody in again."""
        members.enable(By.of(allowed.principal), firm, user_id, allowed.now_ns, _seen(match))
        return Response(status_code=204)

    @router.post("/users/{user_id}/reset")
    def reset_user(
        firm: str, user_id: str, body: ResetIn, allowed: Manager, _once: Annotated[None, once("link")]
    ) -> LinkOut:
        """A link with which they set another password."""
        link = members.reset_link(
            By.of(allowed.principal), firm, user_id, allowed.now_ns, drops_factors=body.drop_factors
        )
        return LinkOut(link=link_of(link))

    @router.delete("/users/{user_id}/sessions")
    def end_user_sessions(firm: str, user_id: str, allowed: Manager) -> EndedOut:
        """End every session of somebody."""
        return EndedOut(ended=members.end_sessions(By.of(allowed.principal), firm, user_id, allowed.now_ns))

    @router.get("/tokens")
    def list_firm_tokens(firm: str, allowed: Manager) -> list[TokenOut]:
        """Everybody's API tokens in the firm."""
        return [token_out(one) for one in tokens.of_firm(firm)]

    @router.delete("/tokens/{token_id}", status_code=204)
    def revoke_firm_token(firm: str, token_id: str, allowed: Manager, _once: OnceDep) -> Response:
        """End anybody's token in the firm."""
        tokens.revoke(By.of(allowed.principal), firm, token_id, allowed.now_ns, own=False)
        return Response(status_code=204)

    return router


def member_tag(member: MemberOut) -> str:
    """Names a member as they are."""
    return etag_of(member.model_dump_json().encode())


def _seen(match: str) -> Callable[[Member], None]:
    """Refuses a member who is no longer as the caller has seen them."""
    return lambda member: require_match(match, member_tag(_member(member)))


def _grant(firm: str, body: GrantIn) -> Grant:
    for account in body.accounts or ():
        if account.split("/")[0] != firm:
            raise NotThere("account", account, expected=f"accounts of {firm}")
    return Grant(firm, body.role, body.accounts, body.redact)


def _member(member: Member) -> MemberOut:
    disabled = member.user.disabled_ns
    return MemberOut(
        user_id=member.user.user_id,
        login=member.user.login,
        name=member.user.name,
        roles=tuple(
            GrantOut(
                role=one.role,
                accounts=None if one.accounts is None else tuple(sorted(one.accounts)),
                redact=one.redact,
            )
            for one in member.grants
        ),
        second_factor=member.second_factor,
        invited=member.invited,
        disabled_at=None if disabled is None else instant_text(disabled),
    )
