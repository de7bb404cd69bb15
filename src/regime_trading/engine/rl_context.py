"""What a state of the RL dataset tells of the market beyond what the guards see: regimes, breadth, tape, clocks.

Arrays over all bars, each row made of nothing later than its bar; every source brings its own time stamps
(``known_ns``), so that one that looks ahead is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from regime_trading.core.bars import DAY_NS
from regime_trading.core.numbers import F8, I8
from regime_trading.core.rl_features import TIERS, tier_column
from regime_trading.core.schemas import REGIME_LABELS, MicrostructureFeatures, TierRegime
from regime_trading.engine.histories import FeatureHistory, RegimeHistory
from regime_trading.engine.market import MarketPath

SIGMA_BARS = 21
VOL_OF_VOL_BARS = 63
UNSTAMPED = np.iinfo(np.int64).min
#: What the tape said, by symbol and row.
TapeSaid = Mapping[str, Mapping[int, MicrostructureFeatures]]


@dataclass(frozen=True, slots=True)
class MarketContext:
    """Features of the market at every bar of a market path.

    Parameters
    ----------
    rows : mapping of str to float64 [T]
    assets : mapping of str to float64 [T, N]
    market_ns, asset_ns : int64 [T]
        Latest time stamp of anything that row used: of market features, and of sigmas and correlations.
    """

    rows: Mapping[str, F8]
    assets: Mapping[str, F8]
    market_ns: I8
    asset_ns: I8


def context_of(
    market: MarketPath,
    features: FeatureHistory | None = None,
    regimes: RegimeHistory | None = None,
    *,
    tape: TapeSaid | None = None,
    tiers: tuple[TierRegime, ...] = (),
    own_tiers: tuple[str, ...] = (),
) -> MarketContext:
    """Everything a state tells of the market, causal in the first axis; NaN where a source is not handed in.

    Parameters
    ----------
    market : MarketPath
    features, regimes : histories over the same bars, optional
    tape : mapping, optional
        Readings by symbol and row.
    tiers : tuple of TierRegime
        Regimes on other bars than the source's, at the last bar only.
    own_tiers : tuple of str
        Tiers whose bar is the source's own: they are its regime, at every bar.
    """
    n_bars, n = market.close.shape
    unknown, wide = np.full(n_bars, np.nan), np.full((n_bars, n), np.nan)
    row_ns = np.full(n_bars, UNSTAMPED, dtype=np.int64)
    facts, nearest = market.facts, np.min(market.to_event_s, axis=1, initial=np.inf)
    rows, assets = clocks(market.ts_ns, facts.since_open_s, facts.to_close_s, nearest), dict[str, F8]()
    matrix, matrix_ns = _mean_correlation(market)
    rows["mean_correlation"] = matrix
    if features is not None:
        rows |= _moves(features.market_returns)
        at = features.columns(market.symbols)
        assets |= {"momentum": features.momentum[:, at], "z_score": features.z[:, at]}
        rows["breadth_up"] = _share(assets["momentum"] > 0, ~np.isnan(assets["momentum"]))
        row_ns = np.maximum(row_ns, features.ts_ns)
    if regimes is not None:
        rows |= _risk(regimes) | _tiers(market, regimes, tiers, own_tiers)
        assets |= _asset_regimes(market, regimes)
        state = assets["asset_risk_state"]
        rows["breadth_turbulent"] = _share(state == regimes.n_states - 1, ~np.isnan(state))
        row_ns = np.maximum(row_ns, _fitted(market, regimes))
    said, tape_ns = _tape(market, tape or {})
    rows = {name: np.ascontiguousarray(rows.get(name, unknown)) for name in ROWS}
    return MarketContext(
        rows=rows,
        assets={name: np.ascontiguousarray((assets | said).get(name, wide)) for name in ASSETS},
        market_ns=np.maximum.reduce([row_ns, matrix_ns, tape_ns]),
        asset_ns=np.maximum(row_ns, matrix_ns),
    )


ROWS: tuple[str, ...] = (
    "risk_state", "risk_probability", "calm_probability", "turbulent_probability", "risk_entropy", "risk_margin",
    "risk_duration_bars", "risk_flips_per_bar", "structure_label", "structure_confidence",
    *(tier_column(tier, what) for tier in TIERS for what in ("label", "confidence", "risk_state")),
    "market_return", "market_sigma", "vol_of_vol", "breadth_up", "breadth_turbulent", "mean_correlation",
    "session_sin", "session_cos", "week_sin", "week_cos", "year_sin", "year_cos", "to_event_days",
    "to_event_minutes",
)  # fmt: skip
ASSETS: tuple[str, ...] = (
    "tape_score", "ofi_depths", "microprice_gap_bps", "asset_label", "asset_confidence", "asset_risk_state",
    "asset_risk_probability", "momentum", "z_score",
)  # fmt: skip


def clocks(ts_ns: I8, since: F8, left: F8, nearest: F8) -> dict[str, F8]:
    """Session, week and year as points on circles, and the way to the next event.

    Parameters
    ----------
    ts_ns : int64 [T]
    since, left : float64 [T]
        Seconds since the session opened and to its close; NaN = not known.
    nearest : float64 [T]
        Seconds to the next event; infinite = none is scheduled.
    """
    days = ts_ns // DAY_NS
    dates = days.astype("datetime64[D]")
    new_year = dates.astype("datetime64[Y]").astype("datetime64[D]")
    with np.errstate(divide="ignore", invalid="ignore"):
        within = 2.0 * np.pi * since / (since + left)
    week = 2.0 * np.pi * ((days + 3) % 7) / 7.0  # 1970-01-01 was a Thursday
    year = 2.0 * np.pi * (dates - new_year).astype(np.float64) / 365.25
    nearest = np.where(np.isfinite(nearest), nearest, np.nan)
    circles = {"session": within, "week": week, "year": year}
    return {
        **{f"{name}_sin": np.sin(angle) for name, angle in circles.items()},
        **{f"{name}_cos": np.cos(angle) for name, angle in circles.items()},
        "to_event_days": nearest / 86_400.0,
        "to_event_minutes": nearest / 60.0,
    }


def _mean_correlation(market: MarketPath) -> tuple[F8, I8]:
    """Mean of all pairs of the matrix in force, and the time of that matrix."""
    found, n_bars = market.correlations, len(market.ts_ns)
    mean = np.array([mean_pair(matrix) for matrix in found.matrix])
    k = np.searchsorted(found.rows, np.arange(n_bars), side="right") - 1
    if not len(found.rows):
        return np.full(n_bars, np.nan), np.full(n_bars, UNSTAMPED, dtype=np.int64)
    return np.where(k >= 0, mean[k], np.nan), np.where(k >= 0, market.ts_ns[found.rows[k]], UNSTAMPED)


def mean_pair(correlation: F8) -> float:
    """Mean over all pairs; NaN where one is not known, or there is none."""
    pairs = correlation[np.triu_indices(len(correlation), 1)]
    return float(np.mean(pairs)) if len(pairs) else np.nan


def _moves(returns: F8) -> dict[str, F8]:
    """Volatility of the market series, and how much that moves."""
    sigma = _rolling_sd(returns, SIGMA_BARS)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(sigma > 0, sigma, np.nan))
    return {"market_return": returns, "market_sigma": sigma, "vol_of_vol": _rolling_sd(logs, VOL_OF_VOL_BARS)}


def _rolling_sd(values: F8, bars: int) -> F8:
    """Standard deviation of the last ``bars`` values, float64 [T]; NaN where one of them is."""
    found = np.full(len(values), np.nan)
    if len(values) >= bars:
        windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(values, bars))
        found[bars - 1 :] = windows.std(axis=1, ddof=1)
    return found


def _share(marked: np.ndarray, known: np.ndarray) -> F8:
    count = known.sum(axis=1)
    hit: F8 = (marked & known).sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, hit, np.nan)


def coded(codes: np.ndarray) -> F8:
    """Codes as numbers; a negative one is not known."""
    return np.where(codes >= 0, codes.astype(np.float64), np.nan)


def _risk(regimes: RegimeHistory) -> dict[str, F8]:
    """Risk state and structure of the market, and what is known of the probabilities of its states."""
    i, last = regimes.symbols.index(regimes.market), regimes.n_states - 1
    state, p = coded(regimes.risk_state[:, i]), regimes.risk_probability[:, i]
    p = np.where(np.isnan(state), np.nan, p)
    other = 1.0 - p if last == 1 else np.full_like(p, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -sum(
            np.where(q > 0, q * np.log2(q), np.where(np.isnan(q), np.nan, 0.0)) for q in (p, other)
        )
    return {
        "risk_state": state,
        "risk_probability": p,
        "calm_probability": np.where(state == 0, p, other),
        "turbulent_probability": np.where(state == last, p, other),
        "risk_entropy": np.asarray(entropy) + 0.0,
        "risk_margin": np.where(np.isnan(state), np.nan, regimes.risk_margin[:, i]),
        "risk_duration_bars": regimes.risk_duration[:, i],
        "risk_flips_per_bar": regimes.risk_flips[:, i],
        "structure_label": np.where(
            regimes.structure.reason[:, i] == 0, regimes.structure.label[:, i], np.nan
        ),
        "structure_confidence": np.where(
            regimes.structure.reason[:, i] == 0, regimes.structure.confidence[:, i], np.nan
        ),
    }


def _tiers(
    market: MarketPath, regimes: RegimeHistory, tiers: tuple[TierRegime, ...], own: tuple[str, ...]
) -> dict[str, F8]:
    found: dict[str, F8] = {}
    last = len(market.ts_ns) - 1
    for tier in tiers:
        label = np.nan if tier.label is None else float(REGIME_LABELS.index(tier.label.value))
        told = {
            "label": label,
            "confidence": np.nan if tier.label is None else tier.confidence,
            "risk_state": np.nan if tier.risk_state is None else float(tier.risk_state),
        }
        for what in ("label", "confidence", "risk_state"):
            column = np.full(last + 1, np.nan)
            column[last] = told[what]
            found[tier_column(tier.tier, what)] = column
    i = regimes.symbols.index(regimes.market)
    for name in own:
        found[tier_column(name, "label")] = regimes.label[:, i].astype(np.float64)
        found[tier_column(name, "confidence")] = regimes.confidence[:, i]
        found[tier_column(name, "risk_state")] = coded(regimes.risk_state[:, i])
    return found


def _asset_regimes(market: MarketPath, regimes: RegimeHistory) -> dict[str, F8]:
    at = regimes.columns(market.symbols)
    state = coded(regimes.risk_state[:, at])
    return {
        "asset_label": regimes.label[:, at].astype(np.float64),
        "asset_confidence": regimes.confidence[:, at],
        "asset_risk_state": state,
        "asset_risk_probability": np.where(np.isnan(state), np.nan, regimes.risk_probability[:, at]),
    }


def _fitted(market: MarketPath, regimes: RegimeHistory) -> I8:
    """Time of the latest fit in force at each bar, int64 [T]."""
    at = [*regimes.columns(market.symbols), regimes.symbols.index(regimes.market)]
    latest = regimes.risk_fitted_at[:, at].max(axis=1)
    return np.where(latest >= 0, market.ts_ns[np.maximum(latest, 0)], UNSTAMPED)


def _tape(market: MarketPath, tape: TapeSaid) -> tuple[dict[str, F8], I8]:
    """What tapes said by each bar, and the end of the latest stretch."""
    n_bars, n = market.close.shape
    names = ("tape_score", "ofi_depths", "microprice_gap_bps")
    found = {name: np.full((n_bars, n), np.nan) for name in names}
    known = np.full(n_bars, UNSTAMPED, dtype=np.int64)
    for column, symbol in enumerate(market.symbols):
        for row, said in tape.get(symbol, {}).items():
            flow, depth = said.ofi.sum, said.ofi.depth
            gap = said.microprice.gap_bps
            found["tape_score"][row, column] = said.health.score
            found["ofi_depths"][row, column] = np.nan if flow is None or not depth else flow / depth
            found["microprice_gap_bps"][row, column] = np.nan if gap is None else gap
            known[row] = max(int(known[row]), said.end_ns)
    return found, known
