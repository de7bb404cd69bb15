"""⑤ Every rule at once, for every account: what is allowed, and why."""

from __future__ import annotations

from typing import Any

from regime_trading.agents.decision import decide_run
from regime_trading.agents.deps import Deps
from regime_trading.core.state import PipelineState


def portfolio_manager(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """One decision per account.

    Raises
    ------
    CheckFailed
        A configuration that is no longer the one the run was begun with.
    """
    return {"decisions": decide_run(state, deps).decisions}
