"""Another firm's ids: what exists and what does not is told in the same words, as fast, and is recorded."""

from __future__ import annotations

import itertools
import json
import re
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect
from tests.api.installation import Browser, Installation, installed
from tests.api.test_proposing import shadowed

from regime_trading.api.app import PREFIX
from regime_trading.api.limits import Limiter
from regime_trading.bootstrap.server import Server

OURS, THEIRS, NOBODYS = "kestrel-lane", "north-pier", "nowhere"
CORE = f"{THEIRS}/core"
SINGLE = "single_name"
KEYS = (f"key-of-a-tenant-{n:04d}" for n in itertools.count())
#: What somebody types who guesses, in the place of what is there.
MADE_UP = {
    "account": "core-2", "rule_id": "CC-99", "run_id": "bt-none", "job_id": "job-0000000000000000",
    "request_id": "rq-aaaaaaaaaaaaaaaa", "user_id": "usr-aaaaaaaaaaaaaaaa", "token_id": "tok-aaaaaaaa",
    "version": "4711", "decision_id": "d-none", "name": "us-lost", "symbol": "LOST", "role": "pm",
    "chain_id": "admin/nothing", "seq": "1", "path": "runs/bt-none/firms/north-pier/report.md",
    "preview_id": "pv-aaaaaaaaaaaaaaaa", "session_id": "ses-aaaaaaaaaaaaaaaa",
}  # fmt: skip
COMMON = {"rule_id", "name", "symbol", "role"}  #: what every firm has under the same name
#: Parameters that name nothing of a firm.
FREE = {
    "limit", "from", "to", "before", "after", "bars", "status", "kind", "env", "outcome", "trading_state", "actor_id",
    "correlation_id", "cursor", "Idempotency-Key", "If-Match", "text", "credential_id",
}  # fmt: skip


@dataclass
class World:
    """Two firms, somebody of the one, and what there is of the other."""

    place: Installation
    guest: Browser
    there: dict[str, str]
    denied: list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Iterator[World]:
    denied: list[tuple[Any, ...]] = []
    record = Server.denied
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Limiter, "take", lambda *_: {})
        patch.setattr(Server, "denied", lambda *said: denied.append(said[2:]) or record(*said))
        with installed(tmp_path_factory.mktemp("tenants"), edit=shadowed) as place:
            theirs = place.invite(THEIRS, "pm@north-pier.example", ("pm", None))
            yield World(
                place,
                place.invite(OURS, "pm@kestrel-lane.example", ("pm", None)),
                built(place, theirs),
                denied,
            )


def built(place: Installation, pm: Browser) -> dict[str, str]:
    """One of everything in the other firm."""
    at = f"/firms/{THEIRS}"
    job = pm.post(f"{at}/jobs", {"kind": "backtest", "request": {}}, 202, idempotency_key=next(KEYS))
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    token = {"name": "t", "permissions": ["account.read"], "expires_at": expires}
    made = pm.post(f"/me{at}/tokens", token, 201)["token"]
    preview = pm.post("/commands/preview", {"command": f"/config set account:{CORE} risk.{SINGLE}:1%"})
    pm.post("/commands/confirm", confirmed(preview), idempotency_key=next(KEYS))
    looser = pm.post("/commands/preview", {"command": f"/config set account:{CORE} risk.{SINGLE}:2%"})
    asked = pm.post("/commands/confirm", confirmed(looser), idempotency_key=next(KEYS))
    spare = pm.post("/commands/preview", {"command": f"/config set account:{CORE} risk.{SINGLE}:0.5%"})
    report = place.folder / "runs" / "bt-theirs" / "firms" / THEIRS / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text("theirs")
    entry = pm.get(f"{at}/audit/entries?limit=1")["items"][0]
    place_of = entry.get("place", entry)
    return {
        "account": "core", "rule_id": "CC-01", "run_id": "bt-theirs", "job_id": job["job_id"],
        "request_id": asked["request_id"], "user_id": pm.user_id, "token_id": made["token_id"],
        "version": str(pm.get(f"{at}/configs/current")["base_version"]), "decision_id": "d-1", "name": "us-core",
        "symbol": "AAPL", "role": "pm", "chain_id": place_of["chain_id"], "seq": str(place_of["seq"]),
        "path": f"runs/bt-theirs/firms/{THEIRS}/report.md", "preview_id": spare["preview_id"],
        "session_id": pm.get("/me/sessions")[0]["session_id"], "action_hash": spare["action_hash"],
    }  # fmt: skip


def confirmed(preview: Mapping[str, Any]) -> dict[str, Any]:
    assert preview["blocking"] == [], preview
    return {
        "preview_id": preview["preview_id"],
        "action_hash": preview["action_hash"],
        "phrase": preview["confirm_phrase"],
        "reason": "it is what the test does",
    }


def told(response: Any, *names: str) -> tuple[Any, ...]:
    """What an answer tells, but for the request's own name and for what was typed."""
    body = re.sub(r'"request_id":\s*"[0-9a-f]{16}"', "", response.text)
    body = re.sub(r'"instance":\s*"[^"]*"', "", body)
    for name in sorted({one for one in names if len(one) > 2}, key=len, reverse=True):
        body = body.replace(json.dumps(name)[1:-1], "…")
    headers = frozenset(name for name in response.headers if name != "content-length")
    return response.status_code, response.headers.get("content-type"), headers, body


def filled(path: str, firm: str, names: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda m: firm if m[1] == "firm" else names[m[1]], path).removeprefix(PREFIX)


def queried(operation: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Every query parameter that names something."""
    asked = {
        one["name"]: names[one["name"]]
        for one in operation.get("parameters", ())
        if one["in"] == "query" and one["name"] not in FREE
    }
    if "account" in asked:
        asked["account"] = f"{THEIRS}/{names['account']}"
    return "?" + "&".join(f"{name}={value}" for name, value in asked.items()) if asked else ""


def operations(world: World) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in world.place.app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def body_of(world: World, operation: Mapping[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    return world.place.app.openapi()["components"]["schemas"][name]["examples"][0] if name else None


def test_every_name_in_an_address_is_known_to_this_test(world: World) -> None:
    for method, path, operation in operations(world):
        for one in operation.get("parameters", ()):
            known = one["name"] in FREE | {"firm"} or (one["name"] in MADE_UP and one["name"] in world.there)
            assert known or path.endswith("/factors/{kind}"), (method, path, one["name"])


def test_another_firm_is_told_of_like_none(world: World) -> None:
    """With ids that exist in it, with made-up ones, and in a firm that is not there: one answer, and it is recorded."""
    tried = 0
    for method, path, operation in operations(world):
        if "{firm}" not in path:
            continue
        body, answers = body_of(world, operation), []
        for firm, names in ((THEIRS, world.there), (THEIRS, MADE_UP), (NOBODYS, world.there)):
            world.denied.clear()
            address = filled(path, firm, names) + queried(operation, names)
            response = world.guest.ask(method, address, body)
            answers.append(told(response, firm, *names.values()))
            ((permission, target, answer, route),) = world.denied
            assert (target.firm_id, answer.value) == (firm, "unknown"), (method, path)
            assert (permission.value, route) == (operation["x-permission"], f"{method} {path}")
        assert answers[0] == answers[1] == answers[2], (method, path, answers)
        assert answers[0][0] == 404, (method, path)
        tried += 1
    assert tried > 60
    entries = world.place.admins[OURS].get(f"/firms/{OURS}/audit/entries?limit=500")["items"]
    assert not [one for one in entries if one["event_type"] == "DENIED"], (
        "not in the record of one's own firm"
    )


def test_anothers_ids_in_ones_own_firm_are_told_of_like_none(world: World) -> None:
    """Every route with an id in its path or query, in one's own firm, with what belongs to the other."""
    admin, tried = world.place.admins[OURS], 0
    own = {"account": "growth"}
    for method, path, operation in operations(world):
        named = set(re.findall(r"{(\w+)}", path)) | {one["name"] for one in operation.get("parameters", ())}
        ids = named & (set(MADE_UP) - COMMON - {"version"})
        if "{firm}" not in path or not ids or (ids == {"account"} and "{account}" not in path):
            continue
        body, answers = body_of(world, operation), []
        same = {name: world.there[name] for name in COMMON}
        for names in (world.there, MADE_UP | same):
            given = dict(names) | ({} if ids == {"account"} else own)
            address = filled(path, OURS, given) + queried(operation, names)
            every = (*world.there.values(), *MADE_UP.values())
            answers.append(told(admin.ask(method, address, body), *every))
        assert answers[0] == answers[1], (method, path, answers)
        assert answers[0][0] in (200, 400, 403, 404), (method, path, answers)
        tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"/firms/{OURS}/jobs", {"kind": "backtest", "request": {"accounts": ["@account"]}}),
        ("POST", f"/firms/{OURS}/users", {"login": "x@x.example", "name": "X", "role": "pm", "accounts": ["@account"]}),
        ("POST", "/commands/preview", {"command": "/halt account account:@account"}),
        ("POST", "/commands/preview", {"command": "/approve proposal id:@request_id", "firm": OURS}),
        ("POST", "/commands/preview", {"command": "/cancel run id:@job_id", "firm": OURS}),
        ("POST", "/commands/preview", {"command": "/halt firm firm:@firm"}),
        ("POST", "/commands/do", {"command": "/show portfolio account:@account"}),
        ("POST", "/commands/do", {"command": "/show run id:@run_id", "firm": OURS}),
        ("POST", "/commands/confirm", {"preview_id": "@preview_id", "action_hash": "@action_hash"}),
        ("DELETE", "/me/sessions/@session_id", None),
        ("GET", "/complete?text=/show%20portfolio%20account:@short&account=@account", None),
        ("GET", "/complete?text=/cancel%20run%20id:&account=@account", None),
    ],
)  # fmt: skip
def test_anothers_ids_elsewhere_are_told_of_like_none(
    world: World, method: str, path: str, body: Any
) -> None:
    answers = []
    for firm, names in ((THEIRS, world.there), (NOBODYS, MADE_UP)):
        full = {
            "account": f"{firm}/{names['account']}",
            "firm": firm,
            "short": f"{firm}/{names['account'][:2]}",
        }
        full = dict(names) | {"action_hash": "0" * 64} | full

        def put(text: str, full: Mapping[str, str] = full) -> str:
            return re.sub(r"(?<!\w)@([a-z_]+)", lambda m: full[m[1]], text)

        sent = None if body is None else json.loads(put(json.dumps(body)))
        response = world.guest.ask(method, put(path), sent, idempotency_key=next(KEYS))
        answers.append(told(response, firm, full["account"], full["short"], *names.values()))
    assert answers[0] == answers[1], answers


def test_the_live_channel_knows_no_other_firm(world: World) -> None:
    """A topic of another firm, and one of none: refused by the same close."""
    ends, address = [], world.place.home.replace("http", "ws") + "/ws"
    topics = (THEIRS, CORE), (NOBODYS, f"{NOBODYS}/core"), (OURS, CORE), (OURS, f"{THEIRS}/none")
    with world.guest.client as client:
        for firm, account in topics:
            frame = {"v": 1, "firm": firm, "subscribe": [{"topic": "*", "account": account}]}
            with client.websocket_connect(address, headers={"origin": world.place.home}) as socket:
                socket.send_json(frame)
                try:
                    ends.append(("told", socket.receive_json()["type"], ""))
                except WebSocketDisconnect as end:
                    ends.append(("closed", end.code, end.reason))
    assert ends[0] == ends[1] and ends[0][0] == "closed", ends
    assert ends[2] == ends[3], ends


def test_what_is_there_takes_no_longer_than_what_is_not(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interleaved, by medians: far less than what could be told from afar over this noise."""
    routes = (
        f"/firms/@/jobs/{world.there['job_id']}",
        "/firms/@/accounts/core/portfolio",
        f"/firms/@/approvals/{world.there['request_id']}",
        f"/firms/@/artifacts/download?path={world.there['path']}",
        f"/firms/@/users/{world.there['user_id']}",
    )
    for route in routes:
        took: dict[str, list[float]] = {THEIRS: [], NOBODYS: []}
        for n in range(30):
            for firm in (THEIRS, NOBODYS) if n % 2 else (NOBODYS, THEIRS):
                began = time.perf_counter()
                world.guest.ask("GET", route.replace("@", firm))
                took[firm].append(time.perf_counter() - began)
        there, nothing = (statistics.median(took[firm]) * 1e3 for firm in (THEIRS, NOBODYS))
        with capsys.disabled():
            print(f"\n{route.split('?')[0][:40]:40} there {there:6.2f} ms, nothing {nothing:6.2f} ms", end="")
        assert abs(there - nothing) < max(10.0, 0.5 * max(there, nothing))
