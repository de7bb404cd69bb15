"""The lattice: what a rule returns, and how two of them meet (``risk.md`` 2.1).

Every component has an order in which "more conservative" is up; ``meet`` takes the more conservative value of
each component. It is associative, commutative and idempotent, so neither the order of the rules nor
their number can loosen an outcome. Every box contains 0: flat is always feasible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from regime_trading.core.numbers import B1, F8, I1
from regime_trading.core.rules import TradingState


@dataclass(frozen=True, slots=True)
class Constraint:
    """A point of the lattice for all accounts; ``None`` = this component is not constrained.

    Parameters
    ----------
    mode, authority : int8 [A]
        ``TradingState`` and ``Authority``; meet: maximum.
    no_trade : bool [A, N]
        The asset cannot be traded now; meet: or.
    lo, hi : float64 [A, N]
        Box of allowed nanoweights, ``lo ≤ 0 ≤ hi``; meet: intersection.
    scale : float64 [A, N]
        Asset factor in [0, 1]; meet: minimum.
    gross, net, vol, turnover : float64 [A]
        Budgets: nanoweights, nanoweights, annualised volatility, nanoweights; meet: minimum.
    group : float64 [A, G + 1]
        Budget per group, nanoweights; the last column is the group of all unclassified assets. Meet: minimum.
    throttle : float64 [A]
        Book factor in [0, 1] on the raw proposal; meet: minimum.
    pace_entry, pace_exit : float64 [A, N]
        Largest step, nanoweights; meet: minimum.
    """

    mode: I1 | None = None
    authority: I1 | None = None
    no_trade: B1 | None = None
    lo: F8 | None = None
    hi: F8 | None = None
    scale: F8 | None = None
    gross: F8 | None = None
    net: F8 | None = None
    vol: F8 | None = None
    turnover: F8 | None = None
    group: F8 | None = None
    throttle: F8 | None = None
    pace_entry: F8 | None = None
    pace_exit: F8 | None = None


UNCONSTRAINED = Constraint()
COMPONENTS: tuple[str, ...] = tuple(f.name for f in fields(Constraint))
_TAKE_MAX = frozenset({"mode", "authority", "no_trade", "lo"})
_LOOSEST: dict[str, float] = {
    "mode": 0,
    "authority": 0,
    "no_trade": 0,
    "lo": -np.inf,
    "scale": 1.0,
    "throttle": 1.0,
}


def holds(mask: npt.NDArray[Any]) -> bool:
    """Does it hold anywhere? The quick form of ``mask.any()``."""
    return bool(np.count_nonzero(mask))


def meet(a: Constraint, b: Constraint) -> Constraint:
    """The most conservative of two constraints, component by component."""
    if a is UNCONSTRAINED or b is UNCONSTRAINED:
        return b if a is UNCONSTRAINED else a
    met: dict[str, Any] = {name: _meet_one(name, getattr(a, name), getattr(b, name)) for name in COMPONENTS}
    return Constraint(**met)


def meet_all(constraints: Iterable[Constraint]) -> Constraint:
    """The most conservative of many constraints; equal to folding :func:`meet` over them in any order."""
    met: dict[str, Any] = {}
    for constraint in constraints:
        if constraint is UNCONSTRAINED:
            continue
        for name in COMPONENTS:
            value = getattr(constraint, name)
            if value is not None:
                met[name] = _meet_one(name, met[name], value) if name in met else value
    return Constraint(**met)


def _meet_one(name: str, x: npt.NDArray[np.generic] | None, y: npt.NDArray[np.generic] | None) -> object:
    if x is None or y is None:
        return y if x is None else x
    return np.maximum(x, y) if name in _TAKE_MAX else np.minimum(x, y)


def only_where(constraint: Constraint, accounts: B1) -> Constraint:
    """The constraint for the marked accounts, no constraint for the others."""
    if accounts.all():
        return constraint
    masked: dict[str, Any] = {}
    for name in COMPONENTS:
        value = getattr(constraint, name)
        if value is None:
            continue
        where = accounts if value.ndim == 1 else accounts[:, None]
        loosest = np.array(_LOOSEST.get(name, np.inf)).astype(value.dtype)
        masked[name] = np.where(where, value, loosest)
    return Constraint(**masked)


def block(assets: B1, held: F8) -> Constraint:
    """BLOCK(i): the marked assets may only shrink, box = hull(0, held).

    An asset whose current weight is unknown (``held`` 0) may not grow either: its box is {0} for weights, and
    the projection leaves it alone until its weight is known.
    """
    if not holds(assets):
        return UNCONSTRAINED
    return Constraint(
        lo=np.where(assets, np.minimum(held, 0.0), -np.inf),
        hi=np.where(assets, np.maximum(held, 0.0), np.inf),
    )


def stay(assets: B1) -> Constraint:
    """NO_TRADE(i): the marked assets stay as they are."""
    return Constraint(no_trade=assets) if holds(assets) else UNCONSTRAINED


def halt(assets: B1, held: F8) -> Constraint:
    """BLOCK(i) and NO_TRADE(i)."""
    return replace(block(assets, held), no_trade=assets) if holds(assets) else UNCONSTRAINED


def zero(assets: B1) -> Constraint:
    """ZERO(i): the marked assets leave the book, even those that cannot be weighed."""
    if not holds(assets):
        return UNCONSTRAINED
    return Constraint(
        lo=np.where(assets, 0.0, -np.inf),
        hi=np.where(assets, 0.0, np.inf),
        scale=np.where(assets, 0.0, 1.0),
    )


def clamp(limit: F8) -> Constraint:
    """CLAMP(i): ``|w_i| ≤ limit_i``, nanoweights [A, N]."""
    return Constraint(lo=0.0 - limit, hi=limit)  # not -limit: no negative zero


def mode(accounts: B1, state: TradingState) -> Constraint:
    """``state`` for the marked accounts, NORMAL for the others."""
    if not holds(accounts):
        return UNCONSTRAINED
    return Constraint(mode=np.where(accounts, np.int8(state), np.int8(0)))
