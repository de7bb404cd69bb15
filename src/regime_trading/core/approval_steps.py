"""Every step a request can take: pure functions from one :class:`Approval` to the next.

What cannot be is an error, never a request that stays as it was.
"""

from __future__ import annotations

from dataclasses import replace

from regime_trading.core.access import Answer, Caller, Principal, Role, Target, covers, may
from regime_trading.core.approvals import (
    PENDING,
    PERMISSIONS,
    REASON_LENGTH,
    Approval,
    Request,
    Seen,
    Vote,
    seen,
)
from regime_trading.core.approvals import ApprovalStatus as S
from regime_trading.core.errors import BadInput, Conflict, Refused


def require_approver(approval: Approval, voter: Principal, now_ns: int) -> None:
    """Refuse whoever may not agree to, or refuse, this request now.

    Raises
    ------
    Refused
        The maker, the session of the maker or of another's answer, somebody who is excluded, has no such role, comes
        by a token, or must prove who they are again.
    """
    request = approval.request
    account = request.account or None
    answer = may(voter, PERMISSIONS[request.kind][1], Target(request.firm_id, account), now_ns)
    if answer is not Answer.ALLOWED:
        raise Refused(answer, f"to answer request {request.request_id}", why=_WHY.get(answer, ""))
    if voter.caller is not Caller.SESSION or not voter.session_id:
        raise Refused(
            Answer.NOT_BY_TOKEN,
            f"to answer request {request.request_id}: people do, in a session",
            why=_WHY[Answer.NOT_BY_TOKEN],
        )
    if not _roles(voter, request) & set(request.required.roles):
        named = ", ".join(request.required.roles)
        raise Refused(
            Answer.NO_ROLE,
            f"to answer request {request.request_id}: it asks for {named}",
            why=f"It takes one of these roles: {named}.",
        )
    if voter.user_id == request.maker or voter.user_id in request.required.excludes:
        why = "Whoever asked cannot agree: somebody else must."
        raise Refused(Answer.NO_ROLE, "to answer this request: somebody else must, not who asked", why=why)
    others = (vote.session_id for vote in approval.votes if vote.user_id != voter.user_id)
    if voter.session_id in {request.maker_session, *others}:
        why = "This session took part in it: sign in anew, then answer."
        raise Refused(Answer.NO_ROLE, "to answer this request from a session that took part in it", why=why)


_WHY = {
    Answer.NO_ROLE: "None of your roles may answer it.",
    Answer.NO_FACTOR: "Your role takes a second factor: set one up under Settings.",
    Answer.NOT_BY_TOKEN: "People answer it, signed in, and no token does.",
}


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
    sure = replace(voter, stepped_up_ns=now_ns)  # to stop something nobody has to prove who they are again
    vote = _vote(approval, sure, actor, now_ns, agrees=False, reason=reason)
    return _next(approval, S.REFUSED, votes=(*approval.votes, vote), why="refused")


def require_pending(approval: Approval, now_ns: int) -> None:
    """Refuse a request that has ended, is being carried out, or is out of time.

    Raises
    ------
    Conflict
        It is.
    """
    _require(approval, PENDING)
    _require_time(approval, now_ns)


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


def require_votable(approval: Approval, voter: Principal, now_ns: int) -> None:
    """Refuse whoever cannot answer this request now.

    Raises
    ------
    Refused
        :func:`require_approver`.
    Conflict
        It has been answered, has ended, or is over; or this person has answered.
    """
    require_open(approval)
    _require_time(approval, now_ns)
    require_approver(approval, voter, now_ns)
    if voter.user_id in {vote.user_id for vote in approval.votes}:
        raise Conflict("vote", "you have answered this request")


def _vote(
    approval: Approval, voter: Principal, actor: str, now_ns: int, *, agrees: bool, reason: str
) -> Vote:
    require_votable(approval, voter, now_ns)
    return Vote(
        user_id=voter.user_id,
        session_id=voter.session_id,
        actor=actor,
        agrees=agrees,
        at_ns=now_ns,
        reason=reason.strip(),
    )


def require_open(approval: Approval) -> None:
    """Refuse a request that nobody can answer any more.

    Raises
    ------
    Conflict
        It has been answered, or has ended.
    """
    _require(approval, frozenset({S.REQUESTED}))


def _require(approval: Approval, wanted: frozenset[S]) -> None:
    if approval.status not in wanted:
        raise Conflict("request", f"{approval.request.request_id} is {approval.status.value}")


def _require_time(approval: Approval, now_ns: int) -> None:
    if is_over(approval, now_ns):
        raise Conflict("request", f"{approval.request.request_id} has expired")


def _next(approval: Approval, status: S, *, votes: tuple[Vote, ...] | None = None, why: str = "") -> Approval:
    return Approval(
        request=approval.request,
        status=status,
        votes=approval.votes if votes is None else votes,
        version=approval.version + 1,
        why=why,
        comments=approval.comments,
    )
