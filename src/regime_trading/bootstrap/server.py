"""One installation as its server sees it: who calls, what is configured, where things are kept."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import (
    SqlActors,
    SqlIdempotency,
    SqlJobs,
    SqlLedger,
    SqlPreviews,
)
from regime_trading.adapters.database.tickets import SqlTickets
from regime_trading.adapters.metrics import Metrics
from regime_trading.adapters.witness import open_witnesses
from regime_trading.api.limits import Limiter
from regime_trading.api.security import LOOPBACK, Site
from regime_trading.bootstrap import (
    witness_places,
)
from regime_trading.bootstrap.config_versions import config_service, with_actor
from regime_trading.bootstrap.readiness import readiness_of
from regime_trading.bootstrap.views import firm_sources, open_proofs
from regime_trading.core.access import Answer, Permission, Principal, Target
from regime_trading.core.audit import PLATFORM
from regime_trading.core.commands.completion import Candidates, recent_of
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import ActorType, Mode
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import Who
from regime_trading.services.approvals import SERVICE, settle
from regime_trading.services.config_proposals import settle_proposals
from regime_trading.services.config_versions import ConfigService
from regime_trading.services.desk import Desk
from regime_trading.services.jobs import JobService
from regime_trading.services.paced_plan import Loaded
from regime_trading.services.people import People
from regime_trading.services.readiness import answer
from regime_trading.services.sessions import SessionService
from regime_trading.services.tallied import record_denied, record_tallies
from regime_trading.services.tokens import TokenService
from regime_trading.services.views.proof import ProofReader
from regime_trading.services.views.sources import FirmSources

LOG = logging.getLogger("regime_trading")


@dataclass(frozen=True)
class ServeOptions:
    """How the server is reached and what it does beside answering.

    Parameters
    ----------
    host, port
        Where it listens.
    public_url : str
        What people type.
    tls : bool
        It speaks TLS itself.
    jobs : int
        Jobs that this process does at a time; 0 leaves them to ``regime worker``.
    demo : bool
        Every screen says that this is a demo.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = "http://localhost:8000"
    tls: bool = False
    jobs: int = 1
    demo: bool = False

    def __post_init__(self) -> None:
        site = Site(self.public_url)
        if self.host not in LOOPBACK and not self.tls:
            raise BadInput(
                expected="a loopback address, or --tls-cert and --tls-key", found=self.host, where="--host"
            )
        if self.demo and (self.host not in LOOPBACK or site.host not in LOOPBACK):
            raise BadInput(expected="a loopback address for a demo", found=self.host, where="--demo")


@dataclass
class Server:
    """One installation as a server sees it; everything is made once and shared by its threads."""

    engine: Any
    store: LocalArtifacts
    config: Path
    configured: Callable[[], Loaded]
    people: People
    options: ServeOptions
    clock: SystemClock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)
    limiter: Limiter = field(default_factory=Limiter)
    proofs: dict[str, ProofReader] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        """Where it is reached."""
        return Site(self.options.public_url)

    # --- configuration ------------------------------------------------------------------------------------

    def profiles(self) -> tuple[TraderProfile, ...]:
        """Accounts as they are configured now."""
        return self.configured().profiles

    def accounts(self, firm_id: str) -> tuple[str, ...] | None:
        """Full names of a firm's accounts; None where there is no such firm."""
        found = tuple(sorted(p.account for p in self.profiles() if p.firm_id == firm_id))
        return found or None

    def firms(self) -> tuple[str, ...]:
        """Firms that are configured."""
        return tuple(sorted({profile.firm_id for profile in self.profiles()}))

    def mode(self, account: str) -> Mode | None:
        """Mode of an account."""
        return next((p.mode for p in self.profiles() if p.account == account), None)

    # --- people -------------------------------------------------------------------------------------------

    def by_cookie(self, secret: str, now_ns: int) -> Principal | None:
        """Whose session a cookie names."""
        found = SessionService(self.people).principal_of_session(secret, now_ns)
        return None if found is None else self.as_played(found, now_ns)

    def by_ids(self, session_ids: Sequence[str]) -> dict[str, Principal]:
        """Whom sessions stand for, by session id; those that are over are left out."""
        now_ns = self.clock.now_ns()
        found = SessionService(self.people).principals(session_ids, now_ns)
        return {name: self.as_played(principal, now_ns) for name, principal in found.items()}

    def as_played(self, principal: Principal, now_ns: int) -> Principal:
        """In a demo, which only this machine reaches, a password stands for a second factor and a fresh proof."""
        if not self.options.demo:
            return principal
        return replace(principal, second_factor=True, stepped_up_ns=now_ns)

    def by_token(self, text: str, now_ns: int) -> Principal | None:
        """Whose API token this is."""
        return TokenService(self.people).principal_of_token(text, now_ns)

    def denied(
        self, principal: Principal, permission: Permission, target: Target, answer: Answer, route: str
    ) -> None:
        """Record a refusal; one that cannot be recorded is refused all the same."""
        try:
            record_denied(self.people, principal, permission, target, answer, route, self.clock.now_ns())
        except NotDurable as error:
            LOG.error("a refusal could not be recorded: %s", error)

    def person(self, user_id: str) -> Principal | None:
        """A person with their roles as they are now, as if in a session of their own."""
        account = self.people.logins.account(user_id)
        if account is None or account.user.disabled_ns is not None:
            return None
        proved = bool(account.factors) or self.options.demo
        return Principal(user_id, account.grants, second_factor=proved)

    def pseudonym(self, firm_id: str, user_id: str) -> str:
        """Of a person in the record of a firm."""
        account = self.people.logins.account(user_id)
        name = "" if account is None else account.user.name
        known = SqlActors(self.engine, firm_id=firm_id)
        return known.pseudonym(f"user:{user_id}", self.clock.now_ns(), name=name)

    # --- what is done -------------------------------------------------------------------------------------

    def ledger(self, firm_id: str, mode: Mode) -> SqlLedger:
        """States and decisions of a firm's accounts."""
        return SqlLedger(self.engine, firm_id=firm_id, env=mode)

    def jobs(self) -> JobService:
        """Jobs of every firm."""
        rows = cache(lambda firm: SqlJobs(self.engine, firm_id=firm))
        return JobService(rows, self.clock, secrets.token_bytes)

    def configs_as(self, who: Who) -> ConfigService:
        """Versions of the configuration, made by somebody."""
        service = config_service(self.engine, self.people.acts, self.config)
        return with_actor(service, lambda _: who)

    def configs_of(self, principal: Principal, firm_id: str) -> ConfigService:
        """Versions of the configuration of a firm, made by whoever calls."""
        return self.configs_as((ActorType.USER, self.pseudonym(firm_id, principal.user_id)))

    # --- what is shown and commanded ----------------------------------------------------------------------

    def sources(self, firm_id: str) -> FirmSources:
        """What the views of a firm read."""
        loaded = self.configured()
        if firm_id not in self.proofs:
            places = witness_places(loaded.settings.audit.witness, self.store.root)
            self.proofs[firm_id] = open_proofs(firm_id, self.store, open_witnesses(places))
        return firm_sources(
            firm_id,
            engine=self.engine,
            store=self.store,
            settings=loaded.settings,
            standings=loaded.standings,
            proofs=self.proofs[firm_id],
        )

    def candidates(self, principal: Principal, scope: tuple[str, ...]) -> Candidates:
        """What there is to choose from in a command, for a person."""
        accounts = [
            account
            for firm_id in principal.firms
            for account in self.accounts(firm_id) or ()
            if any(
                g.accounts is None or account in g.accounts for g in principal.grants if g.firm_id == firm_id
            )
        ]
        settings = self.configured().settings
        given = [
            one.command
            for firm_id in principal.firms
            for one in SqlPreviews(self.engine, firm_id=firm_id).history(principal.user_id)
        ]
        return Candidates(
            values={
                "account": accounts,
                "firm": list(principal.firms),
                "rule": list(RULE_IDS),
                "basket": sorted(settings.baskets),
                "source": sorted(settings.sources),
            },
            scope=tuple(account for account in scope if account in accounts),
            recent=recent_of(given),
        )

    def ready(self) -> dict[str, Any]:
        """Whether it can do its work now."""
        checks = readiness_of(self.engine, self.store.root, self.config, with_worker=self.options.jobs > 0)
        self.metrics.ready({one.name: one.ok for one in checks})
        return answer(checks)

    def housekeep(self, desk: Desk) -> None:
        """What is done about once a minute: windows of refusals that are over, requests that expired, old tickets, old
        keys of requests."""
        now_ns = self.clock.now_ns()
        for firm_id in (PLATFORM, *self.firms()):
            record_tallies(self.people, firm_id, now_ns)
        for firm_id in self.firms():
            settle(desk, firm_id)
            settle_proposals(desk, self.configs_as(SERVICE), firm_id)
        SqlTickets(self.engine).drop_before(now_ns)
        SqlIdempotency(self.engine).drop_before(now_ns)
