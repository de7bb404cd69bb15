"""Five runs on five days decide, order and fill what the history loop does on the same days."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import orjson

from regime_trading.bootstrap.app import App, open_app
from regime_trading.services.backtest import run_backtest
from regime_trading.services.backtest_plan import BacktestRequest
from regime_trading.services.runs import Ask, parse_time

ROOT = Path(__file__).parents[2]
ACCOUNTS = ("north-pier/core", "north-pier/defensive", "kestrel-lane/growth")
SYMBOLS = ("JNJ", "KO", "PEP", "XOM")
DAYS = ("1993-03-08", "1993-03-09", "1993-03-10", "1993-03-11", "1993-03-12")
COMPARED = (
    "outcome",
    "trading_state_after",
    "equity",
    "drawdown",
    "throttle",
    "budget_factor",
    "targets",
    "rules",
)


def recorded(app: App, run_id: str, account: str) -> list[dict[str, Any]]:
    found = (orjson.loads(e.event.body) for e in app.deps.sealer.entries(run_id, *account.split("/")))
    return [entry for entry in found if entry["event_type"] in ("DECISION", "FILL")]


def test_runs_and_history_agree(tmp_path: Path) -> None:
    with open_app(artifacts=tmp_path, config=ROOT / "config") as app:
        asks = [Ask(symbols=SYMBOLS, accounts=ACCOUNTS, as_of_ns=parse_time(day, "test")) for day in DAYS]
        states = [app.runs.run(ask).state for ask in asks]
        for state in states:
            assert state.contradiction is not None and state.contradiction.confidence_cap == 1.0
        request = BacktestRequest(
            symbols=SYMBOLS,
            accounts=ACCOUNTS,
            first_day=dt.date.fromisoformat(DAYS[0]),
            last_day=dt.date.fromisoformat(DAYS[-1]),
        )
        history = run_backtest(request, app.backtest())
        orders = 0
        for account in ACCOUNTS:
            single = [entry for state in states for entry in recorded(app, state.request.run_id, account)]
            loop = recorded(app, history.run_id, account)
            assert [entry["event_type"] for entry in single] == [entry["event_type"] for entry in loop]
            for ours, theirs in zip(single, loop, strict=True):
                assert ours["ts_event_ns"] == theirs["ts_event_ns"]
                keys = COMPARED if ours["event_type"] == "DECISION" else ("symbol", "qty", "price", "fee")
                for key in keys:
                    assert ours[key] == theirs[key], (account, ours["ts_event_ns"], key)
                orders += ours["event_type"] == "FILL"
        assert orders >= 3
