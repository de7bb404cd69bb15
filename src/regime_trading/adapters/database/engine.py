"""Opening the store: connections that are durable at COMMIT, on a schema brought up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from regime_trading.core.errors import BadInput, NotDurable, RegimeError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 30


def sqlite_url(path: Path) -> str:
    """URL of the SQLite file at ``path``."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_database(url: str) -> Engine:
    """Engine on ``url`` with its schema at the newest revision.

    SQLite files run with ``journal_mode=WAL`` and ``synchronous=FULL``: a COMMIT that returned has reached
    the disk. Other databases must be configured so by whoever runs them.

    Raises
    ------
    BadInput
        Not a database URL, a database in memory, or a schema newer than this program.
    NotDurable
        A database that cannot be opened, migrated or made durable.
    """
    parsed = _durable_url(url)
    with _as_not_durable(parsed.render_as_string(hide_password=True)):
        engine = _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else create_engine(parsed)
        migrate(engine)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision, in one transaction; nothing happens where it is there."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    with reading(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == scripts.get_current_head():
        return
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise BadInput(
            expected=f"a schema up to revision {scripts.get_current_head()}",
            found=f"{found}, written by a newer version",
            where=engine.url.render_as_string(hide_password=True),
        )
    with writing(engine) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        command.upgrade(config, "head")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that is durable when the block has ended, or leaves nothing behind.

    Raises
    ------
    NotDurable
        Whatever the database could not do: disk full, read-only, locked, a broken constraint.
    """
    with _as_not_durable(engine.url.render_as_string(hide_password=True)), engine.connect() as connection:
        connection.execution_options(sqlite_begin="IMMEDIATE")
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads.

    Raises
    ------
    RegimeError
        The database cannot be read.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as err:
        raise RegimeError(f"{engine.url.render_as_string(hide_password=True)}: {_cause(err)}") from err


@contextmanager
def _as_not_durable(where: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as err:
        raise NotDurable(f"{where}: {_cause(err)}") from err


def _cause(err: Exception) -> str:
    """What the driver said, without the statement and its values."""
    return f"{type(err).__name__}: {err.orig if isinstance(err, DBAPIError) else err}"


def _durable_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as err:
        raise BadInput(expected="a database URL", found=url, where="database url") from err
    in_memory = parsed.database in (None, "", ":memory:") or "mode=memory" in url
    if parsed.get_backend_name() == "sqlite" and in_memory:
        raise BadInput(expected="a database file", found="a database in memory", where="database url")
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    if not str(url.database).startswith("file:"):
        Path(str(url.database)).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _sqlite_connect)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_connect(connection: Any, _record: Any) -> None:
    """Take transactions out of the driver's hands and insist on durability."""
    connection.isolation_level = None
    for pragma, wanted in (("journal_mode=WAL", "wal"), ("synchronous=FULL", 2), ("foreign_keys=ON", 1)):
        connection.execute(f"PRAGMA {pragma}")
        found = connection.execute(f"PRAGMA {pragma.split('=')[0]}").fetchone()[0]
        if found != wanted:
            raise NotDurable(f"SQLite refuses PRAGMA {pragma}: it stays at {found}")


def _sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")
