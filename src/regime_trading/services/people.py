"""What the services of identity share: the ports they work over, who acts, and how changes get into the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from regime_trading.core.access import Caller, Principal
from regime_trading.core.actors import ip_prefix
from regime_trading.core.audit import PLATFORM
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.credentials import ID_BYTES, SECRET_BYTES, Entropy, id_from, keyed_hash, secret_from
from regime_trading.core.errors import BadInput
from regime_trading.core.event_payloads import AccessChanged, LoggedIn, Payload
from regime_trading.core.ports import (
    Actors,
    ApiTokens,
    Factors,
    Logins,
    Members,
    PasskeyProtocol,
    Passwords,
    Sealer,
    Sessions,
    Tallies,
    Throttles,
    Totp,
)
from regime_trading.core.schemas import ActorType, AuditEvent
from regime_trading.core.users import Account, Told, User
from regime_trading.services.acts import Act, Acts, Who, place_of_firm, record_acts

UNKNOWN_PLACE = "unknown"  #: where an address is none; all such share one budget
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class People:
    """Ports of identity.

    Parameters
    ----------
    logins, sessions, factors, throttles
        What belongs to logins.
    members, tokens, tallies, actors : callable
        What belongs to a firm, by its id.
    passwords, totp, sealer, passkeys
        What proves an identity.
    acts : Acts
        What is recorded through; its actor is the operator at the machine.
    entropy : callable
        Random bytes, by their number.
    pepper : bytes
        Key of the server under which random secrets are hashed.
    """

    logins: Logins
    sessions: Sessions
    factors: Factors
    throttles: Throttles
    members: Callable[[str], Members]
    tokens: Callable[[str], ApiTokens]
    tallies: Callable[[str], Tallies]
    actors: Callable[[str], Actors]
    passwords: Passwords
    totp: Totp
    sealer: Sealer
    passkeys: PasskeyProtocol
    acts: Acts
    entropy: Entropy
    pepper: bytes

    def hashed(self, purpose: str, secret: str) -> str:
        """How a random secret is stored."""
        return keyed_hash(self.pepper, purpose, secret)

    def new_secret(self) -> str:
        """256 random bits as text."""
        return secret_from(self.entropy(SECRET_BYTES))

    def new_id(self, prefix: str) -> str:
        """``<prefix>-`` and 80 random bits."""
        return id_from(prefix, self.entropy(ID_BYTES))


@dataclass(frozen=True, slots=True)
class By:
    """Who makes a change: a person, perhaps by a token of theirs; without either the operator at the machine."""

    user_id: str = ""
    token_id: str = ""

    @classmethod
    def of(cls, principal: Principal) -> By:
        """Whoever asks."""
        if principal.caller is Caller.LOCAL:
            return cls()
        token = principal.session_id if principal.caller is Caller.TOKEN else ""
        return cls(principal.user_id, token)


OPERATOR = By()


@dataclass(frozen=True, slots=True)
class _At:
    at_ns: int

    def now_ns(self) -> int:
        return self.at_ns


def network(address: str) -> str:
    """The /24 or /48 of an address; ``unknown`` of what is none."""
    try:
        return ip_prefix(address)
    except BadInput:
        return UNKNOWN_PLACE


def shown(prefix: str) -> str:
    """A network as it is recorded; empty where it is not known."""
    return "" if prefix == UNKNOWN_PLACE else prefix


def required(account: Account | None, user_id: str) -> Account:
    """The account, if there is one.

    Raises
    ------
    BadInput
        There is none.
    """
    if account is None:
        raise BadInput(expected="a user", found="none", where=user_id)
    return account


def firms_of(account: Account) -> tuple[str, ...]:
    """Firms that are told of a person's logins; the platform where there is none."""
    return account.firms or (PLATFORM,)


def pseudonym(people: People, firm_id: str, user: User, now_ns: int) -> str:
    """A person's pseudonym in a firm, made where they have none."""
    email = user.login if "@" in user.login else ""
    return people.actors(firm_id).pseudonym(_subject(user.user_id), now_ns, name=user.name, email=email)


def actor(people: People, firm_id: str, by: By, now_ns: int) -> Who:
    """Who a change is recorded as made by."""
    if not by.user_id:
        return people.acts.actor(firm_id)
    return ActorType.USER, people.actors(firm_id).pseudonym(_subject(by.user_id), now_ns)


def record_change(
    people: People,
    by: By,
    account: Account,
    changes: Sequence[AccessChanged],
    now_ns: int,
    commit: Callable[[Told], T],
    firms: Sequence[str] | None = None,
) -> T:
    """Record what changed of a person in each of their firms (or ``firms``), together with the change itself.

    ``subject`` of the changes is filled in. Raises what ``commit`` raises, and ``NotDurable`` where the record cannot
    be written; nothing was changed then.
    """
    made = {}
    for firm_id in firms or firms_of(account):
        who, subject = actor(people, firm_id, by, now_ns), pseudonym(people, firm_id, account.user, now_ns)
        filled = (c.model_copy(update={"subject": subject, "by_token": by.token_id}) for c in changes)
        made[firm_id] = [Act(change, actor=who) for change in filled]
    return record_in(people.acts, made, now_ns, commit)


def record_login(
    people: People,
    account: Account,
    login: LoggedIn,
    session_id: str,
    now_ns: int,
    commit: Callable[[Told], T],
) -> T:
    """Record a login in each firm of its person, together with the session; raises as :func:`record_change`."""
    made = {}
    for firm_id in firms_of(account):
        who = (ActorType.USER, pseudonym(people, firm_id, account.user, now_ns))
        session_hash = sha256_hex(f"{firm_id}|{session_id}".encode())
        made[firm_id] = [Act(login.model_copy(update={"session_hash": session_hash}), actor=who)]
    return record_in(people.acts, made, now_ns, commit)


def record_in(acts: Acts, made: Mapping[str, Sequence[Act]], now_ns: int, commit: Callable[[Told], T]) -> T:
    """Record acts of any number of firms through one ``commit``: all of it, or nothing."""
    at = replace(acts, clock=_At(now_ns))

    def step(left: Sequence[str], events: tuple[AuditEvent, ...]) -> T:
        if not left:
            return commit(Told(events))
        first, rest = left[0], left[1:]
        return record_acts(at, place_of_firm(first), made[first], lambda more: step(rest, (*events, *more)))

    return step(sorted(made), ())


def change(action: str, **more: object) -> AccessChanged:
    """A change whose subject is filled in when it is recorded."""
    return AccessChanged.model_validate({"action": action, "subject": "-", **more})


def at_instant(acts: Acts, now_ns: int) -> Acts:
    """Acts that are recorded at an instant."""
    return replace(acts, clock=_At(now_ns))


def payload_json(payload: Payload) -> str:
    """A payload as it waits in a tally."""
    return payload.model_dump_json()


def _subject(user_id: str) -> str:
    return f"user:{user_id}"
