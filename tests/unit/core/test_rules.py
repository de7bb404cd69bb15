"""The registry: every rule is whole, its defaults hold, its operators point the safe way."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from regime_trading.core.rules import (
    RULE_BY_ID,
    RULE_BY_KEY,
    RULE_IDS,
    RULES,
    BookVolatility,
    DailyLoss,
    FreezeWindow,
    Guard,
    Merge,
    Release,
    RuleSpec,
    Rung,
    TrailingDrawdown,
    decimal_text,
    merge_of,
    rung_strictness,
    unit_of,
)

EACH = pytest.mark.parametrize("spec", RULES, ids=RULE_IDS)
EACH_PARAM = pytest.mark.parametrize(
    ("spec", "name"),
    [pytest.param(s, n, id=f"{s.rule_id}-{n}") for s in RULES for n in s.params.model_fields],
)
NO_UNIT = {Merge.FIXED, Merge.ORDERED, Merge.PROTECT}  # switches and choices


def test_ids_keys_and_models_are_unique_and_guards_in_order() -> None:
    names = [name for spec in RULES for name in (spec.key, *spec.aliases)]
    assert len(names) == len(set(names)) == len(RULE_BY_KEY)
    assert len(RULE_BY_ID) == len(RULES)
    assert len({spec.params for spec in RULES}) == len(RULES)
    assert {spec.guard for spec in RULES} == set(Guard)
    assert [spec.guard for spec in RULES] == sorted(spec.guard for spec in RULES)
    assert len({spec.title for spec in RULES}) == len(RULES)


@EACH
def test_defaults_validate_and_survive_json(spec: RuleSpec) -> None:
    default = spec.params()
    assert spec.params.model_validate(default.model_dump()) == default
    assert spec.params.model_validate_json(default.model_dump_json()) == default
    assert default.enabled


@EACH
def test_says_what_it_does(spec: RuleSpec) -> None:
    assert spec.inequality
    assert spec.effect
    assert spec.recovery
    assert spec.principal is None or spec.principal in spec.params.model_fields


@EACH_PARAM
def test_each_parameter_has_unit_and_operator(spec: RuleSpec, name: str) -> None:
    merge = merge_of(spec.params, name)
    assert unit_of(spec.params, name) or merge in NO_UNIT


@EACH_PARAM
def test_operator_fits_the_type(spec: RuleSpec, name: str) -> None:
    value, merge = getattr(spec.params(), name), merge_of(spec.params, name)
    if merge in {Merge.LOWER, Merge.HIGHER}:
        assert isinstance(value, int | Decimal)
        assert not isinstance(value, bool | Release)
    if isinstance(value, Release):
        assert merge is Merge.ORDERED
    if merge in {Merge.PROTECT, Merge.PERMIT}:
        assert isinstance(value, bool)
    if merge in {Merge.UNION, Merge.LADDER}:
        assert isinstance(value, tuple)


@EACH
def test_refuses_unknown_keys_and_stays_frozen(spec: RuleSpec) -> None:
    with pytest.raises(ValidationError):
        spec.params.model_validate({"no_such_parameter": 1})
    with pytest.raises(ValidationError):
        spec.params().enabled = False


def test_limits() -> None:
    assert BookVolatility(sigma_target="unlimited").sigma_target == Decimal("Infinity")
    assert BookVolatility(sigma_target="unlimited").model_dump(mode="json")["sigma_target"] == "unlimited"
    assert BookVolatility(sigma_target="0.10").model_dump(mode="json")["sigma_target"] == "0.1"
    for bad in ("-0.1", "NaN", "lots", None):
        with pytest.raises(ValidationError):
            BookVolatility(sigma_target=bad)
    assert decimal_text(Decimal("1E+3")) == "1000"


def test_levels_must_ascend() -> None:
    with pytest.raises(ValidationError, match="soft < warn < act"):
        DailyLoss(warn="0.90", act="0.90")
    with pytest.raises(ValidationError):
        DailyLoss(limit_pct="5")


def test_ladders_must_get_stricter() -> None:
    rungs = TrailingDrawdown(ladder=[["0.05", "0.5"], ["0.10", "FLATTEN"], ["0.12", "LOCKED"]]).ladder
    assert rungs[1] == Rung(at="0.10", action="FLATTEN")
    assert [rung_strictness(rung.action) for rung in rungs] == [Decimal("0.5"), 2, 3]
    for bad in (
        [["0.05", "0.5"], ["0.05", "0.4"]],
        [["0.05", "0.5"], ["0.10", "0.6"]],
        [["0.05", "LOCKED"], ["0.10", "FLATTEN"]],
        [["0.05", "HALT"]],
    ):
        with pytest.raises(ValidationError):
            TrailingDrawdown(ladder=bad)


def test_freeze_windows_name_days_that_exist() -> None:
    assert FreezeWindow(id="year-end", first="12-24", last="01-01").last == "01-01"
    for first, last in (
        ("02-30", "03-01"),
        ("2020-01-05", "2020-01-04"),
        ("2020-01-01", "01-05"),
        ("1-1", "1-2"),
    ):
        with pytest.raises(ValidationError):
            FreezeWindow(id="x", first=first, last=last)
