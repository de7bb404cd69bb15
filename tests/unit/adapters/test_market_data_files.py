"""CSV and Parquet of the user's own: the shapes that are read, and one clear error for everything else."""

from __future__ import annotations

import datetime as dt
import os
import random
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.adapters.market_data import open_source
from regime_trading.adapters.market_data.files import infer_calendar
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import Provides

REAL = Path(os.environ.get("REGIME_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
TIMES = ["2022-01-03T21:00:00Z", "2022-01-04T21:00:00Z", "2022-01-05T21:00:00Z"]


def real(name: str) -> Path:
    if not (REAL / name).is_file():
        pytest.skip(f"no real data: {REAL / name} is not there (set REGIME_REAL_DATA)")
    return REAL / name


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def stamps(*texts: str, unit: str = "ns", zone: str | None = "UTC") -> pl.Series:
    return pl.Series([dt.datetime.fromisoformat(t) for t in texts], dtype=pl.Datetime(unit, zone))


def utc(*texts: str) -> pl.Series:
    return stamps(*[t.replace("Z", "+00:00") for t in texts])


def write(folder: Path, name: str, content: str | bytes | pl.DataFrame) -> Path:
    path = folder / name
    if isinstance(content, pl.DataFrame):
        content.write_parquet(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def opened(path: Path):
    return open_source(str(path), calendar="XNYS")


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


def of(source, symbol: str):
    return next(s for s in source.health().symbols if s.symbol == symbol)


# --- what is read -----------------------------------------------------------------------------------------


def test_a_price_table_is_closes_by_symbol_sorted(tmp_path):
    source = opened(
        write(tmp_path, "t.csv", lines("ts_event,MSFT,AAPL", f"{TIMES[0]},2,1.5", f"{TIMES[1]},,1.75e0"))
    )
    window = source.window()
    assert source.symbols == window.symbols == ("AAPL", "MSFT")
    assert source.provides == {Provides.CLOSE}
    assert np.array_equal(window.close, [[1.5, 2.0], [1.75, np.nan]], equal_nan=True)
    assert window.ts_ns.tolist() == [ns(TIMES[0][:-1]), ns(TIMES[1][:-1])]
    assert window.open is window.high is window.low is window.volume is None
    assert (of(source, "MSFT").missing, of(source, "MSFT").current_gap) == (1, 1)


BARS = "ts_event,open,high,low,close,volume"


def test_bars_carry_the_files_stem_as_symbol(tmp_path):
    source = opened(
        write(tmp_path, "ES=F.csv", lines(BARS, f"{TIMES[0]},10,12,9,11,100", f"{TIMES[1]},11,11,11,11,0"))
    )
    window = source.window()
    assert window.symbols == ("ES=F",)
    assert source.provides == {Provides.CLOSE, Provides.OHLC, Provides.VOLUME}
    fields = [window.open, window.high, window.low, window.close, window.volume]
    assert [f[:, 0].tolist() for f in fields] == [[10, 11], [12, 11], [9, 11], [11, 11], [100, 0]]


def test_long_bars_put_every_symbol_on_the_union_of_times(tmp_path):
    text = lines(
        "symbol,ts_event,open,high,low,close",
        f"B,{TIMES[0]},1,1,1,1",
        f"B,{TIMES[1]},2,2,2,2",
        f"A,{TIMES[1]},5,6,4,5",
        f"A,{TIMES[2]},6,6,6,6",
        f"C,{TIMES[0]},1,1,1,1",
    )
    source = opened(write(tmp_path, "long.csv", text))
    window = source.window()
    assert source.provides == {Provides.CLOSE, Provides.OHLC}
    nan = np.nan
    assert np.array_equal(window.close, [[nan, 1, 1], [5, 2, nan], [6, nan, nan]], equal_nan=True)
    assert [s.out_of_order for s in source.health().symbols] == [0, 0, 0]  # sorted by symbol is no disorder
    assert source.window(symbols=["A"]).close.ravel().tolist() == [5, 6]


def test_csv_and_parquet_give_the_same_bytes(tmp_path):
    values = {"AAPL": [1.5, None, 1.7], "BTC/USDT": [0.1, 0.2, 1e-7]}
    table = pl.DataFrame({"ts_event": utc(*TIMES), **values})
    table.write_csv(tmp_path / "t.csv", datetime_format="%Y-%m-%dT%H:%M:%S%.9f%:z")
    a, b = opened(write(tmp_path, "t.parquet", table)), opened(tmp_path / "t.csv")
    assert a.window().content_hash() == b.window().content_hash()


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_parquet_times_of_any_unit_and_zone(tmp_path, unit, zone):
    ts = utc(*TIMES).dt.convert_time_zone(zone).dt.cast_time_unit(unit)
    window = opened(
        write(tmp_path, "t.parquet", pl.DataFrame({"ts_event": ts, "A": [1.0, 2.0, 3.0]}))
    ).window()
    assert window.ts_ns.tolist() == [ns(t[:-1]) for t in TIMES]


def test_parquet_seconds_integers_and_nan(tmp_path):
    seconds = pa.array([ns(t[:-1]) // 10**9 for t in TIMES], type=pa.timestamp("s", "UTC"))
    columns = {
        "ts_event": seconds,
        "A": pa.array([1, None, 3], pa.int32()),
        "B": pa.array([float("nan"), 2.5, 1.0]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    window = opened(tmp_path / "t.parquet").window()
    assert np.array_equal(window.close, [[1, np.nan], [np.nan, 2.5], [3, 1]], equal_nan=True)


@pytest.mark.parametrize(
    "text",
    [
        "2022-01-03T21:00:00Z",
        "2022-01-03 21:00:00z",
        "2022-01-03T16:00-05:00",
        "2022-01-03T16:00:00.000-0500",
        "2022-01-04T02:30:00.000000000+05:30",
        "2022-01-03T16:00:00-05",
        "1641243600000000000",
        " 2022-01-03T21:00:00Z ",
    ],
)
def test_csv_times(tmp_path, text):
    assert opened(write(tmp_path, "t.csv", f"ts_event,A\n{text},1")).window().ts_ns.tolist() == [
        1641243600 * 10**9
    ]


@given(st.integers(ns("1951-01-01"), ns("2035-01-01")), st.integers(-14 * 60, 14 * 60))
@settings(max_examples=60, deadline=None)
def test_csv_times_equal_datetime(tmp_path_factory, at_ns, offset_min):
    zone = dt.timezone(dt.timedelta(minutes=offset_min))
    here = dt.datetime.fromtimestamp(at_ns // 10**9, tz=zone)
    text = f"{here:%Y-%m-%dT%H:%M:%S}.{at_ns % 10**9:09d}{here:%z}"
    path = write(tmp_path_factory.mktemp("iso"), "t.csv", f"ts_event,A\n{text},1")
    assert open_source(str(path), calendar="24/7").window().ts_ns.tolist() == [at_ns]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfts_event,A\r\n2022-01-03T21:00:00Z,1\r\n\r\n",
        b'"ts_event","A"\n"2022-01-03T21:00:00Z","1"\n',
        b"ts_event , A\n2022-01-03T21:00:00Z , +1.\n",
    ],
)
def test_csv_dialects(tmp_path, content):
    assert opened(write(tmp_path, "t.csv", content)).window().close.tolist() == [[1.0]]


def test_a_folder_of_bars_mixes_csv_and_parquet(tmp_path):
    write(tmp_path, "B.csv", lines(BARS, f"{TIMES[0]},1,1,1,1,5"))
    bars = {
        "ts_event": utc(TIMES[1]),
        "open": [2.0],
        "high": [2.0],
        "low": [2.0],
        "close": [2.0],
        "volume": [7],
    }
    write(tmp_path, "A.parquet", pl.DataFrame(bars))
    write(tmp_path, "README.md", "not data")
    source = opened(tmp_path)
    window = source.window()
    assert window.symbols == ("A", "B")
    assert np.array_equal(window.volume, [[np.nan, 5], [7, np.nan]], equal_nan=True)
    assert "not read: README.md" in source.health().notes


def test_a_folder_of_tables_joins_distinct_columns(tmp_path):
    write(tmp_path, "one.csv", lines("ts_event,B,A", f"{TIMES[0]},1,2"))
    write(tmp_path, "two.csv", lines("ts_event,C", f"{TIMES[0]},3"))
    assert opened(tmp_path).window().close.tolist() == [[2, 1, 3]]


def test_volume_is_provided_only_where_every_symbol_has_it(tmp_path):
    write(tmp_path, "A.csv", lines(BARS, f"{TIMES[0]},1,1,1,1,5"))
    write(tmp_path, "B.csv", lines(BARS.removesuffix(",volume"), f"{TIMES[0]},1,1,1,1"))
    source = opened(tmp_path)
    assert source.provides == {Provides.CLOSE, Provides.OHLC}
    assert "volume left out: only 1 of 2 symbols have it" in source.health().notes


def test_disorder_and_repetition_are_repaired_and_counted(tmp_path):
    rows = [f"{TIMES[2]},3,", f"{TIMES[0]},1,8", f"{TIMES[0]},1,", f"{TIMES[1]},2,9"]
    source = opened(write(tmp_path, "t.csv", lines("ts_event,A,B", *rows)))
    assert np.array_equal(source.window().close, [[1, 8], [2, 9], [3, np.nan]], equal_nan=True)
    assert (of(source, "A").duplicates, of(source, "A").out_of_order) == (1, 3)


def test_prices_that_are_not_positive_are_missing_and_counted(tmp_path):
    source = opened(write(tmp_path, "t.csv", lines("ts_event,A,B", f"{TIMES[0]},0,1", f"{TIMES[1]},-3,1")))
    assert np.isnan(source.window().close[:, 0]).all()
    assert (of(source, "A").non_positive, of(source, "A").bars, of(source, "B").non_positive) == (2, 0, 0)
    bars = opened(write(tmp_path, "X.csv", lines(BARS, f"{TIMES[0]},1,2,0,1,5", f"{TIMES[1]},1,1,1,1,5")))
    assert bars.window().close.tolist() == [[1.0]]
    assert of(bars, "X").non_positive == 1


def test_a_bar_without_one_of_its_prices_is_no_bar(tmp_path):
    source = opened(write(tmp_path, "X.csv", lines(BARS, f"{TIMES[0]},,2,1,1,5", f"{TIMES[1]},1,1,1,1,")))
    window = source.window()
    assert window.ts_ns.tolist() == [ns(TIMES[1][:-1])]
    assert np.isnan(window.volume).all()


def test_tickers_that_spell_field_names_are_symbols_in_upper_case(tmp_path):
    assert opened(write(tmp_path, "t.csv", lines("ts_event,LOW,OPEN", f"{TIMES[0]},1,2"))).symbols == (
        "LOW",
        "OPEN",
    )


# --- what is refused --------------------------------------------------------------------------------------

T0, T1, T2 = TIMES
OHLC_HEADER = "ts_event,open,high,low,close"
CSV_ERRORS = {
    "no rows": ("ts_event,A\n", "expected at least one row of data"),
    "empty": ("", "expected a header row and data, found an empty file"),
    "newlines only": ("\n\n", "found an empty file"),
    "no ts_event": (
        lines("date,A", f"{T0},1"),
        "expected a column ts_event and prices, found columns date, A",
    ),
    "no prices": (lines("ts_event", T0), "found no column but ts_event"),
    "semicolons": (lines("ts_event;A", f"{T0};1"), "found columns ts_event;A"),
    "naive time": (
        lines("ts_event,A", f"{T0},1", "2022-01-04T21:00:00,2"),
        "row 3, column ts_event: expected a UTC time with its offset, e.g. 2020-01-02T21:00:00Z.*found '2022-01-04T21",
    ),
    "date only": (
        lines("ts_event,A", "2022-01-03,1"),
        "row 2, column ts_event.*session's close.*found '2022-01-03'",
    ),
    "no time": (lines("ts_event,A", f"{T0},1", ",2"), "row 3, column ts_event.*found an empty cell"),
    "a blank line": (
        lines("ts_event,A", f"{T0},1", "", f"{T1},2"),
        "row 3, column ts_event.*found an empty cell",
    ),
    "no such day": (
        lines("ts_event,A", "2022-02-30T21:00:00Z,1"),
        "row 2, column ts_event.*'2022-02-30T21:00:00Z'",
    ),
    "no such hour": (lines("ts_event,A", "2022-02-03T24:00:00Z,1"), "row 2, column ts_event"),
    "no such minute": (lines("ts_event,A", "2022-02-03T20:60:00Z,1"), "row 2, column ts_event"),
    "no such second": (lines("ts_event,A", "2022-02-03T20:00:60Z,1"), "row 2, column ts_event"),
    "no such offset": (lines("ts_event,A", "2022-02-03T20:00:00+15:00,1"), "row 2, column ts_event"),
    "year 9999": (
        lines("ts_event,A", "9999-02-03T20:00:00Z,1"),
        "row 2, column ts_event.*between 1677 and 2262",
    ),
    "seconds": (lines("ts_event,A", "1641243600,1"), "row 2, column ts_event: expected integer nanoseconds"),
    "microseconds": (
        lines("ts_event,A", "1641243600000000,1"),
        r"row 2.*\(not seconds, milli- or microseconds",
    ),
    "beyond 64 bits": (
        lines("ts_event,A", f"{10**18},1", f"{10**19},1"),
        "row 3, column ts_event: expected nanoseconds within 64 bits",
    ),
    "two kinds of time": (
        lines("ts_event,A", f"{10**18},1", f"{T0},2"),
        "row 3, column ts_event: expected integer",
    ),
    "two kinds, other way": (lines("ts_event,A", f"{T0},2", f"{10**18},1"), "row 3, column ts_event"),
    "text": (
        lines("ts_event,A,B", f"{T0},1,2", f"{T1},1,n/a"),
        "row 3, column B: expected a finite number.*'n/a'",
    ),
    "first by row": (lines("ts_event,A,B", f"{T0},1,x", f"{T1},y,2"), "row 2, column B.*'x'"),
    "nan": (lines("ts_event,A", f"{T0},nan"), "row 2, column A: expected a finite number, or an empty cell"),
    "inf": (lines("ts_event,A", f"{T0},1", f"{T1},inf"), "row 3, column A"),
    "overflow": (lines("ts_event,A", f"{T0},1e999"), "row 2, column A.*'1e999'"),
    "thousands": (lines("ts_event,A", f'{T0},"1,000"'), "row 2, column A.*'1,000'"),
    "underscore": (lines("ts_event,A", f"{T0},1_000"), "row 2, column A"),
    "short row": (
        lines("ts_event,A,B", f"{T0},1,2", f"{T1},1"),
        "row 3: expected 3 fields as in the header, found 2",
    ),
    "long row": (lines("ts_event,A", f"{T0},1,2"), "row 2: expected 2 fields as in the header, found 3"),
    "open quote": (lines("ts_event,A", f'{T0},"1'), "expected every quotation mark closed"),
    "same column twice": (
        lines("ts_event,A,A", f"{T0},1,2"),
        "expected distinct column names, found 'A' twice",
    ),
    "unnamed column": (
        lines(",ts_event,A", f"0,{T0},2"),
        "expected a name for every column, found no name in column 1",
    ),
    "odd symbol": (lines("ts_event,A B", f"{T0},2"), "column 'A B': expected a symbol of 1 to 40"),
    "long symbol": (lines(f"ts_event,{'A' * 41}", f"{T0},2"), "expected a symbol of 1 to 40"),
    "no price at all": (lines("ts_event,A", f"{T0},", f"{T1},0"), "expected at least one positive price"),
    "conflict": (
        lines("ts_event,A,B", f"{T0},1,2", f"{T1},1,2", f"{T0},1,3"),
        r"row 4, column B: expected one value per time \(2 in row 2\), found 3 for the same time",
    ),
    "ticks": (
        lines("ts_event,A", *(f"2022-01-03T20:00:00.{i:03d}Z,1" for i in range(5))),
        "expected bars of at least one second, found a median spacing of 1000000 ns for A",
    ),
    "bars without low": (lines("ts_event,open,high,close", f"{T0},1,1,1"), r"for bars, missing: low\)"),
    "close alone": (lines("ts_event,close", f"{T0},1"), "columns close, which name no symbols"),
    "title case": (
        lines("ts_event,Open,High,Low,Close", f"{T0},1,1,1,1"),
        "columns Open, High, Low, Close, which",
    ),
    "a further column": (
        lines(f"{OHLC_HEADER},vwap", f"{T0},1,1,1,1,1"),
        "bars with a further column 'vwap'",
    ),
    "high below low": (
        lines(OHLC_HEADER, f"{T0},2,3,1,2", f"{T1},2,1,3,2"),
        "row 3, column high: expected high ≥ low, found open 2, high 1, low 3, close 2",
    ),
    "close above high": (
        lines(OHLC_HEADER, f"{T0},2,3,1,4"),
        "row 2, column close: expected low ≤ close ≤ high",
    ),
    "open below low": (
        lines(OHLC_HEADER, f"{T0},.5,3,1,2"),
        "row 2, column open: expected low ≤ open ≤ high",
    ),
    "negative volume": (
        lines(f"{OHLC_HEADER},volume", f"{T0},1,1,1,1,-1"),
        "row 2, column volume: expected volume ≥ 0",
    ),
    "bar conflict": (
        lines(f"symbol,{OHLC_HEADER}", f"A,{T0},1,1,1,1", f"B,{T0},2,2,2,2", f"A,{T0},1,1.5,1,1"),
        r"row 4, column high: expected one value per time \(1 in row 2\), found 1.5",
    ),
    "empty symbol": (
        lines(f"symbol,{OHLC_HEADER}", f"A,{T0},1,1,1,1", f",{T0},1,1,1,1"),
        "row 3, column symbol",
    ),
    "bad symbol": (
        lines(f"symbol,{OHLC_HEADER}", f"A,{T0},1,1,1,1", f"b c,{T0},1,1,1,1"),
        "row 3, column symbol.*'b c'",
    ),
    "not UTF-8": (b"ts_event,A\n2022-01-03T21:00:00Z,\xff\xfe\n", "expected UTF-8 text"),
    "UTF-16": (lines("ts_event,A", f"{T0},1").encode("utf-16"), "row 1: expected UTF-8 text"),
    "before the calendar": (lines("ts_event,A", "1901-01-02T21:00:00Z,1"), "calendar XNYS.*found 1901-01-02"),
}


@pytest.mark.parametrize("case", sorted(CSV_ERRORS))
def test_bad_csv_is_one_clear_sentence(tmp_path, case):
    content, message = CSV_ERRORS[case]
    with pytest.raises(BadInput, match=message) as error:
        opened(write(tmp_path, "t.csv", content))
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "t.csv")) or "calendar" in str(error.value)


ONE = {"A": [1.0]}
PARQUET_ERRORS = {
    "naive": (
        {"ts_event": stamps("2022-01-03 21:00", zone=None), **ONE},
        "row 1, column ts_event.*with time zone UTC",
    ),
    "date": ({"ts_event": pl.Series([dt.date(2022, 1, 3)]), **ONE}, "found type Date"),
    "integer time": ({"ts_event": [10**18], **ONE}, "found type Int64"),
    "text time": ({"ts_event": ["2022-01-03T21:00:00Z"], **ONE}, "found type String"),
    "null time": (
        {"ts_event": pl.Series([None], dtype=pl.Datetime("ns", "UTC")), **ONE},
        "row 1, column ts_event: expected a time",
    ),
    "text prices": ({"ts_event": utc(T0), "A": ["abc"]}, "row 1, column A: expected a finite number"),
    "boolean prices": (
        {"ts_event": utc(T0), "A": [True]},
        "column A: expected a column of numbers, found type Boolean",
    ),
    "nested prices": ({"ts_event": utc(T0), "A": [[1.0]]}, "column A: expected a column of numbers"),
    "infinite": ({"ts_event": utc(T0, T1), "A": [1.0, float("inf")]}, "row 2, column A.*'inf'"),
    "integer symbol": (
        {"ts_event": utc(T0), "symbol": [700], "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0},
        "column symbol: expected a column of text, found type Int64",
    ),
    "pandas index": (
        {"ts_event": utc(T0), "A": [1.0], "__index_level_0__": [0]},
        "columns __index_level_0__",
    ),
    "no rows": (
        {"ts_event": utc(T0).head(0), "A": pl.Series([], dtype=pl.Float64)},
        "expected at least one row",
    ),
}


@pytest.mark.parametrize("case", sorted(PARQUET_ERRORS))
def test_bad_parquet_is_one_clear_sentence(tmp_path, case):
    columns, message = PARQUET_ERRORS[case]
    with pytest.raises(BadInput, match=message):
        opened(write(tmp_path, "t.parquet", pl.DataFrame(columns)))


def test_parquet_times_out_of_range(tmp_path):
    far = pa.array([0, 2**62], type=pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"ts_event": far, "A": [1.0, 2.0]}), tmp_path / "t.parquet")
    with pytest.raises(BadInput, match="row 2, column ts_event: expected a time between 1677 and 2262"):
        opened(tmp_path / "t.parquet")


def test_parquet_with_one_name_twice(tmp_path):
    table = pa.table([utc(T0).to_arrow(), pa.array([1.0]), pa.array([2.0])], names=["ts_event", "A", "A"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(BadInput, match="found 'A' twice"):
        opened(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "an empty file"), (b"PAR1", ""), (b"ts_event,A\n1,2\n" * 9, "")]
)
def test_a_file_that_is_no_parquet(tmp_path, content, found):
    with pytest.raises(BadInput, match=f"expected a readable Parquet file, found {found}"):
        opened(write(tmp_path, "t.parquet", content))


def test_damaged_parquet_never_ends_in_anything_but_bad_input_or_data(tmp_path):
    ts = utc("2020-01-06T00:00Z", "2020-01-09T00:00Z").to_frame("ts").upsample("ts", every="1m")["ts"]
    table = pl.DataFrame({"ts_event": ts, "A": np.linspace(1.0, 2.0, len(ts)), "B": np.ones(len(ts))})
    whole = write(tmp_path, "whole.parquet", table).read_bytes()
    rng, refused = random.Random(7), 0
    for trial in range(150):
        data = bytearray(whole)
        if trial % 2:
            del data[rng.randrange(len(data)) :]
        else:
            for _ in range(rng.choice([1, 4, 30])):
                data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            opened(write(tmp_path, "t.parquet", bytes(data)))
        except BadInput:
            refused += 1
        else:
            assert not trial % 2, "a truncated file was read"
    assert refused >= 75


def test_a_page_that_does_not_match_its_checksum_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"ts_event": utc(*TIMES).to_arrow(), "A": [1.25, 2.5, 3.75]})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    data = path.read_bytes()
    at = data.index(np.float64(2.5).tobytes())
    path.write_bytes(data[: at + 6] + b"\x10" + data[at + 7 :])
    with pytest.raises(BadInput, match="expected a readable Parquet file"):
        opened(path)


def test_paths_that_are_no_source(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path, "t.xlsx", b"PK")
    for path, message in (
        (
            tmp_path / "none.csv",
            "expected bundled, bundled:sp500, bundled:nasdaq, or the path of .* no such path",
        ),
        (tmp_path / "empty", "found a folder without any"),
        (tmp_path / "t.xlsx", "found a file that ends in '.xlsx'"),
    ):
        with pytest.raises(BadInput, match=message):
            opened(path)
    for name in ("bundled:dax", "", "bundle", "x" * 5000, "a\0b"):
        with pytest.raises(BadInput, match="expected bundled, bundled:sp500, bundled:nasdaq"):
            open_source(name)


def test_folders_that_contradict_themselves(tmp_path):
    write(tmp_path, "A.csv", lines("ts_event,X", f"{T0},1"))
    write(tmp_path, "B.csv", lines("ts_event,X", f"{T1},1"))
    with pytest.raises(BadInput, match=r"A.csv: expected symbol X in one file, found also in .*B.csv"):
        opened(tmp_path)
    write(tmp_path, "B.csv", lines(BARS, f"{T0},1,1,1,1,5"))
    with pytest.raises(BadInput, match=r"B.csv: expected files of one shape, as .*A.csv"):
        opened(tmp_path)


def test_a_stem_that_is_no_symbol(tmp_path):
    with pytest.raises(BadInput, match="the file's name, which is the symbol: expected a symbol"):
        opened(write(tmp_path, "my bars.csv", lines(BARS, f"{T0},1,1,1,1,5")))


def test_unknown_symbols_name_the_nearest(tmp_path):
    source = opened(write(tmp_path, "t.csv", lines("ts_event,AAPL,MSFT", f"{T0},1,2")))
    for asked, message in (
        (["AAPLE"], r"nearest: AAPL\), found 'AAPLE'"),
        ([], "expected at least one symbol"),
        (["AAPL", "AAPL"], "found 'AAPL' twice"),
    ):
        with pytest.raises(BadInput, match=message):
            source.window(symbols=asked)
    assert source.window(symbols=["MSFT", "AAPL"]).close.tolist() == [[2, 1]]


# --- calendars --------------------------------------------------------------------------------------------


def test_the_calendar_is_the_argument_then_the_settings_then_an_assumption_that_is_said(tmp_path):
    path = str(write(tmp_path, "t.csv", lines("ts_event,A", f"{T0},1", "2022-01-08T12:00:00Z,1")))
    assert open_source(path, calendar="XLON", calendars={path: "XTKS"}).calendar == "XLON"
    assert open_source(path, calendars={path: "XTKS"}).calendar == "XTKS"
    assert open_source(path, calendars={path: "XTKS", "files": "XLON"}).calendar == "XTKS"
    assert open_source(path, calendars={"files": "XLON"}).calendar == "XLON"
    assumed = open_source(path, calendars={"other": "XTKS"})
    assert assumed.calendar == "24/7"
    assert any("calendar 24/7 assumed" in note for note in assumed.health().notes)
    assert not any("assumed from" in note for note in open_source(path, calendar="24/7").health().notes)


def test_the_assumed_calendar():
    day, monday = 86_400 * 10**9, ns("2022-01-03")
    week = monday + day * np.arange(1, 29)  # a bar complete at midnight is of the day before
    working = week[np.arange(28) % 7 < 5]
    assert infer_calendar(week) == "24/7"
    assert infer_calendar(working) == "XNYS"
    assert infer_calendar(np.sort(np.append(working, monday + 7 * day - 1))) == "24/5"
    assert infer_calendar(monday + 7 * day * np.arange(1, 9)) == "24/7"  # weekly, on Sundays alone
    assert infer_calendar(np.append(working[:10], week[-2])) == "XNYS"  # a later weekend changes nothing


# --- real data --------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_a_month_of_real_minute_bars(tmp_path):
    tape = pl.read_parquet(real("btcperp_1m_2022-01.parquet"))
    source = open_source(str(write(tmp_path, "BTCPERP.parquet", tape)), calendar="24/7")
    window, health = source.window(), source.health()
    assert window.symbols == ("BTCPERP",)
    assert np.array_equal(window.close[:, 0], tape["close"].to_numpy())
    assert np.array_equal(window.ts_ns, tape["ts_event"].to_physical().to_numpy())
    (record,) = health.symbols
    assert (health.bar_s, record.bars, record.missing, record.off_calendar) == (60, 45_031, 0, 0)
    assert record.longest_stale_run == 7
    assert record.reasons == ("close unchanged over 7 bars in a row",)


@pytest.mark.real_data
def test_real_bars_with_holes_repeats_and_disorder(tmp_path):
    tape = pl.read_parquet(real("btcperp_1m_2022-01.parquet")).head(3000)
    dirty = pl.concat([tape[:1000], tape[1010:2000], tape[1500:1520], tape[2000:]])
    rows = np.arange(len(dirty))
    rows[[5, 6]] = [6, 5]
    dirty[rows.tolist()].write_csv(tmp_path / "X.csv", datetime_format="%Y-%m-%dT%H:%M:%S%.f%:z")
    source = open_source(str(tmp_path / "X.csv"), calendar="24/7")
    (record,) = source.health().symbols
    assert (record.missing, record.longest_gap, record.duplicates, record.out_of_order) == (10, 10, 20, 21)
    kept = pl.concat([tape[:1000], tape[1010:]])
    assert np.array_equal(source.window().close[:, 0], kept["close"].to_numpy())


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("usdjpy_m1_bidask_2013-02.parquet", "columns bid_open, bid_high"),
        ("btcusdt_quotes_2021-01-08.parquet", "columns bid_px, ask_px"),
        ("btcusdt_trades_2021-01-08.parquet", "columns price, size, aggressor"),
        ("es_mbp1_2024-07-01.parquet", "columns action, side, price"),
        ("taq_trades_raw_2018-01.parquet", "columns ex, symbol, cond"),
    ],
)
def test_real_files_of_other_shapes_are_refused(name, columns):
    with pytest.raises(BadInput, match=f"expected a price table .* or bars .*found {columns}"):
        open_source(str(real(name)))


@pytest.mark.real_data
def test_a_real_price_table_keeps_its_numbers(tmp_path):
    window = open_source("bundled").window()
    frame = pl.DataFrame(window.close, schema=list(window.symbols))
    ts = pl.Series("ts_event", window.ts_ns).cast(pl.Datetime("ns", "UTC"))
    frame.insert_column(0, ts).write_csv(tmp_path / "t.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")
    again = opened(tmp_path / "t.csv")
    assert again.window().content_hash() == window.content_hash()
    assert {s.status.value for s in again.health().symbols} == {"ok"}
