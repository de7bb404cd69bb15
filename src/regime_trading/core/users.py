"""People who log in: what is kept of them, how long a session lasts, what proves an identity.

Nothing here reads a clock or draws randomness: instants are UTC nanoseconds, entropy arrives as bytes. Secrets
(passwords, cookies, codes, links) are shown by no ``repr``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from regime_trading.core.access import SECOND_FACTOR_ROLES, Caller, Grant, Permission, Principal, is_fresh
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.messages import Message
from regime_trading.core.schemas import AuditEvent

MINUTE_NS = 60 * 1_000_000_000
IDLE_TRUSTED_NS = 15 * MINUTE_NS  #: of whoever is PM or Admin anywhere
IDLE_NS = 30 * MINUTE_NS
ABSOLUTE_NS = 12 * 60 * MINUTE_NS
TOUCH_NS = MINUTE_NS  #: the last use of a session or token is written at most this often
SKEW_NS = MINUTE_NS  #: how far the clocks of two processes may be apart
LINK_NS = 24 * 60 * MINUTE_NS
CHALLENGE_NS = 5 * MINUTE_NS
SECRET_BYTES = 32
RECOVERY_CODES, RECOVERY_BYTES = 10, 10

Entropy = Callable[[int], bytes]

_USER_ID = re.compile(r"usr-[a-z2-7]{16}")
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}(@[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*)?")


# --- what goes wrong -----------------------------------------------------------------------------------------


class NotIdentified(RegimeError):
    """Whoever asks did not prove who they are. It never says why: an unknown login, a wrong password, a disabled user
    and a spent code are one and the same answer."""

    def __init__(self) -> None:
        super().__init__(
            "login: expected a valid login and proof of identity, found neither or one that is spent"
        )


class TooManyTries(RegimeError):
    """Too many tries from where this one came; ``wait_ns`` until the next is looked at."""

    def __init__(self, wait_ns: int) -> None:
        self.wait_ns = wait_ns
        super().__init__(f"login: expected fewer tries, found too many; wait {-(-wait_ns // 10**9)} s")


class ProofNeeded(RegimeError):
    """Identity must be proved again first (RFC 9470, ``insufficient_user_authentication``)."""

    def __init__(self) -> None:
        super().__init__("session: expected a proof of identity within five minutes, found none")


# --- what is kept ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class User:
    """A person, whichever firms they work for.

    Parameters
    ----------
    user_id : str
        ``usr-`` and 16 base32 digits.
    login : str
        Lower-cased e-mail address or name.
    name : str
        As shown.
    created_ns : int
    disabled_ns : int, optional
        Since when nothing of this person is let in.
    """

    user_id: str
    login: str
    name: str
    created_ns: int
    disabled_ns: int | None = None


class Factor(StrEnum):
    """Kinds of second factors."""

    TOTP = "totp"
    PASSKEY = "passkey"


@dataclass(frozen=True, slots=True)
class Account:
    """Everything a login is decided on: the user, the hash of the password, roles, factors that are enrolled."""

    user: User
    password_hash: str | None = field(repr=False)
    grants: tuple[Grant, ...]
    factors: frozenset[Factor]

    @property
    def trusted(self) -> bool:
        """PM or Admin anywhere."""
        return any(grant.role in SECOND_FACTOR_ROLES for grant in self.grants)

    @property
    def firms(self) -> tuple[str, ...]:
        """Firms in which the person has a role, sorted."""
        return tuple(sorted({grant.firm_id for grant in self.grants}))


@dataclass(frozen=True, slots=True)
class Session:
    """A person who came in.

    Parameters
    ----------
    session_id : str
        Names it in lists and in the record; stays when the cookie is replaced.
    user_id : str
    created_ns, seen_ns : int
    method : str
        How it was opened: ``password``, ``password+totp``, …
    second_factor : bool
        A second factor was proved in it.
    stepped_up_ns : int, optional
        When identity was proved last.
    ip_prefix, agent : str
        Network it was opened from, and what the browser called itself.
    """

    session_id: str
    user_id: str
    created_ns: int
    seen_ns: int
    method: str
    second_factor: bool = False
    stepped_up_ns: int | None = None
    ip_prefix: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What a program comes in with: at most what its maker may, in one firm, for a time.

    ``permissions`` and ``accounts`` (full names; None = those of its maker) only take away. ``second_factor``: it was
    made in a session with one.
    """

    token_id: str
    firm_id: str
    user_id: str
    name: str
    permissions: frozenset[Permission]
    accounts: frozenset[str] | None
    second_factor: bool
    created_ns: int
    expires_ns: int
    used_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Passkey:
    """A public key of a person's device; ``sign_count`` is how often it says it was used."""

    credential_id: bytes
    user_id: str
    public_key: bytes
    sign_count: int
    name: str
    created_ns: int
    used_ns: int | None = None


@dataclass(frozen=True, slots=True)
class OneTimeLink:
    """Leave to set a password once. ``drops_factors``: second factors are removed with it, for a lost device."""

    user_id: str
    created_ns: int
    expires_ns: int
    drops_factors: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A person as one firm sees them: ``grants`` are those in the firm; ``invited``: no password was set yet."""

    user: User
    grants: tuple[Grant, ...]
    second_factor: bool
    invited: bool


# --- proofs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Site:
    """Where passkeys are valid: the relying party's id (a host name), and the origins of its pages."""

    rp_id: str
    origins: tuple[str, ...]
    name: str = "Regime Trading"


@dataclass(frozen=True, slots=True)
class TotpCode:
    """Six digits of an authenticator."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecoveryCode:
    """One of the codes handed out with the first factor."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasskeyAnswer:
    """What ``navigator.credentials.get()`` returned, as JSON."""

    response: str = field(repr=False)
    site: Site


@dataclass(frozen=True, slots=True)
class PasswordAgain:
    """The password, for whoever has no second factor and needs none."""

    password: str = field(repr=False)


Proof = TotpCode | RecoveryCode | PasskeyAnswer | PasswordAgain


@dataclass(frozen=True, slots=True)
class Spent:
    """What a proof uses up, so that it never counts again: a TOTP time step, a recovery code (by hash), a challenge's
    answer (``sign_count`` of a passkey). The rest is None."""

    totp_step: int | None = None
    recovery_hash: str | None = None
    credential_id: bytes | None = None
    sign_count: int = 0


@dataclass(frozen=True, slots=True)
class Rotation:
    """A session after a proof, and the hashes of the cookie it had and of the one it gets."""

    before: str
    after: str
    session: Session


@dataclass(frozen=True, slots=True)
class Told:
    """What is recorded and announced in the transaction of a change, for any number of firms."""

    events: tuple[AuditEvent, ...] = ()
    messages: Mapping[str, tuple[Message, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tally:
    """What is counted before it is recorded: the key of what is the same, when the window began, and the entry to be
    written, whose ``count`` is set then. ``kind`` is an event type, ``payload`` JSON."""

    key: str
    since_ns: int
    kind: str
    actor_type: str
    actor_id: str
    payload: str


# --- names and secrets -----------------------------------------------------------------------------------------


def id_from(prefix: str, entropy: bytes) -> str:
    """``usr-…`` or ``ses-…`` of 10 random bytes."""
    if len(entropy) != 10:
        raise BadInput(expected="10 random bytes", found=f"{len(entropy)} bytes", where=prefix)
    return f"{prefix}-{base64.b32encode(entropy).decode().lower()}"


def secret_from(entropy: bytes) -> str:
    """A secret as text: base32 of 32 random bytes, lower case, without padding."""
    if len(entropy) != SECRET_BYTES:
        raise BadInput(expected=f"{SECRET_BYTES} random bytes", found=f"{len(entropy)} bytes", where="secret")
    return base64.b32encode(entropy).decode().rstrip("=").lower()


def recovery_code_from(entropy: bytes) -> str:
    """``abcd-efgh-ijkl-mnop`` of 10 random bytes."""
    text = id_from("r", entropy)[2:]
    return "-".join(text[n : n + 4] for n in range(0, 16, 4))


def keyed_hash(pepper: bytes, purpose: str, secret: str) -> str:
    """How a random secret is stored: HMAC-SHA256 under a key of the server, apart for each purpose."""
    return hmac.new(pepper, f"{purpose}:{secret}".encode(), hashlib.sha256).hexdigest()


def plain_recovery_code(text: str) -> str:
    """A recovery code as typed, without blanks and dashes, lower case."""
    return re.sub(r"[\s-]", "", text).lower()


def require_user_id(text: str) -> str:
    """``text`` if it is the id of a user.

    Raises
    ------
    BadInput
        Anything else.
    """
    if not _USER_ID.fullmatch(text):
        raise BadInput(
            expected="a user id such as usr-abcdefgh23456777", found=repr(text[:60]), where="user_id"
        )
    return text


def normal_login(text: str) -> str | None:
    """A login as it is looked up: lower case, no blanks around it; None where it can be nobody's."""
    login = unicodedata.normalize("NFKC", text[:200]).strip().lower()
    return login if _LOGIN.fullmatch(login) and len(login) <= 120 else None


def require_login(text: str) -> str:
    """A new login, normalised.

    Raises
    ------
    BadInput
        No e-mail address and no name of plain letters, digits, ``. _ + -``.
    """
    found = normal_login(text)
    if found is None:
        raise BadInput(
            expected="an e-mail address or a name of a-z, 0-9 and . _ + -",
            found=repr(text[:60]),
            where="login",
        )
    return found


# --- sessions and principals -------------------------------------------------------------------------------------


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
