"""What a limit on a sum leaves to entries: exempt assets beside it, and loads that are not whole."""

from __future__ import annotations

import numpy as np
import pytest

from regime_trading.guards.budgets import cap_slack, pair_share
from regime_trading.guards.constraint import Cap, PairCap

ALIKE = np.ones((3, 3))
SEEN = np.zeros((1, 3), dtype=np.bool_)


def pairs(*exempt: bool) -> PairCap:
    """No two assets that move together may be more than 0.2 of the equity, but for those that are as good as cash."""
    return PairCap("CC-06", np.array([0.8]), np.array([2e8]), np.array([list(exempt)]))


def test_what_is_as_good_as_cash_takes_no_room_and_gets_all_it_asks_for() -> None:
    base, entering = np.array([[1e8, 0.0, 0.0]]), np.array([[0.0, 4e8, 2e8]])
    share = pair_share(pairs(False, True, False), base, entering, ALIKE, SEEN)
    assert share.tolist() == [[0.5, 1.0, 0.5]], "only the third asset meets the first: 0.1 of its 0.2"
    alone = pair_share(pairs(False, False, False), base, np.array([[0.0, 4e8, 0.0]]), ALIKE, SEEN)
    assert alone.tolist() == [[0.25, 0.25, 1.0]], "not exempt, it gets the 0.1 that is left of its 0.4"


@pytest.mark.parametrize(
    ("load", "slack"), [([1.0, 2.0], 0.0), ([0.5, 2.0], 0.3), ([0.5, 0.25], 0.3)], ids=str
)
def test_a_sum_with_one_load_that_is_not_whole_may_miss_its_limit_by_rounding(
    load: list[float], slack: float
) -> None:
    cap = Cap("CC-04", np.zeros((1, 2), dtype=np.int64), np.array([load]), np.array([[3e8, np.inf]]))
    assert cap_slack(cap) == pytest.approx(np.array([[slack, 0.0]]))
