"""Halts that people set, brought into a decision: levels into the states, waiting entries out of the orders. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from regime_trading.core.controls import UNKNOWN, Halt
from regime_trading.core.numbers import B1, I8
from regime_trading.core.rules import LATCHING_RULES, Release
from regime_trading.engine.cycle import Carried, Released
from regime_trading.guards.drawdown import release_latch
from regime_trading.guards.external import kill_level
from regime_trading.guards.snapshot import NO_LATCH, States

KILL = LATCHING_RULES.index("LD-15")


def impose(states: States, halts: Sequence[Halt]) -> tuple[States, tuple[Released, ...]]:
    """States under what is in force for each account, before they are decided, and the kills that people have ended.

    A level only ever rises here but for one case: nothing in force asks for the level that an account holds, and a
    control of that level or a higher one was ended. A level that cannot be told is ``UNKNOWN`` for this one decision,
    unless the account holds one anyway.

    Parameters
    ----------
    states : States
    halts : sequence of Halt
        One an account, in the order of the rows.
    """
    asked: I8 = np.array([halt.level for halt in halts], dtype=np.int64)
    lifted: I8 = np.array([halt.lifted for halt in halts], dtype=np.int64)
    held = kill_level(states)
    ended: B1 = (asked >= 0) & (held > asked) & (held <= lifted)
    released = []
    for row in np.flatnonzero(ended).tolist():
        if states.latch_kind[row, KILL] > NO_LATCH:
            kind = Release(int(states.latch_kind[row, KILL]))
            released.append(Released(row, LATCHING_RULES[KILL], kind, by_operator=False, by_person=True))
        states = release_latch(states, row, KILL, 0)
    level = np.where(ended, asked, np.maximum(asked, held))
    level = np.where((asked == UNKNOWN) & (held == 0), UNKNOWN, level)
    return replace(states, kill_level=level.astype(np.int8)), tuple(released)


def halted(halts: Sequence[Halt]) -> B1:
    """Accounts for which nothing may open, bool [A]."""
    return np.array([halt.level != 0 for halt in halts], dtype=np.bool_)


def without_entries(carried: Carried, stopped: B1) -> Carried:
    """What waits for this bar, without the opening legs of the marked accounts; closing legs stay."""
    orders, qty = carried.orders, carried.positions.qty
    closing = np.where(orders * qty < 0, np.sign(orders) * np.minimum(np.abs(orders), np.abs(qty)), 0.0)
    return replace(carried, orders=np.where(stopped[:, None], closing, orders))
