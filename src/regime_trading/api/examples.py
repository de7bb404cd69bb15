"""Examples for the OpenAPI document: one value for the leaves of each name, and of those an example of every schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

_DEEPEST = 12  #: no schema of ours is nested deeper
_HASH = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
_INSTANT = "2026-11-26T14:30:00Z"

#: What a leaf of a name looks like; where a name has several types, one of each.
_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "Idempotency-Key": "key-4m7yq2x3zk5wd6ta",
        "If-Match": '"7"',
        "about": "north-pier/core",
        "account": "north-pier/core",
        "account_id": "core",
        "account_type": "own",
        "accounts": "north-pier/core",
        "action_hash": _HASH,
        "actor": "u-7f3k2m",
        "actor_id": "u-7f3k2m",
        "after_hash": _HASH,
        "agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "aliases": "/live enable",
        "allocator": "risk_parity",
        "answer": '{"id": "…", "type": "public-key"}',
        "approval": "manual",
        "approval_id": "rq-4m7yq2x3zk5wd6ta",
        "at": _INSTANT,
        "author": "u-7f3k2m",
        "base_version": "6.1f0c",
        "basket": "us-core",
        "baskets": "us-core",
        "before_hash": _HASH,
        "binding_rules": "CC-01",
        "block": "portfolio",
        "blocking": "the configuration is in force already",
        "body": '{"event_type":"DECISION"}',
        "book": "two_sided",
        "by": "u-7f3k2m",
        "cash": "125000.50",
        "cash_by_currency": "125000.50",
        "causation_id": "",
        "chain_id": "dry_run/bt-0123/north-pier/core",
        "changed": "",
        "choices": "K2",
        "cleared_at": _INSTANT,
        "cleared_by": "u-9d2p4c",
        "code": "not_found",
        "code_version": "0.1.0",
        "columns": "symbol",
        "command": "/halt account account:north-pier/core",
        "config_hash": _HASH,
        "config_note": "",
        "confirm_phrase": "north-pier/core",
        "content_hash": _HASH,
        "correlation_id": "rq-4m7yq2x3zk5wd6ta",
        "cursor": "eyJzZXEiOjQyfQ",
        "credential_id": "AQIDBAUGBwg",
        "currency": "USD",
        "decision_id": "d-01k8r3v0d2",
        "degraded": "",
        "description": "gross weight before the guards",
        "detail": "no such thing, or none that you may see",
        "diff": "-    gross: 0.9\n+    gross: 0.8\n",
        "digest": _HASH,
        "direction": "",
        "display_name": "North Pier Core",
        "document": "id: north-pier\nname: North Pier\naccounts: []\n",
        "document_hash": _HASH,
        "effect": "CLAMP",
        "effective": _INSTANT,
        "effective_from": _INSTANT,
        "effects": "New risk stops: exits only, entries are cancelled.",
        "effort": "fast",
        "entry_hash": _HASH,
        "env": "dry_run",
        "error": "",
        "event_id": "e-01k8r3v0d2",
        "event_type": "DECISION",
        "evidence": "bars",
        "expected": "at most 1.0",
        "expires_at": "2026-12-20T00:00:00Z",
        "factors": "totp",
        "missing": "XOM",
        "feature_set_version": "1",
        "feature_set_versions": "1",
        "file": "document",
        "finding": "no_structure",
        "finished_at": _INSTANT,
        "firm": "north-pier",
        "firm_id": "north-pier",
        "findings": "two entries of one number",
        "first": "2026-10-01T00:00:00Z",
        "first_day": "2026-10-01",
        "flags": "json",
        "flat": _INSTANT,
        "found": "1.2",
        "grade": "bars",
        "group": "Technology",
        "health_reasons": "SPREAD_WIDE",
        "help": "stop new risk: exits only, entries cancelled",
        "hides_amounts": "north-pier/defensive",
        "id": "u-7f3k2m",
        "inequality": "<=",
        "input_hash": _HASH,
        "instance": "/api/v1/firms/north-pier",
        "ip_prefix": "192.0.2.0/24",
        "job_id": "job-5f70bf18a0860070",
        "key": "account",
        "kind": "config",
        "klass": "tighten",
        "last": "2026-11-25T21:00:00Z",
        "last_day": "2026-11-25",
        "layers": "firm north-pier",
        "left": "AAPL",
        "limiting_rules": "CC-01",
        "limits": "what was never recorded",
        "line": "regimes: 12 of 20 symbols",
        "link": "https://regime.example/welcome#once",
        "login": "ann@north-pier.example",
        "maker": "u-7f3k2m",
        "mark": "same",
        "media_type": "text/markdown",
        "merge": "tightest",
        "message": "north-pier/core risk.gross: 0.9 to 0.8 tightens",
        "method": "password+totp",
        "mode": "dry_run",
        "model": "hidden Markov model, 3 states",
        "named": "rq-4m7yq2x3zk5wd6ta",
        "name": "core",
        "needs": "step_up",
        "new": "another long passphrase",
        "next_cursor": "eyJzZXEiOjQyfQ",
        "not_built": "",
        "note": "less energy after the earnings week",
        "notes": "SUBSTITUTE_USED",
        "old": "a long passphrase",
        "old_file": "document",
        "old_layers": "firm north-pier",
        "outcome": "executed",
        "password": "a long passphrase",
        "path": "risk.gross",
        "payload_hash": _HASH,
        "per": "symbol",
        "permissions": "view",
        "phrase": "north-pier/core",
        "picture_base64": "iVBORw0KGgo=",
        "preview_id": "pv-4m7yq2x3zk5wd6ta",
        "proposal_id": "p-01k8r3v0d2",
        "rationale": "CC-01 holds AAPL at 15 %",
        "readable_versions": "1",
        "reason": "the tape looks wrong",
        "reason_codes": "SUBSTITUTE_USED",
        "recovery": "AUTO",
        "recovery_codes": "one-of-ten-codes",
        "release": "MANUAL",
        "report": "runs/bt-0123/firms/north-pier/report.md",
        "request_id": "rq-4m7yq2x3zk5wd6ta",
        "resolved_from": "",
        "role": "pm",
        "rule_id": "CC-01",
        "run_id": "bt-0123",
        "said": "north-pier/core is halted (K1).",
        "scope": "north-pier/core",
        "secret": "once",
        "seed": "SEED-OF-THE-AUTHENTICATOR",
        "session_id": "s-01k8r3v0d2",
        "set_by": "u-7f3k2m",
        "sha256": _HASH,
        "since": _INSTANT,
        "source": "bundled",
        "stage": "regime",
        "started_at": _INSTANT,
        "state": "bound",
        "status": "requested",
        "stepped_up_at": _INSTANT,
        "stored_inputs": "covariance",
        "strategy": "trend",
        "structure": "trending",
        "substitutes": "spread",
        "suggestions": "halt",
        "summary_md": "**What changes**\n\n- New risk stops.",
        "symbol": "AAPL",
        "symbols": "AAPL",
        "tape_hash": _HASH,
        "text": "/halt account",
        "title": "shadow",
        "token_id": "tok-8d2f",
        "traded": "AAPL",
        "trading_state": "NORMAL",
        "type": "account",
        "unchanged": "Positions stay as they are.",
        "undo": "/resume account account:north-pier/core",
        "unit": "fraction",
        "unknown": "there is no quote",
        "unknown_when": "no bar yet",
        "uri": "otpauth://totp/Regime:ann?secret=SEED",
        "used_at": _INSTANT,
        "user_id": "usr-01k8r3v0d2",
        "value": "123456",
        "version": "0.1.0",
        "warnings": "It takes a reason.",
        "what": "object",
        "where": "body.reason",
        "why": "",
        "why_not": "",
    }
)
_NUMBERS: Mapping[str, float] = MappingProxyType(
    {
        "acts_at": 0.9, "age_s": 12.5, "at": 6, "attempt": 1, "approvers": 2, "bar_s": 86_400, "bars": 500,
        "bars_since": 30, "base_version": 6, "budget": 1.0, "budget_factor": 0.75, "cadence_sessions": 5,
        "cash_weight": 0.12, "changed_symbols": 3, "column": 7, "confidence": 0.82, "confidence_cap": 0.9,
        "control_no": 3, "controls": 3, "current_weight": 0.11, "day_return": -0.004, "days": 20, "drawdown": 0.031,
        "edge_bps": 4.2, "effective_spread_bps": 1.8, "end": 5, "entries": 4_211, "expected_duration_bars": 18.5,
        "flips_per_bar": 0.04, "given": 1, "gross": 0.88, "guard": 5, "health_score": 0.97, "high": 1.0, "known": 0.99,
        "lag_s": 1.5, "last_spread_bps": 1.4, "level": 1, "line": 12, "line_no": 1, "limit": 50, "low": 0.0,
        "mark_age_bars": 1, "mark_age_s": 60.0, "market_confidence_cap": 0.9, "matrix": 0.35, "microprice": 187.42,
        "microprice_gap_bps": 0.6, "mid": 187.4, "net": 0.88, "next_before": 3, "of": 7, "old_line": 12,
        "order_flow_beta": 0.4, "order_flow_imbalance": 0.12, "order_flow_r2": 0.31, "parent": 6, "positions": 7,
        "previous": 41, "probability": 0.86, "progress": 0.4, "proposed_weight": 0.18, "recovery_codes_left": 10,
        "required": 1, "risk_probability": 0.9, "risk_share": 0.14, "risk_state": 1, "roll_bps": 2.1, "rows": 2_520,
        "schema_version": 1, "seq": 42, "share": 1.0, "signed_to": 4_200, "size_bytes": 18_422, "spread_bps": 1.6,
        "start": 1, "state": 1, "states": 3, "status": 404, "structure_p_value": 0.02, "target_weight": 0.15,
        "throttle": 1.0, "total": 20, "total_rows": 2_520, "transition_matrix": 0.95, "transitions": 4, "used": 0.93,
        "unrealised_return": 0.021, "version": 7, "volatility": 0.11, "vpin": 0.22, "warn_at": 0.8, "weight": 0.15,
        "witnessed_age_s": 40.0, "witnessed_checkpoint": 12, "witnessed_to": 4_100,
    }
)  # fmt: skip
_OBJECTS: Mapping[str, Any] = MappingProxyType(
    {
        "aliases": {"/enable live": "/live enable"},
        "cash_by_currency": {"USD": "125000.50"},
        "data": {"control_no": 3, "route": "/live"},
        "payload": {"outcome": "clamped"},
        "request": {"accounts": ["north-pier/core"], "first": "2019-01-01", "last": "2019-12-31"},
        "unknown": {"mid": "there is no quote"},
        "done": {"user_id": "usr-01k8r3v0d2"},
        "fresh": {"preview_id": "pv-4m7yq2x3zk5wd6ta"},
    }
)
_BY_PATTERN: tuple[tuple[str, str], ...] = (
    (r"^[0-9a-f]{64}$", _HASH),
    (r"^-?(\d+(\.\d+)?|unlimited)$", "1250.75"),
    (r"^\d{4}-\d{2}-\d{2}$", "2026-11-25"),
)


class NoExample(LookupError):
    """A text of a name that nobody gave an example of."""


def with_examples(document: dict[str, Any]) -> None:
    """Put an example of every leaf, of every schema as a whole and of every parameter into a document; none of what
    holds a text of an unknown name."""
    schemas = document["components"]["schemas"]
    named = sorted(_reached(document["paths"], schemas, set()))
    for schema in map(schemas.get, named):
        for name, leaf in schema.get("properties", {}).items():
            if "examples" not in leaf and "const" not in leaf:
                with suppress(NoExample):
                    leaf["examples"] = [_example(name, leaf, schemas)]
    for name in named:
        if schemas[name].get("type") == "object":
            with suppress(NoExample):
                schemas[name]["examples"] = [_example(name, schemas[name], schemas)]
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                with suppress(NoExample):
                    parameter["example"] = _of_parameter(parameter, schemas)


def _reached(part: Any, schemas: Mapping[str, Any], known: set[str]) -> set[str]:
    """Names of the schemas that a part of the document refers to, and of those that they do."""
    if isinstance(part, list):
        for one in part:
            _reached(one, schemas, known)
    if isinstance(part, dict):
        name = str(part.get("$ref", "")).removeprefix("#/components/schemas/")
        if name in schemas and name not in known:
            known.add(name)
            _reached(schemas[name], schemas, known)
        for one in part.values():
            _reached(one, schemas, known)
    return known


def _of_parameter(parameter: dict[str, Any], schemas: Mapping[str, Any]) -> Any:
    given = parameter["schema"].pop("examples", None)
    if given:
        return given[0]
    if parameter["in"] == "path" and parameter["name"] == "account":
        return "core"
    return _example(parameter["name"], parameter["schema"], schemas)


def _example(name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    """One value that fits a schema."""
    if depth > _DEEPEST:
        raise RuntimeError(f"{name} is nested too deeply for an example")
    if schema.get("examples"):
        return schema["examples"][0]
    if "$ref" in schema:
        kind = schema["$ref"].rpartition("/")[2]
        return _example(name, schemas[kind], schemas, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _example(name, schema[several][0], schemas, depth + 1)
    return _of_type(name, schema, schemas, depth)


def _of_type(name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        found = schema["properties"].items()
        return {key: _example(key, one, schemas, depth + 1) for key, one in found}
    if kind == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})]
        return [_example(name, one, schemas, depth + 1) for one in items]
    return _leaf(name, schema, kind)


def _leaf(name: str, schema: Mapping[str, Any], kind: str | None) -> Any:
    if kind == "boolean":
        return True
    if kind is None:
        return "0.8"  # any value at all
    if kind == "null":
        return None
    if kind in ("integer", "number"):
        return int(_NUMBERS.get(name, 2)) if kind == "integer" else float(_NUMBERS.get(name, 0.5))
    if kind == "object":
        return _OBJECTS.get(name, {"account": "north-pier/core"})
    pattern = schema.get("pattern", "")
    for known, example in _BY_PATTERN:
        if pattern == known:
            return example
    if pattern and re.search(pattern, _INSTANT):
        return _INSTANT
    if name not in _TEXTS:
        raise NoExample(name)
    return _TEXTS[name]
