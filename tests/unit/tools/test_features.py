"""Features: against pandas on each symbol's own bars, gaps, and bits under truncation."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.datasets import load_sp500_dataset

from regime_trading.core.errors import BadInput
from regime_trading.tools import features as f

NAN = math.nan


@st.composite
def prices(draw):
    rows, columns = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = rng.standard_normal((rows, columns)) * rng.choice([0.0, 0.01, 0.2], size=(rows, columns))
    close = 50 * np.exp(np.cumsum(steps, axis=0))
    close[rng.random((rows, columns)) < draw(st.sampled_from([0.0, 0.1, 0.6]))] = NAN
    return close


def own_bars(close, feature):
    """``feature`` of each symbol's known closes, put back where they came from."""
    out = np.full(close.shape, NAN)
    for i in range(close.shape[1]):
        known = ~np.isnan(close[:, i])
        out[known, i] = feature(pd.Series(np.log(close[known, i]))).to_numpy()
    return out


def z_reference(lookback):
    def z(level):
        window = level.rolling(lookback)
        return (level - window.mean()) / window.std(ddof=0)

    return z


@settings(max_examples=80, deadline=None)
@given(close=prices(), lookback=st.integers(1, 12))
def test_returns_and_momentum_equal_pandas_on_the_known_bars(close, lookback):
    np.testing.assert_allclose(f.log_returns(close), own_bars(close, lambda x: x.diff()), atol=1e-13)
    np.testing.assert_allclose(
        f.momentum(close, lookback), own_bars(close, lambda x: x.diff(lookback)), atol=1e-13
    )


def test_z_score_equals_pandas_on_real_prices_with_holes():
    close = load_sp500_dataset().to_numpy()[:2000, :6].copy()
    close[np.random.default_rng(3).random(close.shape) < 0.05] = NAN
    ours, reference = f.z_score(close, 20), own_bars(close, z_reference(20))
    assert (np.isnan(ours) == np.isnan(reference)).all()
    np.testing.assert_allclose(ours, reference, atol=1e-6)
    assert np.isfinite(ours).mean() > 0.9


@settings(max_examples=60, deadline=None)
@given(close=prices())
def test_returns_add_up_over_gaps(close):
    returns = f.log_returns(close)
    for i in range(close.shape[1]):
        known = close[~np.isnan(close[:, i]), i]
        if known.size:
            assert np.nansum(returns[:, i]) == pytest.approx(math.log(known[-1] / known[0]), abs=1e-12)
            assert np.isnan(returns[:, i]).sum() == len(close) - known.size + 1


def test_a_missing_bar_is_neither_zero_nor_contagious():
    returns = f.log_returns(np.array([[NAN], [100.0], [110.0], [NAN], [NAN], [121.0]]))
    np.testing.assert_allclose(returns[:, 0], [NAN, NAN, math.log(1.1), NAN, NAN, math.log(1.1)])


@settings(max_examples=60, deadline=None)
@given(close=prices(), at=st.integers(0, 59))
def test_an_inserted_hole_changes_no_other_row(close, at):
    at = min(at, len(close))
    holed = np.insert(close, at, NAN, axis=0)
    for feature in (f.log_returns, lambda x: f.momentum(x, 3), lambda x: f.z_score(x, 4)):
        assert np.delete(feature(holed), at, axis=0).tobytes() == feature(close).tobytes()


def test_z_score_of_a_price_that_stands_still_is_not_known():
    assert np.isnan(f.z_score(np.full((40, 1), 0.1 + 0.2), 20)).all()


def test_z_score_by_hand():
    level = np.array([0.0, 1.0, 5.0])
    assert f.z_score(np.exp(level)[:, None], 3)[2, 0] == pytest.approx((5 - 2) / math.sqrt(14 / 3))


@pytest.mark.parametrize("price", [0.0, -1.0, math.inf])
def test_a_price_that_cannot_be_is_named(price):
    close = np.ones((3, 2))
    close[2, 1] = price
    for feature in (f.log_returns, lambda x: f.momentum(x, 1), lambda x: f.z_score(x, 2)):
        with pytest.raises(BadInput, match="row 2, column 1"):
            feature(close)


def test_lookbacks_out_of_range_are_refused():
    for feature, lookback in ((f.momentum, 0), (f.z_score, 1)):
        with pytest.raises(BadInput, match="lookback"):
            feature(np.ones((3, 1)), lookback)
    with pytest.raises(BadInput, match="shape"):
        f.log_returns(np.ones(3))


@settings(max_examples=80, deadline=None)
@given(close=prices(), cut=st.integers(1, 60), factor=st.floats(0.5, 2.0))
def test_bits_do_not_depend_on_the_future_or_on_neighbours(close, cut, factor):
    cut = min(cut, len(close))
    altered = close.copy()
    altered[cut:] *= factor
    for feature in (f.log_returns, lambda x: f.momentum(x, 5), lambda x: f.z_score(x, 6)):
        whole = feature(close)
        assert whole[:cut].tobytes() == feature(close[:cut]).tobytes() == feature(altered)[:cut].tobytes()
        assert whole[:, :1].tobytes() == feature(np.asfortranarray(close)[:, :1]).tobytes()
