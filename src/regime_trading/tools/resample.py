"""Bars of a longer interval from bars of a shorter one; never the other way round."""

from __future__ import annotations

import numpy as np

from regime_trading.core.bars import DAY_NS
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I8
from regime_trading.core.schemas import PriceWindow


def bar_ends(ts_ns: I8, bar_ns: int, close_ns: I8) -> I8:
    """When the longer bar that holds each shorter one is complete, int64 [T].

    A bar of a day or more ends with the session (of ``bar_ns`` / day sessions only the single day is defined);
    a shorter one at the next multiple of ``bar_ns`` from midnight UTC, and at the latest with the session: the
    last bar of a session may be shorter, none reaches over its close.

    Parameters
    ----------
    ts_ns : int64 [T]
        Completion time of each bar.
    close_ns : int64 [T]
        Close of the session that each bar belongs to.

    Raises
    ------
    BadInput
        ``bar_ns`` below 1, or of more than one day.
    """
    if not 1 <= bar_ns <= DAY_NS:
        raise BadInput(expected="bars of 1 ns to one day", found=f"{bar_ns} ns", where="tier")
    if bar_ns == DAY_NS:
        return np.asarray(close_ns, dtype=np.int64)
    return np.minimum(-(-ts_ns // bar_ns) * bar_ns, close_ns)


def resample(window: PriceWindow, bar_ns: int, close_ns: I8) -> PriceWindow:
    """Complete bars of ``bar_ns``: first open, highest high, lowest low, last close, sum of volumes.

    A bar is complete where its end is reached or a later bar is there: the bar in progress is left out, so a
    bar keeps its values when later rows are cut off or altered. A symbol without a price in a bar has none
    (NaN); a bar without any is not made.

    Parameters
    ----------
    window : PriceWindow
    bar_ns : int
        At most one day (:func:`bar_ends`).
    close_ns : int64 [T]
        Close of the session of each row.

    Raises
    ------
    BadInput
        As :func:`bar_ends`.
    """
    ends = bar_ends(window.ts_ns, bar_ns, close_ns)
    if not len(ends):
        return window
    first = np.flatnonzero(np.concatenate(([True], ends[1:] != ends[:-1])))
    stamp = ends[first]
    whole = len(first) - int(window.ts_ns[-1] < ends[-1])
    opens = window.close if window.open is None else window.open

    def kept(values: F8 | None) -> F8 | None:
        return None if values is None else np.ascontiguousarray(values[:whole])

    return PriceWindow(
        symbols=window.symbols,
        ts_ns=stamp[:whole],
        close=_picked(window.close, first, last=True)[:whole],
        open=None if window.open is None else kept(_picked(opens, first, last=False)),
        high=None if window.high is None else kept(_reduced(np.fmax, window.high, first)),
        low=None if window.low is None else kept(_reduced(np.fmin, window.low, first)),
        volume=None if window.volume is None else kept(_summed(window.volume, first)),
    )


def _picked(values: F8, first: I8, *, last: bool) -> F8:
    """The last (or first) finite value of each group of rows, NaN where there is none."""
    out = np.full((len(first), values.shape[1]), np.nan)
    stops = np.append(first[1:], len(values))
    for column in range(values.shape[1]):
        rows = np.flatnonzero(np.isfinite(values[:, column]))
        if last:
            at = np.searchsorted(rows, stops, side="left") - 1
            inside = (
                (at >= 0) & (rows[np.maximum(at, 0)] >= first) if len(rows) else np.zeros(len(first), bool)
            )
        else:
            at = np.searchsorted(rows, first, side="left")
            inside = (
                (at < len(rows)) & (rows[np.minimum(at, len(rows) - 1)] < stops)
                if len(rows)
                else np.zeros(len(first), bool)
            )
        out[inside, column] = values[rows[at[inside]], column]
    return out


def _reduced(function: np.ufunc, values: F8, first: I8) -> F8:
    reduced: F8 = function.reduceat(values, first, axis=0)
    return reduced


def _summed(values: F8, first: I8) -> F8:
    known = np.isfinite(values)
    total: F8 = np.add.reduceat(np.where(known, values, 0.0), first, axis=0)
    return np.where(np.logical_or.reduceat(known, first, axis=0), total, np.nan)
