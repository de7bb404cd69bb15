"""The features of a state of the RL dataset, one table: columns, masks, guide and tests follow from it.

A number that is not known, or that does not exist for an account (a floor that is not set), is NaN in its column and
0 in the mask of its block; it is never 0. Everything in a block was known at the block's ``ts_known``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from regime_trading.core.numbers import F8, I8

FEATURE_SET_VERSION = "4"
#: Versions that can be read; what an older one lacks is not known there.
READABLE_VERSIONS: tuple[str, ...] = ("3", "4")

Block = Literal["portfolio", "market", "asset", "constraint"]
Per = Literal["row", "asset"]
BLOCKS: tuple[Block, ...] = get_args(Block)
#: Rules whose floors on equity are measured (``guards.floors.floors``).
FLOORS: tuple[str, ...] = ("LD-01", "LD-02", "LD-03", "LD-04", "LD-05", "LD-06", "LD-16")
TIERS: tuple[str, ...] = ("LT", "MT", "ST")
MAX_IN_MASK = 63


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a state, float64.

    Parameters
    ----------
    name : str
    block : str
        What it describes; a block has one ``ts_known``.
    per : str
        ``row``: one number a decision; ``asset``: one for each of ``symbols``, a list column.
    unit : str
    nan : str
        When there is no number.
    known : str
        What its time of knowledge is that of.
    doc : str
    since : str
        Version of the feature set that brought it.
    """

    name: str
    block: Block
    per: Per
    unit: str
    nan: str
    known: str
    doc: str
    since: str = "4"


_MARK, _STATE, _BAR = "the bar's marks", "the account's memory before the decision", "the bar"
_FIT, _TAPE = "the bar and the fit in force", "the end of the tape's stretch"
_PROPOSAL, _MATRIX, _RULES = "the proposal", "the bar and the matrix in force", "every other block"
_NOT_TOLD = "a request does not tell it"
_NO_WEIGHT, _NO_EQUITY, _NEVER = (
    "a position has no mark, or the equity is not known",
    "equity not known",
    "never",
)


def _portfolio(name: str, unit: str, nan: str, known: str, doc: str, since: str = "4") -> Feature:
    return Feature(name, "portfolio", "row", unit, nan, known, doc, since)


def _market(
    name: str, unit: str, nan: str, known: str, doc: str, since: str = "4", per: Per = "row"
) -> Feature:
    return Feature(name, "market", per, unit, nan, known, doc, since)


def _asset(name: str, unit: str, nan: str, known: str, doc: str, since: str = "4") -> Feature:
    return Feature(name, "asset", "asset", unit, nan, known, doc, since)


def _constraint(name: str, unit: str, nan: str, doc: str, since: str = "4", per: Per = "row") -> Feature:
    return Feature(name, "constraint", per, unit, nan, _RULES, doc, since)


def floor_column(rule_id: str, what: Literal["money", "share"]) -> str:
    """Column of the distance to a rule's floor: ``floor_money_ld_01``."""
    return f"floor_{what}_{rule_id.lower().replace('-', '_')}"


def tier_column(tier: str, what: Literal["label", "confidence", "risk_state"]) -> str:
    """Column of the regime on the bars of a tier: ``tier_lt_label``."""
    return f"tier_{tier.lower()}_{what}"


def _floors() -> tuple[Feature, ...]:
    none = "no such floor, or it is not known"
    return tuple(
        feature
        for rule_id in FLOORS
        for feature in (
            _portfolio(
                floor_column(rule_id, "money"), "account currency", none, _MARK,
                f"Equity above the floor at which {rule_id} acts; negative below it.",
            ),
            _portfolio(
                floor_column(rule_id, "share"), "fraction of equity", f"{none}; equity ≤ 0", _MARK,
                f"The same for {rule_id} as a share of equity.",
            ),
        )
    )  # fmt: skip


def _tiers() -> tuple[Feature, ...]:
    none = "the run has no such tier"
    known = "the last complete bar of the tier"
    return tuple(
        feature
        for tier in TIERS
        for feature in (
            _market(
                tier_column(tier, "label"), "code", none, known, f"Label of the market on the bars of {tier}."
            ),
            _market(tier_column(tier, "confidence"), "0 to 1", none, known, f"Its confidence on {tier}."),
            _market(
                tier_column(tier, "risk_state"), "0 … K−1", f"{none}, or its state is not known", known,
                f"Risk state of the market on {tier}.",
            ),
        )
    )  # fmt: skip


FEATURES: tuple[Feature, ...] = (
    _portfolio("equity", "account currency", _NO_EQUITY, _MARK, "Equity at conservative marks.", "3"),
    _portfolio("drawdown", "fraction", "LD-02 is off, or equity not known", _MARK, "What LD-02 measures.", "3"),
    _portfolio("unit_drawdown", "fraction", _NO_EQUITY, _MARK, "Unit value below its high-water mark."),
    _portfolio(
        "loss_today_share", "fraction of the limit", "no daily limit", _MARK,
        "The day's loss over the daily limit; the worse of the account's and the firm's.", "3",
    ),
    _portfolio(
        "static_loss_share", "fraction of the limit", "no static limit", _MARK, "Loss over LD-03's limit.", "3"
    ),
    _portfolio(
        "open_profit_share", "fraction of equity", "equity or balance not known, or equity ≤ 0", _MARK,
        "Equity less balance: what is open.",
    ),
    *_floors(),
    _portfolio("gross", "fraction of equity", _NO_WEIGHT, _MARK, "Sum of absolute weights.", "3"),
    _portfolio("net", "fraction of equity", _NO_WEIGHT, _MARK, "Sum of weights.", "3"),
    _portfolio(
        "sigma_book", "fraction a year", _NO_WEIGHT, _MARK, "Volatility of the book held now.", "3"
    ),
    _portfolio(
        "herfindahl", "1/N to 1", "the book is flat (version 3: 0), or a weight is not known", _MARK,
        "Sum of squared weights over squared gross.", "3",
    ),
    _portfolio(
        "turnover_last", "fraction of equity", "equity not known or ≤ 0", "the bar's fills",
        "Notional filled at this bar, before the decision.",
    ),
    _portfolio("bars_since_trade", "bars", "no trade yet", _STATE, "Bars since the last fill; 0 = at this bar."),
    _portfolio("open_latches", "count", _NEVER, _STATE, "Latches that are held before the decision."),
    _portfolio("proposal_age_bars", "bars", "no proposal", _PROPOSAL, "Age of the oldest basket's proposal.", "3"),
    _market("regime_label", "code", _NOT_TOLD, _FIT, "Market regime, in the order of `RegimeLabel`.", "3"),
    _market("regime_confidence", "0 to 1", _NOT_TOLD, _FIT, "Its confidence after every cap.", "3"),
    _market("risk_state", "0 … K−1", "too few returns", _FIT, "Risk state of the market, calm to turbulent."),
    _market("risk_probability", "0 to 1", "too few returns", _FIT, "Filtered probability of that state."),
    _market(
        "calm_probability", "0 to 1", "too few returns, or K > 2 in another state", _FIT,
        "Probability of state 0.",
    ),
    _market(
        "turbulent_probability", "0 to 1", "too few returns, or K > 2 in another state", _FIT,
        "Probability of state K−1.",
    ),
    _market(
        "risk_entropy", "bits", "too few returns, or K > 2", _FIT, "Entropy of the probabilities of the states."
    ),
    _market("risk_margin", "0 to 1", "too few returns", _FIT, "How far the model is from changing its mind."),
    _market("risk_duration_bars", "bars", "not identified", _FIT, "Expected duration of the state."),
    _market("risk_flips_per_bar", "per bar", "too few returns", _FIT, "How often the state changed lately."),
    _market("structure_label", "code", "too few returns", _BAR, "Trending, mean reverting, random."),
    _market("structure_confidence", "0 to 1", "too few returns", _BAR, "Its confidence."),
    *_tiers(),
    _market("market_return", "log return", "no return at this bar", _BAR, "Of the market series, this bar."),
    _market(
        "market_sigma", "per bar", "a return of the last 21 is missing", _BAR,
        "Standard deviation of the market's last 21 returns.",
    ),
    _market(
        "vol_of_vol", "log", "any of the last 63 market sigmas is missing or 0", _BAR,
        "Standard deviation of the logarithm of the last 63 market sigmas.",
    ),
    _market(
        "breadth_up", "fraction", "no momentum is known", _BAR, "Share of the traded assets with momentum above 0."
    ),
    _market(
        "breadth_turbulent", "fraction", "no risk state is known", _FIT,
        "Share of the traded assets in the most turbulent state.",
    ),
    _market("mean_correlation", "−1 to 1", "no matrix yet, or one asset", _MATRIX, "Mean of all pairs in force."),
    _market("session_sin", "−1 to 1", "the source has no session clock", _BAR, "Time within the session, sine."),
    _market("session_cos", "−1 to 1", "the source has no session clock", _BAR, "The same, cosine."),
    _market("week_sin", "−1 to 1", _NEVER, _BAR, "Day of the week (UTC, Monday first), sine."),
    _market("week_cos", "−1 to 1", _NEVER, _BAR, "The same, cosine."),
    _market("year_sin", "−1 to 1", _NEVER, _BAR, "Day of the year, sine.", "3"),
    _market("year_cos", "−1 to 1", _NEVER, _BAR, "The same, cosine.", "3"),
    _market("to_event_days", "days", "none is scheduled", "the calendar of events", "To the next event.", "3"),
    _market("to_event_minutes", "minutes", "none is scheduled", "the calendar of events", "The same in minutes."),
    _market("spread_bps", "basis points", "not known", _TAPE, "Spread in force, measured or declared.", "3", "asset"),
    _market(
        "book", "code", "no quotes", _TAPE, "0 two-sided, 1 locked, 2 crossed. Version 3 said −1 for none.", "3",
        "asset",
    ),
    _market(
        "tape_grade", "code", "no tape", _TAPE, "0 healthy … 3 broken. Version 3 said −1 for none.", "3", "asset"
    ),
    _market("tape_score", "0 to 100", "no tape", _TAPE, "Health of the tape.", per="asset"),
    _market(
        "ofi_depths", "mean depths", "no quotes", _TAPE, "Order-flow imbalance over the mean size at the touch.",
        per="asset",
    ),
    _market(
        "microprice_gap_bps", "basis points", "no quotes", _TAPE, "Microprice less mid at the last quote.",
        per="asset",
    ),
    _market("asset_label", "code", "no regimes were handed in", _FIT, "Regime of the asset itself.", per="asset"),
    _market("asset_confidence", "0 to 1", "no regimes were handed in", _FIT, "Its confidence.", per="asset"),
    _market("asset_risk_state", "0 … K−1", "too few returns", _FIT, "Its risk state.", per="asset"),
    _market("asset_risk_probability", "0 to 1", "too few returns", _FIT, "Its probability.", per="asset"),
    _market("momentum", "log return", "too few prices", _BAR, "Over the lookback of the settings.", per="asset"),
    _market("z_score", "standard deviations", "too few prices", _BAR, "Price against its mean.", per="asset"),
    _asset("weight", "fraction of equity", "no mark, or equity not known", _MARK, "Weight held now.", "3"),
    _asset("proposed_w", "fraction of equity", _NEVER, _PROPOSAL, "Proposal after sanitising.", "3"),
    _asset("sigma", "per day", "too few returns", _BAR, "Daily volatility of returns in account currency.", "3"),
    _asset(
        "book_correlation", "−1 to 1", "the book is flat, or a correlation or sigma it needs is not known",
        _MATRIX, "Correlation of the asset with the book held now.",
    ),
    _asset("adv_share", "fraction", "daily notional or equity not known", _MARK, "Position over daily notional.", "3"),
    _asset(
        "upnl_r", "R", "flat, or no price, entry price or sigma", _MARK,
        "Open return from the average entry in R, where 1 R = one daily sigma of the asset now.",
    ),
    _asset("age_bars", "bars", "flat, or not known when it was opened", _STATE, "Since the position was opened."),
    _constraint("trading_state", "code", _NEVER, "State in force after all rules (`TradingState`).", "3"),
    _constraint("authority", "code", _NEVER, "What may be sent, in the order of `Authority`."),
    _constraint("throttle", "0 to 1", _NEVER, "Book factor on the proposal.", "3"),
    _constraint("budget_factor", "0 to 1", _NEVER, "k: the largest factor that fits every budget.", "3"),
    _constraint(
        "sigma_proposed", "fraction a year", "not known", "Volatility of the proposal, hedges as they survive.", "3"
    ),
    _constraint("lo", "fraction of equity", "no bound", "Least weight allowed.", "3", "asset"),
    _constraint("hi", "fraction of equity", "no bound", "Largest weight allowed.", "3", "asset"),
    _constraint("asset_factor", "0 to 1", _NEVER, "a: most that is left of what was asked for.", "3", "asset"),
    _constraint("frozen", "0 or 1", _NEVER, "1: it cannot be traded now.", per="asset"),
    _constraint("bound", "0 or 1", _NEVER, "1: some rule keeps it from the proposed weight.", per="asset"),
)  # fmt: skip


def features(block: Block, per: Per | None = None) -> tuple[Feature, ...]:
    """Features of a block, in the order of their bits."""
    return tuple(f for f in FEATURES if f.block == block and (per is None or f.per == per))


def mask_column(block: Block, per: Per) -> str:
    """Column of a mask: bit ``b`` is 1 where feature ``b`` of the block is known; int64, a list for ``asset``."""
    return f"mask_{block}" if per == "row" or block == "asset" else f"mask_{block}_asset"


def known_column(block: Block) -> str:
    """Column of the latest time stamp of anything in a block, int64 UTC nanoseconds."""
    return f"ts_known_{block}_ns"


#: Every mask: block, per.
MASKS: tuple[tuple[Block, Per], ...] = tuple(
    (block, per) for block in BLOCKS for per in get_args(Per) if features(block, per)
)


def bits(values: list[F8]) -> I8:
    """Masks of features, int64 of their common shape: bit ``b`` is 1 where ``values[b]`` is a number."""
    found = np.zeros(values[0].shape, dtype=np.int64)
    for b, value in enumerate(values):
        found |= (~np.isnan(value)).astype(np.int64) << np.int64(b)
    return found


assert len({f.name for f in FEATURES}) == len(FEATURES)
assert all(len(features(block, per)) <= MAX_IN_MASK for block, per in MASKS)
