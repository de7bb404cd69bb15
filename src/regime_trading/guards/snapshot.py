"""What every rule looks at: one market, many books, their states and their parameters, as arrays.

Shapes: ``A`` accounts, ``N`` assets (symbols in sorted order), ``G`` groups, ``L`` latching rules. Weights are
nanoweights (``core.numbers``). NaN means *unknown*, never zero.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from regime_trading.core.numbers import B1, F8, I1, I8, NANO, to_nano
from regime_trading.core.rules import (
    FLOOR_RULES,
    LATCHING_RULES,
    MAX_STEPS,
    RECOVERING_RULES,
    RULES,
    TIMER_RULES,
    FreezeWindow,
    RuleParams,
    Rung,
    ScalingStep,
    unit_of,
)
from regime_trading.guards.facts import (
    NEVER_NS,
    Brokerage,
    InstrumentFacts,
    Signals,
    plain_instruments,
    quiet_signals,
    silent_brokerage,
)
from regime_trading.guards.names import STACKED

NO_LATCH = -1
MAX_RUNGS = 8
MAX_SAMPLES = 16
NO_BOOK, TWO_SIDED, LOCKED_BOOK, CROSSED_BOOK = -1, 0, 1, 2
NO_TAPE, HEALTHY_TAPE, THIN_TAPE, STRESSED_TAPE, BROKEN_TAPE = -1, 0, 1, 2, 3
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Market:
    """One instant of the market, shared by all accounts.

    Parameters
    ----------
    ts_ns, bar_ns, session : int
        Decision time, bar length, ordinal of the trading session (monotone).
    date : datetime.date
        UTC date of ``ts_ns`` (freeze windows).
    price, ref_price : float64 [N]
        Mark now, and the last clean mark before it. NaN = missing, as is an infinite or negative number.
    age_bars : float64 [N]
        Bars since the last observed price (0 = now).
    sigma, correlation, n_obs, condition : float64 [N], [N, N], int64 [N], float
        Daily volatility and correlation of returns in account currency (the move of a price and that of its
        currency), number of returns behind them, condition number.
    price_sigma : float64 [N]
        Daily volatility of the price alone, in its own currency; None = ``sigma``, every price being in account
        currency, and where there is no asset.
    completeness, gap : float64 [N], int64 [N]
        Share of sessions with a bar; sessions since the last bar.
    venue_open : bool [N]
        Status by the exchange or its calendar; unknown counts as closed.
    adv : float64 [N]
        Average daily notional, account currency.
    spread_bps : float64 [N]
        Quoted spread in force: measured where there is a tape, else declared. NaN = unknown, as is an infinite or
        negative number.
    book, tape_grade : int8 [N]
        ``TWO_SIDED``, ``LOCKED_BOOK``, ``CROSSED_BOOK`` or ``NO_BOOK`` (not known); ``HEALTHY_TAPE`` to
        ``BROKEN_TAPE`` or ``NO_TAPE``.
    group : int64 [N]
        Index of the group, −1 = unclassified.
    lot, multiplier, fx : float64 [N]
        Smallest tradable quantity (0 = divisible), contract multiplier, account currency per quote currency.
    to_event_s, since_event_s : float64 [N]
        Seconds to the next and since the last scheduled event that concerns the asset (inf = none, NaN = the
        calendar is unknown).
    label, confidence : int, float
        Market regime in the order of ``REGIME_LABELS``; confidence after every cap.
    provided, substituted : frozenset of str
        What the source says itself and what a declared substitute says for it.
    annual : float
        Bars a year.
    instruments, signals : InstrumentFacts, Signals
        Everything else; plain instruments in a quiet market where not given.
    set_of_group : int64 [N]
        Index of the group, that of the unclassified last. Derived.
    """

    ts_ns: int
    bar_ns: int
    session: int
    date: dt.date
    symbols: tuple[str, ...]
    price: F8
    ref_price: F8
    age_bars: F8
    sigma: F8
    correlation: F8
    n_obs: I8
    condition: float
    completeness: F8
    gap: I8
    venue_open: B1
    adv: F8
    spread_bps: F8
    book: I1
    tape_grade: I1
    group: I8
    n_groups: int
    lot: F8
    multiplier: F8
    fx: F8
    to_event_s: F8
    since_event_s: F8
    label: int
    confidence: float
    provided: frozenset[str]
    substituted: frozenset[str] = frozenset()
    annual: float = 252.0
    instruments: InstrumentFacts = None  # type: ignore[assignment]
    signals: Signals = None  # type: ignore[assignment]
    price_sigma: F8 | None = None
    set_of_group: I8 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        n = len(self.symbols)
        if self.instruments is None:
            object.__setattr__(self, "instruments", plain_instruments(n))
        if self.signals is None:
            object.__setattr__(self, "signals", quiet_signals(n))
        if n == 0:
            object.__setattr__(self, "price_sigma", None)
        known = (self.group >= 0) & (self.group < self.n_groups)
        object.__setattr__(self, "set_of_group", np.where(known, self.group, self.n_groups))

    def unit_value(self) -> F8:
        """Account-currency value of one unit of each asset, float64 [N]."""
        return self.price * self.multiplier * self.fx

    def sigma_of_price(self) -> F8:
        """Daily volatility of each price alone, in its own currency, as it was said, float64 [N]."""
        return self.sigma if self.price_sigma is None else self.price_sigma


@dataclass(frozen=True, slots=True)
class Books:
    """Portfolios and proposals of all accounts.

    Parameters
    ----------
    accounts, firm : tuple of str, int64 [A]
        Full names and the index of each account's firm.
    equity, balance : float64 [A]
        Conservative equity and balance (cash and realised), account currency. NaN = unknown.
    equity_estimated : bool [A]
        A held asset had no clean mark; such equity never flattens.
    equity_age_bars : float64 [A]
    qty, working_exit_qty : float64 [A, N]
        Signed position, and how much of it working exits will close (magnitude, at most the position).
    current : float64 [A, N]
        Nanoweights of the position.
    proposed : float64 [A, N]
        Nanoweights of the proposal. NaN makes the whole proposal invalid.
    mentioned : bool [A, N]
        False = the proposal is incomplete and does not name the asset: keep, may only shrink.
    proposal_age_bars : float64 [A]
        NaN = there is no proposal.
    broker : Brokerage
        A silent one where not given.
    imposed_state : int8 [A]
        The least ``TradingState`` that the standing of the configuration demands (``core.config_status``); None =
        nothing is wrong with it.
    """

    accounts: tuple[str, ...]
    firm: I8
    equity: F8
    balance: F8
    equity_estimated: B1
    equity_age_bars: F8
    qty: F8
    working_exit_qty: F8
    current: F8
    proposed: F8
    mentioned: B1
    proposal_age_bars: F8
    broker: Brokerage = None  # type: ignore[assignment]
    imposed_state: I1 | None = None

    def __post_init__(self) -> None:
        if self.broker is None:
            object.__setattr__(self, "broker", silent_brokerage(*self.qty.shape))


@dataclass(frozen=True, slots=True)
class States:
    """What is carried from one cycle to the next, for all accounts (``AccountState`` as arrays).

    ``L`` latching rules, ``T`` rules with timers, ``K`` rules that recover, ``W`` equity samples; times in UTC
    nanoseconds (``NEVER_NS`` = never).

    Parameters
    ----------
    initial_capital, units, unit_hwm, last_equity, last_balance : float64 [A]
    day_id, day_anchor_balance, day_anchor_equity, day_flow, day_peak : int64, float64 [A]
        The trading day: its id, balance and equity at its reset, flows since, highest equity less flows since.
    week_id, week_anchor, week_flow, month_id, month_anchor, month_flow : int64, float64 [A]
        The same for weeks and months; anchors are the larger of balance and equity.
    flows : float64 [A]
        All deposits less withdrawals.
    eod_hwm, equity_hwm : float64 [A]
        Highest balance at an end of day, highest equity at any clean instant; the initial capital at first.
    closed_profit, best_day : float64 [A]
        Profit of all closed trading days, and of the best of them (0 where none gained).
    rung, acknowledged_rung, calm_sessions, ramp_left : int64 [A]
        The drawdown ladder.
    recent_ns, recent_unit : int64, float64 [A, W]
        Latest samples of the unit value, oldest first; NaN = none.
    loss_exit_ns : int64 [A, W]
        Times of the latest losing exits.
    last_trade_ns : int64 [A]
    k_last, k_session : float64, int64 [A]
        Budget factor of the last session, and that session (−1 = none).
    kill_level : int8 [A]
        0 to 4 (``risk.md`` 5.3); −1 = cannot be told, for one decision.
    last_price, last_sigma, last_fx : float64 [A, N]
        Last good ones.
    flat_ns, flat_side : int64, int8 [A, N]
        Last fill that closed a position, and the side of that position.
    unclean : int8 [A, K, N]
        Clean observations still missing before a recovering rule lets go.
    timer_ns : int64 [A, T, N]
        Until when a rule holds the asset; ``FOREVER_NS`` = until a person adopts it.
    latch_kind, latch_state : int8 [A, L]
        ``NO_LATCH`` or ``Release``; ``TradingState``.
    latch_since_ns, latch_since_session, latch_until_ns : int64 [A, L]
    latch_trips : int8 [A, L]
        How often the latch fired in this trading day.
    """

    initial_capital: F8
    units: F8
    unit_hwm: F8
    last_equity: F8
    last_balance: F8
    day_id: I8
    day_anchor_balance: F8
    day_anchor_equity: F8
    day_flow: F8
    day_peak: F8
    week_id: I8
    week_anchor: F8
    week_flow: F8
    month_id: I8
    month_anchor: F8
    month_flow: F8
    flows: F8
    eod_hwm: F8
    equity_hwm: F8
    closed_profit: F8
    best_day: F8
    rung: I8
    acknowledged_rung: I8
    calm_sessions: I8
    ramp_left: I8
    recent_ns: I8
    recent_unit: F8
    loss_exit_ns: I8
    last_trade_ns: I8
    k_last: F8
    k_session: I8
    kill_level: I1
    last_price: F8
    last_sigma: F8
    last_fx: F8
    flat_ns: I8
    flat_side: I1
    unclean: I1
    timer_ns: I8
    latch_kind: I1
    latch_state: I1
    latch_since_ns: I8
    latch_since_session: I8
    latch_until_ns: I8
    latch_trips: I1

    def latched_state(self) -> I1:
        """Strictest trading state any latch holds the account at, int8 [A]."""
        held = np.where(self.latch_kind > NO_LATCH, self.latch_state, np.int8(0))
        strictest: I1 = held.max(axis=1).astype(np.int8)
        return strictest

    def latched(self, rule_id: str) -> B1:
        """Accounts that a latch of the rule holds now, bool [A]."""
        held: B1 = self.latch_kind[:, LATCHING_RULES.index(rule_id)] > NO_LATCH
        return held

    def timed(self, rule_id: str, ts_ns: int) -> B1:
        """Assets that a timer of the rule holds at ``ts_ns``, bool [A, N]."""
        held: B1 = self.timer_ns[:, TIMER_RULES.index(rule_id), :] > ts_ns
        return held

    def recovering(self, rule_id: str) -> B1:
        """Assets that the rule holds until enough clean observations, bool [A, N]."""
        held: B1 = self.unclean[:, RECOVERING_RULES.index(rule_id), :] > 0
        return held


def fresh_states(initial_capital: F8, n_assets: int) -> States:
    """An account without a past: the first high-water mark is the initial capital itself."""
    n = len(initial_capital)
    latches = (n, len(LATCHING_RULES))

    def ids(value: int = -1) -> I8:
        return np.full(n, value, dtype=np.int64)

    def money(value: float = 0.0) -> F8:
        return np.full(n, value)

    capital = {
        name: initial_capital.copy()
        for name in (
            "initial_capital", "units", "last_equity", "last_balance", "day_anchor_balance", "day_anchor_equity",
            "day_peak", "week_anchor", "month_anchor", "eod_hwm", "equity_hwm",
        )
    }  # fmt: skip
    return States(
        **capital,
        unit_hwm=money(1.0),
        day_id=ids(),
        day_flow=money(),
        week_id=ids(),
        week_flow=money(),
        month_id=ids(),
        month_flow=money(),
        flows=money(),
        closed_profit=money(),
        best_day=money(),
        rung=ids(),
        acknowledged_rung=ids(),
        calm_sessions=ids(0),
        ramp_left=ids(0),
        recent_ns=np.full((n, MAX_SAMPLES), NEVER_NS, dtype=np.int64),
        recent_unit=np.full((n, MAX_SAMPLES), np.nan),
        loss_exit_ns=np.full((n, MAX_SAMPLES), NEVER_NS, dtype=np.int64),
        last_trade_ns=np.full(n, NEVER_NS, dtype=np.int64),
        k_last=money(1.0),
        k_session=ids(),
        kill_level=np.zeros(n, dtype=np.int8),
        last_price=np.full((n, n_assets), np.nan),
        last_sigma=np.full((n, n_assets), np.nan),
        last_fx=np.full((n, n_assets), np.nan),
        flat_ns=np.full((n, n_assets), NEVER_NS, dtype=np.int64),
        flat_side=np.zeros((n, n_assets), dtype=np.int8),
        unclean=np.zeros((n, len(RECOVERING_RULES), n_assets), dtype=np.int8),
        timer_ns=np.full((n, len(TIMER_RULES), n_assets), NEVER_NS, dtype=np.int64),
        latch_kind=np.full(latches, NO_LATCH, dtype=np.int8),
        latch_state=np.zeros(latches, dtype=np.int8),
        latch_since_ns=np.zeros(latches, dtype=np.int64),
        latch_since_session=np.zeros(latches, dtype=np.int64),
        latch_until_ns=np.full(latches, NEVER_NS, dtype=np.int64),
        latch_trips=np.zeros(latches, dtype=np.int8),
    )


@dataclass(frozen=True, slots=True)
class View:
    """The arguments of every rule, and what every rule would derive from them.

    Parameters
    ----------
    market, books, states
    held : float64 [A, N]
        ``books.current`` with unknown weights as 0, for boxes: what is not known may not grow.
    size : float64 [A, N]
        ``|books.proposed|`` with unknown weights as 0.
    blank : float64 [A]
        NaN: no number to show.
    """

    market: Market
    books: Books
    states: States
    held: F8 = field(init=False)
    size: F8 = field(init=False)
    blank: F8 = field(init=False)
    n_accounts: int = field(init=False)
    n_assets: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_accounts", len(self.books.accounts))
        object.__setattr__(self, "n_assets", len(self.market.symbols))
        object.__setattr__(self, "blank", np.full(self.n_accounts, np.nan))
        object.__setattr__(self, "held", known_or_zero(self.books.current) + 0.0)
        object.__setattr__(self, "size", np.abs(known_or_zero(self.books.proposed)))

    def per_asset(self, mask: B1) -> B1:
        """The mask over assets, once for every account."""
        wide = np.empty((self.n_accounts, self.n_assets), dtype=np.bool_)
        wide[:] = mask
        return wide

    def says(self, name: str, *, itself: bool = False) -> bool:
        """Whether the source or the broker says it (``itself``: no declared substitute counts)."""
        said = name in self.market.provided or name in self.books.broker.provided
        return said or (not itself and name in self.market.substituted)

    def everyone(self, value: float) -> F8:
        """One number for every account."""
        return np.full(self.n_accounts, value)


@dataclass(frozen=True, slots=True)
class Happened:
    """What the fills and the clock brought since the last cycle.

    Parameters
    ----------
    new_day : bool [A]
        A new trading day of the account has begun.
    flat_side : int8 [A, N]
        Side of a position that a fill of this cycle closed or turned, whatever its origin; 0 = none.
    flat_return : float64 [A, N]
        Return of that position from its average price, sign by side; NaN = unknown.
    traded : bool [A]
        Something was filled.
    """

    new_day: B1
    flat_side: I1
    flat_return: F8
    traded: B1


def nothing_happened(n_accounts: int, n_assets: int) -> Happened:
    """No fill, no new day."""
    return Happened(
        new_day=np.zeros(n_accounts, dtype=np.bool_),
        flat_side=np.zeros((n_accounts, n_assets), dtype=np.int8),
        flat_return=np.full((n_accounts, n_assets), np.nan),
        traded=np.zeros(n_accounts, dtype=np.bool_),
    )


def known_or_zero(values: F8) -> F8:
    """``values`` with everything that is not a finite number as 0."""
    return np.where(np.isfinite(values), values, 0.0)


def missing_mark(market: Market) -> B1:
    """Assets without a usable price, bool [N]."""
    return ~(np.isfinite(market.price) & (market.price > 0))


def known_spread(market: Market) -> F8:
    """Quoted spread that a rule may use, float64 [N]; NaN where it is unknown.

    A source that has quotes must have said what the book is; a declared spread stands in only for a source
    that cannot.
    """
    known = np.isfinite(market.spread_bps) & (market.spread_bps >= 0)
    if "quotes" in market.provided:
        known &= market.book >= TWO_SIDED
    return np.where(known, market.spread_bps, np.nan)


def stack_params(
    profiles: Sequence[Mapping[str, RuleParams]], symbols: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Parameters of every rule as arrays over accounts.

    Decimals become float64 (nanoweights where the unit is a fraction of equity), enumerations their
    ordinal, symbol lists a mask ``[A, N]``, ladders three arrays ``[A, MAX_RUNGS]`` (``ladder_at`` padded with
    +inf, ``ladder_factor``, ``ladder_state``), steps two arrays ``[A, MAX_STEPS]`` (``scaling_at``,
    ``scaling_n``, padded with +inf), freeze windows a tuple of tuples. ``floors`` of LD-12 are the parameters of the
    rules whose floors are its loss budget.
    """
    return restack(
        {}, [{spec.rule_id: profile[spec.rule_id] for spec in RULES} for profile in profiles], symbols
    )


def restack(
    stacked: Mapping[str, dict[str, Any]],
    profiles: Sequence[Mapping[str, RuleParams]],
    symbols: tuple[str, ...],
) -> dict[str, dict[str, Any]]:
    """``stacked`` with the rules that every profile names stacked anew."""
    own = {
        rule_id: _stack_rule([profile[rule_id] for profile in profiles], symbols) for rule_id in profiles[0]
    }
    made = {**stacked, **own}
    made["LD-12"] = made["LD-12"] | {"floors": {rule_id: made[rule_id] for rule_id in FLOOR_RULES}}
    return made


def _stack_rule(rows: Sequence[RuleParams], symbols: tuple[str, ...]) -> dict[str, Any]:
    stacked: dict[str, Any] = {}
    for name in type(rows[0]).model_fields:
        values = [getattr(row, name) for row in rows]
        if name == "ladder":
            stacked |= _stack_ladder(values)
        elif name == "scaling":
            stacked |= _stack_scaling(values)
        else:
            stacked[name] = _stack_field(values, unit_of(type(rows[0]), name), symbols)
    return stacked


def _stack_field(values: Sequence[Any], unit: str, symbols: tuple[str, ...]) -> Any:
    if unit in STACKED:
        return STACKED[unit](values, symbols)
    first = values[0]
    if isinstance(first, bool):
        return np.array(values, dtype=np.bool_)
    if isinstance(first, Decimal):
        plain = np.array([float(v) for v in values], dtype=np.float64)
        with np.errstate(invalid="ignore"):  # unlimited
            return to_nano(plain) if unit.startswith("fraction of equity") else plain
    if isinstance(first, Enum):
        members = list(type(first))
        return np.array([members.index(v) for v in values], dtype=np.int8)
    if isinstance(first, int):
        return np.array(values, dtype=np.int64)
    if first is None or isinstance(first, tuple):
        return _stack_tuple(values, unit, symbols)
    raise TypeError(f"a rule parameter of type {type(first).__name__} has no array form")


def _stack_tuple(values: Sequence[Any], unit: str, symbols: tuple[str, ...]) -> Any:
    if unit == "days":
        return tuple(tuple(window for window in value) for value in values)
    rows = [[value is None or s in value for s in symbols] for value in values]
    return np.array(rows, dtype=np.bool_).reshape(len(values), len(symbols))


def _stack_ladder(ladders: Sequence[tuple[Rung, ...]]) -> dict[str, npt.NDArray[Any]]:
    at = np.full((len(ladders), MAX_RUNGS), np.inf)
    factor = np.ones((len(ladders), MAX_RUNGS))
    state = np.zeros((len(ladders), MAX_RUNGS), dtype=np.int8)
    for row, ladder in enumerate(ladders):
        if len(ladder) > MAX_RUNGS:
            raise ValueError(f"ladder: expected at most {MAX_RUNGS} rungs, found {len(ladder)}")
        for col, rung in enumerate(ladder):
            at[row, col] = float(rung.at)
            if isinstance(rung.action, Decimal):
                factor[row, col] = float(rung.action)
            else:
                state[row, col] = 2 if rung.action == "FLATTEN" else 3
    return {"ladder_at": at, "ladder_factor": factor, "ladder_state": state}


def _stack_scaling(rows: Sequence[tuple[ScalingStep, ...]]) -> dict[str, npt.NDArray[Any]]:
    at, n = np.full((len(rows), MAX_STEPS), np.inf), np.full((len(rows), MAX_STEPS), np.inf)
    for row, steps in enumerate(rows):
        for col, step in enumerate(steps):
            at[row, col], n[row, col] = float(step.eod_profit_ge), float(step.n)
    return {"scaling_at": at, "scaling_n": n}


def in_freeze(windows: tuple[FreezeWindow, ...], day: dt.date) -> bool:
    """Is ``day`` inside one of the windows? A yearly window may wrap over the new year."""
    if not windows:
        return False
    full, short = day.isoformat(), day.isoformat()[5:]
    for window in windows:
        key = full if len(window.first) == 10 else short
        if window.first <= window.last:
            if window.first <= key <= window.last:
                return True
        elif key >= window.first or key <= window.last:
            return True
    return False


def nano_weights(qty: F8, unit_value: F8, equity: F8) -> F8:
    """Nanoweights of positions: ``q · m · P · FX / E`` rounded toward zero, float64 [A, N].

    NaN where the price or the equity is missing and the position is not flat; 0 where it is flat.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = qty * unit_value / equity[:, None]
    usable = np.isfinite(weight) & ((equity > 0) & np.isfinite(equity))[:, None]
    return np.where(qty == 0, 0.0, np.where(usable, to_nano(np.where(usable, weight, 0.0)), np.nan))


ONE = NANO
