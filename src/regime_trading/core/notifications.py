"""What is worth telling people away from the screen, and in which words.

A notice is made of codes, names and ids alone: no amount, no limit, no text of a person or a file, since it leaves the
house. Whoever reads it opens the desk for the rest. Its id is the message's place in the firm, so that one that arrives
twice can be told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from regime_trading.core.events import Severity
from regime_trading.core.messages import Numbered

#: Requests that wait for nobody any more; any other status is told.
SETTLED = frozenset(
    {
        "approved",
        "executed",
        "applied",
        "done",
        "refused",
        "rejected",
        "withdrawn",
        "cancelled",
        "void",
        "expired",
    }
)
FEED_RULES = frozenset({"DS-01", "DS-02"})  #: prices that are stale or missing: the feed is dead
_RECORD = {
    "DEGRADED": (Severity.CRITICAL, "the record is degraded"),
    "KILL": (Severity.CRITICAL, "a kill switch was used"),
    "CONFIG_REFUSED": (Severity.WARNING, "a configuration was refused"),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told.

    Parameters
    ----------
    notice_id : str
        ``<firm>-<seq>``, the same however often it is sent.
    firm_id : str
    severity : Severity
    subject, body : str
    """

    notice_id: str
    firm_id: str
    severity: Severity
    subject: str
    body: str


Said = tuple[Severity, str, tuple[str, ...]]


def notice_of(message: Numbered) -> Notice | None:
    """The notice of a message of the live channel; None where it is not worth one."""
    make = _WORTH.get(message.type)
    said = make(json.loads(message.body)) if make else None
    if said is None:
        return None
    severity, what, lines = said
    about = message.account or message.firm_id
    notice_id = f"{message.firm_id}-{message.seq}"
    body = (f"{about}: {what}.", *lines, "Open the desk for the rest.", f"Notice {notice_id}")
    return Notice(
        notice_id, message.firm_id, severity, f"[{severity.value}] {about}: {what}", "\n".join(body)
    )


def _breach(data: Mapping[str, Any]) -> Said:
    if data["rule_id"] in FEED_RULES:
        return Severity.CRITICAL, "the market data have stopped", (f"Rule {data['rule_id']}",)
    return Severity.WARNING, f"rule {data['rule_id']} does not hold", (f"Breach {data['breach_id']}",)


def _mode(data: Mapping[str, Any]) -> Said:
    state, level = data["trading_state"], data["kill_level"]
    lines = (f"Mode {data['mode']}", *((f"Trading state {state}",) if state else ()))
    if level:
        return Severity.CRITICAL, f"halted, level K{level}", lines
    if state in ("FLATTEN", "LOCKED"):
        return Severity.CRITICAL, f"trading state {state}", lines
    if state == "REDUCE_ONLY":
        return Severity.WARNING, f"trading state {state}", lines
    return Severity.NOTICE, "mode or trading state changed", lines


def _proposal(data: Mapping[str, Any]) -> Said | None:
    if data["status"] in SETTLED or data["given"] >= data["required"]:
        return None
    agreed = f"{data['given']} of {data['required']} have agreed"
    return (
        Severity.NOTICE,
        f"a request ({data['kind']}) waits for somebody",
        (agreed, f"Request {data['request_id']}"),
    )


def _job(data: Mapping[str, Any]) -> Said | None:
    if data["status"] != "failed":
        return None
    return Severity.WARNING, f"a job ({data['kind']}) failed", (f"Job {data['job_id']}",)


def _entry(data: Mapping[str, Any]) -> Said | None:
    if data["event_type"] not in _RECORD:
        return None
    severity, what = _RECORD[data["event_type"]]
    return severity, what, (f"Entry {data['seq']} of {data['chain_id']}",)


_WORTH: Mapping[str, Callable[[Mapping[str, Any]], Said | None]] = {
    "constraint.breach": _breach,
    "mode.update": _mode,
    "proposal.update": _proposal,
    "run.status": _job,
    "audit.append": _entry,
}
