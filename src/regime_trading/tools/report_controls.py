"""A strategy beside its simple controls: growth, performance, differences of Sharpe ratios."""

from __future__ import annotations

from collections.abc import Sequence

from regime_trading.tools.chart_sheet import Size
from regime_trading.tools.charts import (
    Curve,
    growth_curves,
)
from regime_trading.tools.performance import Performance
from regime_trading.tools.report_document import (
    Block,
    Bullets,
    Cell,
    Figure,
    Part,
    Row,
    Section,
    Table,
    Text,
    Value,
    gap,
    num,
)
from regime_trading.tools.report_model import (
    Comparison,
    SharpeGap,
    Track,
)
from regime_trading.tools.report_shared import (
    columns,
    known,
    tag,
)
from regime_trading.tools.report_text import (
    MISSING,
    NBSP,
    is_known,
    number,
    percent,
    signed,
)

_NOT_DEFINED = "too few returns or no variance"


def comparison_section(comparisons: Sequence[Comparison]) -> Section:
    """The strategy beside the simplest rules, with an interval on every difference."""
    lead = (
        "The same years with the simplest rules anyone could have followed. If these do as well, prefer them."
    )
    parts: tuple[Block, ...] = tuple(_comparison_part(k, c) for k, c in enumerate(comparisons, 1))
    empty = (Text("No comparison with simple controls was computed.", tone="warn"),)
    return Section("controls", "Beside simple controls", lead, parts or empty)


def _comparison_part(k: int, comparison: Comparison) -> Part:
    tracks = (comparison.strategy, *comparison.controls)
    traded = any(t.turnover_pa is not None for t in tracks)
    figures = (">Return p.a.", ">Volatility p.a.", ">Sharpe ratio", ">Worst drawdown")
    titles = columns("Track", *figures, *((">Turnover p.a.",) if traded else ()), "Rule")
    rows = tuple(
        Row(
            (
                t.name,
                *performance_cells(t.performance),
                *((turnover_cell(t.turnover_pa),) if traded else ()),
                t.about or MISSING,
            )
        )
        for t in tracks
    )
    blocks: list[Block] = [
        _growth_figure(k, comparison, tracks),
        Table("Performance", titles, rows, "No track."),
    ]
    blocks.append(_gap_table(comparison))
    blocks.append(Bullets(tuple(gap_sentence(comparison.strategy.name, g) for g in comparison.gaps)))
    if comparison.note:
        blocks.append(Text(comparison.note))
    return Part(f"controls-{k}", comparison.name, tuple(b for b in blocks if b != Bullets(())))


def _growth_figure(k: int, comparison: Comparison, tracks: tuple[Track, ...]) -> Figure:
    curves = [Curve(t.name, t.value) for t in tracks]
    title = f"Growth of 1: {', '.join(t.name for t in tracks)}"
    has_values = any(bool((c.values > 0).any()) for c in curves)

    def draw(size: Size) -> str:
        return growth_curves(comparison.ts_ns, curves, title, size)

    return Figure(
        name=f"controls-{k}",
        title=title,
        caption="Growth of 1 unit, log scale. The heavy line is the strategy.",
        draw=draw if has_values else None,
        empty="No values yet.",
    )


def _gap_table(comparison: Comparison) -> Table:
    reach = (
        max(
            (abs(v) for g in comparison.gaps for v in (g.low, g.high, g.difference) if is_known(v)),
            default=1.0,
        )
        or 1.0
    )
    rows = tuple(
        Row(
            (
                g.control,
                known(signed(g.difference), _NOT_DEFINED),
                _interval_cell(g, reach),
                _gap_verdict(g),
            )
        )
        for g in comparison.gaps
    )
    titles = columns("Control", ">Difference", "Block-bootstrap interval", "Shown?")
    return Table("Annual Sharpe ratio: strategy minus control", titles, rows, "No difference was computed.")


def _interval_cell(g: SharpeGap, reach: float) -> Cell:
    if not (is_known(g.low) and is_known(g.high) and is_known(g.difference)):
        return gap(_NOT_DEFINED)
    text = f"{signed(g.low)} to {signed(g.high)} ({percent(g.level, 0)})"
    return Cell(text, kind="interval", scale=(g.low, g.difference, g.high, reach))


def _gap_verdict(g: SharpeGap) -> Cell:
    if not (is_known(g.low) and is_known(g.high)):
        return tag("not comparable", "muted")
    if g.low <= 0 <= g.high:
        return tag("no difference shown", "muted")
    return tag("higher", "good") if g.low > 0 else tag("lower", "warn")


def gap_sentence(strategy: str, g: SharpeGap) -> str:
    """What the interval shows, in words."""
    if not (is_known(g.low) and is_known(g.high) and is_known(g.difference)):
        return f"Against {g.control}: not comparable, {_NOT_DEFINED}."
    interval = f"{percent(g.level, 0)} interval {signed(g.low)} to {signed(g.high)}"
    if g.low <= 0 <= g.high:
        return f"Against {g.control}: no difference shown. The {interval} includes 0."
    side = "higher" if g.low > 0 else "lower"
    return f"Against {g.control}: the Sharpe ratio of {strategy} was {side} by {number(abs(g.difference))}, {interval}."


# --- performance --------------------------------------------------------------------------------


def performance_cells(p: Performance | None) -> tuple[Value, ...]:
    """Return and volatility a year, Sharpe ratio, worst drawdown."""
    if p is None:
        return tuple(gap("no history") for _ in range(4))
    return (
        _per_year(p.annual_return, signed_text=True),
        _per_year(p.annual_volatility),
        known(number(p.sharpe), _NOT_DEFINED),
        known(percent(-abs(p.max_drawdown)), _NOT_DEFINED),
    )


def _per_year(value: float, signed_text: bool = False) -> Cell:
    if not is_known(value):
        return gap(_NOT_DEFINED)
    text = signed(value * 100, 1) if signed_text else number(value * 100, 1)
    return num(f"{text}{NBSP}%")


def turnover_cell(value: float | None) -> Cell:
    """Traded value a year as a multiple of equity."""
    text = number(value, 1)
    return gap("not recorded") if text == MISSING else num(f"{text}{NBSP}× equity")
