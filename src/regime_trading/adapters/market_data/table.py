"""A source whose bars lie in memory: the ``MarketData`` port over one read-only window."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.market_data.integrity import IntegrityLimits, Lost, health
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.core.ports import TapeSource
from regime_trading.core.schemas import DataHealth, PriceWindow, Provides


class BarTable:
    """Bars of one source, cut by ``window(until=t)``; every array it hands out is read-only.

    Parameters
    ----------
    name : str
        The source as the user named it.
    calendar : ExchangeCalendar
    bars : PriceWindow
        All bars, symbols sorted, no row without a close.
    lost : mapping
        What reading dropped or repaired, by symbol.
    notes : sequence of str
        What a reader of the report must know of this source.
    limits : IntegrityLimits, optional
    tapes : mapping, optional
        Opens the quotes and trades of a symbol.

    Raises
    ------
    BadInput
        Bars outside the years that the calendar knows.
    """

    def __init__(
        self,
        name: str,
        calendar: ExchangeCalendar,
        bars: PriceWindow,
        *,
        lost: Mapping[str, Lost] | None = None,
        notes: Sequence[str] = (),
        limits: IntegrityLimits | None = None,
        tapes: Mapping[str, Callable[[], TapeSource]] | None = None,
    ) -> None:
        calendar.require_inside(int(bars.ts_ns[0]), int(bars.ts_ns[-1]))
        self._name, self._calendar, self._notes, self._limits = name, calendar, tuple(notes), limits
        self._lost = dict(lost or {})
        self._openers = dict(tapes or {})
        self._tapes: dict[str, TapeSource] = {}
        self._chosen = {bars.symbols: _locked(bars)}
        self._all = bars.symbols

    @property
    def name(self) -> str:
        return self._name

    @property
    def provides(self) -> frozenset[Provides]:
        bars = self._chosen[self._all]
        has = {
            Provides.CLOSE: True,
            Provides.OHLC: bars.open is not None,
            Provides.VOLUME: bars.volume is not None,
            Provides.QUOTES: any(tape.info.evidence in ("L1", "L2") for tape in self._all_tapes()),
            Provides.TRADES: any(tape.info.has_trades for tape in self._all_tapes()),
        }
        return frozenset(kind for kind, there in has.items() if there)

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._all

    @property
    def calendar(self) -> str:
        return self._calendar.name

    def window(self, until: int | None = None, symbols: Sequence[str] | None = None) -> PriceWindow:
        """Bars with ``ts_event ≤ until`` (all bars where None).

        Parameters
        ----------
        until : int, optional
            UTC nanoseconds, included.
        symbols : sequence of str, optional
            Columns in this order; all symbols, sorted, where None.

        Returns
        -------
        PriceWindow
            Read-only arrays; rows in which none of the symbols has a bar are left out.

        Raises
        ------
        BadInput
            An unknown or repeated symbol, or none at all.
        """
        bars = self._select(self._all if symbols is None else tuple(symbols))
        return bars if until is None else bars.until(until)

    def health(self, until: int | None = None, symbols: Sequence[str] | None = None) -> DataHealth:
        """Integrity record of the same bars; ``as_of`` is ``until``, or the source's last bar where None."""
        as_of = int(self._chosen[self._all].ts_ns[-1]) if until is None else until
        return health(
            self.window(until, symbols),
            self._calendar,
            source=self._name,
            provides=self.provides,
            as_of_ns=as_of,
            lost=self._lost,
            notes=self._notes,
            limits=self._limits,
        )

    def tape(self, symbol: str) -> TapeSource | None:
        """Quotes and trades of a symbol, opened at the first call; None where there are none."""
        if symbol not in self._tapes and symbol in self._openers:
            self._tapes[symbol] = self._openers[symbol]()
        return self._tapes.get(symbol)

    def _all_tapes(self) -> list[TapeSource]:
        return [tape for tape in map(self.tape, sorted(self._openers)) if tape is not None]

    def _select(self, symbols: tuple[str, ...]) -> PriceWindow:
        if symbols not in self._chosen:
            self._require_known(symbols)
            self._chosen[symbols] = _locked(_without_empty_rows(self._chosen[self._all].select(symbols)))
        return self._chosen[symbols]

    def _require_known(self, symbols: tuple[str, ...]) -> None:
        where = f"symbols asked of {self._name}"
        if not symbols:
            raise BadInput(expected="at least one symbol", found="none", where=where)
        for symbol in symbols:
            if symbol not in self._all:
                near = difflib.get_close_matches(symbol, self._all, n=3, cutoff=0.4) or list(self._all[:5])
                raise BadInput(
                    expected=f"a symbol of this source (nearest: {', '.join(near)})",
                    found=repr(symbol),
                    where=where,
                )
        repeated = sorted(s for s in symbols if symbols.count(s) > 1)
        if repeated:
            raise BadInput(expected="each symbol once", found=f"{repeated[0]!r} twice", where=where)


def _without_empty_rows(bars: PriceWindow) -> PriceWindow:
    keep = ~np.isnan(bars.close).all(axis=1)

    def kept(a: F8 | None) -> F8 | None:
        return None if a is None else a[keep]

    return PriceWindow(
        bars.symbols,
        bars.ts_ns[keep],
        bars.close[keep],
        kept(bars.open),
        kept(bars.high),
        kept(bars.low),
        kept(bars.volume),
    )


def _locked(bars: PriceWindow) -> PriceWindow:
    for array in (bars.ts_ns, bars.close, bars.open, bars.high, bars.low, bars.volume):
        if array is not None:
            array.setflags(write=False)
    return bars
