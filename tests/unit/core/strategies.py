"""Hypothesis strategies for the values and layers of risk parameters, as files may write them."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from regime_trading.core.merging import in_order
from regime_trading.core.risk_layers import adapter
from regime_trading.core.rules import (
    RULES,
    UNLIMITED,
    Direction,
    FreezeWindows,
    MaxContracts,
    Merge,
    NewsMode,
    Release,
    RuleParams,
    TrailingDrawdown,
    merge_of,
)

PARAMS = [(spec.params, name) for spec in RULES for name in spec.params.model_fields]
SYMBOLS = st.lists(st.sampled_from("ABCDE"), max_size=4)
POOL: list[Any] = [
    True, False, 0, 1, 2, 3, 20, 30, 60, 300, 1000, UNLIMITED,
    *("0", "0.01", "0.05", "0.1", "0.25", "0.5", "0.6", "0.75", "0.9", "1", "1.5", "2", "8", "100", "1e7"),
    *Release.__members__, *NewsMode, "exit", "reduce_only", "block", "half", "weekend", "daily", "15:08", "23:00",
    "2020-03-02", "Europe/Prague", "America/Chicago", "anchor", "initial", "balance", "equity", "max",
    "REDUCE_ONLY", "FLATTEN", "none", "shift", "unitized", "rebase", "continue", "BLOCK", "EXIT", "never", "always",
]  # fmt: skip


@st.composite
def ladders(draw: st.DrawFn) -> list[list[str]]:
    steps = draw(st.integers(0, 4))
    at = sorted(draw(st.sets(st.integers(1, 40), min_size=steps, max_size=steps)))
    cuts = sorted(draw(st.sets(st.integers(0, 22), min_size=steps, max_size=steps)))
    action = {21: "FLATTEN", 22: "LOCKED"}
    return [[str(a / 100), action.get(c, str(1 - c / 20))] for a, c in zip(at, cuts, strict=True)]


def windows() -> st.SearchStrategy[list[dict[str, str]]]:
    """The same id always names the same days, so that any two lists agree."""
    days = {
        "christmas": ("12-24", "12-26"),
        "summer": ("08-01", "08-15"),
        "y2k": ("1999-12-31", "2000-01-02"),
    }
    one = st.sampled_from(sorted(days)).map(lambda i: {"id": i, "first": days[i][0], "last": days[i][1]})
    return st.lists(one, max_size=3)


@st.composite
def scalings(draw: st.DrawFn) -> list[dict[str, str]]:
    """Steps of rising profit and no fewer contracts."""
    at = sorted(draw(st.sets(st.integers(-2, 8), max_size=4)))
    n = sorted(draw(st.lists(st.integers(0, 9), min_size=len(at), max_size=len(at))))
    return [{"eod_profit_ge": str(a * 500), "n": str(c)} for a, c in zip(at, n, strict=True)]


@functools.cache
def raw_values(params: type[RuleParams], name: str) -> st.SearchStrategy[Any]:
    """Values of one parameter as a file may write them."""
    if (params, name) == (TrailingDrawdown, "ladder"):
        return ladders()
    if (params, name) == (MaxContracts, "scaling"):
        return scalings()
    if (params, name) == (FreezeWindows, "windows"):
        return windows()
    if (params, name) == (Direction, "hedge_groups"):
        return st.lists(st.sampled_from([["A", "B"], ["B", "C"], ["C", "A", "E"]]), max_size=3)
    if merge_of(params, name) in {Merge.UNION, Merge.INTERSECT}:
        return SYMBOLS
    return st.sampled_from([raw for raw in POOL if _valid(params, name, raw)])


def _valid(params: type[RuleParams], name: str, raw: Any) -> bool:
    if isinstance(raw, bool) is not (merge_of(params, name) in {Merge.PROTECT, Merge.PERMIT}):
        return False
    try:
        adapter(params, name).validate_python(raw)
    except ValidationError:
        return False
    return True


def values(params: type[RuleParams], name: str) -> st.SearchStrategy[Any]:
    return raw_values(params, name).map(
        lambda raw: in_order(params, name, adapter(params, name).validate_python(raw))
    )


@st.composite
def risks(draw: st.DrawFn, most: int = 6) -> dict[str, dict[str, Any]]:
    """The ``risk`` mapping of one layer: a few rules, one or two parameters each."""
    specs = draw(st.lists(st.sampled_from(RULES), unique_by=lambda spec: spec.key, max_size=most))
    return {spec.key: draw(_rule(spec.params)) for spec in specs}


@st.composite
def _rule(draw: st.DrawFn, params: type[RuleParams]) -> dict[str, Any]:
    fields = st.sampled_from(sorted(params.model_fields))
    return {name: draw(raw_values(params, name)) for name in draw(st.sets(fields, min_size=1, max_size=2))}
