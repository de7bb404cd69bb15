"""What is particular to PostgreSQL: durability is asked for, writers take turns, the loser of a race is told so."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from tests.gate_samples import CONFIG, DEFENSIVE, tree
from tests.record_samples import decision_id, events, latch, orders, portfolio, state
from tests.record_samples import event as audit_event
from tests.whole_chain import whole_chain

from regime_trading import pm
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlAuditLog, SqlLedger, open_database
from regime_trading.adapters.database.engine import writing
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.bootstrap.sealing import seal_everything
from regime_trading.core.audit import verify_chain
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.errors import BadInput, NotDurable, StoreDown
from regime_trading.core.schemas import Mode


def test_a_server_that_would_forget_is_refused(postgresql: str) -> None:
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("ALTER ROLE postgres SET synchronous_commit = off"))
        try:
            with pytest.raises(StoreDown, match="synchronous_commit = off: expected on"):
                open_database(postgresql)
        finally:
            connection.execute(text("ALTER ROLE postgres RESET synchronous_commit"))
    admin.dispose()
    open_database(postgresql).dispose()


@pytest.mark.parametrize("url", ["mysql+pymysql://x@127.0.0.1/x", "mssql+pyodbc://x@127.0.0.1/x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(BadInput, match="postgresql"):
        open_database(url)


def test_a_server_that_is_not_there_is_down(tmp_path: object) -> None:
    with pytest.raises(StoreDown):
        open_database(f"postgresql+psycopg://postgres:@/postgres?host={tmp_path}")


def made(n: int, newest_ns: int | None) -> DecisionCommit:
    """Decisions of one account at one time in a dry run each: nothing but the state that came before collides."""
    run_id = f"run-{n}"
    return DecisionCommit(
        state(n, latches=(latch(n),)), portfolio(n), orders(n, run_id),
        [audit_event(1, run_id=run_id, ts_event_ns=5)], run_id, decision_id(n), newest_ns,
    )  # fmt: skip


def test_of_two_writers_that_read_the_same_state_one_loses(postgresql: str) -> None:
    """Each has its own connection pool, as two processes have, and its own chain."""
    start, lost, won = threading.Barrier(8), list[int](), list[int]()

    def write(n: int) -> None:
        engine = open_database(postgresql)
        start.wait()
        try:
            SqlLedger(engine, firm_id="alpha", env=Mode.DRY_RUN).commit_decisions([made(n, newest_ns=-1)])
            won.append(n)
        except NotDurable as err:
            assert "decided by somebody else meanwhile" in str(err) and not isinstance(err, StoreDown)
            lost.append(n)
        engine.dispose()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and len(lost) == 7


def test_a_writer_that_goes_around_the_lock_meets_the_constraints(postgresql: str) -> None:
    engine = open_database(postgresql)
    log = SqlAuditLog(engine, firm_id="alpha")

    gone = list[bool]()

    @event.listens_for(engine, "before_cursor_execute")
    def around(_c: object, _k: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO wal") and not gone:
            gone.append(True)
            other = create_engine(postgresql)
            with other.begin() as connection:
                connection.execute(
                    text(
                        "INSERT INTO wal VALUES ('dry_run/run-1/alpha/main', 1, 'alpha', 'RUN', 0, '', '', '')"
                    )
                )
            other.dispose()

    with pytest.raises(NotDurable, match="duplicate key") as caught:
        log.append(events(2))
    assert not isinstance(caught.value, StoreDown)
    engine.dispose()


def test_serialization_and_deadlock_are_conflicts_not_a_store_that_is_down(postgresql: str) -> None:
    engine = open_database(postgresql)
    for state_ in ("40001", "40P01"):
        with pytest.raises(NotDurable) as caught, writing(engine) as connection:
            connection.exec_driver_sql(
                f"DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '{state_}'; END $$"
            )
        assert not isinstance(caught.value, StoreDown)
    with pytest.raises(StoreDown), writing(engine) as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql("DELETE FROM wal")
    engine.dispose()


def test_the_gate_runs_on_it(postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    traders = config / "traders.yaml"
    traders.write_text(traders.read_text().replace("mode: dry_run", "mode: shadow"))
    monkeypatch.setenv("REGIME_DATABASE", postgresql)
    chain = "shadow/north-pier/core"
    with pm.Gate(config, tmp_path / "artifacts") as gate:
        first = gate.decide([tree(("portfolio.cash", "900000")), tree(account=DEFENSIVE)])
        assert gate.decide([tree(("portfolio.cash", "900000")), tree(account=DEFENSIVE)]) == first
    sealed = {done.entries.chain_id for done in seal_everything(tmp_path / "artifacts")}
    assert sealed == {
        chain,
        "shadow/north-pier/defensive",
        "admin/north-pier/_firm",
        "admin/kestrel-lane/_firm",
    }
    engine = open_database(postgresql)
    log = SqlAuditLog(engine, firm_id="north-pier")
    sealer = ParquetSealer(LocalArtifacts(tmp_path / "artifacts"))
    entries = list(whole_chain(log, sealer, chain))
    assert verify_chain(entries, chain=chain).ok and log.sealed(chain).seq == len(entries) > 2
    assert not (tmp_path / "artifacts" / "state" / "regime.db").exists()
    engine.dispose()


def test_processes_that_open_a_new_database_at_once_all_succeed(postgresql: str) -> None:
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE fresh")
    fresh, errors = postgresql.replace("/postgres?", "/fresh?"), list[Exception]()

    def open_it() -> None:
        try:
            open_database(fresh).dispose()
        except Exception as err:
            errors.append(err)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    log = SqlAuditLog(opened := open_database(fresh), firm_id="alpha")
    log.append(events(3))
    assert verify_chain(log.entries("dry_run/run-1/alpha/main"), chain="dry_run/run-1/alpha/main").ok
    opened.dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE fresh")
    admin.dispose()
