"""A whole installation, saved while it answers and restored elsewhere: people, halts and messages go on from there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from starlette.testclient import TestClient
from tests.api.installation import Browser, installed
from tests.api.test_walk import CORE, command
from tests.databases import BOTH, named
from tests.identity_samples import CHEAP

from regime_trading.adapters.database import SqlMessages, open_database
from regime_trading.bootstrap import database_url
from regime_trading.bootstrap.backup import make_backup, restore_backup
from regime_trading.bootstrap.serve import open_server
from regime_trading.bootstrap.server import ServeOptions


@pytest.fixture(scope="module", params=BOTH)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with named(request) as kind:
        yield kind


@pytest.fixture
def elsewhere(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What is set in the environment where the store of the restored installation is another one."""
    if database == "sqlite":
        yield {}
        return
    url = os.environ["REGIME_DATABASE"]
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE restored_api")
    yield {"REGIME_DATABASE": url.replace("/postgres?", "/restored_api?")}
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE restored_api WITH (FORCE)")
    admin.dispose()


def last_of(artifacts: Path) -> int:
    engine = open_database(database_url(artifacts))
    try:
        return SqlMessages(engine, firm_id="north-pier").span()[1]
    finally:
        engine.dispose()


def test_an_installation_goes_on_elsewhere(
    tmp_path: Path, elsewhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, copy, config = tmp_path / "saved", tmp_path / "copy", tmp_path / "config-again"
    with installed(tmp_path) as place:
        pm = place.invite("north-pier", "pm@north-pier.example", ("pm", None))
        command(pm, f'/halt account account:{CORE} reason:"before the backup"')
        command(pm, f"/config set account:{CORE} risk.gross:50%")
        before = pm.get("/firms/north-pier/configs/current")
        make_backup(saved, place.folder, place.config)
        command(pm, f'/resume account account:{CORE} reason:"after the backup"')
        told = last_of(place.folder)

    for name, value in elsewhere.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REGIME_WITNESS", str(tmp_path / "witness-again"))
    restore_backup(saved, copy, config)
    restored = last_of(copy)
    assert 0 < restored < told, "as of the instant of the backup"
    with open_server(ServeOptions(jobs=0), copy, config, passwords=CHEAP) as app, TestClient(app):
        again = Browser(app)
        again.client.cookies = pm.client.cookies
        assert [firm["firm"] for firm in again.get("/me")["firms"]] == ["north-pier"], "sessions go on"
        row = next(one for one in again.get("/firms/north-pier/live")["accounts"] if one["account"] == CORE)
        assert (row["halt"]["level"], row["halt"]["reason"]) == (1, "it is what the walk does")
        assert again.get("/firms/north-pier/configs/current")["document"] == before["document"]
        kinds = [one["event_type"] for one in again.get("/firms/north-pier/audit/entries?limit=200")["items"]]
        assert "KILL" in kinds and "UNLOCK" not in kinds
        command(again, f'/resume account account:{CORE} reason:"well again elsewhere"')
        assert last_of(copy) > restored
