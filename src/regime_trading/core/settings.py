"""Models of ``config/settings.yaml``: what is common to every firm and account.

Numbers are exact decimals (quoted in YAML), so that the settings have one canonical form and one hash.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.market_intelligence import ConfidenceCaps as ConfidenceCaps
from regime_trading.core.market_intelligence import MarketIntelligence as MarketIntelligence
from regime_trading.core.rules import Fraction, Frozen, Number, Release
from regime_trading.core.schemas import Ident, InstrumentSpec, Symbol

AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}/[a-z0-9-]{1,40}$")]
SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}(:[a-z0-9-]{1,40})?$")]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Bars = Annotated[int, Field(ge=1)]


class Finding(Frozen):
    """One problem of a configuration, or one remark on it.

    Parameters
    ----------
    path : str
        Dotted key (``risk.sigma_target``).
    file, line
        Where it is written; None where it is not in a file.
    layers : tuple of str
        The layers involved, upper first (``firm north-pier``, ``account north-pier/core``).
    direction : str
        ``looser`` for a value below that loosens one above, else empty.
    expected, found : str
        What a correct value would be, and what is there.
    """

    path: str
    file: str | None = None
    line: int | None = None
    layers: tuple[str, ...] = ()
    direction: Literal["", "looser"] = ""
    expected: str
    found: str

    @property
    def where(self) -> str:
        """``config/traders.yaml:41 risk.sigma_target``."""
        place = "" if self.file is None else self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place} {self.path}".strip()

    @property
    def message(self) -> str:
        """The whole finding as one sentence."""
        return f"{self.where}: expected {self.expected}, found {self.found}"


class InvalidConfig(BadInput):
    """A configuration that cannot be accepted; the first finding is the message, ``findings`` has all."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        first = findings[0]
        self.findings = findings
        super().__init__(expected=first.expected, found=first.found, where=first.where)


class SourceSettings(Frozen):
    """One data source. ``market_proxy`` None = the equally weighted mean return of the source's symbols."""

    calendar: str
    market_proxy: Symbol | None = None
    adjusted: bool = False  #: its prices are adjusted for splits and dividends
    survivorship_note: str | None = None


class EvidenceSettings(Frozen):
    """Declared substitutes for inputs a source cannot provide; ``none`` = no substitute."""

    volume: Literal["declared", "none"] = "none"
    quotes: Literal["declared", "none"] = "none"
    status: Literal["exchange_calendar", "none"] = "none"


class InstrumentDefaults(Frozen):
    """Fields of :class:`InstrumentSpec` for a symbol that says nothing else."""

    group: str | None = None
    currency: str = "USD"
    lot: Positive = Decimal(1)
    multiplier: Positive = Decimal(1)
    spread_bps: NonNegative | None = None
    adv: Positive | None = None
    asset_class: Ident | None = None
    venue: Ident | None = None
    tick: Positive | None = None
    min_notional: NonNegative = Decimal(0)
    margin_rate: Annotated[Number, Field(gt=0, le=1)] = Decimal(1)
    mini_equivalents: NonNegative = Decimal(0)
    shortable: bool | None = None
    borrow_fee: NonNegative | None = None
    cash_like: bool = False


class InstrumentOverrides(Frozen):
    """What one symbol says for itself; an absent field is inherited."""

    group: str | None = None
    currency: str | None = None
    lot: Positive | None = None
    multiplier: Positive | None = None
    spread_bps: NonNegative | None = None
    adv: Positive | None = None
    asset_class: Ident | None = None
    venue: Ident | None = None
    underlying: Symbol | None = None
    tick: Positive | None = None
    min_notional: NonNegative | None = None
    margin_rate: Annotated[Number, Field(gt=0, le=1)] | None = None
    mini_equivalents: NonNegative | None = None
    expiry: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    shortable: bool | None = None
    borrow_fee: NonNegative | None = None
    cash_like: bool | None = None


class Instruments(Frozen):
    defaults: InstrumentDefaults = InstrumentDefaults()
    symbols: dict[Symbol, InstrumentOverrides] = Field(default_factory=dict)

    def spec(self, symbol: str) -> InstrumentSpec:
        """Specification of one symbol: its own fields over the defaults."""
        own = self.symbols.get(symbol, InstrumentOverrides())
        said = {name: value for name, value in dict(own).items() if value is not None}
        return InstrumentSpec(symbol=symbol, **{**dict(self.defaults), **said})


class Allocator(StrEnum):
    """How a basket's symbols are weighed."""

    RISK_PARITY = "risk_parity"
    MINIMUM_VARIANCE = "minimum_variance"
    INVERSE_VOLATILITY = "inverse_volatility"
    HIERARCHICAL_RISK_PARITY = "hierarchical_risk_parity"
    EQUAL = "equal"


class BasketExposure(Frozen):
    """Share of the allocator's weight a symbol keeps under each strategy (``schemas.Exposure``)."""

    trend_following: Fraction = Decimal(1)
    mean_reversion: Fraction = Decimal(1)
    stand_aside: Fraction = Decimal("0.6")
    de_risk: Fraction = Decimal("0.25")
    allow_short: bool = False


class BasketSettings(Frozen):
    """A named set of symbols and how it is proposed. ``budget`` is its gross weight, a fraction of the share
    of equity an account gives it."""

    symbols: tuple[Symbol, ...] = Field(min_length=1)
    allocator: Allocator
    budget: Fraction = Decimal(1)
    cadence_sessions: Bars = 5
    approval: Literal["none", "manual"] = "none"
    exposure: BasketExposure = BasketExposure()

    @field_validator("symbols")
    @classmethod
    def _unique(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        return _require_unique(symbols, "symbols")


class ScheduleSettings(Frozen):
    """When a basket that an account follows is run by itself: at the close of every ``cadence_sessions``-th session of
    the source's exchange, ``delay_s`` later, so that prices have arrived. A slot that is found more than ``late_s``
    after that was missed."""

    source: SourceName
    delay_s: Annotated[int, Field(ge=0, le=86_400)] = 900
    late_s: Annotated[int, Field(ge=60, le=7 * 86_400)] = 3_600
    missed: Literal["run_latest", "skip"] = (
        "run_latest"  #: whether the latest slot is made up for; others never are
    )


class FeatureSettings(Frozen):
    momentum_lookback_bars: Bars = 126
    z_lookback_bars: Bars = 20
    z_full: Positive = Decimal(2)  #: |z| at which a mean-reversion exposure is full
    vol_fast_halflife_bars: Bars = 5
    vol_slow_halflife_bars: Bars = 40
    correlation_window_bars: Bars = 252


class RegimeSettings(Frozen):
    """Risk-state model. ``penalty`` is the cost of one switch of the jump models, in units of their loss."""

    model: Literal["ensemble", "hmm", "jump", "continuous_jump"] = "ensemble"
    n_states: Annotated[int, Field(ge=2, le=8)] = 2
    penalty: NonNegative = Decimal(50)
    min_obs_bars: Bars = 504
    refit_every_bars: Bars = 126
    hysteresis_bars: Annotated[int, Field(ge=0)] = 3
    seed: Annotated[int, Field(ge=0)] = 1


class DetectSettings(Frozen):
    """``regime detect``: returns before the first fit, between two fits, and behind the structure of a bar."""

    min_obs_bars: Annotated[int, Field(ge=30)] = 200
    refit_every_bars: Bars = 63
    structure_window_bars: Bars = 2520
    structure_min_obs_bars: Annotated[int, Field(ge=32)] = 128


class StructureSettings(Frozen):
    """Variance-ratio and half-life tests over ``window_bars``, joint over ``lags``."""

    window_bars: Bars = 1008
    every_bars: Bars = 21
    lags: tuple[Annotated[int, Field(ge=2)], ...] = (2, 5)
    min_obs_bars: Bars = 504

    @model_validator(mode="after")
    def _fits(self) -> StructureSettings:
        if not self.lags or list(self.lags) != sorted(set(self.lags)):
            raise ValueError(f"lags: expected ascending lags, found {list(self.lags)}")
        if self.min_obs_bars > self.window_bars:
            raise ValueError(
                f"min_obs_bars: expected at most window_bars {self.window_bars}, found {self.min_obs_bars}"
            )
        if self.lags[-1] * 4 > self.min_obs_bars:
            raise ValueError(
                f"lags: expected at most a quarter of min_obs_bars {self.min_obs_bars}, found {self.lags[-1]}"
            )
        return self


class AllocationSettings(Frozen):
    """The allocator sees ``window_bars`` returns and is solved again every ``every_bars`` bars."""

    window_bars: Bars = 252
    every_bars: Bars = 21


class ContradictorSettings(Frozen):
    """Cap on a regime's confidence where the alternate bar or the alternate estimator disagrees, or both."""

    cap_one_disagrees: Fraction = Decimal("0.5")
    cap_both_disagree: Fraction = Decimal("0.25")

    @model_validator(mode="after")
    def _ordered(self) -> ContradictorSettings:
        if self.cap_both_disagree > self.cap_one_disagrees:
            raise ValueError(
                f"cap_both_disagree: expected at most cap_one_disagrees {self.cap_one_disagrees}, "
                f"found {self.cap_both_disagree}"
            )
        return self


class ExecutionSettings(Frozen):
    """Costs of a simulated fill, each a fraction of notional in basis points; half the spread is paid."""

    fee_bps: NonNegative = Decimal(1)
    slippage_bps: NonNegative = Decimal(2)
    default_spread_bps: NonNegative = Decimal(10)
    fill: Literal["next_bar"] = "next_bar"


Patience = Annotated[int, Field(ge=1)] | Literal["never"]


class Operators(Frozen):
    """Sessions after which simulated people release a latch of each kind; ``never`` is legal."""

    MANUAL: Patience = 5
    DUAL: Patience = 20

    def sessions(self, release: Release) -> int | None:
        """Sessions until ``release`` is granted; None = never (also for kinds no person may release)."""
        patience = getattr(self, release.name, "never")
        return patience if isinstance(patience, int) else None


class Flow(Frozen):
    """A deposit (or withdrawal, negative) at the open of the first session on or after ``date``.

    ``MM-DD`` recurs every year, ``YYYY-MM-DD`` happens once.
    """

    account: AccountName
    date: str = Field(pattern=r"^(\d{4}-)?\d{2}-\d{2}$")
    amount: Number

    @field_validator("date")
    @classmethod
    def _exists(cls, text: str) -> str:
        dt.date.fromisoformat(
            text if len(text) == 10 else f"2001-{text}"
        )  # a recurring day exists every year
        return text

    @field_validator("amount")
    @classmethod
    def _moves(cls, amount: Decimal) -> Decimal:
        if not amount.is_finite() or amount == 0:
            raise ValueError(f"expected an amount that is not 0, found {amount}")
        return amount

    def days(self, first: dt.date, last: dt.date) -> tuple[dt.date, ...]:
        """The days of this flow within [first, last], ascending."""
        texts = (
            (self.date,)
            if len(self.date) == 10
            else (f"{y:04d}-{self.date}" for y in range(first.year, last.year + 1))
        )
        return tuple(day for day in map(dt.date.fromisoformat, texts) if first <= day <= last)


class BacktestSettings(Frozen):
    """``attempt_fee`` is what each attempt of an evaluation account costs, in account currency."""

    operators: Operators = Operators()
    flows: tuple[Flow, ...] = ()
    attempt_fee: NonNegative = Decimal(500)


class ReportSettings(Frozen):
    """The simple controls beside the strategy, and the block bootstrap of Sharpe differences."""

    average_bars: Bars = 200
    volatility_bars: Bars = 20
    volatility_target: Positive = Decimal("0.15")
    control_cost_bps: NonNegative = Decimal(10)
    bootstrap_samples: Annotated[int, Field(ge=100)] = 1000
    bootstrap_block_bars: Bars = 21
    seed: Annotated[int, Field(ge=0)] = 1


class ScheduledEvent(Frozen):
    """A scheduled event: ``news`` for the blackout (UT-06, which takes ``high`` impact), ``earnings`` (dividends and
    ex-dates too) for UT-07."""

    id: Ident
    at: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?Z$")
    kind: Literal["news", "earnings"] = "news"
    impact: Literal["low", "medium", "high"] = "high"
    symbols: Literal["all"] | tuple[Symbol, ...] = "all"

    @field_validator("at")
    @classmethod
    def _instant(cls, text: str) -> str:
        dt.datetime.fromisoformat(text)
        return text

    @property
    def at_ns(self) -> int:
        """UTC nanoseconds of the event."""
        return int(dt.datetime.fromisoformat(self.at).timestamp()) * 1_000_000_000

    def concerns(self, symbol: str) -> bool:
        """Whether the event concerns ``symbol``."""
        return self.symbols == "all" or symbol in self.symbols


class AuditSettings(Frozen):
    """``witness``: folders or URIs (``s3://bucket/prefix``) that keep every checkpoint of the record."""

    witness: tuple[Annotated[str, Field(min_length=1)], ...] = ()


class Settings(Frozen):
    """``config/settings.yaml``. ``rules`` are the platform's overrides of the defaults in ``core.rules``, as
    written (``core.trader_profile`` reads them); ``sealed`` lists paths that may only be tightened below."""

    schema_version: Literal[1] = 1
    sources: dict[SourceName, SourceSettings]
    evidence: dict[SourceName, EvidenceSettings]
    instruments: Instruments = Instruments()
    baskets: dict[Ident, BasketSettings]
    schedules: dict[Ident, ScheduleSettings] = Field(default_factory=dict)  #: by basket
    features: FeatureSettings = FeatureSettings()
    regime: RegimeSettings = RegimeSettings()
    structure: StructureSettings = StructureSettings()
    detect: DetectSettings = DetectSettings()
    allocation: AllocationSettings = AllocationSettings()
    contradictor: ContradictorSettings = ContradictorSettings()
    execution: ExecutionSettings = ExecutionSettings()
    backtest: BacktestSettings = BacktestSettings()
    report: ReportSettings = ReportSettings()
    audit: AuditSettings = AuditSettings()
    events: tuple[ScheduledEvent, ...] = ()
    market_intelligence: MarketIntelligence = MarketIntelligence()
    rules: dict[str, Any] = Field(default_factory=dict)
    sealed: tuple[str, ...] = ()

    @field_validator("events")
    @classmethod
    def _event_ids(cls, events: tuple[ScheduledEvent, ...]) -> tuple[ScheduledEvent, ...]:
        _require_unique(tuple(event.id for event in events), "ids")
        return events

    @model_validator(mode="after")
    def _evidence_of_each_source(self) -> Settings:
        if self.evidence.keys() != self.sources.keys():
            raise ValueError(
                f"evidence: expected one entry for each source {sorted(self.sources)}, "
                f"found {sorted(self.evidence)}"
            )
        return self

    @model_validator(mode="after")
    def _schedules_of_what_is_there(self) -> Settings:
        for basket, schedule in self.schedules.items():
            if basket not in self.baskets:
                raise ValueError(f"schedules: expected one of {sorted(self.baskets)}, found {basket}")
            if schedule.source not in self.sources:
                raise ValueError(
                    f"schedules.{basket}: expected one of {sorted(self.sources)}, found {schedule.source}"
                )
        return self

    def content_hash(self) -> str:
        """SHA-256 of the canonical form; the same on every machine, wherever its witnesses are and whenever it runs."""
        return content_hash(self.model_dump(mode="json", exclude={"audit", "schedules"}))


def _require_unique(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"expected different {what}, found {', '.join(twice)} more than once")
    return names
