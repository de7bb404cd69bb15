"""Floors in money, circuits over several cycles, and the projected stress of what is decided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.budget import examples
from tests.properties.scenes import accounts_of, assert_same_rows, run
from tests.unit.guards.scenarios import Scene, scene

from regime_trading.core.rules import Release, StressWhen, TradingState
from regime_trading.guards.anchors import roll
from regime_trading.guards.drawdown import expire_latches
from regime_trading.guards.external import manual_kill
from regime_trading.guards.floors import floors, loss_budget
from regime_trading.guards.snapshot import States, fresh_states

S = 10**9
CAPITAL = 100_000.0
OFF = {"LD_01": {"limit_pct": "unlimited"}}


def account(**rules: dict[str, Any]) -> Scene:
    """One calm account of 100 000 that holds nothing but what the random scene gave it."""
    s = scene(3, 1, 4)
    states = replace(fresh_states(np.full(1, CAPITAL), 4), last_sigma=s.view.states.last_sigma)
    return with_states(
        s.with_books(equity=np.full(1, CAPITAL), balance=np.full(1, CAPITAL)), states
    ).with_rules(**rules)


def with_states(s: Scene, states: States) -> Scene:
    return s.with_states(**{name: getattr(states, name) for name in States.__dataclass_fields__})


def told(s: Scene, market: set[str] = frozenset(), broker: set[str] = frozenset()) -> Scene:
    """The same scene from a source and a broker that also say this."""
    silent = s.view.books.broker
    says = replace(
        silent,
        provided=silent.provided | broker,
        buying_power=np.full(len(s.profiles), 1e12),
        reconciled=np.full(len(s.profiles), 2, dtype=np.int64),
        equity_gap=np.zeros(len(s.profiles)),
    )
    return s.with_market(provided=s.view.market.provided | market).with_books(broker=says)


# --- floors -----------------------------------------------------------------------------------------------------


def test_every_floor_in_money() -> None:
    s = account(
        LD_01={"limit_pct": "0.02", "act": "0.9"},
        LD_03={"limit_money": "10000"},
        LD_04={"amount": "4000"},
        LD_05={"amount": "5000", "lock_offset": "100"},
        LD_06={"weekly_pct": "0.04", "monthly_money": "9000"},
        LD_16={"min_equity": "25000"},
    ).with_states(
        eod_hwm=np.array([103_000.0]),
        equity_hwm=np.array([107_000.0]),
        week_anchor=np.array([101_000.0]),
        month_anchor=np.array([110_000.0]),
        month_flow=np.array([-1_000.0]),
        unit_hwm=np.array([1.1]),
        day_flow=np.array([500.0]),
    )
    found = {rule: [f.act[0], f.external[0]] for rule, f in floors(s.view, s.knobs).items()}
    expected = {
        "LD-01": [98_700.0, 98_500.0],
        "LD-02": [93_500.0, 88_000.0],
        "LD-03": [91_500.0, 90_000.0],
        "LD-04": [99_600.0, 99_000.0],
        "LD-05": [100_850.0, 100_100.0],  # locked 100 above the initial capital
        "LD-06": [100_900.0, 100_000.0],  # the month is nearer
        "LD-16": [25_000.0, 25_000.0],
    }
    assert list(found) == list(expected)
    for rule, values in expected.items():
        assert found[rule] == pytest.approx(values), rule


def test_what_is_off_has_no_floor_and_what_is_unknown_says_so() -> None:
    s = account(LD_02={"ladder": []}, **OFF)
    assert all(np.isneginf([f.act[0], f.external[0]]).all() for f in floors(s.view, s.knobs).values())
    disabled = account(LD_01={"enabled": False}, LD_03={"limit_pct": "0.1"})
    assert np.isneginf(floors(disabled.view, disabled.knobs)["LD-01"].act[0])
    lost = disabled.with_states(initial_capital=np.array([np.nan]))
    assert np.isnan(floors(lost.view, lost.knobs)["LD-03"].act[0])


def test_the_budget_is_the_distance_to_the_nearest_floor() -> None:
    s = account(LD_01={"limit_pct": "0.02"}, LD_03={"limit_money": "1000", "act": "0.5"})
    states, equity = s.view.states, s.view.books.equity
    assert loss_budget(states, equity, s.knobs)[0] == 500.0
    assert loss_budget(states, equity - 2_000.0, s.knobs)[0] == -1_500.0
    none = account(**OFF)
    assert np.isposinf(loss_budget(none.view.states, equity, none.knobs)[0])
    assert np.isnan(loss_budget(replace(states, day_anchor_equity=np.array([np.nan])), equity, s.knobs)[0])


@given(st.integers(0, 10_000), st.sampled_from(["none", "initial"]), st.sampled_from(["unlimited", "100"]))
@examples(100)
def test_a_trailing_floor_never_falls(seed: int, lock_at: str, lock_offset: str) -> None:
    r = np.random.default_rng(seed)
    s = account(
        LD_04={"amount": "3000", "lock_at": lock_at}, LD_05={"limit_pct": "0.04", "lock_offset": lock_offset}
    )
    states, before = s.view.states, {"LD-04": -np.inf, "LD-05": -np.inf}
    for day in range(20):
        states, _ = roll(states, np.array([day]))
        equity = states.last_equity * (1 + r.normal(0, 0.02, 1))
        states = replace(
            states,
            last_equity=equity,
            last_balance=equity - r.uniform(0, 500, 1),
            equity_hwm=np.maximum(states.equity_hwm, equity),
        )
        s = with_states(s, states)
        now = {rule: floors(s.view, s.knobs)[rule].external[0] for rule in before}
        assert all(now[rule] >= before[rule] for rule in before)
        assert lock_at == "none" or now["LD-04"] <= CAPITAL
        assert lock_offset == "unlimited" or now["LD-05"] <= CAPITAL + 100
        before = now


# --- over several cycles ------------------------------------------------------------------------------------------


def at(s: Scene, seconds: int) -> Scene:
    """The same account ``seconds`` later, after what ends by time has ended."""
    ts_ns = s.view.market.ts_ns + seconds * S
    states = expire_latches(s.view.states, np.zeros(1, dtype=np.bool_), ts_ns)
    return with_states(s.with_market(ts_ns=ts_ns), states)


def decided(s: Scene) -> tuple[Scene, Any]:
    d, states = run(s)
    return with_states(s, states), d


def test_a_streak_holds_until_its_time_and_no_longer() -> None:
    s = told(account(LD_08={"count": 2, "hold_s": 600, "window_s": 86_400}), broker={"fills"})
    ring = s.view.states.loss_exit_ns.copy()
    ring[0, -2:] = s.view.market.ts_ns
    s, d = decided(s.with_states(loss_exit_ns=ring))
    assert d.mode[0] == TradingState.NORMAL
    assert not d.steps.entry_qty.any()
    for seconds, free in ((300, False), (299, False), (1, True), (1, True)):
        s, d = decided(at(s, seconds))
        assert d.steps.entry_qty.any() == free
    ring = s.view.states.loss_exit_ns.copy()
    ring[0] = np.append(ring[0, 1:], s.view.market.ts_ns)  # a third: the others are still in the window
    assert not decided(s.with_states(loss_exit_ns=ring))[1].steps.entry_qty.any()


def test_velocity_stops_for_half_an_hour_and_a_crash_for_good() -> None:
    s = told(account(LD_01={"limit_pct": "unlimited"}), market={"intraday"})
    ring = s.view.states.recent_ns.copy(), s.view.states.recent_unit.copy()
    ring[0][0, -1], ring[1][0, -1] = s.view.market.ts_ns, 1.0
    s = s.with_states(recent_ns=ring[0], recent_unit=ring[1])
    slow, d = decided(s.with_books(equity=np.array([98_900.0])))
    assert d.mode[0] == TradingState.REDUCE_ONLY
    assert decided(at(slow, 1_799))[1].mode[0] == TradingState.REDUCE_ONLY
    assert decided(at(slow, 1_800))[1].mode[0] == TradingState.NORMAL
    crashed, d = decided(s.with_books(equity=np.array([97_900.0])))
    assert d.mode[0] == TradingState.FLATTEN
    assert decided(at(crashed, 10**7))[1].mode[0] == TradingState.FLATTEN


def test_a_lost_week_locks_again_every_day_and_no_longer() -> None:
    s = account(LD_06={"weekly_money": "1000"}, **OFF)
    monday = 4
    states, _ = roll(s.view.states, np.array([monday]))
    states = replace(states, last_equity=np.array([98_500.0]), last_balance=np.array([98_500.0]))
    s = with_states(s, states).with_books(equity=np.array([98_500.0]))
    kinds = []
    for day in range(monday, monday + 8):
        states, new_day = roll(s.view.states, np.array([day]))
        s = with_states(s, expire_latches(states, new_day, s.view.market.ts_ns))
        s = s.with_rules(LD_06={"weekly_money": "1600"}) if day == monday else s
        s, d = decided(s)
        kinds.append(TradingState(int(d.mode[0])).name)
    assert kinds == ["FLATTEN"] * 7 + ["NORMAL"]


def test_a_margin_call_is_worked_off_cycle_by_cycle() -> None:
    """Losers first; what is still too much is cut again, and nothing that gains is touched while others lose."""
    s = told(account(), broker={"margin"})
    qty = s.view.books.qty[0]
    held = np.flatnonzero(qty)
    assert len(held) >= 2
    price = s.view.market.price
    average = np.where(qty != 0, price - np.sign(qty), 0.0)  # everything gains,
    average[held[0]] = price[held[0]] + np.sign(qty[held[0]])  # but one
    use, cuts = 1.2, []
    for _cycle in range(3):
        broker = replace(
            s.view.books.broker, avg_price=average[None, :], margin_used=np.array([use * CAPITAL])
        )
        d, _ = run(s.with_books(broker=broker))
        assert d.mode[0] == TradingState.REDUCE_ONLY
        assert not d.steps.entry_qty.any()
        cuts.append(np.flatnonzero(d.steps.exit_qty[0]).tolist())
        most = np.abs(s.view.held[0, held[0]]) * 0.8 / use
        assert np.abs(d.projection.target[0, held[0]]) <= most
        use -= 0.1
    assert all(held[0] in cut for cut in cuts)


def test_a_halt_after_a_flatten_owes_it() -> None:
    s, d = decided(account().with_states(kill_level=np.array([3], dtype=np.int8)))
    held = s.view.books.qty != 0
    assert np.array_equal(d.steps.exit_qty[held], -s.view.books.qty[held])
    s, d = decided(s.with_states(kill_level=np.array([4], dtype=np.int8)))
    assert d.mode[0] == TradingState.LOCKED
    assert not d.steps.step_qty.any()
    assert np.array_equal(d.steps.owed_qty[held], -s.view.books.qty[held])
    assert d.release[0] == Release.MANUAL


@pytest.mark.parametrize("level", range(5))
def test_only_a_pause_leaves_orders_of_others_alone(level: int) -> None:
    """K2 and up cancel in every asset, also what this desk knows nothing of."""
    s = account().with_states(kill_level=np.array([level], dtype=np.int8))
    cancel = manual_kill(s.view, s.knobs["LD-15"]).constraint.cancel
    assert (cancel is not None and bool(cancel.all())) == (level >= 2)


# --- stress -------------------------------------------------------------------------------------------------------


def costs(s: Scene, weights: np.ndarray, a: int) -> list[float]:
    """Loss of each scenario for plain weights, with its own arithmetic."""
    m, single = s.view.market, 0.2
    gap = np.where(weights > 0, m.instruments.gap_down, m.instruments.gap_up)
    sigma = np.where(np.isfinite(m.sigma) & (m.sigma > 0), 3 * m.sigma, 0.0)
    size = np.abs(weights)
    return [float(size @ sigma), float(size @ np.nan_to_num(gap)), float(size.max(initial=0.0)) * single]


@given(st.integers(0, 10_000), st.booleans())
@examples(300)
def test_what_is_decided_survives_its_worst_scenario(seed: int, shorts: bool) -> None:
    s = scene(seed, 3, 5, frozenset({"stressed", "shorts"} if shorts else {"stressed"}))
    s = s.with_rules(
        LD_12={"when": "always", "sigmas": "3", "single_name": "0.2", "share_of_budget": "0.8"},
        LD_01={"limit_pct": "0.05", "limit_money": "unlimited", "base": "anchor", "act": "0.9"},
    )
    d, _ = run(s)
    budget = np.minimum(loss_budget(s.view.states, s.view.books.equity, s.knobs), np.inf)
    for a in np.flatnonzero(~d.projection.frozen.any(axis=1) & (d.mode == TradingState.NORMAL)):
        allowed = 0.8 * budget[a] / s.view.books.equity[a]
        assert max(costs(s, d.projection.target[a] / 1e9, a)) <= allowed + 1e-8


@given(st.integers(0, 10_000))
@examples(200)
def test_looking_more_often_is_never_looser(seed: int) -> None:
    s = scene(seed, 3, 5, frozenset({"stressed", "floors"}))
    sizes = []
    for when in StressWhen:
        d, _ = run(s.with_rules(LD_12={"when": str(when)}))
        sizes.append(np.abs(np.nan_to_num(d.projection.target)))
    assert (sizes[1] <= sizes[0]).all()
    assert (sizes[2] <= sizes[1]).all()


def test_an_account_answers_alone_as_in_company() -> None:
    """One that never looks beside one that always does: the same numbers, the same budgets."""
    s = scene(5, 2, 4)
    quiet, busy = (dict(s.profiles[0]), dict(s.profiles[1]))
    busy["LD-12"] = type(busy["LD-12"])(when="always")
    mixed = Scene(s.view, [quiet, busy])
    whole, _ = run(mixed)
    for a in (0, 1):
        alone = accounts_of(mixed, [a])
        part, _ = run(alone)
        assert_same_rows(whole, part, [a])
