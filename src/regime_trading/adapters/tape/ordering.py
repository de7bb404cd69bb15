"""Time order of a stream of rows that may be larger than memory.

A tape is nearly in order. One pass over its times says how nearly; a stream in order is handed on as it is,
any other goes through an external stable sort in a temporary folder that is gone afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from regime_trading.adapters.tape.block import Block, joined, pick, rows_in
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, I8

_LEAST = int(np.iinfo(np.int64).min)
_SORT_MEMORY = "512MB"
#: Up to this many rows out of order are sorted without a temporary folder.
IN_MEMORY_ROWS = 65_536


@dataclass(slots=True)
class Lateness:
    """Rows earlier than a row before them, counted along a stream."""

    latest: int = _LEAST

    def mark(self, ts_ns: I8) -> B1:
        """Which of the next rows are earlier than the latest row before them."""
        if ts_ns.size == 0:
            return np.zeros(0, dtype=np.bool_)
        before = np.maximum(np.concatenate(([self.latest], np.maximum.accumulate(ts_ns)[:-1])), self.latest)
        self.latest = max(self.latest, int(ts_ns.max()))
        return ts_ns < before


@dataclass(slots=True)
class Survey:
    """What one pass over the times of a file says.

    Parameters
    ----------
    first_ns, last_ns : int
        Earliest and latest row (0 where there is none).
    quotes, trades : int
        Rows that are states, rows that are executions.
    rows, late : int
        All rows, and those earlier than a row before them.
    late_quotes, late_trades : int
    """

    first_ns: int = 0
    last_ns: int = 0
    quotes: int = 0
    trades: int = 0
    rows: int = 0
    late: int = 0
    late_quotes: int = 0
    late_trades: int = 0


def survey(times: Iterable[tuple[I8, B1 | bool, B1 | bool]], path: Path) -> Survey:
    """Survey of ``(ts, is_quote, is_trade)`` batches in file order.

    Raises
    ------
    BadInput
        No row at all, or more than half of the rows earlier than a row before them.
    """
    seen, lateness = Survey(first_ns=int(np.iinfo(np.int64).max), last_ns=_LEAST), Lateness()
    for ts, is_quote, is_trade in times:
        if ts.size == 0:
            continue
        late = lateness.mark(ts)
        quote, trade = np.broadcast_to(is_quote, ts.shape), np.broadcast_to(is_trade, ts.shape)
        seen.first_ns, seen.last_ns = min(seen.first_ns, int(ts.min())), max(seen.last_ns, int(ts.max()))
        seen.quotes, seen.trades = seen.quotes + int(quote.sum()), seen.trades + int(trade.sum())
        seen.rows, seen.late = seen.rows + ts.size, seen.late + int(late.sum())
        seen.late_quotes += int((late & quote).sum())
        seen.late_trades += int((late & trade).sum())
    if seen.rows == 0:
        raise BadInput(expected="at least one row of data", found="none", where=str(path))
    if 2 * seen.late > seen.rows:
        found = f"an unsorted file: {seen.late} of {seen.rows} rows are earlier than a row before them"
        raise BadInput(expected="a tape in time order", found=found, where=str(path))
    return seen


def until_then(blocks: Iterator[Block], until: int | None) -> Iterator[Block]:
    """Rows of an ordered stream up to and including ``until``; later ones are not read."""
    for block in blocks:
        if until is None or int(block["ts"][-1]) <= until:
            yield block
            continue
        cut = int(np.searchsorted(block["ts"], until, side="right"))
        if cut:
            yield pick(block, slice(0, cut))
        return


def recut(blocks: Iterator[Block], rows: int) -> Iterator[Block]:
    """The same stream in blocks of exactly ``rows`` rows (the last one may be shorter)."""
    held: list[Block] = []
    count = 0
    for block in blocks:
        if rows_in(block) == 0:
            continue
        held.append(block)
        count += rows_in(block)
        if count < rows:
            continue
        whole, start = joined(held), 0
        while count - start >= rows:
            yield pick(whole, slice(start, start + rows))
            start += rows
        count -= start
        held = [pick(whole, slice(start, None))] if count else []
    if count:
        yield joined(held)


def sorted_stream(blocks: Iterator[Block], rows: int, in_memory: int = IN_MEMORY_ROWS) -> Iterator[Block]:
    """The rows of a stream by time, equal times as they came.

    Memory stays bounded: a stream of more than ``in_memory`` rows is spooled to a temporary folder, sorted there
    and read back in blocks of ``rows``.
    """
    held: list[Block] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += rows_in(block)
        if count > in_memory:
            yield from _sorted_outside(chain(held, blocks), rows)
            return
    if held:
        whole = joined(held)
        yield pick(whole, np.argsort(whole["ts"], kind="stable"))


def _sorted_outside(blocks: Iterable[Block], rows: int) -> Iterator[Block]:
    with tempfile.TemporaryDirectory(prefix="regime-tape-") as folder:
        spool = Path(folder) / "spool.parquet"
        _spool(blocks, spool)
        with duckdb.connect(config=_config(folder)) as connection:
            query = "select * exclude (file_row) from read_parquet(?) order by ts, file_row"
            reader: Any = connection.sql(query, params=[str(spool)]).to_arrow_reader(rows)
            for batch in reader:
                yield _block(batch)


def _config(folder: str) -> dict[str, Any]:
    return {"memory_limit": _SORT_MEMORY, "temp_directory": folder, "threads": 1}


def _spool(blocks: Iterable[Block], path: Path) -> None:
    """Write a stream with its row numbers."""
    writer: pq.ParquetWriter | None = None
    count = 0
    try:
        for block in blocks:
            numbered = {**block, "file_row": np.arange(count, count + rows_in(block))}
            table = pa.table({name: pa.array(column) for name, column in numbered.items()})
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=False)
            writer.write_table(table, row_group_size=65_536)
            count += rows_in(block)
    finally:
        if writer is not None:
            writer.close()


def _block(batch: pa.RecordBatch) -> Block:
    return {
        name: column.to_numpy(zero_copy_only=False)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
