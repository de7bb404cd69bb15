"""``regime``: the product in the terminal.

Machine output (``--json``) goes to stdout and nothing else does; progress and messages go to stderr. Exit codes:
0 done, 1 failed, 2 bad input or usage, 3 a check did not hold.
"""

from __future__ import annotations

from typing import Annotated

import typer

from regime_trading import __version__
from regime_trading.cli.api import api_app
from regime_trading.cli.audit import audit_app
from regime_trading.cli.backup import backup, restore
from regime_trading.cli.common import Debug, out, print_json, reporting
from regime_trading.cli.config import config_app
from regime_trading.cli.data import data_app
from regime_trading.cli.halt import halt_app
from regime_trading.cli.market import detect, tape
from regime_trading.cli.pm import pm_app
from regime_trading.cli.rl import rl_app
from regime_trading.cli.runs import backtest, run
from regime_trading.cli.serve import serve
from regime_trading.cli.user import user_app
from regime_trading.cli.worker import worker

app = typer.Typer(
    help=__doc__.replace("``", "") if __doc__ else None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(backtest)
app.command()(serve)
app.command()(tape)
app.command()(detect)
app.command()(worker)
app.command("backup")(backup)
app.command("restore")(restore)
app.add_typer(api_app, name="api")
app.add_typer(audit_app, name="audit")
app.add_typer(config_app, name="config")
app.add_typer(data_app, name="data")
app.add_typer(halt_app, name="halt")
app.add_typer(pm_app, name="pm")
app.add_typer(rl_app, name="rl")
app.add_typer(user_app, name="user")


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
def schema(
    name: Annotated[str | None, typer.Argument(help="Name of a public model; without it, the names.")] = None,
    debug: Debug = False,
) -> None:
    """JSON Schema of a public model."""
    with reporting(False, debug):
        from regime_trading.services.schemas import model_names, model_schema

        if name is None:
            out.print("\n".join(model_names()))
        else:
            print_json(model_schema(name))


def main() -> None:
    """Entry point of the command ``regime``."""
    app()
