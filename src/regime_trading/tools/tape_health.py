"""Health of a tape: one score from 0 to 100, its grade, and the reasons that set it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import TapeHealth
from regime_trading.core.tape import EvidenceGrade

Grade = Literal["healthy", "thin", "stressed", "broken"]

_WITH_QUOTES = ("L2", "L1")


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """What is known of a tape. NaN = not known.

    Parameters
    ----------
    evidence : str
        ``L2``, ``L1``, ``trades`` or ``bars``.
    n_quotes : float
        Quote rows used.
    share_invalid, share_crossed, share_one_sided : float
        Of all quote rows, in [0, 1]; invalid = crossed, one-sided or not positive.
    share_stale : float
        Share of time in gaps beyond the expected cadence, in [0, 1].
    spread_bps, spread_history_bps : float
        Time-weighted spread, and the median of its own past.
    depth, depth_history : float
        Mean size at the touch, and the median of its own past, same units.
    r2 : float
        Of Δmid on order-flow imbalance, in [0, 1].
    vpin_percentile : float
        Rank of VPIN in its own past, in [0, 1].
    feed_age_s, expected_cadence_s : float
        Time since the last event, and the expected time between two.
    """

    evidence: EvidenceGrade
    n_quotes: float = math.nan
    share_invalid: float = math.nan
    share_crossed: float = math.nan
    share_one_sided: float = math.nan
    share_stale: float = math.nan
    spread_bps: float = math.nan
    spread_history_bps: float = math.nan
    depth: float = math.nan
    depth_history: float = math.nan
    r2: float = math.nan
    vpin_percentile: float = math.nan
    feed_age_s: float = math.nan
    expected_cadence_s: float = math.nan


@dataclass(frozen=True, slots=True)
class HealthKnobs:
    """Where each part begins to be bad (``warn``), is as bad as it can be (``fail``), and how much of the score
    it can take (``weight``, in [0, 1]; 1 = this part alone breaks the tape).

    Parameters
    ----------
    unknown_penalty : float
        Share of the score that every part costs that is not known.
    no_quotes_cap : float
        Highest score of a tape without quotes.
    healthy_min, thin_min, stressed_min : float
        Lowest score of each grade, descending; below the last one the tape is broken.
    """

    n_quotes_warn: float = 200.0
    n_quotes_fail: float = 0.0
    n_quotes_weight: float = 1.0
    share_invalid_warn: float = 0.02
    share_invalid_fail: float = 0.25
    share_invalid_weight: float = 1.0
    share_crossed_warn: float = 0.01
    share_crossed_fail: float = 0.15
    share_crossed_weight: float = 1.0
    share_one_sided_warn: float = 0.02
    share_one_sided_fail: float = 0.25
    share_one_sided_weight: float = 1.0
    share_stale_warn: float = 0.05
    share_stale_fail: float = 0.60
    share_stale_weight: float = 1.0
    spread_bps_warn: float = 50.0
    spread_bps_fail: float = 500.0
    spread_bps_weight: float = 1.0
    spread_ratio_warn: float = 1.5
    spread_ratio_fail: float = 5.0
    spread_ratio_weight: float = 0.85
    depth_ratio_warn: float = 0.5
    depth_ratio_fail: float = 0.05
    depth_ratio_weight: float = 0.85
    r2_warn: float = 0.20
    r2_fail: float = 0.0
    r2_weight: float = 0.30
    vpin_percentile_warn: float = 0.90
    vpin_percentile_fail: float = 1.0
    vpin_percentile_weight: float = 0.30
    feed_age_ratio_warn: float = 10.0
    feed_age_ratio_fail: float = 60.0
    feed_age_ratio_weight: float = 1.0
    unknown_penalty: float = 0.03
    no_quotes_cap: float = 60.0
    healthy_min: float = 80.0
    thin_min: float = 50.0
    stressed_min: float = 20.0


@dataclass(frozen=True, slots=True)
class _Part:
    """A measured number, its ramp, and how to say it."""

    name: str
    text: str
    unit: str = ""
    low_is_bad: bool = False

    def say(self, value: float, limit: float) -> str:
        beyond = "below" if self.low_is_bad else "above"
        return f"{self.text} {_number(value, self.unit)}, {beyond} the limit of {_number(limit, self.unit)}"


_LARGEST_RATIO = 1e9  #: against a vanishing history a ratio is very bad, not unknown

_PARTS = (
    _Part("n_quotes", "valid quotes are", low_is_bad=True),
    _Part("share_invalid", "invalid quotes are", "%"),
    _Part("share_crossed", "crossed quotes are", "%"),
    _Part("share_one_sided", "one-sided quotes are", "%"),
    _Part("share_stale", "time without the expected quotes is", "%"),
    _Part("spread_bps", "spread is", " bp"),
    _Part("spread_ratio", "spread against its own history is", "×"),
    _Part("depth_ratio", "depth against its own history is", "×", low_is_bad=True),
    _Part("r2", "order flow explains of the moves of the mid", "%", low_is_bad=True),
    _Part("vpin_percentile", "toxicity (VPIN) ranks in its own history at", "%"),
    _Part("feed_age_ratio", "age of the feed against the expected cadence is", "×"),
)

_LABELS = {
    "n_quotes": "number of quotes",
    "share_invalid": "invalid quotes",
    "share_crossed": "crossed quotes",
    "share_one_sided": "one-sided quotes",
    "share_stale": "stale time",
    "spread_bps": "spread",
    "spread_ratio": "spread history",
    "depth_ratio": "depth history",
    "r2": "R² of order flow",
    "vpin_percentile": "VPIN percentile",
    "feed_age_ratio": "feed age",
}


def tape_health(inputs: HealthInputs, knobs: HealthKnobs | None = None) -> TapeHealth:
    """Score, grade and reasons of a tape.

    score = 100 · Π (1 − weight_i · badness_i) · (1 − unknown_penalty)^u, rounded to 0.1, where badness_i goes
    linearly from 0 at ``warn`` to 1 at ``fail`` and u counts the parts that are not known: the score is never
    above what the worst part leaves, and more badness anywhere never raises it. Without quotes it is at most
    ``no_quotes_cap`` and the grade at best ``thin``. A part that is not known is never taken for a good one:
    losing a good number lowers the score.

    Parameters
    ----------
    inputs : HealthInputs
        NaN where not known. Ratios are formed here; they are not known where the history or cadence is not,
        or is zero.
    knobs : HealthKnobs or None
        None: the defaults.

    Returns
    -------
    TapeHealth
        ``reasons``: what the evidence rests on, then parts beyond their ``warn``, the costliest first, then
        what is not known. ``parts``: the number of each part, None where not known.

    Raises
    ------
    BadInput
        A negative or infinite number, a share outside [0, 1], or knobs whose limits do not make a ramp.
    """
    knobs = knobs or HealthKnobs()
    _check_inputs(inputs)
    _check_knobs(knobs)
    values = _values(inputs)
    lost = {p.name: _lost(p, values[p.name], knobs) for p in _PARTS}
    unknown = [p.name for p in _PARTS if math.isnan(values[p.name])]
    score = (
        100.0
        * math.prod(1.0 - cost for cost in lost.values())
        * (1.0 - knobs.unknown_penalty) ** len(unknown)
    )
    quoted = inputs.evidence in _WITH_QUOTES
    score = round(score if quoted else min(score, knobs.no_quotes_cap), 1)
    bad = sorted((p for p in _PARTS if lost[p.name] > 0.0), key=lambda p: -lost[p.name])
    reasons = [] if quoted else [f"no quotes: the tape rests on {inputs.evidence} alone"]
    reasons += [p.say(values[p.name], getattr(knobs, f"{p.name}_warn")) for p in bad]
    if unknown:
        reasons.append("not known: " + ", ".join(_LABELS[name] for name in unknown))
    return TapeHealth(
        score=score,
        grade=_grade(score, quoted, knobs),
        reasons=tuple(reasons),
        parts={name: None if math.isnan(value) else value for name, value in values.items()},
    )


def _values(inputs: HealthInputs) -> dict[str, float]:
    ratios = {
        "spread_ratio": _ratio(inputs.spread_bps, inputs.spread_history_bps),
        "depth_ratio": _ratio(inputs.depth, inputs.depth_history),
        "feed_age_ratio": _ratio(inputs.feed_age_s, inputs.expected_cadence_s),
    }
    return {p.name: ratios[p.name] if p.name in ratios else float(getattr(inputs, p.name)) for p in _PARTS}


def _ratio(value: float, base: float) -> float:
    return min(value / base, _LARGEST_RATIO) if base > 0.0 else math.nan


def _lost(part: _Part, value: float, knobs: HealthKnobs) -> float:
    """weight · clip((value − warn) / (fail − warn), 0, 1); 0 where not known."""
    if math.isnan(value):
        return 0.0
    warn, fail = getattr(knobs, f"{part.name}_warn"), getattr(knobs, f"{part.name}_fail")
    badness: float = min(1.0, max(0.0, (value - warn) / (fail - warn)))
    return float(getattr(knobs, f"{part.name}_weight")) * badness


def _grade(score: float, quoted: bool, knobs: HealthKnobs) -> Grade:
    if score >= knobs.healthy_min:
        return "healthy" if quoted else "thin"
    if score >= knobs.thin_min:
        return "thin"
    return "stressed" if score >= knobs.stressed_min else "broken"


def _number(value: float, unit: str) -> str:
    if unit == "%":
        return f"{100.0 * value:.1f} %"
    return f"{value:.0f}{unit}" if value >= 100.0 else f"{value:.3g}{unit}"


def _check_inputs(inputs: HealthInputs) -> None:
    for field in fields(inputs):
        value = getattr(inputs, field.name)
        if field.name == "evidence":
            continue
        share = field.name.startswith("share_") or field.name in ("r2", "vpin_percentile")
        if math.isinf(value) or value < 0.0 or (share and value > 1.0):
            raise BadInput(
                expected="a share in [0, 1] or NaN" if share else "a finite number ≥ 0 or NaN",
                found=str(value),
                where=f"HealthInputs.{field.name}",
            )


def _check_knobs(knobs: HealthKnobs) -> None:
    for part in _PARTS:
        warn, fail = getattr(knobs, f"{part.name}_warn"), getattr(knobs, f"{part.name}_fail")
        weight = getattr(knobs, f"{part.name}_weight")
        if not (fail < warn if part.low_is_bad else warn < fail) or not 0.0 <= weight <= 1.0:
            raise BadInput(
                expected="fail worse than warn and a weight in [0, 1]",
                found=f"warn={warn}, fail={fail}, weight={weight}",
                where=f"HealthKnobs.{part.name}",
            )
    ordered = 0.0 <= knobs.stressed_min <= knobs.thin_min <= knobs.healthy_min <= 100.0
    if not ordered or not 0.0 <= knobs.no_quotes_cap <= 100.0 or not 0.0 <= knobs.unknown_penalty < 1.0:
        raise BadInput(
            expected="grades in order, a cap in [0, 100], a penalty in [0, 1)",
            found=f"{knobs.stressed_min}, {knobs.thin_min}, {knobs.healthy_min}, "
            f"{knobs.no_quotes_cap}, {knobs.unknown_penalty}",
            where="HealthKnobs",
        )
