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

from regime_trading.adapters.database import SqlAuditLog
from regime_trading.api.app import PREFIX
from regime_trading.api.limits import Limiter
from regime_trading.bootstrap.server import Server
from regime_trading.core.access import Denial, Principal
from regime_trading.core.errors import StoreDown

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
    "preview_id": "pv-aaaaaaaaaaaaaaaa", "session_id": "ses-aaaaaaaaaaaaaaaa", "basket": "us-lost",
    "proposal_id": "pr-aaaaaaaaaaaaaaaaaaaa",
}  # fmt: skip
COMMON = {"rule_id", "name", "basket", "symbol", "role"}  #: what every firm has under the same name
#: Parameters that name nothing of a firm.
FREE = {
    "limit", "from", "to", "before", "after", "bars", "status", "kind", "env", "outcome", "trading_state", "actor_id",
    "correlation_id", "named", "cursor", "Idempotency-Key", "If-Match", "text", "credential_id",
}  # fmt: skip


@dataclass
class World:
    """Two firms, somebody of the one, and what there is of the other."""

    place: Installation
    guest: Browser
    there: dict[str, str]
    denied: list[Denial]
    servers: list[Server]

    def recorded(self, firm: str) -> list[dict[str, Any]]:
        """Refusals in the record of a firm's acts."""
        account = "_platform" if firm == "_platform" else "_firm"
        entries = SqlAuditLog(self.servers[0].engine, firm_id=firm).entries(f"admin/{firm}/{account}")
        found = [json.loads(entry.event.body) for entry in entries]
        return [one for one in found if one["event_type"] == "DENIED"]

    def told(self) -> list[tuple[str, str, str, str, str]]:
        """Refusals since this was asked last: answer, firm, route, kind and name."""
        found = [(d.answer.value, d.target.firm_id, d.route, d.what, d.name) for d in self.denied]
        self.denied.clear()
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Iterator[World]:
    denied: list[Denial] = []
    servers: list[Server] = []
    record = Server.denied

    def noting(server: Server, principal: Principal, denial: Denial) -> None:
        servers[:] = [server]
        denied.append(denial)
        record(server, principal, denial)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Limiter, "take", lambda *_: {})
        patch.setattr(Server, "denied", noting)
        with installed(tmp_path_factory.mktemp("tenants"), edit=shadowed) as place:
            theirs = place.invite(THEIRS, "pm@north-pier.example", ("pm", None))
            yield World(
                place,
                place.invite(OURS, "pm@kestrel-lane.example", ("pm", None)),
                built(place, theirs),
                denied,
                servers,
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
    weights = {"name": "own", "weights": {"KO": "0.1"}, "accounts": [CORE]}
    draft = pm.post(f"{at}/proposals", weights, 201, idempotency_key=next(KEYS))
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
        "basket": "us-core", "proposal_id": draft["proposal_id"],
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
    """With ids that exist in it, with made-up ones, and in a firm that is not there: one answer, and it is recorded
    where the person belongs, nowhere else."""
    tried = set()
    for method, path, operation in operations(world):
        if "{firm}" not in path:
            continue
        body, answers, route = body_of(world, operation), [], f"{method} {path}"
        for firm, names in ((THEIRS, world.there), (THEIRS, MADE_UP), (NOBODYS, world.there)):
            world.denied.clear()
            address = filled(path, firm, names) + queried(operation, names)
            response = world.guest.ask(method, address, body)
            answers.append(told(response, firm, *names.values()))
            (denial,) = world.denied
            assert denial.permission is not None and denial.permission.value == operation["x-permission"]
            assert denial.request_id == response.json()["request_id"]
            named = ("account", f"{firm}/{names['account']}") if "{account}" in path else ("firm", firm)
            assert world.told() == [("unknown", firm, route, *named)]
        assert answers[0] == answers[1] == answers[2], (method, path, answers)
        assert answers[0][0] == 404, (method, path)
        tried.add(route)
    assert len(tried) > 60
    assert {one["route"] for one in world.recorded(OURS)} >= tried
    assert world.recorded(THEIRS) == world.recorded("_platform") == []


#: Bodies under which a route gets as far as the id in its address.
FITTING = {"reset_user": {"drop_factors": False}}


def test_anothers_ids_in_ones_own_firm_are_told_of_like_none(world: World) -> None:
    """Every route with an id in its path or query, in one's own firm, with what belongs to the other: one answer, and
    whatever is refused is recorded, by what was asked for."""
    admin, tried, own = world.place.admins[OURS], set(), {"account": "growth"}
    for method, path, operation in operations(world):
        named = set(re.findall(r"{(\w+)}", path)) | {one["name"] for one in operation.get("parameters", ())}
        ids = named & (set(MADE_UP) - COMMON)
        if "{firm}" not in path or not ids or (ids == {"account"} and "{account}" not in path):
            continue
        body, answers, sought = body_of(world, operation), [], []
        if operation["operationId"] in FITTING:
            body |= FITTING[operation["operationId"]]
        same = {name: world.there[name] for name in COMMON}
        for names in ({**world.there, "version": "4712"}, MADE_UP | same):
            given = dict(names) | ({} if ids == {"account"} else own)
            address = filled(path, OURS, given) + queried(operation, names)
            world.denied.clear()
            response = admin.ask(method, address, body)
            every = (*world.there.values(), *MADE_UP.values(), "4712")
            answers.append(told(response, *every))
            sought.append(world.told())
            if response.status_code == 404:
                ((answer, firm, route, what, name),) = sought[-1]
                assert (answer, firm, route) == ("unknown", OURS, f"{method} {path}")
                assert what and any(one in name for one in (*names.values(), THEIRS)), (path, what, name)
        assert answers[0] == answers[1], (method, path, answers)
        assert [one[:4] for one in sought[0]] == [one[:4] for one in sought[1]], (method, path, sought)
        assert answers[0][0] in (200, 403, 404), (method, path, answers)
        assert len(sought[0]) == (answers[0][0] != 200), "what is shown was not refused"
        if answers[0][0] == 404:
            tried.add(f"{method} {path}")
    assert len(tried) > 40
    entries = [one for one in world.recorded(OURS) if one["route"] in tried and one["firm_id"] == OURS]
    assert {one["route"] for one in entries if one["asked"] and one["what"] != "firm"} >= tried
    assert world.recorded(THEIRS) == world.recorded("_platform") == []


ACCOUNT, REQUEST, PREVIEW = ("account", "@account"), ("request", "@request_id"), ("preview", "@preview_id")
PERSON = {"login": "x@x.example", "name": "X", "role": "pm", "accounts": ["@account"]}
WEIGHTS = {"name": "w", "weights": {"KO": "0.1"}, "accounts": ["@account"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "sought"),
    [
        ("POST", f"/firms/{OURS}/jobs", {"kind": "backtest", "request": {"accounts": ["@account"]}}, ACCOUNT),
        ("POST", f"/firms/{OURS}/jobs", {"kind": "report", "request": {"run_id": "@run_id"}}, ("run", "@run_id")),
        ("POST", f"/firms/{OURS}/users", PERSON, None),
        ("POST", f"/firms/{OURS}/proposals", WEIGHTS, ACCOUNT),
        ("POST", "/commands/preview", {"command": "/halt account account:@account"}, ACCOUNT),
        ("POST", "/commands/preview", {"command": "/approve proposal id:@request_id", "firm": OURS}, REQUEST),
        ("POST", "/commands/preview", {"command": "/cancel run id:@job_id", "firm": OURS}, ("job", "@job_id")),
        ("POST", "/commands/preview", {"command": "/halt firm firm:@firm"}, ("firm", "@firm")),
        ("POST", "/commands/preview", {"command": "/cancel run id:job-1", "firm": "@firm"}, ("firm", "@firm")),
        ("POST", "/commands/do", {"command": "/show portfolio account:@account"}, ACCOUNT),
        ("POST", "/commands/do", {"command": f"/run backtest account:{OURS}/growth,@account"}, ACCOUNT),
        ("POST", "/commands/do", {"command": "/show run id:@run_id", "firm": OURS}, None),
        ("POST", "/commands/confirm", {"preview_id": PREVIEW[1], "action_hash": "@action_hash"}, PREVIEW),
        ("DELETE", "/me/sessions/@session_id", None, ("session", "@session_id")),
        ("GET", "/complete?text=/show%20portfolio%20account:@short", None, ("account", "@short")),
        ("GET", "/complete?text=/show%20portfolio%20account:@firm", None, None),
        ("GET", f"/complete?text=/show%20portfolio%20account:{OURS}/gro", None, None),
        ("GET", "/complete?text=/explain%20reason:@account", None, None),
        ("GET", "/complete?text=/cancel%20run%20id:&account=@account", None, ACCOUNT),
        ("GET", f"/complete?text=/cancel%20run%20id:&account={OURS}/growth", None, None),
    ],
)  # fmt: skip
def test_anothers_ids_elsewhere_are_told_of_like_none(
    world: World, method: str, path: str, body: Any, sought: tuple[str, str] | None
) -> None:
    """In bodies, commands and completion: what is refused is recorded by what was asked for. What is still being typed
    asks for nothing, and a command that only leads to a page leaves it to the page to refuse."""
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
        world.denied.clear()
        response = world.guest.ask(method, put(path), sent, idempotency_key=next(KEYS))
        answers.append(told(response, firm, full["account"], full["short"], *names.values()))
        unknown = [one[3:] for one in world.told() if one[0] == "unknown"]
        assert unknown == ([] if sought is None else [(sought[0], put(sought[1]))]), (response.text, unknown)
        assert sought is None or response.status_code == 404 or path.startswith("/complete")
    assert answers[0] == answers[1], answers
    found = [(one["what"], one["actor"]["type"]) for one in world.recorded(OURS)]
    assert sought is None or (sought[0], "user") in found
    assert world.recorded(THEIRS) == world.recorded("_platform") == []


def test_the_live_channel_knows_no_other_firm(world: World) -> None:
    """A topic of another firm, and one of none: refused by the same close, and recorded."""
    ends, address = [], world.place.home.replace("http", "ws") + "/ws"
    topics = (
        (THEIRS, CORE),
        (NOBODYS, f"{NOBODYS}/core"),
        (OURS, CORE),
        (OURS, f"{THEIRS}/none"),
        (THEIRS, ""),
    )
    with world.guest.client as client:
        for firm, account in topics:
            world.denied.clear()
            frame = {"v": 1, "firm": firm, "subscribe": [{"topic": "*", "account": account}]}
            with client.websocket_connect(address, headers={"origin": world.place.home}) as socket:
                socket.send_json(frame)
                try:
                    ends.append(("told", socket.receive_json()["type"], ""))
                except WebSocketDisconnect as end:
                    ends.append(("closed", end.code, end.reason))
            named = ("account", account) if account else ("firm", firm)
            assert world.told() == [("unknown", firm, "WS /ws", *named)]
    assert ends[0] == ends[1] and ends[0][0] == "closed", ends
    assert ends[2] == ends[3] == ends[4], ends
    found = [(one["what"], one["asked"]) for one in world.recorded(OURS) if one["route"] == "WS /ws"]
    assert found == [("account", CORE), ("firm", THEIRS)], "the first of a kind by name; the rest are counted"
    assert world.recorded(THEIRS) == world.recorded("_platform") == []


def test_what_nobody_asked_for_by_name_is_no_attempt(world: World) -> None:
    admin = world.place.admins[OURS]
    world.denied.clear()
    for path in (
        "/nothing/here", f"/firms/{OURS}/nothing", f"/firms/{OURS}/regimes", f"/firms/{OURS}/regimes/LOST",
        f"/firms/{OURS}/tape",
    ):  # fmt: skip
        assert admin.ask("GET", path).status_code == 404, path
    assert Browser(world.place.app).ask("GET", f"/firms/{OURS}/jobs/job-1").status_code == 401
    assert world.denied == []


def test_a_refusal_that_cannot_be_recorded_is_one_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/firms/{OURS}/jobs/{world.there['job_id']}"
    before = told(world.guest.ask("GET", path), *world.there.values())

    def down(*_: Any) -> None:
        raise StoreDown("the disk is full")

    monkeypatch.setattr("regime_trading.bootstrap.server.record_denied", down)
    assert told(world.guest.ask("GET", path), *world.there.values()) == before and before[0] == 404
    assert "a refusal could not be recorded: the disk is full" in caplog.text


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
