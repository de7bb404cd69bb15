"""Hypothesis strategies over random scenes, and what the invariants compare."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tests.unit.guards.scenarios import ANNUAL, TRAITS, Scene, scene

from regime_trading.core.rules import RULE_IDS
from regime_trading.guards.chain import Decisions, decide
from regime_trading.guards.facts import Brokerage
from regime_trading.guards.snapshot import Books, States, View

SIZES = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12)
UNWEIGHABLE = frozenset({"bad_equity", "gaps", "fx_gaps"})


def scenes(
    *,
    without: frozenset[str] = frozenset(),
    always: frozenset[str] = frozenset(),
    least: int = 0,
    accounts: int = 5,
) -> st.SearchStrategy[Scene]:
    """Random scenes; ``always`` traits are in every one, ``without`` in none."""
    free = sorted(set(TRAITS) - without - always)
    some = st.integers(0, 2 ** len(free) - 1)

    def build(seed: int, a: int, n: int, *masks: int) -> Scene:
        """A trait is on where all masks have it: one in eight."""
        on = masks[0] & masks[1] & masks[2]
        return scene(seed, a, n, always | {trait for i, trait in enumerate(free) if on >> i & 1})

    sizes = st.sampled_from([n for n in SIZES if n >= least])
    return st.builds(build, st.integers(0, 2**32 - 1), st.integers(1, accounts), sizes, some, some, some)


def run(s: Scene) -> tuple[Decisions, States]:
    """Decide, and make sure that no rule fell over on the way: a rule error is a bug, not an outcome."""
    decisions, states = decide(s.view, s.knobs, annual=ANNUAL)
    broken = [r for r, codes in zip(RULE_IDS, decisions.rule_codes, strict=True) if "RULE_ERROR" in codes]
    assert not broken, f"rules that raised: {broken}"
    return decisions, states


def rows(thing: Any, index: Any) -> Any:
    """The accounts of ``index``, in that order, of books, states or views."""
    if isinstance(thing, View):
        return replace(thing, books=rows(thing.books, index), states=rows(thing.states, index))
    picked = {f.name: getattr(thing, f.name) for f in fields(thing)}
    for name, value in picked.items():
        if is_dataclass(value):
            picked[name] = rows(value, index)
        elif isinstance(value, tuple):
            picked[name] = tuple(value[i] for i in index)
        elif isinstance(value, np.ndarray):
            picked[name] = value[index]
    return type(thing)(**picked)


BY_ASSET = frozenset({"last_price", "last_sigma", "last_fx", "flat_ns", "flat_side", "unclean", "timer_ns"})


def assets_permuted(thing: Any, order: list[int]) -> Any:
    """Market, books, states or facts with their assets in another order."""
    picked = {f.name: getattr(thing, f.name) for f in fields(thing) if f.init}
    for name, value in picked.items():
        if is_dataclass(value):
            picked[name] = assets_permuted(value, order)
        elif not isinstance(value, np.ndarray):
            continue
        elif isinstance(thing, States):
            picked[name] = value[..., order] if name in BY_ASSET else value
        elif isinstance(thing, Books | Brokerage):
            picked[name] = value[:, order] if value.ndim > 1 else value
        elif name == "correlation":
            picked[name] = value[np.ix_(order, order)]
        else:
            picked[name] = value[..., order]
    return type(thing)(**picked)


def accounts_of(s: Scene, index: Any) -> Scene:
    return Scene(rows(s.view, index), [s.profiles[i] for i in index])


def flat(thing: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Every array with an account axis in a tree of dataclasses, by path; the meet is looked at by what follows."""
    found: dict[str, np.ndarray] = {}
    for f in fields(thing):
        value = getattr(thing, f.name)
        if f.name in ("meet", "binding_assets", "waiting"):  # the last two have one layer per budget in force
            continue
        if is_dataclass(value):
            found |= flat(value, f"{prefix}{f.name}.")
        elif isinstance(value, np.ndarray):
            found[prefix + f.name] = value
    return found


def assert_same_rows(whole: Any, part: Any, index: Any) -> None:
    """Row ``index[i]`` of every array of ``whole`` equals row ``i`` of ``part``, to the bit."""
    ours, theirs = flat(whole), flat(part)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert values[index].tobytes() == theirs[name].tobytes(), name
