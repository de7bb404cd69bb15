"""The memory of guard 3 between decisions: the ladder, its releases, and sums over a firm."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from tests.properties.scenes import run
from tests.unit.guards.scenarios import Scene, accounts_named, scene

from regime_trading.core.rules import LATCHING_RULES, Release, TradingState
from regime_trading.guards.chain import apply_latches, evaluate
from regime_trading.guards.drawdown import (
    advance_ladder,
    expire_latches,
    firm_daily_loss,
    ramp_factor,
    release_latch,
)
from regime_trading.guards.snapshot import NO_LATCH, States

LADDER = LATCHING_RULES.index("LD-02")
S = 10**9
RUNGS = {"ladder": [["0.05", "0.75"], ["0.10", "0.5"], ["0.15", "FLATTEN"], ["0.20", "LOCKED"]]}


@pytest.fixture
def one() -> Scene:
    """One account of 100 000 at its high."""
    s = scene(5, 1, 3).with_rules(LD_02=RUNGS, LD_01={"limit_pct": "unlimited"})
    states = s.view.states
    full = np.array([100_000.0])
    return s.with_books(equity=full).with_states(
        units=full, unit_hwm=np.ones(1), last_equity=full, day_anchor_balance=full, day_anchor_equity=full,
        initial_capital=full, latch_kind=np.full_like(states.latch_kind, NO_LATCH),
    )  # fmt: skip


def session(s: Scene, equity: float, new_session: bool = True) -> Scene:
    """One bar: the ladder advances, the account decides, the new latches stay."""
    now = np.array([equity])
    s = s.with_books(equity=now)
    states = replace(s.view.states, last_equity=now)
    states = advance_ladder(states, now, np.array([new_session]), s.knobs["LD-02"])
    s = with_states(s, states)
    return with_states(s, run(s)[1])


def with_states(s: Scene, states: States) -> Scene:
    return s.with_states(**{name: getattr(states, name) for name in States.__dataclass_fields__})


def mode(s: Scene) -> TradingState:
    return TradingState(int(run(s)[0].mode[0]))


def test_up_at_once_and_down_after_calm_sessions(one: Scene) -> None:
    s = session(one, 89_000)
    assert s.view.states.rung[0] == 1
    for sessions in range(1, 6):
        s = session(s, 92_500)  # below 0.10 less the hysteresis of 0.02
        assert s.view.states.rung[0] == (1 if sessions < 5 else 0)
    s = session(s, 97_000)
    assert s.view.states.rung[0] == 0
    assert run(s)[0].projection.throttle[0] == 0.75


def test_bars_of_one_session_do_not_count_as_calm_sessions(one: Scene) -> None:
    s = session(one, 89_000)
    for _ in range(20):
        s = session(s, 92_500, new_session=False)
    assert s.view.states.rung[0] == 1


def test_a_drawdown_inside_the_hysteresis_is_not_calm(one: Scene) -> None:
    s = session(one, 89_000)
    for _ in range(3):
        s = session(s, 92_500)
    s = session(s, 91_000)
    assert s.view.states.calm_sessions[0] == 0
    assert s.view.states.rung[0] == 1


def test_the_high_water_mark_survives_a_breach_and_an_unknown_equity(one: Scene) -> None:
    s = session(session(one, 120_000), 60_000)
    assert mode(s) == TradingState.LOCKED
    assert s.view.states.unit_hwm[0] == 1.2
    blind = advance_ladder(s.view.states, np.array([np.nan]), np.array([True]), s.knobs["LD-02"])
    for name in ("unit_hwm", "rung", "calm_sessions"):
        assert getattr(blind, name)[0] == getattr(s.view.states, name)[0]


def test_a_released_flatten_is_acknowledged_and_fires_again_only_deeper(one: Scene) -> None:
    s = session(one, 84_000)
    assert mode(s) == TradingState.FLATTEN
    s = with_states(s, release_latch(s.view.states, 0, LADDER, 10))
    assert mode(s) == TradingState.NORMAL
    assert run(s)[0].projection.throttle[0] == 0.25  # the ramp, and below it the throttle of 0.10
    s = session(s, 83_500)
    assert mode(s) == TradingState.NORMAL
    s = session(s, 79_000)
    assert mode(s) == TradingState.LOCKED
    assert s.view.states.unit_hwm[0] == 1.0


def test_it_re_arms_once_it_has_recovered(one: Scene) -> None:
    s = session(one, 84_000)
    s = with_states(s, release_latch(s.view.states, 0, LADDER, 0))
    for _ in range(5):
        s = session(s, 88_000)
    assert s.view.states.acknowledged_rung[0] == 1
    s = session(s, 84_000)
    assert mode(s) == TradingState.FLATTEN


def test_a_released_lock_rebases_and_ramps(one: Scene) -> None:
    s = session(one, 70_000)
    assert mode(s) == TradingState.LOCKED
    s = with_states(s, release_latch(s.view.states, 0, LADDER, 10))
    assert mode(s) == TradingState.NORMAL
    assert s.view.states.unit_hwm[0] == pytest.approx(0.7)
    throttles = []
    for _ in range(11):
        throttles.append(float(run(s)[0].projection.throttle[0]))
        s = session(s, 70_000)
    assert throttles == [0.25] * 5 + [0.5] * 5 + [1.0]


def test_a_next_session_latch_of_the_ladder_ends_for_good(one: Scene) -> None:
    """A flat book cannot recover: were the rung not acknowledged, the latch would fire again for ever."""
    s = one.with_rules(LD_02={"flatten_release": Release.NEXT_SESSION})
    s = session(s, 84_000)
    assert mode(s) == TradingState.FLATTEN
    same_day = expire_latches(s.view.states, np.array([False]), s.view.market.ts_ns)
    assert same_day.latch_kind[0, LADDER] == Release.NEXT_SESSION
    ended = expire_latches(s.view.states, np.array([True]), s.view.market.ts_ns)
    s = session(with_states(s, ended), 84_000)
    assert mode(s) == TradingState.NORMAL
    assert run(s)[0].projection.throttle[0] == 0.5


def held(one: Scene, release: Release, **changes: object) -> States:
    """Every latch of the one account held, until an hour from now."""
    states = one.view.states
    until = np.full_like(states.latch_until_ns, one.view.market.ts_ns + 3600 * S)
    kind = np.full_like(states.latch_kind, release)
    return replace(states, latch_kind=kind, latch_until_ns=until, **changes)


@pytest.mark.parametrize("release", Release)
@pytest.mark.parametrize("new_day", [True, False])
def test_only_a_new_day_and_an_appointed_time_end_a_latch(
    one: Scene, release: Release, new_day: bool
) -> None:
    for seconds, due in ((3599, False), (3600, True), (90_000, True)):
        ts_ns = one.view.market.ts_ns + seconds * S
        left = expire_latches(held(one, release), np.array([new_day]), ts_ns).latch_kind
        ends = (release == Release.NEXT_SESSION and new_day) or (release == Release.TIMED and due)
        assert (left == (NO_LATCH if ends else release)).all()


def test_a_clock_that_goes_back_ends_nothing(one: Scene) -> None:
    states = held(one, Release.TIMED)
    assert (expire_latches(states, np.array([False]), 0).latch_kind == Release.TIMED).all()


def test_trips_are_counted_by_the_day(one: Scene) -> None:
    states = held(one, Release.MANUAL, latch_trips=np.full_like(one.view.states.latch_trips, 2))
    assert (expire_latches(states, np.array([False]), 0).latch_trips == 2).all()
    assert (expire_latches(states, np.array([True]), 0).latch_trips == 0).all()


def test_a_released_lock_may_keep_its_mark(one: Scene) -> None:
    """restart_policy continue: the mark stays, the rung is acknowledged, the throttle below it holds."""
    s = session(one, 70_000)
    assert mode(s) == TradingState.LOCKED
    s = with_states(s, release_latch(s.view.states, 0, LADDER, 0, rebase=False))
    assert s.view.states.unit_hwm[0] == 1.0
    assert s.view.states.acknowledged_rung[0] == s.view.states.rung[0] == 3
    assert mode(s) == TradingState.NORMAL
    assert run(s)[0].projection.throttle[0] == 0.5


def test_a_released_kill_is_over_and_another_latch_is_not(one: Scene) -> None:
    s = one.with_states(kill_level=np.array([3], dtype=np.int8))
    s = with_states(s, run(s)[1])
    assert mode(s) == TradingState.LOCKED
    other = release_latch(s.view.states, 0, LADDER, 0)
    assert other.kill_level[0] == 3
    s = with_states(s, release_latch(s.view.states, 0, LATCHING_RULES.index("LD-15"), 0))
    assert s.view.states.kill_level[0] == 0
    assert mode(s) == TradingState.NORMAL


def test_a_weaker_latch_does_not_replace_a_stricter_one(one: Scene) -> None:
    s = session(one, 70_000)
    before = s.view.states
    assert before.latch_kind[0, LADDER] == Release.DUAL
    recovered = s.with_books(equity=np.array([84_000.0]))
    after, added = apply_latches(recovered.view, evaluate(recovered.view, recovered.knobs))
    assert after.latch_kind[0, LADDER] == Release.DUAL
    assert after.latch_since_session[0, LADDER] == before.latch_since_session[0, LADDER]
    assert added[0] == 0


def test_ramp() -> None:
    left, sessions = np.array([0, 1, 5, 6, 10, 3]), np.array([10, 10, 10, 10, 10, 0])
    assert ramp_factor(left, sessions).tolist() == [1.0, 0.5, 0.5, 0.25, 0.25, 1.0]


def test_the_losses_of_a_firm_add_up_to_the_same_in_any_order() -> None:
    s = scene(8, 3, 1).with_rules(LD_13={"limit_money": "1"})
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    anchors = np.zeros(3)
    for order in itertools.permutations([-0.1, -0.2, -0.3]):
        view = accounts_named(s, "one-firm").with_books(equity=np.array(order)).with_states(
            day_anchor_balance=anchors, day_anchor_equity=anchors, day_flow=np.zeros(3)
        ).view  # fmt: skip
        said = firm_daily_loss(view, s.knobs["LD-13"])
        assert set(said.value.tolist()) == {0.1 + 0.2 + 0.3}
