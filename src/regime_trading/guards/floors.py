"""Floors on equity as arithmetic: what each loss limit is measured from, how much may be lost, and what is left.

A limit is a :class:`Circuit`: the loss is ``reference − E``, and ``E ≤ reference − level · limit`` is a breach of that
level. NaN is unknown, an infinite limit is none. Beside them what losses are made of: unit value, open profits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.numbers import F8, I1
from regime_trading.core.rules import DayAnchor, FlowPolicy, LockAt, LossBase, TradingState
from regime_trading.guards.snapshot import Books, Params, States, View

_BASE = list(LossBase)
_ANCHOR = list(DayAnchor)
_FLOWS = list(FlowPolicy)
_LOCKS = list(LockAt)


@dataclass(frozen=True, slots=True)
class Circuit:
    """One loss limit of every account, account currency, float64 [A].

    Parameters
    ----------
    reference : float64
        What the loss is measured from.
    limit : float64
        What may be lost until the outside floor; +inf = no limit.
    """

    reference: F8
    limit: F8

    def loss(self, equity: F8) -> F8:
        """What has been lost, negative where there is a gain."""
        return self.reference - equity

    def floor(self, level: F8) -> F8:
        """Equity at which ``level`` of the limit is lost, −inf without a limit."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isinf(self.limit), -np.inf, self.reference - level * self.limit)


@dataclass(frozen=True, slots=True)
class Floor:
    """Equity at which a rule acts, and the outside floor behind it; account currency, float64 [A].

    −inf = no floor, NaN = not known.
    """

    act: F8
    external: F8


def lower_limit(pct: F8, base: F8, money: F8) -> F8:
    """The smaller of two limits, ``pct · base`` and ``money``; +inf where neither is set, NaN where unknown."""
    with np.errstate(invalid="ignore"):
        return np.minimum(np.where(np.isinf(pct), np.inf, pct * base), money)


def unit_nav(states: States, equity: F8) -> F8:
    """Unitised net asset value ``u = E / U``, float64 [A]; deposits and withdrawals do not move it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return equity / states.units


def open_profit(view: View) -> F8:
    """Open profit of each position from its average price, account currency [A, N]; 0 where flat, NaN = unknown."""
    market, qty = view.market, view.books.qty
    price = np.where(np.isfinite(market.price) & (market.price > 0), market.price, np.nan)
    with np.errstate(invalid="ignore"):
        profit = qty * (price - view.books.broker.avg_price) * (market.multiplier * market.fx)
    known = np.isfinite(profit) & (np.abs(view.books.broker.avg_price) > 0)
    return np.where(qty == 0, 0.0, np.where(known, profit, np.nan))


def day_anchor(states: States, choice: I1) -> F8:
    """Anchor ``A`` of the trading day: balance, equity or the larger of both at the reset, float64 [A]."""
    larger = np.maximum(states.day_anchor_balance, states.day_anchor_equity)
    return np.where(
        choice == _ANCHOR.index(DayAnchor.BALANCE),
        states.day_anchor_balance,
        np.where(choice == _ANCHOR.index(DayAnchor.EQUITY), states.day_anchor_equity, larger),
    )


def moved_by_flows(states: States, policy: I1) -> tuple[F8, F8]:
    """What flows do to an amount of the initial capital: a shift in money and a factor, float64 [A].

    ``shift``: deposits less withdrawals; ``unitized``: units now over units then; ``none``: neither.
    """
    shift = np.where(policy == _FLOWS.index(FlowPolicy.SHIFT), states.flows, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = states.units / states.initial_capital
    return shift, np.where(policy == _FLOWS.index(FlowPolicy.UNITIZED), grown, 1.0)


def hwm_after_flow(hwm: F8, flow: F8, factor: F8, policy: I1) -> F8:
    """A high-water mark in money after a flow that changed the units by ``factor``, float64 [A]."""
    shifted = np.where(policy == _FLOWS.index(FlowPolicy.SHIFT), hwm + flow, hwm)
    return np.where(policy == _FLOWS.index(FlowPolicy.UNITIZED), hwm * factor, shifted)


def daily(states: States, k: Params) -> tuple[Circuit, ...]:
    """LD-01: anchor of the day and the day's flows; ``L = min(limit_pct · base, limit_money)``."""
    anchor = day_anchor(states, k["anchor"])
    base = np.where(k["base"] == _BASE.index(LossBase.INITIAL), states.initial_capital, anchor)
    return (Circuit(anchor + states.day_flow, lower_limit(k["limit_pct"], base, k["limit_money"])),)


def static(states: States, k: Params) -> tuple[Circuit, ...]:
    """LD-03: the initial capital, moved by ``flow_policy``; ``M = min(limit_pct · E_0, limit_money)``."""
    base, limit, _ = _capital(states, k, k["limit_money"])
    return (Circuit(base, limit),)


def eod_trailing(states: States, k: Params) -> tuple[Circuit, ...]:
    """LD-04: the highest end-of-day balance; with ``lock_at: initial`` the floor stops at the initial capital."""
    base, limit, _ = _capital(states, k, k["amount"])
    peak = np.maximum(base, states.eod_hwm)
    locked = k["lock_at"] == _LOCKS.index(LockAt.INITIAL)
    return (Circuit(np.where(locked, np.minimum(peak, base + limit), peak), limit),)


def intraday_trailing(states: States, k: Params) -> tuple[Circuit, ...]:
    """LD-05: the highest equity; the floor stops ``lock_offset`` above the initial capital."""
    base, limit, factor = _capital(states, k, k["amount"])
    stop = base + _scaled(k["lock_offset"], factor)
    return (Circuit(np.minimum(np.maximum(base, states.equity_hwm), stop + limit), limit),)


def periodic(states: States, k: Params) -> tuple[Circuit, ...]:
    """LD-06: the anchors of the week and of the month, each with its own limit."""
    week, month = states.week_anchor, states.month_anchor
    return (
        Circuit(week + states.week_flow, lower_limit(k["weekly_pct"], week, k["weekly_money"])),
        Circuit(month + states.month_flow, lower_limit(k["monthly_pct"], month, k["monthly_money"])),
    )


def _capital(states: States, k: Params, money: F8) -> tuple[F8, F8, F8]:
    """Initial capital and limit as flows have moved them, and the factor of the limit; float64 [A]."""
    shift, factor = moved_by_flows(states, k["flow_policy"])
    limit = lower_limit(k["limit_pct"], states.initial_capital, money)
    return states.initial_capital * factor + shift, _scaled(limit, factor), factor


def _scaled(limit: F8, factor: F8) -> F8:
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(limit), np.inf, limit * factor)


CIRCUITS: dict[str, Callable[[States, Params], tuple[Circuit, ...]]] = {
    "LD-01": daily,
    "LD-03": static,
    "LD-04": eod_trailing,
    "LD-05": intraday_trailing,
    "LD-06": periodic,
}


def floors(view: View, knobs: Mapping[str, Params]) -> dict[str, Floor]:
    """Each rule's floors in money, for the rules that measure equity against one (LD-01 to LD-06, LD-16).

    LD-02: the shallowest rung that flattens and the shallowest that locks. LD-06: the higher of week and month. A
    rule that is off has none.
    """
    found = {rule_id: _floor(rule_id, view.states, knobs[rule_id]) for rule_id in CIRCUITS}
    found["LD-02"] = _ladder_floor(view.states, knobs["LD-02"])
    least = np.where(knobs["LD-16"]["min_equity"] > 0, knobs["LD-16"]["min_equity"], -np.inf)
    found["LD-16"] = _if_on(Floor(least, least), knobs["LD-16"])
    return dict(sorted(found.items()))


def loss_budget(states: States, equity: F8, knobs: Mapping[str, Params]) -> F8:
    """``D``: the smallest distance of the equity to any floor at which a rule acts, float64 [A].

    +inf where there is no floor, NaN where a floor that is set or the equity is unknown.
    """
    highest = np.full(len(equity), -np.inf)
    for rule_id in CIRCUITS:
        highest = np.maximum(highest, _floor(rule_id, states, knobs[rule_id]).act)
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(highest), np.inf, equity - highest)


def tomorrow(states: States, books: Books) -> States:
    """The states as a reset at this instant would leave them: open losses count again from the new anchors."""
    return replace(
        states,
        day_anchor_balance=books.balance,
        day_anchor_equity=books.equity,
        day_flow=np.zeros_like(states.day_flow),
        eod_hwm=np.maximum(states.eod_hwm, books.balance),
    )


def _floor(rule_id: str, states: States, k: Params) -> Floor:
    act, external = np.full(len(states.units), -np.inf), np.full(len(states.units), -np.inf)
    for circuit in CIRCUITS[rule_id](states, k):
        act = np.maximum(act, circuit.floor(k["act"]))
        external = np.maximum(external, circuit.floor(np.ones_like(k["act"])))
    return _if_on(Floor(act, external), k)


def _ladder_floor(states: States, k: Params) -> Floor:
    peak = states.unit_hwm * states.units
    depth = [
        np.where(k["ladder_state"] >= state, k["ladder_at"], np.inf).min(axis=1)
        for state in (TradingState.FLATTEN, TradingState.LOCKED)
    ]
    with np.errstate(invalid="ignore"):
        at = [np.where(np.isinf(d), -np.inf, (1.0 - d) * peak) for d in depth]
    return _if_on(Floor(*at), k)


def _if_on(floor: Floor, k: Params) -> Floor:
    return Floor(np.where(k["enabled"], floor.act, -np.inf), np.where(k["enabled"], floor.external, -np.inf))
