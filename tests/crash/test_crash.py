"""A process that is ended anywhere loses nothing that it acknowledged, and the next one goes on from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.crash.faults import ERRORS, EXIT_CODE, VARIANTS

ROOT = Path(__file__).parents[2]
TRIALS = int(os.environ.get("REGIME_CRASH_TRIALS", "30"))
AT_BOUNDARIES = 2 / 3  #: of the trials; the others are kills at a random time


class Server:
    """The process that forks stories and checks."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._n = folder, 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.server"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def trial(self, **asked: Any) -> dict[str, Any]:
        """One story and its check; raises where something does not hold."""
        self._n += 1
        folder = self._folder / f"trial-{self._n}"
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked | {"folder": str(folder)}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the server is gone"
        told: dict[str, Any] = json.loads(answer)
        assert not told["errors"], "\n".join(told["errors"])
        assert "error" not in told, f"{asked}, kept in {folder}:\n{told['error']}"
        shutil.rmtree(folder)
        return told

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """In memory where there is such a folder: a process that ends leaves the same files there as on a disk."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK):
        with tempfile.TemporaryDirectory(prefix="regime-crash-", dir=memory) as folder:
            yield from _opened(Path(folder))
        return
    yield from _opened(tmp_path_factory.mktemp("crash"))


def _opened(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def whole(server: Server) -> dict[str, Any]:
    """The story told to its end: its boundaries, in order."""
    found = server.trial()
    assert found["status"] == 0 and found["seen"]
    return found


def test_the_story_crosses_every_kind_of_boundary(whole: dict[str, Any]) -> None:
    kinds = Counter(name.split()[0] for name in whole["seen"])
    assert set(kinds) >= {"commit", "fsync", "replace", "unlink", "mkdir", "ftruncate"}
    print(f"crash: {len(whole['seen'])} boundaries a story ({dict(kinds)}), {whole['acks']} acknowledgements")


def boundary_trials(whole: dict[str, Any]) -> list[tuple[int, str]]:
    """Boundary and variant of each trial: all of them in the long form, else a sample that is the same every time."""
    every = [(at, variant) for at in range(1, len(whole["seen"]) + 1) for variant in VARIANTS]
    n = round(TRIALS * AT_BOUNDARIES)
    if n >= len(every):
        return every
    return [every[i] for i in sorted(np.random.default_rng(7).choice(len(every), n, replace=False))]


def test_a_process_that_ends_at_a_boundary(server: Server, whole: dict[str, Any]) -> None:
    start, trials = time.perf_counter(), boundary_trials(whole)
    ended = [server.trial(at=at, variant=variant)["status"] for at, variant in trials]
    assert (
        set(ended) <= {0, EXIT_CODE} and EXIT_CODE in ended
    )  # 0: the story came to its end before that boundary
    n, seconds = ended.count(EXIT_CODE), time.perf_counter() - start
    print(f"crash: {n} ends at {len(trials)} boundaries, 0 failures, {seconds / len(trials):.2f} s each")


def test_a_disk_that_fails_at_a_boundary(server: Server, whole: dict[str, Any]) -> None:
    """Full, broken, read-only: what adds risk is blocked, what reduces is kept in the second place or refused, and
    nothing is half written."""
    every = [(at, kind) for at in range(1, len(whole["seen"]) + 1) for kind in ERRORS]
    n = min(TRIALS // 3, len(every))
    picked = [every[i] for i in sorted(np.random.default_rng(5).choice(len(every), n, replace=False))]
    told = [server.trial(at=at, variant=kind) for at, kind in picked]
    assert {one["status"] for one in told} == {0}
    sums = {name: sum(one[name] for one in told) for name in ("acks", "spooled", "refused")}
    print(f"crash: {n} disk faults, 0 failures; {sums}")


def test_a_process_that_is_killed_at_a_random_time(server: Server, whole: dict[str, Any]) -> None:
    random, n = np.random.default_rng(11), max(TRIALS - round(TRIALS * AT_BOUNDARIES), 1)
    start, acks = time.perf_counter(), 0
    for _ in range(n):
        told = server.trial(
            acks=int(random.integers(1, whole["acks"])), delay_s=float(random.uniform(0, 0.06))
        )
        acks += told["acks"]
    seconds = time.perf_counter() - start
    print(f"crash: {n} kills, {acks} acknowledgements, 0 lost, {seconds / n:.2f} s each")


@pytest.mark.full
def test_a_process_that_ends_at_every_boundary(server: Server, whole: dict[str, Any]) -> None:
    for at in range(1, len(whole["seen"]) + 1):
        for variant in VARIANTS:
            assert server.trial(at=at, variant=variant)["status"] in (0, EXIT_CODE)
    print(f"crash: all {len(whole['seen'])} boundaries in {len(VARIANTS)} variants, 0 failures")
