"""Routers of the API at work, asked by whoever a cookie or a token names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from starlette.testclient import TestClient

from regime_trading.adapters.clock import FixedClock
from regime_trading.api.app import PREFIX, Options, create_app
from regime_trading.api.deps import Base
from regime_trading.api.errors import MEDIA_TYPE, Problem
from regime_trading.api.limits import Limiter
from regime_trading.api.security import Site
from regime_trading.core.access import (
    STEP_UP_NS,
    Caller,
    Denial,
    Grant,
    Principal,
    Role,
)
from regime_trading.core.intents import Intent

HOME = "http://localhost:8000"
OURS = {"x-regime": "1", "origin": HOME}


@dataclass
class NamedDoors:
    """``pm``, ``pm+fresh`` (identity just proved), ``pm+redact``, ``pm:core`` (one account alone), in one firm."""

    firm: str
    now_ns: int
    told: list[Denial] = field(default_factory=list)

    def by_cookie(self, secret: str, now_ns: int) -> Principal | None:
        return self._known(secret, Caller.SESSION)

    def by_token(self, text: str, now_ns: int) -> Principal | None:
        return self._known(text, Caller.TOKEN)

    def denied(self, principal: Principal, denial: Denial) -> None:
        self.told.append(denial)

    def _known(self, text: str, caller: Caller) -> Principal | None:
        who, _, account = text.partition(":")
        role, *more = who.split("+")
        if role not in set(Role):
            return None
        accounts = frozenset({f"{self.firm}/{account}"}) if account else None
        proved = self.now_ns if "fresh" in more else self.now_ns - STEP_UP_NS - 1
        grant = Grant(self.firm, Role(role), accounts, "redact" in more)
        return Principal(
            role, (grant,), caller, True, proved, session_id="" if "bare" in more else f"s-{role}"
        )


class NoAnswers:
    """Keeps nothing: no request was carried out before."""

    def find(self, intent: Intent) -> None:
        return None

    def keep(self, intent: Intent, status: int, response: str) -> None:
        return None

    def forget(self, intent: Intent) -> None:
        return None

    def drop_before(self, now_ns: int) -> None:
        return None


@dataclass
class Edge:
    """An application of some routers over the accounts of firms."""

    routers: Sequence[APIRouter]
    accounts: Mapping[str, tuple[str, ...]]
    firm: str
    now_ns: int
    own_only: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.doors = NamedDoors(self.firm, self.now_ns)
        base = Base(
            FixedClock(self.now_ns), self.doors, Site(HOME), self.accounts.get, Limiter(), NoAnswers()
        )
        self.app = create_app(
            Options(base, self.routers, frozenset(), self.own_only, "1", lambda: "a-request")
        )

    def ask(self, method: str, path: str, cookie: str = "", token: str = "", **more: Any) -> Any:
        """Answer to a request of our own page, or of a program with a token."""
        headers = more.pop("headers", {}) | (OURS if cookie else {})
        headers |= {"authorization": f"Bearer {token}"} if token else {}
        client = TestClient(self.app, base_url=HOME, raise_server_exceptions=False)
        if cookie:
            client.cookies.set("sid", cookie)
        return client.request(method, f"{PREFIX}{path}", headers=headers, **more)

    def get(self, path: str, cookie: str, status: int = 200) -> Any:
        """What a GET answers with, which must have a status."""
        return checked(self.ask("GET", path, cookie), status)

    def post(self, path: str, cookie: str, status: int = 200, **body: Any) -> Any:
        """What a POST answers with, which must have a status."""
        return checked(self.ask("POST", path, cookie, json=body), status)


def checked(response: Any, status: int) -> Any:
    """The body of an answer of a status; a problem must be whole."""
    assert response.status_code == status, response.text
    if status >= 400:
        assert response.headers["content-type"] == MEDIA_TYPE
        problem = Problem.model_validate(response.json())
        assert problem.status == status and problem.type == f"urn:regime:problem:{problem.code}"
    return response.json()


def pseudonym(firm: str, user_id: str) -> str:
    """Of a person in the record of a firm."""
    return f"u-{user_id}"
