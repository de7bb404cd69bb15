"""Halts that people set: levels, who may set them, and what is in force for an account (``risk.md`` 5.3).

A control covers one account or a whole firm, and holds until a person ends it: no restart, reload or new version does.
Beside the database there are flags, files that anybody at the machine can lay down; whichever is stricter counts. What
cannot be read is not "none": the account may then only reduce.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from regime_trading.core.access import Answer, Permission
from regime_trading.core.errors import RegimeError

LOCAL = "service:local"  #: who is recorded where somebody at the machine acted without a login
UNKNOWN = -1  #: whether anybody has halted the account cannot be told


class Level(IntEnum):
    """How much a halt stops, each level all of those before it."""

    K1 = 1  #: nothing that adds risk; entries are cancelled
    K2 = 2  #: every working entry is cancelled, known or not
    K3 = 3  #: everything is sold, and the account stays locked


@dataclass(frozen=True, slots=True)
class NewControl:
    """A halt that is about to be set.

    Parameters
    ----------
    firm_id : str
    account : str
        Full name; empty = every account of the firm.
    level : Level
    set_ns : int
        When it was asked for, UTC nanoseconds.
    set_by : str
        Pseudonym of a person, or ``service:local``.
    reason : str
    flag : str
        Digest of the flag that it was adopted from; empty where it was set in the database.
    """

    firm_id: str
    account: str
    level: Level
    set_ns: int
    set_by: str
    reason: str
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Control(NewControl):
    """A halt as it is stored; ``control_no`` counts per firm. ``cleared_ns`` None = it is in force."""

    control_no: int = 0
    cleared_ns: int | None = None
    cleared_by: str = ""
    approval_id: str = ""

    @property
    def scope(self) -> str:
        """What it covers: the account, or the firm."""
        return self.account or self.firm_id

    def covers(self, account: str) -> bool:
        """Whether it is about an account (full name)."""
        return covers(self.firm_id, self.account, account)


@dataclass(frozen=True, slots=True)
class Clearing:
    """The end of a halt: when, by whom, and the approval it was agreed to by (empty in dry runs)."""

    cleared_ns: int
    cleared_by: str
    approval_id: str = ""


@dataclass(frozen=True, slots=True)
class Flag:
    """A halt as a file; ``digest`` tells it from every other one.

    A file that cannot be understood is a halt too, of its scope and level K1 (``touch`` is enough in an emergency).
    """

    firm_id: str
    account: str
    level: Level
    set_ns: int
    reason: str
    digest: str


@dataclass(frozen=True, slots=True)
class Effect:
    """The first decision of an account that carried a control.

    Parameters
    ----------
    control_no : int
    account : str
    decision_id : str
    as_of_ns, effective_ns : int
        Time of the decision in the market's time, and when it was durable by the clock.
    positions : int
        Positions that were held then.
    cancelled : int
        Waiting entries that it cancelled.
    flat_ns : int, optional
        When the account was seen flat first, by the clock; None = not yet, or nobody asked for that.
    """

    control_no: int
    account: str
    decision_id: str
    as_of_ns: int
    effective_ns: int
    positions: int
    cancelled: int = 0
    flat_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """What is in force for one account.

    Parameters
    ----------
    level : int
        0 to 3; ``UNKNOWN`` where it cannot be told.
    lifted : int
        The highest level that was in force once and that people have ended; an engine that still holds a level up to
        this one lets go of it where nothing in force asks for it.
    reason, set_by : str
        Of the strictest control; empty where there is none.
    set_ns : int, optional
    """

    level: int = 0
    lifted: int = 0
    reason: str = ""
    set_by: str = ""
    set_ns: int | None = None


NO_HALT = Halt()
InForce = Callable[
    [Sequence[str]], Mapping[str, Halt]
]  #: what is in force for accounts, by full name; never raises
NOT_KNOWN = Halt(UNKNOWN, reason="the controls cannot be read")


class HaltDenied(RegimeError):
    """Somebody may not set or end a halt; ``answer`` says what is missing."""

    def __init__(self, answer: Answer, what: str) -> None:
        self.answer = answer
        super().__init__(f"{what}: {answer.value}")


def nobody_halts(accounts: Sequence[str]) -> dict[str, Halt]:
    """What is in force where nothing is stored."""
    return dict.fromkeys(accounts, NO_HALT)


def covers(firm_id: str, scope: str, account: str) -> bool:
    """Whether a scope (an account, or empty = the firm) is about an account."""
    return account.split("/")[0] == firm_id and scope in ("", account)


def permission(level: Level, account: str) -> Permission:
    """What it takes to set a level on an account, or on a firm where ``account`` is empty (contract 12)."""
    if not account:
        return Permission.KILL_FIRM
    return Permission.HALT if level is Level.K1 else Permission.KILL


def halt_of(account: str, controls: Iterable[Control] | None, flags: Iterable[Flag] | None) -> Halt:
    """What is in force for an account: the strictest of controls and flags; the oldest of equals names the reason.

    None = cannot be read. What is known then still counts: a level that is there is stricter than not knowing.
    """
    mine = [one for one in controls or () if one.covers(account)]
    adopted = {one.flag for one in mine if one.flag}
    own = [f for f in flags or () if covers(f.firm_id, f.account, account) and f.digest not in adopted]
    standing = [(one.level, -one.set_ns, one.reason, one.set_by) for one in mine if one.cleared_ns is None]
    standing += [(flag.level, -flag.set_ns, flag.reason, LOCAL) for flag in own]
    lifted = max((int(one.level) for one in mine if one.cleared_ns is not None), default=0)
    if not standing:
        return NOT_KNOWN if controls is None or flags is None else Halt(0, lifted)
    level, set_ns, reason, set_by = max(standing)
    return Halt(int(level), lifted, reason, set_by, -set_ns)


@dataclass(frozen=True, slots=True)
class HaltStatus:
    """How far a halt of an account has come, as a person is told; never "done" before it is.

    Parameters
    ----------
    account : str
    level : int
        In force now; ``UNKNOWN`` where it cannot be told.
    reason, set_by : str
    since_ns : int, optional
    effect : Effect, optional
        The first decision that carried it; None = not in effect yet, or nothing in force.
    left : tuple of str
        Symbols that are still held.
    of : int
        Positions that were held when it took effect.
    """

    account: str
    level: int
    reason: str = ""
    set_by: str = ""
    since_ns: int | None = None
    effect: Effect | None = None
    left: tuple[str, ...] = ()
    of: int = 0

    @property
    def flat(self) -> bool:
        """Whether nothing is held."""
        return not self.left

    @property
    def text(self) -> str:
        """One line: the level, whether it is in effect, and of a flatten what is left of it."""
        if self.level == 0:
            return "no halt"
        name = "UNKNOWN, only what reduces" if self.level == UNKNOWN else f"K{self.level}"
        if self.level > 0 and self.effect is None:
            name += ", not in effect yet"
        if self.level < Level.K3:
            return name
        return (
            f"{name}, FLAT"
            if self.flat
            else f"{name}, NOT FLAT: {len(self.left)} of {max(self.of, len(self.left))}"
        )
