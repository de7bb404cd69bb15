"""What one tape says: the numbers of :func:`tools.microstructure.measure` and how they follow from its sums.

A number that is not defined is NaN, never 0. Δmid on order-flow imbalance: Cont, Kukanov and Stoikov 2014,
*J. Financial Econometrics* 12:47.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from regime_trading.core.numbers import F8, I8
from regime_trading.tools.quote_pass import TapeParams
from regime_trading.tools.trade_pass import TradeSums

BPS = 1e4


@dataclass(frozen=True, slots=True)
class QuoteCounts:
    """``rows = used + crossed + one_sided + non_positive``; ``locked`` and ``repeated_ts`` rows are used."""

    rows: int
    used: int
    crossed: int
    locked: int
    one_sided: int
    non_positive: int
    repeated_ts: int


@dataclass(frozen=True, slots=True)
class BucketSeries:
    """Half-open buckets [edge − interval, edge) in time order, empty ones inside a session included.

    Parameters
    ----------
    edge_ns, session, rows : int64 [K]
        End of the bucket; number of its session from 0; kept quote rows in it.
    mid : float64 [K]
        Just before the edge, or at the last row of the session where that comes first.
    d_mid, ofi : float64 [K]
        ``mid`` minus the mid just before the bucket (in a session's first bucket: minus its first mid), and
        Σ e_n. Both 0 in an empty bucket.
    spread_bps, depth : float64 [K]
        Time-weighted within the bucket, the state it began with included; NaN where no time passed.
    signed_volume, volume : float64 [K]
        Of the trades in the bucket that have a quote of the session before them; 0 where there is none.
    """

    edge_ns: I8
    session: I8
    rows: I8
    mid: F8
    d_mid: F8
    ofi: F8
    spread_bps: F8
    depth: F8
    signed_volume: F8
    volume: F8

    def __len__(self) -> int:
        return len(self.edge_ns)


@dataclass(frozen=True, slots=True)
class Line:
    """``y = intercept + beta · x`` by ordinary least squares over ``n`` points; NaN where not defined."""

    beta: float
    intercept: float
    r2: float
    n: int


@dataclass(frozen=True, slots=True)
class LastQuote:
    """The last kept quote; ``weighted_mid = a·I + b·(1 − I)`` with ``I = B/(B + A)``."""

    ts_ns: int
    bid: float
    ask: float
    bid_sz: float
    ask_sz: float
    mid: float
    weighted_mid: float


@dataclass(frozen=True, slots=True)
class TradeCost:
    """Costs of ``n`` trades, basis points of the mid before each, weighted by size; NaN where ``n`` is 0.

    ``effective = realised + impact`` over the same trades. Without a horizon the last two are NaN.
    """

    n: int
    effective_bps: float
    realised_bps: float
    impact_bps: float
    horizon_ns: int | None = None


@dataclass(frozen=True, slots=True)
class TradeMeasures:
    """Trades of continuous trading.

    Parameters
    ----------
    executions, n : int
        Trade rows seen, and trades after executions of one aggressive order were merged.
    excluded : dict of str to int
        Executions that are in no measure, by reason (``not_continuous``, ``invalid``).
    signed_by : dict of str to int
        Trades by what gave their sign (``aggressor``, ``quote``, ``tick``, ``none``).
    no_cost : dict of str to int
        Trades in no effective spread, by reason (``before_first_quote``, ``no_quote_in_session``, ``hidden``,
        ``unsigned``).
    volume, signed_volume : float
        Hidden executions included; NaN where there was no trade.
    effective : TradeCost
        Over all trades that have one.
    horizons : tuple of TradeCost
        Over the trades whose session's tape reaches the horizon.
    """

    executions: int
    n: int
    excluded: dict[str, int]
    signed_by: dict[str, int]
    no_cost: dict[str, int]
    volume: float
    signed_volume: float
    effective: TradeCost
    horizons: tuple[TradeCost, ...]

    def at(self, horizon_ns: int) -> TradeCost:
        """Costs at one of the horizons."""
        return next(cost for cost in self.horizons if cost.horizon_ns == horizon_ns)


@dataclass(frozen=True, slots=True)
class TapeMeasures:
    """Everything the best quotes and the trades of one tape say; undefined numbers are NaN.

    Parameters
    ----------
    counts : QuoteCounts
    first_ns, last_ns : int or None
        Earliest and latest time of any row, dropped ones included.
    sessions : int
    spread_px, spread_bps, depth : float
        Time-weighted quoted spread, and mean size at the touch ``(B + A)/2``.
    ofi_sum : float
        Σ e_n over kept rows.
    buckets : BucketSeries
    fit : Line
        Δmid on order-flow imbalance, over buckets.
    r2_window_mean : float
        Mean R² of the same over consecutive windows; windows without one are left out.
    last : LastQuote or None
    trades : TradeMeasures
    """

    counts: QuoteCounts
    first_ns: int | None
    last_ns: int | None
    sessions: int
    spread_px: float
    spread_bps: float
    depth: float
    ofi_sum: float
    buckets: BucketSeries
    fit: Line
    r2_window_mean: float
    last: LastQuote | None
    trades: TradeMeasures


def ols(x: F8, y: F8) -> Line:
    """``beta = Σ(x − x̄)(y − ȳ)/Σ(x − x̄)²``, ``r2 = (Σ(x − x̄)(y − ȳ))²/(Σ(x − x̄)² Σ(y − ȳ)²)``.

    All NaN with fewer than 3 points or where ``x`` does not vary; ``r2`` NaN where ``y`` does not.

    Parameters
    ----------
    x, y : float64 [n]
        Finite.
    """
    n = len(x)
    if n < 3 or x.max() == x.min():
        return Line(math.nan, math.nan, math.nan, n)
    dx, dy = x - x.mean(), y - y.mean()
    sxx, sxy, syy = float((dx * dx).sum()), float((dx * dy).sum()), float((dy * dy).sum())
    beta = sxy / sxx
    r2 = min(sxy / sxx * (sxy / syy), 1.0) if y.max() > y.min() else math.nan
    return Line(beta, float(y.mean() - beta * x.mean()), r2, n)


def window_r2_mean(buckets: BucketSeries, interval_ns: int, window_ns: int) -> float:
    """Mean of the R² of Δmid on order-flow imbalance over windows aligned from midnight UTC.

    A bucket belongs to the window in which it begins. Windows without an R² (:func:`ols`) are left out; NaN
    where none has one.
    """
    window = (buckets.edge_ns - interval_ns) // window_ns
    cuts = np.flatnonzero(np.diff(window)) + 1
    parts = zip(np.split(buckets.ofi, cuts), np.split(buckets.d_mid, cuts), strict=True)
    known = [r2 for r2 in (ols(x, y).r2 for x, y in parts) if not math.isnan(r2)]
    return float(np.mean(known)) if known else math.nan


# --- assembly ---------------------------------------------------------------------------------------------


def assemble(
    params: TapeParams, quotes: tuple[Any, Any], trades: TradeSums, first_ns: int | None, last_ns: int | None
) -> TapeMeasures:
    """The numbers of a tape from the sums of its two passes (``QuotePass.finish`` and ``TradePass.sums``)."""
    carry, finished = quotes
    used, held = int(carry["used"]), float(carry["total_weight_ns"])
    buckets = _series(finished, trades.flow, params.interval_ns)
    return TapeMeasures(
        counts=QuoteCounts(*(int(carry[name]) for name in QuoteCounts.__slots__)),
        first_ns=first_ns,
        last_ns=last_ns,
        sessions=int(carry["session"]) + 1,
        spread_px=_ratio(carry["total_spread_px"], held),
        spread_bps=BPS * _ratio(carry["total_spread"], held),
        depth=0.5 * _ratio(carry["total_depth"], held),
        ofi_sum=float(carry["total_ofi"]) if used else math.nan,
        buckets=buckets,
        fit=ols(buckets.ofi, buckets.d_mid),
        r2_window_mean=window_r2_mean(buckets, params.interval_ns, params.r2_window_ns),
        last=_last(carry) if used else None,
        trades=_trade_measures(trades, params),
    )


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator) / float(denominator) if denominator > 0 else math.nan


def _last(carry: Any) -> LastQuote:
    ts_ns, bid, ask, bid_sz, ask_sz = (carry[name] for name in ("last_ns", "bid", "ask", "bid_sz", "ask_sz"))
    share = float(bid_sz / (bid_sz + ask_sz))
    weighted = float(ask) * share + float(bid) * (1.0 - share)
    return LastQuote(
        int(ts_ns), float(bid), float(ask), float(bid_sz), float(ask_sz), float(carry["mid"]), weighted
    )


def _series(finished: Any, flow: Any, interval_ns: int) -> BucketSeries:
    columns = {name: np.ascontiguousarray(finished[name]) for name in finished.dtype.names}
    signed, volume = np.zeros(len(finished)), np.zeros(len(finished))
    if len(finished):
        first, last = (
            int(finished["edge_ns"].min()),
            int(max(finished["edge_ns"].max(), flow["edge_ns"].max(initial=0))),
        )
        per_session = (last - first) // interval_ns + 1
        keys, wanted = (
            b["session"] * per_session + (b["edge_ns"] - first) // interval_ns for b in (finished, flow)
        )
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        there = keys[at] == wanted
        signed[at[there]], volume[at[there]] = flow["signed_volume"][there], flow["volume"][there]
    spread_bps = BPS * columns.pop("spread")
    return BucketSeries(**columns, spread_bps=spread_bps, signed_volume=signed, volume=volume)


def _cost(cost: Any, horizon_ns: int | None) -> TradeCost:
    effective, impact = (
        BPS * _ratio(cost["effective"], cost["size"]),
        BPS * _ratio(cost["impact"], cost["size"]),
    )
    if horizon_ns is None:
        return TradeCost(int(cost["n"]), effective, math.nan, math.nan)
    return TradeCost(int(cost["n"]), effective, effective - impact, impact, horizon_ns)


def _trade_measures(sums: TradeSums, params: TapeParams) -> TradeMeasures:
    return TradeMeasures(
        executions=sums.executions,
        n=sums.merged,
        excluded=sums.excluded,
        signed_by=sums.signed_by,
        no_cost=sums.no_cost,
        volume=sums.volume if sums.merged else math.nan,
        signed_volume=sums.signed_volume if sums.merged else math.nan,
        effective=_cost(sums.effective[0], None),
        horizons=tuple(_cost(c, h) for c, h in zip(sums.later, params.horizons_ns, strict=True)),
    )
