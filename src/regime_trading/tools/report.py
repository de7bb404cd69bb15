"""Reports: one frozen value in, ``report.md`` and a self-contained ``report.html`` out. Pure functions.

The values are in :mod:`regime_trading.tools.report_model`. The same value gives the same bytes in any process.
The page needs no script and asks for nothing outside itself: styles and charts are inside, and its own content
security policy forbids the rest. Every text is escaped; symbols and notes may come from anywhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from regime_trading.tools.chart_sheet import NARROW, WIDE, palette_css, standalone
from regime_trading.tools.report_backtest import backtest_document
from regime_trading.tools.report_document import Cell, Document, Figure, Part, clean, figures, to_markdown
from regime_trading.tools.report_model import BacktestReport, RunReport
from regime_trading.tools.report_run import run_document
from regime_trading.tools.report_tenancy import firms, for_firm

if TYPE_CHECKING:
    Report = RunReport | BacktestReport

__all__ = ["BacktestReport", "RunReport", "charts", "firms", "for_firm", "render_html", "render_markdown"]


def document(report: Report) -> Document:
    """What the report says, before it is rendered."""
    return run_document(report) if isinstance(report, RunReport) else backtest_document(report)


def render_markdown(report: Report, chart_folder: str | None = None) -> str:
    """The report as GitHub-flavoured Markdown.

    Parameters
    ----------
    chart_folder : str, optional
        Relative folder that holds the files of :func:`charts`; without it the text stands alone.
    """
    return to_markdown(document(report), chart_folder)


def charts(report: Report) -> dict[str, str]:
    """SVG text of every chart by name, each a file of its own (write it as ``<name>.svg``)."""
    return {
        f.name: standalone(f.draw(WIDE)) for f in figures(document(report).sections) if f.draw is not None
    }


def render_html(report: Report) -> str:
    """The report as one HTML file: works from disk, on a phone, on paper, in light and dark."""
    return _page().render(page=document(report), palette=Markup(palette_css()))


_RULE_ID = re.compile(r"\b[A-Z]{2}-\d{2}\b")


def _whole_ids(text: str) -> Markup:
    """Escaped text in which no line breaks within a rule id."""
    return Markup(_RULE_ID.sub(r'<span class="id">\g<0></span>', str(escape(clean(text)))))


def _inline(figure: Figure) -> Markup:
    """Both sizes of a chart. The SVG is our own; the texts in it are escaped where it is made."""
    assert figure.draw is not None
    return Markup(figure.draw(WIDE) + figure.draw(NARROW))


def _page() -> Template:
    environment = Environment(
        loader=PackageLoader("regime_trading.tools", "report_templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    environment.filters["inline"] = _inline
    environment.filters["soft"] = lambda text: escape(clean(text)).replace("/", Markup("/<wbr>"))
    environment.filters["whole"] = _whole_ids
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["parts"] = lambda blocks: [b for b in blocks if isinstance(b, Part) and b.in_contents]
    environment.tests["cell"] = lambda value: isinstance(value, Cell)
    return environment.get_template("report.html.j2")
