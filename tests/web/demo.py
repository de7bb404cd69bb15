"""A demo of the test's own: the shipped configuration with accounts that need people, and a way to start it again.

Whoever walks through the pages asks the control (``Control``) for a restart; the demo is stopped by its own process id.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from tests.api.process import free_port

from regime_trading.bootstrap.pages import FOLDER

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
PATIENCE_S = 600.0  #: until the demo has found the past
#: bars a second: a thousand are there, and something must happen as long as people are walked with
SPEED = 0.75
_PERSON = re.compile(r"^\s+(\S+@\S+\.demo)\s+(\S+)\s+\w+\s*$", re.MULTILINE)
_CODE = "from regime_trading.cli import main; main()"
_ACCOUNT = """\
      - id: {id}
        display_name: North Pier {name}
        account_type: managed
        mode: {mode}
        account_currency: USD
        initial_capital: "250000"
        trading_day: {{reset_at: "17:00", zone: America/New_York}}
        baskets: [{{name: {basket}, share: "1"}}]

"""
_BASKET = """\
  us-manual:
    symbols: [KO, PEP]
    allocator: minimum_variance
    budget: "1"
    cadence_sessions: 5
    approval: manual
    exposure: {trend_following: "1", mean_reversion: "1", stand_aside: "1", de_risk: "0.5", allow_short: false}
"""


def missing() -> str:
    """What stands in the way of a browser; empty where nothing does."""
    if not (WEB / "node_modules" / "@playwright").is_dir() or shutil.which("node") is None:
        return "no Node packages: make web"
    if not (FOLDER / "index.html").is_file():
        return "the command center is not built: make web"
    return "" if CHROMIUM else "no chromium on the path"


def write_config(folder: Path) -> None:
    """The shipped configuration and two accounts more: one in shadow, whose loosening takes another person (the demo
    decides dry runs only), and one whose basket asks people before anything leaves."""
    shutil.copytree(ROOT / "config", folder)
    mandate = _ACCOUNT.format(id="mandate", name="Mandate", mode="shadow", basket="us-defensive")
    manual = _ACCOUNT.format(id="manual", name="Manual", mode="dry_run", basket="us-manual")
    for name, before, more in (
        ("traders.yaml", "  - id: kestrel-lane\n", mandate + manual),
        ("settings.yaml", "  us-growth:\n", _BASKET),
    ):
        text = (folder / name).read_text()
        assert text.count(before) == 1, (name, before)
        (folder / name).write_text(text.replace(before, more + before))


@dataclass
class Demo:
    """A demo that plays in ``folder``: its address, and its people with the passwords that each start makes anew."""

    folder: Path
    port: int = field(default_factory=free_port)
    people: dict[str, str] = field(default_factory=dict)
    _server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://localhost:{self.port}"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log"

    def start(self, speed: float = SPEED, *, demo: bool = True) -> None:
        """Start it and wait until it decides. Not as a demo it only answers, and sessions of before go on."""
        config = self.folder / "config"
        if not config.exists():
            write_config(config)
        for name in ("keys", "witness"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        env = {name: value for name, value in os.environ.items() if name != "REGIME_DATABASE"}
        env |= {"REGIME_KEYS": str(self.folder / "keys"), "REGIME_WITNESS": str(self.folder / "witness")}
        plays = ["--demo", "--speed", str(speed), "--config", str(config)]
        only_answers = ["--config", str(self.folder / "artifacts" / "config")]
        words = ["serve", "--port", str(self.port), "--artifacts", str(self.folder / "artifacts")]
        with self.log.open("w") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-c", _CODE, *words, *(plays if demo else only_answers)],
                env=env, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._wait(demo)

    def _wait(self, demo: bool) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            assert self._server is not None and self._server.poll() is None, self.log.read_text()[-2_000:]
            try:
                checks = httpx.get(f"{self.url}/readyz", timeout=30).json()["checks"]
                if not demo or next(one["ok"] for one in checks if one["name"] == "demo"):
                    self.people |= dict(_PERSON.findall(self.log.read_text()))
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        raise TimeoutError(self.log.read_text()[-2_000:])

    def stop(self) -> None:
        """End it, and wait for that."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGTERM)
        try:
            self._server.wait(60)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None


@contextmanager
def playing(folder: Path, speed: float = SPEED) -> Iterator[Demo]:
    """A demo that has decided some twenty bars; ended at the end."""
    found = Demo(folder)
    try:
        found.start(speed)
        time.sleep(20 / speed)
        yield found
    finally:
        found.stop()


@contextmanager
def control(demo: Demo) -> Iterator[str]:
    """An address on this machine: ``POST /restart?speed=4&demo=1`` answers with the people once it is up again."""
    lock = threading.Lock()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = {name: said[0] for name, said in parse_qs(urlsplit(self.path).query).items()}
            with lock:
                demo.stop()
                time.sleep(float(asked.get("away_s", "0")))
                demo.start(float(asked.get("speed", SPEED)), demo=asked.get("demo", "1") == "1")
            body = json.dumps(demo.people).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, name="control", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def browser_env(demo: Demo, control_url: str) -> dict[str, str]:
    """What ``web/e2e`` is told of it."""
    return dict(os.environ) | {
        "REGIME_URL": demo.url,
        "REGIME_PEOPLE": json.dumps(demo.people),
        "REGIME_CONTROL": control_url,
        "CHROMIUM": CHROMIUM,
    }
