"""Databento files: states at the end of events, snapshots, books built from orders, damaged bytes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from databento_dbn import Action, BidAskPair, Side

from regime_trading.adapters.tape import open_tape
from regime_trading.core.errors import BadInput

T0 = int(np.datetime64("2024-07-01T13:30:00", "ns").astype(np.int64))
S, LAST, SNAPSHOT, TOB = 10**9, 128, 32, 64
BAD_RECV, BAD_BOOK = 8, 4
PX = 10**9


def metadata(schema: str, symbols: dict[str, int], dataset="GLBX.MDP3", version=3) -> bytes:
    days = {"start_date": dt.date(2024, 7, 1), "end_date": dt.date(2024, 7, 2)}
    mappings = [
        SimpleNamespace(raw_symbol=name, intervals=[SimpleNamespace(**days, symbol=str(number))])
        for name, number in symbols.items()
    ]
    return dbn.Metadata(
        dataset,
        T0,
        dbn.SType.RAW_SYMBOL,
        dbn.SType.INSTRUMENT_ID,
        dbn.Schema.from_str(schema),
        symbols=list(symbols),
        mappings=mappings,
        version=version,
    ).encode()


def put(folder: Path, schema: str, records: Sequence[object], name="x.dbn", **named: object) -> Path:
    data = metadata(schema, named.pop("symbols", {"ESU4": 7}), **named) + b"".join(bytes(r) for r in records)
    path = folder / name
    path.write_bytes(zstandard.compress(data) if name.endswith(".zst") else data)
    return path


def mbo(
    k: float,
    action: Action,
    side: Side,
    price: float,
    size: int,
    order: int,
    flags=LAST,
    instrument=7,
    **more,
):
    ts = T0 + round(k * S)
    fixed = dbn.UNDEF_PRICE if price != price else round(price * PX)
    fields = {"publisher_id": 1, "ts_recv": ts + 50} | more
    return dbn.MBOMsg(
        instrument_id=instrument,
        ts_event=ts,
        order_id=order,
        price=fixed,
        size=size,
        action=action,
        side=side,
        flags=flags,
        **fields,
    )


def mbp1(
    k: float,
    bid: tuple[float, int],
    ask: tuple[float, int],
    action=Action.ADD,
    side=Side.BID,
    price=1.0,
    size=1,
    flags=LAST,
    instrument=7,
    publisher=1,
    ts_recv=None,
):
    ts = T0 + round(k * S)
    fixed = [dbn.UNDEF_PRICE if p != p else round(p * PX) for p in (bid[0], ask[0])]
    return dbn.MBP1Msg(
        publisher,
        instrument,
        ts,
        round(price * PX),
        size,
        action,
        side,
        0,
        ts_recv or ts + 50,
        flags=flags,
        levels=BidAskPair(fixed[0], fixed[1], bid[1], ask[1]),
    )


def only(source):
    (chunk,) = source.chunks()
    return chunk


def refused(path: Path, **named: object) -> str:
    with pytest.raises(BadInput) as caught:
        list(open_tape(path, **named).chunks())
    assert "\n" not in str(caught.value)
    return str(caught.value)


A, C, M, T, F, R = Action.ADD, Action.CANCEL, Action.MODIFY, Action.TRADE, Action.FILL, Action.CLEAR
B, K, N = Side.BID, Side.ASK, Side.NONE
NAN = float("nan")


# --- market by price --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.dbn", "x.dbn.zst", "data.bin"])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_8_prices_are_billionths_in_every_version(tmp_path, name, version):
    records = [mbp1(0, (5528.25, 3), (5528.5, 4)), mbp1(1, (NAN, 0), (5528.5, 4))]
    source = open_tape(put(tmp_path, "mbp-1", records, name=name, version=version))
    rows = only(source).quotes
    assert np.array_equal(rows.bid_px, [5528.25, NAN], equal_nan=True)
    assert np.array_equal(rows.bid_sz, [3, NAN], equal_nan=True)
    assert rows.ask_px.tolist() == [5528.5] * 2 and rows.ts_ns.tolist() == [T0, T0 + S]
    info = source.info
    assert (info.symbol, info.format, info.evidence, info.calendar) == ("ESU4", "dbn", "L1", "CMES")


@pytest.mark.parametrize(
    ("dataset", "calendar"), [("XNAS.ITCH", "XNAS"), ("XNYS.PILLAR", "XNYS"), ("IFEU.IMPACT", None)]
)
def test_the_dataset_implies_the_calendar(tmp_path, dataset, calendar):
    source = open_tape(put(tmp_path, "mbp-1", [mbp1(0, (1, 1), (2, 1))], dataset=dataset))
    assert source.info.calendar == calendar


def test_5_a_state_stands_at_the_end_of_its_event_and_trades_do_not_move_it(tmp_path):
    records = [
        mbp1(0, (10, 5), (11, 5)),
        mbp1(1, (10, 5), (11, 5), action=T, side=B, price=11, size=2, flags=0),
        mbp1(1, (10, 5), (11, 3), action=C, side=K),
        mbp1(2, (10, 5), (11, 3), action=T, side=K, price=10, size=4),
        mbp1(3, (10, 5), (11, 3), action=T, side=N, price=10.5, size=1),
    ]
    source = open_tape(put(tmp_path, "mbp-1", records))
    rows = only(source)
    assert rows.quotes.ask_sz.tolist() == [5, 3, 3, 3] and source.info.rows == 4
    assert rows.trades.after_quote.tolist() == [1, 2, 3]
    assert rows.trades.aggressor.tolist() == [1, -1, 0]
    assert rows.trades.price.tolist() == [11, 10, 10.5] and rows.trades.size.tolist() == [2, 4, 1]


def test_5_a_snapshot_stands_at_the_time_it_was_taken(tmp_path):
    records = [
        mbp1(1, (10, 5), (11, 5)),
        mbp1(-9, (10, 7), (11, 7), flags=LAST | SNAPSHOT, ts_recv=T0 + 2 * S),
        mbp1(3, (10, 8), (11, 8)),
    ]
    source = open_tape(put(tmp_path, "mbp-1", records))
    rows = only(source).quotes
    assert rows.bid_sz.tolist() == [5, 7, 8] and rows.ts_ns[1] == T0 + 2 * S
    assert source.tally().out_of_order == 0


def test_doubtful_books_are_removed_and_doubtful_receipts_are_noted(tmp_path):
    records = [
        mbp1(0, (10, 5), (11, 5), flags=LAST | BAD_RECV),
        mbp1(1, (10, 6), (11, 5), flags=LAST | BAD_BOOK),
        mbp1(2, (10, 7), (11, 5), action=T, price=11),
        mbp1(3, (10, 7), (11, 5), action=T, price=-1),
    ]
    source = open_tape(put(tmp_path, "mbp-1", records))
    rows = only(source)
    assert rows.quotes.bid_sz.tolist() == [5, 7, 7] and rows.trades.after_quote.tolist() == [1]
    tally = source.tally()
    assert (tally.rows, tally.removed) == (4, {"maybe_bad_book": 1})
    assert (tally.trades, tally.trades_removed) == (2, {"non_positive": 1})
    assert any("1 records with a doubtful time" in note for note in source.info.notes)


def test_11_late_states_are_sorted_by_the_time_of_the_event(tmp_path):
    records = [mbp1(k, (10, n), (11, 1)) for n, k in enumerate([0, 3, 2, 4], start=1)]
    source = open_tape(put(tmp_path, "mbp-1", records))
    assert only(source).quotes.bid_sz.tolist() == [1, 3, 2, 4] and source.tally().out_of_order == 1


def test_several_instruments_need_a_symbol_and_several_publishers_have_no_one_book(tmp_path):
    records = [
        mbp1(0, (1, 1), (2, 1)),
        mbp1(1, (5, 5), (6, 1), instrument=8),
        mbp1(2, (7, 7), (8, 1), instrument=9),
    ]
    path = put(tmp_path, "mbp-1", records, symbols={"ESU4": 7, "ESZ4": 8})
    assert "several: 9, ESU4, ESZ4" in refused(path)
    assert only(open_tape(path, symbol="ESZ4")).quotes.bid_px.tolist() == [5]
    assert only(open_tape(path, symbol="9")).quotes.bid_px.tolist() == [7]
    two = put(tmp_path, "mbp-1", [mbp1(0, (1, 1), (2, 1)), mbp1(1, (1, 1), (2, 1), publisher=2)])
    assert "publishers 1, 2" in refused(two)


def test_tbbo_has_the_book_before_each_trade(tmp_path):
    records = [mbp1(k, (10, k + 1), (11, 1), action=T, price=11, flags=LAST) for k in range(2)]
    rows = only(open_tape(put(tmp_path, "tbbo", records)))
    assert rows.trades.after_quote.tolist() == [1, 2] and rows.quotes.bid_sz.tolist() == [1, 2]


def test_trades_of_their_own_file(tmp_path):
    trades = [dbn.TradeMsg(1, 7, T0 + k, 11 * PX, 2, T, K, 0, T0 + k, flags=LAST) for k in range(3)]
    path = put(tmp_path, "trades", trades, name="t.dbn")
    source = open_tape(path)
    assert source.info.evidence == "trades" and len(only(source).trades) == 3
    quotes = put(tmp_path, "mbp-1", [mbp1(0, (1, 1), (2, 1), action=T)])
    joined = open_tape(quotes, path)
    rows = only(joined)
    assert len(rows.quotes) == 1 and rows.trades.after_quote.tolist() == [-1] * 3
    assert rows.trades.aggressor.tolist() == [-1] * 3 and joined.tally().trades == 3
    assert "schema trades" in refused_pair(path, path)


def refused_pair(a: Path, b: Path) -> str:
    with pytest.raises(BadInput) as caught:
        open_tape(a, b)
    return str(caught.value)


# --- market by order --------------------------------------------------------------------------------------


def test_orders_make_levels(tmp_path):
    records = [
        mbo(0, R, N, NAN, 0, 0, flags=0),
        mbo(0, A, B, 10, 5, 1, flags=0),
        mbo(0, A, K, 11, 3, 2),
        mbo(1, A, B, 10, 2, 3),
        mbo(2, M, B, 9, 2, 3),
        mbo(3, C, B, 10, 1, 1),
        mbo(4, T, K, 10, 1, 0, flags=0),
        mbo(4, F, B, 10, 1, 1, flags=0),
        mbo(4, C, B, 10, 1, 1),
        mbo(5, C, B, 10, 1, 99),
        mbo(6, C, K, 11, 3, 2),
    ]
    source = open_tape(put(tmp_path, "mbo", records))
    rows = only(source)
    assert rows.quotes.bid_sz.tolist() == [5, 7, 5, 4, 3, 3]
    assert rows.quotes.ts_ns.tolist() == [T0 + k * S for k in (0, 1, 2, 3, 4, 6)]
    assert np.array_equal(rows.quotes.ask_px, [11] * 5 + [NAN], equal_nan=True)
    assert rows.quotes.levels is not None and rows.quotes.levels.bid_px[2, :3].tolist()[:2] == [10, 9]
    assert rows.trades.after_quote.tolist() == [4] and rows.trades.aggressor.tolist() == [-1]
    assert source.info.evidence == "L2" and any("1 cancellations" in note for note in source.info.notes)


def test_an_order_that_is_gone_may_come_again(tmp_path):
    records = [mbo(0, A, B, 10, 5, 1), mbo(1, C, B, 10, 5, 1), mbo(2, A, B, 9, 4, 1), mbo(3, A, B, 9, 3, 1)]
    rows = only(open_tape(put(tmp_path, "mbo", records))).quotes
    assert np.array_equal(rows.bid_px, [10, NAN, 9, 9], equal_nan=True)
    assert np.array_equal(rows.bid_sz, [5, NAN, 4, 3], equal_nan=True)


def test_5_a_snapshot_replaces_the_book(tmp_path):
    records = [
        mbo(0, A, B, 10, 5, 1),
        mbo(0, A, K, 11, 5, 2),
        mbo(-9, A, B, 10, 5, 1, flags=SNAPSHOT, ts_recv=T0 + S),
        mbo(-8, A, K, 11, 4, 4, flags=SNAPSHOT | LAST, ts_recv=T0 + S),
        mbo(2, A, B, 10, 1, 5),
    ]
    rows = only(open_tape(put(tmp_path, "mbo", records))).quotes
    assert np.array_equal(rows.bid_sz, [5, 5, 5, 6]) and np.array_equal(
        rows.ask_sz, [NAN, 5, 4, 4], equal_nan=True
    )
    assert rows.ts_ns.tolist() == [T0, T0, T0 + S, T0 + 2 * S]


def test_4_a_crossed_book_before_the_opening_is_handed_on(tmp_path):
    rows = only(open_tape(put(tmp_path, "mbo", [mbo(0, A, B, 12, 5, 1), mbo(1, A, K, 11, 5, 2)]))).quotes
    assert (rows.bid_px[1], rows.ask_px[1]) == (12, 11)


def test_a_top_of_book_order_replaces_its_side(tmp_path):
    records = [
        mbo(0, A, B, 10, 5, 1),
        mbo(1, A, B, 9, 4, 2, flags=LAST | TOB),
        mbo(2, A, B, NAN, 0, 3, flags=LAST | TOB),
    ]
    assert np.array_equal(
        only(open_tape(put(tmp_path, "mbo", records))).quotes.bid_px, [10, 9, NAN], equal_nan=True
    )


class Market:
    """A market by order, written twice: its orders, and the ten levels that a plain recount gives."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.orders: dict[int, tuple[Side, int, int]] = {}
        self.mbo: list[object] = []
        self.mbp: list[object] = []
        self.k = self.number = 0

    def levels(self) -> list[BidAskPair]:
        totals: dict[Side, dict[int, int]] = {B: {}, K: {}}
        for side, price, size in self.orders.values():
            totals[side][price] = totals[side].get(price, 0) + size
        bids, asks = sorted(totals[B], reverse=True)[:10], sorted(totals[K])[:10]
        none = (dbn.UNDEF_PRICE, 0)
        pairs = []
        for j in range(10):
            bid = (bids[j], totals[B][bids[j]]) if j < len(bids) else none
            ask = (asks[j], totals[K][asks[j]]) if j < len(asks) else none
            pairs.append(BidAskPair(bid[0], ask[0], bid[1], ask[1]))
        return pairs

    def publish(self, action: Action, side: Side, price: int, size: int, flags: int) -> None:
        ts = T0 + self.k * 1000
        fields = (price, size, action, side, 0, ts + 9)
        self.mbp.append(dbn.MBP10Msg(1, 7, ts, *fields, flags=flags, levels=self.levels()))

    def order(self, action: Action, side: Side, price: int, size: int, order: int, flags=LAST) -> None:
        ts = T0 + self.k * 1000
        self.mbo.append(dbn.MBOMsg(1, 7, ts, order, price, size, action, side, ts + 9, flags=flags))

    def step(self) -> None:
        self.k += int(self.rng.integers(0, 3))
        side = B if self.rng.random() < 0.5 else K
        choice = self.rng.random()
        if choice < 0.5 or len(self.orders) < 4:
            self.number += 1
            price = (
                100 + int(self.rng.integers(-15, 0 if side == B else 15)) + (0 if side == B else 16)
            ) * PX
            size = int(self.rng.integers(1, 9))
            self.orders[self.number] = (side, price, size)
            self.order(A, side, price, size, self.number)
            self.publish(A, side, price, size, LAST)
            return
        number = int(self.rng.choice(list(self.orders)))
        side, price, size = self.orders[number]
        if choice < 0.65:
            price, size = price + (-PX if side == B else PX), int(self.rng.integers(1, 9))
            self.orders[number] = (side, price, size)
            self.order(M, side, price, size, number)
            self.publish(M, side, price, size, LAST)
            return
        taken = int(self.rng.integers(1, size + 1))
        if choice < 0.8:
            aggressor = K if side == B else B
            self.order(T, aggressor, price, taken, 0, flags=0)
            self.publish(T, aggressor, price, taken, 0)
            self.order(F, side, price, taken, number, flags=0)
        if taken == size:
            del self.orders[number]
        else:
            self.orders[number] = (side, price, size - taken)
        self.order(C, side, price, taken, number)
        self.publish(C, side, price, taken, LAST)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_book_built_from_orders_is_the_published_one(tmp_path, seed):
    market = Market(seed)
    for _ in range(1500):
        market.step()
    by_order = open_tape(put(tmp_path, "mbo", market.mbo, name="o.dbn.zst"))
    by_price = open_tape(put(tmp_path, "mbp-10", market.mbp, name="p.dbn"))
    a, b = only(by_order), only(by_price)
    book = [
        np.column_stack([getattr(x.quotes.levels, f) for f in ("bid_px", "ask_px", "bid_sz", "ask_sz")])
        for x in (a, b)
    ]
    filled = np.nan_to_num(book[1], nan=-1)
    changed = np.concatenate(([True], (filled[1:] != filled[:-1]).any(axis=1)))
    assert 100 < changed.sum() < 1500
    assert np.array_equal(book[0], book[1][changed], equal_nan=True)
    assert np.array_equal(a.quotes.ts_ns, b.quotes.ts_ns[changed])
    assert len(a.trades) == len(b.trades) > 50
    for name in ("ts_ns", "price", "size", "aggressor"):
        assert np.array_equal(getattr(a.trades, name), getattr(b.trades, name))
    met = np.cumsum(changed)[b.trades.after_quote - 1]
    assert np.array_equal(a.trades.after_quote, met)


# --- damaged files ----------------------------------------------------------------------------------------


def test_damaged_files_are_one_sentence(tmp_path):
    records = [mbp1(k, (1, k + 1), (2, 1)) for k in range(2000)]
    whole = put(tmp_path, "mbp-1", records).read_bytes()
    cut = tmp_path / "cut.dbn"
    cut.write_bytes(whole[:-30])
    assert "ends within a record, after 1999 whole ones" in refused(cut)
    cut.write_bytes(whole[:100])
    assert "ends within its metadata" in refused(cut)
    cut.write_bytes(whole[:3] + b"\x09" + whole[4:])
    assert "found DBN version 9" in refused(cut)
    cut.write_bytes(b"PAR1" + whole)
    assert "do not begin with DBN" in refused(cut)
    cut.write_bytes(whole + bytes(80))
    assert "a record of 0 bytes" in refused(cut)
    packed = put(tmp_path, "mbp-1", records, name="z.dbn.zst")
    packed.write_bytes(packed.read_bytes()[:-9])
    assert "end in the middle" in refused(packed)
    packed.write_bytes(b"\x28\xb5\x2f\xfd" + b"\xff" * 50)
    assert "damaged Zstandard" in refused(packed)


def test_schemas_without_a_tape_and_files_without_states_are_refused(tmp_path):
    assert "found schema ohlcv-1s" in refused(put(tmp_path, "ohlcv-1s", []))
    assert "no record of schema mbp-1" in refused(put(tmp_path, "mbp-1", []))
    assert "F_LAST" in refused(put(tmp_path, "mbp-1", [mbp1(0, (1, 1), (2, 1), flags=0, action=T)]))


def test_records_of_other_kinds_are_passed_over(tmp_path):
    other = mbo(0, A, B, 1, 1, 1)
    records = [mbp1(0, (1, 1), (2, 1)), other, mbp1(1, (1, 2), (2, 1)), other]
    assert only(open_tape(put(tmp_path, "mbp-1", records))).quotes.bid_sz.tolist() == [1, 2]
