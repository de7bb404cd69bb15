"""Configurations over time: the last good ones, how every account stands, and session overrides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from regime_trading.core.config_status import BrokenFirm, Standing, standing
from regime_trading.core.errors import BadInput
from regime_trading.core.overrides import (
    SessionOverride,
    live_overrides,
    require_room,
    session_boundary,
)
from regime_trading.core.ports import LastGoodConfigs, Overrides
from regime_trading.core.risk_layers import expected_found
from regime_trading.core.trader_profile import TraderProfile, check_override, with_overrides

LOCAL = "service:local"
_TTL = re.compile(r"([1-9]\d{0,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def take_over(
    profiles: Sequence[TraderProfile],
    broken: Iterable[BrokenFirm],
    store: Callable[[str], LastGoodConfigs],
    *,
    now_ns: int,
    starting: bool = True,
) -> dict[str, Standing]:
    """How every account stands after the files were read; what was accepted is remembered.

    Parameters
    ----------
    profiles : sequence of TraderProfile
        Accounts whose configuration was accepted.
    broken : iterable of BrokenFirm
        Firms that were refused; their accounts keep what was accepted last.
    store : callable
        Last accepted configurations of a firm, by its id.
    now_ns : int
        The present, UTC nanoseconds.
    starting : bool
        The process has just started; False for a reload.
    """
    found = {p.account: standing(p.account, p, None, (), now_ns=now_ns, starting=starting) for p in profiles}
    for firm in sorted({p.firm_id for p in profiles}):
        store(firm).accept([p for p in profiles if p.firm_id == firm], now_ns)
    for one in broken:
        known = store(one.firm_id) if re.fullmatch(r"[a-z0-9-]{1,40}", one.firm_id) else None
        earlier = () if known is None else known.accounts()
        for account in dict.fromkeys((*one.accounts, *earlier)):
            last = None if known is None else known.get(account)
            found[account] = standing(account, None, last, one.findings, now_ns=now_ns, starting=starting)
    return found


# --- session overrides --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OverrideAsk:
    """What a person asks for; ``value`` as typed, ``ttl`` such as ``4h``, ``30m`` or ``90s``."""

    path: str
    value: str
    ttl: str
    reason: str
    exact: bool = False


def make_override(
    profile: TraderProfile, ask: OverrideAsk, store: Overrides, *, now_ns: int, actor: str = LOCAL
) -> SessionOverride:
    """Store a session override that tightens what is in force, earlier overrides included.

    Raises
    ------
    InvalidConfig
        It is looser than what is in force (both layers are named), or names no risk parameter.
    BadInput
        No reason, a time to live that is none or longer than 24 hours, or too many live overrides.
    """
    override = _override(profile, ask, now_ns, actor)

    def check(stored: tuple[SessionOverride, ...]) -> None:
        live = live_overrides(stored, now_ns, session_boundary(profile.trading_day))
        require_room(live, profile.account)
        check_override(with_overrides(profile, stored, now_ns), override)

    store.add(override, check)
    return override


def _override(profile: TraderProfile, ask: OverrideAsk, now_ns: int, actor: str) -> SessionOverride:
    try:
        return SessionOverride(
            account=profile.account,
            path=ask.path,
            value=_value(ask.value),
            reason=ask.reason.strip(),
            created_by=actor,
            created_at_ns=now_ns,
            expires_at_ns=now_ns + ttl_ns(ask.ttl),
            exact=ask.exact,
        )
    except ValidationError as error:
        detail = error.errors()[0]
        expected, found = expected_found(detail["msg"], detail["input"])
        where = ".".join(map(str, detail["loc"])) or "--ttl"
        raise BadInput(expected=expected.removeprefix("ttl: "), found=found, where=where) from error


def ttl_ns(text: str) -> int:
    """Nanoseconds of ``4h``, ``30m`` or ``90s``.

    Raises
    ------
    BadInput
        Any other text.
    """
    found = _TTL.fullmatch(text)
    if found is None:
        raise BadInput(expected="a time to live such as 4h, 30m or 90s", found=repr(text), where="--ttl")
    return int(found[1]) * _SECONDS[found[2]] * 1_000_000_000


def _value(text: str) -> JsonValue:
    """Lists, mappings, true and false are JSON; everything else is text, numbers included (exact decimals)."""
    try:
        found: JsonValue = json.loads(text, parse_float=str, parse_int=str)
    except ValueError:
        return text
    return found if isinstance(found, bool | list | dict) else text
