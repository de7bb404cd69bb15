"""Pure work on the rows of a file: what is out of order, what is there twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import F8, I8


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two rows with one time and different values in one column (zero-based positions)."""

    row: int
    earlier_row: int
    column: int


@dataclass(frozen=True, slots=True)
class Merged:
    """Rows in time order, one per time.

    Parameters
    ----------
    ts_ns : int64 [T]
        Strictly increasing.
    values : float64 [T, C]
        NaN where no row of that time has a value.
    dropped_ns : int64 [D]
        Time of every repeated row that was dropped, ascending.
    """

    ts_ns: I8
    values: F8
    dropped_ns: I8


def merge_rows(ts_ns: I8, values: F8) -> Merged | Conflict:
    """Sort rows by time and drop repetitions, which must agree wherever both have a value.

    Parameters
    ----------
    ts_ns : int64 [R]
        In file order.
    values : float64 [R, C]
        NaN = empty cell. An empty cell and a value at one time give the value.
    """
    order = np.argsort(ts_ns, kind="stable")
    ts, sorted_values = ts_ns[order], values[order]
    repeated = np.concatenate(([False], ts[1:] == ts[:-1]))
    if not repeated.any():
        return Merged(ts, sorted_values, ts[:0])
    starts = np.flatnonzero(~repeated)
    high = np.fmax.reduceat(sorted_values, starts, axis=0)
    low = np.fmin.reduceat(sorted_values, starts, axis=0)
    differ = ~np.isnan(high) & (high != low)
    if differ.any():
        return _first_conflict(order, sorted_values, starts, differ)
    return Merged(ts[starts], high, ts[repeated])


def _first_conflict(order: I8, values: F8, starts: I8, differ: np.ndarray) -> Conflict:
    """The conflict whose later row comes first in the file."""
    ends = np.append(starts[1:], order.size)
    found: list[tuple[int, int, int]] = []
    for group, column in np.argwhere(differ):
        rows = order[starts[group] : ends[group]]
        cells = values[starts[group] : ends[group], column]
        present = np.flatnonzero(~np.isnan(cells))
        other = present[np.argmax(cells[present] != cells[present[0]])]
        found.append((int(rows[other]), int(column), int(rows[present[0]])))
    row, column, earlier = min(found)
    return Conflict(row=row, earlier_row=earlier, column=column)


def disorder_known_ns(ts_ns: I8) -> I8:
    """For every row that follows a later-dated row: when that is first known, ascending.

    A row is out of order at ``t`` where some row above it has a time in (own time, t]. The value is the
    smallest such time, so counting the values ≤ t gives the same number when rows after t are removed.

    Parameters
    ----------
    ts_ns : int64 [R]
        In file order.
    """
    if ts_ns.size < 2 or bool(np.all(ts_ns[1:] >= ts_ns[:-1])):
        return ts_ns[:0]
    order = np.argsort(ts_ns, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return np.sort(np.array(_successors(ts_ns[order].tolist(), place.tolist()), dtype=np.int64))


def _successors(sorted_ts: list[int], place: list[int]) -> list[int]:
    """Next-larger time among the rows above each row: unlink rows from the last one up."""
    n = len(place)
    after, before = list(range(1, n + 1)), list(range(-1, n - 1))
    known: list[int] = []
    for at in reversed(place):
        left, right = before[at], after[at]
        if right < n:
            known.append(sorted_ts[right])
            before[right] = left
        if left >= 0:
            after[left] = right
    return known
