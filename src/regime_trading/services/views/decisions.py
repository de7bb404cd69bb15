"""Decisions of the Portfolio Manager (``/decisions``, ``/actions``): the list, and one of them whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from regime_trading.core.errors import BadInput, CheckFailed, NotThere
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS
from regime_trading.core.record_query import EntryQuery, Key, key_of
from regime_trading.core.recorded import Recorded
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.core.rules import TradingState as State
from regime_trading.core.schemas import EventType
from regime_trading.services.views.base import (
    Account,
    Asker,
    DecimalText,
    Fraction,
    Hash,
    Instant,
    Shown,
    instant,
    nano,
    number,
    plain,
)
from regime_trading.services.views.pages import Page, key_in, page_of, require_limit
from regime_trading.services.views.redaction import is_money, safe_rationale
from regime_trading.services.views.sources import FirmSources, ids_of

_MOST_CONSEQUENCES = 200
_ID_DIGITS = 64
KINDS = (EventType.DECISION.value, EventType.DEGRADED.value)
Outcome = Literal["approve", "resize", "block", "reduce_only", "flatten", "lock", "hold"]
TradingState = Literal["NORMAL", "REDUCE_ONLY", "FLATTEN", "LOCKED"]
RuleOutcome = Literal["pass", "bound", "unknown", "not_evaluable", "off"]
Env = Literal["dry_run", "shadow", "gated_live"]


class Place(Shown):
    """Where an entry stands in the record."""

    chain_id: str = Field(description="chain of entries, each bound to the one before by its hash")
    seq: int = Field(description="position in the chain, from 1, without gaps")
    entry_hash: Hash
    prev_hash: Hash
    event_id: str = Field(description="UUID made of chain and position")
    stored: Literal["sealed", "write_ahead"] = Field(description="in a sealed file, or not sealed yet")


class RuleResult(Shown):
    """What one rule said of a decision."""

    rule_id: str
    title: str
    guard: int | None = Field(
        description="number of its guard, 1 to 6; null where the rule is not known any more"
    )
    outcome: RuleOutcome = Field(
        description="unknown = an input was missing, so the rule was at its most careful"
    )
    unit: str | None = Field(description="of value and limit")
    value: DecimalText | None = Field(description="what was measured; null = not known")
    limit: DecimalText | None = Field(description="null = not known or none; unlimited = off")
    reason_codes: tuple[str, ...]


class TargetRow(Shown):
    """One symbol of a decision, from the proposal to the step that is allowed."""

    symbol: str
    proposed_weight: Fraction = Field(description="fraction of equity that was proposed")
    current_weight: Fraction = Field(description="fraction of equity that was held")
    target_weight: Fraction = Field(description="fraction of equity that is allowed")
    current_quantity: DecimalText | None = Field(
        description="units, signed; null where amounts are not shown"
    )
    target_quantity: DecimalText | None
    step_quantity: DecimalText | None = Field(description="what may be traded now, signed")
    limiting_rules: tuple[str, ...] = Field(description="rules that kept the target from the proposal")


class DecisionRow(Shown):
    """One decision in a list."""

    decision_id: str | None = Field(description="null where a run was held before it decided")
    account: Account
    env: Env
    run_id: str
    as_of: Instant = Field(description="the instant that was decided")
    recorded_at: Instant
    outcome: Outcome
    trading_state_before: TradingState | None
    trading_state_after: TradingState | None
    binding_rules: tuple[str, ...] = Field(description="rules that bound, guard 3 first")
    equity: DecimalText | None = Field(description="account currency; null = not known, or not shown")
    drawdown: Fraction | None = Field(description="of the unit value from its high-water mark")
    changed_symbols: int | None = Field(description="symbols of which something may be traded now")
    rationale: str
    degraded: bool = Field(description="made while a store of the record was down: only what reduces")
    redacted: bool = Field(description="amounts are left out")
    place: Place


class InputReferences(Shown):
    """Hashes of everything the decision follows from; with them it can be made again."""

    snapshot_hash: Hash
    proposal_hash: Hash
    state_hash: Hash
    config_hash: Hash
    code_version: str
    feature_set_version: str
    stored_inputs: tuple[str, ...] = Field(
        description="files of stored inputs whose span of time holds the decision"
    )


class Consequence(Shown):
    """An entry that the decision led to: breaches, latches, orders, fills."""

    seq: int
    chain_id: str
    event_type: str
    rule_id: str
    as_of: Instant
    rationale: str


class Decision(DecisionRow):
    """One decision whole."""

    throttle: Fraction | None = Field(description="factor on the whole book")
    budget_factor: Fraction | None = Field(description="factor of the volatility budget")
    targets: tuple[TargetRow, ...]
    rules: tuple[RuleResult, ...] = Field(description="every rule, in guard order")
    reason_codes: tuple[str, ...]
    substitutes: tuple[str, ...] = Field(description="inputs that a declared substitute stood in for")
    findings: tuple[str, ...] = Field(description="why a held run was not valid")
    inputs: InputReferences | None
    consequences: tuple[Consequence, ...]


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions; empty = any. Instants are UTC nanoseconds, both included."""

    account: str = ""
    rule_id: str = ""
    outcome: str = ""
    trading_state: str = ""
    env: str = ""
    run_id: str = ""
    from_ns: int = EARLIEST_NS
    to_ns: int = LATEST_NS


def decisions(
    sources: FirmSources,
    asker: Asker,
    wanted: DecisionFilter | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[DecisionRow]:
    """Decisions of the accounts the asker may see, newest first.

    Raises
    ------
    NotThere
        An account that is filtered for does not exist, or not for this asker.
    BadInput
        A cursor of other filters, or a limit that no page has.
    """
    wanted = wanted or DecisionFilter()
    accounts = sources.readable(asker)
    if wanted.account:
        sources.require(asker, wanted.account)
        accounts = (wanted.account,)
    query = EntryQuery(
        accounts=ids_of(accounts),
        kinds=KINDS,
        envs=(wanted.env,) if wanted.env else (),
        run_id=wanted.run_id,
        rule_id=wanted.rule_id,
        outcome=wanted.outcome,
        trading_state=wanted.trading_state,
        from_ns=wanted.from_ns,
        to_ns=wanted.to_ns,
    )
    asked = ["decisions", sources.firm_id, *map(str, (getattr(wanted, name) for name in wanted.__slots__))]
    before = before_of(cursor, asked)
    found = sources.record.newest(query, before, require_limit(limit) + 1)
    return page_of(found, asked, limit, lambda entry: decision_row(entry, asker), key_of)


def decision(sources: FirmSources, asker: Asker, account: str, decision_id: str) -> Decision:
    """One decision whole, by its id.

    Raises
    ------
    NotThere
        There is none of that id in the account, or not for this asker.
    """
    sources.require(asker, account)
    if len(decision_id) != _ID_DIGITS or not decision_id.isalnum():
        raise NotThere("decision", decision_id)
    query = EntryQuery(accounts=ids_of((account,)), kinds=KINDS, correlation_id=decision_id)
    found = sources.record.newest(query, None, 1)
    if not found:
        raise NotThere("decision", decision_id)
    return _whole(sources, asker, found[0])


def decision_at(sources: FirmSources, asker: Asker, chain_id: str, seq: int) -> Decision:
    """One decision whole, by its place in the record; raises as :func:`decision`."""
    entry = sources.record.entry(chain_id, seq)
    if entry is None or entry.event_type not in KINDS:
        raise NotThere("decision", f"{chain_id} {seq}")
    sources.require(asker, entry.account)
    return _whole(sources, asker, entry)


def before_of(cursor: str | None, asked: Any) -> Key | None:
    """Where the page of a cursor begins, in the order of all entries.

    Raises
    ------
    BadInput
        A cursor of another list or other filters.
    """
    parts = key_in(cursor, asked, 3)
    if parts is None:
        return None
    try:
        return Key(int(parts[0]), parts[1], int(parts[2]))
    except ValueError as error:
        raise BadInput(expected="a cursor of this list", found="another text", where="cursor") from error


def said_in(entry: Recorded) -> dict[str, Any]:
    """What was decided: the fields of a DECISION, or of the decision that a DEGRADED entry tells of."""
    said = entry.fields()
    if entry.event_type != EventType.DEGRADED:
        return said
    entries: list[dict[str, Any]] = said["entries"]
    inside = next((one for one in entries if one.get("event_type") == EventType.DECISION), {})
    return {**said, **{key: value for key, value in inside.items() if key not in _KEPT}}


def state_name(state: State) -> TradingState:
    """Name of a trading state."""
    name: TradingState = state.name  # type: ignore[assignment]
    return name


def place_of(entry: Recorded, said: Mapping[str, Any]) -> Place:
    """Where an entry stands in the record."""
    return Place(
        chain_id=entry.chain_id,
        seq=entry.seq,
        entry_hash=entry.entry_hash,
        prev_hash=entry.prev_hash,
        event_id=said["event_id"],
        stored="sealed" if entry.place.startswith("audit/") else "write_ahead",
    )


def decision_row(entry: Recorded, asker: Asker) -> DecisionRow:
    """An entry as a row of the list."""
    return DecisionRow(**_row_fields(entry, said_in(entry), asker.shows_amounts(entry.account)))


def rule_results(said: Mapping[str, Any], shows: bool) -> tuple[RuleResult, ...]:
    """What every rule said, in the order in which it was recorded."""
    return tuple(_rule(row, shows) for row in said.get("rules", ()))


def target_rows(said: Mapping[str, Any], shows: bool) -> tuple[TargetRow, ...]:
    """Targets of a decision, symbol by symbol."""
    columns = said.get("targets")
    if not columns:
        return ()
    return tuple(
        TargetRow(
            symbol=symbol,
            proposed_weight=nano(columns["proposed_w_e9"][n]),
            current_weight=nano(columns["current_w_e9"][n]),
            target_weight=nano(columns["target_w_e9"][n]),
            current_quantity=plain(columns["current_qty"][n]) if shows else None,
            target_quantity=plain(columns["target_qty"][n]) if shows else None,
            step_quantity=plain(columns["step_qty"][n]) if shows else None,
            limiting_rules=tuple(columns["limiting_rules"][n]),
        )
        for n, symbol in enumerate(columns["symbol"])
    )


_KEPT = frozenset({"event_id", "seq", "event_type", "ts_event_ns", "ts_recorded_ns", "reason_codes"})


def _rule(row: Mapping[str, Any], shows: bool) -> RuleResult:
    spec = RULE_BY_ID.get(row["rule_id"])
    hidden = not shows and is_money(row["rule_id"])
    return RuleResult(
        rule_id=row["rule_id"],
        title=row["rule_id"] if spec is None else spec.title,
        guard=None if spec is None else int(spec.guard),
        outcome=row["outcome"],
        unit=None if spec is None else spec.measure.unit,
        value=None if hidden else plain(row["value"]),
        limit=None if hidden else plain(row["limit"]),
        reason_codes=tuple(row["reason_codes"]),
    )


def _row_fields(entry: Recorded, said: Mapping[str, Any], shows: bool) -> dict[str, Any]:
    steps = said.get("targets", {}).get("step_qty")
    return {
        "decision_id": said["decision_id"],
        "account": entry.account,
        "env": said["env"],
        "run_id": said["run_id"],
        "as_of": instant(entry.ts_event_ns),
        "recorded_at": instant(int(said["ts_recorded_ns"])),
        "outcome": said["outcome"],
        "trading_state_before": said.get("trading_state_before"),
        "trading_state_after": said.get("trading_state_after"),
        "binding_rules": tuple(said.get("binding_rules", ())),
        "equity": plain(said.get("equity")) if shows else None,
        "drawdown": number(said.get("drawdown")),
        "changed_symbols": None if steps is None else sum(number(step) != 0 for step in steps),
        "rationale": said["rationale"] if shows else safe_rationale(said),
        "degraded": entry.event_type == EventType.DEGRADED,
        "redacted": not shows,
        "place": place_of(entry, said),
    }


def _whole(sources: FirmSources, asker: Asker, entry: Recorded) -> Decision:
    said, shows = said_in(entry), asker.shows_amounts(entry.account)
    findings = said.get("findings", ())
    return Decision(
        **_row_fields(entry, said, shows),
        throttle=number(said.get("throttle")),
        budget_factor=number(said.get("budget_factor")),
        targets=target_rows(said, shows),
        rules=rule_results(said, shows),
        reason_codes=tuple(said["reason_codes"]),
        substitutes=tuple(said.get("substitutes", ())),
        findings=tuple(
            f"{found['check']}: expected {found['expected']}, found {found['found']}" for found in findings
        )
        if shows
        else tuple(found["check"] for found in findings),
        inputs=_inputs(sources, entry, said),
        consequences=_consequences(sources, entry, said, shows),
    )


def _inputs(sources: FirmSources, entry: Recorded, said: Mapping[str, Any]) -> InputReferences | None:
    if "snapshot_hash" not in said:
        return None
    return InputReferences(
        snapshot_hash=said["snapshot_hash"],
        proposal_hash=said["proposal_hash"],
        state_hash=said["state_hash"],
        config_hash=said["config_hash"],
        code_version=said["code_version"],
        feature_set_version=said["feature_set_version"],
        stored_inputs=input_parts(sources, said["run_id"], entry.ts_event_ns),
    )


def input_parts(sources: FirmSources, run_id: str, ts_ns: int) -> tuple[str, ...]:
    """Files of stored inputs of a run whose span of time, which their names tell, holds an instant."""
    return tuple(p for p in sources.inputs.parts(sources.firm_id, run_id) if _spans(p, ts_ns))


def _spans(path: str, ts_ns: int) -> bool:
    kind, first, *rest = path.rsplit("/", 1)[1].split("-")
    try:
        return int(first) <= ts_ns <= int(rest[0] if kind == "part" else first)
    except (ValueError, IndexError) as error:
        raise CheckFailed(f"{path}: not the name of stored inputs") from error


def _consequences(
    sources: FirmSources, entry: Recorded, said: Mapping[str, Any], shows: bool
) -> tuple[Consequence, ...]:
    """Entries of the same chain that name the decision as what they belong to, in their order."""
    if not said["decision_id"]:
        return ()
    query = EntryQuery(
        accounts=(entry.chain_id.rsplit("/", 1)[1],),
        chain_id=entry.chain_id,
        correlation_id=said["decision_id"],
    )
    found = sources.record.newest(query, None, _MOST_CONSEQUENCES)
    return tuple(
        Consequence(
            seq=one.seq,
            chain_id=one.chain_id,
            event_type=one.event_type,
            rule_id=fields["rule_id"],
            as_of=instant(one.ts_event_ns) or "",
            rationale=fields["rationale"] if shows else safe_rationale(fields),
        )
        for one in reversed(found)
        if one.seq != entry.seq
        for fields in (one.fields(),)
    )
