from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.tools.tape_reference import MIDNIGHT, NAN, S, quotes

from regime_trading.core.errors import BadInput
from regime_trading.core.tape import QuoteRows, TapeChunk, no_trades
from regime_trading.tools import quote_pass
from regime_trading.tools.microstructure import measure
from regime_trading.tools.quote_pass import DAY_NS, QuotePass, TapeParams
from regime_trading.tools.tape_measures import TapeMeasures

GOOD = (10.0, 5.0, 11.0, 4.0)


def of(*rows, **params) -> TapeMeasures:
    return measure([TapeChunk(quotes(*rows), no_trades())], TapeParams(**params))


def counted(*rows) -> dict[str, int]:
    counts = of(*rows).counts
    names = ("used", "crossed", "locked", "one_sided", "non_positive", "repeated_ts")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


# --- edge cases -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((12.0, 1.0, 11.0, 1.0), "crossed"),
        ((0.0, 1.0, 11.0, 1.0), "one_sided"),
        ((-1.0, 1.0, 11.0, 1.0), "one_sided"),
        ((NAN, 1.0, 11.0, 1.0), "one_sided"),
        ((10.0, 1.0, NAN, 1.0), "one_sided"),
        ((10.0, 1.0, 0.0, 1.0), "one_sided"),
        ((10.0, 1.0, math.inf, 1.0), "one_sided"),
        ((math.inf, 1.0, 11.0, 1.0), "one_sided"),
        ((10.0, 0.0, 11.0, 1.0), "one_sided"),
        ((10.0, 1.0, 11.0, 0.0), "one_sided"),
        ((10.0, NAN, 11.0, 1.0), "one_sided"),
        ((10.0, 1.0, 11.0, NAN), "one_sided"),
        ((10.0, math.inf, 11.0, 1.0), "one_sided"),
        ((10.0, 1e308, 11.0, 1e308), "one_sided"),
        ((12.0, 0.0, 11.0, 1.0), "one_sided"),
        ((NAN, 1.0, NAN, 1.0), "non_positive"),
        ((0.0, 1.0, -1.0, 1.0), "non_positive"),
        ((math.inf, 1.0, math.inf, 1.0), "non_positive"),
        ((-math.inf, 1.0, NAN, 1.0), "non_positive"),
        ((10.0, -1.0, 11.0, 1.0), "non_positive"),
        ((NAN, 1.0, 11.0, -1.0), "non_positive"),
        ((NAN, NAN, NAN, NAN), "non_positive"),
    ],
)
def test_a_dropped_row_is_counted_once_under_the_first_reason(row, reason):
    assert counted((0, *row)) == {reason: 1}
    assert counted((0, *GOOD), (1, *row), (2, *GOOD)) == {"used": 2, reason: 1}


def test_edge_1_crossed_states_are_out_of_the_spread_and_locked_ones_in():
    rows = [(0, *GOOD), (S, 12.0, 5.0, 11.0, 4.0), (2 * S, 11.0, 5.0, 11.0, 4.0), (4 * S, *GOOD)]
    found = of(*rows)
    assert (found.counts.crossed, found.counts.locked, found.counts.used, found.counts.rows) == (1, 1, 3, 4)
    assert found.spread_px == (2 * 1.0 + 2 * 0.0) / 4


def test_edge_2_a_missing_side_leaves_the_spread_undefined_and_not_huge():
    found = of((0, 0.01, 1.0, NAN, 1.0), (S, NAN, 1.0, 199_999.0, 1.0))
    assert math.isnan(found.spread_bps) and math.isnan(found.spread_px) and found.counts.one_sided == 2
    assert len(found.buckets) == 0 and found.last is None and math.isnan(found.ofi_sum)


def test_edge_2_a_vanished_side_that_comes_back_worse_was_a_move_away():
    vanished = [(0, *GOOD), (1, NAN, NAN, 11.0, 4.0), (2, 9.0, 3.0, 11.0, 4.0)]
    assert of(*vanished).ofi_sum == -5.0


def test_edge_3_repeated_times_keep_their_order_and_weigh_nothing():
    rows = [(0, *GOOD), (S, 10.0, 5.0, 19.0, 4.0), (S, 10.0, 7.0, 12.0, 4.0), (2 * S, *GOOD)]
    found = of(*rows)
    assert found.counts.repeated_ts == 1
    assert found.spread_px == (1.0 + 2.0) / 2  # the spread of 9 lasted no time
    assert found.ofi_sum == 4 + (2 - 4) + (-2 - 4)  # and yet all three events count


def test_edge_4_a_crossed_book_before_the_open_begins_no_session():
    before = [(i * S, 12.0, 5.0, 11.0, 4.0) for i in range(5)]
    found = of(*before, (5 * S, *GOOD), (6 * S, *GOOD))
    assert (found.sessions, found.counts.used, found.spread_px, found.ofi_sum) == (1, 2, 1.0, 0.0)


def test_edge_9_state_just_before_the_edge_and_empty_buckets():
    found = of(
        (1 * S, *GOOD),  # mid 10.5 stands at the start of the first bucket
        (10 * S - 1, 10.0, 5.0, 13.0, 4.0),
        (10 * S, 12.0, 5.0, 13.0, 4.0),  # on the edge: of the next bucket
        (41 * S, 12.0, 6.0, 13.0, 4.0),
        interval_ns=10 * S,
    )
    assert (found.buckets.edge_ns - MIDNIGHT).tolist() == [10 * S, 20 * S, 30 * S, 40 * S, 50 * S]
    assert found.buckets.mid.tolist() == [11.5, 12.5, 12.5, 12.5, 12.5]
    assert found.buckets.d_mid.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert found.buckets.ofi.tolist() == [4.0, 5.0, 0.0, 0.0, 1.0]
    assert found.buckets.rows.tolist() == [2, 1, 0, 0, 1]
    assert found.fit.n == 5
    assert found.buckets.spread_bps[2] == pytest.approx(1.0 / 12.5 * 1e4)  # still in force


def test_edge_9_never_a_difference_across_a_gap():
    gap = 1800 * S
    within = of((0, *GOOD), (gap, 20.0, 5.0, 21.0, 4.0))
    across = of((0, *GOOD), (gap + 1, 20.0, 5.0, 21.0, 4.0))
    assert (within.sessions, within.buckets.d_mid.sum(), within.ofi_sum) == (1, 10.0, 9.0)
    assert (across.sessions, across.buckets.d_mid.tolist(), across.ofi_sum) == (2, [0.0, 0.0], 0.0)
    assert across.buckets.session.tolist() == [0, 1]
    assert math.isnan(across.spread_px)  # the gap carries no weight


def test_edge_10_a_size_of_zero_on_both_sides_gives_no_weighted_mid():
    found = of((0, *GOOD), (1, 10.0, 0.0, 12.0, 0.0))
    assert found.last is not None and found.last.ts_ns == MIDNIGHT
    assert found.last.weighted_mid == 11.0 * (5 / 9) + 10.0 * (4 / 9)
    assert of((1, 10.0, 0.0, 12.0, 0.0)).last is None


def test_edge_11_an_earlier_time_is_refused():
    with pytest.raises(BadInput, match="quotes from row 0: expected ascending times"):
        of((5, *GOOD), (4, *GOOD))


def test_edge_14_a_new_trading_day_is_the_calendars_and_not_a_gap():
    edge = np.array([MIDNIGHT + 15 * S])
    rows = [(14 * S, *GOOD), (15 * S - 1, *GOOD), (15 * S, 20.0, 5.0, 21.0, 4.0), (16 * S, *GOOD)]
    found = of(*rows, day_edges_ns=edge)
    assert (found.sessions, found.buckets.session.tolist()) == (2, [0, 1])
    assert found.buckets.edge_ns.tolist() == [MIDNIGHT + 20 * S] * 2  # one bucket, cut in two
    assert found.buckets.d_mid.tolist() == [0.0, -10.0]
    assert of(*rows).sessions == 1
    passed = np.array([MIDNIGHT - 5, MIDNIGHT, MIDNIGHT + 14 * S, MIDNIGHT + 16 * S + 1])
    assert of(*rows, day_edges_ns=passed).sessions == 1


# --- numbers ----------------------------------------------------------------------------------------------


def test_order_flow_by_hand():
    states = [(10, 5, 11, 4), (10, 7, 11, 4), (10, 7, 11, 1), (11, 2, 12, 6), (10, 7, 12, 6)]
    sums = [of(*[(i, *map(float, s)) for i, s in enumerate(states[: n + 1])]).ofi_sum for n in range(5)]
    assert sums == [0, 2, 5, 8, 6]


def test_time_weighted_by_hand():
    found = of((0, *GOOD), (3 * S, 10.0, 1.0, 12.0, 3.0), (4 * S, *GOOD))
    assert found.spread_px == (3 * 1 + 1 * 2) / 4
    assert found.spread_bps == pytest.approx((3 * 1 / 10.5 + 2 / 11) / 4 * 1e4, rel=1e-14)
    assert found.depth == (3 * 4.5 + 1 * 2.0) / 4
    assert found.buckets.spread_bps.tolist() == [pytest.approx(found.spread_bps)]


def test_buckets_begin_anew_at_midnight():
    found = of((7 * S, *GOOD), (86_400 * S - 1, *GOOD), interval_ns=DAY_NS // 9, session_gap_ns=DAY_NS)
    assert (found.buckets.edge_ns - MIDNIGHT).tolist() == [DAY_NS // 9 * i for i in range(1, 10)]


def test_more_buckets_than_fit_at_once(monkeypatch):
    rows = [(0, *GOOD), (5000, 10.0, 6.0, 11.0, 4.0), (5001, *GOOD), (9000, *GOOD)]
    params = {"interval_ns": 1, "session_gap_ns": 5000}
    whole = of(*rows, **params)
    assert len(whole.buckets) == 9001
    monkeypatch.setattr(quote_pass, "_BUCKETS_AT_ONCE", 7)
    pieces = of(*rows, **params)
    assert np.array_equal(whole.buckets.ofi, pieces.buckets.ofi)
    assert np.array_equal(whole.buckets.spread_bps, pieces.buckets.spread_bps, equal_nan=True)
    assert whole.ofi_sum == pieces.ofi_sum == 0.0


def test_memory_does_not_grow_with_rows():
    taking, n = QuotePass(TapeParams()), 5000
    for i in range(50):
        ts = MIDNIGHT + i * S + np.arange(n)
        taking.take(QuoteRows(ts, np.full(n, 10.0), np.full(n, 11.0), np.ones(n), np.ones(n)))
    assert taking.rows == 250_000
    assert len(taking._kept[0]) == 2 * quote_pass.BLOCK_ROWS
    assert sum(map(len, taking._finished)) == 4


def test_the_sink_sees_kept_rows_and_where_sessions_open():
    seen = []
    taking = QuotePass(TapeParams(), lambda *columns: seen.append([c.tolist() for c in columns]))
    taking.take(quotes((0, *GOOD), (1, NAN, 1.0, 11.0, 1.0), (2, *GOOD)))
    taking.take(quotes((3, NAN, 1.0, 11.0, 1.0)))
    taking.take(quotes((3, *GOOD), (3 + 1801 * S, *GOOD)))
    assert [np.array(block[0]).tolist() for block in seen] == [
        [MIDNIGHT, MIDNIGHT + 2],
        [MIDNIGHT + 3, MIDNIGHT + 3 + 1801 * S],
    ]
    assert [block[5] for block in seen] == [[True, False], [False, True]]
    assert seen[0][1:5] == [[10.0, 10.0], [11.0, 11.0], [5.0, 5.0], [4.0, 4.0]]


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"interval_ns": 0}, "interval_ns"),
        ({"interval_ns": 7 * S}, "interval_ns"),
        ({"r2_window_ns": -1}, "r2_window_ns"),
        ({"session_gap_ns": 0}, "session_gap_ns"),
        ({"horizons_ns": ()}, "horizons"),
        ({"horizons_ns": (0, 10 * S)}, "horizons"),
        ({"headline_horizon_ns": 2 * S}, "horizons"),
        ({"day_edges_ns": np.array([2, 1])}, "day_edges_ns"),
    ],
)
def test_parameters_that_cut_no_tape_are_refused(params, where):
    with pytest.raises(BadInput, match=where):
        TapeParams(**params)
