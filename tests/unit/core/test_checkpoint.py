"""Signed notes and checkpoints: the published form, and no byte of it to spare."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.proof_samples import SECOND_NS, T_NS, Log, head, sample_log, signer

from regime_trading.core.canonical import GENESIS, sha256_hex
from regime_trading.core.checkpoint import (
    Checkpoint,
    LogState,
    checkpoint_path,
    checkpoint_text,
    extend,
    next_checkpoint,
    read_checkpoint,
    require_chain_of,
    sign_checkpoint,
    tenant_root,
)
from regime_trading.core.errors import BadInput, CheckFailed, RegimeError
from regime_trading.core.merkle import leaf_hash, node_hash
from regime_trading.core.notes import PublicKey, read_note, read_vkey, sign

#: An example of the signed-note ecosystem: key, text and signature.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()


# --- notes ------------------------------------------------------------------------------------------------


def test_a_published_note_verifies_and_no_other_text_does() -> None:
    key, note = read_vkey(VKEY, "vkey"), read_note(NOTE, "note")
    (signature,) = note.signatures
    assert note.text == b"This is an example message.\n"
    assert signature.is_of(key) and key.verifies(signature.raw, note.text)
    assert not key.verifies(signature.raw, note.text + b"\n")
    assert key.vkey == VKEY and key.label == "example.com/foo+530d903a"


def test_what_is_signed_is_read_back() -> None:
    one, two = signer(1), signer(2)
    note = read_note(sign(b"a text\n\nwith a blank line\n", [one, two]), "note")
    assert note.text == b"a text\n\nwith a blank line\n"
    for key, signature in zip((one, two), note.signatures, strict=True):
        assert signature.is_of(key.public) and key.public.verifies(signature.raw, note.text)
        assert not signature.is_of(replace(key.public, name="regime-trading/beta"))
    assert "private" not in repr(one).lower() and repr(one) == f"Signer({one.public.label})"


BAD_NOTES = {
    "no signature": b"text\n\n",
    "no blank line": NOTE.replace(b"\n\n", b"\n"),
    "no text": NOTE.split(b"\n\n")[1],
    "no newline at the end": NOTE[:-1],
    "a carriage return": NOTE.replace(b"message.", b"message.\r"),
    "another dash": NOTE.replace("—".encode(), b"-"),
    "a space too many": NOTE.replace(b"foo ", b"foo  "),
    "a plus in the name": NOTE.replace(b"example.com/foo", b"example.com+foo"),
    "no name": NOTE.replace(b" example.com/foo", b""),
    "a cut signature": NOTE.replace(b"Uw2QOkn8", b""),
    "no base64": NOTE.replace(b"Uw2QOkn8", b"Uw2Q*kn8"),
    "not UTF-8": NOTE.replace(b"message", b"mess\xffage"),
    "too many": NOTE + NOTE.split(b"\n\n")[1] * 16,
}


@pytest.mark.parametrize("name", BAD_NOTES)
def test_a_malformed_note_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(BadInput, match=r"^here"):
        read_note(BAD_NOTES[name], "here")


@pytest.mark.parametrize(
    ("old", "new"),
    [("530d903a", "530d903b"), ("+A", "+B"), ("example", "exam ple"), ("U2k", "U2l"), ("U2k", ""), ("+", "")],
)
def test_a_malformed_key_is_refused(old: str, new: str) -> None:
    with pytest.raises(BadInput, match=r"^vkey"):
        read_vkey(VKEY.replace(old, new), "vkey")


def test_a_key_has_a_name_and_32_bytes() -> None:
    for name, raw in (("", bytes(32)), ("a b", bytes(32)), ("a+b", bytes(32)), ("a", bytes(31))):
        with pytest.raises(BadInput):
            PublicKey(name, raw)


# --- checkpoints ------------------------------------------------------------------------------------------


def test_the_text_is_the_one_documented() -> None:
    core, main = head("core", 10), head("main", 3)
    made = next_checkpoint(None, "alpha", [main, core], ts_ns=T_NS, key=signer().public)
    lines = checkpoint_text(made).decode().split("\n")
    leaves = [leaf_hash(f"{one.chain_id} {one.size} {one.root}".encode()) for one in (core, main)]
    assert made.root == tenant_root([core, main]) == node_hash(*leaves)
    assert lines[:2] == ["regime-trading/alpha", "2"]
    assert lines[3:7] == ["seq 1", f"time {T_NS}", f"prev {GENESIS}", "entries 13"]
    assert lines[7].startswith(f"key {signer().public.label} ")
    assert lines[8:] == [
        f"chain dry_run/run-1/alpha/core 10 {core.root} {core.last_hash}",
        f"chain dry_run/run-1/alpha/main 3 {main.root} {main.last_hash}",
        "",
    ]
    assert checkpoint_path("alpha", 7) == "audit/_checkpoints/firm=alpha/000000000007.txt"


def test_the_state_follows_from_the_checkpoints() -> None:
    log = sample_log()
    assert log.state is not None
    assert {name: one.size for name, one in log.state.heads.items()} == {
        "dry_run/run-1/alpha/core": 12,
        "dry_run/run-1/alpha/main": 7,
        "dry_run/run-2/alpha/late": 1,
    }
    assert (log.state.last.seq, log.state.last.size, log.state.last.entries) == (3, 3, 20)
    assert log.state.key == signer(2).public
    assert log.state.last.prev == sha256_hex(read_note(log.notes[1], "").text)
    assert log.notes == sample_log().notes  # no clock, no chance


def test_time_does_not_run_backwards() -> None:
    log = Log()
    log.add(head("core", 1))
    log.add(head("core", 2), at_ns=T_NS - SECOND_NS)
    assert log.state is not None and log.state.last.ts_ns == T_NS


@settings(deadline=None)
@given(st.data())
def test_every_byte_counts(data: st.DataObject) -> None:
    log = sample_log()
    at = data.draw(st.integers(0, 2), "checkpoint")
    before, note = state_before(log, at), log.notes[at]
    where = data.draw(st.integers(0, len(note) - 1), "byte")
    match data.draw(st.sampled_from(["flip", "cut", "put", "end"])):
        case "flip":
            changed = (
                note[:where] + bytes([note[where] ^ 1 << data.draw(st.integers(0, 7))]) + note[where + 1 :]
            )
        case "cut":
            changed = note[:where] + note[where + 1 :]
        case "put":
            changed = note[:where] + data.draw(st.binary(min_size=1, max_size=2)) + note[where:]
        case _:
            changed = note[:where]
    if changed != note:
        with pytest.raises(RegimeError, match=r"^here"):
            extend(before, changed, "alpha", "here")


def state_before(log: Log, at: int) -> LogState | None:
    state = None
    for n, note in enumerate(log.notes[:at], 1):
        state = extend(state, note, "alpha", f"checkpoint {n}")
    return state


def resigned(log: Log, *signers: int, **changes: object) -> bytes:
    """The last checkpoint with changes, signed again."""
    found, _ = read_checkpoint(log.notes[-1], "alpha", "")
    return sign_checkpoint(replace(found, **changes), *(signer(n) for n in signers))  # type: ignore[arg-type]


LAST = sample_log().state.last  # type: ignore[union-attr]
MAIN, LATE = head("main", 7), head("late", 1, run="run-2")
UNFAITHFUL: dict[str, tuple[dict[str, object], tuple[int, ...], str]] = {
    "a number left out": ({"seq": 4}, (2,), "checkpoint 4 where 3 follows"),
    "another past": ({"prev": "0" * 64}, (2,), "prev is not"),
    "an earlier time": ({"ts_ns": T_NS}, (2,), "time before"),
    "a chain that shrinks": ({"chains": (LATE, head("core", 11))}, (2,), "does not grow"),
    "a chain that stands still": ({"chains": (LATE, head("core", 12))}, (2,), "not in order|does not grow"),
    "chains out of order": ({"chains": (LATE, MAIN)}, (2,), "not in order"),
    "a chain twice": ({"chains": (MAIN, MAIN)}, (2,), "not in order"),
    "nothing new": ({"chains": ()}, (2,), "nothing has changed"),
    "another root": ({"root": bytes(32)}, (2,), "size, root or number"),
    "another size": ({"size": 2}, (2,), "size, root or number"),
    "another total": ({"entries": 21}, (2,), "size, root or number"),
    "the old key": ({}, (1,), "the key in force is"),
    "a stranger's key": ({}, (3,), "the key in force is"),
    "one signature too many": ({}, (2, 3), "2 signatures where 1"),
    "a key that nobody vouches for": ({"key": signer(3).public}, (3,), "1 signatures where 2"),
    "a key vouched for by a stranger": ({"key": signer(3).public}, (4, 3), "the key in force is"),
    "a key that does not sign": ({"key": signer(3).public}, (2, 4), "the key in force is"),
    "the same key again": ({"key": signer(2).public}, (2, 2), "the new key is the old one"),
}


@pytest.mark.parametrize("name", UNFAITHFUL)
def test_a_signed_checkpoint_that_does_not_follow_is_refused(name: str) -> None:
    log = sample_log()
    changes, signers, said = UNFAITHFUL[name]
    if name.startswith("a chain that s"):  # the order of names must not be what refuses it
        changes = {"chains": tuple(sorted(changes["chains"], key=lambda one: one.chain_id))}  # type: ignore[call-overload]
    with pytest.raises(CheckFailed, match=said):
        extend(state_before(log, 2), resigned(log, *signers, **changes), "alpha", "here")
    assert extend(state_before(log, 2), resigned(log, 2), "alpha", "here").last == LAST


def test_the_first_checkpoint_brings_its_key() -> None:
    made = next_checkpoint(None, "alpha", [head("core", 1)], ts_ns=T_NS)
    with pytest.raises(CheckFailed, match="names no key"):
        extend(None, sign_checkpoint(made, signer()), "alpha", "here")


def test_another_firms_checkpoint_is_refused() -> None:
    with pytest.raises(BadInput, match="regime-trading/beta"):
        extend(None, sample_log().notes[0], "beta", "here")
    stranger = Log()
    with pytest.raises(BadInput, match="a chain of alpha"):
        stranger.add(head("core", 1, firm="beta"))


@pytest.mark.parametrize("chain", ["shadow/alpha/core", "admin/alpha/_firm", "dry_run/bt-1/alpha/core"])
def test_chains_of_a_firm(chain: str) -> None:
    assert require_chain_of("alpha", chain) == chain
    with pytest.raises(BadInput):
        require_chain_of("beta", chain)


@pytest.mark.parametrize(
    "chain",
    [
        "",
        "shadow/alpha",
        "dry_run/alpha/core",
        "shadow/r/alpha/core",
        "live/alpha/core",
        "shadow/alpha/Core",
        "admin/alpha/core",
        "shadow/alpha/core/",
    ],
)
def test_what_is_no_chain(chain: str) -> None:
    with pytest.raises(BadInput):
        require_chain_of("alpha", chain)


def test_the_platform_has_a_log_of_its_own() -> None:
    made = next_checkpoint(
        None,
        "_platform",
        [replace(head("core", 1), chain_id="admin/_platform/_platform")],
        ts_ns=T_NS,
        key=signer(1, "_platform").public,
    )
    assert isinstance(made, Checkpoint)
    assert extend(None, sign_checkpoint(made, signer(1, "_platform")), "_platform", "here").last == made
