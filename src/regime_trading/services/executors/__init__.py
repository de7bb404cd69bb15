"""Executors of the commands that halt, configure, run and show. Those of ``services.command_executors`` come beside.

``/propose …`` and ``/live …`` have none: nothing stores proposals or changes modes yet, and the desk says so.
"""

from __future__ import annotations

from regime_trading.core.commands.execution import Executor, Executors
from regime_trading.core.controls import Level
from regime_trading.core.jobs import JobKind
from regime_trading.services.executors.configs import (
    Changing,
    Comparing,
    simulated_rollback,
    simulated_set,
    simulated_version,
)
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.executors.halts import Halting, Resuming
from regime_trading.services.executors.overrides import Overriding
from regime_trading.services.executors.runs import Cancelling, Running
from regime_trading.services.executors.shows import ROUTES, Showing


def executors(deps: ExecutorDeps) -> Executors:
    """By verb and object, as :class:`~regime_trading.services.desk.Desk` takes them."""
    comparing = Comparing(deps)
    found: dict[tuple[str, str], Executor] = {
        ("halt", "account"): Halting(deps, Level.K1),
        ("halt", "firm"): Halting(deps, Level.K1),
        ("kill", "account"): Halting(deps, None),
        ("flatten", "account"): Halting(deps, Level.K3),
        ("resume", "account"): Resuming(deps),
        ("config", "set"): Changing(deps, simulated_set),
        ("config", "rollback"): Changing(deps, simulated_rollback),
        ("config", "apply"): Changing(deps, simulated_version),
        ("config", "diff"): comparing,
        ("show", "diff"): comparing,
        ("override", "rule"): Overriding(deps),
        ("run", "regime"): Running(deps, None),
        ("run", "backtest"): Running(deps, JobKind.BACKTEST),
        ("run", "scan"): Running(deps, JobKind.SCAN),
        ("run", "report"): Running(deps, JobKind.REPORT),
        ("run", "shadow"): Running(deps, JobKind.RUN, quiet=True),
        ("cancel", "run"): Cancelling(deps),
        **{("show", noun): Showing(route) for noun, route in ROUTES.items()},
    }
    return found


__all__ = ["ExecutorDeps", "executors"]
