"""A right that one process has at a time, given back by whatever ends the process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from regime_trading.adapters.database.engine import reading
from regime_trading.adapters.disk import locked
from regime_trading.core.errors import StoreDown


@contextmanager
def held(engine: Engine, name: str) -> Iterator[bool]:
    """Hold ``name`` over the database of ``engine`` for the block; False where somebody else holds it.

    On SQLite a locked file beside the database (all its users are on one machine), on PostgreSQL an advisory lock of a
    session. Neither outlives its process.

    Raises
    ------
    StoreDown
        The lock cannot be asked for.
    """
    if engine.dialect.name == "postgresql":
        with reading(engine) as connection:
            key = _key(name)
            mine = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar_one()
            connection.commit()
            try:
                yield bool(mine)
            finally:
                if mine:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
        return
    database = Path(str(engine.url.database).removeprefix("file:").split("?")[0])
    path = database.with_name(f"{database.name}.{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock")
    with ExitStack() as stack:
        try:
            mine = stack.enter_context(locked(path, wait=False))
        except OSError as err:
            raise StoreDown(f"{path}: {err.strerror}") from err
        yield mine


@contextmanager
def held_all(engine: Engine, names: Sequence[str]) -> Iterator[bool]:
    """As :func:`held`, of several rights at once over one connection: all of them, or False and none.

    Raises
    ------
    StoreDown
        A lock cannot be asked for.
    """
    with ExitStack() as stack:
        if engine.dialect.name != "postgresql":
            yield all(stack.enter_context(held(engine, name)) for name in names)
            return
        connection = stack.enter_context(reading(engine))
        ask = text("SELECT pg_try_advisory_lock(:key)")
        keys = [_key(name) for name in names]
        mine = [key for key in keys if connection.execute(ask, {"key": key}).scalar_one()]
        connection.commit()
        try:
            yield len(mine) == len(keys)
        finally:
            for key in mine:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})


def _key(name: str) -> int:
    """Number of a lock in PostgreSQL."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
