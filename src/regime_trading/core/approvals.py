"""Four eyes (``risk.md`` 5.2): a request that other people must agree to, as a value, and every step it can take.

What was asked for never changes; any change of the world around it voids it. Each step is a pure function from one
:class:`Approval` to the next; what cannot be is an error, never a request that stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from regime_trading.core.access import Answer, Caller, Permission, Principal, Role, Target, covers, may
from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput, Conflict, Refused
from regime_trading.core.event_payloads import Account, Hash, MaybeHash, Name
from regime_trading.core.schemas import Mode

MINUTE_NS = 60_000_000_000
TTL_NS = 30 * MINUTE_NS  #: how long others have to agree
CONFIG_TTL_NS = 24 * 60 * MINUTE_NS  #: to a configuration
REASON_LENGTH = 10


class ApprovalKind(StrEnum):
    """What is asked for."""

    BASKET = "basket"
    CONFIG = "config"
    UNLOCK = "unlock"
    MODE = "mode"
    CUSTOM = "custom"  #: whatever else an account or a firm wants two people for


class ApprovalStatus(StrEnum):
    """How far a request has come. All but the first three are final."""

    REQUESTED = "requested"
    GIVEN = "given"  #: enough people agreed; not carried out yet
    EXECUTING = "executing"  #: somebody is carrying it out; never by a second one
    EXECUTED = "executed"
    FAILED = "failed"  #: it was tried, and refused; nothing was done
    REFUSED = "refused"
    VOID = "void"
    EXPIRED = "expired"


S = ApprovalStatus
PENDING = frozenset({S.REQUESTED, S.GIVEN})
#: Permission to ask, and permission to agree.
PERMISSIONS: Mapping[ApprovalKind, tuple[Permission, Permission]] = MappingProxyType(
    {
        ApprovalKind.BASKET: (Permission.PROPOSE_BASKET, Permission.APPROVE_BASKET),
        ApprovalKind.CONFIG: (Permission.REQUEST_LOOSENING, Permission.APPROVE_LOOSENING),
        ApprovalKind.UNLOCK: (Permission.REQUEST_UNLOCK, Permission.APPROVE_UNLOCK),
        ApprovalKind.MODE: (Permission.REQUEST_LIVE, Permission.APPROVE_LIVE),
        ApprovalKind.CUSTOM: (Permission.DRAFT_CONFIG, Permission.APPROVE_LOOSENING),
    }
)


class _Model(BaseModel):
    """Immutable and strict."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Required(_Model):
    """Who must agree: ``n`` people, each with one of ``roles`` over the account, none of ``excludes`` (user ids)."""

    n: Annotated[int, Field(ge=1, le=9)] = 1
    roles: tuple[Role, ...] = (Role.PM, Role.ADMIN)
    excludes: tuple[str, ...] = ()


class Request(_Model):
    """What is asked for, by whom, and what it was bound to. Never changes.

    Parameters
    ----------
    request_id : str
    firm_id, account : str
        ``account`` is empty where it is about the firm.
    kind : ApprovalKind
    loosens : bool
        A halt voids it.
    command : str
        In its normal form; what is carried out.
    summary_md : str
        What the maker was shown.
    effects : tuple of str
    diff : str
    effects_hash : str
        Of what it would do, as it was simulated for the maker.
    base_version, config_hash, code_version : str
        The state of the world, the configuration and the program it was asked for under.
    maker, maker_session, maker_actor : str
        User id, session, pseudonym.
    reason : str
    created_ns, expires_ns : int
        UTC nanoseconds.
    required : Required
    """

    request_id: Name
    firm_id: Name
    account: Account = ""
    kind: ApprovalKind
    loosens: bool
    command: Annotated[str, Field(min_length=1, max_length=2_000)]
    summary_md: str
    effects: tuple[str, ...]
    diff: str = ""
    effects_hash: Hash
    base_version: str
    config_hash: MaybeHash = ""
    code_version: str
    maker: Name
    maker_session: Name
    maker_actor: Name
    reason: Annotated[str, Field(min_length=REASON_LENGTH, max_length=500)]
    created_ns: int
    expires_ns: int
    required: Required

    @property
    def payload_hash(self) -> str:
        """SHA-256 of everything above: what people agree to."""
        plain: dict[str, JsonValue] = self.model_dump(mode="json")
        return content_hash(plain | {"created_ns": str(self.created_ns), "expires_ns": str(self.expires_ns)})


class Vote(_Model):
    """What one person said."""

    user_id: Name
    session_id: Name
    actor: Name
    agrees: bool
    at_ns: int
    reason: Annotated[str, Field(max_length=500)] = ""


class Approval(_Model):
    """A request and what has become of it. ``version`` counts its steps; ``why`` says how it ended."""

    request: Request
    status: ApprovalStatus = S.REQUESTED
    votes: tuple[Vote, ...] = ()
    version: int = 1
    why: Annotated[str, Field(max_length=500)] = ""

    @property
    def given(self) -> int:
        """How many have agreed."""
        return sum(vote.agrees for vote in self.votes)

    @property
    def by(self) -> tuple[str, ...]:
        """Pseudonyms of those who agreed."""
        return tuple(vote.actor for vote in self.votes if vote.agrees)


class Seen(_Model):
    """What somebody had before their eyes when they agreed, or what is there now that it is to be carried out."""

    payload_hash: Hash
    effects_hash: Hash
    base_version: str
    config_hash: MaybeHash
    code_version: str


def seen(request: Request) -> Seen:
    """What a request was bound to."""
    return Seen(
        payload_hash=request.payload_hash,
        effects_hash=request.effects_hash,
        base_version=request.base_version,
        config_hash=request.config_hash,
        code_version=request.code_version,
    )


# --- who, and how many ----------------------------------------------------------------------------------------


def ttl_ns(kind: ApprovalKind) -> int:
    """How long a request of a kind stands."""
    return CONFIG_TTL_NS if kind is ApprovalKind.CONFIG else TTL_NS


def others_needed(kind: ApprovalKind, mode: Mode | None, *, maker_could_agree: bool) -> int:
    """How many other people must agree (``contracts.md`` 12): none in a dry run, where the maker might agree to such
    a request of somebody else; one everywhere else, and always for a mode. ``mode`` None = unknown."""
    alone = mode is Mode.DRY_RUN and maker_could_agree and kind is not ApprovalKind.MODE
    return 0 if alone else 1


def require_approver(approval: Approval, voter: Principal, now_ns: int) -> None:
    """Refuse whoever may not agree to, or refuse, this request now.

    Raises
    ------
    Refused
        The maker, the maker's session, somebody who is excluded, has no such role, comes by a token, or must prove
        who they are again.
    """
    request = approval.request
    account = request.account or None
    answer = may(voter, PERMISSIONS[request.kind][1], Target(request.firm_id, account), now_ns)
    if answer is not Answer.ALLOWED:
        raise Refused(answer, f"to answer request {request.request_id}")
    if voter.caller is not Caller.SESSION or not voter.session_id:
        raise Refused(Answer.NOT_BY_TOKEN, f"to answer request {request.request_id}: people do, in a session")
    if not _roles(voter, request) & set(request.required.roles):
        named = ", ".join(request.required.roles)
        raise Refused(Answer.NO_ROLE, f"to answer request {request.request_id}: it asks for {named}")
    if voter.user_id == request.maker or voter.user_id in request.required.excludes:
        raise Refused(Answer.NO_ROLE, "to answer this request: somebody else must, not who asked")
    sessions = {request.maker_session, *(vote.session_id for vote in approval.votes)}
    if voter.session_id in sessions:
        raise Refused(Answer.NO_ROLE, "to answer this request from a session that took part in it")


def _roles(voter: Principal, request: Request) -> set[Role]:
    return {
        grant.role
        for grant in voter.grants
        if grant.firm_id == request.firm_id
        and (grant.accounts is None if not request.account else covers(grant, request.account))
    }


# --- steps ----------------------------------------------------------------------------------------------------


def agree(
    approval: Approval, voter: Principal, actor: str, bound: Seen, now_ns: int, reason: str = ""
) -> Approval:
    """One more person agrees to exactly what was asked for, in the world it was asked for in.

    Raises
    ------
    Refused
        :func:`require_approver`.
    Conflict
        It has ended, the person has answered, or what they saw is not what was asked for.
    """
    vote = _vote(approval, voter, actor, now_ns, agrees=True, reason=reason)
    require_same(approval, bound)
    votes = (*approval.votes, vote)
    enough = sum(one.agrees for one in votes) >= approval.request.required.n
    return _next(approval, S.GIVEN if enough else S.REQUESTED, votes=votes)


def refuse(approval: Approval, voter: Principal, actor: str, now_ns: int, reason: str) -> Approval:
    """One person refuses, which ends it; a reason is needed.

    Raises
    ------
    BadInput
        No reason of ten characters.
    Refused, Conflict
        As :func:`agree`.
    """
    if len(reason.strip()) < REASON_LENGTH:
        raise BadInput(
            expected=f"a reason of at least {REASON_LENGTH} characters", found=repr(reason), where="reason"
        )
    vote = _vote(approval, voter, actor, now_ns, agrees=False, reason=reason)
    return _next(approval, S.REFUSED, votes=(*approval.votes, vote), why="refused")


def void(approval: Approval, why: str) -> Approval:
    """It ends because the world has changed.

    Raises
    ------
    Conflict
        It has ended, or is being carried out.
    """
    _require(approval, PENDING)
    return _next(approval, S.VOID, why=why)


def expire(approval: Approval, now_ns: int) -> Approval:
    """It ends because its time is over.

    Raises
    ------
    Conflict
        It has ended, is being carried out, or still has time.
    """
    _require(approval, PENDING)
    if not is_over(approval, now_ns):
        raise Conflict("request", f"{approval.request.request_id} still has time")
    return _next(approval, S.EXPIRED, why="expired")


def is_over(approval: Approval, now_ns: int) -> bool:
    """Whether a request that has not ended is out of time."""
    return approval.status in PENDING and now_ns >= approval.request.expires_ns


def begin(approval: Approval, now: Seen, now_ns: int) -> Approval:
    """Somebody begins to carry it out: nobody else can.

    Raises
    ------
    Conflict
        Not enough people agreed, it has ended, its time is over, or the world is not the one they agreed in.
    """
    _require(approval, frozenset({S.GIVEN}))
    _require_time(approval, now_ns)
    require_same(approval, now)
    if len({vote.user_id for vote in approval.votes if vote.agrees}) < approval.request.required.n:
        raise Conflict("votes", "fewer people agreed than it takes")
    return _next(approval, S.EXECUTING)


def end(approval: Approval, failure: str = "") -> Approval:
    """It was carried out, or refused by what it was to change (``failure``).

    Raises
    ------
    Conflict
        It was not being carried out.
    """
    _require(approval, frozenset({S.EXECUTING}))
    return _next(approval, S.FAILED if failure else S.EXECUTED, why=failure[:500])


def drift(approval: Approval, now: Seen) -> str:
    """What is no longer as it was when it was asked for; empty where all is."""
    asked = seen(approval.request)
    names = {
        "payload_hash": "the request",
        "code_version": "the program",
        "config_hash": "the configuration",
        "base_version": "the state it is based on",
        "effects_hash": "its effects",
    }
    return next((said for name, said in names.items() if getattr(asked, name) != getattr(now, name)), "")


def require_same(approval: Approval, now: Seen) -> None:
    """Refuse a world that is not the one a request was made in.

    Raises
    ------
    Conflict
        Naming what has changed.
    """
    if changed := drift(approval, now):
        raise Conflict("drift", f"{changed} changed since it was asked for")


def _vote(
    approval: Approval, voter: Principal, actor: str, now_ns: int, *, agrees: bool, reason: str
) -> Vote:
    _require(approval, frozenset({S.REQUESTED}))
    _require_time(approval, now_ns)
    require_approver(approval, voter, now_ns)
    if voter.user_id in {vote.user_id for vote in approval.votes}:
        raise Conflict("vote", "you have answered this request")
    return Vote(
        user_id=voter.user_id,
        session_id=voter.session_id,
        actor=actor,
        agrees=agrees,
        at_ns=now_ns,
        reason=reason.strip(),
    )


def _require(approval: Approval, wanted: frozenset[ApprovalStatus]) -> None:
    if approval.status not in wanted:
        raise Conflict("request", f"{approval.request.request_id} is {approval.status.value}")


def _require_time(approval: Approval, now_ns: int) -> None:
    if is_over(approval, now_ns):
        raise Conflict("request", f"{approval.request.request_id} has expired")


def _next(
    approval: Approval, status: ApprovalStatus, *, votes: tuple[Vote, ...] | None = None, why: str = ""
) -> Approval:
    return Approval(
        request=approval.request,
        status=status,
        votes=approval.votes if votes is None else votes,
        version=approval.version + 1,
        why=why,
    )
