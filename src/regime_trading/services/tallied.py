"""What happens again and again (failed logins, denials): counted within a minute, and recorded once with its number.

The first of a kind is recorded at once. Those that follow within a minute are counted, and recorded with the next one
after it, or by :func:`record_tallies`, which whoever serves calls about once a minute.
"""

from __future__ import annotations

from collections.abc import Mapping

from regime_trading.core.access import Answer, Permission, Principal, Target
from regime_trading.core.audit import PLATFORM
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.event_payloads import Denied, LoggedIn
from regime_trading.core.schemas import ActorType, EventType
from regime_trading.core.users import Account, Tally
from regime_trading.services.acts import TRIES, Act, Who, place_of_firm, record_acts
from regime_trading.services.people import (
    By,
    People,
    actor,
    at_instant,
    firms_of,
    payload_json,
    pseudonym,
    shown,
)

WINDOW_NS = 60 * 1_000_000_000
STRANGER: Who = (
    ActorType.SERVICE,
    "login",
)  #: who a failed login is recorded as made by where its login is nobody's
_MODELS: Mapping[EventType, type[LoggedIn] | type[Denied]] = {
    EventType.LOGIN: LoggedIn,
    EventType.DENIED: Denied,
}


def record_failure(people: People, account: Account | None, method: str, prefix: str, now_ns: int) -> None:
    """Record a failed login in each firm of its person; on the platform's chain where the login is nobody's.

    Raises
    ------
    NotDurable
        The record could not be written.
    """
    failed = LoggedIn(outcome="failed", method=method, ip_prefix=shown(prefix))
    for firm_id in (PLATFORM,) if account is None else firms_of(account):
        who = STRANGER
        if account is not None:
            who = (ActorType.USER, pseudonym(people, firm_id, account.user, now_ns))
        _tally(people, firm_id, who, failed, payload_json(failed), now_ns)


def record_denied(
    people: People,
    principal: Principal,
    permission: Permission,
    target: Target,
    answer: Answer,
    route: str,
    now_ns: int,
) -> None:
    """Record that somebody asked for what they may not do, in their firm; on the platform's chain where the firm is not
    theirs.

    Parameters
    ----------
    people : People
    principal : Principal
    permission : Permission
    target : Target
    answer : Answer
        What :func:`~regime_trading.core.access.may` said.
    route : str
        The route's template (``POST /v1/runs``), never a path with what somebody typed in it.
    now_ns : int

    Raises
    ------
    NotDurable
        The record could not be written.
    """
    firm_id = target.firm_id if target.firm_id in principal.firms else PLATFORM
    said = {"permission": permission.value, "answer": answer.value, "route": route[:200]}
    denied = _denied(said, target.account or "")
    unknown = answer is Answer.UNKNOWN  # names somebody tries out are one and the same
    same = payload_json(_denied(said, "") if unknown else denied)
    _tally(people, firm_id, actor(people, firm_id, By.of(principal), now_ns), denied, same, now_ns)


def record_tallies(people: People, firm_id: str, now_ns: int) -> int:
    """Record what was counted in windows that are over; how many entries were written.

    Raises
    ------
    NotDurable
        The record could not be written.
    """
    store, written = people.tallies(firm_id), 0
    for tally, waiting in store.due(now_ns - WINDOW_NS):
        if not waiting:
            store.close(tally, 0, ())
            continue
        payload = _MODELS[EventType(tally.kind)].model_validate_json(tally.payload)
        act = Act(
            payload.model_copy(update={"count": waiting}), actor=(ActorType(tally.actor_type), tally.actor_id)
        )
        written += record_acts(
            at_instant(people.acts, now_ns),
            place_of_firm(firm_id),
            (act,),
            lambda events, t=tally, w=waiting: store.close(t, w, events),  # type: ignore[misc]
        )
    return written


def _tally(
    people: People, firm_id: str, who: Who, payload: LoggedIn | Denied, same: str, now_ns: int
) -> None:
    key = sha256_hex(f"{payload.kind.value}|{who[0].value}:{who[1]}|{same}".encode())
    store = people.tallies(firm_id)
    tally = Tally(key, now_ns, payload.kind.value, who[0].value, who[1], payload_json(payload))
    for _ in range(TRIES):
        waiting = store.count(key, now_ns, WINDOW_NS)
        if waiting is None:
            return
        act = Act(payload.model_copy(update={"count": waiting + 1}), actor=who)
        if record_acts(
            at_instant(people.acts, now_ns),
            place_of_firm(firm_id),
            (act,),
            lambda events, w=waiting: store.start(tally, w, events),  # type: ignore[misc]
        ):
            return
    raise NotDurable(f"{payload.kind.value}: somebody else was faster {TRIES} times")


def _denied(said: dict[str, str], account: str) -> Denied:
    """A denial; a name that is none is left out."""
    try:
        return Denied.model_validate(said | {"account": account})
    except ValueError:
        if account:
            return _denied(said, "")
        raise BadInput(expected="a denial", found="another answer", where=said["answer"]) from None
