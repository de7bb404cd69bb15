"""Backup and restore: the store, the record and the configuration, of one instant, verified before they count.

Private keys and secrets are never in a backup: neither folder of keys is read, and the environment is not saved.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regime_trading.adapters.backup_files import (
    Backup,
    SavedDatabase,
    copy,
    files_below,
    read_backup,
    require_empty,
    saved_files,
    write_list,
)
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import firms_with_entries, open_database
from regime_trading.adapters.database.backup import (
    copy_sqlite,
    dump_postgresql,
    load_postgresql,
    no_sealing,
    schema_revision,
)
from regime_trading.adapters.disk import sync
from regime_trading.bootstrap import (
    DATABASE,
    artifacts_folder,
    config_folder,
    database_url,
    has_database,
    spool_folder,
    state_file,
)
from regime_trading.bootstrap.proof import verify_record
from regime_trading.bootstrap.version import code_version
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable
from regime_trading.core.instants import instant_text

TRIES = 3  #: files of dry runs may be merged while they are copied; then all is copied again
SEALING_WAIT_S = 60.0
_FOLDERS = ("audit", "rl_dataset", "inputs", "runs")
_FIRST = (
    "audit/_checkpoints/",
    "audit/_manifest/",
    "rl_dataset/_manifest/",
)  #: what refers to files, before them
_CHECKPOINTS = "checkpoints.db"
_ARTIFACTS, _CONFIG, _SPOOL, _DATABASE = "artifacts", "config", "spool", "database"


@dataclass(frozen=True, slots=True)
class Saved:
    """Answer of a backup or a restore: how many files and bytes, how many entries of the record were verified, and the
    SHA-256 of the list (empty of a restore)."""

    files: int
    size: int
    entries: int
    list_sha256: str = ""


def make_backup(to: Path, artifacts: Path | None, config: Path | None) -> Saved:
    """Save everything into an empty or new folder while others go on deciding; sealing waits meanwhile.

    Raises
    ------
    BadInput
        A folder with something in it, or artifacts without a store.
    CheckFailed
        The record that was saved does not hold.
    NotDurable
        Something could not be read or written; the folder is no backup then.
    """
    folder, settings = artifacts_folder(artifacts), config_folder(config)
    require_empty(to, "something in it")
    if not has_database(folder):
        raise BadInput(expected=f"a folder with state/{DATABASE}", found="none", where=str(folder))
    engine = open_database(database_url(folder))
    try:
        for tries_left in reversed(range(TRIES)):
            firms = firms_with_entries(engine)
            with _sealing_waits(engine, firms):
                database = _save_all(engine, folder, settings, to)
            entries, why = _verified(to / _ARTIFACTS)
            if not why and firms_with_entries(engine) == firms:
                return _listed(to, database, entries)
            if not tries_left:
                raise CheckFailed(
                    f"{to}: the record that was saved does not hold: {why or 'firms came in between'}"
                )
            for name in (_ARTIFACTS, _CONFIG, _SPOOL, _DATABASE):
                shutil.rmtree(to / name, ignore_errors=True)
    finally:
        engine.dispose()
    raise AssertionError("unreachable")


def restore_backup(source: Path, artifacts: Path, config: Path | None) -> Saved:
    """Make empty or new folders of a backup, and verify the record in them; without ``config`` that is left out.

    The store goes where ``REGIME_DATABASE`` says, else into the artifacts folder, and is brought up to date.

    Raises
    ------
    BadInput
        No backup, a folder or database with something in it, or a store of another kind.
    CheckFailed
        A file is not what was saved (nothing is written then), or the record does not hold.
    NotDurable
        Something could not be written.
    """
    backup = read_backup(source)
    require_empty(artifacts, "something in it")
    if config is not None:
        require_empty(config, "something in it")
    targets: dict[str, Path | None] = {
        _ARTIFACTS: artifacts,
        _CONFIG: config,
        _SPOOL: spool_folder(artifacts),
    }
    written = 0
    try:
        for file in backup.files:
            place, _, name = file.path.partition("/")
            target = targets.get(place)
            if target is not None:
                copy(source / file.path, target / name)
                sync((target / name).parent)
                written += 1
    except OSError as error:
        raise NotDurable(f"{artifacts}: {error.strerror}") from error
    _restore_database(source / _DATABASE, backup.database, artifacts)
    entries, why = _verified(artifacts)
    if why:
        raise CheckFailed(f"{artifacts}: the record that was restored does not hold: {why}")
    return Saved(written, sum(file.size for file in backup.files), entries)


@contextmanager
def _sealing_waits(engine: Any, firms: tuple[str, ...]) -> Iterator[None]:
    """The right to seal, of every firm; somebody who is sealing is waited for."""
    until = time.monotonic() + SEALING_WAIT_S
    while time.monotonic() < until:
        with no_sealing(engine, firms) as mine:
            if mine:
                yield
                return
        time.sleep(0.05)
    raise NotDurable(f"the record is being sealed for more than {SEALING_WAIT_S:.0f} s")


def _save_all(engine: Any, artifacts: Path, config: Path, to: Path) -> SavedDatabase:
    """The store first: what is sealed after it is in its write-ahead rows still."""
    database = _save_database(engine, to / _DATABASE)
    checkpoints = state_file(artifacts, _CHECKPOINTS)
    if checkpoints.exists():
        copy_sqlite(checkpoints, to / _ARTIFACTS / "state" / _CHECKPOINTS)
    for name in files_below(artifacts, _FIRST):
        if name.split("/")[0] in _FOLDERS:
            _save(artifacts / name, to / _ARTIFACTS / name)
    for source, place, wanted in (
        (config, _CONFIG, (".yaml", ".yml")),
        (spool_folder(artifacts), _SPOOL, ("",)),
    ):
        for name in files_below(source) if source.is_dir() else ():
            if name.endswith(wanted):
                _save(source / name, to / place / name)
    return database


def _save(source: Path, target: Path) -> None:
    try:
        copy(source, target)
    except FileNotFoundError:
        target.unlink(missing_ok=True)  # merged away meanwhile: the verification tells whether it is missed
    except OSError as error:
        raise NotDurable(f"{target}: {error.strerror}") from error


def _save_database(engine: Any, to: Path) -> SavedDatabase:
    revision = schema_revision(engine)[0]
    if engine.dialect.name == "postgresql":
        return SavedDatabase(kind="postgresql", revision=revision, columns=dump_postgresql(engine, to))
    copy_sqlite(Path(engine.url.database), to / DATABASE)
    return SavedDatabase(kind="sqlite", revision=revision)


def _restore_database(source: Path, saved: SavedDatabase, artifacts: Path) -> None:
    url = database_url(artifacts)
    kind = "postgresql" if url.startswith("postgresql") else "sqlite"
    if kind != saved.kind:
        raise BadInput(expected=f"a {saved.kind} database (REGIME_DATABASE)", found=kind, where="database")
    if kind == "postgresql":
        load_postgresql(url, source, saved.columns, saved.revision)
        return
    path = state_file(artifacts, DATABASE)
    if path.exists():
        raise BadInput(expected="no database there yet", found="one", where=str(path))
    copy_sqlite(source / DATABASE, path)
    open_database(url).dispose()


def _verified(artifacts: Path) -> tuple[int, str]:
    """How many entries of a record hold, and what does not; nothing where nothing is sealed yet."""
    if not (artifacts / "audit").is_dir():
        return 0, ""
    from regime_trading.services.verify import answer

    found = verify_record(artifacts, None, None, ())
    first = next(iter((*found.faults, *found.gaps)), None)
    return int(answer(found)["entries"]), "" if found.ok else str(first)


def _listed(to: Path, database: SavedDatabase, entries: int) -> Saved:
    files = saved_files(to)
    backup = Backup(
        made_at=instant_text(SystemClock().now_ns()),
        code_version=code_version(),
        database=database,
        files=files,
    )
    return Saved(len(files), sum(file.size for file in files), entries, write_list(to, backup))
