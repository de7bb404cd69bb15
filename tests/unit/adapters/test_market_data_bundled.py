"""Prices that ship inside skfolio and arch: the same numbers as their own loaders, on session closes, offline."""

from __future__ import annotations

import datetime as dt
import gzip
import socket
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from regime_trading.adapters.market_data import bundled, open_source
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import HealthStatus, Provides

NEW_YORK = ZoneInfo("America/New_York")


def local(ts_ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ts_ns // 10**9, tz=NEW_YORK)


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


@pytest.fixture(scope="module")
def stocks():
    return open_source("bundled")


def test_twenty_companies_and_the_index_equal_skfolios_own_loader(stocks):
    from skfolio.datasets import load_sp500_dataset, load_sp500_index

    theirs = load_sp500_dataset().assign(SPX=load_sp500_index()["SP500"])
    window = stocks.window()
    assert window.symbols == tuple(sorted(theirs.columns))
    assert len(window.symbols) == 21
    assert np.array_equal(window.close, theirs[list(window.symbols)].to_numpy())
    assert [local(t).date() for t in window.ts_ns.tolist()] == theirs.index.date.tolist()


@pytest.mark.parametrize(
    ("name", "symbol", "module"), [("sp500", "SPX", "sp500"), ("nasdaq", "IXIC", "nasdaq")]
)
def test_index_bars_equal_archs_own_loader(name, symbol, module):
    import importlib

    theirs = importlib.import_module(f"arch.data.{module}").load()
    window = open_source(f"bundled:{name}").window()
    assert window.symbols == (symbol,)
    for ours, column in (
        (window.open, "Open"),
        (window.high, "High"),
        (window.low, "Low"),
        (window.close, "Close"),
    ):
        assert np.array_equal(ours[:, 0], theirs[column].to_numpy())
    volume = theirs["Volume"].to_numpy(dtype=float)
    assert np.array_equal(window.volume[:, 0], np.where(volume == 0, np.nan, volume), equal_nan=True)


def test_the_nasdaq_file_is_the_composite_not_the_100():
    window = open_source("bundled:nasdaq").window(until=ns("2000-03-11"))
    assert window.close[-1, 0] == pytest.approx(5048.62, abs=0.01)  # the Composite's close of 10 March 2000


def test_dates_are_session_closes_with_half_days(stocks):
    closes = {local(t).date(): local(t).time() for t in stocks.window().ts_ns.tolist()}
    assert closes[dt.date(1990, 1, 2)] == dt.time(16)
    assert closes[dt.date(2021, 11, 26)] == dt.time(13)
    assert closes[dt.date(2022, 7, 1)] == dt.time(16)


def test_sources_declare_what_they_provide(stocks):
    assert stocks.provides == {Provides.CLOSE}
    assert open_source("bundled:sp500").provides == {Provides.CLOSE, Provides.OHLC, Provides.VOLUME}
    assert stocks.window().open is stocks.window().volume is None


def test_health_is_clean_and_states_survivorship(stocks):
    health = stocks.health()
    assert {s.status for s in health.symbols} == {HealthStatus.OK}
    assert {s.completeness for s in health.symbols} == {1.0}
    assert (health.bar_s, health.calendar, health.source) == (86_400, "XNYS", "bundled")
    assert any("20 companies still listed in 2022" in note for note in health.notes)
    assert sum(s.bars for s in health.symbols) == 8313 * 21


def test_the_stale_spring_of_rrc_in_1990_is_seen_then_and_forgotten_later(stocks):
    def of(text: str):
        (record,) = stocks.health(until=ns(text), symbols=["RRC"]).symbols
        return record

    assert of("1990-04-10").longest_stale_run == 69
    assert of("1990-04-10").status is HealthStatus.DEGRADED
    assert of("1990-04-10").reasons == ("close unchanged over 69 bars in a row",)
    assert of("1992-04-10").longest_stale_run < 69


def test_nothing_is_downloaded(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in bundled.SOURCES:
        assert open_source(name).window().close.size


def _shipped(monkeypatch, tmp_path, text: str) -> None:
    path = tmp_path / "nasdaq.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    monkeypatch.setattr(bundled, "_data_file", lambda package, inside: path)


HEADER = "Date,Open,High,Low,Close,Adj Close,Volume\n"


def test_a_date_that_is_no_session_is_dropped_counted_and_noted(monkeypatch, tmp_path):
    rows = [f"{d},1,1,1,1,1,5\n" for d in ("12/30/1999", "12/31/1999", "1/1/2000", "1/3/2000")]
    _shipped(monkeypatch, tmp_path, HEADER + "".join(rows))
    source = open_source("bundled:nasdaq")
    assert [str(local(t).date()) for t in source.window().ts_ns.tolist()] == [
        "1999-12-30",
        "1999-12-31",
        "2000-01-03",
    ]
    before, after = source.health(until=ns("1999-12-31T21:00")), source.health()
    assert (before.symbols[0].off_calendar, after.symbols[0].off_calendar) == (0, 1)
    assert "dates dropped that are no session: 1" in after.notes
    assert not any("dropped" in note for note in before.notes)
    assert after.symbols[0].status is HealthStatus.DEGRADED


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1/4/1999,1,1,1,0,1,5\n", "found a missing, zero or negative price"),
        ("1/4/1999,1,1,1,,1,5\n", "found a missing, zero or negative price"),
        ("4.1.1999,1,1,1,1,1,5\n", "row 2, column Date"),
        ("1/5/1999,1,1,1,1,1,5\n1/4/1999,1,1,1,1,1,5\n", "row 3, column Date: expected ascending dates"),
    ],
)
def test_a_package_that_ships_something_else_is_refused(monkeypatch, tmp_path, rows, message):
    _shipped(monkeypatch, tmp_path, HEADER + rows)
    with pytest.raises(BadInput, match=message):
        open_source("bundled:nasdaq")


def test_a_package_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(bundled, "find_spec", lambda package: None)
    with pytest.raises(BadInput, match="expected the prices that ship with skfolio"):
        open_source("bundled")


def test_another_calendar_is_refused():
    with pytest.raises(BadInput, match="expected calendar XNYS, found '24/7'"):
        open_source("bundled", calendar="24/7")
