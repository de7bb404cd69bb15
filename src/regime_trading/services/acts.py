"""Acts of people and services: the one way by which anything outside the decision loop gets into the record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from regime_trading.core.audit import (
    ADMIN_ENV,
    FIRM_ACCOUNT,
    PLATFORM,
    EventHeader,
    audit_event,
    chain_id,
)
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.event_payloads import Payload
from regime_trading.core.events import payload_of, rationale_of
from regime_trading.core.instants import EARLIEST_NS
from regime_trading.core.ports import AuditLog, Clock, RecordHistory
from regime_trading.core.schemas import ActorType, AuditEvent, Mode, Receipt

_BY_DAY = "d"  #: in the place of a run; the chains it is used for are named without
T = TypeVar("T")
Who = tuple[ActorType, str]


@dataclass(frozen=True, slots=True)
class Acts:
    """What acts are recorded through.

    Parameters
    ----------
    audit : callable
        Write-ahead record of a firm, by its id.
    actor : callable
        Who acts, by firm: a person by pseudonym, or a service.
    history : callable
        Everything recorded of a firm, by its id.
    clock : Clock
    code_version : str
    """

    audit: Callable[[str], AuditLog]
    actor: Callable[[str], Who]
    history: Callable[[str], RecordHistory]
    clock: Clock
    code_version: str


@dataclass(frozen=True, slots=True)
class Place:
    """The chain an act belongs to. ``run_id`` may be empty outside dry runs: it is then the UTC day of recording."""

    firm_id: str
    account_id: str
    env: str
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """One act: what, and the codes and ids around it. ``actor`` None = whoever :class:`Acts` says."""

    payload: Payload
    actor: Who | None = None
    rule_id: str = ""
    config_hash: str = ""
    reason_codes: tuple[str, ...] = ()
    correlation_id: str = ""
    causation_id: str = ""


def place_of_firm(firm_id: str) -> Place:
    """Chain of a firm's own acts, or of the platform's (``_platform``)."""
    return Place(firm_id, PLATFORM if firm_id == PLATFORM else FIRM_ACCOUNT, ADMIN_ENV)


def record_act(acts: Acts, place: Place, act: Act) -> Receipt:
    """Record one act durably and return its receipt; raises as :func:`record_acts`."""
    return record_acts(acts, place, (act,), lambda events: acts.audit(place.firm_id).append(events)[0])


def record_acts(
    acts: Acts, place: Place, made: Sequence[Act], commit: Callable[[Sequence[AuditEvent]], T]
) -> T:
    """Record consecutive acts through ``commit``, which makes them durable together with what they are about.

    Sequence numbers follow the head of the chain without gaps; where somebody else was faster, the acts are built
    again after theirs, in a turn of their own (:meth:`AuditLog.turn`). ``commit`` may therefore be called twice, and
    does nothing but read and store. The same act of the same actor at the same nanosecond counts once. Where the clock
    stands before the last entry, the event carries that entry's time and its own reading as ``ts_recorded_ns``.

    Raises
    ------
    BadInput
        A payload that does not fit its model, or an illegal place.
    NotDurable
        The record could not be written. Nothing was.
    """
    if place.env == Mode.DRY_RUN and not place.run_id:
        raise BadInput(expected="the run of a dry run's chain", found="none", where="run_id")
    audit = acts.audit(place.firm_id)
    chain = chain_id(place.env, place.run_id or _BY_DAY, place.firm_id, place.account_id)
    seq, events = _following(acts, audit, chain, place, made)
    try:
        return commit(events)
    except NotDurable:
        if audit.head(chain)[0] == seq:
            raise
    with audit.turn():
        return commit(_following(acts, audit, chain, place, made)[1])


def _following(
    acts: Acts, audit: AuditLog, chain: str, place: Place, made: Sequence[Act]
) -> tuple[int, list[AuditEvent]]:
    """The head of a chain, and the acts as its next entries."""
    now_ns = acts.clock.now_ns()
    seq, _ = audit.head(chain)
    at_ns = max(now_ns, _last_ns(audit, chain, seq))
    run_id = place.run_id or f"d-{_day(at_ns)}"
    return seq, [_event(acts, place, run_id, seq + 1 + n, at_ns, now_ns, act) for n, act in enumerate(made)]


def _event(acts: Acts, place: Place, run_id: str, seq: int, at_ns: int, now_ns: int, act: Act) -> AuditEvent:
    actor = act.actor or acts.actor(place.firm_id)
    header = EventHeader(
        firm_id=place.firm_id,
        account_id=place.account_id,
        run_id=run_id,
        env=place.env,
        seq=seq,
        ts_event_ns=at_ns,
        event_type=act.payload.kind,
        actor_type=actor[0],
        actor_id=actor[1],
        feature_set_version="",
        config_hash=act.config_hash,
        code_version=acts.code_version,
        rule_id=act.rule_id,
        rationale=rationale_of(act.payload),
        reason_codes=act.reason_codes,
        correlation_id=act.correlation_id,
        causation_id=act.causation_id,
        ts_recorded_ns=at_ns if place.env == Mode.DRY_RUN else now_ns,
    )
    return audit_event(header, payload_of(act.payload))


def _last_ns(audit: AuditLog, chain: str, seq: int) -> int:
    """Time of the last entry; the earliest instant where it has gone into the sealed record (the log itself still
    refuses a time before it)."""
    try:
        last = audit.entries(chain, seq - 1) if seq else ()
    except BadInput:
        return EARLIEST_NS
    return last[-1].event.ts_event_ns if last else EARLIEST_NS


def _day(ts_ns: int) -> str:
    return dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, dt.UTC).strftime("%Y-%m-%d")
