"""Who started a trade: signs, and executions merged into orders.

The tape's own flag, else above the mid a buy and below a sell, else the tick test (Lee and Ready 1991,
*J. Finance* 46:733) with no lag between quotes and trades (Holden and Jacobsen 2014, *J. Finance* 69:1747).
One aggressive order leaves several executions of one instant: neighbours of one instant, one side and one kind
of sign are one trade at their size-weighted price, measured against the mid before the first of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from regime_trading.core.numbers import B1, F8, I1, I8

#: how a trade got its sign; the codes of ``how`` below are places in this tuple
SIGNED_BY = ("aggressor", "quote", "tick", "none")
FLAG, QUOTE, TICK, NONE = range(4)
#: why a trade is in no effective spread; the codes of ``why`` are places in this tuple
NO_COST = ("", "before_first_quote", "no_quote_in_session", "hidden", "unsigned")
BEFORE, ELSEWHERE, HIDDEN, UNSIGNED = range(1, 5)

#: an order: executions of one instant and side. ``shown_*`` is its part against visible liquidity.
MERGED = np.dtype(
    [(name, np.int64) for name in ("ts_ns", "session", "sign", "how", "why", "executions")]
    + [(name, np.float64) for name in ("mid", "price", "size", "shown_price", "shown_size")]
)
#: what is carried: the open order, its sums, and the memory of the tick test
ORDER = np.dtype(
    [(name, np.int64) for name in ("executions", "ts_ns", "side", "how", "session", "why", "direction")]
    + [(name, np.float64) for name in ("mid", "size", "money", "low", "high")]
    + [(name, np.float64) for name in ("shown_size", "shown_money", "shown_low", "shown_high", "last_price")]
)


# --- signs ------------------------------------------------------------------------------------------------


def quote_rule(price: F8, mid: F8) -> I1:
    """``+1`` where price > mid, ``−1`` where price < mid, 0 where equal or the mid is NaN; int8 [m]."""
    return (price > mid).astype(np.int8) - (price < mid).astype(np.int8)


def tick_rule(price: F8, last_price: float = math.nan, direction: int = 0) -> I1:
    """Sign of the move from the last different price; 0 where there is none yet; int8 [m].

    Parameters
    ----------
    price : float64 [m]
        In the order of trading.
    last_price : float
        Price of the trade before the first one; NaN = none.
    direction : int
        Sign of that trade by the same rule, 0 where it had none.
    """
    return _tick_signs(np.ascontiguousarray(price, np.float64), last_price, direction)


def lee_ready(price: F8, mid: F8, last_price: float = math.nan, direction: int = 0) -> I1:
    """Quote rule; tick rule where the price is at the mid or the mid is NaN; int8 [m].

    Parameters
    ----------
    price, mid : float64 [m]
        ``mid`` in force strictly before each trade.
    last_price, direction
        As :func:`tick_rule`.

    Notes
    -----
    Source: Lee and Ready 1991. Their lag of five seconds is one of 1991: here it is 0.
    """
    by_quote = quote_rule(price, mid)
    return np.where(by_quote != 0, by_quote, tick_rule(price, last_price, direction))


def book_before(ts: I8, after_quote: I8, kept_ts: I8, kept_row: I8) -> I8:
    """Place of the kept quote in force strictly before each trade, −1 where there is none; int64 [m].

    It is the last one strictly earlier in time, or, of the trade's own instant, the last one that the tape
    puts before the trade: ``max(#{t_k < t}, min(#{row_k < after_quote}, #{t_k ≤ t})) − 1``. So a quote that is
    later in time is never in force, whatever ``after_quote`` says.

    Parameters
    ----------
    ts, after_quote : int64 [m]
        As in ``TradeRows``.
    kept_ts, kept_row : int64 [k]
        Ascending.
    """
    earlier = np.searchsorted(kept_ts, ts, side="left")
    until = np.searchsorted(kept_ts, ts, side="right")
    in_tape = np.searchsorted(kept_row, after_quote, side="left")
    return np.maximum(earlier, np.minimum(in_tape, until)) - 1


# --- compiled ---------------------------------------------------------------------------------------------


@njit(cache=True)
def _tick(price: float, last_price: float, direction: int) -> int:  # pragma: no cover
    if price > last_price:
        return 1
    return -1 if price < last_price else direction


@njit(cache=True)
def _tick_signs(price: F8, last_price: float, direction: int) -> I1:  # pragma: no cover
    out = np.empty(len(price), np.int8)
    for i in range(len(price)):
        direction = _tick(price[i], last_price, direction)
        last_price = price[i]
        out[i] = direction
    return out


@njit(cache=True)
def _mean(money: float, size: float, low: float, high: float) -> float:  # pragma: no cover
    """Mean price within its bounds: rounding never makes one price look like another."""
    return min(max(money / size, low), high) if size > 0.0 else math.nan


@njit(cache=True)
def _close_order(g: Any, out: Any) -> None:  # pragma: no cover
    """Write the open order; where neither flag nor mid gave its sign, the tick test does, if it is visible."""
    price = _mean(g.money, g.size, g.low, g.high)
    g.direction = _tick(price, g.last_price, g.direction)
    g.last_price = price
    sign, how = g.side, g.how
    if how == TICK:
        sign = g.direction
        how = TICK if sign != 0 else NONE
    out.ts_ns, out.session, out.sign, out.how, out.executions = g.ts_ns, g.session, sign, how, g.executions
    out.mid, out.price, out.size = g.mid, price, g.size
    out.shown_price = _mean(g.shown_money, g.shown_size, g.shown_low, g.shown_high)
    out.shown_size = g.shown_size
    out.why = g.why
    if g.why == 0 and g.shown_size == 0.0:
        out.why = HIDDEN
    elif g.why == 0 and sign == 0:
        out.why = UNSIGNED
    g.executions = 0


@njit(cache=True)
def _add_execution(g: Any, price: float, size: float, shown: bool) -> None:  # pragma: no cover
    g.executions += 1
    g.size += size
    g.money += size * price
    g.low, g.high = min(g.low, price), max(g.high, price)
    if shown:
        g.shown_size += size
        g.shown_money += size * price
        g.shown_low, g.shown_high = min(g.shown_low, price), max(g.shown_high, price)


@njit(cache=True)
def merge(
    ts: I8,
    price: F8,
    size: F8,
    shown: B1,
    side: I1,
    how: I1,
    mid: F8,
    session: I8,
    why: I1,
    open_order: Any,
    out: Any,
) -> int:  # pragma: no cover
    """Merge neighbours of one instant, side and kind of sign; the last order stays open. Returns how many ended."""
    g, done = open_order[0], 0
    for i in range(len(ts)):
        if not (g.executions > 0 and g.ts_ns == ts[i] and g.side == side[i] and g.how == how[i]):
            if g.executions > 0:
                _close_order(g, out[done])
                done += 1
            g.ts_ns, g.side, g.how = ts[i], side[i], how[i]
            g.session, g.mid, g.why = session[i], mid[i], why[i]
            g.size, g.money, g.low, g.high = 0.0, 0.0, math.inf, -math.inf
            g.shown_size, g.shown_money, g.shown_low, g.shown_high = 0.0, 0.0, math.inf, -math.inf
        _add_execution(g, price[i], size[i], shown[i])
    return done


@njit(cache=True)
def end_order(open_order: Any, out: Any) -> None:  # pragma: no cover
    _close_order(open_order[0], out[0])
