"""Rule ids with their parameters, units, direction and merge operator. No logic: ``guards`` holds that.

A parameter's merge operator says how a lower configuration layer may change it. From the firm layer down
every risk parameter is tighten-only (``risk.md`` 3.1); the operator names which direction is tighter.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

UNLIMITED = "unlimited"


class Merge(StrEnum):
    """How two layers of one key combine."""

    OVERRIDE = "override"  #: last layer wins
    FIXED = "fixed"  #: no direction is stricter: unchangeable below the firm
    LOWER = "lower"  #: lower is safer: minimum
    HIGHER = "higher"  #: higher is safer: maximum
    PROTECT = "protect"  #: a safety switch: logical or
    PERMIT = "permit"  #: a permission: logical and
    UNION = "union"  #: deny lists and windows: union (objects by ``id``)
    INTERSECT = "intersect"  #: allow lists: intersection
    LADDER = "ladder"  #: pointwise the stricter step
    ORDERED = "ordered"  #: later member of the enumeration is stricter: maximum


class Guard(IntEnum):
    """The six guards, in the order in which they are evaluated and shown."""

    DATA_SANITY = 1
    BLACKOUT = 2
    DRAWDOWN = 3
    VOL_TARGET = 4
    CONCENTRATION = 5
    LIQUIDITY = 6


class TradingState(IntEnum):
    """Account-level lattice component, ascending conservatism."""

    NORMAL = 0
    REDUCE_ONLY = 1
    FLATTEN = 2
    LOCKED = 3


class Authority(IntEnum):
    """What may be sent, ascending conservatism."""

    ALL = 0
    RISK_REDUCING = 1
    CANCEL_ONLY = 2
    NONE = 3


class Release(IntEnum):
    """Who or what may clear a latch, ascending conservatism."""

    AUTO = 0
    TIMED = 1
    NEXT_SESSION = 2
    MANUAL = 3
    DUAL = 4
    TERMINAL = 5


def _by_name(kind: type[IntEnum]) -> BeforeValidator:
    def parse(value: Any) -> Any:
        if isinstance(value, str):
            if value not in kind.__members__:
                raise ValueError(f"expected one of {', '.join(kind.__members__)}, found {value!r}")
            return kind[value]
        return value

    return BeforeValidator(parse)


_NAME = PlainSerializer(lambda member: member.name, return_type=str)
TradingStateName = Annotated[TradingState, _by_name(TradingState), _NAME]
AuthorityName = Annotated[Authority, _by_name(Authority), _NAME]
ReleaseName = Annotated[Release, _by_name(Release), _NAME]


def _parse_limit(value: Any) -> Any:
    return Decimal("Infinity") if value == UNLIMITED else value


def _check_limit(value: Decimal) -> Decimal:
    if value.is_nan() or value < 0:
        raise ValueError(f"expected a number ≥ 0 or {UNLIMITED!r}, found {value}")
    return value


def decimal_text(value: Decimal) -> str:
    """Plain decimal text; infinity is ``unlimited``."""
    return UNLIMITED if value.is_infinite() else format(value.normalize(), "f")


_DECIMAL_TEXT = PlainSerializer(decimal_text, return_type=str)
Limit = Annotated[
    Decimal,
    Field(allow_inf_nan=True),
    BeforeValidator(_parse_limit),
    AfterValidator(_check_limit),
    _DECIMAL_TEXT,
]


def _check_share(value: Decimal) -> Decimal:
    if value.is_finite() and value > 1:
        raise ValueError(f"expected a fraction of at most 1 or {UNLIMITED!r}, found {value}")
    return value


ShareLimit = Annotated[Limit, AfterValidator(_check_share)]
Number = Annotated[Decimal, _DECIMAL_TEXT]
Fraction = Annotated[Decimal, Field(ge=0, le=1), _DECIMAL_TEXT]


class Frozen(BaseModel):
    """Base of every schema: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RuleParams(Frozen):
    """Base of every rule's parameters."""

    enabled: bool = Field(default=True, json_schema_extra={"unit": "", "merge": Merge.PROTECT})


def param(default: Any, *, unit: str, merge: Merge, **constraints: Any) -> Any:
    """A rule parameter with its unit and merge operator."""
    return Field(default=default, json_schema_extra={"unit": unit, "merge": merge}, **constraints)


# --- guard 1: data sanity -------------------------------------------------------------------------------


class StalePrice(RuleParams):
    max_age_bars: Number = param(Decimal("1.5"), unit="bars", merge=Merge.LOWER, gt=0)


class MissingPrice(RuleParams):
    stress_haircut: Fraction = param(Decimal("0.10"), unit="fraction of price", merge=Merge.HIGHER)


class PriceJump(RuleParams):
    k_sigma: Number = param(Decimal(8), unit="daily standard deviations", merge=Merge.LOWER, gt=0)
    abs_move: Fraction = param(Decimal("0.20"), unit="log return", merge=Merge.LOWER)


class BookSanity(RuleParams):
    max_spread_bps: Number = param(Decimal(30), unit="basis points of the mid", merge=Merge.LOWER, gt=0)
    hard_multiple: Number = param(Decimal(5), unit="ratio to max_spread_bps", merge=Merge.LOWER, ge=1)


class BarIntegrity(RuleParams):
    min_completeness: Fraction = param(Decimal("0.95"), unit="fraction of sessions", merge=Merge.HIGHER)
    max_gap_bars: int = param(3, unit="bars", merge=Merge.LOWER, ge=0)


class ProposalSanity(RuleParams):
    max_age_bars: Number = param(Decimal(7), unit="bars", merge=Merge.LOWER, gt=0)
    abs_weight_max: Number = param(Decimal(2), unit="fraction of equity", merge=Merge.LOWER, gt=0)
    gross_max: Number = param(Decimal(10), unit="fraction of equity", merge=Merge.LOWER, gt=0)


class CovarianceHealth(RuleParams):
    min_obs: int = param(60, unit="returns", merge=Merge.HIGHER, ge=20)
    max_condition: Number = param(Decimal(1_000_000), unit="ratio of eigenvalues", merge=Merge.LOWER, gt=1)


class EquityFreshness(RuleParams):
    max_age_bars: Number = param(Decimal(1), unit="bars", merge=Merge.LOWER, gt=0)


# --- guard 2: universe and time blackouts -----------------------------------------------------------------


class DenyMode(StrEnum):
    NO_INCREASE = "no_increase"
    NO_TRADE = "no_trade"
    EXIT = "exit"


class NewsMode(StrEnum):
    NO_INCREASE = "no_increase"
    NO_TRADE = "no_trade"


class AllowList(RuleParams):
    symbols: tuple[str, ...] | None = param(None, unit="symbols (absent = all)", merge=Merge.INTERSECT)


class DenyList(RuleParams):
    symbols: tuple[str, ...] = param((), unit="symbols", merge=Merge.UNION)
    mode: DenyMode = param(DenyMode.NO_INCREASE, unit="", merge=Merge.ORDERED)


class SessionHours(RuleParams):
    pass


class NewsBlackout(RuleParams):
    before_s: int = param(300, unit="seconds", merge=Merge.HIGHER, ge=0)
    after_s: int = param(300, unit="seconds", merge=Merge.HIGHER, ge=0)
    mode: NewsMode = param(NewsMode.NO_INCREASE, unit="", merge=Merge.ORDERED)


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


# --- guard 3: loss and drawdown circuits ------------------------------------------------------------------


class LossBase(StrEnum):
    ANCHOR = "anchor"
    INITIAL = "initial"


class DayAnchor(StrEnum):
    BALANCE = "balance"
    EQUITY = "equity"
    MAX = "max"


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


class StaticLoss(RuleParams):
    limit_pct: ShareLimit = param(Decimal("Infinity"), unit="fraction of initial capital", merge=Merge.LOWER)
    limit_money: Limit = param(Decimal("Infinity"), unit="account currency", merge=Merge.LOWER)
    act: Fraction = param(Decimal("0.85"), unit="fraction of the limit", merge=Merge.LOWER)
    release: ReleaseName = param(Release.MANUAL, unit="", merge=Merge.ORDERED)
    on_external: ReleaseName = param(Release.TERMINAL, unit="", merge=Merge.ORDERED)


class FirmDailyLoss(_LossLevels):
    limit_pct: ShareLimit = param(
        Decimal("Infinity"), unit="fraction of the firm's anchors", merge=Merge.LOWER
    )
    limit_money: Limit = param(Decimal("Infinity"), unit="firm currency", merge=Merge.LOWER)
    release: ReleaseName = param(Release.NEXT_SESSION, unit="", merge=Merge.ORDERED)


# --- guard 4: volatility targeting ------------------------------------------------------------------------


class BookVolatility(RuleParams):
    sigma_target: Limit = param(Decimal("0.15"), unit="annualised volatility", merge=Merge.LOWER)


class RegimeBudget(RuleParams):
    trending: Fraction = param(Decimal(1), unit="throttle", merge=Merge.LOWER)
    mean_reverting: Fraction = param(Decimal(1), unit="throttle", merge=Merge.LOWER)
    volatile_trending: Fraction = param(Decimal("0.5"), unit="throttle", merge=Merge.LOWER)
    random: Fraction = param(Decimal("0.25"), unit="throttle", merge=Merge.LOWER)
    uncertain: Fraction = param(Decimal("0.25"), unit="throttle", merge=Merge.LOWER)
    min_confidence: Fraction = param(Decimal("0.5"), unit="confidence", merge=Merge.HIGHER)


class UnknownVolatility(RuleParams):
    class_prior: Number = param(Decimal("0.60"), unit="annualised volatility", merge=Merge.HIGHER, gt=0)
    median_multiple: Number = param(Decimal("1.5"), unit="ratio", merge=Merge.HIGHER, ge=1)


# --- guard 5: correlation and concentration ---------------------------------------------------------------


class SingleName(RuleParams):
    max_weight: Limit = param(Decimal("0.20"), unit="fraction of equity", merge=Merge.LOWER)


class Gross(RuleParams):
    max_gross: Limit = param(Decimal("1.0"), unit="fraction of equity", merge=Merge.LOWER)


class Net(RuleParams):
    max_net: Limit = param(Decimal("1.0"), unit="fraction of equity", merge=Merge.LOWER)


class Group(RuleParams):
    max_group: Limit = param(Decimal("0.40"), unit="fraction of equity", merge=Merge.LOWER)
    max_unclassified: Limit = param(Decimal("0.10"), unit="fraction of equity", merge=Merge.LOWER)


class MaxPositions(RuleParams):
    count: int = param(10, unit="positions", merge=Merge.LOWER, ge=0)


# --- guard 6: execution and liquidity ---------------------------------------------------------------------


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


# --- the registry -----------------------------------------------------------------------------------------


class RuleSpec(Frozen):
    """What configuration, guards and documents share about one rule.

    ``key`` names the rule under ``risk:`` in configuration files; ``principal`` is the parameter a bare
    scalar under that key sets (``gross: "1.0"``). ``inputs`` are the data a source must provide, in the
    words of ``contracts.md`` 3.
    """

    rule_id: str = Field(pattern=r"^[A-Z]{2}-\d{2}$")
    key: str
    guard: Guard
    title: str
    inequality: str
    effect: str
    recovery: str
    params: type[RuleParams]
    principal: str | None = None
    inputs: tuple[str, ...] = ()


def _spec(
    rule_id: str,
    key: str,
    guard: Guard,
    title: str,
    inequality: str,
    effect: str,
    recovery: str,
    params: type[RuleParams],
    principal: str | None = None,
    inputs: tuple[str, ...] = (),
) -> RuleSpec:
    return RuleSpec(
        rule_id=rule_id,
        key=key,
        guard=guard,
        title=title,
        inequality=inequality,
        effect=effect,
        recovery=recovery,
        params=params,
        principal=principal,
        inputs=inputs,
    )


RULES: tuple[RuleSpec, ...] = (
    _spec("DS-01", "stale_price", Guard.DATA_SANITY, "Stale price", "age_i ≤ max_age_bars · bar",
          "BLOCK(i)", "AUTO", StalePrice, "max_age_bars", ("close",)),
    _spec("DS-02", "missing_price", Guard.DATA_SANITY, "Missing or non-positive price", "P_i > 0 and finite",
          "BLOCK(i), no order; held: last good mark less a haircut", "AUTO", MissingPrice, "stress_haircut",
          ("close",)),
    _spec("DS-03", "price_jump", Guard.DATA_SANITY, "Price jump",
          "|ln(P_i / P_ref,i)| ≤ max(k_sigma · σ_i, abs_move)",
          "NO_TRADE(i) until the next bar confirms; loss rules see the adverse mark", "AUTO", PriceJump,
          "k_sigma", ("close",)),
    _spec("DS-04", "book", Guard.DATA_SANITY, "Crossed, locked or wide book",
          "bid_i < ask_i, spread_i ≤ max_spread_bps, tape of i not broken",
          "BLOCK(i); crossed, locked or spread_i > hard_multiple · max_spread_bps: NO_TRADE(i)", "AUTO", BookSanity,
          "max_spread_bps", ("quotes",)),
    _spec("DS-05", "bar_integrity", Guard.DATA_SANITY, "Bar integrity",
          "completeness_i ≥ min_completeness and longest gap_i ≤ max_gap_bars", "BLOCK(i)", "AUTO", BarIntegrity,
          "min_completeness", ("close",)),
    _spec("DS-11", "proposal_sanity", Guard.DATA_SANITY, "Proposal sanity",
          "finite, |p_i| ≤ abs_weight_max, Σ|p| ≤ gross_max, age ≤ max_age_bars",
          "the whole proposal is refused: hold, reductions allowed", "AUTO", ProposalSanity, "max_age_bars"),
    _spec("DS-12", "covariance_health", Guard.DATA_SANITY, "Covariance health",
          "n_obs,i ≥ min_obs and cond(Σ) ≤ max_condition", "BLOCK(i); book volatility from VT-06", "AUTO",
          CovarianceHealth, "min_obs", ("close",)),
    _spec("DS-14", "equity_freshness", Guard.DATA_SANITY, "Equity freshness", "age(E) ≤ max_age_bars · bar",
          "REDUCE_ONLY", "AUTO", EquityFreshness, "max_age_bars"),
    _spec("UT-01", "allow", Guard.BLACKOUT, "Allow list", "i ∈ symbols", "BLOCK(i)", "AUTO", AllowList, "symbols"),
    _spec("UT-02", "deny", Guard.BLACKOUT, "Deny list", "i ∉ symbols", "BLOCK(i), NO_TRADE(i) or ZERO(i)", "AUTO",
          DenyList, "symbols"),
    _spec("UT-04", "session_hours", Guard.BLACKOUT, "Session hours", "venue session of i is open",
          "BLOCK(i), no order", "AUTO", SessionHours, None, ("status",)),
    _spec("UT-06", "news", Guard.BLACKOUT, "News blackout", "t ∉ [event − before_s, event + after_s]",
          "BLOCK or NO_TRADE", "AUTO at window end", NewsBlackout, "before_s"),
    _spec("UT-14", "freeze", Guard.BLACKOUT, "Freeze window", "day(t) ∉ windows", "REDUCE_ONLY",
          "AUTO at window end", FreezeWindows, "windows"),
    _spec("LD-01", "daily_loss", Guard.DRAWDOWN, "Daily loss", "E > A + F_day − level · L",
          "soft: THROTTLE 0.5 · warn: REDUCE_ONLY · act: FLATTEN and latch · external floor: latch on_external",
          "latch: release", DailyLoss, "limit_pct"),
    _spec("LD-02", "drawdown", Guard.DRAWDOWN, "Trailing drawdown (unitised)", "1 − u / max u < rung",
          "THROTTLE, FLATTEN or LOCKED by rung", "throttles: hysteresis · FLATTEN, LOCKED: latch, then a ramp",
          TrailingDrawdown, "ladder"),
    _spec("LD-03", "static_loss", Guard.DRAWDOWN, "Static maximum loss", "E > E_0 − act · M",
          "FLATTEN and latch; external floor: latch on_external", "latch: release", StaticLoss, "limit_pct"),
    _spec("LD-13", "firm_daily_loss", Guard.DRAWDOWN, "Firm daily loss",
          "Σ_accounts loss today < level · L_firm",
          "soft: THROTTLE 0.5 · warn: REDUCE_ONLY · act: FLATTEN and latch, every account of the firm",
          "latch: release", FirmDailyLoss, "limit_pct"),
    _spec("VT-01", "sigma_target", Guard.VOL_TARGET, "Book volatility", "σ̃(p, a) · k ≤ sigma_target",
          "BUDGET(vol)", "AUTO", BookVolatility, "sigma_target", ("close",)),
    _spec("VT-04", "regime_budget", Guard.VOL_TARGET, "Regime budget",
          "book factor ≤ multiplier(label); confidence < min_confidence counts as uncertain", "THROTTLE", "AUTO",
          RegimeBudget),
    _spec("VT-06", "unknown_volatility", Guard.VOL_TARGET, "Unknown volatility", "σ_i known and > 0",
          "BLOCK(i); σ_i = max(class_prior, median_multiple · median, last good), ρ = 1", "AUTO",
          UnknownVolatility, "class_prior", ("close",)),
    _spec("CC-01", "single_name", Guard.CONCENTRATION, "Single name", "|w_i| ≤ max_weight", "CLAMP(i)", "AUTO",
          SingleName, "max_weight"),
    _spec("CC-02", "gross", Guard.CONCENTRATION, "Gross exposure", "Σ|w| ≤ max_gross", "SCALE_A(all)", "AUTO",
          Gross, "max_gross"),
    _spec("CC-03", "net", Guard.CONCENTRATION, "Net exposure", "|Σw| ≤ max_net", "BUDGET(net)", "AUTO", Net,
          "max_net"),
    _spec("CC-04", "group", Guard.CONCENTRATION, "Group exposure",
          "Σ_g|w| ≤ max_group (max_unclassified where the group is unknown)", "SCALE_A(group)", "AUTO", Group,
          "max_group"),
    _spec("CC-08", "max_positions", Guard.CONCENTRATION, "Number of positions",
          "rank of |p_i| ≤ count, ties by symbol", "BLOCK(i)", "AUTO", MaxPositions, "count"),
    _spec("XL-03", "participation", Guard.LIQUIDITY, "Participation", "|order_i| ≤ share · ADV_i a bar", "PACE(i)",
          "AUTO", Participation, "entry_adv", ("volume",)),
    _spec("XL-04", "liquidation", Guard.LIQUIDITY, "Days to liquidate",
          "|w_i| · E ≤ days · adv_share · ADV_i; ADV unknown: |w_i| ≤ unknown_adv_weight", "CLAMP(i)", "AUTO",
          DaysToLiquidate, "days", ("volume",)),
    _spec("XL-05", "cost_gate", Guard.LIQUIDITY, "Expected cost of an entry",
          "spread_i / 2 + k_impact · σ_i · √(order_i / ADV_i) ≤ max_cost_bps", "BLOCK(i)", "AUTO", CostGate,
          "max_cost_bps", ("close", "quotes", "volume")),
    _spec("XL-06", "turnover", Guard.LIQUIDITY, "Turnover of increases", "Σ increases ≤ max_increase a bar",
          "BUDGET(turnover) on the step", "AUTO", Turnover, "max_increase"),
    _spec("XL-07", "small_orders", Guard.LIQUIDITY, "Lot, minimum notional, dead band",
          "entry notional ≥ min_notional; |Δw| ≥ dead_band for elective changes", "the leg is skipped", "AUTO",
          SmallOrders, "min_notional"),
)  # fmt: skip

RULE_BY_ID: dict[str, RuleSpec] = {spec.rule_id: spec for spec in RULES}
RULE_BY_KEY: dict[str, RuleSpec] = {spec.key: spec for spec in RULES}
RULE_IDS: tuple[str, ...] = tuple(spec.rule_id for spec in RULES)


def merge_of(params: type[RuleParams], name: str) -> Merge:
    """Merge operator of one parameter."""
    extra = params.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return Merge(str(extra["merge"]))


def unit_of(params: type[RuleParams], name: str) -> str:
    """Unit of one parameter, in words."""
    extra = params.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["unit"])
