"""Guard 3, floors on equity: parameters and specifications (logic: ``guards.drawdown``, ``guards.circuits``).

The circuits that are no floor on equity are in ``core.rules.circuits``; ``SPECS`` holds all of guard 3.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from regime_trading.core.rules import circuits
from regime_trading.core.rules.base import (
    Fraction,
    Frozen,
    Guard,
    Limit,
    Measure,
    Merge,
    Release,
    ReleaseName,
    RuleParams,
    RuleSpec,
    ShareLimit,
    TradingState,
    TradingStateName,
    param,
)


class LossBase(StrEnum):
    ANCHOR = "anchor"
    INITIAL = "initial"


class DayAnchor(StrEnum):
    BALANCE = "balance"
    EQUITY = "equity"
    MAX = "max"


class FlowPolicy(StrEnum):
    """What a deposit or a withdrawal does to a floor in money: nothing, moves it along, or scales it by units."""

    NONE = "none"
    SHIFT = "shift"
    UNITIZED = "unitized"


class LockAt(StrEnum):
    """Where a trailing floor stops: never, or once it has reached the initial capital."""

    NONE = "none"
    INITIAL = "initial"


class StaticBase(StrEnum):
    """What a static floor is measured from; written out so that a file can say it, and nothing else."""

    INITIAL = "initial"


class RestartPolicy(StrEnum):
    """The high-water mark after a released LOCKED rung: rebased to the present value, or as it was."""

    REBASE = "rebase"
    CONTINUE = "continue"


def _reducing(state: TradingState) -> TradingState:
    if state not in (TradingState.REDUCE_ONLY, TradingState.FLATTEN):
        raise ValueError(f"expected one of REDUCE_ONLY, FLATTEN, found {state.name}")
    return state


ActName = Annotated[TradingStateName, AfterValidator(_reducing)]


class _LossLevels(RuleParams):
    soft: Fraction = param(Decimal("0.60"), unit="fraction of the limit", merge=Merge.LOWER)
    warn: Fraction = param(Decimal("0.75"), unit="fraction of the limit", merge=Merge.LOWER)
    act: Fraction = param(Decimal("0.90"), unit="fraction of the limit", merge=Merge.LOWER)

    @model_validator(mode="after")
    def _ascending(self) -> _LossLevels:
        if not self.soft < self.warn < self.act:
            raise ValueError(f"expected soft < warn < act, found {self.soft}, {self.warn}, {self.act}")
        return self


class DailyLoss(_LossLevels):
    limit_pct: ShareLimit = param(Decimal("0.02"), unit="fraction of base", merge=Merge.LOWER)
    limit_money: Limit = param(Decimal("Infinity"), unit="account currency", merge=Merge.LOWER)
    base: LossBase = param(LossBase.ANCHOR, unit="", merge=Merge.FIXED)
    anchor: DayAnchor = param(DayAnchor.EQUITY, unit="", merge=Merge.FIXED)
    on_act: ActName = param(TradingState.FLATTEN, unit="", merge=Merge.ORDERED)
    release: ReleaseName = param(Release.NEXT_SESSION, unit="", merge=Merge.ORDERED)
    on_external: ReleaseName = param(Release.DUAL, unit="", merge=Merge.ORDERED)


class Rung(Frozen):
    """At a drawdown of ``at`` or more, do ``action``: a throttle factor, ``FLATTEN`` or ``LOCKED``."""

    at: Fraction
    action: Fraction | Literal["FLATTEN", "LOCKED"]


def _rungs(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(
            {"at": rung[0], "action": rung[1]} if isinstance(rung, list | tuple) and len(rung) == 2 else rung
            for rung in value
        )
    return value


def rung_strictness(action: Decimal | str) -> Decimal:
    """Order of ladder actions: throttles by how much they cut (0 … 1), then FLATTEN, then LOCKED."""
    if isinstance(action, str):
        return Decimal(2) if action == "FLATTEN" else Decimal(3)
    return 1 - action


class TrailingDrawdown(RuleParams):
    ladder: Annotated[tuple[Rung, ...], BeforeValidator(_rungs)] = param(
        (
            Rung(at=Decimal("0.05"), action=Decimal("0.75")),
            Rung(at=Decimal("0.10"), action=Decimal("0.50")),
            Rung(at=Decimal("0.15"), action="FLATTEN"),
            Rung(at=Decimal("0.20"), action="LOCKED"),
        ),
        unit="drawdown of unit NAV, action",
        merge=Merge.LADDER,
    )
    hysteresis: Fraction = param(Decimal("0.02"), unit="drawdown", merge=Merge.HIGHER)
    hysteresis_sessions: int = param(5, unit="sessions", merge=Merge.HIGHER, ge=1)
    flatten_release: ReleaseName = param(Release.MANUAL, unit="", merge=Merge.ORDERED)
    lock_release: ReleaseName = param(Release.DUAL, unit="", merge=Merge.ORDERED)
    restart_policy: RestartPolicy = param(RestartPolicy.REBASE, unit="", merge=Merge.ORDERED)
    ramp_sessions: int = param(10, unit="sessions", merge=Merge.HIGHER, ge=0)

    @model_validator(mode="after")
    def _monotone(self) -> TrailingDrawdown:
        for below, above in zip(self.ladder, self.ladder[1:], strict=False):
            if not (below.at < above.at and rung_strictness(below.action) < rung_strictness(above.action)):
                raise ValueError(
                    "ladder: expected drawdowns and actions that both get stricter, "
                    f"found {below.at} {below.action} then {above.at} {above.action}"
                )
        return self


class _MaxLoss(RuleParams):
    limit_pct: ShareLimit = param(Decimal("Infinity"), unit="fraction of initial capital", merge=Merge.LOWER)
    act: Fraction = param(Decimal("0.85"), unit="fraction of the limit", merge=Merge.LOWER)
    flow_policy: FlowPolicy = param(FlowPolicy.SHIFT, unit="", merge=Merge.FIXED)
    release: ReleaseName = param(Release.MANUAL, unit="", merge=Merge.ORDERED)
    on_external: ReleaseName = param(Release.TERMINAL, unit="", merge=Merge.ORDERED)


class StaticLoss(_MaxLoss):
    limit_money: Limit = param(Decimal("Infinity"), unit="account currency", merge=Merge.LOWER)
    base: StaticBase = param(StaticBase.INITIAL, unit="", merge=Merge.FIXED)


class EodTrailingLoss(_MaxLoss):
    amount: Limit = param(Decimal("Infinity"), unit="account currency", merge=Merge.LOWER)
    lock_at: LockAt = param(LockAt.NONE, unit="", merge=Merge.FIXED)


class IntradayTrailingLoss(_MaxLoss):
    amount: Limit = param(Decimal("Infinity"), unit="account currency", merge=Merge.LOWER)
    lock_offset: Limit = param(
        Decimal("Infinity"), unit="account currency above the initial capital", merge=Merge.FIXED
    )


class PeriodLoss(_LossLevels):
    weekly_pct: ShareLimit = param(Decimal("Infinity"), unit="fraction of the anchor", merge=Merge.LOWER)
    weekly_money: Limit = param(Decimal("Infinity"), unit="account currency", merge=Merge.LOWER)
    monthly_pct: ShareLimit = param(Decimal("Infinity"), unit="fraction of the anchor", merge=Merge.LOWER)
    monthly_money: Limit = param(Decimal("Infinity"), unit="account currency", merge=Merge.LOWER)
    release: ReleaseName = param(Release.NEXT_SESSION, unit="", merge=Merge.ORDERED)
    on_external: ReleaseName = param(Release.DUAL, unit="", merge=Merge.ORDERED)


class FirmDailyLoss(_LossLevels):
    limit_pct: ShareLimit = param(
        Decimal("Infinity"), unit="fraction of the firm's anchors", merge=Merge.LOWER
    )
    limit_money: Limit = param(Decimal("Infinity"), unit="firm currency", merge=Merge.LOWER)
    release: ReleaseName = param(Release.NEXT_SESSION, unit="", merge=Merge.ORDERED)


_FLOORS: tuple[RuleSpec, ...] = (
    RuleSpec(
        rule_id="LD-01",
        key="daily_loss",
        guard=Guard.DRAWDOWN,
        title="Daily loss",
        inequality="E > A + F_day − level · L",
        effect="soft: THROTTLE 0.5 · warn: REDUCE_ONLY · act: latch on_act · external: FLATTEN, latch on_external",
        recovery="latch: release",
        params=DailyLoss,
        measure=Measure(unit="money"),
        principal="limit_pct",
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-02",
        key="drawdown",
        guard=Guard.DRAWDOWN,
        title="Trailing drawdown (unitised)",
        inequality="1 − u / max u < rung",
        effect="THROTTLE, FLATTEN or LOCKED by rung",
        recovery="throttles: hysteresis · FLATTEN, LOCKED: latch, then a ramp; the mark by restart_policy",
        params=TrailingDrawdown,
        measure=Measure(unit="share"),
        principal="ladder",
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-03",
        key="max_loss_static",
        guard=Guard.DRAWDOWN,
        title="Static maximum loss",
        inequality="E > E_0 + F − act · M",
        effect="FLATTEN and latch; external floor: latch on_external",
        recovery="latch: release",
        params=StaticLoss,
        measure=Measure(unit="money"),
        principal="limit_pct",
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-04",
        key="max_loss_eod",
        guard=Guard.DRAWDOWN,
        title="End-of-day trailing maximum loss",
        inequality="E > max(E_0, max end-of-day balance) − act · M",
        effect="FLATTEN and latch; external floor: latch on_external",
        recovery="latch: release; the floor never falls",
        params=EodTrailingLoss,
        measure=Measure(unit="money"),
        principal="amount",
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-05",
        key="max_loss_intraday",
        guard=Guard.DRAWDOWN,
        title="Intraday trailing maximum loss",
        inequality="E > max_t E − act · M",
        effect="FLATTEN and latch; external floor: latch on_external",
        recovery="latch: release; the floor never falls",
        params=IntradayTrailingLoss,
        measure=Measure(unit="money"),
        principal="amount",
        measured=("intraday",),
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-06",
        key="period_loss",
        guard=Guard.DRAWDOWN,
        title="Weekly and monthly loss",
        inequality="E > A_period + F_period − level · L_period",
        effect="soft: THROTTLE 0.5 · warn: REDUCE_ONLY · act: FLATTEN and latch · external floor: latch on_external",
        recovery="latch: release; it fires again while the week or the month is still lost",
        params=PeriodLoss,
        measure=Measure(unit="money"),
        principal="weekly_pct",
        latch=True,
    ),
    RuleSpec(
        rule_id="LD-13",
        key="firm_daily_loss",
        guard=Guard.DRAWDOWN,
        title="Firm daily loss",
        inequality="Σ_accounts loss today < level · L_firm",
        effect="soft: THROTTLE 0.5 · warn: REDUCE_ONLY · act: FLATTEN and latch, every account of the firm",
        recovery="latch: release",
        params=FirmDailyLoss,
        measure=Measure(unit="money"),
        principal="limit_pct",
        latch=True,
    ),
)

SPECS: tuple[RuleSpec, ...] = tuple(sorted((*_FLOORS, *circuits.SPECS), key=lambda spec: spec.rule_id))
