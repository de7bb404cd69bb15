"""Who may do what: roles, permissions, the accounts they reach, and the one function that decides.

A grant gives a person one role in one firm, over all of its accounts or some. Roles are bundles of permissions and do
not contain each other: an administrator approves but originates nothing (``risk.md`` 5.1). What is not in ``MATRIX`` is
denied. Nothing outside one's firms can be told from what does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

STEP_UP_NS = 300 * 1_000_000_000  #: how long a fresh proof of identity counts (RFC 9470, max_age 300)


class Role(StrEnum):
    """Roles of a person in a firm, from the least to the most trusted."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    PM = "pm"
    ADMIN = "admin"


SECOND_FACTOR_ROLES = frozenset(
    {Role.PM, Role.ADMIN}
)  #: count for nothing in a session without a second factor


class Permission(StrEnum):
    """Everything that can be permitted, as ``noun.verb``."""

    READ = "account.read"
    READ_CONFIG = "config.read"
    READ_AUDIT = "audit.read"
    EXPORT_AUDIT = "audit.export"
    RUN = "run.start"
    CANCEL_RUN = "run.cancel"
    PROPOSE_BASKET = "basket.propose"
    SUBMIT_BASKET = "basket.submit"
    APPROVE_BASKET = "basket.approve"
    DRAFT_CONFIG = "config.draft"
    TIGHTEN = "config.tighten"
    REQUEST_LOOSENING = "config.loosen"
    APPROVE_LOOSENING = "config.approve"
    OVERRIDE = "override.add"
    HALT = "halt.pause"
    KILL = "halt.flatten"
    KILL_FIRM = "firm.halt"
    REQUEST_UNLOCK = "unlock.request"
    APPROVE_UNLOCK = "unlock.approve"
    SHADOW = "mode.shadow"
    REQUEST_LIVE = "mode.live"
    APPROVE_LIVE = "mode.approve_live"
    EXIT = "order.exit"
    READ_USERS = "user.read"
    MANAGE_USERS = "user.manage"
    OWN_TOKENS = "token.own"
    PURGE = "record.purge"


class Reach(StrEnum):
    """What a permission is asked for."""

    FIRM = "firm"  #: a firm as a whole: the grant must cover all of its accounts
    ACCOUNT = "account"  #: one account
    MEMBER = "member"  #: the firm, whichever accounts one has in it


@dataclass(frozen=True, slots=True)
class Rule:
    """Who has a permission, and what it takes.

    Parameters
    ----------
    reach : Reach
    roles : frozenset of Role
    step_up : bool
        Identity must have been proved again within the last five minutes.
    by_person : bool
        Never by an API token, whatever it was made for.
    """

    reach: Reach
    roles: frozenset[Role]
    step_up: bool = False
    by_person: bool = False


def _rule(reach: Reach, roles: str, *, step_up: bool = False, by_person: bool = False) -> Rule:
    return Rule(reach, frozenset(Role(name) for name in roles.split()), step_up, by_person)


MATRIX: Mapping[Permission, Rule] = MappingProxyType(
    {
        Permission.READ: _rule(Reach.ACCOUNT, "viewer analyst pm admin"),
        Permission.READ_CONFIG: _rule(Reach.ACCOUNT, "analyst pm admin"),
        Permission.READ_AUDIT: _rule(Reach.ACCOUNT, "analyst pm admin"),
        Permission.EXPORT_AUDIT: _rule(Reach.FIRM, "admin", step_up=True),
        Permission.RUN: _rule(Reach.MEMBER, "analyst pm admin"),
        Permission.CANCEL_RUN: _rule(Reach.MEMBER, "analyst pm admin"),
        Permission.PROPOSE_BASKET: _rule(Reach.MEMBER, "analyst pm"),
        Permission.SUBMIT_BASKET: _rule(Reach.ACCOUNT, "pm"),
        Permission.APPROVE_BASKET: _rule(Reach.ACCOUNT, "pm", by_person=True),
        Permission.DRAFT_CONFIG: _rule(Reach.ACCOUNT, "analyst pm admin"),
        Permission.TIGHTEN: _rule(Reach.ACCOUNT, "pm admin"),
        Permission.REQUEST_LOOSENING: _rule(Reach.ACCOUNT, "pm"),
        Permission.APPROVE_LOOSENING: _rule(Reach.ACCOUNT, "pm admin", step_up=True, by_person=True),
        Permission.OVERRIDE: _rule(Reach.ACCOUNT, "pm admin"),
        Permission.HALT: _rule(Reach.ACCOUNT, "analyst pm admin"),
        Permission.KILL: _rule(Reach.ACCOUNT, "pm admin"),
        Permission.KILL_FIRM: _rule(Reach.FIRM, "pm admin"),
        Permission.REQUEST_UNLOCK: _rule(Reach.ACCOUNT, "pm"),
        Permission.APPROVE_UNLOCK: _rule(Reach.ACCOUNT, "pm admin", step_up=True, by_person=True),
        Permission.SHADOW: _rule(Reach.ACCOUNT, "pm admin"),
        Permission.REQUEST_LIVE: _rule(Reach.ACCOUNT, "pm", step_up=True, by_person=True),
        Permission.APPROVE_LIVE: _rule(Reach.ACCOUNT, "admin", step_up=True, by_person=True),
        Permission.EXIT: _rule(Reach.ACCOUNT, "pm", step_up=True, by_person=True),
        Permission.READ_USERS: _rule(Reach.MEMBER, "pm admin"),
        Permission.MANAGE_USERS: _rule(Reach.FIRM, "admin", step_up=True, by_person=True),
        Permission.OWN_TOKENS: _rule(Reach.MEMBER, "viewer analyst pm admin", by_person=True),
        Permission.PURGE: _rule(Reach.FIRM, "admin", step_up=True, by_person=True),
    }
)


@dataclass(frozen=True, slots=True)
class Grant:
    """One role of one person in one firm.

    Parameters
    ----------
    firm_id : str
    role : Role
    accounts : frozenset of str, optional
        Full names of the accounts it covers; None = all of the firm, those to come too.
    redact : bool
        Amounts of money are left out of what is shown.
    """

    firm_id: str
    role: Role
    accounts: frozenset[str] | None = None
    redact: bool = False


class Caller(StrEnum):
    """How somebody comes in."""

    SESSION = "session"  #: a person with a cookie
    TOKEN = "token"  #: a program with an API token of a person
    LOCAL = "local"  #: whoever runs the command line where the store is


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever asks.

    Parameters
    ----------
    user_id : str
    grants : tuple of Grant
    caller : Caller
    second_factor : bool
        The session was opened with a second factor; of a token, its maker had one.
    stepped_up_ns : int, optional
        When identity was proved last beyond the cookie, UTC nanoseconds.
    permissions : frozenset of Permission, optional
        All a token may be used for; None = everything its person may.
    session_id : str
        Names the session or the token in the record; empty where there is none.
    """

    user_id: str
    grants: tuple[Grant, ...]
    caller: Caller = Caller.SESSION
    second_factor: bool = False
    stepped_up_ns: int | None = None
    permissions: frozenset[Permission] | None = None
    session_id: str = ""

    @property
    def firms(self) -> tuple[str, ...]:
        """Firms in which the person has any role, sorted."""
        return tuple(sorted({grant.firm_id for grant in self.grants}))


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: a firm, or one account of it by its full name."""

    firm_id: str
    account: str | None = None


class Answer(StrEnum):
    """What :func:`may` says."""

    ALLOWED = "allowed"
    UNKNOWN = "unknown"  #: to this person there is no such firm or account
    NO_ROLE = "no_role"
    NO_FACTOR = "no_factor"  #: a role would do, after a second factor
    NOT_BY_TOKEN = "not_by_token"
    STEP_UP = "step_up"  #: after proving identity again


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal, as it gets into the record.

    Parameters
    ----------
    permission : Permission, optional
        None where only what was named decides.
    target : Target
        Where the answer is ``UNKNOWN``, the firm in which it was asked for (empty = none was named).
    answer : Answer
    route : str
        The route's template (``POST /v1/runs``), never a path with what somebody typed in it.
    what, name : str
        Of an ``UNKNOWN``: the kind of thing, and what it was called.
    request_id : str
        Of the refused request; empty where it has none.
    """

    permission: Permission | None
    target: Target
    answer: Answer
    route: str
    what: str = ""
    name: str = ""
    request_id: str = ""


def may(principal: Principal, permission: Permission, target: Target, now_ns: int) -> Answer:
    """Whether ``principal`` may do ``permission`` to ``target`` at ``now_ns``, and what would be missing.

    A permission with the reach of an account that is asked for a firm needs a grant over the whole firm.
    """
    rule = MATRIX[permission]
    near = [grant for grant in principal.grants if grant.firm_id == target.firm_id]
    seen = near if target.account is None else [grant for grant in near if covers(grant, target.account)]
    if not seen:
        return Answer.UNKNOWN
    if principal.permissions is not None and permission not in principal.permissions:
        return Answer.NOT_BY_TOKEN
    fitting = [grant for grant in seen if grant.role in rule.roles and _reaches(rule.reach, grant, target)]
    if not fitting:
        return Answer.NO_ROLE
    if not principal.second_factor and all(grant.role in SECOND_FACTOR_ROLES for grant in fitting):
        return Answer.NO_FACTOR
    if rule.by_person and principal.caller is not Caller.SESSION:
        return Answer.NOT_BY_TOKEN
    if rule.step_up and not is_fresh(principal.stepped_up_ns, now_ns):
        return Answer.STEP_UP
    return Answer.ALLOWED


def takes_role(permission: Permission) -> str:
    """Which roles a permission takes, in words: ``the role pm or admin over the whole firm``."""
    rule = MATRIX[permission]
    *others, last = (role.value for role in Role if role in rule.roles)
    over = " over the whole firm" if rule.reach is Reach.FIRM else ""
    return f"the role {', '.join(others)}{' or ' if others else ''}{last}{over}"


def covers(grant: Grant, account: str) -> bool:
    """Whether a grant is about an account, by its full name."""
    if account.split("/")[0] != grant.firm_id:
        return False
    return grant.accounts is None or account in grant.accounts


def is_fresh(stepped_up_ns: int | None, now_ns: int) -> bool:
    """Whether a proof of identity still counts; one from the future never does."""
    return stepped_up_ns is not None and 0 <= now_ns - stepped_up_ns <= STEP_UP_NS


def reachable(
    principal: Principal, permission: Permission, accounts: Iterable[str], now_ns: int
) -> list[str]:
    """Those of ``accounts`` (full names) to which ``principal`` may do ``permission`` now, in their order."""
    return [
        account
        for account in accounts
        if may(principal, permission, Target(account.split("/")[0], account), now_ns) is Answer.ALLOWED
    ]


def shows_amounts(principal: Principal, account: str) -> bool:
    """Whether amounts of money of an account are shown: any role over it that is not redacted."""
    return any(covers(grant, account) and not grant.redact for grant in principal.grants)


@dataclass(frozen=True, slots=True)
class Held:
    """A permission somebody has in a firm, as the screens are told (``permissions[]``).

    ``accounts`` None = all of the firm; ``needs`` lists what it still takes: ``second_factor``, ``step_up``.
    """

    firm_id: str
    permission: Permission
    accounts: tuple[str, ...] | None
    needs: tuple[str, ...]


def held(principal: Principal) -> tuple[Held, ...]:
    """Every permission of a principal, by firm and permission; what it takes is said, not whether it is there."""
    found = []
    for firm_id in principal.firms:
        for permission, rule in MATRIX.items():
            if one := _held(principal, firm_id, permission, rule):
                found.append(one)
    return tuple(found)


def _held(principal: Principal, firm_id: str, permission: Permission, rule: Rule) -> Held | None:
    if principal.permissions is not None and permission not in principal.permissions:
        return None
    if rule.by_person and principal.caller is not Caller.SESSION:
        return None
    grants = [grant for grant in principal.grants if grant.firm_id == firm_id and grant.role in rule.roles]
    if rule.reach is Reach.FIRM:
        grants = [grant for grant in grants if grant.accounts is None]
    if not grants:
        return None
    whole = any(grant.accounts is None for grant in grants)
    names = sorted({name for grant in grants for name in grant.accounts or ()})
    factor = not principal.second_factor and all(grant.role in SECOND_FACTOR_ROLES for grant in grants)
    needs = (*(("second_factor",) if factor else ()), *(("step_up",) if rule.step_up else ()))
    return Held(firm_id, permission, None if whole else tuple(names), needs)


def _reaches(reach: Reach, grant: Grant, target: Target) -> bool:
    if reach is Reach.MEMBER:
        return True
    return grant.accounts is None if reach is Reach.FIRM or target.account is None else True
