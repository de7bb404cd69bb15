"""Trading days: daylight saving both ways, resets that do not exist or occur twice, ids that never go back."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.trading_day import EPOCH, reset_instant_s, trading_day_id, trading_day_ids

S = 1_000_000_000
ZONES = (
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Prague",
    "Pacific/Auckland",
    "UTC",
)
MIDNIGHT, FIVE_PM = dt.time(0), dt.time(17)


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * S


def day(ts_ns: int, reset_at: dt.time, zone: str) -> str:
    return str(EPOCH + dt.timedelta(days=trading_day_id(ts_ns, reset_at, zone)))


@pytest.mark.parametrize(
    ("zone", "reset_at", "reset_utc", "ends"),
    [
        # 17:00 in New York is 22:00Z in winter and 21:00Z in summer
        ("America/New_York", FIVE_PM, "2024-03-08T22:00", "2024-03-08"),
        ("America/New_York", FIVE_PM, "2024-03-10T21:00", "2024-03-10"),
        ("America/New_York", FIVE_PM, "2024-11-01T21:00", "2024-11-01"),
        ("America/New_York", FIVE_PM, "2024-11-03T22:00", "2024-11-03"),
        # 02:30 does not exist on 10 March: the first valid instant after it is 03:00 EDT
        ("America/New_York", dt.time(2, 30), "2024-03-10T07:00", "2024-03-10"),
        # 01:30 occurs twice on 3 November: the first of them, in EDT
        ("America/New_York", dt.time(1, 30), "2024-11-03T05:30", "2024-11-03"),
        ("Europe/Prague", dt.time(2, 30), "2024-03-31T01:00", "2024-03-31"),
        ("Europe/Prague", dt.time(2, 30), "2024-10-27T00:30", "2024-10-27"),
        # half an hour of daylight saving: 02:15 does not exist, 01:45 occurs twice
        ("Australia/Lord_Howe", dt.time(2, 15), "2024-10-05T15:30", "2024-10-06"),
        ("Australia/Lord_Howe", dt.time(1, 45), "2024-04-06T14:45", "2024-04-07"),
        ("Asia/Tokyo", FIVE_PM, "2024-03-10T08:00", "2024-03-10"),
    ],
)
def test_an_instant_exactly_at_the_reset_begins_the_next_day(
    zone: str, reset_at: dt.time, reset_utc: str, ends: str
) -> None:
    at = utc(reset_utc)
    assert reset_instant_s(dt.date.fromisoformat(ends), reset_at, zone) * S == at
    assert day(at - 1, reset_at, zone) == ends
    assert day(at, reset_at, zone) == str(dt.date.fromisoformat(ends) + dt.timedelta(days=1))


@pytest.mark.parametrize(
    ("zone", "begins_utc", "named"),
    [
        ("Europe/Prague", "2024-03-30T23:00", "2024-03-31"),
        ("Europe/Prague", "2024-03-31T22:00", "2024-04-01"),
        ("UTC", "2024-02-29T00:00", "2024-02-29"),
        # midnight of 4 November 2018 did not exist in São Paulo: that day began at 01:00
        ("America/Sao_Paulo", "2018-11-04T03:00", "2018-11-04"),
        # midnight of 27 October 2024 occurred twice in the Azores: the day began at the first
        ("Atlantic/Azores", "2024-10-27T00:00", "2024-10-27"),
    ],
)
def test_a_reset_at_midnight_names_the_day_that_has_begun(zone: str, begins_utc: str, named: str) -> None:
    at = utc(begins_utc)
    assert day(at, MIDNIGHT, zone) == named
    assert day(at - 1, MIDNIGHT, zone) == str(dt.date.fromisoformat(named) - dt.timedelta(days=1))


def test_a_clock_set_back_over_midnight_does_not_begin_the_day_twice() -> None:
    # St John's, 29 October 2006: at 00:01 the clock went back to 23:01 of the 28th
    before, repeated = utc("2006-10-29T02:30:30"), utc("2006-10-29T03:00")
    assert dt.datetime.fromtimestamp(before // S, ZoneInfo("America/St_Johns")).day == 29
    assert dt.datetime.fromtimestamp(repeated // S, ZoneInfo("America/St_Johns")).day == 28
    assert day(before, MIDNIGHT, "America/St_Johns") == day(repeated, MIDNIGHT, "America/St_Johns")


INSTANTS = st.integers(utc("1970-01-01T00:00") // S, utc("2037-12-31T00:00") // S)
RESETS = st.builds(dt.time, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 59]))


@settings(max_examples=300, deadline=None)
@given(INSTANTS, st.integers(0, 3 * 86_400), RESETS, st.sampled_from(ZONES))
def test_ids_never_go_back(at_s: int, later_s: int, reset_at: dt.time, zone: str) -> None:
    one, two = trading_day_ids(np.array([at_s, at_s + later_s]) * S, reset_at, zone).tolist()
    assert one <= two <= one + later_s // 80_000 + 1


@settings(max_examples=200, deadline=None)
@given(INSTANTS, RESETS, st.sampled_from(ZONES))
def test_a_day_holds_the_instants_between_its_two_resets(at_s: int, reset_at: dt.time, zone: str) -> None:
    ends = EPOCH + dt.timedelta(days=trading_day_id(at_s * S, reset_at, zone))
    if reset_at == MIDNIGHT:
        ends += dt.timedelta(days=1)
    begun = reset_instant_s(ends - dt.timedelta(days=1), reset_at, zone)
    assert begun <= at_s < reset_instant_s(ends, reset_at, zone)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("reset_at", [MIDNIGHT, dt.time(0, 30), dt.time(2, 30), FIVE_PM, dt.time(23, 59)])
def test_ten_years_have_exactly_one_reset_a_day(zone: str, reset_at: dt.time) -> None:
    days = [dt.date(2001, 1, 1) + dt.timedelta(days=i) for i in range(3652)]
    resets = [reset_instant_s(d, reset_at, zone) for d in days]
    assert all(79_000 <= b - a <= 94_000 for a, b in pairwise(resets))
    at = np.array(resets, dtype=np.int64) * S
    ids = trading_day_ids(at, reset_at, zone)
    assert (np.diff(ids) == 1).all()
    assert np.array_equal(trading_day_ids(at[1:] - 1, reset_at, zone), ids[:-1])
