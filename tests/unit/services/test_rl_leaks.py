"""Real prices through research and the loop: states do not change with what comes later, and look-ahead is found."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.unit.services.test_backtest import deps_in

from regime_trading.adapters.market_data import open_source
from regime_trading.core.errors import CheckFailed
from regime_trading.core.rl_features import FEATURES
from regime_trading.engine.backtest import HistoryInputs, run_history
from regime_trading.engine.rl_context import context_of
from regime_trading.services.backtest_plan import (
    BacktestDeps,
    BacktestRequest,
    history_inputs,
    make_plan,
    plan_readings,
)
from regime_trading.services.study import Study, StudyCache, study

SYMBOLS = ("AAPL", "JPM", "XOM")
FIRST, CUT, BARS = dt.date(2008, 5, 1), 400, 460


def early_deps(folder: Path) -> BacktestDeps:
    """The shipped configuration with regimes after half a year of returns."""
    deps = deps_in(folder)
    settings = deps.settings.model_copy(
        update={
            "regime": deps.settings.regime.model_copy(update={"min_obs_bars": 120, "refit_every_bars": 63}),
            "structure": deps.settings.structure.model_copy(update={"min_obs_bars": 126}),
        }
    )
    return replace(deps, settings=settings)


def write_real(path: Path, bars: int, tail: float = 1.0) -> Path:
    """Real closes from 2007 on; those after ``CUT`` times ``tail``."""
    start = int(dt.datetime(2007, 1, 1, tzinfo=dt.UTC).timestamp()) * 10**9
    window = open_source("bundled", calendars={}).window(symbols=SYMBOLS)
    at = slice(int(np.searchsorted(window.ts_ns, start)), None)
    close, ts_ns = window.close[at][:bars].copy(), window.ts_ns[at][:bars]
    close[CUT:] *= tail
    lines = [",".join(["ts_event", *window.symbols])]
    for ts, row in zip((ts_ns // 10**9).tolist(), close.tolist(), strict=True):
        lines.append(",".join([f"{np.datetime64(ts, 's')}Z", *map(str, row)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def inputs_of(folder: Path, source: Path) -> tuple[HistoryInputs, Study]:
    deps = early_deps(folder)
    request = BacktestRequest(
        source=str(source), accounts=("north-pier/core",), first_day=FIRST, run_id="bt-x"
    )
    plan = make_plan(request, deps)
    found = study(plan.window, plan.universe, deps.settings, StudyCache(deps.store, deps.code_version))
    return history_inputs(plan, found, request, plan_readings(plan, deps), deps, None), found


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[HistoryInputs, Study]:
    folder = tmp_path_factory.mktemp("real")
    return inputs_of(folder, write_real(folder / "prices.csv", CUT))


def test_states_of_real_prices_do_not_change_with_what_comes_later(
    real: tuple[HistoryInputs, Study], tmp_path: Path
) -> None:
    of, _ = real
    later, _ = inputs_of(tmp_path, write_real(tmp_path / "prices.csv", BARS, tail=0.7))
    assert later.last - of.last == BARS - CUT
    short, long = (run_history(x, lambda account, events: None).rl.blocks(0) for x in (of, later))
    n = of.n_bars
    for one, two in zip(short[:2], long[:2], strict=True):
        for name, column in one.columns.items():
            whole = two.columns[name]
            if isinstance(column, np.ndarray):
                same = np.ascontiguousarray(column).tobytes() == np.ascontiguousarray(whole[:n]).tobytes()
            else:
                same = column == whole[:n]
            assert same, name
    state = short[0].columns
    told = {f.name for f in FEATURES if np.isfinite(state[f.name]).any()}
    assert {
        "risk_entropy",
        "vol_of_vol",
        "breadth_up",
        "mean_correlation",
        "asset_label",
        "tier_lt_label",
    } <= told
    assert np.nanmin(state["risk_entropy"]) >= 0 and np.nanmax(state["risk_entropy"]) <= 1
    probability = state["calm_probability"] + state["turbulent_probability"]
    assert np.allclose(probability[~np.isnan(probability)], 1)
    circle = state["week_sin"] ** 2 + state["week_cos"] ** 2
    assert np.allclose(circle, 1) and len(np.unique(np.round(state["week_sin"], 9))) == 5


def test_a_fit_that_has_seen_later_bars_is_found(real: tuple[HistoryInputs, Study]) -> None:
    of, found = real
    fitted = found.regimes.risk_fitted_at
    ahead = replace(
        found.regimes, risk_fitted_at=np.where(fitted >= 0, np.minimum(fitted + 70, of.last), fitted)
    )
    context = context_of(of.market, found.features, ahead)
    with pytest.raises(CheckFailed, match="market block"):
        run_history(replace(of, context=context), lambda account, events: None)


def test_a_tape_that_ends_after_the_bar_is_found(real: tuple[HistoryInputs, Study]) -> None:
    of, found = real
    row = of.first + 3
    for late in (0, 1):
        said = SimpleNamespace(
            ofi=SimpleNamespace(sum=30.0, depth=10.0),
            microprice=SimpleNamespace(gap_bps=-0.5),
            health=SimpleNamespace(score=88.0),
            end_ns=int(of.market.ts_ns[row]) + late,
        )
        context = context_of(of.market, found.features, found.regimes, tape={SYMBOLS[1]: {row: said}})  # type: ignore[dict-item]
        cut = replace(of, context=context, last=of.first + 5)
        if late:
            with pytest.raises(CheckFailed, match="market block"):
                run_history(cut, lambda account, events: None)
        else:
            state = run_history(cut, lambda account, events: None).rl.blocks(0)[0].columns
            assert state["ofi_depths"][3].tolist()[1] == 3.0 and state["microprice_gap_bps"][3][1] == -0.5
            assert np.isnan(state["tape_score"]).sum() == state["tape_score"].size - 1
