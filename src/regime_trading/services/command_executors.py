"""Executors that need nothing but the approvals and the screen: go, help, theme, tz, hide, approve, reject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from regime_trading.core import approval_steps as steps
from regime_trading.core.access import Principal
from regime_trading.core.approvals import PERMISSIONS, Approval
from regime_trading.core.commands.completion import offered
from regime_trading.core.commands.execution import Context, Effects, Executor, Executors, Outcome
from regime_trading.core.commands.grammar import Command
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import Conflict
from regime_trading.services.approvals import approve, find, now_of, reject
from regime_trading.services.desk import Desk


@dataclass(frozen=True, slots=True)
class OnScreen:
    """A command that the screen carries out: what it must know is handed back under ``name``."""

    name: str

    def simulate(self, command: Command, context: Context) -> Effects:
        """Changes nothing."""
        return Effects(Direction.NEUTRAL, ())

    def execute(self, command: Command, context: Context) -> Outcome:
        """What the screen must know."""
        return Outcome(command.name, {self.name: command.object})


@dataclass(frozen=True, slots=True)
class Help:
    """What there is to command, for this person."""

    def simulate(self, command: Command, context: Context) -> Effects:
        """Changes nothing."""
        return Effects(Direction.NEUTRAL, ())

    def execute(self, command: Command, context: Context) -> Outcome:
        """Commands of one verb, or of all that this person may use."""
        open_ = [spec for spec in offered(context.principal) if command.object in ("", spec.verb)]
        return Outcome(
            f"{len(open_)} commands", {"commands": [{"name": s.name, "help": s.help} for s in open_]}
        )


@dataclass(frozen=True, slots=True)
class Approve:
    """Agree to a request: what it would do now is shown beside what it was asked for as."""

    desk: Callable[[], Desk]

    def simulate(self, command: Command, context: Context) -> Effects:
        """The effects of the request itself, simulated now; what changed since it was asked for blocks it."""
        asked = self._find(command, context)
        try:
            steps.require_open(asked)
        except Conflict as conflict:
            return _answer(asked, (str(conflict),), asked.request.effects)
        now = now_of(self.desk(), asked)
        effects = asked.request.effects if now.effects is None else now.effects.effects
        return _answer(asked, (now.changed,) if now.changed else (), effects, now.effects)

    def execute(self, command: Command, context: Context) -> Outcome:
        """One more person agrees; where that is enough, it is carried out."""
        request_id, desk = command.text("id"), self.desk()
        after, outcome = approve(desk, context.principal, context.firm_id, request_id, context.reason)
        said = f"{after.given} of {after.request.required.n} agreed" if outcome is None else outcome.said
        data = {} if outcome is None else dict(outcome.data)
        return Outcome(said, data | {"request_id": request_id, "status": after.status.value})

    def _find(self, command: Command, context: Context) -> Approval:
        asked = find(self.desk(), context.principal, context.firm_id, command.text("id"))
        steps.require_approver(asked, _fresh(context), context.now_ns)
        return asked


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse a request."""

    desk: Callable[[], Desk]

    def simulate(self, command: Command, context: Context) -> Effects:
        """It ends, and nothing it asked for happens."""
        asked = find(self.desk(), context.principal, context.firm_id, command.text("id"))
        steps.require_approver(asked, _fresh(context), context.now_ns)
        said = (f"Request {asked.request.request_id} ({asked.request.kind.value}) is refused for good.",)
        try:
            steps.require_open(asked)
        except Conflict as conflict:
            return _answer(asked, (conflict.detail,), said, direction=Direction.TIGHTENS)
        return _answer(asked, (), said, direction=Direction.TIGHTENS)

    def execute(self, command: Command, context: Context) -> Outcome:
        """Refuse it, for the reason that was given."""
        request_id = command.text("id")
        reason = context.reason or command.text("reason")
        after = reject(self.desk(), context.principal, context.firm_id, request_id, reason)
        return Outcome(
            f"Request {request_id} refused.", {"request_id": request_id, "status": after.status.value}
        )


def own_executors(desk: Callable[[], Desk]) -> Executors:
    """The executors of this module; ``desk`` is asked for when a command is given, as it holds them itself."""
    found: dict[tuple[str, str], Executor] = {
        ("go", ""): OnScreen("to"),
        ("theme", ""): OnScreen("theme"),
        ("tz", ""): OnScreen("zone"),
        ("hide", "amounts"): OnScreen("hide"),
        ("help", ""): Help(),
        ("approve", "proposal"): Approve(desk),
        ("reject", "proposal"): Reject(desk),
    }
    return found


def _fresh(context: Context) -> Principal:
    """Whoever asks, as if identity had just been proved: that is asked for with the confirmation."""
    return replace(context.principal, stepped_up_ns=context.now_ns)


def _answer(
    asked: Approval,
    blocking: tuple[str, ...],
    effects: tuple[str, ...],
    now: Effects | None = None,
    direction: Direction = Direction.NEUTRAL,
) -> Effects:
    request = asked.request
    return Effects(
        direction=direction,
        effects=effects,
        unchanged=() if now is None else now.unchanged,
        undo="" if now is None else now.undo,
        diff=request.diff if now is None else now.diff,
        base_version=f"{request.payload_hash}.{asked.version}",
        config_hash=request.config_hash,
        blocking=blocking,
        permission=PERMISSIONS[request.kind][1],
        kind=request.kind,
        account=request.account,
    )
