"""From legs to orders: slices, limit prices, and what the order rate leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.guards.scenarios import changed, defaults
from tests.unit.guards.test_rules import SYMBOLS, build_books, build_market, build_states

from regime_trading.guards.liquidity import collar, largest_order, order_size
from regime_trading.guards.slicing import MOST_SLICES, ChildOrder, Terms, limit_prices, most_units, slices
from regime_trading.guards.snapshot import View, stack_params
from regime_trading.guards.traffic import orders_left

FEW = settings(
    max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


def terms(n: int, **changes: Any) -> Terms:
    """100 000 of equity, units of 100 account currency, one lot a unit; nothing bounds anything."""
    plain = Terms(
        equity=100_000.0,
        unit_value=np.full(n, 100.0),
        lot=np.ones(n),
        tick=np.zeros(n),
        most_entry=np.full(n, np.inf),
        most_exit=np.full(n, np.inf),
        reference=np.full(n, 100.0),
        collar=np.full(n, np.inf),
        attempt=np.zeros(n, dtype=np.int64),
        ladder_max=8.0,
        orders_left=np.inf,
    )
    wide = {
        name: np.full(n, value, dtype=np.int64 if name == "attempt" else np.float64)
        for name, value in changes.items()
        if np.ndim(getattr(plain, name)) == 1 and np.ndim(value) == 0
    }
    return replace(plain, **changes | wide)


def quantities(orders: tuple[ChildOrder, ...]) -> list[float]:
    return [order.qty for order in orders]


def cut(exit_qty: list[float], entry_qty: list[float], **changes: Any) -> tuple[ChildOrder, ...]:
    return slices(np.array(exit_qty), np.array(entry_qty), terms(len(exit_qty), **changes))


# --- slices -------------------------------------------------------------------------------------------------


def test_exits_first_symbols_ascending_and_legs_counted_through() -> None:
    orders = cut([0.0, -5.0, 3.0], [7.0, -2.0, 0.0])
    assert [(o.leg, o.slice, o.symbol, o.intent, o.qty) for o in orders] == [
        (1, 1, 1, "exit", -5.0),
        (2, 1, 2, "exit", 3.0),
        (3, 1, 0, "entry", 7.0),
        (4, 1, 1, "entry", -2.0),
    ]


def test_nothing_to_do_is_no_order() -> None:
    assert cut([0.0, 0.0], [0.0, 0.0]) == ()
    assert cut([], []) == ()


@pytest.mark.parametrize(
    ("size", "most", "lot", "expected"),
    [
        (10.0, 4.0, 1.0, [4.0, 4.0, 2.0]),
        (8.0, 4.0, 1.0, [4.0, 4.0]),
        (4.0, 4.0, 1.0, [4.0]),
        (10.0, 4.7, 1.0, [4.0, 4.0, 2.0]),  # whole lots toward zero
        (10.0, 4.0, 3.0, [3.0, 3.0, 3.0, 1.0]),  # a residue below one lot closes with the last slice
        (0.3, 0.1, 0.1, [0.1, 0.1, 0.1]),
        (1.0, 0.4, 0.0, [0.4, 0.4, pytest.approx(0.2)]),
        (10.0, np.inf, 1.0, [10.0]),
    ],
)
def test_a_leg_in_slices_the_remainder_last(size: float, most: float, lot: float, expected: Any) -> None:
    nano = most * 100.0 / 100_000.0 * 1e9
    for sign in (1.0, -1.0):
        found = quantities(cut([sign * size], [0.0], most_exit=nano, lot=lot))
        assert [sign * q for q in found] == expected
        assert quantities(cut([0.0], [sign * size], most_entry=nano, lot=lot)) == found


def test_a_lot_above_the_maximum_leaves_lot_by_lot_and_opens_never() -> None:
    half = 5.0 * 100.0 / 100_000.0 * 1e9
    assert quantities(cut([-20.0], [0.0], most_exit=half, lot=10.0)) == [-10.0, -10.0]
    assert cut([0.0], [20.0], most_entry=half, lot=10.0) == ()


@pytest.mark.parametrize(
    "unknown", [{"equity": np.nan}, {"equity": 0.0}, {"equity": -5.0}, {"unit_value": np.nan}]
)
def test_what_cannot_be_weighed_leaves_whole_and_opens_never(unknown: dict[str, float]) -> None:
    assert quantities(cut([-20.0], [20.0], most_exit=1e7, most_entry=1e7, **unknown)) == [-20.0]


def test_a_very_long_leg_goes_on_in_the_next_cycle() -> None:
    one = 100.0 / 100_000.0 * 1e9
    orders = cut([-(MOST_SLICES + 5.0)], [0.0], most_exit=one)
    assert quantities(orders) == [-1.0] * MOST_SLICES
    assert len(cut([-float(MOST_SLICES)], [0.0], most_exit=one)) == MOST_SLICES


# --- the order rate -----------------------------------------------------------------------------------------


def test_exits_always_leave_entries_as_far_as_the_rate_allows() -> None:
    one = 100.0 / 100_000.0 * 1e9
    legs = ([-3.0, 0.0], [0.0, 4.0])
    assert quantities(cut(*legs, most_exit=one, most_entry=one, orders_left=0.0)) == [-1.0] * 3
    assert quantities(cut(*legs, most_exit=one, most_entry=one, orders_left=3.0)) == [-1.0] * 3
    assert quantities(cut(*legs, most_exit=one, most_entry=one, orders_left=5.0)) == [-1.0] * 3 + [1.0] * 2
    assert quantities(cut(*legs, most_exit=one, most_entry=one, orders_left=5.9)) == [-1.0] * 3 + [1.0] * 2
    assert len(cut(*legs, most_exit=one, most_entry=one)) == 7


def view_of(**given: Any) -> View:
    market = build_market(given)
    books = build_books([given], market)
    return View(market, books, build_states([given], books))


def knobs(rule_id: str, **params: Any) -> Any:
    profile = defaults()
    profile[rule_id] = changed(profile[rule_id], **params)
    return stack_params([profile], SYMBOLS)[rule_id]


@pytest.mark.parametrize(
    ("given", "params", "left"),
    [
        ({}, {}, 10.0),
        ({"orders_1s": 4.0}, {}, 6.0),
        ({"orders_60s": 57.0}, {}, 3.0),
        ({"orders_day": 998.0}, {}, 2.0),
        ({"orders_60s": 70.0}, {}, 0.0),
        ({"orders_60s": np.nan}, {}, 0.0),
        ({"orders_1s": -1.0}, {}, 0.0),
        ({"orders_60s": 57.0}, {"per_min": 60, "per_s": 2}, 2.0),
        ({"orders_60s": 70.0}, {"enabled": False}, np.inf),
        ({"orders_60s": 70.0, "broker_provided": ["fills"]}, {}, np.inf),
        ({"bar_s": 2, "orders_1s": 10.0}, {}, 10.0),  # the second one is free
        ({"bar_s": 86_400, "orders_60s": 60.0, "orders_1s": 10.0}, {}, 1000.0),
        ({"bar_s": 86_400, "orders_day": 990.0}, {}, 10.0),
    ],
)
def test_what_the_rate_leaves(given: dict[str, Any], params: dict[str, Any], left: float) -> None:
    assert orders_left(view_of(**({"bar_s": 1} | given)), knobs("XL-08", **params)).tolist() == [left]


@pytest.mark.parametrize("price", [33.33, 77.7, 101.03, 0.37])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_so_many_units_an_order_are_so_many(price: float, count: int) -> None:
    """The largest order by ``max_qty``, in weights and back."""
    view = view_of(price={"BBB": price}, ref_price={"BBB": price})
    most = largest_order(view, knobs("XL-01", max_notional_pct="unlimited", max_qty=count))[0][0]
    values = view.market.unit_value()
    assert most_units(most, terms(3, unit_value=values), "entry").tolist() == [count] * 3


def test_what_the_rules_say_of_slices_and_collars() -> None:
    """XL-01 and XL-02 give the terms; what cannot be weighed opens nothing and leaves whole."""
    small = knobs("XL-01", max_notional_pct="0.02")
    said = order_size(view_of(), small).constraint
    assert said.slice_entry is not None and said.slice_exit is not None
    assert said.slice_entry.tolist() == said.slice_exit.tolist() == [[2e7] * 3]
    lost = order_size(view_of(equity=np.nan), small).constraint
    assert lost.slice_entry is not None and lost.slice_exit is not None
    assert lost.slice_entry.tolist() == [[0.0] * 3]
    assert lost.slice_exit.tolist() == [[np.inf] * 3]
    classes = {"classes": ["crypto", "equity", "fx"], "asset_class": {"AAA": 2, "BBB": 0, "CCC": -1}}
    assert collar(view_of(**classes), knobs("XL-02")).constraint.collar.tolist() == [[0.005, 0.02, 0.01]]


# --- limit prices -------------------------------------------------------------------------------------------


def prices(legs: list[float], intent: Any = "entry", **changes: Any) -> list[float]:
    return limit_prices(np.array(legs), terms(len(legs), **changes), intent).tolist()


def test_buys_above_sells_below_rounded_to_the_passive_side() -> None:
    assert prices([1.0, -1.0], collar=0.01) == pytest.approx([101.0, 99.0])
    assert prices([1.0, -1.0], collar=0.01, reference=100.03, tick=0.05) == pytest.approx([101.0, 99.05])
    assert prices([1.0, -1.0], collar=0.01, tick=0.5) == [101.0, 99.0]


def test_only_exits_widen_and_only_up_to_the_ladder() -> None:
    for attempt, width in ((0, 0.01), (1, 0.02), (2, 0.04), (3, 0.08), (4, 0.08), (200, 0.08)):
        assert prices([-1.0], "exit", collar=0.01, attempt=attempt) == pytest.approx([100 * (1 - width)])
        assert prices([-1.0], "entry", collar=0.01, attempt=attempt) == pytest.approx([99.0])
    assert prices([-1.0], "exit", collar=0.01, attempt=3, ladder_max=2.0) == pytest.approx([98.0])
    assert prices([-1.0], "exit", collar=0.01, attempt=3, ladder_max=1.0) == pytest.approx([99.0])


@pytest.mark.parametrize("missing", [{"reference": np.nan}, {"reference": -1.0}, {"tick": 500.0}])
def test_without_a_price_an_exit_has_no_limit_and_an_entry_waits(missing: dict[str, float]) -> None:
    orders = cut([3.0, 0.0], [0.0, 5.0], collar=0.01, **missing)
    assert [(o.intent, o.qty, o.limit_price) for o in orders] == [("exit", 3.0, None)]


def test_without_a_collar_nothing_has_a_limit_price() -> None:
    assert [o.limit_price for o in cut([-3.0, 0.0], [0.0, 5.0])] == [None, None]


# --- properties ---------------------------------------------------------------------------------------------


@st.composite
def books(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, Terms]:
    """Positions, legs of a step plan from them, and terms."""
    n = draw(st.integers(0, 5))
    r = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lot = r.choice([0.0, 0.1, 1.0, 10.0], n)
    grid = np.where(lot > 0, lot, 0.37)
    position = r.integers(-30, 31, n) * grid
    closing = np.where(r.random(n) < 0.6, np.minimum(r.integers(0, 31, n) * grid, np.abs(position)), 0.0)
    exits = -np.sign(position) * closing
    through = closing == np.abs(position)
    side = np.where(through, -np.sign(position), np.sign(position))
    side = np.where(side == 0, 1.0, side)
    entries = np.where((closing == 0) | through, side * r.integers(0, 31, n) * grid, 0.0)
    one = 1e9 * 100.0 / 100_000.0
    bounds = terms(
        n,
        lot=lot,
        most_entry=r.choice([0.05, 0.5, 1.0, 3.3, 7.0, 12.0, np.inf], n) * one,
        most_exit=r.choice([0.05, 0.5, 1.0, 3.3, 7.0, 12.0, np.inf], n) * one,
        tick=r.choice([0.0, 0.01, 0.25], n),
        reference=r.choice([100.0, 33.33, np.nan], n),
        collar=r.choice([0.01, 0.02, np.inf], n),
        attempt=r.integers(0, 6, n),
        orders_left=float(r.choice([0.0, 1.0, 4.0, 20.0, np.inf])),
    )
    return position, exits + 0.0, entries + 0.0, bounds


@given(books())
@FEW
def test_exits_add_up_to_their_legs_and_entries_never_beyond(case: Any) -> None:
    _, exits, entries, bounds = case
    orders = slices(exits, entries, bounds)
    for i in range(len(exits)):
        out = sum(o.qty for o in orders if o.symbol == i and o.intent == "exit")
        assert out == pytest.approx(exits[i], abs=1e-9)
        sent = sum(o.qty for o in orders if o.symbol == i and o.intent == "entry")
        assert abs(sent) <= abs(entries[i]) + 1e-9
        assert sent * entries[i] >= 0
    free = slices(exits, entries, replace(bounds, orders_left=np.inf))
    for i in range(len(exits)):
        sent = sum(o.qty for o in free if o.symbol == i and o.intent == "entry")
        fits = most_units(bounds.most_entry, bounds, "entry")[i] > 0
        priced = np.isinf(bounds.collar[i]) or np.isfinite(bounds.reference[i])
        assert sent == pytest.approx(entries[i] if fits and priced else 0.0, abs=1e-9)
    assert orders == free[: len(orders)]


@given(books())
@FEW
def test_no_slice_is_larger_than_its_maximum(case: Any) -> None:
    _, exits, entries, bounds = case
    for order in slices(exits, entries, bounds):
        most = (bounds.most_exit if order.intent == "exit" else bounds.most_entry)[order.symbol]
        weight = abs(order.qty) * bounds.unit_value[order.symbol] / bounds.equity * 1e9
        one_lot = order.intent == "exit" and abs(order.qty) <= bounds.lot[order.symbol] * (1 + 1e-9)
        assert order.qty != 0
        assert weight <= most * (1 + 1e-9) or one_lot


@given(books())
@FEW
def test_no_slice_flips_the_position(case: Any) -> None:
    """Whatever was filled so far: an exit only shrinks, an entry only grows what is on its side."""
    position, exits, entries, bounds = case
    book = position.copy()
    for order in slices(exits, entries, bounds):
        before = book[order.symbol]
        after = before + order.qty
        if order.intent == "exit":
            assert before * order.qty < 0
            assert abs(after) <= abs(before)
            assert after * before >= -1e-9
        else:
            assert before * order.qty >= -1e-9
        book[order.symbol] = 0.0 if abs(after) < 1e-9 else after


@given(books())
@FEW
def test_never_more_entries_than_the_rate_leaves_and_exits_come_first(case: Any) -> None:
    _, exits, entries, bounds = case
    orders = slices(exits, entries, bounds)
    kinds = [o.intent for o in orders]
    assert kinds == sorted(kinds, reverse=True)  # exit before entry
    leaving = kinds.count("exit")
    assert len(orders) <= max(bounds.orders_left, leaving)
    assert [(o.leg, o.slice) for o in orders] == sorted((o.leg, o.slice) for o in orders)
    for kind in ("exit", "entry"):
        symbols = [o.symbol for o in orders if o.intent == kind]
        assert symbols == sorted(symbols)
    assert slices(exits, entries, bounds) == orders


@given(books())
@FEW
def test_limit_prices_stay_within_the_collar(case: Any) -> None:
    _, exits, entries, bounds = case
    for o in slices(exits, entries, bounds):
        reference, collar = bounds.reference[o.symbol], bounds.collar[o.symbol]
        if o.limit_price is None:
            assert np.isinf(collar) or np.isnan(reference)
            continue
        wider = min(2.0 ** bounds.attempt[o.symbol], bounds.ladder_max) if o.intent == "exit" else 1.0
        distance = (o.limit_price / reference - 1.0) * np.sign(o.qty)
        assert distance <= collar * wider * (1 + 1e-9)
        if bounds.tick[o.symbol] > 0:
            steps = o.limit_price / bounds.tick[o.symbol]
            assert abs(steps - round(steps)) < 1e-6
