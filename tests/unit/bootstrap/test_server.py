"""One installation as its server sees it: modes of firms, the market's clock, and the record of what people did."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.gate_samples import CONFIG

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlAuditLog, open_database
from regime_trading.bootstrap import database_url
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.demo import demo_folders, told_of
from regime_trading.bootstrap.desk import make_desk
from regime_trading.bootstrap.halts import make_halts
from regime_trading.bootstrap.paced import Configured
from regime_trading.bootstrap.proof import verify_record
from regime_trading.bootstrap.secrets import server_secret
from regime_trading.bootstrap.server import ServeOptions, Server
from regime_trading.bootstrap.users import make_people
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.schemas import Mode
from regime_trading.services.sealing import MINUTE_NS

FIRM = "north-pier"


@dataclass
class Watch:
    at: int

    def now_ns(self) -> int:
        return self.at


@contextmanager
def installation(folder: Path) -> Iterator[tuple[Server, Any]]:
    shutil.copytree(CONFIG, folder / "config")
    store = LocalArtifacts(folder / "artifacts")
    engine = open_database(database_url(store.root))
    acts = make_acts(engine, store, "1")
    server = Server(
        engine=engine,
        store=store,
        config=folder / "config",
        configured=Configured(folder / "config", engine, acts, print),
        people=make_people(engine, server_secret(), acts),
        options=ServeOptions(jobs=0),
    )
    halts = make_halts(store.root, lambda: engine, lambda: acts, server.profiles, print)
    yield server, make_desk(server, acts, halts)
    engine.dispose()


def test_what_people_did_is_sealed_and_signed_within_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGIME_DATABASE", raising=False)
    with installation(tmp_path) as (server, desk):
        log = SqlAuditLog(server.engine, firm_id=FIRM)
        assert log.backlog(), "the configuration was accepted"
        server.housekeep(desk)
        assert log.backlog(), "not due yet"
        now_ns = server.clock.now_ns()
        server.clock = Watch(now_ns + 2 * MINUTE_NS)  # type: ignore[assignment]
        server.housekeep(desk)
        assert not log.backlog()
    found = verify_record(tmp_path / "artifacts", None, None, [])
    assert found.ok and not list(found.unsigned())
    assert {report.chain for report in found.chains} >= {f"admin/{FIRM}/_firm"}


def test_a_step_of_housekeeping_that_fails_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise NotDurable("a test")

    monkeypatch.delenv("REGIME_DATABASE", raising=False)
    monkeypatch.setattr("regime_trading.bootstrap.server.settle", failing)
    with installation(tmp_path) as (server, desk):
        server.clock = Watch(server.clock.now_ns() + 2 * MINUTE_NS)  # type: ignore[assignment]
        server.housekeep(desk)
        assert not SqlAuditLog(server.engine, firm_id=FIRM).backlog(), "sealed all the same"


def test_the_mode_of_a_firm_is_that_of_all_its_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGIME_DATABASE", raising=False)
    with installation(tmp_path) as (server, _):
        assert server.mode(FIRM) is server.mode(f"{FIRM}/core") is Mode.DRY_RUN
        assert server.mode("nowhere") is server.mode(f"{FIRM}/ghost") is None
        traders = tmp_path / "config" / "traders.yaml"
        traders.write_text(traders.read_text().replace("mode: dry_run", "mode: shadow", 1))
        assert server.mode(FIRM) is None and server.mode(f"{FIRM}/core") is Mode.SHADOW


def test_the_market_is_as_late_as_the_wall_but_in_a_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGIME_DATABASE", raising=False)
    with installation(tmp_path) as (server, _):
        assert server.market_ns(1_000) == 1_000
        server.replayed = (50, 900)
        assert (server.market_ns(1_000), server.market_ns(800)) == (150, 50)
        assert [one["name"] for one in server.ready()["checks"]][-1] != "demo"
        server.options = ServeOptions(jobs=0, demo=True)
        checks = server.ready()["checks"]
        assert checks[-1] == {
            "name": "demo",
            "ok": False,
            "detail": "it has not begun",
            "needed": True,
        }


def test_a_demo_copies_the_configuration_once_and_whole(tmp_path: Path) -> None:
    given, root = tmp_path / "given", tmp_path / "demo"
    with pytest.raises(BadInput, match=r"expected a folder with settings\.yaml"):
        demo_folders(root, given)
    shutil.copytree(CONFIG, given)
    (given / "traders.yaml").rename(tmp_path / "traders.yaml")
    with pytest.raises(BadInput, match=r"traders\.yaml"):
        demo_folders(root, given)
    (tmp_path / "traders.yaml").rename(given / "traders.yaml")
    assert demo_folders(root, given) == (root, root / "config")
    names = sorted(path.name for path in (root / "config").iterdir())
    assert names == sorted(
        {path.name for path in given.iterdir()} & {"settings.yaml", "traders.yaml", "presets.yaml"}
    )
    (root / "config" / "traders.yaml").write_text("changed in the demo")
    demo_folders(root, given)
    assert (root / "config" / "traders.yaml").read_text() == "changed in the demo"


@pytest.mark.parametrize(
    ("left", "is_over", "said"),
    [
        ((), False, "it goes on"),
        ((), True, "every bar is decided"),
        (("n/a",), False, "it goes on without n/a, decided by somebody else for a later time"),
        (
            ("n/a", "n/b"),
            True,
            "every bar is decided without n/a, n/b, decided by somebody else for a later time",
        ),
    ],
)
def test_a_demo_names_the_accounts_that_it_leaves_alone(
    left: tuple[str, ...], is_over: bool, said: str
) -> None:
    assert told_of(left, is_over=is_over) == said
