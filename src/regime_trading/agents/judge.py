"""⑤ Every output checked again, trusting none of it. May only turn the run into HOLD."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Any

from regime_trading.agents.decision import account_proposals
from regime_trading.agents.deps import Deps
from regime_trading.core.rules import RULE_IDS, Gross, MaxPositions, Net, SingleName, TradingState
from regime_trading.core.schemas import Outcome, PMDecision, RuleOutcome, RuleResult, Target
from regime_trading.core.state import Check, Judgement, PipelineState
from regime_trading.core.trader_profile import TraderProfile

NANO = Decimal("1e-9")


def judge(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """``ok``, or ``HOLD`` with everything that is not valid."""
    findings = tuple(_findings(state, deps))
    return {"verdict": Judgement(action="HOLD" if findings else "ok", findings=findings)}


def _findings(state: PipelineState, deps: Deps) -> Iterator[Check]:
    assert state.decisions is not None and state.profiles is not None
    yield from _complete(state)
    hashes = {profile.account: profile.config_hash for profile in state.profiles}
    for decision in state.decisions:
        if decision.account in hashes:
            yield from _belongs(state, decision, hashes[decision.account])
            if broken := tuple(_finite(decision)):
                yield from broken  # the other checks compare numbers
            else:
                yield from _consistent(
                    state, decision, deps.profile(decision.account, state.request.as_of_ns)
                )


def _consistent(state: PipelineState, decision: PMDecision, profile: TraderProfile) -> Iterator[Check]:
    yield from _asked(state, decision, profile)
    for target in decision.targets:
        yield from _bounded(decision, target)
    yield from _capped(decision, profile)
    yield from _ordered(decision)


def _check(decision: PMDecision, check: str, expected: object, found: object) -> Check:
    return Check(account=decision.account, check=check, expected=str(expected), found=str(found))


def _complete(state: PipelineState) -> Iterator[Check]:
    """One decision per account, none for a stranger."""
    assert state.decisions is not None and state.profiles is not None
    expected = [profile.account for profile in state.profiles]
    found = [decision.account for decision in state.decisions]
    if sorted(expected) != sorted(found):
        yield Check(check="completeness", expected=", ".join(expected), found=", ".join(found))


def _belongs(state: PipelineState, decision: PMDecision, config_hash: str) -> Iterator[Check]:
    """The decision is of this run: its instant, configuration, code and rules."""
    pairs = (
        ("as_of_ns", state.request.as_of_ns, decision.as_of_ns),
        ("config_hash", config_hash, decision.config_hash),
        ("code_version", state.request.code_version, decision.code_version),
        ("rules", ", ".join(RULE_IDS), ", ".join(rule.rule_id for rule in decision.rules)),
    )
    for check, expected, found in pairs:
        if expected != found:
            yield _check(decision, check, expected, found)


def _finite(decision: PMDecision) -> Iterator[Check]:
    """Every number is one, factors lie in [0, 1], no symbol appears twice."""
    if decision.equity is None or not decision.equity.is_finite():
        yield _check(decision, "equity", "a finite number", decision.equity)
    for name in ("throttle", "budget_factor"):
        factor = getattr(decision, name)
        if not (factor.is_finite() and 0 <= factor <= 1):
            yield _check(decision, name, "a factor in [0, 1]", factor)
    for item in (*decision.targets, *decision.orders):
        if not all(value.is_finite() for value in dict(item).values() if isinstance(value, Decimal)):
            yield _check(decision, f"{type(item).__name__.lower()} {item.symbol}", "finite numbers", item)
    twice = [symbol for symbol, n in Counter(t.symbol for t in decision.targets).items() if n > 1]
    if twice:
        yield _check(decision, "targets", "each symbol once", ", ".join(sorted(twice)))


def _asked(state: PipelineState, decision: PMDecision, profile: TraderProfile) -> Iterator[Check]:
    """What is called proposed is what was proposed: the scaled sum of the account's baskets."""
    proposals = account_proposals(state, profile)
    asked: dict[str, Decimal] = {}
    for proposal, share in proposals:
        for symbol, weight in proposal.weights.items():
            scaled = (weight * Decimal(repr(share))).quantize(NANO, rounding=ROUND_DOWN)
            asked[symbol] = asked.get(symbol, Decimal(0)) + scaled
    complete = all(proposal.complete for proposal, _ in proposals)
    refused = any(_said(decision, "DS-11", RuleOutcome.BOUND, RuleOutcome.UNKNOWN))
    shown = {target.symbol: target for target in decision.targets}
    slack = NANO * len(proposals)
    for symbol in sorted(asked.keys() | shown.keys()):
        expected, target = asked.get(symbol, Decimal(0)), shown.get(symbol)
        found = Decimal(0) if target is None else target.proposed_w
        kept = target is not None and found == target.current_w
        if abs(found - expected) > slack and not (kept and (refused or not complete)):
            if target is None and refused:
                continue
            yield _check(decision, f"proposed weight of {symbol}", expected, found)


def _said(decision: PMDecision, rule_id: str, *outcomes: RuleOutcome) -> Iterator[RuleResult]:
    return (rule for rule in decision.rules if rule.rule_id == rule_id and rule.outcome in outcomes)


def _within(value: Decimal, end: Decimal) -> bool:
    """``value ∈ hull(0, end)``."""
    return min(end, Decimal(0)) <= value <= max(end, Decimal(0))


def _bounded(decision: PMDecision, target: Target) -> Iterator[Check]:
    """Never larger than proposed, never through zero; kept as it is where nothing may trade (I1, I2)."""
    kept = target.target_w == target.current_w
    if not (kept or _within(target.target_w, target.proposed_w)):
        yield _check(
            decision, f"target of {target.symbol}", f"within 0 and {target.proposed_w}", target.target_w
        )
    if not _within(target.step_qty, target.target_qty - target.current_qty):
        span = target.target_qty - target.current_qty
        yield _check(decision, f"step of {target.symbol}", f"within 0 and {span}", target.step_qty)
    mode = decision.trading_state_after
    if mode >= TradingState.FLATTEN and target.target_w != 0:
        yield _check(decision, f"target of {target.symbol}", f"0 under {mode.name}", target.target_w)
    if mode >= TradingState.REDUCE_ONLY:
        after = target.current_qty + target.step_qty
        if not _within(after, target.current_qty):
            yield _check(
                decision, f"step of {target.symbol}", f"a reduction under {mode.name}", target.step_qty
            )


def _capped(decision: PMDecision, profile: TraderProfile) -> Iterator[Check]:
    """Name, gross, net and count caps, from the profile itself; a book above a cap may only shrink."""
    targets = decision.targets
    grows = [t for t in targets if not _within(t.target_w, t.current_w)]
    name = profile.params(SingleName)
    for t in grows:
        if name.enabled and abs(t.target_w) > name.max_weight:
            yield _check(decision, f"CC-01 {t.symbol}", f"at most {name.max_weight}", t.target_w)
    gross, net, count = profile.params(Gross), profile.params(Net), profile.params(MaxPositions)
    totals = (
        ("CC-02", gross.enabled, gross.max_gross, sum((abs(t.target_w) for t in targets), Decimal(0))),
        ("CC-03", net.enabled, net.max_net, abs(sum((t.target_w for t in targets), Decimal(0)))),
        ("CC-08", count.enabled, Decimal(count.count), Decimal(sum(t.target_w != 0 for t in targets))),
    )
    for rule_id, enabled, limit, found in totals:
        if enabled and grows and found > limit:
            yield _check(decision, rule_id, f"at most {limit}", found)


def _ordered(decision: PMDecision) -> Iterator[Check]:
    """Orders are the steps, exits first, exits only close, and none where none may leave."""
    steps = {target.symbol: target for target in decision.targets}
    ids = [order.client_order_id for order in decision.orders]
    if len(set(ids)) != len(ids):
        yield _check(decision, "orders", "different ids", ", ".join(ids))
    if not _numbered([(order.leg, order.slice) for order in decision.orders]):
        found = [f"{order.leg}.{order.slice}" for order in decision.orders]
        yield _check(decision, "orders", "legs 1, 2, 3 … and in each slices 1, 2, 3 …", found)
    intents = [order.intent for order in decision.orders]
    if intents != sorted(intents, key=lambda intent: intent != "exit"):
        yield _check(decision, "orders", "all exits before all entries", ", ".join(intents))
    total: dict[str, Decimal] = {}
    for order in decision.orders:
        total[order.symbol] = total.get(order.symbol, Decimal(0)) + order.qty
        held = steps[order.symbol].current_qty if order.symbol in steps else Decimal(0)
        if order.intent == "exit" and not _within(-order.qty, held):
            yield _check(decision, f"exit of {order.symbol}", f"at most {held}", order.qty)
        if order.intent == "entry" and decision.trading_state_after >= TradingState.REDUCE_ONLY:
            yield _check(decision, f"entry of {order.symbol}", "none", order.qty)
    expected = {symbol: t.step_qty for symbol, t in steps.items() if t.step_qty != 0}
    closing = {order.symbol for order in decision.orders if order.intent == "exit"}
    rate_spent = _rate_spent(decision)
    for symbol in sorted(expected.keys() | total.keys()):
        step, sent = expected.get(symbol, Decimal(0)), total.get(symbol, Decimal(0))
        waits = rate_spent and symbol not in closing and abs(sent) < abs(step) and sent * step >= 0
        if sent != step and not waits:
            yield _check(decision, "orders", f"the step {step} of {symbol}", sent)
    if decision.outcome == Outcome.HOLD and any(order.intent == "entry" for order in decision.orders):
        yield _check(decision, "orders", "no entry under hold", len(decision.orders))


def _rate_spent(decision: PMDecision) -> bool:
    """Whether the decision's own orders use up the order rate (XL-08), so that entries may wait for the next cycle."""
    rate = next((rule for rule in decision.rules if rule.rule_id == "XL-08"), None)
    if rate is None or rate.limit is None:
        return False
    return len(decision.orders) + (rate.value or 0) >= rate.limit


def _numbered(legs: Sequence[tuple[int, int]]) -> bool:
    """Whether legs count 1, 2, 3 … without a gap, and the slices of each leg too."""
    leg = piece = 0
    for at, number in legs:
        leg, piece = (leg, piece + 1) if at == leg else (leg + 1, 1)
        if (at, number) != (leg, piece):
            return False
    return True
