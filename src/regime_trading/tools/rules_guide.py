"""The rule catalogue as Markdown, generated from the registry: what every rule asks, does and how it lets go."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

from regime_trading.core.rules import (
    RULES,
    Guard,
    Merge,
    RuleParams,
    RuleSpec,
    decimal_text,
    merge_of,
    unit_of,
)

TITLES: dict[Guard, str] = {
    Guard.DATA_SANITY: "Guard 1: data sanity",
    Guard.BLACKOUT: "Guard 2: universe and time blackouts",
    Guard.DRAWDOWN: "Guard 3: loss and drawdown circuits",
    Guard.VOL_TARGET: "Guard 4: volatility targeting",
    Guard.CONCENTRATION: "Guard 5: correlation and concentration",
    Guard.LIQUIDITY: "Guard 6: execution and liquidity",
}
SAFER: dict[Merge, str] = {
    Merge.OVERRIDE: "last layer wins",
    Merge.FIXED: "not below the firm",
    Merge.LOWER: "only lower",
    Merge.HIGHER: "only higher",
    Merge.PROTECT: "cannot be switched off",
    Merge.PERMIT: "can only be withdrawn",
    Merge.UNION: "only added to",
    Merge.INTERSECT: "only taken from",
    Merge.LADDER: "pointwise the stricter",
    Merge.STEPS: "pointwise the stricter",
    Merge.ORDERED: "only stricter",
}

INTRODUCTION = """# The rules

Every rule of the portfolio manager, generated from the registry (`make docs`). A rule never edits the book: it
returns a constraint, and the decision is the proposal projected on the meet of all of them. All rules always run.

- *Key* is the name under `risk:` in `traders.yaml`; a bare value sets the parameter marked with an asterisk.
- *Below the firm* says what an account or a session override may do to a parameter.
- *Needs* is what the source, the broker or a declared substitute must say; without it the rule is `not_evaluable`, and
  every report lists it as such. What is declared and absent is *missing*: the rule then takes its most conservative
  effect that does not flatten.
- *Soft* rules let a position that only the market took past their limit be, up to a tenth beyond it; *hard* ones trim
  at once.
"""


def rules_guide() -> str:
    """The whole guide as Markdown; ends with a newline."""
    return (
        "\n".join([INTRODUCTION, *_overview(), *(line for guard in Guard for line in _guard(guard))]) + "\n"
    )


def _overview() -> Iterator[str]:
    yield f"{len(RULES)} rules:\n"
    yield "| rule | key | holds while | otherwise | lets go | kind |"
    yield "|---|---|---|---|---|---|"
    for spec in RULES:
        cells = (
            f"[{spec.rule_id}](#{_anchor(spec)})",
            f"`{spec.key}`",
            spec.inequality,
            spec.effect,
            spec.recovery,
            "hard" if spec.hard else "soft",
        )
        yield _row(cells)
    yield ""


def _guard(guard: Guard) -> Iterator[str]:
    yield f"## {TITLES[guard]}\n"
    for spec in RULES:
        if spec.guard is guard:
            yield from _rule(spec)


def _rule(spec: RuleSpec) -> Iterator[str]:
    yield f"### {spec.rule_id} {spec.title}\n"
    yield f"Holds while {spec.inequality}. Otherwise: {spec.effect}. Lets go: {spec.recovery}.\n"
    needs = [*spec.inputs, *(f"{name} (measured)" for name in spec.measured)]
    keys = ", ".join(f"`{key}`" for key in (spec.key, *spec.aliases))
    yield f"Key {keys}. Needs {', '.join(needs) or 'nothing beyond the books'}.\n"
    yield "| parameter | default | unit | below the firm |"
    yield "|---|---|---|---|"
    for name in spec.params.model_fields:
        star = "\\*" if name == spec.principal else ""
        cells = (
            f"`{name}`{star}",
            _value(_default(spec.params, name)),
            unit_of(spec.params, name) or "–",
            SAFER[merge_of(spec.params, name)],
        )
        yield _row(cells)
    yield ""


def _default(params: type[RuleParams], name: str) -> Any:
    return getattr(params(), name)


def _value(value: Any) -> str:
    """A default as it is written in configuration files."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, Enum):
        return str(value.name if isinstance(value, int) else value.value)
    if isinstance(value, tuple):
        return ", ".join(_item(item) for item in value) or "none"
    return str(value)


def _item(item: Any) -> str:
    fields = getattr(item, "model_dump", None)
    return " ".join(str(part) for part in fields(mode="json").values()) if fields else _value(item)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _anchor(spec: RuleSpec) -> str:
    """The anchor that Markdown renderers give the heading of a rule."""
    words = f"{spec.rule_id} {spec.title}".lower()
    return "".join(c for c in words if c.isalnum() or c in " -").replace(" ", "-")
