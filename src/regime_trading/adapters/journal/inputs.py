"""Inputs of decisions in files that are named by their content.

``inputs/schema=1/firm=F/run=R/part-<first>-<last>-<sha16>.parquet`` holds the cycles of a history,
``…/cycle-<ts>-<sha16>.arrow`` a single one, which cannot wait for others: Parquet is made for many rows, and takes ten
times the time and room for one. ``inputs/schema=1/firm=F/config/<hash>`` holds the configurations of that firm. A file
is there whole or not at all, and the same inputs again find their file there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from regime_trading.core.audit import require_firm, require_ident
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.decision_inputs import SCHEMA_VERSION, Column, InputBlock, Lists
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable
from regime_trading.core.ports import ArtifactStore

_TS = pa.timestamp("ns", tz="UTC")
_WHO = ("firm_id", "run_id")
_HASH_LENGTH = 64
_ARROW, _PARQUET = "arrow", "parquet"


class ParquetInputs:
    """Stored inputs under one artifacts folder.

    Parameters
    ----------
    store : ArtifactStore
        The artifacts folder.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def put(self, block: InputBlock) -> str:
        """Make a block and its configurations durable; returns the path of the part.

        Raises
        ------
        BadInput
            A configuration that is not what its hash says.
        NotDurable
            The store cannot write, or holds something else under the same name.
        """
        for name, data in block.configs.items():
            if sha256_hex(data) != name:
                raise BadInput(
                    expected=f"a configuration of hash {name}", found=sha256_hex(data), where="inputs"
                )
            self._keep(_config_path(block.firm_id, name), data)
        (first, last), single = block.span_ns, block.rows == 1
        data = pack(block) if single else encode(block)
        name = f"cycle-{first}" if single else f"part-{first}-{last}"
        path = f"{_run_folder(block.firm_id, block.run_id)}/{name}-{_short(data)}.{_ARROW if single else _PARQUET}"
        self._keep(path, data)
        return path

    def parts(self, firm_id: str, run_id: str) -> tuple[str, ...]:
        """Paths of a run's parts, by time."""
        found = self._store.names(_run_folder(firm_id, run_id))
        return tuple(sorted(found, key=lambda path: (int(path.rsplit("/", 1)[1].split("-")[1]), path)))

    def read(self, part: str) -> InputBlock:
        """A part, without its configurations.

        Raises
        ------
        CheckFailed
            A file that is not what its name says.
        """
        data = self._store.read_bytes(part)
        stem, _, kind = part.rpartition(".")
        if kind not in (_ARROW, _PARQUET) or stem.rpartition("-")[2] != _short(data):
            raise CheckFailed(
                f"{part}: the file is not what was stored (its SHA-256 is not the one in its name)"
            )
        try:
            return decode(data) if kind == _PARQUET else unpack(data)
        except (pa.ArrowException, OSError, KeyError, TypeError) as err:
            raise CheckFailed(f"{part}: no stored inputs: {err}") from err

    def config(self, firm_id: str, config_hash: str) -> bytes:
        """What ``config_hash`` is the SHA-256 of.

        Raises
        ------
        BadInput
            There is none.
        CheckFailed
            A file that is not what its name says.
        """
        path = _config_path(firm_id, config_hash)
        data = self._store.read_bytes(path)
        if sha256_hex(data) != config_hash:
            raise CheckFailed(f"{path}: the file is not what was stored (its SHA-256 is not its name)")
        return data

    def _keep(self, path: str, data: bytes) -> None:
        """Write a file that is named by its content, or find it there."""
        if not self._store.exists(path):
            self._store.write_bytes(path, data)
        elif self._store.read_bytes(path) != data:
            raise NotDurable(f"{path}: something else is stored there")


def encode(block: InputBlock) -> bytes:
    """Parquet file of a block; the same block gives the same bytes on the same library version."""
    table = _table(block)
    text = [field.name for field in table.schema if _is_text(field.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=max(block.rows, 1),
        use_dictionary=[_leaf(table.schema.field(name)) for name in text],
        write_statistics=["ts_event", "run_id", "firm_id"],
        store_schema=False,
        version="2.6",
    )
    return bytes(sink.getvalue())


def decode(data: bytes) -> InputBlock:
    """The block of a file of :func:`encode`."""
    return _block(pq.read_table(pa.BufferReader(data), partitioning=None))


def pack(block: InputBlock) -> bytes:
    """The block as one Arrow stream, compressed as a whole."""
    table, sink = _table(block), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return zstandard.compress(sink.getvalue())


def unpack(data: bytes) -> InputBlock:
    """The block of :func:`pack`."""
    try:
        plain = zstandard.decompress(data)
    except zstandard.ZstdError as err:
        raise OSError(str(err)) from err
    return _block(pa.ipc.open_stream(plain).read_all())


def _block(table: pa.Table) -> InputBlock:
    columns: Mapping[str, Column] = {
        name: _column(table.column(name)) for name in table.column_names if name not in _WHO
    }
    return InputBlock(*(table.column(name)[0].as_py() for name in _WHO), columns=columns)


def _table(block: InputBlock) -> pa.Table:
    who = {name: pa.repeat(pa.scalar(getattr(block, name), pa.string()), block.rows) for name in _WHO}
    time = {"ts_event": pa.array(block.columns["ts_event"]).cast(_TS)}
    rest = {name: _arrow(column) for name, column in block.columns.items() if name != "ts_event"}
    return pa.table(who | time | rest)


def _arrow(column: Column) -> pa.Array:
    if isinstance(column, Lists):
        values = _arrow(column.values)
        return pa.ListArray.from_arrays(pa.array(column.starts, pa.int32()), values)
    return pa.array(column, pa.string()) if isinstance(column, list) else pa.array(column)


def _column(column: pa.ChunkedArray) -> Column:
    array = column.combine_chunks()
    if pa.types.is_list(array.type):
        starts = np.asarray(array.offsets, dtype=np.int64)
        values = array.values
        return Lists(_plain(values), starts)
    return _plain(array)


def _plain(array: pa.Array) -> np.ndarray | list[str]:
    if pa.types.is_string(array.type):
        found: list[str] = array.to_pylist()
        return found
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    return array.to_numpy(zero_copy_only=False)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or (pa.types.is_list(kind) and pa.types.is_string(kind.value_type))


def _leaf(field: pa.Field) -> str:
    """Path of the values of a column in the file."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)


def _short(data: bytes) -> str:
    return sha256_hex(data)[:16]


def _run_folder(firm_id: str, run_id: str) -> str:
    return (
        f"inputs/schema={SCHEMA_VERSION}/firm={require_firm(firm_id)}/run={require_ident(run_id, 'run_id')}"
    )


def _config_path(firm_id: str, config_hash: str) -> str:
    if len(config_hash) != _HASH_LENGTH or not set(config_hash) <= set("0123456789abcdef"):
        raise BadInput(expected="a SHA-256 in hexadecimal", found=repr(config_hash), where="config_hash")
    return f"inputs/schema={SCHEMA_VERSION}/firm={require_firm(firm_id)}/config/{config_hash}"
