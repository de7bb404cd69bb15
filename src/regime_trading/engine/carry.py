"""Account states, portfolios and orders as the arrays of a cycle, and back, exactly.

Every number crosses as the shortest decimal text of its double, so that a state that was stored and loaded
decides as one that never left memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, nano_text
from regime_trading.core.rules import RULE_BY_ID, RULE_IDS, Authority, Release, TradingState
from regime_trading.core.schemas import (
    RULE_OUTCOMES,
    AccountState,
    Latch,
    Order,
    Outcome,
    PMDecision,
    PortfolioSnapshot,
    Position,
    RuleOutcome,
    RuleResult,
    Target,
)
from regime_trading.engine.cycle import Carried, Cycle, opening
from regime_trading.engine.fills import Positions
from regime_trading.engine.record import (
    DecisionHashes,
    Identity,
    binding,
    rationale,
    rule_names,
    rule_table,
)
from regime_trading.guards.chain import OUTCOMES
from regime_trading.guards.snapshot import LATCHING_RULES, NO_LATCH, States

_MONEY = ("initial_capital", "units", "unit_hwm", "last_equity", "last_balance", "day_anchor_balance")
_FLOATS = (*_MONEY, "day_anchor_equity", "day_flow")
_INTS = ("day_id", "rung", "acknowledged_rung", "calm_sessions", "ramp_left")


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
    return carried


def _load(carried: Carried, row: int, stored: Stored, symbols: tuple[str, ...]) -> None:
    state, states = stored.state, carried.states
    for name in _FLOATS:
        getattr(states, name)[row] = float(getattr(state, name))
    for name in _INTS:
        getattr(states, name)[row] = getattr(state, name)
    for memory, known in (
        (states.last_price, state.last_good_price),
        (states.last_sigma, state.last_good_sigma),
    ):
        for column, symbol in enumerate(symbols):
            if symbol in known:
                memory[row, column] = float(known[symbol])
    for latch in state.latches:
        column = LATCHING_RULES.index(latch.rule_id)
        states.latch_kind[row, column] = latch.release
        states.latch_state[row, column] = latch.trading_state
        states.latch_since_ns[row, column] = latch.since_ns
        states.latch_since_session[row, column] = latch.since_session
    carried.positions.cash[row] = float(stored.portfolio.cash)
    for position in stored.portfolio.positions:
        at = _column(symbols, position.symbol, state.account)
        carried.positions.qty[row, at] = float(position.qty)
        carried.positions.avg_price[row, at] = float(position.avg_price)
    for order in stored.orders:
        carried.orders[row, _column(symbols, order.symbol, state.account)] += float(order.qty)


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
    prices = {} if before is None else before.last_good_price
    sigmas = {} if before is None else before.last_good_sigma
    return AccountState(
        account=account,
        as_of_ns=ts_ns,
        session=session,
        **{name: _decimal(getattr(states, name)[row]) for name in _FLOATS},
        **{name: int(getattr(states, name)[row]) for name in _INTS},
        last_good_price=prices | _known(symbols, states.last_price[row]),
        last_good_sigma=sigmas | _known(symbols, states.last_sigma[row]),
        latches=tuple(
            Latch(
                rule_id=rule_id,
                trading_state=TradingState(int(states.latch_state[row, column])),
                release=Release(int(states.latch_kind[row, column])),
                since_ns=int(states.latch_since_ns[row, column]),
                since_session=int(states.latch_since_session[row, column]),
            )
            for column, rule_id in enumerate(LATCHING_RULES)
            if states.latch_kind[row, column] > NO_LATCH
        ),
    )


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
    """Legs of one account's step plan: all exits, then all entries, symbols ascending."""
    plan, symbols = cycle.decisions.steps, cycle.view.market.symbols
    legs = [("exit", symbols[i], plan.exit_qty[row, i]) for i in np.flatnonzero(plan.exit_qty[row])]
    legs += [("entry", symbols[i], plan.entry_qty[row, i]) for i in np.flatnonzero(plan.entry_qty[row])]
    return tuple(
        Order(
            client_order_id=f"{decision_id[:24]}-{leg:03d}",
            leg=leg,
            symbol=symbol,
            intent="exit" if intent == "exit" else "entry",
            qty=_decimal(qty),
        )
        for leg, (intent, symbol, qty) in enumerate(legs, start=1)
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
        authority=Authority.ALL if mode == TradingState.NORMAL else Authority.RISK_REDUCING,
        equity=_decimal(equity),
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
            limiting_rules=tuple(rule_names(int(d.limiting[row, i]))),
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
