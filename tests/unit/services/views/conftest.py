"""One world for all tests of the views: it is read, never changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.views_world import World, decided, researched

from regime_trading.adapters.database import open_database, sqlite_url


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("views") / "artifacts"
    run_id, backtest_id = researched(folder)
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    yield World(folder, engine, decided(folder, engine), run_id, backtest_id)
    engine.dispose()
