"""The fill model and the marks: money is conserved, costs are paid, doubt is never in our favour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

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

N = 3
ONE = np.ones(N)
COSTS = FillCosts(fee_bps=1.0, slippage_bps=2.0, default_spread_bps=10.0)
NAN = np.nan

quantities = arrays(np.float64, (2, N), elements=st.integers(-40, 40).map(lambda q: q / 4))
prices = arrays(np.float64, N, elements=st.one_of(st.just(NAN), st.integers(1, 40_000).map(lambda p: p / 8)))
units = arrays(np.float64, N, elements=st.sampled_from([0.5, 1.0, 50.0]))
spreads = arrays(np.float64, N, elements=st.one_of(st.just(NAN), st.integers(0, 40).map(float)))
trades = st.lists(st.tuples(quantities, prices), min_size=1, max_size=6)


def flat(cash: float = 1e6) -> Positions:
    return Positions(np.full(2, cash), np.zeros((2, N)), np.zeros((2, N)))


@settings(max_examples=200, deadline=None)
@given(trades, units, spreads)
def test_cash_changes_by_what_was_paid_and_nothing_else(trades, units, spreads) -> None:
    held, paid, spent = flat(), np.zeros(2), np.zeros((2, N))
    for orders, price in trades:
        fills = fill_orders(orders, price, spreads, COSTS, units)
        held = apply_fills(held, fills, units)
        paid += (fills.qty * fills.price * units + fills.fee).sum(axis=1)
        spent += fills.qty
        assert (fills.fee >= 0).all()
        assert np.isfinite(held.cash).all() and np.isfinite(held.avg_price).all()
    assert held.cash == pytest.approx(1e6 - paid, abs=1e-5)
    assert np.array_equal(held.qty, spent)


@settings(max_examples=200, deadline=None)
@given(trades, units)
def test_opening_moves_no_balance_but_the_fee(trades, units) -> None:
    """Cash and positions at cost change by realised profit alone: an order that opens realises nothing."""
    held = flat()
    for orders, price in trades:
        opening = np.where(orders * held.qty >= 0, orders, 0.0)
        before = balance(held, units)
        fills = fill_orders(opening, price, ONE * 4, COSTS, units)
        held = apply_fills(held, fills, units)
        assert balance(held, units) == pytest.approx(before - fills.fee.sum(axis=1), abs=1e-4)


@settings(max_examples=200, deadline=None)
@given(trades)
def test_average_prices_agree_with_a_ledger_kept_by_hand(trades) -> None:
    held, book = flat(), {(a, i): (0.0, 0.0) for a in range(2) for i in range(N)}
    for orders, price in trades:
        fills = fill_orders(orders, price, ONE, COSTS, ONE)
        held = apply_fills(held, fills, ONE)
        for (a, i), (qty, avg) in book.items():
            q, p = fills.qty[a, i], fills.price[a, i]
            after = qty + q
            if q and after and (qty == 0 or after * qty < 0):
                avg = p
            elif q and q * qty > 0:
                avg = (avg * abs(qty) + p * abs(q)) / abs(after)
            book[a, i] = (after, avg if after else 0.0)
            assert (held.qty[a, i], held.avg_price[a, i]) == pytest.approx(book[a, i], rel=1e-12)


@pytest.mark.parametrize(
    ("steps", "average", "qty", "cash"),
    [
        ([(10, 100.0)], 100.0, 10, -1000.0),
        ([(10, 100.0), (10, 110.0)], 105.0, 20, -2100.0),
        ([(10, 100.0), (-4, 120.0)], 100.0, 6, -520.0),
        ([(10, 100.0), (-15, 120.0)], 120.0, -5, 800.0),
        ([(10, 100.0), (-10, 120.0)], 0.0, 0, 200.0),
        ([(-10, 100.0), (-10, 110.0), (5, 90.0)], 105.0, -15, 1650.0),
        ([(-10, 100.0), (15, 90.0)], 90.0, 5, -350.0),
    ],
    ids=["open", "add", "reduce", "flip", "close", "short", "cover and flip"],
)
def test_average_price_rules(steps, average: float, qty: float, cash: float) -> None:
    held = Positions(np.zeros(1), np.zeros((1, 1)), np.zeros((1, 1)))
    one = np.ones(1)
    for q, p in steps:
        held = apply_fills(held, Fills(np.array([[q]]), np.array([[p]]), np.zeros((1, 1))), one)
    assert (held.avg_price[0, 0], held.qty[0, 0], held.cash[0]) == (average, qty, cash)


@pytest.mark.parametrize("price", [NAN, 0.0, -3.0, np.inf])
def test_what_has_no_price_does_not_fill(price: float) -> None:
    at = np.array([price, 50.0, 60.0])
    fills = fill_orders(np.full((2, N), 7.0), at, ONE, COSTS, ONE)
    assert fills.qty[:, 0].tolist() == fills.price[:, 0].tolist() == fills.fee[:, 0].tolist() == [0.0, 0.0]
    assert (fills.qty[:, 1:] == 7.0).all()
    held = apply_fills(flat(), fills, ONE)
    assert (held.qty[:, 0] == 0).all() and np.isfinite(held.cash).all()


def test_a_buyer_pays_half_the_spread_and_slippage_more_and_a_seller_gets_as_much_less() -> None:
    orders, price = np.array([[5.0, 5.0, 0.0], [-5.0, -5.0, 0.0]]), ONE * 100.0
    fills = fill_orders(orders, price, np.array([20.0, NAN, 20.0]), COSTS, np.array([1.0, 10.0, 1.0]))
    assert fills.price[0] == pytest.approx([100.12, 100.07, 0.0])  # 10 bps and, unknown, 5 bps; slippage 2
    assert fills.price[1] == pytest.approx([99.88, 99.93, 0.0])
    assert fills.fee[0] == pytest.approx([5 * 100.12 * 1e-4, 50 * 100.07 * 1e-4, 0.0])


def marked(
    qty: float,
    price: float,
    last: float,
    *,
    jumped: bool = False,
    haircut: float = 0.05,
    spread: float = 20.0,
) -> Marks:
    held = Positions(np.array([1000.0]), np.array([[qty]]), np.array([[100.0]]))
    return value_books(
        held,
        np.array([price]),
        np.array([[last]]),
        np.array([[jumped]]),
        np.array([spread]),
        np.array([haircut]),
        np.array([2.0]),
        COSTS,
    )


@settings(max_examples=300, deadline=None)
@given(
    qty=st.integers(-50, 50).map(float),
    price=st.one_of(st.just(NAN), st.floats(0.5, 500.0)),
    last=st.floats(0.5, 500.0),
    jumped=st.booleans(),
    haircut=st.floats(0.0, 0.5),
    spread=st.one_of(st.just(NAN), st.floats(0.0, 100.0)),
)
def test_equity_for_the_rules_is_never_above_plain_equity(qty, price, last, jumped, haircut, spread) -> None:
    found = marked(qty, price, last, jumped=jumped, haircut=haircut, spread=spread)
    assert found.equity[0] <= found.plain_equity[0] + 1e-8
    assert found.estimated[0] == (qty != 0 and np.isnan(price))


@pytest.mark.parametrize(("qty", "mark"), [(10.0, 99.9), (-10.0, 100.1)])
def test_longs_are_marked_at_the_bid_and_shorts_at_the_ask(qty: float, mark: float) -> None:
    found = marked(qty, 100.0, 80.0)
    assert found.mark[0, 0] == pytest.approx(mark)
    assert found.equity[0] == pytest.approx(1000.0 + qty * mark * 2.0)
    assert found.plain_equity[0] == 1000.0 + qty * 200.0
    assert not found.estimated[0]


@pytest.mark.parametrize(("qty", "mark"), [(10.0, 76.0), (-10.0, 84.0)])
def test_a_missing_price_is_the_last_mark_less_the_haircut_and_is_told(qty: float, mark: float) -> None:
    found = marked(qty, NAN, 80.0)
    assert found.mark[0, 0] == pytest.approx(mark)
    assert found.plain_equity[0] == 1000.0 + qty * 160.0
    assert found.estimated[0]


@pytest.mark.parametrize(
    ("qty", "price", "believed"),
    [(10.0, 150.0, 80.0), (10.0, 40.0, 40.0), (-10.0, 40.0, 80.0), (-10.0, 150.0, 150.0)],
    ids=["long up", "long down", "short down", "short up"],
)
def test_a_jump_in_our_favour_is_not_believed_and_one_against_us_is(
    qty: float, price: float, believed: float
) -> None:
    side = np.sign(qty)
    assert marked(qty, price, 80.0, jumped=True).mark[0, 0] == pytest.approx(believed * (1 - side * 1e-3))
    assert marked(qty, price, 80.0, jumped=False).mark[0, 0] == pytest.approx(price * (1 - side * 1e-3))


def test_a_held_asset_that_never_had_a_price_makes_equity_unknown_not_zero() -> None:
    assert np.isnan(marked(10.0, NAN, NAN).equity[0])
    assert marked(0.0, NAN, NAN).equity[0] == 1000.0


def test_an_order_fills_within_its_limit_or_not_at_all() -> None:
    orders = np.array([[10.0, -10.0, 10.0]])
    price = np.array([100.0, 100.0, 100.0])
    free = FillCosts(0.0, 0.0, 0.0)
    at = fill_orders(orders, price, ONE * 0, free, ONE, np.array([[100.0, 100.0, NAN]]))
    assert at.qty.tolist() == [[10.0, -10.0, 10.0]]
    beyond = fill_orders(orders, price, ONE * 0, free, ONE, np.array([[99.99, 100.01, 1e9]]))
    assert beyond.qty.tolist() == [[0.0, 0.0, 10.0]]
    assert beyond.price.tolist() == [[0.0, 0.0, 100.0]]
