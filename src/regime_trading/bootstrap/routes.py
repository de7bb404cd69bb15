"""Every route of the server with what stands behind it."""

from __future__ import annotations

import secrets
from functools import partial

from regime_trading.adapters.database import SqlIdempotency
from regime_trading.adapters.database.tickets import SqlTickets
from regime_trading.api.app import PREFIX, Application, Options, create_app
from regime_trading.api.deps import Base
from regime_trading.api.system import system_router
from regime_trading.api.v1.approvals import approvals_router
from regime_trading.api.v1.commands import commands_router
from regime_trading.api.v1.configs import configs_router
from regime_trading.api.v1.jobs import jobs_router
from regime_trading.api.v1.live import LiveDeps, live_router
from regime_trading.api.v1.me import me_router
from regime_trading.api.v1.proposals import ProposalDeps, proposals_router
from regime_trading.api.v1.record import RecordDeps, record_router
from regime_trading.api.v1.session import Entrance, session_router
from regime_trading.api.v1.tickets import tickets_router
from regime_trading.api.v1.users import users_router
from regime_trading.api.v1.views import views_routers
from regime_trading.api.ws import websocket_router, wire_schema
from regime_trading.bootstrap import (
    metrics_token,
)
from regime_trading.bootstrap.config_versions import config_replay
from regime_trading.bootstrap.pages import built_pages
from regime_trading.bootstrap.prechecks import prechecker
from regime_trading.bootstrap.server import Server
from regime_trading.bootstrap.users import link_url
from regime_trading.bootstrap.version import code_version
from regime_trading.services.approvals import void_pending
from regime_trading.services.controls import Halts
from regime_trading.services.desk import Desk
from regime_trading.services.factors import FactorService
from regime_trading.services.identity import Identity
from regime_trading.services.links import LinkService
from regime_trading.services.sessions import SessionService
from regime_trading.services.tokens import TokenService
from regime_trading.services.users import MemberService

OPEN = frozenset(
    {
        f"POST {PREFIX}/session",
        f"POST {PREFIX}/session/link",
        f"POST {PREFIX}/session/link/password",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
    }
)
#: By cookie alone: the services behind them look at the session themselves.
OF_A_COOKIE = frozenset(
    f"{method} {PREFIX}/{path}"
    for method, path in (
        ("GET", "session"),
        ("DELETE", "session"),
        ("POST", "session/factor"),
        ("POST", "session/step-up"),
        ("POST", "session/passkey-options"),
        ("POST", "session/password"),
        ("POST", "me/factors/totp"),
        ("POST", "me/factors/totp/confirm"),
        ("POST", "me/factors/passkeys/options"),
        ("POST", "me/factors/passkeys"),
        ("POST", "me/factors/recovery-codes"),
        ("DELETE", "me/factors/{kind}"),
    )
)
OWN = frozenset(
    f"{method} {PREFIX}/{path}"
    for method, path in (
        ("GET", "me"),
        ("GET", "me/factors"),
        ("GET", "me/sessions"),
        ("DELETE", "me/sessions/{session_id}"),
        ("GET", "commands"),
        ("GET", "complete"),
        ("POST", "commands/preview"),
        ("POST", "commands/confirm"),
        ("POST", "commands/do"),
        ("GET", "commands/history"),
        ("POST", "ws-ticket"),
    )
)


def application(server: Server, desk: Desk, halts: Halts) -> Application:
    """The application with every route, each with its permission or its place in the three lists above."""
    people, options = server.people, server.options
    sessions, tokens = SessionService(people), TokenService(people)
    live = LiveDeps(
        halts=halts,
        void=partial(void_pending, desk),
        pseudonym=server.pseudonym,
        sources_of=server.sources,
        ledger=server.ledger,
        tested_ns=server.started_ns,
    )
    base = Base(
        server.clock,
        server,
        server.site,
        server.accounts,
        server.limiter,
        SqlIdempotency(server.engine),
        server.market_ns,
    )
    return create_app(
        Options(
            base=base,
            routers=(
                session_router(Entrance(Identity(people), sessions, LinkService(people))),
                me_router(FactorService(people), sessions, tokens, demo=options.demo, version=code_version()),
                users_router(MemberService(people), tokens, partial(link_url, options.public_url)),
                *views_routers(server.sources),
                jobs_router(server.jobs(), server.pseudonym, server.sources),
                proposals_router(
                    ProposalDeps(
                        server.proposals(),
                        server.sources,
                        server.pseudonym,
                        prechecker(server.store.root, server.config),
                    )
                ),
                approvals_router(desk),
                commands_router(desk, server.candidates),
                configs_router(
                    server.configs_of,
                    config_replay(server.store.root, server.config),
                    server.jobs(),
                    server.pseudonym,
                    desk,
                ),
                record_router(
                    RecordDeps(
                        server.jobs(), server.sources, server.pseudonym, server.bundle, server.bundle_fetched
                    )
                ),
                live_router(live),
                tickets_router(SqlTickets(server.engine), secrets.token_bytes),
            ),
            others=(
                websocket_router(server.hub),
                system_router(server.ready, server.render_metrics, metrics_token()),
            ),
            open_to_all=OPEN | OF_A_COOKIE,
            own_only=OWN,
            version=code_version(),
            request_id=lambda: secrets.token_hex(8),
            observe=server.metrics.answered,
            schemas=wire_schema,
            pages=built_pages(),
        )
    )
