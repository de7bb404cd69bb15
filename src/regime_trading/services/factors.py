"""Second factors: enrolling and removing them.

It takes a fresh proof of identity; for the first factor a fresh login.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from regime_trading.core.access import is_fresh
from regime_trading.core.credentials import RECOVERY_BYTES, RECOVERY_CODES, recovery_code_from
from regime_trading.core.sessions import CHALLENGE_NS, awaits_factor, may_enrol
from regime_trading.core.users import (
    Account,
    Factor,
    NotIdentified,
    Passkey,
    ProofNeeded,
    Rotation,
    Session,
    Site,
    Told,
)
from regime_trading.services.identity import Opened
from regime_trading.services.people import By, People, change, record_change
from regime_trading.services.proofs import open_seed, recovery_hash
from regime_trading.services.sessions import alive, cookie_hash, presence_of

_REGISTER = "register"
_Commit = Callable[[Told], None]
_Store = Callable[[Rotation, Sequence[str], Told], None]


@dataclass(frozen=True, slots=True)
class TotpOffer:
    """A seed for an authenticator, and the URI of its QR code. It counts once a code of it was given."""

    seed: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The session after a factor was added, under another cookie. ``recovery_codes`` come with the first factor and are
    shown this once."""

    opened: Opened
    recovery_codes: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FactorView:
    """The factors of a person, as their own settings show them."""

    totp: bool
    passkeys: tuple[Passkey, ...]
    recovery_codes_left: int


@dataclass(frozen=True, slots=True)
class FactorService:
    """Second factors over the ports of :class:`~regime_trading.services.people.People`.

    Every method that changes something raises ``ProofNeeded`` without a fresh proof of identity, ``NotIdentified``
    where the session is over or the new factor does not verify, ``NotDurable`` where nothing could be stored.
    """

    people: People

    def of(self, user_id: str) -> FactorView:
        """What is enrolled."""
        factors = self.people.factors
        totp = factors.totp(user_id, confirmed=True) is not None
        return FactorView(totp, factors.passkeys(user_id), factors.codes_left(user_id))

    def offer_totp(self, cookie: str, now_ns: int) -> TotpOffer:
        """A new authenticator, which counts once :meth:`confirm_totp` has seen a code of it."""
        _, account = self._allowed(cookie, now_ns)
        user, seed = account.user, self.people.totp.seed()
        sealed = self.people.sealer.seal(seed.encode(), user.user_id.encode())
        self.people.factors.offer_totp(user.user_id, sealed, now_ns)
        return TotpOffer(seed, self.people.totp.uri(seed, user.login))

    def confirm_totp(self, cookie: str, code: str, now_ns: int) -> Enrolled:
        """Enrol the authenticator that was offered, in the place of another."""
        session, account = self._allowed(cookie, now_ns)
        user_id = account.user.user_id
        offered = self.people.factors.totp(user_id, confirmed=False)
        step = None
        if offered is not None:
            step = self.people.totp.step_of(open_seed(self.people, user_id, offered[0]), code, now_ns)
        if offered is None or step is None:
            raise NotIdentified
        sealed = offered[0]
        return self._added(
            cookie,
            session,
            account,
            Factor.TOTP,
            now_ns,
            lambda rotation, codes, told: self.people.factors.confirm_totp(
                rotation, sealed, step, codes, told
            ),
        )

    def passkey_creation(self, cookie: str, site: Site, now_ns: int) -> str:
        """Options for ``navigator.credentials.create()``, as JSON; their challenge counts once, for five minutes."""
        session, account = self._allowed(cookie, now_ns)
        challenge = self.people.entropy(32)
        self.people.factors.put_challenge(session.session_id, _REGISTER, challenge, now_ns + CHALLENGE_NS)
        known = self.people.factors.passkeys(account.user.user_id)
        return self.people.passkeys.registration(site, account.user, known, challenge)

    def add_passkey(self, cookie: str, answer: str, site: Site, name: str, now_ns: int) -> Enrolled:
        """Enrol a passkey by what ``navigator.credentials.create()`` returned, under a name of the person's choice."""
        session, account = self._allowed(cookie, now_ns)
        challenge = self.people.factors.take_challenge(session.session_id, _REGISTER, now_ns)
        if challenge is None:
            raise NotIdentified
        called = "".join(c for c in name if c.isprintable()).strip()[:80] or "passkey"
        user_id = account.user.user_id
        passkey = self.people.passkeys.registered(site, user_id, answer, challenge, called, now_ns)
        return self._added(
            cookie,
            session,
            account,
            Factor.PASSKEY,
            now_ns,
            lambda rotation, codes, told: self.people.factors.add_passkey(rotation, passkey, codes, told),
        )

    def remove(self, cookie: str, factor: Factor, now_ns: int, *, credential_id: bytes | None = None) -> None:
        """Remove the authenticator, or one passkey.

        Raises
        ------
        BadInput
            No such factor, or the last one of a PM or Admin.
        """
        account = self._proved(cookie, now_ns)
        user_id = account.user.user_id
        self._record(
            account,
            "factor_removed",
            factor.value,
            now_ns,
            lambda told: self.people.factors.remove(user_id, factor, credential_id, told),
        )

    def new_recovery_codes(self, cookie: str, now_ns: int) -> tuple[str, ...]:
        """Ten new recovery codes, shown this once; earlier ones are gone."""
        account = self._proved(cookie, now_ns)
        if not account.factors:
            raise ProofNeeded
        codes, hashes = self._codes(account.user.user_id)
        self._record(
            account,
            "factor_added",
            "recovery codes",
            now_ns,
            lambda told: self.people.factors.replace_codes(account.user.user_id, hashes, told),
        )
        return codes

    def _allowed(self, cookie: str, now_ns: int) -> tuple[Session, Account]:
        session, account = alive(self.people, cookie, now_ns)
        if not may_enrol(session, account, now_ns):
            raise ProofNeeded
        return session, account

    def _proved(self, cookie: str, now_ns: int) -> Account:
        session, account = alive(self.people, cookie, now_ns)
        if awaits_factor(session, account) or not is_fresh(session.stepped_up_ns, now_ns):
            raise ProofNeeded
        return account

    def _codes(self, user_id: str) -> tuple[tuple[str, ...], Sequence[str]]:
        made = (self.people.entropy(RECOVERY_BYTES) for _ in range(RECOVERY_CODES))
        codes = tuple(recovery_code_from(entropy) for entropy in made)
        return codes, [recovery_hash(self.people, user_id, code) for code in codes]

    def _added(
        self, cookie: str, session: Session, account: Account, factor: Factor, now_ns: int, store: _Store
    ) -> Enrolled:
        codes, hashes = ((), ()) if account.factors else self._codes(account.user.user_id)
        after = self.people.new_secret()
        proved = replace(session, second_factor=True, stepped_up_ns=now_ns, seen_ns=now_ns)
        rotation = Rotation(cookie_hash(self.people, cookie), cookie_hash(self.people, after), proved)
        self._record(
            account, "factor_added", factor.value, now_ns, lambda told: store(rotation, hashes, told)
        )
        enrolled = replace(account, factors=account.factors | {factor})
        return Enrolled(Opened(after, presence_of(proved, enrolled)), codes)

    def _record(self, account: Account, action: str, detail: str, now_ns: int, commit: _Commit) -> None:
        by = By(account.user.user_id)
        record_change(self.people, by, account, (change(action, detail=detail),), now_ns, commit)
