"""Continuous jump model: against jumpmodels, and its recursion step by step."""

from __future__ import annotations

import numpy as np
import pytest
from jumpmodels.jump import JumpModel, discretize_prob_simplex

from regime_trading.core.errors import BadInput
from regime_trading.tools.continuous_jump import (
    continuous_online_values,
    fit_continuous_jump_model,
    move_costs,
    simplex_grid,
)
from regime_trading.tools.jump_model import jump_features


def sample(case, n_states=2):
    rng = np.random.default_rng(case)
    n = int(rng.integers(150, 260))
    state = np.repeat(rng.integers(n_states, size=n // 25 + 1), 25)[:n]
    returns = rng.standard_normal(n) * np.array([0.006, 0.015, 0.03])[state]
    x = jump_features(returns, warm_up=20)
    valid = np.isfinite(x).all(axis=1)
    x = x[valid]
    return (x - x.mean(axis=0)) / x.std(axis=0), returns[valid]


@pytest.mark.parametrize("case", range(20))
def test_fit_equals_jumpmodels(case):
    x, returns = sample(case)
    penalty = (0.5, 5.0, 20.0, 60.0)[case % 4]
    theirs = JumpModel(2, penalty, cont=True, n_init=3, random_state=case).fit(x, returns, sort_by="vol")
    ours = fit_continuous_jump_model(x, returns, penalty=penalty, n_init=3, seed=case)
    assert ours.objective == pytest.approx(theirs.val_, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(ours.centers, theirs.centers_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.probability, theirs.proba_, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(ours.labels, theirs.labels_)
    np.testing.assert_allclose(ours.volatility, theirs.vol_, rtol=1e-9)
    np.testing.assert_allclose(ours.transition, theirs.transmat_, rtol=1e-12)
    values = continuous_online_values(x, ours.centers, penalty)
    online = simplex_grid(2)[values.argmin(axis=1)]
    np.testing.assert_allclose(online, theirs.predict_proba_online(x), atol=1e-12)


def test_three_states_equal_jumpmodels_on_a_coarse_grid():
    x, returns = sample(3, n_states=3)
    options = {"n_init": 2, "grid_size": 0.2}
    theirs = JumpModel(3, 5.0, cont=True, random_state=1, **options).fit(x, returns, sort_by="vol")
    ours = fit_continuous_jump_model(x, returns, n_states=3, penalty=5.0, seed=1, **options)
    np.testing.assert_allclose(ours.probability, theirs.proba_, atol=1e-9)
    np.testing.assert_allclose(ours.centers, theirs.centers_, atol=1e-9)


@pytest.mark.parametrize("n_states", [2, 3])
def test_grid_and_costs(n_states):
    grid = simplex_grid(n_states, 0.1)
    np.testing.assert_array_equal(grid, discretize_prob_simplex(n_states, 0.1))
    model = JumpModel(n_states, 7.0, cont=True, grid_size=0.1)
    np.testing.assert_allclose(move_costs(grid, 7.0), model.check_jump_penalty_mx(), atol=1e-12)


def test_one_step_is_one_row_of_the_recursion():
    rng = np.random.default_rng(1)
    x, centers = rng.standard_normal((60, 2)), rng.standard_normal((2, 2))
    values, last = continuous_online_values(x, centers, 3.0), None
    for t in range(60):
        last = continuous_online_values(x[t : t + 1], centers, 3.0, start=last)[0]
        assert last.tobytes() == values[t].tobytes()


def test_refuses_what_it_cannot_fit():
    with pytest.raises(BadInput):
        fit_continuous_jump_model(np.full((5, 1), np.nan), np.zeros(5), penalty=1.0, seed=0)
