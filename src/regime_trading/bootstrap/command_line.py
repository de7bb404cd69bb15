"""``regime do``, wired: a client of the running server with a token or a login, or of this machine's own store.

Without a server there is nobody to ask who one is: then only what reads or tightens is done, recorded as
``service:local`` (``contracts.md`` 14).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from regime_trading.adapters.api_client import ApiClient, in_process, over_http
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import open_database
from regime_trading.bootstrap import artifacts_folder, config_folder, database_url, given_server, given_token
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.desk import make_desk
from regime_trading.bootstrap.halts import make_halts
from regime_trading.bootstrap.paced import Configured
from regime_trading.bootstrap.proof import to_stderr
from regime_trading.bootstrap.routes import application
from regime_trading.bootstrap.secrets import server_secret
from regime_trading.bootstrap.selftest import require_live_rules
from regime_trading.bootstrap.server import ServeOptions, Server
from regime_trading.bootstrap.users import DEFAULT_URL, make_people
from regime_trading.bootstrap.version import code_version
from regime_trading.core.access import Caller, Grant, Principal, Role
from regime_trading.core.controls import LOCAL


@dataclass
class _AtTheMachine(Server):
    """An installation as whoever has its files sees it: one caller, by a secret that lives as long as the process."""

    secret: str = ""

    def by_token(self, text: str, now_ns: int) -> Principal | None:
        """Whoever runs this process, over every firm."""
        if not secrets.compare_digest(text.encode(), self.secret.encode()):
            return None
        grants = tuple(Grant(firm, role) for firm in self.firms() for role in (Role.ADMIN, Role.PM))
        return Principal(LOCAL, grants, Caller.LOCAL, second_factor=True, session_id="local")

    def pseudonym(self, firm_id: str, user_id: str) -> str:
        """The same name in every firm, and nobody's."""
        return LOCAL if user_id == LOCAL else super().pseudonym(firm_id, user_id)


@contextmanager
def open_client(
    server: str | None, artifacts: Path | None, config: Path | None, *, login: bool
) -> Iterator[tuple[ApiClient, bool]]:
    """A client, and whether it is one of a server.

    Parameters
    ----------
    server : str, optional
        Its address; ``REGIME_SERVER``, else that of this machine, where a token or a login is used.
    artifacts, config : Path, optional
        Of this machine's own store, where no server is asked.
    login : bool
        Somebody will sign in, so that no token is needed.

    Raises
    ------
    BadInput, NotDurable, SilentRules
        As opening a server does.
    """
    token = "" if login else given_token()
    url = server or given_server() or (DEFAULT_URL if token or login else "")
    if url:
        yield ApiClient(over_http(url), url, token), True
        return
    with ExitStack() as stack:
        yield _own(artifacts, config, stack), False


def _own(artifacts: Path | None, config: Path | None, stack: ExitStack) -> ApiClient:
    require_live_rules()
    store = LocalArtifacts(artifacts_folder(artifacts))
    engine = open_database(database_url(store.root))
    stack.callback(engine.dispose)
    acts, folder = make_acts(engine, store, code_version()), config_folder(config)
    place = _AtTheMachine(
        engine=engine,
        store=store,
        config=folder,
        configured=Configured(folder, engine, acts, to_stderr),
        people=make_people(engine, server_secret(), acts),
        options=ServeOptions(public_url=DEFAULT_URL, jobs=0),
        clock=SystemClock(),
        secret=secrets.token_urlsafe(32),
    )
    halts = make_halts(store.root, lambda: engine, lambda: acts, place.profiles, to_stderr)
    app = application(place, make_desk(place, acts, halts), halts)
    return ApiClient(in_process(app, DEFAULT_URL), DEFAULT_URL, place.secret)
