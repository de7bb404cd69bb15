"""Guard 4, volatility targeting: parameters and specifications of its rules (logic: ``guards.vol_target``)."""

from __future__ import annotations

from decimal import Decimal

from regime_trading.core.rules.base import (
    Fraction,
    Guard,
    Limit,
    Measure,
    Merge,
    Number,
    RuleParams,
    RuleSpec,
    param,
)


class BookVolatility(RuleParams):
    sigma_target: Limit = param(Decimal("0.15"), unit="annualised volatility", merge=Merge.LOWER)
    max_k_rise: Fraction = param(Decimal("0.25"), unit="book factor per session", merge=Merge.LOWER)
    min_k_change: Fraction = param(Decimal("0.05"), unit="book factor", merge=Merge.HIGHER)


class AssetVolatility(RuleParams):
    max_annual_vol: Limit = param(
        Decimal("Infinity"), unit="annualised contribution to volatility", merge=Merge.LOWER
    )


class VolatilityShock(RuleParams):
    sigmas: Number = param(Decimal(3), unit="standard deviations", merge=Merge.LOWER, gt=0)
    hold_s: int = param(3600, unit="seconds", merge=Merge.HIGHER, ge=0, le=31_536_000)
    market_throttle: Fraction = param(Decimal("0.5"), unit="throttle", merge=Merge.LOWER)


class RegimeBudget(RuleParams):
    trending: Fraction = param(Decimal(1), unit="throttle", merge=Merge.LOWER)
    mean_reverting: Fraction = param(Decimal(1), unit="throttle", merge=Merge.LOWER)
    volatile_trending: Fraction = param(Decimal("0.5"), unit="throttle", merge=Merge.LOWER)
    random: Fraction = param(Decimal("0.25"), unit="throttle", merge=Merge.LOWER)
    uncertain: Fraction = param(Decimal("0.25"), unit="throttle", merge=Merge.LOWER)
    min_confidence: Fraction = param(Decimal("0.5"), unit="confidence", merge=Merge.HIGHER)


class TailRisk(RuleParams):
    max_es: Limit = param(Decimal("Infinity"), unit="fraction of equity", merge=Merge.LOWER)
    confidence: Fraction = param(Decimal("0.975"), unit="confidence", merge=Merge.HIGHER, gt=0.5, lt=1)
    min_obs: int = param(250, unit="scenarios", merge=Merge.HIGHER, ge=1)


class UnknownVolatility(RuleParams):
    class_prior: Number = param(Decimal("0.60"), unit="annualised volatility", merge=Merge.HIGHER, gt=0)
    median_multiple: Number = param(Decimal("1.5"), unit="ratio", merge=Merge.HIGHER, ge=1)


SPECS: tuple[RuleSpec, ...] = (
    RuleSpec(
        rule_id="VT-01",
        key="sigma_target",
        guard=Guard.VOL_TARGET,
        title="Book volatility",
        inequality="σ̃(p, a) · k ≤ sigma_target",
        effect="BUDGET(vol); k rises by at most max_k_rise a session, and not by less than min_k_change below 1",
        recovery="AUTO",
        params=BookVolatility,
        measure=Measure(unit="annual"),
        principal="sigma_target",
        inputs=("close",),
        hard=False,
    ),
    RuleSpec(
        rule_id="VT-02",
        key="asset_vol",
        guard=Guard.VOL_TARGET,
        title="Volatility of one asset",
        inequality="σ_i · |w_i| ≤ max_annual_vol",
        effect="CLAMP(i); σ_i unknown: BLOCK(i)",
        recovery="AUTO",
        params=AssetVolatility,
        measure=Measure(unit="annual"),
        principal="max_annual_vol",
        inputs=("close",),
        hard=False,
    ),
    RuleSpec(
        rule_id="VT-03",
        key="vol_shock",
        guard=Guard.VOL_TARGET,
        title="Volatility shock",
        inequality="|15-minute return| ≤ sigmas · σ of 15-minute returns of the last day",
        effect="BLOCK(i) for hold_s; the market proxy: THROTTLE(market_throttle) for hold_s",
        recovery="TIMED",
        params=VolatilityShock,
        measure=Measure(unit="sigmas"),
        principal="sigmas",
        measured=("intraday",),
        hard=False,
        latch=True,
        timer=True,
    ),
    RuleSpec(
        rule_id="VT-04",
        key="regime_budget",
        guard=Guard.VOL_TARGET,
        title="Regime budget",
        inequality="book factor ≤ multiplier(label); confidence < min_confidence counts as uncertain",
        effect="THROTTLE",
        recovery="AUTO",
        params=RegimeBudget,
        measure=Measure(unit="confidence", at_least=True),
        hard=False,
    ),
    RuleSpec(
        rule_id="VT-05",
        key="tail_risk",
        guard=Guard.VOL_TARGET,
        title="Expected shortfall",
        inequality="ES of one bar at confidence ≤ max_es; the worse of historical and Cornish-Fisher",
        effect="BUDGET(tail); fewer than min_obs complete scenarios: BLOCK(all)",
        recovery="AUTO",
        params=TailRisk,
        measure=Measure(unit="equity"),
        principal="max_es",
        inputs=("close",),
        hard=False,
    ),
    RuleSpec(
        rule_id="VT-06",
        key="unknown_volatility",
        guard=Guard.VOL_TARGET,
        title="Unknown volatility",
        inequality="σ_i known and > 0",
        effect="BLOCK(i); σ_i = max(class_prior, median_multiple · median, last good), ρ = 1",
        recovery="AUTO",
        params=UnknownVolatility,
        measure=Measure(unit="symbols"),
        principal="class_prior",
        inputs=("close",),
        hard=False,
    ),
)
