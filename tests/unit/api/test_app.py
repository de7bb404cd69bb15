"""The edge: who comes in, what a page of another site can cause, one shape of errors, headers, limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.testclient import TestClient
from tests.edge_world import NoAnswers

from regime_trading.api.app import PREFIX, Options, create_app, http_routes
from regime_trading.api.deps import Allowed, Base, BaseDep, PrincipalDep, require, visible_accounts
from regime_trading.api.errors import MEDIA_TYPE, Problem
from regime_trading.api.etags import IfMatch, etag_of, require_match
from regime_trading.api.limits import READS, Limiter
from regime_trading.api.security import ALWAYS, Site
from regime_trading.core.access import (
    STEP_UP_NS,
    Answer,
    Caller,
    Denial,
    Grant,
    Permission,
    Principal,
    Role,
)
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable

NOW = 1_700_000_000_000_000_000
HOME = "http://localhost:8000"
OURS = {"x-regime": "1", "origin": HOME}
ACCOUNTS = {"alpha": ("alpha/main", "alpha/core"), "beta": ("beta/main",)}


@dataclass
class Ticks:
    at_ns: int = NOW

    def now_ns(self) -> int:
        return self.at_ns


@dataclass
class FakeDoors:
    """Cookies and tokens that name a role: ``pm``, or ``pm:alpha/main``."""

    told: list[Denial] = field(default_factory=list)

    def by_cookie(self, secret: str, now_ns: int) -> Principal | None:
        return self._known(secret, Caller.SESSION)

    def by_token(self, text: str, now_ns: int) -> Principal | None:
        return self._known(text, Caller.TOKEN)

    def denied(self, principal: Principal, denial: Denial) -> None:
        self.told.append(denial)

    def _known(self, text: str, caller: Caller) -> Principal | None:
        role, _, account = text.partition(":")
        if role not in set(Role):
            return None
        accounts = frozenset({account}) if account else None
        return Principal(text, (Grant("alpha", Role(role), accounts),), caller, True, NOW - STEP_UP_NS - 1)


class Body(BaseModel):
    reason: str


router = APIRouter()


@router.get("/firms/{firm}/names")
def list_names(base: BaseDep, allowed: Annotated[Allowed, require(Permission.RUN)]) -> list[str]:
    return list(visible_accounts(allowed, base))


@router.get("/firms/{firm}/accounts/{account}/big")
def read_big(
    allowed: Annotated[Allowed, require(Permission.READ)], n: Annotated[int, Query(le=9_000)] = 1
) -> str:
    return "x" * n


@router.post("/firms/{firm}/accounts/{account}/halt")
def halt(body: Body, allowed: Annotated[Allowed, require(Permission.HALT)]) -> str:
    return body.reason


@router.post("/firms/{firm}/users")
def manage(allowed: Annotated[Allowed, require(Permission.MANAGE_USERS)]) -> str:
    return "done"


@router.get("/firms/{firm}/broken/{how}")
def broken(how: str, allowed: Annotated[Allowed, require(Permission.RUN)]) -> str:
    raise {
        "input": BadInput(expected="a rule", found="XX-99", where="rule_id"),
        "check": CheckFailed("entry 3 is not what was sealed"),
        "store": NotDurable("disk full at /var/secret/place"),
        "bug": ZeroDivisionError("secret"),
    }[how]


@router.put("/firms/{firm}/names")
def rename(allowed: Annotated[Allowed, require(Permission.RUN)], match: IfMatch) -> str:
    require_match(match, etag_of(b'["alpha/main","alpha/core"]'))
    return "renamed"


@router.get("/mine")
def read_mine(principal: PrincipalDep) -> str:
    return principal.user_id


@router.get("/open")
def read_open() -> str:
    return "open"


class World:
    def __init__(self, site: str = HOME) -> None:
        self.clock, self.doors = Ticks(), FakeDoors()
        self.seen: list[tuple[str, str, int]] = []
        base = Base(self.clock, self.doors, Site(site), ACCOUNTS.get, Limiter(), NoAnswers())
        self.app = create_app(
            Options(
                base,
                [router],
                frozenset({f"GET {PREFIX}/open"}),
                frozenset({f"GET {PREFIX}/mine"}),
                "1",
                lambda: "made-for-this",
                observe=lambda method, route, status, _: self.seen.append((method, route, status)),
            )
        )
        self.site = site

    def ask(self, method: str, path: str, cookie: str = "", token: str = "", **more: Any) -> Any:
        headers = more.pop("headers", {}) | ({"authorization": f"Bearer {token}"} if token else {})
        client = TestClient(self.app, base_url=self.site, raise_server_exceptions=False)
        if cookie:
            client.cookies.set("__Host-sid" if self.site.startswith("https") else "sid", cookie)
        return client.request(method, f"{PREFIX}{path}", headers=headers, **more)


@pytest.fixture
def world() -> World:
    return World()


def code_of(response: Any) -> str:
    """Code of a problem, which must be whole."""
    assert response.headers["content-type"] == MEDIA_TYPE
    problem = Problem.model_validate(response.json())
    assert problem.status == response.status_code and problem.type == f"urn:regime:problem:{problem.code}"
    assert problem.request_id == response.headers["x-request-id"]
    return problem.code


def test_a_stranger_learns_nothing(world: World) -> None:
    for path in ("/firms/alpha/names", "/firms/nowhere/names", "/firms/alpha/accounts/main/big", "/mine"):
        for known in ({}, {"cookie": "nonsense"}, {"token": "nonsense"}):
            response = world.ask("GET", path, **known)
            assert (response.status_code, code_of(response)) == (401, "sign_in")
    response = world.ask("GET", "/firms/alpha/names", cookie="pm", headers={"authorization": "Basic cG06"})
    assert response.status_code == 401  # a wrong token is not saved by a good cookie
    assert world.doors.told == []


def test_what_is_anothers_does_not_exist(world: World) -> None:
    """Same words for another firm, a firm that is not there, another's account and one that is not there."""
    answers = [
        world.ask("GET", path, cookie="pm:alpha/main", headers={"x-request-id": "same-request-id"})
        for path in (
            "/firms/beta/accounts/main/big",
            "/firms/nowhere/accounts/main/big",
            "/firms/alpha/accounts/core/big",
            "/firms/alpha/accounts/nothing/big",
        )
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({re.sub(r'"instance":"[^"]*"', "", answer.text) for answer in answers}) == 1
    assert [told.answer for told in world.doors.told] == [Answer.UNKNOWN] * 4
    assert world.doors.told[0].route == f"GET {PREFIX}/firms/{{firm}}/accounts/{{account}}/big"
    nothing = world.ask("GET", "/nothing", cookie="pm", headers={"x-request-id": "same-request-id"})
    assert re.sub(r'"instance":"[^"]*"', "", nothing.text) == re.sub(
        r'"instance":"[^"]*"', "", answers[0].text
    )


def test_roles_and_what_is_missing(world: World) -> None:
    assert world.ask("GET", "/firms/alpha/names", cookie="pm").json() == ["alpha/main", "alpha/core"]
    assert world.ask("GET", "/firms/alpha/names", cookie="pm:alpha/core").json() == ["alpha/core"]
    for cookie, code in (("viewer", "no_role"), ("admin", "step_up"), ("pm", "no_role")):
        response = world.ask("POST", "/firms/alpha/users", cookie=cookie, headers=OURS)
        assert (response.status_code, code_of(response)) == (403, code)
    assert (
        "max_age=300"
        in world.ask("POST", "/firms/alpha/users", cookie="admin", headers=OURS).headers["www-authenticate"]
    )
    assert code_of(world.ask("POST", "/firms/alpha/users", token="admin")) == "not_by_token"
    assert len(world.doors.told) == 5


SENT = [
    ({}, False),
    ({"x-regime": "1"}, False),
    ({"origin": HOME}, False),
    ({"x-regime": "1", "origin": HOME}, True),
    ({"x-regime": "1", "origin": "http://localhost:9000"}, False),
    ({"x-regime": "1", "origin": "null"}, False),
    ({"x-regime": "1", "origin": "http://evil.example"}, False),
    ({"x-regime": "1", "origin": HOME + ".evil.example"}, False),
    ({"x-regime": "1", "sec-fetch-site": "same-origin"}, True),
    ({"x-regime": "1", "sec-fetch-site": "same-site"}, False),
    ({"x-regime": "1", "sec-fetch-site": "none"}, False),
    ({"x-regime": "1", "origin": HOME, "sec-fetch-site": "cross-site"}, False),
    ({"x-regime": "1", "origin": HOME, "sec-fetch-site": "same-origin"}, True),
]


@pytest.mark.parametrize(("headers", "passes"), SENT)
def test_a_page_of_another_site_causes_nothing(world: World, headers: dict[str, str], passes: bool) -> None:
    body = {"reason": "the tape is wrong"}
    path = "/firms/alpha/accounts/main/halt"
    response = world.ask("POST", path, cookie="pm", headers=headers, json=body)
    assert response.status_code == (200 if passes else 403)
    if not passes:
        assert code_of(response) == "cross_site"
    assert world.ask("POST", path, token="pm", json=body).status_code == 200  # no browser sends a token


def test_another_name_of_this_machine_gets_nothing(world: World) -> None:
    for host in ("evil.example", "", "localhost.evil.example"):
        response = world.ask("GET", "/open", headers={"host": host})
        assert response.status_code == 421
    assert world.ask("GET", "/open", headers={"host": "127.0.0.1:8000"}).status_code == 200
    assert World("https://desk.example").ask("GET", "/open", headers={"host": "localhost"}).status_code == 421


def test_errors_have_one_shape_and_tell_no_secrets(world: World) -> None:
    for how, status, code in (
        ("input", 400, "bad_input"),
        ("check", 409, "check_failed"),
        ("store", 503, "not_durable"),
        ("bug", 500, "internal"),
    ):
        response = world.ask("GET", f"/firms/alpha/broken/{how}", cookie="pm")
        assert (response.status_code, code_of(response)) == (status, code)
        assert "secret" not in response.text
    told = world.ask("GET", "/firms/alpha/broken/input", cookie="pm").json()["errors"]
    assert told == [{"where": "rule_id", "message": "expected a rule, found XX-99"}]
    bad = world.ask("GET", "/firms/alpha/accounts/main/big?n=x", cookie="pm")
    assert code_of(bad) == "invalid" and bad.json()["errors"][0]["where"] == "query.n"
    wrong = world.ask("DELETE", "/open")
    assert (wrong.status_code, code_of(wrong)) == (405, "method_not_allowed")
    for body in ("{", '{"reason": 3}', "[]"):
        response = world.ask(
            "POST",
            "/firms/alpha/accounts/main/halt",
            token="pm",
            content=body,
            headers={"content-type": "application/json"},
        )
        assert (response.status_code, code_of(response)) == (422, "invalid")
    large = world.ask("POST", "/firms/alpha/accounts/main/halt", token="pm", json={"reason": "x" * (1 << 20)})
    assert (large.status_code, code_of(large)) == (413, "too_large")
    unsaid = world.ask(
        "POST",
        "/firms/alpha/accounts/main/halt",
        token="pm",
        content=(b"x" * 65_536 for _ in range(40)),
        headers={"content-type": "application/json"},
    )
    assert (unsaid.status_code, code_of(unsaid)) == (413, "too_large")


def test_headers_of_every_answer(world: World) -> None:
    for path in ("/open", "/nothing", "/firms/alpha/names"):
        headers = world.ask("GET", path).headers
        assert {name: headers[name] for name in ALWAYS} == ALWAYS
        assert headers["cache-control"] == "no-store" and "'none'" in headers["content-security-policy"]
        assert "strict-transport-security" not in headers and "server" not in headers
    assert (
        "max-age=31536000"
        in World("https://desk.example").ask("GET", "/open").headers["strict-transport-security"]
    )


def test_every_request_is_named_and_counted(world: World) -> None:
    assert world.ask("GET", "/open").headers["x-request-id"] == "made-for-this"
    assert (
        world.ask("GET", "/open", headers={"x-request-id": "of-the-caller"}).headers["x-request-id"]
        == "of-the-caller"
    )
    for bad in ("short", "x" * 65, "new\tline-here", 'quote"quote'):
        assert (
            world.ask("GET", "/open", headers={"x-request-id": bad}).headers["x-request-id"]
            == "made-for-this"
        )
    world.ask("GET", "/firms/alpha/names", cookie="pm")
    world.ask("GET", "/nothing")
    route = f"{PREFIX}/firms/{{firm}}/names"
    assert world.seen[-2:] == [("GET", route, 200), ("GET", "unmatched", 404)]


def test_long_answers_are_compressed_for_those_who_ask(world: World) -> None:
    path = "/firms/alpha/accounts/main/big?n=9000"
    for encoding in ("gzip", "br", "zstd"):
        response = world.ask("GET", path, cookie="pm", headers={"accept-encoding": encoding})
        assert (
            response.headers["content-encoding"] == encoding
            and "accept-encoding" in response.headers["vary"].lower()
        )
    assert (
        "content-encoding"
        not in world.ask("GET", path, cookie="pm", headers={"accept-encoding": "identity"}).headers
    )


def test_what_is_unchanged_is_not_sent_again(world: World) -> None:
    path = "/firms/alpha/names"
    first = world.ask("GET", path, cookie="pm")
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = world.ask("GET", path, cookie="pm", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["x-content-type-options"] == "nosniff"
    for known in ('"other"', etag[:-1], ""):
        assert world.ask("GET", path, cookie="pm", headers={"if-none-match": known}).content == first.content
    assert world.ask("GET", path, cookie="pm:alpha/core").headers["etag"] != etag
    assert "etag" not in world.ask("GET", path).headers
    plain = world.ask(
        "GET", "/firms/alpha/accounts/main/big?n=9000", cookie="pm", headers={"accept-encoding": "identity"}
    )
    packed = world.ask(
        "GET", "/firms/alpha/accounts/main/big?n=9000", cookie="pm", headers={"accept-encoding": "gzip"}
    )
    assert plain.json() == packed.json() and plain.headers["etag"].strip('"') in packed.headers["etag"]


def test_what_has_changed_is_not_overwritten(world: World) -> None:
    path, etag = "/firms/alpha/names", world.ask("GET", "/firms/alpha/names", cookie="pm").headers["etag"]
    for known, status, code in (
        (None, 428, "if_match_missing"),
        ('"old"', 412, "changed_meanwhile"),
        (f"W/{etag}", 412, ""),
    ):
        response = world.ask("PUT", path, token="pm", headers={} if known is None else {"if-match": known})
        assert response.status_code == status and code in code_of(response)
    assert world.ask("PUT", path, token="pm", headers={"if-match": etag}).status_code == 200


def test_who_asks_too_often_waits_and_can_still_stop(world: World) -> None:
    answers = [world.ask("GET", "/firms/alpha/names", token="pm").status_code for _ in range(READS.burst + 3)]
    assert answers == [200] * READS.burst + [429] * 3
    refused = world.ask("GET", "/firms/alpha/names", token="pm")
    assert code_of(refused) == "too_many" and int(refused.headers["retry-after"]) == 1
    assert world.ask("GET", "/firms/alpha/names", token="analyst").status_code == 200
    assert (
        world.ask("POST", "/firms/alpha/accounts/main/halt", token="pm", json={"reason": "stop"}).status_code
        == 200
    )
    world.clock.at_ns += 1_000_000_000
    again = [world.ask("GET", "/firms/alpha/names", token="pm").status_code for _ in range(11)]
    assert again == [200] * 10 + [429]


def test_a_route_that_asks_nobody_does_not_start() -> None:
    careless = APIRouter()

    @careless.get("/firms/{firm}/careless")
    def careless_route() -> str:
        return "open"

    base = Base(Ticks(), FakeDoors(), Site(HOME), ACCOUNTS.get, Limiter(), NoAnswers())
    own, gone = frozenset({f"GET {PREFIX}/mine"}), frozenset({f"GET {PREFIX}/gone"})
    listed = frozenset({f"GET {PREFIX}/open"})
    for routers, open_to_all, own_only in (
        ([router, careless], listed, own),
        ([router], listed | gone, own),
        ([router], listed, own | gone),
        ([router], listed | own, frozenset()),
        ([router], listed, frozenset()),
    ):
        with pytest.raises(RuntimeError, match="routes that ask for"):
            create_app(Options(base, routers, open_to_all, own_only, "1", str))
    assert create_app(Options(base, [router], listed, own, "1", str))


def test_the_document_says_who_may(world: World) -> None:
    document = world.app.openapi()
    halting = document["paths"][f"{PREFIX}/firms/{{firm}}/accounts/{{account}}/halt"]["post"]
    assert halting["x-permission"] == "halt.pause" and halting["security"]
    refused = halting["responses"]["403"]["$ref"].rpartition("/")[2]
    assert MEDIA_TYPE in document["components"]["responses"][refused]["content"]
    assert document["paths"][f"{PREFIX}/open"]["get"]["security"] == []
    assert document["paths"][f"{PREFIX}/mine"]["get"]["security"] == halting["security"]
    assert len(http_routes(world.app)) == sum(len(path) for path in document["paths"].values())


@pytest.mark.parametrize(
    "url",
    ["http://desk.example", "ftp://localhost", "localhost:8000", "https://", "https://desk.example/app"],
)
def test_a_site_that_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        Site(url)


@pytest.mark.parametrize("host", ["evil.example", "[", "", "localhost.evil.example"])
def test_a_host_that_is_none_of_ours_is_refused_with_every_header(world: World, host: str) -> None:
    answer = world.ask("GET", "/mine", "pm", headers={"host": host})
    assert answer.status_code == 421
    assert all(answer.headers[name] == value for name, value in ALWAYS.items())


@pytest.mark.parametrize(
    "path", ["/firms/alpha%00/names", "/mine?x=%0d%0aSet-Cookie", "/mine?x=a%7f", "/%1b"]
)
def test_no_control_character_gets_in(world: World, path: str) -> None:
    answer = world.ask("GET", path, "pm")
    assert (answer.status_code, code_of(answer)) == (400, "bad_input")


def test_a_body_that_is_too_deep_is_refused(world: World) -> None:
    headers = OURS | {"content-type": "application/json"}
    answer = world.ask(
        "POST", "/firms/alpha/accounts/main/halt", "pm", content="[" * 100_000, headers=headers
    )
    assert answer.status_code in (400, 422) and code_of(answer)


def test_an_answer_says_how_many_more_there_may_be(world: World) -> None:
    first, second = (world.ask("GET", "/firms/alpha/names", "pm").headers for _ in range(2))
    assert int(first["ratelimit-limit"]) == READS.burst
    assert int(first["ratelimit-remaining"]) == READS.burst - 1 == int(second["ratelimit-remaining"]) + 1
    assert int(first["ratelimit-reset"]) >= 1
