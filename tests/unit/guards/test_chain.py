"""What the chain adds to the rules: evaluability, switches, outcomes, and the way from a target to orders."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.properties.scenes import run
from tests.unit.guards.scenarios import ANNUAL, Scene, scene

from regime_trading.core.numbers import to_nano
from regime_trading.core.rules import LATCHING_RULES, RULE_BY_ID, RULE_IDS, RULES, Release
from regime_trading.guards import chain
from regime_trading.guards.attribution import names_any, rule_names
from regime_trading.guards.chain import OUTCOMES, Decisions, decide
from regime_trading.guards.snapshot import NO_LATCH, View, nano_weights
from regime_trading.guards.verdict import NOT_EVALUABLE, OFF, UNKNOWN

AT = {rule_id: i for i, rule_id in enumerate(RULE_IDS)}
LOOSE = {
    "CC_01": {"max_weight": 2}, "CC_02": {"max_gross": 4}, "CC_03": {"max_net": "unlimited"},
    "CC_04": {"max_group": "unlimited", "max_unclassified": "unlimited"}, "VT_01": {"sigma_target": "unlimited"},
    "XL_06": {"max_increase": "unlimited"}, "XL_07": {"min_notional": 0, "dead_band": 0},
}  # fmt: skip


def book(qty: list[float], proposed: list[float], **rules: dict[str, Any]) -> Scene:
    """One account of 100 000, every price 100, σ 1 %, uncorrelated, very liquid; nothing binds but ``rules``."""
    n = len(qty)
    s = scene(1, 1, n)
    s = s.with_market(
        price=np.full(n, 100.0), ref_price=np.full(n, 100.0), adv=np.full(n, 1e12), sigma=np.full(n, 0.01),
        correlation=np.eye(n),
    )  # fmt: skip
    equity, held = np.array([100_000.0]), np.array([qty], dtype=np.float64)
    s = s.with_books(
        equity=equity, balance=equity, qty=held, proposed=to_nano([proposed]),
        current=nano_weights(held, np.full(n, 100.0), equity),
    )  # fmt: skip
    money = (
        "initial_capital",
        "units",
        "last_equity",
        "last_balance",
        "day_anchor_balance",
        "day_anchor_equity",
    )
    return s.with_states(**dict.fromkeys(money, equity)).with_rules(**(LOOSE | rules))


def outcome(d: Decisions) -> str:
    return OUTCOMES[int(d.outcome[0])]


# --- evaluability and switches ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rule_id", [spec.rule_id for spec in RULES if spec.inputs])
def test_a_rule_whose_input_the_source_does_not_have_is_not_evaluable(rule_id: str) -> None:
    name = RULE_BY_ID[rule_id].inputs[0]
    s = scene(2, 1, 3, frozenset({"stale", "gaps", "halts", "illiquid"}))
    s = s.with_rules(**{rule_id.replace("-", "_"): {"enabled": True}})
    broker = replace(s.view.books.broker, provided=s.view.books.broker.provided - {name})
    measured = frozenset(RULE_BY_ID[rule_id].measured)
    bare = s.with_market(provided=(s.view.market.provided | measured) - {name}).with_books(broker=broker)
    d, _ = run(bare)
    assert d.rule_outcome[0, AT[rule_id]] == NOT_EVALUABLE
    assert d.rule_codes[AT[rule_id]] == (f"NO_{name.upper()}",)
    assert not names_any(d.limiting, AT[rule_id]).any() or rule_id == "DS-02"
    substituted, _ = run(bare.with_market(substituted=frozenset({name})))
    assert substituted.rule_outcome[0, AT[rule_id]] != NOT_EVALUABLE


def test_a_rule_is_switched_off_for_one_account_only() -> None:
    s = scene(3, 2, 4).with_rules(CC_01={"max_weight": "0.01"}, VT_04={"trending": "0.5"})
    for rule_id in ("CC-01", "VT-04"):
        s.profiles[1][rule_id] = s.profiles[1][rule_id].model_copy(update={"enabled": False})
    d, _ = run(Scene(s.view, s.profiles))
    for rule_id in ("CC-01", "VT-04"):
        assert d.rule_outcome[0, AT[rule_id]] != OFF
        assert d.rule_outcome[1, AT[rule_id]] == OFF
        assert d.rule_reasons[1, AT[rule_id]] == 0
    assert d.projection.throttle.tolist() == [0.5, 1.0]
    assert np.abs(d.projection.target[0]).max() <= 1e7 < np.abs(d.projection.target[1]).max()


def test_a_rule_error_hides_nothing_of_the_other_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    s = book([100, 0], [0.3, 0.3], CC_01={"max_weight": "0.05"})
    monkeypatch.setitem(chain.REGISTRY, "XL-07", lambda *_: 1 / 0)
    d, _ = decide(s.view, s.knobs, annual=ANNUAL)
    assert d.projection.target[0].tolist() == [5e7, 0.0]
    assert d.rule_outcome[0, AT["XL-07"]] == UNKNOWN


# --- outcomes -------------------------------------------------------------------------------------------------


def test_outcomes() -> None:
    assert outcome(run(book([100, 0], [0.2, 0.1]))[0]) == "approve"
    assert outcome(run(book([100, 0], [0.2, 0.1], CC_01={"max_weight": "0.15"}))[0]) == "resize"
    assert outcome(run(book([100, 0], [0.1, 0.1], UT_01={"symbols": []}))[0]) == "block"
    assert outcome(run(book([100, 0], [0.1, 9.0]))[0]) == "hold"
    assert outcome(run(book([100, 0], [0.1, 0.1], LD_01={"limit_money": 0}))[0]) == "flatten"
    stale = book([100, 0], [0.1, 0.1]).with_books(equity_age_bars=np.array([9.0]))
    assert outcome(run(stale)[0]) == "reduce_only"
    s = book([100, 0], [0.1, 0.1]).with_states(unit_hwm=np.array([10.0]))
    assert outcome(run(s)[0]) == "lock"


# --- holding is holding ------------------------------------------------------------------------------------------


def test_a_blocked_asset_is_held_to_the_share_and_not_one_lot_less() -> None:
    """0.0333… of equity is not a whole number of nanoweights; the box must still mean "what is there"."""
    s = book([33, 77], [0.9, 0.9], UT_01={"symbols": []}).with_books(equity=np.array([99_991.7]))
    qty, price = s.view.books.qty, s.view.market.price
    s = s.with_books(current=nano_weights(qty, price, s.view.books.equity))
    assert not run(s)[0].steps.step_qty.any()
    s = s.with_books(equity_age_bars=np.array([9.0]))  # REDUCE_ONLY: no dead band protects it
    assert not run(s)[0].steps.step_qty.any()


def test_what_working_exits_will_close_is_not_closed_twice() -> None:
    s = book([100, -50], [0.0, 0.0]).with_books(working_exit_qty=np.array([[30.0, 50.0]]))
    assert run(s)[0].steps.step_qty.tolist() == [[-70.0, 0.0]]
    held = book([100, -50], [0.5, -0.5], UT_14={"windows": [{"id": "w", "first": "01-01", "last": "12-31"}]})
    d, _ = run(held.with_books(working_exit_qty=np.array([[30.0, 50.0]])))
    assert d.projection.target[0].tolist() == [7e7, 0.0]
    assert d.steps.target_qty.tolist() == [[70.0, 0.0]]
    assert d.steps.step_qty.tolist() == [[0.0, 0.0]]


def test_a_target_below_what_working_exits_leave_is_sold_down_to() -> None:
    """40 of 100 are on their way out and 30 shall stay: 30 more. The other asset has no exit at work."""
    s = book([100, 100], [0.03, 0.05]).with_books(working_exit_qty=np.array([[40.0, 0.0]]))
    assert run(s)[0].steps.step_qty.tolist() == [[-30.0, -50.0]]


def test_dust_below_a_lot_is_sold_whole() -> None:
    s = book([7, 0], [0.0, 0.0]).with_market(lot=np.array([10.0, 10.0]))
    assert run(s)[0].steps.step_qty.tolist() == [[-7.0, 0.0]]


def test_a_weight_stands_only_on_an_equity_above_zero() -> None:
    """A weight that came without an equity is not believed; nothing held is nothing, whatever was said of it."""
    s = book([100, 0], [0.0, 0.0])
    poor = s.with_books(equity=np.array([0.0]), current=np.array([[1e8, 0.0]]))
    assert np.isnan(run(poor)[0].current[0]).tolist() == [True, False]
    unsaid = s.with_books(current=np.array([[1e8, np.nan]]))
    assert run(unsaid)[0].projection.target.tolist() == [[0.0, 0.0]]
    assert run(unsaid)[0].mode.tolist() == [0]


# --- budgets on the way -----------------------------------------------------------------------------------------


def test_a_long_leg_waits_for_its_slow_hedge() -> None:
    """Net 0.05 at the target; the short leg may only enter by 20 shares a bar, so the long leg enters with it."""
    s = book([0, 0], [0.25, -0.20], CC_03={"max_net": "0.05"}).with_market(adv=np.array([1e12, 200_000.0]))
    s = s.with_rules(XL_04={"days": 1000})
    d, _ = run(s)
    assert d.projection.target[0].tolist() == [25e7, -20e7]
    assert d.steps.step_qty.tolist() == [[70.0, -20.0]]
    assert d.steps.waiting[0, :, d.projection.budgets.index("CC-03")].tolist() == [True, False]
    assert "CC-03" in rule_names(d.limiting[0, 0])


def test_the_leg_that_hedges_does_not_wait() -> None:
    """The book is long 0.25 already and may be net 0.05: the short goes in at once, nothing else does."""
    s = book([250, 0, 0], [0.25, -0.20, 0.0], CC_03={"max_net": "0.05"})
    assert run(s)[0].steps.step_qty.tolist() == [[0.0, -200.0, 0.0]]


def test_a_dropped_hedge_takes_its_credit_along() -> None:
    """The hedge is below the minimum notional: without it the long leg alone must fit the volatility budget."""
    rho = np.array([[1.0, 1.0], [1.0, 1.0]])
    s = book(
        [0, 0], [0.10, -0.04], VT_01={"sigma_target": "0.0099"}, XL_07={"min_notional": 5000, "dead_band": 0}
    )
    d, _ = run(s.with_market(correlation=rho))
    assert d.projection.target[0].tolist() == [1e8, -4e7]
    assert d.steps.step_qty.tolist() == [[62.0, 0.0]]  # 0.0623 × 1 % × √252 = 0.0099
    assert d.steps.waiting[0, 0, d.projection.budgets.index("VT-01")]


def test_of_several_entries_only_those_that_add_wait() -> None:
    """Net 0.40 is left of a slow exit; +0.30 and -0.10 make 0.60 of 0.50: the long one is cut, the hedge is not."""
    s = book([500, 0, 0], [0.20, 0.30, -0.10], CC_03={"max_net": "0.50"}, XL_04={"days": 1000})
    s = s.with_market(adv=np.array([200_000.0, 1e12, 1e12]))
    assert run(s)[0].steps.step_qty.tolist() == [[-100.0, 200.0, -100.0]]


def test_entries_at_work_take_their_share_of_a_budget() -> None:
    """Gross 0.30 is left of a slow exit and 0.10 is on its way in: of the other 0.20 asked for 0.10 fits into 0.50."""
    s = book([400, 0], [0.10, 0.30], CC_02={"max_gross": "0.50"}, XL_04={"days": 1000})
    s = s.with_market(adv=np.array([200_000.0, 1e12]))
    s = s.with_books(broker=replace(s.view.books.broker, working_entry_qty=np.array([[0.0, 100.0]])))
    assert run(s)[0].steps.step_qty.tolist() == [[-100.0, 100.0]]


def test_entries_wait_for_exits_that_are_paced() -> None:
    """Gross 1.0 is full until the first asset, which leaves 100 shares a bar, makes room."""
    s = book([1000, 0], [0.0, 1.0], CC_02={"max_gross": 1}, XL_04={"days": 1000})
    s = s.with_market(adv=np.array([200_000.0, 1e12]))
    assert run(s)[0].steps.step_qty.tolist() == [[-100.0, 100.0]]


@pytest.mark.parametrize(("exempt", "step"), [(None, 150.0), (0, 200.0), (1, 200.0)])
def test_an_entry_waits_for_the_exit_of_its_twin(exempt: int | None, step: float) -> None:
    """The pair may be 0.25 and 0.10 is left of the slow exit: 0.15 of the 0.20 enters. Cash is in no pair."""
    s = book([200, 0, 0], [0.05, 0.20, 0.10], CC_06={"max_pair": "0.25"}, XL_04={"days": 1000})
    cash_like = np.arange(3) == (-1 if exempt is None else exempt)
    s = s.with_market(
        adv=np.array([200_000.0, 1e12, 1e12]),
        correlation=np.array([[1.0, 0.95, 0.0], [0.95, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        instruments=replace(s.view.market.instruments, cash_like=cash_like),
    )
    d, _ = run(s)
    assert d.steps.step_qty.tolist() == [[-100.0, step, 100.0]]
    waits = d.steps.waiting[0, :, d.projection.budgets.index("CC-06")]
    assert waits.tolist() == [False, exempt is None, False]
    assert ("CC-06" in rule_names(d.limiting[0, 1])) == (exempt is None)


# --- the trading state that holds before any rule speaks --------------------------------------------------------


@pytest.mark.parametrize(("latched", "imposed"), [(1, 0), (0, 1), (3, 1), (1, 3), (0, 0)])
def test_a_latch_and_a_standing_both_hold_and_the_stricter_decides(latched: int, imposed: int) -> None:
    """The latch tells of itself through its rule in most cases; here the kill level that set it is lost."""
    s = book([100, 0], [0.2, 0.2])
    kind, state = s.view.states.latch_kind.copy(), s.view.states.latch_state.copy()
    column = LATCHING_RULES.index("LD-01")
    kind[0, column], state[0, column] = (Release.MANUAL, latched) if latched else (NO_LATCH, 0)
    s = s.with_states(latch_kind=kind, latch_state=state)
    d, _ = run(s.with_books(imposed_state=np.array([imposed], dtype=np.int8)))
    assert d.mode.tolist() == [max(latched, imposed)]
    assert bool(d.steps.entry_qty.any()) == (max(latched, imposed) == 0)


# --- the proposal ------------------------------------------------------------------------------------------------


def test_an_asset_that_an_incomplete_proposal_does_not_name_is_kept_and_not_throttled() -> None:
    s = book([100, 0], [0.0, 0.2], VT_04={"trending": "0.5"})
    d, _ = run(s.with_books(mentioned=np.array([[False, True]])))
    assert d.projection.target[0].tolist() == [1e8, 1e8]
    assert d.steps.step_qty.tolist() == [[0.0, 100.0]]


def test_the_bars_of_a_year_are_those_that_the_decision_is_asked_with() -> None:
    """σ 1 % a bar is 0.2 p.a. over 400 bars: VT-02 allows 0.03 / 0.2, whatever the view was made with."""
    s = book([0, 0], [0.5, 0.0], VT_02={"max_annual_vol": "0.03"})
    assert s.view.market.annual != 400.0
    d, _ = decide(s.view, s.knobs, annual=400.0)
    assert d.projection.target.tolist() == [[15e7, 0.0]]
    assert d.projection.sigma_tilde[0] == pytest.approx(0.5 * 0.2)


def test_a_view_is_not_changed_by_deciding() -> None:
    s = scene(4, 3, 5, frozenset({"tight", "latched", "losses", "halts"}))
    before = {name: getattr(s.view.books, name) for name in ("qty", "current", "proposed")}
    copies = {name: value.copy() for name, value in before.items()}
    latches = s.view.states.latch_kind.copy()
    run(s)
    assert all(np.array_equal(before[name], copies[name], equal_nan=True) for name in before)
    assert np.array_equal(s.view.states.latch_kind, latches)
    assert replace(s.view) is not s.view
    assert isinstance(s.view, View)
