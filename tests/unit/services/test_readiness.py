"""Each check fails when what it is about is broken, and fails closed when nobody can tell."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests import record_samples as sample
from tests.gate_samples import CONFIG

from regime_trading.adapters import artifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import (
    Engine,
    SqlAuditLog,
    SqlMessages,
    SqlQueue,
    open_database,
)
from regime_trading.bootstrap import database_url
from regime_trading.bootstrap import readiness as module
from regime_trading.bootstrap.readiness import FolderProbes, readiness_of
from regime_trading.core.errors import StoreDown
from regime_trading.core.messages import Message, RunLogData
from regime_trading.core.schemas import Mode
from regime_trading.services.readiness import CHECKS, Limits, answer, readiness

S = 10**9


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Engine, Path, Path]]:
    shutil.copytree(CONFIG, tmp_path / "config")
    engine = open_database(database_url(tmp_path / "artifacts"))
    yield engine, tmp_path / "artifacts", tmp_path / "config"
    engine.dispose()


def failed(place: tuple[Engine, Path, Path], **more: Any) -> set[str]:
    return {check.name for check in readiness_of(*place, **more) if not check.ok}


def test_a_whole_installation_is_ready(place: tuple[Engine, Path, Path]) -> None:
    SqlQueue(place[0]).beat("w", SystemClock().now_ns())
    checks = readiness_of(*place, tail=lambda: {})
    assert [check.name for check in checks] == list(CHECKS)
    assert answer(checks)["ok"], checks
    with place[0].connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM workers")).scalar() == 1, (
            "the trial left nothing"
        )
    assert not list((place[1] / "state").glob("readiness*"))


def test_each_thing_that_breaks_is_seen(place: tuple[Engine, Path, Path]) -> None:
    engine, _, config = place
    now = SystemClock().now_ns()
    assert failed(place) == {"worker"}, "no worker was ever there"
    SqlQueue(engine).beat("w", now - 60 * S)
    assert failed(place) == {"worker"}
    SqlQueue(engine).beat("w", now)
    assert failed(place) == set()

    messages = SqlMessages(engine, firm_id="alpha")
    messages.publish([Message(now - 60 * S, RunLogData(job_id="j", line="x"))])
    assert failed(place, tail=lambda: {"alpha": 1}) == set()
    assert failed(place, tail=lambda: {}) == {"messages"}
    messages.publish([Message(now, RunLogData(job_id="j", line="x"))])
    assert failed(place, tail=lambda: {"alpha": 1}) == set()

    later = sample.event(1, env=Mode.SHADOW, ts_event_ns=now + 60 * S)
    SqlAuditLog(engine, firm_id="alpha").append([later])
    assert failed(place) == {"clock"}

    assert failed(place, limits=Limits(free_bytes=2**62, clock_s=100)) == {"disk"}
    traders = config / "traders.yaml"
    traders.write_text(traders.read_text().replace("schema_version", "schema_versoin", 1))
    broken = failed(place, limits=Limits(clock_s=100))
    assert broken == {"config", "witness"}, "nor is it known where witnesses are"


def test_a_store_that_cannot_write_and_one_of_another_revision(place: tuple[Engine, Path, Path]) -> None:
    engine = place[0]
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert "migrations" in failed(place)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE workers"))
    assert {"store", "worker", "migrations"} == failed(place)


def test_a_database_that_is_gone(place: tuple[Engine, Path, Path]) -> None:
    """An open file can still be written when its name is gone, and nobody would find it again."""
    SqlQueue(place[0]).beat("w", SystemClock().now_ns())
    assert failed(place) == set()
    (place[1] / "state" / "regime.db").unlink()
    assert failed(place) == {"store"}


def test_a_clock_that_is_not_the_stores(
    place: tuple[Engine, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SystemClock().now_ns()
    SqlQueue(place[0]).beat("w", now)
    for off_s, wanted in ((60, {"clock"}), (-60, {"clock"}), (1, set[str]())):
        monkeypatch.setattr(
            FolderProbes, "store_clock_ns", lambda _, off=off_s: SystemClock().now_ns() + off * S
        )
        assert failed(place) == wanted, off_s


# --- degraded is ready ------------------------------------------------------------------------------------------


def test_a_witness_out_of_reach_degrades(
    place: tuple[Engine, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqlQueue(place[0]).beat("w", SystemClock().now_ns())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REGIME_WITNESS", str(tmp_path / "file"))
    found = answer(checks := readiness_of(*place))
    assert [one.name for one in checks if not one.ok] == ["witness"]
    assert (found["ok"], found["degraded"]) == (True, True)
    assert "cannot be reached" in checks[-1].detail

    monkeypatch.setenv("REGIME_WITNESS", str(tmp_path / "empty"))
    assert failed(place) == set(), "nothing was ever put there"
    (place[1] / "audit" / "_checkpoints" / "firm=alpha").mkdir(parents=True)
    assert failed(place) == {"witness"}, "it has lost what it was given"
    (tmp_path / "empty" / "firm=alpha").mkdir(parents=True)
    assert failed(place) == set()


def test_a_witness_that_does_not_answer_holds_nobody_up(
    place: tuple[Engine, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    SqlQueue(place[0]).beat("w", SystemClock().now_ns())
    answered = threading.Event()
    monkeypatch.setattr(module, "WITNESS_WITHIN_S", 0.2)
    monkeypatch.setattr(module, "open_witnesses", lambda _: answered.wait(30) and ())
    began = time.monotonic()
    checks = readiness_of(*place)
    answered.set()
    assert time.monotonic() - began < 20
    assert [(one.name, one.needed) for one in checks if not one.ok] == [("witness", False)]


def test_a_worker_is_needed_only_where_the_process_is_to_be_one(place: tuple[Engine, Path, Path]) -> None:
    for with_worker in (True, False):
        found = answer(readiness_of(*place, with_worker=with_worker))
        assert (found["ok"], found["degraded"]) == (not with_worker, True)


def test_a_folder_that_cannot_be_written(place: tuple[Engine, Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert {"artifacts"} <= failed((place[0], tmp_path / "file" / "x", place[2]))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_is_full_or_read_only(
    place: tuple[Engine, Path, Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    SqlQueue(place[0]).beat("w", SystemClock().now_ns())

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(artifacts, "_write_through", fail)
    checks = readiness_of(*place)
    assert [(one.name, one.needed) for one in checks if not one.ok] == [("artifacts", True)]
    assert os.strerror(number) in next(one.detail for one in checks if not one.ok)


class Broken:
    def __getattr__(self, name: str) -> Any:
        def fail() -> None:
            raise StoreDown("postgresql://x: password=hunter2hunter2 refused")

        return fail


def test_what_cannot_be_asked_has_failed_and_tells_no_secret() -> None:
    checks = readiness(Broken(), 5)  # type: ignore[arg-type]
    assert [check.name for check in checks] == list(CHECKS)
    assert not any(check.ok for check in checks)
    assert not answer(checks)["ok"] and "hunter2" not in str(checks)
    assert not answer(())["ok"], "no check at all is not ready"


def test_without_a_live_channel_its_check_fails_where_it_is_asked_for(
    place: tuple[Engine, Path, Path],
) -> None:
    checks = readiness(FolderProbes(*place), SystemClock().now_ns())
    assert [c.name for c in checks if not c.ok] == ["messages", "worker"]
