"""``/live …``: up the ladder is refused with every reason, since nobody has passed its gate; down only tightens."""

from __future__ import annotations

from dataclasses import dataclass

from regime_trading.core.approvals import ApprovalKind
from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import Conflict
from regime_trading.core.ladder import reasons_against
from regime_trading.core.schemas import Mode
from regime_trading.services.config_commands import Simulated, simulate_config_set
from regime_trading.services.config_versions import ConfigService
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.executors.looking import require_known

_MEANS = {
    Mode.SHADOW: "would be decided on live data, and no order would leave",
    Mode.GATED_LIVE: "would send orders to a broker, within the budget of a canary",
}


@dataclass(frozen=True, slots=True)
class Climbing:
    """An account is moved up to ``target``; what stands against it is computed from the record each time."""

    deps: ExecutorDeps
    target: Mode

    def simulate(self, command: Command, context: Context) -> Effects:
        """What it would mean, and every reason why it is not done."""
        require_known(context, command, self.deps.halts.modes(context.firm_id))
        gate = self.deps.gate(context.account, context.mode)
        at = list(Mode)
        there = context.mode is not None and at.index(context.mode) >= at.index(self.target)
        blocking = (
            (f"{context.account} is in {context.mode} already",)
            if there
            else reasons_against(self.target, gate)
        )
        return Effects(
            direction=Direction.LOOSENS if self.target is Mode.GATED_LIVE else Direction.NEUTRAL,
            effects=(f"{context.account} {_MEANS[self.target]}.",),
            unchanged=("Halts, locks and limits stay as they are.",),
            undo=f"/live disable account:{context.account}",
            base_version="" if context.mode is None else context.mode.value,
            blocking=blocking,
            kind=ApprovalKind.MODE if self.target is Mode.GATED_LIVE else ApprovalKind.CUSTOM,
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        """Never done: no gate is passed without a feed.

        Raises
        ------
        Conflict
            ``blocked``, with every reason.
        """
        raise Conflict(
            "blocked", "; ".join(self.simulate(command, context).blocking) or "no gate leads there"
        )


def simulated_disable(service: ConfigService, command: Command, context: Context) -> Simulated:
    """``/live disable``: the account decides in dry runs only, from the next look at the configuration on."""
    return simulate_config_set(service, context.firm_id, context.account, {"mode": Mode.DRY_RUN.value})
