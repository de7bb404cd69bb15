"""The tape at every bar: causal, the same for one bar as for many, and honest about what it does not know."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from regime_trading.core.market_intelligence import MarketIntelligence
from regime_trading.core.tape import (
    DepthRows,
    QuoteRows,
    TapeChunk,
    TapeInfo,
    TapeTally,
    TradeRows,
    no_quotes,
    no_trades,
)
from regime_trading.engine.tape_bars import mid_bars
from regime_trading.engine.tape_history import (
    market_tape_cap,
    tape_caps,
    tape_path,
    tape_readings,
    tapes_hash,
)
from regime_trading.engine.tape_reading import bucket_columns, read_tape, tape_params
from regime_trading.guards.snapshot import NO_BOOK, NO_TAPE, TWO_SIDED

S = 1_000_000_000
T0 = 1_704_067_200 * S
BAR = 900 * S
KNOBS = MarketIntelligence()
BARS = T0 + BAR * np.arange(1, 13)
NO_EDGES = np.empty(0, np.int64)


def days(name: str | None, first_ns: int, last_ns: int) -> np.ndarray:
    return NO_EDGES


class Tape:
    """A tape in memory, with depth, and trades in the quotes' own sequence."""

    def __init__(self, seed: int = 1, n: int = 9000, until: int | None = None, sequence: bool = True) -> None:
        rng = np.random.default_rng(seed)
        ts = np.sort(rng.integers(T0 + 4 * BAR, T0 + 12 * BAR, n))
        mid = 100 + 0.01 * np.cumsum(rng.choice([-1, 0, 0, 1], n))
        bid, ask = np.round(mid - 0.01, 2), np.round(mid + 0.01 * rng.integers(1, 3, n), 2)
        bid[rng.random(n) < 0.01] = np.nan
        sizes = rng.integers(1, 30, (n, 4)).astype(float)
        levels = DepthRows(
            np.column_stack([bid, bid - 0.01]), np.column_stack([ask, ask + 0.01]), sizes[:, :2], sizes[:, 2:]
        )
        self.quotes = QuoteRows(ts, bid, ask, sizes[:, 0], sizes[:, 2], levels)
        rows = np.sort(rng.choice(n - 1, n // 6, replace=False))
        side = rng.choice([-1, 1], len(rows)).astype(np.int8)
        price = np.where(side > 0, ask[rows], np.where(np.isnan(bid[rows]), 100.0, bid[rows]))
        yes = np.ones(len(rows), np.bool_)
        after = rows + 1 if sequence else np.full(len(rows), -1)
        self.trades = TradeRows(
            ts[rows + 1],
            price,
            rng.integers(1, 9, len(rows)).astype(float),
            side,
            yes,
            yes,
            after.astype(np.int64),
        )
        self.until = until

    @property
    def info(self) -> TapeInfo:
        ts = self.quotes.ts_ns
        return TapeInfo(
            "X", "parquet", "L2", True, True, None, (("x", "0" * 64),), int(ts[0]), int(ts[-1]), len(ts)
        )

    def chunks(self, until: int | None = None) -> Iterator[TapeChunk]:
        last = min(self.until or 2**62, until or 2**62)
        for a in range(0, len(self.quotes), 1000):
            q = slice(a, min(a + 1000, int(np.searchsorted(self.quotes.ts_ns, last, "right"))))
            if q.stop <= q.start:
                return
            hi = self.quotes.ts_ns[q.stop - 1]
            first = (
                0 if a == 0 else int(np.searchsorted(self.trades.ts_ns, self.quotes.ts_ns[a - 1], "right"))
            )
            t = slice(first, int(np.searchsorted(self.trades.ts_ns, hi, "right")))
            deep = self.quotes.levels
            assert deep is not None
            cut = DepthRows(deep.bid_px[q], deep.ask_px[q], deep.bid_sz[q], deep.ask_sz[q])
            yield TapeChunk(
                QuoteRows(
                    *(getattr(self.quotes, n)[q] for n in ("ts_ns", "bid_px", "ask_px", "bid_sz", "ask_sz")),
                    cut,
                ),
                TradeRows(
                    *(
                        getattr(self.trades, n)[t]
                        for n in (
                            "ts_ns",
                            "price",
                            "size",
                            "aggressor",
                            "visible",
                            "continuous",
                            "after_quote",
                        )
                    )
                ),
            )

    def tally(self) -> TapeTally:
        return TapeTally(len(self.quotes), 0, {}, len(self.trades), {})


def readings(tape: Tape, rows: range):
    return tape_readings(tape, BARS, rows, BAR, KNOBS, days)


@pytest.fixture(scope="module")
def whole():
    return readings(Tape(), range(12))


def test_only_bars_with_a_tape_before_them_have_a_reading(whole) -> None:
    """One hour is judged: bar 4 (which ends one quarter into the tape) is the first, none before it."""
    assert sorted(whole) == list(range(4, 12))
    assert whole[4].features.start_ns > T0 + 4 * BAR
    assert all(whole[row].features.end_ns <= BARS[row] for row in whole)


@pytest.mark.parametrize("row", [5, 8, 11])
def test_one_bar_is_the_same_as_in_a_history(whole, row: int) -> None:
    alone = readings(Tape(), range(row, row + 1))
    assert alone[row].features == whole[row].features


@pytest.mark.parametrize("row", [5, 9])
def test_the_future_changes_nothing(whole, row: int) -> None:
    cut = readings(Tape(until=int(BARS[row])), range(row + 1))
    for at in cut:
        assert cut[at].features == whole[at].features
        for name, values in bucket_columns(cut[at].buckets).items():
            assert values.tobytes() == bucket_columns(whole[at].buckets)[name].tobytes(), name


def test_trades_of_a_stretch_know_only_its_quotes(whole) -> None:
    """The same trades without the tape's own sequence find the same quotes, up to those of one instant."""
    plain = readings(Tape(sequence=False), range(11, 12))[11].features
    assert plain.trades.n == whole[11].features.trades.n
    assert plain.spread.effective_bps == pytest.approx(whole[11].features.spread.effective_bps, rel=0.2)


def test_history_and_age_enter_the_health(whole) -> None:
    parts = whole[9].features.health.parts
    assert parts["spread_ratio"] == pytest.approx(1, rel=0.2) and parts["depth_ratio"] == pytest.approx(
        1, rel=0.2
    )
    assert parts["feed_age_ratio"] is not None
    assert whole[4].features.health.parts["spread_ratio"] is None  # the first bar has no past


def test_what_the_guards_see(whole) -> None:
    path = tape_path({"X": whole}, ("W", "X"), 12)
    assert np.isnan(path.spread_bps[:, 0]).all() and (path.book[:, 0] == NO_BOOK).all()
    assert np.isnan(path.spread_bps[:4, 1]).all() and (path.tape_grade[:4, 1] == NO_TAPE).all()
    said = whole[11].features
    assert path.spread_bps[11, 1] == max(said.spread.time_weighted_bps, said.spread.last_bps)
    assert path.book[11, 1] in (TWO_SIDED, NO_BOOK)


def test_caps_by_the_lowest_grade_and_the_lower_median(whole) -> None:
    caps = tape_caps({"X": whole}, ("X",), 12, KNOBS)
    assert (caps[:4] == 0.8).all()  # bars alone
    assert (caps[4:] <= 1).all()
    said = {"X": whole[11].features}
    cap, grade, health = market_tape_cap(said, ("X", "Y"), KNOBS)
    assert grade == "bars" and cap <= 0.8 and health == whole[11].features.health
    assert market_tape_cap({}, ("X",), KNOBS) == (0.8, "bars", None)


def test_a_hash_names_the_files() -> None:
    assert tapes_hash({}) == ""
    assert tapes_hash({"X": Tape()}) != tapes_hash({"Y": Tape()})


def test_every_null_has_a_reason_and_nothing_else_has() -> None:
    def empty():
        return (TapeChunk(no_quotes(), no_trades()),)

    features = read_tape("X", "L1", empty, KNOBS, tape_params(KNOBS, NO_EDGES)).features
    nulls = {
        f"{block}.{name}"
        for block in ("spread", "ofi", "microprice", "trades")
        for name, value in dict(getattr(features, block)).items()
        if value is None
    }
    assert nulls - {"spread.last_bps"} == set(features.unknown) - {"spread.last_bps"}
    assert features.health.grade == "broken"


def test_bars_of_the_mid() -> None:
    tape = Tape()
    made = mid_bars("X", tape.chunks(), tape_params(KNOBS, NO_EDGES), BAR)
    assert made.ts_ns.tolist() == BARS[4:11].tolist()
    q = tape.quotes
    valid = ~np.isnan(q.bid_px)
    inside = valid & (q.ts_ns >= BARS[4]) & (q.ts_ns < BARS[5])
    mid = ((q.bid_px + q.ask_px) / 2)[inside]
    assert (
        made.open is not None and made.high is not None and made.low is not None and made.volume is not None
    )
    row = [made.open[1, 0], made.high[1, 0], made.low[1, 0], made.close[1, 0]]
    assert row == [mid[0], mid.max(), mid.min(), mid[-1]]
    traded = (tape.trades.ts_ns >= BARS[4]) & (tape.trades.ts_ns < BARS[5])
    assert made.volume[1, 0] == tape.trades.size[traded].sum()
