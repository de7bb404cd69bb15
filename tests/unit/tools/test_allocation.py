"""Allocation: defining properties of each allocator, the exposure table cell by cell, exact targets."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.datasets import load_sp500_dataset
from skfolio.exceptions import ConvexOptimizationError
from skfolio.moments import LedoitWolf
from skfolio.optimization import MeanRisk, RiskBudgeting
from threadpoolctl import threadpool_limits

from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.schemas import REGIME_LABELS, Exposure, RegimeLabel
from regime_trading.tools import allocation as a
from regime_trading.tools.features import log_returns

NAN = math.nan
STRATEGIES = tuple(Exposure)


@pytest.fixture(scope="module")
def window():
    return log_returns(load_sp500_dataset().to_numpy())[4000:4252]


def covariance(returns):
    return LedoitWolf().fit(returns).covariance_


# --- base weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("allocator", a.ALLOCATORS)
def test_weights_are_a_long_only_whole_and_reproducible(window, allocator):
    w = a.base_weights(window, allocator)
    assert (w >= 0).all() and w.sum() == pytest.approx(1.0, abs=1e-12)
    assert w.tobytes() == a.base_weights(np.asfortranarray(window.copy()), allocator).tobytes()


def test_each_allocator_does_what_its_name_says(window):
    s = covariance(window)
    assert (a.base_weights(window, "equal") == 1 / 20).all()
    w = a.base_weights(window, "inverse_volatility")
    np.testing.assert_allclose(w * np.sqrt(np.diag(s)), (w * np.sqrt(np.diag(s)))[0])
    w = a.base_weights(window, "risk_parity")
    np.testing.assert_allclose(w * (s @ w) / (w @ s @ w), 1 / 20, rtol=1e-4)
    w = a.base_weights(window, "minimum_variance")
    rivals = np.random.default_rng(0).dirichlet(np.full(20, 0.3), size=5000)
    assert w @ s @ w < np.einsum("ki,ij,kj->k", rivals, s, rivals).min()
    gradient = s @ w  # Karush-Kuhn-Tucker: equal where held, not smaller where not
    assert gradient[w > 1e-4].max() <= gradient[w <= 1e-4].min() * (1 + 1e-3)
    np.testing.assert_allclose(gradient[w > 1e-4], w @ s @ w, rtol=1e-3)
    w = a.base_weights(window, "hierarchical_risk_parity")
    assert 0 < w.min() < 1 / 20 < w.max() < 0.3


@pytest.mark.parametrize("allocator", a.ALLOCATORS)
@pytest.mark.parametrize("factor", [2.0**-12, 2.0**9])
def test_weights_do_not_depend_on_the_size_of_a_return(window, allocator, factor):
    """One-minute returns are as good as daily ones."""
    assert a.base_weights(window * factor, allocator).tobytes() == a.base_weights(window, allocator).tobytes()


@pytest.mark.parametrize("allocator", a.ALLOCATORS)
def test_unusable_assets_weigh_nothing_and_change_nothing(window, allocator):
    holed = np.insert(window, [0, 7, 20], 0.0, axis=1)  # three new columns: 0, 8 and 22
    holed[5, 0], holed[:, 8], holed[:, 22] = NAN, NAN, 0.0
    w = a.base_weights(holed, allocator)
    assert (w[[0, 8, 22]] == 0).all()
    assert np.delete(w, [0, 8, 22]).tobytes() == a.base_weights(window, allocator).tobytes()


@pytest.mark.parametrize("allocator", a.ALLOCATORS)
def test_one_asset_is_all_and_none_is_an_error(window, allocator):
    assert a.base_weights(window[:, :1], allocator).tolist() == [1.0]
    with pytest.raises(BadInput, match=f"allocator {allocator}"):
        a.base_weights(np.full((50, 3), NAN), allocator)
    with pytest.raises(BadInput, match="at least one asset"):
        a.base_weights(window[:1], allocator)


def test_bad_arguments_are_named(window):
    with pytest.raises(BadInput, match=r"risk_parity.*found 'magic'"):
        a.base_weights(window, "magic")
    with pytest.raises(BadInput, match="infinite"):
        a.base_weights(np.where(window == window[3, 3], math.inf, window), "equal")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.full(20, 0.2), "weights ≥ 0 that sum to 1 on 252 rows of 20 assets, found a sum of 4"),
        (np.append(np.full(19, 1.1 / 19), -0.1), "a least weight of -0.1"),
        (np.full(20, 0.05), "within 0.001 of its defining equation on 20 assets, found [01]."),
        (np.full(20, NAN), "found a sum of nan"),
    ],
)
@pytest.mark.parametrize(
    ("allocator", "kind"), [("risk_parity", RiskBudgeting), ("minimum_variance", MeanRisk)]
)
def test_a_wrong_answer_is_an_error(window, monkeypatch, allocator, kind, weights, message):
    solve = kind.fit

    def wrong(self, *args):
        solve(self, *args).weights_ = weights
        return self

    monkeypatch.setattr(kind, "fit", wrong)
    with pytest.raises(RegimeError, match=f"allocator {allocator}: .*{message}"):
        a.base_weights(window, allocator)


def test_a_failed_optimiser_is_an_error_and_not_equal_weights(window, monkeypatch):
    def failing(*_):
        raise ConvexOptimizationError("Solver 'CLARABEL' failed")

    monkeypatch.setattr(MeanRisk, "fit", failing)
    with pytest.raises(RegimeError, match="minimum_variance: no solution on 252 rows of 20 assets: Solver"):
        a.base_weights(window, "minimum_variance")


def test_an_answer_its_solver_doubts_is_taken_when_it_proves_right(window, monkeypatch):
    solve = RiskBudgeting.fit

    def doubting(self, *args):
        warnings.warn("Solution may be inaccurate. Try changing the solver params", stacklevel=1)
        return solve(self, *args)

    expected = a.base_weights(window, "risk_parity")
    monkeypatch.setattr(RiskBudgeting, "fit", doubting)
    with pytest.warns(UserWarning, match="may be inaccurate"):
        assert a.base_weights(window, "risk_parity").tobytes() == expected.tobytes()


@pytest.mark.parametrize("allocator", ["risk_parity", "minimum_variance"])
def test_the_windows_that_were_hard_unscaled(allocator):
    """Daily returns as they are stop the solver short in 2001-01 and leave 0.19 % to gain in 1992-02."""
    returns = log_returns(load_sp500_dataset().to_numpy())
    for row in (534, 2799):
        assert a.base_weights(returns[row - 251 : row + 1], allocator).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("allocator", ["inverse_volatility", "risk_parity", "minimum_variance"])
def test_weight_bits_do_not_depend_on_the_number_of_threads(allocator):
    wide = np.random.default_rng(1).standard_normal((252, 150)) * 0.01
    results = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            results.append(a.base_weights(wide, allocator).tobytes())
    assert results[0] == results[1]


# --- exposure ---------------------------------------------------------------------------------------------


def one(label, turbulent, momentum, z, **params):
    exposure, strategy = a.strategy_exposure(
        np.array([REGIME_LABELS.index(label)], dtype=np.int8),
        np.array([turbulent]),
        np.array([momentum]),
        np.array([z]),
        a.ExposureParams(**{"stand_aside": 0.6, "de_risk": 0.25, "mean_reversion": 0.8, **params}),
    )
    return float(exposure[0]), STRATEGIES[strategy[0]] if strategy[0] >= 0 else None


T, M, S, D = STRATEGIES
TABLE = [
    (RegimeLabel.TRENDING, False, 0.1, 0.0, 1.0, T),
    (RegimeLabel.TRENDING, False, -0.1, 0.0, 0.0, T),
    (RegimeLabel.TRENDING, False, 0.0, 0.0, 0.0, T),
    (RegimeLabel.TRENDING, True, 0.1, 0.0, 0.25, D),
    (RegimeLabel.MEAN_REVERTING, False, 0.1, 0.0, 0.4, M),
    (RegimeLabel.MEAN_REVERTING, False, 0.1, -1.0, 0.6, M),
    (RegimeLabel.MEAN_REVERTING, False, -0.1, -2.0, 0.8, M),
    (RegimeLabel.MEAN_REVERTING, False, 0.1, -9.0, 0.8, M),
    (RegimeLabel.MEAN_REVERTING, False, 0.1, 3.0, 0.0, M),
    (RegimeLabel.MEAN_REVERTING, True, 0.1, -2.0, 0.2, D),
    (RegimeLabel.RANDOM, False, -0.1, 2.0, 0.6, S),
    (RegimeLabel.RANDOM, True, 0.1, 0.0, 0.15, D),
    (RegimeLabel.VOLATILE_TRENDING, False, 0.1, 0.0, 0.25, D),
    (RegimeLabel.VOLATILE_TRENDING, True, 0.1, 0.0, 0.25, D),
    (RegimeLabel.VOLATILE_TRENDING, True, -0.1, 0.0, 0.0, D),
    (RegimeLabel.UNCERTAIN, False, 0.1, 0.0, 0.15, D),
    (RegimeLabel.UNCERTAIN, True, -0.1, 0.0, 0.15, D),
]


@pytest.mark.parametrize(("label", "turbulent", "momentum", "z", "exposure", "strategy"), TABLE)
def test_the_table_cell_by_cell(label, turbulent, momentum, z, exposure, strategy):
    got, by = one(label, turbulent, momentum, z)
    assert got == pytest.approx(exposure) and by is strategy


def test_shorts_only_where_they_are_allowed():
    assert one("trending", False, -0.1, 0.0, allow_short=True, short_share=0.4)[0] == -0.4
    assert one("trending", True, -0.1, 0.0, allow_short=True, short_share=0.4)[0] == pytest.approx(-0.1)
    assert one("trending", False, 0.0, 0.0, allow_short=True)[0] == 0.0
    assert one("random", False, -0.1, 5.0, allow_short=True)[0] == 0.6


@pytest.mark.parametrize("label", REGIME_LABELS)
def test_a_missing_input_is_no_exposure_under_any_label(label):
    for momentum, z in ((NAN, 0.0), (0.1, NAN), (NAN, NAN)):
        assert one(label, False, momentum, z, allow_short=True) == (0.0, None)


@settings(max_examples=200, deadline=None)
@given(
    label=st.sampled_from(REGIME_LABELS),
    momentum=st.floats(-1, 1) | st.just(NAN),
    z=st.floats(-5, 5) | st.just(NAN),
    shares=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    short=st.booleans(),
)
def test_exposure_is_bounded_and_turbulence_never_adds(label, momentum, z, shares, short):
    names = ("trend_following", "mean_reversion", "stand_aside", "de_risk", "short_share")
    params = {**dict(zip(names, shares, strict=True)), "allow_short": short}
    calm, turbulent = (one(label, t, momentum, z, **params)[0] for t in (False, True))
    assert abs(turbulent) <= abs(calm) <= 1 and turbulent * calm >= 0
    assert short or calm >= 0
    assert math.copysign(1, calm) == 1 or calm < 0  # never minus zero


def test_an_array_equals_its_cells_and_refuses_unknown_codes():
    cells = list(itertools.product(range(5), (False, True), (-0.1, 0.2, NAN), (-1.0, 0.5, NAN)))
    label, turbulent, momentum, z = (np.array(x) for x in zip(*cells, strict=True))
    params = a.ExposureParams(stand_aside=0.6, de_risk=0.25, mean_reversion=0.8)
    exposure, strategy = a.strategy_exposure(label.astype(np.int8), turbulent, momentum, z, params)
    for i, cell in enumerate(cells):
        expected, by = one(REGIME_LABELS[cell[0]], *cell[1:])
        assert exposure[i] == expected and strategy[i] == (-1 if by is None else STRATEGIES.index(by))
    for code in (-1, 5):
        with pytest.raises(BadInput, match="label codes"):
            a.strategy_exposure(np.array([code], dtype=np.int8), *(np.zeros(1) for _ in range(3)), params)


@pytest.mark.parametrize(
    "change", [{"de_risk": 1.1}, {"stand_aside": -0.1}, {"short_share": NAN}, {"z_full": 0.0}]
)
def test_exposure_params_are_checked(change):
    with pytest.raises(BadInput, match=f"exposure.{next(iter(change))}"):
        dataclasses.replace(a.ExposureParams(), **change)


# --- targets ----------------------------------------------------------------------------------------------


def test_targets_are_nanoweights_and_round_toward_zero():
    got = a.target_weights(np.array([0.5, 0.25, 0.25, 0.0]), np.array([1.0, -1 / 3, 1 / 3, 1.0]), 0.9)
    assert got.tolist() == [450_000_000, -75_000_000, 75_000_000, 0]
    third = a.target_weights(np.full(3, 1 / 3), np.ones(3), 1.0)
    assert third.tolist() == [333_333_333] * 3


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 30), budget=st.floats(0.001, 3))
def test_targets_never_exceed_the_budget(seed, n, budget):
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.ones(n))
    target = a.target_weights(base, rng.uniform(-1, 1, n), budget)
    assert (target == np.trunc(target)).all()
    assert np.abs(target).sum() <= budget * 1e9 + 1e-3
    assert (np.abs(target) <= np.abs(budget * base) * 1e9 + 1e-3).all()


@pytest.mark.parametrize(
    ("base", "exposure", "budget"),
    [
        (0.5, 1.0, 0.0),
        (0.5, 1.0, NAN),
        (0.5, 1.0, math.inf),
        (NAN, 1.0, 1.0),
        (0.5, NAN, 1.0),
        (-0.1, 1.0, 1.0),
        (0.5, 1.1, 1.0),
    ],
)
def test_targets_refuse_what_is_not_a_weight(base, exposure, budget):
    with pytest.raises(BadInput):
        a.target_weights(np.array([base]), np.array([exposure]), budget)
