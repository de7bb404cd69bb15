"""One cycle's parts: the day rolls forward only, deposits move no return, latches end as they should."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.history_samples import FREE, history, market, prices, rules

from regime_trading.core.rules import LATCHING_RULES, Release, TradingState
from regime_trading.core.settings import Operators
from regime_trading.engine.cycle import (
    Carried,
    Desk,
    Released,
    firm_index,
    opening,
    release,
    remember,
    restart,
)
from regime_trading.engine.fills import Marks, Positions
from regime_trading.guards.anchors import add_flows, roll
from regime_trading.guards.drawdown import drawdown_now, unit_nav
from regime_trading.guards.snapshot import NO_LATCH, States, stack_params

CAPITAL = np.array([100_000.0, 50_000.0])
DESK = Desk(
    accounts=("north/a", "south/b"),
    firm=np.array([0, 1]),
    initial_capital=CAPITAL,
    knobs=stack_params([rules(LD_02={"ramp_sessions": 4})] * 2, ("X", "Y")),
    costs=FREE,
    annual=252.0,
    operators=Operators(MANUAL=5, DUAL=20),
)
NEITHER, BOTH = np.zeros(2, dtype=np.bool_), np.ones(2, dtype=np.bool_)


def fresh(**changes: np.ndarray) -> States:
    return replace(opening(CAPITAL, 2).states, **changes)


def latched(
    rule_id: str, kind: Release, state: TradingState = TradingState.FLATTEN, session: int = 0
) -> States:
    states = fresh()
    column = LATCHING_RULES.index(rule_id)
    for name, value in (("latch_kind", kind), ("latch_state", state), ("latch_since_session", session)):
        array = getattr(states, name).copy()
        array[0, column] = value
        states = replace(states, **{name: array})
    return states


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=20))
def test_the_day_never_goes_backwards_and_anchors_are_set_once_a_day(days: list[int]) -> None:
    states, seen = fresh(), -1
    for n, day in enumerate(days):
        states = replace(states, last_equity=CAPITAL + n, last_balance=CAPITAL - n, day_flow=CAPITAL * 0 + 7)
        before = states
        states, new = roll(states, np.array([day, 5]))
        assert new[0] == (day > seen)
        seen = max(seen, day)
        assert states.day_id[0] == seen and states.day_id[1] == 5
        if new[0]:
            assert states.day_anchor_equity[0] == CAPITAL[0] + n
            assert states.day_anchor_balance[0] == CAPITAL[0] - n
            assert states.day_flow[0] == 0
        else:
            assert states.day_anchor_equity[0] == before.day_anchor_equity[0]
            assert states.day_flow[0] == 7


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-40_000, 1e6),
    st.floats(50_000, 200_000),
    st.floats(0.5, 2.0),
)
def test_a_flow_moves_neither_unit_value_nor_drawdown(flow: float, equity: float, mark: float) -> None:
    states = fresh(
        last_equity=np.array([equity, 50_000.0]), unit_hwm=np.array([max(mark, equity / 1e5), 1.0])
    )
    moved = add_flows(states, np.array([flow, 0.0]), DESK.knobs)
    assert unit_nav(moved, moved.last_equity) == pytest.approx(
        unit_nav(states, states.last_equity), rel=1e-12
    )
    assert drawdown_now(moved, moved.last_equity) == pytest.approx(
        drawdown_now(states, states.last_equity), abs=1e-12
    )
    assert moved.unit_hwm is states.unit_hwm
    assert moved.day_flow.tolist() == [flow, 0.0]
    assert moved.last_equity[0] == equity + flow and moved.last_equity[1] == 50_000.0
    assert moved.units[1] == states.units[1]


def test_without_flows_nothing_is_touched() -> None:
    states = fresh()
    assert add_flows(states, np.zeros(2), DESK.knobs) is states


def test_a_latch_of_the_day_ends_with_the_day_and_no_sooner() -> None:
    states = latched("LD-01", Release.NEXT_SESSION)
    assert release(DESK, states, NEITHER, 99, 0)[1] == ()
    other = np.array([False, True])
    assert release(DESK, states, other, 99, 0)[1] == (), "another account's new day is not this one's"
    after, told = release(DESK, states, BOTH, 0, 0)
    assert told == (Released(0, "LD-01", Release.NEXT_SESSION, by_operator=False),)
    assert (after.latch_kind == NO_LATCH).all()


@pytest.mark.parametrize(("kind", "patience"), [(Release.MANUAL, 5), (Release.DUAL, 20)])
def test_people_release_after_their_patience_in_sessions(kind: Release, patience: int) -> None:
    states = latched("LD-03", kind, session=100)
    same, told = release(DESK, states, BOTH, 100 + patience - 1, 0)
    assert told == () and np.array_equal(same.latch_kind, states.latch_kind)
    after, told = release(DESK, states, NEITHER, 100 + patience, 0)
    assert told == (Released(0, "LD-03", kind, by_operator=True),)
    assert after.latch_kind[0, LATCHING_RULES.index("LD-03")] == NO_LATCH


@pytest.mark.parametrize(
    ("desk", "kind"),
    [
        (DESK, Release.TERMINAL),
        (replace(DESK, operators=None), Release.MANUAL),
        (replace(DESK, operators=Operators(MANUAL="never")), Release.MANUAL),
    ],
    ids=["terminal", "nobody there", "never"],
)
def test_what_nobody_may_release_stays(desk: Desk, kind: Release) -> None:
    states = latched("LD-03", kind)
    after, told = release(desk, states, BOTH, 10_000, 0)
    assert told == () and np.array_equal(after.latch_kind, states.latch_kind)


def test_a_released_flatten_rung_is_acknowledged_and_ramps_and_the_mark_stays() -> None:
    states = replace(latched("LD-02", Release.MANUAL), rung=np.array([1, -1]), unit_hwm=np.array([1.25, 1.0]))
    after, _ = release(DESK, states, BOTH, 5, 0)
    assert (after.acknowledged_rung[0], after.rung[0], after.ramp_left[0]) == (1, 1, 4)
    assert after.unit_hwm[0] == 1.25
    assert after.ramp_left[1] == 0


def test_a_released_lock_rebases_the_mark_to_what_the_book_is_worth() -> None:
    states = replace(
        latched("LD-02", Release.DUAL, TradingState.LOCKED),
        rung=np.array([2, -1]),
        unit_hwm=np.array([1.25, 1.0]),
        last_equity=np.array([80_000.0, 50_000.0]),
    )
    after, _ = release(DESK, states, BOTH, 20, 0)
    assert after.unit_hwm[0] == pytest.approx(0.8) and after.rung[0] == -1
    assert drawdown_now(after, after.last_equity)[0] == 0.0


def test_what_is_unknown_now_is_remembered_as_it_was() -> None:
    path = market(prices(3, 2, 1)).at(1)
    states = fresh(last_price=np.array([[50.0, 60.0]] * 2), last_sigma=np.array([[0.1, 0.2]] * 2))
    hole = replace(path, price=np.array([np.nan, 70.0]), sigma=np.array([0.3, np.nan]))
    equity, mark = np.array([np.nan, 51_000.0]), np.full((2, 2), np.nan)
    marks = Marks(equity, equity, NEITHER, mark, mark)
    kept = remember(states, marks, opening(CAPITAL, 2).positions, hole, np.ones(2))
    assert kept.last_equity.tolist() == [100_000.0, 51_000.0]
    assert kept.last_price.tolist() == [[50.0, 70.0]] * 2
    assert kept.last_sigma.tolist() == [[0.3, 0.2]] * 2


def test_a_restart_makes_the_marked_books_new_and_leaves_the_others_alone() -> None:
    states = latched("LD-03", Release.TERMINAL)
    used = Carried(
        replace(states, day_id=np.array([7, 8]), last_price=np.full((2, 2), 9.0)),
        Positions(CAPITAL - 1, np.ones((2, 2)), np.full((2, 2), 3.0)),
        np.full((2, 2), 4.0),
    )
    after, clean = restart(used, np.array([True, False])), opening(CAPITAL, 2)
    for name in States.__dataclass_fields__:
        new, old = getattr(after.states, name), getattr(used.states, name)
        assert np.array_equal(new[0], getattr(clean.states, name)[0], equal_nan=True), name
        assert np.array_equal(new[1], old[1], equal_nan=True), name
    assert after.orders.tolist() == [[0, 0], [4, 4]]
    assert after.positions.cash.tolist() == [100_000.0, 49_999.0]
    assert after.positions.qty.tolist() == [[0, 0], [1, 1]]


def test_firms_are_numbered_as_they_appear() -> None:
    firms, index = firm_index(("north/a", "south/b", "north/c"))
    assert firms == ("north", "south") and index.tolist() == [0, 1, 0]
    desk = history(market(prices(5, 2, 1)), [rules()] * 2, accounts=("b/x", "a/y")).desk
    assert desk.firm.tolist() == [0, 1] and desk.size == 2


def test_opening_books_are_all_cash_with_the_capital_as_the_mark() -> None:
    books = opening(CAPITAL, 3)
    assert np.array_equal(books.positions.cash, CAPITAL) and not books.positions.qty.any()
    assert (unit_nav(books.states, CAPITAL) == 1.0).all() and not books.orders.any()
    day = (dt.date(2001, 1, 2) - dt.date(1970, 1, 1)).days
    assert roll(books.states, np.array([day, day]))[1].all()
