"""The same request again is the same act with the same answer; a change says what it changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.api.installation import Browser, Installation, installed

from regime_trading.adapters.database import SqlIdempotency
from regime_trading.api.limits import Limiter

FIRM = "/firms/north-pier"
KEYS = (f"key-of-the-test-{n:04d}" for n in itertools.count())
#: What changes something and takes no key: (why).
WITHOUT = {
    # changes nothing, or nothing that stays
    "preview_command", "validate_document", "compare_document", "replay_document", "read_link",
    "read_passkey_options", "offer_passkey", "make_ticket", "change_mode",
    # sets a cookie, and takes a proof that counts once
    "log_in", "prove_factor", "step_up", "change_password", "use_link", "offer_totp", "confirm_totp", "add_passkey",
    "new_recovery_codes",
    # is done when it is done
    "log_out", "remove_factor", "end_session", "end_user_sessions", "cancel_job",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Iterator[Installation]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Limiter, "take", lambda *_: {})
        with installed(tmp_path_factory.mktemp("once")) as found:
            yield found


@pytest.fixture(scope="module")
def admin(place: Installation) -> Browser:
    return place.admins["north-pier"]


@pytest.fixture(scope="module")
def pm(place: Installation) -> Browser:
    return place.invite("north-pier", "pm@north-pier.example", ("pm", None))


@pytest.fixture(scope="module")
def guest(place: Installation, admin: Browser) -> str:
    """Somebody with a role, by id."""
    body = {"login": "guest@north-pier.example", "name": "Guest", "role": "viewer"}
    return str(admin.post(f"{FIRM}/users", body, 201)["user_id"])


def twice(who: Browser, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    """Answer to a request that is sent twice under one key."""
    key = next(KEYS)
    first = who.ask(method, path, body, idempotency_key=key)
    again = who.ask(method, path, body, idempotency_key=key)
    assert first.status_code == again.status_code == status, (first.text, again.text)
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
    assert first.headers.get("etag") == again.headers.get("etag")
    other = who.ask(method, f"{path}?and=more", body, idempotency_key=key)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    return first.json() if first.content else None


def entries(who: Browser) -> int:
    return len(who.get(f"{FIRM}/audit/entries?limit=500")["items"])


def test_every_change_takes_a_key_or_needs_none(place: Installation) -> None:
    taking, others = set(), set()
    for methods in place.app.openapi()["paths"].values():
        for method, said in methods.items():
            if method != "get":
                names = {one["name"] for one in said.get("parameters", ())}
                (taking if "Idempotency-Key" in names else others).add(said["operationId"])
    assert others == WITHOUT
    assert len(taking) >= 20


def test_the_same_request_is_the_same_act(admin: Browser, pm: Browser, guest: str) -> None:
    made = twice(pm, "POST", f"{FIRM}/accounts/core/halt", {"reason": "once"}, 201)
    controls = pm.get(f"{FIRM}/controls")
    assert [one["control_no"] for one in controls] == [made["control_no"]], "one halt"
    ended = twice(
        pm, "POST", f"{FIRM}/accounts/core/resume", {"control_no": made["control_no"], "reason": "it is well"}
    )
    assert not ended["in_force"]
    twice(admin, "PUT", f"{FIRM}/users/{guest}/roles", {"role": "analyst"}, 204)
    twice(admin, "DELETE", f"{FIRM}/users/{guest}/roles/analyst", None, 204)
    twice(admin, "POST", f"{FIRM}/users/{guest}/disable", None, 204)
    twice(admin, "POST", f"{FIRM}/users/{guest}/enable", None, 204)
    current = pm.get(f"{FIRM}/configs/current")
    document = current["document"] + "# a remark\n"
    draft = twice(
        pm,
        "POST",
        f"{FIRM}/configs/drafts",
        {"document": document, "base_version": current["base_version"]},
        201,
    )
    assert pm.get(f"{FIRM}/configs")["items"][0]["version"] == draft["version"], "one draft"
    assert twice(pm, "POST", f"{FIRM}/configs/{draft['version']}/apply")["status"] == "applied"
    back = twice(pm, "POST", f"{FIRM}/configs/rollback", {"to": current["base_version"] or 1}, 201)
    assert back["version"] == draft["version"] + 1


def test_what_is_told_once_is_told_once(admin: Browser, guest: str) -> None:
    """The second answer says what was done, and holds no secret; nor does the store."""
    expires = "2026-12-20T00:00:00Z"
    token = {"name": "t", "permissions": ["view"], "expires_at": expires}
    token["permissions"] = [admin.get("/me")["permissions"][0]["permission"]]
    person = {"login": "second@north-pier.example", "name": "Second", "role": "viewer"}
    for path, body, status, known in (
        (f"{FIRM}/users", person, 201, {"user_id"}),
        (f"{FIRM}/users/{guest}/reset", {}, 200, set()),
        (f"/me{FIRM}/tokens", token, 201, {"token"}),
    ):
        key = next(KEYS)
        first = admin.ask("POST", path, body, idempotency_key=key)
        again = admin.ask("POST", path, body, idempotency_key=key)
        assert first.status_code == status, first.text
        assert (again.status_code, again.json()["code"]) == (409, "done")
        assert again.json()["done"] == {k: v for k, v in first.json().items() if k in known}
        secret = first.json().get("link") or first.json()["text"]
        assert secret not in again.text


def test_a_refusal_gives_the_key_back(pm: Browser) -> None:
    key, body = next(KEYS), {"reason": "a reason", "control_no": 9_999}
    path = f"{FIRM}/accounts/core/resume"
    for _ in range(2):
        assert pm.ask("POST", path, body, idempotency_key=key).status_code == 404
    halted = pm.post(f"{FIRM}/accounts/core/halt", {"reason": "to be ended"}, 201)
    right = body | {"control_no": halted["control_no"]}
    assert pm.ask("POST", path, right, idempotency_key=key).status_code == 200


@pytest.mark.parametrize("key", ["short", "k" * 65, "with blanks in it", "käse-käse"])
def test_a_key_that_is_none_is_refused(pm: Browser, key: str) -> None:
    answer = pm.client.post(
        f"/api/v1{FIRM}/halt",
        json={"reason": "none"},
        headers={"x-regime": "1", "origin": pm.home, "idempotency-key": key.encode()},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key")


def test_keys_are_ones_own(admin: Browser, pm: Browser) -> None:
    key = next(KEYS)
    made = [
        one.post(f"{FIRM}/accounts/core/halt", {"reason": "own"}, 201, idempotency_key=key)
        for one in (admin, pm)
    ]
    assert made[0]["control_no"] != made[1]["control_no"]


def test_who_may_no_longer_is_told_nothing_again(place: Installation, admin: Browser) -> None:
    leaving = place.invite("north-pier", "leaving@north-pier.example", ("pm", None))
    key, path = next(KEYS), f"{FIRM}/accounts/core/halt"
    leaving.post(path, {"reason": "the last"}, 201, idempotency_key=key)
    assert admin.ask("DELETE", f"{FIRM}/users/{leaving.user_id}/roles/pm").status_code == 204
    assert leaving.ask("POST", path, {"reason": "the last"}, idempotency_key=key).status_code == 404


def test_a_process_that_dies_before_it_answers_does_nothing_twice(
    pm: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed has its key; what was not has none."""
    key, path, body = next(KEYS), f"{FIRM}/accounts/core/halt", {"reason": "and then it died"}
    with monkeypatch.context() as dying:
        dying.setattr(SqlIdempotency, "keep", lambda *_: None)
        pm.post(path, body, 201, idempotency_key=key)
    before = pm.get(f"{FIRM}/controls")
    again = pm.ask("POST", path, body, idempotency_key=key)
    assert (again.status_code, again.json()["code"]) == (409, "conflict_pending")
    assert again.headers["retry-after"] == "2" and pm.get(f"{FIRM}/controls") == before


def test_of_many_at_once_one_does_it(pm: Browser) -> None:
    key, path, body = next(KEYS), f"{FIRM}/accounts/core/halt", {"reason": "all at once"}
    before = len(pm.get(f"{FIRM}/controls"))
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: pm.ask("POST", path, body, idempotency_key=key), range(4)))
    codes = sorted(one.status_code for one in said)
    assert set(codes) <= {201, 409} and codes[0] == 201, [one.text for one in said]
    assert len(pm.get(f"{FIRM}/controls")) == before + 1


def test_a_command_that_starts_a_job_takes_a_key(pm: Browser) -> None:
    body = {"command": "/run backtest account:north-pier/core from:2007-01-01 to:2007-02-01"}
    without = pm.ask("POST", "/commands/do", body)
    assert (without.status_code, without.json()["code"]) == (400, "bad_input")
    key = next(KEYS)
    first = pm.post("/commands/do", body, idempotency_key=key)["data"]["job_id"]
    assert pm.post("/commands/do", body, idempotency_key=key)["data"]["job_id"] == first
    assert pm.post("/commands/do", body, idempotency_key=next(KEYS))["data"]["job_id"] != first
    assert pm.post("/commands/do", {"command": "/go overview"})["data"] == {"to": "/overview"}


# --- If-Match -------------------------------------------------------------------------------------------------


def changes(who: Browser, method: str, path: str, body: Any, tag: str, done: int) -> None:
    """A change without a tag, with another, and with the right one."""
    bare = who.client.request(
        method, f"/api/v1{path}", json=body, headers={"x-regime": "1", "origin": who.home}
    )
    assert (bare.status_code, bare.json()["code"]) == (428, "if_match_missing")
    for given in ('"another"', f"W/{tag}"):
        stale = who.ask(method, path, body, if_match=given)
        assert (stale.status_code, stale.json()["code"]) == (412, "changed_meanwhile")
        assert stale.headers["etag"] == tag
    assert who.ask(method, path, body, if_match=f'"another", {tag}').status_code == done


def tag_of(who: Browser, path: str) -> str:
    answer = who.ask("GET", path)
    assert who.ask("GET", path, if_none_match=answer.headers["etag"]).status_code == 304
    return str(answer.headers["etag"])


def test_a_change_of_a_person_names_them_as_they_are(admin: Browser) -> None:
    body = {"login": "third@north-pier.example", "name": "Third", "role": "viewer"}
    at = f"{FIRM}/users/{admin.post(f'{FIRM}/users', body, 201)['user_id']}"
    tags = [tag_of(admin, at)]
    for method, path, sent in (
        ("PUT", f"{at}/roles", {"role": "analyst"}),
        ("DELETE", f"{at}/roles/viewer", None),
        ("POST", f"{at}/disable", None),
        ("POST", f"{at}/enable", None),
    ):
        changes(admin, method, path, sent, tags[-1], 204)
        tags.append(tag_of(admin, at))
        assert tags[-1] not in tags[-2:-1]
    assert admin.get(at)["roles"] == [{"role": "analyst", "accounts": None, "redact": False}]


def test_a_configuration_is_applied_over_the_one_that_was_seen(pm: Browser) -> None:
    current = f"{FIRM}/configs/current"
    seen, tag = pm.get(current), tag_of(pm, current)
    draft = {"document": seen["document"] + "# another remark\n", "base_version": seen["base_version"]}
    assert pm.ask("POST", f"{FIRM}/configs/drafts", draft, if_match='"1-0"').status_code == 412
    made = pm.post(f"{FIRM}/configs/drafts", draft, 201, if_match=tag)
    changes(pm, "POST", f"{FIRM}/configs/{made['version']}/apply", None, tag, 200)
    assert tag_of(pm, current) != tag
    assert (
        pm.ask("POST", f"{FIRM}/configs/rollback", {"to": made["version"]}, if_match=tag).status_code == 412
    )
