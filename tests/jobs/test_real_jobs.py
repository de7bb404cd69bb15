"""Jobs that run the pipeline: as the command line does it, for one firm, and on after a kill."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.jobs.world import MARY, ended, service, until

from regime_trading.adapters.database import Engine, SqlAuditLog, open_database
from regime_trading.bootstrap import database_url
from regime_trading.bootstrap.app import open_app
from regime_trading.bootstrap.job_process import carry_out
from regime_trading.bootstrap.proof import verify_record
from regime_trading.bootstrap.worker import Worker, WorkerSettings, open_worker
from regime_trading.core.errors import BadInput
from regime_trading.core.jobs import Job, JobKind, JobStatus
from regime_trading.services.runs import Ask, parse_time

CONFIG = Path(__file__).parents[2] / "config"
FIRM = "north-pier"
ASKED = {"symbols": ["KO", "PEP"], "as_of": "1992-12-31"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(database_url(tmp_path))
    yield opened
    opened.dispose()


def queued(engine: Engine, kind: JobKind, key: str, asked: dict[str, Any]) -> Job:
    return service(engine).enqueue(FIRM, kind, asked, by=MARY, key=key)


def drain(artifacts: Path, then: Any = None) -> list[str]:
    told = list[str]()
    with open_worker(artifacts, CONFIG, WorkerSettings(lease_s=20), told.append) as worker:
        if then is not None:
            threading.Thread(target=then, args=(worker,), daemon=True).start()
        worker.drain()
    return told


def files(artifacts: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(artifacts)): path.read_bytes()
        for folder in ("runs", "audit", "rl_dataset")
        for path in sorted((artifacts / folder).rglob("*"))
        if path.is_file() and not {"_checkpoints", "_keys"} & set(path.parts)
    }


def by_command_line(artifacts: Path) -> dict[str, bytes]:
    """What ``regime run`` leaves for the same request."""
    with open_app(artifacts=artifacts, config=CONFIG) as app:
        own = tuple(p.account for p in app.runs.profiles if p.firm_id == FIRM)
        ask = Ask(symbols=("KO", "PEP"), accounts=own, as_of_ns=parse_time("1992-12-31", "test"))
        app.runs.run(ask)
    return files(artifacts)


def test_a_run_and_a_verification_leave_what_the_commands_leave(engine: Engine, tmp_path: Path) -> None:
    job = queued(engine, JobKind.RUN, "run", ASKED)
    check = queued(engine, JobKind.VERIFY, "verify", {})
    assert drain(tmp_path) == []
    found = service(engine).get(FIRM, job.job_id)
    assert (found.status, found.progress, found.stage) == (JobStatus.DONE, 1.0, "summarizer"), found
    result = json.loads(found.result)
    assert (result["run_id"], result["path"]) == (found.run_id, f"runs/{found.run_id}")
    accounts = [one["account"] for one in result["summary"]["accounts"]]
    assert accounts and all(name.startswith(f"{FIRM}/") for name in accounts)
    assert len(service(engine).log(FIRM, job.job_id)) == 28
    assert files(tmp_path) == by_command_line(tmp_path / "beside")
    assert [path.name for path in (tmp_path / "runs" / found.run_id / "firms").iterdir()] == [FIRM]

    entry = SqlAuditLog(engine, firm_id=FIRM).entries(f"admin/{FIRM}/_firm")[-1].event
    assert (str(entry.event_type), json.loads(entry.body)["actor"]["id"]) == ("RUN", MARY)
    assert json.loads(entry.body)["correlation_id"] == job.job_id

    verified = json.loads(service(engine).get(FIRM, check.job_id).result)["summary"]
    assert verified["ok"] and verified["entries"] > 0


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"accounts": ["kestrel-lane/growth"]}, "request.accounts"),
        ({"source": "/etc/passwd"}, "request.source"),
        ({"source": "files"}, "request.source"),
        ({"source": "../x"}, "request.source"),
        ({"basket": "us-core", "symbols": ["KO"]}, "request"),
        ({"proposal": "x.json"}, "request.proposal"),
        (
            {"proposal": {"weights": {"KO": "3"}, "proposal_id": "pr-1", "hash": "0" * 64}},
            "request.proposal.weights.KO",
        ),
        ({"effort": "endless"}, "request.effort"),
    ],
)
def test_what_a_firm_may_not_ask_is_refused_at_once(
    engine: Engine, asked: dict[str, Any], where: str
) -> None:
    with pytest.raises(BadInput) as caught:
        queued(engine, JobKind.RUN, "x", asked)
    assert caught.value.where == where


def test_a_name_that_is_no_configured_source_is_refused_in_the_process(tmp_path: Path) -> None:
    job = Job("job-1", FIRM, JobKind.RUN, json.dumps({"source": "src"}), MARY, 1)
    with pytest.raises(BadInput, match="expected one of bundled"):
        carry_out(job, tmp_path, CONFIG, lambda _: None)
    other = Job("job-1", "nobody", JobKind.RUN, "{}", MARY, 1)
    with pytest.raises(BadInput, match="accounts of firm nobody"):
        carry_out(other, tmp_path, CONFIG, lambda _: None)


@pytest.mark.full
def test_a_backtest_and_a_run_that_is_killed_go_on_and_leave_the_same(engine: Engine, tmp_path: Path) -> None:
    job = queued(engine, JobKind.RUN, "run", ASKED)
    history = queued(engine, JobKind.BACKTEST, "bt", ASKED_BACKTEST)

    def kill(worker: Worker) -> None:
        for stage in ("regime", "execution"):
            until(lambda: service(engine).get(FIRM, job.job_id).stage == stage, 120)  # noqa: B023
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            time.sleep(1)

    drain(tmp_path, kill)
    assert ended(engine, job, history)
    found = service(engine).get(FIRM, job.job_id)
    assert found.status is JobStatus.DONE and found.attempt >= 2, found
    tested = service(engine).get(FIRM, history.job_id)
    assert tested.status is JobStatus.DONE and json.loads(tested.result)["summary"]["bars"] > 20, tested
    with_history, run = files(tmp_path), by_command_line(tmp_path / "beside")
    assert {name: with_history[name] for name in run} == run
    assert verify_record(tmp_path, None, None, ()).ok


ASKED_BACKTEST = {"symbols": ["KO", "PEP"], "first": "1992-11-02", "last": "1992-12-31"}


def children() -> list[int]:
    """Processes of jobs that this process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            words = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"job_process" in words:
            found.append(int(path.parent.name))
    return found
