"""The sealed record: layout, determinism, re-use, and every mutation found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.record_samples import DAY_NS, T0_NS, event, events, rl_block

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.journal import ParquetSealer, files
from regime_trading.core.audit import SealedPart, chain_of, link, verify_chain
from regime_trading.core.canonical import GENESIS, canonical_json, sha256_hex
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable
from regime_trading.core.ports import ArtifactStore
from regime_trading.core.schemas import AuditEvent, Mode, Receipt

REPOSITORY = Path(__file__).parents[3]
CHAIN = "dry_run/run-1/alpha/main"
RUN = ("run-1", "alpha", "main")
FOLDER = "audit/schema=1/firm=alpha/account=main/run=run-1"
MANIFEST = "audit/_manifest/schema=1/firm=alpha/account=main/run=run-1.json"
SMALL_PART = 20_000


@pytest.fixture
def store(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "artifacts")


@pytest.fixture
def sealer(store: LocalArtifacts) -> ParquetSealer:
    return ParquetSealer(store, max_part_bytes=SMALL_PART)


def seal(sealer: ParquetSealer, made: list[AuditEvent]) -> tuple[SealedPart, ...]:
    return sealer.seal_audit(chain_of(made[0]), GENESIS, made)


def tree(store: LocalArtifacts) -> dict[str, bytes]:
    found = (path for path in store.root.rglob("*") if path.is_file())
    return {str(path.relative_to(store.root)): path.read_bytes() for path in found}


# --- layout -----------------------------------------------------------------------------------------------


def test_parts_lie_where_the_contract_says_and_hold_what_it_says(
    sealer: ParquetSealer, store: LocalArtifacts
) -> None:
    made = events(60)
    parts = seal(sealer, made)
    assert len(parts) > 2
    assert [part.seq_from for part in parts] == [1, *(part.seq_to + 1 for part in parts[:-1])]
    for part in parts:
        data = store.read_bytes(part.path)
        assert part.path == f"{FOLDER}/part-{part.seq_from}-{part.seq_to}-{sha256_hex(data)[:8]}.parquet"
        assert (part.sha256, part.rows) == (sha256_hex(data), part.seq_to - part.seq_from + 1)
    assert sorted(tree(store)) == sorted([MANIFEST, *(part.path for part in parts)])
    table = pa.concat_tables([files.decode(store.read_bytes(part.path)) for part in parts])
    assert table.column_names == [
        *("firm_id", "account_id", "run_id", "env", "feature_set_version", "seq", "ts_event"),
        *("event_type", "rule_id", "body", "prev_hash", "entry_hash"),
    ]
    assert table.schema.field("ts_event").type == pa.timestamp("ns", tz="UTC")
    assert table["ts_event"].cast(pa.int64()).to_pylist() == [e.ts_event_ns for e in made]
    assert [text.encode() for text in table["body"].to_pylist()] == [e.body for e in made]
    assert table["entry_hash"].to_pylist() == [entry.entry_hash for entry in link(made)]
    assert tuple(sealer.entries(*RUN)) == tuple(link(made))


def test_files_are_zstd_and_carry_statistics_on_short_columns(
    sealer: ParquetSealer, store: LocalArtifacts
) -> None:
    part = seal(sealer, events(5))[0]
    group = pq.ParquetFile(store.root / part.path).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert (columns["seq"].statistics.min, columns["seq"].statistics.max) == (1, 5)
    assert not columns["body"].is_stats_set


def test_the_columns_of_version_one_never_change() -> None:
    assert (
        files.fingerprint(files.AUDIT_SCHEMA)
        == "4206fb229aa2b2c3d66285d9adb6a552c41643400e79288614caa9a2d972ff91"
    )


def test_manifest_is_canonical_and_names_every_part(sealer: ParquetSealer, store: LocalArtifacts) -> None:
    parts = seal(sealer, events(60))
    manifest = orjson.loads(store.read_bytes(MANIFEST))
    assert canonical_json(manifest) == store.read_bytes(MANIFEST)
    assert [SealedPart(**part) for part in manifest["parts"]] == list(parts)
    assert sealer.sealed(*RUN) == parts
    assert sealer.sealed("run-2", "alpha", "main") is None


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("bad", ["..", "a/b", "A", "", "run=1"])
def test_ids_that_leave_their_folder_are_refused(sealer: ParquetSealer, position: int, bad: str) -> None:
    ids = list(RUN)
    ids[position] = bad
    with pytest.raises(BadInput):
        sealer.sealed(*ids)
    names = dict(zip(("run_id", "firm_id", "account_id"), ids, strict=True))
    with pytest.raises(BadInput):
        sealer.seal_rl(rl_block(**names))
    with pytest.raises(BadInput):
        sealer.seal_audit(CHAIN, GENESIS, [replace(event(1), **names)])


# --- determinism and re-use -------------------------------------------------------------------------------


def test_the_same_rows_give_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
import pyarrow
pyarrow.set_cpu_count(int(sys.argv[2]))
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.core.canonical import GENESIS
from tests.record_samples import events, rl_block
sealer = ParquetSealer(LocalArtifacts(Path(sys.argv[1])), max_part_bytes=20_000)
sealer.seal_audit("dry_run/run-1/alpha/main", GENESIS, events(60))
sealer.seal_rl(rl_block(200))
"""
    found = []
    for seed, zone, threads in (("1", "Asia/Tokyo", "1"), ("2", "America/New_York", "4")):
        folder = tmp_path / zone.replace("/", "-")
        env = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone}
        subprocess.run(
            [sys.executable, "-c", code, str(folder), threads], cwd=REPOSITORY, env=env, check=True
        )
        found.append(tree(LocalArtifacts(folder)))
    assert found[0] == found[1]
    assert len(found[0]) > 5


def test_an_identical_re_run_re_uses_the_sealed_run(sealer: ParquetSealer, store: LocalArtifacts) -> None:
    parts = seal(sealer, events(60))
    before = {path: (store.root / path).stat().st_mtime_ns for path in tree(store)}
    assert seal(sealer, events(60)) == parts
    assert seal(ParquetSealer(store), events(60)) == parts
    assert {path: (store.root / path).stat().st_mtime_ns for path in tree(store)} == before


def test_a_re_run_over_damaged_files_does_not_pass(sealer: ParquetSealer, store: LocalArtifacts) -> None:
    parts = seal(sealer, events(60))
    store.remove(parts[1].path)
    with pytest.raises(CheckFailed, match=f"entry {parts[1].seq_from}"):
        seal(sealer, events(60))


@pytest.mark.parametrize(
    "other",
    [
        [*events(29), event(30, note="other")],
        [event(1, note="other"), *events(29, first=2)],
        [event(1, note="other"), *events(40, first=2)],
        events(20),
        [event(1, note="other")],
    ],
)
def test_a_sealed_run_is_never_overwritten(
    sealer: ParquetSealer, store: LocalArtifacts, other: list[AuditEvent]
) -> None:
    ParquetSealer(store).seal_audit(CHAIN, GENESIS, events(30))
    before = tree(store)
    with pytest.raises(NotDurable):
        seal(sealer, other)
    assert tree(store) == before


def test_sealing_goes_on_where_it_stopped(sealer: ParquetSealer) -> None:
    entries = link(events(9))
    seal(sealer, events(3))
    sealer.seal_audit(CHAIN, entries[2].entry_hash, events(3, first=4))
    parts = seal(sealer, events(9))
    assert [(part.seq_from, part.seq_to) for part in parts] == [(1, 3), (4, 6), (7, 9)]
    assert sealer.seal_audit(CHAIN, entries[2].entry_hash, events(3, first=4)) == parts
    assert sealer.verify_sealed(*RUN).head == entries[8].entry_hash


@pytest.mark.parametrize(
    ("prev_hash", "more"),
    [(GENESIS, events(2, first=4)), ("1" * 64, events(2, first=4)), (GENESIS, events(2, first=5))],
)
def test_entries_that_do_not_continue_are_refused(
    sealer: ParquetSealer, prev_hash: str, more: list[AuditEvent]
) -> None:
    seal(sealer, events(3))
    with pytest.raises(NotDurable):
        sealer.seal_audit(CHAIN, prev_hash, more)
    assert sealer.verify_sealed(*RUN).entries == 3


def test_a_dry_run_is_sealed_from_its_beginning(sealer: ParquetSealer, store: LocalArtifacts) -> None:
    with pytest.raises(NotDurable, match="beginning"):
        sealer.seal_audit(CHAIN, link(events(1))[0].entry_hash, events(2, first=2))
    assert not store.root.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        [event(1), event(3)],
        [event(2), event(1)],
        [event(1), event(2, ts_event_ns=0)],
        [event(1), replace(event(2), rule_id="LD-01")],
    ],
)
def test_events_that_are_no_chain_are_not_sealed(
    sealer: ParquetSealer, store: LocalArtifacts, wrong: list[AuditEvent]
) -> None:
    with pytest.raises(NotDurable):
        seal(sealer, wrong)
    assert not store.root.exists()


@pytest.mark.parametrize("wrong", [[], [event(1), event(1, account="b")], [event(1, run_id="run-2")]])
def test_one_call_seals_one_run_of_one_chain(sealer: ParquetSealer, wrong: list[AuditEvent]) -> None:
    with pytest.raises(BadInput):
        sealer.seal_audit(CHAIN, GENESIS, wrong)


def test_a_shadow_chain_is_sealed_day_by_day(sealer: ParquetSealer) -> None:
    days = [event(seq, env=Mode.SHADOW, run_id=f"2024-01-0{1 + seq // 3}") for seq in range(1, 7)]
    entries, chain = link(days), "shadow/alpha/main"
    sealer.seal_audit(chain, GENESIS, days[:2])
    sealer.seal_audit(chain, entries[1].entry_hash, days[2:5])
    sealer.seal_audit(chain, entries[4].entry_hash, days[5:])
    checks = [sealer.verify_sealed(f"2024-01-0{n}", "alpha", "main") for n in (1, 2, 3)]
    assert [(check.ok, check.entries) for check in checks] == [(True, 2), (True, 3), (True, 1)]
    assert [check.head for check in checks] == [entries[i].entry_hash for i in (1, 4, 5)]
    sealed = [e for n in (1, 2, 3) for e in sealer.entries(f"2024-01-0{n}", "alpha", "main")]
    assert verify_chain(sealed, chain=chain).ok


# --- unfinished and failing -------------------------------------------------------------------------------


class _FailingArtifacts(LocalArtifacts):
    """A store whose ``fail_at``-th write fails."""

    fail_at = 0
    writes = 0

    def write_bytes(self, relative: str, data: bytes) -> Path:
        self.writes += 1
        if self.writes == self.fail_at:
            raise NotDurable("No space left on device")
        return super().write_bytes(relative, data)


def test_an_unfinished_sealing_does_not_count_and_leaves_no_trace_in_the_next(tmp_path: Path) -> None:
    store = _FailingArtifacts(tmp_path / "artifacts")
    sealer = ParquetSealer(store, max_part_bytes=SMALL_PART)
    writes = 0
    for fail_at in range(1, 100):
        store.fail_at, store.writes = fail_at, 0
        try:
            parts = seal(sealer, events(60))
            break
        except NotDurable:
            writes += 1
            assert sealer.sealed(*RUN) is None
            assert not sealer.verify_sealed(*RUN).ok
    assert writes == len(parts) + 1
    store.fail_at = 0
    store.write_bytes(f"{FOLDER}/part-61-70-00000000.parquet", b"left behind")
    sealer.seal_audit(CHAIN, parts[-1].last_entry_hash, events(2, first=61))
    assert set(store.names(FOLDER)) == {part.path for part in sealer.sealed(*RUN) or ()}
    assert sealer.verify_sealed(*RUN).entries == 62


def test_a_store_that_keeps_other_bytes_is_caught_before_the_run_counts(tmp_path: Path) -> None:
    class Lying(LocalArtifacts):
        def read_bytes(self, relative: str) -> bytes:
            data = super().read_bytes(relative)
            return data[:100] + b"\0" + data[101:] if relative.endswith("parquet") else data

    sealer = ParquetSealer(Lying(tmp_path))
    with pytest.raises(NotDurable, match="read back"):
        seal(sealer, events(5))
    assert sealer.sealed(*RUN) is None


# --- mutations --------------------------------------------------------------------------------------------


def _edit(rows: list[dict[str, Any]], chance: np.random.Generator) -> None:
    row = rows[chance.integers(len(rows))]
    name = list(row)[chance.integers(len(row))]
    value = row[name]
    if name == "ts_event":
        row[name] = value + int(chance.choice([-1, 1])) * int(chance.integers(1, DAY_NS))
    elif name == "seq":
        row[name] = value + int(chance.choice([-1, 1]))
    else:
        at = int(chance.integers(len(value) + 1))
        row[name] = value[:at] + chance.choice(["0", "x", "é"]) + value[at + int(chance.integers(2)) :]


def _delete(rows: list[dict[str, Any]], chance: np.random.Generator) -> None:
    del rows[chance.integers(len(rows))]


def _insert(rows: list[dict[str, Any]], chance: np.random.Generator) -> None:
    rows.insert(int(chance.integers(len(rows) + 1)), dict(rows[chance.integers(len(rows))]))


def _reorder(rows: list[dict[str, Any]], chance: np.random.Generator) -> None:
    i, j = sorted(chance.choice(len(rows), size=2, replace=False))
    rows[i], rows[j] = rows[j], rows[i]


def _truncate(rows: list[dict[str, Any]], chance: np.random.Generator) -> None:
    del rows[chance.integers(1, len(rows)) :]


def _rewrite_manifest(store: ArtifactStore, sealed: SealedPart, table: pa.Table) -> None:
    """Make the manifest vouch for the changed file, as an intruder who knows the format would."""
    manifest = orjson.loads(store.read_bytes(MANIFEST))
    data = files.encode(table)
    column = table.to_pydict()
    facts = {"seq_from": column["seq"][0], "seq_to": column["seq"][-1], "rows": table.num_rows}
    facts |= {"prev_hash": column["prev_hash"][0], "first_entry_hash": column["entry_hash"][0]}
    facts |= {"last_entry_hash": column["entry_hash"][-1], "sha256": sha256_hex(data)}
    name = f"part-{facts['seq_from']}-{facts['seq_to']}-{facts['sha256'][:8]}.parquet"
    store.remove(sealed.path)
    store.write_bytes(f"{FOLDER}/{name}", data)
    for part in manifest["parts"]:
        if part["path"] == sealed.path:
            part.update(facts | {"path": f"{FOLDER}/{name}"})
    store.write_bytes(MANIFEST, canonical_json(manifest))


class _MemoryArtifacts:
    """An ArtifactStore that is no folder, as an object store would be."""

    root = Path("/nowhere")

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def write_bytes(self, relative: str, data: bytes) -> Path:
        self.files[relative] = data
        return self.root / relative

    def read_bytes(self, relative: str) -> bytes:
        if relative not in self.files:
            raise BadInput(expected="a file", found="none", where=relative)
        return self.files[relative]

    def exists(self, relative: str) -> bool:
        return relative in self.files

    def names(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.files if name.rpartition("/")[0] == folder))

    def remove(self, relative: str) -> None:
        self.files.pop(relative, None)


def test_three_hundred_mutations_are_found_and_no_intact_record_is_accused() -> None:
    chance, store = np.random.default_rng(11), _MemoryArtifacts()
    sealer = ParquetSealer(store, max_part_bytes=SMALL_PART // 2)
    parts = seal(sealer, events(24))
    head = Receipt(CHAIN, 24, parts[-1].last_entry_hash)
    intact = dict(store.files)
    kinds: list[Callable[..., None]] = [_edit, _edit, _delete, _insert, _reorder, _truncate]
    found: Counter[str] = Counter()
    for n in range(300):
        part, mutate = parts[chance.integers(len(parts))], kinds[n % len(kinds)]
        rows = files.decode(store.read_bytes(part.path)).cast(_WITH_INTEGER_TIME).to_pylist()
        before = [dict(row) for row in rows]
        while rows == before:
            mutate(rows, chance)
        table = pa.Table.from_pylist(rows, schema=_WITH_INTEGER_TIME).cast(files.AUDIT_SCHEMA)
        informed = bool(n // len(kinds) % 2 and rows)
        if informed:
            _rewrite_manifest(store, part, table)
        else:
            store.write_bytes(part.path, files.encode(table))
        found[f"{mutate.__name__} {informed}"] += 1
        check = sealer.verify_sealed(*RUN, head=head)
        assert not check.ok and check.reason, f"{n}: {mutate.__name__} of {part.path} was not found"
        store.files = dict(intact)
        assert sealer.verify_sealed(*RUN, head=head).ok
    assert sum(found.values()) == 300 and len(found) == 10


_WITH_INTEGER_TIME = files.AUDIT_SCHEMA.set(6, pa.field("ts_event", pa.int64(), nullable=False))


def test_the_first_bad_entry_is_named(sealer: ParquetSealer, store: LocalArtifacts) -> None:
    parts = seal(sealer, events(60))
    part = parts[1]
    table = files.decode(store.read_bytes(part.path))
    rule = table["rule_id"].to_pylist()
    rule[3] = "LD-01"
    store.write_bytes(part.path, files.encode(table.set_column(8, files.AUDIT_SCHEMA.field(8), [rule])))
    check = sealer.verify_sealed(*RUN)
    assert (check.first_bad, check.entries) == (part.seq_from + 3, part.seq_from + 2)
    assert "columns differ" in check.reason and part.path in check.reason


def test_bytes_that_are_no_parquet_and_files_that_are_gone_are_found(
    sealer: ParquetSealer, store: LocalArtifacts
) -> None:
    part = seal(sealer, events(60))[1]
    store.write_bytes(part.path, b"PAR1 nonsense PAR1")
    assert sealer.verify_sealed(*RUN).first_bad == part.seq_from
    store.remove(part.path)
    assert sealer.verify_sealed(*RUN).first_bad == part.seq_from


def test_parts_swapped_between_accounts_and_runs_are_found(
    sealer: ParquetSealer, store: LocalArtifacts
) -> None:
    seal(sealer, events(5))
    seal(sealer, events(5, account="other"))
    data = (store.root / MANIFEST).read_bytes()
    store.write_bytes(MANIFEST.replace("account=main", "account=other"), data)
    assert "manifest of this run" in sealer.verify_sealed("run-1", "alpha", "other").reason


def test_a_cut_tail_is_found_with_a_receipt_and_only_with_one(
    sealer: ParquetSealer, store: LocalArtifacts
) -> None:
    parts = seal(sealer, events(60))
    manifest = orjson.loads(store.read_bytes(MANIFEST))
    manifest["parts"].pop()
    store.write_bytes(MANIFEST, canonical_json(manifest))
    assert sealer.verify_sealed(*RUN).ok
    check = sealer.verify_sealed(*RUN, head=Receipt(CHAIN, 60, parts[-1].last_entry_hash))
    assert check.first_bad == parts[-1].seq_from


@pytest.mark.parametrize("field", ["path", "rows", "seq_from", "seq_to", "sha256", "schema_fingerprint"])
@pytest.mark.parametrize("dataset", ["audit", "state"])
def test_a_false_fact_in_the_manifest_is_found(
    sealer: ParquetSealer, store: LocalArtifacts, dataset: Any, field: str
) -> None:
    seal(sealer, events(60))
    sealer.seal_rl(rl_block(500))
    name = (
        MANIFEST
        if dataset == "audit"
        else MANIFEST.replace("audit", "rl_dataset").replace("schema=1", "schema=1/record=state")
    )
    manifest = orjson.loads(store.read_bytes(name))
    part = manifest["parts"][1]
    part[field] = part[field] + (1 if isinstance(part[field], int) else "x")
    store.write_bytes(name, canonical_json(manifest))
    assert not sealer.verify_sealed(*RUN, dataset=dataset).ok


@pytest.mark.parametrize("field", ["prev_hash", "first_entry_hash", "last_entry_hash"])
def test_a_false_hash_in_the_manifest_is_found(
    sealer: ParquetSealer, store: LocalArtifacts, field: str
) -> None:
    seal(sealer, events(60))
    manifest = orjson.loads(store.read_bytes(MANIFEST))
    manifest["parts"][1][field] = "0" * 64
    store.write_bytes(MANIFEST, canonical_json(manifest))
    check = sealer.verify_sealed(*RUN)
    assert not check.ok and "manifest" in check.reason


def test_a_trading_day_passed_off_as_another_is_found(sealer: ParquetSealer, store: LocalArtifacts) -> None:
    first = event(1, env=Mode.SHADOW, run_id="2024-01-02")
    (part,) = sealer.seal_audit("shadow/alpha/main", GENESIS, [first])
    manifest = MANIFEST.replace("run-1", "2024-01-02")
    for old in (part.path, manifest):
        data = store.read_bytes(old).replace(b"2024-01-02", b"2024-01-03") if old == manifest else None
        store.write_bytes(old.replace("2024-01-02", "2024-01-03"), data or store.read_bytes(old))
    check = sealer.verify_sealed("2024-01-03", "alpha", "main")
    assert not check.ok and "another run" in check.reason


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"not json", b'{"parts":1}'])
def test_a_manifest_that_is_none_is_found(
    sealer: ParquetSealer, store: LocalArtifacts, content: bytes
) -> None:
    seal(sealer, events(5))
    store.write_bytes(MANIFEST, content)
    assert not sealer.verify_sealed(*RUN).ok
    with pytest.raises(CheckFailed):
        seal(sealer, events(5))


# --- RL rows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", ["state", "action", "transition"])
def test_rl_rows_come_back_as_they_went_in(sealer: ParquetSealer, store: LocalArtifacts, record: str) -> None:
    made = rl_block(record=record)
    (part,) = sealer.seal_rl(made)
    folder = f"rl_dataset/schema=1/record={record}/firm=alpha/account=main/run=run-1"
    assert part.path == f"{folder}/part-1-6-{part.sha256[:8]}.parquet"
    assert store.exists(f"rl_dataset/_manifest/{folder.removeprefix('rl_dataset/')}.json")
    table = files.decode(store.read_bytes(part.path))
    assert table.column_names[:7] == [
        *("firm_id", "account_id", "run_id", "env", "feature_set_version", "seq", "ts_event")
    ]
    back = table.to_pydict()
    assert set(zip(*(back[name] for name in table.column_names[:5]), strict=True)) == {
        ("alpha", "main", "run-1", "dry_run", "fs-1")
    }
    np.testing.assert_array_equal(back["weights"], made.columns["weights"])
    np.testing.assert_array_equal(back["mask"], made.columns["mask"])
    np.testing.assert_array_equal(back["equity"], made.columns["equity"])
    assert back["label"] == made.columns["label"]
    assert back["state"] == list(made.columns["state"])
    assert table.schema.field("code").type == pa.int8()
    assert table.schema.field("weights").type == pa.list_(pa.field("element", pa.float64()))
    assert table["weights"].null_count == table["equity"].null_count == 0
    assert sealer.verify_sealed(*RUN, dataset=record).entries == 6  # type: ignore[arg-type]


def test_rl_rows_are_re_used_continued_and_never_overwritten(
    sealer: ParquetSealer, store: LocalArtifacts
) -> None:
    parts = sealer.seal_rl(rl_block(500))
    assert len(parts) > 1
    before = tree(store)
    assert sealer.seal_rl(rl_block(500)) == parts
    other = rl_block(500)
    other.columns["equity"][499] += 1e-9
    for wrong in (other, rl_block(500, feature_set_version="fs-2"), rl_block(1, first=500)):
        with pytest.raises(NotDurable):
            sealer.seal_rl(wrong)
    with pytest.raises(NotDurable, match="dry_run"):
        sealer.seal_rl(rl_block(3, first=501, env="shadow"))
    assert tree(store) == before
    more = sealer.seal_rl(rl_block(503))
    assert more[:-1] == parts and (more[-1].seq_from, more[-1].seq_to) == (501, 503)
    assert sealer.verify_sealed(*RUN, dataset="state").entries == 503
    store.write_bytes(parts[0].path, store.read_bytes(parts[1].path))
    assert sealer.verify_sealed(*RUN, dataset="state").first_bad == 1
    with pytest.raises(CheckFailed):
        sealer.seal_rl(rl_block(500))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("firm", np.zeros(6)),
        ("env", np.zeros(6)),
        ("x", np.zeros(5)),
        ("x", np.zeros((6, 2, 2))),
        ("x", np.zeros(6, dtype=object)),
        ("x", np.zeros(6, dtype="M8[ns]")),
        ("x", np.zeros(6, dtype=complex)),
        ("x", [1.0] * 6),
        ("seq", np.arange(6)),
        ("seq", np.array([1, 2, 2, 3, 4, 5])),
        ("seq", np.arange(1.0, 7.0)),
        ("ts_event_ns", np.arange(6)[::-1].copy()),
        ("ts_event_ns", None),
        ("seq", None),
    ],
)
def test_blocks_that_cannot_be_sealed_are_refused(
    sealer: ParquetSealer, store: LocalArtifacts, name: str, column: Any
) -> None:
    made = rl_block()
    made.columns[name] = column
    if column is None:
        del made.columns[name]
    with pytest.raises(BadInput):
        sealer.seal_rl(made)
    assert not store.root.exists()


@pytest.mark.parametrize("change", [{"columns": {}}, {"env": "live"}, {"record": "reward"}])
def test_blocks_without_a_place_are_refused(sealer: ParquetSealer, change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        sealer.seal_rl(rl_block(**change))


@given(rows=st.integers(1, 40), width=st.integers(0, 5), limit=st.integers(1, 4000), data=st.data())
@settings(max_examples=40, deadline=None)
def test_pieces_of_a_block_are_the_block(rows: int, width: int, limit: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(), min_size=rows * width, max_size=rows * width))
    seq = np.arange(1, rows + 1)
    columns = {"seq": seq, "ts_event_ns": seq, "x": np.array(values, dtype=float).reshape(rows, width)}
    made = rl_block(columns=columns)
    files.require_rl_columns(made)
    pieces = list(files.rl_chunks(made, limit))
    back = pa.concat_tables([files.decode(files.encode(files.rl_table(piece))) for piece in pieces])
    assert (
        np.array(back["x"].to_pylist(), dtype=float).reshape(rows, width).tobytes() == columns["x"].tobytes()
    )
    assert back["seq"].to_pylist() == list(seq)


# --- other people's tools ---------------------------------------------------------------------------------


def test_duckdb_and_polars_read_two_firms_with_one_glob(sealer: ParquetSealer, store: LocalArtifacts) -> None:
    for firm, account, n in (("alpha", "main", 30), ("alpha", "prop-1", 20), ("beta", "main", 10)):
        seal(sealer, events(n, firm=firm, account=account))
        sealer.seal_rl(rl_block(n, firm_id=firm, account_id=account))
    audit, rl = f"{store.root}/audit/**/*.parquet", f"{store.root}/rl_dataset/**/*.parquet"
    counted = duckdb.sql(
        f"""SELECT firm, account, count(*), min(seq), max(seq), bool_and(firm = firm_id AND account = account_id),
                   sum(CAST(json_extract(body, '$.target_w_e9[0]') AS BIGINT)), min(epoch_ns(ts_event))
            FROM read_parquet('{audit}', hive_partitioning = true) GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    start = T0_NS + DAY_NS
    assert counted == [
        ("alpha", "main", 30, 1, 30, True, 465, start),
        ("alpha", "prop-1", 20, 1, 20, True, 210, start),
        ("beta", "main", 10, 1, 10, True, 55, start),
    ]
    joined = duckdb.sql(
        f"""SELECT count(*) FROM read_parquet('{audit}') a JOIN read_parquet('{rl}', hive_partitioning = true) s
            USING (firm_id, account_id, run_id, seq) WHERE a.ts_event = s.ts_event AND s.record = 'state'"""
    ).fetchall()
    assert joined == [(60,)]
    frame = pl.scan_parquet(audit, hive_partitioning=True).filter(pl.col("firm") == "beta").collect()
    assert frame.height == 10 and frame["ts_event"].dtype == pl.Datetime("ns", "UTC")
    assert pl.scan_parquet(rl, hive_partitioning=True).select(pl.len()).collect().item() == 60
