"""RL rows as bytes: every bit comes back, and blocks are joined only where they are alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from regime_trading.core.errors import CheckFailed
from regime_trading.core.rl_rows import RECORDS, DecisionRows, Tail, after, joined, packed, unpacked
from regime_trading.core.schemas import RLBlock

WHO = RLBlock("state", "alpha", "main", "run-1", "dry_run", "4")
TAIL = Tail(7, 1e6 / 3, float("nan"), {"KO": -1, "PEP": 1}, {"KO": 4}, done=True)


def block(record: Any, seqs: list[int], width: int = 2) -> RLBlock:
    n = len(seqs)
    return replace(
        WHO,
        record=record,
        columns={
            "seq": np.array(seqs, dtype=np.int64),
            "ts_event_ns": np.array([2**62 + seq for seq in seqs], dtype=np.int64),
            "wide": np.array([[np.inf, -np.inf, 0.1, 7.0][:width]] * n).reshape(n, width),
            "number": np.array([-0.0, np.nan, 0.1 + 0.2][:n]),
            "known": np.array([True, False, True][:n]),
            "name": [None, "a", "é"][:n],
        },
    )


def same(a: RLBlock, b: RLBlock) -> bool:
    assert list(a.columns) == list(b.columns)
    for name, mine in a.columns.items():
        other = b.columns[name]
        if isinstance(mine, np.ndarray):
            assert isinstance(other, np.ndarray) and (mine.dtype, mine.shape) == (other.dtype, other.shape)
            assert mine.tobytes() == other.tobytes()
        else:
            assert mine == other
    return replace(a, columns={}) == replace(b, columns={})


def test_every_bit_comes_back() -> None:
    rows = DecisionRows((block("state", [3]), block("action", [3]), block("transition", [1, 3])), TAIL)
    data = packed(rows)
    assert data == packed(rows)
    found = unpacked(data, WHO)
    assert all(same(a, b) for a, b in zip(rows.blocks, found.blocks, strict=True))
    assert [one.record for one in found.blocks] == list(RECORDS)
    assert replace(found.tail, unit_drawdown=0.0) == replace(TAIL, unit_drawdown=0.0)
    assert np.isnan(found.tail.unit_drawdown)
    for wrong in (b"", b"no", data[:-9], packed(rows)[:40]):
        with pytest.raises(CheckFailed, match="alpha/main"):
            unpacked(wrong, WHO)


def test_blocks_are_joined_where_they_are_as_wide() -> None:
    parts = [
        block("state", [1]),
        block("state", []),
        block("state", [2, 5]),
        block("state", [6], 3),
        block("state", [9]),
    ]
    found = joined(parts)
    assert [np.asarray(one.columns["seq"]).tolist() for one in found] == [[1, 2, 5], [6], [9]]
    assert found[0].columns["name"] == [None, None, "a"] and joined([]) == joined([block("state", [])]) == []
    assert np.asarray(after(found[0], 1).columns["seq"]).tolist() == [2, 5]
    assert after(found[0], 1).columns["name"] == [None, "a"]
