"""``regime worker``, ``backup`` and ``restore`` as commands, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.gate_samples import CONFIG
from tests.jobs.world import MARY, service, until
from typer.testing import CliRunner

from regime_trading.adapters.database import open_database
from regime_trading.bootstrap import database_url
from regime_trading.cli import app
from regime_trading.core.jobs import JobKind, JobStatus


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from regime_trading.cli import main; main()", *words]


def regime(*words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.delenv("REGIME_DATABASE", raising=False)
    shutil.copytree(CONFIG, tmp_path / "config")
    return ("--artifacts", str(tmp_path / "artifacts"), "--config", str(tmp_path / "config"))


def test_a_worker_does_what_waits_and_is_ended_by_a_signal(places: tuple[str, ...], tmp_path: Path) -> None:
    engine = open_database(database_url(tmp_path / "artifacts"))
    jobs = service(engine)
    job = jobs.enqueue("north-pier", JobKind.VERIFY, {}, by=MARY)
    worker = subprocess.Popen(command("worker", "--notify", *places), stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: jobs.get("north-pier", job.job_id).finished_ns is not None, 60)
        os.kill(worker.pid, signal.SIGTERM)
        _, said = worker.communicate(timeout=20)
    finally:
        worker.kill()
    assert worker.returncode == 0 and "takes jobs" in said
    found = jobs.get("north-pier", job.job_id)
    assert found.status is JobStatus.FAILED and "audit" in found.error, (
        "there is no record yet, and it says so"
    )
    assert "Traceback" not in said
    engine.dispose()


def test_backup_and_restore_answer_machines_and_refuse_in_one_sentence(
    places: tuple[str, ...], tmp_path: Path
) -> None:
    saved, again = tmp_path / "saved", tmp_path / "again"
    refused = regime("backup", "--to", str(saved), *places, code=2)
    assert "state/regime.db" in refused.stderr and "Traceback" not in refused.stderr
    open_database(database_url(tmp_path / "artifacts")).dispose()
    made = json.loads(regime("backup", "--to", str(saved), "--json", *places).stdout)
    assert made["files"] > 2 and len(made["sha256"]) == 64
    regime("backup", "--to", str(saved), *places, code=2)
    back = ("restore", "--from", str(saved), "--artifacts", str(again))
    assert json.loads(regime(*back, "--json").stdout)["path"] == str(again)
    regime(*back, code=2)
    (saved / "config" / "traders.yaml").write_text("changed: true\n")
    regime("restore", "--from", str(saved), "--artifacts", str(tmp_path / "third"), code=3)


def test_a_server_whose_address_is_taken_says_so_and_nothing_else(places: tuple[str, ...]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            command("serve", "--port", str(port), *places),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert f"expected an address of this machine that is free, found 127.0.0.1:{port}" in done.stderr
    assert "Regime Trading at" not in done.stderr
