"""Guard 6, execution and liquidity: the rules of order traffic (logic: ``guards.traffic``)."""

from __future__ import annotations

from decimal import Decimal

from regime_trading.core.rules.base import Guard, Measure, Merge, Number, RuleParams, RuleSpec, param


class OrderRate(RuleParams):
    per_s: int = param(10, unit="orders a second", merge=Merge.LOWER, ge=0)
    per_min: int = param(60, unit="orders a minute", merge=Merge.LOWER, ge=0)
    per_day: int = param(1000, unit="orders a day", merge=Merge.LOWER, ge=0)


class RepeatedExecution(RuleParams):
    max_fills_60s: int = param(5, unit="fills a minute, one asset and side", merge=Merge.LOWER, ge=0)
    max_round_trips_day: int = param(20, unit="round trips a day, one asset", merge=Merge.LOWER, ge=0)


class Duplicates(RuleParams):
    pass


class WorkingOrders(RuleParams):
    pass


class SelfMatch(RuleParams):
    pass


class FillQuality(RuleParams):
    max_slippage_bps: Number = param(Decimal(50), unit="basis points", merge=Merge.LOWER, gt=0)
    hold_s: int = param(1800, unit="seconds", merge=Merge.HIGHER, ge=0)


class Rejects(RuleParams):
    max_rejects_60s: int = param(5, unit="rejects a minute", merge=Merge.LOWER, ge=1)
    max_timeouts_60s: int = param(2, unit="orders without an answer a minute", merge=Merge.LOWER, ge=1)
    hold_s: int = param(1800, unit="seconds", merge=Merge.HIGHER, ge=0)


class DeadMan(RuleParams):
    max_heartbeat_age_s: Number = param(Decimal(10), unit="seconds", merge=Merge.LOWER, gt=0)
    hold_s: int = param(1800, unit="seconds", merge=Merge.HIGHER, ge=0)


class OrderTtl(RuleParams):
    max_age_s: Number = param(Decimal(86_400), unit="seconds", merge=Merge.LOWER, gt=0)


SPECS: tuple[RuleSpec, ...] = (
    RuleSpec(
        rule_id="XL-08",
        key="order_rate",
        guard=Guard.LIQUIDITY,
        title="Order rate",
        inequality="orders in a second ≤ per_s, in a minute ≤ per_min, in a day ≤ per_day",
        effect="PACE(0) of entries at a limit; below it entries beyond what is left wait; exits and cancels pass",
        recovery="AUTO",
        params=OrderRate,
        measure=Measure(unit="orders"),
        principal="per_min",
        inputs=("orders",),
    ),
    RuleSpec(
        rule_id="XL-09",
        key="repeated_execution",
        guard=Guard.LIQUIDITY,
        title="Repeated execution",
        inequality="fills of one asset and side in 60 s ≤ max_fills_60s; round trips a day ≤ max_round_trips_day",
        effect="REDUCE_ONLY and latch MANUAL",
        recovery="latch: MANUAL",
        params=RepeatedExecution,
        measure=Measure(unit="fills"),
        principal="max_fills_60s",
        inputs=("fills",),
        latch=True,
    ),
    RuleSpec(
        rule_id="XL-10",
        key="duplicates",
        guard=Guard.LIQUIDITY,
        title="Duplicate orders",
        inequality="no order of that asset and side sent in the last 2 s",
        effect="PACE(0) of the entry",
        recovery="AUTO",
        params=Duplicates,
        measure=Measure(unit="equity"),
        inputs=("orders",),
    ),
    RuleSpec(
        rule_id="XL-11",
        key="working_orders",
        guard=Guard.LIQUIDITY,
        title="Working orders",
        inequality="working entries of one asset ≤ what the proposal still wants to open",
        effect="CANCEL(i); what works counts as filled and is not sent again; unknown: PACE(0) of every entry",
        recovery="AUTO",
        params=WorkingOrders,
        measure=Measure(unit="equity"),
        inputs=("orders",),
    ),
    RuleSpec(
        rule_id="XL-12",
        key="self_match",
        guard=Guard.LIQUIDITY,
        title="Self-match within a firm",
        inequality="no other account of the firm on the other side of an entry",
        effect="PACE(0) of both entries; exits pass",
        recovery="AUTO",
        params=SelfMatch,
        measure=Measure(unit="equity"),
        inputs=("orders",),
        measured=("quotes",),
    ),
    RuleSpec(
        rule_id="XL-13",
        key="fill_quality",
        guard=Guard.LIQUIDITY,
        title="Fill quality",
        inequality="smoothed slippage_i ≤ max_slippage_bps",
        effect="BLOCK(i) for hold_s; third trip of a day: REDUCE_ONLY and latch MANUAL",
        recovery="TIMED; third trip of a day: MANUAL",
        params=FillQuality,
        measure=Measure(unit="bp"),
        principal="max_slippage_bps",
        inputs=("fills",),
        latch=True,
        timer=True,
    ),
    RuleSpec(
        rule_id="XL-14",
        key="rejects",
        guard=Guard.LIQUIDITY,
        title="Reject storm",
        inequality="rejects in 60 s < max_rejects_60s; orders without an answer in 60 s < max_timeouts_60s",
        effect="REDUCE_ONLY and latch for hold_s; timeouts: authority CANCEL_ONLY until reconciled",
        recovery="TIMED; third trip of a day: MANUAL",
        params=Rejects,
        measure=Measure(unit="rejects"),
        principal="max_rejects_60s",
        inputs=("orders",),
        latch=True,
    ),
    RuleSpec(
        rule_id="XL-16",
        key="dead_man",
        guard=Guard.LIQUIDITY,
        title="Dead man's switch",
        inequality="age of the heartbeat ≤ max_heartbeat_age_s",
        effect="CANCEL of entries, authority RISK_REDUCING, latch for hold_s",
        recovery="TIMED; third trip of a day: MANUAL",
        params=DeadMan,
        measure=Measure(unit="seconds"),
        principal="max_heartbeat_age_s",
        inputs=("heartbeat",),
        latch=True,
    ),
    RuleSpec(
        rule_id="XL-17",
        key="order_ttl",
        guard=Guard.LIQUIDITY,
        title="Order lifetime",
        inequality="age of a working entry ≤ max_age_s; its venue is open",
        effect="CANCEL(i)",
        recovery="AUTO",
        params=OrderTtl,
        measure=Measure(unit="seconds"),
        principal="max_age_s",
        inputs=("orders",),
    ),
)
