"""Frozen schemas, in the order in which a price becomes an order.

Decimals are strings in JSON. Times are integers: UTC nanoseconds since the epoch (``*_ns``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from regime_trading.core.analysis import REGIME_LABELS as REGIME_LABELS
from regime_trading.core.analysis import BarSpreads as BarSpreads
from regime_trading.core.analysis import Confidence as Confidence
from regime_trading.core.analysis import Evidence as Evidence
from regime_trading.core.analysis import FrameRef as FrameRef
from regime_trading.core.analysis import Ident as Ident
from regime_trading.core.analysis import MicrostructureFeatures as MicrostructureFeatures
from regime_trading.core.analysis import Regime as Regime
from regime_trading.core.analysis import RegimeLabel as RegimeLabel
from regime_trading.core.analysis import RiskState as RiskState
from regime_trading.core.analysis import SpreadAtHorizon as SpreadAtHorizon
from regime_trading.core.analysis import Structure as Structure
from regime_trading.core.analysis import StructureLabel as StructureLabel
from regime_trading.core.analysis import Symbol as Symbol
from regime_trading.core.analysis import TapeCounts as TapeCounts
from regime_trading.core.analysis import TapeHealth as TapeHealth
from regime_trading.core.analysis import TapeMicroprice as TapeMicroprice
from regime_trading.core.analysis import TapeOrderFlow as TapeOrderFlow
from regime_trading.core.analysis import TapeSpread as TapeSpread
from regime_trading.core.analysis import TapeSummary as TapeSummary
from regime_trading.core.analysis import TapeTrades as TapeTrades
from regime_trading.core.analysis import TierRegime as TierRegime
from regime_trading.core.canonical import array_hash
from regime_trading.core.constraint_snapshot import AssetConstraint as AssetConstraint
from regime_trading.core.constraint_snapshot import BudgetUse as BudgetUse
from regime_trading.core.constraint_snapshot import ConstraintSnapshot as ConstraintSnapshot
from regime_trading.core.constraint_snapshot import FloorDistance as FloorDistance
from regime_trading.core.constraint_snapshot import NextEvent as NextEvent
from regime_trading.core.constraint_snapshot import ReleaseTerms as ReleaseTerms
from regime_trading.core.constraint_snapshot import RuleEvaluated as RuleEvaluated
from regime_trading.core.constraint_snapshot import ThrottleParts as ThrottleParts
from regime_trading.core.instants import Instant, named
from regime_trading.core.numbers import F8, I8
from regime_trading.core.portfolio import PortfolioSnapshot as PortfolioSnapshot
from regime_trading.core.portfolio import Position as Position
from regime_trading.core.portfolio import RecentFill as RecentFill
from regime_trading.core.portfolio import Recon as Recon
from regime_trading.core.portfolio import ReconDiff as ReconDiff
from regime_trading.core.portfolio import SentOrder as SentOrder
from regime_trading.core.portfolio import Traffic as Traffic
from regime_trading.core.portfolio import Worked
from regime_trading.core.portfolio import WorkingOrder as WorkingOrder
from regime_trading.core.rules import (
    AuthorityName,
    Frozen,
    Number,
    ReleaseName,
    TradingStateName,
)


class Mode(StrEnum):
    """Mode of an account and environment of a record."""

    DRY_RUN = "dry_run"
    SHADOW = "shadow"
    GATED_LIVE = "gated_live"


class Provides(StrEnum):
    """What a data source can say (``contracts.md`` 3)."""

    CLOSE = "close"
    OHLC = "ohlc"
    VOLUME = "volume"
    QUOTES = "quotes"
    TRADES = "trades"
    STATUS = "status"
    FX = "fx"


# --- data -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PriceWindow:
    """Everything a reader may know at ``until``: bars with ``ts_event ≤ until``.

    Parameters
    ----------
    symbols : tuple of str
        Column order, sorted.
    ts_ns : int64 [T]
        Completion time of each bar, strictly increasing, UTC nanoseconds.
    close : float64 [T, N]
        Quote currency. NaN = no bar for that symbol at that time. Never 0, never filled.
    open, high, low, volume : float64 [T, N] or None
        None where the source does not provide them.
    """

    symbols: tuple[str, ...]
    ts_ns: I8
    close: F8
    open: F8 | None = None
    high: F8 | None = None
    low: F8 | None = None
    volume: F8 | None = None

    def content_hash(self) -> str:
        """SHA-256 of symbols, times and prices."""
        return array_hash(
            {
                "symbols": np.frombuffer("\n".join(self.symbols).encode(), dtype=np.uint8),
                "ts_ns": self.ts_ns,
                "close": self.close,
                "open": self.open,
                "high": self.high,
                "low": self.low,
                "volume": self.volume,
            }
        )

    def until(self, ts_ns: int) -> PriceWindow:
        """The same window cut at ``ts_ns`` (included)."""
        n = int(np.searchsorted(self.ts_ns, ts_ns, side="right"))

        def cut(a: F8 | None) -> F8 | None:
            return None if a is None else a[:n]

        return PriceWindow(
            self.symbols,
            self.ts_ns[:n],
            self.close[:n],
            cut(self.open),
            cut(self.high),
            cut(self.low),
            cut(self.volume),
        )

    def select(self, symbols: tuple[str, ...]) -> PriceWindow:
        """The same window for a subset of symbols, in the order given."""
        at = [self.symbols.index(s) for s in symbols]

        def pick(a: F8 | None) -> F8 | None:
            return None if a is None else np.ascontiguousarray(a[:, at])

        return PriceWindow(
            symbols,
            self.ts_ns,
            np.ascontiguousarray(self.close[:, at]),
            pick(self.open),
            pick(self.high),
            pick(self.low),
            pick(self.volume),
        )


class HealthStatus(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  #: usable, with reasons
    UNUSABLE = "unusable"  #: later stages block the symbol


class SymbolHealth(Frozen):
    """Integrity of one symbol's bars up to ``as_of``.

    ``completeness`` = bars present / sessions of the calendar since the first bar, over the last
    ``lookback_sessions``; ``longest_gap`` and ``longest_stale_run`` (identical closes) count sessions.
    """

    symbol: Symbol
    bars: int
    first_ts_ns: int | None
    last_ts_ns: int | None
    duplicates: int
    out_of_order: int
    missing: int
    non_positive: int
    off_calendar: int
    longest_gap: int
    current_gap: int
    longest_stale_run: int
    completeness: Confidence
    status: HealthStatus
    reasons: tuple[str, ...] = ()


class DataHealth(Frozen):
    """Integrity record of one source at ``as_of``."""

    source: str
    calendar: str
    as_of_ns: int
    provides: tuple[Provides, ...]
    bar_s: int
    symbols: tuple[SymbolHealth, ...]
    content_hash: str
    notes: tuple[str, ...] = ()


class InstrumentSpec(Frozen):
    """What the guards must know of an instrument. ``adv`` and ``spread_bps`` are declared assumptions,
    used (and reported) only where the source cannot provide the measure."""

    symbol: Symbol
    group: str | None = None
    currency: str = "USD"
    lot: Number = Decimal(1)
    multiplier: Number = Decimal(1)
    spread_bps: Number | None = None
    adv: Number | None = None  #: notional a day, account currency
    asset_class: str | None = None
    venue: str | None = None
    underlying: str | None = None  #: what it stands for; itself where absent
    tick: Number | None = None  #: price step
    min_notional: Number = Decimal(0)  #: smallest order of the venue, account currency
    margin_rate: Number = Decimal(1)  #: initial margin, fraction of notional
    margined: bool | None = None  #: cash pays the difference only, not the notional; None = as futures do
    mini_equivalents: Number = Decimal(0)  #: standard contracts in one unit; 0 = no future
    expiry: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    shortable: bool | None = None
    borrow_fee: Number | None = None  #: fraction a year
    cash_like: bool = False


# --- analysis: core.analysis ---------------------------------------------------------------------------------


class Exposure(StrEnum):
    """Strategy of a symbol under its regime."""

    TREND_FOLLOWING = "trend_following"
    MEAN_REVERSION = "mean_reversion"
    STAND_ASIDE = "stand_aside"
    DE_RISK = "de_risk"


class Proposal(Frozen):
    """Target weights from an allocator or from the user (``contracts.md`` 5)."""

    proposal_id: str
    as_of_ns: Instant = named("as_of")
    complete: bool = True
    weights: dict[Symbol, Number]
    input_hash: str = ""
    confidence: Confidence = 1.0
    basket: str | None = None


@dataclass(frozen=True, slots=True)
class ProposalRows:
    """The user's own proposals over time: at each of ``ts_ns`` [K] (ascending), nanoweights [K, N] of ``symbols``
    (sorted); a symbol not named at a time weighs 0 there. ``sha256`` is that of the content."""

    ts_ns: I8
    symbols: tuple[str, ...]
    weights: F8
    sha256: str


# --- portfolio and state ----------------------------------------------------------------------------------


Whole = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Clean = Annotated[int, Field(ge=0, le=127)]
MAX_MEMORIES = 16


class Latch(Frozen):
    """A persisted lockout: ``rule_id`` holds the account at ``trading_state`` until released."""

    rule_id: str
    trading_state: TradingStateName
    release: ReleaseName
    since_ns: Whole
    since_session: Whole
    until_ns: Whole | None = None
    detail: str = ""


class Closed(Frozen):
    """The last fill that closed a position: when, and the side that it closed."""

    ts_ns: Whole
    side: Literal[-1, 1]


class Sample(Frozen):
    """Unit value at an instant."""

    ts_ns: Whole
    unit: Worked


class AccountState(Frozen):
    """What ``decide()`` carries from one cycle to the next.

    ``unit_hwm`` is the high-water mark of the unitised NAV (first observation = initial capital), ``eod_hwm`` that of
    the balance at the end of a day, ``equity_hwm`` that of equity. Anchors are balance and equity at the last reset of
    the trading day, and the larger of both at those of week and month; ``day_peak`` is the day's highest equity less
    its flows. ``rung`` is the drawdown ladder's current step (−1 = none), ``acknowledged_rung`` the highest locking
    step that was released and does not fire again until it re-arms, ``ramp_left`` sessions left of the
    ramp after such a release. ``unclean`` counts, by rule, the clean observations an asset still needs; ``timers``
    say, by rule, until when it is held; ``trips`` how often a rule latched today. Fields that are absent are those of
    an account without a past.
    """

    account: str
    as_of_ns: Instant = named("as_of")
    initial_capital: Worked
    units: Worked
    unit_hwm: Worked
    last_equity: Worked
    last_balance: Worked
    day_id: Whole
    day_anchor_balance: Worked
    day_anchor_equity: Worked
    day_flow: Worked
    day_peak: Worked | None = None
    week_id: Whole = -1
    week_anchor: Worked | None = None
    week_flow: Worked = Decimal(0)
    month_id: Whole = -1
    month_anchor: Worked | None = None
    month_flow: Worked = Decimal(0)
    flows: Worked = Decimal(0)
    eod_hwm: Worked | None = None
    equity_hwm: Worked | None = None
    closed_profit: Worked = Decimal(0)
    best_day: Worked = Decimal(0)
    rung: Whole = -1
    acknowledged_rung: Whole = -1
    calm_sessions: Whole = 0
    ramp_left: Whole = 0
    session: Whole = 0
    k_last: Worked = Decimal(1)
    k_session: Whole = -1
    kill_level: Annotated[int, Field(ge=0, le=4)] = 0
    last_trade_ns: Whole | None = None
    last_good_price: dict[Symbol, Worked] = Field(default_factory=dict)
    last_good_sigma: dict[Symbol, Worked] = Field(default_factory=dict)
    last_good_fx: dict[Symbol, Worked] = Field(default_factory=dict)
    recent: Annotated[tuple[Sample, ...], Field(max_length=MAX_MEMORIES)] = ()
    losing_exits_ns: Annotated[tuple[Whole, ...], Field(max_length=MAX_MEMORIES)] = ()
    closed: dict[Symbol, Closed] = Field(default_factory=dict)
    unclean: dict[str, dict[Symbol, Clean]] = Field(default_factory=dict)
    timers: dict[str, dict[Symbol, Whole]] = Field(default_factory=dict)
    trips: dict[str, Clean] = Field(default_factory=dict)
    latches: tuple[Latch, ...] = ()


# --- decision ---------------------------------------------------------------------------------------------


class RuleOutcome(StrEnum):
    """What a rule said. The order is the order of the codes in arrays."""

    PASS = "pass"
    BOUND = "bound"
    UNKNOWN = "unknown"  #: an input is missing: the rule's most conservative non-flattening effect
    NOT_EVALUABLE = "not_evaluable"  #: the source cannot provide the input and no substitute is declared
    OFF = "off"  #: not enabled or without a limit for this account


RULE_OUTCOMES: tuple[str, ...] = tuple(o.value for o in RuleOutcome)


class RuleResult(Frozen):
    rule_id: str
    outcome: RuleOutcome
    value: Number | None = None
    limit: Number | None = None
    reason_codes: tuple[str, ...] = ()


class Outcome(StrEnum):
    APPROVE = "approve"
    RESIZE = "resize"
    BLOCK = "block"
    REDUCE_ONLY = "reduce_only"
    FLATTEN = "flatten"
    LOCK = "lock"
    HOLD = "hold"


class Target(Frozen):
    symbol: Symbol
    proposed_w: Number
    current_w: Number
    target_w: Number
    current_qty: Number
    target_qty: Number
    step_qty: Number
    limiting_rules: tuple[str, ...] = ()
    reason_codes: tuple[str, ...] = ()


class Order(Frozen):
    """One leg of the step plan. ``client_order_id`` derives from account, decision, leg and slice."""

    client_order_id: str
    leg: int
    slice: int = 1
    symbol: Symbol
    intent: Literal["exit", "entry"]
    qty: Number  #: signed
    limit_price: Number | None = None  #: absent = the venue's own order type without a limit


class OrderStatus(StrEnum):
    """How far an order has come. ``UNKNOWN``: sent without an answer; resolved by asking, never by resending."""

    NEW = "new"
    SENDING = "sending"
    SENT = "sent"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


OPEN_ORDER_STATUSES = frozenset({OrderStatus.NEW, OrderStatus.SENDING, OrderStatus.SENT, OrderStatus.UNKNOWN})


class Cancel(Frozen):
    """A working entry that must go first: by its own id, else every one of the symbol."""

    client_order_id: str | None = None
    symbol: Symbol


class Owed(Frozen):
    """What a flatten still owes, signed: nobody may send it now, or the asset cannot be traded."""

    symbol: Symbol
    qty: Number


class PMDecision(Frozen):
    """The Portfolio Manager's answer for one account: what is allowed, and why.

    ``turnover`` is the step plan's notional as a share of equity, ``expected_cost_bps`` its half spreads and fees in
    basis points of equity; null where a price, a spread or the equity is not known. ``constraint`` and ``state`` (what
    the next decision needs) are there in answers to requests.
    """

    schema_version: Literal[1] = 1
    decision_id: str
    account: str
    as_of_ns: int
    proposal_id: str
    outcome: Outcome
    trading_state_before: TradingStateName
    trading_state_after: TradingStateName
    authority: AuthorityName
    equity: Number | None  #: null = not known
    throttle: Number
    budget_factor: Number
    targets: tuple[Target, ...]
    orders: tuple[Order, ...]
    rules: tuple[RuleResult, ...]
    binding_rules: tuple[str, ...]
    latches_added: tuple[str, ...]
    latches_cleared: tuple[str, ...]
    rationale: str
    snapshot_hash: str
    proposal_hash: str
    state_hash: str
    config_hash: str
    code_version: str
    cancels: tuple[Cancel, ...] = ()
    owed: tuple[Owed, ...] = ()
    release: ReleaseTerms | None = None
    turnover: Number | None = None
    expected_cost_bps: Number | None = None
    constraint: ConstraintSnapshot | None = None
    state: AccountState | None = None


# --- the record -------------------------------------------------------------------------------------------


class EventType(StrEnum):
    """What an entry of the record tells (``risk.md`` 4.1)."""

    DECISION = "DECISION"
    RULE_BREACH = "RULE_BREACH"
    BREACH_ACKNOWLEDGED = "BREACH_ACKNOWLEDGED"
    MODE_CHANGE = "MODE_CHANGE"
    LATCH = "LATCH"
    UNLOCK = "UNLOCK"
    FILL = "FILL"
    CASH_FLOW = "CASH_FLOW"
    ATTEMPT = "ATTEMPT"
    RUN = "RUN"
    PROPOSAL = "PROPOSAL"
    CONFIG_ACCEPTED = "CONFIG_ACCEPTED"
    CONFIG_REFUSED = "CONFIG_REFUSED"
    CONFIG_CHANGED = "CONFIG_CHANGED"
    OVERRIDE = "OVERRIDE"
    APPROVAL_REQUESTED = "APPROVAL_REQUESTED"
    APPROVAL_GIVEN = "APPROVAL_GIVEN"
    APPROVAL_REFUSED = "APPROVAL_REFUSED"
    APPROVAL_VOID = "APPROVAL_VOID"
    APPROVAL_COMMENTED = "APPROVAL_COMMENTED"
    COMMAND = "COMMAND"
    ORDER_SENT = "ORDER_SENT"
    ORDER_ACKNOWLEDGED = "ORDER_ACKNOWLEDGED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    ORDER_REJECTED = "ORDER_REJECTED"
    RECON = "RECON"
    KILL = "KILL"
    LOGIN = "LOGIN"
    ACCESS = "ACCESS"
    DENIED = "DENIED"
    EXPORT = "EXPORT"
    KEY = "KEY"
    PURGE = "PURGE"
    HEARTBEAT = "HEARTBEAT"
    DEGRADED = "DEGRADED"


class ActorType(StrEnum):
    USER = "user"
    SERVICE = "service"
    RULE = "rule"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One entry of a chain before it is sealed.

    ``body`` is the canonical JSON of the whole entry without its hashes; it is what is hashed, and every
    other field is a projection of it that the files carry as a column.
    """

    firm_id: str
    account_id: str
    run_id: str
    env: str
    seq: int
    ts_event_ns: int
    event_type: str
    rule_id: str
    body: bytes
    feature_set_version: str = ""
    #: body and columns were made from one header (``core.audit``); a changed copy loses it
    projected: bool = field(default=False, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that events up to ``seq`` of a chain are durable; execution takes only decisions with one."""

    chain_id: str
    seq: int
    entry_hash: str


@dataclass(frozen=True, slots=True)
class Wait:
    """An account that waits for people: the request they must agree to."""

    account: str
    request_id: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a firm: what was asked, over which inputs, and how far it came. ``path`` is relative to the
    artifacts folder; ``waits`` are the requests it waited for last."""

    run_id: str
    kind: Literal["run", "backtest", "paced", "regime", "scan", "report", "whatif"]
    status: Literal["started", "waiting", "done", "failed"]
    inputs_hash: str
    as_of_ns: int
    path: str
    waits: tuple[Wait, ...] = ()


@dataclass(frozen=True, slots=True)
class Fill:
    """One simulated or real execution, signed quantity, quote currency."""

    client_order_id: str
    symbol: str
    qty: float
    price: float
    fee: float
    ts_ns: int


@dataclass(frozen=True, slots=True)
class RLBlock:
    """Columnar RL rows of one chain: ``record`` is ``state``, ``action`` or ``transition``.

    Every column has the same first dimension; two-dimensional columns become list columns, and so do lists of one array
    a row. A block of the gate's dry runs (``run_id`` is :data:`~regime_trading.core.audit.GATE_RUNS`) has a column
    ``run_id`` and is in the order of its times, any other in the order of ``seq``.
    """

    record: Literal["state", "action", "transition"]
    firm_id: str
    account_id: str
    run_id: str
    env: str
    feature_set_version: str
    columns: dict[str, npt.NDArray[Any] | list[Any]] = field(default_factory=dict)
