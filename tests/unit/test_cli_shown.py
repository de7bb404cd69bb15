"""Answers of the API on a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from regime_trading.cli.shown import cell, columns, show, span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0 s"), (1.24, "1.24 s"), (119.0, "119 s"), (120.0, "2.0 min"), (7_200.0, "2.0 h"), (172_800.0, "2.0 days"),
     (123_477_743.0, "3.9 years"), (-300.0, "-5.0 min"), (float("nan"), "nan s")],
)  # fmt: skip
def test_a_span_is_said_in_the_unit_people_use(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_cells_say_what_is_not_known_and_keep_exact_numbers() -> None:
    assert cell(None) == "unknown"
    assert cell("1253207.800606") == "1253207.800606"
    assert cell(0.1234567891) == "0.123457"
    assert cell(90.0, "age_s") == "90 s" and cell("90", "age_s") == "90"
    assert cell("2022-12-28T21:00:00Z") == "2022-12-28 21:00:00Z"
    assert cell("2022-12-28T21:00:00.868947617Z") == "2022-12-28 21:00:00Z"
    assert cell(["VT-01", "VT-04"]) == "VT-01 VT-04" and cell(list("abcdefghi")) == "9 more"
    assert cell({"type": "user", "id": "u-1"}) == "u-1" and cell({"a": 1, "b": 2}) == "2 more"


def test_a_table_has_the_columns_of_its_kind_else_those_that_tell_rows_apart() -> None:
    assert columns([{"rule_id": "CC-01", "inequality": "w ≤ cap"}])[:3] == ("rule_id", "title", "state")
    wide = [{"same": 1} | {f"c{n}": f"{n}{row}" for n in range(9)} for row in "ab"]
    assert list(columns(wide)) == [f"c{n}" for n in range(8)]
    assert columns([{"a": 1, "b": []}, {"a": 1, "b": []}]) == ["a"]
    assert len(columns(wide[:1])) == 8, "of one row everything is the same"


def test_rules_come_by_how_near_their_limit_is(capsys: pytest.CaptureFixture[str]) -> None:
    def row(rule_id: str, state: str, used: float | None) -> dict[str, Any]:
        same = {"title": "T", "value": None, "limit": "1", "unit": "bp", "inequality": "≤"}
        return same | {"rule_id": rule_id, "state": state, "used": used}

    show({"rows": [row("CC-01", "pass", 0.5), row("LD-03", "off", None), row("UT-05", "not_evaluable", None),
                   row("VT-01", "bound", 1.2), row("UT-01", "pass", None)]})  # fmt: skip
    told = capsys.readouterr().out
    assert told.index("VT-01") < told.index("CC-01") < told.index("UT-01")
    assert "off: LD-03\n" in told and "not_evaluable: UT-05\n" in told and "rows (3)" in told
