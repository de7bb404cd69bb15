"""Which reader a tape file needs, and the tape behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from regime_trading.adapters.tape.columns import QuoteColumns, TradeColumns, has_trades
from regime_trading.adapters.tape.dbn import Dbn, is_dbn
from regime_trading.adapters.tape.lobster import Lobster, is_lobster
from regime_trading.adapters.tape.source import FileTape, Lane
from regime_trading.adapters.tape.table import Table, open_table
from regime_trading.adapters.tape.taq import ROUND_LOT, TaqQuotes, TaqTrades, has_taq_quotes, has_taq_trades
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import TapeSource

TapeFormat = Literal["auto", "lobster", "dbn", "taq", "parquet", "csv"]
_FILES = ".parquet, .csv, .csv.gz, .dbn, .dbn.zst, or either file of a LOBSTER pair"


def open_tape(
    quotes: Path,
    trades: Path | None = None,
    *,
    format: str = "auto",
    symbol: str | None = None,
    chunk_rows: int = 262_144,
    lot_size: int = ROUND_LOT,
) -> TapeSource:
    """The tape of one symbol.

    Parameters
    ----------
    quotes : Path
        Quotes, quotes and trades together, or trades alone.
    trades : Path or None
        A further file whose trades are read instead of any that ``quotes`` holds.
    format : str
        ``lobster``, ``dbn``, ``taq``, ``parquet``, ``csv``; ``auto`` tells them by name, first bytes and columns.
        It is the format of ``quotes``; ``trades`` is told by itself.
    symbol : str or None
        Needed where a file holds several.
    chunk_rows : int
        Most quote rows, and most trades, of one chunk.
    lot_size : int
        Shares in one unit of quoted size (``taq`` alone).

    Raises
    ------
    BadInput
        Naming the file, and row and column where there is one.
    """
    if format not in get_args(TapeFormat):
        raise BadInput(
            expected=f"a format among {', '.join(get_args(TapeFormat))}", found=repr(format), where="format"
        )
    kind = _format(quotes, format)
    main = _main_lane(quotes, kind, symbol, lot_size, alone=trades is None)
    further = _trades_lane(trades, symbol) if trades is not None else None
    return FileTape(main, further, chunk_rows)


def _format(path: Path, said: str) -> str:
    if not path.is_file():
        raise BadInput(expected=f"a tape: {_FILES}", found="no such file", where=str(path))
    if said not in ("auto", "taq"):
        suffixes = {"parquet": (".parquet",), "csv": (".csv", ".csv.gz")}.get(said)
        if suffixes and not path.name.lower().endswith(suffixes):
            raise BadInput(expected=f"a {said} file", found=repr(path.name), where=str(path))
        return said
    if said == "auto" and is_lobster(path):
        return "lobster"
    if said == "auto" and is_dbn(path):
        return "dbn"
    if not path.name.lower().endswith((".parquet", ".csv", ".csv.gz")):
        raise BadInput(expected=f"a tape: {_FILES}", found=repr(path.name), where=str(path))
    return "taq" if said == "taq" else "columns"


def _main_lane(path: Path, kind: str, symbol: str | None, lot_size: int, *, alone: bool) -> Lane:
    if kind == "lobster":
        return Lobster(path, symbol, with_trades=alone)
    if kind == "dbn":
        return Dbn(path, symbol, with_trades=alone)
    table = open_table(path)
    taq_quotes, taq_trades = has_taq_quotes(table.names), has_taq_trades(table.names)
    if kind == "taq" or (kind == "columns" and (taq_quotes or taq_trades)):
        trades_only = alone and taq_trades and not taq_quotes
        return TaqTrades(table, symbol) if trades_only else TaqQuotes(table, symbol, lot_size=lot_size)
    if alone and has_trades(table.names):
        return TradeColumns(table, symbol)
    return QuoteColumns(table, symbol, with_trades=alone)


def _trades_lane(path: Path, symbol: str | None) -> Lane:
    kind = _format(path, "auto")
    if kind == "lobster":
        raise BadInput(
            expected="trades in columns or DBN",
            found="a LOBSTER file, which is whole by itself",
            where=str(path),
        )
    if kind == "dbn":
        return Dbn(path, symbol, with_quotes=False)
    return _trades_of(open_table(path), symbol)


def _trades_of(table: Table, symbol: str | None) -> Lane:
    return TaqTrades(table, symbol) if has_taq_trades(table.names) else TradeColumns(table, symbol)
