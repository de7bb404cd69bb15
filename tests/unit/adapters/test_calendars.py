"""Exchange calendars against facts of the venues."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import exchange_calendars as xcals
import numpy as np
import pytest

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.core.errors import BadInput


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


@pytest.fixture(scope="module")
def nyse() -> ExchangeCalendar:
    return ExchangeCalendar("XNYS")


def test_closes_know_half_days_holidays_and_daylight_saving(nyse):
    closes = nyse.closes_ns(ns("2021-11-24"), ns("2021-11-30"))
    assert closes.astype("M8[ns]").astype(str).tolist() == [
        "2021-11-24T21:00:00.000000000",
        "2021-11-26T18:00:00.000000000",  # the day after Thanksgiving ends at 13:00 in New York
        "2021-11-29T21:00:00.000000000",
    ]
    assert nyse.closes_ns(ns("2021-07-01T20:00"), ns("2021-07-01T20:00")).size == 1  # both ends included


def test_closes_1990_to_2030_equal_a_reckoning_in_new_york_time(nyse):
    closes = nyse.closes_ns(ns("1990-01-01"), ns("2030-12-31T23:00"))
    zone = ZoneInfo("America/New_York")
    local = [dt.datetime.fromtimestamp(int(c) // 10**9, tz=zone) for c in closes]
    early = {(t.hour, t.minute) for t in local} - {(16, 0)}
    assert early == {(13, 0), (14, 0)}
    assert sum((t.hour, t.minute) == (16, 0) for t in local) > 0.98 * len(local)
    assert all(t.weekday() < 5 for t in local)
    assert 10_200 < closes.size < 10_400


def test_session_ordinal_counts_a_close_to_its_own_session(nyse):
    friday, monday = ns("2021-01-08T21:00"), ns("2021-01-11T21:00")
    times = [friday - 1, friday, friday + 1, ns("2021-01-10T12:00"), monday, monday + 1]
    ordinal = nyse.session_ordinal(times)
    assert (ordinal - ordinal[0]).tolist() == [0, 0, 1, 1, 1, 2]
    assert nyse.last_session(friday) == ordinal[1] == nyse.last_session(friday + 1)


def test_round_the_clock_has_a_session_every_day():
    closes = ExchangeCalendar("24/7").closes_ns(ns("2022-01-01"), ns("2022-12-31"))
    assert closes.size == 365
    assert np.unique(np.diff(closes)).tolist() == [86_400 * 10**9]


def test_lunch_breaks_split_a_session():
    tokyo = ExchangeCalendar("XTKS")
    grid = tokyo.grid(60 * 10**9)
    lunch = np.array([ns("2024-01-10T02:30"), ns("2024-01-10T02:31"), ns("2024-01-10T03:31")])
    slot, inside = grid.slot(lunch)
    assert inside.tolist() == [True, False, True]
    assert slot[2] - slot[0] == 1


def test_alias_equals_its_calendar(nyse):
    between = ns("2020-01-01"), ns("2021-01-01")
    assert np.array_equal(ExchangeCalendar("NYSE").closes_ns(*between), nyse.closes_ns(*between))


@pytest.mark.parametrize("year", ["1930-01-02", "2040-01-02"])
def test_a_year_that_is_not_loaded_is_unknown_not_open(nyse, year):
    with pytest.raises(BadInput, match="expected a time between 1950-01-02 and 2035-12-31") as error:
        nyse.session_ordinal([ns(year)])
    assert error.value.exit_code == 2
    with pytest.raises(BadInput):
        nyse.closes_ns(ns("2000-01-01"), ns("2040-01-01"))


def test_unknown_calendar_names_the_nearest():
    with pytest.raises(BadInput, match=r"'XNYZ' \(nearest: .*XNYS"):
        ExchangeCalendar("XNYZ")


def test_a_calendar_the_library_cannot_build_is_bad_input():
    with pytest.raises(BadInput, match="a calendar that exchange_calendars can build, found 'ASEX'"):
        ExchangeCalendar("ASEX")


def test_arrays_are_read_only_and_built_once(nyse):
    closes = nyse.closes_ns(ns("2020-01-01"), ns("2021-01-01"))
    with pytest.raises(ValueError, match="read-only"):
        closes[0] = 0
    assert np.shares_memory(closes, ExchangeCalendar("XNYS").closes_ns(ns("2020-01-01"), ns("2021-01-01")))


def test_sessions_equal_the_library_on_its_own_default_range(nyse):
    theirs = xcals.get_calendar("XNYS", start="2015-01-01", end="2024-12-31").closes_nanos
    assert np.array_equal(nyse.closes_ns(int(theirs[0]), int(theirs[-1])), theirs)
