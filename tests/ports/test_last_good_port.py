"""What every store of last good configurations must do, on SQLite and on a real PostgreSQL (``conftest.py``)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from tests.unit.core.test_trader_profile import override, profile

from regime_trading.adapters.database import SqlLastGood
from regime_trading.core.config_status import LastGood
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import LastGoodConfigs
from regime_trading.core.trader_profile import with_overrides

Open = Callable[..., LastGoodConfigs]


@pytest.fixture
def opened(database: Callable[[], Engine]) -> Open:
    def open_store(firm_id: str = "firm") -> LastGoodConfigs:
        return SqlLastGood(database(), firm_id=firm_id)

    return open_store


def test_the_last_accepted_one_is_kept(opened: Open) -> None:
    assert opened().get("firm/acc") is None
    assert opened().accounts() == ()
    opened().accept([profile({"gross": "0.9"})], 5)
    opened().accept([profile({"gross": "0.8", "deny": ["B"]})], 7)
    found = opened().get("firm/acc")
    assert found == LastGood(profile({"gross": "0.8", "deny": ["B"]}), 7)
    assert opened().accounts() == ("firm/acc",)


def test_accepting_the_same_again_renews_it(opened: Open) -> None:
    for now_ns in (5, 9):
        opened().accept([profile()], now_ns)
    assert opened().get("firm/acc") == LastGood(profile(), 9)
    opened().accept([], 11)
    assert opened().get("firm/acc") == LastGood(profile(), 9)


def test_what_is_not_the_firms_own_is_refused(opened: Open) -> None:
    with pytest.raises(BadInput, match="an account of firm other"):
        opened("other").accept([profile()], 5)
    opened().accept([profile()], 5)
    assert opened("other").get("firm/acc") is None
    assert opened("other").accounts() == ()


def test_a_configuration_with_overrides_is_none(opened: Open) -> None:
    tight = with_overrides(profile(), [override("risk.gross", "0.5")], as_of_ns=1)
    with pytest.raises(BadInput, match="no session overrides"):
        opened().accept([tight], 5)
    assert opened().get("firm/acc") is None
