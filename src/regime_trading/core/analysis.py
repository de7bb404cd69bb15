"""What analysis says of a market: structure, risk state, regime and tape. Part of ``core.schemas``.

A number that is not known is null, never 0, and a reason stands beside it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from regime_trading.core.rules import Frozen
from regime_trading.core.tape import EvidenceGrade

Ident = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
Symbol = Annotated[str, Field(pattern=r"^[A-Za-z0-9^=./:_-]{1,40}$")]
Confidence = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Known = Annotated[float, Field(allow_inf_nan=False)]


class FrameRef(Frozen):
    """Handle to a large table in the artifacts folder: pipeline state holds these, never frames."""

    path: str
    sha256: str
    rows: int
    columns: tuple[str, ...] = ()


# --- regime -----------------------------------------------------------------------------------------------


class StructureLabel(StrEnum):
    TRENDING = "trending"
    MEAN_REVERTING = "mean_reverting"
    RANDOM = "random"
    UNKNOWN = "unknown"


class RegimeLabel(StrEnum):
    """The label the rest of the system uses. The order is the order of the codes in arrays."""

    TRENDING = "trending"
    MEAN_REVERTING = "mean_reverting"
    RANDOM = "random"
    VOLATILE_TRENDING = "volatile_trending"
    UNCERTAIN = "uncertain"


REGIME_LABELS: tuple[str, ...] = tuple(label.value for label in RegimeLabel)


class Structure(Frozen):
    """Does the return series trend, revert, or neither?

    ``variance_ratio`` is the one at the most extreme lag; ``p_value`` that of the joint test; ``p_values`` of
    every test by its name (``joint``, ``variance_ratio_2`` …, ``hurst``); ``hurst_ci`` the 95 % interval.
    """

    label: StructureLabel
    confidence: Confidence
    variance_ratio: Known | None
    p_value: Known | None
    half_life_bars: Known | None
    n_obs: int
    hurst: Known | None = None
    hurst_ci: tuple[Known, Known] | None = None
    p_values: dict[str, Known] = Field(default_factory=dict)
    reason: str = ""


class RiskState(Frozen):
    """Calm (0) to turbulent (K−1), causal.

    ``margin`` in [0, 1] says how far the model is from changing its mind, ``probability`` is the filtered
    probability of the state, ``transition`` [K, K] the probabilities from row to column in one bar (null where
    the sample has no move from that state), ``flips_per_bar`` how often the state changed over the last
    ``flip_window_bars`` known bars.
    """

    state: int | None
    n_states: int
    margin: Confidence
    expected_duration_bars: Known | None
    fitted_at_ns: int | None
    probability: Confidence | None = None
    transition: tuple[tuple[Known | None, ...], ...] | None = None
    flips_per_bar: Known | None = None
    model: str = ""
    reason: str = ""


class Evidence(Frozen):
    """One thing that was weighed for a label. Only ``structure`` and ``risk`` make one; everything else may
    lower the confidence to ``confidence_cap``, never raise it."""

    source: Literal["structure", "risk", "cross_asset", "tape"]
    grade: EvidenceGrade
    finding: str
    confidence_cap: Confidence


class TierRegime(Frozen):
    """Regime on the bars of one tier (LT, MT, ST). ``label`` is null where the tier is unavailable."""

    tier: Literal["LT", "MT", "ST"]
    bar_s: int
    label: RegimeLabel | None
    confidence: Confidence = 0.0
    risk_state: int | None = None
    reason: str = ""


class Regime(Frozen):
    """Regime of one symbol (or of the market proxy) at ``as_of``, with everything that was weighed for it."""

    symbol: Symbol
    as_of_ns: int
    label: RegimeLabel
    confidence: Confidence
    structure: Structure
    risk: RiskState
    evidence: tuple[Evidence, ...] = ()
    tiers: tuple[TierRegime, ...] = ()


# --- tape -------------------------------------------------------------------------------------------------


class TapeCounts(Frozen):
    """What became of the quote rows: ``rows = used + crossed + one_sided + non_positive + Σ removed``.

    Each row is counted once, under the first that applies; ``locked``, ``out_of_order`` and ``repeated_ts``
    rows are kept. ``removed`` are rows that the format's own rules leave out before any measure.
    """

    rows: int
    used: int
    crossed: int
    locked: int
    one_sided: int
    non_positive: int
    out_of_order: int
    repeated_ts: int
    removed: dict[str, int] = Field(default_factory=dict)


class SpreadAtHorizon(Frozen):
    """Realised spread and price impact ``horizon_s`` after the trade; effective = realised + impact."""

    horizon_s: int
    realised_bps: Known | None
    impact_bps: Known | None
    n: int


class TapeSpread(Frozen):
    """Quoted spread, time-weighted; effective, realised and impact, size-weighted, at 10 s; ``last_bps`` is that of
    the last kept quote."""

    time_weighted_bps: Known | None
    time_weighted_px: Known | None
    effective_bps: Known | None
    realised_bps: Known | None
    impact_bps: Known | None
    last_bps: Known | None = None
    horizons: tuple[SpreadAtHorizon, ...] = ()


class TapeOrderFlow(Frozen):
    """Event order-flow imbalance and what it explains: Δmid = a + beta · OFI over ``interval_s`` buckets.

    ``depth`` is the mean size at the touch, (B + A) / 2, time-weighted. ``levels`` and ``r2_integrated``
    are those of the integrated OFI where the tape has depth.
    """

    sum: Known | None
    interval_s: float
    beta: Known | None
    r2: Known | None
    r2_window_mean: Known | None
    n: int
    depth: Known | None = None
    levels: int = 1
    r2_integrated: Known | None = None


class TapeMicroprice(Frozen):
    """Stoikov's microprice at the last kept quote, the mid, their gap; the weighted mid under its own name."""

    last: Known | None
    mid_last: Known | None
    gap_bps: Known | None
    weighted_mid_last: Known | None = None


class TapeTrades(Frozen):
    """``n`` trades after executions of one aggressive order were merged; ``signed_by`` counts how each got its
    sign (``aggressor``, ``quote``, ``tick``, ``none``)."""

    n: int
    signed_volume: Known | None
    kyle_lambda: Known | None
    vpin: Known | None
    volume: Known | None = None
    executions: int = 0
    signed_by: dict[str, int] = Field(default_factory=dict)
    excluded: dict[str, int] = Field(default_factory=dict)


class BarSpreads(Frozen):
    """Spread estimates from bars alone, basis points; null where not identified, with the reason beside."""

    edge_bps: Known | None = None
    roll_bps: Known | None = None
    corwin_schultz_bps: Known | None = None
    abdi_ranaldo_bps: Known | None = None
    identified: bool = False
    n_bars: int = 0
    reason: str = ""


class TapeHealth(Frozen):
    """Score 0 to 100 and its grade, the reasons that set it, and the numbers behind (``parts``)."""

    score: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
    grade: Literal["healthy", "thin", "stressed", "broken"]
    reasons: tuple[str, ...] = ()
    parts: dict[str, Known | None] = Field(default_factory=dict)


class MicrostructureFeatures(Frozen):
    """Everything one tape says of one symbol between ``start_ns`` and ``end_ns`` (``contracts.md`` 3).

    ``book`` is what the last quote row says, kept or not. ``unknown`` gives the reason of every null by its path
    (``spread.effective_bps``).
    """

    symbol: Symbol
    start_ns: int
    end_ns: int
    evidence: EvidenceGrade
    counts: TapeCounts
    spread: TapeSpread
    ofi: TapeOrderFlow
    microprice: TapeMicroprice
    trades: TapeTrades
    health: TapeHealth
    book: Literal["two_sided", "locked", "crossed", "one_sided"] | None = None
    unknown: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class TapeSummary(Frozen):
    """What the tape says and on which grade of evidence it rests (L2 > L1 > trades > bars).

    ``features`` has one entry for every symbol whose tape was read, ``series`` is the table behind the charts,
    ``bars`` what the bars alone say of the spread of every other symbol.
    """

    evidence: EvidenceGrade
    confidence_cap: Confidence
    features: tuple[MicrostructureFeatures, ...] = ()
    series: FrameRef | None = None
    bars: dict[Symbol, BarSpreads] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
