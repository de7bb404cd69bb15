"""Exchange calendars: half-days, holidays and daylight saving from ``exchange_calendars``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from regime_trading.core.bars import IntradayGrid, nearest_session
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, I8

FIRST_DAY = "1950-01-01"
LAST_DAY = "2035-12-31"
_NO_BREAK = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class _Sessions:
    """Every session of one calendar, and its stretches of trading (two where it has a lunch break)."""

    dates: npt.NDArray[np.datetime64]
    closes_ns: I8
    stretch_opens_ns: I8
    stretch_closes_ns: I8


class ExchangeCalendar:
    """Sessions of a venue, 1950 to 2035 or as far as ``exchange_calendars`` knows it.

    Built once per process. A time outside the range is unknown, not closed and not open: it is an error.

    Parameters
    ----------
    name : str
        A calendar of ``exchange_calendars``: ``XNYS``, ``XLON``, ``24/7`` … (aliases such as ``NYSE`` too).

    Raises
    ------
    BadInput
        An unknown name (with the nearest ones), or a calendar the library cannot build.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._sessions = _sessions(name)

    @property
    def first_ns(self) -> int:
        """Close of the first session."""
        return int(self._sessions.closes_ns[0])

    @property
    def last_ns(self) -> int:
        """Close of the last session."""
        return int(self._sessions.closes_ns[-1])

    def closes_ns(self, first_ns: int, last_ns: int) -> I8:
        """Session closes in [first, last], int64 UTC nanoseconds.

        Raises
        ------
        BadInput
            A bound outside the range of the calendar.
        """
        self.require_inside(first_ns, last_ns)
        closes = self._sessions.closes_ns
        return closes[np.searchsorted(closes, first_ns, "left") : np.searchsorted(closes, last_ns, "right")]

    def session_ordinal(self, ts_ns: npt.ArrayLike) -> I8:
        """Ordinal of the session each time belongs to: the one with ``previous close < ts ≤ close``.

        Ordinals count from the calendar's first session; only their differences mean something.

        Raises
        ------
        BadInput
            A time outside the range of the calendar.
        """
        ts = self._inside(ts_ns)
        return np.searchsorted(self._sessions.closes_ns, ts, side="left").astype(np.int64)

    def nearest_session(self, ts_ns: npt.ArrayLike) -> tuple[I8, B1]:
        """Ordinal of the nearest session close, and whether the time is that close exactly."""
        return nearest_session(self._inside(ts_ns), self._sessions.closes_ns)

    def last_session(self, ts_ns: int) -> int:
        """Ordinal of the last session that has closed at ``ts_ns``."""
        return int(np.searchsorted(self._sessions.closes_ns, self._inside(ts_ns), side="right")) - 1

    def grid(self, bar_ns: int) -> IntradayGrid:
        """Intraday slots of ``bar_ns`` within the trading hours."""
        return IntradayGrid(self._sessions.stretch_opens_ns, self._sessions.stretch_closes_ns, bar_ns)

    def close_of(self, ordinal: int) -> int:
        """Close of the session with this ordinal; sessions before the first one closed at its opening."""
        return int(self._sessions.closes_ns[ordinal]) if ordinal >= 0 else self._opening_ns

    def close_of_date(self, dates: npt.NDArray[np.datetime64]) -> tuple[I8, B1]:
        """Session close of each date (``datetime64[D]``), and whether the date is a session at all.

        Where it is none, the close is that of the next session.
        """
        known = self._sessions.dates
        at = np.minimum(np.searchsorted(known, dates, side="left"), known.size - 1)
        return self._sessions.closes_ns[at], known[at] == dates

    def require_inside(self, first_ns: int, last_ns: int) -> None:
        """Raise ``BadInput`` unless both times lie within the sessions the calendar knows."""
        if first_ns <= self._opening_ns or last_ns > self.last_ns:
            found = first_ns if first_ns <= self._opening_ns else last_ns
            raise BadInput(
                expected=f"a time between {_day(self.first_ns)} and {_day(self.last_ns)}",
                found=_day(found),
                where=f"calendar {self.name}",
            )

    @property
    def _opening_ns(self) -> int:
        return int(self._sessions.stretch_opens_ns[0])

    def _inside(self, ts_ns: npt.ArrayLike) -> I8:
        ts = np.asarray(ts_ns, dtype=np.int64)
        if ts.size:
            self.require_inside(int(ts.min()), int(ts.max()))
        return ts


def _day(ts_ns: int) -> str:
    return str(np.datetime64(ts_ns, "ns").astype("datetime64[D]"))


@lru_cache(maxsize=32)
def _sessions(name: str) -> _Sessions:
    import exchange_calendars as xcals  # half a second: paid only where a calendar is asked for

    known = xcals.get_calendar_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f" (nearest: {', '.join(near)})" if near else ""
        raise BadInput(expected="a calendar such as XNYS or 24/7", found=f"{name!r}{hint}", where="calendar")
    try:
        first, last = _range(xcals, name)
        return _arrays(xcals.get_calendar(name, start=first, end=last))
    except (ValueError, NotImplementedError) as error:
        raise BadInput(
            expected="a calendar that exchange_calendars can build",
            found=f"{name!r}: {str(error)[:120]}",
            where="calendar",
        ) from error


def _range(xcals: Any, name: str) -> tuple[Any, Any]:
    """First and last day, within the bounds that the calendar's own class declares."""
    import pandas as pd

    kind = type(xcals.get_calendar(name, start="2022-01-03", end="2022-02-01"))
    first, last = pd.Timestamp(FIRST_DAY), pd.Timestamp(LAST_DAY)
    return max(first, kind.bound_min() or first), min(last, kind.bound_max() or last)


def _arrays(calendar: Any) -> _Sessions:
    opens, closes = calendar.opens_nanos, calendar.closes_nanos
    pauses, resumes = calendar.break_starts_nanos, calendar.break_ends_nanos
    broken = pauses != _NO_BREAK
    return _frozen(
        calendar.sessions.to_numpy().astype("datetime64[D]"),
        closes,
        np.sort(np.concatenate((opens, resumes[broken]))),
        np.sort(np.concatenate((closes, pauses[broken]))),
    )


def _frozen(*arrays: npt.NDArray[Any]) -> _Sessions:
    copies = [np.array(a) for a in arrays]
    for a in copies:
        a.setflags(write=False)
    return _Sessions(*copies)
