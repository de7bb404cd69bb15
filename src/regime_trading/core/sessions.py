"""How long a session lasts, and whom a session or a token stands for. Pure: instants are UTC nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable

from regime_trading.core.access import Caller, Grant, Principal, is_fresh
from regime_trading.core.users import Account, ApiToken, Session

MINUTE_NS = 60 * 1_000_000_000
IDLE_TRUSTED_NS = 15 * MINUTE_NS  #: of whoever is PM or Admin anywhere
IDLE_NS = 30 * MINUTE_NS
ABSOLUTE_NS = 12 * 60 * MINUTE_NS
TOUCH_NS = MINUTE_NS  #: the last use of a session or token is written at most this often
SKEW_NS = MINUTE_NS  #: how far the clocks of two processes may be apart
LINK_NS = 24 * 60 * MINUTE_NS
CHALLENGE_NS = 5 * MINUTE_NS


def is_alive(session: Session, account: Account, now_ns: int) -> bool:
    """Whether a session still counts: its user is enabled, it is younger than 12 hours and was used within the last
    15 (PM or Admin anywhere) or 30 minutes; one from the future counts as new only within a minute."""
    if account.user.disabled_ns is not None or account.user.user_id != session.user_id:
        return False
    idle_ns = IDLE_TRUSTED_NS if account.trusted else IDLE_NS
    age_ns, quiet_ns = now_ns - session.created_ns, now_ns - session.seen_ns
    return -SKEW_NS <= age_ns < ABSOLUTE_NS and -SKEW_NS <= quiet_ns < idle_ns


def is_touched(seen_ns: int | None, now_ns: int) -> bool:
    """Whether a use now was written recently enough."""
    return seen_ns is not None and now_ns - seen_ns < TOUCH_NS


def awaits_factor(session: Session, account: Account) -> bool:
    """Whether a second factor is enrolled and was not proved in this session: it then permits nothing."""
    return bool(account.factors) and not session.second_factor


def session_principal(session: Session, account: Account) -> Principal:
    """Whom a session stands for, by the roles as they are now; nobody's roles while it awaits the second factor."""
    waits = awaits_factor(session, account)
    return Principal(
        user_id=account.user.user_id,
        grants=() if waits else account.grants,
        caller=Caller.SESSION,
        second_factor=session.second_factor and bool(account.factors),
        stepped_up_ns=None if waits else session.stepped_up_ns,
        session_id=session.session_id,
    )


def may_use_password(account: Account) -> bool:
    """Whether the password alone is a fresh proof of identity: no factor is enrolled, and no role calls for one."""
    return not account.factors and not account.trusted


def may_enrol(session: Session, account: Account, now_ns: int) -> bool:
    """Whether factors may be changed: with a fresh proof, or, where there is none yet, just after the login."""
    if awaits_factor(session, account):
        return False
    newly = None if account.factors else session.created_ns
    return is_fresh(session.stepped_up_ns, now_ns) or is_fresh(newly, now_ns)


def token_principal(token: ApiToken, account: Account, now_ns: int) -> Principal | None:
    """Whom a token stands for: its maker's roles in its firm as they are now, narrowed; None where it no longer counts
    or nothing is left of them."""
    user = account.user
    if user.disabled_ns is not None or user.user_id != token.user_id or now_ns >= token.expires_ns:
        return None
    grants = tuple(narrowed(account.grants, token))
    if not grants:
        return None
    return Principal(
        user_id=user.user_id,
        grants=grants,
        caller=Caller.TOKEN,
        second_factor=token.second_factor and bool(account.factors),
        permissions=token.permissions,
        session_id=token.token_id,
    )


def narrowed(grants: Iterable[Grant], token: ApiToken) -> Iterable[Grant]:
    """Grants in a token's firm, over no more accounts than it names."""
    for grant in grants:
        if grant.firm_id != token.firm_id:
            continue
        if token.accounts is None:
            yield grant
            continue
        accounts = token.accounts if grant.accounts is None else token.accounts & grant.accounts
        if accounts:
            yield Grant(grant.firm_id, grant.role, accounts, grant.redact)
