"""People and roles of a firm. Whether somebody may do this is asked before (``core.access.may``).

A firm acts on its own members only. A login that works for several firms belongs to none of them: their Admins give and
take roles, but only the operator of the server disables it or lets it set another password.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from regime_trading.core.access import Grant, Role
from regime_trading.core.actors import plain_name
from regime_trading.core.audit import require_account, require_ident
from regime_trading.core.credentials import require_login
from regime_trading.core.errors import BadInput, NotThere
from regime_trading.core.event_payloads import AccessChanged
from regime_trading.core.sessions import LINK_NS
from regime_trading.core.users import Account, Member, OneTimeLink, Told, User
from regime_trading.services.people import By, People, change, record_change, required
from regime_trading.services.sessions import SessionService


@dataclass(frozen=True, slots=True)
class Created:
    """A new person, and the secret of the link with which they set their first password within 24 hours."""

    user: User
    link: str = field(repr=False)


Look = Callable[[Member], None]  #: at somebody as they are when they are changed; refuses by raising


def as_they_are(_member: Member) -> None:
    """Whoever changes somebody takes them as they are."""


@dataclass(frozen=True, slots=True)
class MemberService:
    """People of firms over the ports of :class:`~regime_trading.services.people.People`.

    ``firm_id`` None stands for the operator of the server, where it may be left out. Methods that change something
    raise ``NotDurable`` where nothing could be stored.
    """

    people: People

    def members(self, firm_id: str) -> tuple[Member, ...]:
        """Everybody with a role in a firm, by login."""
        return self.people.members(firm_id).all()

    def member(self, firm_id: str, user_id: str) -> Member:
        """Somebody with a role in a firm; ``BadInput`` where there is none."""
        return _member(self.people.members(firm_id).get(user_id), user_id)

    def create(self, by: By, login: str, name: str, grant: Grant, now_ns: int) -> Created:
        """A new person with a first role in a firm.

        Raises
        ------
        BadInput
            A login that is taken or none, no name, or a role over accounts of another firm.
        """
        _require_grant(grant)
        user_id, secret = self.people.new_id("usr"), self.people.new_secret()
        user = User(user_id, require_login(login), plain_name(name.strip(), "name"), now_ns)
        link = OneTimeLink(user_id, now_ns, now_ns + LINK_NS)
        link_hash = self.people.hashed("link", secret)
        if self.people.logins.by_login(user.login) is not None:
            raise BadInput(expected="a login that is free", found="one that is taken", where=user.login)
        record_change(
            self.people,
            by,
            Account(user, None, (grant,), frozenset()),
            (change("user_created"), _granted(grant), _link_made(link)),
            now_ns,
            lambda told: self.people.members(grant.firm_id).create(user, grant, link_hash, link, told),
        )
        return Created(user, secret)

    def grant(self, by: By, user_id: str, grant: Grant, now_ns: int, look: Look = as_they_are) -> None:
        """Give a member a role, or change what one covers. The operator gives it to anybody.

        ``look`` is shown the member as they are before; nothing of them changes between that and the change.

        Raises
        ------
        BadInput
            Oneself, nobody of this firm, accounts of another, or the firm would lose its last Admin.
        """
        _require_grant(grant)
        store = self.people.members(grant.firm_id)
        if by.user_id == user_id:
            raise BadInput(
                expected="another person: nobody changes their own roles", found="yourself", where=user_id
            )
        if by.user_id and store.get(user_id) is None:
            raise NotThere("user", user_id, expected="a member of the firm")
        account = required(self.people.logins.account(user_id), user_id)
        record_change(
            self.people,
            by,
            account,
            (_granted(grant),),
            now_ns,
            self._seen(grant.firm_id, user_id, look, lambda told: store.grant(user_id, grant, now_ns, told)),
            (grant.firm_id,),
        )

    def revoke(
        self,
        by: By,
        firm_id: str,
        user_id: str,
        now_ns: int,
        roles: Sequence[Role] | None = None,
        look: Look = as_they_are,
    ) -> None:
        """Take roles in a firm from a member; all of them where none are named. ``look`` as in :meth:`grant`.

        Raises
        ------
        BadInput
            Nobody of this firm, a role they do not have, or the last Admin.
        """
        store = self.people.members(firm_id)
        member = _member(store.get(user_id), user_id)
        gone = sorted({grant.role for grant in member.grants} if roles is None else set(roles))
        account = required(self.people.logins.account(user_id), user_id)
        record_change(
            self.people,
            by,
            account,
            tuple(change("role_revoked", role=role.value) for role in gone),
            now_ns,
            self._seen(firm_id, user_id, look, lambda told: store.revoke(user_id, gone, told)),
            (firm_id,),
        )

    def disable(
        self, by: By, firm_id: str | None, user_id: str, now_ns: int, look: Look = as_they_are
    ) -> None:
        """Let nothing of a person in any more; all their sessions and links end. ``look`` as in :meth:`grant`.

        Raises
        ------
        BadInput
            Nobody of this firm, a login that others rely on, or the last Admin of a firm.
        """
        self._switch(by, firm_id, user_id, now_ns, look, disabled_ns=now_ns)

    def enable(
        self, by: By, firm_id: str | None, user_id: str, now_ns: int, look: Look = as_they_are
    ) -> None:
        """Let a person in again; raises as :meth:`disable`."""
        self._switch(by, firm_id, user_id, now_ns, look, disabled_ns=None)

    def reset_link(
        self, by: By, firm_id: str | None, user_id: str, now_ns: int, *, drops_factors: bool = False
    ) -> str:
        """Secret of a link with which a person sets a password within 24 hours; earlier links end.

        ``drops_factors`` (the operator's alone): second factors and recovery codes go with it, for a lost device.

        Raises
        ------
        BadInput
            Nobody of this firm, or a login that others rely on.
        """
        if drops_factors and by.user_id:
            raise BadInput(expected="the operator of the server", found="another", where="drops_factors")
        account = self._own(firm_id, user_id)
        secret = self.people.new_secret()
        link = OneTimeLink(user_id, now_ns, now_ns + LINK_NS, drops_factors)
        link_hash = self.people.hashed("link", secret)
        record_change(
            self.people,
            by,
            account,
            (_link_made(link),),
            now_ns,
            lambda told: self.people.logins.add_link(link_hash, link, firm_id, told),
        )
        return secret

    def end_sessions(self, by: By, firm_id: str | None, user_id: str, now_ns: int) -> int:
        """End all sessions of a person; how many. Raises as :meth:`disable`."""
        self._own(firm_id, user_id)
        return SessionService(self.people).end(by, user_id, now_ns)

    def _switch(
        self, by: By, firm_id: str | None, user_id: str, now_ns: int, look: Look, *, disabled_ns: int | None
    ) -> None:
        action = "user_enabled" if disabled_ns is None else "user_disabled"
        record_change(
            self.people,
            by,
            self._own(firm_id, user_id),
            (change(action),),
            now_ns,
            self._seen(
                firm_id,
                user_id,
                look,
                lambda told: self.people.logins.set_disabled(user_id, disabled_ns, firm_id, told),
            ),
        )

    def _seen(
        self, firm_id: str | None, user_id: str, look: Look, commit: Callable[[Told], None]
    ) -> Callable[[Told], None]:
        """``commit`` after a look at the member. Whoever else changes them in between takes the place of our entry in
        the record of the firm, and the look is repeated."""

        def looked(told: Told) -> None:
            member = None if firm_id is None else self.people.members(firm_id).get(user_id)
            if member is not None:
                look(member)
            commit(told)

        return looked

    def _own(self, firm_id: str | None, user_id: str) -> Account:
        """A person on whose login the firm (the operator where None) may act."""
        if firm_id is not None:
            _member(self.people.members(firm_id).get(user_id), user_id)
        account = required(self.people.logins.account(user_id), user_id)
        if firm_id is not None and account.firms != (firm_id,):
            raise BadInput(
                expected="a member whose login is the firm's own (the operator of the server can do it)",
                found="another",
                where=user_id,
            )
        return account


def _member(found: Member | None, user_id: str) -> Member:
    if found is None:
        raise NotThere("user", user_id, expected="a member of the firm")
    return found


def _require_grant(grant: Grant) -> None:
    require_ident(grant.firm_id, "firm_id")
    if grant.accounts is not None and not grant.accounts:
        raise BadInput(expected="at least one account, or all of the firm", found="none", where="accounts")
    for name in sorted(grant.accounts or ()):
        firm, _, account = name.partition("/")
        if firm != grant.firm_id:
            raise NotThere("account", name, expected=f"an account of firm {grant.firm_id}")
        require_account(firm, account)


def _granted(grant: Grant) -> AccessChanged:
    accounts = None if grant.accounts is None else tuple(sorted(grant.accounts))
    return change("role_granted", role=grant.role.value, accounts=accounts, redact=grant.redact)


def _link_made(link: OneTimeLink) -> AccessChanged:
    detail = "drops factors" if link.drops_factors else ""
    return change("link_made", expires_at_ns=str(link.expires_ns), detail=detail)
