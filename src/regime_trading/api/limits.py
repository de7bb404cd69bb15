"""How often somebody may ask: token buckets per caller and kind of request, in this process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

from regime_trading.api.errors import ApiError

MOST_CALLERS = 20_000


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` at once, and ``per_minute`` over time."""

    per_minute: float
    burst: int


READS = Rate(600, 120)
WRITES = Rate(60, 30)
HALTS = Rate(120, 60)  #: of its own, so that nothing else can use up the way to stop
STRANGERS = Rate(120, 60)


class Limiter:
    """Buckets by caller and kind; the least recently seen go first.

    Raises
    ------
    ApiError
        429 with ``Retry-After``.
    """

    def __init__(self) -> None:
        self._buckets: OrderedDict[tuple[str, Rate], tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str, rate: Rate, now_ns: int) -> dict[str, str]:
        """Count one request of ``caller`` at ``now_ns``; the headers that say what is left."""
        key = (caller, rate)
        with self._lock:
            left, seen_ns = self._buckets.pop(key, (float(rate.burst), now_ns))
            gained = max(now_ns - seen_ns, 0) / 60e9 * rate.per_minute
            left = min(left + gained, float(rate.burst))
            allowed = left >= 1.0
            self._buckets[key] = (left - 1.0 if allowed else left, max(now_ns, seen_ns))
            while len(self._buckets) > MOST_CALLERS:
                self._buckets.popitem(last=False)
        left = left - 1.0 if allowed else left
        said = {
            "RateLimit-Limit": str(rate.burst),
            "RateLimit-Remaining": str(int(left)),
            "RateLimit-Reset": str(ceil((rate.burst - left) / rate.per_minute * 60)),
        }
        if allowed:
            return said
        wait_s = ceil((1.0 - left) / rate.per_minute * 60)
        detail = f"too many requests: again in {wait_s} s"
        raise ApiError(429, "too_many", detail, headers=said | {"Retry-After": str(wait_s)})
