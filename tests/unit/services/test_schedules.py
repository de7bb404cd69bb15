"""Slots follow the exchange's sessions, and each is fired once."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate_samples import shipped

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.database import Engine, SqlJobs, open_database, sqlite_url
from regime_trading.core.errors import BadInput
from regime_trading.core.schedules import due_slots
from regime_trading.services.schedules import Scheduler, followed

DAY = 86_400 * 10**9
NEW_YORK = ZoneInfo("America/New_York")


def ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * 10**9


def closes(name: str, until_ns: int) -> Any:
    calendar = ExchangeCalendar(name)
    return calendar.closes_ns(calendar.close_of(0), until_ns)


def local(slots: tuple[int, ...], zone: ZoneInfo = NEW_YORK) -> list[str]:
    return [f"{dt.datetime.fromtimestamp(slot // 10**9, zone):%m-%d %H:%M}" for slot in slots]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        # clocks go forward on Sunday 2026-03-08 and back on Sunday 2026-11-01: 16:00 stays 16:00
        ("2026-03-06T00:00Z", "2026-03-10T23:00Z", ["03-06 16:00", "03-09 16:00", "03-10 16:00"]),
        ("2026-10-30T00:00Z", "2026-11-03T23:00Z", ["10-30 16:00", "11-02 16:00", "11-03 16:00"]),
        # the day after Thanksgiving ends at 13:00, Thanksgiving is none
        ("2026-11-25T00:00Z", "2026-11-30T23:00Z", ["11-25 16:00", "11-27 13:00", "11-30 16:00"]),
        # Christmas Eve ends at 13:00
        ("2026-12-23T00:00Z", "2026-12-28T23:00Z", ["12-23 16:00", "12-24 13:00", "12-28 16:00"]),
    ],
)
def test_slots_are_closes_in_the_zone_of_the_exchange(first: str, last: str, expected: list[str]) -> None:
    assert local(due_slots(1, closes("XNYS", ns(last)), ns(first), ns(last))) == expected


def test_another_exchange_changes_its_clocks_on_another_day() -> None:
    found = due_slots(
        1, closes("XLON", ns("2026-03-31T23:00Z")), ns("2026-03-27T00:00Z"), ns("2026-03-31T23:00Z")
    )
    assert local(found, ZoneInfo("Europe/London")) == ["03-27 16:30", "03-30 16:30", "03-31 16:30"]
    assert (found[1] - found[0]) == 3 * DAY - 3_600 * 10**9, "an hour less between them"


def test_a_slot_is_due_from_its_instant_on_and_not_before() -> None:
    close = ns("2026-03-10T20:00Z")
    found = closes("XNYS", close)
    assert due_slots(1, found, close - 1, close - 1) == ()
    assert due_slots(1, found, close - 1, close) == (close,)
    assert due_slots(1, found, close, close) == ()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 10**6), unique=True, max_size=60).map(sorted),
    st.integers(1, 7),
    st.lists(st.integers(-1, 10**6), min_size=1, max_size=12).map(sorted),
)
def test_however_often_one_looks_every_slot_is_seen_once_in_order(
    sessions: list[int], cadence: int, looks: list[int]
) -> None:
    array = np.array(sessions, dtype=np.int64)
    seen, after = list[int](), -1
    for now in looks:
        seen += due_slots(cadence, array, after, now)
        after = max(after, now)
    assert seen == [slot for slot in sessions[::cadence] if slot <= looks[-1]]


def test_a_cadence_below_one_session_is_refused() -> None:
    with pytest.raises(BadInput, match="cadence"):
        due_slots(0, np.array([1]), 0, 5)


# --- firing ---------------------------------------------------------------------------------------------------


@dataclass
class Hands:
    at_ns: int

    def now_ns(self) -> int:
        return self.at_ns


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(sqlite_url(tmp_path / "store.db"))
    yield opened
    opened.dispose()


def scheduler(
    engine: Engine, hands: Hands, told: list[str] | None = None, source: str = "bundled"
) -> Scheduler:
    say = (told if told is not None else list[str]()).append
    return Scheduler(lambda firm: SqlJobs(engine, firm_id=firm), ExchangeCalendar, hands, source, 900, say)


def tick(engine: Engine, hands: Hands, **more: Any) -> list[tuple[str, str, str]]:
    found, profiles = shipped()
    jobs = scheduler(engine, hands, **more).tick(found, tuple(profiles.values()))
    asked = [json.loads(job.request) for job in jobs]
    return [(job.firm_id, one["basket"], one["as_of"]) for job, one in zip(jobs, asked, strict=True)]


def test_each_slot_of_each_followed_basket_is_fired_once(engine: Engine) -> None:
    hands = Hands(ns("2026-03-02T12:00Z"))
    baskets = sum(map(len, followed(tuple(shipped()[1].values())).values()))
    assert tick(engine, hands) == [], "a schedule begins with its next slot"
    fired = list[tuple[str, str, str]]()
    for _ in range(15 * 24):
        hands.at_ns += 3_600 * 10**9
        fired += tick(engine, hands)
        assert tick(engine, hands) == []
    assert len(fired) == len(set(fired)) and len({basket[:2] for basket in fired}) == baskets
    days = sorted({as_of for _, _, as_of in fired})
    assert len(days) == 2 and all(day.endswith(("T20:00:00Z", "T21:00:00Z")) for day in days), days


def test_of_several_missed_slots_only_the_latest_is_made_up_for(engine: Engine) -> None:
    hands = Hands(ns("2026-03-02T12:00Z"))
    tick(engine, hands)
    hands.at_ns += 60 * DAY
    fired = tick(engine, hands)
    latest = due_slots(5, closes("XNYS", hands.at_ns), 0, hands.at_ns)[-1]
    assert {ns(as_of) for _, _, as_of in fired} == {latest}
    assert len(fired) == len({(firm, basket) for firm, basket, _ in fired})


def test_prices_have_a_quarter_of_an_hour_to_arrive(engine: Engine) -> None:
    hands = Hands(ns("2026-03-02T12:00Z"))
    tick(engine, hands)
    slot = next(s for s in due_slots(5, closes("XNYS", hands.at_ns + 20 * DAY), hands.at_ns, 2**62))
    hands.at_ns = slot + 899 * 10**9
    assert tick(engine, hands) == []
    hands.at_ns += 10**9
    assert tick(engine, hands)


def test_what_goes_wrong_with_one_basket_stops_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands, told = Hands(ns("2026-03-02T12:00Z")), list[str]()
    tick(engine, hands)
    hands.at_ns += 20 * DAY
    real = SqlJobs.fire

    def failing(self: SqlJobs, basket: str, *more: Any) -> Any:
        if basket == "us-core":
            raise BadInput(expected="x", found="y", where="z")
        return real(self, basket, *more)

    monkeypatch.setattr(SqlJobs, "fire", failing)
    fired = tick(engine, hands, told=told)
    assert fired and "us-core" not in {basket for _, basket, _ in fired}
    assert told and all("us-core" in text for text in told)
