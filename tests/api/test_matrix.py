"""Every route, for every role, over every relation to the firm and the account: who gets in, what others are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.installation import Browser, Installation, installed

from regime_trading.api.app import PREFIX, http_routes
from regime_trading.api.deps import Require, permission_of
from regime_trading.api.limits import Limiter
from regime_trading.bootstrap.routes import OF_A_COOKIE, OPEN, OWN
from regime_trading.bootstrap.server import Server
from regime_trading.core.access import MATRIX, Answer, Permission, Reach, Role
from regime_trading.core.commands.catalogue import CATALOGUE

OWN_ACCOUNT, OTHER_ACCOUNT, OTHER_FIRM, NO_ACCOUNT = "core", "defensive", "growth", "nothing"
RELATIONS = {
    "own": ("north-pier", OWN_ACCOUNT),
    "other account": ("north-pier", OTHER_ACCOUNT),
    "other firm": ("kestrel-lane", OTHER_FIRM),
    "no firm": ("nowhere", OWN_ACCOUNT),
    "no account": ("north-pier", NO_ACCOUNT),
}


@pytest.fixture(scope="module")
def denied() -> list[tuple[Permission, Answer, str]]:
    return []


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None, database: str, denied: list[Any]
) -> Iterator[Installation]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Limiter, "take", lambda *_: {})
        with installed(tmp_path_factory.mktemp("matrix")) as found:
            patch.setattr(
                Server,
                "denied",
                lambda _, who, said: denied.append((said.permission, said.answer, said.route)),
            )
            yield found


@pytest.fixture(scope="module")
def people(place: Installation) -> dict[tuple[Role, str], Browser]:
    """Of each role one over the whole firm and one over one account of it."""
    return {
        (role, scope): place.invite(
            "north-pier", f"{role.value}.{scope}@north-pier.example", (role.value, accounts)
        )
        for role in Role
        for scope, accounts in (("firm", None), ("account", [f"north-pier/{OWN_ACCOUNT}"]))
    }


def expected(
    permission: Permission, role: Role, scope: str, relation: str, *, account: bool, some: bool
) -> str:
    """What the matrix of permissions says of one cell, written a second time and in another way."""
    rule = MATRIX[permission]
    if relation in ("other firm", "no firm") or (account and relation == "no account"):
        return "unknown"
    if account and relation == "other account" and scope == "account":
        return "unknown"
    if role not in rule.roles:
        return "no_role"
    if scope == "account" and not account and rule.reach is not Reach.MEMBER and not some:
        return "no_role"
    if scope == "account" and rule.reach is Reach.FIRM:
        return "no_role"
    return "allowed"


def fill(path: str, firm: str, account: str) -> str:
    """A path with its placeholders filled in; what is not there, is not there."""
    names = {"firm": firm, "account": account}
    parts = [names.get(part[1:-1], "none") if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


def by_id(denial: tuple[Permission, Answer, str], path: str) -> bool:
    """Whether a refusal is about an id that is not there, perhaps of another firm."""
    return denial[1] is Answer.UNKNOWN and "none" in path.split("/")


def test_every_route_is_in_one_of_the_lists(place: Installation) -> None:
    found = {f"{m} {route.path}" for route in http_routes(place.app) for m in route.methods or ()}
    guarded = {
        f"{m} {route.path}"
        for route in http_routes(place.app)
        for m in route.methods or ()
        if permission_of(route)
    }
    assert found == guarded | OPEN | OF_A_COOKIE | OWN
    assert all("{firm}" in name for name in guarded)


def test_every_cell(
    place: Installation, people: dict[tuple[Role, str], Browser], denied: list[tuple[Permission, Answer, str]]
) -> None:
    """Whoever may not is refused in the words for it, and it is recorded; whoever may is not refused by anybody."""
    cells = 0
    for route in http_routes(place.app):
        permission = permission_of(route)
        if permission is None:
            continue
        (guard,) = [d.call for d in route.dependant.dependencies if isinstance(d.call, Require)]
        for method in route.methods or ():
            for (role, scope), browser in people.items():
                for relation, (firm, account) in RELATIONS.items():
                    on_account = "{account}" in str(route.path)
                    wanted = expected(permission, role, scope, relation, account=on_account, some=guard.some)
                    denied.clear()
                    path = fill(str(route.path), firm, account).removeprefix(PREFIX)
                    response = browser.ask(method, path, {} if method in ("POST", "PUT") else None)
                    cell = (
                        method,
                        route.path,
                        role,
                        scope,
                        relation,
                        response.status_code,
                        response.text[:300],
                    )
                    cells += 1
                    if wanted == "allowed":
                        assert [
                            one for one in denied if one[0] is permission and not by_id(one, path)
                        ] == [], cell
                        assert response.status_code < 500 and response.status_code != 401, cell
                        continue
                    ((asked, answer, name),) = denied
                    assert (asked, answer.value, name) == (permission, wanted, f"{method} {route.path}"), cell
                    status, code = (404, "not_found") if wanted == "unknown" else (403, "no_role")
                    assert (response.status_code, response.json()["code"]) == (status, code), cell
    assert cells > 1_000


def test_every_command_stands_for_a_call_that_is_there(place: Installation) -> None:
    def shape(path: str) -> str:
        return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))

    there = {f"{m} {shape(str(r.path))}" for r in http_routes(place.app) for m in r.methods or ()}
    said = {f"{spec.call.method} {shape(spec.call.path)}" for spec in CATALOGUE if spec.call is not None}
    assert said <= there, said - there


def test_a_stranger_gets_into_nothing(place: Installation) -> None:
    stranger = Browser(place.app)
    for route in http_routes(place.app):
        for method in route.methods or ():
            if f"{method} {route.path}" in OPEN:
                continue
            path = fill(str(route.path), "north-pier", OWN_ACCOUNT).removeprefix(PREFIX)
            response = stranger.ask(method, path, {} if method in ("POST", "PUT") else None)
            assert response.status_code == 401, (method, route.path, response.text)


def test_unsafe_requests_of_another_site_do_nothing(place: Installation, people: dict[Any, Browser]) -> None:
    admin = people[Role.ADMIN, "firm"]
    for route in http_routes(place.app):
        for method in set(route.methods or ()) - {"GET"}:
            path = fill(str(route.path), "north-pier", OWN_ACCOUNT)
            response = admin.client.request(
                method, path, json={}, headers={"x-regime": "1", "origin": "https://evil.example"}
            )
            assert (response.status_code, response.json()["code"]) == (403, "cross_site"), (
                method,
                route.path,
            )


def test_what_belongs_to_oneself_is_answered(place: Installation, people: dict[Any, Browser]) -> None:
    for (role, scope), browser in people.items():
        for name in OWN:
            method, path = name.split(" ")
            if method == "GET":
                asked = path.removeprefix(PREFIX) + ("?text=/h" if path.endswith("/complete") else "")
                response = browser.ask("GET", asked)
                assert response.status_code == 200, (role, scope, name, response.text)
