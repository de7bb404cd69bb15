"""What every store of halts must do. SQLite and a real PostgreSQL are both held to it (``conftest.py``)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from regime_trading.adapters.database import SqlAuditLog, SqlControls, SqlMessages
from regime_trading.core.audit import EventHeader, audit_event
from regime_trading.core.controls import Clearing, Effect, Level, NewControl
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.messages import Message, ModeData
from regime_trading.core.schemas import ActorType, AuditEvent, EventType

Open = Callable[..., SqlControls]
CHAIN = "admin/alpha/_firm"


@pytest.fixture
def opened(database: Callable[[], Engine]) -> Open:
    return lambda firm="alpha": SqlControls(database(), firm_id=firm)


def new(account: str = "alpha/main", level: Level = Level.K1, **more: Any) -> NewControl:
    said: dict[str, Any] = {"set_ns": 5, "set_by": "u-1", "reason": "a bad day"} | more
    return NewControl("alpha", account, level, **said)


def event(seq: int = 1) -> AuditEvent:
    header = EventHeader(
        firm_id="alpha", account_id="_firm", run_id="d-2026-01-01", env="admin", seq=seq, ts_event_ns=seq,
        event_type=EventType.KILL, actor_type=ActorType.USER, actor_id="u-1", feature_set_version="",
        config_hash="", code_version="x", rule_id="LD-15", rationale="K1.", ts_recorded_ns=seq,
    )  # fmt: skip
    return audit_event(header, {})


TOLD = Message(5, ModeData(mode="dry_run", trading_state=None, kill_level=1), "alpha/main")


def test_a_halt_its_entry_and_its_message_are_one(opened: Open, database: Callable[[], Engine]) -> None:
    store = opened()
    made = store.set(new(), [event()], [TOLD])
    assert (made.control_no, made.cleared_ns, made.level) == (1, None, Level.K1)
    with pytest.raises(NotDurable):
        store.set(new(level=Level.K3), [event(seq=7)], [TOLD])
    with pytest.raises(BadInput):
        store.set(new(level=Level.K3), [event(seq=2)], [replace(TOLD, account="beta/main")])
    assert opened().all() == (made,)
    assert SqlAuditLog(database(), firm_id="alpha").head(CHAIN)[0] == 1
    told = [one.type for one in SqlMessages(database(), firm_id="alpha").after(0)]
    assert told == ["audit.append", "mode.update"]


def test_its_end_is_added_once_and_nothing_is_removed(opened: Open) -> None:
    store = opened()
    first, second = store.set(new()), store.set(new(account="", level=Level.K2))
    store.clear((1,), Clearing(9, "u-2", "r-1"))
    assert store.all() == (replace(first, cleared_ns=9, cleared_by="u-2", approval_id="r-1"), second)
    for no in (1, 3):
        with pytest.raises(BadInput, match="in force"):
            store.clear((no,), Clearing(10, "u-3"))
    with pytest.raises(NotDurable):
        store.clear((2,), Clearing(10, "u-3"), [event(seq=7)])
    assert opened().all()[1].cleared_ns is None


def test_a_flag_is_adopted_once(opened: Open) -> None:
    flagged = new(flag="a" * 64)
    assert opened().set(flagged, [event()]) == opened().set(flagged, [event(seq=2)])
    store = opened()
    store.clear((1,), Clearing(9, "u-2"))
    assert store.set(flagged).cleared_ns == 9, "spent"
    assert len(store.all()) == 1


def test_effects_are_kept_and_only_flat_is_added(opened: Open) -> None:
    store = opened()
    store.set(new(level=Level.K3))
    effect = Effect(1, "alpha/main", "d" * 64, 3, 6, 7, cancelled=2)
    store.note([effect])
    store.note([replace(effect, decision_id="e" * 64, flat_ns=8)])
    store.note([replace(effect, flat_ns=9)])
    assert opened().effects() == (replace(effect, flat_ns=8),)
    with pytest.raises(NotDurable):
        store.note([replace(effect, control_no=2)])


def test_a_firm_does_not_see_another(opened: Open) -> None:
    opened().set(new())
    assert opened("beta").all() == () and opened("beta").effects() == ()
    with pytest.raises(BadInput, match="in force"):
        opened("beta").clear((1,), Clearing(9, "u-2"))
    for wrong in (new(), NewControl("beta", "alpha/main", Level.K1, 5, "u-1", "x")):
        with pytest.raises(BadInput, match="a scope of firm beta"):
            opened("beta").set(wrong)


def test_numbers_are_given_out_once(opened: Open) -> None:
    threads = [threading.Thread(target=lambda: [opened().set(new()) for _ in range(3)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.control_no for one in opened().all()] == list(range(1, 13))
