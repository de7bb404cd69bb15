"""RL rows of one decision as bytes, and many of them as the columns that are sealed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal, get_args

import numpy as np
import orjson

from regime_trading.core.audit import GATE_RUNS, chain_id, event_id, rl_folder
from regime_trading.core.errors import CheckFailed
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.rl import REWARDS, symbols_of
from regime_trading.core.rl_features import BLOCKS, FEATURE_SET_VERSION, FEATURES, MASKS, mask_column
from regime_trading.core.rl_rows import RLWaiting
from regime_trading.core.schemas import RLBlock
from regime_trading.engine.rl import action_columns, state_columns
from regime_trading.engine.rl_columns import Noted, masks

#: What null stands for in a list of an action: a bound that is not there, else a number that is not known.
_NULLS = {"lo": -np.inf, "hi": np.inf}
_WEIGHTS, _CODES = ("proposed_w", "final_w", "lo", "hi"), ("trading_state", "authority")
#: Columns with a number of each asset.
_WIDE = frozenset(
    {
        *("proposed_w", "final_w", "multiplier", "action_lo", "action_hi"),
        *(f.name for f in FEATURES if f.per == "asset"),
        *(mask_column(block, per) for block, per in MASKS if per == "asset"),
    }
)
Record = Literal["state", "action", "transition"]
RECORDS: tuple[Record, ...] = get_args(Record)


@dataclass(frozen=True, slots=True)
class OpenEnd:
    """What is kept of a decision until the next one of its trail closes it.

    Parameters
    ----------
    run_id, seq, state_id : str, int, str
        Which decision it is.
    ts_ns, day_id, session : int
        When it was made; ``session`` None = the request did not say.
    equity, depth : float or None
        Equity, and the depth of the unit value below its high-water mark; None = not known.
    flows_today : float or None
        As the request said.
    qty : mapping
        Positions by symbol, decimal text.
    since_trade : float or None
        Bars since the last fill.
    age : mapping
        Bars since each position was opened, where that is known.
    done : bool
        It ended its episode: nothing leads on from it.
    """

    run_id: str
    seq: int
    state_id: str
    ts_ns: int
    day_id: int
    session: int | None
    equity: float | None
    depth: float | None
    flows_today: float | None
    qty: Mapping[str, str]
    since_trade: float | None
    age: Mapping[str, float]
    done: bool = False

    def text(self) -> bytes:
        """As it is stored."""
        return orjson.dumps(asdict(self))


def open_end(text: bytes) -> OpenEnd:
    """An open end as it was stored."""
    return OpenEnd(**orjson.loads(text))


def known(value: float) -> float | None:
    """A number as an open end tells it; None where it is none."""
    return float(value) if np.isfinite(value) else None


def body_of(
    state: Mapping[str, Any], action: Mapping[str, Any], transitions: Sequence[Mapping[str, Any]]
) -> bytes:
    """The rows of one decision as they are stored; what is not a finite number becomes null."""
    whole = {"version": FEATURE_SET_VERSION, "state": state, "action": action, "transitions": transitions}
    return orjson.dumps(whole)


def state_of(
    seen: Noted, row: int, known_ns: I8, attempt: int, symbols: Sequence[str], values: Mapping[str, F8]
) -> dict[str, Any]:
    """The state of one decision as a body tells it: row ``row`` of what was noted, of ``known_ns``, of the features."""
    return {
        "attempt": attempt,
        "symbols": ",".join(symbols),
        "binding_rules": seen.binding[row].tolist(),
        "latch_bits": int(seen.counts["latch_bits"][row]),
        "known_ns": dict(zip(BLOCKS, known_ns[row].tolist(), strict=True)),
        "values": {name: value[row].tolist() for name, value in values.items()},
    }


def action_of(seen: Noted, row: int) -> dict[str, Any]:
    """The action of one decision as a body tells it."""
    return {
        **{name: seen.assets[name][row].tolist() for name in _WEIGHTS},
        **{name: int(seen.counts[name][row]) for name in _CODES},
    }


def blocks_of(rows: Sequence[RLWaiting]) -> list[RLBlock]:
    """Everything that ``rows`` hold, by account, folder (:func:`~regime_trading.core.audit.rl_folder`) and feature set,
    each in the order of the store.

    Lists of assets are one array a row: requests are not all about the same assets.

    Raises
    ------
    CheckFailed
        A body that is none.
    """
    told = [(row, _read(row)) for row in rows]
    found = list[RLBlock]()
    for (_, folder, version), group in _grouped(told, lambda row, body: row.run_id):
        found += _decisions(group, folder, version)
    moves = [
        (row, {**move, "version": body["version"]}) for row, body in told for move in body["transitions"]
    ]
    for (_, folder, version), group in _grouped(moves, lambda row, move: move["run_id"]):
        found.append(_transitions(group, folder, version))
    return found


def _read(row: RLWaiting) -> dict[str, Any]:
    try:
        whole: dict[str, Any] = orjson.loads(row.body)
        if not {"version", "state", "action", "transitions"} <= whole.keys():
            raise ValueError(f"found {', '.join(whole)}")
    except (ValueError, TypeError, AttributeError) as err:
        raise CheckFailed(f"RL rows of {row.firm_id}/{row.account_id}, entry {row.seq}: {err}") from err
    return whole


_Told = tuple[RLWaiting, dict[str, Any]]
_Key = tuple[tuple[str, str, str], str, str]


def _grouped(
    told: Iterable[_Told], run_of: Callable[[RLWaiting, dict[str, Any]], str]
) -> list[tuple[_Key, list[_Told]]]:
    """By account, folder and feature set, each in the order of the store."""

    def key(one: _Told) -> _Key:
        row, body = one
        folder = rl_folder(row.env, run_of(row, body))
        return (row.firm_id, row.account_id, row.env), folder, body["version"]

    ordered = sorted(told, key=lambda one: (key(one)[:2], one[0].row_no))
    return [(name, list(group)) for name, group in groupby(ordered, key)]


def _block(
    record: Record, row: RLWaiting, folder: str, version: str, runs: list[str], columns: dict[str, Any]
) -> RLBlock:
    """A block, with the run of each row where it is of many."""
    head = {name: columns[name] for name in ("seq", "ts_event_ns")}
    whose = {"run_id": runs} if folder == GATE_RUNS else {}
    return RLBlock(record, row.firm_id, row.account_id, folder, row.env, version, head | whose | columns)


def _decisions(group: Sequence[_Told], folder: str, version: str) -> Iterator[RLBlock]:
    first, n, runs = group[0][0], len(group), [row.run_id for row, _ in group]
    ids = [event_id(chain_id(row.env, row.run_id, row.firm_id, row.account_id), row.seq) for row, _ in group]
    head = {
        "seq": _whole([row.seq for row, _ in group]),
        "ts_event_ns": _whole([row.ts_event_ns for row, _ in group]),
    }
    states, actions = [body["state"] for _, body in group], [body["action"] for _, body in group]
    widths = [len(symbols_of(state["symbols"])) for state in states]
    values = {
        f.name: _flat(
            [state["values"].get(f.name) for state in states], widths if f.per == "asset" else [1] * n
        )
        for f in FEATURES
    }
    state = state_columns(
        ids,
        np.array([[said["known_ns"][block] for block in BLOCKS] for said in states], dtype=np.int64),
        _whole([said["attempt"] for said in states]),
        [said["symbols"] for said in states],
        np.array([said["binding_rules"] for said in states], dtype=np.int64),
        _whole([said["latch_bits"] for said in states]),
        values,
    )
    state |= masks(values)
    yield _block("state", first, folder, version, runs, head | _by_row(state, _WIDE, widths))
    weights = {
        name: _flat([said[name] for said in actions], widths, _NULLS.get(name, np.nan)) for name in _WEIGHTS
    }
    codes = (_whole([said[name] for said in actions]) for name in _CODES)
    action = action_columns(ids, weights, *codes)
    yield _block("action", first, folder, version, runs, head | _by_row(action, _WIDE, widths))


def _transitions(group: Sequence[_Told], folder: str, version: str) -> RLBlock:
    moves = [move for _, move in group]
    n = len(moves)

    def each(name: str) -> list[Any]:
        return [move[name] for move in moves]

    return _block(
        "transition",
        group[0][0],
        folder,
        version,
        each("run_id"),
        {
            "seq": _whole(each("seq")),
            "ts_event_ns": _whole(each("ts_event_ns")),
            "state_id": each("state_id"),
            "action_id": each("state_id"),
            "next_run_id": each("next_run_id"),
            "next_state_id": each("next_state_id"),
            "next_seq": _whole(each("next_seq")),
            "horizon_bars": _whole(each("horizon_bars")),
            "done": _flags(each("done")),
            "done_reason": each("done_reason"),
            "censored": _flags(each("censored")),
            "gap": _flags(each("gap")),
            **{
                f"reward_{name}": _flat([move["rewards"][name] for move in moves], [1] * n)
                for name in REWARDS
            },
        },
    )


def _whole(values: Sequence[int]) -> I8:
    return np.array(values, dtype=np.int64)


def _flags(values: Sequence[bool]) -> B1:
    return np.array(values, dtype=np.bool_)


def _flat(items: Sequence[Any], widths: Sequence[int], null: float = np.nan) -> F8:
    """Numbers, or lists of numbers, one after the other; an item that is not there is all ``null``."""
    found = list[float]()
    for item, width in zip(items, widths, strict=True):
        row = [null] * width if item is None else item if isinstance(item, list) else [item]
        if len(row) != width:
            raise CheckFailed(f"RL rows: expected {width} numbers, found {len(row)}")
        found += [null if value is None else value for value in row]
    return np.array(found, dtype=np.float64)


def _by_row(columns: Mapping[str, Any], wide: frozenset[str], widths: Sequence[int]) -> dict[str, Any]:
    """Columns of assets cut into one array a row."""
    cuts = np.cumsum(widths)[:-1]
    return {name: np.split(column, cuts) if name in wide else column for name, column in columns.items()}
