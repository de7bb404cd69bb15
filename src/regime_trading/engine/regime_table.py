"""A regime history as one table, kept beside a run's report and read back by its later stages."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import polars as pl

from regime_trading.core.canonical import array_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import I8
from regime_trading.engine.histories import RegimeHistory
from regime_trading.tools.structure import StructurePath

_OWN = ("label", "confidence", "risk_state", "risk_margin", "risk_duration", "risk_fitted_at", "risk_reason")
_STRUCTURE = ("label", "confidence", "variance_ratio", "p_value", "half_life", "n_obs", "reason")
_HASH, _MARKET, _STATES = "content_hash", "market", "n_states"


def to_parquet(history: RegimeHistory, ts_ns: I8) -> bytes:
    """Parquet bytes: rows by time then symbol, unknown numbers null, the content hash in the file's metadata."""
    rows, columns = history.label.shape
    data: dict[str, pl.Series] = {
        "ts_event": pl.Series(np.repeat(ts_ns, columns)).cast(pl.Datetime("ns", "UTC")),
        "symbol": pl.Series(list(history.symbols) * rows, dtype=pl.String),
    }
    for name, array in _arrays(history).items():
        flat = pl.Series(np.ascontiguousarray(array).ravel())
        data[name] = flat.fill_nan(None) if flat.dtype.is_float() else flat
    buffer = BytesIO()
    pl.DataFrame(data).write_parquet(
        buffer,
        compression="zstd",
        metadata={
            _HASH: _content(history, ts_ns),
            _MARKET: history.market,
            _STATES: str(history.n_states),
        },
    )
    return buffer.getvalue()


def from_parquet(data: bytes, where: str) -> tuple[RegimeHistory, I8]:
    """The history behind :func:`to_parquet` and its bar times, equal to the bit.

    Raises
    ------
    BadInput
        Bytes that are no such table, or whose content is not what was written.
    """
    try:
        metadata = pl.read_parquet_metadata(BytesIO(data))
        history, ts_ns = _history(pl.read_parquet(BytesIO(data)), metadata[_MARKET], int(metadata[_STATES]))
    except (pl.exceptions.PolarsError, KeyError, ValueError, OSError) as error:
        raise BadInput(
            expected="a table of regimes", found=f"{type(error).__name__}: {error}", where=where
        ) from error
    if (found := _content(history, ts_ns)) != metadata[_HASH]:
        raise BadInput(expected=f"content hash {metadata[_HASH]}", found=found, where=where)
    return history, ts_ns


def _arrays(history: RegimeHistory) -> dict[str, np.ndarray]:
    own = {name: getattr(history, name) for name in _OWN}
    return own | {f"structure_{name}": getattr(history.structure, name) for name in _STRUCTURE}


def _content(history: RegimeHistory, ts_ns: I8) -> str:
    names = np.frombuffer("\n".join((*history.symbols, history.market)).encode(), dtype=np.uint8)
    return array_hash({**_arrays(history), "ts_ns": ts_ns, "names": names})


def _history(frame: pl.DataFrame, market: str, n_states: int) -> tuple[RegimeHistory, I8]:
    symbols = tuple(frame["symbol"].unique(maintain_order=True).to_list())
    shape = (frame.height // max(len(symbols), 1), len(symbols))

    def table(name: str) -> np.ndarray:
        column = frame[name]
        filled = column.fill_null(np.nan) if column.dtype.is_float() else column
        return np.ascontiguousarray(filled.to_numpy().reshape(shape))

    ts_ns = np.ascontiguousarray(frame["ts_event"].cast(pl.Int64).to_numpy().reshape(shape)[:, 0])
    structure = StructurePath(**{name: table(f"structure_{name}") for name in _STRUCTURE})
    own = {name: table(name) for name in _OWN}
    return (
        RegimeHistory(symbols=symbols, market=market, n_states=n_states, structure=structure, **own),
        ts_ns,
    )
