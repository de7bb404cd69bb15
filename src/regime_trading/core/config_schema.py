"""JSON Schema of a firm's document, for completion and hover in an editor. The loader alone decides what is valid."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any

from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from regime_trading.core.rules import RULES, UNLIMITED, Merge, RuleSpec, merge_of, unit_of
from regime_trading.core.traders import FirmConfig

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MERGES = {
    "override": "the lowest layer that says it decides",
    "fixed": "may not change below the firm",
    "lower": "lower layers may only lower it",
    "higher": "lower layers may only raise it",
    "protect": "a safety switch: lower layers may only switch it on",
    "permit": "a permission: lower layers may only take it away",
    "union": "layers add up",
    "intersect": "lower layers may only narrow it",
    "ladder": "the stricter step decides at every point",
    "steps": "the smaller number decides at every point",
    "ordered": "lower layers may only choose a stricter one",
}


class _Names(GenerateJsonSchema):
    """Members of ordered enumerations by their names, as the files have them."""

    def enum_schema(self, schema: core_schema.EnumSchema) -> dict[str, Any]:
        if issubclass(schema["cls"], IntEnum):
            return {"type": "string", "enum": list(schema["cls"].__members__)}
        return super().enum_schema(schema)


@cache
def document_schema() -> dict[str, JsonValue]:
    """Schema of a firm's mapping, every rule with its parameters, their units and what lower layers may do to them."""
    models: list[Any] = [(FirmConfig, "validation"), *((spec.params, "validation") for spec in RULES)]
    refs, whole = models_json_schema(models, schema_generator=_Names)
    defs = whole["$defs"]
    for spec in RULES:
        _describe(defs[_name(refs[(spec.params, "validation")])], spec)
    risk = {
        "type": "object",
        "description": "Limits by rule. From the firm down every one of them may only be tightened.",
        "properties": {
            key: _rule(spec, refs[(spec.params, "validation")], defs)
            for spec in RULES
            for key in (spec.key, *spec.aliases)
        },
        "additionalProperties": False,
    }
    pair = {"type": "array", "minItems": 2, "maxItems": 2, "description": "[drawdown, action]"}
    defs["Rung"] = {"anyOf": [pair, defs["Rung"]]}
    for owner in ("FirmConfig", "AccountConfig"):
        defs[owner]["properties"]["risk"] = {"$ref": "#/$defs/Risk"}
    defs["Risk"] = risk
    return {"$schema": _DIALECT, **defs.pop("FirmConfig"), "$defs": defs}


def _name(ref: dict[str, Any]) -> str:
    return str(ref["$ref"]).rpartition("/")[2]


def _describe(params: dict[str, Any], spec: RuleSpec) -> None:
    for name, one in params["properties"].items():
        if merge_of(spec.params, name) is Merge.LADDER:
            one["anyOf"] = [{"type": one.pop("type"), "items": one.pop("items")}, {"const": UNLIMITED}]
        unit, merge = unit_of(spec.params, name), str(merge_of(spec.params, name))
        if one.get("default") == "Infinity":
            one["default"] = UNLIMITED
        one["description"] = f"{unit}; {_MERGES[merge]}" if unit else _MERGES[merge]


def _rule(spec: RuleSpec, ref: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """A mapping of the rule's parameters, or its main parameter alone."""
    said = f"{spec.rule_id} {spec.title}: {spec.inequality}"
    params = defs[_name(ref)]
    params["properties"].setdefault("id", {"const": spec.rule_id, "description": "The rule's id."})
    if spec.principal is None:
        return {"description": said, **ref}
    return {"description": said, "anyOf": [params["properties"][spec.principal], ref]}
