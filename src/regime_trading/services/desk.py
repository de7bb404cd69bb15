"""What approvals and commands work with, and the one way a request takes a step."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from regime_trading.core.access import Caller, Principal
from regime_trading.core.approvals import ENDED, Approval, ApprovalKind, Request
from regime_trading.core.commands.catalogue import find_spec
from regime_trading.core.commands.execution import Executor, Executors
from regime_trading.core.commands.grammar import Command
from regime_trading.core.controls import LOCAL
from regime_trading.core.errors import Conflict
from regime_trading.core.event_payloads import Payload
from regime_trading.core.messages import Message, ProposalData
from regime_trading.core.ports import Approvals, Previews
from regime_trading.core.schemas import ActorType, Mode
from regime_trading.services.acts import Act, Acts, Who, place_of_firm, record_acts

TRIES = 20  #: times that somebody else may take a step first before ours is given up


def _told_nobody(_: Approval) -> None:
    """Nothing hangs on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What it takes to ask people, and to let a request take its steps.

    Parameters
    ----------
    acts : Acts
    approvals : callable
        Store of a firm, by its id.
    ended : callable
        Told of every request that has ended, after that is stored. It never raises; what it does not get done in a
        process that dies is done again by housekeeping.
    """

    acts: Acts
    approvals: Callable[[str], Approvals]
    ended: Callable[[Approval], None] = _told_nobody

    def now_ns(self) -> int:
        """UTC nanoseconds."""
        return self.acts.clock.now_ns()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk(Requests):
    """What approvals and commands work with.

    Parameters
    ----------
    previews : callable
        Store of a firm, by its id.
    executors : Executors
        Of every command that is built, by verb and object.
    people : callable
        A person with their grants as they are now, by user id; None where there is no such person any more.
    pseudonym : callable
        Of a person in the record, by firm and user id.
    mode : callable
        Mode of an account by its full name, and the one of a firm (its id) all of whose accounts have it; None where it
        is not known, or they differ.
    entropy : callable
        Random bytes, by their number.
    """

    previews: Callable[[str], Previews]
    executors: Executors
    people: Callable[[str], Principal | None]
    pseudonym: Callable[[str, str], str]
    mode: Callable[[str], Mode | None]
    entropy: Callable[[int], bytes]

    def actor(self, firm_id: str, principal: Principal) -> Who:
        """Somebody in the record of a firm; whoever acts at the machine without a login is nobody's pseudonym."""
        if principal.caller is Caller.LOCAL:
            return ActorType.SERVICE, LOCAL
        return ActorType.USER, self.pseudonym(firm_id, principal.user_id)


def is_ident(text: str) -> bool:
    """Whether a text can be the id of a preview or a request at all."""
    return re.fullmatch(r"[A-Za-z0-9._-]{1,140}", text) is not None


def executor_of(desk: Desk, command: Command) -> Executor:
    """What carries a command out.

    Raises
    ------
    Conflict
        ``command``: nothing does; it is not built.
    """
    free = find_spec(command.verb, command.object).takes is not None
    found = desk.executors.get((command.verb, "" if free else command.object))
    if found is None:
        raise Conflict("command", f"{command.name} is not built")
    return found


def take_step(
    desk: Requests,
    firm_id: str,
    request_id: str,
    change: Callable[[Approval], Approval],
    tell: Callable[[Approval], Act] | None,
) -> Approval:
    """Take a step from wherever the request is now; where somebody else was faster, from there."""
    store = desk.approvals(firm_id)
    for tries_left in reversed(range(TRIES)):
        before = store.get(request_id)
        if before is None:
            raise Conflict("request", f"{request_id} is not there")
        after = change(before)
        try:
            _move(desk, before, after, tell)
        except Conflict as conflict:
            if conflict.what != "version" or not tries_left:
                raise
        else:
            if after.status in ENDED:
                desk.ended(after)
            return after
    raise AssertionError("unreachable")


def _move(desk: Requests, before: Approval, after: Approval, tell: Callable[[Approval], Act] | None) -> None:
    firm_id = before.request.firm_id
    store, messages = desk.approvals(firm_id), messages_of(after, desk.now_ns())
    if tell is None:
        store.move(before, after, (), messages)
        return
    record_acts(
        desk.acts, place_of_firm(firm_id), (tell(after),), lambda e: store.move(before, after, e, messages)
    )


def said_of(approval: Approval) -> dict[str, Any]:
    """What every entry about a request says."""
    request = approval.request
    return {
        "request_id": request.request_id,
        "request_kind": request.kind.value,
        "account": request.account,
        "payload_hash": request.payload_hash,
        "requested_config_hash": request.config_hash,
        "requested_code_version": request.code_version,
        "required": request.required.n,
        "by": approval.by,
    }


def maker_of(request: Request) -> Who:
    """Who asked, in the record: a person, or a service."""
    service = request.maker.startswith("service:")
    return ActorType.SERVICE if service else ActorType.USER, request.maker_actor


def act_of(approval: Approval, payload: Payload, actor: Who) -> Act:
    """The entry that tells of a step; of a basket also the decision that it is about, as its cause."""
    request = approval.request
    return Act(
        payload,
        actor=actor,
        config_hash=request.config_hash,
        correlation_id=request.request_id,
        causation_id=request.base_version if request.kind is ApprovalKind.BASKET else "",
    )


def messages_of(approval: Approval, now_ns: int) -> tuple[Message, ...]:
    """What the live channel tells of a step."""
    request = approval.request
    data = ProposalData(
        request_id=request.request_id,
        kind=request.kind.value,
        status=approval.status.value,
        given=approval.given,
        required=request.required.n,
    )
    return (Message(now_ns, data, request.account),)
