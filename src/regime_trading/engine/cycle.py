"""One decision cycle for one or many accounts: roll the day, fill, mark, decide. Pure; the same in every mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.rules import Release
from regime_trading.core.settings import Operators
from regime_trading.engine.fills import (
    FillCosts,
    Fills,
    Marks,
    Positions,
    apply_fills,
    balance,
    fill_orders,
    value_books,
)
from regime_trading.guards import data_sanity, drawdown
from regime_trading.guards.chain import Decisions, Knobs, decide
from regime_trading.guards.snapshot import LATCHING_RULES, NO_LATCH, Books, Market, States, View, nano_weights


@dataclass(frozen=True, slots=True)
class Desk:
    """What does not change while time runs: accounts, rules, costs, people.

    ``annual`` is bars a year. ``operators`` None = nobody releases latches (a single run, live).
    """

    accounts: tuple[str, ...]
    firm: I8
    initial_capital: F8
    knobs: Knobs
    costs: FillCosts
    annual: float
    operators: Operators | None = None

    @property
    def size(self) -> int:
        return len(self.accounts)


@dataclass(frozen=True, slots=True)
class Carried:
    """What one bar hands to the next: states, positions and the orders waiting for it (signed quantities)."""

    states: States
    positions: Positions
    orders: F8


@dataclass(frozen=True, slots=True)
class Tick:
    """What is new at this bar.

    Parameters
    ----------
    market : Market
    fill_price, spread_bps : float64 [N]
    day_id : int64 [A]
        Trading day of each account.
    flow : float64 [A]
        Deposits (withdrawals negative) before the bar's trades.
    proposed, mentioned : float64, bool [A, N]
        Standing proposal, nanoweights.
    proposal_age_bars : float64 [A]
        NaN = there is none.
    """

    market: Market
    fill_price: F8
    spread_bps: F8
    day_id: I8
    flow: F8
    proposed: F8
    mentioned: B1
    proposal_age_bars: F8


@dataclass(frozen=True, slots=True)
class Released:
    """A latch that ended: account index, rule, and who ended it (``NEXT_SESSION`` expires, people release)."""

    account: int
    rule_id: str
    kind: Release
    by_operator: bool


@dataclass(frozen=True, slots=True)
class Cycle:
    """All that happened at one bar; ``latched_states`` are the states the decision leaves behind."""

    fills: Fills
    marks: Marks
    view: View
    decisions: Decisions
    latched_states: States
    released: tuple[Released, ...]


def opening(initial_capital: F8, n_assets: int) -> Carried:
    """Fresh books: all cash, no memory. The first high-water mark is the initial capital itself."""
    n = len(initial_capital)
    zeros = np.zeros(n, dtype=np.int64)
    latches = (n, len(LATCHING_RULES))
    states = States(
        initial_capital=initial_capital,
        units=initial_capital.copy(),
        unit_hwm=np.ones(n),
        last_equity=initial_capital.copy(),
        last_balance=initial_capital.copy(),
        day_id=zeros - 1,
        day_anchor_balance=initial_capital.copy(),
        day_anchor_equity=initial_capital.copy(),
        day_flow=np.zeros(n),
        rung=zeros - 1,
        acknowledged_rung=zeros - 1,
        calm_sessions=zeros.copy(),
        ramp_left=zeros.copy(),
        last_price=np.full((n, n_assets), np.nan),
        last_sigma=np.full((n, n_assets), np.nan),
        latch_kind=np.full(latches, NO_LATCH, dtype=np.int8),
        latch_state=np.zeros(latches, dtype=np.int8),
        latch_since_ns=np.zeros(latches, dtype=np.int64),
        latch_since_session=np.zeros(latches, dtype=np.int64),
    )
    flat = np.zeros((n, n_assets))
    return Carried(states, Positions(initial_capital.copy(), flat, flat.copy()), flat.copy())


def restart(carried: Carried, fresh: B1) -> Carried:
    """Opening books for the marked accounts (a new attempt), everything else as it is."""
    clean = opening(carried.states.initial_capital, carried.orders.shape[1])

    def pick(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        return np.where(fresh if old.ndim == 1 else fresh[:, None], new, old)

    names = States.__dataclass_fields__
    states = States(
        **{name: pick(getattr(carried.states, name), getattr(clean.states, name)) for name in names}
    )
    positions = Positions(
        *(
            pick(getattr(carried.positions, n), getattr(clean.positions, n))
            for n in ("cash", "qty", "avg_price")
        )
    )
    return Carried(states, positions, pick(carried.orders, clean.orders))


def step(desk: Desk, carried: Carried, tick: Tick) -> tuple[Cycle, Carried]:
    """One bar: day roll and flows, fills of waiting orders, marks, releases, decision.

    The returned orders wait for the next bar; whoever sends them must first make the cycle's record and the
    returned states durable.
    """
    market = tick.market
    states, new_day = roll_day(carried.states, tick.day_id)
    states, positions = add_flows(states, carried.positions, tick.flow)
    unit = market.multiplier * market.fx
    fills = fill_orders(carried.orders, tick.fill_price, tick.spread_bps, desk.costs, unit)
    positions = apply_fills(positions, fills, unit)

    marks = mark(desk, states, positions, market, tick.spread_bps)
    states = remember(states, marks, positions, market, unit)
    states, released = release(desk, states, new_day, market.session)
    states = drawdown.advance_ladder(states, marks.equity, new_day, desk.knobs["LD-02"])

    view = View(market, books_of(desk, states, positions, marks, market, tick), states)
    decisions, states = decide(view, desk.knobs, annual=desk.annual)
    cycle = Cycle(fills, marks, view, decisions, states, released)
    return cycle, Carried(states, positions, decisions.steps.step_qty)


def roll_day(states: States, day_id: I8) -> tuple[States, B1]:
    """Set the day's anchors at its reset: balance and equity as last seen before it. Never backwards."""
    new_day = day_id > states.day_id
    rolled = replace(
        states,
        day_id=np.maximum(day_id, states.day_id),
        day_anchor_balance=np.where(new_day, states.last_balance, states.day_anchor_balance),
        day_anchor_equity=np.where(new_day, states.last_equity, states.day_anchor_equity),
        day_flow=np.where(new_day, 0.0, states.day_flow),
    )
    return rolled, new_day


def add_flows(states: States, positions: Positions, flow: F8) -> tuple[States, Positions]:
    """A deposit buys units at the unit value before it: return and drawdown do not move (``risk.md`` 1.0)."""
    if not flow.any():
        return states, positions
    unit_value = drawdown.unit_nav(states, states.last_equity)
    bought = np.divide(flow, unit_value, out=np.zeros_like(flow), where=unit_value > 0)
    moved = replace(
        states,
        units=states.units + bought,
        day_flow=states.day_flow + flow,
        last_equity=states.last_equity + flow,
        last_balance=states.last_balance + flow,
    )
    return moved, replace(positions, cash=np.round(positions.cash + flow, 6))


def mark(desk: Desk, states: States, positions: Positions, market: Market, spread_bps: F8) -> Marks:
    """Conservative and plain value of every book."""
    move, bound = data_sanity.price_moves(market, desk.knobs["DS-03"])
    return value_books(
        positions,
        market.price,
        states.last_price,
        move > bound,
        spread_bps,
        desk.knobs["DS-02"]["stress_haircut"],
        market.multiplier * market.fx,
        desk.costs,
    )


def remember(states: States, marks: Marks, positions: Positions, market: Market, unit: F8) -> States:
    """Last equity, balance, prices and volatilities, each kept where the new one is unknown."""
    price_known = np.isfinite(market.price) & (market.price > 0)
    sigma_known = np.isfinite(market.sigma) & (market.sigma > 0)
    return replace(
        states,
        last_equity=np.where(np.isfinite(marks.equity), marks.equity, states.last_equity),
        last_balance=balance(positions, unit),
        last_price=np.where(price_known, market.price, states.last_price),
        last_sigma=np.where(sigma_known, market.sigma, states.last_sigma),
    )


def release(desk: Desk, states: States, new_day: B1, session: int) -> tuple[States, tuple[Released, ...]]:
    """End NEXT_SESSION latches on a new trading day, and those that a simulated person has looked at by now."""
    if not (states.latch_kind > NO_LATCH).any():
        return states, ()
    ended: list[Released] = []
    for a, r in np.argwhere((states.latch_kind == Release.NEXT_SESSION) & new_day[:, None]):
        ended.append(Released(int(a), LATCHING_RULES[r], Release.NEXT_SESSION, by_operator=False))
    states = drawdown.expire_latches(states, new_day)
    if desk.operators is None:
        return states, tuple(ended)
    for a, r in np.argwhere(states.latch_kind >= Release.MANUAL):
        kind = Release(int(states.latch_kind[a, r]))
        patience = desk.operators.sessions(kind)
        if patience is not None and session - states.latch_since_session[a, r] >= patience:
            ramp = int(desk.knobs["LD-02"]["ramp_sessions"][a])
            states = drawdown.release_latch(states, int(a), int(r), ramp)
            ended.append(Released(int(a), LATCHING_RULES[r], kind, by_operator=True))
    return states, tuple(ended)


def books_of(
    desk: Desk, states: States, positions: Positions, marks: Marks, market: Market, tick: Tick
) -> Books:
    """The books as the rules see them, at conservative marks."""
    held_mark = np.where(positions.qty != 0, marks.mark, 1.0)
    current = nano_weights(positions.qty, held_mark * market.multiplier * market.fx, marks.equity)
    return Books(
        accounts=desk.accounts,
        firm=desk.firm,
        equity=marks.equity,
        balance=states.last_balance,
        equity_estimated=marks.estimated,
        equity_age_bars=np.zeros(desk.size),
        qty=positions.qty,
        working_exit_qty=np.zeros_like(positions.qty),
        current=current,
        proposed=tick.proposed,
        mentioned=tick.mentioned,
        proposal_age_bars=tick.proposal_age_bars,
    )


def firm_index(accounts: Sequence[str]) -> tuple[tuple[str, ...], I8]:
    """Firm ids in order of first appearance, and the index of each account's firm."""
    firms: list[str] = []
    index = []
    for account in accounts:
        firm = account.split("/", 1)[0]
        if firm not in firms:
            firms.append(firm)
        index.append(firms.index(firm))
    return tuple(firms), np.array(index, dtype=np.int64)
