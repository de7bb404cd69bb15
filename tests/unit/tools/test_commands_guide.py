"""The guide to the commands says what the catalogue says, and its examples parse."""

from __future__ import annotations

import re
from pathlib import Path

from regime_trading.core.commands.catalogue import CATALOGUE
from regime_trading.core.commands.grammar import parse
from regime_trading.tools.commands_guide import commands_guide, with_commands

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "commands.md"


def test_the_guide_on_disk_is_the_generated_one() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert text == with_commands(text), "run `make docs`"


def test_every_command_is_in_it_once() -> None:
    named = re.findall(r"^\| `(/\w+(?: \w+)?)", commands_guide().split("### Other")[0], re.M)
    assert sorted(named) == sorted(spec.name for spec in CATALOGUE)


def test_every_example_parses() -> None:
    (block,) = re.findall(r"^```text\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.M | re.S)
    for line in block.splitlines():
        assert parse(line).verb
