"""``regime user``, and the page that shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.roles_guide import PAGE, with_roles
from typer.testing import CliRunner

from regime_trading.adapters.database import SqlAuditLog, open_database
from regime_trading.bootstrap import database_url
from regime_trading.cli import app
from regime_trading.core.event_schema import read_event

ROOT = Path(__file__).parents[2]
MARY, JOHN = "mary@example.org", "john"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "keys").mkdir(mode=0o700)
    for name, value in (("KEYS", "keys"), ("ARTIFACTS", "artifacts")):
        monkeypatch.setenv(f"REGIME_{name}", str(tmp_path / value))
    monkeypatch.setenv("REGIME_CONFIG", str(ROOT / "config"))
    monkeypatch.delenv("REGIME_SECRET", raising=False)
    monkeypatch.delenv("REGIME_DATABASE", raising=False)
    return tmp_path


def regime(*words: str) -> Any:
    return CliRunner().invoke(app, ["user", *words])


def told(*words: str) -> Any:
    done = regime(*words, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def refusal(*words: str) -> str:
    done = regime(*words, "--json")
    assert done.exit_code == 2, done.stdout
    return str(json.loads(done.stdout)["error"]["message"])


def create(login: str = MARY) -> Any:
    return told("create-admin", "--firm", "north-pier", "--login", login)


def test_the_first_admin_and_the_table_as_the_guide_shows_them(place: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_roles(page), "make docs"
    shown = re.search(r"```console\n\$ regime user (.*)\n(.*)\n(.*)\n```", page)
    assert shown is not None
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', shown[1])]
    done = regime(*words)
    assert done.exit_code == 0, done.stderr
    said, link = done.stdout.splitlines()
    assert said == shown[2] and re.sub("#[a-z2-7]{52}", "#<secret>", link) == shown[3]
    (one,) = told("list", "--firm", "north-pier")["users"]
    assert (one["login"], one["name"], one["invited"]) == (MARY, "Mary Major", True)
    assert "Mary Major" in regime("list", "--firm", "north-pier").stdout
    secret = link.rpartition("#")[2].encode()
    assert not any(secret in path.read_bytes() for path in (place / "artifacts").rglob("*") if path.is_file())
    for command in re.findall(r"^\| `regime user (\S+)", page, flags=re.M):
        assert regime(command, "--help").exit_code == 0


def test_links_go_where_the_server_is() -> None:
    assert create()["link"].startswith("http://localhost:8000/login/link#")
    link = told("reset-link", "--login", MARY, "--public-url", "https://desk.example/")["link"]
    assert link.startswith("https://desk.example/login/link#")
    assert "Valid once" in regime("reset-link", "--login", MARY, "--drop-factors").stdout


def test_roles_are_given_and_taken() -> None:
    create()
    create(JOHN)
    one = told(
        "grant", "--firm", "north-pier", "--login", JOHN, "--role", "pm", "--accounts", "core", "--redact"
    )
    assert one["grants"][1] == {
        "firm": "north-pier", "role": "pm", "accounts": ["north-pier/core"], "redact": True,
    }  # fmt: skip
    told("grant", "--firm", "kestrel-lane", "--login", JOHN, "--role", "viewer")
    assert [g["firm"] for g in told("list", "--firm", "kestrel-lane")["users"][0]["grants"]] == [
        "kestrel-lane"
    ]
    assert told("revoke", "--firm", "north-pier", "--login", JOHN)["grants"] == [
        {"firm": "kestrel-lane", "role": "viewer", "accounts": None, "redact": False}
    ]
    assert "the last one" in refusal("revoke", "--firm", "north-pier", "--login", MARY, "--role", "admin")
    assert "the last one" in refusal("disable", "--login", MARY)
    assert told("disable", "--login", JOHN)["disabled"] is not None
    assert told("enable", "--login", JOHN)["disabled"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create-admin", "--firm", "nope", "--login", "x"], "expected one of kestrel-lane, north-pier"),
        (["create-admin", "--firm", "north-pier", "--login", MARY], "a login that is free"),
        (["create-admin", "--firm", "north-pier", "--login", "no login"], "an e-mail address or a name"),
        (
            ["grant", "--firm", "north-pier", "--login", MARY, "--role", "king"],
            "one of viewer, analyst, pm, admin",
        ),
        (
            ["grant", "--firm", "north-pier", "--login", MARY, "--role", "pm", "--accounts", "x"],
            "accounts of north-pier",
        ),
        (["grant", "--firm", "north-pier", "--login", JOHN, "--role", "pm"], "the login of a user"),
        (["disable", "--login", JOHN], "the login of a user"),
        (["revoke", "--firm", "kestrel-lane", "--login", MARY], "a member of the firm"),
        (["list", "--firm", "No Firm"], "an id of a-z"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], message: str) -> None:
    create()
    assert message in refusal(*words)


def test_the_operator_is_in_the_record_by_pseudonym(place: Path) -> None:
    create()
    engine = open_database(database_url(place / "artifacts"))
    entries = SqlAuditLog(engine, firm_id="north-pier").entries("admin/north-pier/_firm")
    found = [read_event(entry.event.body).model_dump() for entry in entries]
    assert [e["action"] for e in found] == ["user_created", "role_granted", "link_made"]
    assert len({e["actor"]["id"] for e in found}) == 1 and found[0]["actor"]["id"] != found[0]["subject"]
    assert MARY not in str(found)
    engine.dispose()
