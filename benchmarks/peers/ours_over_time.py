"""This project in the scorecard's scenarios that need time: 4, 8. They run the engine's own cycle and clock."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from benchmarks.peers.outcome import Outcome
from tests.history_samples import UNLIMITED, history, market, rules

from regime_trading.adapters.database import SqlLedger, open_database, sqlite_url
from regime_trading.core.rules import LATCHING_RULES, RULE_IDS, Release, TradingState
from regime_trading.core.schemas import Mode, Order, Receipt
from regime_trading.core.trading_day import trading_day_id
from regime_trading.engine.backtest import HistoryInputs, tick_at
from regime_trading.engine.carry import orders_of, portfolio_of, state_of
from regime_trading.engine.cycle import Cycle, opening, step
from regime_trading.engine.record import Chain, decision_hashes, market_hash, write_cycle
from regime_trading.guards import anchors
from regime_trading.guards.drawdown import expire_latches
from regime_trading.guards.snapshot import NO_LATCH, fresh_states

ACCOUNT, RUN = "north/a", "bt-test"
CALM, FALL, QUIET = 5, 8, 4
DEPOSIT = CALM + FALL + 2  #: the book is flat by then
LADDER = [["0.10", "FLATTEN"]]


def falling(n_accounts: int = 1, **flows: Any) -> HistoryInputs:
    """Calm bars, a fall of 3 % a bar, and quiet bars at the bottom; drawdown is the only rule with a limit."""
    level = 100.0 * np.r_[np.ones(CALM), 0.97 ** np.arange(1, FALL + 1), np.full(QUIET, 0.97**FALL)]
    profile = rules(**{**UNLIMITED, "LD_02": {"ladder": LADDER}})
    path = market(np.repeat(level[:, None], 3, axis=1))
    return history(path, [profile] * n_accounts, operators=None, **flows)


def drawdown(cycle: Cycle, row: int = 0) -> float:
    return float(cycle.decisions.rule_value[row, RULE_IDS.index("LD-02")])


def mode(cycle: Cycle, row: int = 0) -> str:
    return TradingState(int(cycle.decisions.mode[row])).name


@contextmanager
def ledger_in(folder: Path) -> Iterator[SqlLedger]:
    engine = open_database(sqlite_url(folder / "ledger.db"))
    try:
        yield SqlLedger(engine, firm_id="north", env=Mode.DRY_RUN)
    finally:
        engine.dispose()


class Desk:
    """One account whose every decision is committed to a ledger, as a run commits it."""

    def __init__(self, made: HistoryInputs, ledger: SqlLedger) -> None:
        self.made, self.ledger = made, ledger
        self.carried = opening(made.desk.initial_capital, len(made.market.symbols))
        self.chain = Chain(made.identities[0])

    def decide(self, bar: int) -> tuple[Cycle, tuple[Order, ...], Receipt]:
        made, tick = self.made, tick_at(self.made, bar)
        cycle, self.carried = step(made.desk, self.carried, tick)
        hashes = decision_hashes(cycle.view, market_hash(tick.market), made.identities)[0]
        write_cycle(self.chain, cycle, 0, hashes, cycle.released)
        ts_ns, symbols = tick.market.ts_ns, made.market.symbols
        orders = orders_of(cycle, 0, hashes.decision_id)
        self.what = {
            "state": state_of(self.carried.states, 0, ACCOUNT, symbols, ts_ns, tick.market.session),
            "portfolio": portfolio_of(self.carried.positions, 0, ACCOUNT, symbols, ts_ns),
            "orders": orders,
            "events": self.chain.take(),
            "run_id": RUN,
            "decision_id": hashes.decision_id,
        }
        return cycle, orders, self.ledger.commit_decision(**self.what)


# --- 4: a deposit ------------------------------------------------------------------------------------------


def deposit() -> Outcome:
    """4: after the breach 50 000 arrive; beside it an account without a breach, from which 30 000 leave."""
    flows = np.zeros((CALM + FALL + QUIET, 2))
    flows[DEPOSIT, 0], flows[2, 1] = 50_000.0, -30_000.0
    made = falling(2, flows=flows)
    carried, cycles = opening(made.desk.initial_capital, len(made.market.symbols)), []
    for bar in range(made.last + 1):
        cycle, carried = step(made.desk, carried, tick_at(made, bar))
        cycles.append(cycle)
    before, after = cycles[DEPOSIT - 1], cycles[DEPOSIT]
    calm = cycles[1], cycles[2]
    equity = [float(c.marks.equity[0]) for c in (before, after)]
    moved, calm_moved = drawdown(after) - drawdown(before), drawdown(calm[1], 1) - drawdown(calm[0], 1)
    held = (
        mode(before) == mode(after) == mode(cycles[-1]) == "FLATTEN"
        and abs(moved) < 1e-12
        and equity[1] > float(made.desk.initial_capital[0])
        and abs(calm_moved) < 1e-12
        and mode(calm[1], 1) == "NORMAL"
    )
    return Outcome(
        held,
        f"equity {equity[0]:,.0f} to {equity[1]:,.0f}, above the old peak: drawdown {drawdown(before):.4%} to "
        f"{drawdown(after):.4%}, {mode(after)} stays; a withdrawal of 30 % without a breach: drawdown "
        f"{drawdown(calm[1], 1):.4%}, {mode(calm[1], 1)}",
    )


# --- 8: daylight saving -------------------------------------------------------------------------------------

WEEKENDS = (
    ("Europe/Prague", dt.time(0), dt.date(2024, 3, 29)),
    ("Europe/Prague", dt.time(0), dt.date(2024, 10, 25)),
    ("America/New_York", dt.time(17), dt.date(2024, 3, 8)),
    ("America/New_York", dt.time(17), dt.date(2024, 11, 1)),
    ("Europe/Prague", dt.time(2, 30), dt.date(2024, 3, 29)),  # does not exist on the 31st
    ("Europe/Prague", dt.time(2, 30), dt.date(2024, 10, 25)),  # occurs twice on the 27th
)
TEN_MINUTES_NS = 600 * 10**9
DAYS = 5


def resets(zone: str, reset_at: dt.time, first: dt.date) -> tuple[list[int], list[bool]]:
    """Instants (UTC nanoseconds) at which the daily anchor moved in five local days, looked at every ten minutes,
    and whether the latch of the day ended there and only there. Every hour the clock steps back two hours once."""
    tz = ZoneInfo(zone)
    start = int(dt.datetime.combine(first, dt.time(12), tz).timestamp()) * 10**9
    end = int(dt.datetime.combine(first + dt.timedelta(DAYS), dt.time(12), tz).timestamp()) * 10**9
    column = LATCHING_RULES.index("LD-01")
    states = fresh_states(np.array([100_000.0]), 1)
    states, _ = anchors.roll(states, np.array([trading_day_id(start, reset_at, zone)]))
    found, ended = [], []
    for now in range(start, end, TEN_MINUTES_NS):
        back = now - 7_200 * 10**9 if now % (3_600 * 10**9) == 0 else now
        for seen in (back, now):
            states.latch_kind[0, column] = Release.NEXT_SESSION
            states, new_day = anchors.roll(states, np.array([trading_day_id(seen, reset_at, zone)]))
            states = expire_latches(states, new_day, seen)
            if new_day[0]:
                found.append(seen)
            ended.append(bool(states.latch_kind[0, column] == NO_LATCH) == bool(new_day[0]))
    return found, ended


def on_the_clock(instant_ns: int, zone: str) -> str:
    return dt.datetime.fromtimestamp(instant_ns // 10**9, ZoneInfo(zone)).strftime("%H:%M")


def daylight_saving() -> Outcome:
    """8: how often and when the daily loss anchor resets over the days on which clocks change."""
    held, told = True, []
    for zone, at, first in WEEKENDS:
        found, ended = resets(zone, at, first)
        walls = {on_the_clock(instant, zone) for instant in found}
        gap = at == dt.time(2, 30) and first.month == 3
        held &= len(found) == DAYS and all(ended)
        held &= walls == ({"02:30", "03:00"} if gap else {at.strftime("%H:%M")})
        spans = sorted({round((b - a) / 3.6e12, 2) for a, b in itertools.pairwise(found)})
        hours = " and ".join(f"{span:g}" for span in spans)
        told.append(
            f"{zone.split('/')[1].replace('_', ' ')} {at:%H:%M}, {first:%B}: {len(found)}, {hours} h apart"
        )
    return Outcome(held, f"resets in {DAYS} days: " + "; ".join(told))


SCENARIOS = {4: deposit, 8: daylight_saving}
