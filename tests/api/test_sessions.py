"""Sessions over HTTP (ASVS 3.3 to 3.5, 7.2, 7.4): cookies, their rotation and end, and what another site can do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.cookies import Morsel, SimpleCookie
from typing import Any

import pyotp
import pytest
from starlette.testclient import TestClient
from tests.api.installation import API, Browser, Installation, installed
from tests.identity_samples import PASSWORD

from regime_trading.api.limits import Limiter

HOME = "https://localhost:8443"
NAME = "__Host-sid"
OURS = {"x-regime": "1", "origin": HOME}
OTHER_PASSWORD = f"{PASSWORD} and more"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Iterator[Installation]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Limiter, "take", lambda *_: {})
        with installed(tmp_path_factory.mktemp("sessions"), home=HOME) as found:
            yield found


@pytest.fixture(scope="module")
def person(place: Installation) -> Browser:
    return place.invite("north-pier", "ann@north-pier.example", ("viewer", None))


def cookie_of(response: Any) -> Morsel[str]:
    """The one cookie that an answer sets."""
    (header,) = response.headers.get_list("set-cookie")
    return SimpleCookie(header)[NAME]


def sent(place: Installation, method: str, path: str, cookie: str, **more: Any) -> Any:
    """Answer to a request with a cookie and nothing else of a browser."""
    headers = more.pop("headers", OURS) | {"cookie": f"{NAME}={cookie}"}
    client = TestClient(place.app, base_url=HOME, raise_server_exceptions=False)
    return client.request(method, f"{API}{path}", headers=headers, **more)


def logged_in(place: Installation, person: Browser) -> Any:
    body = {"login": person.login, "password": PASSWORD}
    return Browser(place.app, HOME).ask("POST", "/session", body)


def test_the_cookie_is_of_this_host_and_of_no_script(place: Installation, person: Browser) -> None:
    answer = logged_in(place, person)
    cookie = cookie_of(answer)
    assert (cookie["secure"], cookie["httponly"], cookie["path"], cookie["domain"]) == (True, True, "/", "")
    assert cookie["samesite"].lower() == "strict" and int(cookie["max-age"]) == 12 * 3600
    assert len(cookie.value) >= 22, "128 bits at least"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


def test_every_proof_brings_another_cookie_and_ends_the_one_before(
    place: Installation, person: Browser
) -> None:
    (spare, *_) = person.post("/me/factors/recovery-codes")["recovery_codes"]
    kept = [cookie_of(logged_in(place, person)).value]
    for path, body in (
        ("/session/factor", {"kind": "recovery_code", "value": spare}),
        ("/session/step-up", {"kind": "totp", "value": pyotp.TOTP(person.seed).at(time.time() + 30)}),
        ("/session/password", {"old": PASSWORD, "new": OTHER_PASSWORD}),
        ("/session/password", {"old": OTHER_PASSWORD, "new": PASSWORD}),
    ):
        answer = sent(place, "POST", path, kept[-1], json=body)
        assert answer.status_code == 200, (path, answer.text)
        kept.append(cookie_of(answer).value)
    assert len(set(kept)) == len(kept)
    assert [sent(place, "GET", "/session", one).status_code for one in kept] == [401, 401, 401, 401, 200]


def test_who_leaves_is_out_and_the_browser_forgets(place: Installation, person: Browser) -> None:
    cookie = cookie_of(logged_in(place, person)).value
    answer = sent(place, "DELETE", "/session", cookie)
    assert answer.status_code == 204 and answer.headers["clear-site-data"] == '"cache", "storage"'
    gone = cookie_of(answer)
    assert gone.value == "" and int(gone["max-age"]) == 0 and gone["secure"] and gone["httponly"]
    assert sent(place, "GET", "/session", cookie).status_code == 401


def test_a_secret_in_an_address_opens_nothing(place: Installation, person: Browser) -> None:
    cookie = cookie_of(logged_in(place, person)).value
    client = TestClient(place.app, base_url=HOME)
    for query in (f"{NAME}={cookie}", f"token={cookie}", f"access_token={cookie}", f"sid={cookie}"):
        assert client.get(f"{API}/me?{query}").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OURS, 422),
        ({"x-regime": "1", "sec-fetch-site": "same-origin"}, 422),
        ({"origin": HOME}, 403),
        ({"x-regime": "1"}, 403),
        ({"x-regime": "1", "origin": "null"}, 403),
        ({"x-regime": "1", "origin": "https://localhost:8444"}, 403),
        ({"x-regime": "1", "origin": HOME, "sec-fetch-site": "cross-site"}, 403),
        ({"x-regime": "1", "sec-fetch-site": "same-site"}, 403),
    ],
)
def test_no_other_site_signs_anybody_in(place: Installation, headers: dict[str, str], status: int) -> None:
    """What is let in is looked at, and has no body."""
    client = TestClient(place.app, base_url=HOME)
    assert client.post(f"{API}/session", headers=headers).status_code == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_changes_nothing(place: Installation, person: Browser, kind: str) -> None:
    cookie = cookie_of(logged_in(place, person)).value
    body = '{"kind": "password", "value": "x"}'
    answer = sent(
        place, "POST", "/session/step-up", cookie, content=body, headers=OURS | {"content-type": kind}
    )
    assert answer.status_code == 422


def test_no_other_site_may_read(place: Installation) -> None:
    client = TestClient(place.app, base_url=HOME)
    asked = {"origin": "https://evil.example", "access-control-request-method": "GET"}
    for method in ("OPTIONS", "GET", "HEAD", "TRACE"):
        answer = client.request(method, f"{API}/me", headers=asked)
        assert answer.status_code in (401, 405), (method, answer.status_code)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_whoever_is_put_out_is_out_everywhere(place: Installation, person: Browser) -> None:
    cookie = cookie_of(logged_in(place, person)).value
    admin = place.admins["north-pier"]
    assert admin.ask("DELETE", f"/firms/north-pier/users/{person.user_id}/sessions").json()["ended"] >= 1
    assert sent(place, "GET", "/session", cookie).status_code == 401
