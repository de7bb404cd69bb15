"""The rest of a firm: what rules across accounts (LD-13, CC-12, XL-12) see of the others. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from regime_trading.core.canonical import sha256_hex
from regime_trading.core.numbers import F8
from regime_trading.core.schemas import AccountState, PortfolioSnapshot
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.core.trading_day import trading_day_id
from regime_trading.engine.carry import load_state
from regime_trading.engine.cycle import firm_index
from regime_trading.engine.record import DecisionHashes
from regime_trading.guards import anchors
from regime_trading.guards.facts import Brokerage, silent_brokerage
from regime_trading.guards.snapshot import Books, Market, States, View, fresh_states, nano_weights


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another account of a firm, as the store knows it; None = it was never decided."""

    profile: TraderProfile
    state: AccountState | None
    portfolio: PortfolioSnapshot | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What the rules of a firm look at in one of its other accounts; quantities and nanoweights by symbol."""

    profile: TraderProfile
    equity: float
    estimated: bool
    anchor: float
    flow: float
    qty: Mapping[str, float]
    asked: Mapping[str, float] | None
    working: Mapping[str, float]


def day_id(profile: TraderProfile, ts_ns: int) -> int:
    day = profile.trading_day
    return trading_day_id(ts_ns, dt.time.fromisoformat(day.reset_at), day.zone)


def stored_neighbour(sibling: Sibling, ts_ns: int, session: int) -> Neighbour:
    """An account of the store: its last equity, and its day as it would be at this instant."""
    profile, state = sibling.profile, sibling.state
    capital = float(
        profile.stated_capital or 0
    )  # without capital and without a past there is nothing to lose
    states = fresh_states(np.array([capital]), 0)
    if state is not None:
        load_state(states, 0, state, ())
    today = np.array([day_id(profile, ts_ns)], dtype=np.int64)
    states, _ = anchors.roll(states, today, anchors.unseen(states, session))
    held = () if sibling.portfolio is None else sibling.portfolio.positions
    return Neighbour(
        profile=profile,
        equity=float(states.last_equity[0]),
        estimated=False,
        anchor=float(states.day_anchor_equity[0]),
        flow=float(states.day_flow[0]),
        qty={position.symbol: float(position.qty) for position in held},
        asked=None,
        working={},
    )


def with_neighbours(
    books: Books, states: States, market: Market, others: Sequence[Neighbour]
) -> tuple[Books, States]:
    """Books and states of a group with a row for each of the other accounts of its firms."""
    if not others:
        return books, states

    def numbers(rows: Sequence[Mapping[str, float] | None]) -> F8:
        wide = [[(row or {}).get(symbol, 0.0) for symbol in market.symbols] for row in rows]
        return np.array(wide, dtype=np.float64).reshape(len(rows), len(market.symbols))

    equity = np.array([other.equity for other in others])
    qty = numbers([other.qty for other in others])
    named = np.array([other.asked is not None for other in others])
    accounts = (*books.accounts, *(other.profile.account for other in others))
    none = np.zeros(len(others))
    asked = numbers([other.asked for other in others])
    theirs = Books(
        accounts=accounts[len(books.accounts) :],
        firm=np.zeros(len(others), dtype=np.int64),
        equity=equity,
        balance=equity,
        equity_estimated=np.array([other.estimated for other in others]),
        equity_age_bars=none,
        qty=qty,
        working_exit_qty=np.zeros_like(qty),
        current=nano_weights(qty, market.unit_value(), equity),
        proposed=asked,
        mentioned=np.repeat(named[:, None], len(market.symbols), axis=1),
        proposal_age_bars=none,
        broker=replace(
            silent_brokerage(*qty.shape), working_entry_qty=numbers([other.working for other in others])
        ),
        imposed_state=np.zeros(len(others), dtype=np.int8),
    )
    fresh = fresh_states(equity, len(market.symbols))
    anchored = replace(
        fresh,
        day_anchor_equity=np.array([other.anchor for other in others]),
        day_flow=np.array([other.flow for other in others]),
    )
    broker = _joined(books.broker, theirs.broker, keep=("provided",))
    joined = _joined(books, theirs, keep=("accounts", "firm", "broker"))
    whole = replace(joined, accounts=accounts, firm=firm_index(accounts)[1], broker=broker)
    return whole, _joined(states, anchored)


T = TypeVar("T", Books, Brokerage, States)


def _joined(first: T, second: T, keep: Sequence[str] = ()) -> T:
    """Rows of both, one after the other; the named fields as they are in ``first``."""
    moved: dict[str, Any] = {
        field.name: np.concatenate([getattr(first, field.name), getattr(second, field.name)])
        for field in fields(first)
        if field.name not in keep
    }
    return replace(first, **moved)


def firm_digests(view: View) -> list[str]:
    """What rules across a firm saw of each account's firm; empty where it stands alone."""
    books, states = view.books, view.states
    wide = np.column_stack(
        [books.equity, books.equity_estimated, states.day_anchor_equity, states.day_flow, books.qty, books.proposed,
         books.mentioned, books.broker.working_entry_qty]
    ).astype(np.float64)  # fmt: skip
    rows: dict[int, list[tuple[str, bytes]]] = {}
    for row, (firm, account) in enumerate(zip(books.firm.tolist(), books.accounts, strict=True)):
        rows.setdefault(firm, []).append((account, np.ascontiguousarray(wide[row]).tobytes()))
    digests = {
        firm: sha256_hex(b"".join(name.encode() + b"|" + data for name, data in sorted(members)))
        for firm, members in rows.items()
        if len(members) > 1
    }
    return [digests.get(firm, "") for firm in books.firm.tolist()]


def with_firm(hashes: DecisionHashes, firm: str) -> DecisionHashes:
    """The hashes with what was seen of the rest of the firm."""
    if not firm:
        return hashes
    snapshot, decision_id = (
        sha256_hex(f"{part}|{firm}".encode()) for part in (hashes.snapshot, hashes.decision_id)
    )
    return replace(hashes, snapshot=snapshot, decision_id=decision_id)
