"""``regime audit`` in the terminal: what people read, what machines read, and what spreadsheets must not run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.register_samples import recorded, seal
from tests.unit.core.test_trader_profile import profile
from tests.unit.services.test_configurations import ask
from tests.unit.services.test_registers import HOUR, Store, T, made
from typer.testing import CliRunner, Result

from regime_trading.adapters.database import SqlAuditLog, SqlLastGood, SqlOverrides
from regime_trading.cli import app
from regime_trading.cli.audit.registers import REGISTER_COMMANDS, safe_cell
from regime_trading.core.audit import verify_chain
from regime_trading.services.configurations import make_override, take_over
from regime_trading.services.verify_bundle import check

FORMULA = "=HYPERLINK(0)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of two firms: a history, and a configuration that was accepted and tightened."""
    root = tmp_path_factory.mktemp("artifacts")
    store = made(root)
    for events in recorded():
        seal(root, events)
    govern(store)
    return root


def govern(store: Store) -> None:
    last_good = lambda firm: SqlLastGood(store.engine, firm_id=firm)  # noqa: E731
    take_over((profile(),), (), last_good, now_ns=T, acts=store.acts(T))
    overrides = SqlOverrides(store.engine, firm_id="firm")
    make_override(profile(), ask(reason=FORMULA), overrides, now_ns=T + HOUR, acts=store.acts(T + HOUR))


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("REGIME_ARTIFACTS", str(folder))
    monkeypatch.chdir(tmp_path)


def regime(*words: str | Path, input_: str | None = None) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, words)], input=input_)


def answer(*words: str | Path, code: int = 0) -> Any:
    told = regime(*words, "--json")
    assert told.exit_code == code, (told.stdout, told.stderr)
    return json.loads(told.stdout)


# --- registers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGISTER_COMMANDS)
@pytest.mark.parametrize("firm", ["north", "firm"])
def test_a_register_for_people_for_machines_and_for_spreadsheets(name: str, firm: str) -> None:
    told = regime(name, "--firm", firm)
    assert told.exit_code == 0 and told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 100
    rows = answer(name, "--firm", firm)["rows"]
    sheet = list(csv.DictReader(io.StringIO(regime(name, "--firm", firm, "--csv").stdout)))
    assert len(sheet) == len(rows)
    for line, row in zip(sheet, rows, strict=True):
        assert list(line) == list(row)
        assert line["seq"] == str(row["seq"])


def test_the_breach_table_reads_as_a_sentence() -> None:
    told = regime("breaches", "--account", "north/a", "--to", "2001-01-12").stdout.splitlines()
    assert told[0].split() == [
        "started",
        "ended",
        "duration",
        "account",
        "rule",
        "id",
        "value",
        "limit",
        "ended",
        "by",
    ]
    assert told[1].split()[:7] == ["2001-01-09", "21:00", "2001-01-11", "21:00", "2", "d", "a"]
    assert "latch released" in "".join(told)


def test_a_long_register_shows_its_end_and_says_so() -> None:
    told = regime("breaches", "--firm", "north")
    rows = answer("breaches", "--firm", "north")["rows"]
    assert f"The last 40 of {len(rows)}; --from and --to narrow" in told.stdout


def test_no_cell_is_a_formula() -> None:
    rows = answer("overrides", "--firm", "firm")["rows"]
    assert rows[0]["reason"] == FORMULA
    told = regime("overrides", "--firm", "firm", "--csv").stdout
    assert f"'{FORMULA}" in told and f",{FORMULA}" not in told


@given(st.one_of(st.text(), st.sampled_from("=+-@\t\r").flatmap(lambda c: st.text().map(c.__add__))))
def test_a_cell_shows_its_text_and_starts_no_formula(text: str) -> None:
    shown = safe_cell(text)
    assert shown in (text, f"'{text}")
    number = bool(text) and text.lstrip("+-")[:1].isdigit()
    assert number or not shown.startswith(("=", "+", "-", "@", "\t", "\r"))


NUMBERS = [("-5.25", "-5.25"), ("+5", "+5"), ("-5x", "'-5x"), ("-1e-7", "-1e-7"), (None, ""), (-3, "-3")]


@pytest.mark.parametrize(("value", "shown"), NUMBERS)
def test_numbers_stay_numbers(value: Any, shown: str) -> None:
    assert safe_cell(value) == shown


def test_what_is_asked_wrongly_is_refused() -> None:
    assert regime("breaches").exit_code == 2
    assert "one of firm, north, south" in regime("breaches").stderr
    assert regime("breaches", "--firm", "north", "--json", "--csv").exit_code == 2
    assert regime("breaches", "--firm", "north", "--from", "yesterday").exit_code == 2
    assert regime("breaches", "--firm", "../north").exit_code == 2
    assert answer("breaches", "--firm", "east", code=2)["error"]["exit_code"] == 2
    assert regime("breaches", "--artifacts", "nowhere").exit_code == 2


def test_a_changed_file_is_a_check_that_did_not_hold(tmp_path: Path) -> None:
    seal(tmp_path, recorded()[0][:9])
    (part,) = tmp_path.glob("audit/schema=1/**/part-*.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    assert regime("breaches", "--artifacts", tmp_path).exit_code == 3


def test_files_alone_are_enough(tmp_path: Path) -> None:
    seal(tmp_path, recorded()[0])
    told = answer("breaches", "--artifacts", tmp_path)
    assert told["firm"] == "north" and told["rows"]
    assert not (tmp_path / "state").exists(), "reading makes no database"
    assert regime("actors", "list", "--artifacts", tmp_path).exit_code == 2


# --- limits, dossier ----------------------------------------------------------------------------------------


def test_limits_say_value_layer_and_place() -> None:
    told = regime("limits", "--account", "firm/acc", "--at", "2026-11-26T09:30:00Z")
    assert told.exit_code == 0, told.stderr
    assert "verified" in told.stdout and "Override" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 100
    every = answer("limits", "--account", "firm/acc", "--at", "2026-11-26")["limits"]
    told = regime("limits", "--account", "firm/acc", "--at", "2026-11-26", "--all", "--csv")
    sheet = list(csv.DictReader(io.StringIO(told.stdout)))
    assert [row["path"] for row in sheet] == [limit["path"] for limit in every]
    assert regime("limits", "--account", "firm/acc").exit_code == 2


def test_a_dossier_names_every_entry_and_its_file() -> None:
    fill = next(json.loads(e.body) for e in recorded()[0] if e.event_type == "FILL")
    told = regime("dossier", fill["correlation_id"], "--firm", "north")
    assert told.exit_code == 0, told.stderr
    for word in ("Proposal", "Rules", "Executions", "Result", "Entries", "DECISION", "FILL"):
        assert word in told.stdout
    assert "audit/schema=1/firm=north/account=a/run=bt-test/part-" in told.stdout
    machine = answer("dossier", fill["correlation_id"][:16], "--firm", "north")
    assert all(len(entry["entry_hash"]) == 64 for entry in machine["decision"] + machine["fills"])
    assert regime("dossier", fill["correlation_id"], "--firm", "south").exit_code == 2


# --- actors and exports: acts, so on a record of their own --------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    store = made(tmp_path / "own")
    govern(store)
    monkeypatch.setenv("REGIME_ARTIFACTS", str(tmp_path / "own"))
    return store


def test_a_name_is_shown_to_the_operator_until_it_is_erased(own: Store) -> None:
    (one,) = answer("actors", "list")["actors"]
    assert one["subject"].startswith("local:") and one["actor"] in regime("actors", "list").stdout
    assert regime("actors", "erase", one["actor"], input_="n\n").exit_code == 1
    assert answer("actors", "list")["actors"][0]["subject"]
    told = regime("actors", "erase", one["actor"], "--yes")
    assert told.exit_code == 0, told.stderr
    gone = answer("actors", "list")["actors"][0]
    assert (gone["erased"], gone["subject"], gone["name"]) == (True, "", "")
    assert "erased" in regime("actors", "list").stdout
    assert regime("actors", "erase", one["actor"], "--yes").exit_code == 2
    assert regime("actors", "erase", "mary", "--yes").exit_code == 2
    entries = SqlAuditLog(own.engine, firm_id="firm").entries("admin/firm/_firm")
    assert verify_chain(entries, chain="admin/firm/_firm").ok
    said = json.loads(entries[-1].event.body)
    assert (said["event_type"], said["action"], said["subject"]) == ("KEY", "shredded", one["actor"])
    assert answer("overrides")["rows"][0]["by"] == one["actor"], "the register still says who, by pseudonym"


def test_an_export_says_what_left_and_verifies(own: Store, tmp_path: Path) -> None:
    told = answer("export", "--to", tmp_path / "b.zip")
    assert check(tmp_path / "b.zip", told["sha256"])["entries"] == told["entries"] == 2
    assert told["recorded"] == {"chain": "admin/firm/_firm", "seq": 3}
    again = regime("export", "--to", tmp_path / "folder", "--until", "2026-11-26T08:30:00Z")
    assert again.exit_code == 0 and "1 entries of 1 chains" in again.stdout
    assert check(tmp_path / "folder")["entries"] == 1
    assert regime("export", "--to", tmp_path / "b.zip").exit_code == 2
