"""A report as blocks: one content, two renderings (Markdown here, HTML through the templates).

All text in blocks is raw and may come from outside (symbols, notes, names): the renderings escape it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from regime_trading.tools.chart_sheet import Size
from regime_trading.tools.report_text import MISSING, NBSP

Tone = Literal["", "muted", "info", "good", "warn", "bad", "violet"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One value. ``note`` says more in small type: the reason of a missing value, a date.

    ``scale`` of a ``bar``: (filled, tick), shares of the limit, tick NaN = none. ``scale`` of a ``heat``:
    (step 0 … 4,). ``scale`` of an ``interval``: (low, middle, high, reach).
    """

    text: str
    kind: Literal["text", "number", "tag", "code", "bar", "heat", "interval"] = "text"
    tone: Tone = ""
    note: str = ""
    scale: tuple[float, ...] = ()


Value = Cell | str


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Cells of one row; ``group`` is the heading under which the row stands, shown when it changes."""

    cells: tuple[Value, ...]
    group: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """``empty`` is the sentence shown where there is no row; ``headed`` False where a title just above says it."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str
    kind: Literal["", "heat", "narrow"] = ""
    headed: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    items: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One entry of a chart's key: a swatch of a palette token and its meaning."""

    token: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A chart. ``draw`` None = there is nothing to draw, and ``empty`` says why."""

    name: str
    title: str
    caption: str
    draw: Callable[[Size], str] | None
    empty: str
    key: tuple[KeyEntry, ...] = ()
    headed: bool = True


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks that a page may fold away and paper shows; Markdown, which cannot fold, says ``brief`` instead where it is
    given."""

    summary: str
    blocks: tuple[Block, ...]
    brief: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A titled part of a section, with tags beside its title."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    tags: tuple[Cell, ...] = ()
    in_contents: bool = False


Block = Table | Facts | Text | Bullets | Figure | Details | Part


@dataclass(frozen=True, slots=True)
class Section:
    anchor: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """``mode`` colours the page's edge: ``dry_run``, ``shadow`` or ``gated_live``."""

    kind: str
    title: str
    mode: str
    facts: Facts
    notice: str
    sections: tuple[Section, ...]


def folded(table: Table, summary: str, most: int = 12) -> Block:
    """A table of more than ``most`` rows behind its summary, a shorter one as it is."""
    if len(table.rows) <= most:
        return table
    return Details(f"{table.name}: {summary}", (dataclasses.replace(table, headed=False),))


def gap(reason: str = "") -> Cell:
    """A value that is not known, with the reason where there is one."""
    return Cell(MISSING, kind="number", tone="muted", note=reason)


def num(text: str, note: str = "", tone: Tone = "") -> Cell:
    """A number that already carries its unit."""
    return Cell(text, kind="number", note=note, tone="muted" if text == MISSING else tone)


def figures(blocks: Sequence[Block | Section]) -> Iterator[Figure]:
    """Every chart, in reading order."""
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Section | Part | Details):
            yield from figures(block.blocks)


def clean(text: str) -> str:
    """One line without control, bidirectional-override or surrogate characters."""
    return "".join(c if c.isprintable() or c == NBSP else " " for c in text)


# --- Markdown ---------------------------------------------------------------------------------------------

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&#$])")
_LINE_START = re.compile(r"^(\s*)([-+=]|\d+(?=[.)](\s|$)))")


def escape_markdown(text: str) -> str:
    """Inline text that Markdown shows as it is: no markup, no link, no HTML, no new line, no table break."""
    plain = _SPECIAL.sub(r"\\\1", clean(text).replace(NBSP, " "))
    return plain.replace("://", ":\\//").replace("www.", "www\\.")


def _escape_line(text: str) -> str:
    """As :func:`escape_markdown`, for text at the start of a line: no list, no heading, no rule."""
    return _LINE_START.sub(
        lambda m: f"{m[1]}\\{m[2]}" if m[2] in "-+=" else f"{m[1]}{m[2]}\\", escape_markdown(text)
    )


def to_markdown(document: Document, chart_folder: str | None) -> str:
    """The document as GitHub-flavoured Markdown; charts as relative links where they have a folder."""
    lines = [f"# {escape_markdown(document.title)}", ""]
    lines += [*_markdown_facts(document.facts), ""]
    if document.notice:
        lines += [f"> {escape_markdown(document.notice)}", ""]
    for section in document.sections:
        lines += [f"## {escape_markdown(section.title)}", ""]
        lines += [_escape_line(section.lead), ""] if section.lead else []
        lines += _markdown_blocks(section.blocks, 3, chart_folder)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _markdown_blocks(blocks: Sequence[Block], level: int, folder: str | None) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        lines += [*_markdown_block(block, level, folder), ""]
    return lines


def _markdown_block(block: Block, level: int, folder: str | None) -> list[str]:
    match block:
        case Table():
            return _markdown_table(block)
        case Facts():
            return _markdown_facts(block)
        case Text():
            return [_escape_line(block.text)]
        case Bullets():
            return [f"- {_escape_line(item)}" for item in block.items]
        case Figure():
            return _markdown_figure(block, folder)
        case Details():
            head = f"**{escape_markdown(block.summary)}**"
            if block.brief:
                return [head, "", _escape_line(block.brief)]
            return [head, "", *_markdown_blocks(block.blocks, level, folder)]
        case Part():
            tags = "".join(f" · {escape_markdown(tag.text)}" for tag in block.tags)
            head = f"{'#' * min(level, 6)} {escape_markdown(block.title)}{tags}"
            return [head, "", *_markdown_blocks(block.blocks, level + 1, folder)]


def _markdown_figure(figure: Figure, folder: str | None) -> list[str]:
    if figure.draw is None:
        return [f"{escape_markdown(figure.title)}: {escape_markdown(figure.empty)}"]
    if folder is None:
        return []
    caption = _escape_line(figure.caption)
    return [f"![{escape_markdown(figure.title)}]({folder}/{figure.name}.svg)", "", caption]


def _cell_text(value: Value) -> str:
    cell = value if isinstance(value, Cell) else Cell(value)
    text = escape_markdown(cell.text)
    if cell.kind == "code" and cell.text and "`" not in cell.text:
        text = f"`{clean(cell.text)}`".replace("|", "\\|")
    return f"{text} ({escape_markdown(cell.note)})" if cell.note else text


def _markdown_facts(facts: Facts) -> list[str]:
    return [f"- {escape_markdown(label)}: {_cell_text(value)}" for label, value in facts.items]


def _markdown_table(table: Table) -> list[str]:
    if not table.rows:
        return [_escape_line(f"{table.name}: {table.empty}" if table.headed else table.empty)]
    grid = [[escape_markdown(column.title) for column in table.columns]]
    group = ""
    for row in table.rows:
        if row.group and row.group != group:
            grid.append([f"**{escape_markdown(row.group)}**", *[""] * (len(table.columns) - 1)])
            group = row.group
        grid.append([_cell_text(cell) for cell in row.cells])
    head = [f"**{escape_markdown(table.name)}**", ""] if table.headed else []
    widths = [max(3, *(len(line[k]) for line in grid)) for k in range(len(table.columns))]
    rule = [("-" * (w - 1) + ":") if c.right else "-" * w for w, c in zip(widths, table.columns, strict=True)]
    lines = [_padded(line, widths, table.columns) for line in [grid[0], rule, *grid[1:]]]
    return head + ["| " + " | ".join(line) + " |" for line in lines]


def _padded(line: list[str], widths: list[int], columns: tuple[Column, ...]) -> list[str]:
    return [t.rjust(w) if c.right else t.ljust(w) for t, w, c in zip(line, widths, columns, strict=True)]
