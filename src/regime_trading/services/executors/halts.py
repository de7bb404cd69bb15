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
from regime_trading.core.instants import LATEST_NS, instant_text
from regime_trading.core.schemas import Latch, Mode
from regime_trading.services.approvals import void_pending
from regime_trading.services.controls import RULE, HaltAsk, ResumeAsk, halt, in_force, resume_together
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
            undo=_undo(context.firm_id, account),
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
    """The end of every halt of exactly one scope: of one account, where a halt of the firm holds on, or of the firm,
    where those of its accounts hold on."""

    deps: ExecutorDeps

    def simulate(self, command: Command, context: Context) -> Effects:
        """Which halts end, which hold on, what is held and locked, and whether whoever asks may."""
        covered = self._covered(command, context)
        standing = _standing(self.deps, context.firm_id, covered)
        own = _own(standing, context)
        return Effects(
            direction=Direction.LOOSENS,
            effects=tuple(_ends(one) for one in own),
            unchanged=(
                *(_holds_on(one) for one in standing if one not in own),
                "Limits, locks of the risk rules, positions and orders stay as they are.",
                "No ramp follows: with its next decision an account may take what its rules allow; a ramp of the "
                "drawdown ladder that is under way goes on.",
            ),
            undo=f"/halt account account:{context.account}"
            if context.account
            else f"/halt firm firm:{context.firm_id}",
            base_version=_base(standing),
            blocking=self._blocking(own, covered, context),
            warnings=tuple(
                said for account in covered for said in _stands(self.deps, context.firm_id, account)
            ),
            permission=Permission.REQUEST_UNLOCK,
            kind=ApprovalKind.UNLOCK,
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        """End them in one transaction: those that were shown, all or none."""
        _, asked = looked_again(self, self.deps.desk(), command, context)
        standing = _standing(self.deps, context.firm_id, self._covered(command, context))
        own, scope = _own(standing, context), context.account or context.firm_id
        asks = [
            ResumeAsk(context.firm_id, one.control_no, context.reason, "" if asked is None else context.key)
            for one in own
        ]
        if not asks:
            raise Conflict("base_version", f"no halt of {scope} is in force any more")
        try:
            ended = resume_together(
                self.deps.halts, asks, whoever_asked(context), context.actor, _Agreed(asked)
            )
        except HaltDenied as denied:
            raise Refused(denied.answer, f"to use {command.name}") from denied
        except BadInput as error:
            raise Conflict("base_version", str(error)) from error
        said = f"{len(ended)} halts of {scope} ended; "
        left = sorted({one.scope for one in standing if one not in own})
        said += f"those of {', '.join(left)} hold on." if left else "it goes on with the next decision."
        return Outcome(said, {"controls": [one.control_no for one in ended], "route": "/live"})

    def _covered(self, command: Command, context: Context) -> list[str]:
        """Accounts that the scope covers; an account that is not there is refused."""
        known = self.deps.halts.modes(context.firm_id)
        if context.account or not known:
            require_known(context, command, known)
        return [context.account] if context.account else sorted(known)

    def _blocking(self, own: Sequence[Control], covered: Sequence[str], context: Context) -> tuple[str, ...]:
        found, scope = [], context.account or context.firm_id
        if not own:
            found.append(f"no halt of {scope} itself is in force")
        elif UNKNOWN in {halt.level for halt in in_force(self.deps.halts, covered).values()}:
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


def _undo(firm_id: str, account: str) -> str:
    text = f"/resume account account:{account}" if account else f"/resume firm firm:{firm_id}"
    return f"{text}; outside of dry runs a second person agrees."


def _ends(one: Control) -> str:
    since = instant_text(one.set_ns)
    told = f"halt {one.control_no}, set by {one.set_by} at {since}: {one.reason}"
    return f"{one.level.name} over {one.scope} ends ({told})"


def _holds_on(one: Control) -> str:
    return f"{one.level.name} over {one.account or 'the firm'} holds on (halt {one.control_no})"


def _held(deps: ExecutorDeps, context: Context) -> tuple[str, ...]:
    """What would be sold, as far as it can be told; it may change until then, and holds nothing up."""
    if not context.account:
        return ()
    stored = _stored(deps, context.firm_id, context.account)
    if isinstance(stored, str):
        return ("What it holds cannot be read now; whatever it is will be sold.",)
    return (
        f"Sold are {', '.join(stored[0])}, as held after the last decision."
        if stored[0]
        else "It holds nothing.",
    )


def _stands(deps: ExecutorDeps, firm_id: str, account: str) -> tuple[str, ...]:
    """Positions and locks of an account whose halt is to end, after its last decision; they may change until then."""
    stored = _stored(deps, firm_id, account)
    if isinstance(stored, str):
        return (f"{account}: {stored}",)
    held, latches = stored
    locks = (
        f"{one.rule_id} holds it {one.trading_state} until {one.release}"
        for one in latches
        if one.rule_id != RULE
    )
    return tuple(f"{account}: {said}" for said in (f"holds {', '.join(held) or 'nothing'}", *locks))


def _stored(deps: ExecutorDeps, firm_id: str, account: str) -> tuple[list[str], tuple[Latch, ...]] | str:
    """Symbols and latches after the last decision of an account, or why they are not known."""
    try:
        mode = deps.halts.modes(firm_id).get(account)
        stored = None if mode is None else deps.ledger(firm_id, mode).load(account, LATEST_NS)
    except RegimeError:
        return "positions and locks cannot be read now"
    if mode is None:
        return "positions and locks are not known: it has no mode"
    return (
        ([], ())
        if stored is None
        else (sorted(p.symbol for p in stored[1].positions), tuple(stored[0].latches))
    )
