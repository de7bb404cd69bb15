"""Backup and restore while somebody decides, on SQLite and on a real PostgreSQL (``conftest.py``)."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from tests.gate_samples import CONFIG, CORE, DEFENSIVE, T, tree

from regime_trading import pm
from regime_trading.adapters.database import SqlAuditLog, SqlLedger, open_database
from regime_trading.adapters.database.engine import reading
from regime_trading.adapters.database.tables import ACCOUNT_STATE, METADATA
from regime_trading.bootstrap import backup, database_url
from regime_trading.bootstrap.backup import make_backup, restore_backup
from regime_trading.bootstrap.proof import verify_record
from regime_trading.bootstrap.sealing import seal_everything
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.instants import LATEST_NS, instant_text
from regime_trading.core.schemas import Mode, PMDecision

CHAIN = f"shadow/{CORE}"
FIRM = CORE.split("/")[0]


class World:
    """The gate in shadow over one artifacts folder; the other folder is where a backup is restored to."""

    def __init__(self, folder: Path, use: Callable[[str], None], urls: tuple[str, str]) -> None:
        self.config, self.artifacts, self.copy = folder / "config", folder / "artifacts", folder / "copy"
        self.saved, self._use, self._urls = folder / "saved", use, urls
        shutil.copytree(CONFIG, self.config)
        traders = self.config / "traders.yaml"
        traders.write_text(traders.read_text().replace("mode: dry_run", "mode: shadow"))
        use(urls[0])

    def there(self) -> None:
        """From now on the restored one is meant."""
        self._use(self._urls[1])

    def decide(
        self, gate: pm.Gate, second: int, *changes: tuple[str, Any], account: str = CORE
    ) -> PMDecision:
        at = instant_text(T + second * 10**9)
        fresh = [(path, at) for path in ("proposal.as_of", "market.quotes.0.ts", "market.quotes.1.ts")]
        recon = ("portfolio.recon", {"status": "ok", "count": 2, "equity_gap": 0})
        found = gate.decide(tree(*fresh, recon, *changes, as_of=at, account=account))
        assert isinstance(found, PMDecision)
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    if request.param == "sqlite":
        monkeypatch.delenv("REGIME_DATABASE", raising=False)
        yield World(tmp_path, lambda _: None, ("", ""))
        return
    url = request.getfixturevalue("postgresql")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE restored"))
    other = url.replace("/postgres?", "/restored?")
    assert other != url
    yield World(tmp_path, lambda one: monkeypatch.setenv("REGIME_DATABASE", one), (url, other))
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE restored WITH (FORCE)"))
    admin.dispose()


def test_a_backup_while_somebody_decides_restores_to_one_instant_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ending, told = threading.Event(), list[int]()

    with pm.Gate(world.config, world.artifacts) as gate:
        locked = world.decide(gate, 0, ("portfolio.cash", "900000"))
        assert locked.state is not None and locked.state.latches, "the story needs a lockout"
        latched = [latch.rule_id for latch in locked.state.latches]
        seal_everything(world.artifacts, world.config)

        def go_on() -> None:
            while not ending.is_set():
                told.append(len(told) + 1)
                world.decide(gate, 10 * len(told), account=DEFENSIVE if len(told) % 2 else CORE)
                if len(told) % 3 == 0:
                    seal_everything(world.artifacts, world.config)

        writer = threading.Thread(target=go_on)
        writer.start()
        while len(told) < 4:
            ending.wait(0.01)
        done = make_backup(world.saved, world.artifacts, world.config)
        after = len(told)
        while len(told) < after + 2:
            ending.wait(0.01)
        ending.set()
        writer.join()
    assert done.entries > 0 and done.files > 5

    world.there()
    monkeypatch.setenv("REGIME_WITNESS", str(tmp_path / "witness"))
    restored = restore_backup(world.saved, world.copy, tmp_path / "config-again")
    assert restored.entries == done.entries and verify_record(world.copy, None, None, ()).ok
    for name in ("settings.yaml", "traders.yaml"):
        assert (tmp_path / "config-again" / name).read_bytes() == (world.config / name).read_bytes()

    engine = open_database(database_url(world.copy))
    log, ledger = SqlAuditLog(engine, firm_id=FIRM), SqlLedger(engine, firm_id=FIRM, env=Mode.SHADOW)
    seq, _ = log.head(CHAIN)
    with reading(engine) as connection:
        states = connection.execute(
            select(ACCOUNT_STATE.c.seq, ACCOUNT_STATE.c.state_no)
            .where(ACCOUNT_STATE.c.chain_id == CHAIN)
            .order_by(ACCOUNT_STATE.c.state_no)
        ).all()
    assert 0 < len(states) <= after // 2 + 2 and states[-1].seq <= seq, "state and record are of one instant"
    before = ledger.load(CORE, LATEST_NS)
    assert before is not None
    assert [latch.rule_id for latch in before[0].latches] == latched, "the lockout is there"

    with pm.Gate(tmp_path / "config-again", world.copy) as gate:
        second = 10 * (after + 100)
        again = world.decide(gate, second)
        assert again.state is not None and set(latched) <= {latch.rule_id for latch in again.state.latches}
        assert not [order for order in again.orders if order.intent != "exit"], "and it holds"
        assert world.decide(gate, second) == again
    assert log.head(CHAIN)[0] > seq
    seal_everything(world.copy, tmp_path / "config-again")
    assert verify_record(world.copy, None, None, ()).ok
    engine.dispose()


def test_nothing_is_sealed_between_the_store_and_the_files(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else the record of the backup would know entries that its store has never heard of, and write them again."""
    with pm.Gate(world.config, world.artifacts) as gate:
        world.decide(gate, 0)
        seal_everything(world.artifacts, world.config)
        real = backup._save_database

        def then_more(*more: Any) -> Any:
            saved = real(*more)
            world.decide(gate, 10)
            seal_everything(world.artifacts, world.config)
            return saved

        monkeypatch.setattr(backup, "_save_database", then_more)
        make_backup(world.saved, world.artifacts, world.config)
    world.there()
    monkeypatch.setenv("REGIME_WITNESS", str(tmp_path / "witness"))
    restore_backup(world.saved, world.copy, None)
    with pm.Gate(world.config, world.copy) as gate:
        world.decide(gate, 20)
    seal_everything(world.copy, world.config)
    assert verify_record(world.copy, None, None, ()).ok


def test_every_table_comes_back_as_it_was(world: World) -> None:
    with pm.Gate(world.config, world.artifacts) as gate:
        world.decide(gate, 0)
    make_backup(world.saved, world.artifacts, world.config)
    before = rows(world.artifacts)
    world.there()
    restore_backup(world.saved, world.copy, None)
    assert rows(world.copy) == before and any(before.values())


def rows(artifacts: Path) -> dict[str, list[Any]]:
    engine = open_database(database_url(artifacts))
    with reading(engine) as connection:
        found = {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in METADATA.sorted_tables
        }
    engine.dispose()
    return found


def test_what_is_not_what_was_saved_is_refused_before_anything_is_written(world: World) -> None:
    with pm.Gate(world.config, world.artifacts) as gate:
        world.decide(gate, 0)
    seal_everything(world.artifacts, world.config)
    make_backup(world.saved, world.artifacts, world.config)
    names = [one["path"] for one in json.loads((world.saved / "backup.json").read_bytes())["files"]]
    assert {name.split("/")[0] for name in names} == {"artifacts", "config", "database"}
    assert not [name for name in names if name.endswith((".key", ".pem", ".lock", ".env"))]
    world.there()
    for name in (
        names[0],
        names[-1],
        next(name for name in names if name.startswith("artifacts/audit/schema")),
    ):
        good = (world.saved / name).read_bytes()
        (world.saved / name).write_bytes(good[:-1] + b"\0")
        with pytest.raises(CheckFailed, match="expected SHA-256"):
            restore_backup(world.saved, world.copy, None)
        (world.saved / name).unlink()
        with pytest.raises(CheckFailed, match="missing"):
            restore_backup(world.saved, world.copy, None)
        (world.saved / name).write_bytes(good)
        assert not world.copy.exists()
    for text_ in ("{}", "not json"):
        other = world.saved.with_name("other")
        other.mkdir(exist_ok=True)
        (other / "backup.json").write_text(text_)
        with pytest.raises(BadInput, match="a backup"):
            restore_backup(other, world.copy, None)
    outside = json.loads((world.saved / "backup.json").read_bytes())
    outside["files"][0]["path"] = "artifacts/../../x"
    (other / "backup.json").write_text(json.dumps(outside))
    with pytest.raises(BadInput, match="a backup"):
        restore_backup(other, world.copy, None)


def test_nothing_is_written_over(world: World) -> None:
    named = "REGIME_DATABASE" in os.environ
    if not named:
        with pytest.raises(BadInput, match=r"state/regime\.db"):
            make_backup(world.saved, world.artifacts, world.config)
    with pm.Gate(world.config, world.artifacts) as gate:
        world.decide(gate, 0)
    make_backup(world.saved, world.artifacts, world.config)
    with pytest.raises(BadInput, match="empty or new folder"):
        make_backup(world.saved, world.artifacts, world.config)
    with pytest.raises(BadInput, match="empty or new folder"):
        restore_backup(world.saved, world.artifacts, None)
    with pytest.raises(BadInput, match="empty or new folder"):
        restore_backup(world.saved, world.copy, world.config)
    if named:
        with pytest.raises(BadInput, match="an empty database"):
            restore_backup(world.saved, world.copy, None)


def test_a_store_of_another_kind_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pm.Gate(world.config, world.artifacts) as gate:
        world.decide(gate, 0)
    make_backup(world.saved, world.artifacts, world.config)
    if "REGIME_DATABASE" in os.environ:
        monkeypatch.delenv("REGIME_DATABASE")
    else:
        monkeypatch.setenv("REGIME_DATABASE", "postgresql+psycopg://nobody@127.0.0.1:1/x")
    with pytest.raises(BadInput, match="database"):
        restore_backup(world.saved, world.copy, None)
