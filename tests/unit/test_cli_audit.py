"""``regime audit``: verify and keys in the terminal, over runs of the real commands."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from regime_trading.cli import app

ROOT = Path(__file__).parents[2]
RUN = ["run", "--symbols", "KO,PEP", "--as-of", "1993-12-31", "--accounts", "north-pier/core"]
AGAIN = [*RUN[:-1], "kestrel-lane/growth"]
FIRMS = ("kestrel-lane", "north-pier")


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def told(*words: str | Path, code: int = 0) -> dict[str, Any]:
    done = call(*words, "--json")
    assert done.exit_code == code, (done.stdout, done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, signed: artifacts, keys and witness beside each other."""
    home = tmp_path_factory.mktemp("record")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        (home / "keys").mkdir(mode=0o700)
        patch.setenv("REGIME_KEYS", str(home / "keys"))
        patch.setenv("REGIME_WITNESS", str(home / "witness"))
        for words in (RUN, AGAIN):
            done = call(*words, "--artifacts", home / "artifacts")
            assert done.exit_code == 0, done.stderr
            assert done.stderr.count("A key was made that signs the record") == 1
            shutil.copytree(home / "artifacts", home / f"after-{len(list(home.glob('after-*')))}")
        done = call(*RUN, "--artifacts", home / "artifacts")
        assert "re-used" in done.stdout and "key" not in done.stderr
    return home


@pytest.fixture
def home(record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work on."""
    for name in ("artifacts", "keys", "witness"):
        shutil.copytree(record / name, tmp_path / name)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REGIME_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("REGIME_WITNESS", str(tmp_path / "witness"))
    return tmp_path


def checkpoints(artifacts: Path) -> list[str]:
    return sorted(path.parent.name for path in (artifacts / "audit" / "_checkpoints").rglob("*.txt"))


def test_decisions_are_signed_before_orders_leave_and_the_orders_after_and_nothing_twice(
    record: Path,
) -> None:
    assert checkpoints(record / "after-0") == ["firm=north-pier"] * 2
    assert checkpoints(record / "artifacts") == [f"firm={firm}" for firm in FIRMS for _ in range(2)]
    assert sorted(path.suffix for path in (record / "keys").iterdir()) == [".key"] * 2


def test_verify_answers_in_the_words_of_the_contract(home: Path) -> None:
    answer = told("audit", "verify", "--path", home / "artifacts", "--witness", home / "witness")
    assert list(answer)[:5] == ["ok", "integrity", "completeness", "witnessed_to", "entries"]
    assert answer["ok"] and answer["keys"] == "from_the_record" and answer["unsigned_after"] == []
    assert answer["integrity"] == {"ok": True, "first_bad": None}
    assert answer["completeness"] == {"ok": True, "gaps": []}
    assert [one["firm"] for one in answer["witnessed_to"]] == list(FIRMS)
    (chain,) = answer["witnessed_to"][1]["chains"].items()
    assert chain[0].startswith("dry_run/run-") and chain[1] == answer["witnessed_to"][1]["entries"] > 0
    assert answer["entries"] == sum(one["entries"] for one in answer["checkpoints"])
    given = told("audit", "verify", "--path", home / "artifacts" / "audit", "--keys", home / "artifacts")
    assert given["ok"] and given["keys"] == "trusted" and given["witnessed_to"] is None


def test_people_are_told_what_holds_and_what_that_does_not_show(home: Path) -> None:
    done = call("audit", "verify", "--path", home / "artifacts")
    assert done.exit_code == 0, done.stderr
    assert "The record holds" in done.stdout and "every link" in done.stdout
    assert "proves nothing against someone who can rewrite the folder" in done.stdout
    assert "No witness was asked" in done.stdout
    seen = call(
        *("audit", "verify", "--path", home / "artifacts", "--keys", home / "artifacts"),
        *("--witness", home / "witness", "--firm", "north-pier"),
    )
    assert "north-pier: signed and witnessed up to checkpoint 2" in seen.stdout
    assert "kestrel" not in seen.stdout and "proves nothing" not in seen.stdout


def test_a_changed_record_is_named_and_ends_with_3(home: Path) -> None:
    part = next((home / "artifacts" / "audit").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    answer = told("audit", "verify", "--path", home / "artifacts", code=3)
    bad = answer["integrity"]["first_bad"]
    assert not answer["ok"] and bad["file"].endswith(part.name)
    assert bad["seq"] == int(part.name.split("-")[1])
    done = call("audit", "verify", "--path", home / "artifacts")
    assert done.exit_code == 3 and "does NOT hold" in done.stdout and part.name in done.stdout


def test_what_is_gone_is_a_gap(home: Path) -> None:
    shutil.rmtree(next((home / "artifacts" / "audit" / "schema=1").rglob("run=*")))
    answer = told("audit", "verify", "--path", home / "artifacts", code=3)
    assert answer["integrity"]["ok"] and "it is gone" in answer["completeness"]["gaps"][0]["reason"]
    shutil.rmtree(home / "artifacts" / "audit" / "_checkpoints")
    answer = told("audit", "verify", "--path", home / "artifacts", "--witness", home / "witness", code=3)
    assert any("witness" in gap["reason"] for gap in answer["completeness"]["gaps"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--path", "nowhere"], "an artifacts folder with a record"),
        (["--keys", "nowhere"], "a folder with public keys"),
        (["--witness", "nowhere"], "a witness that holds checkpoints"),
        (["--firm", "No Firm"], "an id of"),
    ],
)
def test_usage(home: Path, words: list[str], said: str) -> None:
    where = [] if "--path" in words else ["--path", str(home / "artifacts")]
    done = call("audit", "verify", *where, *words)
    assert done.exit_code == 2 and said in done.stderr and done.stdout == ""


def test_a_dry_run_without_usable_keys_finishes_and_says_that_it_is_not_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REGIME_KEYS", str(tmp_path / "none"))
    done = call(*RUN, "--artifacts", tmp_path / "artifacts", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["accounts"]
    assert "The record of north-pier is NOT signed" in done.stderr and str(tmp_path / "none") in done.stderr
    seen = call("audit", "verify", "--path", tmp_path / "artifacts")
    assert seen.exit_code == 0 and re.search("Not signed at all: [0-9]+ entries of dry_run/run-", seen.stdout)
    assert not list((tmp_path / "artifacts" / "audit").glob("_checkpoints"))


# --- keys -------------------------------------------------------------------------------------------------


def test_keys_are_listed_rotated_and_the_record_still_holds(home: Path) -> None:
    before = told("audit", "keys", "list", "--artifacts", home / "artifacts")["keys"]
    assert [(one["firm"], one["use"], one["private"]) for one in before] == [
        (firm, "signs", "here") for firm in FIRMS
    ]
    made = told("audit", "keys", "rotate", "--firm", "north-pier", "--artifacts", home / "artifacts")
    assert made["checkpoint"] == 3 and made["replaces"].endswith(before[1]["key"])
    after = told("audit", "keys", "list", "--artifacts", home / "artifacts", "--firm", "north-pier")["keys"]
    assert {(one["use"], one["private"]) for one in after} == {("signed", "not here"), ("signs", "here")}
    answer = told(
        *("audit", "verify", "--path", home / "artifacts", "--keys", home / "artifacts"),
        *("--witness", home / "witness"),
    )
    assert answer["ok"] and [one["checkpoint"] for one in answer["witnessed_to"]] == [2, 3]
    assert not any("PRIVATE" in path.read_text() for path in (home / "artifacts" / "audit").rglob("*.pub"))


def test_a_rotated_key_can_be_kept(home: Path) -> None:
    told("audit", "keys", "rotate", "--firm", "north-pier", "--keep", "--artifacts", home / "artifacts")
    assert len(list((home / "keys").glob("north-pier.*.retired"))) == 1
    listed = told("audit", "keys", "list", "--artifacts", home / "artifacts", "--firm", "north-pier")["keys"]
    assert {one["private"] for one in listed} == {"here", "retired"}


def test_keys_are_made_before_the_first_checkpoint_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "keys").mkdir(mode=0o700)
    monkeypatch.setenv("REGIME_KEYS", str(tmp_path / "keys"))
    where = ("--artifacts", tmp_path / "artifacts")
    made = told("audit", "keys", "create", *where)["created"]
    assert [one["firm"] for one in made] == list(FIRMS)
    assert told("audit", "keys", "create", *where) == {"created": []}
    done = call("audit", "keys", "create", "--firm", "north-pier", *where)
    assert done.exit_code == 2 and "rotate" in done.stderr
    assert call("audit", "keys", "create", *where).stdout == "Every firm has its key.\n"
    shown = call("audit", "keys", "create", "--firm", "third-firm", *where).stdout
    assert "regime-trading/third-firm+" in shown


def test_the_default_folder_is_the_users_and_made_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for name in ("REGIME_KEYS", "REGIME_WITNESS", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    done = call(*RUN, "--artifacts", tmp_path / "artifacts")
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / ".config" / "regime-trading" / "keys"
    assert folder.stat().st_mode & 0o777 == 0o700 and len(list(folder.glob("*.key"))) == 1
    (witness,) = (tmp_path / ".local" / "state" / "regime-trading" / "witness").iterdir()
    seen = call("audit", "verify", "--path", tmp_path / "artifacts", "--witness", witness)
    assert seen.exit_code == 0 and "witnessed up to checkpoint 2" in seen.stdout


def test_tests_keep_out_of_the_users_home() -> None:
    for name in ("REGIME_KEYS", "REGIME_WITNESS"):
        assert Path(os.environ[name]).is_dir() and "pytest" in os.environ[name]
