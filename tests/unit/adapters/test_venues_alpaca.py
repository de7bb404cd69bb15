"""US equities: the real alpaca-py over real HTTP against a server on this machine."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from tests.venue_server import KEY, MS, SECRET, Fault, Script, serving

from regime_trading.adapters.venues import Credentials, RetryLimits, Venue, open_venue
from regime_trading.core.errors import BadInput, RegimeError

pytest.importorskip("alpaca.data")

S = 1_000_000_000
LIMITS = RetryLimits(requests_per_s=1e6, burst=1000, base_s=0.1, cap_s=0.2, timeout_s=5.0)


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


class Time:
    def __init__(self, script: Script, ahead_ms: int = 0) -> None:
        self.script, self.ahead_ns, self.slept = script, ahead_ms * MS, list[float]()

    def now_ns(self) -> int:
        return self.script.now_ms * MS + self.ahead_ns + round(sum(self.slept) * S)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def script() -> Script:
    return Script(now_ms=ns("2026-03-05T12:00") // MS)


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    with serving(script) as base:
        yield base


def _open(
    script: Script, url: str, name: str = "alpaca", time: Time | None = None, keys: Any = None, **limits: Any
) -> Venue:
    time = time or Time(script)
    return open_venue(
        name,
        credentials=keys or Credentials(KEY, SECRET),
        clock=time,
        sleep=time.sleep,
        base_url=url,
        limits=replace(LIMITS, **limits),
        rng=np.random.default_rng(7),
    )


def bar(t: str, c: float = 100.0, **cells: Any) -> dict[str, Any]:
    return {"t": t, "o": c - 0.5, "h": c + 1, "l": c - 1, "c": c, "v": 1200, "n": 9, "vw": c} | cells


def quote(t: str, bp: float = 99.0, ap: float = 101.0, bs: float = 3, az: float = 4, **more: Any) -> Any:
    return {"t": t, "bx": "V", "bp": bp, "bs": bs, "ax": "V", "ap": ap, "as": az, "c": ["R"], "z": "C"} | more


def trade(t: str, i: int, p: float = 100.0, s: float = 10, c: Any = ("@",), x: str = "V", **more: Any) -> Any:
    return {"t": t, "x": x, "p": p, "s": s, "c": list(c), "i": i, "z": "C"} | more


DAY = (ns("2026-03-03"), ns("2026-03-04"))


# --- bars -------------------------------------------------------------------------------------------------


def test_daily_bars_are_complete_at_the_close_also_on_a_half_day_and_in_summer(script: Script, url: str):
    script.stock["bars"] = [
        bar("2025-07-07T04:00:00Z", 100.0),
        bar("2025-11-26T05:00:00Z", 101.0),
        bar("2025-11-28T05:00:00Z", 102.0),
    ]
    rows = _open(script, url).bars("AAPL", "1d", ns("2025-07-01"), ns("2025-12-31"))
    assert rows.ts_ns.tolist() == [
        ns("2025-07-07T20:00"),
        ns("2025-11-26T21:00"),
        ns("2025-11-28T18:00"),
    ]
    asked = next(q for path, q in script.asked if path.endswith("/bars"))
    assert (asked["adjustment"], asked["feed"], asked["timeframe"]) == ("raw", "sip", "1Day")


def test_a_daily_bar_is_taken_when_extended_hours_are_over(script: Script, url: str):
    script.stock["bars"] = [bar("2026-03-02T05:00:00Z"), bar("2026-03-03T05:00:00Z")]
    asked = ("bars", "AAPL", ns("2026-03-02"), ns("2026-03-10"))
    script.now_ms = ns("2026-03-04T00:59") // MS  # closed at 21:00
    got = _open(script, url).fetch(*asked, interval="1d")
    assert len(got.rows) == 1 and got.provenance.counts == {"unfinished": 1}
    assert got.provenance.covered_until_ns < ns("2026-03-03T21:00")
    script.now_ms = ns("2026-03-04T01:01") // MS
    assert len(_open(script, url).fetch(*asked, interval="1d").rows) == 2


def test_intraday_bars_outside_the_regular_session_are_counted_and_left_out(script: Script, url: str):
    opens = ["14:25", "14:29", "14:30", "14:31", "20:59", "21:00"]
    script.stock["bars"] = [bar(f"2026-03-03T{t}:00Z") for t in opens]
    got = _open(script, url).fetch("bars", "AAPL", *DAY, interval="1m")
    assert got.rows.ts_ns.tolist() == [ns(f"2026-03-03T{t}") for t in ("14:31", "14:32", "21:00")]
    assert got.provenance.counts == {"outside_session": 3}


def test_bars_out_of_order_are_sorted_and_counted_over_pages(script: Script, url: str):
    script.page = 2
    script.stock["bars"] = [bar(f"2026-03-03T15:0{m}:00Z", 100.0 + m) for m in (0, 2, 1, 3)]
    got = _open(script, url).fetch("bars", "AAPL", *DAY, interval="1m")
    assert got.rows.close.tolist() == [100.0, 101.0, 102.0, 103.0]
    assert got.provenance.counts == {"out_of_order": 1} and got.provenance.pages == 2


# --- quotes -----------------------------------------------------------------------------------------------


def test_quotes_keep_nanoseconds_and_sizes_become_shares(script: Script, url: str):
    script.page = 3
    times = [f"2025-10-31T15:00:00.{k:09d}Z" for k in range(123456789, 123456796)]
    script.stock["quotes"] = [quote(t, bs=k) for k, t in enumerate(times)] + [
        quote("2025-11-03T05:00:00Z", bs=700)
    ]
    got = _open(script, url).fetch("quotes", "AAPL", ns("2025-10-31"), ns("2025-11-04"))
    assert got.rows.ts_ns[:7].tolist() == [ns("2025-10-31T15:00:00") + 123456789 + k for k in range(7)]
    assert got.rows.bid_sz.tolist() == [0, 100, 200, 300, 400, 500, 600, 700]
    assert got.provenance.pages == 3 and got.provenance.counts == {}
    assert any("round lots" in note for note in got.provenance.notes)


def test_the_stretch_is_cut_to_the_nanosecond(script: Script, url: str):
    script.stock["quotes"] = [quote(f"2026-03-03T15:00:00.00000000{k}Z") for k in range(8)]
    at = ns("2026-03-03T15:00:00")
    assert _open(script, url).quotes("AAPL", at + 2, at + 6).ts_ns.tolist() == [at + k for k in range(2, 6)]


def test_rows_sent_again_at_a_seam_are_dropped_and_equal_times_kept(script: Script, url: str):
    t = "2026-03-03T15:00:00.5Z"
    one, two, last = quote(t, bs=1), quote(t, bs=2), quote("2026-03-03T15:00:01Z", bs=9)
    script.page = 2
    script.stock["quotes"] = [one, two, one, two, one, last]  # the second page repeats the first
    got = _open(script, url).fetch("quotes", "AAPL", *DAY)
    assert got.rows.bid_sz.tolist() == [1, 2, 1, 9]
    assert got.provenance.counts == {"repeated": 2}


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5, 1000])
def test_rows_do_not_depend_on_where_pages_begin(script: Script, url: str, page: int):
    t = "2026-03-03T15:00:00.5Z"
    script.page = page
    script.stock["quotes"] = [quote(t, bs=k) for k in (1, 1, 2, 3, 3, 3, 1, 4)]
    got = _open(script, url).fetch("quotes", "AAPL", *DAY)
    assert got.rows.bid_sz.tolist() == [1, 2, 3, 1, 4]
    assert got.provenance.counts == {"repeated": 3}


def test_a_missing_side_is_nan_and_wrong_rows_stay_for_the_tape_to_count(script: Script, url: str):
    t = "2026-03-03T15:00:00Z"
    script.stock["quotes"] = [quote(t, bp=0, bs=0), quote(t, bs=-3), quote(t, bp=102.0)]
    got = _open(script, url).fetch("quotes", "AAPL", *DAY)
    assert np.isnan(got.rows.bid_px[0]) and np.isnan(got.rows.bid_sz[0]) and got.rows.ask_px[0] == 101.0
    assert got.rows.bid_sz[1] == -3 and got.rows.bid_px[2] == 102.0
    assert got.provenance.counts == {"negative_size": 1}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (quote("2026-03-03T15:00:00Z", bp="NaN"), "a number as bid price"),
        (quote("2026-03-03T15:00:00Z", ap=None), "a number as ask price"),
        (quote("2026-03-03T15:00:00Z", bs=True), "a number as bid size"),
    ],
)
def test_cells_that_are_no_numbers_are_an_error(script: Script, url: str, row: Any, says: str):
    script.stock["quotes"] = [row]
    with pytest.raises(RegimeError, match=says):
        _open(script, url).quotes("AAPL", *DAY)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"quotes":{"AAPL":[{"t":"2026-03-03 15:00:00","bp":1}]},"next_page_token":null}', "RFC 3339"),
        (b'{"quotes":{"AAPL":[{"bp":1}]},"next_page_token":null}', "RFC 3339"),
        (b'{"quotes":{"AAPL":[7]},"next_page_token":null}', "an object"),
        (b'{"quotes":{"AAPL":{"t":1}},"next_page_token":null}', "a list of quotes"),
        (b"[1,2]", "an object"),
        (b'{"quotes":{"AAPL":[]},"next_page_token":12}', "a new page token"),
    ],
)
def test_answers_of_another_shape_are_an_error(script: Script, url: str, body: bytes, says: str):
    script.fail("/quotes", Fault(200, body))
    with pytest.raises(RegimeError, match=says):
        _open(script, url).quotes("AAPL", *DAY)


def test_a_token_that_comes_again_ends_in_an_error_not_in_a_circle(script: Script, url: str):
    script.stuck_token = True
    script.stock["quotes"] = [quote("2026-03-03T15:00:00Z")]
    with pytest.raises(RegimeError, match="used before"):
        _open(script, url).quotes("AAPL", *DAY)
    assert script.count("/quotes") == 2


def test_pages_are_bounded(script: Script, url: str):
    script.page = 1
    script.stock["quotes"] = [quote(f"2026-03-03T15:00:0{k}Z") for k in range(8)]
    with pytest.raises(RegimeError, match="more than 3 pages"):
        _open(script, url, max_pages=3).quotes("AAPL", *DAY)


def test_no_rows(script: Script, url: str):
    got = _open(script, url).fetch("quotes", "AAPL", *DAY)
    assert len(got.rows) == 0
    script.fail("/trades", Fault(200, b'{"trades":null,"next_page_token":null}'))
    assert len(_open(script, url).trades("AAPL", *DAY)) == 0


def test_polled_quotes_have_their_own_time(script: Script, url: str):
    script.latest = [quote(f"2026-03-05T11:59:5{k}.25Z", bs=k) for k in (1, 1, 3, 2)]
    time = Time(script, ahead_ms=-60_000)
    got = _open(script, url, "alpaca:iex", time=time).poll("AAPL", 4, 1.0)
    assert got.rows.bid_sz.tolist() == [1, 3]
    assert got.provenance.counts == {"out_of_order": 1, "unchanged": 1}
    clock = got.provenance.clock
    assert clock.source == "Date header" and clock.offset_ns == pytest.approx(60 * S, abs=S)
    age = got.age()  # received three seconds of polling after noon, event 6.75 s before noon
    assert age.at_reception_s == pytest.approx(9.75, abs=1.0) and age.uncertainty_s >= 0.5


# --- trades -----------------------------------------------------------------------------------------------


def test_sale_conditions_decide_what_is_continuous(script: Script, url: str):
    codes = [["@"], ["@", "I"], [" ", "F", "I"], ["@", "O"], ["6"], ["@", "T"], ["4"], ["?"], [], ["@", "M"]]
    script.stock["trades"] = [trade(f"2026-03-03T15:00:0{k}Z", k, c=c) for k, c in enumerate(codes)]
    got = _open(script, url).fetch("trades", "AAPL", *DAY)
    assert got.rows.continuous.tolist() == [True, True, True, False, False, False, False, False, True, False]
    assert (got.rows.aggressor == 0).all() and (got.rows.after_quote == -1).all()
    assert got.provenance.counts == {"not_continuous": 6}


def test_off_exchange_canceled_repeated_and_empty_trades(script: Script, url: str):
    t = "2026-03-03T15:00:00Z"
    script.stock["trades"] = [
        trade(t, 1),
        trade(t, 2, x="D"),
        trade(t, 3, u="canceled"),
        trade(t, 4, u="incorrect"),
        trade(t, 5, u="corrected"),
        trade(t, 1),
        trade(t, 6, s=0),
    ]
    got = _open(script, url).fetch("trades", "AAPL", *DAY)
    assert got.rows.visible.tolist() == [True, False, True]
    assert got.provenance.counts == {"canceled": 2, "duplicates": 1, "non_positive": 1, "off_exchange": 1}
    script.stock["trades"].append(trade(t, 1, p=5.0))
    with pytest.raises(RegimeError, match="one trade per id"):
        _open(script, url).trades("AAPL", *DAY)


# --- faults and secrets -----------------------------------------------------------------------------------


def test_a_fault_in_the_middle_repeats_its_page_only(script: Script, url: str):
    script.page = 2
    script.stock["trades"] = [trade(f"2026-03-03T15:00:0{k}Z", k) for k in range(6)]
    time = Time(script)
    venue = _open(script, url, time=time)
    seen: list[int] = []

    def progress(p: Any) -> None:
        seen.append(p.rows)
        if len(seen) == 1:
            script.fail(
                "/trades", Fault(429, b"{}", {"Retry-After": "9"}), Fault(200, b"{" * 999, cut_after=9)
            )

    got = venue.fetch("trades", "AAPL", *DAY, progress=progress)
    assert len(got.rows) == 6 and seen == [2, 4, 6]
    assert script.count("/trades") == 5 and got.provenance.retries == 2
    assert got.provenance.requests == 6 and sum(time.slept) >= 9.0


def test_retry_after_may_be_a_date(script: Script, url: str):
    script.stock["trades"] = [trade("2026-03-03T15:00:00Z", 1)]
    time = Time(script)
    script.fail("/trades", Fault(503, b"", {"Retry-After": "Thu, 05 Mar 2026 12:00:42 GMT"}))
    assert len(_open(script, url, time=time).trades("AAPL", *DAY)) == 1
    assert 42.0 <= sum(time.slept) <= 42.5


@pytest.mark.parametrize("how", ["echo", "wrong key", "server error", "broken"])
def test_no_secret_in_any_text(script: Script, url: str, how: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    key, secret = (KEY, SECRET) if how != "wrong key" else ("AKWRONG-KEY-99", "wrong-secret-abcdef")
    venue = _open(script, url, keys=Credentials(key, secret), max_attempts=2)
    script.echo_keys = how == "echo"
    if how == "server error":
        script.fail("/exchanges", *[Fault(500, f"{key} {secret}".encode())] * 2)
    if how == "broken":
        script.fail("/exchanges", *[Fault(200, f'"{key}'.encode(), cut_after=3)] * 2)
    with pytest.raises(RegimeError) as caught:
        venue.quotes("AAPL", *DAY)
    texts = [
        "".join(traceback.format_exception(caught.value)),
        repr(caught.value.__dict__),
        repr(venue),
        repr(venue.attempts),
        caplog.text,
    ]
    for text in texts:
        assert key not in text and secret not in text
    if how in ("echo", "wrong key"):
        assert (
            isinstance(caught.value, BadInput)
            and "HTTP 403" in str(caught.value)
            and "***" in str(caught.value)
        )


def test_no_secret_in_provenance(script: Script, url: str):
    script.stock["quotes"] = [quote("2026-03-03T15:00:00Z")]
    got = _open(script, url).fetch("quotes", "AAPL", *DAY)
    text = json.dumps(asdict(got.provenance)) + repr(got.provenance)
    assert KEY not in text and SECRET not in text
    assert got.provenance.library == "alpaca-py" and got.provenance.library_version[0].isdigit()
    assert (got.provenance.venue, got.provenance.endpoint) == ("alpaca", "/v2/stocks/quotes")


@pytest.mark.parametrize(
    ("keys", "missing"),
    [
        (None, "no ALPACA_API_KEY and no ALPACA_API_SECRET"),
        (Credentials("", SECRET), "no ALPACA_API_KEY"),
        (Credentials(KEY, " "), "no ALPACA_API_SECRET"),
    ],
)
def test_missing_keys_are_named(script: Script, keys: Credentials | None, missing: str):
    time = Time(script)
    with pytest.raises(BadInput, match=f"found {missing}$") as caught:
        open_venue("alpaca", credentials=keys, clock=time, sleep=time.sleep)
    assert SECRET not in str(caught.value) and KEY not in str(caught.value)


def test_feeds_symbols_and_intervals_that_are_none(script: Script, url: str):
    with pytest.raises(BadInput, match="nearest: iex"):
        _open(script, url, "alpaca:iexx")
    with pytest.raises(BadInput, match="a feed of Alpaca"):
        _open(script, url, "alpaca:")
    venue = _open(script, url)
    for symbol in ("aapl", "", "AAPL,MSFT", "BTC/USD", "A" * 30):
        with pytest.raises(BadInput, match="US equity symbol"):
            venue.trades(symbol, *DAY)
    for interval in ("60m", "2d", "1w", "5s", "24h"):
        with pytest.raises(BadInput, match="1m to 59m"):
            venue.bars("AAPL", interval, *DAY)
