"""Bar spreads: published formulas re-derived, simulations with a known spread, and the zone where none is."""

from __future__ import annotations

import os
from pathlib import Path

import bidask
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.tools.bar_spreads import (
    abdi_ranaldo,
    bar_spreads,
    corwin_schultz,
    edge_spread,
    jackknife_error,
    roll_spread,
)

REAL = Path(os.environ.get("REGIME_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))


def real(name):
    if not (REAL / name).is_file():
        pytest.skip(f"no real data: {REAL / name} is not there (set REGIME_REAL_DATA)")
    return REAL / name


def bars(rng, n, spread, vol=0.02, trades=390, gap=0.0, garch=False, trade_share=1.0):
    """Daily bars of trades that bounce around a geometric Brownian (or GARCH-t) mid."""
    sd, h = np.full(n, vol), vol**2
    for i in range(n if garch else 0):
        sd[i] = np.sqrt(h)
        h = 0.02 * vol**2 + 0.1 * (sd[i] * rng.standard_t(5)) ** 2 * 0.6 + 0.88 * h
    r = rng.standard_normal((n, trades)) * sd[:, None] / np.sqrt(trades)
    r[:, 0] += gap * vol * rng.standard_normal(n)
    price = 100 * np.exp(np.cumsum(r.ravel())).reshape(n, trades)
    price *= 1 + spread / 2 * rng.choice([-1, 1], (n, trades))
    seen = rng.random((n, trades)) < trade_share
    seen[:, 0] |= ~seen.any(axis=1)
    first, last = seen.argmax(axis=1), trades - 1 - seen[:, ::-1].argmax(axis=1)
    rows = np.arange(n)
    high, low = np.where(seen, price, -np.inf).max(axis=1), np.where(seen, price, np.inf).min(axis=1)
    return price[rows, first], high, low, price[rows, last]


def plain_edge(open, high, low, close):
    """Ardia, Guidotti & Kroencke (2024), equations by loops over days, without missing bars."""
    o, h, lo, c = (np.log(x) for x in (open, high, low, close))
    eta = (h + lo) / 2
    days = range(1, len(o))
    tau = [float(h[t] != lo[t] or lo[t] != c[t - 1]) for t in days]
    p_tau = np.mean(tau)
    p_open = np.mean([tau[t - 1] * ((o[t] != h[t]) + 0.0) for t in days])
    p_open += np.mean([tau[t - 1] * ((o[t] != lo[t]) + 0.0) for t in days])
    p_close = np.mean([tau[t - 1] * ((c[t - 1] != h[t - 1]) + 0.0) for t in days])
    p_close += np.mean([tau[t - 1] * ((c[t - 1] != lo[t - 1]) + 0.0) for t in days])

    def centred(x):
        return [v - np.mean(x) / p_tau * w for v, w in zip(x, tau, strict=True)]

    eta_o = centred([eta[t] - o[t] for t in days])
    eta_c = centred([eta[t] - c[t - 1] for t in days])
    o_c = centred([o[t] - c[t - 1] for t in days])
    x1, x2 = [], []
    for i, t in enumerate(days):
        before, last = o[t] - eta[t - 1], c[t - 1] - eta[t - 1]
        x1.append(-4 / p_open * eta_o[i] * before - 4 / p_close * eta_c[i] * last)
        x2.append(-4 / p_open * eta_o[i] * (o[t] - c[t - 1]) - 4 / p_close * o_c[i] * last)
    v1, v2 = np.var(x1), np.var(x2)
    square = (v2 * np.mean(x1) + v1 * np.mean(x2)) / (v1 + v2)
    return np.sign(square) * np.sqrt(abs(square))


def plain_corwin_schultz(high, low, close):
    out = []
    for t in range(1, len(high)):
        h2, l2 = high[t], low[t]
        shift = close[t - 1] / l2 if l2 > close[t - 1] else close[t - 1] / h2 if h2 < close[t - 1] else 1.0
        h2, l2 = h2 * shift, l2 * shift
        beta = np.log(high[t - 1] / low[t - 1]) ** 2 + np.log(h2 / l2) ** 2
        gamma = np.log(max(high[t - 1], h2) / min(low[t - 1], l2)) ** 2
        alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / (3 - 2**1.5) - np.sqrt(gamma / (3 - 2**1.5))
        out.append(max(0.0, 2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha))))
    return np.mean(out)


# --- the estimators -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_edge_equals_its_package_and_its_equations(seed):
    rng = np.random.default_rng(seed)
    b = bars(rng, 120, 0.02 * (seed % 2), trades=12, trade_share=0.4)
    assert edge_spread(*b) == pytest.approx(bidask.edge(*b, sign=True), abs=1e-8)
    if np.all(b[1] > b[2]):
        assert edge_spread(*b) == pytest.approx(plain_edge(*b), abs=1e-8)


def test_edge_equals_its_equations_on_liquid_bars():
    b = bars(np.random.default_rng(50), 300, 0.01)
    assert edge_spread(*b) == pytest.approx(plain_edge(*b), abs=1e-10)


def test_edge_keeps_the_sign_of_the_root():
    found = [edge_spread(*bars(np.random.default_rng(s), 60, 0.0)) for s in range(40)]
    assert min(found) < 0.0 < max(found) and abs(np.median(found)) < 0.01


def test_roll_by_hand_and_undefined_where_covariance_is_positive():
    """A pure bounce of ±1 % around 100: the covariance of changes is −s²/4 in the limit of a random side."""
    side = np.random.default_rng(1).choice([-1, 1], 4000)
    assert roll_spread(100 * (1 + 0.01 * side)) == pytest.approx(0.02, rel=0.05)
    alternating = 100 * np.exp(0.01 * (-1.0) ** np.arange(9))
    assert roll_spread(alternating) == pytest.approx(0.04, rel=0.02)
    assert np.isnan(roll_spread(100 * np.exp(np.cumsum(np.repeat([0.01, -0.01], 20)))))


@pytest.mark.parametrize("gap", [0.0, 2.0])
def test_corwin_schultz_equals_plain_loops(gap):
    b = bars(np.random.default_rng(2), 300, 0.02, gap=gap)
    assert corwin_schultz(*b[1:]) == pytest.approx(plain_corwin_schultz(*b[1:]), rel=1e-10)


def test_corwin_schultz_takes_the_overnight_gap_out():
    """Days that close at their low and open higher give what they give without the gap."""
    high, low = np.full(3, 101.0), np.full(3, 99.0)
    gap = np.exp([0.0, 0.1, 0.2])
    without = corwin_schultz(high, low, low)
    assert without == pytest.approx(np.log(101 / 99), rel=1e-3)
    assert corwin_schultz(high * gap, low * gap, low * gap) == pytest.approx(without, rel=1e-9)
    assert corwin_schultz(high / gap, low / gap, high / gap) == pytest.approx(without, rel=1e-9)


def test_corwin_schultz_counts_a_negative_pair_as_zero():
    """A two-day range wide against the days' own has a negative estimate."""
    trend = np.exp(0.02 * np.arange(30))
    assert corwin_schultz(101 * trend, 99 * trend, 100.9 * trend) == 0.0
    still = np.concatenate([np.full(29, 1.0), [np.exp(0.02)]])
    pairs = corwin_schultz(101 * still, 99 * still, 100.9 * still)
    assert pairs == pytest.approx(np.log(101 / 99) * 28 / 29, rel=1e-3)


def test_abdi_ranaldo_by_hand():
    b = bars(np.random.default_rng(3), 200, 0.03)
    h, lo, c = (np.log(x) for x in b[1:])
    eta = (h + lo) / 2
    expected = np.mean([4 * (c[t] - eta[t]) * (c[t] - eta[t + 1]) for t in range(199)])
    assert abdi_ranaldo(*b[1:]) == pytest.approx(np.sqrt(max(0.0, expected)))


@pytest.mark.parametrize("true", [0.02, 0.05])
def test_all_find_a_wide_spread(true):
    found = []
    for seed in range(30):
        o, h, lo, c = bars(np.random.default_rng(seed), 500, true)
        found.append(
            [edge_spread(o, h, lo, c), roll_spread(c), corwin_schultz(h, lo, c), abdi_ranaldo(h, lo, c)]
        )
    edge, roll, cs, ar = np.nanmedian(found, axis=0)
    assert edge == pytest.approx(true, rel=0.1) and ar == pytest.approx(true, rel=0.15)
    assert roll == pytest.approx(true, rel=0.4) and cs == pytest.approx(true, rel=0.4)


def test_fewer_than_three_bars_or_flat_bars_are_unknown():
    flat, two = np.full(50, 100.0), np.array([100.0, 101.0])
    for x in (flat, two, np.empty(0), np.full(50, np.nan)):
        assert np.isnan(
            [edge_spread(x, x, x, x), roll_spread(x), corwin_schultz(x, x, x), abdi_ranaldo(x, x, x)]
        ).all()
    wide = edge_spread(two, two * 1.01, two * 0.99, two)
    assert np.isnan(wide)


def test_bars_that_are_not_whole_are_missing():
    b = bars(np.random.default_rng(4), 200, 0.03)
    holed = [x.copy() for x in b]
    for k, (column, value) in {
        20: (0, np.nan),
        60: (1, 0.0),
        90: (2, -1.0),
        120: (3, 1e9),
        150: (1, np.inf),
    }.items():
        holed[column][k] = value
    whole = np.ones(200, bool)
    whole[[20, 60, 90, 120, 150]] = False
    nan = [np.where(whole, x, np.nan) for x in b]
    assert edge_spread(*holed) == edge_spread(*nan) == pytest.approx(edge_spread(*b), rel=0.15)
    out = bar_spreads(*holed)
    assert out.identified and out.n_bars == 195
    assert out.corwin_schultz_bps == pytest.approx(1e4 * corwin_schultz(*nan[1:]))
    assert out.abdi_ranaldo_bps == pytest.approx(1e4 * abdi_ranaldo(*nan[1:]))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1e-3, 1.0, 250.0]), st.integers(0, 1000))
def test_currency_does_not_matter(unit, seed):
    b = bars(np.random.default_rng(seed), 60, 0.03, trades=20)
    one, other = bar_spreads(*b), bar_spreads(*[x * unit for x in b])
    assert one.identified == other.identified
    if one.identified:
        assert other.edge_bps == pytest.approx(one.edge_bps, rel=1e-6)


# --- identified or not --------------------------------------------------------------------------------------

WORLDS = {
    "liquid": {},
    "calm": {"vol": 0.005},
    "wild": {"vol": 0.04},
    "gaps": {"gap": 0.7},
    "garch_t": {"garch": True},
    "few_trades": {"trade_share": 0.02},
}


def share_identified(paths, n, spread, close_only=False, first=0, **world):
    found = 0
    for seed in range(first, first + paths):
        o, h, lo, c = bars(np.random.default_rng(seed), n, spread, **world)
        found += (bar_spreads(None, None, None, c) if close_only else bar_spreads(o, h, lo, c)).identified
    return found / paths


@pytest.mark.parametrize("world", WORLDS)
def test_no_spread_is_not_identified(world):
    assert share_identified(60, 250, 0.0, **WORLDS[world]) <= 0.05


@pytest.mark.full
@pytest.mark.parametrize("n", [30, 60, 250, 1000])
@pytest.mark.parametrize("world", WORLDS)
def test_no_spread_is_not_identified_in_95_of_100(world, n):
    share = share_identified(300, n, 0.0, first=1000, **WORLDS[world])
    print(f"no spread, {world}, {n} bars: identified {share:.1%}")
    assert share <= 0.05


def test_closing_prices_without_a_spread():
    assert share_identified(200, 250, 0.0, close_only=True) <= 0.05
    assert share_identified(60, 250, 0.0, close_only=True, garch=True) <= 0.05


def test_three_percent_is_identified_and_tiny_spreads_are_not():
    """Below half a percent on daily bars every estimator is noise."""
    assert share_identified(60, 250, 0.03) >= 0.9
    assert share_identified(60, 250, 0.003) <= 0.05
    assert share_identified(20, 250, 0.05, close_only=True) >= 0.8


def test_what_is_identified_is_near_the_truth():
    out = bar_spreads(*bars(np.random.default_rng(5), 500, 0.03))
    assert out.identified and out.reason == "" and out.n_bars == 500
    assert out.edge_bps == pytest.approx(300, rel=0.15)
    assert out.abdi_ranaldo_bps == pytest.approx(300, rel=0.25)
    assert out.corwin_schultz_bps > 100 and (out.roll_bps is None or out.roll_bps > 100)
    closes = bar_spreads(None, None, None, bars(np.random.default_rng(5), 500, 0.05)[3])
    assert closes.identified and closes.roll_bps == pytest.approx(500, rel=0.3) and closes.edge_bps is None


def test_not_identified_gives_no_number_and_says_why():
    def why(*b, **kwargs):
        out = bar_spreads(*b, **kwargs)
        assert not out.identified and out.reason.startswith("not identified: ")
        assert {out.edge_bps, out.roll_bps, out.corwin_schultz_bps, out.abdi_ranaldo_bps} == {None}
        return out.reason

    b = bars(np.random.default_rng(6), 250, 0.03)
    assert "29 complete bars, at least 30 needed" in why(*[x[:29] for x in b])
    assert "at least 3 needed" in why(*[x[:2] for x in b], min_bars=1)
    assert "do not vary" in why(*[np.full(50, 7.0)] * 4)
    reasons = [why(*bars(np.random.default_rng(s), 250, 0.0)) for s in range(12)]
    assert any("EDGE finds no spread in 250 bars" in r for r in reasons)
    assert any("is within sampling noise" in r for r in reasons)
    long = bars(np.random.default_rng(7), 6000, 0.006, vol=0.03, trades=60)
    assert "small against the volatility of a bar" in why(*long)
    assert bar_spreads(*long, floor_volatility=0.0).identified


def test_serial_correlation_of_returns_is_not_taken_for_a_spread():
    """A correlation of −1 % over many bars is significant and yet no spread."""
    rng = np.random.default_rng(8)
    e = 0.02 * rng.standard_normal(60_001)
    close = 100 * np.exp(np.cumsum(e[1:] - 0.012 * e[:-1]) * 0.05)
    out = bar_spreads(None, None, None, close)
    assert not out.identified and "volatility" in out.reason
    assert bar_spreads(None, None, None, close, floor_volatility=0.0).identified


def test_the_jackknife_error_of_a_mean_is_that_of_its_block_means():
    x = np.random.default_rng(9).normal(size=2000)
    expected = x.reshape(20, 100).mean(axis=1).std(ddof=1) / np.sqrt(20)
    assert jackknife_error((x,), lambda a: float(np.nanmean(a[0]))) == pytest.approx(expected, rel=1e-9)


def test_only_the_bars_passed_in_are_used():
    b = bars(np.random.default_rng(10), 400, 0.03)
    kept = bar_spreads(*[x[:250] for x in b])
    for x in b:
        x[250:] *= 3.0
    assert bar_spreads(*[x[:250] for x in b]) == kept


def test_wrong_input():
    x = np.full(5, 10.0)
    for call in (
        lambda: edge_spread(x, x, x, x[:4]),
        lambda: corwin_schultz(x, x[:4], x),
        lambda: abdi_ranaldo(x[:4], x, x),
        lambda: bar_spreads(None, x, x, x),
        lambda: bar_spreads(x, x, x[:4], x),
    ):
        with pytest.raises(BadInput):
            call()


# --- real bars ----------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_liquid_real_bars_identify_nothing():
    """The true spread of both is near one basis point of price and below a tenth of the volatility of a day."""
    tape = pl.read_parquet(real("btcperp_1m_2022-01.parquet"))
    day = tape.group_by_dynamic("ts_event", every="4h").agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last()
    )
    out = bar_spreads(*[day[c].to_numpy() for c in ("open", "high", "low", "close")])
    assert not out.identified and out.n_bars > 150
    tape = pl.read_parquet(real("usdjpy_m1_bidask_2013-02.parquet"))
    hours = tape.group_by_dynamic("ts_event", every="1h").agg(
        pl.col("bid_open").first(),
        pl.col("bid_high").max(),
        pl.col("bid_low").min(),
        pl.col("bid_close").last(),
    )
    assert not bar_spreads(*[hours[c].to_numpy() for c in hours.columns[1:]]).identified
