"""A day at the desk over HTTP: look, halt, resume, change limits, take it back, and find it all in the record."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.installation import Browser, Installation, installed
from tests.databases import BOTH, named

CORE = "north-pier/core"
KEYS = (f"key-of-the-walk-{n:04d}" for n in itertools.count())


@pytest.fixture(scope="module", params=BOTH)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both, also in the short form."""
    with named(request) as kind:
        yield kind


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None, database: str
) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("walk")) as found:
        yield found


@pytest.fixture(scope="module")
def pm(place: Installation) -> Browser:
    return place.invite("north-pier", "pm@north-pier.example", ("pm", None))


@pytest.fixture(scope="module")
def analyst(place: Installation) -> Browser:
    return place.invite("north-pier", "analyst@north-pier.example", ("analyst", [CORE]))


def command(who: Browser, text: str, **said: str) -> Any:
    """Preview a command and confirm what the preview asks for."""
    preview = who.post("/commands/preview", {"command": text})
    assert preview["blocking"] == [], preview
    body = {
        "preview_id": preview["preview_id"],
        "action_hash": preview["action_hash"],
        "phrase": preview["confirm_phrase"],
        "reason": "it is what the walk does",
    } | said
    return preview, who.post("/commands/confirm", body, idempotency_key=next(KEYS))


def kinds(who: Browser) -> list[str]:
    return [one["event_type"] for one in who.get("/firms/north-pier/audit/entries?limit=200")["items"]]


def test_one_sees_what_one_may(pm: Browser, analyst: Browser) -> None:
    me = pm.get("/me")
    assert [firm["firm"] for firm in me["firms"]] == ["north-pier"] and me["second_factor"]
    assert me["firms"][0]["accounts"] == [CORE, "north-pier/defensive"] and not me["demo"]
    assert analyst.get("/me")["firms"][0]["accounts"] == [CORE]
    offered = {one["name"] for one in pm.get("/commands")["commands"]}
    assert {"/halt account", "/resume account", "/config set"} <= offered
    assert "/resume account" not in {one["name"] for one in analyst.get("/commands")["commands"]}
    assert [one["account"] for one in analyst.get("/firms/north-pier/accounts")] == [CORE]


def test_halt_and_resume(pm: Browser, analyst: Browser) -> None:
    """An analyst may stop, with one confirmation; only a PM ends it, by name and with a reason."""
    preview, done = command(analyst, f'/halt account account:{CORE} reason:"the tape looks wrong"')
    assert preview["klass"] == "tighten" and not preview["requires_second"]
    assert done["outcome"] == "executed"
    row = next(one for one in pm.get("/firms/north-pier/live")["accounts"] if one["account"] == CORE)
    assert row["halt"]["level"] == 1, row
    refused = analyst.ask("POST", "/commands/preview", {"command": f"/resume account account:{CORE}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "no_role")
    preview, done = command(pm, f'/resume account account:{CORE} reason:"the tape is well again"')
    assert preview["klass"] == "loosen" and preview["confirm_phrase"] == CORE
    assert done["outcome"] == "executed"
    again = next(one for one in pm.get("/firms/north-pier/live")["accounts"] if one["account"] == CORE)
    assert not again["halt"]["level"], again
    assert {"KILL", "UNLOCK", "COMMAND"} <= set(kinds(pm))


def test_a_confirmation_counts_once_and_for_one_person(pm: Browser, analyst: Browser) -> None:
    text = f'/halt account account:{CORE} reason:"only once and only mine"'
    preview = pm.post("/commands/preview", {"command": text})
    body = {
        "preview_id": preview["preview_id"],
        "action_hash": preview["action_hash"],
        "phrase": "",
        "reason": "",
    }
    stolen = analyst.ask("POST", "/commands/confirm", body, idempotency_key=next(KEYS))
    assert (stolen.status_code, stolen.json()["code"]) == (404, "not_found")
    wrong = pm.ask("POST", "/commands/confirm", body | {"action_hash": "0" * 64}, idempotency_key=next(KEYS))
    assert wrong.status_code == 409 and wrong.json()["fresh"]["command"] == preview["command"]
    key = next(KEYS)
    first = pm.post("/commands/confirm", body, idempotency_key=key)
    assert pm.post("/commands/confirm", body, idempotency_key=key) == first
    used = pm.ask("POST", "/commands/confirm", body, idempotency_key=next(KEYS))
    assert (used.status_code, used.json()["code"]) == (409, "conflict_used")
    command(pm, f'/resume account account:{CORE} reason:"the walk goes on"')


def test_a_command_that_is_none_says_where(pm: Browser) -> None:
    answer = pm.ask("POST", "/commands/preview", {"command": "/hlat account account:north-pier/core"})
    assert answer.status_code == 422 and answer.json()["at"] == 1 and "halt" in answer.json()["suggestions"]


def test_limits_are_changed_and_taken_back(pm: Browser, analyst: Browser) -> None:
    """A tightening is in force at once, in the file, the history and the record; a rollback is a new version."""
    before = pm.get("/firms/north-pier/configs/current")
    preview, done = command(pm, f"/config set account:{CORE} risk.gross:50%")
    assert preview["klass"] == "tighten", preview
    assert done["outcome"] == "executed", done
    after = pm.get("/firms/north-pier/configs/current")
    assert after["base_version"] > before["base_version"] and after["document"] != before["document"]
    assert after["accounts"] != before["accounts"]
    refused = analyst.ask("POST", f"/firms/north-pier/configs/{before['base_version']}/apply", {})
    assert refused.status_code in (403, 404)
    preview, done = command(pm, f"/config rollback v:{before['base_version']} account:{CORE}")
    assert preview["klass"] == "loosen" and done["outcome"] == "executed", (preview, done)
    assert pm.get("/firms/north-pier/configs/current")["document"] == before["document"]
    history = pm.get("/firms/north-pier/configs")["items"]
    assert [one["version"] for one in history][:3] == sorted(
        (one["version"] for one in history), reverse=True
    )[:3]
    assert kinds(pm).count("CONFIG_CHANGED") >= 2


def test_the_record_tells_all_of_it_by_pseudonym(place: Installation, pm: Browser) -> None:
    entries = place.admins["north-pier"].get("/firms/north-pier/audit/entries?limit=500")["items"]
    found = {one["event_type"] for one in entries}
    assert found >= {"LOGIN", "ACCESS", "COMMAND", "KILL", "UNLOCK", "CONFIG_CHANGED"}
    assert "north-pier.example" not in str(entries)


def test_who_is_out_is_out_at_once(place: Installation) -> None:
    admin = place.admins["north-pier"]
    guest = place.invite("north-pier", "guest@north-pier.example", ("viewer", None))
    assert guest.get("/firms/north-pier/accounts")
    assert admin.ask("DELETE", f"/firms/north-pier/users/{guest.user_id}/roles/viewer").status_code == 204
    assert guest.ask("GET", "/firms/north-pier/accounts").status_code == 404
    disabled = admin.ask("POST", f"/firms/north-pier/users/{guest.user_id}/disable")
    assert (disabled.status_code, disabled.json()["code"]) == (
        400,
        "bad_input",
    )  # nobody of this firm any more
    pm2 = place.invite("north-pier", "leaving@north-pier.example", ("viewer", None))
    assert pm2.ask("DELETE", "/session").status_code == 204
    assert pm2.ask("GET", "/me").status_code == 401
