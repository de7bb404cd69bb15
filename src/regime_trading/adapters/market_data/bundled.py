"""Real prices that ship inside installed packages; read from their files, nothing is downloaded.

======================  ==========================================================  =================
source                  what                                                        from
======================  ==========================================================  =================
``bundled``             20 S&P 500 companies and the index (``SPX``), adjusted       ``skfolio``
                        closes, daily 1990–2022
``bundled:sp500``       S&P 500 index (``SPX``), OHLCV, daily 1999–2018              ``arch``
``bundled:nasdaq``      Nasdaq Composite (``IXIC``), OHLCV, daily 1999–2018          ``arch``
======================  ==========================================================  =================

Their dates are naive; each becomes the close of that XNYS session. A date that is no session is dropped,
counted ``off_calendar`` and noted.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.market_data.cells import Sheet, numbers, read_sheet
from regime_trading.adapters.market_data.integrity import IntegrityLimits, Lost
from regime_trading.adapters.market_data.table import BarTable
from regime_trading.core.bars import DAY_NS
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I8
from regime_trading.core.schemas import PriceWindow

CALENDAR = "XNYS"
SOURCES = ("bundled", "bundled:sp500", "bundled:nasdaq")
_SURVIVORSHIP = (
    "survivorship: 20 companies still listed in 2022; what failed or was taken over before is absent, so returns "
    "are flattered"
)
_ADJUSTED = (
    "closes are adjusted for splits and dividends as known in 2022 and rounded to 0.001: "
    "returns of prices below 1 carry rounding noise"
)
_VOLUME = "a volume of 0 is missing: an index cannot stand still for a session"
_INDEX = "{} is an index level, not an instrument that can be held"


def open_bundled(name: str, limits: IntegrityLimits | None = None) -> BarTable:
    """One of ``SOURCES``.

    Raises
    ------
    BadInput
        The package or its file is not there, or is not what it was.
    """
    calendar = ExchangeCalendar(CALENDAR)
    if name == "bundled":
        return _constituents(calendar, limits)
    file, symbol = {"bundled:sp500": ("sp500", "SPX"), "bundled:nasdaq": ("nasdaq", "IXIC")}[name]
    return _index_bars(name, file, symbol, calendar, limits)


def _constituents(calendar: ExchangeCalendar, limits: IntegrityLimits | None) -> BarTable:
    stocks = read_sheet(_data_file("skfolio", "datasets/data/sp500_dataset.csv.gz"))
    index = read_sheet(_data_file("skfolio", "datasets/data/sp500_index.csv.gz"))
    dates = _dates(stocks, "%Y-%m-%d")
    if not np.array_equal(dates, _dates(index, "%Y-%m-%d")):
        raise BadInput(expected=f"the dates of {stocks.path}", found="other dates", where=index.path)
    names = sorted(n for n in stocks.columns if n != "Date")
    symbols = tuple(sorted([*names, "SPX"]))
    close = np.insert(numbers(stocks, names), symbols.index("SPX"), numbers(index, ["SP500"])[:, 0], axis=1)
    ts, keep, lost = _on_sessions(dates, calendar, symbols)
    bars = PriceWindow(symbols, ts, _positive(close[keep], stocks.path))
    notes = (_SURVIVORSHIP, _ADJUSTED, _INDEX.format("SPX"))
    return BarTable("bundled", calendar, bars, lost=lost, notes=notes, limits=limits)


def _index_bars(
    name: str, file: str, symbol: str, calendar: ExchangeCalendar, limits: IntegrityLimits | None
) -> BarTable:
    sheet = read_sheet(_data_file("arch", f"data/{file}/{file}.csv.gz"))
    ts, keep, lost = _on_sessions(_dates(sheet, "%m/%d/%Y"), calendar, (symbol,))
    o, h, low, c = (
        _positive(numbers(sheet, [n])[keep], sheet.path) for n in ("Open", "High", "Low", "Close")
    )
    volume = numbers(sheet, ["Volume"])[keep]
    bars = PriceWindow((symbol,), ts, c, o, h, low, np.where(volume == 0, np.nan, volume))
    return BarTable(name, calendar, bars, lost=lost, notes=(_INDEX.format(symbol), _VOLUME), limits=limits)


def _data_file(package: str, inside: str) -> Path:
    """A file of an installed package, found without importing it (an import would take seconds)."""
    spec = find_spec(package)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    if not roots or not (Path(roots[0]) / inside).is_file():
        raise BadInput(
            expected=f"the prices that ship with {package}", found=f"no {inside}", where=f"package {package}"
        )
    return Path(roots[0]) / inside


def _dates(sheet: Sheet, form: str) -> npt.NDArray[np.datetime64]:
    days = sheet.columns["Date"].str.to_date(form, strict=False)
    if days.is_null().any():
        sheet.refuse(int(np.argmax(days.is_null().to_numpy())), "Date", expected=f"a date {form}")
    dates = days.cast(pl.Date).to_numpy().astype("datetime64[D]")
    back = np.flatnonzero(np.diff(dates) <= np.timedelta64(0, "D"))
    if back.size:
        sheet.refuse(int(back[0]) + 1, "Date", expected="ascending dates")
    return dates


def _on_sessions(
    dates: npt.NDArray[np.datetime64], calendar: ExchangeCalendar, symbols: tuple[str, ...]
) -> tuple[I8, npt.NDArray[np.bool_], dict[str, Lost]]:
    """Session closes of the dates that are sessions; the others counted, each known at the end of its day."""
    close, is_session = calendar.close_of_date(dates)
    off = (dates[~is_session].astype(np.int64) + 1) * DAY_NS
    return close[is_session], is_session, dict.fromkeys(symbols, Lost(off_calendar=off))


def _positive(values: F8, path: str) -> F8:
    if not bool((values > 0).all()):
        raise BadInput(
            expected="positive prices, as shipped", found="a missing, zero or negative price", where=path
        )
    return values
