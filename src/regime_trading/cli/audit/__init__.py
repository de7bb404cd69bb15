"""``regime audit``: the record, its keys, and its proof."""

from __future__ import annotations

import typer

from regime_trading.cli.audit.keys import keys_app
from regime_trading.cli.audit.replay import replay
from regime_trading.cli.audit.seal import seal
from regime_trading.cli.audit.verify import verify

audit_app = typer.Typer(
    help="The record: what was decided, by which rule, and the proof of it.", no_args_is_help=True
)
audit_app.command()(verify)
audit_app.command()(replay)
audit_app.command()(seal)
audit_app.add_typer(keys_app, name="keys")
