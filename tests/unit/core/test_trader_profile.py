"""The merge never loosens below the firm, says who decided, and has one hash everywhere."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.core.strategies import risks

from regime_trading.core.errors import BadInput
from regime_trading.core.merging import stricter_or_equal
from regime_trading.core.profile_merge import merge_firms, merge_profiles
from regime_trading.core.risk_layers import LayerKind, RiskLayer
from regime_trading.core.risk_stack import (
    RiskStack,
    apply_layer,
    covers,
    default_stack,
    risk_path,
    rule_models,
)
from regime_trading.core.rules import (
    RULE_BY_KEY,
    RULES,
    BookVolatility,
    DailyLoss,
    DenyList,
    FreezeWindows,
    Gross,
    Merge,
    NewsBlackout,
    SmallOrders,
    StaticLoss,
    TrailingDrawdown,
    merge_of,
)
from regime_trading.core.settings import InvalidConfig, Settings
from regime_trading.core.trader_profile import (
    SessionOverride,
    TraderProfile,
    check_override,
    explain,
    with_overrides,
)
from regime_trading.core.traders import TradersConfig

unhurried = hypothesis_settings(deadline=None)

SETTINGS = {
    "sources": {"files": {"calendar": "XNYS"}},
    "evidence": {"files": {}},
    "baskets": {
        "one": {"symbols": ["AAPL"], "allocator": "risk_parity"},
        "two": {"symbols": ["MSFT"], "allocator": "risk_parity"},
    },
}
TERMS = {
    "account_type": "own",
    "account_currency": "USD",
    "initial_capital": "100000",
    "trading_day": {"reset_at": "17:00", "zone": "America/New_York"},
}
EVAL = {
    **TERMS,
    "account_type": "prop_eval",
    "lifecycle": {"profit_target_pct": "0.08"},
    "risk": {"daily_loss": {"limit_pct": "0.05", "base": "initial", "anchor": "balance"}},
}


def settings(**more: Any) -> Settings:
    return Settings.model_validate({**SETTINGS, **more})


def traders(
    firm: dict[str, Any] | None = None, account: dict[str, Any] | None = None, **more: Any
) -> TradersConfig:
    """One firm with one account, each with what is given over something that loads."""
    base = {"id": "acc", "mode": "dry_run", "baskets": [{"name": "one", "share": "1"}]}
    own = {} if account and "preset" in account else TERMS
    one = {**base, **own, **(account or {})}
    return TradersConfig.model_validate(
        {"firms": [{"id": "firm", "name": "A firm", "accounts": [one], **(firm or {})}], **more}
    )


def profile(
    firm_risk: Any = None, account_risk: Any = None, platform: Any = None, **firm: Any
) -> TraderProfile:
    config = traders({"risk": firm_risk or {}, **firm}, {"risk": account_risk or {}})
    return merge_profiles(config, settings(rules=platform or {}))[0]


def evaluated(firm_risk: Any = None, account_risk: Any = None) -> TraderProfile:
    """An account under a preset."""
    config = traders(
        {"risk": firm_risk or {}, "presets": ["eval@1"]},
        {"preset": "eval@1", "risk": account_risk or {}},
        presets={"eval@1": EVAL},
    )
    return merge_profiles(config, settings())[0]


def findings_of(config: TradersConfig, platform: Settings | None = None) -> tuple[Any, ...]:
    with pytest.raises(InvalidConfig) as error:
        merge_profiles(config, platform or settings())
    return error.value.findings


def layer(kind: LayerKind, risk: dict[str, Any], **more: Any) -> RiskLayer:
    return RiskLayer(kind, kind.value, risk, **more)


# --- invariants over random layers --------------------------------------------------------------------------


def strict_as(lower: RiskStack, upper: RiskStack) -> bool:
    return all(
        stricter_or_equal(spec.params, name, lower.values[spec.key][name], value)
        for spec in RULES
        for name, value in upper.values[spec.key].items()
    )


@unhurried
@given(risks(), risks(), risks())
def test_no_layer_below_the_firm_ever_loosens(
    firm: dict[str, Any], account: dict[str, Any], session: dict[str, Any]
) -> None:
    above, _ = apply_layer(default_stack(), layer(LayerKind.FIRM, firm))
    below, _ = apply_layer(above, layer(LayerKind.ACCOUNT, account))
    last, _ = apply_layer(below, layer(LayerKind.SESSION, session))
    assert strict_as(below, above)
    assert strict_as(last, below)
    rule_models(last)  # every rule still validates as a whole


@unhurried
@given(risks(), risks())
def test_a_looser_value_is_never_silent(firm: dict[str, Any], account: dict[str, Any]) -> None:
    above, _ = apply_layer(default_stack(), layer(LayerKind.FIRM, firm))
    below, findings = apply_layer(above, layer(LayerKind.ACCOUNT, account))
    for key, given_params in account.items():
        params, named = RULE_BY_KEY[key].params, [f for f in findings if f.path.startswith(f"risk.{key}")]
        if named:
            assert below.values[key] == above.values[key]
            continue
        whole = params.model_validate(
            {**above.values[key], **given_params}
        )  # two of them may only fit together
        for name in given_params:
            if merge_of(params, name) is not Merge.UNION:
                said = getattr(whole, name)
                got = below.values[key][name]
                assert stricter_or_equal(params, name, got, said)
                assert stricter_or_equal(params, name, said, got)


@unhurried
@given(risks(), risks(), risks())
def test_a_firm_never_loosens_what_a_preset_says(
    preset: dict[str, Any], firm: dict[str, Any], account: dict[str, Any]
) -> None:
    named, _ = apply_layer(default_stack(), layer(LayerKind.PRESET, preset))
    below, _ = apply_layer(named, layer(LayerKind.FIRM, firm))
    last, _ = apply_layer(below, layer(LayerKind.ACCOUNT, account))
    for path, steps in named.provenance.items():
        if any(step.layer is LayerKind.PRESET for step in steps):
            _, key, name = path.split(".")
            params = RULE_BY_KEY[key].params
            for stack in (below, last):
                assert stricter_or_equal(params, name, stack.values[key][name], named.values[key][name])


@unhurried
@given(risks(), risks(), risks())
def test_a_sealed_path_only_tightens(platform: dict[str, Any], preset: dict[str, Any], firm: Any) -> None:
    sealed = layer(LayerKind.DEFAULTS, platform, sealed=("risk.**",))
    top, _ = apply_layer(default_stack(), sealed)
    named, _ = apply_layer(top, layer(LayerKind.PRESET, preset))
    below, _ = apply_layer(named, layer(LayerKind.FIRM, firm))
    assert strict_as(below, top)
    assert below.values["small_orders"]["dead_band"] == top.values["small_orders"]["dead_band"]


@unhurried
@given(risks(), risks(), st.sampled_from([LayerKind.FIRM, LayerKind.ACCOUNT]))
def test_applying_a_layer_twice_changes_nothing(
    firm: dict[str, Any], again: dict[str, Any], kind: LayerKind
) -> None:
    above, _ = apply_layer(default_stack(), layer(LayerKind.FIRM, firm))
    once, _ = apply_layer(above, layer(kind, again))
    twice, _ = apply_layer(once, layer(kind, again))
    assert twice.values == once.values


@unhurried
@given(risks(), risks(), st.randoms())
def test_key_order_says_nothing(firm: dict[str, Any], account: dict[str, Any], random: Any) -> None:
    def shuffled(risk: dict[str, Any]) -> dict[str, Any]:
        keys = list(risk)
        random.shuffle(keys)
        return {
            key: shuffled(risk[key]) if isinstance(risk[key], dict) and "id" not in risk[key] else risk[key]
            for key in keys
        }

    stacks = []
    for change in (dict, shuffled):
        above, first = apply_layer(default_stack(), layer(LayerKind.FIRM, change(firm)))
        below, second = apply_layer(above, layer(LayerKind.ACCOUNT, change(account)))
        stacks.append((below.values, dict(below.provenance), first, second))
    assert stacks[0] == stacks[1]


@unhurried
@given(risks(), risks())
def test_the_winning_layers_carry_the_value_in_force(firm: dict[str, Any], account: dict[str, Any]) -> None:
    stack, _ = apply_layer(default_stack(), layer(LayerKind.FIRM, firm))
    stack, _ = apply_layer(stack, layer(LayerKind.ACCOUNT, account))
    for spec in RULES:
        plain = rule_models(stack)[spec.rule_id].model_dump(mode="json")
        for name in spec.params.model_fields:
            winners = [s for s in stack.provenance[risk_path(spec.key, name)] if s.winning]
            assert winners
            if len(winners) == 1 and merge_of(spec.params, name) not in {Merge.UNION, Merge.LADDER}:
                assert winners[0].value == plain[name]


# --- single cases -------------------------------------------------------------------------------------------


def test_a_firm_may_loosen_the_platform_and_an_account_may_not() -> None:
    assert profile({"gross": "2.0"}).params(Gross).max_gross == 2
    assert profile({"gross": "unlimited"}, {"gross": "3"}).params(Gross).max_gross == 3
    for looser in ({"gross": "1.5"}, {"gross": {"max_gross": "unlimited"}}):
        (finding,) = findings_of(traders({}, {"risk": looser}))
        assert finding.direction == "looser"
        assert finding.layers == ("defaults built-in", "account firm/acc")


def test_nobody_below_the_firm_may_write_unlimited() -> None:
    (finding,) = findings_of(traders({"risk": {"gross": "unlimited"}}, {"risk": {"gross": "unlimited"}}))
    assert "only defaults, presets and firms" in finding.expected


def test_a_looser_firm_does_not_loosen_its_preset() -> None:
    loose = evaluated({"daily_loss": {"limit_pct": "0.20", "base": "anchor", "anchor": "max"}})
    assert loose.params(DailyLoss).limit_pct == Decimal("0.05")
    assert loose.params(DailyLoss).base == "initial"
    assert [step.winning for step in explain(loose, "risk.daily_loss")] == [False, True, False]
    strict = evaluated({"daily_loss": {"limit_pct": "0.01"}})
    assert strict.params(DailyLoss).limit_pct == Decimal("0.01")


def test_an_account_tightens_its_preset() -> None:
    assert evaluated(None, {"daily_loss": "0.03"}).params(DailyLoss).limit_pct == Decimal("0.03")
    with pytest.raises(InvalidConfig, match=r"at most 0\.05, as set by preset eval@1"):
        evaluated(None, {"daily_loss": "0.06"})
    with pytest.raises(InvalidConfig, match="anchor: expected balance unchanged"):
        evaluated(None, {"daily_loss": {"anchor": "max"}})


def test_a_blend_of_preset_and_firm_must_hold_together() -> None:
    """The preset keeps its warn level; the firm's soft level, which the preset leaves open, is above it."""
    preset = layer(LayerKind.PRESET, {"daily_loss": {"warn": "0.65"}})
    firm = layer(LayerKind.FIRM, {"daily_loss": {"soft": "0.70", "warn": "0.80"}})
    named, none = apply_layer(default_stack(), preset)
    below, (finding,) = apply_layer(named, firm)
    assert none == ()
    assert finding.expected == "soft < warn < act"
    assert below.values == named.values


def test_collections_add_and_remove() -> None:
    lists = profile(
        {"deny": ["B"], "allow": ["A", "B", "C"], "freeze": {"windows": [_window("one")]}},
        {"deny": ["A"], "allow": ["C"], "freeze": {"windows": [_window("two")]}},
    )
    assert lists.params(DenyList).symbols == ("A", "B")
    assert [window.id for window in lists.params(FreezeWindows).windows] == ["one", "two"]
    assert lists.rules["UT-01"].model_dump()["symbols"] == ("C",)
    assert all(step.winning for step in explain(lists, "risk.deny")[1:])
    (finding,) = findings_of(traders({"risk": {"allow": ["A"]}}, {"risk": {"allow": ["A", "Z"]}}))
    assert finding.direction == "looser"


def _window(name: str, last: str = "12-31") -> dict[str, str]:
    return {"id": name, "first": "12-24", "last": last}


def test_a_window_may_not_be_redefined_below() -> None:
    firm, account = ({"freeze": {"windows": [_window("x", last)]}} for last in ("12-31", "12-25"))
    (finding,) = findings_of(traders({"risk": firm}, {"risk": account}))
    assert "another id" in finding.expected


def test_an_account_ladder_is_stricter_everywhere_or_refused() -> None:
    firm = {"drawdown": [["0.05", "0.5"], ["0.10", "FLATTEN"]]}
    strict = [["0.03", "0.8"], ["0.05", "0.4"], ["0.08", "LOCKED"]]
    assert len(profile(firm, {"drawdown": strict}).params(TrailingDrawdown).ladder) == 3
    for looser in (
        [["0.05", "0.5"]],  # forgets to flatten
        [["0.05", "0.6"], ["0.10", "FLATTEN"]],
        [["0.06", "0.5"], ["0.10", "FLATTEN"]],
        "unlimited",
    ):
        (finding,) = findings_of(traders({"risk": firm}, {"risk": {"drawdown": looser}}))
        assert finding.layers == ("firm firm", "account firm/acc")


def test_a_sealed_plain_value_stays() -> None:
    account = {"small_orders": {"dead_band": "0.01"}}
    assert profile(None, account).params(SmallOrders).dead_band == Decimal("0.01")
    sealed = traders({"sealed": ["risk.small_orders.**"]}, {"risk": account})
    (finding,) = findings_of(sealed)
    assert finding.expected.startswith("0.0025 unchanged")


def test_a_seal_must_name_something() -> None:
    (finding,) = findings_of(traders({"sealed": ["risk.drawdwn.**"]}))
    assert finding.path == "sealed[0]"


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        ("risk.drawdown.**", "risk.drawdown.ladder", True),
        ("risk.drawdown", "risk.drawdown.ladder", True),
        ("risk.*.enabled", "risk.gross.enabled", True),
        ("**", "risk.gross.max_gross", True),
        ("risk.**.act", "risk.daily_loss.act", True),
        ("risk.gross", "risk.gross_x.max", False),
        ("risk.gross.max_gross.x", "risk.gross.max_gross", False),
        ("drawdown", "risk.drawdown.ladder", False),
    ],
)
def test_globs(pattern: str, path: str, covered: bool) -> None:
    assert covers(pattern, path) is covered


@pytest.mark.parametrize(
    ("risk", "expected"),
    [
        ({"max_postion": 3}, "'max_positions'"),
        ({"CC-02": "1"}, "'gross'"),
        ({"daily_loss": {"limt_pct": "0.01"}}, "'limit_pct'"),
        ({"daily_loss": {"limit_pct": 5}}, "did you mean 0.05?"),
        ({"daily_loss": {"id": "LD-02"}}, "'LD-01'"),
        ({"daily_loss": {"act": "0.75"}}, "soft < warn < act"),
        ({"gross": None}, "'unlimited'"),
        ({"gross": {"max_gross": None}}, "'unlimited'"),
        ({"gross": True}, "a value"),
        ({"gross": {"enabled": 1}}, "true or false"),
        ({"gross": {"enabled": False}}, "still true"),
        ({"gross": "-1"}, "a number ≥ 0"),
        ({"regime_budget": "1"}, "a mapping of"),
        ({"drawdown": [["0.1", "0.5"], ["0.1", "0.4"]]}, "both get stricter"),
        ({"daily_loss": {"release": "AUTO"}}, "NEXT_SESSION or stricter"),
        ({"news": {"before_s": 60}}, "at least 300"),
        ({"max_positions": "3.5"}, "valid integer"),
    ],
)
def test_each_mistake_has_its_own_words(risk: dict[str, Any], expected: str) -> None:
    (finding,) = findings_of(traders({}, {"risk": risk}))
    assert expected in finding.expected
    assert finding.path.startswith("risk.")


@pytest.mark.parametrize(
    ("firm", "account", "path"),
    [
        ({}, {"baskets": [{"name": "nope", "share": "1"}]}, "baskets"),
        ({}, {"baskets": [{"name": "one", "share": "0.5"}] * 2}, "baskets"),
        ({}, {"baskets": [{"name": "one", "share": "0.6"}, {"name": "two", "share": "0.5"}]}, "baskets"),
        ({}, {"initial_capital": None}, "initial_capital"),
        ({}, {"lifecycle": {}}, "lifecycle"),
        ({}, {"account_type": "prop_eval"}, "lifecycle"),
        ({"presets": []}, {"preset": "eval@1"}, "preset"),
        ({"presets": ["other@1"]}, {}, "presets"),
        ({"presets": ["eval@1"]}, {"preset": "eval@1", "initial_capital": "7"}, "initial_capital"),
    ],
)
def test_what_an_account_must_say(firm: dict[str, Any], account: dict[str, Any], path: str) -> None:
    (finding,) = findings_of(traders(firm, account, presets={"eval@1": EVAL}))
    assert path in finding.path


def test_ids_are_used_once_and_flows_name_accounts() -> None:
    base = traders()
    twice = base.model_copy(update={"firms": base.firms * 2})
    assert "not used before" in findings_of(twice)[0].expected
    two = base.firms[0].model_copy(update={"accounts": base.firms[0].accounts * 2})
    assert "not used before" in findings_of(base.model_copy(update={"firms": (two,)}))[0].expected
    flow = {"account": "firm/akk", "date": "01-15", "amount": "1"}
    (finding,) = findings_of(base, settings(backtest={"flows": [flow]}))
    assert "'firm/acc'" in finding.expected


def test_a_firm_without_a_list_allows_every_preset() -> None:
    config = traders({}, {"preset": "eval@1"}, presets={"eval@1": EVAL})
    assert merge_profiles(config, settings())[0].preset_ref == "eval@1"


def test_shadow_and_live_leave_the_capital_to_the_broker() -> None:
    for mode in ("shadow", "gated_live"):
        one = merge_profiles(traders({}, {"mode": mode, "initial_capital": None}), settings())[0]
        assert one.stated_capital is None
        with pytest.raises(BadInput, match="account firm/acc: expected an initial_capital"):
            _ = one.initial_capital


def test_an_account_is_its_own_unless_it_is_evaluated() -> None:
    plain = merge_profiles(traders({}, {"account_type": None}), settings())[0]
    evaluation = {"account_type": None, "lifecycle": {"profit_target": "3000"}, "initial_capital": "50000"}
    trial = merge_profiles(traders({}, evaluation), settings())[0]
    assert (plain.account_type, trial.account_type) == ("own", "prop_eval")


@pytest.mark.parametrize(
    ("terms", "share"),
    [
        ({"profit_target": "3000"}, "0.06"),
        ({"profit_target": "3000", "profit_target_pct": "0.08"}, "0.08"),
        ({"profit_target": "3000", "profit_target_pct": "0.02"}, "0.06"),
        ({"profit_target": "1", "start": "2026-12-01", "end": "2026-12-01"}, "0.00002"),
    ],
)
def test_the_greater_target_counts(terms: dict[str, str], share: str) -> None:
    account = {"account_type": "prop_eval", "lifecycle": terms, "initial_capital": "50000"}
    life = merge_profiles(traders({}, account), settings())[0].lifecycle
    assert life is not None
    assert life.profit_target_pct == Decimal(share)


def test_a_target_beyond_reach_is_refused() -> None:
    account = {"account_type": "prop_eval", "lifecycle": {"profit_target": "200000"}}
    (finding,) = findings_of(traders({}, account))
    assert finding.path == "firms.0.accounts.0.lifecycle.profit_target"


def test_a_universe_is_rules_by_another_name() -> None:
    narrowed = merge_profiles(
        traders({"universe": {"allow": ["A", "B", "C"], "deny": ["X"]}}, {"universe": {"allow": ["C"], "deny": ["Y"]}}),
        settings(),
    )  # fmt: skip
    assert narrowed[0].rules["UT-01"].model_dump()["symbols"] == ("C",)
    assert narrowed[0].params(DenyList).symbols == ("X", "Y")


def test_a_universe_may_not_widen() -> None:
    config = traders({"universe": {"allow": ["A"]}}, {"universe": {"allow": ["B"]}})
    (finding,) = findings_of(config)
    assert (finding.path, finding.direction) == ("universe.allow", "looser")
    assert finding.layers == ("firm firm", "account firm/acc")
    (finding,) = findings_of(traders({"universe": {"deny": None}}))
    assert finding.path == "universe.deny"


# --- one firm's problem -------------------------------------------------------------------------------------


def two_firms(broken: dict[str, Any], **more: Any) -> TradersConfig:
    """A firm with a problem before one without."""
    good = {"id": "good", "name": "Good", "accounts": [{"id": "acc", "mode": "dry_run", **TERMS}]}
    bad = {**good, "id": "bad", "name": "Bad", **broken}
    return TradersConfig.model_validate({"firms": [bad, good], **more})


def test_a_firm_with_a_problem_does_not_stop_another() -> None:
    merged = merge_firms(two_firms({"risk": {"grss": 1}}), settings())
    assert [p.account for p in merged.profiles] == ["good/acc"]
    assert list(merged.by_firm) == ["bad"]
    assert merged.common == merged.idle == ()
    alone = merge_firms(two_firms({}), settings())
    assert [p.account for p in alone.profiles] == ["bad/acc", "good/acc"]
    assert alone.profiles[1] == merged.profiles[0]


def test_a_broken_preset_stops_the_firms_that_name_it() -> None:
    presets = {"eval@1": {**EVAL, "risk": {"grss": 1}}, "idle@1": {"risk": {"nett": 1}}}
    named = {"accounts": [{"id": "acc", "mode": "dry_run", "preset": "eval@1"}]}
    merged = merge_firms(two_firms(named, presets=presets), settings())
    assert [p.account for p in merged.profiles] == ["good/acc"]
    assert [f.path for f in merged.by_firm["bad"]] == ["risk.grss"]
    assert [f.path for f in merged.idle] == ["risk.nett"]


def test_what_is_above_the_firms_stops_all_of_them() -> None:
    merged = merge_firms(two_firms({}), settings(rules={"grss": 1}))
    assert merged.profiles == ()
    assert [f.path for f in merged.common] == ["rules.grss"]


def test_two_firms_of_one_name_are_both_stopped() -> None:
    merged = merge_firms(two_firms({"id": "good"}), settings())
    assert merged.profiles == ()
    assert list(merged.by_firm) == ["good"]


def test_a_flow_of_a_firm_that_cannot_be_read_is_no_problem() -> None:
    flows = settings(backtest={"flows": [{"account": "gone/acc", "date": "01-15", "amount": "1"}]})
    merged = merge_firms(two_firms({}), flows)
    assert [f.path for f in merged.idle] == ["backtest.flows.0"]
    assert len(merged.profiles) == 2
    assert merge_firms(two_firms({}), flows, absent={"gone"}).findings == ()
    own = settings(backtest={"flows": [{"account": "good/akk", "date": "01-15", "amount": "1"}]})
    assert [f.path for f in merge_firms(two_firms({}), own).by_firm["good"]] == ["backtest.flows.0"]


def test_every_problem_is_reported_at_once() -> None:
    found = findings_of(traders({"risk": {"grss": 1}}, {"risk": {"sigma_target": "0.5", "net": "9"}}))
    assert [f.path for f in found] == ["risk.grss", "risk.net", "risk.sigma_target"]


# --- provenance, overrides, identity ------------------------------------------------------------------------


def test_explain_tells_the_whole_chain() -> None:
    told = profile({"sigma_target": "0.12"}, {"sigma_target": "0.08"}, {"sigma_target": "0.20"})
    chain = explain(told, "risk.sigma_target")
    assert [(s.layer, s.value, s.winning) for s in chain] == [
        (LayerKind.DEFAULTS, "0.15", False),
        (LayerKind.DEFAULTS, "0.2", False),
        (LayerKind.FIRM, "0.12", False),
        (LayerKind.ACCOUNT, "0.08", True),
    ]
    assert {s.operator for s in chain} == {Merge.LOWER}
    assert explain(told, "risk.sigma_target.sigma_target") == chain
    assert explain(told, "initial_capital")[0].value == "100000"
    with pytest.raises(BadInput, match=r"'risk\.sigma_target\.sigma_target'"):
        explain(told, "risk.sigma_target.sigma_targt")


def test_every_risk_parameter_is_explained() -> None:
    told = profile()
    paths = {risk_path(spec.key, name) for spec in RULES for name in spec.params.model_fields}
    assert paths <= set(told.provenance)


def override(path: str, value: Any, expires_at_ns: int = 100, **more: Any) -> SessionOverride:
    said = {"account": "firm/acc", "reason": "a bad day", "created_by": "local", "exact": True, **more}
    return SessionOverride(path=path, value=value, created_at_ns=0, expires_at_ns=expires_at_ns, **said)


def test_an_override_tightens_until_it_expires() -> None:
    base = profile()
    tight = with_overrides(base, [override("risk.sigma_target", "0.05")], as_of_ns=99)
    assert tight.params(BookVolatility).sigma_target == Decimal("0.05")
    assert tight.config_hash != base.config_hash
    assert explain(tight, "risk.sigma_target")[-1].layer is LayerKind.SESSION
    assert with_overrides(base, [override("risk.sigma_target", "0.05")], as_of_ns=100) == base
    deeper = with_overrides(tight, [override("risk.sigma_target.sigma_target", "0.04")], as_of_ns=99)
    assert len(deeper.session_overrides) == 2
    other = override("risk.sigma_target", "0.05", account="firm/other")
    assert with_overrides(base, [other], as_of_ns=99) == base


def test_an_override_that_the_configuration_has_overtaken_changes_nothing() -> None:
    stricter = profile({"sigma_target": "0.04"})
    still = with_overrides(stricter, [override("risk.sigma_target", "0.05")], as_of_ns=0)
    assert still.params(BookVolatility).sigma_target == Decimal("0.04")
    assert still.config_hash == stricter.config_hash
    assert [step.winning for step in explain(still, "risk.sigma_target")] == [False, True, False]


def test_overrides_say_the_same_in_any_order() -> None:
    two = [override("risk.sigma_target", "0.05"), override("risk.sigma_target", "0.06", created_by="second")]
    one, other = (with_overrides(profile(), order, as_of_ns=1) for order in (two, two[::-1]))
    assert one == other
    assert one.params(BookVolatility).sigma_target == Decimal("0.05")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("risk.sigma_target", "0.16"),
        ("risk.sigma_target", "unlimited"),
        ("risk.news.mode", "no_increase"),
        ("risk.gross.enabled", False),
        ("risk.nothing", 1),
        ("sigma_target", "0.01"),
        ("initial_capital", "1"),
    ],
)
def test_an_override_that_does_not_tighten_is_refused(path: str, value: Any) -> None:
    strict = profile({"news": {"mode": "no_trade"}})
    with pytest.raises(InvalidConfig):
        check_override(strict, override(path, value))
    assert strict.params(NewsBlackout).mode == "no_trade"


def test_a_looser_override_names_both_layers() -> None:
    strict = profile({"news": {"mode": "no_trade"}})
    with pytest.raises(InvalidConfig) as error:
        check_override(strict, override("risk.news.mode", "no_increase"))
    (finding,) = error.value.findings
    assert finding.layers[0] == "firm firm"
    assert finding.layers[1].startswith("session override ") and finding.layers[1].endswith("(a bad day)")
    assert (finding.path, finding.direction) == ("risk.news.mode", "looser")


def test_an_override_is_of_its_account() -> None:
    with pytest.raises(InvalidConfig, match="firm/acc, found firm/other"):
        check_override(profile(), override("risk.gross", "0.5", account="firm/other"))


def test_the_hash_is_the_documented_one() -> None:
    """Computed again from the profile's own JSON with another implementation of RFC 8785."""
    one = evaluated({"deny": ["B", "A"]})
    body = json.loads(one.model_dump_json())
    for name in ("schema_version", "config_hash", "config_version", "provenance", "session_overrides"):
        del body[name]
    assert one.config_hash == hashlib.sha256(rfc8785.dumps(body) + b"|1|1").hexdigest()


def test_the_hash_covers_what_is_in_force_and_nothing_else() -> None:
    base = profile({"sigma_target": "0.10"})
    assert profile({"sigma_target": {"id": "VT-01", "sigma_target": "0.1"}}).config_hash == base.config_hash
    assert profile(None, {"sigma_target": "0.100"}).config_hash == base.config_hash
    changed = [
        profile({"sigma_target": "0.11"}),
        profile({"sigma_target": "0.10", "deny": ["A"]}),
        profile({"sigma_target": "0.10"}, sealed=["risk.gross"]),
        merge_profiles(traders({"risk": {"sigma_target": "0.10"}}, {"mode": "shadow"}), settings())[0],
    ]
    assert len({base.config_hash, *(other.config_hash for other in changed)}) == 5


@unhurried
@given(risks(most=3))
def test_a_profile_survives_json(firm: dict[str, Any]) -> None:
    try:
        one = profile(firm)
    except InvalidConfig:
        return
    again = TraderProfile.model_validate_json(one.model_dump_json())
    assert again == one


def test_a_changed_profile_does_not_load() -> None:
    told = json.loads(profile().model_dump_json())
    told["rules"]["VT-01"]["sigma_target"] = "0.9"
    with pytest.raises(ValidationError, match="config_hash"):
        TraderProfile.model_validate(told)
    del told["rules"]["VT-01"]
    with pytest.raises(ValidationError, match="every rule id"):
        TraderProfile.model_validate(told)


def test_params_by_model() -> None:
    told = profile()
    assert told.account == "firm/acc"
    assert told.params(StaticLoss) is told.rules["LD-03"]
    assert sorted(told.rules) == sorted(spec.rule_id for spec in RULES)


PROGRAM = """
import sys
from tests.unit.core.test_trader_profile import evaluated, profile
firm = {"deny": ["C", "A", "B"], "freeze": {"windows": [{"id": "x", "first": "12-24", "last": "01-01"}]}}
sys.stdout.write(" ".join(p.config_hash for p in (profile(firm, {"sigma_target": "0.07"}), evaluated(firm))))
"""


def test_the_hash_is_the_same_in_any_process() -> None:
    printed = set()
    for seed, zone in (("0", "UTC"), ("1", "Asia/Kathmandu"), ("4242", "America/St_Johns")):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        printed.add(run.stdout)
    firm = {"freeze": {"windows": [{"last": "01-01", "first": "12-24", "id": "x"}]}, "deny": ["A", "B", "C"]}
    here = f"{profile(firm, {'sigma_target': '0.07'}).config_hash} {evaluated(firm).config_hash}"
    assert printed == {here}
