"""Invariant I17: every difference between proposal and target has a name, and without the named rules it is gone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from tests.properties.budget import examples
from tests.properties.scenes import UNWEIGHABLE, run, scenes
from tests.unit.guards.scenarios import Scene, changed

from regime_trading.core.rules import LATCHING_RULES, RULE_IDS
from regime_trading.guards.attribution import WORD, WORDS, names_any, rule_names
from regime_trading.guards.chain import Decisions
from regime_trading.guards.snapshot import NO_LATCH
from regime_trading.guards.verdict import NOT_EVALUABLE, OFF

STEP_ONLY = frozenset({"XL-03", "XL-06", "XL-07", "XL-08", "XL-10", "XL-12", "XL-18"})
STEP_WORDS = np.zeros(WORDS, dtype=np.int64)
for _row, _rule_id in enumerate(RULE_IDS):
    if _rule_id in STEP_ONLY:
        STEP_WORDS[_row // WORD] |= np.int64(1) << np.int64(_row % WORD)


def moved(d: Decisions, s: Scene) -> np.ndarray:
    """Assets whose target is not what the account was asked to do."""
    return np.nan_to_num(d.projection.target, nan=-0.5) != d.proposed


def without(s: Scene, named: np.ndarray) -> Scene:
    """The named rules of each account switched off, and their latches released; a halt cannot be, but ends."""
    profiles = [dict(profile) for profile in s.profiles]
    kind, level = s.view.states.latch_kind.copy(), s.view.states.kill_level.copy()
    for a, words in enumerate(named):
        for rule_id in rule_names(words):
            if rule_id == "LD-15":
                level[a] = 0
            else:
                profiles[a][rule_id] = changed(profiles[a][rule_id], enabled=False)
            if rule_id in LATCHING_RULES:
                kind[a, LATCHING_RULES.index(rule_id)] = NO_LATCH
    states = s.with_states(latch_kind=kind, kill_level=level).view
    return Scene(states, profiles)


@given(scenes() | scenes(always=frozenset({"tight", "halts"})))
@examples()
def test_every_difference_is_named(s: Scene) -> None:
    d, _ = run(s)
    assert (d.limiting[moved(d, s)] & ~STEP_WORDS).any(axis=1).all()
    raw = np.isfinite(s.view.books.proposed) & s.view.books.mentioned
    refused = raw & d.refused[:, None] & (s.view.books.proposed != s.view.books.current)
    assert names_any(d.limiting[refused], RULE_IDS.index("DS-11")).all()


@given(scenes())
@examples()
def test_only_rules_that_are_on_are_named(s: Scene) -> None:
    """A rule that is off or not evaluable is named for a latch it once set, and for a refusal, at most."""
    d, _ = run(s)
    silent = np.isin(d.rule_outcome, (OFF, NOT_EVALUABLE))
    for r, rule_id in enumerate(RULE_IDS):
        if rule_id in LATCHING_RULES or rule_id in ("DS-02", "DS-11", "DS-14"):
            continue
        named = names_any(d.limiting, r).any(axis=1)
        assert not (named & silent[:, r]).any(), rule_id


SOUND = UNWEIGHABLE | {"no_proposal", "nan_proposal", "big_proposal"}


@given(scenes(without=SOUND) | scenes(without=SOUND, always=frozenset({"tight", "halts"})))
@examples()
def test_without_the_named_rules_the_proposal_stands(s: Scene) -> None:
    """At once; only what a frozen asset would have been held to shows after it has thawed, so those look again."""
    d, _ = run(s)
    masked = (d.projection.frozen & (s.view.held != d.proposed)).any(axis=1)
    for _round in range(len(RULE_IDS)):
        left = moved(d, s).any(axis=1)
        if not left.any():
            return
        named = np.bitwise_or.reduce(d.limiting & ~STEP_WORDS, axis=1)
        assert (named[left] != 0).any(axis=1).all()
        s = without(s, named)
        d, _ = run(s)
        assert not moved(d, s).any(axis=1)[~masked].any()
    raise AssertionError("some rule comes back for ever")
