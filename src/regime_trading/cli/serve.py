"""``regime serve``: the API and the live channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regime_trading.cli.common import Artifacts, Config, Debug, err, reporting
from regime_trading.core.errors import BadInput

if TYPE_CHECKING:
    from regime_trading.bootstrap.server import ServeOptions


def serve(
    host: Annotated[str, typer.Option(help="Where to listen; another machine needs TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8000,
    public_url: Annotated[
        str | None, typer.Option(help="What people type, where a reverse proxy stands in front.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(exists=True, dir_okay=False)] = None,
    tls_key: Annotated[Path | None, typer.Option(exists=True, dir_okay=False)] = None,
    jobs: Annotated[
        int, typer.Option(min=0, max=64, help="Jobs this process does at a time; 0 leaves them to a worker.")
    ] = 1,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Replay bundled prices in a folder of its own, with people made for it."),
    ] = False,
    speed: Annotated[
        float, typer.Option(min=0.01, max=1_000, help="Bars a second of a demo; one is a trading day.")
    ] = 1.0,
    artifacts: Artifacts = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Serve the API until interrupted; answers that are on their way are finished."""
    with reporting(False, debug):
        from regime_trading.bootstrap.serve import run_server
        from regime_trading.bootstrap.server import ServeOptions

        if (tls_cert is None) != (tls_key is None):
            raise BadInput(
                expected="--tls-cert and --tls-key together", found="one of them", where="regime serve"
            )
        options = ServeOptions(
            host=host,
            port=port,
            public_url=public_url or _url(host, port, tls_cert is not None),
            tls=tls_cert is not None,
            jobs=jobs,
            demo=demo,
        )

        def told() -> None:
            err.print(f"Regime Trading at {options.public_url} (stop with Ctrl-C)", soft_wrap=True)

        if demo:
            _demo(options, speed, artifacts, config, told)
        else:
            run_server(options, artifacts, config, cert=tls_cert, key=tls_key, told=told)


def _demo(
    options: ServeOptions,
    speed: float,
    artifacts: Path | None,
    config: Path | None,
    told: Callable[[], None],
) -> None:
    from regime_trading.bootstrap.demo import demo_folders, players, playing
    from regime_trading.bootstrap.serve import run_server
    from regime_trading.bootstrap.server import Server

    root, own = demo_folders(artifacts, config)

    @contextmanager
    def play(server: Server) -> Iterator[None]:
        err.print(
            f"A demo: fictional firms, bundled prices, simulated orders; everything is in {root}",
            soft_wrap=True,
        )
        for one in players(server.people, server.firms(), server.clock.now_ns()):
            err.print(f"  {one.login:34} {one.password}   {one.role.value}", highlight=False, soft_wrap=True)
        with playing(server, root, own, speed):
            yield

    run_server(options, root, own, play=play, told=told)


def _url(host: str, port: int, tls: bool) -> str:
    """An IP address is no valid id for passkeys, so loopback is called by its name."""
    name = "localhost" if host in ("127.0.0.1", "::1") else host
    return f"{'https' if tls else 'http'}://{name}:{port}"
