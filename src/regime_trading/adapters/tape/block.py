"""Rows as a reader finds them, before they become chunks.

A block is a dict of columns of equal length:

- ``ts`` int64, UTC nanoseconds;
- ``bid_px_00, ask_px_00, bid_sz_00, ask_sz_00, bid_px_01 …`` float64, where rows are states of the book;
- ``price, size`` float64, ``aggressor`` int8, ``visible, continuous`` bool, optionally ``after_quote`` int64,
  where rows are executions;
- ``is_quote, is_trade`` bool, where one stream of rows holds both. Of a row that is both, the execution comes
  first: the book it met is that of the row before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from regime_trading.core.numbers import B1, I8
from regime_trading.core.tape import DepthRows, QuoteRows, TradeRows, no_quotes, no_trades

Block = dict[str, npt.NDArray[Any]]

FIELDS = ("bid_px", "ask_px", "bid_sz", "ask_sz")
LETTERS = {1: "B", -1: "S", 0: "N"}


def level_names(levels: int) -> list[str]:
    """Column names of a book, best level first."""
    return [f"{field}_{k:02d}" for k in range(levels) for field in FIELDS]


def rows_in(block: Block) -> int:
    return len(block["ts"])


def pick(block: Block, rows: B1 | I8 | slice) -> Block:
    """The rows of a mask, of positions, or of a slice."""
    return {name: column[rows] for name, column in block.items()}


def joined(blocks: list[Block]) -> Block:
    """Blocks of the same columns, one after the other."""
    if len(blocks) == 1:
        return blocks[0]
    return {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}


def quotes_of(block: Block | None, levels: int) -> QuoteRows:
    """States of the book in a block, with ``levels`` levels."""
    if block is None or "bid_px_00" not in block:
        return no_quotes()
    bid, ask, bid_size, ask_size = (np.ascontiguousarray(block[f"{field}_00"]) for field in FIELDS)
    levels_ = _depth(block, levels) if levels > 1 else None
    return QuoteRows(block["ts"], bid, ask, bid_size, ask_size, levels_)


def _depth(block: Block, levels: int) -> DepthRows:
    sides = [np.column_stack([block[f"{field}_{k:02d}"] for k in range(levels)]) for field in FIELDS]
    return DepthRows(*sides)


def trades_of(block: Block | None) -> TradeRows:
    """Executions in a block; ``after_quote`` is −1 where it has no such column."""
    if block is None or "price" not in block:
        return no_trades()
    after = block.get("after_quote")
    if after is None:
        after = np.full(rows_in(block), -1, dtype=np.int64)
    ts, price, size, side, visible, continuous = (
        np.ascontiguousarray(block[name])
        for name in ("ts", "price", "size", "aggressor", "visible", "continuous")
    )
    return TradeRows(ts, price, size, side, visible, continuous, after)


def apart(block: Block, quotes_before: int) -> tuple[Block, Block]:
    """States and executions of one stream, with ``after_quote`` counted in it.

    Parameters
    ----------
    block : Block
        With ``is_quote`` and ``is_trade``; ``own_quote_first`` where the state of a row precedes its execution.
    quotes_before : int
        States of the stream before this block.
    """
    is_quote, is_trade = block["is_quote"], block["is_trade"]
    after = quotes_before + np.cumsum(is_quote) - is_quote
    if "own_quote_first" in block:
        after = after + (is_quote & block["own_quote_first"])
    trades = pick({**block, "after_quote": after.astype(np.int64)}, is_trade)
    return pick(block, is_quote), trades
