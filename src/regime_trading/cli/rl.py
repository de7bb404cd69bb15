"""``regime rl``: check the RL dataset against the record, say what it knows, hand it out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import Debug, Json, err, out, print_json, reporting

if TYPE_CHECKING:
    from regime_trading.services.rl_dataset import Selection

rl_app = typer.Typer(
    help="The RL dataset: check it against the record, say what it knows, export it.", no_args_is_help=True
)

Folder = Annotated[
    Path | None, typer.Option("--path", help="Artifacts folder [REGIME_ARTIFACTS or ./artifacts].")
]
Run = Annotated[str | None, typer.Option("--run", help="Only this run.")]
Account = Annotated[str | None, typer.Option("--account", help="Only this account: firm/account or account.")]
Env = Annotated[str, typer.Option("--env", help="Environment; they are never mixed.")]


@rl_app.command("check")
def rl_check(path: Folder = None, run: Run = None, as_json: Json = False, debug: Debug = False) -> None:
    """Transitions and open ends make up the decisions, nothing leaks, masks hold. Exit 3 where they do not."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.rl import check_dataset

        found = check_dataset(path, run)
        if as_json:
            print_json(found.answer())
        else:
            table = Table(box=None, pad_edge=False)
            for title in ("chain", "decisions", "transitions", "open", "gaps", "holds"):
                table.add_column(title, justify="left" if title in ("chain", "holds") else "right")
            for chain in found.chains:
                counts = (chain.decisions, chain.transitions, chain.open, chain.gaps)
                table.add_row(chain.chain, *map(str, counts), "no" if chain.faults else "yes")
            out.print(table)
            if found.uncovered:
                out.print(
                    f"{len(found.uncovered)} chains left no RL rows: paced, or the gate of before.",
                    soft_wrap=True,
                )
        for chain in found.chains:
            for fault in chain.faults:
                err.print(escape(f"{chain.chain}: {fault}"), soft_wrap=True)
        if not found.ok:
            raise typer.Exit(3)


@rl_app.command("describe")
def rl_describe(
    path: Folder = None,
    run: Run = None,
    account: Account = None,
    env: Env = "dry_run",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Every feature with its unit, and the share of decisions in which it is not known."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.rl import describe_dataset

        told = describe_dataset(path, _selection(run, account, env))
        if as_json:
            print_json(told)
            return
        table = Table(box=None, pad_edge=False)
        for title in ("feature", "block", "of", "unit", "not known", "when"):
            table.add_column(title, justify="right" if title == "not known" else "left")
        for item in told["features"]:
            share = f"{item['unknown_share'] * 100:.1f} %"
            table.add_row(item["name"], item["block"], item["per"], item["unit"], share, item["unknown_when"])
        out.print(f"{told['rows']} decisions of {len(told['accounts'])} accounts in {told['env']}.")
        out.print(table)


@rl_app.command("export")
def rl_export(
    to: Annotated[Path, typer.Option("--to", help="A folder that does not exist yet.")],
    layout: Annotated[str, typer.Option("--format", help="parquet or minari.")] = "parquet",
    path: Folder = None,
    run: Run = None,
    account: Account = None,
    env: Env = "dry_run",
    symbols: Annotated[
        str | None, typer.Option("--symbols", help="Only decisions about exactly these: KO,XOM.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """One flat training table (Parquet), or episodes in the format of Minari."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.rl import export_dataset

        chosen = _selection(run, account, env)
        if symbols is not None:
            chosen = replace(chosen, symbols=tuple(symbols.split(",")))
        told = export_dataset(path, to, layout, chosen)
        if as_json:
            print_json(told)
        elif layout == "minari":
            out.print(
                f"{told['episodes']} episodes, {told['rows']} steps: MINARI_DATASETS_PATH={told['path']}, "
                f"minari.load_dataset({told['dataset']!r})",
                soft_wrap=True,
                markup=False,
            )
        else:
            out.print(f"{told['rows']} decisions of {told['env']} in {told['path']}", soft_wrap=True)


def _selection(run: str | None, account: str | None, env: str) -> Selection:
    from regime_trading.services.rl_dataset import Selection

    return Selection(env=env, run_id=run, account=account)
