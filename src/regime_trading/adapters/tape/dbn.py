"""Databento binary encoding (DBN), plain or Zstandard: schemas mbp-1, mbp-10, tbbo, mbo and trades, versions 1 to 3.

Times are ``ts_event``; of a snapshot they are ``ts_recv``, since its records carry the times of the orders in
it. A record that does not end its event (flag ``F_LAST`` is missing) is no state of the book. Executions (T) and
fills (F) do not move the book: the cancellation that follows does. A snapshot replaces the book. The side of an
execution is that of its aggressor: A sold, B bought. Prices are fixed-point, 1e-9.

Market by order is built up to ten levels, one state per event that changed them: what mbp-10 publishes of the
same events, but for rows that repeat the state before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import numpy.typing as npt
import zstandard

from regime_trading.adapters.tape.block import FIELDS, Block, level_names
from regime_trading.adapters.tape.book import ASK, BID, OrderBook, Top
from regime_trading.adapters.tape.columns import one_of
from regime_trading.adapters.tape.ordering import Survey, survey
from regime_trading.adapters.tape.source import Counts, Facts, Refine, leave_out
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I8

Records = npt.NDArray[Any]

MBO_LEVELS = 10
_READ_BYTES = 2**20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MAGIC = b"DBN"
_AS_IS: Any = dbn.VersionUpgradePolicy.AS_IS
_DAY_NS = 86_400 * 10**9
_SCALE = float(dbn.FIXED_PRICE_SCALE)
_NO_TIME = int(dbn.UNDEF_TIMESTAMP)
_LAST, _SNAPSHOT, _TOB = int(dbn.F_LAST), int(dbn.F_SNAPSHOT), int(dbn.F_TOB)
_BAD_RECV, _BAD_BOOK = int(dbn.F_BAD_TS_RECV), int(dbn.F_MAYBE_BAD_BOOK)


@dataclass(frozen=True, slots=True)
class _Schema:
    """Layout of one schema; ``levels`` 0 means executions alone."""

    rtype: int
    dtypes: list[tuple[str, str]]
    levels: int
    by_order: bool = False
    book_before: bool = False


_SCHEMAS = {
    "trades": _Schema(0x00, dbn.TradeMsg._dtypes, 0),
    "mbp-1": _Schema(0x01, dbn.MBP1Msg._dtypes, 1),
    "tbbo": _Schema(0x01, dbn.MBP1Msg._dtypes, 1, book_before=True),
    "mbp-10": _Schema(0x0A, dbn.MBP10Msg._dtypes, 10),
    "mbo": _Schema(0xA0, dbn.MBOMsg._dtypes, MBO_LEVELS, by_order=True),
}
_US_EQUITIES = {
    *("XNAS", "XNYS", "XASE", "XBOS", "XPSX", "XCHI", "XCIS", "ARCX", "BATS", "BATY", "EDGA", "EDGX"),
    *("EPRL", "MEMX", "IEXG", "LTSE", "DBEQ", "EQUS"),
}


def is_dbn(path: Path) -> bool:
    """Whether a file is named as DBN, or begins as DBN does."""
    if path.name.lower().endswith((".dbn", ".dbn.zst")):
        return True
    with path.open("rb") as file:
        return file.read(3) == _MAGIC


def calendar_of(dataset: str) -> str | None:
    """Exchange calendar of a Databento dataset; None where it implies none."""
    if dataset == "GLBX.MDP3":
        return "CMES"
    venue = dataset.split(".")[0]
    return ("XNAS" if venue == "XNAS" else "XNYS") if venue in _US_EQUITIES else None


# --- bytes ------------------------------------------------------------------------------------------------


def _refuse(path: Path, found: str, expected: str = "a whole DBN file") -> BadInput:
    return BadInput(expected=expected, found=found, where=str(path))


def _pieces(path: Path) -> Iterator[bytes]:
    """The bytes of a file, decompressed, piece by piece."""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        if head != _ZSTD_MAGIC:
            while piece := file.read(_READ_BYTES):
                yield piece
            return
        frame = None
        while piece := file.read(_READ_BYTES // 4):
            while piece:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                try:
                    data = frame.decompress(piece)
                except zstandard.ZstdError as error:
                    raise _refuse(path, f"damaged Zstandard data ({error})") from error
                piece = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
                if data:
                    yield data
        if frame is not None:
            raise _refuse(path, "Zstandard data that end in the middle")


def _metadata(path: Path, pieces: Iterator[bytes]) -> tuple[dbn.Metadata, bytes]:
    """Metadata, and the first bytes of the records behind them."""
    data = b""
    for piece in pieces:
        data += piece
        if len(data) >= 8 and (data[:3] != _MAGIC or len(data) >= 8 + int.from_bytes(data[4:8], "little")):
            break
    if not data:
        raise _refuse(path, "an empty file")
    if data[:3] != _MAGIC:
        raise _refuse(path, "data that do not begin with DBN")
    if data[3:4] and not 1 <= data[3] <= 3:
        raise _refuse(path, f"DBN version {data[3]}", "DBN version 1, 2 or 3")
    size = 8 + int.from_bytes(data[4:8], "little")
    if len(data) < size:
        raise _refuse(path, "a file that ends within its metadata")
    try:
        return dbn.Metadata.decode(data[:size], _AS_IS), data[size:]
    except (dbn.DBNError, ValueError) as error:
        raise _refuse(path, f"damaged metadata ({error})") from error


class _File:
    """One DBN file of a known schema."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata, _ = _metadata(path, _pieces(path))
        self.schema_name = str(self.metadata.schema) if self.metadata.schema is not None else "none"
        if self.schema_name not in _SCHEMAS:
            expected = f"a schema among {', '.join(_SCHEMAS)}"
            raise _refuse(path, f"schema {self.schema_name}", expected)
        self.schema = _SCHEMAS[self.schema_name]
        self._dtype = np.dtype(self.schema.dtypes)

    def records(self) -> Iterator[Records]:
        """Records of the schema, in file order; records of other kinds are passed over."""
        pieces = _pieces(self.path)
        _, data = _metadata(self.path, pieces)
        count = 0
        for piece in pieces:
            records, data = self._take(data + piece, count)
            count += sum(len(r) for r in records)
            yield from records
        records, data = self._take(data, count)
        yield from records
        if data:
            count += sum(len(r) for r in records)
            raise _refuse(self.path, f"a file that ends within a record, after {count} whole ones")

    def _take(self, data: bytes, before: int) -> tuple[list[Records], bytes]:
        """Whole records at the beginning of ``data``, and the rest."""
        taken: list[Records] = []
        start = 0
        while start < len(data):
            stride = 4 * data[start]
            if stride < 16:
                raise _refuse(self.path, f"a record of {stride} bytes, after {before} whole ones")
            room = (len(data) - start) // stride
            if room == 0:
                break
            rows = np.frombuffer(data, np.uint8, room * stride, start).reshape(room, stride)
            other = np.flatnonzero((rows[:, 0] != data[start]) | (rows[:, 1] != data[start + 1]))
            same = int(other[0]) if other.size else room
            if data[start + 1] == self.schema.rtype:
                taken.append(self._typed(data, start, same, stride))
                before += same
            start += same * stride
        return taken, data[start:]

    def _typed(self, data: bytes, start: int, count: int, stride: int) -> Records:
        if stride < self._dtype.itemsize:
            raise _refuse(self.path, f"records of {stride} bytes where {self.schema_name} has more")
        layout = {
            "names": list(self._dtype.names or ()),
            "formats": [self._dtype[n] for n in self._dtype.names or ()],
            "offsets": [self._dtype.fields[n][1] for n in self._dtype.names or ()],  # type: ignore[index]
            "itemsize": stride,
        }
        return np.frombuffer(data, np.dtype(layout), count, start)  # type: ignore[call-overload]


# --- symbols ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Interval:
    """Days [first_ns, last_ns) on which a symbol is an instrument."""

    instrument: int
    first_ns: int
    last_ns: int


def _mappings(metadata: dbn.Metadata) -> dict[str, list[_Interval]]:
    found: dict[str, list[_Interval]] = {}
    for name, intervals in metadata.mappings.items():
        for interval in intervals:
            text = str(interval["symbol"])
            if text.isdigit():
                days = [
                    int(np.datetime64(interval[k], "ns").astype(np.int64)) for k in ("start_date", "end_date")
                ]
                found.setdefault(str(name), []).append(_Interval(int(text), *days))
    return found


class _Instrument:
    """Which records are of one symbol."""

    def __init__(self, file: _File, symbol: str | None) -> None:
        seen: set[tuple[int, int]] = set()
        mappings = _mappings(file.metadata)
        for records in file.records():
            for pair in np.unique(records[["publisher_id", "instrument_id"]]).tolist():
                seen.add((int(pair[0]), int(pair[1])))
        ids = {instrument for _, instrument in seen}
        mapped = {i.instrument for intervals in mappings.values() for i in intervals}
        present = {n for n, intervals in mappings.items() if any(i.instrument in ids for i in intervals)}
        present |= {str(i) for i in ids - mapped}
        if not present:
            raise _refuse(file.path, f"no record of schema {file.schema_name}", "at least one record")
        only = next(iter(present)) if len(present) == 1 and symbol is None else None
        self.symbol = only or one_of(sorted(present), symbol, file.path)
        self._intervals = mappings.get(self.symbol)
        self._id = None if self._intervals else int(self.symbol)
        mine = {i.instrument for i in self._intervals} if self._intervals else {self._id}
        publishers = {publisher for publisher, instrument in seen if instrument in mine}
        if len(publishers) > 1:
            raise _refuse(
                file.path,
                f"publishers {', '.join(map(str, sorted(publishers)))}, whose books are not one",
                f"one publisher for {self.symbol}",
            )

    def mine(self, records: Records) -> Records:
        instrument = records["instrument_id"]
        if self._intervals is None:
            return records[instrument == self._id]
        day = _received_ns(records)
        keep = np.zeros(len(records), dtype=np.bool_)
        for i in self._intervals:
            keep |= (instrument == i.instrument) & (day >= i.first_ns) & (day < i.last_ns)
        return records if keep.all() else records[keep]


def _received_ns(records: Records) -> I8:
    """Time of receipt, by which files are cut into days; the event's where it is unknown."""
    received = records["ts_recv"]
    return np.where(received == _NO_TIME, records["ts_event"], received).astype(np.int64)


def _event_ns(records: Records) -> I8:
    """Time of the event; of a snapshot the time at which it was taken."""
    snapshot = (records["flags"] & _SNAPSHOT) != 0
    return np.where(snapshot, _received_ns(records), records["ts_event"].astype(np.int64))


# --- lanes ------------------------------------------------------------------------------------------------


class Dbn:
    """States and executions of one instrument in a DBN file.

    Parameters
    ----------
    path : Path
    symbol : str or None
        Needed where the file holds several.
    with_trades : bool
        Whether its executions are wanted.
    with_quotes : bool
        False where only its executions are.
    """

    def __init__(
        self, path: Path, symbol: str | None, *, with_trades: bool = True, with_quotes: bool = True
    ) -> None:
        self._file = _File(path)
        self._instrument = _Instrument(self._file, symbol)
        self._trades = with_trades
        self._levels = self._file.schema.levels if with_quotes else 0
        if not (self._levels or with_trades):
            raise _refuse(path, "schema trades, which has none", "a schema with quotes")
        self._flags: Counter[str] = Counter()
        self._unknown = 0
        self.survey: Survey = survey(self._times(), path)
        if self._levels and self.survey.quotes == 0:
            raise _refuse(path, "none with the flag", "records that end an event (flag F_LAST)")
        self.facts = Facts(
            symbol=self._instrument.symbol,
            named=True,
            format="dbn",
            levels=self._levels,
            has_trades=with_trades,
            has_aggressor=with_trades,
            calendar=calendar_of(self._file.metadata.dataset),
            paths=(path,),
            notes=self._notes(),
        )

    def _notes(self) -> tuple[str, ...]:
        dataset, name = self._file.metadata.dataset, self._file.schema_name
        notes = [f"Databento {dataset}, schema {name}"]
        if self._flags["bad_ts_recv"]:
            notes.append(
                f"{self._flags['bad_ts_recv']} records with a doubtful time of receipt, which is not used"
            )
        if self._unknown:
            notes.append(f"{self._unknown} cancellations of orders that the file does not introduce")
        if self._file.schema.book_before and self._levels:
            notes.append("the book is known only at the moment of each trade")
        return tuple(notes)

    def _times(self) -> Iterator[tuple[I8, B1, B1]]:
        """Times of states and executions, flags counted on the way."""
        self._flags.clear()
        blocks = self._built(survey_only=True) if self._by_order else self._read(survey_only=True)
        for block in blocks:
            yield block["ts"], block["is_quote"], block["is_trade"]

    @property
    def _by_order(self) -> bool:
        return self._file.schema.by_order and self._levels > 0

    def _records(self) -> Iterator[Records]:
        for records in self._file.records():
            mine = self._instrument.mine(records)
            if len(mine):
                yield mine

    def blocks(self) -> Iterator[Block]:
        blocks = self._built() if self._by_order else self._read()
        if self._levels:
            yield from blocks
            return
        for block in blocks:
            yield {name: block[name] for name in _TRADE_COLUMNS}

    def refiner(self, counts: Counts) -> Refine:
        def refine(block: Block) -> Block:
            with np.errstate(invalid="ignore"):
                sound = (block["price"] > 0) & (block["size"] > 0)
            if not self._levels:
                return _drop(block, ~sound, counts)
            bad, half = block["is_quote"] & block["doubtful"], block["is_trade"] & ~sound
            leave_out(counts.removed, "maybe_bad_book", bad)
            leave_out(counts.trades_removed, "non_positive", half)
            return {**block, "is_quote": block["is_quote"] & ~bad, "is_trade": block["is_trade"] & ~half}

        return refine

    # market by price, and executions alone

    def _read(self, *, survey_only: bool = False) -> Iterator[Block]:
        for records in self._records():
            self._flags["bad_ts_recv"] += int(((records["flags"] & _BAD_RECV) != 0).sum())
            block = _masks(records, self._file.schema, self._levels, self._trades)
            used = block["is_quote"] | block["is_trade"]
            kept = records if used.all() else records[used]
            block = {name: column[used] for name, column in block.items()}
            if not survey_only:
                block |= _prices(kept, self._levels) | _executions(kept)
                if self._file.schema.book_before and self._levels:
                    block["own_quote_first"] = np.ones(len(kept), dtype=np.bool_)
            yield block

    # market by order

    def _built(self, *, survey_only: bool = False) -> Iterator[Block]:
        builder = _Builder(self._trades)
        for records in self._records():
            self._flags["bad_ts_recv"] += int(((records["flags"] & _BAD_RECV) != 0).sum())
            block = builder.feed(records, survey_only)
            if len(block["ts"]):
                yield block
        self._unknown = builder.book.unknown


_TRADE_COLUMNS = ("ts", "price", "size", "aggressor", "visible", "continuous")


def _drop(block: Block, bad: B1, counts: Counts) -> Block:
    if not bad.any():
        return block
    leave_out(counts.trades_removed, "non_positive", bad)
    return {name: column[~bad] for name, column in block.items()}


def _masks(records: Records, schema: _Schema, levels: int, with_trades: bool) -> Block:
    flags = records["flags"]
    last = (flags & _LAST) != 0
    states = np.ones(len(records), dtype=np.bool_) if schema.book_before else last
    return {
        "ts": _event_ns(records),
        "is_quote": states if levels else np.zeros(len(records), dtype=np.bool_),
        "is_trade": (records["action"] == b"T") & with_trades,
        "doubtful": (flags & _BAD_BOOK) != 0,
    }


def _money(fixed: I8) -> F8:
    return np.where(fixed == dbn.UNDEF_PRICE, np.nan, fixed / _SCALE)


def _prices(records: Records, levels: int) -> Block:
    block: Block = {}
    for k in range(levels):
        for side in ("bid", "ask"):
            price = _money(records[f"{side}_px_{k:02d}"])
            size = records[f"{side}_sz_{k:02d}"].astype(np.float64)
            block[f"{side}_px_{k:02d}"] = price
            block[f"{side}_sz_{k:02d}"] = np.where(np.isnan(price), np.nan, size)
    return block


def _executions(records: Records) -> Block:
    every = np.ones(len(records), dtype=np.bool_)
    side = records["side"]
    return {
        "price": _money(records["price"]),
        "size": records["size"].astype(np.float64),
        "aggressor": (side == b"B").astype(np.int8) - (side == b"A").astype(np.int8),
        "visible": every,
        "continuous": every,
    }


class _Builder:
    """States of the best levels, from orders."""

    def __init__(self, with_trades: bool) -> None:
        self.book = OrderBook()
        self._trades = with_trades
        self._in_snapshot = False
        self._emitted: Top = ((), ())

    def feed(self, records: Records, survey_only: bool) -> Block:
        """States and executions of the next records."""
        states: list[tuple[int, Top]] = []
        trades: list[int] = []
        names = ("action", "order_id", "side", "price", "size", "flags")
        columns = [records[n].tolist() for n in names]
        for i, (action, order_id, side, price, size, flags) in enumerate(zip(*columns, strict=True)):
            if action == b"T":
                trades.append(i)
            elif action != b"F":
                self._apply(action, order_id, side, price, size, flags)
            if flags & _LAST:
                top = self.book.top(MBO_LEVELS)
                if top != self._emitted:
                    self._emitted = top
                    states.append((i, top))
        return self._block(
            records, states, np.array(trades if self._trades else [], dtype=np.int64), survey_only
        )

    def _apply(self, action: bytes, order_id: int, side: bytes, price: int, size: int, flags: int) -> None:
        snapshot = bool(flags & _SNAPSHOT)
        if snapshot and not self._in_snapshot:
            self.book.clear()
        self._in_snapshot = snapshot
        if action == b"R":
            self.book.clear()
        elif action == b"C":
            self.book.cancel(order_id, size)
        elif action in (b"A", b"M") and side in (b"A", b"B"):
            where = ASK if side == b"A" else BID
            if flags & _TOB:
                self.book.clear(where)
            if price != dbn.UNDEF_PRICE:
                self.book.add(order_id, where, price, size)

    def _block(self, records: Records, states: list[tuple[int, Top]], trades: I8, survey_only: bool) -> Block:
        """Executions and states by their record; an execution comes before the state that ends its record."""
        at = np.array([i for i, _ in states], dtype=np.int64)
        row = np.concatenate((trades, at))
        is_quote = np.concatenate((np.zeros(trades.size, np.bool_), np.ones(at.size, np.bool_)))
        order = np.lexsort((is_quote, row))
        kept = records[row[order]]
        block: Block = {
            "ts": _event_ns(kept),
            "is_quote": is_quote[order],
            "is_trade": ~is_quote[order],
            "doubtful": (kept["flags"] & _BAD_BOOK) != 0,
        }
        if survey_only:
            return block
        book = np.full((row.size, 4 * MBO_LEVELS), np.nan)
        if states:
            book[trades.size :] = [_flat(top) for _, top in states]
        book = book[order]
        block |= {name: book[:, j] for j, name in enumerate(level_names(MBO_LEVELS))}
        return block | _executions(kept)


def _flat(top: Top) -> list[float]:
    """One row of a book: bid price, ask price, bid size, ask size per level."""
    row = [np.nan] * (len(FIELDS) * MBO_LEVELS)
    for side, levels in enumerate(top):
        for k, (price, size) in enumerate(levels):
            row[4 * k + side], row[4 * k + 2 + side] = price / _SCALE, float(size)
    return row
