"""How long the registers take over a long record, beside DuckDB reading the same files.

    python benchmarks/registers.py [--entries 40000]

The baseline is what any tool must do that reads the bodies of the decisions: DuckDB over the same Parquet files, one
value out of each body. A register has to find, check (hash of each entry, SHA-256 of each file) and follow them.
Seconds are those of the processor, all threads together, best of three.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb
import orjson
from tests.register_samples import recorded, seal

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.bootstrap.acts import firm_history
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.event_payloads import PAYLOADS
from regime_trading.core.recorded import Selection
from regime_trading.core.schemas import AuditEvent, EventType
from regime_trading.engine.record import Chain, Identity
from regime_trading.services.dossier import dossier
from regime_trading.services.export import make_bundle
from regime_trading.services.registers import REGISTERS, Scope, register

DAY_NS = 86_400_000_000_000


def long_record(entries: int) -> list[AuditEvent]:
    """The entries of a sample history again and again, each time later, as one chain."""
    sample = [orjson.loads(event.body) for event in recorded()[0]]
    own = {name for payload in PAYLOADS for name in payload.model_fields}
    chain = Chain(Identity("north", "a", "bt-long", "dry_run", "c" * 64, "0"))
    span = int(sample[-1]["ts_event_ns"]) - int(sample[0]["ts_event_ns"]) + DAY_NS
    while chain.seq < entries:
        again = chain.seq // len(sample)
        for entry in sample:
            payload = {key: value for key, value in entry.items() if key in own}
            name = sha256_hex(f"{again} {entry['correlation_id']}".encode())
            if "decision_id" in payload:
                payload["decision_id"] = name
            chain.write(
                int(entry["ts_event_ns"]) + again * span,
                EventType(entry["event_type"]),
                payload,
                rule_id=entry["rule_id"],
                rationale=entry["rationale"],
                correlation_id=name if entry["correlation_id"] else "",
            )
    return chain.take()[:entries]


def seconds(act: Callable[[], Any]) -> float:
    """Seconds of the processor, best of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        act()
        best = min(best, time.process_time() - begin)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=40_000)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events = long_record(entries)
        seal(folder, events)
        store = LocalArtifacts(folder)
        history, scope = firm_history(None, store, "north"), Scope("north")
        files = str(folder / "audit/schema=1/**/part-*.parquet")
        query = (
            "select count(*) from read_parquet(?, hive_partitioning=false) "
            "where event_type = 'DECISION' and json_extract_string(body, '$.rules[0].outcome') = 'bound'"
        )
        base = seconds(lambda: duckdb.execute(query, [files]).fetchall())
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        print(f"{entries:,} entries, {size / 2**20:.0f} MiB sealed")
        print(f"{'DuckDB, one value of each decision':36} {base:7.3f} s   1.0")
        for register_name in REGISTERS:
            took = seconds(lambda n=register_name: register(n, history, scope))
            print(f"{register_name:36} {took:7.3f} s {took / base:5.1f}")
        middle = next(iter(history.entries(Selection(kinds=("DECISION",), from_ns=events[-50].ts_event_ns))))
        decision_id = middle.fields()["decision_id"]
        took = seconds(lambda: dossier(history, scope, decision_id))
        print(f"{'dossier':36} {took:7.3f} s {took / base:5.1f}")
        took = seconds(lambda: make_bundle(history, store, scope))
        print(f"{'export bundle, without checkpoint':36} {took:7.3f} s {took / base:5.1f}")


if __name__ == "__main__":
    main()
