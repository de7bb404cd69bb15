"""Risk: against pandas and scikit-learn, unknowns that stay unknown, bits under truncation and threads."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.datasets import load_sp500_dataset
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from regime_trading.core.errors import BadInput
from regime_trading.tools import risk as r
from regime_trading.tools.features import log_returns

NAN = math.nan


@pytest.fixture(scope="module")
def sp500():
    return log_returns(load_sp500_dataset().to_numpy())


@st.composite
def windows(draw):
    rows, columns = draw(st.integers(2, 80)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    returns = rng.standard_normal((rows, columns)) * 0.01
    returns[rng.random((rows, columns)) < draw(st.sampled_from([0.0, 0.05, 0.5]))] = NAN
    for i in np.flatnonzero(rng.random(columns) < 0.2):
        returns[:, i] = 0.0
    return returns


# --- volatility -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(returns=windows(), halflife=st.floats(0.5, 60), min_obs=st.integers(1, 30))
def test_ewma_equals_pandas_on_the_known_returns(returns, halflife, min_obs):
    ours = r.ewma_volatility(returns, halflife, min_obs=min_obs)
    frame = pd.DataFrame(returns**2)
    reference = np.sqrt(frame.ewm(halflife=halflife, ignore_na=True).mean()).to_numpy()
    few = np.cumsum(~np.isnan(returns), axis=0) < min_obs
    reference = np.where(few | (reference == 0), NAN, reference)
    np.testing.assert_allclose(ours, reference, rtol=1e-9)


def test_a_missing_return_leaves_the_state():
    returns = np.array([[0.01], [0.02], [NAN], [0.03]])
    holed, plain = (r.ewma_volatility(x, 5, min_obs=1)[:, 0] for x in (returns, returns[[0, 1, 3]]))
    assert holed[2] == holed[1] and holed[[0, 1, 3]].tobytes() == plain.tobytes()


def test_no_variance_is_missing_and_not_riskless():
    assert np.isnan(r.daily_sigma(np.zeros((100, 1)))).all()


def test_daily_sigma_is_the_larger_and_rises_faster_than_it_falls(sp500):
    sigma = r.daily_sigma(sp500, min_obs=20)
    fast, slow = (r.ewma_volatility(sp500, h, min_obs=20) for h in (5, 40))
    known = ~np.isnan(sigma)
    assert (sigma[known] >= fast[known]).all() and (sigma[known] >= slow[known]).all()
    assert ((sigma == fast) | (sigma == slow))[known].all()
    assert (sigma == fast)[known].any() and (sigma == slow)[known].any()
    assert np.isnan(sigma[:20]).all()
    flat = load_sp500_dataset().columns.get_loc("RRC")  # its first 69 closes are one and the same number
    assert np.isnan(sigma[20:]).sum() == np.isnan(sigma[20:69, flat]).sum() == 49


@settings(max_examples=40, deadline=None)
@given(returns=windows(), cut=st.integers(1, 80))
def test_volatility_bits_do_not_depend_on_the_future(returns, cut):
    altered = returns.copy()
    altered[cut:] = 9.0
    for measure in (lambda x: r.daily_sigma(x, min_obs=3), r.observations):
        assert measure(returns)[:cut].tobytes() == measure(returns[:cut]).tobytes()
        assert measure(returns)[:cut].tobytes() == measure(altered)[:cut].tobytes()


def test_observations_count_valid_returns():
    assert r.observations(np.array([[NAN, 0.0], [0.1, NAN]])).tolist() == [[0, 1], [1, 1]]


def test_volatility_refuses_what_it_cannot_use():
    for halflife, min_obs, value in ((0.0, 1, 0.0), (NAN, 1, 0.0), (5.0, 0, 0.0), (5.0, 1, math.inf)):
        with pytest.raises(BadInput):
            r.ewma_volatility(np.full((3, 1), value), halflife, min_obs=min_obs)


# --- correlation ------------------------------------------------------------------------------------------


def test_correlation_equals_scikit_learn_on_real_returns(sp500):
    window = sp500[2000:2252]
    reference = LedoitWolf().fit(StandardScaler().fit_transform(window)).covariance_
    ours = r.shrunk_correlation(window)
    np.testing.assert_allclose(ours, reference, atol=1e-12)
    plain = np.corrcoef(window.T)
    off = ~np.eye(20, dtype=bool)
    assert (np.abs(ours[off]) < np.abs(plain[off])).all()


@settings(max_examples=150, deadline=None)
@given(returns=windows(), min_obs=st.integers(2, 40))
def test_correlation_is_exact_where_it_must_be_and_unknown_is_whole(returns, min_obs):
    c = r.shrunk_correlation(returns, min_obs=min_obs)
    known = ~np.isnan(np.diagonal(c))
    assert (np.isnan(c) == ~np.outer(known, known)).all()
    part = c[np.ix_(known, known)]
    assert (part == part.T).all() and (np.diagonal(part) == 1.0).all() and (np.abs(part) <= 1.0).all()
    valid = (~np.isnan(returns)).sum(axis=0)
    assert not known[valid < min_obs].any()
    assert not known[np.nanmax(np.where(np.isnan(returns), 0, np.abs(returns)), axis=0) == 0].any()
    if known.any():
        assert (~np.isnan(returns[:, known])).all(axis=1).sum() >= min_obs
        assert 1.0 <= r.condition_number(c) <= math.inf


def test_a_young_symbol_is_unknown_and_the_others_keep_their_history(sp500):
    window = sp500[2000:2252].copy()
    window[:-59, 4] = NAN
    c = r.shrunk_correlation(window, min_obs=60)
    assert np.isnan(c[4]).all() and np.isnan(c[:, 4]).all() and np.isnan(c).sum() == 39
    others = np.delete(np.arange(20), 4)
    assert (
        c[np.ix_(others, others)].tobytes() == r.shrunk_correlation(window[:, others], min_obs=60).tobytes()
    )


def test_complete_cases_gives_up_the_emptiest_and_latest_symbol_first():
    returns = np.random.default_rng(0).standard_normal((10, 4))
    returns[:4, 1], returns[6:, 3] = NAN, NAN
    columns, rows = r.complete_cases(returns, min_obs=5, min_rows=5)
    assert columns.tolist() == [True, True, True, False]
    assert rows.tolist() == [False] * 4 + [True] * 6
    columns, rows = r.complete_cases(returns, min_obs=7, min_rows=5)
    assert columns.tolist() == [True, False, True, False] and rows.all()
    columns, rows = r.complete_cases(returns, min_obs=11, min_rows=5)
    assert not columns.any() and not rows.any()


def test_condition_number():
    assert r.condition_number(np.diag([1.0, 4.0, NAN])) == 4.0
    assert r.condition_number(np.ones((2, 2))) > 1e12
    assert math.isnan(r.condition_number(np.full((2, 2), NAN)))
    with pytest.raises(BadInput):
        r.condition_number(np.array([[1.0, NAN], [NAN, 1.0]]))


def test_correlation_refuses_what_it_cannot_use():
    with pytest.raises(BadInput):
        r.shrunk_correlation(np.zeros((5, 2)), min_obs=1)
    with pytest.raises(BadInput):
        r.shrunk_correlation(np.full((5, 2), math.inf))


def test_correlation_bits_do_not_depend_on_the_number_of_threads():
    window = np.random.default_rng(1).standard_normal((252, 151))
    results = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads, user_api="blas"):
            results.append(r.shrunk_correlation(window).tobytes())
    assert results[0] == results[1]
