"""One CSV or Parquet file as strictly typed columns.

pyarrow reads the bytes, because it names the row of a ragged line and refuses a damaged Parquet file with
one error; polars does the typing. Nothing is guessed: a cell that is not exactly what its column holds is
one ``BadInput`` that names file, row and column.

Rows are counted as a person counts them: the header of a CSV file is row 1, so its data begin at row 2;
a Parquet file has no header row, so its data begin at row 1.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I8

TIME = "ts_event"
SUFFIXES = (".csv", ".parquet")
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_ISO = (
    r"^(?<date>\d{4}-\d{2}-\d{2})[T ](?<h>\d{2}):(?<m>\d{2})(?::(?<s>\d{2})(?:\.(?<f>\d{1,9}))?)?"
    r"(?<zone>[Zz]|(?<sign>[+-])(?<zh>\d{2})(?::?(?<zm>\d{2}))?)$"
)
_NAIVE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?$"
_TIMES = "UTC time with its offset, e.g. 2020-01-02T21:00:00Z, or integer nanoseconds"
_DAY_NS, _MAX_DAYS = 86_400 * 10**9, 106_750
_UNIT_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
#: Integers below this, read as nanoseconds, would all lie within 116 days of 1970: seconds, milli- or microseconds.
_LEAST_NS = 10**16


@dataclass(frozen=True, slots=True)
class Sheet:
    """Named columns of one file, not typed yet."""

    path: str
    first_row: int
    columns: dict[str, pl.Series]

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))

    def where(self, row: int, column: str) -> str:
        """``file, row, column`` of a zero-based data row."""
        return f"{self.path}, row {row + self.first_row}, column {column}"

    def refuse(self, row: int, column: str, *, expected: str, found: str | None = None) -> NoReturn:
        """Raise the error for one cell; ``found`` defaults to its text."""
        raise BadInput(
            expected=expected, found=found or self._text(row, column), where=self.where(row, column)
        )

    def _text(self, row: int, column: str) -> str:
        value = self.columns[column].to_physical()[row]
        return "an empty cell" if value is None or str(value).strip() == "" else repr(str(value)[:60])


def read_sheet(path: Path) -> Sheet:
    """Columns of a ``.csv``, ``.csv.gz`` or ``.parquet`` file.

    Raises
    ------
    BadInput
        Unreadable, damaged or empty file, ragged row, empty or repeated column name.
    """
    names, columns, first_row = (_parquet if path.suffix.lower() == ".parquet" else _csv)(path)
    for i, name in enumerate(names):
        if not name:
            raise BadInput(
                expected="a name for every column", found=f"no name in column {i + 1}", where=str(path)
            )
        if name in names[:i]:
            raise BadInput(expected="distinct column names", found=f"{name!r} twice", where=str(path))
    if not columns or len(columns[0]) == 0:
        raise BadInput(expected="at least one row of data", found="none", where=str(path))
    return Sheet(str(path), first_row, dict(zip(names, columns, strict=True)))


def _parquet(path: Path) -> tuple[list[str], list[pl.Series], int]:
    try:
        with pa.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
        table.validate(full=True)
        columns = [pl.Series(pl.from_arrow(column)) for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
        found = "an empty file" if _is_empty(path) else _first_line(error)
        raise BadInput(expected="a readable Parquet file", found=found, where=str(path)) from error
    return list(table.column_names), columns, 1


def _csv(path: Path) -> tuple[list[str], list[pl.Series], int]:
    data = _bytes(path).rstrip(b"\r\n")
    if not data:
        raise BadInput(expected="a header row and data", found="an empty file", where=str(path))
    try:
        header = next(csv.reader(io.StringIO(data.split(b"\n", 1)[0].decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(
            expected="UTF-8 text, comma-separated", found=str(error), where=f"{path}, row 1"
        ) from error
    if b"\n" not in data and b"\r" not in data:
        raise BadInput(expected="at least one row of data", found="a header only", where=str(path))
    if data.count(b'"') % 2:
        raise BadInput(expected="every quotation mark closed", found="an odd number of them", where=str(path))
    table = _csv_body(path, data, len(header))
    columns = [pl.Series(pl.from_arrow(column)).str.strip_chars() for column in table.columns]
    return [name.strip() for name in header], columns, 2


def _csv_body(path: Path, data: bytes, width: int) -> pa.Table:
    ids, ragged = [str(i) for i in range(width)], []

    def remember(row: pa.csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    try:
        return pa.csv.read_csv(
            io.BytesIO(data),
            pa.csv.ReadOptions(
                use_threads=False, column_names=ids, skip_rows=1, block_size=min(len(data) + 1, 2**30)
            ),
            pa.csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=remember),
            pa.csv.ConvertOptions(column_types={i: pa.string() for i in ids}, strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        if ragged:
            raise BadInput(
                expected=f"{width} fields as in the header",
                found=str(ragged[0].actual_columns),
                where=f"{path}, row {ragged[0].number}",
            ) from error
        raise BadInput(
            expected="UTF-8 text, comma-separated", found=_first_line(error), where=str(path)
        ) from error


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix.lower() == ".gz" else data
    except (OSError, EOFError) as error:
        raise BadInput(expected="a readable file", found=_first_line(error), where=str(path)) from error


def _first(bad: pl.Series) -> int:
    return int(np.argmax(bad.to_numpy()))


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


# --- numbers ----------------------------------------------------------------------------------------------


def numbers(sheet: Sheet, names: Sequence[str]) -> F8:
    """Columns as float64 [R, C]; an empty cell (CSV), null or NaN (Parquet) is NaN.

    Raises
    ------
    BadInput
        The first cell, by row and then by column, that is neither a finite number nor empty.
    """
    parsed = [_number_column(sheet, name) for name in names]
    first = [int(np.argmax(bad)) if bad.any() else sheet.rows for _, bad in parsed]
    row = min(first)
    if row < sheet.rows:
        sheet.refuse(
            row, names[first.index(row)], expected="a finite number, or an empty cell for a missing bar"
        )
    return np.column_stack([values for values, _ in parsed])


def _number_column(sheet: Sheet, name: str) -> tuple[F8, B1]:
    column = sheet.columns[name]
    if column.dtype == pl.String:
        empty = column.is_null() | (column == "")
        text = pl.select(pl.when(column.str.contains(_NUMBER)).then(column).otherwise(None)).to_series()
        values = text.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        return values, ~np.isfinite(values) & ~empty.fill_null(True).to_numpy()
    if not (column.dtype.is_numeric() or column.dtype == pl.Null):
        sheet.refuse(0, name, expected="a column of numbers", found=f"type {column.dtype}")
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return values, np.isinf(values)


# --- text -------------------------------------------------------------------------------------------------


def texts(sheet: Sheet, name: str) -> pl.Series:
    """A column of non-empty text.

    Raises
    ------
    BadInput
        Another type, or an empty cell.
    """
    column = sheet.columns[name]
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype != pl.String:
        sheet.refuse(0, name, expected="a column of text", found=f"type {column.dtype}")
    empty = (column.is_null() | (column == "")).fill_null(True)
    if empty.any():
        sheet.refuse(_first(empty), name, expected="text in every row")
    return column


# --- times ------------------------------------------------------------------------------------------------


def times_ns(sheet: Sheet) -> I8:
    """``ts_event`` as int64 UTC nanoseconds.

    Parquet: a timestamp with a time zone, any unit. CSV: ISO-8601 with ``Z`` or an offset in every row, or
    integer nanoseconds in every row.

    Raises
    ------
    BadInput
        The first row whose time is missing, naive, a date only, impossible, or out of the int64 range.
    """
    column = sheet.columns[TIME]
    if sheet.first_row == 2:
        return _text_times(sheet, column)
    if not (isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone):
        sheet.refuse(0, TIME, expected="a timestamp with time zone UTC", found=f"type {column.dtype}")
    _refuse_first(sheet, column.is_null(), expected="a time")
    factor = _UNIT_NS[column.dtype.time_unit]
    units = column.to_physical().to_numpy()
    _refuse_first(
        sheet, pl.Series(np.abs(units) > (2**63 - 1) // factor), expected="a time between 1677 and 2262"
    )
    return units.astype(np.int64) * factor


def _refuse_first(sheet: Sheet, bad: pl.Series, *, expected: str) -> None:
    if bad.any():
        sheet.refuse(_first(bad), TIME, expected=expected)


def _text_times(sheet: Sheet, column: pl.Series) -> I8:
    _refuse_first(sheet, (column.is_null() | (column == "")).fill_null(True), expected="a time in every row")
    integers = column.str.contains(r"^[+-]?\d+$")
    return _integer_times(sheet, column, integers) if integers[0] else _iso_times(sheet, column)


def _integer_times(sheet: Sheet, column: pl.Series, integers: pl.Series) -> I8:
    _refuse_first(sheet, ~integers, expected="integer nanoseconds as in the first row")
    ts = column.cast(pl.Int64, strict=False)
    _refuse_first(sheet, ts.is_null(), expected="nanoseconds within 64 bits")
    values = ts.to_numpy().astype(np.int64)
    if int(np.abs(values).max()) < _LEAST_NS:
        sheet.refuse(
            0, TIME, expected="integer nanoseconds (not seconds, milli- or microseconds, not a date)"
        )
    return values


def _iso_times(sheet: Sheet, column: pl.Series) -> I8:
    naive = column.str.contains(_NAIVE)
    if naive.any():
        sheet.refuse(
            _first(naive),
            TIME,
            expected=f"a {_TIMES} (a daily bar carries the instant of its session's close)",
        )
    parts = column.str.extract_groups(_ISO).struct.unnest()
    day = parts["date"].str.to_date("%Y-%m-%d", strict=False).cast(pl.Int32).cast(pl.Int64)
    of = {k: parts[k].fill_null("0").cast(pl.Int64) for k in ("h", "m", "s", "zh", "zm")}
    fraction = parts["f"].fill_null("0").str.pad_end(9, "0").cast(pl.Int64)
    bad = (
        day.is_null()
        | (day.abs() > _MAX_DAYS)
        | (of["h"] > 23)
        | (of["m"] > 59)
        | (of["s"] > 59)
        | (of["zh"] > 14)
        | (of["zm"] > 59)
    )
    _refuse_first(sheet, bad.fill_null(True), expected=f"a {_TIMES}, between 1677 and 2262")
    sign = pl.select(pl.when(parts["sign"] == "-").then(-1).otherwise(1)).to_series()
    seconds = of["h"] * 3600 + of["m"] * 60 + of["s"] - sign * (of["zh"] * 3600 + of["zm"] * 60)
    return (day * _DAY_NS + seconds * 10**9 + fraction).to_numpy().astype(np.int64)
