"""One value is set, and every other byte stays."""
# ruff: noqa: E501

from __future__ import annotations

import difflib
from typing import Any

import pytest
from tests.config_samples import FIRM, TRADERS

from regime_trading.adapters.firm_section import cut
from regime_trading.adapters.yaml_edit import set_values
from regime_trading.core.errors import BadInput

DOCUMENT = cut(TRADERS % "shadow", FIRM).document


def account(text: str) -> str:
    return f"id: f\naccounts:\n  - id: a\n    mode: dry_run\n{text}"


def moved(old: str, new: str) -> list[str]:
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    return [line[0] + line[2:] for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("name", "values", "lines"),
    [
        ("live", {"risk.sigma_target": "0.07"}, ['-      sigma_target: "0.08"   # the mandate', '+      sigma_target: "0.07"   # the mandate']),
        ("live", {"risk.gross": "0.5"}, ['+      gross: "0.5"']),
        ("core", {"risk.gross": "0.5"}, ['+    risk: {gross: "0.5"}']),
        ("live", {"risk.group.max_group": "0.3"}, ['+      group: {max_group: "0.3"}']),
        ("live", {"mode": "dry_run"}, ["-    mode: shadow", "+    mode: dry_run"]),
        ("live", {"initial_capital": "7"}, ['-    initial_capital: "500000"', '+    initial_capital: "7"']),
        ("core", {"trading_day.close_at": "16:00"}, [
            '-    trading_day: {reset_at: "17:00", zone: America/New_York}',
            '+    trading_day: {reset_at: "17:00", zone: America/New_York, close_at: "16:00"}']),
        ("live", {"risk.drawdown": [["0.02", "LOCKED"]]}, [
            '-      drawdown: [["0.03", "0.75"], ["0.05", "0.50"], ["0.08", FLATTEN], ["0.12", LOCKED]]',
            '+      drawdown: [["0.02", LOCKED]]']),
        ("live", {"risk.max_positions": 3, "risk.allow.enabled": True}, ["+      max_positions: 3", "+      allow: {enabled: true}"]),
    ],
)  # fmt: skip
def test_only_the_value_changes(name: str, values: dict[str, Any], lines: list[str]) -> None:
    assert sorted(moved(DOCUMENT, set_values(DOCUMENT, name, values))) == sorted(lines)


@pytest.mark.parametrize(
    ("text", "values", "after"),
    [
        ("    risk: {} # c\n", {"risk.gross": "1"}, '    risk: {gross: "1"} # c\n'),
        ("    risk:\n    x: 1\n", {"risk.gross": "1"}, '    risk: {gross: "1"}\n    x: 1\n'),
        ("    risk: # c\n", {"risk.gross": "1"}, '    risk: {gross: "1"} # c\n'),
        ("    risk: {gross: '1',}", {"risk.x": "no"}, "    risk: {gross: '1', x: \"no\"}"),
        ("    risk: {gross: '1'}", {"risk.gross": "0.5"}, "    risk: {gross: \"0.5\"}"),
        ("    risk:\n      daily_loss: \"0.02\" # c\n", {"risk.daily_loss.act": "0.8"}, '    risk:\n      daily_loss: {limit_pct: "0.02", act: "0.8"} # c\n'),
        ("    risk:\n      daily_loss: \"0.02\"\n", {"risk.daily_loss.limit_pct": "0.01"}, '    risk:\n      daily_loss: "0.01"\n'),
        ("    risk:\n      daily_loss: {id: LD-01, limit_pct: \"0.02\"}\n", {"risk.daily_loss": "0.01"}, '    risk:\n      daily_loss: {id: LD-01, limit_pct: "0.01"}\n'),
        ("    risk:\n      drawdown:\n        - [\"0.1\", LOCKED] # why\n      gross: \"1\"\n", {"risk.drawdown": [["0.05", "LOCKED"]]}, '    risk:\n      drawdown: [["0.05", LOCKED]] # why\n      gross: "1"\n'),
        ("    display_name: |\n      two\n      lines\n    x: 1\n", {"display_name": "One: name"}, '    display_name: "One: name"\n    x: 1\n'),
        ("    risk:\n      gross: \"1\"\n\n    # a remark\n", {"risk.x": "1"}, '    risk:\n      gross: "1"\n      x: "1"\n\n    # a remark\n'),
    ],
)  # fmt: skip
def test_layouts(text: str, values: dict[str, Any], after: str) -> None:
    assert set_values(account(text), "a", values) == account(after)


@pytest.mark.parametrize(
    ("text", "values", "match"),
    [
        ("", {"risk..gross": "1"}, "path"),
        ("", {"risk.gross: 1\nx": "1"}, "path"),
        ("    x: 1\n", {"x.y": "1"}, "a mapping"),
        ("    risk:\n      gross: '1'\n", {"risk.gross.a.b": "1"}, "a mapping"),
        ("    risk: &r {gross: '1'}\n    y: *r\n", {"y.gross": "2"}, "another"),
        ("    risk: &r {gross: '1'}\n    y: *r\n", {"risk.gross": "2"}, "another"),
    ],
)
def test_what_cannot_be_set_is_refused(text: str, values: dict[str, Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        set_values(account(text), "a", values)


def test_an_account_must_be_there() -> None:
    with pytest.raises(BadInput, match="an account of the firm"):
        set_values(DOCUMENT, "solo", {"mode": "dry_run"})
