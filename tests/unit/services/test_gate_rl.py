"""What the gate leaves in the RL dataset: with every decision, in its transaction, and nothing that was not told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sqlalchemy import delete, select, update
from tests.gate_samples import CORE, DEFENSIVE, T, changed, request, shipped
from typer.testing import CliRunner

from regime_trading.adapters import rl_files
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.config_files import Configuration
from regime_trading.adapters.database import Engine, SqlLedger, SqlRLLog, open_database, sqlite_url
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.tables import RL_ROWS
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.adapters.journal.compaction import FAN_IN
from regime_trading.bootstrap.gate import _store
from regime_trading.bootstrap.rl import MINARI_NAME, export_dataset, open_dataset
from regime_trading.cli import app
from regime_trading.core.audit import chain_id, event_id
from regime_trading.core.config_status import standing
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable, StoreDown
from regime_trading.core.rl import REWARDS, action_of, state_of, transition_of
from regime_trading.core.schemas import Mode, PMDecision
from regime_trading.engine import request_rl
from regime_trading.services import pm
from regime_trading.services.degraded import AUDIT_DEGRADED
from regime_trading.services.pm import GateConfig, GateStore, decide
from regime_trading.services.rl import RLCheck, check, describe
from regime_trading.services.rl_dataset import Selection
from regime_trading.services.sealing import Sealing

DAY = 86_400
FILLS = "portfolio.traffic"
FLOWS = "portfolio.flows_today"
NOTHING_DONE = ((FILLS, {"fills": []}), (FLOWS, 0))


class Gate:
    """The gate over one folder; ``mode`` is that of all accounts."""

    def __init__(self, folder: Path, stack: ExitStack, mode: Mode) -> None:
        settings, own = shipped()
        profiles = tuple(changed(own[name], mode=mode) for name in (CORE, DEFENSIVE))
        standings = {p.account: standing(p.account, p, None, (), now_ns=T, starting=True) for p in profiles}
        self.folder, self.mode = folder, mode
        self.config = GateConfig(settings, standings, "test")
        store, *_ = _store(folder, stack, Configuration(settings, profiles))
        self.store: GateStore = replace(store, alarm=lambda _: None, sealing=None)
        self.engine: Engine = open_database(sqlite_url(folder / "state" / "regime.db"))
        stack.callback(self.engine.dispose)
        self.sealer = ParquetSealer(LocalArtifacts(folder))
        self.sealing = Sealing(store.audit, self.sealer, rl=lambda firm: SqlRLLog(self.engine, firm_id=firm))

    def ask(self, seconds: int, *changes: tuple[str, Any], account: str = CORE, **top: Any) -> PMDecision:
        ts = T + seconds * 10**9
        fresh = [(path, ts) for path in ("proposal.as_of", "market.quotes.0.ts", "market.quotes.1.ts")]
        (found,) = decide(
            [request(*fresh, *changes, as_of=ts, account=account, **top)],
            config=self.config,
            store=self.store,
        )
        return found

    def rows(self) -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(select(RL_ROWS).order_by(RL_ROWS.c.row_no)))

    def check(self) -> RLCheck:
        return check(open_dataset(self.folder))

    def moves(self, account: str = "core") -> list[dict[str, Any]]:
        """Transitions of an account, in order of time."""
        dataset = open_dataset(self.folder)
        frames = [dataset.table(run, "transition") for run in dataset.runs("transition")]
        whole = pl.concat([frame for frame in frames if frame.height], how="diagonal")
        return list(whole.filter(pl.col("account_id") == account).sort("ts_event").iter_rows(named=True))

    def states(self, account: str = "core") -> list[dict[str, Any]]:
        dataset = open_dataset(self.folder)
        whole = pl.concat([dataset.table(run, "state") for run in dataset.runs()], how="diagonal")
        return list(whole.filter(pl.col("account_id") == account).sort("ts_event").iter_rows(named=True))


Opened = Callable[..., Gate]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    with ExitStack() as stack:
        yield lambda mode=Mode.SHADOW, folder=tmp_path: Gate(folder, stack, mode)


# --- with every decision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.DRY_RUN])
def test_every_decision_leaves_rows_and_closes_the_one_before(opened: Opened, mode: Mode) -> None:
    gate = opened(mode)
    for n in range(3):
        gate.ask(10 * n, *NOTHING_DONE)
        gate.ask(10 * n + 1, *NOTHING_DONE, account=DEFENSIVE)
    gate.ask(DAY, *NOTHING_DONE)
    for sealed in (False, True):
        if sealed:
            gate.sealing.seal_all(["north-pier"])
        found = gate.check()
        assert found.ok and not found.uncovered, found.answer()
        answer = found.answer()
        assert (answer["decisions"], answer["transitions"], answer["open"]) == (7, 5, 2)
        moves = gate.moves()
        assert [move["ts_event"].second for move in moves] == [0, 10, 20]
        assert all(move["env"] == mode for move in moves)
        for move in moves:
            assert all(math.isfinite(move[f"reward_{name}"]) for name in REWARDS), move
        for record, made in (("state", state_of), ("action", action_of), ("transition", transition_of)):
            dataset = open_dataset(gate.folder)
            for run in dataset.runs(record):  # type: ignore[arg-type]
                frame = dataset.table(run, record).with_columns(pl.col("ts_event").cast(pl.Int64).alias("ts_event_ns"))  # type: ignore[arg-type]  # fmt: skip
                assert all(made(row).run_id == run.run_id for row in frame.iter_rows(named=True))
    runs = {move["next_run_id"] for move in moves}
    assert (None not in runs) if mode is Mode.DRY_RUN else runs == {None, "2026-11-21"}
    left = gate.rows()
    assert [row.sealed for row in left] == [True, True], "the last row of each account stays"


def test_what_is_not_recorded_leaves_nothing(opened: Opened) -> None:
    gate = opened()
    asked = gate.ask(0)
    assert asked.state is not None
    gate.ask(10, state=asked.state.model_dump(mode="json"))
    assert len(gate.rows()) == 1
    assert gate.ask(0) == asked and len(gate.rows()) == 1, "the same request again is the same decision"
    alone = request(as_of=T, account=CORE)
    decide([alone], config=gate.config, store=None)
    assert len(gate.rows()) == 1


def test_it_is_the_transaction_of_the_decision(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = opened()
    gate.ask(0)
    head = gate.store.audit("north-pier").head(f"shadow/{CORE}")

    def dies(*_: object) -> None:
        raise NotDurable("disk")

    with monkeypatch.context() as patch:
        patch.setattr("regime_trading.adapters.database.ledger.insert_rl", dies)
        with pytest.raises(NotDurable):
            gate.ask(10)
    stored = gate.store.ledger("north-pier", gate.mode).load(CORE, 2**62)
    assert stored is not None and stored[0].as_of_ns == T and len(gate.rows()) == 1
    assert gate.store.audit("north-pier").head(f"shadow/{CORE}") == head
    gate.ask(10)
    assert gate.check().ok and len(gate.rows()) == 2


def test_something_known_later_is_refused_before_anything_is_written(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = opened()
    gate.ask(0)
    before = sorted(path for path in gate.folder.rglob("*.parquet"))
    later = T + DAY * 10**9
    monkeypatch.setattr(request_rl, "remembered_ns", lambda states: np.full(len(states.units), later))
    with pytest.raises(CheckFailed, match="portfolio block to be known at the decision"):
        gate.ask(10)
    assert len(gate.rows()) == 1 and sorted(path for path in gate.folder.rglob("*.parquet")) == before
    stored = gate.store.ledger("north-pier", gate.mode).load(CORE, 2**62)
    assert stored is not None and stored[0].as_of_ns == T


def test_a_quote_from_later_makes_its_blocks_unknown_and_stops_nobody(opened: Opened) -> None:
    gate = opened()
    gate.ask(0, *NOTHING_DONE)
    gate.ask(10, *NOTHING_DONE, ("market.quotes.0.ts", T + 11 * 10**9))  # KO, which is held
    gate.ask(20, *NOTHING_DONE, ("market.quotes.1.ts", T + 21 * 10**9))  # XOM, which is not
    assert gate.check().ok
    _, held, beside = gate.states()
    for row, known in ((held, False), (beside, True)):
        assert bool(row["mask_portfolio"]) == known and any(row["mask_asset"]) == known
        assert row["mask_constraint"] == 0 and not any(row["mask_constraint_asset"])
        assert row["mask_market"] != 0
    assert math.isnan(held["spread_bps"][0]) and not math.isnan(held["spread_bps"][1])
    assert math.isnan(beside["spread_bps"][1]) and not math.isnan(beside["spread_bps"][0])
    first, second = gate.moves()
    for move in (first, second):
        assert math.isnan(move["reward_pnl_net"]) and math.isnan(move["reward_dd_penalty"])
        assert move["reward_breach_penalty"] == 0


# --- what is told -----------------------------------------------------------------------------------------

BOUGHT = {"symbol": "XOM", "side": "buy", "qty": 100, "px": 110, "ts": T + 5 * 10**9}
KO, XOM = {"symbol": "KO", "qty": 1000, "avg_price": 60}, {"symbol": "XOM", "qty": 100, "avg_price": 110}
HOLDS = ("portfolio.positions", [KO, XOM])
ROUND_TRIP = [{**BOUGHT, "symbol": "PEP", "side": side} for side in ("buy", "sell")]
PAID = ("portfolio.cash", 927_000)
#: What the second request says, 10 s after the first, and which components are known: all, without ``name``s.
TOLD: list[tuple[str, list[tuple[str, Any]], set[str]]] = [
    ("everything, nothing happened", [*NOTHING_DONE], set()),
    ("a fill: its fee is not told", [(FILLS, {"fills": [BOUGHT]}), (FLOWS, 0), HOLDS, PAID], {"cost"}),
    ("a fill that does not explain the book", [(FILLS, {"fills": [BOUGHT]}), (FLOWS, 0)], {"cost", "turnover"}),
    ("a book that no fill explains", [*NOTHING_DONE, HOLDS, PAID], {"cost", "turnover"}),
    ("no fills", [(FLOWS, 0)], {"cost", "turnover"}),
    ("traffic without fills", [(FILLS, {"orders_1s": 0}), (FLOWS, 0)], {"cost", "turnover"}),
    ("no flows", [(FILLS, {"fills": []})], {"flow", "pnl_net"}),
    ("a price is missing", [*NOTHING_DONE, ("market.quotes.0.bid", ...), ("market.quotes.0.ask", ...)], set()),
    ("fills without an instrument", [(FILLS, {"fills": ROUND_TRIP}), (FLOWS, 0)], {"cost", "turnover"}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "unknown"), [case[1:] for case in TOLD], ids=[case[0] for case in TOLD])
def test_a_component_that_is_not_told_is_not_known(
    opened: Opened, changes: list[tuple[str, Any]], unknown: set[str]
) -> None:
    gate = opened()
    gate.ask(0, *NOTHING_DONE)
    gate.ask(10, *changes)
    (move,) = gate.moves()
    assert {name for name in REWARDS if math.isnan(move[f"reward_{name}"])} == unknown
    assert gate.check().ok


def test_components_are_those_of_the_two_requests(opened: Opened) -> None:
    gate = opened()
    gate.ask(0, (FILLS, {"fills": []}), (FLOWS, 500))
    gate.ask(10, (FILLS, {"fills": [BOUGHT]}), (FLOWS, 1500), HOLDS, ("portfolio.cash", 928_000))
    gate.ask(20, (FILLS, {"fills": [BOUGHT]}), (FLOWS, 1500), HOLDS, ("portfolio.cash", 850_000))
    first, second = gate.moves()
    now, after, last = gate.states()
    assert first["reward_turnover"] == 11_000 / now["equity"] and first["reward_flow"] == 1000 / now["equity"]
    assert first["reward_pnl_net"] == (after["equity"] - now["equity"] - 1000) / now["equity"]
    assert second["reward_turnover"] == 0 == second["reward_cost"] == second["reward_flow"]
    assert second["reward_dd_penalty"] == last["unit_drawdown"] - after["unit_drawdown"] > 0.07
    assert second["reward_breach_penalty"] >= 1, "the daily loss latched"
    assert (after["turnover_last"], after["bars_since_trade"]) == (11_000 / after["equity"], 0)
    assert last["bars_since_trade"] == 1 and math.isnan(now["bars_since_trade"])
    ko, xom = after["symbols"].split(",").index("KO"), after["symbols"].split(",").index("XOM")
    assert math.isnan(after["age_bars"][ko]), "it was there before"
    assert (after["age_bars"][xom], last["age_bars"][xom]) == (0, 1)


@pytest.mark.parametrize(
    ("seconds", "sessions", "bars", "gap", "flow"),
    [
        (DAY, (None, None), 1, False, True),
        (3 * DAY, (None, None), 3, True, False),  # days are counted where sessions are not named
        (3 * DAY, (7, 8), 1, False, True),  # a weekend
        (3 * DAY, (7, 10), 3, True, False),
        (DAY, (7, None), 1, False, True),
        (60, (7, 7), 1, False, True),
    ],
)
def test_missing_sessions_are_gaps(
    opened: Opened, seconds: int, sessions: tuple[int | None, int | None], bars: int, gap: bool, flow: bool
) -> None:
    gate = opened()
    for at, session in zip((0, seconds), sessions, strict=True):
        gate.ask(at, *NOTHING_DONE, ("market.session", session))
    (move,) = gate.moves()
    assert (move["horizon_bars"], move["gap"]) == (bars, gap)
    assert math.isfinite(move["reward_flow"]) == flow
    assert gate.check().ok and sum(chain.gaps for chain in gate.check().chains) == gap


# --- the store is down ------------------------------------------------------------------------------------


def test_a_degraded_decision_leaves_no_rows_and_the_step_over_it_is_a_gap(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = opened()
    gate.ask(0, *NOTHING_DONE)

    def refuse(*_: object) -> None:
        raise StoreDown("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(SqlLedger, "commit_decisions", refuse)
        assert AUDIT_DEGRADED in gate.ask(5, *NOTHING_DONE, ("proposal.weights", {"KO": "0"})).rationale
    gate.ask(10, *NOTHING_DONE)
    gate.ask(20, *NOTHING_DONE)
    found = gate.check()
    assert found.ok and found.answer()["decisions"] == 3 == len(gate.rows())
    over, after = gate.moves()
    assert over["gap"] and math.isnan(over["reward_breach_penalty"]) and math.isfinite(over["reward_pnl_net"])
    assert not after["gap"] and after["reward_breach_penalty"] == 0


# --- sealing ----------------------------------------------------------------------------------------------


def files(gate: Gate, record: str) -> list[Path]:
    return sorted((gate.folder / f"rl_dataset/schema=1/record={record}").rglob("*.parquet"))


def told_of(gate: Gate, target: Path) -> tuple[Any, ...]:
    """What `regime rl` tells of the dry runs and of the others."""
    envs = ("dry_run", "shadow")
    found = [describe(open_dataset(gate.folder), Selection(env=env)) for env in envs]
    for env in envs:
        export_dataset(gate.folder, target / env, "parquet", Selection(env=env))
    tables = [pl.read_parquet(target / env / rl_files.TABLE) for env in envs]
    return gate.check().answer(), found, [table.sort("account_id", "ts_event").to_dicts() for table in tables]


def test_many_small_sealings_leave_few_files_and_the_same_rows(opened: Opened, tmp_path: Path) -> None:
    """Every decision is sealed alone; once in one piece, in another folder, is what it must come to."""
    small, whole = tmp_path / "small", tmp_path / "whole"
    both = [(opened(Mode.DRY_RUN, folder), opened(Mode.SHADOW, folder)) for folder in (small, whole)]
    n = 2 * FAN_IN + 3
    for k in range(n):
        for dry, shadow in both:
            for gate in (dry, shadow):
                gate.ask(10 * k, *NOTHING_DONE, ("proposal.weights", {"KO": "0.1"} if k % 5 == 0 else {}))
        both[0][0].sealing.seal_all(["north-pier"])
        assert both[0][0].check().ok
    whole_gate, gate = both[1][0], both[0][0]
    before = told_of(whole_gate, tmp_path / "before")
    assert not files(whole_gate, "state")
    whole_gate.sealing.seal_all(["north-pier"])
    assert repr(told_of(whole_gate, tmp_path / "after")) == repr(before)
    assert repr(told_of(gate, tmp_path / "parts")) == repr(before)
    for record in ("state", "action", "transition"):
        assert len(files(whole_gate, record)) == 2 and len(files(gate, record)) <= 2 * (2 + 3)
    for one in (gate, whole_gate):  # of the day that ended a single one is left
        both[0 if one is gate else 1][1].ask(DAY, *NOTHING_DONE)
        one.sealing.seal_all(["north-pier"])
    day = [
        [p.name for p in files(one, "state") if p.parent.name == "run=2026-11-20"]
        for one in (gate, whole_gate)
    ]
    assert day[0] == day[1] and len(day[0]) == 1, "the same rows are the same bytes"
    for one in (gate, whole_gate):
        assert [row.sealed for row in one.rows()] == [True, True]


def test_what_is_sealed_of_a_dry_run_is_due_by_number_and_by_age(opened: Opened) -> None:
    gate = opened(Mode.DRY_RUN)
    gate.ask(0)
    age_ns = gate.sealing.policy.age_ns
    gate.sealing.seal_due(["north-pier"], T + age_ns - 1)
    assert [row.sealed for row in gate.rows()] == [False]
    gate.sealing.seal_due(["north-pier"], T + age_ns)
    assert [row.sealed for row in gate.rows()] == [True]


def test_seal_tells_of_dry_runs(opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGIME_DATABASE", str(sqlite_url(tmp_path / "state" / "regime.db")))
    gate = opened(Mode.DRY_RUN)
    for n in range(3):
        gate.ask(10 * n)
    done = CliRunner().invoke(app, ["audit", "seal", "--artifacts", str(gate.folder), "--json"])
    assert json.loads(done.stdout) == {"entries": 0, "chains": [], "rl_decisions": {"north-pier": 3}}
    assert [row.sealed for row in gate.rows()] == [True]
    again = CliRunner().invoke(app, ["audit", "seal", "--artifacts", str(gate.folder)])
    assert "nothing waits" in again.stdout
    done = CliRunner().invoke(app, ["rl", "check", "--path", str(gate.folder), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["decisions"] == 3


def test_rows_that_contradict_what_is_sealed_stay_in_the_store(opened: Opened) -> None:
    """A new store over files of another: nothing is passed over in silence."""
    gate = opened(Mode.DRY_RUN)
    gate.ask(0)
    gate.ask(10)
    gate.sealing.seal_all(["north-pier"])
    with writing(gate.engine) as connection:
        connection.execute(update(RL_ROWS).values(sealed=False, ts_event_ns=T + 1))
    with pytest.raises(NotDurable, match="not what is sealed"):
        gate.sealing.seal_all(["north-pier"])
    assert [row.sealed for row in gate.rows()] == [False]


def test_what_is_sealed_after_the_store_was_read_is_not_told(opened: Opened) -> None:
    """Decisions, sealing and compaction beside a reader: it tells of one instant."""
    for mode in (Mode.DRY_RUN, Mode.SHADOW):
        gate = opened(mode)
        for n in range(3):
            gate.ask(10 * n)
        dataset = open_dataset(gate.folder)
        for n in range(3, 3 + FAN_IN):
            gate.ask(10 * n)
            gate.sealing.seal_all(["north-pier"])
            found = check(dataset)
            chains = [chain for chain in found.chains if chain.env == mode]
            assert found.ok and sum(chain.decisions for chain in chains) == 3, found.answer()


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.DRY_RUN])
@pytest.mark.parametrize("record", ["state", "action", "transition"])
def test_an_interrupted_sealing_is_finished_by_the_next(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, record: str, mode: Mode
) -> None:
    gate = opened(mode)
    for n in range(3):
        gate.ask(10 * n)
    real = gate.sealer.seal_rl

    def dies(block: Any) -> Any:
        if block.record == record:
            raise NotDurable("disk full")
        return real(block)

    with monkeypatch.context() as patch:
        patch.setattr(gate.sealer, "seal_rl", dies)
        with pytest.raises(NotDurable):
            gate.sealing.seal_all(["north-pier"])
    assert len(gate.rows()) == 3 and gate.check().ok
    gate.ask(30)
    assert gate.check().ok
    gate.sealing.seal_all(["north-pier"])
    assert [row.sealed for row in gate.rows()] == [True] and gate.check().ok
    gate.ask(40)
    gate.sealing.seal_all(["north-pier"])
    found = gate.check()
    assert found.ok and (found.answer()["decisions"], found.answer()["open"]) == (5, 1)


def test_requests_about_other_assets_lie_in_one_file(opened: Opened) -> None:
    gate = opened()
    gate.ask(0)
    gate.ask(10, ("proposal.weights", {"KO": "0.1"}))
    gate.ask(20, ("proposal.weights", {}), ("portfolio.positions", []))
    gate.ask(30)
    assert gate.check().ok
    gate.sealing.seal_all(["north-pier"])
    assert gate.check().ok
    assert [row["symbols"] for row in gate.states()] == ["KO,XOM", "KO", "", "KO,XOM"]
    parts = list(gate.folder.glob("rl_dataset/schema=1/record=state/**/*.parquet"))
    assert len(parts) == 1
    told = describe(open_dataset(gate.folder), Selection(env="shadow"))
    assert told["rows"] == 4


# --- what the check finds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.DRY_RUN])
@pytest.mark.parametrize("row", [1, 2])
def test_rows_that_are_lost_are_found(opened: Opened, mode: Mode, row: int) -> None:
    gate = opened(mode)
    for n in range(3):
        gate.ask(10 * n)
    with writing(gate.engine) as connection:
        connection.execute(delete(RL_ROWS).where(RL_ROWS.c.row_no == gate.rows()[row].row_no))
    assert not gate.check().ok


def test_decisions_of_before_there_were_rows_are_named_and_no_fault(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = opened(Mode.DRY_RUN)
    with monkeypatch.context() as patch:
        patch.setattr("regime_trading.adapters.database.ledger.insert_rl", lambda *_: None)
        old = gate.ask(0)
    assert gate.check().ok and len(gate.check().uncovered) == 1
    gate.ask(10)
    gate.ask(20)
    found = gate.check()
    assert found.ok and len(found.uncovered) == 1 and found.answer()["decisions"] == 2, old


def test_environments_of_one_account_are_never_joined(opened: Opened) -> None:
    dry, shadow = opened(Mode.DRY_RUN), opened(Mode.SHADOW)
    for n in range(2):
        dry.ask(10 * n)
        shadow.ask(10 * n + 5)
    found = dry.check()
    assert found.ok and found.answer()["open"] == 2
    for env in ("dry_run", "shadow"):
        target = dry.folder / f"out-{env}"
        assert export_dataset(dry.folder, target, "parquet", Selection(env=env))["rows"] == 2
        assert pl.read_parquet(target / rl_files.TABLE)["env"].unique().to_list() == [env]


# --- outside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.DRY_RUN])
def test_the_dataset_goes_out_with_rows_of_the_gate(
    opened: Opened, mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = opened(mode)
    for n in range(3):
        gate.ask(n * DAY, *NOTHING_DONE)
    run, folder = CliRunner(), str(gate.folder)
    done = run.invoke(app, ["rl", "check", "--path", folder, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["decisions"] == 3
    told = run.invoke(app, ["rl", "describe", "--path", folder, "--env", mode.value, "--json"])
    assert told.exit_code == 0 and json.loads(told.stdout)["rows"] == 3
    out = run.invoke(
        app, ["rl", "export", "--path", folder, "--env", mode.value, "--to", str(tmp_path / "out")]
    )
    assert out.exit_code == 0
    table = pl.read_parquet(tmp_path / "out" / rl_files.TABLE).sort("ts_event")
    assert table["open"].to_list() == [False, False, True]
    assert table["next_state_id"].to_list()[:2] == table["state_id"].to_list()[1:]
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    target = tmp_path / "minari"
    found = export_dataset(gate.folder, target, "minari", Selection(env=mode.value))
    assert (found["episodes"], found["rows"]) == (1, 2), "one episode over all runs"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(target))
    (episode,) = minari.load_dataset(MINARI_NAME).iterate_episodes()
    assert len(episode.observations["row"]) == 3 and episode.observations["row_known"][-1].any()
    assert not episode.terminations.any() and episode.truncations[-1]


def test_ids_are_those_of_the_entries(opened: Opened) -> None:
    gate = opened()
    decision = gate.ask(0)
    (state,) = gate.states()
    (run,) = open_dataset(gate.folder).runs()
    (seq,) = open_dataset(gate.folder).decisions(run)
    chain = chain_id("shadow", run.run_id, *CORE.split("/"))
    assert state["state_id"] == event_id(chain, seq) and state["seq"] == seq
    body = json.loads(open_dataset(gate.folder).decisions(run)[seq])
    assert body["decision_id"] == decision.decision_id and body["event_id"] == state["state_id"]


def test_whoever_decides_meanwhile_leaves_no_transition(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = opened()
    gate.ask(0)
    real = pm._rl_rows

    def raced(*given: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(pm, "_rl_rows", real)
            gate.ask(5)
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(pm, "_rl_rows", raced)
        with pytest.raises(NotDurable, match="meanwhile"):
            gate.ask(10)
    assert gate.check().ok and len(gate.rows()) == 2


def test_one_list_of_assets_goes_out_at_a_time(opened: Opened, tmp_path: Path) -> None:
    pytest.importorskip("minari")
    gate = opened()
    for n in range(3):
        gate.ask(10 * n)
    for n in range(3, 5):
        gate.ask(10 * n, ("proposal.weights", {"KO": "0.1"}))
    with pytest.raises(BadInput, match=r"--symbols: KO, KO,XOM"):
        export_dataset(gate.folder, tmp_path / "all", "minari", Selection(env="shadow"))
    run, folder = CliRunner(), str(gate.folder)
    asked = ["rl", "export", "--path", folder, "--env", "shadow", "--symbols", "XOM,KO", "--json"]
    done = run.invoke(app, [*asked, "--format", "minari", "--to", str(tmp_path / "two")])
    told = json.loads(done.stdout)
    assert (told["episodes"], told["rows"]) == (1, 3), "the last of them leads to other assets"
    done = run.invoke(app, [*asked, "--to", str(tmp_path / "table")])
    assert json.loads(done.stdout)["rows"] == 3
