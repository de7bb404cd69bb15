"""Where each account of a paced run stands, read back from what is durable: books, latches, chain, attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson

from regime_trading.core.audit import chain_id
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.errors import CheckFailed
from regime_trading.core.ports import RecordHistory
from regime_trading.core.recorded import Selection
from regime_trading.core.rules import RULE_IDS, TradingState
from regime_trading.core.schemas import EventType
from regime_trading.engine.attempts import AttemptClock
from regime_trading.engine.backtest import HistoryInputs
from regime_trading.engine.carry import Stored
from regime_trading.engine.record import Chain, Identity
from regime_trading.engine.rl_body import OpenEnd, open_end
from regime_trading.services.paced_plan import PacedDeps
from regime_trading.services.pm import breached_rules

_STARTED = "started"


@dataclass(frozen=True, slots=True)
class Seat:
    """One account between two bars.

    Parameters
    ----------
    stored : Stored or None
        Books, latches and waiting orders; None = it has not begun.
    seq, mode, last_decision : int, int, str
        End of its chain, trading state and id of its last decision.
    breached : bool [R]
        Rules that did not hold at that decision.
    end : OpenEnd or None
        What that decision left open in the RL dataset.
    confirmed : bool
        The stored state is the one that the last decision of the chain left. Where it is not, the account may only
        reduce.
    """

    stored: Stored | None
    seq: int
    mode: int
    last_decision: str
    breached: np.ndarray
    end: OpenEnd | None = None
    confirmed: bool = True

    def chain(self, who: Identity) -> Chain:
        """A chain to go on writing; the seat itself stays as it is."""
        return Chain(
            who, seq=self.seq, mode=self.mode, breached=self.breached.copy(), last_decision=self.last_decision
        )


def chain_name(who: Identity) -> str:
    """Name of the chain of an account."""
    return chain_id(who.env, who.run_id, who.firm_id, who.account_id)


def load_seat(who: Identity, before_ns: int, deps: PacedDeps) -> Seat:
    """An account as it stood before ``before_ns``; the state, which holds its latches, is read first.

    Raises
    ------
    CheckFailed
        The chain has decisions, and no state is stored: nobody knows what is held.
    """
    ledger, audit = deps.ledger(who.firm_id), deps.audit(who.firm_id)
    found = ledger.load(who.name, before_ns)
    stored = None if found is None else Stored(*found)
    name = chain_name(who)
    told, (seq, _) = audit.last(name, EventType.DECISION), audit.head(name)
    if told is None:
        nothing = np.zeros(len(RULE_IDS), dtype=np.bool_)
        return Seat(stored, seq, 0, "", nothing, confirmed=stored is None)
    if stored is None and told.event.ts_event_ns < before_ns:
        raise CheckFailed(f"{who.name}: {name} has decisions, and no state is stored; it is not decided")
    said = orjson.loads(told.event.body)
    known = ledger.decided(who.name, said["decision_id"])
    end = ledger.open_ends([who.name], who.run_id).get(who.name)
    return Seat(
        stored,
        seq,
        int(TradingState[said["trading_state_after"]]),
        said["decision_id"],
        breached_rules(told.event.body),
        end=None if end is None else open_end(end),
        confirmed=known and stored is not None and stored.state.as_of_ns == told.event.ts_event_ns,
    )


def last_decided_ns(who: Identity, deps: PacedDeps) -> int | None:
    """Time of the last decision in the chain of an account; None where there is none."""
    told = deps.audit(who.firm_id).last(chain_name(who), EventType.DECISION)
    return None if told is None else told.event.ts_event_ns


def load_clock(inputs: HistoryInputs, bar: int, histories: Mapping[str, RecordHistory]) -> AttemptClock:
    """Where the attempts of all accounts stand before ``bar``; accounts without attempts count nothing."""
    size = inputs.desk.size
    number, first = np.ones(size, dtype=np.int64), np.full(size, bar, dtype=np.int64)
    days, last = np.zeros(size, dtype=np.int64), np.full(size, -1, dtype=np.int64)
    for row in np.flatnonzero(inputs.terms.on).tolist():
        told = _attempt(inputs, row, bar, histories[inputs.identities[row].firm_id])
        number[row], first[row], days[row], last[row] = told
    return AttemptClock(number, first, days, last)


def _attempt(inputs: HistoryInputs, row: int, bar: int, history: RecordHistory) -> tuple[int, int, int, int]:
    """Number, first bar, trading days and last trading day of the attempt that an account is in before ``bar``."""
    who, ts_ns = inputs.identities[row], inputs.market.ts_ns
    kinds = (EventType.ATTEMPT.value, EventType.FILL.value)
    wanted = Selection(
        kinds=kinds, accounts=(who.account_id,), chain_id=chain_name(who), to_ns=int(ts_ns[bar]) - 1
    )
    number, first, days, last = 1, bar, 0, -1
    for entry in history.entries(wanted):
        at = int(np.searchsorted(ts_ns, entry.ts_event_ns))
        if entry.event_type == EventType.FILL:
            day = int(inputs.day_ids[at, row])
            days, last = (days + 1, day) if day > last else (days, last)
            continue
        said = entry.fields()
        if said["status"] == _STARTED:
            number, first, days, last = int(said["attempt"]), at, 0, -1
        else:
            number, first, days, last = int(said["attempt"]) + 1, at + 1, 0, -1
    return number, first, days, last


def seats_after(
    seats: Sequence[Seat],
    chains: Sequence[Chain],
    made: Sequence[DecisionCommit],
    rows: Sequence[int],
) -> list[Seat]:
    """The seats after a bar, for the rows that were committed of what was made."""
    after = list(seats)
    for row in rows:
        chain, one = chains[row], made[row]
        after[row] = replace(
            after[row],
            stored=Stored(one.state, one.portfolio, tuple(one.orders)),
            seq=chain.seq,
            mode=chain.mode,
            last_decision=chain.last_decision,
            breached=chain.breached,
            end=None if one.rl is None else open_end(one.rl.open_end),
            confirmed=True,
        )
    return after
