"""Coming in: logins, second steps, proofs of identity while one is in, and whom a cookie stands for.

Whatever goes wrong is :class:`~regime_trading.core.users.NotIdentified`, after the same work: a stranger cannot tell a
wrong password from a login that does not exist or is disabled. Time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from regime_trading.core.credentials import normal_login
from regime_trading.core.event_payloads import LoggedIn
from regime_trading.core.passwords import check_password, normal_password
from regime_trading.core.ports import ExternalIdentity
from regime_trading.core.sessions import (
    CHALLENGE_NS,
    awaits_factor,
    may_use_password,
)
from regime_trading.core.throttling import PER_LOGIN, PER_PREFIX, PER_PROOF, Budget
from regime_trading.core.users import (
    Account,
    NotIdentified,
    PasskeyAnswer,
    PasswordAgain,
    Proof,
    RecoveryCode,
    Rotation,
    Session,
    Site,
    Told,
    TooManyTries,
)
from regime_trading.services.people import By, People, change, network, record_change, record_login, shown
from regime_trading.services.proofs import method_of, spent_by
from regime_trading.services.sessions import Presence, alive, cookie_hash, presence_of
from regime_trading.services.tallied import record_failure

_LONGEST_PASSWORD = 1024  #: of what is looked at
_AUTHENTICATE = "authenticate"


@dataclass(frozen=True, slots=True)
class Opened:
    """A new cookie, and who is in with it. It is shown to its holder once and stored as a hash."""

    cookie: str = field(repr=False)
    presence: Presence


@dataclass(frozen=True, slots=True)
class Identity:
    """Logins and sessions over the ports of :class:`~regime_trading.services.people.People`."""

    people: People

    # --- coming in --------------------------------------------------------------------------------------------

    def login(self, login: str, password: str, address: str, now_ns: int, agent: str = "") -> Opened:
        """A session for a login and its password; it awaits the second factor where one is enrolled.

        Parameters
        ----------
        login, password : str
            As typed.
        address : str
            Where from; kept as /24 or /48.
        now_ns : int
        agent : str
            What the browser calls itself.

        Raises
        ------
        NotIdentified
            They do not fit, or nobody of that login is let in.
        TooManyTries
            From there, for now. Nothing was looked at.
        NotDurable
            The store cannot be written. Nobody is in.
        """
        name, prefix = normal_login(login), network(address)
        own = self.people.hashed("tries", f"login|{name or login[:200]}|{prefix}")
        shared = self.people.hashed("tries", f"prefix|{prefix}")
        account = None if name is None else self.people.logins.by_login(name)
        self._admit([(own, PER_LOGIN), (shared, PER_PREFIX)], account, "password", prefix, now_ns)
        enabled = account if account is not None and account.user.disabled_ns is None else None
        given = normal_password(password[:_LONGEST_PASSWORD])
        stored = None if enabled is None else enabled.password_hash
        if not self.people.passwords.verify(stored, given) or enabled is None or stored is None:
            record_failure(self.people, account, "password", prefix, now_ns)
            raise NotIdentified
        after = self.people.passwords.hash(given) if self.people.passwords.is_dated(stored) else stored
        opened = self._open(enabled, "password", prefix, agent, now_ns, (stored, after))
        self.people.throttles.give_back([shared], whole=[own])
        return opened

    def login_external(
        self, identity: ExternalIdentity, address: str, now_ns: int, agent: str = ""
    ) -> Opened:
        """A session for whom an identity provider vouches, if that identity was linked to a user; raises as
        :meth:`login`. A second factor enrolled here is awaited all the same."""
        account = self.people.logins.by_external(identity.issuer, identity.subject)
        prefix = network(address)
        if account is None or account.user.disabled_ns is not None or not identity.email_verified:
            record_failure(self.people, account, "external", prefix, now_ns)
            raise NotIdentified
        return self._open(account, "external", prefix, agent, now_ns, None)

    def second_step(self, cookie: str, proof: Proof, address: str, now_ns: int) -> Opened:
        """The session with its second factor proved (TOTP, passkey, recovery code), under another cookie.

        Raises
        ------
        NotIdentified
            The proof does not hold or was used before, or the session does not await one.
        TooManyTries, NotDurable
            As :meth:`login`.
        """
        session, account = alive(self.people, cookie, now_ns)
        if not awaits_factor(session, account) or isinstance(proof, PasswordAgain):
            raise NotIdentified
        guessed = not isinstance(proof, PasskeyAnswer)
        place = f"factor|{account.user.user_id}" if guessed else f"passkey|{session.session_id}"
        method = f"{session.method}+{method_of(proof)}"
        return self._prove(cookie, session, account, proof, place, method, network(address), now_ns)

    def step_up(self, cookie: str, proof: Proof, address: str, now_ns: int) -> Opened:
        """The session with identity proved again, under another cookie: by TOTP or passkey, or by the password where no
        factor is enrolled and no role calls for one; raises as :meth:`second_step`."""
        session, account = alive(self.people, cookie, now_ns)
        by_password = isinstance(proof, PasswordAgain)
        if awaits_factor(session, account) or isinstance(proof, RecoveryCode):
            raise NotIdentified
        if by_password and not may_use_password(account):
            raise NotIdentified
        place, method = f"step|{session.session_id}", f"step_up+{method_of(proof)}"
        return self._prove(cookie, session, account, proof, place, method, network(address), now_ns)

    def passkey_options(self, cookie: str, site: Site, now_ns: int) -> str:
        """Options for ``navigator.credentials.get()``, as JSON; their challenge counts once, for five minutes, in this
        session. Raises ``NotIdentified`` where the session is over or no passkey is enrolled."""
        session, account = alive(self.people, cookie, now_ns)
        known = self.people.factors.passkeys(account.user.user_id)
        if not known:
            raise NotIdentified
        challenge = self.people.entropy(32)
        expires_ns = now_ns + CHALLENGE_NS
        self.people.factors.put_challenge(session.session_id, _AUTHENTICATE, challenge, expires_ns)
        return self.people.passkeys.authentication(site, known, challenge)

    def change_password(self, cookie: str, old: str, new: str, address: str, now_ns: int) -> Opened:
        """Another password, for whoever knows the one before; every other session ends, this one gets another cookie.

        Raises
        ------
        BadInput
            A password that is not accepted.
        NotIdentified, TooManyTries, NotDurable
            As :meth:`second_step`.
        """
        session, account = alive(self.people, cookie, now_ns)
        if awaits_factor(session, account):
            raise NotIdentified
        accepted = check_password(new, account.user.login, account.user.name)
        place = self.people.hashed("tries", f"step|{session.session_id}")
        self._admit([(place, PER_PROOF)], account, "password", network(address), now_ns)
        if not self.people.passwords.verify(account.password_hash, normal_password(old[:_LONGEST_PASSWORD])):
            record_failure(self.people, account, "password", network(address), now_ns)
            raise NotIdentified
        made, after = self.people.passwords.hash(accepted), self.people.new_secret()
        rotation = Rotation(
            cookie_hash(self.people, cookie),
            cookie_hash(self.people, after),
            replace(session, seen_ns=now_ns),
        )
        record_change(
            self.people,
            By(account.user.user_id),
            account,
            (change("password_set"),),
            now_ns,
            lambda told: self.people.logins.set_password(account, made, rotation, told),
        )
        self.people.throttles.give_back([], whole=[place])
        return Opened(after, presence_of(rotation.session, account))

    # --- inside -----------------------------------------------------------------------------------------------

    def _admit(
        self, places: list[tuple[str, Budget]], account: Account | None, method: str, prefix: str, now_ns: int
    ) -> None:
        wait_ns = self.people.throttles.admit(places, now_ns)
        if wait_ns:
            record_failure(self.people, account, method, prefix, now_ns)
            raise TooManyTries(wait_ns)

    def _open(
        self,
        account: Account,
        method: str,
        prefix: str,
        agent: str,
        now_ns: int,
        password: tuple[str, str] | None,
    ) -> Opened:
        session = Session(
            session_id=self.people.new_id("ses"),
            user_id=account.user.user_id,
            created_ns=now_ns,
            seen_ns=now_ns,
            method=method,
            stepped_up_ns=now_ns if password is not None and may_use_password(account) else None,
            ip_prefix=prefix,
            agent="".join(c for c in agent[:200] if c.isprintable()),
        )
        cookie = self.people.new_secret()

        def store(told: Told) -> None:
            self.people.sessions.open(cookie_hash(self.people, cookie), session, password, told)

        if account.factors:  # in with the second step, and recorded then
            store(Told())
        else:
            done = LoggedIn(outcome="succeeded", method=method, ip_prefix=shown(prefix))
            record_login(self.people, account, done, session.session_id, now_ns, store)
        return Opened(cookie, presence_of(session, account))

    def _prove(
        self,
        cookie: str,
        session: Session,
        account: Account,
        proof: Proof,
        place: str,
        method: str,
        prefix: str,
        now_ns: int,
    ) -> Opened:
        key, after = self.people.hashed("tries", place), self.people.new_secret()
        self._admit([(key, PER_PROOF)], account, method, prefix, now_ns)
        factor = session.second_factor or not isinstance(proof, PasswordAgain)
        proved = replace(session, second_factor=factor, stepped_up_ns=now_ns, seen_ns=now_ns)
        if awaits_factor(session, account):
            proved = replace(proved, method=method)
        rotation = Rotation(cookie_hash(self.people, cookie), cookie_hash(self.people, after), proved)
        done = LoggedIn(outcome="succeeded", method=method, ip_prefix=shown(prefix))
        try:
            spent = spent_by(self.people, session, account, proof, now_ns)
            record_login(
                self.people,
                account,
                done,
                session.session_id,
                now_ns,
                lambda told: self.people.sessions.prove(rotation, spent, told),
            )
        except NotIdentified:
            record_failure(self.people, account, method, prefix, now_ns)
            raise
        self.people.throttles.give_back([], whole=[key])
        return Opened(after, presence_of(proved, account))
