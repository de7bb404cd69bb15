"""Options that the commands on the record share: whose, and which part of it."""

from __future__ import annotations

from typing import Annotated

import typer

Firm = Annotated[
    str | None,
    typer.Option("--firm", help="Whose record; _platform is the platform's own [the only firm there is]."),
]
Account = Annotated[
    str | None, typer.Option("--account", help="Only this one: firm/account, or account beside --firm.")
]
Run = Annotated[str | None, typer.Option("--run", metavar="RUN_ID", help="Only this run or backtest.")]
First = Annotated[str | None, typer.Option("--from", help="First day or instant, UTC.")]
Last = Annotated[str | None, typer.Option("--to", help="Last day or instant, UTC.")]
