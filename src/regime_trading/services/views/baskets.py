"""Baskets (``/basket``): members, allocator and cadence, the last proposal, candidates, and what the guards would make
of somebody's own weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import Field

from regime_trading.core.access import Permission
from regime_trading.core.errors import NotThere
from regime_trading.core.proposals import Prechecked
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.core.schemas import Target
from regime_trading.core.settings import BasketSettings
from regime_trading.services.views.base import (
    Account,
    Asker,
    DecimalText,
    Fraction,
    Instant,
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
from regime_trading.services.views.headroom import headroom, used_fraction
from regime_trading.services.views.redaction import is_money, safe_rationale
from regime_trading.services.views.regimes import CapReason, Label, RegimeNow, latest_run, regimes
from regime_trading.services.views.runs import market_of
from regime_trading.services.views.sources import FirmSources
from regime_trading.tools.candidates import regime_score


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


class Candidate(Shown):
    """A symbol that may be proposed, with what the last run found of it."""

    symbol: str
    group: str | None
    label: Label | None = Field(description="regime; null = the last run has none of it")
    confidence: Fraction | None
    score: Fraction | None = Field(
        description="what the regime budget leaves under that label, times the confidence"
    )
    risk_state: int | None
    strategy: str | None
    since: Instant | None = Field(description="when the regime began")
    evidence: tuple[CapReason, ...]
    last_weight: Fraction | None = Field(
        description="in the last proposal of the basket, of the account's share; null = there is none"
    )


class Candidates(Shown):
    """Symbols of a basket, the best first."""

    basket: str
    run_id: str | None = Field(description="that found the regimes; null = there is no run yet")
    as_of: Instant | None
    age_s: Seconds | None
    market_label: Label | None
    items: tuple[Candidate, ...]


class Distance(Shown):
    """How close an account would come to a limit."""

    rule_id: str
    title: str
    unit: str
    value: DecimalText | None = Field(description="null where amounts are not shown")
    limit: DecimalText | None
    headroom: DecimalText | None = Field(description="what is left, in the unit; negative = beyond the limit")
    used: Fraction = Field(description="1 = at the limit")


class RiskNumbers(Shown):
    """Numbers of a set of weights."""

    gross: Fraction
    net: Fraction
    positions: int
    largest: Fraction = Field(description="largest absolute weight")
    volatility: Fraction | None = Field(description="annualised, as the guards reckon it; null = not known")


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
    closest: tuple[Distance, ...] = Field(description="limits that would be used most, at most eight")
    turnover: Fraction | None = Field(description="notional that would be traded, of equity")
    expected_cost_bps: DecimalText | None = Field(description="basis points of equity")
    redacted: bool


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


def candidates(sources: FirmSources, asker: Asker, name: str) -> Candidates:
    """Symbols of a basket with their regimes, the best first; raises as :func:`basket`."""
    one = basket(sources, asker, name)
    run_id = latest_run(sources, asker)
    found = None if run_id is None else regimes(sources, asker, run_id)
    known = {} if found is None else {now.symbol: now for now in found.regimes if not now.is_market}
    market = None if found is None else next((now for now in found.regimes if now.is_market), None)
    items = [_candidate(member, known.get(member.symbol)) for member in one.members]
    return Candidates(
        basket=name,
        run_id=run_id,
        as_of=None if found is None else found.as_of,
        age_s=None if found is None else found.age_s,
        market_label=None if market is None else market.label,
        items=tuple(
            sorted(items, key=lambda item: (1.0 if item.score is None else -item.score, item.symbol))
        ),
    )


def followers(sources: FirmSources, asker: Asker, name: str) -> tuple[str, ...]:
    """Accounts that follow a basket and for which the asker may propose weights."""
    found = _followers(sources, asker).get(name, [])
    return asker.among(Permission.PROPOSE_BASKET, [one.account for one in found])


def pre_check(asker: Asker, found: Prechecked) -> PreCheck:
    """What the guards would make of weights, as somebody may see it."""
    decision, (held, proposed, allowed) = found.decision, found.volatility
    shows, targets = asker.shows_amounts(decision.account), decision.targets
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
        before=_numbers([t.current_w for t in targets], held),
        proposed=_numbers([t.proposed_w for t in targets], proposed),
        after=_numbers([t.target_w for t in targets], allowed),
        targets=tuple(_target(target, shows) for target in targets),
        rules=rule_results(said, shows),
        closest=_closest(said["rules"], shows),  # type: ignore[arg-type]
        turnover=number(decision.turnover),
        expected_cost_bps=plain(decision.expected_cost_bps),
        redacted=not shows,
    )


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


def _candidate(member: Member, now: RegimeNow | None) -> Candidate:
    return Candidate(
        symbol=member.symbol,
        group=member.group,
        label=None if now is None else now.label,
        confidence=None if now is None else now.confidence,
        score=None if now is None else regime_score(now.label, now.confidence),
        risk_state=None if now is None else now.risk.state,
        strategy=None if now is None else now.strategy,
        since=None if now is None else now.since,
        evidence=() if now is None else now.evidence,
        last_weight=member.weight,
    )


# --- pre-check ----------------------------------------------------------------------------------------------


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


def _numbers(weights: Sequence[Decimal], volatility: float | None) -> RiskNumbers:
    held = [float(weight) for weight in weights if weight]
    return RiskNumbers(
        gross=sum(map(abs, held)),
        net=sum(held),
        positions=len(held),
        largest=max(map(abs, held), default=0.0),
        volatility=volatility,
    )


def _closest(rows: Sequence[Mapping[str, Any]], shows: bool) -> tuple[Distance, ...]:
    """Limits by how much of them is used; rules without one, or whose value is not known, are left out."""
    found = []
    for row in rows:
        spec = RULE_BY_ID[row["rule_id"]]
        used, hidden = used_fraction(spec, row), not shows and is_money(row["rule_id"])
        if used is None or row["outcome"] in ("off", "not_evaluable"):
            continue
        found.append(
            Distance(
                rule_id=spec.rule_id,
                title=spec.title,
                unit=spec.measure.unit,
                value=None if hidden else plain(row["value"]),
                limit=None if hidden else plain(row["limit"]),
                headroom=None if hidden else headroom(spec, row),
                used=used,
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.used, one.rule_id))[:_CLOSEST])


_CLOSEST = 8
