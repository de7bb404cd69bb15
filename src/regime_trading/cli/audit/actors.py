"""``regime audit actors``: whose the pseudonyms are, for the local operator, and their erasure."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.audit.options import Firm
from regime_trading.cli.common import Artifacts, Debug, Json, out, print_json, reporting

actors_app = typer.Typer(help="Whose the pseudonyms in the record are.", no_args_is_help=True)


@actors_app.command("list")
def actors_list(
    firm: Firm = None, artifacts: Artifacts = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Names behind the pseudonyms of a firm. They are nowhere in the record itself."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.registers import Words, list_actors
        from regime_trading.core.instants import instant_text

        told = list_actors(Words(firm), artifacts)
        if as_json:
            print_json({"actors": told})
            return
        table = Table("actor", "subject", "name", "e-mail", "since", box=None, pad_edge=False)
        for one in told:
            who = ("erased", "-", "-") if one["erased"] else (one["subject"], one["name"], one["email"])
            table.add_row(
                one["actor"], *(escape(text or "-") for text in who), instant_text(int(one["since_ns"]))[:19]
            )
        out.print(table if told else "Nobody has acted yet.")


@actors_app.command("erase")
def actors_erase(
    actor: Annotated[str, typer.Argument(help="The pseudonym, u-…")],
    firm: Firm = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: there is no way back.")] = False,
    artifacts: Artifacts = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Delete the key of a name. Nobody can read it again; the record stays as it is and verifies as before."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.registers import Words, erase_actor
        from regime_trading.core.actors import require_pseudonym

        require_pseudonym(actor)
        if not yes and not typer.confirm(f"Erase the name of {actor} for ever?", err=True):
            raise typer.Exit(1)
        told = erase_actor(actor, Words(firm), artifacts)
        if as_json:
            print_json(told)
        else:
            out.print(f"The name of {actor} is erased; the record keeps the pseudonym.")
