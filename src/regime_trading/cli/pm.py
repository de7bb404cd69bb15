"""``regime pm``: the gate in front of the orders of other engines and bots."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import Artifacts, Config, Debug, Json, out, print_json, reporting
from regime_trading.core.errors import BadInput

if TYPE_CHECKING:
    from regime_trading.core.schemas import PMDecision

pm_app = typer.Typer(
    help="The gate: proposals of other engines and bots through every rule.", no_args_is_help=True
)


@pm_app.callback()
def _group() -> None:
    """The gate: proposals of other engines and bots through every rule."""


@pm_app.command()
def decide(
    file: Annotated[
        str, typer.Argument(help="One request or a list of them, JSON; - is standard input.")
    ] = "-",
    stateless: Annotated[
        bool,
        typer.Option(
            "--stateless", help="Read and write nothing but the configuration; without state: no past."
        ),
    ] = False,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Decide a proposal. Exit 0 for every decision, a block included; 2 for a request that cannot be read."""
    with reporting(as_json, debug):
        data = _read(file)
        from regime_trading.pm import Gate

        with Gate(config, artifacts, stateless=stateless) as gate:
            answer = gate.decide(data)
        if as_json:
            many = isinstance(answer, list)
            told = [one.model_dump(mode="json") for one in (answer if isinstance(answer, list) else [answer])]
            print_json(told if many else told[0])
            return
        for one in answer if isinstance(answer, list) else [answer]:
            _show(one)


@pm_app.command()
def liveness(
    account: Annotated[
        str | None, typer.Option("--account", help="Only this one: firm/account or account.")
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN_ID", help="Counts of this run or backtest [the newest backtest]."),
    ] = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Whether every rule of every account is alive: evaluated, bound, when last, and whether it ever can."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.liveness import guard_liveness

        found = guard_liveness(config, artifacts, account, run)
        if as_json:
            print_json(found.answer())
            return
        from regime_trading.cli.liveness import show_liveness

        show_liveness(found)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise BadInput(expected="a readable file", found=str(error.strerror), where=file) from error


def _show(decision: PMDecision) -> None:
    """One decision for a person: what, why, and what to do now."""
    before, after = decision.trading_state_before.name, decision.trading_state_after.name
    mode = after if before == after else f"{before} to {after}"
    equity = "not known" if decision.equity is None else f"{decision.equity:,.2f}"
    out.print(f"{decision.account}: {decision.outcome.value}, {mode}, equity {equity}", soft_wrap=True)
    out.print(escape(f"  {decision.rationale}"), soft_wrap=True)
    if decision.release is not None:
        held = ", ".join(decision.release.latches)
        out.print(f"  Held by {held}; released by {decision.release.kind.name}.", soft_wrap=True)
    if decision.targets:
        out.print(_targets(decision))
    for cancel in decision.cancels:
        out.print(f"  cancel {cancel.client_order_id or 'every entry'} in {cancel.symbol}", soft_wrap=True)
    for order in decision.orders:
        limit = "" if order.limit_price is None else f" at {order.limit_price.normalize():f} or better"
        said = f"  {order.intent} {_signed(order.qty)} {order.symbol}{limit}  {order.client_order_id}"
        out.print(said, soft_wrap=True)
    for owed in decision.owed:
        out.print(f"  owed {_signed(owed.qty)} {owed.symbol}: nobody may send it now", soft_wrap=True)
    if not (decision.cancels or decision.orders or decision.owed):
        out.print("  nothing to send")
    out.print(f"  decision {decision.decision_id}", soft_wrap=True)


def _targets(decision: PMDecision) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("  symbol")
    for title in ("asked", "now", "target", "step"):
        table.add_column(title, justify="right")
    table.add_column("limited by")
    for target in decision.targets:
        table.add_row(
            f"  {target.symbol}",
            *(f"{100 * weight:.2f} %" for weight in (target.proposed_w, target.current_w, target.target_w)),
            _signed(target.step_qty),
            ", ".join(target.limiting_rules) or "-",
        )
    return table


def _signed(qty: Decimal) -> str:
    return "0" if qty == 0 else f"{qty.normalize():+f}"
