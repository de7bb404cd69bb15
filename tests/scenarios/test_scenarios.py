"""The override hierarchy: every scenario, played through the real cycle, decides as its file says."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.scenarios.guide import PAGE, scenario_guide
from tests.scenarios.play import differences, different_states, found, load, play

from regime_trading.adapters.yaml_text import read_yaml
from regime_trading.core.errors import BadInput
from regime_trading.core.rules import Authority, Release, TradingState
from regime_trading.tools.scenario_file import Expected, Scenario

FILES = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_step_decides_as_expected(path: Path) -> None:
    scenario = load(path)
    wrong = [
        f"{played.step.at} {name}: {problem}"
        for played in play(scenario)
        for row, name in enumerate(scenario.names)
        for problem in differences(played.step.expect[name], found(played, row))
    ]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_restart_changes_no_answer(path: Path) -> None:
    """Stored, read back and decided: the same decision and the same state, to the bit."""
    scenario = load(path)
    everywhere = scenario.model_copy(
        update={
            "steps": (
                scenario.steps[0],
                *(s.model_copy(update={"restart": True}) for s in scenario.steps[1:]),
            )
        }
    )
    for kept, again in zip(play(scenario, restarts=False), play(everywhere), strict=True):
        where = f"{kept.step.at} {kept.step.what}"
        for row in range(len(scenario.names)):
            assert found(again, row) == found(kept, row), where
        assert different_states(again.carried.states, kept.carried.states) == [], where
        assert np.array_equal(again.carried.positions.cash, kept.carried.positions.cash), where
        assert np.array_equal(again.carried.positions.qty, kept.carried.positions.qty), where
        assert np.array_equal(again.cycle.decisions.rule_outcome, kept.cycle.decisions.rule_outcome), where
        assert np.array_equal(again.cycle.decisions.limiting, kept.cycle.decisions.limiting), where


def test_the_files_themselves_show_restarts_kills_and_releases() -> None:
    steps = [step for path in FILES for step in load(path).steps]
    assert len(FILES) == 10
    assert sum(step.restart for step in steps) >= 6
    assert {kill for step in steps for kill in step.kill.values()} >= {"K1", "K3"}
    assert {unlocked.rule for step in steps for unlocked in step.release} == {"LD-02", "LD-15"}


def test_the_guide_on_disk_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == scenario_guide(), "run `make docs`"


def raw() -> dict[str, Any]:
    return read_yaml(FILES[-1])[0]


def put(body: Any, value: Any, *path: str | int) -> Any:
    """A copy in which one place says something else."""
    if not path:
        return value
    at = path[0]
    if isinstance(body, list):
        assert isinstance(at, int)
        return [put(one, value, *path[1:]) if n == at else one for n, one in enumerate(body)]
    return {**body, at: put(body.get(at), value, *path[1:])}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("colour",), "red", "colour"),
        (("steps", 0, "colour"), "red", "colour"),
        (("steps", 0, "expect", "core", "colour"), "red", "colour"),
        (("firms", 0, "accounts", 0, "colour"), "red", "colour"),
        (("instruments", "AAA", "colour"), "red", "colour"),
        (("steps", 1, "expect"), {}, "expected an expectation for core, sister"),
        (("steps", 1, "expect", "core"), {"outcome": "approve", "state": "NORMAL", "why": "?"}, "bind"),
        (("steps", 1, "expect", "core", "bind"), ["LD-99"], "LD-99"),
        (("steps", 1, "expect", "core", "bind_includes"), [], "either bind or bind_includes"),
        (("steps", 1, "prices"), {"ZZZ": 1}, "ZZZ"),
        (("steps", 1, "kill"), {"nobody": "K1"}, "nobody"),
        (("steps", 1, "kill"), {"core": "K9"}, "K1"),
        (("steps", 1, "at"), "2024-03-05 09:00", "times that rise"),
        (("steps", 1, "at"), "2024-03-10 02:30", "exists in America/New_York"),
        (("steps", 5, "at"), "2024-11-03 01:30", "occurs twice"),
        (("steps", 1, "again"), True, "no `again`"),
    ],
)
def test_what_a_scenario_may_not_say(path: tuple[str | int, ...], value: Any, message: str) -> None:
    Scenario.model_validate(raw())
    with pytest.raises(ValidationError, match=message):
        Scenario.model_validate(put(raw(), value, *path))


def test_a_step_without_an_expectation_is_an_error() -> None:
    body = raw()
    del body["steps"][1]["expect"]
    with pytest.raises(ValidationError, match="expect"):
        Scenario.model_validate(body)


@pytest.mark.parametrize(
    ("risk", "message"),
    [
        ({"drawdwn": "0.1"}, "nearest is 'drawdown'"),
        ({"daily_loss": {"limit": "0.1"}}, "limit"),
        ({"single_name": "0.5"}, "at most 0.4"),
    ],
)
def test_rules_are_read_as_configuration_is(risk: dict[str, Any], message: str) -> None:
    scenario = Scenario.model_validate(put(raw(), risk, "firms", 0, "accounts", 0, "risk"))
    with pytest.raises(BadInput, match=message):
        next(play(scenario))


def test_another_expectation_is_noticed() -> None:
    """Every field that a file gives is compared."""
    scenario = load(FILES[-1])
    played = next(play(scenario))
    said, expected = found(played, 0), played.step.expect["core"]
    assert differences(expected, said) == []
    for name, value in {
        "outcome": "block",
        "state": TradingState.LOCKED,
        "bind": ("LD-01",),
        "targets": {"AAA": Decimal("0.21")},
        "steps": {"AAA": Decimal(201)},
        "owed": {"AAA": Decimal(1)},
        "latches": {"LD-01": Release.MANUAL},
        "released": ("LD-01",),
        "authority": Authority.NONE,
        "equity": Decimal("99999"),
        "drawdown": Decimal("0.5"),
        "throttle": Decimal("0.5"),
        "budget_factor": Decimal("0.5"),
        "day": "2024-03-04",
    }.items():
        changed = Expected.model_validate({**expected.model_dump(), name: value})
        assert [text.split()[0].rstrip(":") for text in differences(changed, said)] == [name]
    some = Expected.model_validate({**expected.model_dump(), "bind": None, "bind_includes": ("LD-01",)})
    assert len(differences(some, said)) == 1
