"""What the live channel tells: one frozen model per type of message (``pwa.md`` 8).

A message is written in the transaction of what it tells of and numbered per firm (decision 0021). It is a hint to
look, with enough to show a row at once: whatever must be exact is asked for by its id. Instants and quantities are
text, as in the record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import orjson
from pydantic import Field

from regime_trading.core.event_payloads import (
    Account,
    Hash,
    MaybeHash,
    Name,
    NsText,
    NumberText,
    Part,
    StateName,
    Strings,
    Text,
)
from regime_trading.core.rules import RULES

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Data(Part):
    """Base of what a message carries; ``type`` is its type on the wire."""

    type: ClassVar[str]


class RunStatusData(Data):
    """A run or another job moved on; ``progress`` is a fraction, null where it cannot be told."""

    type = "run.status"
    job_id: Name
    kind: Name
    status: Literal["queued", "running", "cancelling", "done", "failed", "cancelled"]
    stage: str = ""
    progress: Fraction | None = None
    run_id: str = ""
    detail: Text = ""


class RunLogData(Data):
    """One line of a run's log."""

    type = "run.log"
    job_id: Name
    line: Text


class ActionData(Data):
    """A decision was made; ``seq`` and ``chain_id`` are its entry in the record.

    ``decision_id`` is empty and ``trading_state`` null where the judge held a run that came to none; ``exits`` and
    ``entries`` count the symbols of which a position gets smaller, and larger.
    """

    type = "pm.action"
    chain_id: Name
    seq: int
    decision_id: Annotated[str, Field(max_length=140)]
    ts_event_ns: NsText
    outcome: Name
    trading_state: StateName | None
    binding_rules: Strings
    exits: int
    entries: int
    rationale: Text = ""


class ClosestRule(Part):
    """How much of its limit a rule uses; null where it is not known."""

    rule_id: str
    value: NumberText | None
    limit: NumberText | None
    outcome: str


class ConstraintData(Data):
    """The rules of an account closest to their limits, after a decision."""

    type = "constraint.update"
    decision_id: Name
    ts_event_ns: NsText
    snapshot_hash: Hash
    closest: tuple[ClosestRule, ...]


class BreachData(Data):
    """A rule of guards 1 to 3 began not to hold; ``breach_id`` is the same wherever it is told."""

    type = "constraint.breach"
    breach_id: Name
    rule_id: Name
    value: NumberText | None
    limit: NumberText | None
    rationale: Text = ""


class AcknowledgedData(Data):
    """Somebody (a pseudonym) has seen a breach; its rule goes on as before."""

    type = "constraint.acknowledged"
    breach_id: Name
    rule_id: Name
    by: Name


class ProposalData(Data):
    """A request that people must agree to changed."""

    type = "proposal.update"
    request_id: Name
    kind: Name
    status: Name
    given: int
    required: int


class CommentData(Data):
    """Somebody (a pseudonym) said something about a request; it stays as it was."""

    type = "proposal.comment"
    request_id: Name
    by: Name


class ModeData(Data):
    """The trading state, the mode or the kill level of an account changed; null is what this message does not tell."""

    type = "mode.update"
    mode: Name | None
    trading_state: StateName | None
    kill_level: Annotated[int, Field(ge=0, le=4)] | None
    reason: Text = ""


class ConfigData(Data):
    """A configuration was applied, or an engine has loaded it (``config_hash`` of an account); ``version`` is null
    where only the hash is known."""

    type = "config.loaded"
    version: int | None
    config_hash: MaybeHash = ""
    loaded: bool


class AuditData(Data):
    """An entry was added to the record that no other type tells of."""

    type = "audit.append"
    chain_id: Name
    seq: int
    event_type: Name
    rationale: Text


class ResyncData(Data):
    """Messages are missing here: look again at whatever is shown, then go on from this one.

    ``behind``: what was asked for is no longer kept. ``slow``: the reader was; what is urgent follows. ``bulk``: more
    decisions were made in one transaction than are told one by one.
    """

    type = "resync"
    reason: Literal["behind", "slow", "bulk"]


class HeartbeatData(Data):
    """The channel is alive, and everything up to its ``seq`` that the reader may see has been sent."""

    type = "hb"


DATA: tuple[type[Data], ...] = (
    RunStatusData,
    RunLogData,
    ActionData,
    ConstraintData,
    BreachData,
    AcknowledgedData,
    ProposalData,
    CommentData,
    ModeData,
    ConfigData,
    AuditData,
    ResyncData,
)  #: of the messages that are stored
TOPICS: tuple[str, ...] = tuple(data.type for data in DATA if data is not ResyncData)
URGENT = frozenset({"constraint.breach", "mode.update", "resync"})  #: never thinned out, whatever waits


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told, before it has a number.

    Parameters
    ----------
    ts_ns : int
        When it happened, UTC nanoseconds.
    data : Data
    account : str
        Full name of the account it is about; empty = the firm: every member of it may see it (entries of the record
        and configurations: whoever may read those of the whole firm).
    """

    ts_ns: int
    data: Data
    account: Account = ""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message as it is stored; ``body`` is the JSON of its data."""

    firm_id: str
    seq: int
    ts_ns: int
    type: str
    account: str
    body: str


# --- without amounts ------------------------------------------------------------------------------------------

_NO_MONEY = frozenset(spec.rule_id for spec in RULES if spec.measure.unit != "money")
_WORDS = frozenset({"rationale", "reason", "detail", "line"})
_FIGURE = re.compile(r"\b([A-Z]{2}-\d\d)\b|\d(?:[\d.,_]*\d)?")


def redacted(body: str) -> str:
    """The JSON of a message's data for somebody to whom amounts are not shown: values and limits of rules in money are
    null, and figures in sentences (but for names of rules) are dots."""
    data = orjson.loads(body)
    for row in (data, *data.get("closest", ())):
        if "rule_id" in row and row["rule_id"] not in _NO_MONEY:
            row.update(value=None, limit=None)
    for key in _WORDS & data.keys():
        data[key] = _FIGURE.sub(lambda found: found[1] or "…", data[key])
    return orjson.dumps(data).decode()
