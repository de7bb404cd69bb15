"""What the tape of a source is worth as evidence, and what one tape says.

A tape is measured in one pass over its chunks, in memory that grows with the number of buckets and not of rows:
quotes by ``tools.quote_pass``, trades by ``tools.trade_pass``. A bucket is final once a row at or after its end
has been seen. A number that is not defined is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import I8
from regime_trading.core.tape import QuoteRows, TapeChunk, TradeRows, no_quotes, no_trades
from regime_trading.tools.quote_pass import BLOCK_ROWS, QuotePass, QuoteSink
from regime_trading.tools.quote_pass import TapeParams as TapeParams
from regime_trading.tools.tape_measures import BucketSeries as BucketSeries
from regime_trading.tools.tape_measures import TapeMeasures as TapeMeasures
from regime_trading.tools.tape_measures import assemble
from regime_trading.tools.trade_pass import TradePass, TradeSink, trade_rows

#: Measures that need quotes; on a lower grade they are not identified, and never estimated from bars.
QUOTE_MEASURES = ("spread", "order-flow imbalance", "microprice")


def unavailable_tiers(tiers: Mapping[str, int], bar_s: int) -> tuple[str, ...]:
    """Tiers whose bars are finer than the source's own, finest last: never made up from coarser bars.

    Parameters
    ----------
    tiers : dict of str to int
        Seconds of each tier's bar.
    bar_s : int
        Seconds of the source's bar.
    """
    finer = [name for name, seconds in tiers.items() if seconds < bar_s]
    return tuple(sorted(finer, key=lambda name: (-tiers[name], name)))


# --- one tape ---------------------------------------------------------------------------------------------


class TapePass:
    """One tape, chunk by chunk. Where it is cut into chunks changes no bit of the result.

    Parameters
    ----------
    params : TapeParams
    trade_sink : TradeSink or None
        Receives merged and signed trades in order (time, price, size, sign).
    quote_sink : QuoteSink or None
        Receives kept quote rows in order (time, bid, ask, bid size, ask size, whether a session opens). Arrays
        are valid during the call only.
    """

    def __init__(
        self, params: TapeParams, trade_sink: TradeSink | None = None, quote_sink: QuoteSink | None = None
    ) -> None:
        self._params = params
        self._quotes, self._trades = QuotePass(params, quote_sink), TradePass(params, trade_sink)
        self._first: int | None = None
        self._last: int | None = None
        self._now = np.iinfo(np.int64).min  # time of the latest row taken
        self._result: TapeMeasures | None = None

    def update(self, chunk: TapeChunk) -> None:
        """Take the next chunk.

        Raises
        ------
        BadInput
            A row earlier than one before it, columns of different lengths, or a chunk after :meth:`result`.
        """
        if self._result is not None:
            raise BadInput(expected="no chunk after the result", found="one", where="tape")
        quotes, trades = _plain_quotes(chunk.quotes), _plain_trades(chunk.trades)
        self._see(quotes.ts_ns, trades.ts_ns)
        done = 0
        for start in range(0, max(len(quotes), 1), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(quotes))
            end = len(trades)
            if stop < len(quotes):
                end = int(np.searchsorted(trades.ts_ns, quotes.ts_ns[stop - 1], side="right"))
            self._take(_quote_rows(quotes, start, stop), trade_rows(trades, done, end), ended=False)
            done = end

    def result(self) -> TapeMeasures:
        """Close the tape and say what it says; nothing can be added afterwards."""
        if self._result is None:
            self._take(no_quotes(), no_trades(), ended=True)
            self._result = assemble(
                self._params, self._quotes.finish(), self._trades.sums(), self._first, self._last
            )
        return self._result

    def _see(self, quotes: I8, trades: I8) -> None:
        """Remember the first and the last time; nothing may be earlier than what came in an earlier chunk."""
        if np.any(trades[1:] < trades[:-1]):
            raise BadInput(expected="ascending times", found="an earlier one", where="trades")
        times = [int(t) for column in (quotes, trades) if len(column) for t in (column[0], column[-1])]
        if not times:
            return
        if self._last is not None and min(times) < self._last:
            raise BadInput(expected=f"no row before {self._last}", found=str(min(times)), where="tape")
        self._first = min(times) if self._first is None else self._first
        self._last = max(times)

    def _take(self, quotes: QuoteRows, trades: TradeRows, ended: bool) -> None:
        kept = self._quotes.take(quotes)
        ends = [int(ts[-1]) for ts in (quotes.ts_ns, trades.ts_ns) if len(ts)]
        self._now = max([self._now, *ends])
        self._trades.take(trades, kept, self._quotes.rows, self._now, ended)


def measure(chunks: Iterable[TapeChunk], params: TapeParams) -> TapeMeasures:
    """What a tape says, read chunk by chunk (:class:`TapePass`)."""
    tape = TapePass(params)
    for chunk in chunks:
        tape.update(chunk)
    return tape.result()


def _column(values: Any, dtype: Any, n: int, where: str) -> Any:
    column = np.ascontiguousarray(values, dtype=dtype)
    if column.shape != (n,):
        raise BadInput(expected=f"{n} values", found=f"shape {column.shape}", where=where)
    return column


def _plain_quotes(q: QuoteRows) -> QuoteRows:
    """Contiguous columns of one length, without the levels behind the touch."""
    n = len(q)
    prices = (
        _column(getattr(q, name), np.float64, n, name) for name in ("bid_px", "ask_px", "bid_sz", "ask_sz")
    )
    return QuoteRows(_column(q.ts_ns, np.int64, n, "quotes.ts_ns"), *prices)


def _plain_trades(t: TradeRows) -> TradeRows:
    """Contiguous columns of one length."""
    n = len(t)
    return TradeRows(
        _column(t.ts_ns, np.int64, n, "trades.ts_ns"),
        _column(t.price, np.float64, n, "price"),
        _column(t.size, np.float64, n, "size"),
        _column(t.aggressor, np.int8, n, "aggressor"),
        _column(t.visible, np.bool_, n, "visible"),
        _column(t.continuous, np.bool_, n, "continuous"),
        _column(t.after_quote, np.int64, n, "after_quote"),
    )


def _quote_rows(q: QuoteRows, start: int, stop: int) -> QuoteRows:
    at = slice(start, stop)
    return QuoteRows(q.ts_ns[at], q.bid_px[at], q.ask_px[at], q.bid_sz[at], q.ask_sz[at])
