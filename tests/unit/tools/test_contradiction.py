from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.tools.contradiction import (
    WEEK_BARS,
    block_opinion,
    block_returns,
    confidence_cap,
    volatility_opinion,
)

MODEL = {"n_states": 2, "penalty": 50.0, "min_obs": 504, "refit_every": 126, "seed": 1}


def calm_then_wild(calm: int = 2500, wild: int = 150, seed: int = 5) -> np.ndarray:
    """Quiet years with two wild half-years in them, then ``wild`` wild days at the end."""
    rng = np.random.default_rng(seed)
    scale = np.full(calm + wild, 0.006)
    scale[800:920] = scale[1700:1820] = 0.03
    scale[calm:] = 0.03
    drift = np.where(scale > 0.02, -0.002, 0.0005)
    return rng.normal(drift, scale)


@given(st.integers(1, 60), st.integers(1, 7))
def test_blocks_end_at_the_last_bar_and_add_up(n: int, block: int) -> None:
    r = np.random.default_rng(n).normal(size=n)
    got = block_returns(r, block)
    assert len(got) == n // block
    for k in range(len(got)):
        assert got[-1 - k] == pytest.approx(r[n - (k + 1) * block : n - k * block].sum())


def test_a_missing_bar_is_no_hole_and_an_empty_block_is_unknown() -> None:
    r = np.array([0.1, np.nan, 0.2, np.nan, np.nan, np.nan])
    assert block_returns(r, 3).tolist()[0] == pytest.approx(0.3)
    assert np.isnan(block_returns(r, 3)[1])


def test_a_turbulent_end_is_seen_by_both_and_a_calm_one_by_neither() -> None:
    wild = calm_then_wild()
    calm = wild[:2500]
    assert block_opinion(wild, WEEK_BARS, **MODEL).turbulent is True
    assert block_opinion(calm, WEEK_BARS, **MODEL).turbulent is False
    assert volatility_opinion(wild, 0.2).turbulent is True
    assert volatility_opinion(calm, 0.2).turbulent is False


def test_too_little_data_is_no_opinion_with_a_reason() -> None:
    assert block_opinion(np.zeros(3), WEEK_BARS, **MODEL).turbulent is None
    short = block_opinion(calm_then_wild()[:300], WEEK_BARS, **MODEL)
    assert short.turbulent is None and "60 bars of 5 days" in short.detail
    assert volatility_opinion(np.zeros(270), 0.2).turbulent is None
    assert volatility_opinion(np.random.default_rng(1).normal(size=271), 0.2).turbulent is not None


@settings(max_examples=30)
@given(st.floats(0, 1))
def test_the_base_rate_of_the_volatility_opinion_is_the_share(share: float) -> None:
    r = np.random.default_rng(3).normal(size=900)
    spread = np.lib.stride_tricks.sliding_window_view(r, 20).std(axis=1)
    said = np.mean(spread >= np.quantile(spread, 1.0 - share))
    assert abs(said - share) <= 2 / len(spread)
    assert volatility_opinion(r, share).turbulent == bool(spread[-1] >= np.quantile(spread, 1.0 - share))


def test_bad_parameters_are_refused() -> None:
    for call in (
        lambda: volatility_opinion(np.zeros(5), 1.5),
        lambda: volatility_opinion(np.zeros(5), 0.5, window=1),
        lambda: block_returns(np.zeros((2, 2)), 1),
        lambda: block_returns(np.zeros(4), 0),
    ):
        with pytest.raises(BadInput):
            call()


def test_the_cap_only_ever_falls_with_disagreement() -> None:
    assert confidence_cap((True, True), 0.5, 0.25) == 1.0
    assert confidence_cap((True, False), 0.5, 0.25) == 0.5
    assert confidence_cap((False, False), 0.5, 0.25) == 0.25
