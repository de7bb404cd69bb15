"""Session overrides end at a boundary, never lengthen by themselves, and are at most twenty."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from regime_trading.core.errors import BadInput
from regime_trading.core.overrides import (
    MAX_LIVE,
    SessionOverride,
    ends_ns,
    live_overrides,
    require_room,
    session_boundary,
)
from regime_trading.core.traders import TradingDay

HOUR = 3_600_000_000_000
NEW_YORK = TradingDay(reset_at="17:00", zone="America/New_York")
BOUNDARY = session_boundary(NEW_YORK)


def at(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def override(created_ns: int = 0, hours: int = 4, **more: Any) -> SessionOverride:
    said = {"path": "risk.gross", "value": "0.5", "reason": "a bad day", "created_by": "local", **more}
    return SessionOverride(
        account="firm/acc", created_at_ns=created_ns, expires_at_ns=created_ns + hours * HOUR, **said
    )


@pytest.mark.parametrize(
    ("instant", "end"),
    [
        ("2022-12-01T12:00:00-05:00", "2022-12-01T17:00:00-05:00"),
        ("2022-12-01T17:00:00-05:00", "2022-12-01T17:00:00-05:00"),
        ("2022-12-01T17:00:01-05:00", "2022-12-02T17:00:00-05:00"),
        ("2022-12-01T23:30:00-05:00", "2022-12-02T17:00:00-05:00"),
        ("2022-03-12T20:00:00-05:00", "2022-03-13T17:00:00-04:00"),  # the clock goes forward in between
        ("2022-11-05T20:00:00-04:00", "2022-11-06T17:00:00-05:00"),
    ],
)
def test_the_boundary_is_the_next_reset_of_the_trading_day(instant: str, end: str) -> None:
    assert BOUNDARY(at(instant)) == at(end)


def test_an_override_stays_to_the_end_of_its_session_unless_it_is_exact() -> None:
    noon = at("2022-12-01T12:00:00-05:00")
    plain, exact = override(noon, 1), override(noon, 1, exact=True)
    assert ends_ns(plain, BOUNDARY) == at("2022-12-01T17:00:00-05:00")
    assert ends_ns(exact, BOUNDARY) == noon + HOUR
    for ts, live in ((noon - 1, 0), (noon, 2), (noon + HOUR - 1, 2), (noon + HOUR, 1)):
        assert len(live_overrides([plain, exact], ts, BOUNDARY)) == live
    assert live_overrides([plain, exact], at("2022-12-01T17:00:00-05:00"), BOUNDARY) == ()


@given(st.integers(1_600_000_000, 1_700_000_000), st.integers(1, 24), st.booleans())
def test_an_override_lasts_as_long_as_it_says_and_at_most_a_session_more(
    created_s: int, hours: int, exact: bool
) -> None:
    one = override(created_s * 10**9, hours, exact=exact)
    end = ends_ns(one, BOUNDARY)
    assert one.expires_at_ns <= end <= one.expires_at_ns + (0 if exact else 25 * HOUR)
    assert live_overrides([one], end - 1, BOUNDARY) == (one,)
    assert live_overrides([one], end, BOUNDARY) == ()


def test_the_order_is_that_of_their_making() -> None:
    first, second = override(5), override(7)
    assert live_overrides([second, first, second], 10, BOUNDARY) == (first, second)


@pytest.mark.parametrize(
    "wrong", [{"hours": 0}, {"hours": 25}, {"hours": -1}, {"reason": ""}, {"reason": "x" * 501}, {"path": ""}]
)
def test_what_an_override_must_say(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        override(**wrong)


def test_an_id_follows_from_what_is_said() -> None:
    ids = {
        one.override_id
        for one in (
            override(),
            override(1),
            override(hours=5),
            override(value="0.6"),
            override(value=0.6),
            override(value=["0.6"]),
            override(reason="another"),
            override(exact=True),
            override(path="risk.net"),
        )
    }
    assert len(ids) == 9
    assert override().override_id == override().override_id
    assert all(len(name) == 16 for name in ids)


def test_an_account_has_room_for_twenty() -> None:
    live = tuple(override(n) for n in range(MAX_LIVE))
    require_room(live[1:], "firm/acc")
    with pytest.raises(BadInput, match="fewer than 20 live overrides, found 20"):
        require_room(live, "firm/acc")
