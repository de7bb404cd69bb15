"""The store down, full, read-only: nothing that adds risk leaves, exits do, and the record hears of it later."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from tests.gate_samples import CONFIG, CORE, GROWTH, T, tree
from typer.testing import CliRunner

from regime_trading import pm
from regime_trading.adapters.database import SqlAuditLog, SqlLedger, open_database, sqlite_url
from regime_trading.adapters.journal.spool import FirmSpool
from regime_trading.cli import app
from regime_trading.core.audit import verify_chain
from regime_trading.core.errors import NotDurable, StoreDown
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import Mode, Outcome, PMDecision

S = 10**9
CHAIN = "shadow/north-pier/core"
RECON = ("portfolio.recon", {"status": "ok", "count": 2, "equity_gap": 0})
EXIT = ("proposal.weights", {"KO": "0"})
LOST = ("portfolio.cash", "900000")


class World:
    """A gate in shadow over a store that can be broken and mended."""

    def __init__(self, folder: Path) -> None:
        self.config, self.artifacts = folder / "config", folder / "artifacts"
        shutil.copytree(CONFIG, self.config)
        traders = self.config / "traders.yaml"
        traders.write_text(traders.read_text().replace("mode: dry_run", "mode: shadow", 1))
        self.spool = FirmSpool(self.artifacts / "spool", firm_id="north-pier")
        self.gate = pm.Gate(self.config, self.artifacts)
        self.broken: list[pytest.MonkeyPatch] = []

    def ask(self, seconds: int, *changes: tuple[str, Any], **top: Any) -> PMDecision:
        told = self.gate.decide(request(seconds, *changes, **top))
        assert isinstance(told, PMDecision)
        return told

    def entries(self) -> list[dict[str, Any]]:
        engine = open_database(sqlite_url(self.artifacts / "state" / "regime.db"))
        found = SqlAuditLog(engine, firm_id="north-pier").entries(CHAIN)
        engine.dispose()
        assert verify_chain(found, chain=CHAIN).ok
        return [orjson.loads(entry.event.body) for entry in found]


def request(seconds: int, *changes: tuple[str, Any], **top: Any) -> dict[str, Any]:
    ts = T + seconds * S
    fresh = [(path, ts) for path in ("proposal.as_of", "market.quotes.0.ts", "market.quotes.1.ts")]
    return tree(*fresh, RECON, *changes, **({"as_of": ts} | top))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.delenv("REGIME_SPOOL", raising=False)
    made = World(tmp_path)
    with made.gate:
        yield made
    for patch in made.broken:
        patch.undo()


def down(world: World, *, reads: bool) -> Callable[[], None]:
    """Every commit fails, and every reading too where ``reads``; returns what mends it."""

    def refuse(*_: object, **__: object) -> None:
        raise StoreDown("disk I/O error")

    patch = pytest.MonkeyPatch()
    world.broken.append(patch)
    patch.setattr(SqlLedger, "commit_decisions", refuse)
    if reads:
        for name in ("load", "load_beside", "decided"):
            patch.setattr(SqlLedger, name, refuse)
        for name in ("head", "entries", "last"):
            patch.setattr(SqlAuditLog, name, refuse)
        patch.setattr("regime_trading.adapters.database.SqlOverrides.of", refuse)
    return patch.undo


@pytest.mark.parametrize("reads", [False, True])
def test_entries_are_blocked_and_exits_go_through_the_second_place(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, reads: bool
) -> None:
    assert any(order.intent == "entry" for order in world.ask(0).orders)
    mend = down(world, reads=reads)
    blocked = world.ask(1, ("portfolio.equity_broker", "1000000"))
    assert blocked.orders == () and "AUDIT_DEGRADED" in blocked.rationale
    exit_ = world.ask(2, EXIT, ("portfolio.equity_broker", "1000000"))
    assert [(o.intent, o.symbol) for o in exit_.orders] == [("exit", "KO")]
    assert exit_.trading_state_after is TradingState.REDUCE_ONLY and "AUDIT_DEGRADED" in exit_.rationale
    assert world.ask(2, EXIT, ("portfolio.equity_broker", "1000000")) == exit_
    assert len(world.spool.pending()) == 2
    assert "AUDIT_DEGRADED: disk I/O error" in caplog.text
    mend()
    after = world.ask(3)
    assert after.trading_state_after is TradingState.NORMAL and after.orders
    assert world.spool.pending() == ()
    told = world.entries()
    kinds = [body["event_type"] for body in told if body["event_type"] in ("DECISION", "DEGRADED")]
    assert kinds == ["DECISION", "DEGRADED", "DEGRADED", "DECISION"]
    kept = [body for body in told if body["event_type"] == "DEGRADED"]
    assert [body["decision_id"] for body in kept] == [blocked.decision_id, exit_.decision_id]
    assert all(body["reason_codes"] == ["AUDIT_DEGRADED"] for body in kept)
    assert exit_.orders[0].client_order_id in kept[1]["orders"][0]
    assert kept[1]["entries"][0]["event_type"] == "DECISION"


def test_a_lockout_found_meanwhile_holds_during_and_after(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ask(0)
    mend = down(world, reads=False)
    lost = world.ask(1, LOST)
    assert lost.outcome is Outcome.FLATTEN and "LD-01" in lost.latches_added
    assert world.ask(2).trading_state_before is TradingState.FLATTEN
    mend()
    assert world.ask(3).trading_state_before is TradingState.FLATTEN


def test_a_lockout_of_the_store_is_not_forgotten_while_it_can_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ask(0, LOST)
    down(world, reads=False)
    assert world.ask(1).trading_state_before is TradingState.FLATTEN


def test_where_both_places_fail_nothing_is_allowed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ask(0)
    mend = down(world, reads=False)

    def full(*_: object) -> None:
        raise NotDurable("no space in the second place")

    monkeypatch.setattr(FirmSpool, "append", full)
    with pytest.raises(NotDurable, match="second place"):
        world.ask(1, EXIT)
    monkeypatch.undo()
    assert world.spool.pending() == ()
    mend()
    assert [body["event_type"] for body in world.entries()].count("DEGRADED") == 0


def test_a_spool_that_is_damaged_holds_its_firm_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.ask(0)
    mend = down(world, reads=False)
    world.ask(1)
    world.ask(2)
    mend()
    data = bytearray(world.spool.path.read_bytes())
    data[60] ^= 1
    world.spool.path.write_bytes(bytes(data))
    held = world.ask(3)
    assert held.trading_state_after is TradingState.REDUCE_ONLY and held.orders == ()
    assert "the spool of north-pier waits" in caplog.text
    other = world.ask(3, ("portfolio.cash", "188000"), account=GROWTH)
    assert other.trading_state_after is TradingState.NORMAL and other.orders


def test_a_crash_between_the_record_and_putting_the_spool_away_writes_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ask(0)
    mend = down(world, reads=False)
    world.ask(1, EXIT)
    mend()
    with monkeypatch.context() as patch:
        patch.setattr(FirmSpool, "_archive", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
        assert world.ask(2).orders == ()  # it waits still, as far as anybody can tell
    assert world.ask(3).orders
    assert [body["event_type"] for body in world.entries()].count("DEGRADED") == 1


def test_a_later_decision_of_somebody_else_keeps_what_it_knew_and_gains_the_lockout(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ask(0)
    mend = down(world, reads=False)
    world.ask(1, LOST)
    kept = world.spool.path.rename(
        world.spool.path.with_name("away")
    )  # somebody who does not see the spool yet
    mend()
    assert world.ask(5).trading_state_before is TradingState.NORMAL
    kept.rename(world.spool.path)
    after = world.ask(6)
    assert after.trading_state_before is TradingState.FLATTEN
    assert [b["event_type"] for b in world.entries()].count("DEGRADED") == 1


def test_a_request_of_the_past_is_refused_also_then(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ask(0)
    down(world, reads=False)
    world.ask(5, EXIT)
    with pytest.raises(pm.InvalidRequest, match="a time after the last decision"):
        world.ask(4, EXIT)


def test_a_conflict_is_not_a_store_that_is_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ask(0)

    def lost(*_: object) -> None:
        raise NotDurable("decided by somebody else meanwhile")

    monkeypatch.setattr(SqlLedger, "commit_decisions", lost)
    with pytest.raises(NotDurable, match="somebody else"):
        world.ask(1)
    assert world.spool.pending() == ()


# --- real faults ------------------------------------------------------------------------------------------


def test_a_full_database(world: World) -> None:
    """SQLite may not grow any more: what SQLITE_FULL does is what a full disk does."""
    world.ask(0)
    _, store = world.gate._opened[True]
    engine = store.audit("north-pier")._engine

    full = [True]

    @event.listens_for(engine, "begin")
    def no_room(connection: Any) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() if full[0] else 10**6
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    n = 1
    while "AUDIT_DEGRADED" not in (told := world.ask(n)).rationale:  # until the free pages are used up
        n += 1
    assert told.orders == () and n < 40
    assert [o.intent for o in world.ask(n + 1, EXIT).orders] == ["exit"]
    full[0] = False
    assert world.ask(n + 2).orders
    kinds = [body["event_type"] for body in world.entries()]
    assert kinds.count("DEGRADED") == 2 and kinds.count("DECISION") == n + 1


@pytest.mark.parametrize(
    "fault", ["disk I/O error", "attempt to write a readonly database", "database is locked"]
)
def test_a_failing_statement_or_commit(world: World, fault: str) -> None:
    world.ask(0)
    _, store = world.gate._opened[True]
    engine = store.audit("north-pier")._engine
    for n, kind in enumerate(("before_cursor_execute", "commit")):

        def fail(*arguments: Any) -> None:
            if len(arguments) == 1 or arguments[2].startswith("INSERT"):
                raise OperationalError("", {}, Exception(fault))

        event.listen(engine, kind, fail)
        assert world.ask(10 * n + 1).orders == ()
        assert [o.intent for o in world.ask(10 * n + 2, EXIT).orders] == ["exit"]
        event.remove(engine, kind, fail)
        assert world.ask(10 * n + 3).orders
    assert [body["event_type"] for body in world.entries()].count("DEGRADED") == 4


def test_a_store_that_cannot_even_be_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path)
    with world.gate:
        world.ask(0)
    database = world.artifacts / "state" / "regime.db"
    for left in database.parent.glob("regime.db-*"):
        left.unlink()
    kept = database.rename(database.with_name("kept"))
    database.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pm.Gate(world.config, world.artifacts) as gate:
        told = gate.decide(request(1, EXIT, ("portfolio.equity_broker", "1000000")))
        assert isinstance(told, PMDecision) and [o.intent for o in told.orders] == ["exit"]
        assert "AUDIT_DEGRADED" in told.rationale
    kept.rename(database)
    with pm.Gate(world.config, world.artifacts) as world.gate:
        assert world.ask(2).orders
    assert [body["event_type"] for body in world.entries()].count("DEGRADED") == 1


# --- the command line ---------------------------------------------------------------------------------------


def test_entries_of_shadow_are_sealed_by_a_command(world: World) -> None:
    for n in range(3):
        world.ask(n)
    world.gate.__exit__()
    command = ["audit", "seal", "--artifacts", str(world.artifacts), "--json"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.stderr
    chains = {one["chain_id"]: one for one in orjson.loads(told.stdout)["chains"]}
    acts = {name for name in chains if name.startswith("admin/")}
    assert set(chains) - acts == {CHAIN} and acts
    chain = chains[CHAIN]
    assert len(chain["parts"]) == 1
    assert (world.artifacts / chain["parts"][0]).is_file()
    assert "nothing waits" in CliRunner().invoke(app, command[:-1]).stdout
    assert CliRunner().invoke(app, ["audit", "seal", "--artifacts", str(world.config)]).exit_code == 2
    with pm.Gate(world.config, world.artifacts) as world.gate:
        assert world.ask(3).orders  # the chain goes on from its sealed head
    engine = open_database(sqlite_url(world.artifacts / "state" / "regime.db"))
    stored = SqlLedger(engine, firm_id="north-pier", env=Mode.SHADOW).load(CORE, LATEST_NS)
    assert stored is not None and stored[0].as_of_ns == T + 3 * S
    assert "DS-08" not in {  # what did not hold is still known after sealing: only changes are written
        orjson.loads(e.event.body)["rule_id"]
        for e in SqlAuditLog(engine, firm_id="north-pier").entries(
            CHAIN, SqlAuditLog(engine, firm_id="north-pier").sealed(CHAIN).seq
        )
        if e.event.event_type == "RULE_BREACH"
    }
    engine.dispose()
