"""What one cycle of a firm was decided from, and how cycles of several firms become one and are taken apart again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from regime_trading.engine.cycle import firm_index
from regime_trading.guards.facts import Brokerage
from regime_trading.guards.snapshot import Books, States, View


@dataclass(frozen=True, slots=True)
class CycleInputs:
    """All that one cycle of one firm was decided from.

    Parameters
    ----------
    view : View
        As ``guards.chain.decide`` received it.
    annual : float
        Bars a year, as ``decide`` received it.
    firm_bound : bool
        The hashes bind what was seen of the rest of the firm (the gate).
    decision_ids, config_hashes : tuple of str
        Of every account in the view; a decision id is empty where the account was seen but not decided.
    market : str
        Digest of the market (``engine.record.market_hash``).
    """

    view: View
    annual: float
    firm_bound: bool
    decision_ids: tuple[str, ...]
    config_hashes: tuple[str, ...]
    market: str


def of_firm(cycle: CycleInputs, firm_id: str) -> CycleInputs:
    """The rows of one firm, in their order."""
    accounts = cycle.view.books.accounts
    at = [row for row, name in enumerate(accounts) if name.partition("/")[0] == firm_id]
    rows: Any = slice(at[0], at[-1] + 1) if at == list(range(at[0], at[-1] + 1)) else at
    view = cycle.view

    def picked(part: Any) -> dict[str, Any]:
        found = {f.name: getattr(part, f.name) for f in fields(part)}
        return {k: v[rows] if isinstance(v, np.ndarray) else v for k, v in found.items()}

    own = picked(view.books) | {
        "accounts": tuple(accounts[row] for row in at),
        "firm": np.zeros(len(at), dtype=np.int64),
        "broker": Brokerage(**picked(view.books.broker)),
    }
    return replace(
        cycle,
        view=View(view.market, Books(**own), States(**picked(view.states))),
        decision_ids=tuple(cycle.decision_ids[row] for row in at),
        config_hashes=tuple(cycle.config_hashes[row] for row in at),
    )


def joined(cycles: Sequence[CycleInputs]) -> CycleInputs:
    """Cycles of several firms at one instant of one market as one; the inverse of :func:`of_firm`.

    They must agree in market, bars a year, binding and in what their brokers say (:func:`join_key`).
    """
    first, views = cycles[0], [cycle.view for cycle in cycles]
    if len(cycles) == 1:
        return first

    def rows(parts: Sequence[Any]) -> dict[str, Any]:
        found = {f.name: [getattr(part, f.name) for part in parts] for f in fields(parts[0])}
        return {k: np.concatenate(v) for k, v in found.items() if isinstance(v[0], np.ndarray)}

    books = [_with_imposed(view.books) for view in views]
    accounts = tuple(name for view in views for name in view.books.accounts)
    brokers = [one.broker for one in books]
    own = rows(books) | {
        "accounts": accounts,
        "firm": firm_index(accounts)[1],
        "broker": replace(brokers[0], **rows(brokers)),
    }
    return replace(
        first,
        view=View(views[0].market, Books(**own), States(**rows([view.states for view in views]))),
        decision_ids=tuple(name for cycle in cycles for name in cycle.decision_ids),
        config_hashes=tuple(name for cycle in cycles for name in cycle.config_hashes),
    )


def join_key(cycle: CycleInputs) -> tuple[Any, ...]:
    """What cycles have in common that may be decided in one call."""
    view = cycle.view
    return view.market.ts_ns, cycle.market, cycle.annual, cycle.firm_bound, view.books.broker.provided


def _with_imposed(books: Books) -> Books:
    """That nothing is imposed on an account is its least state, ``NORMAL``."""
    if books.imposed_state is not None:
        return books
    return replace(books, imposed_state=np.zeros(len(books.accounts), dtype=np.int8))
