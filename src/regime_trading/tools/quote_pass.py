"""Best quotes in one compiled pass: what is kept, spreads, event order-flow imbalance and its buckets.

``e_n = B_n 1{b_n ≥ b_{n−1}} − B_{n−1} 1{b_n ≤ b_{n−1}} − A_n 1{a_n ≤ a_{n−1}} + A_{n−1} 1{a_n ≥ a_{n−1}}``
(Cont, Kukanov and Stoikov 2014, *J. Financial Econometrics* 12:47) between consecutive kept rows of a session;
the first row of a session has none. Every sum runs forward over plain doubles and is carried from block to
block, first within its bucket and then over buckets: where a tape is cut into chunks changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.tape import QuoteRows

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
#: rows that are read, measured and handed on while they are still in the processor's cache
BLOCK_ROWS = 65_536
_BUCKETS_AT_ONCE = 1024
_NEVER = np.iinfo(np.int64).max

#: takes the kept rows of a block: time, bid, ask, bid size, ask size, whether the row opens a session
QuoteSink = Callable[[I8, F8, F8, F8, F8, B1], None]

#: one finished bucket; ``spread`` relative to its mid, NaN (as ``depth``) where no time passed
BUCKET = np.dtype(
    [(name, np.int64) for name in ("edge_ns", "session", "rows")]
    + [(name, np.float64) for name in ("mid", "d_mid", "ofi", "spread", "depth")]
)
#: what is carried from row to row: counts, the last kept row, the open bucket, and sums over closed buckets
CARRY = np.dtype(
    [(name, np.int64) for name in ("rows", "used", "crossed", "locked", "one_sided", "non_positive")]
    + [(name, np.int64) for name in ("repeated_ts", "session", "day", "last_ns", "since_ns", "edge_ns")]
    + [(name, np.float64) for name in ("bid", "ask", "bid_sz", "ask_sz", "mid", "open_mid")]
    + [(name, np.int64) for name in ("bucket_rows", "weight_ns", "total_weight_ns")]
    + [(name, np.float64) for name in ("ofi", "spread_px", "spread", "depth")]
    + [(name, np.float64) for name in ("total_ofi", "total_spread_px", "total_spread", "total_depth")]
)


@dataclass(frozen=True, slots=True)
class TapeParams:
    """How a tape is cut.

    Parameters
    ----------
    interval_ns : int
        Length of an order-flow bucket; divides a day, so that buckets start anew at midnight UTC.
    session_gap_ns : int
        A longer time between two kept rows starts a new session.
    r2_window_ns : int
        Length of the windows behind ``r2_window_mean``; divides a day.
    horizons_ns : tuple of int
        Times after a trade at which realised spread and impact are taken.
    headline_horizon_ns : int
        The one of them that stands for all.
    day_edges_ns : int64 [d]
        Instants, ascending, at which a new trading day begins: a row at or after an edge is of the new day.

    Raises
    ------
    BadInput
        A length that is not positive or does not divide a day, a headline that is no horizon, edges that do
        not ascend.
    """

    interval_ns: int = 10 * SECOND_NS
    session_gap_ns: int = 1_800 * SECOND_NS
    r2_window_ns: int = 1_800 * SECOND_NS
    horizons_ns: tuple[int, ...] = (SECOND_NS, 10 * SECOND_NS, 60 * SECOND_NS, 300 * SECOND_NS)
    headline_horizon_ns: int = 10 * SECOND_NS
    day_edges_ns: I8 = field(default_factory=lambda: np.empty(0, np.int64), compare=False)

    def __post_init__(self) -> None:
        for name in ("interval_ns", "r2_window_ns"):
            length = getattr(self, name)
            if length <= 0 or DAY_NS % length:
                raise BadInput(expected="a positive length that divides a day", found=str(length), where=name)
        if self.session_gap_ns <= 0:
            raise BadInput(expected="a positive gap", found=str(self.session_gap_ns), where="session_gap_ns")
        if min(self.horizons_ns, default=0) <= 0 or self.headline_horizon_ns not in self.horizons_ns:
            found = f"{self.horizons_ns}, headline {self.headline_horizon_ns}"
            raise BadInput(
                expected="positive horizons, the headline among them", found=found, where="horizons"
            )
        if np.any(np.diff(self.day_edges_ns) <= 0):
            raise BadInput(expected="ascending instants", found="others", where="day_edges_ns")


@dataclass(frozen=True, slots=True)
class Kept:
    """Kept rows that later steps may still ask for; valid until the next block is taken.

    Parameters
    ----------
    ts_ns, session, row : int64 [k]
        Time, number of the session from 0, number of the row in the whole tape. All ascending.
    mid : float64 [k]
    fresh : int
        Rows before this one were already part of the previous block's.
    """

    ts_ns: I8
    mid: F8
    session: I8
    row: I8
    fresh: int


# --- compiled ---------------------------------------------------------------------------------------------


@njit(cache=True)
def _ascending(ts: I8, before: int) -> bool:  # pragma: no cover
    """Whether no time is earlier than the one before it."""
    broken = len(ts) > 0 and ts[0] < before
    for i in range(1, len(ts)):
        broken |= ts[i] < ts[i - 1]
    return not broken


@njit(cache=True)
def _usable(price: float) -> bool:  # pragma: no cover
    return price > 0.0 and price < math.inf


@njit(cache=True)
def _count_dropped(c: Any, bid: float, ask: float, bid_sz: float, ask_sz: float) -> None:  # pragma: no cover
    """Count a row that is not kept under the first reason that applies."""
    neither = not (_usable(bid) or _usable(ask))
    if neither or bid_sz < 0.0 or ask_sz < 0.0:
        c.non_positive += 1
    elif not (_usable(bid) and _usable(ask) and _usable(bid_sz) and _usable(ask_sz)):
        c.one_sided += 1
    elif bid > ask:
        c.crossed += 1
    else:
        c.one_sided += 1  # sizes whose sum is no number


@njit(cache=True)
def _close_bucket(c: Any, until: int, out: Any) -> None:  # pragma: no cover
    """End the open bucket at ``until``, write it, add it to the totals, and start the next one with its state."""
    held = float(until - c.since_ns)
    c.weight_ns += until - c.since_ns
    c.spread_px += (c.ask - c.bid) * held
    c.spread += (c.ask - c.bid) / c.mid * held
    c.depth += (c.bid_sz + c.ask_sz) * held
    out.edge_ns, out.session, out.rows = c.edge_ns, c.session, c.bucket_rows
    out.mid, out.d_mid, out.ofi = c.mid, c.mid - c.open_mid, c.ofi
    out.spread = c.spread / c.weight_ns if c.weight_ns > 0 else math.nan
    out.depth = 0.5 * c.depth / c.weight_ns if c.weight_ns > 0 else math.nan
    c.total_weight_ns += c.weight_ns
    c.total_ofi += c.ofi
    c.total_spread_px += c.spread_px
    c.total_spread += c.spread
    c.total_depth += c.depth
    c.open_mid, c.since_ns = c.mid, until
    c.bucket_rows, c.weight_ns = 0, 0
    c.ofi, c.spread_px, c.spread, c.depth = 0.0, 0.0, 0.0, 0.0


@njit(cache=True)
def _open_session(
    c: Any, t: int, bid: float, ask: float, bid_sz: float, ask_sz: float, interval: int, edges: I8
) -> None:  # pragma: no cover
    """First row of a session: it has no previous event, and its mid stands at the start of its bucket."""
    c.session += 1
    while c.day < len(edges) and edges[c.day] <= t:
        c.day += 1
    c.last_ns, c.since_ns, c.edge_ns = t, t, (t // interval + 1) * interval
    c.bid, c.ask, c.bid_sz, c.ask_sz, c.mid = bid, ask, bid_sz, ask_sz, (bid + ask) * 0.5
    c.open_mid = c.mid
    c.used += 1
    c.bucket_rows += 1
    c.locked += bid == ask


@njit(cache=True)
def _within_bucket(
    cols: Any, i: int, k: int, limit: int, gap: int, c: Any, kept: Any
) -> tuple[int, int]:  # pragma: no cover
    """Take rows from ``i`` on while they belong to the open bucket; kept ones go to ``kept`` from ``k`` on.

    Returns the first row that does not belong (or the number of rows) and the number of kept rows.
    """
    ts, bids, asks, bid_szs, ask_szs = cols[0][i:], cols[1][i:], cols[2][i:], cols[3][i:], cols[4][i:]
    kept_ts, kept_mid, kept_row = kept[0][k:], kept[1][k:], kept[3][k:]
    last, bid, ask, bid_sz, ask_sz, mid = c.last_ns, c.bid, c.ask, c.bid_sz, c.ask_sz, c.mid
    since, weight, ofi = c.since_ns, c.weight_ns, c.ofi
    spread_px, spread, depth = c.spread_px, c.spread, c.depth
    quoted, both, row = ask - bid, bid_sz + ask_sz, c.rows + i
    taken, locked, repeated, fresh = len(ts), 0, 0, np.uint64(0)  # unsigned: no test for indices from the end
    for j in range(len(ts)):
        t, b, a, bs, as_ = ts[j], bids[j], asks[j], bid_szs[j], ask_szs[j]
        width, total = a - b, bs + as_
        if not (b > 0.0 and width >= 0.0 and min(bs, as_) > 0.0 and width + total < math.inf):
            _count_dropped(c, b, a, bs, as_)
            continue
        if t >= limit or t - last > gap:
            taken = j
            break
        held = float(t - since)
        weight += t - since
        spread_px += quoted * held
        spread += quoted / mid * held
        depth += both * held
        ofi += (
            (bs if b >= bid else 0.0)
            - (bid_sz if b <= bid else 0.0)
            - (as_ if a <= ask else 0.0)
            + (ask_sz if a >= ask else 0.0)
        )
        repeated += t == last
        locked += width == 0.0
        last, since, bid, ask, bid_sz, ask_sz = t, t, b, a, bs, as_
        mid, quoted, both = (b + a) * 0.5, width, total
        kept_ts[fresh], kept_mid[fresh], kept_row[fresh] = t, mid, row + j
        fresh += np.uint64(1)
    n = int(fresh)
    kept[2][k : k + n] = c.session
    c.last_ns, c.bid, c.ask, c.bid_sz, c.ask_sz, c.mid = last, bid, ask, bid_sz, ask_sz, mid
    c.since_ns, c.weight_ns, c.ofi = since, weight, ofi
    c.spread_px, c.spread, c.depth = spread_px, spread, depth
    c.used += n
    c.bucket_rows += n
    c.locked += locked
    c.repeated_ts += repeated
    return i + taken, k + n


@njit(cache=True)
def _scan(
    cols: Any, i: int, k: int, interval: int, gap: int, edges: I8, carry: Any, kept: Any, out: Any
) -> tuple[int, int, int]:  # pragma: no cover
    """Take rows from ``i`` on; stops early where ``out`` is full of finished buckets.

    Returns the first row not taken, the number of kept rows and the number of finished buckets.
    """
    c, done = carry[0], 0
    while True:
        next_day = edges[c.day] if c.day < len(edges) else _NEVER
        limit = min(c.edge_ns, next_day) if c.used > 0 else -_NEVER
        i, k = _within_bucket(cols, i, k, limit, gap, c, kept)
        if i == len(cols[0]) or done == len(out):
            return i, k, done
        t = cols[0][i]
        if c.used > 0 and t < next_day and t - c.last_ns <= gap:
            while t >= c.edge_ns and done < len(out):
                _close_bucket(c, c.edge_ns, out[done])
                c.edge_ns += interval
                done += 1
            continue
        if c.used > 0:
            _close_bucket(c, c.last_ns, out[done])
            done += 1
        _open_session(c, t, cols[1][i], cols[2][i], cols[3][i], cols[4][i], interval, edges)
        kept[0][k], kept[1][k], kept[2][k], kept[3][k] = t, c.mid, c.session, c.rows + i
        i, k = i + 1, k + 1


# --- the pass ---------------------------------------------------------------------------------------------


class QuotePass:
    """Quotes taken block by block. Memory grows with the number of buckets, not of rows.

    Parameters
    ----------
    params : TapeParams
    sink : QuoteSink or None
        Receives the kept rows of each block in order. The arrays are valid during the call only.
    """

    def __init__(self, params: TapeParams, sink: QuoteSink | None = None) -> None:
        self._params, self._sink = params, sink
        self._edges = np.ascontiguousarray(params.day_edges_ns, dtype=np.int64)
        self._carry = np.zeros(1, CARRY)
        self._carry["session"] = -1
        self._finished: list[Any] = []
        self._out = np.empty(_BUCKETS_AT_ONCE, BUCKET)
        self._kept = _kept_columns(2 * BLOCK_ROWS)
        self._n = 0
        self._room: tuple[Any, ...] = (np.empty(0),)

    @property
    def rows(self) -> int:
        """Quote rows taken so far, dropped ones included."""
        return int(self._carry[0]["rows"])

    def take(self, quotes: QuoteRows) -> Kept:
        """Take the next block.

        Raises
        ------
        BadInput
            A time earlier than that of the row before it.
        """
        columns = (quotes.ts_ns, quotes.bid_px, quotes.ask_px, quotes.bid_sz, quotes.ask_sz)
        if not _ascending(quotes.ts_ns, quotes.ts_ns[0] if len(quotes) else 0):
            raise BadInput(
                expected="ascending times", found="an earlier one", where=f"quotes from row {self.rows}"
            )
        fresh = self._retain(len(quotes))
        i, k = 0, fresh
        while True:
            i, k, done = self._compiled(columns, i, k)
            if done:
                self._finished.append(self._out[:done].copy())
            if i == len(quotes):
                break
        base = self.rows
        self._carry["rows"] += len(quotes)
        self._n = k
        ts, mid, session, row = (column[:k] for column in self._kept)
        kept = Kept(ts, mid, session, row, fresh)
        if self._sink is not None and k > fresh:
            self._hand_on(self._sink, columns, kept, base)
        return kept

    def finish(self) -> tuple[Any, Any]:
        """Sums and counts (one ``CARRY``) and all buckets (``BUCKET`` [K]), the open one closed at the last row."""
        carry, last = self._carry.copy(), np.zeros(1, BUCKET)
        if carry[0]["used"] == 0:
            return carry[0], last[:0]
        _close_bucket(carry[0], carry[0]["last_ns"], last[0])
        return carry[0], np.concatenate([*self._finished, last])

    def _compiled(self, columns: tuple[Any, ...], i: int, k: int) -> tuple[int, int, int]:
        interval, gap = self._params.interval_ns, self._params.session_gap_ns
        i, k, done = _scan(columns, i, k, interval, gap, self._edges, self._carry, self._kept, self._out)
        return i, k, done

    def _retain(self, n: int) -> int:
        """Move what a later row may still ask for to the front: the rows of the last instant and one before."""
        ts = self._kept[0][: self._n]
        start = max(int(np.searchsorted(ts, ts[-1])) - 1, 0) if self._n else 0
        held = self._n - start
        room = self._kept if held + n <= len(self._kept[0]) else _kept_columns(2 * (held + n))
        for target, source in zip(room, self._kept, strict=True):
            target[:held] = source[start : self._n].copy()
        self._kept = room
        return held

    def _hand_on(self, sink: QuoteSink, columns: tuple[Any, ...], kept: Kept, base: int) -> None:
        """Give the fresh rows to the sink, without a copy where every row of the block is kept."""
        first, session, n = kept.fresh, kept.session, len(kept.ts_ns) - kept.fresh
        opens = np.empty(n, np.bool_)
        opens[0] = first == 0 or session[first] != session[first - 1]
        np.not_equal(session[first + 1 :], session[first:-1], out=opens[1:])
        if n < len(columns[0]):
            rows = kept.row[first:] - base
            columns = tuple(
                np.take(column, rows, out=room, mode="clip")
                for column, room in zip(columns, self._handed(n), strict=True)
            )
        ts, bid, ask, bid_sz, ask_sz = columns
        sink(ts, bid, ask, bid_sz, ask_sz, opens)

    def _handed(self, n: int) -> tuple[Any, ...]:
        """Room for ``n`` rows on their way to the sink, the same for every block."""
        if n > len(self._room[0]):
            self._room = tuple(np.empty(2 * n, kind) for kind in (np.int64, *[np.float64] * 4))
        return tuple(column[:n] for column in self._room)


def _kept_columns(n: int) -> tuple[Any, Any, Any, Any]:
    return np.empty(n, np.int64), np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)
