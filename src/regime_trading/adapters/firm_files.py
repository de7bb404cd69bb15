"""Files of runs that one firm may be shown, opened step by step without following a link."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import duckdb
from pydantic import JsonValue

from regime_trading.adapters.duck import Reader, reader
from regime_trading.core.audit import require_ident
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.firm_files import (
    RunFile,
    TableHead,
    is_step,
    kind_of_file,
    run_folders,
    scope_of,
)
from regime_trading.core.firm_files import Scope as FileScope

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEEPEST = 4
_MOST_FILES = 2_000
_CHUNK = 1 << 20
_HEADS = {
    "parquet": "FROM read_parquet($file)",
    "csv": "FROM read_csv($file, all_varchar = true, sample_size = 1000)",
}


class LocalFirmFiles:
    """Files of runs under an artifacts folder, as one firm may see them.

    Parameters
    ----------
    root : Path
        The artifacts folder.
    firm_id : str
        Tenant: of ``runs/<run>/firms`` only its own folder exists.
    """

    def __init__(self, root: Path, *, firm_id: str) -> None:
        self._root, self._firm_id = Path(root).absolute(), require_ident(firm_id, "firm_id")

    def listed(self, run_id: str) -> tuple[RunFile, ...]:
        """Files of a run by path; none where there is no such run."""
        try:
            folders = run_folders(run_id, self._firm_id)
        except BadInput:
            return ()
        found: list[RunFile] = []
        for scope, folder in folders.items():
            with suppress(OSError), self._folder(folder.split("/")) as opened:
                found += _walk(opened, folder, scope, _DEEPEST)
        return tuple(sorted(found, key=lambda file: file.path)[:_MOST_FILES])

    def read(self, path: str, limit: int) -> bytes | None:
        """The first ``limit`` bytes of a file; None where there is none that may be shown."""
        with self._opened(path) as file:
            return None if file is None else file.read(limit)

    def digest(self, path: str) -> tuple[int, str] | None:
        """Size and SHA-256 of a file; None as in :meth:`read`."""
        with self._opened(path) as file:
            if file is None:
                return None
            made, size = hashlib.sha256(), 0
            while part := file.read(_CHUNK):
                made.update(part)
                size += len(part)
            return size, made.hexdigest()

    def head(self, path: str, rows: int) -> TableHead | None:
        """Beginning of a CSV or Parquet file; None as in :meth:`read`.

        Raises
        ------
        CheckFailed
            It is no table.
        TooMuch
            It takes too long or too much memory to read.
        """
        kind = kind_of_file(path)[0]
        with self._opened(path) as file:
            if file is None or kind not in _HEADS:
                return None
            place = self._root / path
            try:
                with reader([place]) as opened:
                    return _head(opened, str(place), kind, rows)
            except duckdb.Error as error:
                raise CheckFailed(f"{path}: not a table that can be read") from error

    @contextmanager
    def _opened(self, path: str) -> Iterator[IO[bytes] | None]:
        """A file of the firm; None where there is none, where it is no plain file, or where a link leads to it."""
        if scope_of(path, self._firm_id) is None:
            yield None
            return
        *steps, name = path.split("/")
        try:
            with self._folder(steps) as folder:
                handle = os.open(name, _FILE, dir_fd=folder)
        except OSError:
            yield None
            return
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            yield None
            return
        with os.fdopen(handle, "rb") as file:
            yield file

    @contextmanager
    def _folder(self, steps: list[str]) -> Iterator[int]:
        """Handle of a folder below the root; no step is a link."""
        handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for step in steps:
                below = os.open(step, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)


def _walk(folder: int, path: str, scope: FileScope, deeper: int) -> Iterator[RunFile]:
    for name in sorted(os.listdir(folder)):
        if not is_step(name):
            continue
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            yield RunFile(f"{path}/{name}", scope, found.st_size, found.st_mtime_ns)
        elif stat.S_ISDIR(found.st_mode) and deeper:
            below = os.open(name, _FOLDER, dir_fd=folder)
            try:
                yield from _walk(below, f"{path}/{name}", scope, deeper - 1)
            finally:
                os.close(below)


def _head(opened: Reader, file: str, kind: str, rows: int) -> TableHead:
    source, value = _HEADS[kind], {"file": file}
    columns = tuple((str(row[0]), str(row[1])) for row in opened.rows(f"DESCRIBE SELECT * {source}", value))
    told = opened.rows(f"SELECT * {source} LIMIT $rows", {**value, "rows": rows})
    total = int(opened.rows(f"SELECT count(*) {source}", value)[0][0])
    return TableHead(columns, tuple(tuple(map(_plain, row)) for row in told), total)


def _plain(value: Any) -> JsonValue:
    """A cell as a JSON value; what JSON has no form for is text, and a number that is none is null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
