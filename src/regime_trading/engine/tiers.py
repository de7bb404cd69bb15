"""The regime on longer bars of the same source: tiers LT, MT and ST, never made up from coarser bars. Pure."""

from __future__ import annotations

from typing import Literal

import numpy as np

from regime_trading.core.bars import SECOND_NS
from regime_trading.core.numbers import F8, I8
from regime_trading.core.ports import Calendar
from regime_trading.core.schemas import PriceWindow, Regime, TierRegime
from regime_trading.engine.detection import DetectionParams, detect
from regime_trading.tools.resample import resample

Tier = Literal["LT", "MT", "ST"]


def tier_windows(
    window: PriceWindow, tiers: dict[Tier, int], bar_s: int, calendar: Calendar
) -> dict[Tier, PriceWindow | None]:
    """The bars of each tier: the source's own where they are as long, longer ones made from them, None where the
    source's bars are coarser.

    Parameters
    ----------
    window : PriceWindow
    tiers : dict of str to int
        Seconds of each tier's bar, at most a day.
    bar_s : int
        Seconds of the source's bar.
    """
    if not len(window.ts_ns):
        return dict.fromkeys(tiers)
    closes = _closes(window.ts_ns, calendar)
    return {
        name: None
        if seconds < bar_s
        else window
        if seconds == bar_s
        else resample(window, seconds * SECOND_NS, closes)
        for name, seconds in tiers.items()
    }


def _closes(ts_ns: I8, calendar: Calendar) -> I8:
    """Close of the session each bar belongs to."""
    ordinals, at = np.unique(calendar.session_ordinal(ts_ns), return_inverse=True)
    closes: I8 = np.array([calendar.close_of(int(o)) for o in ordinals], dtype=np.int64)[at]
    return closes


def market_window(window: PriceWindow, symbol: str, returns: F8) -> PriceWindow:
    """The market series as one column of prices: the proxy's closes, or the growth of the stand-in's returns."""
    if symbol in window.symbols:
        close = window.select((symbol,)).close
    else:
        growth = 100.0 * np.exp(np.cumsum(np.nan_to_num(returns, nan=0.0)))
        close = np.where(np.isnan(returns), np.nan, growth)[:, None]
    return PriceWindow((symbol,), window.ts_ns, close)


def tier_regimes(
    market: PriceWindow,
    own: Regime,
    tiers: dict[Tier, int],
    bar_s: int,
    calendar: Calendar,
    params: DetectionParams,
) -> tuple[TierRegime, ...]:
    """Regime of the market series on the bars of every tier, longest first.

    A tier as long as the source's bar is the regime ``own``; a longer one is found anew on its complete bars, with
    the same knobs counted in its bars; a shorter one is unavailable and says so.
    """
    windows = tier_windows(market, tiers, bar_s, calendar)
    return tuple(_tier(name, tiers[name], windows[name], own, bar_s, params) for name in tiers)


def _tier(
    name: Tier, seconds: int, bars: PriceWindow | None, own: Regime, bar_s: int, params: DetectionParams
) -> TierRegime:
    if bars is None:
        reason = f"unavailable: the source has bars of {bar_s} s"
        return TierRegime(tier=name, bar_s=seconds, label=None, reason=reason)
    found = own
    if seconds != bar_s:
        if not len(bars.ts_ns):
            reason = "unavailable: no complete bar yet"
            return TierRegime(tier=name, bar_s=seconds, label=None, reason=reason)
        found = detect(bars, params, rows=False)[0].regime
    return TierRegime(
        tier=name,
        bar_s=seconds,
        label=found.label,
        confidence=found.confidence,
        risk_state=found.risk.state,
        reason=found.structure.reason or found.risk.reason,
    )
