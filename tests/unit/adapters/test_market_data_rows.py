"""Sorting and repetition: against plain references, and causal."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from regime_trading.adapters.market_data.rows import Conflict, Merged, disorder_known_ns, merge_rows

TIMES = st.lists(st.integers(0, 12), min_size=1, max_size=25).map(lambda x: np.array(x, dtype=np.int64))


@given(TIMES, st.integers(0, 12))
def test_rows_out_of_order_count_as_if_the_future_were_not_there(ts, now):
    seen = ts[ts <= now]
    out_of_order = sum(bool((seen[:i] > seen[i]).any()) for i in range(seen.size))
    known = disorder_known_ns(ts)
    assert int(np.sum(known <= now)) == out_of_order
    assert np.all(np.diff(known) >= 0)


def test_a_file_from_new_to_old_is_out_of_order_in_every_row_but_the_first():
    assert disorder_known_ns(np.arange(50)[::-1]).tolist() == list(range(1, 50))


@given(TIMES, st.data())
def test_merge_equals_a_dictionary(ts, data):
    cell = st.sampled_from([np.nan, 1.0, 1.0, 1.0, 2.0])
    values = np.array([[data.draw(cell), data.draw(cell)] for _ in ts])
    seen: dict[tuple[int, int], tuple[float, int]] = {}
    conflicts = []
    for row, t in enumerate(ts.tolist()):
        for column, value in enumerate(values[row]):
            if np.isnan(value):
                continue
            first, at = seen.setdefault((t, column), (value, row))
            if first != value:
                conflicts.append((row, column, at))
    merged = merge_rows(ts, values)
    if conflicts:
        row, column, at = min(conflicts)
        assert merged == Conflict(row=row, earlier_row=at, column=column)
        return
    assert isinstance(merged, Merged)
    assert merged.ts_ns.tolist() == sorted(set(ts.tolist()))
    expected = [[seen.get((t, c), (np.nan, 0))[0] for c in (0, 1)] for t in merged.ts_ns.tolist()]
    assert np.array_equal(merged.values, np.array(expected), equal_nan=True)
    assert sorted([*merged.ts_ns.tolist(), *merged.dropped_ns.tolist()]) == sorted(ts.tolist())
