"""``regime serve``: the API and the live channel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regime_trading.cli.common import Artifacts, Config, Debug, err, reporting


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
    artifacts: Artifacts = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Serve the API until interrupted; answers that are on their way are finished."""
    with reporting(False, debug):
        from regime_trading.bootstrap.serve import ServeOptions, run_server

        if (tls_cert is None) != (tls_key is None):
            raise typer.BadParameter("--tls-cert and --tls-key come together")
        options = ServeOptions(
            host=host,
            port=port,
            public_url=public_url or _url(host, port, tls_cert is not None),
            tls=tls_cert is not None,
            jobs=jobs,
        )
        err.print(f"Regime Trading at {options.public_url} (stop with Ctrl-C)")
        run_server(options, artifacts, config, cert=tls_cert, key=tls_key)


def _url(host: str, port: int, tls: bool) -> str:
    """An IP address is no valid id for passkeys, so loopback is called by its name."""
    name = "localhost" if host in ("127.0.0.1", "::1") else host
    return f"{'https' if tls else 'http'}://{name}:{port}"
