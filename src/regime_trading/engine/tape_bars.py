"""Bars of mid prices from a tape, for a tape that came without bars. Pure; one pass, memory of the bars."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.schemas import PriceWindow
from regime_trading.core.tape import TapeChunk
from regime_trading.tools.microstructure import TapeParams, TapePass


def mid_bars(symbol: str, chunks: Iterable[TapeChunk], params: TapeParams, bar_ns: int) -> PriceWindow:
    """Open, high, low and close of the mid over half-open bars aligned from midnight UTC, volume of the trades.

    A bar is stamped with its end. A bar without a quote is not made, and the last one only where the tape goes on
    to its end: nothing is closed that was not complete.

    Raises
    ------
    BadInput
        No complete bar.
    """
    mids: dict[int, list[float]] = {}
    volume: dict[int, float] = {}
    last = 0

    def take(ts_ns: I8, bid: F8, ask: F8, bid_sz: F8, ask_sz: F8, opens: B1) -> None:
        mid, bar = (bid + ask) / 2.0, ts_ns // bar_ns
        for first, end in _runs(bar):
            part, key = mid[first:end], int(bar[first])
            low, high = float(part.min()), float(part.max())
            held = mids.setdefault(key, [float(part[0]), high, low, 0.0])
            held[1], held[2], held[3] = max(held[1], high), min(held[2], low), float(part[-1])

    def add(ts_ns: I8, price: F8, size: F8, sign: I1) -> None:
        bar = ts_ns // bar_ns
        for first, end in _runs(bar):
            volume[int(bar[first])] = volume.get(int(bar[first]), 0.0) + float(size[first:end].sum())

    taking, traded = TapePass(params, trade_sink=add, quote_sink=take), False
    for chunk in chunks:
        taking.update(chunk)
        last = max([last, *chunk.quotes.ts_ns[-1:].tolist(), *chunk.trades.ts_ns[-1:].tolist()])
        traded |= len(chunk.trades) > 0
    taking.result()
    whole = sorted(key for key in mids if (key + 1) * bar_ns <= last)
    if not whole:
        raise BadInput(
            expected="a tape longer than one bar", found="no complete bar", where=f"bars of {symbol}"
        )
    table = np.array([mids[key] for key in whole])
    sizes = np.array([[volume.get(key, 0.0)] for key in whole]) if traded else None
    first, high, low, final = (np.ascontiguousarray(table[:, k : k + 1]) for k in range(4))
    ends = (np.array(whole, dtype=np.int64) + 1) * bar_ns
    return PriceWindow((symbol,), ends, final, first, high, low, sizes)


def _runs(keys: I8) -> list[tuple[int, int]]:
    """Stretches of equal keys."""
    edges = np.concatenate(([0], np.flatnonzero(np.diff(keys)) + 1, [len(keys)])).tolist()
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]
