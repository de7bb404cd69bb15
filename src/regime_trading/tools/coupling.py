"""Who moves with the market, and whether one drives the other: verdicts on groups, and what they allow.

Correlation is called correlation. A word of cause (``drives``, ``driven``, ``bidirectional``) is used only where
convergent cross mapping passed all its tests (:mod:`regime_trading.tools.convergent_mapping`).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.tools.convergent_mapping import CrossMap, CrossMapParams, cross_map, normal_scores
from regime_trading.tools.cross_asset import WARM_UP, Correlation, CorrelationBreak, robust_correlation
from regime_trading.tools.risk import ewma_volatility

FAST = CrossMapParams(dimensions=(2, 3, 4), n_surrogates=39)
"""Cheapest parameters that can still reject at level .05 in two directions."""

Verdict = Literal["drives", "driven", "bidirectional", "synchronous", "correlated", "decoupled", "unknown"]


@dataclass(frozen=True, slots=True)
class CouplingParams:
    """How groups are judged against the market.

    Attributes
    ----------
    cross_map : CrossMapParams
        :data:`FAST`, or ``CrossMapParams()`` where time allows.
    halflife : float
        Of the EWMA volatility whose logarithm is cross mapped, in bars.
    negligible : float
        |correlation| of returns, and cross-map skill, below which a group counts as decoupled.
    strong : float
        |correlation| of the log volatilities from which a mutual coupling cannot be told from a shared driver.
    level : float
        1 − level is the coverage of the correlation interval.
    """

    cross_map: CrossMapParams = field(default=FAST)
    halflife: float = 5.0
    negligible: float = 0.3
    strong: float = 0.5
    level: float = 0.05

    def __post_init__(self) -> None:
        if not (
            self.halflife > 0 and 0 < self.negligible < 1 and 0 < self.strong <= 1 and 0 < self.level < 1
        ):
            raise BadInput(
                expected="halflife > 0; negligible, strong and level in (0, 1)",
                found=repr(self),
                where="CouplingParams",
            )


@dataclass(frozen=True, slots=True)
class GroupCoupling:
    """Coupling of one group with the market, with the numbers behind.

    Attributes
    ----------
    group : str
    verdict : Verdict
        ``drives``: the group drives the market; ``driven``: the market drives the group.
    grade : {'bars'}
        Grade of the evidence.
    correlation : Correlation or None
        Of returns.
    volatility_correlation : Correlation or None
        Of the normal scores of the log volatilities that are cross mapped.
    drives, driven : CrossMap or None
        Both directions; None where not computed.
    n_obs : int
        Rows on which group and market both have a return.
    reason : str
    """

    group: str
    verdict: Verdict
    n_obs: int
    reason: str
    correlation: Correlation | None = None
    volatility_correlation: Correlation | None = None
    drives: CrossMap | None = None
    driven: CrossMap | None = None
    grade: Literal["bars"] = "bars"

    @property
    def skill(self) -> float | None:
        """Largest cross-map skill of the two directions."""
        known = [c.skill_max for c in (self.drives, self.driven) if c is not None]
        return max(known) if known else None

    @property
    def best_lag(self) -> int | None:
        """Bars from the effect to the cause in the direction with the larger skill."""
        known = [c for c in (self.drives, self.driven) if c is not None]
        return max(known, key=lambda c: c.skill_max).best_lag if known else None


def judge(
    drives: CrossMap, driven: CrossMap, volatility: Correlation, returns: Correlation, params: CouplingParams
) -> tuple[Verdict, str]:
    """Verdict on a pair and its reason, in this order.

    1. *Both directions causal*: ``bidirectional``; ``synchronous`` where the mapped series are strongly correlated
       (interval beyond ±``strong``): a shared driver looks the same.
    2. *One causal*: ``drives`` or ``driven``; ``synchronous`` where they are strongly correlated and the other
       direction does not peak at a positive lag, as it must behind a one-way cause.
    3. *Both coupled, none causal*: ``synchronous``: no order in time.
    4. *Shown to be apart*: ``decoupled`` where the interval of the return correlation lies inside ±``negligible``,
       that of the mapped series holds 0, no direction is dependent and both skills are below ``negligible``.
    5. *An interval excludes 0*: ``correlated``. 6. Else ``unknown``.

    Parameters
    ----------
    drives, driven : CrossMap
        The first series as cause, and as effect.
    volatility, returns : Correlation
        Of the series that were mapped, and of their returns.
    params : CouplingParams
    """
    strong = _beyond(volatility, params.strong)
    if drives.causal or driven.causal:
        return _causal(drives, driven, strong)
    if drives.coupled and driven.coupled:
        return "synchronous", "each knows the other, and neither is earlier"
    apart = -params.negligible < returns.low and returns.high < params.negligible
    silent = not (drives.dependent or driven.dependent)
    if (
        apart
        and silent
        and not _beyond(volatility, 0.0)
        and max(drives.skill_max, driven.skill_max) < params.negligible
    ):
        return "decoupled", f"correlation shown to be below {params.negligible:g}, no cross-map skill"
    if _beyond(returns, 0.0) or _beyond(volatility, 0.0):
        return "correlated", "correlation without evidence of cause"
    if drives.coupled or driven.coupled:
        return "unknown", "nonlinear dependence without order in time"
    return "unknown", "correlation neither excludes 0 nor is shown to be small"


def _causal(drives: CrossMap, driven: CrossMap, strong: bool) -> tuple[Verdict, str]:
    if drives.causal and driven.causal:
        if strong:
            return "synchronous", "mutual, but a shared driver would look the same"
        return "bidirectional", "cross maps converge both ways, each cause earlier"
    other = driven if drives.causal else drives
    if strong and other.best_lag <= 0:
        return "synchronous", "one way, but the way back is not later: a shared driver would look the same"
    verdict: Verdict = "drives" if drives.causal else "driven"
    return verdict, "cross map converges one way, the cause earlier"


def _beyond(correlation: Correlation, bound: float) -> bool:
    return correlation.low > bound or correlation.high < -bound


def couple(
    name: str, x: F8, y: F8, returns: Correlation, params: CouplingParams, rng: np.random.Generator
) -> GroupCoupling:
    """Cross maps of two persistent series in both directions, and the verdict of :func:`judge`.

    Parameters
    ----------
    name : str
    x, y : float64 [T]
        Aligned, without NaN: log volatilities, or any state that persists. Returns are all but unpredictable, and
        cross mapping them says so.
    returns : Correlation
    params : CouplingParams
    rng : numpy Generator

    Returns
    -------
    GroupCoupling
        ``unknown`` where the series are too short or do not vary.
    """
    try:
        drives = cross_map(y, x, params.cross_map, rng)
        driven = cross_map(x, y, params.cross_map, rng)
    except BadInput as error:
        return GroupCoupling(name, "unknown", returns.n_obs, str(error), correlation=_known(returns))
    volatility = robust_correlation(normal_scores(x), normal_scores(y), params.level)
    verdict, reason = judge(drives, driven, volatility, returns, params)
    return GroupCoupling(name, verdict, returns.n_obs, reason, _known(returns), volatility, drives, driven)


def _known(correlation: Correlation) -> Correlation | None:
    return None if math.isnan(correlation.value) else correlation


def couplings(
    returns: F8,
    market_returns: F8,
    groups: Mapping[str, Sequence[int]],
    *,
    params: CouplingParams,
    rng: np.random.Generator,
) -> tuple[GroupCoupling, ...]:
    """Coupling of each group with the market, from all rows given: for a verdict at t, pass the rows up to t.

    The return of a group is the mean over the members that have one. Correlation is of returns; cross mapped are
    the logarithms of :func:`~regime_trading.tools.risk.ewma_volatility` of group and market, which persist. Rows
    on which either has no return are left out, which closes the gap. A market that contains the group is correlated
    with it by construction.

    Parameters
    ----------
    returns : float64 [T, N]
        NaN = no return.
    market_returns : float64 [T]
    groups : mapping of str to columns
    params : CouplingParams
    rng : numpy Generator
        One number is drawn; each group has a generator of its own from it and its name, so that neither the order
        nor the number of groups changes a result.

    Returns
    -------
    tuple of GroupCoupling
        In the order of the names. Too few common returns give ``unknown`` with the reason.

    Raises
    ------
    BadInput
        Shapes that do not match, infinite returns, or an empty group.
    """
    shapes = returns.ndim == 2 and market_returns.shape == returns.shape[:1]
    if (
        not shapes
        or np.isinf(returns).any()
        or np.isinf(market_returns).any()
        or not all(map(len, groups.values()))
    ):
        raise BadInput(
            expected="returns [T, N] and market returns [T], finite or NaN, and no empty group",
            found=f"shapes {returns.shape} and {market_returns.shape}, {len(groups)} groups",
            where="couplings",
        )
    seed = int(rng.integers(0, 2**62))
    return tuple(
        _group(name, _basket(returns[:, list(groups[name])]), market_returns, params, seed)
        for name in sorted(groups)
    )


def _group(name: str, basket: F8, market: F8, params: CouplingParams, seed: int) -> GroupCoupling:
    rows = ~(np.isnan(basket) | np.isnan(market))
    pair = np.column_stack([basket[rows], market[rows]])
    correlation = robust_correlation(pair[:, 0], pair[:, 1], params.level)
    volatility = ewma_volatility(pair, params.halflife, min_obs=WARM_UP)
    state = np.log(volatility[~np.isnan(volatility).any(axis=1)])
    if len(state) < params.cross_map.min_obs:
        needed = params.cross_map.min_obs + WARM_UP - 1
        reason = f"{len(pair)} common returns, {needed} needed"
        return GroupCoupling(name, "unknown", len(pair), reason, correlation=_known(correlation))
    own = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return couple(name, state[:, 0], state[:, 1], correlation, params, own)


def _basket(members: F8) -> F8:
    count = (~np.isnan(members)).sum(axis=1)
    return np.where(count > 0, np.nansum(members, axis=1) / np.maximum(count, 1), np.nan)


def cross_asset_cap(
    found: Sequence[GroupCoupling],
    change: CorrelationBreak,
    *,
    decoupled_cost: float = 0.5,
    break_cost: float = 0.25,
    level: float = 0.05,
) -> float:
    """Highest confidence in the market's label that the groups allow: it may lower a confidence, never raise one.

    cap = (1 − decoupled_cost · d) · (1 − break_cost · b), where d is the share of all groups whose verdict is
    ``decoupled`` and b = max(0, 1 − p/level) of the break test. 1 where no group is decoupled and p ≥ level; what
    is unknown changes nothing. It falls with every group that decouples and with every smaller p.

    Parameters
    ----------
    found : sequence of GroupCoupling
    change : CorrelationBreak
    decoupled_cost, break_cost : float
        In [0, 1].
    level : float
        In (0, 1).

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    BadInput
        A cost or level out of range.
    """
    if not (0 <= decoupled_cost <= 1 and 0 <= break_cost <= 1 and 0 < level < 1):
        raise BadInput(
            expected="costs in [0, 1] and a level in (0, 1)",
            found=f"{decoupled_cost}, {break_cost}, {level}",
            where="cross_asset_cap",
        )
    apart = sum(g.verdict == "decoupled" for g in found) / max(len(found), 1)
    severity = 0.0 if math.isnan(change.p_value) else max(0.0, 1.0 - change.p_value / level)
    return (1.0 - decoupled_cost * apart) * (1.0 - break_cost * severity)
