"""``regime``: the product in the terminal.

Machine output (``--json``) goes to stdout and nothing else does; progress and messages go to stderr. Exit codes:
0 done, 1 failed, 2 bad input or usage, 3 a check did not hold.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from regime_trading import __version__
from regime_trading.core.errors import BadInput, RegimeError

if TYPE_CHECKING:
    from regime_trading.bootstrap import App
    from regime_trading.services.runs import Ask, Finished, RunService

app = typer.Typer(
    help=__doc__.replace("``", "") if __doc__ else None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(
    help="The merged configuration: validate it, explain where a value comes from.", no_args_is_help=True
)
app.add_typer(config_app, name="config")

out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Machine output on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Artifacts = Annotated[
    Path | None, typer.Option("--artifacts", help="Output folder [REGIME_ARTIFACTS or ./artifacts].")
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="Folder with settings.yaml and traders.yaml [REGIME_CONFIG or ./config]."),
]
Accounts = Annotated[
    str | None, typer.Option("--accounts", help="Only these, separated by commas: firm/account or account.")
]


@contextmanager
def reporting(as_json: bool, debug: bool) -> Iterator[None]:
    """Turn an error into one sentence and its exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        _fail("interrupted", 1, as_json)
    except RegimeError as error:
        if debug:
            err.print_exception()
        _fail(str(error), error.exit_code, as_json)
    except Exception as error:
        if debug:
            err.print_exception()
        hint = "" if debug else " (--debug shows where)"
        _fail(f"unexpected {type(error).__name__}: {error}{hint}", 1, as_json)


def _fail(message: str, code: int, as_json: bool) -> None:
    err.print(f"regime: {escape(message)}", style="red" if err.is_terminal else None, soft_wrap=True)
    if as_json:
        print_json({"error": {"message": message, "exit_code": code}})
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
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
        str | None, typer.Option(metavar="RUN_ID", help="Continue a run that was stopped.")
    ] = None,
    accounts: Accounts = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """One pipeline run: data, features, tape, regime, proposal, every account's rules, decision, report."""
    with reporting(as_json, debug), _opened(artifacts, config, as_json) as opened:
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


@contextmanager
def _opened(artifacts: Path | None, config: Path | None, as_json: bool) -> Iterator[App]:
    """The application, with a progress bar where somebody can see it."""
    from regime_trading.bootstrap import open_app

    with open_app(artifacts=artifacts, config=config, bar=err.is_terminal and not as_json) as opened:
        yield opened


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
    out.print(f"Report: {folder / 'report.html'}", soft_wrap=True)


@app.command()
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
    with reporting(as_json, debug), _opened(artifacts, config, as_json) as opened:
        from regime_trading.bootstrap import split
        from regime_trading.services.backtest import BacktestRequest, run_backtest

        request = BacktestRequest(
            source=source,
            basket=basket,
            symbols=split(symbols) or None,
            proposals=None if proposals is None else opened.proposal_rows(proposals),
            first_day=_day(first, "--from"),
            last_day=_day(last, "--to"),
            accounts=split(accounts) or None,
        )
        with _steps(as_json) as progress:
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


@contextmanager
def _steps(as_json: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress bar per stage of a long computation, where somebody can see it."""
    if as_json or not err.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    shown: dict[str, TaskID] = {}
    with Progress(
        TextColumn("{task.description:12}"), BarColumn(), TimeRemainingColumn(), console=err, transient=True
    ) as bar:

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in shown:
                shown[stage] = bar.add_task(stage, total=total)
            bar.update(shown[stage], completed=done, total=total)

        yield tell


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


def main() -> None:
    """Entry point of the command ``regime``."""
    app()
