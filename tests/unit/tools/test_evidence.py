"""Evidence may only lower a confidence, in any order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import (
    Evidence,
    Regime,
    RegimeLabel,
    RiskState,
    Structure,
    StructureLabel,
    TapeHealth,
)
from regime_trading.tools.evidence import GRADES, lowest, own_evidence, tape_evidence, weigh

STRUCTURE = Structure(
    label=StructureLabel.TRENDING,
    confidence=0.9,
    variance_ratio=1.3,
    p_value=0.01,
    half_life_bars=None,
    n_obs=500,
)
RISK = RiskState(
    state=0, n_states=2, margin=0.7, expected_duration_bars=90.0, fitted_at_ns=1, probability=0.95
)
REGIME = Regime(
    symbol="SPX", as_of_ns=1, label=RegimeLabel.TRENDING, confidence=0.7, structure=STRUCTURE, risk=RISK
)
GRADE_CAPS = {"L2": 1.0, "L1": 1.0, "trades": 0.9, "bars": 0.8}
HEALTH_CAPS = {"healthy": 1.0, "thin": 0.75, "stressed": 0.5, "broken": 0.25}


def piece(cap: float) -> Evidence:
    return Evidence(source="tape", grade="L1", finding="x", confidence_cap=cap)


@given(st.lists(st.floats(0, 1), max_size=4))
def test_never_raises_and_has_no_order(caps: list[float]) -> None:
    for order in itertools.permutations(caps):
        weighed = weigh(REGIME, [piece(cap) for cap in order])
        assert weighed.confidence == min([REGIME.confidence, *caps])
        assert weighed.label == REGIME.label
        assert len(weighed.evidence) == len(caps)


@pytest.mark.parametrize(("grade", "health", "cap"), [
    ("L1", None, 1.0), ("bars", None, 0.8), ("L2", "healthy", 1.0), ("L1", "thin", 0.75), ("L1", "broken", 0.25),
    ("bars", "thin", 0.75), ("trades", "healthy", 0.9),
])  # fmt: skip
def test_tape_cap_is_the_smaller(grade: str, health: str | None, cap: float) -> None:
    found = tape_evidence(
        grade, None if health is None else TapeHealth(score=50, grade=health), GRADE_CAPS, HEALTH_CAPS
    )
    assert found.confidence_cap == cap
    assert grade in found.finding


def test_a_missing_cap_is_refused() -> None:
    with pytest.raises(BadInput, match="cap of thin"):
        tape_evidence("L1", TapeHealth(score=50, grade="thin"), GRADE_CAPS, {"healthy": 1.0})


def test_own_evidence_names_the_numbers() -> None:
    structure, risk = own_evidence(STRUCTURE, RISK, "bars")
    assert (structure.confidence_cap, risk.confidence_cap) == (0.9, 0.7)
    assert structure.finding == "trending, p 0.01"
    assert risk.finding == "state 0 of 2, probability 0.95"


def test_the_lowest_grade_wins() -> None:
    assert [lowest(pair) for pair in (("L1", "bars"), ("L2", "L1"), ("trades",), ())] == [
        "bars",
        "L1",
        "trades",
        "bars",
    ]
    assert lowest(GRADES) == "bars"
