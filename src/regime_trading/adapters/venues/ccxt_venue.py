"""Crypto exchanges through ccxt.

Facts about the library that this module stands on: ``fetch_ohlcv`` gives the opening time of a candle, and
the last one is still open; ``side`` of a public trade is the taker's; ``fetch_order_book`` has a time only
where the exchange says one. Exchange keys are never handed to the library.
"""

from __future__ import annotations

import difflib
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from regime_trading.adapters.venues.provenance import ClockOffset, clock_offset
from regime_trading.adapters.venues.retry import Retrier, RetryLimits, Sleep, TokenBucket
from regime_trading.adapters.venues.rows import (
    MS_NS,
    BadAnswer,
    BarRows,
    RawTrade,
    Rows,
    cut_bars,
    interval_ns,
    ms_to_ns,
    number,
    side_of,
    tidy_bars,
    tidy_trades,
    utc,
)
from regime_trading.adapters.venues.secrets import Redactor
from regime_trading.adapters.venues.transport import GuardedAdapter, guard
from regime_trading.adapters.venues.venue import Job, Venue
from regime_trading.core.bars import SECOND_NS
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.numbers import F8
from regime_trading.core.ports import Clock
from regime_trading.core.schemas import Provides
from regime_trading.core.tape import DepthRows, QuoteRows, TradeRows

DEPTH = 10  #: levels of a polled book
_BY_ID = {"binance", "binanceus"}  #: ``fromId`` pages the aggregate trades, whose ids have no holes
_BY_CURSOR = {"kraken"}  #: the answer holds the cursor of the next page, in nanoseconds
_HOUR_MS = 3_600_000
_FULL_PAGE = 50  #: no exchange has smaller pages; a page this long that brings nothing new hides something
_SPOT_ONLY = {"binance": {"types": ["spot"]}}
_WHOLE_SECONDS = {"kraken"}  #: exchanges whose server time has no fraction


class CcxtVenue(Venue):
    """One exchange of ccxt.

    Parameters
    ----------
    name : str
    ccxt : module
    exchange : str
        Id of ccxt.
    clock, sleep, limits, retrier, redact
        As of :class:`Venue`.
    base_url : str or None
        Replaces scheme and host of every endpoint of the exchange.
    """

    library = "ccxt"
    provides = frozenset({Provides.CLOSE, Provides.OHLC, Provides.VOLUME, Provides.QUOTES, Provides.TRADES})

    def __init__(
        self,
        name: str,
        ccxt: Any,
        exchange: str,
        clock: Clock,
        sleep: Sleep,
        base_url: str | None,
        limits: RetryLimits,
        retrier: Retrier,
        redact: Redactor,
    ) -> None:
        super().__init__(name, limits, clock, sleep, retrier, redact)
        self._ccxt, self._id = ccxt, exchange
        client = getattr(ccxt, exchange)({"enableRateLimit": True, "timeout": int(limits.timeout_s * 1000)})
        if exchange in _SPOT_ONLY:
            client.options["fetchMarkets"] = _SPOT_ONLY[exchange]
        if base_url is not None:
            client.urls["api"] = _rebased(client.urls["api"], base_url.rstrip("/"))
        rate = limits.requests_per_s or 1000.0 / client.rateLimit
        bucket = TokenBucket(rate, limits.burst, clock, sleep)
        self._adapter = GuardedAdapter(name, bucket, clock, limits.timeout_s, redact)
        guard(client.session, self._adapter)
        self._client = client

    @property
    def library_version(self) -> str:
        return version("ccxt")

    # --- fetches ------------------------------------------------------------------------------------------

    def _rows(self, job: Job, clock: ClockOffset) -> Rows:
        if job.kind == "quotes":
            raise BadInput(
                expected="polled quotes (ccxt has no quotes of the past)",
                found=f"a stretch from {utc(job.since_ns)}",
                where=f"{self.name} quotes",
            )
        self._require_symbol(job.symbol)
        venue_ns = clock.earliest_venue_ns(self._clock.now_ns())
        return self._bars(job, venue_ns) if job.kind == "bars" else self._trades(job, venue_ns)

    def _bars(self, job: Job, venue_ns: int) -> BarRows:
        interval = str(job.interval)
        step_ns = interval_ns(interval)
        self._require_interval(interval)
        job.endpoint = "fetch_ohlcv"
        job.notes.append("times are those at which a bar was complete: opening time of the candle + interval")
        job.notes.append("prices as traded; crypto has no adjustments")
        ts, values = self._candles(job, interval, step_ns, min(job.until_ns, venue_ns))
        bars = tidy_bars(ts, values, job.counts, job.where)
        opens = bars.ts_ns - step_ns
        unfinished = bars.ts_ns > venue_ns
        job.counts["unfinished"] += int(unfinished.sum())
        bars = cut_bars(bars, (opens >= job.since_ns) & (bars.ts_ns <= job.until_ns) & ~unfinished)
        if len(bars):
            job.counts["missing_bars"] += int(np.sum(np.diff(bars.ts_ns) // step_ns - 1))
            job.counts["missing_at_start"] += int(bars.ts_ns[0] - step_ns - job.since_ns) // step_ns
        return bars

    def _candles(
        self, job: Job, interval: str, step_ns: int, end_ns: int
    ) -> tuple[list[int], list[tuple[float, ...]]]:
        features = ((self._client.features or {}).get("spot") or {}).get("fetchOHLCV") or {}
        limit, cursor_ms = features.get("limit"), -(-job.since_ns // MS_NS)
        ts: list[int] = []
        values: list[tuple[float, ...]] = []
        while True:
            job.require_room()
            page = self._call(
                job.where,
                lambda since=cursor_ms: self._client.fetch_ohlcv(
                    job.symbol, interval, since=since, limit=limit
                ),
            )
            newest = -1
            for candle in _list_of(page, job.where):
                opened, cells = _candle(candle, job.where)
                newest = max(newest, opened)
                ts.append(opened + step_ns)
                values.append(cells)
            job.page(len(page), newest + step_ns if page else None)
            if newest < cursor_ms * MS_NS or newest + 2 * step_ns > end_ns:
                return ts, values
            cursor_ms = (newest + step_ns) // MS_NS

    def _trades(self, job: Job, venue_ns: int) -> TradeRows:
        job.endpoint = "fetch_trades"
        job.notes.append("aggressor: the taker side that the exchange states; times in milliseconds")
        end_ns = min(job.until_ns, venue_ns)
        if self._id in _BY_ID:
            job.notes.append("aggregate trades: fills of one taker order at one price and time are one row")
            raw = self._trades_by_id(job, end_ns)
        elif self._id in _BY_CURSOR:
            raw = self._trades_by_cursor(job, end_ns)
        else:
            raw = self._trades_by_time(job, end_ns)
        return tidy_trades(raw, job.since_ns, job.until_ns, job.counts, job.where)

    def _trades_by_id(self, job: Job, end_ns: int) -> list[RawTrade]:
        """First page by time, an hour at once (the exchange's bound); then by id, which must have no hole."""
        raw: list[RawTrade] = []
        since_ms = job.since_ns // MS_NS
        while not raw and since_ms * MS_NS < end_ns:
            raw += self._trade_page(job, since_ms, {"until": since_ms + _HOUR_MS - 1})
            since_ms += _HOUR_MS
        while raw and raw[-1].ts_ns < end_ns:
            page = self._trade_page(job, None, {"fromId": raw[-1].order + 1})
            if not page:
                break
            if page[0].order != raw[-1].order + 1:
                expected = f"trade {raw[-1].order + 1} first on the next page"
                raise BadAnswer(job.where, expected, f"trade {page[0].order}")
            raw += page
        return raw

    def _trades_by_cursor(self, job: Job, end_ns: int) -> list[RawTrade]:
        raw: list[RawTrade] = []
        cursor = str(max(job.since_ns - 1, 0))
        while not raw or raw[-1].ts_ns < end_ns:
            page = self._trade_page(job, None, {"since": cursor})
            following = _cursor(self._last_page, cursor)
            raw += page
            if not page or following == cursor:
                break
            cursor = following
        return raw

    def _trades_by_time(self, job: Job, end_ns: int) -> list[RawTrade]:
        """Pages that begin with the last time of the page before; trades are told apart by their ids."""
        raw: list[RawTrade] = []
        cursor_ms, known, largest = job.since_ns // MS_NS, set[object](), _FULL_PAGE
        while not raw or raw[-1].ts_ns < end_ns:
            page = self._trade_page(job, cursor_ms, {})
            if any(t.key is None for t in page):
                raise BadAnswer(
                    job.where, "an id with every trade", "trades without, whose pages cannot be joined"
                )
            new = [t for t in page if t.key not in known]
            if not new and len(page) >= largest:
                raise BadAnswer(
                    job.where, "pages that move on in time", f"the same page at {utc(page[-1].ts_ns)}"
                )
            if not new:
                break
            job.counts["repeated_at_seams"] += len(page) - len(new)
            known.update(t.key for t in new)
            raw += new
            cursor_ms, largest = raw[-1].ts_ns // MS_NS, max(largest, len(page))
        return raw

    def _trade_page(self, job: Job, since_ms: int | None, params: dict[str, Any]) -> list[RawTrade]:
        job.require_room()
        page = self._call(
            job.where,
            lambda: self._client.fetch_trades(job.symbol, since=since_ms, limit=1000, params=dict(params)),
        )
        self._last_page = _list_of(page, job.where)
        trades = sorted((_trade(t, job.where) for t in self._last_page), key=lambda t: (t.ts_ns, t.order))
        job.page(len(trades), trades[-1].ts_ns if trades else None)
        return trades

    # --- quotes -------------------------------------------------------------------------------------------

    def _polled(self, job: Job, clock: ClockOffset, n: int, every_s: float) -> QuoteRows:
        self._require_symbol(job.symbol)
        job.endpoint = "fetch_order_book"
        books: list[tuple[int, F8]] = []
        last: object = None
        stamped = 0
        for k in range(n):
            begun = self._clock.now_ns()
            book = self._call(job.where, lambda: self._client.fetch_order_book(job.symbol, limit=DEPTH))
            received = self._adapter.last_reply.received_ns + (clock.offset_ns or 0)
            said = book.get("timestamp")
            ts = received if said is None else ms_to_ns(said, job.where)
            mark = book.get("nonce") if book.get("nonce") is not None else said
            stamped += said is not None
            if mark is not None and mark == last:
                job.counts["unchanged"] += 1
            elif books and ts < books[-1][0]:
                job.counts["out_of_order"] += 1
            else:
                books.append((ts, _levels(book, job.where)))
            last = mark
            job.page(1, ts)
            if k + 1 < n:
                self._pace(begun, every_s)
        if stamped < n:
            job.notes.append(
                "the exchange gives its book no time: rows carry the time of reception on the venue's clock"
            )
        return _quote_rows(books)

    # --- the clock, symbols, errors -----------------------------------------------------------------------

    def _measure(self) -> ClockOffset:
        if not self._client.has.get("fetchTime"):
            reply = self._adapter.last_reply
            if reply is None:
                return clock_offset(self._clock.now_ns(), self._clock.now_ns(), None, 0, "unknown")
            return clock_offset(reply.sent_ns, reply.received_ns, reply.date_ns, SECOND_NS, "Date header")
        where = f"{self.name} fetch_time"
        said = self._call(where, self._client.fetch_time)
        reply = self._adapter.last_reply
        whole = self._id in _WHOLE_SECONDS
        venue_ns = ms_to_ns(said, where) + (SECOND_NS // 2 if whole else MS_NS // 2)
        return clock_offset(
            reply.sent_ns, reply.received_ns, venue_ns, SECOND_NS if whole else MS_NS, "server time"
        )

    def _require_symbol(self, symbol: str) -> None:
        where = f"{self.name} load_markets"
        markets = self._call(where, self._client.load_markets) or {}
        if not markets:
            raise BadAnswer(where, "its markets", "none")
        if symbol not in markets:
            near = difflib.get_close_matches(symbol, list(markets), n=3, cutoff=0.4)
            hint = f" (nearest: {', '.join(near)})" if near else ""
            raise BadInput(
                expected=f"a symbol of this exchange{hint}",
                found=repr(symbol[:40]),
                where=f"venue {self.name}",
            )

    def _require_interval(self, interval: str) -> None:
        offered = self._client.timeframes or {}
        if interval not in offered:
            raise BadInput(
                expected=f"an interval of this exchange ({', '.join(offered)})",
                found=repr(interval),
                where=f"venue {self.name}",
            )

    def _translated(self, fault: Exception, where: str) -> RegimeError:
        """ccxt's errors by their family; texts of the exchange are shortened and shown."""
        ccxt = self._ccxt
        text = self._redact(str(fault))
        if isinstance(fault, ccxt.NetworkError):
            return self._passing(where, f"{type(fault).__name__} ({text})")
        if isinstance(fault, ccxt.NotSupported):
            return BadInput(expected="something this exchange offers", found=text, where=where)
        if isinstance(fault, ccxt.BadRequest | ccxt.ArgumentsRequired | ccxt.AuthenticationError):
            return BadInput(expected="a request that the exchange accepts", found=text, where=where)
        if isinstance(fault, ccxt.BaseError):
            return BadAnswer(where, "an answer", f"the error {text}")
        return self._unreadable(fault, where)


def _rebased(entry: Any, base: str) -> Any:
    if isinstance(entry, dict):
        return {key: _rebased(value, base) for key, value in entry.items()}
    return base + urlsplit(entry).path if isinstance(entry, str) else entry


def _list_of(page: Any, where: str) -> list[Any]:
    if not isinstance(page, list):
        raise BadAnswer(where, "a list", type(page).__name__)
    return page


def _candle(candle: Any, where: str) -> tuple[int, tuple[float, ...]]:
    if not isinstance(candle, list) or len(candle) < 6:
        raise BadAnswer(where, "candles of time, open, high, low, close, volume", repr(candle)[:60])
    names = ("open", "high", "low", "close", "volume")
    return ms_to_ns(candle[0], where), tuple(
        number(v, where, n) for v, n in zip(candle[1:6], names, strict=True)
    )


def _trade(trade: Any, where: str) -> RawTrade:
    key = trade.get("id")
    order = int(key) if isinstance(key, str) and key.isdecimal() else 0
    return RawTrade(
        ms_to_ns(trade.get("timestamp"), where),
        number(trade.get("price"), where, "price"),
        number(trade.get("amount"), where, "size"),
        key,
        order,
        side_of(trade.get("side")),
    )


def _cursor(page: list[Any], before: str) -> str:
    """What Kraken's answer calls ``last``, which ccxt appends to the last trade of the page."""
    for trade in reversed(page):
        cells = trade.get("info")
        if (
            isinstance(cells, list)
            and len(cells) in (7, 8)
            and str(cells[-1]).isdecimal()
            and len(str(cells[-1])) >= 16
        ):
            return str(cells[-1])
    return before


def _levels(book: Any, where: str) -> F8:
    """Bid price, ask price, bid size, ask size by level; NaN where a level is empty."""
    out = np.full((4, DEPTH), np.nan)
    for side, row in (("bids", 0), ("asks", 1)):
        for level, cells in enumerate(_list_of(book.get(side), where)[:DEPTH]):
            out[row, level] = number(cells[0], where, f"price in {side}")
            out[row + 2, level] = number(cells[1], where, f"size in {side}")
    return out


def _quote_rows(books: list[tuple[int, F8]]) -> QuoteRows:
    table = np.array([levels for _, levels in books], dtype=np.float64).reshape(len(books), 4, DEPTH)
    best = [np.ascontiguousarray(table[:, row, 0]) for row in range(4)]
    depth = DepthRows(*(np.ascontiguousarray(table[:, row]) for row in range(4)))
    return QuoteRows(np.array([ts for ts, _ in books], dtype=np.int64), *best, levels=depth)
