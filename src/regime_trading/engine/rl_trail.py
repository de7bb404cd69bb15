"""RL rows of a run that goes on bar by bar: those of each decision, as the history loop makes them all at the end."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from regime_trading.core.numbers import F8
from regime_trading.core.rl_rows import RLDecision
from regime_trading.core.rules import decimal_text
from regime_trading.engine.backtest import HistoryInputs, Played, proposal_times
from regime_trading.engine.request_market import number
from regime_trading.engine.rl import END_OF_DATA, RLRows
from regime_trading.engine.rl_body import OpenEnd, action_of, body_of, known, state_of
from regime_trading.engine.rl_columns import (
    AccountRows,
    Standing,
    bars_since_trade,
    components,
    feature_columns,
    horizon,
    last_components,
)


def decision_rows(
    inputs: HistoryInputs, played: Played, bar: int, ends: Sequence[OpenEnd | None]
) -> list[RLDecision]:
    """Rows of every account's decision at a bar.

    Parameters
    ----------
    inputs : HistoryInputs
    played : Played
        What was decided there.
    bar : int
    ends : sequence of OpenEnd or None
        What the decision of each account before this one left open; None = there is none.

    Raises
    ------
    CheckFailed
        Something in a state is stamped later than its decision.
    """
    rows = RLRows(inputs.identities, inputs.desk, inputs.market, bar, 1, inputs.context)
    rows.add(played.cycle, played.seq, played.number, played.tick.flow, proposal_times(inputs, bar))
    for account, over in played.ends(inputs.market.unit).items():
        rows.finish(account, over)
    return [_of_account(inputs, rows.rows(account), bar, account, end) for account, end in enumerate(ends)]


def _of_account(
    inputs: HistoryInputs, rows: AccountRows, bar: int, account: int, end: OpenEnd | None
) -> RLDecision:
    symbols, since = inputs.market.symbols, bars_since_trade(rows)
    values = feature_columns(rows, rows.shared, since, _ages(rows.assets["qty"], symbols, end))
    state = state_of(rows, 0, rows.known_ns, int(rows.counts["attempt"][0]), symbols, values)
    left = OpenEnd(
        run_id=rows.identity.run_id,
        seq=int(rows.counts["seq"][0]),
        state_id=rows.ids[0],
        ts_ns=int(rows.shared.ts_ns[0]),
        day_id=int(inputs.day_ids[bar, account]),
        session=int(rows.shared.session[0]),
        equity=known(rows.numbers["equity"][0]),
        depth=known(rows.numbers["unit_drawdown"][0]),
        flows_today=None,
        qty=_held(rows.assets["qty"][0], symbols),
        since_trade=known(since[0]),
        age={s: age for s, age in zip(symbols, state["values"]["age_bars"], strict=True) if age == age},
        done=0 in rows.ends,
    )
    transitions = []
    if end is not None and not end.done:
        cut = bar == inputs.last and not left.done
        transitions.append(_closed(rows, end, left, END_OF_DATA if cut else ""))
    if left.done:
        transitions.append(_last(rows, left))
    return RLDecision(left.seq, left.ts_ns, left.text(), body_of(state, action_of(rows, 0), transitions))


def _held(qty: F8, symbols: Sequence[str]) -> dict[str, str]:
    held = zip(symbols, qty.tolist(), strict=True)
    return {symbol: decimal_text(Decimal(repr(value))) for symbol, value in held if value != 0}


def _ages(qty: F8, symbols: Sequence[str], end: OpenEnd | None) -> F8:
    """Bars since each position was opened or turned; NaN where flat, or where it was there before, [1, N]."""
    found = np.full(qty.shape, np.nan)
    if end is None:
        return found
    for column in np.flatnonzero(qty[0]).tolist():
        symbol, before = symbols[column], float(end.qty.get(symbols[column], 0))
        turned = np.sign(before) != np.sign(qty[0, column])
        found[0, column] = 0.0 if turned else number(end.age.get(symbol)) + 1.0
    return found


def _closed(rows: AccountRows, end: OpenEnd, to: OpenEnd, cut: str) -> dict[str, Any]:
    """The transition from the decision before to this one; ``cut`` tells why nothing comes after it."""
    bars, gap = horizon(
        np.array([end.ts_ns, to.ts_ns], dtype=np.int64),
        np.array([end.session, to.session], dtype=np.int64),
        rows.shared.bar_ns,
    )
    rewards = components(
        Standing(np.array([number(end.equity)]), np.array([number(end.depth)])),
        Standing(rows.numbers["equity"], rows.numbers["unit_drawdown"]),
        flow=rows.numbers["flow"],
        fee=rows.numbers["fee"],
        traded=rows.numbers["traded"],
        latched=np.bitwise_count(rows.counts["latched"]).astype(np.float64),
    )
    return {
        "run_id": end.run_id,
        "seq": end.seq,
        "state_id": end.state_id,
        "ts_event_ns": end.ts_ns,
        "next_run_id": None,
        "next_state_id": to.state_id,
        "next_seq": to.seq,
        "horizon_bars": int(bars[0]),
        "done": False,
        "done_reason": cut,
        "censored": bool(cut),
        "gap": bool(gap[0]),
        "rewards": {name: float(value[0]) for name, value in rewards.items()},
    }


def _last(rows: AccountRows, end: OpenEnd) -> dict[str, Any]:
    """The transition of the decision that ended its episode."""
    return {
        "run_id": end.run_id,
        "seq": end.seq,
        "state_id": end.state_id,
        "ts_event_ns": end.ts_ns,
        "next_run_id": None,
        "next_state_id": None,
        "next_seq": 0,
        "horizon_bars": 0,
        "done": True,
        "done_reason": rows.ends[0][0],
        "censored": False,
        "gap": False,
        "rewards": last_components(rows.ends[0], float(rows.numbers["unit_drawdown"][0])),
    }
