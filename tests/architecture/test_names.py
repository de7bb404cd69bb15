"""The names that the seed of the project promised (decision 0001), and the pages that tell the truth."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from regime_trading.agents.graph import PIPELINE, validate
from regime_trading.core.state import PipelineState

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    [
        "agents.graph",
        "agents.microstructure",
        "agents.portfolio_manager",
        "agents.summarizer",
        "core.schemas",
        "core.state",
        "core.trader_profile",
        "tools.microstructure",
    ],
)
def test_the_seed_modules_exist(name: str) -> None:
    assert importlib.import_module(f"regime_trading.{name}").__doc__


@pytest.mark.parametrize("path", ["config/settings.yaml", "config/traders.yaml"])
def test_the_seed_files_exist(path: str) -> None:
    assert (ROOT / path).stat().st_size > 0


def test_the_stage_list_of_the_docs_is_the_pipeline() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("<!-- stages -->")[1].split("<!-- /stages -->")[0]
    rows = re.findall(r"^\| \d+ \| `(\w+)` \|([^|]*)\|([^|]*)\|", section, flags=re.M)
    listed = [(name, _fields(reads), _fields(writes)) for name, reads, writes in rows]
    assert listed == [(s.name, s.reads, s.writes) for s in PIPELINE]


def _fields(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`(\w+)`", cell))


def test_the_pipeline_is_valid_and_in_the_order_of_the_state() -> None:
    validate(PIPELINE)
    written = [field for stage in PIPELINE for field in stage.writes]
    assert written == [name for name in PipelineState.model_fields if name != "request"]


def test_the_pipeline_has_the_agreed_order() -> None:
    assert [stage.name for stage in PIPELINE] == [
        "ingest",
        "microstructure",
        "features",
        "cross_asset",
        "regime",
        "contradictor",
        "trader_config_loader",
        "allocator",
        "portfolio_manager",
        "judge",
        "approval",
        "journal",
        "execution",
        "summarizer",
    ]


def test_every_node_lives_in_the_module_of_its_name() -> None:
    for stage in PIPELINE:
        assert stage.node.__module__ == f"regime_trading.agents.{stage.name}"


def test_decisions_are_numbered_without_holes() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


def test_no_lock_file_names_an_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock and "--index" not in lock and "--find-links" not in lock
    pins = re.findall(r"^[A-Za-z0-9._-]+==\S+", lock, flags=re.M)
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.M)[1:]
    assert len(pins) == len(blocks) > 50
    assert all("--hash=sha256:" in block for block in blocks)
