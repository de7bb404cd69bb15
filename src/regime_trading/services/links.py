"""One-time links: whoever holds one sets the password of its person, once, within 24 hours."""

from __future__ import annotations

from dataclasses import dataclass

from regime_trading.core.passwords import check_password
from regime_trading.core.users import NotIdentified, OneTimeLink, User
from regime_trading.services.people import By, People, change, record_change, required


@dataclass(frozen=True, slots=True)
class LinkService:
    """One-time links over the ports of :class:`~regime_trading.services.people.People`."""

    people: People

    def holder(self, secret: str, now_ns: int) -> User | None:
        """Whose link it is, while it is valid; it stays so."""
        found = self._valid(secret, now_ns)
        return None if found is None else found[1]

    def set_password(self, secret: str, password: str, now_ns: int) -> User:
        """Set the password of the link's person and use the link up; all their sessions end.

        Raises
        ------
        BadInput
            A password that is not accepted. The link stays valid.
        NotIdentified
            A link that was used, has expired, or is none.
        NotDurable
            Nothing could be stored; the link stays valid.
        """
        found = self._valid(secret, now_ns)
        if found is None:
            raise NotIdentified
        link, user = found
        made = self.people.passwords.hash(check_password(password, user.login, user.name))
        account = required(self.people.logins.account(user.user_id), user.user_id)
        removed = sorted(account.factors) if link.drops_factors else ()
        record_change(
            self.people,
            By(user.user_id),
            account,
            (change("password_set"), *(change("factor_removed", detail=factor.value) for factor in removed)),
            now_ns,
            lambda told: self.people.logins.use_link(
                self.people.hashed("link", secret[:200]), now_ns, made, told
            ),
        )
        return user

    def _valid(self, secret: str, now_ns: int) -> tuple[OneTimeLink, User] | None:
        found = self.people.logins.link(self.people.hashed("link", secret[:200]))
        if found is None or now_ns >= found[0].expires_ns or found[1].disabled_ns is not None:
            return None
        return found
