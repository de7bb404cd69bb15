"""A regime history as one table, kept beside a run's report and read back by its later stages."""

from __future__ import annotations

from dataclasses import fields
from io import BytesIO

import numpy as np
import polars as pl

from regime_trading.core.canonical import array_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import I8
from regime_trading.engine.histories import RegimeHistory
from regime_trading.tools.structure import StructurePath

_OWN = (
    "label", "confidence", "risk_state", "risk_margin", "risk_duration", "risk_probability", "risk_flips",
    "risk_fitted_at", "risk_reason",
)  # fmt: skip
_STRUCTURE = tuple(field.name for field in fields(StructurePath))
_HASH, _MARKET, _STATES, _MODEL = "content_hash", "market", "n_states", "model"


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
            _MODEL: history.model,
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
        frame, n_states = pl.read_parquet(BytesIO(data)), int(metadata[_STATES])
        history, ts_ns = _history(frame, metadata[_MARKET], n_states, metadata[_MODEL])
    except (pl.exceptions.PolarsError, KeyError, ValueError, OSError) as error:
        raise BadInput(
            expected="a table of regimes", found=f"{type(error).__name__}: {error}", where=where
        ) from error
    if (found := _content(history, ts_ns)) != metadata[_HASH]:
        raise BadInput(expected=f"content hash {metadata[_HASH]}", found=found, where=where)
    return history, ts_ns


def _arrays(history: RegimeHistory) -> dict[str, np.ndarray]:
    own = {name: getattr(history, name) for name in _OWN}
    own |= {name: history.risk_transition[..., i, j] for name, i, j in _moves(history.n_states)}
    return own | {f"structure_{name}": getattr(history.structure, name) for name in _STRUCTURE}


def _moves(n_states: int) -> list[tuple[str, int, int]]:
    """Column, from and to of every transition."""
    return [(f"risk_transition_{i}_{j}", i, j) for i in range(n_states) for j in range(n_states)]


def _content(history: RegimeHistory, ts_ns: I8) -> str:
    names = np.frombuffer("\n".join((*history.symbols, history.market)).encode(), dtype=np.uint8)
    return array_hash({**_arrays(history), "ts_ns": ts_ns, "names": names})


def _history(frame: pl.DataFrame, market: str, n_states: int, model: str) -> tuple[RegimeHistory, I8]:
    symbols = tuple(frame["symbol"].unique(maintain_order=True).to_list())
    shape = (frame.height // max(len(symbols), 1), len(symbols))

    def table(name: str) -> np.ndarray:
        column = frame[name]
        filled = column.fill_null(np.nan) if column.dtype.is_float() else column
        return np.ascontiguousarray(filled.to_numpy().reshape(shape))

    ts_ns = np.ascontiguousarray(frame["ts_event"].cast(pl.Int64).to_numpy().reshape(shape)[:, 0])
    structure = StructurePath(**{name: table(f"structure_{name}") for name in _STRUCTURE})
    own = {name: table(name) for name in _OWN}
    moves = np.stack([table(name) for name, _, _ in _moves(n_states)], axis=-1)
    history = RegimeHistory(
        symbols=symbols,
        market=market,
        n_states=n_states,
        model=model,
        structure=structure,
        risk_transition=moves.reshape(*shape, n_states, n_states),
        **own,
    )
    return history, ts_ns
