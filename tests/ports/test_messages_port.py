"""What every store of messages and tickets must do. SQLite and a real PostgreSQL are both held to it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine
from tests.record_samples import decision_id, event, events, portfolio, state

from regime_trading.adapters.database import SqlAuditLog, SqlLedger, SqlMessages, SqlTickets, message_heads
from regime_trading.adapters.database import messages as stored
from regime_trading.adapters.database.engine import writing
from regime_trading.adapters.database.messages import publish
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.messages import Message, RunLogData
from regime_trading.core.schemas import EventType, Mode
from regime_trading.services.stream_tickets import GOOD_FOR_NS, issue, redeem

Open = Callable[[], Engine]


def line(text: str, ts_ns: int = 7, account: str = "") -> Message:
    return Message(ts_ns, RunLogData(job_id="job", line=text), account)


def lines(store: SqlMessages, after: int = 0) -> list[tuple[int, str]]:
    return [(one.seq, RunLogData.model_validate_json(one.body).line) for one in store.after(after)]


def test_messages_are_numbered_from_one_without_holes_in_each_firm(database: Open) -> None:
    alpha, beta = SqlMessages(database(), firm_id="alpha"), SqlMessages(database(), firm_id="beta")
    assert (alpha.span(), alpha.after(0)) == ((1, 0), ())
    alpha.publish([line("a"), line("b")])
    beta.publish([line("other")])
    alpha.publish([])
    alpha.publish([line("c", account="alpha/main")])
    again = SqlMessages(database(), firm_id="alpha")
    assert (again.span(), lines(again)) == ((1, 3), [(1, "a"), (2, "b"), (3, "c")])
    assert lines(again, after=2) == [(3, "c")]
    assert [one.seq for one in again.after(0, limit=2)] == [1, 2]
    assert (again.after(2)[0].account, again.after(2)[0].firm_id) == ("alpha/main", "alpha")
    assert message_heads(database(), ["alpha", "beta", "nobody"]) == {"alpha": 3, "beta": 1}
    assert message_heads(database(), []) == {}


def test_a_message_about_another_firm_is_refused(database: Open) -> None:
    store = SqlMessages(database(), firm_id="alpha")
    with pytest.raises(BadInput, match="an account of firm alpha"):
        store.publish([line("a"), line("b", account="beta/main")])
    assert store.span() == (1, 0)


def test_numbers_of_what_was_undone_are_given_out_again(database: Open) -> None:
    engine = database()
    store = SqlMessages(engine, firm_id="alpha")
    store.publish([line("a")])
    with pytest.raises(ZeroDivisionError), writing(engine) as connection:
        publish(connection, "alpha", [line("never")])
        raise ZeroDivisionError
    store.publish([line("b")])
    assert lines(store) == [(1, "a"), (2, "b")]


WRITERS = """
import os, sys, time
from regime_trading.adapters.database import open_database
from regime_trading.adapters.database import messages as stored
from regime_trading.adapters.database.engine import writing
from regime_trading.adapters.database.messages import publish
from regime_trading.core.messages import Message, RunLogData
children = []
for writer in range(3):
    child = os.fork()
    if child == 0:
        engine = open_database(sys.argv[1])
        for n in range(8):
            with writing(engine) as connection:
                said = [RunLogData(job_id=str(writer), line=str(2 * n + k)) for k in (0, 1)]
                publish(connection, "alpha", [Message(n, one) for one in said])
                time.sleep(0.002 * (writer + n) % 0.005)  # numbered, and not there yet
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_processes_that_publish_at_once_leave_no_hole_for_whoever_follows(database: Open) -> None:
    engine = database()
    store, seen, done = SqlMessages(engine, firm_id="alpha"), [], threading.Event()

    def follow() -> None:
        """Remembers the last number only, as every reader does."""
        while not (done.is_set() and seen and seen[-1].seq == store.span()[1]):
            seen.extend(store.after(seen[-1].seq if seen else 0))

    reader = threading.Thread(target=follow)
    reader.start()
    url = engine.url.render_as_string(hide_password=False)
    ran = subprocess.run([sys.executable, "-c", WRITERS, url], capture_output=True, text=True, check=True)
    done.set()
    reader.join(20)
    assert (ran.stdout.strip(), ran.stderr) == ("[0, 0, 0]", "")
    assert [one.seq for one in seen] == list(range(1, 49))
    said = [RunLogData.model_validate_json(one.body) for one in seen]
    for writer in "012":
        assert [int(one.line) for one in said if one.job_id == writer] == list(range(16))


def test_old_messages_go_and_what_stays_has_no_holes(database: Open) -> None:
    store = SqlMessages(database(), firm_id="alpha")
    SqlMessages(database(), firm_id="beta").publish([line("other", ts_ns=1)])
    store.publish([line(str(n), ts_ns=ts) for n, ts in enumerate((1, 2, 9, 3, 4, 5), 1)])
    assert store.drop_before(5, keep=5) == 1
    assert store.drop_before(5, keep=0) == 1, "the fourth is old, and behind one that is not"
    assert (store.span(), [one.seq for one in store.after(0)]) == ((3, 6), [3, 4, 5, 6])
    assert store.drop_before(100, keep=0) == 4
    assert (store.span(), store.after(0)) == ((7, 6), ())
    store.publish([line("next")])
    assert lines(store) == [(7, "next")]
    assert lines(SqlMessages(database(), firm_id="beta")) == [(1, "other")]


def test_publishing_alone_keeps_them_few(database: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST", 30)
    monkeypatch.setattr(stored, "_DROPS", 10)
    store = SqlMessages(database(), firm_id="alpha")
    SqlMessages(database(), firm_id="beta").publish([line("other")])
    for n in range(1, 30):
        store.publish([line(str(n))] * 3)
        first, last = store.span()
        assert last == 3 * n and min(last, 30) <= last - first + 1 <= 42
        assert [one.seq for one in store.after(0)] == list(range(first, last + 1))
    assert lines(SqlMessages(database(), firm_id="beta")) == [(1, "other")]


def test_lasting_readers_never_go_back(database: Open) -> None:
    store = SqlMessages(database(), firm_id="alpha")
    assert store.read_by("mail") == 0
    for seq in (3, 9, 4):
        store.mark_read("mail", seq)
    assert (store.read_by("mail"), store.read_by("push")) == (9, 0)
    assert SqlMessages(database(), firm_id="beta").read_by("mail") == 0


# --- told with the record -------------------------------------------------------------------------------------


def types(engine: Engine) -> list[str]:
    return [one.type for one in SqlMessages(engine, firm_id="alpha").after(0)]


@pytest.mark.parametrize(
    ("env", "announce", "told"),
    [(Mode.SHADOW, False, 1), (Mode.DRY_RUN, True, 1), (Mode.DRY_RUN, False, 0)],
)
def test_a_decision_is_told_once_in_its_transaction(
    database: Open, env: Mode, announce: bool, told: int
) -> None:
    engine = database()
    ledger = SqlLedger(engine, firm_id="alpha", env=env, announce_dry_runs=announce)
    made = DecisionCommit(state(1), portfolio(1), (), [event(1, env=env)], "run-1", decision_id(1))
    for _ in range(2):
        ledger.commit_decisions([made])
    assert len(types(engine)) == told
    other = DecisionCommit(state(1), portfolio(1), (), [event(3, env=env)], "run-1", decision_id(3))
    with pytest.raises(NotDurable):
        ledger.commit_decisions([other])
    assert len(types(engine)) == told


def test_of_threads_that_share_a_commit_only_what_is_kept_is_told(database: Open) -> None:
    engine = database()
    ledger, barrier = SqlLedger(engine, firm_id="alpha", env=Mode.SHADOW), threading.Barrier(12)

    def commit(n: int) -> bool:
        where = {"env": Mode.SHADOW, "account": f"a{n}", "run_id": f"run-{n}"}
        first = 2 if n % 3 == 0 else 1  # a gap: refused
        made = DecisionCommit(
            state(1, account=f"alpha/a{n}"), portfolio(1, account=f"alpha/a{n}"), (),
            [event(first, **where)], f"run-{n}", decision_id(first, f"run-{n}"),
        )  # fmt: skip
        barrier.wait()
        try:
            ledger.commit_decisions([made])
        except NotDurable:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        kept = [n for n, done in enumerate(pool.map(commit, range(12))) if done]
    told = SqlMessages(engine, firm_id="alpha").after(0)
    assert kept == [n for n in range(12) if n % 3]
    assert [one.seq for one in told] == list(range(1, 9))
    assert {one.account for one in told} == {f"alpha/a{n}" for n in kept}


def test_acts_are_told_where_they_are_recorded(database: Open) -> None:
    engine = database()
    shadow = events(3, env=Mode.SHADOW, event_type=EventType.EXPORT)
    SqlAuditLog(engine, firm_id="alpha").append(shadow)
    SqlAuditLog(engine, firm_id="alpha").append(events(3, event_type=EventType.EXPORT))
    assert types(engine) == ["audit.append"] * 3
    SqlAuditLog(engine, firm_id="alpha").append(events(4, env=Mode.SHADOW, event_type=EventType.EXPORT))
    assert types(engine) == ["audit.append"] * 4, "those that were there are not told again"
    SqlAuditLog(engine, firm_id="alpha", announce_dry_runs=True).append(
        events(2, run_id="paced", event_type=EventType.EXPORT)
    )
    assert types(engine) == ["audit.append"] * 6


# --- tickets --------------------------------------------------------------------------------------------------


def test_a_ticket_counts_once_and_for_a_while(database: Open) -> None:
    store = SqlTickets(database())
    first, late = (
        issue(store, "u1", "s1", now_ns=100, entropy=lambda n, b=b: b * n) for b in (b"\x01", b"\x02")
    )
    assert redeem(store, "0" * 64, 101) is None
    assert redeem(store, first[:-1], 101) is None
    assert redeem(SqlTickets(database()), first, 101) == "s1"
    assert redeem(store, first, 101) is None
    assert redeem(store, late, 100 + GOOD_FOR_NS) is None
    assert redeem(store, late, 99 + GOOD_FOR_NS) == "s1"
    assert store.drop_before(101 + GOOD_FOR_NS) == 2


def test_of_many_that_use_a_ticket_at_once_one_gets_in(database: Open) -> None:
    engine = database()
    ticket = issue(SqlTickets(engine), "u1", "s1", now_ns=0, entropy=lambda n: b"\x07" * n)
    barrier = threading.Barrier(6)

    def use(_: int) -> str | None:
        barrier.wait()
        return redeem(SqlTickets(engine), ticket, 1)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(use, range(6)))
    assert sorted(found, key=str) == [None] * 5 + ["s1"]
