"""From the name a user types to a source of bars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.market_data.bundled import CALENDAR, SOURCES, open_bundled
from regime_trading.adapters.market_data.files import infer_calendar, load_path
from regime_trading.adapters.market_data.folder import BARS, folder_tapes, is_data_folder
from regime_trading.adapters.market_data.integrity import IntegrityLimits
from regime_trading.adapters.market_data.table import BarTable
from regime_trading.core.errors import BadInput

FILES = "files"  #: the settings' entry for every path


def open_source(
    source: str,
    *,
    calendar: str | None = None,
    calendars: Mapping[str, str] | None = None,
    limits: IntegrityLimits | None = None,
) -> BarTable:
    """Open a source of bars by name or path.

    Parameters
    ----------
    source : str
        ``bundled``, ``bundled:sp500``, ``bundled:nasdaq``, or the path of a CSV or Parquet file, of a folder with
        such files, or of a data folder (``bars/``, ``quotes/``, ``trades/``). The names win over a path of the same
        spelling (write ``./bundled``).
    calendar : str, optional
        Exchange calendar of the prices.
    calendars : mapping, optional
        Source to calendar, from the settings, used where ``calendar`` is None; the key ``files`` stands for
        every path that has no entry of its own. Without any, a file's calendar is assumed from the weekdays
        of its first fourteen days, and the health record says so.
    limits : IntegrityLimits, optional
        Thresholds of the health status.

    Returns
    -------
    BarTable
        An implementation of ``core.ports.MarketData``.

    Raises
    ------
    BadInput
        No such source; a bundled source with another calendar; anything wrong in a file.
    """
    settings = calendars or {}
    if source in SOURCES:
        declared = calendar or settings.get(source)
        if declared not in (None, CALENDAR):
            raise BadInput(expected=f"calendar {CALENDAR}", found=repr(declared), where=f"source {source}")
        return open_bundled(source, limits)
    path = Path(source)
    if not source or not _exists(path):
        raise BadInput(
            expected=f"{', '.join(SOURCES)}, or the path of a .csv or .parquet file or folder",
            found=f"{source!r}, which is none of these and no such path",
            where="source",
        )
    declared = calendar or settings.get(source) or settings.get(FILES)
    home = path / BARS if is_data_folder(path) else path
    if not home.exists():
        raise BadInput(
            expected=f"bars in {BARS}/ beside the tape (regime data import --bars makes them from quotes)",
            found="none",
            where=str(path),
        )
    loaded = load_path(home)
    name = declared or infer_calendar(loaded.bars.ts_ns)
    assumed = (
        ()
        if declared
        else (f"calendar {name} assumed from the weekdays of the bars; declare it in the settings",)
    )
    return BarTable(
        source,
        ExchangeCalendar(name),
        loaded.bars,
        lost=loaded.lost,
        notes=loaded.notes + assumed,
        limits=limits,
        tapes=folder_tapes(path) if home != path else None,
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name no file system takes
        return False
