"""People, their proofs of identity, and what they may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from regime_trading.core.access import Grant, Role
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.throttling import Budget
from regime_trading.core.users import (
    Account,
    ApiToken,
    Factor,
    Member,
    OneTimeLink,
    Passkey,
    Rotation,
    Session,
    Site,
    Spent,
    Tally,
    Told,
    User,
)


class Passwords(Protocol):
    """Hashing of passwords; deliberately slow."""

    def hash(self, password: str) -> str:
        """A salted hash."""
        ...

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password fits; without a hash the same work, and False."""
        ...

    def is_dated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        ...


class Totp(Protocol):
    """Time-based one-time codes (RFC 6238)."""

    def seed(self) -> str:
        """A new seed, base32."""
        ...

    def uri(self, seed: str, login: str) -> str:
        """What an authenticator scans."""
        ...

    def step_of(self, seed: str, code: str, now_ns: int) -> int | None:
        """Time step of a code that is valid now, one step early or late; None of any other."""
        ...


class Sealer(Protocol):
    """Encryption at rest; ``bound`` ties a secret to the row it is in."""

    def seal(self, plain: bytes, bound: bytes) -> bytes: ...

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """Raises ``CheckFailed`` where it was not sealed so."""
        ...


class PasskeyProtocol(Protocol):
    """WebAuthn, user verification required. Options are JSON for the browser, answers JSON from it."""

    def registration(self, site: Site, user: User, known: Sequence[Passkey], challenge: bytes) -> str: ...

    def registered(
        self, site: Site, user_id: str, answer: str, challenge: bytes, name: str, now_ns: int
    ) -> Passkey:
        """The new passkey; raises ``NotIdentified`` where the answer does not verify."""
        ...

    def authentication(self, site: Site, known: Sequence[Passkey], challenge: bytes) -> str: ...

    def credential_id(self, answer: str) -> bytes | None:
        """Whose key an answer says it is of; None where it is no answer."""
        ...

    def authenticated(self, site: Site, passkey: Passkey, answer: str, challenge: bytes) -> int:
        """The new sign count; raises ``NotIdentified`` where the answer does not verify."""
        ...


class ExternalIdentity(Protocol):
    """Who somebody is by the word of an identity provider (OpenID Connect), checked already."""

    @property
    def issuer(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def email_verified(self) -> bool: ...


class Logins(Protocol):
    """What belongs to a login, reached by login, user, cookie, link and token only."""

    def by_login(self, login: str) -> Account | None: ...

    def account(self, user_id: str) -> Account | None: ...

    def by_external(self, issuer: str, subject: str) -> Account | None: ...

    def link_external(self, user_id: str, issuer: str, subject: str) -> None:
        """Remember who a person is elsewhere."""
        ...

    def token(self, token_hash: str) -> tuple[ApiToken, Account] | None: ...

    def touch_token(self, token: ApiToken, now_ns: int) -> None:
        """Note that a token was used."""
        ...

    def set_disabled(self, user_id: str, disabled_ns: int | None, only_firm: str | None, told: Told) -> None:
        """Disable (all sessions end) or enable a user; with ``only_firm`` only one whose roles are all in that firm.
        Raises ``BadInput`` for the last Admin of a firm."""
        ...

    def set_password(self, account: Account, password_hash: str, rotation: Rotation, told: Told) -> None:
        """Replace a password; all sessions but one end. Raises ``NotIdentified`` where it was replaced meanwhile."""
        ...

    def add_link(self, link_hash: str, link: OneTimeLink, only_firm: str | None, told: Told) -> None:
        """Store a link in the place of earlier ones; ``only_firm`` as in :meth:`set_disabled`."""
        ...

    def link(self, link_hash: str) -> tuple[OneTimeLink, User] | None: ...

    def use_link(self, link_hash: str, now_ns: int, password_hash: str, told: Told) -> None:
        """Set the password of a link's user and end all their sessions, once; raises ``NotIdentified`` otherwise."""
        ...


class Sessions(Protocol):
    """Sessions, found by the hash of their cookie."""

    def open(self, cookie_hash: str, session: Session, password: tuple[str, str] | None, told: Told) -> None:
        """Store a session; with ``password`` only while that hash stands, which is replaced by the second. Raises
        ``NotIdentified`` where the user was disabled or the password replaced meanwhile."""
        ...

    def get(self, cookie_hash: str) -> tuple[Session, Account] | None: ...

    def by_ids(self, session_ids: Sequence[str]) -> tuple[tuple[Session, Account], ...]: ...

    def touch(self, cookie_hash: str, now_ns: int) -> None:
        """Note that a session was used."""
        ...

    def prove(self, rotation: Rotation, spent: Spent, told: Told) -> None:
        """Use up a proof and replace the cookie, or neither; raises ``NotIdentified`` where either is gone."""
        ...

    def of(self, user_id: str) -> tuple[Session, ...]:
        """Sessions of a person, newest first."""
        ...

    def end(self, user_id: str, session_ids: Sequence[str] | None, keep: str, told: Told) -> int:
        """End some sessions of a person (all where None) but ``keep``; how many ended."""
        ...


class Factors(Protocol):
    """Second factors of people."""

    def totp(self, user_id: str, *, confirmed: bool) -> tuple[bytes, int] | None:
        """The sealed seed and the time step used last."""
        ...

    def offer_totp(self, user_id: str, sealed: bytes, now_ns: int) -> None:
        """Store a seed that counts for nothing yet."""
        ...

    def confirm_totp(
        self, rotation: Rotation, sealed: bytes, step: int, codes: Sequence[str], told: Told
    ) -> None:
        """Let the offered seed count, in the place of another; ``codes`` are hashes of new recovery codes."""
        ...

    def add_passkey(self, rotation: Rotation, passkey: Passkey, codes: Sequence[str], told: Told) -> None:
        """Store a passkey; raises ``BadInput`` where it is known already."""
        ...

    def passkeys(self, user_id: str) -> tuple[Passkey, ...]: ...

    def put_challenge(self, session_id: str, purpose: str, challenge: bytes, expires_ns: int) -> None:
        """Remember a challenge in the place of an earlier one."""
        ...

    def take_challenge(self, session_id: str, purpose: str, now_ns: int) -> bytes | None:
        """The challenge, once; None where there is none or it has expired."""
        ...

    def replace_codes(self, user_id: str, codes: Sequence[str], told: Told) -> None:
        """New recovery codes, by hash; earlier ones are gone."""
        ...

    def codes_left(self, user_id: str) -> int: ...

    def remove(self, user_id: str, factor: Factor, credential_id: bytes | None, told: Told) -> None:
        """Remove a factor; raises ``BadInput`` where there is none such, or it is the last of a PM or Admin."""
        ...


class Throttles(Protocol):
    """Budgets of attempts, shared by all processes."""

    def admit(self, places: Sequence[tuple[str, Budget]], now_ns: int) -> int:
        """Charge each budget, or none; how long to wait, 0 = go on."""
        ...

    def give_back(self, places: Sequence[str], *, whole: Sequence[str]) -> None:
        """Give back a try that succeeded; those in ``whole`` are forgotten altogether."""
        ...


class Tallies(Protocol):
    """What happens again and again in a firm, counted."""

    def count(self, key: str, now_ns: int, window_ns: int) -> int | None:
        """Count one more within the window; outside of it how many wait to be recorded, this one left out."""
        ...

    def start(self, tally: Tally, waiting: int, events: Sequence[AuditEvent]) -> bool:
        """Begin a window with the entries of what waited; False, and nothing, where somebody else was faster."""
        ...

    def due(self, before_ns: int) -> tuple[tuple[Tally, int], ...]:
        """Windows that began before an instant, and how many wait in each."""
        ...

    def close(self, tally: Tally, waiting: int, events: Sequence[AuditEvent]) -> bool:
        """End a window with the entries of what waited; False, and nothing, where it has moved on."""
        ...


class Members(Protocol):
    """People of one firm."""

    def all(self) -> tuple[Member, ...]:
        """Everybody with a role in the firm, by login."""
        ...

    def get(self, user_id: str) -> Member | None: ...

    def create(self, user: User, grant: Grant, link_hash: str, link: OneTimeLink, told: Told) -> None:
        """A new person with a role and a link; raises ``BadInput`` where the login is taken."""
        ...

    def grant(self, user_id: str, grant: Grant, now_ns: int, told: Told) -> None:
        """Give a role, or change what it covers. Raises ``BadInput`` where the firm would lose its last Admin."""
        ...

    def revoke(self, user_id: str, roles: Sequence[Role], told: Told) -> None:
        """Take roles away. Raises ``BadInput`` where there is none such, or for the last Admin of the firm."""
        ...


class ApiTokens(Protocol):
    """API tokens of one firm."""

    def add(self, token: ApiToken, token_hash: str, told: Told) -> None: ...

    def all(self, user_id: str | None = None) -> tuple[ApiToken, ...]:
        """Tokens of a person, or of everybody in the firm, newest first."""
        ...

    def revoke(self, token_id: str, user_id: str | None, told: Told) -> None:
        """End a token (of a person, where one is named); raises ``BadInput`` where there is none such."""
        ...
