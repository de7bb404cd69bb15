"""Halts as files: ``state/halt-<firm>.<account>.json`` for an account, ``state/halt-<firm>.json`` for a firm.

They need no database, and a flag is a flag whatever is in it: an empty or damaged file is a K1 of the scope in its
name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.disk import locked
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.controls import Flag, Level, NewControl
from regime_trading.core.errors import BadInput, NotDurable, StoreDown

FOLDER = "state"
_NAME = re.compile(r"halt-([a-z0-9-]{1,40})(?:\.([a-z0-9-]{1,40}))?\.json")
_UNREADABLE = "a flag file that cannot be understood"


class FlagFiles:
    """Flags of every firm in one artifacts folder.

    Parameters
    ----------
    root : Path
        The artifacts folder.
    """

    def __init__(self, root: Path) -> None:
        self._files = LocalArtifacts(root)

    def put(self, flag: NewControl) -> Flag:
        """Lay a flag down durably and return what is there then: one that is there already never gets weaker.

        Raises
        ------
        NotDurable
            The file system cannot write.
        """
        name = _name(flag.firm_id, flag.account)
        with self._alone():
            there = self._read(name) if self._files.exists(name) else None
            if there is not None and there.level >= flag.level:
                return there
            said = {"level": flag.level.name, "set_ns": str(flag.set_ns), "reason": flag.reason}
            self._files.write_bytes(name, orjson.dumps(said, option=orjson.OPT_INDENT_2))
            return self._read(name)

    def all(self) -> tuple[Flag, ...]:
        """Every flag, by name.

        Raises
        ------
        StoreDown
            The folder, or a flag in it, cannot be read.
        """
        try:
            names = [n for n in self._files.names(FOLDER) if _NAME.fullmatch(n.rpartition("/")[2])]
            return tuple(flag for name in names if (flag := self._found(name)) is not None)
        except (OSError, BadInput) as err:
            raise StoreDown(f"{self._files.root / FOLDER}: {err}") from err

    def lower(self, flag: Flag) -> None:
        """Take a flag away, if it is still that very one.

        Raises
        ------
        NotDurable
            The file system cannot remove it.
        """
        name = _name(flag.firm_id, flag.account)
        with self._alone():
            there = self._found(name)
            if there is not None and there.digest == flag.digest:
                self._files.remove(name)

    def _found(self, name: str) -> Flag | None:
        """A flag that is still there."""
        try:
            return self._read(name)
        except (BadInput, OSError):
            if self._files.exists(name):
                raise
            return None

    def _read(self, name: str) -> Flag:
        match = _NAME.fullmatch(name.rpartition("/")[2])
        assert match is not None
        firm, account = match[1], f"{match[1]}/{match[2]}" if match[2] else ""
        data = self._files.read_bytes(name)
        stamp = (self._files.root / name).stat().st_mtime_ns
        try:
            said = orjson.loads(data)
            level, set_ns, reason = Level[said["level"]], int(said["set_ns"]), str(said["reason"])
        except (ValueError, KeyError, TypeError):
            level, set_ns, reason = Level.K1, stamp, _UNREADABLE
        digest = sha256_hex(b"|".join((name.encode(), str(set_ns).encode(), data)))
        return Flag(firm, account, level, set_ns, reason, digest)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        folder = self._files.root / FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / "halt.lock"):
                yield
        except OSError as err:
            raise NotDurable(f"{folder}: {err.strerror}") from err


def _name(firm_id: str, account: str) -> str:
    own = f".{account.partition('/')[2]}" if account else ""
    return f"{FOLDER}/halt-{firm_id}{own}.json"
