"""What guard 3 measures from: days, weeks and months that roll, flows, and marks that only rise.

``roll`` and ``add_flows`` are applied when time passes and when money moves, before the decision; ``remember`` once
per cycle, after the marks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from regime_trading.core.numbers import B1, F8, I8, NANO
from regime_trading.core.trading_day import month_ids, week_ids
from regime_trading.guards.facts import NEVER_NS
from regime_trading.guards.floors import hwm_after_flow, unit_nav
from regime_trading.guards.snapshot import Happened, Params, States, View

_S = int(NANO)


def roll(states: States, day_id: I8, missed: B1 | None = None) -> tuple[States, B1]:
    """The states at the first instant of a new trading day, and who has one; never backwards.

    The anchors of the day are balance and equity as last seen before its reset; those of a new week (Monday) and
    a new month (the 1st) the larger of the two. The day that ended leaves its balance to the end-of-day mark and
    its profit, net of flows, to the closed ones. A day without a session begins nothing: ids come from instants at
    which the account is looked at.

    Parameters
    ----------
    day_id : int64 [A]
        Trading day of each account (``core.trading_day``).
    missed : bool [A], optional
        Nobody was watching at the reset, so that balance and equity there are not known: both anchors become the
        larger of what was last known.

    Returns
    -------
    States, bool [A]
    """
    new_day = day_id > states.day_id
    day = np.maximum(day_id, states.day_id)
    week, month = week_ids(day), month_ids(day)
    new_week, new_month = new_day & (week > states.week_id), new_day & (month > states.month_id)
    larger = np.fmax(states.last_balance, states.last_equity)
    late = np.zeros_like(new_day) if missed is None else missed
    profit = states.last_equity - states.day_anchor_equity - states.day_flow
    profit = np.where(new_day & np.isfinite(profit), profit, 0.0)
    rolled = replace(
        states,
        day_id=day,
        day_anchor_balance=np.where(
            new_day, np.where(late, larger, states.last_balance), states.day_anchor_balance
        ),
        day_anchor_equity=np.where(
            new_day, np.where(late, larger, states.last_equity), states.day_anchor_equity
        ),
        day_flow=np.where(new_day, 0.0, states.day_flow),
        day_peak=np.where(new_day, states.last_equity, states.day_peak),
        week_id=np.where(new_week, week, states.week_id),
        week_anchor=np.where(new_week, larger, states.week_anchor),
        week_flow=np.where(new_week, 0.0, states.week_flow),
        month_id=np.where(new_month, month, states.month_id),
        month_anchor=np.where(new_month, larger, states.month_anchor),
        month_flow=np.where(new_month, 0.0, states.month_flow),
        eod_hwm=np.where(new_day, np.fmax(states.eod_hwm, states.last_balance), states.eod_hwm),
        closed_profit=states.closed_profit + profit,
        best_day=np.maximum(states.best_day, profit),
    )
    return rolled, new_day


def unseen(states: States, session: int) -> B1:
    """Whose last decision lies more than one session back, bool [A]: what they were at their reset is not known.

    An account without a past has missed nothing.
    """
    missed: B1 = (states.k_session >= 0) & (session - states.k_session > 1)
    return missed


def add_flows(states: States, flow: F8, knobs: Mapping[str, Params]) -> States:
    """The states after a deposit (a withdrawal is negative), float64 [A].

    It buys units at the unit value before it, so that return and drawdown do not move; day, week and month net it
    out of their losses; the marks of LD-04 and LD-05 move as their ``flow_policy`` says (``risk.md`` 1.0).
    """
    if not flow.any():
        return states
    unit_value = unit_nav(states, states.last_equity)
    bought = np.divide(flow, unit_value, out=np.zeros_like(flow), where=unit_value > 0)
    units = states.units + bought
    factor = np.divide(units, states.units, out=np.ones_like(units), where=states.units > 0)
    return replace(
        states,
        units=units,
        flows=states.flows + flow,
        day_flow=states.day_flow + flow,
        week_flow=states.week_flow + flow,
        month_flow=states.month_flow + flow,
        eod_hwm=hwm_after_flow(states.eod_hwm, flow, factor, knobs["LD-04"]["flow_policy"]),
        equity_hwm=hwm_after_flow(states.equity_hwm, flow, factor, knobs["LD-05"]["flow_policy"]),
        last_equity=states.last_equity + flow,
        last_balance=states.last_balance + flow,
    )


def remember(view: View, knobs: Mapping[str, Params], happened: Happened) -> States:
    """Marks of the highest equity, samples of the unit value and times of losing exits, moved forward by one cycle.

    Nothing but a clean mark raises a high-water mark or becomes a sample: an equity that is unknown or estimated
    leaves them as they were.
    """
    states, equity = view.states, view.books.equity
    clean = np.isfinite(equity) & ~view.books.equity_estimated
    recent_ns, recent_unit = _sampled(view, clean, knobs["LD-09"]["window_s"])
    return replace(
        states,
        day_peak=np.where(clean, np.fmax(states.day_peak, equity - states.day_flow), states.day_peak),
        equity_hwm=np.where(clean, np.fmax(states.equity_hwm, equity), states.equity_hwm),
        recent_ns=recent_ns,
        recent_unit=recent_unit,
        loss_exit_ns=_with_exits(view, happened, knobs["LD-08"]["min_return"]),
    )


def _sampled(view: View, clean: B1, window_s: I8) -> tuple[I8, F8]:
    """The ring of unit values with the present one.

    Samples of one slot of time become one, the higher of both at the later instant, so that the ring spans the
    window however often the account is looked at. What a slot keeps too long is less than a slot.
    """
    states, ts_ns = view.states, view.market.ts_ns
    unit = unit_nav(states, view.books.equity)
    usable = clean & np.isfinite(unit)
    slot = np.maximum(window_s * _S // (states.recent_ns.shape[1] - 2), 1)
    last_ns, last_unit = states.recent_ns[:, -1], states.recent_unit[:, -1]
    same = usable & (last_ns != NEVER_NS) & (last_ns // slot == ts_ns // slot)
    fresh = usable & ~same
    moved_ns = np.where(fresh[:, None], np.roll(states.recent_ns, -1, axis=1), states.recent_ns)
    moved_unit = np.where(fresh[:, None], np.roll(states.recent_unit, -1, axis=1), states.recent_unit)
    moved_ns[:, -1] = np.where(usable, np.maximum(ts_ns, np.where(same, last_ns, ts_ns)), moved_ns[:, -1])
    highest = np.where(same, np.fmax(last_unit, unit), unit)
    moved_unit[:, -1] = np.where(usable, highest, moved_unit[:, -1])
    return moved_ns, moved_unit


def _with_exits(view: View, happened: Happened, min_return: F8) -> I8:
    """Times of the latest losing exits, oldest first; one of unknown return counts as losing."""
    scratch = happened.flat_return > -min_return[:, None]
    losing = ((happened.flat_side != 0) & ~scratch).sum(axis=1)
    if not losing.any():
        return view.states.loss_exit_ns
    width = view.states.loss_exit_ns.shape[1]
    new = np.where(np.arange(width) < losing[:, None], np.int64(view.market.ts_ns), NEVER_NS)
    both: I8 = np.sort(np.concatenate([view.states.loss_exit_ns, new], axis=1), axis=1)
    return both[:, -width:]
