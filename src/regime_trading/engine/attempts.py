"""Evaluation accounts in a history: consecutive attempts with fresh capital, each with its own result.

An attempt passes when equity reaches the profit target after the minimum of trading days; it fails when a loss
circuit locks the account beyond the trading day, and expires when its sessions run out. A result
closes the book at the bar's own price through the fill model; the next attempt starts at the next bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.rules import LATCHING_RULES, RULE_BY_ID, Guard, Release
from regime_trading.core.traders import Lifecycle
from regime_trading.guards.snapshot import States


@dataclass(frozen=True, slots=True)
class AttemptTerms:
    """Terms of all accounts; accounts without a lifecycle have ``on`` False. Float64, int64, bool [A]."""

    on: B1
    profit_target: F8
    min_trading_days: I8
    max_sessions: I8


@dataclass(frozen=True, slots=True)
class AttemptClock:
    """Where each account's current attempt stands; int64 [A]. ``number`` counts from 1."""

    number: I8
    first_bar: I8
    trading_days: I8
    last_trading_day: I8


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One finished (or still open) attempt."""

    account: int
    number: int
    first_bar: int
    last_bar: int
    result: str  #: passed, failed, expired, open
    rule_id: str  #: the rule that failed it, else empty
    pnl: float
    trading_days: int

    @property
    def told(self) -> str:
        """How it ended, and by which rule."""
        return f"{self.result} by {self.rule_id}" if self.rule_id else self.result


def attempt_terms(lifecycles: Sequence[Lifecycle | None]) -> AttemptTerms:
    """Terms as arrays; no target is +inf, no end is the largest integer."""
    never = np.iinfo(np.int64).max
    return AttemptTerms(
        on=np.array([life is not None for life in lifecycles], dtype=np.bool_),
        profit_target=np.array(
            [
                np.inf if life is None or life.profit_target_pct is None else float(life.profit_target_pct)
                for life in lifecycles
            ]
        ),
        min_trading_days=np.array(
            [0 if life is None else life.min_trading_days for life in lifecycles], dtype=np.int64
        ),
        max_sessions=np.array(
            [
                never if life is None or life.max_sessions is None else life.max_sessions
                for life in lifecycles
            ],
            dtype=np.int64,
        ),
    )


def first_attempts(n_accounts: int) -> AttemptClock:
    """Every account at the start of attempt 1."""
    zeros = np.zeros(n_accounts, dtype=np.int64)
    return AttemptClock(zeros + 1, zeros.copy(), zeros.copy(), zeros - 1)


def count_trading_day(clock: AttemptClock, traded: B1, day_id: I8) -> AttemptClock:
    """A trading day counts once, on the first fill in it."""
    new = traded & (day_id > clock.last_trading_day)
    return AttemptClock(
        clock.number,
        clock.first_bar,
        clock.trading_days + new,
        np.where(new, day_id, clock.last_trading_day),
    )


_CIRCUITS = np.array(
    [RULE_BY_ID[rule_id].guard is Guard.DRAWDOWN and rule_id != "LD-15" for rule_id in LATCHING_RULES]
)


def ended(
    terms: AttemptTerms, clock: AttemptClock, states: States, equity: F8, sessions: I8
) -> list[tuple[int, str, str]]:
    """Accounts whose attempt ends now: (account, result, rule). Failing comes before passing.

    ``sessions`` int64 [A]: sessions the attempt has lasted, this one included. A circuit of guard 3 that waits for
    people fails an attempt; a breaker of another guard does not, nor does a person's halt.
    """
    over: list[tuple[int, str, str]] = []
    for account in np.flatnonzero(terms.on):
        a = int(account)
        locked = np.flatnonzero((states.latch_kind[a] >= Release.MANUAL) & _CIRCUITS)
        if len(locked):
            strictest = locked[np.argmax(states.latch_kind[a][locked])]
            over.append((a, "failed", LATCHING_RULES[int(strictest)]))
        elif (
            equity[a] >= states.initial_capital[a] * (1.0 + terms.profit_target[a])
            and clock.trading_days[a] >= terms.min_trading_days[a]
        ):
            over.append((a, "passed", ""))
        elif sessions[a] >= terms.max_sessions[a]:
            over.append((a, "expired", ""))
    return over


def next_attempts(clock: AttemptClock, fresh: B1, next_bar: int) -> AttemptClock:
    """The marked accounts start another attempt at ``next_bar``."""
    return AttemptClock(
        clock.number + fresh,
        np.where(fresh, next_bar, clock.first_bar),
        np.where(fresh, 0, clock.trading_days),
        np.where(fresh, -1, clock.last_trading_day),
    )
