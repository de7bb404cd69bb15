"""Guard 1, data sanity: parameters and specifications of its rules (logic: ``guards.data_sanity``)."""

from __future__ import annotations

from decimal import Decimal

from regime_trading.core.rules.base import (
    Fraction,
    Guard,
    Measure,
    Merge,
    Number,
    Release,
    ReleaseName,
    RuleParams,
    RuleSpec,
    param,
)


class Recovering(RuleParams):
    """Base of rules that let go of an asset only after so many clean observations in a row."""

    clean_observations: int = param(3, unit="observations", merge=Merge.HIGHER, ge=1, le=100)


class StalePrice(Recovering):
    max_age_bars: Number = param(Decimal("1.5"), unit="bars", merge=Merge.LOWER, gt=0)
    max_quote_age_s: Number = param(Decimal(15), unit="seconds", merge=Merge.LOWER, gt=0)
    hold_age_s: Number = param(Decimal(300), unit="seconds", merge=Merge.LOWER, gt=0)
    frozen_updates: int = param(50, unit="updates", merge=Merge.LOWER, ge=1)
    frozen_sigmas: Number = param(Decimal(3), unit="standard deviations", merge=Merge.LOWER, ge=0)


class MissingPrice(Recovering):
    stress_haircut: Fraction = param(Decimal("0.10"), unit="fraction of price", merge=Merge.HIGHER)


class PriceJump(RuleParams):
    k_sigma: Number = param(Decimal(8), unit="daily standard deviations", merge=Merge.LOWER, gt=0)
    abs_move: Fraction = param(Decimal("0.20"), unit="log return", merge=Merge.LOWER)


class BookSanity(Recovering):
    max_spread_bps: Number = param(Decimal(30), unit="basis points of the mid", merge=Merge.LOWER, gt=0)
    hard_multiple: Number = param(Decimal(5), unit="ratio to max_spread_bps", merge=Merge.LOWER, ge=1)


class BarIntegrity(RuleParams):
    min_completeness: Fraction = param(Decimal("0.95"), unit="fraction of sessions", merge=Merge.HIGHER)
    max_gap_bars: int = param(3, unit="bars", merge=Merge.LOWER, ge=0)


class Divergence(Recovering):
    max_div_bps: Number = param(Decimal(10), unit="basis points", merge=Merge.LOWER, gt=0)
    after_s: Number = param(Decimal(10), unit="seconds", merge=Merge.LOWER, ge=0)


class Clock(RuleParams):
    max_skew_ms: Number = param(Decimal(100), unit="milliseconds", merge=Merge.LOWER, gt=0)
    future_tolerance_ms: Number = param(Decimal(500), unit="milliseconds", merge=Merge.LOWER, ge=0)


class Reconciliation(RuleParams):
    equity_tolerance: Fraction = param(Decimal("0.002"), unit="fraction of own equity", merge=Merge.LOWER)
    latch_gap: Fraction = param(Decimal("0.01"), unit="fraction of own equity", merge=Merge.LOWER)
    min_reconciled: int = param(2, unit="reconciliations", merge=Merge.HIGHER, ge=1)
    release: ReleaseName = param(Release.MANUAL, unit="", merge=Merge.ORDERED)


class FxRates(Recovering):
    fx_max_age_s: Number = param(Decimal(60), unit="seconds", merge=Merge.LOWER, gt=0)
    weekend_max_age_s: Number = param(Decimal(86_400), unit="seconds", merge=Merge.LOWER, gt=0)
    haircut: Fraction = param(Decimal("0.02"), unit="fraction of the rate", merge=Merge.HIGHER)


class CorporateAction(RuleParams):
    tolerance: Fraction = param(Decimal("0.02"), unit="fraction of the ratio", merge=Merge.HIGHER)


class ProposalSanity(RuleParams):
    max_age_bars: Number = param(Decimal(7), unit="bars", merge=Merge.LOWER, gt=0)
    abs_weight_max: Number = param(Decimal(2), unit="fraction of equity", merge=Merge.LOWER, gt=0)
    gross_max: Number = param(Decimal(10), unit="fraction of equity", merge=Merge.LOWER, gt=0)


class CovarianceHealth(RuleParams):
    min_obs: int = param(60, unit="returns", merge=Merge.HIGHER, ge=20)
    max_condition: Number = param(Decimal(1_000_000), unit="ratio of eigenvalues", merge=Merge.LOWER, gt=1)


class InstrumentMetadata(Recovering):
    max_age_s: Number = param(Decimal(604_800), unit="seconds", merge=Merge.LOWER, gt=0)


class EquityFreshness(RuleParams):
    max_age_bars: Number = param(Decimal(1), unit="bars", merge=Merge.LOWER, gt=0)


class MarketStatus(RuleParams):
    auction_collar: Fraction = param(Decimal("0.01"), unit="fraction of price", merge=Merge.LOWER)
    reopen_wait_s: Number = param(Decimal(60), unit="seconds", merge=Merge.HIGHER, ge=0)


SPECS: tuple[RuleSpec, ...] = (
    RuleSpec(
        rule_id="DS-01",
        key="stale_price",
        guard=Guard.DATA_SANITY,
        title="Stale price",
        inequality="age_i ≤ max_age_bars · bar; quote ages ≤ max_quote_age_s; no frozen feed",
        effect="BLOCK(i); held beyond hold_age_s: REDUCE_ONLY",
        recovery="AUTO after clean_observations in a row",
        params=StalePrice,
        measure=Measure(unit="bars"),
        principal="max_age_bars",
        inputs=("close",),
        recovers=True,
    ),
    RuleSpec(
        rule_id="DS-02",
        key="missing_price",
        guard=Guard.DATA_SANITY,
        title="Missing or non-positive price",
        inequality="P_i > 0 and finite",
        effect="BLOCK(i), no order; held: last good mark less a haircut",
        recovery="AUTO after clean_observations in a row",
        params=MissingPrice,
        measure=Measure(unit="symbols"),
        principal="stress_haircut",
        inputs=("close",),
        recovers=True,
    ),
    RuleSpec(
        rule_id="DS-03",
        key="price_jump",
        guard=Guard.DATA_SANITY,
        title="Price jump",
        inequality="|ln(P_i / P_ref,i)| ≤ max(k_sigma · σ_i, abs_move)",
        effect="NO_TRADE(i) until the next bar confirms; loss rules see the adverse mark",
        recovery="AUTO",
        params=PriceJump,
        measure=Measure(unit="move"),
        principal="k_sigma",
        inputs=("close",),
    ),
    RuleSpec(
        rule_id="DS-04",
        key="book",
        guard=Guard.DATA_SANITY,
        title="Crossed, locked or wide book",
        inequality="bid_i < ask_i, spread_i ≤ max_spread_bps, tape of i not broken",
        effect="BLOCK(i); crossed, locked or spread_i > hard_multiple · max_spread_bps: NO_TRADE(i)",
        recovery="AUTO after clean_observations in a row",
        params=BookSanity,
        measure=Measure(unit="bp"),
        principal="max_spread_bps",
        aliases=("max_spread_bps",),
        inputs=("quotes",),
        recovers=True,
    ),
    RuleSpec(
        rule_id="DS-05",
        key="bar_integrity",
        guard=Guard.DATA_SANITY,
        title="Bar integrity",
        inequality="completeness_i ≥ min_completeness and longest gap_i ≤ max_gap_bars",
        effect="BLOCK(i)",
        recovery="AUTO",
        params=BarIntegrity,
        measure=Measure(unit="share", at_least=True),
        principal="min_completeness",
        inputs=("close", "bars"),
    ),
    RuleSpec(
        rule_id="DS-06",
        key="divergence",
        guard=Guard.DATA_SANITY,
        title="Cross-source divergence",
        inequality="|P_i / P_second,i − 1| ≤ max_div_bps, or above it for less than after_s",
        effect="BLOCK(i)",
        recovery="AUTO after clean_observations in a row",
        params=Divergence,
        measure=Measure(unit="bp"),
        principal="max_div_bps",
        measured=("second_source",),
        recovers=True,
    ),
    RuleSpec(
        rule_id="DS-07",
        key="clock",
        guard=Guard.DATA_SANITY,
        title="Clock",
        inequality="|skew| ≤ max_skew_ms; no row of i later than now by more than future_tolerance_ms",
        effect="REDUCE_ONLY; a row from the future: BLOCK(i)",
        recovery="AUTO",
        params=Clock,
        measure=Measure(unit="milliseconds"),
        principal="max_skew_ms",
        measured=("clock",),
    ),
    RuleSpec(
        rule_id="DS-08",
        key="reconciliation",
        guard=Guard.DATA_SANITY,
        title="Reconciliation",
        inequality="|E_broker / E_own − 1| ≤ equity_tolerance, no position differs, min_reconciled clean in a row",
        effect="REDUCE_ONLY; quantity differs: BLOCK(i); sign differs: NO_TRADE(i); gap > latch_gap: LATCH",
        recovery="AUTO after min_reconciled clean in a row; latch: release",
        params=Reconciliation,
        measure=Measure(unit="share"),
        principal="equity_tolerance",
        aliases=("recon",),
        measured=("recon",),
        latch=True,
    ),
    RuleSpec(
        rule_id="DS-09",
        key="fx_rate",
        guard=Guard.DATA_SANITY,
        title="Exchange rate",
        inequality="FX_i > 0 and finite, age(FX_i) ≤ fx_max_age_s",
        effect="BLOCK(i); held: last good rate less a haircut",
        recovery="AUTO after clean_observations in a row",
        params=FxRates,
        measure=Measure(unit="seconds"),
        principal="fx_max_age_s",
        inputs=("fx",),
        recovers=True,
    ),
    RuleSpec(
        rule_id="DS-10",
        key="corporate_action",
        guard=Guard.DATA_SANITY,
        title="Corporate action without a record",
        inequality="|P_i / P_ref,i / r − 1| > tolerance for every split ratio r, or a record explains the move",
        effect="NO_TRADE(i) until a person adopts it",
        recovery="MANUAL: adopted by a person",
        params=CorporateAction,
        measure=Measure(unit="ratio", at_least=True),
        principal="tolerance",
        inputs=("close",),
        timer=True,
    ),
    RuleSpec(
        rule_id="DS-11",
        key="proposal_sanity",
        guard=Guard.DATA_SANITY,
        title="Proposal sanity",
        inequality="finite, |p_i| ≤ abs_weight_max, Σ|p| ≤ gross_max, age ≤ max_age_bars",
        effect="the whole proposal is refused: hold, reductions allowed",
        recovery="AUTO",
        params=ProposalSanity,
        measure=Measure(unit="bars"),
        principal="max_age_bars",
    ),
    RuleSpec(
        rule_id="DS-12",
        key="covariance_health",
        guard=Guard.DATA_SANITY,
        title="Covariance health",
        inequality="n_obs,i ≥ min_obs and cond(Σ) ≤ max_condition",
        effect="BLOCK(i); book volatility from VT-06",
        recovery="AUTO",
        params=CovarianceHealth,
        measure=Measure(unit="returns", at_least=True),
        principal="min_obs",
        inputs=("close",),
    ),
    RuleSpec(
        rule_id="DS-13",
        key="instrument_metadata",
        guard=Guard.DATA_SANITY,
        title="Instrument metadata",
        inequality="age of the metadata of i ≤ max_age_s; lot, multiplier, minimum notional, margin and expiry known",
        effect="BLOCK(i)",
        recovery="AUTO after clean_observations in a row",
        params=InstrumentMetadata,
        measure=Measure(unit="seconds"),
        principal="max_age_s",
        inputs=("instruments",),
        recovers=True,
    ),
    RuleSpec(
        rule_id="DS-14",
        key="equity_freshness",
        guard=Guard.DATA_SANITY,
        title="Equity freshness",
        inequality="age(E) ≤ max_age_bars · bar",
        effect="REDUCE_ONLY",
        recovery="AUTO",
        params=EquityFreshness,
        measure=Measure(unit="bars"),
        principal="max_age_bars",
    ),
    RuleSpec(
        rule_id="DS-15",
        key="market_status",
        guard=Guard.DATA_SANITY,
        title="Market status",
        inequality="i not halted, limit-locked or of unknown status; since a resumption ≥ reopen_wait_s",
        effect="NO_TRADE(i); auction: limit orders within auction_collar; after a resumption: BLOCK(i)",
        recovery="AUTO",
        params=MarketStatus,
        measure=Measure(unit="seconds", at_least=True),
        principal="reopen_wait_s",
        inputs=("status",),
    ),
)
