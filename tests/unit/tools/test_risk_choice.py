"""Number of states and penalty: what the past says, and only the past."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.regimes import paths
from hypothesis import given, settings
from hypothesis import strategies as st
from jumpmodels.jump import JumpModel
from scipy import stats

from regime_trading.core.errors import BadInput
from regime_trading.tools.jump_model import jump_features
from regime_trading.tools.risk_choice import choose, forward_score, information_criterion

FEW = {"penalties": (10.0, 50.0), "n_states": (1, 2)}


def test_two_regimes_are_two_states_and_one_is_one():
    two = [choose(r[:1500], **FEW).n_states for _, r in paths("2-state", 1500, 6, 5)]
    assert two.count(2) >= 5
    one = [choose(0.01 * np.random.default_rng(s).standard_t(5, 1500), **FEW).n_states for s in range(6)]
    assert one.count(1) >= 5


def test_the_choice_is_the_best_of_its_scores():
    returns = paths("2-state", 1000, 1, 6)[0][1][:1000]
    choice = choose(returns, **FEW)
    assert choice.reason == ""
    assert choice.n_states == min(choice.criterion, key=lambda pair: pair[1])[0]
    assert choice.penalty == max(choice.scores, key=lambda pair: pair[1])[0]
    assert dict(choice.criterion)[2] == information_criterion(returns, 2)
    holes = np.insert(returns, [5, 400, 900], np.nan)
    assert choose(holes, **FEW) == choice


def test_a_return_is_scored_by_the_state_of_the_bar_before():
    returns = paths("2-state", 700, 1, 8)[0][1][:700]
    features = jump_features(returns)
    bars = np.flatnonzero(np.isfinite(features).all(axis=1))
    half, total = bars.size // 2, 0.0
    past = features[bars[:half]]
    x = (features[bars] - past.mean(axis=0)) / past.std(axis=0)
    model = JumpModel(2, 20.0, n_init=3, random_state=0).fit(x[:half], returns[bars[:half]], sort_by="vol")
    online = model.predict_online(x)
    for i in range(half, bars.size):
        state = online[i - 1]
        total += stats.norm.logpdf(returns[bars[i]], model.ret_[state], model.vol_[state])
    assert forward_score(returns, 2, 20.0, 1, 0) == pytest.approx(total / (bars.size - half), rel=1e-9)


@given(st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_the_score_is_a_density(seed):
    rng = np.random.default_rng(seed)
    returns = 0.01 * rng.standard_normal(700) * np.repeat([1.0, 2.5], 50)[np.arange(700) % 100]
    score = forward_score(returns[:560], 2, 10.0, 2, 0)
    assert score == forward_score(returns.copy()[:560], 2, 10.0, 2, 0)
    scaled = forward_score(returns[:560] * 10, 2, 10.0, 2, 0)
    if not np.isnan(score):
        assert scaled == pytest.approx(score - np.log(10), abs=1e-6)


@pytest.mark.parametrize(
    "returns", [np.zeros(500), np.full(500, np.nan), np.ones(10), np.tile([1e200, -1e200], 200)]
)
def test_no_choice_says_why(returns):
    choice = choose(returns, **FEW)
    assert (choice.n_states, choice.penalty) == (None, None)
    assert choice.reason


@pytest.mark.parametrize(
    "options", [{"n_states": ()}, {"n_states": (0,)}, {"penalties": (0.0,)}, {"folds": 0}]
)
def test_refuses_bad_candidates(options):
    with pytest.raises(BadInput):
        choose(np.zeros(300), **options)
