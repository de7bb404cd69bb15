"""The walls stand: import contracts, banned calls, purity of the inner layers."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "regime_trading"
PURE = ("core", "tools", "guards", "engine")
BANNED_CALLS = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.perf_counter",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "dt.datetime.now",
    "dt.datetime.utcnow",
    "dt.date.today",
    "datetime.datetime.now",
    "datetime.date.today",
    "np.random.seed",
    "np.random.rand",
    "np.random.randn",
    "np.random.normal",
    "np.random.random",
    "np.random.choice",
    "np.random.permutation",
    "open",
    "print",
    "input",
}
BANNED_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "rename"}


def pure_modules() -> list[Path]:
    return sorted(path for layer in PURE for path in (PACKAGE / layer).rglob("*.py"))


def impurities(source: str) -> list[str]:
    """Calls in ``source`` that reach outside, or draw randomness that was not passed in."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        unseeded = name.endswith("random.default_rng") and not node.args and not node.keywords
        method = isinstance(node.func, ast.Attribute) and node.func.attr in BANNED_METHODS
        if name in BANNED_CALLS or unseeded or method:
            found.append(f"line {node.lineno}: {name}()")
    return found


def lint_imports(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
    ]
    return subprocess.run(
        [*command, *arguments, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_import_contracts_hold() -> None:
    done = lint_imports()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_there_are_contracts_for_every_wall() -> None:
    config = (ROOT / ".importlinter").read_text()
    for wall in (
        "layers",
        "acyclic",
        "pure",
        "adapters",
        "ports",
        "langgraph",
        "sqlalchemy",
        "web",
        "server",
        "nodes",
        "guards",
    ):
        assert f"[importlinter:contract:{wall}]" in config
    assert "exhaustive = True" in config


def test_contracts_name_every_node_of_the_graph() -> None:
    from regime_trading.agents.graph import PIPELINE

    config = (ROOT / ".importlinter").read_text()
    for stage in PIPELINE:
        assert f"regime_trading.agents.{stage.node.__module__.rsplit('.', 1)[1]}\n" in config


@pytest.mark.parametrize("path", pure_modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_inner_layers_reach_for_nothing(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import time\nx = time.time()",
        "import datetime as dt\nx = dt.datetime.now(dt.UTC)",
        "from datetime import date\nx = date.today()",
        "import numpy as np\nx = np.random.default_rng()",
        "import numpy as np\nx = np.random.normal(size=3)",
        "from pathlib import Path\nx = Path('a').read_text()",
        "x = open('a')",
        "print(1)",
    ],
)
def test_an_impurity_is_seen(line: str) -> None:
    assert impurities(line)


def test_a_seeded_generator_is_no_impurity() -> None:
    assert impurities("import numpy as np\nx = np.random.default_rng(7)") == []


def test_ruff_bans_the_clock_randomness_and_the_environment() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "TID" in lint["select"]
    assert set(lint["flake8-tidy-imports"]["banned-api"]) >= {
        "time.time",
        "time.time_ns",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.date.today",
        "random",
        "numpy.random.seed",
        "os.environ",
        "os.getenv",
        "uuid.uuid4",
    }
    exempt = {path for path, rules in lint["per-file-ignores"].items() if "TID251" in rules}
    assert exempt == {
        "tests/**",
        "benchmarks/**",
        "src/regime_trading/adapters/clock.py",
        "src/regime_trading/bootstrap/__init__.py",
    }


@pytest.mark.parametrize(
    "line",
    [
        "import time\nx = time.time()",
        "import os\nx = os.environ['A']",
        "import random",
        "import uuid\nx = uuid.uuid4()",
    ],
)
def test_ruff_refuses_them(line: str) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--no-cache", "-"]
    name = ["--stdin-filename", "src/regime_trading/tools/probe.py"]
    done = subprocess.run(
        command + name, input=line + "\n", cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "TID251" in done.stdout
