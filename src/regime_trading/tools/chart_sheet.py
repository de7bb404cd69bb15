"""A figure laid out in pixels, and its bytes: no ids, no fonts, colours as CSS variables.

Colours are written as ``var(--token)``: the page that inlines a chart decides on light or dark
(:func:`palette_css`), :func:`standalone` brings the same palette along in a file of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from regime_trading.core.numbers import B1, F8
from regime_trading.tools.chart_geometry import broken_line, runs, time_ticks

PALETTE: dict[str, tuple[str, str]] = {
    "bg": ("#f6f7f9", "#0b0d10"),
    "surface": ("#ffffff", "#11151a"),
    "raised": ("#f1f3f6", "#171c22"),
    "line": ("#e1e5ea", "#242b33"),
    "fg": ("#14181d", "#e6e8eb"),
    "muted": ("#5b6672", "#98a2ad"),
    "accent": ("#1c62c4", "#6ea8fe"),
    "gain": ("#1f6fb5", "#4c9be8"),
    "loss": ("#b35900", "#e0863a"),
    "danger": ("#c62828", "#ff6b6b"),
    "warn": ("#8a6100", "#e3b341"),
    "violet": ("#6747c7", "#a78bfa"),
    "trending": ("#0072b2", "#56b4e9"),
    "mean-reverting": ("#009e73", "#2fbf93"),
    "random": ("#8b949e", "#7d8792"),
    "volatile-trending": ("#d55e00", "#f08a4b"),
    "uncertain": ("#c060a0", "#d98cc0"),
    "amber": ("#e0ab24", "#e3b341"),
}
"""Token → (light, dark). Blue and orange carry direction; red is for safety only."""

_PLACEHOLDER = {f"#fe{i:02x}01": f"var(--{name})" for i, name in enumerate(PALETTE)}
_COLOUR = {name: code for code, name in zip(_PLACEHOLDER, PALETTE, strict=True)}


Pen = tuple[str, float, tuple[float, ...]]
"""Token, width and dashes of a line."""


@dataclass(frozen=True, slots=True)
class Size:
    """Width in CSS pixels, most points of a line, font size in pixels."""

    width: int
    points: int
    font_px: float
    name: str

    @property
    def is_wide(self) -> bool:
        return self.width > 600


WIDE = Size(1040, 1500, 12.0, "wide")
NARROW = Size(358, 500, 11.0, "narrow")


def palette_css() -> str:
    """CSS custom properties of :data:`PALETTE`: light, dark by preference, light again on paper."""
    light = "".join(f"--{name}:{pair[0]};" for name, pair in PALETTE.items())
    dark = "".join(f"--{name}:{pair[1]};" for name, pair in PALETTE.items())
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )


@contextmanager
def plain_style() -> Iterator[None]:
    """Matplotlib's own defaults instead of the machine's, and text as text."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {"svg.fonttype": "none", "svg.hashsalt": "regime-trading", "path.simplify": False}
        )
        yield


class Sheet:
    """A figure laid out in pixels: panels below each other that share one time axis."""

    def __init__(self, size: Size, height: int, x: F8, left: int, right: int) -> None:
        self.size, self.height, self.left, self.right = size, height, left, right
        self.figure = Figure(figsize=(size.width / 72, height / 72), dpi=72, facecolor="none")
        pad = 1.0 if len(x) < 2 else 0.0
        self.x0, self.x1 = float(x[0]) - pad, float(x[-1]) + pad
        self.per_px = (self.x1 - self.x0) / (size.width - left - right)

    def panel(self, top: int, height: int, low: float, high: float, log: bool = False) -> Axes:
        """Axes of ``height`` pixels, ``top`` pixels from the upper edge."""
        w, h = self.size.width, self.height
        box = (self.left / w, 1 - (top + height) / h, (w - self.left - self.right) / w, height / h)
        ax = self.figure.add_axes(box)
        ax.set_axis_off()
        if log:
            ax.set_yscale("log")
        ax.set_xlim(self.x0, self.x1)
        ax.set_ylim(low, high)
        return ax

    def text(
        self,
        x_px: float,
        y_px: float,
        text: str,
        token: str = "muted",
        ha: str = "left",
        weight: str = "normal",
    ) -> None:
        """Text with its baseline ``y_px`` from the upper edge."""
        self.figure.text(
            x_px / self.size.width,
            1 - y_px / self.height,
            _printable(text),
            color=_COLOUR[token],
            fontsize=self.size.font_px,
            fontweight=weight,
            ha=ha,
            va="baseline",
            parse_math=False,
        )

    def hairlines(self, ax: Axes, ticks: Sequence[float], texts: Sequence[str]) -> None:
        """Horizontal hairlines with their text on the right."""
        for tick, text in zip(ticks, texts, strict=True):
            stroke(ax, np.array([self.x0, self.x1]), np.array([tick, tick]), "line", 1.0)
            y = float(ax.transData.transform((self.x0, tick))[1])
            self.text(self.size.width - self.right + 6, self.height - y + self.size.font_px * 0.35, text)

    def time_axis(self, baseline_px: float) -> None:
        """Dates along the lower edge."""
        most = 10 if self.size.is_wide else 4
        for day, text in time_ticks(self.x0, self.x1, most):
            at = self.left + (day - self.x0) / self.per_px
            half = len(text) * self.size.font_px * 0.3
            at = min(max(at, half), self.size.width - half)
            self.text(at, baseline_px, text, ha="center")

    def svg(self, title: str) -> str:
        return _clean(_save(self.figure), self.size, self.height, title)


def stroke(ax: Axes, x: F8, y: F8, token: str, width: float, dashes: tuple[float, ...] = ()) -> None:
    """A line; hairlines (token ``line``) lie under everything else."""
    line = Line2D(
        x, y, color=_COLOUR[token], linewidth=width, clip_on=False, zorder=0.5 if token == "line" else 2.0
    )
    line.set_solid_capstyle("butt")
    if dashes:
        line.set_dashes(dashes)
    ax.add_artist(line)


def fill(ax: Axes, path: Path, token: str, alpha: float = 1.0) -> None:
    """A filled shape in data coordinates."""
    colour = _COLOUR[token]
    ax.add_artist(
        PathPatch(path, facecolor=colour, edgecolor="none", alpha=alpha, clip_on=False, linewidth=0)
    )


def rectangles(start: F8, end: F8, low: float, high: float) -> list[list[tuple[float, float]]]:
    """One polygon per stretch, between two heights."""
    return [
        [(a, low), (b, low), (b, high), (a, high)] for a, b in zip(start.tolist(), end.tolist(), strict=True)
    ]


def compound(polygons: list[list[tuple[float, float]]]) -> Path:
    """Many closed polygons as one path."""
    points = [p for polygon in polygons for p in [*polygon, polygon[0]]]
    codes = [
        code
        for polygon in polygons
        for code in [Path.MOVETO, *[Path.LINETO] * (len(polygon) - 1), Path.CLOSEPOLY]
    ]
    return Path(points, codes)


def blocks(
    sheet: Sheet, ax: Axes, mask: B1, x: F8, low: float, high: float, token: str, alpha: float = 1.0
) -> None:
    """The stretches where ``mask`` holds, each at least a pixel wide, the last day included."""
    start, end = runs(mask, x, sheet.per_px)
    if len(start):
        start, end = np.minimum(start, sheet.x1 - sheet.per_px), np.minimum(end, sheet.x1)
        fill(ax, compound(rectangles(start, end, low, high)), token, alpha)


NO_BREAKS: F8 = np.empty(0)


def curve(ax: Axes, x: F8, y: F8, size: Size, pen: Pen, breaks: F8 = NO_BREAKS) -> None:
    """A line with its extremes kept; a single known value is a dot."""
    line_x, line_y = broken_line(x, y, breaks, size.points)
    stroke(ax, line_x, line_y, *pen)
    known = np.isfinite(y)
    if known.sum() == 1:
        at = (float(x[known][0]), float(y[known][0]))
        ax.text(*at, "●", color=_COLOUR[pen[0]], fontsize=6, ha="center", va="center")


def area(ax: Axes, x: F8, y: F8, size: Size, token: str, breaks: F8 = NO_BREAKS) -> None:
    """The space between a line and zero; missing values count as zero depth."""
    line_x, line_y = broken_line(x, np.where(np.isfinite(y), y, 0.0), breaks, size.points)
    depth = np.where(np.isfinite(line_y), line_y, 0.0)
    points = [
        (float(line_x[0]), 0.0),
        *zip(line_x.tolist(), depth.tolist(), strict=True),
        (float(line_x[-1]), 0.0),
    ]
    fill(ax, compound([points]), token, 0.18)


def standalone(svg: str) -> str:
    """The chart as a file of its own: palette, system font and a background of the page's colour."""
    style = (
        palette_css().replace(":root", "svg")
        + "text{font-family:system-ui,sans-serif}rect.page{fill:var(--surface)}"
    )
    svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    start = svg.index(">") + 1
    return (
        f'{svg[:start]}<style>{style}</style><rect class="page" width="100%" height="100%"/>{svg[start:]}\n'
    )


class _Pages:
    """Where a figure writes its text: the writing end of a file, in memory."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def write(self, page: str) -> int:
        if not isinstance(page, str):
            raise TypeError("text only")
        self.pages.append(page)
        return len(page)

    def seek(self, _position: int) -> int:
        """Matplotlib takes only what has this method for a file."""
        raise NotImplementedError("pages are written once, in order")


def _save(figure: Figure) -> str:
    pages = _Pages()
    without = dict.fromkeys(("Date", "Creator", "Type", "Format"))
    FigureCanvasSVG(figure).print_svg(pages, metadata=without)  # type: ignore[no-untyped-call]
    return "".join(pages.pages)


def _clean(raw: str, size: Size, height: int, title: str) -> str:
    """Drop what a page does not need (ids, fonts, prolog, global styles) and name colours by token."""
    body = raw[raw.index("<g ") : raw.rindex("</svg>")]
    body = re.sub(r"<defs>.*?</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r' id="[^"]*"| transform="rotate\(-?0 [^"]*\)"', "", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r"#fe[0-9a-f]{2}01", lambda m: _PLACEHOLDER[m.group()], body)
    body = re.sub(r' (d|x|y)="([^"]*)"', lambda m: f' {m[1]}="{_rounded(m[2])}"', body)
    body = re.sub(r">\s+<", "><", body)
    name = escape(_printable(title))
    return (
        f'<svg class="{size.name}" viewBox="0 0 {size.width} {height}" role="img"'
        f' aria-label="{name}"><title>{name}</title>{body.strip()}</svg>'
    )


def _rounded(numbers: str) -> str:
    text = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m.group()):.1f}".removesuffix(".0"), numbers)
    return re.sub(r"\s*\n\s*", "", text).strip()


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
