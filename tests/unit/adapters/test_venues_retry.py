"""Retries and the rate: bounded, jittered, honouring what the venue asks, with no real second spent."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.venues import ClockOffset, Credentials, RetryLimits, feed_age
from regime_trading.adapters.venues.provenance import clock_offset
from regime_trading.adapters.venues.retry import Retrier, TokenBucket, Transient
from regime_trading.adapters.venues.secrets import Redactor
from regime_trading.core.errors import BadInput, RegimeError

S = 1_000_000_000


@dataclass
class Time:
    """A clock that moves when someone sleeps."""

    now: int = 1_000 * S
    slept: list[float] = field(default_factory=list)

    def now_ns(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * S)


def _retrier(time: Time, seed: int = 1, **limits: float) -> Retrier:
    return Retrier(RetryLimits(**limits), time, time.sleep, np.random.default_rng(seed))  # type: ignore[arg-type]


def _failing(times: int, **fault: float | None):
    calls = iter(range(times))

    def act() -> str:
        for _ in calls:
            raise Transient("v", "/p", "HTTP 500", 500, fault.get("retry_after_s"))
        return "done"

    return act


def test_a_passing_fault_is_repeated_with_full_jitter_below_a_doubling_ceiling():
    time = Time()
    retrier = _retrier(time, base_s=1.0, cap_s=3.0)
    assert retrier.call(_failing(4)) == "done"
    assert retrier.retries == 4
    assert all(0 <= waited <= ceiling for waited, ceiling in zip(time.slept, (1, 2, 3, 3), strict=True))
    expected = np.random.default_rng(1)
    assert time.slept == [expected.uniform(0, c) for c in (1, 2, 3, 3)]


def test_giving_up_names_venue_path_and_last_fault_and_stays_within_the_bound():
    time = Time()
    with pytest.raises(RegimeError, match=r"v /p: given up after 3 attempts, last: HTTP 500") as caught:
        _retrier(time, max_attempts=3).call(_failing(99))
    assert caught.value.exit_code == 1 and len(time.slept) == 2


def test_no_wait_is_begun_that_ends_after_the_time_allowed():
    time = Time()
    with pytest.raises(RegimeError):
        _retrier(time, max_attempts=1000, max_elapsed_s=20.0, base_s=4.0, cap_s=4.0).call(_failing(999))
    assert 0 < sum(time.slept) <= 20.0


def test_time_is_bounded_also_with_a_clock_that_stands_still():
    slept: list[float] = []
    limits = RetryLimits(max_attempts=1000, max_elapsed_s=20.0, base_s=4.0, cap_s=4.0)
    with pytest.raises(RegimeError):
        Retrier(limits, FixedClock(1), slept.append, np.random.default_rng(0)).call(_failing(999))
    assert 0 < sum(slept) <= 20.0


def test_what_the_venue_asks_to_wait_is_waited_at_least():
    time = Time()
    assert _retrier(time, base_s=0.5).call(_failing(1, retry_after_s=7.0)) == "done"
    assert 7.0 <= time.slept[0] <= 7.5


def test_a_wait_longer_than_allowed_is_refused_at_once_and_said():
    time = Time()
    with pytest.raises(RegimeError, match=r"given up after 1 attempt, .*asks to wait 3600 s"):
        _retrier(time, base_s=0.0, max_elapsed_s=60.0).call(_failing(9, retry_after_s=3600.0))
    assert time.slept == []


def test_other_errors_are_not_repeated():
    calls = []

    def act() -> None:
        calls.append(1)
        raise BadInput(expected="a", found="b", where="c")

    with pytest.raises(BadInput):
        _retrier(Time()).call(act)
    assert len(calls) == 1


@settings(max_examples=50, deadline=None)
@given(
    rate=st.floats(0.5, 50),
    burst=st.integers(1, 5),
    idle=st.lists(st.floats(0, 3), min_size=2, max_size=40),
)
def test_never_more_requests_than_the_rate_allows(rate: float, burst: int, idle: list[float]):
    time = Time()
    bucket = TokenBucket(rate, burst, time, time.sleep)
    at = []
    for pause in idle:
        time.now += round(pause * S)
        bucket.take()
        at.append(time.now)
    for i in range(len(at)):
        for j in range(i, len(at)):
            assert j - i + 1 <= burst + rate * (at[j] - at[i]) / S + 1e-6


def test_a_clock_that_goes_back_gives_no_tokens():
    time = Time()
    bucket = TokenBucket(1.0, 1, time, time.sleep)
    bucket.take()
    time.now -= 3600 * S
    assert bucket.take() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"burst": 0},
        {"max_pages": 0},
        {"timeout_s": 0.0},
        {"requests_per_s": -1.0},
        {"requests_per_s": float("nan")},
        {"base_s": -0.1},
        {"max_elapsed_s": float("inf")},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, float]):
    with pytest.raises(BadInput, match=next(iter(wrong))):
        RetryLimits(**wrong)  # type: ignore[arg-type]


def test_credentials_show_in_no_text_and_are_not_written():
    held = Credentials("the-key-1234", "the-secret-5678")
    for text in (repr(held), str(held), f"{held!r} {held}", repr([held]), repr(Redactor(held))):
        assert "1234" not in text and "5678" not in text
    with pytest.raises(TypeError):
        pickle.dumps(held)
    said = Redactor(held)("bad key the-key-1234\nand the-secret-5678 " + "x" * 500)
    assert said.startswith("bad key *** and *** xxx") and len(said) < 200


# --- clock and age ----------------------------------------------------------------------------------------


def test_the_offset_is_measured_at_the_middle_of_the_round_trip():
    offset = clock_offset(10 * S, 12 * S, 21 * S, 1_000_000, "server time")
    assert offset.offset_ns == 10 * S and offset.measured_at_ns == 11 * S
    assert offset.uncertainty_ns == S + 500_000
    assert offset.earliest_venue_ns(20 * S) == 29 * S - 500_000
    assert clock_offset(0, 2, None, 0, "x") == ClockOffset(None, 0, "unknown", 1)


def test_age_uses_event_time_reception_and_the_venues_clock():
    clock = ClockOffset(2 * S, S // 10, "server time", 0)
    age = feed_age(np.array([90 * S, 99 * S]), 100 * S, clock, now_ns=130 * S)
    assert (age.at_reception_s, age.now_s, age.silence_s, age.uncertainty_s) == (3.0, 33.0, 30.0, 0.1)
    assert not age.from_the_future
    assert feed_age(103 * S, 100 * S, clock).from_the_future


def test_age_is_nan_where_something_is_unknown():
    clock = ClockOffset(0, 0, "server time", 0)
    unknown = ClockOffset(None, 0, "unknown", 0)
    cases = [
        feed_age(None, 100 * S, clock, 101 * S),
        feed_age(np.empty(0), 100 * S, clock, 101 * S),
        feed_age(99 * S, 100 * S, unknown, 101 * S),
        feed_age(99 * S, 100 * S, None, 101 * S),
    ]
    assert all(np.isnan(a.at_reception_s) and np.isnan(a.now_s) for a in cases)
    assert np.isnan(feed_age(99 * S, None, clock).at_reception_s)
    assert not any(a.from_the_future for a in cases)
