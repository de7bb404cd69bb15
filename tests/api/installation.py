"""An installation that answers, and people with browsers in front of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp
from starlette.testclient import TestClient
from tests.identity_samples import CHEAP, PASSWORD

from regime_trading.bootstrap.serve import open_server
from regime_trading.bootstrap.server import ServeOptions
from regime_trading.bootstrap.users import create_admin

HOME = "http://localhost:8000"
CONFIG = Path(__file__).parents[2] / "config"
API = "/api/v1"


@dataclass
class Browser:
    """Somebody's browser: it keeps cookies, and sends what a page of ours would."""

    app: Any
    home: str = HOME
    login: str = ""
    seed: str = ""
    user_id: str = ""
    client: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = TestClient(self.app, base_url=self.home, raise_server_exceptions=False)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        ours = {"x-regime": "1", "origin": self.home, "if-match": "*"}
        sent = (ours if method != "GET" else {}) | {name.replace("_", "-"): v for name, v in headers.items()}
        return self.client.request(method, f"{API}{path}", json=body, headers=sent)

    def get(self, path: str) -> Any:
        response = self.ask("GET", path)
        assert response.status_code == 200, (path, response.text)
        return response.json()

    def post(self, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        response = self.ask("POST", path, body, **headers)
        assert response.status_code == status, (path, response.text)
        return response.json() if response.content else None

    def accept(self, link: str) -> None:
        """Set a password with a one-time link, sign in, and enrol an authenticator."""
        secret = link.split("#")[1]
        self.login = self.post("/session/link", {"secret": secret})["login"]
        self.post("/session/link/password", {"secret": secret, "password": PASSWORD})
        self.sign_in()

    def sign_in(self) -> None:
        """Sign in, with the second factor where there is one; enrol one where there is none."""
        found = self.post("/session", {"login": self.login, "password": PASSWORD})
        self.user_id = found["user_id"]
        if found["awaits_factor"]:
            self.post("/session/factor", {"kind": "totp", "value": pyotp.TOTP(self.seed).now()})
        elif not self.seed:
            self.seed = self.post("/me/factors/totp")["seed"]
            self.post("/me/factors/totp/confirm", {"code": pyotp.TOTP(self.seed).now()})


@dataclass
class Installation:
    """A running application with an administrator of each firm."""

    app: Any
    folder: Path
    config: Path
    admins: dict[str, Browser]
    home: str = HOME

    def invite(self, firm: str, login: str, *roles: tuple[str, list[str] | None]) -> Browser:
        """A person with roles, signed in with a second factor."""
        admin, (first, *more) = self.admins[firm], roles
        body = {"login": login, "name": login.title(), "role": first[0], "accounts": first[1]}
        made = admin.post(f"/firms/{firm}/users", body, 201)
        for role, accounts in more:
            answer = admin.ask(
                "PUT", f"/firms/{firm}/users/{made['user_id']}/roles", {"role": role, "accounts": accounts}
            )
            assert answer.status_code == 204, answer.text
        browser = Browser(self.app, self.home)
        browser.accept(made["link"])
        return browser


@contextmanager
def installed(
    folder: Path, *, jobs: int = 0, home: str = HOME, edit: Callable[[str], str] = str
) -> Iterator[Installation]:
    """The shipped configuration, its accounts edited, over an empty store."""
    artifacts, config = folder / "artifacts", folder / "config"
    shutil.copytree(CONFIG, config)
    traders = config / "traders.yaml"
    traders.write_text(edit(traders.read_text()))
    options = ServeOptions(jobs=jobs, public_url=home)
    with open_server(options, artifacts, config, passwords=CHEAP) as app, TestClient(app):
        admins = {}
        for firm in ("north-pier", "kestrel-lane"):
            made = create_admin(firm, f"admin@{firm}.example", None, home, artifacts, config)
            admins[firm] = Browser(app, home)
            admins[firm].accept(made["link"])
        yield Installation(app, artifacts, config, admins, home)
