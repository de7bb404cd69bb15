"""Trading days by local reset time: ids that know daylight saving."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from regime_trading.core.numbers import I8

EPOCH = dt.date(1970, 1, 1)
_MONDAY_OFFSET = 3


@lru_cache(maxsize=65_536)
def reset_instant_s(day: dt.date, reset_at: dt.time, zone: str) -> int:
    """Epoch second at which the trading day that *ends* on ``day`` ends.

    A local time that does not exist (spring) is the first valid instant after it; one that occurs twice (autumn)
    is the first.
    """
    tz = ZoneInfo(zone)
    wall = dt.datetime.combine(day, reset_at)
    instant = wall.replace(tzinfo=tz, fold=0).astimezone(dt.UTC)
    if instant.astimezone(tz).replace(tzinfo=None) == wall:
        return int(instant.timestamp())
    later = int(instant.timestamp())
    earlier = int(wall.replace(tzinfo=tz, fold=1).astimezone(dt.UTC).timestamp())
    before = _offset_s(earlier, tz)
    while later - earlier > 1:
        middle = (earlier + later) // 2
        earlier, later = (middle, later) if _offset_s(middle, tz) == before else (earlier, middle)
    return later


def _offset_s(instant_s: int, tz: ZoneInfo) -> int:
    offset = dt.datetime.fromtimestamp(instant_s, tz).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def trading_day_id(ts_ns: int, reset_at: dt.time, zone: str) -> int:
    """Days from 1970-01-01 to the local date on which the trading day of ``ts_ns`` ends.

    An instant exactly at the reset belongs to the new day. A reset at 00:00 names the local calendar day
    that has begun. A clock that is set back over the reset does not bring the old day back.
    """
    today = dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, ZoneInfo(zone)).date()
    named = (today - EPOCH).days + (0 if reset_at == dt.time(0) else 1)
    for ahead in (1, 0):
        if ts_ns >= reset_instant_s(today + dt.timedelta(days=ahead), reset_at, zone) * 1_000_000_000:
            return named + ahead
    return named - 1


def trading_day_ids(ts_ns: I8, reset_at: dt.time, zone: str) -> I8:
    """:func:`trading_day_id` of each instant, int64 [T]."""
    return np.array([trading_day_id(int(ts), reset_at, zone) for ts in ts_ns], dtype=np.int64)


def week_ids(day_id: I8) -> I8:
    """Weeks since that of Thursday 1970-01-01 of each trading day; a week begins with Monday's."""
    return (day_id + _MONDAY_OFFSET) // 7


def month_ids(day_id: I8) -> I8:
    """Calendar months since January 1970 of each trading day."""
    return day_id.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
