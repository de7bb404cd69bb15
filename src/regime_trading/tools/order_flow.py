"""Order-flow imbalance at several levels of the book, per bucket of time, and the integrated imbalance.

Events follow Cont, Kukanov & Stoikov (2014) at every level; the integrated imbalance is the first principal
component of Cont, Cucuringu & Zhang (2023), whose weights come from earlier buckets only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.tape import DepthRows, QuoteRows

DAY_NS = 86_400_000_000_000
SESSION_GAP_NS = 1_800_000_000_000
INTERVAL_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class OrderFlow:
    """Order flow per bucket, oldest first; empty buckets of a session are there, with zeros.

    Attributes
    ----------
    start_ns : I8[K]
        Left edge of the half-open bucket. Where two sessions meet inside one, both have their own row.
    session : I8[K]
        Number of the session, from 0.
    events : I8[K]
        Kept quote rows.
    ofi : F8[K, L]
        Σ of events at each level, units of size.
    depth : F8[K]
        Mean size over the rows, both sides and the levels that are there; of the book in force where the
        bucket is empty.
    d_mid : F8[K]
        Change of the mid, price units.
    """

    start_ns: I8
    session: I8
    events: I8
    ofi: F8
    depth: F8
    d_mid: F8

    def normalised(self) -> F8:
        """ofi^m = OFI^m / Q, Q = ``depth``, shape [K, L]; free of units."""
        return self.ofi / self.depth[:, None]


@dataclass(frozen=True, slots=True)
class Line:
    """Least squares y = intercept + slope · x; NaN where x does not vary, ``r2`` also where y does not."""

    slope: float
    intercept: float
    r2: float
    n: int


@dataclass(frozen=True, slots=True)
class OrderFlowFit:
    """Δmid on order flow.

    Attributes
    ----------
    best : Line
        On OFI of the best level, over all buckets.
    best_same : Line
        The same, over the buckets that ``integrated`` has, normalised by depth.
    integrated : Line
        On integrated OFI with weights from earlier buckets.
    weights : F8[L]
        The last weights used; NaN before there is enough history.
    """

    best: Line
    best_same: Line
    integrated: Line
    weights: F8


class OrderFlowBuckets:
    """Order flow of consecutive chunks of one tape, in memory bounded by its buckets.

    At level m: e = B 1{b ≥ b'} − B' 1{b ≤ b'} − A 1{a ≤ a'} + A' 1{a ≥ a'}, with ' for the row before (Cont,
    Kukanov & Stoikov 2014, J. Financial Econometrics 12:47; Xu, Gould & Howison 2019). A level that is empty
    (price NaN or not above zero, size NaN or zero) counts as infinitely far away with size 0: one that
    vanishes takes its size out, one that appears puts its size in. Buckets are half-open [t, t + interval)
    from midnight UTC; changes are taken from the state just before each edge. The first row of a session has
    e = 0 and no mid change: nothing is differenced across sessions.

    Parameters
    ----------
    levels : int
        At most this many levels of ``QuoteRows.levels``; 1 where a tape has no depth.
    interval_ns : int
        In (0, one day].
    session_gap_ns : int
        A longer time between two kept rows starts a session.
    day_edges_ns : I8[D]
        Ascending times at which a trading day begins.

    Raises
    ------
    BadInput
        Parameters out of range.
    """

    def __init__(
        self,
        *,
        levels: int = 10,
        interval_ns: int = INTERVAL_NS,
        session_gap_ns: int = SESSION_GAP_NS,
        day_edges_ns: I8 | None = None,
    ) -> None:
        edges = np.empty(0, np.int64) if day_edges_ns is None else np.asarray(day_edges_ns, np.int64)
        if levels < 1 or not 0 < interval_ns <= DAY_NS or session_gap_ns < 1 or np.any(np.diff(edges) <= 0):
            raise BadInput(
                expected="levels ≥ 1, 0 < interval ≤ a day, a gap above zero, ascending day edges",
                found=f"levels={levels}, interval_ns={interval_ns}, session_gap_ns={session_gap_ns}",
                where="OrderFlowBuckets",
            )
        self._max_levels, self._interval = levels, interval_ns
        self._gap, self._edges = session_gap_ns, edges
        self._per_day = -(-DAY_NS // interval_ns)
        self._last_ns: int | None = None
        self._pending = False
        self._book = np.zeros((4, 0))  # bid_px, ask_px, bid_sz, ask_sz of the last kept row, [4, L]
        self._open = np.zeros(3, np.int64)  # bucket, session, events
        self._sums = np.zeros(4)  # Σ depth, number of depths, mid before the bucket, mid now
        self._flow = np.empty(0)
        self._closed: list[tuple[I8, F8]] = []

    def update(self, quotes: QuoteRows, keep: B1 | None = None, new_session: B1 | None = None) -> None:
        """Take the next rows of the tape.

        Parameters
        ----------
        quotes : QuoteRows
            n rows, invalid ones included; ``levels`` always or never.
        keep : B1[n] or None
            Rows to use, of those that are valid; None: all of :func:`kept_rows`.
        new_session : B1[n] or None
            Rows that start a session; set on a row that is left out, it holds for the next kept one. None:
            by ``session_gap_ns`` and ``day_edges_ns``.

        Raises
        ------
        BadInput
            Lengths or number of levels that do not agree, or time that runs backwards.
        """
        valid = kept_rows(quotes)
        keep = valid if keep is None else keep
        if len(keep) != len(quotes) or (new_session is not None and len(new_session) != len(quotes)):
            raise BadInput(
                expected="one flag a row",
                found=f"{len(keep)} of {len(quotes)}",
                where="OrderFlowBuckets.update",
            )
        keep = keep & valid
        flags = None if new_session is None else self._carried(keep, new_session)
        ts = quotes.ts_ns[keep]
        if not ts.size:
            return
        if np.any(np.diff(ts) < 0) or (self._last_ns is not None and ts[0] < self._last_ns):
            raise BadInput(expected="times in order", found="an earlier one", where="OrderFlowBuckets.update")
        book = self._level_rows(quotes, keep)
        starts = self._starts(ts) if flags is None else flags
        starts[0] |= self._last_ns is None
        self._add(ts, book, starts)
        self._last_ns = int(ts[-1])

    def result(self) -> OrderFlow:
        """Buckets so far; the last one may still be open. Nothing is changed."""
        width = self._flow.size
        marks, values = [m for m, _ in self._closed], [v for _, v in self._closed]
        if self._last_ns is not None:
            last_marks, last_values = np.empty((1, 3), np.int64), np.empty((1, width + 2))
            _emit(self._open, self._sums, self._flow, self._book, last_marks, last_values, 0)
            marks, values = [*marks, last_marks], [*values, last_values]
        mark = np.concatenate(marks) if marks else np.empty((0, 3), np.int64)
        value = np.concatenate(values) if values else np.empty((0, width + 2))
        day, within = np.divmod(mark[:, 0], self._per_day)
        start = day * DAY_NS + within * self._interval
        return OrderFlow(start, mark[:, 1], mark[:, 2], value[:, 2:], value[:, 0], value[:, 1])

    def _carried(self, keep: B1, flags: B1) -> B1:
        count = np.cumsum(flags) + int(self._pending)
        kept = count[keep]
        done = int(kept[-1]) if kept.size else 0
        self._pending = bool(count.size and count[-1] > done) or (not count.size and self._pending)
        return np.diff(kept, prepend=0) > 0

    def _starts(self, ts: I8) -> B1:
        before = np.concatenate([[ts[0] if self._last_ns is None else self._last_ns], ts[:-1]])
        crossed = np.searchsorted(self._edges, ts, "right") > np.searchsorted(self._edges, before, "right")
        starts: B1 = (ts - before > self._gap) | crossed
        return starts

    def _level_rows(self, quotes: QuoteRows, keep: B1) -> F8:
        """Kept rows as [n, 4, L], best level first, prices of empty levels moved to infinity."""
        depth = quotes.levels or DepthRows(
            quotes.bid_px[:, None], quotes.ask_px[:, None], quotes.bid_sz[:, None], quotes.ask_sz[:, None]
        )
        sides = (depth.bid_px, depth.ask_px, depth.bid_sz, depth.ask_sz)
        book = np.stack([side[keep, : self._max_levels] for side in sides], axis=1)
        if self._last_ns is None:
            self._flow, self._book = np.zeros(book.shape[2]), np.zeros(book.shape[1:])
        elif book.shape[1:] != self._book.shape:
            raise BadInput(
                expected=f"{self._book.shape[1]} levels", found=str(book.shape[2]), where="quotes.levels"
            )
        for side, away in ((0, -np.inf), (1, np.inf)):
            price, size = book[:, side], book[:, side + 2]
            there = np.isfinite(price) & (price > 0.0) & np.isfinite(size) & (size > 0.0)
            book[:, side], book[:, side + 2] = np.where(there, price, away), np.where(there, size, 0.0)
        return book

    def _add(self, ts: I8, book: F8, starts: B1) -> None:
        day, within = np.divmod(ts, DAY_NS)
        bucket = day * self._per_day + within // self._interval
        before = np.concatenate([self._open[:1], bucket[:-1]])
        closes = np.where(starts, 1, bucket - before)
        closes[0] -= self._last_ns is None
        total = int(closes.sum())
        marks, values = np.empty((total, 3), np.int64), np.empty((total, book.shape[2] + 2))
        first = self._last_ns is None
        _accumulate(
            bucket, book, starts, first, self._book, self._open, self._sums, self._flow, marks, values
        )
        if total:
            self._closed.append((marks, values))


def kept_rows(quotes: QuoteRows) -> B1:
    """Rows with both sides there and not crossed: 0 < b ≤ a < ∞ and 0 < B, A < ∞ (locked rows are kept)."""
    sides = (quotes.bid_px, quotes.ask_px, quotes.bid_sz, quotes.ask_sz)
    kept: B1 = np.logical_and.reduce([np.isfinite(s) & (s > 0.0) for s in sides])
    return kept & (quotes.bid_px <= quotes.ask_px)


def first_component(ofi: F8) -> F8:
    """Weights w = PC1 / ‖PC1‖₁ of the rows, signed so that they sum above zero.

    Parameters
    ----------
    ofi : F8[K, L]
        Normalised OFI. NaN weights result from fewer than 2 rows or rows that do not vary.

    Notes
    -----
    First eigenvector of the covariance matrix of the levels (Cont, Cucuringu & Zhang 2023, Quantitative
    Finance 23:1373).
    """
    k, width = ofi.shape
    if k < 2 or not np.all(np.isfinite(ofi)):
        return np.full(width, np.nan)
    centred = ofi - ofi.mean(axis=0)
    largest = np.abs(centred).max()
    if not largest > 1e-12 * np.abs(ofi).max():
        return np.full(width, np.nan)
    centred = centred / largest
    vector: F8 = np.linalg.eigh(np.einsum("ki,kj->ij", centred, centred))[1][:, -1]
    total = vector.sum()
    sign = np.sign(total) if abs(total) > 1e-12 else np.sign(vector[np.flatnonzero(vector)[0]])
    weights: F8 = sign * vector / np.abs(vector).sum()
    return weights


def component_path(ofi: F8, *, window: int = 180, every: int = 30, min_history: int = 60) -> F8:
    """Weights in force at each bucket, from earlier buckets alone.

    At buckets k divisible by ``every``, with k ≥ ``min_history``: :func:`first_component` of the buckets
    [k − window, k); held until the next such bucket, and where the flow did not vary.

    Parameters
    ----------
    ofi : F8[K, L]
        Normalised OFI.

    Returns
    -------
    F8[K, L]
        NaN before there is enough history.

    Raises
    ------
    BadInput
        Not 2 ≤ ``min_history`` ≤ ``window``, or ``every`` below 1.
    """
    if not 2 <= min_history <= window or every < 1:
        raise BadInput(
            expected="2 ≤ min_history ≤ window, every ≥ 1",
            found=f"min_history={min_history}, window={window}, every={every}",
            where="component_path",
        )
    weights = np.full(ofi.shape, np.nan)
    current = np.full(ofi.shape[1], np.nan)
    for k in range(0, len(ofi), every):
        if k >= min_history:
            fitted = first_component(ofi[max(0, k - window) : k])
            current = current if np.isnan(fitted[0]) else fitted
        weights[k : k + every] = current
    return weights


def integrated(
    ofi: F8, *, in_sample: bool = False, window: int = 180, every: int = 30, min_history: int = 60
) -> F8:
    """Integrated OFI w'ofi, shape [K].

    Parameters
    ----------
    ofi : F8[K, L]
        Normalised OFI.
    in_sample : bool
        False: weights of :func:`component_path`, NaN before there is enough history. True: one set of weights
        from all buckets, which looks ahead: for comparison only.
    """
    if in_sample:
        weights = np.broadcast_to(first_component(ofi), ofi.shape)
    else:
        weights = component_path(ofi, window=window, every=every, min_history=min_history)
    return _dot(ofi, weights)


def order_flow_fit(
    flow: OrderFlow, *, window: int = 180, every: int = 30, min_history: int = 60
) -> OrderFlowFit:
    """Δmid on best-level OFI and on integrated OFI (:func:`integrated`, causal)."""
    ofi = flow.normalised()
    path = component_path(ofi, window=window, every=every, min_history=min_history)
    known = np.isfinite(path[:, 0]) if path.shape[1] else np.zeros(len(path), np.bool_)
    x, y = _dot(ofi[known], path[known]), flow.d_mid[known]
    return OrderFlowFit(
        best=least_squares(flow.ofi[:, 0], flow.d_mid) if path.shape[1] else least_squares(x, y),
        best_same=least_squares(ofi[known, 0], y) if path.shape[1] else least_squares(x, y),
        integrated=least_squares(x, y),
        weights=path[-1] if len(path) else np.full(path.shape[1], np.nan),
    )


def least_squares(x: F8, y: F8) -> Line:
    """Ordinary least squares of y on a constant and x, shapes [n]. NaN where n < 3 or x does not vary.

    R² = 1 − residual / total sum of squares, NaN where y does not vary. Rows with a NaN are left out.
    """
    ok = np.isfinite(x) & np.isfinite(y)
    x, y = x[ok], y[ok]
    n = len(x)
    if n < 3:
        return Line(np.nan, np.nan, np.nan, n)
    dx, dy = x - x.mean(), y - y.mean()
    if not np.abs(dx).max() > 1e-12 * np.abs(x).max():
        return Line(np.nan, np.nan, np.nan, n)
    sxx, sxy, syy = float((dx * dx).sum()), float((dx * dy).sum()), float((dy * dy).sum())
    slope = sxy / sxx
    varies = np.abs(dy).max() > 1e-12 * np.abs(y).max()
    r2 = min(1.0, sxy * sxy / (sxx * syy)) if varies else np.nan
    return Line(slope, float(y.mean() - slope * x.mean()), r2, n)


def _dot(a: F8, b: F8) -> F8:
    """Row by row."""
    return np.asarray(np.einsum("kl,kl->k", a, b), np.float64)


@njit(cache=True)
def _emit(head: I8, sums: F8, flow: F8, book: F8, marks: I8, values: F8, row: int) -> None:
    """Write the open bucket to ``row``."""
    marks[row] = head
    if sums[1] > 0.0:
        values[row, 0] = sums[0] / sums[1]
    else:
        values[row, 0] = _depth(book)[0] / _depth(book)[1]
    values[row, 1] = sums[3] - sums[2]
    values[row, 2:] = flow


@njit(cache=True)
def _depth(book: F8) -> tuple[float, float]:
    """Σ of the sizes that are there, and their number."""
    total, count = 0.0, 0.0
    for side in range(2, 4):
        for m in range(book.shape[1]):
            if book[side, m] > 0.0:
                total += book[side, m]
                count += 1.0
    return total, count


@njit(cache=True)
def _event(book: F8, last: F8, flow: F8) -> None:
    for m in range(flow.shape[0]):
        e = 0.0
        if book[0, m] >= last[0, m]:
            e += book[2, m]
        if book[0, m] <= last[0, m]:
            e -= last[2, m]
        if book[1, m] <= last[1, m]:
            e -= book[3, m]
        if book[1, m] >= last[1, m]:
            e += last[3, m]
        flow[m] += e


@njit(cache=True)
def _open_next(bucket: int, session: int, head: I8, sums: F8, flow: F8) -> None:
    head[0], head[1], head[2] = bucket, session, 0
    sums[0], sums[1], sums[2] = 0.0, 0.0, sums[3]
    flow[:] = 0.0


@njit(cache=True)
def _accumulate(
    bucket: I8,
    rows: F8,
    starts: B1,
    first: bool,
    last: F8,
    head: I8,
    sums: F8,
    flow: F8,
    marks: I8,
    values: F8,
) -> None:
    """Add rows to the open bucket; write those that close, empty ones of a session included."""
    closed = 0
    for i in range(bucket.shape[0]):
        if starts[i]:
            session = head[1]
            if not (first and i == 0):
                _emit(head, sums, flow, last, marks, values, closed)
                closed, session = closed + 1, session + 1
            sums[3] = (rows[i, 0, 0] + rows[i, 1, 0]) / 2.0
            _open_next(bucket[i], session, head, sums, flow)
        else:
            while head[0] < bucket[i]:
                _emit(head, sums, flow, last, marks, values, closed)
                closed += 1
                _open_next(head[0] + 1, head[1], head, sums, flow)
            _event(rows[i], last, flow)
        total, count = _depth(rows[i])
        sums[0] += total
        sums[1] += count
        sums[3] = (rows[i, 0, 0] + rows[i, 1, 0]) / 2.0
        head[2] += 1
        last[:] = rows[i]
