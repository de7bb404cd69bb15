"""``docs/guides/gate.md`` tells the truth: its request, commands, snippet, answer and table are tried."""

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
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.services.schemas import model_schema

GUIDE = (ROOT / "docs" / "guides" / "gate.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, flags=re.M | re.S)


REQUEST, ANSWER = (json.loads(block) for block in blocks("json"))


@pytest.fixture(autouse=True)
def _as_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").symlink_to(CONFIG)
    monkeypatch.delenv("REGIME_CONFIG", raising=False)
    monkeypatch.delenv("REGIME_ARTIFACTS", raising=False)
    (tmp_path / "request.json").write_text(blocks("json")[0])


def run(line: str) -> Any:
    """One command of the guide, a redirected file as its input."""
    command, _, source = line.partition(" < ")
    name, *words = shlex.split(command)
    assert name == "regime"
    told = CliRunner().invoke(app, words, input=Path(source).read_text() if source else None)
    assert told.exit_code == 0, told.stderr
    return told.stdout


def commands() -> list[str]:
    return [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("line", commands())
def test_every_command_runs(line: str) -> None:
    assert run(line)


def within(part: Any, whole: Any) -> bool:
    """What the guide shows is in the answer."""
    if isinstance(part, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(within, part, whole))
    return bool(part == whole)


def test_the_answer_is_the_one_shown() -> None:
    told = json.loads(run(commands()[1]))
    assert within(ANSWER, told), {key: told[key] for key in ANSWER}


def test_the_snippet_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = blocks("python")
    exec(compile(snippet, "gate.md", "exec"), {"request": REQUEST})
    told = capsys.readouterr().out.splitlines()
    assert told and all(line.startswith("entry ") for line in told)


def test_it_names_fields_and_rules_that_exist() -> None:
    answer = model_schema("PMDecision")["properties"]
    table = GUIDE.split("| field | meaning |")[1].split("\n\n")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, flags=re.M)
    assert len(named) >= 6 and set(named) <= answer.keys()
    assert set(re.findall(r"\b[A-Z]{2}-\d{2}\b", GUIDE)) <= RULE_BY_ID.keys()
    market = model_schema("MarketSnapshot")["properties"]
    said = GUIDE.split("Further sections declare themselves by being there: ")[1].split(". ")[0]
    assert set(re.findall(r"`(\w+)`", said)) <= market.keys()


MISSING = [
    ("quotes", "DS-02", "unknown"),
    ("instruments", "DS-13", "unknown"),
    ("status", "DS-15", "unknown"),
    ("covariance", "DS-12", "unknown"),
    ("adv", "XL-03", "unknown"),
    ("regime", "VT-04", "bound"),
]


@pytest.mark.parametrize(("section", "rule_id", "outcome"), MISSING)
def test_nothing_can_be_left_out_without_a_rule_going_blind(section: str, rule_id: str, outcome: str) -> None:
    """What the table says, and that no entry leaves that would not have left with it."""
    whole = json.loads(run(commands()[1]))
    market = {name: value for name, value in REQUEST["market"].items() if name != section}
    Path("request.json").write_text(json.dumps(REQUEST | {"market": market}))
    told = json.loads(run(commands()[1]))
    said = {rule["rule_id"]: rule["outcome"] for rule in told["rules"]}
    assert said[rule_id] == outcome
    before = {target["symbol"]: float(target["step_qty"]) for target in whole["targets"]}
    assert all(float(target["step_qty"]) <= before[target["symbol"]] for target in told["targets"])
    assert told["trading_state_after"] in ("NORMAL", "REDUCE_ONLY")
