"""The next gate of every account (``/live``): its conditions, what they rest on, how old that is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from regime_trading.core.ladder import Condition, Gate, RunSpan, next_gate
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import Mode
from regime_trading.services.views.base import Asker, Instant, Seconds, Shown, instant
from regime_trading.services.views.sources import FirmSources


class ConditionShown(Shown):
    """One condition of a gate."""

    name: str
    title: str
    state: Literal["met", "not_met", "unknown"]
    evidence: str
    at: Instant | None = Field(
        description="when the evidence was found, in its own time; null = there is none"
    )
    age_s: Seconds | None


class GateShown(Shown):
    """One gate of the ladder from dry runs to money."""

    name: str = Field(examples=["G0"])
    mode: Mode
    title: str
    state: Literal["passed", "closed"]
    detail: str = Field(description="what the product itself lacks; empty = nothing")
    conditions: tuple[ConditionShown, ...]


def gate_of(spans: Iterable[RunSpan], account: str, mode: Mode | None, tested_ns: int) -> Gate | None:
    """The next gate of an account, from the dry runs of its firm."""
    own = [one for one in spans if one.account_id == account.partition("/")[2]]
    return next_gate(mode, own, rules=len(RULE_IDS), tested_ns=tested_ns)


def gate(sources: FirmSources, account: str, mode: Mode | None, tested_ns: int) -> Gate | None:
    """The next gate of one account."""
    return gate_of(sources.record.spans(), account, mode, tested_ns)


def shown(gate: Gate | None, asker: Asker) -> GateShown | None:
    """A gate as it is shown; None at the top."""
    if gate is None:
        return None
    return GateShown(
        name=gate.name,
        mode=gate.mode,
        title=gate.title,
        state="passed" if gate.passed else "closed",
        detail="; ".join(gate.missing),
        conditions=tuple(_condition(one, asker) for one in gate.conditions),
    )


def _condition(one: Condition, asker: Asker) -> ConditionShown:
    return ConditionShown(
        name=one.name,
        title=one.title,
        state="unknown" if one.holds is None else "met" if one.holds else "not_met",
        evidence=one.evidence,
        at=instant(one.at_ns),
        age_s=None if one.at_ns is None else asker.age_s(one.at_ns),
    )
