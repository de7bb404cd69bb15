"""Exact weights and money.

A weight inside the guards is an integer multiple of 1e-9 held in float64 (exact below 2**53), called a
*nanoweight*. Sums of nanoweights are exact and free of order. Results are rounded toward zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
I1 = npt.NDArray[np.int8]
B1 = npt.NDArray[np.bool_]

NANO = 1_000_000_000.0
MONEY_QUANTUM = Decimal("0.000001")
_LARGEST_EXPONENT = 709.782712893384  #: logarithm of the largest float64
LARGEST_NUMBER = (1 << 31) - 1  #: that a database counts up to in an ordinary column


def to_nano(weight: npt.ArrayLike) -> F8:
    """Nanoweights of plain weights, rounded toward zero.

    A double that is the closest double to a multiple of 1e-9 maps to that multiple, so ``0.29`` is
    290 000 000 and not one less. NaN stays NaN.

    Parameters
    ----------
    weight : array_like
        Fractions of equity.
    """
    scaled = np.asarray(weight, dtype=np.float64) * NANO
    nearest = np.rint(scaled)
    with np.errstate(invalid="ignore"):
        close = np.abs(scaled - nearest) <= 1e-6 + np.abs(scaled) * 4e-16
    return np.where(close, nearest, np.trunc(scaled)) + 0.0


def from_nano(nano: npt.ArrayLike) -> F8:
    """Plain weights of nanoweights."""
    return np.asarray(nano, dtype=np.float64) / NANO


def nano_of(value: Decimal) -> float:
    """Nanoweight of an exact decimal, rounded toward zero."""
    return float((value * Decimal(NANO)).to_integral_value(rounding=ROUND_DOWN))


def nano_text(nano: float) -> str:
    """Shortest decimal text of a nanoweight, for canonical records (``0.2`` for 200 000 000)."""
    return format((Decimal(int(nano)) / Decimal(NANO)).normalize(), "f")


def money(value: float | Decimal) -> Decimal:
    """Decimal money on the 1e-6 grid, rounded down (toward minus infinity: never in our favour)."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    return exact.quantize(MONEY_QUANTUM, rounding=ROUND_FLOOR)


def floor_micro(value: npt.ArrayLike) -> F8:
    """Money arrays on the 1e-6 grid, rounded down; the array form of :func:`money`."""
    scaled = np.asarray(value, dtype=np.float64) * 1e6
    nearest = np.rint(scaled)
    return np.where(np.abs(scaled - nearest) <= 1e-3, nearest, np.floor(scaled)) / 1e6


def log_of(x: F8) -> F8:
    """Natural logarithm of every element, the same bits on every processor of one C library; −inf at 0, NaN below it.

    NumPy's own takes another path where a processor has AVX-512, whose last bit differs; this one asks the C library
    for one element at a time. Same shape as ``x``; NaN stays NaN.
    """
    return _each(lambda v: math.log(v) if v > 0 else (-math.inf if v == 0 else math.nan), x)


def exp_of(x: F8) -> F8:
    """Exponential of every element, the same bits on every processor (:func:`log_of`); inf where it is too large."""
    return _each(lambda v: math.inf if v > _LARGEST_EXPONENT else math.exp(v), x)


def _each(function: Callable[[float], float], x: F8) -> F8:
    return np.fromiter(map(function, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)
