"""The graph itself, with small stages: order, contracts, events, kill and resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regime_trading.adapters.checkpoint import open_checkpoints
from regime_trading.agents.graph import PIPELINE, Pipeline, Stage, build, pause, validate
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.schemas import (
    DataHealth,
    FrameRef,
    Proposal,
    Receipt,
    Regime,
    RiskState,
    Structure,
    TapeSummary,
)
from regime_trading.core.state import (
    Approval,
    Contradiction,
    Coupling,
    DataSnapshot,
    DecisionReceipt,
    FeatureSet,
    Judgement,
    MarketRegime,
    PipelineState,
    Question,
    Report,
    RunRequest,
)

H = "a" * 64
REF = FrameRef(path="runs/r/x.parquet", sha256=H, rows=1)
T = 1_672_347_600_000_000_000
REQUEST = RunRequest(
    run_id="run-1",
    as_of_ns=T,
    source="bundled",
    symbols=("AAPL",),
    traded=("AAPL",),
    baskets=("b",),
    accounts=("f/a",),
    data_hash=H,
    config_hash=H,
    ledger_hash=H,
    code_version="0.1.0+x",
)
REGIME = Regime(
    symbol="AAPL",
    as_of_ns=T,
    label="trending",
    confidence=0.1 + 0.2,
    structure=Structure(
        label="trending", confidence=0.5, variance_ratio=1.1, p_value=0.01, half_life_bars=None, n_obs=500
    ),
    risk=RiskState(state=0, n_states=2, margin=0.7, expected_duration_bars=100.5, fitted_at_ns=T),
)
VALUES: dict[str, Any] = {
    "data": DataSnapshot(
        health=DataHealth(
            source="bundled",
            calendar="XNYS",
            as_of_ns=T,
            provides=("close",),
            bar_s=86400,
            symbols=(),
            content_hash=H,
        ),
        prices=REF,
        content_hash=H,
    ),
    "tape": TapeSummary(evidence="bars", confidence_cap=0.8),
    "features": FeatureSet(frame=REF, version="1", latest=()),
    "coupling": Coupling(window_bars=252, n_obs=252, mean_correlation=1 / 3, clusters=()),
    "regime": MarketRegime(market=REGIME, symbols=(REGIME,), exposures=(), history=REF),
    "contradiction": Contradiction(turbulent=False, alternates=(), confidence_cap=0.5),
    "profiles": (),
    "proposals": (Proposal(proposal_id="p", as_of_ns=T, weights={"AAPL": "0.123456789"}),),
    "decisions": (),
    "verdict": Judgement(action="ok"),
    "approval": (),
    "receipts": (
        DecisionReceipt(
            account="f/a",
            decision_id="d",
            receipt=Receipt(chain_id="dry_run/run-1/f/a", seq=1, entry_hash=H),
        ),
    ),
    "executions": (),
    "report": Report(files=(REF,)),
}


@dataclass
class Recorder:
    events: list[tuple[str, str]]
    on: Callable[[Mapping[str, Any]], None] = lambda event: None

    def emit(self, event: Mapping[str, Any]) -> None:
        self.events.append((event["stage"], event["status"]))
        self.on(event)


def fakes(
    calls: list[str] | None = None, faults: dict[str, Callable[[], Any]] | None = None
) -> tuple[Stage, ...]:
    """The real stages' names, reads and writes, with nodes that return ready values."""

    def node(stage: Stage) -> Callable[..., dict[str, Any]]:
        def run(state: PipelineState, deps: Any) -> dict[str, Any]:
            if calls is not None:
                calls.append(stage.name)
            for field in PipelineState.model_fields:
                seen = field == "request" or field in stage.reads
                assert (getattr(state, field) is not None) == seen, f"{stage.name} sees {field}"
            if faults and stage.name in faults:
                return faults[stage.name]()
            return {name: VALUES[name] for name in stage.writes}

        return run

    return tuple(replace(stage, node=node(stage)) for stage in PIPELINE)


def make(tmp_path: Path, pipeline: tuple[Stage, ...], sink: Recorder | None = None) -> Pipeline:
    deps = SimpleNamespace(events=sink or Recorder([]))
    return build(deps, open_checkpoints(tmp_path / "checkpoints.db"), pipeline)


def raising(error: Exception) -> Callable[[], Any]:
    def run() -> Any:
        raise error

    return run


def test_a_run_passes_every_stage_in_order_and_returns_the_whole_state(tmp_path: Path) -> None:
    calls: list[str] = []
    sink = Recorder([])
    pipeline = make(tmp_path, fakes(calls), sink)
    assert pipeline.status("run-1") == "absent"
    result = pipeline.start(REQUEST)
    names = [stage.name for stage in PIPELINE]
    assert calls == names
    assert sink.events == [(name, status) for name in names for status in ("started", "finished")]
    assert result == PipelineState(request=REQUEST, **VALUES)
    assert pipeline.status("run-1") == "finished"
    assert pipeline.request("run-1") == REQUEST


def test_resuming_a_finished_run_returns_its_result_and_runs_nothing(tmp_path: Path) -> None:
    first = make(tmp_path, fakes()).start(REQUEST)
    calls: list[str] = []
    assert make(tmp_path, fakes(calls)).resume("run-1") == first
    assert calls == []


def test_a_run_is_not_begun_twice(tmp_path: Path) -> None:
    make(tmp_path, fakes()).start(REQUEST)
    with pytest.raises(BadInput, match="not begun"):
        make(tmp_path, fakes()).start(REQUEST)


def test_an_unknown_run_is_bad_input(tmp_path: Path) -> None:
    pipeline = make(tmp_path, fakes())
    for call in (pipeline.resume, pipeline.request):
        with pytest.raises(BadInput, match="no-such-run"):
            call("no-such-run")


def test_a_failed_stage_is_told_and_runs_again_on_resume(tmp_path: Path) -> None:
    sink = Recorder([])
    broken = fakes(faults={"regime": raising(NotDurable("disk full"))})
    with pytest.raises(NotDurable, match="disk full"):
        make(tmp_path, broken, sink).start(REQUEST)
    assert sink.events[-2:] == [("regime", "started"), ("regime", "failed")]
    calls: list[str] = []
    pipeline = make(tmp_path, fakes(calls))
    assert pipeline.status("run-1") == "unfinished"
    assert pipeline.resume("run-1") == PipelineState(request=REQUEST, **VALUES)
    assert calls[0] == "regime" and "features" not in calls


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"regime": None},
        {"regime": VALUES["regime"], "tape": VALUES["tape"]},
        {"features": VALUES["features"]},
    ],
)
def test_a_stage_that_does_not_write_exactly_its_fields_is_refused(
    tmp_path: Path, output: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match="expected to write regime"):
        make(tmp_path, fakes(faults={"regime": lambda: output})).start(REQUEST)


def test_a_stage_that_writes_an_invalid_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="evidence"):
        make(tmp_path, fakes(faults={"microstructure": lambda: {"tape": {"evidence": "gossip"}}})).start(
            REQUEST
        )


def test_a_value_that_json_would_change_is_refused(tmp_path: Path) -> None:
    changed = VALUES["coupling"].model_copy(update={"mean_correlation": float("nan")})
    with pytest.raises((TypeError, ValueError)):
        make(tmp_path, fakes(faults={"cross_asset": lambda: {"coupling": changed}})).start(REQUEST)


# --- people ---------------------------------------------------------------------------------------------------

QUESTION = Question(waiting=("f/a",), worlds=())
GRANTED = (Approval(account="f/a", status="granted", by=("u-ann",), at_ns=T, request_id="rq-1"),)


def asking(calls: list[str] | None = None, fault: Callable[[], None] | None = None) -> tuple[Stage, ...]:
    """The pipeline with an approval stage that asks people."""

    def node(state: PipelineState, deps: Any) -> dict[str, Any]:
        if calls is not None:
            calls.append("approval")
        given = pause(QUESTION)
        if fault is not None:
            fault()
        return {"approval": given}

    return tuple(replace(s, node=node) if s.name == "approval" else s for s in fakes(calls))


def test_a_run_that_asks_waits_with_its_question_and_goes_on_with_the_answers(tmp_path: Path) -> None:
    sink, calls = Recorder([]), list[str]()
    first = make(tmp_path, asking(), sink).start(REQUEST)
    assert first.verdict is not None and first.approval is None and first.receipts is None
    assert sink.events[-2:] == [("approval", "started"), ("approval", "waiting")]
    pipeline = make(tmp_path, asking(calls))
    assert (pipeline.status("run-1"), pipeline.question("run-1")) == ("waiting", QUESTION)
    assert (
        pipeline.resume("run-1") == first and calls == []
    )  # without answers nothing runs, and nothing is asked again
    assert not pipeline.answered("run-1")
    done = pipeline.resume("run-1", GRANTED)
    assert done == PipelineState(request=REQUEST, **VALUES | {"approval": GRANTED})
    assert calls == ["approval", "journal", "execution", "summarizer"]
    assert (pipeline.status("run-1"), pipeline.question("run-1")) == ("finished", None)
    assert pipeline.answered("run-1")


def test_a_run_that_fails_with_its_answers_still_waits_for_them(tmp_path: Path) -> None:
    make(tmp_path, asking()).start(REQUEST)
    with pytest.raises(NotDurable):
        make(tmp_path, asking(fault=raising(NotDurable("disk full")))).resume("run-1", GRANTED)
    pipeline = make(tmp_path, asking())
    assert pipeline.status("run-1") == "waiting"
    assert pipeline.resume("run-1", GRANTED).approval == GRANTED


def test_only_a_run_that_waits_is_looked_at(tmp_path: Path) -> None:
    pipeline = make(tmp_path, fakes())
    pipeline.start(REQUEST)
    with pytest.raises(BadInput, match="waits for people"):
        pipeline.look("run-1")
    with pytest.raises(BadInput, match="absent"):
        pipeline.look("no-such-run")


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.pipeline.test_graph import *
stage, status = sys.argv[3], sys.argv[4]
def on(event):
    if (event["stage"], event["status"]) == (stage, status):
        os.kill(os.getpid(), signal.SIGKILL)
make(Path(sys.argv[2]), fakes(), Recorder([], on)).start(REQUEST)
"""


@pytest.mark.parametrize(
    ("stage", "status"), [("ingest", "started"), ("allocator", "finished"), ("summarizer", "finished")]
)
def test_a_killed_run_resumes_after_its_last_finished_stage(tmp_path: Path, stage: str, status: str) -> None:
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", CHILD, root, str(tmp_path), stage, status], check=False)
    assert done.returncode == -signal.SIGKILL
    calls: list[str] = []
    pipeline = make(tmp_path, fakes(calls))
    assert pipeline.status("run-1") == "unfinished"
    assert pipeline.resume("run-1") == PipelineState(request=REQUEST, **VALUES)
    names = [s.name for s in PIPELINE]
    assert calls == names[names.index(stage) :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: (p[1], p[0], *p[2:]), "microstructure: reads data before"),
        (lambda p: (*p[:-1], replace(p[-1], writes=("data",))), "writes data, which an earlier"),
        (lambda p: p[:-1], "no stage writes report"),
        (lambda p: (*p, p[-1]), "found it twice"),
        (lambda p: (replace(p[0], writes=("data", "gossip")), *p[1:]), "writes gossip, which PipelineState"),
    ],
)
def test_an_invalid_pipeline_is_refused_before_anything_runs(
    tmp_path: Path, change: Callable[[tuple[Stage, ...]], tuple[Stage, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        validate(change(PIPELINE))
    with pytest.raises(ValueError, match=message):
        make(tmp_path, change(PIPELINE))


def test_a_checkpoint_holds_json_and_nothing_else(tmp_path: Path) -> None:
    import sqlite3

    make(tmp_path, fakes()).start(REQUEST)
    connection = sqlite3.connect(tmp_path / "checkpoints.db")
    kinds = connection.execute(
        "select distinct type from checkpoints union select distinct type from writes"
    ).fetchall()
    assert kinds == [("json",)]
    (size,) = connection.execute("select max(length(checkpoint)) from checkpoints").fetchone()
    assert size < 50_000
    assert os.environ.get("LANGSMITH_TRACING") in (None, "", "false")
