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

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.rules import TradingState


@dataclass(frozen=True, slots=True)
class Cap:
    """``Σ_{i ∈ set} load_i · |w_i| ≤ limit`` for each of several disjoint sets of assets.

    Parameters
    ----------
    rule_id : str
    label : int64 [A, N] or [1, N]
        The set of each asset, −1 = in none.
    load : float64 [A, N] or [1, N]
        What one nanoweight of the asset uses up, ≥ 0.
    limit : float64 [A, S]
        Per set, in ``load`` times nanoweights.
    """

    rule_id: str
    label: I8
    load: F8
    limit: F8


@dataclass(frozen=True, slots=True)
class Tilt:
    """``|Σ load_i · w_i| ≤ limit``: a signed sum, in which hedges count as far as they survive.

    ``load`` float64 [A, N] or [1, N], signed; ``limit`` float64 [A], in ``load`` times nanoweights.
    """

    rule_id: str
    load: F8
    limit: F8


@dataclass(frozen=True, slots=True)
class PairCap:
    """``|w_i| + |w_j| ≤ limit`` for pairs on the same effective side: ``ρ_ij · sign(p_i p_j) > threshold``.

    ``threshold``, ``limit`` float64 [A]; ``exempt`` bool [N] assets are in no pair. A correlation that is not known
    counts as 1.
    """

    rule_id: str
    threshold: F8
    limit: F8
    exempt: B1


@dataclass(frozen=True, slots=True)
class Tail:
    """Expected shortfall of one bar ≤ ``limit`` at ``confidence``; float64 [A], fractions of equity."""

    rule_id: str
    confidence: F8
    limit: F8


@dataclass(frozen=True, slots=True)
class Rise:
    """How fast the budget factor may rise: to at most ``last + most``, and not at all by less than ``least``
    while it is still below 1; float64 [A]."""

    rule_id: str
    last: F8
    most: F8
    least: F8


@dataclass(frozen=True, slots=True)
class Constraint:
    """A point of the lattice for all accounts; ``None`` or ``()`` = this component is not constrained.

    Parameters
    ----------
    mode, authority : int8 [A]
        ``TradingState`` and ``Authority``; meet: maximum.
    no_trade, embargo, cancel : bool [A, N]
        The asset cannot be traded now; it must not be, unless the account has to be flat (``risk.md`` P3); its
        working entries are to be cancelled. Meet: or.
    lo, hi : float64 [A, N]
        Box of allowed nanoweights, ``lo ≤ 0 ≤ hi``; meet: intersection.
    scale : float64 [A, N]
        Asset factor in [0, 1]; meet: minimum.
    vol, turnover : float64 [A]
        Budgets: annualised volatility, nanoweights; meet: minimum.
    throttle : float64 [A]
        Book factor in [0, 1] on the raw proposal; meet: minimum.
    pace_entry, pace_exit : float64 [A, N]
        Largest step, nanoweights; meet: minimum.
    slice_entry, slice_exit : float64 [A, N]
        Largest single order, nanoweights; meet: minimum.
    collar : float64 [A, N]
        Largest distance of a limit price from the reference, fraction; meet: minimum.
    caps, tilts, pairs, tails, rises : tuple
        Meet: all of both.
    """

    mode: I1 | None = None
    authority: I1 | None = None
    no_trade: B1 | None = None
    embargo: B1 | None = None
    cancel: B1 | None = None
    lo: F8 | None = None
    hi: F8 | None = None
    scale: F8 | None = None
    vol: F8 | None = None
    turnover: F8 | None = None
    throttle: F8 | None = None
    pace_entry: F8 | None = None
    pace_exit: F8 | None = None
    slice_entry: F8 | None = None
    slice_exit: F8 | None = None
    collar: F8 | None = None
    caps: tuple[Cap, ...] = ()
    tilts: tuple[Tilt, ...] = ()
    pairs: tuple[PairCap, ...] = ()
    tails: tuple[Tail, ...] = ()
    rises: tuple[Rise, ...] = ()


UNCONSTRAINED = Constraint()
COMPONENTS: tuple[str, ...] = tuple(f.name for f in fields(Constraint))
LISTS: tuple[str, ...] = ("caps", "tilts", "pairs", "tails", "rises")
ARRAYS: tuple[str, ...] = tuple(name for name in COMPONENTS if name not in LISTS)
_TAKE_MAX = frozenset({"mode", "authority", "no_trade", "embargo", "cancel", "lo"})
_LOOSEST: dict[str, float] = {
    "mode": 0,
    "authority": 0,
    "no_trade": 0,
    "embargo": 0,
    "cancel": 0,
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
    return meet_all((a, b))


def meet_all(constraints: Iterable[Constraint]) -> Constraint:
    """The most conservative of many constraints; equal to folding :func:`meet` over them in any order."""
    met: dict[str, Any] = {}
    for constraint in constraints:
        if constraint is UNCONSTRAINED:
            continue
        for name in ARRAYS:
            value = getattr(constraint, name)
            if value is not None:
                met[name] = _meet_one(name, met[name], value) if name in met else value
        for name in LISTS:
            if more := getattr(constraint, name):
                known = met.get(name, ())
                met[name] = known + tuple(item for item in more if not any(item is old for old in known))
    return Constraint(**met)


def _meet_one(name: str, x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> object:
    return np.maximum(x, y) if name in _TAKE_MAX else np.minimum(x, y)


def only_where(constraint: Constraint, accounts: B1) -> Constraint:
    """The constraint for the marked accounts, no constraint for the others."""
    if accounts.all() or constraint is UNCONSTRAINED:
        return constraint
    masked: dict[str, Any] = {}
    for name in ARRAYS:
        value = getattr(constraint, name)
        if value is None:
            continue
        where = accounts if value.ndim == 1 else accounts[:, None]
        loosest = np.array(_LOOSEST.get(name, np.inf)).astype(value.dtype)
        masked[name] = np.where(where, value, loosest)
    for name in LISTS:
        masked[name] = tuple(_lifted(item, accounts) for item in getattr(constraint, name))
    return Constraint(**masked)


def _lifted(item: Any, accounts: B1) -> Any:
    """A cap, tilt, pair cap or rise that limits the marked accounts only."""
    name = "most" if isinstance(item, Rise) else "limit"
    value = getattr(item, name)
    lifted = np.where(accounts if value.ndim == 1 else accounts[:, None], value, np.inf)
    if isinstance(item, Rise):
        return replace(item, most=lifted, least=np.where(accounts, item.least, 0.0))
    return replace(item, limit=lifted)


def trading_state(constraint: Constraint, n_accounts: int) -> I1:
    """The state the constraint holds each account in, int8 [A]: NORMAL where it names none."""
    return np.zeros(n_accounts, dtype=np.int8) if constraint.mode is None else constraint.mode


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


def cap(rule_id: str, limit: F8, load: F8 | None = None, label: I8 | None = None, n_assets: int = 0) -> Cap:
    """A cap on one set of assets, or on several by ``label``; ``load`` 1 and one set of all assets where not given.

    ``limit`` float64 [A] or [A, S]; ``load`` and ``label`` as in :class:`Cap`, ``n_assets`` where neither is given.
    """
    n = n_assets if load is None and label is None else (load if load is not None else label).shape[1]  # type: ignore[union-attr]
    return Cap(
        rule_id=rule_id,
        label=np.zeros((1, n), dtype=np.int64) if label is None else label,
        load=np.ones((1, n)) if load is None else load,
        limit=limit[:, None] if limit.ndim == 1 else limit,
    )


def mode(accounts: B1, state: TradingState) -> Constraint:
    """``state`` for the marked accounts, NORMAL for the others."""
    if not holds(accounts):
        return UNCONSTRAINED
    return Constraint(mode=np.where(accounts, np.int8(state), np.int8(0)))
