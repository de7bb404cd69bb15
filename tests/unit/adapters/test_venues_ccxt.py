"""Crypto exchanges: the real ccxt over real HTTP against a server on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.venue_server import KEY, MS, SECRET, Fault, Script, agg_trade, kline, serving

from regime_trading.adapters.venues import Credentials, RetryLimits, Venue, open_venue
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.tape import BUY, SELL

ccxt = pytest.importorskip("ccxt")

S = 1_000_000_000
MIN = 60_000
T0 = 1_788_220_800_000  # ms, a whole day
LIMITS = RetryLimits(requests_per_s=1e6, burst=1000, base_s=0.1, cap_s=0.2, timeout_s=5.0)


class Time:
    """Stands at the script's time, moves with every sleep."""

    def __init__(self, script: Script, ahead_ms: int = 0) -> None:
        self.script, self.ahead_ns, self.slept = script, ahead_ms * MS, list[float]()

    def now_ns(self) -> int:
        return self.script.now_ms * MS + self.ahead_ns + round(sum(self.slept) * S)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def script() -> Script:
    return Script(now_ms=T0 + 600 * MIN)


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    with serving(script) as base:
        yield base


@pytest.fixture(autouse=True)
def _no_library_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda *_: None)


def _open(
    script: Script, url: str, name: str = "ccxt:binance", time: Time | None = None, **limits: Any
) -> Venue:
    time = time or Time(script)
    return open_venue(
        name,
        credentials=Credentials(KEY, SECRET),
        clock=time,
        sleep=time.sleep,
        base_url=url,
        limits=replace(LIMITS, **limits),
        rng=np.random.default_rng(7),
    )


def _candles(script: Script, n: int, start: int = T0) -> None:
    script.klines = [kline(start + k * MIN, MIN, 100.0 + k) for k in range(n)]


# --- bars -------------------------------------------------------------------------------------------------


def test_bars_carry_the_time_at_which_they_are_complete(script: Script, url: str):
    _candles(script, 5)
    rows = _open(script, url).bars("BTC/USDT", "1m", T0 * MS, (T0 + 5 * MIN) * MS)
    assert rows.ts_ns.tolist() == [(T0 + k * MIN) * MS for k in range(1, 6)]
    assert rows.close.tolist() == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert (rows.open[0], rows.high[0], rows.low[0], rows.volume[0]) == (99.5, 101.0, 99.0, 3.25)
    window = rows.window("BTC-USDT")
    assert window.close.shape == (5, 1) and window.ts_ns is rows.ts_ns


def test_a_candle_that_is_not_over_by_the_venues_clock_is_left_out(script: Script, url: str):
    _candles(script, 10)
    script.now_ms = T0 + 9 * MIN + 59_000  # the tenth has a second to go
    fast = Time(script, ahead_ms=5_000)  # our clock says it is over
    got = _open(script, url, time=fast).fetch("bars", "BTC/USDT", T0 * MS, 2 * T0 * MS, interval="1m")
    assert len(got.rows) == 9 and got.provenance.counts == {"unfinished": 1}
    assert got.provenance.clock.offset_ns == pytest.approx(-5 * S, abs=S // 100)
    assert got.provenance.covered_until_ns < (T0 + 10 * MIN) * MS


def test_pages_join_without_gap_or_repeat(script: Script, url: str):
    script.page = 100
    _candles(script, 350)
    seen = []
    venue = _open(script, url)
    got = venue.fetch("bars", "BTC/USDT", T0 * MS, (T0 + 350 * MIN) * MS, interval="1m", progress=seen.append)
    assert np.diff(got.rows.ts_ns).tolist() == [MIN * MS] * 349
    assert got.provenance.pages == 4 == len(seen)
    assert [p.rows for p in seen] == [100, 200, 300, 350]
    assert got.provenance.counts == {}
    assert got.provenance.requests == 6  # time, exchangeInfo, four pages


def test_a_hole_is_counted_not_filled(script: Script, url: str):
    _candles(script, 20)
    del script.klines[5:8]
    got = _open(script, url).fetch(
        "bars", "BTC/USDT", (T0 - 2 * MIN) * MS, (T0 + 20 * MIN) * MS, interval="1m"
    )
    assert len(got.rows) == 17
    assert got.provenance.counts == {"missing_at_start": 2, "missing_bars": 3}


def test_repeated_candles_are_dropped_and_counted_but_not_if_they_differ(script: Script, url: str):
    _candles(script, 6)
    script.klines.insert(3, list(script.klines[3]))
    venue = _open(script, url)
    got = venue.fetch("bars", "BTC/USDT", T0 * MS, (T0 + 6 * MIN) * MS, interval="1m")
    assert len(got.rows) == 6 and got.provenance.counts == {"duplicates": 1}
    script.klines[3] = kline(script.klines[3][0], MIN, 999.0)
    with pytest.raises(RegimeError, match=r"one bar complete at 2026-09-01T00:04.*two that differ"):
        venue.bars("BTC/USDT", "1m", T0 * MS, (T0 + 6 * MIN) * MS)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"c": "NaN"}, "a number as close"),
        ({"h": "abc"}, "a number as high"),
        ({"v": "-1.0"}, "volume ≥ 0"),
        ({"l": "0.0"}, "0 < low"),
        ({"h": "1.0"}, "close ≤ high"),
    ],
)
def test_values_that_cannot_be_are_an_error(script: Script, url: str, cells: dict[str, str], says: str):
    script.klines = [kline(T0, MIN), kline(T0 + MIN, MIN, **cells)]
    with pytest.raises(RegimeError, match=says) as caught:
        _open(script, url).bars("BTC/USDT", "1m", T0 * MS, (T0 + 5 * MIN) * MS)
    assert "ccxt:binance fetch_ohlcv" in str(caught.value)


def test_times_in_another_unit_are_an_error(script: Script, url: str):
    script.klines = [kline(T0 * 1000, MIN)]
    with pytest.raises(RegimeError, match="between 1970 and 2100"):
        _open(script, url).bars("BTC/USDT", "1m", T0 * MS, (T0 + 5 * MIN) * MS)


def test_no_rows_are_no_rows(script: Script, url: str):
    got = _open(script, url).fetch("bars", "BTC/USDT", T0 * MS, (T0 + 5 * MIN) * MS, interval="1m")
    assert len(got.rows) == 0 and got.provenance.first_ns is None
    assert np.isnan(got.age().at_reception_s)


def test_more_pages_than_allowed_is_an_error(script: Script, url: str):
    script.page = 10
    _candles(script, 100)
    with pytest.raises(RegimeError, match="more than 3 pages"):
        _open(script, url, max_pages=3).bars("BTC/USDT", "1m", T0 * MS, (T0 + 100 * MIN) * MS)


# --- trades -----------------------------------------------------------------------------------------------


def test_trades_carry_the_taker_side_and_page_by_id_within_one_millisecond(script: Script, url: str):
    script.page = 7
    script.agg_trades = [
        agg_trade(95 + k, T0 + (k // 30) * 250, price=f"{100 + k % 3}.5", maker=k % 4 == 0) for k in range(60)
    ]
    got = _open(script, url).fetch("trades", "BTC/USDT", T0 * MS, (T0 + MIN) * MS)
    rows = got.rows
    assert len(rows) == 60  # thirty in one millisecond, pages of seven
    assert rows.aggressor.tolist() == [SELL if k % 4 == 0 else BUY for k in range(60)]
    assert rows.price.tolist() == [100.5 + k % 3 for k in range(60)]  # ids past 100 keep their order
    assert rows.continuous.all() and rows.visible.all() and (rows.after_quote == -1).all()


def test_trades_are_cut_to_the_stretch_and_found_after_a_silent_hour(script: Script, url: str):
    late = T0 + 3 * 3_600_000
    script.agg_trades = [agg_trade(k, late + k * 1000) for k in range(10)]
    got = _open(script, url).fetch("trades", "BTC/USDT", T0 * MS, (late + 4000) * MS)
    assert got.rows.ts_ns.tolist() == [(late + k * 1000) * MS for k in range(4)]
    assert script.count("aggTrades") >= 4


def test_a_silent_market_is_asked_about_no_later_than_now(script: Script, url: str):
    got = _open(script, url).fetch("trades", "BTC/USDT", T0 * MS, (T0 + 10**9) * MS)
    assert len(got.rows) == 0 and script.count("aggTrades") == 10  # ten hours until now


def test_a_gap_between_pages_is_an_error(script: Script, url: str):
    script.page = 5
    script.agg_trades = [agg_trade(k, T0 + k * 10) for k in range(20)]
    del script.agg_trades[5:7]
    with pytest.raises(RegimeError, match="trade 5 first on the next page, it sent trade 7"):
        _open(script, url).trades("BTC/USDT", T0 * MS, (T0 + MIN) * MS)


def test_trades_without_size_are_counted_and_left_out(script: Script, url: str):
    script.agg_trades = [agg_trade(1, T0), agg_trade(2, T0 + 1, size="0.0"), agg_trade(3, T0 + 2, size="-2")]
    got = _open(script, url).fetch("trades", "BTC/USDT", T0 * MS, (T0 + MIN) * MS)
    assert len(got.rows) == 1 and got.provenance.counts == {"non_positive": 2}


def test_kraken_pages_by_its_own_cursor(script: Script, url: str):
    script.page = 4
    script.kraken_trades = [
        ["50000.1", "0.01", (T0 + k * 100) / 1000, "b" if k % 2 else "s", "m", "", 900 + k] for k in range(10)
    ]
    got = _open(script, url, "ccxt:kraken").fetch("trades", "BTC/USD", T0 * MS, (T0 + MIN) * MS)
    assert got.rows.ts_ns.tolist() == [(T0 + k * 100) * MS for k in range(10)]
    assert got.rows.aggressor.tolist() == [BUY if k % 2 else SELL for k in range(10)]
    assert got.provenance.clock.uncertainty_ns >= S // 2  # its server time has whole seconds


def test_kraken_bars_say_what_its_short_history_lacks(script: Script, url: str):
    _candles(script, 800, T0 - 800 * MIN)
    script.now_ms = T0
    got = _open(script, url, "ccxt:kraken").fetch(
        "bars", "BTC/USD", (T0 - 800 * MIN) * MS, T0 * MS, interval="1m"
    )
    assert got.provenance.counts["missing_at_start"] == 80
    assert len(got.rows) + got.provenance.counts.get("unfinished", 0) == 720


def test_an_error_inside_a_good_answer_is_told_apart(script: Script, url: str):
    _candles(script, 3)
    venue = _open(script, url, "ccxt:kraken")
    script.fail("/OHLC", Fault(body=b'{"error":["EGeneral:Too many requests"]}'))
    assert len(venue.bars("BTC/USD", "1m", T0 * MS, (T0 + 3 * MIN) * MS)) == 3  # repeated
    script.fail("/OHLC", Fault(body=b'{"error":["EQuery:Unknown asset pair"]}'))
    asked = script.count("/OHLC")
    with pytest.raises(RegimeError, match="Unknown asset pair"):
        venue.bars("BTC/USD", "1m", T0 * MS, (T0 + 3 * MIN) * MS)
    assert script.count("/OHLC") == asked + 1


@pytest.mark.parametrize("stuck", [False, True])
def test_exchanges_without_a_cursor_page_by_time_and_never_stop_short(script: Script, url: str, stuck: bool):
    """The generic way, on Binance's answers without its ids: the end of a page is the start of the next."""
    script.page = 60
    script.agg_trades = [agg_trade(k, T0 if stuck else T0 + (k // 7) * 5) for k in range(200)]
    venue = _open(script, url)
    venue._id = "another"
    if stuck:
        with pytest.raises(RegimeError, match="pages that move on in time"):
            venue.trades("BTC/USDT", T0 * MS, (T0 + MIN) * MS)
        return
    got = venue.fetch("trades", "BTC/USDT", T0 * MS, (T0 + MIN) * MS)
    assert len(got.rows) == 200 and set(got.provenance.counts) == {"repeated_at_seams"}


# --- quotes -----------------------------------------------------------------------------------------------


def _book(number: int, bid: float, ask: float) -> dict[str, Any]:
    bids = [[str(bid - k), str(1.0 + k)] for k in range(12)]
    asks = [[str(ask + k), str(2.0 + k)] for k in range(3)]
    return {"lastUpdateId": number, "bids": bids, "asks": asks}


def test_polled_books_have_depth_and_the_time_of_reception_on_the_venues_clock(script: Script, url: str):
    script.books = [
        _book(1, 99.0, 101.0),
        _book(2, 99.5, 101.0),
        _book(2, 99.5, 101.0),
        _book(3, 99.0, 100.0),
    ]
    time = Time(script, ahead_ms=7_000)
    got = _open(script, url, time=time).poll("BTC/USDT", 4, 2.0)
    rows = got.rows
    assert rows.bid_px.tolist() == [99.0, 99.5, 99.0] and rows.ask_sz.tolist() == [2.0, 2.0, 2.0]
    assert got.provenance.counts == {"unchanged": 1}
    assert rows.levels is not None and rows.levels.bid_px.shape == (3, 10)
    assert (
        rows.levels.ask_px[0, :3].tolist() == [101.0, 102.0, 103.0]
        and np.isnan(rows.levels.ask_px[0, 3:]).all()
    )
    assert np.diff(rows.ts_ns).tolist() == pytest.approx([2 * S, 4 * S], abs=S // 100)
    assert rows.ts_ns[0] == pytest.approx(script.now_ms * MS, abs=S // 100)
    assert any("time of reception" in note for note in got.provenance.notes)
    assert got.age().at_reception_s == pytest.approx(0.0, abs=0.01)
    assert sum(time.slept) == pytest.approx(6.0, abs=0.01)


def test_an_empty_side_is_nan(script: Script, url: str):
    script.books = [{"lastUpdateId": 1, "bids": [], "asks": [["101", "2"]]}]
    rows = _open(script, url).poll_quotes("BTC/USDT", 1, 0.0)
    assert np.isnan(rows.bid_px[0]) and np.isnan(rows.bid_sz[0]) and rows.ask_px[0] == 101.0


@pytest.mark.parametrize(("n", "every"), [(0, 1.0), (10**9, 1.0), (1, -1.0), (1, float("nan"))])
def test_polling_is_bounded(script: Script, url: str, n: int, every: float):
    with pytest.raises(BadInput, match="poll"):
        _open(script, url).poll_quotes("BTC/USDT", n, every)


def test_there_are_no_quotes_of_the_past(script: Script, url: str):
    with pytest.raises(BadInput, match="no quotes of the past"):
        _open(script, url).quotes("BTC/USDT", T0 * MS, (T0 + MIN) * MS)


# --- faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "recorded"),
    [
        (Fault(500), "500"),
        (Fault(503, b"<html>Service Unavailable</html>"), "503"),
        (Fault(429, b'{"code":-1003,"msg":"Too many requests"}', {"Retry-After": "11"}), "429"),
        (Fault(418, b'{"code":-1003,"msg":"Way too many"}', {"Retry-After": "12"}), "418"),
        (Fault(200, b"<!DOCTYPE html><html>captcha</html>"), "200"),
        (Fault(200, b'[[1788220800000,"99.5","101"'), "200"),
        (Fault(200, b'[[NaN,"1","1","1","1","1"]]'), "200"),
        (Fault(200, b"x" * 5000, cut_after=100), "ChunkedEncodingError"),
    ],
)
def test_what_may_pass_is_repeated_and_recorded(script: Script, url: str, fault: Fault, recorded: str):
    _candles(script, 5)
    time = Time(script)
    venue = _open(script, url, time=time)
    script.fail("/klines", fault)
    got = venue.fetch("bars", "BTC/USDT", T0 * MS, (T0 + 5 * MIN) * MS, interval="1m")
    assert len(got.rows) == 5 and got.provenance.retries == 1
    tried = [a.error or str(a.status) for a in venue.attempts if a.path.endswith("/klines")]
    assert tried == [recorded, "200"]
    asked = fault.headers.get("Retry-After")
    assert sum(time.slept) >= float(asked or 0)


def test_a_server_that_says_nothing_times_out(script: Script, url: str):
    _candles(script, 5)
    venue = _open(script, url, timeout_s=0.2)
    script.fail("/klines", Fault(hang_s=5.0))
    assert len(venue.bars("BTC/USDT", "1m", T0 * MS, (T0 + 5 * MIN) * MS)) == 5
    assert [a.error for a in venue.attempts if a.error] == ["ReadTimeout"]


def test_giving_up_says_where_and_with_what(script: Script, url: str):
    script.fail("/klines", *[Fault(502, b"<html>bad gateway</html>")] * 9)
    with pytest.raises(
        RegimeError, match=r"ccxt:binance /api/v3/klines: given up after 3 attempts, last: HTTP 502"
    ):
        _open(script, url, max_attempts=3).bars("BTC/USDT", "1m", T0 * MS, (T0 + 5 * MIN) * MS)
    assert script.count("/klines") == 3


def test_no_server_at_all(script: Script):
    with serving(Script(now_ms=T0)) as gone:
        pass
    with pytest.raises(RegimeError, match=r"/api/v3/time: given up after 2 attempts, last: no whole answer"):
        _open(script, gone, max_attempts=2).clock_offset()


def test_what_the_venue_refuses_is_not_repeated(script: Script, url: str):
    script.fail("/klines", Fault(400, b'{"code":-1120,"msg":"Invalid interval."}'))
    with pytest.raises(BadInput, match=r"HTTP 400: .*Invalid interval"):
        _open(script, url).bars("BTC/USDT", "1m", T0 * MS, (T0 + 5 * MIN) * MS)
    assert script.count("/klines") == 1


def test_a_redirect_is_not_followed(script: Script, url: str):
    script.fail("/time", Fault(302, b"", {"Location": f"{url}/elsewhere"}))
    with pytest.raises(RegimeError, match="HTTP 302, a redirect"):
        _open(script, url).clock_offset()
    assert script.count("/elsewhere") == 0


def test_the_rate_is_kept_across_pages(script: Script, url: str):
    script.page = 10
    _candles(script, 100)
    time = Time(script)
    venue = _open(script, url, time=time, requests_per_s=2.0, burst=1)
    venue.bars("BTC/USDT", "1m", T0 * MS, (T0 + 100 * MIN) * MS)
    at = [a.at_ns for a in venue.attempts]
    assert len(at) == 12 and min(np.diff(at)) >= 0.49 * S


def test_ccxt_is_given_no_keys(script: Script, url: str):
    venue = _open(script, url)
    assert not venue._client.apiKey and not venue._client.secret
    assert "s3cr3t" not in repr(venue) + str(vars(venue))


def test_our_own_rate_limit_comes_on_top_of_the_librarys(script: Script, url: str):
    assert _open(script, url)._client.enableRateLimit is True


# --- opening ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ccxt:binanse", "binance"),
        ("ccxt:Kraken", "kraken"),
        ("ccxt:", "such as binance"),
        ("ccxt:__class__", "an exchange of ccxt"),
        ("binance", "ccxt:EXCHANGE"),
        ("", "ccxt:EXCHANGE"),
    ],
)
def test_unknown_venues_are_refused_with_what_is_near(script: Script, name: str, says: str):
    time = Time(script)
    with pytest.raises(BadInput, match=says):
        open_venue(name, credentials=None, clock=time, sleep=time.sleep)


@pytest.mark.parametrize(("name", "package"), [("ccxt:binance", "ccxt"), ("alpaca", "alpaca")])
def test_a_missing_package_says_how_to_install_it(
    script: Script, monkeypatch: pytest.MonkeyPatch, name: str, package: str
):
    for module in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    time = Time(script)
    with pytest.raises(BadInput, match=r"pip install 'regime-trading\[venues\]'") as caught:
        open_venue(name, credentials=Credentials(KEY, SECRET), clock=time, sleep=time.sleep)
    assert f"no package '{package}'" in str(caught.value)


@pytest.mark.parametrize(
    "base",
    ["http://example.com", "ftp://127.0.0.1", "https://user:pw@example.com", "https://e.com/?k=v", "x"],
)
def test_a_base_url_that_would_show_keys_is_refused(script: Script, base: str):
    time = Time(script)
    with pytest.raises(BadInput, match="base_url") as caught:
        open_venue("ccxt:binance", credentials=None, clock=time, sleep=time.sleep, base_url=base)
    assert "pw" not in str(caught.value)


def test_symbols_and_intervals_the_exchange_does_not_have(script: Script, url: str):
    venue = _open(script, url)
    with pytest.raises(BadInput, match=r"nearest: BTC/USDT"):
        venue.bars("BTC/USD", "1m", T0 * MS, (T0 + MIN) * MS)
    with pytest.raises(BadInput, match="interval of this exchange"):
        venue.bars("BTC/USDT", "7m", T0 * MS, (T0 + MIN) * MS)
    for wrong in ("1M", "0m", "m", "1 m", "", "-1m"):
        with pytest.raises(BadInput, match="bar interval"):
            venue.bars("BTC/USDT", wrong, T0 * MS, (T0 + MIN) * MS)
    with pytest.raises(BadInput, match="since < until"):
        venue.bars("BTC/USDT", "1m", T0 * MS, T0 * MS)
