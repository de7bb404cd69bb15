"""``regime audit replay``: every recorded decision made again, and compared to the byte."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from regime_trading.cli.common import Debug, Json, out, print_json, reporting, steps
from regime_trading.core.errors import BadInput, CheckFailed

if TYPE_CHECKING:
    from regime_trading.services.replay import Replayed

_TOLD = 10


def replay(
    run: Annotated[str | None, typer.Option("--run", help="Only this run.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day (UTC) of the decisions.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day (UTC) of the decisions.")] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Only these accounts, firm/account, separated by commas.")
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option("--path", help="Artifacts folder [REGIME_ARTIFACTS or ./artifacts]."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make every recorded decision again, from the record and its stored inputs alone.

    Exit 3 where a decision of this code version does not come out as the bytes that were recorded, where one of another
    version means something else now, or where the inputs of a decision are missing or not what was stored.
    """
    with reporting(as_json, debug):
        from regime_trading.bootstrap.app import split
        from regime_trading.bootstrap.replay import replay_folder
        from regime_trading.bootstrap.version import code_version
        from regime_trading.services.replay import ReplayRequest

        request = ReplayRequest(run, _day(first, "--from"), _day(last, "--to"), split(account))
        with steps(as_json) as progress:
            found = replay_folder(path, request, progress)
        if as_json:
            print_json(found.answer(code_version()))
        else:
            _show(found, code_version())
        if not found.ok:
            raise typer.Exit(CheckFailed.exit_code)


def _day(text: str | None, where: str) -> dt.date | None:
    if text is None:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(expected="a date such as 1998-01-02", found=repr(text), where=where) from error


def _show(found: Replayed, code_version: str) -> None:
    out.print(f"{found.decisions:,} decisions made again: {found.equal:,} equal to the byte.")
    if found.held:
        out.print(f"{found.held:,} entries say that a run was held back: nothing was decided.")
    others = {version: n for version, n in sorted(found.versions.items()) if version != code_version}
    if others:
        out.print(
            f"{sum(others.values()):,} were recorded by other code ({', '.join(others)}; this is {code_version}): "
            f"{found.same_meaning:,} of them are written differently and mean the same, {found.differing:,} mean "
            "something else.",
            soft_wrap=True,
        )
    for kind, shown in found.differences.items():
        out.print(f"{kind}: {found.kinds[kind]:,}", soft_wrap=True)
        for one in shown:
            out.print(
                escape(f"  {_place(one)} {one['name']}: {one['before']} -> {one['after']}"), soft_wrap=True
            )
    if found.mismatched:
        out.print(f"{found.mismatched:,} decisions do not come out as they were recorded:")
    for one in found.mismatches[:_TOLD]:
        why = ", ".join(one.what) or one.detail
        place = {"chain": one.chain, "seq": one.seq, "ts_event": one.ts_event}
        out.print(escape(f"  {_place(place)} {one.kind}: {why}"), soft_wrap=True)


def _place(one: dict[str, Any]) -> str:
    return f"{one['chain']} #{one['seq']} {one['ts_event']}"
