"""The books of requests as the guards see them: positions, what the broker says, what was filled. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from regime_trading.core.bars import SECOND_NS
from regime_trading.core.controls import NO_HALT, Halt
from regime_trading.core.numbers import B1, F8, I1, nano_of
from regime_trading.core.portfolio import RecentFill, Recon, Traffic
from regime_trading.core.requests import PMRequest
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import AccountState, InstrumentSpec, Mode, PortfolioSnapshot, Position
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.engine.fills import Marks, Positions
from regime_trading.engine.request_market import number, rates
from regime_trading.guards.facts import (
    BUY,
    QUANTITY_DIFFERS,
    SELL,
    SIGN_DIFFERS,
    Brokerage,
    silent_brokerage,
)
from regime_trading.guards.snapshot import Happened, Market

_MINUTE_NS = 60 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Subject:
    """One request, and what decides it.

    Parameters
    ----------
    request : PMRequest
    profile : TraderProfile
        The configuration in force.
    state : AccountState or None
        What the account remembers; None = it was never decided.
    least_state : TradingState
        What the standing of the configuration demands at least.
    hermetic : bool
        The state came with the request: nothing else counts.
    halt : Halt
        What people have put in force for the account.
    """

    request: PMRequest
    profile: TraderProfile
    state: AccountState | None
    least_state: TradingState = TradingState.NORMAL
    hermetic: bool = True
    halt: Halt = NO_HALT

    @property
    def account(self) -> str:
        """``firm/account``."""
        return self.request.account

    @property
    def book(self) -> PortfolioSnapshot:
        return self.request.portfolio


def own_symbols(request: PMRequest) -> set[str]:
    """What a request is about: everything proposed, held, or working."""
    book = request.portfolio
    named = set(request.proposal.weights) | {position.symbol for position in book.positions}
    named |= {order.symbol for order in book.working_orders or ()}
    return named | {difference.symbol for difference in (book.recon.diff if book.recon else ())}


def broker_says(subject: Subject) -> frozenset[str]:
    """What the request tells of the broker and of the account's traffic.

    Outside dry runs the reconciliation is always asked for: one that is not there is unknown.
    """
    book, traffic = subject.book, subject.book.traffic or Traffic()
    counts = ("orders_1s", "orders_60s", "orders_day", "rejects_60s", "timeouts_60s", "sent")
    orders = [getattr(traffic, name) for name in counts]
    told = {
        "recon": book.recon is not None or subject.profile.mode is not Mode.DRY_RUN or book.violated,
        "margin": book.margin_used is not None or book.buying_power is not None,
        "orders": book.working_orders is not None or any(said is not None for said in orders),
        "fills": traffic.fills is not None,
        "stops": any("protective_stop" in position.model_fields_set for position in book.positions),
        "heartbeat": traffic.heartbeat_age_s is not None,
    }
    return frozenset(name for name, there in told.items() if there)


# --- positions and money ------------------------------------------------------------------------------------


def positions_of(subjects: Sequence[Subject], symbols: tuple[str, ...]) -> Positions:
    """Cash and positions of all accounts as their brokers tell them; cash in account currency."""
    at = {symbol: column for column, symbol in enumerate(symbols)}
    qty = np.zeros((len(subjects), len(symbols)))
    average = np.zeros_like(qty)
    cash = np.zeros(len(subjects))
    for row, subject in enumerate(subjects):
        for position in subject.book.positions:
            column = at[position.symbol]
            qty[row, column] = float(position.qty)
            average[row, column] = float(position.avg_price)
        cash[row] = cash_of(subject)
    return Positions(cash, qty, np.where(qty != 0, average, 0.0))


def financed(positions: Positions, specs: Sequence[InstrumentSpec], unit: F8) -> Positions:
    """Positions whose cash and holdings together are worth what the account is.

    Of a margined instrument only the difference to its entry price is money, so its notional at entry is taken out of
    cash.

    Parameters
    ----------
    unit : float64 [A, N]
        Multiplier times exchange rate.
    """
    margined = np.array([is_margined(spec) for spec in specs], dtype=np.bool_) & (positions.qty != 0)
    cost = np.where(margined, positions.qty * positions.avg_price * np.where(margined, unit, 0.0), 0.0)
    return replace(positions, cash=positions.cash - cost.sum(axis=1))


def is_margined(spec: InstrumentSpec) -> bool:
    """Whether cash pays differences only; futures do where nothing is said."""
    return spec.mini_equivalents > 0 if spec.margined is None else spec.margined


def cash_of(subject: Subject) -> float:
    """Cash in account currency; NaN where a rate is missing."""
    cash = subject.book.cash
    if not isinstance(cash, dict):
        return float(cash)
    names = sorted(name for name, amount in cash.items() if amount != 0)
    found = rates(subject.request.market, names, subject.profile.account_currency)
    return float(sum(float(cash[name]) * rate for name, rate in zip(names, found.tolist(), strict=True)))


def booked(subject: Subject) -> PortfolioSnapshot:
    """The account's book as it is stored: cash in account currency (as it was told where a rate is missing)."""
    book = subject.book
    cash = cash_of(subject) if isinstance(book.cash, dict) else np.nan
    held = sorted((p for p in book.positions if p.qty != 0), key=lambda position: position.symbol)
    return PortfolioSnapshot(
        account=subject.account,
        as_of_ns=book.as_of_ns,
        cash=Decimal(repr(cash)) if np.isfinite(cash) else book.cash,
        positions=tuple(Position(symbol=p.symbol, qty=p.qty, avg_price=p.avg_price) for p in held),
    )


def balances(subjects: Sequence[Subject], positions: Positions, unit: F8) -> F8:
    """Balance as said, else cash and positions at cost; float64 [A]."""
    held = positions.qty != 0
    cost = np.where(held, positions.qty * positions.avg_price * np.where(held, unit, 0.0), 0.0)
    plain = positions.cash + cost.sum(axis=1)
    said = np.array([number(subject.book.balance) for subject in subjects])
    return np.where(np.isnan(said), plain, said)


def least_equity(subjects: Sequence[Subject], marks: Marks) -> Marks:
    """Marks with the smallest of the equities that are known: worked out, the sender's, the broker's.

    Where it cannot be worked out, what the others say is an estimate.
    """
    own = np.where(np.isfinite(marks.equity), marks.equity, np.nan)
    said = [[number(s.book.equity), number(s.book.equity_broker)] for s in subjects]
    lowest = np.fmin.reduce(np.column_stack([own, np.array(said).reshape(len(subjects), 2)]), axis=1)
    return replace(
        marks, equity=np.asarray(lowest, dtype=np.float64), estimated=marks.estimated | np.isnan(own)
    )


def new_flows(subjects: Sequence[Subject], day_flow: F8) -> F8:
    """Deposits of today that are not in the states yet, float64 [A]."""
    said = np.array([number(subject.book.flows_today) for subject in subjects])
    return np.where(np.isnan(said), 0.0, np.round(said - day_flow, 6))


# --- the proposal -------------------------------------------------------------------------------------------


def proposed(subjects: Sequence[Subject], symbols: tuple[str, ...]) -> tuple[F8, B1, F8]:
    """Nanoweights [A, N], named [A, N], age in bars [A].

    A weight in a symbol that has no instrument is no number, so that the whole proposal is refused (DS-11): it may be
    the hedge.
    """
    at = {symbol: column for column, symbol in enumerate(symbols)}
    weight = np.zeros((len(subjects), len(symbols)))
    mentioned = np.zeros(weight.shape, dtype=np.bool_)
    age = np.zeros(len(subjects))
    for row, subject in enumerate(subjects):
        request = subject.request
        known = {spec.symbol for spec in request.market.instruments}
        mentioned[row] = request.proposal.complete
        for symbol, asked in request.proposal.weights.items():
            weight[row, at[symbol]] = nano_of(asked) if symbol in known else np.nan
            mentioned[row, at[symbol]] = True
        age[row] = (request.as_of_ns - request.proposal.as_of_ns) / (request.market.bar_s * SECOND_NS)
    return weight, mentioned, age


# --- the broker ---------------------------------------------------------------------------------------------


def brokerage_of(
    subjects: Sequence[Subject], market: Market, positions: Positions, marks: Marks
) -> Brokerage:
    """What the broker and the traffic of each account say; NaN where it is not said."""
    symbols, now = market.symbols, market.ts_ns
    at = {symbol: column for column, symbol in enumerate(symbols)}
    silent = silent_brokerage(len(subjects), len(symbols))
    traffic = [subject.book.traffic or Traffic() for subject in subjects]

    def counts(name: str) -> F8:
        return np.array([number(getattr(one, name)) for one in traffic], dtype=np.float64)

    def money(name: str) -> F8:
        return np.array([number(getattr(subject.book, name)) for subject in subjects], dtype=np.float64)

    recon = [subject.book.recon for subject in subjects]
    entries, ages = _working_entries(subjects, at, now)
    fills, trips = _fills(subjects, at, now, positions)
    return replace(
        silent,
        provided=broker_says(subjects[0]),
        reconciled=np.array([-1 if r is None else _clean(r) for r in recon], dtype=np.int64),
        mismatch=_mismatches(recon, at),
        equity_gap=_equity_gap(subjects, marks),
        margin_used=money("margin_used"),
        buying_power=money("buying_power"),
        violated=np.array([subject.book.violated for subject in subjects], dtype=np.bool_),
        orders_1s=counts("orders_1s"),
        orders_60s=counts("orders_60s"),
        orders_day=counts("orders_day"),
        rejects_60s=counts("rejects_60s"),
        timeouts_60s=counts("timeouts_60s"),
        fills_60s=fills,
        round_trips_day=trips,
        sent_qty=_sent(traffic, at),
        heartbeat_age_s=counts("heartbeat_age_s"),
        slippage_bps=_slippage(traffic, symbols),
        avg_price=positions.avg_price,
        unprotected_s=_unprotected(subjects, at, now),
        working_entry_qty=entries,
        working_age_s=ages,
    )


def _clean(recon: Recon) -> int:
    """Clean reconciliations in a row, −1 = never tried."""
    if recon.status == "never":
        return -1
    return recon.count if recon.status == "ok" and not recon.diff else 0


def _mismatches(recon: Sequence[Recon | None], at: Mapping[str, int]) -> I1:
    out = np.zeros((len(recon), len(at)), dtype=np.int8)
    for row, one in enumerate(recon):
        for found in one.diff if one is not None else ():
            if found.own_qty != found.broker_qty:
                same = found.own_qty * found.broker_qty > 0
                out[row, at[found.symbol]] = QUANTITY_DIFFERS if same else SIGN_DIFFERS
    return out


def _equity_gap(subjects: Sequence[Subject], marks: Marks) -> F8:
    """As said, else the broker's equity against the plain value of the books, else NaN; float64 [A]."""
    said = [None if s.book.recon is None else s.book.recon.equity_gap for s in subjects]
    broker = np.array([number(subject.book.equity_broker) for subject in subjects])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.abs(broker / np.where(marks.plain_equity != 0, marks.plain_equity, np.nan) - 1.0)
    return np.where([gap is None for gap in said], found, [number(gap) for gap in said])


def working_exits(subjects: Sequence[Subject], at: Mapping[str, int], qty: F8) -> F8:
    """How much of each position working exits will close, at most the position; float64 [A, N]."""
    out = np.zeros_like(qty)
    for row, subject in enumerate(subjects):
        for order in subject.book.working_orders or ():
            column = at[order.symbol]
            if order.intent == "exit" and float(order.signed) * qty[row, column] < 0:
                out[row, column] += float(order.qty_open)
    return np.minimum(out, np.abs(qty))


def _working_entries(subjects: Sequence[Subject], at: Mapping[str, int], now: int) -> tuple[F8, F8]:
    """Signed open entries and the age of the oldest, [A, N]; NaN where not told, and for both sides at once."""
    shape = (len(subjects), len(at))
    entries, ages = np.zeros(shape), np.zeros(shape)
    for row, subject in enumerate(subjects):
        orders = subject.book.working_orders
        if orders is None and "orders" in broker_says(subject):
            entries[row] = np.nan
        for order in orders or ():
            if order.intent == "entry" and order.qty_open != 0:
                column, signed = at[order.symbol], float(order.signed)
                both = entries[row, column] * signed < 0
                entries[row, column] = np.nan if both else entries[row, column] + signed
                age = np.nan if order.sent_at is None else (now - order.sent_at) / SECOND_NS
                ages[row, column] = np.maximum(ages[row, column], age)
    return entries, ages


def _fills(
    subjects: Sequence[Subject], at: Mapping[str, int], now: int, positions: Positions
) -> tuple[F8, F8]:
    """Fills of the last minute by side [A, N, 2], and round trips of the day [A, N]."""
    recent = np.zeros((len(subjects), len(at), 2))
    trips = np.zeros((len(subjects), len(at)))
    for row, subject in enumerate(subjects):
        for fill in fills_of(subject):
            if fill.symbol in at and now - fill.ts_ns <= _MINUTE_NS:
                recent[row, at[fill.symbol], BUY if fill.side == "buy" else SELL] += 1
        for closing in _closings(subject, at, positions.qty[row], lambda fill: True):
            trips[row, closing.column] += 1
    return recent, trips


def fills_of(subject: Subject) -> tuple[RecentFill, ...]:
    """Fills that a request tells of; none where it does not."""
    traffic = subject.book.traffic
    return (traffic.fills if traffic is not None else None) or ()


def _sent(traffic: Sequence[Traffic], at: Mapping[str, int]) -> F8:
    """Signed quantity sent in the last two seconds [A, N]; NaN where it is not told, and for both sides at once."""
    out = np.zeros((len(traffic), len(at)))
    for row, one in enumerate(traffic):
        if one.sent is None:
            out[row] = np.nan
        for order in one.sent or ():
            if order.symbol in at:
                signed = float(order.qty if order.side == "buy" else -order.qty)
                both = out[row, at[order.symbol]] * signed < 0
                out[row, at[order.symbol]] = np.nan if both else out[row, at[order.symbol]] + signed
    return out


def _slippage(traffic: Sequence[Traffic], symbols: Sequence[str]) -> F8:
    rows = [[number(one.slippage_bps.get(symbol)) for symbol in symbols] for one in traffic]
    return np.array(rows, dtype=np.float64).reshape(len(traffic), len(symbols))


def _unprotected(subjects: Sequence[Subject], at: Mapping[str, int], now: int) -> F8:
    """Seconds each position has been without a protective stop, 0 where it has one, NaN where that is not known."""
    out = np.zeros((len(subjects), len(at)))
    for row, subject in enumerate(subjects):
        stops = {o.symbol for o in subject.book.working_orders or () if o.intent == "stop"}
        for position in subject.book.positions:
            bare = position.protective_stop is None and position.symbol not in stops and position.qty != 0
            opened = position.opened_at
            since = np.nan if opened is None else (now - opened) / SECOND_NS
            out[row, at[position.symbol]] = since if bare else 0.0
    return out


# --- what happened ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Closing:
    """A fill that closed or turned a position: column, the side of the position, its return (NaN = unknown)."""

    column: int
    side: int
    returned: float


def what_happened(
    subjects: Sequence[Subject], at: Mapping[str, int], positions: Positions, new_day: B1
) -> Happened:
    """What the fills since each account's last decision closed; the last closing of a symbol counts."""
    shape = positions.qty.shape
    side, returned = np.zeros(shape, dtype=np.int8), np.full(shape, np.nan)
    traded = np.zeros(len(subjects), dtype=np.bool_)
    for row, subject in enumerate(subjects):
        since = -1 if subject.state is None else subject.state.as_of_ns

        def is_new(fill: RecentFill, since: int = since) -> bool:
            return fill.ts_ns > since

        traded[row] = any(is_new(fill) for fill in fills_of(subject))
        for closing in _closings(subject, at, positions.qty[row], is_new):
            side[row, closing.column], returned[row, closing.column] = closing.side, closing.returned
    return Happened(new_day=new_day, flat_side=side, flat_return=returned, traded=traded)


def _closings(
    subject: Subject, at: Mapping[str, int], qty: F8, counts: Callable[[RecentFill], bool]
) -> list[_Closing]:
    """Fills that closed or turned a position, in order of time; what was held before them follows from what is held."""
    fills = sorted((f for f in fills_of(subject) if f.symbol in at), key=lambda f: f.ts_ns)
    held = {f.symbol: Decimal(repr(float(qty[at[f.symbol]]))) for f in fills}
    for fill in fills:
        held[fill.symbol] -= fill.signed
    found = []
    for fill in fills:
        before, after = held[fill.symbol], held[fill.symbol] + fill.signed
        held[fill.symbol] = after
        if before != 0 and before * after <= 0 and counts(fill):
            side = 1 if before > 0 else -1
            entry = number(fill.entry_price)
            found.append(_Closing(at[fill.symbol], side, side * (float(fill.px) / entry - 1.0)))
    return found
