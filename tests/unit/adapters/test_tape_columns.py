"""Quotes and trades in columns: what is read, and one clear error for everything else."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regime_trading.adapters.tape import open_tape
from regime_trading.adapters.tape.block import pick
from regime_trading.adapters.tape.columns import QuoteColumns
from regime_trading.adapters.tape.ordering import Lateness, recut, sorted_stream
from regime_trading.adapters.tape.source import FileTape
from regime_trading.adapters.tape.table import open_table
from regime_trading.core.errors import BadInput

REAL = Path(os.environ.get("REGIME_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
T0 = int(np.datetime64("2024-07-01T13:30:00", "ns").astype(np.int64))
QUOTES = "ts_event,bid_px,ask_px,bid_sz,ask_sz"
TRADES = "ts_event,price,size,aggressor"
Z = "2024-07-01T13:30:0{}Z"


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(folder: Path, name: str, **columns: object) -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def stamps(*ns: int) -> pa.Array:
    return pa.array(ns, pa.int64()).cast(pa.timestamp("ns", "UTC"))


def quotes(folder: Path, ns: list[int], name: str = "A.parquet", **further: object) -> Path:
    n = len(ns)
    bid = np.arange(n) + 100.0
    return parquet(
        folder,
        name,
        ts_event=stamps(*ns),
        bid_px=bid,
        ask_px=bid + 1,
        bid_sz=np.full(n, 2),
        ask_sz=np.full(n, 3),
        **further,
    )


def only(source, until: int | None = None):
    """All chunks of a short tape as one."""
    (chunk,) = source.chunks(until)
    return chunk


def refused(*arguments: object, **named: object) -> str:
    with pytest.raises(BadInput) as caught:
        for _ in open_tape(*arguments, **named).chunks():
            pass
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    return str(caught.value)


# --- what is read -----------------------------------------------------------------------------------------


def test_csv_quotes_and_trades(tmp_path):
    q = put(
        tmp_path,
        "AAPL.csv",
        lines(
            QUOTES + ",note", f"{Z.format('0.000000001')},10,11,5,4,x", "2024-07-01T15:30:01+02:00,,11,,4,y"
        ),
    )
    t = put(tmp_path, "t.csv", lines(TRADES, f"{Z.format(0)},11,2,B", f"{Z.format(1)},10,1e0,N"))
    source = open_tape(q, t)
    rows = only(source)
    assert rows.quotes.ts_ns.tolist() == [T0 + 1, T0 + 10**9]
    assert np.array_equal(rows.quotes.bid_px, [10, np.nan], equal_nan=True)
    assert np.array_equal(rows.quotes.bid_sz, [5, np.nan], equal_nan=True)
    assert rows.quotes.levels is None
    assert rows.trades.aggressor.tolist() == [1, 0] and rows.trades.after_quote.tolist() == [-1, -1]
    assert rows.trades.visible.all() and rows.trades.continuous.all()
    info = source.info
    assert (info.symbol, info.format, info.evidence, info.calendar) == ("AAPL", "csv", "L1", None)
    assert (info.has_trades, info.has_aggressor, info.rows) == (True, True, 2)
    assert (info.first_ns, info.last_ns) == (T0, T0 + 10**9)
    assert [name for name, _ in info.files] == ["AAPL.csv", "t.csv"] and len(info.files[0][1]) == 64
    tally = source.tally()
    assert (tally.rows, tally.removed, tally.trades, tally.trades_removed) == (2, {}, 2, {})


def test_trades_without_an_aggressor_are_unsigned_and_a_file_of_trades_is_a_tape(tmp_path):
    source = open_tape(put(tmp_path, "X.csv", lines("ts_event,price,size", f"{T0},11,2")))
    rows = only(source)
    assert source.info.evidence == "trades" and not source.info.has_aggressor
    assert len(rows.quotes) == 0 and rows.trades.aggressor.tolist() == [0]
    assert source.tally().rows == 0 and source.tally().trades == 1


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_parquet_times_of_any_unit_and_zone(tmp_path, unit, zone):
    path = quotes(tmp_path, [T0, T0 + 10**9])
    table = pq.read_table(path)
    column = table["ts_event"].cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(unit, zone))
    pq.write_table(table.set_column(0, "ts_event", column), path)
    assert only(open_tape(path)).quotes.ts_ns.tolist() == [T0, T0 + 10**9]


def test_integer_nanoseconds_in_parquet_and_gzipped_csv(tmp_path):
    path = quotes(tmp_path, [T0, T0 + 1])
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "ts_event", pa.array([T0, T0 + 1])), path)
    assert only(open_tape(path)).quotes.ts_ns.tolist() == [T0, T0 + 1]
    zipped = put(tmp_path, "B.csv.gz", gzip.compress(lines(QUOTES, f"{T0},1,2,3,4").encode()))
    assert only(open_tape(zipped)).quotes.ts_ns.tolist() == [T0]


def test_null_nan_and_infinite_quotes_are_passed_on_for_the_measures_to_count(tmp_path):
    path = put(
        tmp_path,
        "A.csv",
        lines(QUOTES, f"{T0},NaN,2,3,4", f"{T0},inf,2,3,4", f"{T0},5,2,3,4", f"{T0},-1,0,-3,4"),
    )
    rows = only(open_tape(path)).quotes
    assert np.array_equal(rows.bid_px, [np.nan, np.inf, 5, -1], equal_nan=True)
    assert rows.bid_sz.tolist() == [3, 3, 3, -3]


def test_levels_make_it_l2_and_level_0_is_the_best_quote(tmp_path):
    deep = {
        f"{f}_01": np.array([v, v])
        for f, v in [("bid_px", 99.0), ("ask_px", 103.0), ("bid_sz", 7), ("ask_sz", 8)]
    }
    source = open_tape(quotes(tmp_path, [T0, T0 + 1], **deep))
    rows = only(source).quotes
    assert source.info.evidence == "L2" and rows.levels is not None
    assert rows.levels.bid_px.tolist() == [[100, 99], [101, 99]]
    assert np.array_equal(rows.levels.ask_sz[:, 0], rows.ask_sz)


def test_several_symbols_need_one_to_be_chosen(tmp_path):
    path = quotes(tmp_path, [T0, T0 + 1, T0 + 2], symbol=["B", "A", "B"])
    assert "several: A, B" in refused(path)
    assert "only A, B" in refused(path, symbol="C")
    source = open_tape(path, symbol="B")
    assert only(source).quotes.ts_ns.tolist() == [T0, T0 + 2] and source.info.symbol == "B"


def test_a_bad_cell_of_another_symbol_is_none_of_its_business_and_rows_are_the_files(tmp_path):
    text = [QUOTES + ",symbol", f"{T0},1,2,3,4,A", f"{T0},x,2,3,4,B", f"{T0},1,2,3,4,A"]
    path = put(tmp_path, "m.csv", lines(*text))
    assert len(only(open_tape(path, symbol="A")).quotes) == 2
    assert "row 3, column bid_px" in refused(path, symbol="B")


def test_quotes_and_trades_of_two_symbols_are_refused(tmp_path):
    q = quotes(tmp_path, [T0], symbol=["A"])
    t = parquet(tmp_path, "t.parquet", ts_event=stamps(T0), price=[1.0], size=[1], symbol=["B"])
    assert "trades of B" in refused(q, t)


# --- both in one file -------------------------------------------------------------------------------------


def both(folder: Path, **change: object) -> Path:
    columns = {
        "action": ["A", "T", "C", "T"],
        "side": ["B", "A", "B", "N"],
        "price": [1.0, 100.0, 1.0, 101.0],
    }
    ts = [T0, T0 + 1, T0 + 1, T0 + 2]
    return quotes(folder, ts, **{**columns, "size": [1, 4, 1, 6], **change})


def test_6_a_trade_meets_the_book_of_the_row_before_it(tmp_path):
    rows = only(open_tape(both(tmp_path)))
    assert len(rows.quotes) == 4
    assert rows.trades.after_quote.tolist() == [1, 3]
    assert rows.trades.price.tolist() == [100, 101] and rows.trades.size.tolist() == [4, 6]
    assert rows.trades.aggressor.tolist() == [-1, 0]


def test_trades_of_another_file_replace_those_of_a_combined_one(tmp_path):
    t = put(tmp_path, "t.csv", lines(TRADES, f"{T0},11,2,S"))
    source = open_tape(both(tmp_path), t)
    rows = only(source)
    assert rows.trades.price.tolist() == [11] and rows.trades.after_quote.tolist() == [-1]
    assert source.tally().trades == 1 and source.tally().rows == 4


def test_a_combined_row_that_is_no_known_event_is_refused(tmp_path):
    assert "row 1, column action" in refused(both(tmp_path, action=["X", "T", "C", "T"]))
    assert "row 2, column price" in refused(both(tmp_path, price=[1.0, None, 1.0, 1.0]))
    assert "row 4, column side" in refused(both(tmp_path, side=["A", "B", "N", "Q"]))


# --- order ------------------------------------------------------------------------------------------------


def test_3_rows_of_one_instant_keep_their_order(tmp_path):
    rows = only(open_tape(quotes(tmp_path, [T0, T0, T0, T0 + 1, T0 + 1]))).quotes
    assert rows.bid_px.tolist() == [100, 101, 102, 103, 104]


def test_11_late_rows_are_put_in_place_by_a_stable_sort_and_counted(tmp_path):
    source = open_tape(quotes(tmp_path, [T0, T0 + 5, T0 + 2, T0 + 5, T0 + 2, T0 + 9]))
    rows = only(source).quotes
    assert rows.ts_ns.tolist() == [T0, T0 + 2, T0 + 2, T0 + 5, T0 + 5, T0 + 9]
    assert rows.bid_px.tolist() == [100, 102, 104, 101, 103, 105]
    assert source.tally().out_of_order == 2 and source.tally().rows == 6


def test_a_late_row_is_late_only_to_those_who_know_what_it_is_later_than(tmp_path):
    source = open_tape(quotes(tmp_path, [T0, T0 + 5, T0 + 2, T0 + 9]))
    assert only(source, T0 + 4).quotes.bid_px.tolist() == [100, 102]
    assert source.tally().out_of_order == 0 and source.tally().rows == 2


def test_an_unsorted_file_is_no_tape(tmp_path):
    ns = [T0 + 100, *(T0 + k for k in range(9))]
    assert "unsorted file: 9 of 10 rows" in refused(quotes(tmp_path, ns))


def test_late_trades_of_a_combined_file_keep_the_book_of_their_place(tmp_path):
    path = both(tmp_path)
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "ts_event", stamps(T0, T0 + 3, T0 + 1, T0 + 2)), path)
    rows = only(open_tape(path))
    assert rows.trades.ts_ns.tolist() == [T0 + 2, T0 + 3] and rows.trades.after_quote.tolist() == [2, 3]


def test_the_spool_is_gone_after_a_reading_even_a_broken_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    path = quotes(tmp_path, [T0, T0 + 5, T0 + 2, T0 + 9])
    source = FileTape(QuoteColumns(open_table(path), None, with_trades=True), None, chunk_rows=1, in_memory=0)
    reading = source.chunks()
    next(reading)
    assert list((tmp_path / "spool").iterdir())
    reading.close()
    assert not list((tmp_path / "spool").iterdir())
    assert len(list(source.chunks())) == 4
    assert not list((tmp_path / "spool").iterdir())


@pytest.mark.parametrize("in_memory", [0, 5000, 20_000])
def test_the_external_sort_is_the_stable_sort(in_memory):
    rng = np.random.default_rng(5)
    ts = rng.integers(0, 3000, 20_000)
    block = {"ts": ts, "n": np.arange(ts.size), "x": rng.normal(size=ts.size), "b": ts % 2 == 0}
    block["x"][::7] = np.nan
    parts = [pick(block, slice(k, k + 999)) for k in range(0, ts.size, 999)]
    found = list(recut(sorted_stream(iter(parts), 777, in_memory), 777))
    order = np.argsort(ts, kind="stable")
    assert {len(f["ts"]) for f in found[:-1]} == {777}
    for name, column in block.items():
        assert np.array_equal(np.concatenate([f[name] for f in found]), column[order], equal_nan=name == "x")


def test_lateness_is_the_running_maximum_across_batches():
    lateness = Lateness()
    marks = [lateness.mark(np.array(ts)).tolist() for ts in ([3, 1, 3], [], [2, 4], [3])]
    assert marks == [[False, True, False], [], [True, False], [True]]


# --- chunks -----------------------------------------------------------------------------------------------


def test_a_chunk_holds_its_rows_at_most_and_the_trades_of_the_same_time(tmp_path):
    q = quotes(tmp_path, [T0 + k for k in range(10)])
    t = parquet(
        tmp_path, "t.parquet", ts_event=stamps(T0 - 1, *[T0 + 4] * 7, T0 + 20), price=[1.0] * 9, size=[1] * 9
    )
    chunks = list(open_tape(q, t, chunk_rows=3).chunks())
    assert max(len(c.quotes) for c in chunks) == max(len(c.trades) for c in chunks) == 3
    for a, b in pairwise(chunks):
        ends = [c.ts_ns[-1] for c in (a.quotes, a.trades) if len(c)]
        starts = [c.ts_ns[0] for c in (b.quotes, b.trades) if len(c)]
        assert max(ends) <= min(starts)


def test_after_quote_that_cannot_be_is_refused(tmp_path):
    q = quotes(tmp_path, [T0 + k for k in range(10)])
    t = parquet(
        tmp_path, "t.parquet", ts_event=stamps(T0, T0 + 9), price=[1.0] * 2, size=[1] * 2, after_quote=[9, 9]
    )
    assert "column after_quote" in refused(q, t, chunk_rows=2)


def test_no_tally_before_a_whole_reading(tmp_path):
    source = open_tape(quotes(tmp_path, [T0, T0 + 1]), chunk_rows=1)
    with pytest.raises(RuntimeError):
        source.tally()
    next(source.chunks())
    with pytest.raises(RuntimeError):
        source.tally()


def test_a_file_that_changes_after_it_was_opened_is_refused(tmp_path):
    path = quotes(tmp_path, [T0, T0 + 1])
    source = open_tape(path)
    quotes(tmp_path, [T0, T0 + 1, T0 + 2])
    with pytest.raises(BadInput, match="changed since"):
        list(source.chunks())


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["2024-07-01T13:30:00", "2024-07-01", "2024-07-01 13:30:00.5", "13:30", ""])
def test_a_time_without_a_zone_is_refused_by_file_row_and_column(tmp_path, row):
    text = refused(put(tmp_path, "A.csv", lines(QUOTES, f"{Z.format(0)},1,2,3,4", f"{row},1,2,3,4")))
    assert "A.csv, row 3, column ts_event" in text and "zone" in text


def test_8_seconds_and_milliseconds_are_no_nanoseconds(tmp_path):
    for value in (T0 // 10**9, T0 // 10**6, T0 // 10**3):
        assert "row 2, column ts_event" in refused(put(tmp_path, "A.csv", lines(QUOTES, f"{value},1,2,3,4")))


def test_a_parquet_time_without_a_zone_or_of_another_type_is_refused(tmp_path):
    naive = [dt.datetime(2024, 7, 1, 13, 30)]  # noqa: DTZ001
    path = tmp_path / "n.parquet"
    for values in (naive, ["2024-07-01T13:30:00Z"], [1.5]):
        pl.DataFrame(
            {"ts_event": values, "bid_px": 1.0, "ask_px": 2.0, "bid_sz": 1, "ask_sz": 1}
        ).write_parquet(path)
        assert "row 1, column ts_event" in refused(path)


@pytest.mark.parametrize("column", range(1, 5))
def test_text_in_a_number_is_refused_by_row_and_column(tmp_path, column):
    good, bad = ["1", "2", "3", "4"], ["1", "2", "3", "4"]
    bad[column - 1] = "1_000"
    rows = [f"{T0 + k},{','.join(good)}" for k in range(100)]
    rows[73] = f"{T0 + 73},{','.join(bad)}"
    text = refused(put(tmp_path, "A.csv", lines(QUOTES, *rows)))
    assert f"row 75, column {QUOTES.split(',')[column]}" in text and "'1_000'" in text


def test_text_columns_in_parquet_are_no_numbers(tmp_path):
    path = quotes(tmp_path, [T0])
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "bid_px", pa.array(["100"])), path)
    assert "row 1, column bid_px" in refused(path)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ("0,1,B", "price"),
        ("-1,1,B", "price"),
        (",1,B", "price"),
        ("inf,1,B", "price"),
        ("1,0,B", "size"),
        ("1,nan,B", "size"),
        ("1,1,X", "aggressor"),
        ("1,1,b", "aggressor"),
        ("1,1,", "aggressor"),
    ],
)
def test_a_trade_cannot_be_half_known(tmp_path, cells, column):
    path = put(tmp_path, "t.csv", lines(TRADES, f"{T0},1,1,B", f"{T0},{cells}"))
    assert f"t.csv, row 3, column {column}" in refused(path)


def test_missing_columns_are_named_with_the_nearest(tmp_path):
    text = refused(put(tmp_path, "A.csv", lines("ts_event,bid_price,ask_px,bid_sz,ask_sz", f"{T0},1,2,3,4")))
    assert "missing: bid_px (nearest: bid_price)" in text
    text = refused(put(tmp_path, "b.csv", lines("ts_event,open,high,low,close", f"{T0},1,2,3,4")))
    assert "missing: bid_px" in text
    q = quotes(tmp_path, [T0])
    assert "missing: price" in refused(q, q)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.dbn", "a.dbn.zst", "a.csv.gz"])
def test_an_empty_file_is_one_sentence(tmp_path, name):
    assert "an empty file" in refused(put(tmp_path, name, b""))


def test_a_header_alone_and_an_empty_table_have_no_rows(tmp_path):
    assert "found none" in refused(put(tmp_path, "a.csv", QUOTES + "\n"))
    assert "found none" in refused(quotes(tmp_path, []))
    assert "found none" in refused(quotes(tmp_path, [], symbol=pa.array([], pa.string())))


def test_damaged_files_are_one_sentence(tmp_path):
    whole = quotes(tmp_path, [T0 + k for k in range(5000)]).read_bytes()
    assert "a readable Parquet file" in refused(put(tmp_path, "cut.parquet", whole[: len(whole) // 2]))
    middle = whole[:2000] + bytes(500) + whole[2500:]
    assert "a readable Parquet file" in refused(put(tmp_path, "hole.parquet", middle))
    assert "a readable" in refused(put(tmp_path, "not.csv.gz", b"no gzip"))
    zipped = gzip.compress(lines(QUOTES, *[f"{T0 + k},1,2,3,{k}" for k in range(5000)]).encode())
    assert "a readable" in refused(put(tmp_path, "cut.csv.gz", zipped[: len(zipped) // 2]))


def test_a_truncated_or_blank_csv_row_is_named(tmp_path):
    rows = [f"{T0 + k},1,2,3,4" for k in range(5)]
    assert "row 7" in refused(put(tmp_path, "a.csv", lines(QUOTES, *rows) + f"{T0 + 9},1"))
    assert "row 3, column ts_event" in refused(put(tmp_path, "b.csv", lines(QUOTES, rows[0], "", rows[1])))
    assert len(only(open_tape(put(tmp_path, "c.csv", lines(QUOTES, rows[0], "", "")))).quotes) == 1


def test_unknown_files_formats_and_chunk_sizes_are_refused(tmp_path):
    path = quotes(tmp_path, [T0])
    assert "no such file" in refused(tmp_path / "x.parquet")
    assert "'orc'" in refused(path, format="orc")
    assert "a csv file" in refused(path, format="csv")
    assert "chunk_rows" in refused(path, chunk_rows=0)
    assert "expected a tape" in refused(put(tmp_path, "x.txt", "hello"))
    assert "'bid_px' twice" in refused(put(tmp_path, "d.csv", lines("ts_event,bid_px,bid_px", f"{T0},1,1")))


# --- real tapes -------------------------------------------------------------------------------------------


def real(name: str) -> Path:
    if not (REAL / name).exists():
        pytest.skip(f"no real data: {REAL / name} is not there (set REGIME_REAL_DATA)")
    return REAL / name


@pytest.mark.real_data
def test_real_mbp1_trades_do_not_move_the_book():
    source = open_tape(real("es_mbp1_2024-07-01.parquet"))
    rows = only(source)
    assert (source.info.symbol, len(rows.quotes), len(rows.trades)) == ("ESU4", 2288, 120)
    after = rows.trades.after_quote[1:]
    for name in ("bid_px", "ask_px", "bid_sz", "ask_sz"):
        column = getattr(rows.quotes, name)
        assert np.array_equal(column[after], column[after - 1])
    met = np.where(
        rows.trades.aggressor[1:] > 0, rows.quotes.ask_px[after - 1], rows.quotes.bid_px[after - 1]
    )
    signed = rows.trades.aggressor[1:] != 0
    assert (met == rows.trades.price[1:])[signed].mean() > 0.95


@pytest.mark.real_data
def test_real_quotes_and_trades_of_two_files():
    source = open_tape(real("btcusdt_quotes_2021-01-08.parquet"), real("btcusdt_trades_2021-01-08.parquet"))
    chunks = list(source.chunks())
    assert sum(len(c.quotes) for c in chunks) == source.info.rows == 451
    signs = np.concatenate([c.trades.aggressor for c in chunks])
    assert ((signs == 1).sum(), (signs == -1).sum()) == (1087, 914)
