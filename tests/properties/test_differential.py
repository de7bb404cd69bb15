"""The array form of ``decide()`` against the plain one, number for number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from tests.properties.budget import examples
from tests.properties.scenes import SIZES, run, scenes
from tests.unit.guards.reference import decide_one
from tests.unit.guards.scenarios import ANNUAL, TRAITS, Scene, scene

from regime_trading.core.rules import LATCHING_RULES, TIMER_RULES
from regime_trading.guards.facts import NEVER_NS

HEDGED = frozenset({"pairs", "tight", "illiquid", "frugal", "coarse_lots"})


def compare(s: Scene) -> None:
    decisions, states = run(s)
    before = s.view.states
    for a in range(len(s.profiles)):
        expected = decide_one(s.view, a, s.profiles, ANNUAL)
        target = [None if np.isnan(w) else int(w) for w in decisions.projection.target[a]]
        assert target == expected.target
        assert decisions.mode[a] == expected.mode
        assert decisions.projection.k[a] == pytest.approx(expected.k, abs=1e-9)
        assert decisions.projection.throttle[a] == expected.throttle
        assert decisions.projection.sigma_tilde[a] == pytest.approx(expected.sigma_tilde, rel=1e-12)
        assert decisions.steps.step_qty[a].tolist() == expected.step
        assert decisions.refused[a] == expected.refused
        assert decisions.authority[a] == expected.authority
        assert np.flatnonzero(decisions.steps.cancel[a]).tolist() == expected.cancels
        started = {(r, i): until for (r, i), until in expected.timers.items()}
        for row, rule_id in enumerate(TIMER_RULES):
            for i in range(len(s.view.market.symbols)):
                until = max(int(before.timer_ns[a, row, i]), started.get((rule_id, i), NEVER_NS))
                assert states.timer_ns[a, row, i] == until, (rule_id, i)
        for column, rule_id in enumerate(LATCHING_RULES):
            state, kind = expected.fired.get(rule_id, (0, -1))
            held = before.latch_kind[a, column] >= 0
            assert states.latch_kind[a, column] == max(before.latch_kind[a, column], kind)
            if held or kind >= 0:
                old = before.latch_state[a, column] if held else 0
                assert states.latch_state[a, column] == max(old, state)
            stricter = kind >= 0 and (not held or kind > before.latch_kind[a, column] or state > old)
            assert bool(decisions.latched[a] >> column & 1) == stricter


@given(scenes())
@examples()
def test_any_scene(s: Scene) -> None:
    compare(s)


@given(
    scenes(
        always=HEDGED, without=frozenset({"latched", "bad_equity", "no_proposal", "nan_proposal"}), least=2
    )
)
@examples()
def test_hedged_books_whose_legs_arrive_apart(s: Scene) -> None:
    compare(s)


@given(scenes(always=frozenset({"books", "costly", "illiquid", "shorts"}), least=1))
@examples()
def test_bad_books_and_dear_entries(s: Scene) -> None:
    compare(s)


@pytest.mark.full
def test_many_scenes() -> None:
    """20 000 scenes, every trait in any company."""
    r = np.random.default_rng(2024)
    for seed in range(20_000):
        traits = frozenset(t for t in TRAITS if r.random() < r.choice([0.1, 0.3, 0.6]))
        compare(scene(seed, int(r.integers(1, 6)), int(r.choice(SIZES)), traits))
