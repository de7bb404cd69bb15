"""Answers of the API on a terminal: plain values by name, lists of things as tables of what people ask for first.

``--json`` has everything; here a table has the columns that fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import out

ROWS = 200  #: of a list that are printed
COLUMNS = 8
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_DAY_S = 86_400.0
#: Columns of what is shown most, by a field that only such rows have.
_FIRST: Mapping[str, Sequence[str]] = {
    "inequality": ("rule_id", "title", "state", "value", "limit", "unit", "used"),
    "average_price": (
        "symbol",
        "quantity",
        "mark",
        "market_value",
        "weight",
        "target_weight",
        "limiting_rules",
    ),
    "bars_since": ("symbol", "label", "confidence", "since", "bars_since", "structure"),
    "binding_rules": (
        "as_of",
        "account",
        "outcome",
        "trading_state_after",
        "equity",
        "drawdown",
        "binding_rules",
    ),
    "event_type": ("recorded_at", "event_type", "account", "rule_id", "actor", "rationale"),
}
_SILENT = ("off", "not_evaluable")  #: states of a rule that has nothing to compare: told in one line


def show(found: Any) -> None:
    """An answer as text."""
    if isinstance(found, list):
        found = {"": found}
    for key, value in found.items():
        if not isinstance(value, list | dict):
            _line(key, cell(value, key))
    for key, value in found.items():
        if isinstance(value, dict) and value:
            _line(key, ", ".join(f"{name} {cell(one, name)}" for name, one in value.items()))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            _rows(key, value)
        elif isinstance(value, list) and value:
            _line(key, ", ".join(cell(one) for one in value))


def _rows(title: str, rows: list[dict[str, Any]]) -> None:
    if "inequality" not in rows[0]:
        _table(title, rows)
        return
    speaking = [row for row in rows if row["state"] not in _SILENT]
    _table(
        title, sorted(speaking, key=lambda row: -1.0 if row["used"] is None else row["used"], reverse=True)
    )
    for state in _SILENT:
        if names := [row["rule_id"] for row in rows if row["state"] == state]:
            _line(state, " ".join(names))


def _table(title: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    names = columns(rows)
    if title:
        out.print(escape(f"\n{title} ({len(rows)})"))
    table = Table(*names, box=None, pad_edge=False)
    for row in rows[:ROWS]:
        table.add_row(*(escape(cell(row.get(name), name)) for name in names))
    out.print(table)
    if len(rows) > ROWS:
        out.print(f"{len(rows) - ROWS} more: --json")


def columns(rows: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Columns of a table: those of its kind, else the first plain ones that are not the same in every row."""
    for field, names in _FIRST.items():
        if field in rows[0]:
            return names
    plain = [name for name, one in rows[0].items() if not isinstance(one, list | dict)]
    if len(plain) > COLUMNS:
        plain = [name for name in plain if len({str(row.get(name)) for row in rows}) > 1] or plain
    return plain[:COLUMNS]


def cell(value: Any, name: str = "") -> str:
    """A value as text; what is not known says so."""
    if value is None:
        return "unknown"
    if isinstance(value, dict):
        return str(value["id"]) if "id" in value else f"{len(value)} more"
    if isinstance(value, list):
        simple = all(isinstance(one, str) for one in value)
        return " ".join(value) if simple and len(value) <= COLUMNS else f"{len(value)} more"
    if isinstance(value, float):
        return span(value) if name.endswith("_s") else f"{value:.6g}"
    text = str(value)
    return f"{text[:10]} {text[11:19]}Z" if _INSTANT.fullmatch(text) else text


def span(seconds: float) -> str:
    """A span of time in the unit that people would say it in."""
    for least, unit, name in (
        (2 * 365.25 * _DAY_S, 365.25 * _DAY_S, "years"),
        (2 * _DAY_S, _DAY_S, "days"),
        (7_200.0, 3_600.0, "h"),
        (120.0, 60.0, "min"),
    ):
        if abs(seconds) >= least:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.3g} s"


def _line(key: str, text: str) -> None:
    out.print(escape(f"{key}: {text}"), soft_wrap=True)
