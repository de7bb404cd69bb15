"""What a report says, as frozen values: one run, or one long dry run. Display only; nothing computes on it.

Unknown is None (scalars) or NaN (arrays), never 0. Rates are fractions, times UTC nanoseconds, accounts are
``firm/account``. Words of the core (decision, regime, proposal, latch …) are used as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1, I8
from regime_trading.core.rules import Release, TradingState
from regime_trading.core.schemas import (
    ActorType,
    DataHealth,
    Latch,
    Mode,
    PMDecision,
    Proposal,
    TapeSummary,
)
from regime_trading.core.settings import Operators
from regime_trading.core.state import (
    Acceptance,
    Approval,
    Contradiction,
    Coupling,
    Judgement,
    MarketRegime,
    ProfileRef,
)
from regime_trading.tools.candidates import Candidate
from regime_trading.tools.chart_tape import TapeTrack
from regime_trading.tools.performance import Performance


def _same_length(where: str, **arrays: npt.NDArray[np.generic]) -> None:
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise BadInput(expected="arrays of one length", found=str(lengths), where=where)


# --- shared -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Substitute:
    """An input the source cannot provide, and what stood in for it (``contracts.md`` 3)."""

    wanted: str
    used: str


@dataclass(frozen=True, slots=True)
class SourceNote:
    """Where the data came from. ``notes`` are sentences, survivorship among them."""

    name: str
    provides: tuple[str, ...]
    calendar: str
    substitutes: tuple[Substitute, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RegimeHistory:
    """Causal past of the market proxy. All arrays ``[T]``.

    ``close`` NaN = no bar; ``state`` 0 (calm) … ``n_states`` − 1, negative = not known; ``label`` indexes
    ``REGIME_LABELS``, negative = not known.
    """

    symbol: str
    ts_ns: I8
    close: F8
    state: I1
    label: I1
    n_states: int

    def __post_init__(self) -> None:
        _same_length("history", ts_ns=self.ts_ns, close=self.close, state=self.state, label=self.label)


# --- one run ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountRun:
    """One account in one run. ``latches`` are those held after the decision."""

    decision: PMDecision
    profile: ProfileRef
    currency: str = "USD"
    latches: tuple[Latch, ...] = ()
    approval: Approval | None = None
    acceptance: Acceptance | None = None

    @property
    def account(self) -> str:
        return self.decision.account


@dataclass(frozen=True, slots=True, eq=False)
class RunReport:
    """One ``regime run``. None = the stage did not say anything.

    ``tracks`` are the tapes' charts by symbol. ``momentum`` is the log return over ``momentum_bars`` bars by
    symbol. ``candidates`` are the symbols of a scan, best first; ``decides`` False = the market alone was looked at.
    ``firm`` None = every firm, for the local operator only.
    """

    title: str
    run_id: str
    as_of_ns: int
    source: SourceNote
    tape: TapeSummary
    tracks: Mapping[str, TapeTrack] = field(default_factory=dict)
    health: DataHealth | None = None
    coupling: Coupling | None = None
    regime: MarketRegime | None = None
    history: RegimeHistory | None = None
    momentum: Mapping[str, float | None] = field(default_factory=dict)
    momentum_bars: int | None = None
    contradiction: Contradiction | None = None
    proposals: tuple[Proposal, ...] = ()
    accounts: tuple[AccountRun, ...] = ()
    verdict: Judgement | None = None
    code_version: str = ""
    firm: str | None = None
    candidates: tuple[Candidate, ...] = ()
    decides: bool = True


# --- a long dry run ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class RuleHistory:
    """One rule of one account over the whole history.

    ``evaluated`` counts decisions at which the rule said pass, bound or unknown; ``bound`` and ``unknown``
    are parts of it. ``reach`` says whether it can bind at all under the account's configuration and on this source:
    ``reachable``, ``unreachable``, ``off`` or ``not evaluable``; empty = not known. ``utilisation [T]`` is the value
    as a share of its limit (:func:`utilisation`), NaN = not known.
    """

    rule_id: str
    evaluated: int
    bound: int
    unknown: int = 0
    not_evaluable: int = 0
    off: int = 0
    last_bound_ns: int | None = None
    reach: str = ""
    utilisation: F8 | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of an evaluation account. ``rule_id`` = the rule that failed it; ``pnl`` in account currency."""

    number: int
    start_ns: int
    end_ns: int | None
    result: Literal["passed", "failed", "expired", "running"]
    sessions: int
    pnl: float | None = None
    rule_id: str | None = None


@dataclass(frozen=True, slots=True)
class LatchRecord:
    """A lockout and its release; ``released_ns`` None = still held at the end."""

    rule_id: str
    trading_state: TradingState
    release: Release
    since_ns: int
    released_ns: int | None = None
    released_by: str = ""
    actor: ActorType | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Money in (positive) or out, account currency."""

    ts_ns: int
    amount: float
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class AccountHistory:
    """One account over the whole history. Arrays ``[T]``.

    ``drawdown`` is a positive fraction of the unit value's high-water mark; ``trading_state`` the code of
    ``TradingState``, negative = not known; ``outcomes`` counts decisions by outcome. ``attempts`` None = not
    an evaluation account. ``turnover_pa`` is traded value a year as a multiple of equity.
    """

    account: str
    mode: Mode
    currency: str
    initial_capital: float
    ts_ns: I8
    equity: F8
    drawdown: F8
    throttle: F8
    trading_state: I1
    performance: Performance | None
    turnover_pa: float | None
    fees: float | None
    profile: str = ""
    baskets: tuple[str, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[RuleHistory, ...] = ()
    latches: tuple[LatchRecord, ...] = ()
    flows: tuple[CashFlow, ...] = ()
    attempts: tuple[Attempt, ...] | None = None

    def __post_init__(self) -> None:
        _same_length(
            self.account,
            ts_ns=self.ts_ns,
            equity=self.equity,
            drawdown=self.drawdown,
            throttle=self.throttle,
            trading_state=self.trading_state,
            **{r.rule_id: r.utilisation for r in self.rules if r.utilisation is not None},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Strategy or simple control: ``value [T]`` on any positive scale, NaN = not known; ``about`` says the rule."""

    name: str
    value: F8
    performance: Performance | None
    turnover_pa: float | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class SharpeGap:
    """Annual Sharpe ratio of the strategy minus that of ``control``, with its block-bootstrap interval."""

    control: str
    difference: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A strategy beside its simple controls on the same bars ``ts_ns [T]``.

    Set ``account`` or ``basket`` where the strategy is one account's or one basket's: a firm's report keeps
    only its own.
    """

    name: str
    ts_ns: I8
    strategy: Track
    controls: tuple[Track, ...]
    gaps: tuple[SharpeGap, ...] = ()
    note: str = ""
    account: str | None = None
    basket: str | None = None

    def __post_init__(self) -> None:
        values = {track.name: track.value for track in (self.strategy, *self.controls)}
        _same_length(self.name, ts_ns=self.ts_ns, **values)


@dataclass(frozen=True, slots=True, eq=False)
class BacktestReport:
    """One ``regime backtest``. ``fill_price`` and ``costs`` are sentences; ``first_ns`` None = no data yet."""

    title: str
    run_id: str
    first_ns: int | None
    last_ns: int | None
    source: SourceNote
    tape: TapeSummary
    fill_price: str
    costs: str = ""
    health: DataHealth | None = None
    history: RegimeHistory | None = None
    comparisons: tuple[Comparison, ...] = ()
    accounts: tuple[AccountHistory, ...] = ()
    operators: Operators | None = None
    code_version: str = ""
    firm: str | None = None
