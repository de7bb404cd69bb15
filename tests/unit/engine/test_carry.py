"""What is stored and loaded decides as what never left memory."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.core.rules import LATCHING_RULES
from regime_trading.core.schemas import AccountState, Order, PortfolioSnapshot
from regime_trading.engine.carry import Stored, carried_from, portfolio_of, state_of
from regime_trading.engine.cycle import Carried, opening
from regime_trading.engine.fills import Positions
from regime_trading.guards.snapshot import NO_LATCH

SYMBOLS = ("AAA", "BBB", "CCC")
CAPITAL = np.array([100_000.0, 250_000.5])
T = 1_672_347_600_000_000_000
doubles = st.floats(allow_nan=False, allow_infinity=False, width=64, min_value=-1e12, max_value=1e12)
prices = st.one_of(st.just(float("nan")), st.floats(1e-6, 1e6))


def arrays(draw: st.DrawFn, strategy: st.SearchStrategy[float], *shape: int) -> np.ndarray:
    n = int(np.prod(shape))
    return np.array(draw(st.lists(strategy, min_size=n, max_size=n))).reshape(shape)


@st.composite
def books(draw: st.DrawFn) -> Carried:
    """Any books that a cycle could hand over: no waiting orders, positions with their prices."""
    carried = opening(CAPITAL, len(SYMBOLS))
    states, n = carried.states, len(CAPITAL)
    for name in (
        "units",
        "unit_hwm",
        "last_equity",
        "last_balance",
        "day_anchor_balance",
        "day_anchor_equity",
        "day_flow",
    ):
        getattr(states, name)[:] = arrays(draw, doubles, n)
    for name in ("day_id", "rung", "acknowledged_rung", "calm_sessions", "ramp_left"):
        getattr(states, name)[:] = arrays(draw, st.integers(-1, 20_000), n)
    states.last_price[:] = arrays(draw, prices, n, 3)
    states.last_sigma[:] = arrays(draw, prices, n, 3)
    for row in range(n):
        for column in range(len(LATCHING_RULES)):
            if draw(st.booleans()):
                states.latch_kind[row, column] = draw(st.integers(0, 5))
                states.latch_state[row, column] = draw(st.integers(0, 3))
                states.latch_since_ns[row, column] = draw(st.integers(0, T))
                states.latch_since_session[row, column] = draw(st.integers(0, 10_000))
    qty = arrays(draw, st.one_of(st.just(0.0), st.integers(-10_000, 10_000).map(float), doubles), n, 3) + 0.0
    avg = np.where(qty != 0, np.abs(arrays(draw, doubles, n, 3)) + 0.0, 0.0)
    return Carried(states, Positions(arrays(draw, doubles, n), qty, avg), carried.orders)


def stored(carried: Carried, row: int, before: AccountState | None = None) -> Stored:
    state = state_of(carried.states, row, f"firm/a{row}", SYMBOLS, T, 77, before)
    portfolio = portfolio_of(carried.positions, row, f"firm/a{row}", SYMBOLS, T)
    # as the ledger does: through JSON text
    return Stored(
        AccountState.model_validate_json(state.model_dump_json()),
        PortfolioSnapshot.model_validate_json(portfolio.model_dump_json()),
        (),
    )


def assert_same(a: Carried, b: Carried) -> None:
    for name in a.states.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(a.states, name), getattr(b.states, name), err_msg=name)
    for name in ("cash", "qty", "avg_price"):
        np.testing.assert_array_equal(getattr(a.positions, name), getattr(b.positions, name), err_msg=name)
    np.testing.assert_array_equal(a.orders, b.orders)


@settings(max_examples=150, deadline=None)
@given(books())
def test_books_come_back_to_the_bit(carried: Carried) -> None:
    back = carried_from([stored(carried, row) for row in range(2)], CAPITAL, SYMBOLS)
    held = carried.states.latch_kind > NO_LATCH  # what a latch that is not held remembers means nothing
    for name in ("latch_state", "latch_since_ns", "latch_since_session"):
        getattr(carried.states, name)[~held] = 0
    assert_same(back, carried)


def test_a_new_account_opens_with_its_capital() -> None:
    assert_same(carried_from([None, None], CAPITAL, SYMBOLS), opening(CAPITAL, 3))


def order(symbol: str, qty: str, leg: int = 1) -> Order:
    return Order(client_order_id=f"x-{leg}", leg=leg, symbol=symbol, intent="entry", qty=Decimal(qty))


def test_waiting_orders_of_one_symbol_add_up() -> None:
    item = stored(opening(CAPITAL, 3), 0)
    orders = (order("BBB", "-5"), order("BBB", "-2", 2), order("CCC", "1", 3))
    back = carried_from([Stored(item.state, item.portfolio, orders), None], CAPITAL, SYMBOLS)
    assert back.orders.tolist() == [[0, -7, 1], [0, 0, 0]]


def test_a_position_or_order_without_prices_is_refused_never_dropped() -> None:
    item = stored(opening(CAPITAL, 3), 0)
    with pytest.raises(BadInput, match="ZZZ"):
        carried_from([Stored(item.state, item.portfolio, (order("ZZZ", "1"),))], CAPITAL[:1], SYMBOLS)


def test_memory_of_other_symbols_stays() -> None:
    carried = opening(CAPITAL, 3)
    before = stored(carried, 0).state.model_copy(update={"last_good_price": {"OLD": Decimal("1.5")}})
    carried.states.last_price[0, 1] = 2.25
    kept = stored(carried, 0, before).state
    assert kept.last_good_price == {"OLD": Decimal("1.5"), "BBB": Decimal("2.25")}
