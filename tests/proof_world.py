"""A record in memory: a store, keys, a witness and a writer of random records, for tests of the proof."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tests.proof_samples import T_NS, signer
from tests.record_samples import DAY_NS, T0_NS, event

from regime_trading.adapters.journal import ParquetSealer
from regime_trading.adapters.journal.reader import SealedRecord
from regime_trading.adapters.keys import publish
from regime_trading.core.audit import AuditEvent, chain_of
from regime_trading.core.canonical import GENESIS, chain_hashes
from regime_trading.core.checkpoint import LogState, NotSigned, SealedEntries, extend
from regime_trading.core.errors import CheckFailed, NotDurable
from regime_trading.core.notes import PublicKey, Signer
from regime_trading.core.schemas import Mode
from regime_trading.services.proof import Proof, ProofDeps
from regime_trading.services.verify import Verified, verify

Files = dict[str, bytes]


class MemoryStore:
    """Artifacts in a dictionary."""

    def __init__(self) -> None:
        self.files: Files = {}

    @property
    def root(self) -> Path:
        return Path("/nowhere")

    def write_bytes(self, relative: str, data: bytes) -> Path:
        self.files[relative] = data
        return self.root / relative

    def read_bytes(self, relative: str) -> bytes:
        return self.files[relative]

    def exists(self, relative: str) -> bool:
        return relative in self.files

    def names(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(path for path in self.files if path.rpartition("/")[0] == folder))

    def remove(self, relative: str) -> None:
        self.files.pop(relative, None)


class MemoryKeys:
    """Keys 1, 2, 3 … of each firm, in the order in which they are asked for."""

    name = "memory"

    def __init__(self) -> None:
        self.held: dict[str, list[Signer]] = {}
        self.made = 0
        self.broken = False

    def signer(self, firm_id: str, key_hash: str) -> Signer:
        self._require()
        for one in self.held.get(firm_id, []):
            if one.public.key_hash == key_hash:
                return one
        raise NotSigned(expected=f"key {key_hash}", found="none", where=self.name)

    def only(self, firm_id: str) -> Signer | None:
        self._require()
        return next(iter(self.held.get(firm_id, [])), None)

    def create(self, firm_id: str) -> Signer:
        self._require()
        self.made += 1
        self.held.setdefault(firm_id, []).append(signer(self.made, firm_id))
        return self.held[firm_id][-1]

    def retire(self, firm_id: str, key_hash: str, *, keep: bool) -> None:
        self.held[firm_id] = [one for one in self.held[firm_id] if one.public.key_hash != key_hash]

    def _require(self) -> None:
        if self.broken:
            raise NotSigned(expected="a folder of keys", found="none", where=self.name)


class MemoryWitness:
    """A witness that keeps what it is given; ``reachable`` turns it off."""

    name = "memory"

    def __init__(self) -> None:
        self.logs: dict[str, list[bytes]] = {}
        self.states: dict[str, LogState] = {}
        self.reachable = True

    def latest(self, firm_id: str) -> bytes | None:
        self._require()
        return self.logs[firm_id][-1] if firm_id in self.logs else None

    def put(self, firm_id: str, checkpoint: bytes) -> None:
        self._require()
        if checkpoint != self.latest(firm_id):
            self.states[firm_id] = extend(self.states.get(firm_id), checkpoint, firm_id, "witness memory")
            self.logs.setdefault(firm_id, []).append(checkpoint)

    def firms(self) -> tuple[str, ...]:
        self._require()
        return tuple(sorted(self.logs))

    def held(self, firm_id: str) -> tuple[bytes, ...]:
        self._require()
        return tuple(self.logs.get(firm_id, ()))

    def _require(self) -> None:
        if not self.reachable:
            raise NotDurable("witness memory cannot be reached: off")


@dataclass
class Ticks:
    """A clock that goes on by one minute each time it is read."""

    at_ns: int = T_NS

    def now_ns(self) -> int:
        self.at_ns += 60_000_000_000
        return self.at_ns


@dataclass
class World:
    """One artifacts folder with its keys and its witness."""

    store: MemoryStore = field(default_factory=MemoryStore)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    witness: MemoryWitness = field(default_factory=MemoryWitness)
    clock: Ticks = field(default_factory=Ticks)
    told: list[str] = field(default_factory=list)
    public: set[PublicKey] = field(default_factory=set)
    max_part_bytes: int = 4_000
    ends: dict[str, tuple[int, str, int]] = field(
        default_factory=dict
    )  #: seq, hash and time of each chain's end

    def __post_init__(self) -> None:
        self.proof = self.new_process()

    def new_process(self) -> Proof:
        """The service as a process that has seen nothing yet would open it."""
        return Proof(
            ProofDeps(
                store=self.store,
                reader=lambda: SealedRecord(self.store.files),
                clock=self.clock,
                keys=self.keys,
                publish=self._publish,
                witnesses=lambda: (self.witness,),
                lock=lambda firm: nullcontext(),
                tell=self.told.append,
            )
        )

    def _publish(self, firm_id: str, key: PublicKey) -> None:
        self.public.add(key)
        publish(self.store, firm_id, key)

    def seal(
        self,
        n: int,
        *,
        firm: str = "alpha",
        account: str = "main",
        run: str = "run-1",
        env: Mode | str = Mode.DRY_RUN,
    ) -> SealedEntries:
        """Seal ``n`` more entries of a chain."""
        where = {"firm": firm, "account": account, "run_id": run, "env": Mode(env)}
        chain = chain_of(event(1, **where))
        seq, prev, ts_ns = self.ends.get(chain, (0, GENESIS, T0_NS))
        made: list[AuditEvent] = []
        for i in range(1, n + 1):
            made.append(event(seq + i, ts_event_ns=ts_ns + i * DAY_NS, note="x" * ((seq + i) % 7), **where))
        ParquetSealer(self.store, max_part_bytes=self.max_part_bytes).seal_audit(chain, prev, made)
        hashes = chain_hashes(prev, [one.body for one in made])
        self.ends[chain] = (seq + n, hashes[-1], made[-1].ts_event_ns)
        return SealedEntries(chain, seq + 1, hashes)

    def verify(
        self, files: Files | None = None, *, witness: bool = True, keys: bool = True, **how: object
    ) -> Verified:
        """Verify ``files`` (the record as it is where None) with the keys that were published and the witness."""
        return verify(
            SealedRecord(self.store.files if files is None else files),
            now_ns=self.clock.at_ns,
            trusted=sorted(self.public, key=lambda key: key.vkey) if keys else None,
            witnesses=(self.witness,) if witness else (),
            **how,  # type: ignore[arg-type]
        )


def random_world(rng: np.random.Generator, *, tail: bool = False) -> World:
    """A record of random shape: firms, accounts, environments, days, parts, checkpoints, rotations.

    With ``tail`` some entries at the end are not signed.
    """
    world = World(max_part_bytes=int(rng.integers(1_200, 9_000)))
    firms = ["alpha", "beta", "gamma"][: int(rng.integers(1, 4))]
    for step in range(int(rng.integers(2, 5))):
        for firm in firms:
            hints = [_grow(world, rng, firm, step) for _ in range(int(rng.integers(1, 3)))]
            if rng.random() < 0.8 or step == 0:
                proof = world.proof if rng.random() < 0.7 else world.new_process()
                proof.checkpoint(firm, hints if rng.random() < 0.6 else ())
                if rng.random() < 0.2:
                    world.proof.rotate(firm)
    for firm in firms:
        world.new_process().checkpoint(firm)
        if tail:
            _grow(world, rng, firm, 9)
    return world


def _grow(world: World, rng: np.random.Generator, firm: str, step: int) -> SealedEntries:
    account = ["main", "core"][int(rng.integers(2))]
    n = int(rng.integers(1, 9))
    if rng.random() < 0.5:
        return world.seal(n, firm=firm, account=account, run=f"d-2026-01-{step + 1:02d}", env=Mode.SHADOW)
    return world.seal(n, firm=firm, account=account, run=f"run-{int(rng.integers(3))}")


__all__ = ["CheckFailed", "Files", "MemoryKeys", "MemoryStore", "MemoryWitness", "World", "random_world"]
