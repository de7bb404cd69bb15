"""② What the tape says, and on which grade of evidence it rests."""

from __future__ import annotations

from typing import Any

from regime_trading.agents.deps import Deps
from regime_trading.core.schemas import TapeSummary
from regime_trading.core.settings import MarketIntelligence
from regime_trading.core.state import PipelineState
from regime_trading.tools.microstructure import QUOTE_MEASURES, grade, unavailable_tiers

_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def microstructure(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Grade the source's evidence and cap the confidence that may rest on it."""
    assert state.data is not None
    health = state.data.health
    knobs = deps.settings.market_intelligence
    evidence, cap = grade(frozenset(health.provides), knobs.confidence_cap)
    notes = (
        [] if evidence in ("L1", "L2") else [f"{', '.join(QUOTE_MEASURES)}: not identified without quotes"]
    )
    if missing := unavailable_tiers(_tier_seconds(knobs), health.bar_s):
        notes.append(f"tiers {', '.join(missing)}: unavailable, the source has bars of {health.bar_s} s")
    return {"tape": TapeSummary(evidence=evidence, confidence_cap=cap, notes=tuple(notes))}


def _tier_seconds(knobs: MarketIntelligence) -> dict[str, int]:
    return {name: int(text[:-1]) * _SECONDS[text[-1]] for name, text in dict(knobs.tiers).items()}
