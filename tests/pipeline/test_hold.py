"""A run that is not valid is recorded, and nothing leaves; one that does not repeat is not recorded at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from regime_trading.adapters.checkpoint import open_checkpoints
from regime_trading.agents.graph import PIPELINE, build
from regime_trading.bootstrap import load
from regime_trading.bootstrap.app import App, open_app, wire
from regime_trading.bootstrap.rl import check_dataset
from regime_trading.core.errors import CheckFailed
from regime_trading.core.schemas import Mode
from regime_trading.core.state import Check, Judgement, PipelineState
from regime_trading.services.runs import Ask, RunService, parse_time

ROOT = Path(__file__).parents[2]
ASK = Ask(basket="us-growth", accounts=("kestrel-lane/growth",), as_of_ns=parse_time("1993-09-30", "test"))


def with_node(app: App, folder: Path, stage: str, node: Callable[..., Any]) -> RunService:
    """The service over a pipeline in which one stage is another."""
    pipeline = tuple(replace(s, node=node) if s.name == stage else s for s in PIPELINE)
    return replace(app.runs, flow=build(app.deps, open_checkpoints(folder / "other.db"), pipeline))


def stored(app: App, state: PipelineState) -> Any:
    """What the ledger has of the account after the run."""
    return app.deps.ledger("kestrel-lane", Mode.DRY_RUN).load(ASK.accounts[0], state.request.as_of_ns + 1)


def entries(app: App, state: PipelineState) -> list[dict[str, Any]]:
    sealed = app.deps.sealer.entries(state.request.run_id, *ASK.accounts[0].split("/"))
    return [orjson.loads(entry.event.body) for entry in sealed]


def test_the_same_ask_is_valid_and_sends_orders(tmp_path: Path) -> None:
    with open_app(artifacts=tmp_path, config=ROOT / "config") as app:
        state = app.runs.run(ASK).state
        assert state.executions is not None and state.executions[0].order_ids
        assert stored(app, state)[2]


def test_a_held_run_is_recorded_and_changes_nothing(tmp_path: Path) -> None:
    finding = Check(account=ASK.accounts[0], check="equity", expected="a finite number", found="NaN")

    def holding(state: PipelineState, deps: Any) -> dict[str, Any]:
        return {"verdict": Judgement(action="HOLD", findings=(finding,))}

    with open_app(artifacts=tmp_path, config=ROOT / "config") as app:
        runs = with_node(app, tmp_path, "judge", holding)
        state = runs.run(ASK).state
        assert state.executions is not None and state.executions[0].reason == "the run is held"
        assert state.executions[0].order_ids == ()
        assert stored(app, state) is None
        (entry,) = entries(app, state)
        assert (entry["event_type"], entry["outcome"]) == ("DECISION", "hold")
        assert entry["findings"][0]["check"] == "equity"
        assert runs.run(ASK).state == state  # verified and re-used
        page = tmp_path / "runs" / state.request.run_id / "report.md"
        assert "HOLD" in page.read_text()
        found = check_dataset(tmp_path, None)
        assert found.ok and not found.chains and not found.uncovered, (
            "nothing was decided: no state, and none is missed"
        )


def test_a_decision_that_does_not_repeat_is_not_recorded(tmp_path: Path) -> None:
    from regime_trading.agents.portfolio_manager import portfolio_manager

    def forgetful(state: PipelineState, deps: Any) -> dict[str, Any]:
        (decision,) = portfolio_manager(state, deps)["decisions"]
        return {"decisions": (decision.model_copy(update={"rationale": "another"}),)}

    with open_app(artifacts=tmp_path, config=ROOT / "config") as app:
        runs = with_node(app, tmp_path, "portfolio_manager", forgetful)
        with pytest.raises(CheckFailed, match="does not repeat"):
            runs.run(ASK)
        request = runs.request(ASK)
        assert (
            app.deps.ledger("kestrel-lane", Mode.DRY_RUN).load(ASK.accounts[0], request.as_of_ns + 1) is None
        )
        assert app.deps.sealer.sealed(request.run_id, *ASK.accounts[0].split("/")) is None


def test_a_run_begun_under_another_configuration_is_not_resumed(tmp_path: Path) -> None:
    with open_app(artifacts=tmp_path, config=ROOT / "config") as app:
        run_id = app.runs.run(ASK).state.request.run_id
    configuration = load(ROOT / "config")
    changed = configuration.settings.model_copy(update={"events": ()})
    with ExitStack() as stack:
        app = wire(tmp_path, replace(configuration, settings=changed), None, stack)
        with pytest.raises(CheckFailed, match="config_hash"):
            app.runs.resume(run_id)
        with pytest.raises(CheckFailed, match="code_version"):
            replace(app.runs, settings=configuration.settings, code_version="0.1.0+other").resume(run_id)
