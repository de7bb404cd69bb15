"""Coming in and going out: logins, second factors, step-ups, one-time links. Cookies are set here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from regime_trading.api.deps import Base, BaseDep, address_of, take
from regime_trading.api.errors import ApiError
from regime_trading.api.limits import READS, STRANGERS
from regime_trading.api.security import require_own_page
from regime_trading.api.shapes import Shape
from regime_trading.core.sessions import ABSOLUTE_NS
from regime_trading.core.users import (
    PasskeyAnswer,
    PasswordAgain,
    Proof,
    RecoveryCode,
    Site,
    TotpCode,
)
from regime_trading.services.identity import Identity, Opened
from regime_trading.services.links import LinkService
from regime_trading.services.sessions import Presence, SessionService


@dataclass(frozen=True)
class Entrance:
    """What routes about one's own login work over.

    Parameters
    ----------
    identity, sessions, links
        Services.
    """

    identity: Identity
    sessions: SessionService
    links: LinkService


class LoginIn(Shape):
    """Login and password, as typed."""

    login: str = Field(min_length=1, max_length=254)
    password: str = Field(min_length=1, max_length=1_024)


class ProofIn(Shape):
    """A proof of identity: six digits, a recovery code, what a passkey answered (as JSON text), or the password."""

    kind: Literal["totp", "recovery_code", "passkey", "password"]
    value: str = Field(min_length=1, max_length=20_000)


class LinkIn(Shape):
    """The secret of a one-time link."""

    secret: str = Field(min_length=1, max_length=200)


class PasswordIn(LinkIn):
    """A one-time link, and the password it is used for."""

    password: str = Field(min_length=1, max_length=1_024)


class ChangeIn(Shape):
    """The password that is, and the one that shall be."""

    old: str = Field(min_length=1, max_length=1_024)
    new: str = Field(min_length=1, max_length=1_024)


class SessionOut(Shape):
    """How far one is in."""

    user_id: str
    login: str
    name: str
    awaits_factor: bool = Field(
        description="a second factor is enrolled and not yet proved: nothing else works"
    )
    factors: tuple[str, ...]
    second_factor: bool


class HolderOut(Shape):
    """Whose a one-time link is."""

    login: str
    name: str


def cookie_of(request: Request, base: BaseDep) -> str:
    """The cookie of whoever is in, who must be on a page of ours.

    Raises
    ------
    ApiError
        401 without one, 403 from elsewhere, 429.
    """
    take(request, base, f"ip:{address_of(request)}", READS)
    secret = request.cookies.get(base.site.cookie, "")
    if not secret:
        raise ApiError(401, "sign_in", "sign in first")
    if request.method != "GET":
        require_own_page(request, base.site)
    return secret


CookieDep = Annotated[str, Depends(cookie_of)]


def own_page(request: Request, base: BaseDep) -> None:
    """Only a page of ours may try to come in; strangers do so at their own pace."""
    require_own_page(request, base.site)
    take(request, base, f"ip:{address_of(request)}", STRANGERS)


def session_router(entrance: Entrance) -> APIRouter:
    """Routes that open, raise and end a session."""
    router = APIRouter(prefix="/session", tags=["session"])
    identity, sessions = entrance.identity, entrance.sessions

    @router.post("", dependencies=[Depends(own_page)])
    def log_in(body: LoginIn, request: Request, base: BaseDep) -> SessionOut:
        """Open a session; where a second factor is enrolled it is awaited next."""
        agent = request.headers.get("user-agent", "")
        now_ns = base.clock.now_ns()
        return opened(base, identity.login(body.login, body.password, address_of(request), now_ns, agent))  # type: ignore[return-value]

    @router.get("")
    def read_session(cookie: CookieDep, base: BaseDep) -> SessionOut:
        """How far one is in."""
        return session_out(_present(sessions, cookie, base))

    @router.delete("", status_code=204)
    def log_out(cookie: CookieDep, base: BaseDep) -> Response:
        """End the session, and have the browser forget what it keeps of us."""
        sessions.logout(cookie, base.clock.now_ns())
        response = Response(status_code=204)
        base.site.clear_cookie(response)
        return response

    @router.post("/factor")
    def prove_factor(body: ProofIn, request: Request, cookie: CookieDep, base: BaseDep) -> SessionOut:
        """Prove the second factor that is awaited."""
        proof, now_ns = _proof(body, base), base.clock.now_ns()
        return opened(base, identity.second_step(cookie, proof, address_of(request), now_ns))  # type: ignore[return-value]

    @router.post("/step-up")
    def step_up(body: ProofIn, request: Request, cookie: CookieDep, base: BaseDep) -> SessionOut:
        """Prove one's identity again; it counts for five minutes."""
        proof, now_ns = _proof(body, base), base.clock.now_ns()
        return opened(base, identity.step_up(cookie, proof, address_of(request), now_ns))  # type: ignore[return-value]

    @router.post("/passkey-options")
    def read_passkey_options(cookie: CookieDep, base: BaseDep) -> Response:
        """Options for ``navigator.credentials.get()``."""
        options = identity.passkey_options(cookie, passkey_site(base), base.clock.now_ns())
        return Response(options, media_type="application/json")

    @router.post("/password")
    def change_password(body: ChangeIn, request: Request, cookie: CookieDep, base: BaseDep) -> SessionOut:
        """Another password; every other session ends."""
        now_ns = base.clock.now_ns()
        return opened(  # type: ignore[return-value]
            base, identity.change_password(cookie, body.old, body.new, address_of(request), now_ns)
        )

    @router.post("/link", dependencies=[Depends(own_page)])
    def read_link(body: LinkIn, base: BaseDep) -> HolderOut:
        """Whose a one-time link is, while it counts."""
        user = entrance.links.holder(body.secret, base.clock.now_ns())
        if user is None:
            raise ApiError(401, "not_identified", "this link does not count, or no longer")
        return HolderOut(login=user.login, name=user.name)

    @router.post("/link/password", dependencies=[Depends(own_page)])
    def use_link(body: PasswordIn, base: BaseDep) -> HolderOut:
        """Set a password with a one-time link; every session of the person ends. Sign in with it then."""
        user = entrance.links.set_password(body.secret, body.password, base.clock.now_ns())
        return HolderOut(login=user.login, name=user.name)

    return router


def opened(base: Base, found: Opened, answer: Shape | None = None) -> JSONResponse:
    """The answer that gives the browser its new cookie."""
    body = answer or session_out(found.presence)
    response = JSONResponse(body.model_dump(mode="json"))
    base.site.set_cookie(response, found.cookie, ABSOLUTE_NS // 1_000_000_000)
    return response


def session_out(found: Presence) -> SessionOut:
    """How far somebody is in, as it is shown."""
    return SessionOut(
        user_id=found.user.user_id,
        login=found.user.login,
        name=found.user.name,
        awaits_factor=found.awaits_factor,
        factors=tuple(sorted(factor.value for factor in found.factors)),
        second_factor=found.principal.second_factor,
    )


def passkey_site(base: Base) -> Site:
    """Where passkeys of this server are valid."""
    return Site(rp_id=base.site.host, origins=(base.site.origin,))


def _present(sessions: SessionService, cookie: str, base: Base) -> Presence:
    found = sessions.presence(cookie, base.clock.now_ns())
    if found is None:
        raise ApiError(401, "sign_in", "sign in first")
    return found


def _proof(body: ProofIn, base: Base) -> Proof:
    kinds: dict[str, Callable[[], Proof]] = {
        "totp": lambda: TotpCode(body.value),
        "recovery_code": lambda: RecoveryCode(body.value),
        "passkey": lambda: PasskeyAnswer(body.value, passkey_site(base)),
        "password": lambda: PasswordAgain(body.value),
    }
    return kinds[body.kind]()
