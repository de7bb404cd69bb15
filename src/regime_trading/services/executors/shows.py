"""``/show …``: where something is shown. What is shown there is asked for there, by whoever may read it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command
from regime_trading.core.config_diff import Direction

#: By object: the page, with keys of the command in braces.
ROUTES = {
    "constraints": "/constraints",
    "portfolio": "/portfolio",
    "regime": "/regimes",
    "run": "/runs/{id}",
    "audit": "/audit",
    "rl": "/rl",
    "artifact": "/runs/{id}",
}


@dataclass(frozen=True, slots=True)
class Showing:
    """A page, and the keys that choose what is on it. Whether an id is there is told by the page, not here."""

    route: str

    def simulate(self, command: Command, context: Context) -> Effects:
        """Changes nothing."""
        return Effects(Direction.NEUTRAL, ())

    def execute(self, command: Command, context: Context) -> Outcome:
        """The route, the account in full, and what else was said."""
        said = {pair.key: [value.text for value in pair.values] for pair in command.pairs}
        ids: dict[str, JsonValue] = {
            key: values[0] if len(values) == 1 else list(values) for key, values in said.items()
        }
        route = self.route.format(**ids)
        return Outcome(route, {"route": route} | ids | dict.fromkeys(command.flags, True))
