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
from regime_trading.core.rules import RULES, FreezeWindow, RuleParams, Rung, unit_of

LATCHING_RULES: tuple[str, ...] = ("LD-01", "LD-02", "LD-03", "LD-13")
NO_LATCH = -1
MAX_RUNGS = 8
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
        Daily volatility, correlation, number of returns behind them, condition number.
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
    members : float64 [N, G + 1]
        1 where the asset belongs to the group; the last column holds the unclassified. Derived.
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
    members: F8 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = (self.group >= 0) & (self.group < self.n_groups)
        column = np.where(known, self.group, self.n_groups)
        members = (column[:, None] == np.arange(self.n_groups + 1)).astype(np.float64)
        object.__setattr__(self, "members", members)

    def unit_value(self) -> F8:
        """Account-currency value of one unit of each asset, float64 [N]."""
        return self.price * self.multiplier * self.fx


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


@dataclass(frozen=True, slots=True)
class States:
    """What is carried from one cycle to the next, for all accounts (``AccountState`` as arrays)."""

    initial_capital: F8  # [A]
    units: F8
    unit_hwm: F8
    last_equity: F8
    last_balance: F8
    day_id: I8
    day_anchor_balance: F8
    day_anchor_equity: F8
    day_flow: F8
    rung: I8
    acknowledged_rung: I8
    calm_sessions: I8
    ramp_left: I8
    last_price: F8  # [A, N]
    last_sigma: F8  # [A, N]
    latch_kind: I1  # [A, L], NO_LATCH or Release
    latch_state: I1  # [A, L], TradingState
    latch_since_ns: I8
    latch_since_session: I8

    def latched_state(self) -> I1:
        """Strictest trading state any latch holds the account at, int8 [A]."""
        held = np.where(self.latch_kind > NO_LATCH, self.latch_state, np.int8(0))
        strictest: I1 = held.max(axis=1).astype(np.int8)
        return strictest


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

    def everyone(self, value: float) -> F8:
        """One number for every account."""
        return np.full(self.n_accounts, value)


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
    +inf, ``ladder_factor``, ``ladder_state``), freeze windows a tuple of tuples.
    """
    return {
        spec.rule_id: _stack_rule([profile[spec.rule_id] for profile in profiles], symbols) for spec in RULES
    }


def _stack_rule(rows: Sequence[RuleParams], symbols: tuple[str, ...]) -> dict[str, Any]:
    stacked: dict[str, Any] = {}
    for name in type(rows[0]).model_fields:
        values = [getattr(row, name) for row in rows]
        if name == "ladder":
            stacked |= _stack_ladder(values)
        else:
            stacked[name] = _stack_field(values, unit_of(type(rows[0]), name), symbols)
    return stacked


def _stack_field(values: Sequence[Any], unit: str, symbols: tuple[str, ...]) -> Any:
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
