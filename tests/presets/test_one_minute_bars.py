"""Packs on one-minute bars, through the history loop: orders fill a bar later, days end at the minute they should.

Prices move by the same amount every minute, so that the minute at which a circuit acts can be worked out by hand. The
account asks for its whole equity in lots so large that it holds two, and one when it is throttled to a half. Bar 0
decides, bar 1 fills; where half the equity a bar is the most that opens (XL-06), bar 2 fills the second lot.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from tests.history_samples import FREE, market
from tests.presets.runner import packs, profile_of

from regime_trading.adapters.config_files import Configuration
from regime_trading.core.numbers import to_nano
from regime_trading.core.rules import RULE_IDS, Release, TradingState
from regime_trading.core.schemas import InstrumentSpec
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.core.trading_day import trading_day_ids
from regime_trading.engine.attempts import attempt_terms
from regime_trading.engine.backtest import BasketPath, HistoryInputs, HistoryResult, run_history
from regime_trading.engine.cycle import Desk
from regime_trading.engine.facts import fact_path
from regime_trading.engine.record import Identity
from regime_trading.guards.snapshot import stack_params
from regime_trading.guards.verdict import BOUND

MINUTE_NS = 60 * 10**9


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    return packs(tmp_path_factory.mktemp("packs"))


def run(profile: TraderProfile, start: str, price: np.ndarray, spec: InstrumentSpec) -> HistoryResult:
    """An account that always asks for its whole equity in one instrument; a bar a minute from ``start`` on."""
    n, close = len(price), price[:, None]
    ts_ns = int(dt.datetime.fromisoformat(start).timestamp()) * 10**9 + np.arange(n) * MINUTE_NS
    session = ts_ns // (86_400 * 10**9)
    inside = np.ones(n, dtype=np.bool_)
    facts = fact_path([spec], ts_ns, close, None, np.zeros(n), session, inside, MINUTE_NS, None, ())
    facts = replace(
        facts,
        said=facts.said | {"session_clock"},
        since_open_s=np.full(n, 36_000.0),
        to_close_s=np.full(n, 36_000.0),
        shock_sigmas=np.zeros_like(close),
        market_shock_sigmas=np.zeros(n),
    )
    path = replace(
        market(close),
        bar_ns=MINUTE_NS,
        ts_ns=ts_ns,
        session=session,
        multiplier=np.array([float(spec.multiplier)]),
        facts=facts,
        sigma=np.full_like(close, 0.0001),
    )
    reset = dt.time.fromisoformat(profile.trading_day.reset_at)
    desk = Desk(
        accounts=(profile.account,),
        firm=np.zeros(1, dtype=np.int64),
        initial_capital=np.array([float(profile.initial_capital)]),
        knobs=stack_params([profile.rules], path.symbols),
        costs=FREE,
        annual=252.0 * 1440,
    )
    inputs = HistoryInputs(
        desk=desk,
        market=path,
        baskets=(BasketPath("all", np.arange(n), to_nano(np.ones((n, 1))), np.ones(1)),),
        day_ids=trading_day_ids(ts_ns, reset, profile.trading_day.zone)[:, None],
        flows=np.zeros((n, 1)),
        terms=attempt_terms([profile.lifecycle]),
        identities=(Identity(profile.firm_id, profile.account_id, "bt", "dry_run", "c" * 64, "0"),),
        first=0,
        last=n - 1,
    )
    return run_history(inputs, lambda account, entries: None)


def spans(result: HistoryResult) -> list[tuple[str, int, int]]:
    """Stretches of one trading state: its name, first and last bar; NORMAL with half a book is ``throttled``."""
    found: list[tuple[str, int, int]] = []
    for bar, state in enumerate(result.trading_state[:, 0]):
        name = TradingState(int(state)).name
        if name == "NORMAL" and result.throttle[bar, 0] < 1:
            name = "throttled"
        if found and found[-1][0] == name:
            found[-1] = (name, found[-1][1], bar)
        else:
            found.append((name, bar, bar))
    return found


def first_bound(result: HistoryResult, rule_id: str) -> int:
    return int(np.argmax(result.rule_outcome[:, 0, RULE_IDS.index(rule_id)] == BOUND))


def test_a_day_in_prague(loaded: Configuration) -> None:
    """Two lots of 49,000 lose 50 a minute after bar 2: 3,000 at bar 62, throttled. One is sold at bar 63, at a loss of
    3,050; the other loses 25 a minute for 26 minutes, 3,700 at bar 89, and 550 at once at bar 90: 4,250, where our
    circuit acts. It is sold at bar 91. From 21:50 it is 130 minutes to midnight, when the day begins with 95,750.
    """
    bars = np.arange(134)
    price = 49.0 - 0.025 * np.clip(bars - 2, 0, 87) - 0.55 * (bars >= 90)
    profile = profile_of(loaded, "eval_static_100k_2step@1")
    result = run(profile, "2026-03-02T21:50:00+01:00", price, InstrumentSpec(symbol="S00", multiplier=1000))
    assert spans(result) == [
        ("NORMAL", 0, 61),
        ("throttled", 62, 89),
        ("FLATTEN", 90, 129),
        ("NORMAL", 130, 133),
    ]
    equity = result.equity[[2, 62, 63, 89, 90, 91, 130], 0]
    assert equity == pytest.approx([100_000, 97_000, 96_950, 96_300, 95_750, 95_750, 95_750])
    (latch,) = result.latches
    assert (latch.rule_id, latch.kind, latch.since, latch.released) == (
        "LD-01",
        Release.NEXT_SESSION,
        90,
        130,
    )
    assert [attempt.result for attempt in result.attempts] == ["open"]


def test_a_session_in_chicago(loaded: Configuration) -> None:
    """Two micros of 24,950 lose 10 a minute after bar 2: 600 at bar 62, throttled; 610 when one is sold at bar 63. The
    other loses 5 a minute for 26 minutes, 740 at bar 89, and 110 at once at bar 90: 850, where our circuit acts. From
    13:00 it is 113 minutes to 14:53 (nothing opens), 123 to 15:03 (flat) and 240 to 17:00, the next session.
    """
    bars = np.arange(244)
    price = 4990.0 - np.clip(bars - 2, 0, 87) - 22.0 * (bars >= 90)
    profile = profile_of(loaded, "eval_eod_trailing_50k@2")
    spec = InstrumentSpec(symbol="S00", multiplier=5, mini_equivalents="0.1", margin_rate="0.05")
    result = run(profile, "2026-03-03T13:00:00-06:00", price, spec)
    assert spans(result) == [
        ("NORMAL", 0, 61),
        ("throttled", 62, 89),
        ("FLATTEN", 90, 239),
        ("NORMAL", 240, 243),
    ]
    assert result.equity[[62, 63, 89, 90, 240], 0] == pytest.approx([49_400, 49_390, 49_260, 49_150, 49_150])
    assert first_bound(result, "UT-08") == 113
    assert [(x.rule_id, x.since, x.released) for x in result.latches] == [
        ("LD-01", 90, 240),
        ("UT-08", 123, 240),
    ]


def test_a_high_within_the_day_raises_the_trailing_floor(loaded: Configuration) -> None:
    """Two micros of 24,950 gain 80 a minute: 52,400 after bar 31. Ours is then 52,400 − 2,125 = 50,275. Back at 80 a
    minute it is passed after 27 more (50,240, bar 58); the day has never lost anything. The attempt has failed, 240
    above where it began.
    """
    minutes = np.arange(62)
    price = 4990.0 + 8.0 * np.clip(np.minimum(minutes - 1, 61 - minutes), 0, 30)
    profile = profile_of(loaded, "eval_intraday_trailing_50k@1")
    spec = InstrumentSpec(symbol="S00", multiplier=5, mini_equivalents="0.1", margin_rate="0.05")
    result = run(profile, "2026-03-03T10:00:00-05:00", price, spec)
    assert spans(result)[:2] == [("NORMAL", 0, 57), ("FLATTEN", 58, 58)]
    assert result.equity[[31, 58], 0] == pytest.approx([52_400, 50_240])
    failed, running = result.attempts
    assert (failed.result, failed.rule_id, failed.last_bar, failed.pnl) == ("failed", "LD-05", 58, 240.0)
    assert running.result == "open"
