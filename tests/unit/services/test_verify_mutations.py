"""Whatever is done to the record is seen, up to the last witnessed checkpoint; what was left alone is never accused.

``REGIME_MUTATIONS`` sets how many mutations are tried. The corpus and its classes are in ``tests/record_attacks.py``.
"""

from __future__ import annotations

import os
import time
from collections import Counter

import numpy as np
import pytest
from tests.proof_world import Files, World, random_world
from tests.record_attacks import (
    ATTACKS,
    delete,
    drop_checkpoints,
    kept_to,
    rehash,
    signed_size,
    whole_chain,
)

from regime_trading.core.errors import RegimeError
from regime_trading.services.verify import answer

MUTATIONS = int(os.environ.get("REGIME_MUTATIONS", "1000"))
PER_WORLD = 40
#: What may leave a record that was once whole: only a witness knows that it has gone on. All else is seen without one.
NEEDS_A_WITNESS = (delete, drop_checkpoints)


def detected(world: World, files: Files, *, witness: bool) -> bool:
    try:
        found = world.verify(files, witness=witness)
    except RegimeError:
        return True
    told = answer(found)
    assert told["ok"] == (told["integrity"]["ok"] and told["completeness"]["ok"])
    assert told["integrity"]["ok"] == (told["integrity"]["first_bad"] is None)
    return not found.ok


def run_corpus(mutations: int, seed: int) -> str:
    """Try ``mutations`` and return figures; fail at the first that is not seen."""
    rng = np.random.default_rng(seed)
    seen: Counter[str] = Counter()
    begun = time.process_time()
    worlds = 0
    while seen.total() < mutations:
        world, worlds = random_world(rng), worlds + 1
        assert world.verify().ok
        for _ in range(PER_WORLD):
            attack = ATTACKS[int(rng.integers(len(ATTACKS)))]
            files = attack(world, rng)
            if files is None or files == world.store.files:
                continue
            witness = attack in NEEDS_A_WITNESS
            assert detected(world, files, witness=witness), (
                f"{attack.__name__}: not seen (seed {seed}, world {worlds})"
            )
            seen[attack.__name__] += 1
            if seen.total() == mutations:
                break
    assert set(seen) == {attack.__name__ for attack in ATTACKS}
    rate = seen.total() / (time.process_time() - begun)
    classes = ", ".join(f"{name} {n}" for name, n in sorted(seen.items()))
    return f"{seen.total()} of {mutations} mutations of {worlds} records seen, {rate:.0f} a CPU second: {classes}"


def test_every_mutation_is_seen() -> None:
    print(run_corpus(MUTATIONS, seed=5))


@pytest.mark.full
@pytest.mark.parametrize("seed", range(6, 10))
def test_every_mutation_is_seen_at_length(seed: int) -> None:
    print(run_corpus(max(MUTATIONS, 3_000), seed))


def no_false_alarms(records: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    entries = checkpoints = 0
    for n in range(records):
        world = random_world(rng, tail=n % 2 == 0)
        for witness in (True, False):
            for keys in (True, False):
                found = world.verify(witness=witness, keys=keys)
                assert found.ok, (found.faults, found.gaps)
        entries += sum(report.tree.size for report in found.chains)
        checkpoints += sum(len(log.checkpoints) for log in found.logs.values())
    return f"0 alarms over {records} untouched records, {entries} entries, {checkpoints} checkpoints"


def test_untouched_records_are_not_accused() -> None:
    print(no_false_alarms(max(MUTATIONS // 40, 1), seed=21))


@pytest.mark.full
def test_untouched_records_are_not_accused_at_length() -> None:
    print(no_false_alarms(500, seed=22))


# --- what cannot be seen, and is named --------------------------------------------------------------------


def unsigned_chain(rng: np.random.Generator) -> tuple[World, str, int]:
    """A record with a chain that goes further than its checkpoints, and how far these go."""
    while True:
        world = random_world(rng, tail=True)
        for report, signed in world.verify().unsigned():
            return world, report.chain, signed


@pytest.mark.parametrize("seed", range(12))
def test_a_tail_cut_off_after_the_last_checkpoint_is_named_as_what_cannot_be_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world, chain, signed = unsigned_chain(rng)
    runs, rows = whole_chain(world, rng)
    while runs[0].chain != chain:
        runs, rows = whole_chain(world, rng)
    size = sum(len(part) for parts in rows for part in parts)
    assert signed == signed_size(world, chain) < size
    for kept in range(size + 1):
        if kept == 0 and signed == 0:
            continue  # then nothing of the chain is left that could be named
        files = kept_to(world, runs, rows, kept)
        found = world.verify(files)
        assert found.ok == (kept >= signed)
        told = answer(found)
        named = {one["chain"]: one["seq"] for one in told["unsigned_after"]}
        witnessed = {name: n for one in told["witnessed_to"] for name, n in one["chains"].items()}
        if kept >= signed:
            assert named.get(chain) == (signed if kept > signed else None)
            assert witnessed.get(chain, 0) == signed


def test_entries_after_the_last_checkpoint_can_be_rewritten_and_are_named() -> None:
    rng = np.random.default_rng(3)
    seen = Counter[bool]()
    for _ in range(6):
        world, _, _ = unsigned_chain(rng)
        before = dict(world.store.files)
        files = rehash(world, rng)
        assert files is not None
        if files == before:
            continue
        found = world.verify(files)
        seen[found.ok] += 1
        if found.ok:
            assert list(found.unsigned())
    assert seen.total() > 3


def test_without_a_witness_checkpoints_at_the_end_can_be_taken_away() -> None:
    """The limit that the guide names: a record rolled back to an earlier checkpoint needs a witness to be seen."""
    world = World()
    world.proof.checkpoint("alpha", [world.seal(5)])
    earlier = dict(world.store.files)
    world.proof.checkpoint("alpha", [world.seal(5)])
    assert world.verify(earlier, witness=False).ok
    found = world.verify(earlier)
    assert not found.ok and "witness memory holds it" in found.gaps[0].reason
