"""Firms and accounts (``/accounts``, ``/overview``): mode, trading state, what is left before a loss rule acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from regime_trading.core.access import Permission
from regime_trading.core.rl_features import FLOORS
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.core.rules import TradingState as State
from regime_trading.core.schemas import Latch as StoredLatch
from regime_trading.services.views.base import (
    Account,
    Asker,
    DecimalText,
    Fraction,
    Hash,
    Instant,
    Seconds,
    Shown,
    instant,
    number,
    plain,
)
from regime_trading.services.views.current import Current, current, title_of
from regime_trading.services.views.decisions import (
    Env,
    Outcome,
    Place,
    RuleOutcome,
    TradingState,
    place_of,
    state_name,
)
from regime_trading.services.views.headroom import headroom, used_fraction
from regime_trading.services.views.redaction import is_money
from regime_trading.services.views.sources import FirmSources

Release = Literal["AUTO", "TIMED", "NEXT_SESSION", "MANUAL", "DUAL", "TERMINAL"]


class Latch(Shown):
    """A lockout that is open: a rule holds the account until it is released."""

    rule_id: str
    title: str
    trading_state: TradingState
    release: Release = Field(description="who or what may let it go")
    since: Instant
    until: Instant | None = Field(description="when it ends by itself; null = not by time alone")


class LossLimit(Shown):
    """One loss rule: what was lost, what may be lost, and what is left."""

    rule_id: str
    title: str
    outcome: RuleOutcome
    unit: str
    loss: DecimalText | None = Field(description="negative = a gain; null = not known, or not shown")
    limit: DecimalText | None = Field(description="unlimited = off")
    headroom: DecimalText | None = Field(description="limit less loss")
    used: Fraction | None = Field(description="loss over limit; null = not known or no limit")


class LastDecision(Shown):
    """The decision that left the account as it is."""

    decision_id: str
    as_of: Instant
    age_s: Seconds = Field(description="seconds since it was decided")
    outcome: Outcome
    binding_rules: tuple[str, ...]
    run_id: str
    config_hash: Hash = Field(description="of the configuration it was decided under")
    place: Place


class AccountSummary(Shown):
    """One account at a glance."""

    account: Account
    firm_id: str
    account_id: str
    display_name: str | None
    account_type: str | None
    currency: str | None = Field(description="ISO 4217 code of the account currency")
    mode: Env | None = Field(description="null where no configuration is in force")
    config_status: Literal["CURRENT", "STALE", "INVALID"]
    config_note: str = Field(description="why, in one sentence")
    config_hash: Hash | None = Field(description="of the configuration in force, session overrides included")
    trading_state: TradingState | None = Field(
        description="the stricter of the last decision's, its latches' and that of the configuration; null = not known"
    )
    kill_level: int | None = Field(description="0 = none, 1 to 4 = K1 to K4; null = not known")
    latches: tuple[Latch, ...]
    equity: DecimalText | None = Field(description="account currency; null = not known, or not shown")
    day_pnl: DecimalText | None = Field(
        description="equity less the day's anchor and flows, account currency"
    )
    day_return: Fraction | None = Field(description="the same over the day's anchor")
    drawdown: Fraction | None = Field(description="of the unit value from its high-water mark")
    loss_limits: tuple[LossLimit, ...]
    last_decision: LastDecision | None
    redacted: bool = Field(description="amounts are left out")


class FirmSummary(Shown):
    """A firm as the asker may see it."""

    firm_id: str
    whole_firm: bool = Field(description="the asker may see all of its accounts, those to come too")
    accounts: tuple[AccountSummary, ...]


def firm(sources: FirmSources, asker: Asker) -> FirmSummary:
    """The firm with the accounts the asker may see."""
    return FirmSummary(
        firm_id=sources.firm_id,
        whole_firm=asker.may(Permission.READ, sources.firm_id),
        accounts=accounts(sources, asker),
    )


def accounts(sources: FirmSources, asker: Asker) -> tuple[AccountSummary, ...]:
    """Accounts the asker may see, in the order of the configuration."""
    return tuple(_summary(sources, asker, current(sources, name)) for name in sources.readable(asker))


def account(sources: FirmSources, asker: Asker, name: str) -> AccountSummary:
    """One account, by its full name.

    Raises
    ------
    NotThere
        There is none, or not for this asker.
    """
    sources.require(asker, name)
    return _summary(sources, asker, current(sources, name))


def _summary(sources: FirmSources, asker: Asker, of: Current) -> AccountSummary:
    profile, stored, shows = of.standing.profile, of.stored, asker.shows_amounts(of.account)
    firm_id, _, account_id = of.account.partition("/")
    pnl, share = _day(of)
    return AccountSummary(
        account=of.account,
        firm_id=firm_id,
        account_id=account_id,
        display_name=None if profile is None else profile.display_name,
        account_type=None if profile is None else str(profile.account_type),
        currency=None if profile is None else profile.account_currency,
        mode=None if of.mode is None else of.mode.value,
        config_status=of.standing.status.value,
        config_note=of.standing.why,
        config_hash=None if profile is None else sources.in_force(profile, asker.now_ns).config_hash,
        trading_state=trading_state(of),
        kill_level=None if stored is None else stored.state.kill_level,
        latches=() if stored is None else tuple(map(_latch, stored.state.latches)),
        equity=plain(of.said.get("equity")) if shows else None,
        day_pnl=plain(pnl) if shows else None,
        day_return=share,
        drawdown=number(of.said.get("drawdown")),
        loss_limits=tuple(limit for rule_id in FLOORS for limit in _limits(of, rule_id, shows)),
        last_decision=_last(of, asker),
        redacted=not shows,
    )


def trading_state(of: Current) -> TradingState | None:
    """The strictest of what the last decision, its latches and the standing of the configuration ask for.

    Null where the account was never decided and nothing else holds it back.
    """
    latches = () if of.stored is None else of.stored.state.latches
    after = of.said.get("trading_state_after")
    asked = [of.standing.least_state, *(latch.trading_state for latch in latches)]
    strictest = max(asked if after is None else [*asked, State[after]])
    return None if after is None and strictest is State.NORMAL else state_name(strictest)


def _latch(latch: StoredLatch) -> Latch:
    return Latch(
        rule_id=latch.rule_id,
        title=title_of(latch.rule_id),
        trading_state=state_name(latch.trading_state),
        release=latch.release.name,  # type: ignore[arg-type]
        since=instant(latch.since_ns) or "",
        until=instant(latch.until_ns),
    )


def _day(of: Current) -> tuple[Any, float | None]:
    """Profit of the trading day, and as a share of the equity it began with."""
    equity = number(of.said.get("equity"))
    if of.stored is None or equity is None:
        return None, None
    state = of.stored.state
    anchor = state.day_anchor_equity + state.day_flow
    pnl = type(anchor)(of.said["equity"]) - anchor
    return pnl, float(pnl / anchor) if anchor > 0 else None


def _limits(of: Current, rule_id: str, shows: bool) -> tuple[LossLimit, ...]:
    row = of.rule(rule_id)
    if row is None:
        return ()
    spec = RULE_BY_ID[rule_id]
    hidden = not shows and is_money(rule_id)
    return (
        LossLimit(
            rule_id=rule_id,
            title=spec.title,
            outcome=row["outcome"],
            unit=spec.measure.unit,
            loss=None if hidden else plain(row["value"]),
            limit=None if hidden else plain(row["limit"]),
            headroom=None if hidden else headroom(spec, row),
            used=used_fraction(spec, row),
        ),
    )


def _last(of: Current, asker: Asker) -> LastDecision | None:
    if of.entry is None or not of.said.get("decision_id"):
        return None
    said: Mapping[str, Any] = of.said
    return LastDecision(
        decision_id=said["decision_id"],
        as_of=instant(of.entry.ts_event_ns) or "",
        age_s=asker.age_s(of.entry.ts_event_ns),
        outcome=said["outcome"],
        binding_rules=tuple(said.get("binding_rules", ())),
        run_id=said["run_id"],
        config_hash=said["config_hash"],
        place=place_of(of.entry, said),
    )
