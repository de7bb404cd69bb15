"""``/propose …``: a draft with weights that a run proposed or left. Whoever may submits it as a run of its own."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from regime_trading.core.access import Answer
from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import Conflict, NotThere, Refused
from regime_trading.core.events import refusal
from regime_trading.core.proposals import Content
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.executors.looking import in_person, looked_again, require_known
from regime_trading.services.views.base import Asker
from regime_trading.services.views.weights import left_weights, proposed_weights


@dataclass(frozen=True, slots=True)
class Proposing:
    """A draft for one account: of a ``basket``, what a run proposed for it; else what a run left the account with."""

    deps: ExecutorDeps
    basket: bool

    def simulate(self, command: Command, context: Context) -> Effects:
        """Which weights, from which run."""
        require_known(context, command, self.deps.profiles(context.firm_id))
        run_id, content = self._content(command, context)
        gross = sum(abs(weight) for weight in content.weights.values())
        said = f"A draft of {len(content.weights)} weights, gross {gross * 100:.1f} %, for {context.account}."
        return Effects(
            Direction.NEUTRAL,
            (said,),
            unchanged=("Nothing is traded: a draft is submitted by whoever may.",),
            base_version=f"{run_id}.{content.content_hash}",
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        """Keep the draft; under the same key it is one."""
        effects, _ = looked_again(self, self.deps.desk(), command, context)
        run_id, content = self._content(command, context)
        if f"{run_id}.{content.content_hash}" != effects.base_version:
            raise Conflict("base_version", "another run was made while it was looked at")
        made = self.deps.proposals.draft(context.firm_id, content, context.actor, context.key)
        data: dict[str, JsonValue] = {
            "proposal_id": made.proposal_id,
            "status": made.status.value,
            "route": f"/basket/{made.proposal_id}",
        }
        return Outcome(f"Proposal {made.proposal_id} is a draft.", data)

    def _content(self, command: Command, context: Context) -> tuple[str, Content]:
        name = command.text("name")
        run_id = command.text("from") if command.values("from") else ""
        sources, asker = self.deps.sources(context.firm_id), Asker(in_person(context), context.now_ns)
        try:
            found, weights = (
                proposed_weights(sources, asker, name, run_id)
                if self.basket
                else left_weights(sources, asker, context.account, run_id)
            )
        except NotThere as error:
            error.firm_id = context.firm_id
            raise Refused(Answer.UNKNOWN, f"to use {command.name}", error) from error
        try:
            return found, Content(
                name=name,
                basket=name if self.basket else None,
                accounts=(context.account,),
                note=f"from {found}",
                weights=weights.weights,
            )
        except ValidationError as error:
            raise refusal(error, command.name) from error
