"""People of a small world: a real database, a cheap password hash, and time that stands where it is put."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
from sqlalchemy import Engine

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlAuditLog, open_database, sqlite_url
from regime_trading.adapters.identity import Argon2Passwords
from regime_trading.adapters.identity.passwords import Cost
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.secrets import ServerSecret
from regime_trading.bootstrap.users import make_people
from regime_trading.core.access import Grant, Principal, Role
from regime_trading.core.audit import verify_chain
from regime_trading.core.event_schema import read_event
from regime_trading.core.users import Site, TotpCode, User
from regime_trading.services.factors import FactorService
from regime_trading.services.identity import Identity, Opened
from regime_trading.services.links import LinkService
from regime_trading.services.people import OPERATOR
from regime_trading.services.sessions import SessionService
from regime_trading.services.tokens import TokenService
from regime_trading.services.users import MemberService

T = 1_795_680_000_000_000_000  # 2026-11-26T08:00:00Z
SECOND, MINUTE, HOUR = 10**9, 60 * 10**9, 3600 * 10**9
PASSWORD = "violet-anchor-42-drizzle"
HOME, AWAY = "203.0.113.7", "198.51.100.7"
SITE = Site("localhost", ("http://localhost:8000",))
CHEAP = Argon2Passwords(Cost(memory_kib=8, passes=1, lanes=1))
SECRET = ServerSecret(bytes(range(7, 39)))


@dataclass
class World:
    """Every service over one database, and a clock."""

    engine: Engine
    folder: Path
    now: int = T

    def __post_init__(self) -> None:
        acts = make_acts(self.engine, LocalArtifacts(self.folder), "test")
        self.people = make_people(self.engine, SECRET, acts, passwords=CHEAP)
        self.identity, self.sessions = Identity(self.people), SessionService(self.people)
        self.factors, self.members = FactorService(self.people), MemberService(self.people)
        self.links, self.tokens = LinkService(self.people), TokenService(self.people)
        self.seeds: dict[str, str] = {}

    def person(self, login: str = "mary", *grants: Grant, password: str | None = PASSWORD) -> User:
        """Somebody with roles (Viewer of ``alpha`` where none are named) and a password."""
        first, *more = grants or (Grant("alpha", Role.VIEWER),)
        made = self.members.create(OPERATOR, login, login.title(), first, self.now)
        for grant in more:
            self.members.grant(OPERATOR, made.user.user_id, grant, self.now)
        if password is not None:
            self.links.set_password(made.link, password, self.now)
        return made.user

    def login(self, login: str = "mary", password: str = PASSWORD, address: str = HOME) -> Opened:
        return self.identity.login(login, password, address, self.now, "a browser")

    def with_totp(self, login: str = "mary") -> Opened:
        """Log in and enrol an authenticator: a session with a second factor."""
        opened = self.login(login)
        offer = self.factors.offer_totp(opened.cookie, self.now)
        self.seeds[login] = offer.seed
        done = self.factors.confirm_totp(opened.cookie, self.code(login).code, self.now)
        self.codes = done.recovery_codes
        self.now += 30 * SECOND
        return done.opened

    def code(self, login: str = "mary", steps: int = 0) -> TotpCode:
        return TotpCode(pyotp.TOTP(self.seeds[login]).at(self.now // SECOND, counter_offset=steps))

    def principal(self, cookie: str) -> Principal | None:
        return self.sessions.principal_of_session(cookie, self.now)

    def told(self, firm: str = "alpha", kind: str = "") -> list[dict[str, Any]]:
        """The record of a firm's acts, or of the platform; verified, and fit for its schema."""
        account = "_platform" if firm == "_platform" else "_firm"
        chain = f"admin/{firm}/{account}"
        entries = SqlAuditLog(self.engine, firm_id=firm).entries(chain)
        assert verify_chain(entries, chain=chain).ok
        found = [read_event(entry.event.body).model_dump(mode="json") for entry in entries]
        return [entry for entry in found if kind in ("", entry["event_type"])]

    def everything(self) -> str:
        """All that is stored, as text, to look for what must not be in it."""
        with self.engine.connect() as connection:
            names = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).scalars()
            rows = [connection.exec_driver_sql(f"SELECT * FROM {name}").fetchall() for name in names.all()]
        entries = [self.told(firm) for firm in ("alpha", "_platform")]
        return f"{rows!r} {json.dumps(entries)}"


def world(folder: Path) -> World:
    """A new one."""
    return World(open_database(sqlite_url(folder / "state" / "regime.db")), folder)
