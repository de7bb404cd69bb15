"""Bar arithmetic shared by the data adapters and the engine: slots, gaps, completeness, stale runs.

A *slot* is one bar that the calendar expects, numbered in time order: the session for daily bars, an
interval within the session for intraday bars. All functions are causal: row i depends on rows ≤ i only,
and cutting off or altering later rows leaves it bit-identical.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regime_trading.core.numbers import B1, F8, I8

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
LOOKBACK_SESSIONS = 252


@dataclass(frozen=True, slots=True)
class IntegrityPath:
    """Integrity of every symbol at every bar, over the slots of the look-back (``risk.md`` DS-05).

    Parameters
    ----------
    completeness : float64 [T, N]
        Slots with a bar / slots since the first bar, in [0, 1]. 0 before the first bar.
    longest_gap : int64 [T, N]
        Longest run of slots without a bar inside the look-back, the current one included.
    current_gap : int64 [T, N]
        Slots since the last bar, not limited to the look-back; 0 where the slot has a bar, and before the
        first bar (``completeness`` says 0 there).
    longest_stale_run : int64 [T, N]
        Most consecutive bars with an identical close inside the look-back.
    """

    completeness: F8
    longest_gap: I8
    current_gap: I8
    longest_stale_run: I8


def integrity_history(close: F8, session_index: I8, lookback: int = LOOKBACK_SESSIONS) -> IntegrityPath:
    """Causal integrity of each symbol at each bar.

    Parameters
    ----------
    close : float64 [T, N]
        NaN = no bar.
    session_index : int64 [T]
        Slot of each row, non-decreasing; a jump of more than one is a slot that no symbol has.
    lookback : int
        Slots that count, the current one included. The window never starts before a symbol's first bar.

    Returns
    -------
    IntegrityPath

    Raises
    ------
    ValueError
        Slots that go back, or shapes that do not agree: a programming error, not bad data.
    """
    if close.shape[:1] != session_index.shape or bool(np.any(np.diff(session_index) < 0)):
        raise ValueError("session_index: expected one non-decreasing slot per row of close")
    if lookback < 1:
        raise ValueError("lookback: expected at least one slot")
    path = IntegrityPath(
        np.zeros(close.shape),
        np.zeros(close.shape, np.int64),
        np.zeros(close.shape, np.int64),
        np.zeros(close.shape, np.int64),
    )
    for j in range(close.shape[1]):
        _fill_column(path, j, close[:, j], session_index, lookback)
    return path


def _fill_column(path: IntegrityPath, j: int, close: F8, slot: I8, lookback: int) -> None:
    present = np.flatnonzero(~np.isnan(close))
    if present.size == 0:
        return
    bar_slot, row = slot[present], np.arange(present[0], close.size)
    now = slot[row]
    last = np.cumsum(~np.isnan(close))[row] - 1  # index of the last bar at or before each row
    start = np.maximum(now - lookback + 1, bar_slot[0])
    lo = np.searchsorted(bar_slot, start, side="left")  # first bar inside the look-back
    width = now - start + 1
    gap = now - bar_slot[last]
    path.completeness[row, j] = _slots_with_bar(bar_slot, lo, last) / width
    path.current_gap[row, j] = gap
    path.longest_gap[row, j] = np.maximum(
        _longest_closed_gap(bar_slot, start, lo, last), np.minimum(gap, width)
    )
    path.longest_stale_run[row, j] = _longest_run(close[present], lo, last)


def _slots_with_bar(bar_slot: I8, lo: I8, last: I8) -> I8:
    """Distinct slots among bars ``lo … last``."""
    distinct = np.concatenate(([0], np.cumsum(np.diff(bar_slot, prepend=bar_slot[0] - 1) > 0)))
    return np.asarray(distinct[last + 1] - distinct[lo], dtype=np.int64)


def _longest_closed_gap(bar_slot: I8, start: I8, lo: I8, last: I8) -> I8:
    """Longest gap that a bar has ended, the part before ``start`` left out."""
    between = range_max(np.diff(bar_slot) - 1, lo, last)
    cut = np.where(lo <= last, bar_slot[np.minimum(lo, last)] - start, 0)
    return np.maximum(between, cut)


def _longest_run(close: F8, lo: I8, last: I8) -> I8:
    """Most equal neighbours among bars ``lo … last``; 0 where there is none."""
    starts = np.flatnonzero(np.concatenate(([True], close[1:] != close[:-1])))
    run = np.searchsorted(starts, np.arange(close.size), side="right") - 1
    length = np.arange(close.size) - starts[run] + 1  # of the run that ends at each bar
    run_end = np.append(starts[1:], close.size)[run]
    inside = np.minimum(lo, last)
    first_run = np.where(lo <= last, np.minimum(run_end[inside], last + 1) - lo, 0)
    return np.maximum(first_run, range_max(length, run_end[inside], last + 1))


def range_max(values: npt.NDArray[np.int64], lo: I8, hi: I8) -> I8:
    """``max(0, values[lo:hi])`` for many half-open ranges at once; an empty range gives 0.

    Sparse table (Bender and Farach-Colton 2000): O(n log n) once, O(1) a range.
    """
    out = np.zeros(lo.shape, np.int64)
    at = np.flatnonzero(hi > lo)
    if at.size == 0:
        return out
    first, length = lo[at], hi[at] - lo[at]
    level = np.frexp(length.astype(np.float64))[1] - 1  # floor(log2(length)), exact below 2**53
    table = np.asarray(values, dtype=np.int64)
    for k in range(int(level.max()) + 1):
        here = level == k
        a = first[here]
        out[at[here]] = np.maximum(table[a], table[a + length[here] - (1 << k)])
        table = np.maximum(table[: -(1 << k)], table[1 << k :])
    return np.maximum(out, 0)


def median_spacing(values: I8) -> int | None:
    """Lower median of the steps between neighbours (an integer, hence exact); None below two values."""
    steps = np.diff(values)
    if steps.size == 0:
        return None
    middle = (steps.size - 1) // 2
    return int(np.partition(steps, middle)[middle])


def nearest_session(ts_ns: I8, closes_ns: I8) -> tuple[I8, B1]:
    """Ordinal of the session close nearest to each time (the earlier one on a tie), and whether it is exact.

    Daily bars that a source dates an hour late, or at the midnight after, still meet their session.
    """
    right = np.minimum(np.searchsorted(closes_ns, ts_ns, side="left"), closes_ns.size - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(closes_ns[right] - ts_ns) < np.abs(ts_ns - closes_ns[left])
    ordinal = np.where(nearer, right, left)
    return ordinal, closes_ns[ordinal] == ts_ns


@dataclass(frozen=True, slots=True)
class IntradayGrid:
    """Slots ``(open + (k-1)·bar, open + k·bar]`` of every stretch of trading; the last one may be shorter.

    Parameters
    ----------
    opens_ns, closes_ns : int64 [S]
        Stretches of continuous trading in time order, not overlapping (two a session where it has a break).
    bar_ns : int
        Length of a bar.
    """

    opens_ns: I8
    closes_ns: I8
    bar_ns: int

    def _first_slot(self) -> tuple[I8, I8]:
        per_stretch = -((self.opens_ns - self.closes_ns) // self.bar_ns)
        return np.cumsum(per_stretch) - per_stretch, per_stretch

    def slot(self, ts_ns: I8) -> tuple[I8, B1]:
        """Slot that contains each time, and whether there is one (outside trading: the next slot, False)."""
        first, _ = self._first_slot()
        stretch = np.minimum(np.searchsorted(self.closes_ns, ts_ns, side="left"), self.closes_ns.size - 1)
        into = ts_ns - self.opens_ns[stretch]
        number = np.maximum(-(-into // self.bar_ns), 1) - 1
        return first[stretch] + number, (into > 0) & (ts_ns <= self.closes_ns[stretch])

    def last_complete(self, ts_ns: int) -> int:
        """Last slot that has ended at ``ts_ns``; −1 before the first."""
        first, per_stretch = self._first_slot()
        stretch = int(np.searchsorted(self.opens_ns, ts_ns, side="right")) - 1
        if stretch < 0:
            return -1
        if ts_ns >= self.closes_ns[stretch]:
            return int(first[stretch] + per_stretch[stretch]) - 1
        return int(first[stretch]) + int(ts_ns - self.opens_ns[stretch]) // self.bar_ns - 1
