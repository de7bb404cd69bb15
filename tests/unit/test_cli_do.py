"""``regime do``: over a real server with a token and as a person, and from the machine alone."""

from __future__ import annotations

import importlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.api.installation import Browser, Installation, installed
from tests.gate_samples import CONFIG
from tests.identity_samples import PASSWORD
from typer.testing import CliRunner

from regime_trading.adapters.api_client import Problem, over_http
from regime_trading.adapters.database import SqlAuditLog, SqlControls, open_database, sqlite_url
from regime_trading.cli import app
from regime_trading.core.errors import BadInput
from regime_trading.core.event_schema import read_event
from regime_trading.core.instants import instant_text

cli_do = importlib.import_module("regime_trading.cli.do")
CORE, FIRM = "north-pier/core", "north-pier"
REASON = "all is well again"


def regime(*words: str, code: int = 0, **more: Any) -> Any:
    done = CliRunner().invoke(app, ["do", *words], **more)
    assert done.exit_code == code, (done.output, done.stderr, done.exception)
    return done


def told(*words: str, code: int = 0, **more: Any) -> Any:
    return json.loads(regime(*words, "--json", code=code, **more).stdout)


# --- from the machine alone -------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REGIME_TOKEN", "REGIME_SERVER", "REGIME_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REGIME_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("REGIME_CONFIG", str(CONFIG))
    return tmp_path / "artifacts"


def commanded(artifacts: Path) -> list[tuple[str, str, str, str]]:
    """Actor, verb, object and outcome of every command in the record of the firm."""
    engine = open_database(sqlite_url(artifacts / "state" / "regime.db"))
    try:
        entries = SqlAuditLog(engine, firm_id=FIRM).entries(f"admin/{FIRM}/_firm")
        found = [read_event(entry.event.body).model_dump(mode="json") for entry in entries]
        said = [one for one in found if one["event_type"] == "COMMAND"]
        return [
            (e["actor"]["type"] + ":" + e["actor"]["id"], e["verb"], e["object"], e["outcome"]) for e in said
        ]
    finally:
        engine.dispose()


def test_from_the_machine_it_reads_and_tightens_as_nobody_in_particular(machine: Path) -> None:
    shown = regime(f"/show constraints account:{CORE}")
    assert "No server is asked" in shown.stderr and "LD-02" in shown.stdout and "rule_id" in shown.stdout
    one = told(f"/show constraints account:{CORE} rule:LD-02")
    assert one["path"].endswith("/accounts/core/constraints/LD-02") and one["shown"]["rule_id"] == "LD-02"
    asked = told(f'/halt account:{CORE} reason:"a drill"', code=1)
    assert asked["outcome"] == "previewed" and asked["preview"]["klass"] == "tighten"
    assert commanded(machine) == [("service:service:local", "halt", "account", "previewed")]
    done = told(f'/halt account:{CORE} reason:"a drill"', "--yes")
    assert done["outcome"] == "executed" and done["data"]["level"] == "K1"
    engine = open_database(sqlite_url(machine / "state" / "regime.db"))
    (control,) = SqlControls(engine, firm_id=FIRM).all()
    engine.dispose()
    assert (control.set_by, control.reason) == ("service:local", "a drill")
    made = asked["preview"]
    stale = told("--preview-id", made["preview_id"], "--hash", made["action_hash"], code=1)
    assert stale["error"]["code"] == "conflict_base_version", (
        "a preview of an earlier call is known, and stale"
    )
    for text in (f"/resume account:{CORE}", "/run backtest account:north-pier/core"):
        refused = told(text, "--phrase", CORE, "--reason", REASON, code=2)
        assert "a login or a token" in refused["error"]["message"]
    assert commanded(machine)[-1] == ("service:service:local", "run", "backtest", "refused")


def test_a_text_that_cannot_be_read_shows_where(machine: Path) -> None:
    wrong = regime("/hlat account:north-pier/core", code=2)
    lines = wrong.stderr.splitlines()
    at = lines.index("/hlat account:north-pier/core")
    assert lines[at + 1] == " ^" and "did you mean" in lines[at + 2] and "halt" in lines[at + 2]
    assert told("/hlat x", code=2)["error"]["at"] == 1
    assert told("/show portfolio account:north-pier/ghost", code=1)["error"]["code"] == "not_found"
    regime("/help", "--list", code=2)
    regime(code=2)


def test_what_there_is_to_command_and_what_may_follow(machine: Path) -> None:
    names = {one["name"] for one in told("--list")["commands"]}
    assert {"/halt firm", "/resume firm", "/live shadow"} <= names
    assert "account!" in regime("--list").stdout
    assert "halt" in [row["text"] for row in told("--complete", "/ha")]
    assert "north-pier/core" in regime("--complete", "/halt account account:north-pier/c").stdout


@pytest.mark.parametrize("url", ["http://desk.example", "ftp://localhost", "localhost:8000", ""])
def test_a_token_is_never_sent_in_the_clear(url: str) -> None:
    with pytest.raises(BadInput, match="https"):
        over_http(url)


# --- through a server -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Iterator[Installation]:
    """The shipped configuration behind a real server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with installed(tmp_path_factory.mktemp("served"), home=f"http://localhost:{port}", demo=True) as place:
        server = uvicorn.Server(
            uvicorn.Config(place.app, host="127.0.0.1", port=port, log_config=None, lifespan="off")
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield place
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def away(served: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Installation:
    """A terminal that knows the server by its address alone."""
    monkeypatch.delenv("REGIME_TOKEN", raising=False)
    monkeypatch.setenv("REGIME_SERVER", served.home)
    monkeypatch.setenv("REGIME_ARTIFACTS", str(tmp_path / "none"))
    return served


def person(place: Installation, login: str, role: str) -> tuple[str, ...]:
    """Somebody with a password, as the options of a command that signs them in."""
    made = place.admins[FIRM].post(
        f"/firms/{FIRM}/users", {"login": login, "name": login, "role": role, "accounts": None}, 201
    )
    body = {"secret": made["link"].split("#")[1], "password": PASSWORD}
    Browser(place.app, place.home).post("/session/link/password", body)
    return ("--as", login)


def test_a_person_signs_in_and_takes_every_step(away: Installation) -> None:
    pm = person(away, "pm.cli@north-pier.example", "pm")
    password: dict[str, Any] = {"input": f"{PASSWORD}\n"}
    assert told("/show portfolio account:core", *pm, **password)["shown"]["account"] == CORE
    halted = regime(f'/halt account:{CORE} reason:"a drill"', "--yes", *pm, **password)
    assert "K1 over north-pier/core" in halted.stdout and "K1 is in force" in halted.stdout
    shown = regime(f"/unlock account account:{CORE}", *pm, code=1, **password)
    assert shown.stdout.index("→ /resume account") < shown.stdout.index("K1 over north-pier/core ends")
    assert "What does not change" in shown.stdout and "not confirmed" in shown.stderr
    phrase = ("--phrase", CORE, "--reason", REASON)
    assert regime(f"/resume account:{CORE}", "--yes", *pm, code=1, **password).stderr.count("not confirmed")
    wrong = told(f"/resume account:{CORE}", *pm, "--phrase", "core", "--reason", REASON, code=2, **password)
    assert "the phrase" in wrong["error"]["message"]
    assert told(f"/resume account:{CORE}", *pm, *phrase, **password)["outcome"] == "executed"
    blocked = told(f"/live enable account:{CORE} mode:gated until:2d", *pm, *phrase, code=1, **password)
    assert blocked["outcome"] == "blocked" and any("G0" in line for line in blocked["preview"]["blocking"])
    assert (
        told("/help", "--as", "nobody@north-pier.example", code=1, **password)["error"]["code"]
        == "not_identified"
    )
    viewer = person(away, "viewer.cli@north-pier.example", "viewer")
    assert told(f"/halt account:{CORE}", "--yes", *viewer, code=1, **password)["error"]["code"] == "no_role"


def test_on_a_terminal_it_asks_and_enter_alone_does_nothing(
    away: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    pm = person(away, "pm.tty@north-pier.example", "pm")
    monkeypatch.setattr(cli_do, "_asks", lambda: True)

    def typed(*lines: str) -> dict[str, Any]:
        return {"input": "\n".join((PASSWORD, *lines)) + "\n"}

    text = f'/halt account:{CORE} reason:"a drill"'
    assert "not confirmed" in regime(text, *pm, code=1, **typed("")).stderr
    assert "is in force" in regime(text, *pm, **typed("y")).stdout
    assert "the phrase" in regime(f"/resume account:{CORE}", *pm, code=2, **typed("core", REASON)).stderr
    assert "ended" in regime(f"/resume account:{CORE}", *pm, **typed(CORE, REASON)).stdout


def test_a_fresh_proof_of_identity_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[tuple[str, str, Any]]()

    class Client:
        def ask(self, method: str, path: str, body: Any = None, key: str = "") -> Any:
            asked.append((method, path, body))
            if path == "/commands/confirm" and len([one for one in asked if one[1] == path]) == 1:
                raise Problem({"status": 403, "code": "step_up"})
            return {"factors": ["totp"], "outcome": "executed"}

    monkeypatch.setattr(cli_do, "_secret", lambda _: "123456")
    client: Any = Client()
    with pytest.raises(Problem):
        cli_do._confirm(client, "pv-1", "h", CORE, REASON, None)
    asked.clear()
    assert cli_do._confirm(client, "pv-1", "h", CORE, REASON, "me")["outcome"] == "executed"
    assert [path for _, path, _ in asked] == [
        "/commands/confirm",
        "/session",
        "/session/step-up",
        "/commands/confirm",
    ]
    assert asked[2][2] == {"kind": "totp", "value": "123456"}


def test_a_token_reads_and_tightens_and_never_loosens(
    away: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, login = person(away, "pm.token@north-pier.example", "pm")
    pm = Browser(away.app, away.home)
    pm.post("/session", {"login": login, "password": PASSWORD})
    made = pm.post(
        f"/me/firms/{FIRM}/tokens",
        {
            "name": "cli",
            "permissions": ["account.read", "halt.pause", "halt.flatten", "unlock.request"],
            "expires_at": instant_text(time.time_ns() + 10**13),
        },
        201,
    )
    monkeypatch.setenv("REGIME_TOKEN", made["text"])
    assert told(f"/show portfolio account:{CORE}")["shown"]["account"] == CORE
    done = told(f'/kill account:{CORE} level:K2 reason:"a drill"', "--yes")
    assert done["outcome"] == "executed"
    assert (
        told(f"/resume account:{CORE}", "--phrase", CORE, "--reason", REASON, code=1)["error"]["code"]
        == "step_up"
    )
    monkeypatch.setenv("REGIME_TOKEN", "rt_nobody")
    assert told("--list", code=1)["error"]["code"] == "sign_in"


def test_where_nobody_answers_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIME_TOKEN", "rt_any")
    assert "no server answers" in regime("--list", "--server", "http://localhost:1", code=1).stderr
