"""From arrays to the record: audit entries and RL rows of every cycle, in canonical form, without a clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from regime_trading.core.audit import EventHeader, audit_event
from regime_trading.core.canonical import array_hash, content_hash, sha256_hex
from regime_trading.core.numbers import I8
from regime_trading.core.rl_features import FEATURE_SET_VERSION
from regime_trading.core.rules import (
    LATCHING_RULES,
    NANO_RULES,
    RULE_BY_ID,
    RULE_IDS,
    Guard,
    Release,
    TradingState,
)
from regime_trading.core.schemas import RULE_OUTCOMES, ActorType, AuditEvent, EventType
from regime_trading.engine.cycle import Cycle, Released
from regime_trading.engine.fills import Fills
from regime_trading.guards.attribution import rule_names
from regime_trading.guards.chain import OUTCOMES, Decisions
from regime_trading.guards.snapshot import Market, States, View
from regime_trading.guards.verdict import BOUND, UNKNOWN

SCHEDULER = "engine"
NOT_CURRENT = " The configuration in force is not current."
_ENDED = {Release.TIMED: "its time is up", Release.NEXT_SESSION: "a new trading day began"}
_BREACH_GUARDS = frozenset({Guard.DATA_SANITY, Guard.BLACKOUT, Guard.DRAWDOWN})
_BREACH_ROWS = np.array([RULE_BY_ID[r].guard in _BREACH_GUARDS for r in RULE_IDS])
_ATTRIBUTION = sorted(
    range(len(RULE_IDS)), key=lambda r: (RULE_BY_ID[RULE_IDS[r]].guard != Guard.DRAWDOWN, r)
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose chain, and under which configuration and code."""

    firm_id: str
    account_id: str
    run_id: str
    env: str
    config_hash: str
    code_version: str

    @property
    def name(self) -> str:
        """``firm/account``."""
        return f"{self.firm_id}/{self.account_id}"


@dataclass(frozen=True, slots=True)
class DecisionHashes:
    """What a decision was made of; ``decision_id`` binds all of it."""

    snapshot: str
    proposal: str
    state: str
    decision_id: str


@dataclass(slots=True)
class Chain:
    """The growing entries of one account; ``mode`` and ``breached`` remember the last cycle for transitions."""

    identity: Identity
    seq: int = 0
    mode: int = 0
    breached: np.ndarray = field(default_factory=lambda: np.zeros(len(RULE_IDS), dtype=np.bool_))
    events: list[AuditEvent] = field(default_factory=list)
    last_decision: str = ""

    def write(
        self,
        ts_ns: int,
        kind: EventType,
        payload: dict[str, Any],
        *,
        actor: tuple[ActorType, str] = (ActorType.SERVICE, SCHEDULER),
        rule_id: str = "",
        rationale: str = "",
        reason_codes: tuple[str, ...] = (),
        correlation_id: str = "",
        causation_id: str = "",
    ) -> int:
        """Append one entry and return its sequence number."""
        self.seq += 1
        who = self.identity
        header = EventHeader(
            firm_id=who.firm_id,
            account_id=who.account_id,
            run_id=who.run_id,
            env=who.env,
            seq=self.seq,
            ts_event_ns=ts_ns,
            event_type=kind,
            actor_type=actor[0],
            actor_id=actor[1],
            feature_set_version=FEATURE_SET_VERSION,
            config_hash=who.config_hash,
            code_version=who.code_version,
            rule_id=rule_id,
            rationale=rationale,
            reason_codes=reason_codes,
            correlation_id=correlation_id,
            causation_id=causation_id,
            ts_recorded_ns=ts_ns,
        )
        self.events.append(audit_event(header, payload, trusted=True))
        return self.seq

    def take(self) -> list[AuditEvent]:
        """Hand over what has been written since the last call."""
        events, self.events = self.events, []
        return events


def number_text(value: float) -> str | None:
    """Shortest text of a measured number, one for both zeros; None where there is none."""
    return None if value != value else _text(float(value) + 0.0)


@lru_cache(maxsize=16_384)
def _text(value: float) -> str:
    if math.isinf(value):
        return "unlimited" if value > 0 else "-unlimited"
    return repr(value)


def market_hash(market: Market) -> str:
    """SHA-256 of everything the guards saw of the market."""
    arrays: dict[str, np.ndarray | None] = {}
    plain: dict[str, object] = {}
    _collect(market, "", arrays, plain)
    return sha256_hex((content_hash(plain) + array_hash(arrays)).encode())


def _collect(part: Any, prefix: str, arrays: dict[str, Any], plain: dict[str, object]) -> None:
    """Every field of a tree of dataclasses that says something: arrays apart, the rest as text. One that is None is as
    one that an older version did not have."""
    for field_ in fields(part):
        name, value = prefix + field_.name, getattr(part, field_.name)
        if not field_.compare or value is None:
            continue
        if isinstance(value, np.ndarray):
            arrays[name] = value
        elif is_dataclass(value):
            _collect(value, f"{name}.", arrays, plain)
        elif isinstance(value, frozenset | tuple):
            plain[name] = sorted(value) if isinstance(value, frozenset) else list(value)
        else:
            plain[name] = repr(float(value)) if isinstance(value, float) else str(value)


def decision_hashes(view: View, market_digest: str, identities: Sequence[Identity]) -> list[DecisionHashes]:
    """Hashes of every account's snapshot, proposal and state, and the decision ids they make."""
    books = view.books
    states = _rows([getattr(view.states, name) for name in States.__dataclass_fields__])
    broker = [getattr(books.broker, f.name) for f in fields(books.broker) if f.name != "provided"]
    said = ",".join(sorted(books.broker.provided)).encode()
    own = _rows(
        [
            books.equity,
            books.balance,
            books.equity_estimated,
            books.equity_age_bars,
            books.qty,
            books.working_exit_qty,
            np.zeros(len(books.accounts)) if books.imposed_state is None else books.imposed_state,
            *broker,
        ]
    )
    asked = _rows([books.proposal_age_bars, books.mentioned, books.proposed])
    out = []
    for a, who in enumerate(identities):
        snapshot = sha256_hex(market_digest.encode() + said + own[a].tobytes())
        proposal = sha256_hex(asked[a].tobytes())
        state = sha256_hex(states[a].tobytes())
        whole = "|".join((who.name, who.run_id, snapshot, proposal, state, who.config_hash, who.code_version))
        out.append(DecisionHashes(snapshot, proposal, state, sha256_hex(whole.encode())))
    return out


def _rows(columns: Sequence[Any]) -> I8:
    """Everything of one account in one row, bit by bit: integers as they are, floats by their bits."""
    wide = []
    for column in columns:
        flat = np.asarray(column).reshape(len(column), -1)
        bits = flat.view(np.int64) if flat.dtype == np.float64 else flat.astype(np.int64)
        wide.append(bits)
    return np.ascontiguousarray(np.column_stack(wide))


def binding(decisions: Decisions, account: int) -> list[int]:
    """Rows of the rules that bound this account, by what they see now or by a latch they hold it with; guard 3 first,
    then in guard order."""
    named = set(rule_names(np.bitwise_or.reduce(decisions.limiting[account], axis=0)))
    holding = set(_codes(LATCHING_RULES, int(decisions.holding[account])))
    said = decisions.rule_outcome[account]
    return [
        r
        for r in _ATTRIBUTION
        if RULE_IDS[r] in holding
        or (said[r] in (BOUND, UNKNOWN) and (RULE_IDS[r] in named or _BREACH_ROWS[r]))
    ]


def rationale(decisions: Decisions, account: int, rows: Sequence[int]) -> str:
    """One sentence from codes alone: the outcome, and each binding rule with its number beside its limit."""
    outcome = OUTCOMES[decisions.outcome[account]]
    if not rows:
        return f"{outcome}: no rule binds."
    parts = []
    for r in rows:
        rule_id = RULE_IDS[r]
        value, limit = (_shown(rule_id, x[account, r]) for x in (decisions.rule_value, decisions.rule_limit))
        measured = f" ({value} against {limit})" if value is not None and limit is not None else ""
        parts.append(f"{rule_id} {RULE_BY_ID[rule_id].title}{measured}")
    return f"{outcome}: {'; '.join(parts)}."


def imposed(view: View, account: int) -> bool:
    """Whether the standing of the configuration holds the account back."""
    state = view.books.imposed_state
    return state is not None and int(state[account]) > TradingState.NORMAL


def _shown(rule_id: str, value: float) -> str | None:
    if np.isnan(value):
        return None
    return format(value / 1e9 if rule_id in NANO_RULES else value, ".6g")


def rule_table(decisions: Decisions, account: int) -> list[dict[str, Any]]:
    """Outcome of every rule for one account, in registry order; weights as plain fractions."""
    values = (decisions.rule_value[account] / _SCALE).tolist()
    limits = (decisions.rule_limit[account] / _SCALE).tolist()
    return [
        {
            "rule_id": rule_id,
            "outcome": RULE_OUTCOMES[outcome],
            "value": number_text(value),
            "limit": number_text(limit),
            "reason_codes": _codes(codes, bits) if bits else [],
        }
        for rule_id, outcome, value, limit, bits, codes in zip(
            RULE_IDS,
            decisions.rule_outcome[account].tolist(),
            values,
            limits,
            decisions.rule_reasons[account].tolist(),
            decisions.rule_codes,
            strict=True,
        )
    ]


def _codes(codes: Sequence[str], bits: int) -> list[str]:
    return [code for b, code in enumerate(codes) if bits >> b & 1]


_SCALE = np.array([1e9 if rule_id in NANO_RULES else 1.0 for rule_id in RULE_IDS])


def target_table(view: View, d: Decisions, account: int) -> dict[str, list[Any]]:
    """Targets of one account as columns over the symbols it holds, proposes or targets; weights times 1e9."""
    qty, plan = view.books.qty[account], d.steps
    current = np.nan_to_num(d.current[account], nan=0.0)
    target = np.nan_to_num(d.projection.target[account], nan=0.0)
    shown = np.flatnonzero((d.proposed[account] != 0) | (qty != 0) | (target != 0))
    symbols = view.market.symbols
    return {
        "symbol": [symbols[i] for i in shown],
        "proposed_w_e9": d.proposed[account][shown].astype(np.int64).tolist(),
        "current_w_e9": current[shown].astype(np.int64).tolist(),
        "target_w_e9": target[shown].astype(np.int64).tolist(),
        "current_qty": [repr(q) for q in qty[shown].tolist()],
        "target_qty": [repr(q) for q in plan.target_qty[account][shown].tolist()],
        "step_qty": [repr(q) for q in plan.step_qty[account][shown].tolist()],
        "limiting_rules": [list(rule_names(words)) for words in d.limiting[account][shown]],
    }


def write_cycle(
    chain: Chain, cycle: Cycle, account: int, hashes: DecisionHashes, released: Iterable[Released]
) -> int:
    """All entries of one account at one bar, in causal order; returns the sequence number of its DECISION."""
    ts_ns = cycle.view.market.ts_ns
    fills, symbols = cycle.fills, cycle.view.market.symbols
    write_fills(chain, fills, account, symbols, ts_ns, "of the orders waiting for this bar")
    for r in released:
        who = (ActorType.SIMULATED, "operator") if r.by_operator else (ActorType.SERVICE, SCHEDULER)
        how = "a simulated operator released it" if r.by_operator else _ended(r)
        chain.write(
            ts_ns,
            EventType.UNLOCK,
            {"release": r.kind.name},
            actor=who,
            rule_id=r.rule_id,
            rationale=f"{r.rule_id} {RULE_BY_ID[r.rule_id].title}: {how}.",
        )
    seq = _write_decision(chain, cycle, account, hashes)
    _write_transitions(chain, cycle, account, hashes.decision_id, ts_ns)
    return seq


def _ended(released: Released) -> str:
    return "a person ended the halt" if released.by_person else _ENDED[released.kind]


def write_fills(
    chain: Chain, fills: Fills, account: int, symbols: tuple[str, ...], ts_ns: int, why: str
) -> None:
    """One FILL entry with all executions of an account at one bar; none where there was none."""
    qty = fills.qty[account]
    done = np.flatnonzero(qty)
    if len(done):
        chain.write(
            ts_ns,
            EventType.FILL,
            {
                "symbol": [symbols[i] for i in done],
                "qty": [repr(q) for q in qty[done].tolist()],
                "price": [repr(p) for p in fills.price[account][done].tolist()],
                "fee": [repr(f) for f in fills.fee[account][done].tolist()],
            },
            correlation_id=chain.last_decision,
            rationale=f"{len(done)} {'fill' if len(done) == 1 else 'fills'} {why}.",
        )


def decision_payload(
    view: View, d: Decisions, account: int, hashes: DecisionHashes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a DECISION entry says, from what was seen and what was decided of it: its payload, and the words of its
    header (``rule_id``, ``rationale``, ``reason_codes``, ``correlation_id``).

    Writing an entry and replaying it go through this one function, so that the two can be compared byte by byte.
    """
    rows, held_back = binding(d, account), imposed(view, account)
    payload = {
        "decision_id": hashes.decision_id,
        "outcome": OUTCOMES[d.outcome[account]],
        "trading_state_before": TradingState(int(d.mode_before[account])).name,
        "trading_state_after": TradingState(int(d.mode[account])).name,
        "equity": number_text(view.books.equity[account]),
        "drawdown": number_text(d.rule_value[account, RULE_IDS.index("LD-02")]),
        "throttle": repr(float(d.projection.throttle[account])),
        "budget_factor": repr(float(d.projection.k[account])),
        "targets": target_table(view, d, account),
        "rules": rule_table(d, account),
        "binding_rules": [RULE_IDS[r] for r in rows],
        "substitutes": sorted(view.market.substituted),
        "snapshot_hash": hashes.snapshot,
        "proposal_hash": hashes.proposal,
        "state_hash": hashes.state,
    }
    words = {
        "rule_id": RULE_IDS[rows[0]] if rows else "",
        "rationale": rationale(d, account, rows) + (NOT_CURRENT if held_back else ""),
        "reason_codes": (
            *(("SUBSTITUTE_USED",) if view.market.substituted else ()),
            *(("CONFIG_NOT_CURRENT",) if held_back else ()),
        ),
        "correlation_id": hashes.decision_id,
    }
    return payload, words


def _write_decision(chain: Chain, cycle: Cycle, account: int, hashes: DecisionHashes) -> int:
    chain.last_decision = hashes.decision_id
    payload, words = decision_payload(cycle.view, cycle.decisions, account, hashes)
    return chain.write(cycle.view.market.ts_ns, EventType.DECISION, payload, **words)


def _write_transitions(chain: Chain, cycle: Cycle, account: int, decision_id: str, ts_ns: int) -> None:
    d = cycle.decisions
    for column, rule_id in enumerate(LATCHING_RULES):
        if int(d.latched[account]) >> column & 1:
            _write_latch(chain, cycle, account, column, rule_id, decision_id, ts_ns)
    mode = int(d.mode[account])
    if mode != chain.mode:
        names = TradingState(chain.mode).name, TradingState(mode).name
        chain.write(
            ts_ns,
            EventType.MODE_CHANGE,
            {"before": names[0], "after": names[1]},
            correlation_id=decision_id,
            rationale=f"{names[0]} to {names[1]}.",
        )
        chain.mode = mode
    said = d.rule_outcome[account]
    breached = _BREACH_ROWS & ((said == BOUND) | (said == UNKNOWN))
    for r in np.flatnonzero(breached & ~chain.breached):
        row = rule_table_row(d, account, int(r))
        chain.write(
            ts_ns,
            EventType.RULE_BREACH,
            row,
            actor=(ActorType.RULE, RULE_IDS[r]),
            rule_id=RULE_IDS[r],
            reason_codes=tuple(row.pop("codes")),
            correlation_id=decision_id,
            rationale=f"{RULE_IDS[r]} {RULE_BY_ID[RULE_IDS[r]].title} does not hold.",
        )
    chain.breached = breached


def rule_table_row(decisions: Decisions, account: int, r: int) -> dict[str, Any]:
    """Value, limit and reason codes of one rule for one account."""
    bits = int(decisions.rule_reasons[account, r])
    return {
        "value": number_text(decisions.rule_value[account, r] / _SCALE[r]),
        "limit": number_text(decisions.rule_limit[account, r] / _SCALE[r]),
        "codes": _codes(decisions.rule_codes[r], bits),
    }


def _write_latch(
    chain: Chain, cycle: Cycle, account: int, column: int, rule_id: str, decision_id: str, ts_ns: int
) -> None:
    after = cycle.latched_states
    chain.write(
        ts_ns,
        EventType.LATCH,
        {
            "trading_state": TradingState(int(after.latch_state[account, column])).name,
            "release": Release(int(after.latch_kind[account, column])).name,
            "value": number_text(cycle.decisions.rule_value[account, RULE_IDS.index(rule_id)]),
            "limit": number_text(cycle.decisions.rule_limit[account, RULE_IDS.index(rule_id)]),
        },
        actor=(ActorType.RULE, rule_id),
        rule_id=rule_id,
        correlation_id=decision_id,
        rationale=f"{rule_id} {RULE_BY_ID[rule_id].title} latched.",
    )
