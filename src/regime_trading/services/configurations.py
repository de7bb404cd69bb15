"""Configurations over time: the last good ones, how every account stands, and session overrides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from regime_trading.core.actors import plain_text
from regime_trading.core.config_holds import HOLDER
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
from regime_trading.services.acts import Acts, place_of_firm, record_acts
from regime_trading.services.config_acts import accept, override_act, record_refusal

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
    acts: Acts | None = None,
) -> dict[str, Standing]:
    """How every account stands after the files were read; what was accepted is remembered.

    What is accepted for the first time or with a change, and what is refused, gets into the record of its firm before
    this returns, each refusal once until something is accepted again.

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
    acts : Acts, optional
        What it is recorded through; None = not at all.

    Raises
    ------
    NotDurable
        It could not be remembered or recorded.
    """
    found = {p.account: standing(p.account, p, None, (), now_ns=now_ns, starting=starting) for p in profiles}
    for firm in sorted({p.firm_id for p in profiles}):
        accept(firm, [p for p in profiles if p.firm_id == firm], store(firm), now_ns, acts)
    for one in broken:
        if acts is not None:
            record_refusal(one, acts)
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
    profile: TraderProfile,
    ask: OverrideAsk,
    store: Overrides,
    *,
    now_ns: int,
    actor: str = LOCAL,
    acts: Acts | None = None,
) -> SessionOverride:
    """Store a session override that tightens what is in force, earlier overrides included.

    Its entry in the record of the firm is durable in the same transaction (``acts`` None = none is written).

    Raises
    ------
    InvalidConfig
        It is looser than what is in force (both layers are named), or names no risk parameter.
    BadInput
        No reason or one that may not stay for ever, a time to live that is none or longer than 24 hours, or too many
        live overrides.
    NotDurable
        It could not be stored or recorded; it is not in force.
    """
    override = _override(profile, ask, now_ns, actor)

    def check(stored: tuple[SessionOverride, ...]) -> None:
        live = live_overrides(stored, now_ns, session_boundary(profile.trading_day))
        require_room([one for one in live if one.created_by != HOLDER], profile.account)
        check_override(with_overrides(profile, stored, now_ns), override)

    if acts is None:
        store.add(override, check)
    else:
        act = override_act(override, profile)
        record_acts(
            acts,
            place_of_firm(profile.firm_id),
            (act,),
            lambda events: store.add(override, check, events),
        )
    return override


def _override(profile: TraderProfile, ask: OverrideAsk, now_ns: int, actor: str) -> SessionOverride:
    try:
        return SessionOverride(
            account=profile.account,
            path=ask.path,
            value=_value(ask.value),
            reason=plain_text(ask.reason, "--reason"),
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
