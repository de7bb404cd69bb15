"""``docs/guides/record.md`` tells the truth: its commands are run, and what they print has the words shown."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from regime_trading.cli import app
from regime_trading.core.settings import AuditSettings

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "record.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, flags=re.M | re.S)


def general(text: str) -> list[str]:
    """Lines with what differs from one record to the next taken out."""
    text = re.sub(r"\b[0-9a-f]{8}\b", "<key>", text)
    text = re.sub(r"\d+ (s|min|h|days) ago", "<age>", text)
    return [re.sub(r" +", " ", line).strip() for line in text.splitlines() if line.strip()]


def run(line: str) -> str:
    name, *words = shlex.split(line)
    assert name == "regime"
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, (line, told.stdout, told.stderr)
    return told.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would stand: a configuration, one signed run, the keys the auditor was given, a witness."""
    home = tmp_path_factory.mktemp("reader")
    (home / "config").symlink_to(ROOT / "config")
    (home / "keys").mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name in ("REGIME_CONFIG", "REGIME_ARTIFACTS"):
            patch.delenv(name, raising=False)
        patch.setenv("REGIME_KEYS", str(home / "keys"))
        patch.setenv("REGIME_WITNESS", str(home / "witness"))
        run("regime run --symbols KO,PEP --as-of 1993-12-31 --accounts north-pier/core")
    shutil.copytree(home / "artifacts" / "audit" / "_keys" / "north-pier", home / "trusted")
    return home


def test_the_commands_print_what_is_shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for name in ("REGIME_CONFIG", "REGIME_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REGIME_KEYS", str(place / "keys"))
    monkeypatch.setenv("REGIME_WITNESS", str(place / "witness"))
    steps = re.findall(r"^```(console|text)\n(.*?)^```", GUIDE, flags=re.M | re.S)
    printed, compared = "", 0
    for language, block in steps:
        if language == "console":
            for line in block.splitlines():
                printed = run(line.removeprefix("$ "))
        else:
            assert general(printed) == general(block)
            compared += 1
    assert compared == 3


def test_the_settings_shown_are_settings() -> None:
    (block,) = blocks("yaml")
    shown = AuditSettings.model_validate(yaml.safe_load(block)["audit"])
    assert len(shown.witness) == 2


def test_every_field_of_the_answer_is_explained(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    answer = json.loads(run("regime audit verify --json"))
    table = GUIDE.split("| field | meaning |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.M) == list(answer)
