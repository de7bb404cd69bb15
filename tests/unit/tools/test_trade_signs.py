from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tools.tape_reference import MIDNIGHT, NAN, S, quotes, same, split, trades

from regime_trading.core.tape import QuoteRows, TapeChunk, TradeRows, no_quotes
from regime_trading.tools.microstructure import TapePass, measure
from regime_trading.tools.quote_pass import TapeParams
from regime_trading.tools.tape_measures import TapeMeasures
from regime_trading.tools.trade_signs import book_before, lee_ready, quote_rule, tick_rule

BOOK = quotes((0, 99.0, 5.0, 101.0, 5.0))  # mid 100
ONWARD = quotes(*[(i * S, 99.0, 5.0, 101.0, 5.0) for i in range(20)])


def of(t: TradeRows, q: QuoteRows = ONWARD, **params) -> TapeMeasures:
    return measure([TapeChunk(q, t)], TapeParams(**params))


def batches(t: TradeRows, q: QuoteRows = BOOK) -> list[tuple[int, float, float, int]]:
    """Merged trades as the sink sees them."""
    seen: list[tuple[int, float, float, int]] = []
    tape = TapePass(
        TapeParams(), trade_sink=lambda *c: seen.extend(zip(*(x.tolist() for x in c), strict=True))
    )
    tape.update(TapeChunk(q, t))
    tape.result()
    return [(ts - MIDNIGHT, *rest) for ts, *rest in seen]


# --- rules ------------------------------------------------------------------------------------------------


def test_quote_rule():
    price, mid = np.array([101.0, 99.0, 100.0, 101.0]), np.array([100.0, 100.0, 100.0, NAN])
    assert quote_rule(price, mid).tolist() == [1, -1, 0, 0]


def test_tick_rule_looks_at_the_last_different_price():
    assert tick_rule(np.array([10.0, 10.0, 11.0, 11.0, 10.5, 10.5])).tolist() == [0, 0, 1, 1, -1, -1]
    assert tick_rule(np.array([10.0, 9.0]), last_price=10.0, direction=-1).tolist() == [-1, -1]
    assert tick_rule(np.array([10.0]), last_price=9.0, direction=-1).tolist() == [1]


@given(st.lists(st.integers(1, 4), max_size=30), st.integers(0, 30))
def test_tick_rule_carries_over_a_cut(prices, cut):
    price = np.array(prices, float)
    whole = tick_rule(price)
    first, then = price[:cut], price[cut:]
    last, direction = (first[-1], int(whole[len(first) - 1])) if len(first) else (NAN, 0)
    assert np.array_equal(whole, np.append(tick_rule(first), tick_rule(then, last, direction)))


def test_lee_ready_by_hand():
    price = np.array([101.0, 100.0, 100.0, 99.0, 100.0, 100.5])
    mid = np.array([100.0, 100.0, NAN, 100.0, 100.0, 100.0])
    assert lee_ready(price, mid).tolist() == [1, -1, -1, -1, 1, 1]
    assert lee_ready(price[1:2], mid[1:2]).tolist() == [0]


def test_the_book_in_force_is_never_later_in_time():
    kept_ts, kept_row = np.array([5, 7, 7, 9]), np.array([0, 2, 3, 4])
    ts = np.array([5, 6, 7, 7, 7, 7, 9, 9, 99])
    after = np.array([-1, -1, -1, 2, 3, 4, 5, 99, -1])
    assert book_before(ts, after, kept_ts, kept_row).tolist() == [-1, 0, 0, 0, 1, 2, 3, 3, 3]
    assert book_before(np.array([7]), np.array([99]), kept_ts, kept_row).tolist() == [2]


# --- edge cases -------------------------------------------------------------------------------------------


def test_edge_4_auction_prints_are_in_no_measure_and_counted():
    found = of(trades((2 * S, 101.0, 5.0), (3 * S, 150.0, 1e6), continuous=[1, 0])).trades
    assert (found.executions, found.n, found.volume, found.signed_volume) == (2, 1, 5.0, 5.0)
    assert found.excluded == {"not_continuous": 1, "invalid": 0}
    assert found.effective.effective_bps == pytest.approx(200.0)


def test_edge_6_the_mid_strictly_before_the_trade():
    moved = quotes((0, 99.0, 5.0, 101.0, 5.0), (S, 101.0, 5.0, 103.0, 5.0), (20 * S, 101.0, 5.0, 103.0, 5.0))
    at_the_instant = of(trades((S, 101.0, 5.0)), moved).trades.effective.effective_bps
    in_sequence = of(trades((S, 101.0, 5.0), after_quote=[1]), moved).trades.effective.effective_bps
    after_the_move = of(trades((S, 103.0, 5.0), after_quote=[2]), moved).trades.effective.effective_bps
    assert at_the_instant == in_sequence == pytest.approx(200.0)
    assert after_the_move == pytest.approx(2 / 102 * 1e4)


def test_edge_6_hidden_executions_count_as_volume_and_not_as_spread():
    found = of(trades((S, 100.5, 7.0), (2 * S, 101.0, 5.0), visible=[0, 1], aggressor=[1, 1])).trades
    assert (found.n, found.volume, found.effective.n) == (2, 12.0, 1)
    assert found.effective.effective_bps == pytest.approx(200.0)
    assert found.no_cost["hidden"] == 1


def test_edge_6_a_hidden_execution_at_the_mid_has_no_sign():
    found = of(trades((S, 99.0, 1.0), (2 * S, 100.0, 7.0), visible=[1, 0])).trades
    assert found.signed_by == {"aggressor": 0, "quote": 1, "tick": 0, "none": 1}
    assert (found.volume, found.signed_volume) == (8.0, -1.0)


def test_edge_6_the_visible_part_alone_of_a_partly_hidden_order_has_a_cost():
    found = of(trades((S, 100.5, 7.0), (S, 101.0, 5.0), visible=[0, 1], aggressor=[1, 1])).trades
    assert (found.n, found.volume, found.effective.n) == (1, 12.0, 1)
    assert found.effective.effective_bps == pytest.approx(200.0)


def test_edge_7_executions_of_one_order_are_one_trade():
    sweep = trades(
        (S, 101.0, 3.0), (S, 102.0, 1.0), (S, 99.0, 1.0), (2 * S, 101.0, 1.0), aggressor=[1, 1, -1, 1]
    )
    found = of(sweep).trades
    assert (found.executions, found.n) == (4, 3)
    assert batches(sweep) == [(S, 101.25, 4.0, 1), (S, 99.0, 1.0, -1), (2 * S, 101.0, 1.0, 1)]


def test_edge_7_a_sweep_is_measured_against_the_book_before_its_first_execution():
    book = quotes((0, 99.0, 5.0, 101.0, 3.0), (S, 99.0, 5.0, 103.0, 5.0), (S, 99.0, 5.0, 105.0, 5.0))
    found = of(trades((S, 101.0, 3.0), (S, 103.0, 3.0), aggressor=[1, 1], after_quote=[1, 2]), book).trades
    assert (found.n, found.effective.effective_bps) == (1, pytest.approx(2 * 2 / 100 * 1e4))


def test_edge_7_unsigned_executions_merge_on_one_side_of_the_mid_alone():
    assert batches(trades((S, 101.0, 1.0), (S, 100.5, 1.0), (S, 99.5, 2.0), (S, 99.0, 2.0))) == [
        (S, 100.75, 2.0, 1),
        (S, 99.25, 4.0, -1),
    ]


def test_edge_11_trades_before_the_first_quote_or_after_a_gap_have_no_spread():
    book = quotes(
        (S, 99.0, 5.0, 101.0, 5.0), (2000 * S, 99.0, 5.0, 101.0, 5.0), (2100 * S, 99.0, 5.0, 101.0, 5.0)
    )
    found = of(
        trades((0, 101.0, 1.0), (S, 101.0, 1.0), (1900 * S, 101.0, 1.0), (2050 * S, 101.0, 1.0)), book
    ).trades
    assert (found.n, found.volume, found.effective.n) == (4, 4.0, 1)
    assert found.no_cost == {"before_first_quote": 2, "no_quote_in_session": 1, "hidden": 0, "unsigned": 0}


def test_edge_14_a_quote_of_the_day_before_is_not_in_force():
    found = of(trades((20 * S, 101.0, 1.0)), ONWARD, day_edges_ns=np.array([MIDNIGHT + 20 * S])).trades
    assert found.no_cost["no_quote_in_session"] == 1


# --- signs and costs --------------------------------------------------------------------------------------


def test_flag_before_quote_before_tick():
    found = of(
        trades((1, 100.0, 1.0), (2, 99.0, 1.0), (3, 100.0, 1.0), (4, 99.0, 1.0), aggressor=[0, 0, 0, 1])
    )
    assert found.trades.signed_by == {"aggressor": 1, "quote": 1, "tick": 1, "none": 1}
    assert found.trades.signed_volume == -1 + 1 + 1
    assert found.trades.no_cost["unsigned"] == 1


def test_rounding_of_a_mean_price_is_no_tick():
    at, sizes = 0.23, (0.3, 0.1, 0.1)
    assert sum(size * at for size in sizes) / sum(sizes) != at
    book = quotes((0, 0.13, 5.0, 0.33, 5.0))
    fills = trades((1, 0.13, 1.0), (2, at, 1.0), *[(3, at, size) for size in sizes], (4, at, 1.0))
    seen = batches(fills, book)
    assert [sign for *_, sign in seen] == [-1, 1, 1, 1]
    assert {price for _, price, *_ in seen[1:]} == {at}


def test_a_trade_waits_for_a_quote_of_its_instant_that_comes_in_the_next_chunk():
    moved = quotes((0, 99.0, 5.0, 101.0, 5.0), (S, 99.0, 5.0, 101.0, 5.0), (S, 101.0, 5.0, 103.0, 5.0))
    prints = trades((S, 101.0, 1.0), (S, 99.0, 1.0), after_quote=[3, -1])  # below 102, below 100: one sale
    tape = TapeChunk(moved, prints)
    whole = measure([tape], TapeParams()).trades
    assert (whole.n, whole.signed_volume) == (1, -2.0)
    assert whole.effective.effective_bps == pytest.approx(2 * 2 / 102 * 1e4)
    for quote_cut, trade_cut in ((q, t) for q in range(4) for t in range(3) if q > 0 or t == 0):
        assert same(measure(split(tape, [quote_cut], [trade_cut]), TapeParams()).trades, whole)


def test_without_quotes_the_tick_rule_signs():
    found = of(trades((1, 10.0, 1.0), (2, 11.0, 2.0), (3, 11.0, 4.0)), no_quotes())
    assert (found.trades.signed_volume, found.trades.n, len(found.buckets)) == (6.0, 3, 0)
    assert found.trades.signed_by["tick"] == 2
    assert found.trades.no_cost["before_first_quote"] == 3
    assert math.isnan(found.trades.effective.effective_bps) and (found.first_ns, found.last_ns) == (
        MIDNIGHT + 1,
        MIDNIGHT + 3,
    )


def test_costs_by_hand_and_their_sum():
    book = quotes(
        (0, 99.0, 5.0, 101.0, 5.0), (10 * S, 100.0, 5.0, 102.0, 5.0), (11 * S, 98.0, 5.0, 100.0, 5.0)
    )
    found = of(trades((0, 1.0, 1.0), (1, 101.0, 3.0), (S, 99.0, 1.0)), book).trades
    at = found.at(10 * S)
    assert at.n == 2  # the mid is 101 ten seconds after the buy, and 99 after the sell: its own last quote
    assert at.effective_bps == pytest.approx(200.0)
    assert at.impact_bps == pytest.approx((3 * 200.0 + 1 * 200.0) / 4)
    assert at.realised_bps == pytest.approx(0.0, abs=1e-9)
    assert at.realised_bps + at.impact_bps == pytest.approx(at.effective_bps, rel=1e-15)
    assert found.at(60 * S).n == 0 and math.isnan(found.at(60 * S).impact_bps)


def test_a_trade_near_the_end_of_its_session_is_left_out_at_the_horizon_alone():
    book = quotes((0, 99.0, 5.0, 101.0, 5.0), (5 * S, 99.0, 5.0, 101.0, 5.0), (2000 * S, 9.0, 5.0, 11.0, 5.0))
    found = of(trades((4 * S, 101.0, 1.0), (2000 * S + 1, 11.0, 1.0)), book).trades
    assert (found.effective.n, found.at(S).n, found.at(10 * S).n) == (2, 1, 0)


def test_rows_that_are_no_trades_are_counted_as_invalid():
    found = of(trades((1, NAN, 1.0), (2, 101.0, 0.0), (3, -1.0, 1.0), (4, 101.0, math.inf), (5, 101.0, 1.0)))
    assert (found.trades.n, found.trades.excluded["invalid"], found.trades.executions) == (1, 4, 5)


def test_no_trades_have_no_volume():
    found = of(trades())
    assert (found.trades.n, found.trades.executions) == (0, 0)
    assert math.isnan(found.trades.volume) and math.isnan(found.trades.signed_volume)
