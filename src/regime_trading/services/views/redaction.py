"""What is left out for an asker who is shown no amounts of money.

Weights, fractions, counts, names and codes stay. Of texts and payloads only what is known to hold no amount stays:
everything else is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regime_trading.core.rules import RULE_BY_ID

MONEY_UNITS = frozenset({"money", "contracts"})  #: of rules whose value and limit are amounts or quantities
_HEADER = frozenset(
    {
        "schema_name", "schema_version", "event_id", "firm_id", "account_id", "run_id", "env", "feature_set_version",
        "seq", "ts_event_ns", "ts_recorded_ns", "event_type", "rule_id", "actor", "correlation_id", "causation_id",
        "config_hash", "code_version", "reason_codes",
    }
)  # fmt: skip
_SAFE: Mapping[str, frozenset[str]] = {
    "DECISION": frozenset(
        {
            "decision_id", "outcome", "trading_state_before", "trading_state_after", "drawdown", "throttle",
            "budget_factor", "binding_rules", "substitutes", "snapshot_hash", "proposal_hash", "state_hash",
        }
    ),
    "BREACH_ACKNOWLEDGED": frozenset({"account", "breach_id", "breach_chain", "breach_seq"}),
    "MODE_CHANGE": frozenset({"before", "after"}),
    "LATCH": frozenset({"trading_state", "release"}),
    "UNLOCK": frozenset({"release"}),
    "FILL": frozenset({"symbol"}),
    "ATTEMPT": frozenset({"attempt", "status", "trading_days"}),
    "RUN": frozenset({"run_kind", "status", "inputs_hash", "as_of_ns"}),
    "CONFIG_ACCEPTED": frozenset({"account", "before_hash", "after_hash"}),
    "CONFIG_CHANGED": frozenset({"account", "before_hash", "after_hash", "request_id"}),
    "CONFIG_REFUSED": frozenset({"accounts", "refusal_hash"}),
    "OVERRIDE": frozenset(
        {"override_id", "account", "path", "created_by", "created_at_ns", "expires_at_ns", "ends_at_ns", "exact"}
    ),
    "ORDER_SENT": frozenset({"client_order_id", "decision_id", "symbol", "intent", "leg", "slice"}),
    "ORDER_ACKNOWLEDGED": frozenset({"client_order_id", "decision_id", "symbol", "broker_order_id"}),
    "ORDER_CANCELLED": frozenset({"client_order_id", "decision_id", "symbol"}),
    "ORDER_REJECTED": frozenset({"client_order_id", "decision_id", "symbol"}),
    "RECON": frozenset({"status", "checked_at_ns"}),
    "KILL": frozenset(
        {"level", "scope", "drill", "asked_at_ns", "effective_at_ns", "flat_at_ns", "cancelled_orders"}
    ),
    "LOGIN": frozenset({"outcome", "method", "ip_prefix", "session_hash"}),
    "EXPORT": frozenset({"files", "sha256"}),
    "KEY": frozenset({"action", "key_hash", "key_name", "subject"}),
    "PURGE": frozenset({"root"}),
    "HEARTBEAT": frozenset({"component"}),
    "DEGRADED": frozenset(
        {
            "store", "spooled", "decided_at_ns", "decision_id", "outcome", "trading_state_before",
            "trading_state_after",
        }
    ),
} | {
    kind: frozenset(
        {
            "request_id", "request_kind", "account", "payload_hash", "requested_config_hash",
            "requested_code_version", "required", "by", "expires_at_ns",
        }
    )
    for kind in (
        "APPROVAL_REQUESTED", "APPROVAL_GIVEN", "APPROVAL_REFUSED", "APPROVAL_VOID", "APPROVAL_COMMENTED"
    )
}  # fmt: skip
_TARGETS = ("symbol", "proposed_w_e9", "current_w_e9", "target_w_e9", "limiting_rules")


def is_money(rule_id: str) -> bool:
    """Whether value and limit of a rule are amounts; of a rule that is not known they are taken to be."""
    spec = RULE_BY_ID.get(rule_id)
    return spec is None or spec.measure.unit in MONEY_UNITS


def safe_payload(said: Mapping[str, Any]) -> dict[str, Any]:
    """Those fields of an entry, beside its header, that hold no amount."""
    safe = _SAFE.get(said["event_type"], frozenset())
    kept = {key: value for key, value in said.items() if key in safe}
    if said["event_type"] == "DECISION" and "targets" in said:
        kept["targets"] = {name: said["targets"][name] for name in _TARGETS}
        kept["rules"] = [_safe_rule(row) for row in said["rules"]]
    if said["event_type"] in ("RULE_BREACH", "LATCH") and not is_money(said["rule_id"]):
        kept |= {key: said[key] for key in ("value", "limit")}
    return kept


def payload_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an entry beside its header and its sentence."""
    return {key: value for key, value in said.items() if key not in _HEADER and key != "rationale"}


def safe_rationale(said: Mapping[str, Any]) -> str:
    """A sentence from codes alone, without the numbers of the recorded one."""
    head = str(said.get("outcome") or said["event_type"].lower().replace("_", " "))
    rules = said.get("binding_rules") or ([said["rule_id"]] if said["rule_id"] else [])
    named = "; ".join(f"{rule_id} {RULE_BY_ID[rule_id].title}" for rule_id in rules if rule_id in RULE_BY_ID)
    return f"{head}: {named}." if named else f"{head}."


def _safe_rule(row: Mapping[str, Any]) -> dict[str, Any]:
    hidden = is_money(row["rule_id"])
    return {**row, "value": None, "limit": None} if hidden else dict(row)
