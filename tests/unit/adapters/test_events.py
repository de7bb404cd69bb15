from __future__ import annotations

import io

from rich.console import Console

from regime_trading.adapters.events import Bar, Fanout, Lines, Silent

EVENTS = [
    {"run_id": "r", "stage": "cross_asset", "status": "started", "detail": ""},
    {"run_id": "r", "stage": "cross_asset", "status": "finished", "detail": ""},
    {"run_id": "r", "stage": "regime", "status": "running", "detail": "1 of 2 series"},
    {"run_id": "r", "stage": "regime", "status": "failed", "detail": "why"},
]


def test_lines_tell_what_finished_and_what_failed() -> None:
    out = io.StringIO()
    sink = Lines(out)
    for event in EVENTS:
        sink.emit(event)
    assert out.getvalue().splitlines() == ["r cross_asset finished", "r regime failed why"]


def test_the_bar_advances_by_finished_stages() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Bar(2, console) as bar:
        for event in EVENTS:
            bar.emit(event)
        (task,) = bar._progress.tasks
    assert (task.completed, task.total, task.description) == (1, 2, "regime why")


def test_fanout_and_silence() -> None:
    out = io.StringIO()
    Fanout([Silent(), Lines(out), Lines(out)]).emit(EVENTS[1])
    assert out.getvalue().count("finished") == 2
