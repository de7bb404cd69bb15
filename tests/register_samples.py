"""A small rough history whose record has every kind of entry, and stores that hold it, for tests of the registers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tests.history_samples import history, market, prices, rules

from regime_trading.core.audit import chain_of
from regime_trading.core.canonical import GENESIS, chain_hashes
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.settings import Operators
from regime_trading.core.traders import Lifecycle
from regime_trading.engine.backtest import run_history
from regime_trading.engine.fills import FillCosts

STRICT: dict[str, Any] = {
    "LD_01": {"limit_pct": "0.02"},
    "LD_02": {"ladder": [["0.03", "0.5"], ["0.06", "FLATTEN"], ["0.12", "LOCKED"]], "ramp_sessions": 3},
    "CC_01": {"max_weight": "0.2"},
    "VT_01": {"sigma_target": "0.08"},
}
ACCOUNTS = ("north/a", "north/b", "south/c")


@cache
def recorded(n_bars: int = 160, run_id: str = "bt-test") -> tuple[tuple[AuditEvent, ...], ...]:
    """Entries of three accounts of two firms: latches and releases, flows, attempts."""
    close = prices(n_bars, 4, 11, 0.025)
    close[70:74, 1] = np.nan
    close[90, 2] *= 1.4
    flows = np.zeros((n_bars, 3))
    flows[30, 1] = 5_000.0
    life = Lifecycle(profit_target_pct="0.05", min_trading_days=2, max_sessions=25)
    inputs = history(
        market(close),
        [rules(**STRICT), rules(), rules(LD_03={"limit_pct": "0.06"})],
        accounts=ACCOUNTS,
        operators=Operators(MANUAL=3, DUAL=6),
        costs=FillCosts(1.0, 2.0, 10.0),
        flows=flows,
        lifecycles=[None, None, life],
        run_id=run_id,
    )
    made: list[list[AuditEvent]] = [[] for _ in ACCOUNTS]
    run_history(inputs, lambda a, events: made[a].extend(events))
    return tuple(map(tuple, made))


def seal(folder: Path, events: Sequence[AuditEvent], prev_hash: str = GENESIS) -> str:
    """Seal consecutive events of one chain; returns the last hash."""
    from regime_trading.adapters.artifacts import LocalArtifacts
    from regime_trading.adapters.journal import ParquetSealer

    ParquetSealer(LocalArtifacts(folder)).seal_audit(chain_of(events[0]), prev_hash, events)
    return chain_hashes(prev_hash, [event.body for event in events])[-1]
