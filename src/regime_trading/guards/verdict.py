"""What a rule says: its constraint, its number beside its limit, and the reason codes."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.guards.constraint import Constraint, holds
from regime_trading.guards.snapshot import View

PASS, BOUND, UNKNOWN, NOT_EVALUABLE, OFF = range(5)


@dataclass(frozen=True, slots=True)
class LatchRequest:
    """Lock the marked accounts: ``kind`` is a ``Release``, ``state`` a ``TradingState``; int8 [A].

    ``until_ns`` int64 [A] says when a ``TIMED`` latch ends. ``third_trip`` int8 [A]: the release that the third
    firing of one trading day asks for instead (−1 = the same as ever).
    """

    fire: B1
    state: I1
    kind: I1
    until_ns: I8 | None = None
    third_trip: I1 | None = None


@dataclass(frozen=True, slots=True)
class TimerRequest:
    """Hold the marked assets until a time: bool and int64 [A, N]."""

    fire: B1
    until_ns: I8


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's answer for all accounts.

    Parameters
    ----------
    constraint : Constraint
    outcome : int8 [A]
        PASS, BOUND, UNKNOWN (an input is missing), NOT_EVALUABLE, OFF.
    value, limit : float64 [A]
        Worst measured value and its limit in the rule's own unit; NaN = none.
    reasons : int64 [A]
        Bit ``b`` set = ``codes[b]`` holds for the account.
    codes : tuple of str
    latch : LatchRequest, optional
    timer : TimerRequest, optional
    """

    constraint: Constraint
    outcome: I1
    value: F8
    limit: F8
    reasons: I8
    codes: tuple[str, ...]
    latch: LatchRequest | None = None
    timer: TimerRequest | None = None


def verdict(
    view: View,
    constraint: Constraint,
    *,
    bound: B1,
    unknown: B1 | None = None,
    off: B1 | None = None,
    value: F8 | None = None,
    limit: F8 | None = None,
    codes: dict[str, B1] | None = None,
    latch: LatchRequest | None = None,
    timer: TimerRequest | None = None,
) -> Verdict:
    """Build a verdict; masks over assets count for an account when they hold for any asset."""
    outcome = np.zeros(view.n_accounts, dtype=np.int8)  # PASS
    reasons = np.zeros(view.n_accounts, dtype=np.int64)
    for mask, says in ((bound, BOUND), (unknown, UNKNOWN), (off, OFF)):
        if mask is not None and holds(mask):
            outcome[any_asset(mask)] = says
    for bit, mask in enumerate((codes or {}).values()):
        if holds(mask):
            reasons |= np.left_shift(any_asset(mask), bit, dtype=np.int64)
    return Verdict(
        constraint=constraint,
        outcome=outcome,
        value=view.blank if value is None else value,
        limit=view.blank if limit is None else limit,
        reasons=reasons,
        codes=tuple(codes or ()),
        latch=latch,
        timer=timer,
    )


def any_asset(mask: B1) -> B1:
    """Does it hold for any asset of the account? bool [A]; a mask over accounts is returned as it is."""
    return mask if mask.ndim == 1 else _any_in_row(mask)


@numba.njit(cache=True)
def _any_in_row(mask: B1) -> B1:  # pragma: no cover
    out = np.zeros(len(mask), dtype=np.bool_)
    for r in range(len(mask)):
        for i in range(mask.shape[1]):
            if mask[r, i]:
                out[r] = True
                break
    return out


def worst(values: F8) -> F8:
    """Largest known value of each account over its assets, NaN where none is known; float64 [A]."""
    top: F8 = np.fmax.reduce(values, axis=1, initial=-np.inf)
    top[top == -np.inf] = np.nan
    return top


def least(values: F8) -> F8:
    """Smallest known value of each account over its assets, NaN where none is known; float64 [A]."""
    low: F8 = np.fmin.reduce(values, axis=1, initial=np.inf)
    low[low == np.inf] = np.nan
    return low
