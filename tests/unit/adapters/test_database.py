"""The store under stress: kills, full disks, failing statements, migrations, several processes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, event, inspect, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable
from tests import record_samples as sample
from tests.unit.core.test_trader_profile import profile

from regime_trading.adapters.database import (
    SqlAuditLog,
    SqlLastGood,
    SqlLedger,
    SqlOverrides,
    SqlRuns,
    open_database,
    sqlite_url,
)
from regime_trading.adapters.database.engine import MIGRATIONS, reading
from regime_trading.adapters.database.tables import ACCOUNT_STATE, LATCHES, METADATA, OUTBOX, WAL
from regime_trading.core.audit import verify_chain
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable, RegimeError
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.schemas import Mode, OrderStatus, RunRecord

REPOSITORY = Path(__file__).parents[3]
CHAIN = "dry_run/run-1/alpha/main"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "folder" / "store.db")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    opened = open_database(url)
    yield opened
    opened.dispose()


def ledger_of(engine: Engine) -> SqlLedger:
    return SqlLedger(engine, firm_id="alpha", env=Mode.DRY_RUN)


def commit(ledger: SqlLedger, seq: int) -> Any:
    return ledger.commit_decision(
        state=sample.state(seq, latches=(sample.latch(1), sample.latch(seq))),
        portfolio=sample.portfolio(seq),
        orders=sample.orders(seq),
        events=[sample.event(seq)],
        run_id="run-1",
        decision_id=sample.decision_id(seq),
    )


def contents(engine: Engine) -> list[list[tuple[Any, ...]]]:
    with reading(engine) as connection:
        return [
            sorted(map(tuple, connection.execute(select(table))))
            for table in (WAL, ACCOUNT_STATE, LATCHES, OUTBOX)
        ]


# --- opening ----------------------------------------------------------------------------------------------


def test_every_connection_is_durable_at_commit(engine: Engine) -> None:
    with engine.connect() as one, engine.connect() as two:
        for connection in (one, two):
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 30_000


@pytest.mark.parametrize(
    "bad", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true", "nonsense"]
)
def test_a_store_that_forgets_is_refused(bad: str) -> None:
    with pytest.raises(BadInput):
        open_database(bad)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(RegimeError, match="not a database"):
        open_database(sqlite_url(tmp_path / "store.db"))


def test_migrations_create_exactly_the_tables_that_the_code_uses(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    fresh = create_engine("sqlite://")
    METADATA.create_all(fresh)

    def shape(found: Engine) -> dict[str, Any]:
        inspector = inspect(found)
        return {
            name: (
                [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)],
                inspector.get_pk_constraint(name),
                sorted(map(str, inspector.get_unique_constraints(name))),
                sorted(map(str, inspector.get_indexes(name))),
                inspector.get_foreign_keys(name),
                inspector.get_check_constraints(name),
            )
            for name in METADATA.tables
        }

    assert shape(engine) == shape(fresh)


def test_opening_again_changes_nothing(engine: Engine, url: str) -> None:
    commit(ledger_of(engine), 1)
    before = contents(engine)
    assert contents(open_database(url)) == before


def test_a_newer_schema_is_refused(engine: Engine, url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(BadInput, match="9999"):
        open_database(url)


def test_a_migration_that_breaks_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OperationalError("CREATE INDEX", {}, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr("alembic.operations.Operations.create_index", broken)
    with pytest.raises(NotDurable):
        open_database(url)
    monkeypatch.undo()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    assert inspect(open_database(url)).has_table("wal")


OPEN_AT_ONCE = """
import os, sys
from regime_trading.adapters.database import open_database
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        open_database(sys.argv[1])
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_processes_that_open_a_new_store_at_once_all_succeed(url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", OPEN_AT_ONCE, url], capture_output=True, text=True, check=True
    )
    assert (ran.stdout.strip(), ran.stderr) == ("[0, 0, 0, 0, 0, 0]", "")
    assert inspect(open_database(url)).has_table("wal")


def test_a_new_file_that_another_writes_to_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself does not: the change to WAL fails at once."""
    file = tmp_path / "store.db"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE held (a)")
    release = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    release.start()
    open_database(sqlite_url(file)).dispose()
    release.join()
    other.close()


def test_the_tables_are_not_bound_to_sqlite() -> None:
    for table in METADATA.sorted_tables:
        ddl = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert "CREATE TABLE" in ddl
    assert "BIGSERIAL" in str(CreateTable(ACCOUNT_STATE).compile(dialect=postgresql.dialect()))


def test_every_table_names_its_firm() -> None:
    """But for what belongs to a login, which is there before anybody knows for which firm (decision 0021)."""
    without = {name for name, table in METADATA.tables.items() if "firm_id" not in table.c}
    assert without == {
        "users",
        "sessions",
        "one_time_links",
        "totp_seeds",
        "passkeys",
        "recovery_codes",
        "webauthn_challenges",
        "external_identities",
        "login_throttles",
        "idempotency",
        "ws_tickets",
    }
    assert not any(t.c.firm_id.nullable for name, t in METADATA.tables.items() if name not in without)


# --- failing ----------------------------------------------------------------------------------------------


def test_a_full_disk_acknowledges_nothing_and_the_store_goes_on_when_there_is_room(engine: Engine) -> None:
    ledger, acknowledged = ledger_of(engine), []
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 12}")
    with pytest.raises(NotDurable, match="full"):
        for seq in range(1, 200):
            acknowledged.append(commit(ledger, seq))
    last = len(acknowledged)
    assert 0 < last < 199
    log = SqlAuditLog(engine, firm_id="alpha")
    assert log.head(CHAIN) == (last, acknowledged[-1].entry_hash)
    assert ledger.load("alpha/main", 2**62)[0] == sample.state(
        last, latches=(sample.latch(1), sample.latch(last))
    )  # type: ignore[index]
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    assert commit(ledger, last + 1).seq == last + 1


def test_a_read_only_store_can_be_read_and_acknowledges_nothing(engine: Engine, url: str) -> None:
    receipt = commit(ledger_of(engine), 1)
    path = url.removeprefix("sqlite:///")
    readonly = open_database(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert ledger_of(readonly).load("alpha/main", 2**62) is not None
    assert SqlAuditLog(readonly, firm_id="alpha").head(CHAIN) == (1, receipt.entry_hash)
    with pytest.raises(NotDurable, match="readonly"):
        commit(ledger_of(readonly), 2)
    with pytest.raises(NotDurable, match="readonly"):
        SqlAuditLog(readonly, firm_id="alpha").append([sample.event(2)])


def test_a_locked_store_acknowledges_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regime_trading.adapters.database.engine.BUSY_TIMEOUT_S", 0.05)
    engine = open_database(url)
    with sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotDurable, match="locked"):
            commit(ledger_of(engine), 1)
        other.execute("ROLLBACK")
    assert commit(ledger_of(engine), 1).seq == 1


def test_a_failure_at_any_statement_or_at_commit_leaves_nothing(engine: Engine) -> None:
    ledger = ledger_of(engine)
    commit(ledger, 1)
    before, countdown, statements = contents(engine), [0], []

    def fail(*arguments: Any) -> None:
        countdown[0] -= 1
        statements.append(arguments[2] if len(arguments) > 1 else "COMMIT")
        if countdown[0] == 0:
            raise OperationalError("", {}, sqlite3.OperationalError("disk I/O error"))

    event.listen(engine, "before_cursor_execute", fail)
    event.listen(engine, "commit", fail)
    points = 0
    while True:  # ends when the fault lies behind the last statement
        points, countdown[0] = points + 1, points + 1
        statements.clear()
        try:
            commit(ledger, 2)
            break
        except NotDurable as err:
            assert "disk I/O error" in str(err)
        countdown[0] = 0
        assert contents(engine) == before
    countdown[0] = 0
    assert statements[0] == "BEGIN IMMEDIATE" and statements[-1] == "COMMIT"
    assert points - 1 == len(statements) >= 7
    assert ledger.load("alpha/main", 2**62)[0].as_of_ns == sample.state(2).as_of_ns  # type: ignore[index]


def test_an_error_message_holds_no_account_data(engine: Engine) -> None:
    ledger = ledger_of(engine)
    commit(ledger, 1)
    with pytest.raises(NotDurable) as caught:
        ledger.commit_decision(
            state=sample.state(2),
            portfolio=sample.portfolio(2),
            orders=sample.orders(1),
            events=[sample.event(2)],
            run_id="run-1",
            decision_id="second",
        )
    assert "UNIQUE" in str(caught.value)
    assert "1000002" not in str(caught.value) and "INSERT" not in str(caught.value)


# --- killing ----------------------------------------------------------------------------------------------

CRASHES = 12
HARNESS = """
import json, os, random, signal, sys, time
from pathlib import Path
from regime_trading.adapters.database import SqlLedger, open_database, sqlite_url
from regime_trading.core.schemas import Mode
from tests import record_samples as sample

def write(path, pipe):
    ledger = SqlLedger(open_database(sqlite_url(path)), firm_id="alpha", env=Mode.DRY_RUN)
    found = ledger.load("alpha/main", 2**62)
    seq = 0 if found is None else found[0].session
    latches = () if found is None else found[0].latches
    while True:
        seq += 1
        if seq % 3 == 0:
            latches = (*latches, sample.latch(seq))
        receipt = ledger.commit_decision(
            state=sample.state(seq, latches=latches), portfolio=sample.portfolio(seq), orders=sample.orders(seq),
            events=[sample.event(seq)], run_id="run-1", decision_id=sample.decision_id(seq))
        os.write(pipe, f"{receipt.seq} {receipt.entry_hash}\\n".encode())

def trial(path, wanted, delay):
    read, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        write(path, pipe)
    os.close(pipe)
    acknowledged = b""
    while acknowledged.count(b"\\n") < wanted:
        acknowledged += os.read(read, 4096)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as rest:
        return [line.split() for line in (acknowledged + rest.read()).decode().splitlines()]

folder, trials = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(7)
found = []
for n in range(trials):
    path = folder / f"store-{n % 3}.db"
    found.append([path.name, trial(path, chance.randrange(25) * (n % 4 > 0), chance.uniform(0, 0.02))])
print(json.dumps(found))
"""


def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", HARNESS, str(tmp_path), str(CRASHES)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    trials = json.loads(ran.stdout)
    assert len(trials) == CRASHES and sum(len(acknowledged) for _, acknowledged in trials) > 50
    for name in sorted({name for name, _ in trials}):
        receipts = [r for store, acknowledged in trials if store == name for r in acknowledged]
        _require_consistent(open_database(sqlite_url(tmp_path / name)), receipts)


def _require_consistent(engine: Engine, receipts: list[list[str]]) -> None:
    entries = SqlAuditLog(engine, firm_id="alpha").entries(CHAIN)
    assert verify_chain(entries, chain=CHAIN).ok
    hashes = {entry.event.seq: entry.entry_hash for entry in entries}
    assert all(hashes[int(seq)] == entry_hash for seq, entry_hash in receipts)
    last = len(entries)
    found = ledger_of(engine).load("alpha/main", 2**62)
    assert found is not None
    latches = tuple(sample.latch(seq) for seq in range(3, last + 1, 3))
    assert found == (sample.state(last, latches=latches), sample.portfolio(last), sample.orders(last))
    with reading(engine) as connection:
        decided = (
            connection.execute(select(ACCOUNT_STATE.c.seq).order_by(ACCOUNT_STATE.c.seq)).scalars().all()
        )
        sent = connection.execute(select(OUTBOX.c.seq).order_by(OUTBOX.c.seq)).scalars().all()
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    assert decided == list(range(1, last + 1))
    assert sent == [seq for seq in decided for _ in range(2)]


# --- runs -------------------------------------------------------------------------------------------------


def run(run_id: str = "run-1", **changes: Any) -> RunRecord:
    plain = {
        "kind": "backtest",
        "status": "started",
        "inputs_hash": "a" * 64,
        "as_of_ns": 5,
        "path": f"runs/{run_id}",
    }
    return RunRecord(run_id, **(plain | changes))


def test_a_run_is_recorded_once_and_finished(engine: Engine) -> None:
    runs = SqlRuns(engine, firm_id="alpha")
    assert runs.get("run-1") is None
    assert runs.start(run()) == run()
    runs.finish("run-1", "done")
    assert runs.start(run()) == runs.get("run-1") == run(status="done")
    runs.start(run("run-0", as_of_ns=6))
    assert [found.run_id for found in runs.all()] == ["run-1", "run-0"]
    for other in (run(inputs_hash="b" * 64), run(kind="run")):
        with pytest.raises(BadInput, match="run-1"):
            runs.start(other)
    with pytest.raises(BadInput):
        runs.finish("run-9", "done")
    with pytest.raises(BadInput):
        runs.start(run("../run"))


def test_two_firms_of_one_run_do_not_see_each_other(engine: Engine) -> None:
    one, two = (SqlRuns(engine, firm_id=firm) for firm in ("alpha", "beta"))
    one.start(run())
    assert two.all() == () and two.get("run-1") is None
    two.start(run(inputs_hash="b" * 64))
    two.finish("run-1", "failed")
    assert one.get("run-1") == run()


def test_two_ledgers_on_one_engine_keep_their_firms_apart(engine: Engine) -> None:
    receipt = commit(ledger_of(engine), 1)
    other = SqlLedger(engine, firm_id="beta", env=Mode.DRY_RUN)
    other.commit_decision(
        state=sample.state(1, account="beta/main"),
        portfolio=sample.portfolio(1, account="beta/main"),
        orders=sample.orders(1),
        events=[sample.event(1, firm="beta")],
        run_id="run-1",
        decision_id=sample.decision_id(1),
    )
    ledger_of(engine).mark_orders(receipt, {sample.orders(1)[0].client_order_id: OrderStatus.FILLED})
    assert other.load("beta/main", 2**62)[2] == sample.orders(1)  # type: ignore[index]


# --- configurations over time -------------------------------------------------------------------------------


def test_a_database_of_the_foundation_is_brought_up_to_date(url: str) -> None:
    """Rows that were there before the second migration are there after it."""
    before = create_engine(url)
    Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with before.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    before.dispose()
    assert not inspect(before).has_table("session_overrides")
    engine = open_database(url)
    commit(ledger_of(engine), 1)
    assert inspect(engine).has_table("session_overrides")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    assert not inspect(engine).has_table("last_good_configs")
    assert ledger_of(open_database(url)).load("alpha/main", 2**62) is not None


def override() -> SessionOverride:
    return SessionOverride(
        account="alpha/main", path="risk.gross", value="0.5", reason="a bad day", created_by="local",
        created_at_ns=1, expires_at_ns=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"), [('"0.5"', '"0.9"'), ('"expires_at_ns":2', '"expires_at_ns":3'), ("{", "")]
)
def test_an_altered_override_is_noticed(engine: Engine, old: str, new: str) -> None:
    store = SqlOverrides(engine, firm_id="alpha")
    store.add(override(), lambda stored: None)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE session_overrides SET body = replace(body, :old, :new)"), {"old": old, "new": new}
        )
    with pytest.raises(CheckFailed, match=f"session override {override().override_id} of alpha/main"):
        store.of("alpha/main")


@pytest.mark.parametrize(
    "change",
    [
        """profile = replace(profile, '"max_gross":"1"', '"max_gross":"2"')""",
        "profile = replace(profile, 'CC-02', 'CC-99')",
        "profile = 'nonsense'",
        "config_hash = replace(config_hash, substr(config_hash, 1, 1), 'x')",
    ],
)
def test_a_configuration_that_does_not_verify_is_none(engine: Engine, change: str) -> None:
    store = SqlLastGood(engine, firm_id="firm")
    store.accept([profile()], 5)
    assert store.get("firm/acc") is not None
    with engine.begin() as connection:
        assert connection.execute(text(f"UPDATE last_good_configs SET {change}")).rowcount == 1
    assert store.get("firm/acc") is None
