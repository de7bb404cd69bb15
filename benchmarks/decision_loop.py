"""The decision loop over a long history, beside a plain Python reference of the same decisions.

What is timed: guards, fills, audit entries and RL rows of every bar for all accounts at once, proposals given, sealed
to Parquet in a temporary folder. The reference (``tests/unit/guards/reference.py``) decides the same books one account
at a time; targets, trading states and steps must be equal.

    python benchmarks/decision_loop.py [--bars 8000] [--assets 20] [--accounts 4] [--reference-bars 400] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from tests.history_samples import history, market, prices, rules
from tests.unit.guards.reference import decide_one

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.core.audit import chain_of
from regime_trading.core.canonical import GENESIS, chain_hashes
from regime_trading.core.rules import RuleParams
from regime_trading.core.schemas import AuditEvent
from regime_trading.engine.backtest import HistoryInputs, run_history, tick_at
from regime_trading.engine.cycle import Cycle, opening, step
from regime_trading.engine.fills import FillCosts
from regime_trading.guards.chain import decide


def inputs(args: argparse.Namespace) -> tuple[HistoryInputs, list[dict[str, RuleParams]]]:
    """A history with changing proposals under the default rules."""
    rng = np.random.default_rng(args.seed)
    weights = rng.dirichlet(np.ones(args.assets), args.bars // 5 + 1) * 0.95
    profiles = [rules(CC_08={"count": args.assets}) for _ in range(args.accounts)]
    names = [f"firm-{a % 2}/account-{a}" for a in range(args.accounts)]
    path = market(prices(args.bars, args.assets, args.seed, 0.012))
    made = history(
        path, profiles, accounts=names, weights=weights[: -(-args.bars // 5)], costs=FillCosts(1, 2, 10)
    )
    return made, profiles


def timed_history(made: HistoryInputs) -> tuple[float, int]:
    """Seconds of the whole loop with its sealed record, and the number of entries."""
    with tempfile.TemporaryDirectory() as folder:
        sealer = ParquetSealer(LocalArtifacts(Path(folder)))
        heads, entries = [GENESIS] * made.desk.size, 0

        def sink(account: int, events: list[AuditEvent]) -> None:
            nonlocal entries
            entries += len(events)
            sealer.seal_audit(chain_of(events[0]), heads[account], events)
            heads[account] = chain_hashes(heads[account], [event.body for event in events])[-1]

        start = time.perf_counter()
        result = run_history(made, sink, block_bars=2048)
        for account in range(made.desk.size):
            for block in result.rl.blocks(account):
                sealer.seal_rl(block)
        return time.perf_counter() - start, entries


def timed_reference(
    made: HistoryInputs, profiles: list[dict[str, RuleParams]], bars: int
) -> tuple[float, float]:
    """Seconds per decision of ``decide`` for all accounts and of the reference, after comparing every answer."""
    carried, cycles = opening(made.desk.initial_capital, len(made.market.symbols)), []
    for bar in range(bars):
        cycle, carried = step(made.desk, carried, tick_at(made, bar))
        cycles.append(cycle)
    start = time.perf_counter()
    for cycle in cycles:
        decide(cycle.view, made.desk.knobs, annual=made.desk.annual)
    fast = time.perf_counter() - start
    start = time.perf_counter()
    answers = [
        [decide_one(c.view, a, profiles, made.desk.annual) for a in range(made.desk.size)] for c in cycles
    ]
    plain = time.perf_counter() - start
    for cycle, row in zip(cycles, answers, strict=True):
        for account, answer in enumerate(row):
            compare(cycle, account, answer)
    return fast / (bars * made.desk.size), plain / (bars * made.desk.size)


def compare(cycle: Cycle, account: int, answer: object) -> None:
    """Raise unless both decided the same."""
    d = cycle.decisions
    same = (
        list(map(int, d.projection.target[account])) == list(map(int, answer.target))  # type: ignore[attr-defined]
        and int(d.mode[account]) == int(answer.mode)  # type: ignore[attr-defined]
        and np.array_equal(d.steps.step_qty[account], np.array(answer.step, dtype=np.float64))  # type: ignore[attr-defined]
    )
    if not same:
        raise SystemExit(
            f"the reference decides differently at {cycle.view.market.ts_ns} for account {account}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (
        ("bars", 8000),
        ("assets", 20),
        ("accounts", 4),
        ("reference-bars", 400),
        ("seed", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    made, profiles = inputs(args)
    warm, _ = inputs(argparse.Namespace(**{**vars(args), "bars": 50}))
    timed_history(warm)
    fast, plain = timed_reference(made, profiles, min(args.reference_bars, args.bars))
    seconds, entries = timed_history(made)
    decisions = args.bars * args.accounts
    print(
        f"{args.bars} bars x {args.assets} assets x {args.accounts} accounts, all rules, audit and RL rows sealed"
    )
    print(
        f"  whole loop        {seconds:8.1f} s   {decisions / seconds:10,.0f} decisions/s   {entries:,} entries"
    )
    print(f"  decide(), arrays  {'':8s}     {1 / fast:10,.0f} decisions/s")
    print(
        f"  plain reference   {'':8s}     {1 / plain:10,.0f} decisions/s   ratio {plain / fast:.1f}, results equal"
    )


if __name__ == "__main__":
    main()
