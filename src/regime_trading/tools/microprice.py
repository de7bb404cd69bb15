"""Queue imbalance, the weighted mid, and the microprice of Stoikov (2018).

The weighted mid reads only the two sizes at the touch. The microprice is the limit of the expected mid after
many mid moves, given imbalance and spread; it is a martingale by construction and is estimated from counts of
transitions, so that a tape of any length is taken chunk by chunk in bounded memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import B1, F8, I8

_CONVERGED_TICKS = 1e-12
_MAX_ITERATIONS = 20_000


def imbalance(bid_sz: npt.ArrayLike, ask_sz: npt.ArrayLike) -> F8:
    """Queue imbalance I = B / (B + A), in [0, 1].

    Parameters
    ----------
    bid_sz, ask_sz : array_like [...]
        Sizes at the best bid and ask, same units. NaN gives NaN; so does a total size of zero.
    """
    bid, ask = np.asarray(bid_sz, np.float64), np.asarray(ask_sz, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bid + ask > 0.0, bid / (bid + ask), np.nan)


def weighted_mid(bid: npt.ArrayLike, ask: npt.ArrayLike, bid_sz: npt.ArrayLike, ask_sz: npt.ArrayLike) -> F8:
    """Size-weighted mid a I + b (1 − I), I = B / (B + A), of Gatheral & Oomen (2010).

    Not the microprice: it is no martingale and is noisy where the spread is wide.

    Parameters
    ----------
    bid, ask : array_like [...]
        Price units.
    bid_sz, ask_sz : array_like [...]
        NaN results where either is NaN or their sum is zero.
    """
    share = imbalance(bid_sz, ask_sz)
    return np.asarray(ask, np.float64) * share + np.asarray(bid, np.float64) * (1.0 - share)


@dataclass(frozen=True, slots=True)
class Microprice:
    """Fitted adjustment of the mid by state of the book.

    Attributes
    ----------
    tick : float
        Price units.
    adjustment_ticks : F8[S + 1, n]
        g(spread, imbalance) in ticks; row s is a spread of s ticks (0 = locked, S = S or more), columns are
        equal bins of imbalance. Antisymmetric in imbalance. NaN where the tape does not say (enough).
    moves : int
        Mid changes behind the fit.
    iterations : int
        Terms of Σ B^k G1 until the next was below 1e-12 ticks.
    """

    tick: float
    adjustment_ticks: F8
    moves: int
    iterations: int

    def at(self, bid: npt.ArrayLike, ask: npt.ArrayLike, bid_sz: npt.ArrayLike, ask_sz: npt.ArrayLike) -> F8:
        """Microprice m + g(I, S), price units, shape of the broadcast inputs.

        NaN where the quote is not valid (missing, crossed, a size not above zero) or its state was
        not seen (often enough).
        """
        sides = (np.asarray(v, np.float64) for v in (bid, ask, bid_sz, ask_sz))
        b, a, bs, az = np.broadcast_arrays(*sides)
        ok = _valid(b, a, bs, az)
        price = np.full(b.shape, np.nan)
        rows, columns = self.adjustment_ticks.shape
        state = _states(b[ok], a[ok], bs[ok], az[ok], self.tick, columns, rows - 1)
        price[ok] = (a[ok] + b[ok]) / 2.0 + self.tick * self.adjustment_ticks.ravel()[state]
        return price


class MicropriceCounts:
    """Transitions between book states, counted over consecutive chunks of one tape.

    A state is (imbalance in ``n_imbalance`` equal bins, spread in ticks capped at ``max_spread_ticks``). Each
    kept row and the next one of its session are one transition; rows that are not valid are passed over.
    Counts do not depend on where a tape is cut into chunks.

    Parameters
    ----------
    n_imbalance : int
        Odd, so that equal sizes lie inside the middle bin and mirror onto themselves.
    max_spread_ticks : int
        Wider spreads share one state.
    tick : float or None
        Price units. None: the smallest positive difference between two prices of the first ``tick_rows``
        valid rows.
    tick_rows : int
        Rows held back until the tick is known.
    min_moves : int
        Mid changes below which nothing is estimated.
    min_state_rows : int
        Rows of a state and its mirror below which the state is not given (it stays part of the chain).

    Raises
    ------
    BadInput
        Parameters out of range.
    """

    def __init__(
        self,
        *,
        n_imbalance: int = 9,
        max_spread_ticks: int = 5,
        tick: float | None = None,
        tick_rows: int = 4096,
        min_moves: int = 30,
        min_state_rows: int = 20,
    ) -> None:
        lowest = min(n_imbalance, max_spread_ticks, tick_rows - 1, min_moves, min_state_rows)
        if lowest < 1 or n_imbalance % 2 == 0:
            raise BadInput(
                expected="n_imbalance odd, tick_rows ≥ 2, all others ≥ 1",
                found=f"{n_imbalance}, {max_spread_ticks}, {tick_rows}, {min_moves}, {min_state_rows}",
                where="MicropriceCounts",
            )
        if tick is not None and not 0.0 < tick < np.inf:
            raise BadInput(expected="a tick above zero", found=str(tick), where="tick")
        self._bins, self._cap = n_imbalance, max_spread_ticks
        self._tick, self._tick_rows = tick, tick_rows
        self._min_moves, self._min_state_rows = min_moves, min_state_rows
        states = n_imbalance * (max_spread_ticks + 1)
        self._still, self._moved = np.zeros((states, states), np.int64), np.zeros((states, states), np.int64)
        self._change = np.zeros((states, states))  # Σ of mid changes, ticks
        self._last = np.array([-1.0, np.nan])  # state and mid of the last kept row
        self._held: list[tuple[F8, F8, F8, F8, B1]] = []
        self._held_rows = 0
        self._fresh = True

    def update(self, bid: F8, ask: F8, bid_sz: F8, ask_sz: F8, new_session: B1) -> None:
        """Take the next rows of the tape.

        Parameters
        ----------
        bid, ask, bid_sz, ask_sz : F8[n]
            Best quotes in tape order; rows that are not valid are left out.
        new_session : B1[n]
            True where no difference to the row before may be taken. Set on a row that is left out, it holds
            for the next one that is kept. The first row of all starts a session.

        Raises
        ------
        BadInput
            Unequal lengths.
        """
        columns = (bid, ask, bid_sz, ask_sz, new_session)
        if len({len(c) for c in columns}) != 1:
            raise BadInput(
                expected="equal lengths",
                found=str([len(c) for c in columns]),
                where="MicropriceCounts.update",
            )
        ok = _valid(bid, ask, bid_sz, ask_sz)
        session = np.cumsum(new_session)
        kept = session[ok]
        starts = np.diff(kept, prepend=kept[:1]) > 0
        if kept.size:
            starts[0] = self._fresh or kept[0] > 0
            self._fresh = False
        ends = session[-1] > (kept[-1] if kept.size else 0) if session.size else False
        self._take(bid[ok], ask[ok], bid_sz[ok], ask_sz[ok], starts)
        self._fresh = bool(self._fresh or ends)

    def fit(self) -> Microprice | None:
        """The microprice of everything taken so far; None where it is not estimable (:meth:`why_not`).

        Counts are symmetrised: every transition (I, S, dm → I', S') also counts as (1−I, S, −dm → 1−I', S').
        With Q the probabilities of a next row with the same mid, T of one with another mid and R k the
        expected change, per row: G1 = (1 − Q)⁻¹ R k, B = (1 − Q)⁻¹ T, G* = Σ_k B^k G1 (Stoikov 2018,
        Quantitative Finance 18:1959). Transitions into states that never lead to a mid change are left out,
        and those states are NaN.
        """
        solved = self._solve()
        return solved if isinstance(solved, Microprice) else None

    def why_not(self) -> str:
        """Why :meth:`fit` gives None; empty where it does not."""
        solved = self._solve()
        return solved if isinstance(solved, str) else ""

    def _take(self, bid: F8, ask: F8, bid_sz: F8, ask_sz: F8, starts: B1) -> None:
        if self._tick is not None:
            self._count(self._tick, (bid, ask, bid_sz, ask_sz, starts))
            return
        room = self._tick_rows - self._held_rows
        self._held.append((bid[:room], ask[:room], bid_sz[:room], ask_sz[:room], starts[:room]))
        self._held_rows += len(bid[:room])
        if self._held_rows == self._tick_rows:
            rows, self._held, self._held_rows = _joined(self._held), [], 0
            self._tick = smallest_increment(np.concatenate(rows[:2]))
            self._count(self._tick or 1.0, rows)  # without a tick all rows are locked at one price: no unit
            self._take(bid[room:], ask[room:], bid_sz[room:], ask_sz[room:], starts[room:])

    def _count(self, tick: float, rows: tuple[F8, F8, F8, F8, B1]) -> None:
        bid, ask, bid_sz, ask_sz, starts = rows
        state = _states(bid, ask, bid_sz, ask_sz, tick, self._bins, self._cap)
        _count(state, (ask + bid) / 2.0, starts, tick, self._last, self._still, self._moved, self._change)

    def _counted(self) -> tuple[float, I8, I8, F8] | str:
        """Tick and counts, rows held back included, without changing anything."""
        if self._tick is not None:
            return self._tick, self._still, self._moved, self._change
        if not self._held_rows:
            return "no mid change seen"
        rows = _joined(self._held)
        tick = smallest_increment(np.concatenate(rows[:2]))
        if tick is None:
            return "no mid change seen"
        state = _states(*rows[:4], tick, self._bins, self._cap)
        still, moved, change = self._still.copy(), self._moved.copy(), self._change.copy()
        mid = (rows[1] + rows[0]) / 2.0
        _count(state, mid, rows[4], tick, self._last.copy(), still, moved, change)
        return tick, still, moved, change

    def _solve(self) -> Microprice | str:
        counted = self._counted()
        if isinstance(counted, str):
            return counted
        tick, still, moved, change = counted
        moves = int(moved.sum())
        if moves == 0:
            return "no mid change seen"
        if moves < self._min_moves:
            return f"{moves} mid changes seen, at least {self._min_moves} needed"
        mirror = np.arange(len(still)).reshape(-1, self._bins)[:, ::-1].ravel()
        twin = np.ix_(mirror, mirror)
        fitted = solve_counts(still + still[twin], moved + moved[twin], change - change[twin])
        if isinstance(fitted, str):
            return fitted
        g, iterations = fitted
        rows = (still + moved).sum(axis=1)
        g = np.where(rows + rows[mirror] >= self._min_state_rows, (g - g[mirror]) / 2.0, np.nan)
        return Microprice(tick, g.reshape(-1, self._bins), moves, iterations)


def solve_counts(still: I8, moved: I8, change: F8) -> tuple[F8, int] | str:
    """G* of (already symmetrised) transition counts, and the number of terms; or why there is none.

    Parameters
    ----------
    still, moved : I8[N, N]
        Transitions from row to column with the mid unchanged, and changed.
    change : F8[N, N]
        Sum of mid changes over ``moved``, ticks.

    Returns
    -------
    F8[N], int
        Ticks; NaN for states that were never left or from which no mid change can be reached.
    """
    live = _live(still, moved)
    if not live.any():
        return "no mid change between states that recur"
    inside = np.ix_(live, live)
    q, t = still[inside].astype(np.float64), moved[inside].astype(np.float64)
    rows = (q.sum(axis=1) + t.sum(axis=1))[:, None]
    hold = np.eye(len(q)) - q / rows
    drift = change[inside].sum(axis=1)[:, None] / rows
    try:
        solved = np.linalg.solve(hold, np.hstack([drift, t / rows]))
    except np.linalg.LinAlgError:
        return "transition matrix is singular"
    term, step = solved[:, 0], solved[:, 1:]
    total = term.copy()
    for iterations in range(1, _MAX_ITERATIONS):
        term = step @ term
        total += term
        if not np.all(np.isfinite(total)):
            break
        if np.abs(term).max() < _CONVERGED_TICKS:
            g = np.full(len(still), np.nan)
            g[live] = total
            return g, iterations
    return "expected mid does not converge: book states fall apart into groups"


def smallest_increment(prices: F8) -> float | None:
    """Smallest positive difference between two of the prices, to 7 significant digits; None where there is
    none. Differences below 1e-9 of the largest price are rounding noise."""
    if not prices.size:
        return None
    steps = np.diff(np.unique(prices))
    steps = steps[steps > 1e-9 * np.abs(prices).max()]
    return float(f"{steps.min():.6e}") if steps.size else None


def _valid(bid: F8, ask: F8, bid_sz: F8, ask_sz: F8) -> B1:
    """Finite, 0 < bid ≤ ask, both sizes above zero."""
    finite = np.isfinite(bid) & np.isfinite(ask) & np.isfinite(bid_sz) & np.isfinite(ask_sz)
    valid: B1 = finite & (bid > 0.0) & (bid <= ask) & (bid_sz > 0.0) & (ask_sz > 0.0)
    return valid


def _states(bid: F8, ask: F8, bid_sz: F8, ask_sz: F8, tick: float, bins: int, cap: int) -> I8:
    """Index spread · bins + imbalance bin. Bins mirror: swapping the sizes gives bins − 1 − bin."""
    total = bid_sz + ask_sz
    low = np.minimum(np.floor(np.minimum(bid_sz, ask_sz) / total * bins), bins // 2)
    column = np.where(bid_sz <= ask_sz, low, bins - 1 - low)
    spread = np.minimum(np.rint((ask - bid) / tick), cap)
    return (spread * bins + column).astype(np.int64)


def _joined(parts: list[tuple[F8, F8, F8, F8, B1]]) -> tuple[F8, F8, F8, F8, B1]:
    bid, ask, bid_sz, ask_sz, starts = zip(*parts, strict=True)
    sides = [np.concatenate(side) for side in (bid, ask, bid_sz, ask_sz)]
    return sides[0], sides[1], sides[2], sides[3], np.concatenate(starts)


def _live(still: I8, moved: I8) -> B1:
    """States that are left and lead to a mid change, through such states only."""
    live = np.ones(len(still), np.bool_)
    while True:
        reach = moved[:, live].sum(axis=1) > 0
        reach &= live
        for _ in range(len(still)):
            further = live & (reach | (still[:, reach].sum(axis=1) > 0))
            if np.array_equal(further, reach):
                break
            reach = further
        if np.array_equal(reach, live):
            return live
        live = reach


@njit(cache=True)
def _count(state: I8, mid: F8, starts: B1, tick: float, last: F8, still: I8, moved: I8, change: F8) -> None:
    for i in range(state.shape[0]):
        before = int(last[0])
        if before >= 0 and not starts[i]:
            dm = (mid[i] - last[1]) / tick
            if abs(dm) < 1e-6:
                still[before, state[i]] += 1
            else:
                moved[before, state[i]] += 1
                change[before, state[i]] += dm
        last[0] = state[i]
        last[1] = mid[i]
