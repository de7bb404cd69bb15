"""What comes from the market and goes to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from regime_trading.core.bars import IntradayGrid
from regime_trading.core.numbers import B1, I8
from regime_trading.core.schemas import DataHealth, Fill, Order, PriceWindow, Provides, Receipt
from regime_trading.core.tape import TapeChunk, TapeInfo, TapeTally


class Clock(Protocol):
    def now_ns(self) -> int:
        """Wall clock, UTC nanoseconds. Outside shadow and live it dates log lines only, never a decision."""
        ...


class MarketData(Protocol):
    """A source of bars. ``window(until=t)`` is the only way to see prices."""

    @property
    def name(self) -> str: ...

    @property
    def provides(self) -> frozenset[Provides]: ...

    @property
    def symbols(self) -> tuple[str, ...]: ...

    @property
    def calendar(self) -> str:
        """Name of the exchange calendar (``XNYS``, ``24/7`` …)."""
        ...

    def window(self, until: int | None = None, symbols: Sequence[str] | None = None) -> PriceWindow:
        """Bars with ``ts_event ≤ until`` (all bars where None)."""
        ...

    def health(self, until: int | None = None, symbols: Sequence[str] | None = None) -> DataHealth:
        """Integrity record of the same bars."""
        ...

    def tape(self, symbol: str) -> TapeSource | None:
        """Quotes and trades of a symbol; None where the source has none."""
        ...


class TapeSource(Protocol):
    """Quotes and trades of one symbol. Only what is not later than ``until`` can be seen."""

    @property
    def info(self) -> TapeInfo: ...

    def chunks(self, until: int | None = None) -> Iterator[TapeChunk]:
        """The tape from its beginning, up to and including ``until`` (UTC nanoseconds), in chunks of bounded size."""
        ...

    def tally(self) -> TapeTally:
        """What the last complete reading left out; raises ``RuntimeError`` before there was one."""
        ...


class Calendar(Protocol):
    """Sessions of a venue. Ordinals number its sessions; only their differences mean something."""

    @property
    def name(self) -> str: ...

    def closes_ns(self, first_ns: int, last_ns: int) -> I8:
        """Session closes in [first, last], int64 UTC nanoseconds."""
        ...

    def close_of(self, ordinal: int) -> int:
        """Close of one session, UTC nanoseconds."""
        ...

    def session_ordinal(self, ts_ns: I8) -> I8:
        """Ordinal of the session with ``previous close < ts ≤ close``."""
        ...

    def nearest_session(self, ts_ns: I8) -> tuple[I8, B1]:
        """Ordinal of the nearest session close, and whether the time is that close exactly."""
        ...

    def grid(self, bar_ns: int) -> IntradayGrid:
        """Intraday slots of ``bar_ns`` within the trading hours."""
        ...


class Broker(Protocol):
    def submit(self, account: str, orders: Sequence[Order], receipt: Receipt) -> None:
        """Accept orders for the next bar; idempotent by ``client_order_id``."""
        ...

    def fills(self, account: str, until_ns: int) -> Iterable[Fill]: ...
