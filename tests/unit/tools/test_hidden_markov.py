"""Hidden Markov model: against hmmlearn and brute force; EM never falls; the filter step by step."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regime_trading.core.errors import BadInput
from regime_trading.tools.hidden_markov import (
    MarkovParams,
    MarkovPrior,
    filter_step,
    filtered_probabilities,
    fit_hidden_markov,
    log_likelihood,
    smoothed_probabilities,
    stationary,
)


def switching_returns(seed, n, ratio=2.5, rate=0.02, dof=math.inf):
    rng = np.random.default_rng(seed)
    state = np.cumsum(rng.random(n) < rate) % 2
    z = rng.standard_normal(n) if math.isinf(dof) else rng.standard_t(dof, n)
    return 0.01 * np.array([1.0, ratio])[state] * z


def some_params(n_states, dof=math.inf):
    stay = np.full((n_states, n_states), 0.1 / max(1, n_states - 1))
    np.fill_diagonal(stay, 0.9)
    mean, scale = np.linspace(0.1, -0.2, n_states), np.linspace(0.7, 2.0, n_states)
    return MarkovParams(np.full(n_states, 1 / n_states), stay, mean, scale, dof)


@pytest.mark.parametrize("n_states", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_em_equals_hmmlearn_from_the_same_start(n_states, seed):
    x = 100 * switching_returns(seed, 600)
    start = some_params(n_states)
    theirs = GaussianHMM(n_states, n_iter=25, tol=-np.inf, covars_prior=0, init_params="", params="stmc")
    theirs.startprob_, theirs.transmat_ = start.initial, start.transition
    theirs.means_, theirs.covars_ = start.mean[:, None], start.scale[:, None] ** 2
    theirs.fit(x[:, None])
    order = np.argsort(theirs.covars_.ravel())
    ours = fit_hidden_markov(x, n_states=n_states, start=start, max_iter=25, tol=-np.inf)
    np.testing.assert_allclose(ours.params.transition, theirs.transmat_[order][:, order], atol=1e-9)
    np.testing.assert_allclose(ours.params.mean, theirs.means_.ravel()[order], atol=1e-9)
    np.testing.assert_allclose(ours.params.scale, np.sqrt(theirs.covars_.ravel()[order]), atol=1e-9)
    assert ours.log_likelihood == pytest.approx(theirs.score(x[:, None]), abs=1e-6)
    smoothed, _ = smoothed_probabilities(x, ours.params)
    np.testing.assert_allclose(smoothed, theirs.predict_proba(x[:, None])[:, order], atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_ten_starts_find_what_hmmlearn_finds(seed):
    x = 100 * switching_returns(seed, 500)
    theirs = []
    for start in range(10):
        model = GaussianHMM(2, n_iter=300, tol=1e-4, covars_prior=0, random_state=start).fit(x[:, None])
        theirs.append(model.score(x[:, None]))
    assert fit_hidden_markov(x, tol=1e-4).log_likelihood > max(theirs) - 0.05


@given(
    seed=st.integers(0, 10_000),
    n_states=st.integers(1, 4),
    dof=st.sampled_from([2.5, 5.0, math.inf]),
    prior=st.sampled_from([None, MarkovPrior(), MarkovPrior(mean_bars=0.0, start=0.0)]),
)
@settings(max_examples=60, deadline=None)
def test_no_iteration_falls(seed, n_states, dof, prior):
    x = switching_returns(seed, 150, dof=4.0)
    fit = fit_hidden_markov(x, n_states=n_states, dof=dof, prior=prior)
    assert (np.diff(fit.history) > -1e-7).all()
    assert (np.diff(fit.params.scale) >= 0).all()
    np.testing.assert_allclose(fit.params.transition.sum(axis=1), 1)


@pytest.mark.parametrize("dof", [4.0, math.inf])
def test_likelihood_and_smoother_against_all_sequences(dof):
    params, x = some_params(3, dof), np.random.default_rng(2).standard_normal(6)
    density = np.empty((6, 3))
    for k in range(3):
        z = (x - params.mean[k]) / params.scale[k]
        density[:, k] = (stats.norm.pdf(z) if math.isinf(dof) else stats.t.pdf(z, dof)) / params.scale[k]
    total, visits, moves = 0.0, np.zeros((6, 3)), np.zeros((3, 3))
    for path in itertools.product(range(3), repeat=6):
        weight = params.initial[path[0]] * density[0, path[0]]
        for t in range(1, 6):
            weight *= params.transition[path[t - 1], path[t]] * density[t, path[t]]
        total += weight
        visits[np.arange(6), path] += weight
        for a, b in itertools.pairwise(path):
            moves[a, b] += weight
    smoothed, expected = smoothed_probabilities(x, params)
    assert log_likelihood(x, params) == pytest.approx(math.log(total), rel=1e-12)
    np.testing.assert_allclose(smoothed, visits / total, rtol=1e-10)
    np.testing.assert_allclose(expected, moves / total, rtol=1e-10)
    np.testing.assert_allclose(filtered_probabilities(x, params)[-1], smoothed[-1], rtol=1e-12)


@pytest.mark.parametrize("dof", [4.0, math.inf])
def test_one_step_is_one_row_of_the_filter(dof):
    params, x = some_params(3, dof), np.random.default_rng(3).standard_normal(300)
    x[[0, 40, 41, 200]] = np.nan
    x[100], x[150] = 1e200, -1e8
    whole, last = filtered_probabilities(x, params), np.full(3, np.nan)
    for t in range(300):
        before, last = last, filter_step(last, x[t], params)
        if np.isnan(x[t]):
            assert before.tobytes() == last.tobytes()
            assert np.isnan(whole[t]).all()
        else:
            assert last.tobytes() == whole[t].tobytes()
            assert last.sum() == pytest.approx(1)
        cut = filtered_probabilities(x[: t + 1], params)
        assert cut.tobytes() == whole[: t + 1].tobytes()


@given(st.integers(0, 10_000), st.sampled_from([1e-6, 0.5, 1e4]), st.sampled_from([5.0, math.inf]))
@settings(max_examples=25, deadline=None)
def test_the_unit_does_not_matter(seed, unit, dof):
    x = switching_returns(seed, 250)
    one = fit_hidden_markov(x, dof=dof, prior=MarkovPrior())
    other = fit_hidden_markov(x * unit, dof=dof, prior=MarkovPrior())
    np.testing.assert_allclose(other.params.scale, one.params.scale * unit, rtol=1e-6)
    np.testing.assert_allclose(other.params.transition, one.params.transition, rtol=1e-5, atol=1e-9)


def test_no_state_collapses_on_one_bar():
    x = switching_returns(1, 300)
    x[150] = x[149]
    fit = fit_hidden_markov(x, n_states=4)
    assert fit.params.scale.min() >= 0.04 * np.abs(x - x.mean()).mean()


def test_a_student_model_finds_the_scales_under_fat_tails():
    x = switching_returns(5, 4000, ratio=3.0, rate=0.01, dof=4.0)
    fit = fit_hidden_markov(x, dof=4.0)
    np.testing.assert_allclose(fit.params.scale, [0.01, 0.03], rtol=0.1)
    assert fit.log_likelihood > fit_hidden_markov(x).log_likelihood


def test_the_prior_names_a_state_that_was_not_seen():
    x = 0.01 * np.random.default_rng(4).standard_normal(250)
    free, held = fit_hidden_markov(x), fit_hidden_markov(x, prior=MarkovPrior())
    ratio = held.params.scale[1] / held.params.scale[0]
    assert 1.2 < ratio < 3
    assert np.isfinite(free.params.scale).all()


def test_stationary_shares():
    transition = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.5, 0.5]])
    share = stationary(transition)
    np.testing.assert_allclose(share @ transition, share)
    assert share.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (np.zeros(50), {}),
        (np.full(50, np.nan), {}),
        (np.arange(2.0), {}),
        (np.zeros((5, 2)), {}),
        (np.arange(50.0), {"dof": 2.0}),
        (np.arange(50.0), {"n_states": 0}),
        (np.tile([1e200, -1e200], 30), {}),
    ],
)
def test_refuses_what_it_cannot_fit(x, options):
    with pytest.raises(BadInput):
        fit_hidden_markov(x, **options)


@pytest.mark.parametrize("dof", [4.0, math.inf])
def test_the_answer_is_a_summit_of_the_posterior(dof):
    x = switching_returns(7, 300)
    z, prior = (x - x.mean()) / x.std(), MarkovPrior(log_ratio=1.3, mean_bars=0.0)
    fit = fit_hidden_markov(z, dof=dof, prior=prior, max_iter=5000, tol=0.0)

    def posterior(shift):
        scale = fit.params.scale * np.exp(shift)
        gap = (math.log(scale[1] / scale[0]) - prior.log_ratio) / prior.log_ratio_sd
        moved = MarkovParams(fit.params.initial, fit.params.transition, fit.params.mean, scale, dof)
        return log_likelihood(z, moved) - 0.5 * gap * gap

    for direction in (np.array([1e-3, 0.0]), np.array([0.0, 1e-3])):
        up, here, down = posterior(direction), posterior(0 * direction), posterior(-direction)
        assert here > max(up, down)
        assert abs(up - down) < 0.01 * (2 * here - up - down)
