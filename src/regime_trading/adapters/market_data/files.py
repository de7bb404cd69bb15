"""Price tables and bars from the user's own CSV and Parquet files.

Shapes, told apart by their column names:

- price table: ``ts_event`` and one column of closes per symbol;
- bars: ``ts_event, open, high, low, close``, optionally ``volume`` and ``symbol`` (long form). Without a
  ``symbol`` column the file's stem is the symbol;
- a folder of files of one shape, CSV and Parquet mixed, every symbol in one file only.

A bar lacks a close where its cell is empty, or where a price is zero or negative (counted, never used); a
bar with any of its four prices missing is no bar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from regime_trading.adapters.market_data.cells import (
    SUFFIXES,
    TIME,
    Sheet,
    numbers,
    read_sheet,
    texts,
    times_ns,
)
from regime_trading.adapters.market_data.integrity import Lost
from regime_trading.adapters.market_data.rows import Conflict, Merged, disorder_known_ns, merge_rows
from regime_trading.core.bars import DAY_NS, SECOND_NS, median_spacing
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.schemas import PriceWindow

OHLC = ("open", "high", "low", "close")
_SYMBOL = re.compile(r"[A-Za-z0-9^=./:_-]{1,40}")
_SHAPES = (
    "a price table (ts_event and one column per symbol) or bars "
    "(ts_event, open, high, low, close, optionally volume and symbol)"
)
_FIELD = re.compile(
    "open|high|low|close|adj_close|volume|vwap|price|size|qty|quantity|side|symbol|ticker|date|time|timestamp|"
    "datetime|index|weight|bid|ask|(bid|ask|__index)_.*|aggressor|bidsiz|ofr|ofrsiz|ex|cond|corr|action|sequence|"
    "trade_id"
)
_ROUNDING = 1e-9  #: relative: adjusted prices carry float noise at their own high and low


@dataclass(frozen=True, slots=True)
class Series:
    """Bars of one symbol: ``fields`` is close alone, or open, high, low, close, volume (NaN: not given)."""

    symbol: str
    path: str
    ts_ns: I8
    fields: F8
    has_volume: bool
    lost: Lost


@dataclass(frozen=True, slots=True)
class Loaded:
    """All bars of a path on one grid, what reading lost, and remarks."""

    bars: PriceWindow
    lost: dict[str, Lost]
    notes: tuple[str, ...]


def load_path(path: Path) -> Loaded:
    """Bars of one file, or of every file of a folder.

    Raises
    ------
    BadInput
        Naming the file, and row and column where there is one.
    """
    files, notes = _files(path)
    sheets = [read_sheet(file) for file in files]
    shapes = [_is_bars(sheet) for sheet in sheets]
    if any(shapes) and not all(shapes):
        odd = sheets[shapes.index(not shapes[0])].path
        raise BadInput(
            expected=f"files of one shape, as {sheets[0].path}", found="the other shape", where=odd
        )
    series = [s for sheet in sheets for s in (_bar_series(sheet) if shapes[0] else _table_series(sheet))]
    return _on_one_grid(series, shapes[0], path, notes)


def _files(path: Path) -> tuple[list[Path], tuple[str, ...]]:
    expected = "a .csv or .parquet file, or a folder with such files"
    if not path.is_dir():
        if not path.is_file():
            raise BadInput(expected=expected, found="no such file", where=str(path))
        if path.suffix.lower() not in SUFFIXES:
            raise BadInput(expected=expected, found=f"a file that ends in {path.suffix!r}", where=str(path))
        return [path], ()
    entries = sorted(path.iterdir(), key=lambda p: p.name)
    files = [p for p in entries if p.is_file() and p.suffix.lower() in SUFFIXES and p.name[0] not in "._"]
    if not files:
        raise BadInput(expected=expected, found="a folder without any", where=str(path))
    return files, tuple(f"not read: {p.name}" for p in entries if p not in files)


# --- shapes -----------------------------------------------------------------------------------------------


def _is_bars(sheet: Sheet) -> bool:
    """True for bars, False for a price table; anything else is refused here."""
    names = list(sheet.columns)
    if TIME not in names:
        raise BadInput(
            expected=f"a column {TIME} and prices", found=f"columns {_few(names)}", where=sheet.path
        )
    prices = [n for n in names if n != TIME]
    if set(OHLC) <= set(names):
        unknown = [n for n in prices if n not in (*OHLC, "volume", "symbol")]
        if unknown:
            raise BadInput(
                expected=_SHAPES, found=f"bars with a further column {unknown[0]!r}", where=sheet.path
            )
        return True
    if not prices:
        raise BadInput(expected=_SHAPES, found=f"no column but {TIME}", where=sheet.path)
    fields = [n for n in prices if _is_field(n)]
    if fields:
        absent = [n for n in OHLC if n not in names]
        found = f"columns {_few(fields)}, which name no symbols (for bars, missing: {', '.join(absent)})"
        raise BadInput(expected=_SHAPES, found=found, where=sheet.path)
    for name in prices:
        _require_symbol(name, f"{sheet.path}, column {name!r}")
    return False


def _is_field(name: str) -> bool:
    """A word that names a field in other layouts. Tickers are upper case: ``LOW`` and ``OPEN`` are companies."""
    return name != name.upper() and _FIELD.fullmatch(name.lower().replace(" ", "_")) is not None


def _require_symbol(name: str, where: str) -> None:
    if not _SYMBOL.fullmatch(name):
        raise BadInput(
            expected="a symbol of 1 to 40 letters, digits or ^ = . / : _ -",
            found=repr(name[:60]),
            where=where,
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


# --- price tables -----------------------------------------------------------------------------------------


def _table_series(sheet: Sheet) -> list[Series]:
    names = [n for n in sheet.columns if n != TIME]
    ts = times_ns(sheet)
    merged = _merge(sheet, ts, numbers(sheet, names), names, np.arange(sheet.rows))
    disorder = disorder_known_ns(ts)
    return [_close_series(sheet, name, merged, merged.values[:, j], disorder) for j, name in enumerate(names)]


def _close_series(sheet: Sheet, symbol: str, merged: Merged, close: F8, disorder: I8) -> Series:
    bad = close <= 0
    keep = ~np.isnan(close) & ~bad
    lost = Lost(duplicates=merged.dropped_ns, out_of_order=disorder, non_positive=merged.ts_ns[bad])
    return Series(symbol, sheet.path, merged.ts_ns[keep], close[keep][:, None], False, lost)


# --- bars -------------------------------------------------------------------------------------------------


def _bar_series(sheet: Sheet) -> list[Series]:
    names = [*OHLC, "volume"] if "volume" in sheet.columns else list(OHLC)
    ts, values = times_ns(sheet), numbers(sheet, names)
    _require_ordered_prices(sheet, values)
    if "symbol" not in sheet.columns:
        symbol = Path(sheet.path).stem
        _require_symbol(symbol, f"{sheet.path}: the file's name, which is the symbol")
        return [_bars_of(sheet, symbol, np.arange(sheet.rows), ts, values, names)]
    column = texts(sheet, "symbol").to_numpy()
    symbols, first, code = np.unique(column.astype(str), return_index=True, return_inverse=True)
    for row in np.sort(first):
        _require_symbol(str(column[row]), sheet.where(int(row), "symbol"))
    return [
        _bars_of(sheet, str(symbol), np.flatnonzero(code == k), ts, values, names)
        for k, symbol in enumerate(symbols)
    ]


def _bars_of(sheet: Sheet, symbol: str, rows: I8, ts_ns: I8, values: F8, names: Sequence[str]) -> Series:
    ts = ts_ns[rows]
    merged = _merge(sheet, ts, values[rows], names, rows)
    prices = merged.values[:, :4]
    bad = (prices <= 0).any(axis=1)
    keep = ~bad & ~np.isnan(prices).any(axis=1)
    volume = merged.values[keep, 4] if len(names) == 5 else np.full(int(keep.sum()), np.nan)
    lost = Lost(
        duplicates=merged.dropped_ns, out_of_order=disorder_known_ns(ts), non_positive=merged.ts_ns[bad]
    )
    fields = np.column_stack([prices[keep], volume])
    return Series(symbol, sheet.path, merged.ts_ns[keep], fields, len(names) == 5, lost)


def _require_ordered_prices(sheet: Sheet, values: F8) -> None:
    """low ≤ open, close ≤ high where all are there and positive; volume ≥ 0. The first row that is not."""
    o, h, low, c = (values[:, j] for j in range(4))
    whole = (values[:, :4] > 0).all(axis=1)
    slack = 1 + _ROUNDING
    checks: list[tuple[B1, str, str]] = [
        (whole & (h * slack < low), "high", "high ≥ low"),
        (whole & ((o > h * slack) | (o * slack < low)), "open", "low ≤ open ≤ high"),
        (whole & ((c > h * slack) | (c * slack < low)), "close", "low ≤ close ≤ high"),
    ]
    if values.shape[1] == 5:
        checks.append((values[:, 4] < 0, "volume", "volume ≥ 0"))
    failing = [(int(np.argmax(bad)), k) for k, (bad, _, _) in enumerate(checks) if bad.any()]
    if failing:
        row, k = min(failing)
        found = ", ".join(
            f"{n} {float(v):.10g}" for n, v in zip((*OHLC, "volume"), values[row], strict=False)
        )
        sheet.refuse(row, checks[k][1], expected=checks[k][2], found=found)


# --- one grid ---------------------------------------------------------------------------------------------


def _merge(sheet: Sheet, ts_ns: I8, values: F8, names: Sequence[str], rows: I8) -> Merged:
    merged = merge_rows(ts_ns, values)
    if isinstance(merged, Conflict):
        kept = float(values[merged.earlier_row, merged.column])
        sheet.refuse(
            int(rows[merged.row]),
            names[merged.column],
            expected=f"one value per time ({kept:.10g} in row {int(rows[merged.earlier_row]) + sheet.first_row})",
            found=f"{float(values[merged.row, merged.column]):.10g} for the same time",
        )
    return merged


def _on_one_grid(series: list[Series], bars: bool, path: Path, notes: tuple[str, ...]) -> Loaded:
    series = sorted(series, key=lambda s: s.symbol)
    for a, b in pairwise(series):
        if a.symbol == b.symbol:
            raise BadInput(expected=f"symbol {a.symbol} in one file", found=f"also in {b.path}", where=a.path)
    grid = np.unique(np.concatenate([s.ts_ns for s in series]))
    if grid.size == 0:
        raise BadInput(expected="at least one positive price", found="none", where=str(path))
    _require_bars_not_ticks(series)
    fields = np.full((series[0].fields.shape[1], grid.size, len(series)), np.nan)
    for j, s in enumerate(series):
        fields[:, np.searchsorted(grid, s.ts_ns), j] = s.fields.T
    symbols = tuple(s.symbol for s in series)
    lost = {s.symbol: s.lost for s in series}
    if not bars:
        return Loaded(PriceWindow(symbols, grid, fields[0]), lost, notes)
    with_volume = [s.symbol for s in series if s.has_volume]
    if with_volume and len(with_volume) < len(series):
        notes += (f"volume left out: only {len(with_volume)} of {len(series)} symbols have it",)
    volume = fields[4] if len(with_volume) == len(series) else None
    return Loaded(PriceWindow(symbols, grid, fields[3], fields[0], fields[1], fields[2], volume), lost, notes)


def _require_bars_not_ticks(series: Sequence[Series]) -> None:
    for s in series:
        spacing = median_spacing(s.ts_ns)
        if spacing is not None and spacing < SECOND_NS:
            raise BadInput(
                expected="bars of at least one second",
                found=f"a median spacing of {spacing} ns for {s.symbol}",
                where=s.path,
            )


def infer_calendar(ts_ns: I8) -> str:
    """Calendar assumed for a source that declares none, from the weekdays of its first fourteen days.

    ``24/7`` with bars on a Saturday, or on Sundays alone; ``24/5`` with bars on Sundays and on working
    days; else ``XNYS``. Only the first fourteen days count, so later data never change it.
    """
    first = ts_ns[ts_ns < ts_ns[0] + 14 * DAY_NS]
    weekday = ((first - 1) // DAY_NS + 3) % 7  # Monday 0; a bar complete at midnight is of the day before
    if bool((weekday == 5).any()) or bool((weekday == 6).all()):
        return "24/7"
    return "24/5" if bool((weekday == 6).any()) else "XNYS"
