"""What a paced run has found of the market up to a bar, as the pages of a run show it (``runs/<run>/market``)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import orjson

from regime_trading.core.canonical import sha256_hex
from regime_trading.core.schemas import Exposure, PriceWindow, Regime
from regime_trading.engine import price_table, regime_table
from regime_trading.engine.histories import RegimeHistory
from regime_trading.services.paced_plan import Prepared
from regime_trading.tools.allocation import NO_STRATEGY, ExposureParams, strategy_exposure
from regime_trading.tools.evidence import own_evidence, weigh

BARS = 500  #: of the past that is shown
NO_TAPE = "A paced run reads tapes as bars only; a run of one day shows them."


def market_pages(prepared: Prepared, bar: int) -> dict[str, bytes]:
    """Files by their paths: regimes as known at ``bar``, labels and prices before it. Nothing later is in them.

    Parameters
    ----------
    prepared : Prepared
    bar : int
        Row of the market path.
    """
    run_id = prepared.inputs.identities[0].run_id
    market, path = f"runs/{run_id}/market", f"runs/{run_id}/market/regimes.parquet"
    ts_ns, first = prepared.inputs.market.ts_ns, max(bar + 1 - BARS, 0)
    table = regime_table.to_parquet(_cut(prepared.study.regimes, first, bar + 1), ts_ns[first : bar + 1])
    found: dict[str, Any] = {
        "request": {"source": prepared.plan.source, "as_of_ns": int(ts_ns[bar])},
        "regime": {
            "market": _regime(prepared, bar, prepared.study.regimes.market),
            "symbols": [_regime(prepared, bar, symbol) for symbol in prepared.plan.universe.symbols],
            "exposures": _exposures(prepared, bar),
            "history": {"path": path, "sha256": sha256_hex(table)},
            "confidence_cap": 1.0,
        },
        "tape": {"evidence": "bars", "confidence_cap": 1.0, "features": [], "bars": {}, "notes": [NO_TAPE]},
    }
    prices = price_table.to_parquet(_prices(prepared, int(ts_ns[first]), int(ts_ns[bar])))
    return {path: table, f"{market}/prices.parquet": prices, f"{market}/regime.json": orjson.dumps(found)}


def _prices(prepared: Prepared, first_ns: int, last_ns: int) -> PriceWindow:
    """Closing prices of what has a regime, from one bar to another."""
    window = prepared.plan.window.until(last_ns)
    symbols = tuple(name for name in window.symbols if name in prepared.study.regimes.symbols)
    own, begin = window.select(symbols), int(np.searchsorted(window.ts_ns, first_ns))
    return PriceWindow(symbols, own.ts_ns[begin:], own.close[begin:])


def _regime(prepared: Prepared, bar: int, symbol: str) -> dict[str, Any]:
    found = prepared.study.regimes.at(bar, symbol, prepared.inputs.market.ts_ns)
    own = found.model_copy(update={"evidence": own_evidence(found.structure, found.risk, "bars")})
    shown: Regime = weigh(own, [])
    return shown.model_dump(mode="json")


def _exposures(prepared: Prepared, bar: int) -> list[dict[str, str]]:
    """Strategy of each symbol at the bar; one of which an input is missing is left out."""
    features, history, symbols = (
        prepared.study.features,
        prepared.study.regimes,
        prepared.plan.universe.symbols,
    )
    of, at = history.columns(symbols), features.columns(symbols)
    _, strategy = strategy_exposure(
        history.label[bar, of],
        history.turbulent()[bar, of],
        features.momentum[bar, at],
        features.z[bar, at],
        ExposureParams(),
    )
    names = tuple(Exposure)
    return [
        {"symbol": symbol, "exposure": names[int(code)].value}
        for symbol, code in zip(symbols, np.asarray(strategy), strict=True)
        if code != NO_STRATEGY
    ]


def _cut(history: RegimeHistory, first: int, last: int) -> RegimeHistory:
    """The rows ``first`` … ``last`` − 1; fits are told by their row, which counts from the first that is kept."""

    def cut(item: Any) -> dict[str, Any]:
        arrays = {field.name: getattr(item, field.name) for field in fields(item)}
        return {name: value[first:last] for name, value in arrays.items() if isinstance(value, np.ndarray)}

    structure = replace(history.structure, **cut(history.structure))
    fitted = np.where(history.risk_fitted_at[first:last] >= 0, history.risk_fitted_at[first:last] - first, -1)
    return replace(history, **cut(history) | {"structure": structure, "risk_fitted_at": fitted})
