"""What every store of jobs must do, on SQLite and on a real PostgreSQL (``conftest.py``)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from regime_trading.adapters.database import SqlJobs, SqlMessages, SqlQueue
from regime_trading.core.errors import BadInput
from regime_trading.core.jobs import (
    MAX_ATTEMPTS,
    MAX_LINES,
    Hold,
    Job,
    JobKind,
    JobStatus,
    TooManyJobs,
    cancelled,
    done,
    failed,
    moved,
    stopped,
)
from regime_trading.core.messages import Message, RunLogData

Open = Callable[[], Engine]
LEASE = 100
MARY = "u-abcdefgh23456777"


def job(n: int, firm_id: str = "alpha", **changes: Any) -> Job:
    plain: dict[str, Any] = {"request": "{}", "by": MARY, "created_ns": n}
    return Job(f"job-{n}", firm_id, JobKind.RUN, **(plain | changes))


def add(engine: Engine, *jobs: Job) -> None:
    for one in jobs:
        SqlJobs(engine, firm_id=one.firm_id).add(one, max_waiting=1_000)


def claim(engine: Engine, now_ns: int, worker: str = "w", most: int = 9) -> Job | None:
    return SqlQueue(engine).claim(worker, now_ns, lease_ns=LEASE, max_of_firm=most)


def told(engine: Engine, firm_id: str = "alpha") -> list[tuple[str, str]]:
    found = SqlMessages(engine, firm_id=firm_id).after(0)
    return [(m.type, m.body) for m in found]


def test_a_job_is_queued_once_and_found_again(database: Open) -> None:
    jobs = SqlJobs(database(), firm_id="alpha")
    assert jobs.get("job-1") is None and jobs.page() == ()
    assert jobs.add(job(1), max_waiting=5) == job(1) == jobs.get("job-1")
    assert jobs.add(job(1, created_ns=7), max_waiting=5) == job(1), "the same request again is the same job"
    with pytest.raises(BadInput, match="idempotency key"):
        jobs.add(job(1, request='{"basket":"x"}'), max_waiting=5)
    with pytest.raises(BadInput):
        jobs.add(job(2, firm_id="beta"), max_waiting=5)
    assert [kind for kind, _ in told(database())] == ["run.status"]


def test_another_firm_sees_and_changes_nothing(database: Open) -> None:
    add(database(), job(1))
    beta = SqlJobs(database(), firm_id="beta")
    assert beta.get("job-1") is None and beta.page() == () and beta.lines("job-1") == ()
    with pytest.raises(BadInput, match="a job of firm beta"):
        beta.change("job-1", lambda one: cancelled(one, 5), 5)
    assert beta.drop_before(10**18) == 0
    assert told(database(), "beta") == []


def test_a_person_may_have_so_many_waiting_and_no_more(database: Open) -> None:
    jobs = SqlJobs(database(), firm_id="alpha")
    for n in (1, 2):
        jobs.add(job(n), max_waiting=2)
    with pytest.raises(TooManyJobs):
        jobs.add(job(3), max_waiting=2)
    assert jobs.add(job(2), max_waiting=2) == job(2), "what is there already costs nothing"
    jobs.add(job(4, by="u-bbbbbbbb23456777"), max_waiting=2)
    assert claim(database(), 10) is not None
    jobs.add(job(3), max_waiting=2)


def test_firms_take_turns_whoever_asked_for_more_or_earlier(database: Open) -> None:
    engine = database()
    add(engine, *(job(n) for n in range(1, 5)), job(11, "beta"), job(12, "beta"), job(21, "gamma"))
    order = []
    for now in range(1, 8):
        found = claim(engine, now)
        assert found is not None
        order.append(found.job_id)
        hold = Hold.of(found)
        SqlJobs(engine, firm_id=found.firm_id).change(
            found.job_id, lambda one: done(one, {}, 1), 1, hold=hold
        )
    assert order == ["job-1", "job-11", "job-21", "job-2", "job-12", "job-3", "job-4"]
    assert claim(engine, 9) is None


def test_a_firm_has_so_many_at_work_and_no_more(database: Open) -> None:
    engine = database()
    add(engine, job(1), job(2), job(3), job(4, "beta"))
    found = [claim(engine, 10 + n, most=2) for n in range(4)]
    assert [one and one.job_id for one in found] == ["job-1", "job-4", "job-2", None]
    SqlJobs(engine, firm_id="alpha").change("job-2", lambda one: cancelled(one, 20), 20)
    assert claim(engine, 21, most=2) is None, "one that is being cancelled is still at work"
    SqlJobs(engine, firm_id="alpha").change("job-2", lambda one: stopped(one, 22), 22)
    assert claim(engine, 23, most=2) == replace(
        job(3), status=JobStatus.RUNNING, attempt=1, started_ns=23, worker="w", lease_ns=23 + LEASE
    )


def test_a_lease_that_ended_is_taken_over_and_the_former_holder_writes_nothing(database: Open) -> None:
    engine = database()
    jobs = SqlJobs(engine, firm_id="alpha")
    add(engine, job(1))
    first = claim(engine, 10, "one")
    assert first is not None and claim(engine, 10 + LEASE, "two") is None, "until its end it is a lease"
    mine = Hold.of(first)
    renewed = jobs.change("job-1", lambda one: replace(moved(one, "a", 0.5), lease_ns=200), 100, hold=mine)
    assert renewed is not None and claim(engine, 200, "two") is None
    second = claim(engine, 201, "two")
    assert second is not None and (second.attempt, second.worker, second.started_ns) == (2, "two", 10)
    before = told(engine)
    for step in (
        lambda one: done(one, {}, 300),
        lambda one: failed(one, "x", 300),
        lambda one: moved(one, "b", 1),
    ):
        assert jobs.change("job-1", step, 300, hold=mine, lines=["late"]) is None
    assert jobs.get("job-1") == second and told(engine) == before and jobs.lines("job-1") == ()


def test_a_job_that_kills_its_workers_fails_after_three_times(database: Open) -> None:
    engine = database()
    add(engine, job(1))
    now = 0
    for attempt in range(1, MAX_ATTEMPTS + 1):
        found = claim(engine, now, f"w{attempt}")
        assert found is not None and found.attempt == attempt
        now += LEASE + 1
    assert claim(engine, now) is None
    found = SqlJobs(engine, firm_id="alpha").get("job-1")
    assert found is not None and found.status is JobStatus.FAILED and found.finished_ns == now
    assert found.error == "its worker stopped answering, 3 times; it is not tried again"
    assert (found.worker, found.lease_ns) == ("", None)


def test_what_is_cancelled_ends_and_what_ended_stays(database: Open) -> None:
    engine = database()
    jobs = SqlJobs(engine, firm_id="alpha")
    add(engine, job(1), job(2), job(3))

    def cancel(job_id: str, now: int) -> Job:
        found = jobs.change(job_id, lambda one: cancelled(one, now), now)
        assert found is not None
        return found

    assert cancel("job-1", 5).status is JobStatus.CANCELLED
    taken = claim(engine, 6)
    assert taken is not None and taken.job_id == "job-2"
    assert cancel("job-2", 7).status is JobStatus.CANCELLING
    assert claim(engine, 7 + LEASE) is not None
    claim(engine, 9 + LEASE)
    found = jobs.get("job-2")
    assert found is not None and found.status is JobStatus.CANCELLED, "its worker died: nobody takes it over"
    for name in ("job-1", "job-2"):
        before = jobs.get(name)
        assert cancel(name, 10**6) == before


def test_pages_go_from_the_newest_on_and_miss_nothing(database: Open) -> None:
    engine = database()
    jobs = SqlJobs(engine, firm_id="alpha")
    add(engine, *(job(n, created_ns=n // 2) for n in range(10, 17)))
    claim(engine, 100)
    pages, before = list[str](), None
    while page := jobs.page(before=before, limit=3):
        pages += [one.job_id for one in page]
        before = (page[-1].created_ns, page[-1].job_id)
    assert pages == [f"job-{n}" for n in range(16, 9, -1)]
    assert [one.job_id for one in jobs.page(status=JobStatus.RUNNING)] == ["job-10"]
    assert jobs.page(kind=JobKind.EXPORT) == ()


def test_every_step_tells_what_changed_once_with_its_lines(database: Open) -> None:
    engine = database()
    jobs = SqlJobs(engine, firm_id="alpha")
    add(engine, job(1))
    found = claim(engine, 5)
    assert found is not None
    hold, log = Hold.of(found), [Message(6, RunLogData(job_id="job-1", line="two"))]
    jobs.change(
        "job-1", lambda one: moved(one, "ingest", 0.5), 6, hold=hold, lines=["one", "two"], messages=log
    )
    jobs.change("job-1", lambda one: replace(one, lease_ns=10**6), 7, hold=hold)
    jobs.change("job-1", lambda one: done(one, {"run_id": "r"}, 8), 8, hold=hold, lines=["three"])
    assert jobs.lines("job-1") == ((1, 6, "one"), (2, 6, "two"), (3, 8, "three"))
    assert jobs.lines("job-1", after=1, limit=1) == ((2, 6, "two"),)
    statuses = [
        body.split('"status":"')[1].split('"')[0] for kind, body in told(engine) if kind == "run.status"
    ]
    assert statuses == ["queued", "running", "running", "done"], "a renewed lease is not news"
    assert [kind for kind, _ in told(engine)].count("run.log") == 1


def test_a_refused_step_leaves_nothing(database: Open) -> None:
    engine = database()
    jobs = SqlJobs(engine, firm_id="alpha")
    add(engine, job(1))
    before = told(engine)
    with pytest.raises(BadInput, match="a job that is cancelling or running"):
        jobs.change("job-1", lambda one: done(one, {}, 5), 5, lines=["x"])
    with pytest.raises(BadInput):
        jobs.change(
            "job-1", lambda one: one, 5, messages=[Message(5, RunLogData(job_id="x", line=""), "beta/main")]
        )
    assert jobs.get("job-1") == job(1) and told(engine) == before and jobs.lines("job-1") == ()


def test_a_log_has_an_end(database: Open) -> None:
    engine = database()
    jobs = SqlJobs(engine, firm_id="alpha")
    add(engine, job(1))
    for _ in range(3):
        jobs.change("job-1", lambda one: one, 5, lines=["x"] * (MAX_LINES // 2 + 1))
    assert jobs.lines("job-1", limit=10**6)[-1][0] == MAX_LINES


def test_workers_that_ask_at_once_get_different_jobs(database: Open) -> None:
    engines = [database() for _ in range(4)]
    add(engines[0], *(job(n, "alpha" if n % 2 else "beta") for n in range(24)))
    got = Counter[str]()
    start = threading.Barrier(4)

    def work(n: int) -> None:
        start.wait()
        while found := claim(engines[n], 100, f"w{n}", most=100):
            got[found.job_id] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == Counter({f"job-{n}": 1 for n in range(24)})


def test_a_slot_is_fired_once_by_whoever_comes_first(database: Open) -> None:
    engines = [database() for _ in range(4)]
    assert SqlJobs(engines[0], firm_id="alpha").last_slot("core") is None
    start, fired, told = threading.Barrier(4), list[int](), list[bool]()

    def fire(n: int) -> None:
        jobs = SqlJobs(engines[n], firm_id="alpha")
        start.wait()
        for slot in range(5):
            after, mine = slot - 1 if slot else None, job(slot, by="service:scheduler")
            told.append(jobs.fire("core", after, slot, [mine]))
            fired.extend([slot] if told[-1] else [])

    threads = [threading.Thread(target=fire, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fired == list(range(5))
    assert len(told) == 20, "whoever comes later is told so, not refused"
    jobs = SqlJobs(engines[0], firm_id="alpha")
    assert jobs.last_slot("core") == 4 and len(jobs.page()) == 5
    assert SqlJobs(engines[0], firm_id="beta").last_slot("core") is None
    assert jobs.fire("other", None, 9, []) and jobs.last_slot("other") == 9 and len(jobs.page()) == 5
    for stale in (None, 3, 5):
        assert not jobs.fire("core", stale, 6, [job(6)]), "it stands somewhere else"
    assert jobs.last_slot("core") == 4 and len(jobs.page()) == 5


def test_workers_are_seen_until_they_leave(database: Open) -> None:
    queue = SqlQueue(database())
    assert queue.last_seen() is None
    queue.beat("one", 5)
    queue.beat("two", 7)
    queue.beat("one", 9)
    assert queue.last_seen() == 9
    queue.leave("one")
    assert queue.last_seen() == 7
    add(database(), job(1))
    assert queue.counts() == {"queued": 1}


def test_old_jobs_go_with_their_logs(database: Open) -> None:
    engine = database()
    jobs = SqlJobs(engine, firm_id="alpha")
    add(engine, job(1), job(2))
    jobs.change("job-1", lambda one: cancelled(one, 50), 50, lines=["x"])
    assert jobs.drop_before(50) == 0 and jobs.drop_before(51) == 1
    assert [one.job_id for one in jobs.page()] == ["job-2"] and jobs.lines("job-1") == ()
