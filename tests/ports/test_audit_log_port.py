"""What every AuditLog must do. A new adapter joins by adding its factory to ``ADAPTERS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.record_samples import T0_NS, event, events

from regime_trading.adapters.database import SqlAuditLog, open_database, sqlite_url
from regime_trading.core.audit import link, verify_chain
from regime_trading.core.canonical import GENESIS
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.ports import AuditLog
from regime_trading.core.schemas import Mode, Receipt

CHAIN = "dry_run/run-1/alpha/main"
Open = Callable[[Path, str], AuditLog]


def sql_on_sqlite(folder: Path, firm_id: str) -> AuditLog:
    return SqlAuditLog(open_database(sqlite_url(folder / "store.db")), firm_id=firm_id)


ADAPTERS: list[Open] = [sql_on_sqlite]


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], AuditLog]:
    return lambda firm_id: request.param(tmp_path, firm_id)


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
