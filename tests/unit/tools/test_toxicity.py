"""Toxicity: hand values, a plain VPIN, chunks, pieces of one order, units, causality, real trades."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t
from statsmodels.api import OLS, add_constant

from regime_trading.core.errors import BadInput
from regime_trading.tools.toxicity import (
    Vpin,
    aggressor_share,
    amihud,
    bucket_sums,
    bulk_buy_share,
    kyle_lambda,
    own_percentile,
    past_sigma,
)

REAL = Path(os.environ.get("REGIME_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))


def real(name):
    if not (REAL / name).is_file():
        pytest.skip(f"no real data: {REAL / name} is not there (set REGIME_REAL_DATA)")
    return REAL / name


def filled(size, share, volume=10.0, n=2):
    vpin = Vpin(volume, n_buckets=n)
    vpin.update(np.arange(len(size)), np.asarray(size, float), np.asarray(share, float))
    return vpin


def flow(rng, n):
    return rng.integers(1, 40, n).astype(float), rng.integers(0, 3, n) / 2.0


# --- VPIN ---------------------------------------------------------------------------------------------------


def test_trades_are_split_at_bucket_edges():
    """6 bought, 8 sold: the first bucket takes 4 of the 8. 27 bought fill the second and the third."""
    vpin = filled([6, 8, 27], [1, 0, 1])
    np.testing.assert_allclose(vpin.imbalances(), [0.2, 0.2, 1.0, 1.0])
    np.testing.assert_array_equal(vpin.closed_ns(), [1, 2, 2, 2])
    np.testing.assert_allclose(vpin.series(), [np.nan, 0.2, 0.6, 1.0])
    assert vpin.value() == 1.0


def test_unknown_until_enough_buckets_are_full():
    assert np.isnan(filled([19.99], [1], n=2).value())
    assert filled([20.0], [1], n=2).value() == 1.0
    assert np.isnan(Vpin(5.0).value()) and Vpin(5.0).series().shape == (0,)


def test_unsigned_volume_is_half_and_half():
    np.testing.assert_array_equal(aggressor_share(np.array([1, -1, 0], np.int8)), [1.0, 0.0, 0.5])
    assert filled([10, 10], aggressor_share(np.array([0, 0], np.int8))).value() == 0.0


def test_zero_volume_is_passed_over():
    np.testing.assert_array_equal(
        filled([6, 0, 8, 0, 27], [1, 0, 0, 1, 1]).imbalances(), filled([6, 8, 27], [1, 0, 1]).imbalances()
    )


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_plain_reference_unit_by_unit(seed):
    size, share = flow(np.random.default_rng(seed), 300)
    units = np.repeat(share, size.astype(int))
    buckets = units[: len(units) // 25 * 25].reshape(-1, 25)
    expected = np.abs(2 * buckets.sum(axis=1) - 25) / 25
    vpin = filled(size, share, volume=25.0, n=7)
    np.testing.assert_allclose(vpin.imbalances(), expected, atol=1e-12)
    means = [expected[i - 6 : i + 1].mean() for i in range(6, len(expected))]
    np.testing.assert_allclose(vpin.series()[6:], means, atol=1e-12)
    assert vpin.value() == pytest.approx(vpin.series()[-1], abs=1e-15)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 200), max_size=6), st.floats(0.7, 90))
def test_cutting_the_tape_changes_nothing(seed, cuts, volume):
    rng = np.random.default_rng(seed)
    size, share = rng.exponential(8, 200), rng.random(200)
    whole, pieces = filled(size, share, volume), Vpin(volume, n_buckets=2)
    for lo, hi in itertools.pairwise([0, *sorted(cuts), 200]):
        pieces.update(np.arange(lo, hi), size[lo:hi], share[lo:hi])
    assert whole.series().tobytes() == pieces.series().tobytes()
    np.testing.assert_array_equal(whole.closed_ns(), pieces.closed_ns())
    assert len(whole.imbalances()) == pytest.approx(size.sum() / volume, abs=1.001)
    assert np.all((whole.imbalances() >= 0.0) & (whole.imbalances() <= 1.0))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_an_order_in_pieces_counts_as_the_whole(seed):
    """Several executions of one aggressive order give the toxicity of the order."""
    rng = np.random.default_rng(seed)
    size, share = flow(rng, 80)
    pieces = np.repeat(size / 4, 4), np.repeat(share, 4)
    np.testing.assert_allclose(filled(*pieces).imbalances(), filled(size, share).imbalances(), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.25, 128.0]))
def test_lots_or_shares_and_sides_do_not_matter(seed, lot):
    size, share = flow(np.random.default_rng(seed), 100)
    base = filled(size, share).series()
    np.testing.assert_array_equal(filled(size * lot, share, 10 * lot).series(), base)
    np.testing.assert_allclose(filled(size, 1 - share).series(), base, atol=1e-12)


def test_what_is_known_at_t_does_not_see_later_trades():
    size, share = flow(np.random.default_rng(3), 400)
    full, cut = filled(size, share), filled(size[:150], share[:150])
    assert full.series()[: len(cut.series())].tobytes() == cut.series().tobytes()
    change = np.random.default_rng(4).normal(size=300)
    altered = np.append(change[:120], 99.0 * change[120:])
    assert past_sigma(change)[:121].tobytes() == past_sigma(altered)[:121].tobytes()


def test_wrong_trades():
    for kwargs in ({"bucket_volume": 0.0}, {"bucket_volume": np.nan}, {"bucket_volume": 1.0, "n_buckets": 0}):
        with pytest.raises(BadInput):
            Vpin(**kwargs)
    for size, share in (
        ([-1.0], [1.0]),
        ([np.nan], [1.0]),
        ([1.0], [1.5]),
        ([1.0], [np.nan]),
        ([1.0, 2.0], [1.0]),
    ):
        with pytest.raises(BadInput):
            filled(size, share)


def test_own_percentile():
    past = np.arange(40.0)
    assert own_percentile(np.append(past, 100.0)) == 1.0 and own_percentile(np.append(past, -1.0)) == 0.0
    assert own_percentile(np.append(past, 19.5)) == 0.5 and own_percentile(np.ones(41)) == 0.5
    assert np.isnan(own_percentile(np.arange(20.0))) and np.isnan(own_percentile(np.append(past, np.nan)))
    assert own_percentile(np.concatenate([[np.nan] * 9, past, [100.0]])) == 1.0


# --- bulk volume classification -----------------------------------------------------------------------------


def test_bulk_share_is_the_distribution_function():
    z = np.array([-1.96, 0.0, 0.3, 2.5])
    np.testing.assert_allclose(bulk_buy_share(z * 0.02, 0.02), norm.cdf(z), atol=1e-15)
    np.testing.assert_allclose(bulk_buy_share(z, np.ones(4), df=0.25), t.cdf(z, 0.25), atol=1e-10)
    assert bulk_buy_share(3.0, 1.5) + bulk_buy_share(-3.0, 1.5) == pytest.approx(1.0)


def test_zero_sigma_says_nothing_and_missing_stays_missing():
    np.testing.assert_array_equal(bulk_buy_share([0.0, 1.0, -1.0], 0.0), [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(
        np.isnan(bulk_buy_share([np.nan, 1.0, np.nan], [1.0, np.nan, 0.0])), [True] * 3
    )
    for bad in ({"sigma": -1.0}, {"sigma": 1.0, "df": 0.0}):
        with pytest.raises(BadInput):
            bulk_buy_share(1.0, **bad)


def test_past_sigma_looks_back_only():
    change = np.random.default_rng(5).normal(size=60)
    change[10] = np.nan
    sigma = past_sigma(change, min_obs=5)
    assert np.isnan(sigma[:5]).all()
    for k in (5, 10, 11, 40, 59):
        assert sigma[k] == pytest.approx(np.nanstd(change[:k], ddof=1))
    with pytest.raises(BadInput):
        past_sigma(change, min_obs=1)


# --- Kyle and Amihud ----------------------------------------------------------------------------------------


def test_kyle_lambda_equals_statsmodels():
    rng = np.random.default_rng(6)
    volume = rng.normal(size=200) * 100 + 20
    move = 0.003 * volume + 0.1 + rng.normal(size=200) * 0.2
    theirs = OLS(move, add_constant(volume)).fit()
    ours = kyle_lambda(move, volume)
    assert ours.slope == pytest.approx(theirs.params[1]) and ours.r2 == pytest.approx(theirs.rsquared)
    assert ours.slope == pytest.approx(0.003, abs=4 * theirs.bse[1])
    assert kyle_lambda(move, volume * 100).slope == pytest.approx(ours.slope / 100)


def test_kyle_lambda_without_variation_is_unknown():
    assert np.isnan(kyle_lambda(np.arange(9.0), np.full(9, 5.0)).slope)
    assert np.isnan(kyle_lambda(np.arange(2.0), np.arange(2.0)).slope)
    with pytest.raises(BadInput):
        kyle_lambda(np.ones(3), np.ones(4))


def test_bucket_sums_are_half_open():
    start = np.array([100, 110, 120, 150])
    ts = np.array([99, 100, 109, 110, 119, 130, 149, 150, 159, 160])
    np.testing.assert_array_equal(bucket_sums(ts, np.ones(10), start, 10), [2, 2, 0, 2])
    np.testing.assert_array_equal(bucket_sums(ts, np.ones(10), np.empty(0, int), 10), [])
    np.testing.assert_array_equal(bucket_sums(np.array([105]), np.ones(1), np.array([100, 100]), 10), [0, 1])


def test_amihud_drops_periods_without_volume():
    r, dollars = np.array([0.01, -0.02, 0.05, np.nan, 0.01]), np.array([1e6, 4e6, 0.0, 1e6, np.nan])
    assert amihud(r, dollars) == pytest.approx((0.01 + 0.005) / 2)
    assert np.isnan(amihud(r, np.zeros(5))) and np.isnan(amihud(np.empty(0), np.empty(0)))
    for bad in (-dollars, dollars[:3]):
        with pytest.raises(BadInput):
            amihud(r, bad)


# --- real trades --------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_btc_trades():
    tape = pl.read_parquet(real("btcusdt_trades_2021-01-08.parquet"))
    size = tape["size"].to_numpy()
    share = (tape["aggressor"] == "B").to_numpy().astype(float)
    vpin = Vpin(float(size.sum()) / 60, n_buckets=20)
    vpin.update(tape["ts_event"].to_physical().to_numpy(), size, share)
    assert len(vpin.imbalances()) in (59, 60)
    assert 0.2 < vpin.value() < 1.0 and np.all(np.diff(vpin.closed_ns()) >= 0)
    bought = (size * share).sum()
    assert np.mean(vpin.imbalances()) > abs(2 * bought - size.sum()) / size.sum()
