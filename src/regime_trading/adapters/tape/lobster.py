"""LOBSTER: a message file and an order book file, row by row one event and the book just after it.

Message: seconds after midnight in New York, type, order id, size, price × 10⁴, direction. Types: 1 new order,
2 partial and 3 total cancellation, 4 execution of a visible and 5 of a hidden order, 6 cross, 7 halt marker
(price −1 halted, 0 quoting resumed, 1 trading resumed). The direction is that of the resting order, so −1 (a sell
order was executed) is an aggressor that bought.

The file's date and the zone of the venue make the clock UTC; changes of clock happen at two in the night, so
one offset holds for all trading hours of a date. Halt markers are no states, and the book during a halt is not
one of continuous trading: both are left out and counted (``halt_marker``, ``halt``).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from regime_trading.adapters.tape.block import Block, level_names
from regime_trading.adapters.tape.ordering import Survey, survey
from regime_trading.adapters.tape.source import Counts, Facts, Refine, leave_out
from regime_trading.adapters.tape.table import Part, Table, numbers, open_table
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I8

CALENDAR = "XNAS"
_ZONE = ZoneInfo("America/New_York")
_NAME = re.compile(
    r"(?P<head>(?P<ticker>[A-Za-z0-9.^=-]+)_(?P<date>\d{4}-\d{2}-\d{2})_\d+_\d+_)"
    r"(?P<kind>message|orderbook)_(?P<levels>\d+)\.csv"
)
_EXPECTED_NAME = "TICKER_YYYY-MM-DD_start_end_message_N.csv or …_orderbook_N.csv"
_MESSAGE = ("time", "type", "order_id", "size", "price", "direction")
_EMPTY = 9_999_999_999.0
_VISIBLE, _HIDDEN, _CROSS, _HALT = 4, 5, 6, 7
_TYPES = (1, 2, 3, _VISIBLE, _HIDDEN, _CROSS, _HALT)
_PICO = pa.decimal128(24, 12)


class Pair(NamedTuple):
    """What the name of a file says, and both files."""

    ticker: str
    date: dt.date
    levels: int
    message: Path
    orderbook: Path


def is_lobster(path: Path) -> bool:
    """Whether a file is named like one of a LOBSTER pair."""
    return _NAME.fullmatch(path.name) is not None


def pair_of(path: Path) -> Pair:
    """The pair that either of its files names.

    Raises
    ------
    BadInput
        Another name, an impossible date, or no such sibling.
    """
    said = _NAME.fullmatch(path.name)
    if said is None:
        raise BadInput(expected=_EXPECTED_NAME, found=repr(path.name), where=str(path))
    try:
        date = dt.date.fromisoformat(said["date"])
    except ValueError as error:
        raise BadInput(expected=_EXPECTED_NAME, found=f"the date {said['date']}", where=str(path)) from error
    files = {
        kind: path.with_name(f"{said['head']}{kind}_{said['levels']}.csv")
        for kind in ("message", "orderbook")
    }
    for file in files.values():
        if not file.is_file():
            raise BadInput(
                expected=f"its sibling {file.name} beside it", found="no such file", where=str(path)
            )
    return Pair(said["ticker"], date, int(said["levels"]), files["message"], files["orderbook"])


def midnight_ns(date: dt.date) -> int:
    """UTC nanoseconds of 00:00 on the venue's clock, with the offset that holds in trading hours."""
    noon = dt.datetime(date.year, date.month, date.day, 12, tzinfo=_ZONE)
    return (int(noon.timestamp()) - 12 * 3600) * 10**9


class Lobster:
    """States and executions of one LOBSTER pair.

    Parameters
    ----------
    path : Path
        Either file of the pair.
    symbol : str or None
        Must be the ticker of the name, where given.
    with_trades : bool
    """

    def __init__(self, path: Path, symbol: str | None, *, with_trades: bool) -> None:
        self._pair, self._with_trades = pair_of(path), with_trades
        if symbol is not None and symbol != self._pair.ticker:
            raise BadInput(expected=f"symbol {symbol}", found=f"only {self._pair.ticker}", where=str(path))
        self._message = _headless(self._pair.message, _MESSAGE, "message")
        self._orderbook = _headless(self._pair.orderbook, _book_names(self._pair.levels), "orderbook")
        self._midnight = midnight_ns(self._pair.date)
        self._halts, self._crosses = 0, 0
        self._resumed: list[int] = []
        self._require_equal_length()
        self.survey: Survey = survey(self._times(), self._pair.message)
        self.facts = Facts(
            symbol=self._pair.ticker,
            named=True,
            format="lobster",
            levels=self._pair.levels,
            has_trades=with_trades,
            has_aggressor=with_trades,
            calendar=CALENDAR,
            paths=(self._pair.message, self._pair.orderbook),
            notes=self._notes(),
            breaks_ns=tuple(sorted(self._resumed)),
        )

    def _notes(self) -> tuple[str, ...]:
        notes: tuple[str, ...] = ()
        if self._halts:
            notes += (f"{self._halts} trading halts: the book during them is left out",)
        if self._crosses:
            notes += (f"{self._crosses} executions in crosses are in no measure of continuous trading",)
        return notes

    def _require_equal_length(self) -> None:
        rows = [_line_count(path) for path in (self._pair.message, self._pair.orderbook)]
        if rows[0] != rows[1]:
            raise BadInput(
                expected=f"{rows[0]} rows, as in {self._pair.message.name}",
                found=f"{rows[1]}: one of the two files is not whole",
                where=str(self._pair.orderbook),
            )

    def _times(self) -> Iterator[tuple[I8, bool, np.ndarray]]:
        for part in self._message.parts(["time", "type", "price"]):
            kind, price = _types(part), numbers(part, "price")
            self._halts += int(((kind == _HALT) & (price == -1)).sum())
            self._crosses += int((kind == _CROSS).sum())
            trade = np.isin(kind, (_VISIBLE, _HIDDEN, _CROSS)) & self._with_trades
            ts_ns = self._times_ns(part)
            self._resumed += ts_ns[(kind == _HALT) & (price == 1)].tolist()
            yield ts_ns, True, trade

    def _times_ns(self, part: Part) -> I8:
        try:
            exact = part.columns["time"].cast(_PICO)
        except pa.ArrowInvalid:
            _refuse_time(part)
        pico = np.frombuffer(exact.buffers()[1], dtype=np.int64)[2 * exact.offset :: 2][: len(part)]
        part.refuse_first((pico < 0) | (pico >= 172_800 * 10**12), "time", expected="seconds after midnight")
        return pico // 1000 + self._midnight

    def blocks(self) -> Iterator[Block]:
        books = self._orderbook.parts(self._orderbook.names)
        for message, book in _aligned(self._message.parts(_MESSAGE), books):
            yield self._block(message, book)

    def _block(self, message: Part, book: Part) -> Block:
        kind = _types(message)
        traded = np.isin(kind, (_VISIBLE, _HIDDEN, _CROSS)) & self._with_trades
        price, size = numbers(message, "price") / 1e4, numbers(message, "size")
        for name, values in (("price", price), ("size", size)):
            message.refuse_first(traded & ~(values > 0), name, expected=f"a positive {name} of an execution")
        direction = numbers(message, "direction")
        signed = np.isin(kind, (_VISIBLE, _HIDDEN)) & np.isin(direction, (-1.0, 1.0))
        message.refuse_first(
            (kind == _VISIBLE) & ~signed, "direction", expected="1 or -1, the side of the executed order"
        )
        return {
            "ts": self._times_ns(message),
            **_levels(book, self._pair.levels),
            "is_quote": np.ones(len(message), dtype=np.bool_),
            "is_trade": traded,
            "price": price,
            "size": size,
            "aggressor": np.where(signed, -direction, 0.0).astype(np.int8),
            "visible": kind == _VISIBLE,
            "continuous": kind != _CROSS,
            "kind": kind.astype(np.int8),
        }

    def refiner(self, counts: Counts) -> Refine:
        halted = False

        def refine(block: Block) -> Block:
            nonlocal halted
            marker = block["kind"] == _HALT
            if not (halted or marker.any()):
                return block
            during, halted = _during_halt(marker, np.rint(block["price"] * 1e4), halted)
            leave_out(counts.removed, "halt_marker", marker)
            leave_out(counts.removed, "halt", during & ~marker)
            return {
                **block,
                "is_quote": block["is_quote"] & ~marker & ~during,
                "continuous": block["continuous"] & ~during,
            }

        return refine


def _during_halt(marker: np.ndarray, price: F8, halted: bool) -> tuple[np.ndarray, bool]:
    """Rows from a halt (−1) up to the resumption of trading (1), and whether the last row is in one."""
    change = np.where(marker & (price == -1), 1, np.where(marker & (price == 1), -1, 0))
    last = np.where(change != 0, np.arange(change.size), -1)
    last = np.maximum.accumulate(last)
    during = np.where(last >= 0, change[np.maximum(last, 0)] == 1, halted)
    return during, bool(during[-1])


def _headless(path: Path, names: Sequence[str], kind: str) -> Table:
    if path.stat().st_size == 0:
        raise BadInput(expected=f"a LOBSTER {kind} file", found="an empty file", where=str(path))
    with path.open("rb") as file:
        width = file.readline().count(b",") + 1
    extra = kind == "message" and width == len(names) + 1
    if width != len(names) and not extra:
        raise BadInput(expected=f"{len(names)} columns", found=f"{width}", where=f"{path}, row 1")
    return open_table(path, [*names, "further"] if extra else names)


def _book_names(levels: int) -> list[str]:
    order = ("ask_px", "ask_sz", "bid_px", "bid_sz")
    return [f"{field}_{k:02d}" for k in range(levels) for field in order]


def _line_count(path: Path) -> int:
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while piece := file.read(2**22):
            lines += piece.count(b"\n")
            last = piece[-1:]
    return lines + (last != b"\n")


def _types(part: Part) -> I8:
    kind = numbers(part, "type")
    part.refuse_first(~np.isin(kind, _TYPES), "type", expected="an event type from 1 to 7")
    return kind.astype(np.int64)


def _refuse_time(part: Part) -> None:
    number = pc.match_substring_regex(part.columns["time"], r"^\d+(\.\d{1,12})?$")
    bad = ~number.to_numpy(zero_copy_only=False)
    part.refuse(int(np.argmax(bad)), "time", expected="seconds after midnight with at most 12 decimals")


def _levels(book: Part, levels: int) -> Block:
    block: Block = {}
    for name in level_names(levels):
        block[name] = numbers(book, name)
    for k in range(levels):
        for side in ("bid", "ask"):
            price, size = f"{side}_px_{k:02d}", f"{side}_sz_{k:02d}"
            empty = np.abs(block[price]) == _EMPTY
            block[price] = np.where(empty, np.nan, block[price] / 1e4)
            block[size] = np.where(empty, np.nan, block[size])
    return block


def _aligned(messages: Iterator[Part], books: Iterator[Part]) -> Iterator[tuple[Part, Part]]:
    """Both files row by row, in pieces of equal length."""
    message, book = next(messages, None), next(books, None)
    while message is not None and book is not None:
        count = min(len(message), len(book))
        yield message.slice(0, count), book.slice(0, count)
        message = message.slice(count, len(message)) if count < len(message) else next(messages, None)
        book = book.slice(count, len(book)) if count < len(book) else next(books, None)
