"""③ A second and a third opinion on the market, from the run's own data. Can only lower confidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from regime_trading.agents.deps import Deps
from regime_trading.agents.research import run_features, run_regimes, run_window
from regime_trading.core.state import Alternate, Contradiction, PipelineState
from regime_trading.engine.desk import research_params
from regime_trading.engine.histories import RegimeHistory
from regime_trading.tools.contradiction import (
    FORTNIGHT_BARS,
    WEEK_BARS,
    Opinion,
    block_opinion,
    confidence_cap,
    volatility_opinion,
)


def contradictor(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Ask again on weekly bars and with plain volatility, in a thorough run on fortnightly bars too.

    Who cannot be asked does not agree.
    """
    history = run_regimes(state, deps)
    returns = run_features(state, deps, run_window(state, deps)).market_returns
    params, knobs = research_params(deps.settings), deps.settings.contradictor
    verdict, share = _verdict(history)

    def on_bars_of(days: int) -> Opinion:
        return block_opinion(
            returns,
            days,
            n_states=params.n_states,
            penalty=params.penalty,
            min_obs=params.min_obs,
            refit_every=params.refit_every,
            seed=params.seed,
        )

    opinions = {
        "weekly bars": on_bars_of(WEEK_BARS),
        "realised volatility": volatility_opinion(returns, share),
    }
    if state.request.effort == "thorough":
        opinions["fortnightly bars"] = on_bars_of(FORTNIGHT_BARS)
    alternates = tuple(_alternate(name, opinion, verdict) for name, opinion in opinions.items())
    agrees = tuple(other.agrees is True for other in alternates)
    cap = confidence_cap(agrees, float(knobs.cap_one_disagrees), float(knobs.cap_both_disagree))
    return {"contradiction": Contradiction(turbulent=verdict, alternates=alternates, confidence_cap=cap)}


def _verdict(history: RegimeHistory) -> tuple[bool | None, float]:
    """Is the market turbulent now, and in which share of its known past was it?"""
    states = history.risk_state[:, history.symbols.index(history.market)]
    known = states[states >= 0]
    share = float(np.mean(known == history.n_states - 1)) if len(known) else 0.0
    return (None if states[-1] < 0 else bool(states[-1] == history.n_states - 1)), share


def _alternate(name: str, opinion: Opinion, verdict: bool | None) -> Alternate:
    unknown = opinion.turbulent is None or verdict is None
    return Alternate(
        name=name,
        turbulent=opinion.turbulent,
        agrees=None if unknown else opinion.turbulent == verdict,
        detail=opinion.detail,
    )
