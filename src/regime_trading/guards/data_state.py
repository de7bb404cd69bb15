"""Guard 1, data sanity, second part: what is known about sources, clocks, the broker, rates, instruments and venues.

DS-06 to DS-10, DS-13 and DS-15; prices, books, proposals and estimates are in ``guards.data_sanity``.
"""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1, F8
from regime_trading.core.rules import TradingState
from regime_trading.guards.constraint import Constraint, block, halt, holds, meet, meet_all, mode, stay
from regime_trading.guards.facts import (
    AUCTION,
    CLOSED,
    FOREVER_NS,
    HALTED,
    LIMIT_LOCKED,
    OPEN,
    SIGN_DIFFERS,
)
from regime_trading.guards.recovery import fresh, recovering
from regime_trading.guards.snapshot import Market, Params, View
from regime_trading.guards.verdict import LatchRequest, TimerRequest, Verdict, least, verdict, worst

_WHOLE = np.array([2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100], dtype=np.float64)
_UP = np.concatenate([[1.5, 2.5], _WHOLE])
#: What a split or a consolidation multiplies a price by; nothing milder than 3:2, so that no −20 % gap is one.
SPLIT_RATIOS: F8 = np.concatenate([1.0 / _UP, _UP])
_SATURDAY = 5


def diverging(view: View, k: Params) -> B1:
    """DS-06 in one word: too far from the second source, for too long; bool [A, N]."""
    far = _divergence(view.market)[None, :] > k["max_div_bps"][:, None]
    brief = view.market.signals.divergence_s[None, :] < k["after_s"][:, None]
    lasting: B1 = far & ~brief
    return lasting


def _divergence(market: Market) -> F8:
    """Distance of the second source in basis points, float64 [N]; NaN where it is not a finite number ≥ 0."""
    bps = market.signals.divergence_bps
    return np.where(np.isfinite(bps) & (bps >= 0), bps, np.nan)


def divergence(view: View, k: Params) -> Verdict:
    """DS-06: ``|P_i / P_second,i − 1| ≤ max_div_bps``, or above it for less than ``after_s``, else BLOCK(i).

    A distance that is not known is a second source that is dead: degraded, said so (outcome *unknown*), and no
    divergence. A divergence of unknown duration (NaN) has lasted. Source: FIA (2015), market-data reasonability.
    """
    bps = _divergence(view.market)
    dirty = diverging(view, k)
    waiting, hold = recovering(view, "DS-06", dirty)
    dead = view.per_asset(np.isnan(bps))
    return verdict(
        view,
        meet(block(dirty, view.held), hold),
        bound=dirty | waiting,
        unknown=dead,
        value=view.everyone(worst(bps[None, :])[0]),
        limit=k["max_div_bps"],
        codes={"SOURCES_DIVERGE": dirty, "SECOND_SOURCE_UNKNOWN": dead, "RECOVERING": waiting},
    )


def from_the_future(market: Market, k: Params) -> B1:
    """Assets whose last row is later than now by more than ``future_tolerance_ms``, bool [A, N].

    By how much is told by a negative age; a row that is only flagged is refused.
    """
    ahead_ms = np.fmax(-market.age_bars * (market.bar_ns / 1e6), -market.signals.quote_age_s * 1e3)
    beyond: B1 = ahead_ms[None, :] > k["future_tolerance_ms"][:, None]
    flagged: B1 = market.signals.future_rows & ~(ahead_ms > 0)
    return beyond | flagged[None, :]


def clock(view: View, k: Params) -> Verdict:
    """DS-07: ``|skew| ≤ max_skew_ms``, else REDUCE_ONLY; rows beyond ``future_tolerance_ms`` are refused: BLOCK(i).

    A skew that is not known is REDUCE_ONLY too. Source: RTS 25 (clock synchronisation). The order of the record
    never leans on the clock.
    """
    ms = abs(view.market.signals.clock_skew_ms)
    skew = ms if np.isfinite(ms) else np.nan
    lost = view.everyone(skew)
    unknown = np.isnan(lost)
    skewed = lost > k["max_skew_ms"]
    future = from_the_future(view.market, k)
    return verdict(
        view,
        meet(mode(skewed | unknown, TradingState.REDUCE_ONLY), block(future, view.held)),
        bound=skewed | np.logical_or.reduce(future, axis=1),
        unknown=unknown,
        value=lost,
        limit=k["max_skew_ms"],
        codes={"CLOCK_SKEWED": skewed, "FUTURE_ROW": future, "CLOCK_UNKNOWN": unknown},
    )


def reconciliation(view: View, k: Params) -> Verdict:
    """DS-08: ``|E_broker / E_own − 1| ≤ equity_tolerance``, no position differs, ``min_reconciled`` clean in a row.

    Else REDUCE_ONLY, and so before the first attempt (the state at boot) and while the gap is not known. A
    quantity that differs: BLOCK(i); a sign that differs, or a position nobody knew: NO_TRADE(i) until it is
    adopted. A gap above ``latch_gap`` latches ``release`` at REDUCE_ONLY, but never on estimated equity: a dead
    feed is no missing money. Source: RTS 6 article 17. How exactly quantities must agree, and how long fills may
    be in flight, is the reconciler's business.
    """
    broker = view.books.broker
    gap = np.where(np.isfinite(broker.equity_gap) & (broker.equity_gap >= 0), broker.equity_gap, np.nan)
    turned = broker.mismatch == SIGN_DIFFERS
    differs = (broker.mismatch != 0) & ~turned
    untried = broker.reconciled < 0
    young = ~untried & (broker.reconciled < k["min_reconciled"])
    no_gap, apart = np.isnan(gap), gap > k["equity_tolerance"]
    wrong = np.logical_or.reduce(differs | turned, axis=1)
    torn = (gap > k["latch_gap"]) & ~view.books.equity_estimated
    cautious = untried | young | no_gap | apart | torn | wrong
    return verdict(
        view,
        meet_all(
            [mode(cautious, TradingState.REDUCE_ONLY), block(differs | turned, view.held), stay(turned)]
        ),
        bound=cautious,
        unknown=untried | no_gap,
        value=gap,
        limit=k["equity_tolerance"],
        codes={
            "RECONCILING": young,
            "POSITION_DIFFERS": differs,
            "POSITION_SIGN_DIFFERS": turned,
            "EQUITY_GAP": apart,
            "EQUITY_GAP_LATCHED": torn,
            "RECON_UNKNOWN": untried,
            "EQUITY_GAP_UNKNOWN": no_gap,
        },
        latch=LatchRequest(
            fire=torn, state=np.full(view.n_accounts, TradingState.REDUCE_ONLY, np.int8), kind=k["release"]
        ),
    )


def _usable_rate(market: Market) -> B1:
    usable: B1 = np.isfinite(market.fx) & (market.fx > 0)
    return usable


def _rate_age_limit(market: Market, k: Params) -> F8:
    """Oldest rate that may be used, float64 [A].

    ``weekend_max_age_s`` on Saturdays (UTC): on a Sunday the market opens again, and Friday's last rate is more
    than a day old by then.
    """
    weekend = market.date.weekday() == _SATURDAY
    limit: F8 = k["weekend_max_age_s"] if weekend else k["fx_max_age_s"]
    return limit


def rate_unusable(view: View, k: Params) -> B1:
    """DS-09 in one word: no exchange rate, or one that is too old; bool [A, N]."""
    age = view.market.signals.fx_age_s[None, :]
    return ~(_usable_rate(view.market)[None, :] & fresh(age, _rate_age_limit(view.market, k)[:, None]))


def fx_rate(view: View, k: Params) -> Verdict:
    """DS-09: ``FX_i`` finite and > 0 and ``age ≤ fx_max_age_s`` (Saturdays ``weekend_max_age_s``), else BLOCK(i).

    A rate is never assumed to be 1; held positions are marked by :func:`fx_marks`. An asset in the account's own
    currency has the rate 1 at age 0.
    """
    age = view.market.signals.fx_age_s
    dirty = rate_unusable(view, k)
    missing = view.per_asset(~_usable_rate(view.market) | ~np.isfinite(age))
    waiting, hold = recovering(view, "DS-09", dirty)
    return verdict(
        view,
        meet(block(dirty, view.held), hold),
        bound=dirty | waiting,
        unknown=missing,
        value=view.everyone(worst(age[None, :])[0]),
        limit=_rate_age_limit(view.market, k),
        codes={"FX_STALE": dirty & ~missing, "FX_UNKNOWN": missing, "RECOVERING": waiting},
    )


def fx_marks(market: Market, last_fx: F8, qty: F8, k: Params) -> tuple[F8, B1]:
    """Exchange rates that positions are marked at, and where they are an estimate; float64 and bool [A, N].

    A rate that DS-09 lets pass is itself. Else the last good one less ``haircut``, on the side that hurts: a long is
    worth ``last · (1 − haircut)``, a short owes ``last · (1 + haircut)``. NaN where there never was one: it is not
    1. Such marks are estimates and flatten nobody. The next fresh rate moves the equity as the market does, it is
    no flow.

    Parameters
    ----------
    last_fx : float64 [A, N]
        Last good rates; NaN = none.
    qty : float64 [A, N]
        Signed positions.
    k : Params
        DS-09 parameters.
    """
    clean = np.broadcast_to(_usable_rate(market), qty.shape)
    if "fx" in market.provided | market.substituted:  # else nobody says how old it is
        clean = clean & fresh(market.signals.fx_age_s[None, :], _rate_age_limit(market, k)[:, None])
    last = np.where(np.isfinite(last_fx) & (last_fx > 0), last_fx, np.nan)
    worse = last * (1.0 - np.sign(qty) * k["haircut"][:, None])
    return np.where(clean, market.fx[None, :], worse), ~clean & (qty != 0)


def last_rates(view: View, k: Params) -> F8:
    """Last good exchange rates after this cycle, float64 [A, N]."""
    return np.where(rate_unusable(view, k), view.states.last_fx, view.market.fx[None, :])


def split_distance(market: Market) -> F8:
    """``min over r of |P_i / P_ref,i / r − 1|`` over ``SPLIT_RATIOS``, float64 [N]; NaN = nothing to compare."""
    both = np.isfinite(market.price) & (market.price > 0)
    both &= np.isfinite(market.ref_price) & (market.ref_price > 0)
    ratio = np.divide(market.price, market.ref_price, out=np.full(len(both), np.nan), where=both)
    nearest: F8 = np.minimum.reduce(np.abs(ratio[:, None] / SPLIT_RATIOS - 1.0), axis=1)
    return nearest


def corporate_action(view: View, k: Params) -> Verdict:
    """DS-10: ``|P_i / P_ref,i / r − 1| > tolerance`` for every split ratio ``r``, or a record explains the move.

    Else NO_TRADE(i) until a person adopts it: quantity, price and orders may all be in other units. The mildest
    ratios are 2:3 and 3:2 (−33 %, +50 %), so ordinary days, and gaps of 20 or 25 %, are never taken for one.
    False alarms: 3 in 174 552 days of 21 series, 1990 to 2022 (AMD twice, BBY once, all near 3:2; none near 2:1 or
    beyond), one in 230 years of a share. What it cannot see: a split whose day moved the close by more
    than ``tolerance`` on top, changes of symbol, delistings and rolls. Without a reference there is nothing to
    compare: pass.
    """
    distance = split_distance(view.market)
    unexplained = distance[None, :] <= k["tolerance"][:, None]
    unexplained &= ~view.market.instruments.adjusted[None, :]
    held = view.states.timed("DS-10", view.market.ts_ns) & ~unexplained
    frozen = unexplained | held
    return verdict(
        view,
        stay(frozen),
        bound=frozen,
        value=view.everyone(least(distance[None, :])[0]),
        limit=k["tolerance"],
        codes={"CORPORATE_ACTION_UNRECORDED": unexplained, "NOT_ADOPTED": held},
        timer=TimerRequest(fire=unexplained, until_ns=np.full(unexplained.shape, FOREVER_NS, dtype=np.int64)),
    )


def _incomplete(market: Market) -> B1:
    """Assets whose lot, multiplier, minimum notional, margin or expiry is not known, bool [N]."""
    facts = market.instruments
    known = np.isfinite(market.lot) & (market.lot >= 0)
    known &= np.isfinite(market.multiplier) & (market.multiplier > 0)
    for values in (facts.min_notional, facts.margin_rate):
        known &= np.isfinite(values) & (values >= 0)
    return ~known | np.isnan(facts.to_expiry_s)


def metadata_unusable(view: View, k: Params) -> B1:
    """DS-13 in one word: something about the instrument is not known, or was confirmed too long ago; [A, N]."""
    age = view.market.instruments.metadata_age_s[None, :]
    return ~fresh(age, k["max_age_s"][:, None]) | _incomplete(view.market)[None, :]


def instrument_metadata(view: View, k: Params) -> Verdict:
    """DS-13: metadata confirmed at most ``max_age_s`` ago, and lot, multiplier, minimum notional, margin and expiry
    known, else BLOCK(i). A position leaves by the broker's own "close position"."""
    age = view.market.instruments.metadata_age_s
    dirty = metadata_unusable(view, k)
    missing = view.per_asset(_incomplete(view.market) | ~np.isfinite(age))
    waiting, hold = recovering(view, "DS-13", dirty)
    return verdict(
        view,
        meet(block(dirty, view.held), hold),
        bound=dirty | waiting,
        unknown=missing,
        value=view.everyone(worst(age[None, :])[0]),
        limit=k["max_age_s"],
        codes={"METADATA_STALE": dirty & ~missing, "METADATA_UNKNOWN": missing, "RECOVERING": waiting},
    )


def market_status(view: View, k: Params) -> Verdict:
    """DS-15: ``i`` is not halted, limit-locked or of unknown status, else BLOCK(i) and NO_TRADE(i); a flatten is owed.

    Auction: only limit orders, within ``auction_collar`` of the reference (0 would leave exits unfilled). For
    ``reopen_wait_s`` after a resumption BLOCK(i): exits go at once; a resumption whose time is not known (NaN) is
    recent. A closed session is UT-04's business. Source: exchange status feeds; limit up, limit down plan.
    """
    status, resumed = view.market.signals.status, view.market.signals.since_resume_s
    halted, locked, auction = (view.per_asset(status == kind) for kind in (HALTED, LIMIT_LOCKED, AUCTION))
    unknown = view.per_asset(~np.isin(status, (OPEN, AUCTION, HALTED, LIMIT_LOCKED, CLOSED)))
    shut = halted | locked | unknown
    waiting = ~(resumed[None, :] >= k["reopen_wait_s"][:, None])
    when_unknown = view.per_asset(np.isnan(resumed))
    collar = np.where(auction, k["auction_collar"][:, None], np.inf)
    limits_only = Constraint(collar=collar) if holds(auction) else Constraint()
    return verdict(
        view,
        meet_all([halt(shut, view.held), block(waiting, view.held), limits_only]),
        bound=shut | waiting | auction,
        unknown=unknown | when_unknown,
        value=view.everyone(least(resumed[None, :])[0]),
        limit=k["reopen_wait_s"],
        codes={
            "HALTED": halted,
            "LIMIT_LOCKED": locked,
            "AUCTION": auction,
            "REOPENED": waiting & ~when_unknown,
            "STATUS_UNKNOWN": unknown,
            "RESUMPTION_UNKNOWN": when_unknown,
        },
    )
