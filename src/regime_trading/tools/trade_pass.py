"""What trades cost, taken block by block: effective and realised spread, price impact, signed volume.

Effective ``2·D·(p − m)/m`` with ``m`` the mid in force strictly before the trade; realised
``2·D·(p − m_{t+τ})/m`` and impact ``2·D·(m_{t+τ} − m)/m`` add up to it (Huang and Stoll 1996, *J. Financial
Economics* 41:313; horizons as in Conrad and Wahal 2020, *J. Financial Economics* 136:239). All are weighted by
size, over executions against visible liquidity alone. Sums run forward and are carried: where a tape is cut
into chunks changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.tape import TradeRows, no_trades
from regime_trading.tools.quote_pass import Kept, TapeParams
from regime_trading.tools.trade_signs import (
    BEFORE,
    ELSEWHERE,
    FLAG,
    MERGED,
    NO_COST,
    NONE,
    ORDER,
    QUOTE,
    SIGNED_BY,
    TICK,
    book_before,
    end_order,
    merge,
    quote_rule,
)

#: takes each batch of merged trades in order: time, price, size, sign
TradeSink = Callable[[I8, F8, F8, I1], None]

#: signed volume of one bucket; ``edge_ns`` is its end
FLOW = np.dtype(
    [("session", np.int64), ("edge_ns", np.int64), ("signed_volume", np.float64), ("volume", np.float64)]
)
#: sums over trades: weight, and weight times effective spread and impact as fractions of the mid
COST = np.dtype([("n", np.int64), ("size", np.float64), ("effective", np.float64), ("impact", np.float64)])


# --- compiled ---------------------------------------------------------------------------------------------


@njit(cache=True)
def _add_cost(cost: Any, w: Any, later: float) -> None:  # pragma: no cover
    cost.n += 1
    cost.size += w.shown_size
    cost.effective += w.shown_size * (2.0 * w.sign * (w.shown_price - w.mid) / w.mid)
    cost.impact += w.shown_size * (2.0 * w.sign * (later - w.mid) / w.mid)


@njit(cache=True)
def _add_effective(trades: Any, cost: Any) -> None:  # pragma: no cover
    for i in range(len(trades)):
        _add_cost(cost[0], trades[i], trades[i].mid)


@njit(cache=True)
def _add_later(
    waiting: Any, head: I8, horizons: I8, ts: I8, mid: F8, session: I8, ended: bool, costs: Any
) -> None:  # pragma: no cover
    """Take each waiting trade whose mid at t+τ is known; ``head[h]`` is the first one that still waits for h.

    Known: a kept quote of its session at t+τ or later. A trade whose session ended before is left out.
    """
    k = len(ts)
    for h in range(len(horizons)):
        while head[h] < len(waiting):
            w = waiting[head[h]]
            target = w.ts_ns + horizons[h]
            r = np.searchsorted(ts, target, side="right") - 1 if target < ts[k - 1] else k - 1
            if r == k - 1 and session[r] == w.session and not ended:
                break
            reached = ts[r] == target or (r + 1 < k and session[r + 1] == w.session)
            if session[r] == w.session and reached:
                _add_cost(costs[h], w, mid[r])
            head[h] += 1


@njit(cache=True)
def _add_flow(trades: Any, interval: int, out: Any, n: int) -> int:  # pragma: no cover
    """Add trades to the last of ``n`` buckets or to new ones behind it; returns how many there are."""
    for i in range(len(trades)):
        t = trades[i]
        if t.session < 0:
            continue
        edge = (t.ts_ns // interval + 1) * interval
        if n == 0 or out[n - 1].edge_ns != edge or out[n - 1].session != t.session:
            out[n].session, out[n].edge_ns, out[n].signed_volume, out[n].volume = t.session, edge, 0.0, 0.0
            n += 1
        out[n - 1].signed_volume += t.sign * t.size
        out[n - 1].volume += t.size
    return n


# --- the pass ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TradeSums:
    """What the trades of a tape add up to; ``effective`` [1] and ``later`` [H] are ``COST``, ``flow`` is ``FLOW``."""

    executions: int
    merged: int
    volume: float
    signed_volume: float
    excluded: dict[str, int]
    signed_by: dict[str, int]
    no_cost: dict[str, int]
    effective: Any
    later: Any
    flow: Any


class TradePass:
    """Trades taken block by block, each against the kept quotes around it.

    Memory grows with the number of buckets, and with the trades that still wait for their longest horizon.

    Parameters
    ----------
    params : TapeParams
    sink : TradeSink or None
        Receives merged and signed trades in order; every trade of continuous trading, hidden ones too.
    """

    def __init__(self, params: TapeParams, sink: TradeSink | None = None) -> None:
        self._params, self._sink = params, sink
        self._horizons = np.array(params.horizons_ns, np.int64)
        self._edges = np.ascontiguousarray(params.day_edges_ns, dtype=np.int64)
        self._queue = no_trades()
        self._order = np.zeros(1, ORDER)
        self._order["last_price"] = math.nan
        self._waiting, self._head = np.empty(0, MERGED), np.zeros(len(self._horizons), np.int64)
        self._effective, self._later = np.zeros(1, COST), np.zeros(len(self._horizons), COST)
        self._flow, self._n_flow = np.empty(64, FLOW), 0
        self._executions, self._excluded = 0, {"not_continuous": 0, "invalid": 0}
        self._signed_by, self._no_cost = np.zeros(len(SIGNED_BY), np.int64), np.zeros(len(NO_COST), np.int64)
        self._volume = np.zeros(2)

    def take(self, trades: TradeRows, kept: Kept, rows: int, now_ns: int, ended: bool) -> None:
        """Take the next block of trades.

        Parameters
        ----------
        trades : TradeRows
        kept : Kept
            Kept quotes so far, at least from the last instant of the block before.
        rows : int
            How many quote rows were seen.
        now_ns : int
            Time of the latest row so far: no row still to come is earlier.
        ended : bool
            No row is still to come.
        """
        queue = self._admit(trades)
        early = (queue.after_quote > rows) & (queue.ts_ns == now_ns) & (not ended)
        ready = int(np.argmax(early)) if early.any() else len(queue)
        self._queue = trade_rows(queue, ready, len(queue))
        merged = self._merge_ready(trade_rows(queue, 0, ready), kept)
        if self._order[0]["executions"] and (ended or self._order[0]["ts_ns"] < now_ns):
            last = np.zeros(1, MERGED)
            end_order(self._order, last)
            merged = np.concatenate([merged, last])
        if len(merged):
            self._count(merged)
        self._resolve(kept, ended)

    def sums(self) -> TradeSums:
        """Sums over what was taken."""
        return TradeSums(
            self._executions,
            int(self._signed_by.sum()),
            float(self._volume[0]),
            float(self._volume[1]),
            dict(self._excluded),
            dict(zip(SIGNED_BY, self._signed_by.tolist(), strict=True)),
            dict(zip(NO_COST[1:], self._no_cost[1:].tolist(), strict=True)),
            self._effective.copy(),
            self._later.copy(),
            self._flow[: self._n_flow].copy(),
        )

    def _admit(self, trades: TradeRows) -> TradeRows:
        """Executions of continuous trading behind those that still wait for their quote; the others are counted."""
        self._executions += len(trades)
        valid = (trades.price > 0) & np.isfinite(trades.price) & (trades.size > 0) & np.isfinite(trades.size)
        self._excluded["not_continuous"] += int(np.count_nonzero(~trades.continuous))
        self._excluded["invalid"] += int(np.count_nonzero(trades.continuous & ~valid))
        admitted = _pick(trades, trades.continuous & valid)
        return _join(self._queue, admitted) if len(self._queue) else admitted

    def _merge_ready(self, t: TradeRows, kept: Kept) -> Any:
        if len(t) == 0:
            return np.empty(0, MERGED)
        mid, session, why = self._book(t, kept)
        by_quote = quote_rule(t.price, mid)
        flagged = t.aggressor != 0
        side = np.where(flagged, t.aggressor, by_quote).astype(np.int8)
        unclear = np.where(t.visible, TICK, NONE)
        how = np.where(flagged, FLAG, np.where(by_quote != 0, QUOTE, unclear)).astype(np.int8)
        out = np.zeros(len(t) + 1, MERGED)
        done = merge(t.ts_ns, t.price, t.size, t.visible, side, how, mid, session, why, self._order, out)
        return out[:done]

    def _book(self, t: TradeRows, kept: Kept) -> tuple[F8, I8, I1]:
        """Mid and session in force before each execution (NaN, −1 where there is none) and why there is none."""
        at = book_before(t.ts_ns, t.after_quote, kept.ts_ns, kept.row)
        if len(kept.ts_ns) == 0:
            return np.full(len(t), math.nan), at, np.full(len(t), BEFORE, np.int8)
        quoted = kept.ts_ns[at]
        day, quote_day = (np.searchsorted(self._edges, ts, side="right") for ts in (t.ts_ns, quoted))
        here = (day == quote_day) & (t.ts_ns - quoted <= self._params.session_gap_ns) & (at >= 0)
        why = np.where(here, 0, np.where(at < 0, BEFORE, ELSEWHERE)).astype(np.int8)
        return np.where(here, kept.mid[at], math.nan), np.where(here, kept.session[at], -1), why

    def _count(self, merged: Any) -> None:
        signed = merged["sign"] * merged["size"]
        self._volume[0] = np.cumsum(np.append(self._volume[0], merged["size"]))[-1]
        self._volume[1] = np.cumsum(np.append(self._volume[1], signed))[-1]
        self._signed_by += np.bincount(merged["how"], minlength=len(SIGNED_BY))
        self._no_cost += np.bincount(merged["why"], minlength=len(NO_COST))
        priced = merged[merged["why"] == 0]
        _add_effective(priced, self._effective)
        self._waiting = np.concatenate([self._waiting, priced])
        if self._n_flow + len(merged) > len(self._flow):
            self._flow = np.concatenate([self._flow, np.empty(len(self._flow) + len(merged), FLOW)])
        self._n_flow = _add_flow(merged, self._params.interval_ns, self._flow, self._n_flow)
        if self._sink is not None:
            ts, price, size = (np.ascontiguousarray(merged[name]) for name in ("ts_ns", "price", "size"))
            self._sink(ts, price, size, merged["sign"].astype(np.int8))

    def _resolve(self, kept: Kept, ended: bool) -> None:
        if len(self._waiting) == 0:
            return
        _add_later(
            self._waiting, self._head, self._horizons, kept.ts_ns, kept.mid, kept.session, ended, self._later
        )
        gone = int(self._head.min())
        self._waiting, self._head = self._waiting[gone:].copy(), self._head - gone


def _columns(t: TradeRows) -> tuple[Any, ...]:
    return t.ts_ns, t.price, t.size, t.aggressor, t.visible, t.continuous, t.after_quote


def _pick(t: TradeRows, keep: B1) -> TradeRows:
    return t if keep.all() else TradeRows(*(column[keep] for column in _columns(t)))


def trade_rows(t: TradeRows, start: int, stop: int) -> TradeRows:
    """Rows from ``start`` up to ``stop``, without a copy."""
    return TradeRows(*(column[start:stop] for column in _columns(t)))


def _join(first: TradeRows, then: TradeRows) -> TradeRows:
    pairs = zip(_columns(first), _columns(then), strict=True)
    return TradeRows(*(np.concatenate(pair) for pair in pairs))
