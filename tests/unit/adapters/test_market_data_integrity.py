"""The health record: what makes a symbol degraded or unusable, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.market_data import BarTable, IntegrityLimits
from regime_trading.adapters.market_data.integrity import Lost
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import HealthStatus, PriceWindow

NYSE = ExchangeCalendar("XNYS")
ALWAYS = ExchangeCalendar("24/7")
MINUTE = 60 * 10**9


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


SESSIONS = NYSE.closes_ns(ns("2019-01-01"), ns("2020-12-31T22:00"))


def table(ts, close, *, calendar=NYSE, **more) -> BarTable:
    close = np.asarray(close, dtype=np.float64)
    close = close[:, None] if close.ndim == 1 else close
    symbols = tuple(f"S{j}" for j in range(close.shape[1]))
    return BarTable("test", calendar, PriceWindow(symbols, np.asarray(ts, dtype=np.int64), close), **more)


def only(source: BarTable, until: int | None = None):
    (record,) = source.health(until).symbols
    return record


def rising(n: int) -> np.ndarray:
    return 100.0 + np.arange(n)


def test_a_full_record_is_ok():
    record = only(table(SESSIONS, rising(SESSIONS.size)))
    assert record.status is HealthStatus.OK
    assert record.reasons == ()
    assert (record.bars, record.missing, record.completeness) == (SESSIONS.size, 0, 1.0)
    assert (record.first_ts_ns, record.last_ts_ns) == (SESSIONS[0], SESSIONS[-1])


def without(*gone: int):
    keep = np.setdiff1d(np.arange(SESSIONS.size), gone)
    return SESSIONS[keep], rising(SESSIONS.size)[keep]


def test_three_sessions_without_a_bar_are_allowed_four_are_a_remark():
    end = SESSIONS.size
    three = only(table(*without(end - 50, end - 49, end - 48)))
    assert (three.status, three.missing, three.longest_gap) == (HealthStatus.OK, 3, 3)
    four = only(table(*without(*range(end - 50, end - 46))))
    assert four.status is HealthStatus.DEGRADED
    assert four.reasons == ("a gap of 4 sessions, limit 3",)
    assert four.completeness == 248 / 252


def test_a_gap_older_than_the_look_back_is_counted_but_no_longer_held_against_it():
    record = only(table(*without(*range(20, 30))))
    assert (record.missing, record.longest_gap, record.completeness) == (10, 0, 1.0)
    assert record.status is HealthStatus.OK


def test_a_gap_that_lasts_makes_a_symbol_unusable_at_the_fourth_session():
    source = table(SESSIONS[:-10], rising(SESSIONS.size - 10))
    assert only(source, int(SESSIONS[-8])).status is HealthStatus.OK
    record = only(source, int(SESSIONS[-7]))
    assert record.status is HealthStatus.UNUSABLE
    assert record.current_gap == 4
    assert record.reasons == ("no bar for 4 sessions, limit 3",)
    assert only(source, int(SESSIONS[-7]) - 1).status is HealthStatus.OK


def test_completeness_below_the_minimum_is_unusable():
    end = SESSIONS.size
    every_tenth = range(end - 251, end - 1, 10)
    record = only(table(*without(*every_tenth)))
    assert record.completeness == (252 - len(every_tenth)) / 252
    assert record.status is HealthStatus.UNUSABLE
    assert record.reasons == ("completeness 0.9008 over the last 252 sessions, minimum 0.95",)


def test_completeness_at_the_minimum_is_allowed():
    limits = IntegrityLimits(lookback_sessions=20)
    record = only(table(*without(SESSIONS.size - 5), limits=limits))
    assert (record.completeness, record.status) == (0.95, HealthStatus.OK)


def test_five_identical_closes_are_a_remark_four_are_not():
    close = rising(SESSIONS.size)
    close[-30:-26] = 7.0
    assert only(table(SESSIONS, close)).status is HealthStatus.OK
    close[-26] = 7.0
    record = only(table(SESSIONS, close))
    assert record.status is HealthStatus.DEGRADED
    assert record.reasons == ("close unchanged over 5 bars in a row",)


def test_losses_of_reading_count_from_the_time_they_are_known():
    at = int(SESSIONS[300])
    lost = {"S0": Lost(*(np.array([at]) for _ in range(4)))}
    source = table(SESSIONS, rising(SESSIONS.size), lost=lost)
    assert only(source, at - 1).status is HealthStatus.OK
    record = only(source, at)
    assert (record.duplicates, record.out_of_order, record.non_positive, record.off_calendar) == (1, 1, 1, 1)
    assert record.reasons == (
        "repeated rows dropped: 1",
        "rows out of time order, sorted: 1",
        "zero or negative prices, treated as missing: 1",
        "bars not at the close of a session: 1",
    )


def test_bars_dated_off_the_close_are_kept_counted_and_still_meet_their_session():
    midnight_after = SESSIONS - SESSIONS % (86_400 * 10**9) + 86_400 * 10**9
    record = only(table(midnight_after, rising(SESSIONS.size)))
    assert (record.off_calendar, record.missing, record.completeness) == (SESSIONS.size, 0, 1.0)
    assert record.status is HealthStatus.DEGRADED


def test_limits_are_arguments():
    strict = IntegrityLimits(lookback_sessions=20, min_completeness=1.0, max_gap_bars=0, stale_run_bars=2)
    close = rising(SESSIONS.size)
    close[-1] = close[-2]
    ts, _ = without(SESSIONS.size - 5)
    record = only(table(ts, np.delete(close, -5), limits=strict))
    assert record.completeness == 0.95
    assert record.reasons == (
        "completeness 0.9500 over the last 20 sessions, minimum 1.0",
        "a gap of 1 sessions, limit 0",
        "close unchanged over 2 bars in a row",
    )


def test_a_symbol_that_starts_late_is_judged_from_its_first_bar():
    close = np.column_stack([rising(SESSIONS.size)] * 2)
    close[:-5, 1] = np.nan
    source = table(SESSIONS, close)
    late = source.health().symbols[1]
    assert (late.bars, late.missing, late.completeness, late.status) == (5, 0, 1.0, HealthStatus.OK)
    before = source.health(until=int(SESSIONS[-6])).symbols[1]
    assert (before.status, before.reasons, before.completeness) == (
        HealthStatus.UNUSABLE,
        ("no bar yet",),
        0.0,
    )
    assert before.first_ts_ns is before.last_ts_ns is None


def test_before_the_first_bar_everything_is_unusable():
    source = table(SESSIONS, rising(SESSIONS.size))
    health = source.health(until=int(SESSIONS[0]) - 1)
    assert health.symbols[0].reasons == ("no bar yet",)
    assert health.notes == ("bar interval assumed to be one day: no symbol has two bars",)


def minutes(first: str, last: str) -> np.ndarray:
    return np.arange(ns(first), ns(last) + 1, MINUTE)


def test_minute_bars_round_the_clock():
    ts = minutes("2022-01-01T00:01", "2022-01-05T00:00")
    record = only(table(ts, rising(ts.size), calendar=ALWAYS))
    assert (record.missing, record.off_calendar, record.completeness) == (0, 0, 1.0)
    gone = np.delete(np.arange(ts.size), slice(1000, 1010))
    health = table(ts[gone], rising(gone.size), calendar=ALWAYS).health()
    assert health.bar_s == 60
    assert (health.symbols[0].missing, health.symbols[0].longest_gap) == (10, 10)
    assert health.symbols[0].reasons == ("a gap of 10 bars, limit 3",)


def test_minute_bars_of_an_exchange_end_at_one_on_a_half_day():
    days = [minutes(f"2021-11-{d}T14:31", f"2021-11-{d}T{end}") for d, end in ((24, "21:00"), (26, "18:00"))]
    ts = np.concatenate(days)
    source = table(ts, rising(ts.size))
    record = only(source, ns("2021-11-29T14:30"))
    assert (record.missing, record.off_calendar, record.current_gap) == (0, 0, 0)
    assert only(source, ns("2021-11-29T14:34")).current_gap == 4  # Monday's first four minutes are owed
    after_hours = np.append(ts, ns("2021-11-26T18:30"))
    late = only(table(after_hours, rising(after_hours.size)))
    assert (late.off_calendar, late.missing) == (1, 0)
    assert late.reasons == ("bars outside the sessions of the calendar: 1",)


def test_intraday_look_back_counts_sessions_not_bars():
    ts = np.concatenate([minutes(f"2022-03-0{d}T14:31", f"2022-03-0{d}T21:00") for d in (1, 2, 3)])
    gone = np.delete(ts, slice(0 + 5, 5 + 10))
    one = IntegrityLimits(lookback_sessions=1)
    two = IntegrityLimits(lookback_sessions=3)
    assert only(table(gone, rising(gone.size), limits=one)).longest_gap == 0
    assert only(table(gone, rising(gone.size), limits=two)).longest_gap == 10


def test_weekly_bars_are_held_against_the_sources_own_rows():
    fridays = ALWAYS.closes_ns(ns("2020-01-04"), ns("2021-12-31"))[::7]
    close = np.column_stack([rising(fridays.size)] * 2)
    close[-6:-1, 1] = np.nan
    source = table(fridays, close, calendar=ALWAYS)
    health = source.health()
    assert health.bar_s == 7 * 86_400
    assert [s.missing for s in health.symbols] == [0, 5]
    later = source.health(until=int(fridays[-1]) + 4 * 7 * 86_400 * 10**9)
    assert later.symbols[0].current_gap == 4
    assert later.symbols[0].status is HealthStatus.UNUSABLE


def test_a_friday_and_a_monday_are_daily_bars():
    assert table(SESSIONS[:2], rising(2)).health().bar_s == 86_400
    friday = int(np.flatnonzero(np.diff(SESSIONS) > 2 * 86_400 * 10**9)[0])
    assert table(SESSIONS[friday : friday + 2], rising(2)).health().bar_s == 86_400


def test_symbols_of_different_intervals_are_noted():
    ts = np.sort(
        np.unique(np.concatenate((minutes("2022-01-01T00:01", "2022-01-03T00:00"), [ns("2022-01-02")])))
    )
    close = np.column_stack([rising(ts.size), np.where(ts % (86_400 * 10**9) == 0, 5.0, np.nan)])
    assert table(ts, close, calendar=ALWAYS).health().notes == ("bar intervals differ: 60 s to 86400 s",)


def test_bars_outside_the_calendar_are_refused():
    with pytest.raises(BadInput, match="calendar XNYS: expected a time between 1950-01-02 and 2035-12-31"):
        table([ns("2100-01-04T21:00")], [1.0])


def test_the_content_hash_is_that_of_the_window():
    source = table(SESSIONS, rising(SESSIONS.size))
    until = int(SESSIONS[100])
    assert source.health(until).content_hash == source.window(until).content_hash()
    assert source.health(until).as_of_ns == until
