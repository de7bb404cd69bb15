"""One world for all tests of the views: it is read, never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.views_world import World, decided, researched

from regime_trading.adapters.database import open_database, sqlite_url


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("views") / "artifacts"
    with pytest.MonkeyPatch.context() as patch:  # a witness takes one record of a firm
        patch.setenv("REGIME_WITNESS", os.fspath(folder.parent / "own-witness"))
        run_id, backtest_id = researched(folder)
        engine = open_database(sqlite_url(folder / "state" / "regime.db"))
        standings = decided(folder, engine)
    yield World(folder, engine, standings, run_id, backtest_id)
    engine.dispose()
