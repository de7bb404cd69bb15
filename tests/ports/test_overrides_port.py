"""What every store of session overrides must do. SQLite and a real PostgreSQL are both held to it (``conftest.py``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from regime_trading.adapters.database import SqlOverrides
from regime_trading.core.errors import BadInput
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.ports import Overrides

Open = Callable[..., Overrides]
HOUR = 3_600_000_000_000


@pytest.fixture
def opened(database: Callable[[], Engine]) -> Open:
    def open_store(firm_id: str = "alpha") -> Overrides:
        return SqlOverrides(database(), firm_id=firm_id)

    return open_store


def override(created_ns: int = 0, account: str = "alpha/main", **more: Any) -> SessionOverride:
    said = {"path": "risk.gross", "value": "0.5", "reason": "a bad day", "created_by": "local", **more}
    return SessionOverride(account=account, created_at_ns=created_ns, expires_at_ns=created_ns + HOUR, **said)


def anything(_: tuple[SessionOverride, ...]) -> None:
    return None


def test_what_was_added_is_there_after_a_restart_oldest_first(opened: Open) -> None:
    store = opened()
    assert store.of("alpha/main") == ()
    later = override(9, value=["A", 1, 0.5, None, True], exact=True)
    for one in (later, override(3), override(5, account="alpha/other")):
        store.add(one, anything)
    assert opened().of("alpha/main") == (override(3), later)
    assert opened().of("alpha/other") == (override(5, account="alpha/other"),)


def test_the_same_override_again_changes_nothing(opened: Open) -> None:
    def never(_: tuple[SessionOverride, ...]) -> None:
        raise AssertionError

    opened().add(override(), anything)
    opened().add(override(), never)
    assert opened().of("alpha/main") == (override(),)


def test_a_check_sees_what_is_stored_and_may_refuse(opened: Open) -> None:
    seen: list[tuple[SessionOverride, ...]] = []

    def refuse(stored: tuple[SessionOverride, ...]) -> None:
        seen.append(stored)
        raise BadInput(expected="another day", found="today", where="check")

    opened().add(override(1), anything)
    with pytest.raises(BadInput, match="another day"):
        opened().add(override(2), refuse)
    assert seen == [(override(1),)]
    assert opened().of("alpha/main") == (override(1),)


def test_a_firm_does_not_see_another(opened: Open) -> None:
    opened().add(override(), anything)
    assert opened("beta").of("beta/main") == ()
    for call in (lambda s: s.of("alpha/main"), lambda s: s.add(override(), anything)):
        with pytest.raises(BadInput, match="an account of firm beta"):
            call(opened("beta"))
