"""A price window becomes features, features become regimes, regimes become proposals: all of history at once.

The decision of a single run is the last row of the arrays a backtest walks through, so the two cannot differ.
Row t of every array depends on rows up to t alone and keeps its bits when later rows are cut off or altered;
a column depends on its own symbol alone (the correlation and the proposals on the symbols they are asked for),
so nothing changes when another basket is computed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.core.schemas import PriceWindow
from regime_trading.engine.histories import (
    STAND_IN,
    FeatureHistory,
    Progress,
    ProposalHistory,
    RegimeHistory,
    ResearchParams,
    columns_of,
    tell,
)
from regime_trading.engine.proposals import correlations, proposals, schedule
from regime_trading.tools.features import log_returns, momentum, z_score
from regime_trading.tools.regime import RiskPath, causal_risk_state, confirm, fuse
from regime_trading.tools.risk import daily_sigma, observations
from regime_trading.tools.structure import structure_path

__all__ = [
    "STAND_IN",
    "FeatureHistory",
    "Progress",
    "ProposalHistory",
    "RegimeHistory",
    "ResearchParams",
    "correlations",
    "features",
    "proposals",
    "regimes",
    "schedule",
]

# --- features ---------------------------------------------------------------------------------------------


def features(
    window: PriceWindow,
    proxy: str | None,
    params: ResearchParams,
    *,
    stand_in_symbols: Sequence[str] | None = None,
) -> FeatureHistory:
    """Features of every symbol of ``window``, and the market series.

    Parameters
    ----------
    window : PriceWindow
    proxy : str or None
        Symbol of the market proxy. Where it is None or not in the window, the equally weighted mean return
        of ``stand_in_symbols`` stands in, and a note says so.
    params : ResearchParams
    stand_in_symbols : sequence of str, optional
        All symbols of the window by default; name them where the window may hold symbols of other baskets.

    Raises
    ------
    BadInput
        A price that is not positive and finite, an unknown stand-in symbol, or a parameter out of range.
    """
    returns = log_returns(window.close)
    market, market_returns, notes = _market(window.symbols, returns, proxy, stand_in_symbols)
    return FeatureHistory(
        symbols=window.symbols,
        ts_ns=window.ts_ns,
        returns=returns,
        sigma_daily=daily_sigma(
            returns, fast=params.vol_fast_halflife, slow=params.vol_slow_halflife, min_obs=params.vol_min_obs
        ),
        momentum=momentum(window.close, params.momentum_lookback),
        z=z_score(window.close, params.z_lookback),
        n_obs=observations(returns),
        market=market,
        market_returns=market_returns,
        notes=notes,
    )


def _market(
    symbols: tuple[str, ...], returns: F8, proxy: str | None, stand_in_symbols: Sequence[str] | None
) -> tuple[str, F8, tuple[str, ...]]:
    """Name, returns and notes of the market series."""
    if proxy is not None and proxy in symbols:
        return proxy, np.ascontiguousarray(returns[:, symbols.index(proxy)]), ()
    if STAND_IN in symbols:
        raise BadInput(expected=f"no symbol of the name {STAND_IN}", found=STAND_IN, where="market series")
    members = sorted(set(symbols if stand_in_symbols is None else stand_in_symbols))
    missing = "no market proxy is declared" if proxy is None else f"the market proxy {proxy} has no prices"
    note = f"{missing}: the equally weighted mean return of {len(members)} symbols stands in"
    chosen = np.ascontiguousarray(returns[:, columns_of(symbols, members)])
    return STAND_IN, _equal_weighted(chosen), (note,)


@njit(cache=True)
def _equal_weighted(returns: F8) -> F8:
    """ln(1 + mean simple return) over the symbols that have one; NaN where none has."""
    rows, columns = returns.shape
    out = np.full(rows, np.nan)
    for t in range(rows):
        total, count = 0.0, 0
        for i in range(columns):
            if not np.isnan(returns[t, i]):
                total += np.expm1(returns[t, i])
                count += 1
        if count > 0:
            out[t] = np.log1p(total / count)
    return out


# --- regimes ----------------------------------------------------------------------------------------------


def regimes(
    features: FeatureHistory, params: ResearchParams, *, progress: Progress | None = None
) -> RegimeHistory:
    """Risk state, structure and fused label of every symbol and of the market series.

    ``label`` = ``confirm(fuse(structure, risk state))`` column by column; a column depends on its own returns
    alone.

    Parameters
    ----------
    features : FeatureHistory
    params : ResearchParams
    progress : callable, optional
        Called as ``("regime", columns done, columns)``.

    Raises
    ------
    BadInput
        A parameter out of range.
    """
    symbols, returns = _with_market(features)
    structure = structure_path(
        returns,
        window=params.structure_window,
        every=params.structure_every,
        lags=params.structure_lags,
        min_obs=params.structure_min_obs,
    )
    risk = []
    for i in range(len(symbols)):
        risk.append(_risk_path(np.ascontiguousarray(returns[:, i]), params))
        tell(progress, "regime", i + 1, len(symbols))
    state = np.column_stack([path.state for path in risk])
    margin = np.column_stack([path.margin for path in risk])
    fresh, evidence = fuse(structure.label, structure.confidence, state, margin, params.n_states)
    label = np.column_stack(
        [confirm(fresh[:, i], max(1, params.hysteresis_bars)) for i in range(len(symbols))]
    )
    return RegimeHistory(
        symbols=symbols,
        market=features.market,
        n_states=params.n_states,
        model=params.model,
        risk_state=state,
        risk_margin=margin,
        risk_duration=np.column_stack([path.expected_duration for path in risk]),
        risk_probability=np.column_stack([path.probability for path in risk]),
        risk_flips=np.column_stack([path.flips for path in risk]),
        risk_transition=np.stack([path.transitions() for path in risk], axis=1),
        risk_fitted_at=np.column_stack([path.fitted_at for path in risk]),
        risk_reason=np.column_stack([path.reason for path in risk]),
        structure=structure,
        label=label,
        confidence=np.where(label == fresh, evidence, np.minimum(evidence, 1.0 - evidence)),
    )


def _with_market(features: FeatureHistory) -> tuple[tuple[str, ...], F8]:
    if features.market in features.symbols:
        return features.symbols, features.returns
    returns = np.column_stack([features.returns, features.market_returns])
    return (*features.symbols, features.market), returns


def _risk_path(returns: F8, params: ResearchParams) -> RiskPath:
    return causal_risk_state(
        returns,
        model=params.model,
        n_states=params.n_states,
        penalty=params.penalty,
        min_obs=params.min_obs,
        refit_every=params.refit_every,
        max_window=params.max_window,
        seed=params.seed,
    )
