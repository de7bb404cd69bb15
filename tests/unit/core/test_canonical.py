"""The canonical form equals RFC 8785, refuses what two machines could write differently, and chains."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.canonical import (
    GENESIS,
    array_hash,
    canonical_bytes_trusted,
    canonical_json,
    chain_hashes,
    content_hash,
    entry_hash,
)
from regime_trading.core.errors import BadInput

SAFE = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(st.characters(max_codepoint=127))
LEAVES = st.none() | st.booleans() | st.integers(-SAFE, SAFE) | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@settings(deadline=None)
@given(VALUES)
def test_equals_rfc8785(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)
    assert canonical_bytes_trusted(value) == rfc8785.dumps(value)


@settings(deadline=None)
@given(st.dictionaries(KEYS, LEAVES, min_size=2, max_size=8), st.randoms())
def test_key_order_says_nothing(value: dict[str, object], random: object) -> None:
    keys = list(value)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert content_hash({key: value[key] for key in keys}) == content_hash(value)


@pytest.mark.parametrize(
    "bad", [0.5, 1.0, float("nan"), np.float64(2), 2**53, -(2**53), b"x", {1, 2}, object()]
)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"a": [1, x]}], ids=["bare", "nested"])
def test_refuses_what_is_not_canonical(bad: object, wrap: object) -> None:
    with pytest.raises(BadInput) as error:
        canonical_json(wrap(bad))  # type: ignore[operator]
    assert error.value.where in {"$", "$.a[1]"}


def test_refuses_non_ascii_keys_with_their_path() -> None:
    with pytest.raises(BadInput, match=r"\$\.outer: expected an ASCII key, found 'ключ'"):
        canonical_json({"outer": {"ключ": 1}})
    with pytest.raises(BadInput):
        canonical_json({1: 1})


def test_chain_binds_each_entry_to_the_one_before() -> None:
    bodies = [b'{"n":1}', b'{"n":2}', b'{"n":3}']
    hashes = chain_hashes(GENESIS, bodies)
    assert hashes[0] == hashlib.sha256(b"\x00" + bytes(32) + bodies[0]).hexdigest()
    assert hashes[2] == entry_hash(hashes[1], bodies[2])
    changed = chain_hashes(GENESIS, [b'{"n":9}', *bodies[1:]])
    assert all(a != b for a, b in zip(hashes, changed, strict=True))
    assert chain_hashes(hashes[1], bodies[2:]) == hashes[2:]


def test_array_hash_sees_names_values_shapes_and_absence() -> None:
    a = np.arange(6.0)
    base = array_hash({"x": a, "y": None})
    assert base == array_hash({"y": None, "x": a.astype(">f8")})
    assert base == array_hash({"y": None, "x": np.repeat(a, 2)[::2]})
    for other in (
        {"x": a, "y": np.empty(0)},
        {"x": a.reshape(2, 3), "y": None},
        {"x": a.astype(np.int64), "y": None},
        {"z": a, "y": None},
        {"x": np.nextafter(a, 9), "y": None},
    ):
        assert array_hash(other) != base


def test_array_hash_knows_one_nan() -> None:
    quiet = np.array([np.nan, 1.0])
    payload = quiet.copy()
    payload.view(np.uint64)[0] |= 7
    assert np.isnan(payload[0])
    assert payload.tobytes() != quiet.tobytes()
    assert array_hash({"x": payload}) == array_hash({"x": quiet})
