"""How many tries are looked at: a budget per minute, then longer and longer waits. Pure; the state is a row.

A budget belongs to where tries come from (a login and an address prefix, or a prefix alone), never to a login: nobody
can lock somebody else out from afar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_SECOND_NS = 1_000_000_000
WINDOW_NS = 60 * _SECOND_NS
FORGET_NS = 3600 * _SECOND_NS  #: quiet this long, and a budget is whole again


@dataclass(frozen=True, slots=True)
class Budget:
    """``tries`` within a minute; waits after them double up to ``longest_ns``."""

    tries: int
    longest_ns: int


PER_LOGIN = Budget(5, 900 * _SECOND_NS)  #: of a login and an address prefix
PER_PREFIX = Budget(20, 300 * _SECOND_NS)  #: of an address prefix
PER_PROOF = Budget(5, 900 * _SECOND_NS)  #: of second factors of a user, or of proofs within a session


@dataclass(frozen=True, slots=True)
class Tries:
    """State of a budget.

    Parameters
    ----------
    count : int
        Tries since ``since_ns`` that were not given back.
    since_ns, last_ns : int
        Begin of the window and the last try that was let through, UTC nanoseconds.
    strikes : int
        Waits so far.
    until_ns : int
        No try is let through before.
    """

    count: int = 0
    since_ns: int = 0
    last_ns: int = 0
    strikes: int = 0
    until_ns: int = 0


@dataclass(frozen=True, slots=True)
class Admission:
    """The state after a try, and how long it has to wait; 0 = it is let through."""

    tries: Tries
    wait_ns: int = 0


def admit(tries: Tries | None, budget: Budget, now_ns: int) -> Admission:
    """Whether a try may be looked at now. It counts before its outcome is known, so that many at once do not get by."""
    if tries is None or now_ns - tries.last_ns >= FORGET_NS:
        tries = Tries(since_ns=now_ns)
    if now_ns < tries.until_ns:
        return Admission(tries, tries.until_ns - now_ns)
    if tries.strikes:  # one at a time, each twice as late
        return Admission(_waiting(replace(tries, last_ns=now_ns, count=tries.count + 1), budget, now_ns))
    if now_ns - tries.since_ns >= WINDOW_NS:
        tries = replace(tries, since_ns=now_ns, count=0)
    if tries.count >= budget.tries:
        held = _waiting(tries, budget, now_ns)
        return Admission(held, held.until_ns - now_ns)
    return Admission(replace(tries, count=tries.count + 1, last_ns=now_ns))


def given_back(tries: Tries) -> Tries:
    """The state after a try that succeeded: it does not count, nor does the wait it brought."""
    return replace(tries, count=max(tries.count - 1, 0), strikes=max(tries.strikes - 1, 0), until_ns=0)


def _waiting(tries: Tries, budget: Budget, now_ns: int) -> Tries:
    wait_ns = min(WINDOW_NS << min(tries.strikes, 20), budget.longest_ns)
    return replace(tries, strikes=tries.strikes + 1, until_ns=now_ns + wait_ns)
