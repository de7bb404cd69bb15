"""Guard 3, circuits beside the day: trailing floors, weeks and months, single positions, streaks, velocity, profits."""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1, F8, NANO, to_nano
from regime_trading.core.rules import OnCap, Release, TradingState
from regime_trading.guards.constraint import Constraint, block, holds, meet, mode, zero
from regime_trading.guards.escalation import escalate, levels, max_loss, pick
from regime_trading.guards.floors import (
    eod_trailing,
    intraday_trailing,
    open_profit,
    periodic,
    unit_nav,
)
from regime_trading.guards.snapshot import Params, View
from regime_trading.guards.verdict import LatchRequest, Verdict, verdict, worst

_S = int(NANO)
_ON_CAP = list(OnCap)


def eod_loss(view: View, k: Params) -> Verdict:
    """LD-04: ``E > max(E_0, highest end-of-day balance) − act · M``, ``M = min(limit_pct · E_0, amount)``.

    The mark rises at the end of a day only, the equity is watched at all times, the floor never falls; with
    ``lock_at: initial`` it stops at the initial capital. act: FLATTEN and latch ``release``; the floor itself: LOCKED
    and latch ``on_external``. E unknown: REDUCE_ONLY.

    Source: end-of-day trailing drawdown of proprietary trading firms.
    """
    return max_loss(view, k, eod_trailing(view.states, k)[0], "EOD_LOSS")


def intraday_loss(view: View, k: Params) -> Verdict:
    """LD-05: ``E > max_t E − act · M``, open profits included; the floor stops ``lock_offset`` above ``E_0``.

    Only clean marks raise the mark, any equity is checked against the floor. act: FLATTEN and latch ``release``; the
    floor itself: LOCKED and latch ``on_external``. E unknown: REDUCE_ONLY.

    Source: trailing threshold of proprietary trading firms.
    """
    return max_loss(view, k, intraday_trailing(view.states, k)[0], "INTRADAY_LOSS")


def period_loss(view: View, k: Params) -> Verdict:
    """LD-06: ``E > A + F − level · L`` of the week (from Monday) and of the month (from the 1st), in its own zone.

    soft: THROTTLE 0.5; warn: REDUCE_ONLY; act: FLATTEN and latch ``release``; a floor itself: latch ``on_external``.
    Value and limit are those of the period with the larger share lost. E unknown: REDUCE_ONLY.
    """
    equity = view.books.equity
    week, month = periodic(view.states, k)
    off = np.isinf(week.limit) & np.isinf(month.limit)
    soft, warn, act, external, unknown = (np.zeros_like(off) for _ in range(5))
    share = []
    for circuit in (week, month):
        loss, limit = circuit.loss(equity), circuit.limit
        unknown |= ~np.isfinite(loss - limit) & ~np.isinf(limit)
        reached = levels(loss, limit, k)
        soft, warn, act = soft | reached[0], warn | reached[1], act | reached[2]
        external |= loss >= limit
        with np.errstate(divide="ignore", invalid="ignore"):
            share.append(np.where(np.isinf(limit), -np.inf, loss / limit))
    monthly = share[1] > share[0]
    latch = LatchRequest(
        fire=act,
        state=np.full(view.n_accounts, TradingState.FLATTEN, dtype=np.int8),
        kind=pick(external, k["on_external"], k["release"]),
    )
    constraint, fired = escalate(unknown, soft, warn, latch, view.books.equity_estimated)
    return verdict(
        view,
        constraint,
        bound=soft,
        unknown=unknown,
        off=off,
        value=np.where(off, np.nan, np.where(monthly, month.loss(equity), week.loss(equity))),
        limit=np.where(monthly, month.limit, week.limit),
        codes={
            "PERIOD_LOSS_SOFT": soft & ~warn,
            "PERIOD_LOSS_WARN": warn & ~act,
            "PERIOD_LOSS_ACT": act,
            "PERIOD_LOSS_FLOOR": external,
            "EQUITY_UNKNOWN": unknown,
        },
        latch=fired,
    )


def position_loss(view: View, k: Params) -> Verdict:
    """LD-07: ``−open profit_i < min(max_loss_pct_equity · E, max_mae)``, else ZERO(i).

    What it closes starts the cooldown of UT-11 by its own fill. An equity that is an estimate empties nothing:
    BLOCK(i). Price, average price or equity unknown: BLOCK(i). Where the broker tells of stops, a position without one
    for more than ``stop_attach_s`` may not grow: BLOCK(i).

    Source: maximum adverse excursion rules of proprietary trading firms.
    """
    held, equity = view.books.qty != 0, np.where(view.books.equity > 0, view.books.equity, np.nan)[:, None]
    loss = -open_profit(view)
    share = to_nano(np.minimum(loss / equity, NANO))
    by_share, by_money = k["max_loss_pct_equity"][:, None], k["max_mae"][:, None]
    limited = np.isfinite(by_share) | np.isfinite(by_money)
    hit = held & ((share >= by_share) | (loss >= by_money))
    unknown = held & limited & (np.isnan(loss) | (np.isfinite(by_share) & np.isnan(share)))
    bare, unsure = _unprotected(view, held, k["stop_attach_s"][:, None])
    estimated = view.books.equity_estimated[:, None]
    money_share = np.divide(by_money, equity, out=np.full(equity.shape, np.inf), where=np.isfinite(by_money))
    limit = np.minimum(by_share, to_nano(money_share))[:, 0]
    return verdict(
        view,
        meet(zero(hit & ~estimated), block(hit | unknown | bare | unsure, view.held)),
        bound=hit | bare,
        unknown=unknown | unsure,
        off=np.isinf(np.fmin(by_share, by_money))[:, 0] & np.isinf(k["stop_attach_s"]),
        value=worst(np.where(held, share, np.nan)),
        limit=limit,
        codes={
            "POSITION_LOSS": hit,
            "STOP_MISSING": bare,
            "POSITION_LOSS_UNKNOWN": unknown,
            "STOP_UNKNOWN": unsure,
        },
    )


def _unprotected(view: View, held: B1, limit: F8) -> tuple[B1, B1]:
    """Positions too long without a protective stop, and those of which nobody knows; bool [A, N]."""
    asked = held & np.isfinite(limit) & view.says("stops")
    seconds = view.books.broker.unprotected_s
    return asked & (seconds > limit), asked & np.isnan(seconds)


def loss_streak(view: View, k: Params) -> Verdict:
    """LD-08: losing exits since ``t − window_s`` fewer than ``count``, else no new risk for ``hold_s`` after the last.

    Scratch trades (a loss below ``min_return``) do not count, exits of unknown return do. While the latch is held,
    which is for a time and leaves the trading state as it is, every asset may only shrink.

    Source: stop-loss guards of open-source trading bots.
    """
    ts_ns, times = view.market.ts_ns, view.states.loss_exit_ns
    inside = times >= (ts_ns - k["window_s"] * _S)[:, None]
    count = inside.sum(axis=1)
    until = np.maximum.reduce(times, axis=1) + k["hold_s"] * _S
    fire = (count >= k["count"]) & (until > ts_ns)
    blocked = fire | view.states.latched("LD-08")
    return verdict(
        view,
        block(np.repeat(blocked[:, None], view.n_assets, axis=1), view.held),
        bound=blocked,
        value=count.astype(np.float64),
        limit=k["count"].astype(np.float64),
        codes={"LOSS_STREAK": blocked},
        latch=LatchRequest(
            fire=fire,
            state=np.full(view.n_accounts, TradingState.NORMAL, dtype=np.int8),
            kind=np.full(view.n_accounts, Release.TIMED, dtype=np.int8),
            until_ns=until,
        ),
    )


def loss_velocity(view: View, k: Params) -> Verdict:
    """LD-09: ``1 − u / max u`` over the last ``window_s`` below ``reduce_pct``, else REDUCE_ONLY for ``hold_s``;
    at ``flatten_pct`` FLATTEN until a person looks.

    Unit values, so that flows are no loss; clean samples only. E unknown: REDUCE_ONLY.

    Source: RTS 6 article 15 (3), in spirit: a runaway is stopped before the limit of the day is.
    """
    ts_ns, states = view.market.ts_ns, view.states
    off = np.isinf(k["reduce_pct"]) & np.isinf(k["flatten_pct"])
    unit = unit_nav(states, view.books.equity)
    inside = states.recent_ns >= (ts_ns - k["window_s"] * _S)[:, None]
    peak = np.fmax(unit, np.fmax.reduce(np.where(inside, states.recent_unit, -np.inf), axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(peak > 0, 1.0 - unit / peak, np.nan)
    unknown = ~np.isfinite(lost) & ~off
    flatten = lost >= k["flatten_pct"]
    reduce = (lost >= k["reduce_pct"]) | flatten
    latch = LatchRequest(
        fire=reduce,
        state=pick(flatten, np.int8(TradingState.FLATTEN), np.int8(TradingState.REDUCE_ONLY)),
        kind=pick(flatten, np.int8(Release.MANUAL), np.int8(Release.TIMED)),
        until_ns=ts_ns + k["hold_s"] * _S,
    )
    constraint, fired = escalate(unknown, np.zeros_like(reduce), reduce, latch, view.books.equity_estimated)
    return verdict(
        view,
        constraint,
        bound=reduce,
        unknown=unknown,
        off=off,
        value=lost,
        limit=np.minimum(k["reduce_pct"], k["flatten_pct"]),
        codes={"LOSS_VELOCITY": reduce, "LOSS_VELOCITY_FLATTEN": flatten, "EQUITY_UNKNOWN": unknown},
        latch=fired,
    )


def give_back(view: View, k: Params) -> Verdict:
    """LD-10: once today's peak gain is ``min_gain`` of the anchor or more, less than ``share`` of it may be given back,
    else REDUCE_ONLY until the next session.

    Gains are net of flows, open profits included. E or anchor unknown: REDUCE_ONLY.

    Source: personal trailing daily loss limits of proprietary trading firms.
    """
    states = view.states
    anchor, now = states.day_anchor_equity, view.books.equity - states.day_flow
    off = np.isinf(k["share"])
    peak = np.maximum(states.day_peak, now)
    gain = peak - anchor
    with np.errstate(divide="ignore", invalid="ignore"):
        given = np.where(gain > 0, (peak - now) / gain, np.where(np.isnan(gain), np.nan, 0.0))
    unknown = ~np.isfinite(given) & ~off
    back = (gain > 0) & (gain >= k["min_gain"] * anchor) & (given >= k["share"])
    latch = LatchRequest(
        fire=back,
        state=np.full(view.n_accounts, TradingState.REDUCE_ONLY, dtype=np.int8),
        kind=np.full(view.n_accounts, Release.NEXT_SESSION, dtype=np.int8),
    )
    constraint, fired = escalate(unknown, np.zeros_like(back), back, latch, view.books.equity_estimated)
    return verdict(
        view,
        constraint,
        bound=back,
        unknown=unknown,
        off=off,
        value=given,
        limit=k["share"],
        codes={"GIVE_BACK": back, "EQUITY_UNKNOWN": unknown},
        latch=fired,
    )


def consistency(view: View, k: Params) -> Verdict:
    """LD-11: profit today below ``x / (1 − x) ·`` profit of the other days, else no new risk; ``EXIT``: ZERO.

    With x the largest share of the total profit that one day may have. Not a loss: it keeps a good day from being
    too good to pass. Inactive while the other days together have made nothing, for there is nothing to
    measure this one against. E or profit unknown: REDUCE_ONLY; an estimate empties no book.

    Source: consistency rules of proprietary trading firms (30 to 50 %).
    """
    states, x = view.states, k["best_day_share"]
    off = ~(x < 1.0)
    today = view.books.equity - states.day_anchor_equity - states.day_flow
    share = np.where(off, 0.0, x)
    most = np.where(off, np.inf, share / (1.0 - share) * states.closed_profit)
    unknown = ~(np.isfinite(today) & np.isfinite(states.closed_profit)) & ~off
    capped = (states.closed_profit > 0) & (today >= most) & ~off
    leave = capped & (k["on_cap"] == _ON_CAP.index(OnCap.EXIT)) & ~view.books.equity_estimated
    wide = np.ones((1, view.n_assets), dtype=np.bool_)
    effect = meet(block(capped[:, None] & wide, view.held), zero(leave[:, None] & wide))
    return verdict(
        view,
        meet(mode(unknown, TradingState.REDUCE_ONLY), effect) if holds(unknown | capped) else Constraint(),
        bound=capped,
        unknown=unknown,
        off=off,
        value=today,
        limit=np.where(states.closed_profit > 0, most, np.inf),
        codes={"BEST_DAY_CAP": capped, "EQUITY_UNKNOWN": unknown},
    )
