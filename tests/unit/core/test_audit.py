"""The audit chain: canonical entries, exact verdicts."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.record_samples import event, events, header

from regime_trading.core.audit import (
    ChainEntry,
    audit_event,
    chain_id,
    chain_of,
    event_body,
    event_id,
    event_of,
    link,
    verify_chain,
)
from regime_trading.core.canonical import GENESIS, entry_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import EventType, Mode

CHAIN = "dry_run/run-1/alpha/main"
REPOSITORY = Path(__file__).parents[3]

json_scalars = st.none() | st.booleans() | st.text(max_size=8) | st.integers(-(2**53) + 1, 2**53 - 1)
json_values = st.recursive(
    json_scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcXYZ_9", max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)
payloads = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=4).map("x_".__add__), json_values, max_size=6
)


def test_a_chain_is_per_run_in_dry_runs_and_per_account_elsewhere() -> None:
    assert chain_id("dry_run", "run-1", "alpha", "main") == CHAIN
    assert chain_id("shadow", "2024-01-02", "alpha", "main") == "shadow/alpha/main"
    assert chain_id("gated_live", "2024-01-02", "alpha", "main") == "gated_live/alpha/main"
    assert chain_id("shadow", "2024-01-02", "_platform", "_platform") == "shadow/_platform/_platform"
    assert chain_id("admin", "d-2024-01-02", "alpha", "_firm") == "admin/alpha/_firm"
    assert chain_id("admin", "d-2024-01-02", "_platform", "_platform") == "admin/_platform/_platform"


def test_an_account_that_trades_has_no_chain_of_acts() -> None:
    with pytest.raises(BadInput, match="account_id"):
        chain_id("admin", "d-2024-01-02", "alpha", "main")


@pytest.mark.parametrize("bad", ["", "..", "a/b", "Alpha", "a" * 41, "a b", "a\n", "_platform", "ä", "a.b"])
@pytest.mark.parametrize("position", [1, 2, 3])
def test_ids_that_could_leave_their_folder_are_refused(bad: str, position: int) -> None:
    ids = ["dry_run", "run-1", "alpha", "main"]
    ids[position] = bad
    with pytest.raises(BadInput):
        chain_id(*ids)


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(BadInput, match="env"):
        chain_id("live", "run-1", "alpha", "main")


@given(payloads)
@settings(max_examples=200, deadline=None)
def test_a_body_is_rfc_8785_and_says_what_the_event_says(payload: dict[str, Any]) -> None:
    made = audit_event(header(7), payload)
    parsed = orjson.loads(made.body)
    assert rfc8785.dumps(parsed) == made.body
    assert {key: parsed[key] for key in payload} == payload
    assert event_of(made.body) == made
    assert event_body(header(7), payload, trusted=True) == made.body


@given(payloads, st.data())
@settings(max_examples=200, deadline=None)
def test_a_float_anywhere_is_refused(payload: dict[str, Any], data: st.DataObject) -> None:
    bad = data.draw(
        st.sampled_from([0.5, 1.0, float("nan"), float("inf"), 2**53, -(2**53), b"x", {1: 2}, {"ä": 1}])
    )
    node: Any = bad
    for _ in range(data.draw(st.integers(0, 4))):
        node = data.draw(st.sampled_from([{"k": node}, [1, node], ("s", node), [[], node]]))
    with pytest.raises(BadInput):
        event_body(header(1), payload | {"x_bad": node})


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(BadInput):
        event_body(header(1), {"note": "\ud800"})


def test_the_payload_cannot_speak_for_the_header() -> None:
    with pytest.raises(BadInput, match="account_id"):
        event_body(header(1), {"account_id": "other"})


def test_instants_are_decimal_text_and_a_dry_run_records_when_it_happens() -> None:
    body = orjson.loads(event(3).body)
    assert body["ts_event_ns"] == body["ts_recorded_ns"] == str(event(3).ts_event_ns)
    with pytest.raises(BadInput, match="ts_recorded_ns"):
        event_body(replace(header(1), ts_recorded_ns=5), {})
    with pytest.raises(BadInput, match="ts_recorded_ns"):
        event_body(replace(header(1, env=Mode.SHADOW), ts_recorded_ns=None), {})


def test_sequence_numbers_start_at_one() -> None:
    with pytest.raises(BadInput, match="seq"):
        event_body(header(0), {})


def test_event_ids_are_uuids_of_chain_and_sequence_number() -> None:
    ids = [event_id(CHAIN, seq) for seq in range(1, 200)]
    assert len({*ids, event_id("dry_run/run-2/alpha/main", 1)}) == 200
    assert all(uuid.UUID(i).version == 8 and str(uuid.UUID(i)) == i for i in ids)
    assert orjson.loads(event(5).body)["event_id"] == event_id(CHAIN, 5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.replace(b":", b": ", 1),
        lambda body: body[:-1] + b',"outcome":"approve"}',
        lambda body: b'{"a":1,' + body[1:-1] + b',"b":2}',
        lambda body: body.replace(b'"schema_version":1', b'"schema_version":2'),
        lambda body: body.replace(b'"run_id"', b'"ran_id"'),
        lambda body: body[:-1],
        lambda body: b"[]",
        lambda body: b"",
    ],
)
def test_bytes_that_are_no_canonical_entry_are_refused(spoil: Any) -> None:
    with pytest.raises(BadInput, match="canonical"):
        event_of(spoil(event(1).body))


def test_the_first_version_of_the_schema_never_changes() -> None:
    entry = link(events(2))[1]
    assert entry.entry_hash == "5165a09dc502bcab5d35a1263c894614581a630ec34e08dd749be2a30c7cd89d"


def test_hashes_do_not_depend_on_the_process() -> None:
    code = "from tests.record_samples import events; from regime_trading.core.audit import link; "
    code += "print(link(events(20))[-1].entry_hash)"
    for seed, zone in (("1", "Asia/Tokyo"), ("2", "America/New_York")):
        env = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone}
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=True
        ).stdout
        assert found.strip() == link(events(20))[-1].entry_hash


def test_an_intact_chain_holds_whole_and_in_pieces() -> None:
    entries = link(events(50))
    check = verify_chain(entries, chain=CHAIN)
    assert (check.ok, check.entries, check.head) == (True, 50, entries[-1].entry_hash)
    rest = verify_chain(entries[20:], chain=CHAIN, first_seq=21, prev_hash=entries[19].entry_hash)
    assert rest.ok and rest.head == check.head
    assert verify_chain([], chain=CHAIN) == replace(check, entries=0, head=GENESIS)


def test_a_shadow_chain_goes_on_over_trading_days() -> None:
    days = [event(seq, env=Mode.SHADOW, run_id=f"2024-01-0{seq}") for seq in (1, 2, 3)]
    assert verify_chain(link(days), chain="shadow/alpha/main").ok


def _forged(entries: list[ChainEntry], at: int, made: Any) -> list[ChainEntry]:
    """The chain as an attacker would rewrite it from ``at`` on, hashes and all."""
    before = entries[at].prev_hash
    return entries[:at] + link([made, *(e.event for e in entries[at + 1 :])], before)


MUTATIONS: dict[str, Any] = {
    "edit the body": lambda e, i: [
        *e[:i],
        _with(e[i], body=e[i].event.body.replace(b"resize", b"resizd")),
        *e[i + 1 :],
    ],
    "edit a column": lambda e, i: [*e[:i], _with(e[i], rule_id="LD-01"), *e[i + 1 :]],
    "edit the time": lambda e, i: [*e[:i], _with(e[i], ts_event_ns=e[i].event.ts_event_ns + 1), *e[i + 1 :]],
    "edit the hash": lambda e, i: [*e[:i], replace(e[i], entry_hash="0" * 64), *e[i + 1 :]],
    "edit the link": lambda e, i: [*e[:i], replace(e[i], prev_hash="1" * 64), *e[i + 1 :]],
    "delete": lambda e, i: [*e[:i], *e[i + 1 :]],
    "insert": lambda e, i: [*e[:i], link([event(i + 1, note="forged")], e[i].prev_hash)[0], *e[i:]],
    "repeat": lambda e, i: [*e[: i + 1], e[i], *e[i + 1 :]],
    "swap": lambda e, i: [*e[:i], e[i + 1], e[i], *e[i + 2 :]],
    "rewrite with an earlier time": lambda e, i: _forged(
        e, i, event(i + 1, ts_event_ns=e[0].event.ts_event_ns - 1)
    ),
    "rewrite under another account": lambda e, i: _forged(e, i, event(i + 1, account="other")),
    "rewrite with another number": lambda e, i: _forged(e, i, event(i + 2)),
}


def _with(entry: ChainEntry, **fields: Any) -> ChainEntry:
    return replace(entry, event=replace(entry.event, **fields))


@pytest.mark.parametrize("name", MUTATIONS)
@given(at=st.integers(1, 28))
@settings(max_examples=15, deadline=None)
def test_every_mutation_is_found_where_it_begins(name: str, at: int) -> None:
    entries = link(events(30))
    check = verify_chain(MUTATIONS[name](entries, at), chain=CHAIN)
    assert not check.ok
    late = name in ("insert", "repeat")
    assert check.first_bad == at + 1 + late
    assert check.entries == at + late
    assert check.head == MUTATIONS[name](entries, at)[at - 1 + late].entry_hash


def test_a_link_is_the_hash_of_prefix_predecessor_and_body() -> None:
    first, second = link(events(2))
    assert first.prev_hash == GENESIS
    assert second.prev_hash == first.entry_hash == entry_hash(GENESIS, first.event.body)
    assert chain_of(first.event) == CHAIN
    assert first.event.event_type == EventType.DECISION
