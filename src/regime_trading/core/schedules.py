"""Slots of a cadence: every n-th session of an exchange, at its close, whatever the clocks of the zone do.

Sessions are counted from the first one of the calendar, so that every process finds the same slots without being told.
"""

from __future__ import annotations

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import I8


def due_slots(cadence_sessions: int, closes_ns: I8, after_ns: int, now_ns: int) -> tuple[int, ...]:
    """Slots in (after, now], ascending, UTC nanoseconds.

    Parameters
    ----------
    cadence_sessions : int
        Sessions between two slots.
    closes_ns : int64 [S]
        Closes of the calendar's sessions from its first one on, ascending; half-days and daylight saving are in them.
    after_ns, now_ns : int
        UTC nanoseconds.

    Raises
    ------
    BadInput
        A cadence below 1.
    """
    if cadence_sessions < 1:
        raise BadInput(
            expected="a cadence of 1 session or more", found=str(cadence_sessions), where="cadence"
        )
    slots = closes_ns[::cadence_sessions]
    return tuple(slots[(slots > after_ns) & (slots <= now_ns)].tolist())
