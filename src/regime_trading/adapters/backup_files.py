"""The folder of a backup: files with their hashes, and a list of them that is written last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from regime_trading.adapters.disk import sync
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable
from regime_trading.core.event_payloads import Hash

LIST = "backup.json"
_PIECE = 1 << 20
_NEVER = (".key", ".pem", ".lock", ".env")  #: private keys, and what belongs to processes


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SavedFile(_Frozen):
    """One file of a backup: its path in it, its SHA-256, its size in bytes."""

    path: str
    sha256: Hash
    size: int = Field(ge=0)

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path:
            raise ValueError(f"expected a path inside the backup, found {path!r}")
        return path


class SavedDatabase(_Frozen):
    """The store: its kind, the revision of its schema, and of a dump the columns of each table."""

    kind: str = Field(pattern="^(sqlite|postgresql)$")
    revision: str
    columns: dict[str, list[str]] = Field(default_factory=dict)


class Backup(_Frozen):
    """``backup.json``."""

    format: int = Field(default=1, ge=1, le=1)
    made_at: str
    code_version: str
    database: SavedDatabase
    files: tuple[SavedFile, ...]


def require_empty(folder: Path, what: str) -> None:
    """Refuse a folder that has anything in it.

    Raises
    ------
    BadInput
        It has, or is no folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(expected="an empty or new folder", found=what, where=str(folder))


def files_below(folder: Path, first: Iterable[str] = ()) -> Iterator[str]:
    """Relative paths of what is saved of a folder, those that start with ``first`` before all others; neither links nor
    half-written files nor private keys."""
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and not _left_out(path.name)
    )
    ahead = tuple(first)
    return iter(sorted(found, key=lambda name: (not name.startswith(ahead) if ahead else True, name)))


def _left_out(name: str) -> bool:
    return name.startswith(".tmp-") or name.endswith(_NEVER) or name.startswith(".env")


def copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy one file durably; SHA-256 and size of what was copied. ``OSError`` where that cannot be."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as old, target.open("wb") as new:
        while piece := old.read(_PIECE):
            digest.update(piece)
            size += new.write(piece)
    sync(target)
    return digest.hexdigest(), size


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def saved_files(folder: Path) -> tuple[SavedFile, ...]:
    """Everything in the folder of a backup but its list."""
    names = (name for name in files_below(folder) if name != LIST)
    return tuple(SavedFile(path=name, sha256=sha, size=size) for name, (sha, size) in _digests(folder, names))


def _digests(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, tuple[str, int]]]:
    for name in names:
        yield name, digest_of(folder / name)


def write_list(folder: Path, backup: Backup) -> str:
    """Write the list, which makes a folder a backup; its SHA-256."""
    path = folder / LIST
    try:
        path.with_suffix(".part").write_text(backup.model_dump_json(indent=1))
        sync(path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
        sync(folder)
    except OSError as error:
        raise NotDurable(f"{path}: {error.strerror}") from error
    return digest_of(path)[0]


def read_backup(folder: Path) -> Backup:
    """The list of a backup whose files all are what was saved.

    Raises
    ------
    BadInput
        A folder that is no backup.
    CheckFailed
        A file that is missing or changed.
    """
    try:
        backup = Backup.model_validate_json((folder / LIST).read_bytes())
    except (OSError, ValidationError) as error:
        why = f"it cannot be read ({type(error).__name__})"
        raise BadInput(expected=f"a backup with its {LIST}", found=why, where=str(folder)) from error
    for file in backup.files:
        path = folder / file.path
        if not path.is_file() or path.is_symlink():
            raise CheckFailed(f"{path}: it is in the list of the backup, and missing")
        if (found := digest_of(path)) != (file.sha256, file.size):
            raise CheckFailed(f"{path}: expected SHA-256 {file.sha256}, found {found[0]}")
    return backup
