"""Tiers from one source: longer bars are made, finer ones are unavailable, nothing depends on what follows."""

from __future__ import annotations

from functools import cache

import numpy as np

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.core.schemas import PriceWindow
from regime_trading.engine.detection import DetectionParams, detect
from regime_trading.engine.tiers import market_window, tier_regimes, tier_windows

MINUTE = 60_000_000_000
T0 = 1_640_995_200_000_000_000  # 2022-01-01T00:00Z
TIERS = {"LT": 86_400, "MT": 14_400, "ST": 900}
PARAMS = DetectionParams(model="jump", min_obs=120, structure_window=504)
calendar = cache(ExchangeCalendar)


def minutes(n: int, seed: int = 1) -> PriceWindow:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, (n, 1)), axis=0))
    return PriceWindow(("BTC",), T0 + 15 * MINUTE * np.arange(1, n + 1), close)


def test_every_tier_of_a_quarter_hour_source() -> None:
    window = minutes(40 * 96 + 7)
    own = detect(window, PARAMS, rows=False)[0].regime
    lt, mt, st = tier_regimes(window, own, TIERS, 900, calendar("24/7"), PARAMS)
    assert (lt.tier, lt.label, lt.reason) == ("LT", "uncertain", "fewer valid returns than min_obs")
    assert mt.label is not None and mt.risk_state is not None
    assert (st.label, st.confidence) == (own.label, own.confidence)


def test_a_finer_tier_is_unavailable_and_says_so() -> None:
    window = PriceWindow(("X",), T0 + 86_400_000_000_000 * np.arange(1, 301), np.linspace(1, 2, 300)[:, None])
    own = detect(window, PARAMS, rows=False)[0].regime
    lt, mt, st = tier_regimes(window, own, TIERS, 86_400, calendar("24/7"), PARAMS)
    assert lt.label == own.label
    for tier in (mt, st):
        assert tier.label is None and tier.reason == "unavailable: the source has bars of 86400 s"


def test_sessions_end_the_last_bar_of_the_day() -> None:
    """New York closes at 21:00Z in winter: 4 h bars end at 16:00, 20:00 and 21:00, the daily bar at 21:00."""
    day = np.datetime64("2022-01-04", "ns").astype(np.int64)
    ts = day + MINUTE * np.arange(14 * 60 + 45, 21 * 60 + 1, 15)
    window = PriceWindow(("X",), ts, np.linspace(1, 2, len(ts))[:, None])
    made = tier_windows(window, TIERS, 900, calendar("XNYS"))
    assert made["MT"] is not None and made["LT"] is not None
    assert ((made["MT"].ts_ns - day) // (60 * MINUTE)).tolist() == [16, 20, 21]
    assert ((made["LT"].ts_ns - day) // (60 * MINUTE)).tolist() == [21]


def test_the_past_of_a_tier_keeps_its_bits() -> None:
    whole, cut = minutes(2000), minutes(2000).until(T0 + 15 * MINUTE * 1337)
    for name in TIERS:
        early = tier_windows(cut, TIERS, 900, calendar("24/7"))[name]
        late = tier_windows(whole, TIERS, 900, calendar("24/7"))[name]
        assert early is not None and late is not None
        assert early.close.tobytes() == late.close[: len(early.ts_ns)].tobytes()


def test_the_market_series_is_the_proxy_or_the_growth_of_the_stand_in() -> None:
    window = minutes(5)
    assert market_window(window, "BTC", np.zeros(5)).close.tobytes() == window.close.tobytes()
    grown = market_window(window, "equal-weighted", np.array([np.nan, 0.1, np.nan, -0.1, 0.0])).close[:, 0]
    assert np.isnan(grown[[0, 2]]).all()
    assert np.allclose(grown[[1, 3, 4]], [100 * np.exp(0.1), 100, 100])
