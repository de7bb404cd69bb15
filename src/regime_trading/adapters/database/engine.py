"""Opening the store: connections that are durable at COMMIT, on a schema brought up to date."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError

from regime_trading.adapters.database.intents import stamp
from regime_trading.core.errors import BadInput, NotDurable, StoreDown
from regime_trading.core.intents import Intent

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 30
_AGAIN_S = 0.01
_WRITERS_LOCK = 0x5245_4749_4D45  #: key of the advisory lock under which PostgreSQL's writers take turns
_CONFLICT_STATES = frozenset({"40001", "40P01"})  #: serialization failure, deadlock: somebody else won


@dataclass(slots=True)
class _Turn:
    """A transaction that a thread reads and writes in, and the request whose key was stored with it."""

    engine: Engine
    connection: Connection
    intent: Intent | None = None


_TURN: ContextVar[_Turn | None] = ContextVar("turn", default=None)


def sqlite_url(path: Path) -> str:
    """URL of the SQLite file at ``path``."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_database(url: str) -> Engine:
    """Engine on ``url`` with its schema at the newest revision.

    SQLite files run with ``journal_mode=WAL`` and ``synchronous=FULL``: a COMMIT that returned has reached
    the disk. PostgreSQL is asked for ``fsync``, ``full_page_writes`` and ``synchronous_commit`` at every connection,
    and refused without them.

    Raises
    ------
    BadInput
        Not a database URL, another kind of database, a database in memory, or a schema newer than this program.
    NotDurable
        A database that cannot be opened, migrated or made durable.
    """
    parsed = _durable_url(url)
    make = _sqlite_engine if parsed.get_backend_name() == "sqlite" else _postgresql_engine
    with _as_not_durable(parsed.render_as_string(hide_password=True)):
        engine = make(parsed)
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
def writing(engine: Engine, *, shared: bool = False) -> Iterator[Connection]:
    """One transaction that is durable when the block has ended, or leaves nothing behind. Writers take turns.

    The first one of a request that has an ``Idempotency-Key`` stores the key with it; one that is ``shared`` by several
    threads belongs to none of their requests. Within :func:`one_turn` it is a part of that transaction, and durable
    with it.

    Raises
    ------
    Conflict
        ``pending``: another request under the same key has changed something.
    StoreDown
        What the database itself could not do: disk full, read-only, locked, gone.
    NotDurable
        What contradicts it: a broken constraint, another writer that won.
    """
    where = engine.url.render_as_string(hide_password=True)
    turn = _turn_of(engine)
    if turn is not None:
        with _as_not_durable(where), turn.connection.begin_nested():
            intent = None if shared or turn.intent is not None else stamp(turn.connection)
            yield turn.connection
        turn.intent = turn.intent or intent
        return
    with _as_not_durable(where), engine.connect() as connection:
        connection.execution_options(sqlite_begin="IMMEDIATE")
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")
            intent = None if shared else stamp(connection)
            yield connection
        if intent is not None:
            intent.wrote = True


@contextmanager
def one_turn(engine: Engine) -> Iterator[None]:
    """One transaction for all that this thread reads and writes within the block, with no other writer between; raises
    as :func:`writing`."""
    with writing(engine, shared=True) as connection:
        turn = _Turn(engine, connection)
        before = _TURN.set(turn)
        try:
            yield
        finally:
            _TURN.reset(before)
    if turn.intent is not None:
        turn.intent.wrote = True


def in_turn(engine: Engine) -> bool:
    """Whether this thread is within :func:`one_turn`."""
    return _turn_of(engine) is not None


def _turn_of(engine: Engine) -> _Turn | None:
    turn = _TURN.get()
    return turn if turn is not None and turn.engine is engine else None


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads.

    Raises
    ------
    StoreDown
        The database cannot be read.
    """
    turn = _turn_of(engine)
    try:
        with engine.connect() if turn is None else nullcontext(turn.connection) as connection:
            yield connection
    except SQLAlchemyError as err:
        raise StoreDown(f"{engine.url.render_as_string(hide_password=True)}: {_cause(err)}") from err


def not_durable(engine: Engine, err: Exception) -> NotDurable:
    """What an error of the database means: it contradicts what is stored, or the store itself is down."""
    return _not_durable(engine.url.render_as_string(hide_password=True), err)


def _not_durable(where: str, err: Exception) -> NotDurable:
    state = getattr(err.orig, "sqlstate", None) if isinstance(err, DBAPIError) else None
    contradicts = isinstance(err, IntegrityError | DataError) or state in _CONFLICT_STATES
    return (NotDurable if contradicts else StoreDown)(f"{where}: {_cause(err)}")


@contextmanager
def _as_not_durable(where: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as err:
        raise _not_durable(where, err) from err


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
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise BadInput(
            expected="sqlite:/// or postgresql+psycopg://", found=parsed.drivername, where="database url"
        )
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    if not str(url.database).startswith("file:"):
        Path(str(url.database)).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _sqlite_connect)
    event.listen(engine, "begin", _sqlite_begin)
    event.listen(engine, "commit", _sqlite_commit)
    return engine


def _sqlite_connect(connection: Any, _record: Any) -> None:
    """Take transactions out of the driver's hands and insist on durability."""
    connection.isolation_level = None
    for pragma, wanted in (("journal_mode=WAL", "wal"), ("synchronous=FULL", 2), ("foreign_keys=ON", 1)):
        _in_turn(lambda text=pragma: connection.execute(f"PRAGMA {text}"))
        found = connection.execute(f"PRAGMA {pragma.split('=')[0]}").fetchone()[0]
        if found != wanted:
            raise StoreDown(f"SQLite refuses PRAGMA {pragma}: it stays at {found}")


def _in_turn(ask: Callable[[], object]) -> None:
    """SQLite waits for nobody where several begin to use a new file at once (the change to WAL asks for the file alone,
    and a busy handler is not asked then): wait here, as long as for any other lock."""
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            ask()
            return
        except sqlite3.OperationalError as err:
            if err.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_AGAIN_S)


def _sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")


def _sqlite_commit(connection: Connection) -> None:
    """Trouble of the disk may have rolled the transaction back unseen; a COMMIT would then do nothing, quietly."""
    if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        raise StoreDown("SQLite has rolled the transaction back; nothing was stored")


def _postgresql_engine(url: URL) -> Engine:
    """Writers take turns by a lock, so each statement must see what was committed before it: READ COMMITTED."""
    options = f"-c lock_timeout={BUSY_TIMEOUT_S}s"
    engine = create_engine(
        url, isolation_level="READ COMMITTED", pool_pre_ping=True, connect_args={"options": options}
    )
    event.listen(engine, "connect", _postgresql_connect)
    return engine


def _postgresql_connect(connection: Any, _record: Any) -> None:
    """Insist on durability: a COMMIT that returned must have reached the disk of the server."""
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        found = connection.execute(f"SHOW {name}").fetchone()[0]
        if found == "off":
            raise StoreDown(
                f"PostgreSQL runs with {name} = off: expected on, so that a COMMIT survives a crash"
            )
    connection.rollback()
