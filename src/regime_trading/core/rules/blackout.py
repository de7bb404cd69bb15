"""Guard 2, universe and time blackouts: parameters and specifications of its rules (logic: ``guards.blackout``)."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from regime_trading.core.rules.base import (
    Fraction,
    Frozen,
    Guard,
    Measure,
    Merge,
    RuleParams,
    RuleSpec,
    ShareLimit,
    param,
)


def _iso_day(text: str) -> str:
    dt.date.fromisoformat(text)
    return text


def _zone_exists(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"expected the name of an IANA time zone, found {name!r}") from error
    return name


def _hedge_group(symbols: tuple[str, ...]) -> tuple[str, ...]:
    once = tuple(sorted(set(symbols)))
    if len(once) < 2:
        raise ValueError(f"expected at least two symbols, found {list(once)}")
    return once


IsoDay = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_iso_day)]
LocalTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Zone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]{1,40}$"), AfterValidator(_zone_exists)]
HedgeGroup = Annotated[tuple[str, ...], AfterValidator(_hedge_group)]


class OrphanPolicy(StrEnum):
    """What becomes of a position that is not (any more) on the allow list."""

    REDUCE_ONLY = "reduce_only"
    EXIT = "exit"


class DenyMode(StrEnum):
    NO_INCREASE = "no_increase"
    NO_TRADE = "no_trade"
    EXIT = "exit"


class NewsMode(StrEnum):
    NO_INCREASE = "no_increase"
    NO_TRADE = "no_trade"


class EarningsEffect(StrEnum):
    """``block``: no increase; ``half``: half of what is proposed. Neither is stricter than the other."""

    BLOCK = "block"
    HALF = "half"


class FlatScope(StrEnum):
    """How often a book must be flat. Neither is stricter: only ``weekend`` closes Saturdays and Sundays as a whole."""

    WEEKEND = "weekend"
    DAILY = "daily"


class AllowList(RuleParams):
    symbols: tuple[str, ...] | None = param(None, unit="symbols (absent = all)", merge=Merge.INTERSECT)
    orphan_policy: OrphanPolicy = param(OrphanPolicy.REDUCE_ONLY, unit="", merge=Merge.ORDERED)


class DenyList(RuleParams):
    symbols: tuple[str, ...] = param((), unit="symbols", merge=Merge.UNION)
    mode: DenyMode = param(DenyMode.NO_INCREASE, unit="", merge=Merge.ORDERED)


class Permissions(RuleParams):
    classes: tuple[str, ...] | None = param(None, unit="classes (absent = all)", merge=Merge.INTERSECT)
    venues: tuple[str, ...] | None = param(None, unit="venues (absent = all)", merge=Merge.INTERSECT)


class SessionHours(RuleParams):
    pass


class SessionBuffers(RuleParams):
    no_entry_after_open_s: int = param(300, unit="seconds", merge=Merge.HIGHER, ge=0)
    no_entry_before_close_s: int = param(600, unit="seconds", merge=Merge.HIGHER, ge=0)


class NewsBlackout(RuleParams):
    before_s: int = param(300, unit="seconds", merge=Merge.HIGHER, ge=0)
    after_s: int = param(300, unit="seconds", merge=Merge.HIGHER, ge=0)
    mode: NewsMode = param(NewsMode.NO_INCREASE, unit="", merge=Merge.ORDERED)
    pre_flatten: bool = param(False, unit="", merge=Merge.PROTECT)
    pre_flatten_s: int = param(300, unit="seconds", merge=Merge.HIGHER, ge=0)


class Earnings(RuleParams):
    days_before: int = param(1, unit="days", merge=Merge.HIGHER, ge=0)
    days_after: int = param(0, unit="days", merge=Merge.HIGHER, ge=0)
    effect: EarningsEffect = param(EarningsEffect.BLOCK, unit="", merge=Merge.FIXED)


class FlatBy(RuleParams):
    """``at`` local time of ``zone`` the book is flat; without ``allowed`` it is by the close of the session."""

    at: LocalTime | None = param(None, unit="local time (absent = none)", merge=Merge.FIXED)
    zone: Zone = param("Etc/UTC", unit="time zone", merge=Merge.FIXED)
    scope: FlatScope = param(FlatScope.DAILY, unit="", merge=Merge.FIXED)
    allowed: bool = param(True, unit="a position over night", merge=Merge.PERMIT)
    lead_s: int = param(300, unit="seconds", merge=Merge.HIGHER, ge=0)
    no_entry_s: int = param(900, unit="seconds", merge=Merge.HIGHER, ge=0)
    exit_adv_share: Fraction = param(
        Decimal("0.05"), unit="fraction of ADV a bar that an exit may take", merge=Merge.LOWER, gt=0
    )


class Expiry(RuleParams):
    block_days: int = param(3, unit="days", merge=Merge.HIGHER, ge=0)
    exit_days: int = param(1, unit="days", merge=Merge.HIGHER, ge=0)


class ShortSale(RuleParams):
    max_borrow_fee: ShareLimit = param(Decimal("0.10"), unit="fraction a year", merge=Merge.LOWER)
    recall_adv: Fraction = param(Decimal("0.05"), unit="fraction of ADV a bar", merge=Merge.FIXED, gt=0)


class Cooldown(RuleParams):
    cooldown_s: int = param(1800, unit="seconds", merge=Merge.HIGHER, ge=0)
    both_sides: bool = param(False, unit="", merge=Merge.PROTECT)


class Direction(RuleParams):
    long_only: bool = param(False, unit="", merge=Merge.PROTECT)
    hedge_groups: tuple[HedgeGroup, ...] = param((), unit="groups of symbols", merge=Merge.UNION)


class AccountLifecycle(RuleParams):
    """First and last day of the account, in UTC, both included."""

    start: IsoDay | None = param(None, unit="date (absent = none)", merge=Merge.FIXED)
    end: IsoDay | None = param(None, unit="date (absent = none)", merge=Merge.FIXED)
    inactivity_days: int = param(30, unit="days", merge=Merge.LOWER, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> AccountLifecycle:
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"end: expected a day on or after {self.start}, found {self.end}")
        return self


class FreezeWindow(Frozen):
    """Days, in UTC, first and last included; ``MM-DD`` recurs every year, ``YYYY-MM-DD`` happens once."""

    id: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    first: str = Field(pattern=r"^(\d{4}-)?\d{2}-\d{2}$")
    last: str = Field(pattern=r"^(\d{4}-)?\d{2}-\d{2}$")

    @model_validator(mode="after")
    def _dates_exist(self) -> FreezeWindow:
        if len(self.first) != len(self.last):
            raise ValueError("first and last: expected both MM-DD or both YYYY-MM-DD")
        for text in (self.first, self.last):
            dt.date.fromisoformat(text if len(text) == 10 else f"2000-{text}")
        if len(self.first) == 10 and self.last < self.first:
            raise ValueError(f"last: expected a day on or after {self.first}, found {self.last}")
        return self


class FreezeWindows(RuleParams):
    windows: tuple[FreezeWindow, ...] = param((), unit="days", merge=Merge.UNION)


SPECS: tuple[RuleSpec, ...] = (
    RuleSpec(
        rule_id="UT-01",
        key="allow",
        guard=Guard.BLACKOUT,
        title="Allow list",
        inequality="i ∈ symbols",
        effect="BLOCK(i); ZERO(i) where orphan_policy is exit",
        recovery="AUTO",
        params=AllowList,
        measure=Measure(unit="condition"),
        principal="symbols",
    ),
    RuleSpec(
        rule_id="UT-02",
        key="deny",
        guard=Guard.BLACKOUT,
        title="Deny list",
        inequality="i ∉ symbols",
        effect="BLOCK(i), NO_TRADE(i) or ZERO(i)",
        recovery="AUTO",
        params=DenyList,
        measure=Measure(unit="condition"),
        principal="symbols",
    ),
    RuleSpec(
        rule_id="UT-03",
        key="permissions",
        guard=Guard.BLACKOUT,
        title="Permitted classes and venues",
        inequality="class(i) ∈ classes, venue(i) ∈ venues",
        effect="BLOCK(i)",
        recovery="AUTO",
        params=Permissions,
        measure=Measure(unit="condition"),
        inputs=("instruments",),
    ),
    RuleSpec(
        rule_id="UT-04",
        key="session_hours",
        guard=Guard.BLACKOUT,
        title="Session hours",
        inequality="venue session of i is open",
        effect="BLOCK(i), no order",
        recovery="AUTO",
        params=SessionHours,
        measure=Measure(unit="condition"),
        inputs=("status",),
    ),
    RuleSpec(
        rule_id="UT-05",
        key="session_buffers",
        guard=Guard.BLACKOUT,
        title="Open and close buffers",
        inequality="t − open ≥ no_entry_after_open_s, close − t ≥ no_entry_before_close_s",
        effect="BLOCK(i)",
        recovery="AUTO",
        params=SessionBuffers,
        measure=Measure(unit="seconds", at_least=True),
        measured=("session_clock",),
    ),
    RuleSpec(
        rule_id="UT-06",
        key="news",
        guard=Guard.BLACKOUT,
        title="News blackout",
        inequality="t ∉ [event − before_s, event + after_s]",
        effect="BLOCK(i) or NO_TRADE(i); ZERO(i) from pre_flatten_s before a NO_TRADE window",
        recovery="AUTO at window end",
        params=NewsBlackout,
        measure=Measure(unit="seconds", at_least=True),
        principal="before_s",
    ),
    RuleSpec(
        rule_id="UT-07",
        key="earnings",
        guard=Guard.BLACKOUT,
        title="Earnings and ex-dates",
        inequality="day(t) ∉ [event − days_before, event + days_after]",
        effect="BLOCK(i), or SCALE(i, 0.5)",
        recovery="AUTO at window end",
        params=Earnings,
        measure=Measure(unit="days", at_least=True),
        principal="days_before",
        inputs=("earnings",),
    ),
    RuleSpec(
        rule_id="UT-08",
        key="flat_by",
        aliases=("overnight",),
        guard=Guard.BLACKOUT,
        title="Flat by, overnight and weekend",
        inequality="flat_by − t > max(lead_s, a bar, time to exit)",
        effect="FLATTEN; BLOCK from no_entry_s before flat_by",
        recovery="latch NEXT_SESSION",
        params=FlatBy,
        measure=Measure(unit="seconds", at_least=True),
        principal="at",
        latch=True,
    ),
    RuleSpec(
        rule_id="UT-09",
        key="expiry",
        guard=Guard.BLACKOUT,
        title="Expiry, first notice and delisting",
        inequality="expiry − t > block_days, expiry − t > exit_days",
        effect="BLOCK(i); ZERO(i)",
        recovery="AUTO",
        params=Expiry,
        measure=Measure(unit="days", at_least=True),
        principal="block_days",
        inputs=("instruments",),
    ),
    RuleSpec(
        rule_id="UT-10",
        key="short_sale",
        guard=Guard.BLACKOUT,
        title="Borrow of shorts",
        inequality="borrow fee ≤ max_borrow_fee and i can be borrowed",
        effect="CLAMP(i, min(held, 0), ∞); recalled: CLAMP(i, 0, ∞) with PACE",
        recovery="AUTO",
        params=ShortSale,
        measure=Measure(unit="annual"),
        principal="max_borrow_fee",
        inputs=("borrow",),
    ),
    RuleSpec(
        rule_id="UT-11",
        key="cooldown",
        guard=Guard.BLACKOUT,
        title="Cooldown after an exit",
        inequality="t − flattening fill ≥ cooldown_s",
        effect="BLOCK of the side that was closed",
        recovery="TIMED",
        params=Cooldown,
        measure=Measure(unit="seconds", at_least=True),
        principal="cooldown_s",
    ),
    RuleSpec(
        rule_id="UT-12",
        key="direction",
        guard=Guard.BLACKOUT,
        title="Direction and hedging",
        inequality="one direction in each hedge group, no short where long_only",
        effect="BLOCK of the other direction",
        recovery="AUTO",
        params=Direction,
        measure=Measure(unit="condition"),
    ),
    RuleSpec(
        rule_id="UT-13",
        key="lifecycle",
        guard=Guard.BLACKOUT,
        title="Account lifecycle",
        inequality="day(t) ∈ [start, end]",
        effect="REDUCE_ONLY; INACTIVE is a warning",
        recovery="AUTO",
        params=AccountLifecycle,
        measure=Measure(unit="condition"),
    ),
    RuleSpec(
        rule_id="UT-14",
        key="freeze",
        guard=Guard.BLACKOUT,
        title="Freeze window",
        inequality="day(t) ∉ windows",
        effect="REDUCE_ONLY",
        recovery="AUTO at window end",
        params=FreezeWindows,
        measure=Measure(unit="condition"),
        principal="windows",
    ),
)
