"""Tape health: grades, reasons, monotone in every badness, never better for knowing less than a good number."""

from __future__ import annotations

import math
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.tools.tape_health import HealthInputs, HealthKnobs, tape_health

GOOD = HealthInputs(
    evidence="L1",
    n_quotes=50_000.0,
    share_invalid=0.001,
    share_crossed=0.0,
    share_one_sided=0.001,
    share_stale=0.0,
    spread_bps=1.2,
    spread_history_bps=1.1,
    depth=400.0,
    depth_history=380.0,
    r2=0.62,
    vpin_percentile=0.4,
    feed_age_s=0.2,
    expected_cadence_s=1.0,
)
NUMBERS = [f.name for f in fields(HealthInputs) if f.name != "evidence"]
SHARES = [n for n in NUMBERS if n.startswith("share_") or n in ("r2", "vpin_percentile")]
HIGH_IS_BAD = [
    "share_invalid", "share_crossed", "share_one_sided", "share_stale", "spread_bps", "vpin_percentile", "feed_age_s",
]  # fmt: skip
TOXIC = "toxicity (VPIN) ranks in its own history at 100.0 %, above the limit of 90.0 %"
LOW_IS_BAD = ["n_quotes", "depth", "r2"]


def graded(**changes):
    return tape_health(replace(GOOD, **changes))


number = st.floats(0, 1e5) | st.just(math.nan)
inputs = st.builds(
    HealthInputs,
    evidence=st.sampled_from(["L2", "L1", "trades", "bars"]),
    **{name: (st.floats(0, 1) | st.just(math.nan)) if name in SHARES else number for name in NUMBERS},
)


def test_a_good_tape_is_healthy_without_reasons():
    health = tape_health(GOOD)
    assert (health.score, health.grade, health.reasons) == (100.0, "healthy", ())
    assert health.parts["spread_ratio"] == pytest.approx(1.2 / 1.1) and health.parts["n_quotes"] == 50_000
    assert tape_health(replace(GOOD, evidence="L2")).grade == "healthy"


@pytest.mark.parametrize(
    ("changes", "grade", "reason"),
    [
        ({"share_invalid": 0.5}, "broken", "invalid quotes are 50.0 %, above the limit of 2.0 %"),
        ({"share_crossed": 0.6}, "broken", "crossed quotes are 60.0 %, above the limit of 1.0 %"),
        ({"share_one_sided": 0.3}, "broken", "one-sided quotes are 30.0 %, above the limit of 2.0 %"),
        ({"share_stale": 0.9}, "broken", "time without the expected quotes is 90.0 %, above the limit of 5.0 %"),
        ({"feed_age_s": 60.0}, "broken", "age of the feed against the expected cadence is 60×, above the limit of 10×"),
        ({"n_quotes": 0.0}, "broken", "valid quotes are 0, below the limit of 200"),
        ({"spread_bps": 2e4, "spread_history_bps": math.nan}, "broken", "spread is 20000 bp, above the limit of 50 bp"),
        ({"spread_bps": 11.0}, "broken", "spread against its own history is 10×, above the limit of 1.5×"),
        ({"spread_bps": 4.4}, "stressed", "spread against its own history is 4×, above the limit of 1.5×"),
        ({"depth": 60.0}, "stressed", "depth against its own history is 0.158×, below the limit of 0.5×"),
        ({"vpin_percentile": 1.0}, "thin", TOXIC),
        ({"r2": 0.0}, "thin", "order flow explains of the moves of the mid 0.0 %, below the limit of 20.0 %"),
    ],
)  # fmt: skip
def test_one_bad_part(changes, grade, reason):
    health = graded(**changes)
    assert health.grade == grade and health.reasons[0] == reason


def test_the_costliest_reason_comes_first():
    health = graded(r2=0.1, share_crossed=0.12, vpin_percentile=0.95)
    assert [r.split(" ")[0] for r in health.reasons] == ["crossed", "order", "toxicity"]


def test_the_score_is_the_stated_product():
    k = HealthKnobs()
    health = graded(share_crossed=0.08, r2=math.nan, vpin_percentile=0.95)
    expected = 100 * (1 - (0.08 - 0.01) / 0.14) * (1 - 0.3 * 0.5) * (1 - k.unknown_penalty)
    assert health.score == pytest.approx(expected, abs=0.051)


def test_unknown_parts_cost_a_little_and_are_listed():
    health = graded(spread_history_bps=math.nan, depth_history=math.nan, feed_age_s=math.nan)
    assert health.score == round(100 * 0.97**3, 1) and health.grade == "healthy"
    assert health.reasons == ("not known: spread history, depth history, feed age",)
    assert health.parts["spread_ratio"] is None and health.parts["spread_bps"] == 1.2


@pytest.mark.parametrize("evidence", ["trades", "bars"])
def test_without_quotes_a_tape_is_at_best_thin(evidence):
    health = tape_health(HealthInputs(evidence=evidence))
    assert health.grade == "thin" and health.score <= 60.0
    assert health.reasons[0] == f"no quotes: the tape rests on {evidence} alone"
    generous = HealthKnobs(no_quotes_cap=100.0)
    assert tape_health(replace(GOOD, evidence=evidence), generous).grade == "thin"


def test_nothing_known_of_a_quoted_tape_is_not_healthy():
    assert tape_health(HealthInputs(evidence="L1")).grade == "thin"


def test_a_vanishing_history_makes_a_ratio_bad_and_not_unknown():
    health = graded(spread_bps=1e4, spread_history_bps=5e-324)
    assert health.parts["spread_ratio"] == 1e9
    assert health.score <= graded(spread_bps=1e4, spread_history_bps=1.0).score


@settings(max_examples=300, deadline=None)
@given(inputs, st.sampled_from(HIGH_IS_BAD + LOW_IS_BAD), st.floats(0, 1), st.floats(0, 1))
def test_more_of_any_badness_never_raises_the_score(given_inputs, name, one, other):
    scale = 1.0 if name in SHARES else 1e4
    low, high = sorted((one * scale, other * scale))
    better, worse = (high, low) if name in LOW_IS_BAD else (low, high)
    before, after = (tape_health(replace(given_inputs, **{name: v})) for v in (better, worse))
    assert after.score <= before.score
    order = ["broken", "stressed", "thin", "healthy"]
    assert order.index(after.grade) <= order.index(before.grade)


@settings(max_examples=300, deadline=None)
@given(inputs, st.sampled_from(NUMBERS))
def test_losing_a_good_number_never_raises_the_score(given_inputs, name):
    known = replace(given_inputs, **{name: getattr(GOOD, name)})
    if name in (
        "spread_bps",
        "depth",
        "feed_age_s",
        "spread_history_bps",
        "depth_history",
        "expected_cadence_s",
    ):
        pair = {"spread": ("spread_bps", "spread_history_bps"), "depth_": ("depth", "depth_history")}
        names = next((v for v in pair.values() if name in v), ("feed_age_s", "expected_cadence_s"))
        known = replace(known, **{n: getattr(GOOD, n) for n in names})
    lost = replace(known, **{name: math.nan})
    assert tape_health(lost).score <= tape_health(known).score
    assert any("not known" in r for r in tape_health(lost).reasons)


@settings(max_examples=200, deadline=None)
@given(inputs)
def test_fewer_grades_of_evidence_never_help_and_the_score_stays_in_range(given_inputs):
    scores = [tape_health(replace(given_inputs, evidence=e)) for e in ("L2", "L1", "trades", "bars")]
    assert scores[0].score == scores[1].score >= scores[2].score == scores[3].score
    for health in scores:
        assert 0.0 <= health.score <= 100.0
        assert (health.score == 100.0 and health.grade == "healthy") or health.reasons or health.score >= 99.9


@pytest.mark.parametrize(
    "changes",
    [{"share_invalid": 1.2}, {"share_stale": -0.1}, {"r2": 2.0}, {"spread_bps": math.inf}, {"depth": -1.0}],
)
def test_wrong_numbers(changes):
    with pytest.raises(BadInput, match="HealthInputs"):
        graded(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"share_invalid_warn": 0.3},
        {"depth_ratio_fail": 0.6},
        {"r2_weight": 1.5},
        {"thin_min": 90.0},
        {"no_quotes_cap": 101.0},
        {"unknown_penalty": 1.0},
        {"vpin_percentile_fail": math.nan},
    ],
)
def test_wrong_knobs(changes):
    with pytest.raises(BadInput, match="HealthKnobs"):
        tape_health(GOOD, HealthKnobs(**changes))


def test_knobs_are_plain_floats():
    assert all(type(v) is float for v in asdict(HealthKnobs()).values())
