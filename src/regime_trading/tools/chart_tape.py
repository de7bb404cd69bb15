"""The chart of a tape: mid, cumulative order-flow imbalance and spread on one time axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import F8, I8
from regime_trading.tools.chart_geometry import known_range, linear_ticks, short_number
from regime_trading.tools.chart_sheet import Pen, Sheet, Size, area, curve, plain_style, stroke

_NS_PER_DAY = 86_400e9
FLOW, SPREAD = "Order-flow imbalance, cumulative", "Spread, basis points"
_MID: Pen = ("fg", 1.4, ())
_FLOW: Pen = ("accent", 1.6, ())


@dataclass(frozen=True, slots=True, eq=False)
class TapeTrack:
    """One symbol's tape in buckets, arrays [K]; NaN = not known.

    ``ts_ns`` are the ends of the buckets, ``mid`` the mid just before, ``spread_bps`` the time-weighted spread
    within, ``flow`` the order-flow imbalance summed since the start of the session. ``breaks_ns`` are the starts
    of the sessions after the first: no line crosses them.
    """

    symbol: str
    ts_ns: I8
    mid: F8
    spread_bps: F8
    flow: F8
    breaks_ns: tuple[int, ...] = ()


@plain_style()
def tape_panels(track: TapeTrack, title: str, size: Size) -> str:
    """Mid, cumulative OFI and spread below each other.

    Raises
    ------
    BadInput
        Nothing is known.
    """
    x = track.ts_ns.astype(np.float64) / _NS_PER_DAY
    breaks = np.asarray(track.breaks_ns, dtype=np.float64) / _NS_PER_DAY
    panels = [
        (name, values, height if size.is_wide else height * 5 // 6)
        for name, values, height in (
            ("Mid", track.mid, 120),
            (FLOW, track.flow, 96),
            (SPREAD, track.spread_bps, 72),
        )
        if np.isfinite(values).any()
    ] or [("Mid", track.mid, 120)]
    total = 24 + sum(height + 34 for _, _, height in panels)
    sheet, top = Sheet(size, total, x, 2, 74 if size.is_wide else 62), 24
    for name, values, height in panels:
        _panel(sheet, name, x, values, top, height, breaks)
        top += height + 34
    sheet.time_axis(total - 6)
    return sheet.svg(title)


def _panel(sheet: Sheet, name: str, x: F8, values: F8, top: int, height: int, breaks: F8) -> None:
    sheet.text(2, top - 9, name, weight="bold")
    low, high = known_range([values])
    low = 0.0 if name == SPREAD else low
    ax = sheet.panel(top, height, low, high)
    ticks = linear_ticks(low, high, 4)
    sheet.hairlines(ax, ticks, [_tick(tick, high - low) for tick in ticks])
    if name == SPREAD:
        area(ax, x, values, sheet.size, "loss", breaks)
        curve(ax, x, values, sheet.size, ("loss", 1.0, ()), breaks)
        return
    if name == FLOW and low < 0 < high:
        stroke(ax, np.array([sheet.x0, sheet.x1]), np.array([0.0, 0.0]), "muted", 0.8)
    curve(ax, x, values, sheet.size, _MID if name == "Mid" else _FLOW, breaks)


def _tick(value: float, span: float) -> str:
    """Enough digits to tell neighbours apart."""
    if abs(value) >= 1e4 and span / 4 >= abs(value) * 1e-3:
        return short_number(value)
    digits = max(0, int(np.ceil(-np.log10(span / 4)))) if span > 0 else 2
    return f"{value:,.{min(digits, 6)}f}".replace("-", "−")
