"""The durable record beside the bare disk and bare SQLite, measured in the same run on the same device.

    python benchmarks/audit.py [--folder DIR] [--accounts 10000] [--json]

Entries are real ones: a DECISION of the gate with every rule in it. The baselines take the same bytes: `write` and
`fdatasync` of a plain file, and rows of bare `sqlite3` (WAL, synchronous=FULL), which neither hash, chain nor check.
Ours is `SqlAuditLog.append` (canonical, chained, checked) and `SqlLedger.commit_decisions` (with state, latches and
receipt). Rounds of ours and of the baselines alternate, and each figure is the median of its rounds; processor seconds
stand beside wall seconds where something else may use the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import event as listen
from tests.gate_samples import answers, request

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlAuditLog, SqlLedger, open_database, sqlite_url
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.core.audit import link, verify_chain
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.schemas import AuditEvent, Mode
from regime_trading.engine.record import Chain, Identity, write_cycle

FIRM, RUN = "north-pier", "2026-11-20"
ROUNDS, SINGLES, GROUP, THREADS = 5, 60, 1_000, 16


def decisions(accounts: Sequence[str], each: int = 1) -> list[DecisionCommit]:
    """Decisions of accounts, ``each`` one after the other per account; every one has a whole DECISION entry."""
    (answer,) = answers([request()])
    made = []
    for name in accounts:
        who = Identity(FIRM, name, RUN, "shadow", answer.identity.config_hash, answer.identity.code_version)
        chain = Chain(who)
        for n in range(each):
            chain.breached[:] = answer.cycle.decisions.rule_outcome[answer.row] >= 0
            write_cycle(
                chain, answer.cycle, answer.row, replace(answer.hashes, decision_id=f"{name}-{n}"), []
            )
            state = answer.state.model_copy(update={"account": who.name})
            book = answer.portfolio.model_copy(update={"account": who.name})
            made.append(DecisionCommit(state, book, (), chain.take(), RUN, f"{name}-{n}"))
    return made


def events_of(made: Sequence[DecisionCommit]) -> list[AuditEvent]:
    return [event for one in made for event in one.events]


class Disk:
    """`write` and `fdatasync` of a plain file."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "plain", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def __call__(self, bodies: Sequence[bytes]) -> None:
        os.write(self._file, b"".join(bodies))
        os.fdatasync(self._file)


class BareSqlite:
    """Rows of the same bodies in one transaction."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE wal (chain TEXT, seq INTEGER, body BLOB, PRIMARY KEY (chain, seq))"
        )
        self._seq = 0

    def __call__(self, bodies: Sequence[bytes]) -> None:
        rows = [(f"shadow/{FIRM}/a{self._seq + i}", self._seq + i, body) for i, body in enumerate(bodies)]
        self._seq += len(rows)
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO wal VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def open_log(folder: Path, name: str) -> tuple[SqlAuditLog, SqlLedger]:
    engine = open_database(sqlite_url(folder / f"{name}.db"))
    return SqlAuditLog(engine, firm_id=FIRM), SqlLedger(engine, firm_id=FIRM, env=Mode.SHADOW)


def one_by_one(folder: Path) -> dict[str, float]:
    """Records a second, each durable before the next; the p99 of one decision in milliseconds."""
    log, ledger = open_log(folder, "singles")
    disk, bare = Disk(folder), BareSqlite(folder)
    entries = events_of(decisions(["singles"], SINGLES * ROUNDS))
    whole = decisions([f"d{n}" for n in range(SINGLES * ROUNDS)])
    taken: dict[str, list[float]] = {"fdatasync": [], "sqlite": [], "ours": [], "decision": []}
    for n in range(ROUNDS):
        for event, made in list(zip(entries, whole, strict=True))[n * SINGLES : (n + 1) * SINGLES]:
            taken["fdatasync"].append(timed(lambda e=event: disk([e.body]))[0])
            taken["sqlite"].append(timed(lambda e=event: bare([e.body]))[0])
            taken["ours"].append(timed(lambda e=event: log.append([e]))[0])
            taken["decision"].append(timed(lambda m=made: ledger.commit_decisions([m]))[0])
    found = {f"{name}_per_s": 1 / statistics.median(times) for name, times in taken.items()}
    ordered = sorted(taken["decision"])
    return found | {
        "ours_of_fdatasync": found["ours_per_s"] / found["fdatasync_per_s"],
        "ours_of_sqlite": found["ours_per_s"] / found["sqlite_per_s"],
        "decision_p99_ms": 1e3 * ordered[int(0.99 * len(ordered))],
    }


def grouped(folder: Path, fdatasync_per_s: float) -> dict[str, float]:
    """Entries a second in groups of one COMMIT each; entries per time of one fdatasync."""
    log, _ = open_log(folder, "groups")
    disk, bare = Disk(folder), BareSqlite(folder)
    entries = events_of(decisions(["groups"], GROUP * ROUNDS))
    taken: dict[str, list[float]] = {"fdatasync": [], "sqlite": [], "ours": []}
    for n in range(ROUNDS):
        group = entries[n * GROUP : (n + 1) * GROUP]
        bodies = [event.body for event in group]
        taken["fdatasync"].append(timed(lambda b=bodies: disk(b))[0])
        taken["sqlite"].append(timed(lambda b=bodies: bare(b))[0])
        taken["ours"].append(timed(lambda g=group: log.append(g))[0])
    found = {f"{name}_per_s": GROUP / statistics.median(times) for name, times in taken.items()}
    return found | {
        "ours_of_sqlite": found["ours_per_s"] / found["sqlite_per_s"],
        "ours_per_fdatasync_time": found["ours_per_s"] / fdatasync_per_s,
    }


def batch(folder: Path, accounts: int) -> dict[str, float]:
    """Seconds until one decision of every account is durable in one transaction, and the same bytes bare."""
    made = decisions([f"b{n}" for n in range(accounts)])
    bodies = [event.body for event in events_of(made)]
    _, ledger = open_log(folder, "batch")
    wall, cpu = timed(lambda: ledger.commit_decisions(made))
    sqlite_s, sqlite_cpu = timed(lambda: BareSqlite(folder)(bodies))
    disk_s, _ = timed(lambda: Disk(folder)(bodies))
    return {
        "accounts": accounts,
        "ours_s": wall,
        "ours_cpu_s": cpu,
        "sqlite_s": sqlite_s,
        "sqlite_cpu_s": sqlite_cpu,
        "fdatasync_s": disk_s,
        "ours_of_sqlite": wall / sqlite_s,
    }


def threads(folder: Path) -> dict[str, float]:
    """Decisions a second of many threads that commit one at a time, and how many COMMITs they shared."""
    _, ledger = open_log(folder, "threads")
    commits: list[int] = []
    listen.listen(ledger._engine, "commit", lambda _: commits.append(1))
    each = 20
    made = {n: decisions([f"t{n}"], each) for n in range(THREADS)}
    workers = [
        threading.Thread(target=lambda n=n: [ledger.commit_decisions([one]) for one in made[n]])
        for n in range(THREADS)
    ]

    def run() -> None:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    wall, _ = timed(run)
    return {"threads": THREADS, "per_s": THREADS * each / wall, "per_commit": THREADS * each / len(commits)}


def verified(folder: Path, n: int = 10_000) -> dict[str, float]:
    """Entries a second checked in memory and from sealed files, sealed, and bytes of each in Parquet."""
    entries = events_of(decisions(["sealed"], n))
    chained = link(entries)
    chain = f"shadow/{FIRM}/sealed"
    check = timed(lambda: verify_chain(chained, chain=chain))[0]
    sealer = ParquetSealer(LocalArtifacts(folder / "artifacts"))
    seal = timed(lambda: sealer.seal_audit(chain, chained[0].prev_hash, entries))[0]
    read = timed(lambda: sealer.verify_sealed(RUN, FIRM, "sealed"))[0]
    parts = sealer.sealed(RUN, FIRM, "sealed") or ()
    size = sum((folder / "artifacts" / part.path).stat().st_size for part in parts)
    return {
        "chain_per_s": n / check,
        "files_per_s": n / read,
        "seal_per_s": n / seal,
        "parquet_bytes": size / n,
        "body_bytes": sum(len(event.body) for event in entries) / n,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, help="a folder on the device to measure")
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for name, work in (
        ("one_by_one", one_by_one),
        ("grouped", lambda folder: grouped(folder, found["one_by_one"]["fdatasync_per_s"])),
        ("batch", lambda folder: batch(folder, asked.accounts)),
        ("threads", threads),
        ("verify", verified),
    ):
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            found[name] = work(Path(folder))
    if asked.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(f"{name:12}" + "  ".join(f"{key} {value:,.4g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
