"""DuckDB under limits: it reads the files it was given, and nothing else; it neither writes nor loads anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import duckdb

from regime_trading.core.errors import TooMuch

MEMORY = "256MB"
SECONDS = 10.0


class Reader:
    """A connection that may read certain files, for one question.

    Parameters
    ----------
    connection : DuckDBPyConnection
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of a statement; ``values`` are bound, never pasted."""
        found: list[tuple[Any, ...]] = self._connection.execute(sql, dict(values)).fetchall()
        return found


@contextmanager
def reader(files: Sequence[Path], seconds: float = SECONDS) -> Iterator[Reader]:
    """A reader of ``files`` that is stopped after ``seconds``.

    Raises
    ------
    TooMuch
        The time or the memory is used up.
    """
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute("SET threads = 1")
        connection.execute("SET temp_directory = ''")
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("SET autoload_known_extensions = false")
        connection.execute("SET allowed_paths = $files", {"files": [str(file) for file in files]})
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        timer = Timer(seconds, connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield Reader(connection)
        except (duckdb.InterruptException, duckdb.OutOfMemoryException) as error:
            raise TooMuch(f"the question takes more than {seconds:g} s or {MEMORY}; ask for less") from error
        finally:
            timer.cancel()
