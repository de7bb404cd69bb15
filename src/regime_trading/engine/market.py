"""The market as the guards see it, for every bar of a history: arrays once, one ``Market`` per bar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.schemas import InstrumentSpec
from regime_trading.core.settings import ScheduledEvent
from regime_trading.engine.facts import FactPath
from regime_trading.guards.snapshot import Market

ADV_BARS = 20


@dataclass(frozen=True, slots=True)
class Correlations:
    """Correlation in force from each of ``rows`` on: int64 [K], float64 [K, N, N], condition numbers [K]."""

    rows: I8
    matrix: F8
    condition: F8


@dataclass(frozen=True, slots=True)
class TapePath:
    """What a tape said by each bar's decision, causal in its first axis.

    Parameters
    ----------
    spread_bps : float64 [T, N]
        NaN = not measured.
    book, tape_grade : int8 [T, N]
        As in ``guards.snapshot``; −1 = the tape does not say.
    """

    spread_bps: F8
    book: I1
    tape_grade: I1


@dataclass(frozen=True, slots=True)
class MarketPath:
    """Everything the guards may know of the market, causal in its first axis.

    Parameters
    ----------
    ts_ns, session : int64 [T]
        Decision times; ordinal of the venue session.
    close, fill_price : float64 [T, N]
        Marks, and the price at which orders decided one bar earlier trade.
    sigma, completeness, adv, spread_bps : float64 [T, N]
        ``spread_bps`` is what decisions know: measured by the tape, else declared.
    book, tape_grade : int8 [T, N]
    declared_spread_bps : float64 [N]
        What fills and conservative marks pay; NaN = the default of the costs.
    n_obs, gap : int64 [T, N]
    label, confidence : int8 [T], float64 [T]
    venue_open : bool [T]
    to_event_s, since_event_s : float64 [T, N]
    """

    symbols: tuple[str, ...]
    bar_ns: int
    ts_ns: I8
    session: I8
    close: F8
    fill_price: F8
    last_close: F8
    age_bars: F8
    sigma: F8
    n_obs: I8
    completeness: F8
    gap: I8
    adv: F8
    venue_open: B1
    to_event_s: F8
    since_event_s: F8
    label: I1
    confidence: F8
    correlations: Correlations
    spread_bps: F8
    book: I1
    tape_grade: I1
    declared_spread_bps: F8
    group: I8
    groups: tuple[str, ...]
    lot: F8
    multiplier: F8
    fx: F8
    provided: frozenset[str]
    facts: FactPath
    substituted: frozenset[str] = frozenset()

    @property
    def unit(self) -> F8:
        """Multiplier times exchange rate, float64 [N]."""
        return self.multiplier * self.fx

    def at(self, t: int) -> Market:
        """The market at bar ``t``; nothing after it."""
        k = int(np.searchsorted(self.correlations.rows, t, side="right")) - 1
        n = len(self.symbols)
        unknown = np.full((n, n), np.nan)
        ts = int(self.ts_ns[t])
        return Market(
            ts_ns=ts,
            bar_ns=self.bar_ns,
            session=int(self.session[t]),
            date=dt.datetime.fromtimestamp(ts // 1_000_000_000, dt.UTC).date(),
            symbols=self.symbols,
            price=self.close[t],
            ref_price=self.last_close[t],
            age_bars=self.age_bars[t],
            sigma=self.sigma[t],
            correlation=self.correlations.matrix[k] if k >= 0 else unknown,
            n_obs=self.n_obs[t],
            condition=float(self.correlations.condition[k]) if k >= 0 else np.nan,
            completeness=self.completeness[t],
            gap=self.gap[t],
            venue_open=np.full(n, self.venue_open[t]),
            adv=self.adv[t],
            spread_bps=self.spread_bps[t],
            book=self.book[t],
            tape_grade=self.tape_grade[t],
            group=self.group,
            n_groups=len(self.groups),
            lot=self.lot,
            multiplier=self.multiplier,
            fx=self.fx,
            to_event_s=self.to_event_s[t],
            since_event_s=self.since_event_s[t],
            label=int(self.label[t]),
            confidence=float(self.confidence[t]),
            provided=self.provided | self.facts.said,
            substituted=self.substituted,
            instruments=self.facts.instruments(t, ts),
            signals=self.facts.signals(t),
        )


def last_known(close: F8) -> tuple[F8, F8]:
    """Last finite close strictly before each bar, and bars since the last finite one; float64 [T, N].

    NaN where there was none yet.
    """
    n_bars, n = close.shape
    rows = np.arange(n_bars)[:, None]
    seen = np.where(np.isfinite(close), rows, -1)
    latest = np.maximum.accumulate(seen, axis=0) if n_bars else seen
    before = np.vstack([np.full((1, n), -1), latest[:-1]]) if n_bars else latest
    picked = np.take_along_axis(close, np.maximum(before, 0), axis=0) if n_bars else close
    age = np.where(latest >= 0, rows - latest, np.nan).astype(np.float64)
    return np.where(before >= 0, picked, np.nan), age


def event_distances(ts_ns: I8, symbols: tuple[str, ...], events: Sequence[ScheduledEvent]) -> tuple[F8, F8]:
    """Seconds to the next and since the last high-impact event of each symbol, float64 [T, N]; inf = none."""
    ahead = np.full((len(ts_ns), len(symbols)), np.inf)
    behind = np.full((len(ts_ns), len(symbols)), np.inf)
    for column, symbol in enumerate(symbols):
        at = np.array(
            sorted(e.at_ns for e in events if e.kind == "news" and e.impact == "high" and e.concerns(symbol)),
            dtype=np.int64,
        )
        if not len(at):
            continue
        nxt = np.searchsorted(at, ts_ns, side="left")
        has_next, has_last = nxt < len(at), nxt > 0
        ahead[has_next, column] = (at[nxt[has_next]] - ts_ns[has_next]) / 1e9
        behind[has_last, column] = (ts_ns[has_last] - at[nxt[has_last] - 1]) / 1e9
        exact = has_next & (ahead[:, column] == 0)
        behind[exact, column] = 0.0
    return ahead, behind


def average_daily_notional(close: F8, volume: F8, bars_a_day: float) -> F8:
    """Mean of ``close · volume`` over the last ``ADV_BARS`` bars with both, per day, float64 [T, N]; NaN until full."""
    notional = close * volume
    known = np.isfinite(notional)
    total = np.cumsum(np.where(known, notional, 0.0), axis=0)
    count = np.cumsum(known, axis=0)
    lag_total = np.vstack([np.zeros((ADV_BARS, close.shape[1])), total])[: len(close)]
    lag_count = np.vstack([np.zeros((ADV_BARS, close.shape[1])), count])[: len(close)]
    seen = count - lag_count
    mean = np.divide(total - lag_total, seen, out=np.full_like(close, np.nan), where=seen >= ADV_BARS)
    a_day: F8 = mean * bars_a_day
    return a_day


@dataclass(frozen=True, slots=True)
class InstrumentArrays:
    """Specifications as arrays over symbols."""

    lot: F8
    multiplier: F8
    spread_bps: F8
    adv: F8
    group: I8
    groups: tuple[str, ...]


def instrument_arrays(specs: Sequence[InstrumentSpec]) -> InstrumentArrays:
    """Arrays of the given specifications, groups numbered in name order, −1 = unclassified."""
    groups = tuple(sorted({spec.group for spec in specs if spec.group is not None}))
    return InstrumentArrays(
        lot=np.array([float(s.lot) for s in specs]),
        multiplier=np.array([float(s.multiplier) for s in specs]),
        spread_bps=np.array([np.nan if s.spread_bps is None else float(s.spread_bps) for s in specs]),
        adv=np.array([np.nan if s.adv is None else float(s.adv) for s in specs]),
        group=np.array([-1 if s.group is None else groups.index(s.group) for s in specs], dtype=np.int64),
        groups=groups,
    )
