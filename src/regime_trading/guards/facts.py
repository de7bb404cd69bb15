"""Facts beside prices and positions: instruments, signals of the tape and the clock, and what a broker says.

Shapes: ``A`` accounts, ``N`` assets. NaN (−1 in an integer) means *unknown*, never zero. Whether a source can say a
fact at all is told by name (``provided``), so that a rule can tell what is missing from what nobody measures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8

OPEN, AUCTION, HALTED, LIMIT_LOCKED, CLOSED, UNKNOWN_STATUS = range(6)
STATUS_NAMES: tuple[str, ...] = ("open", "auction", "halted", "limit_locked", "closed", "unknown")
NO_BORROW, BORROWABLE, RECALLED, BORROW_UNKNOWN = 0, 1, 2, -1
QUANTITY_DIFFERS, SIGN_DIFFERS = 1, 2
NEVER_NS = np.iinfo(np.int64).min
FOREVER_NS = np.iinfo(np.int64).max
BUY, SELL = 0, 1


@dataclass(frozen=True, slots=True)
class InstrumentFacts:
    """What is known of each instrument; ``[N]`` arrays.

    Parameters
    ----------
    metadata_age_s : float64
        Seconds since tick, lot, multiplier, currency and margin class were confirmed; NaN = not known at all.
    asset_class, venue : int64
        Index into ``classes`` and ``venues``; −1 = unknown.
    underlying : int64
        Assets with one index are one issuer: an ETF and its future, a share and its depositary receipt.
    tick : float64
        Price step; 0 = unknown.
    min_notional, margin_rate : float64
        Smallest order the venue takes, account currency; initial margin as a fraction of notional.
    mini_equivalents : float64
        Contracts of standard (mini) size in one unit: 1, a tenth for a micro; 0 where it is no future.
    to_expiry_s : float64
        Seconds to expiry, delisting or first notice, whichever is first; inf = none.
    borrow : int8
        ``BORROWABLE``, ``NO_BORROW``, ``RECALLED`` or ``BORROW_UNKNOWN``.
    borrow_fee : float64
        Fraction a year.
    cash_like : bool
        Exempt from concentration caps.
    gap_down, gap_up : float64
        Worst overnight fall and rise on record, as fractions ≥ 0.
    earnings_in_days, earnings_ago_days : float64
        Calendar days to the next and since the last earnings, dividend or ex-date; inf = none.
    adjusted : bool
        A corporate action on record explains the move since the last mark.
    """

    metadata_age_s: F8
    asset_class: I8
    classes: tuple[str, ...]
    venue: I8
    venues: tuple[str, ...]
    underlying: I8
    tick: F8
    min_notional: F8
    margin_rate: F8
    mini_equivalents: F8
    to_expiry_s: F8
    borrow: I1
    borrow_fee: F8
    cash_like: B1
    gap_down: F8
    gap_up: F8
    earnings_in_days: F8
    earnings_ago_days: F8
    adjusted: B1


def plain_instruments(n: int) -> InstrumentFacts:
    """Cash instruments about which nothing special is known: no expiry, no gap on record, full margin."""
    never, nothing, unknown = np.full(n, np.inf), np.zeros(n), np.full(n, -1, dtype=np.int64)
    return InstrumentFacts(
        metadata_age_s=nothing.copy(),
        asset_class=unknown,
        classes=(),
        venue=unknown.copy(),
        venues=(),
        underlying=np.arange(n, dtype=np.int64),
        tick=nothing.copy(),
        min_notional=nothing.copy(),
        margin_rate=np.ones(n),
        mini_equivalents=nothing.copy(),
        to_expiry_s=never,
        borrow=np.full(n, BORROWABLE, dtype=np.int8),
        borrow_fee=nothing.copy(),
        cash_like=np.zeros(n, dtype=np.bool_),
        gap_down=nothing.copy(),
        gap_up=nothing.copy(),
        earnings_in_days=never.copy(),
        earnings_ago_days=never.copy(),
        adjusted=np.zeros(n, dtype=np.bool_),
    )


@dataclass(frozen=True, slots=True)
class Signals:
    """What the tape, the clock and the history of prices say beyond a price; ``[N]`` arrays and numbers.

    Parameters
    ----------
    status : int8
        ``OPEN`` to ``UNKNOWN_STATUS`` by the venue's own feed, or by its calendar where that is declared.
    since_resume_s, since_open_s, to_close_s : float64
        Seconds since trading resumed after a halt (inf = no halt), since the session opened, and to its close.
    quote_age_s, received_age_s : float64
        Seconds since the last quote by its event time and by its time of receipt.
    frozen_updates, reference_sigmas : float64
        Updates in a row with the same price, and how far the reference moved meanwhile, in standard deviations.
    divergence_bps, divergence_s : float64
        Distance of a second source, and for how long.
    fx_age_s : float64
        Age of the exchange rate into the account currency.
    shock_sigmas : float64
        ``|15-minute return|`` over the standard deviation of 15-minute returns of the last day.
    market_shock_sigmas : float
        The same for the market proxy.
    future_rows : bool
        The last row is stamped later than the decision.
    clock_skew_ms : float
        Offset of this machine's clock from its reference.
    beta : float64
        To the market proxy.
    scenarios : float64 [S, N]
        One-bar returns of the past, for tail risk; NaN = missing.
    correlation_shift_sigmas : float
        Shift of the mean absolute correlation against its own past.
    """

    status: I1
    since_resume_s: F8
    since_open_s: F8
    to_close_s: F8
    quote_age_s: F8
    received_age_s: F8
    frozen_updates: F8
    reference_sigmas: F8
    divergence_bps: F8
    divergence_s: F8
    fx_age_s: F8
    shock_sigmas: F8
    market_shock_sigmas: float
    future_rows: B1
    clock_skew_ms: float
    beta: F8
    scenarios: F8
    correlation_shift_sigmas: float


def quiet_signals(n: int) -> Signals:
    """An open, quiet market with fresh quotes, without a past."""
    nothing, long_ago = np.zeros(n), np.full(n, np.inf)
    return Signals(
        status=np.full(n, OPEN, dtype=np.int8),
        since_resume_s=long_ago,
        since_open_s=long_ago.copy(),
        to_close_s=long_ago.copy(),
        quote_age_s=nothing.copy(),
        received_age_s=nothing.copy(),
        frozen_updates=nothing.copy(),
        reference_sigmas=nothing.copy(),
        divergence_bps=nothing.copy(),
        divergence_s=nothing.copy(),
        fx_age_s=nothing.copy(),
        shock_sigmas=nothing.copy(),
        market_shock_sigmas=0.0,
        future_rows=np.zeros(n, dtype=np.bool_),
        clock_skew_ms=0.0,
        beta=np.ones(n),
        scenarios=np.zeros((0, n)),
        correlation_shift_sigmas=0.0,
    )


@dataclass(frozen=True, slots=True)
class Brokerage:
    """What a broker and this desk's own traffic say of each account.

    Parameters
    ----------
    provided : frozenset of str
        Which of it is known at all: ``recon, margin, orders, fills, stops, heartbeat``.
    reconciled : int64 [A]
        Clean reconciliations in a row; −1 = never tried.
    mismatch : int8 [A, N]
        0, ``QUANTITY_DIFFERS`` or ``SIGN_DIFFERS`` (an unknown position too).
    equity_gap : float64 [A]
        ``|E_broker / E_computed − 1|``.
    margin_used, buying_power : float64 [A]
        Account currency.
    violated : bool [A]
        The broker or prop firm reports the account's rules broken.
    orders_1s, orders_60s, orders_day, rejects_60s, timeouts_60s : float64 [A]
        Orders sent and answered with a reject or not at all.
    fills_60s : float64 [A, N, 2]
        Fills bought and sold.
    round_trips_day : float64 [A, N]
    sent_qty : float64 [A, N]
        Signed quantity of orders sent in the last two seconds, 0 = none.
    heartbeat_age_s : float64 [A]
    slippage_bps : float64 [A, N]
        Exponentially weighted; NaN = no fill yet.
    avg_price : float64 [A, N]
        Average entry price, quote currency; 0 where flat.
    unprotected_s : float64 [A, N]
        Seconds a position has been without a protective stop; 0 = it has one.
    working_entry_qty : float64 [A, N]
        Signed quantity of entries that work at the broker.
    working_age_s : float64 [A, N]
        Age of the oldest of them.
    """

    provided: frozenset[str]
    reconciled: I8
    mismatch: I1
    equity_gap: F8
    margin_used: F8
    buying_power: F8
    violated: B1
    orders_1s: F8
    orders_60s: F8
    orders_day: F8
    rejects_60s: F8
    timeouts_60s: F8
    fills_60s: F8
    round_trips_day: F8
    sent_qty: F8
    heartbeat_age_s: F8
    slippage_bps: F8
    avg_price: F8
    unprotected_s: F8
    working_entry_qty: F8
    working_age_s: F8


def silent_brokerage(n_accounts: int, n_assets: int) -> Brokerage:
    """No broker, no traffic: nothing is provided, nothing works."""
    one, many = np.zeros(n_accounts), np.zeros((n_accounts, n_assets))
    return Brokerage(
        provided=frozenset(),
        reconciled=np.full(n_accounts, -1, dtype=np.int64),
        mismatch=np.zeros((n_accounts, n_assets), dtype=np.int8),
        equity_gap=np.full(n_accounts, np.nan),
        margin_used=np.full(n_accounts, np.nan),
        buying_power=np.full(n_accounts, np.nan),
        violated=np.zeros(n_accounts, dtype=np.bool_),
        orders_1s=one.copy(),
        orders_60s=one.copy(),
        orders_day=one.copy(),
        rejects_60s=one.copy(),
        timeouts_60s=one.copy(),
        fills_60s=np.zeros((n_accounts, n_assets, 2)),
        round_trips_day=many.copy(),
        sent_qty=many.copy(),
        heartbeat_age_s=one.copy(),
        slippage_bps=np.full((n_accounts, n_assets), np.nan),
        avg_price=many.copy(),
        unprotected_s=many.copy(),
        working_entry_qty=many.copy(),
        working_age_s=many.copy(),
    )
