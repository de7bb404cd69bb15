"""``regime audit``: the record."""

from __future__ import annotations

import typer

from regime_trading.cli.audit.seal import seal

audit_app = typer.Typer(
    help="The record: what was decided, by which rule, and the proof of it.", no_args_is_help=True
)


@audit_app.callback()
def _group() -> None:
    """The record: what was decided, by which rule, and the proof of it."""


audit_app.command()(seal)
