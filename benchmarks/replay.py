"""What keeping the inputs of decisions costs, and how fast they are made again, beside the loop that decided them.

One history is decided twice, without and with its inputs kept in a temporary folder, and then replayed from its sealed
record. Every decision must come out to the byte. Figures are ratios to the plain loop of the same process.

    python benchmarks/replay.py [--bars 2000] [--assets 20] [--accounts 4] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from tests.gate_samples import changed, shipped
from tests.history_samples import history, market, prices

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.journal import ParquetInputs, ParquetSealer
from regime_trading.adapters.journal.recorded import SealedDecisions
from regime_trading.core.audit import chain_of
from regime_trading.core.canonical import GENESIS, chain_hashes
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.trader_profile import TraderProfile, effective_bytes
from regime_trading.engine.backtest import HistoryInputs, run_history
from regime_trading.engine.fills import FillCosts
from regime_trading.engine.inputs import InputBuffer
from regime_trading.services.replay import ReplayDeps, ReplayRequest, replay


def inputs(args: argparse.Namespace) -> tuple[HistoryInputs, list[TraderProfile]]:
    """A history of two firms with changing proposals under the shipped configurations."""
    rng = np.random.default_rng(args.seed)
    weights = rng.dirichlet(np.ones(args.assets), -(-args.bars // 5)) * 0.95
    own = list(shipped()[1].values())
    profiles = [changed(own[a % len(own)], account_id=f"account-{a}") for a in range(args.accounts)]
    profiles.sort(key=lambda profile: profile.account)
    made = history(
        market(prices(args.bars, args.assets, args.seed, 0.012)),
        [profile.rules for profile in profiles],
        accounts=[profile.account for profile in profiles],
        weights=weights,
        costs=FillCosts(1, 2, 10),
    )
    who = [replace(w, config_hash=p.config_hash) for w, p in zip(made.identities, profiles, strict=True)]
    return replace(made, identities=tuple(who)), profiles


def timed(made: HistoryInputs, profiles: list[TraderProfile], folder: Path, *, keep: bool) -> float:
    """Seconds of the loop with its sealed record, with or without its inputs."""
    store = LocalArtifacts(folder)
    sealer, heads = ParquetSealer(store), [GENESIS] * made.desk.size
    configs = {profile.config_hash: effective_bytes(profile) for profile in profiles}
    kept = InputBuffer(made.desk.annual, made.identities, configs, ParquetInputs(store).put)

    def sink(account: int, events: list[AuditEvent]) -> None:
        kept.flush()
        sealer.seal_audit(chain_of(events[0]), heads[account], events)
        heads[account] = chain_hashes(heads[account], [event.body for event in events])[-1]

    start = time.process_time()
    run_history(made, sink, block_bars=2048, keep=kept.add if keep else None)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("bars", 2000), ("assets", 20), ("accounts", 4), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    made, profiles = inputs(args)
    timed(replace(made, last=50), profiles, Path(tempfile.mkdtemp()), keep=True)  # compiled code is loaded
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        plain, kept = (timed(made, profiles, Path(f), keep=f == two) for f in (one, two))
        store = LocalArtifacts(Path(two))
        size = sum(path.stat().st_size for path in (store.root / "inputs").rglob("*") if path.is_file())
        start = time.process_time()
        told = replay(ReplayRequest(), ReplayDeps((SealedDecisions(store),), ParquetInputs(store), "0"))
        again = time.process_time() - start
    decisions = args.bars * args.accounts
    assert told.ok and told.equal == decisions, told.answer("0")
    rate, a_decision = decisions / again, size / decisions
    print(f"{decisions:,} decisions of {args.accounts} accounts, {args.assets} assets; seconds of CPU")
    print(f"loop with sealed record     {plain:7.2f} s")
    print(
        f"the same with inputs kept   {kept:7.2f} s  {kept / plain - 1:+.1%}, {a_decision:,.0f} B a decision"
    )
    print(
        f"replay, all equal           {again:7.2f} s  {again / plain:.2f} of the loop, {rate:,.0f} a second"
    )


if __name__ == "__main__":
    main()
