"""Halts: set, read before every decision, ended by people, and told of honestly (``risk.md`` 5.3, ``halts.md``).

Whoever decides asks :func:`in_force` first and hands the answer to the engine. A halt is durable before anything else
happens; where the database is down it is a flag file, which is adopted when the database is back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from regime_trading.core.access import Answer, Caller, Permission, Principal, Target, may
from regime_trading.core.actors import masked_text, plain_text
from regime_trading.core.controls import (
    LOCAL,
    UNKNOWN,
    Clearing,
    Control,
    Effect,
    Flag,
    Halt,
    HaltDenied,
    HaltStatus,
    Level,
    NewControl,
    halt_of,
    permission,
)
from regime_trading.core.errors import BadInput, RegimeError, StoreDown
from regime_trading.core.event_payloads import HaltEnded, Killed
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.messages import Message, ModeData
from regime_trading.core.ports import Clock, Controls, Flags, Ledger
from regime_trading.core.schemas import ActorType, Mode
from regime_trading.services.acts import Act, Acts, Who, place_of_firm, record_acts

RULE = "LD-15"
SOMEBODY_LOCAL: Who = (ActorType.SERVICE, LOCAL)
ENGINE: Who = (ActorType.SERVICE, "engine")
_ENDING = (Permission.REQUEST_UNLOCK, Permission.APPROVE_UNLOCK)


@dataclass(frozen=True, slots=True)
class Halts:
    """What halts are set, read and ended through.

    Parameters
    ----------
    store : callable
        Halts of a firm, by its id.
    flags : Flags
        The second path.
    modes : callable
        Accounts of a firm by their full names, with their modes.
    acts : callable
        What acts are recorded through.
    clock : Clock
    alarm : callable
        Told in one sentence what a person must hear of now.
    """

    store: Callable[[str], Controls]
    flags: Flags
    modes: Callable[[str], Mapping[str, Mode]]
    acts: Callable[[], Acts]
    clock: Clock
    alarm: Callable[[str], None] = lambda _: None


# --- read ---------------------------------------------------------------------------------------------------


def in_force(halts: Halts, accounts: Iterable[str]) -> dict[str, Halt]:
    """What is in force for each account (full names) now; never raises: what cannot be read is ``UNKNOWN``."""
    asked = list(accounts)
    flags = _flags(halts)
    stored = {
        firm: _stored(halts, firm, [f for f in flags or () if f.firm_id == firm])
        for firm in sorted({name.split("/")[0] for name in asked})
    }
    return {name: halt_of(name, stored[name.split("/")[0]], flags) for name in asked}


def _flags(halts: Halts) -> tuple[Flag, ...] | None:
    try:
        return halts.flags.all()
    except StoreDown as down:
        halts.alarm(f"flags cannot be read: {down}; accounts may only reduce")
        return None


def _stored(halts: Halts, firm: str, flags: Sequence[Flag]) -> tuple[Control, ...] | None:
    """Controls of a firm, with its flags among them; None where they cannot be read."""
    for flag in flags:
        try:
            _adopt(halts, flag)
        except RegimeError as error:
            halts.alarm(f"the flag over {flag.account or firm} is not adopted yet, and counts: {error}")
    try:
        return halts.store(firm).all()
    except RegimeError as error:
        halts.alarm(f"halts of {firm} cannot be read: {error}; its accounts may only reduce")
        return None


def _adopt(halts: Halts, flag: Flag) -> None:
    """Take a flag into the database; it goes only after that is durable."""
    reason, _ = masked_text(flag.reason)
    new = NewControl(flag.firm_id, flag.account, flag.level, flag.set_ns, LOCAL, reason, flag.digest)
    _set(halts, new, SOMEBODY_LOCAL)
    halts.flags.lower(flag)


# --- set ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HaltAsk:
    """A halt that somebody asks for; ``account`` empty = every account of the firm."""

    firm_id: str
    account: str
    level: Level
    reason: str


def halt(halts: Halts, ask: HaltAsk, principal: Principal, by: Who) -> Control | Flag:
    """Put a halt in force: row, entry of the record and message in one transaction; a flag where the database is down.

    Whoever runs the command line at the machine may always halt: it only tightens.

    Raises
    ------
    HaltDenied
        Somebody who may not.
    BadInput
        No such account, no reason, or one that may not stay for ever.
    NotDurable
        It could be stored in neither place: it is not in force.
    """
    now_ns = halts.clock.now_ns()
    _require_scope(halts, ask.firm_id, ask.account)
    target = Target(ask.firm_id, ask.account or None)
    if principal.caller is not Caller.LOCAL:
        _require((permission(ask.level, ask.account),), principal, target, now_ns, f"{ask.level.name}")
    new = NewControl(ask.firm_id, ask.account, ask.level, now_ns, by[1], _reason(ask.reason))
    try:
        return _set(halts, new, by)
    except StoreDown as down:
        halts.alarm(f"the store is down: {down}; {ask.level.name} is a flag for now")
        return halts.flags.put(new)


def _set(halts: Halts, new: NewControl, by: Who) -> Control:
    scope = new.account or new.firm_id
    act = Act(
        Killed(
            level=new.level.name,
            scope=scope,
            drill=False,
            asked_at_ns=str(new.set_ns),
            effective_at_ns=None,
            reason=new.reason,
        ),
        actor=by,
        rule_id=RULE,
    )
    said = f"{new.level.name}: {new.reason}"
    messages = _messages(halts, new, new.set_ns, lambda _: int(new.level), said)
    commit = partial(halts.store(new.firm_id).set, new, messages=messages)
    return record_acts(halts.acts(), place_of_firm(new.firm_id), (act,), commit)


def _messages(
    halts: Halts, new: NewControl, ts_ns: int, level: Callable[[str], int], reason: str
) -> list[Message]:
    """One message for every account that a control covers; ``level`` as it is in force then."""
    modes = halts.modes(new.firm_id)
    return [
        Message(
            ts_ns,
            ModeData(mode=mode.value, trading_state=None, kill_level=level(account), reason=reason[:500]),
            account,
        )
        for account, mode in sorted(modes.items())
        if new.account in ("", account)
    ]


def _require_scope(halts: Halts, firm_id: str, account: str) -> None:
    known = halts.modes(firm_id)
    if not known or (account and account not in known):
        names = ", ".join(sorted(known)) or "a firm that is configured"
        raise BadInput(expected=f"one of {names}", found=account or firm_id, where="halt")


def _require(
    any_of: Sequence[Permission], principal: Principal, target: Target, now_ns: int, what: str
) -> None:
    answers = [may(principal, one, target, now_ns) for one in any_of]
    if Answer.ALLOWED not in answers:
        raise HaltDenied(answers[0], f"{what} over {target.account or target.firm_id}")


def _reason(text: str) -> str:
    said = plain_text(text, "reason")
    if not said:
        raise BadInput(expected="a reason", found="none", where="reason")
    return said


# --- ended --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResumeAsk:
    """The end of a halt that somebody asks for; ``approval_id`` where others had to agree."""

    firm_id: str
    control_no: int
    reason: str
    approval_id: str = ""


Agreed = Callable[[str, Control], bool]


def resume(halts: Halts, ask: ResumeAsk, principal: Principal, by: Who, agreed: Agreed) -> Control:
    """End one halt; what else is in force holds on. The engine lets go of it at its next decision.

    Accounts in dry runs may be resumed alone. Wherever another account is covered, it takes an approval, and never
    the person who set the halt.

    Parameters
    ----------
    halts : Halts
    ask : ResumeAsk
    principal : Principal
    by : Who
        The same person in the record of the firm.
    agreed : callable
        Whether an approval (its id) is one of ending this very control, granted and still good.

    Raises
    ------
    HaltDenied
        Somebody who may not.
    BadInput
        No such halt in force, no reason, no approval where there must be one, or the person who set it.
    NotDurable
        It could not be stored: the halt is in force.
    """
    return resume_together(halts, (ask,), principal, by, agreed)[0]


def resume_together(
    halts: Halts, asks: Sequence[ResumeAsk], principal: Principal, by: Who, agreed: Agreed
) -> tuple[Control, ...]:
    """End several halts of one firm, of one approval, in one transaction: all of them, or none. Raises as
    :func:`resume`."""
    now_ns = halts.clock.now_ns()
    ending = [_ending(halts, ask, principal, by, agreed, now_ns) for ask in asks]
    firm_id, approval_id = asks[0].firm_id, asks[0].approval_id
    store, numbers = halts.store(firm_id), {control.control_no for control in ending}
    left = [one for one in store.all() if one.control_no not in numbers]
    told: dict[str, Message] = {}
    for control, ask in zip(ending, asks, strict=True):
        said = f"{control.level.name} ended: {_reason(ask.reason)}"
        for message in _messages(
            halts, control, now_ns, lambda account: max(0, halt_of(account, left, ()).level), said
        ):
            told[message.account] = message
    clearing = Clearing(now_ns, by[1], approval_id)
    record_acts(
        halts.acts(),
        place_of_firm(firm_id),
        [_ended_act(control, ask, by) for control, ask in zip(ending, asks, strict=True)],
        partial(store.clear, sorted(numbers), clearing, messages=list(told.values())),
    )
    return tuple(replace(one, cleared_ns=now_ns, cleared_by=by[1], approval_id=approval_id) for one in ending)


def _ending(
    halts: Halts, ask: ResumeAsk, principal: Principal, by: Who, agreed: Agreed, now_ns: int
) -> Control:
    """The halt that is to end, where it may."""
    control = _standing(halts, ask)
    dry = runs_dry(halts, control)
    if not (dry and principal.caller is Caller.LOCAL):
        target = Target(control.firm_id, control.account or None)
        _require(_ENDING, principal, target, now_ns, f"ending {control.level.name}")
    _reason(ask.reason)
    if not dry:
        _require_others(control, ask, by, agreed)
    return control


def _ended_act(control: Control, ask: ResumeAsk, by: Who) -> Act:
    said = HaltEnded(
        release="HALT",
        level=control.level.name,
        scope=control.scope,
        set_at_ns=str(control.set_ns),
        reason=_reason(ask.reason),
    )
    return Act(said, actor=by, rule_id=RULE, correlation_id=ask.approval_id)


def _standing(halts: Halts, ask: ResumeAsk) -> Control:
    for control in halts.store(ask.firm_id).all():
        if control.control_no == ask.control_no and control.cleared_ns is None:
            return control
    raise BadInput(
        expected=f"a halt of {ask.firm_id} that is in force", found=str(ask.control_no), where="halt"
    )


def runs_dry(halts: Halts, control: Control) -> bool:
    """Whether everything that a control covers runs dry; an account that is not known does not."""
    modes = halts.modes(control.firm_id)
    covered = [control.account] if control.account else list(modes)
    return bool(covered) and all(modes.get(account) is Mode.DRY_RUN for account in covered)


def _require_others(control: Control, ask: ResumeAsk, by: Who, agreed: Agreed) -> None:
    if control.set_by == by[1]:
        raise BadInput(
            expected="somebody other than who set the halt", found="the same person", where="resume"
        )
    if not ask.approval_id or not agreed(ask.approval_id, control):
        raise BadInput(
            expected="an approval of ending this halt", found=ask.approval_id or "none", where="resume"
        )


# --- told ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Carried:
    """One durable decision of an account under a halt: what it held when it decided, and entries it cancelled."""

    account: str
    decision_id: str
    as_of_ns: int
    level: int
    positions: int
    cancelled: int = 0


def took_effect(halts: Halts, decided: Sequence[Carried]) -> None:
    """Remember and record which controls the decisions were the first to carry, and which accounts are flat now.

    Decisions without a halt cost nothing. What cannot be written is written with the next decision.
    """
    under = [one for one in decided if one.level > 0]
    for firm in sorted({one.account.split("/")[0] for one in under}):
        try:
            _note(halts, firm, [one for one in under if one.account.split("/")[0] == firm])
        except RegimeError as error:
            halts.alarm(f"that halts of {firm} took effect is not recorded yet: {error}")


def _note(halts: Halts, firm: str, decided: Sequence[Carried]) -> None:
    store = halts.store(firm)
    known = {(one.control_no, one.account): one for one in store.effects()}
    now_ns = halts.clock.now_ns()
    effects, made = [], []
    for control in (one for one in store.all() if one.cleared_ns is None):
        for one in decided:
            effect = _effect(control, one, known.get((control.control_no, one.account)), now_ns)
            if effect is not None:
                effects.append(effect)
                made.append(_report(control, effect))
    if effects:
        record_acts(halts.acts(), place_of_firm(firm), made, partial(store.note, effects))


def _effect(control: Control, one: Carried, known: Effect | None, now_ns: int) -> Effect | None:
    """What is new about a control: that it is in effect, or that the account is flat."""
    if not control.covers(one.account) or one.level < control.level:
        return None
    flat_ns = now_ns if control.level is Level.K3 and one.positions == 0 else None
    if known is None:
        return Effect(
            control.control_no,
            one.account,
            one.decision_id,
            one.as_of_ns,
            now_ns,
            one.positions,
            one.cancelled,
            flat_ns,
        )
    return None if flat_ns is None or known.flat_ns is not None else replace(known, flat_ns=flat_ns)


def _report(control: Control, effect: Effect) -> Act:
    return Act(
        Killed(
            level=control.level.name,
            scope=effect.account,
            drill=False,
            asked_at_ns=str(control.set_ns),
            effective_at_ns=str(effect.effective_ns),
            flat_at_ns=None if effect.flat_ns is None else str(effect.flat_ns),
            cancelled_orders=effect.cancelled,
            reason=control.reason,
        ),
        actor=ENGINE,
        rule_id=RULE,
        correlation_id=effect.decision_id,
    )


def status(halts: Halts, account: str, ledger: Ledger) -> HaltStatus:
    """How far a halt of an account has come, from what is stored: what is left is counted, not assumed.

    Raises
    ------
    BadInput
        An account of another firm.
    StoreDown
        The account's positions cannot be read.
    """
    said = in_force(halts, [account])[account]
    stored = ledger.load(account, LATEST_NS)
    held = () if stored is None else tuple(p.symbol for p in stored[1].positions)
    effect = None if said.level in (0, UNKNOWN) else _effect_of(halts, account, said.level)
    return HaltStatus(
        account=account,
        level=said.level,
        reason=said.reason,
        set_by=said.set_by,
        since_ns=said.set_ns,
        effect=effect,
        left=held,
        of=len(held) if effect is None else effect.positions,
    )


def _effect_of(halts: Halts, account: str, level: int) -> Effect | None:
    """Of the control that decides the level of an account, the first decision that carried it."""
    store = halts.store(account.split("/")[0])
    try:
        standing = [c for c in store.all() if c.cleared_ns is None and c.covers(account) and c.level == level]
        first = min(standing, key=lambda c: c.set_ns, default=None)
        found = () if first is None else store.effects()
    except StoreDown:
        return None
    return next(
        (e for e in found if first and (e.control_no, e.account) == (first.control_no, account)), None
    )
