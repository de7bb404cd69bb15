"""⑥ The record, before anything leaves: decision, state and entries in one durable transaction, then sealed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regime_trading.agents.decision import Decided, decide_run, identities
from regime_trading.agents.deps import Deps
from regime_trading.core.audit import chain_of, event_id, link
from regime_trading.core.canonical import GENESIS
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.errors import CheckFailed
from regime_trading.core.schemas import AuditEvent, EventType, Mode, PMDecision, Receipt
from regime_trading.core.state import DecisionReceipt, PipelineState
from regime_trading.engine.record import Chain


def journal(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Make every account's decision durable and return the receipts.

    The decision is computed again from the run's own data and the ledger, and recorded only if it is the one
    that was judged. A held run is recorded as such: no orders, and the accounts' states stay as they were.

    Raises
    ------
    CheckFailed
        The decision does not repeat: it is not recorded, and nothing leaves.
    NotDurable
        The record could not be written.
    """
    assert state.decisions is not None and state.verdict is not None
    sealed: list[tuple[AuditEvent, ...]] = []
    if state.verdict.action == "HOLD":
        held = _hold(state, deps, sealed)
        _sign(deps, sealed)
        return {"receipts": held}
    decided = decide_run(state, deps)
    if decided.decisions != state.decisions:
        raise CheckFailed("the decision does not repeat from its own inputs; nothing was recorded")
    for block in decided.inputs:
        deps.inputs.put(block)
    receipts = tuple(_commit(state, deps, decided, row) for row in range(len(state.decisions)))
    _sign(deps, decided.events)
    return {"receipts": receipts}


def _commit(state: PipelineState, deps: Deps, decided: Decided, row: int) -> DecisionReceipt:
    who, decision = decided.identities[row], decided.decisions[row]
    waits = _is_pending(state, decision.account)
    receipt = deps.ledger(who.firm_id, Mode(who.env)).commit_decision(
        state=decided.states[row],
        portfolio=decided.portfolios[row],
        orders=() if waits else decision.orders,
        events=decided.events[row],
        run_id=who.run_id,
        decision_id=decision.decision_id,
    )
    _seal(deps, decided.events[row])
    for block in decided.rl.blocks(row):
        if len(block.columns["seq"]):
            deps.sealer.seal_rl(block)
    return DecisionReceipt(
        account=decision.account,
        decision_id=decision.decision_id,
        receipt=receipt,
        event_id=_decision_event(decided.events[row]),
    )


def _decision_event(events: tuple[AuditEvent, ...]) -> str:
    (made,) = (event for event in events if event.event_type == EventType.DECISION)
    return event_id(chain_of(made), made.seq)


def _is_pending(state: PipelineState, account: str) -> bool:
    assert state.approval is not None
    return any(answer.account == account and answer.status == "pending" for answer in state.approval)


def _seal(deps: Deps, events: tuple[AuditEvent, ...]) -> None:
    deps.sealer.seal_audit(chain_of(events[0]), GENESIS, events)


def _sign(deps: Deps, sealed: Sequence[Sequence[AuditEvent]]) -> None:
    """One checkpoint per firm over what was sealed of its accounts."""
    if deps.notary is None:
        return
    for firm in sorted({events[0].firm_id for events in sealed}):
        own = [
            SealedEntries(chain_of(events[0]), 1, [entry.entry_hash for entry in link(events)])
            for events in sealed
            if events[0].firm_id == firm
        ]
        deps.notary.sign(firm, own)


def _hold(
    state: PipelineState, deps: Deps, sealed: list[tuple[AuditEvent, ...]]
) -> tuple[DecisionReceipt, ...]:
    assert state.decisions is not None and state.verdict is not None
    made = {decision.account: decision for decision in state.decisions}
    receipts = []
    for who in identities(state):
        chain = Chain(who)
        _write_hold(chain, state, made.get(who.name))
        events = tuple(chain.take())
        (receipt,) = deps.audit(who.firm_id).append(events)
        _seal(deps, events)
        sealed.append(events)
        receipts.append(_held_receipt(who.name, made.get(who.name), receipt))
    return tuple(receipts)


def _write_hold(chain: Chain, state: PipelineState, decision: PMDecision | None) -> None:
    assert state.verdict is not None
    findings = [finding.model_dump(mode="json") for finding in state.verdict.findings]
    judged = None if decision is None else decision.decision_id
    chain.write(
        state.request.as_of_ns,
        EventType.DECISION,
        {"decision_id": judged, "outcome": "hold", "findings": findings},
        rationale=f"hold: the judge found {len(findings)} outputs that are not valid; no orders.",
        reason_codes=("RUN_HELD",),
    )


def _held_receipt(account: str, decision: PMDecision | None, receipt: Receipt) -> DecisionReceipt:
    return DecisionReceipt(
        account=account, decision_id="" if decision is None else decision.decision_id, receipt=receipt
    )
