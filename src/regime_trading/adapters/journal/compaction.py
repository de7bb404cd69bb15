"""Which neighbouring parts of a run become one. Pure: positions in, positions out."""

from __future__ import annotations

from collections.abc import Sequence

from regime_trading.core.audit import SealedPart

FAN_IN = (
    8  #: so many parts of about one size become one: every entry is rewritten log8 times while its run grows
)


def growing_groups(parts: Sequence[SealedPart]) -> list[tuple[int, int]]:
    """Half-open spans of at least :data:`FAN_IN` neighbours with rows of one order of magnitude (base 8)."""
    found, start = [], 0
    for stop in range(1, len(parts) + 1):
        if stop == len(parts) or _tier(parts[stop]) != _tier(parts[start]):
            if stop - start >= FAN_IN:
                found.append((start, stop))
            start = stop
    return found


def closing_groups(sizes: Sequence[int], max_bytes: int) -> list[tuple[int, int]]:
    """Half-open spans of two or more neighbours that fit into one part, taken from the front."""
    found, start, total = [], 0, 0
    for i, size in enumerate(sizes):
        if i > start and total + size > max_bytes:
            found.append((start, i))
            start, total = i, 0
        total += size
    found.append((start, len(sizes)))
    return [(first, stop) for first, stop in found if stop - first > 1]


def _tier(part: SealedPart) -> int:
    """Order of magnitude of the rows, base 8."""
    return (part.rows.bit_length() - 1) // 3
