"""Guard 2: lists across layers, names as arrays, and what is remembered of exits and trades."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.unit.guards.scenarios import defaults, scene

from regime_trading.core.merging import combine, in_order, stricter_or_equal
from regime_trading.core.risk_layers import LayerKind, RiskLayer, adapter
from regime_trading.core.risk_stack import apply_layer, default_stack
from regime_trading.core.rules import (
    AccountLifecycle,
    AllowList,
    Direction,
    FlatBy,
    OrphanPolicy,
    Permissions,
)
from regime_trading.guards.blackout import remember
from regime_trading.guards.facts import NEVER_NS
from regime_trading.guards.names import HedgeGroups, stack_groups, stack_names
from regime_trading.guards.snapshot import Happened, nothing_happened, stack_params

A, B, C = ("ES", "MES"), ("MNQ", "NQ"), ("GC", "MGC")


def layered(*risks: dict[str, Any]) -> Any:
    """The stack of a firm and its accounts' layers, each below the one before, and what is wrong with them."""
    stack, findings = default_stack(), []
    for kind, risk in zip((LayerKind.FIRM, LayerKind.ACCOUNT, LayerKind.SESSION), risks, strict=False):
        stack, found = apply_layer(stack, RiskLayer(kind, "x", risk))
        findings += found
    return stack, findings


# --- layers ---------------------------------------------------------------------------------------------------


def test_lists_only_narrow_from_layer_to_layer() -> None:
    stack, findings = layered(
        {"permissions": {"classes": ["equity", "future"], "venues": ["XNYS"]}},
        {"permissions": {"classes": ["future"]}, "direction": {"hedge_groups": [["MES", "ES"]]}},
        {"direction": {"hedge_groups": [["NQ", "MNQ", "NQ"], ["ES", "MES"]], "long_only": True}},
    )
    assert not findings
    assert stack.values["permissions"]["classes"] == ("future",)
    assert stack.values["permissions"]["venues"] == ("XNYS",)
    assert stack.values["direction"]["hedge_groups"] == (A, B)
    _, findings = layered({"permissions": {"classes": ["equity"]}}, {"permissions": {"classes": ["option"]}})
    assert [finding.direction for finding in findings] == ["looser"]


def test_deny_beats_allow() -> None:
    stack, findings = layered({"allow": ["AAA"], "deny": ["AAA"]}, {"allow": ["AAA"]})
    assert not findings
    assert (stack.values["allow"]["symbols"], stack.values["deny"]["symbols"]) == (("AAA",), ("AAA",))


def test_a_rule_may_be_called_by_its_other_name() -> None:
    stack, findings = layered({"overnight": {"id": "UT-08", "allowed": False}})
    assert not findings
    assert stack.values["flat_by"]["allowed"] is False
    _, findings = layered({"overnight": {"allowed": False}, "flat_by": {"at": "15:08"}})
    assert len(findings) == 1
    _, findings = layered({"overnight": {"allowed": False}}, {"overnight": {"allowed": True}})
    assert [finding.direction for finding in findings] == ["looser"]


def test_hedge_groups_unite_whatever_the_order_of_their_names() -> None:
    kind = adapter(Direction, "hedge_groups")
    said = in_order(Direction, "hedge_groups", kind.validate_python([["MES", "ES"], ["ES", "MES", "ES"]]))
    assert said == (A,)
    both = combine(Direction, "hedge_groups", (A, C), (B, A))
    assert both == combine(Direction, "hedge_groups", (B,), (A, C)) == (A, C, B) == tuple(sorted((A, C, B)))
    assert stricter_or_equal(Direction, "hedge_groups", both, (A,))
    assert not stricter_or_equal(Direction, "hedge_groups", (A,), both)
    with pytest.raises(ValidationError, match="at least two"):
        Direction(hedge_groups=[["ES", "ES"]])


def test_exit_is_the_stricter_orphan_policy() -> None:
    leave, keep = OrphanPolicy.EXIT, OrphanPolicy.REDUCE_ONLY
    assert combine(AllowList, "orphan_policy", keep, leave) is leave
    assert stricter_or_equal(AllowList, "orphan_policy", leave, keep)


def test_times_zones_and_days_must_exist() -> None:
    for bad in ({"at": "24:00"}, {"at": "7:00"}, {"at": 908}, {"zone": "CET+1"}, {"zone": "Mars/Olympus"}):
        with pytest.raises(ValidationError):
            FlatBy(**bad)
    for bad in ({"start": "2026-02-30"}, {"end": "26-01-01"}, {"start": "2026-02-02", "end": "2026-02-01"}):
        with pytest.raises(ValidationError):
            AccountLifecycle(**bad)
    with pytest.raises(ValidationError):
        Permissions(classes="equity")


# --- names as arrays ------------------------------------------------------------------------------------------


def test_allow_lists_of_several_accounts() -> None:
    sets = stack_names([None, ("future",), (), ("equity", "swap")], ())
    index = np.array([0, 1, 2, -1, 3])
    allowed = sets.allow(("equity", "future", "option"), index)
    assert allowed.tolist() == [
        [True] * 5,
        [False, True, False, False, False],
        [False] * 5,
        [True, False, False, False, False],
    ]
    assert sets.allow((), np.array([-1, 0])).tolist() == [[True, True]] + [[False, False]] * 3
    assert sets.allow(("equity",), np.zeros(0, dtype=np.int64)).shape == (4, 0)


def test_groups_reach_their_own_members_and_only_those_an_account_declares() -> None:
    symbols = ("ES", "GC", "MES", "NQ")
    groups = stack_groups([(A, ("MNQ", "NQ")), (), (("ES", "NQ"),)], symbols)
    marked = np.array([[True, False, False, False]] * 3)
    assert groups.assets(groups.touched(marked)).tolist() == [
        [True, False, True, False],
        [False] * 4,
        [True, False, False, True],
    ]
    nobody = HedgeGroups(np.zeros((0, 4), dtype=np.bool_), np.zeros((3, 0), dtype=np.bool_))
    assert not nobody.assets(nobody.touched(marked)).any()


def test_parameters_without_a_value_are_not_a_number() -> None:
    profile = defaults()
    profile["UT-08"] = FlatBy(at="15:08", zone="America/Chicago")
    knobs = stack_params([defaults(), profile], ("AAA",))
    assert np.isnan(knobs["UT-08"]["at"][0])
    assert knobs["UT-08"]["at"][1] == 15 * 3600 + 8 * 60
    zone = knobs["UT-08"]["zone"]
    assert [zone.words[i] for i in zone.index] == ["Etc/UTC", "America/Chicago"]
    assert np.isnan(knobs["UT-13"]["start"]).all()


# --- memory ---------------------------------------------------------------------------------------------------


def happened(**changes: Any) -> Happened:
    quiet = nothing_happened(2, 3)
    return Happened(
        **{name: changes.get(name, getattr(quiet, name)) for name in Happened.__dataclass_fields__}
    )


def test_the_fill_that_closed_a_position_is_remembered() -> None:
    view = scene(4, 2, 3).view
    now = view.market.ts_ns
    side = np.array([[1, 0, -1], [0, 0, 0]], dtype=np.int8)
    after = remember(view, {}, happened(flat_side=side, traded=np.array([True, False])))
    assert after.flat_ns.tolist() == [[now, NEVER_NS, now], [NEVER_NS] * 3]
    assert after.flat_side.tolist() == side.tolist()
    assert after.last_trade_ns.tolist() == [now, NEVER_NS]
    assert after.flat_side.dtype == view.states.flat_side.dtype
    again = remember(view, {}, nothing_happened(2, 3))
    assert again.flat_ns.tolist() == view.states.flat_ns.tolist()
    assert again.last_trade_ns.tolist() == [NEVER_NS] * 2


def test_memory_never_goes_back() -> None:
    """A clock that was set back moves neither the last exit nor the last trade."""
    s = scene(4, 2, 3)
    later = s.view.market.ts_ns + 10**12
    s = s.with_states(flat_ns=np.full((2, 3), later), last_trade_ns=np.full(2, later))
    side = np.full((2, 3), -1, dtype=np.int8)
    after = remember(s.view, {}, happened(flat_side=side, traded=np.array([True, True])))
    assert (after.flat_ns == later).all()
    assert (after.last_trade_ns == later).all()
    assert (after.flat_side == -1).all()
