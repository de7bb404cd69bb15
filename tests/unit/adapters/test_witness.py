"""A witness remembers and takes only what follows, in a folder and in an object store."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.proof_samples import Log, head, sample_log, signer

from regime_trading.adapters.witness import StoredWitness, open_witnesses
from regime_trading.core.checkpoint import read_checkpoint, sign_checkpoint
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of an S3 server on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ):
            patch.setenv(name, value)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"{host}:{port}"
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "witness")
    address = request.getfixturevalue("s3")
    bucket = re.sub("[^a-z0-9]+", "-", request.node.name)[:60].strip("-")
    boto3.client("s3", endpoint_url=f"http://{address}", region_name="us-east-1").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/record?scheme=http&endpoint_override={address}&region=us-east-1"


def test_it_keeps_every_checkpoint(place: str) -> None:
    log, witness = sample_log(), StoredWitness(place)
    assert witness.latest("alpha") is None and witness.held("alpha") == () and witness.firms() == ()
    for note in log.notes:
        witness.put("alpha", note)
        witness.put("alpha", note)  # the last one again
        assert witness.latest("alpha") == note
    for other in (witness, StoredWitness(place)):
        assert other.held("alpha") == tuple(log.notes)
        assert other.firms() == ("alpha",) and other.latest("beta") is None


def test_a_new_process_continues_where_the_last_one_stopped(place: str) -> None:
    for note in sample_log().notes:
        StoredWitness(place).put("alpha", note)
    assert StoredWitness(place).held("alpha") == tuple(sample_log().notes)


def other_notes() -> dict[str, bytes]:
    """Fourth checkpoints that no witness may take after the three of the sample."""
    log = sample_log()
    good = Log()
    good.state, good.notes, good.signer = log.state, list(log.notes), log.signer
    note = good.add(head("core", 13))
    found, _ = read_checkpoint(note, "alpha", "")
    return {
        "another past": sign_checkpoint(replace(found, prev="0" * 64), signer(2)),
        "a shrunk chain": sign_checkpoint(replace(found, chains=(head("core", 11),)), signer(2)),
        "a key nobody introduced": sign_checkpoint(found, signer(3)),
        "the key that was rotated away": sign_checkpoint(found, signer(1)),
        "a number left out": sign_checkpoint(replace(found, seq=5), signer(2)),
        "an earlier one": log.notes[0],
        "nonsense": b"nonsense",
        "": note,
    }


def test_it_refuses_what_does_not_follow(place: str) -> None:
    log = sample_log()
    witness = StoredWitness(place)
    for note in log.notes:
        witness.put("alpha", note)
    others = other_notes()
    good = others.pop("")
    for note in others.values():
        with pytest.raises(CheckFailed, match="witness"):
            witness.put("alpha", note)
    assert witness.held("alpha") == tuple(log.notes)
    witness.put("alpha", good)
    assert witness.latest("alpha") == good


def test_a_restart_of_the_log_is_refused(place: str) -> None:
    witness = StoredWitness(place)
    witness.put("alpha", sample_log().notes[0])
    fresh = Log()
    with pytest.raises(CheckFailed):
        witness.put("alpha", fresh.add(head("core", 10)))
    beta = Log("beta")
    witness.put("beta", beta.add(head("core", 1, firm="beta")))
    assert witness.firms() == ("alpha", "beta")


def test_two_writers_do_not_overwrite_each_other(place: str) -> None:
    log = sample_log()
    one, two = StoredWitness(place), StoredWitness(place)
    one.put("alpha", log.notes[0])
    two.put("alpha", log.notes[0])
    one.put("alpha", log.notes[1])
    other = Log()
    other.take(log.notes[0])
    with pytest.raises(CheckFailed, match="checkpoint 2 where 3 follows"):
        two.put("alpha", other.add(head("core", 99)))
    two.put("alpha", log.notes[1])
    assert one.held("alpha") == tuple(log.notes[:2])


def test_two_writers_take_turns(place: str) -> None:
    log = sample_log()
    writers = [StoredWitness(place), StoredWitness(place)]
    for n, note in enumerate(log.notes):
        writers[n % 2].put("alpha", note)
        writers[n % 2].put("alpha", note)
    assert writers[0].held("alpha") == tuple(log.notes)
    assert len(log.notes) >= 3


def test_one_that_forgot_takes_nothing(tmp_path: Path) -> None:
    place, log = tmp_path / "witness", sample_log()
    witness = StoredWitness(str(place))
    for note in log.notes[:2]:
        witness.put("alpha", note)
    second = place / "firm=alpha" / "000000000002.txt"
    second.unlink()
    for other in (None, b"another third"):
        if other is not None:
            second.with_name("000000000003.txt").write_bytes(other)
        with pytest.raises(CheckFailed, match="it no longer holds checkpoint 2 of alpha"):
            witness.put("alpha", log.notes[2])
    assert second.with_name("000000000003.txt").read_bytes() == b"another third", "nothing is written over"


def test_a_witness_whose_log_was_changed_takes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "witness"
    log = sample_log()
    for note in log.notes[:2]:
        StoredWitness(str(place)).put("alpha", note)
    path = place / "firm=alpha" / "000000000001.txt"
    path.write_bytes(path.read_bytes().replace(b"core 10", b"core 11"))
    with pytest.raises(CheckFailed, match="checkpoint 1"):
        StoredWitness(str(place)).put("alpha", log.notes[2])


def test_a_place_where_nothing_is_held_is_no_witness_to_verify_with(place: str) -> None:
    witness = StoredWitness(place)
    with pytest.raises(BadInput, match="a witness that holds checkpoints"):
        witness.require()
    witness.put("alpha", sample_log().notes[0])
    witness.require()


def test_one_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    note = sample_log().notes[0]
    folder, store = StoredWitness(str(tmp_path / "file")), StoredWitness(closed_address())
    for act in (
        lambda: folder.put("alpha", note),
        lambda: store.put("alpha", note),
    ):
        with pytest.raises(NotDurable, match="cannot be reached"):
            act()


def closed_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"s3://bucket/record?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"


def test_a_place_that_is_none_is_refused() -> None:
    for place in ("nowhere://x", "s3://"):
        with pytest.raises(BadInput, match="witness"):
            StoredWitness(place)


def test_each_place_once(tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert [witness.name for witness in open_witnesses([one, two, one])] == [one, two]
