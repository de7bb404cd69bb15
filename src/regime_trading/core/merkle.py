"""Merkle trees of RFC 6962, section 2.1: roots, inclusion and consistency proofs, and their verification.

A tree is a sequence of leaf hashes. A leaf is hashed with the prefix 0x00, an inner node with 0x01, so neither can be
taken for the other. Proofs are those of sections 2.1.1 and 2.1.2; they are verified as RFC 9162 says in sections
2.1.3.2 and 2.1.4.2. A verification answers False to whatever does not prove, however malformed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from regime_trading.core.errors import BadInput

EMPTY_ROOT = sha256(b"").digest()
_HASH_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    """``SHA-256(0x00 || data)``."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """``SHA-256(0x01 || left || right)``."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows: its size and one hash per complete subtree, O(log n) of state.

    Parameters
    ----------
    leaves : iterable of bytes
        Leaf hashes to begin with.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._peaks: list[bytes] = []  #: roots of the complete subtrees, the largest first
        self.extend(leaves)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        peaks, carry = self._peaks, self.size
        while carry & 1:
            leaf = sha256(b"\x01" + peaks.pop() + leaf).digest()
            carry >>= 1
        peaks.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes in order."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """Root of what was added so far; that of the empty tree is the hash of nothing."""
        if not self._peaks:
            return EMPTY_ROOT
        found = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found

    def copy(self) -> Frontier:
        """A tree of the same leaves that grows on its own."""
        twin = Frontier()
        twin.size, twin._peaks = self.size, self._peaks.copy()
        return twin


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of a tree of these leaf hashes."""
    return Frontier(leaves).root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The hashes beside the path from leaf ``index`` (from 0) up to the root, from the leaf upwards.

    Raises
    ------
    BadInput
        No such leaf.
    """
    if not 0 <= index < len(leaves):
        raise BadInput(expected=f"an index below {len(leaves)}", found=str(index), where="inclusion proof")
    low, high, beside = 0, len(leaves), list[bytes]()
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            beside.append(root(leaves[middle:high]))
            high = middle
        else:
            beside.append(root(leaves[low:middle]))
            low = middle
    return tuple(reversed(beside))


def inclusion_proofs(leaves: Sequence[bytes]) -> tuple[bytes, list[list[bytes]]]:
    """Root of a tree of at least one leaf hash, and the inclusion proof of every leaf, in one pass."""
    proofs: list[list[bytes]] = [[] for _ in leaves]

    def walk(low: int, high: int) -> bytes:
        if high - low == 1:
            return leaves[low]
        middle = low + _split(high - low)
        left, right = walk(low, middle), walk(middle, high)
        for proof in proofs[low:middle]:
            proof.append(right)
        for proof in proofs[middle:high]:
            proof.append(left)
        return node_hash(left, right)

    return walk(0, len(leaves)), proofs


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """Hashes that show that the tree of the first ``old_size`` leaves is the beginning of this one.

    The proof from the empty tree, and that from a tree to itself, is empty.

    Raises
    ------
    BadInput
        An ``old_size`` below 0 or above the number of leaves.
    """
    if not 0 <= old_size <= len(leaves):
        raise BadInput(
            expected=f"a size of 0 to {len(leaves)}", found=str(old_size), where="consistency proof"
        )
    if old_size in (0, len(leaves)):
        return ()
    low, high, beside, complete = 0, len(leaves), list[bytes](), True
    while old_size != high:
        middle = low + _split(high - low)
        if old_size <= middle:
            beside.append(root(leaves[middle:high]))
            high = middle
        else:
            beside.append(root(leaves[low:middle]))
            low, complete = middle, False
    if not complete:
        beside.append(root(leaves[low:high]))
    return tuple(reversed(beside))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether ``proof`` shows leaf hash ``leaf`` at ``index`` of the tree of ``size`` leaves with ``root``."""
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    position, last, found = index, size - 1, leaf
    for hash_ in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            found = node_hash(hash_, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, hash_)
        position, last = position >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether ``proof`` shows the tree of ``old_size`` leaves as the beginning of that of ``new_size``."""
    if not 0 <= old_size <= new_size or not _are_hashes(old_root, new_root, *proof):
        return False
    if old_size == 0:
        return old_root == EMPTY_ROOT and not proof and (new_size > 0 or new_root == EMPTY_ROOT)
    if old_size == new_size:
        return old_root == new_root and not proof
    hashes: Iterator[bytes] = iter(proof)
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = old_root if position == 0 else next(hashes, b"")
    old_found = new_found = first
    for hash_ in hashes:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_found, new_found = node_hash(hash_, old_found), node_hash(hash_, new_found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_found = node_hash(new_found, hash_)
        position, last = position >> 1, last >> 1
    return last == 0 and old_found == old_root and new_found == new_root


def _split(size: int) -> int:
    """Largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == _HASH_BYTES for value in values)
