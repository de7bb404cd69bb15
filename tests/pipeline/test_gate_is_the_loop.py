"""The gate decides what the history loop decides: bars of the bundled prices, told as requests."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.gate_samples import CONFIG, answers, shipped

from regime_trading.adapters.rl_files import block_table
from regime_trading.bootstrap.app import open_app
from regime_trading.bootstrap.rl import open_dataset
from regime_trading.core.numbers import nano_text
from regime_trading.core.request_reading import read_requests
from regime_trading.core.rl import REWARDS
from regime_trading.core.rl_features import FEATURES
from regime_trading.core.rl_rows import RLWaiting
from regime_trading.core.schemas import REGIME_LABELS
from regime_trading.engine import backtest
from regime_trading.engine.carry import decision_of, state_of
from regime_trading.engine.cycle import Carried, Cycle, Desk, Tick
from regime_trading.engine.record import DecisionHashes, Identity
from regime_trading.engine.request_books import Subject
from regime_trading.engine.request_rl import OpenEnd, notes_of
from regime_trading.engine.rl_body import blocks_of, open_end
from regime_trading.guards.verdict import NOT_EVALUABLE
from regime_trading.services.backtest import run_backtest
from regime_trading.services.backtest_plan import BacktestRequest
from regime_trading.services.rl_dataset import RLDataset

ACCOUNTS = ("north-pier/core", "north-pier/defensive", "kestrel-lane/growth")
SYMBOLS = ("JNJ", "KO", "PEP", "XOM")
FIRST, LAST = dt.date(1993, 3, 8), dt.date(1993, 3, 26)
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True)
class Bar:
    """One bar of the loop: the books before it, what was new, what came of it, the books after it."""

    before: Carried
    tick: Tick
    cycle: Cycle
    after: Carried


@dataclass(frozen=True)
class Loop:
    """All bars, and the RL rows that the loop left of them."""

    bars: list[Bar]
    dataset: RLDataset


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    seen: list[Bar] = []
    real = backtest.step

    def step(desk: Desk, carried: Carried, tick: Tick) -> tuple[Cycle, Carried]:
        cycle, after = real(desk, carried, tick)
        seen.append(Bar(carried, tick, cycle, after))
        return cycle, after

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backtest, "step", step)
        folder = tmp_path_factory.mktemp("loop")
        with open_app(artifacts=folder, config=CONFIG) as app:
            asked = BacktestRequest(symbols=SYMBOLS, accounts=ACCOUNTS, first_day=FIRST, last_day=LAST)
            run_backtest(asked, app.backtest())
    return Loop(seen, open_dataset(folder))


@pytest.fixture(scope="module")
def bars(loop: Loop) -> list[Bar]:
    return loop.bars


def number(value: float) -> str:
    return repr(float(value))


def as_request(bar: Bar, row: int, last_ns: int, last_session: int) -> dict[str, Any]:
    """The same account, book, market and memory, in the words of the public request."""
    settings, _ = shipped()
    market, account = bar.tick.market, bar.cycle.view.books.accounts[row]
    symbols, now = market.symbols, market.ts_ns
    signals, facts = market.signals, market.instruments
    qty, average = bar.after.positions.qty[row], bar.after.positions.avg_price[row]
    filled, entry = bar.cycle.fills, bar.before.positions.avg_price[row]
    state = state_of(bar.before.states, row, account, symbols, last_ns, last_session)
    covariance = market.correlation * np.outer(market.sigma, market.sigma)
    books = bar.cycle.view.books
    return {
        "as_of": now,
        "account": account,
        "portfolio": {
            "cash": number(bar.after.positions.cash[row]),
            "positions": [
                {"symbol": symbols[i], "qty": number(qty[i]), "avg_price": number(average[i])}
                for i in np.flatnonzero(qty)
            ],
            "flows_today": number(bar.tick.flow[row] + bar.before.states.day_flow[row]),
            "margin_used": number(books.broker.margin_used[row]),
            "buying_power": number(books.broker.buying_power[row]),
            "working_orders": [],
            "recon": {"status": "ok", "count": 2, "equity_gap": 0},
            "traffic": dict.fromkeys(
                ("orders_1s", "orders_60s", "orders_day", "rejects_60s", "timeouts_60s"), 0
            )
            | {
                "sent": [],
                "fills": [
                    {
                        "symbol": symbols[i],
                        "side": "buy" if filled.qty[row, i] > 0 else "sell",
                        "qty": number(abs(filled.qty[row, i])),
                        "px": number(filled.price[row, i]),
                        "ts": now - 3600 * 10**9,
                        "entry_price": number(entry[i]) if entry[i] > 0 else None,
                    }
                    for i in np.flatnonzero(filled.qty[row])
                ],
            },
        },
        "proposal": {
            "proposal_id": "same",
            "as_of": now - round(float(bar.tick.proposal_age_bars[row]) * market.bar_ns),
            "complete": True,
            "weights": {s: nano_text(w) for s, w in zip(symbols, bar.tick.proposed[row], strict=True)},
        },
        "market": {
            "instruments": [settings.instruments.spec(s).model_dump(mode="json") for s in symbols],
            "quotes": [
                {
                    "symbol": s,
                    "last": number(market.price[i]),
                    "ts": now,
                    "reference": number(market.ref_price[i]),
                }
                for i, s in enumerate(symbols)
            ],
            "provides": ["close", "status", "instruments"],
            "status": dict.fromkeys(symbols, "open"),
            "covariance": {
                "symbols": symbols,
                "matrix": covariance.tolist(),
                "annualised": False,
                "n_obs": int(market.n_obs.min()),
            },
            "regime": {"label": REGIME_LABELS[market.label], "confidence": market.confidence},
            "bar_s": market.bar_ns // 10**9,
            "session": market.session,
            "betas": dict(zip(symbols, signals.beta.tolist(), strict=True)),
            "gaps": {s: {"down": facts.gap_down[i], "up": facts.gap_up[i]} for i, s in enumerate(symbols)},
            "scenarios": {
                "symbols": symbols,
                "returns": [[None if x != x else x for x in past] for past in signals.scenarios.tolist()],
            },
        },
        "state": state.model_dump(mode="json"),
    }


def test_every_bar_of_every_account(bars: list[Bar]) -> None:
    nobody = DecisionHashes("", "", "", "0" * 64)
    compared = orders = limited = 0
    for previous, bar in pairwise(bars):
        told = [
            as_request(bar, row, previous.tick.market.ts_ns, previous.tick.market.session)
            for row in range(len(ACCOUNTS))
        ]
        gate = answers(read_requests(told)[0])
        for row, (answer, account) in enumerate(zip(gate, ACCOUNTS, strict=True)):
            who = Identity(*account.split("/"), "", "dry_run", "", "")
            loop, ours = decision_of(bar.cycle, row, who, nobody, "same"), answer.decision
            where = (account, bar.tick.market.date.isoformat())
            assert ours.equity == loop.equity, where
            assert (ours.outcome, ours.trading_state_after) == (loop.outcome, loop.trading_state_after), where
            assert ours.throttle == loop.throttle and ours.authority == loop.authority, where
            assert [o.model_dump(exclude={"client_order_id"}) for o in ours.orders] == [
                o.model_dump(exclude={"client_order_id"}) for o in loop.orders
            ], where
            assert [t.symbol for t in ours.targets] == [t.symbol for t in loop.targets], where
            for own, theirs in zip(ours.targets, loop.targets, strict=True):
                # a correlation that went through a covariance may differ in its last bit
                assert abs(own.target_w - theirs.target_w) <= Decimal("2e-9"), where
                assert own.limiting_rules == theirs.limiting_rules, where
            same_state(
                answer.state.model_dump(),
                state_of(bar.after.states, row, account, SYMBOLS, 0, 0).model_dump(),
            )
            known = bar.cycle.decisions.rule_outcome[row] != NOT_EVALUABLE
            assert known.sum() > 40
            compared += 1
            orders += len(ours.orders)
            limited += any(t.limiting_rules for t in ours.targets)
    assert compared >= 30 and orders >= 3 and limited >= 3


def same_state(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """All of the memory but its time, and volatilities to the last bit but one."""
    for name in sorted(ours.keys() - {"as_of_ns", "session", "last_good_sigma", "k_last"}):
        assert ours[name] == theirs[name], name
    for symbol, sigma in theirs["last_good_sigma"].items():
        assert abs(float(ours["last_good_sigma"][symbol]) / float(sigma) - 1) < 1e-14


# --- the rows of the RL dataset ---------------------------------------------------------------------------

#: What a request does not tell, so that the gate does not know what the loop does.
UNTOLD = frozenset(
    {
        *(f.name for f in FEATURES if f.name.startswith(("risk_", "structure_", "tier_", "asset_label"))),
        *("calm_probability", "turbulent_probability", "breadth_up", "breadth_turbulent"),  # regimes, breadth
        *("asset_confidence", "asset_risk_state", "asset_risk_probability"),
        *("market_return", "market_sigma", "vol_of_vol", "momentum", "z_score"),  # past prices
    }
)
#: What goes through the covariance of the request, so that its last bits may differ.
BY_COVARIANCE = frozenset(
    {
        *("sigma", "sigma_book", "sigma_proposed", "book_correlation", "mean_correlation", "upnl_r"),
        *("budget_factor", "asset_factor", "lo", "hi", "final_w", "multiplier", "action_lo", "action_hi"),
    }
)
#: What is not known at the first decision of an account, or not of what it holds then.
SINCE_FIRST = frozenset({"bars_since_trade", "age_bars", "turnover_last"})
#: What names the chain, which is another one.
PLACES = frozenset({"run_id", "seq", "state_id", "action_id", "next_run_id", "next_seq", "next_state_id"})
#: Both say it in other words: the loop marks the end of its data.
ENDS = frozenset({"censored", "done_reason"})


def by_time(loop: Loop, account: str, record: str) -> dict[int, dict[str, Any]]:
    (run,) = [run for run in loop.dataset.runs() if run.account == account]
    frame = loop.dataset.table(run, record)  # type: ignore[arg-type]
    times = frame["ts_event"].dt.epoch("ns").to_list()
    return dict(zip(times, frame.iter_rows(named=True), strict=True))


def told_rows(loop: Loop) -> list[tuple[str, str, dict[str, Any]]]:
    """Account, record and row of everything that the gate leaves of the bars."""
    _, profiles = shipped()
    ends: dict[str, OpenEnd] = {}
    found, n = list[tuple[str, str, dict[str, Any]]](), 0
    last_ns, last_session = loop.bars[0].tick.market.ts_ns - DAY_NS, loop.bars[0].tick.market.session - 1
    for bar in loop.bars:
        told = [as_request(bar, row, last_ns, last_session) for row in range(len(ACCOUNTS))]
        last_ns, last_session = bar.tick.market.ts_ns, bar.tick.market.session
        requests = read_requests(told)[0]
        subjects = [Subject(one, profiles[one.account], one.state) for one in requests]
        notes = notes_of(answers(requests), subjects, ends)
        for account, one in zip(ACCOUNTS, notes, strict=True):
            n, left = n + 1, one.at(n + 1)
            ends[account] = open_end(left.open_end)
            who = one.identity
            waits = RLWaiting(
                n, who.firm_id, who.account_id, who.run_id, who.env, n, left.ts_event_ns, left.body
            )
            for block in blocks_of([waits]):
                found.append((account, block.record, block_table(block).row(0, named=True)))
    return found


def same(ours: Any, theirs: Any) -> bool:
    """Equal to the bit, NaN for NaN."""
    floats = _is_number(ours) or isinstance(ours, np.ndarray)
    return np.array_equal(ours, theirs, equal_nan=True) if floats else ours == theirs


def test_the_gate_leaves_the_rows_of_the_loop(loop: Loop) -> None:
    wrong, known = list[str](), dict[str, int]()
    rows = told_rows(loop)
    for account, record, row in rows:
        theirs = by_time(loop, account, record)[int(row["ts_event"].timestamp()) * 10**9]
        assert row.keys() == theirs.keys()
        for name in sorted(row.keys() - PLACES - ENDS):
            if name.startswith("mask_"):
                continue  # they follow from the columns
            ours, loops = row[name], theirs[name]
            seen = ~np.isnan(np.asarray(ours, dtype=float)) if _is_number(ours) else np.ones(1, dtype=bool)
            known[name] = known.get(name, 0) + int(seen.sum())
            if name in UNTOLD:
                holds = not seen.any()
            elif name in {*SINCE_FIRST, "reward_cost"}:  # fees are not told: 0 where nothing was traded
                holds = same(np.asarray(ours)[seen], np.asarray(loops)[seen])
            elif name in BY_COVARIANCE:
                holds = np.allclose(ours, loops, rtol=1e-12, atol=2e-9, equal_nan=True)
            else:
                holds = same(ours, loops)
            if not holds:
                wrong.append(f"{account} {record} {row['ts_event']:%F}: {name} {ours}, the loop {loops}")
    assert not wrong, "\n".join(wrong[:20])
    assert len(rows) >= 100
    for name in (*SINCE_FIRST, *(f"reward_{name}" for name in REWARDS)):
        assert known[name] >= 3, f"{name} is compared with nothing"


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, list) and all(isinstance(x, float) for x in value))
