"""Slots follow the exchange's sessions, and each is fired once."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.gate_samples import shipped

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.database import Engine, SqlJobs, SqlMessages, open_database, sqlite_url
from regime_trading.core.errors import BadInput
from regime_trading.core.jobs import JobStatus
from regime_trading.core.schedules import due_slots
from regime_trading.core.settings import ScheduleSettings, Settings
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


def planned(cadence: int = 5, **schedule: Any) -> Settings:
    """The shipped settings with a schedule for every basket."""
    found = shipped()[0]
    one = ScheduleSettings(**({"source": "bundled"} | schedule))
    baskets = {
        name: basket.model_copy(update={"cadence_sessions": cadence})
        for name, basket in found.baskets.items()
    }
    return found.model_copy(update={"schedules": dict.fromkeys(found.baskets, one), "baskets": baskets})


def tick(
    engine: Engine, hands: Hands, told: list[str] | None = None, settings_: Settings | None = None
) -> list[tuple[str, str, str, JobStatus]]:
    say = (told if told is not None else list[str]()).append
    scheduler = Scheduler(lambda firm: SqlJobs(engine, firm_id=firm), ExchangeCalendar, hands, say)
    jobs = scheduler.tick(settings_ or planned(), tuple(shipped()[1].values()))
    asked = [json.loads(job.request) for job in jobs]
    return [
        (job.firm_id, one["basket"], one["as_of"], job.status) for job, one in zip(jobs, asked, strict=True)
    ]


FOLLOWED = sum(map(len, followed(tuple(shipped()[1].values())).values()))


def test_nothing_is_run_by_itself_that_is_not_scheduled(engine: Engine) -> None:
    hands, found = Hands(ns("2026-03-02T12:00Z")), shipped()[0]
    assert found.schedules == {}
    for _ in range(3):
        assert tick(engine, hands, settings_=found) == []
        hands.at_ns += 20 * DAY


@pytest.mark.parametrize(
    ("schedules", "message"),
    [
        ({"nothing": {"source": "bundled"}}, "schedules: expected one of"),
        ({"us-core": {"source": "nowhere"}}, "schedules.us-core: expected one of"),
        ({"us-core": {"source": "bundled", "missed": "run_all"}}, "run_latest"),
        ({"us-core": {"source": "bundled", "at": "16:00"}}, "at"),
    ],
)
def test_a_schedule_of_what_is_not_there_is_refused(schedules: dict[str, Any], message: str) -> None:
    plain = shipped()[0].model_dump(mode="json")
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(plain | {"schedules": schedules})


def test_what_is_scheduled_is_not_what_a_run_is_made_of() -> None:
    assert planned().content_hash() == shipped()[0].content_hash()


@pytest.mark.parametrize(
    ("first", "days", "expected"),
    [
        # New York changes its clocks on 2026-03-08 and 2026-11-01: the close moves an hour in UTC
        ("2026-03-05T12:00Z", 6, ["03-05T21:00", "03-06T21:00", "03-09T20:00", "03-10T20:00"]),
        ("2026-10-29T12:00Z", 6, ["10-29T20:00", "10-30T20:00", "11-02T21:00", "11-03T21:00"]),
        # Good Friday is none; the day after Thanksgiving ends at 13:00
        ("2026-04-01T12:00Z", 6, ["04-01T20:00", "04-02T20:00", "04-06T20:00"]),
        ("2026-11-25T12:00Z", 6, ["11-25T21:00", "11-27T18:00", "11-30T21:00"]),
    ],
)
def test_each_session_is_run_once_at_the_close_of_its_exchange(
    engine: Engine, first: str, days: int, expected: list[str]
) -> None:
    hands, daily = Hands(ns(first)), planned(cadence=1)
    assert tick(engine, hands, settings_=daily) == [], "a schedule begins with its next slot"
    fired = list[tuple[str, str, str, JobStatus]]()
    for _ in range(days * 24 * 2):
        hands.at_ns += 1_800 * 10**9
        found = tick(engine, hands, settings_=daily)
        for *_, as_of, status in found:
            assert 900 <= (hands.at_ns - ns(as_of)) // 10**9 < 900 + 1_800, (
                "a quarter of an hour after its close"
            )
            assert status is JobStatus.QUEUED
        fired += found
        assert tick(engine, hands, settings_=daily) == []
    one = fired[0][:2]
    assert [as_of[5:16] for firm, basket, as_of, _ in fired if (firm, basket) == one] == expected
    assert len(fired) == FOLLOWED * len(expected)


@pytest.mark.parametrize(
    ("missed", "late_s", "runs"),
    [("run_latest", 3_600, True), ("skip", 3_600, False), ("skip", 600_000, True)],
)
def test_what_was_missed_is_said_and_run_at_most_once(
    engine: Engine, missed: str, late_s: int, runs: bool
) -> None:
    """Nobody looked for two months; a day goes by between the latest slot and the next look."""
    settings_, told = planned(missed=missed, late_s=late_s), list[str]()
    hands = Hands(ns("2026-03-02T12:00Z"))
    tick(engine, hands, settings_=settings_)
    slots = due_slots(5, closes("XNYS", hands.at_ns + 60 * DAY), hands.at_ns, hands.at_ns + 60 * DAY)
    hands.at_ns = slots[-1] + DAY
    fired = tick(engine, hands, told=told, settings_=settings_)
    queued = {as_of for *_, as_of, status in fired if status is JobStatus.QUEUED}
    lost = {as_of for *_, as_of, status in fired if status is JobStatus.FAILED}
    assert {ns(as_of) for as_of in queued} == ({slots[-1]} if runs else set())
    assert {ns(as_of) for as_of in lost} == {slots[-2] if runs else slots[-1]}
    assert len(told) == FOLLOWED and all(f"{len(slots) - runs} slots from" in text for text in told), told
    for _ in range(3):
        assert tick(engine, hands, told=told, settings_=settings_) == []
    stored = SqlJobs(engine, firm_id="north-pier").page(status=JobStatus.FAILED)
    assert stored and all("missed and will not be run" in job.error for job in stored)
    said = SqlMessages(engine, firm_id="north-pier").after(0)
    assert sum('"failed"' in message.body for message in said) == len(stored), "and the live channel tells it"


def test_the_clock_of_one_process_is_behind_another(engine: Engine) -> None:
    """Whoever is late finds that the schedule has moved on, and runs nothing again."""
    ahead = Hands(ns("2026-03-02T12:00Z"))
    tick(engine, ahead)
    slots = due_slots(5, closes("XNYS", ahead.at_ns + 30 * DAY), ahead.at_ns, 2**62)
    ahead.at_ns = slots[1] + 900 * 10**9
    assert {status for *_, status in tick(engine, ahead)} == {JobStatus.QUEUED, JobStatus.FAILED}
    assert tick(engine, Hands(slots[0] + 1_000 * 10**9)) == []


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
    assert fired and "us-core" not in {basket for _, basket, *_ in fired}
    assert any("us-core" in text for text in told)


# --- several processes ------------------------------------------------------------------------------------------

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def walk(url: str, start: Any, found: Any, first_ns: int, step_s: int, steps: int) -> None:
    """A process that looks again and again by a clock of its own."""
    engine, hands, daily = open_database(url), Hands(first_ns), planned(cadence=1)
    start.wait()
    fired = []
    for _ in range(steps):
        fired += tick(engine, hands, settings_=daily)
        hands.at_ns += step_s * 10**9
    found.put(fired)
    engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_look_at_once_run_each_slot_once(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """Over a change of clocks and Good Friday, each with its own step; the second comes back after a restart."""
    sqlite = kind == "sqlite"
    url = sqlite_url(tmp_path / "store.db") if sqlite else request.getfixturevalue("postgresql")
    first = ns("2026-03-05T12:00Z")
    engine = open_database(url)
    tick(engine, Hands(first), settings_=planned(cadence=1))
    fired = list[tuple[str, str, str, JobStatus]]()
    for begin in (first, first + 16 * DAY):
        start, found = CONTEXT.Barrier(2), CONTEXT.Queue()
        asked = [(url, start, found, begin, 14_400, 16 * 6), (url, start, found, begin + 1, 14_100, 16 * 6)]
        processes = [CONTEXT.Process(target=walk, args=one) for one in asked]
        for process in processes:
            process.start()
        for _ in processes:
            fired += found.get(timeout=60)
        for process in processes:
            process.join(30)
    queued = Counter(one[:3] for one in fired if one[3] is JobStatus.QUEUED)
    last = first + 32 * DAY
    sessions = due_slots(1, closes("XNYS", last), first, last)
    assert set(queued.values()) == {1}
    assert {ns(as_of) for *_, as_of in queued} <= set(sessions)
    told = Counter(one for one in fired if one[3] is JobStatus.FAILED)
    assert set(told.values()) <= {1}
    rows = [
        job
        for firm in ("north-pier", "kestrel-lane")
        for job in SqlJobs(engine, firm_id=firm).page(limit=500)
    ]
    assert len(rows) == len(fired), "every job that was queued is one that somebody fired"
    assert len(queued) >= FOLLOWED * (len(sessions) - 4), (len(queued), len(sessions))
    engine.dispose()
