"""From the legs of one account's step plan to the orders that leave: slices, limit prices, the order rate.

A pure function over one account's arrays. Exits leave before entries, symbols ascending, and every exit leaves; entries
beyond the order rate, or without the limit price that a collar asks for, wait for the next cycle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from regime_trading.core.numbers import F8, I8, NANO

MOST_SLICES = 1000
_CLOSE = 1e-9

Intent = Literal["exit", "entry"]


@dataclass(frozen=True, slots=True)
class ChildOrder:
    """One order.

    Parameters
    ----------
    leg, slice : int
        The leg it is part of (exits first, from 1 on) and its number within the leg (from 1 on).
    symbol : int
        Column of the asset.
    intent : str
        ``exit`` or ``entry``.
    qty : float
        Signed.
    limit_price : float or None
        None = the venue's own order type without a limit: nothing collars it.
    """

    leg: int
    slice: int
    symbol: int
    intent: Intent
    qty: float
    limit_price: float | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What bounds the orders of one account.

    Parameters
    ----------
    equity : float
        Account currency; NaN = unknown.
    unit_value, lot, tick : float64 [N]
        Account-currency value of one unit (NaN = unknown); smallest quantity (0 = divisible); price step (0 = unknown).
    most_entry, most_exit : float64 [N]
        Largest order, nanoweights (``Constraint.slice_entry``, ``slice_exit``); +inf = any.
    reference, collar : float64 [N]
        Price the collar is around, quote currency (NaN = unknown), and its width as a fraction (``Constraint.collar``);
        +inf = no collar.
    attempt : int64 [N]
        How often the exit was sent before and did not fill.
    ladder_max : float
        How many times wider an exit's collar may get (XL-02 ``exit_ladder_max``).
    orders_left : float
        How many orders the rate leaves (``traffic.orders_left``); +inf = any.
    """

    equity: float
    unit_value: F8
    lot: F8
    tick: F8
    most_entry: F8
    most_exit: F8
    reference: F8
    collar: F8
    attempt: I8
    ladder_max: float
    orders_left: float


def slices(exit_qty: F8, entry_qty: F8, terms: Terms) -> tuple[ChildOrder, ...]:
    """Child orders of one account, in the order in which they leave.

    Parameters
    ----------
    exit_qty, entry_qty : float64 [N]
        Closing and opening legs of the step plan, signed.
    terms : Terms

    Notes
    -----
    A slice is the largest whole number of lots within its maximum, the remainder comes last. Where one lot is more
    than the maximum, an exit leaves lot by lot and an entry not at all (XL-01 blocks it). A leg of more than
    ``MOST_SLICES`` slices goes on in the next cycle.
    """
    exits = list(_orders("exit", exit_qty, 1, terms))
    entries = _orders("entry", entry_qty, 1 + int(np.count_nonzero(exit_qty)), terms)
    left = max(terms.orders_left - len(exits), 0.0)
    sent = [order for _, order in zip(_upto(left), entries, strict=False)]
    return (*exits, *sent)


def _upto(count: float) -> Iterator[int]:
    """That many numbers, rounded down; without end where it is infinite."""
    n = 0
    while n + 1 <= count:
        yield n
        n += 1


def _orders(intent: Intent, legs: F8, first_leg: int, terms: Terms) -> Iterator[ChildOrder]:
    most = most_units(terms.most_exit if intent == "exit" else terms.most_entry, terms, intent)
    prices = limit_prices(legs, terms, intent)
    for leg, i in enumerate(np.flatnonzero(legs).tolist(), start=first_leg):
        price = float(prices[i])
        priced = math.isfinite(price)
        if intent == "entry" and not priced and math.isfinite(terms.collar[i]):
            continue
        for number, size in enumerate(
            _cut(abs(float(legs[i])), float(most[i]), float(terms.lot[i])), start=1
        ):
            yield ChildOrder(
                leg=leg,
                slice=number,
                symbol=i,
                intent=intent,
                qty=math.copysign(size, float(legs[i])),
                limit_price=price if priced else None,
            )


def most_units(most: F8, terms: Terms, intent: Intent) -> F8:
    """Largest order in units, whole lots toward zero, float64 [N]; an exit is at least a lot.

    Where equity or the value of a unit is unknown nothing opens, and an exit is not cut.
    """
    equity = terms.equity if terms.equity > 0 else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        units = most / NANO * equity / terms.unit_value
        lots = np.where(terms.lot > 0, np.trunc(units / terms.lot * (1.0 + 1e-12)) * terms.lot, units)
    lots = np.where(np.isinf(most), np.inf, lots)
    if intent == "entry":
        return np.where(lots > 0, lots, 0.0)  # NaN too
    least = np.where((terms.lot > 0) & np.isfinite(lots), terms.lot, np.inf)
    return np.where(lots > 0, lots, least)


def _cut(size: float, most: float, lot: float) -> Iterator[float]:
    """``size`` in parts of ``most``, the remainder last; parts are whole lots where ``size`` is."""
    if most <= 0:
        return
    if math.isinf(most):
        yield size
        return
    count = min(math.ceil(size / most * (1.0 - 1e-12)), MOST_SLICES + 1)
    for _ in range(count - 1):
        yield most
    if count <= MOST_SLICES:
        yield _whole(size - (count - 1) * most, lot)


def _whole(size: float, lot: float) -> float:
    """``size`` on the grid of lots where it is as good as there."""
    if lot <= 0:
        return size
    lots = round(size / lot)
    return lots * lot if lots > 0 and abs(size / lot - lots) <= _CLOSE * lots else size


def limit_prices(legs: F8, terms: Terms, intent: Intent) -> F8:
    """``reference · (1 ± collar)``, above for buys and below for sells, rounded to the passive side; float64 [N].

    NaN where there is no collar, no reference, or no price above zero. An exit's collar widens with every attempt,
    1×, 2×, 4×, … up to ``ladder_max`` times.
    """
    width = terms.collar
    if intent == "exit":
        width = width * np.minimum(np.exp2(np.minimum(terms.attempt, 62)), terms.ladder_max)
    return collared(legs, terms.reference, width, terms.tick)


def collared(qty: F8, reference: F8, width: F8, tick: F8) -> F8:
    """``reference · (1 ± width)``, above for buys and below for sells, rounded to the passive side by ``tick``.

    NaN where the width is infinite, where there is no reference, and where no price above zero is left.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        price = np.where(np.isinf(width), np.nan, reference * (1.0 + np.sign(qty) * width))
        steps = price / tick
        down, up = np.floor(steps * (1.0 + 1e-12)), np.ceil(steps * (1.0 - 1e-12))
        price = np.where(tick > 0, np.where(qty > 0, down, up) * tick, price)
        return np.where(np.isfinite(price) & (price > 0), price, np.nan)
