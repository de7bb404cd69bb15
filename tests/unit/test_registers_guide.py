"""``docs/guides/registers.md`` tells the truth: its commands are run, in their order, on a record of the shipped
configuration."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.gate_samples import CONFIG, ROOT
from typer.testing import CliRunner

from regime_trading.cli import app
from regime_trading.cli.audit.registers import REGISTER_COMMANDS
from regime_trading.core.schemas import EventType
from regime_trading.services.schemas import model_schema
from regime_trading.services.verify_bundle import check

GUIDE = (ROOT / "docs" / "guides" / "registers.md").read_text(encoding="utf-8")
ORDER = re.compile(r"\b[0-9a-f]{24}-\d{3}-\d{3}\b")


def commands() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", GUIDE, flags=re.M | re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one run was made and one limit tightened."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "config").symlink_to(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        at(folder, patch)
        run("regime run --as-of 2008-10-10 --symbols KO,PEP,XOM --accounts north-pier/core")
        run("regime config override north-pier/core risk.sigma_target 0.08 --ttl 4h --reason 'CPI at 14:30'")
    return folder


def at(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    patch.delenv("REGIME_CONFIG", raising=False)
    patch.delenv("REGIME_ARTIFACTS", raising=False)


def run(line: str) -> Any:
    name, *words = shlex.split(line)
    assert name == "regime"
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.stderr
    return told.stdout


def of_now(line: str) -> str:
    """A command of the guide with the names and the day of this record."""
    rows = json.loads(run("regime audit orders --firm north-pier --json"))["rows"]
    return ORDER.sub(rows[0]["order"], line).replace("2026-11-26T16:00:00Z", "2100-01-01")


def test_every_command_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(home, monkeypatch)
    told = {line: run(of_now(line)) for line in commands()}
    assert all(told.values())
    assert "CPI at 14:30" in told["regime audit overrides --firm north-pier"]
    (dossier,) = (answer for line, answer in told.items() if "dossier" in line)
    assert all(word in dossier for word in ("Proposal", "ORDER_SENT", "Result", "Entries"))
    assert check(home / "north-pier.zip")["entries"] >= 3


def test_every_command_is_told() -> None:
    told = " ".join(commands())
    for name in (*REGISTER_COMMANDS, "limits", "dossier", "export", "actors list"):
        assert f"regime audit {name} " in told
    schema = model_schema("PMAuditEvent")
    assert set(schema["discriminator"]["mapping"]) == {kind.value for kind in EventType}
