"""The database behind the API: a SQLite file, and a real PostgreSQL server in the long form."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.databases import ONE, named


@pytest.fixture(scope="module", params=ONE)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with named(request) as kind:
        yield kind
