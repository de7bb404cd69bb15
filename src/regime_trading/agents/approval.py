"""⑤ Whose agreement is needed before an account's decision may leave."""

from __future__ import annotations

from typing import Any

from regime_trading.agents.deps import Deps
from regime_trading.core.state import Approval, PipelineState


def approval(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """``not_required``, or ``pending`` where the account or one of its baskets asks for people.

    A held run needs nobody's agreement: nothing of it leaves.
    """
    assert state.profiles is not None and state.verdict is not None
    held = state.verdict.action == "HOLD"
    answers = (
        Approval(
            account=profile.account,
            status="not_required" if held or profile.approval == "none" else "pending",
        )
        for profile in state.profiles
    )
    return {"approval": tuple(answers)}
