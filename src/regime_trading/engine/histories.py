"""What research produces, as arrays over all of history: its knobs, features, regimes and proposals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.schemas import REGIME_LABELS, Regime, RegimeLabel
from regime_trading.tools.regime import RiskPath
from regime_trading.tools.structure import StructurePath

#: Name of the market series where the source has no proxy.
STAND_IN = "equal-weighted"


#: ``progress(stage, done, total)``.
Progress = Callable[[str, int, int], None]


def tell(progress: Progress | None, stage: str, done: int, total: int) -> None:
    """Report progress where somebody listens."""
    if progress is not None:
        progress(stage, done, total)


@dataclass(frozen=True, slots=True)
class ResearchParams:
    """Every knob between a price and a proposal. Counts of bars unless the name says otherwise.

    Parameters
    ----------
    model, n_states, penalty, min_obs, refit_every, max_window, seed
        Risk state (``tools.regime.causal_risk_state``).
    structure_window, structure_every, structure_lags, structure_min_obs
        Structure (``tools.structure.structure_path``).
    hysteresis_bars : int
        Bars a new label must stand before it replaces the old one; 0 and 1 are none.
    momentum_lookback, z_lookback
        Features (``tools.features``).
    vol_fast_halflife, vol_slow_halflife, vol_min_obs
        Daily sigma (``tools.risk.daily_sigma``).
    corr_window, corr_min_obs
        Correlation (``tools.risk.shrunk_correlation``).
    allocation_window : int
        Returns the allocator sees.
    allocation_min_obs : int
        Valid returns an asset needs among them to get a weight.
    allocation_min_rows : int
        Complete rows the assets need in common.
    allocation_every : int
        Sessions between two solutions of the allocator; exposures change on every proposal.
    cadence_sessions : int
        Sessions between two proposals.
    """

    model: str = "ensemble"
    n_states: int = 2
    penalty: float = 50.0
    min_obs: int = 504
    refit_every: int = 126
    max_window: int | None = None
    seed: int = 1
    structure_window: int = 504
    structure_every: int = 21
    structure_lags: tuple[int, ...] = (2, 4, 8, 16)
    structure_min_obs: int = 252
    hysteresis_bars: int = 3
    momentum_lookback: int = 126
    z_lookback: int = 20
    vol_fast_halflife: float = 5.0
    vol_slow_halflife: float = 40.0
    vol_min_obs: int = 20
    corr_window: int = 252
    corr_min_obs: int = 60
    allocation_window: int = 252
    allocation_min_obs: int = 240
    allocation_min_rows: int = 120
    allocation_every: int = 21
    cadence_sessions: int = 5

    def __post_init__(self) -> None:
        _require(self.hysteresis_bars >= 0, "at least 0", self.hysteresis_bars, "hysteresis_bars")
        _require(self.cadence_sessions >= 1, "at least 1", self.cadence_sessions, "cadence_sessions")
        _require(self.allocation_every >= 1, "at least 1", self.allocation_every, "allocation_every")
        _require(
            2 <= self.corr_min_obs <= self.corr_window, "2 to corr_window", self.corr_min_obs, "corr_min_obs"
        )
        _require(
            2 <= self.allocation_min_rows <= self.allocation_min_obs <= self.allocation_window,
            "2 ≤ allocation_min_rows ≤ allocation_min_obs ≤ allocation_window",
            (self.allocation_min_rows, self.allocation_min_obs, self.allocation_window),
            "allocation",
        )


def _require(holds: bool, expected: str, found: object, where: str) -> None:
    if not holds:
        raise BadInput(expected=expected, found=str(found), where=where)


@dataclass(frozen=True, slots=True)
class FeatureHistory:
    """Features of every symbol at every bar; NaN where not known.

    Attributes
    ----------
    symbols : tuple of str
        Columns, as in the window.
    ts_ns : int64 [T]
    returns, sigma_daily, momentum, z : float64 [T, N]
    n_obs : int64 [T, N]
        Valid returns so far.
    market : str
        Symbol of the market series, :data:`STAND_IN` where there is no proxy.
    market_returns : float64 [T]
    notes : tuple of str
        What the reader must be told.
    """

    symbols: tuple[str, ...]
    ts_ns: I8
    returns: F8
    sigma_daily: F8
    momentum: F8
    z: F8
    n_obs: I8
    market: str
    market_returns: F8
    notes: tuple[str, ...] = ()

    def columns(self, symbols: Sequence[str]) -> list[int]:
        """Columns of ``symbols``; BadInput for one that is not there."""
        return columns_of(self.symbols, symbols)


@dataclass(frozen=True, slots=True)
class RegimeHistory:
    """Regime of every symbol and of the market at every bar.

    Attributes
    ----------
    symbols : tuple of str
        Columns: the symbols of the features, then :data:`STAND_IN` where it is the market series.
    market : str
        The column that is the market's.
    n_states : int
    model : str
        Of the risk state.
    risk_state : int8 [T, M]
        0 calm … K−1 turbulent, −1 unknown.
    risk_margin, risk_duration, risk_probability, risk_flips : float64 [T, M]
        NaN where unknown; duration in bars; filtered probability of the state; changes of state per bar.
    risk_transition : float64 [T, M, K, K]
        Of the fit in force, from row to column in one bar; NaN where unknown.
    risk_fitted_at : int64 [T, M]
        Row of the fit in force, −1 = none.
    risk_reason : int8 [T, M]
        Index into ``tools.regime.RISK_REASONS``.
    structure : StructurePath
        Arrays [T, M].
    label : int8 [T, M]
        Index into ``REGIME_LABELS``, after hysteresis.
    confidence : float64 [T, M]
        In [0, 1]. While a change of label waits for its confirmation, the smaller of the fresh evidence's
        confidence and its complement: what speaks against the label that is still held cannot speak for it.
    """

    symbols: tuple[str, ...]
    market: str
    n_states: int
    model: str
    risk_state: I1
    risk_margin: F8
    risk_duration: F8
    risk_probability: F8
    risk_flips: F8
    risk_transition: F8
    risk_fitted_at: I8
    risk_reason: I1
    structure: StructurePath
    label: I1
    confidence: F8

    def columns(self, symbols: Sequence[str]) -> list[int]:
        """Columns of ``symbols``; BadInput for one that is not there."""
        return columns_of(self.symbols, symbols)

    def turbulent(self) -> B1:
        """True where the fresh, unconfirmed risk state is the most turbulent one or not known, bool [T, M]."""
        return np.asarray((self.risk_state < 0) | (self.risk_state == self.n_states - 1), dtype=np.bool_)

    def at(self, t: int, symbol: str, ts_ns: I8) -> Regime:
        """Schema of one symbol at row ``t``; ``ts_ns`` are the bars' times."""
        i = columns_of(self.symbols, [symbol])[0]
        risk = RiskPath(
            self.risk_state[:, i],
            self.risk_margin[:, i],
            self.risk_duration[:, i],
            self.risk_fitted_at[:, i],
            self.risk_reason[:, i],
            (),
            self.n_states,
            self.risk_probability[:, i],
            self.risk_flips[:, i],
            np.arange(len(ts_ns)),
            self.risk_transition[:, i],
            self.model,
        )
        return Regime(
            symbol=symbol,
            as_of_ns=int(ts_ns[t]),
            label=RegimeLabel(REGIME_LABELS[int(self.label[t, i])]),
            confidence=float(self.confidence[t, i]),
            structure=self.structure.at(t, i),
            risk=risk.at(t, ts_ns),
        )


@dataclass(frozen=True, slots=True)
class ProposalHistory:
    """Proposals of one basket.

    Attributes
    ----------
    symbols : tuple of str
        Columns, sorted.
    rows : int64 [K]
        Bars at whose close a proposal is made.
    weights : float64 [K, N]
        Target weights in nanoweights: ``budget · base · exposure``.
    base : float64 [K, N]
        The allocator's weights; each row sums to 1.
    exposure : float64 [K, N]
        In [−1, 1].
    strategy : int8 [K, N]
        Index into ``tuple(Exposure)``, −1 = input missing, exposure 0.
    confidence : float64 [K]
        Mean of the symbols' regime confidence, weighted by ``base``.
    solved_at : int64 [K]
        Row at which ``base`` was solved.
    """

    symbols: tuple[str, ...]
    rows: I8
    weights: F8
    base: F8
    exposure: F8
    strategy: I1
    confidence: F8
    solved_at: I8


def columns_of(known: tuple[str, ...], symbols: Sequence[str]) -> list[int]:
    missing = sorted(set(symbols) - set(known))
    if missing or not symbols:
        raise BadInput(
            expected="symbols with prices in this window",
            found=f"none for {', '.join(missing)}" if missing else "no symbol",
            where="research",
        )
    return [known.index(symbol) for symbol in symbols]
