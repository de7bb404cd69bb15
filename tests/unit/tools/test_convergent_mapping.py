from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.tools import convergent_mapping as cm
from regime_trading.tools.convergent_mapping import CrossMap, CrossMapParams, cross_map, normal_scores

QUICK = CrossMapParams(dimensions=(2, 3, 4), n_surrogates=39)


def logistic(
    rng: np.random.Generator, n: int, rx: float, ry: float, from_y: float, from_x: float, noise: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Coupled logistic maps of Sugihara et al. (2012), eq. 1, with observation noise in standard deviations."""
    x, y = np.empty(n + 200), np.empty(n + 200)
    x[0], y[0] = rng.uniform(0.2, 0.6, 2)
    for t in range(n + 199):
        x[t + 1] = x[t] * (rx - rx * x[t] - from_y * y[t])
        y[t + 1] = y[t] * (ry - ry * y[t] - from_x * x[t])
    x, y = x[200:], y[200:]
    e = rng.standard_normal((2, n))
    return x + noise * x.std() * e[0], y + noise * y.std() * e[1]


def ar1(rng: np.random.Generator, n: int, phi: float) -> np.ndarray:
    e = rng.standard_normal(n + 100)
    x = np.zeros(n + 100)
    for t in range(1, n + 100):
        x[t] = phi * x[t - 1] + e[t]
    return x[100:] * np.sqrt(1 - phi**2)


def rossler_lorenz(rng: np.random.Generator, n: int, coupling: float) -> tuple[np.ndarray, np.ndarray]:
    """A Rössler system that drives a Lorenz system (Le Van Quyen et al. 1999), 5 % observation noise."""
    from scipy.integrate import solve_ivp

    def flow(_: float, u: np.ndarray) -> list[float]:
        a, b, c, x, y, z = u
        return [
            6 * (-b - c),
            6 * (a + 0.2 * b),
            6 * (0.2 + c * (a - 5.7)),
            10 * (y - x),
            28 * x - y - x * z + coupling * b * b,
            x * y - 8 / 3 * z,
        ]

    step = 0.15 * np.arange(n + 100)
    path = solve_ivp(flow, (0, step[-1]), rng.uniform(0.5, 1.5, 6), t_eval=step, rtol=1e-6, atol=1e-8).y[
        :, 100:
    ]
    return tuple(s + 0.05 * s.std() * rng.standard_normal(n) for s in (path[1], path[4]))  # type: ignore[return-value]


def both(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, params: CrossMapParams = QUICK
) -> tuple[CrossMap, CrossMap]:
    """x as cause, x as effect."""
    return cross_map(y, x, params, rng), cross_map(x, y, params, rng)


def calls(make, paths: int, params: CrossMapParams = QUICK, seed: int = 31) -> Counter:
    """Which directions are called causal."""
    found: Counter = Counter()
    for path in range(paths):
        rng = np.random.default_rng([seed, path])
        drives, driven = both(*make(rng), rng, params)
        found[drives.causal, driven.causal] += 1
    return found


def one_way(rng):
    return logistic(rng, 500, rng.uniform(3.68, 3.72), rng.uniform(3.68, 3.72), 0.0, rng.uniform(0.2, 0.35))


def mutual(rng):
    return logistic(rng, 500, rng.uniform(3.77, 3.79), rng.uniform(3.74, 3.76), 0.08, 0.12)


def apart(rng):
    return ar1(rng, 500, 0.9), ar1(rng, 500, 0.9)


def shared(rng):
    z = ar1(rng, 500, 0.9)
    return z + 0.5 * ar1(rng, 500, 0.3), z + 0.5 * ar1(rng, 500, 0.6)


# --- the parts, against a plain reference -----------------------------------------------------------------------


def reference_simplex(points, targets, library, exclusion):
    out = np.full(len(points), np.nan)
    k = points.shape[1] + 1
    for q in range(len(points)):
        allowed = np.array([s for s in library if abs(s - q) > exclusion], dtype=int)
        if len(allowed) < k:
            continue
        d = np.sqrt(((points[allowed] - points[q]) ** 2).sum(axis=1))
        near = np.argsort(d, kind="stable")[:k]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(d[near] == 0, 0.0 if d[near[0]] == 0 else 1.0, d[near] / d[near[0]])
        w = np.maximum(np.exp(-ratio), 1e-6)
        out[q] = w @ targets[allowed[near]] / w.sum()
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 40), st.integers(1, 4), st.integers(0, 6), st.integers(0, 10_000), st.booleans())
def test_simplex_projection_is_the_reference(m, dimension, exclusion, seed, ties):
    rng = np.random.default_rng(seed)
    points, targets = rng.normal(size=(m, dimension)), rng.normal(size=m)
    points = np.round(points) if ties else points
    library = np.sort(rng.permutation(m)[: rng.integers(2, m)])
    ours = cm.simplex(points, targets, library, exclusion)
    np.testing.assert_allclose(ours, reference_simplex(points, targets, library, exclusion), rtol=1e-9)


def test_skill_is_the_correlation_where_there_is_a_prediction():
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(2, 50))
    p[::7] = np.nan
    assert cm.skill(p, t) == pytest.approx(np.corrcoef(p[~np.isnan(p)], t[~np.isnan(p)])[0, 1])
    assert np.isnan(cm.skill(np.full(50, np.nan), t))
    assert np.isnan(cm.skill(np.ones(50), t))


def test_a_delay_vector_looks_back():
    x = np.arange(7.0)
    np.testing.assert_array_equal(cm.embed(x, 3, 2), [[4, 2, 0], [5, 3, 1], [6, 4, 2]])
    for dimension, delay in ((0, 1), (1, 0), (5, 2)):
        with pytest.raises(BadInput):
            cm.embed(x, dimension, delay)


@pytest.mark.parametrize("lag", [0, -1])
def test_the_skill_reported_is_that_of_a_plain_cross_map(lag):
    x, y = logistic(np.random.default_rng(3), 300, 3.7, 3.7, 0.0, 0.32)
    found = cross_map(y, x, QUICK, np.random.default_rng(0))
    pair = cm.matched_ends(np.column_stack([normal_scores(y), normal_scores(x)]))
    rows = np.arange(max(found.dimension - 1, 5), len(pair) - 5)
    points = np.array([[pair[t - e, 0] for e in range(found.dimension)] for t in rows])
    truth = pair[rows + lag, 1]
    plain = reference_simplex(points, truth, np.arange(len(rows)), found.exclusion)
    known = np.corrcoef(plain, truth)[0, 1]
    if lag == found.best_lag:
        assert found.skill_max == pytest.approx(known, abs=1e-9)
    else:
        assert found.skill_max > known
    assert found.best_lag == -1


def test_a_forecast_uses_past_analogues_only():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(60, 2))
    index, _ = cm._neighbours(points, np.arange(60), 3, 30)
    assert (index[:30] == -1).all()
    assert all((index[q] < q - 3).all() for q in range(30, 60))
    changed = points.copy()
    changed[50:] += 1.0
    np.testing.assert_array_equal(cm._neighbours(changed, np.arange(60), 3, 30)[0][:50], index[:50])


def test_the_dimension_is_that_of_the_dynamics():
    x = np.empty(400)
    x[:2] = 0.1, 0.2
    for t in range(2, 400):  # the Hénon map needs two values
        x[t] = 1.0 - 1.4 * x[t - 1] ** 2 + 0.3 * x[t - 2]
    assert cm.embedding_dimension(x, (1, 2)) == 2
    assert cm.embedding_dimension(x, (1, 2, 3, 4, 5)) in (2, 3)


def test_the_theiler_window_follows_persistence():
    rng = np.random.default_rng(2)
    assert cm.exclusion_window(rng.normal(size=500), 2, 1) == 1
    assert 5 <= cm.exclusion_window(ar1(rng, 2000, 0.9), 2, 1) <= 15
    assert cm.exclusion_window(np.arange(500.0), 2, 1) == 50
    assert cm.exclusion_window(rng.normal(size=500), 4, 2) == 6


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=40), st.floats(0.01, 100))
def test_normal_scores_see_the_order_alone(values, scale):
    x = np.array(values, dtype=float)
    np.testing.assert_array_equal(normal_scores(x), normal_scores(np.exp(x / 20.0)))
    np.testing.assert_array_equal(normal_scores(x), normal_scores(scale * x))
    np.testing.assert_allclose(normal_scores(-x), -normal_scores(x), atol=1e-12)


@pytest.mark.parametrize("n", [400, 401])
def test_surrogates_keep_values_and_spectrum_and_together_the_cross_spectrum(n):
    rng = np.random.default_rng(5)
    z = ar1(rng, n, 0.9)
    pair = np.column_stack([normal_scores(z + 0.3 * rng.normal(size=n)), normal_scores(z)])
    same = cm.phase_surrogates(pair, 200, rng, together=True)
    own = cm.phase_surrogates(pair, 200, rng, together=False)
    for made in (same, own):
        np.testing.assert_array_equal(
            np.sort(made, axis=1), np.broadcast_to(np.sort(pair, axis=0), made.shape)
        )
        first = [(s[1:] * s[:-1]).mean() for s in made[:, :, 1]]
        assert np.mean(first) == pytest.approx((pair[1:, 1] * pair[:-1, 1]).mean(), abs=0.03)
    cross = np.corrcoef(pair.T)[0, 1]
    assert np.mean([np.corrcoef(s.T)[0, 1] for s in same]) == pytest.approx(cross, abs=0.03)
    assert abs(np.mean([np.corrcoef(s.T)[0, 1] for s in own])) < 0.05
    assert len({s.tobytes() for s in same}) == 200


def test_ends_are_matched_within_the_first_tenth():
    x = np.sin(np.arange(200) / 7.0) + 1e-3 * np.arange(200)
    kept = cm.matched_ends(x[:, None])[:, 0]
    assert 180 < len(kept) <= 200
    assert abs(kept[0] - kept[-1]) <= abs(x[:20] - x[-1]).min()
    np.testing.assert_array_equal(kept, x[-len(kept) :])


# --- the whole --------------------------------------------------------------------------------------------------


def test_it_is_a_function_of_the_sample_and_the_generator():
    x, y = one_way(np.random.default_rng(8))
    first, again = (cross_map(y, x, QUICK, np.random.default_rng(4)) for _ in range(2))
    assert first == again
    assert first == cross_map(np.exp(y), 3.0 * x - 1.0, QUICK, np.random.default_rng(4))
    assert first != cross_map(y, x, QUICK, np.random.default_rng(5))


def test_skill_converges_and_peaks_before_the_effect_for_a_one_way_cause():
    found = calls(one_way, 12)
    assert found[True, False] >= 11
    x, y = one_way(np.random.default_rng(8))
    drives, driven = both(x, y, np.random.default_rng(0))
    assert drives.skill_max > drives.skill_min + 0.1
    assert drives.trend >= 0.6
    assert drives.best_lag == -1
    assert drives.skill_max > driven.skill_max + 0.3


def test_both_directions_of_a_mutual_coupling_are_found():
    assert calls(mutual, 12)[True, True] >= 11


def test_knowledge_that_peaks_after_the_effect_is_not_a_cause():
    rng = np.random.default_rng(1)
    x, y = logistic(rng, 500, 3.8, 3.5, 0.02, 0.1)  # x drives y strongly and so knows its future
    drives, driven = both(x, y, rng)
    assert drives.causal
    assert driven.coupled
    assert driven.best_lag > 0
    assert not driven.causal


@pytest.mark.parametrize("make", [apart, shared])
def test_persistence_and_a_linear_common_driver_are_not_a_cause(make):
    found = calls(make, 20)
    assert 20 - found[False, False] <= 2


def test_skill_of_a_common_driver_is_high_and_explained_by_correlation():
    found = [both(*shared(rng), rng) for rng in (np.random.default_rng([6, k]) for k in range(12))]
    assert np.mean([d.independence_p <= 0.025 for pair in found for d in pair]) > 0.8
    assert np.mean([d.coupled for pair in found for d in pair]) < 0.2


def test_what_cannot_be_mapped_is_refused():
    x = np.random.default_rng(0).normal(size=200)
    holed = x.copy()
    holed[3] = np.nan
    for effect, cause in ((x[:100], x[:100]), (x, x[1:]), (holed, x), (x, np.ones(200)), (x[:, None], x)):
        with pytest.raises(BadInput, match="cross_map"):
            cross_map(effect, cause, QUICK, np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimensions": (1, 2)},
        {"dimensions": ()},
        {"fractions": (0.5, 0.2)},
        {"fractions": (0.5,)},
        {"fractions": (0.2, 1.0)},
        {"n_surrogates": 0},
        {"level": 1.0},
        {"min_obs": 10},
    ],
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(BadInput):
        replace(QUICK, **wrong)


@pytest.mark.full
def test_quality_long():
    full = CrossMapParams()
    for name, params in (("fast", QUICK), ("thorough", full)):
        counts = {make.__name__: calls(make, 200, params) for make in (one_way, mutual, apart, shared)}
        noisy = calls(lambda r: logistic(r, 500, 3.7, 3.7, 0.0, 0.32, 0.1), 100, params)
        weak = calls(lambda r: logistic(r, 500, 3.8, 3.5, 0.02, 0.1), 100, params)
        print(f"\n{name}: (x drives y, y drives x) called, n=500")
        for label, found in (*counts.items(), ("one way, 10 % noise", noisy), ("Sugihara .02/.1", weak)):
            print(f"  {label}: {dict(found)}")
        assert counts["one_way"][True, False] >= 190
        assert counts["mutual"][True, True] >= 190
        assert 200 - counts["apart"][False, False] <= 10
        assert 200 - counts["shared"][False, False] <= 20
        assert weak[True, False] + weak[True, True] >= 95
    for coupling in (0.0, 3.0):
        found = calls(lambda r, c=coupling: rossler_lorenz(r, 500, c), 40)
        print(f"Rössler drives Lorenz, coupling {coupling}: {dict(found)}")


@pytest.mark.full
def test_speed_of_a_pair():
    rng = np.random.default_rng(0)
    x, y = one_way(rng)
    params = CrossMapParams(n_surrogates=100)
    both(x, y, rng, params)
    started = time.process_time()
    both(x, y, rng, params)
    spent = time.process_time() - started
    print(f"one pair, n=500, 20 libraries, 100 surrogates, both directions: {spent:.2f} s")
    assert spent <= 1.0
