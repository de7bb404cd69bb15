"""Jump models: one fit, one online step and a whole causal path, against the package ``jumpmodels``.

Medians of ``--repeats`` runs (at least five) after a warm-up, on simulated two-state daily returns with the
parameters of Hardy (2001). Start with ``OMP_NUM_THREADS=1 python benchmarks/jump_model.py [--n 8000]``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from hmmlearn.hmm import GaussianHMM
from jumpmodels.jump import JumpModel

from regime_trading.tools.continuous_jump import fit_continuous_jump_model
from regime_trading.tools.hidden_markov import filter_step, filtered_probabilities, fit_hidden_markov
from regime_trading.tools.regime import (
    WARM_UP,
    JumpFit,
    causal_risk_state,
    fit_jump_model,
    jump_features,
    online_step,
    online_values,
)

PENALTY = 50.0


def two_state_returns(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    leave, mean, sd = (0.002116, 0.011982), (0.000615, -0.000785), (0.007759, 0.017397)
    state, returns = 0, np.empty(n)
    for t in range(n):
        state = 1 - state if rng.random() < leave[state] else state
        returns[t] = mean[state] + sd[state] * rng.standard_normal()
    return returns


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    returns = two_state_returns(n + WARM_UP, seed)
    x = jump_features(returns)[WARM_UP:]
    return (x - x.mean(axis=0)) / x.std(axis=0), returns[WARM_UP:]


def compare_fit(n: int, seed: int, repeats: int) -> None:
    x, returns = sample(n, seed)

    def fit_theirs() -> JumpModel:
        return JumpModel(2, PENALTY, random_state=seed).fit(x, returns, sort_by="vol")

    def fit_ours() -> JumpFit:
        return fit_jump_model(x, returns, penalty=PENALTY, seed=seed)

    ours_s, theirs_s = median_seconds(fit_ours, repeats), median_seconds(fit_theirs, repeats)
    ours, theirs = fit_ours(), fit_theirs()
    labels = bool(np.array_equal(ours.labels, theirs.labels_))
    print(
        f"fit n={n}: ours {ours_s * 1e3:.2f} ms, jumpmodels {theirs_s * 1e3:.1f} ms, ratio {theirs_s / ours_s:.0f}; "
        f"labels equal {labels}, |objective difference| {abs(ours.objective - theirs.val_):.1e}"
    )


def compare_online(n: int, seed: int, repeats: int) -> None:
    x, returns = sample(n, seed)
    model = JumpModel(2, PENALTY, random_state=seed).fit(x, returns, sort_by="vol")
    values = online_values(x[:-1], model.centers_, PENALTY)[-1]
    steps = 1000

    def many_steps() -> None:
        for _ in range(steps):
            online_step(values, x[-1], model.centers_, PENALTY)

    step_s = median_seconds(many_steps, repeats) / steps
    batch_s = median_seconds(lambda: online_values(x, model.centers_, PENALTY), repeats) / n
    rerun_s = median_seconds(lambda: model.predict_online(x), repeats)
    same = bool(
        np.array_equal(online_values(x, model.centers_, PENALTY).argmin(axis=1), model.predict_online(x))
    )
    print(
        f"online step n={n}: called from Python {step_s * 1e6:.1f} µs, inside a compiled pass {batch_s * 1e9:.0f} ns, "
        f"re-running jumpmodels {rerun_s * 1e3:.1f} ms, ratios {rerun_s / step_s:.0f} and {rerun_s / batch_s:.0f}; "
        f"labels equal {same}"
    )


def compare_continuous(n: int, seed: int) -> None:
    x, returns = sample(n, seed)
    fit_continuous_jump_model(x, returns, penalty=PENALTY, seed=seed)
    start = time.perf_counter()
    ours = fit_continuous_jump_model(x, returns, penalty=PENALTY, seed=seed)
    middle = time.perf_counter()
    theirs = JumpModel(2, PENALTY, cont=True, random_state=seed).fit(x, returns, sort_by="vol")
    end = time.perf_counter()
    gap = np.abs(ours.probability - theirs.proba_).max()
    print(
        f"continuous fit n={n}: ours {(middle - start) * 1e3:.1f} ms, jumpmodels {(end - middle) * 1e3:.0f} ms, ratio "
        f"{(end - middle) / (middle - start):.0f}; |probability difference| {gap:.1e}"
    )


def time_filter(n: int, seed: int, repeats: int) -> None:
    returns = two_state_returns(n, seed)
    params = fit_hidden_markov(returns).params
    last, steps = filtered_probabilities(returns[:-1], params)[-1], 1000

    def many_steps() -> None:
        for _ in range(steps):
            filter_step(last, returns[-1], params)

    model = GaussianHMM(2)
    model.startprob_, model.transmat_ = params.initial, params.transition
    model.means_, model.covars_ = params.mean[:, None], params.scale[:, None] ** 2
    step_s = median_seconds(many_steps, repeats) / steps
    batch_s = median_seconds(lambda: filtered_probabilities(returns, params), repeats) / n
    rerun_s = median_seconds(lambda: model.predict_proba(returns[:, None]), repeats)
    print(
        f"hidden Markov step n={n}: called from Python {step_s * 1e6:.1f} µs, inside a compiled pass "
        f"{batch_s * 1e9:.0f} ns, "
        f"re-running hmmlearn {rerun_s * 1e3:.1f} ms, ratios {rerun_s / step_s:.0f} and {rerun_s / batch_s:.0f}"
    )


def time_path(n: int, seed: int, repeats: int) -> None:
    returns = two_state_returns(n, seed)
    for model in ("jump", "hmm", "ensemble"):
        seconds = median_seconds(lambda name=model: causal_risk_state(returns, model=name), repeats)
        fits = len(causal_risk_state(returns, model=model).fits)
        print(f"causal path {model} n={n}: {seconds:.2f} s, {fits} refits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=8000, help="observations of the largest fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    repeats = max(5, args.repeats)
    for n in (max(100, args.n // 10), args.n):
        compare_fit(n, args.seed, repeats)
    compare_online(args.n, args.seed, repeats)
    compare_continuous(max(100, args.n // 10), args.seed)
    time_filter(args.n, args.seed, repeats)
    for n in (max(700, args.n // 10), args.n):
        time_path(n, args.seed, repeats)


if __name__ == "__main__":
    main()
