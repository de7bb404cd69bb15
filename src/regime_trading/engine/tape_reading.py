"""One tape becomes features: measured, judged, and every number that is not known named with its reason. Pure.

The same reading serves a whole file (``regime tape``), the last bar of a run and every bar of a history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from regime_trading.core.analysis import SpreadAtHorizon
from regime_trading.core.market_intelligence import HealthSettings, MarketIntelligence
from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.schemas import (
    MicrostructureFeatures,
    TapeCounts,
    TapeMicroprice,
    TapeOrderFlow,
    TapeSpread,
    TapeTrades,
)
from regime_trading.core.tape import EvidenceGrade, QuoteRows, TapeChunk, TapeTally
from regime_trading.tools.microprice import Microprice, MicropriceCounts
from regime_trading.tools.microstructure import BucketSeries, TapeMeasures, TapeParams, TapePass
from regime_trading.tools.order_flow import OrderFlowBuckets, OrderFlowFit, order_flow_fit
from regime_trading.tools.tape_health import HealthInputs, HealthKnobs, tape_health
from regime_trading.tools.toxicity import Vpin, aggressor_share, kyle_lambda, own_percentile

Book = Literal["two_sided", "locked", "crossed", "one_sided"]
SECOND_NS = 1_000_000_000
_STALE_MIN_ROWS = 3.0  #: rows a bucket must be expected to hold before an empty one counts as stale


@dataclass(frozen=True, slots=True)
class TapeHistory:
    """Medians of the tape's own past; NaN where there is none."""

    spread_bps: float = math.nan
    depth: float = math.nan


@dataclass(frozen=True, slots=True)
class TapeReading:
    """Features of one stretch of tape, and its buckets for the chart."""

    features: MicrostructureFeatures
    buckets: BucketSeries


def tape_params(knobs: MarketIntelligence, day_edges_ns: I8, interval_ns: int | None = None) -> TapeParams:
    """The cut of a tape, as the settings say; ``interval_ns`` replaces theirs."""
    said = knobs.tape
    return TapeParams(
        interval_ns=round(float(said.ofi_interval_s) * SECOND_NS) if interval_ns is None else interval_ns,
        session_gap_ns=said.session_gap_s * SECOND_NS,
        r2_window_ns=said.r2_window_s * SECOND_NS,
        horizons_ns=tuple(s * SECOND_NS for s in said.horizons_s),
        headline_horizon_ns=said.headline_horizon_s * SECOND_NS,
        day_edges_ns=day_edges_ns,
    )


def session_starts(day_edges_ns: I8, breaks_ns: tuple[int, ...]) -> I8:
    """Every instant at which a session begins anew: trading days, and the ends of halts."""
    return np.unique(np.concatenate([day_edges_ns, np.array(breaks_ns, dtype=np.int64)]))


def health_knobs(said: HealthSettings) -> HealthKnobs:
    """Knobs of the health score as plain numbers."""
    return HealthKnobs(**{name: float(value) for name, value in dict(said).items()})


def read_tape(
    symbol: str,
    evidence: EvidenceGrade,
    chunks: Callable[[], Iterable[TapeChunk]],
    knobs: MarketIntelligence,
    params: TapeParams,
    *,
    tally: Callable[[], TapeTally] | None = None,
    as_of_ns: int | None = None,
    history: TapeHistory | None = None,
    notes: tuple[str, ...] = (),
) -> TapeReading:
    """Measure a tape and judge its health.

    Parameters
    ----------
    symbol : str
    evidence : str
        Best grade the tape can give.
    chunks : callable
        The tape from its beginning; called twice where it has trades (equal-volume buckets need its volume).
    knobs : MarketIntelligence
    params : TapeParams
    tally : callable, optional
        What reading left out, asked after the chunks were taken.
    as_of_ns : int, optional
        When the tape is judged; at its own last event where None.
    history : TapeHistory, optional
        The tape's own past.
    """
    micro = MicropriceCounts(n_imbalance=knobs.tape.microprice_bins)
    deep = _Levels(params) if evidence == "L2" else None

    def count(ts_ns: I8, bid: F8, ask: F8, bid_sz: F8, ask_sz: F8, opens: B1) -> None:
        micro.update(bid, ask, bid_sz, ask_sz, opens)

    taking, book = TapePass(params, quote_sink=count), None
    for chunk in chunks():
        taking.update(chunk)
        book = _book(chunk.quotes) if len(chunk.quotes) else book
        if deep is not None:
            deep.update(chunk)
    found = taking.result()
    toxic = _vpin(chunks, params, found, knobs.tape.vpin_buckets)
    fit = None if deep is None else deep.fit()
    return TapeReading(
        _Reading(symbol, evidence, found, params, micro, toxic, fit, book).features(
            None if tally is None else tally(), knobs, as_of_ns, history or TapeHistory(), notes
        ),
        found.buckets,
    )


def _book(quotes: QuoteRows) -> Book:
    """What the last row says."""
    bid, ask = float(quotes.bid_px[-1]), float(quotes.ask_px[-1])
    sizes = float(quotes.bid_sz[-1]), float(quotes.ask_sz[-1])
    if not (0.0 < bid < math.inf and 0.0 < ask < math.inf and min(sizes) > 0.0):
        return "one_sided"
    return "crossed" if bid > ask else "locked" if bid == ask else "two_sided"


class _Levels:
    """Order flow at every level, from the rows that have depth."""

    def __init__(self, params: TapeParams) -> None:
        self._buckets = OrderFlowBuckets(
            interval_ns=params.interval_ns,
            session_gap_ns=params.session_gap_ns,
            day_edges_ns=params.day_edges_ns,
        )
        self.levels = 1

    def update(self, chunk: TapeChunk) -> None:
        levels = chunk.quotes.levels
        if levels is not None and len(chunk.quotes):
            self.levels = max(self.levels, levels.bid_px.shape[1])
            self._buckets.update(chunk.quotes)

    def fit(self) -> tuple[int, OrderFlowFit]:
        return self.levels, order_flow_fit(self._buckets.result())


def _vpin(
    chunks: Callable[[], Iterable[TapeChunk]], params: TapeParams, found: TapeMeasures, n_buckets: int
) -> tuple[float, float]:
    """VPIN over the last ``n_buckets`` of twice as many equal-volume buckets, and its rank in its own past."""
    if not found.trades.volume > 0.0:
        return math.nan, math.nan
    vpin = Vpin(found.trades.volume / (2 * n_buckets), n_buckets=n_buckets)

    def take(ts_ns: I8, price: F8, size: F8, sign: I1) -> None:
        vpin.update(ts_ns, size, aggressor_share(sign))

    again = TapePass(params, trade_sink=take)
    for chunk in chunks():
        again.update(chunk)
    again.result()
    return vpin.value(), own_percentile(vpin.series())


@dataclass(frozen=True, slots=True)
class _Reading:
    """Everything measured of one stretch, on its way to the schema."""

    symbol: str
    evidence: EvidenceGrade
    found: TapeMeasures
    params: TapeParams
    micro: MicropriceCounts
    toxic: tuple[float, float]
    deep: tuple[int, OrderFlowFit] | None
    book: Book | None

    def features(
        self,
        tally: TapeTally | None,
        knobs: MarketIntelligence,
        as_of_ns: int | None,
        history: TapeHistory,
        notes: tuple[str, ...],
    ) -> MicrostructureFeatures:
        found, unknown = self.found, dict[str, str]()
        first = found.first_ns if found.first_ns is not None else (as_of_ns or 0)
        last = found.last_ns if found.last_ns is not None else first
        said = {
            "spread": self._spread(unknown),
            "ofi": self._flow(unknown),
            "microprice": self._microprice(unknown),
            "trades": self._trades(unknown),
        }
        return MicrostructureFeatures(
            symbol=self.symbol,
            start_ns=first,
            end_ns=last,
            evidence=self.evidence,
            counts=self._counts(tally),
            health=tape_health(self._health_inputs(as_of_ns, history), health_knobs(knobs.health)),
            book=self.book,
            unknown=unknown,
            notes=notes,
            **said,
        )

    def _counts(self, tally: TapeTally | None) -> TapeCounts:
        c = self.found.counts
        removed = {} if tally is None else tally.removed
        return TapeCounts(
            rows=c.rows + sum(removed.values()),
            used=c.used,
            crossed=c.crossed,
            locked=c.locked,
            one_sided=c.one_sided,
            non_positive=c.non_positive,
            out_of_order=0 if tally is None else tally.out_of_order,
            repeated_ts=c.repeated_ts,
            removed=removed,
        )

    def _spread(self, unknown: dict[str, str]) -> TapeSpread:
        found = self.found
        no_time = self._no_quote() or "no time passed between two quotes of a session"
        no_cost = self._no_trade() or "no trade had a quote of its session before it"
        headline = found.trades.at(self.params.headline_horizon_ns)
        seconds = self.params.headline_horizon_ns // SECOND_NS
        no_later = self._no_trade() or f"no trade's session reaches {seconds} s beyond it"
        return TapeSpread(
            time_weighted_bps=_known(found.spread_bps, "spread.time_weighted_bps", no_time, unknown),
            time_weighted_px=_known(found.spread_px, "spread.time_weighted_px", no_time, unknown),
            effective_bps=_known(
                found.trades.effective.effective_bps, "spread.effective_bps", no_cost, unknown
            ),
            realised_bps=_known(headline.realised_bps, "spread.realised_bps", no_later, unknown),
            impact_bps=_known(headline.impact_bps, "spread.impact_bps", no_later, unknown),
            last_bps=None if found.last is None else (found.last.ask - found.last.bid) / found.last.mid * 1e4,
            horizons=tuple(
                SpreadAtHorizon(
                    horizon_s=int(cost.horizon_ns or 0) // SECOND_NS,
                    realised_bps=_plain(cost.realised_bps),
                    impact_bps=_plain(cost.impact_bps),
                    n=cost.n,
                )
                for cost in found.trades.horizons
            ),
        )

    def _flow(self, unknown: dict[str, str]) -> TapeOrderFlow:
        found, why = self.found, self._no_quote()
        no_fit = why or f"fewer than 3 buckets, or order flow does not vary over {found.fit.n}"
        no_r2 = why or f"the mid or order flow does not vary over {found.fit.n} buckets"
        levels, deep = (1, None) if self.deep is None else self.deep
        r2_deep = None if deep is None else _plain(deep.integrated.r2)
        if r2_deep is None:
            unknown["ofi.r2_integrated"] = (
                "no depth beyond the best quotes"
                if deep is None
                else "too few buckets before this one for its weights"
            )
        return TapeOrderFlow(
            sum=_known(found.ofi_sum if found.counts.used else math.nan, "ofi.sum", why, unknown),
            interval_s=self.params.interval_ns / SECOND_NS,
            beta=_known(found.fit.beta, "ofi.beta", no_fit, unknown),
            r2=_known(found.fit.r2, "ofi.r2", no_r2, unknown),
            r2_window_mean=_known(found.r2_window_mean, "ofi.r2_window_mean", no_r2, unknown),
            n=found.fit.n,
            depth=_known(found.depth, "ofi.depth", why or "no time passed between two quotes", unknown),
            levels=levels,
            r2_integrated=r2_deep,
        )

    def _microprice(self, unknown: dict[str, str]) -> TapeMicroprice:
        last, fitted = self.found.last, self.micro.fit()
        micro = math.nan if last is None or fitted is None else _micro_at(fitted, self.found)
        why = self._no_quote() or (
            self.micro.why_not() if fitted is None else "the last state was not seen before"
        )
        mid = math.nan if last is None else last.mid
        return TapeMicroprice(
            last=_known(micro, "microprice.last", why, unknown),
            mid_last=_known(mid, "microprice.mid_last", self._no_quote(), unknown),
            gap_bps=_known((micro - mid) / mid * 1e4, "microprice.gap_bps", why, unknown),
            weighted_mid_last=_known(
                math.nan if last is None else last.weighted_mid,
                "microprice.weighted_mid_last",
                self._no_quote(),
                unknown,
            ),
        )

    def _trades(self, unknown: dict[str, str]) -> TapeTrades:
        trades, buckets, why = self.found.trades, self.found.buckets, self._no_trade()
        traded = trades.n > 0 and trades.volume > 0.0
        kyle = kyle_lambda(buckets.d_mid, buckets.signed_volume).slope if traded else math.nan
        no_kyle = why or self._no_quote() or "signed volume does not vary over fewer than 3 buckets"
        return TapeTrades(
            n=trades.n,
            signed_volume=_known(
                trades.signed_volume if traded else math.nan, "trades.signed_volume", why, unknown
            ),
            kyle_lambda=_known(kyle, "trades.kyle_lambda", no_kyle, unknown),
            vpin=_known(self.toxic[0], "trades.vpin", why or "too few trades to fill the buckets", unknown),
            volume=_known(trades.volume if traded else math.nan, "trades.volume", why, unknown),
            executions=trades.executions,
            signed_by=dict(trades.signed_by),
            excluded={name: n for name, n in (trades.excluded | trades.no_cost).items() if n},
        )

    def _no_quote(self) -> str:
        return "" if self.found.counts.used else "no usable quote"

    def _no_trade(self) -> str:
        return "" if self.found.trades.n else "no trades"

    def _health_inputs(self, as_of_ns: int | None, history: TapeHistory) -> HealthInputs:
        found, c = self.found, self.found.counts
        rows = max(c.rows, 1)
        invalid = c.crossed + c.one_sided + c.non_positive
        last = None if found.last is None else found.last.ts_ns
        judged = last if as_of_ns is None else as_of_ns
        age = math.nan if last is None or judged is None else max(judged - last, 0) / SECOND_NS
        return HealthInputs(
            evidence=self.evidence,
            n_quotes=float(c.used),
            share_invalid=invalid / rows if c.rows else math.nan,
            share_crossed=c.crossed / rows if c.rows else math.nan,
            share_one_sided=c.one_sided / rows if c.rows else math.nan,
            share_stale=_share_stale(found.buckets),
            spread_bps=found.spread_bps,
            spread_history_bps=history.spread_bps,
            depth=found.depth,
            depth_history=history.depth,
            r2=found.fit.r2,
            vpin_percentile=self.toxic[1],
            feed_age_s=age,
            expected_cadence_s=_cadence_s(found.buckets, self.params.interval_ns),
        )


def _micro_at(fitted: Microprice, found: TapeMeasures) -> float:
    last = found.last
    assert last is not None
    return float(fitted.at(last.bid, last.ask, last.bid_sz, last.ask_sz))


def _share_stale(buckets: BucketSeries) -> float:
    """Share of buckets without a quote where at least three were to be expected; NaN where fewer were."""
    if not len(buckets) or buckets.rows.sum() < _STALE_MIN_ROWS * len(buckets):
        return math.nan
    return float((buckets.rows == 0).mean())


def _cadence_s(buckets: BucketSeries, interval_ns: int) -> float:
    """Mean time between two quotes within sessions; NaN without any."""
    rows = int(buckets.rows.sum())
    return len(buckets) * interval_ns / SECOND_NS / rows if rows else math.nan


def _known(value: float, path: str, reason: str, unknown: dict[str, str]) -> float | None:
    """The value, or null with its reason."""
    if math.isfinite(value):
        return float(value)
    unknown[path] = reason or "not defined"
    return None


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def bucket_columns(buckets: BucketSeries) -> dict[str, I8 | F8 | B1]:
    """The buckets as columns of a table; ``ofi_cumulative`` starts anew with each session."""
    total = np.cumsum(buckets.ofi)
    starts = np.flatnonzero(np.diff(buckets.session, prepend=-1))
    before = np.concatenate(([0.0], total))[starts]
    sizes = np.diff(np.append(starts, len(total)))
    return {
        "ts_event": buckets.edge_ns,
        "session": buckets.session,
        "mid": buckets.mid,
        "spread_bps": buckets.spread_bps,
        "ofi": buckets.ofi,
        "ofi_cumulative": total - np.repeat(before, sizes),
        "depth": buckets.depth,
        "signed_volume": buckets.signed_volume,
        "volume": buckets.volume,
        "quotes": buckets.rows,
    }
