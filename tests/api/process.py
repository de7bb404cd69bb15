"""``regime serve`` in a process of its own, which can be stopped and killed, and people who speak to it over TCP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyotp
from tests.api.installation import API, CONFIG
from tests.identity_samples import PASSWORD

from regime_trading.bootstrap.users import create_admin

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0  #: for a process to be up, and for an answer through kills


class Nursery:
    """Where processes of a test come from (``tests.api.nursery``)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.api.nursery"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def ask(self, **asked: Any) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def nursery() -> Iterator[Nursery]:
    found = Nursery()
    yield found
    found.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Served:
    """One installation and the process that serves it."""

    nursery: Nursery
    folder: Path
    jobs: int = 0
    port: int = field(default_factory=free_port)
    pid: int = 0
    env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        shutil.copytree(CONFIG, self.config)
        self.env = dict(os.environ) | {"REGIME_WITNESS": str(self.witness)}

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def witness(self) -> Path:
        return self.folder / "witness"

    @property
    def home(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def log(self) -> str:
        path = self.folder / "serve.log"
        return path.read_text() if path.exists() else ""

    def start(self, *, wait: bool = True) -> None:
        places = ["--artifacts", str(self.artifacts), "--config", str(self.config)]
        argv = ["serve", "--port", str(self.port), "--jobs", str(self.jobs), *places]
        self.pid = self.nursery.ask(argv=argv, env=self.env, log=str(self.folder / "serve.log"))
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until it answers."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.home}/healthz", timeout=30).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
            assert Path(f"/proc/{self.pid}/stat").read_text().split(") ")[1][0] != "Z", self.log[-2_000:]
        raise TimeoutError(self.log[-2_000:])

    def end(self, number: int) -> int:
        """Send it a signal; how it ended."""
        assert self.pid > 0, "it does not run"
        pid, self.pid = self.pid, 0
        os.kill(pid, number)
        return self.nursery.ask(wait=pid)

    def admin(self, firm: str) -> Person:
        """The administrator of a firm, with a second factor."""
        made = create_admin(firm, f"admin@{firm}.example", None, self.home, self.artifacts, self.config)
        return Person(self, firm).accepting(made["link"])


@contextmanager
def running(served: Served) -> Iterator[Served]:
    """A server while it is needed; killed in the end where it still runs."""
    served.start()
    try:
        yield served
    finally:
        if served.pid:
            served.end(signal.SIGKILL)


@dataclass
class Person:
    """Somebody with a browser, who asks again until there is an answer.

    ``unanswered`` counts requests whose connection broke before the answer was there: whether they were done, nobody
    has said.
    """

    served: Served
    firm: str
    login: str = ""
    seed: str = ""
    user_id: str = ""
    sent: int = 0
    unanswered: int = 0
    stepped: str = ""
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.served.home, timeout=120)

    @property
    def cookie(self) -> str:
        return f"sid={self.client.cookies['sid']}"

    def once(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response | None:
        """One attempt; None where the connection broke before an answer came. Waits for a server to ask."""
        ours = {"x-regime": "1", "origin": self.served.home, "if-match": "*"}
        sent = (ours if method != "GET" else {}) | {name.replace("_", "-"): v for name, v in headers.items()}
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                found = self.client.request(method, f"{API}{path}", json=body, headers=sent)
            except httpx.ConnectError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.25)
                continue
            except httpx.TransportError:
                found = None
            self.sent += method != "GET"
            self.unanswered += found is None and method != "GET"
            return found

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        done: Callable[[], Any] | None = None,
        **headers: str,
    ) -> tuple[httpx.Response | None, bool]:
        """Ask until there is an answer: that, and whether an attempt before it went without one. Where that may not be
        asked again, ``done`` is looked at first: None in the place of an answer where it was done."""
        until, broke = time.monotonic() + PATIENCE_S, False
        while time.monotonic() < until:
            found = self.once(method, path, body, **headers)
            if found is None:
                broke = True
                if done is not None and done():
                    return None, True
            elif found.status_code == 429:
                time.sleep(float(found.headers.get("retry-after", "1")))
            elif found.status_code == 403 and found.json().get("code") == "step_up":
                self.step_up()
            elif found.status_code == 401 and self.seed:
                self.sign_in()
            else:
                assert found.status_code < 500, found.text
                return found, broke
        raise TimeoutError(f"{method} {path}")

    def answer(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[httpx.Response, bool]:
        """As :meth:`ask`, of what may be asked again."""
        found, broke = self.ask(method, path, body, **headers)
        assert found is not None
        return found, broke

    def get(self, path: str) -> Any:
        found, _ = self.answer("GET", path)
        assert found.status_code == 200, (path, found.text)
        return found.json()

    def post(self, path: str, body: Any = None) -> Any:
        found, _ = self.answer("POST", path, body)
        assert found.status_code < 300, (path, found.text)
        return found.json() if found.content else None

    def accepting(self, link: str) -> Person:
        """Set a password with a one-time link, sign in, and enrol an authenticator."""
        secret = link.split("#")[1]
        self.login = self.post("/session/link", {"secret": secret})["login"]
        self.post("/session/link/password", {"secret": secret, "password": PASSWORD})
        self.user_id = self.post("/session", {"login": self.login, "password": PASSWORD})["user_id"]
        self.seed = self.post("/me/factors/totp")["seed"]
        self.stepped = pyotp.TOTP(self.seed).now()
        self.post("/me/factors/totp/confirm", {"code": self.stepped})
        return self

    def step_up(self) -> None:
        """Prove who one is again."""
        self.once("POST", "/session/step-up", {"kind": "totp", "value": self._code()})

    def sign_in(self) -> None:
        """Sign in again: a session that was changed in an answer that nobody got is lost."""
        self.once("POST", "/session", {"login": self.login, "password": PASSWORD})
        self.once("POST", "/session/factor", {"kind": "totp", "value": self._code()})

    def _code(self) -> str:
        """One that was not used yet."""
        while (code := pyotp.TOTP(self.seed).now()) == self.stepped:
            time.sleep(0.5)
        self.stepped = code
        return code

    def invite(self, login: str, role: str) -> Person:
        """A person with a role over the firm of this administrator."""
        body = {"login": login, "name": login.title(), "role": role, "accounts": None}
        made = self.post(f"/firms/{self.firm}/users", body)
        return Person(self.served, self.firm).accepting(made["link"])
