"""What the live channel tells of entries of the record: one pure function, called where entries are stored.

So the record and the channel cannot disagree: an entry is told in the transaction that stores it, and nothing of it
is told that its bytes do not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any

import orjson

from regime_trading.core.audit import FIRM_ACCOUNT, PLATFORM, chain_of
from regime_trading.core.messages import (
    AcknowledgedData,
    ActionData,
    AuditData,
    BreachData,
    ClosestRule,
    CommentData,
    ConfigData,
    ConstraintData,
    Data,
    Message,
    ModeData,
    ResyncData,
)
from regime_trading.core.rules import RULES
from regime_trading.core.schemas import AuditEvent, EventType

CLOSEST = 5  #: rules in a ``constraint.update``
ONE_BY_ONE = 500  #: decisions of one transaction beyond which ordinary messages give way to a ``resync``
_TEXT = 500  #: characters of a sentence
_SILENT = frozenset({EventType.HEARTBEAT})
_DECIDING = frozenset({EventType.DECISION, EventType.DEGRADED})
_ZERO = frozenset({"0", "0.0", "-0.0"})
_AT_LEAST = frozenset(spec.rule_id for spec in RULES if spec.measure.at_least)
_STANDING = {"bound": 2, "unknown": 1, "pass": 0}  #: outcomes that say how far a rule is from its limit
Fields = Mapping[str, Any]


def messages_of(events: Sequence[AuditEvent]) -> tuple[Message, ...]:
    """What is told of entries that are stored together, in their order.

    A decision is told with the rules closest to their limits, a breach under the id of its entry, changes of the
    state of an account and configurations as such, and every other entry as itself; heartbeats are not told. Of
    more than ``ONE_BY_ONE`` decisions what is urgent is told, and a ``resync`` in place of the rest. An entry that
    is not what its kind says is told as an entry: the record never waits for the channel.
    """
    deciding = sum(event.event_type in _DECIDING for event in events)
    if deciding > ONE_BY_ONE:
        urgent = [event for event in events if event.event_type not in _DECIDING]
        at_ns = max(event.ts_event_ns for event in events)
        return (*_each(urgent), Message(at_ns, ResyncData(reason="bulk")))
    return tuple(_each(events))


def _each(events: Iterable[AuditEvent]) -> Iterable[Message]:
    states: dict[str, str] = {}
    for event in events:
        if event.event_type in _SILENT:
            continue
        fields = orjson.loads(event.body)
        try:
            told = list(_told(event, fields, states))
        except (LookupError, TypeError, ValueError, ArithmeticError):  # a ValidationError is a ValueError
            told = [_entry(event, fields)]
        account = _account(event, fields)
        yield from (Message(event.ts_event_ns, data, account) for data in told)


def _told(event: AuditEvent, fields: Fields, states: dict[str, str]) -> Iterable[Data]:
    kind = EventType(event.event_type)
    if kind in _DECIDING and (after := fields.get("trading_state_after")):
        states[event.account_id] = after
    make = _MAKERS.get(kind)
    return (_entry(event, fields),) if make is None else make(event, fields, states)


def _account(event: AuditEvent, fields: Fields) -> str:
    """The account an entry is about: the one it names, or that of its chain; empty where it is the firm's."""
    for key in ("account", "scope"):
        named = fields.get(key)
        if isinstance(named, str) and named.split("/")[0] == event.firm_id and named.count("/") == 1:
            return named
    own = event.account_id not in (FIRM_ACCOUNT, PLATFORM)
    return f"{event.firm_id}/{event.account_id}" if own else ""


def _entry(event: AuditEvent, fields: Fields) -> Data:
    return AuditData(
        chain_id=chain_of(event), seq=event.seq, event_type=event.event_type, rationale=_sentence(fields)
    )


def _sentence(fields: Fields) -> str:
    return str(fields.get("rationale", ""))[:_TEXT]


# --- decisions ------------------------------------------------------------------------------------------------


def _decision(event: AuditEvent, fields: Fields, _: Mapping[str, str]) -> Iterable[Data]:
    held = fields["outcome"] == "hold"
    exits, entries = (0, 0) if held else _steps(fields["targets"])
    yield _action(event, fields, exits, entries)
    if not held:
        yield ConstraintData(
            decision_id=fields["decision_id"],
            ts_event_ns=fields["ts_event_ns"],
            snapshot_hash=fields["snapshot_hash"],
            closest=tuple(closest(fields["rules"])),
        )


def _degraded(event: AuditEvent, fields: Fields, _: Mapping[str, str]) -> Iterable[Data]:
    yield _action(event, fields, len(fields["orders"]), 0)
    if fields["trading_state_before"] != fields["trading_state_after"]:
        yield _mode(event, fields, fields["trading_state_after"])


def _action(event: AuditEvent, fields: Fields, exits: int, entries: int) -> Data:
    return ActionData(
        chain_id=chain_of(event),
        seq=event.seq,
        decision_id=fields["decision_id"] or "",
        ts_event_ns=fields["ts_event_ns"],
        outcome=fields["outcome"],
        trading_state=fields.get("trading_state_after"),
        binding_rules=tuple(fields.get("binding_rules", ())),
        exits=exits,
        entries=entries,
        rationale=_sentence(fields),
    )


def _steps(targets: Mapping[str, Sequence[str]]) -> tuple[int, int]:
    """Symbols of which a position gets smaller, and larger; through zero it is both."""
    exits = entries = 0
    for held_text, step_text in zip(targets["current_qty"], targets["step_qty"], strict=True):
        held, step = float(held_text), float(step_text)
        exits += held * step < 0
        entries += held * step > 0 or (step != 0 and (held == 0 or abs(step) > abs(held)))
    return exits, entries


def closest(rules: Sequence[Fields], most: int = CLOSEST) -> list[ClosestRule]:
    """The rules of a decision closest to their limits: those that bind, those that are not known, then by how much of
    the limit is used. Rules without a limit other than zero come after those with one."""
    ranked = [
        (_STANDING[rule["outcome"]], _used(rule["rule_id"], rule["value"], rule["limit"]), -n)
        for n, rule in enumerate(rules)
        if rule["outcome"] in _STANDING
    ]
    return [_row(rules[-n]) for *_, n in nlargest(most, ranked)]


def _row(rule: Fields) -> ClosestRule:
    return ClosestRule(**{key: rule[key] for key in ("rule_id", "value", "limit", "outcome")})


def _used(rule_id: str, value: str | None, limit: str | None) -> float:
    """Share of its limit that a rule uses; -1 where there is none."""
    if value is None or limit is None or limit in _ZERO or not (value[-1].isdigit() and limit[-1].isdigit()):
        return -1.0
    if rule_id in _AT_LEAST:
        return -1.0 if value in _ZERO else abs(float(limit) / float(value))
    return abs(float(value) / float(limit))


# --- what changed ---------------------------------------------------------------------------------------------


def _breach(event: AuditEvent, fields: Fields, _: Mapping[str, str]) -> Iterable[Data]:
    yield BreachData(
        breach_id=fields["event_id"],
        rule_id=fields["rule_id"],
        value=fields["value"],
        limit=fields["limit"],
        rationale=_sentence(fields),
    )


def _acknowledged(event: AuditEvent, fields: Fields, _: Mapping[str, str]) -> Iterable[Data]:
    yield AcknowledgedData(breach_id=fields["breach_id"], rule_id=fields["rule_id"], by=fields["actor"]["id"])


def _commented(event: AuditEvent, fields: Fields, _: Mapping[str, str]) -> Iterable[Data]:
    yield CommentData(request_id=fields["request_id"], by=fields["actor"]["id"])


def _mode_change(event: AuditEvent, fields: Fields, _: Mapping[str, str]) -> Iterable[Data]:
    yield _mode(event, fields, fields["after"])


def _latch(event: AuditEvent, fields: Fields, states: Mapping[str, str]) -> Iterable[Data]:
    """The state is that of the decision stored with it: one latch alone does not say which of several holds."""
    if event.account_id == FIRM_ACCOUNT:  # a halt ended; what now holds each account is told beside it
        yield _entry(event, fields)
    else:
        yield _mode(event, fields, states.get(event.account_id))


def _kill(event: AuditEvent, fields: Fields, _: Mapping[str, str]) -> Iterable[Data]:
    if fields["drill"] or fields["effective_at_ns"] is None:  # whoever halts tells each account itself
        yield _entry(event, fields)
        return
    level = int(fields["level"][1:])
    yield ModeData(mode=None, trading_state=None, kill_level=level, reason=_sentence(fields))


def _mode(event: AuditEvent, fields: Fields, state: Any) -> Data:
    return ModeData(mode=event.env, trading_state=state, kill_level=None, reason=_sentence(fields))


def _config(event: AuditEvent, fields: Fields, _: Mapping[str, str]) -> Iterable[Data]:
    loaded = event.event_type == EventType.CONFIG_ACCEPTED
    yield ConfigData(version=None, config_hash=fields["after_hash"], loaded=loaded)


_MAKERS: Mapping[EventType, Callable[[AuditEvent, Fields, Mapping[str, str]], Iterable[Data]]] = {
    EventType.DECISION: _decision,
    EventType.DEGRADED: _degraded,
    EventType.RULE_BREACH: _breach,
    EventType.BREACH_ACKNOWLEDGED: _acknowledged,
    EventType.APPROVAL_COMMENTED: _commented,
    EventType.MODE_CHANGE: _mode_change,
    EventType.LATCH: _latch,
    EventType.UNLOCK: _latch,
    EventType.KILL: _kill,
    EventType.CONFIG_ACCEPTED: _config,
    EventType.CONFIG_CHANGED: _config,
}
