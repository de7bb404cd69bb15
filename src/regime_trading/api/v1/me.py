"""What belongs to oneself: who one is, permissions, factors, sessions, API tokens."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BeforeValidator, Field

from regime_trading.api.deps import Allowed, Base, BaseDep, PrincipalDep, limited, require
from regime_trading.api.errors import ApiError
from regime_trading.api.idempotency import OnceDep, once
from regime_trading.api.shapes import InstantText, Shape
from regime_trading.api.v1.session import CookieDep, SessionOut, opened, passkey_site, session_out
from regime_trading.core.access import Caller, Permission, Principal, held, shows_amounts, takes_role
from regime_trading.core.errors import BadInput, NotThere
from regime_trading.core.instants import instant_text, parse_instant
from regime_trading.core.users import ApiToken, Factor
from regime_trading.services.factors import Enrolled, FactorService
from regime_trading.services.people import By
from regime_trading.services.sessions import SessionService
from regime_trading.services.tokens import TokenService

Instant = Annotated[int, BeforeValidator(parse_instant)]
Tokens = Annotated[Allowed, require(Permission.OWN_TOKENS)]


class HeldOut(Shape):
    """A permission in a firm; ``accounts`` null = all of them; ``needs`` = what it still takes each time."""

    firm: str
    permission: Permission
    accounts: tuple[str, ...] | None
    needs: tuple[str, ...]


class TakesOut(Shape):
    """Which roles a permission takes, whoever asks: what somebody lacks can be said."""

    permission: Permission
    said: str


class RoleOut(Shape):
    """A role in a firm."""

    firm: str
    role: str
    accounts: tuple[str, ...] | None
    redact: bool


class FirmOut(Shape):
    """A firm one works for."""

    firm: str
    accounts: tuple[str, ...] = Field(description="those one has any role over, by full name")
    hides_amounts: tuple[str, ...] = Field(description="of those, where amounts of money are left out")


class MeOut(Shape):
    """Who one is, and what one may."""

    user_id: str
    caller: Caller
    second_factor: bool
    stepped_up_at: InstantText | None
    firms: tuple[FirmOut, ...]
    roles: tuple[RoleOut, ...]
    permissions: tuple[HeldOut, ...]
    takes: tuple[TakesOut, ...]
    demo: bool
    version: str


class SeedOut(Shape):
    """A seed for an authenticator; it counts once a code of it was given."""

    seed: str
    uri: str = Field(description="for a QR code")


class CodeIn(Shape):
    """Six digits."""

    code: str = Field(max_length=10)


class PasskeyIn(Shape):
    """What ``navigator.credentials.create()`` answered, as JSON text, and a name for it."""

    answer: str = Field(max_length=20_000)
    name: str = Field(default="passkey", max_length=80)


class EnrolledOut(Shape):
    """The session after a factor was added; recovery codes come with the first one, and are shown this once."""

    session: SessionOut
    recovery_codes: tuple[str, ...]


class CodesOut(Shape):
    """Recovery codes, shown this once."""

    recovery_codes: tuple[str, ...]


class PasskeyOut(Shape):
    """A passkey."""

    credential_id: str
    name: str
    created_at: InstantText


class FactorsOut(Shape):
    """What is enrolled."""

    totp: bool
    passkeys: tuple[PasskeyOut, ...]
    recovery_codes_left: int


class OpenSessionOut(Shape):
    """A session of one's own."""

    session_id: str
    current: bool
    created_at: InstantText
    seen_at: InstantText
    method: str
    ip_prefix: str
    agent: str


class TokenIn(Shape):
    """A token to be made."""

    name: str = Field(min_length=1, max_length=80)
    permissions: frozenset[Permission] = Field(min_length=1)
    accounts: frozenset[str] | None = Field(
        default=None, description="null = one's own, as they are at each use"
    )
    expires_at: Instant = Field(
        description="ISO 8601; at most 90 days from now", json_schema_extra={"type": "string"}
    )


class TokenOut(Shape):
    """An API token; never its text."""

    token_id: str
    firm: str
    user_id: str
    name: str
    permissions: tuple[Permission, ...]
    accounts: tuple[str, ...] | None
    created_at: InstantText
    expires_at: InstantText
    used_at: InstantText | None


class MadeOut(Shape):
    """A new token and its text, which is shown this once."""

    token: TokenOut
    text: str


def me_router(
    factors: FactorService,
    sessions: SessionService,
    tokens: TokenService,
    *,
    demo: bool,
    version: str,
) -> APIRouter:
    """Routes about oneself."""
    router = APIRouter(prefix="/me", tags=["me"])
    _about(router, demo, version)
    _factors(router, factors)
    _sessions(router, sessions)
    router.include_router(_tokens(tokens))
    return router


def _about(router: APIRouter, demo: bool, version: str) -> None:
    @router.get("", dependencies=[limited])
    def read_me(principal: PrincipalDep, base: BaseDep) -> MeOut:
        """Who one is, in which firms, and everything one may."""
        stepped = principal.stepped_up_ns
        return MeOut(
            user_id=principal.user_id,
            caller=principal.caller,
            second_factor=principal.second_factor,
            stepped_up_at=None if stepped is None else instant_text(stepped),
            firms=tuple(_firm(principal, firm, base) for firm in principal.firms),
            roles=tuple(
                RoleOut(firm=g.firm_id, role=g.role.value, accounts=_sorted(g.accounts), redact=g.redact)
                for g in principal.grants
            ),
            permissions=tuple(
                HeldOut(firm=one.firm_id, permission=one.permission, accounts=one.accounts, needs=one.needs)
                for one in held(principal)
            ),
            takes=tuple(TakesOut(permission=one, said=takes_role(one)) for one in Permission),
            demo=demo,
            version=version,
        )


def _firm(principal: Principal, firm: str, base: Base) -> FirmOut:
    own = [grant for grant in principal.grants if grant.firm_id == firm]
    accounts = tuple(
        account
        for account in base.accounts(firm) or ()
        if any(grant.accounts is None or account in grant.accounts for grant in own)
    )
    return FirmOut(
        firm=firm,
        accounts=accounts,
        hides_amounts=tuple(a for a in accounts if not shows_amounts(principal, a)),
    )


def _factors(router: APIRouter, factors: FactorService) -> None:
    @router.get("/factors", dependencies=[limited])
    def read_factors(principal: PrincipalDep) -> FactorsOut:
        """What is enrolled."""
        found = factors.of(principal.user_id)
        return FactorsOut(
            totp=found.totp,
            passkeys=tuple(
                PasskeyOut(
                    credential_id=base64.urlsafe_b64encode(one.credential_id).decode().rstrip("="),
                    name=one.name,
                    created_at=instant_text(one.created_ns),
                )
                for one in found.passkeys
            ),
            recovery_codes_left=found.recovery_codes_left,
        )

    @router.post("/factors/totp")
    def offer_totp(cookie: CookieDep, base: BaseDep) -> SeedOut:
        """A seed for an authenticator, in the place of another once it is confirmed."""
        offer = factors.offer_totp(cookie, base.clock.now_ns())
        return SeedOut(seed=offer.seed, uri=offer.uri)

    @router.post("/factors/totp/confirm")
    def confirm_totp(body: CodeIn, cookie: CookieDep, base: BaseDep) -> EnrolledOut:
        """Enrol the authenticator by a code of it."""
        return _enrolled(base, factors.confirm_totp(cookie, body.code, base.clock.now_ns()))

    @router.post("/factors/passkeys/options")
    def offer_passkey(cookie: CookieDep, base: BaseDep) -> Response:
        """Options for ``navigator.credentials.create()``."""
        options = factors.passkey_creation(cookie, passkey_site(base), base.clock.now_ns())
        return Response(options, media_type="application/json")

    @router.post("/factors/passkeys")
    def add_passkey(body: PasskeyIn, cookie: CookieDep, base: BaseDep) -> EnrolledOut:
        """Enrol a passkey."""
        now_ns = base.clock.now_ns()
        return _enrolled(
            base, factors.add_passkey(cookie, body.answer, passkey_site(base), body.name, now_ns)
        )

    @router.delete("/factors/{kind}", status_code=204)
    def remove_factor(
        kind: Literal["totp", "passkey"],
        cookie: CookieDep,
        base: BaseDep,
        credential_id: Annotated[str, Query(max_length=2_000)] = "",
    ) -> Response:
        """Remove the authenticator, or one passkey."""
        named = _credential(credential_id) if credential_id else None
        factors.remove(cookie, Factor(kind), base.clock.now_ns(), credential_id=named)
        return Response(status_code=204)

    @router.post("/factors/recovery-codes")
    def new_recovery_codes(cookie: CookieDep, base: BaseDep) -> CodesOut:
        """Ten new recovery codes; earlier ones are gone."""
        return CodesOut(recovery_codes=factors.new_recovery_codes(cookie, base.clock.now_ns()))


def _enrolled(base: Base, found: Enrolled) -> EnrolledOut:
    answer = EnrolledOut(session=session_out(found.opened.presence), recovery_codes=found.recovery_codes)
    return opened(base, found.opened, answer)  # type: ignore[return-value]


def _credential(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise BadInput(expected="a credential id", found=text[:60], where="credential_id") from error


def _sessions(router: APIRouter, sessions: SessionService) -> None:
    @router.get("/sessions", dependencies=[limited])
    def list_sessions(principal: PrincipalDep, base: BaseDep) -> list[OpenSessionOut]:
        """One's own sessions, the newest first."""
        return [
            OpenSessionOut(
                session_id=one.session_id,
                current=one.session_id == principal.session_id,
                created_at=instant_text(one.created_ns),
                seen_at=instant_text(one.seen_ns),
                method=one.method,
                ip_prefix=one.ip_prefix,
                agent=one.agent,
            )
            for one in sessions.all(principal.user_id, base.clock.now_ns())
        ]

    @router.delete("/sessions/{session_id}", status_code=204, dependencies=[limited])
    def end_session(session_id: str, principal: PrincipalDep, base: BaseDep) -> Response:
        """End one of one's own sessions."""
        if principal.caller is not Caller.SESSION:
            raise ApiError(403, "not_by_token", "a person with a session does that")
        ended = sessions.end(
            By.of(principal), principal.user_id, base.clock.now_ns(), session_ids=[session_id]
        )
        if not ended:
            raise NotThere("session", session_id)
        return Response(status_code=204)


def _tokens(tokens: TokenService) -> APIRouter:
    router = APIRouter(prefix="/firms/{firm}/tokens")

    @router.get("")
    def list_tokens(firm: str, allowed: Tokens) -> list[TokenOut]:
        """One's own tokens in a firm, the newest first."""
        return [token_out(one) for one in tokens.own(allowed.principal.user_id, firm)]

    @router.post("", status_code=201)
    def make_token(
        firm: str, body: TokenIn, allowed: Tokens, _once: Annotated[None, once("text")]
    ) -> MadeOut:
        """A token that may do no more than one may oneself."""
        made = tokens.make(
            allowed.principal,
            firm,
            body.name,
            body.permissions,
            body.accounts,
            body.expires_at,
            allowed.now_ns,
        )
        return MadeOut(token=token_out(made.token), text=made.text)

    @router.delete("/{token_id}", status_code=204)
    def revoke_token(firm: str, token_id: str, allowed: Tokens, _once: OnceDep) -> Response:
        """End one of one's own tokens."""
        tokens.revoke(By.of(allowed.principal), firm, token_id, allowed.now_ns)
        return Response(status_code=204)

    return router


def token_out(token: ApiToken) -> TokenOut:
    """A token as it is shown."""
    used = token.used_ns
    return TokenOut(
        token_id=token.token_id,
        firm=token.firm_id,
        user_id=token.user_id,
        name=token.name,
        permissions=tuple(sorted(token.permissions)),
        accounts=_sorted(token.accounts),
        created_at=instant_text(token.created_ns),
        expires_at=instant_text(token.expires_ns),
        used_at=None if used is None else instant_text(used),
    )


def _sorted(names: frozenset[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(sorted(names))
