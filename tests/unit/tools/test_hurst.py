"""Hurst: against brute-force spectra, a minimiser and the exact likelihood; coverage by simulation; invariants."""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import cho_solve, cholesky, toeplitz
from scipy.optimize import minimize_scalar

from regime_trading.core.errors import BadInput
from regime_trading.tools import hurst as h


def autocovariance(n, hurst):
    k = np.arange(n, dtype=float)
    return 0.5 * ((k + 1) ** (2 * hurst) - 2 * k ** (2 * hurst) + np.abs(k - 1) ** (2 * hurst))


def fgn_paths(rng, n, paths, hurst):
    """Exact fractional Gaussian noise by circulant embedding (Davies & Harte 1987)."""
    gamma = autocovariance(n + 1, hurst)
    eigenvalues = np.fft.fft(np.concatenate([gamma, gamma[n - 1 : 0 : -1]])).real
    assert eigenvalues.min() > -1e-9
    m = eigenvalues.size
    noise = rng.standard_normal((paths, m)) + 1j * rng.standard_normal((paths, m))
    return np.fft.fft(noise * np.sqrt(np.maximum(eigenvalues, 0) / m), axis=1).real[:, :n]


def garch_paths(rng, n, paths, shocks, alpha=0.08, beta=0.90):
    x, variance, last = np.empty((paths, n)), np.ones(paths), np.zeros(paths)
    for t in range(-300, n):
        variance = 1 - alpha - beta + alpha * last**2 + beta * variance
        last = shocks(paths) * np.sqrt(variance)
        if t >= 0:
            x[:, t] = last
    return x


WORLDS = {
    "fgn .3": (0.3, lambda rng, n, m: fgn_paths(rng, n, m, 0.3)),
    "fgn .5": (0.5, lambda rng, n, m: fgn_paths(rng, n, m, 0.5)),
    "fgn .7": (0.7, lambda rng, n, m: fgn_paths(rng, n, m, 0.7)),
    "t5": (0.5, lambda rng, n, m: rng.standard_t(5, (m, n))),
    "garch": (0.5, lambda rng, n, m: garch_paths(rng, n, m, rng.standard_normal)),
    "garch_t5": (0.5, lambda rng, n, m: garch_paths(rng, n, m, lambda k: rng.standard_t(5, k) * 0.6**0.5)),
}


def every_row(x):
    starts = np.arange(len(x)) * x.shape[1]
    return h.whittle_windows(x.ravel(), starts, starts + x.shape[1])


def brute_spectrum(frequency, hurst, terms=200_000):
    """The plain sum over |j| ≤ terms, its tail by an integral."""
    j, power = np.arange(1, terms + 1), 2 * hurst + 1
    lam = frequency[:, None]
    total = frequency**-power + np.sum((2 * np.pi * j + lam) ** -power + (2 * np.pi * j - lam) ** -power, 1)
    total += 2 * (2 * np.pi * (terms + 0.5)) ** (1 - power) / (power - 1) / (2 * np.pi)
    scale = math.sin(math.pi * hurst) * math.gamma(power) / math.pi
    return scale * (1 - np.cos(frequency)) * total


def minimised_whittle(x):
    n = len(x)
    frequency = 2 * np.pi / n * np.arange(1, (n - 1) // 2 + 1)
    periodogram = np.abs(np.fft.rfft(x - x.mean())[1 : frequency.size + 1]) ** 2

    def loss(hurst):
        f = brute_spectrum(frequency, hurst, 400)
        return math.log(np.mean(periodogram / f)) + np.mean(np.log(f))

    return minimize_scalar(loss, bounds=(0.01, 0.99), method="bounded", options={"xatol": 1e-9}).x


def exact_mle(x):
    """Restricted Gaussian likelihood (free of the mean), variance profiled out."""

    def loss(hurst):
        factor = cholesky(toeplitz(autocovariance(len(x), hurst)), lower=True)
        ones = np.ones(len(x))
        weights = cho_solve((factor, True), ones)
        centred = x - weights @ x / (weights @ ones)
        quadratic = centred @ cho_solve((factor, True), centred)
        determinant = 2 * np.log(np.diag(factor)).sum() + math.log(weights @ ones)
        return (len(x) - 1) * math.log(quadratic) + determinant

    return minimize_scalar(loss, bounds=(0.01, 0.99), method="bounded", options={"xatol": 1e-7}).x


@pytest.mark.parametrize("hurst", [0.02, 0.3, 0.5, 0.7, 0.98])
def test_spectrum_equals_the_plain_sum(hurst):
    frequency = np.array([1e-3, 0.1, 1.0, 2.5, math.pi])
    np.testing.assert_allclose(
        h.fgn_spectrum(frequency, np.array([hurst]))[0], brute_spectrum(frequency, hurst), rtol=1e-8
    )


@pytest.mark.parametrize("hurst", [0.1, 0.5, 0.8])
def test_spectrum_is_the_transform_of_the_autocovariance(hurst):
    """γ_k = 2 ∫ f(λ) cos(kλ) dλ over (0, pi], with λ = pi u⁴ so that the pole at 0 does no harm."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    u = 0.5 * (nodes + 1)
    density = h.fgn_spectrum(math.pi * u**4, np.array([hurst]))[0] * math.pi * 4 * u**3 * weights
    found = [float(np.sum(density * np.cos(k * math.pi * u**4))) for k in range(6)]
    np.testing.assert_allclose(found, autocovariance(6, hurst), atol=2e-9)


def test_score_weights_are_the_derivative_of_the_autocovariance():
    step = 1e-6
    slope = (autocovariance(12, 0.5 + step) - autocovariance(12, 0.5 - step)) / (2 * step)
    np.testing.assert_allclose(h.score_weights(11), slope[1:], atol=1e-8)


@pytest.mark.parametrize("hurst", [0.05, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("n", [128, 301, 1000])
def test_whittle_equals_a_plain_minimiser(n, hurst):
    for x in fgn_paths(np.random.default_rng(n), n, 3, hurst):
        assert h.whittle(x).hurst == pytest.approx(minimised_whittle(x), abs=3e-5)


def test_whittle_finds_the_minimum_of_any_sample():
    rng = np.random.default_rng(6)
    steps = np.cumsum(rng.standard_normal(400))
    for x in (steps, np.diff(steps), np.sin(np.arange(400.0)), np.repeat(rng.standard_normal(40), 10)):
        assert h.whittle(x).hurst == pytest.approx(minimised_whittle(x), abs=3e-5)


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.7])
def test_whittle_is_near_the_exact_likelihood(hurst):
    x = fgn_paths(np.random.default_rng(31), 256, 20, hurst)
    gap = every_row(x)[0] - np.array([exact_mle(row) for row in x])
    error = np.mean([h.whittle(row).std_error for row in x])
    assert abs(gap.mean()) < 0.25 * error
    assert np.sqrt(np.mean(gap**2)) < 0.5 * error


def test_standard_error_of_white_noise_is_fishers():
    x = np.random.default_rng(2).standard_normal((200, 4000))
    estimate, error = every_row(x)
    fisher = 1 / math.sqrt(4000 * np.sum(h.score_weights(5000) ** 2))
    assert np.median(error) == pytest.approx(fisher, rel=0.02)
    assert estimate.std() == pytest.approx(fisher, rel=0.15)


def look(world, n, paths, seed):
    truth, draw = WORLDS[world]
    estimate, error = every_row(draw(np.random.default_rng(seed), n, paths))
    rmse, covered = np.sqrt(np.mean((estimate - truth) ** 2)), np.mean(abs(estimate - truth) < 1.96 * error)
    print(f"{world} n={n}: bias {np.mean(estimate) - truth:+.4f}, RMSE {rmse:.4f}, covers {covered:.1%}")
    return rmse, covered


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("n", "limit"), [(512, 0.032), (2048, 0.016)])
def test_error_and_coverage(world, n, limit):
    rmse, covered = look(world, n, 1500, 17)
    assert 0.92 <= covered <= 0.98
    if world.startswith("fgn"):
        assert rmse <= limit


@pytest.mark.full
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("n", [128, 256, 512, 1024, 2048, 4096])
def test_coverage_long(world, n):
    _, covered = look(world, n, 6000, 1234)
    assert 0.93 <= covered <= 0.975


def test_volatility_clustering_widens_the_interval():
    rng = np.random.default_rng(23)
    plain = every_row(WORLDS["fgn .5"][1](rng, 2048, 300))[1]
    clustered = every_row(WORLDS["garch_t5"][1](rng, 2048, 300))[1]
    assert 1.3 < np.median(clustered) / np.median(plain) < 1.7


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.7])
def test_generalised_exponent_is_near_the_truth(hurst):
    x = fgn_paths(np.random.default_rng(5), 4096, 40, hurst)
    found = np.array([h.generalised_hurst(row) for row in x])
    assert found.mean() == pytest.approx(hurst, abs=0.02)
    assert found.std() < 0.04
    assert math.isnan(h.generalised_hurst(np.ones(500)))
    assert math.isnan(h.generalised_hurst(x[0, :127]))


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(128, 400),
    scale=st.floats(1e-6, 1e6),
    sign=st.sampled_from([-1, 1]),
    shift=st.floats(-1, 1),
)
@settings(max_examples=60, deadline=None)
def test_scale_sign_shift_and_reversal_change_nothing(seed, n, scale, sign, shift):
    x = np.random.default_rng(seed).standard_t(4, n)
    base = h.whittle(x)
    for other in (h.whittle(sign * scale * (x + shift)), h.whittle(x[::-1])):
        assert other.hurst == pytest.approx(base.hurst, abs=1e-7)
        assert other.std_error == pytest.approx(base.std_error, rel=1e-7)
    assert h.generalised_hurst(scale * (x + shift)) == pytest.approx(h.generalised_hurst(x), abs=1e-7)


@given(seed=st.integers(0, 10_000), n=st.integers(128, 400), holes=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_interval_p_value_and_gaps(seed, n, holes):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    found = h.whittle(x)
    assert 0 <= found.low < found.hurst < found.high <= 1
    assert (found.p_value < 0.05) == (not found.low <= 0.5 <= found.high)
    assert found.n_obs == n
    where = np.sort(rng.integers(0, n, holes))
    assert h.whittle(np.insert(x, where, rng.choice([np.nan, np.inf, -np.inf], holes))) == found


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_window_depends_on_itself_alone(seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(1500)
    starts = np.sort(rng.integers(0, 1000, 40))
    stops = starts + rng.choice([100, 128, 200, 333, 500], 40)
    estimate, error = h.whittle_windows(values, starts, stops)
    for i in range(40):
        alone = h.whittle(values[starts[i] : stops[i]])
        np.testing.assert_array_equal([estimate[i], error[i]], [alone.hurst, alone.std_error])


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60), st.sampled_from([0.0, -3e5, 1e-9])
)
@settings(max_examples=100, deadline=None)
def test_any_sample_has_a_number_or_a_reason(values, padding):
    found = h.whittle(np.array([*values, *[padding] * 130]))
    assert math.isnan(found.hurst) == bool(found.reason)
    assert math.isnan(found.std_error) == bool(found.reason)


def test_unknown_says_why():
    few = h.whittle(np.random.default_rng(0).standard_normal(127))
    assert math.isnan(few.hurst) and math.isnan(few.p_value) and few.reason == "fewer valid returns than 128"
    flat = h.whittle(np.full(300, 0.01))
    assert math.isnan(flat.low) and math.isnan(flat.high) and flat.reason == "returns do not vary"
    assert h.whittle(np.array([])).n_obs == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda x: h.whittle(x[:, None]),
        lambda x: h.whittle_windows(x, np.array([0]), np.array([601])),
        lambda x: h.whittle_windows(x, np.array([10]), np.array([9])),
        lambda x: h.fgn_spectrum(np.array([0.0]), np.array([0.5])),
        lambda x: h.fgn_spectrum(np.array([1.0]), np.array([1.0])),
        lambda x: h.generalised_hurst(x, q=0.0),
        lambda x: h.generalised_hurst(x, max_lag=1),
    ],
)
def test_bad_usage_is_refused(call):
    with pytest.raises(BadInput):
        call(np.random.default_rng(0).standard_normal(600))


@pytest.mark.full
def test_rolling_speed():
    values = np.random.default_rng(0).standard_normal(20_499)
    starts = np.arange(20_000)
    h.whittle_windows(values, starts[:500], starts[:500] + 500)
    begin = perf_counter()
    h.whittle_windows(values, starts, starts + 500)
    print(f"rolling window of 500: {20_000 / (perf_counter() - begin):,.0f} steps/s")
