"""Checkpoints: made once, over everything sealed, by the right key, with witnesses that come and go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.proof_samples import SECOND_NS, T_NS
from tests.proof_world import World, random_world

from regime_trading.adapters.journal.reader import SealedRecord
from regime_trading.core.checkpoint import Forked, NotSigned, SealedEntries, checkpoint_path
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable
from regime_trading.core.merkle import leaf_hash, root
from regime_trading.services.verify import verify

CHAIN = "dry_run/run-1/alpha/main"


@pytest.fixture
def world() -> World:
    return World()


def said(world: World, *words: str) -> bool:
    return any(all(word in text for word in words) for text in world.told)


def test_a_checkpoint_states_every_chain(world: World) -> None:
    main = world.seal(5)
    core = world.seal(3, account="core")
    made = world.proof.checkpoint("alpha", [main, core])
    assert made is not None
    assert (made.seq, made.size, made.entries, made.ts_ns) == (1, 2, 8, T_NS + 60 * SECOND_NS)
    heads = {one.chain_id: one for one in made.chains}
    leaves = [leaf_hash(bytes.fromhex(hash_)) for hash_ in main.entry_hashes]
    assert (heads[CHAIN].size, heads[CHAIN].root) == (5, root(leaves).hex())
    assert heads[CHAIN].last_hash == main.entry_hashes[-1]


def test_nothing_new_makes_no_checkpoint(world: World) -> None:
    sealed = world.seal(5)
    assert world.proof.checkpoint("alpha", [sealed]) is not None
    before = dict(world.store.files)
    for proof in (world.proof, world.new_process()):
        for hint in ((), [sealed], [replace(sealed, entry_hashes=sealed.entry_hashes[:3])]):
            assert proof.checkpoint("alpha", hint) is None
    assert world.new_process().checkpoint("beta") is None
    assert world.store.files == before


@pytest.mark.parametrize("hints", [True, False])
def test_what_was_sealed_and_what_is_read_back_give_the_same(hints: bool) -> None:
    one, other = World(), World()
    for world, told in ((one, True), (other, hints)):
        for n in (5, 1, 17, 2):
            sealed = [world.seal(n, account="core"), world.seal(n + 1, run="d-2026-01-01", env="shadow")]
            proof = world.proof if told else world.new_process()
            assert proof.checkpoint("alpha", sealed if told else ()) is not None
    assert one.store.files == other.store.files


def test_what_an_earlier_process_left_unsigned_is_signed_with_the_next(world: World) -> None:
    world.seal(5)
    made = world.new_process().checkpoint("alpha", [world.seal(2, account="core")])
    assert made is not None and made.entries == 7


def test_another_firms_chain_never_enters_a_checkpoint(world: World) -> None:
    world.seal(5, firm="beta")
    made = world.proof.checkpoint("alpha", [world.seal(2)])
    assert made is not None and made.size == 1
    beta = world.proof.checkpoint("beta")
    assert beta is not None and [one.chain_id for one in beta.chains] == ["dry_run/run-1/beta/main"]
    with pytest.raises(BadInput, match="a chain of beta"):
        world.new_process().checkpoint("beta", [SealedEntries(CHAIN, 1, ["a" * 64])])


def test_a_chain_that_is_no_longer_what_was_signed_is_refused(world: World) -> None:
    sealed = world.seal(5)
    world.proof.checkpoint("alpha", [sealed])
    forged = replace(sealed, entry_hashes=[*sealed.entry_hashes[:-1], "a" * 64, "b" * 64])
    with pytest.raises(CheckFailed, match="not those that were signed"):
        world.proof.checkpoint("alpha", [forged])


def test_a_chain_that_does_not_verify_is_not_signed_and_said(world: World) -> None:
    world.seal(5)
    world.seal(5, account="core")
    part = next(path for path in world.store.files if "account=main" in path and path.endswith(".parquet"))
    world.store.files[part] += b"x"
    made = world.proof.checkpoint("alpha")
    assert made is not None and [one.chain_id for one in made.chains] == ["dry_run/run-1/alpha/core"]
    assert said(world, CHAIN, "is not signed", "sha256")


def test_the_key_is_made_once_and_said_once(world: World) -> None:
    for _ in range(3):
        world.new_process().checkpoint("alpha", [world.seal(1)])
    assert world.keys.made == 1
    assert sum("A key was made" in text for text in world.told) == 1


def test_a_rotation_is_signed_by_both_and_the_record_holds(world: World) -> None:
    world.proof.checkpoint("alpha", [world.seal(5)])
    old = world.keys.held["alpha"][0].public
    world.seal(2)
    new = world.proof.rotate("alpha")
    assert [one.public for one in world.keys.held["alpha"]] == [new]
    world.proof.checkpoint("alpha", [world.seal(1)])
    found = world.verify()
    assert found.ok and found.logs["alpha"].keys == [old, new]
    for only in (old, new):  # either of them vouches for all of it, and must itself appear
        world.public = {only}
        assert world.verify().ok


def test_a_trusted_key_that_signed_nothing_shows_that_the_line_was_cut(world: World) -> None:
    world.proof.checkpoint("alpha", [world.seal(5)])
    files = dict(world.store.files)
    world.proof.rotate("alpha")
    found = world.verify(files, witness=False)
    assert not found.ok and any("signed nothing here" in gap.reason for gap in found.gaps)


def test_a_rotation_that_cannot_be_written_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.proof.checkpoint("alpha", [world.seal(5)])
    before, (old,) = dict(world.store.files), list(world.keys.held["alpha"])

    def full(relative: str, data: bytes) -> None:
        raise NotDurable("No space left on device")

    monkeypatch.setattr(world.store, "write_bytes", full)
    with pytest.raises(NotDurable):
        world.proof.rotate("alpha")
    assert world.keys.held["alpha"] == [old] and world.store.files == before
    monkeypatch.undo()
    world.proof.rotate("alpha")
    assert world.verify().ok


def test_a_key_that_was_introduced_is_never_thrown_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is there, and then something fails: from here on only the new key can sign."""
    world.proof.checkpoint("alpha", [world.seal(5)])
    real = world.store.write_bytes

    def late(relative: str, data: bytes) -> None:
        real(relative, data)
        raise NotDurable("Input/output error")

    monkeypatch.setattr(world.store, "write_bytes", late)
    with pytest.raises(NotDurable):
        world.proof.rotate("alpha")
    monkeypatch.undo()
    world.seal(1)
    made = world.new_process().checkpoint("alpha")
    assert made is not None and made.seq == 3
    assert world.new_process().state("alpha").key == world.keys.held["alpha"][1].public  # type: ignore[union-attr]


def test_a_process_that_fell_behind_another_reads_the_chain_again(world: World) -> None:
    one, other = world.proof, world.new_process()
    chain = {"run": "d-2026-01-01", "env": "shadow"}
    one.checkpoint("alpha", [world.seal(3, **chain)])
    second = world.seal(3, **chain)
    other.checkpoint("alpha", [second])
    third = world.seal(2, **chain)
    hint = replace(third, first_seq=4, entry_hashes=[*second.entry_hashes, *third.entry_hashes])
    made = one.checkpoint("alpha", [hint])
    assert made is not None and made.entries == 8
    assert world.verify().ok


def test_a_key_that_was_not_published_yet_is_published_the_next_time(world: World) -> None:
    sealed = world.seal(5)
    world.proof.checkpoint("alpha", [sealed])
    path = next(path for path in world.store.files if path.endswith(".pub"))
    published = world.store.files.pop(path)
    assert any("not published" in gap.reason for gap in world.verify().gaps)
    assert world.new_process().checkpoint("alpha", [sealed]) is None
    assert world.store.files[path] == published and world.verify().ok


def test_what_is_sealed_while_the_record_is_verified_is_no_gap(world: World) -> None:
    """The folder is listed first; a manifest that is read later may name a newer file."""
    world.seal(5)
    listed = tuple(world.store.files)
    world.seal(5)

    class Late(SealedRecord):
        def paths(self) -> tuple[str, ...]:
            return listed

    assert verify(Late(world.store.files), now_ns=T_NS).ok


def test_a_key_can_be_rotated_before_anything_is_signed(world: World) -> None:
    first = world.keys.create("alpha").public
    new = world.proof.rotate("alpha")
    assert new != first and world.proof.state("alpha") is None
    made = world.proof.checkpoint("alpha", [world.seal(1)])
    assert made is not None and made.key == new
    with pytest.raises(NotSigned, match="a key of beta"):
        world.proof.rotate("beta")


def test_a_dry_run_without_a_key_is_said_to_be_unsigned(world: World) -> None:
    world.keys.broken = True
    world.proof.sign("alpha", [world.seal(5)])
    assert said(world, "The record of alpha is NOT signed", "a folder of keys")
    found = world.verify()
    assert found.ok and [(r.chain, signed) for r, signed in found.unsigned()] == [(CHAIN, 0)]
    world.keys.broken = False
    world.new_process().sign("alpha")
    assert world.verify().ok and not list(world.verify().unsigned())


def test_a_lost_key_signs_nothing_and_makes_no_other(world: World) -> None:
    world.proof.checkpoint("alpha", [world.seal(5)])
    world.keys.held.clear()
    with pytest.raises(NotSigned):
        world.proof.checkpoint("alpha", [world.seal(1)])
    assert world.keys.made == 1


# --- the log ----------------------------------------------------------------------------------------------


def test_a_broken_log_is_not_continued(world: World) -> None:
    for _ in range(3):
        world.proof.checkpoint("alpha", [world.seal(2)])
    whole = dict(world.store.files)
    path = checkpoint_path("alpha", 2)
    for files in (
        {name: data for name, data in whole.items() if name != path},
        whole | {path: whole[path] + b"\n"},
        whole | {path: whole[checkpoint_path("alpha", 1)]},
    ):
        world.store.files = files
        with pytest.raises(CheckFailed, match="firm=alpha"):
            world.new_process().checkpoint("alpha")


def test_another_process_is_noticed(world: World) -> None:
    """The state that is remembered is that of the last file, which somebody else may have written."""
    world.proof.checkpoint("alpha", [world.seal(2)])
    world.new_process().checkpoint("alpha", [world.seal(2)])
    made = world.proof.checkpoint("alpha", [world.seal(2)])
    assert made is not None and (made.seq, made.entries) == (3, 6)
    assert world.verify().ok


# --- witnesses --------------------------------------------------------------------------------------------


def test_a_witness_that_was_away_gets_everything_in_order(world: World) -> None:
    world.witness.reachable = False
    for _ in range(3):
        world.proof.checkpoint("alpha", [world.seal(2)])
    assert world.witness.logs == {} and said(world, "cannot be reached", "kept here")
    world.witness.reachable = True
    world.proof.checkpoint("alpha", [world.seal(2)])
    held = world.witness.held("alpha")
    assert list(held) == [world.store.files[checkpoint_path("alpha", n)] for n in range(1, 5)]
    assert world.verify().logs["alpha"].witnessed == 4


def test_a_witness_catches_up_without_a_new_checkpoint(world: World) -> None:
    world.witness.reachable = False
    world.proof.checkpoint("alpha", [world.seal(2)])
    world.witness.reachable = True
    assert world.proof.checkpoint("alpha") is None
    assert len(world.witness.held("alpha")) == 1


@pytest.mark.parametrize("what", ["everything", "the last checkpoint", "another past"])
def test_a_record_that_a_witness_knows_otherwise_is_not_signed(world: World, what: str) -> None:
    for _ in range(2):
        world.proof.checkpoint("alpha", [world.seal(2)])
    fresh = World(keys=world.keys, witness=world.witness)
    if what == "the last checkpoint":
        fresh.store.files = {
            path: data for path, data in world.store.files.items() if path != checkpoint_path("alpha", 2)
        }
    elif what == "another past":
        fresh.witness = type(world.witness)()
        fresh.seal(1, account="core")
        fresh.proof.checkpoint("alpha")
        fresh.seal(2, account="core")
        fresh.proof.checkpoint("alpha")
        fresh.witness = world.witness
    proof = fresh.new_process()
    before = dict(fresh.store.files)
    with pytest.raises(Forked, match="witness memory holds checkpoint 2 of alpha"):
        proof.checkpoint("alpha", [fresh.seal(1, account="late")])
    assert {p for p in fresh.store.files if "_checkpoints" in p} == {p for p in before if "_checkpoints" in p}
    proof.sign("alpha")
    assert said(fresh, "NOT signed", "REGIME_WITNESS")
    assert len(world.witness.held("alpha")) == 2


def test_a_witness_that_holds_nonsense_is_no_witness(world: World) -> None:
    world.witness.logs["alpha"] = [b"nonsense"]
    with pytest.raises(Forked, match="witness memory"):
        world.proof.checkpoint("alpha", [world.seal(1)])


# --- verification: what is said ---------------------------------------------------------------------------


def test_one_firm_is_verified_without_opening_another(world: World) -> None:
    world.proof.checkpoint("alpha", [world.seal(3)])
    world.proof.checkpoint("beta", [world.seal(3, firm="beta")])

    class Watched(SealedRecord):
        opened: set[str] = set()  # noqa: RUF012

        def read(self, path: str) -> bytes:
            self.opened.add(path)
            return super().read(path)

    reader = Watched(world.store.files)
    found = verify(reader, now_ns=T_NS, firm_id="alpha")
    assert found.ok and [report.chain for report in found.chains] == [CHAIN]
    assert Watched.opened and not any("beta" in path for path in Watched.opened)


def test_the_first_bad_entry_is_named() -> None:
    world = random_world(np.random.default_rng(1))
    path = next(p for p in sorted(world.store.files) if p.endswith(".parquet"))
    world.store.files[path] = world.store.files[path][:-1]
    (fault,) = world.verify().faults
    assert fault.file == path and fault.seq is not None and "sha256" in fault.reason
