"""Microprice: hand values, explicit matrices, a chain with known truth, antisymmetry, chunks, real tapes."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.tools.microprice import (
    MicropriceCounts,
    imbalance,
    smallest_increment,
    solve_counts,
    weighted_mid,
)

REAL = Path(os.environ.get("REGIME_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))


def real(name):
    if not (REAL / name).is_file():
        pytest.skip(f"no real data: {REAL / name} is not there (set REGIME_REAL_DATA)")
    return REAL / name


def book(rng, n, tick=0.01, wide=3):
    """Mid moves up where the bid is heavy and down where the ask is: symmetric in law."""
    bid_sz, ask_sz = rng.integers(1, 20, n).astype(float), rng.integers(1, 20, n).astype(float)
    share = bid_sz / (bid_sz + ask_sz)
    step = np.where(rng.random(n) < 0.3, np.where(rng.random(n) < share, 1, -1), 0)
    bid = 10_000 + np.concatenate([[0], np.cumsum(step)[:-1]])
    ask = bid + rng.integers(1, wide + 1, n)
    return bid * tick, ask * tick, bid_sz, ask_sz


def no_breaks(n):
    return np.zeros(n, np.bool_)


def counted(columns, starts=None, **kwargs):
    counts = MicropriceCounts(**kwargs)
    counts.update(*columns, no_breaks(len(columns[0])) if starts is None else starts)
    return counts


def reference(columns, starts, tick, bins, cap):
    """Explicit matrices from a plain loop; states that were never left stay out."""
    n = bins * (cap + 1)
    q, t, r = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n)
    last = None
    for row, start in zip(zip(*columns, strict=True), starts, strict=True):
        b, a, bs, az = row
        share = bs / (bs + az)
        i = (
            min(int(share * bins), bins - 1)
            if share <= 0.5
            else bins - 1 - min(int((1 - share) * bins), bins - 1)
        )
        now = min(round((a - b) / tick), cap) * bins + i, (a + b) / 2
        if last is not None and not start:
            dm = (now[1] - last[1]) / tick
            for sign, s0, s1 in ((1, last[0], now[0]), (-1, flip(last[0], bins), flip(now[0], bins))):
                if abs(dm) < 1e-6:
                    q[s0, s1] += 1
                else:
                    t[s0, s1] += 1
                    r[s0] += sign * dm
        last = now
    live = np.flatnonzero(q.sum(1) + t.sum(1))
    q, t, r = q[np.ix_(live, live)], t[np.ix_(live, live)], r[live]
    total = q.sum(1) + t.sum(1)
    inverse = np.linalg.inv(np.eye(len(live)) - q / total[:, None])
    g1, b = inverse @ (r / total), inverse @ (t / total[:, None])
    power, g = np.eye(len(live)), np.zeros(len(live))
    for _ in range(3000):
        g = g + power @ g1
        power = power @ b
    out = np.full(n, np.nan)
    out[live] = g
    return out.reshape(cap + 1, bins)


def flip(state, bins):
    return state // bins * bins + bins - 1 - state % bins


# --- imbalance and weighted mid -----------------------------------------------------------------------------


def test_imbalance_of_zero_total_size_is_unknown_not_zero():
    np.testing.assert_array_equal(
        imbalance([3, 0, 5, 0, np.nan], [1, 0, 0, 2, 1]), [0.75, np.nan, 1, 0, np.nan]
    )


def test_weighted_mid_leans_to_the_thin_side():
    assert weighted_mid(10.0, 11.0, 3.0, 1.0) == 10.75
    assert np.isnan(weighted_mid(10.0, 11.0, 0.0, 0.0))


# --- the microprice -----------------------------------------------------------------------------------------


def test_equals_explicit_matrices():
    rng = np.random.default_rng(1)
    columns = book(rng, 6000)
    starts = rng.random(6000) < 0.01
    fitted = counted(columns, starts, n_imbalance=7, max_spread_ticks=3, tick=0.01, min_state_rows=1).fit()
    expected = reference(columns, starts, 0.01, 7, 3)
    np.testing.assert_allclose(fitted.adjustment_ticks, expected, atol=1e-9)
    assert np.nanmax(np.abs(expected)) > 0.2


def test_is_a_martingale_of_the_symmetrised_chain():
    """g = Q g + T g + R k: no state expects the microprice to move."""
    rng = np.random.default_rng(2)
    n = 12
    half = rng.integers(1, 30, (n, n))
    still, moved = half + half[::-1, ::-1], (half + half[::-1, ::-1]) // 3
    raw = rng.normal(size=(n, n)) * moved
    change = raw - raw[::-1, ::-1]
    g, _ = solve_counts(still, moved, change)
    rows = (still + moved).sum(1)
    drift = ((still + moved) @ g + change.sum(1)) / rows - g
    assert np.abs(drift).max() < 1e-10 < np.abs(g).max()


def test_recovers_a_chain_with_known_truth():
    """Imbalance in {low, even, high}, a move of one tick with its sign; the exact G* is known from the law."""
    bins, p_move, lean = 3, 0.25, 0.8
    redraw = np.array([[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.2, 0.3, 0.5]])
    up = np.array([1 - lean, 0.5, lean])
    r = p_move * (2 * up - 1)
    a = np.vstack([np.eye(bins) - redraw, np.ones((1, bins))])  # (I − P) g = r, antisymmetric: Σ g = 0
    truth = np.linalg.lstsq(a, np.append(r, 0.0), rcond=None)[0]
    rng = np.random.default_rng(3)
    n = 200_000
    state, bid = np.empty(n, int), np.empty(n)
    s, level = 1, 1000
    cumulative, u = redraw.cumsum(1), rng.random((n, 3))
    for i in range(n):
        state[i], bid[i] = s, level
        if u[i, 0] < p_move:
            level += 1 if u[i, 1] < up[s] else -1
        s = int(np.searchsorted(cumulative[s], u[i, 2]))
    size = np.array([1.0, 5.0, 9.0])[state]
    columns = (bid, bid + 1, size, 10 - size)
    fitted = counted(columns, n_imbalance=bins, max_spread_ticks=1, tick=1.0).fit()
    np.testing.assert_allclose(fitted.adjustment_ticks[1], truth, atol=0.02)
    price = fitted.at(*columns)
    step = np.diff(price)
    for k in range(
        bins
    ):  # no state predicts the next step of the microprice, every state but the even one of the mid
        there = state[:-1] == k
        assert abs(step[there].mean()) < 4 * step[there].std() / np.sqrt(there.sum())
    mid_step = np.diff((columns[0] + columns[1]) / 2)[state[:-1] == 2]
    assert mid_step.mean() > 10 * mid_step.std() / np.sqrt(len(mid_step))


@pytest.mark.parametrize("seed", range(4))
def test_antisymmetric_rising_in_imbalance_and_inside_the_spread(seed):
    columns = book(np.random.default_rng(seed), 30_000)
    fitted = counted(columns).fit()
    g = fitted.adjustment_ticks
    np.testing.assert_array_equal(g, -g[:, ::-1])
    assert np.all(np.diff(g[1]) > -0.1) and g[1, -3:].mean() > 0.1
    price = fitted.at(*columns)
    assert np.mean((price >= columns[0]) & (price <= columns[1])) > 0.95


def test_swapping_sides_mirrors_the_price():
    b, a, bs, az = book(np.random.default_rng(8), 5000)
    fitted = counted((b, a, bs, az)).fit()
    above, below = fitted.at(b, a, bs, az) - (a + b) / 2, fitted.at(b, a, az, bs) - (a + b) / 2
    np.testing.assert_allclose(above, -below, atol=1e-11)
    assert fitted.at(10.0, 10.01, 5.0, 5.0) == pytest.approx(10.005, abs=1e-12)


def test_states_without_evidence_are_unknown():
    fitted = counted(book(np.random.default_rng(4), 5000, wide=1)).fit()
    assert np.isfinite(fitted.at(10.0, 10.01, 5.0, 6.0))
    for unseen in (
        (10.0, 10.05, 5.0, 6.0),
        (10.0, 9.99, 5, 5),
        (np.nan, 10.0, 5, 5),
        (10.0, 10.01, 0.0, 5.0),
    ):
        assert np.isnan(fitted.at(*unseen))


def test_rarely_seen_states_are_not_given():
    columns = book(np.random.default_rng(4), 5000)
    all_states = counted(columns, min_state_rows=1).fit().adjustment_ticks
    common = counted(columns, min_state_rows=300).fit().adjustment_ticks
    some = np.isfinite(common)
    assert 0 < some.sum() < np.isfinite(all_states).sum()
    np.testing.assert_array_equal(common[some], all_states[some])


def test_a_state_that_ends_the_tape_does_not_spoil_the_rest():
    columns = [np.concatenate([c, np.full(5, v)]) for c, v in zip(book(np.random.default_rng(5), 4000, wide=2), (
        100.0, 100.05, 7.0, 7.0), strict=True)]  # fmt: skip
    fitted = counted(columns, tick=0.01).fit()
    assert np.isnan(fitted.adjustment_ticks[5]).all() and np.isfinite(fitted.adjustment_ticks[1]).all()


# --- what is not estimable ----------------------------------------------------------------------------------


def test_not_estimable_says_why():
    flat = [np.full(100, v) for v in (10.0, 10.01, 5.0, 3.0)]
    assert counted(flat).fit() is None and counted(flat).why_not() == "no mid change seen"
    assert MicropriceCounts().why_not() == "no mid change seen"
    few = counted(book(np.random.default_rng(0), 40), min_moves=30)
    assert few.fit() is None and "at least 30" in few.why_not()
    rising = tuple(np.array(v, float) for v in (range(1, 101), range(2, 102), [9] * 100, [1] * 100))
    assert counted(rising, tick=1.0).fit() is None
    assert "fall apart" in counted(rising, tick=1.0).why_not()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"n_imbalance": 10},
        {"n_imbalance": -1},
        {"max_spread_ticks": 0},
        {"tick": 0.0},
        {"tick": np.nan},
        {"min_moves": 0},
        {"min_state_rows": 0},
    ],
)
def test_parameters_out_of_range(kwargs):
    with pytest.raises(BadInput):
        MicropriceCounts(**kwargs)


def test_unequal_lengths():
    with pytest.raises(BadInput, match="equal lengths"):
        MicropriceCounts().update(*[np.ones(3)] * 4, no_breaks(2))


# --- ticks, sessions, chunks --------------------------------------------------------------------------------


def test_smallest_increment():
    assert smallest_increment(np.array([39432.99, 39433.62, 39433.61, 39432.99])) == 0.01
    assert smallest_increment(np.array([5528.5, 5528.75, 5530.0])) == 0.25
    assert smallest_increment(np.array([7.0, 7.0])) is None and smallest_increment(np.empty(0)) is None


def test_nothing_is_differenced_across_sessions():
    b, a, bs, az = book(np.random.default_rng(6), 4000)
    starts = no_breaks(4000)
    starts[2000] = True
    jump = np.where(np.arange(4000) >= 2000, 500.0, 0.0)
    whole = counted((b + jump, a + jump, bs, az), starts, tick=0.01).fit()
    parts = MicropriceCounts(tick=0.01)
    parts.update(b[:2000], a[:2000], bs[:2000], az[:2000], no_breaks(2000))
    on_an_invalid_row = [
        np.concatenate([[bad], c[2000:]]) for bad, c in zip((9.0, 8.0, 1.0, 1.0), (b, a, bs, az), strict=True)
    ]
    parts.update(*on_an_invalid_row, np.arange(2001) == 0)
    np.testing.assert_allclose(whole.adjustment_ticks, parts.fit().adjustment_ticks, atol=1e-9)
    wrong = counted((b + jump, a + jump, bs, az), tick=0.01).fit()
    assert np.nanmax(np.abs(wrong.adjustment_ticks - whole.adjustment_ticks)) > 1.0


def test_a_session_flag_on_a_row_left_out_holds_for_the_next_chunk():
    b, a, bs, az = book(np.random.default_rng(6), 2000)
    jump = np.where(np.arange(2000) >= 1000, 500.0, 0.0)
    columns, starts = [b + jump, a + jump, bs, az], no_breaks(2000)
    columns[2][999], starts[999] = np.nan, True
    pieces = MicropriceCounts(tick=0.01)
    for lo, hi in ((0, 1000), (1000, 1000), (1000, 2000)):
        pieces.update(*[c[lo:hi] for c in columns], starts[lo:hi])
    whole = counted(columns, starts, tick=0.01).fit().adjustment_ticks
    np.testing.assert_array_equal(pieces.fit().adjustment_ticks, whole)
    assert np.nanmax(np.abs(whole)) < 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 600), max_size=6), st.sampled_from([20, 64, 5000]))
def test_cutting_the_tape_changes_nothing(seed, cuts, tick_rows):
    rng = np.random.default_rng(seed)
    columns = [c.copy() for c in book(rng, 600)]
    columns[2][rng.random(600) < 0.05] = np.nan
    starts = rng.random(600) < 0.02
    whole = counted(columns, starts, tick_rows=tick_rows)
    pieces = MicropriceCounts(tick_rows=tick_rows)
    edges = [0, *sorted(cuts), 600]
    for lo, hi in itertools.pairwise(edges):
        pieces.update(*[c[lo:hi] for c in columns], starts[lo:hi])
        pieces.fit()  # looking changes nothing
    one, other = whole.fit(), pieces.fit()
    assert one.tick == other.tick and one.moves == other.moves
    assert one.adjustment_ticks.tobytes() == other.adjustment_ticks.tobytes()


def test_a_locked_start_leaves_the_tick_open():
    flat = tuple(np.full(50, v) for v in (10.0, 10.0, 5.0, 3.0))
    rest = book(np.random.default_rng(7), 3000)
    counts = counted(flat, tick_rows=10)
    assert counts.why_not() == "no mid change seen"
    counts.update(*rest, no_breaks(3000))
    assert counts.fit().tick == 0.01


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([0.25, 2.0, 8.0]), st.sampled_from([0.5, 4.0, 1024.0]))
def test_units_of_price_and_size_do_not_matter(price, size):
    b, a, bs, az = book(np.random.default_rng(9), 3000, tick=0.25)
    base = counted((b, a, bs, az)).fit()
    scaled = counted((b * price, a * price, bs * size, az * size)).fit()
    np.testing.assert_array_equal(base.adjustment_ticks, scaled.adjustment_ticks)
    np.testing.assert_allclose(
        scaled.at(b * price, a * price, bs * size, az * size), price * base.at(b, a, bs, az)
    )


def test_what_is_known_at_t_does_not_see_later_rows():
    columns = book(np.random.default_rng(10), 4000)
    cut = counted([c[:2500] for c in columns])
    before = cut.fit().adjustment_ticks.copy()
    cut.update(*[c[2500:] * 1.0 for c in columns], no_breaks(1500))
    whole = counted([c[:2500] for c in columns]).fit()
    assert before.tobytes() == whole.adjustment_ticks.tobytes()
    assert cut.fit().adjustment_ticks.tobytes() != before.tobytes()


# --- real tapes ---------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_es_futures():
    tape = pl.read_parquet(real("es_mbp1_2024-07-01.parquet")).filter(pl.col("action") != "T")
    columns = [tape[c].to_numpy().astype(float) for c in ("bid_px", "ask_px", "bid_sz", "ask_sz")]
    fitted = counted(columns, min_moves=10).fit()
    assert fitted.tick == 0.25
    price = fitted.at(*columns)
    known = np.isfinite(price)
    assert known.mean() > 0.9
    inside = (price >= columns[0]) & (price <= columns[1])
    assert inside[known].mean() > 0.95


@pytest.mark.real_data
def test_lobster_aapl():
    name = "lobster_aapl_2012-06-21_first49s/AAPL_2012-06-21_34200000_57600000_orderbook_10.csv"
    table = np.loadtxt(real(name), delimiter=",")
    columns = (table[:, 2] / 1e4, table[:, 0] / 1e4, table[:, 3], table[:, 1])
    counts = counted(columns, max_spread_ticks=20)
    fitted = counts.fit()
    assert fitted.tick == 0.01 and fitted.moves > 100
    np.testing.assert_array_equal(fitted.adjustment_ticks, -fitted.adjustment_ticks[:, ::-1])
