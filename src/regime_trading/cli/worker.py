"""``regime worker``: does what was queued."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from regime_trading.cli.common import Artifacts, Config, Debug, err, reporting


def worker(
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=64, help="Jobs at a time.")] = 1,
    of_firm: Annotated[
        int, typer.Option("--of-firm", min=1, max=64, help="Jobs of one firm at a time, over all workers.")
    ] = 2,
    once: Annotated[bool, typer.Option("--once", help="Do what waits, then end.")] = False,
    notify: Annotated[
        bool, typer.Option("--notify", help="Also send notices (REGIME_NOTIFY_<FIRM>, REGIME_DEADMAN_URL).")
    ] = False,
    artifacts: Artifacts = None,
    config: Config = None,
    debug: Debug = False,
) -> None:
    """Take jobs from the queue, do each in a process of its own, and queue what is scheduled, until interrupted."""
    with reporting(False, debug):
        from regime_trading.bootstrap.worker import WorkerSettings, open_worker

        settings = WorkerSettings(slots=jobs, max_of_firm=of_firm)
        with open_worker(artifacts, config, settings, _say, notify) as opened:
            if once:
                opened.drain()
                return
            ended = threading.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: ended.set())
            opened.start()
            _say(f"worker {opened.name} takes jobs; Ctrl-C gives back what is at work and ends it")
            while not ended.wait(1.0):
                pass
            opened.stop()


def _say(text: str) -> None:
    err.print(f"regime: {text}", markup=False, soft_wrap=True)
