"""One contract for every source of bars: what ``core.ports.MarketData`` promises."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from regime_trading.adapters.market_data import open_source
from regime_trading.core.ports import MarketData
from regime_trading.core.schemas import PriceWindow, Provides

FIELDS = ("close", "open", "high", "low", "volume")
ISO = "%Y-%m-%dT%H:%M:%S%.9f%:z"
Builder = Callable[[Path], str]


def frame() -> pl.DataFrame:
    """Two years of real closes with holes, a repeated row and rows out of order."""
    window = open_source("bundled").window(symbols=["AAPL", "MSFT", "XOM"])
    closes = window.close[:500].copy()
    closes[100:107, 0] = np.nan
    closes[:40, 2] = np.nan
    closes[200, 1] = 0.0
    table = pl.DataFrame(closes, schema=["AAPL", "MSFT", "XOM"]).fill_nan(None)
    ts = pl.Series("ts_event", window.ts_ns[:500]).cast(pl.Datetime("ns", "UTC"))
    table = table.insert_column(0, ts)
    return pl.concat([table[:300], table[302:303], table[300:302], table[303:], table[250:251]])


def bars() -> pl.DataFrame:
    long = frame().unpivot(index="ts_event", variable_name="symbol", value_name="close").drop_nulls()
    close = pl.col("close")
    prices = [close.alias("open"), (close * 1.01).alias("high"), (close * 0.99).alias("low")]
    return long.with_columns(*prices, pl.lit(1000).alias("volume")).sort("symbol", maintain_order=True)


def minute_bars() -> pl.DataFrame:
    ts = np.datetime64("2022-01-07T00:01", "ns").astype(np.int64) + np.arange(4000) * 60 * 10**9
    close = 100 + np.cumsum(np.random.default_rng(3).normal(size=4000)) * 0.1
    keep = np.setdiff1d(np.arange(4000), np.arange(1000, 1020))
    columns = {"open": close, "high": close + 1, "low": close - 1, "close": close}
    table = pl.DataFrame(columns).insert_column(0, pl.Series("ts_event", ts).cast(pl.Datetime("ns", "UTC")))
    return table[keep.tolist()]


def as_parquet(table: Callable[[], pl.DataFrame], name: str) -> Builder:
    def build(folder: Path, edit: Callable[[pl.DataFrame], pl.DataFrame] = lambda t: t) -> str:
        edit(table()).write_parquet(folder / f"{name}.parquet")
        return str(folder / f"{name}.parquet")

    return build


def as_csv(table: Callable[[], pl.DataFrame], name: str) -> Builder:
    def build(folder: Path, edit: Callable[[pl.DataFrame], pl.DataFrame] = lambda t: t) -> str:
        edit(table()).write_csv(folder / f"{name}.csv", datetime_format=ISO)
        return str(folder / f"{name}.csv")

    return build


def as_folder(folder: Path, edit: Callable[[pl.DataFrame], pl.DataFrame] = lambda t: t) -> str:
    inside = folder / "many"
    inside.mkdir(exist_ok=True)
    edit(frame()).select("ts_event", "AAPL").write_csv(inside / "a.csv", datetime_format=ISO)
    edit(frame()).select("ts_event", "XOM", "MSFT").write_parquet(inside / "b.parquet")
    return str(inside)


FILES = {
    "wide parquet": as_parquet(frame, "t"),
    "wide csv": as_csv(frame, "t"),
    "long bars parquet": as_parquet(bars, "t"),
    "long bars csv": as_csv(bars, "t"),
    "minute bars": as_parquet(minute_bars, "BTC"),
    "folder": as_folder,
}
BUNDLED = {name: (lambda folder, name=name: name) for name in ("bundled", "bundled:sp500", "bundled:nasdaq")}


@pytest.fixture(params=sorted({**FILES, **BUNDLED}))
def source(request, tmp_path) -> MarketData:
    return open_source({**FILES, **BUNDLED}[request.param](tmp_path))


def cuts(window: PriceWindow) -> list[int]:
    at = np.linspace(0, window.ts_ns.size - 1, 7).astype(int)
    times = window.ts_ns[at].tolist()
    return sorted([times[0] - 1, *times, *[t + 1 for t in times], *[t - 1 for t in times[1:]]])


def same(a: PriceWindow, b: PriceWindow) -> bool:
    return a.content_hash() == b.content_hash()


def test_windows_hold_the_shapes_and_words_of_the_port(source):
    window = source.window()
    assert source.symbols == window.symbols == tuple(sorted(window.symbols))
    assert np.all(np.diff(window.ts_ns) > 0)
    assert window.ts_ns.dtype == np.int64
    assert not np.isnan(window.close).all(axis=1).any()
    for name in FIELDS:
        array = getattr(window, name)
        provided = {"close": Provides.CLOSE, "volume": Provides.VOLUME}.get(
            name, Provides.OHLC
        ) in source.provides
        assert (array is not None) == provided
        if array is not None:
            assert array.shape == (window.ts_ns.size, len(window.symbols))
            assert array.dtype == np.float64
            assert not np.isinf(array).any()
            assert name == "volume" or not (array <= 0).any()


def test_windows_are_read_only(source):
    until = int(source.window().ts_ns[10])
    for window in (source.window(), source.window(until), source.window(until, source.symbols[:1])):
        for array in (window.ts_ns, *(getattr(window, name) for name in FIELDS)):
            assert array is None or not array.flags.writeable


def test_a_window_is_the_full_window_cut_and_grows_with_time(source):
    full, rows = source.window(), -1
    for until in cuts(full):
        window = source.window(until)
        assert same(window, full.until(until))
        assert (window.ts_ns <= until).all()
        assert window.ts_ns.size >= rows
        rows = window.ts_ns.size
    assert same(source.window(int(full.ts_ns[-1])), full)


def test_a_choice_of_symbols_comes_in_the_order_asked_without_empty_rows(source):
    full = source.window()
    for symbols in itertools.islice(itertools.permutations(source.symbols, min(2, len(source.symbols))), 6):
        chosen, expected = source.window(symbols=symbols), full.select(symbols)
        keep = ~np.isnan(expected.close).all(axis=1)
        assert chosen.symbols == symbols
        assert np.array_equal(chosen.ts_ns, full.ts_ns[keep])
        assert np.array_equal(chosen.close, expected.close[keep], equal_nan=True)
        until = int(full.ts_ns[full.ts_ns.size // 2])
        assert same(source.window(until, symbols), chosen.until(until))


def test_health_counts_the_bars_of_the_window(source):
    for until in [*cuts(source.window())[::5], None]:
        window, health = source.window(until), source.health(until)
        assert tuple(s.symbol for s in health.symbols) == window.symbols
        assert [s.bars for s in health.symbols] == (~np.isnan(window.close)).sum(axis=0).tolist()
        assert health.content_hash == window.content_hash()
        assert health.provides == tuple(sorted(source.provides))
        assert (health.source, health.calendar) == (source.name, source.calendar)


def _altered(t_ns: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    later = pl.col("ts_event").cast(pl.Int64) > t_ns
    prices = pl.selectors.float()
    return lambda t: t.with_columns(pl.when(later).then(prices * 3).otherwise(prices).name.keep())


def _cut(t_ns: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda t: t.filter(pl.col("ts_event").cast(pl.Int64) <= t_ns)


@pytest.mark.parametrize("kind", sorted(FILES))
@pytest.mark.parametrize("edit", [_cut, _altered], ids=["cut", "altered"])
def test_nothing_up_to_t_changes_when_the_future_does(kind, edit, tmp_path):
    """Cut at each of several times, before, inside and after the file's disorder, gap and repetition."""
    full = open_source(FILES[kind](tmp_path), calendar="24/7")
    whole = full.window()
    for part in (0.15, 0.21, 0.599, 0.6, 0.602, 0.8):
        until = int(whole.ts_ns[int(part * whole.ts_ns.size)])
        expected, record = full.window(until), full.health(until)
        again = open_source(FILES[kind](tmp_path, edit(until)), calendar="24/7")
        assert same(again.window(until), expected), part
        assert again.health(until) == record, part


def test_hashes_are_the_same_in_any_process(tmp_path):
    names = []
    for kind, build in {**FILES, **BUNDLED}.items():
        (tmp_path / kind).mkdir()
        names.append(build(tmp_path / kind))
    code = (
        "import sys; from regime_trading.adapters.market_data import open_source as o\n"
        "for s in map(o, sys.argv[1:]): print(s.window().content_hash(), s.health().model_dump_json())"
    )
    answers = []
    for seed, zone, threads in (("1", "Asia/Tokyo", "1"), ("77", "America/New_York", "2")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "POLARS_MAX_THREADS": threads}
        command = [sys.executable, "-c", code, *names]
        answers.append(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    here = [f"{s.window().content_hash()} {s.health().model_dump_json()}" for s in map(open_source, names)]
    assert answers[0].splitlines() == answers[1].splitlines() == here
