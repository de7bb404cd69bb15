"""``/release run``: what the request of an account of a run stands for."""

from __future__ import annotations

from dataclasses import dataclass

from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command
from regime_trading.core.errors import Conflict
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.run_approvals import basket_effects


@dataclass(frozen=True, slots=True)
class Releasing:
    """An account's orders may leave. Nothing is changed but the request itself, which is the answer: the run goes on
    with it, in a process of its own, where it is looked at once more."""

    deps: ExecutorDeps

    def simulate(self, command: Command, context: Context) -> Effects:
        """Decide again, from the run's inputs, in the world as it is now.

        Raises
        ------
        Conflict
            ``drift``: it would be another decision, or another world; ``run``: it does not wait for this account.
        BadInput
            No such run, or it waits for nobody.
        """
        run_id, account = command.text("run"), command.text("account")
        looked = self.deps.look(run_id).get(account)
        if looked is None:
            raise Conflict("run", f"{run_id} does not wait for {account}")
        if looked.changed:
            raise Conflict("drift", f"{looked.changed} changed since {run_id} decided")
        return basket_effects(looked)

    def execute(self, command: Command, context: Context) -> Outcome:
        """Say so."""
        run_id, account = command.text("run"), command.text("account")
        return Outcome(
            f"The orders of {account} may leave: {run_id} goes on.", {"run_id": run_id, "route": "/runs"}
        )
