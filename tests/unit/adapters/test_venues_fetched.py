"""Files from a venue: whole or not there, growing by stretches that must agree, read back by the readers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from tests.venue_server import KEY, MS, SECRET, Fault, Script, agg_trade, kline, serving

from regime_trading.adapters.market_data.files import load_path
from regime_trading.adapters.tape.registry import open_tape
from regime_trading.adapters.venues import (
    Credentials,
    RetryLimits,
    Venue,
    fetch_to_folder,
    file_name,
    open_venue,
)
from regime_trading.core.errors import BadInput, NotDurable, RegimeError

ccxt = pytest.importorskip("ccxt")
pytest.importorskip("alpaca.data")

S = 1_000_000_000
MIN = 60_000
T0 = 1_788_220_800_000
LIMITS = RetryLimits(requests_per_s=1e6, burst=1000, base_s=0.1, cap_s=0.2, max_attempts=2)


class Time:
    def __init__(self, script: Script) -> None:
        self.script, self.slept = script, list[float]()

    def now_ns(self) -> int:
        return self.script.now_ms * MS + round(sum(self.slept) * S)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def script() -> Script:
    script = Script(now_ms=T0 + 600 * MIN)
    script.klines = [kline(T0 + k * MIN, MIN, 100.0 + k) for k in range(100)]
    script.agg_trades = [agg_trade(k, T0 + k * 777, maker=k % 3 == 0) for k in range(400)]
    return script


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    with serving(script) as base:
        yield base


@pytest.fixture(autouse=True)
def _no_library_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda *_: None)


@pytest.fixture
def venue(script: Script, url: str) -> Venue:
    return _open(script, url)


def _open(script: Script, url: str, name: str = "ccxt:binance") -> Venue:
    time = Time(script)
    return open_venue(
        name, credentials=Credentials(KEY, SECRET), clock=time, sleep=time.sleep, base_url=url, limits=LIMITS
    )


def _bars(venue: Venue, folder: Path, begin: int, end: int, **options: Any) -> Any:
    """Minutes ``begin`` to ``end`` after T0."""
    asked = ((T0 + begin * MIN) * MS, (T0 + end * MIN) * MS)
    return fetch_to_folder(venue, "BTC/USDT", folder, {"bars"}, "1m", *asked, **options)["bars"]


def test_files_have_the_canonical_columns_and_are_read_by_the_readers(venue: Venue, tmp_path: Path):
    until = (T0 + 100 * MIN) * MS
    reports = fetch_to_folder(venue, "BTC/USDT", tmp_path, {"bars", "trades"}, "1m", T0 * MS, until)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == [
        "bars/BTC-USDT.parquet",
        "provenance/BTC-USDT.bars.json",
        "provenance/BTC-USDT.trades.json",
        "trades/BTC-USDT.parquet",
    ]
    frame = pl.read_parquet(reports["bars"].path)
    assert frame.columns == ["ts_event", "open", "high", "low", "close", "volume"]
    assert frame["ts_event"].dtype == pl.Datetime("ns", "UTC")
    loaded = load_path(tmp_path / "bars").bars
    assert loaded.symbols == ("BTC-USDT",)
    np.testing.assert_array_equal(loaded.ts_ns, [(T0 + k * MIN) * MS for k in range(1, 101)])
    np.testing.assert_array_equal(loaded.close[:, 0], [100.0 + k for k in range(100)])
    tape = open_tape(reports["trades"].path)
    trades = [chunk.trades for chunk in tape.chunks()]
    assert sum(map(len, trades)) == 400 and tape.info.has_aggressor
    assert trades[0].aggressor[:4].tolist() == [-1, 1, 1, -1]


def test_the_record_names_symbol_file_and_source(venue: Venue, tmp_path: Path):
    report = _bars(venue, tmp_path, 0, 10)
    record = json.loads(report.provenance_path.read_bytes())
    assert (record["symbol"], record["file"], record["venue"]) == (
        "BTC/USDT",
        "bars/BTC-USDT.parquet",
        "ccxt:binance",
    )
    fetched = record["fetches"][0]
    assert fetched["rows"] == 10 == record["rows"] and len(fetched["content_sha256"]) == 64
    assert fetched["library"] == "ccxt" and fetched["clock"]["source"] == "server time"
    assert KEY not in report.provenance_path.read_text() and SECRET not in report.provenance_path.read_text()


def test_a_file_grows_and_what_is_there_is_not_asked_again(script: Script, venue: Venue, tmp_path: Path):
    assert _bars(venue, tmp_path, 10, 20).added == 10
    before = len(script.asked)
    again = _bars(venue, tmp_path, 12, 18)
    assert again.added == 0 and again.fetches == () and len(script.asked) == before
    grown = _bars(venue, tmp_path, 0, 40)
    assert (grown.added, grown.rows) == (30, 40)
    assert grown.coverage == ((T0 * MS, (T0 + 40 * MIN) * MS),)
    assert load_path(tmp_path / "bars").bars.close[:, 0].tolist() == [100.0 + k for k in range(40)]


def test_a_hole_between_stretches_shows_and_can_be_filled(venue: Venue, tmp_path: Path):
    _bars(venue, tmp_path, 0, 10)
    apart = _bars(venue, tmp_path, 20, 30)
    assert len(apart.coverage) == 2 and apart.rows == 20
    whole = _bars(venue, tmp_path, 0, 30)
    assert len(whole.coverage) == 1 and (whole.added, whole.rows) == (10, 30)


def test_many_stretches_give_the_same_file_as_one(venue: Venue, tmp_path: Path):
    for begin, end in ((50, 60), (0, 7), (3, 55), (58, 100)):
        _bars(venue, tmp_path / "many", begin, end)
    _bars(venue, tmp_path / "one", 0, 100)
    _bars(venue, tmp_path / "slices", 0, 100, slice_ns=7 * MIN * MS)
    files = [tmp_path / name / "bars/BTC-USDT.parquet" for name in ("many", "one", "slices")]
    assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes()


@pytest.mark.parametrize("step", [30_000, 77_777])
def test_trades_in_slices_are_the_same_as_at_once(script: Script, venue: Venue, tmp_path: Path, step: int):
    script.agg_trades = [agg_trade(k, T0 + (k // 5) * 777) for k in range(100)]  # five to a millisecond
    whole = venue.trades("BTC/USDT", T0 * MS, (T0 + 5 * MIN) * MS)
    for begin in range(0, 5 * MIN, step):
        asked = ((T0 + begin) * MS, (T0 + begin + step) * MS)
        try:
            fetch_to_folder(venue, "BTC/USDT", tmp_path, {"trades"}, "1m", *asked)
        except RegimeError:
            assert not (tmp_path / "trades").exists()
    frame = pl.read_parquet(tmp_path / "trades/BTC-USDT.parquet")
    assert frame["ts_event"].cast(pl.Int64).to_list() == whole.ts_ns.tolist()


def test_values_that_changed_are_refused_and_the_file_stays(script: Script, venue: Venue, tmp_path: Path):
    report = _bars(venue, tmp_path, 0, 20)
    before = report.path.read_bytes(), report.provenance_path.read_bytes()
    script.klines[19] = kline(T0 + 19 * MIN, MIN, 500.0)
    with pytest.raises(BadInput, match=r"open 118\.5 and now 499\.5 at 2026-09-01T00:20") as caught:
        _bars(venue, tmp_path, 0, 30)
    assert str(report.path) in str(caught.value)
    assert (report.path.read_bytes(), report.provenance_path.read_bytes()) == before


@pytest.mark.parametrize("change", ["gone", "new"])
def test_rows_that_vanish_or_appear_are_refused(script: Script, venue: Venue, tmp_path: Path, change: str):
    held = script.klines[5]
    if change == "new":
        del script.klines[5]
    _bars(venue, tmp_path, 0, 20)
    if change == "new":
        script.klines.insert(5, held)
    else:
        del script.klines[5]
    assert _bars(venue, tmp_path, 0, 20).added == 0  # covered: not asked
    with pytest.raises(BadInput, match="and now"):
        _bars(venue, tmp_path, 0, 20, recheck=True)


def test_a_file_without_its_record_is_compared_row_by_row(script: Script, venue: Venue, tmp_path: Path):
    report = _bars(venue, tmp_path, 0, 20)
    report.provenance_path.unlink()
    again = _bars(venue, tmp_path, 0, 30, slice_ns=7 * MIN * MS)
    assert (again.added, again.rows) == (10, 30)
    report.provenance_path.unlink()
    script.klines[2] = kline(T0 + 2 * MIN, MIN, 9.0)
    with pytest.raises(BadInput, match=r"open 101\.5 and now 8\.5"):
        _bars(venue, tmp_path, 0, 30)


def test_a_crash_between_data_and_record_mends_itself(
    venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _bars(venue, tmp_path, 0, 10)
    from regime_trading.adapters.artifacts import LocalArtifacts

    real = LocalArtifacts.write_bytes

    def crash(self: LocalArtifacts, relative: str, data: bytes) -> Path:
        if relative.endswith(".json"):
            raise NotDurable("disk full")
        return real(self, relative, data)

    monkeypatch.setattr(LocalArtifacts, "write_bytes", crash)
    with pytest.raises(NotDurable):
        _bars(venue, tmp_path, 0, 20)
    monkeypatch.setattr(LocalArtifacts, "write_bytes", real)
    after = _bars(venue, tmp_path, 0, 20)
    assert (after.rows, len(after.coverage)) == (20, 1)


def test_a_record_that_speaks_of_another_file_is_not_believed(venue: Venue, tmp_path: Path):
    report = _bars(venue, tmp_path, 0, 20)
    whole = report.path.read_bytes()
    table = pq.read_table(report.path)
    pq.write_table(table.filter(np.arange(20) != 5), report.path)
    again = _bars(venue, tmp_path, 0, 20)
    assert (again.added, again.rows) == (1, 20)
    assert report.path.read_bytes() == whole


def test_an_interruption_keeps_whole_slices_and_goes_on_from_there(
    script: Script, venue: Venue, tmp_path: Path
):
    pages = []

    def progress(p: Any) -> None:
        pages.append(p)
        if len(pages) == 3:
            script.fail("/klines", Fault(500), Fault(500))

    with pytest.raises(RegimeError, match="given up after 2 attempts"):
        _bars(venue, tmp_path, 0, 100, slice_ns=20 * MIN * MS, progress=progress)
    assert pl.read_parquet(tmp_path / "bars/BTC-USDT.parquet").height >= 20
    assert not list(tmp_path.rglob(".tmp*"))
    script.asked.clear()
    assert _bars(venue, tmp_path, 0, 100).rows == 100
    starts = [int(q["startTime"]) for path, q in script.asked if path.endswith("klines")]
    assert min(starts) > T0


def test_nothing_is_written_where_there_is_nothing_or_the_venue_fails(
    script: Script, venue: Venue, tmp_path: Path
):
    with pytest.raises(RegimeError, match="no bars of BTC/USDT between 2026-09-01T03:20"):
        _bars(venue, tmp_path, 200, 210)
    script.fail("/klines", Fault(500), Fault(500))
    with pytest.raises(RegimeError, match="given up"):
        _bars(venue, tmp_path, 0, 10)
    assert list(tmp_path.rglob("*.*")) == []


def test_growing_up_to_now_takes_what_is_over_and_later_the_rest(
    script: Script, venue: Venue, tmp_path: Path
):
    far = 10_000
    script.now_ms = T0 + 50 * MIN + 30_000
    assert _bars(venue, tmp_path, 0, far).rows == 50
    script.now_ms = T0 + 52 * MIN + 10_000
    assert _bars(venue, tmp_path, 0, far).rows == 52
    script.now_ms = T0 + 300 * MIN
    assert _bars(venue, tmp_path, 0, far).rows == 100


def test_trades_of_the_last_seconds_wait_for_the_next_time(script: Script, venue: Venue, tmp_path: Path):
    def trades() -> int:
        asked = (T0 * MS, (T0 + 60 * MIN) * MS)
        return fetch_to_folder(venue, "BTC/USDT", tmp_path, {"trades"}, "1m", *asked)["trades"].rows

    script.now_ms = T0 + 100_000
    assert trades() == sum(t["T"] < T0 + 95_000 for t in script.agg_trades)
    script.now_ms = T0 + 3600_000
    assert trades() == 400


def test_the_file_of_another_venue_interval_or_symbol_is_refused(
    script: Script, url: str, venue: Venue, tmp_path: Path
):
    _bars(venue, tmp_path, 0, 10)
    asked = (T0 * MS, (T0 + 10 * MIN) * MS)
    with pytest.raises(BadInput, match="interval 1m"):
        fetch_to_folder(venue, "BTC/USDT", tmp_path, {"bars"}, "5m", *asked)
    with pytest.raises(BadInput, match="symbol BTC/USDT"):
        fetch_to_folder(venue, "BTC-USDT", tmp_path, {"bars"}, "1m", *asked)
    with pytest.raises(BadInput, match="venue ccxt:binance"):
        fetch_to_folder(_open(script, url, "ccxt:kraken"), "BTC/USDT", tmp_path, {"bars"}, "1m", *asked)


def test_quotes_of_an_exchange_are_polled_into_the_file(script: Script, venue: Venue, tmp_path: Path):
    script.books = [
        {"lastUpdateId": k, "bids": [[str(99 + k), "1"]], "asks": [[str(101 + k), "2"]]} for k in range(8)
    ]
    asked = (T0 * MS, (T0 + MIN) * MS)
    with pytest.raises(BadInput, match="no quotes of the past"):
        fetch_to_folder(venue, "BTC/USDT", tmp_path, {"quotes"}, "1m", *asked)
    first = fetch_to_folder(venue, "BTC/USDT", tmp_path, {"quotes"}, "1m", *asked, polls=3, every_s=1.0)
    again = fetch_to_folder(venue, "BTC/USDT", tmp_path, {"quotes"}, "1m", *asked, polls=1, every_s=1.0)
    assert (first["quotes"].rows, again["quotes"].rows) == (3, 3)  # no later than what is there
    fetches = json.loads(again["quotes"].provenance_path.read_bytes())["fetches"]
    assert fetches[-1]["counts"] == {"not_later_than_file": 1}
    script.now_ms += 5_000
    again = fetch_to_folder(venue, "BTC/USDT", tmp_path, {"quotes"}, "1m", *asked, polls=2, every_s=1.0)
    assert again["quotes"].rows == 5
    frame = pl.read_parquet(again["quotes"].path)
    assert frame["bid_px"].to_list() == [99.0, 100.0, 101.0, 103.0, 104.0]
    assert frame["ts_event"].is_sorted()


def test_stock_quotes_and_trades(script: Script, url: str, tmp_path: Path):
    at = "2026-03-03T15:00:00.000000001Z"
    side = {"bx": "V", "ax": "V", "c": ["R"], "z": "C"}
    script.stock["quotes"] = [{"t": at, "bp": 99.0, "bs": k, "ap": 101.0, "as": 4, **side} for k in (1, 2, 1)]
    script.stock["trades"] = [
        {"t": at, "x": x, "p": 100.0, "s": 5, "c": c, "i": i, "z": "C"}
        for i, (x, c) in enumerate([("V", ["@"]), ("D", ["@"]), ("V", ["6"])])
    ]
    day = tuple(int(np.datetime64(d, "ns").astype(np.int64)) for d in ("2026-03-03", "2026-03-04"))
    alpaca = _open(script, url, "alpaca:iex")
    reports = fetch_to_folder(alpaca, "BRK.B", tmp_path, {"quotes", "trades"}, "1m", *day)
    assert pl.read_parquet(reports["quotes"].path)["bid_sz"].to_list() == [1.0, 2.0, 1.0]
    frame = pl.read_parquet(tmp_path / "trades/BRK.B.parquet")
    assert frame["aggressor"].to_list() == ["N"] * 3
    assert frame["visible"].to_list() == [True, False, True]
    assert frame["continuous"].to_list() == [True, True, False]
    fetch_to_folder(alpaca, "BRK.B", tmp_path, {"quotes", "trades"}, "1m", *day, recheck=True)
    script.stock["quotes"].pop()
    with pytest.raises(BadInput, match="3 rows before and 2 now"):
        fetch_to_folder(alpaca, "BRK.B", tmp_path, {"quotes"}, "1m", *day, recheck=True)


def test_daily_stock_bars_grow_day_by_day(script: Script, url: str, tmp_path: Path):
    days = ["2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06"]
    cells = {"o": 10.0, "h": 11.0, "l": 9.0, "c": 10.5, "v": 100}
    script.stock["bars"] = [{"t": f"{d}T05:00:00Z", **cells} for d in days]
    alpaca = _open(script, url, "alpaca")
    since, until = (int(np.datetime64(d, "ns").astype(np.int64)) for d in ("2026-03-01", "2026-04-01"))
    rows = []
    for hour in range(2, 130, 5):
        script.now_ms = (since + 2 * 86_400 * S) // MS + hour * 3_600_000
        report = fetch_to_folder(alpaca, "AAPL", tmp_path, {"bars"}, "1d", since, until)["bars"]
        rows.append(report.rows)
    assert rows == sorted(rows) and rows[0] == 1 and rows[-1] == 5 and len(report.coverage) == 1


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("BTC/USDT", "BTC-USDT"), ("BTC/USDT:USDT", "BTC-USDT-USDT"), ("BRK.B", "BRK.B"), ("^GSPC", "^GSPC")],
)
def test_file_names(symbol: str, name: str):
    assert file_name(symbol) == name


@pytest.mark.parametrize("symbol", ["", "../x", "/etc", ".hidden", "-x", "A" * 41])
def test_symbols_that_are_no_names(symbol: str):
    with pytest.raises(BadInput, match="symbol"):
        file_name(symbol)


def test_kinds_are_checked(venue: Venue, tmp_path: Path):
    for kinds in (set(), {"ticks"}):
        with pytest.raises(BadInput, match="kinds"):
            fetch_to_folder(venue, "BTC/USDT", tmp_path, kinds, "1m", T0 * MS, (T0 + 1) * MS)
