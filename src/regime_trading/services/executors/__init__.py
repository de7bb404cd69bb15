"""Executors of the commands that halt, configure, propose, run and show; others: ``services.command_executors``."""

from __future__ import annotations

from regime_trading.core.commands.execution import Executor, Executors
from regime_trading.core.controls import Level
from regime_trading.core.jobs import JobKind
from regime_trading.core.schemas import Mode
from regime_trading.services.executors.breaches import Acknowledging
from regime_trading.services.executors.configs import (
    Changing,
    Comparing,
    simulated_rollback,
    simulated_set,
    simulated_version,
)
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.executors.halts import Halting, Resuming
from regime_trading.services.executors.modes import Climbing, simulated_disable
from regime_trading.services.executors.overrides import Overriding
from regime_trading.services.executors.proposals import Proposing
from regime_trading.services.executors.releases import Releasing
from regime_trading.services.executors.runs import Cancelling, Reporting, Running
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
        ("resume", "firm"): Resuming(deps),
        ("live", "enable"): Climbing(deps, Mode.GATED_LIVE),
        ("live", "shadow"): Climbing(deps, Mode.SHADOW),
        ("live", "disable"): Changing(deps, simulated_disable),
        ("config", "set"): Changing(deps, simulated_set),
        ("config", "rollback"): Changing(deps, simulated_rollback),
        ("config", "apply"): Changing(deps, simulated_version),
        ("config", "diff"): comparing,
        ("show", "diff"): comparing,
        ("override", "rule"): Overriding(deps),
        ("ack", "breach"): Acknowledging(deps),
        ("propose", "basket"): Proposing(deps, basket=True),
        ("propose", "allocation"): Proposing(deps, basket=False),
        ("run", "regime"): Running(deps, JobKind.REGIME),
        ("run", "backtest"): Running(deps, JobKind.BACKTEST),
        ("run", "scan"): Running(deps, JobKind.SCAN),
        ("run", "report"): Reporting(deps),
        ("run", "shadow"): Running(deps, JobKind.RUN, quiet=True),
        ("cancel", "run"): Cancelling(deps),
        ("release", "run"): Releasing(deps),
        **{("show", noun): Showing(route) for noun, route in ROUTES.items()},
    }
    return found


__all__ = ["ExecutorDeps", "executors"]
