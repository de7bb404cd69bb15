"""A source with a tape, from the file to the decision: evidence in the label, guards that read the book."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import orjson
import pytest
from tests.tape_samples import data_folder

from regime_trading.bootstrap.app import open_app
from regime_trading.services.runs import Ask, answer

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    for name in ("settings.yaml", "traders.yaml"):
        text = (CONFIG / name).read_text()
        text = text.replace("  files:\n    calendar: XNYS", "  files:\n    calendar: 24/7")
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_folder(tmp_path_factory.mktemp("source") / "data")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, config: Path, source: Path):
    artifacts = tmp_path_factory.mktemp("artifacts")
    with open_app(artifacts=artifacts, config=config) as app:
        done = app.runs.run(Ask(source=str(source), symbols=("DIRTY", "MUTE", "SOUND")))
        yield artifacts, done, answer(done, "x")


def test_the_tape_is_measured_graded_and_caps_the_label(finished) -> None:
    _, done, _ = finished
    tape = done.state.tape
    by_symbol = {item.symbol: item for item in tape.features}
    assert sorted(by_symbol) == ["DIRTY", "SOUND"]
    assert by_symbol["SOUND"].health.grade in ("healthy", "thin")
    assert by_symbol["DIRTY"].health.grade == "broken"
    assert by_symbol["DIRTY"].counts.crossed > 0.2 * by_symbol["DIRTY"].counts.rows
    assert tape.evidence == "bars"  # MUTE has no tape: the whole rests on the lowest grade
    market = done.state.regime.market
    assert [item.source for item in market.evidence] == ["structure", "risk", "cross_asset", "tape"]
    assert market.confidence <= min(item.confidence_cap for item in market.evidence)
    assert done.state.regime.confidence_cap == 0.2  # the lower median of two tapes is the broken one
    own = {item.symbol: item for item in done.state.regime.symbols}
    assert own["DIRTY"].confidence <= 0.2 and own["MUTE"].confidence <= 0.8


def test_tiers_of_a_quarter_hour_source(finished) -> None:
    tiers = {item.tier: item for item in finished[1].state.regime.market.tiers}
    assert tiers["LT"].reason == "fewer valid returns than min_obs"
    assert tiers["ST"].label == finished[1].state.regime.market.label


def test_guards_read_the_book(finished) -> None:
    """A broken tape and a symbol whose book is not known get no new risk; the sound one trades."""
    for decision in finished[1].state.decisions:
        rules = {rule.rule_id: rule for rule in decision.rules}
        assert rules["DS-04"].outcome == "unknown"
        by_symbol = {target.symbol: target for target in decision.targets}
        assert "DS-04" in by_symbol["DIRTY"].limiting_rules and by_symbol["DIRTY"].target_w == 0
        assert "DS-04" in by_symbol["MUTE"].limiting_rules and by_symbol["MUTE"].target_w == 0
        assert by_symbol["SOUND"].target_w > 0


def test_the_report_shows_tape_health(finished) -> None:
    artifacts, done, _ = finished
    home = artifacts / "runs" / done.state.request.run_id
    text = (home / "report.md").read_text()
    section = text[text.index("## Tape health") :]
    for word in ("SOUND", "DIRTY", "broken", "Crossed, locked or wide book limited", "tape-SOUND.svg"):
        assert word in section
    assert (home / "charts" / "tape-SOUND.svg").read_text().startswith("<svg")
    html = (home / "report.html").read_text()
    assert "Order-flow imbalance, cumulative" in html and "What was weighed" in html
    shared = orjson.loads((home / "market" / "regime.json").read_bytes())
    assert shared["tape"]["features"][0]["unknown"] is not None


def test_a_history_reads_the_same_tape(finished, config: Path, source: Path, tmp_path: Path) -> None:
    """The last bar of a backtest has the same spread, book and grade as the run's."""
    from regime_trading.services.backtest_plan import (
        BacktestRequest,
        history_inputs,
        make_plan,
        plan_readings,
    )
    from regime_trading.services.study import StudyCache, study

    with open_app(artifacts=tmp_path, config=config) as app:
        deps = app.backtest()
        request = BacktestRequest(source=str(source), symbols=("DIRTY", "MUTE", "SOUND"))
        plan = make_plan(request, deps)
        readings = plan_readings(plan, deps)
        found = study(plan.window, plan.universe, deps.settings, StudyCache(deps.store, deps.code_version))
        market = history_inputs(plan, found, request, readings, deps, None).market
    last = {item.symbol: item for item in finished[1].state.tape.features}
    for symbol, features in last.items():
        assert readings[symbol][plan.last].features == features
        column = market.symbols.index(symbol)
        assert market.spread_bps[-1, column] == max(
            features.spread.time_weighted_bps, features.spread.last_bps
        )
    assert np.isnan(
        market.spread_bps[: plan.last - 30]
    ).all()  # no tape yet, and the source has quotes: unknown
    assert (market.confidence[-1] <= 0.2).all()


def test_another_tape_is_another_run(finished, config: Path, tmp_path: Path) -> None:
    other = data_folder(tmp_path / "data")
    with open_app(artifacts=tmp_path / "a", config=config) as app:
        ask = Ask(source=str(other), symbols=("DIRTY", "MUTE", "SOUND"))
        same = app.runs.request(ask)
        assert same.tape_hash == finished[1].state.request.tape_hash
        (other / "trades" / "SOUND.parquet").unlink()
    with open_app(artifacts=tmp_path / "a", config=config) as app:
        changed = app.runs.request(ask)
        assert changed.tape_hash != same.tape_hash and changed.run_id != same.run_id


def test_machine_answer_is_json(finished) -> None:
    assert json.loads(json.dumps(finished[2]))["accounts"]
