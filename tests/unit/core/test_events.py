"""The schema of the record: what is written today fits it to the byte, and what does not fit is refused."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.proposal_samples import proposal
from tests.register_samples import recorded

from regime_trading.core import event_payloads as p
from regime_trading.core.audit import EventHeader, event_body
from regime_trading.core.canonical import canonical_json
from regime_trading.core.errors import BadInput
from regime_trading.core.event_payloads import PAYLOADS, Payload
from regime_trading.core.event_schema import read_event
from regime_trading.core.events import (
    SEVERITY,
    checked_payload,
    payload_of,
    rationale_of,
)
from regime_trading.core.proposals import move_payload
from regime_trading.core.schemas import ActorType, EventType
from regime_trading.services.schemas import model_names, model_schema

H = "a" * 64
ENGINE = {
    p.Decided, p.HeldRun, p.RuleBreach, p.ModeChange, p.LatchSet, p.Unlocked, p.Filled, p.CashFlow,
    p.AttemptStarted, p.AttemptEnded,
}  # fmt: skip
APPROVAL = {
    "request_id": "q-1",
    "request_kind": "config",
    "account": "f/a",
    "payload_hash": H,
    "requested_config_hash": H,
    "requested_code_version": "1",
    "required": 2,
    "by": ("u-abcdefgh23456777",),
}
ORDER = {"client_order_id": "o-1", "decision_id": H, "symbol": "KO"}
CHANGE = {"path": "risk.gross", "before": "1.0", "after": "0.9", "direction": "tightens"}
SAMPLES: tuple[Payload, ...] = (
    p.RunStatus(run_kind="run", status="done", inputs_hash=H, as_of_ns="5"),
    move_payload(proposal(note="less of the banks"), "drafted"),
    p.ConfigAccepted(
        account="f/a",
        before_hash=H,
        after_hash="b" * 64,
        changes=(p.ConfigChange(**CHANGE),),
        profile={"rules": {}},
    ),
    p.ConfigChanged(
        account="f/a", before_hash="", after_hash=H, changes=(), profile={}, request_id="q-1"
    ),
    p.ConfigRefused(
        accounts=("f/a",),
        refusal_hash=H,
        findings=(p.ConfigFinding(path="risk.grss", file="traders.yaml", line=7, message="m"),),
        erased=(),
    ),
    p.Overridden(
        override_id="o",
        account="f/a",
        path="risk.gross",
        value="0.5",
        reason="a bad day",
        created_by="service:local",
        created_at_ns="1",
        expires_at_ns="2",
        ends_at_ns="3",
        exact=False,
    ),
    p.ApprovalRequested(**APPROVAL, expires_at_ns="9"),
    p.ApprovalGiven(**APPROVAL),
    p.ApprovalRefused(**APPROVAL),
    p.ApprovalVoid(**APPROVAL),
    p.ApprovalCommented(**APPROVAL, comment="see the log"),
    p.BreachAcknowledged(
        account="f/a", breach_id="e-1", breach_chain="shadow/f/a", breach_seq=3, reason="on it"
    ),
    p.CommandGiven(
        command="/halt account account:f/a",
        verb="halt",
        object="account",
        klass="tighten",
        preview_id="",
        action_hash="",
        outcome="executed",
    ),
    p.OrderSent(**ORDER, intent="entry", leg=1, slice=1, qty="5", limit_price=None),
    p.OrderAcknowledged(**ORDER, broker_order_id="b-1"),
    p.OrderCancelled(**ORDER, qty_open="-5"),
    p.OrderRejected(**ORDER, answer="no such symbol"),
    p.Reconciled(
        status="differs",
        diff=(p.Difference(field="qty", symbol="KO", ours="5", theirs="4"),),
        checked_at_ns="5",
    ),
    p.HaltEnded(release="HALT", level="K3", scope="f/a", set_at_ns="1"),
    p.Killed(level="K2", scope="f", drill=True, asked_at_ns="1", effective_at_ns="2", cancelled_orders=3),
    p.LoggedIn(outcome="failed", method="passkey", ip_prefix="203.0.113.0/24", count=3),
    p.AccessChanged(
        action="role_granted", subject="u-abcdefgh23456777", role="pm", accounts=("f/a",), redact=True
    ),
    p.Denied(permission="order.exit", account="f/a", answer="no_role", route="POST /v1/exits", count=2),
    p.Exported(range={"from_ns": "1"}, files=("entries.jsonl",), sha256=H),
    p.KeyAct(action="rotated", key_hash=H),
    p.Purged(range={"seq_from": 1, "seq_to": 9}, root=H),
    p.Beat(component="engine"),
    p.Degraded(
        store="audit",
        spooled=(H,),
        why="disk full",
        decided_at_ns="5",
        decision_id=H,
        outcome="block",
        trading_state_before="NORMAL",
        trading_state_after="REDUCE_ONLY",
        orders=(),
        entries=({"event_type": "DECISION"},),
    ),
)  # fmt: skip


def header(kind: EventType, **fields: Any) -> EventHeader:
    plain = {
        "firm_id": "f",
        "account_id": "_firm",
        "run_id": "d-2026-11-26",
        "env": "admin",
        "seq": 1,
        "ts_event_ns": 5,
        "event_type": kind,
        "actor_type": ActorType.USER,
        "actor_id": "u-abcdefgh23456777",
        "feature_set_version": "",
        "config_hash": "",
        "code_version": "1",
        "ts_recorded_ns": 5,
    }
    return EventHeader(**plain | fields)


# --- what is written today ----------------------------------------------------------------------------------


def bodies() -> list[bytes]:
    return [event.body for chain in recorded() for event in chain]


def test_every_entry_of_a_history_fits_to_the_byte() -> None:
    seen = set()
    for body in bodies():
        typed = read_event(body)
        assert canonical_json(typed.model_dump(mode="json")) == body
        seen.add(type(typed).__name__.removesuffix("Event"))
    assert seen >= {kind.__name__ for kind in ENGINE - {p.HeldRun}}, seen


@pytest.mark.parametrize("judged", [None, H])
def test_a_held_run_fits(judged: str | None) -> None:
    finding = {"account": "f/a", "check": "equity", "expected": "a number", "found": "NaN"}
    plain = {"decision_id": judged, "outcome": "hold", "findings": [finding]}
    body = event_body(header(EventType.DECISION), plain)
    assert canonical_json(read_event(body).model_dump(mode="json")) == body


@given(st.data())
def test_a_field_too_many_too_few_or_of_another_type_is_refused(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(bodies()))
    entry = orjson.loads(body)
    key = data.draw(st.sampled_from(sorted(entry)))
    how = data.draw(st.sampled_from(["drop", "add", "type"]))
    if how == "drop":
        entry.pop(key)
    elif how == "add":
        entry[f"{key}_"] = entry[key]
    else:
        entry[key] = {"of another": "type"}
    if key in ("schema_name", "schema_version") and how == "drop":
        return  # constants that have only one value
    with pytest.raises(BadInput, match="PMAuditEvent"):
        read_event(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS))


# --- what the services write --------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", SAMPLES, ids=lambda x: type(x).__name__)
def test_a_payload_becomes_an_entry_and_is_read_back(payload: Payload) -> None:
    body = event_body(header(payload.kind, rationale=rationale_of(payload)), payload_of(payload))
    typed = read_event(body)
    assert canonical_json(typed.model_dump(mode="json")) == body
    assert json.loads(body)["rationale"].endswith(".")


def test_samples_and_severities_are_complete() -> None:
    assert {type(s) for s in SAMPLES} | ENGINE == set(PAYLOADS)
    assert {payload.kind for payload in PAYLOADS} == set(EventType) == set(SEVERITY)


@pytest.mark.parametrize("payload", SAMPLES, ids=lambda x: type(x).__name__)
def test_no_text_of_a_person_is_in_a_sentence(payload: Payload) -> None:
    said = "mary@example.org"
    for name in ("reason", "answer", "message", "created_by", "why", "note"):
        if name in type(payload).model_fields:
            payload = payload.model_copy(update={name: said})
    assert said not in rationale_of(payload)


def test_the_engine_writes_its_own_sentences() -> None:
    with pytest.raises(BadInput, match="outside the engine"):
        rationale_of(p.CashFlow(amount="5"))


def test_a_payload_made_without_validation_is_refused() -> None:
    forged = p.OrderSent.model_construct(**ORDER, intent="entry", leg=1, slice=1, qty=5.0, limit_price=None)
    with pytest.raises(BadInput, match="payload of ORDER_SENT"):
        payload_of(forged)
    with pytest.raises(BadInput, match="KEY"):
        checked_payload(EventType.KEY, {"action": "created", "key_hash": H, "private": "x"})


# --- the public schema --------------------------------------------------------------------------------------


def test_the_public_schema_names_every_kind() -> None:
    assert "PMAuditEvent" in model_names()
    schema = model_schema("PMAuditEvent")
    assert schema["discriminator"]["propertyName"] == "event_type"
    assert set(schema["discriminator"]["mapping"]) == {kind.value for kind in EventType}
