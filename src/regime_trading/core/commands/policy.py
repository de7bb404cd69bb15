"""What a command takes: from the direction of its effect to its class, and from its class to the steps before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from regime_trading.core.commands.spec import CommandSpec, Klass
from regime_trading.core.config_diff import Direction
from regime_trading.core.schemas import Mode

REASON_LENGTH = 10  #: characters of a reason at least, where one is needed


@dataclass(frozen=True, slots=True)
class Takes:
    """The steps before a command is executed.

    Parameters
    ----------
    confirm : bool
        Its preview must be confirmed.
    phrase : bool
        The full name of the account (or the firm) must be typed.
    reason : bool
        Ten characters at least.
    step_up : bool
        Identity must have been proved again within five minutes.
    second : bool
        Another person must agree.
    """

    confirm: bool = False
    phrase: bool = False
    reason: bool = False
    step_up: bool = False
    second: bool = False


_UNSAFE = Takes(confirm=True, phrase=True, reason=True, step_up=True, second=True)
_TAKES: Mapping[Klass, Takes] = MappingProxyType(
    {
        Klass.LOCAL: Takes(),
        Klass.READ: Takes(),
        Klass.RUN: Takes(),
        Klass.PROPOSE: Takes(confirm=True),
        Klass.TIGHTEN: Takes(confirm=True),
        Klass.NEUTRAL: Takes(confirm=True),
        Klass.LOOSEN: _UNSAFE,
        Klass.LIVE: _UNSAFE,
        Klass.MONEY: _UNSAFE,
    }
)
UNSAFE = frozenset(klass for klass, takes in _TAKES.items() if takes.second)
_OF_DIRECTION: Mapping[Direction, Klass] = MappingProxyType(
    {
        Direction.TIGHTENS: Klass.TIGHTEN,
        Direction.NEUTRAL: Klass.NEUTRAL,
        Direction.LOOSENS: Klass.LOOSEN,
    }
)


def class_of(spec: CommandSpec, direction: Direction) -> Klass:
    """Class of a command whose effect is known. An effect never makes a class safer than the catalogue has it, but
    where the catalogue leaves it to the effect; what loosens is never anything safe."""
    if spec.computed:
        return _OF_DIRECTION[direction]
    return Klass.LOOSEN if direction is Direction.LOOSENS and spec.klass not in UNSAFE else spec.klass


def takes(klass: Klass, mode: Mode | None, *, itself_second: bool = False) -> Takes:
    """What a class takes where an account is in ``mode``, or every account of a firm (None = unknown, or they differ).

    A dry run may be loosened alone. Live modes always take two people, and so does everything unsafe in any other
    mode, an unknown one too. ``itself_second``: the act of the other person.
    """
    base = _TAKES[klass]
    alone = itself_second or (mode is Mode.DRY_RUN and klass is not Klass.LIVE)
    return Takes(base.confirm, base.phrase, base.reason, base.step_up, base.second and not alone)
