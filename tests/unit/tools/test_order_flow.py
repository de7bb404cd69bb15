"""Order flow: the hand check, a plain reference, sessions and buckets, chunks, causal weights, real books."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from statsmodels.api import OLS, add_constant

from regime_trading.core.errors import BadInput
from regime_trading.core.tape import DepthRows, QuoteRows, no_quotes
from regime_trading.tools.order_flow import (
    DAY_NS,
    OrderFlowBuckets,
    component_path,
    first_component,
    integrated,
    kept_rows,
    least_squares,
    order_flow_fit,
)

REAL = Path(os.environ.get("REGIME_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
S = 1_000_000_000
T0 = 20_000 * DAY_NS + 50_000 * S
HAND = [(10, 5, 11, 4), (10, 7, 11, 4), (10, 7, 11, 1), (11, 2, 12, 6), (10, 7, 12, 6)]  # b, B, a, A


def real(name):
    if not (REAL / name).is_file():
        pytest.skip(f"no real data: {REAL / name} is not there (set REGIME_REAL_DATA)")
    return REAL / name


def quotes(rows, ts=None):
    b, bs, a, az = (np.array(c, float) for c in zip(*rows, strict=True))
    ts = T0 + S * np.arange(len(rows)) if ts is None else np.asarray(ts, np.int64)
    return QuoteRows(ts, b, a, bs, az)


def deep(ts, book):
    """[n, 4, L] (bid_px, ask_px, bid_sz, ask_sz) to rows."""
    book = np.asarray(book, float)
    best = [book[:, i, 0].copy() for i in range(4)]
    return QuoteRows(
        np.asarray(ts, np.int64), best[0], best[1], best[2], best[3], DepthRows(*np.moveaxis(book, 1, 0))
    )


def part(q, lo, hi):
    cut = lambda r: type(r)(*[getattr(r, f)[lo:hi] for f in r.__slots__ if f != "levels"])  # noqa: E731
    sides = [getattr(q, f)[lo:hi] for f in ("ts_ns", "bid_px", "ask_px", "bid_sz", "ask_sz")]
    return QuoteRows(*sides, None if q.levels is None else cut(q.levels))


def run(q, **kwargs):
    keep, flags = kwargs.pop("keep", None), kwargs.pop("new_session", None)
    flow = OrderFlowBuckets(**kwargs)
    flow.update(q, keep, flags)
    return flow.result()


def random_book(rng, n, levels, holes=0.1, gap_s=4):
    """Walking book with levels that vanish and times that repeat."""
    top = 1000 + np.cumsum(rng.integers(-1, 2, n))
    spread = rng.integers(1, 3, n)
    step = np.cumsum(rng.integers(1, 3, (n, 2, levels)), axis=2) - 1
    step -= step[:, :, :1]
    book = np.empty((n, 4, levels))
    book[:, 0], book[:, 1] = top[:, None] - step[:, 0], (top + spread)[:, None] + step[:, 1]
    book[:, 2:] = rng.integers(1, 50, (n, 2, levels))
    gone = rng.random((n, 2, levels)) < holes
    gone[:, :, 0] = False
    for side in range(2):
        book[:, side][gone[:, side]] = np.nan
        book[:, side + 2][gone[:, side]] = np.where(rng.random() < 0.5, np.nan, 0.0)
    ts = T0 + np.cumsum(rng.integers(0, gap_s, n)) * S
    return deep(ts, book)


def reference(q, starts, interval_ns):
    """Rows of (start, session, events, OFI per level, depth, dm), by plain loops."""
    out, last, session, mid = [], None, -1, None
    sides = (q.levels.bid_px, q.levels.ask_px, q.levels.bid_sz, q.levels.ask_sz)
    levels = sides[0].shape[1]
    for i in range(len(q)):
        now = []
        for m in range(levels):
            b, a, bs, az = (float(s[i, m]) for s in sides)
            bid = (b, bs) if b > 0 and bs > 0 else (-np.inf, 0.0)
            ask = (a, az) if a > 0 and az > 0 else (np.inf, 0.0)
            now.append((bid, ask))
        edge = q.ts_ns[i] // DAY_NS * DAY_NS + q.ts_ns[i] % DAY_NS // interval_ns * interval_ns
        fresh = last is None or starts[i]
        if fresh:
            session += 1
            out.append([edge, session, 0, np.zeros(levels), [], 0.0])
        else:
            while out[-1][0] < edge:
                day = out[-1][0] // DAY_NS
                nxt = out[-1][0] + interval_ns
                nxt = nxt if nxt // DAY_NS == day else (day + 1) * DAY_NS
                out.append([nxt, session, 0, np.zeros(levels), [], 0.0])
            for m in range(levels):
                (b, bs), (a, az) = now[m]
                (pb, pbs), (pa, paz) = last[m]
                e = bs * (b >= pb) - pbs * (b <= pb) - az * (a <= pa) + paz * (a >= pa)
                out[-1][3][m] += e
            out[-1][5] += (now[0][0][0] + now[0][1][0]) / 2 - mid
        mid = (now[0][0][0] + now[0][1][0]) / 2
        out[-1][2] += 1
        out[-1][4] += [s for pair in now for _, s in pair if s > 0]
        last = now
        out[-1].append([s for pair in now for _, s in pair if s > 0])
    depths, book = [], None
    for row in out:
        depths.append(np.mean(row[4]) if row[4] else np.mean(book))
        book = row[-1] if len(row) > 6 else book
    return out, np.array(depths)


# --- the event rule -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "total"), [(2, 2.0), (3, 5.0), (4, 8.0), (5, 6.0)])
def test_hand_check(rows, total):
    assert run(quotes(HAND[:rows]), interval_ns=DAY_NS).ofi.sum() == total


def test_hand_check_at_two_levels():
    """The second level repeats the first, shifted: the same rule by its own price."""
    book = [[[b, b - 1], [a, a + 1], [bs, bs], [az, az]] for b, bs, a, az in HAND]
    flow = run(deep(T0 + S * np.arange(5), book), interval_ns=DAY_NS)
    np.testing.assert_array_equal(flow.ofi, [[6.0, 6.0]])


def test_a_level_that_vanishes_moves_away_and_one_that_appears_moves_in():
    def row(bid_2, ask_2):
        return [[10, bid_2[0]], [11, ask_2[0]], [5, bid_2[1]], [5, ask_2[1]]]

    full, nan = row((9, 4), (12, 3)), np.nan
    for hole in (
        row((nan, nan), (12, 3)),
        row((9, 0), (12, 3)),
        row((nan, 0), (12, 3)),
        row((-1, 4), (12, 3)),
    ):
        flow = run(deep([T0, T0 + 1], [full, hole]))
        np.testing.assert_array_equal(flow.ofi, [[0.0, -4.0]])
        np.testing.assert_array_equal(run(deep([T0, T0 + 1], [hole, full])).ofi, [[0.0, 4.0]])
        np.testing.assert_array_equal(run(deep([T0, T0 + 1], [hole, hole])).ofi, [[0.0, 0.0]])
    asks = run(deep([T0, T0 + 1], [full, row((9, 4), (nan, nan))]))
    np.testing.assert_array_equal(asks.ofi, [[0.0, 3.0]])


def test_invalid_rows_are_left_out():
    nan = np.nan
    bad = [
        (nan, 5, 11, 4),
        (10, 0, 11, 4),
        (12, 5, 11, 4),
        (10, 5, 11, -4),
        (0, 5, 11, 4),
        (10, nan, 11, 4),
        (10, 5, np.inf, 4),
    ]
    rows = quotes([HAND[0], *bad, *HAND[1:], (11, 3, 11, 3)])
    kept = kept_rows(rows)
    np.testing.assert_array_equal(kept, [True, *[False] * 7, True, True, True, True, True])
    flow = run(part(rows, 0, 12), interval_ns=DAY_NS)
    assert flow.ofi.sum() == 6.0 and flow.events.sum() == 5


@pytest.mark.parametrize("seed", range(6))
def test_equals_a_plain_reference(seed):
    rng = np.random.default_rng(seed)
    q = random_book(rng, 400, 4)
    starts = rng.random(400) < 0.02
    interval = int(rng.choice([1, 7, 10, 60])) * S
    flow = run(q, interval_ns=interval, new_session=starts)
    rows, depth = reference(q, starts, interval)
    np.testing.assert_array_equal(flow.start_ns, [r[0] for r in rows])
    np.testing.assert_array_equal(flow.session, [r[1] for r in rows])
    np.testing.assert_array_equal(flow.events, [r[2] for r in rows])
    np.testing.assert_array_equal(flow.ofi, np.array([r[3] for r in rows]))
    np.testing.assert_allclose(flow.d_mid, [r[5] for r in rows], atol=1e-9)
    np.testing.assert_allclose(flow.depth, depth, rtol=1e-12)
    np.testing.assert_allclose(flow.normalised(), flow.ofi / depth[:, None])


# --- buckets and sessions -----------------------------------------------------------------------------------


def test_buckets_are_half_open_and_empty_ones_are_zero():
    """A row on the edge belongs to the bucket it opens; both changes start just before the edge."""
    base = T0 // (10 * S) * 10 * S
    rows = quotes(
        [(10, 5, 11, 4), (10, 7, 11, 4), (11, 2, 12, 6), (11, 2, 12, 5)], base + S * np.array([3, 10, 20, 45])
    )
    flow = run(rows)
    np.testing.assert_array_equal(flow.start_ns - base, S * np.array([0, 10, 20, 30, 40]))
    np.testing.assert_array_equal(flow.events, [1, 1, 1, 0, 1])
    np.testing.assert_array_equal(flow.ofi[:, 0], [0, 2, 6, 0, 1])
    np.testing.assert_array_equal(flow.d_mid, [0, 0, 1, 0, 0])
    assert flow.depth[3] == 4.0 and not np.isnan(flow.normalised()).any()


def test_never_differenced_across_a_gap_or_a_trading_day():
    rows = [(10, 5, 11, 4), (10, 7, 11, 4), (50, 9, 51, 4), (50, 9, 51, 3)]
    half_hour = 1800 * S
    ts = T0 + np.array([0, S, S + half_hour + 1, 2 * S + half_hour])
    flow = run(quotes(rows, ts))
    assert flow.ofi.sum() == 3.0 and flow.d_mid.sum() == 0.0
    np.testing.assert_array_equal(np.unique(flow.session), [0, 1])
    assert len(flow.start_ns) == 2  # no buckets inside the gap
    joined = run(quotes(rows, ts - [0, 0, 1, 1]))
    assert joined.d_mid.sum() == 40.0 and len(joined.start_ns) == 181
    edges = np.array([T0 + 2 * S], np.int64)
    close = T0 + S * np.array([0, 1, 2, 3])
    split = run(quotes(rows, close), day_edges_ns=edges)
    assert split.d_mid.sum() == 0.0 and split.start_ns[0] == split.start_ns[1] and len(split.start_ns) == 2
    flagged = run(quotes(rows, close), new_session=np.array([False, False, True, False]))
    np.testing.assert_array_equal(split.ofi, flagged.ofi)


def test_a_session_flag_on_a_row_left_out_holds_for_the_next():
    rows = quotes([(10, 5, 11, 4), (np.nan, 5, 11, 4), (50, 9, 51, 4)])
    flags = np.array([False, True, False])
    assert run(rows, new_session=flags).d_mid.sum() == 0.0
    pieces = OrderFlowBuckets()
    for i in range(3):
        pieces.update(part(rows, i, i + 1), None, flags[i : i + 1])
    assert pieces.result().d_mid.sum() == 0.0 and pieces.result().session[-1] == 1


def test_rows_of_one_instant_all_count():
    flow = run(quotes(HAND, [T0] * 5))
    assert flow.ofi.sum() == 6.0


def test_units_intervals_that_do_not_divide_the_day_restart_at_midnight():
    midnight = 20_001 * DAY_NS
    flow = run(quotes(HAND, midnight + S * np.array([-3, -2, 1, 6, 8])), interval_ns=7 * S)
    np.testing.assert_array_equal(flow.start_ns[-2:], [midnight, midnight + 7 * S])


# --- chunks, causality, units -------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 300), max_size=6), st.booleans())
def test_cutting_the_tape_changes_nothing(seed, cuts, flagged):
    rng = np.random.default_rng(seed)
    q = random_book(rng, 300, 3, gap_s=40)
    q.bid_px[rng.random(300) < 0.1] = np.nan
    flags = rng.random(300) < 0.05 if flagged else None
    setup = {"session_gap_ns": 35 * S, "day_edges_ns": np.array([q.ts_ns[150]])}
    whole = run(q, new_session=flags, **setup)
    pieces = OrderFlowBuckets(**setup)
    for lo, hi in itertools.pairwise([0, *sorted(cuts), 300]):
        pieces.update(part(q, lo, hi), None, None if flags is None else flags[lo:hi])
        pieces.result()  # looking changes nothing
    other = pieces.result()
    for name in whole.__slots__:
        assert getattr(whole, name).tobytes() == getattr(other, name).tobytes(), name


@pytest.mark.parametrize("cut", [137, 400, 601])
def test_buckets_and_weights_at_t_do_not_see_later_rows(cut):
    rng = np.random.default_rng(11)
    q = random_book(rng, 900, 5)
    full, short = run(q), run(part(q, 0, cut))
    done = len(short.start_ns) - 1  # the last one is open
    for name in full.__slots__:
        assert getattr(full, name)[:done].tobytes() == getattr(short, name)[:done].tobytes()
    knobs = {"window": 40, "every": 7, "min_history": 12}
    ofi, other = full.normalised(), full.normalised().copy()
    other[done:] = rng.normal(size=other[done:].shape)
    for f in (component_path, integrated):
        assert f(ofi, **knobs)[:done].tobytes() == f(other[:done].copy(), **knobs).tobytes()
        assert f(ofi, **knobs)[:done].tobytes() == f(other, **knobs)[:done].tobytes()
    assert not np.array_equal(
        integrated(ofi, in_sample=True)[:done], integrated(other, in_sample=True)[:done]
    )


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0.25, 2.0, 1024.0]), st.sampled_from([0.5, 100.0, 4.0]))
def test_units_scale_through(price, size):
    q = random_book(np.random.default_rng(12), 300, 3)
    level = q.levels
    scaled = QuoteRows(
        q.ts_ns, q.bid_px * price, q.ask_px * price, q.bid_sz * size, q.ask_sz * size,
        DepthRows(level.bid_px * price, level.ask_px * price, level.bid_sz * size, level.ask_sz * size),
    )  # fmt: skip
    one, other = run(q), run(scaled)
    np.testing.assert_allclose(other.ofi, one.ofi * size)
    np.testing.assert_allclose(other.d_mid, one.d_mid * price)
    np.testing.assert_allclose(other.normalised(), one.normalised())


def test_a_mirrored_book_has_the_opposite_flow():
    q = random_book(np.random.default_rng(13), 300, 3)
    lv = q.levels
    top = 10_000.0
    mirrored = QuoteRows(
        q.ts_ns, top - q.ask_px, top - q.bid_px, q.ask_sz, q.bid_sz,
        DepthRows(top - lv.ask_px, top - lv.bid_px, lv.ask_sz, lv.bid_sz),
    )  # fmt: skip
    np.testing.assert_array_equal(run(mirrored).ofi, -run(q).ofi)
    np.testing.assert_array_equal(run(mirrored).d_mid, -run(q).d_mid)


# --- integrated OFI -----------------------------------------------------------------------------------------


def test_weights_equal_scikit_learn_and_sum_above_zero():
    """The sign of a principal component is arbitrary; ours is not."""
    rng = np.random.default_rng(14)
    for _ in range(20):
        x = rng.normal(size=(80, 1)) * rng.uniform(0.2, 1, 6) + 0.3 * rng.normal(size=(80, 6)) + 2.0
        theirs = PCA(1, svd_solver="full").fit(x).components_[0]
        theirs = theirs / np.abs(theirs).sum() * np.sign(theirs.sum())
        w = first_component(x)
        np.testing.assert_allclose(w, theirs, atol=1e-10)
        np.testing.assert_allclose(first_component(-x), w, atol=1e-10)
        assert w.sum() > 0.0 and np.abs(w).sum() == pytest.approx(1.0)


def test_weights_are_unknown_without_history_or_variation():
    ofi = np.random.default_rng(15).normal(size=(100, 3))
    path = component_path(ofi, window=30, every=10, min_history=25)
    assert np.isnan(path[:30]).all() and np.isfinite(path[30:]).all()
    np.testing.assert_array_equal(path[30:40], np.tile(first_component(ofi[:30]), (10, 1)))
    np.testing.assert_array_equal(path[90], first_component(ofi[60:90]))
    assert np.isnan(first_component(np.ones((50, 3)))).all() and np.isnan(first_component(ofi[:1])).all()
    assert np.isnan(component_path(np.zeros((100, 3)))).all()
    np.testing.assert_array_equal(first_component(ofi[:, :1]), [1.0])
    frozen = np.concatenate([ofi[:40], np.zeros((60, 3))])
    held = component_path(frozen, window=30, every=10, min_history=25)
    np.testing.assert_array_equal(held[-1], held[70])
    assert np.isfinite(held[-1]).all()
    for bad in ({"min_history": 1}, {"min_history": 200}, {"every": 0}):
        with pytest.raises(BadInput):
            component_path(ofi, **bad)


def test_integrated_flow_explains_more_where_deeper_levels_carry_the_signal():
    rng = np.random.default_rng(16)
    signal = rng.normal(size=900)
    ofi = signal[:, None] + rng.normal(size=(900, 5)) * 0.8
    flow = run(random_book(rng, 3, 5))
    k = np.arange(900)
    made = type(flow)(k * 10 * S, k * 0, k * 0 + 1, ofi * 7.0, np.full(900, 7.0), 0.01 * signal)
    fit = order_flow_fit(made)
    assert fit.integrated.r2 > 0.85 > 0.7 > fit.best_same.r2 > 0.5
    assert fit.integrated.n == fit.best_same.n == 840 and fit.best.n == 900
    np.testing.assert_allclose(fit.weights, 0.2, atol=0.03)


def test_least_squares_equals_statsmodels():
    rng = np.random.default_rng(17)
    x, y = rng.normal(size=50) + 9, rng.normal(size=50)
    theirs = OLS(y, add_constant(x)).fit()
    ours = least_squares(np.append(x, np.nan), np.append(y, 1.0))
    assert (ours.intercept, ours.slope) == pytest.approx(tuple(theirs.params))
    assert ours.r2 == pytest.approx(theirs.rsquared) and ours.n == 50
    assert np.isnan(least_squares(np.ones(9), x[:9]).slope) and np.isnan(least_squares(x[:2], y[:2]).r2)
    still = least_squares(x, np.full(50, 2.0))
    assert still.slope == 0.0 and np.isnan(still.r2)


# --- nothing to say, and wrong input ------------------------------------------------------------------------


def test_empty_tapes():
    flow = OrderFlowBuckets()
    flow.update(no_quotes())
    assert flow.result().ofi.shape == (0, 0)
    fit = order_flow_fit(flow.result())
    assert np.isnan(fit.best.r2) and fit.best.n == 0
    flow.update(quotes([(np.nan, 1, 2, 3)]))
    flow.update(quotes(HAND))
    assert flow.result().ofi.sum() == 6.0


def test_wrong_input():
    for bad in (
        {"levels": 0},
        {"interval_ns": 0},
        {"interval_ns": DAY_NS + 1},
        {"session_gap_ns": 0},
        {"day_edges_ns": np.array([2, 1])},
    ):
        with pytest.raises(BadInput):
            OrderFlowBuckets(**bad)
    flow = OrderFlowBuckets()
    flow.update(quotes(HAND))
    with pytest.raises(BadInput, match="times in order"):
        flow.update(quotes(HAND))
    later = random_book(np.random.default_rng(0), 5, 3)
    later.ts_ns[:] += DAY_NS
    with pytest.raises(BadInput, match="levels"):
        flow.update(later)
    with pytest.raises(BadInput, match="one flag a row"):
        OrderFlowBuckets().update(quotes(HAND), np.ones(2, np.bool_))


# --- real books ---------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_lobster_ten_levels():
    name = "lobster_aapl_2012-06-21_first49s/AAPL_2012-06-21_34200000_57600000_orderbook_10.csv"
    table = np.loadtxt(real(name), delimiter=",")
    times = np.loadtxt(real(name.replace("orderbook", "message")), delimiter=",", usecols=0)
    ts = 15_512 * DAY_NS + np.round(times * 1e9).astype(np.int64)
    book = np.stack([table[:, 2::4] / 1e4, table[:, 0::4] / 1e4, table[:, 3::4], table[:, 1::4]], axis=1)
    flow = run(deep(ts, book), interval_ns=S)
    rows, depth = reference(deep(ts, book), np.zeros(len(ts), bool), S)
    np.testing.assert_array_equal(flow.ofi, np.array([r[3] for r in rows]))
    np.testing.assert_allclose(flow.depth, depth)
    assert flow.events.sum() == len(ts) and flow.ofi.shape[1] == 10
    assert least_squares(flow.ofi[:, 0], flow.d_mid).slope > 0.0


@pytest.mark.real_data
def test_es_futures_flow_explains_the_mid():
    tape = pl.read_parquet(real("es_mbp1_2024-07-01.parquet")).filter(pl.col("action") != "T")
    b, a, bs, az = (tape[c].to_numpy().astype(float) for c in ("bid_px", "ask_px", "bid_sz", "ask_sz"))
    flow = run(QuoteRows(tape["ts_event"].to_physical().to_numpy(), b, a, bs, az))
    line = least_squares(flow.ofi[:, 0], flow.d_mid)
    assert line.slope > 0.0 and line.r2 > 0.4
