"""② What the tape says, and on which grade of evidence it rests."""

from __future__ import annotations

from typing import Any

import polars as pl

from regime_trading.agents.deps import Deps
from regime_trading.agents.frames import save, shared_path
from regime_trading.agents.research import run_window
from regime_trading.core.bars import SECOND_NS
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import BarSpreads, PriceWindow, TapeSummary
from regime_trading.core.state import PipelineState
from regime_trading.engine.price_table import TIME
from regime_trading.engine.tape_history import market_tape_cap, tape_readings, tapes_hash
from regime_trading.engine.tape_reading import TapeReading, bucket_columns
from regime_trading.tools.bar_spreads import bar_spreads
from regime_trading.tools.microstructure import QUOTE_MEASURES, unavailable_tiers

SPREAD_BARS = 252  #: bars behind the estimates of a spread where there are no quotes


def microstructure(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Read the tape before the last bar of every traded symbol that has one, and cap what confidence may rest on it.

    Raises
    ------
    BadInput
        The tapes are no longer those the run was asked for.
    """
    assert state.data is not None
    window, knobs, health = run_window(state, deps), deps.settings.market_intelligence, state.data.health
    readings = _readings(state, deps, window)
    said = {symbol: reading.features for symbol, reading in readings.items()}
    cap, grade, _ = market_tape_cap(said, state.request.traded, knobs)
    notes = [] if said else [f"{', '.join(QUOTE_MEASURES)}: not identified without quotes"]
    if missing := unavailable_tiers(knobs.tiers.seconds(), health.bar_s):
        notes.append(f"tiers {', '.join(missing)}: unavailable, the source has bars of {health.bar_s} s")
    if silent := [s for s in state.request.traded if s not in said] if said else []:
        notes.append(f"no tape before this bar: {', '.join(silent)}")
    return {
        "tape": TapeSummary(
            evidence=grade,
            confidence_cap=cap,
            features=tuple(said.values()),
            series=None if not readings else save(deps.store, _path(state), _table(readings)),
            bars={
                symbol: _bar_spreads(window, symbol) for symbol in state.request.traded if symbol not in said
            },
            notes=tuple(notes),
        )
    }


def _path(state: PipelineState) -> str:
    return shared_path(state.request.run_id, "tape")


def _readings(state: PipelineState, deps: Deps, window: PriceWindow) -> dict[str, TapeReading]:
    """The reading at the last bar of each traded symbol with a tape."""
    assert state.data is not None
    source, request = deps.source(state.request.source), state.request
    tapes = {symbol: tape for symbol in request.traded if (tape := source.tape(symbol)) is not None}
    if (found := tapes_hash(tapes)) != request.tape_hash:
        raise BadInput(
            expected=f"tapes with hash {request.tape_hash or '(none)'}, as when the run was asked for",
            found=found or "(none)",
            where=f"source {request.source}",
        )
    last, bar_ns = len(window.ts_ns) - 1, state.data.health.bar_s * SECOND_NS
    knobs = deps.settings.market_intelligence
    found_at = {
        symbol: tape_readings(tape, window.ts_ns, range(last, last + 1), bar_ns, knobs, deps.day_edges)
        for symbol, tape in tapes.items()
    }
    return {symbol: by_row[last] for symbol, by_row in found_at.items() if last in by_row}


def _bar_spreads(window: PriceWindow, symbol: str) -> BarSpreads:
    """What the bars alone say of a spread, over the last year of them."""
    one = window.select((symbol,))
    there = one.close[:, 0] == one.close[:, 0]
    columns = [None if v is None else v[there, 0][-SPREAD_BARS:] for v in (one.open, one.high, one.low)]
    return bar_spreads(*columns, one.close[there, 0][-SPREAD_BARS:])


def _table(readings: dict[str, TapeReading]) -> pl.DataFrame:
    """The buckets behind the charts, symbol by symbol."""
    frames = []
    for symbol, reading in readings.items():
        columns = {
            name: pl.Series(values).fill_nan(None) if values.dtype.kind == "f" else pl.Series(values)
            for name, values in bucket_columns(reading.buckets).items()
        }
        frame = pl.DataFrame(columns).with_columns(
            pl.col("ts_event").cast(TIME), pl.lit(symbol).alias("symbol")
        )
        frames.append(frame)
    return pl.concat(frames)
