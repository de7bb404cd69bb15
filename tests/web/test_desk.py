"""The command center in a browser, against the server's own demo on bundled prices: ``web/e2e`` says what must hold.

Needs Node, ``make web`` and a Chromium (``CHROMIUM`` names another); says loudly where it was skipped.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.web.demo import WEB, Demo, browser_env, control, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"THE COMMAND CENTER WAS NOT TESTED: {missing()}")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    found = Demo(tmp_path_factory.mktemp("desk"))
    try:
        found.start()
        time.sleep(15)  # some twenty bars
        yield found
    finally:
        found.stop()


@pytest.mark.parametrize("size", ["short", pytest.param("full", marks=pytest.mark.full)])
def test_what_people_do_in_it(demo: Demo, size: str) -> None:
    assert len(demo.people) == 10, demo.people.keys()
    with control(demo) as url:
        env = browser_env(demo, url)
        env.pop("REGIME_FULL", None)
        if size == "full":
            env["REGIME_FULL"] = "1"
        done = subprocess.run(
            ["node", "node_modules/@playwright/test/cli.js", "test"],
            cwd=WEB, env=env, capture_output=True, text=True, timeout=3_600, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-1_000:]
    told = [
        line
        for line in done.stdout.splitlines()
        if re.match(r"\s+\d+ (passed|skipped|flaky)|.*figure:", line)
    ]
    print("\n".join(told))
