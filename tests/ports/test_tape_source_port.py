"""Every reader of tapes answers the ``TapeSource`` port alike."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import databento_dbn as dbn
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.adapters.tape import import_tape, open_folder_tapes, open_tape
from regime_trading.core.ports import TapeSource

#: 14:30 UTC on a trading day, so that raw consolidated quotes lie inside the session
T0 = int(np.datetime64("2018-01-02T14:30:00", "ns").astype(np.int64))
Times = list[int]
Open = Callable[..., TapeSource]


def stamps(times: Times) -> pa.Array:
    return pa.array([T0 + t for t in times], pa.int64()).cast(pa.timestamp("ns", "UTC"))


def numbers(times: Times) -> np.ndarray:
    return np.arange(len(times)) % 5 + 100.0


def book(times: Times) -> dict[str, object]:
    bid, size = numbers(times), np.arange(len(times)) % 3 + 1
    return {"ts_event": stamps(times), "bid_px": bid, "ask_px": bid + 1, "bid_sz": size, "ask_sz": size}


def events(times: Times) -> dict[str, object]:
    n = len(times)
    actions = np.where(np.arange(n) % 3 == 1, "T", "A")
    return {
        "action": actions,
        "side": np.resize(["A", "B", "N"], n),
        "price": numbers(times),
        "size": [1] * n,
    }


def prints(times: Times) -> dict[str, object]:
    later = [t + 1 for t in times]
    return {"ts_event": stamps(later), "price": numbers(times), "size": [2] * len(times)}


def save(path: Path, columns: dict[str, object]) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=7)
    return path


def parquet(folder: Path, times: Times) -> Open:
    q, t = save(folder / "q.parquet", book(times)), save(folder / "t.parquet", prints(times))
    return lambda **named: open_tape(q, t, **named)


def together(folder: Path, times: Times) -> Open:
    path = save(folder / "b.parquet", book(times) | events(times))
    return lambda **named: open_tape(path, **named)


def trades(folder: Path, times: Times) -> Open:
    path = save(folder / "p.parquet", prints(times))
    return lambda **named: open_tape(path, **named)


def csv(folder: Path, times: Times) -> Open:
    path = folder / "q.csv"
    rows = [f"{T0 + t},{b},{b + 1},2,3" for t, b in zip(times, numbers(times), strict=True)]
    path.write_text("ts_event,bid_px,ask_px,bid_sz,ask_sz\n" + "\n".join(rows))
    return lambda **named: open_tape(path, **named)


def lobster(folder: Path, times: Times) -> Open:
    kinds = [1, 4, 7, 3, 5, 7, 6, 4]
    halts = [-1, 1]
    message, orderbook = [], []
    for k, t in enumerate(times):
        kind = kinds[k % 8]
        price = halts[(k % 8) // 5] if kind == 7 else 1_000_000
        message.append(f"{34200 + t // 10**9}.{t % 10**9:09d},{kind},{k},5,{price},{-1 if k % 2 else 1}")
        orderbook.append(f"1000100,{k + 1},1000000,7,1000200,1,9999999999,0")
    head = folder / "AAA_2018-01-02_34200000_57600000_"
    for name, lines in (("message", message), ("orderbook", orderbook)):
        head.with_name(f"{head.name}{name}_2.csv").write_text("\n".join(lines) + "\n")
    return lambda **named: open_tape(head.with_name(f"{head.name}message_2.csv"), **named)


def _dbn(folder: Path, schema: str, records: list[object]) -> Open:
    days = {"start_date": dt.date(2018, 1, 2), "end_date": dt.date(2018, 1, 3)}
    mapping = SimpleNamespace(raw_symbol="AAA", intervals=[SimpleNamespace(**days, symbol="7")])
    metadata = dbn.Metadata(
        "XNAS.ITCH",
        T0,
        dbn.SType.RAW_SYMBOL,
        dbn.SType.INSTRUMENT_ID,
        dbn.Schema.from_str(schema),
        symbols=["AAA"],
        mappings=[mapping],
    )
    path = folder / f"{schema}.dbn"
    path.write_bytes(metadata.encode() + b"".join(bytes(r) for r in records))
    return lambda **named: open_tape(path, **named)


def mbp1(folder: Path, times: Times) -> Open:
    records: list[object] = []
    for k, t in enumerate(times):
        action = dbn.Action.TRADE if k % 3 == 1 else dbn.Action.ADD
        level = dbn.BidAskPair(10**9, 2 * 10**9, k + 1, 2)
        flags = [128, 0, 132, 128][k % 4] if k else 128
        fields = (10**9, 1, action, dbn.Side.BID, 0, T0 + t)
        records.append(dbn.MBP1Msg(1, 7, T0 + t, *fields, flags=flags, levels=level))
    return _dbn(folder, "mbp-1", records)


def mbo(folder: Path, times: Times) -> Open:
    records = []
    for k, t in enumerate(times):
        action = [dbn.Action.ADD, dbn.Action.TRADE, dbn.Action.ADD, dbn.Action.CANCEL][k % 4]
        order, side = (k - 1 if k % 4 == 3 else k), (dbn.Side.ASK if k % 8 > 3 else dbn.Side.BID)
        price = (20 + k % 5 if side is dbn.Side.ASK else 10 - k % 5) * 10**9
        records.append(dbn.MBOMsg(1, 7, T0 + t, order, price, 1 + k % 3, action, side, T0 + t, flags=128))
    return _dbn(folder, "mbo", records)


def taq(folder: Path, times: Times) -> Open:
    n = len(times)
    bid = np.where(np.arange(n) % 7 == 6, 0.0, numbers(times))
    sizes = {"bidsiz": np.arange(n) % 11, "ofrsiz": [1] * n}
    table = {
        "ts_event": stamps(times),
        "ex": np.resize(list("NPTZ"), n),
        "bid": bid,
        "ofr": numbers(times) + 2,
    }
    q = save(folder / "q.parquet", table | sizes)
    further = {"ex": ["N"] * n, "cond": np.resize(["", "F I", "T"], n), "corr": np.arange(n) % 5 // 4}
    t = save(folder / "t.parquet", prints(times) | further)
    return lambda **named: open_tape(q, t, **named)


def imported(folder: Path, times: Times) -> Open:
    import_tape(together(folder, times)(), folder / "tape", overwrite=True)
    (opener,) = open_folder_tapes(folder / "tape").values()
    return opener


READERS = [parquet, together, trades, csv, lobster, mbp1, mbo, taq, imported]
readers = pytest.mark.parametrize("reader", READERS, ids=lambda r: r.__name__)


@st.composite
def times(draw: st.DrawFn) -> Times:
    """Nearly in order: steps of 0 to 3 ns, and now and then a row that comes late."""
    steps = draw(st.lists(st.integers(0, 3), min_size=4, max_size=30))
    found = np.cumsum(steps) + 5
    for k in draw(st.sets(st.integers(1, len(found) - 1), max_size=len(found) // 4)):
        found[k] -= draw(st.integers(1, 5))
    return [max(int(t), 0) for t in found]


def fields(source: TapeSource, until: int | None = None) -> dict[str, np.ndarray]:
    """The content of a tape, whatever its chunks."""
    chunks = list(source.chunks(until))
    names = ("ts_ns", "price", "size", "aggressor", "visible", "continuous", "after_quote")
    empty = np.empty(0, dtype=np.bool_)  # joins with any type
    found = {f"t.{n}": np.concatenate([empty, *(getattr(c.trades, n) for c in chunks)]) for n in names}
    for n in ("ts_ns", "bid_px", "ask_px", "bid_sz", "ask_sz"):
        found[n] = np.concatenate([empty, *(getattr(c.quotes, n) for c in chunks)])
        deep = [getattr(c.quotes.levels, n) for c in chunks if n != "ts_ns" and c.quotes.levels is not None]
        if any(len(d) for d in deep):
            found[f"levels.{n}"] = np.concatenate(deep)
    return found


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert {n for n in a if a[n].size} == {n for n in b if b[n].size}
    for name in a.keys() & b.keys():
        assert np.array_equal(a[name], b[name], equal_nan=True), name


def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tape")


@readers
@settings(max_examples=15, deadline=None)
@given(times=times(), chunk_rows=st.integers(1, 40))
def test_rows_are_in_order_and_the_tally_adds_up(reader, tmp_path_factory, times, chunk_rows):
    source = reader(fresh(tmp_path_factory), times)(chunk_rows=chunk_rows)
    chunks = list(source.chunks())
    spans = []
    for chunk in chunks:
        assert len(chunk.quotes) <= chunk_rows and len(chunk.trades) <= chunk_rows
        lanes = [x.ts_ns for x in (chunk.quotes, chunk.trades) if len(x)]
        assert lanes and all((np.diff(ts) >= 0).all() for ts in lanes)
        spans.append((min(ts[0] for ts in lanes), max(ts[-1] for ts in lanes)))
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    tally, info = source.tally(), source.info
    quotes, made = sum(len(c.quotes) for c in chunks), sum(len(c.trades) for c in chunks)
    assert tally.rows == info.rows == quotes + sum(tally.removed.values())
    assert tally.trades == made + sum(tally.trades_removed.values())
    assert info.first_ns <= spans[0][0] and spans[-1][1] <= info.last_ns
    if reader not in (trades, mbo, imported):
        assert tally.out_of_order == late_states(reader, times)


def late_states(reader: Callable[..., Open], times: Times) -> int:
    """States of the book earlier than a state or an execution before them."""
    k, ts = np.arange(len(times)), np.array(times)
    state = (k % 4 != 1) | (k == 0) if reader is mbp1 else k >= 0
    rows = state | (k % 3 == 1)
    late = ts[rows] < np.maximum.accumulate(ts[rows])
    return int(late[state[rows]].sum())


@readers
@settings(max_examples=15, deadline=None)
@given(times=times(), chunk_rows=st.integers(1, 40))
def test_the_content_does_not_depend_on_the_chunks(reader, tmp_path_factory, times, chunk_rows):
    opener = reader(fresh(tmp_path_factory), times)
    a, b = opener(), opener(chunk_rows=chunk_rows)
    same(fields(a), fields(b))
    assert a.tally() == b.tally() and a.info == b.info


@readers
@settings(max_examples=15, deadline=None)
@given(times=times(), cut=st.integers(0, 60), chunk_rows=st.integers(1, 40))
def test_until_is_a_prefix_of_the_tape(reader, tmp_path_factory, times, cut, chunk_rows):
    source = reader(fresh(tmp_path_factory), times)(chunk_rows=chunk_rows)
    whole, until = fields(source), T0 + cut
    quotes, made = int((whole["ts_ns"] <= until).sum()), int((whole["t.ts_ns"] <= until).sum())
    expected = {n: v[: made if n.startswith("t.") else quotes] for n, v in whole.items()}
    same(fields(source, until), expected)
    tally = source.tally()
    assert quotes == tally.rows - sum(tally.removed.values())
    assert made == tally.trades - sum(tally.trades_removed.values())


@pytest.mark.parametrize("reader", [parquet, together, trades, csv, taq], ids=lambda r: r.__name__)
@settings(max_examples=15, deadline=None)
@given(times=times(), cut=st.integers(5, 60))
def test_rows_after_until_change_nothing_before_it(reader, tmp_path_factory, times, cut):
    folder = fresh(tmp_path_factory)
    later = [t if t <= cut else 1000 + 7 * k for k, t in enumerate(times)]
    a = reader(folder, times)()
    before, tally = fields(a, T0 + cut), a.tally()
    b = reader(folder, later)()
    same(before, fields(b, T0 + cut))
    assert tally == b.tally()


@readers
def test_after_quote_never_points_past_the_chunk(reader, tmp_path):
    source = reader(tmp_path, [0, 0, 0, 1, 1, 1, 1, 2, 2, 5, 5, 5])(chunk_rows=2)
    seen = 0
    for chunk in source.chunks():
        seen += len(chunk.quotes)
        assert (chunk.trades.after_quote <= seen).all()


@readers
def test_no_tally_before_there_was_a_reading(reader, tmp_path):
    source = reader(tmp_path, [0, 1, 2, 3])()
    with pytest.raises(RuntimeError):
        source.tally()
    list(source.chunks(T0 - 1))
    assert source.tally().rows == 0
