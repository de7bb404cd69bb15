"""Tables as artifacts: the state carries a handle, and reading one checks its hash."""

from __future__ import annotations

from io import BytesIO

import polars as pl

from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import ArtifactStore
from regime_trading.core.schemas import FrameRef, PriceWindow
from regime_trading.engine.price_table import frame_window


def shared_path(run_id: str, name: str) -> str:
    """Where a table that all firms share lies, under the artifacts folder."""
    return f"runs/{run_id}/market/{name}.parquet"


def save(store: ArtifactStore, path: str, frame: pl.DataFrame) -> FrameRef:
    """Write ``frame`` as Parquet and return its handle."""
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return save_bytes(store, path, buffer.getvalue(), frame.height, tuple(frame.columns))


def save_bytes(
    store: ArtifactStore, path: str, data: bytes, rows: int = 0, columns: tuple[str, ...] = ()
) -> FrameRef:
    """Write a file and return its handle."""
    store.write_bytes(path, data)
    return FrameRef(path=path, sha256=sha256_hex(data), rows=rows, columns=columns)


def load(store: ArtifactStore, ref: FrameRef) -> pl.DataFrame:
    """Read the table behind a handle; raises as :func:`load_bytes`."""
    return pl.read_parquet(BytesIO(load_bytes(store, ref)))


def load_bytes(store: ArtifactStore, ref: FrameRef) -> bytes:
    """Read the bytes behind a handle.

    Raises
    ------
    BadInput
        The file is gone, or its bytes are not the ones the handle was made for.
    """
    if not store.exists(ref.path):
        raise BadInput(expected="the table this run wrote", found="no file", where=ref.path)
    data = store.read_bytes(ref.path)
    if (found := sha256_hex(data)) != ref.sha256:
        raise BadInput(expected=f"SHA-256 {ref.sha256}", found=found, where=ref.path)
    return data


def snapshot_window(store: ArtifactStore, ref: FrameRef, content_hash: str) -> PriceWindow:
    """The run's own prices, checked against the hash of their content.

    Raises
    ------
    BadInput
        The snapshot is not the one this run took.
    """
    window = frame_window(load(store, ref))
    if (found := window.content_hash()) != content_hash:
        raise BadInput(expected=f"prices with content hash {content_hash}", found=found, where=ref.path)
    return window
