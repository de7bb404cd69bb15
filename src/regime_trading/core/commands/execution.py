"""What a command does: the effects it would have, and how it is carried out. One executor per command.

Whoever builds a part of the product gives its executors to ``bootstrap``; nothing else reaches them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import JsonValue

from regime_trading.core.access import Permission, Principal
from regime_trading.core.approvals import ApprovalKind
from regime_trading.core.canonical import content_hash
from regime_trading.core.commands.grammar import Command
from regime_trading.core.config_diff import Direction
from regime_trading.core.schemas import ActorType, Mode


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks for a command, over what, and when.

    Parameters
    ----------
    principal : Principal
        Whoever asked for it (also where others had to agree), as their grants are now.
    actor : (ActorType, str)
        The same in the record: a pseudonym of the firm.
    firm_id : str
    account : str
        Full name of the account it is about; empty = the firm, or nothing in particular.
    mode : Mode, optional
        Of the account; None where there is none, or it is not known.
    now_ns : int
        UTC nanoseconds.
    reason : str
        Given with the confirmation; empty in a simulation.
    key : str
        The same for every attempt to carry out this one command, and for no other: an executor may use it as the key
        of what it writes. Empty in a simulation.
    approved_by : tuple of str
        Pseudonyms of the people who agreed; empty where nobody had to.
    """

    principal: Principal
    actor: tuple[ActorType, str]
    firm_id: str
    account: str
    mode: Mode | None
    now_ns: int
    reason: str = ""
    key: str = ""
    approved_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Effects:
    """What a command would do now. Two simulations of an unchanged world are equal: no time, no random name.

    Parameters
    ----------
    direction : Direction
        What it does to the risk that may be taken.
    effects : tuple of str
        What changes, one plain sentence each; what loosens first.
    unchanged : tuple of str
        What somebody might think changes, and does not.
    undo : str
        How to take it back; empty where there is nothing to.
    diff : str
        Before and after as text lines; empty where there is none.
    base_version : str
        Names the state of the world it is based on (a version, a hash). What is executed must find the same.
    config_hash : str
        Configuration of the account it is based on; empty where it has nothing to do with one.
    blocking : tuple of str
        Why it cannot be done; anything here refuses it.
    warnings : tuple of str
        What should be known first. May change from one look to the next.
    permission : Permission, optional
        What it takes beside the permission of its row in the catalogue, now that its effect is known.
    kind : ApprovalKind
        What sort of request it is, where others must agree.
    account : str
        Full name of the account it is about, where the command names it by an id only. The executor has made sure
        that the principal may read it.
    others : int
        Other people it takes at least, where it is unsafe and those are more than its class asks for.
    """

    direction: Direction
    effects: tuple[str, ...]
    unchanged: tuple[str, ...] = ()
    undo: str = ""
    diff: str = ""
    base_version: str = ""
    config_hash: str = ""
    blocking: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    permission: Permission | None = None
    kind: ApprovalKind = ApprovalKind.CUSTOM
    account: str = ""
    others: int = 0

    @property
    def effects_hash(self) -> str:
        """SHA-256 of everything that must still be the same when it is carried out; warnings are not."""
        return content_hash(self.plain())

    def plain(self) -> dict[str, Any]:
        """As JSON values, warnings left out."""
        return {
            "direction": self.direction.value,
            "effects": list(self.effects),
            "unchanged": list(self.unchanged),
            "undo": self.undo,
            "diff": self.diff,
            "base_version": self.base_version,
            "config_hash": self.config_hash,
            "blocking": list(self.blocking),
            "kind": self.kind.value,
            "account": self.account,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done: one sentence, and what a screen needs to go on (ids, a route)."""

    said: str
    data: Mapping[str, JsonValue] = field(default_factory=dict)


class Executor(Protocol):
    """Carries out one command of the catalogue."""

    def simulate(self, command: Command, context: Context) -> Effects:
        """What it would do now. Changes nothing; asked again before execution, and before others agree.

        Raises ``BadInput`` where the command asks for what cannot be, and ``Refused`` (``UNKNOWN``) where it names by
        an id what is not there, or what the principal may not read: the two look the same.
        """
        ...

    def execute(self, command: Command, context: Context) -> Outcome:
        """Do it, in one transaction with its entries and messages.

        Called at most once per ``context.key``; checks by itself, in its transaction, that the state it changes is
        still the one that ``simulate`` saw, and raises ``Conflict`` where it is not. Whatever it raises, nothing was
        done.
        """
        ...


Executors = Mapping[tuple[str, str], Executor]  #: by verb and object; ``("go", "")`` where the object is free
