"""When the store cannot take a decision: what is kept of it elsewhere, and how it gets into the record later.

A degraded decision may only reduce. It is kept in the spool, a second place, with the state after it; the next healthy
opening writes one DEGRADED entry for each, in order and before any new decision, together with that state, so that a
lockout that was found meanwhile holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from regime_trading.core.audit import chain_id
from regime_trading.core.canonical import canonical_json
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.errors import CheckFailed, StoreDown
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.ports import AuditLog, Ledger, Spool
from regime_trading.core.schemas import (
    AccountState,
    ActorType,
    EventType,
    Mode,
    Order,
    PMDecision,
    PortfolioSnapshot,
)
from regime_trading.engine.record import SCHEDULER, Chain, Identity, write_cycle
from regime_trading.engine.requests import Answer

AUDIT_DEGRADED = "AUDIT_DEGRADED"
SAID = f" {AUDIT_DEGRADED}: the audit store cannot take it; only what reduces risk is allowed."
_TOLD = ("event_type", "rule_id", "rationale", "reason_codes", "ts_event_ns")
_HEADER = frozenset(
    {
        *("schema_name", "schema_version", "event_id", "firm_id", "account_id", "run_id", "env", "seq"),
        *("feature_set_version", "ts_recorded_ns", "actor", "correlation_id", "causation_id"),
        *("config_hash", "code_version", *_TOLD),
    }
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One degraded decision as it waits in the spool."""

    identity: Identity
    decision_id: str
    as_of_ns: int
    state: AccountState
    portfolio: PortfolioSnapshot
    payload: dict[str, Any]


def waiting_body(answer: Answer, decision: PMDecision, why: str) -> bytes:
    """What the spool keeps of a degraded decision, in canonical form."""
    who = answer.identity
    chain = Chain(who, mode=int(answer.cycle.decisions.mode_before[answer.row]))
    released = [gone for gone in answer.cycle.released if gone.account == answer.row]
    write_cycle(chain, answer.cycle, answer.row, answer.hashes, released)
    whole = {
        "identity": {name: getattr(who, name) for name in Identity.__slots__},
        "decision_id": decision.decision_id,
        "as_of_ns": str(decision.as_of_ns),
        "state": answer.state.model_dump_json(),
        "portfolio": answer.portfolio.model_dump_json(),
        "payload": {
            "store": "audit",
            "spooled": [decision.decision_id],
            "why": why,
            "decided_at_ns": str(decision.as_of_ns),
            "decision_id": decision.decision_id,
            "outcome": decision.outcome.value,
            "trading_state_before": decision.trading_state_before.name,
            "trading_state_after": decision.trading_state_after.name,
            "orders": [order.model_dump_json() for order in decision.orders],
            "entries": [_told(event.body) for event in chain.take()],
        },
    }
    return canonical_json(whole)


def waiting(body: bytes) -> Waiting:
    """A spooled body read back.

    Raises
    ------
    CheckFailed
        It is not one.
    """
    try:
        whole = orjson.loads(body)
        return Waiting(
            Identity(**whole["identity"]),
            whole["decision_id"],
            int(whole["as_of_ns"]),
            AccountState.model_validate_json(whole["state"]),
            PortfolioSnapshot.model_validate_json(whole["portfolio"]),
            whole["payload"],
        )
    except (ValueError, KeyError, TypeError) as err:
        raise CheckFailed(f"spool: not a degraded decision: {type(err).__name__}: {err}") from err


def reconcile(
    spool: Spool, audit: AuditLog, ledger: Callable[[Mode], Ledger], alarm: Callable[[str], None]
) -> int:
    """Write what waits in a firm's spool into its chains, oldest first, and put the spool away; how many it was.

    Raises
    ------
    StoreDown
        The store still cannot take it; everything waits on.
    CheckFailed, NotDurable
        The spool is damaged, or contradicts the chains; everything waits on.
    """

    def apply(bodies: Sequence[bytes]) -> None:
        for body in bodies:
            one = waiting(body)
            _record(one, audit, ledger(Mode(one.identity.env)))

    done = spool.settle(apply)
    if done:
        alarm(f"{AUDIT_DEGRADED} is over: {done} decisions of the spool are in the record now")
    return done


class BlindLedger:
    """What can still be known of the states of one firm: what waits in the spool, then what the store still shows.

    Parameters
    ----------
    store : callable
        The ledger, where it can be opened.
    waits : sequence of Waiting
        Degraded decisions of the firm.
    env : str
        Environment of the ledger.
    """

    def __init__(self, store: Callable[[], Ledger], waits: Sequence[Waiting], env: str) -> None:
        self._store, self._waits, self._env = store, waits, env

    def load(
        self, account: str, before_ns: int
    ) -> tuple[AccountState, PortfolioSnapshot, tuple[Order, ...]] | None:
        """As :meth:`Ledger.load`; None also where nothing can be known."""
        found = [
            one
            for one in self._waits
            if (one.identity.name, one.identity.env) == (account, self._env) and one.as_of_ns < before_ns
        ]
        if found:
            last = max(found, key=lambda one: one.as_of_ns)
            return last.state, last.portfolio, ()
        try:
            return self._store().load(account, before_ns)
        except StoreDown:
            return None

    def load_beside(
        self, account: str, decided: str, as_of_ns: int
    ) -> tuple[AccountState, PortfolioSnapshot] | None:
        """As :meth:`Ledger.load_beside`; None also where nothing can be known."""
        try:
            return self._store().load_beside(account, decided, as_of_ns)
        except StoreDown:
            return None


def _record(one: Waiting, audit: AuditLog, ledger: Ledger) -> None:
    """One DEGRADED entry with the state after it; nothing happens where it is there."""
    who = one.identity
    if ledger.decided(who.name, one.decision_id):
        return
    name = chain_id(who.env, who.run_id, who.firm_id, who.account_id)
    head, _ = audit.head(name)
    last = audit.entries(name, head - 1)[0].event.ts_event_ns if head else one.as_of_ns
    chain = Chain(who, seq=head)
    chain.write(
        max(one.as_of_ns, last),
        EventType.DEGRADED,
        one.payload,
        actor=(ActorType.SERVICE, SCHEDULER),
        rationale=f"Decided while the audit store was down: {one.payload['outcome']}, only what reduces.",
        reason_codes=(AUDIT_DEGRADED,),
        correlation_id=one.decision_id,
    )
    state, portfolio = _in_force(one, ledger)
    ledger.commit_decisions([DecisionCommit(state, portfolio, (), chain.take(), who.run_id, one.decision_id)])


def _in_force(one: Waiting, ledger: Ledger) -> tuple[AccountState, PortfolioSnapshot]:
    """State and book that hold from here on: those after the degraded decision, or, where somebody decided later
    already, theirs with every lockout that the degraded decision knew beside."""
    stored = ledger.load(one.identity.name, LATEST_NS)
    if stored is None or stored[0].as_of_ns <= one.as_of_ns:
        return one.state, one.portfolio
    held = {latch.rule_id for latch in stored[0].latches}
    more = tuple(latch for latch in one.state.latches if latch.rule_id not in held)
    return stored[0].model_copy(update={"latches": (*stored[0].latches, *more)}), stored[1]


def _told(body: bytes) -> dict[str, Any]:
    """What an entry would have said, without the place in a chain that it never had."""
    whole = orjson.loads(body)
    return {key: value for key, value in whole.items() if key in _TOLD or key not in _HEADER}
