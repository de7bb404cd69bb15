"""The self-test fires every rule, and sees one that does not."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from tests.unit.guards.scenarios import changed, defaults

from regime_trading.core.rules import RULE_BY_ID, RULE_IDS
from regime_trading.guards import chain, selftest

EVERYTHING = frozenset(name for spec in RULE_BY_ID.values() for name in (*spec.inputs, *spec.measured))


def test_every_rule_has_a_trigger_and_fires() -> None:
    assert tuple(selftest.TRIGGERS) == RULE_IDS
    assert selftest.silent_rules() == ()


def test_firing_every_rule_is_cheap_enough_for_every_start() -> None:
    selftest.silent_rules()  # loads the kernels, which the first decision of a process loads anyhow
    start = time.process_time()
    selftest.silent_rules()
    assert time.process_time() - start < 0.3


def test_the_plain_scene_fires_no_rule() -> None:
    view = selftest.scene({})
    knobs = selftest.stack_params([defaults()] * 2, view.market.symbols)
    decisions, _ = chain.decide(view, knobs, annual=selftest.ANNUAL)
    fired = [RULE_IDS[r] for r in np.flatnonzero(np.isin(decisions.rule_outcome[0], selftest.FIRED))]
    assert fired == []


@pytest.mark.parametrize("rule_id", ["DS-02", "LD-01", "CC-02", "XL-04"])
def test_a_rule_that_lets_everything_pass_is_named(rule_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asleep(view: Any, params: Any) -> Any:
        said = chain.REGISTRY["UT-14"](view, {"windows": [()] * view.n_accounts})
        return dataclasses.replace(said, codes=())

    monkeypatch.setitem(chain.REGISTRY, rule_id, asleep)
    assert selftest.silent_rules() == (rule_id,)


def test_reachable_knows_what_is_off_unheard_and_out_of_reach() -> None:
    rules = defaults()
    rules["CC-01"] = changed(rules["CC-01"], max_weight="unlimited")
    rules["CC-02"] = changed(rules["CC-02"], enabled=False)
    rules["CC-03"] = changed(rules["CC-03"], max_net="9.5")  # DS-11 refuses more than 2 an asset before that
    found = selftest.reachable(rules, EVERYTHING - {"volume"})
    assert (found["CC-01"], found["CC-02"]) == ("off", "off")
    assert found["CC-03"] == "unreachable"
    assert found["XL-04"] == "not evaluable"
    assert found["LD-01"] == found["DS-02"] == found["XL-08"] == "reachable"


def heard(rules: dict[str, Any], **asked: Any) -> dict[str, str]:
    return selftest.reachable(rules, EVERYTHING, **asked)


@pytest.mark.parametrize(
    ("rule_id", "given"),
    [
        ("UT-01", {"symbols": ("KO", "PEP")}),
        ("UT-02", {"symbols": ("LUNAUSD",)}),
        ("UT-03", {"classes": ("equity",)}),
        ("UT-12", {"hedge_groups": (("ES", "MES"),)}),
        ("UT-12", {"long_only": True}),
        ("UT-13", {"start": "1990-01-02"}),
        ("UT-13", {"end": "2035-12-31"}),
        ("UT-14", {"windows": ({"id": "year-end", "first": "12-24", "last": "01-01"},)}),
        ("UT-14", {"windows": ({"id": "once", "first": "2031-05-01", "last": "2031-05-02"},)}),
        ("UT-08", {"at": "15:08", "scope": "weekend"}),
        ("UT-08", {"allowed": False}),
    ],
)
def test_an_accounts_own_names_and_days_are_within_reach(rule_id: str, given: dict[str, Any]) -> None:
    rules = defaults()
    assert heard(rules)[rule_id] == "off", "without a list or a date it can never bind"
    rules[rule_id] = RULE_BY_ID[rule_id].params.model_validate(given)
    assert heard(rules)[rule_id] == "reachable"


def test_lists_and_days_of_an_account_keep_no_other_rule_out_of_reach() -> None:
    rules, without = defaults(), heard(defaults())
    rules["UT-01"] = changed(rules["UT-01"], symbols=("KO",))
    rules["UT-13"] = changed(rules["UT-13"], start="2031-01-01")
    found = heard(rules)
    assert {r for r in RULE_IDS if found[r] != without[r]} == {"UT-01", "UT-13"}
    assert found["VT-01"] == found["XL-07"] == "reachable"


def test_a_limit_in_money_is_measured_against_the_accounts_capital() -> None:
    rules = defaults()
    rules["LD-01"] = changed(rules["LD-01"], limit_pct="unlimited", limit_money="2000000")
    assert heard(rules)["LD-01"] == "unreachable", "100,000 cannot lose two million"
    assert heard(rules, capital=50_000_000.0)["LD-01"] == "reachable"
    plain = heard(defaults())
    for capital in (1_000.0, 3e8):
        assert heard(defaults(), capital=capital) == plain


def test_a_substitute_counts_for_what_may_be_substituted_only() -> None:
    said, stand_in = EVERYTHING - {"quotes"}, frozenset({"quotes"})
    assert "quotes" in RULE_BY_ID["XL-05"].inputs and "quotes" in RULE_BY_ID["XL-02"].measured
    without = selftest.reachable(defaults(), said)
    assert without["XL-05"] == without["XL-02"] == "not evaluable"
    found = selftest.reachable(defaults(), said, stand_in)
    assert found["XL-05"] == "reachable" and found["XL-02"] == "not evaluable"
