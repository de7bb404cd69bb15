"""How often and how fast a venue is asked: retries with full jitter, and a token bucket.

Time comes from the clock passed in, waiting happens in the function passed in, jitter comes from a NumPy
generator: a test needs no real second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from regime_trading.core.bars import SECOND_NS
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.ports import Clock

T = TypeVar("T")
Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """Bounds of everything that is asked of a venue.

    Parameters
    ----------
    max_attempts : int
        Requests for one answer, the first included.
    max_elapsed_s : float
        No wait is begun that would end later than this after the first attempt.
    base_s, cap_s : float
        Wait k is uniform in [0, min(cap, base · 2^(k−1))]; after a ``Retry-After`` that many seconds are
        waited first, and the jitter comes on top.
    timeout_s : float
        Longest silence of the connection.
    requests_per_s : float, optional
        Token rate; the venue's published rate where None.
    burst : int
        Tokens of a full bucket.
    max_pages : int
        Pages of one fetch; more is an error, never a silent cut.
    """

    max_attempts: int = 6
    max_elapsed_s: float = 120.0
    base_s: float = 0.5
    cap_s: float = 30.0
    timeout_s: float = 10.0
    requests_per_s: float | None = None
    burst: int = 1
    max_pages: int = 1000

    def __post_init__(self) -> None:
        counts = {"max_attempts": self.max_attempts, "burst": self.burst, "max_pages": self.max_pages}
        for name, count in counts.items():
            if count < 1:
                raise BadInput(expected="at least 1", found=str(count), where=f"retry limits, {name}")
        rate = 1.0 if self.requests_per_s is None else self.requests_per_s
        for name, value in {"timeout_s": self.timeout_s, "requests_per_s": rate}.items():
            if not (math.isfinite(value) and value > 0):
                raise BadInput(expected="a positive number", found=str(value), where=f"retry limits, {name}")
        waits = {"max_elapsed_s": self.max_elapsed_s, "base_s": self.base_s, "cap_s": self.cap_s}
        for name, value in waits.items():
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(expected="a number ≥ 0", found=str(value), where=f"retry limits, {name}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request: when, which path (never its query), and how it ended."""

    at_ns: int
    path: str
    status: int | None
    error: str
    duration_ns: int


class Transient(RegimeError):
    """A request that may work if it is repeated.

    Parameters
    ----------
    venue, path, reason : str
    status : int or None
        HTTP status, None where there was no answer.
    retry_after_s : float or None
        What the venue asks to wait.
    """

    def __init__(
        self,
        venue: str,
        path: str,
        reason: str,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.venue, self.path, self.reason = venue, path, reason
        self.status, self.retry_after_s = status, retry_after_s
        super().__init__(f"{venue} {path}: {reason}")


class TokenBucket:
    """At most ``burst`` requests at once and ``rate_per_s`` in the long run.

    Parameters
    ----------
    rate_per_s : float
    burst : int
    clock : Clock
        A clock that goes back counts as standing still.
    sleep : callable
    """

    def __init__(self, rate_per_s: float, burst: int, clock: Clock, sleep: Sleep) -> None:
        self._rate, self._burst, self._clock, self._sleep = rate_per_s, float(burst), clock, sleep
        self._tokens, self._at_ns = float(burst), clock.now_ns()

    def take(self) -> float:
        """Wait for one token and take it; returns the seconds waited."""
        self._refill()
        short = 1.0 - self._tokens
        wait = max(short, 0.0) / self._rate
        if wait > 0.0:
            self._sleep(wait)
            self._tokens, self._at_ns = 1.0, self._clock.now_ns()
        self._tokens -= 1.0
        return wait

    def _refill(self) -> None:
        now = self._clock.now_ns()
        elapsed_s = max(now - self._at_ns, 0) / SECOND_NS
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._rate)
        self._at_ns = now


class Retrier:
    """Repeats what failed in passing, within bounds.

    Parameters
    ----------
    limits : RetryLimits
    clock : Clock
    sleep : callable
    rng : numpy.random.Generator
        Source of the jitter.
    """

    def __init__(self, limits: RetryLimits, clock: Clock, sleep: Sleep, rng: np.random.Generator) -> None:
        self._limits, self._clock, self._sleep, self._rng = limits, clock, sleep, rng
        self.retries = 0

    def call(self, act: Callable[[], T]) -> T:
        """Result of ``act``, repeated while it raises ``Transient``.

        Raises
        ------
        RegimeError
            When attempts or time are used up: names venue, path and the last status or fault.
        """
        started_ns, waited_s, attempt = self._clock.now_ns(), 0.0, 0
        while True:
            attempt += 1
            try:
                return act()
            except Transient as fault:
                last = fault
            wait_s = self._wait_s(attempt, last)
            gone_s = max((self._clock.now_ns() - started_ns) / SECOND_NS, waited_s)
            if attempt >= self._limits.max_attempts or gone_s + wait_s > self._limits.max_elapsed_s:
                raise _given_up(last, attempt, wait_s, self._limits) from None
            self._sleep(wait_s)
            waited_s += wait_s
            self.retries += 1

    def _wait_s(self, attempt: int, fault: Transient) -> float:
        ceiling = min(self._limits.cap_s, self._limits.base_s * 2.0 ** min(attempt - 1, 60))
        return (fault.retry_after_s or 0.0) + float(self._rng.uniform(0.0, ceiling))


def _given_up(fault: Transient, attempts: int, wait_s: float, limits: RetryLimits) -> RegimeError:
    times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    text = f"{fault.venue} {fault.path}: given up after {times}, last: {fault.reason}"
    if fault.retry_after_s is not None and attempts < limits.max_attempts:
        text += f" (asks to wait {wait_s:.0f} s, at most {limits.max_elapsed_s:.0f} s are allowed)"
    return RegimeError(text)
