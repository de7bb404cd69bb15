"""The guide to the rules says what the registry says."""

from __future__ import annotations

import re
from pathlib import Path

from regime_trading.core.rules import RULES
from regime_trading.tools.rules_guide import rules_guide

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "rules.md"


def test_the_guide_on_disk_is_the_generated_one() -> None:
    assert GUIDE.read_text(encoding="utf-8") == rules_guide(), "run `make docs`"


def test_every_rule_and_every_parameter_is_in_it_once() -> None:
    text = rules_guide()
    sections = dict(re.findall(r"^### ([A-Z]{2}-\d{2}) [^\n]*\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    assert list(sections) == [spec.rule_id for spec in RULES]
    for spec in RULES:
        named = re.findall(r"^\| `(\w+)`", sections[spec.rule_id], re.M)
        assert named == list(spec.params.model_fields)
    anchors = re.findall(r"\(#([a-z0-9-]+)\)", text)
    assert len(anchors) == len(set(anchors)) == len(RULES)
