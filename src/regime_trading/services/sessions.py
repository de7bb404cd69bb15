"""Being in: whom a cookie stands for, by what is stored now, and how sessions end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regime_trading.core.access import Principal
from regime_trading.core.event_payloads import LoggedIn
from regime_trading.core.sessions import awaits_factor, is_alive, is_touched, session_principal
from regime_trading.core.users import Account, Factor, NotIdentified, Session, Told, User
from regime_trading.services.people import By, People, change, record_change, record_login, shown


@dataclass(frozen=True, slots=True)
class Presence:
    """A person who is in.

    ``factors`` are those enrolled; while ``awaits_factor`` one of them must be proved before anything is permitted.
    """

    session: Session
    user: User
    factors: frozenset[Factor]
    awaits_factor: bool
    principal: Principal


@dataclass(frozen=True, slots=True)
class SessionService:
    """Sessions over the ports of :class:`~regime_trading.services.people.People`."""

    people: People

    def presence(self, cookie: str, now_ns: int) -> Presence | None:
        """Who is in with a cookie; None for nobody. The last use is written at most once a minute."""
        try:
            session, account = alive(self.people, cookie, now_ns)
        except NotIdentified:
            return None
        if not is_touched(session.seen_ns, now_ns):
            self.people.sessions.touch(cookie_hash(self.people, cookie), now_ns)
        return presence_of(session, account)

    def principal_of_session(self, cookie: str, now_ns: int) -> Principal | None:
        """Whom a cookie stands for, with roles as they are now; None for nobody."""
        found = self.presence(cookie, now_ns)
        return None if found is None else found.principal

    def principals(self, session_ids: Sequence[str], now_ns: int) -> dict[str, Principal]:
        """Whom sessions stand for, with roles as they are now, by session id; those that are over are left out."""
        found = self.people.sessions.by_ids(session_ids)
        return {
            session.session_id: session_principal(session, account)
            for session, account in found
            if is_alive(session, account, now_ns)
        }

    def all(self, user_id: str, now_ns: int) -> tuple[Session, ...]:
        """Sessions of a person that count now, newest first."""
        account = self.people.logins.account(user_id)
        if account is None:
            return ()
        return tuple(s for s in self.people.sessions.of(user_id) if is_alive(s, account, now_ns))

    def logout(self, cookie: str, now_ns: int) -> None:
        """End a session; nothing happens where it is over."""
        found = self.people.sessions.get(cookie_hash(self.people, cookie))
        if found is None:
            return
        session, account = found

        def end(told: Told) -> None:
            self.people.sessions.end(session.user_id, [session.session_id], "", told)

        if awaits_factor(session, account):  # nobody was told that it began
            end(Told())
            return
        ended = LoggedIn(outcome="ended", method="logout", ip_prefix=shown(session.ip_prefix))
        record_login(self.people, account, ended, session.session_id, now_ns, end)

    def end(
        self, by: By, user_id: str, now_ns: int, *, session_ids: Sequence[str] | None = None, keep: str = ""
    ) -> int:
        """End sessions of a person (all where none are named) but the one called ``keep``; how many ended."""
        account = self.people.logins.account(user_id)
        if account is None:
            return 0
        return record_change(
            self.people,
            by,
            account,
            (change("sessions_revoked"),),
            now_ns,
            lambda told: self.people.sessions.end(user_id, session_ids, keep, told),
        )


def cookie_hash(people: People, cookie: str) -> str:
    """How a cookie is stored."""
    return people.hashed("session", cookie)


def alive(people: People, cookie: str, now_ns: int) -> tuple[Session, Account]:
    """The session of a cookie that counts now, and whose it is.

    Raises
    ------
    NotIdentified
        There is none.
    """
    found = people.sessions.get(cookie_hash(people, cookie))
    if found is None or not is_alive(*found, now_ns):
        raise NotIdentified
    return found


def presence_of(session: Session, account: Account) -> Presence:
    """Who is in with a session."""
    waits = awaits_factor(session, account)
    return Presence(session, account.user, account.factors, waits, session_principal(session, account))
