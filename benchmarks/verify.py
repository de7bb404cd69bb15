"""Speed of `regime audit verify` beside what no verifier can do without: decoding the files and hashing the entries.

    python benchmarks/verify.py [--entries 20000] [--body-bytes 7000] [--path artifacts] [--firm F]

Timed over a record made for it (entries of `--body-bytes`, the mean of a daily dry run is 7,000), or over `--path`:
the whole verification; the same entries decoded from Parquet and hashed with SHA-256, which is the floor; and the check
of the entries one by one (`core.audit.verify_chain` over decoded rows), which is the plain reference. CPU seconds of
one thread, the best of three after a warm-up.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.record_samples import event

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.adapters.journal.reader import FolderFiles, SealedRecord
from regime_trading.core.audit import chain_of, verify_chain
from regime_trading.core.canonical import GENESIS
from regime_trading.core.record_files import RunManifest
from regime_trading.services.chains import runs_by_chain
from regime_trading.services.verify import verify


def cpu_seconds(work: Callable[[], object], runs: int = 3) -> float:
    """Best of ``runs`` after one warm-up."""
    work()
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def write(folder: Path, entries: int, body_bytes: int) -> Path:
    note = "a plain sentence of forty characters...." * (max(body_bytes - 900, 0) // 40)
    events = [event(seq, note=note) for seq in range(1, entries + 1)]
    ParquetSealer(LocalArtifacts(folder)).seal_audit(chain_of(events[0]), GENESIS, events)
    return folder


def decode_and_hash(reader: SealedRecord, runs: list[RunManifest]) -> None:
    for run in runs:
        for part in run.parts:
            for rows in reader.rows(part):
                at, view = rows.body.offsets.tolist(), memoryview(rows.body.data)
                for row in range(len(rows)):
                    hashlib.sha256(view[at[row] : at[row + 1]]).digest()


def one_by_one(reader: SealedRecord, runs: list[RunManifest]) -> None:
    head, seq = GENESIS, 1
    for run in runs:
        if run.parts[0].seq_from == 1:
            head, seq = GENESIS, 1
        for part in run.parts:
            for rows in reader.rows(part):
                check = verify_chain(rows.entries(), chain=run.chain, first_seq=seq, prev_hash=head)
                assert check.ok, check
                head, seq = check.head, seq + check.entries


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--body-bytes", type=int, default=7_000)
    parser.add_argument("--path", type=Path)
    parser.add_argument("--firm")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = asked.path or write(Path(made), asked.entries, asked.body_bytes)
        reader = SealedRecord(FolderFiles(folder))
        chains, _ = runs_by_chain(reader, reader.paths(), asked.firm)
        runs = [run for found in chains.values() for run in found]
        found = verify(reader, now_ns=0, firm_id=asked.firm)
        assert found.ok, (found.faults[:1], found.gaps[:1])
        entries = sum(report.tree.size for report in found.chains)
        bodies = sum(
            int(rows.body.offsets[-1] - rows.body.offsets[0])
            for run in runs
            for part in run.parts
            for rows in reader.rows(part)
        )
        whole = cpu_seconds(lambda: verify(reader, now_ns=0, firm_id=asked.firm))
        floor = cpu_seconds(lambda: decode_and_hash(reader, runs))
        plain = cpu_seconds(lambda: one_by_one(reader, runs))
    print(f"{entries:,} entries in {len(chains)} chains, {bodies / entries:,.0f} bytes each")
    for name, seconds in (
        ("verify", whole),
        ("decode and hash (floor)", floor),
        ("one by one (reference)", plain),
    ):
        print(f"{name:26} {entries / seconds:>10,.0f} entries/s {seconds / entries * 1e6:8.1f} us each")
    print(f"verify / floor {whole / floor:.2f}, reference / verify {plain / whole:.2f}")


if __name__ == "__main__":
    main()
