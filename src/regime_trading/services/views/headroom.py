"""How much of its limit a rule uses, from what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from regime_trading.core.rules import UNLIMITED, RuleSpec
from regime_trading.services.views.base import plain


def headroom(spec: RuleSpec, row: Mapping[str, Any]) -> str | None:
    """What is left before the limit, in the rule's unit, negative beyond it; null where either is not known."""
    value, limit = _number(row["value"]), _number(row["limit"])
    if value is None or limit is None:
        return None
    if limit.is_infinite():
        return UNLIMITED if not value.is_infinite() else None
    return plain(value - limit if spec.measure.at_least else limit - value)


def used_fraction(spec: RuleSpec, row: Mapping[str, Any]) -> float | None:
    """Share of the limit that is used: 1 = at the limit; null where there is no limit or it is not known.

    Of a value that must not fall below its limit it is limit over value.
    """
    value, limit = _number(row["value"]), _number(row["limit"])
    if value is None or limit is None or limit.is_infinite() or value.is_infinite():
        return None
    part, whole = (limit, value) if spec.measure.at_least else (value, limit)
    return float(part / whole) if whole > 0 else None


def _number(text: str | None) -> Decimal | None:
    if text is None:
        return None
    if text in (UNLIMITED, f"-{UNLIMITED}"):
        return Decimal(text.replace(UNLIMITED, "Infinity"))
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return None if found.is_nan() else found
