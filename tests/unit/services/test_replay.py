"""Replay: what was recorded comes out again to the byte, anywhere; what was changed is found; new meaning is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import polars as pl
import pyarrow.parquet as pq
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from tests.gate_samples import CONFIG, CORE, DEFENSIVE, GROWTH, ROOT
from tests.replay_samples import RECORDED, busy_bars, recorded, tampered
from tests.unit.services.test_backtest import deps_in, request_for, write_prices
from tests.unit.services.test_pm import LOST, later
from typer.testing import CliRunner

from regime_trading import pm
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import open_database, sqlite_url
from regime_trading.adapters.journal import ParquetInputs
from regime_trading.adapters.journal.recorded import SealedDecisions
from regime_trading.bootstrap.app import open_app
from regime_trading.bootstrap.replay import replay_folder
from regime_trading.cli import app
from regime_trading.core.audit import EventHeader, audit_event
from regime_trading.core.decision_inputs import Lists, RecordedRun
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable
from regime_trading.core.schemas import ActorType, AuditEvent, EventType
from regime_trading.engine import record
from regime_trading.guards import chain, concentration
from regime_trading.guards.verdict import Verdict
from regime_trading.services import backtest as service
from regime_trading.services.backtest import run_backtest
from regime_trading.services.replay import ReplayRequest
from regime_trading.services.runs import Ask, parse_time

DECIDED = 128
MAIN = "from regime_trading.cli import main; main()"
ELSEWHERE = {"PYTHONHASHSEED": "7", "TZ": "Asia/Kolkata", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
#: Without the vector instructions that NumPy and OpenBLAS look for when they are loaded.
OLD_PROCESSOR = {
    "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name]),
    "OPENBLAS_CORETYPE": "Nehalem",
}
#: The digest is what the rest of the row proves; an account that is alone in its firm is bound to nobody; and a name on
#: an axis only matters where something lies at it.
WITHOUT_EFFECT = frozenset({"market_hash", "firm_bound", "axes_latching", "axes_timers", "axes_recovering"})


def elsewhere(folder: Path, *options: str, **environment: str) -> dict[str, Any]:
    """The answer of ``regime audit replay`` in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "audit", "replay", "--path", str(folder), "--json", *options],
        env=os.environ | environment, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["ok"] == (done.returncode == 0)
    return told


def terminal(*words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, ["audit", "replay", *words])
    return done.exit_code, json.loads(done.stdout) if "--json" in words else done.output


# --- the recorded history of this repository --------------------------------------------------------------


def test_the_recorded_history_comes_out_to_the_byte() -> None:
    """A difference here is a change of what this product decides: say so, and make the history again."""
    told = replay_folder(RECORDED, ReplayRequest())
    assert (told.decisions, told.equal, told.ok) == (DECIDED, DECIDED, True)


def test_it_does_so_in_another_process_with_another_hash_seed_zone_thread_count_and_processor(
    tmp_path: Path,
) -> None:
    shutil.copytree(RECORDED, tmp_path, dirs_exist_ok=True)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    threads = {"OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}
    told = elsewhere(tmp_path, **ELSEWHERE | threads | OLD_PROCESSOR)
    assert (told["decisions"], told["equal"], told["ok"]) == (DECIDED, DECIDED, True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before, "nothing is written"


def test_the_recorded_history_has_everything_that_can_happen_to_an_account() -> None:
    glob = str(RECORDED / "audit/schema=1/*/*/*/part-*.parquet")
    kinds = set(pl.read_parquet(glob, hive_partitioning=False)["event_type"])
    assert {
        "ATTEMPT",
        "CASH_FLOW",
        "DECISION",
        "FILL",
        "LATCH",
        "MODE_CHANGE",
        "RULE_BREACH",
        "UNLOCK",
    } <= kinds
    assert sum(p.stat().st_size for p in RECORDED.rglob("*.parquet")) < 450_000


@pytest.mark.parametrize(
    ("glob", "rows", "columns"),
    [
        ("audit/schema=1/*/*/*/part-*.parquet", 178, {"seq", "body", "entry_hash"}),
        ("inputs/schema=1/*/*/part-*.parquet", 128, {"decision_ids", "market_price", "states_units"}),
        ("rl_dataset/schema=1/record=state/*/*/*/part-*.parquet", 128, {"seq", "equity", "weight"}),
        ("rl_dataset/schema=1/record=action/*/*/*/part-*.parquet", 128, {"seq", "final_w"}),
        ("rl_dataset/schema=1/record=transition/*/*/*/part-*.parquet", 126, {"seq", "done"}),
    ],
)
def test_three_readers_read_the_first_version_of_every_schema_with_one_glob(
    glob: str, rows: int, columns: set[str]
) -> None:
    files = str(RECORDED / glob)
    by_polars = pl.read_parquet(files, hive_partitioning=False)
    by_duckdb = duckdb.sql(
        f"select * from read_parquet('{files}', hive_partitioning = false)"
    ).to_arrow_table()
    by_arrow = [pq.read_table(path, partitioning=None) for path in sorted(RECORDED.glob(glob))]
    assert len(by_arrow) == 2
    assert by_polars.height == by_duckdb.num_rows == sum(t.num_rows for t in by_arrow) == rows
    shared = {"firm_id", "run_id", "ts_event", *columns}
    assert shared <= set(by_polars.columns) & set(by_duckdb.column_names) & set(by_arrow[0].column_names)
    times = [sorted(t.column("ts_event").cast("int64").to_pylist()) for t in (by_duckdb, *by_arrow)]
    assert times[0] == sorted(x for own in times[1:] for x in own)


def test_days_accounts_and_runs_choose_decisions() -> None:
    def told(*words: str) -> tuple[int, int]:
        code, answer = terminal("--path", str(RECORDED), "--json", *words)
        return code, answer.get("decisions")

    assert told() == told("--run", "recorded-1") == (0, DECIDED)
    assert told("--account", "north-pier/core") == (0, DECIDED // 2)
    assert told("--from", "2004-04-01", "--account", "kestrel-lane/eval-100k") == (0, 16)
    assert told("--from", "2004-04-01", "--to", "2004-04-01") == (0, 2)
    for words in (
        ("--run", "other"),
        ("--to", "1999-01-01"),
        ("--account", "north-pier/other"),
        ("--from", "x"),
    ):
        assert told(*words)[0] == 2, words
    assert terminal("--path", str(RECORDED / "nowhere"))[0] == 2
    assert terminal("--path", str(RECORDED / "inputs"), "--json")[0] == 2, "no record there"


def test_people_are_told_what_was_found() -> None:
    code, text = terminal("--path", str(RECORDED))
    assert code == 0 and f"{DECIDED} decisions made again: {DECIDED} equal to the byte." in text


# --- tampering --------------------------------------------------------------------------------------------


def test_every_changed_value_of_every_stored_column_is_found() -> None:
    """With files that verify: whoever changed them gave them the names of their new content."""
    memory = recorded(busy_bars(1))
    (block,) = memory.blocks
    assert memory.replay().ok
    rng = np.random.default_rng(1)
    tried = 0
    for name, column in block.columns.items():
        size = len(column.values) if isinstance(column, Lists) else len(column)  # type: ignore[arg-type]
        for at in {0, int(rng.integers(max(size, 1)))} if size and name not in WITHOUT_EFFECT else ():
            told = replace(memory, blocks=[tampered(block, name, at)]).replay()
            assert not told.ok, (name, at)
            assert (told.equal, told.mismatched) == (0, 1), (name, at)
            tried += 1
    assert tried > 200


def test_every_changed_key_of_a_recorded_decision_is_found() -> None:
    memory = recorded(busy_bars(1))
    (event,) = memory.events
    entry = orjson.loads(event.body)
    own = {"seq", "firm_id", "account_id", "run_id", "env", "schema_name", "schema_version", "event_id"}
    told_by_itself = {
        "actor",
        "causation_id",
        "code_version",
        "feature_set_version",
        "ts_recorded_ns",
        "event_type",
    }
    for key in entry.keys() - own - told_by_itself:
        changed = entry | {key: _another(entry[key])}
        body = orjson.dumps(changed, option=orjson.OPT_SORT_KEYS)
        told = replace(memory, events=[replace(event, body=body)]).replay()
        assert not told.ok and told.mismatched == 1, key
        (found,) = told.mismatches
        assert found.seq == event.seq and found.chain == "dry_run/recorded-1/kestrel-lane/eval-100k"
        assert key in found.what or found.kind in ("inputs_missing", "not_readable"), (key, found)


def _another(value: Any) -> Any:
    if isinstance(value, str):
        return (value[:-1] + "0") if not value.endswith("0") else value[:-1] + "1"
    if isinstance(value, list):
        return value[1:] if value else ["X"]
    if isinstance(value, dict):
        return {key: _another(item) for key, item in value.items()}
    return "X"


def test_a_decision_without_inputs_is_a_mismatch_and_says_what_is_missing() -> None:
    memory = recorded([20, 21, 22])
    (block,) = recorded([20, 22]).blocks
    told = replace(memory, blocks=[block]).replay()
    assert (told.decisions, told.equal, told.mismatched, told.ok) == (3, 2, 1, False)
    assert [(m.kind, m.seq) for m in told.mismatches] == [("inputs_missing", memory.events[1].seq)]
    told = replace(memory, blocks=[]).replay()
    assert told.mismatched == 3 and {m.kind for m in told.mismatches} == {"inputs_missing"}
    told = replace(memory, configs={}).replay()
    assert told.mismatched == 3 and {m.kind for m in told.mismatches} == {"inputs_missing"}
    assert all(next(iter(memory.configs)) in m.detail for m in told.mismatches)


def test_a_corrupt_file_is_named_and_the_rest_is_replayed(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path, dirs_exist_ok=True)
    (part,) = tmp_path.glob("inputs/schema=1/firm=north-pier/run=*/part-*")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    code, told = terminal("--path", str(tmp_path), "--json")
    assert (code, told["ok"], told["equal"], told["mismatched"]) == (3, False, DECIDED // 2, DECIDED // 2)
    assert {m["kind"] for m in told["mismatches"]} == {"inputs_corrupt"}
    assert all(
        part.name in m["detail"] and m["chain"].endswith("north-pier/core") for m in told["mismatches"]
    )
    code, text = terminal("--path", str(tmp_path))
    assert code == 3 and "64 decisions do not come out as they were recorded" in text
    (config,) = tmp_path.glob("inputs/schema=1/firm=kestrel-lane/config/*")
    config.write_bytes(config.read_bytes().replace(b"dry_run", b"dry-run"))
    code, told = terminal("--path", str(tmp_path), "--json")
    assert (code, told["equal"], told["mismatched"]) == (3, 0, DECIDED)
    (sealed,) = tmp_path.glob("audit/schema=1/firm=north-pier/*/*/part-*")
    sealed.write_bytes(b"nothing")
    assert terminal("--path", str(tmp_path))[0] == 3


def test_an_entry_in_the_name_of_a_known_decision_is_compared_too() -> None:
    memory = recorded([20, 21])
    event = memory.events[0]
    forged = orjson.dumps(
        orjson.loads(event.body) | {"outcome": "approve", "seq": 99}, option=orjson.OPT_SORT_KEYS
    )
    told = replace(memory, events=[event, replace(event, body=forged, seq=99), memory.events[1]]).replay()
    assert (told.decisions, told.equal, told.mismatched) == (3, 2, 1)
    assert told.mismatches[0].seq == 99 and "outcome" in told.mismatches[0].what


def test_entries_out_of_their_time_are_found_in_a_second_pass_or_not_at_all() -> None:
    memory = recorded([20, 21, 22])
    late = replace(memory.events[0], ts_event_ns=memory.events[2].ts_event_ns + 1)
    told = replace(memory, events=[*memory.events[1:], late]).replay()
    assert told.decisions == 3 and told.equal == 3, "its body is what was recorded; its time is for verify"


def held(event: AuditEvent, **changes: Any) -> AuditEvent:
    header = EventHeader(
        event.firm_id, event.account_id, event.run_id, event.env, 99, event.ts_event_ns, EventType.DECISION,
        ActorType.SERVICE, "engine", "3", "c" * 64, "0", reason_codes=("RUN_HELD",),
    )  # fmt: skip
    return audit_event(header, {"decision_id": None, "outcome": "hold", "findings": []} | changes)


def test_a_run_that_was_held_back_decided_nothing_but_a_decision_to_hold_did() -> None:
    memory = recorded([20])
    told = replace(memory, events=[*memory.events, held(memory.events[0])]).replay()
    assert (told.decisions, told.held, told.ok) == (1, 1, True)
    claims = held(memory.events[0], snapshot_hash="a" * 64)
    told = replace(memory, events=[*memory.events, claims]).replay()
    assert (told.decisions, told.held, told.mismatched) == (2, 0, 1)


# --- other code -------------------------------------------------------------------------------------------


def strict(view: Any, params: Any) -> Verdict:
    """CC-01 with a hundredth of its limit."""
    return concentration.single_name(view, {**params, "max_weight": params["max_weight"] / 100})


@pytest.fixture
def changed_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(chain.REGISTRY, "CC-01", strict)


@pytest.mark.usefixtures("changed_rule")
def test_a_changed_rule_is_a_mismatch_in_the_same_version() -> None:
    told = recorded(range(64)).replay()
    assert not told.ok and told.mismatched > 20 and not told.differing
    assert all(m.kind == "not_equal" and "rules" in m.what for m in told.mismatches)


@pytest.mark.usefixtures("changed_rule")
def test_a_changed_rule_is_told_by_its_meaning_in_another_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = terminal("--path", str(RECORDED), "--json")
    assert code == 3 and told["differing"] > 40 and told["mismatched"] == 0
    assert told["equal"] + told["differing"] == DECIDED
    rules = told["differences"]["rule_limit"]
    assert {one["name"] for one in rules["first"]} == {"CC-01"} and rules["count"] > len(rules["first"]) == 10
    assert all(one["after"] * 100 == pytest.approx(one["before"]) for one in rules["first"])
    targets = told["differences"]["target"]["first"]
    assert all(
        one["name"] in ("KO", "PEP", "XOM") and abs(one["after"]) < abs(one["before"]) for one in targets
    )
    assert {"rule_outcome", "binding_rules", "step"} <= told["differences"].keys()
    code, text = terminal("--path", str(RECORDED))
    assert code == 3 and "rule_limit: " in text and "mean something else" in text


def test_what_is_only_written_differently_means_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other words, another spelling of numbers, another hash: no difference between versions, one within a version."""
    plain = record.number_text
    monkeypatch.setattr(record, "number_text", lambda x: f"+{x!r}" if 0 <= x < 1e9 else plain(x))
    monkeypatch.setattr(record, "rationale", lambda *_: "Other words.")
    memory = recorded(range(10, 20))
    told = memory.replay("another version")
    assert told.ok and told.same_meaning == 10 and not told.differing
    assert not memory.replay().ok


def test_a_decision_that_can_no_longer_be_made_is_a_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr("regime_trading.engine.replay.decide", broken)
    told = recorded([20]).replay("another version")
    assert [(m.kind, m.detail) for m in told.mismatches] == [("not_repeatable", "ZeroDivisionError: broken")]


# --- every way to decide ----------------------------------------------------------------------------------


def test_decisions_of_the_gate_are_made_again_with_the_accounts_they_saw(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    with pm.Gate(CONFIG, folder) as gate:
        gate.decide([later(0, account=DEFENSIVE), later(0, account=GROWTH)])
        gate.decide(later(30, LOST))
        gate.decide(later(60))
        gate.decide([later(90, account=name) for name in (CORE, DEFENSIVE, GROWTH)])
        count = len(list(folder.glob("inputs/schema=1/*/run=*/cycle-*.arrow")))
        gate.decide(later(60))  # the same again stores nothing
        assert len(list(folder.glob("inputs/schema=1/*/run=*/cycle-*.arrow"))) == count
        told = replay_folder(folder, ReplayRequest())  # while the gate has the database open
    assert (told.decisions, told.equal, told.ok) == (7, 7, True)
    assert elsewhere(folder, **ELSEWHERE)["equal"] == 7
    (one,) = folder.glob(f"inputs/schema=1/firm={GROWTH.split('/')[0]}/run=*/cycle-{later(0)['as_of']}-*")
    for path in folder.glob("inputs/schema=1/firm=north-pier/**/*"):
        assert path.is_dir() or b"kestrel-lane" not in path.read_bytes()
    one.unlink()
    told = replay_folder(folder, ReplayRequest())
    assert (told.equal, [m.kind for m in told.mismatches]) == (6, ["inputs_missing"])


def test_the_gate_only_reduces_where_inputs_are_not_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: ParquetInputs, block: Any) -> str:
        raise NotDurable("No space left on device")

    folder = tmp_path / "artifacts"
    monkeypatch.setattr(ParquetInputs, "put", full)
    with pm.Gate(CONFIG, folder) as gate:
        told = gate.decide(later(0))
    assert "AUDIT_DEGRADED" in told.rationale and all(order.intent == "exit" for order in told.orders)
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    with engine.connect() as connection:
        assert (
            connection.exec_driver_sql("select count(*) from wal where event_type = 'DECISION'").scalar_one()
            == 0
        )
    engine.dispose()


def test_a_run_is_made_again_from_its_record_and_from_its_write_ahead_rows(tmp_path: Path) -> None:
    with open_app(artifacts=tmp_path, config=ROOT / "config") as opened:
        state = opened.runs.run(Ask(symbols=("KO", "PEP", "XOM"), as_of_ns=parse_time("1994-12-30", "test")))
    assert state is not None
    whole = replay_folder(tmp_path, ReplayRequest())
    assert (whole.decisions, whole.equal, whole.ok) == (4, 4, True)
    shutil.rmtree(tmp_path / "audit")
    assert replay_folder(tmp_path, ReplayRequest()).equal == 4, "write-ahead rows alone"


def test_a_backtest_is_made_again_from_its_files_alone_and_without_them_it_is_not_re_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_write_report", lambda report, path, store: None)
    monkeypatch.setattr(service, "BLOCK_BARS", 50)
    prices, artifacts = str(write_prices(tmp_path / "prices.csv", 120)), tmp_path / "artifacts"
    outcome = run_backtest(request_for(prices), deps_in(artifacts))
    Path(prices).unlink()
    for name in ("cache", "rl_dataset", "runs"):
        shutil.move(artifacts / name, tmp_path / name)
    told = elsewhere(artifacts, "--run", outcome.run_id, **ELSEWHERE)
    assert (told["decisions"], told["equal"], told["held"], told["ok"]) == (240, 240, 0, True)
    entries = SealedDecisions(LocalArtifacts(artifacts)).decisions(
        RecordedRun(*CORE.split("/"), outcome.run_id)
    )
    assert "hold" in {orjson.loads(event.body)["outcome"] for event in entries}, (
        "decisions, not runs held back"
    )
    for name in ("cache", "rl_dataset", "runs"):
        shutil.move(tmp_path / name, artifacts / name)
    write_prices(tmp_path / "prices.csv", 120)
    parts = sorted(artifacts.glob("inputs/schema=1/firm=north-pier/run=*/part-*"))
    assert len(parts) == 3
    assert run_backtest(request_for(prices), deps_in(artifacts)).reused
    parts[1].unlink()
    with pytest.raises(CheckFailed, match="expected 120 bars, found 70 of them"):
        run_backtest(request_for(prices), deps_in(artifacts))


@pytest.mark.full
def test_the_whole_bundled_history_comes_out_to_the_byte(tmp_path: Path) -> None:
    """Every decision of 1990 to 2022, for all accounts, in new processes with other seeds, zones and thread counts."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "backtest", "--artifacts", str(tmp_path), "--json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    summary = json.loads(done.stdout)
    decisions = summary["bars"] * len(summary["accounts"])
    for threads in ("1", "2"):
        told = elsewhere(tmp_path, **ELSEWHERE | {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads})
        assert (told["decisions"], told["equal"], told["ok"]) == (decisions, decisions, True)
    size = sum(path.stat().st_size for path in tmp_path.glob("inputs/**/*") if path.is_file())
    print(
        f"{decisions:,} decisions of 1990-2022 replayed twice, all equal; inputs {size / decisions:,.0f} B each"
    )
    assert size / decisions < 3_000


def test_a_record_of_nothing_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="recorded decisions of that run"):
        replay_folder(tmp_path, ReplayRequest())
    with pytest.raises(BadInput, match="expected an artifacts folder"):
        replay_folder(tmp_path / "none", ReplayRequest())
