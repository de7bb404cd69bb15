"""When a rule did not hold, for how long, and what ended it: one chain of entries, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regime_trading.core.instants import instant_text
from regime_trading.core.recorded import Recorded
from regime_trading.core.schemas import EventType, RuleOutcome

RULE_HELD = "the rule held again"
ATTEMPT_OVER = "the attempt ended"
_OUTCOME = b'"outcome":"'
BROKEN = frozenset({RuleOutcome.BOUND.value, RuleOutcome.UNKNOWN.value})


Where = tuple[str, int]  #: an entry by its chain and number


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who (a pseudonym) said that they had seen a breach, when, and what else."""

    by: str
    at_ns: int
    reason: str


def acknowledgements(entries: Iterable[Recorded]) -> dict[Where, Acknowledgement]:
    """By the entry of the breach that they answer; of two the first counts."""
    found: dict[Where, Acknowledgement] = {}
    for entry in sorted(entries, key=lambda one: (one.ts_event_ns, one.seq)):
        said = entry.fields()
        made = Acknowledgement(said["actor"]["id"], entry.ts_event_ns, said["reason"])
        found.setdefault((said["breach_chain"], said["breach_seq"]), made)
    return found


@dataclass(slots=True)
class Breach:
    """One breach of a rule. ``latches`` counts how often it latched meanwhile, ``held`` says whether it does now;
    ``told`` are its entries, which people acknowledge."""

    account: str
    run_id: str
    rule_id: str
    first_ns: int
    value: str | None
    limit: str | None
    chain: str
    seq: int
    trading_state: str = ""
    latches: int = 0
    held: bool = False
    ended_ns: int | None = None
    ended_by: str = ""
    released_by: str = ""
    told: list[Where] = field(default_factory=list)

    def row(self, title: str, seen: Mapping[Where, Acknowledgement]) -> dict[str, Any]:
        """The row of the register."""
        ended = self.ended_ns
        by = next((seen[where] for where in self.told if where in seen), None)
        return {
            "first_ns": self.first_ns,
            "started": instant_text(self.first_ns),
            "ended": None if ended is None else instant_text(ended),
            "duration_s": None if ended is None else (ended - self.first_ns) // 1_000_000_000,
            "account": self.account,
            "run": self.run_id,
            "rule_id": self.rule_id,
            "rule": title,
            "value": self.value,
            "limit": self.limit,
            "trading_state": self.trading_state,
            "latches": self.latches,
            "ended_by": self.ended_by,
            "released_by": self.released_by,
            "acknowledged_by": "" if by is None else by.by,
            "acknowledged": None if by is None else instant_text(by.at_ns),
            "chain": self.chain,
            "seq": self.seq,
        }


def breach_rows(entries: Iterable[Recorded]) -> list[Breach]:
    """Breaches of one chain, in the order in which they began.

    Entries of a bar come in causal order: releases, the decision, latches, breaches. A rule whose latch is released
    ends its breach at the first decision, that of the same bar included, at which it holds.
    """
    rows: list[Breach] = []
    book: dict[str, Breach] = {}
    for entry in entries:
        if entry.event_type == EventType.DECISION:
            _settle(book, entry)
        elif entry.event_type == EventType.ATTEMPT:
            _end_attempt(book)
        elif entry.event_type == EventType.UNLOCK:
            _release(book, entry)
        else:
            said = entry.fields()
            rule_id = said["rule_id"]
            if rule_id not in book:
                book[rule_id] = _opened(entry, said)
                rows.append(book[rule_id])
            breach = book[rule_id]
            breach.told.append((entry.chain_id, entry.seq))
            if entry.event_type == EventType.LATCH:
                breach.latches, breach.held = breach.latches + 1, True
                breach.trading_state = said["trading_state"]
    return rows


def _opened(entry: Recorded, said: dict[str, Any]) -> Breach:
    return Breach(
        account=entry.account,
        run_id=said["run_id"],
        rule_id=said["rule_id"],
        first_ns=entry.ts_event_ns,
        value=said["value"],
        limit=said["limit"],
        chain=entry.chain_id,
        seq=entry.seq,
    )


def _settle(book: dict[str, Breach], entry: Recorded) -> None:
    """End the breaches of rules that hold at this decision and hold nobody by a latch."""
    for rule_id in [rule_id for rule_id, breach in book.items() if not breach.held]:
        if outcome_in(entry.body, rule_id) not in (None, *BROKEN):
            breach = book.pop(rule_id)
            breach.ended_ns, breach.ended_by = entry.ts_event_ns, breach.ended_by or RULE_HELD


def outcome_in(body: bytes, rule_id: str) -> str | None:
    """What one rule said in the canonical bytes of a decision; None where it said nothing.

    Read off the bytes, because a decision has the words of every rule: keys are sorted, so ``outcome`` is before
    ``rule_id`` in each row, and within a text no quote is without its backslash.
    """
    start = body.find(b'"rules":[')
    at = body.find(b'"rule_id":"%s"' % rule_id.encode(), start)
    if start < 0 or at < 0:
        return None
    first = body.rfind(_OUTCOME, start, at) + len(_OUTCOME)
    return body[first : body.index(b'"', first)].decode()


def _release(book: dict[str, Breach], entry: Recorded) -> None:
    said = entry.fields()
    breach = book.get(said["rule_id"])
    if breach is not None:
        actor = said["actor"]
        breach.held = False
        breach.released_by = f"{actor['type']} {actor['id']}"
        breach.ended_by = f"latch released ({said['release']})"


def _end_attempt(book: dict[str, Breach]) -> None:
    """An attempt ends with its latches; the next one begins without any."""
    for breach in book.values():
        if breach.held:
            breach.held, breach.ended_by = False, ATTEMPT_OVER
