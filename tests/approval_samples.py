"""Requests and people for the tests of approvals and commands."""

from __future__ import annotations

from typing import Any

from regime_trading.core.access import Caller, Grant, Principal, Role
from regime_trading.core.approvals import Approval, ApprovalKind, Request, Required, Seen, seen, ttl_ns

T = 1_795_680_000_000_000_000  # 2026-11-26T08:00:00Z
MINUTE = 60_000_000_000
H = "a" * 64
REASON = "because of a test"


def person(name: str, role: Role = Role.PM, at_ns: int = T, **more: Any) -> Principal:
    """Somebody in firm alpha who has just proved who they are, in a session of their own."""
    known: dict[str, Any] = {"second_factor": True, "stepped_up_ns": at_ns, "session_id": f"s-{name}"} | more
    accounts = known.pop("accounts", None)
    return Principal(name, (Grant("alpha", role, accounts),), **known)


def token(name: str, role: Role = Role.PM) -> Principal:
    """A program that acts for somebody."""
    return person(name, role, caller=Caller.TOKEN, session_id=f"t-{name}")


def actor(name: str) -> str:
    """The pseudonym of a person in these tests."""
    letters = "".join(letter for letter in name.lower() if letter.isalpha())
    return f"u-{letters:a<16}"[:18]


def request(request_id: str = "rq-1", kind: ApprovalKind = ApprovalKind.CONFIG, **more: Any) -> Request:
    """Mary asks for a loosening of alpha/main."""
    said: dict[str, Any] = {
        "firm_id": "alpha",
        "account": "alpha/main",
        "klass": "loosen",
        "loosens": True,
        "command": "/resume account account:alpha/main",
        "summary_md": "**What changes**",
        "effects": ("It trades again.",),
        "effects_hash": H,
        "base_version": "7",
        "config_hash": "b" * 64,
        "code_version": "1",
        "maker": "mary",
        "maker_session": "s-mary",
        "maker_actor": actor("mary"),
        "reason": REASON,
        "created_ns": T,
        "expires_ns": T + ttl_ns(kind),
        "required": Required(),
    }
    return Request(request_id=request_id, kind=kind, **(said | more))


def approval(request_id: str = "rq-1", **more: Any) -> Approval:
    """The same, as it is stored first."""
    return Approval(request=request(request_id, **more))


def bound(found: Approval, **changed: Any) -> Seen:
    """What it was bound to, but for what has changed."""
    return seen(found.request).model_copy(update=changed)
