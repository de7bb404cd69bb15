"""What the catalogue says of a command: keys, permission, class, kill level and the REST call it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from regime_trading.core.access import Permission
from regime_trading.core.commands.values import Type


class Klass(StrEnum):
    """Class of a command: what its effect does, and with it what it takes (``core.commands.policy``)."""

    LOCAL = "local"  #: changes nothing but the screen
    READ = "read"
    RUN = "run"
    PROPOSE = "propose"
    TIGHTEN = "tighten"
    NEUTRAL = "neutral"
    LOOSEN = "loosen"
    LIVE = "live"
    MONEY = "money"


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key of a command.

    Parameters
    ----------
    name : str
    type : Type
    required : bool
    source : str
        Where candidates come from when it is completed; empty = from ``choices`` or nowhere.
    choices : tuple of str
        Everything it may be, of ``Type.CHOICE``.
    many : bool
        It takes a list.
    """

    name: str
    type: Type
    required: bool = False
    source: str = ""
    choices: tuple[str, ...] = ()
    many: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """The REST call a command stands for: method, path template and the keys that travel in its body.

    Names in braces are keys; ``{firm}`` and ``{account}`` are the two halves of an account's full name. What has no
    call of its own goes through a preview.
    """

    method: str
    path: str
    body: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command.

    Parameters
    ----------
    verb : str
    object : str
        Empty where the command takes a free object (``takes``), or none.
    help : str
        One line.
    klass : Klass
        Before its effect is known; where ``computed``, the effect alone decides.
    permission : Permission, optional
        What it takes at least; None = to be logged in. A computed class may ask for another one.
    keys : tuple of KeySpec
    call : Call, optional
        None = the screen does it by itself.
    takes : KeySpec, optional
        The free object.
    open_keys : bool
        Any dotted key of a configuration is taken beside ``keys``, and at least one is needed.
    flags : tuple of str
    computed : bool
    kill : str
        Kill level it uses; empty = none.
    default : bool
        Meant where the object is left out.
    itself_second : bool
        It is the other person's act, and does not ask for one more.
    not_built : str
        Why it is refused whatever is asked; empty = it is not.
    internal : bool
        What a request stands for that no command made. Nobody is offered it, and whoever types it is refused.
    """

    verb: str
    object: str
    help: str
    klass: Klass
    permission: Permission | None = Permission.READ
    keys: tuple[KeySpec, ...] = ()
    call: Call | None = None
    takes: KeySpec | None = None
    open_keys: bool = False
    flags: tuple[str, ...] = ()
    computed: bool = False
    kill: str = ""
    default: bool = False
    itself_second: bool = False
    not_built: str = ""
    internal: bool = False

    @property
    def name(self) -> str:
        """As it is typed: ``/halt account``."""
        return f"/{self.verb} {self.object}".rstrip()

    def key(self, name: str) -> KeySpec | None:
        """Its key of that name; a dotted one where those are open."""
        found = next((key for key in self.keys if key.name == name), None)
        if found is None and self.open_keys and "." in name:
            return KeySpec(name, Type.LIMIT, many=True)
        return found
