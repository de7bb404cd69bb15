"""Where progress events go: a bar on the terminal, lines on stderr, several places, or nowhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from regime_trading.core.ports import ProgressSink


class Silent:
    """Nowhere."""

    def emit(self, event: Mapping[str, Any]) -> None:
        """Drop the event."""


class Lines:
    """One line per finished or failed stage, for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def emit(self, event: Mapping[str, Any]) -> None:
        """Write ``run_id stage status detail`` of what finished or failed."""
        if event["status"] in ("finished", "failed"):
            words = (event["run_id"], event["stage"], event["status"], event.get("detail", ""))
            print(" ".join(str(word) for word in words if word), file=self._stream or sys.stderr)


class Bar:
    """One progress bar over ``total`` stages on stderr; the name of the running stage beside it.

    Use as a context manager: outside it the terminal is left alone.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=total)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def emit(self, event: Mapping[str, Any]) -> None:
        """Show the running stage; advance when one finishes."""
        name = str(event["stage"]).replace("_", " ")
        shown = f"{name} {event.get('detail') or ''}".strip()
        self._progress.update(
            self._task, description=shown, advance=1 if event["status"] == "finished" else 0
        )


class Fanout:
    """Every event to every sink, in order."""

    def __init__(self, sinks: Sequence[ProgressSink]) -> None:
        self._sinks = tuple(sinks)

    def emit(self, event: Mapping[str, Any]) -> None:
        """Pass the event on."""
        for sink in self._sinks:
            sink.emit(event)
