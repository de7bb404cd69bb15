"""⑦ Orders leave: only those of a valid run, with everybody's agreement, and with a durable receipt.

What became of the orders before, and which orders the broker took, is in the record before the run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regime_trading.agents.deps import Deps
from regime_trading.core.audit import link
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.event_payloads import OrderCancelled, OrderSent
from regime_trading.core.events import payload_of, rationale_of
from regime_trading.core.rules import decimal_text
from regime_trading.core.schemas import ActorType, Mode, Order, PMDecision, Receipt
from regime_trading.core.state import Acceptance, DecisionReceipt, PipelineState
from regime_trading.engine.record import Chain, Identity

_Order = OrderSent | OrderCancelled


def execution(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Hand each account's orders to its broker, or say why they stay."""
    assert state.decisions is not None and state.receipts is not None
    receipts = {receipt.account: receipt for receipt in state.receipts}
    sealed: list[SealedEntries] = []
    done = tuple(
        _send(state, deps, decision, receipts.get(decision.account), sealed) for decision in state.decisions
    )
    _sign(deps, sealed)
    return {"executions": done}


def _sign(deps: Deps, sealed: Sequence[SealedEntries]) -> None:
    """One checkpoint per firm over what became of the orders of its accounts."""
    if deps.notary is not None:
        for firm in sorted({one.chain_id.split("/")[-2] for one in sealed}):
            deps.notary.sign(firm, [one for one in sealed if one.chain_id.split("/")[-2] == firm])


def _send(
    state: PipelineState,
    deps: Deps,
    decision: PMDecision,
    receipt: DecisionReceipt | None,
    sealed: list[SealedEntries],
) -> Acceptance:
    reason = _refusal(state, decision, receipt)
    decided = receipt is not None and receipt.event_id and not _is_held(state)
    payloads: list[_Order] = [*_lapsed(state, deps, decision.account)] if decided else []
    orders = () if reason else decision.orders
    if orders:
        assert receipt is not None
        broker = deps.broker(decision.account, state.request.source)
        broker.submit(decision.account, orders, receipt.receipt)
        payloads += [_sent(order, decision.decision_id) for order in orders]
    return Acceptance(
        account=decision.account,
        order_ids=tuple(order.client_order_id for order in orders),
        reason=reason or ("" if orders else "no orders"),
        receipt=_record(state, deps, decision, receipt, payloads, sealed),
    )


def _is_held(state: PipelineState) -> bool:
    return state.verdict is not None and state.verdict.action == "HOLD"


def _lapsed(state: PipelineState, deps: Deps, account: str) -> list[OrderCancelled]:
    """Orders of the decision before that the bar after it did not fill: they are not filled any more."""
    as_of_ns = state.request.as_of_ns
    stored = deps.ledger(account.split("/")[0], Mode.DRY_RUN).load(account, as_of_ns)
    if stored is None or not stored[2]:
        return []
    done = {
        fill.client_order_id for fill in deps.broker(account, state.request.source).fills(account, as_of_ns)
    }
    legs: dict[tuple[int, str], list[Order]] = {}
    for order in stored[2]:
        legs.setdefault((order.leg, order.symbol), []).append(order)
    return [
        OrderCancelled(
            client_order_id=order.client_order_id,
            decision_id="",
            symbol=order.symbol,
            qty_open=decimal_text(order.qty),
        )
        for slices in legs.values()
        if slices[0].client_order_id not in done
        for order in slices
    ]


def _sent(order: Order, decision_id: str) -> OrderSent:
    return OrderSent(
        client_order_id=order.client_order_id,
        decision_id=decision_id,
        symbol=order.symbol,
        intent=order.intent,
        leg=order.leg,
        slice=order.slice,
        qty=decimal_text(order.qty),
        limit_price=None if order.limit_price is None else decimal_text(order.limit_price),
    )


def _record(
    state: PipelineState,
    deps: Deps,
    decision: PMDecision,
    receipt: DecisionReceipt | None,
    payloads: Sequence[_Order],
    sealed: list[SealedEntries],
) -> Receipt | None:
    """Entries behind those of the decision, durable and sealed; None where there is nothing to tell."""
    if not payloads:
        return None
    assert receipt is not None
    firm_id, account_id = decision.account.split("/")
    env = receipt.receipt.chain_id.split("/", 1)[0]
    who = Identity(
        firm_id, account_id, state.request.run_id, env, decision.config_hash, decision.code_version
    )
    chain = Chain(who, seq=receipt.receipt.seq)
    for payload in payloads:
        own = isinstance(payload, OrderSent)
        chain.write(
            state.request.as_of_ns,
            payload.kind,
            payload_of(payload),
            actor=(ActorType.SERVICE, "execution"),
            rationale=rationale_of(payload),
            reason_codes=() if own else ("NOT_FILLED",),
            correlation_id=decision.decision_id if own else "",
            causation_id=receipt.event_id if own else "",
        )
    events = chain.take()
    (proof,) = deps.audit(firm_id).append(events)
    deps.sealer.seal_audit(proof.chain_id, receipt.receipt.entry_hash, events)
    hashes = [entry.entry_hash for entry in link(events, receipt.receipt.entry_hash)]
    sealed.append(SealedEntries(proof.chain_id, events[0].seq, hashes))
    return proof


def _refusal(state: PipelineState, decision: PMDecision, receipt: DecisionReceipt | None) -> str:
    """Why the orders of a decision may not leave; empty where they may."""
    assert state.approval is not None
    if _is_held(state):
        return "the run is held"
    if receipt is None or receipt.decision_id != decision.decision_id:
        return "no durable receipt"
    answer = next((one for one in state.approval if one.account == decision.account), None)
    if answer is None:
        return "approval missing"
    return "" if answer.leaves else f"approval {answer.status}"
