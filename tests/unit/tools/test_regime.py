"""Risk state: against jumpmodels, pandas and brute force; causality; degenerate series; fusion; hysteresis."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jumpmodels.jump import JumpModel, do_E_step, jump_penalty_to_mx
from skfolio.datasets import load_sp500_index
from sklearn.cluster import kmeans_plusplus

from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import REGIME_LABELS
from regime_trading.tools import regime as r
from regime_trading.tools.risk_models import MODELS
from regime_trading.tools.structure import STRUCTURE_LABELS

QUICK = {"model": "jump", "min_obs": 80, "refit_every": 37, "n_init": 3, "penalty": 10.0}


def switching_returns(rng, n, n_states=2, rate=0.01):
    jumps = rng.random(n) < rate
    state = np.zeros(n, dtype=int)
    for t in range(1, n):
        state[t] = rng.integers(n_states) if jumps[t] else state[t - 1]
    return rng.standard_normal(n) * np.array([0.006, 0.018, 0.04])[state] + np.array([8e-4, -1e-3, 0])[state]


def standardised(returns, warm_up=r.WARM_UP):
    x = r.jump_features(returns, warm_up=warm_up)
    valid = np.isfinite(x).all(axis=1)
    x = x[valid]
    return (x - x.mean(axis=0)) / x.std(axis=0), returns[valid]


def same_bytes(path, other, upto):
    return all(
        getattr(path, f.name)[:upto].tobytes() == getattr(other, f.name)[:upto].tobytes()
        for f in dataclasses.fields(path)
        if isinstance(getattr(path, f.name), np.ndarray) and f.name != "transition"
    )


# --- features ---------------------------------------------------------------------------------------------


def test_features_equal_pandas():
    returns = switching_returns(np.random.default_rng(1), 700)
    returns[[0, 5, 6, 300]] = np.nan
    series = pd.Series(returns)

    def mean(values, halflife):
        return values.ewm(halflife=halflife, adjust=True, ignore_na=True).mean()

    def downside(halflife):
        return np.sqrt(mean(series.clip(upper=0) ** 2, halflife))

    columns = [np.log(downside(10)), mean(series, 20) / downside(20), mean(series, 60) / downside(60)]
    expected = np.column_stack(columns)
    expected[series.isna() | (series.notna().cumsum() < 60)] = np.nan
    np.testing.assert_allclose(r.jump_features(returns), expected, rtol=1e-9, atol=1e-12)


def test_a_missing_return_is_a_bar_that_did_not_happen():
    returns = switching_returns(np.random.default_rng(2), 300)
    holes = np.insert(returns, [100, 100, 250], [np.nan, np.inf, -np.inf])
    x = r.jump_features(holes)
    missing = ~np.isfinite(holes)
    assert np.isnan(x[missing]).all()
    assert x[~missing].tobytes() == r.jump_features(returns).tobytes()


def test_features_wait_for_warm_up_and_for_a_loss():
    returns = np.full(200, 0.01)
    assert np.isnan(r.jump_features(returns)).all()
    returns[120] = -0.01
    assert np.isfinite(r.jump_features(returns)).all(axis=1).nonzero()[0][0] == 120
    first = np.isfinite(r.jump_features(-returns)).all(axis=1).nonzero()[0][0]
    assert first == r.WARM_UP - 1


# --- fit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", range(32))
def test_fit_equals_jumpmodels(case):
    rng = np.random.default_rng(case)
    n_states, penalty = (2, 2, 3)[case % 3], (0.0, 2.0, 20.0, 50.0, 150.0, 1e5)[case % 6]
    x, returns = standardised(switching_returns(rng, int(rng.integers(150, 900)), n_states))
    if case % 5 == 0:
        x = rng.standard_normal((len(returns), int(rng.integers(1, 5))))
    seed = int(rng.integers(2**31))
    theirs = JumpModel(n_states, penalty, random_state=seed).fit(x, returns, sort_by="vol")
    ours = r.fit_jump_model(x, returns, n_states=n_states, penalty=penalty, seed=seed)
    np.testing.assert_array_equal(ours.labels, theirs.labels_)
    assert ours.objective == pytest.approx(theirs.val_, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(ours.centers, theirs.centers_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.transition, theirs.transmat_, rtol=1e-12)
    np.testing.assert_allclose(ours.volatility, theirs.vol_, rtol=1e-9)
    values = r.online_values(x, ours.centers, penalty)
    np.testing.assert_array_equal(values.argmin(axis=1), theirs.predict_online(x))
    known = np.isfinite(ours.volatility)
    assert (np.diff(ours.volatility[known]) >= 0).all()
    assert known[: known.sum()].all()  # states without a volatility come last


@pytest.mark.parametrize("n_states", [2, 3, 4])
def test_seeding_equals_scikit_learn(n_states):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, returns = rng.standard_normal((400, 3)), rng.standard_normal(400)
        ours = r.fit_jump_model(x, returns, n_states=n_states, penalty=1.0, n_init=1, max_iter=0, seed=seed)
        theirs = kmeans_plusplus(x, n_states, random_state=np.random.RandomState(seed))[0]
        assert sorted(map(tuple, ours.centers)) == sorted(map(tuple, theirs))


def test_ties_are_broken_as_in_jumpmodels():
    rng = np.random.default_rng(19)
    for seed in range(60):  # whole numbers: every cost is exact, ties are common
        x, returns = rng.integers(-2, 3, (14, 1)).astype(float), rng.standard_normal(14)
        options = {"n_init": 1, "max_iter": 0}
        theirs = JumpModel(2, 0.5, random_state=seed, **options).fit(x, returns, sort_by="vol")
        ours = r.fit_jump_model(x, returns, penalty=0.5, seed=seed, **options)
        np.testing.assert_array_equal(ours.labels, theirs.labels_)
        values = r.online_values(x, theirs.centers_, 0.5)
        np.testing.assert_array_equal(values.argmin(axis=1), theirs.predict_online(x))


@pytest.mark.parametrize("n_states", [2, 3])
def test_labels_are_the_cheapest_of_all_sequences(n_states):
    rng = np.random.default_rng(6)
    for penalty in (0.0, 0.3, 1.5, 50.0):
        x, returns = rng.standard_normal((7, 2)), rng.standard_normal(7)
        fit = r.fit_jump_model(x, returns, n_states=n_states, penalty=penalty, seed=1)
        alive = [k for k in range(n_states) if np.isfinite(fit.centers[k]).all()]
        loss = 0.5 * ((x[:, None] - fit.centers[None]) ** 2).sum(axis=2)

        def cost(path, loss=loss, penalty=penalty):
            path = np.array(path)
            return loss[np.arange(7), path].sum() + penalty * (path[1:] != path[:-1]).sum()

        cheapest = min(cost(path) for path in itertools.product(alive, repeat=7))
        assert fit.objective == pytest.approx(cheapest, rel=1e-12)
        assert cost(fit.labels) == pytest.approx(cheapest, rel=1e-12)
        assert r.online_values(x, fit.centers, penalty)[-1].min() == pytest.approx(cheapest, rel=1e-12)


def test_durations_count_bars_per_departure():
    x = np.repeat([0.0, 5.0, 0.0, 5.0], [40, 10, 60, 20])[:, None] + np.linspace(0, 0.1, 130)[:, None]
    returns = np.where(x[:, 0] > 2, 3.0, 1.0) * np.tile([-1, 1], 65)
    fit = r.fit_jump_model(x, returns, penalty=1.0, seed=0)
    assert fit.counts.tolist() == [100, 30]
    np.testing.assert_allclose(fit.expected_duration, [100 / 2, 29 / 1])  # nothing follows the last bar
    one = r.fit_jump_model(x, returns, penalty=1e9, seed=0)
    assert one.counts.tolist() == [130, 0]
    assert np.isnan(one.expected_duration).all()
    assert np.isnan(one.centers[1]).all()


@pytest.mark.parametrize(
    ("x", "returns", "options"),
    [
        (np.zeros((5, 2)), np.zeros(4), {}),
        (np.zeros(5), np.zeros(5), {}),
        (np.full((5, 2), np.nan), np.zeros(5), {}),
        (np.zeros((5, 2)), np.full(5, np.inf), {}),
        (np.zeros((1, 2)), np.zeros(1), {}),
        (np.zeros((5, 2)), np.zeros(5), {"penalty": -1.0}),
        (np.zeros((5, 2)), np.zeros(5), {"penalty": math.nan}),
        (np.zeros((5, 2)), np.zeros(5), {"n_init": 0}),
    ],
)
def test_fit_refuses_what_it_cannot_fit(x, returns, options):
    with pytest.raises(BadInput):
        r.fit_jump_model(x, returns, **{"penalty": 1.0, "seed": 0, **options})


# --- online -----------------------------------------------------------------------------------------------


def test_one_step_is_one_row_of_the_recursion():
    rng = np.random.default_rng(7)
    x, centers = rng.standard_normal((200, 3)), rng.standard_normal((3, 3))
    x[[0, 50, 51]] = np.nan
    values = r.online_values(x, centers, 4.0)
    last = np.full(3, np.nan)
    for t, row in enumerate(x):
        before, last = last, r.online_step(last, row, centers, 4.0)
        if np.isnan(row).any():
            assert np.isnan(values[t]).all()
            assert before.tobytes() == last.tobytes()
        else:
            assert last.tobytes() == values[t].tobytes()
    present = ~np.isnan(x).any(axis=1)
    assert r.online_values(x[present], centers, 4.0).tobytes() == values[present].tobytes()


def test_margin_is_the_share_of_the_penalty():
    values = np.array([[1.0, 3.0], [7.0, 4.5], [0.0, 99.0], [np.nan, np.nan], [2.0, np.inf]])
    np.testing.assert_allclose(r.state_margin(values, 5.0), [0.4, 0.5, 1.0, np.nan, 1.0])


# --- causal path ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@given(
    seed=st.integers(0, 10_000),
    cut=st.integers(1, 499),
    future=st.sampled_from([np.nan, np.inf, 0.0, -0.5, 1e200]),
    max_window=st.sampled_from([None, 150]),
)
@settings(max_examples=12, deadline=None)
def test_path_does_not_know_the_future(model, seed, cut, future, max_window):
    rng = np.random.default_rng(seed)
    returns = switching_returns(rng, 500)
    returns[rng.random(500) < 0.02] = np.nan
    altered = returns.copy()
    altered[cut:] = future
    options = {**QUICK, "model": model, "n_init": 1, "max_window": max_window}
    whole = r.causal_risk_state(returns, **options)
    for other in (r.causal_risk_state(returns[:cut], **options), r.causal_risk_state(altered, **options)):
        assert same_bytes(whole, other, cut)
        assert whole.transitions()[:cut].tobytes() == other.transitions()[:cut].tobytes()


@pytest.mark.parametrize("max_window", [None, 120])
def test_path_equals_a_refit_from_scratch(max_window):
    rng = np.random.default_rng(15)
    returns = switching_returns(rng, 600)
    returns[rng.random(600) < 0.03] = np.nan
    path = r.causal_risk_state(returns, **{**QUICK, "penalty": 30.0}, max_window=max_window, seed=4)
    features = r.jump_features(returns)
    bars = np.flatnonzero(np.isfinite(features).all(axis=1))
    usable = 0
    for end in range(80, len(bars) + 1, 37):
        window = bars[:end] if max_window is None else bars[max(0, end - max_window) : end]
        live = np.concatenate([window, bars[end : end + 36]])
        mean, std = features[window].mean(axis=0), features[window].std(axis=0)
        model = JumpModel(2, 30.0, n_init=3, random_state=4)
        model.fit((features[window] - mean) / std, returns[window], sort_by="vol")
        if np.bincount(model.labels_, minlength=2).min() < 2:
            assert (path.state[live[len(window) - 1 :]] == -1).all()
            continue
        usable += 1
        costs = jump_penalty_to_mx(30.0, 2)
        values = do_E_step((features[live] - mean) / std, model.centers_, costs, return_value_mx=True)
        since = live[len(window) - 1 :]  # the refit bar and those up to the next
        values = values[len(window) - 1 :]
        np.testing.assert_array_equal(path.state[since], values.argmin(axis=1))
        expected = np.minimum(1, np.abs(values[:, 0] - values[:, 1]) / 30)
        np.testing.assert_allclose(path.margin[since], expected, atol=1e-9)
        assert (path.fitted_at[since] == window[-1]).all()
        assert (path.reason[since] == 0).all()
    assert len(path.fits) == usable > 10


def test_unknown_bars_say_why():
    rng = np.random.default_rng(16)
    returns = switching_returns(rng, 400)
    returns[200:230] = np.nan
    path = r.causal_risk_state(returns, **QUICK)
    first = r.WARM_UP - 1 + 79
    assert path.fits[0].bar == first
    reasons = [r.RISK_REASONS[code] for code in path.reason]
    assert set(reasons[: r.WARM_UP - 1]) == {"features not defined: warm-up, or no negative return yet"}
    assert set(reasons[r.WARM_UP - 1 : first]) == {"fewer valid observations than min_obs"}
    assert set(reasons[200:230]) == {"return missing at this bar"}
    assert set(reasons[first:200] + reasons[230:]) == {""}
    np.testing.assert_array_equal(path.state < 0, path.reason != 0)
    np.testing.assert_array_equal(np.isnan(path.margin), path.reason != 0)
    ts_ns = np.arange(400) * 10
    known, unknown = path.at(399, ts_ns), path.at(210, ts_ns)
    assert known.state in (0, 1)
    assert known.fitted_at_ns == path.fitted_at[399] * 10
    assert (unknown.state, unknown.margin) == (None, 0)
    assert unknown.reason == "return missing at this bar"


def test_a_window_with_one_state_is_unknown():
    returns = switching_returns(np.random.default_rng(17), 300)
    path = r.causal_risk_state(returns, **{**QUICK, "penalty": 1e9})
    assert (path.state == -1).all()
    assert (path.fitted_at == -1).all()
    assert path.fits == ()
    assert r.RISK_REASONS[path.reason[-1]].startswith("a state has fewer than two")


def test_features_that_do_not_vary_are_unknown():
    path = r.causal_risk_state(np.full(300, -0.01), **QUICK)
    assert (path.state == -1).all()
    assert r.RISK_REASONS[path.reason[-1]].startswith("features do not vary")


SHAPES = {
    "empty": np.zeros(0),
    "one": np.zeros(1),
    "zeros": np.zeros(300),
    "all missing": np.full(300, np.nan),
    "always up": np.full(300, 0.01),
    "always down": np.full(300, -0.01),
    "one loss": np.where(np.arange(300) == 70, -0.01, 0.01),
    "one crash": np.where(np.arange(300) == 200, -0.9, 1e-4 * np.tile([1, -1], 150)),
    "huge": np.tile([1e200, -1e200], 150),
    "tiny": np.tile([1e-200, -1e-200], 150),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", SHAPES)
def test_no_series_raises(name, model):
    path = r.causal_risk_state(SHAPES[name], **{**QUICK, "model": model})
    assert len(path.state) == len(SHAPES[name])
    np.testing.assert_array_equal(path.state < 0, path.reason != 0)


@given(
    st.lists(st.one_of(st.floats(width=64), st.sampled_from([0.0, 0.01, -0.01])), min_size=1, max_size=30),
    st.integers(1, 10),
    st.sampled_from(["jump", "hmm", "ensemble"]),
)
@settings(max_examples=60, deadline=None)
def test_no_values_raise(values, repeat, model):
    returns = np.tile(np.repeat(values, repeat), 1 + 200 // len(values))
    path = r.causal_risk_state(returns, model=model, min_obs=20, refit_every=40, n_init=1)
    np.testing.assert_array_equal(path.state < 0, path.reason != 0)
    np.testing.assert_array_equal(np.isnan(path.margin), path.reason != 0)
    np.testing.assert_array_equal(np.isnan(path.probability), path.reason != 0)


@pytest.mark.parametrize(
    "options",
    [
        {"model": "other"},
        {"penalty": 0.0},
        {"min_obs": 1},
        {"refit_every": 0},
        {"max_window": 10},
        {"n_states": 1},
        {"seed": -1},
    ],
)
def test_path_refuses_bad_parameters(options):
    with pytest.raises(BadInput):
        r.causal_risk_state(np.zeros(100), **options)


DIGEST = """
import hashlib, numpy as np
from regime_trading.tools import regime as r, structure as s
x = np.random.default_rng(5).standard_t(4, 1500) * 0.01
p = r.causal_risk_state(x, min_obs=300)
j = r.causal_risk_state(x, model="jump", min_obs=300)
q = s.structure_path(np.column_stack([x, -x[::-1]]))
parts = [p.state, p.margin, p.probability, p.transition, j.state, j.margin, j.expected_duration]
parts += [q.label, q.confidence, q.p_value]
print(hashlib.sha256(b"".join(a.tobytes() for a in parts)).hexdigest())
"""


def test_other_processes_and_thread_counts_give_the_same_bytes():
    digests = set()
    for threads, hash_seed in (("1", "0"), ("2", "77")):
        env = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        env |= {"NUMBA_NUM_THREADS": threads, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=env, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert len(digests.pop().strip()) == hashlib.sha256().digest_size * 2


def test_sp500_behaves():
    close = load_sp500_index()["SP500"]
    log_returns = np.diff(np.log(close.to_numpy()))
    simple = np.diff(close.to_numpy()) / close.to_numpy()[:-1]
    path = r.causal_risk_state(log_returns, model="jump", min_obs=500)
    invested = np.concatenate([[0.0], (path.state == 0)[:-1].astype(float)])  # one bar later
    traded = np.abs(np.diff(invested, prepend=0.0))
    from_1998 = close.index[1:] >= "1998-01-01"
    years = from_1998.sum() / 252

    def figures(net):
        wealth = np.cumprod(1 + net[from_1998])
        drawdown = np.min(wealth / np.maximum.accumulate(wealth)) - 1
        return net[from_1998].mean() / net[from_1998].std() * math.sqrt(252), drawdown

    sharpe, drawdown = figures(invested * simple - traded * 0.001)
    hold_sharpe, hold_drawdown = figures(simple)
    turnover = traded[from_1998].sum() / years
    print(
        f"jump model {sharpe:.3f} {drawdown:.1%} {turnover:.2f}/yr; hold {hold_sharpe:.3f} {hold_drawdown:.1%}"
    )
    assert hold_sharpe == pytest.approx(0.375, abs=0.002)
    assert turnover < 4
    assert drawdown > hold_drawdown / 2
    later = simple[1:][path.state[:-1] >= 0]
    state = path.state[:-1][path.state[:-1] >= 0]
    assert later[state == 1].std() > 1.5 * later[state == 0].std()


# --- fusion and hysteresis --------------------------------------------------------------------------------

EXPECTED = {
    ("trending", 0): "trending",
    ("mean_reverting", 0): "mean_reverting",
    ("random", 0): "random",
    ("trending", 1): "volatile_trending",
}


@pytest.mark.parametrize("n_states", [2, 3])
def test_fusion_follows_its_table(n_states):
    for code, name in enumerate(STRUCTURE_LABELS):
        for state in range(-1, n_states):
            label, confidence = r.fuse(
                np.array([code], np.int8),
                np.array([0.7]),
                np.array([state], np.int8),
                np.array([0.4]),
                n_states,
            )
            turbulent = int(state == n_states - 1)
            known = name != "unknown" and state >= 0
            expected = EXPECTED.get((name.value, turbulent), "uncertain") if known else "uncertain"
            assert REGIME_LABELS[label[0]] == expected
            assert confidence[0] == (0.4 if known else 0.0)
            assert label.dtype == np.int8


@given(
    code=st.integers(-2, 5),
    state=st.integers(-2, 4),
    sure=st.one_of(st.floats(), st.floats(0, 1)),
    margin=st.one_of(st.floats(), st.floats(0, 1)),
)
@settings(max_examples=300, deadline=None)
def test_fusion_never_trusts_what_is_unknown(code, state, sure, margin):
    args = (np.full((2, 3), code), np.full((2, 3), sure), np.full((2, 3), state), np.full((2, 3), margin))
    label, confidence = r.fuse(*args, 3)
    known = 0 <= code <= 2 and 0 <= state <= 2 and 0 <= sure <= 1 and 0 <= margin <= 1
    assert label.shape == confidence.shape == (2, 3)
    assert (confidence == (min(sure, margin) if known else 0)).all()
    if not known:
        assert (label == REGIME_LABELS.index("uncertain")).all()


def test_fusion_refuses_shapes_that_differ():
    with pytest.raises(BadInput):
        r.fuse(np.zeros(3, np.int8), np.zeros(3), np.zeros(2, np.int8), np.zeros(3), 2)


def confirmed_slowly(labels, bars):
    """Definition, read off bar by bar: the last label that stood for ``bars`` known bars in a row."""
    out = []
    for t, code in enumerate(labels):
        known = [c for c in labels[: t + 1] if c >= 0]
        if code < 0:
            out.append(code)
            continue
        held = known[0]
        for end in range(bars, len(known) + 1):
            if len(set(known[end - bars : end])) == 1:
                held = known[end - 1]
        out.append(held)
    return out


@given(st.lists(st.integers(-1, 2), max_size=40), st.integers(1, 5))
@settings(max_examples=300, deadline=None)
def test_confirmation(labels, bars):
    codes = np.array(labels, dtype=np.int8)
    out = r.confirm(codes, bars)
    assert out.tolist() == confirmed_slowly(labels, bars)
    for cut in range(len(labels)):
        assert r.confirm(codes[:cut], bars).tolist() == out[:cut].tolist()
    if bars == 1:
        assert out.tolist() == labels


def test_confirmation_refuses_zero_bars():
    with pytest.raises(BadInput):
        r.confirm(np.zeros(3, np.int8), 0)
