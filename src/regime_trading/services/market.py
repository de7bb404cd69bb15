"""Market intelligence on files: one tape measured, one price table labelled, and their machine answers."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.market_intelligence import MarketIntelligence
from regime_trading.core.numbers import I8
from regime_trading.core.ports import Calendar, TapeSource
from regime_trading.core.schemas import MicrostructureFeatures, Regime
from regime_trading.core.settings import Settings
from regime_trading.engine.detection import Detection
from regime_trading.engine.tape_reading import (
    TapeReading,
    bucket_columns,
    read_tape,
    session_starts,
    tape_params,
)
from regime_trading.tools.chart_sheet import WIDE, standalone
from regime_trading.tools.chart_tape import TapeTrack, tape_panels

DAY_NS = 86_400_000_000_000
ALWAYS_OPEN = "24/7"
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}


def interval_ns(text: str, where: str = "--interval") -> int:
    """Nanoseconds of ``500ms``, ``10s``, ``1m`` or ``1h``.

    Raises
    ------
    BadInput
        Another text, or a length that does not divide a day: buckets begin anew at midnight UTC.
    """
    found = _INTERVAL.fullmatch(text.strip())
    length = round(float(found[1]) * _UNIT_NS[found[2]]) if found else 0
    if not 0 < length <= DAY_NS or DAY_NS % length:
        raise BadInput(
            expected="a length that divides a day, such as 500ms, 10s or 1m",
            found=repr(text),
            where="--interval",
        )
    return length


def day_edges(calendar: Calendar, first_ns: int, last_ns: int) -> I8:
    """Instants within the tape at which a trading day of the calendar begins: the closes of its sessions."""
    if calendar.name == ALWAYS_OPEN:
        return np.arange(-(-first_ns // DAY_NS) * DAY_NS, last_ns + 1, DAY_NS, dtype=np.int64)
    return calendar.closes_ns(first_ns, last_ns)


def tape_days(
    settings: Settings, calendar: Callable[[str], Calendar]
) -> Callable[[str | None, int, int], I8]:
    """Trading-day edges of a tape by the calendar its format implies, else that of the settings."""
    assumed = settings.market_intelligence.tape.calendar
    return lambda name, first_ns, last_ns: day_edges(calendar(name or assumed), first_ns, last_ns)


def measure_tape(
    source: TapeSource,
    knobs: MarketIntelligence,
    calendar: Callable[[str], Calendar],
    *,
    named: str | None = None,
    bucket_ns: int | None = None,
) -> TapeReading:
    """Measure a whole tape, judged at its own end.

    Parameters
    ----------
    named : str, optional
        Calendar the user named; else the one the format implies, else that of the settings.
    bucket_ns : int, optional
        Length of an order-flow bucket instead of the settings'.

    Raises
    ------
    BadInput
        A tape without one usable quote or trade.
    """
    info = source.info
    name = named or info.calendar or knobs.tape.calendar
    edges = session_starts(day_edges(calendar(name), info.first_ns, info.last_ns), info.breaks_ns)
    assumed = (
        () if named or info.calendar else (f"trading days by calendar {name}: the format names no venue",)
    )
    reading = read_tape(
        info.symbol,
        info.evidence,
        source.chunks,
        knobs,
        tape_params(knobs, edges, bucket_ns),
        tally=source.tally,
        notes=(*info.notes, *assumed),
    )
    if not reading.features.counts.used and not reading.features.trades.n:
        counts = reading.features.counts
        raise BadInput(
            expected="at least one usable quote or trade",
            found=f"none in {counts.rows:,} rows (crossed {counts.crossed:,}, one side missing {counts.one_sided:,}, "
            f"not positive {counts.non_positive:,})",
            where=", ".join(name for name, _ in info.files),
        )
    return reading


def track(reading: TapeReading) -> TapeTrack:
    """The chart's arrays of a reading."""
    columns, buckets = bucket_columns(reading.buckets), reading.buckets
    starts = np.flatnonzero(np.diff(buckets.session, prepend=buckets.session[:1]))
    return TapeTrack(
        symbol=reading.features.symbol,
        ts_ns=buckets.edge_ns,
        mid=buckets.mid,
        spread_bps=buckets.spread_bps,
        flow=columns["ofi_cumulative"],  # type: ignore[arg-type]
        breaks_ns=tuple(int(t) for t in buckets.edge_ns[starts]),
    )


def tape_chart(reading: TapeReading) -> str:
    """The chart as an SVG file of its own."""
    drawn = track(reading)
    return standalone(tape_panels(drawn, f"Mid, order-flow imbalance and spread of {drawn.symbol}", WIDE))


def tape_answer(features: MicrostructureFeatures) -> dict[str, Any]:
    """The machine answer of ``regime tape``."""
    plain = features.model_dump(mode="json")
    start, end = time_ns_text(plain.pop("start_ns")), time_ns_text(plain.pop("end_ns"))
    return {"symbol": plain.pop("symbol"), "start": start, "end": end, **plain}


def detect_answer(found: Detection) -> dict[str, Any]:
    """The machine answer of ``regime detect`` for one symbol."""
    regime: Regime = found.regime
    structure, risk = regime.structure, regime.risk
    return {
        "structure": {
            "label": structure.label.value,
            "confidence": structure.confidence,
            "hurst": structure.hurst,
            "hurst_ci": None if structure.hurst_ci is None else list(structure.hurst_ci),
            "variance_ratio": structure.variance_ratio,
            "p_values": structure.p_values,
            "half_life": structure.half_life_bars,
            "n_obs": structure.n_obs,
            "reason": structure.reason,
        },
        "risk": {
            "state": risk.state,
            "n_states": risk.n_states,
            "probability": risk.probability,
            "expected_duration": risk.expected_duration_bars,
            "transition": None if risk.transition is None else [list(row) for row in risk.transition],
            "margin": risk.margin,
            "flips_per_bar": risk.flips_per_bar,
            "model": risk.model,
            "fitted_at": None if risk.fitted_at_ns is None else time_ns_text(risk.fitted_at_ns),
            "reason": risk.reason,
        },
        "label": regime.label.value,
        "confidence": regime.confidence,
        "as_of": time_ns_text(regime.as_of_ns),
        "smoothed": found.smoothed,
        "evidence": [item.model_dump(mode="json") for item in regime.evidence],
        "reasons": found.reasons,
    }


def time_ns_text(ts_ns: int) -> str:
    """ISO 8601 text of UTC nanoseconds, with as many decimals as it needs."""
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{rest:09d}".rstrip("0") if rest else "") + "Z"
