"""Slots, gaps, completeness and stale runs: against a plain reference, and causal to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.bars import (
    IntradayGrid,
    integrity_history,
    median_spacing,
    nearest_session,
    range_max,
)

MEASURES = ("completeness", "longest_gap", "current_gap", "longest_stale_run")


@st.composite
def bars(draw, columns: int = 3):
    """Slots with jumps and repeats, closes with holes and repeats."""
    steps = draw(st.lists(st.sampled_from([0, 1, 1, 1, 1, 2, 5, 9]), min_size=1, max_size=40))
    slot = np.cumsum(np.array(steps, dtype=np.int64)) + draw(st.integers(0, 50))
    cell = st.sampled_from([np.nan, np.nan, 1.0, 1.0, 2.0])
    close = np.array(
        [[draw(cell) for _ in range(columns)] for _ in range(slot.size)], dtype=np.float64
    ).reshape(slot.size, columns)
    return slot, close


def reference(close: np.ndarray, slot: np.ndarray, lookback: int) -> tuple[float, int, int, int]:
    """The four measures at the last row, by sets and loops."""
    held = [(int(s), float(c)) for s, c in zip(slot, close, strict=True) if not np.isnan(c)]
    if not held:
        return 0.0, 0, 0, 0
    now, first = int(slot[-1]), held[0][0]
    window = range(max(first, now - lookback + 1), now + 1)
    with_bar = {s for s, _ in held}
    present = [s in with_bar for s in window]
    longest = run = 0
    for there in present:
        run = 0 if there else run + 1
        longest = max(longest, run)
    stale = best = 0
    before = None
    for s, c in held:
        if s in window:
            stale = stale + 1 if c == before else 1
            best, before = max(best, stale), c
    return sum(present) / len(present), longest, now - held[-1][0], best


@settings(max_examples=300, deadline=None)
@given(bars(), st.integers(1, 30))
def test_history_equals_the_plain_reference_at_every_row(data, lookback):
    slot, close = data
    path = integrity_history(close, slot, lookback)
    for i in range(slot.size):
        for j in range(close.shape[1]):
            got = tuple(getattr(path, m)[i, j] for m in MEASURES)
            assert got == reference(close[: i + 1, j], slot[: i + 1], lookback), (i, j)


@settings(max_examples=150, deadline=None)
@given(bars(), st.integers(1, 30), st.integers(0, 39), st.integers(0, 2**32 - 1))
def test_history_up_to_t_is_bit_identical_when_the_future_is_cut_or_altered(data, lookback, at, seed):
    slot, close = data
    n = min(at, slot.size - 1) + 1
    rng = np.random.default_rng(seed)
    altered, later = close.copy(), slot.copy()
    altered[n:] = rng.choice([np.nan, 1.0, 7.0], size=altered[n:].shape)
    later[n:] += rng.integers(0, 5)
    full = integrity_history(close, slot, lookback)
    for other in (
        integrity_history(close[:n], slot[:n], lookback),
        integrity_history(altered, later, lookback),
    ):
        for m in MEASURES:
            assert getattr(other, m)[:n].tobytes() == getattr(full, m)[:n].tobytes()


def test_history_refuses_slots_that_go_back():
    with pytest.raises(ValueError, match="non-decreasing"):
        integrity_history(np.ones((2, 1)), np.array([3, 2]))
    with pytest.raises(ValueError, match="at least one slot"):
        integrity_history(np.ones((2, 1)), np.array([2, 3]), 0)


def test_a_gap_leaves_completeness_when_it_leaves_the_look_back():
    slot = np.concatenate((np.arange(10), np.arange(14, 40)))
    path = integrity_history(np.arange(36.0)[:, None], slot, lookback=10)
    assert path.longest_gap[10:, 0].tolist() == [4] * 6 + [3, 2, 1] + [0] * 17
    assert path.completeness[10, 0] == 0.6
    assert path.completeness[-1, 0] == 1.0


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=50), st.data())
def test_range_max_equals_max_of_the_slice(values, data):
    array = np.array(values)
    edges = st.integers(0, array.size)
    ranges = data.draw(st.lists(st.tuples(edges, edges), min_size=1, max_size=20))
    lo, hi = (np.array(side) for side in zip(*ranges, strict=True))
    expected = [max([0, *values[a:b]]) for a, b in ranges]
    assert range_max(array, lo, hi).tolist() == expected


def test_median_spacing_is_an_observed_step():
    assert median_spacing(np.array([0, 60, 120, 600])) == 60
    assert median_spacing(np.array([0, 10, 110])) == 10  # lower median of an even count
    assert median_spacing(np.array([5])) is None


def test_nearest_session_takes_the_earlier_close_on_a_tie():
    ordinal, exact = nearest_session(np.array([-9, 0, 4, 5, 6, 10, 99]), np.array([0, 10, 20]))
    assert ordinal.tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert exact.tolist() == [False, True, False, False, False, True, False]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5), st.integers(1, 4))
def test_intraday_slots_equal_a_walk_through_time(stretches, bar):
    opens, closes, t = [], [], 0
    for pause, length in stretches:
        opens.append(t + pause)
        t += pause + length
        closes.append(t)
    grid = IntradayGrid(np.array(opens), np.array(closes), bar)
    ends, of_time = [], {}
    for a, b in zip(opens, closes, strict=True):
        for k in range(a, b, bar):
            ends.append(min(k + bar, b))
            of_time.update({x: len(ends) - 1 for x in range(k + 1, ends[-1] + 1)})
    ts = np.arange(0, t + 1)
    slot, inside = grid.slot(ts)
    assert inside.tolist() == [int(x) in of_time for x in ts]
    assert [int(s) for s in slot[inside]] == [of_time[int(x)] for x in ts[inside]]
    assert [grid.last_complete(int(x)) for x in ts] == [sum(e <= x for e in ends) - 1 for x in ts]
