"""Knobs of market intelligence: what they refuse, and that the tools' defaults are the settings'."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from pydantic import ValidationError

from regime_trading.core.market_intelligence import (
    ConfidenceCaps,
    HealthCaps,
    MarketIntelligence,
    TapeSettings,
    Tiers,
)
from regime_trading.engine.tape_reading import health_knobs, tape_params
from regime_trading.tools.quote_pass import TapeParams
from regime_trading.tools.tape_health import HealthKnobs


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: ConfidenceCaps(bars="1", trades="0.5"), "L2 ≥ L1 ≥ trades ≥ bars"),
        (lambda: HealthCaps(thin="0.1"), "healthy ≥ thin"),
        (lambda: Tiers(MT="2d"), "1d ≥ LT > MT > ST"),
        (lambda: Tiers(ST="4h"), "1d ≥ LT > MT > ST"),
        (lambda: TapeSettings(headline_horizon_s=7), "headline_horizon_s 7"),
        (lambda: TapeSettings(horizons_s=(10, 1)), "ascending"),
        (lambda: TapeSettings(microprice_bins=10), "odd"),
    ],
)
def test_what_does_not_fit_is_refused(make, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        make()


def test_the_defaults_of_the_tools_are_those_of_the_settings() -> None:
    knobs = MarketIntelligence()
    assert asdict(health_knobs(knobs.health)) == asdict(HealthKnobs())
    edges = TapeParams().day_edges_ns
    assert tape_params(knobs, edges) == TapeParams()


def test_seconds_of_the_tiers() -> None:
    assert Tiers().seconds() == {"LT": 86_400, "MT": 14_400, "ST": 900}
