"""Account states, portfolios and orders as the arrays of a cycle, and back, exactly.

Every number crosses as the shortest decimal text of its double, so that a state that was stored and loaded
decides as one that never left memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, nano_text
from regime_trading.core.rules import (
    LATCHING_RULES,
    RECOVERING_RULES,
    RULE_BY_ID,
    RULE_IDS,
    TIMER_RULES,
    Authority,
    Release,
    TradingState,
)
from regime_trading.core.schemas import (
    RULE_OUTCOMES,
    AccountState,
    Closed,
    Latch,
    Order,
    Outcome,
    PMDecision,
    PortfolioSnapshot,
    Position,
    RuleOutcome,
    RuleResult,
    Sample,
    Target,
)
from regime_trading.engine.cycle import Carried, Cycle, opening
from regime_trading.engine.fills import Positions
from regime_trading.engine.record import (
    DecisionHashes,
    Identity,
    binding,
    rationale,
    rule_table,
)
from regime_trading.guards.attribution import rule_names
from regime_trading.guards.chain import OUTCOMES
from regime_trading.guards.facts import NEVER_NS
from regime_trading.guards.slicing import Terms, slices
from regime_trading.guards.snapshot import MAX_SAMPLES, NO_LATCH, States

_FLOATS = (
    "initial_capital", "units", "unit_hwm", "last_equity", "last_balance", "day_anchor_balance", "day_anchor_equity",
    "day_flow", "day_peak", "week_anchor", "week_flow", "month_anchor", "month_flow", "flows", "eod_hwm", "equity_hwm",
    "closed_profit", "best_day", "k_last",
)  # fmt: skip
_INTS = (
    "day_id", "week_id", "month_id", "rung", "acknowledged_rung", "calm_sessions", "ramp_left", "k_session",
    "kill_level",
)  # fmt: skip
#: A bar this long outlasts the ladder of an exit's collar (XL-02): what waits for the next bar asks for the widest.
LADDER_NS, WIDEST = 60_000_000_000, 62
_BY_SYMBOL = {"last_price": "last_good_price", "last_sigma": "last_good_sigma", "last_fx": "last_good_fx"}


@dataclass(frozen=True, slots=True)
class Stored:
    """What the ledger holds of one account."""

    state: AccountState
    portfolio: PortfolioSnapshot
    orders: tuple[Order, ...]


def carried_from(stored: Sequence[Stored | None], initial_capital: F8, symbols: tuple[str, ...]) -> Carried:
    """Books of all accounts, one per row of ``initial_capital``; None opens fresh books.

    Parameters
    ----------
    initial_capital : float64 [A]
    symbols : tuple of str
        Columns; every symbol that any account holds, has ordered, or remembers a price of must be among them
        if it holds or has ordered it.

    Raises
    ------
    BadInput
        A position or an order in a symbol that is not among ``symbols``.
    """
    carried = opening(initial_capital, len(symbols))
    for row, item in enumerate(stored):
        if item is not None:
            _load(carried, row, item, symbols)
    return replace(carried, limits=_limits(stored, carried.orders.shape, symbols))


def _limits(
    stored: Sequence[Stored | None], shape: tuple[int, ...], symbols: tuple[str, ...]
) -> tuple[F8, F8] | None:
    """Limit prices of waiting closing and opening legs, float64 [A, N] each, NaN = any price; None where none waits."""
    exits, entries = np.full(shape, np.nan), np.full(shape, np.nan)
    for row, item in enumerate(stored):
        for order in () if item is None else item.orders:
            if order.limit_price is not None:
                leg = exits if order.intent == "exit" else entries
                leg[row, symbols.index(order.symbol)] = float(order.limit_price)
    return None if np.isnan(exits).all() and np.isnan(entries).all() else (exits, entries)


def _load(carried: Carried, row: int, stored: Stored, symbols: tuple[str, ...]) -> None:
    load_state(carried.states, row, stored.state, symbols)
    state = stored.state
    carried.positions.cash[row] = float(stored.portfolio.plain_cash)
    for position in stored.portfolio.positions:
        at = _column(symbols, position.symbol, state.account)
        carried.positions.qty[row, at] = float(position.qty)
        carried.positions.avg_price[row, at] = float(position.avg_price)
    for order in stored.orders:
        carried.orders[row, _column(symbols, order.symbol, state.account)] += float(order.qty)


def load_state(states: States, row: int, state: AccountState, symbols: tuple[str, ...]) -> None:
    """Write one stored state into a row of ``states``; what is absent stays as it is for a fresh account."""
    at = {symbol: column for column, symbol in enumerate(symbols)}
    for name in _FLOATS:
        if (value := getattr(state, name)) is not None:
            getattr(states, name)[row] = float(value)
    for name in _INTS:
        getattr(states, name)[row] = getattr(state, name)
    if state.last_trade_ns is not None:
        states.last_trade_ns[row] = state.last_trade_ns
    for array, stored in _BY_SYMBOL.items():
        for symbol, number in getattr(state, stored).items():
            if symbol in at:
                getattr(states, array)[row, at[symbol]] = float(number)
    for symbol, closed in state.closed.items():
        if symbol in at:
            states.flat_ns[row, at[symbol]] = closed.ts_ns
            states.flat_side[row, at[symbol]] = closed.side
    for rules, kept, memory in (
        (RECOVERING_RULES, state.unclean, states.unclean),
        (TIMER_RULES, state.timers, states.timer_ns),
    ):
        for rule_id, by_symbol in kept.items():
            for symbol, whole in by_symbol.items():
                if symbol in at and rule_id in rules:
                    memory[row, rules.index(rule_id), at[symbol]] = whole
    for place, sample in enumerate(state.recent, start=MAX_SAMPLES - len(state.recent)):
        states.recent_ns[row, place], states.recent_unit[row, place] = sample.ts_ns, float(sample.unit)
    for place, exit_ns in enumerate(state.losing_exits_ns, start=MAX_SAMPLES - len(state.losing_exits_ns)):
        states.loss_exit_ns[row, place] = exit_ns
    for rule_id, count in state.trips.items():
        states.latch_trips[row, LATCHING_RULES.index(rule_id)] = count
    for latch in state.latches:
        column = LATCHING_RULES.index(latch.rule_id)
        states.latch_kind[row, column] = latch.release
        states.latch_state[row, column] = latch.trading_state
        states.latch_since_ns[row, column] = latch.since_ns
        states.latch_since_session[row, column] = latch.since_session
        states.latch_until_ns[row, column] = NEVER_NS if latch.until_ns is None else latch.until_ns


def _column(symbols: tuple[str, ...], symbol: str, account: str) -> int:
    if symbol not in symbols:
        raise BadInput(
            expected=f"prices of {symbol}, which {account} holds or has ordered",
            found="none",
            where="symbols",
        )
    return symbols.index(symbol)


def state_of(
    states: States,
    row: int,
    account: str,
    symbols: tuple[str, ...],
    ts_ns: int,
    session: int,
    before: AccountState | None = None,
) -> AccountState:
    """One account's state as it is stored; what it remembered of other symbols (``before``) stays."""
    old = None if before is None else before
    recent = np.flatnonzero(states.recent_ns[row] != NEVER_NS)
    traded = int(states.last_trade_ns[row])
    return AccountState(
        account=account,
        as_of_ns=ts_ns,
        session=session,
        **{name: _decimal(getattr(states, name)[row]) for name in _FLOATS},
        **{name: int(getattr(states, name)[row]) for name in _INTS},
        **{
            stored: ({} if old is None else getattr(old, stored))
            | _known(symbols, getattr(states, array)[row])
            for array, stored in _BY_SYMBOL.items()
        },
        last_trade_ns=None if traded == NEVER_NS else traded,
        recent=tuple(
            Sample(ts_ns=int(states.recent_ns[row, i]), unit=_decimal(states.recent_unit[row, i]))
            for i in recent
        ),
        losing_exits_ns=tuple(int(t) for t in states.loss_exit_ns[row] if t != NEVER_NS),
        closed=_others({} if old is None else old.closed, symbols)
        | {
            symbols[i]: Closed(ts_ns=int(states.flat_ns[row, i]), side=int(states.flat_side[row, i]))
            for i in np.flatnonzero(states.flat_ns[row] != NEVER_NS)
        },
        unclean=_by_rule(
            RECOVERING_RULES, states.unclean[row], 0, symbols, {} if old is None else old.unclean
        ),
        timers=_by_rule(
            TIMER_RULES, states.timer_ns[row], NEVER_NS, symbols, {} if old is None else old.timers
        ),
        trips={
            rule_id: int(states.latch_trips[row, column])
            for column, rule_id in enumerate(LATCHING_RULES)
            if states.latch_trips[row, column]
        },
        latches=tuple(
            Latch(
                rule_id=rule_id,
                trading_state=TradingState(int(states.latch_state[row, column])),
                release=Release(int(states.latch_kind[row, column])),
                since_ns=int(states.latch_since_ns[row, column]),
                since_session=int(states.latch_since_session[row, column]),
                until_ns=_time(int(states.latch_until_ns[row, column])),
            )
            for column, rule_id in enumerate(LATCHING_RULES)
            if states.latch_kind[row, column] > NO_LATCH
        ),
    )


def _time(ts_ns: int) -> int | None:
    return None if ts_ns == NEVER_NS else ts_ns


def _others(old: Mapping[str, Any], symbols: tuple[str, ...]) -> dict[str, Any]:
    """What is remembered of symbols that are not among these."""
    return {symbol: value for symbol, value in old.items() if symbol not in symbols}


def _by_rule(
    rules: tuple[str, ...],
    memory: npt.NDArray[Any],
    nothing: int,
    symbols: tuple[str, ...],
    before: Mapping[str, Mapping[str, int]],
) -> dict[str, dict[str, int]]:
    kept = {}
    for k, rule_id in enumerate(rules):
        found = _others(before.get(rule_id, {}), symbols)
        found |= {symbols[i]: int(memory[k, i]) for i in np.flatnonzero(memory[k] != nothing)}
        if found:
            kept[rule_id] = found
    return kept


def _known(symbols: tuple[str, ...], values: F8) -> dict[str, Decimal]:
    return {s: _decimal(v) for s, v in zip(symbols, values, strict=True) if np.isfinite(v)}


def _decimal(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def portfolio_of(
    positions: Positions, row: int, account: str, symbols: tuple[str, ...], ts_ns: int
) -> PortfolioSnapshot:
    """One account's cash and positions as they are stored."""
    held = np.flatnonzero(positions.qty[row])
    return PortfolioSnapshot(
        account=account,
        as_of_ns=ts_ns,
        cash=_decimal(positions.cash[row]),
        positions=tuple(
            Position(
                symbol=symbols[i],
                qty=_decimal(positions.qty[row, i]),
                avg_price=_decimal(positions.avg_price[row, i]),
            )
            for i in held
        ),
    )


def orders_of(cycle: Cycle, row: int, decision_id: str) -> tuple[Order, ...]:
    """Orders of one account: all exits, then all entries, symbols ascending, each within its largest size."""
    plan, symbols = cycle.decisions.steps, cycle.view.market.symbols
    orders = slices(plan.exit_qty[row], plan.entry_qty[row], order_terms(cycle, row))
    return tuple(
        Order(
            client_order_id=f"{decision_id[:24]}-{order.leg:03d}-{order.slice:03d}",
            leg=order.leg,
            slice=order.slice,
            symbol=symbols[order.symbol],
            intent=order.intent,
            qty=_decimal(order.qty),
            limit_price=None if order.limit_price is None else _decimal(order.limit_price),
        )
        for order in orders
    )


def order_terms(cycle: Cycle, row: int) -> Terms:
    """What bounds the orders of one account in this cycle."""
    market, d = cycle.view.market, cycle.decisions
    unlimited = np.full(len(market.symbols), np.inf)

    def bound(values: F8 | None) -> F8:
        return unlimited if values is None else values[row]

    return Terms(
        equity=float(cycle.view.books.equity[row]),
        unit_value=market.unit_value(),
        lot=market.lot,
        tick=market.instruments.tick,
        most_entry=bound(d.meet.slice_entry),
        most_exit=bound(d.meet.slice_exit),
        reference=market.price,
        collar=bound(d.meet.collar),
        attempt=np.full(len(market.symbols), WIDEST if market.bar_ns >= LADDER_NS else 0, dtype=np.int64),
        ladder_max=float(d.exit_ladder[row]),
        orders_left=float(d.orders_left[row]),
    )


def decision_of(
    cycle: Cycle, row: int, who: Identity, hashes: DecisionHashes, proposal_id: str
) -> PMDecision:
    """One account's answer, as it is shown, judged and stored."""
    d = cycle.decisions
    mode = TradingState(int(d.mode[row]))
    bound = binding(d, row)
    latched = int(d.latched[row])
    equity = cycle.marks.equity[row]
    return PMDecision(
        decision_id=hashes.decision_id,
        account=who.name,
        as_of_ns=cycle.view.market.ts_ns,
        proposal_id=proposal_id,
        outcome=Outcome(OUTCOMES[d.outcome[row]]),
        trading_state_before=TradingState(int(d.mode_before[row])),
        trading_state_after=mode,
        authority=Authority(int(d.authority[row])),
        equity=_decimal(equity) if np.isfinite(equity) else None,
        throttle=_decimal(d.projection.throttle[row]),
        budget_factor=_decimal(d.projection.k[row]),
        targets=_targets(cycle, row),
        orders=orders_of(cycle, row, hashes.decision_id),
        rules=tuple(_rule(said) for said in rule_table(d, row)),
        binding_rules=tuple(RULE_IDS[r] for r in bound),
        latches_added=tuple(rule for c, rule in enumerate(LATCHING_RULES) if latched >> c & 1),
        latches_cleared=tuple(r.rule_id for r in cycle.released if r.account == row),
        rationale=rationale(d, row, bound),
        snapshot_hash=hashes.snapshot,
        proposal_hash=hashes.proposal,
        state_hash=hashes.state,
        config_hash=who.config_hash,
        code_version=who.code_version,
    )


def _targets(cycle: Cycle, row: int) -> tuple[Target, ...]:
    d, qty = cycle.decisions, cycle.view.books.qty[row]
    target = np.nan_to_num(d.projection.target[row], nan=0.0)
    current = np.nan_to_num(d.current[row], nan=0.0)
    shown = np.flatnonzero((d.proposed[row] != 0) | (qty != 0) | (target != 0))
    return tuple(
        Target(
            symbol=cycle.view.market.symbols[i],
            proposed_w=_weight(d.proposed[row, i]),
            current_w=_weight(current[i]),
            target_w=_weight(target[i]),
            current_qty=_decimal(qty[i]),
            target_qty=_decimal(d.steps.target_qty[row, i]),
            step_qty=_decimal(d.steps.step_qty[row, i]),
            limiting_rules=rule_names(d.limiting[row, i]),
        )
        for i in shown
    )


def _weight(nano: float) -> Decimal:
    return Decimal(nano_text(nano))


def _rule(said: dict[str, object]) -> RuleResult:
    value, limit = said["value"], said["limit"]
    assert said["rule_id"] in RULE_BY_ID and said["outcome"] in RULE_OUTCOMES
    codes = said["reason_codes"]
    assert isinstance(codes, list)
    return RuleResult(
        rule_id=str(said["rule_id"]),
        outcome=RuleOutcome(str(said["outcome"])),
        value=_plain_number(value),
        limit=_plain_number(limit),
        reason_codes=tuple(codes),
    )


def _plain_number(text: object) -> Decimal | None:
    """None where there is no number, and where there is no end to it (an infinite limit limits nothing)."""
    if text is None or "unlimited" in str(text):
        return None
    return Decimal(str(text))
