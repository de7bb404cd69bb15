"""Toxicity and price impact of trading: VPIN, bulk classification of volume, Kyle's lambda, Amihud's measure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.special import ndtr, stdtr

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8, I1, I8
from regime_trading.tools.order_flow import Line, least_squares


class Vpin:
    """Volume-synchronised probability of informed trading, over consecutive chunks of one tape.

    VPIN = mean over the last n equal-volume buckets of |V_buy − V_sell| / V; a trade that does not fit into the
    open bucket is split at its edge (Easley, López de Prado & O'Hara 2012, Rev. Financial Studies 25:1457; it
    is disputed as a predictor: Andersen & Bondarenko 2014). Executions of one order need not be merged first:
    a trade in pieces fills buckets as the whole does. The series is that of closed buckets; the open one is in
    none of the numbers.

    Parameters
    ----------
    bucket_volume : float
        V, units of size.
    n_buckets : int
        n.

    Raises
    ------
    BadInput
        A volume that is not above zero and finite, or ``n_buckets`` below 1.
    """

    def __init__(self, bucket_volume: float, *, n_buckets: int = 50) -> None:
        if not 0.0 < bucket_volume < np.inf or n_buckets < 1:
            raise BadInput(
                expected="a bucket volume above zero and n_buckets ≥ 1",
                found=f"{bucket_volume}, {n_buckets}",
                where="Vpin",
            )
        self._volume, self._n = float(bucket_volume), n_buckets
        self._open = np.zeros(2)  # volume and bought volume of the open bucket
        self._imbalance: list[F8] = []
        self._close_ns: list[I8] = []

    def update(self, ts_ns: I8, size: F8, buy_share: F8) -> None:
        """Take the next trades (or bars).

        Parameters
        ----------
        ts_ns : I8[m]
        size : F8[m]
            Volume; zero is passed over.
        buy_share : F8[m]
            Share of it that buyers started, in [0, 1]: :func:`aggressor_share` of signed trades,
            :func:`bulk_buy_share` of bars.

        Raises
        ------
        BadInput
            Unequal lengths, a size that is negative or not finite, a share outside [0, 1].
        """
        if not len(ts_ns) == len(size) == len(buy_share):
            raise BadInput(
                expected="equal lengths", found=f"{len(ts_ns)}, {len(size)}, {len(buy_share)}", where="Vpin"
            )
        if not np.all(np.isfinite(size) & (size >= 0.0)):
            raise BadInput(expected="finite sizes ≥ 0", found="another", where="size")
        if not np.all((buy_share >= 0.0) & (buy_share <= 1.0)):
            raise BadInput(expected="shares in [0, 1]", found="another", where="buy_share")
        room = int((self._open[0] + size.sum()) / self._volume * (1.0 + 1e-9)) + 1
        imbalance, close_ns = np.empty(room), np.empty(room, np.int64)
        closed = _fill(ts_ns, size, buy_share, self._volume, self._open, imbalance, close_ns)
        self._imbalance.append(imbalance[:closed].copy())
        self._close_ns.append(close_ns[:closed].copy())

    def imbalances(self) -> F8:
        """|V_buy − V_sell| / V of every closed bucket, in [0, 1], oldest first, shape [K]."""
        return np.concatenate([np.empty(0), *self._imbalance])

    def closed_ns(self) -> I8:
        """Time of the trade that filled each bucket, shape [K]."""
        return np.concatenate([np.empty(0, np.int64), *self._close_ns])

    def series(self) -> F8:
        """VPIN at the close of every bucket, shape [K]; NaN until n buckets are full."""
        imbalance = self.imbalances()
        out = np.full(imbalance.size, np.nan)
        if imbalance.size >= self._n:
            windows = np.lib.stride_tricks.sliding_window_view(imbalance, self._n)
            out[self._n - 1 :] = np.minimum(windows.mean(axis=1), 1.0)
        return out

    def value(self) -> float:
        """VPIN at the last closed bucket; NaN until n buckets are full."""
        imbalance = self.imbalances()[-self._n :]
        return float(min(imbalance.mean(), 1.0)) if imbalance.size == self._n else float("nan")


def own_percentile(series: F8, *, min_history: int = 20) -> float:
    """Rank of the last value in its own past, in [0, 1]: share of earlier values below it, ties by half.

    Parameters
    ----------
    series : F8[K]
        Oldest first; NaN values are passed over. NaN results where the last is NaN or fewer than
        ``min_history`` earlier ones are known.
    """
    past = series[:-1][np.isfinite(series[:-1])]
    if not series.size or not np.isfinite(series[-1]) or past.size < max(1, min_history):
        return float("nan")
    return float(((past < series[-1]).sum() + 0.5 * (past == series[-1]).sum()) / past.size)


def aggressor_share(aggressor: I1) -> F8:
    """Bought share of signed trades: 1 of a buy, 0 of a sell, ½ where the tape does not say. Shape [m]."""
    return (np.sign(aggressor).astype(np.float64) + 1.0) / 2.0


def bulk_buy_share(d_price: npt.ArrayLike, sigma: npt.ArrayLike, *, df: float | None = None) -> F8:
    """Bulk volume classification: V_buy = V · F(dp / sigma); this is F(dp / sigma), in [0, 1].

    F is the normal distribution function, or Student's t with ``df`` degrees (Easley, López de Prado & O'Hara
    2012). Where sigma is zero prices say nothing: ½. NaN where either is NaN.

    Parameters
    ----------
    d_price : array_like [K]
        Change of price over the bar.
    sigma : array_like, scalar or [K]
        Standard deviation of such changes, same units; :func:`past_sigma` looks back only.

    Raises
    ------
    BadInput
        A negative sigma, or ``df`` not above zero.
    """
    change, scale = np.broadcast_arrays(np.asarray(d_price, np.float64), np.asarray(sigma, np.float64))
    if np.any(scale < 0.0) or (df is not None and not df > 0.0):
        raise BadInput(expected="sigma ≥ 0 and df > 0", found="another", where="bulk_buy_share")
    z = np.divide(change, scale, out=np.zeros(change.shape), where=scale != 0.0)
    z[np.isnan(change)] = np.nan
    return np.asarray(ndtr(z) if df is None else stdtr(df, z), np.float64)


def past_sigma(d_price: F8, *, min_obs: int = 20) -> F8:
    """Standard deviation of all changes before each one, shape [K]; NaN below ``min_obs`` of them.

    NaN changes are passed over. ``ddof`` is 1.

    Raises
    ------
    BadInput
        ``min_obs`` below 2.
    """
    if min_obs < 2:
        raise BadInput(expected="min_obs ≥ 2", found=str(min_obs), where="past_sigma")
    return np.asarray(_past_sigma(np.asarray(d_price, np.float64), min_obs))


def bucket_sums(ts_ns: I8, values: F8, start_ns: I8, interval_ns: int) -> F8:
    """Σ of values in the half-open buckets [start, start + interval), shape [K].

    Parameters
    ----------
    ts_ns, values : I8[m], F8[m]
        Events (signed sizes, say) in order of time; those in no bucket are left out.
    start_ns : I8[K]
        Ascending (``OrderFlow.start_ns``); of two equal edges, where sessions meet, the later one counts.
    """
    bucket = np.searchsorted(start_ns, ts_ns, "right") - 1
    inside = bucket >= 0
    inside[inside] = ts_ns[inside] - start_ns[bucket[inside]] < interval_ns
    return np.bincount(bucket[inside], weights=values[inside], minlength=len(start_ns)).astype(np.float64)


def kyle_lambda(d_mid: F8, signed_volume: F8) -> Line:
    """Kyle's lambda: the slope of Δmid = a + lambda · signed volume + e over fixed buckets.

    Ordinary least squares with intercept (Kyle 1985; Hasbrouck 2009, J. Finance 64:1445).

    Parameters
    ----------
    d_mid : F8[K]
        Change of the mid, price units.
    signed_volume : F8[K]
        Bought less sold. NaN slope below 3 buckets or where the volume does not vary.

    Raises
    ------
    BadInput
        Unequal lengths.
    """
    _same_length(d_mid, signed_volume, "kyle_lambda")
    return least_squares(signed_volume, d_mid)


def amihud(returns: F8, dollar_volume: F8) -> float:
    """Amihud's (2002, J. Financial Markets 5:31) illiquidity: mean |r| / dollar volume, × 1e6.

    Parameters
    ----------
    returns : F8[K]
        Fractions.
    dollar_volume : F8[K]
        Periods with zero volume, or with a NaN, are dropped; NaN results where none is left.

    Raises
    ------
    BadInput
        Unequal lengths or a negative volume.
    """
    _same_length(returns, dollar_volume, "amihud")
    if np.any(dollar_volume < 0.0):
        raise BadInput(expected="dollar volume ≥ 0", found="a negative one", where="dollar_volume")
    ok = np.isfinite(returns) & np.isfinite(dollar_volume) & (dollar_volume > 0.0)
    if not ok.any():
        return float("nan")
    return float(np.mean(np.abs(returns[ok]) / dollar_volume[ok]) * 1e6)


def _same_length(a: F8, b: F8, where: str) -> None:
    if len(a) != len(b):
        raise BadInput(expected="equal lengths", found=f"{len(a)} and {len(b)}", where=where)


@njit(cache=True)
def _fill(ts_ns: I8, size: F8, buy_share: F8, volume: float, head: F8, imbalance: F8, close_ns: I8) -> int:
    """Fill buckets; the open one stays in ``head``. Returns how many closed."""
    closed = 0
    for i in range(size.shape[0]):
        left = size[i]
        while head[0] + left >= volume:
            part = volume - head[0]
            bought = head[1] + part * buy_share[i]
            imbalance[closed] = min(1.0, abs(2.0 * bought - volume) / volume)
            close_ns[closed] = ts_ns[i]
            closed += 1
            left -= part
            head[0], head[1] = 0.0, 0.0
        head[0] += left
        head[1] += left * buy_share[i]
    return closed


@njit(cache=True)
def _past_sigma(d_price: F8, min_obs: int) -> F8:
    """Welford's recursion, read before each value enters."""
    out = np.full(d_price.shape[0], np.nan)
    n, mean, square = 0, 0.0, 0.0
    for i in range(d_price.shape[0]):
        if n >= min_obs:
            out[i] = np.sqrt(square / (n - 1))
        x = d_price[i]
        if not np.isnan(x):
            n += 1
            step = x - mean
            mean += step / n
            square += step * (x - mean)
    return out
