"""Layers of risk parameters folded onto each other, with provenance.

Platform defaults, a preset and a firm may loosen what is above them where it is not sealed. From there down
every layer may only tighten: a looser value is a finding that names both layers, it is never clamped.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import JsonValue, ValidationError

from regime_trading.core.merging import combine, stricter_or_equal
from regime_trading.core.risk_layers import (
    Given,
    LayerKind,
    RiskLayer,
    adapter,
    expected_found,
    find_rule,
    read_rule,
)
from regime_trading.core.rules import RULES, UNLIMITED, Frozen, Merge, RuleParams, RuleSpec, merge_of
from regime_trading.core.settings import Finding

#: Paths beside ``risk`` that a layer may seal.
GOVERNANCE_PATHS = (
    "governance.live_enable_approvers",
    "governance.loosen_approvers",
    "governance.approver_roles",
)


class ProvenanceStep(Frozen):
    """What one layer said about one key; the ``winning`` layers make up the value in force.

    ``line`` is None for the defaults of ``core.rules``; session overrides have no ``file`` either.
    """

    layer: LayerKind
    name: str
    value: JsonValue
    file: str | None
    line: int | None
    operator: Merge
    winning: bool = True

    @property
    def title(self) -> str:
        """``firm north-pier (config/traders.yaml:12)``."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{self.layer} {self.name}" + (f" ({place})" if place else "")


@dataclass(frozen=True, slots=True)
class RiskStack:
    """Risk parameters in force after some layers: typed values by rule key and parameter, and where each
    came from by dotted path."""

    values: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, tuple[ProvenanceStep, ...]]
    sealed: tuple[str, ...] = ()


class Right(Enum):
    """What a layer may do to a parameter."""

    REPLACE = "replace"
    TIGHTEN = "tighten"  #: a looser value is a finding
    GENERAL = "general"  #: said by a firm about all its accounts: tightens a preset, never loosens it


def risk_path(key: str, name: str) -> str:
    """Dotted path of a parameter (``risk.daily_loss.limit_pct``)."""
    return f"risk.{key}.{name}"


def covers(pattern: str, path: str) -> bool:
    """Whether a path glob (``*`` one step, ``**`` any number) names ``path`` or something above it."""

    def match(globs: Sequence[str], steps: Sequence[str]) -> bool:
        if not globs:
            return True
        if globs[0] == "**":
            return any(match(globs[1:], steps[n:]) for n in range(len(steps) + 1))
        return bool(steps) and globs[0] in {"*", steps[0]} and match(globs[1:], steps[1:])

    return match(pattern.split("."), path.split("."))


@functools.cache
def default_stack() -> RiskStack:
    """The defaults of ``core.rules``."""
    values: dict[str, dict[str, Any]] = {}
    provenance: dict[str, tuple[ProvenanceStep, ...]] = {}
    for spec in RULES:
        values[spec.key] = dict(spec.params())
        for name, value in values[spec.key].items():
            step = ProvenanceStep(
                layer=LayerKind.DEFAULTS,
                name="built-in",
                value=_plain(spec, name, value),
                file="regime_trading/core/rules",
                line=None,
                operator=merge_of(spec.params, name),
            )
            provenance[risk_path(spec.key, name)] = (step,)
    return RiskStack(values, provenance)


def rule_models(stack: RiskStack) -> dict[str, RuleParams]:
    """Parameter models by rule id."""
    return {spec.rule_id: spec.params.model_validate(dict(stack.values[spec.key])) for spec in RULES}


def apply_layer(
    stack: RiskStack, layer: RiskLayer, *, right: Right | None = None
) -> tuple[RiskStack, tuple[Finding, ...]]:
    """``layer`` folded onto ``stack``, with the right of its kind, or another one.

    Returns
    -------
    stack : RiskStack
        What is in force at and below ``layer``; a rule with a finding stays as it was.
    findings : tuple of Finding
        Every problem of the layer.
    """
    values, provenance = dict(stack.values), dict(stack.provenance)
    findings, written = list(_sealed_findings(layer)), dict[str, str]()
    for key in sorted(layer.risk, key=str):
        spec = find_rule(layer, key)
        if isinstance(spec, Finding):
            findings.append(spec)
            continue
        if (first := written.setdefault(spec.key, key)) != key:
            findings.append(layer.finding((key,), f"rule {spec.rule_id} once (it is under {first!r})", key))
            continue
        merged, steps, problems = _fold_rule(stack, layer, key, spec, right)
        findings += problems
        if not problems:
            values[spec.key] = {**values[spec.key], **merged}
            provenance.update(steps)
    return RiskStack(values, provenance, (*stack.sealed, *layer.sealed)), tuple(findings)


def _fold_rule(
    stack: RiskStack, layer: RiskLayer, key: str, spec: RuleSpec, other: Right | None
) -> tuple[dict[str, Any], dict[str, tuple[ProvenanceStep, ...]], list[Finding]]:
    """New values and provenance of one rule, or its problems."""
    given, problems = read_rule(layer, key, spec)
    problems += _whole_rule(stack, layer, key, spec, given, {name: one.value for name, one in given.items()})
    if problems:
        return {}, {}, problems
    merged: dict[str, Any] = {}
    steps: dict[str, tuple[ProvenanceStep, ...]] = {}
    for name, one in given.items():
        right = other or _right(stack, layer, risk_path(spec.key, name))
        looser = _looser(stack, layer, key, spec, name, one) if right is Right.TIGHTEN else None
        if looser is not None:
            problems.append(looser)
            continue
        try:
            merged[name] = _merged(stack, spec, name, one.value, right)
        except ValueError as error:
            problems.append(layer.finding((key, name), *expected_found(str(error), one.raw)))
            continue
        steps[risk_path(spec.key, name)] = _extended(stack, layer, spec, name, one, merged[name], right)
    problems = problems or _whole_rule(stack, layer, key, spec, given, merged)
    return merged, steps, problems


def _right(stack: RiskStack, layer: RiskLayer, path: str) -> Right:
    if layer.kind in {LayerKind.ACCOUNT, LayerKind.SESSION}:
        return Right.TIGHTEN
    preset_said = any(step.layer is LayerKind.PRESET for step in stack.provenance[path])
    if layer.kind is LayerKind.FIRM and preset_said:
        return Right.GENERAL
    return Right.TIGHTEN if _is_sealed(stack, path) else Right.REPLACE


def _is_sealed(stack: RiskStack, path: str) -> bool:
    return any(covers(pattern, path) for pattern in stack.sealed)


def _whole_rule(
    stack: RiskStack,
    layer: RiskLayer,
    key: str,
    spec: RuleSpec,
    given: Mapping[str, Given],
    values: Mapping[str, Any],
) -> list[Finding]:
    """Problems of the rule as a whole (levels out of order, a ladder that is not monotone)."""
    try:
        spec.params.model_validate({**stack.values[spec.key], **values})
    except ValidationError as error:
        expected, found = expected_found(error.errors()[0]["msg"], dict(values))
        line = min((one.line for one in given.values() if one.line is not None), default=None)
        return [layer.finding((key,), expected, found, line=line)]
    return []


def _looser(
    stack: RiskStack, layer: RiskLayer, key: str, spec: RuleSpec, name: str, one: Given
) -> Finding | None:
    """The finding where a tighten-only value is looser than the one in force above it."""
    path, operator = risk_path(spec.key, name), merge_of(spec.params, name)
    upper = stack.values[spec.key][name]
    if one.raw == UNLIMITED and upper == one.value:
        return layer.finding(
            (key, name), "a limit (only defaults, presets and firms may lift one)", UNLIMITED
        )
    if operator is Merge.UNION:  # only ever adds
        return None
    if operator is Merge.OVERRIDE and _is_sealed(stack, path):
        holds = one.value == upper
    else:
        holds = stricter_or_equal(spec.params, name, one.value, upper)
    if holds:
        return None
    above = [step for step in stack.provenance[path] if step.winning]
    titles = ", ".join(step.title for step in above)
    bound = _BOUND.get(operator, "{} unchanged").format(_text(_plain(spec, name, upper)))
    expected = f"{bound}, as set by {titles}"
    said = UNLIMITED if one.raw == UNLIMITED else _text(_plain(spec, name, one.value))
    found = f"{said} in {layer.title}"
    layers = (*(f"{step.layer} {step.name}" for step in above), layer.title)
    update = {"layers": layers, "direction": "looser"}
    return layer.finding((key, name), expected, found).model_copy(update=update)


_BOUND = {
    Merge.LOWER: "at most {}",
    Merge.HIGHER: "at least {}",
    Merge.ORDERED: "{} or stricter",
    Merge.PROTECT: "still {}",
    Merge.PERMIT: "still {}",
    Merge.INTERSECT: "nothing outside {}",
    Merge.LADDER: "a ladder nowhere looser than {}",
    Merge.STEPS: "steps nowhere above {}",
}


def _merged(stack: RiskStack, spec: RuleSpec, name: str, value: Any, right: Right) -> Any:
    operator, upper = merge_of(spec.params, name), stack.values[spec.key][name]
    if right is Right.REPLACE and operator not in {Merge.UNION, Merge.INTERSECT}:
        return value
    if right is Right.GENERAL and operator is Merge.OVERRIDE:
        return upper
    return combine(spec.params, name, upper, value)


def _extended(
    stack: RiskStack, layer: RiskLayer, spec: RuleSpec, name: str, one: Given, merged: Any, right: Right
) -> tuple[ProvenanceStep, ...]:
    """The chain with this layer's step, and who wins now: a replacement always, a tightening where it
    changed the value, both where the value is a blend of the two."""
    above = stack.provenance[risk_path(spec.key, name)]
    unchanged = merged == stack.values[spec.key][name]
    replaced = right is Right.REPLACE and merged == one.value
    step = ProvenanceStep(
        layer=layer.kind,
        name=layer.name,
        value=_plain(spec, name, one.value),
        file=layer.text.file,
        line=one.line,
        operator=merge_of(spec.params, name),
        winning=replaced or not unchanged,
    )
    if merged == one.value and (replaced or not unchanged):
        above = tuple(old.model_copy(update={"winning": False}) for old in above)
    return (*above, step)


def _sealed_findings(layer: RiskLayer) -> Iterable[Finding]:
    paths = [*GOVERNANCE_PATHS, *(risk_path(spec.key, n) for spec in RULES for n in spec.params.model_fields)]
    for n, pattern in enumerate(layer.sealed):
        if not any(covers(pattern, path) for path in paths):
            yield Finding(
                path=f"sealed[{n}]",
                file=layer.text.file,
                line=layer.text.line((*layer.root[:-1], "sealed", n)),
                layers=(layer.title,),
                expected="a path glob that names a parameter (risk.<rule>.<parameter>, governance.<key>)",
                found=repr(pattern),
            )


def _plain(spec: RuleSpec, name: str, value: Any) -> Any:
    """JSON form of one parameter's value."""
    return adapter(spec.params, name).dump_python(value, mode="json")


def _text(plain: Any) -> str:
    """Short text of a JSON value for a message."""
    if isinstance(plain, dict):
        return " ".join(_text(item) for item in plain.values())
    if isinstance(plain, list):
        return "[" + ", ".join(_text(item) for item in plain) + "]"
    return "no limit" if plain is None else str(plain).lower() if isinstance(plain, bool) else str(plain)
