"""What several nodes compute from the run's own prices: one way for all of them."""

from __future__ import annotations

from regime_trading.agents.deps import Deps
from regime_trading.agents.frames import load_bytes, snapshot_window
from regime_trading.core.schemas import PriceWindow
from regime_trading.core.settings import Allocator, BasketSettings, SourceSettings
from regime_trading.core.state import PipelineState
from regime_trading.engine.desk import research_params
from regime_trading.engine.histories import FeatureHistory, RegimeHistory
from regime_trading.engine.regime_table import from_parquet
from regime_trading.engine.research import features
from regime_trading.engine.universe import AD_HOC, source_key


def source_settings(deps: Deps, source: str) -> SourceSettings:
    """Settings of a source."""
    return deps.settings.sources[source_key(deps.settings, source)]


def run_window(state: PipelineState, deps: Deps) -> PriceWindow:
    """The run's own prices, checked against their hash."""
    assert state.data is not None
    return snapshot_window(deps.store, state.data.prices, state.data.content_hash)


def run_features(state: PipelineState, deps: Deps, window: PriceWindow) -> FeatureHistory:
    """Features over the whole window, and the market series; the proxy itself is traded by nobody."""
    proxy = source_settings(deps, state.request.source).market_proxy
    params = research_params(deps.settings)
    return features(window, proxy, params, stand_in_symbols=state.request.traded)


def run_regimes(state: PipelineState, deps: Deps) -> RegimeHistory:
    """The regimes that the regime stage found, read back from its artifact."""
    assert state.regime is not None
    ref = state.regime.history
    return from_parquet(load_bytes(deps.store, ref), ref.path)[0]


def basket_settings(state: PipelineState, deps: Deps, name: str) -> BasketSettings:
    """Settings of a basket of this run; the user's own symbols are a basket by risk parity."""
    if name == AD_HOC:
        return BasketSettings(symbols=state.request.ad_hoc, allocator=Allocator.RISK_PARITY)
    return deps.settings.baskets[name]
