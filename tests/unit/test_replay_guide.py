"""``docs/guides/replay.md`` tells the truth: its commands run, its answer is the answer, its kinds are all."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from tests.gate_samples import ROOT
from typer.testing import CliRunner

from regime_trading.cli import app

GUIDE = (ROOT / "docs" / "guides" / "replay.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ regime (.*)$", GUIDE, flags=re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_runs(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told = CliRunner().invoke(app, shlex.split(line))
    assert told.exit_code == 0, told.output
    if "--json" in line:
        shown = json.loads(re.findall(r"^```json\n(.*?)^```", GUIDE, flags=re.M | re.S)[0])
        answer = json.loads(told.stdout)
        assert shown.items() <= answer.items() and answer.keys() - shown.keys() == {"code_version"}


def test_every_kind_of_mismatch_and_of_difference_is_explained() -> None:
    source = ROOT / "src" / "regime_trading"
    service = (source / "services" / "replay.py").read_text()
    kinds = set(re.findall(r'"((?:inputs|not)_[a-z]+)"', service))
    assert kinds == set(re.findall(r"^\| `([a-z_]+)` \|", GUIDE, flags=re.M)) - {"kind"}
    meaning = (source / "engine" / "replay.py").read_text()
    for kind in re.findall(r'found\["([a-z_]+)", ', meaning) + re.findall(r'\("([a-z_]+)", ""\): ', meaning):
        assert kind in GUIDE or kind.removeprefix("rule_") in GUIDE, kind


def test_the_files_are_where_the_guide_says() -> None:
    recorded = ROOT / "tests" / "recorded"
    assert len(list(recorded.glob("inputs/schema=1/*/*/part-*.parquet"))) == 2
    assert all(
        re.fullmatch(r"[0-9a-f]{64}", Path(p).name) for p in recorded.glob("inputs/schema=1/*/config/*")
    )
