"""Artifacts on the local file system. A file is there whole and durable, or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path, PurePosixPath

from regime_trading.adapters.disk import sync
from regime_trading.core.errors import BadInput, NotDurable

_TEMPORARY = ".tmp-"


class LocalArtifacts:
    """Files under one folder, named by relative paths with ``/``.

    Parameters
    ----------
    root : Path
        The folder; created with the first file.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(root).absolute()

    @property
    def root(self) -> Path:
        return self._root

    def write_bytes(self, relative: str, data: bytes) -> Path:
        """Write temp → fsync → rename → fsync folder, and return the path.

        Raises
        ------
        BadInput
            A path that leaves the root.
        NotDurable
            The file system cannot write or cannot promise to keep what was written.
        """
        path = self._inside(relative)
        temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        try:
            _make_folder(path.parent)
            try:
                _write_through(temporary, data)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            sync(path.parent)
        except OSError as err:
            raise NotDurable(f"{path}: {err.strerror}") from err
        return path

    def read_bytes(self, relative: str) -> bytes:
        """Content of a file.

        Raises
        ------
        BadInput
            No readable file of that name, or a path that leaves the root.
        """
        path = self._inside(relative)
        try:
            return path.read_bytes()
        except OSError as err:
            raise BadInput(expected="a readable file", found=str(err.strerror), where=str(path)) from err

    def exists(self, relative: str) -> bool:
        """Whether there is such a file."""
        return self._inside(relative).is_file()

    def names(self, folder: str) -> tuple[str, ...]:
        """Relative paths of the files directly in ``folder``, sorted; none where it does not exist."""
        path = self._inside(folder)
        if not path.is_dir():
            return ()
        found = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith(_TEMPORARY))
        return tuple(f"{folder}/{name}" for name in found)

    def remove(self, relative: str) -> None:
        """Remove a file durably; nothing happens where it is not there.

        Raises
        ------
        BadInput
            A path that leaves the root.
        NotDurable
            The file system cannot remove it.
        """
        path = self._inside(relative)
        try:
            if path.is_file():
                path.unlink()
                sync(path.parent)
        except OSError as err:
            raise NotDurable(f"{path}: {err.strerror}") from err

    def _inside(self, relative: str) -> Path:
        """Path of ``relative``, which may leave the root neither by its parts nor through a link."""
        parts = PurePosixPath(relative).parts
        plain = "/".join(parts) == relative and not {"..", "/"} & set(parts) and parts != ()
        if not plain or "\\" in relative or "\0" in relative:
            raise BadInput(expected="a relative path without '..'", found=repr(relative), where="artifacts")
        path = self._root.joinpath(*parts)
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise BadInput(expected=f"a path inside {self._root}", found=repr(relative), where="artifacts")
        return path


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    """Create ``folder`` and what is missing above it, each name durable in its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)
