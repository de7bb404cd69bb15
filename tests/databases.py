"""Both databases for tests of whole modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine

from regime_trading.adapters.database import open_database
from regime_trading.adapters.database.tables import METADATA

BOTH = ("sqlite", "postgresql")
#: SQLite always, PostgreSQL in the long form.
ONE = ("sqlite", pytest.param("postgresql", marks=pytest.mark.full))


def emptied(url: str) -> str:
    """``url`` with every table of its database empty."""
    open_database(url).dispose()
    engine = create_engine(url)
    with engine.begin() as connection:
        names = ", ".join(METADATA.tables)
        connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    engine.dispose()
    return url


@contextmanager
def named(request: pytest.FixtureRequest) -> Iterator[str]:
    """What is opened without being told where lies in the database that a fixture is parametrised with."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "sqlite":
            patch.delenv("REGIME_DATABASE", raising=False)
        else:
            patch.setenv("REGIME_DATABASE", emptied(request.getfixturevalue("postgresql_url")))
        yield request.param
