"""A tape in memory: quotes and trades as arrays, in chunks that follow each other in time.

A reader (``core.ports.TapeSource``) hands out chunks; the measures (``tools.microstructure``) take them one
after the other, so that a file may be larger than memory. Rows are in tape order: ascending in time, rows of
one instant as the venue sent them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8

#: grades of microstructure evidence, best first
EvidenceGrade = Literal["L2", "L1", "trades", "bars"]

BUY, SELL, UNSIGNED = 1, -1, 0


@dataclass(frozen=True, slots=True)
class QuoteRows:
    """States of the best bid and ask, one row per update, as the venue said them: invalid rows included.

    Parameters
    ----------
    ts_ns : int64 [n]
        UTC nanoseconds, ascending; equal times are legal and keep their order.
    bid_px, ask_px, bid_sz, ask_sz : float64 [n]
        Price in quote currency, size in units of the instrument. NaN = that side is missing.
    levels : DepthRows or None
        The book behind the same rows, best level first, level 0 equal to the best quote.
    """

    ts_ns: I8
    bid_px: F8
    ask_px: F8
    bid_sz: F8
    ask_sz: F8
    levels: DepthRows | None = None

    def __len__(self) -> int:
        return len(self.ts_ns)


@dataclass(frozen=True, slots=True)
class DepthRows:
    """``L`` levels on each side, best first, float64 [n, L]; NaN where a level is empty."""

    bid_px: F8
    ask_px: F8
    bid_sz: F8
    ask_sz: F8


@dataclass(frozen=True, slots=True)
class TradeRows:
    """Executions.

    Parameters
    ----------
    ts_ns : int64 [m]
        UTC nanoseconds, ascending.
    price, size : float64 [m]
        Positive and finite.
    aggressor : int8 [m]
        ``BUY``, ``SELL``, or ``UNSIGNED`` where the tape does not say.
    visible : bool [m]
        Executed against visible liquidity (LOBSTER type 4); effective spreads use only these.
    continuous : bool [m]
        False for auction, cross and halt prints and extended hours: in no measure of continuous trading.
    after_quote : int64 [m]
        How many quote rows of the whole tape (not of the chunk) come before the trade in the tape's own
        sequence; the last of them is the book in force just before it. −1 where the tape has no common
        sequence: then the last quote strictly earlier in time.
    """

    ts_ns: I8
    price: F8
    size: F8
    aggressor: I1
    visible: B1
    continuous: B1
    after_quote: I8

    def __len__(self) -> int:
        return len(self.ts_ns)


@dataclass(frozen=True, slots=True)
class TapeChunk:
    """Consecutive rows of a tape. No row of a later chunk is earlier in time than any row of this one, whether
    quote or trade."""

    quotes: QuoteRows
    trades: TradeRows


@dataclass(frozen=True, slots=True)
class TapeInfo:
    """What a tape is, known before a row is read.

    Parameters
    ----------
    symbol : str
    format : str
        ``lobster``, ``dbn``, ``taq``, ``parquet`` or ``csv``.
    evidence : str
        ``L2`` with more than one level, ``L1`` with quotes, ``trades`` with trades alone.
    has_trades, has_aggressor : bool
    calendar : str or None
        Exchange calendar that the format implies; None where it implies none.
    files : tuple of (str, str)
        Name and SHA-256 of each file read.
    first_ns, last_ns : int
        Earliest and latest event time.
    rows : int
        Quote rows, before anything is dropped.
    notes : tuple of str
        What a reader of the report must be told.
    breaks_ns : tuple of int
        Instants, ascending, at which trading resumed after a halt: a new session begins there.
    """

    symbol: str
    format: str
    evidence: EvidenceGrade
    has_trades: bool
    has_aggressor: bool
    calendar: str | None
    files: tuple[tuple[str, str], ...]
    first_ns: int
    last_ns: int
    rows: int
    notes: tuple[str, ...] = ()
    breaks_ns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TapeTally:
    """What reading left out or moved; complete once every chunk has been taken.

    Parameters
    ----------
    rows : int
        Quote rows read, those that were left out included.
    out_of_order : int
        Quote rows earlier than a row before them in the file, put in their place by a stable sort.
    removed : dict of str to int
        Quote rows left out before any measure, by reason (empty for plain quote files).
    trades, trades_removed
        The same for trades, by reason.
    """

    rows: int
    out_of_order: int
    removed: dict[str, int]
    trades: int
    trades_removed: dict[str, int]


def no_quotes() -> QuoteRows:
    """No rows."""
    none = np.empty(0)
    return QuoteRows(np.empty(0, np.int64), none, none, none, none)


def no_trades() -> TradeRows:
    """No rows."""
    none, flags = np.empty(0), np.empty(0, np.bool_)
    return TradeRows(
        np.empty(0, np.int64), none, none, np.empty(0, np.int8), flags, flags, np.empty(0, np.int64)
    )
