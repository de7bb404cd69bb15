"""Entries move from the write-ahead store into the sealed record: each is there once, whatever happens in between."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.proof_world import MemoryKeys, MemoryWitness, Ticks
from tests.record_samples import DAY_NS, T0_NS, event, events
from tests.whole_chain import whole_chain

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlAuditLog, open_database, sqlite_url
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.adapters.journal.compaction import FAN_IN, closing_groups, growing_groups
from regime_trading.adapters.journal.reader import FolderFiles, SealedRecord
from regime_trading.adapters.keys import publish
from regime_trading.core.audit import ADMIN_ENV, FIRM_ACCOUNT, SealedPart, link, verify_chain
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.errors import CheckFailed, NotDurable
from regime_trading.core.schemas import AuditEvent, EventType, Mode
from regime_trading.services.proof import Proof, ProofDeps
from regime_trading.services.sealing import BackgroundSealing, Sealing, SealPolicy
from regime_trading.services.verify import verify

CHAIN = "shadow/alpha/main"
RUN = "2024-01-02"
NEXT = "2024-01-03"


class World:
    """A store, an artifacts folder and a sealing."""

    def __init__(self, folder: Path, **more: object) -> None:
        self.engine = open_database(sqlite_url(folder / "store.db"))
        self.log = SqlAuditLog(self.engine, firm_id="alpha")
        self.files = LocalArtifacts(folder / "artifacts")
        self.sealer = ParquetSealer(self.files)
        self.sealing = Sealing(lambda _: self.log, self.sealer, **more)  # type: ignore[arg-type]

    def write(self, seq: int, n: int, run_id: str = RUN) -> None:
        self.log.append(shadow(seq, n, run_id))

    def glob(self) -> list[int]:
        found = duckdb.sql(
            f"select seq from read_parquet('{self.files.root}/audit/schema=1/firm=alpha/**/*.parquet') order by seq"
        )
        return [row[0] for row in found.fetchall()]

    def whole(self) -> list[AuditEvent]:
        entries = list(whole_chain(self.log, self.sealer, CHAIN))
        assert verify_chain(entries, chain=CHAIN).ok
        return [entry.event for entry in entries]


def shadow(seq: int, n: int, run_id: str = RUN) -> list[AuditEvent]:
    return events(n, first=seq, env=Mode.SHADOW, run_id=run_id)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_sealed_and_waiting_together_are_the_whole_chain(world: World) -> None:
    world.write(1, 5)
    assert [e.seq for e in world.whole()] == [1, 2, 3, 4, 5]
    (done,) = world.sealing.seal_all(["alpha"])
    hashes = [entry.entry_hash for entry in link(shadow(1, 5))]
    assert (done.entries, len(done.parts)) == (SealedEntries(CHAIN, 1, hashes), 1)
    world.write(6, 3)
    assert world.whole() == shadow(1, 8) and world.glob() == [1, 2, 3, 4, 5]
    world.write(9, 2, NEXT)
    (done,) = world.sealing.seal_all(["alpha"])
    assert (done.entries.first_seq, len(done.entries.entry_hashes)) == (6, 5)
    assert world.whole() == shadow(1, 8) + shadow(9, 2, NEXT) and world.glob() == list(range(1, 11))
    assert world.sealer.runs("alpha", "main", "shadow") == (RUN, NEXT)
    for run_id in (RUN, NEXT):
        assert world.sealer.verify_sealed(run_id, "alpha", "main").ok
    assert world.sealing.seal_all(["alpha"]) == ()


def test_it_is_due_by_number_or_by_age(tmp_path: Path) -> None:
    world = World(tmp_path, policy=SealPolicy(rows=4, age_ns=2 * DAY_NS))
    world.write(1, 3)
    assert world.sealing.seal_due(["alpha"], T0_NS + 3 * DAY_NS - 1) == ()
    assert len(world.sealing.seal_due(["alpha"], T0_NS + 3 * DAY_NS)) == 1
    world.write(4, 3)
    assert world.sealing.seal_due(["alpha"], T0_NS + 5 * DAY_NS) == ()
    world.write(7, 1)
    assert len(world.sealing.seal_due(["alpha"], T0_NS + 5 * DAY_NS)) == 1


def test_acts_of_the_firm_are_sealed_and_dry_runs_are_not(world: World) -> None:
    where = {"env": ADMIN_ENV, "account": FIRM_ACCOUNT, "run_id": "d-2024-01-02"}
    world.log.append([event(1, event_type=EventType.CONFIG_ACCEPTED, **where), event(1, run_id="run-1")])
    told: list[tuple[str, list[str]]] = []
    sealing = Sealing(
        lambda _: world.log,
        world.sealer,
        on_sealed=lambda firm, sealed: told.append((firm, [one.chain_id for one in sealed])),
    )
    assert [one.entries.chain_id for one in sealing.seal_all(["alpha"])] == ["admin/alpha/_firm"]
    assert told == [("alpha", ["admin/alpha/_firm"])]
    assert world.sealer.verify_sealed("d-2024-01-02", "alpha", "_firm").ok
    assert world.log.head("dry_run/run-1/alpha/main")[0] == 1


def test_small_parts_become_large_ones_and_a_day_that_ended_becomes_one(world: World) -> None:
    for seq in range(1, 4 * FAN_IN):
        world.write(seq, 1)
        world.sealing.seal_all(["alpha"])
        assert world.glob() == list(range(1, seq + 1))
        assert world.sealer.verify_sealed(RUN, "alpha", "main").ok
    parts = world.sealer.sealed(RUN, "alpha", "main")
    assert parts is not None and [p.rows for p in parts] == [8, 8, 8, *[1] * 7]
    world.write(32, 1, NEXT)
    world.sealing.seal_all(["alpha"])
    parts = world.sealer.sealed(RUN, "alpha", "main")
    assert parts is not None and [p.rows for p in parts] == [31]
    assert world.sealer.verify_sealed(RUN, "alpha", "main").ok and world.glob() == list(range(1, 33))


def test_damage_is_never_copied_into_a_larger_part(world: World) -> None:
    world.write(1, 2)
    world.sealing.seal_all(["alpha"])
    world.write(3, 2)
    (done,) = world.sealing.seal_all(["alpha"])
    broken = world.files.root / done.parts[0].path
    broken.write_bytes(broken.read_bytes()[:-1])
    world.write(5, 1, NEXT)
    with pytest.raises(CheckFailed):
        world.sealing.seal_all(["alpha"])
    assert [e.event.seq for e in world.log.entries(CHAIN, 4)] == [5]


def test_what_reads_back_differently_is_not_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(1, 3)
    other = link(shadow(1, 2))
    monkeypatch.setattr(ParquetSealer, "entries", lambda *_, **__: iter(other))
    with pytest.raises(CheckFailed, match="read back differently"):
        world.sealing.seal_all(["alpha"])
    assert len(world.log.entries(CHAIN)) == 3


def test_a_store_that_cannot_write_drops_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(1, 3)

    def full(*_: object) -> None:
        raise NotDurable("no space")

    monkeypatch.setattr(LocalArtifacts, "write_bytes", full)
    with pytest.raises(NotDurable):
        world.sealing.seal_all(["alpha"])
    monkeypatch.undo()
    assert world.whole() == shadow(1, 3)
    said: list[str] = []
    background = BackgroundSealing(Sealing(lambda _: world.log, world.sealer), said.append)
    monkeypatch.setattr(LocalArtifacts, "write_bytes", full)
    background.nudge(["alpha"], T0_NS + 9 * DAY_NS)
    background.close()
    assert said == ["sealing failed, the entries stay in the write-ahead store: no space"]


class Heard:
    """What a background sealing did, waited for rather than slept for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._more = threading.Condition()

    def __call__(self, firm: str, sealed: tuple[SealedEntries, ...]) -> None:
        with self._more:
            self.sizes += [len(one.entry_hashes) for one in sealed]
            self._more.notify_all()

    def wait_for(self, sizes: list[int]) -> None:
        with self._more:
            assert self._more.wait_for(lambda: self.sizes == sizes, timeout=30), self.sizes


@pytest.mark.parametrize(
    ("age_s", "before_s", "sizes"), [(3_600, 0, [4, 3]), (3_600, 3_600, [1, 3, 3]), (0.05, 0, [1, 3, 3])]
)
def test_behind_the_answers_by_number_by_age_and_what_was_left(
    tmp_path: Path, age_s: float, before_s: int, sizes: list[int]
) -> None:
    """Of 1 + 3 + 3 + 1 decisions: three are due at once, one when it is old enough, though nobody comes after."""
    heard = Heard()
    world = World(tmp_path, policy=SealPolicy(rows=3, age_ns=int(age_s * 1e9)), on_sealed=heard)
    background = BackgroundSealing(world.sealing, lambda said: pytest.fail(said))
    world.write(1, 1)
    waits = before_s == 0 and age_s > 1
    background.nudge(["alpha"], world.log.backlog()[0].oldest_ns + before_s * 1_000_000_000)
    if not waits:
        heard.wait_for([1])
    world.write(2, 3)
    background.nudge(["alpha"], T0_NS, 3)
    heard.wait_for(sizes[: 1 if waits else 2])
    world.write(5, 3)
    background.nudge(["alpha"], T0_NS, 3)
    heard.wait_for(sizes)
    world.write(8, 1)
    background.nudge(["alpha"], T0_NS)
    if age_s < 1:
        heard.wait_for([*sizes, 1])
    background.close()
    assert sum(one.rows for one in world.log.backlog()) == (0 if age_s < 1 else 1)
    assert [entry.seq for entry in world.whole()] == list(range(1, 9))


def test_a_gate_that_signs_what_it_sealed_reads_a_chain_once(world: World) -> None:
    """Entry hashes go straight to the next checkpoint; only what an earlier process left is read back."""
    witness, opened = MemoryWitness(), list[int]()

    said: list[str] = []

    def reader() -> SealedRecord:
        opened.append(1)
        return SealedRecord(FolderFiles(world.files.root))

    proof = Proof(
        ProofDeps(
            store=world.files,
            reader=reader,
            clock=Ticks(T0_NS),
            keys=MemoryKeys(),
            publish=lambda firm, key: publish(world.files, firm, key),
            witnesses=lambda: [witness],
            lock=lambda _: nullcontext(),
            tell=said.append,
        )
    )
    sealing = Sealing(lambda _: world.log, world.sealer, on_sealed=proof.sign)
    for seq in range(1, 10, 3):
        world.write(seq, 3, RUN if seq < 7 else NEXT)
        sealing.seal_all(["alpha"])
    state = proof.state("alpha")
    assert state is not None and state.last.seq == 3 and state.heads[CHAIN].size == 9
    assert opened == [1]
    assert verify(reader(), now_ns=T0_NS + DAY_NS, trusted=None, firm_id="alpha", witnesses=[witness]).ok
    assert len(said) == 1 and "A key was made" in said[0]


def test_writers_sealers_and_readers_at_once(world: World) -> None:
    """Two sealers and a reader beside a writer; whoever reads through the manifest sees every entry once."""
    stop, errors, seen = threading.Event(), list[BaseException](), list[int]()

    def guarded(act: object) -> None:
        try:
            while not stop.is_set():
                act()  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)

    def read() -> None:
        numbers = [entry.event.seq for entry in whole_chain(world.log, world.sealer, CHAIN)]
        assert numbers == list(range(1, len(numbers) + 1))
        seen.append(len(numbers))
        check = world.sealer.verify_sealed(RUN, "alpha", "main")
        assert check.ok or "missing" in check.reason, check

    threads = [
        threading.Thread(target=guarded, args=(act,))
        for act in (
            read,
            lambda: world.sealing.seal_all(["alpha"]),
            lambda: world.sealing.seal_all(["alpha"]),
        )
    ]
    for thread in threads:
        thread.start()
    for seq in range(1, 150):
        world.write(seq, 1)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == [] and len(seen) > 1
    world.sealing.seal_all(["alpha"])
    assert world.glob() == list(range(1, 150))


def part(rows: int) -> SealedPart:
    return SealedPart("", rows, 1, rows, "", "")


@given(st.lists(st.integers(1, 200), max_size=60))
def test_groups_are_neighbours_and_merging_ends(rows: list[int]) -> None:
    parts = [part(n) for n in rows]
    for _ in range(60):
        groups = growing_groups(parts)
        if not groups:
            break
        assert all(stop - start >= FAN_IN for start, stop in groups)
        assert all(a[1] <= b[0] for a, b in pairwise(groups))
        for start, stop in reversed(groups):
            parts[start:stop] = [part(sum(p.rows for p in parts[start:stop]))]
    assert growing_groups(parts) == [] and sum(p.rows for p in parts) == sum(rows)
    closed = closing_groups(rows, 300)
    assert all(sum(rows[a:b]) <= 300 and b - a > 1 for a, b in closed)
