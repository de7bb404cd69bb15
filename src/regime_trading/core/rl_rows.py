"""RL rows of one decision as bytes, so that they are durable together with it and sealed later, exactly as they were.

A row is the state and the action of a decision, the transitions that it closes, and what the next decision goes on from
(:class:`Tail`). Numbers keep every bit.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import orjson

from regime_trading.core.errors import CheckFailed
from regime_trading.core.schemas import RLBlock

Record = Literal["state", "action", "transition"]
RECORDS: tuple[Record, ...] = ("state", "action", "transition")


@dataclass(frozen=True, slots=True)
class Tail:
    """What the next decision of an account needs of the last one.

    Parameters
    ----------
    seq : int
        Of its DECISION.
    equity, unit_drawdown : float
    side : mapping
        By symbol that is held: 1 or −1.
    age : mapping
        By symbol that is held: bars since the position was opened or turned; absent where it was there before.
    done : bool
        It ended its episode: nothing leads on from it.
    """

    seq: int
    equity: float
    unit_drawdown: float
    side: Mapping[str, int]
    age: Mapping[str, int]
    done: bool


@dataclass(frozen=True, slots=True)
class DecisionRows:
    """Rows of one decision: one state, one action, none to two transitions."""

    blocks: tuple[RLBlock, RLBlock, RLBlock]
    tail: Tail


def packed(rows: DecisionRows) -> bytes:
    """Rows as bytes; the same rows are the same bytes."""
    tail = rows.tail
    said: dict[str, Any] = {
        "tail": {
            "seq": tail.seq,
            "numbers": _plain(np.array([tail.equity, tail.unit_drawdown])),
            "side": dict(tail.side),
            "age": dict(tail.age),
            "done": tail.done,
        },
        "version": rows.blocks[0].feature_set_version,
    }
    for block in rows.blocks:
        said[block.record] = {name: _plain(values) for name, values in block.columns.items()}
    return zlib.compress(orjson.dumps(said), 1)


def unpacked(data: bytes, who: RLBlock) -> DecisionRows:
    """The rows behind :func:`packed`; ``who`` says whose they are.

    Raises
    ------
    CheckFailed
        Bytes that are no such rows.
    """
    try:
        said = orjson.loads(zlib.decompress(data))
        tail, numbers = said["tail"], _array(said["tail"]["numbers"])
        blocks = tuple(
            replace(
                who,
                record=record,
                feature_set_version=said["version"],
                columns={name: _array(values) for name, values in said[record].items()},
            )
            for record in RECORDS
        )
        end = Tail(tail["seq"], float(numbers[0]), float(numbers[1]), tail["side"], tail["age"], tail["done"])
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise CheckFailed(f"RL rows of {who.firm_id}/{who.account_id} cannot be read: {error}") from error
    return DecisionRows((blocks[0], blocks[1], blocks[2]), end)


def joined(blocks: Sequence[RLBlock]) -> list[RLBlock]:
    """Blocks of one record that follow each other, as few as their columns allow: the same names, as wide."""
    made = list[RLBlock]()
    waiting = list[RLBlock]()
    for block in [one for one in blocks if len(one.columns["seq"])]:
        if waiting and _shape(waiting[-1]) != _shape(block):
            made.append(_one(waiting))
            waiting = []
        waiting.append(block)
    return [*made, _one(waiting)] if waiting else made


def after(block: RLBlock, seq: int) -> RLBlock:
    """The rows of a block behind a sequence number."""
    kept = np.asarray(block.columns["seq"]) > seq
    return replace(block, columns={name: _taken(values, kept) for name, values in block.columns.items()})


def _taken(values: Any, kept: np.ndarray) -> Any:
    if isinstance(values, np.ndarray):
        return values[kept]
    return [value for value, keep in zip(values, kept.tolist(), strict=True) if keep]


def _one(blocks: Sequence[RLBlock]) -> RLBlock:
    def column(name: str) -> Any:
        parts = [block.columns[name] for block in blocks]
        if isinstance(parts[0], np.ndarray):
            return np.concatenate(parts)
        return [value for part in parts for value in part]

    return replace(blocks[0], columns={name: column(name) for name in blocks[0].columns})


def _shape(block: RLBlock) -> tuple[Any, ...]:
    wide = {
        name: values.shape[1:] for name, values in block.columns.items() if isinstance(values, np.ndarray)
    }
    return block.feature_set_version, tuple(block.columns), tuple(wide.items())


def _plain(values: Any) -> Any:
    if not isinstance(values, np.ndarray):
        return list(values)
    data = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
    return {"type": values.dtype.str, "shape": list(values.shape), "data": data}


def _array(said: Any) -> Any:
    if isinstance(said, list):
        return said
    flat = np.frombuffer(base64.b64decode(said["data"]), dtype=np.dtype(said["type"]))
    return flat.reshape(said["shape"])
