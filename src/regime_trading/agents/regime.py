"""② Calm or turbulent, trending or reverting or neither: each symbol, and the market."""

from __future__ import annotations

from typing import Any

import numpy as np

from regime_trading.agents.deps import Deps
from regime_trading.agents.frames import save_bytes, shared_path
from regime_trading.agents.research import run_features, run_window
from regime_trading.core.schemas import Exposure
from regime_trading.core.state import MarketRegime, PipelineState, SymbolExposure
from regime_trading.engine.histories import FeatureHistory, RegimeHistory
from regime_trading.engine.regime_table import to_parquet
from regime_trading.tools.allocation import NO_STRATEGY, ExposureParams, strategy_exposure


def regime(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Regimes over the whole window, found once per content: the same prices, settings and code re-use them."""
    window = run_window(state, deps)
    features = run_features(state, deps, window)
    history = deps.regimes(window, features, _progress(state, deps))
    path = shared_path(state.request.run_id, "regimes")
    ref = save_bytes(deps.store, path, to_parquet(history, window.ts_ns), history.label.size)
    last, traded = len(window.ts_ns) - 1, state.request.traded
    return {
        "regime": MarketRegime(
            market=history.at(last, history.market, window.ts_ns),
            symbols=tuple(history.at(last, symbol, window.ts_ns) for symbol in traded),
            exposures=_exposures(features, history, traded),
            history=ref,
        )
    }


def _progress(state: PipelineState, deps: Deps) -> Any:
    def tell(stage: str, done: int, total: int) -> None:
        event = {"run_id": state.request.run_id, "stage": "regime", "status": "running"}
        deps.events.emit({**event, "detail": f"{done} of {total} series"})

    return tell


def _exposures(
    features: FeatureHistory, history: RegimeHistory, traded: tuple[str, ...]
) -> tuple[SymbolExposure, ...]:
    """Strategy of each symbol at the last bar; a symbol without one (an input is missing) is left out."""
    of, at = history.columns(traded), features.columns(traded)
    _, strategy = strategy_exposure(
        history.label[-1, of],
        history.turbulent()[-1, of],
        features.momentum[-1, at],
        features.z[-1, at],
        ExposureParams(),
    )
    names = tuple(Exposure)
    return tuple(
        SymbolExposure(symbol=symbol, exposure=names[int(code)])
        for symbol, code in zip(traded, np.asarray(strategy), strict=True)
        if code != NO_STRATEGY
    )
