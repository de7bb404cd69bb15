"""② Which symbols move together, and which groups of them the market moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from regime_trading.agents.deps import Deps
from regime_trading.agents.research import run_features, run_window
from regime_trading.core.state import Cluster, Coupling, GroupLink, PipelineState
from regime_trading.engine.desk import research_params
from regime_trading.engine.histories import FeatureHistory
from regime_trading.engine.proposals import correlations
from regime_trading.tools.convergent_mapping import CrossMapParams
from regime_trading.tools.coupling import CouplingParams, GroupCoupling, couplings, cross_asset_cap
from regime_trading.tools.cross_asset import clusters, correlation_break, mean_correlation

LINK_BARS = 504


def cross_asset(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Correlation clusters of the traded symbols at the last bar, and the coupling of their groups with the market.

    A thorough run asks more surrogates of the causal test.
    """
    history = run_features(state, deps, run_window(state, deps))
    params, traded = research_params(deps.settings), state.request.traded
    last = np.array([len(history.ts_ns) - 1], dtype=np.int64)
    matrix = correlations(history, params, last, symbols=traded).matrix[0]
    groups = clusters(matrix)
    links, change = (
        _links(state, deps, history),
        correlation_break(history.returns[:, history.columns(traded)]),
    )
    coupling = Coupling(
        window_bars=params.corr_window,
        n_obs=min(int(history.n_obs[-1, history.columns(traded)].min()), params.corr_window),
        mean_correlation=mean_correlation(matrix),
        clusters=tuple(
            Cluster(symbols=tuple(traded[i] for i in group), mean_correlation=mean_correlation(matrix, group))
            for group in groups
        ),
        groups=tuple(_link(found) for found in links),
        break_p_value=None if math.isnan(change.p_value) else change.p_value,
        confidence_cap=cross_asset_cap(links, change),
        reason="" if groups else f"fewer than {params.corr_min_obs} common returns",
    )
    return {"coupling": coupling}


def _links(state: PipelineState, deps: Deps, history: FeatureHistory) -> tuple[GroupCoupling, ...]:
    """Each group of the traded symbols against the market, over the last two years of bars."""
    instruments, traded = deps.settings.instruments, state.request.traded
    members: dict[str, list[int]] = {}
    for column, symbol in enumerate(traded):
        if (group := instruments.spec(symbol).group) is not None:
            members.setdefault(group, []).append(column)
    thorough = state.request.effort == "thorough"
    return couplings(
        history.returns[-LINK_BARS:, history.columns(traded)],
        history.market_returns[-LINK_BARS:],
        members,
        params=CouplingParams(cross_map=CrossMapParams()) if thorough else CouplingParams(),
        rng=np.random.default_rng(deps.settings.regime.seed),
    )


def _link(found: GroupCoupling) -> GroupLink:
    known, skill = found.correlation, found.skill
    return GroupLink(
        group=found.group,
        verdict=found.verdict,
        correlation=None if known is None else known.value,
        correlation_low=None if known is None else known.low,
        correlation_high=None if known is None else known.high,
        skill=skill if skill is not None and math.isfinite(skill) else None,
        best_lag_bars=found.best_lag,
        n_obs=found.n_obs,
        reason=found.reason,
    )
