"""One installation as its server sees it: who calls, what is configured, where things are kept."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import (
    SqlActors,
    SqlApprovals,
    SqlAuditLog,
    SqlIdempotency,
    SqlJobs,
    SqlLedger,
    SqlMessages,
    SqlPreviews,
    SqlProposals,
    SqlRLLog,
    SqlRuns,
)
from regime_trading.adapters.database.gauges import store_gauges
from regime_trading.adapters.database.messages import message_heads
from regime_trading.adapters.database.probes import StoreProbes
from regime_trading.adapters.database.tickets import SqlTickets
from regime_trading.adapters.exports import LocalExports, file_digest
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.adapters.metrics import Metrics
from regime_trading.adapters.witness import open_witnesses
from regime_trading.api.limits import Limiter
from regime_trading.api.security import LOOPBACK, Site
from regime_trading.api.ws import Hub, StreamDeps
from regime_trading.bootstrap import (
    witness_places,
)
from regime_trading.bootstrap.config_versions import config_service, with_actor
from regime_trading.bootstrap.proof import open_proof, to_stderr
from regime_trading.bootstrap.readiness import readiness_of
from regime_trading.bootstrap.views import firm_sources, open_proofs
from regime_trading.core.access import Denial, Principal
from regime_trading.core.audit import PLATFORM
from regime_trading.core.commands.completion import Candidates, recent_of
from regime_trading.core.errors import BadInput, RegimeError, StoreDown
from regime_trading.core.jobs import EXPORT_TTL_NS, Job
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import ActorType, Mode
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import Who
from regime_trading.services.approvals import SERVICE, settle
from regime_trading.services.config_proposals import settle_proposals
from regime_trading.services.config_versions import ConfigService
from regime_trading.services.desk import Desk
from regime_trading.services.export import record_fetched
from regime_trading.services.jobs import JobService
from regime_trading.services.paced_plan import Loaded
from regime_trading.services.people import People
from regime_trading.services.proposals import ProposalService
from regime_trading.services.readiness import Check, answer
from regime_trading.services.run_approvals import Resumer
from regime_trading.services.sealing import Sealing
from regime_trading.services.sessions import SessionService
from regime_trading.services.stream_tickets import redeem
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
    """One installation as a server sees it; everything is made once and shared by its threads.

    ``replayed`` is the last bar that a demo has decided, by the market's clock and by the wall's.
    """

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
    demo: Check = field(default_factory=lambda: Check("demo", ok=False, detail="it has not begun"))
    replayed: tuple[int, int] | None = None
    started_ns: int = field(default_factory=lambda: SystemClock().now_ns())

    @cached_property
    def hub(self) -> Hub:
        """Every connection of the live channel of this process."""
        return Hub(
            StreamDeps(
                principal_of_cookie=lambda secret: self.by_cookie(secret, self.clock.now_ns()),
                principals_of=self.by_ids,
                redeem_ticket=lambda text: redeem(SqlTickets(self.engine), text, self.clock.now_ns()),
                heads=partial(message_heads, self.engine),
                messages=cache(lambda firm: SqlMessages(self.engine, firm_id=firm)),
                clock=self.clock,
                allowed_origins=frozenset({self.site.origin}),
                cookie=self.site.cookie,
                denied=self.denied,
            )
        )

    @property
    def site(self) -> Site:
        """Where it is reached."""
        return Site(self.options.public_url)

    def market_ns(self, now_ns: int) -> int:
        """Now on the market's clock: that of the wall, but in a demo its last bar and the time since."""
        if self.replayed is None:
            return now_ns
        bar_ns, at_ns = self.replayed
        return bar_ns + max(now_ns - at_ns, 0)

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

    def mode(self, scope: str) -> Mode | None:
        """Mode of an account, or the one that every account of a firm has."""
        found = {p.mode for p in self.profiles() if scope in (p.account, p.firm_id)}
        return found.pop() if len(found) == 1 else None

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
        """Whose API token this is; in a demo its maker needs no second factor."""
        found = TokenService(self.people).principal_of_token(text, now_ns)
        return replace(found, second_factor=True) if found is not None and self.options.demo else found

    def denied(self, principal: Principal, denial: Denial) -> None:
        """Record a refusal; one that cannot be recorded is refused all the same."""
        try:
            record_denied(self.people, principal, denial, self.clock.now_ns())
        except RegimeError as error:
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

    def resumer(self) -> Resumer:
        """What goes on with runs that people have answered."""
        return Resumer(
            approvals=lambda firm: SqlApprovals(self.engine, firm_id=firm),
            runs=lambda firm: SqlRuns(self.engine, firm_id=firm),
            jobs=self.jobs(),
            tell=LOG.error,
        )

    def proposals(self) -> ProposalService:
        """People's own weights, of every firm."""
        rows = cache(lambda firm: SqlProposals(self.engine, firm_id=firm))
        return ProposalService(rows, self.jobs(), self.people.acts)

    def bundle(self, firm_id: str, job_id: str) -> tuple[Path, str] | None:
        """Where the bundle of an export lies, and its SHA-256; None where it is not there (any more)."""
        place = LocalExports(self.store.root, firm_id=firm_id).find(job_id)
        return None if place is None else (place, file_digest(place))

    def bundle_fetched(self, job: Job, who: Who) -> None:
        """Record that somebody fetches the bundle of an export."""
        record_fetched(self.people.acts, job, who)

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

    def checks(self) -> tuple[Check, ...]:
        """Every check of readiness; a worker is needed where this process is to be one."""
        found = readiness_of(
            self.engine,
            self.store.root,
            self.config,
            tail=self.read_messages,
            with_worker=self.options.jobs > 0,
        )
        return (*found, self.demo) if self.options.demo else found

    def read_messages(self) -> dict[str, int]:
        """The last message that the live channel has read, by firm; of a firm that nobody listens to, all of them."""
        return message_heads(self.engine, (PLATFORM, *self.firms())) | self.hub.read()

    def ready(self) -> dict[str, Any]:
        """Whether it can do its work now."""
        return answer(self.checks())

    def render_metrics(self) -> bytes:
        """Metrics as text; what the store does not tell is left out, and readiness says that it is down."""
        now_ns = self.clock.now_ns()
        found: dict[str, Mapping[tuple[str, ...], float]] = {
            "regime_ready": {(one.name,): float(one.ok) for one in self.checks()},
            "regime_live_connections": {(): float(self.hub.connections)},
        }
        try:
            found |= store_gauges(self.engine, now_ns)
            oldest_ns = StoreProbes(self.engine).oldest_unread_ns(self.read_messages())
            lag_s = 0.0 if oldest_ns is None else (now_ns - oldest_ns) / 1e9
            found["regime_live_lag_seconds"] = {(): max(0.0, lag_s)}
        except StoreDown as error:
            LOG.error("the store does not tell its numbers: %s", error)
        return self.metrics.render(found)

    def housekeep(self, desk: Desk) -> None:
        """What is done about once a minute: windows of refusals that are over, requests that expired, runs and versions
        that need no longer wait, proposals whose run has ended, old bundles, tickets and keys, and sealing. A step that
        fails is said, and stops no other."""
        now_ns, proposals = self.clock.now_ns(), self.proposals()
        for firm_id in (PLATFORM, *self.firms()):
            _try(record_tallies, self.people, firm_id, now_ns)
        for firm_id in self.firms():
            _try(settle, desk, firm_id)
            _try(self.resumer().sweep, firm_id)
            _try(proposals.settle, firm_id)
            _try(settle_proposals, desk, self.configs_as(SERVICE), firm_id)
            _try(LocalExports(self.store.root, firm_id=firm_id).sweep, now_ns - EXPORT_TTL_NS)
        _try(SqlTickets(self.engine).drop_before, now_ns)
        _try(SqlIdempotency(self.engine).drop_before, now_ns)
        _try(lambda: self.sealing().seal_due((PLATFORM, *self.firms()), now_ns))

    def sealing(self) -> Sealing:
        """Seals and signs what people did here, and what shadow and live decide."""
        proof = open_proof(self.store, self.configured().settings.audit.witness, to_stderr)
        return Sealing(
            lambda firm: SqlAuditLog(self.engine, firm_id=firm),
            ParquetSealer(self.store),
            on_sealed=proof.sign,
            rl=lambda firm: SqlRLLog(self.engine, firm_id=firm),
        )


def _try(step: Callable[..., object], *given: object) -> None:
    try:
        step(*given)
    except RegimeError as error:
        LOG.error("housekeeping: %s", error)
