"""Decisions made again from their stored inputs, and what is different about them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regime_trading.core.audit import EventHeader, event_body
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import ActorType, EventType
from regime_trading.engine.cycle_inputs import CycleInputs
from regime_trading.engine.record import Identity, decision_hashes, decision_payload
from regime_trading.engine.request_firm import firm_digests, with_firm
from regime_trading.guards.chain import Knobs, decide
from regime_trading.guards.snapshot import View

_NOBODY = Identity("", "", "", "", "", "")
_WEIGHT = 1e9


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a decision says differently now.

    Parameters
    ----------
    kind : str
        ``outcome``, ``trading_state``, ``throttle``, ``target``, ``step``, ``binding_rules``, ``rule_outcome``,
        ``rule_value``, ``rule_limit``, ``rule_reasons``, or ``entry``.
    name : str
        Symbol or rule id; empty where the kind says it all.
    before, after : Any
        As recorded, and as decided now; weights are fractions.
    """

    kind: str
    name: str
    before: Any
    after: Any


def decide_again(
    cycle: CycleInputs, knobs: Knobs, recorded: Mapping[str, Mapping[str, Any]]
) -> dict[str, bytes]:
    """Bodies of the DECISION entries of a cycle, by decision id, as this version writes them.

    Parameters
    ----------
    cycle : CycleInputs
        Its ``market`` is the digest of the market in its view, not what was stored of it.
    knobs : mapping
        ``stack_params`` of the configurations of all accounts in the cycle.
    recorded : mapping
        By decision id the entries as they were recorded. From them comes what no decision can know: sequence number,
        time of recording, in which run, and which code and feature version wrote them. Account and configuration are
        those of the inputs.

    Raises
    ------
    BadInput
        Present weights that no book has.
    """
    view = cycle.view
    _require_weights(view)
    decisions, _ = decide(view, knobs, annual=cycle.annual)
    entries = [recorded.get(name) for name in cycle.decision_ids]
    who = [
        _NOBODY if entry is None else _identity(account, config_hash, entry)
        for account, config_hash, entry in zip(view.books.accounts, cycle.config_hashes, entries, strict=True)
    ]
    hashes = decision_hashes(view, cycle.market, who)
    if cycle.firm_bound:
        hashes = [with_firm(own, firm) for own, firm in zip(hashes, firm_digests(view), strict=True)]
    made = {}
    for row, entry in enumerate(entries):
        if entry is not None:
            payload, words = decision_payload(view, decisions, row, hashes[row])
            header = _header(entry, who[row], view.market.ts_ns, words)
            made[cycle.decision_ids[row]] = event_body(header, payload, trusted=True)
    return made


def _require_weights(view: View) -> None:
    """Present weights are in no hash, but the entry shows them; where it does not, they are 0."""
    books = view.books
    with np.errstate(invalid="ignore"):
        odd = np.isfinite(books.current) & (books.current != np.rint(books.current))
    odd |= (books.qty == 0) & (books.current != 0)
    if odd.any():
        row, column = np.argwhere(odd)[0]
        raise BadInput(
            expected="a whole nanoweight, 0 where flat",
            found=repr(float(books.current[row, column])),
            where=f"stored weight of {view.market.symbols[column]} in {books.accounts[row]}",
        )


def _identity(account: str, config_hash: str, entry: Mapping[str, Any]) -> Identity:
    firm_id, _, account_id = account.partition("/")
    return Identity(firm_id, account_id, entry["run_id"], entry["env"], config_hash, entry["code_version"])


def _header(entry: Mapping[str, Any], who: Identity, ts_ns: int, words: Mapping[str, Any]) -> EventHeader:
    return EventHeader(
        firm_id=who.firm_id,
        account_id=who.account_id,
        run_id=who.run_id,
        env=who.env,
        seq=entry["seq"],
        ts_event_ns=ts_ns,
        event_type=EventType.DECISION,
        actor_type=ActorType(entry["actor"]["type"]),
        actor_id=entry["actor"]["id"],
        feature_set_version=entry["feature_set_version"],
        config_hash=who.config_hash,
        code_version=who.code_version,
        causation_id=entry["causation_id"],
        ts_recorded_ns=int(entry["ts_recorded_ns"]),
        **words,
    )


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of two entries whose values are not the same, sorted."""
    return tuple(
        sorted(key for key in before.keys() | after.keys() if before.get(key, ...) != after.get(key, ...))
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What a decision means now that it did not mean when it was recorded, or the other way round.

    Words, hashes and the way numbers are written mean nothing here. An entry that cannot be understood any more means
    something else.
    """
    try:
        meaning = _meaning(before)
    except (KeyError, TypeError, ValueError) as err:
        return (Difference("entry", "", f"{type(err).__name__}: {err}", None),)
    return tuple(
        Difference(kind, name, old, new)
        for (kind, name), (old, new) in _joined(meaning, _meaning(after))
        if old != new
    )


def _joined(
    before: Mapping[tuple[str, str], Any], after: Mapping[tuple[str, str], Any]
) -> Iterator[tuple[tuple[str, str], tuple[Any, Any]]]:
    for key in dict.fromkeys((*before, *after)):
        absent = 0.0 if key[0] in ("target", "step") else None
        yield key, (before.get(key, absent), after.get(key, absent))


def _meaning(entry: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """What a decision says, by kind and name."""
    states = f"{entry['trading_state_before']} to {entry['trading_state_after']}"
    found: dict[tuple[str, str], Any] = {
        ("outcome", ""): entry["outcome"],
        ("trading_state", ""): states,
        ("throttle", ""): float(entry["throttle"]) * float(entry["budget_factor"]),
        ("binding_rules", ""): entry["binding_rules"],
    }
    targets = entry["targets"]
    for symbol, weight, step in zip(
        targets["symbol"], targets["target_w_e9"], targets["step_qty"], strict=True
    ):
        found["target", symbol] = weight / _WEIGHT
        found["step", symbol] = float(step)
    for rule in entry["rules"]:
        found["rule_outcome", rule["rule_id"]] = rule["outcome"]
        found["rule_value", rule["rule_id"]] = _number(rule["value"])
        found["rule_limit", rule["rule_id"]] = _number(rule["limit"])
        found["rule_reasons", rule["rule_id"]] = sorted(rule["reason_codes"])
    return found


def _number(text: str | None) -> float | None:
    return None if text is None else float(text.replace("unlimited", "inf"))
