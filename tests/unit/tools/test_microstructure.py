from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tools.tape_reference import (
    MIDNIGHT,
    PARAMS,
    Reference,
    S,
    cuts,
    quotes,
    reference,
    same,
    split,
    tapes,
    trades,
)

from regime_trading.core.errors import BadInput
from regime_trading.core.tape import QuoteRows, TapeChunk, TradeRows, no_quotes, no_trades
from regime_trading.tools import microstructure
from regime_trading.tools.microstructure import TapePass, measure, unavailable_tiers
from regime_trading.tools.quote_pass import TapeParams
from regime_trading.tools.tape_measures import TapeMeasures, ols


def test_finer_tiers_than_the_source_are_unavailable_never_made_up() -> None:
    tiers = {"LT": 86400, "MT": 14400, "ST": 900}
    assert unavailable_tiers(tiers, 86400) == ("MT", "ST")
    assert unavailable_tiers(tiers, 900) == ()
    assert unavailable_tiers(tiers, 3600) == ("ST",)


# --- one tape ---------------------------------------------------------------------------------------------


def sinks(chunks: list[TapeChunk]) -> tuple[TapeMeasures, list[np.ndarray], list[np.ndarray]]:
    quotes_seen: list[list[np.ndarray]] = []
    trades_seen: list[list[np.ndarray]] = []
    tape = TapePass(
        PARAMS,
        trade_sink=lambda *c: trades_seen.append([x.copy() for x in c]),
        quote_sink=lambda *c: quotes_seen.append([x.copy() for x in c]),
    )
    for chunk in chunks:
        tape.update(chunk)
    found = tape.result()
    joined = [[np.concatenate(c) for c in zip(*seen, strict=True)] for seen in (quotes_seen, trades_seen)]
    return found, joined[0], joined[1]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_where_a_tape_is_cut_changes_no_bit(data: st.DataObject) -> None:
    tape = data.draw(tapes())
    whole, pieces = sinks([tape]), sinks(data.draw(cuts(tape)))
    assert same(whole[0], pieces[0])
    assert all(same(a, b) for a, b in zip(whole[1] + whole[2], pieces[1] + pieces[2], strict=True))


@settings(max_examples=100, deadline=None)
@given(tapes(), st.integers(1, 5))
def test_the_size_of_a_block_changes_no_bit(tape: TapeChunk, rows: int) -> None:
    whole = measure([tape], PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(microstructure, "BLOCK_ROWS", rows)
        assert same(whole, measure([tape], PARAMS))


@settings(max_examples=300, deadline=None)
@given(tapes())
def test_a_plain_reading_row_by_row_says_the_same(tape: TapeChunk) -> None:
    found, ref = measure([tape], PARAMS), reference(tape, PARAMS)
    close = partial(pytest.approx, rel=1e-10, abs=1e-9, nan_ok=True)
    assert {name: getattr(found.counts, name) for name in ref.counts} == ref.counts
    assert found.sessions == (ref.rows[-1].session + 1 if ref.rows else 0)
    assert (found.spread_px, found.spread_bps, found.depth) == close(
        (ref.spread_px, ref.spread_bps, ref.depth)
    )
    assert found.ofi_sum == close(math.fsum(ref.events) if ref.rows else math.nan)
    for field in fields(found.buckets):
        expected = np.array([b[field.name] for b in ref.buckets], dtype=float)
        assert getattr(found.buckets, field.name) == close(expected), field.name
    check_trades(found, ref, close)


def check_trades(found: TapeMeasures, ref: Reference, close: Callable[..., object]) -> None:
    trades = found.trades
    assert trades.n == len(ref.orders)
    volume = sum(o["size"] for o in ref.orders) if ref.orders else math.nan
    signed = sum(o["size"] * o["sign"] for o in ref.orders) if ref.orders else math.nan
    assert (trades.volume, trades.signed_volume) == close((volume, signed))
    for counts, key in ((trades.signed_by, "how"), (trades.no_cost, "why")):
        assert counts == {name: sum(o[key] == name for o in ref.orders) for name in counts}
    for horizon, cost in ((0, trades.effective), *((c.horizon_ns or 0, c) for c in trades.horizons)):
        n, effective, impact = ref.costs[horizon]
        assert cost.n == n, horizon
        assert cost.effective_bps == close(effective)
        if horizon:
            assert (cost.impact_bps, cost.realised_bps) == close((impact, effective - impact))


@settings(max_examples=100, deadline=None)
@given(tapes(), st.integers(0, 300), st.integers(1, 3))
def test_nothing_before_t_changes_when_the_tape_is_cut_or_altered_after_t(
    tape: TapeChunk, after_ns: int, factor: int
) -> None:
    q, t, until = tape.quotes, tape.trades, MIDNIGHT + after_ns
    rows, prints = (int(np.searchsorted(x.ts_ns, until, side="right")) for x in (q, t))
    past = split(tape, [rows], [prints])[0]
    later = np.arange(len(q)) >= rows
    altered = replace(
        q, bid_px=np.where(later, q.bid_px * factor, q.bid_px), bid_sz=np.where(later, 7.0, q.bid_sz)
    )
    cut, full = measure([past], PARAMS).buckets, measure([tape], PARAMS).buckets
    other = measure([TapeChunk(altered, t)], PARAMS).buckets
    known = max(len(cut) - 1, 0)  # the last one is still open
    for field in fields(cut):
        head = getattr(cut, field.name)[:known].tobytes()
        if field.name in ("signed_volume", "volume"):
            continue  # trades behind the last quote wait for a bucket of their own
        assert head == getattr(full, field.name)[:known].tobytes()
        assert head == getattr(other, field.name)[:known].tobytes()


def test_a_closed_tape_takes_no_more_and_says_the_same_again() -> None:
    tape = TapePass(TapeParams())
    chunk = TapeChunk(quotes((0, 10.0, 5.0, 11.0, 4.0)), no_trades())
    tape.update(chunk)
    assert tape.result() is tape.result()
    with pytest.raises(BadInput, match="no chunk after the result"):
        tape.update(chunk)


def test_chunks_out_of_order_and_ragged_columns_are_refused() -> None:
    late, early = quotes((5, 10.0, 5.0, 11.0, 4.0)), quotes((4, 10.0, 5.0, 11.0, 4.0))
    with pytest.raises(BadInput, match="expected no row before"):
        measure([TapeChunk(late, no_trades()), TapeChunk(early, no_trades())], TapeParams())
    with pytest.raises(BadInput, match="expected no row before"):
        measure([TapeChunk(no_quotes(), trades((5, 1.0, 1.0))), TapeChunk(early, no_trades())], TapeParams())
    with pytest.raises(BadInput, match="trades: expected ascending"):
        measure([TapeChunk(no_quotes(), trades((5, 1.0, 1.0), (4, 1.0, 1.0)))], TapeParams())
    with pytest.raises(BadInput, match="bid_sz: expected 1 values"):
        measure([TapeChunk(replace(late, bid_sz=np.ones(2)), no_trades())], TapeParams())


def test_no_rows_say_nothing() -> None:
    found = measure([], TapeParams())
    assert (found.counts.rows, found.sessions, found.first_ns, found.last_ns, found.last) == (
        0,
        0,
        None,
        None,
        None,
    )
    numbers = (
        found.spread_px,
        found.spread_bps,
        found.depth,
        found.ofi_sum,
        found.fit.r2,
        found.r2_window_mean,
    )
    assert all(math.isnan(x) for x in numbers) and len(found.buckets) == 0


def test_read_only_and_strided_columns_are_taken_as_they_are() -> None:
    q = quotes(*[(i, 10.0, 5.0 + i, 11.0, 4.0) for i in range(6)])
    columns = [np.repeat(x, 2)[::2] for x in (q.ts_ns, q.bid_px, q.ask_px, q.bid_sz, q.ask_sz)]
    for column in columns:
        column.flags.writeable = False
    assert same(
        measure([TapeChunk(q, no_trades())], TapeParams()),
        measure([TapeChunk(QuoteRows(*columns), no_trades())], TapeParams()),
    )


def test_least_squares_against_scipy_and_where_it_is_not_defined() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(5, 2, 50), rng.normal(size=50)
    line, theirs = ols(x, y), scipy.stats.linregress(x, y)
    assert (line.beta, line.intercept) == pytest.approx((theirs.slope, theirs.intercept), rel=1e-10)
    assert line.r2 == pytest.approx(theirs.rvalue**2, rel=1e-10)
    assert math.isnan(ols(x[:2], y[:2]).beta) and math.isnan(ols(np.full(9, 0.1), y[:9]).beta)
    flat = ols(x, np.full(50, 0.1))
    assert flat.beta == pytest.approx(0.0, abs=1e-15) and math.isnan(flat.r2)


def test_windows_without_an_r2_are_left_out_of_the_mean() -> None:
    step = 10 * S
    path = [(0, 100.0), (1, 101.0), (2, 100.0), (3, 103.0)]  # one window of movement
    still = [(180 + i, 103.0) for i in range(4)]  # one without
    few = [(360, 105.0), (361, 104.0)]  # one of two buckets
    rows = [(i * step + 1, bid, 1.0 + i % 3, bid + 1, 1.0) for i, bid in path + still + few]
    found = measure([TapeChunk(quotes(*rows), no_trades())], TapeParams(session_gap_ns=3600 * S))
    cut = slice(0, 180)
    assert found.r2_window_mean == ols(found.buckets.ofi[cut], found.buckets.d_mid[cut]).r2
    assert 0 < found.r2_window_mean < 1


def test_signed_volume_stands_in_the_bucket_of_its_move() -> None:
    q = quotes(*[(i * S, 99.0, 5.0, 101.0, 5.0) for i in (0, 12, 25)])
    t = trades(
        (0, 101.0, 1.0), (S, 101.0, 2.0), (9 * S, 99.0, 1.0), (10 * S, 101.0, 4.0), (99 * S, 101.0, 9.0)
    )
    found = measure([TapeChunk(q, t)], TapeParams())
    assert found.buckets.signed_volume.tolist() == [1.0, 4.0, 0.0]
    assert found.buckets.volume.tolist() == [3.0, 4.0, 0.0]


# --- real tapes -------------------------------------------------------------------------------------------

REAL = Path(os.environ.get("REGIME_REAL_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data")


def real(name: str) -> pl.DataFrame:
    if not (REAL / name).is_file():
        pytest.skip(f"no real data: {REAL / name} is not there (set REGIME_REAL_DATA)")
    return pl.read_parquet(REAL / name)


def columns(frame: pl.DataFrame, *names: str) -> list[np.ndarray]:
    return [frame[name].cast(pl.Float64).to_numpy() for name in names]


def es() -> TapeChunk:
    tape = real("es_mbp1_2024-07-01.parquet")
    book = tape["action"] != "T"
    q, t = tape.filter(book), tape.filter(~book)
    ts = [x["ts_event"].to_physical().to_numpy() for x in (q, t)]
    side = t["side"].to_numpy()
    flag = ((side == "B").astype(np.int8) - (side == "A").astype(np.int8)).astype(np.int8)
    yes, after = np.ones(len(t), np.bool_), np.cumsum(book.to_numpy())[~book.to_numpy()]
    return TapeChunk(
        QuoteRows(ts[0], *columns(q, "bid_px", "ask_px", "bid_sz", "ask_sz")),
        TradeRows(ts[1], *columns(t, "price", "size"), flag, yes, yes, after),
    )


@pytest.mark.real_data
def test_real_order_flow_explains_the_mid_of_a_future() -> None:
    tape = es()
    for seconds in (1, 2, 5, 10):
        found = measure([tape], TapeParams(interval_ns=seconds * S))
        print(f"ES: R² of Δmid on OFI, {seconds} s buckets: {found.fit.r2:.3f} (n = {found.fit.n})")
        assert found.fit.beta > 0
    print(f"ES: spread {found.spread_bps:.4f} bp, effective {found.trades.effective.effective_bps:.4f} bp")
    assert found.fit.r2 > 0.5
    assert found.counts.rows == found.counts.used == 2168
    assert found.spread_px == pytest.approx(0.2637, abs=1e-4)  # a tick is 0.25
    assert found.trades.effective.n == 119
    ref = reference(tape, TapeParams())
    assert found.ofi_sum == math.fsum(ref.events)
    check_trades(found, ref, partial(pytest.approx, rel=1e-9, abs=1e-9, nan_ok=True))


@pytest.mark.real_data
def test_real_flags_of_a_future_agree_with_its_quotes() -> None:
    tape = es()
    unsigned = replace(tape.trades, aggressor=np.zeros(len(tape.trades), np.int8))
    flagged = measure([tape], TapeParams()).trades
    guessed = measure([TapeChunk(tape.quotes, unsigned)], TapeParams()).trades
    assert guessed.signed_by == {"aggressor": 0, "quote": 119, "tick": 0, "none": 1}
    first = tape.trades.size[0] * tape.trades.aggressor[0]  # no quote before it, and no print
    assert guessed.signed_volume == flagged.signed_volume - first
    assert flagged.effective.effective_bps == pytest.approx(guessed.effective.effective_bps)


@pytest.mark.real_data
def test_real_trades_merge_into_orders() -> None:
    q, t = real("btcusdt_quotes_2021-01-08.parquet"), real("btcusdt_trades_2021-01-08.parquet")
    ts = [x["ts_event"].to_physical().to_numpy() for x in (q, t)]
    flag = np.where(t["aggressor"].to_numpy() == "B", 1, -1).astype(np.int8)
    yes = np.ones(len(t), np.bool_)
    tape = TapeChunk(
        QuoteRows(ts[0], *columns(q, "bid_px", "ask_px", "bid_sz", "ask_sz")),
        TradeRows(ts[1], *columns(t, "price", "size"), flag, yes, yes, np.full(len(t), -1)),
    )
    found, ref = measure([tape], TapeParams()), reference(tape, TapeParams())
    print(f"BTCUSDT: {found.trades.executions} executions, {found.trades.n} orders")
    assert found.trades.executions == 2001 and found.trades.n == len(ref.orders) < 2001
    check_trades(found, ref, partial(pytest.approx, rel=1e-9, abs=1e-9, nan_ok=True))
