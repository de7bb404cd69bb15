"""``regime audit``: the record, what it tells, and its proof."""

from __future__ import annotations

import typer

from regime_trading.cli.audit.actors import actors_app
from regime_trading.cli.audit.dossier import dossier
from regime_trading.cli.audit.export import export
from regime_trading.cli.audit.registers import REGISTER_COMMANDS, limits

audit_app = typer.Typer(help="The record: registers, dossiers, exports, actors.", no_args_is_help=True)
for _name, _command in REGISTER_COMMANDS.items():
    audit_app.command(_name)(_command)
audit_app.command()(limits)
audit_app.command()(dossier)
audit_app.command()(export)
audit_app.add_typer(actors_app, name="actors")
