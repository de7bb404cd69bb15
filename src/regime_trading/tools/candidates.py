"""Which symbols are worth a look: ranked by what their regime allows and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regime_trading.core.rules.vol_target import RegimeBudget
from regime_trading.core.schemas import Regime
from regime_trading.core.state import MarketRegime

_BUDGET = RegimeBudget()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One symbol; ``score`` in [0, 1], ``strategy`` None = nothing is made of its regime."""

    rank: int
    regime: Regime
    score: float
    strategy: str | None


def regime_score(label: str, confidence: float) -> float:
    """What the regime budget (VT-04, platform defaults) leaves of a book under a label, times the confidence in it."""
    return float(getattr(_BUDGET, label)) * confidence


def ranked(found: MarketRegime) -> tuple[Candidate, ...]:
    """Symbols by score, then by their calm, then by name."""
    strategies = {item.symbol: item.exposure.value for item in found.exposures}
    scored = [(regime_score(one.label.value, one.confidence), one) for one in found.symbols]
    ordered = sorted(scored, key=lambda item: (-item[0], -_calm(item[1]), item[1].symbol))
    return tuple(
        Candidate(rank, one, score, strategies.get(one.symbol))
        for rank, (score, one) in enumerate(ordered, start=1)
    )


def _calm(regime: Regime) -> float:
    """Probability of the calmest state; 0 where it is not known."""
    risk = regime.risk
    if risk.state is None or risk.probability is None:
        return 0.0
    return risk.probability if risk.state == 0 else 1.0 - risk.probability


def plain(candidates: Sequence[Candidate]) -> list[dict[str, object]]:
    """As JSON values, best first; fractions as numbers, null = not known."""
    return [
        {
            "rank": one.rank,
            "symbol": one.regime.symbol,
            "score": one.score,
            "label": one.regime.label.value,
            "confidence": one.regime.confidence,
            "strategy": one.strategy,
            "structure": one.regime.structure.label,
            "structure_p_value": one.regime.structure.p_value,
            "risk_state": one.regime.risk.state,
            "risk_states": one.regime.risk.n_states,
            "risk_probability": one.regime.risk.probability,
            "evidence": [item.model_dump(mode="json") for item in one.regime.evidence],
        }
        for one in candidates
    ]
