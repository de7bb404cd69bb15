from __future__ import annotations

import time

from regime_trading.adapters.clock import FixedClock, SystemClock


def test_system_clock_lies_between_two_readings():
    before = time.time_ns()
    assert before <= SystemClock().now_ns() <= time.time_ns()


def test_fixed_clock_stands_still():
    clock = FixedClock(7)
    assert clock.now_ns() == clock.now_ns() == 7
