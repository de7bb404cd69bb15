"""The step plan beside what already works at the broker: entries at work, working exits, paces, owed legs.

The book is that of ``test_chain``: one account of 100 000, every price 100, so that 0.10 are 100 shares.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.properties.scenes import run
from tests.unit.guards.scenarios import Scene
from tests.unit.guards.test_chain import book

from regime_trading.core.rules import Authority, TradingState
from regime_trading.guards.attribution import rule_names
from regime_trading.guards.chain import Decisions


def at_work(s: Scene, qty: list[float], *says: str, **broker: Any) -> Scene:
    """The scene with entries that work; the broker says nothing else but ``says``."""
    told = {name: np.array([value]) for name, value in broker.items()}
    known = replace(s.view.books.broker, working_entry_qty=np.array([qty]), provided=frozenset(says), **told)
    return s.with_books(broker=known)


def steps(s: Scene) -> list[float]:
    return list(run(s)[0].steps.step_qty[0])


def cancels(d: Decisions) -> list[bool]:
    return list(d.steps.cancel[0])


# --- entries at work ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("works", "step", "cancel"),
    [
        (0.0, 100.0, False),
        (60.0, 40.0, False),
        (99.0, 1.0, False),
        (100.0, 0.0, False),
        (101.0, 0.0, True),
        (-1.0, 0.0, True),
        (-100.0, 0.0, True),
        (np.nan, 0.0, True),
        (np.inf, 0.0, True),
        (-np.inf, 0.0, True),
    ],
)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_an_entry_at_work_counts_as_sent_or_is_cancelled(
    works: float, step: float, cancel: bool, side: float
) -> None:
    """100 shares shall open: on that side no more than 100 may work, and of them the rest is sent.

    The other asset, in which nothing works, is not touched.
    """
    d, _ = run(at_work(book([0, 0], [side * 0.10, 0.05]), [side * works, 0.0]))
    assert d.steps.step_qty.tolist() == [[side * step, 50.0]]
    assert cancels(d) == [cancel, False]


def test_an_entry_at_work_that_nobody_wants_any_more_is_cancelled() -> None:
    """Kept as it is, sold in part, sold whole, and not held at all."""
    s = book([100, 100, 100, 0], [0.10, 0.05, 0.0, 0.0])
    d, _ = run(at_work(s, [5.0, 5.0, 5.0, 5.0]))
    assert d.steps.step_qty.tolist() == [[0.0, -50.0, -100.0, 0.0]]
    assert cancels(d) == [True] * 4


def test_of_a_position_that_grows_only_the_opening_leg_is_compared_with_what_works() -> None:
    """50 more shall be bought, and 150 sold through zero: the leg that opens is 50 in both."""
    s = book([100, 100], [0.15, -0.05])
    d, _ = run(at_work(s, [30.0, -30.0]))
    assert d.steps.exit_qty.tolist() == [[0.0, -100.0]]
    assert d.steps.entry_qty.tolist() == [[20.0, -20.0]]
    assert not d.steps.cancel.any()
    d, _ = run(at_work(s, [51.0, -51.0]))
    assert d.steps.step_qty.tolist() == [[0.0, -100.0]]  # the exit leaves beside the cancel
    assert cancels(d) == [True, True]


def test_an_account_that_may_only_shrink_keeps_no_entry_at_work() -> None:
    s = at_work(book([0, 100], [0.10, 0.10]), [60.0, 0.0]).with_books(equity_age_bars=np.array([9.0]))
    d, _ = run(s)
    assert d.mode[0] == TradingState.REDUCE_ONLY
    assert d.steps.step_qty.tolist() == [[0.0, 0.0]]
    assert cancels(d) == [True, False]


@pytest.mark.parametrize(
    ("timeouts", "authority", "exit_", "owed"),
    [
        (0.0, Authority.ALL, -100.0, 0.0),
        (np.nan, Authority.RISK_REDUCING, -100.0, 0.0),
        (2.0, Authority.CANCEL_ONLY, 0.0, -100.0),
    ],
)
def test_what_may_be_sent(timeouts: float, authority: Authority, exit_: float, owed: float) -> None:
    """Orders without an answer (XL-14). Three assets: one leaves, one opens, of one an entry works that is wanted.

    A wanted entry goes on working as long as everything may be sent; what may not leave is owed or barred.
    """
    s = at_work(
        book([100, 0, 0], [0.0, 0.10, 0.10]), [0.0, 0.0, 60.0], "orders", timeouts_60s=timeouts
    ).with_rules(XL_11={"enabled": False}, XL_12={"enabled": False})
    d, _ = run(s)
    free = authority == Authority.ALL
    assert d.authority[0] == authority
    assert d.steps.step_qty.tolist() == [[exit_, 100.0 if free else 0.0, 40.0 if free else 0.0]]
    assert d.steps.owed_qty.tolist() == [[owed, 0.0, 0.0]]
    assert cancels(d) == [False, False, not free]
    assert d.steps.barred.tolist() == [[authority == Authority.CANCEL_ONLY, not free, False]]
    barred = [rule_names(words) == ("XL-14",) for words in d.limiting[0]]
    assert barred == [authority == Authority.CANCEL_ONLY, not free, False]


# --- owed legs ---------------------------------------------------------------------------------------------------


def test_a_flatten_owes_what_cannot_be_traded() -> None:
    """Long and short, halted: the whole position. What can be traded leaves, and nothing of it is owed."""
    s = book([100, -50, 30], [0.1, -0.05, 0.03], LD_01={"limit_money": 0})
    d, _ = run(s.with_market(venue_open=np.array([False, False, True])))
    assert d.mode[0] == TradingState.FLATTEN
    assert d.steps.step_qty.tolist() == [[0.0, 0.0, -30.0]]
    assert d.steps.owed_qty.tolist() == [[-100.0, 50.0, 0.0]]


def test_only_a_flatten_owes() -> None:
    s = book([100, 100], [0.0, 0.0]).with_market(venue_open=np.array([False, True]))
    s = s.with_books(equity_age_bars=np.array([9.0]))
    d, _ = run(s)
    assert d.mode[0] == TradingState.REDUCE_ONLY
    assert d.steps.step_qty.tolist() == [[0.0, -100.0]]
    assert not d.steps.owed_qty.any()


# --- exits at work -----------------------------------------------------------------------------------------------


def test_exits_at_work_are_not_closed_twice_on_either_side() -> None:
    """Of 100 shares 40 are on their way out: 60 more leave for nothing, 30 more for 30; more than 100 is 100."""
    s = book([100, -100, 100, -100, 100], [0.0, 0.0, 0.03, -0.03, 0.0])
    s = s.with_books(working_exit_qty=np.array([[40.0, 40.0, 40.0, 40.0, 130.0]]))
    d, _ = run(s)
    assert d.steps.step_qty.tolist() == [[-60.0, 60.0, -30.0, 30.0, 0.0]]
    assert d.steps.target_qty.tolist() == [[0.0, 0.0, 30.0, -30.0, 0.0]]


def test_nothing_opens_in_an_asset_whose_exits_still_work() -> None:
    """Bought and sold at once would be one's own other side; another asset opens as it wants."""
    s = book([100, 100, 0], [0.20, -0.10, 0.10]).with_books(working_exit_qty=np.array([[1.0, 100.0, 0.0]]))
    assert steps(s) == [0.0, 0.0, 100.0]


# --- paces -------------------------------------------------------------------------------------------------------


def test_nothing_opens_before_its_closing_leg_is_through() -> None:
    """Both exits are paced to 100 shares a bar: 100 are through and turn, 300 are not."""
    s = book([100, 300, -300], [-0.02, -0.02, 0.02], XL_04={"days": 1000})
    d, _ = run(s.with_market(adv=np.full(3, 200_000.0)))
    assert d.steps.exit_qty.tolist() == [[-100.0, -100.0, 100.0]]
    assert d.steps.entry_qty.tolist() == [[-20.0, 0.0, 0.0]]
    assert d.steps.paced.tolist() == [[False, True, True]]


def test_a_flatten_is_not_paced() -> None:
    slow = np.full(2, 200_000.0)
    s = book([300, -300], [0.0, 0.0], XL_04={"days": 1000}).with_market(adv=slow)
    assert steps(s) == [-100.0, 100.0]
    flat = book([300, -300], [0.3, -0.3], LD_01={"limit_money": 0}, XL_04={"days": 1000})
    d, _ = run(flat.with_market(adv=slow))
    assert d.mode[0] == TradingState.FLATTEN
    assert d.steps.step_qty.tolist() == [[-300.0, 300.0]]
    assert not d.steps.paced.any()


def test_a_pace_is_whole_lots_toward_zero() -> None:
    """1 % and 5 % of 210 000 are 21 and 105 shares: 20 and 100 in lots of ten."""
    s = book([500, 0], [0.1, 0.1], XL_04={"days": 1000})
    assert steps(s.with_market(adv=np.full(2, 210_000.0), lot=np.full(2, 10.0))) == [-100.0, 20.0]


# --- without a value ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_what_cannot_be_valued_shrinks_in_proportion(side: float) -> None:
    """The weight 0.10 is known from the last good rate, the rate now is not (DS-09: may only shrink).

    Half of it is 50 shares, 48 in lots of twelve; it does not grow, nor does a proposal to keep it move it.
    """
    qty, asked = np.full(4, side * 100.0), side * np.array([0.05, 0.20, 0.10, 0.0])
    s = book(list(qty), list(asked))
    s = s.with_market(
        lot=np.full(4, 12.0), fx=np.full(4, np.nan), provided=s.view.market.provided | frozenset({"fx"})
    )
    assert steps(s) == [-side * 52.0, 0.0, 0.0, -side * 100.0]


# --- odd lots ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "works", "proposed", "exit_qty", "entry_qty"),
    [
        (0.0, 0.0, 0.30, 0.0, 300.0),
        (0.0, 1.0, 0.30, 0.0, 200.0),
        (0.0, 100.0, 0.30, 0.0, 200.0),
        (0.0, 201.0, 0.30, 0.0, 0.0),
        (50.0, 0.0, 0.30, 0.0, 200.0),
        (50.0, 60.0, 0.30, 0.0, 100.0),
        (250.0, 0.0, 0.30, 0.0, 0.0),
        (350.0, 0.0, 0.30, -50.0, 0.0),
        (50.0, 0.0, 0.0, -50.0, 0.0),
        (50.0, 0.0, -0.30, -50.0, -300.0),
    ],
)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_what_opens_is_whole_lots_though_a_partial_fill_left_an_odd_one(
    held: float, works: float, proposed: float, exit_qty: float, entry_qty: float, side: float
) -> None:
    """Lots of 100. An entry is rounded toward zero, never up to an even book; an odd lot may always be closed."""
    s = book([side * held], [side * proposed]).with_market(lot=np.array([100.0]))
    d, _ = run(at_work(s, [side * works]))
    assert d.steps.exit_qty.tolist() == [[side * exit_qty]]
    assert d.steps.entry_qty.tolist() == [[side * entry_qty]]
    assert not d.steps.cancel.any()


@pytest.mark.parametrize("works", [0.0, -100.0, 100.0, -1000.0])
def test_a_hedge_that_only_works_makes_no_room(works: float) -> None:
    """A shrinks from 300 by 50 now (5 % of 100 000); net 0.30 then leaves 50 of B, whatever works in C and may go."""
    s = book([300, 0, 0], [0.10, 0.20, 0.0], CC_03={"max_net": "0.3"})
    s = s.with_market(adv=np.array([100_000.0, 1e12, 1e12]))
    found = steps(at_work(s, [0.0, 0.0, works]))
    assert found == [-50.0, 0.0 if works > 0 else 50.0, 0.0]
