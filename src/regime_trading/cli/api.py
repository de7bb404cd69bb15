"""``regime api``: what the API is, for programs that talk to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regime_trading.cli.common import Config, Debug, err, print_json, reporting

api_app = typer.Typer(no_args_is_help=True, help="The API as a document.")


@api_app.command()
def openapi(
    to: Annotated[Path | None, typer.Option(dir_okay=False, help="A file; without it, to stdout.")] = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """The OpenAPI document, to generate clients from; no server is needed."""
    with reporting(False, debug):
        from regime_trading.bootstrap.openapi import openapi_document, write_document

        document = openapi_document(config)
        if to is None:
            print_json(document)
        else:
            write_document(to, document)
            err.print(f"{len(document['paths'])} paths written to {to}")
