"""Ends a process, or fails a call, at any boundary between it and the disk: the boundaries are counted by running, not
listed by hand."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

VARIANTS = ("before", "after", "lost")
ERRORS = {
    "ENOSPC": "database or disk is full",
    "EIO": "disk I/O error",
    "EROFS": "attempt to write a readonly database",
}
EXIT_CODE = 77
_CALLS = ("fsync", "replace", "rename", "unlink", "mkdir", "ftruncate")


class Faults:
    """Boundaries of this process from :meth:`install` on.

    Parameters
    ----------
    at : int
        The boundary at which the process ends, from 1; 0 = at none.
    variant : str
        ``before`` or ``after`` the call; ``lost``: before it, and whatever was not synced yet is gone, as after a power
        cut: a file that was not fsynced is half as long, a name that was changed in a folder that was not fsynced is
        what it was. (What SQLite does inside a COMMIT is its own.) ``ENOSPC`` and ``EIO``: the call fails, once;
        ``EROFS``: it and every later one.
    """

    def __init__(self, at: int = 0, variant: str = "before") -> None:
        self._at, self._variant = at, variant
        self._real = {name: getattr(os, name) for name in (*_CALLS, "_exit")}
        self._undo: list[tuple[str, Callable[[], None]]] = []
        self.seen: list[str] = []

    def install(self) -> None:
        """Put the layer between this process and the disk."""
        for name in _CALLS:
            setattr(os, name, self._around(name))
        commit = DefaultDialect.do_commit

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            self._boundary("commit", "", lambda: commit(dialect, connection))

        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]

    def _around(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(target: Any, *more: Any, **named: Any) -> Any:
            path = _path_of(target)
            if self._variant == "lost":
                self._remember(name, path, *more)
            return self._boundary(name, path, lambda: real(target, *more, **named))

        return call

    def _boundary(self, name: str, path: str, call: Callable[[], Any]) -> Any:
        self.seen.append(f"{name} {Path(path).name}".strip())
        here = len(self.seen) == self._at
        if self._variant in ERRORS:
            if here or (self._variant == "EROFS" and 0 < self._at < len(self.seen)):
                raise _error(name, self._variant)
            return call()
        if here and self._variant == "lost":
            self._lose(name, path)
        if here and self._variant != "after":
            os._exit(EXIT_CODE)
        result = call()
        if here:
            os._exit(EXIT_CODE)
        if name == "fsync" and Path(path).is_dir():
            self._undo = [(folder, undo) for folder, undo in self._undo if folder != path]
        return result

    def _remember(self, name: str, path: str, *more: Any) -> None:
        """How to take back a change of names."""
        if name in ("replace", "rename"):
            target = Path(os.fspath(more[0]))
            old, new = _content(target), _content(Path(path))
            self._undo.append((str(target.parent), lambda: (_put(target, old), _put(Path(path), new))[0]))
        elif name == "unlink":
            old = _content(Path(path))
            self._undo.append((str(Path(path).parent), lambda: _put(Path(path), old)))

    def _lose(self, name: str, path: str) -> None:
        if name == "fsync" and not Path(path).is_dir():
            os.truncate(path, Path(path).stat().st_size // 2)
        for _, undo in reversed(self._undo[:-1] if name in ("replace", "rename", "unlink") else self._undo):
            undo()


def _error(name: str, kind: str) -> Exception:
    if name == "commit":
        return sqlite3.OperationalError(ERRORS[kind])
    number = getattr(errno, kind)
    return OSError(number, os.strerror(number))


def _path_of(target: Any) -> str:
    if isinstance(target, int):
        return str(Path(f"/proc/self/fd/{target}").readlink())
    return os.fspath(target)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        Path(path).unlink(missing_ok=True)
    else:
        path.write_bytes(content)
