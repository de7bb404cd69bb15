"""One decision cycle for one or many accounts: roll the day, fill, mark, decide. Pure; the same in every mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.rules import LATCHING_RULES, Release, RestartPolicy
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
from regime_trading.guards import anchors, data_sanity, drawdown
from regime_trading.guards.chain import Decisions, Knobs, decide
from regime_trading.guards.data_state import fx_marks
from regime_trading.guards.facts import Brokerage, silent_brokerage
from regime_trading.guards.memory import advance
from regime_trading.guards.slicing import collared
from regime_trading.guards.snapshot import (
    NO_LATCH,
    Books,
    Happened,
    Market,
    States,
    View,
    fresh_states,
    nano_weights,
)

REBASE = list(RestartPolicy).index(RestartPolicy.REBASE)

_SIMULATED = np.array([rule_id != "LD-15" for rule_id in LATCHING_RULES])  #: a kill is ended by a real person

SIMULATED_SAYS = frozenset({"recon", "margin", "orders", "fills"})  #: what a simulated broker says


@dataclass(frozen=True, slots=True)
class Desk:
    """What does not change while time runs: accounts, rules, costs, people.

    ``annual`` is bars a year. ``operators`` None = nobody releases latches (a single run, live). ``imposed_state``
    int8 [A] is the least trading state that the standing of the configuration demands; None = nothing.
    """

    accounts: tuple[str, ...]
    firm: I8
    initial_capital: F8
    knobs: Knobs
    costs: FillCosts
    annual: float
    operators: Operators | None = None
    imposed_state: I1 | None = None

    @property
    def size(self) -> int:
        return len(self.accounts)


@dataclass(frozen=True, slots=True)
class Carried:
    """What one bar hands to the next: states, positions, and the orders waiting for it: signed quantities, and the
    limit prices of their closing and opening legs (NaN or absent = none)."""

    states: States
    positions: Positions
    orders: F8
    limits: tuple[F8, F8] | None = None


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
    """A latch that ended: account index, rule, and who ended it: nobody (``NEXT_SESSION`` expires), a simulated
    operator, or a person, who has ended the halt behind it."""

    account: int
    rule_id: str
    kind: Release
    by_operator: bool
    by_person: bool = False


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
    flat = np.zeros((len(initial_capital), n_assets))
    positions = Positions(initial_capital.copy(), flat, flat.copy())
    return Carried(fresh_states(initial_capital, n_assets), positions, flat.copy())


def restart(carried: Carried, fresh: B1) -> Carried:
    """Opening books for the marked accounts (a new attempt), everything else as it is."""
    clean = opening(carried.states.initial_capital, carried.orders.shape[1])

    def pick(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        return np.where(fresh.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

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
    return Carried(states, positions, pick(carried.orders, clean.orders), carried.limits)


def step(desk: Desk, carried: Carried, tick: Tick) -> tuple[Cycle, Carried]:
    """One bar: day roll and flows, fills of waiting orders, marks, releases, decision.

    The returned orders wait for the next bar; whoever sends them must first make the cycle's record and the
    returned states durable.
    """
    market = tick.market
    states, new_day = anchors.roll(
        carried.states, tick.day_id, anchors.unseen(carried.states, market.session)
    )
    states = anchors.add_flows(states, tick.flow, desk.knobs)
    positions = replace(carried.positions, cash=np.round(carried.positions.cash + tick.flow, 6))
    unit = market.multiplier * market.fx
    fills = fill_legs(replace(carried, positions=positions), tick, desk.costs, unit)
    positions = apply_fills(positions, fills, unit)

    marks = mark(desk, states, positions, market, tick.spread_bps)
    states = remember(states, marks, positions, market, unit)
    states, released = release(desk, states, new_day, market.session, market.ts_ns)

    books = books_of(desk, states, positions, marks, market, tick)
    happened = what_happened(carried.positions, fills, new_day)
    view = View(market, books, states)
    view = replace(view, states=advance(view, desk.knobs, happened))
    decisions, states = decide(view, desk.knobs, annual=desk.annual)
    cycle = Cycle(fills, marks, view, decisions, states, released)
    return cycle, Carried(states, positions, decisions.steps.step_qty, step_limits(cycle))


def step_limits(cycle: Cycle) -> tuple[F8, F8] | None:
    """Limit prices of closing and of opening legs, float64 [A, N] each; None where nothing is collared.

    An exit's collar widens every few seconds while it does not fill (XL-02); by the next bar it is as wide as it gets.
    """
    market, d = cycle.view.market, cycle.decisions
    if d.meet.collar is None:
        return None
    step, tick = d.steps.step_qty, market.instruments.tick
    widest = d.meet.collar * d.exit_ladder[:, None]
    return collared(step, market.price, widest, tick), collared(step, market.price, d.meet.collar, tick)


def fill_legs(carried: Carried, tick: Tick, costs: FillCosts, unit: F8) -> Fills:
    """Fills of the waiting steps, closing and opening legs each within its own limit; nothing opens in an asset whose
    closing leg did not fill."""
    orders, qty = carried.orders, carried.positions.qty
    exit_limit, entry_limit = (None, None) if carried.limits is None else carried.limits
    price, spread_bps = tick.fill_price, tick.spread_bps
    closing = np.where(orders * qty < 0, np.sign(orders) * np.minimum(np.abs(orders), np.abs(qty)), 0.0)
    exits = fill_orders(closing, price, spread_bps, costs, unit, exit_limit)
    opens = np.where((closing != 0) & (exits.qty == 0), 0.0, orders - closing)
    entries = fill_orders(opens, price, spread_bps, costs, unit, entry_limit)
    return Fills(exits.qty + entries.qty, np.maximum(exits.price, entries.price), exits.fee + entries.fee)


def what_happened(before: Positions, fills: Fills, new_day: B1) -> Happened:
    """Positions that this cycle's fills closed or turned, with their returns from the average price."""
    after = before.qty + fills.qty
    closed = (before.qty != 0) & (after * before.qty <= 0)
    side = np.sign(before.qty)
    known = closed & (before.avg_price > 0) & (fills.price > 0)
    ratio = np.divide(fills.price, before.avg_price, out=np.full_like(after, np.nan), where=known)
    return Happened(
        new_day=new_day,
        flat_side=np.where(closed, side, 0.0).astype(np.int8),
        flat_return=side * (ratio - 1.0),
        traded=np.logical_or.reduce(fills.qty != 0, axis=1),
    )


def mark(desk: Desk, states: States, positions: Positions, market: Market, spread_bps: F8) -> Marks:
    """Conservative and plain value of every book; a lost exchange rate counts as a lost price does."""
    move, bound = data_sanity.price_moves(market, desk.knobs["DS-03"])
    rate, estimated = rates_of(desk, states, positions, market)
    marks = value_books(
        positions,
        market.price,
        states.last_price,
        move > bound,
        spread_bps,
        desk.knobs["DS-02"]["stress_haircut"],
        market.multiplier * rate,
        desk.costs,
    )
    return replace(marks, estimated=marks.estimated | np.logical_or.reduce(estimated, axis=1))


def rates_of(desk: Desk, states: States, positions: Positions, market: Market) -> tuple[F8, B1]:
    """Exchange rates the positions are marked at, and where they are an estimate; float64 and bool [A, N]."""
    return fx_marks(market, states.last_fx, positions.qty, desk.knobs["DS-09"])


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


def release(
    desk: Desk, states: States, new_day: B1, session: int, ts_ns: int
) -> tuple[States, tuple[Released, ...]]:
    """End latches whose time is up, and those that a simulated person has looked at by now; never a kill."""
    if not (states.latch_kind > NO_LATCH).any():
        return states, ()
    after = drawdown.expire_latches(states, new_day, ts_ns)
    ended = [
        Released(int(a), LATCHING_RULES[r], Release(int(states.latch_kind[a, r])), by_operator=False)
        for a, r in np.argwhere((states.latch_kind > NO_LATCH) & (after.latch_kind == NO_LATCH))
    ]
    states = after
    if desk.operators is None:
        return states, tuple(ended)
    for a, r in np.argwhere((states.latch_kind >= Release.MANUAL) & _SIMULATED):
        kind = Release(int(states.latch_kind[a, r]))
        patience = desk.operators.sessions(kind)
        if patience is not None and session - states.latch_since_session[a, r] >= patience:
            ramp = int(desk.knobs["LD-02"]["ramp_sessions"][a])
            rebase = desk.knobs["LD-02"]["restart_policy"][a] == REBASE
            states = drawdown.release_latch(states, int(a), int(r), ramp, rebase=bool(rebase))
            ended.append(Released(int(a), LATCHING_RULES[r], kind, by_operator=True))
    return states, tuple(ended)


def books_of(
    desk: Desk, states: States, positions: Positions, marks: Marks, market: Market, tick: Tick
) -> Books:
    """The books as the rules see them, at conservative marks."""
    current = nano_weights(positions.qty, marks.unit_value, marks.equity)
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
        broker=simulated_brokerage(positions, marks),
        imposed_state=desk.imposed_state,
    )


def simulated_brokerage(positions: Positions, marks: Marks) -> Brokerage:
    """What a simulated broker says: the ledger is its own book, so they agree; every order is answered at the next
    bar, so none works; exits settle before entries, so the whole equity can be spent; what is borrowed is margin."""
    n_accounts, n_assets = positions.qty.shape
    return replace(
        silent_brokerage(n_accounts, n_assets),
        provided=SIMULATED_SAYS,
        reconciled=np.full(n_accounts, 2, dtype=np.int64),
        equity_gap=np.zeros(n_accounts),
        margin_used=np.maximum(-positions.cash, 0.0),
        buying_power=np.maximum(marks.equity, 0.0),
        avg_price=positions.avg_price,
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
