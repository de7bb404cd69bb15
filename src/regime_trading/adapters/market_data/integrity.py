"""The data-health record: what reading lost, what the calendar misses, and whether a symbol may be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.core.bars import DAY_NS, LOOKBACK_SESSIONS, SECOND_NS, integrity_history, median_spacing
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.schemas import DataHealth, HealthStatus, PriceWindow, Provides, SymbolHealth

_NOT_AT_CLOSE = "bars not at the close of a session"
_OUTSIDE = "bars outside the sessions of the calendar"
_NONE: I8 = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class IntegrityLimits:
    """Thresholds of the health status; the defaults are those of ``risk.md`` DS-05."""

    lookback_sessions: int = LOOKBACK_SESSIONS
    min_completeness: float = 0.95
    max_gap_bars: int = 3
    stale_run_bars: int = 5


@dataclass(frozen=True, slots=True)
class Lost:
    """What reading dropped or repaired for one symbol: ascending times (int64 ns) at which each is known."""

    duplicates: I8 = field(default_factory=lambda: _NONE)
    out_of_order: I8 = field(default_factory=lambda: _NONE)
    non_positive: I8 = field(default_factory=lambda: _NONE)
    off_calendar: I8 = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, slots=True)
class _Slots:
    """Slots of one symbol's bars: ``index`` of each, which of them fill one, the last slot that is over."""

    bar_ns: int
    index: I8
    fills: B1
    on_calendar: B1
    now: int
    lookback: int
    unit: str
    off: str


def health(
    window: PriceWindow,
    calendar: ExchangeCalendar,
    *,
    source: str,
    provides: frozenset[Provides],
    as_of_ns: int,
    lost: Mapping[str, Lost],
    notes: tuple[str, ...] = (),
    limits: IntegrityLimits | None = None,
) -> DataHealth:
    """Integrity record of a window. Depends on bars and losses up to ``as_of_ns`` only.

    Counts cover the whole window; ``completeness``, ``longest_gap`` and ``longest_stale_run`` look back
    ``limits.lookback_sessions`` sessions. Slots are sessions for daily bars, bars within the trading hours
    for intraday bars; for bars longer than a day, the rows of the source. ``bar_s`` is the median spacing
    (one day for daily bars; the lower median over the symbols).

    Parameters
    ----------
    window : PriceWindow
        Bars with ``ts_event ≤ as_of_ns``.
    calendar : ExchangeCalendar
    lost : dict
        By symbol; a symbol that is not there lost nothing.

    Returns
    -------
    DataHealth
        A symbol is ``unusable`` without a bar, below the minimum completeness or with a current gap above
        the limit; ``degraded`` for any other finding; each with its reasons in plain words.
    """
    limits = limits or IntegrityLimits()
    slots = [_slots(window, j, calendar, as_of_ns, limits) for j in range(len(window.symbols))]
    intervals = np.sort([s.bar_ns for s in slots if s.index.size > 1])
    symbols = tuple(
        _symbol_health(
            symbol, window.close[:, j], window.ts_ns, slots[j], lost.get(symbol, Lost()), as_of_ns, limits
        )
        for j, symbol in enumerate(window.symbols)
    )
    return DataHealth(
        source=source,
        calendar=calendar.name,
        as_of_ns=as_of_ns,
        provides=tuple(sorted(provides)),
        bar_s=int(intervals[(intervals.size - 1) // 2] if intervals.size else DAY_NS) // SECOND_NS,
        symbols=symbols,
        content_hash=window.content_hash(),
        notes=notes + _interval_notes(intervals) + _dropped_notes(lost, window.symbols, as_of_ns),
    )


def _interval_notes(intervals: I8) -> tuple[str, ...]:
    if intervals.size == 0:
        return ("bar interval assumed to be one day: no symbol has two bars",)
    if intervals[0] != intervals[-1]:
        return (f"bar intervals differ: {intervals[0] // SECOND_NS} s to {intervals[-1] // SECOND_NS} s",)
    return ()


def _dropped_notes(lost: Mapping[str, Lost], symbols: tuple[str, ...], as_of_ns: int) -> tuple[str, ...]:
    dropped = max((_until(lost[s].off_calendar, as_of_ns) for s in symbols if s in lost), default=0)
    return (f"dates dropped that are no session: {dropped}",) if dropped else ()


def _slots(
    window: PriceWindow, j: int, calendar: ExchangeCalendar, as_of_ns: int, limits: IntegrityLimits
) -> _Slots:
    rows = np.flatnonzero(~np.isnan(window.close[:, j]))
    ts = window.ts_ns[rows]
    session, exact = calendar.nearest_session(ts)
    spacing = median_spacing(ts) or DAY_NS
    if spacing <= DAY_NS // 2:
        return _intraday(ts, max(spacing, SECOND_NS), calendar, as_of_ns, limits)
    if (median_spacing(session) or 1) <= 1:
        now = max([calendar.last_session(as_of_ns), *session[-1:].tolist()])
        always = np.ones(ts.size, dtype=bool)
        return _Slots(
            DAY_NS, session, always, exact, now, limits.lookback_sessions, "sessions", _NOT_AT_CLOSE
        )
    since = int(as_of_ns - window.ts_ns[-1]) // spacing
    now = window.ts_ns.size - 1 + max(since, 0)
    return _Slots(
        spacing, rows, np.ones(ts.size, bool), exact, now, limits.lookback_sessions, "bars", _NOT_AT_CLOSE
    )


def _intraday(
    ts: I8, bar_ns: int, calendar: ExchangeCalendar, as_of_ns: int, limits: IntegrityLimits
) -> _Slots:
    grid = calendar.grid(bar_ns)
    index, inside = grid.slot(ts)
    now = max([grid.last_complete(as_of_ns), *index[inside][-1:].tolist()])
    today = int(calendar.session_ordinal(as_of_ns))
    before = grid.last_complete(calendar.close_of(today - limits.lookback_sessions))
    return _Slots(bar_ns, index, inside, inside, now, max(now - before, 1), "bars", _OUTSIDE)


def _symbol_health(
    symbol: str, close: F8, ts_ns: I8, slots: _Slots, lost: Lost, as_of_ns: int, limits: IntegrityLimits
) -> SymbolHealth:
    bars = np.flatnonzero(~np.isnan(close))
    filled = slots.index[slots.fills]
    column = np.append(close[bars][slots.fills], np.nan)[:, None]
    path = integrity_history(column, np.append(filled, slots.now), slots.lookback)
    found = {
        "duplicates": _until(lost.duplicates, as_of_ns),
        "out_of_order": _until(lost.out_of_order, as_of_ns),
        "missing": slots.now - int(filled[0]) + 1 - np.unique(filled).size if filled.size else 0,
        "non_positive": _until(lost.non_positive, as_of_ns),
        "off_calendar": int(np.sum(~slots.on_calendar)) + _until(lost.off_calendar, as_of_ns),
        "longest_gap": int(path.longest_gap[-1, 0]),
        "current_gap": int(path.current_gap[-1, 0]),
        "longest_stale_run": int(path.longest_stale_run[-1, 0]),
    }
    completeness = float(path.completeness[-1, 0])
    blocking = _blocking(bars.size, completeness, found, slots.unit, limits)
    remarks = _remarks(found, slots, limits)
    status = HealthStatus.UNUSABLE if blocking else HealthStatus.DEGRADED if remarks else HealthStatus.OK
    return SymbolHealth(
        symbol=symbol,
        bars=bars.size,
        first_ts_ns=int(ts_ns[bars[0]]) if bars.size else None,
        last_ts_ns=int(ts_ns[bars[-1]]) if bars.size else None,
        completeness=completeness,
        status=status,
        reasons=blocking + remarks,
        **found,
    )


def _until(times: I8, as_of_ns: int) -> int:
    return int(np.searchsorted(times, as_of_ns, side="right"))


def _blocking(
    bars: int, completeness: float, found: dict[str, int], unit: str, limits: IntegrityLimits
) -> tuple[str, ...]:
    if bars == 0:
        return ("no bar yet",)
    reasons = []
    if completeness < limits.min_completeness:
        reasons.append(
            f"completeness {completeness:.4f} over the last {limits.lookback_sessions} sessions, "
            f"minimum {limits.min_completeness}"
        )
    if found["current_gap"] > limits.max_gap_bars:
        reasons.append(f"no bar for {found['current_gap']} {unit}, limit {limits.max_gap_bars}")
    return tuple(reasons)


def _remarks(found: dict[str, int], slots: _Slots, limits: IntegrityLimits) -> tuple[str, ...]:
    reasons = []
    if max(limits.max_gap_bars, found["current_gap"]) < found["longest_gap"]:
        reasons.append(f"a gap of {found['longest_gap']} {slots.unit}, limit {limits.max_gap_bars}")
    if found["longest_stale_run"] >= limits.stale_run_bars:
        reasons.append(f"close unchanged over {found['longest_stale_run']} bars in a row")
    texts = {
        "duplicates": "repeated rows dropped",
        "out_of_order": "rows out of time order, sorted",
        "non_positive": "zero or negative prices, treated as missing",
        "off_calendar": slots.off,
    }
    return tuple(reasons) + tuple(f"{text}: {found[key]}" for key, text in texts.items() if found[key])
