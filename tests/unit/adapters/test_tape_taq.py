"""Raw consolidated tape: the best bid and offer of all venues, and counts that add up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regime_trading.adapters.tape import open_tape
from regime_trading.adapters.tape.table import open_table
from regime_trading.adapters.tape.taq import STALE_NS, TaqQuotes, reason_of
from regime_trading.core.errors import BadInput

REAL = Path(os.environ.get("REGIME_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
OPEN = int(np.datetime64("2018-01-02T14:30:00", "ns").astype(np.int64))
S = 10**9
Row = tuple[float, str, float, int, float, int]


def stamps(seconds: list[float], start: int = OPEN) -> pa.Array:
    ns = [start + round(s * S) for s in seconds]
    return pa.array(ns, pa.int64()).cast(pa.timestamp("ns", "UTC"))


def venue_quotes(folder: Path, *rows: Row, start: int = OPEN) -> Path:
    names = ("ex", "bid", "bidsiz", "ofr", "ofrsiz")
    columns = dict(zip(names, map(list, list(zip(*rows, strict=True))[1:]), strict=True))
    table = pa.table(
        {"ts_event": stamps([r[0] for r in rows], start), **columns, "symbol": ["X"] * len(rows)}
    )
    pq.write_table(table, folder / "q.parquet")
    return folder / "q.parquet"


def prints(folder: Path, **columns: list[object]) -> Path:
    rows = len(columns["price"])
    defaults = {"ts_event": stamps([k + 1 for k in range(rows)]), "ex": ["N"] * rows, "size": [100] * rows}
    defaults |= {"cond": [""] * rows, "corr": [0] * rows}
    pq.write_table(pa.table({**defaults, **columns}), folder / "t.parquet")
    return folder / "t.parquet"


def best(path: Path, **named: object):
    source = open_tape(path, **named)
    (chunk,) = source.chunks()
    q = chunk.quotes
    states = list(
        zip(q.bid_px.tolist(), q.ask_px.tolist(), q.bid_sz.tolist(), q.ask_sz.tolist(), strict=True)
    )
    return states, source


def test_1_the_best_quote_is_over_all_venues_with_the_sizes_at_it(tmp_path):
    path = venue_quotes(
        tmp_path,
        (1, "N", 10, 2, 11, 3),
        (2, "P", 10, 1, 10.5, 4),
        (3, "T", 9, 9, 10.5, 1),
        (4, "N", 9, 1, 11, 1),
    )
    states, source = best(path)
    assert states == [(10, 11, 200, 300), (10, 10.5, 300, 400), (10, 10.5, 300, 500), (10, 10.5, 100, 500)]
    assert source.info.format == "taq" and source.info.calendar == "XNYS" and not source.info.has_trades


def test_8_sizes_are_round_lots_unless_said_otherwise(tmp_path):
    path = venue_quotes(tmp_path, (1, "N", 10, 2, 11, 3))
    assert best(path)[0] == [(10, 11, 200, 300)]
    assert best(path, lot_size=1)[0] == [(10, 11, 2, 3)]
    assert any("lots of 100 shares" in note for note in open_tape(path).info.notes)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ((0, 0, 0, 0), "venue_non_positive"),
        ((10, -1, 11, 1), "venue_non_positive"),
        ((10.5, 1, 0, 0), "venue_one_sided"),
        ((0, 1, 11, 1), "venue_one_sided"),
        ((10.5, 0, 11, 1), "venue_one_sided"),
        ((11.5, 1, 11, 1), "venue_crossed"),
    ],
)
def test_1_an_invalid_quote_takes_its_venue_out_until_the_next_good_one(tmp_path, bad, reason):
    path = venue_quotes(
        tmp_path,
        (1, "P", 10.5, 1, 10.9, 1),
        (2, "N", 10, 2, 11, 3),
        (3, "P", *bad),
        (4, "N", 10, 2, 11, 3),
        (5, "P", 10.6, 1, 10.8, 1),
    )
    states, source = best(path)
    assert states[1:] == [(10.5, 10.9, 100, 100), (10, 11, 200, 300), (10.6, 10.8, 100, 100)]
    assert source.tally().removed == {reason: 1} and source.tally().rows == 5


def test_1_a_stale_venue_is_left_out(tmp_path):
    limit = STALE_NS // S
    rows = [(1, "P", 10.5, 1, 10.9, 1), (1 + limit, "N", 10, 2, 11, 3), (1.1 + limit, "N", 10, 2, 11, 3)]
    assert best(venue_quotes(tmp_path, *rows))[0][1:] == [(10.5, 10.9, 100, 100), (10, 11, 200, 300)]


@pytest.mark.parametrize("later", [(10.9, 1, 11.2, 1), (11, 1, 11.2, 1), (10, 1, 10.5, 1), (10, 1, 10.4, 1)])
def test_1_a_later_quote_that_locks_or_crosses_an_older_one_ends_it(tmp_path, later):
    path = venue_quotes(tmp_path, (1, "P", 10.5, 1, 10.9, 1), (2, "N", *later), (3, "T", 10.2, 1, 10.95, 1))
    bid, _, ask, _ = later
    states, source = best(path)
    assert states[1][:2] == (bid, ask) and "crossed" not in str(source.tally().removed)


def test_4_and_14_quotes_outside_the_session_are_counted_but_known(tmp_path):
    path = venue_quotes(
        tmp_path, (-1, "P", 10.5, 1, 10.9, 1), (0, "N", 10, 2, 11, 3), (6.5 * 3600, "N", 10, 2, 11, 3)
    )
    states, source = best(path)
    assert states == [(10.5, 10.9, 100, 100), (10, 11, 200, 300)]
    assert source.tally().removed == {"outside_session": 1}


@pytest.mark.parametrize(
    ("opening", "hours"),
    [
        ("2018-01-02T14:30", 6.5),
        ("2018-07-02T13:30", 6.5),
        ("2018-07-03T13:30", 3.5),
        ("2018-11-23T14:30", 3.5),
    ],
)
def test_14_half_days_and_summer_time(tmp_path, opening, hours):
    start = int(np.datetime64(opening, "ns").astype(np.int64))
    close = hours * 3600
    rows = [(s, "N", 10.0, 1, 11.0, 1) for s in (-0.001, 0, close, close + 0.001)]
    _, source = best(venue_quotes(tmp_path, *rows, start=start))
    assert source.tally().removed == {"outside_session": 2}


def test_11_corrections_are_removed_and_conditions_are_marked(tmp_path):
    cond = ["", "F I", "@", "TI", "O", "6", "M", "4 B", "Z", "?", "@F"]
    path = prints(tmp_path, price=[10.0] * 11, cond=cond, corr=[0] * 10 + [8])
    source = open_tape(path)
    (chunk,) = source.chunks()
    assert chunk.trades.continuous.tolist() == [True] * 3 + [False] * 7
    assert source.tally().trades == 11 and source.tally().trades_removed == {"corrected": 1}
    assert source.info.evidence == "trades" and not source.info.has_aggressor
    note = source.info.notes[-1]
    for part in (
        "auction 3",
        "extended_hours 1",
        "other_price 1",
        "out_of_sequence 1",
        "unknown_condition 1",
    ):
        assert part in note


def test_trades_outside_the_session_are_no_continuous_trading(tmp_path):
    path = prints(tmp_path, price=[10.0, 10.0], ts_event=stamps([-1, 1]))
    (chunk,) = open_tape(path).chunks()
    assert chunk.trades.continuous.tolist() == [False, True]


def test_trades_without_a_price_are_removed_and_counted(tmp_path):
    source = open_tape(prints(tmp_path, price=[10.0, 0.0, float("nan")], size=[1, 1, 1]))
    assert sum(len(c.trades) for c in source.chunks()) == 1
    assert source.tally().trades_removed == {"non_positive": 2}


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ("", None),
        ("@F I", None),
        ("T", "extended_hours"),
        ("OT", "auction"),
        ("4 B", "other_price"),
        ("j", "unknown_condition"),
    ],
)
def test_sale_conditions(conditions, reason):
    assert reason_of(conditions) == reason


def test_taq_refusals(tmp_path):
    path = venue_quotes(tmp_path, (1, "N", 10, 2, 11, 3))
    for named in ({"lot_size": 0}, {"symbol": "Y"}):
        with pytest.raises(BadInput):
            open_tape(path, **named)
    bad = venue_quotes(tmp_path, (1, "N", 10, 2, 11, 3), (2, "NY", 10, 2, 11, 3))
    with pytest.raises(BadInput, match="row 2, column ex"):
        list(open_tape(bad).chunks())
    with pytest.raises(BadInput, match="missing: bid, "):
        TaqQuotes(open_table(prints(tmp_path, price=[1.0])), None)


@pytest.fixture(scope="module")
def raw() -> tuple[Path, Path]:
    files = REAL / "taq_quotes_raw_2018-01.parquet", REAL / "taq_trades_raw_2018-01.parquet"
    if not files[0].is_file():
        pytest.skip(f"no real data: {files[0]} is not there (set REGIME_REAL_DATA)")
    return files


@pytest.mark.real_data
def test_1_the_real_sample_adds_up_and_its_spread_is_sensible(raw):
    table = pq.read_table(raw[0])
    bid, ask, bid_size, ask_size = (table[c].to_numpy() for c in ("bid", "ofr", "bidsiz", "ofrsiz"))
    assert ((bid > ask).sum(), (bid == ask).sum(), (bid <= 0).sum(), (ask <= 0).sum()) == (44, 35, 52, 79)
    assert ((bid_size == 0) | (ask_size == 0)).sum() == 96
    source = open_tape(*raw, chunk_rows=20_000)
    chunks = list(source.chunks())
    bids, asks = (np.concatenate([getattr(c.quotes, n) for c in chunks]) for n in ("bid_px", "ask_px"))
    tally = source.tally()
    assert tally.rows == 131_401 == len(bids) + sum(tally.removed.values())
    assert tally.removed == {"outside_session": 776, "venue_non_positive": 35, "venue_one_sided": 61}
    assert 0.02 < (asks - bids).mean() < 0.03
    assert (asks <= bids).sum() == 0
    assert tally.trades == 77_263 and tally.trades_removed == {"corrected": 2}
    assert sum(len(c.trades) for c in chunks) == 77_261


@pytest.mark.real_data
def test_3_real_repeated_times_keep_the_order_they_arrived_in(raw):
    table = pq.read_table(raw[0])
    assert (np.diff(table["ts_event"].cast(pa.int64()).to_numpy()) == 0).sum() == 70_944
    together = [c.quotes.bid_px for c in open_tape(raw[0]).chunks()]
    apart = [c.quotes.bid_px for c in open_tape(raw[0], chunk_rows=777).chunks()]
    assert np.array_equal(np.concatenate(together), np.concatenate(apart))
