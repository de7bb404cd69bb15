"""Sequences, batches, faults and ways out: invariants I2, I6, I8, I10, I13, I15, I16, I18 and I19."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.budget import examples
from tests.properties.scenes import accounts_of, assert_same_rows, assets_permuted, rows, run, scenes
from tests.unit.guards.scenarios import ANNUAL, TRAITS, Scene, defaults, scene

from regime_trading.core.numbers import to_nano
from regime_trading.core.rules import LATCHING_RULES, RULE_IDS, Release, TradingState
from regime_trading.guards import chain, selftest
from regime_trading.guards.attribution import names_any
from regime_trading.guards.constraint import ARRAYS, LISTS, meet_all
from regime_trading.guards.drawdown import advance_ladder, expire_latches, release_latch
from regime_trading.guards.facts import NEVER_NS
from regime_trading.guards.snapshot import NO_LATCH, View, nano_weights
from regime_trading.guards.verdict import UNKNOWN

AT = {rule_id: i for i, rule_id in enumerate(RULE_IDS)}


# --- I2 -----------------------------------------------------------------------------------------------------


@given(
    scenes(
        without=frozenset(
            {"bad_equity", "gaps", "working", "fx_gaps", "working_entries", "margin_call", "killed"}
        ),
        least=1,
        accounts=2,
    ),
    st.integers(0, 2**32 - 1),
    st.sampled_from([TradingState.REDUCE_ONLY, TradingState.FLATTEN, TradingState.LOCKED]),
)
@examples()
def test_i2_reduce_only_under_any_partial_and_late_fills(s: Scene, seed: int, state: TradingState) -> None:
    """Orders keep working while new proposals arrive; no position grows or crosses zero."""
    r = np.random.default_rng(seed)
    states = s.view.states
    kind, held = states.latch_kind.copy(), states.latch_state.copy()
    kind[:, 0], held[:, 0] = Release.MANUAL, np.maximum(held[:, 0], state)
    s = s.with_states(latch_kind=kind, latch_state=held)
    start = qty = s.view.books.qty
    working = np.zeros_like(qty)
    for _ in range(5):
        share = r.choice([0.0, 0.3, 1.0], qty.shape)
        fills = np.trunc(working * share)
        qty, working = qty + fills, working - fills
        proposed = to_nano(r.normal(0, 0.3, qty.shape))
        current = nano_weights(qty, s.view.market.price, s.view.books.equity)
        s = s.with_books(qty=qty, working_exit_qty=np.abs(working), current=current, proposed=proposed)
        d, _ = run(s)
        assert (d.mode >= state).all()
        assert not d.steps.entry_qty.any()
        working = working + d.steps.step_qty
        done = qty + working
        assert (np.abs(done) <= np.abs(qty)).all()
        assert (done * qty >= 0).all()
        assert (qty * start >= 0).all()


# --- I6, I8, I16 --------------------------------------------------------------------------------------------


@given(scenes(always=frozenset({"losses"})), st.randoms(use_true_random=False))
@examples()
def test_i6_the_order_of_accounts_does_not_matter(s: Scene, random: Any) -> None:
    index = list(range(len(s.profiles)))
    random.shuffle(index)
    (whole, states), (shuffled, states_shuffled) = run(s), run(accounts_of(s, index))
    assert_same_rows(whole, shuffled, index)
    assert_same_rows(states, states_shuffled, index)


@given(scenes(), st.randoms(use_true_random=False))
@examples()
def test_i6_the_order_of_rules_does_not_matter(s: Scene, random: Any) -> None:
    constraints = [said.constraint for said in chain.evaluate(s.view, s.knobs)]
    in_order = meet_all(constraints)
    random.shuffle(constraints)
    shuffled = meet_all(constraints)
    for name in ARRAYS:
        x, y = getattr(in_order, name), getattr(shuffled, name)
        assert (x is None) == (y is None)
        assert x is None or x.tobytes() == y.tobytes()
    for name in LISTS:
        assert {id(x) for x in getattr(in_order, name)} == {id(x) for x in getattr(shuffled, name)}


def permuted(s: Scene, order: list[int]) -> Scene:
    """The assets in another order under new names that sort in that order."""
    names = tuple(f"T{i:02d}" for i in range(len(order)))
    market = replace(assets_permuted(s.view.market, order), symbols=names)
    return Scene(
        View(market, assets_permuted(s.view.books, order), assets_permuted(s.view.states, order)), s.profiles
    )


@given(
    scenes(without=frozenset({"lists", "frugal", "illiquid", "hedges", "orphans"})),
    st.randoms(use_true_random=False),
)
@examples()
def test_i6_names_and_order_of_assets_do_not_matter(s: Scene, random: Any) -> None:
    """But for equal ranks of CC-08, which go by name, and the last digit of σ̃, which is summed by name."""
    s = s.with_rules(CC_08={"count": 100})
    order = list(range(len(s.view.market.symbols)))
    random.shuffle(order)
    first, second = run(s)[0], run(permuted(s, order))[0]
    same_k = first.projection.k == second.projection.k
    assert np.allclose(first.projection.k, second.projection.k, rtol=0, atol=2e-9)
    a, b = first.projection.target[:, order], second.projection.target
    assert np.array_equal(a[same_k], b[same_k], equal_nan=True)
    assert np.array_equal(first.mode, second.mode)
    assert np.array_equal(first.refused, second.refused)
    assert np.array_equal(first.limiting[:, order][same_k], second.limiting[same_k])
    assert np.array_equal(first.steps.step_qty[:, order][same_k], second.steps.step_qty[same_k])


@given(scenes(always=frozenset({"tight"})))
@examples()
def test_i8_a_batch_of_one_equals_a_batch_of_many(s: Scene) -> None:
    """One account alone where no firm limit is set, its firm alone where one is (LD-13 adds accounts up)."""
    whole, states = run(s)
    firm = s.view.books.firm
    alone = all(
        str(p["LD-13"].limit_pct)
        == str(p["LD-13"].limit_money)
        == str(p["CC-12"].max_firm_weight)
        == "Infinity"
        and not (p["XL-12"].enabled and "orders" in s.view.books.broker.provided)
        for p in s.profiles
    )
    batches = (
        [[a] for a in range(len(firm))] if alone else [np.flatnonzero(firm == f).tolist() for f in set(firm)]
    )
    for index in batches:
        part, part_states = run(accounts_of(s, index))
        assert_same_rows(whole, part, index)
        assert_same_rows(states, part_states, index)


@given(scenes(always=frozenset({"losses"})), st.integers(0, 2**32 - 1))
@examples()
def test_i16_another_firm_changes_nothing(s: Scene, seed: int) -> None:
    ours = np.flatnonzero(s.view.books.firm == 0)
    theirs = s.view.books.firm == 1
    r = np.random.default_rng(seed)
    b = s.view.books
    ruined = s.with_books(
        equity=np.where(theirs, r.choice([np.nan, -1e6, 1e9]), b.equity),
        proposed=np.where(theirs[:, None], np.nan, b.proposed),
        equity_estimated=b.equity_estimated | theirs,
    )
    whole, states = run(s)
    other, other_states = run(ruined)
    alone, alone_states = run(accounts_of(s, ours))
    assert_same_rows(whole, alone, ours)
    assert_same_rows(states, alone_states, ours)
    assert_same_rows(whole, rows_of(other, ours), ours)
    assert_same_rows(states, rows(other_states, ours), ours)


def rows_of(decisions: Any, index: Any) -> Any:
    """The accounts of ``index`` of a tree of dataclasses of arrays."""
    picked = {}
    for name in type(decisions).__dataclass_fields__:
        value = getattr(decisions, name)
        if name == "meet":
            continue
        if isinstance(value, np.ndarray):
            picked[name] = value[index]
        elif hasattr(value, "__dataclass_fields__"):
            picked[name] = rows_of(value, index)
    return replace(decisions, **picked)


# --- I13 ----------------------------------------------------------------------------------------------------


@given(scenes(), st.frozensets(st.sampled_from(TRAITS)))
@examples()
def test_i13_anything_has_a_defined_answer(s: Scene, _more: frozenset[str]) -> None:
    """No rule raises, no quantity is NaN, whole lots only, and every weight is a whole number or unknown."""
    d, _ = run(s)
    assert np.isfinite(d.steps.step_qty).all()
    assert np.isfinite(d.steps.target_qty).all()
    assert np.isfinite(d.proposed).all()
    weights = d.projection.target[~np.isnan(d.projection.target)]
    assert np.array_equal(weights, np.trunc(weights))
    assert not np.signbit(d.projection.target[d.projection.target == 0]).any()
    assert ((d.projection.k >= 0) & (d.projection.k <= 1)).all()
    lot = np.where(s.view.market.lot > 0, s.view.market.lot, np.nan)
    entries = d.steps.entry_qty / lot
    assert np.allclose(entries, np.round(entries), atol=1e-9, equal_nan=True)


ALL_TRAITS = frozenset(TRAITS)


@pytest.mark.parametrize("n_assets", [0, 1, 2, 500])
@pytest.mark.parametrize("traits", [frozenset(), ALL_TRAITS], ids=["calm", "everything wrong"])
def test_i13_universes_of_any_size(n_assets: int, traits: frozenset[str]) -> None:
    d, _ = run(scene(1, 2, n_assets, traits))
    assert d.projection.target.shape == (2, n_assets)
    assert np.isfinite(d.steps.step_qty).all()


@pytest.mark.parametrize("equity", [0.0, -5_000.0])
def test_i13_without_equity_everything_is_sold_and_nothing_bought(equity: float) -> None:
    s = scene(3, 2, 5)
    weights = np.where(s.view.books.qty != 0, np.nan, 0.0)
    d, states = run(s.with_books(equity=np.full(2, equity), current=weights))
    assert (d.mode == TradingState.LOCKED).all()
    assert np.array_equal(d.steps.step_qty, -s.view.books.qty)
    assert (states.latch_state[:, LATCHING_RULES.index("LD-02")] == TradingState.LOCKED).all()


def test_i13_an_unknown_equity_sells_nothing_that_was_not_asked_for() -> None:
    s = scene(3, 2, 5)
    asked = s.view.books.proposed.copy()
    asked[:, 0] = 0.0
    weights = np.where(s.view.books.qty != 0, np.nan, 0.0)
    d, _ = run(s.with_books(equity=np.full(2, np.nan), current=weights, proposed=asked))
    assert (d.mode == TradingState.REDUCE_ONLY).all()
    assert not d.steps.step_qty[asked != 0].any()
    assert np.array_equal(d.steps.step_qty[:, 0], -s.view.books.qty[:, 0])


# --- I15 ----------------------------------------------------------------------------------------------------


@given(scenes(without=frozenset({"bad_equity"})), st.integers(-9, 40), st.sampled_from(["shift", "unitized"]))
@examples()
def test_i15_a_deposit_is_neither_a_gain_nor_a_loss(s: Scene, tenths: int, policy: str) -> None:
    """Units are bought at the unit value before the flow; a floor from the initial capital moves by the flow
    (``shift``), or grows with the units and its loss and limit with it (``unitized``)."""
    s = s.with_rules(LD_03={"flow_policy": policy})
    b, states = s.view.books, s.view.states
    flow = np.round(b.equity * tenths / 10, 2)
    grown = 1.0 + flow / b.equity
    after = s.with_books(equity=b.equity + flow, balance=b.balance + flow).with_states(
        units=states.units * grown, day_flow=states.day_flow + flow, flows=states.flows + flow
    )
    first, second = run(s)[0], run(after)[0]
    for rule_id in ("LD-01", "LD-02", "LD-03", "LD-13"):
        value, again = first.rule_value[:, AT[rule_id]], second.rule_value[:, AT[rule_id]]
        factor = grown if (rule_id, policy) == ("LD-03", "unitized") else 1.0
        assert np.allclose(value * factor, again, rtol=1e-9, atol=1e-6, equal_nan=True)
        steps = np.abs(value[:, None] - _thresholds(s, rule_id, first)).min(axis=1, initial=np.inf)
        clear = ~(steps <= 1e-6 * np.maximum(np.abs(value), 1e-3))  # not within rounding of a limit
        assert np.array_equal(first.rule_outcome[clear, AT[rule_id]], second.rule_outcome[clear, AT[rule_id]])


def _thresholds(s: Scene, rule_id: str, d: chain.Decisions) -> np.ndarray:
    if rule_id == "LD-02":
        return s.knobs["LD-02"]["ladder_at"]
    limit = d.rule_limit[:, AT[rule_id]]
    levels = [name for name in ("soft", "warn", "act") if name in s.knobs[rule_id]]
    return np.stack([limit, *(s.knobs[rule_id][name] * limit for name in levels)], axis=1)


# --- I18 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule_id", RULE_IDS)
def test_i18_a_rule_that_raises_only_reduces(rule_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError(rule_id)

    view = selftest.scene({"qty": (100.0, 0.0, -50.0), "proposed": (0.15, 0.15, -0.15)})
    s = Scene(view, [defaults()] * 2)
    monkeypatch.setitem(chain.REGISTRY, rule_id, broken)
    d, states = chain.decide(s.view, s.knobs, annual=ANNUAL)
    assert (d.mode == TradingState.REDUCE_ONLY).all()
    assert (d.rule_outcome[:, AT[rule_id]] == UNKNOWN).all()
    assert d.rule_codes[AT[rule_id]] == ("RULE_ERROR",)
    assert (d.rule_reasons[:, AT[rule_id]] == 1).all()
    assert (states.latch_kind == NO_LATCH).all()
    assert not d.steps.entry_qty.any()
    held_back = (d.projection.target != d.proposed) & (np.abs(d.proposed) > np.abs(s.view.held))
    assert held_back.any() and names_any(d.limiting[held_back], AT[rule_id]).all()
    if rule_id == "LD-15":
        return  # a halt cannot be switched off
    off = s.with_rules(**{rule_id.replace("-", "_"): {"enabled": False}})
    calm, _ = chain.decide(off.view, off.knobs, annual=ANNUAL)
    assert (calm.mode == TradingState.NORMAL).all()


# --- I20 ----------------------------------------------------------------------------------------------------


@given(scenes(always=frozenset({"working_entries"})), st.integers(0, 4))
@examples()
def test_i20_nothing_holds_a_cancel_back(s: Scene, kill: int) -> None:
    """An entry that works and is not wanted is cancelled whatever the mode, the authority, the rate or the data say."""
    working = np.nan_to_num(s.view.books.broker.working_entry_qty, nan=1.0)
    s = s.with_states(kill_level=np.full(len(s.profiles), kill, dtype=np.int8))
    d, _ = run(s)
    steps = d.steps
    unwanted = (working != 0) & (steps.entry_qty == 0) & ((d.projection.target == 0) | (d.mode > 0)[:, None])
    assert steps.cancel[unwanted].all()
    assert not (steps.cancel & (working == 0)).any()
    if kill:
        assert steps.cancel[working != 0].all()


# --- I10 (the guards' part) and I19 ---------------------------------------------------------------------------


@given(scenes(always=frozenset({"latched", "losses", "ladder"})))
@examples()
def test_i10_a_decision_never_loosens_a_latch(s: Scene) -> None:
    before = s.view.states
    d, after = run(s)
    held = before.latch_kind > NO_LATCH
    assert (after.latch_kind[held] >= before.latch_kind[held]).all()
    assert (after.latch_state[held] >= before.latch_state[held]).all()
    assert (d.mode >= after.latched_state()).all()
    assert (d.mode_before == before.latched_state()).all()


@given(
    scenes(always=frozenset({"latched", "ladder"}), without=frozenset({"halts", "bad_equity"})), st.booleans()
)
@examples()
def test_i19_there_is_a_way_out_of_every_state(s: Scene, recovered: bool) -> None:
    """Triggers clear, people release, sessions pass: NORMAL, and once the loss is made good, no throttle either."""
    calm = scene(0, len(s.profiles), len(s.view.market.symbols))
    s = Scene(View(calm.view.market, calm.view.books, s.view.states), s.profiles)
    no_limit = {"limit_pct": "unlimited", "amount": "unlimited"}
    s = s.with_rules(LD_03={"limit_pct": "unlimited", "limit_money": "unlimited"}, VT_04={"trending": "1"})
    s = s.with_rules(LD_04=no_limit, LD_05=no_limit, LD_16={"min_equity": 0}, LD_10={"share": "unlimited"})
    s = s.with_rules(
        UT_08={"at": None, "allowed": True}, UT_13={"start": None, "end": None}, UT_14={"windows": ()}
    )
    equity = s.view.states.unit_hwm * s.view.states.units if recovered else s.view.books.equity
    states = replace(
        s.view.states,
        last_equity=equity,
        day_anchor_balance=equity,
        day_anchor_equity=equity,
        day_flow=equity * 0,
        week_anchor=equity,
        week_flow=equity * 0,
        month_anchor=equity,
        month_flow=equity * 0,
        loss_exit_ns=np.full_like(s.view.states.loss_exit_ns, NEVER_NS),
        recent_ns=np.full_like(s.view.states.recent_ns, NEVER_NS),
        timer_ns=np.full_like(s.view.states.timer_ns, NEVER_NS),
        unclean=np.zeros_like(s.view.states.unclean),
    )
    everyone = np.ones(len(equity), dtype=np.bool_)
    states = advance_ladder(states, equity, everyone, s.knobs["LD-02"])
    states = expire_latches(states, everyone, np.iinfo(np.int64).max)
    for a, rule in itertools.product(range(len(equity)), range(len(LATCHING_RULES))):
        ramp = int(s.knobs["LD-02"]["ramp_sessions"][a])
        states = release_latch(states, a, rule, ramp)
    for _ in range(8 * 5 + 10):
        states = advance_ladder(states, equity, everyone, s.knobs["LD-02"])
    s = s.with_books(equity=equity).with_states(
        **{name: getattr(states, name) for name in type(states).__dataclass_fields__}
    )
    d, after = run(s)
    assert (d.mode == TradingState.NORMAL).all()
    assert (after.latch_kind == NO_LATCH).all()
    if recovered:
        assert (d.projection.throttle == 1.0).all()
