"""People who log in: what is kept of them, and what proves an identity.

Instants are UTC nanoseconds. Secrets (passwords, codes) are shown by no ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from regime_trading.core.access import SECOND_FACTOR_ROLES, Grant, Permission
from regime_trading.core.errors import RegimeError
from regime_trading.core.messages import Message
from regime_trading.core.schemas import AuditEvent

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
