"""Workers do every job once, whatever is killed when."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.jobs.world import ask, ended, make_worker, service, until, working

from regime_trading.adapters.database import (
    Engine,
    SqlMessages,
    SqlQueue,
    open_database,
    sqlite_url,
)
from regime_trading.core.jobs import Job, JobStatus

WORLD = Path(__file__).with_name("world.py")
ROOT = WORLD.parents[2]
LEASE_S = 1.5


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(sqlite_url(tmp_path / "store.db"))
    yield opened
    opened.dispose()


def stored(engine: Engine, job: Job) -> Job:
    return service(engine).get(job.firm_id, job.job_id)


def statuses(engine: Engine, job: Job) -> list[str]:
    bodies = [json.loads(m.body) for m in SqlMessages(engine, firm_id=job.firm_id).after(0, 10**6)]
    return [body["status"] for body in bodies if body["job_id"] == job.job_id and "status" in body]


# --- one worker -----------------------------------------------------------------------------------------------


def test_a_job_is_done_and_tells_how_far_it_is(engine: Engine, tmp_path: Path) -> None:
    job = ask(engine, "a", "steps=6 pause=0.25")
    with working(engine, tmp_path) as told:
        until(lambda: ended(engine, job), 15)
    found = stored(engine, job)
    assert (found.status, found.attempt, found.progress, found.error) == (JobStatus.DONE, 1, 1.0, "")
    assert json.loads(found.result) == {"path": "", "run_id": found.run_id, "summary": {"steps": 6}}
    lines = [line.line for line in service(engine).log("alpha", job.job_id)]
    assert lines == [f"step {n} finished" for n in range(6)]
    assert told == []


def test_it_tells_at_most_four_times_a_second(engine: Engine, tmp_path: Path) -> None:
    job = ask(engine, "a", "steps=150 pause=0.01")
    with working(engine, tmp_path):
        until(lambda: ended(engine, job), 20)
    found = stored(engine, job)
    assert found.finished_ns is not None and found.started_ns is not None
    seconds = (found.finished_ns - found.started_ns) / 1e9
    moving = [m for m in SqlMessages(engine, firm_id="alpha").after(0, 10**6) if "step" in m.body]
    assert 2 <= len(moving) <= 4 * seconds + 2
    assert len(service(engine).log("alpha", job.job_id)) == 150, "the log has them all"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("exit=7", "its process ended with exit code 7 and said nothing"),
        ("raise", "unexpected RuntimeError: [masked] of [masked] is wrong"),
        ("refuse", "request: expected something else, found this"),
    ],
)
def test_a_job_that_fails_says_why_in_one_sentence(
    engine: Engine, tmp_path: Path, words: str, error: str
) -> None:
    job = ask(engine, "a", words)
    with working(engine, tmp_path):
        until(lambda: ended(engine, job), 10)
    found = stored(engine, job)
    assert (found.status, found.attempt, found.error, found.result) == (JobStatus.FAILED, 1, error, "")
    everything = " ".join(m.body for m in SqlMessages(engine, firm_id="alpha").after(0))
    assert "Traceback" not in everything and "hunter2" not in everything


@pytest.mark.parametrize("words", ["steps=1 pause=60", "stubborn steps=1 pause=60"])
def test_cancelling_takes_less_than_two_seconds(engine: Engine, tmp_path: Path, words: str) -> None:
    job = ask(engine, "a", words)
    with working(engine, tmp_path):
        until(lambda: list(tmp_path.glob("*.lock")) and stored(engine, job).run_id, 10)
        service(engine).cancel("alpha", job.job_id)
        assert until(lambda: ended(engine, job), 10) < 2
    assert stored(engine, job).status is JobStatus.CANCELLED
    assert statuses(engine, job)[-2:] == ["cancelling", "cancelled"]
    assert not list(tmp_path.glob("*.ends"))
    assert not is_alive(pids(tmp_path, job)[-1])


def test_a_worker_that_stops_gives_its_job_back_and_leaves_no_process(engine: Engine, tmp_path: Path) -> None:
    job = ask(engine, "a", "steps=1 pause=60")
    with working(engine, tmp_path):
        until(lambda: pids(tmp_path, job), 10)
    found = stored(engine, job)
    assert (found.status, found.attempt, found.worker) == (JobStatus.QUEUED, 0, "")
    assert not is_alive(pids(tmp_path, job)[-1])


def test_a_program_that_cannot_be_started_fails_the_job_and_not_the_worker(
    engine: Engine, tmp_path: Path
) -> None:
    job = ask(engine, "a", "")
    with working(engine, tmp_path, command=("/nowhere/at/all",)):
        until(lambda: ended(engine, job), 5)
    assert stored(engine, job).error == "its process could not be started: No such file or directory"


def test_once_does_what_waits_and_ends(engine: Engine, tmp_path: Path) -> None:
    jobs = [ask(engine, str(n), "") for n in range(3)]
    make_worker(engine, tmp_path, print, slots=2).drain()
    assert ended(engine, *jobs)


def test_a_worker_that_is_held_up_loses_its_job_and_its_process(engine: Engine, tmp_path: Path) -> None:
    """Stopped, not killed: its process must not go on beside the one of whoever took the job over."""
    job = ask(engine, "a", "steps=1 pause=4")
    first = begun(tmp_path)
    try:
        until(lambda: pids(tmp_path, job), 10)
        os.kill(first.pid, signal.SIGSTOP)
        with working(engine, tmp_path, lease_s=LEASE_S):
            until(lambda: len(pids(tmp_path, job)) == 2, 10)
            os.kill(first.pid, signal.SIGCONT)
            until(lambda: ended(engine, job), 15)
    finally:
        os.kill(first.pid, signal.SIGCONT)
        end(first)
    found = stored(engine, job)
    assert (found.status, found.attempt) == (JobStatus.DONE, 2)
    assert statuses(engine, job).count("done") == 1
    assert not list(tmp_path.glob("*.two-at-once"))


def test_the_processes_of_a_killed_worker_end_at_once(engine: Engine, tmp_path: Path) -> None:
    job = ask(engine, "a", "steps=1 pause=60")
    worker = begun(tmp_path)
    until(lambda: pids(tmp_path, job), 20)
    assert is_alive(pids(tmp_path, job)[0])
    os.kill(worker.pid, signal.SIGKILL)
    assert until(lambda: not is_alive(pids(tmp_path, job)[0]), 5) < LEASE_S * 0.8
    end(worker)


# --- killed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [10, pytest.param(200, marks=pytest.mark.full)], ids=["small", "full"])
def test_every_job_ends_done_once_whatever_is_killed(engine: Engine, tmp_path: Path, n: int) -> None:
    chance = random.Random(n)
    jobs = [ask(engine, str(i), "steps=4 pause=0.08", "alpha" if i % 3 else "beta") for i in range(n)]
    workers = [begun(tmp_path, lease_s=4.0) for _ in range(2)]
    kills = Counter[str]()
    victim = "worker"
    try:
        while SqlQueue(engine).counts().keys() - {"done", "failed", "cancelled"}:
            time.sleep(chance.uniform(0.02, 0.3))
            # What dies on its third attempt fails, as it should: here nothing is killed on it. A worker may
            # take one more job between this look and its death, so it is killed when no job is near its third.
            left = [stored(engine, job) for job in jobs if not ended(engine, job)]
            running = [job for job in left if job.status is JobStatus.RUNNING]
            if victim == "worker" and running and all(job.attempt < 2 for job in left):
                worker = workers.pop(0)
                os.kill(worker.pid, signal.SIGKILL)
                end(worker)
                workers.append(begun(tmp_path, lease_s=4.0))
            elif victim == "worker" or not kill_child(tmp_path, [job for job in running if job.attempt < 3]):
                continue
            kills[victim] += 1
            victim = "worker" if kills["worker"] < max(2, n // 10) and chance.random() < 0.3 else "child"
    finally:
        for process in workers:
            end(process)
    assert kills["child"] and kills["worker"], kills
    for job in jobs:
        found = stored(engine, job)
        assert found.status is JobStatus.DONE, found
        assert statuses(engine, job).count("done") == 1
        files = {path.suffix: path.read_text() for path in tmp_path.glob(f"{job.job_id}.[0-9]")}
        assert files == {f".{i}": f"{job.firm_id} {i}" for i in range(4)}
        assert found.attempt <= 3 and len(pids(tmp_path, job)) <= found.attempt
    assert not list(tmp_path.glob("*.two-at-once"))
    print(f"{n} jobs, killed: {dict(kills)}")


def test_a_job_that_dies_each_time_fails_and_says_so(engine: Engine, tmp_path: Path) -> None:
    job = ask(engine, "a", "steps=1 pause=60")
    with working(engine, tmp_path):
        for attempt in (1, 2, 3):
            until(lambda: len(pids(tmp_path, job)) == attempt and stored(engine, job).run_id, 10)  # noqa: B023
            os.kill(pids(tmp_path, job)[-1], signal.SIGKILL)
        until(lambda: ended(engine, job), 10)
    assert stored(engine, job).error == "its process was ended by signal 9, 3 times; it is not tried again"


def begun(folder: Path, lease_s: float = LEASE_S) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.world", str(folder), json.dumps({"lease_s": lease_s, "slots": 2})],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def pids(folder: Path, job: Job) -> list[int]:
    path = folder / f"{job.job_id}.attempts"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def kill_child(folder: Path, jobs: Sequence[Job]) -> bool:
    """Whether one of the jobs had a process to kill."""
    alive = [found[-1] for job in jobs if (found := pids(folder, job)) and is_alive(found[-1])]
    if alive:
        os.kill(alive[0], signal.SIGKILL)
    return bool(alive)


def is_alive(pid: int) -> bool:
    """Whether it is a process of this test's jobs that still does something."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and b"child.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
