"""The OpenAPI document without a server: over an empty store in a folder that is gone afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from regime_trading.bootstrap.serve import open_server
from regime_trading.bootstrap.server import ServeOptions
from regime_trading.core.errors import BadInput


def openapi_document(config: Path | None = None) -> dict[str, Any]:
    """What ``GET /api/v1/openapi.json`` answers with, of a server behind TLS.

    Parameters
    ----------
    config : Path, optional
        Folder of a configuration; the document is the same over any.

    Raises
    ------
    InvalidConfig
        A configuration that no server starts with.
    """
    options = ServeOptions(jobs=0, public_url="https://regime.example")
    with TemporaryDirectory() as folder, open_server(options, Path(folder), config) as app:
        return app.openapi()


def write_document(to: Path, document: dict[str, Any]) -> None:
    """Write a document as JSON text, keys sorted.

    Raises
    ------
    BadInput
        A file that cannot be written.
    """
    try:
        to.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(expected="a file that can be written", found=str(error), where=str(to)) from error
