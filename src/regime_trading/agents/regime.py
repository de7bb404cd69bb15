"""② Calm or turbulent, trending or reverting or neither: each symbol, and the market."""

from __future__ import annotations

from typing import Any

import numpy as np

from regime_trading.agents.deps import Deps
from regime_trading.agents.frames import save_bytes, shared_path
from regime_trading.agents.research import run_features, run_window
from regime_trading.core.schemas import Evidence, Exposure, PriceWindow, Regime, TierRegime
from regime_trading.core.state import MarketRegime, PipelineState, SymbolExposure
from regime_trading.engine.desk import research_params
from regime_trading.engine.detection import DetectionParams
from regime_trading.engine.histories import FeatureHistory, RegimeHistory
from regime_trading.engine.regime_table import to_parquet
from regime_trading.engine.tape_history import caps_of, market_tape_cap
from regime_trading.engine.tiers import market_window, tier_regimes
from regime_trading.tools.allocation import NO_STRATEGY, ExposureParams, strategy_exposure
from regime_trading.tools.evidence import own_evidence, tape_evidence, weigh


def regime(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Regimes over the whole window, found once per content: the same prices, settings and code re-use them."""
    window = run_window(state, deps)
    features = run_features(state, deps, window)
    history = deps.regimes(window, features, _progress(state, deps))
    path = shared_path(state.request.run_id, "regimes")
    ref = save_bytes(deps.store, path, to_parquet(history, window.ts_ns), history.label.size)
    last, traded = len(window.ts_ns) - 1, state.request.traded
    further, own = _market_evidence(state, deps), _own(history, last, history.market, window)
    tiers = _tiers(state, deps, own, market_window(window, history.market, features.market_returns))
    return {
        "regime": MarketRegime(
            market=weigh(own.model_copy(update={"tiers": tiers}), further),
            symbols=tuple(
                weigh(_own(history, last, symbol, window), [_tape_of(state, deps, symbol)])
                for symbol in traded
            ),
            exposures=_exposures(features, history, traded),
            history=ref,
            confidence_cap=min(item.confidence_cap for item in further),
        )
    }


def _own(history: RegimeHistory, last: int, symbol: str, window: PriceWindow) -> Regime:
    """What structure and risk state say, which are read from bars."""
    found = history.at(last, symbol, window.ts_ns)
    return found.model_copy(update={"evidence": own_evidence(found.structure, found.risk, "bars")})


def _tiers(state: PipelineState, deps: Deps, own: Regime, market: PriceWindow) -> tuple[TierRegime, ...]:
    """The market on the bars of every tier, with the knobs of the run's own bars."""
    assert state.data is not None
    health, params = state.data.health, research_params(deps.settings)
    detection = DetectionParams(
        model=params.model,
        n_states=params.n_states,
        penalty=params.penalty,
        min_obs=params.min_obs,
        refit_every=params.refit_every,
        structure_window=params.structure_window,
        structure_min_obs=params.structure_min_obs,
        structure_lags=params.structure_lags,
        seed=params.seed,
    )
    lengths, calendar = deps.settings.market_intelligence.tiers.seconds(), deps.calendar(health.calendar)
    return tier_regimes(market, own, lengths, health.bar_s, calendar, detection)


def _market_evidence(state: PipelineState, deps: Deps) -> tuple[Evidence, Evidence]:
    """What cross-asset coupling and the tapes allow the market's label."""
    assert state.tape is not None and state.coupling is not None
    knobs, coupling = deps.settings.market_intelligence, state.coupling
    said = {item.symbol: item for item in state.tape.features}
    _, grade, health = market_tape_cap(said, state.request.traded, knobs)
    apart = [link.group for link in coupling.groups if link.verdict == "decoupled"]
    broken = coupling.break_p_value
    none = f"{len(coupling.groups)} groups, none decoupled" if coupling.groups else "no groups are declared"
    finding = f"decoupled: {', '.join(apart)}" if apart else none
    finding += "" if broken is None else f"; correlation against its own past: p {broken:.3g}"
    return (
        Evidence(source="cross_asset", grade="bars", finding=finding, confidence_cap=coupling.confidence_cap),
        tape_evidence(grade, health, *caps_of(knobs)),
    )


def _tape_of(state: PipelineState, deps: Deps, symbol: str) -> Evidence:
    """What a symbol's own tape allows its label."""
    assert state.tape is not None
    own = next((item for item in state.tape.features if item.symbol == symbol), None)
    caps = caps_of(deps.settings.market_intelligence)
    return tape_evidence("bars" if own is None else own.evidence, None if own is None else own.health, *caps)


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
