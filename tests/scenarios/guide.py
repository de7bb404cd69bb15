"""The guide to the scenarios, from their files."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.play import load

from regime_trading.tools.scenario_pages import scenario_pages

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "guides" / "scenarios.md"


def scenario_guide(folder: Path = FOLDER) -> str:
    """The guide as Markdown, files in the order of their names."""
    return scenario_pages([load(path) for path in sorted(folder.glob("*.yaml"))])


def write_guide(page: Path = PAGE) -> None:
    """Write the guide to its place under ``docs``."""
    page.write_text(scenario_guide(), encoding="utf-8")
