"""What the sealed record must do on a local folder and in a bucket (S3 by moto on 127.0.0.1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs
from tests.ports.object_store import BucketFiles
from tests.record_samples import event, events, rl_block
from tests.whole_chain import whole_chain

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlAuditLog, open_database, sqlite_url
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.adapters.journal.compaction import FAN_IN
from regime_trading.core.audit import GATE_RUNS, chain_of, link, verify_chain
from regime_trading.core.canonical import GENESIS
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable
from regime_trading.core.ports import SealedFiles
from regime_trading.core.schemas import AuditEvent, Mode, Receipt, RLBlock
from regime_trading.services.sealing import Sealing

RUN = ("run-1", "alpha", "main")
SHADOW = "shadow/alpha/main"


@dataclass(frozen=True)
class Place:
    """Where the record lies: its files, and the same as pyarrow sees them."""

    files: SealedFiles
    filesystem: fs.FileSystem
    root: str


@pytest.fixture(scope="session")
def bucket() -> Iterator[Callable[[str], Place]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    s3 = fs.S3FileSystem(
        access_key="test", secret_key="test", region="us-east-1", scheme="http",
        endpoint_override=f"{host}:{port}", allow_bucket_creation=True, allow_delayed_open=True,
    )  # fmt: skip

    def make(name: str) -> Place:
        s3.create_dir(name)
        return Place(BucketFiles(s3, f"{name}/artifacts"), s3, f"{name}/artifacts")

    yield make
    server.stop()


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        store = LocalArtifacts(tmp_path / "artifacts")
        return Place(store, fs.LocalFileSystem(), str(store.root))
    name = f"b{abs(hash(request.node.name)) % 10**12}"
    return request.getfixturevalue("bucket")(name)  # type: ignore[no-any-return]


@pytest.fixture
def sealer(place: Place) -> ParquetSealer:
    return ParquetSealer(place.files, max_part_bytes=20_000)


def seal(sealer: ParquetSealer, made: list[AuditEvent], prev_hash: str = GENESIS) -> None:
    sealer.seal_audit(chain_of(made[0]), prev_hash, made)


def test_what_was_sealed_is_read_back_and_verifies(sealer: ParquetSealer, place: Place) -> None:
    seal(sealer, events(60))
    parts = sealer.sealed(*RUN)
    assert parts is not None and len(parts) > 1
    assert tuple(sealer.entries(*RUN)) == tuple(link(events(60)))
    assert [e.event.seq for e in sealer.entries(*RUN, after_seq=41)] == list(range(42, 61))
    last = parts[-1]
    assert sealer.verify_sealed(*RUN, head=Receipt(chain_of(event(1)), 60, last.last_entry_hash)).ok
    assert sealer.runs("alpha", "main", "dry_run") == ("run-1",)
    assert sealer.runs("alpha", "main", "shadow") == ()
    assert set(place.files.names(parts[0].path.rsplit("/", 1)[0])) == {part.path for part in parts}


def test_the_same_again_changes_nothing_and_more_is_added(sealer: ParquetSealer) -> None:
    seal(sealer, events(10))
    before = sealer.sealed(*RUN)
    seal(sealer, events(10))
    assert sealer.sealed(*RUN) == before
    seal(sealer, events(15))
    assert tuple(sealer.entries(*RUN)) == tuple(link(events(15)))
    with pytest.raises(NotDurable):
        seal(sealer, [event(1, note="other"), *events(14, first=2)])


def test_a_part_that_was_changed_is_found(sealer: ParquetSealer, place: Place) -> None:
    seal(sealer, events(60))
    path = (sealer.sealed(*RUN) or ())[1].path
    data = bytearray(place.files.read_bytes(path))
    data[len(data) // 2] ^= 1
    place.files.write_bytes(path, bytes(data))
    check = sealer.verify_sealed(*RUN)
    assert not check.ok and path in check.reason
    with pytest.raises(CheckFailed):
        sealer.compact(*RUN, closed=True)
    place.files.remove(path)
    assert not sealer.verify_sealed(*RUN).ok
    with pytest.raises(BadInput):
        list(sealer.entries(*RUN))


def test_parts_are_merged_and_nothing_is_left_over(place: Place) -> None:
    sealer = ParquetSealer(place.files)
    for n in range(1, 10):
        seal(sealer, events(n))
    assert len(sealer.sealed(*RUN) or ()) == 9
    folder = (sealer.sealed(*RUN) or ())[0].path.rsplit("/", 1)[0]
    place.files.write_bytes(f"{folder}/part-1-3-00000000.parquet", b"left by a crash")
    assert [p.rows for p in sealer.compact(*RUN, closed=False)] == [9]
    assert len(place.files.names(folder)) == 1
    assert tuple(sealer.entries(*RUN)) == tuple(link(events(9)))
    assert sealer.verify_sealed(*RUN).ok
    assert sealer.compact("run-2", "alpha", "main", closed=True) == ()


def test_rl_rows_are_sealed_too(sealer: ParquetSealer) -> None:
    sealer.seal_rl(rl_block())
    sealer.seal_rl(rl_block(first=7))
    assert sealer.verify_sealed(*RUN, dataset="state").ok
    assert [(p.seq_from, p.seq_to) for p in sealer.sealed(*RUN, dataset="state") or ()] == [(1, 6), (7, 12)]


def of_gate(rows: int, first: int = 1) -> RLBlock:
    """Rows of the gate's dry runs: the run of each, sequence numbers of chains of one decision, lists of any length."""
    block = rl_block(rows, first=first, run_id=GATE_RUNS)
    n, head = block.columns["seq"], {name: block.columns[name] for name in ("seq", "ts_event_ns")}
    whose = {"run_id": [f"pm-20240101-{i:012x}" for i in n]}
    wide = {"weights": [np.arange(i % 4) / 7 for i in n], "label": ["calm" if i % 2 else None for i in n]}
    rest = {name: c for name, c in block.columns.items() if name not in {*head, "mask", "state"}}
    return replace(block, columns=head | whose | rest | wide | {"seq": np.ones(rows, dtype=np.int64)})


def test_rl_rows_of_many_small_sealings_are_those_of_one(place: Place, tmp_path: Path) -> None:
    sealer, once = ParquetSealer(place.files), ParquetSealer(LocalArtifacts(tmp_path / "once"))
    whose = (GATE_RUNS, "alpha", "main", "state")
    for n in range(1, 2 * FAN_IN + 3):
        sealer.seal_rl(of_gate(1, n) if n % 2 else of_gate(n))  # also all of them again: compared
        parts = sealer.compact(*whose, closed=False)
        assert sum(part.rows for part in parts) == n == sealer.verify_sealed(*whose).entries
    assert [part.rows for part in parts] == [8, 8, 1, 1] and sealer.verify_sealed(*whose).ok
    assert len(place.files.names(parts[0].path.rsplit("/", 1)[0])) == len(sealer.contents(*whose)) == 4
    (part,) = sealer.compact(*whose, closed=True)
    assert (part,) == once.seal_rl(of_gate(2 * FAN_IN + 2)), "the same bytes, the same hash of what they hold"
    wrong = of_gate(4)
    wrong.columns["equity"][2] += 1e-9  # type: ignore[call-overload]
    for block in (wrong, of_gate(1, 0)):
        with pytest.raises(NotDurable, match="not what is sealed"):
            sealer.seal_rl(block)
    with pytest.raises(BadInput, match="dry_run"):
        sealer.seal_rl(replace(of_gate(1, 99), env="shadow"))


def test_rl_rows_of_two_feature_sets_stay_apart(place: Place) -> None:
    sealer = ParquetSealer(place.files)
    for n in range(1, 7):
        sealer.seal_rl(rl_block(1, first=n, feature_set_version="fs-1" if n < 4 else "fs-2"))
    parts = sealer.compact(*RUN, "state", closed=True)
    assert [(part.seq_from, part.seq_to) for part in parts] == [(1, 3), (4, 6)]


def test_full_parts_are_not_written_again(place: Place) -> None:
    sealer = ParquetSealer(place.files, max_part_bytes=6_000)
    sealer.seal_rl(rl_block(2_000))
    before = sealer.sealed(*RUN, "state") or ()
    assert len(before) > FAN_IN and sealer.compact(*RUN, "state", closed=False) == before


def test_a_reader_sees_every_rl_row_once_while_parts_are_merged(place: Place) -> None:
    sealer, whose = ParquetSealer(place.files), (GATE_RUNS, "alpha", "main", "state")
    for n in range(1, FAN_IN + 1):
        sealer.seal_rl(of_gate(1, n))
    real, seen = place.files.read_bytes, []

    class Merged:
        """Parts are merged after the manifest was read, before the first of them is."""

        def __getattr__(self, name: str) -> object:
            return getattr(place.files, name)

        def read_bytes(self, path: str) -> bytes:
            if path.endswith(".parquet") and not seen:
                seen.append(path)
                sealer.compact(*whose, closed=False)
            return real(path)

    data = ParquetSealer(Merged()).contents(*whose)  # type: ignore[arg-type]
    assert [pq.read_table(pa.BufferReader(one)).num_rows for one in data] == [FAN_IN] and seen


def test_write_ahead_rows_move_into_it(place: Place, tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path / "store.db"))
    log, sealer = SqlAuditLog(engine, firm_id="alpha"), ParquetSealer(place.files)
    sealing = Sealing(lambda _: log, sealer)
    for day in range(1, 5):
        where = {"env": Mode.SHADOW, "run_id": f"2024-01-0{day}"}
        log.append(events(3, first=3 * day - 2, **where))
        sealing.seal_all(["alpha"])
    entries = list(whole_chain(log, sealer, SHADOW))
    assert verify_chain(entries, chain=SHADOW).ok and len(entries) == 12
    assert log.sealed(SHADOW).seq == 12 and len(log.entries(SHADOW, 11)) == 1
    engine.dispose()


def test_one_glob_reads_the_whole_record_in_every_library(place: Place) -> None:
    """The layout is hive-partitioned, as Spark reads it too (not run here: it needs a cluster's worth of Java)."""
    sealer = ParquetSealer(place.files)
    for account in ("main", "other"):
        seal(sealer, events(5, account=account))
    glob = f"{place.root}/audit/schema=1/**/*.parquet"
    table = ds.dataset(
        f"{place.root}/audit/schema=1", filesystem=place.filesystem, format="parquet", partitioning="hive"
    ).to_table()
    found = {"pyarrow": sorted(zip(table["account_id"].to_pylist(), table["seq"].to_pylist(), strict=True))}
    if isinstance(place.filesystem, fs.LocalFileSystem):
        query = f"select account, seq from read_parquet('{glob}', hive_partitioning=true)"
        found["duckdb"] = sorted(duckdb.sql(query).fetchall())
        frame = pl.scan_parquet(glob, hive_partitioning=True).select("account", "seq").collect()
        found["polars"] = sorted(frame.rows())
    expected = [(account, seq) for account in ("main", "other") for seq in range(1, 6)]
    assert all(rows == expected for rows in found.values()), found
