"""From a window of returns and a regime to target weights: how much of what, then in which direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.numbers import B1, F8, I1, to_nano
from regime_trading.core.schemas import REGIME_LABELS, Exposure, RegimeLabel
from regime_trading.tools.risk import one_thread

ALLOCATORS: tuple[str, ...] = (
    "equal",
    "inverse_volatility",
    "risk_parity",
    "minimum_variance",
    "hierarchical_risk_parity",
)
_STRATEGY = {member: code for code, member in enumerate(Exposure)}
_LABEL = {RegimeLabel(name): code for code, name in enumerate(REGIME_LABELS)}
#: Strategy code of an asset that has no exposure because an input is missing.
NO_STRATEGY = -1
_WEIGHT_TOLERANCE = 1e-6
_SOLVED_WITHIN = 1e-3


def require_allocator(allocator: str) -> str:
    """``allocator`` itself.

    Raises
    ------
    BadInput
        A name that is not in :data:`ALLOCATORS`.
    """
    if allocator not in ALLOCATORS:
        raise BadInput(expected=f"one of {', '.join(ALLOCATORS)}", found=repr(allocator), where="allocator")
    return allocator


def base_weights(returns: F8, allocator: str) -> F8:
    """Long-only weights of one window, before any view on direction.

    ``equal`` 1/N · ``inverse_volatility`` 1/σ_i · ``risk_parity`` equal risk contributions (Maillard,
    Roncalli and Teiletche 2010, *J. Portfolio Management* 36:60) · ``minimum_variance`` (Markowitz 1952) ·
    ``hierarchical_risk_parity`` (López de Prado 2016, *J. Portfolio Management* 42:59); all but the first by
    skfolio on a Ledoit-Wolf covariance. The same window gives the same bytes, whatever the number of cores.

    Parameters
    ----------
    returns : float64 [W, N]
        One window. An asset with a NaN in it, or whose return never changes, is not usable.
    allocator : str
        One of :data:`ALLOCATORS`.

    Returns
    -------
    float64 [N]
        Non-negative; sums to 1 over the usable assets, 0 for the others.

    Raises
    ------
    BadInput
        An unknown allocator, an infinite return, or no usable asset.
    RegimeError
        The optimiser failed, or its answer misses its defining equation by more than 0.1 %. Nothing is put in
        its place.
    """
    require_allocator(allocator)
    usable = _usable(returns)
    if not usable.any():
        raise BadInput(
            expected="at least one asset with a whole window of returns that move",
            found=f"none of {returns.shape[1]} over {returns.shape[0]} rows",
            where=f"allocator {allocator}",
        )
    out = np.zeros(returns.shape[1])
    n = int(usable.sum())
    if allocator == "equal" or n == 1:
        out[usable] = 1.0 / n
    else:
        out[usable] = _optimised(np.ascontiguousarray(returns[:, usable]), allocator)
    return out


def _usable(returns: F8) -> B1:
    if np.isinf(returns).any():
        raise BadInput(
            expected="finite returns or NaN", found="an infinite return", where="allocation window"
        )
    if len(returns) < 2:
        return np.zeros(returns.shape[1], dtype=np.bool_)
    whole = ~np.isnan(returns).any(axis=0)
    moves = returns.max(axis=0) > returns.min(axis=0)
    return np.asarray(whole & moves, dtype=np.bool_)


def _optimised(window: F8, allocator: str) -> F8:
    # A solver's tolerances are absolute: in units of about one standard deviation they mean the same for
    # daily and for one-minute returns. A power of two changes no digit.
    window = window * 2.0 ** -round(math.log2(float(window.std())))
    model = _estimators()[allocator]()
    try:
        with one_thread():
            weights = np.asarray(model.fit(window).weights_, dtype=np.float64)
    except _failures() as error:
        raise RegimeError(f"allocator {allocator}: no solution on {_shape(window)}: {error}") from error
    bad = not np.isfinite(weights).all() or (weights < -_WEIGHT_TOLERANCE).any()
    if bad or abs(weights.sum() - 1.0) > _WEIGHT_TOLERANCE:
        raise RegimeError(
            f"allocator {allocator}: expected weights ≥ 0 that sum to 1 on {_shape(window)}, "
            f"found a sum of {float(weights.sum())!r} and a least weight of {float(weights.min())!r}"
        )
    positive = np.maximum(weights, 0.0)
    weights = np.asarray(positive / positive.sum(), dtype=np.float64)
    _require_solved(allocator, weights, model.prior_estimator_.return_distribution_.covariance)
    return weights


def _require_solved(allocator: str, weights: F8, covariance: F8) -> None:
    """The answer satisfies the equation that defines it, whatever its solver says of itself.

    ``risk_parity``: every risk contribution ``w_i (Σw)_i / w'Σw`` is 1/N. ``minimum_variance``: no asset's
    marginal variance lies below the portfolio's, ``min (Σw)_i ≥ w'Σw``, which bounds what any other long-only
    portfolio could save (Frank and Wolfe 1956). The other two are closed forms.
    """
    with one_thread():
        marginal = covariance @ weights
        variance = float(weights @ marginal)
    if allocator == "risk_parity":
        miss = float(np.abs(weights.size * weights * marginal / variance - 1.0).max())
    elif allocator == "minimum_variance":
        miss = 1.0 - float(marginal.min()) / variance
    else:
        return
    if not miss <= _SOLVED_WITHIN:
        raise RegimeError(
            f"allocator {allocator}: expected an answer within {_SOLVED_WITHIN:g} of its defining equation "
            f"on {weights.size} assets, found {miss:g}"
        )


def _shape(window: F8) -> str:
    return f"{window.shape[0]} rows of {window.shape[1]} assets"


def _estimators() -> dict[str, Callable[[], Any]]:
    # Imported here: skfolio takes seconds to load, and most commands allocate nothing.
    from skfolio.moments import LedoitWolf
    from skfolio.optimization import HierarchicalRiskParity, InverseVolatility, MeanRisk, RiskBudgeting
    from skfolio.prior import EmpiricalPrior

    def with_prior(kind: Callable[..., Any]) -> Callable[[], Any]:
        covariance = LedoitWolf(store_precision=False)
        return lambda: kind(prior_estimator=EmpiricalPrior(covariance_estimator=covariance))

    return {
        "inverse_volatility": with_prior(InverseVolatility),
        "risk_parity": with_prior(RiskBudgeting),
        "minimum_variance": with_prior(MeanRisk),
        "hierarchical_risk_parity": with_prior(HierarchicalRiskParity),
    }


def _failures() -> tuple[type[Exception], ...]:
    from cvxpy.error import SolverError
    from skfolio.exceptions import SkfolioError

    return (SkfolioError, SolverError, ValueError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class ExposureParams:
    """How much of an asset's base weight each strategy holds.

    Parameters
    ----------
    trend_following : float
        Share held with the trend, in [0, 1].
    mean_reversion : float
        Share held at the cheap end of the range, in [0, 1].
    stand_aside : float
        Share held without a view, in [0, 1].
    de_risk : float
        Factor on what the label calls for when the risk state is turbulent or the label uncertain, in [0, 1].
    allow_short : bool
        Whether a falling trend is sold; otherwise it is only left.
    short_share : float
        Size of a short relative to the long it mirrors, in [0, 1].
    z_full : float
        Distance from the mean, in standard deviations, at which mean reversion is fully in (below) or fully
        out (above).
    """

    trend_following: float = 1.0
    mean_reversion: float = 1.0
    stand_aside: float = 0.5
    de_risk: float = 0.5
    allow_short: bool = False
    short_share: float = 0.5
    z_full: float = 2.0

    def __post_init__(self) -> None:
        for name in ("trend_following", "mean_reversion", "stand_aside", "de_risk", "short_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadInput(
                    expected="a share in [0, 1]", found=repr(getattr(self, name)), where=f"exposure.{name}"
                )
        if not 0.0 < self.z_full < np.inf:
            raise BadInput(expected="a number > 0", found=repr(self.z_full), where="exposure.z_full")


def strategy_exposure(
    labels: I1, risk_turbulent: B1, momentum: F8, z: F8, params: ExposureParams
) -> tuple[F8, I1]:
    """Exposure of each asset under its regime, and the strategy it comes from.

    With ``T`` = ``trend_following`` if momentum > 0, ``−trend_following · short_share`` if momentum < 0 and
    shorts are allowed, else 0; ``M`` = ``mean_reversion · clip(½ − z / (2 z_full), 0, 1)``;
    ``A`` = ``stand_aside``:

    ================= ================== ==================== ===================== =====================
    label             calm: exposure     calm: strategy       turbulent: exposure   turbulent: strategy
    ================= ================== ==================== ===================== =====================
    trending          T                  trend_following      T · de_risk           de_risk
    mean_reverting    M                  mean_reversion       M · de_risk           de_risk
    random            A                  stand_aside          A · de_risk           de_risk
    volatile_trending T · de_risk        de_risk              T · de_risk           de_risk
    uncertain         A · de_risk        de_risk              A · de_risk           de_risk
    ================= ================== ==================== ===================== =====================

    Where momentum or z is NaN the exposure is 0 and the strategy :data:`NO_STRATEGY`, whatever the label: an
    asset without a price, without enough past or with a price that stands still gets no weight by any road.

    Parameters
    ----------
    labels : int8 [N]
        Index into ``REGIME_LABELS``.
    risk_turbulent : bool [N]
    momentum, z : float64 [N]
        Log return and standard deviations; NaN = not known.
    params : ExposureParams

    Returns
    -------
    exposure : float64 [N]
        In [−1, 1]; never NaN.
    strategy : int8 [N]
        Index into ``tuple(Exposure)``, −1 = input missing.

    Raises
    ------
    BadInput
        A label code outside ``REGIME_LABELS``.
    """
    if ((labels < 0) | (labels >= len(REGIME_LABELS))).any():
        raise BadInput(
            expected=f"label codes 0 to {len(REGIME_LABELS) - 1}", found=str(labels.tolist()), where="labels"
        )
    is_label = {label: labels == code for label, code in _LABEL.items()}
    trends = is_label[RegimeLabel.TRENDING] | is_label[RegimeLabel.VOLATILE_TRENDING]
    reverts = is_label[RegimeLabel.MEAN_REVERTING]
    reduced = risk_turbulent | is_label[RegimeLabel.VOLATILE_TRENDING] | is_label[RegimeLabel.UNCERTAIN]

    held = np.where(trends, _trend(momentum, params), params.stand_aside)
    held = np.where(reverts, _reversion(z, params), held) * np.where(reduced, params.de_risk, 1.0)
    strategy = np.where(trends, _STRATEGY[Exposure.TREND_FOLLOWING], _STRATEGY[Exposure.STAND_ASIDE])
    strategy = np.where(reverts, _STRATEGY[Exposure.MEAN_REVERSION], strategy)
    strategy = np.where(reduced, _STRATEGY[Exposure.DE_RISK], strategy)

    missing = np.isnan(momentum) | np.isnan(z)
    exposure = np.where(missing, 0.0, held) + 0.0
    return exposure, np.where(missing, NO_STRATEGY, strategy).astype(np.int8)


def _trend(momentum: F8, params: ExposureParams) -> F8:
    down = -params.trend_following * params.short_share if params.allow_short else 0.0
    return np.where(momentum > 0, params.trend_following, np.where(momentum < 0, down, 0.0))


def _reversion(z: F8, params: ExposureParams) -> F8:
    cheap = np.clip(0.5 - z / (2.0 * params.z_full), 0.0, 1.0)
    return np.asarray(params.mean_reversion * cheap, dtype=np.float64)


def target_weights(base: F8, exposure: F8, budget: float) -> F8:
    """Target weights ``budget · base · exposure`` in nanoweights, rounded toward zero.

    Parameters
    ----------
    base : float64 [N]
        Non-negative, sums to at most 1.
    exposure : float64 [N]
        In [−1, 1].
    budget : float
        Fraction of equity the basket may use, positive.

    Returns
    -------
    float64 [N]
        Integer multiples of 1e-9 (``core.numbers``).

    Raises
    ------
    BadInput
        A budget that is not positive and finite, or a base weight or an exposure that is NaN or out of range.
    """
    if not 0.0 < budget < np.inf:
        raise BadInput(expected="a positive fraction of equity", found=repr(budget), where="budget")
    _require_within(base, 0.0, 1.0, "base weight")
    _require_within(exposure, -1.0, 1.0, "exposure")
    return to_nano(budget * base * exposure)


def _require_within(values: F8, low: float, high: float, where: str) -> None:
    inside: npt.NDArray[np.bool_] = (values >= low) & (values <= high)
    if not inside.all():
        at = int(np.flatnonzero(~inside)[0])
        raise BadInput(
            expected=f"a number in [{low:g}, {high:g}]", found=repr(values[at]), where=f"{where} {at}"
        )
