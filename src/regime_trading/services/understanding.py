"""What a command means: whom and what it is about, whether the person may, and what it would do now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from regime_trading.core.access import Answer, Caller, Permission, Principal, Target, held, may, takes_role
from regime_trading.core.actors import masked_text, plain_text
from regime_trading.core.approvals import PERMISSIONS
from regime_trading.core.commands.catalogue import find_spec
from regime_trading.core.commands.execution import Context, Effects
from regime_trading.core.commands.grammar import MAX_LENGTH, Command, Pair, parse
from regime_trading.core.commands.policy import UNSAFE, class_of
from regime_trading.core.commands.previews import Given, Preview
from regime_trading.core.commands.spec import CommandSpec, Klass
from regime_trading.core.commands.values import Kind, Value
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import BadInput, NotThere, Refused
from regime_trading.core.event_payloads import CommandGiven
from regime_trading.services.acts import Act, place_of_firm, record_acts
from regime_trading.services.desk import Desk, executor_of

NOT_TYPED = "people release a run by agreeing to its request; nobody types this"
WITHOUT_LOGIN = frozenset({Klass.LOCAL, Klass.READ, Klass.TIGHTEN})  #: classes of whoever only has the files


@dataclass(frozen=True, slots=True)
class Asker:
    """Who gives a command, from which session, and which firm they mean where they do not say (empty = their only
    one)."""

    principal: Principal
    firm_id: str = ""


@dataclass(frozen=True, slots=True)
class Understood:
    """A command with whom and what it is about, and what it would do; names of accounts are full."""

    command: Command
    spec: CommandSpec
    context: Context
    effects: Effects
    klass: Klass


def understand(desk: Desk, asker: Asker, text: str) -> Understood:
    """Parse a command, name its firm and accounts in full, ask whether the person may, and simulate it."""
    principal = asker.principal
    if not principal.session_id:
        raise BadInput(expected="a session or a token", found="none", where="principal")
    command = parse(text)
    spec = find_spec(command.verb, command.object)
    firm_id = _firm(asker, command, spec)
    command = _named(command, firm_id)
    if len(command.render()) > MAX_LENGTH:
        raise BadInput(
            expected=f"at most {MAX_LENGTH} characters with full names", found="more", where="command"
        )
    for pair in command.pairs:
        for value in pair.values:
            if value.kind is Kind.TEXT:
                plain_text(value.text, pair.key)
    accounts = [value.text for value in command.values("account")]
    context = _context(desk, principal, firm_id, accounts[0] if len(accounts) == 1 else "")
    _allow(desk, context, command, spec, spec.permission, accounts)
    effects = _effects(desk, command, spec, context)
    if effects.account and not context.account:
        context = _context(desk, principal, firm_id, effects.account)
        _allow(desk, context, command, spec, spec.permission, [effects.account])
    klass = class_of(spec, effects.direction)
    _require_login(desk, context, command, klass)
    asking = PERMISSIONS[effects.kind][0] if klass in UNSAFE and not spec.itself_second else None
    for permission in (effects.permission, asking):
        _allow(desk, context, command, spec, permission, accounts or [context.account])
    return Understood(command, spec, context, effects, klass)


def _effects(desk: Desk, command: Command, spec: CommandSpec, context: Context) -> Effects:
    if spec.internal:
        return Effects(Direction.NEUTRAL, (), blocking=(NOT_TYPED,))
    try:
        effects = executor_of(desk, command).simulate(command, context)
    except Refused as refused:
        if refused.answer is not Answer.UNKNOWN:
            record_refusal(desk, context, command, spec.klass)
        raise
    return replace(effects, blocking=(spec.not_built, *effects.blocking)) if spec.not_built else effects


def _require_login(desk: Desk, context: Context, command: Command, klass: Klass) -> None:
    """Refuse whoever acts at the machine without a login what does more than read or tighten (``contracts.md`` 14)."""
    if context.principal.caller is Caller.LOCAL and klass not in WITHOUT_LOGIN:
        record_refusal(desk, context, command, klass)
        raise BadInput(
            expected="a login or a token for what does more than read or tighten",
            found=f"{command.name} ({klass.value}) from the machine",
            where="command",
        )


def _context(desk: Desk, principal: Principal, firm_id: str, account: str) -> Context:
    mode = desk.mode(account or firm_id)
    return Context(principal, desk.actor(firm_id, principal), firm_id, account, mode, desk.now_ns())


def _firm(asker: Asker, command: Command, spec: CommandSpec) -> str:
    """The firm a command is about: named by its accounts or its ``firm``, meant by the asker, or their only one; any
    of theirs for what is about none."""
    named = {value.text.split("/")[0] for value in command.values("account") if "/" in value.text}
    named |= {value.text for value in command.values("firm")}
    meant = named or ({asker.firm_id} if asker.firm_id else set(asker.principal.firms))
    if spec.permission is None:
        meant = set(sorted(meant)[:1])
    if strange := meant.difference(asker.principal.firms):
        raise Refused(Answer.UNKNOWN, f"to use {command.name}", _sought(command, strange))
    if len(meant) != 1:
        raise BadInput(
            expected="one firm, named as firm/account or firm:name",
            found=", ".join(sorted(meant)) or "none",
            where="firm",
        )
    return meant.pop()


def _sought(command: Command, firms: set[str]) -> NotThere:
    """What a command names in firms that are not there for whoever gave it."""
    accounts = [v.text for v in command.values("account") if "/" in v.text and v.text.split("/")[0] in firms]
    return NotThere("account", accounts[0]) if accounts else NotThere("firm", min(firms))


def _named(command: Command, firm_id: str) -> Command:
    """The command with every account by its full name."""

    def full(value: Value) -> Value:
        short = value.kind is Kind.ACCOUNT and "/" not in value.text
        return replace(value, text=f"{firm_id}/{value.text}") if short else value

    pairs = tuple(Pair(p.key, tuple(map(full, p.values)), p.span) for p in command.pairs)
    return replace(command, pairs=pairs)


def _allow(
    desk: Desk,
    context: Context,
    command: Command,
    spec: CommandSpec,
    permission: Permission | None,
    accounts: Sequence[str],
) -> None:
    """Refuse, and record, what the person may not; identity that must be proved again is left to the confirmation."""
    if permission is None:
        return
    answers = _answers(context, permission, [name for name in accounts if name], spec)
    denied = next((n for n, one in enumerate(answers) if one not in (Answer.ALLOWED, Answer.STEP_UP)), None)
    if denied is None:
        return
    if answers[denied] is not Answer.UNKNOWN:
        record_refusal(desk, context, command, spec.klass)
        raise Refused(answers[denied], f"to use {command.name}: it takes {takes_role(permission)}")
    named = [name for name in accounts if name]
    sought = (
        NotThere("account", named[denied], context.firm_id) if named else NotThere("firm", context.firm_id)
    )
    raise Refused(Answer.UNKNOWN, f"to use {command.name}", sought)


def _answers(
    context: Context, permission: Permission, accounts: Sequence[str], spec: CommandSpec
) -> list[Answer]:
    """Over each account; without one, over the firm, or of a command whose account only its effect tells, whether
    the person has the permission anywhere in it."""
    person, firm_id = context.principal, context.firm_id
    if accounts:
        return [may(person, permission, Target(firm_id, name), context.now_ns) for name in accounts]
    if spec.key("id") is None:
        return [may(person, permission, Target(firm_id), context.now_ns)]
    anywhere = any((one.firm_id, one.permission) == (firm_id, permission) for one in held(person))
    return [Answer.ALLOWED if anywhere else Answer.NO_ROLE]


# --- the record -----------------------------------------------------------------------------------------------


def command_act(now: Understood, outcome: str, made: Preview | None = None) -> Act:
    """The entry that tells of a command."""
    said = CommandGiven(
        command=masked_text(now.command.render())[0],
        verb=now.command.verb,
        object=now.command.object,
        klass=now.klass.value,
        preview_id="" if made is None else made.preview_id,
        action_hash="" if made is None else made.action_hash,
        outcome=outcome,  # type: ignore[arg-type]
    )
    return Act(said, actor=now.context.actor, config_hash=now.effects.config_hash)


def record_refusal(desk: Desk, context: Context, command: Command, klass: Klass) -> None:
    """Record that somebody may not do what they commanded."""
    nothing = Effects(Direction.NEUTRAL, ())
    now = Understood(command, find_spec(command.verb, command.object), context, nothing, klass)
    given = given_of(context, command, klass, "refused")
    store = desk.previews(context.firm_id)
    acts = (command_act(now, "refused"),)
    record_acts(desk.acts, place_of_firm(context.firm_id), acts, lambda e: store.note(given, e))


def given_of(context: Context, command: Command, klass: Klass, outcome: str) -> Given:
    """The line of the person's own history."""
    said = masked_text(command.render())[0]
    return Given(context.principal.user_id, context.now_ns, said, klass.value, outcome)
