"""The recorded history of this repository, whole or a few bars of it, for tests of replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.journal import ParquetInputs
from regime_trading.adapters.journal.recorded import SealedDecisions
from regime_trading.core.decision_inputs import InputBlock, Lists, RecordedRun
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import AuditEvent
from regime_trading.engine.inputs import cycles_of, input_block
from regime_trading.services.replay import ReplayDeps, Replayed, ReplayRequest, replay

RECORDED = Path(__file__).parent / "recorded"
RUN = RecordedRun("kestrel-lane", "eval-100k", "recorded-1")
VERSION = "0.1.0+recorded"


@dataclass
class Memory:
    """Recorded decisions and stored inputs of one run of one account, in memory."""

    events: list[AuditEvent]
    blocks: list[InputBlock]
    configs: dict[str, bytes] = field(default_factory=dict)

    def runs(self) -> tuple[RecordedRun, ...]:
        return (RUN,)

    def decisions(self, run: RecordedRun) -> Iterator[AuditEvent]:
        return iter(self.events)

    def parts(self, firm_id: str, run_id: str) -> tuple[str, ...]:
        return tuple(map(str, range(len(self.blocks))))

    def read(self, part: str) -> InputBlock:
        return self.blocks[int(part)]

    def config(self, firm_id: str, config_hash: str) -> bytes:
        if config_hash not in self.configs:
            raise BadInput(expected="a configuration", found="none", where=config_hash)
        return self.configs[config_hash]

    def replay(self, version: str = VERSION) -> Replayed:
        return replay(ReplayRequest(), ReplayDeps((self,), self, version))  # type: ignore[arg-type]


@cache
def _stored() -> tuple[list[AuditEvent], InputBlock, dict[str, bytes]]:
    store = LocalArtifacts(RECORDED)
    inputs = ParquetInputs(store)
    (part,) = inputs.parts(RUN.firm_id, RUN.run_id)
    block = inputs.read(part)
    hashes = block.columns["config_hashes"]
    assert isinstance(hashes, Lists)
    configs = {name: inputs.config(RUN.firm_id, name) for name in set(hashes.values)}
    return list(SealedDecisions(store).decisions(RUN)), block, configs


def recorded(bars: Sequence[int]) -> Memory:
    """A few bars of the recorded history."""
    events, block, configs = _stored()
    cycles = list(cycles_of(block))
    made = input_block(RUN.firm_id, RUN.run_id, [cycles[bar] for bar in bars], configs)
    return Memory([events[bar] for bar in bars], [made], configs)


def busy_bars(n: int) -> list[int]:
    """The first bars at which the account holds something, is not free, and several rules bind."""
    events, _, _ = _stored()
    entries = [orjson.loads(event.body) for event in events]
    busy = [
        bar
        for bar, entry in enumerate(entries)
        if entry["trading_state_after"] != "NORMAL" and any(float(q) for q in entry["targets"]["current_qty"])
    ]
    assert len(busy) >= n
    return busy[:n]


def tampered(block: InputBlock, name: str, at: int) -> InputBlock:
    """The block with one stored value of a column changed."""
    column: Any = block.columns[name]
    values = column.values if isinstance(column, Lists) else column
    if isinstance(values, list):
        changed: Any = [*values]
        changed[at] = _other_text(changed[at])
    else:
        changed = values.copy()
        changed[at] = _other(changed[at])
    made = Lists(changed, column.starts) if isinstance(column, Lists) else changed
    return replace(block, columns={**block.columns, name: made})


def _other_text(text: str) -> str:
    return text[:-1] + ("0" if text[-1:] != "0" else "1")


def _other(value: Any) -> Any:
    if isinstance(value, np.bool_):
        return not value
    if isinstance(value, np.floating):
        return 1.0 if not np.isfinite(value) else value * (1 + 2**-40) if value else 2.0**-40
    return value - 1 if value > 0 else value + 1
