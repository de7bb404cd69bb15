"""The table of contents: the pipeline, stage by stage, and the graph that runs it.

``PIPELINE`` drives the compiled LangGraph, the stage list in ``docs/architecture.md`` (held equal by a test),
the progress events, and the check that every field is written once and before it is read.

Between stages the state is plain JSON: a checkpoint read back imports no class (decision 0003).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import orjson
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from langsmith import tracing_context

from regime_trading.agents.allocator import allocator
from regime_trading.agents.approval import approval, look
from regime_trading.agents.contradictor import contradictor
from regime_trading.agents.cross_asset import cross_asset
from regime_trading.agents.deps import Deps
from regime_trading.agents.execution import execution
from regime_trading.agents.features import features
from regime_trading.agents.ingest import ingest
from regime_trading.agents.journal import journal
from regime_trading.agents.judge import judge
from regime_trading.agents.microstructure import microstructure
from regime_trading.agents.portfolio_manager import portfolio_manager
from regime_trading.agents.regime import regime
from regime_trading.agents.summarizer import summarizer
from regime_trading.agents.trader_config_loader import trader_config_loader
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.state import Approval, Looked, PipelineState, Question, RunRequest

Node = Callable[[PipelineState, Deps], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a run. The node sees ``request`` and the fields it ``reads``, nothing else, and returns
    exactly the fields it ``writes``."""

    name: str
    node: Node
    reads: tuple[str, ...]
    writes: tuple[str, ...]


_SEEN = ("data", "tape", "features", "coupling", "regime", "contradiction")
_DECIDING = ("data", "tape", "regime", "contradiction", "profiles", "proposals")
_DECIDED = ("profiles", "proposals", "decisions", "verdict", "approval", "receipts", "executions")

PIPELINE: tuple[Stage, ...] = (
    Stage("ingest", ingest, (), ("data",)),
    Stage("microstructure", microstructure, ("data",), ("tape",)),
    Stage("features", features, ("data",), ("features",)),
    Stage("cross_asset", cross_asset, ("data",), ("coupling",)),
    Stage("regime", regime, ("data", "tape", "coupling"), ("regime",)),
    Stage("contradictor", contradictor, ("data", "regime"), ("contradiction",)),
    Stage("trader_config_loader", trader_config_loader, (), ("profiles",)),
    Stage("allocator", allocator, ("data", "regime"), ("proposals",)),
    Stage("portfolio_manager", portfolio_manager, _DECIDING, ("decisions",)),
    Stage("judge", judge, ("profiles", "proposals", "decisions"), ("verdict",)),
    Stage("approval", approval, ("profiles", "decisions", "verdict"), ("approval",)),
    Stage("journal", journal, (*_DECIDING, "decisions", "verdict", "approval"), ("receipts",)),
    Stage("execution", execution, ("decisions", "verdict", "approval", "receipts"), ("executions",)),
    Stage("summarizer", summarizer, (*_SEEN, *_DECIDED), ("report",)),
)


def validate(pipeline: tuple[Stage, ...]) -> None:
    """Refuse a pipeline in which a field is unknown, written twice, never written, or read too early.

    Raises
    ------
    ValueError
        Naming the stage and the field.
    """
    known = [name for name in PipelineState.model_fields if name != "request"]
    names: set[str] = set()
    written: set[str] = set()
    for stage in pipeline:
        if stage.name in names:
            raise ValueError(f"stage {stage.name}: expected different names, found it twice")
        if early := [field for field in stage.reads if field not in written]:
            raise ValueError(f"stage {stage.name}: reads {', '.join(early)} before any stage wrote it")
        for field in stage.writes:
            if field not in known:
                raise ValueError(f"stage {stage.name}: writes {field}, which PipelineState does not have")
            if field in written:
                raise ValueError(f"stage {stage.name}: writes {field}, which an earlier stage wrote")
            written.add(field)
        names.add(stage.name)
    if missing := [field for field in known if field not in written]:
        raise ValueError(f"pipeline: no stage writes {', '.join(missing)}")


class Pipeline:
    """The compiled graph. A run is named by its ``run_id`` and survives the process."""

    def __init__(self, graph: Any, checkpointer: BaseCheckpointSaver[Any], deps: Deps) -> None:
        self._graph, self._checkpointer, self._deps = graph, checkpointer, deps

    def status(self, run_id: str) -> str:
        """``absent``, ``unfinished``, ``waiting`` (for people) or ``finished``."""
        snapshot = self._graph.get_state(_thread(run_id))
        if not snapshot.values:
            return "absent"
        if snapshot.interrupts:
            return "waiting"
        return "unfinished" if snapshot.next else "finished"

    def answered(self, run_id: str) -> bool:
        """Whether people have answered what a run asked, and it went on with that."""
        values = self._graph.get_state(_thread(run_id)).values
        return any(answer["request_id"] for answer in values.get("approval") or ())

    def question(self, run_id: str) -> Question | None:
        """What a run waits for; None where it does not wait for people."""
        interrupts = self._graph.get_state(_thread(run_id)).interrupts
        return Question.model_validate(interrupts[0].value) if interrupts else None

    def look(self, run_id: str) -> tuple[Looked, ...]:
        """Every account of a run that waits, decided again in the world as it is now; nothing is written.

        Raises
        ------
        BadInput
            No such run, or it does not wait for people.
        """
        question = self.question(run_id)
        if question is None:
            found = self.status(run_id)
            raise BadInput(expected="a run that waits for people", found=found, where=f"run {run_id}")
        return look(_state(self._graph.get_state(_thread(run_id)).values), self._deps, question)

    def start(self, request: RunRequest) -> PipelineState:
        """Run every stage, up to the one at which people are asked where they must be.

        Raises
        ------
        BadInput
            A run of that id was begun before: it is resumed, never begun twice.
        """
        if (status := self.status(request.run_id)) != "absent":
            raise BadInput(expected="a run that was not begun", found=status, where=f"run {request.run_id}")
        return self._invoke({"request": request.model_dump(mode="json")}, request.run_id)

    def resume(self, run_id: str, answers: Sequence[Approval] = ()) -> PipelineState:
        """Continue after the last finished stage; a finished run returns its result, and one that waits for people goes
        on with their ``answers``.

        Raises
        ------
        BadInput
            No run of that id.
        """
        self.request(run_id)
        if self.status(run_id) == "waiting":
            if not answers:  # asked again it would ask about the world as it is now
                return _state(self._graph.get_state(_thread(run_id)).values)
            given = [answer.model_dump(mode="json") for answer in answers]
            return self._invoke(Command(resume=given), run_id)
        return self._invoke(None, run_id)

    def request(self, run_id: str) -> RunRequest:
        """What a run that was begun had been asked for.

        Raises
        ------
        BadInput
            No run of that id.
        """
        values = self._graph.get_state(_thread(run_id)).values
        if not values:
            raise BadInput(expected="the id of a run that was begun", found=run_id, where="run id")
        return RunRequest.model_validate(values["request"])

    def forget(self, run_id: str) -> None:
        """Remove the checkpoints of a run; its record and its artifacts stay."""
        self._checkpointer.delete_thread(run_id)

    def _invoke(self, values: dict[str, Any] | Command[Any] | None, run_id: str) -> PipelineState:
        with tracing_context(enabled=False):
            result = self._graph.invoke(values, _thread(run_id), durability="sync")
        return _state(result)


def _state(values: Mapping[str, Any]) -> PipelineState:
    """The stages' fields of a graph's values, beside which LangGraph notes what interrupted it."""
    return PipelineState.model_validate({n: v for n, v in values.items() if n in PipelineState.model_fields})


def pause(question: Question) -> tuple[Approval, ...]:
    """Ask people: the run stops here, its checkpoint durable, and the stage begins again with their answers."""
    given = interrupt(question.model_dump(mode="json"))
    return tuple(Approval.model_validate(answer) for answer in given)


def rehearse(request: RunRequest, deps: Deps, last: str) -> PipelineState:
    """What the stages up to ``last`` make of a request, in this process alone: no checkpoint, no resuming."""
    values: dict[str, Any] = {"request": request.model_dump(mode="json")}
    for stage in PIPELINE:
        values |= _guarded(stage, deps)(values)
        if stage.name == last:
            return PipelineState.model_validate(values)
    raise ValueError(f"no stage {last}")


def build(
    deps: Deps, checkpointer: BaseCheckpointSaver[Any], pipeline: tuple[Stage, ...] = PIPELINE
) -> Pipeline:
    """Compile ``pipeline``, stage after stage, onto ``checkpointer``."""
    validate(pipeline)
    channels = TypedDict("channels", dict.fromkeys(PipelineState.model_fields, Any))
    graph = StateGraph(channels)
    previous = START
    for number, stage in enumerate(pipeline, start=1):
        label = f"{number:02d} {stage.name}"
        graph.add_node(label, _guarded(stage, deps))
        graph.add_edge(previous, label)
        previous = label
    graph.add_edge(previous, END)
    return Pipeline(graph.compile(checkpointer=checkpointer), checkpointer, deps)


def _thread(run_id: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": run_id}, "recursion_limit": 100}


def _guarded(stage: Stage, deps: Deps) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def run(values: dict[str, Any]) -> dict[str, Any]:
        view = PipelineState.model_validate({name: values[name] for name in ("request", *stage.reads)})
        _emit(deps, view, stage, "started")
        try:
            plain = _plain(stage, view, stage.node(view, deps))
        except GraphInterrupt:
            _emit(deps, view, stage, "waiting", "people are asked")
            raise
        except Exception as error:
            _emit(deps, view, stage, "failed", str(error) if isinstance(error, RegimeError) else repr(error))
            raise
        _emit(deps, view, stage, "finished")
        return plain

    return run


def _plain(stage: Stage, view: PipelineState, new: Mapping[str, Any]) -> dict[str, Any]:
    """The new fields as plain JSON, checked: exactly those declared, valid, and equal when read back."""
    if sorted(new) != sorted(stage.writes) or any(value is None for value in new.values()):
        given = ", ".join(sorted(name for name, value in new.items() if value is not None)) or "nothing"
        raise TypeError(f"stage {stage.name}: expected to write {', '.join(stage.writes)}, wrote {given}")
    written = PipelineState.model_validate({"request": view.request, **new})
    plain: dict[str, Any] = orjson.loads(written.model_dump_json(include=set(stage.writes)))
    if PipelineState.model_validate({"request": view.request, **plain}) != written:
        raise TypeError(f"stage {stage.name}: {', '.join(stage.writes)} changes when written as JSON")
    return plain


def _emit(deps: Deps, view: PipelineState, stage: Stage, status: str, detail: str = "") -> None:
    deps.events.emit({"run_id": view.request.run_id, "stage": stage.name, "status": status, "detail": detail})
