"""RL rows of a run that goes on bar by bar: those of each decision, as the history loop makes them all at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from regime_trading.core.numbers import F8
from regime_trading.core.rl_rows import DecisionRows, Tail, after
from regime_trading.core.schemas import RLBlock
from regime_trading.engine.backtest import HistoryInputs, Played, proposal_times
from regime_trading.engine.rl import END_OF_DATA, RLRows


def decision_rows(
    inputs: HistoryInputs, played: Played, bar: int, tails: Sequence[Tail | None]
) -> list[DecisionRows]:
    """Rows of every account's decision at a bar.

    Parameters
    ----------
    inputs : HistoryInputs
    played : Played
        What was decided there.
    bar : int
    tails : sequence of Tail or None
        What the decision of each account before this one left; None = there is none.
    """
    before = int(bar > 0)
    ages = _ages(inputs, played, tails, before)
    first, n_bars = bar - before, 1 + before
    rows = RLRows(inputs.identities, inputs.desk, inputs.market, first, n_bars, inputs.context, ages)
    if before:
        _note(rows, tails)
    rows.add(played.cycle, played.seq, played.number, played.tick.flow, proposal_times(inputs, bar))
    ended = {result.account: result for result in played.ended}
    if ended:
        cash, fee, traded = played.settled(inputs.market.unit)
        for account, result in ended.items():
            equity = float(played.cycle.marks.equity[account])
            shares = (float(x) / equity for x in (cash[account] - equity, fee[account], traded[account]))
            rows.finish(account, result.told, *shares)
    return [
        _of_account(rows, account, tails[account], account in ended, last=bar == inputs.last)
        for account in range(inputs.desk.size)
    ]


def _note(rows: RLRows, tails: Sequence[Tail | None]) -> None:
    """The row before the bar's own, as far as the transition to this one needs it."""
    rows.bars = 1
    for account, tail in enumerate(tails):
        if tail is not None:
            rows.counts["seq"][0, account] = tail.seq
            rows.numbers["equity"][0, account] = tail.equity
            rows.numbers["unit_drawdown"][0, account] = tail.unit_drawdown


def _ages(inputs: HistoryInputs, played: Played, tails: Sequence[Tail | None], before: int) -> F8:
    """Bars since each position was opened or turned; NaN where flat, or where it was there before, [bars, A, N]."""
    qty, symbols = played.cycle.view.books.qty, inputs.market.symbols
    found = np.full((1 + before, *qty.shape), np.nan)
    for account, tail in enumerate(tails):
        if tail is None:
            continue
        for column in np.flatnonzero(qty[account]).tolist():
            symbol, side = symbols[column], int(np.sign(qty[account, column]))
            if tail.side.get(symbol, 0) != side:
                found[-1, account, column] = 0.0
            elif symbol in tail.age:
                found[-1, account, column] = tail.age[symbol] + 1.0
    return found


def _of_account(rows: RLRows, account: int, tail: Tail | None, ended: bool, *, last: bool) -> DecisionRows:
    seq = int(rows.counts["seq"][-1, account])
    state, action, moves = rows.blocks(account, END_OF_DATA if last else None)
    left = seq - 1 if tail is None or tail.done else tail.seq - 1
    return DecisionRows((_last(state), _last(action), after(moves, left)), _tail(rows, account, seq, ended))


def _last(block: RLBlock) -> RLBlock:
    return replace(block, columns={name: values[-1:] for name, values in block.columns.items()})


def _tail(rows: RLRows, account: int, seq: int, ended: bool) -> Tail:
    symbols, qty = rows.market.symbols, rows.assets["qty"][-1, account]
    assert rows.ages is not None
    age = rows.ages[-1, account]
    held = np.flatnonzero(qty).tolist()
    return Tail(
        seq=seq,
        equity=float(rows.numbers["equity"][-1, account]),
        unit_drawdown=float(rows.numbers["unit_drawdown"][-1, account]),
        side={symbols[i]: int(np.sign(qty[i])) for i in held},
        age={symbols[i]: int(age[i]) for i in held if np.isfinite(age[i])},
        done=ended,
    )
