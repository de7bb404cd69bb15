"""⑦ Orders leave: only those of a valid run, with everybody's agreement, and with a durable receipt."""

from __future__ import annotations

from typing import Any

from regime_trading.agents.deps import Deps
from regime_trading.core.schemas import PMDecision
from regime_trading.core.state import Acceptance, DecisionReceipt, PipelineState


def execution(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Hand each account's orders to its broker, or say why they stay."""
    assert state.decisions is not None and state.receipts is not None
    receipts = {receipt.account: receipt for receipt in state.receipts}
    return {
        "executions": tuple(
            _send(state, deps, decision, receipts.get(decision.account)) for decision in state.decisions
        )
    }


def _send(
    state: PipelineState, deps: Deps, decision: PMDecision, receipt: DecisionReceipt | None
) -> Acceptance:
    reason = _refusal(state, decision, receipt)
    if reason or not decision.orders:
        return Acceptance(account=decision.account, order_ids=(), reason=reason or "no orders")
    assert receipt is not None
    broker = deps.broker(decision.account, state.request.source)
    broker.submit(decision.account, decision.orders, receipt.receipt)
    return Acceptance(
        account=decision.account, order_ids=tuple(order.client_order_id for order in decision.orders)
    )


def _refusal(state: PipelineState, decision: PMDecision, receipt: DecisionReceipt | None) -> str:
    """Why the orders of a decision may not leave; empty where they may."""
    assert state.verdict is not None and state.approval is not None
    if state.verdict.action == "HOLD":
        return "the run is held"
    if receipt is None or receipt.decision_id != decision.decision_id:
        return "no durable receipt"
    agreed = {answer.account: answer.status for answer in state.approval}.get(decision.account)
    return "" if agreed in ("not_required", "granted") else f"approval {agreed or 'missing'}"
