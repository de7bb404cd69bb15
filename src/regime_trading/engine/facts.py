"""Facts beside prices for every bar of a history: instruments, session clock, shocks, betas, gaps, past returns.

Arrays once, causal in their first axis; one ``InstrumentFacts`` and one ``Signals`` per bar.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.bars import SECOND_NS, IntradayGrid
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.schemas import InstrumentSpec
from regime_trading.core.settings import ScheduledEvent
from regime_trading.guards.facts import (
    BORROW_UNKNOWN,
    BORROWABLE,
    CLOSED,
    NO_BORROW,
    OPEN,
    InstrumentFacts,
    Signals,
    plain_instruments,
    quiet_signals,
)

BETA_BARS = 252
BETA_MIN_OBS = 60
SCENARIO_BARS = 500
SHOCK_NS = 900 * SECOND_NS
MIN_QUARTERS = 16
NEVER_EXPIRES = np.iinfo(np.int64).max
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class FactPath:
    """Facts of every bar.

    Parameters
    ----------
    static : InstrumentFacts
        What does not change with time.
    expiry_ns : int64 [N]
    gap_down, gap_up : float64 [T, N]
        Worst fall and rise between two sessions so far, fractions ≥ 0.
    earnings_in_days, earnings_ago_days : float64 [T, N]
    beta : float64 [T, N]
        NaN while there are fewer than ``BETA_MIN_OBS`` common returns.
    returns : float64 [T, N]
        Simple returns; the scenarios of a bar are the last ``SCENARIO_BARS`` of them.
    since_open_s, to_close_s : float64 [T]
        NaN outside a session.
    shock_sigmas : float64 [T, N], market_shock_sigmas : float64 [T]
        NaN while unknown.
    inside : bool [T]
        The venue trades.
    said : frozenset of str
        Which of it this source says (``instruments, earnings, borrow, session_clock, intraday``).
    """

    static: InstrumentFacts
    expiry_ns: I8
    gap_down: F8
    gap_up: F8
    earnings_in_days: F8
    earnings_ago_days: F8
    beta: F8
    returns: F8
    since_open_s: F8
    to_close_s: F8
    shock_sigmas: F8
    market_shock_sigmas: F8
    inside: B1
    said: frozenset[str]

    def instruments(self, t: int, ts_ns: int) -> InstrumentFacts:
        """Instruments at bar ``t``."""
        left_s = (self.expiry_ns - ts_ns) / SECOND_NS
        return replace(
            self.static,
            to_expiry_s=np.where(self.expiry_ns == NEVER_EXPIRES, np.inf, left_s),
            gap_down=self.gap_down[t],
            gap_up=self.gap_up[t],
            earnings_in_days=self.earnings_in_days[t],
            earnings_ago_days=self.earnings_ago_days[t],
        )

    def signals(self, t: int) -> Signals:
        """Signals at bar ``t``; past returns up to it."""
        n = self.returns.shape[1]
        return replace(
            quiet_signals(n),
            status=np.full(n, OPEN if self.inside[t] else CLOSED, dtype=np.int8),
            since_open_s=np.full(n, self.since_open_s[t]),
            to_close_s=np.full(n, self.to_close_s[t]),
            shock_sigmas=self.shock_sigmas[t],
            market_shock_sigmas=float(self.market_shock_sigmas[t]),
            beta=self.beta[t],
            scenarios=self.returns[max(t + 1 - SCENARIO_BARS, 0) : t + 1],
        )


def fact_path(
    specs: Sequence[InstrumentSpec],
    ts_ns: I8,
    close: F8,
    opened: F8 | None,
    market_returns: F8,
    session: I8,
    inside: B1,
    bar_ns: int,
    grid: IntradayGrid | None,
    events: Sequence[ScheduledEvent],
    *,
    adjusted: bool = False,
) -> FactPath:
    """Facts of every bar of a window.

    Parameters
    ----------
    specs : sequence of InstrumentSpec
        Columns of ``close``.
    close, opened : float64 [T, N]
        ``opened`` None where the source has no open: the gap is then measured from close to close.
    market_returns : float64 [T]
        Log returns of the market series.
    session : int64 [T]
        Ordinal of the session.
    grid : IntradayGrid, optional
        Trading stretches, for bars within the day; None: no session clock.
    adjusted : bool
        Prices are adjusted for corporate actions: none can be missing from the record.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        log_close = np.log(np.where(close > 0, close, np.nan))
    returns = np.full_like(close, np.nan)
    returns[1:] = np.diff(log_close, axis=0)
    gap_down, gap_up = session_gaps(close, opened, session)
    since_open, to_close = session_clock(ts_ns, grid)
    fine = bar_ns <= SHOCK_NS
    shocks = shock_sigmas(returns, bar_ns) if fine else np.full_like(returns, np.nan)
    market_shock = (
        shock_sigmas(market_returns[:, None], bar_ns)[:, 0] if fine else np.full(len(ts_ns), np.nan)
    )
    earnings = [event for event in events if event.kind == "earnings"]
    ahead, behind = days_to(ts_ns, [spec.symbol for spec in specs], earnings)
    static, expiry_ns = instruments_of(specs)
    static = replace(static, adjusted=np.full(len(specs), adjusted))
    return FactPath(
        static=static,
        expiry_ns=expiry_ns,
        gap_down=gap_down,
        gap_up=gap_up,
        earnings_in_days=ahead,
        earnings_ago_days=behind,
        beta=rolling_beta(returns, market_returns),
        returns=np.expm1(returns),
        since_open_s=since_open,
        to_close_s=to_close,
        shock_sigmas=shocks,
        market_shock_sigmas=market_shock,
        inside=inside,
        said=facts_said(specs, events, bar_ns, clocked=grid is not None),
    )


def facts_said(
    specs: Sequence[InstrumentSpec], events: Sequence[ScheduledEvent], bar_ns: int, *, clocked: bool
) -> frozenset[str]:
    """Which facts a source with bars of ``bar_ns`` says; ``clocked``: it knows the hours of a session."""
    told = {
        "instruments": True,
        "earnings": any(event.kind == "earnings" for event in events),
        "borrow": any(spec.shortable is not None for spec in specs),
        "session_clock": clocked,
        "intraday": bar_ns <= SHOCK_NS,
    }
    return frozenset(name for name, said in told.items() if said)


def instruments_of(specs: Sequence[InstrumentSpec]) -> tuple[InstrumentFacts, I8]:
    """Declared instruments as arrays, confirmed now; and their expiries, int64 [N]."""
    n = len(specs)
    classes = tuple(sorted({spec.asset_class for spec in specs if spec.asset_class is not None}))
    venues = tuple(sorted({spec.venue for spec in specs if spec.venue is not None}))
    issuers = sorted({spec.underlying or spec.symbol for spec in specs})

    def index(names: tuple[str, ...], value: str | None) -> int:
        return -1 if value is None else names.index(value)

    borrow = {None: BORROW_UNKNOWN, True: BORROWABLE, False: NO_BORROW}
    facts = replace(
        plain_instruments(n),
        asset_class=np.array([index(classes, spec.asset_class) for spec in specs], dtype=np.int64),
        classes=classes,
        venue=np.array([index(venues, spec.venue) for spec in specs], dtype=np.int64),
        venues=venues,
        underlying=np.array(
            [issuers.index(spec.underlying or spec.symbol) for spec in specs], dtype=np.int64
        ),
        tick=np.array([0.0 if spec.tick is None else float(spec.tick) for spec in specs]),
        min_notional=np.array([float(spec.min_notional) for spec in specs]),
        margin_rate=np.array([float(spec.margin_rate) for spec in specs]),
        mini_equivalents=np.array([float(spec.mini_equivalents) for spec in specs]),
        borrow=np.array([borrow[spec.shortable] for spec in specs], dtype=np.int8),
        borrow_fee=np.array(
            [np.nan if spec.borrow_fee is None else float(spec.borrow_fee) for spec in specs]
        ),
        cash_like=np.array([spec.cash_like for spec in specs], dtype=np.bool_),
    )
    expiry = [
        NEVER_EXPIRES
        if spec.expiry is None
        else int(dt.datetime.fromisoformat(spec.expiry).replace(tzinfo=dt.UTC).timestamp()) * SECOND_NS
        for spec in specs
    ]
    return facts, np.array(expiry, dtype=np.int64)


def session_gaps(close: F8, opened: F8 | None, session: I8) -> tuple[F8, F8]:
    """Worst fall and rise from one session's last price to the next one's first so far, float64 [T, N]; 0 = none."""
    first = np.zeros(len(session), dtype=np.bool_)
    first[1:] = session[1:] != session[:-1]
    move = np.zeros_like(close)
    if len(close) > 1:
        entered = (close if opened is None else opened)[1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = entered / close[:-1] - 1.0
        move[1:] = np.where(first[1:, None] & np.isfinite(ratio) & (close[:-1] > 0), ratio, 0.0)
    down, up = np.maximum.accumulate(-move, axis=0), np.maximum.accumulate(move, axis=0)
    return np.maximum(down, 0.0), np.maximum(up, 0.0)


def session_clock(ts_ns: I8, grid: IntradayGrid | None) -> tuple[F8, F8]:
    """Seconds since the trading stretch opened and to its close, float64 [T]; NaN outside, and without a grid."""
    unknown = np.full(len(ts_ns), np.nan)
    if grid is None or not len(grid.closes_ns):
        return unknown, unknown.copy()
    at = np.minimum(np.searchsorted(grid.closes_ns, ts_ns, side="left"), len(grid.closes_ns) - 1)
    since = (ts_ns - grid.opens_ns[at]) / SECOND_NS
    left = (grid.closes_ns[at] - ts_ns) / SECOND_NS
    inside = (since >= 0) & (left >= 0)
    return np.where(inside, since, np.nan), np.where(inside, left, np.nan)


def shock_sigmas(returns: F8, bar_ns: int) -> F8:
    """``|15-minute return|`` over the standard deviation of 15-minute returns of the last day, float64 [T, N].

    The day before the move is the yardstick, so that a shock is not measured by itself. NaN until ``MIN_QUARTERS``
    quarters of an hour of it are known.
    """
    quarter_bars = max(int(SHOCK_NS // bar_ns), 1)
    day_bars = int(86_400 * SECOND_NS // SHOCK_NS) * quarter_bars
    moves = np.nan_to_num(returns)
    nothing = np.zeros((1, returns.shape[1]))
    total = np.concatenate([nothing, np.cumsum(moves, axis=0)])
    squares = np.concatenate([nothing, np.cumsum(np.square(moves), axis=0)])
    now = np.arange(1, len(returns) + 1)
    began = np.maximum(now - quarter_bars, 0)
    before = np.maximum(began - day_bars, 0)
    counted = (began - before)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma = np.sqrt(np.maximum(squares[began] - squares[before], 0.0) / counted * quarter_bars)
        sigmas = np.abs(total[now] - total[began]) / sigma
    usable = np.isfinite(returns) & (counted >= MIN_QUARTERS * quarter_bars) & (sigma > 0)
    return np.where(usable, sigmas, np.nan)


def rolling_beta(returns: F8, market: F8) -> F8:
    """Least-squares slope on the market over the last ``BETA_BARS`` common returns, float64 [T, N]."""
    both = np.isfinite(returns) & np.isfinite(market)[:, None]
    x = np.where(both, market[:, None], 0.0)
    y = np.where(both, returns, 0.0)

    def window(values: F8) -> F8:
        total = np.cumsum(values, axis=0)
        lagged = np.zeros_like(total)
        lagged[BETA_BARS:] = total[:-BETA_BARS] if len(total) > BETA_BARS else lagged[BETA_BARS:]
        return total - lagged

    n, sx, sy = window(both.astype(np.float64)), window(x), window(y)
    sxx, sxy = window(x * x), window(x * y)
    with np.errstate(divide="ignore", invalid="ignore"):
        beta: F8 = (sxy - sx * sy / n) / (sxx - sx * sx / n)
    return np.where((n >= BETA_MIN_OBS) & np.isfinite(beta), beta, np.nan)


def days_to(ts_ns: I8, symbols: Sequence[str], events: Sequence[ScheduledEvent]) -> tuple[F8, F8]:
    """Whole calendar days (UTC) to the next and since the last event of each symbol, float64 [T, N]; inf = none."""
    today = ts_ns // (int(_DAY_S) * SECOND_NS)
    ahead = np.full((len(ts_ns), len(symbols)), np.inf)
    behind = ahead.copy()
    for column, symbol in enumerate(symbols):
        for event in events:
            if event.concerns(symbol):
                days = (event.at_ns // (int(_DAY_S) * SECOND_NS) - today).astype(np.float64)
                ahead[:, column] = np.where(days >= 0, np.minimum(ahead[:, column], days), ahead[:, column])
                behind[:, column] = np.where(
                    days <= 0, np.minimum(behind[:, column], -days), behind[:, column]
                )
    return ahead, behind
