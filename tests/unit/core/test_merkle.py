"""Merkle trees against published vectors and against RFC 6962's recursive definition."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.core.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    inclusion_proofs,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

#: The inputs and roots that certificate transparency's own implementations are tested with.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", bytes(range(96, 112)).hex())
]
LEAVES = [leaf_hash(data) for data in INPUTS]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A, B, C = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
D, E = (
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
)
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
INCLUSION = {(0, 8): [A, B, C], (5, 8): [D, E, ROOTS[4]]}
CONSISTENCY = {(1, 8): [A, B, C], (6, 8): [F, E, ROOTS[4]], (2, 5): [B, D]}


# --- RFC 6962, section 2.1, word for word -----------------------------------------------------------------


def mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def some_leaves(n: int) -> list[bytes]:
    return [leaf_hash(i.to_bytes(4, "big")) for i in range(n)]


# --- vectors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("at", "expected"), INCLUSION.items())
def test_published_inclusion_proofs(at: tuple[int, int], expected: list[str]) -> None:
    index, size = at
    proof = inclusion_proof(LEAVES[:size], index)
    assert [hash_.hex() for hash_ in proof] == expected
    assert verify_inclusion(LEAVES[index], index, size, proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("at", "expected"), CONSISTENCY.items())
def test_published_consistency_proofs(at: tuple[int, int], expected: list[str]) -> None:
    old, new = at
    proof = consistency_proof(LEAVES[:new], old)
    assert [hash_.hex() for hash_ in proof] == expected
    assert verify_consistency(old, bytes.fromhex(ROOTS[old]), new, bytes.fromhex(ROOTS[new]), proof)


def test_published_leaf_and_node() -> None:
    assert leaf_hash(bytes(range(16, 32))).hex() == (
        "3bfb960453ebaebf33727da7a1f4db38acc051d381b6da20d6d4e88f0eabfd7a"
    )
    assert node_hash(bytes(range(32)), bytes(range(32, 64))).hex() == (
        "1a378704c17da31e2d05b6d121c2bb2c7d76f6ee6fa8f983e596c2d034963c57"
    )


# --- the definition -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(70))
def test_every_proof_of_every_small_tree_is_the_definitions(size: int) -> None:
    leaves = some_leaves(size)
    top, growing = mth(leaves), Frontier()
    assert root(leaves) == top
    for index in range(size):
        assert growing.root() == mth(leaves[:index])
        growing.append(leaves[index])
        proof = inclusion_proof(leaves, index)
        assert list(proof) == path(index, leaves)
        assert verify_inclusion(leaves[index], index, size, proof, top)
    if size:
        assert inclusion_proofs(leaves) == (top, [path(index, leaves) for index in range(size)])
    for old in range(size + 1):
        proof = consistency_proof(leaves, old)
        assert list(proof) == (subproof(old, leaves, True) if 0 < old < size else [])
        assert verify_consistency(old, mth(leaves[:old]), size, top, proof)


@settings(deadline=None)
@given(st.data())
def test_a_flipped_bit_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200), "size")
    index, old = data.draw(st.integers(0, size - 1), "index"), data.draw(st.integers(1, size), "old")
    leaves = some_leaves(size)
    top, before = root(leaves), root(leaves[:old])
    included = [leaves[index], top, *inclusion_proof(leaves, index)]
    consistent = [before, top, *consistency_proof(leaves, old)]
    at, bit = data.draw(st.integers(0, 10**6), "at"), data.draw(st.integers(0, 255), "bit")
    for kind, values in (("inclusion", included), ("consistency", consistent)):
        values[at % len(values)] = flipped(values[at % len(values)], bit)
        if kind == "inclusion":
            assert not verify_inclusion(values[0], index, size, values[2:], values[1])
        else:
            assert not verify_consistency(old, values[0], size, values[1], values[2:])


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(32, "big")


@settings(deadline=None)
@given(st.integers(1, 120), st.data())
def test_a_proof_is_of_one_place_and_of_two_sizes_only(size: int, data: st.DataObject) -> None:
    leaves = some_leaves(size)
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    proof, top = inclusion_proof(leaves, index), root(leaves)
    assert verify_inclusion(leaves[index], other, size, proof, top) == (index == other)
    for wrong in (proof[:-1], (*proof, top), proof[::-1]):
        assert wrong == proof or not verify_inclusion(leaves[index], index, size, wrong, top)
    old, another = data.draw(st.integers(1, size)), data.draw(st.integers(1, size))
    shown, before = consistency_proof(leaves, old), root(leaves[:old])
    if another != old:
        assert not verify_consistency(another, before, size, top, shown)
    for wrong in (shown[:-1], (*shown, top), shown[::-1]):
        assert wrong == shown or not verify_consistency(old, before, size, top, wrong)


def test_nonsense_proves_nothing() -> None:
    one, top = LEAVES[0], root(LEAVES)
    assert not verify_inclusion(one, 0, 0, (), EMPTY_ROOT)
    assert not verify_inclusion(one, -1, 8, (), top)
    assert not verify_inclusion(one, 8, 8, (), top)
    assert not verify_inclusion(one[:31], 0, 1, (), one[:31])
    assert not verify_inclusion(one, 0, 8, (b"short",), top)
    assert not verify_consistency(-1, EMPTY_ROOT, 8, top, ())
    assert not verify_consistency(9, top, 8, top, ())
    assert not verify_consistency(0, one, 8, top, ())
    assert not verify_consistency(0, EMPTY_ROOT, 8, top, (one,))
    assert not verify_consistency(0, EMPTY_ROOT, 0, one, ())
    assert not verify_consistency(8, top, 8, top, (one,))
    assert not verify_consistency(3, one, 8, top, ())


def test_what_is_not_there_cannot_be_proved() -> None:
    for index in (-1, 8):
        with pytest.raises(BadInput, match="an index below 8"):
            inclusion_proof(LEAVES, index)
    for old in (-1, 9):
        with pytest.raises(BadInput, match="a size of 0 to 8"):
            consistency_proof(LEAVES, old)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_a_copy_grows_on_its_own(first: int, more: int) -> None:
    leaves = some_leaves(first + more)
    tree = Frontier(leaves[:first])
    twin = tree.copy()
    twin.extend(leaves[first:])
    assert (tree.size, tree.root()) == (first, mth(leaves[:first]))
    assert (twin.size, twin.root()) == (first + more, mth(leaves))
