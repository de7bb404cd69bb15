"""LOBSTER pairs: exact times, the venue's clock, empty levels, hidden executions, crosses and halts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from regime_trading.adapters.tape import open_tape
from regime_trading.core.errors import BadInput

REAL = Path(os.environ.get("REGIME_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
HEAD = "AAPL_{}_34200000_57600000_{}_{}.csv"
BOOK = "1000100,5,1000000,7"


def pair(
    folder: Path, messages: list[str], books: list[str] | None = None, date="2012-06-21", levels=1
) -> Path:
    message = folder / HEAD.format(date, "message", levels)
    message.write_text("\n".join(messages) + "\n")
    books = [BOOK] * len(messages) if books is None else books
    (folder / HEAD.format(date, "orderbook", levels)).write_text("\n".join(books) + "\n")
    return message


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def only(source):
    (chunk,) = source.chunks()
    return chunk


def refused(path: Path, **named: object) -> str:
    with pytest.raises(BadInput) as caught:
        list(open_tape(path, **named).chunks())
    return str(caught.value)


def test_either_file_opens_the_pair(tmp_path):
    message = pair(tmp_path, ["34200.5,1,1,10,1000000,1"])
    sources = [open_tape(message), open_tape(tmp_path / HEAD.format("2012-06-21", "orderbook", 1))]
    assert sources[0].info == sources[1].info
    info = sources[0].info
    assert (info.symbol, info.format, info.evidence, info.calendar) == ("AAPL", "lobster", "L1", "XNAS")
    assert len(info.files) == 2 and info.rows == 1 and info.has_aggressor


def test_8_prices_are_ten_thousandths_and_empty_levels_are_missing(tmp_path):
    books = ["1000100,5,1000000,7,9999999999,0,-9999999999,0", "9999999999,0,1000000,7,9999999999,0,999900,3"]
    source = open_tape(pair(tmp_path, ["34200,1,1,10,1000000,1", "34201,3,2,5,1000100,-1"], books, levels=2))
    rows = only(source).quotes
    nan = np.nan
    assert np.array_equal(rows.ask_px, [100.01, nan], equal_nan=True)
    assert np.array_equal(rows.ask_sz, [5, nan], equal_nan=True)
    assert source.info.evidence == "L2" and rows.levels is not None
    assert np.array_equal(rows.levels.bid_px, [[100, nan], [100, 99.99]], equal_nan=True)
    assert np.array_equal(rows.levels.bid_sz, [[7, nan], [7, 3]], equal_nan=True)


def test_times_are_exact_to_the_nanosecond(tmp_path):
    texts = ["34200.004241176", "34200.00426064", "34200.1", "57599.999999999", "57600", "57600.000000001999"]
    source = open_tape(pair(tmp_path, [f"{t},1,1,1,1000000,1" for t in texts]))
    midnight = ns("2012-06-21T04:00:00")
    found = (only(source).quotes.ts_ns - midnight).tolist()
    expected = [
        34200004241176,
        34200004260640,
        34200100000000,
        57599999999999,
        57600000000000,
        57600000000001,
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("date", "opening"),
    [
        ("2024-01-02", "2024-01-02T14:30"),
        ("2024-03-08", "2024-03-08T14:30"),
        ("2024-03-11", "2024-03-11T13:30"),
        ("2024-07-01", "2024-07-01T13:30"),
        ("2024-11-01", "2024-11-01T13:30"),
        ("2024-11-04", "2024-11-04T14:30"),
    ],
)
def test_14_the_opening_follows_the_clock_of_new_york(tmp_path, date, opening):
    source = open_tape(pair(tmp_path, ["34200,1,1,1,1000000,1"], date=date))
    assert source.info.first_ns == ns(opening)


def test_6_a_trade_meets_the_book_before_its_own_row_and_hidden_ones_are_not_visible(tmp_path):
    messages = [
        "34200,1,1,10,1000000,1",
        "34201,4,1,3,1000000,1",
        "34202,5,0,2,1000050,-1",
        "34203,4,9,5,1000100,-1",
    ]
    rows = only(open_tape(pair(tmp_path, messages)))
    assert len(rows.quotes) == 4 and rows.trades.after_quote.tolist() == [1, 2, 3]
    assert rows.trades.aggressor.tolist() == [-1, 1, 1]
    assert rows.trades.visible.tolist() == [True, False, True]
    assert rows.trades.price.tolist() == [100, 100.005, 100.01] and rows.trades.size.tolist() == [3, 2, 5]


def test_4_crosses_are_no_continuous_trading_and_halts_are_left_out(tmp_path):
    messages = [
        "34200,1,1,10,1000000,1",
        "34201,7,0,0,-1,-1",
        "34202,3,1,10,1000000,1",
        "34203,7,0,0,0,-1",
        "34204,6,-1,500,1000000,-1",
        "34205,7,0,0,1,-1",
        "34206,4,3,1,1000000,1",
    ]
    for chunk_rows in (1, 3, 100):
        source = open_tape(pair(tmp_path, messages), chunk_rows=chunk_rows)
        chunks = list(source.chunks())
        ts = np.concatenate([c.quotes.ts_ns for c in chunks])
        assert ((ts - ts[0]) // 10**9).tolist() == [0, 6]
        assert np.concatenate([c.trades.continuous for c in chunks]).tolist() == [False, True]
        assert np.concatenate([c.trades.aggressor for c in chunks]).tolist() == [0, -1]
        assert np.concatenate([c.trades.after_quote for c in chunks]).tolist() == [1, 1]
        tally = source.tally()
        assert tally.removed == {"halt": 2, "halt_marker": 3} and tally.rows == 7 == len(ts) + 5
        assert any("1 trading halts" in note for note in source.info.notes)
        assert source.info.breaks_ns == (int(ts[0]) + 5 * 10**9,)


def test_4_a_cross_without_a_halt_is_no_continuous_trading(tmp_path):
    source = open_tape(pair(tmp_path, ["34200,6,-1,500,1000000,-1", "34201,4,1,3,1000000,1"]))
    rows = only(source)
    assert rows.trades.continuous.tolist() == [False, True] and len(rows.quotes) == 2
    assert any("1 executions in crosses" in note for note in source.info.notes)


def test_files_of_unequal_length_are_refused(tmp_path):
    path = pair(tmp_path, ["34200,1,1,1,1000000,1"] * 3, [BOOK] * 2)
    assert "expected 3 rows" in refused(path) and "not whole" in refused(path)


def test_a_missing_sibling_and_wrong_names_are_refused(tmp_path):
    path = pair(tmp_path, ["34200,1,1,1,1000000,1"])
    (tmp_path / HEAD.format("2012-06-21", "orderbook", 1)).unlink()
    assert "orderbook_1.csv" in refused(path)
    other = tmp_path / "messages.csv"
    other.write_text("1,2\n")
    assert "message_N.csv" in refused(other, format="lobster")
    assert "the date 2012-13-41" in refused(pair(tmp_path, ["34200,1,1,1,1000000,1"], date="2012-13-41"))
    assert "only AAPL" in refused(pair(tmp_path, ["34200,1,1,1,1000000,1"]), symbol="MSFT")


@pytest.mark.parametrize(
    ("message", "column"),
    [
        ("x,1,1,1,1000000,1", "time"),
        ("-1,1,1,1,1000000,1", "time"),
        ("34200,8,1,1,1000000,1", "type"),
        ("34200,,1,1,1000000,1", "type"),
        ("34200,4,1,x,1000000,1", "size"),
        ("34200,4,1,0,1000000,1", "size"),
        ("34200,4,1,1,0,1", "price"),
        ("34200,4,1,1,1000000,0", "direction"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(tmp_path, message, column):
    text = refused(pair(tmp_path, ["34200,1,1,1,1000000,1", message]))
    assert f"message_1.csv, row 2, column {column}" in text


def test_ragged_rows_and_empty_files_are_refused(tmp_path):
    assert "row 2" in refused(pair(tmp_path, ["34200,1,1,1,1000000,1"] * 2, [BOOK, "1,2,3"]))
    assert "expected 8 columns" in refused(pair(tmp_path, ["34200,1,1,1,1000000,1"], levels=2))
    path = pair(tmp_path, ["34200,1,1,1,1000000,1"])
    path.write_bytes(b"")
    assert "an empty file" in refused(path)


@pytest.mark.real_data
def test_real_pair():
    folder = REAL / "lobster_aapl_2012-06-21_first49s"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there (set REGIME_REAL_DATA)")
    source = open_tape(next(folder.glob("*message*")))
    rows = only(source)
    assert (len(rows.quotes), len(rows.trades), int(rows.trades.visible.sum())) == (999, 159, 98)
    assert source.info.first_ns == ns("2012-06-21T13:30:00.004241176")
    levels = rows.quotes.levels
    assert levels is not None and levels.bid_px.shape == (999, 10)
    assert (np.diff(levels.bid_px, axis=1) < 0).all() and (np.diff(levels.ask_px, axis=1) > 0).all()
    met = rows.trades.visible & (rows.trades.after_quote > 0)
    before = rows.trades.after_quote[met] - 1
    bought = rows.trades.aggressor[met] > 0
    touch = np.where(bought, rows.quotes.ask_px[before], rows.quotes.bid_px[before])
    assert np.array_equal(touch, rows.trades.price[met])
