"""Structure: against arch, statsmodels and exact probabilities; size and power by simulation; causality."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise, permutations
from time import perf_counter

import numpy as np
import pytest
from arch.unitroot import VarianceRatio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm
from statsmodels.api import OLS, add_constant
from statsmodels.tsa.adfvalues import mackinnonp

from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import StructureLabel
from regime_trading.tools import structure as s
from regime_trading.tools.hurst import whittle

ALL_LAGS = (2, 3, 5, 10)


def ar1_paths(rng, n, paths, phi):
    x = np.empty((n, paths))
    last = np.zeros(paths)
    for t in range(-50, n):
        last = phi * last + rng.standard_normal(paths)
        if t >= 0:
            x[t] = last
    return x


def garch_paths(rng, n, paths, shocks, alpha=0.08, beta=0.90):
    x = np.empty((n, paths))
    variance, last = np.ones(paths), np.zeros(paths)
    for t in range(-300, n):
        variance = 1 - alpha - beta + alpha * last**2 + beta * variance
        last = shocks(paths) * np.sqrt(variance)
        if t >= 0:
            x[t] = last
    return x


def reverting_paths(rng, n, paths, life):
    """Returns of a stationary log price whose deviations halve in ``life`` bars."""
    shrink = 0.5 ** (1 / life)
    price, x = rng.standard_normal(paths) / math.sqrt(1 - shrink**2), np.empty((n, paths))
    for t in range(n):
        after = shrink * price + rng.standard_normal(paths)
        x[t], price = after - price, after
    return x


def judged(x, **kwargs):
    """Last row of the path over the whole sample: labels, p-values, confidence of every column."""
    path = s.structure_path(x, window=len(x), every=len(x), **kwargs)
    return path.label[-1], path.p_value[-1], path.confidence[-1]


NOISES = {
    "gaussian": lambda rng, n, m: rng.standard_normal((n, m)),
    "t5": lambda rng, n, m: rng.standard_t(5, (n, m)),
    "garch": lambda rng, n, m: garch_paths(rng, n, m, rng.standard_normal),
    "garch_t5": lambda rng, n, m: garch_paths(rng, n, m, lambda k: rng.standard_t(5, k) * math.sqrt(0.6)),
}


@pytest.mark.parametrize("seed", range(12))
def test_variance_ratios_equal_arch(seed):
    rng = np.random.default_rng(seed)
    x = 0.0004 + 0.01 * rng.standard_t(4, int(rng.integers(60, 1200)))
    ours = s.variance_ratios(x, ALL_LAGS)
    log_price = np.concatenate([[4.0], 4.0 + np.cumsum(x)])
    for i, q in enumerate(ALL_LAGS):
        theirs = VarianceRatio(log_price, lags=q, trend="c", robust=True, overlap=True, debiased=True)
        assert ours.vr[i] == pytest.approx(theirs.vr, abs=1e-10)
        assert ours.z[i] == pytest.approx(theirs.stat, abs=1e-10)


def test_joint_p_value_is_exact_for_two_lags():
    for rho in (0.1, 0.5, 0.75, 0.9, 0.97):
        for c in (0.0, 0.5, 1.0, 2.0, 3.0, 5.0):
            inside = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([c, c], lower_limit=[-c, -c])
            assert s.joint_p_value(np.array([-c, c / 2]), np.array([rho])) == pytest.approx(
                1 - inside, abs=1e-9
            )


def test_joint_p_value_bounds_the_exact_one_from_above_and_beats_sidak():
    x = np.random.default_rng(5).standard_normal(200_000)
    ratios = s.variance_ratios(x, ALL_LAGS)
    weights = np.array([[max(0.0, 1 - k / q) for k in range(1, 10)] for q in ALL_LAGS])
    weights /= np.linalg.norm(weights, axis=1)[:, None]
    corr = weights @ weights.T
    np.testing.assert_allclose(ratios.adjacent_corr, np.diag(corr, 1), atol=0.01)
    exact = multivariate_normal(np.zeros(4), corr, seed=1)
    for c in (1.5, 2.0, 2.3, 3.0):
        truth = 1 - exact.cdf(np.full(4, c), lower_limit=np.full(4, -c))
        p = s.joint_p_value(np.array([0.1, c, -0.3, 0.2]), np.diag(corr, 1).copy())
        assert truth - 2e-4 <= p <= 1.06 * truth
        assert p < 1 - (1 - 2 * norm.sf(c)) ** 4


def false_calls(noise, n, paths, seed):
    x = NOISES[noise](np.random.default_rng(seed), n, paths)
    path = s.structure_path(x, window=n, every=n, min_obs=n)
    tests = {"hurst": path.hurst_p, "ar1": path.ar1_p, "dickey_fuller": path.dickey_fuller_p}
    rejects = {name: float(np.mean(p[-1] < 0.05)) for name, p in (tests | {"joint": path.p_value}).items()}
    called = np.mean(path.label[-1] != s.RANDOM)
    print(
        f"{noise} n={n}: called {called:.2%}, nominal 5 % rejects",
        {k: f"{v:.2%}" for k, v in rejects.items()},
    )
    return called, rejects


@pytest.mark.parametrize("n", [256, 1000, 2048])
@pytest.mark.parametrize("noise", NOISES)
def test_tests_keep_their_size(noise, n):
    called, rejects = false_calls(noise, n, 1500, 2024)
    assert all(0.025 <= rate <= 0.08 for rate in rejects.values())
    assert called <= 0.062  # 5 % and two standard errors of this many paths


@pytest.mark.full
@pytest.mark.parametrize("n", [128, 256, 504, 1008, 2048])
@pytest.mark.parametrize("noise", NOISES)
def test_false_calls_stay_at_five_percent_long(noise, n):
    called, rejects = false_calls(noise, n, 20_000, 7)
    assert called <= (0.058 if n < 256 else 0.052)
    assert all(0.03 <= rate <= 0.08 for rate in rejects.values())


def test_a_repeated_test_costs_nothing():
    """The first autocorrelation says what VR(2) says: on the tree their correlation is 1."""
    weights = s._weights(np.array([2, 5, 10]))
    covariance = s._covariances(weights, np.ones(weights.shape[1]))
    edges = s._tree(covariance)
    assert edges.max() == pytest.approx(1)
    assert edges.min() > 0.7
    z, once = np.array([2.3, 2.3]), math.erfc(2.3 / math.sqrt(2))
    assert s.joint_p_value(z, np.array([1.0])) == pytest.approx(once, rel=1e-3)


def test_the_tree_gives_the_smallest_bound_of_all_chains():
    x = np.random.default_rng(15).standard_t(4, 900)
    weights = s._weights(np.array([2, 5, 10]))
    covariance = s._covariances(weights, s._increments(s.centred(x), weights.shape[1]))
    scale = np.sqrt(np.diag(covariance))
    corr, z = covariance / np.outer(scale, scale), np.full(5, 2.2)
    ours = s.joint_p_value(z, s._tree(covariance))
    for order in permutations(range(5)):
        chain = np.array([corr[i, j] for i, j in pairwise(order)])
        assert ours <= s.joint_p_value(z, chain) + 1e-12


@pytest.mark.parametrize(("phi", "share"), [(0.25, 0.98), (-0.25, 0.98), (0.10, 0.80), (-0.10, 0.80)])
def test_structure_is_found_with_the_right_sign(phi, share):
    label, _, _ = judged(ar1_paths(np.random.default_rng(11), 1000, 4000, phi))
    right = np.mean(label == (s.TRENDING if phi > 0 else s.MEAN_REVERTING))
    wrong = np.mean(label == (s.MEAN_REVERTING if phi > 0 else s.TRENDING))
    print(f"phi={phi}: right {right:.2%}, wrong sign {wrong:.2%}")
    assert right >= share
    assert wrong <= 0.003


def test_confidence_in_random_is_an_equivalence_test():
    rng = np.random.default_rng(3)
    for phi in (-0.1, 0.1):  # on the border, 95 % confidence in "nothing there" may occur 5 % of the time
        label, _, confidence = judged(ar1_paths(rng, 3000, 1500, phi), level=1e-9)
        assert (label == s.RANDOM).mean() > 0.3
        assert np.mean((label == s.RANDOM) & (confidence >= 0.95)) <= 0.06
    medians = []
    for n in (300, 1000, 4000):
        label, _, confidence = judged(rng.standard_normal((n, 300)))
        medians.append(np.median(confidence[label == s.RANDOM]))
    assert medians == sorted(medians)
    assert medians[0] < 0.75
    assert medians[-1] > 0.95


def test_confidence_of_a_call_is_one_minus_p():
    x = ar1_paths(np.random.default_rng(4), 800, 1, 0.3)[:, 0]
    found = s.structure_label(x)
    assert found.label is StructureLabel.TRENDING
    assert found.confidence == 1 - found.p_value
    assert found.half_life_bars is None
    assert found.variance_ratio > 1


@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.2])
def test_ar1_equals_white_regression(phi):
    x = ar1_paths(np.random.default_rng(9), 400, 1, phi)[:, 0] * np.linspace(0.5, 2, 400)
    fit = OLS(x[1:], add_constant(x[:-1])).fit(cov_type="HC0")
    ours = s.ar1(x)
    assert ours.phi == pytest.approx(fit.params[1], abs=1e-12)
    assert ours.t == pytest.approx(fit.tvalues[1], rel=1e-9)
    if phi > 0:
        assert pytest.approx(ours.phi**ours.half_life) == 0.5
    if phi < 0:
        assert math.isnan(ours.half_life)


@pytest.mark.parametrize("shrink", [1.0, 0.99, 0.97, 0.9, 0.7])
def test_dickey_fuller_equals_the_regression(shrink):
    rng = np.random.default_rng(21)
    price = np.zeros(600)
    for t in range(1, 600):
        price[t] = shrink * price[t - 1] + rng.standard_normal() * (1 + t / 300)
    fit = OLS(np.diff(price), add_constant(price[:-1])).fit(cov_type="HC3")
    ours, life = s.dickey_fuller(np.diff(price)), s.half_life(np.diff(price))
    assert ours.b == pytest.approx(fit.params[1], rel=1e-9)
    assert ours.t == pytest.approx(fit.tvalues[1], rel=1e-9)
    assert ours.p_value == pytest.approx(mackinnonp(ours.t, regression="c"), rel=1e-6)
    assert math.isnan(life) == (ours.p_value >= 0.05)
    if not math.isnan(life):
        assert (1 + ours.b) ** life == pytest.approx(0.5)


def test_dickey_fuller_p_value_over_the_whole_line():
    for t in (-30.0, -18.0, -6.0, -2.86, -1.62, -1.6, 0.0, 2.7, 3.0):
        assert s._unit_root_p_value(t) == pytest.approx(mackinnonp(t, regression="c"), abs=1e-9)


def test_one_return_that_decides_the_price_level_identifies_nothing():
    for at in (0, 150, 297, 298, 299):
        spike = np.zeros(300)
        spike[at] = 1.0
        assert not s.dickey_fuller(spike).p_value < 0.05


@pytest.mark.parametrize(
    ("life", "n", "share"), [(5, 504, 0.99), (10, 504, 0.78), (10, 1000, 0.99), (20, 1000, 0.78)]
)
def test_a_slowly_reverting_price_is_found(life, n, share):
    x = reverting_paths(np.random.default_rng(19), n, 1000, life)
    path = s.structure_path(x, window=n, every=n, min_obs=n)
    right = path.label[-1] == s.MEAN_REVERTING
    found = np.nanmedian(path.half_life[-1][right])
    print(f"half-life {life}, n={n}: mean_reverting {right.mean():.1%}, median half-life {found:.1f}")
    assert right.mean() >= share
    assert np.mean(path.label[-1] == s.TRENDING) <= 0.005
    assert 0.7 * life < found < 1.1 * life


def test_half_life_of_a_reverting_price_is_near_the_truth():
    rng = np.random.default_rng(8)
    theta = 0.5 ** (1 / 4)
    lives = []
    for _ in range(50):
        price = np.zeros(1001)
        for t in range(1, 1001):
            price[t] = theta * price[t - 1] + rng.standard_normal()
        found = s.structure_label(np.diff(price))
        assert found.label is StructureLabel.MEAN_REVERTING
        lives.append(found.half_life_bars)
    assert np.median(lives) == pytest.approx(4, abs=0.5)


def test_the_evidence_of_every_test_is_given():
    x = ar1_paths(np.random.default_rng(14), 600, 1, 0.05)[:, 0]
    found, ratios, hurst = s.structure_label(x), s.variance_ratios(x), whittle(x)
    lag = s.LAGS[int(np.argmax(abs(ratios.z)))]
    assert set(found.p_values) == {"joint", f"variance_ratio_{lag}", "hurst", "ar1", "dickey_fuller"}
    assert found.p_values["joint"] == found.p_value
    assert found.p_values["hurst"] == pytest.approx(hurst.p_value, rel=1e-12)
    assert found.p_values["dickey_fuller"] == s.dickey_fuller(x).p_value
    assert found.p_values["ar1"] == pytest.approx(2 * norm.sf(abs(s.ar1(x).t)), rel=0.2)
    assert found.variance_ratio == ratios.vr[s.LAGS.index(lag)]
    assert (found.hurst, found.hurst_ci) == (hurst.hurst, (hurst.low, hurst.high))


def test_without_enough_returns_for_the_hurst_exponent_the_others_decide():
    x = ar1_paths(np.random.default_rng(16), 100, 1, 0.7)[:, 0]
    found = s.structure_label(x, min_obs=60)
    assert found.label is StructureLabel.TRENDING
    assert found.hurst is None and "hurst" not in found.p_values


@pytest.mark.full
def test_the_default_path_takes_seconds():
    x = np.random.default_rng(0).standard_normal((8300, 21))
    s.structure_path(x[:1100], window=1008, every=21)
    begin = perf_counter()
    s.structure_path(x, window=1008, every=21, min_obs=504)
    elapsed = perf_counter() - begin
    print(f"8300 rows x 21 columns, window 1008, every 21: {elapsed:.2f} s")


def test_labels_do_not_depend_on_scale_or_drift():
    x = ar1_paths(np.random.default_rng(12), 400, 6, 0.1)
    base, _, confidence = judged(x)
    label, _, same = judged(0.003 * x + 0.0007)
    np.testing.assert_array_equal(label, base)
    np.testing.assert_allclose(same, confidence, atol=1e-9)


def test_path_equals_the_single_sample_and_is_held_between():
    rng = np.random.default_rng(13)
    x = np.hstack([rng.standard_normal((700, 2))] + [ar1_paths(rng, 700, 1, phi) for phi in (0.3, -0.3)])
    x[rng.random(x.shape) < 0.05] = np.nan
    path = s.structure_path(x, window=300, every=7, min_obs=100)
    for t in range(700):
        at = (t + 1) // 7 * 7 - 1
        for j in range(4):
            if at < 0:
                assert path.at(t, j).label is StructureLabel.UNKNOWN
                assert path.at(t, j).reason == "not evaluated yet"
                continue
            if t == at or t % 50 == 0:
                sample = x[max(0, at - 299) : at + 1, j]
                assert path.at(t, j) == s.structure_label(sample, min_obs=100)
    assert len(np.unique(path.label)) == 4


@given(
    seed=st.integers(0, 10_000),
    cut=st.integers(1, 399),
    future=st.sampled_from([np.nan, np.inf, 0.0, 1e6, -1e-9]),
)
@settings(max_examples=60, deadline=None)
def test_path_does_not_know_the_future(seed, cut, future):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((400, 2)) * 0.01
    x[rng.random(x.shape) < 0.02] = np.nan
    altered = x.copy()
    altered[cut:] = future
    options = {"window": 120, "every": 5, "min_obs": 60}
    whole, short, other = (s.structure_path(a, **options) for a in (x, x[:cut], altered))
    for field in dataclasses.fields(whole):
        expected = getattr(whole, field.name)[:cut].tobytes()
        assert getattr(short, field.name).tobytes() == expected
        assert getattr(other, field.name)[:cut].tobytes() == expected


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=80),
    st.sampled_from([0.0, 0.01, -3.0, math.nan]),
)
@settings(max_examples=200, deadline=None)
def test_any_sample_has_a_defined_answer(values, padding):
    found = s.structure_label(np.array([*values, *[padding] * 40], dtype=float), min_obs=30)
    assert 0 <= found.confidence <= 1
    assert (found.label is StructureLabel.UNKNOWN) == bool(found.reason)
    if found.label is StructureLabel.UNKNOWN:
        assert found.confidence == 0
        assert found.p_value is None


def test_unknown_says_why():
    few = s.structure_label(np.random.default_rng(0).standard_normal(127))
    assert (few.label, few.confidence, few.n_obs) == (StructureLabel.UNKNOWN, 0, 127)
    assert (few.hurst, few.hurst_ci, few.p_values) == (None, None, {})
    assert few.reason == "fewer valid returns than min_obs"
    for flat in (np.zeros(300), np.full(300, 0.01)):
        assert "do not vary" in s.structure_label(flat).reason
    assert np.isnan(s.variance_ratios(np.ones(50)).z).all()
    assert math.isnan(s.joint_p_value(np.array([np.nan, 1.0]), np.array([0.5])))
    assert math.isnan(s.ar1(np.zeros(50)).phi)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: s.structure_label(x[:, None]),
        lambda x: s.structure_path(x),
        lambda x: s.variance_ratios(x, (1, 2)),
        lambda x: s.variance_ratios(x, (5, 2)),
        lambda x: s.variance_ratios(x, ()),
        lambda x: s.structure_label(x, min_obs=6),
        lambda x: s.structure_label(x, level=0.0),
        lambda x: s.structure_path(x[:, None], window=100),
        lambda x: s.structure_path(x[:, None], every=0),
    ],
)
def test_bad_usage_is_refused(call):
    with pytest.raises(BadInput):
        call(np.random.default_rng(0).standard_normal(600))
