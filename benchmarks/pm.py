"""All rules for many accounts at once, beside the plain reference, a bare vectorised pass and the product W·Σ.

    python benchmarks/pm.py [--accounts 10000] [--assets 100] [--reference-accounts 20] [--seed 1]

Timed: `decide` with every rule on, reasons kept, on random books and proposals that hit many limits; the same decisions
by the plain Python reference (`tests/unit/guards/reference.py`), compared one by one; a bare pass over the same
arrays (single-name clamp, gross, net, volatility, concentration, turnover), which is what a desk writes in an
afternoon; and the one matrix product W·Σ, which no volatility check can do without. Medians of five after a warm-up,
one thread. The last lines time one decision of 50 assets from a request to the answer, validation and reasons included.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from tests.unit.guards.reference import decide_one
from tests.unit.guards.scenarios import ANNUAL, Scene, scene

from regime_trading.core.rules import RULES
from regime_trading.guards.chain import decide

TRAITS = frozenset({"shorts", "tight", "losses", "illiquid", "costly", "regime"})
#: What is off by default because it is a firm's or a prop's business: switched on here, with limits that bind some.
ON = {
    "LD_06": {"weekly_pct": "0.05", "monthly_pct": "0.08"},
    "LD_07": {"max_loss_pct_equity": "0.02"},
    "LD_10": {"share": "0.5"},
    "LD_11": {"best_day_share": "0.5"},
    "LD_12": {"when": "always"},
    "VT_02": {"max_annual_vol": "0.03"},
    "CC_05": {"max_cluster": "0.35"},
    "CC_06": {"max_pair": "0.25"},
    "CC_07": {"max_beta": "0.8"},
    "CC_10": {"max_share": "0.35"},
    "CC_12": {"max_firm_weight": "0.2"},
    "XL_18": {"max_impact_bps": "25"},
}


def median_seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Median of ``runs`` after one warm-up."""
    work()
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def books(accounts: int, assets: int, seed: int) -> Scene:
    """Random books under every rule; the firm-wide loss rule has a limit too."""
    s = scene(seed, min(accounts, 200), assets, TRAITS)
    s = s.with_rules(**ON, LD_13={"limit_pct": "0.05"})
    if accounts <= 200:
        return s
    times = -(-accounts // 200)
    return repeated(s, times, accounts)


def repeated(s: Scene, times: int, accounts: int) -> Scene:
    """The same 200 accounts over and over, each copy with proposals of its own."""
    from tests.properties.scenes import rows

    index = [i % len(s.profiles) for i in range(accounts)]
    r = np.random.default_rng(times)
    view = rows(s.view, index)
    nudged = np.trunc(view.books.proposed * r.uniform(0.8, 1.2, (accounts, 1)))
    made = Scene(view, [s.profiles[i] for i in index], knobs=take(s.knobs, index))
    return made.with_books(
        proposed=nudged,
        accounts=tuple(f"f{i % 50}/a{i}" for i in range(accounts)),
        firm=np.arange(accounts) % 50,
    )


def take(knobs: dict, index: list[int]) -> dict:
    """Stacked parameters of the accounts of ``index``."""

    def pick(value: object) -> object:
        if isinstance(value, np.ndarray):
            return value[index]
        if isinstance(value, tuple):
            return tuple(value[i] for i in index)
        return {name: pick(item) for name, item in value.items()} if isinstance(value, dict) else value

    return {rule_id: pick(params) for rule_id, params in knobs.items()}


def bare_pass(proposed: np.ndarray, current: np.ndarray, sigma: np.ndarray, target: float) -> np.ndarray:
    """What a desk writes in an afternoon: clamp, gross, net, volatility, concentration, turnover. No missing data, no
    reasons, no hedges, no latches."""
    w = np.clip(proposed, -0.2, 0.2)
    gross = np.abs(w).sum(axis=1, keepdims=True)
    w = w * np.minimum(1.0, 1.0 / np.maximum(gross, 1e-12))
    net = np.abs(w.sum(axis=1, keepdims=True))
    w = w * np.minimum(1.0, 1.0 / np.maximum(net, 1e-12))
    vol = np.sqrt(np.maximum(np.einsum("ai,ai->a", w @ sigma, w), 0.0))[:, None]
    w = w * np.minimum(1.0, target / np.maximum(vol, 1e-12))
    hhi = np.square(w).sum(axis=1, keepdims=True)
    w = np.where(hhi > 0.25, w * 0.9, w)
    increase = np.maximum(np.abs(w) - np.abs(current), 0.0).sum(axis=1, keepdims=True)
    return current + (w - current) * np.minimum(1.0, 0.5 / np.maximum(increase, 1e-12))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def batch(accounts: int, assets: int, seed: int) -> tuple[float, float, float]:
    """Seconds of `decide`, of the bare pass and of W·Σ, for one size."""
    s = books(accounts, assets, seed)
    w = np.nan_to_num(s.view.books.proposed) / 1e9
    current = np.nan_to_num(s.view.books.current) / 1e9
    annual = np.nan_to_num(s.view.market.sigma) * np.sqrt(ANNUAL)
    sigma = np.nan_to_num(s.view.market.correlation) * np.outer(annual, annual)
    fast = median_seconds(lambda: decide(s.view, s.knobs, annual=ANNUAL))
    bare = median_seconds(lambda: bare_pass(w, current, sigma, 0.15))
    product = median_seconds(lambda: w @ sigma)
    return fast, bare, product


def reference(assets: int, accounts: int, seed: int) -> float:
    """Seconds per account of the plain reference, after comparing every answer with the arrays."""
    s = books(accounts, assets, seed)
    d, _ = decide(s.view, s.knobs, annual=ANNUAL)
    start = time.perf_counter()
    answers = [decide_one(s.view, a, s.profiles, ANNUAL) for a in range(accounts)]
    seconds = time.perf_counter() - start
    for a, answer in enumerate(answers):
        target = [None if np.isnan(w) else int(w) for w in d.projection.target[a]]
        if target != answer.target or d.steps.step_qty[a].tolist() != answer.step or d.mode[a] != answer.mode:
            raise SystemExit(f"the reference decides differently for account {a}")
    return seconds / accounts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--assets", type=int, default=100)
    parser.add_argument("--reference-accounts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"{len(RULES)} rules on, {args.assets} assets, one thread")
    plain = reference(args.assets, args.reference_accounts, args.seed)
    print(f"  plain reference             {1 / plain:12,.0f} accounts/s   results equal")
    for accounts in sorted({1, 100, args.accounts}):
        fast, bare, product = batch(accounts, args.assets, args.seed)
        print(
            f"  {accounts:6,} accounts: decide {fast * 1e3:9.1f} ms {accounts / fast:10,.0f} accounts/s"
            f" · {plain * accounts / fast:6.1f} x reference · {fast / bare:6.1f} x bare pass ({bare * 1e3:.1f} ms)"
            f" · {fast / product:6.1f} x W·Σ ({product * 1e3:.1f} ms) · peak {peak_mb():,.0f} MB"
        )
    one = books(1, 50, args.seed)
    taken = []
    for _ in range(400):
        start = time.perf_counter()
        decide(one.view, one.knobs, annual=ANNUAL)
        taken.append((time.perf_counter() - start) * 1e3)
    taken = sorted(taken[50:])
    p50, p99 = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
    print(f"  one decision, 50 assets, arrays: p50 {p50:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
