"""A configuration that cannot be read never loosens anything."""

from __future__ import annotations

import pytest
from tests.unit.core.test_trader_profile import profile

from regime_trading.core.config_status import (
    MAX_STALE_NS,
    ConfigStatus,
    LastGood,
    least_states,
    standing,
)
from regime_trading.core.rules import TradingState
from regime_trading.core.settings import Finding

NOW = 10 * MAX_STALE_NS
FINDING = Finding(path="risk.grss", file="traders.yaml", line=7, expected="'gross'", found="'grss'")


def last_good(age_ns: int) -> LastGood:
    return LastGood(profile(), NOW - age_ns)


@pytest.mark.parametrize("starting", [True, False])
def test_files_that_are_accepted_are_in_force(starting: bool) -> None:
    one = standing("firm/acc", profile(), None, (), now_ns=NOW, starting=starting)
    assert (one.status, one.least_state) == (ConfigStatus.CURRENT, TradingState.NORMAL)
    assert one.profile == profile()


@pytest.mark.parametrize(
    ("age_ns", "starting", "state"),
    [
        (0, False, TradingState.NORMAL),
        (MAX_STALE_NS, False, TradingState.NORMAL),
        (MAX_STALE_NS + 1, False, TradingState.REDUCE_ONLY),
        (-1, False, TradingState.REDUCE_ONLY),  # accepted in the future: nobody knows how old it is
        (0, True, TradingState.REDUCE_ONLY),
        (MAX_STALE_NS + 1, True, TradingState.REDUCE_ONLY),
    ],
)
def test_the_last_good_one_stays_and_permits_less_with_time(
    age_ns: int, starting: bool, state: TradingState
) -> None:
    one = standing("firm/acc", None, last_good(age_ns), (FINDING,), now_ns=NOW, starting=starting)
    assert (one.status, one.least_state) == (ConfigStatus.STALE, state)
    assert one.profile == profile()
    assert "traders.yaml:7 risk.grss" in one.why


@pytest.mark.parametrize("starting", [True, False])
def test_without_any_configuration_an_account_is_locked(starting: bool) -> None:
    one = standing("firm/acc", None, None, (FINDING,), now_ns=NOW, starting=starting)
    assert (one.status, one.least_state, one.profile) == (ConfigStatus.INVALID, TradingState.LOCKED, None)


def test_the_floor_of_an_account_nobody_knows_is_locked() -> None:
    known = {
        "firm/acc": standing("firm/acc", profile(), None, (), now_ns=NOW, starting=True),
        "firm/old": standing("firm/old", None, last_good(0), (), now_ns=NOW, starting=True),
    }
    assert least_states(known, ("firm/old", "firm/none", "firm/acc")) == (
        TradingState.REDUCE_ONLY,
        TradingState.LOCKED,
        TradingState.NORMAL,
    )
