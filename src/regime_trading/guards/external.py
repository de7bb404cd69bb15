"""Guard 3, what others say: a breach reported from outside, a person's kill, a margin call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.rules import LATCHING_RULES, Authority, Release, TradingState
from regime_trading.guards.constraint import UNCONSTRAINED, Constraint, block, holds, meet, mode
from regime_trading.guards.floors import open_profit
from regime_trading.guards.snapshot import Params, States, View
from regime_trading.guards.verdict import NOT_EVALUABLE, LatchRequest, Verdict, any_asset, verdict

_KILL = LATCHING_RULES.index("LD-15")
HIGHEST_KILL = 4
_UNKNOWN_STATE = np.int8(TradingState.REDUCE_ONLY)
_KILL_STATE = np.array(
    [TradingState.NORMAL, TradingState.REDUCE_ONLY, TradingState.REDUCE_ONLY, TradingState.LOCKED, TradingState.NORMAL],
    dtype=np.int8,
)  # fmt: skip
_KILL_AUTHORITY = np.array(
    [Authority.ALL, Authority.RISK_REDUCING, Authority.RISK_REDUCING, Authority.RISK_REDUCING, Authority.CANCEL_ONLY],
    dtype=np.int8,
)  # fmt: skip


def external_breach(view: View, k: Params) -> Verdict:
    """LD-14: the broker or the prop firm reports no breach, else LOCKED for good and every working entry cancelled.

    Nothing inside the account unlocks it: latch TERMINAL, which goes on holding and cancelling when the report is no
    longer repeated. It is a fact, not a measure: estimates do not hold it back.
    """
    violated = view.books.broker.violated
    locked = np.full(view.n_accounts, TradingState.LOCKED, dtype=np.int8)
    return verdict(
        view,
        _stopped(view, violated, np.where(violated, np.int8(TradingState.LOCKED), np.int8(0)), violated),
        bound=violated,
        codes={"EXTERNAL_BREACH": violated},
        latch=LatchRequest(
            fire=violated, state=locked, kind=np.full(view.n_accounts, Release.TERMINAL, dtype=np.int8)
        ),
    )


def kill_level(states: States) -> I8:
    """Kill level in force, int64 [A]: as it was set; where it was lost, the one its latch tells of.

    A latch that leaves the trading state as it is can only be a halt (K4).
    """
    level = np.clip(states.kill_level, 0, HIGHEST_KILL).astype(np.int64)
    state = states.latch_state[:, _KILL]
    told = np.where(state >= TradingState.FLATTEN, 3, np.where(state == TradingState.REDUCE_ONLY, 2, 4))
    return np.where((level == 0) & states.latched("LD-15"), told, level)


def manual_kill(view: View, k: Params) -> Verdict:
    """LD-15: ``kill level ≤ 0``; K1 REDUCE_ONLY and risk-reducing orders only (entries are cancelled with it); K2 and
    every working entry cancelled, known or not; K3 LOCKED; K4 cancel only, trading state unchanged.

    A halt keeps risk and a flatten trades: K4 after K3 owes the flatten (``risk.md`` 2.1). Every level is latched
    until a person releases it, so that no restart forgets it. A level that cannot be told (below 0) is REDUCE_ONLY for
    this one decision, without a latch.
    """
    level = kill_level(view.states)
    on = level > 0
    unknown = (view.states.kill_level < 0) & ~on
    constraint = _stopped(
        view, on | unknown, np.where(unknown, _UNKNOWN_STATE, _KILL_STATE[level]), level >= 2
    )
    authority = np.where(unknown, np.int8(Authority.RISK_REDUCING), _KILL_AUTHORITY[level])
    return verdict(
        view,
        replace(constraint, authority=authority) if holds(on | unknown) else UNCONSTRAINED,
        bound=on,
        unknown=unknown,
        value=np.where(unknown, np.nan, level.astype(np.float64)),
        limit=view.everyone(0.0),
        codes={f"KILL_K{n}": level == n for n in range(1, HIGHEST_KILL + 1)} | {"KILL_UNKNOWN": unknown},
        latch=LatchRequest(
            fire=on, state=_KILL_STATE[level], kind=np.full(view.n_accounts, Release.MANUAL, dtype=np.int8)
        ),
    )


def min_equity(view: View, k: Params) -> Verdict:
    """LD-16: ``margin used / E ≤ margin_block`` and ``E > min_equity``, else no new risk.

    Above ``margin_reduce``: REDUCE_ONLY, and the losing positions are cut to ``margin_block / use`` of what they are,
    all positions where none is losing (an entry price that is not known counts as a loss); what is still too much is
    cut again at the next cycle. An equity that is an estimate cuts nothing. Margin or E unknown: no new risk.

    Source: the margin call model of open-source engines, losers first.
    """
    equity = view.books.equity
    floor_on, margin_on = k["min_equity"] > 0, np.isfinite(np.fmin(k["margin_block"], k["margin_reduce"]))
    told = view.says("margin")
    asked = margin_on & told
    used = view.books.broker.margin_used
    known = np.isfinite(used) & (used >= 0) & (equity > 0)
    use = np.divide(used, equity, out=np.full(view.n_accounts, np.nan), where=known)
    poor = floor_on & (equity <= k["min_equity"])
    call = asked & (use > k["margin_reduce"])
    tight = asked & ((use > k["margin_block"]) | call)
    unknown = (asked & np.isnan(use)) | (floor_on & ~np.isfinite(equity))
    stop = mode(poor | tight | unknown, TradingState.REDUCE_ONLY)
    blind = margin_on & ~floor_on & np.full(view.n_accounts, not told)
    said = verdict(
        view,
        meet(stop, _cut_losers(view, call & ~view.books.equity_estimated, k["margin_block"], use)),
        bound=poor | tight,
        unknown=unknown,
        off=~floor_on & ~margin_on,
        value=use,
        limit=k["margin_block"],
        codes={
            "MIN_EQUITY": poor,
            "MARGIN_HIGH": tight,
            "MARGIN_CALL": call,
            "MARGIN_UNKNOWN": unknown,
            "NO_MARGIN": blind,
        },
    )
    return (
        replace(said, outcome=np.where(blind, np.int8(NOT_EVALUABLE), said.outcome)) if holds(blind) else said
    )


def _cut_losers(view: View, call: B1, block_at: F8, use: F8) -> Constraint:
    """A box of ``block_at / use`` of what is held, around the losing positions of the marked accounts."""
    if not holds(call):
        return UNCONSTRAINED
    held = view.books.qty != 0
    losing = held & ~(open_profit(view) >= 0)
    cut = np.where(any_asset(losing)[:, None], losing, held) & call[:, None]
    share = np.minimum(np.divide(block_at, use, out=np.ones_like(use), where=call), 1.0)
    left = np.trunc(view.held * share[:, None]) + 0.0
    return block(cut, left)


def _stopped(view: View, on: B1, state: I1, cancel: B1) -> Constraint:
    """The trading state, and the cancellation of every working entry, of the marked accounts."""
    if not holds(on):
        return UNCONSTRAINED
    return Constraint(
        mode=state if holds(state) else None,
        cancel=np.repeat(cancel[:, None], view.n_assets, axis=1) if holds(cancel) else None,
    )
