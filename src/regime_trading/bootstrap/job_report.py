"""What the process of a job has said, as what is told of it: progress, lines of its log, the entry of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from regime_trading.adapters.job_channel import Tell
from regime_trading.core.actors import masked_text
from regime_trading.core.event_payloads import Exported, Payload, RunStatus
from regime_trading.core.jobs import Job, JobKind, moved
from regime_trading.core.messages import Message, RunLogData
from regime_trading.core.schemas import ActorType
from regime_trading.services.acts import Act

_EVERY_S = 0.2  #: between two words on how far a loop is


@dataclass(slots=True)
class Heard:
    """What the process of a job has said and was not told on yet."""

    stage: str = ""
    progress: float | None = None
    run_id: str = ""
    lines: list[str] = field(default_factory=list)
    new: bool = False
    result: dict[str, Any] | None = None
    record: dict[str, Any] | None = None
    error: str = ""

    def take(self, said: dict[str, Any]) -> None:
        """One thing that was said."""
        self.new = True
        self.result = said.get("result", self.result)
        self.record = said.get("record", self.record)
        self.error = str(said.get("error", self.error))
        self.run_id = str(said.get("run_id", self.run_id))
        if "stage" in said:
            self.stage, self.progress = str(said["stage"]), said.get("progress")
            if said.get("status") != "running":
                words = (said["stage"], said.get("status", ""), said.get("detail", ""))
                self.lines.append(masked_text(" ".join(str(word) for word in words if word))[0])

    def step(self, job: Job) -> Job:
        """The job as far as it has come."""
        return moved(job, self.stage or job.stage, self.progress, self.run_id)


def log_messages(job: Job, lines: Sequence[str], now_ns: int) -> tuple[Message, ...]:
    """The last of new lines: the live channel shows that there are some, the log has them all."""
    return (Message(now_ns, RunLogData(job_id=job.job_id, line=lines[-1])),) if lines else ()


class Stages:
    """Progress of a run: the share of its stages that are finished."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell, self._total, self._finished = tell, total, 0

    def emit(self, event: Mapping[str, Any]) -> None:
        """Pass an event on."""
        self._finished += event["status"] == "finished"
        share = min(1.0, self._finished / self._total)
        self._tell(
            {**{name: event.get(name, "") for name in ("stage", "status", "detail")}, "progress": share}
        )


def loop(tell: Tell) -> Callable[[str, int, int], None]:
    """Progress of a loop: its stage, how many steps are done, and of how many; said a few times a second."""
    last: dict[str, float] = {}

    def progress(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - last.get(stage, -_EVERY_S) < _EVERY_S and done < total:
            return
        status = "finished" if done >= total else "started" if stage not in last else "running"
        last[stage] = now
        tell({"stage": stage, "status": status, "detail": "", "progress": done / max(1, total)})

    return progress


def record_of(job: Job, heard: Heard) -> Act | None:
    """The entry of a job that is done and made a run, or a bundle; None of a verification, which makes neither."""
    if heard.record is None or heard.result is None:
        return None
    person = job.by.startswith("u-")
    return Act(
        _payload(job, heard.record),
        actor=(ActorType.USER if person else ActorType.SERVICE, job.by),
        correlation_id=job.job_id,
        causation_id=str(heard.result.get("run_id", "")),
    )


def _payload(job: Job, record: Mapping[str, Any]) -> Payload:
    if job.kind is JobKind.EXPORT:
        return Exported.model_validate_json(orjson.dumps(record))
    return RunStatus(
        run_kind=job.kind.value,  # type: ignore[arg-type]
        status="done",
        inputs_hash=record["inputs_hash"],
        as_of_ns=str(record["as_of_ns"]),
    )
