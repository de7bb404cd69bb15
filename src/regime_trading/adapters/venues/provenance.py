"""Where rows come from, how the venue's clock differs from ours, and how old a feed is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from regime_trading.core.bars import SECOND_NS


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Venue time minus our time.

    Parameters
    ----------
    offset_ns : int or None
        None where the venue tells no time.
    uncertainty_ns : int
        Half the round trip, and half the resolution of what the venue says.
    source : str
        ``server time`` or ``Date header`` or ``unknown``.
    measured_at_ns : int
        Our clock at the middle of the round trip.
    """

    offset_ns: int | None
    uncertainty_ns: int
    source: str
    measured_at_ns: int

    def earliest_venue_ns(self, local_ns: int) -> int:
        """The least that the venue's clock can show at our ``local_ns``; our own clock where it is unknown."""
        return local_ns if self.offset_ns is None else local_ns + self.offset_ns - self.uncertainty_ns


def clock_offset(
    sent_ns: int, received_ns: int, venue_ns: int | None, resolution_ns: int, source: str
) -> ClockOffset:
    """Offset from one round trip: the venue read its clock somewhere between sending and receiving."""
    middle = (sent_ns + received_ns) // 2
    if venue_ns is None:
        return ClockOffset(None, 0, "unknown", middle)
    uncertainty = (received_ns - sent_ns + resolution_ns + 1) // 2
    return ClockOffset(venue_ns - middle, uncertainty, source, middle)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was asked of whom, when, and what came back; enough to ask again and to compare.

    Parameters
    ----------
    venue, endpoint, kind, symbol : str
    interval : str or None
        Of bars.
    since_ns, until_ns : int
        The stretch asked for. Bars lie wholly within it; quotes and trades in [since, until).
    covered_until_ns : int
        Up to where nothing can be added any more: the venue's time when the fetch began, less how long it may
        still add or change an event (five seconds for quotes and trades, four hours for daily bars of stocks).
    fetched_at_ns, received_ns : int
        Our clock when the fetch began, and when its last answer was received.
    clock : ClockOffset
    pages, requests, retries, rows : int
    content_sha256 : str
        Over the named arrays (``core.canonical.array_hash``).
    library, library_version : str
    first_ns, last_ns : int or None
        Event times; None without rows.
    counts : dict of str to int
        What was left out or mended, by reason.
    notes : tuple of str
        What a reader must know (units, adjustments, time stamps).
    """

    venue: str
    endpoint: str
    kind: str
    symbol: str
    interval: str | None
    since_ns: int
    until_ns: int
    covered_until_ns: int
    fetched_at_ns: int
    received_ns: int
    clock: ClockOffset
    pages: int
    requests: int
    retries: int
    rows: int
    content_sha256: str
    library: str
    library_version: str
    first_ns: int | None = None
    last_ns: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FeedAge:
    """How old the newest event of a feed is. NaN: not known.

    Parameters
    ----------
    at_reception_s : float
        Venue time when the event was received, minus event time: how late the feed delivers.
    now_s : float
        Venue time now, minus event time: grows when nothing more comes.
    silence_s : float
        Our time now minus our time of reception; needs no venue clock.
    uncertainty_s : float
        Of the first two.
    """

    at_reception_s: float
    now_s: float
    silence_s: float
    uncertainty_s: float

    @property
    def from_the_future(self) -> bool:
        """The newest event is later than the venue's clock can have been: a wrong clock or a wrong stamp."""
        return bool(self.at_reception_s < -self.uncertainty_s)


def feed_age(
    event_ns: npt.ArrayLike | None,
    received_ns: int | None,
    clock: ClockOffset | None,
    now_ns: int | None = None,
) -> FeedAge:
    """Age of the newest event, from event time and reception time both.

    Parameters
    ----------
    event_ns : int or array of int or None
        Event times on the venue's clock; the newest counts. None or empty: nothing was received.
    received_ns : int or None
        Our clock at the reception of the newest event.
    clock : ClockOffset or None
    now_ns : int, optional
        Our clock now.
    """
    events = np.atleast_1d(np.asarray([] if event_ns is None else event_ns, dtype=np.int64))
    newest = int(events.max()) if events.size else None
    known = clock is not None and clock.offset_ns is not None and newest is not None

    def age_s(local_ns: int | None) -> float:
        if local_ns is None or clock is None or clock.offset_ns is None or newest is None:
            return float("nan")
        return (local_ns + clock.offset_ns - newest) / SECOND_NS

    both = received_ns is not None and now_ns is not None
    return FeedAge(
        at_reception_s=age_s(received_ns),
        now_s=age_s(now_ns),
        silence_s=(now_ns - received_ns) / SECOND_NS if both else float("nan"),  # type: ignore[operator]
        uncertainty_s=clock.uncertainty_ns / SECOND_NS if known and clock else float("nan"),
    )
