"""``/override rule``: one limit of an account is tightened until an instant. Nothing here can loosen one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from regime_trading.core.canonical import content_hash
from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command
from regime_trading.core.commands.values import Kind, instant_ns
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import BadInput
from regime_trading.core.instants import instant_text
from regime_trading.core.overrides import (
    MAX_TTL_NS,
    SessionOverride,
    ends_ns,
    live_overrides,
    session_boundary,
)
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.configurations import OverrideAsk, make_override
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.executors.looking import looked_again, require_known

_SECOND_NS = 1_000_000_000
_NOT_YET = "previewed"


@dataclass(frozen=True, slots=True)
class Overriding:
    """A session override."""

    deps: ExecutorDeps

    def simulate(self, command: Command, context: Context) -> Effects:
        """What is tighter, and how long; raises ``BadInput`` where it is not provably tighter than what is in force."""
        profile, stored = self._profile(command, context), self._stored(context)
        ask = _ask(command, context, command.text("reason") or _NOT_YET)
        made = make_override(profile, ask, _Looking(stored), now_ns=context.now_ns, actor=context.actor[1])
        live = live_overrides(stored, context.now_ns, session_boundary(profile.trading_day))
        return Effects(
            direction=Direction.TIGHTENS,
            effects=(f"{made.path} of {profile.account} is {made.value} {_how_long(command, made)}.",),
            unchanged=("Nothing loosens; what it says ends by itself.", "The configuration stays as it is."),
            undo="It cannot be taken back: it ends by itself.",
            base_version=content_hash([profile.config_hash, *(one.override_id for one in live)]),
            config_hash=profile.config_hash,
            warnings=() if command.values("reason") else ("It takes a reason.",),
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        """Store it; what it tightens is checked once more in the same transaction."""
        looked_again(self, self.deps.desk(), command, context)
        profile = self._profile(command, context)
        ask = _ask(command, context, context.reason or command.text("reason"))
        made = make_override(
            profile,
            ask,
            self.deps.overrides(context.firm_id),
            now_ns=context.now_ns,
            actor=context.actor[1],
            acts=replace(self.deps.acts(), actor=lambda _: context.actor),
        )
        until = instant_text(ends_ns(made, session_boundary(profile.trading_day)))
        said = f"{made.path} of {made.account} is {made.value} until {until}."
        return Outcome(said, {"override_id": made.override_id, "ends_at": until, "route": "/constraints"})

    def _profile(self, command: Command, context: Context) -> TraderProfile:
        known = self.deps.profiles(context.firm_id)
        require_known(context, command, known)
        return known[context.account]

    def _stored(self, context: Context) -> tuple[SessionOverride, ...]:
        return self.deps.overrides(context.firm_id).of(context.account)


@dataclass(frozen=True, slots=True)
class _Looking:
    """Overrides that are checked and not stored."""

    stored: tuple[SessionOverride, ...]

    def add(
        self,
        override: SessionOverride,
        check: Callable[[tuple[SessionOverride, ...]], None],
        events: Sequence[AuditEvent] = (),
    ) -> None:
        check(self.stored)

    def of(self, account: str) -> tuple[SessionOverride, ...]:
        return self.stored


def _ask(command: Command, context: Context, reason: str) -> OverrideAsk:
    left_ns = instant_ns(command.values("until")[0], context.now_ns) - context.now_ns
    if not _SECOND_NS <= left_ns <= MAX_TTL_NS:
        raise BadInput(
            expected="an instant to come, at most 24 h from now", found=command.text("until"), where="until"
        )
    return OverrideAsk(
        _path(command.text("rule")), command.text("value"), f"{left_ns // _SECOND_NS}s", reason
    )


def _path(rule: str) -> str:
    """``gross``, ``risk.gross``, ``risk.daily_loss.act`` or the id of a rule, as a path of the configuration."""
    if rule in RULE_BY_ID:
        return f"risk.{RULE_BY_ID[rule].key}"
    return rule if rule.startswith("risk.") else f"risk.{rule}"


def _how_long(command: Command, made: SessionOverride) -> str:
    """Without the time of looking: two looks at the same world say the same."""
    until = command.values("until")[0]
    if until.kind is Kind.DURATION:
        return f"for {until.text}, and on to the end of that session"
    return f"until {instant_text(instant_ns(until, made.created_at_ns))}, and on to the end of that session"
