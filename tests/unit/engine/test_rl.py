"""RL rows: what a state may know, what a transition says, rewards as components, episodes that end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.history_samples import history, market, prices, rules

from regime_trading.core.rl_features import FEATURES
from regime_trading.core.traders import Lifecycle
from regime_trading.engine.backtest import HistoryInputs, HistoryResult, run_history
from regime_trading.engine.fills import FillCosts

COSTS = FillCosts(1.0, 2.0, 10.0)
LIFE = Lifecycle(profit_target_pct="0.08", min_trading_days=2, max_sessions=25)


def sample(n_bars: int = 90) -> HistoryInputs:
    flows = np.zeros((n_bars, 2))
    flows[40, 0] = 20_000.0
    return history(market(prices(n_bars, 4, 21, 0.02)), [rules()] * 2, costs=COSTS, flows=flows)


def run(of: HistoryInputs) -> HistoryResult:
    return run_history(of, lambda account, events: None, block_bars=64)


@pytest.fixture(scope="module")
def made() -> HistoryResult:
    return run(sample())


def test_shapes_names_and_scales(made: HistoryResult) -> None:
    state, action, transition = made.rl.blocks(0)
    assert [b.record for b in (state, action, transition)] == ["state", "action", "transition"]
    assert {len(column) for column in state.columns.values()} == {90}
    assert {len(column) for column in transition.columns.values()} == {89}
    assert {f.name for f in FEATURES} <= set(state.columns) and "final_w" not in state.columns
    for feature in FEATURES:
        shape = (90,) if feature.per == "row" else (90, 4)
        assert state.columns[feature.name].shape == shape, feature.name
    assert np.nanmax(np.abs(state.columns["weight"])) <= 1.5, "weights are plain fractions"
    assert state.columns["symbols"][0] == "S00,S01,S02,S03"


def test_a_state_knows_what_the_decision_knew_of_the_tape() -> None:
    of = sample()
    r = np.random.default_rng(5)
    spread = np.round(r.uniform(0, 60, (90, 4)), 1)
    grade = r.integers(-1, 4, (90, 4)).astype(np.int8)
    book = r.integers(-1, 3, (90, 4)).astype(np.int8)
    rough = replace(of, market=replace(of.market, spread_bps=spread, book=book, tape_grade=grade))
    state, action, _ = run(rough).rl.blocks(0)
    assert np.array_equal(state.columns["spread_bps"], spread)
    for name, codes in (("book", book), ("tape_grade", grade)):
        assert np.array_equal(state.columns[name], np.where(codes < 0, np.nan, codes), equal_nan=True)
    assert not {"spread_bps", "book", "tape_grade"} & set(action.columns)


def test_states_of_a_cut_history_are_the_same_to_the_bit(made: HistoryResult) -> None:
    whole = sample()
    part = run(replace(whole, last=59))
    for a in range(2):
        for full, cut in zip(made.rl.blocks(a)[:2], part.rl.blocks(a)[:2], strict=True):
            for name, column in cut.columns.items():
                if isinstance(column, np.ndarray):
                    assert column.tobytes() == np.ascontiguousarray(full.columns[name][:60]).tobytes(), name
                else:
                    assert column == full.columns[name][:60], name


def test_rewards_are_components_of_the_equity_they_were_earned_on(made: HistoryResult) -> None:
    for a in range(2):
        state, _, transition = made.rl.blocks(a)
        equity, found = state.columns["equity"], transition.columns
        money = equity[1:] - equity[:-1] - made.flow[1:, a]
        assert np.allclose(found["reward_pnl_net"], money / equity[:-1], rtol=0, atol=1e-15)
        assert np.allclose(found["reward_cost"], made.fees[1:, a] / equity[:-1])
        assert np.allclose(found["reward_turnover"], made.traded[1:, a] / equity[:-1])
        assert np.allclose(found["reward_flow"], made.flow[1:, a] / equity[:-1])
    assert made.rl.blocks(0)[2].columns["reward_flow"][39] > 0
    assert np.count_nonzero(made.rl.blocks(0)[2].columns["reward_flow"]) == 1


def test_an_action_lies_between_its_bounds_and_its_multiplier_explains_it(made: HistoryResult) -> None:
    _, action, _ = made.rl.blocks(0)
    proposed, final, factor = (action.columns[name] for name in ("proposed_w", "final_w", "multiplier"))
    lo, hi = action.columns["action_lo"], action.columns["action_hi"]
    known = np.isfinite(final)
    assert known.any()
    assert (final[known] <= hi[known] + 1e-9).all() and (final[known] >= lo[known] - 1e-9).all()
    asked = proposed != 0
    assert np.allclose(factor[asked], final[asked] / proposed[asked], equal_nan=True)
    assert np.isnan(factor[~asked]).all()


def test_an_episode_ends_with_its_attempt_and_no_reward_crosses_into_the_next() -> None:
    close = np.full((60, 4), 100.0)
    close[10:] *= 1.12
    params = rules(
        LD_01={"limit_pct": "unlimited"},
        LD_02={"ladder": []},
        DS_03={"abs_move": "0.5", "k_sigma": "50"},
        XL_06={"max_increase": "0.3"},
    )
    result = run(history(market(close), [params], lifecycles=[LIFE], costs=COSTS))
    ends = [x.last_bar for x in result.attempts if x.result != "open"]
    assert result.attempts[0].result == "passed" and len(ends) == 2
    state, _, transition = result.rl.blocks(0)
    found = transition.columns
    assert np.flatnonzero(found["done"]).tolist() == ends
    assert (found["next_seq"][found["done"]] == 0).all() and (found["next_seq"][~found["done"]] > 0).all()
    assert [bool(reason) for reason in found["done_reason"]] == (found["done"] | found["censored"]).tolist()
    assert {found["done_reason"][i] for i in ends} == {"passed", "expired"}
    assert np.diff(state.columns["attempt"])[ends].tolist() == [1, 1]
    assert (np.abs(found["reward_pnl_net"][found["done"]]) < 0.01).all(), "closing costs, not fresh capital"
    assert np.isfinite(found["reward_pnl_net"]).all()


def test_a_single_decision_leaves_its_transition_open() -> None:
    result = run(replace(sample(), last=0))
    state, action, transition = result.rl.blocks(0)
    assert len(state.columns["seq"]) == len(action.columns["seq"]) == 1
    assert len(transition.columns["seq"]) == 0
