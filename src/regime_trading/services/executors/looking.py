"""What every executor asks again: is the world the one that was confirmed or agreed in, and what may the person see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from regime_trading.core.access import Answer, Caller, Permission, Principal, Target, may, reachable
from regime_trading.core.approvals import Approval, ApprovalStatus
from regime_trading.core.commands.execution import Context, Effects, Executor
from regime_trading.core.commands.grammar import Command
from regime_trading.core.errors import Conflict, NotThere, NotYet, Refused
from regime_trading.services.desk import Desk


def looked_again(
    executor: Executor, desk: Desk, command: Command, context: Context
) -> tuple[Effects, Approval | None]:
    """What a command would do now, where that is what was confirmed or agreed to; and the request that people agreed
    to, where they had to.

    Raises
    ------
    Conflict
        Its effects are others now, something blocks it, or nothing was confirmed under its key.
    """
    now = executor.simulate(command, replace(context, reason="", key="", approved_by=()))
    asked = desk.approvals(context.firm_id).get(context.key)
    if asked is not None and asked.status is not ApprovalStatus.EXECUTING:
        raise Conflict("request", f"{context.key} is {asked.status.value}")
    confirmed = None if asked is not None else desk.previews(context.firm_id).get(context.key)
    seen = asked.request if asked is not None else None if confirmed is None else confirmed.preview
    if seen is None:
        raise Conflict("preview", f"{command.name} was not confirmed")
    if seen.effects_hash != now.effects_hash:
        raise Conflict("drift", "its effects changed since it was confirmed")
    if now.blocking:
        raise Conflict("blocked", "; ".join(now.blocking))
    return now, asked


def whoever_asked(context: Context) -> Principal:
    """Whoever asked; where others had to agree, as if they had just proved who they are, as they did when they asked
    (``services.approvals`` asks once more whether they may)."""
    return in_person(context) if context.approved_by else context.principal


def in_person(context: Context) -> Principal:
    """Whoever asked, as if they had just proved who they are: only their roles count."""
    return replace(
        context.principal,
        caller=Caller.SESSION,
        second_factor=True,
        stepped_up_ns=context.now_ns,
        permissions=None,
    )


def has_role(context: Context, permission: Permission, account: str | None) -> bool:
    """Whether a role of whoever asked gives a permission over an account, or over the firm (None)."""
    target = Target(context.firm_id, account)
    return may(in_person(context), permission, target, context.now_ns) is Answer.ALLOWED


def within_reach(context: Context, permission: Permission, accounts: Iterable[str]) -> list[str]:
    """Those of ``accounts`` over which a role of whoever asked gives a permission."""
    return reachable(in_person(context), permission, accounts, context.now_ns)


def not_seen(context: Context, command: Command, what: str, name: str) -> Refused:
    """The refusal of what is not there for whoever gave a command; without a name, nobody named it."""
    sought = (NotThere if name else NotYet)(what, name, context.firm_id)
    return Refused(Answer.UNKNOWN, f"to use {command.name}", sought)


def require_known(context: Context, command: Command, accounts: Iterable[str]) -> None:
    """Refuse an account that is not there, in the words of one that may not be seen."""
    if context.account not in accounts:
        raise not_seen(context, command, "account", context.account)
