"""``regime halt``: stop an account or a firm, from this machine, with the database or without it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import Artifacts, Config, Debug, Json, out, print_json, reporting
from regime_trading.core.errors import BadInput

halt_app = typer.Typer(
    help="Halts: pause (K1), cancel (K2), flatten and lock (K3). They hold until a person ends them.",
    no_args_is_help=True,
)

LevelName = Annotated[str, typer.Option("--level", help="K1 pause, K2 cancel, K3 flatten and lock.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


@halt_app.command("account")
def halt_account(
    account: Annotated[str, typer.Argument(help="firm/account")],
    reason: Reason,
    level: LevelName = "K1",
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Halt one account."""
    with reporting(as_json, debug):
        firm, _, own = account.partition("/")
        if not own:
            raise BadInput(expected="firm/account", found=repr(account), where="account")
        _halt(firm, account, level, reason, artifacts, config, as_json)


@halt_app.command("firm")
def halt_firm(
    firm: Annotated[str, typer.Argument(help="The firm's id.")],
    reason: Reason,
    level: LevelName = "K1",
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Halt every account of a firm."""
    with reporting(as_json, debug):
        _halt(firm, "", level, reason, artifacts, config, as_json)


@halt_app.command("list")
def halt_list(
    artifacts: Artifacts = None, config: Config = None, as_json: Json = False, debug: Debug = False
) -> None:
    """What is in force, account by account, and how far it has come."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.halt_commands import halt_table

        rows = halt_table(artifacts, config)
        if as_json:
            print_json(rows)
            return
        table = Table("account", "halt", "since", "by", "reason", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(escape(str(row[key])) for key in ("account", "text", "since", "by", "reason")))
        out.print(table)


@halt_app.command("end")
def halt_end(
    scope: Annotated[str, typer.Argument(help="firm, or firm/account: whose halts.")],
    reason: Reason,
    number: Annotated[
        int | None,
        typer.Argument(help="Only this halt (regime halt list --json); else every one of the scope itself."),
    ] = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """End halts over accounts in dry_run; any other takes a second person, and the server. Halts of a firm do not end
    with those of its accounts, nor these with it."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.halt_commands import end_halts

        ended = end_halts(artifacts, config, scope, number, reason)
        if as_json:
            print_json({"scope": scope, "halts": [one.control_no for one in ended], "ended": True})
            return
        for one in ended:
            out.print(f"{one.level.name} over {one.scope} ended; it is let go of at the next decision.")


def _halt(
    firm: str, account: str, level: str, reason: str, artifacts: Artifacts, config: Config, as_json: bool
) -> None:
    from regime_trading.bootstrap.halt_commands import halt_here

    stored = halt_here(artifacts, config, firm, account, level, reason)
    scope = account or firm
    if as_json:
        print_json({"scope": scope, "level": level.upper(), "stored": stored})
    elif stored:
        out.print(f"{level.upper()} over {scope} is in force, from the next decision on.", soft_wrap=True)
    else:
        out.print(
            f"{level.upper()} over {scope} is in force as a flag file; the database cannot be used.",
            soft_wrap=True,
        )
