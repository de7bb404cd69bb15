"""What every Ledger must do. SQLite and a real PostgreSQL are both held to it (``conftest.py``)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.event import listen
from tests.record_samples import (
    DAY_NS,
    T0_NS,
    decision_id,
    event,
    latch,
    orders,
    portfolio,
    state,
)

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlAuditLog, SqlLedger, SqlRLLog
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.core.audit import event_id, link, verify_chain
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.ports import Ledger
from regime_trading.core.rl import REWARDS
from regime_trading.core.rl_features import BLOCKS
from regime_trading.core.rl_rows import RLDecision
from regime_trading.core.schemas import EventType, Mode, OrderStatus, Receipt
from regime_trading.engine.rl_body import body_of
from regime_trading.guards.attribution import WORDS
from regime_trading.services.rl import check
from regime_trading.services.rl_dataset import RLDataset, RLRun
from regime_trading.services.sealing import Sealing

Open = Callable[..., Ledger]


@pytest.fixture
def opened(database: Callable[[], Engine]) -> Open:
    def open_ledger(firm_id: str = "alpha", env: Mode = Mode.DRY_RUN) -> Ledger:
        return SqlLedger(database(), firm_id=firm_id, env=env)

    return open_ledger


@pytest.fixture
def ledger(opened: Open) -> Ledger:
    return opened()


def decision(seq: int, run_id: str = "run-1", **changes: Any) -> dict[str, Any]:
    plain = {
        "state": state(seq, latches=(latch(1), latch(seq))),
        "portfolio": portfolio(seq),
        "orders": orders(seq, run_id),
        "events": [event(seq, run_id=run_id)],
        "run_id": run_id,
        "decision_id": decision_id(seq, run_id),
    }
    return plain | changes


def at(seq: int) -> int:
    return T0_NS + seq * DAY_NS


def test_what_was_committed_is_loaded_latches_and_orders_included(ledger: Ledger, opened: Open) -> None:
    assert ledger.load("alpha/main", at(9)) is None
    receipt = ledger.commit_decision(**decision(1))
    assert receipt == Receipt("dry_run/run-1/alpha/main", 1, link([event(1)])[0].entry_hash)
    found = opened().load("alpha/main", at(9))
    assert found == (state(1, latches=(latch(1), latch(1))), portfolio(1), orders(1))
    assert found[0].model_dump_json() == state(1, latches=(latch(1), latch(1))).model_dump_json()


def test_only_the_past_is_loaded(ledger: Ledger) -> None:
    for seq in (1, 2, 3):
        ledger.commit_decision(**decision(seq))
    assert ledger.load("alpha/main", at(1)) is None
    for seq in (1, 2, 3):
        found = ledger.load("alpha/main", at(seq) + 1)
        assert found is not None and found[0].as_of_ns == at(seq)
        assert found[2] == orders(seq)
    assert ledger.load("alpha/main", at(3))[0].as_of_ns == at(2)  # type: ignore[index]


def test_of_two_runs_at_one_instant_the_later_commit_is_in_force(ledger: Ledger) -> None:
    ledger.commit_decision(**decision(1))
    other = state(1).model_copy(update={"rung": 2})
    ledger.commit_decision(**decision(1, "run-2", state=other))
    found = ledger.load("alpha/main", at(2))
    assert found == (other, portfolio(1), orders(1, "run-2"))


def test_a_later_state_may_have_no_latches(ledger: Ledger) -> None:
    ledger.commit_decision(**decision(1))
    ledger.commit_decision(**decision(2, state=state(2)))
    assert ledger.load("alpha/main", at(3))[0].latches == ()  # type: ignore[index]


def test_the_same_decision_again_gives_the_same_receipt_and_changes_nothing(ledger: Ledger) -> None:
    first = ledger.commit_decision(**decision(1))
    ledger.mark_orders(first, {orders(1)[0].client_order_id: OrderStatus.FILLED})
    second = ledger.commit_decision(**decision(2))
    assert ledger.commit_decision(**decision(1)) == first
    assert ledger.commit_decision(**decision(2)) == second
    assert ledger.load("alpha/main", at(2))[2] == orders(1)[1:]  # type: ignore[index]


@pytest.mark.parametrize(
    "change",
    [
        {"events": [event(1, note="other")]},
        {"state": state(1)},
        {"state": state(1, latches=(latch(1), latch(2)))},
        {"portfolio": portfolio(2)},
        {"orders": orders(1)[:1]},
        {"orders": orders(1)[::-1]},
        {"orders": ()},
        {"decision_id": "another"},
        {"events": [event(1), event(2)]},
    ],
)
def test_the_same_decision_with_other_content_is_not_durable(ledger: Ledger, change: dict[str, Any]) -> None:
    ledger.commit_decision(**decision(1))
    with pytest.raises(NotDurable):
        ledger.commit_decision(**decision(1, **change))
    found = ledger.load("alpha/main", at(9))
    assert found == (state(1, latches=(latch(1), latch(1))), portfolio(1), orders(1))
    assert ledger.commit_decision(**decision(2)).seq == 2


def test_an_order_id_is_used_once_in_a_chain(ledger: Ledger) -> None:
    ledger.commit_decision(**decision(1))
    with pytest.raises(NotDurable):
        ledger.commit_decision(**decision(2, orders=orders(1)))
    assert ledger.load("alpha/main", at(9))[0].as_of_ns == at(1)  # type: ignore[index]


@pytest.mark.parametrize(
    "change",
    [
        {"events": []},
        {"events": [event(1, event_type=EventType.LATCH)]},
        {"events": [event(1, account="other")]},
        {"events": [event(1, firm="beta")]},
        {"events": [event(1, run_id="run-2")]},
        {"events": [event(1, env=Mode.SHADOW)]},
        {"portfolio": portfolio(1, account="alpha/other")},
        {"state": state(1, account="alpha/other")},
        {"state": state(1, account="beta/main")},
        {"state": state(1, account="main")},
        {"state": state(1, account="alpha/../x")},
        {"state": state(1, account="alpha/main/x")},
        {"run_id": "../run"},
    ],
)
def test_what_does_not_belong_together_is_bad_input(ledger: Ledger, change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        ledger.commit_decision(**decision(1, **change))
    assert ledger.load("alpha/main", at(9)) is None


def test_accounts_of_another_firm_are_refused_and_unseen(ledger: Ledger, opened: Open) -> None:
    receipt = ledger.commit_decision(**decision(1))
    other = opened("beta")
    with pytest.raises(BadInput, match="beta"):
        other.load("alpha/main", at(9))
    with pytest.raises(BadInput, match="beta"):
        other.mark_orders(receipt, {})
    assert other.load("beta/main", at(9)) is None
    with pytest.raises(BadInput):
        opened("")


def test_state_of_one_environment_is_not_seen_in_another(ledger: Ledger, opened: Open) -> None:
    ledger.commit_decision(**decision(1))
    assert opened(env=Mode.SHADOW).load("alpha/main", at(9)) is None


def test_in_shadow_a_second_writer_loses(opened: Open) -> None:
    ledger = opened(env=Mode.SHADOW)
    day = {"env": Mode.SHADOW, "run_id": "2024-01-02"}
    ledger.commit_decision(**decision(1, "2024-01-02", events=[event(1, **day)]))
    with pytest.raises(NotDurable):
        ledger.commit_decision(
            **decision(1, "2024-01-02", events=[event(1, note="second", **day)], decision_id="second")
        )
    assert ledger.load("alpha/main", at(9))[0].latches == (latch(1), latch(1))  # type: ignore[index]


def test_orders_move_forward_only(ledger: Ledger) -> None:
    receipt = ledger.commit_decision(**decision(1))
    first, second = (order.client_order_id for order in orders(1))
    ledger.mark_orders(receipt, {first: OrderStatus.SENDING, second: OrderStatus.SENT})
    ledger.mark_orders(receipt, {first: OrderStatus.UNKNOWN})
    assert ledger.load("alpha/main", at(2))[2] == orders(1)  # type: ignore[index]
    ledger.mark_orders(receipt, {first: OrderStatus.FILLED, second: OrderStatus.CANCELLED})
    ledger.mark_orders(receipt, {first: OrderStatus.FILLED})
    assert ledger.load("alpha/main", at(2))[2] == ()  # type: ignore[index]
    for order, status in ((first, OrderStatus.SENT), (second, OrderStatus.FILLED)):
        with pytest.raises(BadInput):
            ledger.mark_orders(receipt, {order: status})


def test_marking_is_all_or_none_and_needs_the_receipt(ledger: Ledger) -> None:
    receipt = ledger.commit_decision(**decision(1))
    first, second = (order.client_order_id for order in orders(1))
    with pytest.raises(BadInput):
        ledger.mark_orders(
            receipt, {first: OrderStatus.FILLED, second: OrderStatus.NEW, "zz": OrderStatus.SENT}
        )
    with pytest.raises(BadInput):
        ledger.mark_orders(Receipt(receipt.chain_id, 1, "0" * 64), {first: OrderStatus.FILLED})
    assert ledger.load("alpha/main", at(2))[2] == orders(1)  # type: ignore[index]


def test_a_decision_is_known_by_its_id(ledger: Ledger) -> None:
    done = decision(1)
    assert not ledger.decided("alpha/main", done["decision_id"])
    ledger.commit_decision(**done)
    assert ledger.decided("alpha/main", done["decision_id"])
    assert not ledger.decided("alpha/other", done["decision_id"])
    with pytest.raises(BadInput):
        ledger.decided("beta/main", done["decision_id"])


def test_nothing_is_committed_after_a_state_that_came_in_between(ledger: Ledger) -> None:
    ledger.commit_decision(**decision(1), newest_ns=-1)
    ledger.commit_decision(**decision(2), newest_ns=at(1))
    with pytest.raises(NotDurable, match="decided by somebody else meanwhile"):
        ledger.commit_decision(**decision(3), newest_ns=at(1))
    assert not ledger.decided("alpha/main", decision(3)["decision_id"])
    ledger.commit_decision(**decision(3), newest_ns=at(2))


def test_a_state_beside_another_is_the_one_that_it_saw(ledger: Ledger) -> None:
    def of(account: str, seq: int) -> dict[str, Any]:
        made = {"state": state(seq, account=account), "portfolio": portfolio(seq, account=account)}
        firm, own = account.split("/")
        return decision(1, f"run-{own}-{seq}", **made) | {
            "events": [event(1, firm=firm, account=own, run_id=f"run-{own}-{seq}", ts_event_ns=at(seq))]
        }

    assert ledger.load_beside("alpha/other", "alpha/main", at(5)) is None
    ledger.commit_decision(**of("alpha/other", 4))
    ledger.commit_decision(**of("alpha/main", 5))
    ledger.commit_decision(**of("alpha/other", 5))
    seen = ledger.load_beside("alpha/other", "alpha/main", at(5))
    assert seen is not None and seen[0].as_of_ns == at(4)  # as it was then
    now = ledger.load_beside("alpha/main", "alpha/other", at(5))
    assert now is not None and now[0].as_of_ns == at(5)
    fresh = ledger.load_beside("alpha/other", "alpha/main", at(6))
    assert fresh is not None and fresh[0].as_of_ns == at(5)


# --- many at once -------------------------------------------------------------------------------------------


def of(account: str, seq: int, **changes: Any) -> DecisionCommit:
    """A decision of ``alpha/<account>`` in its shadow chain."""
    day = {"env": Mode.SHADOW, "run_id": "2024-01-02"}
    name = f"alpha/{account}"
    plain: dict[str, Any] = {
        "state": state(seq, account=name, latches=(latch(seq),) if seq % 2 else ()),
        "portfolio": portfolio(seq, account=name),
        "orders": orders(seq, account),
        "events": [event(seq, account=account, **day)],
        "run_id": day["run_id"],
        "decision_id": decision_id(seq, account),
    }
    return DecisionCommit(**(plain | changes))


def test_a_batch_is_what_one_after_the_other_is(opened: Open) -> None:
    ledger = opened(env=Mode.SHADOW)
    whole = [of(f"a{n}", seq) for seq in (1, 2) for n in range(30)]
    receipts = ledger.commit_decisions(whole)
    assert [(r.chain_id, r.seq) for r in receipts] == [
        (f"shadow/alpha/a{n}", seq) for seq in (1, 2) for n in range(30)
    ]
    again = opened(env=Mode.SHADOW)
    for one in whole:
        found = again.load(one.state.account, one.state.as_of_ns + 1)
        assert found == (one.state, one.portfolio, tuple(one.orders))
    assert again.commit_decisions(whole) == receipts
    assert [again.commit_decisions([one])[0] for one in whole] == list(receipts)
    assert ledger.commit_decisions([]) == ()


@pytest.mark.parametrize("where", [0, 7, 19])
def test_a_batch_is_all_or_none(opened: Open, where: int) -> None:
    ledger = opened(env=Mode.SHADOW)
    ledger.commit_decisions([of(f"a{n}", 1) for n in range(20)])
    bad = {
        "a gap": of(f"a{where}", 3),
        "other content": of(f"a{where}", 1, state=state(1, account=f"alpha/a{where}")),
        "an order twice": of(f"a{where}", 2, orders=orders(1, f"a{where}")),
        "overtaken": of(f"a{where}", 2, newest_ns=at(0)),
        "another firm": of(f"a{where}", 2, state=state(2, account="beta/main")),
    }
    for wrong in bad.values():
        batch = [wrong if n == where else of(f"a{n}", 2, newest_ns=at(1)) for n in range(20)]
        with pytest.raises((NotDurable, BadInput)):
            ledger.commit_decisions(batch)
        assert {ledger.load(f"alpha/a{n}", at(9))[0].as_of_ns for n in range(20)} == {at(1)}  # type: ignore[index]
    ledger.commit_decisions([of(f"a{n}", 2, newest_ns=at(1)) for n in range(20)])


def test_a_degraded_decision_is_one_too(opened: Open) -> None:
    told = event(1, event_type=EventType.DEGRADED, env=Mode.SHADOW, run_id="2024-01-02", account="a")
    ledger = opened(env=Mode.SHADOW)
    assert ledger.commit_decisions([of("a", 1, events=[told])])[0].seq == 1


def test_threads_that_commit_at_once_share_a_commit_and_one_fails_alone(
    database: Callable[[], Engine],
) -> None:
    engine = database()
    commits: list[int] = []
    listen(engine, "commit", lambda _: commits.append(1))
    start, failed, done = threading.Barrier(16), list[str](), dict[str, list[Receipt]]()

    def submit(n: int) -> None:
        ledger = SqlLedger(engine, firm_id="alpha", env=Mode.SHADOW)
        start.wait()
        for seq in range(1, 9):
            try:
                late = n == 5 and seq > 1
                made = of(f"a{n}", seq + 1 if late else seq)
                done.setdefault(f"a{n}", []).extend(ledger.commit_decisions([made]))
            except NotDurable:
                failed.append(f"a{n}")

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == ["a5"] * 7 and len(done["a5"]) == 1
    assert all(len(done[f"a{n}"]) == 8 for n in range(16) if n != 5)
    log = SqlAuditLog(database(), firm_id="alpha")
    for name, receipts in done.items():
        chain = f"shadow/alpha/{name}"
        assert log.head(chain) == (receipts[-1].seq, receipts[-1].entry_hash)
        assert verify_chain(log.entries(chain), chain=chain).ok
    print(f"group commit: {sum(map(len, done.values()))} decisions of 16 threads in {len(commits)} commits")
    assert len(commits) < 16 * 8


PACED, GATE = "run-1", "pm-20240102-0123456789ab"


def learnt(seq: int, run_id: str = PACED, *, leads: bool = True, ends: bool = False) -> RLDecision:
    """Rows of a decision; with the transition from the decision before, and the one that ends its episode."""
    ids = {n: event_id(f"dry_run/{run_id}/alpha/main", n) for n in (seq - 1, seq)}
    state = {
        "attempt": 1,
        "symbols": "AAA,BBB",
        "binding_rules": [seq] * WORDS,
        "latch_bits": 0,
        "known_ns": dict.fromkeys(BLOCKS, at(seq)),
        "values": {"equity": seq + 0.1, "weight": [1 / 3, None]},
    }
    action = {"proposed_w": [0.5, 0.0], "final_w": [1 / 3, None], "lo": [None, -0.1], "hi": [0.3, None]}
    codes = {"trading_state": 1, "authority": 0}

    def move(own: int, to: int, reason: str) -> dict[str, Any]:
        where = {
            "run_id": run_id,
            "seq": own,
            "state_id": ids[own],
            "ts_event_ns": at(own),
            "next_run_id": None,
        }
        leads_to = {"next_seq": to, "next_state_id": ids[to] if to else None, "horizon_bars": int(to > 0)}
        told = {"done": bool(reason), "done_reason": reason, "censored": False, "gap": False}
        return where | leads_to | told | {"rewards": dict.fromkeys(REWARDS, own / 7)}

    moves = [move(seq - 1, seq, "")] if leads else []
    moves += [move(seq, 0, "expired")] if ends else []
    return RLDecision(seq, at(seq), f"{run_id} {seq}".encode(), body_of(state, action | codes, moves))


def test_rl_rows_of_a_run_wait_with_their_decision_and_the_last_stays_for_the_next(
    database: Callable[[], Engine], tmp_path: Path
) -> None:
    engine, main, files = database(), "alpha/main", LocalArtifacts(tmp_path / "artifacts")
    ledger, log = SqlLedger(engine, firm_id="alpha", env=Mode.DRY_RUN), SqlRLLog(engine, firm_id="alpha")
    sealing = Sealing(lambda firm: SqlAuditLog(engine, firm_id=firm), ParquetSealer(files), rl=lambda _: log)

    def commit(seq: int, run_id: str = PACED, **rows: bool) -> None:
        ledger.commit_decisions([DecisionCommit(**decision(seq, run_id), rl=learnt(seq, run_id, **rows))])

    commit(1, leads=False)
    commit(2)
    commit(1, GATE, leads=False)  # the gate, beside the run and about the same account
    assert ledger.open_ends([main]) == {main: f"{GATE} 1".encode()}
    assert ledger.open_ends([main], PACED) == {main: b"run-1 2"} and ledger.open_ends([main], "run-2") == {}
    assert [row.seq for row in log.waiting()[0]] == [1, 2, 1]
    assert [(row.run_id, row.seq) for row in log.sealable(9)] == [(GATE, 1)], "its entry is never sealed"
    sealing.seal_all(["alpha"])
    assert log.waiting()[0] == (), "of the gate the rows alone are sealed"
    assert ledger.open_ends([main]) == {main: f"{GATE} 1".encode()}, "and its last stays"
    assert ledger.open_ends([main], PACED) == {main: b"run-1 2"}, "the last of the run stays"
    commit(3, ends=True)
    with pytest.raises(NotDurable):
        commit(5)
    sealing.seal_all(["alpha"])
    commit(4, leads=False)
    sealing.seal_all(["alpha"])
    assert ledger.open_ends([main]) == {main: f"{GATE} 1".encode()}
    dataset, run = RLDataset(files, ParquetSealer(files)), RLRun("alpha", "main", PACED, "dry_run")
    (found,) = check(dataset, PACED).chains
    assert (found.decisions, found.transitions, found.open) == (4, 3, 1) and not found.faults
    state, moves = dataset.table(run, "state"), dataset.table(run, "transition")
    assert state["equity"].to_list() == [1.1, 2.1, 3.1, 4.1]
    assert moves.select("seq", "next_seq", "done", "done_reason").rows() == [
        (1, 2, False, ""), (2, 3, False, ""), (3, 0, True, "expired")
    ]  # fmt: skip
    assert moves["reward_pnl_net"].to_list() == [1 / 7, 2 / 7, 3 / 7]
    assert SqlRLLog(engine, firm_id="beta").waiting()[0] == ()
