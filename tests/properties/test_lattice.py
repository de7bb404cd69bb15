"""The meet of constraints: commutative, associative, idempotent, and never looser."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.budget import examples

from regime_trading.guards.constraint import (
    ARRAYS,
    LISTS,
    UNCONSTRAINED,
    Cap,
    Constraint,
    PairCap,
    Rise,
    Tail,
    Tilt,
    meet,
    meet_all,
    only_where,
)

A, N, G = 2, 3, 2
_UP = {"mode", "authority", "no_trade", "embargo", "cancel", "lo"}
_ONE = np.ones(A)
_LISTED = {
    "caps": tuple(
        Cap(name, np.zeros((1, N), dtype=np.int64), np.ones((1, N)), np.full((A, 1), i + 1.0))
        for i, name in enumerate("xyz")
    ),
    "tilts": tuple(Tilt(name, np.ones((1, N)), _ONE * i) for i, name in enumerate("xy")),
    "pairs": (PairCap("x", _ONE * 0.5, _ONE, np.zeros(N, dtype=np.bool_)),),
    "tails": (Tail("x", _ONE * 0.9, _ONE),),
    "rises": (Rise("x", _ONE, _ONE, _ONE * 0),),
}


@st.composite
def constraints(draw: st.DrawFn) -> Constraint:
    r = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = {
        "mode": r.integers(0, 4, A).astype(np.int8),
        "authority": r.integers(0, 4, A).astype(np.int8),
        "no_trade": r.random((A, N)) < 0.5,
        "lo": -r.integers(0, 4, (A, N)).astype(np.float64),
        "hi": r.integers(0, 4, (A, N)).astype(np.float64),
        "scale": r.integers(0, 3, (A, N)) / 2,
        "embargo": r.random((A, N)) < 0.5,
        "cancel": r.random((A, N)) < 0.5,
        "pace_entry": r.integers(0, 4, (A, N)).astype(np.float64),
        "pace_exit": r.integers(0, 4, (A, N)).astype(np.float64),
    }
    values |= {
        name: r.integers(0, 4, (A, N)).astype(np.float64) for name in ("slice_entry", "slice_exit", "collar")
    }
    values |= {name: r.integers(0, 4, A) / 2 for name in ("vol", "turnover")}
    values["throttle"] = r.integers(0, 3, A) / 2
    assert set(values) == set(ARRAYS) and set(_LISTED) == set(LISTS)
    named = draw(st.integers(0, 2 ** len(ARRAYS) - 1))
    some = {name: tuple(item for item in items if r.random() < 0.4) for name, items in _LISTED.items()}
    return Constraint(**some, **{name: values[name] for i, name in enumerate(ARRAYS) if named >> i & 1})


def same(a: Constraint, b: Constraint) -> bool:
    for name in ARRAYS:
        x, y = getattr(a, name), getattr(b, name)
        if (x is None) != (y is None) or (
            x is not None and (x.dtype != y.dtype or x.tobytes() != y.tobytes())
        ):
            return False
    return all(_members(a, name) == _members(b, name) for name in LISTS)


def _members(c: Constraint, name: str) -> list[int]:
    """Which budgets a list holds, each once, whatever their order."""
    found = [id(item) for item in getattr(c, name)]
    assert len(found) == len(set(found))
    return sorted(found)


def at_least_as_strict(a: Constraint, b: Constraint) -> bool:
    for name in ARRAYS:
        x, y = getattr(a, name), getattr(b, name)
        if y is not None and (x is None or not (x >= y if name in _UP else x <= y).all()):
            return False
    return all(set(_members(b, name)) <= set(_members(a, name)) for name in LISTS)


@given(constraints(), constraints(), constraints())
@examples()
def test_meet_is_a_meet(a: Constraint, b: Constraint, c: Constraint) -> None:
    assert same(meet(a, b), meet(b, a))
    assert same(meet(meet(a, b), c), meet(a, meet(b, c)))
    assert same(meet(a, a), a)
    assert same(meet(a, UNCONSTRAINED), a)
    assert at_least_as_strict(meet(a, b), a)
    assert at_least_as_strict(meet(a, b), b)


@given(st.lists(constraints(), max_size=6), st.randoms(use_true_random=False))
@examples()
def test_meet_all_folds_in_any_order(parts: list[Constraint], random: object) -> None:
    folded = UNCONSTRAINED
    for part in parts:
        folded = meet(folded, part)
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert same(meet_all(shuffled), folded)


@given(constraints(), constraints(), st.lists(st.booleans(), min_size=A, max_size=A))
@examples()
def test_a_rule_that_is_off_constrains_nothing(a: Constraint, b: Constraint, on: list[bool]) -> None:
    enabled = np.array(on)
    met = meet(b, only_where(a, enabled))
    expected = meet(b, a)
    assert all(len(getattr(met, name)) >= len(getattr(b, name)) for name in LISTS)
    for cap in only_where(a, enabled).caps:
        assert (np.isinf(cap.limit[:, 0]) == ~enabled).all()
    for name in ARRAYS:
        value, alone, both = (getattr(c, name) for c in (met, b, expected))
        if both is None:
            continue
        for row in range(A):
            want = both[row] if enabled[row] else (alone[row] if alone is not None else None)
            if want is not None:
                assert np.array_equal(value[row], want)


@given(constraints())
@examples()
def test_every_box_contains_flat(a: Constraint) -> None:
    assert a.lo is None or (a.lo <= 0).all()
    assert a.hi is None or (a.hi >= 0).all()
