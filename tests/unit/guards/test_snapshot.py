"""Parameters and positions as arrays."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.unit.guards.scenarios import changed, defaults, scene

from regime_trading.core.rules import (
    RULES,
    DenyList,
    FreezeWindow,
    Merge,
    Release,
    RuleParams,
    Rung,
    SingleName,
    TrailingDrawdown,
    param,
    unit_of,
)
from regime_trading.guards.snapshot import MAX_RUNGS, in_freeze, nano_weights, restack, stack_params

SYMBOLS = ("AAA", "BBB")


def stacked(rule_id: str, *params: object) -> dict[str, np.ndarray]:
    return stack_params([defaults() | {rule_id: p} for p in params], SYMBOLS)[rule_id]


def test_every_parameter_has_an_array_with_one_row_an_account() -> None:
    knobs = stack_params([defaults()] * 3, SYMBOLS)
    assert list(knobs) == [spec.rule_id for spec in RULES]
    for spec in RULES:
        fields = set(spec.params.model_fields) - {"ladder", "scaling"}
        assert fields <= set(knobs[spec.rule_id])
        arrays = [values for name, values in knobs[spec.rule_id].items() if name != "floors"]
        assert all(len(rows) == 3 for values in arrays for rows in _rows(values))
    assert knobs["LD-12"]["floors"]["LD-01"] is knobs["LD-01"]


#: Parts of parameters that are words, not one row an account.
VOCABULARY = frozenset({"names", "words", "members"})


def _rows(values: Any) -> list[Any]:
    """The parts of a stacked parameter that have one row an account."""
    if not is_dataclass(values):
        return [values]
    return [getattr(values, f.name) for f in fields(values) if f.name not in VOCABULARY]


def test_fractions_of_equity_are_nanoweights_and_nothing_else_is() -> None:
    knobs = stack_params([defaults()], SYMBOLS)
    for spec in RULES:
        for name in spec.params.model_fields:
            value = getattr(spec.params(), name)
            if isinstance(value, Decimal) and value.is_finite():
                scale = 10**9 if unit_of(spec.params, name).startswith("fraction of equity") else 1
                assert knobs[spec.rule_id][name][0] == float(value * scale), (spec.rule_id, name)


def test_unlimited_is_infinite_and_releases_are_their_order() -> None:
    assert stacked("CC-01", changed(SingleName(), max_weight="unlimited"))["max_weight"].tolist() == [np.inf]
    releases = [changed(TrailingDrawdown(), lock_release=r) for r in Release]
    assert stacked("LD-02", *releases)["lock_release"].tolist() == [int(r) for r in Release]


def test_a_parameter_without_an_array_form_is_refused() -> None:
    class Worded(RuleParams):
        words: str = param("loud", unit="", merge=Merge.PROTECT)

    with pytest.raises(TypeError, match="a rule parameter of type str has no array form"):
        restack({}, [{"CC-01": Worded()}], SYMBOLS)


def test_lists_are_masks() -> None:
    assert stacked("UT-01", *(changed(defaults()["UT-01"], symbols=s) for s in (None, (), ("BBB", "ZZZ"))))[
        "symbols"
    ].tolist() == [[True, True], [False, False], [False, True]]
    assert stacked("UT-02", DenyList(), changed(DenyList(), symbols=("AAA",)))["symbols"].tolist() == [
        [False, False],
        [True, False],
    ]


def test_ladders_are_padded() -> None:
    short = changed(TrailingDrawdown(), ladder=[["0.1", "0.5"], ["0.2", "LOCKED"]])
    arrays = stacked("LD-02", short, TrailingDrawdown())
    assert arrays["ladder_at"].shape == (2, MAX_RUNGS)
    assert arrays["ladder_at"][0].tolist() == [0.1, 0.2] + [np.inf] * (MAX_RUNGS - 2)
    assert arrays["ladder_factor"][0].tolist() == [0.5] + [1.0] * (MAX_RUNGS - 1)
    assert arrays["ladder_state"][0].tolist() == [0, 3] + [0] * (MAX_RUNGS - 2)
    assert arrays["ladder_state"][1].tolist() == [0, 0, 2, 3] + [0] * (MAX_RUNGS - 4)


def test_a_ladder_that_is_too_long_is_refused() -> None:
    rungs = tuple(Rung(at=Decimal(i) / 100, action=1 - Decimal(i) / 100) for i in range(1, MAX_RUNGS + 2))
    with pytest.raises(ValueError, match="at most 8 rungs, found 9"):
        stacked("LD-02", TrailingDrawdown(ladder=rungs))


@pytest.mark.parametrize(
    ("first", "last", "day", "inside"),
    [
        ("03-01", "03-05", "2021-03-01", True),
        ("03-01", "03-05", "2021-03-05", True),
        ("03-01", "03-05", "2021-03-06", False),
        ("12-20", "01-05", "2021-12-31", True),
        ("12-20", "01-05", "2022-01-05", True),
        ("12-20", "01-05", "2022-01-06", False),
        ("12-20", "01-05", "2022-12-19", False),
        ("2021-03-01", "2021-03-05", "2021-03-03", True),
        ("2021-03-01", "2021-03-05", "2022-03-03", False),
    ],
)
def test_freeze_windows(first: str, last: str, day: str, inside: bool) -> None:
    window = FreezeWindow(id="w", first=first, last=last)
    assert in_freeze((window,), dt.date.fromisoformat(day)) is inside


def test_weights_of_positions() -> None:
    qty = np.array([[0.0, 1.0, -3.0, 1.0]])
    unit = np.array([np.nan, 10.0, 10.0, np.nan])
    assert np.array_equal(
        nano_weights(qty, unit, np.array([30.0]))[0], [0, 333333333, -1e9, np.nan], equal_nan=True
    )
    for equity in (0.0, -1.0, np.nan, np.inf):
        weights = nano_weights(qty, unit, np.array([equity]))[0]
        assert np.array_equal(weights, [0, np.nan, np.nan, np.nan], equal_nan=True)


def test_a_view_derives_what_every_rule_needs() -> None:
    s = scene(1, 2, 3)
    current = s.view.books.current.copy()
    current[0, 0], current[1, 1] = np.nan, np.inf
    view = s.with_books(current=current).view
    assert view.held[0, 0] == view.held[1, 1] == 0
    assert (view.n_accounts, view.n_assets) == (2, 3)
    assert np.array_equal(view.size, np.abs(s.view.books.proposed))
    assert view.per_asset(np.array([True, False, True])).tolist() == [[True, False, True]] * 2


def test_group_members() -> None:
    market = scene(1, 1, 4).with_market(group=np.array([2, -1, 0, 7])).view.market
    assert market.set_of_group.tolist() == [2, 3, 0, 3]
