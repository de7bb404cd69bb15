"""Everything the record holds of one order: proposal, rules, approvals, order, fills, what it earned, and where each
entry lies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from regime_trading.core.errors import BadInput
from regime_trading.core.instants import instant_text
from regime_trading.core.ports import RecordHistory
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.core.schemas import EventType as E
from regime_trading.services.registers import Scope

_SHORTEST = 12  #: digits of a decision's name that may stand for it
_APPROVALS = (E.APPROVAL_REQUESTED, E.APPROVAL_GIVEN, E.APPROVAL_REFUSED, E.APPROVAL_VOID)
_ORDERS = (E.ORDER_SENT, E.ORDER_ACKNOWLEDGED, E.ORDER_CANCELLED, E.ORDER_REJECTED)
_NAME = re.compile(r"([0-9a-f]{24})-\d{3}-\d{3}")  #: how orders are named after their decision
Fields = dict[str, Any]


def dossier(history: RecordHistory, scope: Scope, name: str) -> dict[str, Any]:
    """The dossier of an order (its ``client_order_id``) or of a decision (its id, or at least 12 digits of it).

    Raises
    ------
    BadInput
        Nothing, or more than one decision, of that name in the record of the firm.
    CheckFailed
        Entries that are no longer what was recorded.
    """
    decided, chosen = _find(history, scope, name)
    said = decided.fields()
    account = decided.account.split("/")[1]
    own = Selection(
        accounts=(account,), chain_id=decided.chain_id, mentions=f'"correlation_id":"{said["decision_id"]}"'
    )
    nearby = [e for e in history.entries(own) if e.seq != decided.seq]
    told_orders = [e for e in nearby if e.event_type in _ORDERS]
    others = list(_elsewhere(history, decided, told_orders))
    shown = [e for e in told_orders + others if not chosen or e.fields().get("client_order_id") == chosen]
    fills = _fills(nearby, others, {e.fields()["symbol"] for e in shown if e.event_type == E.ORDER_SENT})
    people = list(_approvals(history, scope, said["decision_id"]))
    parts = {
        "decision": [decided],
        "consequences": [e for e in nearby if e not in told_orders and e not in fills],
        "approvals": people,
        "orders": [e for e in shown if e.event_type in _ORDERS],
        "fills": fills,
    }
    return {
        "name": name,
        "account": decided.account,
        "run": said["run_id"],
        "as_of": instant_text(decided.ts_event_ns),
        "proposal": _proposal(said),
        "rules": _rules(said),
        "result": _result(history, decided, fills),
        **{key: [_shown(entry) for entry in entries] for key, entries in parts.items()},
    }


# --- finding --------------------------------------------------------------------------------------------------


def _find(history: RecordHistory, scope: Scope, name: str) -> tuple[Recorded, str]:
    """The DECISION entry behind a name, and the order it names where it names one."""
    if len(name) < _SHORTEST or not name.isprintable() or '"' in name or "\\" in name:
        raise BadInput(
            expected=f"an order or a decision, at least {_SHORTEST} letters of its name",
            found=repr(name),
            where="dossier",
        )
    accounts = (scope.account_id,) if scope.account_id else ()

    def search(kind: E, mentions: str) -> list[Recorded]:
        wanted = Selection(kinds=(kind.value,), accounts=accounts, run_id=scope.run_id, mentions=mentions)
        return list(history.entries(wanted))

    sent = [e for e in search(E.ORDER_SENT, f'"{name}"') if e.fields()["client_order_id"] == name]
    order = name if sent else ""
    named = _NAME.fullmatch(name)
    digits = sent[0].fields()["decision_id"] if sent else named[1] if named else name
    found = [
        e
        for e in search(E.DECISION, f'"decision_id":"{digits}')
        if e.fields()["decision_id"].startswith(digits)
    ]
    if len({e.fields()["decision_id"] for e in found}) != 1:
        raise BadInput(
            expected="one decision or order of that name",
            found=f"{len(found)} in the record of {scope.account or scope.firm_id}",
            where=name,
        )
    return found[0], order


def _elsewhere(history: RecordHistory, decided: Recorded, sent: Sequence[Recorded]) -> Iterable[Recorded]:
    """What other chains of the account tell of the orders: ends by name, executions by account, symbol and time."""
    names = {
        e.fields()["client_order_id"]: e.fields()["symbol"] for e in sent if e.event_type == E.ORDER_SENT
    }
    if not names:
        return
    account = decided.account.split("/")[1]
    kinds = tuple(k.value for k in (*_ORDERS, E.FILL))
    wanted = Selection(kinds=kinds, accounts=(account,), from_ns=decided.ts_event_ns + 1)
    found = (e for e in history.entries(wanted) if e.chain_id != decided.chain_id)
    open_, ended = set(names.values()), set[str]()
    for entry in sorted(found, key=lambda e: (e.ts_event_ns, e.chain_id, e.seq)):
        said = entry.fields()
        if entry.event_type == E.FILL:
            if said["correlation_id"] == "" and open_ & set(said["symbol"]):
                open_ -= set(said["symbol"])
                yield entry
        elif said["client_order_id"] in names and said["client_order_id"] not in ended:
            ended.add(said["client_order_id"])
            open_.discard(names[said["client_order_id"]])
            yield entry


def _fills(nearby: Sequence[Recorded], others: Sequence[Recorded], symbols: set[str]) -> list[Recorded]:
    own = [e for e in nearby if e.event_type == E.FILL]
    return own + [e for e in others if e.event_type == E.FILL and symbols & set(e.fields()["symbol"])]


def _approvals(history: RecordHistory, scope: Scope, decision_id: str) -> Iterable[Recorded]:
    for entry in history.entries(scope.of_firm(*_APPROVALS)):
        said = entry.fields()
        if decision_id in (said["correlation_id"], said["causation_id"], said["payload_hash"]):
            yield entry


# --- telling --------------------------------------------------------------------------------------------------


def _proposal(said: Fields) -> dict[str, Any]:
    table = said.get("targets", {})
    rows = zip(
        *(table.get(name, ()) for name in ("symbol", "proposed_w_e9", "current_w_e9", "target_w_e9")),
        *(table.get(name, ()) for name in ("step_qty", "limiting_rules")),
        strict=True,
    )
    return {
        "proposal_hash": said.get("proposal_hash"),
        "targets": [
            {
                "symbol": symbol,
                "proposed_w": proposed / 1e9,
                "current_w": current / 1e9,
                "target_w": target / 1e9,
                "step_qty": step,
                "limiting_rules": limiting,
            }
            for symbol, proposed, current, target, step, limiting in rows
        ],
    }


def _rules(said: Fields) -> dict[str, Any]:
    """How many rules said what, and every rule that did not simply pass."""
    rules = said.get("rules", [])
    counts: dict[str, int] = {}
    for rule in rules:
        counts[rule["outcome"]] = counts.get(rule["outcome"], 0) + 1
    return {
        "outcome": said["outcome"],
        "rationale": said["rationale"],
        "trading_state_before": said.get("trading_state_before"),
        "trading_state_after": said.get("trading_state_after"),
        "binding_rules": said.get("binding_rules", []),
        "counts": counts,
        "spoke": [
            rule | {"title": RULE_BY_ID[rule["rule_id"]].title}
            for rule in rules
            if rule["outcome"] in ("bound", "unknown")
        ],
    }


def _result(history: RecordHistory, decided: Recorded, fills: Sequence[Recorded]) -> dict[str, Any]:
    """What the record knows of the outcome: fees, equity at this and at the next decision, and what the executions
    realised against the average price of the chain (a multiplier is not recorded: per unit)."""
    said = decided.fields()
    later = _next_decision(history, decided, fills)
    realised = None
    if fills and all(e.chain_id == decided.chain_id for e in fills):
        wanted = Selection(
            kinds=(E.FILL.value,), accounts=(decided.account.split("/")[1],), chain_id=decided.chain_id
        )
        realised = _realised(history.entries(wanted), {e.seq for e in fills})
    return {
        "fees": _sum(fee for e in fills for fee in e.fields()["fee"]),
        "equity_at_decision": said.get("equity"),
        "equity_at_next_decision": None if later is None else later.fields().get("equity"),
        "next_decision_at": None if later is None else instant_text(later.ts_event_ns),
        "realised_per_unit_of_multiplier": realised,
    }


def _next_decision(history: RecordHistory, decided: Recorded, fills: Sequence[Recorded]) -> Recorded | None:
    """The decision after: of the same chain, or of the run that saw the executions."""
    account = decided.account.split("/")[1]
    chain = fills[0].chain_id if fills else decided.chain_id
    wanted = Selection(
        kinds=(E.DECISION.value,), accounts=(account,), chain_id=chain, from_ns=decided.ts_event_ns + 1
    )
    return next(iter(history.entries(wanted)), None)


def _realised(entries: Iterable[Recorded], wanted: set[int]) -> str:
    """Realised gain of some executions by average cost, before fees."""
    held: dict[str, tuple[float, float]] = {}
    total = 0.0
    for entry in entries:
        said = entry.fields()
        for symbol, qty_text, price_text in zip(said["symbol"], said["qty"], said["price"], strict=True):
            qty, price = float(qty_text), float(price_text)
            own, average = held.get(symbol, (0.0, 0.0))
            closed = min(abs(qty), abs(own)) if qty * own < 0 else 0.0
            if entry.seq in wanted and closed:
                total += (price - average) * closed * (1.0 if own > 0 else -1.0)
            now = own + qty
            if closed == 0.0 and now:
                average = (average * abs(own) + price * abs(qty)) / abs(now)
            elif own * now < 0:
                average = price
            held[symbol] = (now, average)
    return repr(total)


def _sum(values: Iterable[str]) -> str:
    return repr(sum(map(float, values)))


def _shown(entry: Recorded) -> dict[str, Any]:
    """An entry with its hashes and its place; the tables of a decision are told apart already."""
    said = {k: v for k, v in entry.fields().items() if k not in ("rules", "targets")}
    return said | {
        "chain": entry.chain_id,
        "prev_hash": entry.prev_hash,
        "entry_hash": entry.entry_hash,
        "place": entry.place,
    }
