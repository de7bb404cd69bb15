"""What happens again and again (failed logins, denials): counted within a minute, and recorded once with its number.

The first of a kind is recorded at once. Those that follow within a minute are counted, and recorded with the next one
after it, or by :func:`record_tallies`, which whoever serves calls about once a minute.
"""

from __future__ import annotations

from collections.abc import Mapping

from regime_trading.core.access import Answer, Denial, Principal
from regime_trading.core.actors import masked_text
from regime_trading.core.audit import PLATFORM
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.event_payloads import Denied, LoggedIn
from regime_trading.core.schemas import ActorType, EventType
from regime_trading.core.users import Account, Tally
from regime_trading.services.acts import Act, Who, place_of_firm, record_acts
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

TRIES = 20  #: times that somebody else may begin the window of a tally first
WINDOW_NS = 60 * 1_000_000_000
NAME_LENGTH = 80  #: of what was asked for, in the record
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
        _tally(people, firm_id, who, failed, failed, now_ns)


def record_denied(people: People, principal: Principal, denial: Denial, now_ns: int) -> None:
    """Record that somebody asked for what they may not do, or for what is not there for them: in the firm it was asked
    in where that is theirs, else in each of theirs; on the platform's chain of who has none. Never in another firm's,
    and without a look at what is there, so that what exists and what does not leave the same trace.

    Raises
    ------
    NotDurable
        The record could not be written.
    """
    for firm_id in _firms_told(principal, denial.target.firm_id):
        who = actor(people, firm_id, By.of(principal), now_ns)
        _tally(people, firm_id, who, *_denied(denial), now_ns, denial.request_id)


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
    people: People,
    firm_id: str,
    who: Who,
    payload: LoggedIn | Denied,
    same: LoggedIn | Denied,
    now_ns: int,
    request_id: str = "",
) -> None:
    """Record, or count, what has ``same`` in common with others."""
    common = payload_json(same)
    key = sha256_hex(f"{payload.kind.value}|{who[0].value}:{who[1]}|{common}".encode())
    store = people.tallies(firm_id)
    tally = Tally(key, now_ns, payload.kind.value, who[0].value, who[1], common)
    for _ in range(TRIES):
        waiting = store.count(key, now_ns, WINDOW_NS)
        if waiting is None:
            return
        said = payload.model_copy(update={"count": waiting + 1})
        act = Act(said, actor=who, correlation_id=request_id and f"request-{request_id}")
        if record_acts(
            at_instant(people.acts, now_ns),
            place_of_firm(firm_id),
            (act,),
            lambda events, w=waiting: store.start(tally, w, events),  # type: ignore[misc]
        ):
            return
    raise NotDurable(f"{payload.kind.value}: somebody else was faster {TRIES} times")


def _firms_told(principal: Principal, firm_id: str) -> tuple[str, ...]:
    return (firm_id,) if firm_id in principal.firms else principal.firms or (PLATFORM,)


def _denied(denial: Denial) -> tuple[Denied, Denied]:
    """A denial, and what it has in common with those it is counted with: names somebody tries out are one and the
    same."""
    said = {
        "permission": "" if denial.permission is None else denial.permission.value,
        "answer": denial.answer.value,
        "route": denial.route[:200],
        "what": denial.what,
    }
    common = _common(said, "" if denial.answer is Answer.UNKNOWN else denial.target.account or "")
    return common.model_copy(update={"asked": _shown_name(denial.name)}), common


def _common(said: dict[str, str], account: str) -> Denied:
    """A denial; a name that is none is left out."""
    try:
        return Denied.model_validate(said | {"account": account})
    except ValueError:
        if account:
            return _common(said, "")
        raise BadInput(expected="a denial", found="another answer", where=said["answer"]) from None


def _shown_name(name: str) -> str:
    """What somebody called a thing, as it may stay in the record for ever."""
    said = masked_text(name)[0]
    return said if len(said) <= NAME_LENGTH else said[: NAME_LENGTH - 1] + "…"
