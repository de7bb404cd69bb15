"""Quotes and trades in named columns, CSV or Parquet.

- quotes: ``ts_event, bid_px, ask_px, bid_sz, ask_sz``; deeper levels as ``bid_px_01 …``, or the whole book as
  ``bid_px_00 …``;
- trades: ``ts_event, price, size``, optionally ``aggressor`` (B, S, N), ``visible``, ``continuous`` and
  ``after_quote``, as an imported tape stores them;
- both in one file: the columns of quotes with ``action, side, price, size`` (Databento MBP). Every row is a state
  of the book, rows of action T are executions too. An execution does not move the book: the one it met is that
  of the row before.

An optional ``symbol`` column may hold several instruments, of which one is read. Further columns are ignored.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from regime_trading.adapters.tape.block import FIELDS, Block
from regime_trading.adapters.tape.ordering import Survey, survey
from regime_trading.adapters.tape.source import Counts, Facts, Refine, unchanged
from regime_trading.adapters.tape.table import (
    TIME,
    Part,
    Table,
    flags,
    integers,
    letters,
    numbers,
    texts,
    times_ns,
)
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I1

QUOTES = (TIME, *FIELDS)
TRADES = (TIME, "price", "size")
_EVENTS = ("action", "side", "price", "size")
_ACTIONS = "ACMTFRN"
_AGGRESSOR = {"B": 1, "S": -1, "A": -1, "N": 0}
_SYMBOL = re.compile(r"[A-Za-z0-9^=./:_ -]{1,40}")


def has_quotes(names: Sequence[str]) -> bool:
    """Whether the columns are states of a book."""
    return {"bid_px", "ask_px"} <= set(names) or {"bid_px_00", "ask_px_00"} <= set(names)


def has_trades(names: Sequence[str]) -> bool:
    """Whether the columns are executions and nothing else."""
    return {"price", "size"} <= set(names) and not has_quotes(names)


class _Columns(ABC):
    """What quotes and trades in named columns share: the symbol and the times."""

    def __init__(self, table: Table, symbol: str | None) -> None:
        self._table = table
        self._symbol, self._named = chosen_symbol(table, symbol)
        self.facts: Facts
        self.survey: Survey = survey(self._times(), table.path)

    def refiner(self, counts: Counts) -> Refine:
        return unchanged

    def _parts(self, names: Sequence[str]) -> Iterator[Part]:
        yield from parts_of(self._table, names, self._symbol)

    @abstractmethod
    def _times(self) -> Iterator[tuple[Any, Any, Any]]: ...

    def _facts(self, levels: int, trades: bool, aggressor: bool, calendar: str | None = None) -> Facts:
        kind = "csv" if self._table.is_csv else "parquet"
        path = self._table.path
        return Facts(self._symbol, self._named, kind, levels, trades, aggressor, calendar, (path,))


class QuoteColumns(_Columns):
    """States of a book, with executions where the file has both and ``with_trades``."""

    def __init__(self, table: Table, symbol: str | None, *, with_trades: bool) -> None:
        self._book = book_columns(table)
        self._events = with_trades and set(_EVENTS) <= set(table.names)
        super().__init__(table, symbol)
        self.facts = self._facts(len(self._book) // 4, self._events, self._events)

    def _times(self) -> Iterator[tuple[Any, Any, Any]]:
        names = [TIME, "action"] if self._events else [TIME]
        for part in self._parts(names):
            yield times_ns(part), True, _actions(part) == "T" if self._events else False

    def blocks(self) -> Iterator[Block]:
        for part in self._parts([TIME, *self._book.values(), *(_EVENTS if self._events else ())]):
            block: Block = {"ts": times_ns(part)}
            block |= {name: numbers(part, column) for name, column in self._book.items()}
            yield {**block, **_executions(part)} if self._events else block


class TradeColumns(_Columns):
    """Executions alone."""

    def __init__(self, table: Table, symbol: str | None) -> None:
        table.require(TRADES)
        self._optional = [
            n for n in ("aggressor", "visible", "continuous", "after_quote") if n in table.names
        ]
        super().__init__(table, symbol)
        self.facts = self._facts(0, True, "aggressor" in self._optional)

    def _times(self) -> Iterator[tuple[Any, Any, Any]]:
        for part in self._parts([TIME]):
            yield times_ns(part), False, True

    def blocks(self) -> Iterator[Block]:
        for part in self._parts([*TRADES, *self._optional]):
            every = np.ones(len(part), dtype=np.bool_)
            block: Block = {"ts": times_ns(part), "price": _positive(part, "price", every)}
            block["size"] = _positive(part, "size", every)
            block["aggressor"] = self._aggressor(part)
            for name in ("visible", "continuous"):
                block[name] = flags(part, name) if name in self._optional else every
            if "after_quote" in self._optional:
                block["after_quote"] = integers(part, "after_quote")
            yield block

    def _aggressor(self, part: Part) -> I1:
        if "aggressor" not in self._optional:
            return np.zeros(len(part), dtype=np.int8)
        return _signs(letters(part, "aggressor", "BSN", expected="B, S or N"))


def book_columns(table: Table) -> dict[str, str]:
    """Block column → file column of the book, as many whole levels as the file has.

    Raises
    ------
    BadInput
        The best quote is not whole.
    """
    names = set(table.names)
    if "bid_px" in names or not has_quotes(table.names):
        table.require(QUOTES)
        book = {f"{f}_00": f for f in FIELDS}
    else:
        table.require((TIME, *(f"{f}_00" for f in FIELDS)))
        book = {f"{f}_00": f"{f}_00" for f in FIELDS}
    level = 1
    while all(f"{f}_{level:02d}" in names for f in FIELDS):
        book |= {f"{f}_{level:02d}": f"{f}_{level:02d}" for f in FIELDS}
        level += 1
    return book


# --- executions -------------------------------------------------------------------------------------------


def _actions(part: Part) -> Any:
    return letters(part, "action", _ACTIONS, expected=f"an action, one of {', '.join(_ACTIONS)}")


def _executions(part: Part) -> Block:
    traded = _actions(part) == "T"
    side = letters(part, "side", "ABN", expected="A, B or N")
    flagged = np.ones(len(part), dtype=np.bool_)
    return {
        "is_quote": flagged,
        "is_trade": traded,
        "price": _positive(part, "price", traded),
        "size": _positive(part, "size", traded),
        "aggressor": _signs(side),
        "visible": flagged,
        "continuous": flagged,
    }


def _positive(part: Part, name: str, where: B1) -> F8:
    values = numbers(part, name)
    with np.errstate(invalid="ignore"):
        bad = where & ~((values > 0) & np.isfinite(values))
    part.refuse_first(bad, name, expected=f"a positive {name}: a trade cannot be half known")
    return values


def _signs(side: Any) -> I1:
    signs = np.zeros(len(side), dtype=np.int8)
    for letter, sign in _AGGRESSOR.items():
        signs[side == letter] = sign
    return signs


# --- symbols ----------------------------------------------------------------------------------------------


def parts_of(table: Table, names: Sequence[str], symbol: str) -> Iterator[Part]:
    """The rows of one symbol; all rows where the file has no ``symbol`` column."""
    if "symbol" not in table.names:
        yield from table.parts(names)
        return
    for part in table.parts([*names, "symbol"]):
        keep = pc.equal(texts(part, "symbol"), symbol).fill_null(False).to_numpy(zero_copy_only=False)
        if keep.any():
            yield part.pick(keep)


def chosen_symbol(table: Table, symbol: str | None) -> tuple[str, bool]:
    """The instrument to read, and whether the file or the caller said it.

    Raises
    ------
    BadInput
        Several instruments and none asked for, one asked for that is not there, or no usable name at all.
    """
    if "symbol" not in table.names:
        if symbol is None and not _SYMBOL.fullmatch(name := table.path.name.split(".")[0]):
            raise BadInput(
                expected="symbol=, as the file's name is none", found=repr(name[:60]), where=str(table.path)
            )
        return (symbol, True) if symbol is not None else (table.path.name.split(".")[0], False)
    there = _symbols(table)
    if symbol is None and len(there) == 1:
        return there[0], True
    return one_of(there, symbol, table.path), True


def one_of(there: Sequence[str], symbol: str | None, path: Path) -> str:
    """``symbol``, if it is among the ones there; the error lists them."""
    if symbol is not None and symbol in there:
        return symbol
    listed = ", ".join(sorted(there)[:20]) + (f" … ({len(there)} in all)" if len(there) > 20 else "")
    if symbol is None and not there:
        raise BadInput(expected="at least one row of data", found="none", where=str(path))
    if symbol is None:
        raise BadInput(
            expected="symbol= with one of its symbols", found=f"several: {listed}", where=str(path)
        )
    raise BadInput(expected=f"symbol {symbol}", found=f"only {listed or 'nothing'}", where=str(path))


def _symbols(table: Table) -> list[str]:
    seen: set[str] = set()
    for part in table.parts(["symbol"]):
        column = texts(part, "symbol")
        empty = pc.or_kleene(column.is_null(), pc.equal(column, "")).to_numpy(zero_copy_only=False)
        part.refuse_first(empty.astype(np.bool_), "symbol", expected="a symbol in every row")
        seen.update(pc.unique(column).to_pylist())
    return sorted(seen)
