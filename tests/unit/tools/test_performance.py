"""Performance: by hand, against numpy and arch, and by simulation where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.datasets import load_sp500_index

from regime_trading.core.errors import BadInput
from regime_trading.tools import performance as p
from regime_trading.tools.controls import control_buy_and_hold

NAN = math.nan


@st.composite
def series(draw, least=0):
    n = draw(st.integers(least, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    returns = rng.standard_normal(n) * 0.02
    returns[rng.random(n) < draw(st.sampled_from([0.0, 0.3]))] = NAN
    return returns


def test_by_hand():
    got = p.performance(np.array([NAN, 0.10, -0.50, NAN, 0.20]), periods_per_year=3)
    assert got.n_obs == 3
    assert got.total_return == pytest.approx(1.1 * 0.5 * 1.2 - 1)
    assert got.annual_return == pytest.approx(1.1 * 0.5 * 1.2 - 1)  # three returns are one year
    sd = np.std([0.10, -0.50, 0.20], ddof=1)
    assert got.annual_volatility == pytest.approx(sd * math.sqrt(3))
    assert got.sharpe == pytest.approx(np.mean([0.10, -0.50, 0.20]) / sd * math.sqrt(3))
    assert got.max_drawdown == pytest.approx(-0.5)


def test_a_loss_on_the_first_day_is_a_drawdown():
    assert p.performance(np.array([-0.25, 0.1])).max_drawdown == pytest.approx(-0.25)
    assert p.max_drawdown(np.array([0.75, 0.8]), start=None) == 0.0


def test_what_is_not_defined_is_nan_and_never_zero():
    empty = p.performance(np.array([NAN, NAN]))
    assert empty.n_obs == 0
    assert all(
        math.isnan(x)
        for x in (empty.total_return, empty.annual_return, empty.annual_volatility, empty.sharpe)
    )
    assert math.isnan(p.sharpe_ratio(np.full(10, 0.01))) and math.isnan(p.annual_volatility(np.array([0.1])))
    assert math.isnan(p.turnover_summary(np.array([NAN])).per_year)
    assert math.isnan(p.max_drawdown(np.full(3, NAN)))


@settings(max_examples=80, deadline=None)
@given(returns=series(least=1))
def test_equity_and_returns_are_inverse_and_drawdowns_agree(returns):
    equity = p.equity_curve(returns, start=100.0)
    back = p.simple_returns(np.append(100.0, np.where(np.isnan(returns), NAN, equity)))[1:]
    np.testing.assert_allclose(back, returns, atol=1e-12)
    path = np.append(100.0, equity)
    worst = min(path[j] / path[i] - 1 for i in range(len(path)) for j in range(i, len(path)))
    assert p.max_drawdown(equity, start=100.0) == pytest.approx(worst, abs=1e-12)
    assert (p.drawdown(equity) <= 0).all()
    if np.isfinite(returns).any():
        assert p.total_return(returns) == pytest.approx(equity[-1] / 100 - 1, abs=1e-12)


def test_gaps_in_equity_are_spanned():
    np.testing.assert_allclose(p.simple_returns(np.array([NAN, 100.0, NAN, 110.0])), [NAN, NAN, NAN, 0.1])
    np.testing.assert_allclose(p.drawdown(np.array([100.0, NAN, 50.0])), [0, NAN, -0.5])


def test_ruin_is_a_return_of_minus_one_and_nothing_follows_it():
    assert p.simple_returns(np.array([100.0, 0.0]))[1] == -1.0
    with pytest.raises(BadInput, match="row 2"):
        p.simple_returns(np.array([100.0, 0.0, 5.0]))
    with pytest.raises(BadInput, match="row 1"):
        p.total_return(np.array([0.1, -1.5]))


def test_turnover():
    got = p.turnover_summary(np.array([NAN, 1.0, 0.0, 0.5, 0.0]), periods_per_year=4)
    assert (got.total, got.per_year, got.largest, got.trading_share) == (1.5, 1.5, 1.0, 0.5)
    with pytest.raises(BadInput):
        p.turnover_summary(np.array([-0.1]))


def test_the_index_as_published():
    """S&P 500 1998-2022: Sharpe .375, deepest fall −56.8 % (`regime.md` 2)."""
    index = load_sp500_index()
    returns = p.simple_returns(index.to_numpy()[:, 0])[index.index.year >= 1998]
    got = p.performance(returns)
    assert got.sharpe == pytest.approx(0.375, abs=0.001)
    assert got.max_drawdown == pytest.approx(-0.568, abs=0.001)
    held = p.performance(control_buy_and_hold(index.to_numpy()[:, 0])[index.index.year >= 1998])
    assert held.sharpe == pytest.approx(got.sharpe)


# --- Sharpe differences -----------------------------------------------------------------------------------


def test_the_interval_is_reproducible_antisymmetric_and_leaves_out_unpaired_bars():
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 400)) * 0.01 + 0.0005
    first = p.sharpe_difference_interval(a, b, seed=7, replications=200)
    assert first == p.sharpe_difference_interval(a, b, seed=7, replications=200)
    assert first != p.sharpe_difference_interval(a, b, seed=8, replications=200)
    mirrored = p.sharpe_difference_interval(b, a, seed=7, replications=200)
    assert mirrored == pytest.approx((-first[0], -first[2], -first[1]))
    holed_a, holed_b = np.insert(a, 100, NAN), np.insert(b, 100, 0.5)
    assert p.sharpe_difference_interval(holed_a, holed_b, seed=7, replications=200) == first
    assert first[0] == pytest.approx(p.sharpe_ratio(a) - p.sharpe_ratio(b))


def test_nothing_differs_from_itself_and_little_is_not_enough():
    a = np.random.default_rng(1).standard_normal(100) * 0.01
    assert p.sharpe_difference_interval(a, a, seed=1) == (0.0, 0.0, 0.0)
    difference, low, high = p.sharpe_difference_interval(a[:59], -a[:59], seed=1)
    assert math.isfinite(difference) and math.isnan(low) and math.isnan(high)
    assert all(math.isnan(x) for x in p.sharpe_difference_interval(a, np.zeros(100), seed=1))


def test_dependent_returns_get_longer_blocks_and_a_wider_interval():
    """Means over ten bars: an interval that draws single bars is about a third as wide as it must be."""
    noise = np.random.default_rng(4).standard_normal((1509, 2)) * 0.03 + 0.001
    a, b = (np.convolve(noise[:, i], np.full(10, 0.1), "valid") for i in range(2))
    _, low, high = p.sharpe_difference_interval(a, b, seed=1, replications=300)
    _, narrow_low, narrow_high = p.sharpe_difference_interval(a, b, seed=1, replications=300, block_bars=1)
    assert high - low > 1.8 * (narrow_high - narrow_low)


@pytest.mark.parametrize("change", [{"level": 1.0}, {"replications": 0}, {"block_bars": 0}])
def test_arguments_out_of_range_are_refused(change):
    with pytest.raises(BadInput):
        p.sharpe_difference_interval(np.zeros(99), np.zeros(99), **{"seed": 1, **change})
    with pytest.raises(BadInput):
        p.sharpe_difference_interval(np.zeros(99), np.zeros(98), seed=1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Pairs with a correlation of 0.7 and clustered volatility; true Sharpe ratios 1.0 and 0.4 a year."""
    rng, truth, hits, trials = np.random.default_rng(11), (1.0 - 0.4), 0, 120
    for _ in range(trials):
        shocks = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=750)
        level = np.ones(750)
        for t in range(1, 750):
            level[t] = math.sqrt(0.1 + 0.1 * (level[t - 1] * shocks[t - 1, 0]) ** 2 + 0.8 * level[t - 1] ** 2)
        noise = shocks * level[:, None] * 0.01
        drift = np.array([1.0, 0.4]) / math.sqrt(252) * 0.01
        a, b = (noise + drift).T
        _, low, high = p.sharpe_difference_interval(a, b, seed=3, replications=150)
        hits += low <= truth <= high
    assert 0.87 <= hits / trials <= 0.99
