"""Guard 3, circuits beside the floors: parameters and specifications (logic: ``guards.circuits``, ``guards.stress``,
``guards.external``)."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from pydantic import field_validator

from regime_trading.core.rules.base import (
    Fraction,
    Guard,
    Limit,
    Measure,
    Merge,
    Number,
    RuleParams,
    RuleSpec,
    ShareLimit,
    param,
)

_UNLIMITED = Decimal("Infinity")
MOST_EXITS = 16
YEAR_S = 366 * 86_400
#: Rules whose floors make up the loss budget that LD-12 may spend a part of.
FLOOR_RULES: tuple[str, ...] = ("LD-01", "LD-03", "LD-04", "LD-05", "LD-06")


class OnCap(StrEnum):
    """When the best day may earn no more: no new risk, or out."""

    BLOCK = "BLOCK"
    EXIT = "EXIT"


class StressWhen(StrEnum):
    """When the projected stress must fit into the loss budget."""

    NEVER = "never"
    BEFORE_CLOSE = "before_close"
    ALWAYS = "always"


class PositionLoss(RuleParams):
    """Off by default: on daily bars a single share of 15 % of a book loses one per cent of equity in an ordinary
    week, and the loss circuits of the book hold already. Desks that stop positions set 0.01, prop presets what the
    firm says."""

    max_loss_pct_equity: ShareLimit = param(_UNLIMITED, unit="fraction of equity", merge=Merge.LOWER)
    max_mae: Limit = param(_UNLIMITED, unit="account currency", merge=Merge.LOWER)
    stop_attach_s: Limit = param(_UNLIMITED, unit="seconds without a stop", merge=Merge.LOWER)


class LossStreak(RuleParams):
    count: int = param(4, unit="losing exits", merge=Merge.LOWER, ge=1, le=MOST_EXITS)
    window_s: int = param(86_400, unit="seconds", merge=Merge.HIGHER, ge=0, le=YEAR_S)
    hold_s: int = param(14_400, unit="seconds", merge=Merge.HIGHER, ge=0, le=YEAR_S)
    min_return: Fraction = param(Decimal("0.0001"), unit="loss per position", merge=Merge.LOWER)


class LossVelocity(RuleParams):
    window_s: int = param(300, unit="seconds", merge=Merge.HIGHER, ge=1, le=YEAR_S)
    reduce_pct: ShareLimit = param(Decimal("0.01"), unit="fraction of unit NAV", merge=Merge.LOWER)
    flatten_pct: ShareLimit = param(Decimal("0.02"), unit="fraction of unit NAV", merge=Merge.LOWER)
    hold_s: int = param(1_800, unit="seconds", merge=Merge.HIGHER, ge=0, le=YEAR_S)


class GiveBack(RuleParams):
    min_gain: Fraction = param(Decimal("0.01"), unit="fraction of the day's anchor", merge=Merge.LOWER)
    share: ShareLimit = param(_UNLIMITED, unit="fraction of the day's peak gain", merge=Merge.LOWER)


class Consistency(RuleParams):
    best_day_share: ShareLimit = param(_UNLIMITED, unit="fraction of total profit", merge=Merge.LOWER)
    on_cap: OnCap = param(OnCap.BLOCK, unit="", merge=Merge.ORDERED)


class StressBudget(RuleParams):
    """Never by default: against a daily loss of 2 % a sum of three standard deviations would cut a fully invested book
    of shares to a third, every day. Presets of firms whose floors end an account switch it on."""

    when: StressWhen = param(StressWhen.NEVER, unit="", merge=Merge.ORDERED)
    lead_s: int = param(1_800, unit="seconds before a close or an event", merge=Merge.HIGHER, ge=0)
    sigmas: Number = param(Decimal("3"), unit="daily standard deviations", merge=Merge.HIGHER, ge=0)
    single_name: Fraction = param(Decimal("0.20"), unit="move of one name", merge=Merge.HIGHER)
    share_of_budget: Fraction = param(
        Decimal("0.8"), unit="fraction of the remaining loss budget", merge=Merge.LOWER
    )


class ExternalBreach(RuleParams):
    pass


class ManualKill(RuleParams):
    @field_validator("enabled")
    @classmethod
    def _stays_on(cls, value: bool) -> bool:
        """A halt is a person's word: no configuration takes it away."""
        if not value:
            raise ValueError("true: a halt cannot be switched off")
        return value


class MinEquity(RuleParams):
    min_equity: Number = param(Decimal("0"), unit="account currency", merge=Merge.HIGHER, ge=0)
    margin_block: ShareLimit = param(Decimal("0.80"), unit="margin as a fraction of E", merge=Merge.LOWER)
    margin_reduce: ShareLimit = param(Decimal("0.90"), unit="margin as a fraction of E", merge=Merge.LOWER)


SPECS: tuple[RuleSpec, ...] = (
    RuleSpec(
        rule_id="LD-07",
        key="position_loss",
        guard=Guard.DRAWDOWN,
        title="Loss of one position",
        inequality="−open profit_i < min(max_loss_pct_equity · E, max_mae)",
        effect="ZERO(i); no protective stop after stop_attach_s: BLOCK(i)",
        recovery="the position is gone; the cooldown after its exit is UT-11",
        params=PositionLoss,
        measure=Measure(unit="equity"),
        principal="max_loss_pct_equity",
        inputs=("fills",),
    ),
    RuleSpec(
        rule_id="LD-08",
        key="loss_streak",
        guard=Guard.DRAWDOWN,
        title="Streak of losing exits",
        inequality="losing exits in window_s < count",
        effect="no new risk for hold_s after the last of them",
        recovery="latch: TIMED",
        params=LossStreak,
        measure=Measure(unit="exits"),
        principal="count",
        inputs=("fills",),
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-09",
        key="loss_velocity",
        guard=Guard.DRAWDOWN,
        title="Loss velocity",
        inequality="1 − u / max u in window_s < reduce_pct",
        effect="REDUCE_ONLY for hold_s; flatten_pct: FLATTEN",
        recovery="latch: TIMED · FLATTEN: latch MANUAL",
        params=LossVelocity,
        measure=Measure(unit="share"),
        principal="reduce_pct",
        measured=("intraday",),
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-10",
        key="give_back",
        guard=Guard.DRAWDOWN,
        title="Profit give-back",
        inequality="given back of the day's peak gain < share, once the gain reached min_gain",
        effect="REDUCE_ONLY",
        recovery="latch: NEXT_SESSION",
        params=GiveBack,
        measure=Measure(unit="share"),
        principal="share",
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-11",
        key="consistency",
        guard=Guard.DRAWDOWN,
        title="Consistency of the best day",
        inequality="profit today < x / (1 − x) · profit of the other days",
        effect="no new risk; EXIT: ZERO",
        recovery="next trading day, or when the profit falls back",
        params=Consistency,
        measure=Measure(unit="money"),
        principal="best_day_share",
    ),
    RuleSpec(
        rule_id="LD-12",
        key="stress",
        guard=Guard.DRAWDOWN,
        title="Projected stress",
        inequality="stress(w) ≤ share_of_budget · D / E",
        effect="sizes are scaled until the worst scenario fits",
        recovery="next cycle",
        params=StressBudget,
        measure=Measure(unit="equity"),
        principal="when",
    ),
    RuleSpec(
        rule_id="LD-14",
        key="external_breach",
        guard=Guard.DRAWDOWN,
        title="Breach reported from outside",
        inequality="the broker or the prop firm reports no breach",
        effect="LOCKED, all working entries cancelled",
        recovery="latch: TERMINAL",
        params=ExternalBreach,
        measure=Measure(unit="condition"),
        inputs=("recon",),
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-15",
        key="manual_kill",
        guard=Guard.DRAWDOWN,
        title="Manual kill",
        inequality="kill level ≤ 0",
        effect="K1: REDUCE_ONLY · K2: and all working entries cancelled · K3: LOCKED · K4: cancel only",
        recovery="latch: MANUAL",
        params=ManualKill,
        measure=Measure(unit="level"),
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-16",
        key="min_equity",
        guard=Guard.DRAWDOWN,
        title="Minimum equity and margin call",
        inequality="margin used / E ≤ margin_block and E > min_equity",
        effect="no new risk; margin_reduce: REDUCE_ONLY, losing positions first cut back",
        recovery="next cycle",
        params=MinEquity,
        measure=Measure(unit="share"),
        principal="min_equity",
    ),
)
