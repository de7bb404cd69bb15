"""Guard 2, windows of time: sessions, scheduled events, earnings, expiry, freezes, and the account's own life.

A window that is not known counts as one that is on, and freezes and flattens nothing.
"""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1, F8
from regime_trading.core.rules import EarningsEffect, NewsMode, TradingState
from regime_trading.guards.blackout import concerned
from regime_trading.guards.constraint import (
    UNCONSTRAINED,
    Constraint,
    block,
    halt,
    holds,
    meet,
    mode,
    zero,
)
from regime_trading.guards.facts import NEVER_NS
from regime_trading.guards.names import EPOCH_ORDINAL
from regime_trading.guards.snapshot import Params, View, in_freeze
from regime_trading.guards.verdict import Verdict, least, verdict

_NEWS = list(NewsMode)
_EARNINGS = list(EarningsEffect)
_DAY_S = 86_400.0
_DAY_NS = 86_400_000_000_000


def session_hours(view: View, k: Params) -> Verdict:
    """UT-04: the venue session of ``i`` is open, else BLOCK(i) and no order. Unknown status counts as closed."""
    closed = view.per_asset(~view.market.venue_open)
    return verdict(
        view,
        halt(closed, view.held),
        bound=closed,
        codes={"VENUE_CLOSED": closed},
    )


def session_buffers(view: View, k: Params) -> Verdict:
    """UT-05: ``t − open_i ≥ no_entry_after_open_s`` and ``close_i − t ≥ no_entry_before_close_s``, else BLOCK(i).

    A session clock that does not know: BLOCK(i). Only a source that has one is judged by it.
    """
    seen = concerned(view)
    since, ahead = view.market.signals.since_open_s[None, :], view.market.signals.to_close_s[None, :]
    after, before = k["no_entry_after_open_s"], k["no_entry_before_close_s"]
    opening, closing = seen & (since < after[:, None]), seen & (ahead < before[:, None])
    unknown = seen & (np.isnan(since) | np.isnan(ahead))
    value, limit = _nearer(
        least(np.where(seen, since, np.nan)), after, least(np.where(seen, ahead, np.nan)), before
    )
    return verdict(
        view,
        block(opening | closing | unknown, view.held),
        bound=opening | closing,
        unknown=unknown,
        value=value,
        limit=limit,
        codes={"AFTER_OPEN": opening, "BEFORE_CLOSE": closing, "SESSION_CLOCK_UNKNOWN": unknown},
    )


def _nearer(first: F8, its: F8, second: F8, others: F8) -> tuple[F8, F8]:
    """Of two distances and their limits, the pair with less to spare, float64 [A]; NaN where neither is known."""
    spare = (
        np.where(np.isnan(first), np.inf, first - its),
        np.where(np.isnan(second), np.inf, second - others),
    )
    one = spare[0] <= spare[1]
    return np.where(one, first, second), np.where(one, its, others).astype(np.float64)


def news(view: View, k: Params) -> Verdict:
    """UT-06: ``t ∉ [event − before_s, event + after_s]``, else BLOCK(i) or NO_TRADE(i) by mode.

    A window in which nothing may trade gives way to an account that has to be flat (``risk.md`` P3). So that no exit
    has to leave inside it, ``pre_flatten`` is ZERO(i) from ``pre_flatten_s`` (at least a bar) before it; what is still
    held when it begins stays owed. An unknown calendar (NaN) counts as inside a window, but freezes and flattens
    nothing. Source: rules of prop firms on trading the news.
    """
    ahead, behind = view.market.to_event_s[None, :], view.market.since_event_s[None, :]
    before = k["before_s"][:, None]
    inside = (ahead <= before) | (behind <= k["after_s"][:, None])
    unknown = view.per_asset(np.isnan(view.market.to_event_s) | np.isnan(view.market.since_event_s))
    no_trade = (k["mode"] == _NEWS.index(NewsMode.NO_TRADE))[:, None]
    shut = inside & no_trade
    embargo = Constraint(embargo=shut) if holds(shut) else UNCONSTRAINED
    lead = np.maximum(k["pre_flatten_s"], view.market.bar_ns / 1e9)[:, None]
    leaving = no_trade & k["pre_flatten"][:, None] & (ahead <= before + lead)
    nearest = least(np.fmin(ahead, behind))
    return verdict(
        view,
        meet(meet(block(inside | unknown, view.held), embargo), zero(leaving)),
        bound=inside | leaving,
        unknown=unknown,
        value=view.everyone(nearest[0]),
        limit=k["before_s"].astype(np.float64),
        codes={"NEWS_WINDOW": inside, "NEWS_AHEAD": leaving & ~inside, "CALENDAR_UNKNOWN": unknown},
    )


def earnings(view: View, k: Params) -> Verdict:
    """UT-07: ``day(t) ∉ [event − days_before, event + days_after]``, else BLOCK(i), or half of what is proposed.

    An event is an earnings report, a dividend or an ex-date. Not known when: BLOCK(i), whatever the effect.
    """
    seen, facts = concerned(view), view.market.instruments
    ahead, behind = facts.earnings_in_days[None, :], facts.earnings_ago_days[None, :]
    inside = seen & ((ahead <= k["days_before"][:, None]) | (behind <= k["days_after"][:, None]))
    unknown = seen & (np.isnan(ahead) | np.isnan(behind))
    half = inside & (k["effect"] == _EARNINGS.index(EarningsEffect.HALF))[:, None]
    halved = Constraint(scale=np.where(half, 0.5, 1.0)) if holds(half) else UNCONSTRAINED
    value, limit = _nearer(
        least(np.where(seen, ahead, np.nan)),
        k["days_before"],
        least(np.where(seen, behind, np.nan)),
        k["days_after"],
    )
    return verdict(
        view,
        meet(block((inside & ~half) | unknown, view.held), halved),
        bound=inside,
        unknown=unknown,
        value=value,
        limit=limit,
        codes={"EARNINGS_WINDOW": inside, "EARNINGS_UNKNOWN": unknown},
    )


def expiry(view: View, k: Params) -> Verdict:
    """UT-09: ``expiry_i − t > block_days``, else BLOCK(i); ``> exit_days``, else ZERO(i).

    Expiry is the first of expiry, first notice and delisting. Not known: BLOCK(i).
    """
    seen = concerned(view)
    left = np.where(seen, view.market.instruments.to_expiry_s[None, :], np.inf)
    unknown = np.isnan(left)
    near, due = (left <= k[name][:, None] * _DAY_S for name in ("block_days", "exit_days"))
    return verdict(
        view,
        meet(block(near | unknown, view.held), zero(due)),
        bound=near | due,
        unknown=unknown,
        value=least(left) / _DAY_S,
        limit=k["block_days"].astype(np.float64),
        codes={"EXPIRY_NEAR": near & ~due, "EXPIRY_DUE": due, "EXPIRY_UNKNOWN": unknown},
    )


def lifecycle(view: View, k: Params) -> Verdict:
    """UT-13: ``day(t) ∈ [start, end]``, else REDUCE_ONLY. Days in UTC, both included; none given: always.

    ``inactivity_days`` without a trade (since ``start`` where there never was one) is a reason code, INACTIVE, and
    no more: nothing ever trades to keep an account alive.
    """
    today = float(view.market.date.toordinal() - EPOCH_ORDINAL)
    early, late = today < k["start"], today > k["end"]
    outside = early | late
    return verdict(
        view,
        mode(outside, TradingState.REDUCE_ONLY),
        bound=outside,
        codes={"BEFORE_START": early, "AFTER_END": late, "INACTIVE": ~outside & _inactive(view, k, today)},
    )


def _inactive(view: View, k: Params, today: float) -> B1:
    """No trade for ``inactivity_days``, bool [A]; without a trade and without a start nobody can tell: no."""
    last, now = view.states.last_trade_ns, view.market.ts_ns
    never = last == NEVER_NS
    idle_days = (now - np.where(never, now, last)) // _DAY_NS
    inactive: B1 = np.where(never, today - k["start"], idle_days) >= k["inactivity_days"]
    return inactive


def freeze(view: View, k: Params) -> Verdict:
    """UT-14: ``day(t) ∉ windows``, else REDUCE_ONLY until the window ends."""
    inside = np.array([in_freeze(windows, view.market.date) for windows in k["windows"]], dtype=np.bool_)
    return verdict(
        view,
        mode(inside, TradingState.REDUCE_ONLY),
        bound=inside,
        codes={"FREEZE_WINDOW": inside},
    )
