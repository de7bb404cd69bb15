"""Evaluation attempts: what ends one, in which order, and how days and numbers are counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from regime_trading.core.rules import LATCHING_RULES, Release
from regime_trading.core.traders import Lifecycle
from regime_trading.engine.attempts import (
    AttemptClock,
    attempt_terms,
    count_trading_day,
    ended,
    first_attempts,
    next_attempts,
)
from regime_trading.engine.cycle import opening
from regime_trading.guards.snapshot import States

LIFE = Lifecycle(profit_target_pct="0.08", min_trading_days=2, max_sessions=10)
CAPITAL = 100_000.0


def clock(*, days: int = 5, first: int = 0) -> AttemptClock:
    return AttemptClock(np.array([1]), np.array([first]), np.array([days]), np.array([3]))


def states(**kinds: Release) -> States:
    fresh = opening(np.array([CAPITAL]), 2).states
    kind = fresh.latch_kind.copy()
    for name, release in kinds.items():
        kind[0, LATCHING_RULES.index(name.replace("_", "-"))] = release
    return replace(fresh, latch_kind=kind)


def over(
    life: Lifecycle | None, at: AttemptClock, found: States, equity: float, bar: int = 5
) -> list[tuple[int, str, str]]:
    return ended(attempt_terms([life]), at, found, np.array([equity]), bar - at.first_bar + 1)


@pytest.mark.parametrize(
    ("days", "equity", "bar", "told"),
    [
        (5, 107_999.99, 8, []),
        (5, 108_000.0, 8, [(0, "passed", "")]),
        (1, 120_000.0, 8, []),
        (2, 120_000.0, 8, [(0, "passed", "")]),
        (5, 100_000.0, 9, [(0, "expired", "")]),
        (5, 108_000.0, 9, [(0, "passed", "")]),
    ],
    ids=["below target", "at target", "too few days", "enough days", "expired", "passed on the last day"],
)
def test_targets_days_and_sessions(days: int, equity: float, bar: int, told: list) -> None:
    assert over(LIFE, clock(days=days), states(), equity, bar) == told


@pytest.mark.parametrize("release", [Release.MANUAL, Release.DUAL, Release.TERMINAL])
def test_a_lock_that_outlasts_the_day_fails_the_attempt_even_at_the_target(release: Release) -> None:
    assert over(LIFE, clock(), states(LD_03=release), 120_000.0) == [(0, "failed", "LD-03")]


def test_a_latch_that_ends_with_the_day_fails_nothing() -> None:
    assert over(LIFE, clock(), states(LD_01=Release.NEXT_SESSION), 100_000.0) == []


def test_the_strictest_latch_is_named() -> None:
    both = states(LD_01=Release.MANUAL, LD_03=Release.TERMINAL, LD_13=Release.NEXT_SESSION)
    assert over(LIFE, clock(), both, 90_000.0) == [(0, "failed", "LD-03")]


def test_an_account_without_a_lifecycle_never_ends_and_no_terms_never_expire() -> None:
    assert over(None, clock(), states(LD_03=Release.TERMINAL), 0.0, 10_000) == []
    assert over(Lifecycle(), clock(), states(), 1e12, 10_000) == []
    assert over(LIFE, clock(), states(), np.nan) == []


def test_a_trading_day_counts_once_on_its_first_fill() -> None:
    at = first_attempts(2)
    counts = []
    for traded, day in [((0, 1), 7), ((1, 1), 7), ((1, 0), 7), ((1, 0), 8), ((0, 1), 9)]:
        at = count_trading_day(at, np.array(traded, dtype=np.bool_), np.array([day, day]))
        counts.append(at.trading_days.tolist())
    assert counts == [[0, 1], [1, 1], [1, 1], [2, 1], [2, 2]]


def test_the_next_attempt_begins_at_the_next_bar_for_the_marked_accounts_alone() -> None:
    at = AttemptClock(np.array([3, 1]), np.array([10, 0]), np.array([4, 6]), np.array([99, 98]))
    after = next_attempts(at, np.array([True, False]), 21)
    assert [x.tolist() for x in (after.number, after.first_bar)] == [[4, 1], [21, 0]]
    assert [x.tolist() for x in (after.trading_days, after.last_trading_day)] == [[0, 6], [-1, 98]]
