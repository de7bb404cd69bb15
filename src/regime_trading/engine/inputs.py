"""What a decision was made of, as columns that can be stored, and back again, to the bit. Pure.

One row is one cycle of one firm: the market, and books and states of all accounts that the rules of that cycle saw,
also of those that were not decided. The market digest and the hashes of a decision prove what is read back, and a
configuration lies beside under its own hash. Matrices that repeat or roll from cycle to cycle (correlations, past
returns) are kept as a log of their rows: each row once, and for every cycle which stretch of the log it saw.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
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
        case "F8 | None":
            return _lists([np.zeros(0) if value is None else value for value in values])
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
    row, reader = 0, None
    try:
        for row in range(block.rows):
            reader = reader or _Reader(block.columns)
            yield reader.cycle(row)
    except (KeyError, IndexError, ValueError, TypeError) as err:
        raise BadInput(
            expected="stored inputs of a cycle",
            found=f"{type(err).__name__}: {err}",
            where=f"inputs of {block.firm_id}, run {block.run_id}, row {row}",
        ) from err


_Sizes = tuple[int, int]  # accounts, assets
_Cell = Callable[[int, _Sizes], Any]


class _Reader:
    """Random access to the rows of a block: how each field is read is settled once."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self._known_axes = all(tuple(self._list(f"axes_{name}")(0)) == axis for name, axis in _AXES.items())
        self._market = self._part(Market, "market_")
        self._books = self._part(Books, "books_")
        self._states = self._part(States, "states_")
        self._symbols, self._accounts = self._list("market_symbols"), self._list("accounts")
        self._ids, self._configs = self._list("decision_ids"), self._list("config_hashes")

    def cycle(self, row: int) -> CycleInputs:
        sizes = (len(self._accounts(row)), len(self._symbols(row)))
        parts = (read(row, sizes) for read in (self._market, self._books, self._states))
        one: Any = self._columns
        return CycleInputs(
            view=View(*parts),
            annual=float(one["annual"][row]),
            firm_bound=bool(one["firm_bound"][row]),
            decision_ids=tuple(self._ids(row)),
            config_hashes=tuple(self._configs(row)),
            market=one["market_hash"][row],
        )

    def _list(self, name: str) -> Callable[[int], Any]:
        column = self._columns[name]
        assert isinstance(column, Lists)
        values, starts = column.values, column.starts.tolist()
        return lambda row: values[starts[row] : starts[row + 1]]

    def _part(self, kind: Any, prefix: str) -> _Cell:
        cells = [(f.name, self._cell(kind, prefix, f)) for f in fields(kind) if f.init]
        return lambda row, sizes: kind(**{name: read(row, sizes) for name, read in cells})

    def _cell(self, kind: Any, prefix: str, f: Field[Any]) -> _Cell:
        """How one field of a part is read."""
        name, said = prefix + f.name, str(f.type)
        stored = _NAMED.get(name, name)
        if said in _PARTS:
            return self._part(_PARTS[said], f"{name}_")
        if name in _DERIVED:
            return lambda _, sizes: np.zeros(sizes[0], dtype=np.int64)
        if name in _ROLLING:
            return self._matrix(name)
        if stored not in self._columns and said.endswith("None"):
            return lambda _, sizes: None
        if stored not in self._columns and kind is not Market:
            return lambda _, sizes: getattr(_plain(kind, sizes), f.name)
        if said in _PLAIN:
            column, made = self._columns[stored], _PLAIN[said]
            return lambda row, _: made(column[row])  # type: ignore[index]
        read = self._list(stored)
        if said in _SETS:
            collect = _SETS[said]
            return lambda row, _: collect(read(row))
        if kind in (Market, InstrumentFacts, Signals):
            if said.endswith("None"):
                return lambda row, _: found if len(found := read(row)) else None
            return lambda row, _: read(row)
        if f.name in _AXIS_OF and not self._known_axes:
            return self._realigned(read, _AXIS_OF[f.name], f.name)
        return self._shaped(read, kind, f.name, optional=said.endswith("None"))

    def _matrix(self, name: str) -> _Cell:
        log: Any = self._columns[name]
        first: Any = self._columns[f"{name}_start"]
        rows: Any = self._columns[f"{name}_rows"]

        def read(row: int, sizes: _Sizes) -> Any:
            start, length, width = int(first[row]), int(rows[row]), sizes[1]
            return log.values[start : start + length * width].reshape(length, width)

        return read

    def _shaped(self, read: Callable[[int], Any], kind: Any, name: str, *, optional: bool) -> _Cell:
        shape = lru_cache(maxsize=8)(lambda sizes: np.shape(getattr(_plain(kind, sizes), name)))

        def shaped(row: int, sizes: _Sizes) -> Any:
            values = read(row)
            return None if optional and not len(values) else values.reshape(shape(sizes))

        return shaped

    def _realigned(self, read: Callable[[int], Any], axis: str, name: str) -> _Cell:
        """Rows by the names of their rules, where the version that stored them had others."""
        names = self._list(f"axes_{axis}")

        def read_aligned(row: int, sizes: _Sizes) -> Any:
            stored, made = tuple(names(row)), getattr(_plain(States, sizes), name).copy()
            found = read(row).reshape(made.shape[0], len(stored), *made.shape[2:])
            for place, rule_id in enumerate(_AXES[axis]):
                if rule_id in stored:
                    made[:, place] = found[:, stored.index(rule_id)]
            return made

        return read_aligned


_PLAIN: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "dt.date": dt.date.fromisoformat}
_SETS: dict[str, Callable[[Any], Any]] = {"tuple[str, ...]": tuple, "frozenset[str]": frozenset}


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
