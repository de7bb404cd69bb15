"""Charts: extremes stay visible, ticks are round, colours can be told apart."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regime_trading.core.errors import BadInput
from regime_trading.tools.chart_geometry import (
    bin_max,
    broken_line,
    downsample,
    known_range,
    linear_ticks,
    log_ticks,
    runs,
    short_number,
    time_ticks,
)
from regime_trading.tools.chart_sheet import NARROW, PALETTE, WIDE, Size
from regime_trading.tools.charts import (
    AccountSeries,
    Curve,
    Mark,
    account_panels,
    growth_curves,
    regime_ribbon,
    utilisation_strip,
)

VALUES = hnp.arrays(
    np.float64, st.integers(1, 400), elements=st.floats(-1e6, 1e6) | st.just(np.nan) | st.just(0.0)
)


@given(VALUES, st.integers(4, 60))
@settings(deadline=None)
def test_downsampling_keeps_every_extreme(values: np.ndarray, most: int) -> None:
    at = downsample(values, most)
    assert len(at) <= max(most, 1) and (np.diff(at) > 0).all()
    assert at[0] == 0 and at[-1] == len(values) - 1
    if np.isfinite(values).any():
        assert np.nanmin(values[at]) == np.nanmin(values) and np.nanmax(values[at]) == np.nanmax(values)


@given(VALUES, st.integers(8, 60))
@settings(deadline=None)
def test_downsampling_keeps_the_extremes_of_every_bin(values: np.ndarray, most: int) -> None:
    """Not only of the whole line: no stretch of one bin's length loses its own peak by more than a bin."""
    at = downsample(values, most)
    if len(values) <= most:
        assert (at == np.arange(len(values))).all()
        return
    edges = np.linspace(1, len(values) - 1, (most - 2) // 2 + 1).astype(int)
    for low, high in pairwise(edges.tolist()):
        inside, kept = values[low:high], values[at[(at >= low) & (at < high)]]
        if np.isfinite(inside).any():
            assert np.nanmax(kept) == np.nanmax(inside) and np.nanmin(kept) == np.nanmin(inside)
        else:
            assert np.isnan(kept).all() and len(kept), "a stretch without values breaks the line"


@given(VALUES, st.lists(st.integers(0, 400), max_size=6), st.integers(40, 80))
@settings(deadline=None)
def test_a_broken_line_is_cut_at_each_fresh_start_and_keeps_extremes(
    values: np.ndarray, starts: list[int], most: int
) -> None:
    x = np.arange(len(values), dtype=np.float64)
    line_x, line_y = broken_line(x, values, np.array(sorted(starts), dtype=np.float64), most)
    assert len(line_x) == len(line_y) <= max(most, len(values) + 6) and (np.diff(line_x) >= 0).all()
    assert set(line_y[np.isfinite(line_y)]) <= set(values[np.isfinite(values)])
    if np.isfinite(values).any():
        assert np.nanmax(line_y) == np.nanmax(values) and np.nanmin(line_y) == np.nanmin(values)
    for start in {s for s in starts if 0 < s < len(values)}:
        before = np.flatnonzero(line_x < start)
        if len(before) and np.isfinite(line_y[before]).any():
            assert np.isnan(line_y[before[-1]]), "the line must not be joined across a fresh start"


@given(hnp.arrays(np.bool_, st.integers(1, 300)), st.floats(0.1, 20))
@settings(deadline=None)
def test_every_day_of_a_state_is_inside_a_visible_stretch(mask: np.ndarray, min_width: float) -> None:
    x = np.arange(len(mask), dtype=np.float64)
    start, end = runs(mask, x, min_width)
    assert bool(len(start)) == bool(mask.any())
    assert (end - start >= min_width * (1 - 1e-12)).all() and (start[1:] > end[:-1]).all()
    for day in np.flatnonzero(mask):
        assert ((start <= day) & (day < end)).any()


@given(VALUES, st.integers(1, 50))
@settings(deadline=None)
def test_the_largest_use_of_each_stretch_is_shown(values: np.ndarray, bins: int) -> None:
    peak, starts = bin_max(values, bins)
    assert len(peak) == len(starts) <= bins and starts[0] == 0
    for value, a, b in zip(peak, starts, [*starts[1:], len(values)], strict=True):
        inside = values[a:b]
        assert value == np.nanmax(inside) if np.isfinite(inside).any() else np.isnan(value)


@given(st.floats(1e-3, 1e9), st.floats(1.001, 1e6), st.integers(3, 8))
@settings(deadline=None)
def test_ticks_are_few_and_inside(low: float, ratio: float, most: int) -> None:
    high = low * ratio
    for ticks in (linear_ticks(low, high, most), log_ticks(low, high, most)):
        assert 1 <= len(ticks) <= most and all(low * (1 - 1e-6) <= t <= high * (1 + 1e-6) for t in ticks)
        assert ticks == sorted(set(ticks))


@given(st.integers(-3000, 20000), st.integers(1, 20000), st.integers(3, 10))
@settings(deadline=None)
def test_dates_are_few_round_and_inside(first: int, span: int, most: int) -> None:
    ticks = time_ticks(float(first), float(first + span), most)
    assert len(ticks) <= most + 1 and [t for t, _ in ticks] == sorted({t for t, _ in ticks})
    assert all(first - 0.004 * span <= t <= first + span for t, _ in ticks)
    for t, text in ticks:
        assert np.datetime64(text, "D").astype(int) == t


def test_dates_of_known_spans() -> None:
    def texts(first: str, last: str, most: int) -> list[str]:
        a, b = (float(np.datetime64(t).astype(int)) for t in (first, last))
        return [text for _, text in time_ticks(a, b, most)]

    assert texts("1990-01-02", "2022-12-28", 8) == ["1990", "1995", "2000", "2005", "2010", "2015", "2020"]
    assert texts("2021-11-20", "2022-12-28", 5) == ["2022-01", "2022-04", "2022-07", "2022-10"]
    days = texts("2022-12-20", "2022-12-28", 4)
    assert days[-1] == "2022-12-28" and 2 <= len(days) <= 5


def test_clock_times_of_a_short_span() -> None:
    def texts(first: str, last: str, most: int) -> list[str]:
        a, b = (np.datetime64(t, "ns").astype(np.int64) / 86_400e9 for t in (first, last))
        return [text for _, text in time_ticks(a, b, most)]

    assert texts("2024-07-01T23:58:01", "2024-07-02T00:02:30", 6) == ["23:59", "00:00", "00:01", "00:02"]
    assert texts("2012-06-21T13:30:00", "2012-06-21T13:30:49", 4)[:2] == ["13:30:00", "13:30:15"]
    assert texts("2021-01-08T00:10:00", "2021-01-08T23:00:00", 4) == ["06:00", "12:00", "18:00"]


def test_short_numbers() -> None:
    assert [short_number(v) for v in (1_255_000, 850_000, 0.5, -2e9, 0)] == [
        "1.255m",
        "850k",
        "0.5",
        "−2bn",
        "0",
    ]


def test_a_chart_without_any_value_is_refused() -> None:
    ts, nothing = np.arange(3, dtype=np.int64), np.full(3, np.nan)
    with pytest.raises(BadInput):
        known_range([nothing])
    with pytest.raises(BadInput):
        growth_curves(ts, [Curve("a", nothing)], "t", WIDE)
    with pytest.raises(BadInput):
        utilisation_strip(ts, [Curve("a", nothing)], "t", WIDE)


# --- what is drawn ----------------------------------------------------------------------------------------

N = 8000
TS = np.arange(N, dtype=np.int64) * 86_400 * 10**9
FLAT = np.full(N, 100.0)


def account(equity: np.ndarray, state: np.ndarray, breaks: tuple[int, ...] = ()) -> AccountSeries:
    return AccountSeries(TS, equity, np.zeros(N), np.ones(N), state, "USD", breaks)


def ys(path: str) -> np.ndarray:
    return np.array([float(m) for m in re.findall(r"[ML] ?[-\d.]+ ([-\d.]+)", path)])


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("day", [0, 1, 3777, N - 1])
def test_one_day_in_decades_is_drawn(size: Size, day: int) -> None:
    """A single day of locked state and a single spike survive in both sizes."""
    equity, state = FLAT.copy(), np.zeros(N, dtype=np.int8)
    calm = account_panels(account(equity, state), "t", size)
    assert "var(--danger)" not in calm
    equity[day], state[day] = 150.0, 3
    svg = account_panels(account(equity, state), "t", size)
    locked = re.search(r'<path d="([^"]*)" style="fill: var\(--danger\)', svg)
    line = re.search(r'<path d="([^"]*)" style="fill: none; stroke: var\(--accent\)', svg)
    assert locked and line
    xs = [float(m) for m in re.findall(r"[ML] ?([-\d.]+) ", locked.group(1))]
    assert max(xs) - min(xs) >= 0.9, "at least a pixel wide"
    drawn = ys(line.group(1))
    assert drawn.max() - drawn.min() > 100, "the spike spans the panel"


def test_equity_is_not_joined_across_attempts() -> None:
    equity = np.where(np.arange(N) < 4000, 100.0, 50.0)
    state = np.zeros(N, dtype=np.int8)
    pattern = r'<path d="([^"]*)" style="fill: none; stroke: var\(--accent\)'
    joined = re.search(pattern, account_panels(account(equity, state), "t", WIDE))
    cut = re.search(pattern, account_panels(account(equity, state, (int(TS[4000]),)), "t", WIDE))
    assert joined and cut and joined.group(1).count("M") == 1 and cut.group(1).count("M") == 2


def test_lines_have_at_most_the_points_of_their_size() -> None:
    rng = np.random.default_rng(1)
    for size in (WIDE, NARROW):
        svg = growth_curves(TS, [Curve("a", np.exp(np.cumsum(rng.standard_normal(N) / 99)))], "t", size)
        line = re.search(r'<path d="([^"]*)" style="fill: none; stroke: var\(--accent\)', svg)
        assert line and size.points * 0.8 < len(ys(line.group(1))) <= size.points


def test_texts_in_charts_are_escaped_and_not_mathematics() -> None:
    svg = growth_curves(TS, [Curve("<b>$x^2$</b>\x00&", FLAT)], "<i>title</i>", NARROW)
    assert "&lt;b&gt;$x^2$&lt;/b&gt;" in svg and "<b>" not in svg and "<i>" not in svg and "\x00" not in svg


def test_no_text_lies_outside_its_chart() -> None:
    """Estimated with a wide font: 0.62 of the font size per character."""
    label = np.tile(np.arange(5, dtype=np.int8), N // 5)
    names = ("trending", "mean_reverting", "random", "volatile_trending", "uncertain")
    marks = tuple(Mark(int(t), "failed") for t in TS[::999])
    series = AccountSeries(
        TS, FLAT * np.linspace(1, 9, N), np.full(N, 0.1), np.ones(N), label, "USD", (), marks
    )
    for size in (WIDE, NARROW):
        for svg in (
            regime_ribbon(TS, FLAT + np.arange(N), label, label, names, 2, "t", size),
            account_panels(series, "t", size),
            utilisation_strip(TS, [Curve("XL-07 Lot, minimum notional, dead band", FLAT / 200)], "t", size),
            growth_curves(TS, [Curve("200-day average", FLAT + np.arange(N))], "t", size),
        ):
            height = float(re.search(r'viewBox="0 0 \d+ (\d+)"', svg)[1])  # type: ignore[index]
            for style, x, y, text in re.findall(
                r'<text style="([^"]*)" x="([^"]*)" y="([^"]*)">([^<]*)<', svg
            ):
                width = 0.62 * size.font_px * len(text)
                left = float(x) - (
                    width if "anchor: end" in style else width / 2 if "anchor: middle" in style else 0
                )
                assert left >= -4 and left + width <= size.width + 4, text
                assert 0 < float(y) <= height, text


# --- colours ----------------------------------------------------------------------------------------------


def linear(colour: str) -> np.ndarray:
    part = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio."""
    light = sorted(float(np.dot([0.2126, 0.7152, 0.0722], linear(c))) + 0.05 for c in (a, b))
    return light[1] / light[0]


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("token", ["fg", "muted", "accent", "gain", "loss", "danger", "warn", "violet"])
def test_text_colours_have_enough_contrast(theme: int, token: str) -> None:
    for ground in ("bg", "surface"):
        assert contrast(PALETTE[token][theme], PALETTE[ground][theme]) >= 4.5, (token, ground)


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB
_DEFICIENCIES = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(rgb: np.ndarray) -> np.ndarray:
    matrix = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = np.array(matrix) @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("eye", [*_DEFICIENCIES, "usual"])
@pytest.mark.parametrize(
    "pair",
    [
        ("gain", "loss"),
        ("accent", "volatile-trending"),
        ("accent", "danger"),
        ("amber", "danger"),
        ("amber", "muted"),
    ],
)
def test_colours_that_mean_different_things_can_be_told_apart(
    theme: int, eye: str, pair: tuple[str, str]
) -> None:
    matrix = np.array(_DEFICIENCIES.get(eye, np.eye(3)))
    a, b = (lab(matrix @ linear(PALETTE[token][theme])) for token in pair)
    assert np.linalg.norm(a - b) >= 20
