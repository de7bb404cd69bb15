"""Makes the recorded history beside this file again: ``python -m tests.recorded.make``.

Two firms decide 64 sessions of seeded prices with a fall in them, under tight limits, so that there are fills, latches,
unlocks, breaches, a deposit, and attempts that fail. The files are the first version of the schema: readers must go on
reading them, and replay must go on giving what they say. Make them again only where a decision is meant to change, and
say why. Transitions of the RL dataset are of before they named the next run: where the rest of them is the same, keep
the earlier files.
"""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.gate_samples import changed
from tests.unit.services.test_backtest import calendar, deps_in

from regime_trading.core.settings import Flow
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services import backtest as service
from regime_trading.services.backtest import run_backtest
from regime_trading.services.backtest_plan import BacktestRequest

HOME = Path(__file__).parent
RUN_ID, CODE_VERSION = "recorded-1", "0.1.0+recorded"
ACCOUNTS = ("north-pier/core", "kestrel-lane/eval-100k")
BARS, DECIDED = 330, 64
TIGHT: dict[str, dict[str, Any]] = {
    "LD-01": {"limit_pct": "0.004"},
    "LD-02": {"ladder": [["0.005", "0.5"], ["0.010", "FLATTEN"], ["0.04", "LOCKED"]]},
    "LD-03": {"limit_pct": "0.02"},
}
FOLDERS = ("audit", "inputs", "rl_dataset")


def write_prices(path: Path) -> dt.date:
    """Closes of three symbols at closes of New York from 2003 on; returns the first day to decide."""
    first = int(dt.datetime(2003, 1, 2, tzinfo=dt.UTC).timestamp()) * 10**9
    closes = calendar("XNYS").closes_ns(first, first + BARS * 2 * 86_400 * 10**9)[:BARS]
    rng = np.random.default_rng(7)
    moves = rng.normal(3e-4, 0.011, (BARS, 3)) + rng.normal(0, 0.006, (BARS, 1))
    moves[BARS - 40 : BARS - 34] -= 0.05
    price = np.round(100.0 * np.exp(np.cumsum(moves, axis=0)), 2)
    rows = [
        ",".join([f"{np.datetime64(ts, 's')}Z", *map(str, row)])
        for ts, row in zip((closes // 10**9).tolist(), price.tolist(), strict=True)
    ]
    path.write_text("\n".join(["ts_event,KO,PEP,XOM", *rows]) + "\n")
    return dt.datetime.fromtimestamp(int(closes[BARS - DECIDED]) // 10**9, dt.UTC).date()


def tightened(profile: TraderProfile) -> TraderProfile:
    """The shipped configuration with limits that a bad week reaches."""
    rules = dict(profile.rules)
    for rule_id, values in TIGHT.items():
        rules[rule_id] = type(rules[rule_id]).model_validate(rules[rule_id].model_dump() | values)
    return changed(profile, rules=rules)


def make(to: Path) -> None:
    """Decide the history and put its record, dataset and inputs into ``to``."""
    service._write_report = lambda report, path, store: None
    with tempfile.TemporaryDirectory() as folder:
        artifacts, prices = Path(folder) / "artifacts", Path(folder) / "prices.csv"
        first_day = write_prices(prices)
        deps = replace(deps_in(artifacts), code_version=CODE_VERSION)
        deps = replace(deps, profiles=tuple(map(tightened, deps.profiles)))
        flow = Flow(account=ACCOUNTS[0], date=(first_day + dt.timedelta(days=21)).isoformat(), amount="25000")
        plan = deps.settings.backtest.model_copy(update={"flows": (flow,)})
        settings = deps.settings.model_copy(update={"backtest": plan})
        request = BacktestRequest(source=str(prices), accounts=ACCOUNTS, first_day=first_day, run_id=RUN_ID)
        run_backtest(request, replace(deps, settings=settings))
        for name in FOLDERS:
            shutil.rmtree(to / name, ignore_errors=True)
            shutil.copytree(artifacts / name, to / name)


if __name__ == "__main__":
    make(HOME)
