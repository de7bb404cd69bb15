"""⑥ The record, before anything leaves: decision, state and entries in one durable transaction, then sealed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from regime_trading.agents.decision import Decided, decide_run, identities
from regime_trading.agents.deps import Deps
from regime_trading.core.audit import chain_of, event_id, link
from regime_trading.core.canonical import GENESIS
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.event_payloads import NOT_APPROVED, RUN_HELD
from regime_trading.core.schemas import AuditEvent, EventType, Mode, PMDecision
from regime_trading.core.state import Approval, Check, DecisionReceipt, PipelineState
from regime_trading.engine.record import Chain, Identity


def journal(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Make every account's decision durable and return the receipts.

    The decision is computed again from the run's own data and the ledger, and recorded only if it is the one
    that was judged. Where people did not agree it is recorded without its orders. A held run is recorded as such: no
    orders, and the accounts' states stay as they were; so is a decision that is void, or that nobody agreed to and that
    would be another one by now.

    Raises
    ------
    CheckFailed
        A decision that may leave does not repeat: none is recorded, and nothing leaves.
    NotDurable
        The record could not be written.
    """
    assert state.decisions is not None and state.verdict is not None and state.approval is not None
    sealed: list[tuple[AuditEvent, ...]] = []
    if state.verdict.action == "HOLD":
        receipts = _hold(state, deps, sealed)
    else:
        receipts = _record(state, deps, {answer.account: answer for answer in state.approval}, sealed)
    _sign(deps, sealed)
    return {"receipts": receipts}


def _record(
    state: PipelineState,
    deps: Deps,
    answers: dict[str, Approval],
    sealed: list[tuple[AuditEvent, ...]],
) -> tuple[DecisionReceipt, ...]:
    """Each decision as the answers have it; nothing is written before all that may leave are known to repeat."""
    assert state.decisions is not None
    decided = _repeated(state, deps, {name for name, answer in answers.items() if answer.leaves}, answers)
    kept = [
        decided is not None and decided.decisions[row] == made and answers[made.account].status != "void"
        for row, made in enumerate(state.decisions)
    ]
    for repeats, made in zip(kept, state.decisions, strict=True):
        if answers[made.account].leaves and not repeats:
            raise CheckFailed("the decision does not repeat from its own inputs; nothing was recorded")
    if decided is not None and any(kept):
        for block in decided.inputs:
            deps.inputs.put(block)
    receipts = []
    for row, (repeats, who, made) in enumerate(zip(kept, identities(state), state.decisions, strict=True)):
        if decided is not None and repeats:
            receipts.append(_commit(deps, decided, row, leaves=answers[made.account].leaves))
            sealed.append(decided.events[row])
        else:
            receipts.append(_not_approved(state, deps, who, answers[made.account], made, sealed))
    return tuple(receipts)


def _repeated(
    state: PipelineState, deps: Deps, leaving: Collection[str], answers: dict[str, Approval]
) -> Decided | None:
    """The decisions made again; None where nothing leaves and they cannot be, or need not be."""
    if all(answer.status == "void" for answer in answers.values()):
        return None
    try:
        return decide_run(state, deps, bound=leaving)
    except (BadInput, CheckFailed):
        if leaving:
            raise
        return None


def _commit(deps: Deps, decided: Decided, row: int, *, leaves: bool) -> DecisionReceipt:
    who, decision = decided.identities[row], decided.decisions[row]
    receipt = deps.ledger(who.firm_id, Mode(who.env)).commit_decision(
        state=decided.states[row],
        portfolio=decided.portfolios[row],
        orders=decision.orders if leaves else (),
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
    findings = state.verdict.findings
    why = f"hold: the judge found {len(findings)} outputs that are not valid; no orders."
    return tuple(
        _write_hold(state, deps, who, made.get(who.name), findings, (why, RUN_HELD), sealed)
        for who in identities(state)
    )


def _not_approved(
    state: PipelineState,
    deps: Deps,
    who: Identity,
    answer: Approval,
    decision: PMDecision,
    sealed: list[tuple[AuditEvent, ...]],
) -> DecisionReceipt:
    finding = Check(account=who.name, check="approval", expected="granted", found=answer.status)
    why = f"hold: the approval is {answer.status}, {answer.why or 'and the world has changed'}; no orders."
    return _write_hold(state, deps, who, decision, (finding,), (why, NOT_APPROVED), sealed)


def _write_hold(
    state: PipelineState,
    deps: Deps,
    who: Identity,
    decision: PMDecision | None,
    findings: Sequence[Check],
    why: tuple[str, str],
    sealed: list[tuple[AuditEvent, ...]],
) -> DecisionReceipt:
    """A decision of which nothing follows, with its rationale and the code of it."""
    judged = None if decision is None else decision.decision_id
    chain = Chain(who)
    chain.write(
        state.request.as_of_ns,
        EventType.DECISION,
        {
            "decision_id": judged,
            "outcome": "hold",
            "findings": [finding.model_dump(mode="json") for finding in findings],
        },
        rationale=why[0],
        reason_codes=(why[1],),
    )
    events = tuple(chain.take())
    (receipt,) = deps.audit(who.firm_id).append(events)
    _seal(deps, events)
    sealed.append(events)
    return DecisionReceipt(account=who.name, decision_id=judged or "", receipt=receipt)
