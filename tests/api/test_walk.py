"""A day at the desk over HTTP: look, halt, resume, change limits, take it back, and find it all in the record."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.installation import Browser, Installation, installed
from tests.databases import BOTH, named

from regime_trading.bootstrap.worker import WorkerSettings, open_worker

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


def weighed(who: Browser, weights: dict[str, str]) -> Any:
    body = {"basket": "us-core", "accounts": [CORE], "weights": weights, "note": "what the walk proposes"}
    return who.post("/firms/north-pier/proposals", body, 201, idempotency_key=next(KEYS))


def test_weights_are_drafted_by_one_and_submitted_by_another(pm: Browser, analyst: Browser) -> None:
    """An analyst drafts, a PM submits what they have seen, and a job that is cancelled gives the draft back."""
    at = "/firms/north-pier/proposals"
    made = weighed(analyst, {"KO": "0.3", "PEP": "0.2"})
    tag = pm.ask("GET", f"{at}/{made['proposal_id']}").headers["etag"]
    changed = analyst.ask(
        "PUT", f"{at}/{made['proposal_id']}", {"name": "less", "accounts": [CORE], "weights": {"KO": "0.2"}},
        if_match=tag,
    )  # fmt: skip
    assert changed.status_code == 200, changed.text
    stale = pm.ask("POST", f"{at}/{made['proposal_id']}/submit", if_match=tag, idempotency_key=next(KEYS))
    assert (stale.status_code, stale.json()["code"]) == (412, "changed_meanwhile")
    tag = pm.ask("GET", f"{at}/{made['proposal_id']}").headers["etag"]
    sent = pm.post(f"{at}/{made['proposal_id']}/submit", None, 202, if_match=tag, idempotency_key=next(KEYS))
    assert sent["job"]["request"]["proposal"]["weights"] == {"KO": "0.2"}
    pm.post(f"/firms/north-pier/jobs/{sent['job']['job_id']}/cancel")
    (back,) = pm.get(f"{at}?status=draft")["items"]
    assert back["why"] == "its job cancelled" and kinds(pm).count("PROPOSAL") == 4
    refused = pm.ask("POST", "/commands/preview", {"command": f"/propose basket name:us-core account:{CORE}"})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found"), (
        "no run has proposed anything yet"
    )
    candidates = pm.get(f"{at}/candidates?basket=us-core")
    assert candidates["run_id"] is None and {one["symbol"] for one in candidates["items"]} >= {"KO", "PEP"}


def test_the_record_is_verified_and_exported_by_jobs(place: Installation, pm: Browser) -> None:
    admin, at = place.admins["north-pier"], "/firms/north-pier/audit"
    job = admin.post(f"{at}/verification", None, 202, idempotency_key=next(KEYS))
    found = pm.get(f"{at}/verification")
    assert found["last"] is None and found["job"]["job_id"] == job["job_id"]
    export = admin.post(f"{at}/exports", {"account": CORE}, 202, idempotency_key=next(KEYS))
    early = admin.ask("GET", f"{at}/exports/{export['job']['job_id']}/download")
    assert (early.status_code, early.json()["code"]) == (409, "not_done")
    assert pm.ask("GET", f"{at}/exports/{export['job']['job_id']}").status_code == 403
    other = place.admins["kestrel-lane"]
    for path in (f"{at}/exports/{export['job']['job_id']}/download", "/firms/north-pier/proposals"):
        assert other.ask("GET", path).json()["code"] == "not_found"


@pytest.mark.full
def test_what_was_submitted_is_what_the_pre_check_said(place: Installation, pm: Browser) -> None:
    """Over the bundled prices, to the end: pre-check, submit, the run by a worker, and an export that is fetched."""
    at = "/firms/north-pier/proposals"
    made = weighed(pm, {"KO": "0.4", "PEP": "0.4"})
    (told,) = pm.post(f"{at}/{made['proposal_id']}/precheck")["accounts"]
    tag = pm.ask("GET", f"{at}/{made['proposal_id']}").headers["etag"]
    sent = pm.post(f"{at}/{made['proposal_id']}/submit", None, 202, if_match=tag, idempotency_key=next(KEYS))
    admin = place.admins["north-pier"]
    export = admin.post("/firms/north-pier/audit/exports", {}, 202, idempotency_key=next(KEYS))["job"]
    with open_worker(place.folder, place.config, WorkerSettings(lease_s=60), print) as worker:
        worker.drain()
    job = pm.get(f"/firms/north-pier/jobs/{sent['job']['job_id']}")
    assert job["status"] == "done", job
    after = pm.get(f"{at}/{made['proposal_id']}")
    assert (after["status"], after["run_id"]) == ("run", job["run_id"])
    row = pm.get(f"/firms/north-pier/decisions?run_id={job['run_id']}")["items"][0]
    decided = pm.get(f"/firms/north-pier/accounts/core/decisions/{row['decision_id']}")
    weights = [{t["symbol"]: t["target_weight"] for t in one["targets"]} for one in (decided, told)]
    assert weights[0] == weights[1] and decided["outcome"] == told["outcome"]
    shown = pm.get(f"{at}/candidates?basket=us-core")
    assert shown["run_id"] == job["run_id"] and any(one["label"] for one in shown["items"])
    preview, done = command(pm, f"/propose allocation name:again account:{CORE} from:#{job['run_id']}")
    assert preview["klass"] == "propose" and done["outcome"] == "executed", done
    draft = pm.get(f"{at}/{done['data']['proposal_id']}")
    assert {s: float(w) for s, w in draft["weights"].items()} == {s: w for s, w in weights[1].items() if w}
    bundle = admin.ask("GET", f"/firms/north-pier/audit/exports/{export['job_id']}/download")
    assert bundle.status_code == 200 and bundle.content[:2] == b"PK"
    assert kinds(pm).count("EXPORT") == 2, "made, and fetched"
    verification = "/firms/north-pier/audit/verification"
    admin.post(verification, None, 202, idempotency_key=next(KEYS))
    with open_worker(place.folder, place.config, WorkerSettings(lease_s=60), print) as worker:
        worker.drain()
    assert admin.get(verification)["last"]["ok"], "now that something of it is sealed"


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
    assert (disabled.status_code, disabled.json()["code"]) == (404, "not_found")
    pm2 = place.invite("north-pier", "leaving@north-pier.example", ("viewer", None))
    assert pm2.ask("DELETE", "/session").status_code == 204
    assert pm2.ask("GET", "/me").status_code == 401
