"""Baskets (``/basket``): members, allocator and cadence, the last proposal, and what the guards would make of one.

A pre-check decides like the gate, from the account's stored state given along, and stores nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import Field

from regime_trading.core.access import Permission
from regime_trading.core.requests import PMRequest
from regime_trading.core.schemas import PMDecision, Target
from regime_trading.core.settings import BasketSettings
from regime_trading.services.pm import GateConfig, decide
from regime_trading.services.views.base import (
    Account,
    Asker,
    DecimalText,
    Fraction,
    Instant,
    NotThere,
    Seconds,
    Shown,
    instant,
    number,
    plain,
)
from regime_trading.services.views.decisions import (
    Outcome,
    RuleResult,
    TargetRow,
    TradingState,
    rule_results,
    state_name,
)
from regime_trading.services.views.redaction import safe_rationale
from regime_trading.services.views.regimes import latest_run
from regime_trading.services.views.runs import market_of
from regime_trading.services.views.sources import FirmSources


class Follower(Shown):
    """An account that follows a basket."""

    account: Account
    share: Fraction = Field(description="of the account's equity that the basket may use")


class Member(Shown):
    """A symbol of a basket with its weight in the last proposal."""

    symbol: str
    group: str | None
    weight: Fraction | None = Field(description="of the account's share; null = there is no proposal")


class LastProposal(Shown):
    """The standing proposal of a basket."""

    proposal_id: str
    run_id: str
    as_of: Instant
    age_s: Seconds
    confidence: Fraction
    gross: Fraction
    net: Fraction
    input_hash: str


class Basket(Shown):
    """A named set of symbols and how it is proposed."""

    name: str
    allocator: str
    budget: Fraction = Field(description="gross weight, of the account's share")
    cadence_sessions: int = Field(description="sessions from one proposal to the next")
    approval: str = Field(description="manual = a person must agree to every proposal")
    allow_short: bool
    members: tuple[Member, ...]
    accounts: tuple[Follower, ...] = Field(description="those the asker may see that follow it")
    last_proposal: LastProposal | None


class RiskNumbers(Shown):
    """Numbers of a set of weights."""

    gross: Fraction
    net: Fraction
    positions: int
    largest: Fraction = Field(description="largest absolute weight")
    volatility: Fraction | None = Field(
        description="annualised, by the covariance of the request; null = not known"
    )


class PreCheck(Shown):
    """What the guards would make of a proposal. Nothing was stored and nothing may be sent on it."""

    account: Account
    as_of: Instant
    outcome: Outcome
    trading_state_before: TradingState
    trading_state_after: TradingState
    binding_rules: tuple[str, ...]
    rationale: str
    before: RiskNumbers = Field(description="what is held")
    proposed: RiskNumbers
    after: RiskNumbers = Field(description="what would be allowed")
    targets: tuple[TargetRow, ...]
    rules: tuple[RuleResult, ...]
    turnover: Fraction | None = Field(description="notional that would be traded, of equity")
    expected_cost_bps: DecimalText | None = Field(description="basis points of equity")
    redacted: bool


@dataclass(frozen=True, slots=True)
class Gate:
    """What a pre-check decides under."""

    config: GateConfig


def baskets(sources: FirmSources, asker: Asker) -> tuple[Basket, ...]:
    """Baskets that an account of the firm follows which the asker may see, by name."""
    followers = _followers(sources, asker)
    last = _last_proposals(sources, asker)
    return tuple(
        _basket(sources, asker, name, settings, followers[name], last.get(name))
        for name, settings in sorted(sources.settings.baskets.items())
        if name in followers
    )


def basket(sources: FirmSources, asker: Asker, name: str) -> Basket:
    """One basket.

    Raises
    ------
    NotThere
        There is none of that name that an account follows which the asker may see.
    """
    found = next((one for one in baskets(sources, asker) if one.name == name), None)
    if found is None:
        raise NotThere("basket", name)
    return found


def pre_check(sources: FirmSources, asker: Asker, gate: Gate, request: PMRequest) -> PreCheck:
    """Put a proposal through every guard without storing anything.

    The account's state is that of its last decision; a request that brings one of its own is decided from that.

    Raises
    ------
    NotThere
        There is no such account, or not for this asker.
    InvalidRequest
        A request that cannot be decided.
    """
    standing = sources.require(asker, request.account, Permission.PROPOSE_BASKET)
    asked = request
    if request.state is None and standing.profile is not None:
        stored = sources.states.latest(request.account, standing.profile.mode)
        if stored is not None:
            asked = request.model_copy(update={"state": stored.state})
    decision = decide([asked], config=gate.config)[0]
    return _checked(request, decision, asker.shows_amounts(request.account))


# --- baskets ------------------------------------------------------------------------------------------------


def _followers(sources: FirmSources, asker: Asker) -> dict[str, list[Follower]]:
    found: dict[str, list[Follower]] = {}
    for account in sources.readable(asker):
        profile = sources.standings[account].profile
        for share in () if profile is None else profile.baskets:
            found.setdefault(share.name, []).append(Follower(account=account, share=float(share.share)))
    return found


def _last_proposals(sources: FirmSources, asker: Asker) -> dict[str, tuple[str, Mapping[str, Any]]]:
    run_id = latest_run(sources, asker)
    market = None if run_id is None else market_of(sources, run_id)
    if run_id is None or market is None:
        return {}
    return {one["basket"]: (run_id, one) for one in market.get("proposals") or () if one["basket"]}


def _basket(
    sources: FirmSources,
    asker: Asker,
    name: str,
    settings: BasketSettings,
    followers: Sequence[Follower],
    last: tuple[str, Mapping[str, Any]] | None,
) -> Basket:
    weights = {} if last is None else {symbol: float(w) for symbol, w in last[1]["weights"].items()}
    return Basket(
        name=name,
        allocator=settings.allocator.value,
        budget=float(settings.budget),
        cadence_sessions=settings.cadence_sessions,
        approval=settings.approval,
        allow_short=settings.exposure.allow_short,
        members=tuple(
            Member(
                symbol=symbol,
                group=sources.settings.instruments.spec(symbol).group,
                weight=None if last is None else weights.get(symbol, 0.0),
            )
            for symbol in settings.symbols
        ),
        accounts=tuple(followers),
        last_proposal=None if last is None else _proposal(asker, *last, list(weights.values())),
    )


def _proposal(asker: Asker, run_id: str, said: Mapping[str, Any], weights: Sequence[float]) -> LastProposal:
    return LastProposal(
        proposal_id=said["proposal_id"],
        run_id=run_id,
        as_of=instant(said["as_of_ns"]) or "",
        age_s=asker.age_s(said["as_of_ns"]),
        confidence=float(said["confidence"]),
        gross=sum(map(abs, weights)),
        net=sum(weights),
        input_hash=said["input_hash"],
    )


# --- pre-check ----------------------------------------------------------------------------------------------


def _checked(request: PMRequest, decision: PMDecision, shows: bool) -> PreCheck:
    targets = decision.targets
    said = {
        "event_type": "DECISION",
        "outcome": decision.outcome.value,
        "binding_rules": decision.binding_rules,
        "rule_id": "",
        "rules": [rule.model_dump(mode="json") for rule in decision.rules],
    }
    return PreCheck(
        account=decision.account,
        as_of=instant(decision.as_of_ns) or "",
        outcome=decision.outcome.value,
        trading_state_before=state_name(decision.trading_state_before),
        trading_state_after=state_name(decision.trading_state_after),
        binding_rules=decision.binding_rules,
        rationale=decision.rationale if shows else safe_rationale(said),
        before=_numbers(request, {t.symbol: t.current_w for t in targets}),
        proposed=_numbers(request, {t.symbol: t.proposed_w for t in targets}),
        after=_numbers(request, {t.symbol: t.target_w for t in targets}),
        targets=tuple(_target(target, shows) for target in targets),
        rules=rule_results(said, shows),
        turnover=number(decision.turnover),
        expected_cost_bps=plain(decision.expected_cost_bps),
        redacted=not shows,
    )


def _target(target: Target, shows: bool) -> TargetRow:
    return TargetRow(
        symbol=target.symbol,
        proposed_weight=float(target.proposed_w),
        current_weight=float(target.current_w),
        target_weight=float(target.target_w),
        current_quantity=plain(target.current_qty) if shows else None,
        target_quantity=plain(target.target_qty) if shows else None,
        step_quantity=plain(target.step_qty) if shows else None,
        limiting_rules=target.limiting_rules,
    )


def _numbers(request: PMRequest, weights: Mapping[str, Decimal]) -> RiskNumbers:
    held = {symbol: float(weight) for symbol, weight in weights.items() if weight}
    return RiskNumbers(
        gross=sum(map(abs, held.values())),
        net=sum(held.values()),
        positions=len(held),
        largest=max(map(abs, held.values()), default=0.0),
        volatility=_volatility(request, held),
    )


def _volatility(request: PMRequest, weights: Mapping[str, float]) -> float | None:
    """Annualised volatility of weights by the covariance that was sent; None where a part of it is not known."""
    sent = request.market.covariance
    if not weights:
        return 0.0
    if sent is None or not set(weights) <= set(sent.symbols):
        return None
    at = {symbol: sent.symbols.index(symbol) for symbol in weights}
    terms = [(a, b, sent.matrix[at[a]][at[b]]) for a in weights for b in weights]
    known = [weights[a] * weights[b] * cell for a, b, cell in terms if cell is not None]
    variance = sum(known)
    if len(known) < len(terms) or variance < 0:
        return None
    days = 1.0 if sent.annualised else _DAYS
    return float((variance * days) ** 0.5)


_DAYS = 252.0
