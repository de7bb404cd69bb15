"""What a chart shows of long arrays: which points, which stretches, which round numbers. Pure geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8


def downsample(values: F8, max_points: int) -> npt.NDArray[np.intp]:
    """Indices of at most ``max_points`` points that keep every extreme of a line visible.

    The inner points are cut into equal bins; of each bin its minimum and its maximum are kept, in order.

    Parameters
    ----------
    values : float64 [T]
        NaN = no value; a bin without any value keeps one NaN, so the line breaks there.
    max_points : int
        At least 4.

    Returns
    -------
    intp [M], strictly increasing, M ≤ max_points, with the first and the last point.
    """
    n = len(values)
    if n <= max_points:
        return np.arange(n)
    bins = (max_points - 2) // 2
    edges = np.linspace(1, n - 1, bins + 1).astype(np.intp)
    width = int(np.max(np.diff(edges)))
    at = np.minimum(edges[:-1, None] + np.arange(width), edges[1:, None] - 1)
    finite = np.isfinite(values[at])
    low = np.argmin(np.where(finite, values[at], np.inf), axis=1)
    high = np.argmax(np.where(finite, values[at], -np.inf), axis=1)
    rows = np.arange(bins)
    picked = np.concatenate([[0], at[rows, low], at[rows, high], [n - 1]])
    return np.unique(picked).astype(np.intp)


def bin_max(values: F8, bins: int) -> tuple[F8, npt.NDArray[np.intp]]:
    """Largest known value of each of at most ``bins`` equal bins (NaN = none), and where each bin starts."""
    starts = np.unique(np.linspace(0, len(values), min(bins, len(values)) + 1).astype(np.intp)[:-1])
    return np.fmax.reduceat(values, starts), starts


def runs(mask: B1, x: F8, min_width: float) -> tuple[F8, F8]:
    """Starts and ends of the stretches where ``mask`` holds, none narrower than ``min_width``.

    Observation i lasts until observation i+1. Stretches that would touch are joined, so the number of
    rectangles is bounded by what can be seen, and a single day never disappears.
    """
    if not mask.any():
        return np.empty(0), np.empty(0)
    step = float(np.median(np.diff(x))) if len(x) > 1 else 1.0
    until = np.append(x[1:], x[-1] + step)
    edge = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    start = x[np.flatnonzero(edge == 1)]
    end = np.maximum(until[np.flatnonzero(edge == -1) - 1], start + min_width)
    end = np.maximum.accumulate(end)
    first = np.concatenate([[True], start[1:] > end[:-1] + 0.25 * min_width])
    last = np.append(first[1:], True)
    return start[first], end[last]


def broken_line(x: F8, y: F8, breaks: F8, max_points: int) -> tuple[F8, F8]:
    """Points of a line that is cut where a fresh attempt starts, each part downsampled on its own.

    Parameters
    ----------
    x, y : float64 [T]
    breaks : float64 [B]
        First x of each fresh attempt after the first.
    max_points : int
        Of all parts together, as long as that leaves four points to each.

    Returns
    -------
    x, y : float64 [M]
        Parts joined by NaN.
    """
    starts = np.unique(np.searchsorted(x, breaks[(breaks > x[0]) & (breaks <= x[-1])]))
    parts = np.split(np.arange(len(x)), starts)
    budget = max_points - len(starts)
    kept = [part[downsample(y[part], max(4, budget * len(part) // len(x)))] for part in parts]
    cut = [part[-1:] for part in kept[:-1]]
    at = np.concatenate(
        [index for pair in zip(kept, [*cut, np.empty(0, dtype=np.intp)], strict=True) for index in pair]
    )
    ends = np.cumsum([len(part) + 1 for part in kept[:-1]], dtype=np.intp) - 1
    line = y[at].copy()
    line[ends] = np.nan
    return x[at], line


def known_range(values: Sequence[F8], pad: float = 0.04, log: bool = False) -> tuple[float, float]:
    """Range of all known values, widened by ``pad`` of itself; for a log axis of all positive ones.

    Raises
    ------
    BadInput
        No value is known.
    """
    known = np.concatenate([np.empty(0), *(v[np.isfinite(v) & ((v > 0) | (not log))] for v in values)])
    if not len(known):
        raise BadInput(expected="at least one known value", found="none", where="chart")
    low, high = float(known.min()), float(known.max())
    if log:
        ratio = max(high / low, 1.02) ** pad
        return low / ratio, high * ratio
    gap = (high - low) * pad or abs(high) * pad or 1.0
    return low - gap, high + gap


def short_number(value: float) -> str:
    """Axis text of a number: ``1.25m``, ``850k``, ``0.5``."""
    for unit, size in (("bn", 1e9), ("m", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` round numbers (1, 2 or 5 times a power of ten apart) within the range."""
    if not high > low:
        return [low]
    raw = (high - low) / max(most - 1, 1)
    power = 10.0 ** np.floor(np.log10(raw))
    for factor in (1, 2, 5, 10, 20):
        step = factor * power
        first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
        if last - first + 1 <= most:
            break
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` round numbers for a logarithmic axis; linear ones where the range is under a decade."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**d for d in decades for f in factors if low <= f * 10.0**d <= high]
        if 3 <= len(ticks) <= most:
            return ticks
    return linear_ticks(low, high, most) if len(ticks) < 3 else ticks[:: -(-len(ticks) // most)]


_CALENDAR = (("Y", 365.25, (1, 2, 5, 10, 20, 50)), ("M", 30.4, (1, 2, 3, 6)), ("D", 1.0, (1, 2, 5, 10, 20)))


def time_ticks(low_days: float, high_days: float, most: int) -> list[tuple[float, str]]:
    """Round dates within the range (days since the epoch) with their text: years, months, days, or UTC clock times
    where the range is shorter than a day."""
    if high_days - low_days < 1.0:
        return _clock_ticks(low_days, high_days, most)
    unit, step = _calendar_step(high_days - low_days, most)
    first, last = np.array([low_days, high_days]).astype("datetime64[D]").astype(f"datetime64[{unit}]")
    dates = np.arange(first, last + 1)
    dates = dates[(dates.astype(np.int64) + (1970 if unit == "Y" else 0)) % step == 0]
    days = dates.astype("datetime64[D]").astype(np.int64).tolist()
    near = 0.004 * (high_days - low_days)  # the first session of January stands for its year
    return [(float(d), str(t)) for d, t in zip(days, dates, strict=True) if low_days - near <= d <= high_days]


_CLOCK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)


def _clock_ticks(low_days: float, high_days: float, most: int) -> list[tuple[float, str]]:
    span_s = (high_days - low_days) * 86_400
    step = next((s for s in _CLOCK_STEPS_S if span_s / s <= most), _CLOCK_STEPS_S[-1])
    first, last = math.ceil(low_days * 86_400 / step), math.floor(high_days * 86_400 / step)
    texts = [f"{s // 3600 % 24:02d}:{s // 60 % 60:02d}" for s in range(first * step, last * step + 1, step)]
    if step < 60:
        texts = [
            f"{text}:{s % 60:02d}"
            for text, s in zip(texts, range(first * step, last * step + 1, step), strict=True)
        ]
    return [(k * step / 86_400, text) for k, text in zip(range(first, last + 1), texts, strict=True)]


def _calendar_step(span_days: float, most: int) -> tuple[str, int]:
    """The coarsest unit with at least two steps in the span, and its finest step with at most ``most``."""
    for unit, per_unit, steps in _CALENDAR:
        fitting = [step for step in steps if span_days / (per_unit * step) <= most]
        if fitting and (unit == "D" or span_days / (per_unit * fitting[0]) >= 2):
            return unit, fitting[0]
    return "Y", 100
