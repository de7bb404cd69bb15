"""What is told of entries of the record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate_samples import answers, request

from regime_trading.core import event_payloads as p
from regime_trading.core.announcements import CLOSEST, ONE_BY_ONE, closest, messages_of
from regime_trading.core.audit import ADMIN_ENV, EventHeader, audit_event
from regime_trading.core.events import payload_of, rationale_of
from regime_trading.core.messages import (
    AcknowledgedData,
    ActionData,
    AuditData,
    BreachData,
    ConfigData,
    ConstraintData,
    Message,
    ModeData,
    ResyncData,
    redacted,
)
from regime_trading.core.rules import RULES
from regime_trading.core.schemas import ActorType, AuditEvent, EventType
from regime_trading.engine.record import Chain, Identity, write_cycle

WHO = Identity("alpha", "main", "d-2026-11-20", "shadow", "c" * 64, "1.0")
HASH = "a" * 64


def written(*entries: tuple[EventType, dict[str, Any], str], who: Identity = WHO) -> list[AuditEvent]:
    chain = Chain(who)
    for kind, payload, rule_id in entries:
        chain.write(7, kind, payload, rule_id=rule_id, rationale=f"{rule_id} said.")
    return chain.take()


def act(payload: p.Payload, account_id: str = "_firm", env: str = ADMIN_ENV, rule_id: str = "") -> AuditEvent:
    header = EventHeader(
        "alpha", account_id, "d-2026-11-20", env, 1, 7, payload.kind, ActorType.USER, "u1", "", "", "1.0",
        rule_id=rule_id, rationale=rationale_of(payload), ts_recorded_ns=7,
    )  # fmt: skip
    return audit_event(header, payload_of(payload))


def told(events: list[AuditEvent]) -> list[tuple[str, str]]:
    return [(message.data.type, message.account) for message in messages_of(events)]


def test_a_decision_is_told_with_what_is_closest_and_what_changed() -> None:
    (answer,) = answers([request()])
    chain = Chain(WHO, mode=2)
    write_cycle(chain, answer.cycle, answer.row, answer.hashes, [])
    events = chain.take()
    messages = messages_of(events)
    action, constraints = messages[0].data, messages[1].data
    assert isinstance(action, ActionData) and isinstance(constraints, ConstraintData)
    assert (action.chain_id, action.seq) == ("shadow/alpha/main", 1)
    assert (action.outcome, action.trading_state, action.binding_rules) == ("resize", "NORMAL", ("CC-01",))
    assert (action.exits, action.entries) == (0, 2)
    assert action.decision_id == constraints.decision_id == answer.hashes.decision_id
    assert len(constraints.closest) == CLOSEST
    assert (constraints.closest[0].rule_id, constraints.closest[0].outcome) == ("CC-01", "bound")
    mode = messages[2].data
    assert mode == ModeData(
        mode="shadow", trading_state="NORMAL", kill_level=None, reason="FLATTEN to NORMAL."
    )
    assert [m.data.type for m in messages[3:]] == ["constraint.breach"] * (len(events) - 2)
    assert {(m.account, m.ts_ns) for m in messages} == {("alpha/main", events[0].ts_event_ns)}


def test_an_acknowledgement_is_told_over_the_account_to_whoever_hears_of_the_breach() -> None:
    said = p.BreachAcknowledged(
        account="alpha/main", breach_id="e-1", breach_chain="shadow/alpha/main", breach_seq=3, reason="secret"
    )
    (message,) = messages_of([act(said, rule_id="LD-01")])
    assert message.account == "alpha/main"
    assert message.data == AcknowledgedData(breach_id="e-1", rule_id="LD-01", by="u1")


def test_a_breach_has_the_id_of_its_entry_wherever_it_is_told() -> None:
    events = written((EventType.RULE_BREACH, {"value": "0.05", "limit": "0.04"}, "LD-02"))
    ((breach,), again) = (messages_of(events), messages_of(events)[0])
    assert isinstance(breach.data, BreachData) and breach == again
    assert breach.data.breach_id.encode() in events[0].body
    assert (breach.data.value, breach.data.limit, breach.data.rationale) == ("0.05", "0.04", "LD-02 said.")
    second = (EventType.RULE_BREACH, {"value": None, "limit": None}, "LD-02")
    other = written((EventType.CASH_FLOW, {"amount": "1.0"}, ""), second)
    assert messages_of(other)[1].data.breach_id != breach.data.breach_id  # type: ignore[attr-defined]


def test_a_latch_tells_the_state_of_the_decision_it_came_with() -> None:
    latch = {"trading_state": "REDUCE_ONLY", "release": "DUAL", "value": None, "limit": None}
    alone = messages_of(written((EventType.LATCH, latch, "LD-03")))
    assert [m.data for m in alone] == [
        ModeData(mode="shadow", trading_state=None, kill_level=None, reason="LD-03 said.")
    ]
    decided = {"trading_state_after": "LOCKED", "outcome": "lock"}
    both = messages_of(written((EventType.DECISION, decided, ""), (EventType.LATCH, latch, "LD-03")))
    assert both[-1].data.trading_state == "LOCKED"  # type: ignore[attr-defined]


def test_a_run_that_the_judge_held_is_an_action_without_a_decision() -> None:
    held = {"decision_id": None, "outcome": "hold", "findings": []}
    (message,) = messages_of(written((EventType.DECISION, held, "")))
    assert isinstance(message.data, ActionData)
    assert (message.data.outcome, message.data.decision_id, message.data.trading_state) == ("hold", "", None)


def accepted(**more: Any) -> p.ConfigAccepted:
    said = {"account": "alpha/main", "before_hash": "", "after_hash": HASH, "changes": (), "profile": {}}
    return (p.ConfigChanged if more else p.ConfigAccepted)(**said, **more)


def killed(**more: Any) -> p.Killed:
    said = {"level": "K2", "scope": "alpha/main", "drill": False, "asked_at_ns": "1", "effective_at_ns": "2"}
    return p.Killed(**(said | more))


@pytest.mark.parametrize(
    ("payload", "account", "data"),
    [
        (accepted(), "alpha/main", ConfigData(version=None, config_hash=HASH, loaded=True)),
        (accepted(request_id="r1"), "alpha/main", ConfigData(version=None, config_hash=HASH, loaded=False)),
        (killed(), "alpha/main", "K2 over alpha/main, in effect; 0 orders cancelled."),
        (killed(scope="alpha"), "", "K2 over alpha, in effect; 0 orders cancelled."),
        (killed(scope="beta/main"), "", "K2 over beta/main, in effect; 0 orders cancelled."),
        (killed(effective_at_ns=None), "alpha/main", "KILL"),
        (killed(drill=True), "alpha/main", "KILL"),
        (p.LoggedIn(outcome="failed", method="password"), "", "LOGIN"),
    ],
)  # fmt: skip
def test_acts_are_told_of_the_account_they_name(payload: p.Payload, account: str, data: object) -> None:
    (message,) = messages_of([act(payload)])
    assert message.account == account
    found = message.data
    if isinstance(data, ConfigData):
        assert found == data
    elif isinstance(found, ModeData):
        assert found == ModeData(mode=None, trading_state=None, kill_level=2, reason=str(data))
    else:
        assert isinstance(found, AuditData)
        assert (found.event_type, found.seq, found.chain_id) == (data, 1, "admin/alpha/_firm")
        assert found.rationale == rationale_of(payload)


def test_a_degraded_decision_is_told_with_the_state_it_left() -> None:
    said = {"outcome": "reduce_only", "decision_id": HASH, "orders": ["a", "b"], "entries": []}
    said |= {"trading_state_before": "NORMAL", "trading_state_after": "REDUCE_ONLY"}
    action, mode = messages_of(written((EventType.DEGRADED, said, "")))
    assert (action.data.exits, action.data.entries) == (2, 0)  # type: ignore[attr-defined]
    assert mode.data.trading_state == "REDUCE_ONLY"  # type: ignore[attr-defined]


def test_an_entry_that_is_not_what_its_kind_says_is_told_as_an_entry() -> None:
    events = written((EventType.DECISION, {"note": "x"}, ""), (EventType.HEARTBEAT, {"component": "x"}, ""))
    (message,) = messages_of(events)
    assert isinstance(message.data, AuditData)
    assert (message.data.event_type, message.account) == ("DECISION", "alpha/main")


def test_of_very_many_decisions_only_what_is_urgent_is_told_one_by_one() -> None:
    held = {"decision_id": None, "outcome": "hold", "findings": []}
    breach = (EventType.RULE_BREACH, {"value": None, "limit": None}, "LD-02")
    few = written(*[(EventType.DECISION, held, "")] * ONE_BY_ONE, breach)
    assert told(few) == [("pm.action", "alpha/main")] * ONE_BY_ONE + [("constraint.breach", "alpha/main")]
    many = written(*[(EventType.DECISION, held, "")] * (ONE_BY_ONE + 1), breach)
    assert messages_of(many)[1:] == (Message(7, ResyncData(reason="bulk")),)
    assert told(many) == [("constraint.breach", "alpha/main"), ("resync", "")]
    assert messages_of([]) == ()


# --- closest --------------------------------------------------------------------------------------------------


def row(rule_id: str, outcome: str, value: str | None, limit: str | None) -> dict[str, Any]:
    return {"rule_id": rule_id, "outcome": outcome, "value": value, "limit": limit, "reason_codes": []}


def test_the_closest_rules_bind_or_are_unknown_or_use_most_of_their_limit() -> None:
    rows = [
        row("CC-01", "pass", "0.10", "0.20"),
        row("CC-02", "pass", "0.9", "1.0"),
        row("CC-03", "off", "5.0", "1.0"),
        row("DS-05", "pass", "1.0", "0.95"),  # at least
        row("DS-12", "pass", "60.0", "unlimited"),
        row("DS-02", "pass", "0.0", "0.0"),
        row("LD-02", "bound", "0.02", "0.04"),
        row("XL-01", "unknown", None, None),
        row("XL-02", "not_evaluable", None, "1.0"),
    ]
    found = [r.rule_id for r in closest(rows, most=9)]
    assert found == ["LD-02", "XL-01", "DS-05", "CC-02", "CC-01", "DS-12", "DS-02"]
    assert [r.rule_id for r in closest(rows)] == found[:CLOSEST]


NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.just("unlimited")


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([r.rule_id for r in RULES]), NUMBERS, NUMBERS), max_size=20))
def test_closest_takes_whatever_a_decision_can_say(rows: list[tuple[str, str | None, str | None]]) -> None:
    found = closest([row(rule_id, "pass", value, limit) for rule_id, value, limit in rows])
    assert len(found) == min(len(rows), CLOSEST)


# --- without amounts ------------------------------------------------------------------------------------------


def test_amounts_are_gone_and_names_of_rules_stay() -> None:
    said = {"value": "51234.5", "limit": "-50000.0", "rationale": "LD-01 lost 51,234.5."}
    breach = BreachData(breach_id="b-1", rule_id="LD-01", **said)
    assert BreachData.model_validate_json(redacted(breach.model_dump_json())) == breach.model_copy(
        update={"value": None, "limit": None, "rationale": "LD-01 lost …."}
    )
    share = breach.model_copy(update={"rule_id": "LD-02", "value": "0.01", "rationale": ""})
    assert BreachData.model_validate_json(redacted(share.model_dump_json())) == share
    unknown = breach.model_copy(update={"rule_id": "ZZ-99"})
    assert BreachData.model_validate_json(redacted(unknown.model_dump_json())).value is None
