"""``regime audit``: the record, what it tells, and its proof."""

from __future__ import annotations

import typer

from regime_trading.cli.audit.actors import actors_app
from regime_trading.cli.audit.dossier import dossier
from regime_trading.cli.audit.export import export
from regime_trading.cli.audit.keys import keys_app
from regime_trading.cli.audit.registers import REGISTER_COMMANDS, limits
from regime_trading.cli.audit.replay import replay
from regime_trading.cli.audit.seal import seal
from regime_trading.cli.audit.verify import verify

audit_app = typer.Typer(
    help="The record: what was decided, by which rule, and the proof of it.", no_args_is_help=True
)
audit_app.command()(verify)
audit_app.command()(replay)
for _name, _command in REGISTER_COMMANDS.items():
    audit_app.command(_name)(_command)
audit_app.command()(limits)
audit_app.command()(dossier)
audit_app.command()(export)
audit_app.command()(seal)
audit_app.add_typer(keys_app, name="keys")
audit_app.add_typer(actors_app, name="actors")
