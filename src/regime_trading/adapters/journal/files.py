"""Parquet bytes of sealed rows: the same rows give the same bytes on the same library version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from regime_trading.core.audit import GATE_RUNS, ChainEntry
from regime_trading.core.canonical import array_hash, content_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import I8
from regime_trading.core.schemas import AuditEvent, RLBlock

AUDIT_ROW_OVERHEAD_BYTES = 512
ROW_GROUP_ROWS = 16_384

_TS = pa.timestamp("ns", tz="UTC")
_WHO = ("firm_id", "account_id", "run_id", "env", "feature_set_version")
AUDIT_SCHEMA = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in _WHO]
    + [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("ts_event", _TS, nullable=False),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("rule_id", pa.string(), nullable=False),
        pa.field("body", pa.string(), nullable=False),
        pa.field("prev_hash", pa.string(), nullable=False),
        pa.field("entry_hash", pa.string(), nullable=False),
    ]
)
_UNIQUE_TEXT = frozenset({"body", "prev_hash", "entry_hash"})
_RESERVED = frozenset({*_WHO, "ts_event", "schema", "record", "firm", "account", "run"})

Column = npt.NDArray[Any] | list[Any]


def audit_table(entries: Sequence[ChainEntry]) -> pa.Table:
    """Audit rows of consecutive entries."""
    events = [entry.event for entry in entries]
    text = {name: [getattr(event, name) for event in events] for name in (*_WHO, "event_type", "rule_id")}
    numbers = {
        "seq": pa.array([event.seq for event in events], pa.int64()),
        "ts_event": pa.array([event.ts_event_ns for event in events], pa.int64()).cast(_TS),
    }
    hashes = {
        "body": pa.array([event.body for event in events], pa.binary()).cast(pa.string()),
        "prev_hash": [entry.prev_hash for entry in entries],
        "entry_hash": [entry.entry_hash for entry in entries],
    }
    return pa.table(text | numbers | hashes, schema=AUDIT_SCHEMA)


def entries_of(table: pa.Table) -> list[ChainEntry]:
    """Entries as the columns of an audit file hold them; the inverse of :func:`audit_table`."""
    text = [table.column(name).to_pylist() for name in _WHO]
    ts_ns = table.column("ts_event").cast(pa.int64()).to_pylist()
    body = table.column("body").cast(pa.binary()).to_pylist()
    rest = [
        table.column(name).to_pylist() for name in ("seq", "event_type", "rule_id", "prev_hash", "entry_hash")
    ]
    return [
        ChainEntry(AuditEvent(firm, account, run, env, seq, ts, kind, rule, text_, version), before, own)
        for firm, account, run, env, version, ts, text_, seq, kind, rule, before, own in zip(
            *text, ts_ns, body, *rest, strict=True
        )
    ]


def require_rl_columns(block: RLBlock) -> None:
    """Refuse a block that cannot be sealed.

    Raises
    ------
    BadInput
        Columns of unequal length, an unsupported type, a reserved name, or a missing or unordered key.
    """
    where = f"RL {block.record} block"
    together = block.run_id == GATE_RUNS
    if together and "run_id" not in block.columns:
        raise BadInput(expected="the run of each row", found="none", where=f"{where}.run_id")
    for name, column in block.columns.items():
        if name in _RESERVED and not (together and name == "run_id"):
            raise BadInput(expected="a column name that is free", found=name, where=where)
        text = isinstance(column, list) and all(item is None or isinstance(item, str) for item in column)
        if (
            not text
            and not _is_ragged(column)
            and not (
                isinstance(column, np.ndarray) and column.ndim in (1, 2) and column.dtype.kind in "biufU"
            )
        ):
            raise BadInput(
                expected="an array of 1 or 2 dimensions, a list of text, or one array a row",
                found=_kind(column),
                where=f"{where}.{name}",
            )
    lengths = {len(column) for column in block.columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise BadInput(expected="columns of one length above 0", found=str(sorted(lengths)), where=where)
    for key in ("seq", "ts_event_ns"):
        found = block.columns.get(key)
        if not (isinstance(found, np.ndarray) and found.dtype == np.int64 and found.ndim == 1):
            raise BadInput(expected="int64 [rows]", found=_kind(found), where=f"{where}.{key}")
        back = np.any(np.diff(found) < (key == order_of(block.run_id)))
        if (back and not (together and key == "seq")) or (key == "seq" and np.any(found < 1)):
            raise BadInput(expected="increasing values", found="a step back", where=f"{where}.{key}")


def order_of(run_id: str) -> str:
    """Column of a block of a run whose values strictly increase."""
    return "ts_event_ns" if run_id == GATE_RUNS else "seq"


def places(block: RLBlock) -> I8:
    """Where each row of a block stands among those of its run."""
    found: I8 = block.columns[order_of(block.run_id)]  # type: ignore[assignment]
    return found


def places_in(table: pa.Table, run_id: str) -> I8:
    """As :func:`places`, of rows of a run as their file holds them."""
    name = "ts_event" if run_id == GATE_RUNS else "seq"
    found: I8 = table.column(name).cast(pa.int64()).to_numpy()
    return found


def rows_of(block: RLBlock, rows: slice) -> RLBlock:
    """Some consecutive rows of a block."""
    return replace(block, columns={name: column[rows] for name, column in block.columns.items()})


def rl_chunks(block: RLBlock, max_bytes: int) -> Iterator[RLBlock]:
    """The block in consecutive pieces of at most ``max_bytes`` before compression (one row at least)."""
    rows = len(block.columns["seq"])
    size = sum(_nbytes(column) for column in block.columns.values())
    step = max(1, max_bytes * rows // max(size, 1))
    for start in range(0, rows, step):
        yield rows_of(block, slice(start, start + step))


def rl_table(block: RLBlock) -> pa.Table:
    """RL rows with the columns that say whose they are."""
    rows = len(block.columns["seq"])
    who = {
        name: _arrow(block.columns[name])
        if name in block.columns
        else pa.repeat(pa.scalar(getattr(block, name), pa.string()), rows)
        for name in _WHO
    }
    time = {
        "seq": pa.array(block.columns["seq"]),
        "ts_event": pa.array(block.columns["ts_event_ns"]).cast(_TS),
    }
    rest = {
        name: _arrow(c) for name, c in block.columns.items() if name not in ("seq", "ts_event_ns", "run_id")
    }
    return pa.table(who | time | rest)


def rl_content_hash(block: RLBlock) -> str:
    """SHA-256 of the block's identity and columns, free of the file format."""
    arrays = {name: c for name, c in block.columns.items() if isinstance(c, np.ndarray)}
    ragged = {name: c for name, c in block.columns.items() if _is_ragged(c)}
    texts = {name: c for name, c in block.columns.items() if isinstance(c, list) and name not in ragged}
    for name, column in ragged.items():
        arrays |= {f"{name}:rows": np.array([len(row) for row in column]), name: np.concatenate(column)}
    return _content({name: getattr(block, name) for name in _WHO}, texts, arrays, list(block.columns))


def rl_table_hash(table: pa.Table, run_id: str) -> str:
    """As :func:`rl_content_hash`, of rows of a run as their file holds them: of a block whose lists are one array a row
    and whose texts are lists it is the same."""
    texts: dict[str, list[Any]] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    known = {*_WHO, "seq", "ts_event"} - ({"run_id"} if run_id == GATE_RUNS else set())
    rest = {name: table.column(name) for name in table.column_names if name not in known}
    head = {"seq": table.column("seq"), "ts_event_ns": table.column("ts_event").cast(pa.int64())}
    for name, values in (head | rest).items():
        if pa.types.is_string(values.type):
            texts[name] = values.to_pylist()
        elif pa.types.is_list(values.type):
            whole = values.combine_chunks()
            arrays[f"{name}:rows"] = whole.value_lengths().to_numpy().astype(np.int64)
            arrays[name] = whole.flatten().to_numpy(zero_copy_only=False)
        else:
            arrays[name] = values.to_numpy()
    who = {name: table.column(name)[0].as_py() for name in _WHO} | {"run_id": run_id}
    return _content(who, texts, arrays, [*head, *rest])


def _content(
    who: dict[str, str],
    texts: dict[str, list[Any]],
    arrays: dict[str, npt.NDArray[Any]],
    order: list[str],
) -> str:
    parts = (content_hash({"who": who, "texts": texts, "order": order}), array_hash(arrays))
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def encode(table: pa.Table) -> bytes:
    """Parquet file of ``table``: zstd, statistics on every short column."""
    sink = pa.BufferOutputStream()
    short = [name for name in table.column_names if name not in _UNIQUE_TEXT]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=short,
        write_statistics=short,
        version="2.6",
    )
    return bytes(sink.getvalue())


def decode(data: bytes) -> pa.Table:
    """Table of a Parquet file, its columns as they are in the file."""
    return pq.read_table(pa.BufferReader(data), partitioning=None)


def fingerprint(schema: pa.Schema) -> str:
    """SHA-256 of column names, types and nullability, in order."""
    return content_hash([[field.name, str(field.type), field.nullable] for field in schema])


def _is_ragged(column: object) -> bool:
    """Whether a column has one array of numbers a row."""
    return (
        isinstance(column, list)
        and len(column) > 0
        and all(
            isinstance(row, np.ndarray) and row.ndim == 1 and row.dtype == column[0].dtype for row in column
        )
        and column[0].dtype.kind in "biuf"
    )


def _arrow(column: Column) -> pa.Array:
    if isinstance(column, np.ndarray) and column.ndim == 1:
        return pa.array(column)
    if isinstance(column, list) and not _is_ragged(column):
        return pa.array(column, pa.string())
    widths = np.array([len(row) for row in column], dtype=np.int32)
    offsets = pa.array(np.concatenate([np.zeros(1, dtype=np.int32), np.cumsum(widths, dtype=np.int32)]))
    values = pa.array(np.concatenate(list(column)))
    return pa.ListArray.from_arrays(offsets, values, type=pa.list_(pa.field("element", values.type)))


def _nbytes(column: Column) -> int:
    if isinstance(column, np.ndarray):
        return column.nbytes
    return sum(item.nbytes if isinstance(item, np.ndarray) else len(item or "") + 4 for item in column)


def _kind(column: object) -> str:
    if isinstance(column, np.ndarray):
        return f"{column.dtype} with {column.ndim} dimensions"
    return type(column).__name__
