"""What a route can ask for: who calls, whether they may, the time, and the services behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from regime_trading.api.errors import ApiError, refusal
from regime_trading.api.limits import HALTS, READS, STRANGERS, WRITES, Limiter, Rate
from regime_trading.api.security import UNSAFE, Site, require_own_page
from regime_trading.core.access import Answer, Caller, Denial, Permission, Principal, Target, may
from regime_trading.core.errors import NotThere
from regime_trading.core.ports import Clock, Idempotency

HALTING = frozenset({Permission.HALT, Permission.KILL, Permission.KILL_FIRM})


class Doors(Protocol):
    """Where people and programs come in."""

    def by_cookie(self, secret: str, now_ns: int) -> Principal | None:
        """Whose session a cookie names; None where there is none (any more)."""

    def by_token(self, text: str, now_ns: int) -> Principal | None:
        """Whose API token this is; None where it is none (any more)."""

    def denied(self, principal: Principal, denial: Denial) -> None:
        """Record that somebody was refused; raises nothing."""


@dataclass(frozen=True)
class Base:
    """What every route rests on.

    Parameters
    ----------
    clock : Clock
    doors : Doors
    site : Site
    accounts : callable
        Full names of the configured accounts of a firm; None where there is no such firm.
    limiter : Limiter
    answers : Idempotency
        To requests that were carried out, by their keys.
    market_ns : callable
        The time on the market's own clock, by that of the wall: another one only where history is replayed.
    """

    clock: Clock
    doors: Doors
    site: Site
    accounts: Callable[[str], tuple[str, ...] | None]
    limiter: Limiter
    answers: Idempotency
    market_ns: Callable[[int], int] = lambda now_ns: now_ns


async def base_of(request: Request) -> Base:
    """What the application was made with; waits for nothing, so it takes no thread."""
    base: Base = request.app.state.base
    return base


BaseDep = Annotated[Base, Depends(base_of)]


def address_of(request: Request) -> str:
    """Address of the caller; behind a proxy the server puts the forwarded one there."""
    return request.client.host if request.client else "unknown"


def principal_of(request: Request, base: BaseDep) -> Principal:
    """Whoever calls, by token or by cookie.

    Raises
    ------
    ApiError
        401 where nobody known does; 403 where a page of another site may have sent it; 429.
    """
    found = _caller(request, base)
    if found is None:
        take(request, base, f"ip:{address_of(request)}", STRANGERS)
        raise ApiError(401, "sign_in", "sign in first", headers={"WWW-Authenticate": "Session, Bearer"})
    request.state.principal = found
    return found


PrincipalDep = Annotated[Principal, Depends(principal_of)]


def _caller(request: Request, base: Base) -> Principal | None:
    """A bearer token wins over a cookie: it is never sent by a browser unasked."""
    now_ns, authorization = base.clock.now_ns(), request.headers.get("authorization", "")
    if authorization:
        kind, _, text = authorization.partition(" ")
        return base.doors.by_token(text.strip(), now_ns) if kind.lower() == "bearer" else None
    secret = request.cookies.get(base.site.cookie, "")
    if not secret:
        return None
    if request.method in UNSAFE:
        require_own_page(request, base.site)
    return base.doors.by_cookie(secret, now_ns)


@dataclass(frozen=True)
class Allowed:
    """Somebody who may do what the route does, and to what; ``market_ns`` is now on the market's own clock."""

    principal: Principal
    permission: Permission
    target: Target
    now_ns: int
    market_ns: int


class Require:
    """Dependency of a route: ``permission`` over the firm (and account) named in its path.

    Parameters
    ----------
    permission : Permission
    some : bool
        Over one account of the firm is enough; the route shows what belongs to :func:`visible_accounts`.
    """

    def __init__(self, permission: Permission, some: bool = False) -> None:
        self.permission, self.some = permission, some

    def __call__(self, request: Request, principal: PrincipalDep, base: BaseDep) -> Allowed:
        """Whoever calls, if they may."""
        now_ns = base.clock.now_ns()
        _limit(request, base, principal, HALTS if self.permission in HALTING else None)
        target = self._target(request, base)
        answer = self._answer(principal, target, base, now_ns)
        request.state.permission = self.permission
        if target is None or answer is Answer.UNKNOWN:
            account = self._account(request)
            raise NotThere("account", account) if account else NotThere("firm", request.path_params["firm"])
        if answer is not Answer.ALLOWED:
            base.doors.denied(principal, _denial(request, self.permission, target, answer))
            raise refusal(answer, self.permission)
        return Allowed(principal, self.permission, target, now_ns, base.market_ns(now_ns))

    def _answer(self, principal: Principal, target: Target | None, base: Base, now_ns: int) -> Answer:
        if target is None:
            return Answer.UNKNOWN
        answer = may(principal, self.permission, target, now_ns)
        if self.some and answer is Answer.NO_ROLE:
            accounts = base.accounts(target.firm_id) or ()
            known = (may(principal, self.permission, Target(target.firm_id, one), now_ns) for one in accounts)
            return Answer.ALLOWED if Answer.ALLOWED in known else answer
        return answer

    def _target(self, request: Request, base: Base) -> Target | None:
        """What the path names; None where it is not configured."""
        firm, account = request.path_params["firm"], self._account(request)
        known = base.accounts(firm)
        if known is None or (account is not None and account not in known):
            return None
        return Target(firm, account)

    def _account(self, request: Request) -> str | None:
        account = request.path_params.get("account")
        return None if account is None else f"{request.path_params['firm']}/{account}"


def require(permission: Permission, *, some: bool = False) -> Any:
    """``Depends`` on :class:`Require`."""
    return Depends(Require(permission, some))


def _limit(request: Request, base: Base, principal: Principal, rate: Rate | None) -> None:
    rate = rate or (WRITES if request.method in UNSAFE else READS)
    take(request, base, f"user:{principal.user_id}", rate)


def take(request: Request, base: Base, caller: str, rate: Rate) -> None:
    """Count one request of a caller, whose answer says what is left.

    Raises
    ------
    ApiError
        429.
    """
    request.state.rate = base.limiter.take(caller, rate, base.clock.now_ns()) or {}


async def _limited(request: Request, principal: PrincipalDep, base: BaseDep) -> None:
    _limit(request, base, principal, None)


limited = Depends(_limited)  #: of routes that ask who calls and no more


def permission_of(route: Any) -> Permission | None:
    """The permission a route asks for; None where it asks for none."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, Require):
            return dependency.call.permission
    return None


class Asks(StrEnum):
    """How much a route asks for."""

    NOTHING = "nothing"
    WHO = "who calls"
    PERMISSION = "a permission"


def asks_for(route: Any) -> Asks:
    """What a route asks for before it does anything."""
    if permission_of(route) is not None:
        return Asks.PERMISSION
    return Asks.WHO if principal_of in calls_of(route) else Asks.NOTHING


def calls_of(route: Any) -> frozenset[Any]:
    """Everything that a route depends on, however indirectly."""
    return frozenset(_calls(route.dependant))


def _calls(dependant: Any) -> Iterator[Any]:
    for one in dependant.dependencies:
        yield one.call
        yield from _calls(one)


def visible_accounts(allowed: Allowed, base: Base) -> tuple[str, ...]:
    """Accounts of the firm to which the caller may do what the route does.

    Raises
    ------
    NotThere
        The firm is gone.
    """
    known = base.accounts(allowed.target.firm_id)
    if known is None:
        raise NotThere("firm", allowed.target.firm_id)
    return tuple(
        account
        for account in known
        if may(allowed.principal, allowed.permission, Target(allowed.target.firm_id, account), allowed.now_ns)
        is Answer.ALLOWED
    )


def require_also(
    request: Request, base: Base, allowed: Allowed, permission: Permission, account: str | None = None
) -> None:
    """What a route asks for beside its own permission, over an account (full name) or the firm; a refusal is recorded.

    Raises
    ------
    ApiError
        403. An account that the caller may not know of is refused like one over which they have too little.
    """
    target = Target(allowed.target.firm_id, account)
    answer = may(allowed.principal, permission, target, allowed.now_ns)
    if answer is Answer.ALLOWED:
        return
    answer = Answer.NO_ROLE if answer is Answer.UNKNOWN else answer
    record_refusal(request, base, allowed, permission, target, answer)
    raise refusal(answer, permission)


def record_refusal(
    request: Request, base: Base, allowed: Allowed, permission: Permission, target: Target, answer: Answer
) -> None:
    """Record that a route refuses somebody whom it let in."""
    base.doors.denied(allowed.principal, _denial(request, permission, target, answer))


def record_missing(request: Request, sought: NotThere) -> None:
    """Record that somebody asked for what is not there for them; nobody known leaves no record."""
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None:
        return
    base: Base = request.app.state.base
    target = Target(sought.firm_id or request.path_params.get("firm", ""))
    denial = _denial(request, getattr(request.state, "permission", None), target, Answer.UNKNOWN)
    base.doors.denied(principal, replace(denial, what=sought.what, name=sought.name))


def _denial(request: Request, permission: Permission | None, target: Target, answer: Answer) -> Denial:
    route = f"{request.method} {route_of(request.scope)}"
    return Denial(permission, target, answer, route, request_id=getattr(request.state, "request_id", ""))


def is_person(principal: Principal) -> bool:
    """Whether a person with a cookie calls."""
    return principal.caller is Caller.SESSION


def route_of(scope: Mapping[str, Any]) -> str:
    """Path of the route that a request met, with its placeholders; ``unmatched`` where there is none."""
    met = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(met, "path", "unmatched")
