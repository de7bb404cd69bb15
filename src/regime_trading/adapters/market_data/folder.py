"""A data folder: ``bars/``, ``quotes/`` and ``trades/``, one Parquet file per symbol in each.

``regime data import`` and ``regime data fetch`` write it; any of the three may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from regime_trading.adapters.tape.imported import open_folder_tapes
from regime_trading.adapters.tape.registry import open_tape
from regime_trading.core.ports import TapeSource

BARS, QUOTES, TRADES = "bars", "quotes", "trades"


def is_data_folder(path: Path) -> bool:
    """Whether a folder is laid out as one."""
    return path.is_dir() and any((path / name).is_dir() for name in (BARS, QUOTES, TRADES))


def folder_tapes(path: Path) -> dict[str, Callable[[], TapeSource]]:
    """Symbol → opener of its tape. What was imported is checked against its provenance when it is opened."""
    fetched = tuple(f".{kind}" for kind in (BARS, QUOTES, TRADES))  # their provenance is one file per kind
    imported = {
        name: opener for name, opener in open_folder_tapes(path).items() if not name.endswith(fetched)
    }
    files = {
        unquote(file.stem): file
        for name in (TRADES, QUOTES)  # quotes win
        for file in sorted((path / name).glob("*.parquet"))
    }
    plain = {
        symbol: partial(_open, path, file, symbol) for symbol, file in files.items() if symbol not in imported
    }
    return dict(sorted({**imported, **plain}.items()))


def _open(folder: Path, file: Path, symbol: str) -> TapeSource:
    trades = folder / TRADES / file.name
    beside = trades if file.parent.name == QUOTES and trades.is_file() else None
    return open_tape(file, beside, symbol=symbol)
