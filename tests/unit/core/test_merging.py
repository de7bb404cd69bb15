"""Merge operators: the combination is never looser than either part, and order says nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.core.strategies import PARAMS, ladders, scalings, values

from regime_trading.core.merging import combine, in_order, ladder_strictness, steps_at, stricter_or_equal
from regime_trading.core.rules import (
    AllowList,
    DailyLoss,
    DayAnchor,
    DenyList,
    FreezeWindow,
    FreezeWindows,
    Gross,
    MaxContracts,
    Merge,
    NewsBlackout,
    NewsMode,
    Release,
    RuleParams,
    Rung,
    ScalingStep,
    SmallOrders,
    TrailingDrawdown,
    merge_of,
)

unhurried = settings(deadline=None)
DIRECTED = [
    (params, name) for params, name in PARAMS if merge_of(params, name) not in {Merge.OVERRIDE, Merge.FIXED}
]


@st.composite
def three(draw: st.DrawFn) -> tuple[type[RuleParams], str, Any, Any, Any]:
    params, name = draw(st.sampled_from(DIRECTED))
    kind = values(params, name)
    return params, name, draw(kind), draw(kind), draw(kind)


@unhurried
@given(three())
def test_the_combination_is_at_least_as_strict_as_each_part(case: Any) -> None:
    params, name, a, b, _ = case
    both = combine(params, name, a, b)
    assert stricter_or_equal(params, name, both, a)
    assert stricter_or_equal(params, name, both, b)


@unhurried
@given(three())
def test_the_combination_is_no_stricter_than_it_must_be(case: Any) -> None:
    params, name, a, b, c = case
    if stricter_or_equal(params, name, c, a) and stricter_or_equal(params, name, c, b):
        assert stricter_or_equal(params, name, c, combine(params, name, a, b))


@unhurried
@given(three())
def test_combining_is_idempotent_commutative_associative(case: Any) -> None:
    params, name, a, b, c = case

    def plus(x: Any, y: Any) -> Any:
        return combine(params, name, x, y)

    def alike(x: Any, y: Any) -> bool:  # a ladder may say one thing in two ways
        return stricter_or_equal(params, name, x, y) and stricter_or_equal(params, name, y, x)

    assert alike(plus(a, a), a)
    assert plus(a, b) == plus(b, a)
    assert plus(plus(a, b), c) == plus(a, plus(b, c))


@unhurried
@given(three())
def test_strictness_is_an_order(case: Any) -> None:
    params, name, a, b, c = case
    assert stricter_or_equal(params, name, a, a)
    if stricter_or_equal(params, name, a, b) and stricter_or_equal(params, name, b, c):
        assert stricter_or_equal(params, name, a, c)


@unhurried
@given(ladders(), ladders(), st.integers(0, 50))
def test_ladders_meet_pointwise(a: Any, b: Any, percent: int) -> None:
    x = Decimal(percent) / 100
    first, second = TrailingDrawdown(ladder=a).ladder, TrailingDrawdown(ladder=b).ladder
    met = combine(TrailingDrawdown, "ladder", first, second)
    TrailingDrawdown(ladder=met)  # still monotone
    assert ladder_strictness(met, x) == max(ladder_strictness(first, x), ladder_strictness(second, x))


# One hand-made example of each operator, stricter value first.
EXAMPLES: list[tuple[type[RuleParams], str, Any, Any]] = [
    (Gross, "max_gross", Decimal("0.5"), Decimal(1)),
    (Gross, "max_gross", Decimal(10), Decimal("Infinity")),
    (NewsBlackout, "before_s", 600, 300),
    (NewsBlackout, "mode", NewsMode.NO_TRADE, NewsMode.NO_INCREASE),
    (DailyLoss, "release", Release.DUAL, Release.NEXT_SESSION),
    (Gross, "enabled", True, False),
    (DenyList, "symbols", ("A", "B"), ("A",)),
    (AllowList, "symbols", ("A",), ("A", "B")),
    (AllowList, "symbols", (), ("A",)),
    (AllowList, "symbols", ("A",), None),
    (TrailingDrawdown, "ladder", (Rung(at="0.05", action="LOCKED"),), (Rung(at="0.05", action="FLATTEN"),)),
    (TrailingDrawdown, "ladder", (Rung(at="0.04", action="0.5"),), (Rung(at="0.05", action="0.5"),)),
    (TrailingDrawdown, "ladder", (Rung(at="0.04", action="0.5"),), ()),
    (MaxContracts, "scaling", (ScalingStep(eod_profit_ge="0", n="2"),), ()),
    (
        MaxContracts,
        "scaling",
        (ScalingStep(eod_profit_ge="0", n="2"),),
        (ScalingStep(eod_profit_ge="0", n="3"),),
    ),
]


@pytest.mark.parametrize(("params", "name", "strict", "loose"), EXAMPLES)
def test_directions(params: type[RuleParams], name: str, strict: Any, loose: Any) -> None:
    assert stricter_or_equal(params, name, strict, loose)
    assert not stricter_or_equal(params, name, loose, strict)
    assert combine(params, name, strict, loose) == combine(params, name, loose, strict) == strict


@unhurried
@given(scalings(), scalings(), st.integers(-3, 10))
def test_scaling_plans_meet_pointwise(a: Any, b: Any, profit: int) -> None:
    first, second = MaxContracts(scaling=a).scaling, MaxContracts(scaling=b).scaling
    met = combine(MaxContracts, "scaling", first, second)
    MaxContracts(scaling=met)  # still rising
    x = Decimal(profit * 250)
    assert steps_at(met, x) == min(steps_at(first, x), steps_at(second, x))


def test_values_without_direction() -> None:
    assert stricter_or_equal(SmallOrders, "dead_band", Decimal(0), Decimal(1))
    assert combine(SmallOrders, "dead_band", Decimal(0), Decimal(1)) == 1
    assert not stricter_or_equal(DailyLoss, "anchor", DayAnchor.MAX, DayAnchor.BALANCE)
    assert combine(DailyLoss, "anchor", DayAnchor.MAX, DayAnchor.BALANCE) is DayAnchor.MAX


def test_one_window_id_names_one_window() -> None:
    a = (FreezeWindow(id="x", first="12-24", last="12-26"),)
    b = (FreezeWindow(id="x", first="12-24", last="12-25"),)
    with pytest.raises(ValueError, match="another id"):
        combine(FreezeWindows, "windows", a, b)


def test_sets_are_put_in_order() -> None:
    assert in_order(DenyList, "symbols", ("B", "A", "B")) == ("A", "B")
    assert in_order(AllowList, "symbols", None) is None
