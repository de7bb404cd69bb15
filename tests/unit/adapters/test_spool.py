"""The second place: durable or not there, torn ends cut, damage kept and named."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.adapters.journal.spool import FirmSpool
from regime_trading.core.canonical import canonical_json
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable

BODIES = [canonical_json({"n": n, "text": "x" * (n * 40)}) for n in range(1, 5)]


@pytest.fixture
def spool(tmp_path: Path) -> FirmSpool:
    return FirmSpool(tmp_path / "spool", firm_id="alpha")


def again(spool: FirmSpool) -> FirmSpool:
    return FirmSpool(spool.path.parent, firm_id="alpha")


def test_what_was_appended_waits_in_order_and_once(spool: FirmSpool) -> None:
    assert spool.pending() == () and not spool.path.parent.exists()
    spool.append(BODIES[:2])
    again(spool).append([BODIES[1], BODIES[2], BODIES[2]])
    assert again(spool).pending() == tuple(BODIES[:3])


def test_settled_means_away_and_a_failure_keeps_everything(spool: FirmSpool) -> None:
    spool.append(BODIES)

    def refuse(_: object) -> None:
        raise NotDurable("still down")

    with pytest.raises(NotDurable, match="still down"):
        spool.settle(refuse)
    seen: list[bytes] = []
    assert again(spool).settle(seen.extend) == 4 and seen == BODIES
    assert spool.pending() == () and spool.settle(refuse) == 0
    spool.append(BODIES[:1])
    assert spool.pending() == (BODIES[0],)
    assert len(list((spool.path.parent / "settled").iterdir())) == 1


@settings(max_examples=40)
@given(st.data())
def test_a_torn_end_is_cut_and_what_came_before_it_holds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    spool = FirmSpool(tmp_path_factory.mktemp("spool"), firm_id="alpha")
    ends = [0]
    for body in BODIES:
        spool.append([body])
        ends.append(spool.path.stat().st_size)
    cut = data.draw(st.integers(0, ends[-1]))
    zeros = data.draw(st.sampled_from([0, 1, 40, 4096]))
    whole = sum(end <= cut for end in ends) - 1
    spool.path.write_bytes(spool.path.read_bytes()[:cut] + b"\0" * zeros)
    assert spool.pending() == tuple(BODIES[:whole])
    spool.append([b'{"next":1}'])
    assert again(spool).pending() == (*BODIES[:whole], b'{"next":1}')


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damage_is_named_and_never_cut(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: int
) -> None:
    spool = FirmSpool(tmp_path_factory.mktemp("spool"), firm_id="alpha")
    spool.append(BODIES)
    data = bytearray(spool.path.read_bytes())
    at %= len(data)
    data[at] ^= change
    spool.path.write_bytes(bytes(data))
    try:
        found = spool.pending()
    except CheckFailed as err:
        assert "does not follow" in str(err)
        with pytest.raises(CheckFailed):
            spool.append([b"{}"])
        assert spool.path.read_bytes() == bytes(data)
    else:  # a length that reaches beyond the end, or a last byte that became 0, looks torn
        assert found == tuple(BODIES[: len(found)]) and len(found) < len(BODIES)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "fsync", "ftruncate", "open"])
def test_a_place_that_cannot_write_says_so_and_keeps_what_it_had(
    spool: FirmSpool, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    spool.append(BODIES[:1])

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(f"regime_trading.adapters.journal.spool.os.{call}", fail)
        with pytest.raises(NotDurable, match=os.strerror(number)):
            spool.append(BODIES[1:2])
    assert spool.pending()[:1] == (BODIES[0],)
    spool.append(BODIES[1:3])
    assert spool.pending() == tuple(BODIES[:3])


def test_a_short_write_is_continued(spool: FirmSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("os.write", lambda fd, data: real(fd, bytes(data)[:7]))
    spool.append(BODIES)
    monkeypatch.undo()
    assert spool.pending() == tuple(BODIES)


def test_a_short_write_before_the_disk_is_full_leaves_nothing(
    spool: FirmSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(BODIES[:1])
    real, room = os.write, [50]

    def write(descriptor: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(descriptor, bytes(data)[: room[0]])
        room[0] -= done
        return done

    before = spool.path.read_bytes()
    monkeypatch.setattr("os.write", write)
    with pytest.raises(NotDurable, match="No space"):
        spool.append(BODIES[1:])
    monkeypatch.undo()
    assert spool.path.read_bytes() == before


def test_threads_and_processes_share_it(spool: FirmSpool) -> None:
    def add(n: int) -> None:
        again(spool).append([canonical_json({"thread": n})])

    threads = [threading.Thread(target=add, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(spool.pending()) == sorted(canonical_json({"thread": n}) for n in range(12))


def test_a_firm_has_a_file_of_its_own(spool: FirmSpool) -> None:
    spool.append(BODIES)
    assert FirmSpool(spool.path.parent, firm_id="beta").pending() == ()
    with pytest.raises(BadInput):
        FirmSpool(spool.path.parent, firm_id="../alpha")
