"""How two layers' values of one rule parameter compare and combine (``risk.md`` 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import IntEnum
from typing import Any

from regime_trading.core.rules import (
    FreezeWindow,
    Merge,
    RuleParams,
    Rung,
    ScalingStep,
    merge_of,
    rung_strictness,
)

Ladder = tuple[Rung, ...]
Scaling = tuple[ScalingStep, ...]


def stricter_or_equal(params: type[RuleParams], name: str, a: Any, b: Any) -> bool:
    """Whether value ``a`` of a rule parameter is at least as strict as value ``b``.

    Parameters
    ----------
    params : type of RuleParams
        Parameter model of the rule.
    name : str
        Parameter.
    a, b
        Typed values, as the model holds them.

    Notes
    -----
    ``Merge.OVERRIDE`` has no direction: always true. ``Merge.FIXED`` has none either, and must not change:
    true where the values are equal.
    """
    return _STRICTER[merge_of(params, name)](a, b)


def combine(params: type[RuleParams], name: str, upper: Any, lower: Any) -> Any:
    """The value in force when ``lower`` tightens ``upper``: never looser than ``upper`` where there is a
    direction; the lower value for ``OVERRIDE``, the upper one for ``FIXED``.

    Raises
    ------
    ValueError
        Two freeze windows with one id and different days.
    """
    return _COMBINE[merge_of(params, name)](upper, lower)


def in_order(params: type[RuleParams], name: str, value: Any) -> Any:
    """``value`` with the items of a set-like parameter sorted and once each, so that order says nothing."""
    if merge_of(params, name) in {Merge.UNION, Merge.INTERSECT} and value is not None:
        return _union((), value)
    return value


def ladder_strictness(ladder: Ladder, drawdown: Decimal) -> Decimal:
    """How strict ``ladder`` is at ``drawdown`` (0 = no effect; see ``rules.rung_strictness``)."""
    return max((rung_strictness(rung.action) for rung in ladder if rung.at <= drawdown), default=Decimal(0))


def _ladder_stricter(a: Ladder, b: Ladder) -> bool:
    return all(ladder_strictness(a, rung.at) >= rung_strictness(rung.action) for rung in b)


def _ladder_meet(a: Ladder, b: Ladder) -> Ladder:
    rungs: list[Rung] = []
    for at in sorted({rung.at for rung in (*a, *b)}):
        strictness = max(ladder_strictness(a, at), ladder_strictness(b, at))
        if strictness > (rung_strictness(rungs[-1].action) if rungs else Decimal(-1)):
            rungs.append(Rung(at=at, action=_action(strictness)))
    return tuple(rungs)


def _action(strictness: Decimal) -> Any:
    return {Decimal(2): "FLATTEN", Decimal(3): "LOCKED"}.get(strictness, 1 - strictness)


def steps_at(steps: Scaling, profit: Decimal) -> Decimal:
    """What ``steps`` allow at ``profit``: the last step reached, the first where none is; no steps, no limit."""
    if not steps:
        return Decimal("Infinity")
    return max((step.n for step in steps if step.eod_profit_ge <= profit), default=steps[0].n)


_LOWEST = Decimal("-Infinity")


def _steps_stricter(a: Scaling, b: Scaling) -> bool:
    kinks = (_LOWEST, *(step.eod_profit_ge for step in (*a, *b)))
    return all(steps_at(a, x) <= steps_at(b, x) for x in kinks)


def _steps_meet(a: Scaling, b: Scaling) -> Scaling:
    steps: list[ScalingStep] = []
    for at in sorted({step.eod_profit_ge for step in (*a, *b)}):
        n = min(steps_at(a, at), steps_at(b, at))
        if not steps or n > steps[-1].n:
            steps.append(ScalingStep(eod_profit_ge=at, n=n))
    return tuple(steps)


def _rank(member: Any) -> int:
    return (
        int(member) if isinstance(member, IntEnum) else list(type(member).__members__.values()).index(member)
    )


def _item_id(item: Any) -> str:
    return item.id if isinstance(item, FreezeWindow) else str(item)


def _union(upper: tuple[Any, ...], lower: tuple[Any, ...]) -> tuple[Any, ...]:
    items: dict[str, Any] = {}
    for item in (*upper, *lower):
        if items.setdefault(_item_id(item), item) != item:
            raise ValueError(
                f"expected another id for a window with other days, found {_item_id(item)!r} twice"
            )
    return tuple(items[key] for key in sorted(items))


def _intersection(upper: tuple[Any, ...] | None, lower: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if upper is None or lower is None:
        return lower if upper is None else upper
    return tuple(sorted(set(upper) & set(lower)))


def _subset(a: tuple[Any, ...] | None, b: tuple[Any, ...] | None) -> bool:
    return b is None or (a is not None and set(a) <= set(b))


_STRICTER: dict[Merge, Callable[[Any, Any], bool]] = {
    Merge.OVERRIDE: lambda a, b: True,
    Merge.FIXED: lambda a, b: a == b,
    Merge.LOWER: lambda a, b: a <= b,
    Merge.HIGHER: lambda a, b: a >= b,
    Merge.PROTECT: lambda a, b: a or not b,
    Merge.PERMIT: lambda a, b: b or not a,
    Merge.UNION: lambda a, b: set(b) <= set(a),
    Merge.INTERSECT: _subset,
    Merge.LADDER: _ladder_stricter,
    Merge.STEPS: _steps_stricter,
    Merge.ORDERED: lambda a, b: _rank(a) >= _rank(b),
}

_COMBINE: dict[Merge, Callable[[Any, Any], Any]] = {
    Merge.OVERRIDE: lambda upper, lower: lower,
    Merge.FIXED: lambda upper, lower: upper,
    Merge.LOWER: min,
    Merge.HIGHER: max,
    Merge.PROTECT: lambda upper, lower: upper or lower,
    Merge.PERMIT: lambda upper, lower: upper and lower,
    Merge.UNION: _union,
    Merge.INTERSECT: _intersection,
    Merge.LADDER: _ladder_meet,
    Merge.STEPS: _steps_meet,
    Merge.ORDERED: lambda upper, lower: max(upper, lower, key=_rank),
}
