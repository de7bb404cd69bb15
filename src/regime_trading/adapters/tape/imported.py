"""A tape in its normal form on disk: Parquet, with where it came from beside it.

``quotes/<SYMBOL>.parquet``, ``trades/<SYMBOL>.parquet`` and ``provenance/<SYMBOL>.json`` under one folder. The
provenance file is written last and names the hash of the others: without it, or where a hash differs, there is
no imported tape. Characters of a symbol that a file name cannot carry are percent-encoded.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from regime_trading.adapters.disk import sync
from regime_trading.adapters.tape.block import FIELDS, LETTERS
from regime_trading.adapters.tape.columns import QuoteColumns, TradeColumns
from regime_trading.adapters.tape.source import Facts, FileTape, Lane, sha256_of
from regime_trading.adapters.tape.table import TIME, open_table
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.ports import TapeSource
from regime_trading.core.tape import QuoteRows, TapeChunk, TapeInfo, TapeTally, TradeRows

_SCHEMA_VERSION = 1
_UTC_NS = pa.timestamp("ns", "UTC")
_ROW_GROUP = 131_072
_KINDS = ("quotes", "trades")

#: Opens a tape with so many rows a chunk.
Opener = Callable[..., TapeSource]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import left on disk.

    Parameters
    ----------
    symbol : str
    quotes, trades : Path or None
    provenance : Path
    content_sha256 : str
        Of the rows, whatever chunks they came in.
    tally : TapeTally
        Of the reading.
    """

    symbol: str
    quotes: Path | None
    trades: Path | None
    provenance: Path
    content_sha256: str
    tally: TapeTally


def import_tape(source: TapeSource, folder: Path, *, overwrite: bool = False) -> Imported:
    """Write a tape in its normal form, whole or not at all.

    Parameters
    ----------
    source : TapeSource
    folder : Path
        Created where it is missing.
    overwrite : bool
        Replace another tape of the same symbol. The same tape again changes nothing.

    Raises
    ------
    BadInput
        From the reading, or where another tape of the symbol is there.
    NotDurable
        The file system cannot write.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = folder / f".tmp-{secrets.token_hex(8)}"
        work.mkdir()
        try:
            return _import(source, folder, work, overwrite)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise NotDurable(f"{folder}: {error.strerror or error}") from error


def _import(source: TapeSource, folder: Path, work: Path, overwrite: bool) -> Imported:
    info, stem = source.info, _stem(source.info.symbol)
    paths = {kind: folder / kind / f"{stem}.parquet" for kind in _KINDS}
    content = _write(source, work)
    written = [kind for kind in _KINDS if (work / kind).is_file()]
    provenance = folder / "provenance" / f"{stem}.json"
    if not written:
        raise BadInput(expected="at least one row", found="none", where=f"tape of {info.symbol}")
    record = _record(source, content, {kind: sha256_of(work / kind) for kind in written})
    if not _same(provenance, record, overwrite):
        (work / "provenance").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        provenance.unlink(missing_ok=True)
        for kind in _KINDS:
            if kind in written:
                _place(work / kind, paths[kind])
            else:
                paths[kind].unlink(missing_ok=True)
        _place(work / "provenance", provenance)
    quotes, trades = (paths[kind] if kind in written else None for kind in _KINDS)
    return Imported(info.symbol, quotes, trades, provenance, content, source.tally())


def _same(provenance: Path, record: dict[str, Any], overwrite: bool) -> bool:
    """Whether this very tape is there already; another one is refused unless it may be overwritten."""
    if not provenance.is_file():
        return False
    there = _provenance(provenance)
    if there == record and all(
        _is_whole(provenance.parent.parent / n, sha) for n, sha in record["stored"].items()
    ):
        return True
    if there["content_sha256"] != record["content_sha256"] and not overwrite:
        raise BadInput(
            expected="the same tape, or leave to overwrite it",
            found=f"another tape of {record['symbol']}, from {', '.join(n for n, _ in there['files'])}",
            where=str(provenance),
        )
    return False


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _record(source: TapeSource, content: str, hashes: dict[str, str]) -> dict[str, Any]:
    info, tally = source.info, source.tally()
    stem = _stem(info.symbol)
    return {
        "schema_version": _SCHEMA_VERSION,
        "symbol": info.symbol,
        "format": info.format,
        "evidence": info.evidence,
        "has_trades": info.has_trades,
        "has_aggressor": info.has_aggressor,
        "calendar": info.calendar,
        "files": [list(file) for file in info.files],
        "first_ns": info.first_ns,
        "last_ns": info.last_ns,
        "rows": tally.rows,
        "out_of_order": tally.out_of_order,
        "removed": tally.removed,
        "trades": tally.trades,
        "trades_removed": tally.trades_removed,
        "notes": list(info.notes),
        "breaks_ns": list(info.breaks_ns),
        "content_sha256": content,
        "stored": {f"{kind}/{stem}.parquet": sha for kind, sha in hashes.items()},
    }


# --- writing ----------------------------------------------------------------------------------------------


class _Sink:
    """One Parquet file, in row groups of one size whatever the chunks, and the hash of its columns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.Table] = []
        self._count = 0
        self._hashes: dict[str, Any] = {}

    def add(self, columns: dict[str, Any]) -> None:
        if len(columns[TIME]) == 0:
            return
        for name, column in columns.items():
            data = column if isinstance(column, np.ndarray) else column.cast(pa.int64()).to_numpy()
            self._hashes.setdefault(name, hashlib.sha256()).update(np.ascontiguousarray(data).tobytes())
        table = pa.table(_letters(columns))
        self._writer = self._writer or pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._held.append(table)
        self._count += table.num_rows
        while self._count >= _ROW_GROUP:
            self._flush(_ROW_GROUP)

    def close(self) -> None:
        if self._writer is None:
            return
        if self._count:
            self._flush(self._count)
        self._writer.close()

    def _flush(self, rows: int) -> None:
        assert self._writer is not None
        whole = pa.concat_tables(self._held)
        self._writer.write_table(whole.slice(0, rows).combine_chunks(), row_group_size=_ROW_GROUP)
        self._held, self._count = [whole.slice(rows)], self._count - rows

    def digest(self) -> list[tuple[str, str]]:
        return [(name, h.hexdigest()) for name, h in self._hashes.items()]


def _write(source: TapeSource, work: Path) -> str:
    """Both files of a tape; the hash of their rows."""
    sinks = {kind: _Sink(work / kind) for kind in _KINDS}
    info = source.info
    try:
        for chunk in source.chunks():
            for kind, columns in _columns(chunk, info).items():
                sinks[kind].add(columns)
    finally:
        for sink in sinks.values():
            sink.close()
    return hashlib.sha256(json.dumps([sinks[k].digest() for k in _KINDS]).encode()).hexdigest()


def _columns(chunk: TapeChunk, info: TapeInfo) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    if info.evidence != "trades":
        found["quotes"] = _quote_columns(chunk.quotes)
    if info.has_trades:
        found["trades"] = _trade_columns(chunk.trades, info.has_aggressor)
    return found


def _quote_columns(rows: QuoteRows) -> dict[str, Any]:
    columns = {TIME: _stamps(rows.ts_ns), **{f: getattr(rows, f) for f in FIELDS}}
    if rows.levels is not None:
        for k in range(rows.levels.bid_px.shape[1]):
            columns |= {f"{f}_{k:02d}": np.ascontiguousarray(getattr(rows.levels, f)[:, k]) for f in FIELDS}
    return columns


def _trade_columns(rows: TradeRows, signed: bool) -> dict[str, Any]:
    columns = {TIME: _stamps(rows.ts_ns), "price": rows.price, "size": rows.size}
    if signed:
        columns["aggressor"] = rows.aggressor
    return columns | {
        "visible": rows.visible,
        "continuous": rows.continuous,
        "after_quote": rows.after_quote,
    }


def _stamps(ts_ns: Any) -> Any:
    return pa.array(ts_ns, pa.int64()).cast(_UTC_NS)


def _letters(columns: dict[str, Any]) -> dict[str, Any]:
    if "aggressor" not in columns:
        return columns
    letters = np.array([LETTERS[0], LETTERS[1], LETTERS[-1]])[columns["aggressor"]]
    return {**columns, "aggressor": pa.array(letters, pa.string())}


def _place(temporary: Path, path: Path) -> None:
    """Make a file durable under its name."""
    sync(temporary)
    path.parent.mkdir(exist_ok=True)
    temporary.replace(path)
    sync(path.parent)


def _stem(symbol: str) -> str:
    return (
        quote(symbol, safe="^=").replace(".", "%2E") if symbol.startswith(".") else quote(symbol, safe="^=")
    )


# --- reading ----------------------------------------------------------------------------------------------


def open_folder_tapes(folder: Path) -> dict[str, Opener]:
    """Symbol → opener of every imported tape in a folder, sorted; nothing is read before one is opened.

    An opener takes ``chunk_rows`` and raises ``BadInput`` where a file is no longer what was imported.
    """
    names = sorted((folder / "provenance").glob("*.json"), key=lambda p: unquote(p.stem))
    return {unquote(path.stem): partial(_open, folder, path) for path in names}


def _open(folder: Path, provenance: Path, *, chunk_rows: int = 262_144) -> TapeSource:
    record = _provenance(provenance)
    for name, sha256 in record["stored"].items():
        if not _is_whole(folder / name, sha256):
            raise BadInput(
                expected=f"the file that {provenance.name} names",
                found="another or none: import the tape again",
                where=str(folder / name),
            )
    paths = {name.split("/")[0]: folder / name for name in record["stored"]}
    lanes = [_Stored(_lane(kind, paths[kind], record["symbol"]), record) for kind in _KINDS if kind in paths]
    if not lanes:
        raise BadInput(expected="quotes or trades", found="neither", where=str(provenance))
    return FileTape(lanes[0], lanes[1] if len(lanes) == 2 else None, chunk_rows)


def _lane(kind: str, path: Path, symbol: str) -> Lane:
    table = open_table(path)
    return QuoteColumns(table, symbol, with_trades=False) if kind == "quotes" else TradeColumns(table, symbol)


class _Stored:
    """A lane that tells what the tape was before it was imported."""

    def __init__(self, lane: Lane, record: dict[str, Any]) -> None:
        self._lane = lane
        self.survey, self.blocks, self.refiner = lane.survey, lane.blocks, lane.refiner
        self.facts: Facts = replace(
            lane.facts,
            calendar=record["calendar"],
            notes=_notes(record) if lane.facts.levels or record["evidence"] == "trades" else (),
            breaks_ns=tuple(record["breaks_ns"]),
        )


def _notes(record: dict[str, Any]) -> tuple[str, ...]:
    notes = (
        *record["notes"],
        f"imported from {', '.join(name for name, _ in record['files'])} ({record['format']})",
    )
    gone = {**record["removed"], **{f"trades {k}": v for k, v in record["trades_removed"].items()}}
    if gone:
        notes += (f"left out at import: {', '.join(f'{k} {v}' for k, v in gone.items())}",)
    if record["out_of_order"]:
        notes += (f"{record['out_of_order']} rows were out of order and put in place at import",)
    return notes


def _provenance(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(expected="a provenance file", found=str(error)[:120], where=str(path)) from error
    if not isinstance(record, dict) or record.get("schema_version") != _SCHEMA_VERSION:
        found = f"version {record.get('schema_version')}" if isinstance(record, dict) else "no object"
        raise BadInput(expected=f"provenance version {_SCHEMA_VERSION}", found=found, where=str(path))
    return record
