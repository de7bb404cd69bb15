"""``regime config versions|apply|rollback|export``: whoever is at the machine may tighten, and loosen what runs dry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.config_samples import FIRM, OTHER, folder_of
from typer.testing import CliRunner, Result

from regime_trading.cli import app


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    made = folder_of(tmp_path / "config")
    monkeypatch.setenv("REGIME_CONFIG", str(made))
    monkeypatch.setenv("REGIME_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.delenv("REGIME_DATABASE", raising=False)
    return made


def regime(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["config", *(str(word) for word in words)])


def answer(*words: str | Path, code: int = 0) -> dict[str, Any]:
    told = regime(*words, "--json")
    assert told.exit_code == code, (told.stdout, told.stderr)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def edited(folder: Path, old: str, new: str) -> Path:
    document = regime("export", FIRM).stdout
    assert old in document
    path = folder.parent / "document.yaml"
    path.write_text(document.replace(old, new, 1))
    return path


def test_a_tightening_and_the_way_back(folder: Path) -> None:
    before = (folder / "traders.yaml").read_text()
    done = answer("apply", FIRM, edited(folder, 'gross: "0.9"', 'gross: "0.8"'), "--reason", "a bad week")
    assert (done["ok"], done["version"], done["status"], done["reason"]) == (True, 2, "applied", "a bad week")
    assert {one["direction"] for one in done["findings"]} == {"tightens"}
    assert (folder / "traders.yaml").read_text() == before.replace('gross: "0.9"', 'gross: "0.8"')
    told = answer("rollback", FIRM, "1", code=2)
    assert "2 people who agree" in told["error"]["message"] and "north-pier/live" in told["error"]["message"]
    listed = answer("versions", FIRM)
    assert (listed["current"], listed["drift"]) == (2, "none")
    assert [(one["version"], one["status"]) for one in listed["versions"]] == [
        (3, "draft"),
        (2, "applied"),
        (1, "superseded"),
    ]
    assert "document" not in listed["versions"][0] and listed["versions"][0]["approvers"] == 2
    assert (
        answer("export", FIRM, "--version", "1")["document"]
        == regime("export", FIRM, "--version", "1").stdout
    )
    shown = regime("versions", FIRM).stdout
    assert "superseded" in shown and "rollback to version 1" in shown


def test_what_runs_dry_may_be_loosened_here(folder: Path) -> None:
    path = folder / "traders.yaml"
    path.write_text(path.read_text().replace("mode: shadow", "mode: dry_run"))
    told = regime("apply", FIRM, edited(folder, 'gross: "0.9"', 'gross: "1.0"'))
    assert told.exit_code == 0 and "loosens" in told.stdout and "Version 2 is applied" in told.stdout
    assert answer("rollback", FIRM, "1", "--reason", "too much")["version"] == 3
    assert answer("versions", OTHER)["current"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("apply", FIRM), "either a document or --version"),
        (("apply", FIRM, "nowhere.yaml"), "a text file"),
        (("apply", FIRM, "--version", "9"), "no version 9"),
        (("rollback", FIRM, "9"), "no version 9"),
        (("export", "nobody"), "firm nobody once"),
        (("versions", "nobody"), "firm nobody once"),
    ],
)
def test_mistakes_are_one_sentence(folder: Path, words: tuple[str, ...], said: str) -> None:
    assert said in answer(*words, code=2)["error"]["message"]


def test_what_the_loader_refuses_is_refused_with_its_line(folder: Path) -> None:
    told = answer("apply", FIRM, edited(folder, 'sigma_target: "0.08"', 'sigma_target: "0.8"'), code=2)
    assert told["error"]["message"].startswith("document:")
    path = folder / "traders.yaml"
    path.write_text(path.read_text().replace('gross: "0.9"', 'grosz: "0.9"'))
    listed = answer("versions", FIRM)
    assert (listed["drift"], listed["findings"][0]["line"]) == ("refused", 4)
    assert "refused by the loader" in regime("versions", FIRM).stdout
