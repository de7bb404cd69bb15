"""From features and regimes to what a basket proposes, and the correlation the guards judge it by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.numbers import F8, I1, I8
from regime_trading.engine.histories import (
    FeatureHistory,
    Progress,
    ProposalHistory,
    RegimeHistory,
    ResearchParams,
    tell,
)
from regime_trading.engine.market import Correlations
from regime_trading.tools.allocation import (
    ExposureParams,
    base_weights,
    require_allocator,
    strategy_exposure,
    target_weights,
)
from regime_trading.tools.risk import complete_cases, condition_number, shrunk_correlation

# --- correlations -----------------------------------------------------------------------------------------


def schedule(n_rows: int, params: ResearchParams) -> I8:
    """Rows on which a proposal may be made: ``(t + 1) % cadence_sessions == 0``, counted from the first row,
    once the allocator's window is full. int64 [K]."""
    rows = np.arange(params.cadence_sessions - 1, n_rows, params.cadence_sessions, dtype=np.int64)
    return rows[rows >= params.allocation_window]


def correlation_rows(n_rows: int, params: ResearchParams) -> I8:
    """Rows on which the correlation is refreshed: the grid of :func:`schedule`, from the first row with
    ``corr_min_obs`` returns behind it. int64 [K]."""
    rows = np.arange(params.cadence_sessions - 1, n_rows, params.cadence_sessions, dtype=np.int64)
    return rows[rows >= params.corr_min_obs]


def correlations(
    features: FeatureHistory,
    params: ResearchParams,
    rows: I8,
    *,
    symbols: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Correlations:
    """Shrunk correlation of the last ``corr_window`` returns, refreshed at each of ``rows``.

    Parameters
    ----------
    features : FeatureHistory
    params : ResearchParams
    rows : int64 [K]
        Ascending; callers take :func:`correlation_rows`.
    symbols : sequence of str, optional
        Columns of the result, in this order; all by default. The estimate of a pair depends on them (common
        rows, shrinkage), so name the ones that are traded together.
    progress : callable, optional
        Called as ``("correlation", rows done, rows)``.

    Returns
    -------
    Correlations
        ``matrix`` [K, N, N] with NaN rows and columns for symbols that are not known, ``condition`` [K].

    Raises
    ------
    BadInput
        A symbol without prices, or rows out of range.
    """
    chosen = features.returns[:, features.columns(features.symbols if symbols is None else symbols)]
    _require_rows(rows, len(chosen))
    matrix = np.full((len(rows), chosen.shape[1], chosen.shape[1]), np.nan)
    condition = np.full(len(rows), np.nan)
    for k, t in enumerate(rows):
        window = np.ascontiguousarray(chosen[max(0, t + 1 - params.corr_window) : t + 1])
        matrix[k] = shrunk_correlation(window, min_obs=params.corr_min_obs)
        condition[k] = condition_number(matrix[k])
        tell(progress, "correlation", k + 1, len(rows))
    return Correlations(rows=rows, matrix=matrix, condition=condition)


def _require_rows(rows: I8, n_rows: int) -> None:
    if len(rows) and not (rows[0] >= 0 and rows[-1] < n_rows and (np.diff(rows) > 0).all()):
        raise BadInput(
            expected=f"ascending rows from 0 to {n_rows - 1}",
            found=f"{len(rows)} rows, first {int(rows[0])}, last {int(rows[-1])}",
            where="rows",
        )


# --- proposals --------------------------------------------------------------------------------------------


def proposals(
    features: FeatureHistory,
    regimes: RegimeHistory,
    symbols: Sequence[str],
    allocator: str,
    exposure: ExposureParams,
    budget: float,
    params: ResearchParams,
    rows: I8 | None = None,
    *,
    progress: Progress | None = None,
) -> ProposalHistory:
    """Proposals of one basket on a fixed schedule.

    The allocator is solved at the first row of the :func:`schedule` in each span of ``allocation_every`` rows
    (counted from the first row) at which it can be, on the complete rows of the last ``allocation_window``;
    assets with fewer than ``allocation_min_obs`` returns there (not listed long enough, delisted, full of
    holes) weigh 0. The exposure of each asset is fresh at every proposal. A row at which no asset of the
    basket is usable makes no proposal: the one before ages, and the guards see its age. What is proposed at a
    row does not depend on the other rows that are asked for.

    Parameters
    ----------
    features, regimes
        Of the same window.
    symbols : sequence of str
        The basket; taken in sorted order.
    allocator : str
        ``tools.allocation.ALLOCATORS``.
    exposure : ExposureParams
    budget : float
        Fraction of equity.
    params : ResearchParams
    rows : int64 [K], optional
        :func:`schedule` by default. Rows before the allocator's window is full make no proposal.
    progress : callable, optional
        Called as ``("proposal", rows done, rows)``.

    Raises
    ------
    BadInput
        A symbol without prices, an unknown allocator, a parameter out of range.
    RegimeError
        The allocator failed; the message names the row.
    """
    require_allocator(allocator)
    names = tuple(sorted(set(symbols)))
    rows = schedule(len(features.ts_ns), params) if rows is None else rows
    _require_rows(rows, len(features.ts_ns))
    rows, base, solved_at = _base_path(features, names, allocator, params, rows, progress)
    held, strategy, confidence = _exposure_path(features, regimes, names, exposure, rows, base)
    return ProposalHistory(
        symbols=names,
        rows=rows,
        weights=target_weights(base, held, budget),
        base=base,
        exposure=held,
        strategy=strategy,
        confidence=confidence,
        solved_at=solved_at,
    )


def _base_path(
    features: FeatureHistory,
    names: tuple[str, ...],
    allocator: str,
    params: ResearchParams,
    rows: I8,
    progress: Progress | None,
) -> tuple[I8, F8, I8]:
    """Rows that have one, base weights, and the row each was solved at."""
    planned = schedule(len(features.ts_ns), params)
    solve = _Solver(features, names, allocator, params)
    kept: list[tuple[int, F8, int]] = []
    for k, t in enumerate(rows.tolist()):
        span = planned[(planned >= t - t % params.allocation_every) & (planned < t)]
        for at in [*span.tolist(), t]:
            weights = solve(at)
            if weights is not None:
                kept.append((t, weights, at))
                break
        tell(progress, "proposal", k + 1, len(rows))
    return (
        np.array([row for row, _, _ in kept], dtype=np.int64),
        np.array([base for _, base, _ in kept], dtype=np.float64).reshape(len(kept), len(names)),
        np.array([at for _, _, at in kept], dtype=np.int64),
    )


class _Solver:
    """The allocator at a row, solved once. None while its window is not full or no asset is usable in it."""

    def __init__(
        self, features: FeatureHistory, names: tuple[str, ...], allocator: str, params: ResearchParams
    ) -> None:
        self._returns = features.returns[:, features.columns(names)]
        self._ts_ns, self._allocator, self._params = features.ts_ns, allocator, params
        self._solved: dict[int, F8 | None] = {}

    def __call__(self, t: int) -> F8 | None:
        if t not in self._solved:
            self._solved[t] = self._solve(t)
        return self._solved[t]

    def _solve(self, t: int) -> F8 | None:
        params = self._params
        if t < params.allocation_window:
            return None
        window = self._returns[t + 1 - params.allocation_window : t + 1]
        usable, complete = complete_cases(
            window, min_obs=params.allocation_min_obs, min_rows=params.allocation_min_rows
        )
        if not usable.any():
            return None
        try:
            return base_weights(np.where(usable, window[complete], np.nan), self._allocator)
        except RegimeError as error:
            raise RegimeError(f"{error} (row {t}, ts_ns {int(self._ts_ns[t])})") from error


def _exposure_path(
    features: FeatureHistory,
    regimes: RegimeHistory,
    names: tuple[str, ...],
    exposure: ExposureParams,
    rows: I8,
    base: F8,
) -> tuple[F8, I1, F8]:
    """Exposure, strategy and confidence at ``rows``."""
    at, of = np.ix_(rows.tolist(), features.columns(names)), np.ix_(rows.tolist(), regimes.columns(names))
    held, strategy = strategy_exposure(
        regimes.label[of], regimes.turbulent()[of], features.momentum[at], features.z[at], exposure
    )
    confidence = np.zeros(len(rows))
    for i in range(len(names)):  # one asset after the other: a fixed order of summation
        confidence += base[:, i] * regimes.confidence[of][:, i]
    return held, strategy, np.minimum(confidence, 1.0)
