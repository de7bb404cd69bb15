"""Four eyes at work: asking, agreeing, refusing, carrying out, and everything that voids a request.

Each step is one transaction: the row, its entry of the record, its message. Whoever carries a request out looks again
whether people still may, and whether the world is the one they agreed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from regime_trading.core import approval_steps as steps
from regime_trading.core.access import Answer, Caller, Permission, Principal, Target, may
from regime_trading.core.actors import masked_text, plain_text
from regime_trading.core.approvals import (
    COMMENT_LENGTH,
    MINUTE_NS,
    PENDING,
    PERMISSIONS,
    Approval,
    ApprovalKind,
    ApprovalStatus,
    Comment,
    Request,
    Seen,
)
from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command, parse
from regime_trading.core.commands.previews import Done, Given, Use
from regime_trading.core.errors import BadInput, CheckFailed, Conflict, NotThere, Refused, RegimeError
from regime_trading.core.event_payloads import (
    ApprovalCommented,
    ApprovalGiven,
    ApprovalRefused,
    ApprovalRequested,
    ApprovalVoid,
    CommandGiven,
)
from regime_trading.core.schemas import ActorType, AuditEvent
from regime_trading.services.acts import Act, place_of_firm, record_acts
from regime_trading.services.desk import (
    Desk,
    Requests,
    act_of,
    executor_of,
    is_ident,
    maker_of,
    messages_of,
    said_of,
    take_step,
)

SERVICE = (ActorType.SERVICE, "approvals")  #: who ends a request that nobody answered

# --- asking ---------------------------------------------------------------------------------------------------


def ask(
    desk: Requests,
    request: Request,
    *,
    use: Use | None = None,
    done: Done | None = None,
    given: Given | None = None,
    told: Sequence[Act] = (),
) -> Approval:
    """Store a request, with the use of the preview it came from and further acts (``told``) in the same transaction.

    Raises
    ------
    Conflict
        The preview was used.
    NotDurable
        Nothing was stored.
    """
    approval = Approval(request=request)
    said = ApprovalRequested(
        **said_of(approval), reason=request.reason, expires_at_ns=str(request.expires_ns)
    )
    act = act_of(approval, said, maker_of(request))

    def commit(events: Sequence[AuditEvent]) -> None:
        store = desk.approvals(request.firm_id)
        store.add(approval, events, messages_of(approval, desk.now_ns()), use=use, done=done, given=given)

    record_acts(desk.acts, place_of_firm(request.firm_id), (*told, act), commit)
    return approval


def find(desk: Desk, principal: Principal, firm_id: str, request_id: str) -> Approval:
    """A request that somebody may see.

    Raises
    ------
    Refused
        ``UNKNOWN``: there is none, or none that this person may know of.
    """
    known = firm_id in principal.firms and is_ident(request_id)
    found = desk.approvals(firm_id).get(request_id) if known else None
    seen = None if found is None else Target(firm_id, found.request.account or None)
    if (
        found is None
        or seen is None
        or may(principal, Permission.READ, seen, desk.now_ns()) is not Answer.ALLOWED
    ):
        sought = NotThere("request", request_id, firm_id)
        raise Refused(Answer.UNKNOWN, f"to see request {request_id}", sought)
    return found


# --- answering ------------------------------------------------------------------------------------------------

Look = Callable[[Approval], None]  #: at a request before a step of it; refuses by raising


def as_it_is(_approval: Approval) -> None:
    """Whoever answers a request takes it as it is."""


def approve(
    desk: Desk,
    principal: Principal,
    firm_id: str,
    request_id: str,
    reason: str = "",
    look: Look = as_it_is,
) -> tuple[Approval, Outcome | None]:
    """Agree to a request; where that makes enough, it is carried out at once, with what that came to. ``look`` is shown
    the request as it is before.

    Raises
    ------
    Refused
        This person may not (:func:`regime_trading.core.approval_steps.require_approver`).
    Conflict
        The request has ended, or the world has changed: it is void then, and what changed is named.
    """
    said = plain_text(reason, "reason")
    asked = find(desk, principal, firm_id, request_id)
    look(asked)
    steps.require_approver(asked, principal, desk.now_ns())
    steps.require_open(asked)
    expire_if_over(desk, asked)
    bound = _same_or_void(desk, asked)
    actor = desk.pseudonym(firm_id, principal.user_id)
    approval = take_step(
        desk,
        firm_id,
        request_id,
        lambda now: steps.agree(_looked(look, now), principal, actor, bound, desk.now_ns(), said),
        lambda after: act_of(after, ApprovalGiven(**said_of(after), reason=said), (ActorType.USER, actor)),
    )
    return carry_out(desk, approval) if approval.status is ApprovalStatus.GIVEN else (approval, None)


def reject(
    desk: Desk, principal: Principal, firm_id: str, request_id: str, reason: str, look: Look = as_it_is
) -> Approval:
    """Refuse a request, which ends it; raises as :func:`approve`, and ``BadInput`` without a reason."""
    said = plain_text(reason, "reason")
    asked = find(desk, principal, firm_id, request_id)
    look(asked)
    steps.require_approver(asked, replace(principal, stepped_up_ns=desk.now_ns()), desk.now_ns())
    steps.require_open(asked)
    expire_if_over(desk, asked)
    actor = desk.pseudonym(firm_id, principal.user_id)
    return take_step(
        desk,
        firm_id,
        request_id,
        lambda now: steps.refuse(_looked(look, now), principal, actor, desk.now_ns(), said),
        lambda after: act_of(after, ApprovalRefused(**said_of(after), reason=said), (ActorType.USER, actor)),
    )


def comment(desk: Desk, principal: Principal, firm_id: str, request_id: str, text: str) -> Approval:
    """Say something about a request while it is open. It takes no step: whoever is about to answer it still can.

    Raises
    ------
    Refused
        There is none for this person, or they only look on.
    BadInput
        No text, too long a one, or one that may not stay in the record.
    Conflict
        It has ended, or is being carried out.
    """
    asked = find(desk, principal, firm_id, request_id)
    answer = may_comment(principal, asked, desk.now_ns())
    if answer is not Answer.ALLOWED:
        raise Refused(answer, f"to comment on request {request_id}")
    said = plain_text(text, "text", COMMENT_LENGTH)
    if not said:
        raise BadInput(expected=f"1 to {COMMENT_LENGTH} characters", found="none", where="text")
    expire_if_over(desk, asked)
    steps.require_pending(asked, desk.now_ns())
    actor = desk.pseudonym(firm_id, principal.user_id)
    made = Comment(actor=actor, at_ns=desk.now_ns(), text=said)
    act = act_of(asked, ApprovalCommented(**said_of(asked), comment=said), (ActorType.USER, actor))
    store = desk.approvals(firm_id)
    record_acts(desk.acts, place_of_firm(firm_id), (act,), lambda e: store.comment(request_id, made, e))
    return find(desk, principal, firm_id, request_id)


def may_comment(principal: Principal, asked: Approval, now_ns: int) -> Answer:
    """Whether somebody may say something about a request that they see: whoever may draft or start what is asked
    about, and nobody who only reads."""
    target = Target(asked.request.firm_id, asked.request.account or None)
    return may(principal, Permission.DRAFT_CONFIG, target, now_ns)


def _looked(look: Look, approval: Approval) -> Approval:
    look(approval)
    return approval


# --- carrying out ---------------------------------------------------------------------------------------------


def carry_out(desk: Desk, approval: Approval) -> tuple[Approval, Outcome]:
    """Execute a request that enough people agreed to: once, if they all still may and nothing has changed.

    Raises
    ------
    Conflict
        It is no longer to be executed, or somebody else does; void where the world has changed.
    RegimeError
        What it was to change refused it (the request has failed then).
    """
    request = approval.request
    if missing := _no_longer(desk, approval):
        _void(desk, approval, missing)
        raise Conflict("role", missing)
    bound = _same_or_void(desk, approval)
    begun = take_step(
        desk, request.firm_id, request.request_id, lambda now: steps.begin(now, bound, desk.now_ns()), None
    )
    command, context = _command(request), _context(desk, begun)
    try:
        outcome = executor_of(desk, command).execute(command, context)
    except RegimeError as error:
        _ended(desk, begun, masked_text(str(error))[0] or "it failed")
        raise
    return _ended(desk, begun, ""), outcome


def simulate(desk: Desk, request: Request) -> Effects:
    """What a request would do now."""
    command = _command(request)
    context = replace(_context(desk, Approval(request=request)), reason="", key="")
    return executor_of(desk, command).simulate(command, context)


def seen_now(desk: Desk, request: Request, effects: Effects) -> Seen:
    """What a request would be bound to if it were made now."""
    return Seen(
        payload_hash=request.payload_hash,
        effects_hash=effects.effects_hash,
        base_version=effects.base_version,
        config_hash=effects.config_hash,
        code_version=desk.acts.code_version,
    )


def _ended(desk: Desk, begun: Approval, failure: str) -> Approval:
    command = _command(begun.request)
    said = CommandGiven(
        command=masked_text(begun.request.command)[0],
        verb=command.verb,
        object=command.object,
        klass=begun.request.klass,
        preview_id="",
        action_hash=begun.request.payload_hash,
        outcome="refused" if failure else "executed",
    )
    return take_step(
        desk,
        begun.request.firm_id,
        begun.request.request_id,
        lambda now: steps.end(now, failure),
        lambda after: act_of(after, said, maker_of(begun.request)),
    )


def _no_longer(desk: Desk, approval: Approval) -> str:
    """Who of the maker and those who agreed may no longer do what they did; empty where all may."""
    request = approval.request
    asking, agreeing = PERMISSIONS[request.kind]
    people = [(request.maker, request.maker_actor, asking)] if request.by_person else []
    people += [(vote.user_id, vote.actor, agreeing) for vote in approval.votes if vote.agrees]
    target, now_ns = Target(request.firm_id, request.account or None), desk.now_ns()
    for user_id, actor, permission in people:
        person = desk.people(user_id)
        if (
            person is None
            or may(_in_person(person, now_ns), permission, target, now_ns) is not Answer.ALLOWED
        ):
            return f"{actor} may no longer do this"
    return ""


def _in_person(person: Principal, now_ns: int) -> Principal:
    """Somebody as if they had just proved who they are, as they did when they took part: only the role is asked."""
    return replace(person, caller=Caller.SESSION, second_factor=True, stepped_up_ns=now_ns, permissions=None)


def _command(request: Request) -> Command:
    try:
        return parse(request.command)
    except RegimeError as error:
        raise CheckFailed(f"request {request.request_id}: its command cannot be read any more") from error


def _context(desk: Desk, approval: Approval) -> Context:
    request = approval.request
    person = desk.people(request.maker) if request.by_person else Principal(request.maker, ())
    if person is None:
        raise Conflict("role", f"{request.maker_actor} is not there any more")
    return Context(
        principal=person,
        actor=maker_of(request),
        firm_id=request.firm_id,
        account=request.account,
        mode=desk.mode(request.account or request.firm_id),
        now_ns=desk.now_ns(),
        reason=request.reason,
        key=request.request_id,
        approved_by=approval.by,
    )


# --- what it is now -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Now:
    """What a request comes to now, beside what it was asked for as.

    Parameters
    ----------
    effects : Effects, optional
        What it would do; None where it can no longer be done.
    bound : Seen, optional
        What it would be bound to if it were asked for now.
    changed : str
        What is not as it was, or what stands in the way; empty where it can be agreed to.
    """

    effects: Effects | None
    bound: Seen | None
    changed: str


def now_of(desk: Desk, asked: Approval) -> Now:
    """A request simulated again. Changes nothing."""
    try:
        effects = simulate(desk, asked.request)
    except (BadInput, Conflict, Refused) as error:
        return Now(None, None, masked_text(f"it can no longer be done: {error}")[0])
    bound = seen_now(desk, asked.request, effects)
    if changed := steps.drift(asked, bound):
        return Now(effects, bound, f"{changed} changed since it was asked for")
    return Now(effects, bound, masked_text("; ".join(effects.blocking))[0])


def why_not(desk: Desk, principal: Principal, asked: Approval) -> str:
    """Why this person cannot agree to a request, however they prove who they are; empty where they can."""
    try:
        steps.require_votable(asked, replace(principal, stepped_up_ns=desk.now_ns()), desk.now_ns())
    except Refused as error:
        return error.why or str(error)
    except Conflict as error:
        return error.detail
    return ""


# --- what ends it ---------------------------------------------------------------------------------------------


def void_pending(desk: Desk, firm_id: str, account: str | None, reason: str) -> int:
    """Void every pending request that loosens, of an account and of the firm as a whole (None = all of the firm's),
    and every unused preview of the kind. For whoever halts an account: call it in the same act. Returns how many
    requests went; one that is being carried out at this moment does not."""
    desk.previews(firm_id).void_loosening(account, desk.now_ns())
    open_ = desk.approvals(firm_id).listed(PENDING, None if account is None else (account,), limit=10_000)
    return sum(_void(desk, one, reason) for one in open_ if one.request.loosens)


def settle(desk: Desk, firm_id: str) -> None:
    """Let requests expire whose time is over, and carry out those that were agreed to more than a minute ago and then
    forgotten (a process that died in between). To be called every minute."""
    store = desk.approvals(firm_id)
    for approval in store.listed(PENDING, limit=10_000):
        try:
            expire_if_over(desk, approval)
            if approval.status is ApprovalStatus.GIVEN and _is_left(approval, desk.now_ns()):
                carry_out(desk, approval)
        except (Conflict, Refused):
            continue
    for approval in store.listed({ApprovalStatus.EXECUTING}, limit=10_000):
        if approval.request.kind is ApprovalKind.BASKET and _is_left(approval, desk.now_ns()):
            try:
                _ended(desk, approval, "")
            except Conflict:
                continue


def _is_left(approval: Approval, now_ns: int) -> bool:
    """Whether whoever agreed last is not carrying it out any more. What was being done when a process died is not known
    of any command but the release of a run, which changes nothing but the request itself."""
    last_ns = max((vote.at_ns for vote in approval.votes), default=approval.request.created_ns)
    return now_ns - last_ns > MINUTE_NS


def _void(desk: Desk, approval: Approval, why: str) -> bool:
    """Void a request, unless it has ended by now or is being carried out."""
    said = masked_text(why)[0]
    try:
        take_step(
            desk,
            approval.request.firm_id,
            approval.request.request_id,
            lambda now: steps.void(now, said),
            lambda after: act_of(after, ApprovalVoid(**said_of(after), reason=said), SERVICE),
        )
    except Conflict:
        return False
    return True


def expire_if_over(desk: Requests, approval: Approval) -> None:
    """End a request whose time is over.

    Raises
    ------
    Conflict
        It is over.
    """
    if not steps.is_over(approval, desk.now_ns()):
        return
    take_step(
        desk,
        approval.request.firm_id,
        approval.request.request_id,
        lambda now: steps.expire(now, desk.now_ns()),
        lambda after: act_of(after, ApprovalVoid(**said_of(after), reason="expired"), SERVICE),
    )
    raise Conflict("request", f"{approval.request.request_id} has expired")


def _same_or_void(desk: Desk, asked: Approval) -> Seen:
    """What is there now, where it is what the request was made in; else the request is void, and what changed named."""
    now = now_of(desk, asked)
    if now.bound is None or now.changed:
        _void(desk, asked, now.changed)
        raise Conflict("drift", f"{now.changed}; the request is void")
    return now.bound
