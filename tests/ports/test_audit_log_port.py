"""What every AuditLog must do. SQLite and a real PostgreSQL are both held to it (``conftest.py``)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import pytest
from sqlalchemy import Engine
from tests.record_samples import DAY_NS, T0_NS, event, events

from regime_trading.adapters.database import SqlAuditLog
from regime_trading.core.audit import Backlog, SealedHead, link, verify_chain
from regime_trading.core.canonical import GENESIS
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.ports import AuditLog
from regime_trading.core.schemas import EventType, Mode, Receipt

CHAIN = "dry_run/run-1/alpha/main"
Open = Callable[[str], AuditLog]
Opener = Callable[[], Engine]


@pytest.fixture
def opened(database: Opener) -> Open:
    return lambda firm_id: SqlAuditLog(database(), firm_id=firm_id)


@pytest.fixture
def log(opened: Callable[[str], AuditLog]) -> AuditLog:
    return opened("alpha")


def test_a_chain_starts_at_genesis(log: AuditLog) -> None:
    assert log.head(CHAIN) == (0, GENESIS)
    assert log.entries(CHAIN) == ()
    assert log.append([]) == ()


def test_a_receipt_names_the_last_entry_and_outlives_the_process_that_got_it(
    log: AuditLog, opened: Callable[[str], AuditLog]
) -> None:
    expected = link(events(5))
    receipts = log.append(events(3)) + log.append(events(2, first=4))
    assert receipts == (
        Receipt(CHAIN, 3, expected[2].entry_hash),
        Receipt(CHAIN, 5, expected[4].entry_hash),
    )
    again = opened("alpha")
    assert again.head(CHAIN) == (5, expected[4].entry_hash)
    assert again.entries(CHAIN) == tuple(expected)
    assert again.entries(CHAIN, after_seq=3) == tuple(expected[3:])


def test_chains_are_independent_and_each_gets_its_receipt(log: AuditLog) -> None:
    mixed = [event(1, account="b"), event(1), event(2, account="b"), event(1, run_id="run-2"), event(2)]
    receipts = log.append(mixed)
    assert [(r.chain_id, r.seq) for r in receipts] == [
        ("dry_run/run-1/alpha/b", 2),
        (CHAIN, 2),
        ("dry_run/run-2/alpha/main", 1),
    ]
    assert all(verify_chain(log.entries(r.chain_id), chain=r.chain_id).head == r.entry_hash for r in receipts)


def test_the_same_events_again_give_the_same_receipts(log: AuditLog) -> None:
    first = log.append(events(4))
    assert log.append(events(4)) == first
    assert log.append(events(2)) == (Receipt(CHAIN, 2, link(events(2))[1].entry_hash),)
    assert log.append(events(6)) == (Receipt(CHAIN, 6, link(events(6))[5].entry_hash),)
    assert log.head(CHAIN)[0] == 6


@pytest.mark.parametrize(
    "wrong",
    [
        [event(2, note="other")],
        [event(5)],
        [event(4), event(6)],
        [event(4), event(4)],
        [event(5), event(4)],
        [event(3), event(2, note="other"), event(4)],
        [event(4, ts_event_ns=T0_NS)],
        [event(1), replace(event(2), rule_id="LD-01")],
        [replace(event(4), rule_id="LD-01")],
        [replace(event(4), body=event(4, account="b").body)],
        [replace(event(4), body=b"{}")],
        [event(4), event(1, account="b"), event(3, account="b")],
    ],
)
def test_gaps_contradictions_and_false_columns_are_refused_whole(log: AuditLog, wrong: list) -> None:
    log.append(events(3))
    with pytest.raises((NotDurable, BadInput)):
        log.append(wrong)
    assert log.entries(CHAIN) == tuple(link(events(3)))
    assert log.entries("dry_run/run-1/alpha/b") == ()


def test_a_different_event_at_a_taken_number_is_not_durable(log: AuditLog) -> None:
    log.append(events(3))
    with pytest.raises(NotDurable, match="entry 2"):
        log.append([event(2, note="other")])


def test_another_firm_is_refused_and_sees_nothing(log: AuditLog, opened: Callable[[str], AuditLog]) -> None:
    log.append(events(2))
    other = opened("beta")
    for act in (
        lambda: other.append(events(1, first=3)),
        lambda: other.head(CHAIN),
        lambda: other.entries(CHAIN),
    ):
        with pytest.raises(BadInput, match="beta"):
            act()
    with pytest.raises(BadInput):
        opened("../alpha")


def test_a_shadow_chain_crosses_trading_days_and_keeps_time(log: AuditLog) -> None:
    days = [event(seq, env=Mode.SHADOW, run_id=f"2024-01-0{seq}") for seq in (1, 2, 3)]
    assert [log.append([day])[0].chain_id for day in days] == ["shadow/alpha/main"] * 3
    assert verify_chain(log.entries("shadow/alpha/main"), chain="shadow/alpha/main").ok


# --- sealing away -------------------------------------------------------------------------------------------

SHADOW = {"env": Mode.SHADOW, "run_id": "2024-01-02"}
SHADOW_CHAIN = "shadow/alpha/main"
DECISIONS_THEN_FILLS = [
    event(1, **SHADOW),
    event(2, event_type=EventType.FILL, **SHADOW),
    event(3, **SHADOW),
    event(4, event_type=EventType.FILL, **SHADOW),
    event(5, event_type=EventType.FILL, **SHADOW),
]


def test_the_backlog_of_a_dry_run_is_told_to_whoever_asks_for_it(log: AuditLog) -> None:
    for run_id in ("run-1", "run-10", "my-run-1"):
        log.append([event(1, run_id=run_id), event(2, run_id=run_id)])
    log.append(DECISIONS_THEN_FILLS)
    assert [one.chain_id for one in log.backlog()] == [SHADOW_CHAIN]
    assert [one.chain_id for one in log.backlog(["run-1"])] == ["dry_run/run-1/alpha/main", SHADOW_CHAIN]
    assert [one.chain_id for one in log.backlog(["run%"])] == [SHADOW_CHAIN]


def test_what_was_sealed_may_go_and_the_chain_goes_on_from_its_last_decision(
    log: AuditLog, opened: Open
) -> None:
    (receipt,) = log.append(DECISIONS_THEN_FILLS)
    assert log.backlog() == (Backlog(SHADOW_CHAIN, 5, T0_NS + DAY_NS),)
    assert log.sealed(SHADOW_CHAIN) == SealedHead(0, GENESIS, 0)
    assert log.drop_sealed(SHADOW_CHAIN, 5, receipt.entry_hash) == 2
    again = opened("alpha")
    assert again.sealed(SHADOW_CHAIN) == SealedHead(5, receipt.entry_hash, 2)
    assert again.backlog() == () and again.head(SHADOW_CHAIN) == (5, receipt.entry_hash)
    assert [e.event for e in again.entries(SHADOW_CHAIN, 2)] == DECISIONS_THEN_FILLS[2:]
    found = again.last(SHADOW_CHAIN, EventType.DECISION)
    assert found is not None and found.event == DECISIONS_THEN_FILLS[2]
    assert again.append(DECISIONS_THEN_FILLS[2:]) == (receipt,)
    (next_one,) = again.append([event(6, **SHADOW)])
    assert verify_chain(
        again.entries(SHADOW_CHAIN, 5), chain=SHADOW_CHAIN, first_seq=6, prev_hash=receipt.entry_hash
    ).ok
    assert again.backlog() == (Backlog(SHADOW_CHAIN, 1, T0_NS + 6 * DAY_NS),)
    assert again.drop_sealed(SHADOW_CHAIN, 6, next_one.entry_hash) == 3


def test_rows_that_are_gone_are_never_left_out_silently(log: AuditLog) -> None:
    (receipt,) = log.append(DECISIONS_THEN_FILLS)
    log.drop_sealed(SHADOW_CHAIN, 5, receipt.entry_hash)
    for after in (0, 1):
        with pytest.raises(BadInput, match="sealed record"):
            log.entries(SHADOW_CHAIN, after)
    with pytest.raises(NotDurable, match="sealed already"):
        log.append(DECISIONS_THEN_FILLS)


def test_only_what_is_stored_as_it_was_sealed_may_go(log: AuditLog, opened: Open) -> None:
    (receipt,) = log.append(DECISIONS_THEN_FILLS)
    for seq, entry_hash in ((5, "0" * 64), (6, receipt.entry_hash), (4, receipt.entry_hash)):
        with pytest.raises(NotDurable, match="not stored with the hash"):
            log.drop_sealed(SHADOW_CHAIN, seq, entry_hash)
    log.drop_sealed(SHADOW_CHAIN, 5, receipt.entry_hash)
    with pytest.raises(NotDurable):
        log.drop_sealed(SHADOW_CHAIN, 3, log.entries(SHADOW_CHAIN, 2)[0].entry_hash)
    with pytest.raises(BadInput, match="beta"):
        opened("beta").drop_sealed(SHADOW_CHAIN, 5, receipt.entry_hash)
    assert [e.event.seq for e in log.entries(SHADOW_CHAIN, 2)] == [3, 4, 5]


def test_a_chain_without_decisions_keeps_its_last_entry(log: AuditLog) -> None:
    made = [event(seq, event_type=EventType.RUN, **SHADOW) for seq in (1, 2, 3)]
    (receipt,) = log.append(made)
    assert log.drop_sealed(SHADOW_CHAIN, 3, receipt.entry_hash) == 2
    assert log.head(SHADOW_CHAIN) == (3, receipt.entry_hash)
    assert log.append(made[2:]) == (receipt,)


def test_dry_runs_wait_for_nobody_and_pages_are_pages(log: AuditLog) -> None:
    log.append(events(5))
    assert log.backlog() == ()
    assert [e.event.seq for e in log.entries(CHAIN, 1, limit=2)] == [2, 3]


def test_one_seals_at_a_time(opened: Open) -> None:
    with (
        opened("alpha").sealing() as mine,
        opened("alpha").sealing() as theirs,
        opened("beta").sealing() as other,
    ):
        assert (mine, theirs, other) == (True, False, True)
    with opened("alpha").sealing() as again:
        assert again


def test_many_chains_at_once_are_as_one_after_the_other(log: AuditLog) -> None:
    whole = [event(seq, account=f"a{n}") for n in range(300) for seq in (1, 2)]
    receipts = log.append(whole)
    assert [receipt.seq for receipt in receipts] == [2] * 300
    assert log.append(whole) == receipts
    more = [event(3, account=f"a{n}") for n in range(300)]
    with pytest.raises(NotDurable, match="a299"):
        log.append([*more[:-1], event(4, account="a299")])
    assert log.head("dry_run/run-1/alpha/a0")[0] == 2
    assert {receipt.seq for receipt in log.append(more)} == {3}


def test_a_turn_is_one_transaction_that_no_other_writer_comes_into(log: AuditLog, opened: Open) -> None:
    other = opened("alpha")
    with ThreadPoolExecutor(1) as pool:
        with log.turn():
            assert log.append([event(1)])[0].seq == 1
            waiting = pool.submit(other.append, [event(1, account="b")])
            assert not wait([waiting], timeout=0.3).done
            assert log.head(CHAIN)[0] == 1 and other.head(CHAIN) == (0, GENESIS)
            log.append([event(2)])
        assert waiting.result()[0].seq == 1
    assert other.head(CHAIN)[0] == 2


def test_a_turn_that_fails_leaves_nothing_and_one_part_that_fails_only_its_own(log: AuditLog) -> None:
    with pytest.raises(KeyError), log.turn():
        log.append([event(1)])
        raise KeyError
    assert log.head(CHAIN) == (0, GENESIS)
    with log.turn():
        log.append([event(1)])
        with pytest.raises(NotDurable, match="3 where 2 follows"):
            log.append([event(1, account="b"), event(3)])
    assert log.head(CHAIN)[0] == 1 and log.head("dry_run/run-1/alpha/b")[0] == 0
