"""From what a venue sent to arrays: strict numbers, time order, duplicates, and what is counted on the way."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from regime_trading.core.bars import DAY_NS, SECOND_NS
from regime_trading.core.canonical import array_hash
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.schemas import PriceWindow
from regime_trading.core.tape import BUY, SELL, UNSIGNED, QuoteRows, TradeRows

MS_NS = 1_000_000
_INTERVAL = re.compile(r"([1-9]\d{0,3})([smhdw])")
_UNIT_NS = {"s": SECOND_NS, "m": 60 * SECOND_NS, "h": 3600 * SECOND_NS, "d": DAY_NS, "w": 7 * DAY_NS}
_EARLIEST_NS, _LATEST_NS = 0, 4_102_444_800 * SECOND_NS  # 1970 to 2100: milliseconds or seconds fall outside


@dataclass(frozen=True, slots=True)
class BarRows:
    """Bars of one symbol, ascending in time.

    Parameters
    ----------
    ts_ns : int64 [n]
        UTC nanoseconds at which each bar is complete.
    open, high, low, close, volume : float64 [n]
        Prices positive and in order; volume ≥ 0 in units of the instrument.
    """

    ts_ns: I8
    open: F8
    high: F8
    low: F8
    close: F8
    volume: F8

    def __len__(self) -> int:
        return len(self.ts_ns)

    def window(self, symbol: str) -> PriceWindow:
        """The same bars as a window of one column."""
        o, h, low, c, v = (a[:, None] for a in (self.open, self.high, self.low, self.close, self.volume))
        return PriceWindow((symbol,), self.ts_ns, c, o, h, low, v)


Rows = BarRows | QuoteRows | TradeRows


class BadAnswer(RegimeError):
    """An answer of a venue that cannot be used.

    Parameters
    ----------
    where, expected, found : str
    """

    def __init__(self, where: str, expected: str, found: str) -> None:
        super().__init__(f"{where}: the venue should have sent {expected}, it sent {found}")


def interval_ns(interval: str) -> int:
    """Length of ``1m``, ``4h``, ``1d`` … Months have no fixed length and are refused.

    Raises
    ------
    BadInput
    """
    match = _INTERVAL.fullmatch(interval)
    if match is None:
        raise BadInput(
            expected="a bar interval such as 1m, 5m, 1h or 1d", found=repr(interval[:40]), where="interval"
        )
    return int(match[1]) * _UNIT_NS[match[2]]


def rows_hash(rows: Rows) -> str:
    """SHA-256 over the named arrays of ``rows`` (levels of a book included)."""
    named = {f.name: getattr(rows, f.name) for f in fields(rows)}
    levels = named.pop("levels", None)
    if levels is not None:
        named |= {f"levels.{f.name}": getattr(levels, f.name) for f in fields(levels)}
    return array_hash(named)


# --- cells ------------------------------------------------------------------------------------------------


def number(value: Any, where: str, name: str) -> float:
    """A finite number from a JSON number or a decimal text."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        parsed = float(value)
    except ValueError:
        parsed = math.nan
    if not math.isfinite(parsed):
        raise BadAnswer(where, f"a number as {name}", repr(value)[:40])
    return parsed


def ms_to_ns(value: Any, where: str) -> int:
    """Nanoseconds of a time in whole milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadAnswer(where, "a time in milliseconds", repr(value)[:40])
    return _plausible(int(value) * MS_NS, where, value)


def rfc3339_to_ns(value: Any, where: str) -> int:
    """Nanoseconds of a time such as ``2024-03-01T14:30:00.123456789Z``."""
    try:
        if not isinstance(value, str) or not value.endswith("Z"):
            raise ValueError
        return _plausible(int(np.datetime64(value[:-1], "ns").astype(np.int64)), where, value)
    except ValueError:
        raise BadAnswer(where, "a UTC time (RFC 3339)", repr(value)[:40]) from None


def _plausible(ts_ns: int, where: str, value: Any) -> int:
    if not _EARLIEST_NS < ts_ns < _LATEST_NS:
        raise BadAnswer(where, "a time between 1970 and 2100", repr(value)[:40])
    return ts_ns


def utc(ts_ns: int) -> str:
    """A time for a message."""
    return f"{np.datetime64(ts_ns, 'ns')}Z"


# --- order and duplicates ---------------------------------------------------------------------------------


def disorder(ts_ns: I8) -> int:
    """Rows that are earlier than a row before them."""
    return int(np.sum(ts_ns < np.maximum.accumulate(ts_ns))) if ts_ns.size else 0


def tidy_bars(
    ts: Sequence[int], values: Sequence[Sequence[float]], counts: Counter[str], where: str
) -> BarRows:
    """Bars in time order, one per time, each with prices in order.

    Repeated bars with the same values are dropped and counted; with other values they are an error, because
    nobody can say which one is right.
    """
    times = np.array(ts, dtype=np.int64)
    table = np.array(values, dtype=np.float64).reshape(times.size, 5)
    counts["out_of_order"] += disorder(times)
    order = np.argsort(times, kind="stable")
    times, table = times[order], table[order]
    again = np.flatnonzero(np.diff(times) == 0) + 1
    for row in again:
        if not np.array_equal(table[row], table[row - 1]):
            raise BadAnswer(where, f"one bar complete at {utc(int(times[row]))}", "two that differ")
    counts["duplicates"] += again.size
    keep = np.ones(times.size, dtype=bool)
    keep[again] = False
    times, table = times[keep], table[keep]
    _require_prices(times, table, where)
    return BarRows(times, *(np.ascontiguousarray(table[:, j]) for j in range(5)))


def _require_prices(times: I8, table: F8, where: str) -> None:
    o, h, low, c, v = table.T
    bad = (low <= 0) | (v < 0) | (h < np.maximum(o, c)) | (low > np.minimum(o, c))
    if bad.any():
        row = int(np.argmax(bad))
        shown = ", ".join(f"{x:.10g}" for x in table[row])
        raise BadAnswer(
            where, "0 < low ≤ open, close ≤ high and volume ≥ 0", f"{shown} at {utc(int(times[row]))}"
        )


def cut_bars(bars: BarRows, keep: B1) -> BarRows:
    """The bars where ``keep`` holds."""
    return BarRows(*(getattr(bars, f.name)[keep] for f in fields(bars)))


@dataclass(frozen=True, slots=True)
class RawTrade:
    """One execution as a venue said it; ``key`` tells repeats apart, ``order`` sorts within one instant."""

    ts_ns: int
    price: float
    size: float
    key: object
    order: int
    aggressor: int = UNSIGNED
    visible: bool = True
    continuous: bool = True


def tidy_trades(
    raw: Sequence[RawTrade], since_ns: int, until_ns: int, counts: Counter[str], where: str
) -> TradeRows:
    """Trades of [since, until) in time order, each once; sizes and prices that are not positive are counted
    and left out, one id with two contents is an error."""
    seen: dict[object, RawTrade] = {}
    kept: list[RawTrade] = []
    for trade in raw:
        if trade.key is not None:
            first = seen.setdefault(trade.key, trade)
            if first is not trade:
                if first != trade:
                    raise BadAnswer(where, "one trade per id", f"two that differ at {utc(trade.ts_ns)}")
                counts["duplicates"] += 1
                continue
        if not (trade.price > 0 and trade.size > 0):
            counts["non_positive"] += 1
        elif since_ns <= trade.ts_ns < until_ns:
            kept.append(trade)
    counts["out_of_order"] += disorder(np.array([t.ts_ns for t in kept], dtype=np.int64))
    kept.sort(key=lambda t: (t.ts_ns, t.order))
    return trade_rows(kept)


def trade_rows(kept: Sequence[RawTrade]) -> TradeRows:
    """Arrays of trades that are in order. There is no common sequence with quotes: ``after_quote`` is −1."""
    aggressor: I1 = np.array([t.aggressor for t in kept], dtype=np.int8)
    return TradeRows(
        np.array([t.ts_ns for t in kept], dtype=np.int64),
        np.array([t.price for t in kept], dtype=np.float64),
        np.array([t.size for t in kept], dtype=np.float64),
        aggressor,
        np.array([t.visible for t in kept], dtype=np.bool_),
        np.array([t.continuous for t in kept], dtype=np.bool_),
        np.full(len(kept), -1, dtype=np.int64),
    )


def side_of(text: Any) -> int:
    """Aggressor of a taker side in words; anything else is unsigned."""
    return {"buy": BUY, "sell": SELL}.get(text, UNSIGNED) if isinstance(text, str) else UNSIGNED
