"""SVG charts from plain arrays, in two sizes: one for a desk, one for a phone.

A wide chart scaled down to a phone has unreadable text, so each chart is drawn for both. Colour is never the
only carrier of a meaning: lanes have names, lines have dashes and labels, states have heights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.tools.chart_geometry import (
    bin_max,
    downsample,
    known_range,
    linear_ticks,
    log_ticks,
    short_number,
)
from regime_trading.tools.chart_sheet import (
    Pen,
    Sheet,
    Size,
    area,
    blocks,
    compound,
    curve,
    fill,
    plain_style,
    rectangles,
    stroke,
)

CURVE_STYLES: tuple[Pen, ...] = (
    ("accent", 2.2, ()),
    ("muted", 1.4, ()),
    ("volatile-trending", 1.4, (5, 2)),
    ("mean-reverting", 1.4, (1.5, 1.5)),
    ("uncertain", 1.4, (6, 2, 1.5, 2)),
)
"""Token, width and dashes of the first, second … curve of one chart; colour is never the only difference."""

_STATE_TOKENS = ("", "amber", "volatile-trending", "danger")
_NS_PER_DAY = 86_400e9


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One named line ``[T]``; NaN = no value, the line breaks."""

    name: str
    values: F8


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: ``kind`` is ``deposit``, ``withdrawal``, ``passed``, ``failed`` or ``expired``."""

    ts_ns: int
    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class AccountSeries:
    """What the chart of one account shows. All arrays ``[T]``; NaN = not known.

    ``drawdown`` is a positive fraction of the high-water mark, ``throttle`` a factor in [0, 1],
    ``trading_state`` the code of ``TradingState`` (negative = not known). ``breaks_ns`` are the times at
    which a fresh attempt starts: lines are not joined across them.
    """

    ts_ns: I8
    equity: F8
    drawdown: F8
    throttle: F8
    trading_state: I1
    currency: str
    breaks_ns: tuple[int, ...] = ()
    marks: tuple[Mark, ...] = ()


def _days(ts_ns: npt.ArrayLike) -> F8:
    return np.asarray(ts_ns, dtype=np.float64) / _NS_PER_DAY


@plain_style()
def regime_ribbon(
    ts_ns: I8, close: F8, state: I1, label: I1, labels: Sequence[str], n_states: int, title: str, size: Size
) -> str:
    """Price on a log axis, shaded where the risk state is the most turbulent, over one lane per label.

    Parameters
    ----------
    ts_ns, close, state, label : [T]
        Times, price (NaN = none), risk state 0 … ``n_states`` − 1 and index into ``labels`` (negative = none).

    Raises
    ------
    BadInput
        There is no price at all.
    """
    span = known_range([close], log=True)
    x, top, height, lane = _days(ts_ns), 12, (220 if size.is_wide else 170), (17 if size.is_wide else 16)
    lanes_top = top + height + 10
    total = lanes_top + (len(labels) + 1) * lane + 26
    sheet = Sheet(size, total, x, 2, 136 if size.is_wide else 122)
    ax = sheet.panel(top, height, *span, log=True)
    turbulent = state == n_states - 1
    blocks(sheet, ax, turbulent, x, *span, "loss", 0.16)
    ticks = log_ticks(*span, 5)
    sheet.hairlines(ax, ticks, [short_number(t) for t in ticks])
    curve(ax, x, np.where(close > 0, close, np.nan), size, ("fg", 1.3, ()))
    rows = [("turbulent", "loss", turbulent)]
    rows += [(name.replace("_", " "), name.replace("_", "-"), label == k) for k, name in enumerate(labels)]
    _lanes(sheet, rows, x, lanes_top, lane)
    sheet.time_axis(total - 6)
    return sheet.svg(title)


def _lanes(sheet: Sheet, rows: list[tuple[str, str, B1]], x: F8, top: int, lane: int) -> None:
    """One named lane per row, so that position says what colour says."""
    ax = sheet.panel(top, lane * len(rows), float(len(rows)), 0.0)
    for k, (name, token, mask) in enumerate(rows):
        stroke(ax, np.array([sheet.x0, sheet.x1]), np.array([k + 0.5, k + 0.5]), "line", 1.0)
        blocks(sheet, ax, mask, x, k + 0.2, k + 0.8, token)
        y = top + (k + 0.5) * lane + sheet.size.font_px * 0.35
        sheet.text(sheet.size.width - sheet.right + 6, y, name)


@plain_style()
def account_panels(series: AccountSeries, title: str, size: Size) -> str:
    """Equity, drawdown, throttle, trading state and events of one account on one time axis.

    Raises ``BadInput`` where no equity is known.
    """
    known = np.isfinite(series.equity)
    log = bool(
        known.any() and series.equity[known].min() > 0 and np.ptp(np.log(series.equity[known])) > np.log(4)
    )
    span = known_range([series.equity], log=log)
    x, breaks = _days(series.ts_ns), _days(series.breaks_ns)
    tops, heights, total = _account_layout(size, bool(series.marks))
    sheet = Sheet(size, total, x, 2, 62 if size.is_wide else 52)
    scale = "log scale" if log else "linear scale"
    sheet.text(2, tops[0] - 9, f"Equity, {series.currency}, {scale}", weight="bold")
    ax = sheet.panel(tops[0], heights[0], *span, log=log)
    ticks = (log_ticks if log else linear_ticks)(*span, 5)
    sheet.hairlines(ax, ticks, [short_number(t) for t in ticks])
    curve(ax, x, series.equity, size, ("accent", 1.6, ()), breaks)
    _drawdown_panel(sheet, series, x, breaks, tops[1], heights[1])
    _throttle_panel(sheet, series, x, tops[2], heights[2])
    _state_lane(sheet, series, x, tops[3], heights[3])
    if series.marks:
        _event_lane(sheet, series.marks, tops[4])
    sheet.time_axis(total - 6)
    return sheet.svg(title)


def _account_layout(size: Size, marks: bool) -> tuple[list[int], list[int], int]:
    heights = [190, 84, 40, 30] if size.is_wide else [140, 70, 36, 28]
    heights += [14] if marks else []
    tops, at = [], 22
    for height in heights:
        tops.append(at)
        at += height + 30
    return tops, heights, at - 6


def _drawdown_panel(sheet: Sheet, series: AccountSeries, x: F8, breaks: F8, top: int, height: int) -> None:
    depth = -series.drawdown
    known = depth[np.isfinite(depth)]
    low = min(float(known.min()) * 1.05 if len(known) else 0.0, -0.01)
    ax = sheet.panel(top, height, low, 0.0)
    worst = f", worst −{-float(known.min()):.1%}".replace("%", " %") if len(known) else ", not known"
    sheet.text(2, top - 9, "Drawdown from the high-water mark" + worst, weight="bold")
    ticks = linear_ticks(low, 0.0, 4)
    sheet.hairlines(ax, ticks, [f"{t:.3g} %".replace("-", "−") for t in np.array(ticks) * 100 + 0.0])
    area(ax, x, depth, sheet.size, "loss", breaks)
    curve(ax, x, depth, sheet.size, ("loss", 1.0, ()), breaks)


def _throttle_panel(sheet: Sheet, series: AccountSeries, x: F8, top: int, height: int) -> None:
    ax = sheet.panel(top, height, 0.0, 1.0)
    sheet.text(2, top - 9, "Throttle, factor on new risk", weight="bold")
    sheet.hairlines(ax, [0.0, 1.0], ["0", "1"])
    at = downsample(series.throttle, sheet.size.points)
    stroke(ax, np.repeat(x[at], 2)[1:], np.repeat(series.throttle[at], 2)[:-1], "muted", 1.0)


def _state_lane(sheet: Sheet, series: AccountSeries, x: F8, top: int, height: int) -> None:
    ax = sheet.panel(top, height, 0.0, 3.0)
    sheet.text(2, top - 9, "Trading state: the higher, the more restricted", weight="bold")
    sheet.hairlines(ax, [0.0], ["normal"])
    for code, token in enumerate(_STATE_TOKENS):
        if token:
            blocks(sheet, ax, series.trading_state == code, x, 0.0, float(code), token)


_MARKS = {
    "deposit": ("▲", "gain"),
    "withdrawal": ("▼", "loss"),
    "passed": ("●", "gain"),
    "failed": ("✕", "danger"),
    "expired": ("○", "muted"),
}


def _event_lane(sheet: Sheet, marks: Sequence[Mark], top: int) -> None:
    sheet.text(2, top - 9, "Events", weight="bold")
    for mark in marks:
        glyph, token = _MARKS.get(mark.kind, ("•", "muted"))
        at = sheet.left + (mark.ts_ns / _NS_PER_DAY - sheet.x0) / sheet.per_px
        sheet.text(min(max(at, 6), sheet.size.width - 6), top + 10, glyph, token, ha="center")


@plain_style()
def growth_curves(ts_ns: I8, curves: Sequence[Curve], title: str, size: Size) -> str:
    """Growth of 1 on a log axis, each line named. Raises ``BadInput`` where nothing is known."""
    scaled = [Curve(c.name, _growth(c.values)) for c in curves]
    span = known_range([c.values for c in scaled], log=True)
    x, height = _days(ts_ns), 300 if size.is_wide else 220
    texts = [f"{c.name} ×{_last(c.values):.3g}" for c in scaled]
    right = int(max(len(t) for t in texts) * size.font_px * 0.66) + 14 if size.is_wide else 40
    legend = 0 if size.is_wide else 17 * len(scaled)
    total = 12 + height + 26 + legend
    sheet = Sheet(size, total, x, 2 if not size.is_wide else 52, right)
    ax = sheet.panel(12, height, *span, log=True)
    ticks = log_ticks(*span, 6)
    _growth_axis(sheet, ax, ticks)
    for k in reversed(range(len(scaled))):
        curve(ax, x, scaled[k].values, size, CURVE_STYLES[k % len(CURVE_STYLES)])
    sheet.time_axis(12 + height + 20)
    if size.is_wide:
        _end_labels(sheet, ax, scaled, texts)
    else:
        _legend(sheet, texts, 12 + height + 26)
    return sheet.svg(title)


def _growth_axis(sheet: Sheet, ax: Axes, ticks: list[float]) -> None:
    if not sheet.size.is_wide:
        sheet.hairlines(ax, ticks, [f"×{t:.3g}" for t in ticks])
        return
    sheet.hairlines(ax, ticks, [""] * len(ticks))
    for tick in ticks:
        y = sheet.height - float(ax.transData.transform((sheet.x0, tick))[1])
        sheet.text(sheet.left - 6, y + sheet.size.font_px * 0.35, f"×{tick:.3g}", ha="right")


def _legend(sheet: Sheet, texts: Sequence[str], top: float) -> None:
    key = sheet.figure.add_axes((0, 0, 1, 1))
    key.set_axis_off()
    key.set_xlim(0, sheet.size.width)
    key.set_ylim(sheet.height, 0)
    for k, text in enumerate(texts):
        y = top + 17 * k + 8
        stroke(key, np.array([2.0, 26.0]), np.array([y, y]), *CURVE_STYLES[k % len(CURVE_STYLES)])
        sheet.text(32, y + sheet.size.font_px * 0.35, text, "fg")


def _end_labels(sheet: Sheet, ax: Axes, curves: Sequence[Curve], texts: Sequence[str]) -> None:
    """Each line's name at its end, moved apart where they would overlap."""
    ends = [
        (sheet.height - float(ax.transData.transform((0, _last(c.values)))[1]), k)
        for k, c in enumerate(curves)
        if np.isfinite(_last(c.values))
    ]
    gap, placed = sheet.size.font_px * 1.25, -np.inf
    for y, k in sorted(ends):
        placed = max(y, placed + gap)
        token = CURVE_STYLES[k % len(CURVE_STYLES)][0]
        sheet.text(
            sheet.size.width - sheet.right + 8,
            placed + 4,
            texts[k],
            token,
            weight="bold" if k == 0 else "normal",
        )


def _growth(values: F8) -> F8:
    known = values[np.isfinite(values) & (values > 0)]
    return np.where(values > 0, values, np.nan) / known[0] if len(known) else np.full(len(values), np.nan)


def _last(values: F8) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else float("nan")


@plain_style()
def utilisation_strip(ts_ns: I8, rows: Sequence[Curve], title: str, size: Size) -> str:
    """One lane per rule: how much of its limit was used, darker the closer, orange at or past the limit.

    Each cell shows the largest use of its stretch of time; a blank cell had no known value.
    """
    rows = [row for row in rows if np.isfinite(row.values).any()]
    if not rows:
        raise BadInput(expected="a rule with a known utilisation", found="none", where="chart")
    x, lane = _days(ts_ns), 20
    total = 8 + lane * len(rows) + 24
    sheet = Sheet(size, total, x, _label_px(rows, size) if size.is_wide else 52, 6)
    ax = sheet.panel(8, lane * len(rows), float(len(rows)), 0.0)
    classes: dict[int, list[list[tuple[float, float]]]] = {k: [] for k in range(len(_USE_STEPS))}
    for k, row in enumerate(rows):
        _use_cells(x, row.values, 168 if size.is_wide else 56, k, sheet.x1, classes)
        name = row.name if size.is_wide else row.name.split(" ")[0]
        sheet.text(sheet.left - 8, 8 + (k + 0.5) * lane + size.font_px * 0.35, name, "fg", ha="right")
        stroke(ax, np.array([sheet.x0, sheet.x1]), np.array([k + 1.0, k + 1.0]), "line", 0.8)
    for k, (_, token, alpha) in enumerate(_USE_STEPS):
        if classes[k]:
            fill(ax, compound(classes[k]), token, alpha)
    sheet.time_axis(total - 6)
    return sheet.svg(title)


def _label_px(rows: Sequence[Curve], size: Size) -> int:
    return int(max(len(row.name) for row in rows) * size.font_px * 0.63) + 12


_USE_STEPS = (
    (0.5, "accent", 0.12),
    (0.8, "accent", 0.38),
    (1.0 - 1e-9, "accent", 0.75),
    (np.inf, "volatile-trending", 1.0),
)


def _use_cells(
    x: F8, use: F8, bins: int, row: int, x1: float, classes: dict[int, list[list[tuple[float, float]]]]
) -> None:
    peak, starts = bin_max(use, bins)
    step = np.searchsorted([s for s, _, _ in _USE_STEPS[:-1]], peak, side="right")
    step = np.where(np.isfinite(peak), step, -1)
    edges = np.append(x[starts], x1)
    change = np.concatenate([[0], np.flatnonzero(np.diff(step)) + 1, [len(step)]])
    for a, b in pairwise(change.tolist()):
        if step[a] >= 0:
            classes[int(step[a])] += rectangles(edges[a : a + 1], edges[b : b + 1], row + 0.14, row + 0.9)
