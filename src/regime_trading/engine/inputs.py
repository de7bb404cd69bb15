"""What a decision was made of, as columns that can be stored, and back again, to the bit. Pure.

One row is one cycle of one firm: the market, and books and states of all accounts that the rules of that cycle saw,
also of those that were not decided. The market digest and the hashes of a decision prove what is read back, and a
configuration lies beside under its own hash. Matrices that repeat or roll from cycle to cycle (correlations, past
returns) are kept as a log of their rows: each row once, and for every cycle which stretch of the log it saw.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from regime_trading.core.decision_inputs import Column, InputBlock, Lists
from regime_trading.core.errors import BadInput
from regime_trading.core.rules import LATCHING_RULES, RECOVERING_RULES, TIMER_RULES
from regime_trading.engine.cycle_inputs import CycleInputs, of_firm
from regime_trading.engine.record import DecisionHashes, Identity
from regime_trading.guards.facts import (
    Brokerage,
    InstrumentFacts,
    Signals,
    plain_instruments,
    quiet_signals,
    silent_brokerage,
)
from regime_trading.guards.snapshot import Books, Market, States, View, fresh_states

_PARTS = {
    "Market": Market,
    "InstrumentFacts": InstrumentFacts,
    "Signals": Signals,
    "Books": Books,
    "Brokerage": Brokerage,
    "States": States,
}
_NAMED = {"market_ts_ns": "ts_event", "books_accounts": "accounts"}
_DERIVED = frozenset({"books_firm"})  # one firm a row
_ROLLING = frozenset({"market_correlation", "market_signals_scenarios"})
_AXES = {"latching": LATCHING_RULES, "timers": TIMER_RULES, "recovering": RECOVERING_RULES}
_AXIS_OF = {"timer_ns": "timers", "unclean": "recovering"} | {
    name: "latching" for name in States.__dataclass_fields__ if name.startswith("latch_")
}
_BY_ACCOUNT = frozenset(
    {"equity", "balance", "equity_estimated", "equity_age_bars", "proposal_age_bars", "imposed_state"}
)


class InputBuffer:
    """Inputs of cycles as they are decided, handed over in blocks: one a firm.

    Parameters
    ----------
    annual : float
    identities : sequence of Identity
        Of the accounts in the views, in their order, all of one run.
    configs : mapping
        By ``config_hash``: what it is the hash of.
    put : callable
        Makes a block durable before it returns.
    """

    def __init__(
        self,
        annual: float,
        identities: Sequence[Identity],
        configs: Mapping[str, bytes],
        put: Callable[[InputBlock], None],
    ) -> None:
        self._annual, self._identities, self._configs, self._put = annual, identities, configs, put
        self._hashes = tuple(who.config_hash for who in identities)
        self._cycles: list[CycleInputs] = []

    def add(self, view: View, market: str, hashes: Sequence[DecisionHashes]) -> None:
        """Remember one decided cycle."""
        ids = tuple(h.decision_id for h in hashes)
        self._cycles.append(CycleInputs(view, self._annual, False, ids, self._hashes, market))

    def flush(self) -> None:
        """Hand over what has been added since the last time."""
        cycles, self._cycles = self._cycles, []
        if cycles:
            for firm_id in sorted({who.firm_id for who in self._identities}):
                own = [of_firm(cycle, firm_id) for cycle in cycles]
                self._put(input_block(firm_id, self._identities[0].run_id, own, self._configs))


def input_block(
    firm_id: str, run_id: str, cycles: Sequence[CycleInputs], configs: Mapping[str, bytes]
) -> InputBlock:
    """Consecutive cycles of one firm as columns, with those of ``configs`` that they ran under."""
    used = {name for cycle in cycles for name in cycle.config_hashes}
    return InputBlock(
        firm_id, run_id, columns_of(cycles), {name: configs[name] for name in sorted(used & configs.keys())}
    )


# --- to columns ---------------------------------------------------------------------------------------------


def columns_of(cycles: Sequence[CycleInputs]) -> dict[str, Column]:
    """Columns of the cycles, one row each."""
    columns: dict[str, Column] = {
        "market_hash": [cycle.market for cycle in cycles],
        "decision_ids": _texts([cycle.decision_ids for cycle in cycles]),
        "config_hashes": _texts([cycle.config_hashes for cycle in cycles]),
        "annual": np.array([cycle.annual for cycle in cycles], dtype=np.float64),
        "firm_bound": np.array([cycle.firm_bound for cycle in cycles], dtype=np.bool_),
    }
    columns |= {f"axes_{name}": _texts([axis] * len(cycles)) for name, axis in _AXES.items()}
    views = [cycle.view for cycle in cycles]
    for part in ("market", "books", "states"):
        columns |= _part_columns([getattr(view, part) for view in views], f"{part}_")
    return columns


def _part_columns(parts: Sequence[Any], prefix: str) -> dict[str, Column]:
    """Columns of one dataclass of every cycle, its parts included."""
    columns: dict[str, Column] = {}
    for f in (f for f in fields(parts[0]) if f.init):
        name, values = prefix + f.name, [getattr(part, f.name) for part in parts]
        if is_dataclass(values[0]):
            columns |= _part_columns(values, f"{name}_")
        elif name in _ROLLING:
            columns |= _rolling(name, values)
        elif name not in _DERIVED:
            columns[_NAMED.get(name, name)] = _column(values, str(f.type))
    return columns


def _column(values: Sequence[Any], kind: str) -> Column:
    """One field of every cycle, by its annotation."""
    match kind:
        case "int":
            return np.array(values, dtype=np.int64)
        case "float":
            return np.array(values, dtype=np.float64)
        case "dt.date":
            return [day.isoformat() for day in values]
        case "tuple[str, ...]":
            return _texts(values)
        case "frozenset[str]":
            return _texts([sorted(value) for value in values])
        case "I1 | None":
            return _lists([np.zeros(0, dtype=np.int8) if value is None else value for value in values])
    return _lists(values)


def _texts(rows: Sequence[Sequence[str]]) -> Lists:
    return Lists([text for row in rows for text in row], _starts([len(row) for row in rows]))


def _lists(arrays: Sequence[np.ndarray]) -> Lists:
    """Arrays in C order; they all have the type of the first."""
    flat = np.concatenate([array.ravel() for array in arrays], dtype=arrays[0].dtype, casting="no")
    return Lists(flat, _starts([array.size for array in arrays]))


def _starts(sizes: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _rolling(name: str, matrices: Sequence[np.ndarray]) -> dict[str, Column]:
    """A log of rows: what each cycle added to it, where its matrix starts in the log, and how many rows it has."""
    news, starts, end = list[np.ndarray](), list[int](), 0
    before = np.zeros((0, 0))
    for matrix in matrices:
        gone = _rows_gone(before, matrix)
        fresh = matrix if gone is None else matrix[len(before) - gone :]
        starts.append(end if gone is None else starts[-1] + gone * matrix.shape[1])
        news.append(fresh)
        end += fresh.size
        before = matrix
    rows = [len(matrix) for matrix in matrices]
    return {
        name: _lists(news),
        f"{name}_start": np.array(starts, dtype=np.int64),
        f"{name}_rows": np.array(rows, dtype=np.int64),
    }


def _rows_gone(before: np.ndarray, after: np.ndarray) -> int | None:
    """How many rows of ``before`` were dropped at the top, at most one, if the others still open ``after``."""
    if before.shape[1:] != after.shape[1:] or not len(before):
        return None
    if after is before:
        return 0
    for gone in (0, 1):
        kept = before[gone:]
        if len(kept) <= len(after) and _same_bits(kept, after[: len(kept)]):
            return gone
    return None


def _same_bits(one: np.ndarray, two: np.ndarray) -> bool:
    ours, theirs = (np.ascontiguousarray(x).view(np.int64) for x in (one, two))
    return bool(np.array_equal(ours, theirs))


# --- from columns -------------------------------------------------------------------------------------------


def cycles_of(block: InputBlock) -> Iterator[CycleInputs]:
    """The cycles of a block, in their order.

    What this version knows and the block does not have is as in an account without a past; what only the block has is
    left out. Both can only come from another version, whose decisions are compared by their meaning.

    Raises
    ------
    BadInput
        Columns that do not make up a cycle.
    """
    reader = _Reader(block.columns)
    for row in range(block.rows):
        try:
            yield reader.cycle(row)
        except (KeyError, IndexError, ValueError, TypeError) as err:
            raise BadInput(
                expected="stored inputs of a cycle",
                found=f"{type(err).__name__}: {err}",
                where=f"inputs of {block.firm_id}, run {block.run_id}, row {row}",
            ) from err


class _Reader:
    """Random access to the rows of a block."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self._starts = {name: c.starts.tolist() for name, c in columns.items() if isinstance(c, Lists)}
        self._axes_known = all(self._axis(name, 0) == axis for name, axis in _AXES.items())

    def cycle(self, row: int) -> CycleInputs:
        symbols = tuple(self._list("market_symbols", row))
        accounts = tuple(self._list("accounts", row))
        sizes = (len(accounts), len(symbols))
        market = self._part(Market, "market_", row, sizes)
        view = View(
            market, self._part(Books, "books_", row, sizes), self._part(States, "states_", row, sizes)
        )
        return CycleInputs(
            view=view,
            annual=float(self._one("annual", row)),
            firm_bound=bool(self._one("firm_bound", row)),
            decision_ids=tuple(self._list("decision_ids", row)),
            config_hashes=tuple(self._list("config_hashes", row)),
            market=self._one("market_hash", row),
        )

    def _one(self, name: str, row: int) -> Any:
        column: Any = self._columns[name]
        return column[row]

    def _list(self, name: str, row: int) -> Any:
        column, starts = self._columns[name], self._starts[name]
        assert isinstance(column, Lists)
        return column.values[starts[row] : starts[row + 1]]

    def _axis(self, name: str, row: int) -> tuple[str, ...]:
        return tuple(self._list(f"axes_{name}", row))

    def _part(self, kind: Any, prefix: str, row: int, sizes: tuple[int, int]) -> Any:
        plain = _plain(kind, sizes)
        made: dict[str, Any] = {}
        for f in fields(kind):
            name = prefix + f.name
            stored = _NAMED.get(name, name)
            if not f.init:
                continue
            if str(f.type) in _PARTS:
                made[f.name] = self._part(_PARTS[str(f.type)], f"{name}_", row, sizes)
            elif name in _DERIVED:
                made[f.name] = np.zeros(sizes[0], dtype=np.int64)
            elif stored in self._columns or plain is None:
                shape = (sizes[1],) if plain is None else np.shape(getattr(plain, f.name))
                made[f.name] = self._value(stored, str(f.type), row, shape, f.name, plain)
            else:
                made[f.name] = getattr(plain, f.name)
        return kind(**made)

    def _value(self, name: str, kind: str, row: int, shape: tuple[int, ...], field: str, plain: Any) -> Any:
        match kind:
            case "int":
                return int(self._one(name, row))
            case "float":
                return float(self._one(name, row))
            case "dt.date":
                return dt.date.fromisoformat(self._one(name, row))
            case "tuple[str, ...]":
                return tuple(self._list(name, row))
            case "frozenset[str]":
                return frozenset(self._list(name, row))
        if name in _ROLLING:
            return self._matrix(name, row, shape[-1])
        values = self._list(name, row)
        if kind == "I1 | None" and not len(values):
            return None
        if not self._axes_known and field in _AXIS_OF:
            return self._realigned(values, _AXIS_OF[field], row, getattr(plain, field))
        return values.reshape(shape)

    def _matrix(self, name: str, row: int, width: int) -> np.ndarray:
        column: Any = self._columns[name]
        start, rows = int(self._one(f"{name}_start", row)), int(self._one(f"{name}_rows", row))
        found: np.ndarray = column.values[start : start + rows * width].reshape(rows, width)
        return found

    def _realigned(self, values: np.ndarray, axis: str, row: int, plain: np.ndarray) -> np.ndarray:
        """Rows by the names of their rules, where the version that stored them had others."""
        stored, made = self._axis(axis, row), plain.copy()
        found = values.reshape(plain.shape[0], len(stored), *plain.shape[2:])
        for place, rule_id in enumerate(_AXES[axis]):
            if rule_id in stored:
                made[:, place] = found[:, stored.index(rule_id)]
        return made


@lru_cache(maxsize=64)
def _plain(kind: Any, sizes: tuple[int, int]) -> Any:
    """A part about which nothing is known, with its shapes; None for a market, which has none."""
    n_accounts, n = sizes
    if kind is States:
        return fresh_states(np.zeros(n_accounts), n)
    if kind is Brokerage:
        return silent_brokerage(n_accounts, n)
    if kind is InstrumentFacts:
        return plain_instruments(n)
    if kind is Signals:
        return quiet_signals(n)
    if kind is Books:
        one, many = np.zeros(n_accounts), np.zeros((n_accounts, n))
        shaped: dict[str, Any] = {f.name: one if f.name in _BY_ACCOUNT else many for f in fields(Books)}
        return Books(
            **shaped | {"accounts": ("",) * n_accounts, "firm": one, "broker": _plain(Brokerage, sizes)}
        )
    return None
