"""④ Target weights of every basket, or the user's own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from regime_trading.agents.deps import Deps
from regime_trading.agents.research import (
    basket_settings,
    run_features,
    run_regimes,
    run_window,
)
from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import nano_text
from regime_trading.core.schemas import Proposal
from regime_trading.core.state import PipelineState
from regime_trading.engine.desk import exposure_params, research_params
from regime_trading.engine.histories import FeatureHistory, RegimeHistory
from regime_trading.engine.proposals import proposals, schedule
from regime_trading.engine.universe import AD_HOC


def allocator(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """The standing proposal of each basket: the latest on its schedule, as the history loop has it.

    Raises
    ------
    BadInput
        A basket for which no proposal can be made yet.
    """
    if state.request.proposal is not None:
        return {"proposals": (state.request.proposal,)}
    features = run_features(state, deps, run_window(state, deps))
    regimes = run_regimes(state, deps)
    names = (AD_HOC,) if state.request.ad_hoc else state.request.baskets
    return {"proposals": tuple(_standing(state, deps, features, regimes, name) for name in names)}


def _standing(
    state: PipelineState, deps: Deps, features: FeatureHistory, regimes: RegimeHistory, name: str
) -> Proposal:
    basket = basket_settings(state, deps, name)
    params = research_params(deps.settings, basket.cadence_sessions)
    planned = schedule(len(features.ts_ns), params)
    history = proposals(
        features,
        regimes,
        basket.symbols,
        str(basket.allocator),
        exposure_params(basket, deps.settings),
        float(basket.budget),
        params,
        planned[-_RECENT:],
    )
    if not len(history.rows):
        raise BadInput(
            expected=f"a symbol of basket {name} with {params.allocation_min_obs} returns in the last "
            f"{params.allocation_window} bars",
            found=f"none at {len(features.ts_ns)} bars",
            where=f"basket {name}",
        )
    as_of_ns = int(features.ts_ns[history.rows[-1]])
    weights = {s: nano_text(w) for s, w in zip(history.symbols, history.weights[-1].tolist(), strict=True)}
    cause = {
        "basket": name,
        "as_of_ns": str(as_of_ns),
        "settings": basket.model_dump(mode="json"),
        "data": state.request.data_hash,
        "config": state.request.config_hash,
        "code": state.request.code_version,
    }
    return Proposal(
        proposal_id=content_hash({**cause, "weights": weights})[:32],
        as_of_ns=as_of_ns,
        weights={symbol: Decimal(text) for symbol, text in weights.items()},
        input_hash=content_hash(cause),
        confidence=float(history.confidence[-1]),
        basket=name,
    )


#: Proposals on the schedule that are looked at; an older one would be refused for its age (DS-11).
_RECENT = 3
