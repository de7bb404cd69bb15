"""The server, wired: one process of the API over an artifacts folder and a configuration."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from socket import socket
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import (
    open_database,
)
from regime_trading.api.app import Application
from regime_trading.bootstrap import (
    artifacts_folder,
    config_folder,
    database_url,
)
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.desk import make_desk
from regime_trading.bootstrap.halts import make_halts
from regime_trading.bootstrap.paced import Configured
from regime_trading.bootstrap.routes import application
from regime_trading.bootstrap.schedules import scheduled, watched
from regime_trading.bootstrap.secrets import server_secret
from regime_trading.bootstrap.selftest import require_live_rules
from regime_trading.bootstrap.server import LOG, ServeOptions, Server
from regime_trading.bootstrap.users import make_people
from regime_trading.bootstrap.version import code_version
from regime_trading.bootstrap.worker import Worker, WorkerSettings
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import Passwords
from regime_trading.services.acts import Acts
from regime_trading.services.controls import Halts
from regime_trading.services.desk import Desk

MINUTE_S = 60.0
GRACE_S = 25  #: less than the 30 s that process managers wait by default


@contextmanager
def open_server(
    options: ServeOptions,
    artifacts: Path | None = None,
    config: Path | None = None,
    *,
    passwords: Passwords | None = None,
    play: Callable[[Server], AbstractContextManager[None]] | None = None,
) -> Iterator[Application]:
    """The application over an artifacts folder, whose store is made where there is none.

    Parameters
    ----------
    options : ServeOptions
    artifacts, config : Path, optional
        Folders; the environment and then the defaults where None.
    passwords : Passwords, optional
        Another cost of passwords, for tests.
    play : callable, optional
        What goes on beside answering, as long as it does (a demo).

    Raises
    ------
    SilentRules
        A rule that no longer fires.
    InvalidConfig, BadInput
        A configuration, an address or a secret that cannot be accepted.
    NotDurable
        A store that cannot be opened.
    """
    require_live_rules()
    secret = server_secret()
    with ExitStack() as stack:
        store = LocalArtifacts(artifacts_folder(artifacts))
        engine = open_database(database_url(store.root))
        stack.callback(engine.dispose)
        acts, folder = make_acts(engine, store, code_version()), config_folder(config)
        server = Server(
            engine=engine,
            store=store,
            config=folder,
            configured=Configured(folder, engine, acts, LOG.critical),
            people=make_people(engine, secret, acts, passwords=passwords),
            options=options,
        )
        halts = _halts(server, acts)
        desk = make_desk(server, acts, halts)
        stack.enter_context(_housekeeping(server, desk))
        if options.jobs:
            stack.enter_context(_working(server, acts))
        if play is not None:
            stack.enter_context(play(server))
        yield application(server, desk, halts)


def _halts(server: Server, acts: Acts) -> Halts:
    return make_halts(server.store.root, lambda: server.engine, lambda: acts, server.profiles, LOG.critical)


@contextmanager
def _housekeeping(server: Server, desk: Desk) -> Iterator[None]:
    over = threading.Event()

    def work() -> None:
        while not over.wait(MINUTE_S):
            try:
                server.housekeep(desk)
            except Exception as error:
                LOG.error("housekeeping failed: %s", error)

    thread = threading.Thread(target=work, name="housekeeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _working(server: Server, acts: Any) -> Iterator[None]:
    worker = Worker(
        server.engine,
        server.store.root,
        server.config,
        WorkerSettings(slots=server.options.jobs),
        acts,
        server.clock,
        LOG.error,
        scheduled(server.engine, server.configured, LOG.error),
        watched(LOG.error),
    )
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def run_server(
    options: ServeOptions,
    artifacts: Path | None,
    config: Path | None,
    *,
    cert: Path | None = None,
    key: Path | None = None,
    play: Callable[[Server], AbstractContextManager[None]] | None = None,
    told: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGINT or SIGTERM; ``told`` is called once it answers. Raises as :func:`open_server`.

    Then no more is taken in, answers on their way are finished for up to :data:`GRACE_S` seconds, sockets are closed
    with 1012, and jobs at work are given back to the queue. A second signal ends it at once.
    """
    import uvicorn

    from regime_trading.bootstrap.logs import configure_logs

    class Telling(uvicorn.Server):
        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets)
            told()

    configure_logs()
    signal.signal(signal.SIGTERM, _leave)
    with open_server(options, artifacts, config, play=play) as app:
        settings = uvicorn.Config(
            app,
            host=options.host,
            port=options.port,
            ssl_certfile=cert,
            ssl_keyfile=key,
            access_log=False,  # the application says one line about each request itself, without its query
            log_config=None,
            server_header=False,
            date_header=True,
            ws_max_size=65_536,
            timeout_graceful_shutdown=GRACE_S,
        )
        server = Telling(settings)
        try:
            server.run()
        except KeyboardInterrupt:
            return
        except SystemExit:
            if server.started:
                raise
            where = f"{options.host}:{options.port}"
            raise BadInput(
                expected="an address of this machine that is free", found=where, where="serve"
            ) from None


def _leave(*_: object) -> None:
    """The HTTP server passes the signal on when it has ended, and the default would end this process before the rest of
    it has."""
    raise SystemExit(0)
