"""Budgets over many assets: what each leaves of a proposal, in compiled loops of fixed (symbol) order.

Three shapes (``guards.constraint``): a :class:`Cap` on the sum of sizes of each of several sets, a :class:`PairCap` on
two sizes at a time, a :class:`Tilt` on a signed sum. A budget never hands out what another rule took: factors come
from the proposal alone, frozen assets count with what they are, and what a frozen asset asked for beyond that
stays reserved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from regime_trading.core.numbers import B1, F8, I8
from regime_trading.guards.constraint import Cap, Constraint, PairCap, Tail, Tilt


@dataclass(frozen=True, slots=True)
class Demand:
    """A proposal split into what can be traded and what cannot, nanoweights [A, N].

    Parameters
    ----------
    free : float64
        The tradable part.
    fixed : float64
        What frozen assets are.
    asked : float64
        Free; for frozen assets, what they asked for beyond what they are.
    reserved : float64
        The size that a frozen asset asked for beyond what it is, ≥ 0; on the other side of zero only what is over.
    frozen : bool
    """

    free: F8
    fixed: F8
    asked: F8
    reserved: F8
    frozen: B1


def budget_rules(meet: Constraint) -> tuple[str, ...]:
    """Rules whose budgets are in the meet, in the order of every array over budgets: caps, pairs, tilts, tails,
    volatility, rises."""
    spent: list[Cap | PairCap | Tilt | Tail] = [*meet.caps, *meet.pairs, *meet.tilts, *meet.tails]
    vol = ("VT-01",) if meet.vol is not None else ()
    return (*(item.rule_id for item in spent), *vol, *(rise.rule_id for rise in meet.rises))


# --- caps -------------------------------------------------------------------------------------------------


def used(cap: Cap, sizes: F8) -> F8:
    """What ``sizes`` [A, N] use up of each set, float64 [A, S]."""
    return _set_sums(sizes, *_arrays(cap), cap.limit.shape[1])


def cap_factor(cap: Cap, demand: Demand) -> F8:
    """Factor per asset that brings each set within its limit, on the grid, rounded down; float64 [A, N].

    A set whose frozen part alone is over the limit is not scaled (:func:`cap_exhausted`).
    """
    label, load = _arrays(cap)
    return _cap_factor(demand.free, demand.fixed, demand.reserved, label, load, cap.limit)


def cap_exhausted(cap: Cap, demand: Demand) -> B1:
    """Accounts in which the frozen part of a set alone is over its limit while the set asks for more, bool [A]."""
    spent, wanted = used(cap, np.abs(demand.fixed)), used(cap, np.abs(demand.free))
    exhausted: B1 = np.logical_or.reduce((spent > cap.limit) & (wanted > 0), axis=1)
    return exhausted


def cap_share(cap: Cap, base: F8, entering: F8) -> F8:
    """Share of each entry that the limit leaves beside ``base``, float64 [A, N]."""
    label, load = _arrays(cap)
    return _cap_share(base, entering, label, load, cap.limit)


def cap_slack(cap: Cap) -> F8:
    """What rounding of a load that is not whole may cost, float64 [A, S]."""
    whole = bool(np.all(cap.load == np.trunc(cap.load)))
    return np.zeros_like(cap.limit) if whole else np.where(np.isinf(cap.limit), 0.0, np.abs(cap.limit) * 1e-9)


def _arrays(cap: Cap) -> tuple[I8, F8]:
    return np.ascontiguousarray(cap.label, dtype=np.int64), np.ascontiguousarray(cap.load, dtype=np.float64)


@numba.njit(cache=True)
def _set_sums(sizes: F8, label: I8, load: F8, n_sets: int) -> F8:  # pragma: no cover
    out = np.zeros((sizes.shape[0], n_sets))
    for r in range(sizes.shape[0]):
        a, b = min(r, label.shape[0] - 1), min(r, load.shape[0] - 1)
        for i in range(sizes.shape[1]):
            if label[a, i] >= 0 and sizes[r, i] != 0.0:
                out[r, label[a, i]] += load[b, i] * abs(sizes[r, i])
    return out


@numba.njit(cache=True)
def _cap_factor(free: F8, fixed: F8, reserved: F8, label: I8, load: F8, limit: F8) -> F8:  # pragma: no cover
    n_accounts, n = free.shape
    n_sets = limit.shape[1]
    out = np.ones((n_accounts, n))
    for r in range(n_accounts):
        a, b = min(r, label.shape[0] - 1), min(r, load.shape[0] - 1)
        spent, wanted = np.zeros(n_sets), np.zeros(n_sets)
        for i in range(n):
            s = label[a, i]
            if s >= 0 and load[b, i] > 0.0:
                if fixed[r, i] != 0.0:
                    spent[s] += load[b, i] * abs(fixed[r, i])
                wants = abs(free[r, i]) + reserved[r, i]
                if wants != 0.0:
                    wanted[s] += load[b, i] * wants
        for i in range(n):
            s = label[a, i]
            if s >= 0 and load[b, i] > 0.0:
                room = limit[r, s] - spent[s]
                if room >= 0.0 and wanted[s] > room:
                    out[r, i] = min(np.floor(room / wanted[s] * 1e9) / 1e9, 1.0)
    return out


@numba.njit(cache=True)
def _cap_share(base: F8, entering: F8, label: I8, load: F8, limit: F8) -> F8:  # pragma: no cover
    n_accounts, n = base.shape
    n_sets = limit.shape[1]
    out = np.ones((n_accounts, n))
    for r in range(n_accounts):
        a, b = min(r, label.shape[0] - 1), min(r, load.shape[0] - 1)
        there, coming = np.zeros(n_sets), np.zeros(n_sets)
        for i in range(n):
            s = label[a, i]
            if s >= 0 and load[b, i] > 0.0:
                if base[r, i] != 0.0:
                    there[s] += load[b, i] * abs(base[r, i])
                if entering[r, i] != 0.0:
                    coming[s] += load[b, i] * abs(entering[r, i])
        for i in range(n):
            s = label[a, i]
            if s >= 0 and load[b, i] > 0.0:
                room = max(limit[r, s] - there[s], 0.0)
                if coming[s] > room:
                    out[r, i] = room / coming[s]
    return out


# --- pairs ------------------------------------------------------------------------------------------------


def pair_factor(cap: PairCap, demand: Demand, rho: F8, blind: B1) -> tuple[F8, B1]:
    """Factor per asset that brings each pair it is in within the limit, float64 [A, N]; accounts in which a frozen part
    alone is over it, bool [A]."""
    d, counts = demand, ~cap.exempt
    return _pair_factor(
        d.free * counts,
        d.fixed * counts,
        d.asked * counts,
        d.reserved * counts,
        rho,
        blind,
        cap.threshold,
        cap.limit,
    )


def pair_worst(cap: PairCap, book: F8, rho: F8, blind: B1) -> F8:
    """Largest ``|w_i| + |w_j|`` over linked pairs of the book as it is, float64 [A]; 0 where there is none."""
    return _pair_worst(book * ~cap.exempt, rho, blind, cap.threshold)


def pair_share(cap: PairCap, base: F8, entering: F8, rho: F8, blind: B1) -> F8:
    """Share of each entry that the pair limit leaves beside ``base``, float64 [A, N]."""
    counts = ~cap.exempt
    return _pair_share(base * counts, entering * counts, rho, blind, cap.threshold, cap.limit)


@numba.njit(cache=True)
def _linked(x: float, y: float, rho: float, blind: bool, threshold: float) -> bool:  # pragma: no cover
    if x == 0.0 or y == 0.0:
        return False
    known = abs(rho) <= 1.000001 and not blind
    same = 1.0 if (x > 0.0) == (y > 0.0) else -1.0
    return bool((rho * same if known else 1.0) > threshold)


@numba.njit(cache=True)
def _candidates(rho: F8, threshold: F8, limit: F8) -> I8:  # pragma: no cover
    """Pairs ``j < i`` that some account may count as linked on its correlation alone, int64 [P, 2]."""
    least = np.inf
    for r in range(len(limit)):
        if not np.isinf(limit[r]):
            least = min(least, threshold[r])
    n = rho.shape[0]
    found = np.empty((n * (n - 1) // 2, 2), dtype=np.int64)
    count = 0
    for i in range(n):
        for j in range(i):
            if not abs(rho[i, j]) <= min(least, 1.000001):
                found[count, 0], found[count, 1] = i, j
                count += 1
    return found[:count]


@numba.njit(cache=True)
def _pair_factor(
    free: F8, fixed: F8, asked: F8, reserved: F8, rho: F8, blind: B1, threshold: F8, limit: F8
) -> tuple[F8, B1]:  # pragma: no cover
    n_accounts, n = free.shape
    out, exhausted = np.ones((n_accounts, n)), np.zeros(n_accounts, dtype=np.bool_)
    close, every = _candidates(rho, threshold, limit), _candidates(rho, np.array([-1.0]), np.zeros(1))
    for r in range(n_accounts):
        if np.isinf(limit[r]):
            continue
        pairs = every if np.any(blind[r]) else close
        for p in range(len(pairs)):
            i, j = pairs[p]
            if free[r, i] == 0.0 and free[r, j] == 0.0:
                continue
            unsure = blind[r, i] or blind[r, j]
            linked = _linked(asked[r, i], asked[r, j], rho[i, j], unsure, threshold[r])
            linked = linked or _linked(fixed[r, i], asked[r, j], rho[i, j], unsure, threshold[r])
            linked = linked or _linked(asked[r, i], fixed[r, j], rho[i, j], unsure, threshold[r])
            if not linked:
                continue
            room = limit[r] - abs(fixed[r, i]) - abs(fixed[r, j])
            wanted = abs(free[r, i]) + abs(free[r, j]) + reserved[r, i] + reserved[r, j]
            if room < 0.0:
                exhausted[r] = True
            elif wanted > room:
                factor = np.floor(room / wanted * 1e9) / 1e9
                out[r, i] = min(out[r, i], factor)
                out[r, j] = min(out[r, j], factor)
    return out, exhausted


@numba.njit(cache=True)
def _pair_worst(book: F8, rho: F8, blind: B1, threshold: F8) -> F8:  # pragma: no cover
    n_accounts = len(book)
    out = np.zeros(n_accounts)
    close, every = _candidates(rho, threshold, out), _candidates(rho, np.array([-1.0]), np.zeros(1))
    for r in range(n_accounts):
        pairs = every if np.any(blind[r]) else close
        for p in range(len(pairs)):
            i, j = pairs[p]
            if _linked(book[r, i], book[r, j], rho[i, j], blind[r, i] or blind[r, j], threshold[r]):
                out[r] = max(out[r], abs(book[r, i]) + abs(book[r, j]))
    return out


@numba.njit(cache=True)
def _pair_share(
    base: F8, entering: F8, rho: F8, blind: B1, threshold: F8, limit: F8
) -> F8:  # pragma: no cover
    n_accounts, n = base.shape
    out = np.ones((n_accounts, n))
    close, every = _candidates(rho, threshold, limit), _candidates(rho, np.array([-1.0]), np.zeros(1))
    for r in range(n_accounts):
        pairs = every if np.any(blind[r]) else close
        for p in range(len(pairs)):
            i, j = pairs[p]
            x, y = base[r, i] + entering[r, i], base[r, j] + entering[r, j]
            coming = abs(entering[r, i]) + abs(entering[r, j])
            if coming == 0.0 or not _linked(x, y, rho[i, j], blind[r, i] or blind[r, j], threshold[r]):
                continue
            room = max(limit[r] - abs(base[r, i]) - abs(base[r, j]), 0.0)
            if coming > room:
                out[r, i] = min(out[r, i], room / coming)
                out[r, j] = min(out[r, j], room / coming)
    return out


# --- tilts ------------------------------------------------------------------------------------------------


def tilted(tilt: Tilt, book: F8) -> F8:
    """The signed sum of a book, float64 [A]."""
    return _tilted(book, np.ascontiguousarray(tilt.load))


def tilt_factor(tilt: Tilt, demand: Demand, kept: F8) -> F8:
    """``k`` of a signed budget: each side in full, the other side as far as it survives (``kept``), float64 [A]."""
    return _tilt_factor(
        demand.asked, demand.free, demand.fixed, kept, np.ascontiguousarray(tilt.load), tilt.limit
    )


def tilt_slack(tilt: Tilt) -> F8:
    """One nanoweight of each asset, float64 [A] or [1]: what truncation may move a signed sum by."""
    slack: F8 = np.abs(tilt.load).sum(axis=1) * (1.0 + 1e-9)
    return slack


@numba.njit(cache=True)
def _tilted(book: F8, load: F8) -> F8:  # pragma: no cover
    out = np.zeros(book.shape[0])
    for r in range(book.shape[0]):
        b = min(r, load.shape[0] - 1)
        for i in range(book.shape[1]):
            if book[r, i] != 0.0:
                out[r] += load[b, i] * book[r, i]
    return out


@numba.njit(cache=True)
def _tilt_factor(asked: F8, free: F8, fixed: F8, kept: F8, load: F8, limit: F8) -> F8:  # pragma: no cover
    n_accounts, n = asked.shape
    out = np.ones(n_accounts)
    for r in range(n_accounts):
        b = min(r, load.shape[0] - 1)
        grid_loss = 0.0  # truncation may cost each hedge one nanoweight
        stuck = 0.0
        for i in range(n):
            grid_loss += abs(load[b, i])
            if fixed[r, i] != 0.0:
                stuck += load[b, i] * fixed[r, i]
        for sign in (1.0, -1.0):
            side = 0.0
            for i in range(n):
                pull = sign * load[b, i]
                side += max(pull * asked[r, i], 0.0)
                if pull * free[r, i] < 0.0:
                    side -= abs(load[b, i]) * kept[r, i]
            room = limit[r] - max(sign * stuck, 0.0)
            if room >= 0.0 and side > room:
                out[r] = min(out[r], np.floor(max(room - grid_loss, 0.0) / side * 1e9) / 1e9)
    return out


# --- expected shortfall -----------------------------------------------------------------------------------


@numba.njit(cache=True)
def scenario_losses(free: F8, fixed: F8, credit: F8, scenarios: F8) -> tuple[F8, F8]:  # pragma: no cover
    """Bounds on the loss of each scenario: of the free part with gains only as far as they survive, and of the fixed
    part as it is; float64 [A, S] each, of plain weights. NaN where a return of an asset in use is missing."""
    n_accounts, n = free.shape
    moving, stuck = np.zeros((n_accounts, len(scenarios))), np.zeros((n_accounts, len(scenarios)))
    for r in range(n_accounts):
        for s in range(len(scenarios)):
            for i in range(n):
                if free[r, i] == 0.0 and fixed[r, i] == 0.0:
                    continue
                move = scenarios[s, i]
                if not np.isfinite(move):
                    moving[r, s], stuck[r, s] = np.nan, np.nan
                    break
                loss = -free[r, i] * move
                moving[r, s] += loss if loss >= 0.0 else loss * credit[r, i]
                stuck[r, s] -= fixed[r, i] * move
    return moving, stuck


def mean_worst(losses: F8, confidence: F8) -> F8:
    """Expected shortfall of each row: the mean of the worst ``1 − confidence`` share of what is known, at least one;
    float64 [A], 0 where nothing is known."""
    if not losses.shape[1]:
        return np.zeros(len(losses))
    known = ~np.isnan(losses)
    worst = np.sort(np.where(known, losses, -np.inf), axis=1)[:, ::-1]
    n = known.sum(axis=1)
    count = np.clip(np.ceil((1.0 - confidence) * n - 1e-9), 1.0, np.maximum(n, 1)).astype(np.int64)
    total = np.cumsum(np.where(np.isneginf(worst), 0.0, worst), axis=1)
    mean: F8 = np.take_along_axis(total, count[:, None] - 1, axis=1)[:, 0] / count
    return np.where(n > 0, mean, 0.0)
