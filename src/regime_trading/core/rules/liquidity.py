"""Guard 6, execution and liquidity: parameters and specifications of its rules (logic: ``guards.liquidity``).

Here are the rules of size and cost; those of traffic are in ``core.rules.traffic``.
"""

from __future__ import annotations

from decimal import Decimal

from regime_trading.core.rules import traffic
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


class OrderSize(RuleParams):
    max_notional_pct: Limit = param(Decimal("0.10"), unit="fraction of equity an order", merge=Merge.LOWER)
    max_notional_money: Limit = param(
        Decimal("Infinity"), unit="account currency an order", merge=Merge.LOWER
    )
    max_qty: Limit = param(Decimal("Infinity"), unit="units of the asset an order", merge=Merge.LOWER)
    reject_multiple: Number = param(Decimal(5), unit="ratio to the largest order", merge=Merge.LOWER, ge=1)


class Collar(RuleParams):
    entry_pct: Fraction = param(Decimal("0.01"), unit="fraction of the reference", merge=Merge.LOWER)
    fx_pct: Fraction = param(Decimal("0.005"), unit="fraction of the reference", merge=Merge.LOWER)
    crypto_pct: Fraction = param(Decimal("0.02"), unit="fraction of the reference", merge=Merge.LOWER)
    exit_ladder_max: Number = param(
        Decimal(8), unit="ratio to the collar of entries", merge=Merge.LOWER, ge=1
    )


class Participation(RuleParams):
    entry_adv: Fraction = param(Decimal("0.01"), unit="fraction of ADV a bar", merge=Merge.LOWER)
    exit_adv: Fraction = param(Decimal("0.05"), unit="fraction of ADV a bar", merge=Merge.LOWER)


class DaysToLiquidate(RuleParams):
    days: Number = param(Decimal(1), unit="days", merge=Merge.LOWER, gt=0)
    adv_share: Fraction = param(Decimal("0.10"), unit="fraction of ADV a day", merge=Merge.LOWER)
    unknown_adv_weight: Fraction = param(Decimal("0.005"), unit="fraction of equity", merge=Merge.LOWER)


class CostGate(RuleParams):
    max_cost_bps: Number = param(Decimal(100), unit="basis points of the entry", merge=Merge.LOWER, gt=0)
    k_impact: Number = param(Decimal(1), unit="ratio to σ_i · √(order_i / ADV_i)", merge=Merge.HIGHER, ge=0)


class Turnover(RuleParams):
    max_increase: Limit = param(Decimal("0.5"), unit="fraction of equity a bar", merge=Merge.LOWER)


class SmallOrders(RuleParams):
    min_notional: Number = param(Decimal(10), unit="account currency", merge=Merge.HIGHER, ge=0)
    dead_band: Fraction = param(Decimal("0.0025"), unit="fraction of equity", merge=Merge.OVERRIDE)


class BuyingPower(RuleParams):
    fee_pct: Fraction = param(Decimal("0.001"), unit="fraction of the notional", merge=Merge.HIGHER)


class Impact(RuleParams):
    max_impact_bps: Limit = param(Decimal(25), unit="basis points of the entry", merge=Merge.LOWER)
    k_impact: Number = param(Decimal(1), unit="ratio to σ_i · √(order_i / ADV_i)", merge=Merge.HIGHER, ge=0)


_SPECS: tuple[RuleSpec, ...] = (
    RuleSpec(
        rule_id="XL-01",
        key="order_size",
        guard=Guard.LIQUIDITY,
        title="Order size",
        inequality="|order_i| ≤ min(max_notional_pct · E, max_notional_money, max_qty); "
        "an opening leg ≤ reject_multiple of that",
        effect="SLICE(i); a larger opening leg: BLOCK(i)",
        recovery="AUTO",
        params=OrderSize,
        measure=Measure(unit="equity"),
        principal="max_notional_pct",
    ),
    RuleSpec(
        rule_id="XL-02",
        key="collar",
        guard=Guard.LIQUIDITY,
        title="Price collar",
        inequality="|limit price / reference − 1| ≤ collar of the class; exits: up to exit_ladder_max times it",
        effect="COLLAR(i); reference unknown: BLOCK(i)",
        recovery="AUTO",
        params=Collar,
        measure=Measure(unit="share"),
        principal="entry_pct",
        inputs=("close",),
        measured=("quotes",),
    ),
    RuleSpec(
        rule_id="XL-03",
        key="participation",
        guard=Guard.LIQUIDITY,
        title="Participation",
        inequality="|order_i| ≤ share · ADV_i a bar",
        effect="PACE(i)",
        recovery="AUTO",
        params=Participation,
        measure=Measure(unit="equity"),
        principal="entry_adv",
        inputs=("volume",),
    ),
    RuleSpec(
        rule_id="XL-04",
        key="liquidation",
        guard=Guard.LIQUIDITY,
        title="Days to liquidate",
        inequality="|w_i| · E ≤ days · adv_share · ADV_i; ADV unknown: |w_i| ≤ unknown_adv_weight",
        effect="CLAMP(i)",
        recovery="AUTO",
        params=DaysToLiquidate,
        measure=Measure(unit="equity"),
        principal="days",
        inputs=("volume",),
    ),
    RuleSpec(
        rule_id="XL-05",
        key="cost_gate",
        guard=Guard.LIQUIDITY,
        title="Expected cost of an entry",
        inequality="spread_i / 2 + k_impact · σ_i · √(order_i / ADV_i) ≤ max_cost_bps",
        effect="BLOCK(i)",
        recovery="AUTO",
        params=CostGate,
        measure=Measure(unit="bp"),
        principal="max_cost_bps",
        inputs=("close", "quotes", "volume"),
    ),
    RuleSpec(
        rule_id="XL-06",
        key="turnover",
        guard=Guard.LIQUIDITY,
        title="Turnover of increases",
        inequality="Σ increases ≤ max_increase a bar",
        effect="BUDGET(turnover) on the step",
        recovery="AUTO",
        params=Turnover,
        measure=Measure(unit="equity"),
        principal="max_increase",
    ),
    RuleSpec(
        rule_id="XL-07",
        key="small_orders",
        guard=Guard.LIQUIDITY,
        title="Lot, minimum notional, dead band",
        inequality="entry notional ≥ min_notional and the venue's own minimum; |Δw| ≥ dead_band for elective changes",
        effect="the leg is skipped",
        recovery="AUTO",
        params=SmallOrders,
        measure=Measure(unit="money", at_least=True),
        principal="min_notional",
    ),
    RuleSpec(
        rule_id="XL-15",
        key="buying_power",
        guard=Guard.LIQUIDITY,
        title="Buying power",
        inequality="(Σ increases + working entries) · (1 + fee_pct) ≤ buying power",
        effect="BUDGET(turnover) on the step; unknown: BLOCK of every increase",
        recovery="AUTO",
        params=BuyingPower,
        measure=Measure(unit="equity"),
        principal="fee_pct",
        inputs=("margin",),
    ),
    RuleSpec(
        rule_id="XL-18",
        key="impact",
        guard=Guard.LIQUIDITY,
        title="Market impact of an entry",
        inequality="k_impact · σ_i · √(order_i / ADV_i) ≤ max_impact_bps",
        effect="PACE(i)",
        recovery="AUTO",
        params=Impact,
        measure=Measure(unit="bp"),
        principal="max_impact_bps",
        inputs=("close", "volume"),
    ),
)
SPECS: tuple[RuleSpec, ...] = tuple(sorted((*_SPECS, *traffic.SPECS), key=lambda spec: spec.rule_id))
