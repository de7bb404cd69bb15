"""Writing entries outside the engine's loop: what fits, how grave a kind is, and the sentence made of its codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import orjson
from pydantic import ValidationError

from regime_trading.core import event_payloads as p
from regime_trading.core.audit import SCHEMA_NAME, SCHEMA_VERSION
from regime_trading.core.errors import BadInput
from regime_trading.core.event_payloads import PAYLOADS, Payload
from regime_trading.core.schemas import EventType

_SHOWN = 12  #: digits of a hash in a sentence


class Severity(StrEnum):
    """How grave an entry is."""

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


#: Not stored: the kind of an entry alone says it.
SEVERITY: Mapping[EventType, Severity] = {
    EventType.DECISION: Severity.INFO,
    EventType.RULE_BREACH: Severity.WARNING,
    EventType.BREACH_ACKNOWLEDGED: Severity.NOTICE,
    EventType.MODE_CHANGE: Severity.WARNING,
    EventType.LATCH: Severity.CRITICAL,
    EventType.UNLOCK: Severity.NOTICE,
    EventType.FILL: Severity.INFO,
    EventType.CASH_FLOW: Severity.NOTICE,
    EventType.ATTEMPT: Severity.NOTICE,
    EventType.RUN: Severity.INFO,
    EventType.PROPOSAL: Severity.INFO,
    EventType.CONFIG_ACCEPTED: Severity.NOTICE,
    EventType.CONFIG_REFUSED: Severity.WARNING,
    EventType.CONFIG_CHANGED: Severity.NOTICE,
    EventType.OVERRIDE: Severity.NOTICE,
    EventType.APPROVAL_REQUESTED: Severity.NOTICE,
    EventType.APPROVAL_GIVEN: Severity.NOTICE,
    EventType.APPROVAL_REFUSED: Severity.NOTICE,
    EventType.APPROVAL_VOID: Severity.NOTICE,
    EventType.APPROVAL_COMMENTED: Severity.INFO,
    EventType.COMMAND: Severity.INFO,
    EventType.ORDER_SENT: Severity.INFO,
    EventType.ORDER_ACKNOWLEDGED: Severity.INFO,
    EventType.ORDER_CANCELLED: Severity.NOTICE,
    EventType.ORDER_REJECTED: Severity.WARNING,
    EventType.RECON: Severity.INFO,
    EventType.KILL: Severity.CRITICAL,
    EventType.LOGIN: Severity.INFO,
    EventType.ACCESS: Severity.NOTICE,
    EventType.DENIED: Severity.WARNING,
    EventType.EXPORT: Severity.NOTICE,
    EventType.KEY: Severity.NOTICE,
    EventType.PURGE: Severity.WARNING,
    EventType.HEARTBEAT: Severity.INFO,
    EventType.DEGRADED: Severity.CRITICAL,
}


def payload_of(payload: Payload) -> dict[str, Any]:
    """The payload as plain values, checked once more: a model made without validation is refused.

    Raises
    ------
    BadInput
        A payload that does not fit its model.
    """
    return checked_payload(payload.kind, payload.model_dump(mode="json", warnings=False))


def checked_payload(kind: EventType, plain: Mapping[str, Any]) -> dict[str, Any]:
    """``plain`` if it fits a payload model of ``kind``; what every writer outside the engine's loop goes through.

    Raises
    ------
    BadInput
        It fits none.
    """
    data, errors = orjson.dumps(plain), list[ValidationError]()
    for form in (payload for payload in PAYLOADS if payload.kind is kind):
        try:
            form.model_validate_json(data)
            return dict(plain)
        except ValidationError as error:
            errors.append(error)
    raise refusal(errors[0], f"payload of {kind.value}") from errors[0]


def refusal(error: ValidationError, where: str) -> BadInput:
    """What does not fit, as one sentence."""
    detail = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in detail["loc"])
    return BadInput(
        expected=f"{SCHEMA_NAME} of version {SCHEMA_VERSION} ({detail['msg']})",
        found=repr(detail["input"])[:120],
        where=f"{where} {place}".strip(),
    )


# --- sentences ----------------------------------------------------------------------------------------------


def rationale_of(payload: Payload) -> str:
    """One sentence made of codes, names and numbers alone; no text of a person gets into it.

    Entries of the engine's loop carry the sentence it wrote (``engine.record``).

    Raises
    ------
    BadInput
        A payload of the engine's loop.
    """
    if type(payload) not in _SENTENCES:
        raise BadInput(
            expected="a payload outside the engine's loop",
            found=type(payload).__name__,
            where=payload.kind.value,
        )
    return _SENTENCES[type(payload)](payload)


def _accepted(a: Any) -> str:
    if not a.before_hash:
        return f"{a.account}: configuration {_short(a.after_hash)} accepted."
    ways = ", ".join(
        f"{n} {way}"
        for way in ("loosens", "tightens", "neutral")
        if (n := sum(change.direction == way for change in a.changes))
    )
    changed = f"{_short(a.before_hash)} to {_short(a.after_hash)}"
    return f"{a.account}: configuration {changed} accepted; {ways or 'no key changed'}."


def _approval(verb: str) -> Callable[[Any], str]:
    return lambda a: (
        f"Request {a.request_id} ({a.request_kind}) over {_short(a.payload_hash)} {verb}; "
        f"{len(a.by)} of {a.required} agreed."
    )


def _killed(k: Any) -> str:
    when = "not in effect yet" if k.effective_at_ns is None else "in effect"
    drill = "Drill of " if k.drill else ""
    return f"{drill}{k.level} over {k.scope}, {when}; {k.cancelled_orders} orders cancelled."


def _access(a: Any) -> str:
    role = f" {a.role}" if a.role else ""
    over = "" if a.accounts is None else f" over {', '.join(a.accounts)}"
    return f"{a.subject}: {a.action.replace('_', ' ')}{role}{over}{f' ({a.detail})' if a.detail else ''}."


def _sought(what: str) -> str:
    return f": no such {what}" if what else ""


def _times(count: int) -> str:
    return "" if count == 1 else f", {count} times"


def _short(digest: str) -> str:
    return digest[:_SHOWN]


def _quantity(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"


_SENTENCES: Mapping[type[Payload], Callable[[Any], str]] = {
    p.RunStatus: lambda r: f"{r.run_kind} {r.status}.",
    p.ProposalMoved: lambda x: (
        f"Proposal {x.proposal_id}, {len(x.weights)} weights ({_short(x.content_hash)}), "
        f"{x.action.replace('_', ' ')}."
    ),
    p.ConfigAccepted: _accepted,
    p.ConfigChanged: _accepted,
    p.ConfigRefused: lambda r: f"Configuration refused: {len(r.findings)} findings.",
    p.Overridden: lambda o: f"{o.account}: {o.path} tightened by override {o.override_id}.",
    p.ApprovalRequested: _approval("requested"),
    p.ApprovalGiven: _approval("approved"),
    p.ApprovalRefused: _approval("refused"),
    p.ApprovalVoid: _approval("void"),
    p.ApprovalCommented: _approval("commented"),
    p.BreachAcknowledged: lambda a: f"{a.account}: breach {a.breach_seq} of {a.breach_chain} acknowledged.",
    p.CommandGiven: lambda c: f"Command /{c.verb} {c.object}".rstrip() + f" ({c.klass}) {c.outcome}.",
    p.OrderSent: lambda o: f"{o.intent} {_quantity(o.qty)} {o.symbol} taken by the broker.",
    p.OrderAcknowledged: lambda o: f"Order in {o.symbol} confirmed by the venue.",
    p.OrderCancelled: lambda o: f"Order in {o.symbol} ended; {_quantity(o.qty_open)} was not filled.",
    p.OrderRejected: lambda o: f"Order in {o.symbol} rejected.",
    p.Reconciled: lambda r: f"Reconciliation {r.status}; {len(r.diff)} differences.",
    p.Killed: _killed,
    p.HaltEnded: lambda h: f"{h.level} over {h.scope} ended; what else holds an account holds it on.",
    p.LoggedIn: lambda x: f"Login by {x.method} {x.outcome}{_times(x.count)}.",
    p.AccessChanged: _access,
    p.Denied: lambda d: f"{d.permission or 'Request'} denied{_sought(d.what)}{_times(d.count)}.",
    p.Exported: lambda e: f"Export of {len(e.files)} files, {_short(e.sha256)}.",
    p.KeyAct: lambda k: f"Key {_short(k.key_hash)} {k.action}.",
    p.Purged: lambda x: f"Entries purged under root {_short(x.root)}.",
    p.Beat: lambda b: f"{b.component} is alive.",
    p.Degraded: lambda d: f"Decided while store {d.store} was down: {d.outcome}, only what reduces.",
}
