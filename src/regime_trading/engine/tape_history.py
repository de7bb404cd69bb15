"""The tape at every bar: what was said in the stretch before it, judged against its own past. Pure and causal.

A run asks for its last bar, a history for all of its bars: the same readings either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regime_trading.core.canonical import content_hash
from regime_trading.core.market_intelligence import MarketIntelligence
from regime_trading.core.numbers import F8, I8
from regime_trading.core.ports import TapeSource
from regime_trading.core.schemas import MicrostructureFeatures, TapeHealth
from regime_trading.core.tape import DepthRows, EvidenceGrade, QuoteRows, TapeChunk, TradeRows
from regime_trading.engine.market import TapePath
from regime_trading.engine.tape_reading import (
    SECOND_NS,
    TapeHistory,
    TapeReading,
    read_tape,
    session_starts,
    tape_params,
)
from regime_trading.guards.snapshot import (
    BROKEN_TAPE,
    CROSSED_BOOK,
    HEALTHY_TAPE,
    LOCKED_BOOK,
    NO_BOOK,
    NO_TAPE,
    STRESSED_TAPE,
    THIN_TAPE,
    TWO_SIDED,
)
from regime_trading.tools.evidence import lowest, tape_evidence

_BOOKS = {"two_sided": TWO_SIDED, "locked": LOCKED_BOOK, "crossed": CROSSED_BOOK}
_GRADES = {"healthy": HEALTHY_TAPE, "thin": THIN_TAPE, "stressed": STRESSED_TAPE, "broken": BROKEN_TAPE}

#: Trading-day edges of a tape, by its name of the calendar (None = the settings') and its span.
DayEdges = Callable[[str | None, int, int], I8]
Readings = Mapping[str, Mapping[int, TapeReading]]


@dataclass(frozen=True, slots=True)
class _Tape:
    """One whole tape in memory."""

    quotes: QuoteRows
    trades: TradeRows

    def between(self, after_ns: int, until_ns: int) -> TapeChunk:
        """Rows with ``after_ns < ts ≤ until_ns``; trades know only the quotes of the stretch."""
        q = slice(*np.searchsorted(self.quotes.ts_ns, [after_ns, until_ns], side="right"))
        t = slice(*np.searchsorted(self.trades.ts_ns, [after_ns, until_ns], side="right"))
        trades = _cut(self.trades, t)
        known = trades.after_quote
        moved = np.where(known < 0, known, np.maximum(known - int(q.start), 0))
        return TapeChunk(
            _quotes(self.quotes, q),
            TradeRows(
                trades.ts_ns,
                trades.price,
                trades.size,
                trades.aggressor,
                trades.visible,
                trades.continuous,
                moved,
            ),
        )


def tape_readings(
    source: TapeSource,
    ts_ns: I8,
    rows: range,
    bar_ns: int,
    knobs: MarketIntelligence,
    day_edges: DayEdges,
) -> dict[int, TapeReading]:
    """Readings at those of ``rows`` before which the tape says something, by row.

    The stretch judged at a bar is the last ``lookback_s`` seconds before it, at least one bar; its own past are
    the medians of the readings of the last ``history_bars`` bars.

    Parameters
    ----------
    source : TapeSource
        Read up to the last of the rows, and held in memory.
    ts_ns : int64 [T]
        Times of the bars.
    """
    if not len(rows):
        return {}
    info, lookback = source.info, max(bar_ns, knobs.tape.lookback_s * SECOND_NS)
    tape = _whole(source.chunks(until=int(ts_ns[rows[-1]])))
    edges = day_edges(info.calendar, info.first_ns, info.last_ns)
    params = tape_params(knobs, session_starts(edges, info.breaks_ns))
    found: dict[int, TapeReading] = {}
    for row in range(max(rows[0] - knobs.tape.history_bars, 0), rows[-1] + 1):
        chunk = tape.between(int(ts_ns[row]) - lookback, int(ts_ns[row]))
        if not len(chunk.quotes) and not len(chunk.trades):
            continue
        found[row] = read_tape(
            info.symbol,
            info.evidence,
            lambda chunk=chunk: (chunk,),  # type: ignore[misc]
            knobs,
            params,
            as_of_ns=int(ts_ns[row]),
            history=_history(found, row, knobs.tape.history_bars),
            notes=info.notes,
        )
    return {row: found[row] for row in rows if row in found}


def _history(found: Mapping[int, TapeReading], row: int, bars: int) -> TapeHistory:
    before = [found[r].features for r in range(row - bars, row) if r in found]
    spreads = [f.spread.time_weighted_bps for f in before if f.spread.time_weighted_bps is not None]
    depths = [f.ofi.depth for f in before if f.ofi.depth is not None]
    return TapeHistory(
        float(np.median(spreads)) if spreads else np.nan, float(np.median(depths)) if depths else np.nan
    )


def tapes_hash(tapes: Mapping[str, TapeSource]) -> str:
    """One hash of the files behind the tapes of some symbols; empty without any."""
    return content_hash([[s, [list(f) for f in tapes[s].info.files]] for s in sorted(tapes)]) if tapes else ""


def tape_path(readings: Readings, symbols: Sequence[str], n_bars: int) -> TapePath:
    """What the guards see of the tape, arrays [T, N]: the wider of the time-weighted and the last spread, the book
    at the last quote row, the grade of health."""
    shape = (n_bars, len(symbols))
    spread = np.full(shape, np.nan)
    book, grade = np.full(shape, NO_BOOK, dtype=np.int8), np.full(shape, NO_TAPE, dtype=np.int8)
    for column, symbol in enumerate(symbols):
        for row, reading in readings.get(symbol, {}).items():
            spread[row, column], book[row, column], grade[row, column] = guard_inputs(reading.features)
    return TapePath(spread, book, grade)


def guard_inputs(features: MicrostructureFeatures) -> tuple[float, int, int]:
    """Spread in basis points (NaN = not known), code of the book, code of the health."""
    known = [v for v in (features.spread.time_weighted_bps, features.spread.last_bps) if v is not None]
    return (
        max(known, default=np.nan),
        _BOOKS.get(features.book or "", NO_BOOK),
        _GRADES[features.health.grade],
    )


def tape_caps(readings: Readings, symbols: Sequence[str], n_bars: int, knobs: MarketIntelligence) -> F8:
    """Highest confidence the tape allows the market's label at every bar, float64 [T]."""
    caps = np.empty(n_bars)
    caps[:] = market_tape_cap({}, symbols, knobs)[0]
    for row in sorted({row for by_row in readings.values() for row in by_row}):
        said = {s: by_row[row].features for s, by_row in readings.items() if row in by_row}
        caps[row] = market_tape_cap(said, symbols, knobs)[0]
    return caps


def market_tape_cap(
    said: Mapping[str, MicrostructureFeatures], symbols: Sequence[str], knobs: MarketIntelligence
) -> tuple[float, EvidenceGrade, TapeHealth | None]:
    """Cap of the market's label, the grade of evidence of the whole, and the health that stands for it.

    The grade is the lowest over ``symbols`` (a symbol without a tape rests on bars), the health the lower median
    over the tapes there are: half of them are at least as healthy.
    """
    grade = lowest(said[s].evidence if s in said else "bars" for s in symbols)
    healths = sorted((f.health for f in said.values()), key=lambda health: health.score)
    health = healths[(len(healths) - 1) // 2] if healths else None
    item = tape_evidence(grade, health, *caps_of(knobs))
    return item.confidence_cap, grade, health


def caps_of(knobs: MarketIntelligence) -> tuple[dict[str, float], dict[str, float]]:
    """Caps by grade of evidence and by health, as plain numbers."""
    by_grade = {name: float(value) for name, value in dict(knobs.confidence_cap).items()}
    return by_grade, {name: float(value) for name, value in dict(knobs.health_cap).items()}


# --- rows -------------------------------------------------------------------------------------------------


def _whole(chunks: Iterable[TapeChunk]) -> _Tape:
    taken = list(chunks)
    quotes = [chunk.quotes for chunk in taken if len(chunk.quotes)]
    trades = [chunk.trades for chunk in taken if len(chunk.trades)]
    levels = [rows.levels for rows in quotes if rows.levels is not None]
    deep = None
    if levels and len(levels) == len(quotes):
        deep = DepthRows(*(np.concatenate([getattr(part, name) for part in levels]) for name in _LEVELS))
    columns = {name: _joined(quotes, name) for name in _QUOTES}
    return _Tape(
        QuoteRows(**columns, levels=deep), TradeRows(**{name: _joined(trades, name) for name in _TRADES})
    )


_LEVELS = ("bid_px", "ask_px", "bid_sz", "ask_sz")
_QUOTES = {"ts_ns": np.int64, **dict.fromkeys(_LEVELS, np.float64)}
_TRADES = {
    "ts_ns": np.int64, "price": np.float64, "size": np.float64, "aggressor": np.int8, "visible": np.bool_,
    "continuous": np.bool_, "after_quote": np.int64,
}  # fmt: skip


def _joined(parts: Sequence[QuoteRows | TradeRows], name: str) -> Any:
    kinds = _QUOTES if name in _QUOTES else _TRADES
    return np.concatenate([np.empty(0, kinds[name]), *(getattr(part, name) for part in parts)])


def _quotes(rows: QuoteRows, at: slice) -> QuoteRows:
    deep = rows.levels
    levels = None if deep is None else DepthRows(*(getattr(deep, name)[at] for name in _LEVELS))
    return QuoteRows(**{name: getattr(rows, name)[at] for name in _QUOTES}, levels=levels)


def _cut(rows: TradeRows, at: slice) -> TradeRows:
    return TradeRows(*(getattr(rows, name)[at] for name in _TRADES))
