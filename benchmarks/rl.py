"""What the RL rows of the gate cost: decisions with a store, with their rows and without, in turns in one run.

    python benchmarks/rl.py [--accounts 1000] [--assets 20] [--rounds 7] [--folder DIR]

Timed: one request, and a batch of requests that share one market, each from the call to the answer, durable. "Without"
leaves the rows out of the same program. Medians and the median of the ratios of neighbouring turns, of the clock and of
the processor's time (which other programs beside it change less); one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from sqlalchemy import func, select
from tests.gate_samples import CORE, T, changed, shipped, tree

from regime_trading.adapters.config_files import Configuration
from regime_trading.adapters.database import open_database, sqlite_url
from regime_trading.adapters.database.engine import reading
from regime_trading.adapters.database.tables import RL_ROWS, WAL
from regime_trading.bootstrap.gate import _store
from regime_trading.core.config_status import standing
from regime_trading.core.request_reading import read_requests
from regime_trading.core.schemas import Mode
from regime_trading.services import pm
from regime_trading.services.pm import GateConfig, GateStore, decide

SECOND = 10**9


def market(assets: int) -> dict[str, Any]:
    """A market of so many assets, all of it told."""
    r = np.random.default_rng(1)
    symbols = [f"S{i:03d}" for i in range(assets)]
    vol, half = r.uniform(0.1, 0.4, assets), r.normal(0, 0.1, (assets, 3))
    covariance = half @ half.T * np.outer(vol, vol) + np.diag(vol**2)
    return {
        "instruments": [{"symbol": s, "group": f"g{i % 5}"} for i, s in enumerate(symbols)],
        "quotes": [{"symbol": s, "bid": "99.99", "ask": "100.01", "ts": T} for s in symbols],
        "adv": dict.fromkeys(symbols, 10**9),
        "status": dict.fromkeys(symbols, "open"),
        "covariance": {
            "symbols": symbols, "matrix": covariance.tolist(), "annualised": True, "n_obs": 252
        },
        "regime": {"label": "trending", "confidence": 0.8},
    }  # fmt: skip


class Place:
    """A gate of many accounts over one folder."""

    def __init__(self, folder: Path, stack: ExitStack, accounts: int, assets: int) -> None:
        settings, own = shipped()
        names = [f"north-pier/a{n}" for n in range(accounts)]
        profiles = tuple(
            changed(own[CORE], account_id=name.split("/")[1], mode=Mode.SHADOW) for name in names
        )
        standings = {p.account: standing(p.account, p, None, (), now_ns=T, starting=True) for p in profiles}
        self.config, self.names, self.market = (
            GateConfig(settings, standings, "bench"), names, market(assets)
        )  # fmt: skip
        store, *_ = _store(folder, stack, Configuration(settings, profiles))
        self.store: GateStore = replace(store, alarm=lambda _: None, sealing=None)
        self.engine = open_database(sqlite_url(folder / "state" / "regime.db"))
        stack.callback(self.engine.dispose)
        self.at = T

    def requests(self, n: int) -> Any:
        """Requests of the first ``n`` accounts, a second after the last ones."""
        self.at += SECOND
        symbols = [one["symbol"] for one in self.market["instruments"]]
        weights = dict.fromkeys(symbols, str(round(0.5 / len(symbols), 6)))
        held = [{"symbol": s, "qty": 100, "avg_price": 99} for s in symbols[: len(symbols) // 2]]
        told = [
            tree(
                ("proposal.as_of", self.at), ("proposal.weights", weights), ("portfolio.positions", held),
                ("portfolio.traffic", {"fills": []}), ("portfolio.flows_today", 0),
                ("portfolio.recon", {"status": "ok", "count": 2, "equity_gap": 0}),
                as_of=self.at, account=name, market=self.market,
            )
            for name in self.names[:n]
        ]  # fmt: skip
        whole = read_requests(json.dumps(told))[0]
        return [one.model_copy(update={"market": whole[0].market}) for one in whole]

    def timed(self) -> tuple[float, float]:
        """Seconds of all accounts' decisions, and seconds of the processor."""
        asked = self.requests(len(self.names))
        start, busy = time.perf_counter(), time.process_time()
        decide(asked, config=self.config, store=self.store)
        return time.perf_counter() - start, time.process_time() - busy


@contextmanager
def without_rows() -> Iterator[None]:
    """The same program, with no rows."""
    real = pm._rl_rows

    class Nothing:
        def at(self, _: int) -> None:
            return None

    pm._rl_rows = lambda fresh, store: dict.fromkeys(fresh, Nothing())  # type: ignore[assignment,arg-type]
    try:
        yield
    finally:
        pm._rl_rows = real


def compared(name: str, once: Callable[[], tuple[float, float]], rounds: int) -> None:
    """Medians with and without rows, in turns, after one of each."""
    pairs = []
    for n in range(rounds + 1):
        found = {}
        for rows in (True, False) if n % 2 else (False, True):
            with nullcontext() if rows else without_rows():
                found[rows] = once()
        pairs.append((found[False], found[True]))
    told = []
    for unit, at in (("ms", 0), ("ms of the processor", 1)):
        bare, full = (statistics.median(one[side][at] for one in pairs[1:]) for side in (0, 1))
        ratio = statistics.median(one[1][at] / one[0][at] for one in pairs[1:])
        told.append(f"{bare * 1e3:8.2f} → {full * 1e3:8.2f} {unit} (x {ratio:.3f})")
    print(f"  {name:18} {', '.join(told)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--assets", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    print(f"the gate with a store, {args.assets} assets, without → with rows")
    for accounts, rounds in ((1, args.rounds * 10), (args.accounts, args.rounds)):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder, ExitStack() as stack:
            place = Place(Path(folder), stack, accounts, args.assets)
            compared("one decision" if accounts == 1 else f"batch of {accounts:,}", place.timed, rounds)
            with reading(place.engine) as connection:
                for table in (WAL, RL_ROWS):
                    asked = select(func.count(), func.sum(func.length(table.c.body)))
                    rows, size = connection.execute(asked).one()
                    print(f"    {table.name:8} {rows:8,} rows, {size / rows:8,.0f} bytes a row as stored")


if __name__ == "__main__":
    main()
