"""``regime audit keys``: who signs the record."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from regime_trading.cli.common import Artifacts, Config, Debug, Json, out, print_json, reporting

keys_app = typer.Typer(help="Keys that sign the record, one per firm.", no_args_is_help=True)


@keys_app.command()
def create(
    firm: Annotated[
        str | None, typer.Option(help="Only this firm [every configured firm without a key].")
    ] = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the key of a firm before its first checkpoint does."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.proof import create_keys

        made = create_keys(firm, artifacts, config)
        if as_json:
            print_json({"created": made})
            return
        for one in made:
            out.print(f"{one['key']}, private half in {one['folder']}. Public half:", soft_wrap=True)
            out.print(one["public"], soft_wrap=True, markup=False)
        if not made:
            out.print("Every firm has its key.")


@keys_app.command()
def rotate(
    firm: Annotated[str, typer.Option(help="Whose key.")],
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the old private key, renamed to .retired.")
    ] = False,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Hand over to a new key: old and new sign the checkpoint that introduces it."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.proof import rotate_key

        told = rotate_key(firm, keep, artifacts, config)
        if as_json:
            print_json(told)
            return
        signed = (
            "nothing was signed before"
            if told["checkpoint"] is None
            else f"introduced by checkpoint {told['checkpoint']} in the place of {told['replaces']}"
        )
        out.print(f"{told['key']}: {signed}. Public half:", soft_wrap=True)
        out.print(told["public"], soft_wrap=True, markup=False)


@keys_app.command("list")
def list_(
    firm: Annotated[str | None, typer.Option(help="Only this firm.")] = None,
    artifacts: Artifacts = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Keys of the record: which one signs, and whose private half is here."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.proof import list_keys

        told = list_keys(firm, artifacts)
        if as_json:
            print_json({"keys": told})
            return
        table = Table(box=None, pad_edge=False)
        for title in ("firm", "key", "use", "private half"):
            table.add_column(title, no_wrap=True)
        for one in told:
            table.add_row(one["firm"], one["key"], one["use"], one["private"])
        out.print(table if told else "No keys yet; the first checkpoint makes one.")
