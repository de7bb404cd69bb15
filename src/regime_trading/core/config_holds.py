"""A loosening takes effect at the next session: until then session overrides hold what was in force before.

They are made by the service itself, are in the record like any other override, and end with the session in which the
change was applied. What no override can hold (a parameter without a direction, a value that no file can say) makes the
whole change wait for the next session instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from regime_trading.core.config_diff import Direction, direction_of
from regime_trading.core.merging import stricter_or_equal
from regime_trading.core.overrides import MAX_TTL_NS, SessionOverride, session_boundary
from regime_trading.core.risk_layers import adapter
from regime_trading.core.rules import RULES
from regime_trading.core.schemas import Mode
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import TraderProfile, with_overrides

HOLDER = "service:config"  #: maker of these overrides; they take nobody's room


def session_end_ns(profile: TraderProfile, now_ns: int) -> int:
    """When the session of an account ends in which ``now_ns`` lies, UTC nanoseconds."""
    return session_boundary(profile.trading_day)(now_ns + 1)


def waits(old: TraderProfile, new: TraderProfile) -> bool:
    """Whether what this loosens has to wait for a session: a dry run has the time of its data, not of a clock."""
    return old.mode is not Mode.DRY_RUN or new.mode is not Mode.DRY_RUN


def holds(
    old: TraderProfile, new: TraderProfile, now_ns: int, reason: str
) -> tuple[SessionOverride, ...] | None:
    """Overrides that keep every risk parameter of ``new`` at least as strict as in ``old`` to the end of the session.

    None where overrides cannot do that.
    """
    expires_ns = min(session_end_ns(old, now_ns), now_ns + MAX_TTL_NS)
    made = []
    for spec in RULES:
        before, after = old.rules[spec.rule_id], new.rules[spec.rule_id]
        value = {
            name: adapter(spec.params, name).dump_python(a, mode="json")
            for name, a in before
            if direction_of(spec, name, a, getattr(after, name))[0] is Direction.LOOSENS
        }
        if None in value.values():
            return None
        if value:
            made.append(
                SessionOverride(
                    account=new.account,
                    path=f"risk.{spec.key}",
                    value=value,
                    reason=reason,
                    created_by=HOLDER,
                    created_at_ns=now_ns,
                    expires_at_ns=expires_ns,
                )
            )
    return tuple(made) if _held(old, new, made, now_ns) else None


def _held(old: TraderProfile, new: TraderProfile, made: Sequence[SessionOverride], now_ns: int) -> bool:
    """Whether ``new`` under these overrides is nowhere looser than ``old``."""
    try:
        tight = with_overrides(new, made, now_ns)
    except InvalidConfig:
        return False
    return all(
        stricter_or_equal(spec.params, name, getattr(tight.rules[spec.rule_id], name), value)
        for spec in RULES
        for name, value in old.rules[spec.rule_id]
    )
