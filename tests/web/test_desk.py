"""The command center in a browser, against the server's own demo on bundled prices: ``web/e2e`` says what must hold.

Needs Node, ``make web`` and a Chromium (``CHROMIUM`` names another); says loudly where it was skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.demo import CHROMIUM, WEB, Demo, browser_env, control, missing, playing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"THE COMMAND CENTER WAS NOT TESTED: {missing()}")

#: every page looked at by axe, and what people do at a desk
SHORT = ("desk.spec", "flows.spec", "configs.spec", "markets.spec")
FILES = sorted(path.stem for path in (WEB / "e2e").glob("*.spec.ts") if path.stem != "measure.spec")


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first demo leaves what it found of the past, so that no other one looks for it again."""
    return tmp_path_factory.mktemp("past") / "cache"


@pytest.fixture
def demo(tmp_path: Path, past: Path) -> Iterator[Demo]:
    """A demo for one file of ``web/e2e`` on one screen: what is put in force in one is not in the way of another."""
    kept = tmp_path / "artifacts" / "cache"
    if past.exists():
        kept.parent.mkdir()
        shutil.copytree(past, kept)
    with playing(tmp_path) as found:
        if not past.exists():
            shutil.copytree(kept, past)
        yield found


@pytest.mark.parametrize(
    ("name", "screen", "size"),
    [(name, "desktop", "short") for name in SHORT]
    + [
        pytest.param(name, screen, "full", marks=pytest.mark.full)
        for name in FILES
        for screen in ("desktop", "phone")
        if (name, screen) != ("states.spec", "phone")  # it looks at both sizes itself
    ],
)
def test_what_people_do_in_it(demo: Demo, name: str, screen: str, size: str) -> None:
    assert len(demo.people) == 10, demo.people.keys()
    with control(demo) as url:
        env = browser_env(demo, url)
        env.pop("REGIME_FULL", None)
        if size == "full":
            env["REGIME_FULL"] = "1"
        done = subprocess.run(
            ["node", "node_modules/@playwright/test/cli.js", "test", f"e2e/{name}.ts", f"--project={screen}"],
            cwd=WEB, env=env, capture_output=True, text=True, timeout=3_600, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-1_000:]
    if flaky := re.search(r"^ +\d+ flaky\n(?: {4}.*\n)+", done.stdout, re.MULTILINE):
        warnings.warn(f"passed the second time only: {flaky[0].strip()}", stacklevel=1)
    told = [
        line
        for line in done.stdout.splitlines()
        if re.match(r"\s+\d+ (passed|skipped|flaky)|.*figure:", line)
    ]
    print("\n".join(told))


@pytest.mark.full
def test_how_fast_it_is() -> None:
    """What may never be (a message lost, a queue without an end) fails; times are figures."""
    env = dict(os.environ) | {"REGIME_MEASURE": "1", "REGIME_PYTHON": sys.executable, "CHROMIUM": CHROMIUM}
    done = subprocess.run(
        ["node", "node_modules/@playwright/test/cli.js", "test", "e2e/measure.spec.ts"],
        cwd=WEB, env=env, capture_output=True, text=True, timeout=6_000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-1_000:]
    print(done.stdout)
