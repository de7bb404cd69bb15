"""The wall clock. The one place that reads it; decisions take their time from the data."""

from __future__ import annotations

import time
from dataclasses import dataclass


class SystemClock:
    """Wall clock of this machine."""

    def now_ns(self) -> int:
        """UTC nanoseconds since the epoch."""
        return time.time_ns()


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands still, for dry runs and tests.

    Parameters
    ----------
    at_ns : int
        UTC nanoseconds it always answers.
    """

    at_ns: int

    def now_ns(self) -> int:
        """``at_ns``."""
        return self.at_ns
