"""Ensemble and walk-forward path: identity of states, hysteresis, one regime, holes, units; the goal table in small."""

from __future__ import annotations

import dataclasses
import logging
import math
import warnings

import numpy as np
import pytest
from benchmarks.regimes import STRUCTURE_WORLDS, WORLDS, cell, paths
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.analysis import RiskState
from regime_trading.core.errors import BadInput
from regime_trading.tools.risk_ensemble import (
    FLIP_RATIO,
    ensemble_filter,
    fit_ensemble,
    held_states,
    smoothed_states,
)
from regime_trading.tools.risk_models import MODELS, risk_model
from regime_trading.tools.risk_state import (
    FLIP_WINDOW,
    MARKOV_WINDOW,
    RiskPath,
    causal_risk_state,
    flip_density,
    smoothed_risk_state,
)


def switching_returns(seed, n, ratio=2.5, rate=0.01, dof=math.inf):
    rng = np.random.default_rng(seed)
    state = np.cumsum(rng.random(n) < rate) % 2
    z = rng.standard_normal(n) if math.isinf(dof) else rng.standard_t(dof, n)
    return state, 0.01 * np.array([1.0, ratio])[state] * z


# --- ensemble ---------------------------------------------------------------------------------------------


def test_the_weights_follow_the_tails():
    thin = fit_ensemble(switching_returns(1, 3000)[1])
    fat = fit_ensemble(switching_returns(1, 3000, dof=4.0)[1])
    assert thin.weights[-1] + thin.weights[-2] > 0.9  # normal, or ten degrees of freedom
    assert fat.weights[0] + fat.weights[1] > 0.9  # three or five
    for fit in (thin, fat):
        assert fit.weights.sum() == pytest.approx(1)
        assert fit.volatility[1] > 2 * fit.volatility[0]
        assert fit.evidence > 0.999
        np.testing.assert_allclose(fit.transition.sum(axis=1), 1)
        np.testing.assert_allclose(fit.expected_duration, 1 / (1 - np.diag(fit.transition)))


@given(st.integers(0, 10_000), st.sampled_from([1e-5, 7.0]))
@settings(max_examples=15, deadline=None)
def test_the_unit_does_not_matter(seed, unit):
    returns = switching_returns(seed, 400)[1]
    one, other = smoothed_risk_state(returns), smoothed_risk_state(returns * unit)
    assert np.mean(one.state != other.state) < 0.01
    np.testing.assert_allclose(other.fit.volatility, one.fit.volatility * unit, rtol=1e-4)


def test_a_row_without_departures_is_not_identified():
    returns = 0.01 * np.random.default_rng(3).standard_normal(300)
    fit = fit_ensemble(returns)
    state, _ = smoothed_states(returns, fit)
    if len(np.unique(state)) == 1:
        assert np.isnan(fit.transition).any()
    assert fit.evidence < 0.5


def test_states_give_way_only_to_clear_evidence():
    share = np.array([0.5, 0.5])
    rows = np.array([[0.4, 0.6], [0.7, 0.3], [0.82, 0.18], [0.3, 0.7], [0.15, 0.85]])
    state, margin = held_states(rows, share, -1)
    assert state.tolist() == [1, 1, 0, 0, 1]
    expected = 1 - np.array([0.4 / 0.6, 0.7 / 0.3, 0.18 / 0.82, 0.7 / 0.3, 0.15 / 0.85]) / FLIP_RATIO
    np.testing.assert_allclose(margin, expected)
    state, _ = held_states(rows, share, 0)
    assert state.tolist() == [0, 0, 0, 0, 1]
    state, _ = held_states(rows[:1], np.array([0.9, 0.1]), 0)
    assert state.tolist() == [1]  # a rare state counts for more


@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(-1, 1))
@settings(max_examples=40, deadline=None)
def test_hysteresis_against_its_definition(seed, k, held):
    rng = np.random.default_rng(seed)
    p, share = rng.dirichlet(np.ones(k), 60), rng.dirichlet(np.ones(k))
    score, expected, now = p / np.sqrt(share), [], held
    for row in score:
        now = int(row.argmax()) if now < 0 or row.max() > FLIP_RATIO * row[now] else now
        expected.append(now)
    state, margin = held_states(p, share, held)
    assert state.tolist() == expected
    assert ((margin >= 0) & (margin <= 1)).all()


# --- one interface ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_every_model_steps_as_it_filters(name):
    returns = switching_returns(8, 500)[1]
    model = risk_model(name, 2, 20.0, 2, 0)
    rows = model.rows(returns)
    usable = np.isfinite(rows).all(axis=1)
    rows, returns = rows[usable], returns[usable]
    fit = model.fit(rows[:300], returns[:300], 299)
    whole, memory = model.filter(fit, rows), None
    for t in range(len(rows)):
        memory = model.step(fit, memory, rows[t])
        assert memory.tobytes() == whole[t].tobytes()
    state, margin, probability = model.decide(fit, whole, -1)
    assert set(np.unique(state)) <= {0, 1}
    for values in (margin, probability):
        assert ((values >= 0) & (values <= 1)).all()


def test_an_unknown_model_is_refused():
    with pytest.raises(BadInput):
        risk_model("crystal ball", 2, 1.0, 1, 0)


# --- path -------------------------------------------------------------------------------------------------


def test_path_is_the_filter_of_its_last_fit():
    returns = switching_returns(4, 900)[1]
    path = causal_risk_state(returns, refit_every=10_000)
    (fit,) = path.fits
    p = ensemble_filter(returns, fit.model)[249:]
    state, margin = held_states(p, fit.model.share, -1)
    np.testing.assert_array_equal(path.state[249:], state)
    np.testing.assert_allclose(path.margin[249:], margin * fit.model.evidence)
    np.testing.assert_allclose(path.probability[249:], p[np.arange(len(state)), state])
    assert (path.state[:249] == -1).all()


@pytest.mark.parametrize("seed", range(3))
def test_states_keep_their_identity_across_refits(seed):
    truth, returns = switching_returns(seed, 3000, rate=0.005)
    often = causal_risk_state(returns, refit_every=21)
    once = causal_risk_state(returns, refit_every=10_000)
    known = often.state >= 0
    for fit, before in zip(often.fits[1:], often.fits, strict=False):
        window = returns[max(0, fit.bar + 1 - MARKOV_WINDOW) : fit.bar + 1]
        score = ensemble_filter(window, fit.model)[-1] / np.sqrt(fit.model.share)
        old, new = often.state[fit.bar - 1], often.state[fit.bar]
        assert new == (score.argmax() if score.max() > FLIP_RATIO * score[old] else old)
        assert np.abs(np.log(fit.model.volatility / before.model.volatility)).max() < 1
    accuracy = [
        np.mean([(path.state[known & (truth == k)] == k).mean() for k in (0, 1)]) for path in (often, once)
    ]
    assert accuracy[0] > accuracy[1] - 0.05
    for fit in often.fits:
        assert (np.diff(fit.model.volatility) >= 0).all()


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_a_missing_bar_is_a_bar_that_did_not_happen(seed):
    rng = np.random.default_rng(seed)
    returns = switching_returns(seed, 500)[1]
    holes = np.insert(returns, rng.integers(0, 500, 25), np.nan)
    path, plain = causal_risk_state(holes), causal_risk_state(returns)
    known = np.isfinite(holes)
    assert (path.state[~known] == -1).all()
    for name in ("state", "margin", "probability", "flips"):
        assert getattr(path, name)[known].tobytes() == getattr(plain, name).tobytes()


def test_one_regime_is_not_trusted():
    for name in ("white noise", "t(5)"):
        margins, main = [], []
        for seed in range(6):
            path = causal_risk_state(STRUCTURE_WORLDS[name][1](1200, np.random.default_rng(seed)))
            margins.append(np.nanmedian(path.margin))
            main.append(np.bincount(path.state[path.state >= 0]).max() / (path.state >= 0).sum())
        assert np.median(margins) < 0.05
        assert np.median(main) > 0.7


def test_flip_density_against_its_definition():
    rng = np.random.default_rng(2)
    state = np.repeat(rng.integers(-1, 3, 120), 6).astype(np.int8)
    out = flip_density(state)
    known = [(t, s) for t, s in enumerate(state) if s >= 0]
    assert math.isnan(out[known[0][0]])
    for i in range(1, len(known)):
        turns = [known[j][1] != known[j - 1][1] for j in range(max(1, i - FLIP_WINDOW + 1), i + 1)]
        assert out[known[i][0]] == pytest.approx(np.mean(turns))
    assert np.isnan(out[state < 0]).all()


def test_schema_of_a_bar():
    returns = switching_returns(6, 700)[1]
    returns[650] = np.nan
    path, ts_ns = causal_risk_state(returns), np.arange(700) * 5
    risk = path.at(699, ts_ns)
    assert risk.model == "ensemble"
    assert risk.probability == path.probability[699]
    assert risk.flips_per_bar == path.flips[699]
    np.testing.assert_allclose(risk.transition, path.fits[-1].model.transition)
    np.testing.assert_array_equal(path.transitions()[699], path.fits[-1].model.transition)
    assert path.at(650, ts_ns).probability is None
    assert path.at(650, ts_ns).transition is None
    assert path.at(10, ts_ns).reason == "fewer valid observations than min_obs"
    bare = RiskPath(*(getattr(path, f.name) for f in dataclasses.fields(path)[:7]))
    assert isinstance(bare.at(699, ts_ns), RiskState)
    assert bare.at(699, ts_ns).transition is None


def test_smoothed_states_say_why_not():
    assert smoothed_risk_state(np.zeros(300)).reason.startswith("features do not vary")
    assert smoothed_risk_state(np.array([0.1, np.nan])).reason.startswith("fewer valid")
    returns = switching_returns(9, 600)[1]
    returns[::50] = np.nan
    found = smoothed_risk_state(returns)
    np.testing.assert_array_equal(found.state == -1, ~np.isfinite(returns))
    np.testing.assert_allclose(np.nansum(found.probability, axis=1)[np.isfinite(returns)], 1)
    with pytest.raises(BadInput):
        smoothed_risk_state(np.zeros((3, 3)))


# --- goal table -------------------------------------------------------------------------------------------


def show(name, n, count, rows):
    for c in rows:
        print(
            name,
            n,
            count,
            c["column"],
            c["bac"],
            c["best"],
            f"{c['gap']:+.3f} ± {c['error']:.3f} × {c['rate']:.2f}",
        )


@pytest.mark.parametrize("name", WORLDS)
def test_goal_in_small(name):
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = cell(name, 500, 8, 4711, compiled=True)
    logging.disable(logging.NOTSET)
    show(name, 500, 8, rows)
    for c in rows:
        assert c["gap"] > -max(0.03, 2 * c["error"])
        assert c["rate"] < 5  # few true switches in so few paths: the full form holds 3


@pytest.mark.full
@pytest.mark.parametrize(("name", "n"), [(name, n) for name, world in WORLDS.items() for n in world[5]])
def test_goal(name, n):
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = cell(name, n, 64, 20240, compiled=True)
    logging.disable(logging.NOTSET)
    show(name, n, 64, rows)
    assert all(c["reached"] for c in rows)


def test_paths_of_the_benchmark_are_a_fixed_list():
    first, again = paths("2-state", 250, 3, 1), paths("2-state", 250, 3, 1)
    for (s, r), (s2, r2) in zip(first, again, strict=True):
        assert s.tobytes() == s2.tobytes()
        assert r.tobytes() == r2.tobytes()
    assert first[0][1].tobytes() != first[1][1].tobytes()
