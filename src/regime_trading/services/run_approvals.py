"""Runs that wait for people: one request per account, what became of it, and the job with which the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from regime_trading.core.access import Role
from regime_trading.core.approvals import (
    ENDED,
    Approval,
    ApprovalKind,
    ApprovalStatus,
    Request,
    Required,
    others_needed,
    ttl_ns,
)
from regime_trading.core.canonical import canonical_json, sha256_hex
from regime_trading.core.commands.execution import Effects
from regime_trading.core.commands.grammar import parse
from regime_trading.core.commands.previews import summary_md
from regime_trading.core.commands.spec import Klass
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import Conflict, NotDurable, RegimeError
from regime_trading.core.ports import Approvals, Runs
from regime_trading.core.schemas import Order, RunRecord, Target, Wait
from regime_trading.core.state import Approval as Answer
from regime_trading.core.state import Looked
from regime_trading.services.approvals import ask, expire_if_over
from regime_trading.services.desk import Requests
from regime_trading.services.jobs import JobService

S = ApprovalStatus
#: How a request that ended is told in the run; what failed, or was agreed to for another world, is void.
_ENDS = {S.EXECUTED: "granted", S.REFUSED: "refused", S.EXPIRED: "expired", S.VOID: "void", S.FAILED: "void"}


@dataclass(frozen=True, slots=True)
class Maker:
    """Who asked for a run: user id, session and pseudonym; ``service:…`` or ``local:…`` where it was no person with a
    login (``Request.by_person``)."""

    user_id: str
    session_id: str
    actor: str


@dataclass(frozen=True, slots=True)
class RunApprovals:
    """Asks people about the accounts of a run, and hears what they said.

    Parameters
    ----------
    requests : Requests
    maker : callable
        Who asked for the runs of this process, by firm.
    """

    requests: Requests
    maker: Callable[[str], Maker]

    def answer(self, run_id: str, looked: Looked) -> Answer | Wait:
        """What people say to the decision of an account that asks for them, asking them where nobody has yet.

        A decision that would be another one by now is void, whatever they said; it is not asked for any more.
        """
        account = looked.decision.account
        request_id = request_id_of(run_id, account)
        store = self.requests.approvals(account.split("/")[0])
        found = store.get(request_id)
        if found is None and looked.changed:
            return Answer(account=account, status="void", why=_since(looked), request_id=request_id)
        if found is None:
            found = self._ask(run_id, looked)
        try:
            expire_if_over(self.requests, found)
        except Conflict:
            found = store.get(request_id) or found
        return _heard(found, looked) or Wait(account, request_id)

    def _ask(self, run_id: str, looked: Looked) -> Approval:
        firm_id = looked.decision.account.split("/")[0]
        request = request_of(
            run_id, looked, self.maker(firm_id), self.requests.acts.code_version, self.requests.now_ns()
        )
        try:
            return ask(self.requests, request)
        except NotDurable:
            found = self.requests.approvals(firm_id).get(request.request_id)
            if found is None:
                raise
            return found  # another process asked at the same time


def request_id_of(run_id: str, account: str) -> str:
    """Id of the request of an account of a run: the same pause asks once, however often it is gone through."""
    return f"rq-{sha256_hex(canonical_json([run_id, account]))[:20]}"


def request_of(run_id: str, looked: Looked, maker: Maker, code_version: str, now_ns: int) -> Request:
    """The request for the decision of an account; whoever asked for the run never answers it, so that at least one
    other person agrees in every mode."""
    decision, effects = looked.decision, basket_effects(looked)
    request_id = request_id_of(run_id, decision.account)
    n = others_needed(ApprovalKind.BASKET, looked.mode, maker_could_agree=False)
    return Request(
        request_id=request_id,
        firm_id=decision.account.split("/")[0],
        account=decision.account,
        kind=ApprovalKind.BASKET,
        klass=Klass.LOOSEN.value,
        loosens=True,
        command=f"/release run id:{request_id} run:{run_id} account:{decision.account}",
        summary_md=summary_md(effects, (decision.account,)),
        effects=effects.effects,
        diff=effects.diff,
        effects_hash=effects.effects_hash,
        base_version=effects.base_version,
        config_hash=effects.config_hash,
        code_version=code_version,
        maker=maker.user_id,
        maker_session=maker.session_id,
        maker_actor=maker.actor,
        reason=f"{run_id} decided for {decision.account}, whose basket asks for people",
        created_ns=now_ns,
        expires_ns=now_ns + ttl_ns(ApprovalKind.BASKET),
        required=Required(n=n, roles=(Role.PM,)),
    )


def run_of(request: Request) -> str:
    """The run that a request is about; empty where it is about something else."""
    return parse(request.command).text("run") if request.kind is ApprovalKind.BASKET else ""


# --- going on ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resumer:
    """Queues the rest of every run that people have answered: as each request ends, and again every minute, so that a
    process that dies in between costs a minute and nothing else.

    Parameters
    ----------
    approvals, runs : callable
        Stores of a firm, by its id.
    jobs : JobService
    tell : callable
        Told, in one sentence, of what goes wrong.
    """

    approvals: Callable[[str], Approvals]
    runs: Callable[[str], Runs]
    jobs: JobService
    tell: Callable[[str], None]

    def ended(self, approval: Approval) -> None:
        """A request has ended: go on with its run where that was the last one of its firm. Raises nothing."""
        firm_id = approval.request.firm_id
        try:
            run = self.runs(firm_id).get(run_of(approval.request)) if run_of(approval.request) else None
            if run is not None and run.status == "waiting":
                self._resume(firm_id, run)
        except RegimeError as error:
            self.tell(f"request {approval.request.request_id}: {error}")

    def sweep(self, firm_id: str) -> None:
        """Go on with every run of a firm that waits for nobody any more."""
        for run in self.runs(firm_id).waiting():
            self._resume(firm_id, run)

    def _resume(self, firm_id: str, run: RunRecord) -> None:
        found = [self.approvals(firm_id).get(wait.request_id) for wait in run.waits]
        if found and all(one is not None and one.status in ENDED for one in found):
            self.jobs.resume(firm_id, run)


# --- what they are shown --------------------------------------------------------------------------------------


def basket_effects(looked: Looked) -> Effects:
    """What a decision does, as people are shown it: each order and its weight, then the rules that bound."""
    decision = looked.decision
    moved = [target for target in decision.targets if target.step_qty]
    bound = ", ".join(decision.binding_rules) or "none"
    orders = tuple(_order_said(order) for order in decision.orders)
    return Effects(
        Direction.NEUTRAL,
        (
            *(_target_said(target) for target in moved),
            f"{len(orders)} orders leave." if orders else "No order leaves.",
            *orders,
            f"Outcome {decision.outcome.value}; rules that bound: {bound}.",
        ),
        unchanged=("No limit changes.",),
        diff="\n".join(line for target in moved for line in _target_diff(target)),
        base_version=decision.decision_id,
        config_hash=decision.config_hash,
        kind=ApprovalKind.BASKET,
        account=decision.account,
    )


def _target_said(target: Target) -> str:
    return f"{target.symbol}: from {_weight(target.current_w)} to {_weight(target.target_w)} of equity."


def _target_diff(target: Target) -> tuple[str, str]:
    return f"-{target.symbol} {_weight(target.current_w)}", f"+{target.symbol} {_weight(target.target_w)}"


def _weight(weight: Decimal) -> str:
    return f"{weight:.2%}"


def _order_said(order: Order) -> str:
    side, limit = ("buy" if order.qty > 0 else "sell"), order.limit_price
    at = "at the market" if limit is None else f"at {limit} or better"
    return f"{order.intent}: {side} {abs(order.qty)} {order.symbol} {at}."


# --- what they said -------------------------------------------------------------------------------------------


def _heard(found: Approval, looked: Looked) -> Answer | None:
    """The answer that a request has come to; None while it waits."""
    if found.status not in _ENDS:
        return None
    request, last = found.request, max(found.votes, key=lambda vote: vote.at_ns, default=None)
    status, why, at_ns = _ENDS[found.status], found.why, None if last is None else last.at_ns
    if found.status is S.EXPIRED:
        at_ns = request.expires_ns
    if found.status is S.REFUSED and last is not None:
        why = last.reason
    if status == "granted" and request.effects_hash != basket_effects(looked).effects_hash:
        status, why = "void", "it was agreed to for another decision"
    elif status == "granted" and looked.changed:
        status, why = "void", _since(looked)
    fields: dict[str, Any] = {"status": status, "at_ns": at_ns, "why": why}
    by = tuple(vote.actor for vote in found.votes)
    return Answer(account=request.account, by=by, request_id=request.request_id, **fields)


def _since(looked: Looked) -> str:
    return f"{looked.changed} changed since the run decided"[:500]
