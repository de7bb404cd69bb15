"""The market as the guards see it: what is known at a bar, distances to events, volume, sessions, causality."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, replace
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from tests.history_samples import market, prices

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.market_data import open_source
from regime_trading.core.schemas import InstrumentSpec, PriceWindow, Provides
from regime_trading.core.settings import EvidenceSettings, ScheduledEvent, Settings
from regime_trading.engine.desk import annual_bars, bar_slots, bars_a_day, market_path, said_by
from regime_trading.engine.facts import FactPath
from regime_trading.engine.histories import ResearchParams
from regime_trading.engine.market import (
    ADV_BARS,
    Correlations,
    MarketPath,
    TapePath,
    average_daily_notional,
    event_distances,
    instrument_arrays,
    last_known,
)
from regime_trading.engine.proposals import correlations, schedule
from regime_trading.engine.research import features, regimes

NAN, INF, S = np.nan, np.inf, 1_000_000_000
DAY_NS = 86_400 * S
calendar = cache(ExchangeCalendar)


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * S


def stamps(*texts: str) -> np.ndarray:
    return np.array([utc(text) for text in texts], dtype=np.int64)


def test_last_known_looks_strictly_back() -> None:
    close = np.array([[NAN, 5.0], [1.0, NAN], [2.0, NAN], [NAN, 6.0], [3.0, 7.0]])
    before, age = last_known(close)
    assert np.array_equal(
        before, [[NAN, NAN], [NAN, 5.0], [1.0, 5.0], [2.0, 5.0], [2.0, 6.0]], equal_nan=True
    )
    assert np.array_equal(age, [[NAN, 0], [0, 1], [0, 2], [1, 0], [0, 0]], equal_nan=True)
    assert [part.shape for part in last_known(np.zeros((0, 2)))] == [(0, 2), (0, 2)]


closes = array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([NAN, INF, 1.0, 2.0, 3.0]))
)


@settings(max_examples=200, deadline=None)
@given(closes)
def test_last_known_agrees_with_a_loop_and_is_causal(close: np.ndarray) -> None:
    before, age = last_known(close)
    for t in range(len(close)):
        for i in range(close.shape[1]):
            seen = np.flatnonzero(np.isfinite(close[: t + 1, i]))
            earlier = seen[seen < t]
            assert np.array_equal(age[t, i], t - seen[-1] if len(seen) else NAN, equal_nan=True)
            want = close[earlier[-1], i] if len(earlier) else NAN
            assert np.array_equal(before[t, i], want, equal_nan=True)
        cut = last_known(close[: t + 1])
        assert all(
            np.array_equal(a, b[: t + 1], equal_nan=True) for a, b in zip(cut, (before, age), strict=True)
        )


def test_distances_to_events_exactly_at_before_between_and_after_them() -> None:
    events = (
        ScheduledEvent(id="late", at="2001-01-05T12:00Z"),
        ScheduledEvent(id="early", at="2001-01-03T12:00Z"),
        ScheduledEvent(id="ours", at="2001-01-04T12:00Z", symbols=("KO",)),
        ScheduledEvent(id="small", at="2001-01-03T12:30Z", impact="medium"),
    )
    ts = stamps(
        "2001-01-03T11:59", "2001-01-03T12:00", "2001-01-03T13:00", "2001-01-05T12:00", "2001-01-05T12:01"
    )
    ahead, behind = event_distances(ts, ("KO", "XOM"), events)
    assert ahead[:, 0].tolist() == [60, 0, 23 * 3600, 0, INF]
    assert behind[:, 0].tolist() == [INF, 0, 3600, 0, 60]
    assert ahead[:, 1].tolist() == [60, 0, 47 * 3600, 0, INF]
    assert behind[:, 1].tolist() == [INF, 0, 3600, 0, 60]
    ahead, behind = event_distances(ts, ("XOM",), events[2:])
    assert np.isinf(ahead).all() and np.isinf(behind).all()


def test_average_daily_notional_is_the_mean_of_the_last_bars_and_unknown_until_there_are_enough() -> None:
    rng = np.random.default_rng(1)
    close, volume = rng.uniform(10, 20, (70, 2)), rng.uniform(1e3, 1e4, (70, 2))
    volume[:5, 1] = NAN
    found = average_daily_notional(close, volume, 6.5)
    for t in range(70):
        for i, first in enumerate((0, 5)):
            last = (close * volume)[max(t - ADV_BARS + 1, 0) : t + 1, i]
            if t - first + 1 < ADV_BARS:
                assert np.isnan(found[t, i])
            else:
                assert found[t, i] == pytest.approx(last.mean() * 6.5, rel=1e-12)
    cut = average_daily_notional(close[:40], volume[:40], 6.5)
    assert np.array_equal(cut, found[:40], equal_nan=True)


def test_instruments_become_arrays_and_what_is_not_declared_stays_unknown() -> None:
    def spec(symbol: str, **said: object) -> InstrumentSpec:
        return InstrumentSpec.model_validate({"symbol": symbol, "currency": "USD"} | said)

    found = instrument_arrays(
        [
            spec("A", group="tech", spread_bps="5", adv="100", lot="0.5", multiplier="50"),
            spec("B"),
            spec("C", group="energy"),
        ]
    )
    assert found.groups == ("energy", "tech") and found.group.tolist() == [1, -1, 0]
    assert found.lot[0] == 0.5 and found.multiplier.tolist()[0] == 50
    assert np.array_equal(found.spread_bps, [5, NAN, NAN], equal_nan=True)
    assert np.array_equal(found.adv, [100, NAN, NAN], equal_nan=True)


def test_at_takes_the_row_and_the_correlation_in_force() -> None:
    path = market(prices(12, 3, 1))
    matrix = np.stack([np.eye(3), np.full((3, 3), 0.5)])
    path = replace(path, correlations=Correlations(np.array([4, 8]), matrix, np.array([1.0, 7.0])))
    for t, k in [(0, None), (3, None), (4, 0), (7, 0), (8, 1), (11, 1)]:
        found = path.at(t)
        assert found.ts_ns == path.ts_ns[t] and np.array_equal(found.price, path.close[t])
        assert found.date == dt.datetime.fromtimestamp(found.ts_ns // S, dt.UTC).date()
        if k is None:
            assert np.isnan(found.correlation).all() and np.isnan(found.condition)
        else:
            assert np.array_equal(found.correlation, matrix[k])
            assert found.condition == path.correlations.condition[k]


# --- sessions and slots -----------------------------------------------------------------------------------


def test_daily_bars_belong_to_their_session_even_on_a_half_day() -> None:
    # the Friday after Thanksgiving closes at 13:00 in New York; Saturday is nobody's
    ts = stamps("2023-11-22T21:00", "2023-11-24T18:00", "2023-11-25T21:00", "2023-11-27T21:00")
    session, slot, inside = bar_slots(calendar("XNYS"), ts, DAY_NS)
    assert np.array_equal(session, slot)
    assert np.diff(session).tolist()[:1] == [1] and session[3] - session[1] == 1
    assert inside.tolist() == [True, True, False, True]


def test_intraday_bars_count_slots_through_the_night_and_see_the_closed_venue() -> None:
    half_hour = 1800 * S
    ts = stamps(
        "2023-11-22T14:30",  # the opening: no bar is complete yet
        "2023-11-22T15:00",
        "2023-11-22T15:30",
        "2023-11-22T21:00",
        "2023-11-22T22:00",  # after the close
        "2023-11-24T15:00",  # first of the next session, Thursday is a holiday
        "2023-11-24T18:00",
        "2023-11-24T18:30",  # after the early close
    )
    session, slot, inside = bar_slots(calendar("XNYS"), ts, half_hour)
    assert inside.tolist() == [False, True, True, True, False, True, True, False]
    assert (slot - slot[1]).tolist()[1:4] == [0, 1, 12]
    assert slot[5] == slot[3] + 1, "the night and the holiday hold no slot"
    assert slot[6] - slot[5] == 6
    assert session[5] == session[3] + 1 and session[1] == session[3]


def test_a_market_that_never_closes_has_a_session_every_day() -> None:
    ts = stamps("2023-11-24T00:00", "2023-11-25T00:00", "2023-11-26T00:00", "2023-11-27T00:00")
    session, slot, inside = bar_slots(calendar("24/7"), ts, DAY_NS)
    assert np.diff(session).tolist() == [1, 1, 1] and inside.all() and np.array_equal(session, slot)
    hours = utc("2023-11-25T00:00") + np.arange(1, 49, dtype=np.int64) * 3600 * S
    _, slot, inside = bar_slots(calendar("24/7"), hours, 3600 * S)
    assert (np.diff(slot) == 1).all() and inside.all()


@pytest.mark.parametrize(
    ("name", "bar_s", "year", "a_day"),
    [
        ("XNYS", 86_400, 252, 1),
        ("XNYS", 23_400, 252, 1),
        ("XNYS", 3_600, 252 * 6.5, 6.5),
        ("XNYS", 60, 252 * 390, 390),
        ("XNYS", 7 * 86_400, 252 / 5, 1),
        ("24/7", 86_400, 365, 1),
        ("24/7", 60, 365 * 1440, 1440),
    ],
)
def test_bars_a_year_and_a_day(name: str, bar_s: int, year: float, a_day: float) -> None:
    assert annual_bars(name, bar_s * S) == pytest.approx(year)
    assert bars_a_day(name, bar_s * S) == pytest.approx(a_day)


def test_what_the_source_says_itself_needs_no_substitute() -> None:
    evidence = EvidenceSettings(volume="declared", quotes="declared", status="exchange_calendar")
    assert said_by(frozenset({Provides.CLOSE}), evidence) == (
        frozenset({"close", "bars"}),
        frozenset({"volume", "quotes", "status"}),
    )
    assert said_by(frozenset({Provides.CLOSE, Provides.VOLUME}), evidence)[1] == {"quotes", "status"}
    none = EvidenceSettings(volume="none", quotes="none", status="none")
    assert said_by(frozenset({Provides.CLOSE}), none)[1] == frozenset()


# --- the whole path on real prices ------------------------------------------------------------------------

PARAMS = ResearchParams(
    min_obs=200, refit_every=150, structure_window=250, structure_every=25, structure_min_obs=150
)
SYMBOLS = ("AMD", "KO", "XOM")
SETTINGS = Settings.model_validate(
    {
        "schema_version": 1,
        "sources": {"bundled": {"calendar": "XNYS", "market_proxy": "SPX"}},
        "evidence": {"bundled": {"volume": "declared", "quotes": "declared", "status": "exchange_calendar"}},
        "instruments": {
            "defaults": {"currency": "USD", "lot": "1", "multiplier": "1"},
            "symbols": {"KO": {"group": "staples", "spread_bps": "5", "adv": "200000000"}},
        },
        "baskets": {"b": {"symbols": list(SYMBOLS), "allocator": "risk_parity"}},
        "events": [
            {"id": "seen", "at": "1991-01-17T00:00Z", "impact": "high", "symbols": "all"},
            {"id": "ahead", "at": "1992-11-03T23:00Z", "impact": "high", "symbols": "all"},
        ],
    }
)


def path_of(
    window: PriceWindow, tape: TapePath | None = None, *more: Provides, of: Settings = SETTINGS
) -> MarketPath:
    found = features(window, "SPX", PARAMS, stand_in_symbols=SYMBOLS)
    rows = schedule(len(window.ts_ns), PARAMS)
    return market_path(
        window,
        SYMBOLS,
        found,
        regimes(found, PARAMS),
        correlations(found, PARAMS, rows, symbols=SYMBOLS),
        settings=of,
        source="bundled",
        provides=frozenset({Provides.CLOSE, *more}),
        calendar=calendar("XNYS"),
        bar_ns=DAY_NS,
        confidence_cap=0.8,
        tape=tape,
    )


def tape_of(n: int, seed: int = 3) -> TapePath:
    """A tape that says nothing of AMD, now and then something of KO, always something of XOM."""
    r = np.random.default_rng(seed)
    speaks = np.column_stack([np.zeros(n), r.random(n) < 0.5, np.ones(n)]).astype(np.bool_)
    return TapePath(
        np.where(speaks, r.uniform(1, 200, (n, 3)), NAN),
        np.where(speaks, r.integers(0, 3, (n, 3)), -1).astype(np.int8),
        np.where(speaks, r.integers(0, 4, (n, 3)), -1).astype(np.int8),
    )


def parts(tape: TapePath) -> tuple[np.ndarray, ...]:
    return tape.spread_bps, tape.book, tape.tape_grade


@cache
def a_short_window() -> PriceWindow:
    return open_source("bundled").window(until=utc("1990-06-01T00:00"), symbols=(*SYMBOLS, "SPX"))


def test_without_a_tape_the_declared_spread_stands_in_and_the_book_is_not_known() -> None:
    """KO declares 5 bps; the others fall back on the default that their fills pay."""
    path = path_of(a_short_window())
    assert (path.spread_bps == [10.0, 5.0, 10.0]).all()
    assert (path.book == -1).all() and (path.tape_grade == -1).all()
    assert path.book.dtype == path.tape_grade.dtype == np.int8
    assert path.spread_bps.shape == path.book.shape == path.tape_grade.shape == path.close.shape
    assert np.array_equal(path.declared_spread_bps, [NAN, 5.0, NAN], equal_nan=True)
    dearer = SETTINGS.model_copy(
        update={"execution": SETTINGS.execution.model_copy(update={"default_spread_bps": Decimal(25)})}
    )
    assert (path_of(a_short_window(), of=dearer).spread_bps == [25.0, 5.0, 25.0]).all()


def test_where_the_tape_speaks_it_stands() -> None:
    window = a_short_window()
    tape = tape_of(len(window.ts_ns))
    path, t = path_of(window, tape), 17
    declared = np.array([10.0, 5.0, 10.0])
    measured = np.isfinite(tape.spread_bps)
    assert measured.any() and not measured.all()
    assert np.array_equal(path.spread_bps, np.where(measured, tape.spread_bps, declared))
    now = path.at(t)
    assert np.array_equal(now.spread_bps, path.spread_bps[t])
    assert np.array_equal(now.book, tape.book[t]) and np.array_equal(now.tape_grade, tape.tape_grade[t])
    assert np.array_equal(path.declared_spread_bps, [NAN, 5.0, NAN], equal_nan=True), (
        "fills pay what is declared"
    )
    assert "quotes" in now.substituted and "quotes" not in now.provided


def test_a_source_with_quotes_is_not_spoken_for() -> None:
    window = a_short_window()
    n = len(window.ts_ns)
    assert np.isnan(path_of(window, None, Provides.QUOTES).spread_bps).all()
    tape = tape_of(n)
    path = path_of(window, tape, Provides.QUOTES)
    assert np.array_equal(path.spread_bps, tape.spread_bps, equal_nan=True)
    assert "quotes" in path.provided and "quotes" not in path.substituted


def test_the_path_at_t_does_not_change_when_later_prices_are_cut_off_or_altered() -> None:
    source = open_source("bundled")
    window = source.window(until=utc("1992-03-01T00:00"), symbols=(*SYMBOLS, "SPX"))
    n, t = len(window.ts_ns), len(window.ts_ns) - 137
    tape = tape_of(n)
    said = TapePath(tape.spread_bps[:t], tape.book[:t], tape.tape_grade[:t])
    later = TapePath(
        *(np.vstack([a[:t], b[t:]]) for a, b in zip(parts(tape), parts(tape_of(n, 4)), strict=True))
    )
    whole, cut = path_of(window, tape), path_of(window.until(int(window.ts_ns[t - 1])), said)
    close = window.close.copy()
    close[t:] *= np.linspace(0.5, 2.0, n - t)[:, None]
    altered = path_of(replace(window, close=close), later)
    assert (whole.confidence > 0).any() and len(set(whole.label.tolist())) > 1
    parts_of = [(p, p.facts) for p in (whole, cut, altered)]
    named = [(0, f.name) for f in fields(MarketPath) if f.name != "facts"]
    named += [(1, f.name) for f in fields(FactPath) if f.name != "static"]
    for part, name_ in named:
        full, *others = (getattr(p[part], name_) for p in parts_of)
        field = next(f for f in fields((MarketPath, FactPath)[part]) if f.name == name_)
        for other in others:
            if isinstance(full, np.ndarray) and full.shape[:1] == (n,):
                assert full[:t].tobytes() == other[:t].tobytes(), field.name
            elif isinstance(full, Correlations):
                k = int(np.searchsorted(full.rows, t))
                for name in ("rows", "matrix", "condition"):
                    assert getattr(full, name)[:k].tobytes() == getattr(other, name)[:k].tobytes(), name
            elif isinstance(full, np.ndarray):
                assert full.tobytes() == other.tobytes(), field.name
            else:
                assert full == other, field.name
    assert float(whole.adv[0, 1]) == float(Decimal("200000000")) and np.isnan(whole.adv[:, 0]).all()
    assert whole.confidence.max() <= 0.8
