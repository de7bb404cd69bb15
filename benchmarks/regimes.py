"""Regimes on worlds whose truth is known: structure labels, risk states, and the goal table.

The goal table sets ``smoothed_risk_state`` (in-sample) and ``fit_ensemble`` + filter (online: fitted on n
observations, filtered over the next 1000) beside hmmlearn (GaussianHMM, returns × 100, ten starts, best likelihood)
and jumpmodels (penalty 46 for two states, 100 for three) on the same paths. BAC is the mean over states of
the per-state accuracy averaged over paths, labels matched by the best permutation. A cell is reached where the
paired mean difference to the better package is no worse than −1 standard error and the states change at most three
times as often as the truth. ``OMP_NUM_THREADS=1 python benchmarks/regimes.py [--paths 64] [--quick] [--compiled]``;
the full table with jumpmodels itself takes about an hour, with ``--compiled`` (the equal jump model of this
package in its place) about twenty minutes.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import math
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from hmmlearn.hmm import GaussianHMM
from jumpmodels.jump import JumpModel

from regime_trading.tools.continuous_jump import continuous_online_values, fit_continuous_jump_model
from regime_trading.tools.hidden_markov import MarkovParams, filtered_probabilities
from regime_trading.tools.jump_model import fit_jump_model, online_values
from regime_trading.tools.regime import causal_risk_state
from regime_trading.tools.risk_ensemble import ensemble_filter, fit_ensemble, held_states, smoothed_states
from regime_trading.tools.structure import structure_label

AHEAD = 1000
TWO = (
    np.array([[1 - 0.002116, 0.002116], [0.011982, 1 - 0.011982]]),
    np.array([0.000615, -0.000785]),
    np.array([0.007759, 0.017397]),
)
MONTHLY = np.array([[0.9629, 0.0185, 0.0186], [0.0618, 0.8764, 0.0618], [0.1051, 0.1050, 0.7899]])
STARTS = 10
CAUSAL_PATHS = 24

Path = tuple[np.ndarray, np.ndarray]
Labels = tuple[np.ndarray | None, np.ndarray | None]


def daily(monthly: np.ndarray) -> np.ndarray:
    """The 20th root of a monthly transition matrix, rows that sum to one."""
    values, vectors = np.linalg.eig(monthly)
    root = np.real(vectors @ np.diag(values ** (1 / 20)) @ np.linalg.inv(vectors))
    return root / root.sum(axis=1, keepdims=True)


THREE = (
    daily(MONTHLY),
    np.array([0.0123, 0.0, -0.0157]) / 20,
    np.array([0.0347, 0.05, 0.0778]) / math.sqrt(20),
)
#: name: transition, mean, sd, degrees of freedom, penalty, sample sizes
WORLDS = {
    "2-state": (*TWO, math.inf, 46.0, (250, 500, 1000, 2000)),
    "3-state": (*THREE, math.inf, 100.0, (500, 1000, 2000)),
    "2-state t(5)": (*TWO, 5.0, 46.0, (1000,)),
}
QUICK = {"2-state": (250, 1000), "3-state": (500,), "2-state t(5)": (1000,)}


# --- worlds -----------------------------------------------------------------------------------------------


def chain(transition: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    k = len(transition)
    share = np.linalg.solve(np.eye(k) - transition.T + 1.0, np.ones(k))
    bounds, draws = transition.cumsum(axis=1), rng.random(n)
    state = np.empty(n, dtype=np.int64)
    state[0] = rng.choice(k, p=share / share.sum())
    for t in range(1, n):
        state[t] = min(int(np.searchsorted(bounds[state[t - 1]], draws[t])), k - 1)
    return state


def switching(name: str, n: int, rng: np.random.Generator, *, every_state: bool = True) -> Path:
    """True states and returns of n + 1000 bars; every state occurs in the first n of them where asked for."""
    transition, mean, sd, dof = WORLDS[name][:4]
    state = chain(transition, n + AHEAD, rng)
    while every_state and len(np.unique(state[:n])) < len(transition):
        state = chain(transition, n + AHEAD, rng)
    size = n + AHEAD
    z = (
        rng.standard_normal(size)
        if math.isinf(dof)
        else rng.standard_t(dof, size) / math.sqrt(dof / (dof - 2))
    )
    return state, mean[state] + sd[state] * z


def paths(name: str, n: int, count: int, seed: int, *, every_state: bool = True) -> list[Path]:
    root = np.random.SeedSequence([seed, n, sum(name.encode())])
    return [switching(name, n, np.random.default_rng(s), every_state=every_state) for s in root.spawn(count)]


def ar1(n: int, rng: np.random.Generator, phi: float, sd: float = 0.01) -> np.ndarray:
    noise, out = sd * rng.standard_normal(n + 100), np.zeros(n + 100)
    for t in range(1, n + 100):
        out[t] = phi * out[t - 1] + noise[t]
    return out[100:]


def garch(n: int, rng: np.random.Generator) -> np.ndarray:
    variance, out = 1e-4, np.empty(n + 500)
    for t in range(n + 500):
        out[t] = math.sqrt(variance) * rng.standard_normal()
        variance = 1e-6 + 0.08 * out[t] ** 2 + 0.91 * variance
    return out[500:]


STRUCTURE_WORLDS: dict[str, tuple[str, Callable[[int, np.random.Generator], np.ndarray]]] = {
    "white noise": ("random", lambda n, g: 0.01 * g.standard_normal(n)),
    "t(5)": ("random", lambda n, g: 0.01 * g.standard_t(5, n)),
    "GARCH(1,1)": ("random", garch),
    "2-state": ("random", lambda n, g: switching("2-state", n, g)[1][:n]),
    "3-state": ("random", lambda n, g: switching("3-state", n, g)[1][:n]),
    "slow drift": ("random", lambda n, g: 0.01 * g.standard_normal(n) + np.linspace(-1e-3, 1e-3, n)),
    "break in volatility": (
        "random",
        lambda n, g: np.where(np.arange(n) < n // 2, 0.01, 0.02) * g.standard_normal(n),
    ),
    "AR +.10": ("trending", lambda n, g: ar1(n, g, 0.10)),
    "AR +.25": ("trending", lambda n, g: ar1(n, g, 0.25)),
    "AR −.10": ("mean_reverting", lambda n, g: ar1(n, g, -0.10)),
    "AR −.25": ("mean_reverting", lambda n, g: ar1(n, g, -0.25)),
    "OU, half-life 10": ("mean_reverting", lambda n, g: np.diff(ar1(n + 1, g, 0.5**0.1))),
}


# --- the models -------------------------------------------------------------------------------------------


def ensemble(returns: np.ndarray, n: int, k: int) -> Labels:
    fit = fit_ensemble(returns[:n], n_states=k)
    inside, _ = smoothed_states(returns[:n], fit)
    online, _ = held_states(ensemble_filter(returns, fit), fit.share, -1)
    return inside, online[n:]


def hmmlearn(returns: np.ndarray, n: int, k: int) -> Labels:
    x, best, top = 100 * returns[:, None], None, -math.inf
    for start in range(STARTS):
        model = GaussianHMM(k, n_iter=200, tol=1e-3, random_state=start).fit(x[:n])
        score = model.score(x[:n])
        if score > top:
            best, top = model, score
    if best is None:
        return None, None
    order = np.argsort(best.covars_.ravel())
    params = MarkovParams(
        best.startprob_[order],
        best.transmat_[order][:, order],
        best.means_.ravel()[order],
        np.sqrt(best.covars_.ravel()[order]),
    )
    inside = np.argsort(order)[best.predict(x[:n])]
    return inside, filtered_probabilities(x[:, 0], params)[n:].argmax(axis=1)


def temporal_features(returns: np.ndarray, *, two_sided: bool) -> np.ndarray:
    """Features of Nystrup, Lindström & Madsen (2020): the return, its changes, means and deviations of 6 and 14 bars.

    Trailing windows only, or, for use in-sample, centred, left and right ones.
    """
    x = pd.Series(returns)
    columns = [x, x.diff().abs()]
    if two_sided:
        columns.append(x.diff(-1).abs())
    for width in (6, 14):
        if not two_sided:
            rolled = [x.rolling(width, min_periods=2)]
        else:
            half = width // 2
            rolled = [x.rolling(width, min_periods=2, center=True), x.rolling(half, min_periods=2)]
            ahead = x[::-1].rolling(half, min_periods=2)
            columns += [ahead.mean()[::-1], ahead.std()[::-1]]
        columns += [f for r in rolled for f in (r.mean(), r.std())]
    return pd.DataFrame(np.column_stack([c.to_numpy() for c in columns])).bfill().ffill().to_numpy()


def jump(
    returns: np.ndarray, n: int, k: int, penalty: float, *, two_sided: bool, cont: bool, compiled: bool
) -> Labels:
    x = temporal_features(returns[:n] if two_sided else returns, two_sided=two_sided)
    x = (x - x[:n].mean(axis=0)) / x[:n].std(axis=0)
    if not compiled:
        model = JumpModel(k, penalty, cont=cont, random_state=0).fit(x[:n], returns[:n], sort_by="vol")
        inside, online = model.labels_, model.predict_online(x)[n:]
    elif cont:
        fit = fit_continuous_jump_model(x[:n], returns[:n], n_states=k, penalty=penalty, seed=0)
        values = continuous_online_values(x, fit.centers, penalty)[n:]
        steps = round(1 / 0.05)
        inside, online = fit.labels, (values.argmin(axis=1) > steps // 2).astype(np.int64)
    else:
        plain = fit_jump_model(x[:n], returns[:n], n_states=k, penalty=penalty, seed=0)
        inside, online = plain.labels, online_values(x, plain.centers, penalty)[n:].argmin(axis=1)
    return np.asarray(inside), None if two_sided else np.asarray(online)


def baselines(name: str, compiled: bool) -> dict[str, Callable[[np.ndarray, int, int], Labels]]:
    penalty = WORLDS[name][4]

    def model(*, two_sided: bool, cont: bool) -> Callable[[np.ndarray, int, int], Labels]:
        return lambda r, n, k: jump(r, n, k, penalty, two_sided=two_sided, cont=cont, compiled=compiled)

    out = {
        "hmmlearn": hmmlearn,
        "jump": model(two_sided=False, cont=False),
        "jump two-sided": model(two_sided=True, cont=False),
    }
    if "t(5)" in name:
        out["continuous jump"] = model(two_sided=False, cont=True)
    return out


# --- scores -----------------------------------------------------------------------------------------------


def accuracies(truth: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Accuracy by true state [K] under the permutation of the best mean; NaN for a state that does not occur."""
    table = np.zeros((k, k))
    np.add.at(table, (truth, np.asarray(labels, dtype=np.int64)), 1.0)
    total = table.sum(axis=1, keepdims=True)
    share = np.where(total > 0, table / np.maximum(total, 1), np.nan)
    options = [share[np.arange(k), list(p)] for p in itertools.permutations(range(k))]
    return max(options, key=lambda a: float(np.nanmean(a)))


def bac(scores: np.ndarray) -> float:
    return float(np.nanmean(np.nanmean(scores, axis=0)))


def paired(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Difference of the BACs of scores [N, K] and its standard error over paths (delta method for the ratios)."""
    gap = ours - theirs
    seen = np.isfinite(gap)
    mean = np.nanmean(gap, axis=0)
    influence = np.mean(np.where(seen, gap - mean, 0.0) / seen.mean(axis=0), axis=1)
    return float(mean.mean()), float(influence.std(ddof=1) / math.sqrt(len(gap)))


def change_rate(labels: np.ndarray) -> float:
    return float(np.mean(np.diff(labels) != 0))


def cell(name: str, n: int, count: int, seed: int, *, compiled: bool, every_state: bool = True) -> list[dict]:
    """Both columns of one sample size: BAC by model, the best package, paired difference, rates of change."""
    k = len(WORLDS[name][0])
    models = {"ensemble": ensemble, **baselines(name, compiled)}
    scores: dict[str, dict[str, list]] = {"in-sample": {}, "online": {}}
    rates: dict[str, list] = {"in-sample": [], "online": [], "in-sample truth": [], "online truth": []}
    for truth, returns in paths(name, n, count, seed, every_state=every_state):
        parts = {"in-sample": truth[:n], "online": truth[n:]}
        for label, model in models.items():
            for column, found in zip(parts, model(returns, n, k), strict=True):
                if found is None:
                    continue
                scores[column].setdefault(label, []).append(accuracies(parts[column], found, k))
                if label == "ensemble":
                    rates[column].append(change_rate(found))
                    rates[f"{column} truth"].append(change_rate(parts[column]))
    return [_column(column, scores[column], rates) for column in scores]


def _column(column: str, scores: dict[str, list], rates: dict[str, list]) -> dict:
    tables = {label: np.array(rows) for label, rows in scores.items()}
    best = max((label for label in tables if label != "ensemble"), key=lambda label: bac(tables[label]))
    gap, error = paired(tables["ensemble"], tables[best])
    ratio = float(np.mean(rates[column]) / max(np.mean(rates[f"{column} truth"]), 1e-12))
    return {
        "column": column,
        "bac": {label: bac(table) for label, table in tables.items()},
        "best": best,
        "gap": gap,
        "error": error,
        "rate": ratio,
        "reached": gap >= -error and ratio <= 3.0,
    }


# --- blocks -----------------------------------------------------------------------------------------------


def goal_table(count: int, seed: int, *, quick: bool, compiled: bool, every_state: bool) -> None:
    print(f"\ngoal table, {count} paths per cell, every state in the fit window: {every_state}")
    for name, world in WORLDS.items():
        for n in QUICK[name] if quick else world[5]:
            start = time.perf_counter()
            for c in cell(name, n, count, seed, compiled=compiled, every_state=every_state):
                figures = ", ".join(f"{label} {value:.3f}" for label, value in c["bac"].items())
                word = "reached" if c["reached"] else "not reached"
                print(
                    f"{name} n={n} {c['column']}: {figures}; against {c['best']} {c['gap']:+.3f} ± {c['error']:.3f}, "
                    f"changes × {c['rate']:.2f} of the truth: {word}"
                )
            print(f"  {time.perf_counter() - start:.1f} s", flush=True)


def structure_table(count: int, seed: int, n: int = 1000) -> None:
    start = time.perf_counter()
    labels = ("trending", "mean_reverting", "random", "unknown")
    print(
        f"\nstructure labels, n={n}, {count} paths per world\n{'':22}" + "".join(f"{x:>16}" for x in labels)
    )
    for number, (name, (truth, world)) in enumerate(STRUCTURE_WORLDS.items()):
        found = dict.fromkeys(labels, 0)
        for s in np.random.SeedSequence([seed, 77, number]).spawn(count):
            found[structure_label(world(n, np.random.default_rng(s))).label.value] += 1
        row = "".join(f"{found[x] / count:>16.1%}" for x in labels)
        print(f"{name:22}{row}   truth {truth}", flush=True)
    print(f"  {time.perf_counter() - start:.1f} s")


def latencies(truth: np.ndarray, labels: np.ndarray, least: int = 20) -> list[float]:
    """Bars from a true switch until the label is the new state; infinite where the spell ends before."""
    edges = [*(np.flatnonzero(np.diff(truth)) + 1), len(truth)]
    out = []
    for a, b in itertools.pairwise(edges):
        hit = np.flatnonzero(labels[a:b] == truth[a])
        if b - a >= least:
            out.append(float(hit[0]) if hit.size else math.inf)
    return out


class Tally:
    """Confusion, waiting times and changes of one model over many paths."""

    def __init__(self, k: int) -> None:
        self.table, self.wait, self.flips, self.false, self.bars = np.zeros((k, k)), [], 0, 0, 0

    def add(self, truth: np.ndarray, found: np.ndarray) -> None:
        known = found >= 0
        truth, found = truth[known], found[known]
        np.add.at(self.table, (truth, found), 1.0)
        self.wait += latencies(truth, found)
        turns, switches = (np.flatnonzero(np.diff(states)) + 1 for states in (found, truth))
        near = [switches[(switches <= t) & (switches > t - 60)].size > 0 for t in turns]
        self.flips, self.false, self.bars = (
            self.flips + len(turns),
            self.false + near.count(False),
            self.bars + len(truth),
        )

    def line(self) -> str:
        shares = self.table / self.table.sum(axis=1, keepdims=True)
        rows = "; ".join(" ".join(f"{v:.3f}" for v in row) for row in shares)
        missed, bars = np.mean(np.isinf(self.wait)), self.bars
        return (
            f"truth by found [{rows}]; median latency {np.median(self.wait):.0f} bars, "
            f"{missed:.1%} of the spells of 20 bars and more missed; "
            f"{self.flips / bars:.4f} flips per bar, {self.false / bars:.4f} with no switch in the 60 bars before"
        )


def walk_forward(returns: np.ndarray, n: int, k: int) -> Labels:
    """The causal path as the product runs it: refitted on its schedule, the past held to the last bar."""
    return None, causal_risk_state(returns, n_states=k, min_obs=min(n, 250)).state[n:]


def risk_table(count: int, seed: int, *, compiled: bool, n: int = 1000) -> None:
    """Online states of the 1000 bars after n: confusion, latency, false flips; then worlds without regimes."""
    start = time.perf_counter()
    for name in WORLDS:
        k = len(WORLDS[name][0])
        online = {label: m for label, m in baselines(name, compiled).items() if "two-sided" not in label}
        models = {"ensemble, walk-forward": walk_forward, "ensemble, fitted once": ensemble, **online}
        tallies = {label: Tally(k) for label in models}
        for truth, returns in paths(name, n, count, seed):
            for label, model in models.items():
                found = model(returns, n, k)[1]
                if found is not None:
                    tallies[label].add(truth[n:], np.asarray(found, dtype=np.int64))
        print(f"\nrisk states {name}, the {AHEAD} bars after n={n}, {count} paths")
        for label, tally in tallies.items():
            print(f"  {label:24}{tally.line()}", flush=True)
    for number, name in enumerate(("white noise", "t(5)", "GARCH(1,1)")):
        main, flip, margin = [], [], []
        for s in np.random.SeedSequence([seed, 78, number]).spawn(count):
            path = causal_risk_state(STRUCTURE_WORLDS[name][1](n + AHEAD, np.random.default_rng(s)))
            known = path.state[path.state >= 0]
            main.append(np.bincount(known).max() / known.size)
            flip.append(change_rate(known))
            margin.append(np.nanmean(path.margin))
        print(
            f"one regime, {name}: {np.mean(main):.1%} of the bars in one state, {np.mean(flip):.4f} flips per bar, "
            f"mean margin {np.mean(margin):.3f}"
        )
    print(f"  {time.perf_counter() - start:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=64, help="paths per cell")
    parser.add_argument("--seed", type=int, default=20240)
    parser.add_argument("--quick", action="store_true", help="8 paths, fewer sample sizes")
    parser.add_argument(
        "--compiled", action="store_true", help="the equal jump model of this package as baseline"
    )
    parser.add_argument("--any", action="store_true", help="also paths whose fit window lacks a state")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    count = 8 if args.quick else args.paths
    structure_table(8 * count, args.seed)
    risk_table(min(count, CAUSAL_PATHS), args.seed, compiled=args.compiled)
    goal_table(count, args.seed, quick=args.quick, compiled=args.compiled, every_state=not args.any)


if __name__ == "__main__":
    main()
