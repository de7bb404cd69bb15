"""``/run …`` and ``/cancel run``: jobs over accounts that whoever asks may run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from regime_trading.core.access import Answer, Permission
from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import BadInput, Refused
from regime_trading.core.jobs import ENDED, Job, JobKind, checked_request
from regime_trading.core.schemas import Mode
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.executors.looking import has_role, in_person, not_seen, within_reach
from regime_trading.services.jobs import report_request
from regime_trading.services.views.artifacts import may_see_run
from regime_trading.services.views.base import Asker

#: Keys of a command and of the request of its job.
_KEYS: Mapping[JobKind, Mapping[str, str]] = {
    JobKind.RUN: {"basket": "basket"},
    JobKind.BACKTEST: {"basket": "basket", "from": "first", "to": "last"},
    JobKind.REGIME: {"basket": "basket", "to": "as_of"},
    JobKind.SCAN: {"basket": "basket", "to": "as_of"},
}
_SENDS_NOTHING = frozenset({Mode.DRY_RUN, Mode.SHADOW})


@dataclass(frozen=True, slots=True)
class Running:
    """A job of ``kind``. ``--dry-run`` shows what would be queued, and queues nothing.

    Parameters
    ----------
    deps : ExecutorDeps
    kind : JobKind
    quiet : bool
        Only over accounts whose mode sends no order.
    """

    deps: ExecutorDeps
    kind: JobKind
    quiet: bool = False

    def simulate(self, command: Command, context: Context) -> Effects:
        """Which job, over which accounts."""
        if command.values("seed"):
            return Effects(Direction.NEUTRAL, (), blocking=("jobs take no seed: leave it out",))
        request = self._request(command, context)
        checked_request(self.kind, request, context.firm_id)
        return Effects(
            Direction.NEUTRAL,
            (f"A job of kind {self.kind.value} over {', '.join(request['accounts'])}.",),
            unchanged=("No limit changes.",),
            blocking=self._blocking(request["accounts"], context),
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        """Queue it; under the same key it is one job."""
        return _queued(self.deps, self.kind, self._request(command, context), command, context)

    def _request(self, command: Command, context: Context) -> dict[str, Any]:
        """As its kind takes it: accounts are those that were named, or all that one may run."""
        known = self.deps.profiles(context.firm_id)
        named = [value.text for value in command.values("account")]
        accounts = within_reach(context, Permission.RUN, named or sorted(known))
        if not accounts or not set(named or accounts) <= set(accounts) & set(known):
            missing = next((one for one in named if one not in accounts or one not in known), "")
            raise not_seen(context, command, "account", missing)
        found = {name: command.text(key) for key, name in _KEYS[self.kind].items() if command.values(key)}
        symbols = [value.text for value in command.values("symbol")]
        return found | {"accounts": list(dict.fromkeys(accounts))} | ({"symbols": symbols} if symbols else {})

    def _blocking(self, accounts: list[str], context: Context) -> tuple[str, ...]:
        if not self.quiet:
            return ()
        modes = {name: profile.mode for name, profile in self.deps.profiles(context.firm_id).items()}
        live = [name for name in accounts if modes.get(name) not in _SENDS_NOTHING]
        return tuple(f"{name} is in a mode that sends orders" for name in live)


@dataclass(frozen=True, slots=True)
class Reporting:
    """The report of a run or a backtest of the firm, rendered again."""

    deps: ExecutorDeps

    def simulate(self, command: Command, context: Context) -> Effects:
        """Which report."""
        checked_request(JobKind.REPORT, self._request(command, context), context.firm_id)
        said = f"The report of {command.text('id')} is rendered again."
        return Effects(Direction.NEUTRAL, (said,), unchanged=("The run and its files stay as they are.",))

    def execute(self, command: Command, context: Context) -> Outcome:
        """Queue it; under the same key it is one job."""
        return _queued(self.deps, JobKind.REPORT, self._request(command, context), command, context)

    def _request(self, command: Command, context: Context) -> dict[str, Any]:
        run_id = command.text("id")
        if not may_see_run(
            self.deps.sources(context.firm_id), Asker(in_person(context), context.now_ns), run_id
        ):
            raise not_seen(context, command, "run", run_id)
        return report_request(self.deps.jobs, context.firm_id, run_id)


def _queued(
    deps: ExecutorDeps, kind: JobKind, request: dict[str, Any], command: Command, context: Context
) -> Outcome:
    if "dry-run" in command.flags:
        return Outcome("Nothing was queued.", {"kind": kind.value, "request": request})
    job = deps.jobs.enqueue(context.firm_id, kind, request, by=context.actor[1], key=context.key)
    data: dict[str, JsonValue] = {"job_id": job.job_id, "status": job.status.value, "route": "/runs"}
    return Outcome(f"Job {job.job_id} is queued.", data | dict.fromkeys(command.flags, True))


@dataclass(frozen=True, slots=True)
class Cancelling:
    """A job is cancelled: one's own, or anybody's by whoever may halt the firm."""

    deps: ExecutorDeps

    def simulate(self, command: Command, context: Context) -> Effects:
        """It stops; what it wrote stays."""
        job = self._own(command, context)
        ended = (f"{job.job_id} is {job.status.value} already",) if job.status in ENDED else ()
        said = f"Job {job.job_id} ({job.kind.value}) is cancelled."
        return Effects(Direction.NEUTRAL, (said,), unchanged=("What it has written stays.",), blocking=ended)

    def execute(self, command: Command, context: Context) -> Outcome:
        """Cancel it; whoever works on it is told."""
        job = self.deps.jobs.cancel(context.firm_id, self._own(command, context).job_id)
        return Outcome(f"Job {job.job_id} is {job.status.value}.", {"job_id": job.job_id, "route": "/runs"})

    def _own(self, command: Command, context: Context) -> Job:
        try:
            job = self.deps.jobs.get(context.firm_id, command.text("id"))
        except BadInput as error:
            raise not_seen(context, command, "job", command.text("id")) from error
        if job.by == context.actor[1] or has_role(context, Permission.KILL_FIRM, None):
            return job
        accounts = json.loads(job.request).get("accounts") or [None]
        seen = all(has_role(context, Permission.READ, account) for account in accounts)
        if not seen:
            raise not_seen(context, command, "job", job.job_id)
        raise Refused(Answer.NO_ROLE, f"to use {command.name}: it is somebody else's job")
