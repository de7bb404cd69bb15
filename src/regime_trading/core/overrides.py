"""Session overrides: temporary tightenings of one risk parameter, and when each of them is in force."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from pydantic import Field, JsonValue, model_validator

from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.rules import Frozen
from regime_trading.core.settings import AccountName
from regime_trading.core.traders import TradingDay
from regime_trading.core.trading_day import reset_instant_s

MAX_LIVE = 20
MAX_TTL_NS = 86_400_000_000_000
_SECOND_NS = 1_000_000_000

Boundary = Callable[[int], int]


class SessionOverride(Frozen):
    """A temporary tightening of one risk parameter of one account.

    In force from ``created_at_ns`` to the end of the session in which ``expires_at_ns`` lies, so that a limit does
    not loosen in the middle of a session; to the instant itself where ``exact``. At most 24 hours lie between the
    two instants.
    """

    account: AccountName
    path: str = Field(min_length=1, max_length=200)
    value: JsonValue
    reason: str = Field(min_length=1, max_length=500)
    created_by: str = Field(min_length=1, max_length=120)
    created_at_ns: int
    expires_at_ns: int
    exact: bool = False

    @model_validator(mode="after")
    def _short(self) -> SessionOverride:
        lasts = self.expires_at_ns - self.created_at_ns
        if not 0 < lasts <= MAX_TTL_NS:
            raise ValueError(f"ttl: expected more than 0 and at most 24 h, found {lasts / 3.6e12:g} h")
        return self

    @property
    def override_id(self) -> str:
        """Name of the override; the same words at the same instant are the same override."""
        said = self.model_dump(mode="json", exclude={"value", "created_at_ns", "expires_at_ns"})
        times = [str(self.created_at_ns), str(self.expires_at_ns)]
        return content_hash({**said, "value": _canonical(self.value), "times": times})[:16]


def _canonical(value: JsonValue) -> JsonValue:
    """``value`` without floats, for hashing."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return {"float": repr(value)} if isinstance(value, float) else value


def session_boundary(day: TradingDay) -> Boundary:
    """The first instant at or after a time at which the account's trading day ends, UTC nanoseconds."""
    reset_at = dt.time.fromisoformat(day.reset_at)

    def boundary(ts_ns: int) -> int:
        local = dt.datetime.fromtimestamp(ts_ns // _SECOND_NS, ZoneInfo(day.zone)).date()
        days = (local + dt.timedelta(days=n) for n in range(-1, 3))
        ends = (reset_instant_s(one, reset_at, day.zone) * _SECOND_NS for one in days)
        return min(end for end in ends if end >= ts_ns)

    return boundary


def ends_ns(override: SessionOverride, boundary: Boundary) -> int:
    """The instant at which ``override`` stops being in force."""
    return override.expires_at_ns if override.exact else boundary(override.expires_at_ns)


def live_overrides(
    overrides: Sequence[SessionOverride], as_of_ns: int, boundary: Boundary
) -> tuple[SessionOverride, ...]:
    """The overrides in force at ``as_of_ns``, oldest first.

    Parameters
    ----------
    overrides : sequence of SessionOverride
        Of one account, in any order.
    as_of_ns : int
        UTC nanoseconds; an override created later is not known yet.
    boundary : callable
        First session boundary at or after a time (:func:`session_boundary`).
    """
    live = {o.override_id: o for o in overrides if o.created_at_ns <= as_of_ns < ends_ns(o, boundary)}
    return tuple(sorted(live.values(), key=lambda o: (o.created_at_ns, o.override_id)))


def require_room(live: Sequence[SessionOverride], account: str) -> None:
    """Refuse another override where an account has its share of them already.

    Raises
    ------
    BadInput
        ``MAX_LIVE`` overrides of the account are in force.
    """
    if len(live) >= MAX_LIVE:
        raise BadInput(
            expected=f"fewer than {MAX_LIVE} live overrides", found=str(len(live)), where=f"account {account}"
        )
