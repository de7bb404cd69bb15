"""Controls: against a wallet that walks bar by bar, with lag and cost, and bits under truncation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.datasets import load_sp500_index

from regime_trading.core.errors import BadInput
from regime_trading.tools import controls as c
from regime_trading.tools.performance import equity_curve, performance

NAN = math.nan
CONTROLS = (
    c.control_buy_and_hold,
    lambda x: c.control_moving_average(x, 10),
    lambda x: c.control_volatility_rule(x, 8, target=0.1),
)


@st.composite
def closes(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    close = 100 * np.exp(np.cumsum(rng.standard_normal(draw(st.integers(1, 70))) * 0.02))
    close[rng.random(close.size) < draw(st.sampled_from([0.0, 0.2]))] = NAN
    return close


def wallet(close, position, cost_bps):
    """Equity of cash and shares; orders decided at one known close are filled at the next."""
    cash, shares, waiting, path = 1.0, 0.0, None, []
    for price, share in zip(close, position, strict=True):
        if not math.isnan(price):
            equity = cash + shares * price
            if waiting is not None:
                traded = abs(waiting - shares * price / equity)
                equity *= 1 - traded * cost_bps / 1e4
                shares = waiting * equity / price
                cash = equity - shares * price
            waiting = share
        path.append(cash + shares * price if not math.isnan(price) else NAN)
    return np.array(path)


@settings(max_examples=80, deadline=None)
@given(close=closes(), seed=st.integers(0, 99), cost=st.sampled_from([0.0, 10.0, 200.0]))
def test_rule_returns_equal_a_wallet(close, seed, cost):
    position = np.random.default_rng(seed).choice([0.0, 0.3, 1.0], size=close.size)
    returns = c.rule_returns(close, position, cost_bps=cost)
    known = ~np.isnan(close)
    np.testing.assert_allclose(equity_curve(returns)[known], wallet(close, position, cost)[known], rtol=1e-12)
    assert np.isnan(returns).sum() == (~known).sum() + bool(known.any())


def test_buy_and_hold_pays_once_and_misses_the_first_two_bars():
    returns = c.control_buy_and_hold(np.array([100.0, 110.0, 121.0, NAN, 242.0]), cost_bps=50)
    np.testing.assert_allclose(returns, [NAN, -0.005, 0.1, NAN, 1.0])


def test_moving_average_by_hand():
    close = np.array([10.0, 11.0, 9.0, 10.5, 12.0, 13.0])  # above its 2-bar mean at 1, 3, 4, 5
    returns = c.control_moving_average(close, 2, cost_bps=100)
    step = np.append(NAN, close[1:] / close[:-1] - 1)
    np.testing.assert_allclose(returns, [NAN, 0, -0.01, (1 + step[3]) * 0.99 - 1, -0.01, step[5]])


def test_volatility_rule_scales_without_leverage():
    rng = np.random.default_rng(2)
    close = 100 * np.exp(
        np.cumsum(np.append(rng.standard_normal(300) * 0.004, rng.standard_normal(300) * 0.04))
    )
    returns = c.control_volatility_rule(close, 20, target=0.15, cost_bps=0)
    asset = np.append(NAN, close[1:] / close[:-1] - 1)
    np.testing.assert_array_equal(returns[30:300], asset[30:300])
    assert np.nanstd(returns[330:]) * math.sqrt(252) == pytest.approx(0.15, rel=0.25)
    assert np.nanstd(asset[330:]) * math.sqrt(252) > 0.5
    still = c.control_volatility_rule(np.append(np.full(30, 50.0), 60.0), 20, cost_bps=10)
    assert np.nanmax(np.abs(still)) == 0


@settings(max_examples=60, deadline=None)
@given(close=closes(), cut=st.integers(1, 70), factor=st.floats(0.5, 2))
def test_bits_do_not_depend_on_the_future(close, cut, factor):
    altered = close.copy()
    altered[cut:] *= factor
    for control in CONTROLS:
        whole = control(close)
        assert whole[:cut].tobytes() == control(close[:cut]).tobytes() == control(altered)[:cut].tobytes()


def test_refusals_and_short_histories():
    with pytest.raises(BadInput, match="row 1"):
        c.control_buy_and_hold(np.array([1.0, 0.0]))
    with pytest.raises(BadInput):
        c.control_moving_average(np.ones(5), 1)
    with pytest.raises(BadInput):
        c.control_volatility_rule(np.ones(5), 2, target=0.0)
    for cost, share in ((-1.0, 1.0), (10.0, 1.5), (10.0, NAN)):
        with pytest.raises(BadInput):
            c.rule_returns(np.ones(5), np.full(5, share), cost_bps=cost)
    for control in CONTROLS:
        assert np.isnan(control(np.full(4, NAN))).all() and control(np.empty(0)).size == 0
        assert np.nan_to_num(control(np.array([1.0, 2.0]))).tolist()[0] == 0


def test_on_the_index_the_average_halves_the_fall_and_costs_are_seen():
    close = load_sp500_index().to_numpy()[:, 0]
    rule, free = (performance(c.control_moving_average(close, cost_bps=x)) for x in (10.0, 0.0))
    held = performance(c.control_buy_and_hold(close))
    assert rule.max_drawdown > held.max_drawdown / 2 and rule.annual_volatility < held.annual_volatility
    assert rule.total_return < free.total_return
