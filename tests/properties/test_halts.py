"""A halt never loosens anything, whatever else holds an account, and nothing ends it but a person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.budget import examples
from tests.properties.scenes import run, scenes
from tests.unit.guards.scenarios import Scene

from regime_trading.core.controls import Halt
from regime_trading.core.rules import LATCHING_RULES, Authority, Release, TradingState
from regime_trading.engine.halts import KILL, halted, impose
from regime_trading.guards.external import HIGHEST_KILL, kill_level
from regime_trading.guards.snapshot import NO_LATCH

LEVELS = st.sampled_from([-1, 0, 1, 2, 3])


def under(s: Scene, level: int, lifted: int = 0) -> Scene:
    halts = [Halt(level, lifted)] * s.view.n_accounts
    on = s.knobs["LD-15"] | {
        "enabled": np.ones(s.view.n_accounts, dtype=np.bool_)
    }  # no configuration can switch it off
    return replace(
        s, knobs={**s.knobs, "LD-15": on}, view=replace(s.view, states=impose(s.view.states, halts)[0])
    )


@given(scenes(), LEVELS, LEVELS)
@examples(150)
def test_a_stricter_halt_never_loosens(s: Scene, one: int, other: int) -> None:
    """K4 in the memory of an account stays above all: it stops everything, and leaves the trading state as it is."""
    rank = {0: 0, -1: 1, 1: 1, 2: 2, 3: 3}
    low, high = sorted((one, other), key=lambda level: rank[level])
    loose, _ = run(under(s, low))
    halting = under(s, high)
    strict, after = run(halting)
    assert (strict.mode >= loose.mode).all() and (strict.authority >= loose.authority).all()
    assert (np.abs(strict.steps.entry_qty) <= np.abs(loose.steps.entry_qty) + 0.0).all()
    stopped = kill_level(halting.view.states) == HIGHEST_KILL
    assert (strict.authority[stopped] == Authority.CANCEL_ONLY).all()
    assert not strict.steps.entry_qty[stopped].any() and not strict.steps.exit_qty[stopped].any()
    on = ~stopped
    if high != 0:
        open_ = (strict.projection.target * s.view.held > 0) | (strict.projection.target == 0)
        grown = np.abs(strict.projection.target) > np.abs(np.nan_to_num(s.view.held))
        known = np.isfinite(s.view.held) & np.isfinite(strict.projection.target) & on[:, None]
        assert not (grown & known).any(), "nothing grows under a halt"
        assert open_[known].all(), "nothing turns under a halt"
        assert (strict.mode[on] >= TradingState.REDUCE_ONLY).all()
        assert (strict.authority >= Authority.RISK_REDUCING).all()
        assert not strict.steps.entry_qty.any()
    assert (after.kill_level >= 0).all(), "not knowing lasts for one decision"
    if high == 3:
        assert (strict.mode[on] == TradingState.LOCKED).all()


@given(scenes(), LEVELS, st.integers(0, 3))
@examples(150)
def test_only_what_people_ended_is_let_go_of(s: Scene, level: int, lifted: int) -> None:
    before = s.view.states
    after, released = impose(before, [Halt(level, lifted)] * s.view.n_accounts)
    held, now = kill_level(before), kill_level(after)
    fell = now < held
    assert ((held[fell] <= lifted) & (now[fell] == level)).all()
    assert (now >= np.maximum(level, np.where(held > lifted, held, 0))).all()
    assert {r.account for r in released} <= set(np.flatnonzero(fell))
    others = [c for c in range(len(LATCHING_RULES)) if c != KILL]
    assert (after.latch_kind[:, others] == before.latch_kind[:, others]).all()
    kept = ~fell & (before.latch_kind[:, KILL] > NO_LATCH)
    assert (after.latch_kind[kept, KILL] == before.latch_kind[kept, KILL]).all()


@given(scenes(), st.sampled_from([1, 2, 3]))
@examples(60)
def test_a_halt_is_latched_until_a_person_ends_it(s: Scene, level: int) -> None:
    _, states = run(under(s, level))
    assert (states.latch_kind[:, KILL] >= Release.MANUAL).all()
    again = replace(s, view=replace(s.view, states=replace(states, kill_level=states.kill_level * 0)))
    told, _ = run(under(again, 0))
    assert (told.mode >= TradingState.REDUCE_ONLY).all(), "the latch tells of it where the level is lost"
    assert halted([Halt(level), Halt(), Halt(-1)]).tolist() == [True, False, True]
