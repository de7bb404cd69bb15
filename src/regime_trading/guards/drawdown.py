"""Guard 3, loss and drawdown circuits: the daily, trailing, static and firm limits, and the drawdown ladder.

Every limit is a floor on equity (``guards.floors``); ``E ≤ floor`` is a breach (≤, not <). The internal level ``act``
triggers before the outside floor does, because slippage lands after the decision. Estimated marks never flatten
(``risk.md`` 1.0): they raise the account to REDUCE_ONLY at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.rules import LATCHING_RULES, Release, TradingState
from regime_trading.guards import anchors
from regime_trading.guards.constraint import UNCONSTRAINED, Constraint, holds
from regime_trading.guards.escalation import escalate, levels, max_loss, pick
from regime_trading.guards.floors import daily, lower_limit, static, unit_nav
from regime_trading.guards.snapshot import NO_LATCH, Happened, Params, States, View
from regime_trading.guards.verdict import LatchRequest, Verdict, verdict

RAMP = (0.25, 0.5, 1.0)
_FIRM_CODES = ("FIRM_LOSS_SOFT", "FIRM_LOSS_WARN", "FIRM_LOSS_ACT", "EQUITY_UNKNOWN")
_LADDER, _KILL = LATCHING_RULES.index("LD-02"), LATCHING_RULES.index("LD-15")


def daily_loss(view: View, k: Params) -> Verdict:
    """LD-01: ``E > A + F_day − level · L`` with ``L = min(limit_pct · base, limit_money)``.

    soft: THROTTLE 0.5; warn: REDUCE_ONLY; act: ``on_act`` and latch ``release``; the floor itself: FLATTEN and latch
    ``on_external``. E unknown: REDUCE_ONLY. What an open loss does to the next day is LD-12's business.

    Source: daily loss limits of proprietary trading firms (5 % of the initial balance, fixed money a session).
    """
    circuit = daily(view.states, k)[0]
    limit, loss = circuit.limit, circuit.loss(view.books.equity)
    off = np.isinf(limit)
    unknown = ~np.isfinite(loss - limit) & ~off
    soft, warn, act = levels(loss, limit, k)
    external = loss >= limit
    latch = LatchRequest(
        fire=act,
        state=pick(external, np.int8(TradingState.FLATTEN), k["on_act"]),
        kind=pick(external, k["on_external"], k["release"]),
    )
    constraint, fired = escalate(unknown, soft, warn, latch, view.books.equity_estimated)
    return verdict(
        view,
        constraint,
        bound=soft,
        unknown=unknown,
        off=off,
        value=loss,
        limit=limit,
        codes={
            "DAILY_LOSS_SOFT": soft & ~warn,
            "DAILY_LOSS_WARN": warn & ~act,
            "DAILY_LOSS_ACT": act,
            "DAILY_LOSS_FLOOR": external,
            "EQUITY_UNKNOWN": unknown,
        },
        latch=fired,
    )


def drawdown_now(states: States, equity: F8) -> F8:
    """``1 − u / max u``, float64 [A]; NaN where the equity is unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 - unit_nav(states, equity) / states.unit_hwm


def advance_ladder(states: States, equity: F8, new_session: B1, k: Params) -> States:
    """One bar of the drawdown ladder's memory (``risk.md`` LD-02); sessions count where ``new_session``.

    Up at once; down one rung only after ``hysteresis_sessions`` sessions below that rung's drawdown less
    ``hysteresis``. An acknowledged (released) locking rung re-arms when the ladder has stepped below it.
    The high-water mark is never reset by a breach. Unknown equity changes nothing.
    """
    unit = unit_nav(states, equity)
    known = np.isfinite(unit)
    hwm = np.where(known, np.fmax(states.unit_hwm, unit), states.unit_hwm)
    dd = np.where(known, 1.0 - unit / hwm, np.nan)
    reached = (dd[:, None] >= k["ladder_at"]).sum(axis=1) - 1
    rung = np.maximum(states.rung, np.where(known, reached, states.rung))
    at_rung = np.take_along_axis(k["ladder_at"], np.maximum(rung, 0)[:, None], axis=1)[:, 0]
    calm = known & (rung >= 0) & (rung == states.rung) & (dd < at_rung - k["hysteresis"])
    counted = states.calm_sessions + new_session
    calm_sessions = np.where(calm, counted, np.where(known, 0, states.calm_sessions))
    down = calm_sessions >= k["hysteresis_sessions"]
    rung = np.where(down, rung - 1, rung)
    return replace(
        states,
        unit_hwm=hwm,
        rung=rung.astype(np.int64),
        calm_sessions=np.where(down, 0, calm_sessions).astype(np.int64),
        acknowledged_rung=np.minimum(states.acknowledged_rung, rung).astype(np.int64),
        ramp_left=np.maximum(states.ramp_left - (known & new_session), 0).astype(np.int64),
    )


def remember(view: View, knobs: Mapping[str, Params], happened: Happened) -> States:
    """What this guard carries from cycle to cycle, moved forward by one (``guards.memory``)."""
    states = advance_ladder(view.states, view.books.equity, happened.new_day, knobs["LD-02"])
    return anchors.remember(replace(view, states=states), knobs, happened)


def ramp_factor(ramp_left: I8, ramp_sessions: I8) -> F8:
    """Throttle after a release: 0.25, then 0.5, then 1 over ``ramp_sessions``, float64 [A]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(ramp_sessions > 0, ramp_left / ramp_sessions, 0.0)
    return np.where(left > 0.5, RAMP[0], np.where(left > 0, RAMP[1], RAMP[2]))


def drawdown(view: View, k: Params) -> Verdict:
    """LD-02: ``1 − u / max u < rung``; the rung says THROTTLE(f), FLATTEN or LOCKED.

    The rung is the deeper of what the ladder remembers and what the drawdown is now. A locking rung that was
    released stays acknowledged until it re-arms; meanwhile the strictest throttle below it holds, and a ramp
    follows every release. E unknown: REDUCE_ONLY; u ≤ 0: LOCKED.
    """
    states, estimated = view.states, view.books.equity_estimated
    dd = drawdown_now(states, view.books.equity)
    unknown = ~np.isfinite(dd)
    columns = np.arange(k["ladder_at"].shape[1])
    rung = np.maximum(states.rung, (dd[:, None] >= k["ladder_at"]).sum(axis=1) - 1)
    upto = columns <= rung[:, None]
    throttle = np.where(upto, k["ladder_factor"], 1.0).min(axis=1)
    locking = upto & (columns > states.acknowledged_rung[:, None])
    state = np.where(locking, k["ladder_state"], np.int8(0)).max(axis=1)
    state[view.books.equity <= 0] = TradingState.LOCKED
    state[estimated] = np.minimum(state[estimated], TradingState.REDUCE_ONLY)
    mode = np.maximum(state, unknown.astype(np.int8))
    throttle = np.minimum(throttle, ramp_factor(states.ramp_left, k["ramp_sessions"]))
    throttled = throttle < 1.0
    next_rung = k["ladder_at"][np.arange(len(rung)), np.minimum(rung + 1, len(columns) - 1)]
    return verdict(
        view,
        Constraint(mode=mode if holds(mode) else None, throttle=throttle if holds(throttled) else None),
        bound=throttled | (mode > 0),
        unknown=unknown,
        off=np.isinf(k["ladder_at"][:, 0]) & ~throttled & (mode == 0),
        value=dd,
        limit=np.where(np.isinf(next_rung), np.nan, next_rung),
        codes={
            "DRAWDOWN_THROTTLE": throttled,
            "DRAWDOWN_FLATTEN": state == TradingState.FLATTEN,
            "DRAWDOWN_LOCKED": state == TradingState.LOCKED,
            "EQUITY_UNKNOWN": unknown,
        },
        latch=LatchRequest(
            fire=state >= TradingState.FLATTEN,
            state=state,
            kind=pick(state == TradingState.LOCKED, k["lock_release"], k["flatten_release"]),
        ),
    )


def static_loss(view: View, k: Params) -> Verdict:
    """LD-03: ``E > E_0 + F − act · M`` with ``M = min(limit_pct · E_0, limit_money)``; F as ``flow_policy`` says.

    act: FLATTEN and latch ``release``; the floor itself: LOCKED and latch ``on_external``. E unknown: REDUCE_ONLY.
    """
    return max_loss(view, k, static(view.states, k)[0], "STATIC_LOSS")


def firm_daily_loss(view: View, k: Params) -> Verdict:
    """LD-13: ``Σ_accounts loss today < level · L_firm`` over the accounts of one firm; all of them answer for it.

    Source: SEC rule 15c3-5, aggregate thresholds. A firm with an account whose equity is unknown is unknown:
    REDUCE_ONLY for all its accounts; one estimated account makes the firm's loss an estimate, which flattens
    nobody.
    """
    firm = view.books.firm
    anchor = view.states.day_anchor_equity
    off = np.isinf(k["limit_pct"]) & np.isinf(k["limit_money"])
    if np.count_nonzero(off) == len(off):
        return verdict(view, UNCONSTRAINED, bound=~off, off=off, codes=dict.fromkeys(_FIRM_CODES, ~off))
    loss = np.where(off, np.nan, _firm_sum(firm, anchor + view.states.day_flow - view.books.equity))
    limit = np.where(off, np.nan, lower_limit(k["limit_pct"], _firm_sum(firm, anchor), k["limit_money"]))
    unknown = ~np.isfinite(loss - limit) & ~off
    estimated = _firm_sum(firm, view.books.equity_estimated.astype(np.float64)) > 0
    soft, warn, act = levels(loss, limit, k)
    latch = LatchRequest(
        fire=act, state=np.full(view.n_accounts, TradingState.FLATTEN, dtype=np.int8), kind=k["release"]
    )
    constraint, fired = escalate(unknown, soft, warn, latch, estimated)
    return verdict(
        view,
        constraint,
        bound=soft,
        unknown=unknown,
        off=off,
        value=loss,
        limit=limit,
        codes=dict(zip(_FIRM_CODES, (soft & ~warn, warn & ~act, act, unknown), strict=True)),
        latch=fired,
    )


def _firm_sum(firm: I8, values: F8) -> F8:
    """Sum over the accounts of each account's firm, smallest first whatever their order; NaN spreads."""
    order = np.lexsort((values, firm))
    total = np.bincount(firm[order], weights=values[order]).astype(np.float64)
    return total[firm]


def expire_latches(states: States, new_day: B1, ts_ns: int) -> States:
    """What ends by time alone: NEXT_SESSION latches on a new trading day, TIMED ones when their time has come.

    A new day also begins the count of trips afresh; it ends nothing else (``risk.md`` P9). Where the drawdown
    ladder's own latch ends so, its rung counts as acknowledged: it fires again only after it has re-armed, else a
    flat book could never leave it.
    """
    ended = (states.latch_kind == Release.NEXT_SESSION) & new_day[:, None]
    ended |= (states.latch_kind == Release.TIMED) & (states.latch_until_ns <= ts_ns)
    return replace(
        states,
        latch_kind=np.where(ended, np.int8(NO_LATCH), states.latch_kind),
        latch_trips=np.where(new_day[:, None], np.int8(0), states.latch_trips),
        acknowledged_rung=np.where(ended[:, _LADDER], states.rung, states.acknowledged_rung),
    )


def release_latch(
    states: States, account: int, rule: int, ramp_sessions: int, *, rebase: bool = True
) -> States:
    """An operator's unlock of one latch (``LATCHING_RULES`` index), with its consequences.

    A released LOCKED drawdown rung rebases the high-water mark to the present unit value (``restart_policy:
    rebase``); a released FLATTEN rung, and a LOCKED one under ``continue``, is acknowledged: the mark stays, the
    rung fires again only after it has re-armed. Both ramp up. A released kill sets the kill level to 0.
    """
    kind = states.latch_kind.copy()
    locked = states.latch_state[account, rule] == TradingState.LOCKED
    kind[account, rule] = NO_LATCH
    states = replace(states, latch_kind=kind)
    if rule == _KILL:
        level = states.kill_level.copy()
        level[account] = 0
        return replace(states, kill_level=level)
    if rule != _LADDER:
        return states
    rung, acknowledged = states.rung.copy(), states.acknowledged_rung.copy()
    hwm, ramp, calm = states.unit_hwm.copy(), states.ramp_left.copy(), states.calm_sessions.copy()
    if locked and rebase:
        hwm[account] = states.last_equity[account] / states.units[account]
        rung[account] = -1
    acknowledged[account] = rung[account]
    calm[account] = 0
    ramp[account] = ramp_sessions
    return replace(
        states, rung=rung, acknowledged_rung=acknowledged, unit_hwm=hwm, ramp_left=ramp, calm_sessions=calm
    )
