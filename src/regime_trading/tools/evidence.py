"""What is weighed beside structure and risk state: it may lower a confidence, never raise it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import Evidence, Regime, RiskState, Structure, TapeHealth
from regime_trading.core.tape import EvidenceGrade

GRADES: tuple[EvidenceGrade, ...] = ("L2", "L1", "trades", "bars")


def lowest(grades: Iterable[EvidenceGrade]) -> EvidenceGrade:
    """The lowest of several grades; ``bars`` of none."""
    return GRADES[max((GRADES.index(grade) for grade in grades), default=len(GRADES) - 1)]


def own_evidence(structure: Structure, risk: RiskState, grade: EvidenceGrade) -> tuple[Evidence, Evidence]:
    """What made the label: the structure with its confidence, the risk state with its margin."""
    said = structure.reason or f"{structure.label.value}, p {_number(structure.p_value)}"
    state = risk.reason or f"state {risk.state} of {risk.n_states}, probability {_number(risk.probability)}"
    return (
        Evidence(source="structure", grade=grade, finding=said, confidence_cap=structure.confidence),
        Evidence(source="risk", grade=grade, finding=state, confidence_cap=risk.margin),
    )


def tape_evidence(
    grade: EvidenceGrade,
    health: TapeHealth | None,
    grade_caps: Mapping[str, float],
    health_caps: Mapping[str, float],
) -> Evidence:
    """What the tape allows: the smaller of the cap of its grade and the cap of its health.

    Parameters
    ----------
    grade : str
        L2 > L1 > trades > bars.
    health : TapeHealth or None
        None where there is no tape: then the grade alone decides.
    grade_caps, health_caps : mapping
        Cap by evidence grade, and by grade of health (healthy, thin, stressed, broken).

    Raises
    ------
    BadInput
        A cap that is missing or outside [0, 1].
    """
    cap = _cap(grade_caps, grade)
    finding = f"evidence grade {grade}"
    if health is not None:
        cap = min(cap, _cap(health_caps, health.grade))
        finding += f", tape {health.grade} ({health.score:.0f} of 100)"
    return Evidence(source="tape", grade=grade, finding=finding, confidence_cap=cap)


def weigh(regime: Regime, further: Iterable[Evidence]) -> Regime:
    """The regime with more evidence attached and its confidence at most every cap; the label stands.

    The minimum has no order, and a further piece of evidence never raises it.
    """
    items = tuple(further)
    confidence = min((regime.confidence, *(item.confidence_cap for item in items)))
    return regime.model_copy(update={"confidence": confidence, "evidence": (*regime.evidence, *items)})


def _cap(caps: Mapping[str, float], key: str) -> float:
    cap = caps.get(key)
    if cap is None or not 0.0 <= cap <= 1.0:
        raise BadInput(expected="a cap in [0, 1]", found=str(cap), where=f"cap of {key}")
    return cap


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3g}"
