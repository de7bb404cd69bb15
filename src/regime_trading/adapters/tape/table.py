"""Columns of a CSV or Parquet file, batch by batch, strictly typed.

A cell that is not exactly what its column holds is one ``BadInput`` that names file, row and column. Rows are
counted as a person counts them: the header of a CSV file is row 1, so its data begin at row 2; the data of a
Parquet file, and of a CSV file without a header, begin at row 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I8

TIME = "ts_event"
BATCH_ROWS = 65_536
_BLOCK_BYTES = 4 * 2**20
_TIMES = "UTC time with its zone, e.g. 2024-07-01T13:30:00.123456789Z, or integer nanoseconds"
_UTC_NS = pa.timestamp("ns", "UTC")
#: Integers below this, read as nanoseconds, would lie within 116 days of 1970: seconds, milli- or microseconds.
_LEAST_NS = 10**16


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a file.

    Parameters
    ----------
    path : str
    rows : int64 [n]
        Number of each row in the file, as a person counts.
    columns : dict of str to pyarrow.Array
    """

    path: str
    rows: I8
    columns: dict[str, Any]

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, row: int, column: str) -> str:
        """``file, row, column`` of a zero-based row of this part."""
        return f"{self.path}, row {int(self.rows[row])}, column {column}"

    def refuse(self, row: int, column: str, *, expected: str, found: str | None = None) -> NoReturn:
        """Raise the error for one cell; ``found`` defaults to its text."""
        text = found or _text(self.columns[column][row].as_py())
        raise BadInput(expected=expected, found=text, where=self.where(row, column))

    def refuse_first(self, bad: B1, column: str, *, expected: str) -> None:
        """Raise the error for the first cell of a mask, where there is one."""
        if bad.any():
            self.refuse(int(np.argmax(bad)), column, expected=expected)

    def pick(self, keep: B1) -> Part:
        """The rows of a mask."""
        if keep.all():
            return self
        mask = pa.array(keep)
        return Part(self.path, self.rows[keep], {n: c.filter(mask) for n, c in self.columns.items()})

    def slice(self, start: int, count: int) -> Part:
        columns = {n: c.slice(start, count) for n, c in self.columns.items()}
        return Part(self.path, self.rows[start : start + count], columns)


def _text(value: object) -> str:
    return "an empty cell" if value is None or str(value).strip() == "" else repr(str(value)[:60])


@dataclass(frozen=True, slots=True)
class Table:
    """A ``.csv``, ``.csv.gz`` or ``.parquet`` file.

    Parameters
    ----------
    path : Path
    names : tuple of str
    raw_names : tuple of str
        The names as they stand in the file.
    headless : bool
        A CSV file without a header.
    """

    path: Path
    names: tuple[str, ...]
    raw_names: tuple[str, ...]
    headless: bool = False

    @property
    def is_csv(self) -> bool:
        return not is_parquet(self.path)

    def require(self, names: Sequence[str]) -> None:
        """Raise unless every column is there; the error names the missing ones and the nearest there are."""
        missing = [n for n in names if n not in self.names]
        if not missing:
            return
        others = [n for n in self.names if n not in names]
        near = [f"{m} (nearest: {n[0]})" if (n := _nearest(m, others)) else m for m in missing]
        raise BadInput(
            expected=f"columns {', '.join(names)}",
            found=f"columns {_few(self.names)}; missing: {', '.join(near)}",
            where=str(self.path),
        )

    def parts(self, names: Sequence[str]) -> Iterator[Part]:
        """The named columns, in file order.

        Raises
        ------
        BadInput
            Damaged file, ragged row.
        """
        raw = [self.raw_names[self.names.index(n)] for n in names]
        first = 1 if self.headless or not self.is_csv else 2
        batches = _csv_batches(self, raw) if self.is_csv else _parquet_batches(self.path, raw)
        for batch in batches:
            rows = np.arange(first, first + batch.num_rows, dtype=np.int64)
            first += batch.num_rows
            columns = [pc.utf8_trim_whitespace(c) for c in batch.columns] if self.is_csv else batch.columns
            yield Part(str(self.path), rows, dict(zip(names, columns, strict=True)))


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def open_table(path: Path, names: Sequence[str] | None = None) -> Table:
    """Table of a file; ``names`` where a CSV file has no header.

    Raises
    ------
    BadInput
        Unreadable, damaged or empty file, empty or repeated column name.
    """
    if path.stat().st_size == 0:
        raise BadInput(expected="a tape", found="an empty file", where=str(path))
    if names is not None:
        return Table(path, tuple(names), tuple(names), headless=True)
    raw = _parquet_names(path) if is_parquet(path) else _csv_names(path)
    stripped = tuple(n.strip() for n in raw)
    for i, name in enumerate(stripped):
        if not name:
            raise BadInput(
                expected="a name for every column", found=f"no name in column {i + 1}", where=str(path)
            )
        if name in stripped[:i]:
            raise BadInput(expected="distinct column names", found=f"{name!r} twice", where=str(path))
    return Table(path, stripped, raw)


def _parquet_names(path: Path) -> tuple[str, ...]:
    with _readable(path), pa.parquet.ParquetFile(path) as file:
        return tuple(file.schema_arrow.names)


def _csv_names(path: Path) -> tuple[str, ...]:
    ragged: list[Any] = []
    with (
        _ragged_named(Table(path, (), ()), ragged),
        _csv_reader(path, None, _remember(ragged), None) as reader,
    ):
        return tuple(reader.schema.names)


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(name, names, n=1, cutoff=0.6)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


# --- bytes ------------------------------------------------------------------------------------------------


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Errors of the file become one sentence."""
    kind = "Parquet file" if is_parquet(path) else "CSV file (UTF-8 text, comma-separated)"
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        found = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise BadInput(expected=f"a readable {kind}", found=found, where=str(path)) from error


def _parquet_batches(path: Path, names: Sequence[str]) -> Iterator[Any]:
    with _readable(path):
        file = pa.parquet.ParquetFile(
            path, page_checksum_verification=True, pre_buffer=False, buffer_size=2**20
        )
    with file:
        batches = file.iter_batches(BATCH_ROWS, columns=list(names), use_threads=False)
        while True:
            with _readable(path):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch.select(list(names))


def _csv_batches(table: Table, names: Sequence[str]) -> Iterator[Any]:
    """Batches of text; a row with other than the header's fields is refused by its number."""
    ragged: list[Any] = []
    header, blank = table.raw_names if table.headless else None, 0
    with _ragged_named(table, ragged):
        reader = _csv_reader(table.path, header, _remember(ragged), names)
    with reader:
        while True:
            with _ragged_named(table, ragged):
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            rows = batch.num_rows - _blank_at_end(batch)
            if rows and blank:
                raise BadInput(expected="rows without a gap", found="blank lines", where=str(table.path))
            blank += batch.num_rows - rows
            yield batch.slice(0, rows)


def _blank_at_end(batch: Any) -> int:
    """Blank lines, which are rows of empty cells, at the end of a batch."""
    count = 0
    while count < batch.num_rows and all(c[batch.num_rows - 1 - count].as_py() == "" for c in batch.columns):
        count += 1
    return count


def _csv_reader(
    path: Path, header: Sequence[str] | None, handler: Callable[[Any], str], names: Sequence[str] | None
) -> Any:
    stream = pa.input_stream(str(path), compression="gzip" if path.suffix.lower() == ".gz" else None)
    strings = {n: pa.string() for n in names or ()}
    return pa.csv.open_csv(
        stream,
        pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, column_names=header),
        pa.csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=handler),
        pa.csv.ConvertOptions(
            column_types=strings, include_columns=list(names or ()), strings_can_be_null=False
        ),
    )


def _remember(ragged: list[Any]) -> Callable[[Any], str]:
    """Keeps the rows that do not fit, which stop the reading."""

    def handler(row: Any) -> str:
        ragged.append(row)
        return "error"

    return handler


@contextmanager
def _ragged_named(table: Table, ragged: Sequence[Any]) -> Iterator[None]:
    with _readable(table.path):
        try:
            yield
        except pa.ArrowInvalid:
            if ragged:
                _refuse_ragged(table, ragged[0])
            raise


def _refuse_ragged(table: Table, row: Any) -> NoReturn:
    raise BadInput(
        expected=f"{row.expected_columns} fields as in {'the first row' if table.headless else 'the header'}",
        found=str(row.actual_columns),
        where=f"{table.path}, row {row.number}",
    )


# --- cells ------------------------------------------------------------------------------------------------


def numbers(part: Part, name: str) -> F8:
    """A column as float64; an empty cell, null and NaN are NaN.

    Raises
    ------
    BadInput
        The first cell that is no number.
    """
    column, kind = part.columns[name], part.columns[name].type
    if pa.types.is_string(kind) and _is_text(part):
        column = pc.if_else(pc.equal(column, ""), None, column)
        column = _cast(part, name, column, pa.float64(), expected="a number")
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.float64(), safe=False)
    elif pa.types.is_null(kind):
        return np.full(len(part), np.nan)
    else:
        part.refuse(0, name, expected="a number", found=f"{_text(column[0].as_py())} (type {kind})")
    filled = column.fill_null(np.nan) if column.null_count else column
    return filled.to_numpy(zero_copy_only=False)


def _is_text(part: Part) -> bool:
    return not is_parquet(Path(part.path))


def _cast(part: Part, name: str, column: Any, kind: Any, *, expected: str) -> Any:
    """The column as ``kind``; the first cell that is none is found by halving."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        good, bad = 0, len(column)
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if _casts(column.slice(0, middle), kind) else (good, middle)
        part.refuse(good, name, expected=expected)


def _casts(column: Any, kind: Any) -> bool:
    try:
        column.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def texts(part: Part, name: str) -> Any:
    """A column of text as a pyarrow array; null where the file says null."""
    column = part.columns[name]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type) or pa.types.is_large_string(column.type) or _is_view(column.type):
        column = column.cast(pa.string())
    if not pa.types.is_string(column.type):
        part.refuse(0, name, expected="text", found=f"{_text(column[0].as_py())} (type {column.type})")
    return column


def _is_view(kind: Any) -> bool:
    return bool(pa.types.is_string_view(kind))


def letters(part: Part, name: str, allowed: str, *, expected: str) -> Any:
    """A column of single letters as a NumPy array of text.

    Raises
    ------
    BadInput
        The first cell that is none of ``allowed``.
    """
    column = texts(part, name)
    bad = pc.invert(pc.is_in(column, value_set=pa.array(list(allowed)))).to_numpy(zero_copy_only=False)
    part.refuse_first(bad, name, expected=expected)
    return column.to_numpy(zero_copy_only=False).astype("U1")


def flags(part: Part, name: str) -> B1:
    """A column of true and false.

    Raises
    ------
    BadInput
        The first cell that is neither.
    """
    column = part.columns[name]
    if pa.types.is_string(column.type):
        column = _cast(part, name, column, pa.bool_(), expected="true or false")
    if not pa.types.is_boolean(column.type):
        part.refuse(0, name, expected="true or false")
    part.refuse_first(column.is_null().to_numpy(zero_copy_only=False), name, expected="true or false")
    return column.to_numpy(zero_copy_only=False)


def integers(part: Part, name: str) -> I8:
    """A column of whole numbers.

    Raises
    ------
    BadInput
        The first cell that is none.
    """
    column = part.columns[name]
    if pa.types.is_string(column.type):
        column = _cast(part, name, column, pa.int64(), expected="a whole number")
    if not pa.types.is_integer(column.type):
        part.refuse(0, name, expected="a whole number")
    part.refuse_first(column.is_null().to_numpy(zero_copy_only=False), name, expected="a whole number")
    return column.cast(pa.int64()).to_numpy(zero_copy_only=False)


def times_ns(part: Part) -> I8:
    """``ts_event`` as int64 UTC nanoseconds.

    Parquet: a timestamp with a time zone, any unit, or 64-bit nanoseconds. CSV: ISO-8601 with ``Z`` or an
    offset, or integer nanoseconds.

    Raises
    ------
    BadInput
        The first row whose time is missing, without a zone, or out of range.
    """
    column, kind = part.columns[TIME], part.columns[TIME].type
    if len(part) == 0:
        return np.empty(0, dtype=np.int64)
    if pa.types.is_string(kind) and _is_text(part):
        whole = pc.match_substring_regex(column.slice(0, 1), r"^[+-]?\d+$")[0].as_py()
        target = pa.int64() if whole else _UTC_NS
        expected = "integer nanoseconds as in the first row" if whole else _TIMES
        column = _cast(part, TIME, column, target, expected=expected)
    elif pa.types.is_timestamp(kind):
        if kind.tz is None:
            found = f"{_text(column[0].as_py())}, which has no zone"
            part.refuse(0, TIME, expected=f"a {_TIMES}", found=found)
        column = _cast(part, TIME, column, pa.timestamp("ns", kind.tz), expected="a time from 1677 to 2262")
    elif not pa.types.is_int64(kind):
        part.refuse(0, TIME, expected=f"a {_TIMES}", found=f"{_text(column[0].as_py())} (type {kind})")
    part.refuse_first(column.is_null().to_numpy(zero_copy_only=False), TIME, expected="a time in every row")
    values = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    if pa.types.is_int64(column.type):
        small = np.abs(values) < _LEAST_NS
        part.refuse_first(small, TIME, expected="integer nanoseconds (not seconds, milli- or microseconds)")
    return values
