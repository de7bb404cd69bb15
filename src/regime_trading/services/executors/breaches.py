"""``/ack breach``: somebody says that they have seen a breach. Nothing of it changes; it is an entry of the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import Conflict
from regime_trading.core.event_payloads import BreachAcknowledged
from regime_trading.core.instants import instant_text
from regime_trading.core.recorded import Recorded
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.core.schemas import AuditEvent, Receipt
from regime_trading.services.acts import Act, place_of_firm, record_acts
from regime_trading.services.breaches import Acknowledgement
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.executors.looking import looked_again, not_seen, require_known
from regime_trading.services.views.breaches import acknowledged_of, breach_named, breaches_in, said_id

_STAYS = (
    "No limit moves, no lock and no halt ends; positions and orders stay as they are.",
    "The rule goes on as before, until it holds again and whatever it locked is released.",
)


@dataclass(frozen=True, slots=True)
class Acknowledging:
    """One breach is seen: the one that is named, else the newest of the rule that nobody has acknowledged."""

    deps: ExecutorDeps

    def simulate(self, command: Command, context: Context) -> Effects:
        """Which breach it is, and who was faster."""
        breach, seen = self._breach(command, context)
        rule_id, at = command.text("rule"), instant_text(breach.ts_event_ns)
        named = f"{rule_id} {RULE_BY_ID[rule_id].title}"
        return Effects(
            direction=Direction.NEUTRAL,
            effects=(f"The breach of {named} by {context.account} at {at} is recorded as seen.",),
            unchanged=_STAYS,
            undo="It cannot be taken back: the record keeps it.",
            base_version=said_id(breach),
            blocking=() if seen is None else (_by(seen),),
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        """Record it, once for each breach: whoever comes second finds who was first."""
        looked_again(self, self.deps.desk(), command, context)
        breach, _ = self._breach(command, context)
        said = BreachAcknowledged(
            account=context.account,
            breach_id=said_id(breach),
            breach_chain=breach.chain_id,
            breach_seq=breach.seq,
            reason=context.reason or command.text("reason"),
        )
        acts = self.deps.acts()

        def commit(events: Sequence[AuditEvent]) -> Receipt:
            # events follow the head of the chain: what is acknowledged after this look takes their place
            if seen := self._seen(context, breach):
                raise Conflict("acknowledged", _by(seen))
            return acts.audit(context.firm_id).append(events)[0]

        act = Act(said, actor=context.actor, rule_id=command.text("rule"), causation_id=said.breach_id)
        record_acts(acts, place_of_firm(context.firm_id), (act,), commit)
        told = f"The breach of {command.text('rule')} by {context.account} is recorded as seen by you."
        return Outcome(told, {"breach_id": said.breach_id, "route": "/constraints"})

    def _breach(self, command: Command, context: Context) -> tuple[Recorded, Acknowledgement | None]:
        """The breach that is meant, and who has acknowledged it."""
        sources = self.deps.sources(context.firm_id)
        require_known(context, command, sources.standings)
        rule_id, named = command.text("rule"), command.text("breach")
        if rule_id not in RULE_BY_ID:
            raise not_seen(context, command, "rule", rule_id)
        if named:
            breach = breach_named(sources, context.account, rule_id, named)
            if breach is None:
                raise not_seen(context, command, "breach", named)
            return breach, self._seen(context, breach)
        found = breaches_in(sources, context.account, rule_id)
        if not found:
            raise not_seen(context, command, "breach", "")
        seen = acknowledged_of(sources, context.account, rule_id)
        open_ = (one for one in found if (one.chain_id, one.seq) not in seen)
        breach = next(open_, found[0])
        return breach, seen.get((breach.chain_id, breach.seq))

    def _seen(self, context: Context, breach: Recorded) -> Acknowledgement | None:
        sources = self.deps.sources(context.firm_id)
        seen = acknowledged_of(sources, context.account, breach_id=said_id(breach))
        return seen.get((breach.chain_id, breach.seq))


def _by(seen: Acknowledgement) -> str:
    return f"acknowledged already, by {seen.by} at {instant_text(seen.at_ns)}"
