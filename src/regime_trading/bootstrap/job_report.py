"""What the process of a job has said, as what is told of it: progress, lines of its log, the entry of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from regime_trading.core.actors import masked_text
from regime_trading.core.event_payloads import RunStatus
from regime_trading.core.jobs import Job, JobKind, moved
from regime_trading.core.messages import Message, RunLogData
from regime_trading.core.schemas import ActorType
from regime_trading.services.acts import Act


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


def record_of(job: Job, heard: Heard) -> Act | None:
    """The entry of a run that is done; None of any other job, which leaves records of its own or none."""
    if heard.record is None or heard.result is None or job.kind not in (JobKind.RUN, JobKind.BACKTEST):
        return None
    person = job.by.startswith("u-")
    return Act(
        RunStatus(
            run_kind=job.kind.value,  # type: ignore[arg-type]
            status="done",
            inputs_hash=heard.record["inputs_hash"],
            as_of_ns=str(heard.record["as_of_ns"]),
        ),
        actor=(ActorType.USER if person else ActorType.SERVICE, job.by),
        correlation_id=job.job_id,
        causation_id=str(heard.result.get("run_id", "")),
    )
