"""RL rows in the store: committed with their decision or not at all, dropped once they are sealed but for the last."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from tests.ports.test_ledger_port import of
from tests.record_samples import event

from regime_trading.adapters.database import SqlAuditLog, SqlLedger, SqlRLLog
from regime_trading.core.audit import Backlog
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.ports import Ledger, RLLog
from regime_trading.core.rl_rows import RLDecision
from regime_trading.core.schemas import Mode

Store = tuple[Ledger, SqlAuditLog, RLLog]


@pytest.fixture
def store(database: Callable[[], Engine]) -> Store:
    engine = database()
    ledger = SqlLedger(engine, firm_id="alpha", env=Mode.SHADOW)
    return ledger, SqlAuditLog(engine, firm_id="alpha"), SqlRLLog(engine, firm_id="alpha")


def with_rows(account: str, seq: int, **changes: object) -> DecisionCommit:
    body = b'{"n":%d}' % seq * 200  # long enough to be packed
    rows = RLDecision(seq, seq * 10, b"end %d" % seq, body)
    return of(account, seq, **({"rl": rows} | changes))


def sealed_up_to(audit: SqlAuditLog, account: str, seq: int) -> None:
    chain = f"shadow/alpha/{account}"
    entry = audit.entries(chain, audit.sealed(chain).dropped_seq)
    audit.drop_sealed(chain, seq, next(one.entry_hash for one in entry if one.event.seq == seq))


def test_rows_come_with_their_decision_and_the_last_one_says_what_is_open(store: Store) -> None:
    ledger, _, log = store
    assert ledger.open_ends(["alpha/a", "alpha/b"]) == {} and ledger.open_ends([]) == {}
    ledger.commit_decisions([with_rows("a", 1), with_rows("b", 1), of("c", 1)])
    ledger.commit_decisions([with_rows("a", 2)])
    assert ledger.open_ends(["alpha/a", "alpha/b", "alpha/c"]) == {"alpha/a": b"end 2", "alpha/b": b"end 1"}
    rows, decisions = log.waiting()
    assert [(row.account_id, row.seq, row.ts_event_ns, row.run_id, row.env) for row in rows] == [
        ("a", 1, 10, "2024-01-02", "shadow"), ("b", 1, 10, "2024-01-02", "shadow"), ("a", 2, 20, "2024-01-02", "shadow")
    ]  # fmt: skip
    assert rows[2].body == b'{"n":2}' * 200 and len(decisions) == 4
    with pytest.raises(BadInput):
        ledger.open_ends(["beta/a"])


def test_the_same_decision_again_leaves_no_more(store: Store) -> None:
    ledger, _, log = store
    for _ in range(2):
        ledger.commit_decisions([with_rows("a", 1)])
    assert len(log.waiting()[0]) == 1


def test_no_rows_without_their_decision(store: Store) -> None:
    ledger, _, log = store
    ledger.commit_decisions([with_rows("a", 1), with_rows("b", 1)])
    with pytest.raises(NotDurable):
        ledger.commit_decisions([with_rows("a", 2), with_rows("b", 3)])  # a gap
    assert len(log.waiting()[0]) == 2 and ledger.open_ends(["alpha/a"]) == {"alpha/a": b"end 1"}


def test_rows_go_once_they_are_sealed_and_the_last_of_each_account_stays(store: Store) -> None:
    ledger, audit, log = store
    for seq in (1, 2, 3):
        ledger.commit_decisions([with_rows("a", seq), with_rows("b", seq)])
    assert log.sealable(10) == (), "nothing before the entries of its decision"
    sealed_up_to(audit, "a", 2)
    page = log.sealable(10)
    assert [(row.account_id, row.seq) for row in page] == [("a", 1), ("a", 2)]
    assert log.sealable(1) == page[:1]
    log.drop_sealed(page)
    assert log.sealable(10) == () and len(log.waiting()[0]) == 4
    assert [(one.account, one.rows, one.first_ns, one.last_ns) for one in log.unsealed()] == [
        ("alpha/a", 1, 30, 30), ("alpha/b", 3, 10, 30)
    ]  # fmt: skip
    sealed_up_to(audit, "a", 3)
    sealed_up_to(audit, "b", 3)
    log.drop_sealed(log.sealable(10))
    assert log.waiting()[0] == () and log.sealable(10) == ()
    assert ledger.open_ends(["alpha/a", "alpha/b"]) == {"alpha/a": b"end 3", "alpha/b": b"end 3"}


def test_environments_and_firms_are_apart(database: Callable[[], Engine], store: Store) -> None:
    ledger, _, _ = store
    ledger.commit_decisions([with_rows("a", 1)])
    dry = SqlLedger(database(), firm_id="alpha", env=Mode.DRY_RUN)
    assert dry.open_ends(["alpha/a"]) == {}
    assert SqlRLLog(database(), firm_id="beta").waiting() == ((), ())


def dry(database: Callable[[], Engine], account: str, n: int, run_id: str) -> None:
    ledger = SqlLedger(database(), firm_id="alpha", env=Mode.DRY_RUN)
    body = RLDecision(1, n * 10, b"end %d" % n, b"{}")
    entry = event(1, account=account, env=Mode.DRY_RUN, run_id=run_id)
    ledger.commit_decisions([of(account, 1, events=[entry], run_id=run_id, rl=body)])


def test_the_gates_dry_runs_wait_for_no_entry_and_a_paced_run_does(
    database: Callable[[], Engine], store: Store
) -> None:
    _, _, log = store
    gate, paced = "pm-20240102-0123456789ab", "paced-1"
    dry(database, "a", 1, gate)
    dry(database, "b", 1, paced)
    assert [(row.account_id, row.run_id) for row in log.sealable(9)] == [("a", gate)]
    assert log.backlog() == (Backlog("dry_run/alpha/a", 1, 10),)
    assert log.dry_runs() == (paced,)
    log.drop_sealed(log.sealable(9))
    assert log.backlog() == () and log.sealable(9) == () and log.dry_runs() == (paced,)
