"""② Which symbols move together."""

from __future__ import annotations

from typing import Any

import numpy as np

from regime_trading.agents.deps import Deps
from regime_trading.agents.research import run_features, run_window
from regime_trading.core.state import Cluster, Coupling, PipelineState
from regime_trading.engine.desk import research_params
from regime_trading.engine.proposals import correlations
from regime_trading.tools.cross_asset import clusters, mean_correlation


def cross_asset(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Correlation clusters of the traded symbols at the last bar."""
    history = run_features(state, deps, run_window(state, deps))
    params, traded = research_params(deps.settings), state.request.traded
    last = np.array([len(history.ts_ns) - 1], dtype=np.int64)
    matrix = correlations(history, params, last, symbols=traded).matrix[0]
    groups = clusters(matrix)
    coupling = Coupling(
        window_bars=params.corr_window,
        n_obs=min(int(history.n_obs[-1, history.columns(traded)].min()), params.corr_window),
        mean_correlation=mean_correlation(matrix),
        clusters=tuple(
            Cluster(symbols=tuple(traded[i] for i in group), mean_correlation=mean_correlation(matrix, group))
            for group in groups
        ),
        reason="" if groups else f"fewer than {params.corr_min_obs} common returns",
    )
    return {"coupling": coupling}
