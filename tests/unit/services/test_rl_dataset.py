"""The sealed RL dataset: complete, joinable, without leaks, readable after its columns grew, exported whole."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from tests.history_samples import history, market, prices, rules
from tests.unit.services.test_gate_rl import Gate
from typer.testing import CliRunner

from regime_trading.adapters import rl_files
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.bootstrap.rl import MINARI_NAME, export_dataset, open_dataset
from regime_trading.cli import app
from regime_trading.core.audit import chain_id
from regime_trading.core.canonical import GENESIS, chain_hashes
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.rl import action_of, state_of, transition_of
from regime_trading.core.rl_features import FEATURES, MASKS, mask_column
from regime_trading.core.schemas import AuditEvent, Mode, RLBlock
from regime_trading.core.traders import Lifecycle
from regime_trading.engine.backtest import HistoryInputs, HistoryResult, run_history
from regime_trading.engine.fills import FillCosts
from regime_trading.services.rl import check, describe
from regime_trading.services.rl_dataset import RLDataset, RLRun, Selection, numbers_of, upgraded
from regime_trading.services.rl_export import training_table

ROOT = Path(__file__).parents[3]
OLD = ROOT / "tests" / "recorded" / "rl"
LIFE = Lifecycle(profit_target_pct="0.04", min_trading_days=2, max_sessions=30)
N_BARS = 110


def scene(run_id: str = "bt-test", seed: int = 5) -> HistoryInputs:
    """Three accounts of two firms: a plain one that latches and is released, two with attempts."""
    close = prices(N_BARS, 3, seed, 0.015)
    close[50:58] *= np.cumprod(np.full(8, 0.97))[:, None]
    close[58:] *= 0.97**8
    close[20, 1] = np.nan
    tight = rules(LD_01={"limit_pct": "0.01", "release": "MANUAL"})
    of = history(
        market(close),
        [tight, rules(), rules()],
        costs=FillCosts(1.0, 2.0, 10.0),
        lifecycles=[None, LIFE, LIFE],
        run_id=run_id,
    )
    session = of.market.session.copy()
    session[70:] += 2
    return replace(of, market=replace(of.market, session=session))


def sealed_run(folder: Path, of: HistoryInputs) -> HistoryResult:
    """Play a history and seal what it leaves."""
    sealer, heads = ParquetSealer(LocalArtifacts(folder)), [GENESIS] * len(of.identities)

    def sink(account: int, events: list[AuditEvent]) -> None:
        who = of.identities[account]
        chain = chain_id(who.env, who.run_id, who.firm_id, who.account_id)
        if events:
            sealer.seal_audit(chain, heads[account], events)
            heads[account] = chain_hashes(heads[account], [event.body for event in events])[-1]

    result = run_history(of, sink)
    for account in range(len(of.identities)):
        for block in result.rl.blocks(account):
            if len(block.columns["seq"]):
                sealer.seal_rl(block)
    return result


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HistoryResult]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, sealed_run(folder, scene())


def dataset_in(folder: Path) -> RLDataset:
    store = LocalArtifacts(folder)
    return RLDataset(store, ParquetSealer(store))


# --- completeness -----------------------------------------------------------------------------------------


def test_transitions_and_open_ends_make_up_the_decisions(whole: tuple[Path, HistoryResult]) -> None:
    folder, result = whole
    found = check(dataset_in(folder))
    assert found.ok, found.answer()
    assert [c.account for c in found.chains] == ["north/a", "north/b", "south/c"]
    for chain in found.chains:
        assert chain.decisions == N_BARS == chain.transitions + chain.open and chain.open == 1
        assert chain.gaps == 1 and chain.censored in (0, 1)
    assert any(attempt.result != "open" for attempt in result.attempts)
    assert any(latch.released is not None for latch in result.latches)
    answer = found.answer()
    assert answer["decisions"] == 3 * N_BARS == answer["transitions"] + answer["open"] and answer["ok"]


def test_every_sealed_row_is_a_model(whole: tuple[Path, HistoryResult]) -> None:
    dataset = dataset_in(whole[0])
    for run in dataset.runs():
        for record, made in (("state", state_of), ("action", action_of), ("transition", transition_of)):
            frame = dataset.table(run, record).with_columns(
                pl.col("ts_event").cast(pl.Int64).alias("ts_event_ns")
            )
            for row in frame[::11].iter_rows(named=True):
                assert made(row).run_id == "bt-test"


# --- what the check finds ---------------------------------------------------------------------------------

Spoil = Callable[[dict[str, RLBlock]], None]


@cache
def first_account() -> tuple[HistoryResult, list[AuditEvent]]:
    """What the first account of the scene leaves."""
    events: list[AuditEvent] = []
    result = run_history(scene(), lambda account, new: events.extend(new if account == 0 else ()))
    return result, events


def spoiled(folder: Path, spoil: Spoil) -> RLDataset:
    """A run in which the blocks of one account were changed before they were sealed."""
    sealer = ParquetSealer(LocalArtifacts(folder))
    result, events = first_account()
    who = result.rl.identities[0]
    sealer.seal_audit(chain_id(who.env, who.run_id, who.firm_id, who.account_id), GENESIS, events)
    blocks = {block.record: block for block in result.rl.blocks(0)}
    spoil(blocks)
    for block in blocks.values():
        sealer.seal_rl(block)
    return dataset_in(folder)


def without_row(record: str, row: int) -> Spoil:
    def spoil(blocks: dict[str, RLBlock]) -> None:
        for name, column in blocks[record].columns.items():
            kept = [*column[:row], *column[row + 1 :]]
            blocks[record].columns[name] = np.array(kept) if isinstance(column, np.ndarray) else kept

    return spoil


def changed(record: str, name: str, row: int, value: object) -> Spoil:
    def spoil(blocks: dict[str, RLBlock]) -> None:
        column = blocks[record].columns[name]
        column = column.copy() if isinstance(column, np.ndarray) else list(column)
        column[row] = value
        blocks[record].columns[name] = column

    return spoil


def of_another_environment(blocks: dict[str, RLBlock]) -> None:
    for name, block in blocks.items():
        blocks[name] = replace(block, env="shadow")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_row("transition", 30), "1 decisions without one"),
        (without_row("state", 30), "109 rows for 110 decisions"),
        (without_row("action", 109), "109 rows for 110 decisions"),
        (changed("state", "state_id", 4, "x"), "has id x"),
        (changed("transition", "next_state_id", 4, "x"), "leads to state x"),
        (changed("transition", "next_seq", 4, 10**6), "leads to 1000000"),
        (changed("state", "ts_known_market_ns", 7, 2**62), "market of entry .* after its decision"),
        (changed("state", "equity", 7, math.nan), "mask_portfolio of entry .* does not say"),
        (changed("state", "mask_market", 7, 0), "mask_market of entry .* does not say"),
        (changed("state", "gross", 7, math.inf), "gross is infinite"),
        (of_another_environment, "environment shadow, the record says dry_run"),
    ],
)
def test_what_is_wrong_is_found(spoil: Spoil, says: str, tmp_path: Path) -> None:
    found = check(spoiled(tmp_path, spoil))
    assert not found.ok
    (chain,) = found.chains
    assert any(re.search(says, fault) for fault in chain.faults), chain.faults


def test_a_whole_run_without_rows_and_a_changed_file_are_found(
    whole: tuple[Path, HistoryResult], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    part = next(folder.glob("rl_dataset/schema=1/record=state/firm=south/**/part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    bad = {c.account: c.faults for c in check(dataset_in(folder)).chains}
    assert bad["south/c"] and not bad["north/a"] and not bad["north/b"]
    shutil.rmtree(folder / "rl_dataset")
    assert check(dataset_in(folder)).uncovered == tuple(
        f"dry_run/bt-test/{name}" for name in ("north/a", "north/b", "south/c")
    )
    LocalArtifacts(folder).write_bytes("runs/bt-test/report.html", b"")  # a backtest: its rows are missing
    found = check(dataset_in(folder))
    assert not found.ok and len(found.chains) == 3 and not found.uncovered


def test_rows_of_somebody_else_in_a_runs_files_are_refused(
    whole: tuple[Path, HistoryResult], tmp_path: Path
) -> None:
    dataset = dataset_in(whole[0])
    run = dataset.runs()[0]
    with pytest.raises(CheckFailed, match="firm_id"):
        replaced = RLRun("south", run.account_id, run.run_id, run.env)

        class Wrong:
            def __getattr__(self, name: str) -> object:
                return getattr(dataset.sealer, name)

            def sealed(self, run_id: str, firm: str, account: str, record: str) -> object:
                return dataset.sealer.sealed(run_id, "north", account, record)  # type: ignore[arg-type]

            def contents(self, run_id: str, firm: str, account: str, record: str) -> object:
                return dataset.sealer.contents(run_id, "north", account, record)  # type: ignore[arg-type]

        RLDataset(dataset.store, Wrong()).table(replaced, "state")  # type: ignore[arg-type]


# --- older files ------------------------------------------------------------------------------------------


def test_files_of_version_3_are_read_with_what_they_lack_unknown() -> None:
    for record in ("state", "action", "transition"):
        old = pl.read_parquet(OLD / f"v3-{record}.parquet", hive_partitioning=False)
        assert old["feature_set_version"].unique().to_list() == ["3"] and old.height > 40
        new = upgraded(old, record)  # type: ignore[arg-type]
        for name in old.columns:
            if name not in ("book", "tape_grade"):
                assert new[name].equals(old[name]), name
    state = upgraded(pl.read_parquet(OLD / "v3-state.parquet", hive_partitioning=False), "state")
    for feature in FEATURES:
        values = numbers_of(state, feature.name, wide=feature.per == "asset")
        assert values.shape[0] == state.height
        if feature.since != "3":
            assert np.isnan(values).all(), feature.name
    book = numbers_of(state, "book", wide=True)
    assert np.isnan(book).any() and not (book < 0).any(), "minus one was no book; it is not known now"
    for block, per in MASKS:
        assert mask_column(block, per) in state.columns
    row = state.with_columns(pl.col("ts_event").cast(pl.Int64).alias("ts_event_ns")).row(20, named=True)
    assert state_of(row).state_id is None
    for record, made in (("action", action_of), ("transition", transition_of)):
        frame = upgraded(pl.read_parquet(OLD / f"v3-{record}.parquet", hive_partitioning=False), record)  # type: ignore[arg-type]
        frame = frame.with_columns(pl.col("ts_event").cast(pl.Int64).alias("ts_event_ns"))
        assert [made(row).action_id for row in frame.iter_rows(named=True)] == [None] * frame.height
    with pytest.raises(BadInput, match="feature set"):
        upgraded(state.with_columns(pl.lit("99").alias("feature_set_version")), "state")


def test_transitions_of_before_they_named_the_next_run_are_read() -> None:
    dataset = dataset_in(ROOT / "tests" / "recorded")
    for run in dataset.runs():
        moved = f"rl_dataset/schema=1/record=transition/firm={run.firm_id}/account={run.account_id}"
        for path in (ROOT / "tests" / "recorded" / moved).rglob("*.parquet"):
            assert "next_run_id" not in pl.read_parquet(path, hive_partitioning=False).columns
        moves = dataset.table(run, "transition")
        assert moves["next_run_id"].null_count() == moves.height > 0
    assert check(dataset).ok


# --- describe, export -------------------------------------------------------------------------------------


def test_the_description_counts_what_is_not_known(whole: tuple[Path, HistoryResult]) -> None:
    told = describe(dataset_in(whole[0]), Selection())
    share = {item["name"]: item["unknown_share"] for item in told["features"]}
    assert told["rows"] == 3 * N_BARS and list(share) == [f.name for f in FEATURES]
    assert share["equity"] == 0 and share["tape_score"] == 1 and 0 < share["age_bars"] < 1
    with pytest.raises(BadInput, match=r"env shadow.*dry_run bt-test north/a"):
        describe(dataset_in(whole[0]), Selection(env="shadow"))


def test_the_training_table_is_the_three_records_side_by_side(whole: tuple[Path, HistoryResult]) -> None:
    folder, result = whole
    table = training_table(dataset_in(folder), Selection(account="north/b"))
    state, action, moves = result.rl.blocks(1)
    assert table["seq"].to_list() == state.columns["seq"].tolist()
    assert table["open"].to_list() == [False] * (N_BARS - 1) + [True]
    for block, name in ((state, "equity"), (action, "multiplier"), (state, "lo"), (moves, "reward_pnl_net")):
        column = block.columns[name]
        found = numbers_of(table, name, wide=column.ndim == 2)[: len(column)]
        assert np.array_equal(found, column, equal_nan=True), name
    assert len(set(table.columns)) == len(table.columns)


def test_environments_are_never_mixed(whole: tuple[Path, HistoryResult], tmp_path: Path) -> None:
    folder = tmp_path / "both"
    shutil.copytree(whole[0], folder)
    of = scene("2001-05-05", seed=6)
    live = replace(of, identities=tuple(replace(who, env="shadow") for who in of.identities), last=40)
    sealed_run(folder, live)
    dataset = dataset_in(folder)
    assert check(dataset).ok
    assert {run.env for run in dataset.runs()} == {"dry_run", "shadow"}
    assert training_table(dataset, Selection())["env"].unique().to_list() == ["dry_run"]
    assert training_table(dataset, Selection(env="shadow")).height == 3 * 41
    assert {c.chain for c in check(dataset).chains if c.env == "shadow"} == {
        "shadow/north/a", "shadow/north/b", "shadow/south/c"
    }  # fmt: skip


def test_parquet_goes_out_whole_or_not_at_all(
    whole: tuple[Path, HistoryResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "set"
    told = export_dataset(whole[0], target, "parquet", Selection())
    table = pl.read_parquet(target / rl_files.TABLE)
    assert told["rows"] == table.height == 3 * N_BARS
    assert json.loads((target / rl_files.CONTENTS).read_bytes())["columns"] == table.columns
    with pytest.raises(BadInput, match="does not exist yet"):
        export_dataset(whole[0], target, "parquet", Selection())

    def dies(*args: object) -> None:
        (args[0] / "half").write_text("x")  # type: ignore[operator]
        raise RuntimeError("disk")

    monkeypatch.setattr("regime_trading.bootstrap.rl.write_table", dies)
    with pytest.raises(RuntimeError):
        export_dataset(whole[0], tmp_path / "out" / "other", "parquet", Selection())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["set"]
    with pytest.raises(BadInput, match="parquet or minari"):
        export_dataset(whole[0], tmp_path / "out" / "third", "csv", Selection())


def test_minari_reads_the_episodes_back(
    whole: tuple[Path, HistoryResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    target = tmp_path / "minari"
    told = export_dataset(whole[0], target, "minari", Selection())
    assert "MINARI_DATASETS_PATH" not in os.environ and not (tmp_path / "home").exists()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(target))
    found = minari.load_dataset(MINARI_NAME)
    contents = json.loads((target / rl_files.CONTENTS).read_bytes())
    assert found.total_episodes == told["episodes"] == len(contents["episodes"])
    assert found.total_steps == told["rows"] == 3 * (N_BARS - 1)
    table = training_table(dataset_in(whole[0]), Selection())
    at = contents["row"].index("unit_drawdown")
    for entry, episode in zip(contents["episodes"], found.iterate_episodes(), strict=True):
        firm, account = entry["account"].split("/")
        own = table.filter(
            (pl.col("firm_id") == firm)
            & (pl.col("account_id") == account)
            & (pl.col("attempt") == entry["attempt"])
            & ~pl.col("open")
        )
        n = entry["steps"]
        assert len(episode.rewards) == n == own.height
        assert len(episode.observations["row"]) == len(episode.observations["asset"]) == n + 1
        assert np.array_equal(episode.rewards, own["reward_pnl_net"].to_numpy(), equal_nan=True)
        assert np.array_equal(episode.actions, numbers_of(own, "final_w", wide=True), equal_nan=True)
        assert np.array_equal(episode.observations["row"][:n, at], own["unit_drawdown"].to_numpy())
        assert np.isfinite(episode.observations["asset"]).all()
        age = numbers_of(own, "age_bars", wide=True)
        known = episode.observations["asset_known"][:n, :, contents["asset"].index("age_bars")]
        assert np.array_equal(known == 1, ~np.isnan(age)) and set(np.unique(known)) <= {0, 1}
        ended = bool(own["done"][-1])
        assert episode.terminations[-1] == ended and episode.truncations[-1] != ended
        assert not episode.terminations[:-1].any() and not episode.truncations[:-1].any()
        if ended:
            assert not episode.observations["row_known"][-1].any(), "after the end nothing is known"
    assert any(entry["done_reason"] == "end_of_data" for entry in contents["episodes"])


def test_without_minari_the_extra_is_named(
    whole: tuple[Path, HistoryResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(BadInput, match=r"regime-trading\[rl\]"):
        export_dataset(whole[0], tmp_path / "set", "minari", Selection())
    assert not list(tmp_path.iterdir())


# --- the command line -------------------------------------------------------------------------------------


def test_the_command_line_checks_describes_and_exports(
    whole: tuple[Path, HistoryResult], tmp_path: Path
) -> None:
    run, folder = CliRunner(), str(whole[0])
    done = run.invoke(app, ["rl", "check", "--path", folder, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["ok"]
    told = run.invoke(app, ["rl", "describe", "--path", folder, "--account", "north/a", "--json"])
    assert told.exit_code == 0 and json.loads(told.stdout)["accounts"] == ["north/a"]
    out = run.invoke(app, ["rl", "export", "--path", folder, "--to", str(tmp_path / "x"), "--run", "bt-test"])
    assert out.exit_code == 0 and (tmp_path / "x" / rl_files.TABLE).exists()
    again = run.invoke(app, ["rl", "export", "--path", folder, "--to", str(tmp_path / "x")])
    assert again.exit_code == 2
    bad = spoiled(tmp_path / "bad", without_row("transition", 30))
    failed = run.invoke(app, ["rl", "check", "--path", str(bad.store.root)])
    assert failed.exit_code == 3
    assert run.invoke(app, ["rl", "check", "--path", str(tmp_path / "nowhere")]).exit_code == 2


# --- the worked example -----------------------------------------------------------------------------------


@pytest.fixture
def example() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location(
        "behaviour_cloning", ROOT / "examples" / "behaviour_cloning.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


def test_the_worked_example_puts_its_clone_through_the_guards(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.services.test_backtest import deps_in, write_prices

    from regime_trading.services import backtest as service

    monkeypatch.setattr(service, "_write_report", lambda report, path, store: None)
    source = write_prices(tmp_path / "prices.csv", 520)
    folder = tmp_path / "artifacts"
    deps = deps_in(folder)
    with ExitStack() as stack:  # the gate has left rows in the same folder
        gates = [Gate(folder, stack, mode) for mode in (Mode.SHADOW, Mode.DRY_RUN)]
        for gate in gates:
            gate.ask(0)
            gate.ask(10, ("proposal.weights", {}), ("portfolio.positions", []))
            gate.ask(20, ("proposal.weights", {"KO": "0.1"}))
        gates[0].sealing.seal_all(["north-pier"])
    early = {
        "regime": deps.settings.regime.model_copy(update={"min_obs_bars": 120}),
        "structure": deps.settings.structure.model_copy(update={"min_obs_bars": 126}),
    }
    deps = replace(deps, settings=deps.settings.model_copy(update=early))
    table, said = example.compare(deps, str(source), "north-pier/core", dt.date(2003, 9, 15))
    rows = {row["policy"]: row for row in table.iter_rows(named=True)}
    assert list(rows) == ["PM", "clone", "no action"] and "judged on" in said
    assert all(row["breaches after guards"] == 0 for row in rows.values())
    assert rows["no action"]["volatility"] == 0 < rows["clone"]["volatility"]
    assert 0 < rows["clone"]["changed by guards"] <= 1

    dataset = open_dataset(folder)
    found = check(dataset)
    assert found.ok and not found.uncovered
    dry, shadow = (training_table(dataset, Selection(env=env)) for env in ("dry_run", "shadow"))
    theirs = dry.filter(pl.col("run_id").str.starts_with("pm-"))
    assert (theirs.height, shadow.height) == (3, 3) and dry.height > 500
    target = tmp_path / "all"
    assert export_dataset(folder, target, "parquet", Selection())["rows"] == dry.height
    assert pl.read_parquet(target / rl_files.TABLE).height == dry.height
    assert example.by_asset(shadow)["symbol"].to_list() == ["KO", "XOM", "KO"]
    assert example.by_asset(dry).height == sum(dry["final_w"].list.len())
