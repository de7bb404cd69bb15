"""A paced run decides what the history loop decides, goes on after whatever stopped it, and carries halts."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlLedger, SqlMessages, open_database, sqlite_url
from regime_trading.adapters.journal import ParquetSealer, compaction
from regime_trading.adapters.witness import open_witnesses
from regime_trading.bootstrap.acts import firm_history, make_acts
from regime_trading.bootstrap.app import open_app
from regime_trading.bootstrap.paced import Configured, MarketPages, PacedApp, open_paced
from regime_trading.bootstrap.proof import verify_record
from regime_trading.bootstrap.sealing import seal_everything
from regime_trading.bootstrap.views import firm_sources, open_proofs
from regime_trading.core.access import Caller, Grant, Principal, Role
from regime_trading.core.controls import LOCAL, Level
from regime_trading.core.errors import CheckFailed, NotDurable, Overtaken, StoreDown
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.recorded import Selection
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import ActorType, Mode, RLBlock
from regime_trading.services.backtest import run_backtest
from regime_trading.services.backtest_plan import BacktestRequest
from regime_trading.services.controls import HaltAsk, ResumeAsk, halt, resume, status
from regime_trading.services.paced_market import NO_TAPE
from regime_trading.services.rl import check
from regime_trading.services.rl_dataset import WHO, Record, RLDataset, RLRun
from regime_trading.services.sealing import Sealing, SealPolicy
from regime_trading.services.views import regimes, runs
from regime_trading.services.views.base import Asker

ROOT = Path(__file__).parents[2]
ACCOUNTS = ("north-pier/core", "north-pier/defensive", "kestrel-lane/eval-100k")
CORE, DEFENSIVE, EVAL = ACCOUNTS
SYMBOLS = ("JNJ", "KO", "PEP", "XOM")
FIRST, LAST = dt.date(1993, 3, 8), dt.date(1993, 4, 8)
REQUEST = BacktestRequest(symbols=SYMBOLS, accounts=ACCOUNTS, first_day=FIRST, last_day=LAST)
ME, BY = Principal(LOCAL, (), Caller.LOCAL), (ActorType.SERVICE, LOCAL)
TOLD = (
    "symbol",
    "qty",
    "price",
    "fee",
    "attempt",
    "status",
    "pnl",
    "trading_days",
    "before",
    "after",
    "release",
)
DECIDED = ("outcome", "trading_state_before", "trading_state_after", "equity", "drawdown", "throttle",
           "budget_factor", "targets", "rules", "binding_rules")  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped configuration, with attempts of nine sessions, so that some end."""
    folder = tmp_path_factory.mktemp("config")
    for path in (ROOT / "config").glob("*.yaml"):
        said = path.read_text()
        (folder / path.name).write_text(said.replace("max_sessions: 252}", "max_sessions: 9}", 1))
    return folder


@pytest.fixture(scope="module")
def research(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Found once for the module."""
    return tmp_path_factory.mktemp("research")


@contextmanager
def opened(folder: Path, config: Path, **more: Any) -> Iterator[PacedApp]:
    with open_paced(REQUEST, artifacts=folder, config=config, **more) as app:
        app.paced.start()
        yield app


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, config: Path, research: Path) -> tuple[Path, str]:
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGIME_WITNESS", os.fspath(folder / "witness"))
        run_id = run_whole(folder, config)
    shutil.copytree(folder / "cache", research / "cache")
    return folder, run_id


def run_whole(folder: Path, config: Path) -> str:
    with opened(folder, config) as app:
        last = app.paced.run()
        assert last is not None and last.number == last.bars >= 20
        assert app.paced.step() is None
        return app.paced.run_id


@pytest.fixture
def folder(tmp_path: Path, whole: tuple[Path, str], research: Path) -> Path:
    """A folder of its own, with the research in it."""
    shutil.copytree(research / "cache", tmp_path / "demo" / "cache")
    return tmp_path / "demo"


def recorded(folder: Path, run_id: str, account: str) -> list[dict[str, Any]]:
    """Entries of an account, sealed or not."""
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    history = firm_history(engine, LocalArtifacts(folder), account.split("/")[0])
    found = list(history.entries(Selection(chain_id=f"dry_run/{run_id}/{account}")))
    engine.dispose()
    return [orjson.loads(entry.body) | {"entry_hash": entry.entry_hash} for entry in found]


def counted(folder: Path) -> int:
    """Decisions of one account that are durable, without the weight of opening the store."""
    with contextlib.suppress(sqlite3.Error), sqlite3.connect(folder / "state" / "regime.db") as connection:
        query = "SELECT count(*) FROM account_state WHERE account = ?"
        return int(connection.execute(query, (CORE,)).fetchone()[0])
    return 0


def decisions(folder: Path, run_id: str, account: str) -> list[dict[str, Any]]:
    return [entry for entry in recorded(folder, run_id, account) if entry["event_type"] == "DECISION"]


def stored(folder: Path) -> dict[str, Any]:
    """State, portfolio and waiting orders of every account, and all hashes of its chain."""
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    found: dict[str, Any] = {}
    for account in ACCOUNTS:
        kept = SqlLedger(engine, firm_id=account.split("/")[0], env=Mode.DRY_RUN).load(account, LATEST_NS)
        found[account] = kept
    engine.dispose()
    return found


def assert_same_run(folder: Path, whole: tuple[Path, str]) -> None:
    theirs, run_id = whole
    assert stored(folder) == stored(theirs)
    for account in ACCOUNTS:
        ours, others = (
            [entry["entry_hash"] for entry in recorded(place, run_id, account)] for place in (folder, theirs)
        )
        assert ours == others and len(ours) > 20
    assert_same_rows((folder, run_id), whole)


def rl_rows(folder: Path, run_id: str, account: str, record: Record) -> pl.DataFrame:
    """Sealed RL rows of an account, without what names the run."""
    dataset = RLDataset(LocalArtifacts(folder), ParquetSealer(LocalArtifacts(folder)))
    firm, own = account.split("/")
    found = dataset.table(RLRun(firm, own, run_id, "dry_run"), record)
    return found.drop("run_id", *(name for name in found.columns if name.endswith("_id") and name not in WHO))


def proved(folder: Path, run_id: str, witness: str) -> None:
    """The record holds, and every entry of the run is signed and witnessed."""
    found = verify_record(folder, None, None, [witness])
    assert found.ok and not list(found.unsigned()), (found.faults, found.gaps)
    for account in ACCOUNTS:
        state = open_proofs(account.split("/")[0], LocalArtifacts(folder), open_witnesses([witness])).state()
        assert state.witnessed[f"dry_run/{run_id}/{account}"] == len(recorded(folder, run_id, account))


def assert_same_rows(ours: tuple[Path, str], theirs: tuple[Path, str]) -> None:
    """The RL dataset is the same, to the bit, whatever was sealed when."""
    for account in ACCOUNTS:
        for record in ("state", "action", "transition"):
            mine, others = (rl_rows(*run, account, record) for run in (ours, theirs))  # type: ignore[arg-type]
            assert mine.height >= 20
            assert mine.equals(others), (
                account,
                record,
                [c for c in mine.columns if not mine[c].equals(others[c])],
            )


def pull(app: PacedApp, level: Level, account: str = CORE) -> None:
    halt(
        app.halts, HaltAsk(account.split("/")[0], account if "/" in account else "", level, "a drill"), ME, BY
    )


def test_it_decides_what_a_backtest_decides(
    whole: tuple[Path, str], config: Path, research: Path, tmp_path: Path
) -> None:
    shutil.copytree(research / "cache", tmp_path / "cache")
    with open_app(artifacts=tmp_path, config=config) as loop:
        history = run_backtest(REQUEST, loop.backtest())
        kinds = set()
        for account in ACCOUNTS:
            sealed = loop.deps.sealer.entries(history.run_id, *account.split("/"))
            theirs = [orjson.loads(e.event.body) for e in sealed]
            ours = recorded(*whole, account)
            assert [e["event_type"] for e in ours] == [e["event_type"] for e in theirs]
            for own, loops in zip(ours, theirs, strict=True):
                for key in ("ts_event_ns", "rule_id", "rationale", *(DECIDED if "targets" in own else TOLD)):
                    assert own.get(key) == loops.get(key), (account, own["ts_event_ns"], key)
                kinds.add(own["event_type"])
            assert sum(e["event_type"] == "DECISION" for e in ours) >= 20
        assert {"DECISION", "FILL", "ATTEMPT"} <= kinds
        assert_same_rows(whole, (tmp_path, history.run_id))
        assert sum(e["event_type"] == "ATTEMPT" for e in recorded(*whole, EVAL)) >= 4


def test_its_record_is_sealed_signed_witnessed_and_complete(
    whole: tuple[Path, str], config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved(*whole, os.fspath(whole[0] / "witness"))
    checked = check(RLDataset(LocalArtifacts(whole[0]), ParquetSealer(LocalArtifacts(whole[0]))))
    assert checked.ok and len(checked.chains) == 3 and not checked.uncovered, checked.chains
    monkeypatch.setattr("regime_trading.bootstrap.paced.Sealing", partial(Sealing, policy=SealPolicy(rows=2)))
    monkeypatch.setattr(compaction, "FAN_IN", 3)
    with opened(folder, config) as app:  # in many small parts, while it decides
        app.paced.run()
    assert_same_run(folder, whole)
    proved(folder, whole[1], os.environ["REGIME_WITNESS"])
    for manifest in (folder / "rl_dataset/_manifest").rglob("run=*.json"):
        parts = orjson.loads(manifest.read_bytes())["parts"]
        assert len(parts) <= 4, "of each order of magnitude two at most"


def test_what_a_killed_one_left_is_sealed_by_whoever_seals(
    whole: tuple[Path, str], folder: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise NotDurable("a test")

    with monkeypatch.context() as patch:
        patch.setattr(ParquetSealer, "seal_audit", dies)
        with opened(folder, config) as app:
            app.paced.run(9)
    rows: dict[str, int] = {}
    done = seal_everything(folder, config, rows.__setitem__)
    chains = {one.entries.chain_id for one in done}
    assert {f"dry_run/{whole[1]}/{account}" for account in ACCOUNTS} <= chains
    assert sum(rows.values()) == 9 * len(ACCOUNTS)
    with opened(folder, config) as app:
        app.paced.run()
    assert_same_run(folder, whole)


def test_what_it_has_found_of_the_market_is_shown_and_nothing_later(folder: Path, config: Path) -> None:
    with opened(folder, config) as app:
        last = app.paced.run(6)
        assert last is not None
        run_id, acts = app.paced.run_id, make_acts(app.engine, LocalArtifacts(folder), "1")
        loaded = Configured(config, app.engine, acts, print)()
        sources = firm_sources(
            "north-pier",
            engine=app.engine,
            store=LocalArtifacts(folder),
            settings=loaded.settings,
            standings=loaded.standings,
        )
        who = Asker(Principal("me", (Grant("north-pier", Role.VIEWER),)), last.ts_ns)
        app.paced.run(7)
        pages = MarketPages(LocalArtifacts(folder), print, lambda _: None)
        pages(app.paced._ready(), app.paced._bar - 1)
        found = regimes.regimes(sources, who)
        ready = app.paced._ready()
        prices = ready.plan.window.until(int(ready.inputs.market.ts_ns[app.paced._bar - 1]))
        (row,) = runs.runs(sources, who).items
        assert (row.run_id, row.kind, row.status, row.as_of) == (run_id, "paced", "started", found.as_of)
        assert found.run_id == run_id and found.regimes[0].is_market
        assert {one.symbol for one in found.regimes[1:]} == set(SYMBOLS)
        for symbol in SYMBOLS:
            points = regimes.history(sources, who, symbol).points
            now = next(one for one in found.regimes if one.symbol == symbol)
            assert points[-1].at == now.as_of == found.as_of and points[-1].label == now.label
            assert 1 < len(points) <= 500
            assert points[-1].close == prices.close[-1, prices.symbols.index(symbol)]
            assert all(point.close is not None for point in points)
        whole = runs.run(sources, who, run_id)
        assert whole.manifest is None and whole.stages == () and len(whole.results) == 2
        assert regimes.tape(sources, who).notes == (NO_TAPE,)


def test_what_could_not_be_sealed_is_sealed_by_the_next(
    folder: Path, whole: tuple[Path, str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RL rows fail after states were sealed and before actions were: nothing is lost, nothing is twice."""
    real, calls, heard = ParquetSealer.seal_rl, [], list[str]()

    def failing(self: ParquetSealer, block: RLBlock) -> Any:
        calls.append(block.record)
        if block.record == "action" and calls.count("action") == 1:
            raise NotDurable("a test")
        return real(self, block)

    monkeypatch.setattr(ParquetSealer, "seal_rl", failing)
    with opened(folder, config, alarm=heard.append) as app:
        app.paced.run(9)
    assert any("sealing failed" in said for said in heard)
    with opened(folder, config) as app:
        app.paced.run()
    assert_same_run(folder, whole)


def test_stopped_and_resumed_it_is_the_same_run(folder: Path, whole: tuple[Path, str], config: Path) -> None:
    for until in (1, 8, 9, 10, 15):
        with opened(folder, config) as app:
            last = app.paced.run(until)
            assert last is not None and last.number == until
    with opened(folder, config) as app:
        app.paced.stop()
        assert app.paced.run() is None, "stopped is stopped"
        app.paced.start()
        app.paced.run()
    assert_same_run(folder, whole)


def test_a_crash_between_two_firms_changes_nothing(
    folder: Path, whole: tuple[Path, str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = SqlLedger.commit_decisions, []

    def failing(self: SqlLedger, made: Any) -> Any:
        calls.append(made[0].state.account)
        if len(calls) == 8:
            raise StoreDown("a test")
        return real(self, made)

    monkeypatch.setattr(SqlLedger, "commit_decisions", failing)
    with opened(folder, config) as app:
        with pytest.raises(StoreDown):
            app.paced.run()
        ahead = [len(decisions(folder, app.paced.run_id, a)) for a in ACCOUNTS]
        assert sorted(set(ahead)) == [3, 4], "one firm is a bar ahead of the other"
        app.paced.run(6)
    with opened(folder, config) as app:
        app.paced.run()
    assert_same_run(folder, whole)


def test_an_account_that_somebody_else_decides_for_later_is_left_to_them(folder: Path, config: Path) -> None:
    """The others go on, without a bar left out or decided twice; where no other is left, it stops."""
    heard: list[str] = []
    with opened(folder, config, alarm=heard.append) as app:
        app.paced.run(4)
        decide_later(folder, DEFENSIVE)
        last = app.paced.run(8)
        assert last is not None and {one.account for one in last.decided} == {CORE, EVAL}
        assert app.paced.left == (DEFENSIVE,) and sum("left alone" in one for one in heard) == 1
    with opened(folder, config) as app:
        app.paced.run(10)
        told = {account: decisions(folder, app.paced.run_id, account) for account in ACCOUNTS}
        assert {account: len(found) for account, found in told.items()} == {CORE: 10, DEFENSIVE: 4, EVAL: 10}
        for account in (CORE, EVAL):
            decide_later(folder, account)
        with pytest.raises(Overtaken, match="decided by somebody else"):
            app.paced.step()
        assert {a: len(decisions(folder, app.paced.run_id, a)) for a in ACCOUNTS} == {
            account: len(found) for account, found in told.items()
        }


def decide_later(folder: Path, account: str) -> None:
    """What a run of another day leaves of an account: a newer state."""
    with sqlite3.connect(folder / "state" / "regime.db") as connection:
        other = {
            "as_of_ns": f"as_of_ns + {400 * 86_400 * 10**9}",
            "decision_id": "substr(decision_id, 1, 60) || 'else'",
            "seq": "seq + 1000000",
        }
        names = [row[1] for row in connection.execute("PRAGMA table_info(account_state)")]
        names.remove("state_no")
        own = [other.get(name, name) for name in names]
        connection.execute(
            f"INSERT INTO account_state ({', '.join(names)}) SELECT {', '.join(own)} FROM account_state "
            "WHERE account = ? ORDER BY as_of_ns DESC LIMIT 1",
            (account,),
        )


def test_killed_in_the_middle_it_goes_on(folder: Path, whole: tuple[Path, str], config: Path) -> None:
    """kill -9, wherever it happens to be."""
    command = [
        *(sys.executable, "-m", "regime_trading.bootstrap.paced", "--artifacts", str(folder)),
        *("--config", str(config), "--symbols", ",".join(SYMBOLS), "--accounts", ",".join(ACCOUNTS)),
        *("--from", str(FIRST), "--to", str(LAST), "--speed", "2"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None and counted(folder) < 3:
        time.sleep(0.05)
    with pytest.raises(NotDurable, match="another process"), opened(folder, config):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 3 <= counted(folder) < len(decisions(*whole, CORE))
    with opened(folder, config) as app:
        app.paced.run()
    assert_same_run(folder, whole)


def test_a_pause_acts_at_the_next_decision_and_outlives_everything(folder: Path, config: Path) -> None:
    with opened(folder, config) as app:
        waiting: list[Any] = []
        while not waiting:  # entries wait for the next bar
            assert app.paced.step() is not None
            waiting = [o for o in stored(folder)[CORE][2] if o.intent == "entry"]
        done = len(decisions(folder, app.paced.run_id, CORE))
        filled = [e for e in recorded(folder, app.paced.run_id, CORE) if e["event_type"] == "FILL"]
        pull(app, Level.K1)
        assert status(app.halts, CORE, app_ledger(app, CORE)).text == "K1, not in effect yet"
        bar = app.paced.step()
        assert bar is not None
        core, other = bar.decided[0], bar.decided[1]
        assert (core.kill_level, core.trading_state, core.outcome) == (
            1,
            TradingState.REDUCE_ONLY,
            "reduce_only",
        )
        assert (other.kill_level, other.trading_state) == (0, TradingState.NORMAL)
        run_id = app.paced.run_id
        told = status(app.halts, CORE, app_ledger(app, CORE))
        assert told.effect is not None and told.effect.decision_id == core.decision_id
        assert (told.text, told.effect.cancelled) == ("K1", len(waiting))
    entries = recorded(folder, run_id, CORE)
    last = decisions(folder, run_id, CORE)[-1]
    assert "LD-15" in last["binding_rules"] and "Manual kill" in last["rationale"]
    assert next(r for r in last["rules"] if r["rule_id"] == "LD-15")["reason_codes"] == ["KILL_K1"]
    gone = [e for e in entries if e["event_type"] == "ORDER_CANCELLED"]
    assert [e["client_order_id"] for e in gone] == [o.client_order_id for o in waiting]
    assert [e for e in entries if e["event_type"] == "FILL"] == filled, "what waited is not filled"
    with opened(folder, config) as app:  # a restart, and simulated people do not end it
        app.paced.run()
        for decided in decisions(folder, run_id, CORE)[done:]:
            assert decided["trading_state_after"] == "REDUCE_ONLY"
            assert not any(float(step) > 0 for step in decided["targets"]["step_qty"])
        assert decisions(folder, run_id, DEFENSIVE)[-1]["trading_state_after"] == "NORMAL"


def app_ledger(app: PacedApp, account: str) -> SqlLedger:
    return SqlLedger(app.engine, firm_id=account.split("/")[0], env=Mode.DRY_RUN)


def test_a_flatten_is_not_done_before_it_is(folder: Path, config: Path) -> None:
    with opened(folder, config) as app:
        app.paced.run(6)
        held = len(stored(folder)[CORE][1].positions)
        assert held >= 2
        pull(app, Level.K3, "north-pier")
        bar = app.paced.step()
        assert bar is not None and [d.kill_level for d in bar.decided] == [3, 3, 0]
        assert bar.decided[0].trading_state is TradingState.LOCKED
        left = len(stored(folder)[CORE][1].positions)
        assert status(app.halts, CORE, app_ledger(app, CORE)).text == f"K3, NOT FLAT: {left} of {left}"
        app.paced.step()
        told = status(app.halts, CORE, app_ledger(app, CORE))
        assert (
            told.flat
            and told.text == "K3, FLAT"
            and told.effect is not None
            and told.effect.flat_ns is not None
        )
        control = app.halts.store("north-pier").all()[0]
        app.paced.step()
        resume(
            app.halts, ResumeAsk("north-pier", control.control_no, "all is well"), ME, BY, lambda *_: False
        )
        bar = app.paced.step()
        assert bar is not None and bar.decided[0].kill_level == 0
        assert bar.decided[0].trading_state is TradingState.NORMAL
        (ended,) = [
            e
            for e in recorded(folder, app.paced.run_id, CORE)
            if e["event_type"] == "UNLOCK" and e["rule_id"] == "LD-15"
        ]
        assert "a person ended the halt" in ended["rationale"]
        kinds = {m.type for m in SqlMessages(app.engine, firm_id="north-pier").after(0)}
        assert kinds >= {"mode.update", "pm.action", "audit.append"}


def test_a_halt_of_an_evaluation_is_no_failed_attempt(
    folder: Path, whole: tuple[Path, str], config: Path
) -> None:
    with opened(folder, config) as app:
        app.paced.run(4)
        pull(app, Level.K1, EVAL)
        app.paced.run()
        run_id = app.paced.run_id
    ours, theirs = (
        [
            (e["ts_event_ns"], e["status"])
            for e in recorded(place, run_id, EVAL)
            if e["event_type"] == "ATTEMPT"
        ]
        for place in (folder, whole[0])
    )
    assert ours == theirs and {said for _, said in ours} == {"started", "expired"}
    assert all(d["trading_state_after"] == "REDUCE_ONLY" for d in decisions(folder, run_id, EVAL)[4:])


def test_a_flag_file_is_enough(folder: Path, config: Path) -> None:
    with opened(folder, config) as app:
        app.paced.run(2)
        (folder / "state" / "halt-north-pier.core.json").touch()
        bar = app.paced.step()
        assert bar is not None and bar.decided[0].kill_level == 1
        assert not (folder / "state" / "halt-north-pier.core.json").exists(), "adopted"
        (control,) = app.halts.store("north-pier").all()
        assert (control.account, control.level, control.set_by) == (CORE, Level.K1, LOCAL)


def test_controls_that_cannot_be_read_reduce_and_latch_nothing(
    folder: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regime_trading.adapters.database import SqlControls

    def down(_: Any) -> Any:
        raise StoreDown("a test")

    with opened(folder, config, alarm=lambda _: None) as app:
        app.paced.run(2)
        with monkeypatch.context() as patch:
            patch.setattr(SqlControls, "all", down)
            bar = app.paced.step()
        assert bar is not None
        assert {d.trading_state for d in bar.decided} == {TradingState.REDUCE_ONLY}
        last = decisions(folder, app.paced.run_id, CORE)[-1]
        said = next(r for r in last["rules"] if r["rule_id"] == "LD-15")
        assert (said["outcome"], said["reason_codes"]) == ("unknown", ["KILL_UNKNOWN"])
        bar = app.paced.step()
        assert bar is not None and {d.trading_state for d in bar.decided} == {TradingState.NORMAL}


def test_a_changed_configuration_is_taken_over_between_two_bars(
    folder: Path, config: Path, tmp_path: Path
) -> None:
    own = tmp_path / "config"
    shutil.copytree(config, own)
    with opened(folder, own, alarm=lambda _: None) as app:
        app.paced.run(3)
        said = (own / "traders.yaml").read_text()
        (own / "traders.yaml").write_text(said.replace('      gross: "1.0"', '      gross: "0.5"', 1))
        app.paced.step()
        first, changed = (decisions(folder, app.paced.run_id, CORE)[n] for n in (2, 3))
        assert first["config_hash"] != changed["config_hash"]
        engine = open_database(sqlite_url(folder / "state" / "regime.db"))
        history = firm_history(engine, LocalArtifacts(folder), "north-pier")
        acts = history.entries(Selection(chain_id="admin/north-pier/_firm", kinds=("CONFIG_ACCEPTED",)))
        accepted = [orjson.loads(e.body) for e in acts]
        engine.dispose()
        assert changed["config_hash"] in {e["after_hash"] for e in accepted if e["before_hash"]}
        (own / "traders.yaml").write_text("firms: [")
        bar = app.paced.step()
        assert bar is not None and bar.decided[0].trading_state is TradingState.NORMAL
        assert decisions(folder, app.paced.run_id, CORE)[-1]["config_hash"] == changed["config_hash"]


def test_nothing_is_decided_of_an_account_whose_state_is_lost(folder: Path, config: Path) -> None:
    with opened(folder, config) as app:
        app.paced.run(3)
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM latches")
        connection.exec_driver_sql("DELETE FROM account_state WHERE account = ?", (CORE,))
    engine.dispose()
    with pytest.raises(CheckFailed, match="no state is stored"), opened(folder, config):
        pass


def test_a_state_that_is_not_the_chains_only_reduces(folder: Path, config: Path) -> None:
    with opened(folder, config) as app:
        app.paced.run(5)
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "DELETE FROM account_state WHERE state_no = (SELECT max(state_no) FROM account_state WHERE account = ?)",
            (CORE,),
        )
    engine.dispose()
    with opened(folder, config) as app:
        bar = app.paced.step()
        assert bar is not None
        assert [d.trading_state.name for d in bar.decided] == ["REDUCE_ONLY", "NORMAL", "NORMAL"]
        bar = app.paced.step()
        assert bar is not None and bar.decided[0].trading_state is TradingState.NORMAL


def test_how_long_a_halt_takes(folder: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    took = []
    with opened(folder, config) as app:
        app.paced.run(1)
        for level in (Level.K1, Level.K2, Level.K3):
            began = time.perf_counter()
            pull(app, level)
            set_after = time.perf_counter() - began
            bar = app.paced.step()
            took.append((set_after, time.perf_counter() - began))
            assert bar is not None and bar.decided[0].kill_level == level
    with capsys.disabled():
        shown = ", ".join(f"{1e3 * a:.0f}/{1e3 * b:.0f}" for a, b in took)
        print(f"\nhalt: durable / first decision that carries it is durable, ms: {shown}")
    assert max(b for _, b in took) < 5
