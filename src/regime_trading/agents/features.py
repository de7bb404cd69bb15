"""② What each symbol's prices have done, causally."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from regime_trading.agents.deps import Deps
from regime_trading.agents.frames import save, shared_path
from regime_trading.agents.research import run_features, run_window
from regime_trading.core.state import FeatureSet, PipelineState, SymbolFeatures
from regime_trading.engine.histories import FeatureHistory
from regime_trading.engine.price_table import TIME
from regime_trading.engine.record import FEATURE_SET_VERSION

COLUMNS = {"log_return": "returns", "sigma_daily": "sigma_daily", "momentum": "momentum", "z": "z"}


def features(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Features of every symbol at every bar as a table, and the latest of each in the state."""
    history = run_features(state, deps, run_window(state, deps))
    frame = save(deps.store, shared_path(state.request.run_id, "features"), _table(history))
    latest = tuple(
        SymbolFeatures(symbol=symbol, values=_latest(history, column))
        for column, symbol in enumerate(history.symbols)
    )
    return {"features": FeatureSet(frame=frame, version=FEATURE_SET_VERSION, latest=latest)}


def _latest(history: FeatureHistory, column: int) -> dict[str, float | None]:
    last = {name: float(getattr(history, field)[-1, column]) for name, field in COLUMNS.items()}
    return {name: value if np.isfinite(value) else None for name, value in last.items()}


def _table(history: FeatureHistory) -> pl.DataFrame:
    rows, columns = history.returns.shape
    data = {
        "ts_event": pl.Series(np.repeat(history.ts_ns, columns)).cast(TIME),
        "symbol": pl.Series(list(history.symbols) * rows, dtype=pl.String),
    }
    for name, field in COLUMNS.items():
        data[name] = pl.Series(np.ascontiguousarray(getattr(history, field)).ravel()).fill_nan(None)
    return pl.DataFrame(data)
