"""Second opinions on "calm or turbulent?": another bar, and another estimator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.tools.regime import RISK_REASONS, causal_risk_state

WEEK_BARS = 5
FORTNIGHT_BARS = 10
VOLATILITY_BARS = 20
MIN_VOLATILITIES = 252


@dataclass(frozen=True, slots=True)
class Opinion:
    """``turbulent`` is None where there was too little to go on; ``detail`` says why, or on what it rests."""

    turbulent: bool | None
    detail: str


def block_returns(log_returns: F8, block: int) -> F8:
    """Returns of consecutive blocks of ``block`` bars, the last of which ends at the last bar.

    Bars at the start that do not fill a block are left out. Log returns of known bars add up, so a missing
    bar (NaN) inside a block is no hole; a block without any known return is NaN.

    Parameters
    ----------
    log_returns : float64 [T]
    block : int
        ≥ 1.

    Returns
    -------
    float64 [T // block]

    Raises
    ------
    BadInput
        Returns that are not one-dimensional, or ``block`` below 1.
    """
    if np.ndim(log_returns) != 1 or block < 1:
        raise BadInput(
            expected="returns of shape [T] and block ≥ 1",
            found=f"{np.ndim(log_returns)} dimensions, {block}",
            where="block_returns",
        )
    n = len(log_returns) // block
    blocks = np.asarray(log_returns, dtype=np.float64)[len(log_returns) - n * block :].reshape(n, block)
    known = np.isfinite(blocks)
    total = np.where(known, blocks, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total, np.nan)


def block_opinion(
    log_returns: F8, block: int, *, n_states: int, penalty: float, min_obs: int, refit_every: int, seed: int
) -> Opinion:
    """The same jump model on bars of ``block`` daily bars, the last of which ends at the last bar.

    A longer bar carries the evidence of its days, so the cost of a switch and the schedule (in bars) are
    divided by ``block``.

    Parameters
    ----------
    log_returns : float64 [T]
        Daily; NaN = missing bar.
    n_states, penalty, min_obs, refit_every, seed
        Of the daily model, in daily bars.

    Raises
    ------
    BadInput
        Parameters out of range (:func:`causal_risk_state`).
    """
    longer = block_returns(log_returns, block)
    if not len(longer):
        return Opinion(None, f"no complete bar of {block} days")
    path = causal_risk_state(
        longer,
        n_states=n_states,
        penalty=penalty / block,
        min_obs=max(n_states + 1, math.ceil(min_obs / block)),
        refit_every=math.ceil(refit_every / block),
        seed=seed,
    )
    state = int(path.state[-1])
    if state < 0:
        return Opinion(None, f"{len(longer)} bars of {block} days: {RISK_REASONS[int(path.reason[-1])]}")
    return Opinion(
        state == n_states - 1, f"state {state} of {n_states} on {len(longer)} bars of {block} days"
    )


def volatility_opinion(log_returns: F8, turbulent_share: float, window: int = VOLATILITY_BARS) -> Opinion:
    """Is realised volatility now as high as it was in the most volatile ``turbulent_share`` of the past?

    Turbulent where the standard deviation of the last ``window`` returns is at or above the
    ``1 − turbulent_share`` quantile of all such deviations up to now: a yes as often as the model says yes,
    without the model.

    Parameters
    ----------
    log_returns : float64 [T]
        NaN = missing bar, left out.
    turbulent_share : float
        Share of the past that the model called turbulent, in [0, 1].
    window : int
        Bars, ≥ 2.

    Raises
    ------
    BadInput
        A share outside [0, 1], or a window below 2.
    """
    if not 0.0 <= turbulent_share <= 1.0 or window < 2:
        raise BadInput(
            expected="a share in [0, 1] and a window of at least 2 bars",
            found=f"{turbulent_share}, {window}",
            where="volatility_opinion",
        )
    known = np.asarray(log_returns, dtype=np.float64)
    known = known[np.isfinite(known)]
    if len(known) < window + MIN_VOLATILITIES - 1:
        return Opinion(None, f"{len(known)} returns, {window + MIN_VOLATILITIES - 1} needed")
    spread = np.lib.stride_tricks.sliding_window_view(known, window).std(axis=1)
    now, threshold = float(spread[-1]), float(np.quantile(spread, 1.0 - turbulent_share))
    return Opinion(
        bool(now >= threshold), f"{window}-bar volatility {now:.5f} a bar, threshold {threshold:.5f}"
    )


def confidence_cap(agrees: tuple[bool, ...], one: float, both: float) -> float:
    """Cap on confidence: 1 where every opinion agrees, ``one`` where one does not, ``both`` where more do not."""
    against = len(agrees) - sum(agrees)
    return 1.0 if against == 0 else one if against == 1 else both
