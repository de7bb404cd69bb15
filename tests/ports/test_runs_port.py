"""What every store of runs must do, on SQLite and on a real PostgreSQL (``conftest.py``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from regime_trading.adapters.database import SqlRuns
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import Runs
from regime_trading.core.schemas import RunRecord, Wait

Open = Callable[..., Runs]


@pytest.fixture
def opened(database: Callable[[], Engine]) -> Open:
    return lambda firm_id="alpha": SqlRuns(database(), firm_id=firm_id)


def run(run_id: str = "run-1", **changes: Any) -> RunRecord:
    plain: dict[str, Any] = {
        "kind": "run",
        "status": "started",
        "inputs_hash": "a" * 64,
        "as_of_ns": 5,
        "path": f"runs/{run_id}",
    }
    return RunRecord(run_id, **(plain | changes))


def test_a_run_is_started_once_and_ends(opened: Open) -> None:
    assert opened().get("run-1") is None and opened().all() == ()
    assert opened().start(run()) == run()
    opened().finish("run-1", "failed")
    assert opened().start(run()) == opened().get("run-1") == run(status="failed")
    opened().start(run("run-0", as_of_ns=4))
    assert [found.run_id for found in opened().all()] == ["run-0", "run-1"]


def test_a_run_waits_for_people_and_says_for_which_requests(opened: Open) -> None:
    waits = (Wait("alpha/core", "rq-1"), Wait("alpha/main", "rq-2"))
    opened().start(run())
    opened().start(run("run-2"))
    assert opened().waiting() == ()
    opened().pause("run-1", waits)
    assert opened().waiting() == (run(status="waiting", waits=waits),) == (opened().get("run-1"),)
    assert opened().start(run()) == run(status="waiting", waits=waits)
    opened().finish("run-1", "done")
    assert opened().waiting() == () and opened().get("run-1") == run(status="done", waits=waits)
    with pytest.raises(BadInput):
        opened().pause("run-3", waits)
    with pytest.raises(BadInput):
        opened("beta").pause("run-1", waits)


def test_contradictions_are_refused(opened: Open) -> None:
    opened().start(run())
    for other in (run(inputs_hash="b" * 64), run(kind="backtest"), run("../run")):
        with pytest.raises(BadInput):
            opened().start(other)
    with pytest.raises(BadInput):
        opened().finish("run-2", "done")
    assert opened().all() == (run(),)


def test_another_firm_sees_nothing(opened: Open) -> None:
    opened().start(run())
    assert opened("beta").all() == () and opened("beta").get("run-1") is None
