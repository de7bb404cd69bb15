"""What is in force of an account: its stored state, the entry of the decision that left it, and what that saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regime_trading.core.config_status import Standing
from regime_trading.core.decision_inputs import InputBlock, Lists
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.record_query import EntryQuery
from regime_trading.core.recorded import Recorded
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.core.schemas import Mode
from regime_trading.core.stored_state import StoredState
from regime_trading.engine.inputs import cycles_of
from regime_trading.guards.snapshot import View
from regime_trading.services.views.decisions import KINDS, input_parts, said_in
from regime_trading.services.views.sources import FirmSources


@dataclass(frozen=True, slots=True)
class Current:
    """How an account stands now.

    Parameters
    ----------
    account : str
        ``firm/account``.
    standing : Standing
    mode : Mode or None
        Of the configuration in force; None where there is none.
    stored : StoredState or None
        None where the account was never decided in its mode.
    entry : Recorded or None
        The decision that left ``stored``.
    said : mapping
        What it says; empty without it.
    """

    account: str
    standing: Standing
    mode: Mode | None
    stored: StoredState | None
    entry: Recorded | None
    said: Mapping[str, Any]

    def rule(self, rule_id: str) -> Mapping[str, Any] | None:
        """What a rule said of the last decision; None where there is none."""
        return next((row for row in self.said.get("rules", ()) if row["rule_id"] == rule_id), None)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the guards saw when an account was decided, and its row in it."""

    view: View
    row: int
    annual: float

    def column(self, symbol: str) -> int | None:
        """Column of a symbol."""
        symbols = self.view.market.symbols
        return symbols.index(symbol) if symbol in symbols else None

    def columns(self, symbols: Sequence[str]) -> list[int] | None:
        """Columns of symbols, in their order; None where one of them was not seen."""
        found = [at for symbol in symbols if (at := self.column(symbol)) is not None]
        return found if len(found) == len(symbols) else None


def current(sources: FirmSources, account: str) -> Current:
    """How an account of the firm stands now. Whether somebody may see it is asked before.

    Raises
    ------
    CheckFailed
        What is stored contradicts the record.
    """
    standing = sources.standings[account]
    mode = None if standing.profile is None else standing.profile.mode
    stored = None if mode is None else sources.states.latest(account, mode)
    entry = None if stored is None else _decided(sources, account, stored)
    return Current(account, standing, mode, stored, entry, {} if entry is None else said_in(entry))


def _decided(sources: FirmSources, account: str, stored: StoredState) -> Recorded | None:
    query = EntryQuery(
        accounts=(account.split("/")[1],),
        kinds=KINDS,
        chain_id=stored.chain_id,
        correlation_id=stored.decision_id,
    )
    found = sources.record.newest(query, None, 1)
    return found[0] if found else None


def seen(sources: FirmSources, of: Current) -> Seen | None:
    """What the last decision of an account was made from; None where that is not stored or cannot be read."""
    if of.stored is None or of.entry is None:
        return None
    try:
        for part in input_parts(sources, of.stored.run_id, of.entry.ts_event_ns):
            block = sources.inputs.read(part)
            found = _row_of(block, of.stored.decision_id, of.account)
            if found is not None:
                return found
    except (CheckFailed, BadInput):
        return None
    return None


def _row_of(block: InputBlock, decision_id: str, account: str) -> Seen | None:
    names = block.columns["decision_ids"]
    if not isinstance(names, Lists) or decision_id not in names.values:
        return None
    for cycle in cycles_of(block):
        if decision_id in cycle.decision_ids:
            row = cycle.decision_ids.index(decision_id)
            if cycle.view.books.accounts[row] == account:
                return Seen(cycle.view, row, cycle.annual)
    return None


def title_of(rule_id: str) -> str:
    """Title of a rule; its id where it is not known any more."""
    return RULE_BY_ID[rule_id].title if rule_id in RULE_BY_ID else rule_id
