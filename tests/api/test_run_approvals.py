"""A run that asks for people, over HTTP: begun by one, agreed to by another, its orders out once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.installation import Browser, Installation, installed

from regime_trading.adapters.database import SqlLedger, open_database
from regime_trading.bootstrap import database_url
from regime_trading.bootstrap.proof import verify_record
from regime_trading.bootstrap.worker import WorkerSettings, open_worker
from regime_trading.core.schemas import Mode

CORE, DEFENSIVE = "north-pier/core", "north-pier/defensive"
ASKED = {"symbols": ["KO", "PEP"], "accounts": [CORE], "as_of": "1991-03-28"}
JOBS, APPROVALS = "/firms/north-pier/jobs", "/firms/north-pier/approvals"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("asking"), approval="manual") as found:
        yield found


def drain(place: Installation) -> None:
    told = list[str]()
    with open_worker(place.folder, place.config, WorkerSettings(lease_s=60), told.append) as worker:
        worker.drain()
    assert told == []


def begun(place: Installation, who: Browser, key: str, **more: Any) -> dict[str, Any]:
    """Somebody's job, as far as a worker takes it."""
    body = {"kind": "run", "request": ASKED | more}
    job = who.post(JOBS, body, 202, idempotency_key=f"key-of-these-runs-{key}")
    drain(place)
    found: dict[str, Any] = who.get(f"{JOBS}/{job['job_id']}")
    return found


def orders(place: Installation, account: str = CORE) -> list[str]:
    engine = open_database(database_url(place.folder))
    try:
        stored = SqlLedger(engine, firm_id="north-pier", env=Mode.DRY_RUN).load(account, 2**62)
        return [] if stored is None else [order.client_order_id for order in stored[2]]
    finally:
        engine.dispose()


def test_a_run_is_begun_by_an_analyst_agreed_to_by_a_pm_and_goes_out_once(place: Installation) -> None:
    analyst = place.invite("north-pier", "analyst@north-pier.example", ("analyst", [CORE]))
    pm = place.invite("north-pier", "pm@north-pier.example", ("pm", None))
    job = begun(place, analyst, "one")
    run_id = job["run_id"]
    assert (job["status"], job["result"]["status"]) == ("done", "waiting"), job
    (waiting,) = job["result"]["summary"]["waiting"]
    assert waiting["account"] == CORE

    for who in (analyst, pm):
        (row,) = who.get("/firms/north-pier/runs")["items"]
        assert (row["run_id"], row["status"], row["waiting"]) == (run_id, "waiting", [waiting])
        stages = {one["name"]: one["status"] for one in who.get(f"/firms/north-pier/runs/{run_id}")["stages"]}
        assert (stages["judge"], stages["approval"], stages["journal"]) == ("done", "waiting", "waiting")
    (request,) = pm.get(APPROVALS)
    assert (request["request_id"], request["kind"], request["status"]) == (
        waiting["request_id"], "basket", "requested",
    )  # fmt: skip
    assert any("KO: from 0.00% to" in line for line in request["effects"]) and request["maker"] == job["by"]
    at = f"{APPROVALS}/{request['request_id']}"
    assert orders(place) == []
    now = pm.get(at)["now"]
    assert ([one["text"] for one in now["effects"]], now["changed"]) == (request["effects"], "")
    assert analyst.get(at)["why_not"] == "None of your roles may answer it."

    refused = analyst.ask("POST", f"{at}/approve", {"phrase": CORE})
    assert (refused.status_code, refused.json()["code"]) == (403, "no_role")
    typed = pm.post("/commands/preview", {"command": request["command"]})
    assert "nobody types this" in typed["blocking"][0]

    after = pm.post(f"{at}/approve", {"reason": "as we discussed it", "phrase": CORE})
    assert (after["approval"]["status"], after["done"]["data"]["run_id"]) == ("executed", run_id)
    again = pm.ask("POST", f"{at}/approve", {"phrase": CORE})
    assert again.status_code == 409
    (resumed,) = [one for one in pm.get(JOBS)["items"] if one["by"] == "service:approvals"]
    assert (resumed["status"], resumed["run_id"]) == ("queued", run_id)
    drain(place)
    found = pm.get(f"{JOBS}/{resumed['job_id']}")
    assert (found["status"], found["result"]["status"]) == ("done", "done"), found
    (account,) = found["result"]["summary"]["accounts"]
    assert account["approval"] == "granted"

    out = orders(place)
    assert out and len(out) == len(set(out))
    (row,) = pm.get("/firms/north-pier/runs")["items"]
    assert (row["status"], row["waiting"], row["accounts"]) == ("done", [], [CORE])
    told = pm.get("/firms/north-pier/audit/entries?limit=500")["items"]
    kinds = [one["event_type"] for one in told]
    assert [kinds.count(k) for k in ("APPROVAL_REQUESTED", "APPROVAL_GIVEN", "ORDER_SENT")] == [
        1,
        1,
        len(out),
    ]
    assert {"RUN", "COMMAND", "DECISION"} <= set(kinds)
    assert verify_record(place.folder, None, None, ()).ok
    statuses = [m for m in messages(place) if m.get("run_id") == run_id and m.get("status") == "done"]
    assert [m["detail"] for m in statuses] == ["waits for people", ""]


def messages(place: Installation) -> list[dict[str, Any]]:
    """What the live channel was told."""
    with sqlite3.connect(Path(place.folder) / "state" / "regime.db") as store:
        return [json.loads(body) for (body,) in store.execute("select body from messages order by seq")]


def test_a_halt_voids_what_waits_and_the_run_ends_without_an_order(place: Installation) -> None:
    pm = place.invite("north-pier", "third@north-pier.example", ("pm", None))
    job = begun(place, pm, "two", accounts=[DEFENSIVE])
    (waiting,) = job["result"]["summary"]["waiting"]
    own = pm.ask("POST", f"{APPROVALS}/{waiting['request_id']}/approve", {"phrase": DEFENSIVE})
    assert own.status_code == 403  # who asked does not answer
    pm.post(
        "/firms/north-pier/accounts/defensive/halt", {"level": "K1", "reason": "the tape looks wrong"}, 201
    )
    assert pm.get(f"{APPROVALS}/{waiting['request_id']}")["status"] == "void"
    drain(place)
    row = next(one for one in pm.get("/firms/north-pier/runs")["items"] if one["run_id"] == job["run_id"])
    assert row["status"] == "done"
    last = next(one for one in pm.get(JOBS)["items"] if one["run_id"] == job["run_id"])
    assert last["result"]["summary"]["accounts"][0]["approval"] == "void"
    assert orders(place, DEFENSIVE) == []


@pytest.mark.full
def test_a_run_goes_on_over_http_for_whom_all_of_its_accounts_are(place: Installation) -> None:
    one = place.invite("north-pier", "one@north-pier.example", ("analyst", [CORE]))
    other = place.invite("north-pier", "other@north-pier.example", ("analyst", [DEFENSIVE]))
    run_id = begun(place, one, "three")["run_id"]  # where the first test was here, that which it let go on
    (before,) = [row for row in one.get("/firms/north-pier/runs")["items"] if row["run_id"] == run_id]
    out = orders(place)
    jobs = [
        who.post(JOBS, {"kind": "run", "request": {"run_id": run_id}}, 202, idempotency_key=key * 20)
        for who, key in ((one, "a"), (other, "b"))
    ]
    drain(place)
    mine, not_mine = (who.get(f"{JOBS}/{job['job_id']}") for who, job in zip((one, other), jobs, strict=True))
    assert (mine["status"], mine["result"]["status"]) == ("done", before["status"])
    assert not_mine["status"] == "failed" and "one over others" in not_mine["error"]
    assert orders(place) == out
