"""One tape from one or two files: order, cut at ``until``, chunks, and the count of what was left out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np

from regime_trading.adapters.tape.block import (
    Block,
    apart,
    joined,
    pick,
    quotes_of,
    rows_in,
    trades_of,
)
from regime_trading.adapters.tape.ordering import (
    IN_MEMORY_ROWS,
    Lateness,
    Survey,
    recut,
    sorted_stream,
    until_then,
)
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1
from regime_trading.core.tape import EvidenceGrade, TapeChunk, TapeInfo, TapeTally

#: Chunks above this would no longer be small beside memory.
MOST_CHUNK_ROWS = 4_194_304


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a file before its rows are read.

    Parameters
    ----------
    symbol : str
    named : bool
        The symbol was said by the file or the caller; False where it is only the name of the file.
    format : str
    levels : int
        Levels of the book per row; 0 where rows are executions alone.
    has_trades, has_aggressor : bool
    calendar : str or None
    paths : tuple of Path
    notes : tuple of str
    breaks_ns : tuple of int
        As in ``TapeInfo``.
    """

    symbol: str
    named: bool
    format: str
    levels: int
    has_trades: bool
    has_aggressor: bool
    calendar: str | None
    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    breaks_ns: tuple[int, ...] = ()


@dataclass(slots=True)
class Counts:
    """What one reading left out, while it goes on."""

    rows: int = 0
    late: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    trades: int = 0
    trades_removed: Counter[str] = field(default_factory=Counter)

    def tally(self) -> TapeTally:
        removed, gone = dict(sorted(self.removed.items())), dict(sorted(self.trades_removed.items()))
        return TapeTally(self.rows, self.late, removed, self.trades, gone)


def leave_out(counter: Counter[str], reason: str, rows: B1) -> None:
    """Count the rows of a mask under a reason, which is named only where there are some."""
    if rows.any():
        counter[reason] += int(rows.sum())


#: Turns rows in time order into states and executions, and counts what it leaves out.
Refine = Callable[[Block], Block]


class Lane(Protocol):
    """The rows of one file (or of one pair of files)."""

    @property
    def facts(self) -> Facts: ...

    @property
    def survey(self) -> Survey: ...

    def blocks(self) -> Iterator[Block]:
        """All rows, in file order."""
        ...

    def refiner(self, counts: Counts) -> Refine:
        """A fresh ``Refine`` for one reading."""
        ...


def unchanged(block: Block) -> Block:
    """A ``Refine`` for rows that are states or executions as they stand."""
    return block


class FileTape:
    """A ``TapeSource`` over a lane of quotes (or of quotes and trades), a lane of trades, or both.

    Out-of-order rows are put in place by a stable sort; file order, known at reading, decides among equal
    times. ``until`` cuts by time, so rows after it change nothing before it.

    Parameters
    ----------
    main : Lane
        Quotes, quotes and trades together, or trades alone.
    trades : Lane or None
        Trades of another file; trades of ``main`` are then not read.
    chunk_rows : int
        Most quote rows, and most trades, of one chunk.
    in_memory : int
        Most rows that are put in order without a temporary folder.
    """

    def __init__(
        self, main: Lane, trades: Lane | None, chunk_rows: int, in_memory: int = IN_MEMORY_ROWS
    ) -> None:
        if not 1 <= chunk_rows <= MOST_CHUNK_ROWS:
            raise BadInput(expected=f"1 to {MOST_CHUNK_ROWS}", found=str(chunk_rows), where="chunk_rows")
        self._main, self._trades, self._chunk_rows = main, trades, chunk_rows
        self._in_memory = in_memory
        paths = main.facts.paths + (trades.facts.paths if trades else ())
        self._stamps = {path: _stamp(path) for path in paths}
        self._info = _info(main, trades, tuple((path.name, sha256_of(path)) for path in paths))
        self._tally: TapeTally | None = None

    @property
    def info(self) -> TapeInfo:
        return self._info

    def tally(self) -> TapeTally:
        """What the last complete reading left out.

        Raises
        ------
        RuntimeError
            No reading was complete yet.
        """
        if self._tally is None:
            raise RuntimeError("the tape has not been read to its end yet")
        return self._tally

    def chunks(self, until: int | None = None) -> Iterator[TapeChunk]:
        """The tape up to and including ``until``, in chunks of bounded size.

        Raises
        ------
        BadInput
            A cell that cannot be, or a file that changed since it was opened.
        """
        for path, stamp in self._stamps.items():
            if _stamp(path) != stamp:
                raise BadInput(
                    expected="the file as it was opened", found="one that changed since", where=str(path)
                )
        counts = Counts()
        yield from self._one_stream(until, counts) if self._trades is None else self._two(until, counts)
        self._tally = counts.tally()

    def _one_stream(self, until: int | None, counts: Counts) -> Iterator[TapeChunk]:
        levels, before = self._main.facts.levels, 0
        for block in self._ordered(self._main, until, counts):
            quotes: Block | None = block if levels else None
            trades: Block | None = None if levels else block
            if "is_quote" in block:
                quotes, trades = apart(block, before)
            chunk = TapeChunk(quotes_of(quotes, levels), trades_of(trades))
            before += len(chunk.quotes)
            if len(chunk.quotes) or len(chunk.trades):
                yield chunk

    def _two(self, until: int | None, counts: Counts) -> Iterator[TapeChunk]:
        assert self._trades is not None
        quotes = _Buffer(self._states(until, counts))
        trades = _Buffer(self._ordered(self._trades, until, counts))
        levels, taken = self._main.facts.levels, 0
        while True:
            bounds = [
                b for b in (quotes.bound(self._chunk_rows), trades.bound(self._chunk_rows)) if b is not None
            ]
            bound = min(bounds) if bounds else None
            some = quotes.take(quotes.upto(bound, self._chunk_rows))
            taken += rows_in(some) if some else 0
            count = trades.upto(bound, self._chunk_rows)
            met = trades.take(count if quotes.empty else self._met(trades, count, taken, bound))
            if some is None and met is None:
                if trades.empty and quotes.empty:
                    return
                self._refuse_after_quote(trades, taken)
            yield TapeChunk(quotes_of(some, levels), trades_of(met))

    def _met(self, trades: _Buffer, count: int, taken: int, bound: int | None) -> int:
        """How many of the next trades have met no quote that is still to come: one of the same instant."""
        if trades.rows is None or "after_quote" not in trades.rows:
            return count
        ahead = np.flatnonzero(trades.rows["after_quote"][:count] > taken)
        if ahead.size == 0:
            return count
        if trades.rows["ts"][ahead[0]] != bound:
            self._refuse_after_quote(trades, taken)
        return int(ahead[0])

    def _refuse_after_quote(self, trades: _Buffer, taken: int) -> NoReturn:
        assert self._trades is not None and trades.rows is not None
        after = int(trades.rows["after_quote"][0])
        raise BadInput(
            expected="every trade after quotes that are not later than it",
            found=f"a trade after quote {after} where {taken} quotes had come",
            where=f"{self._trades.facts.paths[0]}, column after_quote",
        )

    def _states(self, until: int | None, counts: Counts) -> Iterator[Block]:
        """States of the main lane alone."""
        for block in self._ordered(self._main, until, counts):
            yield pick(block, block["is_quote"]) if "is_quote" in block else block

    def _ordered(self, lane: Lane, until: int | None, counts: Counts) -> Iterator[Block]:
        refine, separate = lane.refiner(counts), self._trades is not None and lane is self._main
        if lane.survey.late:
            blocks = sorted_stream(_cut(lane, until, counts), self._chunk_rows, self._in_memory)
        else:
            blocks = until_then(lane.blocks(), until)
        for block in recut(blocks, self._chunk_rows):
            _count(lane.facts, block, counts, separate)
            yield refine(block)


def _cut(lane: Lane, until: int | None, counts: Counts) -> Iterator[Block]:
    """Rows up to ``until`` in file order, late ones counted among them alone."""
    lateness = Lateness()
    for block in lane.blocks():
        kept = block if until is None else pick(block, block["ts"] <= until)
        if rows_in(kept) == 0:
            continue
        late = lateness.mark(kept["ts"])
        if lane.facts.levels:
            counts.late += int((late & kept["is_quote"]).sum() if "is_quote" in kept else late.sum())
        yield kept


def _count(facts: Facts, block: Block, counts: Counts, separate: bool) -> None:
    if "is_quote" in block:
        counts.rows += int(block["is_quote"].sum())
        counts.trades += 0 if separate else int(block["is_trade"].sum())
    elif facts.levels:
        counts.rows += rows_in(block)
    else:
        counts.trades += rows_in(block)


class _Buffer:
    """The next rows of one ordered stream."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self.rows: Block | None = None
        self._done = False

    @property
    def empty(self) -> bool:
        return self._done and self._held == 0

    @property
    def _held(self) -> int:
        return 0 if self.rows is None else rows_in(self.rows)

    def bound(self, most: int) -> int | None:
        """Time of the last row that one chunk may hold; None where the rest of the stream fits."""
        while self._held <= most and not self._done:
            block = next(self._blocks, None)
            self._done = block is None
            if block is not None and rows_in(block):
                self.rows = joined([self.rows, block]) if self.rows is not None else block
        return int(self.rows["ts"][most - 1]) if self.rows is not None and self._held > most else None

    def upto(self, bound: int | None, most: int) -> int:
        """How many held rows are not later than ``bound``, ``most`` at most."""
        if self.rows is None:
            return 0
        if bound is None:
            return min(self._held, most)
        return min(int(np.searchsorted(self.rows["ts"], bound, side="right")), most)

    def take(self, count: int) -> Block | None:
        if self.rows is None or count == 0:
            return None
        taken, rest = pick(self.rows, slice(0, count)), pick(self.rows, slice(count, None))
        self.rows = rest if rows_in(rest) else None
        return taken


def _info(main: Lane, trades: Lane | None, files: tuple[tuple[str, str], ...]) -> TapeInfo:
    facts, seen = main.facts, [main.survey] + ([trades.survey] if trades else [])
    of_trades = trades.facts if trades else facts
    symbol = _symbol(facts, trades.facts if trades else None)
    evidence: EvidenceGrade = "L2" if facts.levels > 1 else "L1" if facts.levels else "trades"
    late = sum(s.late_trades for s in seen[-1:])
    notes = facts.notes + (trades.facts.notes if trades else ())
    if late:
        notes += (f"{late} trades were out of order and put in place",)
    return TapeInfo(
        symbol=symbol,
        format=facts.format,
        evidence=evidence,
        has_trades=of_trades.has_trades,
        has_aggressor=of_trades.has_aggressor,
        calendar=facts.calendar or of_trades.calendar,
        files=files,
        first_ns=min(s.first_ns for s in seen),
        last_ns=max(s.last_ns for s in seen),
        rows=main.survey.quotes,
        notes=notes,
        breaks_ns=facts.breaks_ns,
    )


def _symbol(quotes: Facts, trades: Facts | None) -> str:
    """The one symbol of both files; a symbol that the file says beats one that is only the file's name."""
    if trades is None or not trades.named:
        return quotes.symbol
    if quotes.named and quotes.symbol != trades.symbol:
        raise BadInput(
            expected=f"trades of {quotes.symbol}, as the quotes",
            found=f"trades of {trades.symbol}",
            where=str(trades.paths[0]),
        )
    return trades.symbol


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
