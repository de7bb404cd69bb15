"""``regime audit``: what the record can prove."""

from __future__ import annotations

import typer

from regime_trading.cli.audit.replay import replay

audit_app = typer.Typer(help="Prove what was decided, and why.", no_args_is_help=True)
audit_app.command()(replay)
