"""``/halt``, ``/kill``, ``/flatten``, ``/resume``: to stop takes one person, to go on two outside of dry runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from regime_trading.core.access import Permission
from regime_trading.core.actors import masked_text
from regime_trading.core.approvals import Approval, ApprovalKind
from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command
from regime_trading.core.config_diff import Direction
from regime_trading.core.controls import UNKNOWN, Control, Flag, HaltDenied, Level
from regime_trading.core.errors import BadInput, Conflict, Refused, RegimeError
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.schemas import Mode
from regime_trading.services.approvals import void_pending
from regime_trading.services.controls import HaltAsk, ResumeAsk, halt, in_force, resume_together
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.executors.looking import looked_again, require_known, whoever_asked

NO_REASON = "no reason was given"  #: to stop is never refused for want of one
_STOPS = {
    Level.K1: "nothing that adds risk is sent, and entries that wait are cancelled.",
    Level.K2: "nothing that adds risk is sent, and every working entry is cancelled, known or not.",
    Level.K3: "every working entry is cancelled, every position is sold, and it stays locked.",
}
_STAYS = {
    Level.K1: ("Positions are held on.", "Protective exits and whatever reduces risk go on."),
    Level.K2: ("Positions are held on.", "Protective exits and whatever reduces risk go on."),
    Level.K3: ("Protective exits stay until what they protect is sold.",),
}


# --- to stop --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Halting:
    """A halt of ``level`` over an account, or over the firm; ``level`` None = the command says which."""

    deps: ExecutorDeps
    level: Level | None

    def simulate(self, command: Command, context: Context) -> Effects:
        """What stops, and what does not."""
        level, account = self._level(command), context.account
        known = self.deps.halts.modes(context.firm_id)
        if account or not known:
            require_known(context, command, known)
        covered = [account] if account else sorted(known)
        blocking = ("a limit on slippage is not built: leave max_slippage out",)
        return Effects(
            direction=Direction.TIGHTENS,
            effects=(f"{level.name} over {account or f'firm {context.firm_id}'}: {_STOPS[level]}",),
            unchanged=_STAYS[level],
            undo=_undo(account),
            base_version=_base(_standing(self.deps, context.firm_id, covered)),
            blocking=blocking if command.values("max_slippage") else (),
            warnings=_held(self.deps, context) if level is Level.K3 else (),
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        """Put it in force, and void what would loosen. Whatever came in between, a halt is only stricter."""
        level, firm_id, account = self._level(command), context.firm_id, context.account
        ask = HaltAsk(firm_id, account, level, context.reason or command.text("reason") or NO_REASON)
        try:
            made = halt(self.deps.halts, ask, context.principal, context.actor)
        except HaltDenied as denied:
            raise Refused(denied.answer, f"to use {command.name}") from denied
        said = f"{level.name} is in force over {account or firm_id}; each account takes it with its next decision."
        data: dict[str, JsonValue] = {"level": level.name, "scope": account or firm_id, "route": "/live"}
        if not isinstance(made, Flag):
            data["control_no"] = made.control_no
        return Outcome(f"{said} {self._voided(ask)}", data)

    def _level(self, command: Command) -> Level:
        return Level[command.text("level")] if self.level is None else self.level

    def _voided(self, ask: HaltAsk) -> str:
        """The halt is in force already: what cannot be voided is said, and heard of."""
        why = f"{ask.level.name} over {ask.account or ask.firm_id}"
        try:
            count = void_pending(self.deps.desk(), ask.firm_id, ask.account or None, why)
        except RegimeError as error:
            told = f"requests that loosen could not be voided: {masked_text(str(error))[0]}"
            self.deps.halts.alarm(f"{why}: {told}")
            return f"But {told}."
        return f"{count} requests that would loosen are void."


# --- to go on -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resuming:
    """The end of every halt of one account; a halt of the firm as a whole holds on."""

    deps: ExecutorDeps

    def simulate(self, command: Command, context: Context) -> Effects:
        """Which halts end, which hold on, and whether whoever asks may."""
        require_known(context, command, self.deps.halts.modes(context.firm_id))
        standing = _standing(self.deps, context.firm_id, [context.account])
        own = _own(standing, context)
        firms = [one for one in standing if not one.account]
        return Effects(
            direction=Direction.LOOSENS,
            effects=tuple(
                f"{one.level.name} over {one.account} ends (halt {one.control_no}: {one.reason})"
                for one in own
            ),
            unchanged=(
                *(f"{one.level.name} over the firm holds on (halt {one.control_no})" for one in firms),
                "Limits, locks of the risk rules and orders stay as they are.",
            ),
            undo=f"/halt account account:{context.account}",
            base_version=_base(standing),
            blocking=self._blocking(own, context),
            permission=Permission.REQUEST_UNLOCK,
            kind=ApprovalKind.UNLOCK,
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        """End them in one transaction: those that were shown, all or none."""
        _, asked = looked_again(self, self.deps.desk(), command, context)
        standing = _standing(self.deps, context.firm_id, [context.account])
        asks = [
            ResumeAsk(context.firm_id, one.control_no, context.reason, "" if asked is None else context.key)
            for one in _own(standing, context)
        ]
        if not asks:
            raise Conflict("base_version", f"no halt of {context.account} is in force any more")
        try:
            ended = resume_together(
                self.deps.halts, asks, whoever_asked(context), context.actor, _Agreed(asked)
            )
        except HaltDenied as denied:
            raise Refused(denied.answer, f"to use {command.name}") from denied
        except BadInput as error:
            raise Conflict("base_version", str(error)) from error
        left = [one for one in standing if not one.account]
        said = f"{len(ended)} halts of {context.account} ended; it goes on with its next decision."
        if left:
            said = f"{len(ended)} halts of {context.account} ended; one of the firm holds on."
        return Outcome(said, {"controls": [one.control_no for one in ended], "route": "/live"})

    def _blocking(self, own: Sequence[Control], context: Context) -> tuple[str, ...]:
        found = []
        level = in_force(self.deps.halts, [context.account])[context.account].level
        if not own:
            found.append(f"no halt of {context.account} itself is in force")
        elif level == UNKNOWN:
            found.append("what is in force cannot be read in full")
        if context.mode is not Mode.DRY_RUN and any(one.set_by == context.actor[1] for one in own):
            found.append("whoever set a halt does not ask for its end: somebody else must")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Agreed:
    """Whether people agreed to the end of a halt: in the request that is being carried out, over its account."""

    asked: Approval | None

    def __call__(self, request_id: str, control: Control) -> bool:
        if self.asked is None:
            return False
        request, needed = self.asked.request, self.asked.request.required.n
        about = (request.request_id, request.firm_id, request.account, request.kind)
        return (
            about == (request_id, control.firm_id, control.account, ApprovalKind.UNLOCK)
            and self.asked.given >= needed
            and request.created_ns >= control.set_ns
        )


# --- what is there --------------------------------------------------------------------------------------------


def _standing(deps: ExecutorDeps, firm_id: str, accounts: Sequence[str]) -> list[Control]:
    """Halts in force that cover any of the accounts, by number; flags at the machine have been taken in, where that
    could be done."""
    in_force(deps.halts, accounts)
    return [
        one
        for one in deps.halts.store(firm_id).all()
        if one.cleared_ns is None and any(one.covers(account) for account in accounts)
    ]


def _own(standing: Sequence[Control], context: Context) -> list[Control]:
    return [one for one in standing if one.account == context.account]


def _base(standing: Sequence[Control]) -> str:
    """Names the halts in force: numbers are never given twice, and a halt never changes."""
    return f"halts {','.join(str(one.control_no) for one in standing) or 'none'}"


def _undo(account: str) -> str:
    if not account:
        return "A person ends it, and outside of dry runs a second one agrees."
    return f"/resume account account:{account}; outside of dry runs a second person agrees."


def _held(deps: ExecutorDeps, context: Context) -> tuple[str, ...]:
    """What would be sold, as far as it can be told; it may change until then, and holds nothing up."""
    if context.mode is None:
        return ("What it holds cannot be read now; whatever it is will be sold.",)
    try:
        stored = deps.ledger(context.firm_id, context.mode).load(context.account, LATEST_NS)
    except RegimeError:
        return ("What it holds cannot be read now; whatever it is will be sold.",)
    held = [] if stored is None else sorted(position.symbol for position in stored[1].positions)
    return (
        (f"Sold are {', '.join(held)}, as held after the last decision.",) if held else ("It holds nothing.",)
    )
