"""``regime run`` and ``regime backtest``."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import (
    Accounts,
    Artifacts,
    Config,
    Debug,
    Json,
    err,
    opened_app,
    out,
    print_json,
    reporting,
    steps,
)
from regime_trading.core.errors import BadInput

if TYPE_CHECKING:
    from regime_trading.services.runs import Ask, Finished, RunService


WAITS = 4  #: exit status of a run that waits for people


def run(
    basket: Annotated[
        str | None, typer.Option(help="Only accounts that follow this basket (with all of their baskets).")
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(help="Every account follows these symbols, separated by commas, by risk parity."),
    ] = None,
    source: Annotated[str, typer.Option(help="bundled, or a Parquet or CSV file or folder.")] = "bundled",
    as_of: Annotated[
        str | None, typer.Option(help="Decide at the last bar up to this date or time [last complete bar].")
    ] = None,
    effort: Annotated[
        str, typer.Option(help="fast, or thorough: more second opinions on the regime.")
    ] = "fast",
    proposal: Annotated[
        Path | None, typer.Option(help="Your own weights (.json, .csv, .parquet) instead of the baskets'.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN_ID", help="Continue a run that was stopped, or that waited for people."),
    ] = None,
    accounts: Accounts = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """One pipeline run: data, features, tape, regime, proposal, every account's rules, decision, report.

    Ends with 4 where it waits for people: nothing has left, and --resume goes on once they have answered.
    """
    with reporting(as_json, debug), opened_app(artifacts, config, as_json, keep_valid=True) as opened:
        from regime_trading.services.runs import answer

        if resume is not None:
            finished = opened.runs.resume(resume)
        else:
            ask = opened.ask(source, basket, symbols, proposal, accounts, as_of, _effort(effort))
            finished = _carry_out(opened.runs, ask)
        folder = opened.run_folder(finished.state.request.run_id)
        told = answer(finished, str(folder))
        if as_json:
            print_json(told)
        else:
            _show_run(told, folder, finished)
        if finished.waits:
            raise typer.Exit(WAITS)


def _carry_out(runs: RunService, ask: Ask) -> Finished:
    """Run, and say how to go on where it stops half-way."""
    request = runs.request(ask)
    try:
        return runs.carry_out(request)
    except BaseException:
        if runs.can_resume(request.run_id):
            err.print(f"To continue: regime run --resume {request.run_id}", soft_wrap=True)
        raise


def _effort(text: str) -> Literal["fast", "thorough"]:
    if text == "fast":
        return "fast"
    if text == "thorough":
        return "thorough"
    raise BadInput(expected="fast or thorough", found=repr(text), where="--effort")


def _show_run(told: dict[str, Any], folder: Path, finished: Finished) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("account", "outcome", "trading state", "limited by"):
        table.add_column(title, no_wrap=title != "limited by")
    for item in told["accounts"]:
        table.add_row(
            item["account"],
            item["outcome"],
            item["trading_state"],
            ", ".join(item["binding_rules"]) or "no rule",
        )
    again = "" if finished.fresh else " (the identical run was there already; verified and re-used)"
    out.print(f"Run {told['run_id']} as of {told['as_of']}{again}", soft_wrap=True)
    for note in finished.state.request.notes:
        out.print(escape(note), soft_wrap=True)
    out.print(table)
    for one in told["waiting"]:
        out.print(f"{one['account']} waits for people: request {one['request_id']}", soft_wrap=True)
    if told["waiting"]:
        out.print(f"Nothing has left. To go on: regime run --resume {told['run_id']}", soft_wrap=True)
    else:
        out.print(f"Report: {folder / 'report.html'}", soft_wrap=True)


def backtest(
    basket: Annotated[
        str | None, typer.Option(help="Only this basket, for the accounts that list it.")
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(help="Every account follows these symbols, separated by commas, by risk parity."),
    ] = None,
    source: Annotated[str, typer.Option(help="bundled, or a Parquet or CSV file or folder.")] = "bundled",
    proposals: Annotated[
        Path | None,
        typer.Option(help="Your own weights over time (.csv, .parquet): ts_event, symbol, weight."),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First day decided [first of the source].")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day decided [last of the source].")] = None,
    accounts: Accounts = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Dry run over history for all accounts at once: audit log, RL dataset, report."""
    with reporting(as_json, debug), opened_app(artifacts, config, as_json) as opened:
        from regime_trading.bootstrap.app import split
        from regime_trading.services.backtest import run_backtest
        from regime_trading.services.backtest_plan import BacktestRequest

        request = BacktestRequest(
            source=source,
            basket=basket,
            symbols=split(symbols) or None,
            proposals=None if proposals is None else opened.proposal_rows(proposals),
            first_day=_day(first, "--from"),
            last_day=_day(last, "--to"),
            accounts=split(accounts) or None,
        )
        with steps(as_json) as progress:
            outcome = run_backtest(request, opened.backtest(), progress)
        folder = opened.run_folder(outcome.run_id)
        told = outcome.summary | {"path": str(folder)}
        if as_json:
            print_json(told)
        else:
            _show_backtest(told, folder, outcome.reused)


def _day(text: str | None, where: str) -> dt.date | None:
    if text is None:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(expected="a date such as 1998-01-02", found=repr(text), where=where) from error


def _show_backtest(told: dict[str, Any], folder: Path, reused: bool) -> None:
    again = " (the identical run was there already; verified and re-used)" if reused else ""
    days = f"{told['first'][:10]} to {told['last'][:10]}"
    out.print(f"Backtest {told['run_id']}, {days}, {told['bars']} bars{again}", soft_wrap=True)
    for note in told["notes"]:
        out.print(escape(note), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("account", no_wrap=True)
    for title in ("return p.a.", "volatility p.a.", "max drawdown", "turnover p.a.", "latches"):
        table.add_column(title, justify="right")
    table.add_column("attempts")
    for item in told["accounts"]:
        table.add_row(
            item["account"],
            *(_percent(item[name]) for name in ("return", "volatility", "max_drawdown")),
            "not known" if item["turnover"] is None else f"{item['turnover']:.1f}",
            str(item["latches"]),
            _attempts(item["attempts"]),
        )
    out.print(table)
    out.print(_bound(told["accounts"]), soft_wrap=True)
    out.print(f"Report: {folder / 'report.html'}", soft_wrap=True)


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{value * 100:.1f} %"


def _attempts(attempts: list[dict[str, Any]]) -> str:
    counts = Counter(attempt["result"] for attempt in attempts)
    return ", ".join(f"{n} {result}" for result, n in counts.most_common()) or "-"


def _bound(accounts: list[dict[str, Any]]) -> str:
    """Which rules bound most, over all accounts, as shares of the decisions they were evaluated in."""
    bound: Counter[str] = Counter()
    evaluated: Counter[str] = Counter()
    for item in accounts:
        for rule_id, counts in item["rules"].items():
            bound[rule_id] += counts["bound"]
            evaluated[rule_id] += counts["evaluated"]
    most = [(rule_id, n) for rule_id, n in bound.most_common(6) if n]
    told = ", ".join(f"{rule_id} {100 * n / evaluated[rule_id]:.1f} %" for rule_id, n in most)
    return f"Rules that bound most, in % of decisions: {told or 'none'}."
