"""What every command shares: its options, one sentence per error, a progress bar, machine output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from regime_trading.core.errors import RegimeError

if TYPE_CHECKING:
    from regime_trading.bootstrap.app import App

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


@contextmanager
def opened_app(
    artifacts: Path | None, config: Path | None, as_json: bool, keep_valid: bool = False
) -> Iterator[App]:
    """The application, with a progress bar where somebody can see it; with ``keep_valid`` a problem of one firm stops
    that firm only, and each of its accounts is named on stderr."""
    from regime_trading.bootstrap.app import open_app

    bar = err.is_terminal and not as_json
    with open_app(artifacts=artifacts, config=config, bar=bar, keep_valid=keep_valid) as opened:
        for one in opened.refused:
            how = "is not decided" if one.profile is None else "is decided under its last good configuration"
            said = f"{one.account} {how}, config_status {one.status.value}, {one.least_state.name}: {one.why}"
            err.print(escape(said), soft_wrap=True)
        yield opened


@contextmanager
def steps(as_json: bool) -> Iterator[Callable[[str, int, int], None] | None]:
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
