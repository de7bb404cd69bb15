"""The databases that every port of the store is tested on: a SQLite file, and a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from regime_trading.adapters.database import open_database, sqlite_url

Opener = Callable[[], Engine]


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
