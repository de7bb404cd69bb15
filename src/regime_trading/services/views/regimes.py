"""Regimes and tapes (``/regimes``): the label of each symbol, since when, why its confidence is capped, its moves.

They are read from what a run wrote beside its report (``runs/<run>/market``), which all firms of the run share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from regime_trading.core.errors import BadInput, CheckFailed, NotThere, NotYet
from regime_trading.core.schemas import REGIME_LABELS
from regime_trading.engine.histories import RegimeHistory
from regime_trading.engine.price_table import closes_of
from regime_trading.engine.regime_table import from_parquet
from regime_trading.services.views.artifacts import may_see_run
from regime_trading.services.views.base import (
    Asker,
    Fraction,
    Instant,
    Measured,
    Seconds,
    Shown,
    instant,
    number,
)
from regime_trading.services.views.runs import market_of
from regime_trading.services.views.sources import FirmSources

TRANSITIONS = 30
_HISTORY_BYTES = 256 * 1024 * 1024
Label = Literal["trending", "mean_reverting", "random", "volatile_trending", "uncertain"]
Grade = Literal["healthy", "thin", "stressed", "broken"]


class CapReason(Shown):
    """One thing that was weighed for a label."""

    source: str = Field(
        description="structure and risk make a label; cross_asset and tape may only lower its confidence"
    )
    grade: str = Field(description="of the evidence: bars, trades, L1, L2")
    finding: str
    confidence_cap: Fraction
    binds: bool = Field(description="the confidence is at this cap")


class RiskNow(Shown):
    """Calm (0) to turbulent (states - 1)."""

    state: int | None = Field(description="null = not known")
    states: int
    probability: Fraction | None = Field(description="filtered probability of the state")
    expected_duration_bars: Measured | None
    transition_matrix: tuple[tuple[Fraction | None, ...], ...] | None = Field(
        description="probabilities from row to column in one bar; null = no such move in the sample"
    )
    flips_per_bar: Measured | None
    model: str
    fitted_at: Instant | None
    reason: str


class TierNow(Shown):
    """The market's regime on bars of another length."""

    tier: Literal["LT", "MT", "ST"]
    bar_s: int
    label: Label | None = Field(description="null = not available")
    confidence: Fraction
    risk_state: int | None
    reason: str


class Transition(Shown):
    """A change of label."""

    at: Instant
    before: Label | None
    after: Label | None


class RegimeNow(Shown):
    """Regime of one symbol, or of the market."""

    symbol: str
    is_market: bool
    as_of: Instant
    age_s: Seconds
    label: Label
    confidence: Fraction
    since: Instant | None = Field(description="when the label began; null = not known")
    bars_since: int | None
    risk: RiskNow
    structure: str = Field(description="does the series trend, revert, or neither")
    structure_p_value: Measured | None
    evidence: tuple[CapReason, ...]
    tiers: tuple[TierNow, ...] = Field(description="of the market only")
    transitions: tuple[Transition, ...] = Field(description="the last 30 changes of label, newest first")
    strategy: str | None = Field(description="what the allocator makes of it; null = nothing")


class Regimes(Shown):
    """Regimes of a run."""

    run_id: str
    source: str
    as_of: Instant
    age_s: Seconds
    market_confidence_cap: Fraction = Field(
        description="what tape and cross-asset evidence allow the market's label"
    )
    regimes: tuple[RegimeNow, ...] = Field(description="the market first, then by symbol")
    notes: tuple[str, ...] = Field(
        description="files of the run that cannot be read, and what is unknown for it"
    )


class HistoryPoint(Shown):
    """Price and regime of a symbol at one bar."""

    at: Instant
    close: Measured | None = Field(
        description="quote currency; null = no bar, or no prices of this series are kept"
    )
    label: Label | None
    confidence: Fraction | None
    risk_state: int | None
    risk_probability: Fraction | None


class History(Shown):
    """Price and regime of a symbol over time."""

    run_id: str
    symbol: str
    points: tuple[HistoryPoint, ...] = Field(description="oldest first")
    notes: tuple[str, ...] = Field(
        description="files of the run that cannot be read, and what is unknown for it"
    )


class TapeNow(Shown):
    """What the tape of a symbol says."""

    symbol: str
    start: Instant
    end: Instant
    evidence: str
    health: Grade
    health_score: Measured = Field(description="0 to 100")
    health_reasons: tuple[str, ...]
    spread_bps: Measured | None = Field(description="quoted, time-weighted, basis points")
    last_spread_bps: Measured | None
    effective_spread_bps: Measured | None
    order_flow_imbalance: Measured | None = Field(description="sum over the stretch, units")
    order_flow_beta: Measured | None = Field(description="change of the mid per unit of imbalance")
    order_flow_r2: Fraction | None
    microprice: Measured | None
    mid: Measured | None
    microprice_gap_bps: Measured | None
    vpin: Fraction | None
    book: str | None = Field(description="two_sided, locked, crossed or one_sided")
    unknown: dict[str, str] = Field(description="why a number is null, by its path")


class BarSpread(Shown):
    """What bars alone say of the spread of a symbol without a tape."""

    symbol: str
    edge_bps: Measured | None
    roll_bps: Measured | None
    identified: bool
    reason: str


class Tape(Shown):
    """Tapes of a run."""

    run_id: str
    as_of: Instant
    evidence: str
    confidence_cap: Fraction
    symbols: tuple[TapeNow, ...]
    bars_only: tuple[BarSpread, ...]
    notes: tuple[str, ...]


def latest_run(sources: FirmSources, asker: Asker) -> str | None:
    """A paced run that goes on, else the newest run with regimes that the asker may see."""
    known = sorted(
        (record for record in sources.runs.all() if record.kind in ("run", "paced")),
        key=lambda record: (
            record.kind == "paced" and record.status == "started",
            record.as_of_ns,
            record.run_id,
        ),
        reverse=True,
    )
    for record in known:
        if may_see_run(sources, asker, record.run_id) and market_of(sources, record.run_id) is not None:
            return record.run_id
    return None


def regimes(sources: FirmSources, asker: Asker, run_id: str | None = None) -> Regimes:
    """Regimes that a run found, of the newest run where none is named.

    Raises
    ------
    NotThere
        There is no such run with regimes, or not for this asker.
    """
    run_id, market = _market(sources, asker, run_id)
    found, request = market["regime"], market["request"]
    past, ts_ns, notes = _past(sources, run_id, found)
    strategies = {item["symbol"]: item["exposure"] for item in found["exposures"]}
    rows = [_now(asker, found["market"], past, ts_ns, None, True)]
    rows += [
        _now(asker, one, past, ts_ns, strategies.get(one["symbol"]), False)
        for one in sorted(found["symbols"], key=lambda one: str(one["symbol"]))
    ]
    return Regimes(
        run_id=run_id,
        source=request["source"],
        as_of=instant(request["as_of_ns"]) or "",
        age_s=asker.age_s(request["as_of_ns"]),
        market_confidence_cap=float(found["confidence_cap"]),
        regimes=tuple(rows),
        notes=notes,
    )


def history(
    sources: FirmSources, asker: Asker, symbol: str, run_id: str | None = None, bars: int = 500
) -> History:
    """Price and regime of a symbol over the last ``bars`` bars (at most 5,000).

    Raises
    ------
    NotThere
        There is no such run or symbol, or not for this asker.
    BadInput
        A number of bars that is not shown.
    """
    if not 1 <= bars <= _MOST_BARS:
        raise BadInput(expected=f"1 to {_MOST_BARS} bars", found=str(bars), where="bars")
    run_id, market = _market(sources, asker, run_id)
    found = market["regime"]
    past, ts_ns, notes = _past(sources, run_id, found)
    if notes and any(one["symbol"] == symbol for one in (found["market"], *found["symbols"])):
        return History(run_id=run_id, symbol=symbol, points=(), notes=notes)
    if past is None or symbol not in past.symbols:
        raise NotYet("symbol", symbol)
    at, rows = past.symbols.index(symbol), range(max(len(ts_ns) - bars, 0), len(ts_ns))
    closes, more = _closes(sources, run_id, symbol)
    return History(
        run_id=run_id,
        symbol=symbol,
        points=tuple(_point(past, ts_ns[row], closes.get(ts_ns[row]), row, at) for row in rows),
        notes=notes + more,
    )


def tape(sources: FirmSources, asker: Asker, run_id: str | None = None) -> Tape:
    """What the tapes of a run say, and the bars of every symbol without one; raises as :func:`regimes`."""
    run_id, market = _market(sources, asker, run_id)
    said = market["tape"]
    return Tape(
        run_id=run_id,
        as_of=instant(market["request"]["as_of_ns"]) or "",
        evidence=said["evidence"],
        confidence_cap=float(said["confidence_cap"]),
        symbols=tuple(map(_tape, said["features"])),
        bars_only=tuple(_bars(symbol, one) for symbol, one in sorted(said["bars"].items())),
        notes=tuple(said["notes"]),
    )


_MOST_BARS = 5_000


def _market(sources: FirmSources, asker: Asker, run_id: str | None) -> tuple[str, dict[str, Any]]:
    name = latest_run(sources, asker) if run_id is None else run_id
    if name is None or not may_see_run(sources, asker, name):
        raise NotYet("run with regimes", "none") if run_id is None else NotThere("run", run_id)
    market = market_of(sources, name)
    if market is None or "regime" not in market:
        raise NotYet("run with regimes", name)
    return name, market


def _past(
    sources: FirmSources, run_id: str, found: Mapping[str, Any]
) -> tuple[RegimeHistory | None, Sequence[int], tuple[str, ...]]:
    """The causal past behind the labels, and why there is none where its table cannot be read."""
    path = f"runs/{run_id}/market/regimes.parquet"
    data = sources.files.read(path, _HISTORY_BYTES) if found["history"]["path"] == path else None
    if data is None:
        return None, (), ()
    try:
        past, ts_ns = from_parquet(data, path)
    except (BadInput, CheckFailed) as error:
        return None, (), (f"since when and what was before is unknown: {error}",)
    return past, ts_ns.tolist(), ()


def _now(
    asker: Asker,
    said: Mapping[str, Any],
    past: RegimeHistory | None,
    ts_ns: Sequence[int],
    strategy: str | None,
    is_market: bool,
) -> RegimeNow:
    changes = _changes(past, ts_ns, said["symbol"])
    last = changes[0] if changes else None
    return RegimeNow(
        symbol=said["symbol"],
        is_market=is_market,
        as_of=instant(said["as_of_ns"]) or "",
        age_s=asker.age_s(said["as_of_ns"]),
        label=said["label"],
        confidence=float(said["confidence"]),
        since=instant(ts_ns[last[0]]) if last is not None else None,
        bars_since=len(ts_ns) - 1 - last[0] if last is not None else None,
        risk=_risk(said["risk"]),
        structure=said["structure"]["label"],
        structure_p_value=number(said["structure"]["p_value"]),
        evidence=tuple(_cap(item, float(said["confidence"])) for item in said["evidence"]),
        tiers=tuple(_tier(item) for item in said["tiers"]),
        transitions=tuple(
            Transition(at=instant(ts_ns[row]) or "", before=_label(before), after=_label(after))
            for row, before, after in changes[:TRANSITIONS]
        ),
        strategy=strategy,
    )


def _changes(past: RegimeHistory | None, ts_ns: Sequence[int], symbol: str) -> list[tuple[int, int, int]]:
    """Rows at which the label of a symbol changed, newest first, with the label before and after."""
    if past is None or symbol not in past.symbols:
        return []
    labels = past.label[:, past.symbols.index(symbol)]
    rows = np.flatnonzero(np.diff(labels)) + 1
    return [(int(row), int(labels[row - 1]), int(labels[row])) for row in rows[::-1]]


def _label(code: int) -> Any:
    return REGIME_LABELS[code] if 0 <= code < len(REGIME_LABELS) else None


def _closes(sources: FirmSources, run_id: str, symbol: str) -> tuple[dict[int, float], tuple[str, ...]]:
    """Closing prices of a symbol by their time, and why there are none where their table cannot be read."""
    path = f"runs/{run_id}/market/prices.parquet"
    data = sources.files.read(path, _HISTORY_BYTES)
    if data is None:
        return {}, ()
    try:
        ts_ns, close = closes_of(data, symbol, path)
    except BadInput as error:
        return {}, (f"prices are unknown: {error}",)
    return dict(zip(ts_ns.tolist(), close.tolist(), strict=True)), ()


def _point(past: RegimeHistory, ts_ns: int, close: float | None, row: int, at: int) -> HistoryPoint:
    state = int(past.risk_state[row, at])
    return HistoryPoint(
        at=instant(ts_ns) or "",
        close=number(close),
        label=_label(int(past.label[row, at])),
        confidence=number(past.confidence[row, at]),
        risk_state=state if state >= 0 else None,
        risk_probability=number(past.risk_probability[row, at]),
    )


def _cap(item: Mapping[str, Any], confidence: float) -> CapReason:
    return CapReason(
        source=item["source"],
        grade=item["grade"],
        finding=item["finding"],
        confidence_cap=float(item["confidence_cap"]),
        binds=float(item["confidence_cap"]) <= confidence,
    )


def _risk(said: Mapping[str, Any]) -> RiskNow:
    matrix = said["transition"]
    return RiskNow(
        state=said["state"],
        states=said["n_states"],
        probability=number(said["probability"]),
        expected_duration_bars=number(said["expected_duration_bars"]),
        transition_matrix=None if matrix is None else tuple(tuple(map(number, row)) for row in matrix),
        flips_per_bar=number(said["flips_per_bar"]),
        model=said["model"],
        fitted_at=instant(said["fitted_at_ns"]),
        reason=said["reason"],
    )


def _tier(said: Mapping[str, Any]) -> TierNow:
    return TierNow(
        tier=said["tier"],
        bar_s=said["bar_s"],
        label=said["label"],
        confidence=float(said["confidence"]),
        risk_state=said["risk_state"],
        reason=said["reason"],
    )


def _tape(said: Mapping[str, Any]) -> TapeNow:
    spread, flow, price, health = said["spread"], said["ofi"], said["microprice"], said["health"]
    return TapeNow(
        symbol=said["symbol"],
        start=instant(said["start_ns"]) or "",
        end=instant(said["end_ns"]) or "",
        evidence=said["evidence"],
        health=health["grade"],
        health_score=float(health["score"]),
        health_reasons=tuple(health["reasons"]),
        spread_bps=number(spread["time_weighted_bps"]),
        last_spread_bps=number(spread["last_bps"]),
        effective_spread_bps=number(spread["effective_bps"]),
        order_flow_imbalance=number(flow["sum"]),
        order_flow_beta=number(flow["beta"]),
        order_flow_r2=number(flow["r2"]),
        microprice=number(price["last"]),
        mid=number(price["mid_last"]),
        microprice_gap_bps=number(price["gap_bps"]),
        vpin=number(said["trades"]["vpin"]),
        book=said["book"],
        unknown=dict(said["unknown"]),
    )


def _bars(symbol: str, said: Mapping[str, Any]) -> BarSpread:
    return BarSpread(
        symbol=symbol,
        edge_bps=number(said["edge_bps"]),
        roll_bps=number(said["roll_bps"]),
        identified=said["identified"],
        reason=said["reason"],
    )
