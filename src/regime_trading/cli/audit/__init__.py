"""``regime audit``: the record, its keys, and its proof."""

from __future__ import annotations

import typer

from regime_trading.cli.audit.keys import keys_app
from regime_trading.cli.audit.verify import verify

audit_app = typer.Typer(help="The record: verify it, its keys.", no_args_is_help=True)
audit_app.command()(verify)
audit_app.add_typer(keys_app, name="keys")
