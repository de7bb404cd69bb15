"""API tokens: for programs, in one firm, for at most 90 days, and never more than their maker may."""

from __future__ import annotations

from dataclasses import dataclass, field

from regime_trading.core.access import Caller, Permission, Principal
from regime_trading.core.actors import plain_name
from regime_trading.core.api_tokens import (
    ID_BYTES,
    SECRET_BYTES,
    check_expiry,
    check_token,
    parse_token,
    token_from,
)
from regime_trading.core.errors import BadInput, NotThere
from regime_trading.core.event_payloads import AccessChanged
from regime_trading.core.sessions import is_touched, token_principal
from regime_trading.core.users import ApiToken
from regime_trading.services.people import By, People, change, record_change, required


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A new token; ``text`` is what its holder sends, shown this once."""

    token: ApiToken
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenService:
    """API tokens over the ports of :class:`~regime_trading.services.people.People`."""

    people: People

    def make(
        self,
        maker: Principal,
        firm_id: str,
        name: str,
        permissions: frozenset[Permission],
        accounts: frozenset[str] | None,
        expires_ns: int,
        now_ns: int,
    ) -> MadeToken:
        """A token of the person who asks.

        Parameters
        ----------
        maker : Principal
            A person with a session.
        firm_id : str
        name : str
            What they call it.
        permissions : frozenset of Permission
            All it may be used for.
        accounts : frozenset of str, optional
            Full names; None = those of its maker, as they are when it is used.
        expires_ns : int
            At most 90 days from now.
        now_ns : int

        Raises
        ------
        BadInput
            It would do more than its maker may, or live too long.
        NotDurable
            Nothing could be stored.
        """
        if maker.caller is not Caller.SESSION:
            raise BadInput(expected="a person with a session", found=maker.caller.value, where="token")
        check_token(maker, firm_id, permissions, accounts)
        account = required(self.people.logins.account(maker.user_id), maker.user_id)
        text = token_from(self.people.entropy(ID_BYTES), self.people.entropy(SECRET_BYTES))
        token = ApiToken(
            token_id=text.token_id,
            firm_id=firm_id,
            user_id=maker.user_id,
            name=plain_name(name.strip(), "name"),
            permissions=permissions,
            accounts=accounts,
            second_factor=maker.second_factor,
            created_ns=now_ns,
            expires_ns=check_expiry(now_ns, expires_ns),
        )
        token_hash = self.people.hashed("token", text.text)
        record_change(
            self.people,
            By.of(maker),
            account,
            (_change("token_created", token),),
            now_ns,
            lambda told: self.people.tokens(firm_id).add(token, token_hash, told),
            (firm_id,),
        )
        return MadeToken(token, text.text)

    def own(self, user_id: str, firm_id: str) -> tuple[ApiToken, ...]:
        """Tokens of a person in a firm, newest first, expired ones too."""
        return self.people.tokens(firm_id).all(user_id)

    def of_firm(self, firm_id: str) -> tuple[ApiToken, ...]:
        """Tokens of everybody in a firm, newest first, expired ones too."""
        return self.people.tokens(firm_id).all()

    def revoke(self, by: By, firm_id: str, token_id: str, now_ns: int, *, own: bool = True) -> None:
        """End a token: one's own, or (``own`` False, for an Admin) anybody's in the firm.

        Raises
        ------
        BadInput
            No such token.
        NotDurable
            Nothing could be stored.
        """
        store = self.people.tokens(firm_id)
        mine = by.user_id if own else None
        found = next((token for token in store.all(mine) if token.token_id == token_id), None)
        if found is None:
            raise NotThere("token", token_id, expected="a token of yours")
        account = required(self.people.logins.account(found.user_id), found.user_id)
        record_change(
            self.people,
            by,
            account,
            (_change("token_revoked", found),),
            now_ns,
            lambda told: store.revoke(token_id, mine, told),
            (firm_id,),
        )

    def principal_of_token(self, text: str, now_ns: int) -> Principal | None:
        """Whom a token stands for, with its maker's roles as they are now; None for nobody. The last use is written at
        most once a minute."""
        if parse_token(text) is None:
            return None
        found = self.people.logins.token(self.people.hashed("token", text))
        principal = None if found is None else token_principal(*found, now_ns)
        if found is None or principal is None:
            return None
        if not is_touched(found[0].used_ns, now_ns):
            self.people.logins.touch_token(found[0], now_ns)
        return principal


def _change(action: str, token: ApiToken) -> AccessChanged:
    return change(
        action,
        detail=token.token_id,
        accounts=None if token.accounts is None else tuple(sorted(token.accounts)),
        permissions=tuple(sorted(token.permissions)),
        expires_at_ns=str(token.expires_ns),
    )
