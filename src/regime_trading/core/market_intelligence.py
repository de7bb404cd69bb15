"""Knobs of market intelligence: what a tape must say, how far each grade of evidence is trusted."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from regime_trading.core.rules import Fraction, Frozen, Number

Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[int, Field(ge=1)]
BarInterval = Annotated[str, StringConstraints(pattern=r"^[1-9]\d*(m|h|d)$")]

_UNIT_S = {"m": 60, "h": 3600, "d": 86_400}


class ConfidenceCaps(Frozen):
    """Highest confidence a regime may have on each grade of evidence: a lower grade never raises one."""

    L2: Fraction = Decimal(1)
    L1: Fraction = Decimal(1)
    trades: Fraction = Decimal("0.9")
    bars: Fraction = Decimal("0.8")

    @model_validator(mode="after")
    def _descending(self) -> ConfidenceCaps:
        if not self.L2 >= self.L1 >= self.trades >= self.bars:
            raise ValueError(
                f"expected L2 ≥ L1 ≥ trades ≥ bars, found {self.L2}, {self.L1}, {self.trades}, {self.bars}"
            )
        return self


class HealthCaps(Frozen):
    """Highest confidence a regime may have on a tape of each health."""

    healthy: Fraction = Decimal(1)
    thin: Fraction = Decimal("0.8")
    stressed: Fraction = Decimal("0.5")
    broken: Fraction = Decimal("0.2")

    @model_validator(mode="after")
    def _descending(self) -> HealthCaps:
        if not self.healthy >= self.thin >= self.stressed >= self.broken:
            raise ValueError(
                "expected healthy ≥ thin ≥ stressed ≥ broken, found "
                f"{self.healthy}, {self.thin}, {self.stressed}, {self.broken}"
            )
        return self


def _seconds(interval: str) -> int:
    return int(interval[:-1]) * _UNIT_S[interval[-1]]


class Tiers(Frozen):
    """Bar interval of the long, medium and short tier; a tier the source has no bars for is unavailable."""

    LT: BarInterval = "1d"
    MT: BarInterval = "4h"
    ST: BarInterval = "15m"

    def seconds(self) -> dict[Literal["LT", "MT", "ST"], int]:
        """Length of each tier's bar, longest tier first."""
        return {"LT": _seconds(self.LT), "MT": _seconds(self.MT), "ST": _seconds(self.ST)}

    @model_validator(mode="after")
    def _descending(self) -> Tiers:
        lengths = list(self.seconds().values())
        if lengths != sorted(set(lengths), reverse=True) or lengths[0] > 86_400:
            raise ValueError(f"expected 1d ≥ LT > MT > ST, found {self.LT}, {self.MT}, {self.ST}")
        return self


class TapeSettings(Frozen):
    """How a tape is measured (``tools.quote_pass.TapeParams``). ``calendar`` gives the trading days of a file
    whose format implies none. ``lookback_s`` is the stretch before a decision that is judged (at least one
    bar); ``regime tape`` judges the whole file."""

    ofi_interval_s: Positive = Decimal(10)
    session_gap_s: Seconds = 1800
    r2_window_s: Seconds = 1800
    horizons_s: tuple[Seconds, ...] = (1, 10, 60, 300)
    headline_horizon_s: Seconds = 10
    calendar: str = "24/7"
    lookback_s: Seconds = 3600
    microprice_bins: Annotated[int, Field(ge=3, le=99)] = 9
    vpin_buckets: Annotated[int, Field(ge=2)] = 50
    history_bars: Count = 20

    @model_validator(mode="after")
    def _fits(self) -> TapeSettings:
        if self.microprice_bins % 2 == 0:
            raise ValueError(f"microprice_bins: expected an odd number, found {self.microprice_bins}")
        if self.headline_horizon_s not in self.horizons_s or list(self.horizons_s) != sorted(
            set(self.horizons_s)
        ):
            raise ValueError(
                f"horizons_s: expected ascending seconds with headline_horizon_s {self.headline_horizon_s} among "
                f"them, found {list(self.horizons_s)}"
            )
        return self


class HealthSettings(Frozen):
    """Where each part of a tape's health begins to be bad (``warn``), is as bad as it can be (``fail``) and how
    much of the score it can take (``weight``, a fraction). Shares and ratios are plain numbers."""

    n_quotes_warn: NonNegative = Decimal(200)
    n_quotes_fail: NonNegative = Decimal(0)
    n_quotes_weight: Fraction = Decimal(1)
    share_invalid_warn: Fraction = Decimal("0.02")
    share_invalid_fail: Fraction = Decimal("0.25")
    share_invalid_weight: Fraction = Decimal(1)
    share_crossed_warn: Fraction = Decimal("0.01")
    share_crossed_fail: Fraction = Decimal("0.15")
    share_crossed_weight: Fraction = Decimal(1)
    share_one_sided_warn: Fraction = Decimal("0.02")
    share_one_sided_fail: Fraction = Decimal("0.25")
    share_one_sided_weight: Fraction = Decimal(1)
    share_stale_warn: Fraction = Decimal("0.05")
    share_stale_fail: Fraction = Decimal("0.60")
    share_stale_weight: Fraction = Decimal(1)
    spread_bps_warn: NonNegative = Decimal(50)
    spread_bps_fail: NonNegative = Decimal(500)
    spread_bps_weight: Fraction = Decimal(1)
    spread_ratio_warn: NonNegative = Decimal("1.5")
    spread_ratio_fail: NonNegative = Decimal(5)
    spread_ratio_weight: Fraction = Decimal("0.85")
    depth_ratio_warn: NonNegative = Decimal("0.5")
    depth_ratio_fail: NonNegative = Decimal("0.05")
    depth_ratio_weight: Fraction = Decimal("0.85")
    r2_warn: Fraction = Decimal("0.20")
    r2_fail: Fraction = Decimal(0)
    r2_weight: Fraction = Decimal("0.30")
    vpin_percentile_warn: Fraction = Decimal("0.90")
    vpin_percentile_fail: Fraction = Decimal(1)
    vpin_percentile_weight: Fraction = Decimal("0.30")
    feed_age_ratio_warn: NonNegative = Decimal(10)
    feed_age_ratio_fail: NonNegative = Decimal(60)
    feed_age_ratio_weight: Fraction = Decimal(1)
    unknown_penalty: Fraction = Decimal("0.03")
    no_quotes_cap: NonNegative = Decimal(60)
    healthy_min: NonNegative = Decimal(80)
    thin_min: NonNegative = Decimal(50)
    stressed_min: NonNegative = Decimal(20)


class MarketIntelligence(Frozen):
    """``market_intelligence`` in ``config/settings.yaml``."""

    confidence_cap: ConfidenceCaps = ConfidenceCaps()
    health_cap: HealthCaps = HealthCaps()
    tiers: Tiers = Tiers()
    tape: TapeSettings = TapeSettings()
    health: HealthSettings = HealthSettings()
