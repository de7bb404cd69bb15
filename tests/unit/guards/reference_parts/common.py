"""What the parts of the reference share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

INF = math.inf
ONE = 10**9
NORMAL, REDUCE_ONLY, FLATTEN, LOCKED = range(4)


@dataclass
class Meet:
    """The strictest value of everything any rule has said so far.

    ``caps``: (rule, {asset: load}, limit), one for each set of assets · ``tilts``: (rule, loads, limit) · ``pairs``:
    (rule, threshold, limit, exempt assets) · ``tails``: (rule, confidence, limit) · ``rises``: (rule, last, most,
    least).
    """

    n: int
    mode: int = NORMAL
    authority: int = 0
    throttle: float = 1.0
    vol: float = INF
    turnover: float = INF
    caps: list = field(default_factory=list)
    tilts: list = field(default_factory=list)
    pairs: list = field(default_factory=list)
    rises: list = field(default_factory=list)

    def __post_init__(self):
        self.lo, self.hi, self.scale = [-INF] * self.n, [INF] * self.n, [1.0] * self.n
        self.frozen, self.embargo, self.cancel = ([False] * self.n for _ in range(3))
        self.tails = []
        self.pace_in, self.pace_out = [INF] * self.n, [INF] * self.n
        self.slice_in, self.slice_out, self.collar = [INF] * self.n, [INF] * self.n, [INF] * self.n

    def at_least(self, mode):
        self.mode = max(self.mode, mode)

    def slow(self, throttle):
        self.throttle = min(self.throttle, throttle)

    def shrink(self, i, factor):
        self.scale[i] = min(self.scale[i], factor)

    def box(self, i, lo, hi):
        self.lo[i], self.hi[i] = max(self.lo[i], lo), min(self.hi[i], hi)

    def join(self, other):
        """Take over everything that another meet asks for."""
        self.mode, self.authority = max(self.mode, other.mode), max(self.authority, other.authority)
        self.throttle, self.vol = min(self.throttle, other.throttle), min(self.vol, other.vol)
        self.turnover = min(self.turnover, other.turnover)
        for name in ("caps", "tilts", "pairs", "tails", "rises"):
            getattr(self, name).extend(getattr(other, name))
        for i in range(self.n):
            self.box(i, other.lo[i], other.hi[i])
            self.shrink(i, other.scale[i])
            for name in ("frozen", "embargo", "cancel"):
                getattr(self, name)[i] |= getattr(other, name)[i]
            for name in ("pace_in", "pace_out", "slice_in", "slice_out", "collar"):
                getattr(self, name)[i] = min(getattr(self, name)[i], getattr(other, name)[i])

    def hull(self, i, weight):
        self.box(i, min(weight, 0), max(weight, 0))


def nano(x):
    """Whole nanoweights toward zero; the double nearest to a multiple of 1e-9 is that multiple."""
    if math.isinf(x):
        return x
    scaled = x * 1e9
    nearest = round(scaled)
    return nearest if abs(scaled - nearest) <= 1e-6 + abs(scaled) * 4e-16 else math.trunc(scaled)


def number(x):
    """A float, or None where it is not a finite number."""
    return float(x) if math.isfinite(x) else None


def grid(x):
    return 1.0 if x >= 1 else math.floor(x * 1e9) / 1e9


def times(factor, whole):
    """``factor · whole`` toward zero in whole nanoweights."""
    return whole if factor == 1 else math.trunc(factor * whole)
