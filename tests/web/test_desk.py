"""The command center in a browser, against the server's own demo on bundled prices: ``web/e2e`` says what must hold.

Needs Node, ``make web`` and a Chromium (``CHROMIUM`` names another); says loudly where it was skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.api.process import free_port

from regime_trading.bootstrap.pages import FOLDER

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
PATIENCE_S = 600.0  #: until the demo has found the past
_PERSON = re.compile(r"^\s+(\S+@\S+\.demo)\s+(\S+)\s+\w+\s*$", re.MULTILINE)


def missing() -> str:
    """What stands in the way of a browser; empty where nothing does."""
    if not (WEB / "node_modules" / "@playwright").is_dir() or shutil.which("node") is None:
        return "no Node packages: make web"
    if not (FOLDER / "index.html").is_file():
        return "the command center is not built: make web"
    return "" if CHROMIUM else "no chromium on the path"


pytestmark = pytest.mark.skipif(bool(missing()), reason=f"THE COMMAND CENTER WAS NOT TESTED: {missing()}")


@dataclass(frozen=True)
class Demo:
    """A demo that plays: its address, and its people with their passwords."""

    url: str
    people: dict[str, str]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder, port = tmp_path_factory.mktemp("desk"), free_port()
    env = {name: value for name, value in os.environ.items() if name != "REGIME_DATABASE"}
    env |= {"REGIME_KEYS": str(folder / "keys"), "REGIME_WITNESS": str(folder / "witness")}
    for name in ("keys", "witness"):
        (folder / name).mkdir(mode=0o700)
    words = ["serve", "--demo", "--speed", "4", "--port", str(port), "--artifacts", str(folder / "artifacts")]
    code = "from regime_trading.cli import main; main()"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", code, *words, "--config", str(ROOT / "config")], env=env, stderr=log
        )
    try:
        yield _playing(server, f"http://localhost:{port}", folder / "log")
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _playing(server: subprocess.Popen[bytes], url: str, log: Path) -> Demo:
    """Wait until it decides."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()[-2_000:]
        try:
            checks = httpx.get(f"{url}/readyz", timeout=30).json()["checks"]
            if next(one["ok"] for one in checks if one["name"] == "demo"):
                time.sleep(10)  # some forty bars
                return Demo(url, dict(_PERSON.findall(log.read_text())))
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise TimeoutError(log.read_text()[-2_000:])


@pytest.mark.parametrize("size", ["short", pytest.param("full", marks=pytest.mark.full)])
def test_what_people_do_in_it(demo: Demo, size: str) -> None:
    assert len(demo.people) == 10, demo.people.keys()
    env = dict(os.environ) | {
        "REGIME_URL": demo.url,
        "REGIME_PEOPLE": json.dumps(demo.people),
        "CHROMIUM": CHROMIUM,
    }
    env.pop("REGIME_FULL", None)
    if size == "full":
        env["REGIME_FULL"] = "1"
    done = subprocess.run(
        ["node", "node_modules/@playwright/test/cli.js", "test"],
        cwd=WEB, env=env, capture_output=True, text=True, timeout=3_000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-1_000:]
    print(next(line for line in reversed(done.stdout.splitlines()) if "passed" in line))
