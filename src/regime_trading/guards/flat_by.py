"""Guard 2, UT-08: flat by a time of the wall clock, by the close of the session, or over the weekend.

The flat-by time of a trading day is ``at`` local time on the date that names the day; it has passed until a later
day begins, also for a process that was down meanwhile, and also when the clock is set back.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.rules import FlatScope, Release, TradingState
from regime_trading.core.trading_day import EPOCH, reset_instant_s
from regime_trading.guards.blackout import concerned
from regime_trading.guards.constraint import UNCONSTRAINED, block, holds, meet, mode
from regime_trading.guards.snapshot import Params, View
from regime_trading.guards.verdict import LatchRequest, Verdict, any_asset, verdict

_DAILY = list(FlatScope).index(FlatScope.DAILY)
_THURSDAY, _FRIDAY, _SATURDAY = 3, 4, 5
_SECOND_NS = 1_000_000_000
_HALF_DAY_NS = 43_200 * _SECOND_NS
_NO_DAY = -(10**9)
_NONE = -1
_CODES = ("FLAT_BY", "FLAT_BY_SOON", "FLAT_BY_UNKNOWN", "SESSION_CLOCK_UNKNOWN", "ADV_UNKNOWN")


def weekday(day: I8) -> I8:
    """Monday 0 to Sunday 6 of days since 1970-01-01."""
    return (day + _THURSDAY) % 7


@lru_cache(maxsize=4096)
def around(ts_ns: int, at_s: int, zone: str, only: int | None = None) -> tuple[int, int, int]:
    """The wall clock ``zone`` around ``ts_ns``.

    Parameters
    ----------
    ts_ns : int
        UTC nanoseconds.
    at_s : int
        Seconds of the local day. What does not exist (spring) is the first valid instant after it, what occurs twice
        (autumn) the first.
    zone : str
        IANA name.
    only : int, optional
        The weekday that counts; None = every day.

    Returns
    -------
    today, last, next_ns : int
        The local date, the date of the last such time at or before ``ts_ns`` (days since 1970-01-01), and the next
        one at or after it (UTC nanoseconds).
    """
    today = (dt.datetime.fromtimestamp(ts_ns // _SECOND_NS, ZoneInfo(zone)).date() - EPOCH).days
    wall = dt.time(at_s // 3600, at_s // 60 % 60)
    days = [d for d in range(today - 8, today + 9) if only is None or (d + _THURSDAY) % 7 == only]
    instants = [(reset_instant_s(EPOCH + dt.timedelta(days=d), wall, zone) * _SECOND_NS, d) for d in days]
    last = max(day for instant, day in instants if instant <= ts_ns)
    return today, last, min(instant for instant, _ in instants if instant >= ts_ns)


@dataclass(frozen=True, slots=True)
class _Clock:
    """Per account [A]: seconds to the flat-by time, whether it has passed, and the weekday of the trading day."""

    to_flat_s: F8
    passed: B1
    weekday: I8


def _read_clock(view: View, k: Params) -> _Clock:
    """Once for each different (time, zone, scope), however many accounts there are."""
    n, ts_ns = view.n_accounts, view.market.ts_ns
    weekend = k["scope"] != _DAILY
    at = np.where(np.isnan(k["at"]), _NONE, k["at"]).astype(np.int64)
    kinds = np.stack([at, k["zone"].index, weekend.astype(np.int64)], axis=1)
    today, last, next_ns = (np.full(n, start, dtype=np.int64) for start in (0, _NO_DAY, ts_ns))
    timed = np.zeros(n, dtype=np.bool_)
    for at_s, zone, over in np.unique(kinds, axis=0).tolist():
        rows = (kinds == (at_s, zone, over)).all(axis=1)
        friday_ends = over and at_s == _NONE  # no time given: by the first minute of Saturday
        only = _SATURDAY if friday_ends else _FRIDAY if over else None
        found = around(ts_ns, max(at_s, 0), k["zone"].words[zone], only)
        today[rows] = found[0]
        if at_s != _NONE or over:
            last[rows], next_ns[rows], timed[rows] = found[1], found[2], True
    day = np.where(view.states.day_id >= 0, view.states.day_id, today)
    return _Clock(
        to_flat_s=np.where(timed, (next_ns - ts_ns) / 1e9, np.inf),
        passed=(last == day) | (weekend & (weekday(day) >= _SATURDAY)),
        weekday=weekday(day),
    )


def exit_bars(view: View, share: F8) -> F8:
    """Bars it takes to leave each position at ``share`` of its average daily notional a bar, float64 [A, N].

    0 where nothing is held, NaN where the price or the volume is not known.
    """
    qty = np.abs(view.books.qty)
    adv, unit = view.market.adv, view.market.unit_value()
    known = np.isfinite(adv) & (adv > 0) & np.isfinite(unit) & (unit > 0)
    bars = np.ceil(qty * np.where(known, unit, np.nan) / (share[:, None] * np.where(known, adv, np.nan)))
    return np.where(qty == 0, 0.0, bars)


def flat_by(view: View, k: Params) -> Verdict:
    """UT-08: ``flat_by − t > max(lead_s, a bar, time to exit)``, else FLATTEN and latch NEXT_SESSION.

    The flat-by time is the earlier of ``at`` and, where the source has a session clock, the close of what is held:
    early closes move it. ``no_entry_s`` before it: BLOCK. ``weekend``: the Friday's, and the days named Saturday and
    Sunday. The time to exit is that of the slowest position at ``exit_adv_share`` of its volume a bar; at estimated
    marks it counts nothing, for they never flatten. On bars of half a day and more a book is held over night whenever
    it is held: FLATTEN at every decision (``weekend``: from Thursday's, the last that can be filled in time).

    A position without a time to leave by (no ``at``, no session clock) may not grow, nor one whose close or volume is
    not known; nothing is flattened for what is not known. Source: prop-firm rules on overnight positions.
    """
    on = ~np.isnan(k["at"]) | ~k["allowed"]
    if not holds(on):
        return verdict(view, UNCONSTRAINED, bound=on, off=~on, codes=dict.fromkeys(_CODES, on))
    passed, to_flat, to_close = _times(view, k)
    bars = exit_bars(view, k["exit_adv_share"])
    lead = _lead_s(view, bars, k["lead_s"])
    flatten = on & (passed | (to_flat <= lead))
    first = np.minimum(to_flat[:, None], np.where(np.isnan(to_close), np.inf, to_close))
    soon = (on & ~flatten)[:, None] & (first <= np.maximum(k["no_entry_s"], lead)[:, None])
    nowhere = on & np.isnan(k["at"]) & (k["scope"] == _DAILY)
    nowhere &= view.market.bar_ns < _HALF_DAY_NS and not view.says("session_clock")
    unclear = on[:, None] & concerned(view) & np.isnan(to_close)
    slow = on[:, None] & np.isnan(bars)
    return verdict(
        view,
        meet(mode(flatten, TradingState.FLATTEN), block(soon | nowhere[:, None] | unclear | slow, view.held)),
        bound=flatten | any_asset(soon),
        unknown=nowhere | any_asset(unclear | slow),
        off=~on,
        value=np.where(on & passed, 0.0, np.where(on & np.isfinite(to_flat), to_flat, np.nan)),
        limit=np.where(on, lead, np.nan),
        codes=dict(zip(_CODES, (flatten, soon, nowhere, unclear, slow), strict=True)),
        latch=LatchRequest(
            fire=flatten,
            state=np.full(view.n_accounts, TradingState.FLATTEN, dtype=np.int8),
            kind=np.full(view.n_accounts, Release.NEXT_SESSION, dtype=np.int8),
        ),
    )


def _times(view: View, k: Params) -> tuple[B1, F8, F8]:
    """Whether the flat-by time has passed [A], seconds to it [A], and to the close of each asset [A, N].

    A close that does not count is inf, one that is not known NaN.
    """
    clock, weekend = _read_clock(view, k), k["scope"] != _DAILY
    passed = clock.passed
    if view.market.bar_ns >= _HALF_DAY_NS:
        passed = passed | ~weekend | (clock.weekday >= _THURSDAY)
    to_close = np.full((view.n_accounts, view.n_assets), np.inf)
    if view.says("session_clock"):
        counts = ~weekend | (clock.weekday == _FRIDAY)
        to_close = np.where(counts[:, None], view.market.signals.to_close_s[None, :], np.inf)
    held = np.where(view.books.qty != 0, to_close, np.inf)
    return passed, np.fmin(clock.to_flat_s, np.fmin.reduce(held, axis=1, initial=np.inf)), to_close


def _lead_s(view: View, bars: F8, least_s: I8) -> F8:
    """Seconds that leaving takes: at least ``least_s`` and a bar, float64 [A]."""
    slowest = np.where(view.books.equity_estimated, 0.0, np.fmax.reduce(bars, axis=1, initial=0.0))
    lead: F8 = np.maximum(least_s, np.maximum(slowest, 1.0) * (view.market.bar_ns / 1e9))
    return lead
