"""The user's own target weights, from a JSON, CSV or Parquet file."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
from pydantic import ValidationError

from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I8, nano_of
from regime_trading.core.schemas import Proposal


def read_proposal(path: Path, as_of_ns: int) -> Proposal:
    """One proposal from a file.

    JSON: ``{"weights": {symbol: weight}}``, with any other field of ``Proposal``. CSV and Parquet: columns
    ``symbol, weight``, one row per symbol. Weights are fractions of equity; what is not named is 0 unless the
    JSON says ``"complete": false``.

    Parameters
    ----------
    as_of_ns : int
        Time of a proposal whose file names none.

    Raises
    ------
    BadInput
        A file that cannot be read or is no proposal, with row and column or field.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(expected="a readable file", found=str(error.strerror), where=str(path)) from error
    if path.suffix == ".json":
        fields = _json(data, path)
    elif path.suffix in (".csv", ".parquet"):
        fields = {"weights": _table(path)}
    else:
        raise BadInput(
            expected="a .json, .csv or .parquet file", found=path.suffix or "no suffix", where=str(path)
        )
    digest = sha256_hex(data)
    fields = {"proposal_id": digest[:32], "as_of_ns": as_of_ns, "input_hash": digest} | fields
    try:
        return Proposal.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = f"{path}: {'.'.join(str(step) for step in first['loc'])}"
        raise BadInput(expected=first["msg"], found=repr(first["input"])[:80], where=where) from error


def read_proposals(path: Path) -> tuple[I8, tuple[str, ...], F8, str]:
    """Proposals over time from a CSV or Parquet file with the columns ``ts_event, symbol, weight``.

    All rows of one time make one proposal; a symbol it does not name has weight 0 in it. A time is ISO 8601 with
    its offset, a timestamp with a zone, or integer nanoseconds.

    Returns
    -------
    ts_ns : int64 [K]
        Ascending, UTC nanoseconds.
    symbols : tuple of str
        Sorted.
    weights : float64 [K, N]
        Nanoweights.
    sha256 : str
        Of the file.

    Raises
    ------
    BadInput
        A file that cannot be read or is no such table, with row and column.
    """
    try:
        digest = sha256_hex(path.read_bytes())
    except OSError as error:
        raise BadInput(expected="a readable file", found=str(error.strerror), where=str(path)) from error
    frame = _read(path, ("ts_event", "symbol", "weight"))
    rows: dict[tuple[int, str], Decimal] = {}
    for row, (time, symbol, weight) in enumerate(frame.iter_rows(), start=1):
        key = (_time_ns(time, f"{path}: row {row}, column ts_event"), _symbol(symbol, path, row))
        if key in rows:
            raise BadInput(
                expected="each symbol once at each time",
                found=repr(symbol),
                where=f"{path}: row {row}, column symbol",
            )
        rows[key] = _weight(weight, f"{path}: row {row}, column weight")
    if not rows:
        raise BadInput(expected="at least one row", found="none", where=str(path))
    times, symbols = sorted({t for t, _ in rows}), tuple(sorted({s for _, s in rows}))
    weights = np.zeros((len(times), len(symbols)))
    row_of, column_of = ({key: i for i, key in enumerate(keys)} for keys in (times, symbols))
    for (ts_ns, symbol), weight in rows.items():
        weights[row_of[ts_ns], column_of[symbol]] = nano_of(weight)
    return np.array(times, dtype=np.int64), symbols, weights, digest


def _json(data: bytes, path: Path) -> dict[str, Any]:
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadInput(
            expected="JSON", found=str(error), where=f"{path}:{error.lineno}:{error.colno}"
        ) from error
    if not isinstance(fields, dict) or "weights" not in fields:
        raise BadInput(expected='an object with "weights"', found=type(fields).__name__, where=str(path))
    return fields


def _table(path: Path) -> dict[str, Decimal]:
    weights: dict[str, Decimal] = {}
    for row, (symbol, weight) in enumerate(_read(path, ("symbol", "weight")).iter_rows(), start=1):
        name = _symbol(symbol, path, row)
        if name in weights:
            raise BadInput(
                expected="each symbol once", found=repr(symbol), where=f"{path}: row {row}, column symbol"
            )
        weights[name] = _weight(weight, f"{path}: row {row}, column weight")
    return weights


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    try:
        frame = pl.read_csv(path, infer_schema=False) if path.suffix == ".csv" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(expected="a table", found=str(error).splitlines()[0], where=str(path)) from error
    if missing := [name for name in columns if name not in frame.columns]:
        raise BadInput(
            expected=f"columns {', '.join(columns)}",
            found=f"no {', '.join(missing)}",
            where=f"{path}: header",
        )
    return frame.select(columns)


def _symbol(value: Any, path: Path, row: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadInput(expected="a symbol", found=repr(value), where=f"{path}: row {row}, column symbol")
    return value.strip()


def _time_ns(value: Any, where: str) -> int:
    """UTC nanoseconds; a time without its offset is bad input (``contracts.md`` 1)."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = int(value) if re.fullmatch(r"\d{16,19}", value) else dt.datetime.fromisoformat(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return round(value.timestamp() * 1e6) * 1000
    raise BadInput(
        expected="a UTC time with its offset, e.g. 2020-01-02T21:00:00Z, or integer nanoseconds",
        found=repr(value),
        where=where,
    )


def _weight(value: Any, where: str) -> Decimal:
    try:
        weight = Decimal(str(value).strip())
    except InvalidOperation:
        weight = Decimal("NaN")
    if not weight.is_finite():
        raise BadInput(expected="a finite number", found=repr(value), where=where)
    return weight
