"""Copies of the store that are of one instant, and a store made of such a copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, Table, func, inspect, select, text

from regime_trading.adapters.database.engine import (
    MIGRATIONS,
    not_durable,
    open_database,
    reading,
    writing,
)
from regime_trading.adapters.database.locks import held_all
from regime_trading.adapters.database.tables import METADATA
from regime_trading.adapters.disk import sync
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable

_PIECE = 1 << 20


def schema_revision(engine: Engine) -> tuple[str, str]:
    """Revision of the schema that is there, and the newest this program knows; empty where there is none."""
    from alembic.script import ScriptDirectory

    with reading(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    return found or "", ScriptDirectory(str(MIGRATIONS)).get_current_head() or ""


def no_sealing(engine: Engine, firms: Sequence[str]) -> AbstractContextManager[bool]:
    """Keep every process from sealing these firms' chains for a while; False where one is at it."""
    return held_all(engine, [f"seal:{firm}" for firm in firms])


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite file as of one instant while others write to it, into a file of its own without a log.

    Raises
    ------
    NotDurable
        A file that cannot be read or written.
    CheckFailed
        The copy is damaged.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(source, timeout=30)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")
            found = new.execute("PRAGMA integrity_check").fetchone()[0]
        sync(target)
        sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise NotDurable(f"copy of {source}: {error}") from error
    if found != "ok":
        raise CheckFailed(f"copy of {source}: {found}")


# --- PostgreSQL -------------------------------------------------------------------------------------------------


def dump_postgresql(engine: Engine, folder: Path) -> dict[str, list[str]]:
    """Every table as ``COPY`` writes it, all of one instant; the columns of each, in the order of its file.

    Raises
    ------
    NotDurable
        A server or a disk that cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list[str]] = {}
    try:
        one = engine.connect().execution_options(isolation_level="REPEATABLE READ")
        with one as connection, connection.begin():
            for table in METADATA.sorted_tables:
                columns[table.name] = [column.name for column in table.columns]
                _copy_out(connection, table.name, columns[table.name], folder / f"{table.name}.copy")
    except OSError as error:
        raise NotDurable(f"{folder}: {error.strerror}") from error
    except Exception as error:
        raise not_durable(engine, error) from error
    sync(folder)
    return columns


def _copy_out(connection: Connection, name: str, columns: Sequence[str], path: Path) -> None:
    statement = f"COPY {_listed(connection, name, columns)} TO STDOUT"
    with _driver(connection).cursor() as cursor, path.open("wb") as file, cursor.copy(statement) as copy:
        for piece in copy:
            file.write(piece)
    sync(path)


def load_postgresql(url: str, folder: Path, columns: dict[str, list[str]], revision: str) -> None:
    """Fill an empty database from a dump, on the schema that the dump is of, and bring that up to date.

    Raises
    ------
    BadInput
        A database with anything in it, a schema of another revision, or tables this program does not know.
    NotDurable
        A server that cannot. Nothing was stored.
    """
    from sqlalchemy import create_engine

    tables = {table.name: table for table in METADATA.sorted_tables}
    if unknown := sorted(columns.keys() - tables.keys()):
        raise BadInput(expected="tables of this program", found=", ".join(unknown), where="backup")
    engine = create_engine(url)
    try:
        with writing(engine) as connection:
            _require_empty(connection, engine.url.render_as_string(hide_password=True))
            _bring_to(connection, revision)
            for name in (name for name in tables if name in columns):
                _copy_in(connection, tables[name], columns[name], folder / f"{name}.copy")
    finally:
        engine.dispose()
    open_database(url).dispose()


def _require_empty(connection: Connection, where: str) -> None:
    for name in inspect(connection).get_table_names():
        if name == "alembic_version":
            continue
        if connection.execute(text(f'SELECT 1 FROM "{name}" LIMIT 1')).first() is not None:
            raise BadInput(expected="an empty database", found=f"rows in {name}", where=where)


def _bring_to(connection: Connection, revision: str) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    if found == revision:
        return
    if found is not None:
        raise BadInput(
            expected=f"a database without a schema, or with revision {revision}",
            found=found,
            where="database",
        )
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, revision)


def _copy_in(connection: Connection, table: Table, columns: Sequence[str], path: Path) -> None:
    statement = f"COPY {_listed(connection, table.name, columns)} FROM STDIN"
    with _driver(connection).cursor() as cursor, path.open("rb") as file, cursor.copy(statement) as copy:
        while piece := file.read(_PIECE):
            copy.write(piece)
    counted = table.autoincrement_column
    if counted is not None:  # numbers given out go on after the last one
        last = connection.execute(select(func.max(counted))).scalar()
        sequence = {"table": table.name, "column": counted.name}
        if last is not None and connection.execute(_SEQUENCE, sequence).scalar() is not None:
            connection.execute(_SET_SEQUENCE, sequence | {"last": last})


_SEQUENCE = text("SELECT pg_get_serial_sequence(:table, :column)")
_SET_SEQUENCE = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")


def _listed(connection: Connection, name: str, columns: Sequence[str]) -> str:
    quote = connection.dialect.identifier_preparer.quote_identifier
    return f"{quote(name)} ({', '.join(map(quote, columns))})"


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
