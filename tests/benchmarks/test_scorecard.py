"""The scorecard: our side holds in all twelve scenarios, and the peer's cells say what its answers say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.peers import ours

from benchmarks import scorecard
from regime_trading.core.rules import RULE_IDS
from regime_trading.guards.chain import REGISTRY

ROOT = Path(__file__).parents[2]
SENT = {"reached_client": True, "denied": None}
DENIED = {"reached_client": False, "denied": "NOTIONAL: 1 > 0"}
HALTED = {"buy_before": DENIED, "buy_after": SENT, "state_after": "ACTIVE"}
RAISED = {"raised_to_caller": "RuntimeError: injected"}
SAID: dict[int, dict[str, Any]] = {
    1: dict.fromkeys(("cash_without_price", "margin_without_price"), SENT) | {"cash_with_price": DENIED},
    2: {"plain": SENT | {"net_after_fill": "-200"}, "reduce_only": SENT, "reduce_only_with_position": DENIED},
    3: {"HALTED": HALTED},
    7: {"cash": DENIED, "margin": SENT},
    9: {"second": SENT, "submits_at_client": 2},
    10: {"calls_after_halt": [], "resting": "ACCEPTED", "next_order": DENIED},
    11: {"entry": DENIED | RAISED, "exit": DENIED | RAISED},
}
BETTER: dict[int, dict[str, Any]] = {
    1: dict.fromkeys(SAID[1], DENIED),
    2: SAID[2] | {"plain": DENIED},
    3: {"HALTED": HALTED | {"state_after": "HALTED"}},
    7: {"cash": SENT, "margin": SENT},
    9: {"second": DENIED, "submits_at_client": 1},
    10: SAID[10] | {"calls_after_halt": ["cancel_order"]},
    11: SAID[11] | {"exit": SENT | RAISED},
}


def test_there_are_twelve_and_each_runs_on_our_side() -> None:
    assert list(scorecard.SCENARIOS) == list(range(1, 13)) == sorted(scorecard.OURS)


@pytest.mark.parametrize("number", scorecard.SCENARIOS)
def test_what_must_happen_happens(number: int) -> None:
    outcome = scorecard.run(number)
    assert outcome.held, outcome.what


def test_every_rule_is_made_to_raise() -> None:
    assert set(REGISTRY) == set(RULE_IDS)
    assert scorecard.run(11).what.startswith(f"{len(RULE_IDS)} of {len(RULE_IDS)} ")


def test_a_side_that_fails_is_not_said_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "decide_case", lambda *_: 1 / 0)
    outcome = scorecard.run(1)
    assert (outcome.held, outcome.what) == (False, "ZeroDivisionError: division by zero")


def test_a_guard_that_lets_the_oversize_exit_through_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    free = ours.decide_case
    monkeypatch.setattr(ours, "decide_case", lambda rule, given: free(rule, given | {"kill_level": 0}))
    assert not scorecard.run(2).held


@pytest.mark.parametrize("number", scorecard.PEER)
def test_a_cell_of_the_peer_says_what_its_answer_says(number: int) -> None:
    assert scorecard.peer_cell(number, {str(number): SAID[number]}).startswith("did not hold: ")
    assert scorecard.peer_cell(number, {str(number): BETTER[number]}).startswith("held: ")


def test_what_did_not_run_is_not_claimed() -> None:
    told = {"2": {"error": "AttributeError: x"}}
    assert scorecard.peer_cell(1, scorecard.NOT_INSTALLED) == scorecard.NOT_INSTALLED
    assert scorecard.peer_cell(1, told) == "not run: no answer"
    assert scorecard.peer_cell(2, told) == "not run: AttributeError: x"
    assert scorecard.peer_cell(4, told) == scorecard.NO_SUCH_RULE


def test_an_interpreter_without_the_package_gives_no_answers() -> None:
    """The package never enters this project's environment."""
    assert scorecard.ask_peer(None) == scorecard.ask_peer(sys.executable) == scorecard.NOT_INSTALLED
    assert scorecard.ask_peer("/nowhere/python") == "not run (the interpreter did not answer)"


def test_the_table_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/scorecard.py", "--only", "2,7", "--markdown"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "| scenario | what must happen | this project | nautilus_trader |"
    assert lines[2].startswith("| 2. ") and lines[2].endswith(f"| {scorecard.NOT_INSTALLED} |")
    assert lines[-1] == "2 of 2 held on our side."


def test_the_guide_names_every_scenario_and_what_must_happen() -> None:
    page = (ROOT / "docs" / "guides" / "scorecard.md").read_text(encoding="utf-8")
    for number, scenario in scorecard.SCENARIOS.items():
        assert f"| {number}. {scenario.name} | {scenario.must} |" in page
