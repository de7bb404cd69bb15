"""The self-test fires every rule, and sees one that does not."""

from __future__ import annotations

import dataclasses
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
