"""The history loop: causality, determinism, money, latches, operators, attempts, flows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import orjson
import pytest
from tests.history_samples import UNLIMITED, history, market, prices, rules

from regime_trading.core.canonical import GENESIS, chain_hashes
from regime_trading.core.rules import Release
from regime_trading.core.settings import Operators
from regime_trading.core.traders import Lifecycle
from regime_trading.engine.backtest import HistoryInputs, HistoryResult, run_history
from regime_trading.engine.fills import FillCosts
from regime_trading.engine.market import MarketPath


def record(inputs: HistoryInputs, block_bars: int = 50) -> tuple[HistoryResult, list[list[bytes]]]:
    bodies: list[list[bytes]] = [[] for _ in inputs.identities]
    result = run_history(
        inputs, lambda a, events: bodies[a].extend(e.body for e in events), block_bars=block_bars
    )
    return result, bodies


def of_type(bodies: list[bytes], kind: str) -> list[dict]:
    return [entry for entry in map(orjson.loads, bodies) if entry["event_type"] == kind]


def cut(path: MarketPath, n: int) -> MarketPath:
    return replace(
        path,
        **{
            name: value[:n]
            for name, value in ((f, getattr(path, f)) for f in path.__dataclass_fields__)
            if isinstance(value, np.ndarray) and value.shape[:1] == path.ts_ns.shape
        },
    )


def test_decisions_do_not_change_when_the_future_is_cut_off() -> None:
    whole = market(prices(160, 5, 1, 0.02))
    _, full = record(history(whole, [rules()] * 4))
    for n in (40, 101):
        _, part = record(history(cut(whole, n), [rules()] * 4))
        for a in range(4):
            assert part[a] == full[a][: len(part[a])]


def test_decisions_do_not_change_when_the_future_is_altered() -> None:
    close = prices(120, 5, 2, 0.02)
    other = close.copy()
    other[80:] *= 1.7
    _, one = record(history(market(close), [rules()] * 2))
    _, two = record(history(market(other), [rules()] * 2))
    for a in range(2):
        before = [b for b in one[a] if int(orjson.loads(b)["ts_event_ns"]) <= int(market(close).ts_ns[79])]
        assert two[a][: len(before)] == before


def test_blocks_do_not_change_the_record() -> None:
    inputs = history(market(prices(90, 4, 3)), [rules()] * 2)
    assert record(inputs, 7)[1] == record(inputs, 90)[1]


def test_an_account_does_not_change_when_another_firm_is_added() -> None:
    path = market(prices(100, 4, 4, 0.02))
    alone = record(history(path, [rules()], accounts=("north/a",)))[1][0]
    beside = record(
        history(path, [rules(), rules(CC_02={"max_gross": "0.5"})], accounts=("north/a", "south/c"))
    )[1][0]
    assert alone == beside


def test_unconstrained_wealth_equals_plain_arithmetic() -> None:
    close = prices(200, 4, 5)
    path = market(close, lot=1e-6)
    costs = FillCosts(fee_bps=3.0, slippage_bps=2.0, default_spread_bps=0.0)
    result, _ = record(history(path, [rules(**UNLIMITED)], costs=costs))
    cash, qty = 100_000.0, np.zeros(4)
    waiting = np.zeros(4)
    for t in range(200):
        paid = close[t] * (1 + np.sign(waiting) * 2e-4)
        cash -= (waiting * paid).sum() + (np.abs(waiting) * paid * 3e-4).sum()
        qty = qty + waiting
        equity = cash + (qty * close[t]).sum()
        assert result.equity[t, 0] == pytest.approx(equity, rel=1e-6)
        waiting = 0.225 * equity / close[t] - qty


def test_a_wide_book_takes_no_new_risk_and_fills_pay_the_declared_spread() -> None:
    """The tape of S01 widens at bar 20 and is crossed from bar 40 on: no entry, then no order at all."""
    path = market(prices(60, 4, 8, 0.01), lot=1e-6)
    spread, book = path.spread_bps.copy(), path.book.copy()
    spread[20:40, 1], book[40:, 1] = 31.0, 2
    path = replace(path, spread_bps=spread, book=book, declared_spread_bps=np.full(4, 20.0))
    inputs = history(path, [rules(**UNLIMITED)], costs=FillCosts(0.0, 0.0, 0.0))
    _, bodies = record(inputs)
    ts = inputs.market.ts_ns.tolist()
    sides = []
    for e in of_type(bodies[0], "FILL"):
        t = ts.index(int(e["ts_event_ns"]))
        for symbol, q, p in zip(e["symbol"], e["qty"], e["price"], strict=True):
            i = inputs.market.symbols.index(symbol)
            assert float(p) == pytest.approx(path.close[t, i] * (1 + np.sign(float(q)) * 10e-4), rel=1e-12)
            if symbol == "S01":
                sides.append((t, float(q) > 0))
    assert any(buys for t, buys in sides if t <= 20)
    assert not any(buys for t, buys in sides if t > 20)
    assert any(20 < t <= 40 for t, _ in sides), "reductions passed while it was merely wide"
    assert not any(t > 40 for t, _ in sides)


def test_equity_moves_only_by_prices_costs_and_flows() -> None:
    close = prices(150, 4, 6, 0.015)
    flows = np.zeros((150, 2))
    flows[60, 0], flows[90, 1] = 25_000.0, -10_000.0
    inputs = history(market(close), [rules()] * 2, flows=flows, costs=FillCosts(1.0, 2.0, 10.0))
    result, bodies = record(inputs)
    for a in range(2):
        filled = {int(e["ts_event_ns"]): e for e in of_type(bodies[a], "FILL")}
        cash, qty = 100_000.0, dict.fromkeys(inputs.market.symbols, 0.0)
        for t, ts in enumerate(inputs.market.ts_ns.tolist()):
            cash += flows[t, a]
            if ts in filled:
                e = filled[ts]
                for s, q, p, fee in zip(e["symbol"], e["qty"], e["price"], e["fee"], strict=True):
                    cash -= float(q) * float(p) + float(fee)
                    qty[s] += float(q)
            worth = cash + sum(qty[s] * close[t, i] for i, s in enumerate(inputs.market.symbols))
            assert result.equity[t, a] == pytest.approx(worth, abs=1e-3)


def test_a_deposit_alone_changes_no_drawdown_and_no_trading_state() -> None:
    path = market(prices(150, 4, 7, 0.02), lot=1e-9)
    flows = np.zeros((150, 1))
    flows[70, 0] = 50_000.0
    plain, _ = record(history(path, [rules()]))
    paid, _ = record(history(path, [rules()], flows=flows))
    moved = plain.equity[70, 0] / plain.equity[69, 0] - 1.0
    kept = plain.equity[69, 0] / (plain.equity[69, 0] + 50_000.0)  # the day's move on a larger book
    assert 1 - paid.drawdown[70, 0] == pytest.approx(
        (1 - plain.drawdown[69, 0]) * (1 + moved * kept), rel=1e-9
    )
    assert np.array_equal(plain.trading_state[:71], paid.trading_state[:71])
    flat = np.zeros_like(path.close[:, 0])
    assert np.array_equal(
        flat, record(history(path, [rules(UT_01={"symbols": []})], flows=flows))[0].drawdown[:, 0]
    )


def crash(at: int, size: float, n_bars: int = 60) -> np.ndarray:
    close = np.full((n_bars, 4), 100.0)
    close[at:] *= 1.0 - size
    return close


def test_a_daily_loss_latches_flattens_and_ends_with_the_trading_day() -> None:
    strict = rules(
        LD_01={"limit_pct": "0.02"},
        LD_02={"ladder": []},
        DS_03={"abs_move": "0.5", "k_sigma": "50"},
        LD_08={"enabled": False},
    )
    result, bodies = record(history(market(crash(20, 0.024)), [strict]))
    (latch,) = of_type(bodies[0], "LATCH")
    assert (latch["rule_id"], latch["release"]) == ("LD-01", "NEXT_SESSION")
    (unlock,) = of_type(bodies[0], "UNLOCK")
    assert unlock["actor"]["type"] == "service"
    assert result.trading_state[20, 0] == 2 and result.trading_state[21, 0] == 0
    assert [span.rule_id for span in result.latches] == ["LD-01"]
    assert result.latches[0].released == 21


@pytest.mark.parametrize(("patience", "released"), [(5, 25), ("never", None)])
def test_simulated_operators_release_a_drawdown_latch_after_their_sessions(
    patience: object, released: int | None
) -> None:
    ladder = rules(
        LD_01={"limit_pct": "unlimited"},
        LD_02={"ladder": [["0.05", "0.5"], ["0.10", "FLATTEN"]], "ramp_sessions": 4},
        DS_03={"abs_move": "0.5", "k_sigma": "50"},
        LD_08={"enabled": False},
    )
    operators = Operators(MANUAL=patience, DUAL=20)  # type: ignore[arg-type]
    result, bodies = record(history(market(crash(20, 0.14)), [ladder], operators=operators))
    (span,) = result.latches
    assert (span.rule_id, span.kind, span.since, span.released) == ("LD-02", Release.MANUAL, 20, released)
    assert (result.trading_state[20 : released or 60, 0] == 2).all()
    if released is not None:
        (unlock,) = of_type(bodies[0], "UNLOCK")
        assert unlock["actor"] == {"type": "simulated", "id": "operator"}
        assert (result.trading_state[released:, 0] == 0).all(), "the acknowledged rung must not fire again"
        assert (result.throttle[released:, 0] <= 0.5).all(), "the rung below still throttles"


def test_a_locked_rung_is_rebased_by_two_people_and_trading_resumes_in_full() -> None:
    ladder = rules(
        LD_01={"limit_pct": "unlimited"},
        LD_02={"ladder": [["0.10", "LOCKED"]], "ramp_sessions": 2},
        DS_03={"abs_move": "0.5", "k_sigma": "50"},
        LD_08={"enabled": False},
    )
    result, _ = record(history(market(crash(20, 0.14)), [ladder], operators=Operators(MANUAL=2, DUAL=3)))
    (span,) = result.latches
    assert (span.kind, span.released) == (Release.DUAL, 23)
    assert result.drawdown[23, 0] == 0.0
    assert result.trading_state[24, 0] == 0


def test_a_firm_wide_loss_stops_every_account_of_that_firm_and_no_other() -> None:
    firm = rules(
        LD_01={"limit_pct": "unlimited"},
        LD_02={"ladder": []},
        LD_13={"limit_pct": "0.02"},
        DS_03={"abs_move": "0.5", "k_sigma": "50"},
        LD_08={"enabled": False},
    )
    free = rules(
        LD_01={"limit_pct": "unlimited"},
        LD_02={"ladder": []},
        DS_03={"abs_move": "0.5", "k_sigma": "50"},
        LD_08={"enabled": False},
    )
    result, _ = record(history(market(crash(20, 0.05)), [firm, firm, free, free]))
    assert result.trading_state[20].tolist() == [2, 2, 0, 0]


def test_evaluations_run_attempt_after_attempt_with_fresh_capital() -> None:
    close = np.full((80, 4), 100.0)
    close[10:] *= 1.12  # passes
    close[40:] *= 0.86  # fails
    life = Lifecycle(profit_target_pct="0.08", min_trading_days=2, max_sessions=25)
    params = rules(
        LD_01={"limit_pct": "unlimited"},
        LD_02={"ladder": []},
        LD_03={"limit_pct": "0.10"},
        DS_03={"abs_move": "0.5", "k_sigma": "50"},
        LD_08={"enabled": False},
        XL_06={"max_increase": "0.3"},
    )
    result, bodies = record(history(market(close), [params], lifecycles=[life]))
    told = [(x.number, x.result, x.rule_id, x.first_bar, x.last_bar) for x in result.attempts]
    assert told[0] == (1, "passed", "", 0, 10)
    assert [x[1] for x in told] == ["passed", "expired", "failed", "expired", "open"]
    assert told[2][2] == "LD-03"
    assert all(b[3] == a[4] + 1 for a, b in pairwise(told))
    for x in told[1:]:
        if x[3] < 80:
            assert result.equity[x[3], 0] == 100_000.0
    started = [e for e in of_type(bodies[0], "ATTEMPT") if e["status"] == "started"]
    assert [e["attempt"] for e in started] == [1, 2, 3, 4, 5]
    held: Counter[str] = Counter()
    for entry in map(orjson.loads, bodies[0]):
        if entry["event_type"] == "FILL":
            held.update({s: float(q) for s, q in zip(entry["symbol"], entry["qty"], strict=True)})
        if entry["event_type"] == "ATTEMPT" and entry["status"] != "started":
            assert not any(held.values()), "the record closes the book of a finished attempt"


def test_the_chain_is_gapless_and_binds_every_entry() -> None:
    _, bodies = record(history(market(prices(70, 4, 8)), [rules()] * 2))
    for chain in bodies:
        assert [orjson.loads(b)["seq"] for b in chain] == list(range(1, len(chain) + 1))
        assert len(set(chain_hashes(GENESIS, chain))) == len(chain)


def test_every_decision_has_one_state_one_action_and_all_but_the_last_a_transition() -> None:
    result, bodies = record(history(market(prices(70, 4, 9)), [rules()] * 2))
    for a in range(2):
        state, action, transition = result.rl.blocks(a)
        decided = [e["seq"] for e in of_type(bodies[a], "DECISION")]
        assert state.columns["seq"].tolist() == action.columns["seq"].tolist() == decided
        assert transition.columns["seq"].tolist() == decided[:-1]
        assert transition.columns["next_seq"].tolist() == decided[1:]
        assert (state.columns["ts_known_ns"] <= state.columns["ts_event_ns"]).all()


def test_rewards_add_up_to_the_change_of_equity() -> None:
    result, _ = record(history(market(prices(70, 4, 10)), [rules()], costs=FillCosts(1.0, 2.0, 10.0)))
    _, _, transition = result.rl.blocks(0)
    equity = result.rl.numbers["equity"][:, 0]
    assert np.allclose(transition.columns["reward_pnl_net"], equity[1:] / equity[:-1] - 1.0)
