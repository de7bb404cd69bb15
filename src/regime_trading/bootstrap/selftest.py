"""The self-test at the start of a process: a rule that no longer fires stops everything before anything is decided."""

from __future__ import annotations

from functools import cache

from regime_trading.core.errors import RegimeError
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.guards.selftest import silent_rules


class SilentRules(RegimeError):
    """Rules that let pass what they must not; nothing was decided."""

    def __init__(self, rule_ids: tuple[str, ...]) -> None:
        self.rule_ids = rule_ids
        named = ", ".join(f"{rule_id} {RULE_BY_ID[rule_id].title}" for rule_id in rule_ids)
        super().__init__(
            f"self-test: expected every rule to fire on its own trigger, silent: {named}; nothing was decided"
        )


@cache
def require_live_rules() -> None:
    """Fire every rule once per process.

    Raises
    ------
    SilentRules
        Naming each rule that did not fire; at every call, for as long as that is so.
    """
    silent = silent_rules()
    if silent:
        raise SilentRules(silent)
