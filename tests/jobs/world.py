"""A worker over small jobs, in this process or in one that can be ended."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import Engine, SqlJobs, open_database, sqlite_url
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.worker import Worker, WorkerSettings
from regime_trading.core.jobs import ENDED, Job, JobKind
from regime_trading.services.jobs import JobService

CHILD = (sys.executable, "-P", str(Path(__file__).with_name("child.py")))
MARY = "u-abcdefgh23456777"


def service(engine: Engine) -> JobService:
    return JobService(
        rows=lambda firm: SqlJobs(engine, firm_id=firm),
        clock=SystemClock(),
        entropy=lambda n: b"\1" * n,
        max_waiting=10**6,
    )


def ask(engine: Engine, key: str, words: str, firm_id: str = "alpha") -> Job:
    return service(engine).enqueue(firm_id, JobKind.RUN, {"as_of": words}, by=MARY, key=key)


def make_worker(engine: Engine, folder: Path, tell: Callable[[str], None], **settings: Any) -> Worker:
    wanted = {"lease_s": 2.0, "poll_s": 0.05, "command": CHILD, "max_of_firm": 4} | settings
    acts = make_acts(engine, LocalArtifacts(folder), "test")
    return Worker(engine, folder, folder, WorkerSettings(**wanted), acts, SystemClock(), tell)


@contextmanager
def working(engine: Engine, folder: Path, **settings: Any) -> Iterator[list[str]]:
    """A worker of this process; what it complained of."""
    told = list[str]()
    worker = make_worker(engine, folder, told.append, **settings)
    worker.start()
    try:
        yield told
    finally:
        worker.stop()


def until(true: Callable[[], Any], seconds: float) -> float:
    """Wait for something; how long it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - begun


def ended(engine: Engine, *jobs: Job) -> bool:
    found = [SqlJobs(engine, firm_id=job.firm_id).get(job.job_id) for job in jobs]
    return all(job is not None and job.status in ENDED for job in found)


def main() -> None:
    """A worker process for tests that end it: ``world.py FOLDER SETTINGS``."""
    folder = Path(sys.argv[1])
    engine = open_database(sqlite_url(folder / "store.db"))
    worker = make_worker(engine, folder, lambda text: print(text, file=sys.stderr), **json.loads(sys.argv[2]))
    worker.start()
    print("ready", flush=True)
    sys.stdin.read()
    worker.stop()


if __name__ == "__main__":
    main()
