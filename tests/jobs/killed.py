"""A process of a job that is killed at its first attempt while it writes a bundle: where ``killed_at`` says."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from regime_trading.adapters import exports
from regime_trading.adapters.job_channel import Tell, serve
from regime_trading.bootstrap import job_process


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(where: str) -> None:
    """From now on this process ends at that step of writing a bundle."""
    if where == "fsync":
        exports.os.fsync = die  # type: ignore[attr-defined]
    elif where == "rename":
        exports.Path.replace = die  # type: ignore[method-assign]
    else:
        exports.sync = die  # type: ignore[assignment]


def act(ask: dict[str, Any], tell: Tell) -> Any:
    if ask["job"]["attempt"] == 1:
        arm((Path(ask["artifacts"]) / "killed_at").read_text())
    return job_process._act(ask, tell)


if __name__ == "__main__":
    serve(act)
