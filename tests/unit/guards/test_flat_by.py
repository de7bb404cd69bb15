"""UT-08 by the wall clock: changes of clocks, early closes, restarts over the flat-by time, daily bars."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from tests.unit.guards.scenarios import Scene, scene

from regime_trading.core.rules import FlatBy, Release, TradingState
from regime_trading.core.trading_day import EPOCH, trading_day_id
from regime_trading.guards.flat_by import around, exit_bars, flat_by, weekday
from regime_trading.guards.verdict import OFF, PASS, UNKNOWN, Verdict

NEW_YORK, PRAGUE, CHICAGO = "America/New_York", "Europe/Prague", "America/Chicago"
SECOND, DAY_S = 10**9, 86_400


def ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * SECOND


def day(text: str) -> int:
    return (dt.date.fromisoformat(text) - EPOCH).days


def desk(now: str, *, bar_s: int = 60, day_id: int = -1, **params: Any) -> Scene:
    """One account with two plain positions at an instant in UTC."""
    s = scene(1, 1, 2).with_market(ts_ns=ns(now), bar_ns=bar_s * SECOND)
    s = s.with_states(day_id=np.array([day_id], dtype=np.int64))
    return s.with_books(qty=np.full((1, 2), 100.0)).with_rules(UT_08=params)


def ruling(s: Scene) -> Verdict:
    return flat_by(s.view, s.knobs["UT-08"])


def mode_of(said: Verdict) -> TradingState:
    return TradingState(0 if said.constraint.mode is None else int(said.constraint.mode[0]))


def to_flat(s: Scene) -> float:
    return float(ruling(s).value[0])


# --- the wall clock -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "at", "now", "next_"),
    [
        # Clocks go forward: 02:30 does not exist in New York on 8 March 2026, nor in Prague on 29 March.
        (NEW_YORK, "02:30", "2026-03-08T06:00:00", "2026-03-08T07:00:00"),
        (PRAGUE, "02:30", "2026-03-29T00:00:00", "2026-03-29T01:00:00"),
        # Clocks go back: 01:30 occurs twice in New York on 1 November 2026, the first counts.
        (NEW_YORK, "01:30", "2026-11-01T05:00:00", "2026-11-01T05:30:00"),
        (NEW_YORK, "01:30", "2026-11-01T05:30:01", "2026-11-02T06:30:00"),
        # The same wall time before and after the change, on days of 23 and 25 hours.
        (CHICAGO, "15:08", "2026-03-07T21:08:01", "2026-03-08T20:08:00"),
        (CHICAGO, "15:08", "2026-10-31T20:08:01", "2026-11-01T21:08:00"),
        (CHICAGO, "15:08", "2026-06-10T20:08:00", "2026-06-10T20:08:00"),
    ],
)
def test_the_next_local_time(zone: str, at: str, now: str, next_: str) -> None:
    hour, minute = map(int, at.split(":"))
    _, _, found = around(ns(now), hour * 3600 + minute * 60, zone)
    assert found == ns(next_)


def test_between_the_changes_of_two_zones_their_distance_differs() -> None:
    """For three weeks in March Prague is five hours ahead of New York, not six."""
    seventeen = 17 * 3600
    for now, hours in (("2026-03-05T00:00:00", 6), ("2026-03-15T00:00:00", 5), ("2026-04-05T00:00:00", 6)):
        prague, new_york = (around(ns(now), seventeen, zone)[2] for zone in (PRAGUE, NEW_YORK))
        assert (new_york - prague) // SECOND // 3600 == hours


def test_each_date_has_its_time_once_over_a_year() -> None:
    seen = []
    for hour in range(366 * 24):
        today, last, next_ns = around(ns("2026-01-01T00:00:00") + hour * 3600 * SECOND, 9000, NEW_YORK)
        assert today - 1 <= last <= today
        seen.append(next_ns)
    assert np.all(np.diff(seen) >= 0)
    assert len(set(seen)) == 367


def test_weekdays() -> None:
    days = np.array([day("2026-11-23") + i for i in range(7)])
    assert weekday(days).tolist() == list(range(7))


# --- trading days ---------------------------------------------------------------------------------------------


def test_a_process_that_was_down_at_the_time_flattens_when_it_is_back() -> None:
    """15:08 in Chicago has passed, the trading day ends at 17:00: no latch is needed to know."""
    at, reset = "2026-06-10T21:30:00", dt.time(17, 0)
    name = trading_day_id(ns(at), reset, CHICAGO)
    assert mode_of(ruling(desk(at, day_id=name, at="15:08", zone=CHICAGO))) is TradingState.FLATTEN
    evening = "2026-06-10T22:00:00"
    name = trading_day_id(ns(evening), reset, CHICAGO)
    assert mode_of(ruling(desk(evening, day_id=name, at="15:08", zone=CHICAGO))) is TradingState.NORMAL


def test_a_clock_that_is_set_back_over_the_reset_brings_no_flat_by_back() -> None:
    """The name of the trading day never goes back (``core.trading_day``), and the windows go by it."""
    before = desk("2026-06-10T21:30:00", day_id=day("2026-06-11"), at="15:08", zone=CHICAGO)
    assert mode_of(ruling(before)) is TradingState.NORMAL


@pytest.mark.parametrize("hour", range(24))
def test_each_instant_of_a_trading_day_is_before_or_after_its_flat_by(hour: int) -> None:
    """A day that begins at 17:00 in Chicago: free until 15:03, flat from then to the reset; 8 March 2026 is short."""
    for date in ("2026-03-06", "2026-03-09", "2026-06-10", "2026-11-02"):
        at = f"{date}T{hour:02d}:30:00"
        name = trading_day_id(ns(at), dt.time(17, 0), CHICAGO)
        said = ruling(desk(at, day_id=name, at="15:08", zone=CHICAGO))
        clock = dt.datetime.fromtimestamp(ns(at) / SECOND, ZoneInfo(CHICAGO))
        closed = dt.time(15, 3) <= clock.time() < dt.time(17, 0)
        assert (mode_of(said) is TradingState.FLATTEN) == closed, (date, clock)


def test_the_latch_lasts_until_the_next_session() -> None:
    said = ruling(desk("2026-06-10T20:03:00", at="15:08", zone=CHICAGO))
    assert said.latch is not None
    assert said.latch.fire.tolist() == [True]
    assert Release(int(said.latch.kind[0])) is Release.NEXT_SESSION
    assert TradingState(int(said.latch.state[0])) is TradingState.FLATTEN


# --- sessions, weekends, daily bars ---------------------------------------------------------------------------


def with_close(s: Scene, *seconds: float) -> Scene:
    market = s.view.market
    signals = replace(market.signals, to_close_s=np.array(seconds))
    return s.with_market(signals=signals, provided=market.provided | {"session_clock"})


def test_an_early_close_moves_the_time_and_a_late_one_does_not() -> None:
    s = desk(
        "2026-11-27T17:00:00", at="15:08", zone=CHICAGO
    )  # the day after Thanksgiving closes at 12:00 there
    assert to_flat(s) == 4 * 3600 + 480
    assert to_flat(with_close(s, 3600.0, 3600.0)) == 3600
    assert to_flat(with_close(s, 90_000.0, np.inf)) == 4 * 3600 + 480
    assert mode_of(ruling(with_close(s, 300.0, 3600.0))) is TradingState.FLATTEN
    assert mode_of(ruling(with_close(s, 301.0, 3600.0))) is TradingState.NORMAL
    flat = with_close(s, 300.0, 3600.0).with_books(qty=np.array([[0.0, 100.0]]))
    assert to_flat(flat) == 3600  # what is not held does not count


@pytest.mark.parametrize(
    ("date", "closed"),
    [("2026-11-25", False), ("2026-11-26", False), ("2026-11-27", True), ("2026-11-28", True), ("2026-11-29", True),
     ("2026-11-30", False)],
)  # fmt: skip
def test_over_the_weekend_only(date: str, closed: bool) -> None:
    """Wednesday to Monday, at 16:00 in New York, days from midnight to midnight there."""
    s = desk(f"{date}T21:00:00", day_id=day(date), at="15:55", zone=NEW_YORK, scope="weekend")
    assert (mode_of(ruling(s)) is TradingState.FLATTEN) == closed


@pytest.mark.parametrize(("date", "counts"), [("2026-06-11", False), ("2026-06-12", True)])
def test_over_the_weekend_only_the_close_of_friday_counts(date: str, counts: bool) -> None:
    s = desk(f"{date}T18:00:00", day_id=day(date), at="15:55", zone=NEW_YORK, scope="weekend")
    assert mode_of(ruling(with_close(s, 30.0, 30.0))) is (
        TradingState.FLATTEN if counts else TradingState.NORMAL
    )
    assert (ruling(with_close(s, np.nan, np.inf)).outcome[0] == UNKNOWN) == counts


def test_without_a_time_the_weekend_begins_at_midnight() -> None:
    late = desk("2026-11-28T04:56:00", at=None, zone=NEW_YORK, scope="weekend", allowed=False)
    assert mode_of(ruling(late)) is TradingState.FLATTEN  # 23:56 on Friday
    early = desk("2026-11-28T04:30:00", at=None, zone=NEW_YORK, scope="weekend", allowed=False)
    assert mode_of(ruling(early)) is TradingState.NORMAL
    assert to_flat(early) == 1800


@pytest.mark.parametrize("date", ["2026-03-06", "2026-03-07", "2026-10-30", "2026-10-31", "2026-06-10"])
def test_on_daily_bars_every_position_is_one_over_night(date: str) -> None:
    """Also where the day has 25 hours."""
    for params in ({"allowed": False}, {"at": "15:08", "zone": CHICAGO}):
        s = desk(f"{date}T21:09:00", bar_s=DAY_S, day_id=day(date), **params)
        assert mode_of(ruling(s)) is TradingState.FLATTEN
    assert mode_of(ruling(desk(f"{date}T21:09:00", bar_s=DAY_S))) is TradingState.NORMAL


def test_off_says_off_and_costs_nothing() -> None:
    said = ruling(desk("2026-06-10T21:30:00", at=None, allowed=True))
    assert said.outcome.tolist() == [OFF]
    assert said.latch is None
    assert FlatBy().allowed


def test_an_unknown_close_is_nothing_to_an_account_that_may_hold_over_night() -> None:
    """Two accounts with the same two positions, of which the first must be flat by a time."""
    s = scene(1, 2, 2).with_market(ts_ns=ns("2026-06-10T14:00:00"), bar_ns=60 * SECOND)
    s = s.with_states(day_id=np.full(2, -1, dtype=np.int64)).with_books(qty=np.full((2, 2), 100.0))
    s = s.with_rules(UT_08={"at": "15:55", "zone": NEW_YORK})
    free = s.with_rules(UT_08={"at": None, "allowed": True}).profiles[1]
    s = with_close(Scene(s.view, [s.profiles[0], free]), np.nan, 90_000.0)
    assert ruling(s).outcome.tolist() == [UNKNOWN, OFF]
    assert np.isfinite(ruling(s).constraint.hi).tolist() == [[True, False], [False, False]]


# --- time to exit ---------------------------------------------------------------------------------------------


def test_the_lead_grows_with_what_there_is_to_sell() -> None:
    """100 shares at 5 % of a volume of 400 shares a bar: 5 bars of a minute; 101 take 6."""
    s = desk("2026-06-10T20:00:00", at="15:05", zone=CHICAGO, lead_s=0)
    price = s.view.market.price
    s = s.with_market(adv=400.0 * price)
    assert exit_bars(s.view, np.array([0.05])).tolist() == [[5.0, 5.0]]
    assert mode_of(ruling(s)) is TradingState.FLATTEN
    more = s.with_market(adv=401.0 * price, ts_ns=s.view.market.ts_ns - 1)
    assert mode_of(ruling(more)) is TradingState.NORMAL
    assert mode_of(ruling(more.with_books(qty=np.array([[101.0, 0.0]])))) is TradingState.FLATTEN


def test_an_unknown_volume_flattens_nobody_but_nothing_grows() -> None:
    s = desk("2026-06-10T19:00:00", at="15:08", zone=CHICAGO)
    for adv in (np.nan, 0.0, -1.0, np.inf):
        said = ruling(s.with_market(adv=np.array([adv, 1e9])))
        assert mode_of(said) is TradingState.NORMAL
        assert np.isfinite(said.constraint.hi[0]).tolist() == [True, False]
        assert said.outcome[0] != PASS
