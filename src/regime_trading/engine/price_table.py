"""Prices as one table, kept beside a run's report and read back by its later stages and its pages."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import polars as pl

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I8
from regime_trading.core.schemas import PriceWindow

_FIELDS = ("open", "high", "low", "close", "volume")
TIME = pl.Datetime("ns", "UTC")


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


def to_parquet(window: PriceWindow) -> bytes:
    """Parquet bytes of :func:`window_frame`."""
    buffer = BytesIO()
    window_frame(window).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def closes_of(data: bytes, symbol: str, where: str) -> tuple[I8, F8]:
    """Times and closing prices of one symbol, oldest first, out of the bytes of :func:`to_parquet`; a missing bar is
    NaN. Nothing where the table does not have the symbol.

    Raises
    ------
    BadInput
        Bytes that are no such table.
    """
    try:
        frame = pl.read_parquet(BytesIO(data), columns=["ts_event", "symbol", "close"])
        own = frame.filter(pl.col("symbol") == symbol).sort("ts_event")
        close = own["close"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        return own["ts_event"].cast(pl.Int64).to_numpy(), close
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(
            expected="a table of prices", found=f"{type(error).__name__}: {error}", where=where
        ) from error
