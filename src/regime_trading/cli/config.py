"""``regime config``: validate the merged configuration, explain where a value comes from."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import Config, Debug, Json, err, out, print_json, reporting

config_app = typer.Typer(
    help="The merged configuration: validate it, explain where a value comes from.", no_args_is_help=True
)


@config_app.command("validate")
def config_validate(config: Config = None, as_json: Json = False, debug: Debug = False) -> None:
    """Check settings.yaml and traders.yaml and every merge between them. Exit 2 where they are not acceptable."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap import check_configuration

        findings = check_configuration(config)
        if as_json:
            print_json({"ok": not findings, "findings": findings})
        elif not findings:
            out.print("The configuration is valid.")
        for finding in [] if as_json else findings:
            err.print(escape(finding["message"]), soft_wrap=True)
        if findings:
            raise typer.Exit(2)


@config_app.command("explain")
def config_explain(
    account: Annotated[str, typer.Argument(help="firm/account")],
    path: Annotated[
        str, typer.Argument(help="For example risk.gross, risk.daily_loss.limit_pct, initial_capital.")
    ],
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What each layer says about one value, from the top down, and which of them decides."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap import explain_value

        steps = explain_value(config, account, path)
        if as_json:
            print_json({"account": account, "path": path, "steps": steps})
            return
        table = Table("layer", "says", "where", "in force", box=None, pad_edge=False)
        for step in steps:
            table.add_row(step["layer"], str(step["value"]), step["where"], "yes" if step["winning"] else "")
        out.print(table)
