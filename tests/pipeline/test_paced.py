"""A paced run decides what the history loop decides, goes on after whatever stopped it, and carries halts."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from regime_trading.adapters.database import SqlAuditLog, SqlLedger, open_database, sqlite_url
from regime_trading.bootstrap.app import open_app
from regime_trading.bootstrap.paced import PacedApp, open_paced
from regime_trading.core.access import Caller, Principal
from regime_trading.core.controls import LOCAL, Level
from regime_trading.core.errors import NotDurable
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.schemas import ActorType, Mode
from regime_trading.services.backtest import run_backtest
from regime_trading.services.backtest_plan import BacktestRequest
from regime_trading.services.controls import HaltAsk, ResumeAsk, halt, resume, status

ROOT = Path(__file__).parents[2]
ACCOUNTS = ("north-pier/core", "north-pier/defensive", "kestrel-lane/eval-100k")
SYMBOLS = ("JNJ", "KO", "PEP", "XOM")
FIRST, LAST = dt.date(1993, 3, 8), dt.date(1993, 4, 30)
REQUEST = BacktestRequest(symbols=SYMBOLS, accounts=ACCOUNTS, first_day=FIRST, last_day=LAST)
CORE = ACCOUNTS[0]
ME = Principal(LOCAL, (), Caller.LOCAL)
BY = (ActorType.SERVICE, LOCAL)
COMPARED = (
    "outcome",
    "trading_state_before",
    "trading_state_after",
    "equity",
    "drawdown",
    "throttle",
    "budget_factor",
    "targets",
    "rules",
    "binding_rules",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Research that every run of this module shares."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    made = tmp_path / "demo"
    made.mkdir()
    (made / "cache").symlink_to(cache) if False else shutil.copytree(cache, made / "cache")
    return made


@contextmanager
def opened(folder: Path, config: Path = ROOT / "config", **more: Any) -> Iterator[PacedApp]:
    with open_paced(REQUEST, artifacts=folder, config=config, **more) as app:
        app.paced.start()
        yield app


def recorded(folder: Path, run_id: str, account: str) -> list[dict[str, Any]]:
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    firm = account.split("/")[0]
    found = SqlAuditLog(engine, firm_id=firm).entries(f"dry_run/{run_id}/{account}")
    engine.dispose()
    return [orjson.loads(entry.event.body) | {"hash": entry.entry_hash} for entry in found]


def hashes(folder: Path, run_id: str) -> dict[str, list[str]]:
    return {a: [entry["hash"] for entry in recorded(folder, run_id, a)] for a in ACCOUNTS}


def states(folder: Path) -> dict[str, Any]:
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    found = {
        a: SqlLedger(engine, firm_id=a.split("/")[0], env=Mode.DRY_RUN).load(a, LATEST_NS) for a in ACCOUNTS
    }
    engine.dispose()
    return found


def test_it_decides_what_a_backtest_decides(folder: Path, cache: Path) -> None:
    with opened(folder) as app:
        last = app.paced.run()
        assert last is not None and last.number == last.bars
        assert app.paced.step() is None
        run_id = app.paced.run_id
    shutil.copytree(folder / "cache", cache, dirs_exist_ok=True)
    with open_app(artifacts=folder / "backtest", config=ROOT / "config") as loop:
        history = run_backtest(REQUEST, loop.backtest())
        for account in ACCOUNTS:
            theirs = [
                orjson.loads(e.event.body)
                for e in loop.deps.sealer.entries(history.run_id, *account.split("/"))
            ]
            ours = recorded(folder, run_id, account)
            assert [e["event_type"] for e in ours] == [e["event_type"] for e in theirs]
            for own, loops in zip(ours, theirs, strict=True):
                keys = (
                    COMPARED
                    if own["event_type"] == "DECISION"
                    else own.keys() & {"symbol", "qty", "price", "fee"}
                )
                assert own["ts_event_ns"] == loops["ts_event_ns"]
                for key in keys:
                    assert own[key] == loops[key], (account, own["ts_event_ns"], key)
            assert sum(e["event_type"] == "DECISION" for e in ours) == last.bars >= 30
            assert any(e["event_type"] == "FILL" for e in ours)
