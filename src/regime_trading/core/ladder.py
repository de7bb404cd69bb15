"""The ladder from dry runs to money (``risk.md`` 5.4): its first gate, with what is known of each condition.

A condition of which nothing is recorded is *not known*, never met: a gate is passed only where every one of them holds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from regime_trading.core.instants import instant_text
from regime_trading.core.schemas import Mode

YEARS = 5
DAYS_OF_YEARS = YEARS * 365
#: Months of which a shorter history must have both, if it is to stand for several regimes.
HARD_MONTHS = (dt.date(2020, 3, 1), dt.date(2022, 1, 1))
GATES = ((Mode.SHADOW, "G0", "shadow"), (Mode.GATED_LIVE, "G2", "gated live"))
#: Why nobody is moved up, whatever the conditions say.
NO_FEED = "no live feed decides by itself: an account in shadow is decided only where the gate is asked"
NO_BROKER = "no broker is connected: no order can leave"


@dataclass(frozen=True, slots=True)
class RunSpan:
    """Decisions of one dry run of an account: its id, how many, and the first and the last of them, UTC nanoseconds."""

    run_id: str
    account_id: str
    decisions: int
    first_ns: int
    last_ns: int


def joined(before: RunSpan, after: RunSpan) -> RunSpan:
    """Two stretches of one run that follow each other, as one."""
    return replace(before, decisions=before.decisions + after.decisions, last_ns=after.last_ns)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a gate.

    Parameters
    ----------
    name : str
    title : str
        What must hold.
    holds : bool, optional
        None = not known.
    evidence : str
        What that rests on, in one sentence.
    at_ns : int, optional
        How old the evidence is: when it was found, UTC nanoseconds; None where there is none.
    """

    name: str
    title: str
    holds: bool | None
    evidence: str
    at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate of the ladder, towards a mode; ``missing`` says what the product itself lacks beyond its conditions."""

    name: str
    mode: Mode
    title: str
    conditions: tuple[Condition, ...]
    missing: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every condition is known to hold and nothing is missing."""
        return not self.missing and all(one.holds for one in self.conditions)

    @property
    def unmet(self) -> tuple[str, ...]:
        """Every reason not to pass it, one sentence each."""
        return (
            *self.missing,
            *(
                f"{self.name} {one.name}: {'not known' if one.holds is None else 'not met'}, {one.evidence}"
                for one in self.conditions
                if not one.holds
            ),
        )


def next_gate(mode: Mode | None, spans: Sequence[RunSpan], *, rules: int, tested_ns: int) -> Gate | None:
    """The first gate between a mode and the next; None at the top.

    Parameters
    ----------
    mode : Mode, optional
        None is taken as the lowest.
    spans : sequence of RunSpan
        Dry runs of the account.
    rules : int
        Rules that fired in the self-test of this process.
    tested_ns : int
        When that was.
    """
    order = list(Mode)
    for above, name, title in GATES:
        if mode is None or order.index(above) > order.index(mode):
            conditions = _first(spans, rules, tested_ns) if above is Mode.SHADOW else (_not_computed(),)
            missing = (NO_FEED,) if above is Mode.SHADOW else (NO_FEED, NO_BROKER)
            return Gate(name, above, title, conditions, missing)
    return None


def reasons_against(target: Mode, gate: Gate | None) -> tuple[str, ...]:
    """Why an account is not moved up to ``target`` now; the next gate comes first, and gates are not skipped."""
    if gate is None:
        return ()
    beyond = (NO_BROKER,) if target is Mode.GATED_LIVE and gate.mode is not target else ()
    return (*beyond, *gate.unmet)


def _first(spans: Sequence[RunSpan], rules: int, tested_ns: int) -> tuple[Condition, ...]:
    return (
        Condition(
            "rules",
            "every rule fires on a case made for it",
            True,
            f"{rules} rules fired in the self-test at the start of this process",
            tested_ns,
        ),
        Condition(
            "invariants",
            "the invariants I1 to I20 hold",
            None,
            "they are tests of the program, and leave no record",
        ),
        Condition(
            "replay",
            "every decision is the same when it is decided again from what is stored",
            None,
            "regime audit replay answers it; its answer is not kept",
        ),
        _history(spans),
        Condition(
            "report",
            "a report compares the account with its rules on and off",
            False,
            "a backtest compares it with simple controls, not with its own rules off",
        ),
        Condition(
            "fuzz", "no invariant breaks in a million random cases", None, "it is a test of the program"
        ),
    )


def _history(spans: Sequence[RunSpan]) -> Condition:
    """Whether any one dry run is long enough, by its longest."""
    title = f"a dry run of {YEARS} years, or one with March 2020 and 2022 in it"
    longest = max(spans, key=lambda one: (one.last_ns - one.first_ns, one.run_id), default=None)
    if longest is None:
        return Condition("history", title, False, "no dry run of it is recorded")
    enough = next((one for one in (longest, *spans) if _is_long(one)), None)
    shown = enough or longest
    evidence = (
        f"{shown.decisions} decisions of {shown.run_id} from {instant_text(shown.first_ns)[:10]} "
        f"to {instant_text(shown.last_ns)[:10]}"
    )
    return Condition("history", title, enough is not None, evidence, shown.last_ns)


def _is_long(span: RunSpan) -> bool:
    first, last = (
        dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC).date() for ns in (span.first_ns, span.last_ns)
    )
    within = all(first <= month and last >= month + dt.timedelta(days=30) for month in HARD_MONTHS)
    return (last - first).days >= DAYS_OF_YEARS or within


def _not_computed() -> Condition:
    return Condition(
        "checklist",
        "the checklist of this gate holds",
        None,
        "it is not computed: there is no feed to count on",
    )
