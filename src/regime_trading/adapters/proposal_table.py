"""The user's own proposals over a history: a CSV or Parquet table ``ts_event, symbol, weight``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regime_trading.adapters.market_data.cells import Sheet, numbers, read_sheet, texts, times_ns
from regime_trading.core.canonical import array_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import to_nano
from regime_trading.core.schemas import ProposalRows

COLUMNS = ("ts_event", "symbol", "weight")


def read_proposal_table(path: Path) -> ProposalRows:
    """Proposals by time; each time is one complete proposal (a symbol not named there weighs 0).

    Raises
    ------
    BadInput
        A file that cannot be read, other columns, a weight that is no finite number, a naive time, or two weights of
        one symbol at one time; the message names file, row and column.
    """
    if not path.is_file():
        raise BadInput(expected="a .csv or .parquet file", found="no such file", where=str(path))
    sheet = read_sheet(path)
    if sorted(sheet.columns) != sorted(COLUMNS):
        raise BadInput(
            expected=f"the columns {', '.join(COLUMNS)}", found=", ".join(sheet.columns), where=str(path)
        )
    names = texts(sheet, "symbol").to_list()
    ts_ns, weight = times_ns(sheet), numbers(sheet, ["weight"])[:, 0]
    for row in np.flatnonzero(~np.isfinite(weight)):
        sheet.refuse(int(row), "weight", expected="a finite number")
    times, at = np.unique(ts_ns, return_inverse=True)
    symbols = tuple(sorted(set(names)))
    column = {symbol: i for i, symbol in enumerate(symbols)}
    weights = np.full((len(times), len(symbols)), np.nan)
    for row, (k, name) in enumerate(zip(at.tolist(), names, strict=True)):
        _place(sheet, weights, row, k, column[name], float(weight[row]))
    nano = np.where(np.isnan(weights), 0.0, to_nano(np.nan_to_num(weights, nan=0.0)))
    digest = array_hash(
        {"ts_ns": times, "symbols": np.frombuffer("\n".join(symbols).encode(), np.uint8), "weights": nano}
    )
    return ProposalRows(times, symbols, nano, digest)


def _place(sheet: Sheet, weights: np.ndarray, row: int, k: int, column: int, value: float) -> None:
    if not np.isnan(weights[k, column]):
        sheet.refuse(row, "symbol", expected="each symbol once at one time")
    weights[k, column] = value
