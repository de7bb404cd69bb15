"""US equities through Alpaca's market data API, by the requests and the client of alpaca-py.

Facts this module stands on (docs.alpaca.markets, reference of ``/v2/stocks/…``):

- ``t`` of a bar is its beginning; a daily bar begins at midnight in New York and is complete at the close of
  the session, but its volume moves until the end of extended hours, four hours later.
- Quote sizes were round lots until the SEC's Market Data Infrastructure rules took effect on 2025-11-03, and
  are shares since (UTP Vendor Alert 2025-10). Earlier sizes are multiplied by 100, the round lot of nearly
  every stock.
- A side without price is sent as price 0. Trades name no aggressor. Exchange ``D`` is the off-exchange tape.
- ``u`` of a trade: ``canceled`` and ``incorrect`` say that it no longer stands.

Pages are asked for through the client's own ``get``: its typed results cut times to microseconds and follow
pages without bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import numpy as np

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.venues.provenance import ClockOffset, clock_offset
from regime_trading.adapters.venues.retry import Retrier, RetryLimits, Sleep, TokenBucket
from regime_trading.adapters.venues.rows import (
    BadAnswer,
    BarRows,
    RawTrade,
    Rows,
    cut_bars,
    disorder,
    interval_ns,
    number,
    rfc3339_to_ns,
    tidy_bars,
    tidy_trades,
)
from regime_trading.adapters.venues.secrets import Credentials, Redactor
from regime_trading.adapters.venues.transport import GuardedAdapter, guard
from regime_trading.adapters.venues.venue import Job, Venue
from regime_trading.core.bars import DAY_NS, SECOND_NS
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.ports import Clock
from regime_trading.core.schemas import Provides
from regime_trading.core.tape import QuoteRows, TradeRows

REQUESTS_PER_S = 3.0  #: the free plan allows 200 a minute
ROUND_LOT = 100.0
SHARES_SINCE_NS = 1_762_146_000 * SECOND_NS  #: 2025-11-03 00:00 in New York
_PAGE = 10_000
_SYMBOL = re.compile(r"[A-Z][A-Z0-9.]{0,14}")
_EXTENDED_NS = 4 * 3600 * SECOND_NS
_OFF_EXCHANGE = "D"
_VOID = {"canceled", "incorrect"}
#: sale conditions of continuous trading on both tapes: regular, automatic execution, intermarket sweep, odd
#: lot, rule 127/155, split, yellow flag; any other (auctions, crosses, late, form T …) is not continuous
_CONTINUOUS = {"", " ", "@", "E", "F", "I", "K", "S", "Y"}


class AlpacaVenue(Venue):
    """One feed of Alpaca's stock data.

    Parameters
    ----------
    name, feed : str
    credentials : Credentials
    clock, sleep, limits, retrier, redact
        As of :class:`Venue`.
    base_url : str or None
    """

    library = "alpaca-py"
    provides = frozenset({Provides.CLOSE, Provides.OHLC, Provides.VOLUME, Provides.QUOTES, Provides.TRADES})
    has_quote_history = True

    def __init__(
        self,
        name: str,
        feed: str,
        credentials: Credentials,
        clock: Clock,
        sleep: Sleep,
        base_url: str | None,
        limits: RetryLimits,
        retrier: Retrier,
        redact: Redactor,
    ) -> None:
        from alpaca.data.historical.stock import StockHistoricalDataClient

        super().__init__(name, limits, clock, sleep, retrier, redact)
        self._feed = feed
        self._client = StockHistoricalDataClient(
            credentials.key,
            credentials.secret,
            raw_data=True,
            url_override=base_url.rstrip("/") if base_url else None,
        )
        bucket = TokenBucket(limits.requests_per_s or REQUESTS_PER_S, limits.burst, clock, sleep)
        self._adapter = GuardedAdapter(name, bucket, clock, limits.timeout_s, redact)
        guard(self._client._session, self._adapter)

    @property
    def library_version(self) -> str:
        return version("alpaca-py")

    # --- fetches ------------------------------------------------------------------------------------------

    def _rows(self, job: Job, clock: ClockOffset) -> Rows:
        _require_symbol(job.symbol, self.name)
        job.endpoint = f"/v2/stocks/{job.kind}"
        job.notes.append(f"feed {self._feed}")
        if job.kind == "bars":
            return self._bars(job, clock.earliest_venue_ns(self._clock.now_ns()))
        return self._quotes(job) if job.kind == "quotes" else self._trades(job)

    def _bars(self, job: Job, venue_ns: int) -> BarRows:
        step_ns = interval_ns(str(job.interval))
        frame = _time_frame(str(job.interval), self.name)
        job.notes.append("prices as traded (adjustment raw): splits and dividends are not worked in")
        ts: list[int] = []
        values: list[tuple[float, ...]] = []
        fields = (("o", "open"), ("h", "high"), ("l", "low"), ("c", "close"), ("v", "volume"))
        # a daily bar begins at midnight and is complete at the close: ask from the day before
        early = DAY_NS if step_ns == DAY_NS else 0
        for page in self._pages(job, early, timeframe=frame, adjustment="raw"):
            ts += [_time_of(bar, job.where) for bar in page]
            values += [tuple(number(bar.get(k), job.where, n) for k, n in fields) for bar in page]
            job.page(len(page), ts[-1] if ts else None)
        bars = tidy_bars(ts, values, job.counts, job.where)
        return (
            self._daily(job, bars, venue_ns) if step_ns == DAY_NS else _intraday(job, bars, step_ns, venue_ns)
        )

    def _daily(self, job: Job, bars: BarRows, venue_ns: int) -> BarRows:
        job.notes.append("daily bars: complete at the session's close (XNYS), taken four hours later")
        job.lag_ns = _EXTENDED_NS
        if not len(bars):
            return bars
        calendar = ExchangeCalendar("XNYS")
        # midnight in New York is 04:00 or 05:00 UTC of the same date
        closes, session = calendar.close_of_date(bars.ts_ns.astype("datetime64[ns]").astype("datetime64[D]"))
        if not session.all():
            at = np.datetime64(int(bars.ts_ns[~session][0]), "ns")
            raise BadAnswer(job.where, "daily bars of trading days", f"one of {at}")
        unfinished = closes + _EXTENDED_NS > venue_ns
        job.counts["unfinished"] += int(unfinished.sum())
        done = BarRows(closes, bars.open, bars.high, bars.low, bars.close, bars.volume)
        return cut_bars(done, ~unfinished & (closes > job.since_ns) & (closes <= job.until_ns))

    def _quotes(self, job: Job) -> QuoteRows:
        job.notes.append("sizes in shares: those before 2025-11-03 were round lots and are multiplied by 100")
        pages: list[tuple[I8, F8]] = []
        before: list[Any] = []
        for page in self._pages(job):
            fresh = _fresh(before, page)
            job.counts["repeated"] += len(page) - len(fresh)
            before = page or before
            pages.append(self._quote_page(job, fresh))
            job.page(len(fresh), int(pages[-1][0][-1]) if fresh else None)
        ts = np.concatenate([p[0] for p in pages]) if pages else np.empty(0, np.int64)
        table = np.concatenate([p[1] for p in pages]) if pages else np.empty((0, 4))
        job.counts["out_of_order"] += disorder(ts)
        order = np.argsort(ts, kind="stable")
        ts, table = ts[order], table[order]
        keep = (ts >= job.since_ns) & (ts < job.until_ns)
        return QuoteRows(ts[keep], *(np.ascontiguousarray(table[keep, j]) for j in range(4)))

    def _quote_page(self, job: Job, page: list[Any]) -> tuple[I8, F8]:
        fields = (("bp", "bid price"), ("ap", "ask price"), ("bs", "bid size"), ("as", "ask size"))
        ts = np.array([_time_of(quote, job.where) for quote in page], dtype=np.int64)
        table = np.array(
            [[number(quote.get(k), job.where, n) for k, n in fields] for quote in page], dtype=np.float64
        ).reshape(len(page), 4)
        job.counts["negative_size"] += int((table[:, 2:] < 0).any(axis=1).sum())
        for price, size in ((0, 2), (1, 3)):
            absent = (table[:, price] == 0) & (table[:, size] == 0)
            table[absent, price] = table[absent, size] = np.nan
        table[:, 2:] *= np.where(ts < SHARES_SINCE_NS, ROUND_LOT, 1.0)[:, None]
        return ts, table

    def _trades(self, job: Job) -> TradeRows:
        job.notes.append(
            "no aggressor on this tape; exchange D (off-exchange) is not against visible liquidity"
        )
        raw: list[RawTrade] = []
        for page in self._pages(job):
            standing = [t for t in page if not (isinstance(t, dict) and t.get("u") in _VOID)]
            job.counts["canceled"] += len(page) - len(standing)
            raw += [_trade(t, job.where) for t in standing]
            job.page(len(standing), raw[-1].ts_ns if raw else None)
        rows = tidy_trades(raw, job.since_ns, job.until_ns, job.counts, job.where)
        job.counts["not_continuous"] += int((~rows.continuous).sum())
        job.counts["off_exchange"] += int((~rows.visible).sum())
        return rows

    def _pages(self, job: Job, early_ns: int = 0, **params: Any) -> Iterator[list[Any]]:
        """Pages of one symbol, by token; the stretch asked for is rounded outward to microseconds."""
        query: dict[str, Any] = {
            "symbols": job.symbol,
            "start": _iso(max(job.since_ns - early_ns, 0), up=False),
            "end": _iso(job.until_ns, up=True),
            "feed": self._feed,
            "limit": _PAGE,
            "sort": "asc",
            **params,
        }
        seen: set[str] = set()
        while True:
            job.require_room()
            answer = self._call(job.where, lambda: self._client.get(f"/stocks/{job.kind}", dict(query)))
            yield _page_of(answer, job.kind, job.symbol, job.where)
            token = answer.get("next_page_token")
            if token is None:
                return
            if not isinstance(token, str) or token in seen:
                raise BadAnswer(job.where, "a new page token", "one that was used before")
            seen.add(token)
            query["page_token"] = token

    # --- quotes of now ------------------------------------------------------------------------------------

    def _polled(self, job: Job, clock: ClockOffset, n: int, every_s: float) -> QuoteRows:
        _require_symbol(job.symbol, self.name)
        job.endpoint = "/v2/stocks/quotes/latest"
        job.notes.append(f"feed {self._feed}")
        job.notes.append("sizes in shares: those before 2025-11-03 were round lots and are multiplied by 100")
        query = {"symbols": job.symbol, "feed": self._feed}
        kept: list[Any] = []
        newest = -1
        for k in range(n):
            begun = self._clock.now_ns()
            answer = self._call(job.where, lambda: self._client.get("/stocks/quotes/latest", dict(query)))
            quote = _mapping(_mapping(answer, job.where).get("quotes"), job.where).get(job.symbol)
            at = _time_of(quote, job.where)
            if kept and quote == kept[-1]:
                job.counts["unchanged"] += 1
            elif at < newest:
                job.counts["out_of_order"] += 1
            else:
                kept.append(quote)
                newest = at
            job.page(1, at)
            if k + 1 < n:
                self._pace(begun, every_s)
        ts, table = self._quote_page(job, kept)
        return QuoteRows(ts, *(np.ascontiguousarray(table[:, j]) for j in range(4)))

    # --- the clock, errors --------------------------------------------------------------------------------

    def _measure(self) -> ClockOffset:
        """From the ``Date`` header: the data host tells no finer time, and its clock endpoint is a broker's."""
        self._call(
            f"{self.name} /v2/stocks/meta/exchanges", lambda: self._client.get("/stocks/meta/exchanges")
        )
        reply = self._adapter.last_reply
        return clock_offset(reply.sent_ns, reply.received_ns, reply.date_ns, SECOND_NS, "Date header")

    def _translated(self, fault: Exception, where: str) -> RegimeError:
        return self._unreadable(fault, where)


def _intraday(job: Job, bars: BarRows, step_ns: int, venue_ns: int) -> BarRows:
    """Bars within the regular session: one that begins before the opening or ends after the close is not."""
    done = bars.ts_ns + step_ns
    job.notes.append("times are those at which a bar was complete; regular sessions (XNYS) only")
    unfinished = done > venue_ns
    job.counts["unfinished"] += int(unfinished.sum())
    shifted = BarRows(done, bars.open, bars.high, bars.low, bars.close, bars.volume)
    kept = cut_bars(shifted, ~unfinished & (bars.ts_ns >= job.since_ns) & (done <= job.until_ns))
    regular = _in_session(kept.ts_ns, step_ns)
    job.counts["outside_session"] += int((~regular).sum())
    return cut_bars(kept, regular)


def _in_session(done_ns: I8, step_ns: int) -> B1:
    if not done_ns.size:
        return np.empty(0, dtype=np.bool_)
    calendar = ExchangeCalendar("XNYS")
    calendar.require_inside(int(done_ns[0]), int(done_ns[-1]))
    grid = calendar.grid(step_ns)
    at = np.searchsorted(grid.closes_ns, done_ns, side="left")
    inside: B1 = done_ns - step_ns >= grid.opens_ns[at]
    return inside


def _trade(trade: Any, where: str) -> RawTrade:
    at = _time_of(trade, where)
    codes = trade.get("c") or []
    if not isinstance(codes, list):
        raise BadAnswer(where, "a list of sale conditions", repr(codes)[:40])
    venue, identity = trade.get("x"), trade.get("i")
    return RawTrade(
        at,
        number(trade.get("p"), where, "price"),
        number(trade.get("s"), where, "size"),
        None if identity is None else (venue, trade.get("z"), identity, at),
        0,
        visible=venue != _OFF_EXCHANGE,
        continuous=all(code in _CONTINUOUS for code in codes),
    )


def _page_of(answer: Any, kind: str, symbol: str, where: str) -> list[Any]:
    rows = _mapping(answer, where).get(kind)
    page = _mapping(rows, where).get(symbol) if rows is not None else None
    if page is None:  # no rows in this stretch
        return []
    if not isinstance(page, list):
        raise BadAnswer(where, f"a list of {kind}", type(page).__name__)
    return page


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadAnswer(where, "an object", type(value).__name__)
    return value


def _time_of(row: Any, where: str) -> int:
    return rfc3339_to_ns(_mapping(row, where).get("t"), where)


def _fresh(before: list[Any], page: list[Any]) -> list[Any]:
    """A page without the rows that end the page before it, and without a row equal to the one just before it.

    The second rule says nothing of pages, so that rows do not depend on where pages begin: the same state,
    sent twice for one instant, is one state.
    """
    seam = next((n for n in range(min(len(before), len(page), 100), 1, -1) if before[-n:] == page[:n]), 0)
    rows = page[seam:]
    last = page[seam - 1] if seam else (before[-1] if before else None)
    return [row for row, previous in zip(rows, [last, *rows], strict=False) if row != previous]


def _require_symbol(symbol: str, venue: str) -> None:
    if not _SYMBOL.fullmatch(symbol):
        raise BadInput(
            expected="a US equity symbol such as AAPL or BRK.B",
            found=repr(symbol[:40]),
            where=f"venue {venue}",
        )


def _time_frame(interval: str, venue: str) -> str:
    """Alpaca's words for an interval: 1Min to 59Min, 1Hour to 23Hour, 1Day."""
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

    unit = {"m": TimeFrameUnit.Minute, "h": TimeFrameUnit.Hour, "d": TimeFrameUnit.Day}.get(interval[-1])
    try:
        if unit is None:
            raise ValueError
        return str(TimeFrame(int(interval[:-1]), unit).value)
    except ValueError:
        raise BadInput(
            expected="1m to 59m, 1h to 23h or 1d", found=repr(interval), where=f"venue {venue}"
        ) from None


def _iso(ts_ns: int, up: bool) -> str:
    micro = -(-ts_ns // 1000) if up else ts_ns // 1000
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro)).isoformat()
