"""Guard 5, correlation and concentration: parameters and specifications (logic: ``guards.concentration``)."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from regime_trading.core.rules.base import (
    Fraction,
    Frozen,
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

UNLIMITED_SHARE = Decimal("Infinity")


class SingleName(RuleParams):
    max_weight: Limit = param(Decimal("0.20"), unit="fraction of equity", merge=Merge.LOWER)


class Gross(RuleParams):
    max_gross: Limit = param(Decimal("1.0"), unit="fraction of equity", merge=Merge.LOWER)


class Net(RuleParams):
    max_net: Limit = param(Decimal("1.0"), unit="fraction of equity", merge=Merge.LOWER)


class Group(RuleParams):
    max_group: Limit = param(Decimal("0.40"), unit="fraction of equity", merge=Merge.LOWER)
    max_unclassified: Limit = param(Decimal("0.10"), unit="fraction of equity", merge=Merge.LOWER)


class Cluster(RuleParams):
    rho_in: Fraction = param(Decimal("0.70"), unit="correlation", merge=Merge.LOWER)
    rho_out: Fraction = param(Decimal("0.60"), unit="correlation", merge=Merge.LOWER)
    max_cluster: Limit = param(UNLIMITED_SHARE, unit="fraction of equity", merge=Merge.LOWER)
    min_obs: int = param(60, unit="returns", merge=Merge.HIGHER, ge=1)

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.rho_out > self.rho_in:
            raise ValueError(f"expected rho_out ≤ rho_in ({self.rho_in}), found {self.rho_out}")
        return self


class Pair(RuleParams):
    rho: Fraction = param(Decimal("0.85"), unit="correlation", merge=Merge.LOWER)
    max_pair: Limit = param(UNLIMITED_SHARE, unit="fraction of equity", merge=Merge.LOWER)


class MarketBeta(RuleParams):
    max_beta: Limit = param(Decimal("Infinity"), unit="beta", merge=Merge.LOWER)


class MaxPositions(RuleParams):
    count: int = param(10, unit="positions", merge=Merge.LOWER, ge=0)


class ScalingStep(Frozen):
    """From an end-of-day profit of ``eod_profit_ge`` on, ``n`` contracts; once reached, for good."""

    eod_profit_ge: Number
    n: Limit


MAX_STEPS = 16


def _check_scaling(steps: tuple[ScalingStep, ...]) -> tuple[ScalingStep, ...]:
    if len(steps) > MAX_STEPS:
        raise ValueError(f"expected at most {MAX_STEPS} steps, found {len(steps)}")
    for below, above in itertools.pairwise(steps):
        if above.eod_profit_ge <= below.eod_profit_ge or above.n < below.n:
            raise ValueError(
                "expected steps of rising profit and no fewer contracts, found "
                f"{above.n} from {above.eod_profit_ge} after {below.n} from {below.eod_profit_ge}"
            )
    return steps


Scaling = Annotated[tuple[ScalingStep, ...], AfterValidator(_check_scaling)]


class MaxContracts(RuleParams):
    mini_equivalents: Limit = param(Decimal("Infinity"), unit="contracts", merge=Merge.LOWER)
    scaling: Scaling = param((), unit="contracts by money", merge=Merge.STEPS)


class RiskContribution(RuleParams):
    max_share: ShareLimit = param(UNLIMITED_SHARE, unit="share of variance", merge=Merge.LOWER)


class CorrelationBreak(RuleParams):
    sigmas: Number = param(Decimal(2), unit="standard deviations", merge=Merge.LOWER, gt=0)
    throttle: Fraction = param(Decimal("0.5"), unit="throttle", merge=Merge.LOWER)
    hold_days: int = param(1, unit="calendar days", merge=Merge.HIGHER, ge=0, le=366)


class FirmIssuer(RuleParams):
    max_firm_weight: Limit = param(UNLIMITED_SHARE, unit="fraction of equity of the firm", merge=Merge.LOWER)


class Leverage(RuleParams):
    max_leverage: Limit = param(Decimal("1.0"), unit="fraction of equity", merge=Merge.LOWER, le=10)
    margin_share: ShareLimit = param(Decimal("0.60"), unit="fraction of equity", merge=Merge.LOWER)


SPECS: tuple[RuleSpec, ...] = (
    RuleSpec(
        rule_id="CC-01",
        key="single_name",
        guard=Guard.CONCENTRATION,
        title="Single name",
        inequality="|w_i| ≤ max_weight, and Σ|w| over one underlying",
        effect="CLAMP(i); SCALE_A(underlying)",
        recovery="AUTO",
        params=SingleName,
        measure=Measure(unit="equity"),
        principal="max_weight",
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-02",
        key="gross",
        guard=Guard.CONCENTRATION,
        title="Gross exposure",
        inequality="Σ|w| ≤ max_gross",
        effect="SCALE_A(all)",
        recovery="AUTO",
        params=Gross,
        measure=Measure(unit="equity"),
        principal="max_gross",
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-03",
        key="net",
        guard=Guard.CONCENTRATION,
        title="Net exposure",
        inequality="|Σw| ≤ max_net",
        effect="BUDGET(net)",
        recovery="AUTO",
        params=Net,
        measure=Measure(unit="equity"),
        principal="max_net",
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-04",
        key="group",
        guard=Guard.CONCENTRATION,
        title="Group exposure",
        inequality="Σ_g|w| ≤ max_group (max_unclassified where the group is unknown)",
        effect="SCALE_A(group)",
        recovery="AUTO",
        params=Group,
        measure=Measure(unit="equity"),
        principal="max_group",
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-05",
        key="cluster",
        guard=Guard.CONCENTRATION,
        title="Correlated cluster",
        inequality="Σ_cluster|w| ≤ max_cluster; linked where ρ_ij · sides > rho_in (rho_out where held)",
        effect="SCALE_A(cluster); ρ unknown counts as linked",
        recovery="AUTO",
        params=Cluster,
        measure=Measure(unit="equity"),
        principal="max_cluster",
        inputs=("close",),
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-06",
        key="pair",
        guard=Guard.CONCENTRATION,
        title="Correlated pair",
        inequality="|w_i| + |w_j| ≤ max_pair where ρ_ij · side_i · side_j > rho",
        effect="SCALE_A(pair); ρ unknown counts as 1",
        recovery="AUTO",
        params=Pair,
        measure=Measure(unit="equity"),
        principal="max_pair",
        inputs=("close",),
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-07",
        key="beta",
        guard=Guard.CONCENTRATION,
        title="Market beta",
        inequality="|Σ β_i w_i| ≤ max_beta",
        effect="BUDGET(beta); β_i unknown: BLOCK(i), and it counts on either side",
        recovery="AUTO",
        params=MarketBeta,
        measure=Measure(unit="beta"),
        principal="max_beta",
        inputs=("close",),
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-08",
        key="max_positions",
        guard=Guard.CONCENTRATION,
        title="Number of positions",
        inequality="rank of |p_i| ≤ count, ties by symbol",
        effect="BLOCK(i)",
        recovery="AUTO",
        params=MaxPositions,
        measure=Measure(unit="positions"),
        principal="count",
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-09",
        key="max_contracts",
        guard=Guard.CONCENTRATION,
        title="Number of contracts",
        inequality="Σ mini-equivalents ≤ min(mini_equivalents, scaling), working entries included",
        effect="SCALE_A(futures), CANCEL of entries beyond it; size of a contract unknown: BLOCK(i)",
        recovery="AUTO",
        params=MaxContracts,
        measure=Measure(unit="contracts"),
        principal="mini_equivalents",
        inputs=("instruments",),
    ),
    RuleSpec(
        rule_id="CC-10",
        key="risk_contribution",
        guard=Guard.CONCENTRATION,
        title="Risk contribution",
        inequality="w_i (Σw)_i / wᵀΣw ≤ max_share of the proposal",
        effect="SCALE_A(i) by max_share over its share, in one pass; σ_i unknown: BLOCK(i)",
        recovery="AUTO",
        params=RiskContribution,
        measure=Measure(unit="share"),
        principal="max_share",
        inputs=("close",),
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-11",
        key="correlation_break",
        guard=Guard.CONCENTRATION,
        title="Correlation break",
        inequality="shift of mean |ρ| ≤ sigmas",
        effect="THROTTLE(throttle) for hold_days",
        recovery="TIMED",
        params=CorrelationBreak,
        measure=Measure(unit="sigmas"),
        principal="sigmas",
        measured=("correlation_shift",),
        hard=False,
        latch=True,
    ),
    RuleSpec(
        rule_id="CC-12",
        key="firm_issuer",
        guard=Guard.CONCENTRATION,
        title="Issuer over the firm",
        inequality="Σ over the firm's accounts of money in one underlying ≤ max_firm_weight · Σ equity",
        effect="CLAMP(i) pro rata to what each account asks for or holds; equity unknown: BLOCK(firm)",
        recovery="AUTO",
        params=FirmIssuer,
        measure=Measure(unit="equity"),
        principal="max_firm_weight",
        hard=False,
    ),
    RuleSpec(
        rule_id="CC-13",
        key="leverage",
        guard=Guard.CONCENTRATION,
        title="Leverage and margin",
        inequality="Σ|w| ≤ max_leverage, and Σ margin_i |w_i| ≤ margin_share",
        effect="SCALE_A(all); a margin rate that is not known counts as 1",
        recovery="AUTO",
        params=Leverage,
        measure=Measure(unit="equity"),
        principal="max_leverage",
    ),
)
