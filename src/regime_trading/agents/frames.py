"""Tables as artifacts: the state carries a handle, and reading one checks its hash."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import polars as pl

from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.core.ports import ArtifactStore
from regime_trading.core.schemas import FrameRef, PriceWindow

_FIELDS = ("open", "high", "low", "close", "volume")
TIME = pl.Datetime("ns", "UTC")


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


def window_frame(window: PriceWindow) -> pl.DataFrame:
    """A window as a long table ``ts_event, symbol, open … volume``, rows by time then symbol; no bar is null."""
    rows, columns = window.close.shape
    data: dict[str, object] = {
        "ts_event": pl.Series(np.repeat(window.ts_ns, columns)).cast(TIME),
        "symbol": pl.Series(list(window.symbols) * rows, dtype=pl.String),
    }
    for name in _FIELDS:
        values: F8 | None = getattr(window, name)
        if values is not None:
            data[name] = pl.Series(np.ascontiguousarray(values).ravel()).fill_nan(None)
    return pl.DataFrame(data)


def frame_window(frame: pl.DataFrame) -> PriceWindow:
    """The window behind :func:`window_frame`, equal to the bit (same content hash)."""
    symbols = tuple(frame["symbol"].unique(maintain_order=True))
    rows = frame.height // max(len(symbols), 1)
    ts_ns = frame["ts_event"].cast(pl.Int64).to_numpy().reshape(rows, len(symbols))[:, 0]

    def table(name: str) -> F8 | None:
        if name not in frame.columns:
            return None
        return frame[name].fill_null(np.nan).to_numpy().reshape(rows, len(symbols)).astype(np.float64)

    close = table("close")
    if close is None:
        raise BadInput(expected="a column close", found=", ".join(frame.columns), where="price snapshot")
    return PriceWindow(
        symbols=symbols,
        ts_ns=np.ascontiguousarray(ts_ns),
        close=close,
        open=table("open"),
        high=table("high"),
        low=table("low"),
        volume=table("volume"),
    )


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
